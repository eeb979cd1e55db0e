from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtr
from statsmodels.nonparametric.smoothers_lowess import lowess

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import Z95, check_outcome, exact_interval
from nenflow.evaluation.survival import at_times, kaplan_meier
from nenflow.models.cox import fit_cox, hazard_steps, survival_at
from nenflow.models.logistic import fit_logistic
from nenflow.models.terms import spline_columns, spline_knots

SPAN = 2 / 3  # share of the units in each local line: the default of R's lowess, used by rms::calibrate
SKIP = 0.01  # neighbours within 1 % of the range share a fit, as in R's lowess; part of its definition, not only speed
GRID = np.arange(1, 100) / 100  # predicted probabilities at which curves are compared
EDGE = 5  # curves are shown from the 5th lowest to the 5th highest prediction: beyond, they hang on single units
ROUNDING = 1e-12
KNOTS = 3  # of the spline through predicted survival: few events, so few knots
EXTREME = 1e-9  # survival this close to 0 or 1 is moved there, since its log(-log) has no end


def calibration_curve(y, probability, grid) -> np.ndarray:
    """Observed share of events as a smooth function of the predicted probability (lowess, no robustness steps).

    Cleveland, J Am Stat Assoc 1979; 74:829. Same numbers as R's lowess(p, y, iter = 0) read at the grid by linear
    interpolation, as rms::calibrate does.

    Args:
        y: 0/1 per unit, 1 = event.
        probability: predicted probability per unit.
        grid: probabilities at which to read the curve.

    Returns:
        One value per grid point; NaN outside the range of the predictions (nothing is extrapolated) and everywhere
        for predictions that are all equal.
    """
    y, probability = np.asarray(y, dtype=float), np.asarray(probability, dtype=float)
    order = np.argsort(probability, kind="stable")
    x, y = probability[order], y[order]
    width = x[-1] - x[0]
    if not width > 0:
        return np.full(len(grid), np.nan)
    smooth = lowess(y, x, frac=SPAN, it=0, delta=SKIP * width, is_sorted=True, return_sorted=False)
    x, first = np.unique(x, return_index=True)
    return np.interp(grid, x, smooth[first], left=np.nan, right=np.nan)


def calibration_line(y, linear_predictor) -> tuple[float, float]:
    """Intercept and slope of a logistic regression of the outcome on a model's linear predictor (Cox 1958).

    0 and 1 are perfect; a slope below 1 means predictions too extreme. NaN, NaN where there is no finite solution: a
    constant linear predictor, or one that separates the classes.
    """
    event, score = check_outcome(y, linear_predictor)
    centre, spread = score.mean(), score.std()
    if not spread > 0:
        return np.nan, np.nan
    fit = fit_logistic(((score - centre) / spread)[:, None], event)
    if fit.separated or fit.aliased[1]:
        return np.nan, np.nan
    slope = fit.coef[1] / spread
    return float(fit.coef[0] - slope * centre), float(slope)


def calibration_errors(y, probability) -> dict[str, float]:
    """Distance between predicted probability and smooth calibration curve, over the units (absolute values).

    Austin and Steyerberg, Stat Med 2019; 38:4051. Their curve is R's loess (quadratic, span 0.75); here it is that of
    `calibration_curve`, which rms draws, so that figures and curve belong together: the same as Eavg, E90 and Emax of
    rms::val.prob.

    Returns:
        ici (mean), e50 (median), e90 (90th percentile), emax; NaN for predictions that are all equal.
    """
    check_outcome(y, probability)
    probability = np.asarray(probability, dtype=float)
    return _errors(calibration_curve(y, probability, probability) - probability)


def _errors(distance: np.ndarray) -> dict[str, float]:
    size = np.abs(distance)
    return {
        "ici": float(size.mean()),
        "e50": float(np.quantile(size, 0.5)),
        "e90": float(np.quantile(size, 0.9)),
        "emax": float(size.max()),
    }


def probability_groups(probability, groups: int = 10) -> np.ndarray:
    """Number of the group, from 0, of each unit when the units are cut at the quantiles of their probabilities.

    Equal probabilities stay together and quantiles that coincide are one cut (R's cut at unique(quantile(p))), so there
    may be fewer groups, of unequal size.
    """
    probability = np.asarray(probability, dtype=float)
    cuts = np.unique(np.quantile(probability, np.linspace(0, 1, groups + 1)))
    # quantiles are interpolated: one that equals a probability may miss it by the last digit
    return np.searchsorted(cuts[1:-1] + ROUNDING, probability, side="left")


def calibration_groups(y, probability, groups: int = 10) -> pd.DataFrame:
    """Observed share of events in groups of rising predicted probability.

    Returns:
        One row per group: predicted (mean probability), observed (share of events), low, high (its exact 95 %
        interval), n, events, expected (sum of the probabilities).
    """
    event, _ = check_outcome(y, probability)
    units = pd.DataFrame({"event": event, "p": np.asarray(probability, dtype=float)})
    grouped = units.groupby(probability_groups(probability, groups))
    n, events, expected = grouped.size(), grouped["event"].sum().astype(int), grouped["p"].sum()
    low, high = zip(*(exact_interval(k, m) for k, m in zip(events, n, strict=True)), strict=True)
    columns = {"predicted": expected / n, "observed": events / n, "low": low, "high": high}
    return pd.DataFrame(columns | {"n": n, "events": events, "expected": expected}).reset_index(drop=True)


