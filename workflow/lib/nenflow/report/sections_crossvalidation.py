"""The part of a report that tells of cross-validation: how models do in folds and centres that they never saw."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.models.base import SIGNATURE
from nenflow.models.terms import term_of
from nenflow.report.page import Lines, Printed, Text
from nenflow.report.tables import INSET, score_table, strata_table
from nenflow.report.wording import MISSING, count, decimal, interval, listed
from nenflow.tables import FOLDS, TEMPORAL

POOLED, MEAN, SPREAD = "All", "Mean", "SD"


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
        note = f"Over all, the {_MEASURES[measure_of(found['pooled'])]} compares units of the same part only. "
        if len(found["repeats"]) > 1:
            note += (
                "A row is one repeat, over all its folds; the file has every fold. Repeats are of the same patients, "
            )
            note += "so the mean's interval is as wide as theirs. "
        note += "Observed / expected: events over those that the model expects of these units over their follow-up."
        blocks.append(Printed(name, _figures_table(study, scheme, found), _caption(study, scheme), note, full))
        notes = [f"{_part(study, scheme, part)}: {part['note']}" for part in found["parts"] if part["note"]]
        if len(found["repeats"]) > 1:  # the same words of many folds, once
            said = Counter(part["note"] for part in found["parts"] if part["note"])
            notes = [f"{count(number, 'refit')}: {words}" for words, number in said.items()]
        blocks += [Lines(notes)] if notes else []
        if score and any(part["score"] for part in found["parts"]):
            blocks += _score_blocks(study, model, scheme, found, score)
    return blocks


def _words(study: Mapping[str, Any], scheme: str, found: Mapping[str, Any]) -> str:
    parts, pooled, repeats = found["parts"], found["pooled"], len(found["repeats"])
    without = f"without each of {count(len(parts) // repeats, 'fold')} of patients"
    if repeats > 1:
        without += f", which were dealt {repeats} times,"
    if scheme == TEMPORAL:
        without = f"to {_earlier(study)}"
    elif scheme != FOLDS:
        without = f"without each level of {study['variables'][scheme]['label']}"
    measure = measure_of(pooled)
    figure = interval(pooled[measure], pooled["low"], pooled["high"])
    words = f"Everything was fitted anew {without} and tried on what was left out: {_MEASURES[measure]} {figure}"
    if pooled.get("points"):
        of_points = pooled["points"]
        words += f", of the score's points {interval(of_points[measure], of_points['low'], of_points['high'])}"
    words += f"; calibration slope {decimal(pooled.get('slope'), 2)} (1 is ideal)."
    lacking = [part for part in parts if part["n"] == 0]
    if lacking:
        words += f" {count(len(lacking), 'part')} could not be predicted and {'is' if len(lacking) == 1 else 'are'} "
        words += "not in the figures over all."
    return words


def _earlier(study: Mapping[str, Any]) -> str:
    """Who a temporal split fits to."""
    settings = study["evaluation"][TEMPORAL]
    return f"patients with {study['variables'][settings['variable']]['label']} below {settings['from']:g}"


_MEASURES = {"c": "C-index", "auc": "AUC"}


def measure_of(figures: Mapping[str, Any]) -> str:
    """What discrimination is called among the figures: c of times, auc of a binary outcome."""
    return "c" if "c" in figures else "auc"


def _caption(study: Mapping[str, Any], scheme: str) -> str:
    if scheme == FOLDS:
        return "Cross-validation: the whole construction refitted without each fold of patients."
    if scheme == TEMPORAL:
        return f"Temporal validation: the whole construction fitted to {_earlier(study)}, judged on the later ones."
    label = study["variables"][scheme]["label"]
    return f"Internal-external validation: the whole construction refitted without each level of {label}."


def _part(study: Mapping[str, Any], scheme: str, part: Mapping[str, Any]) -> str:
    return f"Fold {part['part']}" if scheme == FOLDS else part["part"]


def figures_frame(found: Mapping[str, Any]) -> pd.DataFrame:
    """Figures of every part, of every repeat where there are several, and of all: a row each, a column per figure.

    Survival has a column brier_<time> per time. `part` is "All" in the row of a repeat, and "Mean" and "SD" of repeats.
    """
    pooled, repeats = found["pooled"], found["repeats"]
    rows = [_row(part) for part in found["parts"]]
    if len(repeats) == 1:
        rows.append(_row({"part": POOLED, **pooled}))
    else:
        rows += [_row({"part": POOLED, "repeat": number, **run}) for number, run in enumerate(repeats, start=1)]
        rows += [_row({"part": MEAN, **pooled}), _row({"part": SPREAD, **pooled["sd"]})]
    return pd.DataFrame(rows)


def _row(part: Mapping[str, Any]) -> dict[str, Any]:
    row = {key: value for key, value in part.items() if not isinstance(value, list | dict)}
    row["variables"] = ";".join(part.get("variables", []))
    for score in (SIGNATURE, "points"):
        for name, value in (part.get(score) or {}).items():
            row |= {f"{name}_{score}": value} if not isinstance(value, dict) else {}
    briers = part.get("brier")
    for entry in briers if isinstance(briers, list) else []:
        row[f"brier_{entry['time']:g}"] = entry["brier"]
    return row


def _figures_table(study: Mapping[str, Any], scheme: str, found: Mapping[str, Any]) -> pd.DataFrame:
    full, repeats = figures_frame(found), len(found["repeats"])
    measure = measure_of(full)
    names = [_part(study, scheme, part) for part in found["parts"]] + [POOLED]
    if repeats > 1:
        full = full.iloc[len(found["parts"]) :]
        names = [f"Repeat {number + 1}" for number in range(repeats)] + [MEAN, SPREAD]
    shown = {
        "Left out" if repeats == 1 else "All folds": names,
        "n": full["n"].map(_whole),
        "Events": full["events"].map(_whole),
        _MEASURES[measure]: [interval(*row) for row in full[[measure, "low", "high"]].to_numpy()],
    }
    if repeats > 1:  # an interval of a spread would be none
        shown[_MEASURES[measure]][-1] = decimal(full[measure].iloc[-1])
    if f"{measure}_points" in full:
        shown[f"{_MEASURES[measure]} of points"] = full[f"{measure}_points"].map(decimal)
    columns = {"slope": "Slope", "observed_expected": "Observed / expected", "brier": "Brier"}
    columns |= {name: f"Brier, {name.removeprefix('brier_')}" for name in full if name.startswith("brier_")}
    for name, label in columns.items():
        if name in full:
            shown[label] = full[name].map(lambda value, digits=3 if "brier" in name else 2: decimal(value, digits))
    numbers = [len({term_of(name) for name in part["variables"]}) for part in found["parts"]]
    if repeats == 1 and len(set(numbers)) > 1:  # where all have as many there is nothing to tell; the file names them
        shown["Variables"] = [*map(str, numbers), ""]
    return pd.DataFrame(shown)


def _whole(number: float) -> str:
    return "" if pd.isna(number) else f"{number:.0f}"


def _score_blocks(
    study: Mapping[str, Any], model: str, scheme: str, found: Mapping[str, Any], score: Mapping[str, Any]
) -> list[Any]:
    """The points and cut-offs that each refit gave, and the risk in strata of scores that did not see their units."""
    first = [part for part in found["parts"] if part["repeat"] == 1]
    scores = {_part(study, scheme, part): part["score"] for part in first} | {"None": score}
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
    note += " Of the first repeat." if len(found["repeats"]) > 1 else ""
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
