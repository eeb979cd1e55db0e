"""A picture of each region on its scan, for people who check that it lies where it should."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import contourpy
import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw, ImageFont

from nenflow.images.geometry import bounding_box

WINDOW_HU = (-160.0, 240.0)  # centre 40, width 400: soft tissue
SUV_TOP = 5.0  # at least; a hotter region sets its own top, so that its edge is not lost in black
MARGIN_MM = 40.0  # around the region, for orientation
SCALE_MM = 20.0
PANEL = 300  # pixels; three planes side by side
HEAD = 30  # pixels; a line of text above
SIZE = (3 * PANEL, HEAD + PANEL)
FINER = 2  # lines and letters are drawn this much larger, so that their edges are soft
COLOUR = "#ff7a00"  # the region that the picture is of; stays apart from every grey
OTHERS = ("#56b4e9", "#00c48c", "#f06fc4", "#f0e442")  # of other readers
SHADES = 48  # more cannot be told apart in a small picture and only make its file larger
COLOURS = 128  # in the file: the shades, and the lines and letters with their soft edges

# Axes of an upright scan (0 to the left, 1 to the back, 2 to the head): across, up and through each plane; and the
# letters of the plane's left, right, lower and upper border.
_PLANES = {"axial": (0, 1, 2, "RLPA"), "coronal": (0, 2, 1, "RLFH"), "sagittal": (1, 2, 0, "APFH")}


@dataclass(frozen=True)
class _View:
    """One plane of the picture.

    Attributes:
        axis, number: which slice of the scan's array.
        across, up: for each axis of the plane, the first pixel's place in voxels of the scan, and voxels per pixel;
            negative where the picture runs against the scan.
        borders: letters at the left, right, lower and upper border.
    """

    axis: int
    number: int
    across: tuple[float, float]
    up: tuple[float, float]
    borders: str

    def cut(self, array: np.ndarray) -> np.ndarray:
        return np.take(array, self.number, axis=self.axis)


def write_picture(
    image: sitk.Image,
    masks: Mapping[str, sitk.Image],
    rater: str,
    path: Path,
    title: str,
    unit: str | None,
    window: tuple[float, float] | None = None,
) -> None:
    """Draw three planes through one reader's region, with the outlines of all readers of it.

    The planes lie as on a light box, in true proportions and at one scale; each is the slice in which the region is
    largest (of several the middle one). Voxels are shown as they are, without smoothing. The same input gives the same
    bytes.

    Args:
        image: the scan.
        masks: masks of one region on the scan's grid, by rater.
        rater: whose outline is drawn thick and decides where the planes lie; this mask is not empty.
        path: PNG file to write, 900 x 330 pixels.
        title: goes above; say there whose region it is, and when data are simulated.
        unit: "HU", "SUV", or None, for the window: HU as soft tissue, SUV from 0 and dark on white.
        window: lowest and highest value shown, where the unit's own window does not do.
    """
    _, size = bounding_box(masks[rater])
    side = max(np.multiply(size, image.GetSpacing())) + 2 * MARGIN_MM
    box = bounding_box(masks[rater], side / 2)
    scan, spacing = _upright(image, box)
    drawn = {name: _upright(masks[name], box)[0] for name in [*(name for name in masks if name != rater), rater]}
    colours = {name: OTHERS[number % len(OTHERS)] for number, name in enumerate(drawn)} | {rater: COLOUR}
    low, high = window or _window(scan, drawn[rater], unit)
    views = [_view(plane, drawn[rater], spacing, side) for plane in _PLANES]
    dark_on_white = unit == "SUV"
    picture = Image.new("RGB", (FINER * SIZE[0], FINER * SIZE[1]))
    for number, view in enumerate(views):
        panel = Image.fromarray(_shades(view, scan, low, high, dark_on_white)).convert("RGB")
        panel = panel.resize((FINER * PANEL, FINER * PANEL), Image.Resampling.NEAREST)
        for name, mask in drawn.items():
            _draw_outline(panel, view, mask, colours[name], 5 if name == rater else 3)
        _draw_borders(panel, view, dark_on_white)
        if number == 0:
            _draw_scale(panel, SCALE_MM / side, dark_on_white)
        picture.paste(panel, (number * FINER * PANEL, FINER * HEAD))
    _write_texts(picture, title, f"{low:.4g} to {high:.4g} {unit or ''}".replace("-", "−"), colours)
    picture = picture.reduce(FINER).quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(path, "PNG", optimize=True)


def _upright(image: sitk.Image, box: tuple[list[int], list[int]]) -> tuple[np.ndarray, tuple[float, ...]]:
    """A box of an image as array (z, y, x) in a person's own axes, and its spacing (x, y, z)."""
    upright = sitk.DICOMOrient(sitk.RegionOfInterest(image, box[1], box[0]), "LPS")
    return sitk.GetArrayFromImage(upright), upright.GetSpacing()


