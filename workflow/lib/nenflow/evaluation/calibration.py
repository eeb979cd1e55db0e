import numpy as np
import pandas as pd
from statsmodels.nonparametric.smoothers_lowess import lowess

from nenflow.evaluation.discrimination import check_outcome
from nenflow.models.logistic import fit_logistic

SPAN = 2 / 3  # share of the units in each local line: the default of R's lowess, used by rms::calibrate
SKIP = 0.01  # neighbours within 1 % of the range share a fit, as in R's lowess; part of its definition, not only speed
GRID = np.arange(1, 100) / 100  # predicted probabilities at which curves are compared
EDGE = 5  # curves are shown from the 5th lowest to the 5th highest prediction: beyond, they hang on single units
ROUNDING = 1e-12


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
    ordered = np.sort(np.asarray(probability, dtype=float))
    edge = min(EDGE, (len(ordered) + 1) // 2)
    shown = optimism["predicted"].between(ordered[edge - 1] - ROUNDING, ordered[-edge] + ROUNDING)
    at_point = optimism[shown].groupby("predicted")["optimism"].agg(["mean", "count"])
    grid = at_point.index.to_numpy()
    apparent = calibration_curve(y, probability, grid)
    return pd.DataFrame(
        {
            "predicted": grid,
            "apparent": apparent,
            "corrected": apparent - at_point["mean"].to_numpy(),
            "resamples": at_point["count"].to_numpy(),
        }
    )
