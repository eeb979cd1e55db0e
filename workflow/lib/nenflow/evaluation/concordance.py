"""How well a score or predicted survival tells apart and foretells times to an event, censoring allowed for.

Everywhere: `time` > 0 since the start, `event` 1 event, 0 censored, 2 competing event, which counts as censored here
(the cause-specific view); a higher score means an earlier event; scores are rounded to 9 decimals, so that ties do not
depend on the machine. Weights are inverse probabilities of censoring (IPCW) by Kaplan-Meier without covariates, in
which an event comes before a censoring at the same time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import DIGITS, Z95, sensitivity_band
from nenflow.evaluation.survival import check_survival


def harrell_c(time, event, score, strata=None, clusters=None) -> dict[str, float]:
    """Harrell's C: of the pairs whose order in time is known, the share that the score orders rightly.

    A tie in the score counts half. Two events at the same time are not compared (counted as tied_y, or tied_xy where
    the scores are equal as well); an event comes before a censoring at the same time. The standard error is the
    infinitesimal jackknife, as R's survival::concordance gives it (Harrell et al., Stat Med 1996; 15:361; Therneau and
    Watson, Mayo Clinic technical report 85, 2015); unlike there it is NaN where the jackknife gives no spread, since
    an interval of no width would look like certainty.

    Args:
        time, event, score: one number per unit, shape (n,).
        strata: a label per unit; only pairs within a stratum are compared.
        clusters: a label per unit, such as the patient, whose units are not independent.

    Returns:
        c, se, low, high (95 %), and the numbers of pairs: concordant, discordant, tied_x, tied_y, tied_xy.

    Raises:
        InputError: values missing or out of range, or no pair whose order is known.
    """
    time, event, score = check_scored(time, event, score)
    return _concordance(time, event, score, np.ones(len(time)), strata, clusters)


def uno_c(time, event, score, tau: float | None = None) -> dict[str, float]:
    """Uno's C: as Harrell's, each pair weighted by 1/G(t-)^2, which frees it from how many were censored when.

    G is the Kaplan-Meier estimate of staying uncensored, t the time of the pair's first event (Uno et al., Stat Med
    2011; 30:1105). As R's survival::concordance with timewt="n/G2". The standard error takes the weights as known,
    as there.

    Args:
        time, event, score: one number per unit, shape (n,).
        tau: only events up to this time count; None for all.

    Returns:
        As `harrell_c`, with weighted numbers of pairs.
    """
    time, event, score = check_scored(time, event, score)
    weight = _Censoring.of(time, event).before() ** -2.0
    if tau is not None:
        # An event after tau compares with nobody; for the pairs it closes it remains what it is, a later time.
        weight = np.where(time > tau, 0.0, weight)
    return _concordance(time, event, score, weight, None, None)


def time_dependent_auc(time, event, score, times) -> pd.DataFrame:
    """Area under the cumulative/dynamic ROC curve: events up to t against units still event-free after t, by IPCW.

    Uno et al. (J Am Stat Assoc 2007; 102:527); standard error from the influence function, the estimated censoring
    included (Blanche, Dartigues and Jacqmin-Gadda, Stat Med 2013; 32:5381), as riskRegression::Score.

    Args:
        time, event: one number per unit, shape (n,).
        score: one number per unit, or per unit and time (what a stratified model predicts), shape (n, len(times)).
        times: the times t, in the unit of `time`.

    Returns:
        Columns time, auc, se, low, high (95 %), events (up to t) and event_free (after t). NaN at a time with no event
        up to it or nobody event-free after it.
    """
    time, event, scores = _checked_by_time(time, event, score, times)
    censoring, rows = _Censoring.of(time, event), []
    for t, of_time in scores:
        case, control = event & (time <= t), time > t
        area, se = np.nan, np.nan
        if case.any() and control.any():
            area, influence = _auc_influence(censoring, case, control, of_time)
            se = _positive(influence.std(ddof=1) / np.sqrt(len(time)))
        rows.append((t, area, se, *_interval(area, se), int(case.sum()), int(control.sum())))
    return pd.DataFrame(rows, columns=["time", "auc", "se", "low", "high", "events", "event_free"])


def areas_by_time(time, event, score, times) -> np.ndarray:
    """The AUCs of `time_dependent_auc` alone, for resamples, which need no standard errors; shape (len(times),)."""
    time, event, scores = _checked_by_time(time, event, score, times)
    before, areas = _Censoring.of(time, event).before(), []
    for t, of_time in scores:
        case, control = event & (time <= t), time > t
        known = case.any() and control.any()
        areas.append(_auc(before, case, control, of_time)[0] if known else np.nan)
    return np.array(areas)


def _checked_by_time(time, event, score, times) -> tuple[np.ndarray, np.ndarray, list[tuple[float, np.ndarray]]]:
    """Times, whether the event came, and each point of time with the scores for it, as `check_scored` gives them."""
    times, score = np.atleast_1d(np.asarray(times, dtype=float)), np.asarray(score, dtype=float)
    columns = score.T if score.ndim > 1 else [score]
    checked = [check_scored(time, event, column) for column in columns]
    scores = [column for _, _, column in checked]
    time, event = checked[0][:2] if checked else check_scored(time, event)[:2]
    return time, event, list(zip(times, scores * (len(times) if score.ndim == 1 else 1), strict=True))


def time_dependent_roc(time, event, score, t: float) -> pd.DataFrame:
    """Cumulative/dynamic ROC curve at time t, by IPCW; the area under it is that of `time_dependent_auc`.

    Returns:
        Columns threshold (midway between neighbouring scores, -inf first, inf last, as `roc_curve`), sensitivity (of
        the units with the event up to t, the share at or above the threshold) and specificity.

    Raises:
        InputError: no event up to t, or nobody event-free after t.
    """
    time, event, score = check_scored(time, event, score)
    case, control = event & (time <= t), time > t
    if not (case.any() and control.any()):
        raise InputError(
            f"There is no ROC curve at time {t:g}: nobody had the event by then, or nobody is followed on."
        )
    values = np.unique(score)
    thresholds = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    weight = np.where(case, 1 / _Censoring.of(time, event).before(), 0.0)
    above = score[:, None] >= thresholds
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "sensitivity": weight @ above / weight.sum(),
            "specificity": control.astype(float) @ ~above / control.sum(),
        }
    )


def time_dependent_roc_band(time, event, score, t: float, draws: Iterable[np.ndarray]) -> pd.DataFrame:
    """Pointwise 95 % band of a curve of `time_dependent_roc`; censoring is weighted anew in each resample.

    Args:
        draws: rows of resamples; those in which nobody had the event by then, or nobody is followed on, do not count.

    Returns:
        Columns low and high, a row for each of the curve, see `discrimination.roc_band`.
    """
    time, event, score = check_scored(time, event, score)
    specificity = time_dependent_roc(time, event, score, t)["specificity"]

    def shares(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not event[rows].any():
            return np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        return shares_at(time[rows], event[rows], t)

    return sensitivity_band(specificity, score, shares, draws)


def youden_cut_off_at(time, event, score, t: float) -> float:
    """Cut-off with the largest sensitivity + specificity on the cumulative/dynamic ROC curve at time t.

    Youden, Cancer 1950; 3:32, on the curve of `time_dependent_roc`. Of several such cut-offs the lowest, as `youden`.

    Returns:
        a threshold midway between neighbouring scores; NaN with no event up to t or nobody event-free after it.
    """
    time, event, score = check_scored(time, event, score)
    case, control = event & (time <= t), time > t
    if not (case.any() and control.any()):
        return np.nan
    values, place = np.unique(score, return_inverse=True)
    thresholds = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    weight = np.where(case, 1 / _Censoring.of(time, event).before(), 0.0)
    # what falls below a threshold: shares of the controls (gained) and of the weighted cases (lost)
    gain = np.bincount(place, control) / control.sum() - np.bincount(place, weight) / weight.sum()
    index = np.round(np.concatenate([[0.0], np.cumsum(gain)]), DIGITS)  # or sums of weights would break ties
    return float(thresholds[np.argmax(index)])


def rates_at(time, event, above, t: float) -> tuple[float, float]:
    """Sensitivity and specificity at time t of what is called an event, cumulative/dynamic, by IPCW.

    Args:
        time, event: one number per unit, shape (n,).
        above: whether a unit's score is at or above its cut-off, shape (n,).
        t: in the unit of `time`.

    Returns:
        as `time_dependent_roc` at that threshold; NaN with no event up to t or nobody event-free after it.
    """
    cases, controls = shares_at(time, event, t)
    return float(cases @ above), float(1 - controls @ above)


def shares_at(time, event, t: float) -> tuple[np.ndarray, np.ndarray]:
    """What each unit counts among those with the event up to time t, and among those event-free after it, by IPCW.

    Args:
        time, event: one number per unit, shape (n,).
        t: in the unit of `time`.

    Returns:
        Two arrays of shape (n,), each of sum 1; NaN with no event up to t or nobody event-free after it.
    """
    time, event, _ = check_scored(time, event)
    case, control = event & (time <= t), time > t
    if not (case.any() and control.any()):
        return np.full(len(time), np.nan), np.full(len(time), np.nan)
    weight = np.where(case, 1 / _Censoring.of(time, event).before(), 0.0)
    return weight / weight.sum(), control / control.sum()


def brier_scores(time, event, survival, times) -> pd.DataFrame:
    """Mean squared distance between predicted survival and what came, at each time, by IPCW.

    Graf et al. (Stat Med 1999; 18:2529); standard error from the influence function, the estimated censoring included
    (Gerds and Schumacher, Biom J 2006; 48:1029). The null model gives everybody the Kaplan-Meier survival of the units
    themselves. As riskRegression::Score and pec.

    Args:
        time, event: one number per unit, shape (n,).
        survival: predicted probability of being event-free at each time, shape (n, len(times)).
        times: in the unit of `time`.

    Returns:
        Columns time, brier, se, low, high (95 %), null (Brier score of the null model) and scaled (1 - brier / null).
        NaN at times after the last unit left, where nothing is known.

    Raises:
        InputError: values missing or out of range.
    """
    time, event, survival, times = _checked_survival(time, event, survival, times)
    censoring = _Censoring.of(time, event)
    null = _product_limit(time, event, times)
    rows = []
    for t, predicted, overall in zip(times, survival.T, null, strict=True):
        score, se, reference = np.nan, np.nan, np.nan
        if t <= time.max():
            score, influence = _brier_influence(censoring, t, predicted)
            se = _positive(influence.std(ddof=1) / np.sqrt(len(time)))
            reference = _brier_influence(censoring, t, np.full(len(time), overall))[0]
        scaled = 1 - score / reference if reference > 0 else np.nan
        rows.append((t, score, se, *_interval(score, se), reference, scaled))
    return pd.DataFrame(rows, columns=["time", "brier", "se", "low", "high", "null", "scaled"])


def brier_by_time(time, event, survival, times) -> np.ndarray:
    """The scores of `brier_scores` alone, for resamples, which need no standard errors; shape (len(times),)."""
    time, event, survival, times = _checked_survival(time, event, survival, times)
    censoring, last = _Censoring.of(time, event), time.max()
    pairs = zip(times, survival.T, strict=True)
    shares = [_brier_shares(censoring, t, column) if t <= last else [np.nan] for t, column in pairs]
    return np.array([np.mean(share) for share in shares])


def uninformed_brier(time, event, survival, times) -> np.ndarray:
    """The Brier scores that the same predictions have when they are dealt to the units at random; as `brier_by_time`.

    The mean over all ways to deal them: Efron and Tibshirani's no-information rate (J Am Stat Assoc 1997; 92:548).
    """
    time, event, survival, times = _checked_survival(time, event, survival, times)
    censoring, last, found = _Censoring.of(time, event), time.max(), []
    for t, predicted in zip(times, survival.T, strict=True):
        weight = _brier_shares(censoring, t, (time > t) - 1.0)  # each distance being 1
        around = _brier_shares(censoring, t, predicted.mean())
        found.append(around.mean() + predicted.var() * weight.mean() if t <= last else np.nan)
    return np.array(found)


def _checked_survival(time, event, survival, times) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    time, event, _ = check_scored(time, event)
    times = np.atleast_1d(np.asarray(times, dtype=float))
    survival = np.asarray(survival, dtype=float).reshape(len(time), -1)
    if survival.shape[1] != len(times):
        raise ValueError(f"{survival.shape[1]} columns of predicted survival for {len(times)} times")
    if not ((survival >= 0) & (survival <= 1)).all():
        raise InputError("A predicted survival is missing or outside 0 to 1; the model does not fit these units.")
    return time, event, survival, times


def integrated_brier(times, brier) -> float:
    """Brier score integrated from 0 to the last of the times and divided by it (Graf et al. 1999).

    The score counts as constant from each time to the next and as 0 before the first, as riskRegression's IBS and
    pec::crps do; so the times should be many, such as all event times.
    """
    times = np.concatenate([[0.0], np.asarray(times, dtype=float)])
    brier = np.concatenate([[0.0], np.asarray(brier, dtype=float)])
    if not (np.diff(times) >= 0).all():
        raise ValueError("times of a Brier score must rise")
    return float(np.diff(times) @ brier[:-1] / times[-1]) if times[-1] > 0 else 0.0


def check_scored(time, event, score=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, whether the event came, and the score rounded to 9 decimals (zeros where there is none).

    Raises:
        InputError: as `check_survival`, and where nobody had the event or scores are missing.
    """
    time, event = check_survival(time, event)
    score = np.zeros(len(time)) if score is None else np.asarray(score, dtype=float)
    if score.shape != time.shape:
        raise ValueError(f"time and score differ in shape: {time.shape} and {score.shape}")
    if not event.any():
        raise InputError("No unit had the event, so nothing can be said about the time to it; check the endpoint.")
    missing = int((~np.isfinite(score)).sum())
    if missing:
        raise InputError(f"{missing} of {len(score)} scores are missing or infinite; exclude these units or mend them.")
    return time, event, np.round(score, DIGITS)


