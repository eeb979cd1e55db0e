"""Simulated patients as DICOM files: slices of CT and PET, segmentations as DICOM SEG or RTSTRUCT.

UIDs follow from the cohort's identity and dates are fixed, so that the same cohort gives the same bytes. Every file
says in its study and series description, and in the patient's name, that it is simulated.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import highdicom
import numpy as np
from contourpy import contour_generator
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
    generate_uid,
)

from nenflow.simulation.encoding import Elements, decimals, elements, encoded, file_meta, item, pixel_data, write_file
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


@dataclass(frozen=True)
class Series:
    """A written series.

    Attributes:
        common: the data set that all its slices share.
        instances: the slices' SOP instance UIDs, from the feet to the head.
        numbers: their instance numbers.
        positions: the centre of each slice's first voxel as x, y, z.
    """

    common: Dataset
    instances: list[str]
    numbers: list[int]
    positions: list[list[float]]

    def references(self) -> list[bytes]:
        """The slices as items of a sequence that refers to them."""
        kind = self.common.SOPClassUID
        return [
            item(elements(ReferencedSOPClassUID=kind, ReferencedSOPInstanceUID=instance)) for instance in self.instances
        ]

    def dataset(self, index: int) -> Dataset:
        """The data set of a slice without its pixels."""
        dataset = Dataset()
        dataset.update(self.common)
        dataset.SOPInstanceUID = self.instances[index]
        dataset.InstanceNumber = self.numbers[index]
        dataset.ImagePositionPatient = self.positions[index]
        return dataset


def write_ct(
    image: np.ndarray,
    grid: Grid,
    identity: Identity,
    head_first: bool,
    folder: Path,
    enhanced: bool = True,
    kvp: int = 120,
) -> Series:
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
        the series, in the order of `image`.
    """
    common = _header(identity, CTImageStorage)
    _describe_series(common, identity, f"{identity.phase} CT", identity.uid(identity.phase), number=2)
    _add_ct(common, enhanced, kvp)
    _add_pixels(common, grid, bits=12)
    common.RescaleIntercept, common.RescaleSlope, common.RescaleType = INTERCEPT, 1, "HU"
    common.WindowCenter, common.WindowWidth = 90, 300
    series = _series(common, grid, identity, head_first)
    _save(series, (pixel_data((pixels - INTERCEPT).astype("<u2").tobytes(), "OW") for pixels in image), folder)
    return series


def write_pet(
    suv: np.ndarray, grid: Grid, identity: Identity, injection: Injection, head_first: bool, folder: Path
) -> Series:
    """Write a PET series in Bq/ml, one file per slice, each with its own rescale slope as scanners write it.

    Args:
        suv: SUV by body weight (g/ml), not negative, shape (slices, rows, columns), slices from the feet to the head.
        grid: its geometry.
        identity: whose it is; the frame of reference is that of the patient's other series.
        injection: dose, weight and times.
        head_first: as in write_ct.
        folder: where the files go; it is made.

    Returns:
        the series, in the order of `suv`; a stored value is right to half a slope.
    """
    common = _header(identity, PositronEmissionTomographyImageStorage)
    _describe_series(common, identity, f"{identity.phase} PET", identity.uid(identity.phase), number=3)
    _add_pet(common, injection, grid.slices)
    _add_pixels(common, grid, bits=16)
    common.RescaleIntercept = 0
    series = _series(common, grid, identity, head_first)
    _save(series, map(_stored_activity, suv * injection.activity(), series.numbers), folder)
    return series


