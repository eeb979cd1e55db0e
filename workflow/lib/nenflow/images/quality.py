"""What people look at before they trust a region: its shape, the values in it, and how far readers agree."""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from scipy.spatial import cKDTree

from nenflow.errors import InputError
from nenflow.images.geometry import bounding_box
from nenflow.images.volumes import Volume

# Texture of fewer voxels says little but size; LIFEx computes none under 64 (Nioche et al. 2018, Cancer Res 78:4786).
FLAG_VOXELS = 64
# Mean of a region by unit. Fat is about -100 HU, enhanced vessels about 300: a mean beyond is lung, gas, bone, or a
# scan in another unit. SUVs of tumours over 50 have been seen, as means they point to a wrong factor.
EXPECTED = {"HU": (-100.0, 300.0), "SUV": (0.0, 50.0)}
# The densest bone and enamel stay below; clips, coils and stents reach the ceiling of 12 bits, 3071 HU.
METAL_HU = 2500.0
METAL_MM = 10.0  # streaks are worst there
# A scale of 12 bits ends at -1024 HU; what lies below was never measured (padding around the field of view).
LOWEST_HU = -1024.0
# The highest value of a scan is rare by nature; a value that was cut off is repeated.
CLIPPED_VOXELS = 10

PEAK_MM = float(np.cbrt(3 / (4 * np.pi) * 1000))  # radius of a sphere of 1 mL

_SIDES = {"L": "left", "R": "right", "A": "front", "P": "back", "S": "head", "I": "foot"}
_OPPOSITE = dict(zip("LRAPSI", "RLPAIS", strict=True))


def check_mask(mask: sitk.Image, volume: Volume, minimum_volume_mm3: float) -> dict:
    """Check that a mask on the grid of a volume holds a region that is large enough to be measured.

    Args:
        mask: uint8, 0 or 1.
        volume: the scan.
        minimum_volume_mm3: the smallest region that the study accepts.

    Returns:
        `volume_mm3` and `voxels` of the region.

    Raises:
        InputError: the mask is empty or smaller than the minimum.
    """
    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    volume_mm3 = voxels * float(np.prod(volume.image.GetSpacing()))
    if voxels == 0:
        raise InputError("The mask is empty: no voxel centre lies inside the region.")
    if volume_mm3 < minimum_volume_mm3:
        raise InputError(
            f"The region is too small: {volume_mm3:.0f} mm3 in {voxels} voxels, the study asks for at least "
            f"{minimum_volume_mm3:g} mm3."
        )
    return {"volume_mm3": volume_mm3, "voxels": voxels}


def region_quality(mask: sitk.Image, image: sitk.Image, unit: str | None, settings: Mapping) -> dict:
    """Size, shape and values of a region, and what about it a person should look at.

    Args:
        mask: uint8, 0 or 1, not empty.
        image: the scan, on the same grid.
        unit: "HU", "SUV", or None where it is not known; then the values are not judged.
        settings: `flag_voxels` (fewer are flagged) and `expected` ([low, high] of the mean), where the study sets
            them; `derived` is true for a region that was computed from others (a ring, a union), whose holes and parts
            are meant and therefore not flagged.

    Returns:
        `volume_mm3`; `voxels`; `components` (connected over faces, edges and corners); `cavities` (enclosed by the
        region on all sides); `touches_border`; `mean`, `sd` (over n), `minimum`, `median` and `maximum` of the values
        inside; `peak` (see `intensity_peak`); `flags`, a list of short texts, empty when nothing stands out.
    """
    start, size = bounding_box(mask)
    region = _cropped(mask, start, size)
    values = _cropped(image, start, size)[region > 0].astype(float)
    components = _parts(region, over_corners=True)[1]
    cavities, open_holes = _holes(region)
    sides = _sides_touched(mask, start, size)
    flags = [
        *([f"touches the image border: {', '.join(sides)}"] if sides else []),
        *([] if settings.get("derived") else _shape_flags(components, cavities, open_holes)),
        *_size_flags(len(values), settings.get("flag_voxels", FLAG_VOXELS)),
        *_value_flags(values, image, unit, settings.get("expected", EXPECTED.get(unit))),
        *(_metal_flags(mask, image) if unit == "HU" else []),
    ]
    return {
        "volume_mm3": len(values) * float(np.prod(mask.GetSpacing())),
        "voxels": len(values),
        "components": components,
        "cavities": cavities,
        "touches_border": bool(sides),
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "minimum": float(values.min()),
        "median": float(np.median(values)),
        "maximum": float(values.max()),
        "peak": intensity_peak(mask, image),
        "flags": flags,
    }


