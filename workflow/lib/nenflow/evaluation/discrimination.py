import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from nenflow.errors import InputError

DIGITS = 9  # scores that differ only beyond this are equal: BLAS breaks such ties differently from machine to machine
Z95 = norm.ppf(0.975)


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
    return float((rankdata(score)[event].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def placements(y, score) -> tuple[np.ndarray, np.ndarray]:
    """For each event the share of non-events below it, for each non-event the share of events above it.

    These are the structural components V10 and V01 of DeLong, DeLong and Clarke-Pearson (Biometrics 1988; 44:837),
    from midranks as in Sun and Xu (IEEE Signal Process Lett 2014; 21:1389).
    """
    event, score = check_outcome(y, score)
    n1, n0 = event.sum(), (~event).sum()
    ranks = rankdata(score)
    above = (ranks[event] - rankdata(score[event])) / n0
    below = 1 - (ranks[~event] - rankdata(score[~event])) / n1
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


def delong_test(y, first, second) -> dict[str, float]:
    """Compare the AUCs of two scores of the same units (DeLong 1988): z and two-sided p; NaN for equal scores."""
    covariance = delong_covariance(y, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (auc(y, first) - auc(y, second)) / np.sqrt(variance) if variance > 0 else np.nan
    return {"z": float(z), "p": float(2 * norm.sf(abs(z)))}


def hanley_mcneil_error(area: float, events: int, others: int) -> float:
    """Standard error of an AUC from its value and the class sizes alone (Hanley and McNeil, Radiology 1982; 143:29)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (events - 1) * (q1 - area**2) + (others - 1) * (q2 - area**2)
    return float(np.sqrt(variance / (events * others)))


def hanley_mcneil_interval(area: float, events: int, others: int) -> tuple[float, float]:
    """95 % interval of an AUC by Hanley and McNeil's standard error, cut to 0 to 1; NaN for an AUC of 0 or 1."""
    error = hanley_mcneil_error(area, events, others)
    return _interval(area, error) if error > 0 else (np.nan, np.nan)


def _interval(area: float, error: float) -> tuple[float, float]:
    return float(max(area - Z95 * error, 0.0)), float(min(area + Z95 * error, 1.0))


def roc_curve(y, score) -> pd.DataFrame:
    """Empirical ROC curve.

    Returns:
        Columns threshold, sensitivity, specificity and the counts tp, fp, tn, fn, in order of rising threshold.
        Thresholds lie midway between neighbouring scores, with -inf first and inf last; a unit with a score at or
        above the threshold is called an event.
    """
    event, score = check_outcome(y, score)
    values = np.unique(score)
    thresholds = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    fn = np.searchsorted(np.sort(score[event]), thresholds)
    tn = np.searchsorted(np.sort(score[~event]), thresholds)
    tp, fp = event.sum() - fn, (~event).sum() - tn
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "sensitivity": tp / event.sum(),
            "specificity": tn / (~event).sum(),
            "tp": tp,
            "fp": fp,
            "tn": tn,
            "fn": fn,
        }
    )


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
        "auc_hanley_mcneil": list(hanley_mcneil_interval(area, events, others)),
        "youden": youden(y, score),
        "brier": None if probability is None else brier(y, probability),
    }
