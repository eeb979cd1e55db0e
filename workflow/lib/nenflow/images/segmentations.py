"""Segmentations in the formats that readers export, as masks on the grid of the scan they were drawn on."""

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.misc import is_dicom

from nenflow.errors import InputError
from nenflow.images.geometry import affine, direction_of, make_affine
from nenflow.images.volumes import PICTURE_SUFFIXES, Volume, read_picture, readable

# Of a voxel: how far a mask may lie from the grid of the image. A slice itself may be off by 0.1 (SLICE_TOLERANCE),
# contours lie up to 0.06 mm off their plane in public data, and NIfTI rounds to float32; a mask of another grid is
# off by up to half a voxel and turns with every slice.
GRID_TOLERANCE = 0.2
# A voxel of a fractional segmentation belongs to the region from this share or probability on.
FRACTION = 0.5


def read_mask(path: Path, segment: str | None, volume: Volume) -> sitk.Image:
    """Read one segment of a segmentation as a mask (uint8, 0 or 1) on exactly the grid of the volume.

    DICOM segmentations are placed by frame of reference and position, never by the instances they refer to, which
    often do not exist any more. NIfTI and NRRD have no frame of reference: their grid must be that of the volume
    (axes may be flipped or swapped). Nothing is interpolated.

    Args:
        path: DICOM SEG, RTSTRUCT, NIfTI or NRRD file; what it is, is read from DICOM files and else from the suffix.
        segment: name or number of the segment or ROI, or label value; None when the file has only one.
        volume: the scan.

    Raises:
        InputError: the segmentation does not fit the volume, or which segment is meant is not clear.
    """
    path = Path(path)
    with readable(path, "The segmentation"):
        if path.name.lower().endswith(PICTURE_SUFFIXES):
            mask = _read_labels(path, segment, volume)
        else:
            mask = _read_dicom(path, segment, volume)
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(volume.image)
    return image


def _read_dicom(path: Path, segment: str | None, volume: Volume) -> np.ndarray:
    if path.exists() and not is_dicom(path):
        print(f"Neither DICOM (with its header), NIfTI nor NRRD: {path}")
        raise InputError(
            "The segmentation is neither DICOM SEG, RTSTRUCT, NIfTI nor NRRD (or lacks the DICOM header): export it "
            "in one of these."
        )
    dataset = pydicom.dcmread(path)
    if dataset.get("Modality") == "RTSTRUCT":
        return _read_structure(dataset, segment, volume)
    if dataset.get("Modality") == "SEG":
        return _read_segments(dataset, segment, volume)
    raise InputError(
        f"The segmentation is a DICOM object of modality {dataset.get('Modality')}: export it as SEG or RTSTRUCT."
    )


def _select(names: dict[int, str], segment: str | None) -> int:
    """The number of the segment that is meant, by name first, then by number."""
    there = ", ".join(f"'{name}' (number {number})" for number, name in names.items())
    if segment is None:
        if len(names) == 1:
            return next(iter(names))
        if not names:
            raise InputError("The segmentation is empty: it holds no segment.")
        raise InputError(f"The segmentation holds {len(names)} segments ({there}): name one in the column segment.")
    named = [number for number, name in names.items() if name == segment]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise InputError(f"The segmentation holds '{segment}' {len(named)} times ({there}): give its number instead.")
    if segment.isdecimal() and int(segment) in names:
        return int(segment)
    raise InputError(f"The segmentation holds no segment '{segment}'; there are: {there or 'none'}.")


def _check_frame(frame: str | None, volume: Volume) -> None:
    if not frame or not volume.frame_of_reference:
        raise InputError(
            f"The {'image' if frame else 'segmentation'} has no frame of reference, so a DICOM segmentation cannot be "
            "placed on it: give the DICOM series as image, or the mask as NIfTI or NRRD on the grid of the image."
        )
    if str(frame) != volume.frame_of_reference:
        print(f"Frame of reference {frame} in the segmentation, {volume.frame_of_reference} in the image")
        raise InputError(
            "The segmentation has another frame of reference than the image: it was drawn on another scan; give the "
            "scan it was drawn on."
        )


# --- RTSTRUCT ---------------------------------------------------------------------------------------------------


def _read_structure(dataset: pydicom.Dataset, segment: str | None, volume: Volume) -> np.ndarray:
    rois = {int(roi.ROINumber): roi for roi in dataset.get("StructureSetROISequence") or []}
    number = _select({key: str(roi.get("ROIName", "")).strip() for key, roi in rois.items()}, segment)
    _check_frame(rois[number].get("ReferencedFrameOfReferenceUID"), volume)
    contours = [
        contour
        for roi in dataset.get("ROIContourSequence") or []
        if int(roi.ReferencedROINumber) == number
        for contour in roi.get("ContourSequence") or []
    ]
    kinds = {str(contour.ContourGeometricType) for contour in contours}
    if not kinds <= {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}:
        raise InputError(f"The ROI holds {' and '.join(sorted(kinds))} and not only closed outlines: redraw it.")
    return rasterise([np.reshape(np.array(contour.ContourData, float), (-1, 3)) for contour in contours], volume.image)


