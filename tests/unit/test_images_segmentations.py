import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon

from images_files import (
    FRAME,
    OBLIQUE,
    SPACING,
    UPRIGHT,
    position,
    refusal,
    square,
    write_segmentation,
    write_series,
    write_structure,
)
from nenflow.errors import InputError
from nenflow.images import volumes
from nenflow.images.segmentations import read_mask
from nenflow.images.structures import fill, rasterise
from nenflow.images.volumes import Volume, read_volume

SHAPE = (6, 12, 10)  # slices, rows, columns of the series that write_series makes


def read(path, segment, volume):
    mask = read_mask(path, segment, volume)
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert mask.GetSize() == volume.image.GetSize()
    assert mask.GetSpacing() == volume.image.GetSpacing()
    assert mask.GetOrigin() == volume.image.GetOrigin()
    assert mask.GetDirection() == volume.image.GetDirection()
    return sitk.GetArrayFromImage(mask)


def box(slices, rows, columns):
    """Array with the given inclusive ranges set."""
    array = np.zeros(SHAPE, np.uint8)
    array[slices[0] : slices[1] + 1, rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    return array


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_series(tmp_path / "ct", SHAPE))


# --- filling


def test_fill_by_hand():
    # A triangle (0,0) (4,0) (0,4): of the centres on its outline, those on the left and upper side count.
    triangle = np.array([(0, 0), (4, 0), (0, 4)], float)
    expected = [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert fill([triangle], 5, 5).tolist() == expected
    assert fill([triangle[::-1]], 5, 5).tolist() == expected


def test_a_contour_inside_another_is_a_hole_and_one_beside_it_is_not():
    def rectangle(a, b):
        return np.array([(a, a), (b, a), (b, b), (a, b)], float)

    filled = fill([rectangle(-0.5, 6.5), rectangle(1.5, 4.5), rectangle(7.5, 8.5)], 9, 9)
    expected = np.zeros((9, 9), int)
    expected[:7, :7] = 1
    expected[2:5, 2:5] = 0
    expected[8, 8] = 1
    assert np.array_equal(filled, expected)


def test_touching_outlines_share_no_pixel():
    left = np.array([(0, 0), (3, 0), (3, 5), (0, 5)], float)
    right = np.add(left, [3, 0])
    assert np.array_equal(fill([left], 6, 7) + fill([right], 6, 7), fill([left, right], 6, 7))
    assert fill([left, right], 6, 7).sum() == 5 * 6


def test_fill_agrees_with_another_implementation_off_the_outline():
    random = np.random.default_rng([2, 1])
    columns, rows = np.meshgrid(np.arange(40), np.arange(30))
    centres = np.column_stack([columns.ravel(), rows.ravel()])
    for _ in range(50):
        angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(3, 40)))
        radii = random.uniform(2, 22, len(angles))  # a star: concave, parts of it outside the image
        outline = np.column_stack([20 + radii * np.cos(angles), 15 + radii * np.sin(angles)])
        assert np.array_equal(fill([outline], 30, 40).ravel(), Polygon(outline).contains_points(centres))


# --- RTSTRUCT


@pytest.mark.parametrize("orientation", [UPRIGHT, OBLIQUE])
def test_structure_set_is_placed_by_position(tmp_path, orientation):
    volume = read_volume(write_series(tmp_path / "ct", SHAPE, orientation))
    outer = [square(2, 7, number, orientation) for number in (1, 2, 3)]
    hole = square(4, 5, 2, orientation)
    path = write_structure(tmp_path / "rs.dcm", [(5, "Lesion 1", [*outer, hole])])
    expected = box((1, 3), (2, 7), (2, 7))
    expected[2, 4:6, 4:6] = 0
    assert np.array_equal(read(path, None, volume), expected)


