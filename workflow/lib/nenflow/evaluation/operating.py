"""What a score is worth once somebody acts on it: net benefit at a threshold, sensitivity, specificity at a cut-off.

The same two questions are asked of every scheme of validation, so that their figures can stand beside each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.competing import cumulative_incidence
from nenflow.evaluation.concordance import rates_at, youden_cut_off_at
from nenflow.evaluation.decision import net_benefit, net_benefit_survival
from nenflow.evaluation.discrimination import DIGITS, youden_cut_off
from nenflow.models.base import is_survival, survival_columns

RATES = ["net_benefit", "sensitivity", "specificity"]
EXTREMES = (0.01, 0.99)  # thresholds of a decision curve end here


@dataclass(frozen=True)
class OperatingPoint:
    """Where a model is judged as a decision.

    Attributes:
        threshold: risk of the event from which on one acts.
        time: of an outcome that comes with time, the event by then is what counts; None for a binary one.
    """

    threshold: float
    time: float | None = None


def operating_point(y: pd.Series | pd.DataFrame, times: Sequence[float] = ()) -> OperatingPoint:
    """The study's share with the event as threshold; of an outcome with time the incidence by the last of the times.

    At this threshold acting on everybody is worth as much as acting on nobody, that is 0 on the units themselves: a net
    benefit over 0 is what a model adds. (By Kaplan-Meier, and Aalen-Johansen where another event competes.)

    Args:
        y: outcome of all of the study's units, 0 or 1, or columns time and event.
        times: of an outcome that comes with time.
    """
    if not is_survival(y):
        return OperatingPoint(float(np.clip(np.mean(y), *EXTREMES)))
    # a study has times; a model built without any predicts no risk that could be acted on
    at, curve = float(max(times, default=y["time"].max())), cumulative_incidence(y["time"], y["event"])
    by_then = curve.loc[curve["time"] <= at, "incidence"].max()
    return OperatingPoint(float(np.clip(np.nan_to_num(by_then), *EXTREMES)), at)


def acted_on(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """What a cut-off divides, and the risk of the event: linear predictor and probability, or twice the risk by time.

    A stratified Cox model's linear predictors cannot be compared between strata, its risks can.

    Args:
        table: as `protocol.scores` gives it.
    """
    if "probability" in table:
        return table["linear_predictor"].to_numpy(), table["probability"].to_numpy()
    columns = survival_columns(table)
    risk = 1 - table[columns[max(columns)]].to_numpy()
    return risk, risk


def cut_off(outcome: np.ndarray, marker: np.ndarray, point: OperatingPoint) -> float:
    """Youden's cut-off on the units that a model was fitted to; NaN where there is none.

    Args:
        outcome: 0 or 1, shape (n,); or time and event, shape (n, 2).
        marker: from `acted_on`.
    """
    try:
        if point.time is None:
            return youden_cut_off(outcome, marker)
        return youden_cut_off_at(*outcome.T, marker, point.time)
    except InputError:
        return np.nan


def above(marker: np.ndarray, at: float | None) -> np.ndarray:
    """1 where a marker is at or above a cut-off, 0 below, NaN without one (NaN or None); equal as ranks have it."""
    if at is None or np.isnan(at):
        return np.full(len(marker), np.nan)
    return (np.round(marker, DIGITS) >= at).astype(float)


def rates(outcome: np.ndarray, called: np.ndarray, risk: np.ndarray, point: OperatingPoint) -> dict[str, float]:
    """Net benefit, sensitivity and specificity.

    Args:
        outcome: 0 or 1, shape (n,); or time and event, shape (n, 2).
        called: from `above`; each unit by the cut-off of the model that did not see it, say.
        risk: of the event, shape (n,).

    Returns:
        `RATES`; NaN where a figure does not exist.
    """
    thresholds = [point.threshold]
    known = not np.isnan(called).any()
    if point.time is not None:
        time, event = outcome.T
        benefit = net_benefit_survival(time, event, risk, point.time, thresholds)[0]
        both = rates_at(time, event, called, point.time) if known and (event == 1).any() else (np.nan, np.nan)
        return dict(zip(RATES, (float(benefit), *both), strict=True))
    event = outcome == 1
    sensitivity = float(called[event].mean()) if known and event.any() else np.nan
    specificity = float(1 - called[~event].mean()) if known and not event.all() else np.nan
    benefit = float(net_benefit(outcome, risk, thresholds)[0]) if len(outcome) else np.nan
    return dict(zip(RATES, (benefit, sensitivity, specificity), strict=True))


def apparent_rates(y: pd.Series | pd.DataFrame, table: pd.DataFrame, times: Sequence[float] = ()) -> dict[str, Any]:
    """What a finished model's decisions are worth on the units that it was made from.

    Args:
        y: outcome, 0 or 1, or columns time and event.
        table: scores as `protocol.scores` gives them.
        times: of an outcome that comes with time.

    Returns:
        threshold and time (see `OperatingPoint`), cut_off (of what `acted_on` says), and `RATES`.
    """
    point = operating_point(y, times)
    marker, risk = acted_on(table)
    outcome = outcome_values(y)
    at = cut_off(outcome, marker, point)
    found = rates(outcome, above(marker, at), risk, point)
    return {"threshold": point.threshold, "time": point.time, "cut_off": at, **found}


def outcome_values(y: pd.Series | pd.DataFrame) -> np.ndarray:
    """An outcome as the functions here take it: 0 or 1, shape (n,); or time and event, shape (n, 2)."""
    return y[["time", "event"]].to_numpy(dtype=float) if is_survival(y) else y.to_numpy()
