"""Segments of a DICOM segmentation object (SEG)."""

from collections.abc import Iterator

import numpy as np
import pydicom
from pydicom.pixels import iter_pixels

from nenflow.errors import InputError
from nenflow.images.geometry import direction_of, make_affine
from nenflow.images.pixels import check_length
from nenflow.images.placement import check_frame, number_names, place, select
from nenflow.images.sidecar import identity_words
from nenflow.images.volumes import Volume

# A voxel of a fractional segmentation belongs to the region from this share (or probability) of the largest on.
FRACTION = 0.5
TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")


def segment_names(dataset: pydicom.Dataset) -> dict[int | str, str]:
    """Names of the segments of a SEG by number, without the background of a label map."""
    entries = dataset.get("SegmentSequence") or []
    pairs = [(int(entry.SegmentNumber), str(entry.get("SegmentLabel", ""))) for entry in entries]
    background = dataset.get("PixelPaddingValue") if dataset.get("SegmentationType") == "LABELMAP" else None
    return number_names([pair for pair in pairs if pair[0] != background])


def read_segments(dataset: pydicom.Dataset, segment: str | None, volume: Volume) -> np.ndarray:
    """Read one segment of a SEG (DICOM PS3.3 C.8.20) as an array of 0 and 1 on the grid of the volume.

    Frames may come in any order, cover a part of a slice, and be left out where they are empty. In BINARY and
    FRACTIONAL ones each frame belongs to one segment, so that segments may overlap; in a LABELMAP (Supplement 243) the
    value of a voxel is the number of its segment.

    Raises:
        InputError: of another type, not drawn on the volume, or two frames of the segment lie at one place.
    """
    if dataset.get("SegmentationType") not in TYPES:
        raise InputError(
            "The DICOM SEG is neither binary nor fractional nor a label map (SegmentationType): export it as one of "
            "these."
        )
    number = select(segment_names(dataset), segment, identity_words(dataset))
    check_frame(dataset.get("FrameOfReferenceUID"), volume)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    mask = np.zeros(volume.image.GetSize()[::-1], np.uint8)
    corners = []
    for own, frame in _frames(dataset, number, shared):
        corners.append(place(frame[np.newaxis], _frame_affine(own, shared, volume), volume.image, mask)[0].tolist())
    if len({tuple(corner) for corner in corners}) < len(corners):
        raise InputError(
            "A slice of the segment occurs twice (two phases in one file perhaps): export each segmentation by itself."
        )
    return mask


def _frames(
    dataset: pydicom.Dataset, number: int | str, shared: pydicom.Dataset
) -> Iterator[tuple[pydicom.Dataset, np.ndarray]]:
    """The frames that may hold the segment: their functional groups, and which of their voxels are in it.

    Only these are decoded, since a file with many segments may be larger than memory when it is unpacked.
    """
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    if len(groups) != int(dataset.NumberOfFrames):
        raise InputError("The DICOM SEG states another number of frames than it describes: export it again.")
    check_length(dataset)
    if dataset.SegmentationType != "LABELMAP":
        name = "SegmentIdentificationSequence"
        numbers = [int(_group(name, own, shared).ReferencedSegmentNumber) for own in groups]
        indices = [index for index, found in enumerate(numbers) if found == number]
    else:
        indices = list(range(len(groups)))
    if not indices:
        return
    for index, pixels in zip(indices, iter_pixels(dataset, indices=indices, raw=True), strict=True):
        yield groups[index], _inside(dataset, pixels, number)


def _inside(dataset: pydicom.Dataset, pixels: np.ndarray, number: int | str) -> np.ndarray:
    if dataset.SegmentationType == "LABELMAP":
        return pixels == number
    largest = int(dataset.get("MaximumFractionalValue") or 0) if dataset.SegmentationType == "FRACTIONAL" else 1
    if largest < 1 or pixels.max() > largest:
        raise InputError("The values of the DICOM SEG contradict its type (binary or fractional): export it again.")
    return pixels >= FRACTION * largest


def _group(name: str, own: pydicom.Dataset, shared: pydicom.Dataset) -> pydicom.Dataset:
    """A functional group of a frame, which stands with the frame or, when all frames agree, in the shared part."""
    return (own if name in own else shared)[name].value[0]


def _frame_affine(own: pydicom.Dataset, shared: pydicom.Dataset, volume: Volume) -> np.ndarray:
    measures = _group("PixelMeasuresSequence", own, shared)
    rows_mm, columns_mm = (float(value) for value in measures.PixelSpacing)
    distance = float(measures.get("SpacingBetweenSlices") or volume.image.GetSpacing()[2])
    direction = direction_of(_group("PlaneOrientationSequence", own, shared).ImageOrientationPatient)
    position = np.array(_group("PlanePositionSequence", own, shared).ImagePositionPatient, float)
    return make_affine(direction, (columns_mm, rows_mm, distance), position)
