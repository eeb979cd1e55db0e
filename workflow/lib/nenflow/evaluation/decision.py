from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numba import njit

from nenflow.errors import InputError
from nenflow.evaluation.concordance import check_scored
from nenflow.evaluation.discrimination import check_outcome

THRESHOLDS = np.arange(1, 100) / 100
LEVELS = (0.025, 0.975)


def net_benefit(y, probability, thresholds) -> np.ndarray:
    """Net benefit of acting on the units with a probability at or above each threshold.

    Vickers and Elkin, Med Decis Making 2006; 26:565: true positives per unit, less false positives per unit times the
    odds of the threshold.

    Args:
        y: 0/1 per unit, 1 = event.
        probability: predicted probability of the event, 0 to 1.
        thresholds: probabilities above 0 and below 1.
    """
    event, p, t = np.asarray(y) == 1, np.asarray(probability, dtype=float), np.asarray(thresholds, dtype=float)
    true = event.sum() - np.searchsorted(np.sort(p[event]), t)
    false = (~event).sum() - np.searchsorted(np.sort(p[~event]), t)
    return (true - false * t / (1 - t)) / len(p)


def net_benefit_survival(time, event, risk, at: float, thresholds) -> np.ndarray:
    """Net benefit when the event by a time is what is acted on (Vickers et al., BMC Med Inform Decis Mak 2008; 8:53).

    The share with the event among those acted on is 1 - Kaplan-Meier at that time, or, with competing events, the
    cumulative incidence (Aalen-Johansen): whoever died of something else can no longer benefit.

    Args:
        time, event: time to event > 0; 1 event, 0 censored, 2 competing event.
        risk: predicted probability of the event by `at`.
        at: the time, in the unit of `time`.
        thresholds: probabilities above 0 and below 1.

    Returns:
        One value per threshold; 0 where nobody is acted on, NaN where nobody of those acted on is followed so long.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=float)
    risk, t = np.asarray(risk, dtype=float), np.asarray(thresholds, dtype=float)
    order = np.argsort(time, kind="stable")
    shares = _incidence_above(time[order], event[order], risk[order], float(at), t)
    acted = (len(risk) - np.searchsorted(np.sort(risk), t)) / len(risk)
    with np.errstate(invalid="ignore"):
        benefit = acted * (shares - (1 - shares) * t / (1 - t))
    return np.where(acted > 0, benefit, 0.0)


@njit(cache=True)
def _incidence_above(time, event, risk, at, thresholds):
    """Cumulative incidence of event 1 at a time among units with a risk at or above each threshold; rows by time."""
    n = time.size
    found = np.full(thresholds.size, np.nan)
    for j in range(thresholds.size):
        left = 0
        for i in range(n):
            if risk[i] >= thresholds[j]:
                left += 1
        free, incidence, followed, i = 1.0, 0.0, False, 0
        while i < n and left > 0:
            if time[i] > at:
                followed = True
                break
            here, events, others, now = 0, 0, 0, time[i]
            while i < n and time[i] == now:
                if risk[i] >= thresholds[j]:
                    here += 1
                    events += event[i] == 1
                    others += event[i] == 2
                i += 1
            incidence += free * events / left
            free *= 1 - (events + others) / left
            left -= here
            followed = now == at
        if followed or free < 1e-12:
            found[j] = incidence
    return found


def decision_curve(y, probability, thresholds=THRESHOLDS, draws: Sequence[np.ndarray] = ()) -> pd.DataFrame:
    """Net benefit of acting on a model, on everybody and on nobody (Vickers and Elkin, Med Decis Making 2006; 26:565).

    A unit is acted on when its probability is at or above the threshold. Not smoothed and not corrected for optimism
    (see `corrected_decision`).

    Args:
        y: 0/1 per unit, 1 = event.
        probability: predicted probability of the event, 0 to 1.
        thresholds: probabilities above 0 and below 1.
        draws: rows of resamples, as `patient_resample` draws them, for an interval.

    Returns:
        Columns threshold, strategy (model, all, none), net_benefit (true positives per unit) and with draws low, high
        (percentiles 2.5 and 97.5 over the resamples, the model as it is); one row per strategy and threshold,
        strategies in that order.
    """
    event, _ = check_outcome(y, probability)
    p, t = np.asarray(probability, dtype=float), _check_thresholds(thresholds)

    def curves(rows: np.ndarray) -> np.ndarray:
        return np.array([net_benefit(event[rows], p[rows], t), net_benefit(event[rows], np.ones(len(rows)), t), 0 * t])

    return _curve(curves, len(p), t, draws)


def decision_curve_survival(
    time, event, risk, at: float, thresholds=THRESHOLDS, draws: Sequence[np.ndarray] = ()
) -> pd.DataFrame:
    """As `decision_curve` for the event by a time; arguments as in `net_benefit_survival`."""
    check_scored(time, event, risk)
    time, event, risk = np.asarray(time, dtype=float), np.asarray(event, dtype=float), np.asarray(risk, dtype=float)
    t = _check_thresholds(thresholds)

    def curves(rows: np.ndarray) -> np.ndarray:
        units = time[rows], event[rows]
        everybody = net_benefit_survival(*units, np.ones(len(rows)), at, t)
        return np.array([net_benefit_survival(*units, risk[rows], at, t), everybody, 0 * t])

    return _curve(curves, len(risk), t, draws)


def _check_thresholds(thresholds) -> np.ndarray:
    t = np.asarray(thresholds, dtype=float)
    if not ((t > 0) & (t < 1)).all():
        raise InputError("A threshold of a decision curve must lie between 0 and 1, both excluded; mend the settings.")
    return t


def _curve(curves: Callable[[np.ndarray], np.ndarray], n: int, thresholds, draws) -> pd.DataFrame:
    columns = {"net_benefit": curves(np.arange(n))}
    drawn = np.array([curves(rows) for rows in draws])
    if len(drawn):
        # a threshold that some resamples have no figure for has percentiles of the others
        columns["low"], columns["high"] = pd.DataFrame(drawn.reshape(len(drawn), -1)).quantile(LEVELS).to_numpy()
    names = np.repeat(["model", "all", "none"], len(thresholds))
    table = {"threshold": np.tile(thresholds, 3), "strategy": names}
    return pd.DataFrame(table | {name: values.ravel() for name, values in columns.items()})


def corrected_decision(curve: pd.DataFrame, optimism: pd.DataFrame) -> pd.DataFrame:
    """A decision curve with a column `corrected`: the model's net benefit less its mean optimism over refits.

    Args:
        curve: from `decision_curve` or `decision_curve_survival`.
        optimism: columns predicted (the threshold) and net_benefit (training minus test), as `refit_resamples` gives
            them; of one time only.

    Returns:
        The curve; acting on all or none has no optimism.
    """
    mean = optimism.assign(threshold=optimism["predicted"].round(9)).groupby("threshold")["net_benefit"].mean()
    excess = mean.reindex(curve["threshold"].round(9)).to_numpy()
    return curve.assign(corrected=curve["net_benefit"] - np.where(curve["strategy"] == "model", excess, 0.0))
