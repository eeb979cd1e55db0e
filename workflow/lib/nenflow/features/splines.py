"""Cubic B-spline interpolation of a part of a scan, to the last bit as ITK interpolates the whole scan.

Unser, IEEE Signal Process Mag 1999;16(6):22-38, in the order of operations of ITK's BSplineDecompositionImageFilter,
BSplineInterpolateImageFunction and ResampleImageFilter. ITK filters all of a scan, and a part of it on a grid of its
own would come out otherwise in the last bits, which shows where values between voxels are cut off to whole numbers.
"""

import math
from itertools import pairwise

import numpy as np
import SimpleITK as sitk

POLE = math.sqrt(3.0) - 2.0

# Where ITK ends the sum that starts the recursion: at a weight of 1e-10.
HORIZON = math.ceil(math.log(1e-10) / math.log(abs(POLE)))

# A coefficient depends on the whole line of voxels, a voxel's influence falling by 0.268 with each step. 28 steps reach
# the last bit of a double; the rest leaves room for rounding to settle. With 40 all voxels came out identical, with 32
# a few did not.
MARGIN = 40

# Voxels interpolated at a time, so that what belongs to them stays in the processor's cache.
CHUNK = 8192


def resample(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Interpolate a scan at the voxels of a grid, in the scan's type of pixel.

    Args:
        image: the scan, 3D, of one number per voxel.
        grid: any image with the wanted voxels; those outside the scan become 0.

    Returns:
        What `SimpleITK.Resample(image, grid, interpolator=sitkBSpline)` gives.
    """
    starts, ends = _line_places(image, grid)
    size = image.GetSize()
    voxels = _voxel_before(np.concatenate([starts, ends])).astype(int)
    first = np.clip(voxels.min(0) - 1, 0, np.array(size) - 1).tolist()
    last = np.clip(voxels.max(0) + 2, 0, np.array(size) - 1).tolist()
    coefficients = _coefficients(sitk.GetArrayViewFromImage(image), first, last)
    lines = max(1, CHUNK // grid.GetWidth())
    values = np.empty((len(starts), grid.GetWidth()))
    for some in (slice(low, low + lines) for low in range(0, len(starts), lines)):
        places = [_along_lines(starts[some, axis], ends[some, axis], grid.GetWidth()) for axis in range(3)]
        inside = np.logical_and.reduce(
            np.broadcast_arrays(*((place >= -0.5) & (place < n - 0.5) for place, n in zip(places, size, strict=True)))
        )
        values[some] = np.where(inside, _interpolate(coefficients, places, first, inside), 0.0)
    result = sitk.GetImageFromArray(_as_pixels(values, image).reshape(grid.GetSize()[::-1]))
    result.CopyInformation(grid)
    return result


def _line_places(image: sitk.Image, grid: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Where each line of voxels along x starts and where it has ended, in voxels of the image: n x 3, in x, y, z.

    ITK computes the places of these two and takes those between by their share of the way.
    """
    width, height, depth = grid.GetSize()
    y, x_starts = np.tile(np.arange(height), depth).astype(float), np.zeros(height * depth)
    z = np.repeat(np.arange(depth), height).astype(float)
    # ITK's matrices are those of the same geometry at the origin: the columns are what it makes of unit vectors.
    to_point, to_index = _at_origin(grid), _at_origin(image)
    units = np.eye(3)
    columns = [to_point.TransformContinuousIndexToPhysicalPoint(unit) for unit in units.tolist()]
    inverse = [to_index.TransformPhysicalPointToContinuousIndex(unit) for unit in units.tolist()]
    ends = []
    for x in (x_starts, x_starts + width):
        points = [
            ((grid.GetOrigin()[row] + columns[0][row] * x) + columns[1][row] * y) + columns[2][row] * z
            for row in range(3)
        ]
        offsets = [point - origin for point, origin in zip(points, image.GetOrigin(), strict=True)]
        places = [
            (inverse[0][row] * offsets[0] + inverse[1][row] * offsets[1]) + inverse[2][row] * offsets[2]
            for row in range(3)
        ]
        ends.append(np.stack(places, axis=1))
    return ends[0], ends[1]


def _along_lines(starts: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """Places of all voxels of some lines along one axis: lines x width, or 1 for either where it changes nothing."""
    if (starts == starts[0]).all() and (ends == ends[0]).all():
        starts, ends = starts[:1], ends[:1]
    steps = np.arange(width) / width
    return starts[:, None] + steps * (ends - starts)[:, None] if (starts != ends).any() else starts[:, None]


def _at_origin(image: sitk.Image) -> sitk.Image:
    bare = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    bare.SetSpacing(image.GetSpacing())
    bare.SetDirection(image.GetDirection())
    return bare


def _coefficients(values: np.ndarray, first: list[int], last: list[int]) -> np.ndarray:
    """Coefficients of the voxels from `first` to `last` (x, y, z), in the order y, z, x, and two beyond each end.

    One axis after the other; what an axis needed only for its own recursion is dropped before the next.
    """
    low = [max(0, start - MARGIN) for start in first]
    high = [min(size, end + 1 + MARGIN) for end, size in zip(last, values.shape[::-1], strict=True)]
    x, y, z = (slice(start - skipped, end + 1 - skipped) for start, end, skipped in zip(first, last, low, strict=True))
    part = values[tuple(slice(*ends) for ends in zip(low[::-1], high[::-1], strict=True))]
    lines = _turned(part.swapaxes(0, 1))  # x, z, y
    _decompose(lines)
    lines = _turned(lines[x])  # y, z, x
    _decompose(lines)
    lines = lines[y]
    _decompose(lines.swapaxes(0, 1))
    # Beyond the scan its coefficients are mirrored; beyond the needed part nothing is read.
    return np.pad(lines[:, z], 2, mode="reflect")


def _turned(values: np.ndarray) -> np.ndarray:
    """Doubles with the first and the last axis exchanged; slab by slab, each of which fits into the cache."""
    turned = np.empty(values.shape[::-1])
    for slab in range(values.shape[1]):
        turned[:, slab] = values[:, slab].T
    return turned


def _decompose(lines: np.ndarray) -> None:
    """Turn voxels into coefficients along the first axis, in place."""
    if len(lines) == 1:
        return
    lines *= (1.0 - POLE) * (1.0 - 1.0 / POLE)
    lines[0] = _first_causal(lines)
    step = np.empty_like(lines[0])
    for before, line in pairwise(lines):
        line += np.multiply(before, POLE, out=step)
    lines[-1] = (POLE / (POLE * POLE - 1.0)) * (POLE * lines[-2] + lines[-1])
    for after, line in pairwise(lines[::-1]):
        np.multiply(np.subtract(after, line, out=step), POLE, out=line)


def _first_causal(lines: np.ndarray) -> np.ndarray:
    weight, length = POLE, len(lines)
    if length > HORIZON:
        total = lines[0].copy()
        for line in lines[1:HORIZON]:
            total += weight * line
            weight *= POLE
        return total
    inverse = 1.0 / POLE
    mirrored = math.pow(POLE, length - 1)
    total = lines[0] + mirrored * lines[-1]
    mirrored *= mirrored * inverse
    for line in lines[1 : length - 1]:
        total += (weight + mirrored) * line
        weight *= POLE
        mirrored *= inverse
    return total / (1.0 - weight * weight)


def _interpolate(
    coefficients: np.ndarray, places: list[np.ndarray], first: list[int], inside: np.ndarray
) -> np.ndarray:
    """Weighted sums of the 4 x 4 x 4 coefficients around each place, x fastest, as ITK adds them up."""
    voxels = [_voxel_before(place) for place in places]
    weights = [_weights(place - voxel) for place, voxel in zip(places, voxels, strict=True)]
    per_y, per_z, per_x = (stride // coefficients.itemsize for stride in coefficients.strides)
    # The first of the four, one before; two were put before all.
    corners = [
        (voxel - start + 1) * step for voxel, start, step in zip(voxels, first, (per_x, per_y, per_z), strict=True)
    ]
    corner = np.where(inside, sum(corners), 0).astype(int)
    flat = coefficients.ravel()
    in_plane = [
        (of_x * of_y, i * per_x + j * per_y) for j, of_y in enumerate(weights[1]) for i, of_x in enumerate(weights[0])
    ]
    total, term, around = (np.zeros(corner.shape) for _ in range(3))
    for k, of_z in enumerate(weights[2]):
        for of_xy, offset in in_plane:
            flat[offset + k * per_z :].take(corner, out=around, mode="clip")
            np.multiply(of_xy, of_z, out=term)
            term *= around
            total += term
    return total


def _voxel_before(places: np.ndarray) -> np.ndarray:
    """The voxel at or before each place; ITK looks for it with 32 bits, so that 15.9999999 is at 16 already."""
    return np.floor(places.astype(np.float32)).astype(float)


def _weights(share: np.ndarray) -> list[np.ndarray]:
    last = (1.0 / 6.0) * share * share * share
    first = (1.0 / 6.0) + 0.5 * share * (share - 1.0) - last
    third = share + first - 2.0 * last
    return [first, 1.0 - first - third - last, third, last]


def _as_pixels(values: np.ndarray, image: sitk.Image) -> np.ndarray:
    """Doubles as pixels of the image's type: whole numbers are cut off, and kept within the type's limits."""
    pixel = sitk.GetArrayViewFromImage(image).dtype
    if pixel.kind in "iu":
        limits = np.iinfo(pixel)
        values = np.clip(values, limits.min, limits.max)
    return values.astype(pixel)
