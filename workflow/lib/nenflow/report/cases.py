"""The regions of a study as people check them: what was flagged, how readers agree, what was decided."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nenflow.report.wording import MISSING, count, decimal
from nenflow.tables import CASE

_AGREEMENT = ["dice", "hausdorff_mm", "hausdorff95_mm"]


def all_cases(study: Mapping[str, Any], results: Mapping[str, Any]) -> pd.DataFrame:
    """What became of each region of all cohorts, and what a person decided about it; the flagged ones first.

    Of those with flags, and of those without, regions that nobody has looked at come before the others.

    Args:
        study: the study's settings; of them `cohorts`.
        results: content of the study's files, see `results.read_results`.

    Returns:
        The columns of the cohorts' cases.csv with `flags` as a list, and `cohort`, `decision` ("ok", "exclude" or ""),
        `decision_reason` and `picture` (PNG bytes, None where there is none). Empty where no cohort has images.
    """
    tables = [_cohort_cases(results, cohort) for cohort in study["cohorts"] if f"images/{cohort}/cases.csv" in results]
    if not tables:
        return pd.DataFrame(columns=[*CASE, "flags", "decision"])
    cases = pd.concat(tables, ignore_index=True)
    order = cases.assign(calm=cases["flags"].str.len() == 0, decided=cases["decision"] != "")
    return cases.loc[order.sort_values(["calm", "decided"], kind="stable").index].reset_index(drop=True)


def _cohort_cases(results: Mapping[str, Any], cohort: str) -> pd.DataFrame:
    cases = results[f"images/{cohort}/cases.csv"].copy()
    names = list(cases[CASE].itertuples(index=False, name=None))
    signoff = results.get(f"cohort/{cohort}/signoff.csv", pd.DataFrame(columns=[*CASE, "decision", "reason"]))
    signoff = signoff.fillna("")
    decided = {tuple(row[name] for name in CASE): row for row in signoff.to_dict("records")}
    files = [f"images/{cohort}/{patient}/{phase}_{region}_{rater}.png" for patient, phase, region, rater in names]
    return cases.assign(
        cohort=cohort,
        reason=cases["reason"].fillna(""),
        unit=cases["unit"].fillna(""),
        flags=[text.split("; ") if text else [] for text in cases["flags"].fillna("")],
        decision=[decided.get(name, {}).get("decision", "") for name in names],
        decision_reason=[decided.get(name, {}).get("reason", "") for name in names],
        picture=[results.get(file) for file in files],
    )


def all_readings(study: Mapping[str, Any], results: Mapping[str, Any]) -> pd.DataFrame:
    """Agreement of other readers with the reference, of all cohorts: the columns of readings.csv, and `cohort`."""
    names = {cohort: f"images/{cohort}/readings.csv" for cohort in study["cohorts"]}
    tables = [results[name].assign(cohort=cohort) for cohort, name in names.items() if name in results]
    tables = [table for table in tables if len(table)]
    columns = [*CASE, "reference", *_AGREEMENT, "cohort"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def agreement_table(cases: pd.DataFrame, readings: pd.DataFrame) -> pd.DataFrame:
    """How readers agree, for print: median and range over regions, a row per phase and pair of readers.

    Regions that were computed from others say nothing of their own and are left out, and so are excluded ones. Organs
    stand apart: their Dice is high because they are large.
    """
    key = ["cohort", *CASE]
    kept = cases.loc[(cases["status"] == "included") & (cases["role"] != "computed"), [*key, "role"]]
    reference = kept.drop(columns="role").rename(columns={"rater": "reference"})
    counted = readings.merge(kept, on=key).merge(reference, on=["cohort", "patient", "phase", "region", "reference"])
    rows = [
        {
            "Cohort": cohort,
            "Readers": f"{rater} against {other}",
            "Phase": phase,
            "Regions": "organs" if kind == "organ" else "lesions",
            "n": str(len(group)),
            "Dice, median (range)": _median_range(group["dice"], 2),
            "Hausdorff 95%, mm": _median_range(group["hausdorff95_mm"], 1),
            "Hausdorff, mm": _median_range(group["hausdorff_mm"], 1),
        }
        for (cohort, phase, kind, other, rater), group in counted.groupby(
            ["cohort", "phase", "role", "reference", "rater"], sort=False
        )
    ]
    table = pd.DataFrame(rows)
    said = {"Cohort": len(set(counted["cohort"])) == 1, "Regions": not (counted["role"] == "organ").any()}
    return table.drop(columns=[name for name, needless in said.items() if needless and name in table])


def _median_range(values: pd.Series, decimals: int) -> str:
    low, middle, high = (decimal(float(value), decimals) for value in np.quantile(values, [0, 0.5, 1]))
    return f"{middle} ({low}–{high})"


def volumes_table(cases: pd.DataFrame, study: Mapping[str, Any]) -> pd.DataFrame:
    """Volumes of organs and of what was computed once for a scan (total tumour volume), as the reference rater drew.

    A row per region and phase, for print: number of patients, median and range in cm³.
    """
    images = study["images"]
    whole = [name for name, rule in images.get("regions", {}).items() if rule["kind"] != "ring"]
    counted = cases[
        (cases["status"] == "included")
        & (cases["rater"] == study["stability"]["readings"]["reference"])
        & cases["region"].isin([*whole, *images.get("organs", [])])
    ]
    rows = [
        {
            "Region": region,
            "Phase": phase,
            "n": str(len(group)),
            "cm³, median (range)": _median_range(group["volume_mm3"] / 1000, 1),
        }
        for (region, phase), group in counted.groupby(["region", "phase"])
    ]
    return pd.DataFrame(rows)


def flagged_table(cases: pd.DataFrame) -> pd.DataFrame:
    """The flagged regions for print: a row each with its flags in one cell."""
    flagged = cases[cases["flags"].str.len() > 0]
    shown = flagged[CASE].rename(columns=str.capitalize)
    return shown.assign(Flags=["; ".join(flags) for flags in flagged["flags"]])


def count_words(cases: pd.DataFrame) -> str:
    """How many regions there are, how many are flagged, and how many have been left out: one or two sentences."""
    measured = cases[cases["voxels"].notna()]
    flagged = int((measured["flags"].str.len() > 0).sum())
    words = f"{count(len(measured), 'region')} of {count(measured['patient'].nunique(), 'patient')} "
    words += f"{'was' if len(measured) == 1 else 'were'} measured, and {flagged or 'none'} flagged for a closer look."
    refused = len(cases) - len(measured)
    return words + (f" {count(refused, 'region')} could not be read or used." if refused else "")


def signoff_words(cases: pd.DataFrame) -> str:
    """How far people have come in looking at the regions: one sentence."""
    measured = cases[cases["voxels"].notna()]
    decided = measured[measured["decision"] != ""]
    if decided.empty:
        return "Nobody has signed off the regions yet."
    excluded = int((decided["decision"] == "exclude").sum())
    words = f"{len(decided):,} of {count(len(measured), 'region')} signed off"
    return f"{words}: {len(decided) - excluded:,} ok, {excluded:,} excluded."


def volume_text(volume_mm3: float) -> str:
    """A volume in cm³, or in mm³ where that is less than one."""
    if pd.isna(volume_mm3):
        return MISSING
    return f"{volume_mm3:.0f} mm³" if volume_mm3 < 1000 else f"{volume_mm3 / 1000:,.1f} cm³"