def _concordance(time, event, score, weight, strata, clusters) -> dict[str, float]:
    stratum = np.zeros(len(time), dtype=int) if strata is None else pd.factorize(np.asarray(strata))[0]
    order = np.lexsort((~event, time, stratum))
    totals, involved = _count_pairs(time[order], event[order], score[order], weight[order], stratum[order])
    concordant, discordant, tied_x = totals[:3]
    pairs = concordant + discordant + tied_x
    if not pairs > 0:
        raise InputError("No two units can be ordered by their times to the event, so there is no C-index.")
    somers = (concordant - discordant) / pairs
    influence = (involved[:, 0] - involved[:, 1] - somers * involved.sum(axis=1)) / pairs / 2
    if clusters is not None:
        influence = np.bincount(pd.factorize(np.asarray(clusters)[order])[0], weights=influence)
    c, se = float((somers + 1) / 2), _positive(np.sqrt((influence**2).sum()))
    low, high = _interval(c, se)
    counts = dict(zip(["concordant", "discordant", "tied_x", "tied_y", "tied_xy"], totals.tolist(), strict=True))
    return {"c": c, "se": se, "low": low, "high": high, **counts}


@njit(cache=True)
def _count_pairs(time, event, score, weight, stratum):
    """Weighted pairs by kind, and of each unit's pairs those that are concordant, discordant and tied in the score.

    Units are sorted by stratum, time, and events before censorings.
    """
    n = time.size
    totals = np.zeros(5)
    involved = np.zeros((n, 3))
    for i in range(n):
        if not event[i]:
            continue
        for j in range(i + 1, n):
            if stratum[j] != stratum[i]:
                break
            if time[j] == time[i] and event[j]:
                totals[4 if score[i] == score[j] else 3] += weight[i]
                continue
            kind = 0 if score[i] > score[j] else (1 if score[i] < score[j] else 2)
            totals[kind] += weight[i]
            involved[i, kind] += weight[i]
            involved[j, kind] += weight[i]
    return totals, involved


