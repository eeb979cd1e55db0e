import time

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.distance import cdist

from images_files import refusal
from nenflow.images.geometry import bounding_box
from nenflow.images.quality import check_mask, compare_readings, region_quality
from nenflow.images.volumes import Volume

SPACING = (0.7, 0.8, 2.5)
EXACT = 1e-9  # the same arithmetic in another order
STORED = 1e-4  # of a value in float32
VOXEL_MM = 1.5  # a sphere of voxels is off by less than a voxel's diagonal
SECONDS = 1.0  # 0.03 s when nothing else runs; this many tells cropped from not cropped on a busy machine


def mask_of(array, spacing=SPACING):
    mask = sitk.GetImageFromArray(np.asarray(array, np.uint8))
    mask.SetSpacing(spacing)
    return mask


def scan_of(mask, value=60.0):
    array = np.full(mask.GetSize()[::-1], value, np.float32)
    array[0, 0, 0] = 900  # bone somewhere, so that the region's values are not the scan's highest
    return with_values(mask, array)


def with_values(mask, array):
    image = sitk.GetImageFromArray(np.asarray(array, np.float32))
    image.CopyInformation(mask)
    return image


def box(first, last, shape=(12, 20, 22)):
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] = 1
    return array


def sphere(centre, radius, shape=(40, 40, 40)):
    return sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)) <= radius**2


SOLID = box((3, 4, 5), (9, 12, 15))  # 6 x 8 x 10 voxels


def flags_of(array, unit="HU", settings=None, value=60.0):
    mask = mask_of(array)
    return region_quality(mask, scan_of(mask, value), unit, settings or {})["flags"]


def test_values_inside_are_described_and_values_outside_are_not():
    mask = mask_of(SOLID)
    array = np.random.default_rng([1, 0]).normal(60, 15, SOLID.shape).astype(np.float32)
    array[SOLID == 0] += 500
    quality = region_quality(mask, with_values(mask, array), "HU", {})
    inside = array[SOLID > 0].astype(float)
    assert quality["voxels"] == 480
    assert quality["volume_mm3"] == pytest.approx(480 * 0.7 * 0.8 * 2.5)
    assert (quality["components"], quality["cavities"], quality["touches_border"]) == (1, 0, False)
    assert quality["mean"] == pytest.approx(inside.mean(), rel=EXACT)
    assert quality["sd"] == pytest.approx(np.sqrt(np.mean((inside - inside.mean()) ** 2)), rel=EXACT)
    assert (quality["minimum"], quality["maximum"]) == (inside.min(), inside.max())
    assert quality["median"] == pytest.approx(np.median(inside), rel=EXACT)
    assert quality["flags"] == []


def test_values_agree_with_simpleitk():
    mask = mask_of(sphere((6, 9, 9), 5, (12, 20, 22)))
    image = with_values(mask, np.random.default_rng([1, 1]).normal(60, 15, (12, 20, 22)))
    statistics = sitk.LabelStatisticsImageFilter()
    statistics.Execute(image, mask)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    quality = region_quality(mask, image, "HU", {})
    assert quality["mean"] == pytest.approx(statistics.GetMean(1), rel=STORED)
    n = quality["voxels"]
    assert quality["sd"] == pytest.approx(statistics.GetSigma(1) * np.sqrt((n - 1) / n), rel=STORED)
    assert quality["volume_mm3"] == pytest.approx(shape.GetPhysicalSize(1))
    assert bounding_box(mask)[0] + bounding_box(mask)[1] == list(shape.GetBoundingBox(1))


def test_parts_that_meet_at_a_corner_are_one():
    array = SOLID.copy()
    array[9, 12, 15] = 1
    assert "separate" not in " ".join(flags_of(array))
    array[10, 15, 18] = 1
    assert flags_of(array) == ["separate parts: 2"]


def test_a_cavity_is_closed_on_all_sides():
    array = SOLID.copy()
    array[5, 6:8, 8] = 0  # two voxels, one cavity
    array[7, 9, 12] = 0
    mask = mask_of(array)
    assert region_quality(mask, scan_of(mask), "HU", {})["cavities"] == 2
    assert flags_of(array) == ["holes inside: 2"]
    array[4, 3:7, 8] = 0  # a way out for the first, within the slice below
    assert flags_of(array) == ["holes inside: 1", "holes in a slice, open above or below: 1"]


