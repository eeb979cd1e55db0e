"""Area, volume and diameters of a region's surface, to the last bit as pyradiomics' C code computes them.

The surface is that of marching cubes (Lorensen and Cline, Comput Graph 1987;21(4):163-169) halfway between the voxels
of the region and those around.
"""

import numpy as np

# Corners of a cube, and the middles of its edges, in z, y, x.
CORNERS = ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0))
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
MIDDLES = np.array([np.add(CORNERS[one], CORNERS[other]) / 2 for one, other in EDGES])

# The triangles of a cube by which of its first seven corners are inside (bits 0 to 6), each three edges in hexadecimal.
# The table is P. Bourke's (Polygonising a scalar field, 1994), halved, in the order of corners and triangles in which
# pyradiomics (van Griethuysen et al., Cancer Res 2017;77:e104) holds it: sums of another order would differ in their
# last bits. That order is copyright 2017 Harvard Medical School, under the same licence as nenflow's. A cube
# whose last corner is inside has the triangles of its complement.
TRIANGLES = """
- 083 190 183198 12a 08312a 92a029 2832a8a98 b23 b2008b 190b23 b2119b98b 3a1ba3 a1008a8ba 9033b9ba9 98aba8 478
043473 190478 194147173 12a478 34730412a 92a902478 2a9297273479 478b23 b47b24204 190478b23 47b94bb29192 3a1ba3478
ba114b10447b 4789033b9ba9 47b4b99ba 954 954083 054015 854835315 12a954 08312a954 2a5542240 2a5325354834 954b23
b2008b954 054015b23 215258b28548 3a1ba3954 549a1008a8ba 54050ba5bb03 548a58ba8 789579 309539357 780017715 157173
78957912a 12a309395357 0288258572a5 2a5253357 579789b23 579972209b27 b23018178157 21b17b157 7895793a1ba3
5705097b0a10ba0 ba003ba50078570 ba557b 65a 08365a 19065a 18319865a 165126 165126083 965906026 598582526832 b2365a
b2008b65a 190b2365a b2119b98b65a 63b653513 08b0b50515b6 63b036065059 65969bb98 47865a 04347365a 19047865a
19414717365a 478165126 043473165126 478965906026 739479329596269 b2347865a b47b2420465a 190b2347865a
47b94bb2919265a 47863b653513 51b5b610b47b04b 47863b036065059 65969b4797b9 a4964a a4964a083 01aa60640 18316886461a
149124264 149124264083 024426 832824426 b23a4964a b2008ba4964a b2301aa60640 64161a148b2118b 964369139b63
18b081b61149641 63b036640 86468b 67a78a89a 67a0a709a073 67a1a7178018 67a1a7173 126168189678 269129679309739
078706602 273267 b2367a78a89a 207b2709767a9a7 67a1a7178018b23 b2117ba61167 896678169b63136 09167b 07870603bb60 67b
"""
_EDGES_OF = [np.array([int(edge, 16) for edge in row.strip("-")], int).reshape(-1, 3) for row in TRIANGLES.split()]
_COUNTS = np.array([len(triangles) for triangles in _EDGES_OF])
_STARTS = np.cumsum(_COUNTS) - _COUNTS
_EDGES_OF = np.concatenate(_EDGES_OF)

# Directions in which a region's width is measured lie in a lattice on the faces of a cube, so many to each half edge.
# Of many vertices few pairs are to be compared, of few vertices few widths are to be measured.
LATTICE, FINE_LATTICE, MANY_VERTICES = 3, 8, 20_000
# Widths are rounded otherwise than distances.
SLACK = 1e-9
# Pairs of vertices that are compared at a time.
CHUNK = 2**18


def calculate_coefficients(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float, tuple[float, ...]]:
    """What `radiomics.cShape.calculate_coefficients` gives: area, volume and diameters of a region's surface.

    Args:
        mask: True inside, 3D, False on all sides.
        spacing: in the mask's order of axes, mm.

    Returns:
        Area in mm2, volume in mm3, and the greatest distances in mm: in planes across each axis, and anywhere.
    """
    area, volume = _area_and_volume(mask, spacing)
    vertices = _vertices(mask)
    points = vertices * spacing
    planes = [_widest_in_planes(points, vertices[:, axis], axis) for axis in range(3)]
    return area, volume, tuple(float(np.sqrt(square)) for square in (*planes, _widest(points)))