def intensity_peak(mask: sitk.Image, image: sitk.Image) -> float:
    """The highest mean value of a sphere of 1 mL whose centre is a voxel of the region, on the scan's own grid.

    PERCIST's peak (Wahl et al. 2009, J Nucl Med 50:122S), which the IBSI's manual calls global intensity peak: the
    sphere holds the voxels whose centres lie in it, those outside the region too; beyond the image's border it ends.

    Args:
        mask: uint8, 0 or 1, not empty.
        image: the scan, on the same grid.
    """
    spacing = mask.GetSpacing()
    box = bounding_box(mask, PEAK_MM)
    reach = [int(PEAK_MM // step) for step in reversed(spacing)]
    offsets = np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij")
    distances = sum((offset * step) ** 2 for offset, step in zip(offsets, reversed(spacing), strict=True))
    sphere = (distances <= PEAK_MM**2).astype(float)
    values = _cropped(image, *box).astype(float)
    # of ITK, since scipy.signal takes longer to import than everything else here together
    sums, voxels = (_convolved(part, sphere) for part in (values, np.ones_like(values)))
    return float((sums / np.rint(voxels))[_cropped(mask, *box) > 0].max())


def compare_readings(masks: Mapping[str, sitk.Image], reference: str) -> list[dict]:
    """How far the other readers' segmentations of one region agree with the reference's.

    Distances are between surfaces: from the centre of each outermost voxel of one region to the nearest of the other.
    The 95th percentile is taken in each direction, and of the two the larger, as Metrics Reloaded has it (Maier-Hein et
    al. 2024, Nat Methods 21:195).

    Args:
        masks: masks of one region on one grid, by rater; none is empty.
        reference: the rater that the others are compared with; without a mask of this rater there is nothing to say.

    Returns:
        for each other rater: `rater`, `reference`, `dice` (0 to 1), `hausdorff_mm`, `hausdorff95_mm`, and
        `volume_ratio` (rater over reference).
    """
    others = [rater for rater in masks if rater != reference]
    if reference not in masks or not others:
        return []
    surface = _surface(masks[reference])
    return [
        {"rater": rater, "reference": reference}
        | _overlap(masks[rater], masks[reference])
        | _distances(_surface(masks[rater]), surface)
        for rater in others
    ]


def _convolved(values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    images = (sitk.GetImageFromArray(array) for array in (values, kernel))
    outside = sitk.FFTConvolutionImageFilter.ZERO_PAD
    return sitk.GetArrayFromImage(sitk.FFTConvolution(*images, normalize=False, boundaryCondition=outside))


def _cropped(image: sitk.Image, start: list[int], size: list[int]) -> np.ndarray:
    # A copy: a view of an image that nothing else holds is a view of memory that was given back.
    return sitk.GetArrayFromImage(sitk.RegionOfInterest(image, size, start))


def _holes(region: np.ndarray) -> tuple[int, int]:
    """Cavities that a region encloses on all sides, and holes in the plane of a slice that are open above or below.

    Background is connected over faces where the region is connected over corners too, so that inside and outside are
    told apart.
    """
    framed = np.pad(region, 1)  # the frame is outside, and connects all that is
    background, number = _parts(framed == 0)
    outside = background == background[0, 0, 0]
    apart = np.zeros((2 * len(outside), *outside.shape[1:]), bool)  # with an empty slice between every two
    apart[::2] = outside
    return number - 1, _parts(apart)[1] - len(outside)  # one piece in each slice is what surrounds the region


def _parts(array: np.ndarray, over_corners: bool = False) -> tuple[np.ndarray, int]:
    """Connected parts of an array, by number, and how many there are."""
    connected = sitk.ConnectedComponentImageFilter()
    connected.SetFullyConnected(over_corners)
    parts = connected.Execute(sitk.GetImageFromArray(array.astype(np.uint8)))
    return sitk.GetArrayFromImage(parts), connected.GetObjectCount()


def _sides_touched(mask: sitk.Image, start: list[int], size: list[int]) -> list[str]:
    """The sides of the image that a region reaches, as a person lies in it."""
    letters = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(mask.GetDirection())
    sides = []
    for letter, first, width, whole in zip(letters, start, size, mask.GetSize(), strict=True):
        sides += [_SIDES[_OPPOSITE[letter]]] if first == 0 else []
        sides += [_SIDES[letter]] if first + width == whole else []
    return sides


def _shape_flags(components: int, cavities: int, open_holes: int) -> list[str]:
    flags = [f"separate parts: {components}"] if components > 1 else []
    flags += [f"holes inside: {cavities}"] if cavities else []
    return flags + ([f"holes in a slice, open above or below: {open_holes}"] if open_holes else [])


def _size_flags(voxels: int, least: int) -> list[str]:
    return [f"small: voxels {voxels}, fewer than {least}"] if voxels < least else []


def _value_flags(values: np.ndarray, image: sitk.Image, unit: str | None, expected: tuple | None) -> list[str]:
    flags = []
    if expected is not None and not expected[0] <= values.mean() <= expected[1]:
        flags.append(f"mean {values.mean():.1f} {unit or ''}, expected {expected[0]:g} to {expected[1]:g}")
    outside = int(np.sum(values < LOWEST_HU)) if unit == "HU" else 0
    if outside:
        flags.append(f"outside the scanner's field of view (under {LOWEST_HU:g} HU): voxels {outside}")
    highest = sitk.GetArrayViewFromImage(image).max()
    clipped = int(np.sum(values == highest))
    if clipped >= CLIPPED_VOXELS:
        flags.append(f"at the scan's highest value, {highest:g}, and perhaps cut off there: voxels {clipped}")
    return flags


def _metal_flags(mask: sitk.Image, image: sitk.Image) -> list[str]:
    start, size = bounding_box(mask, METAL_MM)
    metal = np.argwhere(_cropped(image, start, size) > METAL_HU)
    if not len(metal):
        return []
    inside = _cropped(mask, start, size)[tuple(metal.T)].any()
    nearest = 0.0 if inside else _nearest((metal[:, ::-1] + start) * mask.GetSpacing(), _surface(mask)).min()
    where = "inside" if inside else f"{nearest:.0f} mm away"
    return [f"metal {where} (over {METAL_HU:.0f} HU)"] if nearest <= METAL_MM else []


def _surface(mask: sitk.Image) -> np.ndarray:
    """(voxels, 3) centres in mm, along the axes of the image, of the voxels with a face towards the outside."""
    start, size = bounding_box(mask)
    # Framed, because a region ends at the border of its box and of the image too.
    framed = sitk.ConstantPad(sitk.RegionOfInterest(mask, size, start), [1, 1, 1], [1, 1, 1], 0)
    outline = sitk.GetArrayFromImage(sitk.LabelContour(framed, fullyConnected=False))
    return (np.argwhere(outline)[:, ::-1] - 1 + start) * mask.GetSpacing()


def _overlap(mask: sitk.Image, reference: sitk.Image) -> dict:
    one, other = (np.array(bounding_box(image)) for image in (mask, reference))
    start = np.minimum(one[0], other[0])
    size = np.maximum(one.sum(axis=0), other.sum(axis=0)) - start
    regions = [sitk.RegionOfInterest(image, size.tolist(), start.tolist()) for image in (reference, mask)]
    measures = sitk.LabelOverlapMeasuresImageFilter()
    measures.Execute(*regions)
    volumes = [float(np.sum(sitk.GetArrayViewFromImage(region))) for region in regions]
    return {"dice": measures.GetDiceCoefficient(), "volume_ratio": volumes[1] / volumes[0]}


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others."""
    return cKDTree(others).query(points)[0]


def _distances(one: np.ndarray, other: np.ndarray) -> dict:
    there, back = _nearest(one, other), _nearest(other, one)
    return {
        "hausdorff_mm": float(max(there.max(), back.max())),
        "hausdorff95_mm": float(max(np.percentile(there, 95), np.percentile(back, 95))),
    }
