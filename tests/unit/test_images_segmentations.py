import numpy as np
import pytest
import SimpleITK as sitk

from images_files import box, mask_array, refusal, square, write_segmentation, write_series, write_structure
from nenflow.errors import InputError
from nenflow.images.segmentations import list_segments, read_mask
from nenflow.images.volumes import read_volume

SHAPE = (6, 12, 10)  # slices, rows, columns of the series that write_series makes
DAMAGED = 40  # copies of each format


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_series(tmp_path / "ct", SHAPE))


def write_files(folder, volume):
    """The same region in each format."""
    array = box((1, 3), (2, 6), (2, 6))
    write_structure(folder / "rs.dcm", [(1, "1", [square(2, 6, number) for number in (1, 2, 3)])])
    write_segmentation(folder / "seg.dcm", folder / "ct", {"1": array})
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(volume.image)
    sitk.WriteImage(image, folder / "m.nii.gz")
    image.SetMetaData("Segment0_Name", "1")
    image.SetMetaData("Segment0_LabelValue", "1")
    sitk.WriteImage(image, folder / "m.seg.nrrd")
    return array, [folder / name for name in ("rs.dcm", "seg.dcm", "m.nii.gz", "m.seg.nrrd")]


def test_all_formats_give_one_mask(tmp_path, volume):
    array, paths = write_files(tmp_path, volume)
    for path in paths:
        assert list_segments(path) == {1: "1"}
        assert np.array_equal(mask_array(path, "1", volume), array)
        assert np.array_equal(mask_array(path, None, volume), array)
        assert "no segment '2'" in refusal(read_mask, path, "2", volume)


@pytest.mark.parametrize("suffix", [".NII.GZ", ".SEG.NRRD"])
def test_suffixes_in_capitals(tmp_path, volume, suffix):
    array, paths = write_files(tmp_path, volume)
    path = next(path for path in paths if path.name.endswith(suffix.lower()))
    assert np.array_equal(mask_array(path.rename(tmp_path / f"M{suffix}"), None, volume), array)


def test_files_that_are_no_segmentation_are_refused(tmp_path, volume):
    (tmp_path / "b.nrrd").write_bytes(b"NRRD0004\nbroken")
    (tmp_path / "b.stl").write_bytes(b"solid")
    refused = {
        "b.nrrd": "cannot be read",
        "b.stl": "neither DICOM SEG, RTSTRUCT, NIfTI nor NRRD",
        "lost.dcm": "does not exist",
        "lost.nrrd": "does not exist",
        "ct/001.dcm": "modality CT",
        "ct": "cannot be read",
    }
    for name, words in refused.items():
        assert words in refusal(read_mask, tmp_path / name, None, volume)
        assert words in refusal(list_segments, tmp_path / name)


def test_damaged_files_end_in_a_refusal_or_in_a_mask(tmp_path, volume):
    random = np.random.default_rng([3, 2])
    _, paths = write_files(tmp_path, volume)
    sentences = []
    for path in paths:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        for number in range(DAMAGED):
            altered = content.copy()
            altered[random.integers(0, len(content), 1 + number)] = random.integers(0, 256, 1 + number)
            if number % 4 == 0:
                altered = altered[: random.integers(0, len(content))]
            path.write_bytes(altered.tobytes())
            for call, *rest in ((read_mask, "1", volume), (list_segments,)):
                try:
                    call(path, *rest)
                except InputError as error:
                    sentences.append(str(error))
    assert len(sentences) > DAMAGED
    assert not any(str(tmp_path) in sentence for sentence in sentences)


# --- real data


@pytest.mark.parametrize("patient", ["STS_008", "STS_019", "STS_025", "STS_042"])
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_rasterised_contours_equal_the_published_masks(test_data, patient, modality):
    folder = test_data / "sts" / "dicom" / patient / modality
    volume = read_volume(folder / "image")
    mask = mask_array(folder / "mask" / "RS.dcm", f"GTV_Mass_{modality}", volume)
    path = test_data / "sts" / "nifti" / patient / f"{modality}_mask.nii.gz"
    published = sitk.ReadImage(path)
    assert np.array_equal(mask, sitk.GetArrayFromImage(published))
    assert np.array_equal(mask, mask_array(path, None, volume)), "NIfTI's float32 is within the tolerance"


def test_ibsi_phantom_equals_its_nifti_mask(test_data):
    folder = test_data / "ibsi1" / "ibsi_1_ct_radiomics_phantom"
    mask = mask_array(folder / "dicom" / "mask" / "DCM_RS_00060.dcm", "GTV-1", read_volume(folder / "dicom" / "image"))
    assert np.array_equal(mask, sitk.GetArrayFromImage(sitk.ReadImage(folder / "nifti" / "mask" / "mask.nii.gz")))


def test_a_real_pet_that_jitters_is_one_even_grid(test_data):
    folder = test_data / "suv" / "STS_001_raw_FDG_PET"  # 267 slices that step by 3.19 to 3.29 mm
    volume = read_volume(folder / "image")
    assert volume.image.GetSize() == (128, 128, 267)
    assert volume.image.GetSpacing()[2] == pytest.approx(3.27, abs=1e-3)
    assert mask_array(folder / "mask" / "1-1.dcm", "GTV_Mass", volume).sum() == 5095