def test_a_cavity_is_not_left_over_a_corner_that_the_region_closes():
    array = SOLID.copy()
    array[5, 5, 6] = 0
    array[5, 4, 5] = 0  # touches the cavity at an edge only
    assert flags_of(array) == ["holes inside: 1"]


def test_a_hole_through_all_slices_is_seen_in_each():
    array = SOLID.copy()
    array[:, 7, 9] = 0
    mask = mask_of(array)
    assert region_quality(mask, scan_of(mask), "HU", {})["cavities"] == 0
    assert flags_of(array) == ["holes in a slice, open above or below: 6"]


def test_holes_and_parts_of_a_computed_region_are_counted_and_not_flagged():
    ring = SOLID - box((5, 6, 7), (7, 10, 13))
    ring[11, 18, 20] = 1
    mask = mask_of(ring)
    quality = region_quality(mask, scan_of(mask), "HU", {"derived": True})
    assert (quality["components"], quality["cavities"], quality["flags"]) == (2, 1, ["touches the image border: head"])


@pytest.mark.parametrize(
    ("first", "last", "side"),
    [
        ((0, 4, 5), (9, 12, 15), "foot"),
        ((3, 4, 5), (12, 12, 15), "head"),
        ((3, 0, 5), (9, 12, 15), "front"),
        ((3, 4, 5), (9, 20, 15), "back"),
        ((3, 4, 0), (9, 12, 15), "right"),
        ((3, 4, 5), (9, 12, 22), "left"),
    ],
)
def test_the_touched_side_is_named_as_the_person_lies(first, last, side):
    mask = mask_of(box(first, last))
    assert flags_of(box(first, last)) == [f"touches the image border: {side}"]
    for orientation in ("RAS", "SRP"):  # the same mask in another order of voxels
        turned = sitk.DICOMOrient(mask, orientation)
        quality = region_quality(turned, sitk.DICOMOrient(scan_of(mask), orientation), "HU", {})
        assert quality["touches_border"]
        assert quality["flags"] == [f"touches the image border: {side}"]


def test_few_voxels_are_flagged():
    array = box((3, 4, 5), (7, 8, 9))
    assert flags_of(array) == []  # 64
    array[3, 4, 5] = 0
    assert flags_of(array) == ["small: voxels 63, fewer than 64"]
    assert flags_of(array, settings={"flag_voxels": 63}) == []
    assert flags_of(array, settings={"flag_voxels": 0}) == []


@pytest.mark.parametrize(
    ("unit", "settings", "value", "flags"),
    [
        ("HU", {}, -100, []),
        ("HU", {}, -101, ["mean -101.0 HU, expected -100 to 300"]),
        ("HU", {}, 301, ["mean 301.0 HU, expected -100 to 300"]),
        ("HU", {"expected": [20, 80]}, 90, ["mean 90.0 HU, expected 20 to 80"]),
        ("SUV", {}, 50.5, ["mean 50.5 SUV, expected 0 to 50"]),
        ("SUV", {}, -0.5, ["mean -0.5 SUV, expected 0 to 50"]),
        (None, {}, 800, []),
    ],
)
def test_a_mean_out_of_range_is_flagged_in_its_unit(unit, settings, value, flags):
    assert flags_of(SOLID, unit, settings, value) == flags


def test_metal_nearby_is_flagged_and_metal_further_off_is_not():
    spacing, solid = (2, 2, 2), box((3, 4, 5), (9, 12, 9))
    for distance, flags in ((5, ["metal 10 mm away (over 2500 HU)"]), (6, [])):
        mask = mask_of(solid, spacing)
        array = sitk.GetArrayFromImage(scan_of(mask))
        array[5, 6, 8 + distance] = 2600  # the region's last column is 8
        assert region_quality(mask, with_values(mask, array), "HU", {})["flags"] == flags
        assert region_quality(mask, with_values(mask, array), None, {})["flags"] == []
    array[5, 6, 7] = 3071
    assert region_quality(mask, with_values(mask, array), "HU", {})["flags"] == ["metal inside (over 2500 HU)"]
    # A corner of the box around region and margin lies further away than the margin.
    corner = sitk.GetArrayFromImage(scan_of(mask))
    corner[11, 15, 8] = 2600  # 6, 8 and 0 mm
    assert region_quality(mask, with_values(mask, corner), "HU", {})["flags"] == ["metal 10 mm away (over 2500 HU)"]
    corner[11, 15, 8], corner[11, 15, 9] = 0, 2600  # 6, 8 and 2 mm
    assert region_quality(mask, with_values(mask, corner), "HU", {})["flags"] == []


