import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.legacy import LegacyConvertedEnhancedCTImage, LegacyConvertedEnhancedPETImage
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedPETImageStorage,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    generate_uid,
)

from images_files import (
    OBLIQUE,
    UPRIGHT,
    ct_slice,
    pet_tags,
    position,
    refusal,
    write_dataset,
    write_multiframe,
    write_series,
)
from nenflow.images.volumes import read_volume

SHAPE = (4, 12, 10)
GEOMETRY_MM = 1e-6  # positions are written with eight decimals


def single_slices(orientation=UPRIGHT, order=range(4), **tags):
    stored = np.random.default_rng(3).integers(-2000, 3000, SHAPE)
    return [ct_slice(stored[number], number, orientation, **tags) for number in order]


def write_single(folder, slices, storage=CTImageStorage):
    for number, one in enumerate(slices):
        write_dataset(one, folder / f"{number}.dcm", storage)
    return folder


def same(one, other):
    assert np.array_equal(sitk.GetArrayFromImage(one.image), sitk.GetArrayFromImage(other.image))
    assert np.allclose(one.image.GetOrigin(), other.image.GetOrigin(), atol=GEOMETRY_MM)
    assert np.allclose(one.image.GetSpacing(), other.image.GetSpacing(), atol=GEOMETRY_MM)
    assert np.allclose(one.image.GetDirection(), other.image.GetDirection(), atol=GEOMETRY_MM)
    assert (one.frame_of_reference, one.modality) == (other.frame_of_reference, other.modality)


@pytest.mark.parametrize("orientation", [UPRIGHT, OBLIQUE])
def test_frames_equal_the_single_slices_they_were_made_of(tmp_path, orientation):
    def rescale(groups, number):
        groups.PixelValueTransformationSequence[0].RescaleSlope = number + 0.5

    slices = single_slices(orientation, order=[2, 0, 3, 1])
    file = write_multiframe(tmp_path / "all" / "0.dcm", slices, rescale)
    for number, one in enumerate(slices):
        one.RescaleSlope = number + 0.5
    expected = read_volume(write_single(tmp_path / "single", slices))
    volume = read_volume(file.parent)
    same(volume, expected)
    same(read_volume(file), expected)
    assert volume.tags == expected.tags
    assert np.allclose(volume.image.TransformIndexToPhysicalPoint((3, 4, 2)), position((3, 4, 2), orientation))


def test_compressed_frames(tmp_path):
    slices = single_slices()
    file = write_multiframe(tmp_path / "0.dcm", slices)
    dataset = pydicom.dcmread(file)
    dataset.compress(RLELossless)
    dataset.save_as(file)
    same(read_volume(file), read_volume(write_single(tmp_path / "single", slices)))


def test_tags_of_frames_are_named_as_in_single_slices(tmp_path):
    def describe(groups, number):
        kind, exposure = Dataset(), Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
        exposure.ExposureTimeInms, exposure.XRayTubeCurrentInmA = 500.0, 100.0 + number
        groups.CTImageFrameTypeSequence, groups.CTExposureSequence = [kind], [exposure]

    tags = read_volume(write_multiframe(tmp_path / "0.dcm", single_slices(), describe)).tags
    assert tags["ImageType"] == ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
    assert tags["ExposureTime"] == 500
    assert tags["XRayTubeCurrent"] == [100, 103]
    assert tags["KVP"] == 120
    assert tags["ConvolutionKernel"] == ["I30f", "3"]


def test_scouts_among_the_frames_are_left_out(tmp_path):
    def describe(groups, number):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if number == 0 else "AXIAL", "NONE"]
        groups.CTImageFrameTypeSequence = [kind]

    volume = read_volume(write_multiframe(tmp_path / "0.dcm", single_slices(), describe))
    assert volume.image.GetSize() == (10, 12, 3)
    assert volume.tags["notes"] == ["Left out of the image: 1 scout."]
    assert np.allclose(volume.image.GetOrigin(), position((0, 0, 1)), atol=GEOMETRY_MM)


