"""Images of a simulated patient: liver, lesions with a texture, and what a rater outlines.

Lengths are in mm and points in the patient's frame (LPS), intensities in HU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from nenflow.errors import InputError

# ASSUME an arterial phase: enhanced liver, lesions brighter with a dark core, fat around the liver.
LIVER_HU, FAT_HU = 90.0, -90.0
RIM_HU, CORE_HU = 40.0, -25.0  # against the liver
CORE_EDGE = 0.08  # width of the transition between them, as a share of the radius
PARENCHYMA = {"sd": 4.0, "sigma": 6.0}  # HU, mm: slow variation inside the liver
NOISE = {"sd": 8.0, "sigma": 0.5}  # HU, mm: slightly correlated, as a smooth reconstruction kernel leaves it

SHAPE = {"sd": 0.06, "degree": 3}  # bumps of a lesion: share of its radius; over about 0.6 radians
READING_DEGREE = 6  # a rater's error keeps its sign over about 0.4 radians
EDGE_MM = 1.5  # blur of the boundary
MARGIN_MM = 6.0  # least distance of lesions from each other, from the liver's surface and the ends of the scan
SUBSLICES = 5  # positions averaged over a slice's thickness: the partial volume effect
PLACEMENTS = 5000  # random positions tried before lesions are called too large


@dataclass(frozen=True)
class Grid:
    """Axial image grid, axes along the patient's: `origin` is the centre of voxel (0, 0, 0) as x, y, z."""

    matrix: int
    slices: int
    spacing: float
    thickness: float
    origin: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.slices, self.matrix, self.matrix

    @property
    def voxel(self) -> np.ndarray:
        """Voxel size in the order of `shape`."""
        return np.array([self.thickness, self.spacing, self.spacing])

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates z, y, x of the voxel centres, shaped to broadcast to `shape`."""
        x, y, z = (
            start + np.arange(size) * step
            for start, size, step in zip(self.origin, self.shape[::-1], self.voxel[::-1], strict=True)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]


@dataclass(frozen=True)
class Bumps:
    """A smooth Gaussian random function on the unit sphere with standard deviation `sd` everywhere.

    It is a sum of two random homogeneous polynomials in x, y, z (Kostlan 1993), of degree d and d + 1. With binomial
    weights their covariance at an angle t is cos(t)^d, which falls over about 1 / sqrt(d) radians; one degree alone
    would mirror the function at the centre.

    Attributes:
        terms: for each monomial the powers of x, y and z, and its coefficient.
        sd: standard deviation.
    """

    terms: tuple[tuple[int, int, int, float], ...]
    sd: float

    @classmethod
    def draw(cls, rng: np.random.Generator, degree: int, sd: float) -> "Bumps":
        """Draw one of the degrees `degree` and `degree` + 1."""
        terms = tuple(
            (i, j, d - i - j, rng.standard_normal() * math.sqrt(math.comb(d, i) * math.comb(d - i, j) / 2))
            for d in (degree, degree + 1)
            for i in range(d + 1)
            for j in range(d - i + 1)
        )
        return cls(terms, sd)

    @cached_property
    def degree(self) -> int:
        """The highest power of all terms."""
        return max(sum(term[:3]) for term in self.terms)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Values in the directions given by unit vectors."""
        # Sums and products only: the same bits on any processor, which cosines would not give.
        powers = [_powers(axis, self.degree) for axis in (x, y, z)]
        total = np.zeros(np.broadcast(x, y, z).shape)
        for *exponents, coefficient in self.terms:
            product = coefficient
            for axis, exponent in zip(powers, exponents, strict=True):
                if exponent:  # a factor of 1 changes nothing
                    product = product * axis[exponent]
            total += product
        return self.sd * total


