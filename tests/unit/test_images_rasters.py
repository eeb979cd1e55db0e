"""Values that are unpacked once, for their check and for their use, are those that ITK reads."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from nenflow.images.rasters import read_raster, write_nifti

PIXELS = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64]


def scan(pixel):
    image = sitk.GetImageFromArray(np.random.default_rng(1).uniform(-100, 100, (4, 5, 6)).astype(pixel))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 30.25, 7))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return image


def assert_as_itk_reads(path):
    ours, itk = read_raster(path), sitk.ReadImage(path)
    assert ours.GetPixelID() == itk.GetPixelID()
    for part in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(ours, part)() == getattr(itk, part)()
    keys = ours.GetMetaDataKeys()
    assert len(keys) > 50
    assert all(ours.GetMetaData(key) == itk.GetMetaData(key) for key in keys)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(itk))


@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_values_and_geometry_are_those_that_itk_reads(name, pixel, tmp_path):
    sitk.WriteImage(scan(pixel), tmp_path / name)
    assert_as_itk_reads(tmp_path / name)


@pytest.mark.parametrize("pixel", [np.uint8, np.float32])
def test_what_is_written_is_what_itk_writes(pixel, tmp_path):
    sitk.WriteImage(scan(pixel), tmp_path / "itk.nii")
    write_nifti(scan(pixel), tmp_path / "scan.nii.gz")
    assert gzip.decompress((tmp_path / "scan.nii.gz").read_bytes()) == (tmp_path / "itk.nii").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["itk.nii", "scan.nii.gz"]


def whole(values):
    """A scan of these values, the first two at its first voxels and the others anywhere."""
    image = sitk.Cast(sitk.Round(scan(np.float32)), sitk.sitkFloat32)
    for place, value in enumerate(values):
        image[place, 0, 0] = value
    return image


@pytest.mark.parametrize("values", [(-1024, 3071), (-33792, 31743), (0, 0)])
def test_whole_numbers_take_16_bits_and_come_back_as_decimals(values, tmp_path):
    write_nifti(whole(values), tmp_path / "scan.nii.gz")
    assert len(gzip.decompress((tmp_path / "scan.nii.gz").read_bytes())) == 352 + 2 * 4 * 5 * 6
    assert_as_itk_reads(tmp_path / "scan.nii.gz")
    read = read_raster(tmp_path / "scan.nii.gz")
    assert read.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(whole(values)))


@pytest.mark.parametrize("value", [0.5, 1e-5, 2.00003, -33793, 31744, 1e9, np.inf, np.nan])
def test_other_numbers_stay_as_they_are(value, tmp_path):
    write_nifti(whole([value]), tmp_path / "scan.nii.gz")
    read = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "scan.nii.gz"))
    expected = sitk.GetArrayFromImage(whole([value]))
    np.testing.assert_array_equal(read, np.where(np.isfinite(expected), expected, 0))  # ITK reads no others


@pytest.mark.parametrize(
    ("values", "pixel"), [((-1024, 3071), np.int16), ((-32768, 31743), np.int16), ((-32769, 0), np.float32)]
)
def test_whole_numbers_come_back_as_integers_where_they_fit(values, pixel, tmp_path):
    write_nifti(whole(values), tmp_path / "scan.nii.gz")
    read = sitk.GetArrayFromImage(read_raster(tmp_path / "scan.nii.gz", integers=True))
    assert read.dtype == pixel
    np.testing.assert_array_equal(read, sitk.GetArrayFromImage(whole(values)))


def test_decimals_come_back_as_decimals(tmp_path):
    write_nifti(scan(np.float32), tmp_path / "scan.nii.gz")
    read = sitk.GetArrayFromImage(read_raster(tmp_path / "scan.nii.gz", integers=True))
    np.testing.assert_array_equal(read, sitk.GetArrayFromImage(scan(np.float32)))


def test_scaled_values_are_scaled(tmp_path):
    sitk.WriteImage(scan(np.int16), tmp_path / "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    struct.pack_into("<2f", content, 112, 0.5, -3.0)
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content))
    assert_as_itk_reads(tmp_path / "scan.nii.gz")
    lowest = sitk.GetArrayFromImage(scan(np.int16)).min()
    assert sitk.GetArrayFromImage(read_raster(tmp_path / "scan.nii.gz")).min() == lowest * 0.5 - 3


def test_a_file_packed_in_parts_is_read_whole(tmp_path):
    """The last part's length stands at the end, less than that of all."""
    sitk.WriteImage(scan(np.int16), tmp_path / "scan.nii")
    content = (tmp_path / "scan.nii").read_bytes()
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(read_raster(tmp_path / "scan.nii.gz")), sitk.GetArrayFromImage(scan(np.int16))
    )


def test_a_length_that_no_file_could_have_takes_no_memory(tmp_path):
    sitk.WriteImage(scan(np.int16), tmp_path / "scan.nii.gz")
    content = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    content[-4:] = b"\xff\xff\xff\xff"
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(gzip.BadGzipFile):
        read_raster(tmp_path / "scan.nii.gz")
