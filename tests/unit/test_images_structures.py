import itertools

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from pydicom.dataset import Dataset

from images_files import (
    FRAME,
    OBLIQUE,
    UPRIGHT,
    box,
    mask_array,
    position,
    refusal,
    square,
    write_series,
    write_structure,
)
from nenflow.images.segmentations import list_segments, read_mask
from nenflow.images.structures import fill, rasterise
from nenflow.images.volumes import Volume, read_volume

SHAPE = (6, 12, 10)  # slices, rows, columns of the series that write_series makes


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_series(tmp_path / "ct", SHAPE))


def change(path, edit):
    """Alter an RTSTRUCT in place."""
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(path)
    return path


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


@pytest.mark.parametrize("orientation", [UPRIGHT, OBLIQUE])
def test_structure_set_is_placed_by_position(tmp_path, orientation):
    volume = read_volume(write_series(tmp_path / "ct", SHAPE, orientation))
    outer = [square(2, 7, number, orientation) for number in (1, 2, 3)]
    hole = square(4, 5, 2, orientation)
    path = write_structure(tmp_path / "rs.dcm", [(5, "Lesion 1", [*outer, hole])])
    expected = box((1, 3), (2, 7), (2, 7))
    expected[2, 4:6, 4:6] = 0
    assert np.array_equal(mask_array(path, None, volume), expected)


def test_roi_is_chosen_by_name_or_number(tmp_path, volume):
    rois = [(1, "liver", [square(1, 8, 1)]), (2, "1", [square(2, 3, 1)]), (7, "node", [square(4, 4, 1)])]
    path = write_structure(tmp_path / "rs.dcm", [*rois, (9, "node", [square(5, 5, 1)])])
    assert mask_array(path, "liver", volume).sum() == 64
    assert mask_array(path, "1", volume).sum() == 4, "a name comes before a number"
    assert mask_array(path, "7", volume).sum() == 1
    sentence = refusal(read_mask, path, "spleen", volume)
    assert "no segment 'spleen'" in sentence
    assert "'liver' (number 1), '1' (number 2), 'node' (number 7), 'node' (number 9)" in sentence
    assert "holds 'node' 2 times" in refusal(read_mask, path, "node", volume)
    assert "holds 4 segments" in refusal(read_mask, path, None, volume)


def test_contours_a_little_off_their_slice_belong_to_it(tmp_path, volume):
    # 0.06 mm, as in public data
    contours = [np.add(square(2, 5, 1), [0, 0, 0.06]), np.add(square(2, 5, 2), [0, 0, -0.06])]
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", contours)])
    assert np.array_equal(mask_array(path, None, volume), box((1, 2), (2, 5), (2, 5)))


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
        ([square(2, 5, 1), square(2, 5, 1)[[1, 2, 3, 0]]], "occurs twice"),
        ([square(2, 5, 1), square(2, 5, 1)[::-1] + 0.01], "occurs twice"),
        ([square(2, 5, 1), square(4, 8, 1)], "overlap in part"),
        ([square(2, 5, 1), square(2, 5, 2)[:2]], "fewer than three points"),
        ([square(2, 5, 1), square(2, 5, 2)[:1]], "fewer than three points"),
        ([square(2, 5, 1), square(2, 5, 2)[:0]], "fewer than three points"),
        ([square(2, 5, number) for number in (0, 2, 4)], "No two neighbouring slices"),
    ],
)
def test_contours_that_do_not_fit_are_refused(tmp_path, volume, contours, words):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", contours)])
    assert words in refusal(read_mask, path, None, volume)


def test_a_region_up_to_the_border_is_inside(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(0, 9, 0), square(0, 9, 5)])])
    assert mask_array(path, None, volume).sum() == 200


@pytest.mark.parametrize("kind", ["POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"])
def test_points_and_open_lines_are_no_region(tmp_path, volume, kind):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)])], kind=kind)
    assert f"{kind} and not only closed outlines" in refusal(read_mask, path, None, volume)


def test_one_open_line_among_closed_contours_is_refused(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1), square(2, 5, 2)])])

    def open_last(dataset):
        dataset.ROIContourSequence[0].ContourSequence[1].ContourGeometricType = "OPEN_PLANAR"

    assert "CLOSED_PLANAR and OPEN_PLANAR" in refusal(read_mask, change(path, open_last), None, volume)


