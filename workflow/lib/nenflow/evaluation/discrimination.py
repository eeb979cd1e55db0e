from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from scipy.special import betaincinv, expit, logit, ndtr, ndtri

from nenflow.errors import InputError
from nenflow.models.ranks import midranks

DIGITS = 9  # scores that differ only beyond this are equal: BLAS breaks such ties differently from machine to machine
Z95 = ndtri(0.975)


def check_outcome(y, score) -> tuple[np.ndarray, np.ndarray]:
    """Return the outcome as booleans and the score rounded to 9 decimals.

    Args:
        y: 0/1 per unit, 1 = event.
        score: number per unit, same length and order as `y`.

    Raises:
        InputError: outcomes that are not 0 or 1, only one class, or missing scores.
    """
    y, score = np.asarray(y, dtype=float), np.asarray(score, dtype=float)
    if y.shape != score.shape:
        raise ValueError(f"outcome and score differ in shape: {y.shape} and {score.shape}")
    if not np.isin(y, (0, 1)).all():
        raise InputError("The outcome holds values other than 0 and 1; check the endpoint's event in study.yaml.")
    if y.min() == y.max():
        raise InputError("All units have the same outcome, so nothing can be discriminated; check the endpoint.")
    missing = int((~np.isfinite(score)).sum())
    if missing:
        raise InputError(f"{missing} of {len(score)} scores are missing or infinite; exclude these units or mend them.")
    return y == 1, np.round(score, DIGITS)