def write_seg(
    masks: dict[str, np.ndarray], series: Series, identity: Identity, rater: str, number: int, path: Path
) -> None:
    """Write a binary DICOM SEG with one segment per region.

    Args:
        masks: boolean arrays of shape (slices, rows, columns) by region.
        series: what they were drawn on.
        identity: whose it is.
        rater: who drew it.
        number: the series number.
        path: the file.
    """
    segmentation = _segmentation_of_two_slices(list(masks), series, identity, rater, number)
    drawn = np.stack(list(masks.values()))
    # From the head to the feet, as highdicom sorts frames; planes in which nothing was drawn have none.
    planes = np.flatnonzero(drawn.any(axis=(0, 2, 3)))[::-1]
    shared = _frames_of_planes(segmentation.PerFrameFunctionalGroupsSequence[0], series, planes)
    frames, pixels = [], []
    for segment, mask in enumerate(drawn, 1):
        for position, plane in enumerate(planes, 1):
            if mask[plane].any():
                own = elements(FrameContentSequence=[item(elements(DimensionIndexValues=[segment, position]))])
                if len(masks) > 1:  # the only segment is said once, in what all frames share
                    own |= elements(SegmentIdentificationSequence=[item(elements(ReferencedSegmentNumber=segment))])
                frames.append(item(shared[plane] | own))
                pixels.append(mask[plane].ravel())
    references = series.references()
    instances = elements(ReferencedInstanceSequence=references, SeriesInstanceUID=series.common.SeriesInstanceUID)
    own = elements(
        SourceImageSequence=references,
        ReferencedSeriesSequence=[item(instances)],
        SegmentsOverlap="YES" if (drawn.sum(axis=0) > 1).any() else "NO",
        NumberOfFrames=len(frames),
        PerFrameFunctionalGroupsSequence=frames,
    )
    own |= pixel_data(np.packbits(np.concatenate(pixels), bitorder="little").tobytes(), "OB")
    header, instance = encoded(segmentation), segmentation.SOPInstanceUID
    write_file(path, encoded(segmentation.file_meta), instance, header | own)


