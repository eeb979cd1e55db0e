"""The nomogram that a reader moves: what workflow/report/nomogram.js needs to know of a model.

The script computes what Python would: columns of a variable (of a spline by its knots, of a level as listed), the
linear predictor, points, and each outcome with its interval. It knows of no study: all words come from here.
"""

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from nenflow.documents import plain
from nenflow.models.nomogram import axes_of, pretty
from nenflow.models.terms import terms_of
from nenflow.report.drawing import DOUBLE, SMALL, TEXT
from nenflow.report.figures_model import (
    GAP,
    LABELS,
    SCALE,
    Axis,
    nomogram_axes,
    nomogram_layout,
    outcome_axes,
    survival_label,
)
from nenflow.report.page import Calculator
from nenflow.report.wording import decimal, feature_label

POINT = 25.4 / 72  # mm
_FINE = 10  # steps of a slider between two ticks
NOT_THE_SELECTION = (
    "The 95% interval comes from the covariance of the final model's coefficients. It does not know that variables "
    "were selected before, or tuned, so that it is rather too narrow."
)
FOR_NEW = (
    "For new patients every coefficient is multiplied by {}, the calibration slope corrected for optimism: that is the "
    "number to use. As fitted, it is too extreme."
)
NO_COVARIANCE = "No 95% interval can be given: the model comes without the covariance of its coefficients."
ALIASED = "No 95% interval can be given: a variable of the model says nothing that those before it do not say."
SHRUNKEN = "No 95% interval can be given for new patients: shrunken coefficients have no standard errors."


def calculator(
    title: str,
    steps: Mapping[str, Any],
    drawn: Mapping[str, Any],
    variables: Mapping[str, Any],
    event: str,
    unit: str,
    known: Mapping[str, Any] | None = None,
    shrunken: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
) -> Calculator | None:
    """A nomogram to be moved; None for a model without effects, which has no points.

    Args:
        title: of the model.
        steps: its documents by step: `cox` or `logistic`, and `terms` where it has some.
        drawn: its nomogram, as `models.nomogram` gives it.
        variables: the study's variables, for labels and the names of levels.
        event: what the probability is of; of a Cox model what is survived.
        unit: of a Cox model's times, in the singular; blank where it has none.
        known: covariance of its estimates, as `models.uncertainty` gives it; None where a publication has none.
        shrunken: the model for new patients, its steps and its nomogram: the same points, outcomes of its own.
    """
    if not drawn["variables"] or not drawn["total_points"]:
        return None
    final, terms = _final(steps), steps.get("terms") or {}
    aliased = known is not None and any(entry is None for row in known["covariance"] for entry in row)
    words = (variables, event, unit)
    predictions = [_prediction("As fitted" if shrunken else "", final, drawn, event, unit, None if aliased else known)]
    notes = [ALIASED if aliased else NO_COVARIANCE if known is None else NOT_THE_SELECTION]
    rows, longest = nomogram_axes(drawn, *words), max(drawn["total_points"])
    if shrunken:
        factor = decimal(_final(shrunken[0])["shrinkage"], 2)
        predictions.append(_prediction("For new patients", _final(shrunken[0]), shrunken[1], event, unit))
        notes.insert(0, FOR_NEW.format(factor))
        notes.append(SHRUNKEN)
        rows += outcome_axes(shrunken[1], longest, *words, whom=", for new patients")
    inputs = _inputs(final, terms, variables)
    return Calculator(
        title,
        plain(
            {
                "inputs": inputs,
                "strata": _strata(drawn, variables),
                "points_per_unit": drawn["points_per_unit"],
                "predictions": predictions,
                "notes": notes,
                "drawing": _drawing(rows, len(inputs), longest),
            }
        ),
    )


def _final(steps: Mapping[str, Any]) -> Mapping[str, Any]:
    return steps.get("cox") or steps["logistic"]


