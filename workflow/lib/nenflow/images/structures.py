"""Regions of a DICOM RTSTRUCT: planar contours, and the voxels inside them."""

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement

from nenflow.errors import InputError
from nenflow.images.geometry import affine
from nenflow.images.placement import GRID_TOLERANCE, check_frame, number_names, select
from nenflow.images.sidecar import identity_words
from nenflow.images.volumes import Volume

CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
KINDS = CLOSED | {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}
# Of a voxel: many tools put contour points exactly on voxel centres, where otherwise the last bits of the arithmetic
# would decide what is inside. Coarser than that it must not be: 1e-5 already moves voxels of published masks.
POINT_DECIMALS = 8


def structure_names(dataset: pydicom.Dataset) -> dict[int | str, str]:
    """Names of the ROIs of an RTSTRUCT by number."""
    rois = dataset.get("StructureSetROISequence") or []
    return number_names([(int(roi.ROINumber), str(roi.get("ROIName", ""))) for roi in rois])


def read_structure(dataset: pydicom.Dataset, segment: str | None, volume: Volume) -> np.ndarray:
    """Read one ROI of an RTSTRUCT (DICOM PS3.3 C.8.8.6) as an array of 0 and 1 on the grid of the volume.

    The instances that contours refer to are not looked at: they often do not exist any more.

    Raises:
        InputError: the ROI holds anything but closed outlines on slices of the volume, or is not clear.
    """
    number = select(structure_names(dataset), segment, identity_words(dataset))
    check_frame(_frame_of_reference(dataset, number), volume)
    contours = [
        contour
        for roi in dataset.get("ROIContourSequence") or []
        if int(roi.ReferencedROINumber) == number
        for contour in roi.get("ContourSequence") or []
    ]
    kinds = {str(contour.ContourGeometricType) for contour in contours}
    if not kinds <= CLOSED:
        named = " and ".join(sorted(kinds)) if kinds <= KINDS else "outlines of an unknown kind"
        raise InputError(f"The ROI holds {named} and not only closed outlines: redraw it.")
    return rasterise([_points(contour) for contour in contours], volume.image)


def _frame_of_reference(dataset: pydicom.Dataset, number: int | str) -> str | None:
    """The frame of reference of a ROI; where it is missing, that of the whole file when this has only one."""
    own = [roi for roi in dataset.StructureSetROISequence if int(roi.ROINumber) == number]
    frame = own[0].get("ReferencedFrameOfReferenceUID")
    if frame:
        return frame
    entries = dataset.get("ReferencedFrameOfReferenceSequence") or []
    frames = {str(entry.get("FrameOfReferenceUID") or "") for entry in entries}
    return frames.pop() if len(frames) == 1 else None


def _points(contour: pydicom.Dataset) -> np.ndarray:
    points = np.reshape(_numbers(contour), (-1, 3))
    stated = contour.get("NumberOfContourPoints")
    if len(points) and stated is not None and int(stated) != len(points):
        raise InputError("A contour has another number of points than it states: export the segmentation again.")
    if not np.isfinite(points).all():
        raise InputError("A contour holds values that are no numbers: export the segmentation again.")
    return points


def _numbers(contour: pydicom.Dataset) -> np.ndarray:
    """The contour's data as it lies in the file; pydicom makes an object of each of its hundred thousand numbers."""
    element = contour.get_item("ContourData")
    if isinstance(element, RawDataElement) and element.VR in (None, "DS"):
        text = (element.value or b"").strip(b" \0")
        return np.array([float(number) for number in text.split(b"\\")] if text else [])
    values = contour.get("ContourData")
    return np.array([] if values is None else values, float)


def rasterise(contours: list[np.ndarray], image: sitk.Image) -> np.ndarray:
    """Voxels whose centre lies inside planar contours, by the even-odd rule, so that contours inside others are holes.

    Args:
        contours: one (points, 3) array of positions in mm each, closed implicitly.
        image: gives the grid.

    Returns:
        uint8 array (slices, rows, columns).

    Raises:
        InputError: a contour has fewer than three points, is not parallel to the slices, lies between slices or
            outside the image, occurs twice, or overlaps another in part.
    """
    size = np.array(image.GetSize())
    to_index = np.linalg.inv(affine(image))
    slices: dict[int, list[np.ndarray]] = {}
    for contour in contours:
        if len(contour) < 3:
            raise InputError(
                "A contour has fewer than three points, so it encloses nothing: delete it, or redraw what was meant."
            )
        index = contour @ to_index[:3, :3].T + to_index[:3, 3]
        number = int(np.rint(index[:, 2].mean()))
        if np.abs(index[:, 2] - number).max() > GRID_TOLERANCE:
            raise InputError("Contours lie between slices or oblique to them: they were drawn on another image.")
        # Up to one voxel beyond the border, no voxel centre outside the image is enclosed.
        inside = (index[:, :2] >= -1).all() and (index[:, :2] <= size[:2]).all() and 0 <= number < size[2]
        if not inside:
            raise InputError("The region lies outside the image, wholly or in part: give the scan it was drawn on.")
        slices.setdefault(number, []).append(np.round(index[:, :2], POINT_DECIMALS))
    mask = np.zeros(size[::-1], np.uint8)
    for number, outlines in slices.items():
        filled = [fill([outline], int(size[1]), int(size[0])) for outline in outlines]
        _check_nesting(filled)
        mask[number] = np.bitwise_xor.reduce(filled)
    return mask


def _check_nesting(filled: list[np.ndarray]) -> None:
    """Refuse outlines of one slice that are neither inside nor beside one another: even-odd is a guess for them."""
    voxels = np.reshape(filled, (len(filled), -1))
    voxels = voxels[:, voxels.any(axis=0)].astype(float)
    common = voxels @ voxels.T
    first, second = np.triu_indices(len(filled), 1)
    shared, sizes = common[first, second], common.diagonal()
    larger, smaller = np.maximum(sizes[first], sizes[second]), np.minimum(sizes[first], sizes[second])
    if ((shared > 0) & (shared == larger)).any():
        raise InputError("A contour occurs twice on a slice, so what is inside is not clear: redraw the region.")
    if ((shared > 0) & (shared < smaller)).any():
        raise InputError("Contours on a slice overlap in part, so what is inside is not clear: redraw the region.")


def fill(outlines: list[np.ndarray], rows: int, columns: int) -> np.ndarray:
    """Even-odd fill of polygons in one plane, sampled at pixel centres.

    Each edge toggles, in every row of centres that it crosses, all pixels right of the crossing. Centres exactly on an
    outline count at its left and upper side only, so that outlines that touch share no pixel.

    Args:
        outlines: one (points, 2) array of (column, row) indices each; the last point joins the first.
        rows: pixels along a column.
        columns: pixels along a row.

    Returns:
        uint8 array (rows, columns).
    """
    toggles = np.zeros((rows, columns + 1), np.int64)
    for outline in outlines:
        x, y = outline.T
        x_end, y_end = np.roll(x, -1), np.roll(y, -1)
        first = np.clip(np.ceil(np.minimum(y, y_end)), 0, rows).astype(int)
        count = np.clip(np.ceil(np.maximum(y, y_end)), 0, rows).astype(int) - first
        edge = np.repeat(np.arange(len(x)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        crossing = x[edge] + (row - y[edge]) / (y_end - y)[edge] * (x_end - x)[edge]
        np.add.at(toggles, (row, np.clip(np.ceil(crossing), 0, columns).astype(int)), 1)
    return (np.cumsum(toggles, axis=1)[:, :columns] % 2).astype(np.uint8)