def test_values_that_were_cut_off_are_flagged():
    mask = mask_of(SOLID)
    array = np.full(SOLID.shape, 60, np.float32)
    array[5, 6, 5:14] = 255
    assert region_quality(mask, with_values(mask, array), "HU", {})["flags"] == []  # nine
    array[5, 6, 14] = 255
    words = "at the scan's highest value, 255, and perhaps cut off there: voxels 10"
    assert region_quality(mask, with_values(mask, array), "HU", {})["flags"] == [words]
    array[0, 0, 0] = 256
    assert region_quality(mask, with_values(mask, array), "HU", {})["flags"] == []


def test_padding_inside_the_region_is_flagged():
    mask = mask_of(SOLID)
    array = sitk.GetArrayFromImage(scan_of(mask))
    array[5, 6, 7] = -1024
    assert region_quality(mask, with_values(mask, array), "HU", {})["flags"] == []
    array[5, 6, 8] = -3024
    flags = region_quality(mask, with_values(mask, array), "HU", {})["flags"]
    assert flags == ["outside the scanner's field of view (under -1024 HU): voxels 1"]


def test_flags_can_be_joined_by_semicolons():
    ring = SOLID - box((5, 6, 7), (7, 10, 13))
    ring[11, 18, 20], ring[5:7, 4, 5:9] = 1, 0
    mask = mask_of(ring)
    array = np.full(SOLID.shape, 3071, np.float32)
    array[4, 5, 6] = -3024
    flags = region_quality(mask, with_values(mask, array), "HU", {"flag_voxels": 1000})["flags"]
    assert len(flags) >= 6
    assert not any(";" in flag for flag in flags)


def test_identical_readings_agree_fully():
    row, = compare_readings({"r1": mask_of(SOLID), "r2": mask_of(SOLID)}, "r1")  # fmt: skip
    assert row == {
        "rater": "r2", "reference": "r1", "dice": 1, "volume_ratio": 1, "hausdorff_mm": 0, "hausdorff95_mm": 0,
    }  # fmt: skip


def test_a_shifted_box_is_off_by_its_shift():
    shifted = box((3, 4, 9), (9, 12, 19))  # 4 of 10 columns along x, 0.7 mm each
    row, = compare_readings({"r2": mask_of(shifted), "r1": mask_of(SOLID)}, "r1")  # fmt: skip
    assert row["rater"] == "r2"
    assert row["dice"] == pytest.approx(6 / 10)
    assert row["hausdorff_mm"] == pytest.approx(4 * 0.7)
    assert row["hausdorff95_mm"] == pytest.approx(4 * 0.7)
    apart = {"r1": mask_of(box((0, 0, 0), (2, 2, 2))), "r2": mask_of(box((10, 0, 0), (12, 2, 2)))}
    apart, = compare_readings(apart, "r1")  # fmt: skip
    assert (apart["dice"], apart["hausdorff_mm"]) == (0, pytest.approx(10 * 2.5))


def test_a_larger_concentric_sphere_is_off_by_the_difference_of_the_radii():
    masks = {"r1": mask_of(sphere((20, 20, 20), 10), (1, 1, 1)), "r2": mask_of(sphere((20, 20, 20), 15), (1, 1, 1))}
    row, = compare_readings(masks, "r1")  # fmt: skip
    assert row["hausdorff_mm"] == pytest.approx(5, abs=VOXEL_MM)
    assert row["hausdorff95_mm"] == pytest.approx(5, abs=VOXEL_MM)
    assert row["volume_ratio"] == pytest.approx((15 / 10) ** 3, rel=0.02)  # the voxels' own error at radius 10
    assert row["dice"] == pytest.approx(2 * 10**3 / (10**3 + 15**3), rel=0.02)


def test_one_far_spot_moves_the_largest_distance_and_not_the_95th_percentile():
    spot = SOLID.copy()
    spot[3, 19, 5] = 1  # 8 rows of 0.8 mm from the last row of the box
    row, = compare_readings({"r1": mask_of(SOLID), "r2": mask_of(spot)}, "r1")  # fmt: skip
    assert row["hausdorff_mm"] == pytest.approx(8 * 0.8)
    assert row["hausdorff95_mm"] == 0


