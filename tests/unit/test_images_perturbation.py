import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from nenflow.errors import InputError
from nenflow.images.perturbation import noise_level, perturb, supervoxel_chances

# Of a known standard deviation: an estimate from over 60,000 voxels scatters by less than 1 %.
NOISE_TOLERANCE = 0.05
# A sphere 20 voxels wide, turned: its surface is cut anew by the grid.
SPHERE_TOLERANCE = 0.02
# As different readers agree about a lesion that is well seen.
READERS_DICE = 0.8
# Between grid points that coincide, from the float32 of ITK's spline coefficients.
SPLINE_TOLERANCE = 1e-4
TURN, HALF = np.cos(np.pi / 6), 0.5
DIRECTIONS = {
    "upright": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    "flipped": [-1, 0, 0, 0, 1, 0, 0, 0, 1],  # left-handed, as some NIfTI files
    "oblique": [TURN, -HALF * TURN, HALF * HALF, HALF, TURN * TURN, -HALF * TURN, 0, HALF, TURN],
}
EVERYTHING = {"rotation_degrees": 13, "translation": 0.5, "noise": True, "volume_change": 0.15, "contour": True}


class Largest:
    """A generator that draws the upper end, so that `perturb` does exactly what its settings say."""

    def uniform(self, low, high, size=None):
        return high if size is None else np.full(size, high)

    def random(self, size):
        return np.random.default_rng(0).random(size)


class Smallest(Largest):
    def uniform(self, low, high, size=None):
        return super().uniform(high, low, size)


def pictures(values, inside, spacing=(1, 1, 1), direction="upright"):
    """Scan and mask of arrays (z, y, x)."""
    made = [sitk.GetImageFromArray(values), sitk.GetImageFromArray(inside.astype(np.uint8))]
    for picture in made:
        picture.SetSpacing(spacing)
        picture.SetOrigin((-12.0, 30.0, 7.0))
        picture.SetDirection(DIRECTIONS[direction])
    return made


def arrays(pair):
    return sitk.GetArrayFromImage(pair[0]), sitk.GetArrayFromImage(pair[1])


def ball(shape, diameter, spacing=(1, 1, 1)):
    """Which voxels (z, y, x) lie in a ball (mm) in the middle of the grid."""
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing[::-1], strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= diameter**2 / 4


def lesion(contrast=40, noise=10, spacing=(0.8, 0.8, 2.0), diameter=14, shape=(30, 110, 120), seed=3):
    """A bright ball with an edge 2 mm wide in noise, in whole HU."""
    inside = ball(shape, diameter, spacing)
    blurred = gaussian_filter(inside.astype(float), 1 / np.array(spacing[::-1]))
    values = 60 + contrast * blurred + np.random.default_rng(seed).normal(0, noise, shape)
    return pictures(np.rint(values).astype(np.float32), inside, spacing)


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


# ---- turned and shifted


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_a_quarter_turn_turns_the_planes(kind):
    inside = np.zeros((9, 21, 21))
    inside[3:6, 8:13, 8:13] = 1  # its centre is the centre of the grid
    values = np.random.default_rng(1).integers(-100, 200, inside.shape).astype(np.float32)
    inside[4, 10, 5:16] = 1  # a rod along x becomes one along y
    turned, region = arrays(perturb(*pictures(values, inside, direction=kind), {"rotation_degrees": 90}, Largest()))
    # From x towards y, that is clockwise where rows run downwards.
    assert (turned == np.rot90(values, -1, axes=(1, 2))).all()
    assert (region == np.rot90(inside, -1, axes=(1, 2))).all()


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_a_shift_by_one_voxel_moves_everything_by_one(kind):
    inside = ball((12, 14, 16), 5)
    values = np.random.default_rng(2).normal(size=inside.shape).astype(np.float32)
    pair = pictures(values, inside, (0.7, 0.9, 2.5), kind)
    shifted, region = arrays(perturb(*pair, {"translation": 1}, Largest()))
    assert shifted[1:, 1:, 1:] == pytest.approx(values[:-1, :-1, :-1], abs=SPLINE_TOLERANCE)
    assert shifted[:, :, 0] == pytest.approx(shifted[:, :, 1], abs=SPLINE_TOLERANCE)  # the edge is extended
    assert (region[1:, 1:, 1:] == inside[:-1, :-1, :-1]).all()
    assert region.sum() == inside.sum()