def test_roi_is_chosen_by_name_or_number(tmp_path, volume):
    rois = [(1, "liver", [square(1, 8, 1)]), (2, "1", [square(2, 3, 1)]), (7, "node", [square(4, 4, 1)])]
    path = write_structure(tmp_path / "rs.dcm", [*rois, (9, "node", [square(5, 5, 1)])])
    assert read(path, "liver", volume).sum() == 64
    assert read(path, "1", volume).sum() == 4, "a name comes before a number"
    assert read(path, "7", volume).sum() == 1
    sentence = refusal(read_mask, path, "spleen", volume)
    assert "no segment 'spleen'" in sentence
    assert "'liver' (number 1), '1' (number 2), 'node' (number 7), 'node' (number 9)" in sentence
    assert "holds 'node' 2 times" in refusal(read_mask, path, "node", volume)
    assert "holds 4 segments" in refusal(read_mask, path, None, volume)


def test_contours_a_little_off_their_slice_belong_to_it(tmp_path, volume):
    # 0.06 mm, as in public data
    contours = [np.add(square(2, 5, 1), [0, 0, 0.06]), np.add(square(2, 5, 2), [0, 0, -0.06])]
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", contours)])
    assert np.array_equal(read(path, None, volume), box((1, 2), (2, 5), (2, 5)))


@pytest.mark.parametrize(
    ("contours", "words"),
    [
        ([square(2, 5, 1), square(2, 5, 1.4)], "between slices or oblique"),
        ([square(2, 5, 1) + np.outer([0, 0, 1, 1], [0, 0, 1])], "between slices or oblique"),
        ([square(2, 5, 5), square(2, 5, 6)], "outside the image"),
        ([square(2, 5, -1)], "outside the image"),
        ([square(7, 11, 1)], "outside the image"),
        ([square(-3, 2, 1)], "outside the image"),
        ([square(2, 5, 1), square(2, 5, 1)], "occurs twice"),
        ([square(2, 5, number) for number in (0, 2, 4)], "No two neighbouring slices"),
    ],
)
def test_contours_that_do_not_fit_are_refused(tmp_path, volume, contours, words):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", contours)])
    assert words in refusal(read_mask, path, None, volume)


def test_a_region_up_to_the_border_is_inside(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(0, 9, 0), square(0, 9, 5)])])
    assert read(path, None, volume).sum() == 200


def test_points_are_no_region(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)[:1]])], kind="POINT")
    assert "POINT and not only closed outlines" in refusal(read_mask, path, None, volume)


def test_another_frame_of_reference_is_refused(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)])], frame=FRAME + ".9")
    assert "another frame of reference" in refusal(read_mask, path, None, volume)
    without = Volume(volume.image, None, None, {})
    assert "The image has no frame of reference" in refusal(read_mask, path, None, without)


# --- DICOM SEG


@pytest.mark.parametrize("orientation", [UPRIGHT, OBLIQUE])
def test_segments_are_placed_by_position(tmp_path, orientation):
    folder = write_series(tmp_path / "ct", SHAPE, orientation)
    arrays = {"lesion": box((1, 3), (2, 6), (3, 4)), "liver": box((0, 5), (1, 10), (1, 8))}
    path = write_segmentation(tmp_path / "seg.dcm", folder, arrays)
    volume = read_volume(folder)
    for number, (label, array) in enumerate(arrays.items(), 1):
        assert np.array_equal(read(path, label, volume), array)
        assert np.array_equal(read(path, str(number), volume), array)
    assert "'lesion' (number 1), 'liver' (number 2)" in refusal(read_mask, path, "spleen", volume)


def test_fractional_segments_are_cut_at_one_half(tmp_path):
    folder = write_series(tmp_path / "ct", SHAPE)
    share = np.zeros(SHAPE)
    share[2, 3, 2:6] = [0.49, 0.5, 0.51, 1.0]
    path = write_segmentation(tmp_path / "seg.dcm", folder, {"a": share}, "FRACTIONAL")
    assert np.array_equal(read(path, None, read_volume(folder)), box((2, 2), (3, 3), (3, 5)))


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


# --- NIfTI and NRRD


def labels(array, volume, **changes):
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(volume.image)
    for name, value in changes.items():
        getattr(image, f"Set{name}")(value)
    return image


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd"])
def test_label_values_are_segments(tmp_path, volume, suffix):
    array = box((1, 3), (2, 6), (3, 4)) * 2 + box((4, 4), (1, 1), (1, 1)) * 5
    path = tmp_path / f"m.{suffix}"
    sitk.WriteImage(labels(array, volume), path)
    assert np.array_equal(read(path, "2", volume), array == 2)
    assert np.array_equal(read(path, "5", volume), array == 5)
    assert "'2' (number 2), '5' (number 5)" in refusal(read_mask, path, "1", volume)
    assert "holds 2 segments" in refusal(read_mask, path, None, volume)


