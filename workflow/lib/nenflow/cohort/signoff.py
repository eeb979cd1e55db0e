"""What people decided about each case at quality control, and how it takes effect."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from nenflow.cohort.checks import clean_rows
from nenflow.cohort.rows import read_rows
from nenflow.images.regions import rule_of
from nenflow.study import refuse
from nenflow.tables import CASE

SIGNOFF = [*CASE, "decision", "reason"]


def read_signoff(path: Path | None, cases: pd.DataFrame, study: Mapping[str, Any], schemas: Path) -> pd.DataFrame:
    """Read the table of decisions (qc_signoff.csv) and refuse it with the list of all its mistakes.

    Args:
        path: the table, or None where the study has none.
        cases: the cohort's checked cases.
        study: the study as `load_study` gives it.
        schemas: the folder of the tables' schemas.

    Returns:
        Columns patient, phase, region, rater, decision (ok, exclude or "") and reason; one row per case that the table
        names.

    Raises:
        InputError: one line per mistake: a case that does not exist, another word than ok or exclude, an exclusion
            without a reason.
    """
    if path is None:
        return pd.DataFrame(columns=SIGNOFF, dtype=str)
    problems: list[str] = []
    rows = read_rows(path, problems)
    refuse(problems, "the table of decisions")
    table = clean_rows(rows, "signoff", {}, schemas, problems, [])
    problems.extend(_unknown_cases(table, cases, study, rows.name))
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        if row["decision"] == "exclude" and not row["reason"]:
            problems.append(f"{rows.name}, row {number}: exclude needs a reason, which the cohort flow shows")
    refuse(problems, "the table of decisions")
    return table[SIGNOFF].reset_index(drop=True)


def _unknown_cases(table: pd.DataFrame, cases: pd.DataFrame, study: Mapping[str, Any], name: str) -> Iterable[str]:
    readings = set(cases[["patient", "phase", "rater"]].itertuples(index=False, name=None))
    drawn = set(cases[CASE].itertuples(index=False, name=None))
    computed = study["images"].get("regions", {})
    for number, patient, phase, region, rater in table[CASE].itertuples():
        of_rule = any(region == rule or region.endswith(f"-{rule}") for rule in computed)
        if (patient, phase, region, rater) in drawn or (of_rule and (patient, phase, rater) in readings):
            continue
        yield f"{name}, row {number}: there is no case {patient}, {phase}, {region}, {rater} in the table of cases"


def apply_signoff(
    cases: pd.DataFrame, signoff: pd.DataFrame, rules: Mapping[str, Mapping], reference: str
) -> pd.DataFrame:
    """Exclude the cases that a person excluded at quality control with that reason, and what was computed from them.

    A ring depends on its lesion and on the organ that cuts it, a union or rest on all that it is made of, each as the
    same rater drew it or, for what only delimits, as the reference rater did.

    Args:
        cases: what became of each case (patient, phase, region, rater, role, status, reason, ...).
        signoff: as `read_signoff` gives it.
        rules: the study's computed regions.
        reference: the rater whose regions are analysed.
    """
    decided = signoff[signoff["decision"] == "exclude"].set_index(CASE)["reason"]
    reasons = {tuple(case): f"excluded at quality control: {why}" for case, why in decided.items()}
    for case in cases.loc[cases["role"] == "computed", CASE].itertuples(index=False):
        for gone in decided.index:
            if _depends(case, gone, rules, reference):
                reasons.setdefault(tuple(case), f"it depends on {gone[2]}, which was excluded at quality control")
    new = [reasons.get(case) for case in cases[CASE].itertuples(index=False, name=None)]
    gone = pd.Series([reason is not None for reason in new], index=cases.index) & (cases["status"] == "included")
    return cases.assign(
        status=cases["status"].mask(gone, "excluded"),
        reason=cases["reason"].mask(gone, pd.Series(new, index=cases.index)),
    )


def _depends(case: tuple, gone: tuple, rules: Mapping[str, Mapping], reference: str) -> bool:
    """Whether a computed case was made from another one."""
    (patient, phase, region, rater), (*scan, excluded, by) = case, gone
    if [patient, phase] != scan or by not in (rater, reference):
        return False
    around, rule = rule_of(region, rules)
    patterns = [around] if around else [rule["of"], *rule.get("without", [])]
    return any(fnmatchcase(excluded, pattern) for pattern in [*patterns, rule.get("inside", "")])


def signoff_template(cases: pd.DataFrame, signoff: pd.DataFrame) -> pd.DataFrame:
    """The table of decisions for all cases that have a picture: made so far, and blank where nobody has looked yet."""
    pictured = cases[cases["voxels"].notna()]
    decided = signoff.set_index(CASE)[["decision", "reason"]].reindex(pd.MultiIndex.from_frame(pictured[CASE]))
    table = pictured[CASE].reset_index(drop=True)
    return table.assign(**decided.reset_index(drop=True).fillna(""), flags=pictured["flags"].fillna("").to_numpy())