def test_the_scan_is_interpolated_by_cubic_splines():
    x = np.arange(60) / 10
    values = np.broadcast_to((x**3 - 4 * x**2).astype(np.float32), (12, 12, 60))
    image, mask = pictures(np.ascontiguousarray(values), ball(values.shape, 4))
    shifted, _ = arrays(perturb(image, mask, {"translation": 0.4}, Largest()))
    # Cubics are reproduced exactly where the ends of the line do not reach; linear interpolation is off by 0.03.
    want = (x - 0.04) ** 3 - 4 * (x - 0.04) ** 2
    assert shifted[6, 6, 20:40] == pytest.approx(want[20:40], abs=1e-4)


def test_a_turned_ball_keeps_its_volume_and_its_place():
    inside = ball((40, 60, 60), 20)
    for angle in (3, 13, 45):
        pair = pictures(np.where(inside, 100, 0).astype(np.float32), inside)
        values, region = arrays(perturb(*pair, {"rotation_degrees": angle}, Largest()))
        assert region.sum() == pytest.approx(inside.sum(), rel=SPHERE_TOLERANCE)
        assert np.argwhere(region).mean(axis=0) == pytest.approx([19.5, 29.5, 29.5], abs=0.02)
        assert values[region == 1].mean() > 95 > 5 > values[region == 0].mean()


def test_scan_and_mask_move_together():
    inside = ball((20, 40, 40), 12, (1, 1, 2))
    inside[:, :, 20:] = False
    pair = pictures(np.where(inside, 100, 0).astype(np.float32), inside, (1, 1, 2))
    values, region = arrays(perturb(*pair, {"rotation_degrees": 13, "translation": 0.5}, Largest()))
    assert dice(values >= 50, region == 1) > 0.95
    assert dice(inside, region == 1) < 0.9


def test_far_from_the_region_the_scan_stays_and_the_grid_too():
    image, mask = lesion(diameter=6, shape=(50, 110, 130))
    made = perturb(image, mask, {"rotation_degrees": 5, "noise": True}, np.random.default_rng(1))
    changed = np.argwhere(sitk.GetArrayFromImage(made[0]) != sitk.GetArrayFromImage(image))
    region = np.argwhere(sitk.GetArrayFromImage(mask))
    # 30 mm are 15 slices and 37.5 pixels; the turned box is a little wider in its plane.
    margin = (region.min(axis=0) - changed.min(axis=0)).tolist()
    assert margin[0] == 15
    assert 38 <= margin[1] <= 40
    for after in made:
        assert after.GetSize() == image.GetSize()
        assert after.GetOrigin() == image.GetOrigin()
        assert after.GetSpacing() == image.GetSpacing()
        assert after.GetDirection() == image.GetDirection()


# ---- noise


@pytest.mark.parametrize("sigma", [0.1, 12.0])
def test_the_level_of_white_noise_is_found(sigma):
    noise = np.random.default_rng(5).normal(0, sigma, (5, 111, 131))
    rows, columns = np.mgrid[:111, :131]
    assert noise_level(noise) == pytest.approx(sigma, rel=NOISE_TOLERANCE)
    assert noise_level(noise + sigma * (rows + columns) / 10) == pytest.approx(sigma, rel=NOISE_TOLERANCE)  # a slope
    assert noise_level(np.full((3, 20, 20), 7.0)) == pytest.approx(0, abs=1e-12)


def test_the_noise_that_is_added_is_as_strong_as_the_scans_own():
    image, mask = lesion(contrast=0, noise=12)
    values, region = arrays(perturb(image, mask, {"noise": True}, np.random.default_rng(6)))
    added = (values - sitk.GetArrayFromImage(image))[10:20, 40:70, 40:80]
    assert added.std() == pytest.approx(12, rel=NOISE_TOLERANCE)
    assert (region == sitk.GetArrayFromImage(mask)).all()


