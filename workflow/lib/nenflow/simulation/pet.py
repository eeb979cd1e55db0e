"""Simulated PET/CT of somatostatin receptors: lesions in several organs, taking up Ga-68 DOTATOC, with a low-dose CT.

Lengths are in mm, in the patient's frame (LPS) from the middle of the scan; PET in SUV by body weight, CT in HU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from nenflow.errors import InputError
from nenflow.simulation.dicom import Identity, Injection, write_ct, write_pet
from nenflow.simulation.draws import IMAGES, READINGS, STRUCTURE
from nenflow.simulation.phantoms import MARGIN_MM, Grid, Outline, draw_grid, field, slice_depth
from nenflow.simulation.readings import Scan, draw_formats, plan_readings, write_readings
from nenflow.tables import UNIT


@dataclass(frozen=True)
class Zone:
    """An ellipsoid in the body: its centre and half axes along x (to the left), y (to the back) and z (to the head)."""

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]

    def radius(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Below 1 inside, 1 on the surface."""
        parts = zip((x, y, z), self.centre, self.axes, strict=True)
        return np.sqrt(sum(((along - middle) / axis) ** 2 for along, middle, axis in parts))


# ASSUME usual uptake of healthy organs and an adult's trunk; each has its SUV and its HU. Later ones lie over earlier.
TRUNK = Zone((0, 0, 0), (165, 115, math.inf))
BODY = (
    (TRUNK, 0.7, 20.0),
    (Zone((-65, -5, 35), (80, 80, 65)), 6.0, 55.0),  # liver
    (Zone((110, 35, 45), (28, 40, 42)), 18.0, 45.0),  # spleen
    (Zone((-60, 58, -45), (24, 24, 48)), 14.0, 30.0),  # kidneys
    (Zone((60, 58, -35), (24, 24, 48)), 14.0, 30.0),
    (Zone((0, 75, 0), (20, 20, math.inf)), 1.0, 180.0),  # spine
)
# ASSUME where the centres of an organ's lesions may lie; node and other stand for many places.
ZONES = {
    "liver": Zone((-65, -5, 35), (80, 80, 65)),
    "bone": Zone((0, 72, 0), (12, 12, 95)),
    "node": Zone((25, -10, -50), (60, 40, 45)),
    "primary": Zone((35, -40, 0), (45, 30, 40)),
    "other": Zone((95, -15, 0), (40, 60, 90)),
}
AIR_HU, BONE_LESION_HU, LESION_HU = -1000, 350.0, 45.0  # sclerotic in bone, hardly seen elsewhere without contrast
RESOLUTION = 2.6  # mm, sigma: 6 mm full width at half maximum
NOISE = {"sd": 0.06, "sigma": 3.0}  # share of the uptake, mm: an iterative reconstruction's noise follows the activity
CT_NOISE = {"sd": 18.0, "sigma": 2.0}  # HU, mm: low dose
# ASSUME what is injected and weighed: a uniform range of each; every other scanner corrects to the injection.
DOSE_MBQ, UPTAKE_MINUTES, WEIGHT_KG = (100, 200), (45, 75), (48, 110)
CORRECTIONS = ("START", "ADMIN")
LAYOUTS, POSITIONS = 20, 1000  # tried: layouts of a patient's lesions, and in each random positions of a lesion
DEALINGS = 1000  # ways to deal out the numbers of lesions, tried before they are called impossible


@dataclass(frozen=True)
class Lesion:
    """A lesion: its outline, drawn SUV (before the scanner's blur and noise) and texture (SD as a share of the SUV)."""

    region: str
    outline: Outline
    suv: float
    texture: float


def draw_lesions(settings: dict[str, Any], truth: pd.DataFrame, seed: int) -> pd.DataFrame:
    """How many lesions each patient has in which organ, how large they are and how much tracer they take up.

    Args:
        settings: the block `pet` of simulation.yaml.
        truth: per patient the values `<latent>_value` of the latents that the block names.
        seed: decides everything that is drawn.

    Returns:
        index (patient, region), regions being called liver-1, liver-2, bone-1, ...: diameter_mm, suv, texture.

    Raises:
        InputError: the numbers of patients do not add up, some patient has no lesion at all, or a latent is unknown.
    """
    for name in ("diameter", "suv", "texture"):
        if f"{settings[name]['latent']}_value" not in truth:
            raise InputError(f"The simulation's pet/{name} follows {settings[name]['latent']}, which is no latent.")
    organs = settings["organs"]
    counts = _draw_counts(organs, truth.index, np.random.default_rng([seed, STRUCTURE]))
    units = [
        (patient, f"{organ}-{number}")
        for patient, row in counts.iterrows()
        for organ, count in row.items()
        for number in range(1, count + 1)
    ]
    rng = np.random.default_rng([seed, STRUCTURE, 1])
    of_patient = truth.loc[[patient for patient, _ in units]]

    def draw(name: str, limits: np.ndarray) -> np.ndarray:
        own = np.exp(settings[name]["spread"] * rng.standard_normal(len(units)))
        return np.clip(of_patient[f"{settings[name]['latent']}_value"].to_numpy() * own, *limits)

    return pd.DataFrame(
        {
            "diameter_mm": draw("diameter", np.array([organs[_organ(region)]["diameter_mm"] for _, region in units]).T),
            "suv": draw("suv", np.array(settings["suv"]["range"])),
            "texture": of_patient[f"{settings['texture']['latent']}_value"].to_numpy(),
        },
        index=pd.MultiIndex.from_tuples(units, names=UNIT),
    )


