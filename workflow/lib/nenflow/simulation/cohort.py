"""A simulated cohort as the files a study starts from: tables, DICOM, and the truth beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nenflow.documents import write_json
from nenflow.errors import InputError
from nenflow.simulation.dicom import Identity, write_ct, write_rtstruct, write_seg
from nenflow.simulation.draws import IMAGES, READINGS, STRUCTURE, draw_cohort
from nenflow.simulation.phantoms import Outline, Texture, draw_grid, paint, place, slice_depth
from nenflow.tables import write_table


def simulate_cohort(settings: dict[str, Any], seed: int, folder: Path) -> None:
    """Write a simulated cohort; the same settings and seed give the same bytes.

    Writes into `folder`:
        patients.csv, lesions.csv, cases.csv: the tables a study reads; paths in cases.csv are relative to `folder`.
        truth.json, truth.csv: the model that drew the outcomes, and the true score, probability and latents per lesion.
        dicom/<patient>/<phase>/<number>.dcm: a CT series.
        dicom/<patient>/SEG_<rater>.dcm or RTSTRUCT_<rater>.dcm: a rater's segmentation of the patient's lesions.

    Args:
        settings: what config/studies/<study>/simulation.yaml holds; schemas/simulation.schema.yaml describes each key.
        seed: decides everything that is drawn. Images do not depend on `effect`.
        folder: where the cohort goes.

    Raises:
        InputError: the settings contradict each other, or the lesions do not fit into the image.
    """
    folder = Path(folder)
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
    write_table(cohort.patients, folder / "patients.csv")
    write_table(cohort.lesions, folder / "lesions.csv")
    write_table(pd.DataFrame(cases), folder / "cases.csv")
    write_table(cohort.truth, folder / "truth.csv")
    write_json({"simulated": True, "title": settings["title"], **cohort.model}, folder / "truth.json")


def draw_diameters(settings: dict[str, Any], lesions: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Longest diameter (mm) of each lesion, uniform in the range of its class."""
    variable, ranges = settings["variable"], settings["diameters"]
    if variable not in lesions:
        raise InputError(f"The simulation's lesions_mm follow {variable}, which is no simulated variable of lesions.")
    if missing := sorted(set(lesions[variable]) - set(ranges)):
        raise InputError(f"The simulation's lesions_mm lack a range for {variable} {missing[0]}.")
    low, high = np.array([ranges[level] for level in lesions[variable]], dtype=float).T
    return pd.Series(rng.uniform(low, high), index=lesions.index)


def plan_readings(settings: dict[str, Any], units: pd.MultiIndex, rng: np.random.Generator) -> pd.DataFrame:
    """Which rater reads which lesion: booleans, a row per lesion, a column per rater."""
    if settings["repeated"] > len(units):
        raise InputError(
            f"The simulation wants repeated readings of {settings['repeated']} lesions and has {len(units)}: lower it."
        )
    repeated = rng.permutation(len(units)) < settings["repeated"]
    return pd.DataFrame(
        {name: repeated if rater["repeated"] else True for name, rater in settings["raters"].items()}, index=units
    )


def draw_formats(share: float, patients: pd.Index, rng: np.random.Generator) -> pd.Series:
    """Whether a patient's segmentations are RTSTRUCT (true, for the stated share of patients) or DICOM SEG."""
    return pd.Series(rng.permutation(len(patients)) < round(share * len(patients)), index=patients)


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
    cases = []
    for number, (rater, errors) in enumerate(settings["segmentations"]["raters"].items(), 3):
        # Drawn for every lesion, read or not, so that a longer plan leaves the other readings as they were.
        readings = {
            region: outline.misread(errors["boundary_mm"], errors["shift_mm"], of_readings)
            for region, outline in zip(diameters.index, outlines, strict=True)
        }
        read = {region: slice_depth(reading, grid) for region, reading in readings.items() if plan.loc[region, rater]}
        if not read:
            continue
        path = home / f"{'RTSTRUCT' if as_rtstruct else 'SEG'}_{rater}.dcm"
        if as_rtstruct:
            write_rtstruct(read, grid, series, identity, rater, number, folder / path)
        else:
            masks = {region: depth > 0 for region, depth in read.items()}
            write_seg(masks, series, identity, rater, number, folder / path)
        cases += [_case(identity, region, rater, home / identity.phase, path) for region in read]
    return cases


def _case(identity: Identity, region: str, rater: str, image: Path, segmentation: Path) -> dict[str, str]:
    return {
        "patient": identity.patient,
        "phase": identity.phase,
        "region": region,
        "rater": rater,
        "image": image.as_posix(),
        "series": "",
        "segmentation": segmentation.as_posix(),
        "segment": region,
    }
