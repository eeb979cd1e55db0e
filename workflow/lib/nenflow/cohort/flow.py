"""Who entered a study, who was left out, at which step and why: nothing is dropped without a row here."""

from collections.abc import Sequence

import pandas as pd

from nenflow.features.measures import matching_regions
from nenflow.tables import CASE, UNIT, WHOLE

EXCLUSION = [*UNIT, "step", "reason"]
LOST = ["patient", "phase", "region", "step", "reason"]


def list_exclusions(
    patients: Sequence[str],
    units: pd.MultiIndex,
    status: pd.DataFrame,
    failures: Sequence[pd.DataFrame],
    reference: str | None,
    pattern: str | None = None,
) -> pd.DataFrame:
    """List the units that the stages up to the features leave out, each once, at the first stage that did.

    A unit with several phases stays as long as one of them can be used; a model that uses another phase lists it. A
    patient whose features are put together from several regions stays as long as any drawn region can be used, also one
    that gives no features: its volumes and its survival are known. A model of features lists who has none.

    Args:
        patients: all patients of the cohort.
        units: all declared units.
        status: what became of each case: columns patient, phase, region, rater, status (included or excluded), reason;
            without the last two for feature tables made elsewhere, where only features can be lacking.
        failures: for each extraction the included cases that it could not measure (patient, phase, region, rater,
            reason).
        reference: the rater whose regions are analysed; None in a study without images, where nothing excludes.
        pattern: the drawn regions whose features are put together for each patient, where a study does so; the units
            are then whole patients.

    Returns:
        columns patient, region ("" for a patient without any region), step (cohort, images or features), reason.
    """
    with_units = set(units.get_level_values("patient"))
    rows = [(patient, "", "cohort", "no region declared") for patient in patients if patient not in with_units]
    if reference is None:
        return pd.DataFrame(rows, columns=EXCLUSION, dtype=str)
    missing = f"no segmentation by {reference}"
    if "status" not in status:  # feature tables made elsewhere: nobody looked at images
        status, missing = status.assign(status="included", reason=""), "no row in the feature tables"
    drawn = status[status["rater"] == reference]
    place = drawn["phase"]
    if pattern is not None:
        drawn = drawn[drawn["role"] == "drawn"]
        place = drawn["region"] if drawn["phase"].nunique() < 2 else drawn["region"] + " in " + drawn["phase"]
    drawn = drawn.assign(place=place, unit=drawn["region"] if pattern is None else WHOLE)
    cases = dict(list(drawn.groupby(["patient", "unit"], sort=False)))
    failed = [table.set_index(CASE)["reason"].to_dict() for table in failures]
    for unit in units:
        if unit not in cases:
            rows.append((*unit, "cohort", missing))
            continue
        included = cases[unit][cases[unit]["status"] == "included"]
        if included.empty:
            rows.append((*unit, "images", _join(cases[unit]["place"], cases[unit]["reason"])))
            continue
        keys = list(included[CASE].itertuples(index=False, name=None))
        if pattern is None and failed and all(key in table for key in keys for table in failed):
            rows.append((*unit, "features", _join(included["place"], [failed[0][key] for key in keys])))
    return pd.DataFrame(rows, columns=EXCLUSION, dtype=str)


def lost_regions(
    status: pd.DataFrame, failures: Sequence[pd.DataFrame], reference: str | None, pattern: str | None
) -> pd.DataFrame:
    """List the regions that a patient's features lack, where they are put together from several; else nothing.

    Args: see `list_exclusions`.

    Returns:
        columns patient, phase, region, step (images, or features where no extraction could measure it), reason.
    """
    if pattern is None:
        return pd.DataFrame(columns=LOST, dtype=str)
    drawn = status[(status["rater"] == reference) & matching_regions(status, pattern)]
    failed = [table.set_index(CASE)["reason"].to_dict() for table in failures]
    rows = []
    for case, state, reason in zip(
        drawn[CASE].itertuples(index=False, name=None), drawn["status"], drawn["reason"], strict=True
    ):
        if state == "excluded":
            rows.append((*case[:3], "images", reason))
        elif failed and all(case in table for table in failed):
            rows.append((*case[:3], "features", failed[0][case]))
    return pd.DataFrame(rows, columns=LOST, dtype=str)


def remaining(units: pd.MultiIndex, exclusions: pd.DataFrame) -> pd.MultiIndex:
    """Give the units that no exclusion names, in their order."""
    gone = set(exclusions[UNIT].itertuples(index=False, name=None))
    return units[[unit not in gone for unit in units]]


def flow(patients: Sequence[str], units: pd.MultiIndex, exclusions: pd.DataFrame) -> pd.DataFrame:
    """Count patients and lesions that enter, leave with each reason, and remain.

    A patient leaves with its last unit. A unit that several exclusions name leaves with the first of them.

    Args:
        patients: all patients of the cohort.
        units: all declared units.
        exclusions: columns patient, region (blank for a patient without any unit), step, reason; in the order in which
            they took place.

    Returns:
        columns step, patients, lesions (both: remaining after the row), excluded_patients, excluded_lesions, reason.
        The first row, "declared", holds those who enter, the last, "analysed", those who stay; between them a row per
        step and reason.

    Raises:
        ValueError: an exclusion or a unit is not of this cohort.
    """
    exclusions = exclusions.fillna({"region": ""})  # as it is after a blank was read back from a file
    left: dict[str, set[str]] = {patient: set() for patient in patients}
    for patient, region in units:
        left[patient].add(region)
    _check_members(left, exclusions)
    rows = [("declared", len(left), len(units), 0, 0, "")]
    for (step, reason), members in exclusions.groupby(["step", "reason"], sort=False):
        patients_before, lesions_before = len(left), sum(map(len, left.values()))
        for patient, region in members[UNIT].itertuples(index=False, name=None):
            left.get(patient, set()).discard(region)
            if not left.get(patient):
                left.pop(patient, None)
        now = (len(left), sum(map(len, left.values())))
        rows.append((step, *now, patients_before - now[0], lesions_before - now[1], reason))
    rows.append(("analysed", *rows[-1][1:3], 0, 0, ""))
    columns = ["step", "patients", "lesions", "excluded_patients", "excluded_lesions", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _check_members(regions: dict[str, set[str]], exclusions: pd.DataFrame) -> None:
    for patient, region in exclusions[UNIT].itertuples(index=False, name=None):
        known = regions.get(patient)
        if known is None or (region not in known if region else known):
            raise ValueError("an exclusion names a patient or region that is not among the declared ones")


def _join(places: Sequence[str], reasons: Sequence[str]) -> str:
    """One reason as it is; the reasons of several phases or regions each with its place."""
    reasons = [str(reason) for reason in reasons]
    if len(reasons) == 1:
        return reasons[0]
    return "; ".join(f"{place}: {reason}" for place, reason in zip(places, reasons, strict=True))