def _inputs(final: Mapping[str, Any], terms: Mapping[str, Any], variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is asked of a patient, in the order of the nomogram's lines.

    Each with its label and the least effect on its axis, which is worth 0 points. A choice
    has options: the columns of each level, and whether the model has seen it. A number has the range that the model has
    seen, that of its slider with step and start, and knots.
    """
    axes, inputs = axes_of(final, terms), []
    for name, columns in terms_of(final["coefficients"]).items():
        declared = variables.get(name, {"label": feature_label(name), "type": "continuous"})
        entry = {"label": declared["label"], "least": min(axes[name]["effects"])}
        scales = [final["scales"].get(column, {}).get("values") for column in columns]
        if name in terms.get("factors", {}):
            levels = terms["factors"][name]
            options = [
                {"label": level, "columns": [float(column == f"{name}={level}") for column in columns]}
                for level in levels
            ]
            absent = {column for column, seen in zip(columns, scales, strict=True) if seen == [0.0]}
            entry["options"] = [
                option | {"seen": f"{name}={level}" not in absent}
                for option, level in zip(options, levels, strict=True)
            ]
        elif declared["type"] == "categorical":
            entry["options"] = [
                {"label": level, "columns": [float(code)], "seen": scales[0] is None or code in scales[0]}
                for code, level in enumerate(declared["levels"], start=1)
            ]
        else:
            entry |= _number(final["scales"][name]) | {"knots": terms.get("knots", {}).get(name)}
        inputs.append(entry)
    return inputs


def _number(scale: Mapping[str, Any]) -> dict[str, float]:
    low, high = (
        (min(scale["values"]), max(scale["values"])) if "values" in scale else (scale["minimum"], scale["maximum"])
    )
    ticks = pretty(low, high)
    step = (ticks[1] - ticks[0]) / _FINE
    start = ticks[0] + step * round(((low + high) / 2 - ticks[0]) / step)
    return {
        "low": low, "high": high, "from": ticks[0], "to": ticks[-1], "step": round(step, 12), "start": round(start, 12),
    }  # fmt: skip


def _strata(drawn: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """The choice of a stratum, which has no points but hazards of its own."""
    if "strata" not in drawn:
        return None
    known = list(dict.fromkeys(axis["stratum"] for axis in drawn["survival"]))
    return {"label": variables.get(drawn["strata"], {}).get("label", drawn["strata"]), "options": known}


def _prediction(
    name: str,
    final: Mapping[str, Any],
    drawn: Mapping[str, Any],
    event: str,
    unit: str,
    known: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One model's coefficients, their covariance (None: no interval) and outcomes, each with its label.

    A survival has its hazard (cumulative, all columns 0) and stratum, and for its interval variance and drift (see
    `hazard_variance`).
    """
    columns = list(final["coefficients"])
    order = [columns.index(column) for part in terms_of(columns).values() for column in part]  # that of the inputs
    model = {
        "name": name,
        "intercept": final.get("intercept", 0.0),
        "coefficients": [final["coefficients"][columns[place]] for place in order],
        "covariance": None,
    }
    if known:
        wanted = [name for name in known["columns"] if name == "intercept"] + [columns[place] for place in order]
        places = [known["columns"].index(column) for column in wanted]
        model["covariance"] = [[known["covariance"][row][column] for column in places] for row in places]
    if "survival" not in drawn:
        return model | {"outcomes": [{"label": f"Probability of {event}"}]}
    errors = {(step.get("stratum"), step["time"]): step for step in known["baseline"]} if known else {}
    # The hazard of a patient whose columns are all 0: the nomogram has that at 0 points, and counts from the average.
    at_zero = exp(-drawn["intercept"] - float(final.get("center") or 0.0))
    outcomes = []
    for axis in drawn["survival"]:
        outcome = {
            "label": survival_label({"time": axis["time"]}, event, unit, ""),
            "stratum": axis.get("stratum"),
            "hazard": axis["hazard_at_zero_points"] * at_zero,
        }
        if known:
            step = errors[axis.get("stratum"), axis["time"]]
            drift = dict(zip(known["columns"], step["drift"], strict=True))
            outcome |= {"variance": step["variance"], "drift": [drift[columns[place]] for place in order]}
        outcomes.append(outcome)
    return model | {"outcomes": outcomes}


def _drawing(rows: Sequence[Axis], inputs: int, longest: float) -> dict[str, Any]:
    """The drawn nomogram in mm from its upper left corner, and which line shows what.

    Lines: the points, one for each input, and all others, where the total points are read.
    """
    height, placed = nomogram_layout(rows)
    lines = [
        {
            "name": row.lines().split("\n"),
            "level": height - level,
            "ticks": [
                {"at": spot, "end": -end, "middle": middle, "text": text}
                for (spot, middle, text, _), end in zip(row.labels(), row.reaches(), strict=True)
            ],
            "input": number - 1 if 0 < number <= inputs else None,
            "total": number > inputs,
        }
        for number, (level, row) in enumerate(placed)
    ]
    return {
        "width": DOUBLE, "height": height, "left": LABELS, "length": SCALE, "gap": GAP, "longest": longest,
        "text": TEXT * POINT, "small": SMALL * POINT, "lines": lines,
    }  # fmt: skip
