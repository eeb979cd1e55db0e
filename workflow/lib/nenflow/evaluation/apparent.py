"""Apparent figures: how well a finished model does on the very units that it was made from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.calibration import calibration_errors, hosmer_lemeshow, survival_errors
from nenflow.evaluation.concordance import (
    brier_scores,
    harrell_c,
    integrated_brier,
    time_dependent_auc,
    time_dependent_roc,
    time_dependent_roc_band,
    uninformed_brier,
    uno_c,
)
from nenflow.evaluation.decision import decision_curve, decision_curve_survival
from nenflow.evaluation.discrimination import Z95, auc, delong_test, performance, roc_band, roc_curve
from nenflow.evaluation.indexes import cox_indexes, logistic_indexes
from nenflow.evaluation.operating import apparent_rates
from nenflow.evaluation.reclassification import integrated_discrimination, net_reclassification
from nenflow.models.base import SIGNATURE, is_survival, outcome_strata, survival_column, survival_columns


def scores_of(table: pd.DataFrame, model: str) -> dict[str, pd.Series]:
    """The scores of a model's table by name: the Radscore where there is one, and the model's linear predictor."""
    found = {SIGNATURE: table[SIGNATURE], model: table["linear_predictor"]}
    return {name: score for name, score in found.items() if score.notna().any()}


def apparent_figures(
    y: pd.Series | pd.DataFrame,
    table: pd.DataFrame,
    model: str,
    times: Sequence[float],
    draws: Sequence[np.ndarray],
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Discrimination, ROC curves and decision curves of a model.

    Args:
        y: outcome, 0 or 1, or columns time and event; index (patient, region).
        table: scores as `protocol.scores` gives them.
        model: the model's name.
        times: of a time-to-event outcome.
        draws: rows of resamples, for the bands of ROC curves and the intervals of decision curves.

    Returns:
        performance by score (see `performance` and `survival_performance`; of the model also `rates`, see
        `apparent_rates`, and `uninformed_brier`, of survival per time), ROC curves (column score, or time; with a
        band, low and high) and decision curves (see `decision_curve`; of a time-to-event outcome also a column time).
    """
    scores = scores_of(table, model)
    if is_survival(y):
        return _survival_figures(y, table, scores, model, times, draws)
    probability = {model: table["probability"]}
    figures = {name: performance(y, score, probability.get(name)) for name, score in scores.items()}
    figures[model] |= {
        "indexes": logistic_indexes(y, scores[model], fitted_here=True),
        "calibration": calibration_errors(y, table["probability"]),
        "hosmer_lemeshow": hosmer_lemeshow(y, table["probability"]),
        "rates": apparent_rates(y, table),
        "uninformed_brier": _uninformed(y, table["probability"]),
    }
    roc = pd.concat(
        [roc_curve(y, score).assign(**roc_band(y, score, draws), score=name) for name, score in scores.items()]
    )
    return plain(figures), roc, decision_curve(y, table["probability"], draws=draws)


def _uninformed(y: pd.Series, probability: pd.Series) -> float:
    """The Brier score of the same probabilities dealt to the units at random, see `uninformed_brier`."""
    return float((probability**2).mean() - 2 * probability.mean() * y.mean() + y.mean())


def published_figures(y: pd.Series | pd.DataFrame, table: pd.DataFrame, times: Sequence[float] = ()) -> dict[str, Any]:
    """Discrimination and calibration of a finished model on units that it was not made from.

    Args:
        y, table: see `apparent_figures`; the table of a model that only orders units has no risks.
        times: of a time-to-event outcome, where the model itself knows none.

    Returns:
        the block of performance.json of one score, with `indexes` (whose slope is that of the model in these units) and
        `calibration` (distances from the smooth curve; of a time-to-event outcome per time); without risks only what
        the order says, and beside it Radscore and points where there are.
    """
    score = table["linear_predictor"]
    if not has_risks(table):
        return plain(_ordering(y, table, times))
    if not is_survival(y):
        figures = performance(y, score, table["probability"])
        return plain(
            figures
            | {
                "indexes": logistic_indexes(y, score),
                "calibration": calibration_errors(y, table["probability"]),
                "hosmer_lemeshow": hosmer_lemeshow(y, table["probability"], external=True),
            }
        )
    columns = survival_columns(table)
    return plain(_survival_block(y, score, list(columns), table[list(columns.values())].to_numpy()))


def has_risks(table: pd.DataFrame) -> bool:
    """Whether scores hold probabilities or survivals, or only an order."""
    return "probability" in table or bool(survival_columns(table))


def _ordering(y: pd.Series | pd.DataFrame, table: pd.DataFrame, times: Sequence[float]) -> dict[str, Any]:
    """Of a model that gives an order of units and no risks: its slope does not hang on what is missing."""
    names = [name for name in (SIGNATURE, "points") if name in table and table[name].notna().any()]
    if is_survival(y):
        time, event = y["time"].to_numpy(float), y["event"].to_numpy(float)
        figures = {name: survival_performance(y, table[name], times) for name in ["linear_predictor", *names]}
        slope = cox_indexes(time, event, table["linear_predictor"])["slope"]
    else:
        figures = {name: performance(y, table[name]) for name in ["linear_predictor", *names]}
        slope = logistic_indexes(y, table["linear_predictor"])["slope"]
    return figures.pop("linear_predictor") | {"indexes": {"slope": slope}} | figures


