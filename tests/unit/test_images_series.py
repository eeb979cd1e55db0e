import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RawDataStorage,
    RTDoseStorage,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
)

from images_files import SERIES, ct_slice, refusal, square, write_dataset, write_segmentation, write_series
from images_files import write_structure as write_rtstruct
from nenflow.images.volumes import read_volume

CORONAL = [1, 0, 0, 0, 0, -1]
SAGITTAL = [0, 1, 0, 0, 0, -1]
OTHER_SERIES = SERIES + ".7"


def write_image(path, storage=CTImageStorage, shape=(12, 10), number=0, orientation=CORONAL, **tags):
    write_dataset(ct_slice(np.full(shape, 77), number, orientation, **tags), path, storage)


def write_object(path, modality, storage):
    dataset = Dataset()
    dataset.Modality, dataset.SeriesInstanceUID, dataset.PatientName = modality, OTHER_SERIES, "Doe^Jane"
    write_dataset(dataset, path, storage)


def same_image(one, other):
    return np.array_equal(sitk.GetArrayFromImage(one.image), sitk.GetArrayFromImage(other.image)) and (
        one.image.GetOrigin() == other.image.GetOrigin()
    )


SCOUT = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
BESIDE = {
    "1 scout": [
        # in the same series, in its own, marked or told by its size and direction
        lambda path: write_image(path, ImageType=SCOUT),
        lambda path: write_image(path, ImageType=[*SCOUT, "CT_SOM5 TOP"], SeriesInstanceUID=OTHER_SERIES),
        lambda path: write_image(path, shape=(20, 10)),
        lambda path: write_image(path, orientation=SAGITTAL, PixelSpacing=[1, 1], Rows=12),
    ],
    "1 screenshot": [
        lambda path: write_image(path, SecondaryCaptureImageStorage, ImagePositionPatient=None),
        lambda path: write_image(path, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
        lambda path: write_image(path, ImageType=["ORIGINAL", "SECONDARY", "OTHER", "CT_SOM5 PROT"]),
        lambda path: write_image(path, SamplesPerPixel=3, ImagePositionPatient=None, PlanarConfiguration=0),
    ],
    "1 dose report": [lambda path: write_object(path, "SR", XRayRadiationDoseSRStorage)],
    "1 structured report": [lambda path: write_object(path, "KO", KeyObjectSelectionDocumentStorage)],
    "1 presentation state": [lambda path: write_object(path, "PR", GrayscaleSoftcopyPresentationStateStorage)],
    "1 document": [lambda path: write_object(path, "DOC", EncapsulatedPDFStorage)],
    "1 radiotherapy object": [lambda path: write_image(path, RTDoseStorage, Modality="RTDOSE")],
    "1 other object": [
        lambda path: write_object(path, "OT", RawDataStorage),
        lambda path: write_object(path, "OT", "1.3.12.2.1107.5.9.1"),  # a vendor's own
    ],
    "1 structure set": [lambda path: write_rtstruct(path, [(1, "a", [square(2, 5, 1)])])],
    "1 segmentation": [
        lambda path: write_segmentation(path, path.parent, {"a": np.ones((6, 12, 10))}),
        lambda path: write_object(path, "SEG", "1.2.840.10008.5.1.4.1.1.66.7"),
    ],
    "1 subfolder": [lambda path: write_series(path)],
}


@pytest.mark.parametrize(
    ("kind", "write"), [(kind, write) for kind, writers in BESIDE.items() for write in writers]
)  # fmt: skip
def test_what_is_no_slice_is_left_out_and_changes_nothing(tmp_path, kind, write):
    alone = read_volume(write_series(tmp_path / "scan"))
    assert alone.tags["notes"] == []
    write(tmp_path / "scan" / "000.dcm")
    volume = read_volume(tmp_path / "scan")
    assert same_image(volume, alone)
    assert volume.tags.pop("notes") == [f"Left out of the image: {kind}."]
    alone.tags.pop("notes")
    assert volume.tags == alone.tags
    assert volume.frame_of_reference == alone.frame_of_reference


def test_all_kinds_at_once_are_counted(tmp_path):
    alone = read_volume(write_series(tmp_path))
    for number, writers in enumerate(BESIDE.values()):
        writers[-1](tmp_path / f"beside{number}")
    write_image(tmp_path / "second", SecondaryCaptureImageStorage, ImagePositionPatient=None)
    volume = read_volume(tmp_path)
    assert same_image(volume, alone)
    assert volume.tags["notes"] == [
        "Left out of the image: 1 document, 1 dose report, 1 other object, 1 presentation state, 1 radiotherapy "
        "object, 1 scout, 2 screenshots, 1 segmentation, 1 structure set, 1 structured report, 1 subfolder."
    ]


def test_a_folder_without_slices_says_what_it_holds(tmp_path):
    write_image(tmp_path / "a", ImageType=SCOUT)
    write_image(tmp_path / "b", ImageType=SCOUT, orientation=SAGITTAL)
    assert "no DICOM images (only 2 scouts)" in refusal(read_volume, tmp_path)


def test_a_series_of_scouts_cannot_be_chosen(tmp_path):
    write_series(tmp_path)
    write_image(tmp_path / "scout", ImageType=SCOUT, SeriesInstanceUID=OTHER_SERIES)
    assert "is no scan" in refusal(read_volume, tmp_path, OTHER_SERIES)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        # of the size of the slices: perhaps a slice with a damaged header
        ([{}], "differ in ImageOrientationPatient"),
        # three are no pair of scouts
        ([{"shape": (20, 10), "number": n} for n in range(3)], "ImageOrientationPatient"),
        # not across the slices
        ([{"shape": (20, 10), "orientation": [1, 0, 0, 0, 0.8, 0.6]}], "ImageOrientationPatient"),
        ([{"orientation": [1, 0, 0, 0, 1, 0], "number": 6, "SamplesPerPixel": 3}], "no grey-value"),
        # reformatted from the slices, between them
        ([{"orientation": [1, 0, 0, 0, 1, 0], "number": 6, "ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MPR"]}],
         "differ in ImageType"),
        ([{"orientation": [1, 0, 0, 0, 1, 0], "number": 6, "ConvolutionKernel": "B70f"}],
         "differ in ConvolutionKernel"),
        ([{"orientation": [1, 0, 0, 0, 1, 0], "number": 6, "PatientID": "4712"}], "differ in PatientID"),
        ([{"orientation": [1, 0, 0, 0, 1, 0], "number": 6, "storage": SecondaryCaptureImageStorage}], "SOPClassUID"),
        ([{"orientation": [1, 0, 0, 0, 1, 0], "number": 6, "SeriesInstanceUID": OTHER_SERIES}], "holds 2 series"),
    ],
)  # fmt: skip
def test_images_that_may_be_slices_are_not_left_out(tmp_path, images, words):
    write_series(tmp_path)
    for count, image in enumerate(images):
        write_image(tmp_path / f"odd{count}", **image)
    assert words in refusal(read_volume, tmp_path)


