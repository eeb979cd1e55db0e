import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import binary_fill_holes

from images_files import refusal
from nenflow.images.regions import derive_regions

SPACING = (0.7, 0.8, 2.5)  # x, y, z in mm
RING = {"kind": "ring", "of": "lesion-*", "width_mm": 5}
BURDEN = {"kind": "union", "of": "lesion-*"}
TISSUE = {"kind": "rest", "of": "liver", "without": ["vessels", "lesion-*"]}


def mask(array, spacing=SPACING):
    image = sitk.GetImageFromArray(np.asarray(array, np.uint8))
    image.SetSpacing(spacing)
    image.SetOrigin((-20, 35, -100))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    return image


def ball(shape, centre, radius_mm, spacing=SPACING):
    """Voxels (z, y, x) whose centre is at most `radius_mm` from the voxel `centre`."""
    offset = (np.stack(np.indices(shape), -1) - centre) * spacing[::-1]
    return np.linalg.norm(offset, axis=-1) <= radius_mm


def box(shape, low, high):
    """Array with the voxels from low to high (z, y, x, both included) set."""
    array = np.zeros(shape, bool)
    array[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] = True
    return array


def derive(arrays, rules, reference="R1", spacing=SPACING):
    """Computed regions as arrays, and reasons; masks without a rater are the reference's."""
    masks = {key if isinstance(key, tuple) else (key, "R1"): mask(array, spacing) for key, array in arrays.items()}
    computed, reasons = derive_regions(masks, rules, reference)
    for image in computed.values():
        like = next(iter(masks.values()))
        assert image.GetPixelID() == sitk.sitkUInt8
        assert image.GetSpacing() == like.GetSpacing()
        assert image.GetOrigin() == like.GetOrigin()
        assert image.GetDirection() == like.GetDirection()
    arrays = {key: sitk.GetArrayFromImage(image) for key, image in computed.items()}
    assert all(set(np.unique(array)) <= {0, 1} for array in arrays.values())
    return {key: array.astype(bool) for key, array in arrays.items()}, reasons


def near(array, width_mm, spacing=SPACING):
    """Voxels at most so far from any voxel of the array, compared one by one; itself included."""
    points = np.argwhere(array) * spacing[::-1]
    grid = np.stack(np.indices(array.shape), -1) * spacing[::-1]
    least = np.full(array.shape, np.inf)
    for point in points:
        least = np.minimum(least, np.linalg.norm(grid - point, axis=-1))
    return least <= width_mm + 1e-9


# --- rings


def test_ring_of_one_voxel_by_hand():
    # 5 mm: in a row the offsets with 1 mm steps from (0, 0) to (5, 0) and (3, 4), both at exactly 5 mm.
    shape = (1, 15, 15)
    computed, reasons = derive({"lesion-1": box(shape, (0, 7, 7), (0, 7, 7))}, {"ring": RING}, spacing=(1, 1, 6))
    ring = computed["lesion-1-ring", "R1"][0]
    assert reasons == {}
    assert ring.sum() == 81 - 1  # lattice points in a circle of radius 5 (Gauss), less the lesion
    assert ring[7, 12]
    assert ring[10, 11]
    assert not ring[7, 7]
    assert not ring[7, 13]


def test_exact_widths_on_spacings_that_are_not_exact_in_binary():
    shape = (1, 1, 21)
    lesion = {"lesion-1": box(shape, (0, 0, 10), (0, 0, 10))}
    for spacing, width, steps in ((0.7, 4.9, 7), (0.1, 0.3, 3), (0.8, 5.6, 7), (0.7, 4.89, 6)):
        computed, _ = derive(lesion, {"ring": RING | {"width_mm": width}}, spacing=(spacing, 1, 1))
        assert computed["lesion-1-ring", "R1"].sum() == 2 * steps
    # 5 and 12 steps away along two axes is 13 steps in a right triangle: 10.4 mm, in float32 a little more.
    corner = {"lesion-1": box((1, 21, 21), (0, 0, 0), (0, 0, 0))}
    computed, _ = derive(corner, {"ring": RING | {"width_mm": 10.4}}, spacing=(0.8, 0.8, 1))
    assert computed["lesion-1-ring", "R1"][0, 5, 12]


