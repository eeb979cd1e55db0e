"""Small DICOM files for the tests of images: a CT series on any grid, and segmentations drawn on it."""

import re

import numpy as np
import pydicom
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from nenflow.errors import InputError

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
            del dataset[tag]
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


def write_segmentation(path, folder, arrays, kind="BINARY"):
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
        max_fractional_value=100,
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
