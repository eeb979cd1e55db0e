"""What raters draw on a simulated scan: who reads what, how well, and in which format it is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.simulation.dicom import Identity, Series, write_rtstruct, write_seg
from nenflow.simulation.phantoms import Grid, Outline, slice_depth

FIRST_NUMBER = 3  # of the raters' series; the scan is number 2


@dataclass(frozen=True)
class Scan:
    """A written series that raters draw on.

    Attributes:
        identity: whose it is, and its phase.
        grid: its geometry.
        series: what was written.
        home: the patient's folder, relative to the cohort's; the series lies in the folder `<phase>` in it.
        folder: the cohort's folder.
    """

    identity: Identity
    grid: Grid
    series: Series
    home: Path
    folder: Path


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


def write_readings(
    outlines: Mapping[str, Outline],
    scan: Scan,
    raters: Mapping[str, Any],
    plan: pd.DataFrame,
    as_rtstruct: bool,
    rng: np.random.Generator,
) -> list[dict[str, str]]:
    """Write each rater's segmentation of a scan, `SEG_<phase>_<rater>.dcm` or `RTSTRUCT_…` in the patient's folder.

    Args:
        outlines: the true outlines by region.
        scan: what they are drawn on.
        raters: errors by rater: boundary_mm (SD of a smooth radial error) and shift_mm (SD of a shift along each axis).
        plan: booleans, which rater (column) reads which region (row).
        as_rtstruct: whether the format is RTSTRUCT, else DICOM SEG.
        rng: the source of the errors.

    Returns:
        the rows of cases.csv.
    """
    cases = []
    for number, (rater, errors) in enumerate(raters.items(), FIRST_NUMBER):
        # Drawn for every lesion, read or not, so that a longer plan leaves the other readings as they were.
        readings = {
            region: outline.misread(errors["boundary_mm"], errors["shift_mm"], rng)
            for region, outline in outlines.items()
        }
        read = {
            region: slice_depth(reading, scan.grid) for region, reading in readings.items() if plan.loc[region, rater]
        }
        if not read:
            continue
        path = scan.home / f"{'RTSTRUCT' if as_rtstruct else 'SEG'}_{scan.identity.phase}_{rater}.dcm"
        if as_rtstruct:
            write_rtstruct(read, scan.grid, scan.series, scan.identity, rater, number, scan.folder / path)
        else:
            masks = {region: depth > 0 for region, depth in read.items()}
            write_seg(masks, scan.series, scan.identity, rater, number, scan.folder / path)
        cases += [_case(scan, region, rater, path) for region in read]
    return cases


def _case(scan: Scan, region: str, rater: str, segmentation: Path) -> dict[str, str]:
    return {
        "patient": scan.identity.patient,
        "phase": scan.identity.phase,
        "region": region,
        "rater": rater,
        "image": (scan.home / scan.identity.phase).as_posix(),
        "series": "",
        "segmentation": segmentation.as_posix(),
        "segment": region,
    }
