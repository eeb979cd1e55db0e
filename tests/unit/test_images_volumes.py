import json
import shutil

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, JPEGLosslessSV1

from images_files import (
    OBLIQUE,
    ORIGIN,
    SERIES,
    SPACING,
    UPRIGHT,
    ct_slice,
    pet_tags,
    position,
    refusal,
    write_dataset,
    write_series,
)
from nenflow.images.geometry import affine
from nenflow.images.segmentations import read_mask
from nenflow.images.volumes import read_volume

GEOMETRY_MM = 1e-6  # positions are written with eight decimals
ITK_MM = 1e-4  # cosines are written with at most 16 characters, and ITK takes part of its geometry from them
FLOAT32 = 1e-6
NIFTI_MM = 1e-4  # float32 of positions of some 100 mm


@pytest.mark.parametrize("orientation", [UPRIGHT, OBLIQUE, [0, 1, 0, 0, 0, -1]])
def test_every_voxel_keeps_its_place_and_value(tmp_path, orientation):
    volume = read_volume(write_series(tmp_path, orientation=orientation))
    assert volume.image.GetPixelID() == sitk.sitkFloat32
    expected = np.arange(6 * 12 * 10).reshape(6, 12, 10) - 1024
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), expected)
    for index in [(0, 0, 0), (9, 0, 0), (0, 11, 0), (3, 4, 5)]:
        found = volume.image.TransformIndexToPhysicalPoint(index)
        assert np.allclose(found, position(index, orientation), atol=GEOMETRY_MM)
        assert np.allclose((affine(volume.image) @ [*index, 1])[:3], found, atol=GEOMETRY_MM)
    assert np.allclose(volume.image.GetSpacing(), SPACING, atol=GEOMETRY_MM)


def test_each_slice_has_its_own_rescaling(tmp_path):
    def change(dataset, number):
        dataset.RescaleSlope, dataset.RescaleIntercept = number + 0.5, -100 * number

    array = sitk.GetArrayFromImage(read_volume(write_series(tmp_path, change=change)).image)
    assert array[2, 0, 0] == 2 * 120 * 2.5 - 200
    assert array[5, 1, 0] == (5 * 120 + 10) * 5.5 - 500


def test_jitter_of_a_real_scanner_is_no_missing_slice(tmp_path):
    # 0.08 mm in 3.27 mm, as in a PET series of the test data; here the same share of 2.5 mm
    jitter = 0.08 / 3.27
    volume = read_volume(write_series(tmp_path, numbers=[0, 1 + jitter, 2, 3 - jitter, 4, 5]))
    assert volume.image.GetSpacing()[2] == pytest.approx(SPACING[2], abs=GEOMETRY_MM)


def test_sidecar_tells_the_scan_and_not_the_person(tmp_path):
    tags = read_volume(write_series(tmp_path / "a")).tags
    assert tags["KVP"] == 120
    assert tags["ConvolutionKernel"] == ["I30f", "3"]
    assert tags["size"] == [10, 12, 6]
    assert tags["pixel_type"] == "float32"
    assert tags["simulated"] is False
    text = json.dumps(tags)
    assert not any(secret in text for secret in ("Doe", "4711", "1950", "1.2.826"))
    assert read_volume(write_series(tmp_path / "b", StudyDescription="Simulated data")).tags["simulated"] is True


def test_two_series_need_a_choice(tmp_path, capsys):
    other = SERIES + ".5"
    write_series(tmp_path, numbers=range(4), SeriesInstanceUID=other, SeriesNumber=8)
    for count in range(4):
        (tmp_path / f"{count + 1:03d}.dcm").rename(tmp_path / f"other{count}")
    write_series(tmp_path)
    sentence = refusal(read_volume, tmp_path)
    assert "2 series" in sentence
    assert "number 3 with 6" in sentence
    assert "number 8 with 4" in sentence
    assert other in capsys.readouterr().out
    assert read_volume(tmp_path, other).image.GetSize() == (10, 12, 4)
    assert read_volume(tmp_path, SERIES).image.GetSize() == (10, 12, 6)
    assert "number 8 with 4" in refusal(read_volume, tmp_path, SERIES + ".6")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([0, 1, 3, 4], "5.00 mm above -97.50 mm"),
        ([0, 2, 3], "missing"),
        ([0, 1, 2, 4, 6], "slice distance changes"),
        ([0, 1, 2, 2, 3], "1 slice position(s) occur more than once"),
        ([0, 0, 1, 1, 2, 2], "3 slice position(s)"),
        ([0, 1.3, 2, 3, 4], "missing or the slice distance changes"),
        ([0, 1.15, 2, 3, 4], "uneven"),
        ([0], "one slice"),
    ],
)
def test_slices_that_are_no_even_stack_are_refused(tmp_path, numbers, words):
    assert words in refusal(read_volume, write_series(tmp_path, numbers=numbers))


