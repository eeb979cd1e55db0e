"""Simulated patients as DICOM files: slices of CT and PET, segmentations as DICOM SEG or RTSTRUCT.

UIDs follow from the cohort's identity and dates are fixed, so that the same cohort gives the same bytes. Every file
says in its study and series description, and in the patient's name, that it is simulated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    PositronEmissionTomographyImageStorage,
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
LESION = (codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Metastasis)
ORGANS = {"liver": (codes.SCT.Organ, codes.SCT.Liver)}  # regions of these names are no lesions
GA68_HALF_LIFE_S = 4062.6  # 67.71 min (DDEP)
GA68_POSITRONS = 0.8888  # of 100 decays
PET_FULL_SCALE = 32767  # the greatest stored value of each slice
PET_FRAME_S = 180


@dataclass(frozen=True)
class Identity:
    """Who a file is about; `cohort` tells the UIDs of two cohorts apart."""

    cohort: tuple[str, ...]
    patient: str
    phase: str

    def uid(self, *what: str) -> str:
        """The UID of something of this patient, the same each time."""
        return generate_uid(entropy_srcs=["nenflow simulation", *self.cohort, self.patient, *what])


@dataclass(frozen=True)
class Injection:
    """What turns activity into SUV in a PET of Ga-68.

    Attributes:
        weight_kg: of the patient.
        dose_bq: activity at the time of the injection.
        uptake_s: from the injection to the start of the scan.
        correction: what the image is decay corrected to, the start of the scan (START) or the injection (ADMIN).
    """

    weight_kg: float
    dose_bq: int
    uptake_s: int
    correction: str

    def activity(self) -> float:
        """Stored activity concentration (Bq/ml) of an SUV by body weight of 1 (g/ml)."""
        left = 2 ** (-self.uptake_s / GA68_HALF_LIFE_S) if self.correction == "START" else 1.0
        return self.dose_bq * left / (self.weight_kg * 1000)


def write_ct(
    image: np.ndarray,
    grid: Grid,
    identity: Identity,
    head_first: bool,
    folder: Path,
    enhanced: bool = True,
    kvp: int = 120,
) -> list[Dataset]:
    """Write a CT series, one file per slice.

    Args:
        image: HU as integers, shape (slices, rows, columns), slices from the feet to the head.
        grid: its geometry.
        identity: whose it is.
        head_first: whether instance 1 is the slice nearest to the head, as some scanners number; else to the feet.
        folder: where the files go; it is made.
        enhanced: whether a contrast agent was given.
        kvp: the tube's voltage in kV.

    Returns:
        the written data sets, in the order of `image`.
    """
    common = _header(identity, CTImageStorage)
    _describe_series(common, identity, f"{identity.phase} CT", identity.uid(identity.phase), number=2)
    _add_ct(common, enhanced, kvp)
    _add_pixels(common, grid, bits=12)
    common.RescaleIntercept, common.RescaleSlope, common.RescaleType = INTERCEPT, 1, "HU"
    common.WindowCenter, common.WindowWidth = 90, 300
    series = list(_slices(common, grid, identity, head_first))
    for dataset, pixels in zip(series, image, strict=True):
        dataset.PixelData = (pixels - INTERCEPT).astype("<u2").tobytes()
    _save(series, folder)
    return series


def write_pet(
    suv: np.ndarray, grid: Grid, identity: Identity, injection: Injection, head_first: bool, folder: Path
) -> list[Dataset]:
    """Write a PET series in Bq/ml, one file per slice, each with its own rescale slope as scanners write it.

    Args:
        suv: SUV by body weight (g/ml), not negative, shape (slices, rows, columns), slices from the feet to the head.
        grid: its geometry.
        identity: whose it is; the frame of reference is that of the patient's other series.
        injection: dose, weight and times.
        head_first: as in write_ct.
        folder: where the files go; it is made.

    Returns:
        the written data sets, in the order of `suv`; a stored value is right to half a slope.
    """
    common = _header(identity, PositronEmissionTomographyImageStorage)
    _describe_series(common, identity, f"{identity.phase} PET", identity.uid(identity.phase), number=3)
    _add_pet(common, injection, grid.slices)
    _add_pixels(common, grid, bits=16)
    common.RescaleIntercept = 0
    series = list(_slices(common, grid, identity, head_first))
    for dataset, values in zip(series, suv * injection.activity(), strict=True):
        # The slope as it stands in the file: nine digits, which a decimal text of DICOM holds.
        dataset.RescaleSlope = float(f"{max(values.max(), 1.0) / PET_FULL_SCALE:.9g}")
        dataset.ImageIndex = dataset.InstanceNumber
        dataset.PixelData = np.rint(values / dataset.RescaleSlope).astype("<u2").tobytes()
    _save(series, folder)
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
            segmented_property_category=ORGANS.get(region, LESION)[0],
            segmented_property_type=ORGANS.get(region, LESION)[1],
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
        observation.RTROIInterpretedType = "ORGAN" if region in ORGANS else "GTV"
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


def _add_ct(dataset: Dataset, enhanced: bool, kvp: int) -> None:
    """CT image and contrast modules, as far as all slices share them."""
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "LIVER"
    if enhanced:
        dataset.ContrastBolusAgent = "SIMULATED"
    dataset.ConvolutionKernel = "SIMULATED"
    dataset.KVP = kvp
    dataset.AcquisitionNumber = 1


def _add_pet(dataset: Dataset, injection: Injection, slices: int) -> None:
    """PET series, isotope and image modules, and the patient's weight, as far as all slices share them."""
    dataset.Modality = "PT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientWeight = injection.weight_kg
    dataset.Units, dataset.CountsSource = "BQML", "EMISSION"
    dataset.SeriesType = ["WHOLE BODY", "IMAGE"]
    dataset.CorrectedImage = ["DECY", "ATTN", "SCAT", "RAN", "NORM"]
    dataset.DecayCorrection = injection.correction
    dataset.CollimatorType = "NONE"
    dataset.NumberOfSlices = slices
    dataset.ActualFrameDuration = PET_FRAME_S * 1000
    decay = np.log(2) / GA68_HALF_LIFE_S * PET_FRAME_S
    # When the mean count rate of a decaying frame occurs (PS3.3 C.8.9.4.1.5).
    reference = float(GA68_HALF_LIFE_S / np.log(2) * np.log(decay / -np.expm1(-decay)))
    corrected = reference + (injection.uptake_s if injection.correction == "ADMIN" else 0)
    dataset.FrameReferenceTime = round(reference * 1000, 3)
    dataset.DecayFactor = round(2 ** (corrected / GA68_HALF_LIFE_S), 9)
    start = datetime.strptime(DATE + TIME, "%Y%m%d%H%M%S") - timedelta(seconds=injection.uptake_s)
    given = Dataset()
    given.Radiopharmaceutical = "Ga-68 DOTATOC"
    given.RadiopharmaceuticalStartTime = f"{start:%H%M%S}"
    given.RadiopharmaceuticalStartDateTime = f"{start:%Y%m%d%H%M%S}"
    given.RadionuclideTotalDose = injection.dose_bq
    given.RadionuclideHalfLife = GA68_HALF_LIFE_S
    given.RadionuclidePositronFraction = GA68_POSITRONS
    nuclide = Dataset()
    nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning = "C-131A3", "SRT", "^68^Gallium"
    given.RadionuclideCodeSequence = Sequence([nuclide])
    dataset.RadiopharmaceuticalInformationSequence = Sequence([given])


def _add_pixels(dataset: Dataset, grid: Grid, bits: int) -> None:
    """Image plane and image pixel modules, as far as all slices share them."""
    dataset.PatientPosition = "HFS"
    dataset.AcquisitionDate, dataset.AcquisitionTime = DATE, TIME
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceThickness = grid.thickness
    dataset.PixelSpacing = [grid.spacing, grid.spacing]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = grid.matrix
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = 0


def _slices(common: Dataset, grid: Grid, identity: Identity, head_first: bool) -> Iterator[Dataset]:
    """Data sets of a series' slices, from the feet to the head, without their pixels."""
    for index in range(grid.slices):
        dataset = Dataset()
        dataset.update(common)
        _identify(dataset, identity.uid(identity.phase, "slice", str(index)))
        _add_plane(dataset, grid, index, grid.slices - index if head_first else index + 1)
        yield dataset


def _save(series: list[Dataset], folder: Path) -> None:
    folder.mkdir(parents=True)
    for dataset in series:
        dataset.save_as(folder / f"{dataset.InstanceNumber:04d}.dcm", enforce_file_format=True)


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
