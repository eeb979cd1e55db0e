"""Counts are compared with pyradiomics' functions in C, to the last bit."""

import numpy as np
import pytest
from radiomics import cMatrices
from scipy import ndimage

from nenflow.features.textures import Textures


def blob(shape, levels, seed, grain=1.0):
    """Grey levels, with some grain, of a region of no simple shape that touches the sides of its box."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.normal(size=shape), grain)
    ranks = np.searchsorted(np.quantile(texture, np.arange(1, levels) / levels), texture) + 1
    inside = ndimage.gaussian_filter(rng.normal(size=shape), 1.0) > -0.1
    return np.where(inside, ranks, 0), inside


def ones(shape):
    return np.ones(shape, int), np.ones(shape, bool)


def apart():
    """Voxels on some lines, but none beside another of the region."""
    inside = np.zeros((7, 7, 7), bool)
    inside[::3, ::2, 1::4] = True
    return np.where(inside, 2, 0), inside


def slanted():
    """A plane through the box, along which some directions never meet two voxels."""
    z, y, x = np.indices((6, 7, 8))
    inside = x == z + 1
    return np.where(inside, y % 3 + 1, 0), inside


REGIONS = {
    "coarse": blob((21, 22, 23), 5, 1, 1.5),
    "fine": blob((15, 20, 12), 40, 2, 0.3),
    "of more levels than 8 bits hold": blob((14, 13, 12), 700, 3, 0.3),
    "one slice": blob((1, 30, 25), 6, 4),
    "one column of voxels": blob((1, 40, 1), 3, 5),
    "two slices": blob((25, 2, 30), 8, 6),
    "flat": ones((9, 8, 7)),
    "two voxels": ones((1, 1, 2)),
    "voxels apart": apart(),
    "a slanted plane": slanted(),
    "missing levels": (blob((12, 12, 12), 9, 7)[0] * 3, blob((12, 12, 12), 9, 7)[1]),
}


def assert_same(ours, theirs):
    for one, other in zip(*((part if isinstance(part, tuple) else (part,)) for part in (ours, theirs)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("flat", [None, 0, 1, 2])
@pytest.mark.parametrize("region", REGIONS)
def test_every_count_is_pyradiomics_own(region, flat):
    levels, inside = REGIONS[region]
    textures, count, plane = Textures(levels, inside, flat), int(levels.max()), (flat is not None, flat or 0)
    if len(textures.angles) == 0:
        with pytest.raises(RuntimeError, match="angle count"):
            cMatrices.calculate_glrlm(levels, inside, count, max(levels.shape), *plane)
        return
    for name, arguments in {
        "glcm": (np.array([1]), count),
        "glrlm": (count, max(levels.shape)),
        "gldm": (np.array([1]), count, 0),
        "ngtdm": (np.array([1]), count),
    }.items():
        found = [
            getattr(source, f"calculate_{name}")(levels, inside, *arguments, *plane) for source in (textures, cMatrices)
        ]
        assert_same(*found)


@pytest.mark.parametrize("alpha", [1, 3, 100])
def test_dependence_may_be_loose(alpha):
    levels, inside = REGIONS["fine"]
    arguments = (levels, inside, np.array([1]), 40, alpha, False, 0)
    assert_same(Textures(levels, inside).calculate_gldm(*arguments), cMatrices.calculate_gldm(*arguments))


@pytest.mark.parametrize("distances", [[2], [1, 2]])
def test_neighbours_further_off_are_counted_by_pyradiomics(distances):
    levels, inside = REGIONS["coarse"]
    textures = Textures(levels, inside)
    for name, extra in {"glcm": (5,), "gldm": (5, 0), "ngtdm": (5,)}.items():
        arguments = (levels, inside, np.array(distances), *extra, False, 0)
        assert_same(*(getattr(source, f"calculate_{name}")(*arguments) for source in (textures, cMatrices)))


def test_runs_known_by_hand():
    levels = np.array([[[1, 1, 2, 2, 2, 1]]])
    matrix, angles = Textures(levels, levels > 0).calculate_glrlm(levels, levels > 0, 2, 6, False, 0)
    assert angles.tolist() == [[0, 0, 1]]
    assert matrix[0, :, :, 0].tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]