def write_scans(settings: dict[str, Any], truth: pd.DataFrame, seed: int, folder: Path) -> tuple[list[dict], dict]:
    """Write each patient's PET, low-dose CT of the same frame of reference, and segmentations on the PET.

    Args:
        settings: simulation.yaml with the blocks pet, images (of the PET) and segmentations.
        truth: of the patients, see draw_lesions.
        seed: decides everything that is drawn.
        folder: where `dicom/<patient>/...` goes.

    Returns:
        the rows of cases.csv, and for truth.json each lesion's diameter and SUV and each patient's injection.
    """
    lesions = draw_lesions(settings["pet"], truth, seed)
    plan = plan_readings(settings["segmentations"], lesions.index, np.random.default_rng([seed, STRUCTURE, 2]))
    formats = draw_formats(
        settings["segmentations"]["rtstruct"], truth.index, np.random.default_rng([seed, STRUCTURE, 3])
    )
    cases, injections = [], {}
    for number, patient in enumerate(truth.index):
        identity = Identity((settings["title"], str(seed)), patient, settings["images"]["phase"])
        of_images, of_readings = (np.random.default_rng([seed, stream, number]) for stream in (IMAGES, READINGS))
        injection = draw_injection(CORRECTIONS[number % 2], of_images)
        scan, outlines = _write_pair(settings, identity, lesions.loc[patient], injection, of_images, folder)
        injections[patient] = vars(injection)
        raters = settings["segmentations"]["raters"]
        cases += write_readings(outlines, scan, raters, plan.loc[patient], formats[patient], of_readings)
    drawn = lesions.round({"diameter_mm": 3, "suv": 4, "texture": 4}).reset_index().to_dict("records")
    return cases, {"lesions": drawn, "injections": injections}


def place_lesions(shapes: dict[str, Outline], grid: Grid, rng: np.random.Generator) -> dict[str, Outline]:
    """Move lesions to random places in their organs, apart from each other and inside the body and the scan.

    Raises:
        InputError: they do not fit.
    """
    reaches = {region: shape.extent()[1] + MARGIN_MM / 2 for region, shape in shapes.items()}
    for _ in range(LAYOUTS):
        centres: dict[str, np.ndarray] = {}
        for region in sorted(shapes, key=reaches.get, reverse=True):  # the largest first, while there is room
            centre = _free_place(region, centres, reaches, grid, rng)
            if centre is None:
                break
            centres[region] = centre
        if len(centres) == len(shapes):
            middle = _middle(grid)
            return {region: replace(shape, centre=middle + centres[region]) for region, shape in shapes.items()}
    raise InputError(
        "The simulated lesions of a patient do not fit into the body: lower pet/organs or their diameter_mm."
    )


