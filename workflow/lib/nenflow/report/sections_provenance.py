"""The part of a report that says from what, by what and how its results were made."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.page import Printed, Text
from nenflow.report.provenance import PATIENT
from nenflow.report.wording import count

_SHOWN = 12  # digits of a checksum that are printed; the file has all


def provenance_blocks(results: Mapping[str, Any]) -> list[Any]:
    """The code and the inputs, by their checksums; nothing where they were not recorded.

    Args:
        results: content of the study's files; of them provenance/run.json and provenance/inputs.csv.
    """
    run, inputs = results.get("provenance/run.json"), results.get("provenance/inputs.csv")
    if run is None or inputs is None:
        return []
    commit = "from a folder without a git history"
    if run["commit"]:
        commit = f"commit {run['commit'][:_SHOWN]}{', with changes since' if run['changed'] else ''}"
    words = f"Made by nenflow {run['nenflow']} ({commit}; SHA-256 of its code {run['code'][:_SHOWN]}…) on Python "
    words += f"{run['python']}, {run['system']}. The study's folder provenance has the settings as they ran, "
    words += "every package with its version, all checksums, and the run time of each rule; ro-crate-metadata.json "
    words += "describes all results as a research object (RO-Crate)."
    note = f"The first {_SHOWN} digits of SHA-256; the file has all. Of several files: that of their sorted checksums."
    return [
        Text(words),
        Printed("inputs", _shown(inputs), "Checksums of what the results were made from.", note, inputs),
    ]


def _shown(inputs: pd.DataFrame) -> pd.DataFrame:
    """Tables and settings one by one, the patients of a cohort in one row."""
    of_patients = inputs["input"] == PATIENT
    rows = [
        (row.input, count(row.files, "file"), f"{row.sha256[:_SHOWN]}…") for row in inputs[~of_patients].itertuples()
    ]
    for cohort, part in inputs[of_patients].groupby("cohort", sort=False):
        words = f"{PATIENT} of {count(len(part), 'patient')} of the cohort {cohort}"
        rows.append((words, count(part["files"].sum(), "file"), "patient by patient in the file"))
    return pd.DataFrame(rows, columns=["Input", "Files", "SHA-256"])