def test_an_island_in_a_hole_and_a_second_region_on_the_slice(tmp_path, volume):
    contours = [square(*ends, 1) for ends in ((4, 4), (1, 7), (2, 6), (3, 5))]
    beside = np.add(square(8, 9, 1), [0, 2 * 0.8, 0])  # rows 10 and 11
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [*contours, beside])])
    expected = np.zeros(SHAPE, np.uint8)
    expected[1, 1:8, 1:8] = 1
    expected[1, 2:7, 2:7] = 0
    expected[1, 3:6, 3:6] = 1
    expected[1, 4, 4] = 0
    expected[1, 10:12, 8:10] = 1
    assert np.array_equal(mask_array(path, None, volume), expected)


@pytest.mark.parametrize("channel", [4.0, 4.3])  # through voxel centres and beside them
def test_a_keyhole_contour_has_a_hole(tmp_path, volume, channel):
    # Out along the border, in through a channel of no width, round the hole the other way, and back.
    a, b, c, d = 0.6, 8.4, 2.6, 6.4
    outer = [(channel, a), (b, a), (b, b), (a, b), (a, a), (channel, a)]
    inner = [(channel, c), (c, c), (c, d), (d, d), (d, c), (channel, c)]
    points = position([(x, y, 2) for x, y in [*outer, *inner]])
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [points])])
    expected = box((2, 2), (1, 8), (1, 8)) - box((2, 2), (3, 6), (3, 6))
    assert np.array_equal(mask_array(path, None, volume), expected)


def test_points_on_voxel_centres_give_one_mask_on_any_grid():
    # Contours traced on masks have such points; on most of these grids the arithmetic does not give whole numbers.
    random = np.random.default_rng([3, 1])
    for _ in range(30):
        image = sitk.Image([12, 11, 3], sitk.sitkFloat32)
        axes, _ = np.linalg.qr(random.normal(size=(3, 3)))
        image.SetDirection((axes * np.linalg.det(axes)).ravel().tolist())
        image.SetSpacing(random.uniform(0.3, 3, 3).tolist())
        image.SetOrigin(random.uniform(-300, 300, 3).tolist())
        corners = [(2, 3), (7, 3), (9, 5), (9, 8), (2, 8)]
        contour = [image.TransformContinuousIndexToPhysicalPoint((x, y, 1.0)) for x, y in corners]
        mask = rasterise([np.array(contour)], image)
        expected = np.zeros((3, 11, 12), np.uint8)
        expected[1, 3:8, 2:9] = 1
        expected[1, 3, 7:] = expected[1, 4, 8:] = 0
        assert np.array_equal(mask, expected)


def test_single_slices_of_separate_lesions_are_no_gaps(tmp_path, volume):
    contours = [square(1, 2, 0), square(4, 5, 2), square(7, 8, 4)]
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", contours)])
    assert mask_array(path, None, volume).sum() == 12


def test_a_roi_without_contours_is_an_empty_mask(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", []), (2, "b", [])])
    assert not mask_array(path, "a", volume).any()
    change(path, lambda dataset: dataset.ROIContourSequence.pop())
    assert not mask_array(path, "b", volume).any()
    change(path, lambda dataset: delattr(dataset, "ROIContourSequence"))
    assert not mask_array(path, "b", volume).any()


def test_a_contour_without_data_or_with_other_than_numbers_is_refused(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)])])

    def spoil(dataset):
        dataset.ROIContourSequence[0].ContourSequence[0].ContourData[4] = float("nan")

    def shorten(dataset):
        dataset.ROIContourSequence[0].ContourSequence[0].ContourData = [1, 2, 3, 4]

    def remove(dataset):
        del dataset.ROIContourSequence[0].ContourSequence[0].ContourData

    for edit, words in ((spoil, "no numbers"), (shorten, "cannot be read"), (remove, "fewer than three points")):
        copy = tmp_path / "copy.dcm"
        copy.write_bytes(path.read_bytes())
        assert words in refusal(read_mask, change(copy, edit), None, volume)


