"""Areas, volumes and diameters are compared with pyradiomics' functions in C, to the last bit."""

import numpy as np
import pytest
from radiomics import cShape
from scipy import ndimage

from nenflow.features import meshes
from nenflow.features.meshes import calculate_coefficients

SPACINGS = [(1.0, 1.0, 1.0), (5.0, 0.7421875, 0.7421875), (0.71, 1.3, 2.9)]
# Sums of some hundred terms, added in another order, differ by some units in the last place.
ROUNDING = 1e-13


def ball(radius):
    z, y, x = np.indices((2 * radius + 1,) * 3) - radius
    return z * z + y * y + x * x <= radius * radius


def sponge(shape, seed, grain):
    """A region with holes and loose parts."""
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), grain) > 0.02


def single(*voxels):
    mask = np.zeros((6, 7, 8), bool)
    mask[tuple(np.transpose(voxels))] = True
    return mask


MASKS = {
    "ball": ball(9),
    "sponge": sponge((21, 24, 27), 1, 2),
    "dust": np.random.default_rng(2).random((9, 10, 11)) < 0.2,
    "all but dust": np.random.default_rng(3).random((9, 10, 11)) < 0.9,
    "box": np.ones((5, 9, 14), bool),
    "one slice": sponge((1, 40, 35), 4, 3),
    "one column": np.ones((12, 1, 1), bool),
    "one voxel": np.ones((1, 1, 1), bool),
    "two voxels at a corner": single((2, 2, 2), (3, 3, 3)),
    "two voxels far apart": single((0, 0, 0), (5, 6, 7)),
}


def assert_as_in_c(mask, spacing):
    mask, spacing = np.pad(mask, 1), np.array(spacing)
    assert calculate_coefficients(mask, spacing) == cShape.calculate_coefficients(mask, spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_cube_is_cut_as_in_c(spacing):
    for corners in range(1, 256):
        assert_as_in_c((corners >> np.arange(8) & 1).astype(bool).reshape(2, 2, 2), spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("mask", MASKS)
def test_every_shape_is_measured_as_in_c(mask, spacing):
    assert_as_in_c(MASKS[mask], spacing)


def test_many_vertices_are_measured_as_in_c(monkeypatch):
    monkeypatch.setattr(meshes, "MANY_VERTICES", 100)
    for mask in ("ball", "sponge", "box"):
        assert_as_in_c(MASKS[mask], SPACINGS[2])


def test_pairs_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr(meshes, "CHUNK", 50)
    assert_as_in_c(MASKS["ball"], SPACINGS[0])


def test_a_box_is_measured_as_by_hand():
    """Its mesh: the middles of its faces, with every edge bevelled and every corner cut off at half a voxel."""
    area, volume, diameters = calculate_coefficients(np.pad(np.ones((3, 4, 12), bool), 1), np.ones(3))
    inner, faces, edges, corners = 2 * 3 * 11, 2 * (2 * 3 + 2 * 11 + 3 * 11), 4 * (2 + 3 + 11), 8
    assert volume == pytest.approx(inner + faces / 2 + edges / 8 + corners / 48, rel=ROUNDING)
    assert area == pytest.approx(faces + edges * np.sqrt(0.5) + corners * np.sqrt(3) / 8, rel=ROUNDING)
    # A face's vertices span a voxel less along the other axes.
    squares = [12**2 + 3**2, 12**2 + 2**2, 4**2 + 2**2, 12**2 + 3**2 + 2**2]
    assert diameters == pytest.approx(np.sqrt(squares), rel=ROUNDING)
