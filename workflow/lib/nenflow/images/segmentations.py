"""Segmentations in the formats that readers export, as masks on the grid of the scan they were drawn on."""

import re
from collections.abc import Callable
from pathlib import Path

import pydicom
import SimpleITK as sitk
from pydicom.misc import is_dicom

from nenflow.errors import InputError
from nenflow.images.dicom import read_dicom, read_header
from nenflow.images.labels import label_names, read_labels
from nenflow.images.placement import check_slices
from nenflow.images.rasters import RASTER_SUFFIXES
from nenflow.images.segments import read_segments, segment_names
from nenflow.images.structures import read_structure, structure_names
from nenflow.images.volumes import Volume, readable


def read_mask(path: Path, segment: str | None, volume: Volume) -> sitk.Image:
    """Read one segment of a segmentation as a mask (uint8, 0 or 1) on exactly the grid of the volume.

    DICOM segmentations are placed by frame of reference and position, never by the instances they refer to, which
    often do not exist any more. NIfTI and NRRD have no frame of reference: their grid must be that of the volume
    (axes may be flipped or swapped; a 3D Slicer seg.nrrd may be a part of it). Nothing is interpolated.

    Args:
        path: DICOM SEG, RTSTRUCT, NIfTI or NRRD file; what it is, is read from DICOM files and else from the suffix.
        segment: name or number of the segment or ROI, or label value; None when the file has only one.
        volume: the scan.

    Returns:
        The mask; without a voxel set for a segment that is declared but not drawn.

    Raises:
        InputError: the segmentation does not fit the volume, or which segment is meant is not clear.
    """
    path = Path(path)
    with readable(path, "The segmentation"):
        if _is_picture(path):
            mask = read_labels(path, segment, volume)
        else:
            dataset = _read_dicom(path, read_dicom)
            read = read_structure if dataset.Modality == "RTSTRUCT" else read_segments
            mask = read(dataset, segment, volume)
    check_slices(mask)
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(volume.image)
    return image


def list_segments(path: Path) -> dict[int | str, str]:
    """Names of all segments of a segmentation by their number: of segment or ROI in DICOM, else the label value.

    A plain label map has no names but its values; a seg.nrrd whose layers use a label value more than once has
    Slicer's IDs (text) instead of numbers. Name and number may both stand in the column segment of a cases table.

    Raises:
        InputError: the file cannot be read as a segmentation.
    """
    path = Path(path)
    with readable(path, "The segmentation"):
        if _is_picture(path):
            return label_names(path)
        dataset = _read_dicom(path, lambda file: read_header(file)[0])
        return structure_names(dataset) if dataset.Modality == "RTSTRUCT" else segment_names(dataset)


def _is_picture(path: Path) -> bool:
    return path.name.lower().endswith(RASTER_SUFFIXES)


def _read_dicom(path: Path, read: Callable[[Path], pydicom.Dataset]) -> pydicom.Dataset:
    if not path.is_file():
        raise OSError("no file")  # to open a pipe would wait for ever
    if not is_dicom(path):
        print(f"Neither DICOM (with its header), NIfTI nor NRRD: {path}")
        raise InputError(
            "The segmentation is neither DICOM SEG, RTSTRUCT, NIfTI nor NRRD (or lacks the DICOM header): export it "
            "in one of these."
        )
    dataset = read(path)
    if dataset.get("Modality") not in ("RTSTRUCT", "SEG"):
        known = re.fullmatch("[A-Z]{2}|RT[A-Z]+", str(dataset.get("Modality")))
        kind = f"modality {known[0]}" if known else "no known modality"
        raise InputError(f"The segmentation is a DICOM object of {kind}: export it as SEG or RTSTRUCT.")
    return dataset
