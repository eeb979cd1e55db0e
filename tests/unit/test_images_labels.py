import struct

import numpy as np
import pytest
import SimpleITK as sitk

from images_files import ORIGIN, SPACING, box, mask_array, position, refusal, write_series
from nenflow.images.segmentations import list_segments, read_mask
from nenflow.images.volumes import read_volume

SHAPE = (6, 12, 10)  # slices, rows, columns of the series that write_series makes
QFORM, SFORM = 252, 254  # bytes at which a NIfTI header has the codes of its two orientations


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_series(tmp_path / "ct", SHAPE))


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
    assert np.array_equal(mask_array(path, "2", volume), array == 2)
    assert np.array_equal(mask_array(path, "5", volume), array == 5)
    assert "'2' (number 2), '5' (number 5)" in refusal(read_mask, path, "1", volume)
    assert "holds 2 segments" in refusal(read_mask, path, None, volume)


def test_a_mask_with_flipped_and_swapped_axes_is_the_same_mask(tmp_path, volume):
    array = box((1, 3), (2, 6), (3, 4))
    for axes in ("RAS", "LAS", "SPR", "AIL"):
        sitk.WriteImage(sitk.DICOMOrient(labels(array, volume), axes), tmp_path / "m.nii.gz")
        assert np.array_equal(mask_array(tmp_path / "m.nii.gz", None, volume), array)


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


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd"])
def test_values_of_any_type_are_labels(tmp_path, volume, suffix):
    array = box((1, 3), (2, 6), (3, 4))
    for kind in (np.float32, np.float64, np.int16, np.uint8, np.uint32):
        sitk.WriteImage(labels((array * 255).astype(kind), volume), tmp_path / f"m.{suffix}")
        assert list_segments(tmp_path / f"m.{suffix}") == {255: "255"}
        assert np.array_equal(mask_array(tmp_path / f"m.{suffix}", None, volume), array)
        assert np.array_equal(mask_array(tmp_path / f"m.{suffix}", "255", volume), array)
    assert "no segment '1'; there are: '255'" in refusal(read_mask, tmp_path / f"m.{suffix}", "1", volume)


def test_values_that_are_no_labels_are_refused(tmp_path, volume):
    for value in (0.3, np.nan, np.inf):
        array = box((1, 3), (2, 6), (3, 4)).astype(np.float32)
        array[4, 4, 4] = value
        sitk.WriteImage(labels(array, volume), tmp_path / "p.nrrd")
        assert "other than whole numbers" in refusal(read_mask, tmp_path / "p.nrrd", "1", volume)
    sitk.WriteImage(labels(np.zeros(SHAPE, np.uint8), volume), tmp_path / "e.nii.gz")
    assert list_segments(tmp_path / "e.nii.gz") == {}
    assert "empty" in refusal(read_mask, tmp_path / "e.nii.gz", None, volume)
    several = sitk.Compose([labels(box((1, 3), (2, 6), (3, 4)), volume)] * 2)
    sitk.WriteImage(several, tmp_path / "v.nrrd")
    assert "not a single 3D image" in refusal(read_mask, tmp_path / "v.nrrd", None, volume)


def test_negative_values_are_labels_like_others(tmp_path, volume):
    array = box((1, 3), (2, 6), (3, 4)).astype(np.int16) - 2 * box((4, 4), (1, 1), (1, 1)).astype(np.int16)
    sitk.WriteImage(labels(array, volume), tmp_path / "m.nrrd")
    assert list_segments(tmp_path / "m.nrrd") == {-2: "-2", 1: "1"}
    assert mask_array(tmp_path / "m.nrrd", "-2", volume).sum() == 1


def test_nifti_needs_one_orientation_that_is_the_image(tmp_path, volume):
    array, path = box((1, 3), (2, 6), (3, 4)), tmp_path / "m.nii"
    sitk.WriteImage(labels(array, volume), path)
    content = path.read_bytes()

    def write(**codes):
        altered = bytearray(content)
        for place, code in ((QFORM, codes["q"]), (SFORM, codes["s"])):
            altered[place : place + 2] = struct.pack("<h", code)
        path.write_bytes(altered)

    for codes in ({"q": 1, "s": 0}, {"q": 0, "s": 1}, {"q": 1, "s": 2}):
        write(**codes)
        assert np.array_equal(mask_array(path, None, volume), array)
    write(q=0, s=0)
    assert "not that of the image" in refusal(read_mask, path, None, volume)


# --- 3D Slicer