def _set(sequence, tag, values):
    def change(groups, number):
        if sequence not in groups:
            setattr(groups, sequence, [Dataset()])
        setattr(groups[sequence].value[0], tag, values[number])

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("FrameContentSequence", "StackID", "1122"), "several volumes (its frames differ in StackID"),
        (_set("FrameContentSequence", "TemporalPositionIndex", [1, 1, 2, 2]), "differ in TemporalPositionIndex"),
        (_set("CTXRayDetailsSequence", "KVP", [80, 140, 80, 140]), "differ in KVP"),
        (_set("CTReconstructionSequence", "ConvolutionKernel", ["B", "C", "B", "C"]), "differ in ConvolutionKernel"),
        (_set("PlanePositionSequence", "ImagePositionPatient", [position((0, 0, n)).tolist() for n in (0, 1, 0, 1)]),
         "2 slice position(s) occur more than once"),
        (_set("PlaneOrientationSequence", "ImageOrientationPatient", [UPRIGHT, UPRIGHT, UPRIGHT, OBLIQUE]),
         "differ in ImageOrientationPatient"),
        (_set("PixelValueTransformationSequence", "RescaleType", ["HU", "HU", "Z_EFF", "HU"]), "unit Z_EFF"),
        (_set("PlanePositionSequence", "ImagePositionPatient", [UPRIGHT[:3], UPRIGHT[:3], None, UPRIGHT[:3]]),
         "lacks ImagePositionPatient"),
    ],
)  # fmt: skip
def test_frames_that_are_no_single_volume_are_refused(tmp_path, change, words):
    assert words in refusal(read_volume, write_multiframe(tmp_path / "0.dcm", single_slices(), change))


def test_objects_that_do_not_say_where_frames_lie_are_refused(tmp_path):
    file = write_multiframe(tmp_path / "0.dcm", single_slices())
    dataset = pydicom.dcmread(file)
    del dataset.PerFrameFunctionalGroupsSequence[3]
    dataset.save_as(file)
    assert "does not say where each of its frames lies" in refusal(read_volume, file)
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.save_as(file)
    assert "does not say where each of its frames lies" in refusal(read_volume, file)


def test_enhanced_pet_is_refused_since_its_units_are_elsewhere(tmp_path):
    slices = single_slices(Modality="PT", Units="BQML")
    file = write_multiframe(tmp_path / "0.dcm", slices, storage=EnhancedPETImageStorage)
    assert "one file per slice" in refusal(read_volume, file)


def test_two_multiframe_files_are_not_joined(tmp_path):
    for name in ("a", "b"):
        write_multiframe(tmp_path / name, single_slices())
    assert "holds 2 files, 2 of them multi-frame" in refusal(read_volume, tmp_path)
    assert read_volume(tmp_path / "a").image.GetSize() == (10, 12, 4)


def test_one_file_with_one_slice_is_no_scan(tmp_path):
    write_series(tmp_path)
    assert "one slice" in refusal(read_volume, tmp_path / "001.dcm")
    assert "one slice" in refusal(read_volume, write_multiframe(tmp_path / "0", single_slices()[:1]))


@pytest.mark.parametrize(
    ("tags", "storage", "convert"),
    [
        ({}, CTImageStorage, LegacyConvertedEnhancedCTImage),
        (pet_tags(), PositronEmissionTomographyImageStorage, LegacyConvertedEnhancedPETImage),
    ],
    ids=["CT", "PET"],
)
def test_what_highdicom_converted_equals_its_source(tmp_path, tags, storage, convert):
    slices = single_slices(**tags)
    for number, one in enumerate(slices):
        one.RescaleSlope, one.PatientSex, one.ContentDate, one.ContentTime = 1 + number, "", "", ""
    write_single(tmp_path / "single", slices, storage)
    sources = [pydicom.dcmread(file) for file in (tmp_path / "single").iterdir()]
    convert(sources, generate_uid(), 9, generate_uid(), 1).save_as(tmp_path / "all.dcm")
    same(read_volume(tmp_path / "all.dcm"), read_volume(tmp_path / "single"))


@pytest.mark.parametrize("folder", ["23x38x3", "24x38x3"])
def test_real_multiframe_file_equals_its_single_slices(test_data, folder):
    source = test_data / "seg" / "dcmqi" / folder
    volume, expected = read_volume(source / "multiframe"), read_volume(source / "image")
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), sitk.GetArrayFromImage(expected.image))
    assert np.allclose(volume.image.GetOrigin(), expected.image.GetOrigin(), atol=GEOMETRY_MM)
