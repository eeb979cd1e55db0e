"""How much of the outcome a model's linear predictor explains: the indexes of rms::validate, apparent or elsewhere."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numba import njit
from scipy.special import chdtrc, expit, logit, xlogy

from nenflow.evaluation.calibration import calibration_line
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.discrimination import auc, brier, check_outcome, rank_correlations
from nenflow.models.cox import fit_cox
from nenflow.models.logistic import fit_logistic

EMAX_GRID = np.arange(1, 2000) / 2000  # probabilities at which the greatest error of a calibration line is sought


def gini_mean_difference(values) -> float:
    """Mean absolute difference of two units (Gini): Harrell's g-index when the values are linear predictors.

    Exp of it is the typical odds or hazard ratio between two units (g_r); of probabilities it is g_p.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    return float(2 * ((2 * np.arange(1, n + 1) - n - 1) * ordered).sum() / (n * (n - 1))) if n > 1 else np.nan


def log_likelihood(y, probability) -> float:
    """Log-likelihood of 0/1 outcomes; minus infinity where a probability of 0 or 1 turned out wrong."""
    y, p = np.asarray(y, dtype=float), np.asarray(probability, dtype=float)
    return float((xlogy(y, p) + xlogy(1 - y, 1 - p)).sum())


def logistic_indexes(y, linear_predictor, fitted_here: bool = False) -> dict[str, float]:
    """Indexes of accuracy of a logistic model on any units, as rms::validate.lrm.

    Harrell, Lee and Mark, Stat Med 1996; 15:361; Miller, Hui and Tierney, Stat Med 1991; 10:1213 (D, U, Q).

    Args:
        y: 0/1 per unit, 1 = event.
        linear_predictor: the model's log odds per unit.
        fitted_here: the model was fitted to these very units, so that its calibration line is 0 and 1 (as rms takes
            it; after a penalised fit it is not quite so).

    Returns:
        dxy (2 AUC - 1); r2 (Nagelkerke's, of the linear predictor after recalibration); intercept and slope of the
        calibration line; d, u, q (discrimination, unreliability and their difference, in log-likelihood per unit);
        brier; g and gp (Gini's mean difference of the linear predictor and of the probability, both after
        recalibration). NaN where there is no line: intercept, slope, g and gp of a linear predictor that separates
        the classes, intercept and slope of a constant one (to which rms gives a slope of 1, as if a model without
        variables were well calibrated).
    """
    event, _ = check_outcome(y, linear_predictor)
    score, n = np.asarray(linear_predictor, dtype=float), len(event)
    null = log_likelihood(event, np.full(n, event.mean()))
    as_is = log_likelihood(event, expit(score))
    line, best, recalibrated = ((0.0, 1.0), as_is, score) if fitted_here else _recalibrate(event, score)
    ratio = 2 * (best - null)
    d, u = (ratio - 1) / n, (2 * (best - as_is) - 2) / n
    return {
        "dxy": 2 * auc(event, score) - 1,
        "r2": float((1 - np.exp(-ratio / n)) / (1 - np.exp(2 * null / n))),
        "intercept": line[0],
        "slope": line[1],
        "d": d,
        "u": u,
        "q": d - u,
        "brier": brier(event, expit(score)),
        "g": gini_mean_difference(recalibrated),
        "gp": gini_mean_difference(expit(recalibrated)),
    }


def _recalibrate(event: np.ndarray, score: np.ndarray) -> tuple[tuple[float, float], float, np.ndarray]:
    """Calibration line, its log-likelihood and the score after it; NaN where there is no line."""
    if np.ptp(score) == 0:
        share = event.mean()
        return (np.nan, np.nan), log_likelihood(event, np.full(len(event), share)), np.full(len(event), logit(share))
    line = calibration_line(event, score)
    if np.isnan(line[1]):
        # a score that varies and has no line separates the classes; its likelihood still has a supremum
        scaled = (score - score.mean()) / score.std()
        return line, fit_logistic(scaled[:, None], event).log_likelihood, np.full(len(event), np.nan)
    recalibrated = line[0] + line[1] * score
    return line, log_likelihood(event, expit(recalibrated)), recalibrated