def write_slicer(path, layers, segments, start=(0, 0, 0), axis="list", spacing=SPACING, more=""):
    """A seg.nrrd as 3D Slicer writes it, by hand: in RAS, layers first; `segments` are dictionaries of its keys.

    Args:
        layers: (layers, slices, rows, columns), or (slices, rows, columns) for one layer without an axis of its own.
        start: index in the scan of the first voxel; Slicer cuts to what is drawn, and the origin moves along.
    """
    several = layers.ndim == 4
    origin = (ORIGIN + np.multiply(start, SPACING)) * [-1, -1, 1]
    directions = " ".join(["none"] * several + [f"({-spacing[0]},0,0) (0,{-spacing[1]},0) (0,0,{spacing[2]})"])
    sizes = ([len(layers)] if several else []) + list(layers.shape[:-4:-1])
    fields = [f"Segment{place}_{key}:={value}" for place, keys in enumerate(segments) for key, value in keys.items()]
    lines = [
        "NRRD0004", "type: unsigned char", f"dimension: {layers.ndim}", "space: right-anterior-superior",
        f"sizes: {' '.join(map(str, sizes))}", f"space directions: {directions}",
        f"kinds: {(axis + ' ') * several}domain domain domain", "encoding: raw",
        f"space origin: ({','.join(map(repr, origin.tolist()))})", *fields,
        f"Segmentation_ReferenceImageExtentOffset:={' '.join(map(str, start))}",
        "Segmentation_MasterRepresentation:=Binary labelmap", *([more] if more else []),
    ]  # fmt: skip
    data = np.moveaxis(layers, 0, -1) if several else layers
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data.astype(np.uint8).tobytes())
    return path


def segment(name, value, layer=0, number=1):
    return {"ID": f"Segment_{number}", "Name": name, "LabelValue": value, "Layer": layer}


LESION, LIVER, NODE = box((1, 3), (2, 6), (3, 4)), box((0, 5), (1, 10), (1, 8)), box((2, 2), (8, 9), (2, 7))


@pytest.mark.parametrize("axis", ["list", "vector"])
def test_overlapping_segments_lie_in_layers(tmp_path, volume, axis):
    layers = np.stack([LIVER * 1, LESION * 1 + NODE * 2])
    segments = [segment("liver", 1, 0, 1), segment("lesion 1", 1, 1, 2), segment("Knöten", 2, 1, 3)]
    path = write_slicer(tmp_path / "s.seg.nrrd", layers, segments, axis=axis)
    assert list_segments(path) == {"Segment_1": "liver", "Segment_2": "lesion 1", "Segment_3": "Knöten"}
    for name, array in (("liver", LIVER), ("lesion 1", LESION), ("Knöten", NODE), ("Segment_2", LESION)):
        assert np.array_equal(mask_array(path, name, volume), array)
    assert "no segment '1'" in refusal(read_mask, path, "1", volume), "two segments have this label value"
    assert "holds 3 segments" in refusal(read_mask, path, None, volume)


def test_label_values_are_numbers_where_each_is_used_once(tmp_path, volume):
    layers = np.stack([LIVER * 3, LESION * 1])
    path = write_slicer(tmp_path / "s.seg.nrrd", layers, [segment("liver", 3), segment("lesion", 1, 1, 2)])
    assert list_segments(path) == {3: "liver", 1: "lesion"}
    assert np.array_equal(mask_array(path, "3", volume), LIVER)
    assert np.array_equal(mask_array(path, "1", volume), LESION)


def test_segments_are_counted_beyond_nine(tmp_path, volume):
    array = np.zeros(SHAPE, np.uint8)
    array[2, 3, :] = np.arange(10) + 3
    segments = [segment(f"s{value}", value, 0, value) for value in range(12, 0, -1)]
    path = write_slicer(tmp_path / "s.seg.nrrd", array, segments)
    assert list(list_segments(path)) == list(range(12, 0, -1)), "in the order of Slicer's list"
    for value in range(3, 13):
        assert np.array_equal(mask_array(path, f"s{value}", volume), array == value)
    assert not mask_array(path, "s1", volume).any(), "declared, but not drawn"


@pytest.mark.parametrize("layered", [False, True])
def test_a_file_cut_to_its_segments_is_placed(tmp_path, volume, layered):
    array = (LESION + 2 * NODE)[1:4, 2:10, 2:8]
    cut = np.stack([array, array]) if layered else array
    path = write_slicer(tmp_path / "s.seg.nrrd", cut, [segment("a", 1), segment("b", 2)], (2, 2, 1))
    assert np.array_equal(mask_array(path, "a", volume), LESION)
    assert np.array_equal(mask_array(path, "b", volume), NODE)


def test_a_file_larger_than_the_image_is_placed_when_the_region_lies_inside(tmp_path, volume):
    array = np.pad(LESION + 2 * NODE, 2)
    array[0, 0, 0] = 3
    segments = [segment("a", 1), segment("b", 2), segment("outside", 3)]
    path = write_slicer(tmp_path / "s.seg.nrrd", array, segments, (-2, -2, -2))
    assert np.array_equal(mask_array(path, "a", volume), LESION)
    assert "outside the image" in refusal(read_mask, path, "outside", volume)


