"""How sure a final model is of its predictions: the covariance of its coefficients and of its baseline hazard.

The intervals tell of the estimated coefficients only: the variables that were chosen, and a Radscore, count as given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from nenflow.documents import plain
from nenflow.evaluation.discrimination import Z95
from nenflow.models.base import is_survival, linear_predictor, outcome_strata, survival_column, values_of
from nenflow.models.regression import Regression


def uncertainty(
    document: Mapping[str, Any], X: pd.DataFrame, y: pd.Series | pd.DataFrame, filled: pd.DataFrame, seed: int
) -> dict[str, Any]:
    """Covariance of a final model's estimates, by the very fit that its document has.

    Args:
        document: of a LogisticModel or CoxModel.
        X, y: the table that it was fitted to.
        filled: the same without missing values.
        seed: of the study, for values that were imputed.

    Returns:
        columns (the intercept first, where there is one) and covariance (rows, null for an aliased column); of a Cox
        model also baseline: per time (and stratum) the cumulative hazard at 0, its variance were the coefficients
        known, and drift, what it changes by when a coefficient does (see `hazard_variance`).
    """
    options = {key: document[key] for key in ("ties", "robust") if key in document}
    regression = Regression(X, y, document.get("imputations", 0), seed, **options)
    fit = regression.fit(document["variables"], firth=document["separated"])
    columns = ["intercept"] * regression.kind.intercept + list(document["variables"])
    found = {"columns": columns, "covariance": fit.covariance}
    if is_survival(y):
        values = values_of(filled, document["variables"]) if document["variables"] else np.empty((len(y), 0))
        predictor = linear_predictor(document, filled)
        strata = outcome_strata(y)
        outcome = y["time"].to_numpy(dtype=float), y["event"].to_numpy()
        found["baseline"] = []
        for stratum in [None] if strata is None else np.unique(strata).tolist():
            rows = np.full(len(y), True) if stratum is None else strata == stratum
            of_stratum = (part[rows] for part in (values, predictor, *outcome))
            steps = hazard_variance(*of_stratum, document["times"], document["ties"] == "efron")
            found["baseline"] += [step if stratum is None else {"stratum": stratum} | step for step in steps]
    return plain(found)


def hazard_variance(
    values: np.ndarray, predictor: np.ndarray, time: np.ndarray, event: np.ndarray, times: Sequence[float], efron: bool
) -> list[dict[str, Any]]:
    """What the variance of a Cox model's cumulative hazard is made of at some times.

    Tsiatis, Ann Stat 1981; 9:93; with Efron's ties as R's survfit. Of a patient with the columns x and the linear
    predictor lp it is exp(2 lp) (variance + d' V d), where d = hazard x - drift and V is the covariance of the
    coefficients.

    Args:
        values: columns, shape (n, k).
        predictor: linear predictor, shape (n,).
        time, event: see `fit_cox`.
        times: where it is wanted.
        efron: Efron's way with ties, else Breslow's.

    Returns:
        per time: time, hazard (where all columns are 0), variance, drift (a number per column).
    """
    risk, died = np.exp(predictor), event == 1
    moments = []
    for at in np.unique(time[died]):
        under, now = time >= at, died & (time == at)
        for turn in range(int(now.sum())):
            weight = risk * under - (turn / now.sum() if efron else 0.0) * risk * now
            moments.append((at, 1 / weight.sum(), weight @ values / weight.sum()))
    found = []
    for at in times:
        before = [(step, mean) for when, step, mean in moments if when <= at]
        steps = np.array([step for step, _ in before])
        means = np.array([mean for _, mean in before]).reshape(len(before), values.shape[1])
        found.append({"time": at, "hazard": steps.sum(), "variance": (steps**2).sum(), "drift": steps @ means})
    return found


def prediction_intervals(
    known: Mapping[str, Any], document: Mapping[str, Any], X: pd.DataFrame, strata: Sequence[str] | None = None
) -> pd.DataFrame:
    """95 % intervals of a final model's predictions.

    Of a probability on the scale of log odds; of survival on the scale of its logarithm, as R's survfit, within 0 to 1.

    Args:
        known: from `uncertainty`.
        document: of the final model.
        X: its columns without missing values, a row per unit.
        strata: of each unit, where the Cox model has strata.

    Returns:
        columns probability_low and _high, or survival_<time>_low and _high; NaN where a column is aliased.
    """
    covariance = np.array(known["covariance"], dtype=float).reshape(len(known["columns"]), len(known["columns"]))
    names = [name for name in known["columns"] if name != "intercept"]
    values = values_of(X, names) if names else np.empty((len(X), 0))
    predictor = linear_predictor(document, X)
    if "baseline" not in known:
        contrast = np.column_stack([np.ones(len(X)), values])
        reach = Z95 * np.sqrt(np.einsum("ij,jk,ik->i", contrast, covariance, contrast))
        ends = {"low": expit(predictor - reach), "high": expit(predictor + reach)}
        return pd.DataFrame({f"probability_{end}": value for end, value in ends.items()}, index=X.index)
    table = pd.DataFrame(index=X.index)
    for time in document["times"]:
        low, high = np.empty(len(X)), np.empty(len(X))
        for step in (step for step in known["baseline"] if step["time"] == time):
            rows = np.full(len(X), True) if strata is None else np.asarray(strata) == step["stratum"]
            away = step["hazard"] * values[rows] - np.array(step["drift"])
            variance = step["variance"] + np.einsum("ij,jk,ik->i", away, covariance, away)
            reach = Z95 * np.exp(predictor[rows]) * np.sqrt(variance)
            log_survival = -step["hazard"] * np.exp(predictor[rows])
            low[rows], high[rows] = np.exp(log_survival - reach), np.exp(np.minimum(log_survival + reach, 0.0))
        table[f"{survival_column(time)}_low"], table[f"{survival_column(time)}_high"] = low, high
    return table