def test_noise_is_measured_in_the_slices_of_the_region():
    image, mask = lesion(contrast=0, noise=3, shape=(40, 60, 60))
    inside = sitk.GetArrayFromImage(mask)
    values = sitk.GetArrayFromImage(image)
    rows = np.flatnonzero(inside.any(axis=(1, 2)))
    louder = slice(rows[0], rows[-1] + 1)
    values[louder] += np.random.default_rng(4).normal(0, 15, values[louder].shape).astype(np.float32)
    made, _ = arrays(perturb(*pictures(values, inside, (0.8, 0.8, 2.0)), {"noise": True}, np.random.default_rng(6)))
    assert (made - values)[8:32].std() == pytest.approx(np.hypot(3, 15), rel=NOISE_TOLERANCE)


def test_whole_numbers_stay_whole_and_others_do_not():
    image, mask = lesion()
    values, _ = arrays(perturb(image, mask, EVERYTHING, np.random.default_rng(1)))
    assert values.dtype == np.float32
    assert (values == np.rint(values)).all()
    values, _ = arrays(perturb(image * 0.37, mask, EVERYTHING, np.random.default_rng(1)))
    assert (values[15, 40:60, 40:60] != np.rint(values[15, 40:60, 40:60])).any()


# ---- volume


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 5.0)])
@pytest.mark.parametrize(("generator", "factor"), [(Largest(), 1.15), (Smallest(), 0.85)])
def test_volume_changes_by_exactly_the_wanted_voxels(spacing, generator, factor):
    inside = ball((24, 60, 60), 14, spacing)
    pair = pictures(np.zeros(inside.shape, np.float32), inside, spacing)
    values, region = arrays(perturb(*pair, {"volume_change": 0.15}, generator))
    assert region.sum() == round(factor * inside.sum())
    assert (values == 0).all()
    assert ((region == 1) & inside).sum() == min(region.sum(), inside.sum())  # one holds the other
    # The shell that came or went surrounds the region evenly.
    assert np.argwhere(region).mean(axis=0) == pytest.approx(np.argwhere(inside).mean(axis=0), abs=0.5)


def test_volume_changes_from_the_surface_in_mm():
    inside = np.zeros((9, 20, 20), bool)
    inside[3:6, 5:15, 5:15] = True  # 300 voxels; the ring around it in its three slices has 3 * 40
    pair = pictures(np.zeros(inside.shape, np.float32), inside, (1, 1, 3))
    _, grown = arrays(perturb(*pair, {"volume_change": 0.4}, Largest()))
    ring = np.zeros_like(inside)
    ring[3:6, 4:16, 5:15] = ring[3:6, 5:15, 4:16] = True
    assert (grown == ring).all()
    _, shrunk = arrays(perturb(*pair, {"volume_change": 0.36}, Smallest()))
    core = np.zeros_like(inside)
    core[3:6, 6:14, 6:14] = True  # 192 voxels
    assert (shrunk == core).all()


# ---- contour


def test_a_supervoxel_belongs_to_the_region_by_its_share():
    labels = np.repeat([0, 1, 2, 3, 4, 6], 100).reshape(6, 10, 10)  # no voxel is labelled 5
    inside = np.zeros(labels.shape, bool)
    for number, voxels in enumerate((0, 19, 20, 89, 90, 100)):
        inside[number].flat[:voxels] = True
    assert supervoxel_chances(labels, inside).tolist() == [0, 0, 0.2, 0.89, 1, 0, 1]
    inside[2:] = False
    assert supervoxel_chances(labels, inside).tolist() == [0, 1, 0, 0, 0, 0, 0]  # 0.19 is the largest share


@pytest.mark.parametrize(("spacing", "diameter"), [((0.8, 0.8, 2.0), 10), ((0.8, 0.8, 5.0), 15), ((0.8, 0.8, 1.0), 20)])
def test_redrawn_contours_differ_as_readers_do(spacing, diameter):
    image, mask = lesion(spacing=spacing, diameter=diameter)
    inside = sitk.GetArrayFromImage(mask) > 0
    drawn = [arrays(perturb(image, mask, {"contour": True}, np.random.default_rng([2, n]))) for n in range(8)]
    assert all((values == sitk.GetArrayFromImage(image)).all() for values, _ in drawn)
    overlaps = [dice(region > 0, inside) for _, region in drawn]
    assert min(overlaps) > READERS_DICE
    assert max(overlaps) < 1
    assert len({region.tobytes() for _, region in drawn}) > 4
    assert np.mean([region.sum() for _, region in drawn]) == pytest.approx(inside.sum(), rel=0.1)