@dataclass(frozen=True)
class Outline:
    """A closed surface around a centre: its radius is a smooth random function of the direction.

    `bumps` change the radius by a share of it, `errors` (a rater's) by millimetres.
    """

    centre: np.ndarray
    radius: float
    bumps: Bumps
    errors: tuple[Bumps, ...] = ()

    def form(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Radius in the directions given by unit vectors, as a share of `radius`."""
        return np.maximum(1 + self.bumps(x, y, z), 0.3)

    def reach(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Radius in the directions given by unit vectors."""
        errors = sum((wave(x, y, z) for wave in self.errors), np.float64(0))
        return self.radius * self.form(x, y, z) + errors

    def polar(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the centre, and the surface's distance in the same direction, for points in the patient."""
        x, y, z = x - self.centre[0], y - self.centre[1], z - self.centre[2]
        distance = np.maximum(np.sqrt(x**2 + y**2 + z**2), 1e-6)
        return distance, self.reach(x / distance, y / distance, z / distance)

    def depth(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """How far inside the surface points lie along their radius; negative outside."""
        distance, reach = self.polar(z, y, x)
        return reach - distance

    def extent(self) -> tuple[float, float]:
        """Longest diameter through the centre, and the greatest distance of the surface from it."""
        x, y, z = half_sphere()
        one, other = self.reach(x, y, z), self.reach(-x, -y, -z)
        return float((one + other).max()), float(max(one.max(), other.max()))

    def bounds(self) -> np.ndarray:
        """Least and greatest x, y, z of the surface, shape (2, 3)."""
        half = np.array(half_sphere())
        directions = np.concatenate([half, -half], axis=1)
        points = self.centre[:, None] + directions * self.reach(*directions)
        return np.array([points.min(axis=1), points.max(axis=1)])

    @classmethod
    def draw(cls, diameter: float, rng: np.random.Generator) -> "Outline":
        """Draw a lesion's shape with a longest diameter of `diameter`, around the origin."""
        raw = cls(np.zeros(3), 1.0, Bumps.draw(rng, **SHAPE))
        return replace(raw, radius=diameter / raw.extent()[0])

    def misread(self, boundary: float, shift: float, rng: np.random.Generator) -> "Outline":
        """The outline as a rater draws it: a smooth error of SD `boundary`, moved by SD `shift` along each axis."""
        moved = self.centre + shift * rng.standard_normal(3)
        return replace(self, centre=moved, errors=(*self.errors, Bumps.draw(rng, READING_DEGREE, boundary)))


@dataclass(frozen=True)
class Texture:
    """Texture of a lesion: coarseness (sigma in mm), heterogeneity (SD in HU), necrosis (dark share of the radius)."""

    coarseness: float
    heterogeneity: float
    necrosis: float


def draw_grid(settings: dict[str, Any], outlines: Sequence[Outline], rng: np.random.Generator) -> Grid:
    """Draw a patient's scan geometry: one of the settings' in-plane spacings, somewhere on the table.

    The scan has the settings' number of slices, or as many as the lesions need one above the other.
    Positions are whole multiples of 0.1 mm, so that they stand in DICOM's decimal text without rounding.
    """
    spacing, thickness = float(rng.choice(settings["spacings_mm"])), settings["slice_thickness_mm"]
    x, y, z = rng.integers([-1600, -1000, -9000], [-1000, -500, -3000]) / 10
    stack = sum(2 * (outline.extent()[1] + MARGIN_MM) for outline in outlines)
    return Grid(
        settings["matrix"], max(settings["slices"], math.ceil(stack / thickness) + 1), spacing, thickness, (x, y, z)
    )


def place(outlines: Sequence[Outline], grid: Grid, rng: np.random.Generator) -> list[Outline]:
    """Move lesions to random places inside the liver, apart from each other.

    Raises:
        InputError: they do not fit.
    """
    size = (np.array(grid.shape[::-1]) - 1) * grid.voxel[::-1]
    reaches = np.array([outline.extent()[1] + MARGIN_MM for outline in outlines])
    room = size / 2 - reaches[:, None]
    for _ in range(PLACEMENTS if room.min() > 0 else 0):
        centres = np.array(grid.origin) + size / 2 + rng.uniform(-room, room)
        inside = all(_in_liver(grid, centre, reach) for centre, reach in zip(centres, reaches, strict=True))
        apart = all(
            np.linalg.norm(centres[i] - centres[k]) > reaches[i] + reaches[k] - MARGIN_MM
            for i in range(len(centres))
            for k in range(i)
        )
        if inside and apart:
            return [replace(outline, centre=centre) for outline, centre in zip(outlines, centres, strict=True)]
    raise InputError(
        "The simulated lesions of a patient do not fit into the image: enlarge images.matrix or lower lesions_mm."
    )


def paint(grid: Grid, lesions: Sequence[tuple[Outline, Texture]], rng: np.random.Generator) -> np.ndarray:
    """Image of a liver with lesions, HU as int16, shape (slices, rows, columns)."""
    z, y, x = grid.axes()
    liver = np.clip((1 - _liver(grid, y, x)) * grid.matrix * grid.spacing / 8 + 0.5, 0, 1)  # about 2 mm of blur
    image = LIVER_HU + field(grid, grid.shape, **PARENCHYMA, rng=rng)
    for outline, texture in lesions:
        box = _box(grid, outline)
        share, content = lesion_content(outline, texture, grid, (z[box[0]], y[:, box[1]], x[:, :, box[2]]), rng)
        image[box] = image[box] * (1 - share) + LIVER_HU * share + content
    image = FAT_HU + liver * (image - FAT_HU) + field(grid, grid.shape, **NOISE, rng=rng)
    return np.rint(image).astype(np.int16)


def lesion_content(
    outline: Outline, texture: Texture, grid: Grid, axes: tuple[np.ndarray, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What a lesion brings into its part of the image.

    Returns:
        the share of each voxel that is lesion, and the lesion's HU against the liver times that share.
    """
    z, y, x = axes
    share = content = 0.0
    for step in range(SUBSLICES):
        shift = ((step + 0.5) / SUBSLICES - 0.5) * grid.thickness
        distance, reach = outline.polar(z + shift, y, x)
        lesion = np.clip((reach - distance) / EDGE_MM + 0.5, 0, 1) / SUBSLICES
        core = expit((texture.necrosis - distance / reach) / CORE_EDGE)
        share = share + lesion
        content = content + lesion * (RIM_HU + (CORE_HU - RIM_HU) * core)
    # Standardised within the lesion: its amplitude is the latent's and not an accident of this draw.
    waves = field(grid, share.shape, 1.0, texture.coarseness, rng)
    inside = waves[outline.depth(z, y, x) > 0]
    return share, content + share * texture.heterogeneity * (waves - inside.mean()) / inside.std()


def slice_depth(outline: Outline, grid: Grid) -> np.ndarray:
    """Depth (mm, positive inside) of every voxel centre below a lesion's outline, shape (slices, rows, columns).

    Its sign is the mask; its zero line in a slice is the contour that a rater draws there.
    """
    z, y, x = grid.axes()
    low, high = outline.bounds()
    box = _voxels(grid, low - 2 * EDGE_MM, high + 2 * EDGE_MM)
    depth = np.full(grid.shape, -np.inf)
    for part, height in zip(depth[box], z[box[0]], strict=True):  # a slice fits into the processor's cache
        part[:] = outline.depth(height, y[0, box[1]], x[0, :, box[2]])
    return depth


def _powers(values: np.ndarray, highest: int) -> list[np.ndarray]:
    """Powers 0 to `highest`."""
    powers = [np.ones_like(values)]
    for _ in range(highest):
        powers.append(powers[-1] * values)
    return powers


def _box(grid: Grid, outline: Outline) -> tuple[slice, slice, slice]:
    """The part of the image that a lesion and its blurred edge can reach."""
    reach = outline.extent()[1] + 2 * EDGE_MM
    return _voxels(grid, outline.centre - reach, outline.centre + reach)


def _voxels(grid: Grid, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice, slice]:
    """The part of the image between two points x, y, z, with a voxel around it."""
    first, last = ((point[::-1] - np.array(grid.origin[::-1])) / grid.voxel for point in (low, high))
    first = np.maximum(np.floor(first).astype(int) - 1, 0)
    last = np.minimum(np.ceil(last).astype(int) + 2, grid.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))


def _liver(grid: Grid, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A rounded square in every slice: below 1 inside the liver."""
    side = grid.matrix * grid.spacing
    middle = (grid.matrix - 1) * grid.spacing / 2
    return ((x - grid.origin[0] - middle) / (0.48 * side)) ** 4 + ((y - grid.origin[1] - middle) / (0.45 * side)) ** 4


def _in_liver(grid: Grid, centre: np.ndarray, reach: float) -> bool:
    """Whether a sphere lies inside the liver, which has no end along z."""
    angle = np.arange(16) * np.pi / 8
    rim = _liver(grid, centre[1] + reach * np.sin(angle), centre[0] + reach * np.cos(angle))
    return bool(rim.max() < 1)


def field(grid: Grid, shape: tuple[int, ...], sd: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random field: white noise filtered with `sigma` mm, scaled to the standard deviation `sd`."""
    waves = gaussian_filter(rng.standard_normal(shape), sigma / grid.voxel, mode="wrap")
    return sd * waves / waves.std()


def half_sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors x, y, z that are evenly spread over half a sphere (golden angle)."""
    turn = np.arange(2000)
    z = (turn + 0.5) / len(turn)
    across, angle = np.sqrt(1 - z**2), turn * np.pi * (3 - np.sqrt(5))
    return across * np.cos(angle), across * np.sin(angle), z
