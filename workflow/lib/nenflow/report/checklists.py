"""Checklists of reporting and quality (CLEAR, METRICS, TRIPOD+AI, IBSI), answered from what a study did.

The lists are data: checklists/*.yaml beside this module hold each item with the fact that answers it, see `facts`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nenflow.report.facts import AUTHORS, NO, NOT_APPLICABLE, YES, Evidence, Fact, fact
from nenflow.report.methods_images import tag_values

FOLDER = Path(__file__).with_name("checklists")
RADIOMIC = ("clear", "metrics", "ibsi")  # of studies with image features
PREDICTION = "tripod_ai"  # of studies with models
ANSWERS = (YES, NO, NOT_APPLICABLE, AUTHORS)
COLUMNS = ["item", "section", "title", "answer", "where", "remark"]


def read_checklist(name: str) -> dict[str, Any]:
    """A checklist by its file's name: name, title, source, note, and items (item, section, title, fact, more)."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def checklists_of(study: Mapping[str, Any]) -> list[str]:
    """The checklists that are meant for such a study."""
    names = list(RADIOMIC) if "extractions" in study else []
    return names + ([PREDICTION] if study.get("models") or study.get("published") else [])


def answer(checklist: Mapping[str, Any], evidence: Evidence) -> pd.DataFrame:
    """All items of a checklist with their answers.

    Args:
        checklist: see `read_checklist`.
        evidence: the study's settings and results.

    Returns:
        A row per item: item, section, title, weight (METRICS), answer (one of `ANSWERS`), where (files of the study's
        folder, "; " between them) and remark.
    """
    rows = []
    for entry in checklist["items"]:
        found = _answer(entry, evidence)
        row = {name: entry[name] for name in ("item", "section", "title", "weight") if name in entry}
        rows.append(row | {"answer": found.answer, "where": "; ".join(found.where), "remark": found.remark})
    return pd.DataFrame(rows)


def _answer(entry: Mapping[str, Any], evidence: Evidence) -> Fact:
    """The answer of one item; not applicable where it is for another modality, or for another kind of study."""
    modalities = tag_values(evidence.results, "Modality")
    if "only" in entry and modalities and entry["only"] not in modalities:
        return Fact(NOT_APPLICABLE, remark=f"For the modality {entry['only']}; images are {', '.join(modalities)}.")
    evaluated = "external" in evidence.asked or evidence.study.get("published")
    if entry.get("of") == "E" and not evaluated:
        return Fact(NOT_APPLICABLE, remark="No model is evaluated in other patients.")
    if entry.get("of") == "D" and not evidence.models:
        return Fact(NOT_APPLICABLE, remark="No model is developed.")
    return fact(evidence, entry["fact"])


def score_range(table: pd.DataFrame) -> tuple[float, float]:
    """The METRICS score in percent: if the authors' items were all no, and if they were all yes.

    The score is the weight of the items answered yes over the weight of those that apply (Kocak et al. 2024).
    """
    weights = table.groupby("answer")["weight"].sum().reindex(ANSWERS, fill_value=0.0)
    applying = weights[YES] + weights[NO] + weights[AUTHORS]
    return 100 * weights[YES] / applying, 100 * (weights[YES] + weights[AUTHORS]) / applying