def surface_by_hand(array, spacing):
    framed = np.pad(array, 1).astype(bool)
    inner = framed.copy()
    for axis in range(3):
        inner &= np.roll(framed, 1, axis) & np.roll(framed, -1, axis)
    return np.argwhere(framed & ~inner) * np.array(spacing)[::-1]


def test_distances_agree_with_brute_force_and_with_simpleitk():
    rng = np.random.default_rng([1, 2])
    for _ in range(3):
        one, other = (sphere(rng.uniform(9, 13, 3), rng.uniform(3, 7), (22, 24, 26)) for _ in range(2))
        masks = {"r1": mask_of(one), "r2": mask_of(other)}
        row, = compare_readings(masks, "r1")  # fmt: skip
        distances = cdist(surface_by_hand(one, SPACING), surface_by_hand(other, SPACING))
        directed = [distances.min(axis=0), distances.min(axis=1)]
        assert row["hausdorff_mm"] == pytest.approx(max(d.max() for d in directed), rel=EXACT)
        assert row["hausdorff95_mm"] == pytest.approx(max(np.percentile(d, 95) for d in directed), rel=EXACT)
        assert row["dice"] == pytest.approx(2 * np.sum(one & other) / (one.sum() + other.sum()))
        reference = sitk.HausdorffDistanceImageFilter()
        reference.Execute(masks["r1"], masks["r2"])
        # Theirs is between the regions, ours between their surfaces: never less.
        assert row["hausdorff_mm"] >= reference.GetHausdorffDistance() - STORED


def test_distances_between_regions_that_do_not_overlap_are_those_of_simpleitk():
    masks = {"r1": mask_of(box((1, 1, 1), (4, 6, 5))), "r2": mask_of(box((6, 9, 8), (11, 18, 20)))}
    row, = compare_readings(masks, "r1")  # fmt: skip
    reference = sitk.HausdorffDistanceImageFilter()
    reference.Execute(masks["r1"], masks["r2"])
    assert row["hausdorff_mm"] == pytest.approx(reference.GetHausdorffDistance(), abs=STORED)


def test_without_the_reference_or_another_reader_nothing_is_compared():
    assert compare_readings({"r2": mask_of(SOLID), "r3": mask_of(SOLID)}, "r1") == []
    assert compare_readings({"r1": mask_of(SOLID)}, "r1") == []
    assert [row["rater"] for row in compare_readings({r: mask_of(SOLID) for r in ("r3", "r1", "r2")}, "r1")] == [
        "r3", "r2",
    ]  # fmt: skip


def test_box_is_widened_in_mm_as_far_as_the_image_goes():
    mask = mask_of(SOLID)
    assert bounding_box(mask) == ([5, 4, 3], [10, 8, 6])
    assert bounding_box(mask, 1.6) == ([2, 2, 2], [16, 12, 8])  # 3, 2 and 1 voxels
    assert bounding_box(mask, 100) == ([0, 0, 0], [22, 20, 12])


def test_minimum_volume_is_the_smallest_that_is_accepted():
    mask = sitk.Image([10, 10, 10], sitk.sitkUInt8)
    image = sitk.Image([10, 10, 10], sitk.sitkFloat32)
    for volume in (mask, image):
        volume.SetSpacing((1, 1, 2.5))
    scan = Volume(image, None, None, {})
    assert "empty" in refusal(check_mask, mask, scan, 0)
    mask[1:3, 1:3, 1:3] = 1
    assert check_mask(mask, scan, 20) == {"volume_mm3": 20, "voxels": 8}
    assert "20 mm3 in 8 voxels" in refusal(check_mask, mask, scan, 20.1)


def test_a_lesion_in_a_large_scan_is_quick():
    array = np.zeros((60, 512, 512), np.uint8)
    array[20:30, 200:240, 200:240] = 1
    mask = mask_of(array)
    image = sitk.Image([512, 512, 60], sitk.sitkFloat32)
    image.CopyInformation(mask)
    started = time.process_time()
    region_quality(mask, image, "HU", {})
    compare_readings({"r1": mask, "r2": mask}, "r1")
    assert time.process_time() - started < SECONDS