def test_gantry_tilt_is_refused(tmp_path):
    def tilt(dataset, number):
        shifted = np.array(dataset.ImagePositionPatient, float)
        shifted[1] += np.tan(np.radians(14)) * SPACING[2] * number
        dataset.ImagePositionPatient = [f"{value:.8f}" for value in shifted]

    assert "about 14.0 degrees" in refusal(read_volume, write_series(tmp_path, change=tilt))


def _third(**tags):
    def change(dataset, number):
        for tag, value in tags.items():
            if number == 2 and value is None:
                del dataset[tag]
            elif number == 2:
                setattr(dataset, tag, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_third(RescaleSlope=None), "lacks RescaleSlope"),
        (_third(ImagePositionPatient=None), "lacks ImagePositionPatient"),
        (_third(RescaleType="MGML"), "MGML and not in Hounsfield"),
        (_third(PhotometricInterpretation="MONOCHROME1"), "no grey-value"),
        (_third(PixelSpacing=[0.8, 0.75]), "differ in PixelSpacing"),
        (_third(ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "differ in ImageOrientationPatient"),
        (_third(FrameOfReferenceUID="1.2.3.4.5"), "differ in FrameOfReferenceUID"),
        (_third(Columns=9, Rows=12, PixelData=bytes(2 * 9 * 12)), "differ in Columns"),
        (_third(PixelData=bytes(20)), "pixels of a slice cannot be read"),
        (_third(NumberOfFrames=2), "multi-frame"),
    ],
)
def test_one_wrong_slice_is_refused(tmp_path, change, words):
    assert words in refusal(read_volume, write_series(tmp_path, change=change))


@pytest.mark.parametrize("modality", ["MR", "NM", "US"])
def test_what_has_no_defined_unit_is_not_read_as_ct(tmp_path, modality):
    assert f"modality {modality}: only CT and PET" in refusal(read_volume, write_series(tmp_path, Modality=modality))


def test_pet_is_read_as_suv_by_the_slope_of_each_slice(tmp_path):
    # 70 kg and 350 MBq; one half-life after the injection half of it is left
    def change(dataset, number):
        dataset.RescaleSlope = 10 + number

    volume = read_volume(write_series(tmp_path, change=change, **pet_tags()))
    suv_per_bq_ml = 70_000 / 175e6
    stored = np.arange(6 * 12 * 10).reshape(6, 12, 10)
    expected = stored * np.arange(10, 16)[:, None, None] * suv_per_bq_ml
    assert np.allclose(sitk.GetArrayFromImage(volume.image), expected, rtol=FLOAT32)
    assert volume.modality == "PT"
    assert volume.tags["unit"] == "SUV"
    assert read_volume(write_series(tmp_path / "ct")).tags["unit"] == "HU"


def test_pet_in_suv_is_passed_through_and_other_pet_is_refused(tmp_path):
    volume = read_volume(write_series(tmp_path / "a", **pet_tags(slope=0.5, Units="GML", PatientWeight=None)))
    assert sitk.GetArrayFromImage(volume.image)[0, 1, 2] == 6
    assert "PatientWeight" in refusal(read_volume, write_series(tmp_path / "b", **pet_tags(PatientWeight=None)))
    assert "PROPCNTS" in refusal(read_volume, write_series(tmp_path / "c", **pet_tags(Units="PROPCNTS")))
    assert "unknown code" in refusal(read_volume, write_series(tmp_path / "d", **pet_tags(Units="DOE JANE")))


def test_each_slice_of_a_pet_has_its_own_factor(tmp_path):
    # Counts with Philips' private factor to SUV, which may differ from slice to slice
    def change(dataset, number):
        dataset.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", str(0.5 + number))

    array = sitk.GetArrayFromImage(read_volume(write_series(tmp_path, change=change, **pet_tags(Units="CNTS"))).image)
    stored = np.arange(6 * 12 * 10).reshape(6, 12, 10)
    assert np.allclose(array, stored * np.arange(0.5, 6)[:, None, None], rtol=FLOAT32)