def _area_and_volume(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    corners = [
        mask[tuple(slice(at, at + size - 1) for at, size in zip(corner, mask.shape, strict=True))] for corner in CORNERS
    ]
    kind = np.zeros(corners[0].shape, np.uint8)
    for bit, inside in enumerate(corners):
        kind |= inside.astype(np.uint8) << bit
    complement = kind > 127
    kind = np.where(complement, ~kind, kind)
    cubes = np.flatnonzero(kind)
    signs, kinds = np.where(complement.ravel()[cubes], -1.0, 1.0), kind.ravel()[cubes]
    counts = _COUNTS[kinds]
    cube = np.repeat(np.arange(len(cubes)), counts)
    edges = _EDGES_OF[np.repeat(_STARTS[kinds] - np.cumsum(counts) + counts, counts) + np.arange(len(cube))]
    places = [place[cube] for place in np.unravel_index(cubes, kind.shape)]
    a, b, c = ([(place + MIDDLES[edge, axis]) * spacing[axis] for axis, place in enumerate(places)] for edge in edges.T)
    across = _cross(a, b)
    volumes = signs[cube] * (across[0] * c[0] + across[1] * c[1] + across[2] * c[2])
    across = _cross(*([one - other for one, other in zip(point, c, strict=True)] for point in (a, b)))
    areas = 0.5 * np.sqrt(across[0] * across[0] + across[1] * across[1] + across[2] * across[2])
    # One after the other, as in C; numpy's own sums add in another order.
    return float(np.cumsum(areas)[-1]), float(np.cumsum(volumes)[-1] / 6)


def _cross(a: list[np.ndarray], b: list[np.ndarray]) -> list[np.ndarray]:
    return [a[1] * b[2] - b[1] * a[2], a[2] * b[0] - b[2] * a[0], a[0] * b[1] - b[0] * a[1]]


def _vertices(mask: np.ndarray) -> np.ndarray:
    """Middles between a voxel of the region and a neighbour that is none: n x 3, in voxels."""
    found = []
    for axis in range(3):
        middles = np.argwhere(np.diff(mask, axis=axis)).astype(float)
        middles[:, axis] += 0.5
        found.append(middles)
    return np.concatenate(found)


def _widest(points: np.ndarray) -> float:
    """The greatest squared distance between two of many points.

    A distance is hardly greater than the width in the direction that is next to its own. Only points at both ends of
    such widths that reach the greatest width are compared.
    """
    directions, least = _directions(3, FINE_LATTICE if len(points) > MANY_VERTICES else LATTICE)
    extents = []
    for direction in directions:
        along = points @ direction
        extents.append((along.min(), along.max()))
    low, high = np.transpose(extents)
    wanted = (high - low).max() * least * (1 - SLACK)
    found = 0.0
    for number in np.flatnonzero(high - low >= wanted):
        along = points @ directions[number]
        found = max(found, _farthest(points[along >= low[number] + wanted], points[along <= high[number] - wanted]))
    return found


def _widest_in_planes(points: np.ndarray, plane: np.ndarray, axis: int) -> float:
    """The greatest squared distance between two points of one plane; only planes of nearly the greatest width count."""
    order = np.argsort(plane, kind="stable")
    points, starts = points[order], np.flatnonzero(np.diff(plane[order], prepend=-1))
    directions, least = _directions(2, FINE_LATTICE)
    across = np.delete(points, axis, axis=1)
    widths = np.zeros(len(starts))
    for direction in directions:
        along = across @ direction
        widths = np.maximum(widths, np.maximum.reduceat(along, starts) - np.minimum.reduceat(along, starts))
    ends = np.append(starts[1:], len(points))
    wide = widths >= widths.max() * least * (1 - SLACK)
    return max(_farthest(*[points[start:end]] * 2) for start, end in zip(starts[wide], ends[wide], strict=True))


def _directions(dimensions: int, lattice: int) -> tuple[np.ndarray, float]:
    """Unit vectors, one of each opposite two, and the cosine of the angle to the nearest that is never undercut."""
    grid = np.indices((2 * lattice + 1,) * dimensions).reshape(dimensions, -1).T - lattice
    faces = grid[np.abs(grid).max(axis=1) == lattice]
    faces = faces[: len(faces) // 2]
    # Any direction leaves the cube at most half a diagonal of a lattice's cell from a point of the lattice.
    furthest = np.sqrt(dimensions - 1) / 2 / lattice
    return faces / np.linalg.norm(faces, axis=1)[:, None], float(np.sqrt(1 - furthest**2))


def _farthest(one: np.ndarray, other: np.ndarray) -> float:
    """The greatest squared distance between points of two sets."""
    rows = max(1, CHUNK // len(other))
    found = 0.0
    for some in (one[start : start + rows] for start in range(0, len(one), rows)):
        z, y, x = (np.subtract.outer(some[:, axis], other[:, axis]) for axis in range(3))
        found = max(found, float((z * z + y * y + x * x).max()))
    return found