def _survival_block(y, score, times: Sequence[float], predicted: np.ndarray, fitted_here: bool = False) -> dict:
    """Of a model whose `predicted` survival has a column per time: discrimination, indexes and calibration."""
    time, event = y["time"].to_numpy(float), y["event"].to_numpy(float)
    return survival_performance(y, score, times, predicted) | {
        "indexes": cox_indexes(time, event, score, fitted_here, outcome_strata(y)),
        "calibration": [
            {"time": at, **survival_errors(time, event, column, at)}
            for at, column in zip(times, predicted.T, strict=True)
        ],
    }


def _survival_figures(y, table, scores: Mapping[str, pd.Series], model, times, draws):
    predicted = table[[survival_column(time) for time in times]].to_numpy()
    figures = {name: survival_performance(y, score, times) for name, score in scores.items() if name != model}
    time, event = y["time"].to_numpy(float), y["event"].to_numpy(float)
    figures[model] = _survival_block(y, scores[model], times, predicted, fitted_here=True) | {
        "rates": apparent_rates(y, table, times),
        "uninformed_brier": uninformed_brier(time, event, predicted, times),
    }
    curves = [
        decision_curve_survival(time, event, 1 - column, at, draws=draws).assign(time=at)
        for at, column in zip(times, predicted.T, strict=True)
    ]
    return (
        plain(figures),
        survival_roc(y, _told(y, scores[model], predicted), times, draws),
        pd.concat(curves, ignore_index=True),
    )


def compare_scores(y: pd.Series | pd.DataFrame, table: pd.DataFrame, model: str) -> pd.DataFrame:
    """What a model adds to its Radscore, on the units that both were made from.

    Args:
        y, table, model: see `apparent_figures`.

    Returns:
        columns measure (AUC, by DeLong's paired test; NRI, continuous; IDI), difference, low, high (95 %), p; empty for
        an outcome that comes with time, a model without Radscore and one that is the Radscore alone.
    """
    columns, scores = ["measure", "difference", "low", "high", "p"], scores_of(table, model)
    if is_survival(y) or len(scores) < 2 or any(np.ptp(score) == 0 for score in scores.values()):
        return pd.DataFrame(columns=columns)
    first, second = scores[SIGNATURE], scores[model]
    found = delong_test(y, second, first)
    difference = auc(y, second) - auc(y, first)
    reach = abs(difference / found["z"]) * Z95 if found["z"] else np.nan
    rows = [("AUC", difference, difference - reach, difference + reach, found["p"])]
    probabilities = expit(first.to_numpy()), table["probability"].to_numpy()
    for name, test in (("NRI", net_reclassification), ("IDI", integrated_discrimination)):
        figures = test(y, *probabilities)
        rows.append((name, *(figures[key] for key in (name.lower(), "low", "high", "p"))))
    return pd.DataFrame(rows, columns=columns)


def survival_performance(y: pd.DataFrame, score, times: Sequence[float], survival=None) -> dict[str, Any]:
    """Discrimination and error of one score on the units it was given: the block of performance.json.

    Args:
        y: columns time, event, and stratum for a stratified model; index (patient, region): units of a patient are
            taken together in the error of C. Units are compared within strata by C, over all of them by the AUCs.
        score: higher means an earlier event, shape (n,).
        times: at which AUC and Brier score are given.
        survival: predicted survival at these times, shape (n, len(times)); None where a score is no model.

    Returns:
        n, events, c, c_interval, uno (Uno's C up to the last of the times; None for a stratified model), auc (rows of
        `time_dependent_auc`), brier (rows of `brier_scores`) and ibs (integrated over these times); the last two None
        without `survival`.
    """
    time, event = y["time"].to_numpy(float), y["event"].to_numpy(float)
    strata = outcome_strata(y)
    found = harrell_c(time, event, score, strata, clusters=y.index.get_level_values("patient"))
    brier = None if survival is None else brier_scores(time, event, survival, times)
    return {
        "n": len(y),
        "events": int((event == 1).sum()),
        "c": found["c"],
        "c_interval": [found["low"], found["high"]],
        "uno": None if strata is not None else uno_c(time, event, score, tau=max(times))["c"],
        "auc": time_dependent_auc(time, event, _told(y, score, survival), times).to_dict("records"),
        "brier": None if brier is None else brier.to_dict("records"),
        "ibs": None if brier is None else integrated_brier(brier["time"], brier["brier"]),
    }


def _told(y: pd.DataFrame, score, survival) -> np.ndarray:
    """What orders units by their risk at each time: the score, unless strata have hazards of their own."""
    return np.asarray(score) if survival is None or "stratum" not in y else -survival


def survival_roc(y: pd.DataFrame, score, times: Sequence[float], draws: Sequence[np.ndarray]) -> pd.DataFrame:
    """Cumulative/dynamic ROC curves with a 95 % band: columns time, threshold, sensitivity, specificity, low, high.

    The score is one per unit, or one per unit and time, as for `time_dependent_auc`; `draws` are rows of resamples.

    A time before the first event, or that nobody reached without one, has no curve.
    """
    columns = ["time", "threshold", "sensitivity", "specificity", "low", "high"]
    curves = [pd.DataFrame(columns=columns)]
    time, event = y["time"].to_numpy(float), y["event"].to_numpy(float)
    for t, column in zip(times, np.broadcast_to(np.asarray(score).T, (len(times), len(y))), strict=True):
        try:
            curve = time_dependent_roc(time, event, column, t)
        except InputError:
            continue  # performance.json has no AUC for it either
        band = time_dependent_roc_band(time, event, column, t, draws)
        curves.append(curve.assign(time=t, **band)[columns])
    return pd.concat(curves[1:] or curves, ignore_index=True)