def test_empty_slices_of_a_pet_may_have_no_slope(tmp_path):
    def change(dataset, number):
        if number == 2:
            dataset.RescaleSlope, dataset.PixelData = 0, bytes(2 * 12 * 10)

    array = sitk.GetArrayFromImage(read_volume(write_series(tmp_path, change=change, **pet_tags())).image)
    assert not array[2].any()
    assert array[1].all()


def test_skewed_axes_are_refused(tmp_path):
    def skew(dataset, _):
        dataset.ImageOrientationPatient = [1, 0, 0, 0.6, 0.8, 0]

    assert "right angles" in refusal(read_volume, write_series(tmp_path, change=skew))


def test_other_files_in_the_folder(tmp_path):
    write_series(tmp_path / "a")
    (tmp_path / "a" / ".DS_Store").write_text("x")
    assert read_volume(tmp_path / "a").image.GetSize()[2] == 6
    # A slice without the DICOM header may not be lost in silence, least of all at the end of the stack.
    content = (tmp_path / "a" / "001.dcm").read_bytes()
    (tmp_path / "a" / "001.dcm").write_bytes(content[132:])
    assert "1 of 6 files" in refusal(read_volume, tmp_path / "a")
    (tmp_path / "empty").mkdir()
    assert "no DICOM images" in refusal(read_volume, tmp_path / "empty")
    (tmp_path / "slice.txt").write_text("x")
    assert "is no image" in refusal(read_volume, tmp_path / "slice.txt")
    assert "does not exist" in refusal(read_volume, tmp_path / "lost.nii.gz")


def test_compression_that_cannot_be_decoded_is_refused(tmp_path):
    for number in range(3):
        dataset = ct_slice(np.zeros((12, 10)), number, PixelData=encapsulate([b"\xff\xd8 no jpeg \xff\xd9"]))
        dataset["PixelData"].VR = "OB"
        write_dataset(dataset, tmp_path / f"{number}.dcm", CTImageStorage, JPEGLosslessSV1)
    assert "compressed (JPEG Lossless" in refusal(read_volume, tmp_path)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd"])
def test_nifti_and_nrrd_are_read_as_float(tmp_path, suffix):
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 10)
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN.tolist())
    sitk.WriteImage(image, tmp_path / f"scan.{suffix}")
    volume = read_volume(tmp_path / f"scan.{suffix}")
    assert volume.tags["notes"] == []
    assert "unit" not in volume.tags
    assert volume.image.GetPixelID() == sitk.sitkFloat32
    assert volume.frame_of_reference is None
    assert volume.modality is None
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), sitk.GetArrayFromImage(image))
    assert np.allclose(volume.image.GetOrigin(), ORIGIN, atol=NIFTI_MM)
    assert "leave the column series blank" in refusal(read_volume, tmp_path / f"scan.{suffix}", SERIES)


def test_files_that_are_no_scan_is_refused(tmp_path):
    four = sitk.GetImageFromArray(np.zeros((2, 2, 3, 4), np.float32), isVector=False)
    sitk.WriteImage(four, tmp_path / "four.nii.gz")
    assert "not a single 3D image" in refusal(read_volume, tmp_path / "four.nii.gz")
    holed = np.zeros((2, 3, 4), np.float32)
    holed[1, 1, 1] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(holed), tmp_path / "nan.nrrd")
    assert "NaN" in refusal(read_volume, tmp_path / "nan.nrrd")
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    assert "cannot be read" in refusal(read_volume, tmp_path / "broken.nii.gz")