def test_a_mask_with_flipped_and_swapped_axes_is_the_same_mask(tmp_path, volume):
    array = box((1, 3), (2, 6), (3, 4))
    for axes in ("RAS", "LAS", "SPR", "AIL"):
        sitk.WriteImage(sitk.DICOMOrient(labels(array, volume), axes), tmp_path / "m.nii.gz")
        assert np.array_equal(read(tmp_path / "m.nii.gz", None, volume), array)


@pytest.mark.parametrize(
    "changes",
    [
        {"Origin": tuple(position((0.5, 0, 0)))},
        {"Origin": tuple(position((0, 0, 1)))},
        {"Spacing": (SPACING[0], SPACING[1], SPACING[2] * 2)},
        {"Spacing": (SPACING[0] * 1.05, SPACING[1], SPACING[2])},
        {"Direction": (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)},
    ],
)
def test_a_mask_on_another_grid_is_refused(tmp_path, volume, changes):
    sitk.WriteImage(labels(box((0, 0), (0, 1), (0, 1)), volume, **changes), tmp_path / "m.nii.gz")
    sentence = refusal(read_mask, tmp_path / "m.nii.gz", None, volume)
    assert "not that of the image" in sentence or "own grid" in sentence


def test_a_cropped_mask_is_refused(tmp_path, volume):
    sitk.WriteImage(labels(box((1, 3), (2, 6), (3, 4)), volume)[:, :, :5], tmp_path / "m.nrrd")
    assert "covers 10 x 12 x 5 voxels" in refusal(read_mask, tmp_path / "m.nrrd", None, volume)


def test_files_that_are_no_mask_are_refused(tmp_path, volume):
    sitk.WriteImage(labels(np.full(SHAPE, 0.3, np.float32), volume), tmp_path / "p.nii.gz")
    assert "other than whole numbers" in refusal(read_mask, tmp_path / "p.nii.gz", None, volume)
    sitk.WriteImage(labels(np.zeros(SHAPE, np.uint8), volume), tmp_path / "e.nii.gz")
    assert "empty" in refusal(read_mask, tmp_path / "e.nii.gz", None, volume)
    (tmp_path / "b.nrrd").write_bytes(b"NRRD0004\nbroken")
    assert "cannot be read" in refusal(read_mask, tmp_path / "b.nrrd", None, volume)
    (tmp_path / "b.stl").write_bytes(b"solid")
    assert "neither DICOM SEG, RTSTRUCT, NIfTI nor NRRD" in refusal(read_mask, tmp_path / "b.stl", None, volume)
    assert "does not exist" in refusal(read_mask, tmp_path / "lost.dcm", None, volume)
    assert "modality CT" in refusal(read_mask, tmp_path / "ct" / "001.dcm", None, volume)
    cut = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)])])
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(InputError):
        read_mask(cut, None, volume)


# --- real data


@pytest.mark.parametrize(
    ("patient", "modality"),
    [("STS_008", "CT"), ("STS_019", "CT"), ("STS_025", "CT"), ("STS_042", "CT"), ("STS_019", "PET")],
)
def test_rasterised_contours_equal_the_published_masks(test_data, monkeypatch, patient, modality):
    monkeypatch.setattr(volumes, "MODALITIES", ("CT", "PT"))  # here for the geometry of PET only
    folder = test_data / "sts" / "dicom" / patient / modality
    volume = read_volume(folder / "image")
    mask = read(folder / "mask" / "RS.dcm", f"GTV_Mass_{modality}", volume)
    path = test_data / "sts" / "nifti" / patient / f"{modality}_mask.nii.gz"
    published = sitk.ReadImage(path)
    assert np.array_equal(mask, sitk.GetArrayFromImage(published))
    assert np.array_equal(mask, read(path, None, volume)), "NIfTI's float32 is within the tolerance"


