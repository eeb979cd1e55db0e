"""Small DICOM files for the tests of images: a CT series on any grid, and segmentations drawn on it."""

import copy
import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from nenflow.errors import InputError
from nenflow.images.segmentations import read_mask

UPRIGHT = [1, 0, 0, 0, 1, 0]
# Turned by 30 degrees about two axes: no cosine is zero by chance.
TURN, HALF = np.cos(np.pi / 6), 0.5
OBLIQUE = [TURN, HALF, 0, -HALF * TURN, TURN * TURN, HALF]
SPACING = (0.7, 0.8, 2.5)  # x, y, z in mm, all different so that a swap shows
ORIGIN = np.array([-20.0, 35.0, -100.0])
FRAME = "1.2.826.0.1.3680043.8.498.111"
STUDY = "1.2.826.0.1.3680043.8.498.333"
SERIES = "1.2.826.0.1.3680043.8.498.222"


def position(index, orientation=UPRIGHT, spacing=SPACING):
    """Position in mm of voxel indices (..., 3) by the formula of DICOM PS3.3 C.7.6.2.1.1."""
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    axes = np.stack([row * spacing[0], column * spacing[1], np.cross(row, column) * spacing[2]])
    return ORIGIN + np.asarray(index, float) @ axes


def write_dataset(dataset, path, storage, syntax=ExplicitVRLittleEndian):
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = dataset.get("SOPInstanceUID") or generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def ct_slice(stored, number, orientation=UPRIGHT, **tags):
    """One slice of stored values (rows, columns) at index `number` of the grid; `tags` replace or add entries."""
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Doe^Jane", "4711", "19500101"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = STUDY, SERIES, FRAME
    dataset.StudyDescription, dataset.SeriesDescription = "Liver of Jane Doe", "Doe arterial"
    dataset.StudyID = dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.PatientSex = ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 3, number
    dataset.Manufacturer, dataset.KVP, dataset.SliceThickness = "ACME", 120, 2.5
    dataset.ConvolutionKernel = ["I30f", "3"]
    dataset.Rows, dataset.Columns = stored.shape
    dataset.PixelSpacing = [SPACING[1], SPACING[0]]
    dataset.ImageOrientationPatient = [f"{value:.10f}"[:16] for value in orientation]
    dataset.ImagePositionPatient = [f"{value:.8f}" for value in position((0, 0, number), orientation)]
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = stored.astype("<i2").tobytes()
    for tag, value in tags.items():
        if value is None:
            dataset.pop(tag, None)
        else:
            setattr(dataset, tag, value)
    return dataset


def write_series(folder, shape=(6, 12, 10), orientation=UPRIGHT, numbers=None, change=None, **tags):
    """A series whose stored values count its voxels up, in files named against the order of slices.

    `numbers` are the slices that are written (fractions lie between); `change(dataset, number)` alters one.
    """
    stored = np.arange(np.prod(shape)).reshape(shape)
    numbers = range(shape[0]) if numbers is None else numbers
    for count, number in enumerate(numbers):
        dataset = ct_slice(stored[int(number) % shape[0]], number, orientation, **tags)
        dataset.InstanceNumber = count
        if change:
            change(dataset, number)
        write_dataset(dataset, folder / f"{len(numbers) - count:03d}.dcm", CTImageStorage)
    return folder


def pet_tags(slope=1.0, **tags):
    """What makes a slice one of a PET in Bq/ml: 70 kg, 350 MBq at 10:00:00, scanned from 11:49:46 (one half-life)."""
    injected = Dataset()
    injected.RadionuclideTotalDose, injected.RadionuclideHalfLife = 350e6, 6586.0
    injected.RadiopharmaceuticalStartTime = "100000"
    pet = {
        "Modality": "PT", "Units": "BQML", "DecayCorrection": "START", "CorrectedImage": ["DECY", "ATTN"],
        "PatientWeight": 70, "SeriesDate": "20210304", "SeriesTime": "114946", "AcquisitionDate": "20210304",
        "AcquisitionTime": "114946", "RadiopharmaceuticalInformationSequence": [injected], "RescaleSlope": slope,
        "RescaleIntercept": 0, "ConvolutionKernel": None, "KVP": None,
    }  # fmt: skip
    return pet | tags


