"""Contrast CT of whole livers in several phases, segmented by several readers.

Lengths are in mm, intensities in HU, volumes in mL. A patient's phases show one liver: its outline and what its latents
say of its texture are shared, the pattern of the texture and the noise are each phase's own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.simulation.dicom import Identity, write_ct
from nenflow.simulation.draws import IMAGES, READINGS, STRUCTURE
from nenflow.simulation.phantoms import (
    EDGE_MM,
    MARGIN_MM,
    NOISE,
    SHAPE,
    Bumps,
    Grid,
    Outline,
    field,
    half_sphere,
    slice_depth,
)
from nenflow.simulation.readings import Scan, draw_formats, write_readings

# ASSUME a pear for a liver: wide from side to side, thick on the patient's right, thin on the left.
STRETCH = (1.30, 0.85, 0.95)  # semi-axes towards the left, the back and the head, as shares of the radius
TAPER = 0.15  # share of the radius; a Legendre polynomial of degree 3 (one of degree 1 only moves a surface)
TISSUE_HU = (
    40.0  # ASSUME muscle and bowel around it, so that a reader's error of a millimetre does not outweigh texture
)
REGION = "liver"


@dataclass(frozen=True)
class Liver(Outline):
    """The outline of a whole liver."""

    def form(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Radius in the directions given by unit vectors, as a share of `radius`."""
        egg = 1 / np.sqrt(sum((axis / length) ** 2 for axis, length in zip((x, y, z), STRETCH, strict=True)))
        return egg * (1 + TAPER * (5 * x**3 - 3 * x) / 2) * super().form(x, y, z)

    def volume(self) -> float:
        """Volume within the surface in mL."""
        x, y, z = half_sphere()
        cubes = np.concatenate([self.reach(x, y, z) ** 3, self.reach(-x, -y, -z) ** 3])
        return float(4 / 3 * np.pi * cubes.mean() / 1000)

    @classmethod
    def draw(cls, volume: float, rng: np.random.Generator) -> "Liver":
        """Draw a liver of `volume` mL somewhere on the table."""
        unit = cls(np.zeros(3), 1.0, Bumps.draw(rng, **SHAPE))
        centre = rng.integers([-600, -400, -9000], [-200, 0, -3000]) / 10
        return cls(centre, (volume / unit.volume()) ** (1 / 3), unit.bumps)


def simulate_livers(settings: Mapping[str, Any], truth: pd.DataFrame, seed: int, folder: Path) -> list[dict[str, str]]:
    """Write the CT series and segmentations of all patients.

    Args:
        settings: of simulation.yaml, of which `liver` says what the images are like.
        truth: a row per patient (index); columns volume_value (mL), enhancement_value (HU), heterogeneity_value (SD in
            HU) and coarseness_value (mm).
        seed: decides everything that is drawn; images depend neither on outcomes nor on `effect`.
        folder: the cohort's folder, in which dicom/<patient> is made.

    Returns:
        the rows of cases.csv.

    Raises:
        InputError: a latent is missing, or a liver does not fit into the matrix.
    """
    wanted = [f"{name}_value" for name in ("volume", "enhancement", "heterogeneity", "coarseness")]
    if missing := [name.removesuffix("_value") for name in wanted if name not in truth]:
        raise InputError(f"The simulation's liver needs the latent {missing[0]}; add it to latents in simulation.yaml.")
    as_rtstruct = draw_formats(settings["liver"]["rtstruct"], truth.index, np.random.default_rng([seed, STRUCTURE, 3]))
    cases = []
    for number, patient in enumerate(truth.index):
        rngs = tuple(np.random.default_rng([seed, stream, number]) for stream in (IMAGES, READINGS))
        cohort = (settings["title"], str(seed))
        cases += _write_patient(settings["liver"], cohort, truth.loc[patient], as_rtstruct[patient], rngs, folder)
    return cases


def _write_patient(
    settings: Mapping[str, Any],
    cohort: tuple[str, ...],
    truth: pd.Series,
    as_rtstruct: bool,
    rngs: tuple[np.random.Generator, np.random.Generator],
    folder: Path,
) -> list[dict[str, str]]:
    """Write a patient's phases and what each reader draws in them; returns the rows of cases.csv."""
    of_images, of_readings = rngs
    liver = Liver.draw(truth["volume_value"], of_images)
    grid = grid_around(settings, liver)
    head_first = bool(of_images.integers(2))
    readers = pd.DataFrame(True, index=[REGION], columns=list(settings["raters"]))
    home, cases = Path("dicom") / truth.name, []
    depth = slice_depth(liver, grid)
    for phase, looks in settings["phases"].items():
        identity = Identity(cohort, truth.name, phase)
        image = paint_liver(depth, grid, truth, looks, of_images)
        series = write_ct(image, grid, identity, head_first, folder / home / phase, kvp=settings["kvp"])
        scan = Scan(identity, grid, series, home, folder)
        cases += write_readings({REGION: liver}, scan, settings["raters"], readers, as_rtstruct, of_readings)
    return cases


def grid_around(settings: Mapping[str, Any], liver: Liver) -> Grid:
    """The image that has a liver in its middle, with as many slices as it needs.

    Positions are whole multiples of 0.1 mm, so that they stand in DICOM's decimal text without rounding.

    Raises:
        InputError: the matrix is too small for the liver.
    """
    spacing, thickness, matrix = settings["spacing_mm"], settings["slice_thickness_mm"], settings["matrix"]
    low, high = liver.bounds()
    sizes = high - low + 2 * MARGIN_MM
    if max(sizes[:2]) > (matrix - 1) * spacing:
        raise InputError(
            f"A simulated liver of {liver.volume():.0f} mL does not fit into the image: enlarge liver.matrix."
        )
    slices = math.ceil(sizes[2] / thickness) + 1
    extent = np.array([matrix - 1, matrix - 1, slices - 1]) * [spacing, spacing, thickness]
    x, y, z = np.round((low + high) / 2 - extent / 2, 1).tolist()
    return Grid(matrix, slices, spacing, thickness, (x, y, z))


def paint_liver(
    depth: np.ndarray, grid: Grid, truth: Mapping[str, float], looks: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """One phase of a liver, HU as int16, shape (slices, rows, columns).

    Args:
        depth: depth below the liver's surface, as `slice_depth` gives it.
        grid: the image's geometry.
        truth: the patient's enhancement_value, heterogeneity_value and coarseness_value.
        looks: of the phase: enhancement and heterogeneity multiply the patient's; noise is the scanner's (SD in HU).
        rng: the source of the texture's pattern and of the noise.
    """
    share = np.clip(depth / EDGE_MM + 0.5, 0, 1)
    waves = field(grid, grid.shape, 1.0, truth["coarseness_value"], rng)
    # Standardised within the liver: its amplitude is the latent's and not an accident of this draw.
    inside = waves[depth > 0]
    waves = (waves - inside.mean()) / inside.std()
    content = looks["enhancement"] * truth["enhancement_value"]
    content = content + looks["heterogeneity"] * truth["heterogeneity_value"] * waves
    noise = field(grid, grid.shape, looks["noise"], NOISE["sigma"], rng)
    return np.rint(TISSUE_HU + share * (content - TISSUE_HU) + noise).astype(np.int16)