def _window(scan: np.ndarray, own: np.ndarray, unit: str | None) -> tuple[float, float]:
    if unit == "HU":
        return WINDOW_HU
    if unit == "SUV":
        return 0.0, max(SUV_TOP, float(scan[own > 0].max()))
    low, high = np.percentile(scan, [1, 99])
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def _view(plane: str, own: np.ndarray, spacing: tuple[float, ...], side: float) -> _View:
    across, up, through, borders = _PLANES[plane]
    places = []
    for axis in (across, up):
        filled = np.flatnonzero(own.any(axis=_others(axis)))
        step = side / PANEL / spacing[axis]
        places.append(((filled[0] + filled[-1]) / 2 - (PANEL - 1) / 2 * step, step))
    if plane != "axial":  # a picture's rows run down, and the head is up
        first, step = places[1]
        places[1] = (first + (PANEL - 1) * step, -step)
    areas = own.sum(axis=_others(through), dtype=int)
    largest = np.flatnonzero(areas == areas.max())
    return _View(2 - through, int(largest[len(largest) // 2]), places[0], places[1], borders)


def _others(axis: int) -> tuple[int, ...]:
    """Axes of an array (z, y, x) besides that of a person's axis (x, y, z)."""
    return tuple({0, 1, 2} - {2 - axis})


def _shades(view: _View, scan: np.ndarray, low: float, high: float, dark_on_white: bool) -> np.ndarray:
    """A plane of the scan as 300 x 300 grey values, each that of the nearest voxel; black or white where none is."""
    plane = view.cut(scan)
    part = np.round((np.clip(plane, low, high) - low) / (high - low) * (SHADES - 1)) / (SHADES - 1)
    grey = np.round(255 * (1 - part if dark_on_white else part)).astype(np.uint8)
    grey = np.pad(grey, 1, constant_values=255 if dark_on_white else 0)
    rows, columns = (
        np.clip(np.rint(first + step * np.arange(PANEL)).astype(int) + 1, 0, length - 1)
        for (first, step), length in zip((view.up, view.across), grey.shape, strict=True)
    )
    return grey[np.ix_(rows, columns)]


def _draw_outline(panel: Image.Image, view: _View, mask: np.ndarray, colour: str, width: int) -> None:
    plane = np.pad(view.cut(mask).astype(float), 1)  # so that an outline closes where the scan ends
    draw = ImageDraw.Draw(panel)
    for line in contourpy.contour_generator(z=plane).lines(0.5):
        pixels = [(line[:, n] - 1 - first) / step for n, (first, step) in enumerate((view.across, view.up))]
        points = FINER * (np.column_stack(pixels) + 0.5)
        draw.line([tuple(point) for point in points.tolist()], fill=colour, width=width, joint="curve")


def _draw_borders(panel: Image.Image, view: _View, dark_on_white: bool) -> None:
    ImageDraw.Draw(panel).rectangle((0, 0, FINER * PANEL - 1, FINER * PANEL - 1), outline="#5a5a5a")
    places = ((0.03, 0.5), (0.97, 0.5), (0.5, 0.965), (0.5, 0.035))
    for letter, place in zip(view.borders, places, strict=True):
        _write(panel, place, letter, "mm", dark_on_white)


def _draw_scale(panel: Image.Image, length: float, dark_on_white: bool) -> None:
    ink, edge = ("black", "white") if dark_on_white else ("white", "black")
    left, right, level = (FINER * PANEL * part for part in (0.05, 0.05 + length, 0.95))
    draw = ImageDraw.Draw(panel)
    draw.rectangle((left - 2, level - 4, right + 2, level + 3), fill=edge)
    draw.rectangle((left, level - 2, right, level + 1), fill=ink)
    _write(panel, (0.05, 0.93), f"{SCALE_MM:g} mm", "ls", dark_on_white)


def _write(panel: Image.Image, place: tuple[float, float], text: str, anchor: str, dark_on_white: bool) -> None:
    ink, edge = ("black", "white") if dark_on_white else ("white", "black")
    point = tuple(FINER * PANEL * part for part in place)
    ImageDraw.Draw(panel).text(point, text, ink, _font(10), anchor, stroke_width=3, stroke_fill=edge)


def _write_texts(picture: Image.Image, title: str, window: str, colours: Mapping[str, str]) -> None:
    draw, width, middle = ImageDraw.Draw(picture), FINER * SIZE[0], FINER * HEAD / 2
    draw.text((16, middle), title, "white", _font(12), "lm")
    draw.text((width - 16, middle), window, "#b8b8b8", _font(10), "rm")
    if len(colours) == 1:
        return
    right, bottom, line = width - 16, FINER * SIZE[1] - 16, 28
    wide = max(draw.textlength(reader, _font(10)) for reader in colours)
    draw.rectangle((right - wide - 8, bottom - line * len(colours), right + 8, bottom + 8), fill="black")
    for number, (reader, colour) in enumerate(colours.items()):
        draw.text((right, bottom - line * number), reader, colour, _font(10), "rs")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # It comes with matplotlib, so that every machine writes the same; to import matplotlib for it would take longer.
    folder = Path(find_spec("matplotlib").origin).parent / "mpl-data/fonts/ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), FINER * size)