def test_supervoxels_follow_an_edge():
    spacing, kept = (0.8, 0.8, 1.0), {}
    for contrast in (0, 100):
        image, mask = lesion(contrast=contrast, noise=10, spacing=spacing, diameter=20)
        inside = sitk.GetArrayFromImage(mask) > 0
        kept[contrast] = dice(arrays(perturb(image, mask, {"contour": True}, np.random.default_rng(1)))[1] > 0, inside)
    assert kept[100] > 0.93
    assert kept[0] < 0.88


def test_without_edges_only_the_rim_of_a_ball_is_redrawn():
    inside = ball((50, 60, 60), 30)
    image, mask = pictures(np.full(inside.shape, 50, np.float32), inside)
    regions = [arrays(perturb(image, mask, {"contour": True}, np.random.default_rng(n)))[1] > 0 for n in range(5)]
    # Supervoxels are 1/150 of 14,137 mm3, about 4.5 mm wide; one may reach its diagonal of 8 mm into the ball or out.
    assert all(region[ball(inside.shape, 30 - 16)].all() for region in regions)
    assert not any(region[~ball(inside.shape, 30 + 16)].any() for region in regions)
    assert np.mean([dice(region, inside) for region in regions]) > READERS_DICE
    assert np.mean([region.sum() for region in regions]) == pytest.approx(inside.sum(), rel=0.1)


# ---- all together


@pytest.mark.parametrize("settings", [{}, {"repeats": 10, **dict.fromkeys(EVERYTHING, 0)}, {"noise": False}])
def test_nothing_is_changed_when_nothing_is_asked_for(settings):
    image, mask = lesion()
    made = perturb(image, mask, settings, np.random.default_rng(1))
    for after, before in zip(made, (image, mask), strict=True):
        assert (sitk.GetArrayFromImage(after) == sitk.GetArrayFromImage(before)).all()
        assert after.GetPixelID() == before.GetPixelID()


def test_a_reading_depends_on_the_generator_alone():
    image, mask = lesion()
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    readings = []
    try:
        for number, seed in ((1, 4), (2, 4), (1, 5)):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(number)
            readings.append(arrays(perturb(image, mask, EVERYTHING, np.random.default_rng([9, seed]))))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    first, again, other = readings
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_whole_chain_leaves_a_region_that_fits():
    image, mask = lesion()
    inside = sitk.GetArrayFromImage(mask) > 0
    for number in range(4):
        values, region = arrays(perturb(image, mask, EVERYTHING, np.random.default_rng([1, number])))
        assert set(np.unique(region)) == {0, 1}
        assert dice(region > 0, inside) > 0.7
        assert values[region > 0].mean() > 60 + 40 / 2


def test_a_region_at_the_border_of_the_scan_is_perturbed_too():
    inside = np.zeros((6, 30, 30), bool)
    inside[:2, :6, :8] = True
    values = np.rint(np.random.default_rng(3).normal(40, 9, inside.shape)).astype(np.float32)
    values, region = arrays(perturb(*pictures(values, inside), EVERYTHING, np.random.default_rng(2)))
    assert 0.5 < region.sum() / inside.sum() < 1.5
    assert np.isfinite(values).all()


def test_a_region_of_which_nothing_is_left_is_refused():
    inside = np.zeros((9, 9, 9), bool)
    inside[4, 4, 4] = True
    image, mask = pictures(np.zeros(inside.shape, np.float32), inside)
    with pytest.raises(InputError, match="too few voxels"):
        perturb(image, mask, {"translation": 0.5}, Largest())  # an eighth of each of eight voxels
    with pytest.raises(InputError, match="too few voxels"):
        perturb(image, mask * 0, EVERYTHING, np.random.default_rng(1))
