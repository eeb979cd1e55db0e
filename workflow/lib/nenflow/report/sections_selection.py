"""The part of a report that tells how features became a signature, and which were dropped on the way, and why."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.models.terms import term_of
from nenflow.report.figures_selection import funnel_figure
from nenflow.report.model_files import ModelFiles
from nenflow.report.page import Drawing, Printed
from nenflow.report.tables import plain_label
from nenflow.report.wording import count, decimal, feature_label, icc_label, listed, p_text, shown_of

_MOST = 15  # rows of the table of what was dropped; the file has all


def funnel_blocks(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    """A funnel from all features to the signature, and what was dropped with its reason; nothing without features."""
    stages = feature_stages(files)
    if len(stages) < 2:
        return []
    final = _final_words(study, files)
    caption = (
        f"From {count(stages[0][1], 'feature')} to {stages[-1][1]:,}: what each step of the protocol leaves and why "
    )
    caption += f"it drops the others.{final}"
    alt = "; ".join(
        f"{name}: {number:,}" + (f" (others dropped: {why})" if why else "") for name, number, why in stages
    )
    blocks: list[Any] = [Drawing(f"funnel_{model}", funnel_figure(stages), caption, f"Funnel. {alt}.{final}")]
    dropped = dropped_table(files)
    if len(dropped):
        shown = dropped.tail(_MOST)  # the variables, and the features that came furthest
        shown = pd.DataFrame(
            {
                "Name": [plain_label(name, study["variables"]) for name in shown["name"]],
                "Dropped by": shown["step"].to_numpy(),
                "Reason": shown["reason"].to_numpy(),
            }
        )
        file = f"dropped_{model}"
        caption = f"Dropped features and variables, the last ones first{shown_of(len(shown), len(dropped), file)}."
        blocks.append(Printed(file, shown.iloc[::-1], caption, full=dropped))
    return blocks


def feature_stages(files: ModelFiles) -> list[tuple[str, int, str]]:
    """Features left after each step that drops any: what they are then, how many, and why the others were dropped."""
    stability, spearman, lasso = (files.step(name) for name in ("stability", "spearman", "lasso"))
    stages = []
    if stability:
        stages.append(("Features measured", stability["n_features"], ""))
        stages.append(
            ("Stable", stability["n_stable"], f"{icc_label(stability['form'])} under {stability['threshold']:g}")
        )
    if spearman:
        measured = len(spearman["kept"]) + len(spearman["dropped"])
        stages += [] if stages else [("Features measured", measured, "")]
        why = f"correlated above {spearman['threshold']:g} with one that stays"
        stages.append(("Not redundant", len(spearman["kept"]), why))
    if lasso:
        stages += [] if stages else [("Features measured", lasso["n_features"], "")]
        stages.append(("In the Radscore", len(lasso["coefficients"]), f"no weight in the LASSO at {lasso['rule']}"))
    return stages


def _final_words(study: Mapping[str, Any], files: ModelFiles) -> str:
    """What stayed in the final model."""
    final = files.final()
    if not final:
        return ""
    names = [plain_label(name, study["variables"]) for name in dict.fromkeys(map(term_of, final["variables"]))]
    if not names:
        return " In the final model: nothing, no variable survived the selection."
    return f" In the final model: {listed(names)}."


def dropped_table(files: ModelFiles) -> pd.DataFrame:
    """Every feature and variable that a step of the protocol dropped, in their order: name, step, reason."""
    rows: list[tuple[str, str, str]] = []
    stability, spearman, lasso = (files.step(name) for name in ("stability", "spearman", "lasso"))
    if stability:
        stable = set(stability["stable"])
        unstable = {name: found for name, found in stability["agreement"].items() if name not in stable}
        label = icc_label(stability["form"])
        rows += [(name, "stability", f"{label} {_agreements(found)}") for name, found in unstable.items()]
    if spearman:
        for name, found in spearman["dropped"].items():
            kept = feature_label(found["for"])
            rows.append((name, "Spearman", f"correlated with {kept} (rho {decimal(found['rho'], 2)})"))
    if spearman and lasso:
        left = [name for name in spearman["kept"] if name not in lasso["coefficients"]]
        rows += [(name, "LASSO", f"coefficient 0 at {lasso['rule']}") for name in left]
    for step in ("univariable", "backward"):  # a forward selection says what it added, not why others stayed out
        rows += _unselected(step, files.step(step))
    return pd.DataFrame(rows, columns=["name", "step", "reason"])


def _agreements(found: Mapping[str, float | None]) -> str:
    """The agreement in each comparison, such as "0.478 (intra), 0.403 (inter)"."""
    return ", ".join(f"{decimal(value)} ({comparison})" for comparison, value in found.items())


def _unselected(step: str, document: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    """The variables that a selection left out, and its p or AIC."""
    if not document:
        return []
    if step == "backward":
        return [(row["variable"], step, _criterion(row)) for row in document["removed"]]
    kept = {term_of(name) for name in document["kept"]}
    left = {name: found for name, found in document.get("variables", {}).items() if name not in kept}
    return [(name, step, f"p {p_text(found['p'])} by itself") for name, found in left.items()]


def _criterion(row: Mapping[str, Any]) -> str:
    return f"p {p_text(row['p'])} beside the others" if "p" in row else f"AIC {decimal(row['aic'], 1)} without it"
