import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from images_files import (
    FRAME,
    OBLIQUE,
    UPRIGHT,
    box,
    mask_array,
    position,
    refusal,
    write_label_map,
    write_segmentation,
    write_series,
)
from nenflow.images.segmentations import list_segments, read_mask
from nenflow.images.volumes import read_volume

SHAPE = (6, 12, 10)  # slices, rows, columns of the series that write_series makes
OVERLAPPING = {"lesion": box((1, 3), (2, 6), (3, 4)), "liver": box((0, 5), (1, 10), (1, 8))}


@pytest.fixture
def folder(tmp_path):
    return write_series(tmp_path / "ct", SHAPE)


@pytest.fixture
def volume(folder):
    return read_volume(folder)


def change(path, edit):
    """Alter a SEG in place."""
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(path)
    return path


def take_frames(dataset, indices):
    """Keep some frames of a binary SEG, in the given order."""
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)[indices]
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = [groups[index] for index in indices]
    set_frames(dataset, frames)


def set_frames(dataset, frames):
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)


@pytest.mark.parametrize("orientation", [UPRIGHT, OBLIQUE])
def test_segments_are_placed_by_position(tmp_path, orientation):
    folder = write_series(tmp_path / "ct", SHAPE, orientation)
    arrays = {"lesion": box((1, 3), (2, 6), (3, 4)), "liver": box((0, 5), (1, 10), (1, 8))}
    path = write_segmentation(tmp_path / "seg.dcm", folder, arrays)
    volume = read_volume(folder)
    for number, (label, array) in enumerate(arrays.items(), 1):
        assert np.array_equal(mask_array(path, label, volume), array)
        assert np.array_equal(mask_array(path, str(number), volume), array)
    assert "'lesion' (number 1), 'liver' (number 2)" in refusal(read_mask, path, "spleen", volume)


def test_fractional_segments_are_cut_at_one_half(tmp_path):
    folder = write_series(tmp_path / "ct", SHAPE)
    share = np.zeros(SHAPE)
    share[2, 3, 2:6] = [0.49, 0.5, 0.51, 1.0]
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"a": share}, "FRACTIONAL")
    assert np.array_equal(mask_array(path, None, read_volume(folder)), box((2, 2), (3, 3), (3, 5)))


def test_segments_on_another_scan_are_refused(tmp_path):
    folder = write_series(tmp_path / "ct", SHAPE)
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"a": box((1, 3), (2, 6), (3, 4))})
    fewer = read_volume(write_series(tmp_path / "fewer", SHAPE, numbers=range(3)))
    assert "outside the image" in refusal(read_mask, path, None, fewer)
    later = read_volume(write_series(tmp_path / "later", SHAPE, numbers=range(3, 6)))
    assert "outside the image" in refusal(read_mask, path, None, later)
    between = read_volume(write_series(tmp_path / "between", SHAPE, numbers=[0.4, 1.4, 2.4, 3.4, 4.4]))
    assert "not that of the image" in refusal(read_mask, path, None, between)
    every_second = read_volume(write_series(tmp_path / "second", (12, 12, 10), numbers=np.arange(12) / 2))
    assert "not that of the image" in refusal(read_mask, path, None, every_second), "holes between thick slices"
    other = read_volume(write_series(tmp_path / "other", SHAPE, FrameOfReferenceUID=FRAME + ".9"))
    assert "another frame of reference" in refusal(read_mask, path, None, other)


def test_frames_in_any_order(tmp_path, volume, folder):
    path = write_segmentation(tmp_path / "seg.dcm", folder, OVERLAPPING)
    order = [8, 0, 3, 5, 1, 7, 2, 6, 4]
    change(path, lambda dataset: take_frames(dataset, order))
    for label, array in OVERLAPPING.items():
        assert np.array_equal(mask_array(path, label, volume), array)


# Of 7 x 8 voxels each, or of 6 x 7, which is no whole number of bytes.
@pytest.mark.parametrize(("first_row", "first_column"), [(1, 2), (2, 3)])
def test_frames_that_cover_a_part_of_their_slice(tmp_path, volume, folder, first_row, first_column):
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"lesion": OVERLAPPING["lesion"]})

    def crop(dataset):
        frames = dataset.pixel_array[:, first_row:8, first_column:]
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence, 1):
            corner = position((first_column, first_row, number))
            group.PlanePositionSequence[0].ImagePositionPatient = [f"{value:.6f}" for value in corner]
        set_frames(dataset, frames)

    assert np.array_equal(mask_array(change(path, crop), None, volume), OVERLAPPING["lesion"])


def test_only_slices_with_content_are_stored(tmp_path, volume, folder):
    path = write_segmentation(tmp_path / "seg.dcm", folder, OVERLAPPING)
    assert pydicom.dcmread(path).NumberOfFrames == 9
    # A segment that lost all its frames is declared, but nothing is drawn.
    change(path, lambda dataset: take_frames(dataset, [3, 4, 5, 6, 7, 8]))
    assert list_segments(path) == {1: "lesion", 2: "liver"}
    assert not mask_array(path, "lesion", volume).any()
    assert np.array_equal(mask_array(path, "liver", volume), OVERLAPPING["liver"])


def test_frames_without_a_stated_slice_distance(tmp_path, volume, folder):
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"lesion": OVERLAPPING["lesion"]})

    def forget(dataset):
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        if "SpacingBetweenSlices" in measures:
            del measures.SpacingBetweenSlices

    change(path, forget)
    assert np.array_equal(mask_array(path, None, volume), OVERLAPPING["lesion"])
    thin = read_volume(write_series(tmp_path / "thin", (12, 12, 10), numbers=np.arange(12) / 2))
    assert "No two neighbouring slices" in refusal(read_mask, path, None, thin), "holes between thick slices"


