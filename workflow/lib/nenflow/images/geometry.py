"""Where voxels are: affines, the box around a region, the even grid that the slices of a DICOM series lie on."""

import numpy as np
import SimpleITK as sitk

from nenflow.errors import InputError

# Of a voxel: how far a slice may lie from the even grid through all slices. Table positions are rounded and jitter
# (a real PET steps by 3.19 to 3.29 mm); a missing slice or a tilted gantry is off by several times as much.
SLICE_TOLERANCE = 0.1
# Two slices at the same place: scanners write positions with two decimals or more and cut no thinner than 0.1 mm.
SAME_POSITION_MM = 0.01
# A step of more than 1.5 times the smallest one has room for a further slice.
MISSING_SLICE_RATIO = 1.5
# Direction cosines are often written with four decimals.
COSINE_TOLERANCE = 1e-3


def affine(image: sitk.Image) -> np.ndarray:
    """4 x 4 matrix that takes a voxel index (i, j, k, 1) of an image to its position in mm (DICOM axes, LPS)."""
    return make_affine(np.reshape(image.GetDirection(), (3, 3)), image.GetSpacing(), image.GetOrigin())


def make_affine(direction: np.ndarray, spacing: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """4 x 4 matrix from direction cosines (one axis per column), voxel spacing (mm) and first voxel centre (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(direction) * np.asarray(spacing)
    matrix[:3, 3] = origin
    return matrix


def bounding_box(mask: sitk.Image, margin_mm: float = 0.0) -> tuple[list[int], list[int]]:
    """First index and size (i, j, k) of the box around a region, widened by a margin as far as the image goes."""
    # numpy is 15 times as fast here as a filter that also measures shape
    array = sitk.GetArrayViewFromImage(mask)
    k = np.flatnonzero(array.any(axis=(1, 2)))
    slab = array[k[0] : k[-1] + 1]
    edges = [np.flatnonzero(slab.any(axis=(0, 1))), np.flatnonzero(slab.any(axis=(0, 2))), k]
    margin = np.ceil(margin_mm / np.array(mask.GetSpacing()) - 1e-9).astype(int)
    first = np.maximum([edge[0] for edge in edges] - margin, 0)
    last = np.minimum([edge[-1] for edge in edges] + margin, np.array(mask.GetSize()) - 1)
    return first.tolist(), (last - first + 1).tolist()


def direction_of(orientation: np.ndarray) -> np.ndarray:
    """Right-handed 3 x 3 direction cosines (columns: along a row, along a column, the normal) of a DICOM plane.

    Args:
        orientation: the six numbers of ImageOrientationPatient.

    Raises:
        InputError: the two directions are not at right angles or not of length one.
    """
    row, column = np.reshape(np.asarray(orientation, float), (2, 3))
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > COSINE_TOLERANCE or abs(row @ column) > COSINE_TOLERANCE:
        raise InputError("The orientation in the DICOM headers is not valid (its axes are not at right angles).")
    row = row / lengths[0]
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return np.column_stack([row, column, np.cross(row, column)])


def stack_slices(positions: np.ndarray, direction: np.ndarray, pixel_mm: float) -> tuple[np.ndarray, float]:
    """Order slices along their normal and check that they lie on one even, upright grid.

    Args:
        positions: (slices, 3) ImagePositionPatient in mm, in any order.
        direction: 3 x 3 direction cosines of the slices, the normal last.
        pixel_mm: the smaller pixel spacing, the measure of shifts within the plane.

    Returns:
        The order of the slices, and their distance in mm (the mean, since single steps jitter).

    Raises:
        InputError: one slice only, two slices at one position, a tilted gantry, a missing slice, uneven distances.
    """
    if len(positions) < 2:
        raise InputError("The series has one slice only, so its slice distance is unknown: export the whole series.")
    normal = direction[:, 2]
    height = positions @ normal
    order = np.argsort(height, kind="stable")
    height, offset = height[order], positions[order] - positions[order[0]]
    steps = np.diff(height)
    _refuse_duplicates(height, steps)
    _refuse_tilt(offset - np.outer(offset @ normal, normal), height, pixel_mm)
    _refuse_gaps(height, steps)
    return order, float((height[-1] - height[0]) / (len(height) - 1))


def _refuse_duplicates(height: np.ndarray, steps: np.ndarray) -> None:
    twice = np.flatnonzero(steps < SAME_POSITION_MM)
    if len(twice):
        raise InputError(
            f"{len(twice)} slice position(s) occur more than once (the first at {height[twice[0]]:.2f} mm): the folder "
            "may hold two phases or copies under one series; export each phase as its own series."
        )


def _refuse_tilt(shift: np.ndarray, height: np.ndarray, pixel_mm: float) -> None:
    sideways = np.linalg.norm(shift, axis=1)
    if sideways.max() > SLICE_TOLERANCE * pixel_mm:
        angle = np.degrees(np.arctan2(sideways[-1], height[-1] - height[0]))
        raise InputError(
            f"The slices are not stacked at right angles to their plane (gantry tilt of about {angle:.1f} degrees, "
            f"shift up to {sideways.max():.2f} mm): export a series that was corrected for the tilt."
        )


def _refuse_gaps(height: np.ndarray, steps: np.ndarray) -> None:
    wide = np.flatnonzero(steps > MISSING_SLICE_RATIO * steps.min())
    if len(wide):
        raise InputError(
            f"A slice is missing or the slice distance changes: {steps.min():.2f} mm between most neighbours, but "
            f"{steps[wide[0]]:.2f} mm above {height[wide[0]]:.2f} mm ({len(wide)} gap(s)); export the whole series."
        )
    even = np.linspace(height[0], height[-1], len(height))
    off = np.abs(height - even).max() / steps.mean()
    if off > SLICE_TOLERANCE:
        raise InputError(
            f"The slice distance is uneven ({steps.min():.2f} to {steps.max():.2f} mm): export a series with one "
            "slice distance."
        )
