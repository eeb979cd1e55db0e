"""The nomogram of a logistic model: a scale of points per variable, and what their sum means."""

from collections.abc import Mapping
from math import ceil, floor, log10
from typing import Any

import numpy as np

TICKS = 10  # intervals asked of an axis, as rms asks
MOST_POINTS = 100.0
PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_EDGE = 1e-7  # R's pretty() lets a tick stand this far (in steps) inside the range


def nomogram(document: Mapping[str, Any]) -> dict[str, Any]:
    """The nomogram of a fitted LogisticModel, as rms draws it.

    A variable with few values has a tick for each, any other has round numbers that enclose what was observed.

    Args:
        document: the document of a LogisticModel (intercept, coefficients, scales, linear_predictor).

    Returns:
        see `draw_nomogram`; no variables and no points for a model without variables.
    """
    variables = {}
    for name, coefficient in document["coefficients"].items():
        scale = document["scales"][name]
        values = scale["values"] if "values" in scale else pretty(scale["minimum"], scale["maximum"])
        variables[name] = {"values": list(values), "effects": [coefficient * value for value in values]}
    return draw_nomogram(document["intercept"], variables, document["linear_predictor"])


def draw_nomogram(
    intercept: float, variables: Mapping[str, Mapping[str, list]], linear_predictor: tuple[float, float]
) -> dict[str, Any]:
    """Turn effects into points: the variable with the widest effect spans 0 to 100 (Harrell's rms::nomogram).

    Args:
        intercept: of the model.
        variables: by name, `values` (ticks: numbers or levels) and `effects` (coefficient times value of each).
        linear_predictor: least and greatest among the lesions.

    Returns:
        variables: by name, values and points of the ticks; points_per_unit (of the linear predictor);
        total_points: ticks of their axis; linear_predictor and probability: values and total_points of the ticks.
    """
    effects = {name: np.asarray(scale["effects"], dtype=float) for name, scale in variables.items()}
    widest = max((np.ptp(effect) for effect in effects.values()), default=0.0)
    lowest = intercept + sum(effect.min() for effect in effects.values())
    per_unit = MOST_POINTS / widest if widest > 0 else 0.0
    predictors = pretty(*linear_predictor) if per_unit else []
    totals = [(value - lowest) * per_unit for value in predictors]
    shown = [p for p in PROBABILITIES if predictors and predictors[0] <= _log_odds(p) <= predictors[-1]]
    return {
        "variables": {
            name: {"values": list(variables[name]["values"]), "points": ((effect - effect.min()) * per_unit).tolist()}
            for name, effect in effects.items()
        },
        "points_per_unit": float(per_unit),
        "intercept": float(lowest),
        "total_points": pretty(0.0, max(totals)) if totals else [],
        "linear_predictor": {"values": predictors, "total_points": [float(total) for total in totals]},
        "probability": {
            "values": shown,
            "total_points": [float((_log_odds(p) - lowest) * per_unit) for p in shown],
        },
    }


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


def _log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))
