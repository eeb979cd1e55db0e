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
    position,
    refusal,
    write_dataset,
    write_series,
)
from nenflow.images.geometry import affine
from nenflow.images.volumes import read_volume

GEOMETRY_MM = 1e-6  # positions are written with eight decimals
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


@pytest.mark.parametrize("modality", ["PT", "MR"])
def test_what_is_not_in_hounsfield_units_is_not_read_as_ct(tmp_path, modality):
    assert f"modality {modality}: only CT" in refusal(read_volume, write_series(tmp_path, Modality=modality))


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
        ("seg/dcmqi/23x38x3/multiframe", "multi-frame"),
        ("sts/dicom/STS_002/PET/image", "only CT"),
        ("sts/dicom/STS_019/MR_T1/image", "only CT"),
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
