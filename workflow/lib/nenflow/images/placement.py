"""What all formats of segmentations share: which segment is meant, and where its voxels lie on the scan."""

from collections.abc import Set
from itertools import pairwise

import numpy as np
import SimpleITK as sitk

from nenflow.errors import InputError
from nenflow.images.dicom import uid_to_print
from nenflow.images.geometry import affine
from nenflow.images.sidecar import is_identity
from nenflow.images.volumes import Volume

# Of a voxel: how far a mask may lie from the grid of the image. A slice itself may be off by 0.1 (SLICE_TOLERANCE),
# contours lie up to 0.06 mm off their plane in public data, and NIfTI rounds to float32; a mask of another grid is
# off by up to half a voxel and turns with every slice.
GRID_TOLERANCE = 0.2
# Of names in a sentence: how many, and how many letters of each. An image that is taken for a label map has thousands.
SHOWN, LONGEST = 20, 60


def select(names: dict[int | str, str], segment: str | None, private: Set[str] = frozenset()) -> int | str:
    """The number of the segment that is meant, by name first, then by number.

    Args:
        names: names by number, as `list_segments` gives them.
        segment: name or number; None when there is only one.
        private: words of the patient's identity; a name that has one of them is not repeated.

    Raises:
        InputError: there is none, or more than one could be meant.
    """
    shown = [(_say(name, private), _say(number, private)) for number, name in list(names.items())[:SHOWN]]
    there = ", ".join(f"'{name}' (number {number})" for name, number in shown)
    there += f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    if segment is None:
        if len(names) == 1:
            return next(iter(names))
        if not names:
            raise InputError("The segmentation is empty: it holds no segment.")
        raise InputError(f"The segmentation holds {len(names)} segments ({there}): name one in the column segment.")
    said = _say(segment, private)
    named = [number for number, name in names.items() if name == segment]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise InputError(f"The segmentation holds '{said}' {len(named)} times ({there}): give its number instead.")
    if segment in names:
        return segment
    if segment.isdecimal() and int(segment) in names:
        return int(segment)
    raise InputError(f"The segmentation holds no segment '{said}'; there are: {there or 'none'}.")


def _say(name: object, private: Set[str]) -> str:
    """A name on one line and not too long, as far as it tells nothing of the patient."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in str(name)).split())
    if is_identity(text, private):
        return "(withheld)"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def number_names(pairs: list[tuple[int, str]]) -> dict[int | str, str]:
    """Names by number; blanks around a name do not count, as in the cases table.

    Raises:
        InputError: a number occurs twice.
    """
    names = {number: name.strip() for number, name in pairs}
    if len(names) < len(pairs):
        raise InputError("The segmentation gives one number to two segments: export it again.")
    return names


def check_frame(frame: str | None, volume: Volume) -> None:
    """Refuse a DICOM segmentation that was not drawn in the coordinate system (frame of reference) of the scan."""
    if not frame or not volume.frame_of_reference:
        raise InputError(
            f"The {'image' if frame else 'segmentation'} has no frame of reference, so a DICOM segmentation cannot be "
            "placed on it: give the DICOM series as image, or the mask as NIfTI or NRRD on the grid of the image."
        )
    if str(frame) != volume.frame_of_reference:
        stated, wanted = uid_to_print(frame), uid_to_print(volume.frame_of_reference)
        print(f"Frame of reference {stated} in the segmentation, {wanted} in the image")
        raise InputError(
            "The segmentation has another frame of reference than the image: it was drawn on another scan; give the "
            "scan it was drawn on (or, if this is it, export the segmentation again with its frame of reference)."
        )


def place(voxels: np.ndarray, grid: np.ndarray, image: sitk.Image, mask: np.ndarray) -> np.ndarray:
    """Set the voxels of `mask` on which the set voxels of another grid lie. Nothing is interpolated.

    Args:
        voxels: array (slices, rows, columns), nonzero = set.
        grid: affine of these voxels; they must coincide with voxels of the image, in any order of axes, but may be a
            part of them.
        image: the scan.
        mask: uint8 array on the grid of the scan, changed in place.

    Returns:
        Indices in the scan of the first and last corner of `voxels`, (2, 3), each axis ascending.

    Raises:
        InputError: the grids do not coincide, or set voxels lie outside the scan.
    """
    relative = np.linalg.inv(affine(image)) @ grid
    corners = np.array(np.meshgrid(*[(0, length - 1) for length in voxels.shape[::-1]])).reshape(3, -1).T
    corners = corners @ relative[:3, :3].T + relative[:3, 3]
    # Each axis must run along one axis of the image by one voxel a step; only then do no holes and no folds arise.
    steps = np.abs(np.rint(relative[:3, :3]))
    same_axes = (steps.sum(axis=0) == 1).all() and (steps.sum(axis=1) == 1).all()
    if not same_axes or np.abs(corners - np.rint(corners)).max() > GRID_TOLERANCE:
        print(f"Segmentation index to image index:\n{relative}")
        raise InputError(
            "The grid of the segmentation (spacing, orientation or position) is not that of the image: it was made on "
            "another image or was resampled; export it on the image's own grid (in 3D Slicer: as a label map with the "
            "image as reference volume)."
        )
    index = np.argwhere(voxels)[:, ::-1] @ relative[:3, :3].T + relative[:3, 3]
    index = np.rint(index).astype(int)
    if len(index) and (index.min() < 0 or (index >= image.GetSize()).any()):
        raise InputError("The region lies outside the image, wholly or in part: give the scan it was drawn on.")
    mask[index[:, 2], index[:, 1], index[:, 0]] = 1
    return np.rint([corners.min(axis=0), corners.max(axis=0)]).astype(int)


def check_slices(mask: np.ndarray) -> None:
    """Refuse a region that was drawn on every other slice or fewer, and not interpolated between them.

    Single slices that do not lie above one another are taken for separate small lesions.

    Args:
        mask: array (slices, rows, columns).
    """
    numbers = np.flatnonzero(mask.any(axis=(1, 2)))
    if len(numbers) < 3 or np.diff(numbers).min() == 1:
        return
    if any((mask[lower] & mask[upper]).any() for lower, upper in pairwise(numbers)):
        raise InputError("No two neighbouring slices are drawn: interpolate the region between the slices first.")
