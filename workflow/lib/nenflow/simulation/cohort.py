"""A simulated cohort as the files a study starts from: tables, DICOM, and the truth beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nenflow.documents import write_json
from nenflow.errors import InputError
from nenflow.simulation.dicom import Identity, write_ct
from nenflow.simulation.draws import IMAGES, READINGS, STRUCTURE, Cohort, draw_cohort
from nenflow.simulation.liver import simulate_livers
from nenflow.simulation.patients import draw_patients
from nenflow.simulation.pet import write_scans
from nenflow.simulation.phantoms import Outline, Texture, draw_grid, paint, place
from nenflow.simulation.readings import Scan, draw_formats, plan_readings, write_readings
from nenflow.tables import CASE, UNIT, write_table

CASE_COLUMNS = [*CASE, "image", "series", "segmentation", "segment"]


def simulate_cohort(settings: dict[str, Any], seed: int, folder: Path) -> None:
    """Write a simulated cohort; the same settings and seed give the same bytes.

    Writes into `folder`:
        patients.csv, lesions.csv, cases.csv: the tables a study reads; paths in cases.csv are relative to `folder`.
        truth.json, truth.csv: the model that drew the outcomes, and the true score, probability and latents per lesion.
        dicom/<patient>/<phase>/<number>.dcm: a CT series.
        dicom/<patient>/SEG_<phase>_<rater>.dcm or RTSTRUCT_<phase>_<rater>.dcm: what a rater segmented there.
    Settings with `pet` give the truth per patient, a PET and a CT series, and in truth.json what was injected and each
    lesion's size and SUV; with `liver` the truth per patient and CT of whole livers; settings without images give
    patients.csv and the truth, the other tables empty.

    Args:
        settings: what config/studies/<study>/simulation.yaml holds; schemas/simulation.schema.yaml describes each key.
        seed: decides everything that is drawn. Images do not depend on `effect`.
        folder: where the cohort goes.

    Raises:
        InputError: the settings contradict each other, or the lesions do not fit into the image.
    """
    folder = Path(folder)
    (folder / "dicom").mkdir(parents=True, exist_ok=True)
    lesions, cases = pd.DataFrame(columns=UNIT), []
    if "lesions_mm" in settings:
        cohort, cases = _draw_lesions(settings, seed, folder)
        lesions = cohort.lesions
    else:
        cohort = draw_patients(settings, seed)
    if "pet" in settings:
        cases, pet = write_scans(settings, cohort.truth, seed, folder)
        cohort.model["pet"] = pet
    if "liver" in settings:
        cases = simulate_livers(settings, cohort.truth, seed, folder)
    write_table(cohort.patients, folder / "patients.csv")
    write_table(lesions, folder / "lesions.csv")
    write_table(pd.DataFrame(cases, columns=CASE_COLUMNS), folder / "cases.csv")
    write_table(cohort.truth, folder / "truth.csv")
    write_json({"simulated": True, "title": settings["title"], **cohort.model}, folder / "truth.json")


def _draw_lesions(settings: dict[str, Any], seed: int, folder: Path) -> tuple[Cohort, list[dict[str, str]]]:
    """Draw a cohort with lesions and write its CT and segmentations; returns it with the rows of cases.csv."""
    cohort = draw_cohort(settings, seed)
    diameters = draw_diameters(settings["lesions_mm"], cohort.lesions, np.random.default_rng([seed, STRUCTURE, 1]))
    plan = plan_readings(settings["segmentations"], cohort.lesions.index, np.random.default_rng([seed, STRUCTURE, 2]))
    as_rtstruct = draw_formats(
        settings["segmentations"]["rtstruct"], cohort.patients.index, np.random.default_rng([seed, STRUCTURE, 3])
    )
    cases = []
    for number, patient in enumerate(cohort.patients.index):
        identity = Identity((settings["title"], str(seed)), patient, settings["images"]["phase"])
        cases += _write_patient(
            settings,
            identity,
            diameters.loc[patient],
            cohort.truth.loc[patient],
            plan.loc[patient],
            as_rtstruct[patient],
            (np.random.default_rng([seed, IMAGES, number]), np.random.default_rng([seed, READINGS, number])),
            folder,
        )
    return cohort, cases


def draw_diameters(settings: dict[str, Any], lesions: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Longest diameter (mm) of each lesion, uniform in the range of its class."""
    variable, ranges = settings["variable"], settings["diameters"]
    if variable not in lesions:
        raise InputError(f"The simulation's lesions_mm follow {variable}, which is no simulated variable of lesions.")
    if missing := sorted(set(lesions[variable]) - set(ranges)):
        raise InputError(f"The simulation's lesions_mm lack a range for {variable} {missing[0]}.")
    low, high = np.array([ranges[level] for level in lesions[variable]], dtype=float).T
    return pd.Series(rng.uniform(low, high), index=lesions.index)


def _write_patient(
    settings: dict[str, Any],
    identity: Identity,
    diameters: pd.Series,
    truth: pd.DataFrame,
    plan: pd.DataFrame,
    as_rtstruct: bool,
    rngs: tuple[np.random.Generator, np.random.Generator],
    folder: Path,
) -> list[dict[str, str]]:
    """Write a patient's image and segmentations; returns the rows of cases.csv."""
    of_image, of_readings = rngs
    shapes = [Outline.draw(diameter, of_image) for diameter in diameters]
    grid = draw_grid(settings["images"], shapes, of_image)
    outlines = place(shapes, grid, of_image)
    textures = [
        Texture(**{name: float(truth.loc[region, f"{name}_value"]) for name in Texture.__dataclass_fields__})
        for region in diameters.index
    ]
    image = paint(grid, list(zip(outlines, textures, strict=True)), of_image)
    home = Path("dicom") / identity.patient
    series = write_ct(
        image, grid, identity, head_first=bool(of_image.integers(2)), folder=folder / home / identity.phase
    )
    raters = settings["segmentations"]["raters"]
    scan = Scan(identity, grid, series, home, folder)
    return write_readings(
        dict(zip(diameters.index, outlines, strict=True)), scan, raters, plan, as_rtstruct, of_readings
    )
