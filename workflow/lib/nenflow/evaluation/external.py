"""External validation: the finished model, as its document has it, in a cohort that had no part in it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from sklearn.pipeline import Pipeline

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.apparent import published_figures
from nenflow.evaluation.calibration import calibration_line
from nenflow.evaluation.concordance import areas_by_time, brier_by_time
from nenflow.evaluation.decision import decision_curve, decision_curve_survival
from nenflow.evaluation.indexes import cox_line
from nenflow.evaluation.judging import expected_events, judge
from nenflow.evaluation.operating import OperatingPoint, above, acted_on
from nenflow.evaluation.resampling import LEVELS, area, concordance
from nenflow.evaluation.survival import at_times, kaplan_meier
from nenflow.models.base import is_survival, outcome_strata, survival_columns
from nenflow.models.protocol import scores
from nenflow.models.shrinkage import intercept_for

FARTHEST = 50.0  # a shift of log odds or log hazards: farther ones are none


def external_figures(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series | pd.DataFrame, acting: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scores of the cohort's units, and how good they are.

    Args:
        protocol: the finished model, from `protocol.from_document`; nothing of it is fitted here.
        X, y: variables and outcome of the cohort, index (patient, region).
        acting: threshold, time and cut_off of the units that the model was made from, see `operating.apparent_rates`.

    Returns:
        the scores as `protocol.scores` gives them, with expected (events) and positive (1 at or above the cut-off); and
        figures (see `judge`) with performance (see `published_figures`).

    Raises:
        InputError: the cohort has only one outcome.
    """
    event = (y["event"] if is_survival(y) else y) == 1
    if not event.any() or (not is_survival(y) and event.all()):
        raise InputError(
            f"In the external cohort {'nobody had' if not event.any() else 'all units have'} the event, so nothing can "
            "be said of the model there; check the endpoint in its table, or take evaluation/external away."
        )
    table = scores(protocol, X, outcome_strata(y) if is_survival(y) else None)
    passed_on = protocol[:-1].transform(X) if len(protocol) > 1 else X
    table["expected"] = expected_events(protocol[-1], passed_on, table, y)
    table["positive"] = above(acted_on(table)[0], acting["cut_off"])
    point = OperatingPoint(acting["threshold"], acting["time"])
    return table, plain({"figures": judge(table, y, point), "performance": published_figures(y, table)})


def validation_figures(y: pd.Series | pd.DataFrame, table: pd.DataFrame, draws: Iterable[np.ndarray]) -> pd.DataFrame:
    """How good predictions are of units that had no part in the model, and what would set them right.

    Van Calster et al., BMC Med 2019; 17:230; of survival McLernon et al., Ann Intern Med 2023; 176:105.

    Args:
        y: outcome, 0 or 1, or columns time and event (2, a competing event, counts as censored).
        table: scores as `protocol.scores` gives them, without missing ones.
        draws: rows of resamples of patients.

    Returns:
        columns measure, time (of survival), value, low, high (percentiles over the resamples that have the figure).
        Measures: auc or c; observed_expected; intercept (calibration in the large: what is to be added to the log odds,
        or to the log hazard at a time, so that as many events are expected as were observed); slope; brier; of a binary
        outcome also line_intercept (which belongs to the slope), of survival also auc at each time.
    """
    found = _figures(y, table)
    drawn = pd.DataFrame([_figures(y.iloc[rows], table.iloc[rows]) for rows in draws], columns=list(found))
    low, high = drawn.quantile(LEVELS).to_numpy() if len(drawn) else np.full((2, len(found)), np.nan)
    measures, times = zip(*found, strict=True)
    columns = {"measure": measures, "time": times, "value": list(found.values()), "low": low, "high": high}
    return pd.DataFrame(columns).astype({"time": float})


def validation_decision(y: pd.Series | pd.DataFrame, table: pd.DataFrame, draws: Iterable[np.ndarray]) -> pd.DataFrame:
    """Decision curves with bootstrap bands; of a time-to-event outcome one per time, with a column time."""
    draws = list(draws)
    if not is_survival(y):
        return decision_curve(y, table["probability"], draws=draws)
    outcome = y["time"].to_numpy(dtype=float), y["event"].to_numpy(dtype=float)
    curves = [
        decision_curve_survival(*outcome, 1 - table[name].to_numpy(), at, draws=draws).assign(time=at)
        for at, name in survival_columns(table).items()
    ]
    return pd.concat(curves, ignore_index=True)


def _figures(y: pd.Series | pd.DataFrame, table: pd.DataFrame) -> dict[tuple[str, float | None], float]:
    """The figures of `validation_figures` by measure and time; NaN where there is none."""
    score = table["linear_predictor"].to_numpy(dtype=float)
    if is_survival(y):
        return _survival_figures(y, score, table)
    event, probability = y.to_numpy(dtype=float), table["probability"].to_numpy(dtype=float)
    mixed = 0 < event.sum() < len(event)
    line = calibration_line(event, score) if mixed else (np.nan, np.nan)
    return {
        ("auc", None): area(event, score),
        ("observed_expected", None): event.sum() / probability.sum(),
        ("intercept", None): intercept_for(score, event.mean()) if mixed else np.nan,
        ("slope", None): line[1],
        ("line_intercept", None): line[0],
        ("brier", None): ((probability - event) ** 2).mean(),
    }


def _survival_figures(y: pd.DataFrame, score: np.ndarray, table: pd.DataFrame) -> dict[tuple[str, float | None], float]:
    time, event = y["time"].to_numpy(dtype=float), y["event"].to_numpy(dtype=float)
    strata, columns = outcome_strata(y), survival_columns(table)
    happened = (event == 1).any()
    c = concordance(np.column_stack([time, event]), score, *([] if strata is None else [strata]))
    found = {("c", None): c, ("slope", None): cox_line(time, event, score, strata)[0] if happened else np.nan}
    observed = at_times(kaplan_meier(time, np.where(event == 2, 0, event)), list(columns))["survival"].to_numpy()
    predicted = table[list(columns.values())].to_numpy(dtype=float)
    reached = np.array([time.max() >= at for at in columns])
    told = score if strata is None else -predicted  # log hazards cannot be compared between strata, survivals can
    areas = _by_time(areas_by_time, time, event, told, columns)
    errors = _by_time(brier_by_time, time, event, predicted, columns)
    for place, at in enumerate(columns):
        survival = observed[place] if reached[place] else np.nan
        found |= {
            ("auc", at): areas[place],
            ("observed_expected", at): (1 - survival) / (1 - predicted[:, place]).mean(),
            ("intercept", at): _hazard_shift(predicted[:, place], survival),
            ("brier", at): errors[place],
        }
    return found


def _by_time(measure: Any, time: np.ndarray, event: np.ndarray, told: np.ndarray, times: Iterable[float]) -> np.ndarray:
    """A measure at each time; NaN where the units have none."""
    try:
        return np.asarray(measure(time, event, told, list(times)), dtype=float)
    except InputError:
        return np.full(len(list(times)), np.nan)


def _hazard_shift(survival: np.ndarray, observed: float) -> float:
    """What is to be added to all log hazards so that the mean predicted survival is the observed one."""
    hazard = -np.log(np.clip(survival, np.finfo(float).tiny, 1.0))
    if not 0 < observed < 1 or not hazard.any():
        return np.nan
    return float(brentq(lambda a: np.exp(-hazard * np.exp(a)).mean() - observed, -FARTHEST, FARTHEST, xtol=1e-12))
