"""Simulated patients as DICOM files: CT slices, segmentations as DICOM SEG or RTSTRUCT.

UIDs follow from the cohort's identity and dates are fixed, so that the same cohort gives the same bytes. Every file
says in its study and series description, and in the patient's name, that it is simulated.
"""

from dataclasses import dataclass
from pathlib import Path

import highdicom
import numpy as np
from contourpy import contour_generator
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from nenflow.simulation.phantoms import Grid

DATE, TIME = "20200101", "120000"
STUDY_DESCRIPTION = "SIMULATED - no real patient"
MAKER = {
    "manufacturer": "nenflow",
    "manufacturer_model_name": "simulation",
    "software_versions": "1",
    "device_serial_number": "0",
}
INTERCEPT = -1024  # stored value 0; slope 1, so that whole HU are stored without rounding
CONTOUR_DECIMALS = 4  # mm; a decimal text of DICOM has 16 characters


@dataclass(frozen=True)
class Identity:
    """Who a file is about; `cohort` tells the UIDs of two cohorts apart."""

    cohort: tuple[str, ...]
    patient: str
    phase: str

    def uid(self, *what: str) -> str:
        """The UID of something of this patient, the same each time."""
        return generate_uid(entropy_srcs=["nenflow simulation", *self.cohort, self.patient, *what])


def write_ct(image: np.ndarray, grid: Grid, identity: Identity, head_first: bool, folder: Path) -> list[Dataset]:
    """Write a CT series, one file per slice.

    Args:
        image: HU as integers, shape (slices, rows, columns), slices from the feet to the head.
        grid: its geometry.
        identity: whose it is.
        head_first: whether instance 1 is the slice nearest to the head, as some scanners number; else to the feet.
        folder: where the files go; it is made.

    Returns:
        the written data sets, in the order of `image`.
    """
    folder.mkdir(parents=True)
    common = _header(identity, CTImageStorage)
    _describe_series(common, identity, f"{identity.phase} CT", identity.uid(identity.phase), number=2)
    _add_ct(common, grid)
    series = []
    for index, pixels in enumerate(image):
        number = len(image) - index if head_first else index + 1
        dataset = Dataset()
        dataset.update(common)
        _identify(dataset, identity.uid(identity.phase, "slice", str(index)))
        _add_plane(dataset, grid, index, number)
        dataset.PixelData = (pixels - INTERCEPT).astype("<u2").tobytes()
        dataset.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
        series.append(dataset)
    return series


def write_seg(
    masks: dict[str, np.ndarray], series: list[Dataset], identity: Identity, rater: str, number: int, path: Path
) -> None:
    """Write a binary DICOM SEG with one segment per region.

    Args:
        masks: boolean arrays of shape (slices, rows, columns) by region.
        series: the CT's data sets, in the order of the slices.
        identity: whose it is.
        rater: who drew it.
        number: the series number.
        path: the file.
    """
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=position,
            segment_label=region,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Metastasis,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for position, region in enumerate(masks, 1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=series,
        pixel_array=np.stack(list(masks.values()), axis=-1).astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=identity.uid(identity.phase, rater),
        series_number=number,
        sop_instance_uid=identity.uid(identity.phase, rater, "segmentation"),
        instance_number=1,
        series_description=f"SIMULATED segmentation {rater}",
        content_label="SEGMENTATION",
        content_creator_name=f"Simulated^{rater}",
        **MAKER,
    )
    _fix_chance(segmentation, identity.uid(identity.phase, rater, "dimensions"))
    segmentation.save_as(path, enforce_file_format=True)


def write_rtstruct(
    depths: dict[str, np.ndarray],
    grid: Grid,
    series: list[Dataset],
    identity: Identity,
    rater: str,
    number: int,
    path: Path,
) -> None:
    """Write an RTSTRUCT with one ROI per region, closed planar contours in the slices.

    Args:
        depths: by region, the depth below the outline (mm, positive inside) at voxel centres, shape (slices, rows,
            columns). Contours follow its zero line: a voxel centre is inside a contour exactly where it is positive.
        grid: geometry of `depths`.
        series: the CT's data sets, in the order of the slices.
        identity: whose it is.
        rater: who drew it.
        number: the series number.
        path: the file.
    """
    dataset = _header(identity, RTStructureSetStorage)
    _identify(dataset, identity.uid(identity.phase, rater, "structures"))
    _describe_series(dataset, identity, f"structures {rater}", identity.uid(identity.phase, rater), number)
    dataset.Modality = "RTSTRUCT"
    dataset.InstanceNumber = 1
    dataset.StructureSetLabel = "SIMULATED"
    dataset.StructureSetDate, dataset.StructureSetTime = DATE, TIME
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = Sequence([_frame_of_reference(series)])
    rois, contours, observations = [], [], []
    for roi_number, (region, depth) in enumerate(depths.items(), 1):
        roi = Dataset()
        roi.ROINumber = roi_number
        roi.ReferencedFrameOfReferenceUID = series[0].FrameOfReferenceUID
        roi.ROIName = region
        roi.ROIGenerationAlgorithm = "MANUAL"
        rois.append(roi)
        contour = Dataset()
        contour.ROIDisplayColor = [255, 64 * roi_number, 0]
        contour.ContourSequence = Sequence(_contours(depth, grid, series))
        contour.ReferencedROINumber = roi_number
        contours.append(contour)
        observation = Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = roi_number
        observation.RTROIInterpretedType = "GTV"
        observation.ROIInterpreter = f"Simulated^{rater}"
        observations.append(observation)
    dataset.StructureSetROISequence = Sequence(rois)
    dataset.ROIContourSequence = Sequence(contours)
    dataset.RTROIObservationsSequence = Sequence(observations)
    dataset.save_as(path, enforce_file_format=True)