def auc(y, score) -> float:
    """Area under the ROC curve: the chance that an event scores higher than a non-event, ties counting half.

    Higher scores mean events. Computed from midranks (Mann-Whitney).
    """
    event, score = check_outcome(y, score)
    n1, n0 = event.sum(), (~event).sum()
    return float((_ranks(score)[event].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def _ranks(score: np.ndarray) -> np.ndarray:
    return midranks(score[None])[0]


def placements(y, score) -> tuple[np.ndarray, np.ndarray]:
    """For each event the share of non-events below it, for each non-event the share of events above it.

    These are the structural components V10 and V01 of DeLong, DeLong and Clarke-Pearson (Biometrics 1988; 44:837),
    from midranks as in Sun and Xu (IEEE Signal Process Lett 2014; 21:1389).
    """
    event, score = check_outcome(y, score)
    n1, n0 = event.sum(), (~event).sum()
    ranks = _ranks(score)
    above = (ranks[event] - _ranks(score[event])) / n0
    below = 1 - (ranks[~event] - _ranks(score[~event])) / n1
    return above, below


def delong_covariance(y, *scores) -> np.ndarray:
    """Covariance (scores, scores) of the AUCs of scores of the same units; NaN with fewer than two in a class."""
    parts = [placements(y, score) for score in scores]
    covariance = np.zeros((len(scores), len(scores)))
    for side in (0, 1):
        values = np.array([part[side] for part in parts])
        if values.shape[1] < 2:
            return np.full_like(covariance, np.nan)
        covariance += np.atleast_2d(np.cov(values)) / values.shape[1]
    return covariance


def delong_interval(y, score) -> tuple[float, float]:
    """95 % interval of the AUC: AUC +- 1.96 standard errors, cut to 0 to 1 (as pROC::ci.auc).

    NaN where the variance is 0 or not defined (perfect separation, or fewer than two units in a class): an interval
    of no width would look like certainty.
    """
    variance = delong_covariance(y, score)[0, 0]
    if not variance > 0:
        return np.nan, np.nan
    return _interval(auc(y, score), np.sqrt(variance))


def delong_logit_interval(y, score) -> tuple[float, float]:
    """95 % interval of the AUC from DeLong's variance on the scale of its log odds: it never leaves 0 to 1.

    Pepe, The Statistical Evaluation of Medical Tests, 2003, section 5.2.4. NaN as in `delong_interval`.
    """
    area, variance = auc(y, score), delong_covariance(y, score)[0, 0]
    if not variance > 0 or area in (0, 1):
        return np.nan, np.nan
    error = np.sqrt(variance) / (area * (1 - area))
    return float(expit(logit(area) - Z95 * error)), float(expit(logit(area) + Z95 * error))


def delong_test(y, first, second) -> dict[str, float]:
    """Compare the AUCs of two scores of the same units (DeLong 1988): z and two-sided p; NaN for equal scores."""
    covariance = delong_covariance(y, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (auc(y, first) - auc(y, second)) / np.sqrt(variance) if variance > 0 else np.nan
    return {"z": float(z), "p": float(2 * ndtr(-abs(z)))}


def hanley_mcneil_error(area: float, events: int, others: int) -> float:
    """Standard error of an AUC from its value and the class sizes alone (Hanley and McNeil, Radiology 1982; 143:29)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (events - 1) * (q1 - area**2) + (others - 1) * (q2 - area**2)
    return float(np.sqrt(variance / (events * others)))


def hanley_mcneil_interval(area: float, events: int, others: int) -> tuple[float, float]:
    """95 % interval of an AUC by Hanley and McNeil's standard error, cut to 0 to 1; NaN for an AUC of 0 or 1."""
    error = hanley_mcneil_error(area, events, others)
    return _interval(area, error) if error > 0 else (np.nan, np.nan)


def exact_interval(successes: float, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a share, for sensitivity, specificity and the like (Clopper and Pearson, Biometrika 1934).

    An AUC given as `successes = auc * n` has the "binomial exact" interval that MedCalc prints for it, which takes the
    AUC for a share of the n units; NaN, NaN where n is 0.
    """
    if n == 0:
        return np.nan, np.nan
    low = betaincinv(successes, n - successes + 1, 0.025) if successes > 0 else 0.0
    high = betaincinv(successes + 1, n - successes, 0.975) if successes < n else 1.0
    return float(low), float(high)


def _interval(area: float, error: float) -> tuple[float, float]:
    return float(max(area - Z95 * error, 0.0)), float(min(area + Z95 * error, 1.0))


def roc_curve(y, score) -> pd.DataFrame:
    """Empirical ROC curve.

    Returns:
        Columns threshold, sensitivity, specificity and the counts tp, fp, tn, fn, in order of rising threshold.
        Thresholds lie midway between neighbouring scores, with -inf first and inf last; a unit with a score at or
        above the threshold is called an event.
    """
    thresholds, tp, fp, tn, fn = _counts(y, score)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "sensitivity": tp / tp[0],
            "specificity": tn / fp[0],
            "tp": tp,
            "fp": fp,
            "tn": tn,
            "fn": fn,
        }
    )


def roc_band(y, score, draws) -> pd.DataFrame:
    """Pointwise 95 % band of a ROC curve: percentiles of the sensitivity at each of its specificities in resamples.

    The sensitivity at a specificity is the largest one of a threshold that is at least so specific (as pROC's ci.se,
    without its interpolation between the steps). Resamples of one class alone do not count.

    Args:
        draws: rows of resamples, arrays of positions in `y` and `score`.

    Returns:
        Columns low and high, a row for each of `roc_curve`; NaN where no resample counts.
    """
    event, score = check_outcome(y, score)

    def shares(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(invalid="ignore"):
            return event[rows] / event[rows].sum(), ~event[rows] / (~event[rows]).sum()

    return sensitivity_band(roc_curve(event, score)["specificity"], score, shares, draws)


def sensitivity_band(specificity, score: np.ndarray, shares: Callable, draws: Iterable[np.ndarray]) -> pd.DataFrame:
    """Percentiles, 2.5 and 97.5, of the sensitivity at given specificities in resamples, see `roc_band`.

    Args:
        specificity: of a ROC curve, in order of rising threshold, shape (k,).
        score: one per unit.
        shares: gives of the rows of a resample what each counts among the events and among the others, two arrays of
            sum 1; NaN where there are none.
        draws: rows of resamples.

    Returns:
        Columns low and high, k rows; NaN where no resample counts.
    """
    found = []
    for rows in draws:
        cases, controls = shares(rows)
        if np.isnan(cases).any() or np.isnan(controls).any():
            continue
        values, place = np.unique(score[rows], return_inverse=True)
        # at each threshold, from below the least value to above the greatest
        specific = np.concatenate([[0.0], np.cumsum(np.bincount(place, controls))])
        sensitive = 1 - np.concatenate([[0.0], np.cumsum(np.bincount(place, cases))])
        needed = np.searchsorted(specific, np.asarray(specificity) - _ROUNDING)
        found.append(sensitive[np.minimum(needed, len(values))])
    ends = np.percentile(found, [2.5, 97.5], axis=0) if found else np.full((2, len(specificity)), np.nan)
    return pd.DataFrame({"low": ends[0], "high": ends[1]})


_ROUNDING = 1e-9  # a specificity is a sum of shares, which rounding leaves a little above or below a whole share


def _counts(y, score) -> tuple[np.ndarray, ...]:
    """Thresholds of a ROC curve and the counts tp, fp, tn, fn at each."""
    event, score = check_outcome(y, score)
    values = np.unique(score)
    thresholds = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    fn = np.searchsorted(np.sort(score[event]), thresholds)
    tn = np.searchsorted(np.sort(score[~event]), thresholds)
    return thresholds, event.sum() - fn, (~event).sum() - tn, tn, fn


def youden_cut_off(y, score) -> float:
    """The threshold of `youden` alone, for resamples."""
    thresholds, tp, fp, tn, _ = _counts(y, score)
    return float(thresholds[np.argmax(tp * fp[0] + tn * tp[0])])


def youden(y, score) -> dict[str, float]:
    """Cut-off with the largest sensitivity + specificity (Youden, Cancer 1950; 3:32) and what it achieves.

    Of several such cut-offs the lowest is taken, which has the highest sensitivity; `ties` says how many others
    there were. Ties are found on the counts, so rounding plays no part.

    Returns:
        threshold, sensitivity, specificity, ppv, npv, accuracy, tp, fp, tn, fn, ties. A predictive value of a class
        that nobody was put into is NaN.
    """
    curve = roc_curve(y, score)
    n1, n0 = int(curve["tp"].iloc[0]), int(curve["fp"].iloc[0])
    index = curve["tp"] * n0 + curve["tn"] * n1
    best = curve.loc[index.idxmax()]
    tp, fp, tn, fn = (int(best[name]) for name in ("tp", "fp", "tn", "fn"))
    return {
        "threshold": float(best["threshold"]),
        "sensitivity": float(best["sensitivity"]),
        "specificity": float(best["specificity"]),
        "ppv": tp / (tp + fp) if tp + fp else np.nan,
        "npv": tn / (tn + fn) if tn + fn else np.nan,
        "accuracy": (tp + tn) / (n1 + n0),
        "tp": tp,
        "fp": fp,
        "tn": tn,
        "fn": fn,
        "ties": int((index == index.max()).sum()) - 1,
    }


def closest_to_corner(y, score) -> dict[str, float]:
    """Cut-off whose point of the ROC curve lies nearest to the corner of perfect sensitivity and specificity.

    Perkins and Schisterman, Am J Epidemiol 2006; 163:670. Of several such points that with the highest sensitivity.

    Returns:
        threshold, sensitivity, specificity.
    """
    curve = roc_curve(y, score)
    distance = np.round((1 - curve["sensitivity"]) ** 2 + (1 - curve["specificity"]) ** 2, 2 * DIGITS)
    best = curve.loc[distance.idxmin()]
    return {name: float(best[name]) for name in ("threshold", "sensitivity", "specificity")}


def partial_auc(y, score, low: float, high: float, over: str = "specificity") -> float:
    """Area under the part of the ROC curve where specificity (or sensitivity) lies between `low` and `high`.

    McClish, Med Decis Making 1989; 9:190. Points of the curve are joined by straight lines; the area is not rescaled,
    so a perfect score has `high - low`, as pROC::auc(partial.auc = c(high, low)) gives it.

    Args:
        y: 0/1 per unit, 1 = event.
        score: higher means event.
        low, high: bounds, 0 <= low < high <= 1.
        over: "specificity" or "sensitivity".
    """
    if not 0 <= low < high <= 1 or over not in ("specificity", "sensitivity"):
        raise InputError("A partial AUC needs two bounds from 0 to 1, the lower first, of specificity or sensitivity.")
    curve = roc_curve(y, score)
    rising = curve if over == "specificity" else curve.iloc[::-1]
    x = rising[over].to_numpy()
    height = rising["sensitivity" if over == "specificity" else "specificity"].to_numpy()
    inner = (x > low) & (x < high)
    # where the curve is vertical at a bound, the area counts the point on the inner side of it
    start = _height_at(x, height, low, side="right")
    end = _height_at(x, height, high, side="left")
    return float(np.trapezoid([start, *height[inner], end], [low, *x[inner], high]))


def _height_at(x: np.ndarray, height: np.ndarray, at: float, side: str) -> float:
    """A curve's height at a place; of several points there the last ("right") or first ("left")."""
    here = np.flatnonzero(np.isclose(x, at, rtol=0, atol=1e-12))
    if len(here):
        return float(height[here[-1 if side == "right" else 0]])
    after = int(np.searchsorted(x, at))
    share = (at - x[after - 1]) / (x[after] - x[after - 1])
    return float(height[after - 1] + share * (height[after] - height[after - 1]))


def rank_correlations(y, score) -> dict[str, float]:
    """Dxy, Goodman and Kruskal's gamma and Kendall's tau-a between score and outcome, as in rms::lrm's statistics.

    All three are (concordant - discordant) pairs of an event and a non-event, over: all such pairs (Somers' Dxy =
    2 AUC - 1), those not tied in the score (gamma), all pairs of units (tau-a). lrm itself counts probabilities that
    fall into the same bin of 0.0002 as tied; here only equal scores are.
    """
    event, score = check_outcome(y, score)
    _, place, times = np.unique(score, return_inverse=True, return_counts=True)
    events = np.bincount(place, weights=event, minlength=len(times))
    n, n1, n0 = len(score), int(event.sum()), int((~event).sum())
    tied = float((events * (times - events)).sum())
    excess = (2 * auc(y, score) - 1) * n1 * n0
    gamma = excess / (n1 * n0 - tied) if tied < n1 * n0 else np.nan
    return {"dxy": excess / (n1 * n0), "gamma": gamma, "tau_a": excess / (n * (n - 1) / 2)}


def brier(y, probability) -> float:
    """Mean squared distance between outcome (0/1) and predicted probability (Brier, Mon Weather Rev 1950; 78:1)."""
    return float(np.mean((np.asarray(probability, dtype=float) - np.asarray(y, dtype=float)) ** 2))


def performance(y, score, probability=None) -> dict:
    """Discrimination of one score on the units it was given: the block of performance.json.

    Args:
        y: 0/1 per unit, 1 = event.
        score: higher means event.
        probability: predicted probability of the event, for the Brier score; None where a score is no probability.
    """
    event, _ = check_outcome(y, score)
    area, events, others = auc(y, score), int(event.sum()), int((~event).sum())
    return {
        "n": events + others,
        "events": events,
        "auc": area,
        "auc_delong": list(delong_interval(y, score)),
        "auc_delong_logit": list(delong_logit_interval(y, score)),
        "auc_binomial": list(exact_interval(area * (events + others), events + others)),
        "auc_hanley_mcneil": list(hanley_mcneil_interval(area, events, others)),
        "youden": youden(y, score),
        "brier": None if probability is None else brier(y, probability),
    }