@dataclass(frozen=True)
class _Censoring:
    """The chance G of staying uncensored and what its estimate owes to each unit.

    Attributes:
        time, event: of the units.
        moments: times at which units were censored, rising.
        steps: G before the first of them and from each of them on.
        at_risk: share of the units still there at each moment, for the standard error. As riskRegression has it, it
            holds the events of the same time, unlike in G; without such ties that is the same.
        hazard: share of these that were censored.
    """

    time: np.ndarray
    event: np.ndarray
    moments: np.ndarray
    steps: np.ndarray
    at_risk: np.ndarray
    hazard: np.ndarray

    @classmethod
    def of(cls, time: np.ndarray, event: np.ndarray) -> "_Censoring":
        moments, censored = np.unique(time[~event], return_counts=True)
        there = len(time) - np.searchsorted(np.sort(time), moments)
        deaths = np.sort(time[event])
        tied = np.searchsorted(deaths, moments, side="right") - np.searchsorted(deaths, moments)
        steps = np.concatenate([[1.0], np.cumprod(1 - censored / (there - tied))])
        return cls(time, event, moments, steps, there / len(time), censored / there)

    def at(self, t: float) -> float:
        """G at time t."""
        return self.steps[np.searchsorted(self.moments, t, side="right")]

    def before(self) -> np.ndarray:
        """G just before each unit's time."""
        return self.steps[np.searchsorted(self.moments, self.time)]

    def owed(self, share: np.ndarray, until: np.ndarray) -> np.ndarray:
        """How the sum of `share` * 1/G(until) depends on each unit's being censored, per unit.

        The influence function of log G is minus the martingale of censoring over the share at risk, integrated up to
        the time (Gill, Ann Stat 1983; 11:49).

        Args:
            share: what each unit adds to the sum, the weight 1/G included, shape (n,).
            until: G is taken at this time, itself included, shape (n,).
        """
        order = np.argsort(until)
        # what remains of the sum at each moment of censoring and later
        rest = np.concatenate([np.cumsum(share[order][::-1])[::-1], [0.0]])
        later = rest[np.searchsorted(until[order], self.moments)]
        compensator = np.concatenate([[0.0], np.cumsum(later * self.hazard / self.at_risk)])
        result = -compensator[np.searchsorted(self.moments, self.time, side="right")]
        place = np.searchsorted(self.moments, self.time[~self.event])
        result[~self.event] += (later / self.at_risk)[place]
        return result