def _header(identity: Identity, kind: str) -> Dataset:
    """Patient, study, equipment and SOP common modules, all but the instance."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = DATE, TIME
    dataset.SOPClassUID = kind
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = TIME
    dataset.AccessionNumber = ""
    dataset.Manufacturer = MAKER["manufacturer"]
    dataset.ManufacturerModelName = MAKER["manufacturer_model_name"]
    dataset.SoftwareVersions = MAKER["software_versions"]
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = STUDY_DESCRIPTION
    dataset.PatientName = f"Simulated^{identity.patient}"
    dataset.PatientID = f"SIMULATED-{identity.patient}"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyInstanceUID = identity.uid("study")
    dataset.StudyID = "1"
    return dataset


def _identify(dataset: Dataset, instance: str) -> None:
    """The instance, and the file's own header."""
    dataset.SOPInstanceUID = instance
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = instance
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _describe_series(dataset: Dataset, identity: Identity, text: str, uid: str, number: int) -> None:
    """General series and frame of reference modules."""
    dataset.SeriesInstanceUID = uid
    dataset.SeriesNumber = number
    dataset.SeriesDescription = f"SIMULATED {text}"
    dataset.FrameOfReferenceUID = identity.uid("frame of reference")
    dataset.PositionReferenceIndicator = ""


def _add_ct(dataset: Dataset, grid: Grid) -> None:
    """CT image, image plane and image pixel modules, as far as all slices share them."""
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "LIVER"
    dataset.PatientPosition = "HFS"
    dataset.ContrastBolusAgent = "SIMULATED"
    dataset.ConvolutionKernel = "SIMULATED"
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    dataset.AcquisitionDate, dataset.AcquisitionTime = DATE, TIME
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceThickness = grid.thickness
    dataset.PixelSpacing = [grid.spacing, grid.spacing]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = grid.matrix
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = INTERCEPT, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 90, 300


def _add_plane(dataset: Dataset, grid: Grid, index: int, number: int) -> None:
    """Where a slice is, and its number in the series."""
    x, y, z = grid.origin
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient = [round(float(v), 4) for v in (x, y, z + index * grid.thickness)]
    dataset.SliceLocation = dataset.ImagePositionPatient[2]


def _fix_chance(segmentation: Dataset, dimensions: str) -> None:
    """Replace what highdicom takes from the clock and from chance."""
    segmentation.StudyDescription = STUDY_DESCRIPTION
    segmentation.SeriesDate = segmentation.ContentDate = segmentation.InstanceCreationDate = DATE
    segmentation.SeriesTime = segmentation.ContentTime = segmentation.InstanceCreationTime = TIME
    for item in [*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence]:
        item.DimensionOrganizationUID = dimensions
    for item in segmentation.ContributingEquipmentSequence:
        item.ContributionDateTime = DATE + TIME


def _frame_of_reference(series: list[Dataset]) -> Dataset:
    """The frame of reference of an RTSTRUCT, with the study and series that it was drawn on."""
    images = Dataset()
    images.SeriesInstanceUID = series[0].SeriesInstanceUID
    images.ContourImageSequence = Sequence([_reference(slice_) for slice_ in series])
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired but what writers use
    study.ReferencedSOPInstanceUID = series[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = Sequence([images])
    frame = Dataset()
    frame.FrameOfReferenceUID = series[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = Sequence([study])
    return frame


def _reference(slice_: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = slice_.SOPClassUID
    reference.ReferencedSOPInstanceUID = slice_.SOPInstanceUID
    return reference


def _contours(depth: np.ndarray, grid: Grid, series: list[Dataset]) -> list[Dataset]:
    """Zero lines of the depth, slice by slice, as items of a contour sequence."""
    z, y, x = (axis.ravel() for axis in grid.axes())
    contours = []
    for index in np.flatnonzero((depth > 0).any(axis=(1, 2))):
        for line in contour_generator(x, y, depth[index]).lines(0.0):
            # DICOM closes the contour itself: the last point is not the first one again.
            points = np.column_stack([line[:-1], np.full(len(line) - 1, z[index])])
            item = Dataset()
            item.ContourImageSequence = Sequence([_reference(series[index])])
            item.ContourGeometricType = "CLOSED_PLANAR"
            item.NumberOfContourPoints = len(points)
            item.ContourData = [round(float(v), CONTOUR_DECIMALS) for v in points.ravel()]
            contours.append(item)
    return contours
