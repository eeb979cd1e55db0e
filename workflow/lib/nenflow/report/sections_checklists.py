"""The part of a report that answers checklists of reporting and quality."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.checklists import ANSWERS, answer, checklists_of, read_checklist, score_range
from nenflow.report.facts import AUTHORS, Evidence
from nenflow.report.page import Fold, Printed, Text
from nenflow.report.wording import count


def checklist_blocks(
    study: Mapping[str, Any], results: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]]
) -> list[Any]:
    """How many items of each checklist are answered how, and each list behind a line that opens it.

    Args:
        study, results, parameters: see `sections.report_sections`.
    """
    evidence = Evidence(study, results, parameters)
    lists = {name: read_checklist(name) for name in checklists_of(study)}
    if not lists:
        return []
    answers = {name: answer(checklist, evidence) for name, checklist in lists.items()}
    counts = pd.DataFrame(
        [[lists[name]["name"], *(str((table["answer"] == kind).sum()) for kind in ANSWERS), str(len(table))]
         for name, table in answers.items()],
        columns=["Checklist", *(kind.capitalize() for kind in ANSWERS), "Items"],
    )  # fmt: skip
    blocks: list[Any] = [
        Text(
            "Answered from what was run: yes has a file that proves it; what only people can know is for the authors. "
            "The files stand in the tables, which are to be completed and sent with a paper."
        ),
        Printed("checklists", counts, "Checklists: items by answer."),
    ]
    if "metrics" in answers:
        blocks.append(Text(_score_words(answers["metrics"])))
    return blocks + [_folded(name, lists[name], table) for name, table in answers.items()]


def _score_words(table: pd.DataFrame) -> str:
    low, high = score_range(table)
    open_items = int((table["answer"] == AUTHORS).sum())
    return (
        f"METRICS score: {low:.1f}% of the weight that applies is answered yes; with the "
        f"{count(open_items, 'item')} that the authors answer it becomes {low:.1f}% to {high:.1f}%."
    )


def _folded(name: str, checklist: Mapping[str, Any], table: pd.DataFrame) -> Fold:
    """One checklist: on the page without remarks' columns apart, in the file with all of them."""
    why = table["where"].str.cat(table["remark"], sep=" ").str.strip()
    shown = pd.DataFrame({"Item": table["item"], "Topic": table["title"]})
    if "weight" in table:
        shown["Weight"] = table["weight"].map("{:.4f}".format)
    shown = shown.assign(Answer=table["answer"], Where=why)
    caption = f"{checklist['name']}: {checklist['title']}."
    note = f"{checklist['source']}. {checklist['note']}"
    return Fold(f"Show the {count(len(table), 'item')} of {checklist['name']}",
                [Printed(f"checklist_{name}", shown, caption, note, full=table)])  # fmt: skip