def _product_limit(time: np.ndarray, event: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Kaplan-Meier survival at the given times."""
    moments, deaths = np.unique(time[event], return_counts=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), moments)
    steps = np.concatenate([[1.0], np.cumprod(1 - deaths / at_risk)])
    return steps[np.searchsorted(moments, times, side="right")]


def _auc(before, case, control, score) -> tuple[float, np.ndarray, np.ndarray]:
    """AUC at a time, each unit's weight, and the share of controls below each unit, ties half."""
    weight = np.where(case, 1 / before, 0.0)
    below = _share_below(score[control], score)
    return float((weight * below).sum() / weight.sum()), weight, below


def _auc_influence(censoring, case, control, score) -> tuple[float, np.ndarray]:
    """AUC at a time and each unit's influence on it, shape (n,). G(t) of the controls cancels."""
    n = len(score)
    area, weight, below = _auc(censoring.before(), case, control, score)
    mass, controls = weight.mean(), control.mean()
    above = _weight_above(score[case], weight[case], score) / weight.sum()
    fixed = weight / mass * (below - area) + control / controls * (above - area)
    # a case's 1/G enters just before its time: the moments of censoring before, not at, that time
    share = weight / mass * (below - area) / n
    return area, fixed + censoring.owed(share, np.nextafter(censoring.time, 0))


def _share_below(values: np.ndarray, score: np.ndarray) -> np.ndarray:
    values = np.sort(values)
    return (np.searchsorted(values, score) + np.searchsorted(values, score, side="right")) / 2 / len(values)


def _weight_above(values: np.ndarray, weight: np.ndarray, score: np.ndarray) -> np.ndarray:
    order = np.argsort(values)
    rest = np.concatenate([np.cumsum(weight[order][::-1])[::-1], [0.0]])
    values = values[order]
    return (rest[np.searchsorted(values, score)] + rest[np.searchsorted(values, score, side="right")]) / 2


def _brier_shares(censoring, t, predicted) -> np.ndarray:
    """What each unit adds to the Brier score at time t, whose mean it is, shape (n,)."""
    case, control = censoring.event & (censoring.time <= t), censoring.time > t
    weight = np.where(case, 1 / censoring.before(), 0.0)
    if control.any():
        weight = np.where(control, 1 / censoring.at(t), weight)
    return weight * (control - predicted) ** 2


def _brier_influence(censoring, t, predicted) -> tuple[float, np.ndarray]:
    """Brier score at time t and each unit's influence on it, shape (n,)."""
    share = _brier_shares(censoring, t, predicted)
    score = float(share.mean())
    until = np.where(censoring.time > t, t, np.nextafter(censoring.time, 0))
    return score, share - score + censoring.owed(share / len(share), until)


def _interval(value: float, se: float) -> tuple[float, float]:
    return float(np.clip(value - Z95 * se, 0, 1)), float(np.clip(value + Z95 * se, 0, 1))


def _positive(se: float) -> float:
    return float(se) if se > 1e-12 else np.nan