def test_a_file_on_a_finer_or_shifted_grid_is_refused_with_what_to_do(tmp_path, volume):
    fine = np.repeat(np.repeat(np.repeat(LESION, 2, 0), 2, 1), 2, 2)
    path = write_slicer(tmp_path / "s.seg.nrrd", fine, [segment("a", 1)], spacing=tuple(np.divide(SPACING, 2)))
    assert "in 3D Slicer: as a label map with the image as reference volume" in refusal(read_mask, path, "a", volume)
    path = write_slicer(tmp_path / "s.seg.nrrd", LESION, [segment("a", 1)], (0.5, 0, 0))
    assert "own grid" in refusal(read_mask, path, "a", volume)


def test_a_file_of_an_old_slicer_has_one_layer_a_segment(tmp_path, volume):
    segments = [{"ID": "Segment_1", "Name": "lesion"}, {"ID": "Segment_2", "Name": "liver"}]
    path = write_slicer(tmp_path / "s.seg.nrrd", np.stack([LESION, LIVER]), segments)
    assert np.array_equal(mask_array(path, "lesion", volume), LESION)
    assert np.array_equal(mask_array(path, "liver", volume), LIVER)
    path = write_slicer(tmp_path / "one.seg.nrrd", LESION, segments[:1])
    assert np.array_equal(mask_array(path, None, volume), LESION)


def test_segments_that_are_not_described_clearly_are_refused(tmp_path, volume):
    for segments in (
        [segment("a", 1), segment("b", 1, 0, 2)],  # one value in one layer
        [segment("a", 1, 1)],  # a layer that is not there
        [segment("a", 1, -1)],
    ):
        path = write_slicer(tmp_path / "s.seg.nrrd", LESION, segments)
        assert "not described clearly" in refusal(read_mask, path, "a", volume)
    path = write_slicer(tmp_path / "s.seg.nrrd", LESION, [segment("a", "one")])
    assert "cannot be read" in refusal(read_mask, path, "a", volume)
    path = write_slicer(tmp_path / "s.seg.nrrd", LESION + 2 * NODE, [segment("a", 1), segment("a", 2, 0, 2)])
    assert "holds 'a' 2 times" in refusal(read_mask, path, "a", volume)
    assert np.array_equal(mask_array(path, "2", volume), NODE)
    fractional = "Segmentation_SourceRepresentation:=Fractional labelmap"
    path = write_slicer(tmp_path / "s.seg.nrrd", LESION, [segment("a", 1)], more=fractional)
    assert "fractional" in refusal(read_mask, path, "a", volume)


# --- real data


def test_slicer_segments_have_names(test_data):
    folder = test_data / "seg" / "slicerio"
    path = folder / "Segmentation.seg.nrrd"
    volume = read_volume(folder / "CTChest4.nrrd")
    stored = sitk.GetArrayFromImage(sitk.ReadImage(path))
    names = list_segments(path)
    assert list(names) == [1, 2, 3, 4, 5, 6, 7]
    assert names[5] == "right lung"
    for number, name in names.items():
        assert np.array_equal(mask_array(path, name, volume), stored == number)
    assert "'ribs' (number 1)" in refusal(read_mask, path, "liver", volume)


def test_a_real_slicer_file_that_is_cut(test_data, tmp_path):
    folder = test_data / "seg" / "slicerio"
    volume = read_volume(folder / "CTChest4.nrrd")
    whole = sitk.ReadImage(folder / "Segmentation.seg.nrrd")
    right_lung = mask_array(folder / "Segmentation.seg.nrrd", "right lung", volume)
    filled = np.argwhere(right_lung)
    (z, y, x), (z_end, y_end, x_end) = filled.min(axis=0).tolist(), (filled.max(axis=0) + 1).tolist()
    cut = whole[x:x_end, y:y_end, z:z_end]
    for key in whole.GetMetaDataKeys():
        if key.startswith("Segment"):
            cut.SetMetaData(key, whole.GetMetaData(key))
    sitk.WriteImage(cut, tmp_path / "cut.seg.nrrd")
    assert np.array_equal(mask_array(tmp_path / "cut.seg.nrrd", "right lung", volume), right_lung)


def test_dcmqi_label_maps_of_several_organs(test_data):
    folder = test_data / "seg" / "dcmqi"
    volume = read_volume(folder / "ct-3slice")
    assert list_segments(folder / "liver_seg.nrrd") == {1: "1"}
    assert mask_array(folder / "liver_seg.nrrd", None, volume).sum() == 107098
    assert mask_array(folder / "liver_spine_seg.nrrd", "1", volume).sum() == 107098
    numbers = list(list_segments(folder / "liver_spine_seg.nrrd"))
    assert len(numbers) == 2
    spine = mask_array(folder / "liver_spine_seg.nrrd", str(numbers[1]), volume)
    assert np.array_equal(spine, mask_array(folder / "spine_seg.nrrd", None, volume))
    heart = mask_array(folder / "heart_seg.nrrd", None, volume)
    assert np.array_equal(heart, sitk.GetArrayFromImage(sitk.ReadImage(folder / "heart_seg.nrrd")) != 0)
