"""The nomogram of a logistic or Cox model: a scale of points per variable, and what their sum means.

Drawn as Harrell's rms draws it (Regression Modeling Strategies, 2nd ed. 2015; the first of the kind: Lubsen, Pool & van
der Does 1978, Methods Inf Med 17:127): the widest effect spans 0 to 100 points, every other as much of that as it is
worth.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from nenflow.errors import InputError
from nenflow.models.base import survival_column
from nenflow.models.terms import spline_columns, terms_of

TICKS = 10  # intervals asked of an axis, as rms asks
MOST_POINTS = 100.0
PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SURVIVALS = tuple(step / 20 for step in range(1, 20))
_EDGE = 1e-7  # R's pretty() lets a tick stand this far (in steps) inside the range


def nomogram(document: Mapping[str, Any], terms: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The nomogram of a fitted LogisticModel or CoxModel, as rms draws it.

    A factor has a tick for each level, a variable with few values one for each of them, any other round numbers that
    enclose what was observed. The points of a spline are those at its ticks: its scale may go up and down again.

    Args:
        document: of a LogisticModel (intercept, coefficients, scales, linear_predictor) or a CoxModel (without
            intercept; with baseline, its cumulative hazard at x = 0 by time, times, and center, the mean linear
            predictor, taken as 0 where it is not given). With strata each has axes of survival of its own.
        terms: document of the Terms step the model stands on: factors (levels by variable, the reference first) and
            knots (of splines, by variable); a model without such terms needs none.

    Returns:
        see `draw_nomogram` (with strata, also that variable, and of each survival its stratum); no variables and no
        points for a model without variables.

    Raises:
        InputError: a time of the model lies beyond its follow-up.
        ValueError: the model has columns of a factor or spline that `terms` does not tell of.
    """
    variables = axes_of(document, terms)
    if "baseline" not in document:
        return draw_nomogram(document["intercept"], variables, document["linear_predictor"])
    # rms counts a Cox model's linear predictor from the average patient; which round values it shows depends on that.
    center = float(document.get("center") or 0.0)
    low, high = document["linear_predictor"]
    drawn, survival = {}, []
    for stratum, baseline in _by_stratum(document["baseline"]).items():
        # A stratum that was not followed so long has no axis there; the others may have been.
        times = [time for time in document["times"] if stratum is None or time <= max(baseline["time"])]
        hazards = {time: _hazard_at(baseline, time) * np.exp(center) for time in times}
        drawn = draw_nomogram(-center, variables, (low - center, high - center), hazards)
        survival += [axis if stratum is None else {**axis, "stratum": stratum} for axis in drawn["survival"]]
    return drawn | {"survival": survival} | ({"strata": document["strata"]} if "strata" in document else {})


def axes_of(document: Mapping[str, Any], terms: Mapping[str, Any] | None = None) -> dict[str, dict[str, list]]:
    """The ticks of each variable of a model (see `nomogram`): by name, `values` and their `effects`.

    An effect is what the value adds to the linear predictor: coefficient times value; that of a factor's reference is
    zero.
    """
    coefficients, terms = document["coefficients"], terms or {}
    axes: dict[str, dict[str, list]] = {}
    for name, columns in terms_of(coefficients).items():
        if name in terms.get("factors", {}):
            values = list(terms["factors"][name])
            effects = [float(coefficients.get(f"{name}={level}", 0.0)) for level in values]
        else:
            if columns[0] != name:
                raise ValueError(f"the column {columns[0]} is of a factor whose levels the terms do not tell")
            scale = document["scales"][name]
            values = list(scale["values"]) if "values" in scale else pretty(scale["minimum"], scale["maximum"])
            knots = terms.get("knots", {}).get(name)
            basis = spline_columns(values, knots) if knots else np.array(values, dtype=float)[:, None]
            if basis.shape[1] != len(columns):
                raise ValueError(f"the columns {columns} are of a spline whose knots the terms do not tell")
            effects = (basis @ np.array([coefficients[column] for column in columns], dtype=float)).tolist()
        axes[name] = {"values": values, "effects": effects}
    return axes


def draw_nomogram(
    intercept: float,
    variables: Mapping[str, Mapping[str, Sequence]],
    linear_predictor: Sequence[float],
    hazards: Mapping[float, float] | None = None,
) -> dict[str, Any]:
    """Turn effects into points: the variable with the widest effect spans 0 to 100.

    Args:
        intercept: of the model.
        variables: by name, `values` (ticks: numbers or levels) and `effects` (coefficient times value of each).
        linear_predictor: least and greatest among the lesions; probabilities and survivals are shown within the round
            numbers that enclose them.
        hazards: of a Cox model, the cumulative hazard at linear predictor 0 by time; it takes the probability's place.

    Returns:
        variables: by name, values and points of the ticks; points_per_unit (of the linear predictor); intercept: the
        linear predictor at zero points; total_points: ticks of their axis; linear_predictor: values and total_points
        of the ticks; and `probability`, the same, or `survival`: for each time a dict of time, values, total_points
        and hazard_at_zero_points (cumulative).

        rms finds the places on its axes of probability and survival by interpolation, here they are exact: they differ
        by up to 1e-3 points.
    """
    effects = {name: np.asarray(scale["effects"], dtype=float) for name, scale in variables.items()}
    widest = max((np.ptp(effect) for effect in effects.values()), default=0.0)
    lowest = float(intercept + sum(effect.min() for effect in effects.values()))
    per_unit = MOST_POINTS / widest if widest > 0 else 0.0
    predictors = pretty(*linear_predictor) if per_unit else []
    totals = [(value - lowest) * per_unit for value in predictors]
    document = {
        "variables": {
            name: {"values": list(variables[name]["values"]), "points": ((effect - effect.min()) * per_unit).tolist()}
            for name, effect in effects.items()
        },
        "points_per_unit": float(per_unit),
        "intercept": lowest,
        "total_points": pretty(0.0, max(totals)) if totals else [],
        "linear_predictor": {"values": predictors, "total_points": [float(total) for total in totals]},
    }
    if hazards is None:
        return document | {"probability": _shown(document, PROBABILITIES, logit(PROBABILITIES))}
    survival = []
    for time, hazard in hazards.items():
        with np.errstate(divide="ignore"):  # before the first event nobody's survival is under 1
            places = np.log(-np.log(SURVIVALS)) - np.log(hazard)
        zero = float(hazard * np.exp(lowest))
        survival.append({"time": float(time), "hazard_at_zero_points": zero, **_shown(document, SURVIVALS, places)})
    return document | {"survival": survival}