def test_ibsi_phantom_equals_its_nifti_mask(test_data):
    folder = test_data / "ibsi1" / "ibsi_1_ct_radiomics_phantom"
    mask = read(folder / "dicom" / "mask" / "DCM_RS_00060.dcm", "GTV-1", read_volume(folder / "dicom" / "image"))
    assert np.array_equal(mask, sitk.GetArrayFromImage(sitk.ReadImage(folder / "nifti" / "mask" / "mask.nii.gz")))


def test_a_real_pet_that_jitters_is_one_even_grid(test_data, monkeypatch):
    # 267 slices that step by 3.19 to 3.29 mm; PET itself is refused so far, its geometry must not be.
    monkeypatch.setattr(volumes, "MODALITIES", ("PT",))
    folder = test_data / "suv" / "STS_001_raw_FDG_PET"
    volume = read_volume(folder / "image")
    assert volume.image.GetSize() == (128, 128, 267)
    assert volume.image.GetSpacing()[2] == pytest.approx(3.27, abs=1e-3)
    assert read(folder / "mask" / "1-1.dcm", "GTV_Mass", volume).sum() == 5095


def test_structure_sets_with_wrong_references(test_data, tmp_path):
    # Instances that do not exist do not matter; the 3rd slice of the region lies outside these two slices, which does.
    folder = test_data / "edge" / "rtutils_ct_rtstruct"
    for name in ("ct_1.dcm", "ct_2.dcm"):
        (tmp_path / name).symlink_to(folder / name)
    volume = read_volume(tmp_path)
    assert "another frame of reference" in refusal(read_mask, folder / "rt.dcm", None, volume)
    for name in ("non_existent_reference_rt.dcm", "invalid_reference_rt.dcm"):
        assert "outside the image" in refusal(read_mask, folder / name, "ROI-1", volume)
    assert "lacks the DICOM header" in refusal(
        read_mask, test_data / "edge" / "compressed" / "rtstruct.dcm", None, volume
    )


def test_dcmqi_liver_equals_its_nrrd(test_data):
    folder = test_data / "seg" / "dcmqi"
    volume = read_volume(folder / "ct-3slice")
    liver = read(folder / "liver.dcm", "Liver", volume)
    assert liver.sum() == 107098
    assert np.array_equal(liver, read(folder / "liver_seg.nrrd", None, volume))
    assert np.array_equal(liver, read(folder / "liver_spine_seg.nrrd", "1", volume))


@pytest.mark.parametrize("size", ["23x38x3", "24x38x3"])
def test_frames_that_end_within_a_byte(test_data, size):
    folder = test_data / "seg" / "dcmqi" / size
    mask = read(folder / "seg" / "label.seg", "Liver", read_volume(folder / "image"))
    assert np.array_equal(mask, sitk.GetArrayFromImage(sitk.ReadImage(folder / "nrrd" / "label.nrrd")))


@pytest.mark.parametrize("kind", ["binary", "binary_fractional"])
def test_highdicom_segmentations_count_their_pixels(test_data, tmp_path, kind):
    folder = test_data / "seg" / "highdicom"
    for name in ("17136", "17166", "17196"):  # the fourth lies 200 mm away
        (tmp_path / name).symlink_to(folder / "source_CT2" / name)
    mask = read(folder / f"seg_image_ct_{kind}.dcm", "first segment", read_volume(tmp_path))
    # Its frames are stored in ascending order of position; 255 stands for 1 in the fractional one.
    stored = pydicom.dcmread(folder / f"seg_image_ct_{kind}.dcm").pixel_array > 0
    assert stored.sum() == 638
    assert np.array_equal(mask, stored)


def test_slicer_segments_have_names(test_data):
    folder = test_data / "seg" / "slicerio"
    volume = read_volume(folder / "CTChest4.nrrd")
    stored = sitk.GetArrayFromImage(sitk.ReadImage(folder / "Segmentation.seg.nrrd"))
    assert np.array_equal(read(folder / "Segmentation.seg.nrrd", "right lung", volume), stored == 5)
    assert "'ribs' (number 1)" in refusal(read_mask, folder / "Segmentation.seg.nrrd", "liver", volume)


def test_rasterise_wants_no_contours_to_give_an_empty_mask():
    image = sitk.Image([4, 3, 2], sitk.sitkFloat32)
    assert rasterise([], image).shape == (2, 3, 4)
    assert not rasterise([], image).any()