def write_multiframe(path, slices, change=None, storage=EnhancedCTImageStorage):
    """An enhanced object of single slices, by PS3.3 C.7.6.16.2; `change(groups, number)` alters those of a frame."""
    dataset = copy.deepcopy(slices[0])
    shared = Dataset()
    shared.PixelMeasuresSequence = [_moved(dataset, "PixelSpacing", "SliceThickness")]
    shared.PlaneOrientationSequence = [_moved(dataset, "ImageOrientationPatient")]
    shared.CTXRayDetailsSequence = [_moved(dataset, "KVP")]
    shared.CTReconstructionSequence = [_moved(dataset, "ConvolutionKernel")]
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], []
    for tag in ("ImagePositionPatient", "RescaleSlope", "RescaleIntercept"):
        del dataset[tag]
    for number, one in enumerate(slices):
        groups, content = Dataset(), Dataset()
        content.StackID, content.InStackPositionNumber = "1", number + 1
        groups.FrameContentSequence = [content]
        groups.PlanePositionSequence = [_moved(copy.deepcopy(one), "ImagePositionPatient")]
        groups.PixelValueTransformationSequence = [_moved(copy.deepcopy(one), "RescaleSlope", "RescaleIntercept")]
        if change:
            change(groups, number)
        dataset.PerFrameFunctionalGroupsSequence.append(groups)
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    write_dataset(dataset, path, storage)
    return path


def _moved(dataset, *tags):
    item = Dataset()
    for tag in tags:
        if tag in dataset:
            item.add(dataset[tag])
            del dataset[tag]
    return item


def write_structure(path, rois, frame=FRAME, kind="CLOSED_PLANAR"):
    """An RTSTRUCT; `rois` is a list of (number, name, contours), each contour (points, 3) in mm."""
    dataset = Dataset()
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, name, contours in rois:
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{value:.6f}" for value in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    write_dataset(dataset, path, RTStructureSetStorage)
    return path


def write_segmentation(path, folder, arrays, kind="BINARY", **options):
    """A DICOM SEG made by highdicom on the series in `folder`; `arrays` maps label to (slices, rows, columns)."""
    sources = [pydicom.dcmread(file) for file in folder.iterdir()]
    sources.sort(key=lambda source: float(np.dot(source.ImagePositionPatient, _normal(source))))
    segments = [
        SegmentDescription(number, label, codes.SCT.Tissue, codes.SCT.Neoplasm, "MANUAL")
        for number, label in enumerate(arrays, 1)
    ]
    pixels = np.stack(list(arrays.values()), axis=-1)
    pixels = pixels.astype(np.uint8 if kind == "BINARY" else np.float64)
    Segmentation(
        sources, pixels, kind, segments, generate_uid(), 9, generate_uid(), 1, "ACME", "m", "1", "0",
        max_fractional_value=100, **options,
    ).save_as(path)  # fmt: skip
    return path


def _normal(source):
    row, column = np.reshape(source.ImageOrientationPatient, (2, 3)).astype(float)
    return np.cross(row, column)


def square(low, high, number, orientation=UPRIGHT):
    """Outline around the voxel centres low..high (both included) of columns and rows, on slice `number`, in mm."""
    a, b = low - 0.4, high + 0.4
    return position([(a, a, number), (b, a, number), (b, b, number), (a, b, number)], orientation)


def refusal(call, *arguments):
    """The sentence with which a call refuses; it must be fit for a report."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "/" not in sentence.replace("mg/ml", ""), "a path?"
    assert not re.search(r"\d+(\.\d+){3,}", sentence), "a UID?"
    assert "Doe" not in sentence
    assert "4711" not in sentence
    return sentence


def box(slices, rows, columns, shape=(6, 12, 10)):
    """Array with the given inclusive ranges set, by default on the grid that write_series makes."""
    array = np.zeros(shape, np.uint8)
    array[slices[0] : slices[1] + 1, rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    return array


def mask_array(path, segment, volume):
    """The mask that read_mask gives, as an array; it must lie on the volume's grid."""
    mask = read_mask(path, segment, volume)
    assert mask.GetPixelID() == sitk.sitkUInt8
    for what in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{what}")() == getattr(volume.image, f"Get{what}")()
    return sitk.GetArrayFromImage(mask)


def write_label_map(path, folder, array, names, **options):
    """A DICOM SEG of type LABELMAP on the series in `folder`; `names` maps the values of the array to labels."""
    sources = [pydicom.dcmread(file) for file in folder.iterdir()]
    sources.sort(key=lambda source: float(np.dot(source.ImagePositionPatient, _normal(source))))
    segments = [
        SegmentDescription(number, label, codes.SCT.Tissue, codes.SCT.Neoplasm, "MANUAL")
        for number, label in names.items()
    ]
    Segmentation(
        sources, array, "LABELMAP", segments, generate_uid(), 9, generate_uid(), 1, "ACME", "m", "1", "0", **options
    ).save_as(path)
    return path