def points_table(drawn: Mapping[str, Any]) -> pd.DataFrame:
    """The nomogram as a table, to be read without the drawing.

    Args:
        drawn: the document of `nomogram`.

    Returns:
        columns part ("points" of a variable's value, or "total points" of an outcome), variable (of a total:
        probability, or survival_<time>, with strata followed by the stratum), value, points (not rounded).
    """
    rows = [
        ("points", name, value, points)
        for name, scale in drawn["variables"].items()
        for value, points in zip(scale["values"], scale["points"], strict=True)
    ]
    for name, axis in _outcomes(drawn):
        rows += [
            ("total points", name, value, points)
            for value, points in zip(axis["values"], axis["total_points"], strict=True)
        ]
    return pd.DataFrame(rows, columns=["part", "variable", "value", "points"])


def read_off(drawn: Mapping[str, Any], total_points: Sequence[float]) -> pd.DataFrame:
    """What sums of points mean: column probability, or columns survival_<time>; one row per sum."""
    if not drawn["points_per_unit"]:
        raise InputError("A model without variables has no points; its only prediction is that of everybody.")
    units = np.asarray(total_points, dtype=float) / drawn["points_per_unit"]
    if "probability" in drawn:
        return pd.DataFrame({"probability": expit(drawn["intercept"] + units)})
    return pd.DataFrame(
        {name: np.exp(-axis["hazard_at_zero_points"] * np.exp(units)) for name, axis in _outcomes(drawn)}
    )


def pretty(low: float, high: float, n: int = TICKS) -> list[float]:
    """About n steps of 1, 2 or 5 times a power of ten that enclose low to high, as R's pretty() chooses them.

    After R's documentation of pretty, with its default biases (high.u.bias 1.5, u5.bias 2.75) towards larger steps.
    """
    span = high - low
    size = max(abs(low), abs(high))
    # a span of mere rounding is none
    cell = span / n if span > size * 1e-10 else (size or 1.0) / n
    base = 10.0 ** floor(log10(cell))
    bias, bias5 = 1.5, 2.75
    unit = base
    for factor, limit in ((2, bias), (5, bias5), (10, bias)):
        if factor * base - cell < limit * (cell - unit):
            unit = factor * base
        else:
            break
    first, last = floor(low / unit + _EDGE), ceil(high / unit - _EDGE)
    # one rounding, so that 3 * 0.2 is 0.6
    digits = max(0, -floor(log10(unit)))
    return [round(step * unit, digits) for step in range(first, last + 1)]


def _shown(document: Mapping[str, Any], values: Sequence[float], predictors: np.ndarray) -> dict[str, list[float]]:
    """The ticks of an outcome that lie on the axis of the linear predictor, and their total points."""
    ends = document["linear_predictor"]["values"]
    ticks = [(v, p) for v, p in zip(values, predictors, strict=True) if ends and ends[0] <= p <= ends[-1]]
    return {
        "values": [value for value, _ in ticks],
        "total_points": [float((p - document["intercept"]) * document["points_per_unit"]) for _, p in ticks],
    }


def _outcomes(drawn: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The axes under the total points, by the name of their column."""
    if "probability" in drawn:
        return [("probability", drawn["probability"])]
    named = ((" ".join([survival_column(axis["time"]), axis.get("stratum", "")]), axis) for axis in drawn["survival"])
    return [(name.strip(), axis) for name, axis in named]


def _by_stratum(baseline: Mapping[str, Sequence]) -> dict[str | None, dict[str, list]]:
    """The baseline hazard of each stratum; under None where there are none."""
    if "stratum" not in baseline:
        return {None: dict(baseline)}
    groups = pd.DataFrame(baseline).groupby("stratum", sort=True)
    return {stratum: {name: rows[name].tolist() for name in ("time", "hazard")} for stratum, rows in groups}


def _hazard_at(baseline: Mapping[str, Sequence[float]], time: float) -> float:
    """Cumulative baseline hazard at a time: a step function, zero before the first time."""
    times, hazards = baseline["time"], baseline["hazard"]
    if time > max(times):
        raise InputError(
            f"The follow-up of this model ends at {max(times):g}, so that a nomogram cannot show survival at {time:g}; "
            "choose earlier times for the endpoint."
        )
    place = int(np.searchsorted(times, time, side="right"))
    return float(hazards[place - 1]) if place else 0.0