def paint_pet(grid: Grid, lesions: Sequence[Lesion], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """SUV of a trunk with lesions, as a scanner shows it: blurred, with noise; shape (slices, rows, columns).

    Args:
        grid: the scan's geometry.
        lesions: what takes up tracer beside the healthy organs.
        sigma: of the lesions' texture in mm.
        rng: the source of texture and noise.
    """
    image = _paint_organs(grid, 1, outside=0.0)
    waves = field(grid, grid.shape, 1.0, sigma, rng)
    for lesion in lesions:
        depth = slice_depth(lesion.outline, grid)
        inside = waves[depth > 0]
        # Standardised within the lesion, as far as it has voxels enough to have a texture.
        texture = (waves - inside.mean()) / inside.std() if inside.size > 1 else 0.0
        share = np.clip(depth / grid.spacing + 0.5, 0, 1)
        image = image * (1 - share) + share * lesion.suv * np.maximum(1 + lesion.texture * texture, 0.1)
    image = gaussian_filter(image, RESOLUTION / grid.voxel)
    return image * np.maximum(1 + field(grid, grid.shape, **NOISE, rng=rng), 0)


def paint_ct(grid: Grid, lesions: Sequence[Lesion], rng: np.random.Generator) -> np.ndarray:
    """HU as int16 of the same trunk in a low-dose CT without contrast agent."""
    image = _paint_organs(grid, 2, outside=AIR_HU)
    for lesion in lesions:
        share = np.clip(slice_depth(lesion.outline, grid) / grid.spacing + 0.5, 0, 1)
        image = image * (1 - share) + share * (BONE_LESION_HU if _organ(lesion.region) == "bone" else LESION_HU)
    image += field(grid, grid.shape, **CT_NOISE, rng=rng)
    return np.rint(np.maximum(image, -1024)).astype(np.int16)


def draw_injection(correction: str, rng: np.random.Generator) -> Injection:
    """Draw a patient's weight, dose and uptake time; `correction` is the scanner's decay correction."""
    return Injection(
        weight_kg=round(float(rng.uniform(*WEIGHT_KG)), 1),
        dose_bq=int(rng.integers(*DOSE_MBQ) * 1_000_000),
        uptake_s=int(rng.integers(60 * UPTAKE_MINUTES[0], 60 * UPTAKE_MINUTES[1])),
        correction=correction,
    )


def _organ(region: str) -> str:
    return region.rpartition("-")[0]


def _draw_counts(organs: dict[str, Any], patients: pd.Index, rng: np.random.Generator) -> pd.DataFrame:
    """Lesions per patient and organ: each organ's numbers are dealt out at random until every patient has a lesion."""
    numbers = {}
    for organ, settings in organs.items():
        numbers[organ] = np.repeat([int(key) for key in settings["patients"]], list(settings["patients"].values()))
        if len(numbers[organ]) != len(patients):
            raise InputError(
                f"The simulation's pet/organs/{organ} counts {len(numbers[organ])} patients, and there are "
                f"{len(patients)}: mend it."
            )
    for _ in range(DEALINGS):
        dealt = {organ: rng.permutation(values) for organ, values in numbers.items()}
        if np.all(sum(dealt.values())):
            return pd.DataFrame(dealt, index=patients)
    raise InputError("The simulation's pet/organs leave some patient without any lesion: raise their numbers.")


def _write_pair(
    settings: dict[str, Any],
    identity: Identity,
    drawn: pd.DataFrame,
    injection: Injection,
    rng: np.random.Generator,
    folder: Path,
) -> tuple[Scan, dict[str, Outline]]:
    """Write a patient's PET and CT; returns the PET and the lesions' outlines."""
    head_first = bool(rng.integers(2))
    grid = draw_grid(settings["images"], [], rng)
    outlines = place_lesions(
        {region: Outline.draw(diameter, rng) for region, diameter in drawn["diameter_mm"].items()}, grid, rng
    )
    lesions = [Lesion(region, outlines[region], row["suv"], row["texture"]) for region, row in drawn.iterrows()]
    home, ct = Path("dicom") / identity.patient, replace(identity, phase=settings["pet"]["ct"])
    suv = paint_pet(grid, lesions, settings["pet"]["texture"]["sigma_mm"], rng)
    series = write_pet(suv, grid, identity, injection, head_first, folder / home / identity.phase)
    # ASSUME the CT is on the grid of the PET, as workstations resample it to fuse the two; it keeps files small.
    write_ct(paint_ct(grid, lesions, rng), grid, ct, head_first, folder / home / ct.phase, enhanced=False)
    return Scan(identity, grid, series, home, folder), outlines


def _free_place(
    region: str, centres: dict[str, np.ndarray], reaches: dict[str, float], grid: Grid, rng: np.random.Generator
) -> np.ndarray | None:
    """A centre for a lesion, from the middle of the scan, or None where none was found."""
    zone, reach = ZONES[_organ(region)], reaches[region]
    half_length = grid.slices * grid.thickness / 2
    for point in np.array(zone.centre) + rng.uniform(-1, 1, (POSITIONS, 3)) * zone.axes:
        in_trunk = math.hypot(*(point[:2] / (np.array(TRUNK.axes[:2]) - reach))) < 1
        if (
            in_trunk
            and zone.radius(*point) < 1
            and abs(point[2]) + reach < half_length
            and all(np.linalg.norm(point - other) > reach + reaches[name] for name, other in centres.items())
        ):
            return point
    return None


def _middle(grid: Grid) -> np.ndarray:
    """The middle of a scan in the patient's frame."""
    return np.array(grid.origin) + (np.array(grid.shape[::-1]) - 1) / 2 * grid.voxel[::-1]


def _paint_organs(grid: Grid, column: int, outside: float) -> np.ndarray:
    """SUV (column 1 of BODY) or HU (column 2) of the healthy body."""
    z, y, x = (axis - middle for axis, middle in zip(grid.axes(), _middle(grid)[::-1], strict=True))
    image = np.full(grid.shape, outside)
    for zone, *values in BODY:
        image[zone.radius(x, y, z) < 1] = values[column - 1]
    return image