def hosmer_lemeshow(y, probability, groups: int = 10, external: bool = False) -> dict[str, float]:
    """Goodness of fit by groups of risk (Hosmer and Lemeshow, Commun Stat Theory Methods 1980; 9:1043).

    With few units it says little either way: no small p does not mean well calibrated.

    Args:
        y: 0/1 per unit, 1 = event.
        probability: predicted probability per unit.
        groups: see `probability_groups`.
        external: the model was not fitted to these units; the statistic then has as many degrees of freedom as there
            are groups, else two fewer.

    Returns:
        groups, chi2, df, p; chi2 and p NaN where a group's probabilities are all 0 or 1 or no degree of freedom is
        left.
    """
    table = calibration_groups(y, probability, groups)
    n, expected = table["n"], table["expected"]
    df = len(table) if external else len(table) - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = float(((table["events"] - expected) ** 2 / (expected * (1 - expected / n))).sum(skipna=False))
    if not (np.isfinite(statistic) and df > 0):
        statistic = np.nan
    return {"groups": len(table), "chi2": statistic, "df": df, "p": float(chdtrc(df, statistic)) if df > 0 else np.nan}


def spiegelhalter_test(y, probability) -> dict[str, float]:
    """Whether the Brier score is what the probabilities themselves let expect (Spiegelhalter, Stat Med 1986; 5:421).

    Returns:
        z and two-sided p; NaN where all probabilities are 0, 0.5 or 1.
    """
    event, p = check_outcome(y, probability)
    p = np.asarray(probability, dtype=float)
    variance = ((1 - 2 * p) ** 2 * p * (1 - p)).sum()
    z = ((event - p) * (1 - 2 * p)).sum() / np.sqrt(variance) if variance > 0 else np.nan
    return {"z": float(z), "p": float(2 * ndtr(-abs(z)))}


def curve_optimism(y_train, p_train, y_test, p_test, grid) -> np.ndarray:
    """How much better a refitted model's calibration curve looks on its own resample than on the original units.

    The per-resample term of rms::calibrate: training curve minus test curve at each grid point, NaN where one of the
    two does not reach.
    """
    return calibration_curve(y_train, p_train, grid) - calibration_curve(y_test, p_test, grid)


def corrected_curve(y, probability, optimism: pd.DataFrame) -> pd.DataFrame:
    """Calibration curve of a model, apparent and corrected for optimism (Harrell, Regression Modeling Strategies).

    Args:
        y: 0/1 per unit, 1 = event.
        probability: the finished model's probabilities.
        optimism: columns resample, predicted (the grid), optimism, as `refit_resamples` gives; one row per resample
            and grid point.

    Returns:
        Columns predicted (grid points from the 5th lowest to the 5th highest probability, as rms::calibrate),
        apparent, corrected (apparent minus the mean optimism over the resamples that reach the point), resamples (how
        many did).
    """
    return _corrected(lambda grid: calibration_curve(y, probability, grid), probability, optimism)