def test_a_scan_that_was_written_as_secondary_captures_is_read(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}", SecondaryCaptureImageStorage, number=number)
    assert read_volume(tmp_path).image.GetSize() == (10, 12, 3)


@pytest.mark.parametrize(("tag", "words"), [("Modality", "no known modality"), ("RescaleType", "in another unit")])
def test_text_from_headers_is_not_repeated(tmp_path, tag, words):
    assert words in refusal(read_volume, write_series(tmp_path, **{tag: "Doe"}))


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": ["nan", "0", "0"]}, "no valid ImagePositionPatient"),
        ({"ImagePositionPatient": [0, 0]}, "no valid ImagePositionPatient"),
        ({"PixelSpacing": [0.8, 0]}, "no valid PixelSpacing"),
        ({"RescaleSlope": "inf"}, "no valid RescaleSlope"),
        ({"RescaleSlope": 0}, "RescaleSlope of 0"),
        ({"RescaleSlope": 1e38}, "too large"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "no valid ImageOrientationPatient"),
        ({"Rows": None}, "lacks Rows"),
        ({"SOPClassUID": None, "Rows": None}, "lacks Rows"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, tags, words):
    write_series(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "003.dcm")
    for tag, value in tags.items():
        if value is None:
            del dataset[tag]
        else:
            dataset[tag] = pydicom.DataElement(tag, dataset[tag].VR, value, validation_mode=0)
    dataset.save_as(tmp_path / "003.dcm")
    assert words in refusal(read_volume, tmp_path)


def test_a_slice_that_was_cut_off_anywhere_is_refused(tmp_path):
    write_series(tmp_path)
    content = (tmp_path / "001.dcm").read_bytes()  # the last slice of the stack: nothing else would show the loss
    for length in range(0, len(content) - 1, 37):
        (tmp_path / "001.dcm").write_bytes(content[:length])
        refusal(read_volume, tmp_path)