def write_rtstruct(
    depths: dict[str, np.ndarray],
    grid: Grid,
    series: Series,
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
        series: what they were drawn on.
        identity: whose it is.
        rater: who drew it.
        number: the series number.
        path: the file.
    """
    dataset = _header(identity, RTStructureSetStorage)
    _describe_series(dataset, identity, f"structures {rater}", identity.uid(identity.phase, rater), number)
    dataset.Modality = "RTSTRUCT"
    dataset.InstanceNumber = 1
    dataset.StructureSetLabel = "SIMULATED"
    dataset.StructureSetDate, dataset.StructureSetTime = DATE, TIME
    dataset.ApprovalStatus = "UNAPPROVED"
    references = series.references()
    rois, contours, observations = [], [], []
    for roi_number, (region, depth) in enumerate(depths.items(), 1):
        roi = Dataset()
        roi.ROINumber = roi_number
        roi.ReferencedFrameOfReferenceUID = series.common.FrameOfReferenceUID
        roi.ROIName = region
        roi.ROIGenerationAlgorithm = "MANUAL"
        rois.append(roi)
        contour = elements(
            ROIDisplayColor=f"255\\{64 * roi_number}\\0",
            ContourSequence=_contours(depth, grid, references),
            ReferencedROINumber=roi_number,
        )
        contours.append(item(contour))
        observation = Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = roi_number
        observation.RTROIInterpretedType = "ORGAN" if region in ORGANS else "GTV"
        observation.ROIInterpreter = f"Simulated^{rater}"
        observations.append(observation)
    dataset.StructureSetROISequence = Sequence(rois)
    dataset.RTROIObservationsSequence = Sequence(observations)
    own = elements(
        ReferencedFrameOfReferenceSequence=[_frame_of_reference(series, references)], ROIContourSequence=contours
    )
    instance = identity.uid(identity.phase, rater, "structures")
    write_file(path, encoded(file_meta(RTStructureSetStorage)), instance, encoded(dataset) | own)


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


def _series(common: Dataset, grid: Grid, identity: Identity, head_first: bool) -> Series:
    """A series on a grid, from the feet to the head."""
    x, y, z = grid.origin
    slices = range(grid.slices)
    return Series(
        common=common,
        instances=[identity.uid(identity.phase, "slice", str(index)) for index in slices],
        numbers=[grid.slices - index if head_first else index + 1 for index in slices],
        positions=[[round(float(v), 4) for v in (x, y, z + index * grid.thickness)] for index in slices],
    )


def _stored_activity(values: np.ndarray, number: int) -> Elements:
    """A slice's activity (Bq/ml), with its own slope."""
    # The slope as it stands in the file: nine digits, which a decimal text of DICOM holds.
    slope = float(f"{max(values.max(), 1.0) / PET_FULL_SCALE:.9g}")
    stored = np.rint(values / slope).astype("<u2").tobytes()
    return elements(RescaleSlope=decimals([slope]), ImageIndex=number) | pixel_data(stored, "OW")


def _save(series: Series, contents: Iterable[Elements], folder: Path) -> None:
    """Write a series, each slice with what is its own."""
    folder.mkdir(parents=True)
    common, meta = encoded(series.common), encoded(file_meta(series.common.SOPClassUID))
    for instance, number, position, content in zip(
        series.instances, series.numbers, series.positions, contents, strict=True
    ):
        place = elements(
            InstanceNumber=number,
            ImagePositionPatient=decimals(position),
            SliceLocation=decimals(position[2:]),
        )
        write_file(folder / f"{number:04d}.dcm", meta, instance, common | place | content)


def _segmentation_of_two_slices(
    regions: list[str], series: Series, identity: Identity, rater: str, number: int
) -> Dataset:
    """A SEG of the first slices only, as a pattern for the whole: highdicom takes milliseconds for each slice."""
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=position,
            segment_label=region,
            segmented_property_category=ORGANS.get(region, LESION)[0],
            segmented_property_type=ORGANS.get(region, LESION)[1],
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for position, region in enumerate(regions, 1)
    ]
    pixels = np.zeros((2, series.common.Rows, series.common.Columns, len(regions)), dtype=np.uint8)
    pixels[..., 0, np.arange(len(regions)), np.arange(len(regions))] = 1  # something of each, apart from each other
    segmentation = highdicom.seg.Segmentation(
        source_images=[series.dataset(0), series.dataset(1)],
        pixel_array=pixels,
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
    return segmentation


def _frames_of_planes(pattern: Dataset, series: Series, planes: np.ndarray) -> dict[int, Elements]:
    """What frames of a plane say of their place and of the slice that they were drawn on; `pattern` is any frame."""
    derivation = pattern.DerivationImageSequence[0]
    of_derivation, of_source = encoded(derivation), encoded(derivation.SourceImageSequence[0])
    found = {}
    for plane in planes:
        source = of_source | elements(ReferencedSOPInstanceUID=series.instances[plane])
        found[plane] = elements(
            DerivationImageSequence=[item(of_derivation | elements(SourceImageSequence=[item(source)]))],
            PlanePositionSequence=[item(elements(ImagePositionPatient=decimals(series.positions[plane])))],
        )
    return found


def _fix_chance(segmentation: Dataset, dimensions: str) -> None:
    """Replace what highdicom takes from the clock and from chance."""
    segmentation.StudyDescription = STUDY_DESCRIPTION
    segmentation.SeriesDate = segmentation.ContentDate = segmentation.InstanceCreationDate = DATE
    segmentation.SeriesTime = segmentation.ContentTime = segmentation.InstanceCreationTime = TIME
    for dimension in [*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence]:
        dimension.DimensionOrganizationUID = dimensions
    for equipment in segmentation.ContributingEquipmentSequence:
        equipment.ContributionDateTime = DATE + TIME


def _frame_of_reference(series: Series, references: list[bytes]) -> bytes:
    """The frame of reference of an RTSTRUCT, with the study and series that it was drawn on."""
    images = elements(SeriesInstanceUID=series.common.SeriesInstanceUID, ContourImageSequence=references)
    study = elements(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # Detached Study Management, retired but what writers use
        ReferencedSOPInstanceUID=series.common.StudyInstanceUID,
        RTReferencedSeriesSequence=[item(images)],
    )
    frame = series.common.FrameOfReferenceUID
    return item(elements(FrameOfReferenceUID=frame, RTReferencedStudySequence=[item(study)]))


def _contours(depth: np.ndarray, grid: Grid, references: list[bytes]) -> list[bytes]:
    """Zero lines of the depth, slice by slice, as items of a contour sequence."""
    z, y, x = (axis.ravel().tolist() for axis in grid.axes())
    contours = []
    for index in np.flatnonzero((depth > 0).any(axis=(1, 2))):
        height = round(z[index], CONTOUR_DECIMALS)
        for line in contour_generator(x, y, depth[index]).lines(0.0):
            # DICOM closes the contour itself: the last point is not the first one again.
            points = [
                f"{round(across, CONTOUR_DECIMALS)}\\{round(along, CONTOUR_DECIMALS)}\\{height}"
                for across, along in line[:-1].tolist()
            ]
            contour = elements(
                ContourImageSequence=[references[index]],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
                ContourData="\\".join(points),
            )
            contours.append(item(contour))
    return contours