def test_a_slice_that_occurs_twice_is_refused(tmp_path, volume, folder):
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"lesion": OVERLAPPING["lesion"]})
    change(path, lambda dataset: take_frames(dataset, [0, 1, 1, 2]))
    assert "occurs twice" in refusal(read_mask, path, None, volume)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_label_map_of_8_bits(tmp_path, volume, folder, syntax):
    array = OVERLAPPING["lesion"] * 7 + box((0, 5), (8, 9), (1, 8)) * 2
    path = write_label_map(tmp_path / "seg.dcm", folder, array, {2: "liver", 7: "lesion"}, transfer_syntax_uid=syntax)
    stored = pydicom.dcmread(path)
    assert (stored.BitsAllocated, stored.file_meta.TransferSyntaxUID) == (8, syntax)
    assert [entry.SegmentNumber for entry in stored.SegmentSequence] == [0, 2, 7]
    assert list_segments(path) == {2: "liver", 7: "lesion"}, "0 is the background"
    assert np.array_equal(mask_array(path, "lesion", volume), array == 7)
    assert np.array_equal(mask_array(path, "2", volume), array == 2)
    assert "holds 2 segments" in refusal(read_mask, path, None, volume)


def test_label_map_of_16_bits(tmp_path, volume, folder):
    array = OVERLAPPING["lesion"].astype(np.uint16) * 300 + box((0, 5), (8, 9), (1, 8)) * 44  # 300 - 256 = 44
    path = write_label_map(tmp_path / "seg.dcm", folder, array, {44: "liver", 300: "lesion"})
    assert pydicom.dcmread(path).BitsAllocated == 16
    assert np.array_equal(mask_array(path, "lesion", volume), array == 300)
    assert np.array_equal(mask_array(path, "44", volume), array == 44)


def test_compressed_segments(tmp_path, volume, folder):
    arrays = {"lesion": OVERLAPPING["lesion"]}
    path = write_segmentation(tmp_path / "rle.dcm", folder, arrays, "FRACTIONAL", transfer_syntax_uid=RLELossless)
    assert np.array_equal(mask_array(path, None, volume), OVERLAPPING["lesion"])
    path = write_segmentation(tmp_path / "deflated.dcm", folder, OVERLAPPING)
    change(path, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", DeflatedExplicitVRLittleEndian))
    assert b"ACME" not in path.read_bytes()
    for label, array in OVERLAPPING.items():
        assert np.array_equal(mask_array(path, label, volume), array)
    assert list_segments(path) == {1: "lesion", 2: "liver"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda dataset: setattr(dataset, "SegmentationType", "WAVES"), "neither binary nor fractional"),
        (lambda dataset: setattr(dataset, "MaximumFractionalValue", 0), "contradict its type"),
        (lambda dataset: setattr(dataset, "MaximumFractionalValue", 50), "contradict its type"),
        (lambda dataset: delattr(dataset, "MaximumFractionalValue"), "contradict its type"),
        (lambda dataset: delattr(dataset, "FrameOfReferenceUID"), "segmentation has no frame of reference"),
        (lambda dataset: dataset.PerFrameFunctionalGroupsSequence.pop(), "another number of frames"),
        (lambda dataset: dataset.SegmentSequence.append(dataset.SegmentSequence[0]), "one number to two segments"),
        (lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:-200]), "cannot be read"),
        (lambda dataset: delattr(dataset, "PixelData"), "cannot be read"),
        (lambda dataset: delattr(dataset, "SharedFunctionalGroupsSequence"), "cannot be read"),
        (lambda dataset: delattr(dataset, "SegmentSequence"), "holds no segment"),
    ],
)
def test_damaged_segmentations_are_refused(tmp_path, volume, folder, edit, words):
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"lesion": OVERLAPPING["lesion"]}, "FRACTIONAL")
    assert words in refusal(read_mask, change(path, edit), None, volume)


# --- real data


def test_dcmqi_liver_equals_its_nrrd(test_data):
    folder = test_data / "seg" / "dcmqi"
    volume = read_volume(folder / "ct-3slice")
    assert list_segments(folder / "liver.dcm") == {1: "Liver"}
    liver = mask_array(folder / "liver.dcm", "Liver", volume)
    assert liver.sum() == 107098
    assert np.array_equal(liver, sitk.GetArrayFromImage(sitk.ReadImage(folder / "liver_seg.nrrd")))
    assert np.array_equal(liver, mask_array(folder / "liver_seg.nrrd", None, volume))


@pytest.mark.parametrize("size", ["23x38x3", "24x38x3"])
@pytest.mark.parametrize("image", ["image", "multiframe"])
def test_frames_that_end_within_a_byte(test_data, size, image):
    folder = test_data / "seg" / "dcmqi" / size
    mask = mask_array(folder / "seg" / "label.seg", "Liver", read_volume(folder / image))
    assert mask.any()
    assert np.array_equal(mask, sitk.GetArrayFromImage(sitk.ReadImage(folder / "nrrd" / "label.nrrd")))


@pytest.mark.parametrize("kind", ["binary", "binary_fractional"])
def test_highdicom_segmentations_count_their_pixels(test_data, tmp_path, kind):
    folder = test_data / "seg" / "highdicom"
    for name in ("17136", "17166", "17196"):  # the fourth lies 200 mm away
        (tmp_path / name).symlink_to(folder / "source_CT2" / name)
    mask = mask_array(folder / f"seg_image_ct_{kind}.dcm", "first segment", read_volume(tmp_path))
    # Its frames are stored in ascending order of position; 255 stands for 1 in the fractional one.
    stored = pydicom.dcmread(folder / f"seg_image_ct_{kind}.dcm").pixel_array > 0
    assert stored.sum() == 638
    assert np.array_equal(mask, stored)