def cox_indexes(time, event, linear_predictor, fitted_here: bool = False, strata=None) -> dict[str, float]:
    """Indexes of accuracy of a Cox model on any units, as rms::validate.cph; Efron's ties.

    Harrell, Lee and Mark, Stat Med 1996; 15:361. As in rms, U is less 2 / -2 log L(0) only on the units that the model
    was fitted to, where it has no other part; `logistic_indexes` takes it off everywhere, also as rms.

    Args:
        time, event: time to event > 0; 1 event, 0 censored, 2 competing event (counts as censored).
        linear_predictor: the model's log hazard per unit.
        fitted_here: the model was fitted to these very units, so that its slope is 1.
        strata: label per unit, of a stratified model: C and likelihoods compare within strata then.

    Returns:
        dxy (2 C - 1); r2 (Nagelkerke's, after recalibration); slope of a Cox model in the linear predictor; d, u, q (in
        -2 log-likelihood over that without variables); g (Gini's mean difference after recalibration). Slope and g are
        NaN where the linear predictor is constant or its likelihood monotone.
    """
    score, n = np.asarray(linear_predictor, dtype=float), len(time)
    slope, best, null = cox_line(time, event, score, strata)
    as_is = partial_log_likelihood(time, event, score, strata)
    if fitted_here:
        slope, best = 1.0, as_is
    ratio = 2 * (best - null)
    d, u = (ratio - 1) / (-2 * null), (2 * (best - as_is) - 2 * fitted_here) / (-2 * null)
    return {
        "dxy": 2 * harrell_c(time, event, score, strata)["c"] - 1,
        "r2": float((1 - np.exp(-ratio / n)) / (1 - np.exp(2 * null / n))),
        "slope": slope,
        "d": d,
        "u": u,
        "q": d - u,
        "g": gini_mean_difference(slope * score),
    }


def cox_line(time, event, linear_predictor, strata=None) -> tuple[float, float, float]:
    """Slope of a Cox model (Efron) in a linear predictor, its log-likelihood and that without variables.

    The slope is NaN where there is no finite one; `strata` (a label per unit) have a baseline hazard each.
    """
    score = np.asarray(linear_predictor, dtype=float)
    spread = score.std() or 1.0
    fit = fit_cox(((score - score.mean()) / spread)[:, None], time, event, strata=strata)
    slope = np.nan if fit.separated or fit.aliased[0] else float(fit.coef[0] / spread)
    return slope, fit.log_likelihood, fit.null_log_likelihood


def partial_log_likelihood(time, event, linear_predictor, strata=None) -> float:
    """Log partial likelihood (Efron's ties) of log hazards as they stand, nothing being fitted; summed over strata."""
    time, event, score = np.asarray(time, float), np.asarray(event) == 1, np.asarray(linear_predictor, float)
    strata, total = np.zeros(len(time)) if strata is None else np.asarray(strata), 0.0
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        order = rows[np.argsort(-time[rows], kind="stable")]
        total += _partial_log_likelihood(time[order], event[order], score[order])
    return float(total)


@njit(cache=True)
def _partial_log_likelihood(time, event, score):
    """Rows by falling time."""
    n, total, at_risk = time.size, 0.0, 0.0
    hazard = np.exp(score - score.max())
    shift = score.max()
    first = 0
    while first < n:
        last, deaths, dying = first, 0, 0.0
        while last < n and time[last] == time[first]:
            at_risk += hazard[last]
            if event[last]:
                deaths += 1
                dying += hazard[last]
                total += score[last]
            last += 1
        for k in range(deaths):
            total -= np.log(at_risk - k / deaths * dying) + shift
        first = last
    return total


def line_error(intercept: float, slope: float) -> float:
    """Emax of rms::validate: the greatest distance between a probability and its recalibration by the line."""
    return float(np.abs(EMAX_GRID - expit(intercept + slope * logit(EMAX_GRID))).max())


