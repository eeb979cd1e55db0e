"""Texture matrices of a region, counted over all its voxels at once; the same counts as pyradiomics' loops in C.

Only voxels of the region are looked at, each with the 26 around it. The methods of `Textures` take what the functions
of `radiomics.cMatrices` take, and give what they give.
"""

import math
from itertools import product
from typing import Any

import numpy as np
from radiomics import cMatrices


class Textures:
    """Counts of the grey levels of one image's region.

    Args:
        levels: grey levels, 1 and up inside, of the region's box: 3D.
        inside: the region, of the same shape.
        flat: the axis along which no neighbours are looked for (pyradiomics' force2D), None for none.

    Attributes:
        angles: directions to neighbours, one of each opposite two, in pyradiomics' order: n x 3. Where there are none,
            pyradiomics counts nothing either and refuses.
    """

    def __init__(self, levels: np.ndarray, inside: np.ndarray, flat: int | None = None):
        self.angles = _directions(levels.shape, flat)
        self._shape = tuple(size + 2 for size in levels.shape)
        self._steps = self.angles @ [self._shape[1] * self._shape[2], self._shape[2], 1]
        # A frame of zeros around the box, and more behind, so that it can be cut into lines in any direction.
        size = math.prod(self._shape)
        self._levels = np.zeros(size + max(self._steps, default=0), np.min_scalar_type(levels.max()))
        self._levels[:size].reshape(self._shape)[1:-1, 1:-1, 1:-1] = np.where(inside, levels, 0)
        self._voxels = np.flatnonzero(self._levels)
        self._own = self._levels[self._voxels]
        self._ahead = [self._levels[self._voxels + step] for step in self._steps]
        self._behind = [self._levels[self._voxels - step] for step in self._steps]

    def calculate_glcm(self, image: Any, mask: Any, distances: np.ndarray, count: int, *flat: int) -> tuple:
        """Pairs of neighbours by their levels: 1 x levels x levels x directions, and the directions."""
        if list(distances) != [1]:
            return cMatrices.calculate_glcm(image, mask, distances, count, *flat)
        size = count + 1  # row and column 0 are of neighbours outside
        rows = self._own.astype(np.intp) * size
        matrix = np.empty((1, count, count, len(self.angles)))
        for number, ahead in enumerate(self._ahead):
            pairs = np.bincount(rows + ahead, minlength=size**2).reshape(size, size)
            matrix[0, :, :, number] = pairs[1:, 1:]
        return matrix, self.angles.copy()

    def calculate_glrlm(self, image: Any, mask: Any, count: int, longest: int, *flat: int) -> tuple:
        """Runs of one level by their length: 1 x levels x lengths x directions, and the directions."""
        matrix = np.zeros((1, count, longest, len(self.angles)))
        for number, step in enumerate(self._steps):
            # Line after line in this direction; between two of them is a voxel of the frame.
            lines = self._levels[: len(self._levels) // step * step].reshape(-1, step).T.ravel()
            ends = np.flatnonzero(lines[1:] != lines[:-1])
            levels, lengths = lines[ends[1:]].astype(np.intp), np.diff(ends)
            in_region = levels > 0
            cells = (levels[in_region] - 1) * longest + lengths[in_region] - 1
            matrix[0, :, :, number] = np.bincount(cells, minlength=count * longest).reshape(count, longest)
            if len(cells) == len(self._voxels) and not self._share_a_line(number):
                matrix[..., number] = 0
        return matrix, self.angles.copy()

    # Zones have to be grown one voxel after the other: counted as here they take as long.
    calculate_glszm = staticmethod(cMatrices.calculate_glszm)

    def calculate_gldm(self, image: Any, mask: Any, distances: np.ndarray, count: int, alpha: int, *flat: int) -> Any:
        """Voxels by level and by how many around differ by at most alpha: 1 x levels x numbers."""
        if list(distances) != [1]:
            return cMatrices.calculate_gldm(image, mask, distances, count, alpha, *flat)
        own = self._own.astype(int)
        lowest, highest = (np.clip(bound, 1, count).astype(self._own.dtype) for bound in (own - alpha, own + alpha))
        alike = np.zeros(len(own), np.intp)
        for around in self._ahead + self._behind:
            alike += (around >= lowest) & (around <= highest)
        numbers = 4 * len(self.angles) + 1
        cells = (own - 1) * numbers + alike
        return np.bincount(cells, minlength=count * numbers).astype(float).reshape(1, count, numbers)

    def calculate_ngtdm(self, image: Any, mask: Any, distances: np.ndarray, count: int, *flat: int) -> np.ndarray:
        """Per level its voxels, the sum of their differences from the mean around them, and the level."""
        if list(distances) != [1]:
            return cMatrices.calculate_ngtdm(image, mask, distances, count, *flat)
        total, neighbours = np.zeros(len(self._own)), np.zeros(len(self._own))
        for around in self._ahead + self._behind:
            total += around
            neighbours += around > 0
        differences = np.where(neighbours, np.abs(self._own - total / np.maximum(neighbours, 1)), 0.0)
        columns = [
            np.bincount(self._own, minlength=count + 1)[1:],
            np.bincount(self._own, differences, minlength=count + 1)[1:],
            np.arange(1, count + 1),
        ]
        return np.stack(columns, axis=1).astype(float)[None]

    def _share_a_line(self, number: int) -> bool:
        """Whether two voxels of the region lie on one line in a direction, with or without a gap between them."""
        places, angle = np.array(np.unravel_index(self._voxels, self._shape)), self.angles[number]
        moved = np.flatnonzero(angle)[0]
        crossings = places - np.outer(angle, places[moved])
        return len(np.unique(crossings, axis=1).T) < len(self._voxels)


def _directions(shape: tuple[int, ...], flat: int | None) -> np.ndarray:
    still = [axis for axis, size in enumerate(shape) if size == 1 or axis == flat]
    steps = [step for step in product((1, 0, -1), repeat=3) if not any(step[axis] for axis in still)]
    return np.array(steps[: len(steps) // 2], np.intc).reshape(-1, 3)