def rasterise(contours: list[np.ndarray], image: sitk.Image) -> np.ndarray:
    """Voxels whose centre lies inside planar contours, by the even-odd rule, so that contours inside others are holes.

    Args:
        contours: one (points, 3) array of positions in mm each, closed implicitly.
        image: gives the grid.

    Returns:
        uint8 array (slices, rows, columns).

    Raises:
        InputError: a contour is not parallel to the slices, lies between slices or outside the image, occurs twice,
            or every other slice was left out.
    """
    size = np.array(image.GetSize())
    to_index = np.linalg.inv(affine(image))
    slices: dict[int, list[np.ndarray]] = {}
    for contour in contours:
        index = contour @ to_index[:3, :3].T + to_index[:3, 3]
        number = int(np.rint(index[:, 2].mean()))
        if np.abs(index[:, 2] - number).max() > GRID_TOLERANCE:
            raise InputError("Contours lie between slices or oblique to them: they were drawn on another image.")
        # Up to one voxel beyond the border, no voxel centre outside the image is enclosed.
        inside = (index[:, :2] >= -1).all() and (index[:, :2] <= size[:2]).all() and 0 <= number < size[2]
        if not inside:
            raise InputError("The region lies outside the image, wholly or in part: give the scan it was drawn on.")
        slices.setdefault(number, []).append(index[:, :2])
    _check_stack(slices)
    mask = np.zeros(size[::-1], np.uint8)
    for number, outlines in slices.items():
        mask[number] = fill(outlines, int(size[1]), int(size[0]))
    return mask


def _check_stack(slices: dict[int, list[np.ndarray]]) -> None:
    for outlines in slices.values():
        if len({outline.tobytes() for outline in outlines}) < len(outlines):
            raise InputError("A contour occurs twice on a slice, so what is inside is not clear: redraw the region.")
    numbers = sorted(slices)
    if len(numbers) > 2 and np.diff(numbers).min() > 1:
        raise InputError("No two neighbouring slices are drawn: interpolate the contours between the slices first.")


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


# --- DICOM SEG --------------------------------------------------------------------------------------------------


def _read_segments(dataset: pydicom.Dataset, segment: str | None, volume: Volume) -> np.ndarray:
    if dataset.get("SegmentationType") not in ("BINARY", "FRACTIONAL"):
        raise InputError(
            f"The DICOM SEG is of type {dataset.get('SegmentationType')}: export it as a binary or fractional one."
        )
    names = {int(entry.SegmentNumber): str(entry.SegmentLabel).strip() for entry in dataset.SegmentSequence}
    number = _select(names, segment)
    _check_frame(dataset.get("FrameOfReferenceUID"), volume)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    frames = np.reshape(dataset.pixel_array, (-1, dataset.Rows, dataset.Columns))
    if dataset.SegmentationType == "FRACTIONAL":
        frames = frames >= FRACTION * dataset.MaximumFractionalValue
    mask = np.zeros(volume.image.GetSize()[::-1], np.uint8)
    for frame, own in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        if int(_group("SegmentIdentificationSequence", own, shared).ReferencedSegmentNumber) == number:
            _place(frame[np.newaxis], _frame_affine(own, shared, volume), volume.image, mask)
    return mask


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


def _place(voxels: np.ndarray, grid: np.ndarray, image: sitk.Image, mask: np.ndarray) -> np.ndarray:
    """Set the voxels of `mask` on which the set voxels of another grid lie.

    Args:
        voxels: array (slices, rows, columns), nonzero = set.
        grid: affine of these voxels; they must coincide with voxels of the image, in any order of axes.
        image: the scan.
        mask: uint8 array on the grid of the scan, changed in place.

    Returns:
        Indices in the scan of the first and last corner of `voxels`, (2, 3), each axis ascending.
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
            "another image or was resampled; export it on the image's own grid."
        )
    index = np.argwhere(voxels)[:, ::-1] @ relative[:3, :3].T + relative[:3, 3]
    index = np.rint(index).astype(int)
    if len(index) and (index.min() < 0 or (index >= image.GetSize()).any()):
        raise InputError("The region lies outside the image, wholly or in part: give the scan it was drawn on.")
    mask[index[:, 2], index[:, 1], index[:, 0]] = 1
    return np.rint([corners.min(axis=0), corners.max(axis=0)]).astype(int)


# --- NIfTI and NRRD ---------------------------------------------------------------------------------------------


def _read_labels(path: Path, segment: str | None, volume: Volume) -> np.ndarray:
    image = read_picture(path, "The segmentation")
    labels = sitk.GetArrayFromImage(image)
    values = np.unique(labels)
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise InputError("The segmentation holds values other than whole numbers (probabilities?): save it as a mask.")
    names = _segment_names(image) or {int(value): str(int(value)) for value in values if value != 0}
    number = _select(names, segment)
    mask = np.zeros(volume.image.GetSize()[::-1], np.uint8)
    extent = _place(labels == number, affine(image), volume.image, mask)
    # Without a frame of reference, the whole grid is the only sign that a mask belongs to this image.
    if extent.tolist() != [[0, 0, 0], [length - 1 for length in volume.image.GetSize()]]:
        raise InputError(
            f"The segmentation covers {' x '.join(map(str, image.GetSize()))} voxels and not exactly the image's "
            f"{' x '.join(map(str, volume.image.GetSize()))}: export it on the image's own grid."
        )
    return mask


def _segment_names(image: sitk.Image) -> dict[int, str]:
    """Label value to name, as 3D Slicer writes them into a seg.nrrd; empty for plain label images."""
    keys = [key.removesuffix("_LabelValue") for key in image.GetMetaDataKeys() if key.endswith("_LabelValue")]
    pairs = [(int(image.GetMetaData(f"{key}_LabelValue")), image.GetMetaData(f"{key}_Name")) for key in keys]
    return dict(sorted(pairs))