def likelihood_statistics(ratio: float, null: float, n: int, parameters: int, effective: float) -> dict[str, float]:
    """Likelihood-ratio test of a whole model and its pseudo R2, as rms prints them.

    Nagelkerke, Biometrika 1991; 78:691 (r2); Maddala 1983 and Cox and Snell 1989 (r2_n = 1 - exp(-LR/n)), each also
    less the number of parameters (_adjusted), and with the effective sample size instead of n (_effective): 3 n q (1-q)
    for a share of events q, the number of events for time to event.

    Args:
        ratio: the model's likelihood ratio chi-square.
        null: log-likelihood without variables.
        n, parameters, effective: units, coefficients (no intercept) and effective sample size.
    """
    return {
        "lr_chi2": ratio,
        "df": parameters,
        "p": float(chdtrc(parameters, max(ratio, 0.0))) if parameters else np.nan,
        "r2": float((1 - np.exp(-ratio / n)) / (1 - np.exp(2 * null / n))),
        "r2_n": float(1 - np.exp(-ratio / n)),
        "r2_n_adjusted": float(1 - np.exp(-(ratio - parameters) / n)),
        "r2_effective": float(1 - np.exp(-ratio / effective)),
        "r2_effective_adjusted": float(1 - np.exp(-(ratio - parameters) / effective)),
    }


def logistic_statistics(y, linear_predictor, parameters: int) -> dict[str, float]:
    """What rms::lrm prints of a model on the units that it was fitted to.

    Differs from lrm in that pairs are tied only where scores are equal, see `rank_correlations`.

    Returns:
        n, events; the entries of `likelihood_statistics`; c, dxy, gamma, tau_a; brier; g, gr, gp.
    """
    event, _ = check_outcome(y, linear_predictor)
    score, n, share = np.asarray(linear_predictor, dtype=float), len(event), event.mean()
    null = log_likelihood(event, np.full(n, share))
    ratio = 2 * (log_likelihood(event, expit(score)) - null)
    g = gini_mean_difference(score)
    return (
        {"n": n, "events": int(event.sum())}
        | likelihood_statistics(ratio, null, n, parameters, 3 * n * share * (1 - share))
        | {"c": auc(event, score)}
        | rank_correlations(event, score)
        | {"brier": brier(event, expit(score)), "g": g, "gr": float(np.exp(g))}
        | {"gp": gini_mean_difference(expit(score))}
    )


def validation_table(apparent: Mapping[str, float], train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Indexes corrected for optimism over resamples: the table that rms::validate prints.

    Efron's bootstrap as in Harrell, Lee and Mark (Stat Med 1996; 15:361). The optimism of an index is the mean of
    (training - test) over the resamples in which both exist; training and test are means over the same resamples.

    Args:
        apparent: the finished model's indexes on its own units.
        train, test: one row per resample, one column per index: the refitted model on the units drawn and on all.

    Returns:
        One row per index (index "index"): apparent, training, test, optimism, corrected, resamples. With an intercept
        and a slope there is also "emax", the error of the mean line (see `line_error`), whose optimism is test -
        training.
    """
    rows = {}
    for name, value in apparent.items():
        pairs = pd.DataFrame({"train": train[name], "test": test[name]}).astype(float).dropna()
        optimism = float((pairs["train"] - pairs["test"]).mean())
        means = [float(pairs["train"].mean()), float(pairs["test"].mean())]
        rows[name] = [value, *means, optimism, value - optimism, len(pairs)]
    columns = ["apparent", "training", "test", "optimism", "corrected", "resamples"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    if {"intercept", "slope"} <= set(table.index):
        line = table.loc[["intercept", "slope"]]
        error = [line_error(*line[part]) for part in ("apparent", "training", "test")]
        gain = error[2] - error[1]
        table.loc["emax"] = [*error, gain, error[0] + gain, line.loc["slope", "resamples"]]
    return table.astype({"resamples": int}).rename_axis("index")


def cox_statistics(time, event, linear_predictor, parameters: int) -> dict[str, float]:
    """What rms::cph prints of a model on the units that it was fitted to (less its score test).

    Returns:
        n, events; the entries of `likelihood_statistics`; c, dxy; g, gr.
    """
    score, events = np.asarray(linear_predictor, dtype=float), int((np.asarray(event) == 1).sum())
    null = cox_line(time, event, score)[2]
    ratio = 2 * (partial_log_likelihood(time, event, score) - null)
    c, g = harrell_c(time, event, score)["c"], gini_mean_difference(score)
    return (
        {"n": len(score), "events": events}
        | likelihood_statistics(ratio, null, len(score), parameters, events)
        | {"c": c, "dxy": 2 * c - 1, "g": g, "gr": float(np.exp(g))}
    )
