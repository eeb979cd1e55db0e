"""The part of a report that tells of cross-validation: how models do in folds and centres that they never saw."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.models.terms import term_of
from nenflow.report.page import Lines, Printed, Text
from nenflow.report.tables import INSET, score_table, strata_table
from nenflow.report.wording import MISSING, count, decimal, interval, listed
from nenflow.tables import FOLDS

POOLED = "All"


def cross_validation_blocks(
    study: Mapping[str, Any], model: str, document: Mapping[str, Any] | None, score: Mapping[str, Any] | None
) -> list[Any]:
    """Figures by part left out and pooled, what the integer score was in each, and the risk in its strata.

    Args:
        document: cross_validation.json; None where a study asks for none.
        score: score.json, of all units.
    """
    blocks: list[Any] = []
    for scheme, found in (document or {}).items():
        name = f"cross-validation-{scheme}_{model}"
        blocks.append(Text(_words(study, scheme, found)))
        full = figures_frame(found)
        note = f"Over all, the {_MEASURES[measure_of(found['pooled'])]} compares units of the same part only. Observed "
        note += "/ expected: events over those that the model expects of these units over their follow-up."
        blocks.append(Printed(name, _figures_table(study, scheme, found), _caption(study, scheme), note, full))
        notes = [f"{_part(study, scheme, part)}: {part['note']}" for part in found["parts"] if part["note"]]
        blocks += [Lines(notes)] if notes else []
        if score and any(part["score"] for part in found["parts"]):
            blocks += _score_blocks(study, model, scheme, found, score)
    return blocks


def _words(study: Mapping[str, Any], scheme: str, found: Mapping[str, Any]) -> str:
    parts, pooled = found["parts"], found["pooled"]
    many = f"each of {count(len(parts), 'fold')} of patients"
    if scheme != FOLDS:
        many = f"each level of {study['variables'][scheme]['label']}"
    measure = measure_of(pooled)
    figure = interval(pooled[measure], pooled["low"], pooled["high"])
    words = f"Everything was fitted anew without {many} and tried on what was left out: "
    words += f"{_MEASURES[measure]} {figure}"
    if pooled.get("points"):
        of_points = pooled["points"]
        words += f", of the score's points {interval(of_points[measure], of_points['low'], of_points['high'])}"
    words += f"; calibration slope {decimal(pooled.get('slope'), 2)} (1 is ideal)."
    lacking = [part for part in parts if part["n"] == 0]
    if lacking:
        words += f" {count(len(lacking), 'part')} could not be predicted and {'is' if len(lacking) == 1 else 'are'} "
        words += "not in the figures over all."
    return words


_MEASURES = {"c": "C-index", "auc": "AUC"}


def measure_of(figures: Mapping[str, Any]) -> str:
    """What discrimination is called among the figures: c of times, auc of a binary outcome."""
    return "c" if "c" in figures else "auc"


def _caption(study: Mapping[str, Any], scheme: str) -> str:
    if scheme == FOLDS:
        return "Cross-validation: the whole construction refitted without each fold of patients."
    label = study["variables"][scheme]["label"]
    return f"Internal-external validation: the whole construction refitted without each level of {label}."


def _part(study: Mapping[str, Any], scheme: str, part: Mapping[str, Any]) -> str:
    return f"Fold {part['part']}" if scheme == FOLDS else part["part"]


def figures_frame(found: Mapping[str, Any]) -> pd.DataFrame:
    """Figures of every part and of all: one row each, a column per figure (brier_<time> for survival)."""
    rows = []
    for part in [*found["parts"], {"part": POOLED, **found["pooled"]}]:
        row = {key: value for key, value in part.items() if not isinstance(value, list | dict)}
        row["variables"] = ";".join(part.get("variables", []))
        for name, value in (part.get("points") or {}).items():
            row[f"{name}_points"] = value
        briers = part.get("brier")
        for entry in briers if isinstance(briers, list) else []:
            row[f"brier_{entry['time']:g}"] = entry["brier"]
        rows.append(row)
    return pd.DataFrame(rows)


def _figures_table(study: Mapping[str, Any], scheme: str, found: Mapping[str, Any]) -> pd.DataFrame:
    full = figures_frame(found)
    measure = measure_of(full)
    names = [_part(study, scheme, part) for part in found["parts"]] + [POOLED]
    shown = {
        "Left out": names,
        "n": full["n"].map("{:.0f}".format),
        "Events": full["events"].map("{:.0f}".format),
        _MEASURES[measure]: [interval(*row) for row in full[[measure, "low", "high"]].to_numpy()],
    }
    if f"{measure}_points" in full:
        shown[f"{_MEASURES[measure]} of points"] = full[f"{measure}_points"].map(decimal)
    columns = {"slope": "Slope", "observed_expected": "Observed / expected", "brier": "Brier"}
    columns |= {name: f"Brier, {name.removeprefix('brier_')}" for name in full if name.startswith("brier_")}
    for name, label in columns.items():
        if name in full:
            shown[label] = full[name].map(lambda value, digits=3 if "brier" in name else 2: decimal(value, digits))
    numbers = [len({term_of(name) for name in part["variables"]}) for part in found["parts"]]
    if len(set(numbers)) > 1:  # where all have as many there is nothing to tell; the file names them
        shown["Variables"] = [*map(str, numbers), ""]
    return pd.DataFrame(shown)


def _score_blocks(
    study: Mapping[str, Any], model: str, scheme: str, found: Mapping[str, Any], score: Mapping[str, Any]
) -> list[Any]:
    """The points and cut-offs that each refit gave, and the risk in strata of scores that did not see their units."""
    scores = {_part(study, scheme, part): part["score"] for part in found["parts"]} | {"None": score}
    columns = {name: _points(document, study["variables"]) for name, document in scores.items() if document}
    levels = dict.fromkeys(level for points in reversed(columns.values()) for level in points)
    worth = [level for level in levels if any(points.get(level, "0") != "0" for points in columns.values())]
    shown = pd.DataFrame({"Left out": [*worth, "Strata from"]})
    for name, document in scores.items():
        points = columns.get(name, {})
        cut_offs = listed(document["cutoffs"]) if document else MISSING
        shown[name.removeprefix("Fold ")] = [*[points.get(level, MISSING) for level in worth], cut_offs]
    caption = "Points of the score, and the lowest scores of its upper strata, as made without each part and from all."
    note = "A dash: not selected there, or there is no score. Levels that never have points are not shown."
    blocks: list[Any] = [Printed(f"score-{scheme}_{model}", shown, caption, note)]
    if found["strata"]:
        full = pd.DataFrame(found["strata"])
        shown = strata_table(full, score).drop(columns="Stratum (score)")
        shown.insert(0, "Stratum", full["stratum"])
        caption = "Observed risk by stratum, each unit in the stratum of the score that was made without it."
        blocks.append(Printed(f"strata-{scheme}_{model}", shown, caption, full=full))
    return blocks


def _points(score: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """Points by variable and level, as they are printed."""
    points, label = {}, ""
    for row in score_table(score, variables).itertuples(index=False):
        if row.Points == "":
            label = row.Variable
        else:
            points[f"{label}: {row.Variable.removeprefix(INSET)}"] = row.Points
    return points