# Directions of rows and columns as PS3.3 C.7.6.2.1.1 defines them, +x to the patient's left, +y to the back, +z up.
LYING = {
    "head first supine": [1, 0, 0, 0, 1, 0],
    "head first prone": [-1, 0, 0, 0, -1, 0],
    "feet first supine": [1, 0, 0, 0, 1, 0],
    "feet first, not turned": [-1, 0, 0, 0, 1, 0],
    "on the left side": [0, -1, 0, 1, 0, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
    "oblique": OBLIQUE,
}


@pytest.mark.parametrize("orientation", LYING.values(), ids=LYING)
@pytest.mark.parametrize("downwards", [False, True])
def test_every_voxel_lies_where_its_header_says_and_where_itk_puts_it(tmp_path, orientation, downwards):
    # Slices may be numbered along their normal or against it; the file says where they are.
    numbers = [0, -1, -2, -3, -4, -5] if downwards else range(6)
    volume = read_volume(write_series(tmp_path, orientation=orientation, numbers=numbers)).image
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    other = reader.Execute()
    for number in numbers:
        for column, row in [(0, 0), (9, 0), (0, 11), (4, 7)]:
            point = position((column, row, number), orientation)
            stored = (number % 6) * 120 + row * 10 + column - 1024
            assert volume[volume.TransformPhysicalPointToIndex(point)] == stored
            assert np.allclose(
                volume.TransformIndexToPhysicalPoint(volume.TransformPhysicalPointToIndex(point)), point, atol=ITK_MM
            )
            assert other[other.TransformPhysicalPointToIndex(point)] == stored
    assert np.linalg.det(np.reshape(volume.GetDirection(), (3, 3))) == pytest.approx(1)


def test_real_raw_pet_gives_the_published_suv(test_data):
    # 267 slices, each with its own slope, in steps of 3.19 to 3.29 mm; values from the README of the test data
    folder = test_data / "suv" / "STS_001_raw_FDG_PET"
    volume = read_volume(folder / "image")
    assert volume.image.GetSize() == (128, 128, 267)
    (structure,) = (folder / "mask").iterdir()
    inside = sitk.GetArrayFromImage(volume.image)[sitk.GetArrayFromImage(read_mask(structure, "GTV_Mass", volume)) > 0]
    assert len(inside) == 5095
    assert inside.max() == pytest.approx(7.9107, abs=5e-5)
    assert inside.mean(dtype=float) == pytest.approx(2.5552, abs=5e-5)
    assert volume.tags["uptake_minutes"] == pytest.approx(45 + 11 / 60)  # 10:35:00 to 11:20:11
    assert volume.tags["half_life_minutes"] == pytest.approx(109.8)


@pytest.mark.parametrize("patient", ["STS_008", "STS_019", "STS_025", "STS_042"])
def test_pet_equals_the_published_nifti(test_data, patient):
    volume = read_volume(test_data / "sts" / "dicom" / patient / "PET" / "image")
    published = sitk.ReadImage(test_data / "sts" / "nifti" / patient / "PET_image.nii.gz")
    assert np.allclose(sitk.GetArrayFromImage(volume.image), sitk.GetArrayFromImage(published), rtol=1e-6)
    assert np.allclose(affine(volume.image), affine(published), atol=NIFTI_MM)
    assert volume.tags["unit"] == "SUV"


@pytest.mark.parametrize("patient", ["STS_008", "STS_019", "STS_025", "STS_042"])
def test_ct_equals_the_published_nifti(test_data, patient):
    volume = read_volume(test_data / "sts" / "dicom" / patient / "CT" / "image")
    published = sitk.ReadImage(test_data / "sts" / "nifti" / patient / "CT_image.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), sitk.GetArrayFromImage(published))
    assert np.allclose(affine(volume.image), affine(published), atol=NIFTI_MM)


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("edge/gantry_tilt_siemens/001", "about 14.0 degrees"),
        ("edge/missing_slice", "5.00 mm between most neighbours, but 10.00 mm"),
        ("edge/compressed", "lack the DICOM header"),
        ("seg/highdicom/source_CT2", "202.50 mm"),
        ("edge/compressed/J2K_pixelrep_mismatch.dcm", "one slice"),
        ("edge/compressed/no_meta.dcm", "is no image"),
        ("sts/dicom/STS_019/MR_T1/image", "only CT and PET"),
    ],
)
def test_real_series_that_cannot_be_read_are_refused(test_data, folder, words):
    assert words in refusal(read_volume, test_data / folder)


def test_jpeg_2000_of_a_real_scanner_is_decoded(test_data, tmp_path):
    # Twice the same slice, one moved. Its padding is -2000; read unsigned, as its own header says, it would be 63536.
    source = test_data / "edge" / "compressed" / "J2K_pixelrep_mismatch.dcm"
    shutil.copy(source, tmp_path / "1.dcm")
    moved = pydicom.dcmread(source)
    orientation = np.array(moved.ImageOrientationPatient, float)
    step = 5 * np.cross(orientation[:3], orientation[3:])
    moved.ImagePositionPatient = [f"{v:.6f}" for v in np.array(moved.ImagePositionPatient, float) + step]
    moved.SOPInstanceUID = moved.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    moved.save_as(tmp_path / "2.dcm")
    array = sitk.GetArrayFromImage(read_volume(tmp_path).image)
    assert array.min() == -2000