def test_ring_agrees_with_brute_force_on_an_anisotropic_grid():
    random = np.random.default_rng([3, 7])
    for number in range(5):
        # Blobs anywhere, at the borders of the image too, apart from each other or not.
        lesion = np.zeros((9, 24, 22), bool)
        for _ in range(4):
            lesion |= ball(lesion.shape, random.integers(0, lesion.shape), random.uniform(0.5, 4))
        width = random.uniform(1, 6)
        computed, _ = derive({"lesion-1": lesion}, {"ring": RING | {"width_mm": width}})
        assert np.array_equal(binary_fill_holes(lesion), lesion), "the blobs of this seed enclose nothing"
        assert np.array_equal(computed["lesion-1-ring", "R1"], near(lesion, width) & ~lesion), number


def test_volume_of_a_shell():
    # The outermost centres of a ball lie a fraction of a voxel (here 0.2) inside its surface, and the outer face of the
    # ring with them: the error goes down with the voxels.
    exact = 4 / 3 * np.pi * (15**3 - 10**3)
    errors = []
    for step in (1.0, 0.5):
        spacing, side = (step, step, step), int(34 / step) + 1
        lesion = ball((side, side, side), (side // 2,) * 3, 10, spacing)
        computed, _ = derive({"lesion-1": lesion}, {"ring": RING}, spacing=spacing)
        errors.append(computed["lesion-1-ring", "R1"].sum() * step**3 / exact - 1)
    assert np.abs(errors) == pytest.approx([0.06, 0.03], abs=0.006)


def test_rings_hold_no_voxel_of_any_lesion():
    shape = (5, 30, 40)
    first, second = box(shape, (2, 10, 10), (2, 15, 15)), box(shape, (1, 10, 18), (3, 15, 25))
    computed, reasons = derive({"lesion-1": first, "lesion-2": second, "liver": np.ones(shape)}, {"ring": RING})
    assert set(computed) == {("lesion-1-ring", "R1"), ("lesion-2-ring", "R1")}
    assert reasons == {}
    for name, lesion in {"lesion-1-ring": first, "lesion-2-ring": second}.items():
        assert np.array_equal(computed[name, "R1"], near(lesion, 5) & ~first & ~second)


def test_two_rings_of_different_width_have_their_own_names():
    shape = (5, 30, 40)
    lesion = box(shape, (2, 12, 12), (2, 15, 15))
    computed, _ = derive({"lesion-1": lesion}, {"near": RING | {"width_mm": 3}, "far": RING | {"width_mm": 6}})
    assert list(computed) == [("lesion-1-near", "R1"), ("lesion-1-far", "R1")]
    assert computed["lesion-1-near", "R1"].sum() < computed["lesion-1-far", "R1"].sum()


def test_ring_is_cut_to_the_organ():
    shape = (5, 30, 40)
    lesion, liver = box(shape, (2, 10, 10), (2, 15, 15)), box(shape, (2, 0, 0), (4, 29, 12))
    computed, _ = derive({"lesion-1": lesion, "liver": liver}, {"ring": RING | {"inside": "liver"}})
    assert np.array_equal(computed["lesion-1-ring", "R1"], near(lesion, 5) & ~lesion & liver)


def test_cavities_are_not_around_a_lesion():
    shape = (9, 20, 20)
    cavity = box(shape, (4, 9, 9), (4, 10, 10))
    shell = box(shape, (3, 6, 6), (5, 13, 13)) & ~cavity
    computed, _ = derive({"lesion-1": shell}, {"ring": RING})
    assert np.array_equal(computed["lesion-1-ring", "R1"], near(shell, 5) & ~shell & ~cavity)
    # Open at one side, it is outside.
    channel = box(shape, (4, 9, 9), (8, 10, 10))
    open_shell = shell & ~channel
    computed, _ = derive({"lesion-1": open_shell}, {"ring": RING})
    assert np.array_equal(computed["lesion-1-ring", "R1"], near(open_shell, 5) & ~open_shell)


def test_a_ring_that_reaches_no_voxel_or_none_of_the_organ():
    shape = (3, 10, 10)
    lesion, liver = box(shape, (1, 4, 4), (1, 5, 5)), box(shape, (0, 0, 0), (0, 1, 1))
    rules = {"thin": RING | {"width_mm": 0.5}, "ring": RING | {"width_mm": 2, "inside": "liver"}}
    computed, reasons = derive({"lesion-1": lesion, "lesion-2": np.zeros(shape), "liver": liver}, rules)
    assert computed == {}
    assert reasons == {
        ("lesion-1-thin", "R1"): "There is no voxel within 0.5 mm of lesion-1.",
        ("lesion-2-thin", "R1"): "There is no voxel in lesion-2.",
        ("lesion-1-ring", "R1"): "There is no voxel within 2 mm of lesion-1 inside liver.",
        ("lesion-2-ring", "R1"): "There is no voxel in lesion-2.",
    }


# --- unions and rests


def test_union_counts_overlap_once():
    shape = (3, 10, 10)
    first, second = box(shape, (0, 0, 0), (1, 4, 4)), box(shape, (1, 3, 3), (2, 6, 6))
    computed, _ = derive({"lesion-1": first, "lesion-2": second, "cyst": np.ones(shape)}, {"burden": BURDEN})
    assert list(computed) == [("burden", "R1")]
    assert computed["burden", "R1"].sum() == 50 + 32 - 4
    assert np.array_equal(computed["burden", "R1"], first | second)


def test_union_by_organ():
    shape = (3, 10, 10)
    first, second = box(shape, (0, 0, 0), (0, 4, 4)), box(shape, (2, 6, 6), (2, 9, 9))
    organs = {"liver": box(shape, (0, 0, 0), (0, 9, 2)), "pancreas": box(shape, (2, 0, 0), (2, 9, 9))}
    rules = {name: BURDEN | {"inside": name} for name in ("liver", "pancreas")}
    rules = {f"burden-{name}": rule for name, rule in rules.items()}
    computed, _ = derive({"lesion-1": first, "lesion-2": second, **organs}, rules)
    assert np.array_equal(computed["burden-liver", "R1"], first)  # whole, though it reaches out of the liver
    assert np.array_equal(computed["burden-pancreas", "R1"], second)


def test_a_lesion_cut_out_of_its_organ_belongs_to_it():
    """As 3D Slicer saves segments that must not overlap."""
    shape = (3, 20, 20)
    first, second = box(shape, (1, 2, 2), (1, 4, 4)), box(shape, (1, 9, 9), (1, 12, 12))
    liver = np.ones(shape, bool) & ~first & ~second
    far = box(shape, (0, 0, 0), (0, 0, 0))
    rule = {"burden": BURDEN | {"inside": "liver"}}
    computed, _ = derive({"lesion-1": first, "lesion-2": second, "liver": liver}, rule)
    assert np.array_equal(computed["burden", "R1"], first | second)
    computed, reasons = derive({"lesion-1": second, "liver": far}, rule)
    assert reasons == {("burden", "R1"): "No region lesion-* overlaps or touches liver."}


def test_rest_of_an_organ():
    shape = (3, 10, 10)
    arrays = {
        "liver": box(shape, (0, 1, 1), (2, 8, 8)),
        "vessels": box(shape, (0, 4, 0), (2, 4, 9)),  # reaches out of the liver
        "lesion-1": box(shape, (1, 2, 2), (1, 3, 3)),
        "lesion-2": box(shape, (0, 3, 3), (2, 5, 5)),  # overlaps vessel and lesion
    }
    computed, _ = derive(arrays, {"tissue": TISSUE})
    out = arrays["vessels"] | arrays["lesion-1"] | arrays["lesion-2"]
    assert np.array_equal(computed["tissue", "R1"], arrays["liver"] & ~out)
    assert computed["tissue", "R1"].sum() == 3 * 64 - 3 * 8 - 3 - 18


def test_nothing_left_of_an_organ():
    shape = (3, 10, 10)
    arrays = {"liver": box(shape, (0, 0, 0), (0, 4, 4)), "vessels": np.ones(shape), "lesion-1": np.ones(shape)}
    computed, reasons = derive(arrays, {"tissue": TISSUE})
    assert computed == {}
    assert reasons == {("tissue", "R1"): "There is no voxel of liver without vessels and lesion-*."}


# --- raters

SHAPE = (3, 20, 20)
LIVER = box(SHAPE, (0, 0, 0), (2, 15, 15))
ONE, ONE_AGAIN = box(SHAPE, (1, 2, 2), (1, 5, 5)), box(SHAPE, (1, 2, 2), (1, 6, 6))
TWO, TWO_AGAIN = box(SHAPE, (1, 9, 9), (1, 12, 12)), box(SHAPE, (1, 8, 9), (1, 12, 12))
VESSELS = box(SHAPE, (0, 14, 0), (2, 14, 19))
RULES = {
    "ring": RING | {"width_mm": 3, "inside": "liver"},
    "burden": BURDEN | {"inside": "liver"},
    "tissue": TISSUE,
}
ALL_BY_R1 = {"liver": LIVER, "vessels": VESSELS, "lesion-1": ONE, "lesion-2": TWO}


def test_organs_of_the_reference_serve_raters_who_drew_none():
    computed, reasons = derive(ALL_BY_R1 | {("lesion-1", "R2"): ONE_AGAIN, ("lesion-2", "R2"): TWO_AGAIN}, RULES)
    ring = near(ONE_AGAIN, 3) & ~ONE_AGAIN & ~TWO_AGAIN & LIVER
    assert np.array_equal(computed["lesion-1-ring", "R2"], ring)
    assert np.array_equal(computed["burden", "R2"], ONE_AGAIN | TWO_AGAIN)
    # A rest of the reference's liver would agree with the reference's whoever reads.
    assert reasons == {("tissue", "R2"): "Rater R2 has not drawn liver, which R1 has drawn."}


def test_own_organs_go_before_those_of_the_reference():
    small = box(SHAPE, (0, 0, 0), (2, 5, 15))
    others = {("liver", "R2"): small, ("lesion-1", "R2"): ONE_AGAIN, ("lesion-2", "R2"): TWO_AGAIN}
    computed, reasons = derive(ALL_BY_R1 | others, RULES)
    assert np.array_equal(computed["burden", "R2"], ONE_AGAIN)  # the other lesion is not of the smaller liver
    assert np.array_equal(computed["tissue", "R2"], small & ~ONE_AGAIN & ~TWO_AGAIN & ~VESSELS)
    assert np.array_equal(computed["lesion-1-ring", "R2"], near(ONE_AGAIN, 3) & small & ~ONE_AGAIN)
    assert np.array_equal(computed["burden", "R1"], ONE | TWO)
    assert reasons == {}


def test_a_rater_of_some_lesions_has_rings_but_no_union():
    lone = derive(ALL_BY_R1 | {("lesion-1", "R2"): ONE_AGAIN, ("liver", "R2"): LIVER}, RULES | {"ring": RING})
    computed, reasons = lone
    # The other lesion, which only the reference drew, is in neither ring nor tissue.
    assert np.array_equal(computed["lesion-1-ring", "R2"], near(ONE_AGAIN, 5) & ~ONE_AGAIN & ~TWO)
    assert np.array_equal(computed["tissue", "R2"], LIVER & ~ONE_AGAIN & ~TWO & ~VESSELS)
    assert ("lesion-2-ring", "R2") not in computed
    assert reasons == {("burden", "R2"): "Rater R2 has not drawn lesion-2, which R1 has drawn."}


def test_a_lesion_more_than_the_reference_belongs_to_the_union():
    computed, reasons = derive({"lesion-1": ONE, ("lesion-1", "R2"): ONE, ("lesion-2", "R2"): TWO}, {"burden": BURDEN})
    assert reasons == {}
    assert np.array_equal(computed["burden", "R1"], ONE)
    assert np.array_equal(computed["burden", "R2"], ONE | TWO)


def test_what_nobody_drew_is_named():
    computed, reasons = derive({"lesion-1": ONE, ("lesion-1", "R2"): ONE, ("liver", "R3"): LIVER}, RULES)
    assert computed == {}
    assert reasons == {
        ("lesion-1-ring", "R1"): "Rater R1 has not drawn liver.",
        ("lesion-1-ring", "R2"): "Neither rater R2 nor R1 has drawn liver.",
        ("burden", "R1"): "Rater R1 has not drawn liver.",
        ("burden", "R2"): "Neither rater R2 nor R1 has drawn liver.",
        ("burden", "R3"): "Rater R3 has not drawn lesion-1, which R1 has drawn.",
        ("tissue", "R1"): "Rater R1 has not drawn liver.",
        ("tissue", "R2"): "Neither rater R2 nor R1 has drawn liver.",
        ("tissue", "R3"): "Neither rater R3 nor R1 has drawn vessels.",
    }
    _, reasons = derive({"liver": LIVER, "vessels": VESSELS}, RULES)
    assert reasons == {
        ("burden", "R1"): "Rater R1 has not drawn lesion-*.",
        ("tissue", "R1"): "Rater R1 has not drawn lesion-*.",
    }


def test_masks_are_left_as_they_are():
    masks = {(name, "R1"): mask(array) for name, array in ALL_BY_R1.items()}
    before = {key: sitk.Hash(image) for key, image in masks.items()}
    derive_regions(masks, RULES, "R1")
    assert {key: sitk.Hash(image) for key, image in masks.items()} == before


@pytest.mark.parametrize(
    "rules", [{"liver": BURDEN}, {"ring": RING, "lesion-1-ring": BURDEN}], ids=["a drawn region", "a computed region"]
)
def test_a_name_is_given_once(rules):
    masks = {("lesion-1", "R1"): mask(ONE), ("liver", "R2"): mask(LIVER)}
    assert "Two regions would be called" in refusal(derive_regions, masks, rules, "R1")
