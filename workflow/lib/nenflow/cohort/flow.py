"""Who entered a study, who was left out, at which step and why: nothing is dropped without a row here."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nenflow.tables import UNIT

STEPS = ["cohort", "images", "features", "models"]  # in the order in which they can exclude
EXCLUSION = [*UNIT, "step", "reason"]


def declared_units(lesions: pd.DataFrame | None, cases: pd.DataFrame, reference: str) -> pd.MultiIndex:
    """List the units of analysis: the table of lesions, or without one what the reference rater drew."""
    table = cases[cases["rater"] == reference] if lesions is None else lesions
    return pd.MultiIndex.from_frame(table[UNIT].drop_duplicates())


def exclude_undrawn(patients: Sequence[str], units: pd.MultiIndex, cases: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Exclude units without a segmentation by the reference rater, and patients without any unit (region "")."""
    drawn = set(cases.loc[cases["rater"] == reference, UNIT].itertuples(index=False, name=None))
    reason = f"no segmentation by {reference}"
    rows = [(*unit, "cohort", reason) for unit in units if unit not in drawn]
    with_units = set(units.get_level_values("patient"))
    rows += [(patient, "", "cohort", "no region declared") for patient in patients if patient not in with_units]
    return pd.DataFrame(rows, columns=EXCLUSION, dtype=str)


def exclude_refused(status: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Exclude units of which no phase's image and mask of the reference rater were included.

    A unit refused in one of several phases stays: models that use that phase exclude it (`exclude_incomplete`).

    Args:
        status: columns patient, phase, region, rater, status (included or excluded), reason.
        reference: the rater whose regions are analysed.
    """
    read = status[status["rater"] == reference]
    rows = []
    for unit, cases in read.groupby(UNIT, sort=False):
        if (cases["status"] == "excluded").all():
            several = len(cases) > 1
            reasons = [f"{row.phase}: {row.reason}" if several else row.reason for row in cases.itertuples()]
            rows.append((*unit, "images", "; ".join(reasons)))
    return pd.DataFrame(rows, columns=EXCLUSION, dtype=str)


def exclude_unmeasured(units: pd.MultiIndex, features: pd.MultiIndex) -> pd.DataFrame:
    """Exclude units (those still in) that have no row in the table of features."""
    rows = [(*unit, "features", "no features could be computed") for unit in units.difference(features, sort=False)]
    return pd.DataFrame(rows, columns=EXCLUSION, dtype=str)


def exclude_incomplete(table: pd.DataFrame, variables: Mapping[str, Any]) -> pd.DataFrame:
    """Exclude units with a missing value among a model's variables; the reason names them.

    Args:
        table: index (patient, region), columns the model's variables.
        variables: the study's variables, for their labels.
    """
    rows = []
    for unit, missing in table.isna().iterrows():
        names = [variables[name]["label"] if name in variables else name for name in table.columns[missing]]
        if names:
            rows.append((*unit, "models", f"missing: {', '.join(names)}"))
    return pd.DataFrame(rows, columns=EXCLUSION, dtype=str)


def remaining(units: pd.MultiIndex, exclusions: pd.DataFrame) -> pd.MultiIndex:
    """Give the units that no exclusion names, in their order."""
    gone = set(exclusions[UNIT].itertuples(index=False, name=None))
    return units[[unit not in gone for unit in units]]


def flow(patients: Sequence[str], units: pd.MultiIndex, exclusions: pd.DataFrame) -> pd.DataFrame:
    """Count patients and lesions that enter, leave with each reason, and remain.

    A patient leaves with its last unit. A unit that several exclusions name leaves at the first step.

    Args:
        patients: all patients of the cohort.
        units: all declared units.
        exclusions: columns patient, region ("" for a patient without any unit), step, reason.

    Returns:
        columns step, patients, lesions (both: remaining after the row), excluded_patients, excluded_lesions, reason;
        the first row, "declared", holds those who enter. A step that excludes nobody has one row without a reason.

    Raises:
        ValueError: an exclusion names an unknown step, patient or unit.
    """
    _check_exclusions(patients, units, exclusions)
    left = {patient: set() for patient in patients}
    for patient, region in units:
        left[patient].add(region)
    rows = [("declared", len(left), len(units), 0, 0, "")]
    for step in [step for step in STEPS if step == "cohort" or (exclusions["step"] == step).any()]:
        of_step = exclusions[exclusions["step"] == step]
        reasons = list(dict.fromkeys(of_step["reason"])) or [""]
        for reason in reasons:
            n_patients, n_lesions = 0, 0
            for patient, region in of_step.loc[of_step["reason"] == reason, UNIT].itertuples(index=False, name=None):
                if patient not in left or (region and region not in left[patient]):
                    continue  # left at an earlier step
                n_lesions += region in left[patient]
                left[patient].discard(region)
                if not left[patient]:
                    del left[patient]
                    n_patients += 1
            rows.append((step, len(left), sum(map(len, left.values())), n_patients, n_lesions, reason))
    columns = ["step", "patients", "lesions", "excluded_patients", "excluded_lesions", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _check_exclusions(patients: Sequence[str], units: pd.MultiIndex, exclusions: pd.DataFrame) -> None:
    known = set(units) | {(patient, "") for patient in set(patients) - set(units.get_level_values("patient"))}
    unknown = set(exclusions[UNIT].itertuples(index=False, name=None)) - known
    if unknown or not exclusions["step"].isin(STEPS).all() or set(units.get_level_values("patient")) - set(patients):
        raise ValueError("exclusions and units must name patients, units and steps of this cohort")