def _corrected(curve: Callable[[np.ndarray], np.ndarray], predicted, optimism: pd.DataFrame) -> pd.DataFrame:
    ordered = np.sort(np.asarray(predicted, dtype=float))
    edge = min(EDGE, (len(ordered) + 1) // 2)
    shown = optimism["predicted"].between(ordered[edge - 1] - ROUNDING, ordered[-edge] + ROUNDING)
    at_point = optimism[shown].groupby("predicted")["optimism"].agg(["mean", "count"])
    grid = at_point.index.to_numpy()
    apparent = curve(grid)
    return pd.DataFrame(
        {
            "predicted": grid,
            "apparent": apparent,
            "corrected": apparent - at_point["mean"].to_numpy(),
            "resamples": at_point["count"].to_numpy(),
        }
    )


def survival_curve(time, event, survival, at: float, grid) -> np.ndarray:
    """Observed survival at a time as a smooth function of the predicted one.

    Austin, Harrell and van Klaveren, Stat Med 2020; 39:2714: a Cox model in a restricted cubic spline (3 knots) of
    log(-log(predicted survival)), read at that time. rms draws its own curve by hazard regression (polspline's hare),
    which is not followed here: adaptive knots are unstable with the few events of such studies.

    Args:
        time, event: time to event > 0; 1 event, 0 censored, 2 competing event (counts as censored).
        survival: predicted probability per unit of being event-free at the time `at`.
        grid: predicted survivals at which to read the curve.

    Returns:
        One value per grid point; NaN outside the range of the predictions, and everywhere where the predictions take
        too few values or follow-up ends before.
    """
    survival, grid = np.asarray(survival, dtype=float), np.asarray(grid, dtype=float)
    nothing = np.full(len(grid), np.nan)
    if np.max(time) < at:
        return nothing
    try:
        x = _log_log(survival)
        knots = spline_knots(x, KNOTS)
        fit = fit_cox(spline_columns(x, knots), time, event)
        baseline = hazard_steps(fit.linear_predictor(spline_columns(x, knots)), time, event, fit.ties)
    except InputError:
        return nothing
    if fit.separated:
        return nothing
    inside = (grid >= survival.min() - ROUNDING) & (grid <= survival.max() + ROUNDING)
    predictor = fit.linear_predictor(spline_columns(_log_log(grid), knots))
    return np.where(inside, survival_at(baseline, predictor, [at])[:, 0], np.nan)


def _log_log(survival: np.ndarray) -> np.ndarray:
    return np.log(-np.log(np.clip(survival, EXTREME, 1 - EXTREME)))


def survival_curve_optimism(train: tuple, test: tuple, at: float, grid) -> np.ndarray:
    """Training minus test curve at each grid point; train and test are (time, event, predicted survival)."""
    return survival_curve(*train, at, grid) - survival_curve(*test, at, grid)


def survival_errors(time, event, survival, at: float) -> dict[str, float]:
    """ICI, E50, E90 and Emax between predicted and smooth observed survival at a time; see `calibration_errors`."""
    survival = np.asarray(survival, dtype=float)
    return _errors(survival_curve(time, event, survival, at, survival) - survival)


def corrected_survival_curve(time, event, survival, at: float, optimism: pd.DataFrame) -> pd.DataFrame:
    """Smooth calibration of predicted survival at a time, corrected for optimism; as `corrected_curve`.

    Args:
        time, event, survival, at: see `survival_curve`; the finished model's predictions.
        optimism: columns predicted and optimism for this time, as `refit_resamples` gives them.
    """
    return _corrected(lambda grid: survival_curve(time, event, survival, at, grid), survival, optimism)


def survival_cuts(survival, groups: int) -> np.ndarray:
    """Cuts between groups of predicted survival, from 0 to 1: quantiles of the predictions with 0 and 1 among them.

    So rms::calibrate(cmethod = "KM") cuts the finished model's predictions; refitted models are cut at the same places.
    """
    values = np.concatenate([[0.0, 1.0], np.asarray(survival, dtype=float)])
    return np.unique(np.quantile(values, np.linspace(0, 1, groups + 1)))


def survival_groups(time, event, survival, at: float, cuts) -> pd.DataFrame:
    """Observed survival (Kaplan-Meier) at a time in groups of predicted survival, as rms's groupkm.

    Args:
        time, event, survival, at: see `survival_curve`.
        cuts: limits of the groups, from `survival_cuts`; a group includes its lower one.

    Returns:
        One row per group: predicted (mean), observed, low, high (95 %), relative_error (Greenwood's, of the log),
        n, events. Observed is NaN with fewer than two units or where all are censored before that time.
    """
    time, event, survival = (np.asarray(values, dtype=float) for values in (time, event, survival))
    group = np.clip(np.searchsorted(cuts, survival, side="right") - 1, 0, len(cuts) - 2)
    rows = []
    for j in range(len(cuts) - 1):
        inside = group == j
        row = {"predicted": survival[inside].mean() if inside.any() else np.nan, "observed": np.nan}
        row |= {"low": np.nan, "high": np.nan, "relative_error": np.nan}
        if inside.sum() > 1:
            row |= _observed(time[inside], event[inside], at)
        rows.append(row | {"n": int(inside.sum()), "events": int((event[inside] == 1).sum())})
    return pd.DataFrame(rows)


def _observed(time: np.ndarray, event: np.ndarray, at: float) -> dict[str, float]:
    point = at_times(kaplan_meier(time, event), [at]).iloc[0]
    if time.max() < at and point["survival"] > 0:
        return {}
    error = point["se"] / point["survival"] if point["survival"] > 0 else np.nan
    low, high = (float(np.clip(point["survival"] * np.exp(side * Z95 * error), 0, 1)) for side in (-1, 1))
    return {"observed": point["survival"], "low": low, "high": high, "relative_error": error}


def corrected_groups(apparent: pd.DataFrame, train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    """Observed survival by group corrected for optimism, as rms::calibrate(cmethod = "KM").

    Args:
        apparent: `survival_groups` of the finished model.
        train, test: observed minus predicted of the refitted models, on the units drawn and on all, at the finished
            model's cuts; shape (resamples, groups).

    Returns:
        apparent with columns training, test, optimism (means over the resamples in which the group has both figures),
        corrected (observed less optimism) and resamples.
    """
    both = np.isfinite(train) & np.isfinite(test)
    count = both.sum(axis=0)
    with np.errstate(invalid="ignore"):
        means = [np.where(both, part, 0.0).sum(axis=0) / count for part in (train, test)]
    optimism = means[0] - means[1]
    return apparent.assign(
        training=means[0],
        test=means[1],
        optimism=optimism,
        corrected=apparent["observed"] - optimism,
        resamples=count,
    )
