import numpy as np
import pytest
import SimpleITK as sitk

from nenflow.features.splines import HORIZON, resample

PIXELS = [np.uint8, np.int16, np.float32, np.float64]


def noise(size, pixel, seed, high=250):
    """A scan at an odd place, as far from the origin as scans are."""
    image = sitk.GetImageFromArray(np.random.default_rng(seed).uniform(0, high, size[::-1]).astype(pixel))
    image.SetOrigin((-180.3, -171.7, -502.1))
    return image


def turn(seed):
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return (axes * np.sign(np.linalg.det(axes))).ravel().tolist()


def grid_in(image, size, spacing, first):
    """Voxels with the image's axes from its continuous index `first` on."""
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing(spacing)
    grid.SetDirection(image.GetDirection())
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first))
    return grid


def assert_as_itk(image, grid):
    ours, itk = resample(image, grid), sitk.Resample(image, grid, interpolator=sitk.sitkBSpline)
    assert ours.GetPixelID() == itk.GetPixelID()
    assert (ours.GetSize(), ours.GetOrigin(), ours.GetSpacing()) == (itk.GetSize(), itk.GetOrigin(), itk.GetSpacing())
    ours, itk = (sitk.GetArrayFromImage(part) for part in (ours, itk))
    assert len(np.unique(itk)) > 10
    np.testing.assert_array_equal(ours, itk)


@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("seed", range(6))
def test_any_direction_and_spacing_give_what_itk_gives(seed, pixel):
    rng = np.random.default_rng(seed)
    image = noise(rng.integers(30, 120, 3).tolist(), pixel, seed)
    image.SetSpacing(rng.uniform(0.5, 4, 3).tolist())
    image.SetDirection(turn(seed))
    first = (rng.uniform(0, 0.6, 3) * image.GetSize()).tolist()
    assert_as_itk(image, grid_in(image, [13, 11, 9], rng.uniform(0.5, 3, 3).tolist(), first))


@pytest.mark.parametrize("pixel", PIXELS)
def test_voxels_a_hair_before_old_ones_are_looked_for_as_itk_does(pixel):
    """The tilt puts new voxels at 15.999999999999996, which 32 bits take for 16."""
    image = noise([130, 120, 40], pixel, 1)
    image.SetSpacing((0.9765625, 0.9765625, 3.0))
    c, s = np.cos(np.radians(11)), np.sin(np.radians(11))
    image.SetDirection((1, 0, 0, 0, c, -s, 0, s, c))
    assert_as_itk(image, grid_in(image, [24, 24, 27], [1, 1, 1], [48.14, 48.14, 13 + 2 / 3]))


# Not two: there ITK mirrors to the place -1, and reads what lies before its memory.
@pytest.mark.parametrize("slices", [1, 3, 5, HORIZON - 1, HORIZON, HORIZON + 1])
def test_short_axes_start_their_recursion_as_in_itk(slices):
    image = noise([50, 45, slices], np.float64, slices)
    assert_as_itk(image, grid_in(image, [20, 20, 2 * slices], [0.7, 0.8, 0.5], [5.2, 7.9, -0.25]))


@pytest.mark.parametrize("pixel", PIXELS)
def test_beyond_the_scan_there_is_nothing(pixel):
    image = noise([40, 40, 40], pixel, 3)
    grid = grid_in(image, [60, 60, 60], [0.9, 0.9, 0.9], [-6.1, -5.3, -7.7])
    assert_as_itk(image, grid)
    assert sitk.GetArrayFromImage(resample(image, grid))[0].max() == 0


def test_whole_numbers_stay_within_the_limits_of_their_type():
    """Splines overshoot between black and white."""
    values = np.zeros((30, 30, 30), np.uint8)
    values[:, :, 15:] = 255
    values[::7] = np.arange(30)
    image = sitk.GetImageFromArray(values)
    assert_as_itk(image, grid_in(image, [40, 20, 20], [0.5, 0.9, 0.9], [5, 4, 4]))