def test_a_number_given_to_two_rois_is_refused(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)]), (1, "b", [square(6, 7, 1)])])
    assert "one number to two segments" in refusal(read_mask, path, "a", volume)
    assert "one number to two segments" in refusal(list_segments, path)


def test_instances_that_contours_refer_to_do_not_matter(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1), square(2, 5, 2)])])

    def refer(dataset):
        for contour in dataset.ROIContourSequence[0].ContourSequence:
            reference = Dataset()
            reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
            contour.ContourImageSequence = [reference]

    assert np.array_equal(mask_array(change(path, refer), None, volume), box((1, 2), (2, 5), (2, 5)))


def test_a_missing_frame_of_reference_is_that_of_the_file(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)])], frame="")
    assert "The segmentation has no frame of reference" in refusal(read_mask, path, None, volume)

    def state(*frames):
        def edit(dataset):
            dataset.ReferencedFrameOfReferenceSequence = [Dataset() for _ in frames]
            for entry, frame in zip(dataset.ReferencedFrameOfReferenceSequence, frames, strict=True):
                entry.FrameOfReferenceUID = frame

        return edit

    assert mask_array(change(path, state(FRAME)), None, volume).sum() == 16
    assert "another frame" in refusal(read_mask, change(path, state(FRAME + ".9")), None, volume)
    assert "has no frame" in refusal(read_mask, change(path, state(FRAME, FRAME + ".9")), None, volume)


def test_another_frame_of_reference_is_refused(tmp_path, volume):
    path = write_structure(tmp_path / "rs.dcm", [(1, "a", [square(2, 5, 1)])], frame=FRAME + ".9")
    assert "another frame of reference" in refusal(read_mask, path, None, volume)
    without = Volume(volume.image, None, None, {})
    assert "The image has no frame of reference" in refusal(read_mask, path, None, without)


def test_names_are_listed_by_number(tmp_path):
    path = write_structure(tmp_path / "rs.dcm", [(4, "", []), (2, "liver", [square(2, 5, 1)])])

    def rename(dataset):
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.StructureSetROISequence[0].ROIName = " Läsion 1 "

    change(path, rename)
    assert list_segments(path) == {4: "Läsion 1", 2: "liver"}


def test_structure_sets_with_wrong_references(test_data, tmp_path):
    # Contours lie on three slices, of which one is not there and some of the instances they refer to never were.
    folder = test_data / "edge" / "rtutils_ct_rtstruct"
    for number, height in ((1, 60), (2, 65), (3, 70)):
        dataset = pydicom.dcmread(folder / f"ct_{min(number, 2)}.dcm")
        dataset.ImagePositionPatient[2], dataset.InstanceNumber = height, number
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        dataset.save_as(tmp_path / f"{number}.dcm")
    volume = read_volume(tmp_path)
    columns, rows = np.meshgrid(np.arange(512), np.arange(512))
    centres = np.column_stack([columns.ravel(), rows.ravel()]) * 0.488281 - 125
    for name, number in itertools.product(("non_existent_reference_rt.dcm", "invalid_reference_rt.dcm"), (0, 1, 2, 3)):
        mask = mask_array(folder / name, f"ROI-{number + 1}", volume)
        for contour in pydicom.dcmread(folder / name).ROIContourSequence[number].ContourSequence:
            points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
            inside = Polygon(points[:, :2]).contains_points(centres)
            assert inside.sum() > 100
            assert np.array_equal(mask[int(points[0, 2] - 60) // 5].ravel(), inside)
    (tmp_path / "3.dcm").unlink()
    assert "outside the image" in refusal(read_mask, folder / name, "ROI-1", read_volume(tmp_path))
    assert "another frame of reference" in refusal(read_mask, folder / "rt.dcm", None, volume)
    bare = test_data / "edge" / "compressed" / "rtstruct.dcm"
    assert "lacks the DICOM header" in refusal(read_mask, bare, None, volume)
    assert "lacks the DICOM header" in refusal(list_segments, bare)


def test_no_contours_give_an_empty_mask():
    image = sitk.Image([4, 3, 2], sitk.sitkFloat32)
    assert rasterise([], image).shape == (2, 3, 4)
    assert not rasterise([], image).any()
