"""Times to an event without a model: Kaplan-Meier curves, follow-up, log-rank tests.

Own rather than lifelines: curves in R's three kinds of interval, R's medians where a curve rests on one half, and
log-rank tests with strata, trend and R's Peto weights, none of which lifelines has.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtri

from nenflow.errors import InputError

INTERVALS = ("log", "log-log", "plain")
_TOUCHES = 1e-9  # a curve this close to one half rests on it
_Z95 = ndtri(0.975)


def check_survival(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times as floats and whether each ended in the event.

    Args:
        time: follow-up, > 0, in one unit, shape (n,).
        event: 1 event, 0 censored, 2 competing event, which counts as censored here, shape (n,).

    Raises:
        InputError: times that are missing or not above 0, or events that are not 0, 1 or 2.
    """
    time, event = np.asarray(time, dtype=float), np.asarray(event, dtype=float)
    if time.ndim != 1 or time.shape != event.shape:
        raise ValueError(f"time and event differ in shape: {time.shape} and {event.shape}")
    if not time.size:
        raise InputError("There is no follow-up at all; check the endpoint's columns and who is excluded.")
    right = (time > 0) & (time < np.inf)
    if not right.all():
        wrong = int((~right).sum())
        raise InputError(f"{wrong} of {len(time)} follow-up times are missing or not above 0; mend or exclude them.")
    died = event == 1
    if not (died | (event == 0) | (event == 2)).all():
        raise InputError("An event is neither 0 (censored), 1 (event) nor 2 (competing event); check the endpoint.")
    return time, died


def kaplan_meier(time: np.ndarray, event: np.ndarray, interval: str = "log") -> pd.DataFrame:
    """Product-limit estimate (Kaplan & Meier 1958, JASA 53:457) with 95% intervals at each time of follow-up.

    People censored at the time of an event are still at risk then. A competing event counts as censored: where there
    are any, 1 - survival is no share of people (see Aalen-Johansen's estimate instead).

    Args:
        time, event: see `check_survival`.
        interval: scale on which Greenwood's error (1926) is taken: "log" (R's), "log-log" (lifelines', SAS's) or
            "plain"; limits are kept within 0 and 1.

    Returns:
        time (ascending), at_risk, events, censored, survival, se (of survival), low, high. se, low and high are NaN
        where survival has come to 0.
    """
    time, died = check_survival(time, event)
    times, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=died).astype(int)
    left = np.bincount(place)
    at_risk = left[::-1].cumsum()[::-1]
    survival = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(np.cumsum(events / (at_risk * (at_risk - events))))
        low, high = _limits(survival, relative, interval)
        se = np.where(survival > 0, survival * relative, np.nan)
    columns = {"time": times, "at_risk": at_risk, "events": events, "censored": left - events}
    return pd.DataFrame(columns | {"survival": survival, "se": se, "low": low, "high": high})


def _limits(survival: np.ndarray, relative: np.ndarray, interval: str) -> tuple[np.ndarray, np.ndarray]:
    """95% limits from survival and its error relative to survival; NaN where survival is 0."""
    if interval not in INTERVALS:
        raise ValueError(f"interval must be one of {', '.join(INTERVALS)}, not {interval!r}")
    if interval == "log":
        low, high = survival * np.exp(-_Z95 * relative), survival * np.exp(_Z95 * relative)
    elif interval == "plain":
        low, high = survival * (1 - _Z95 * relative), survival * (1 + _Z95 * relative)
    else:
        log = np.log(survival)
        width = np.where(survival < 1, -_Z95 * relative / log, 0.0)
        low, high = survival ** np.exp(width), survival ** np.exp(-width)
    gone = survival == 0
    return np.where(gone, np.nan, np.clip(low, 0, 1)), np.where(gone, np.nan, np.clip(high, 0, 1))


def at_times(curve: pd.DataFrame, times: Sequence[float]) -> pd.DataFrame:
    """A Kaplan-Meier curve at given times: time, at_risk, survival, se, low, high.

    at_risk are the people whose follow-up reaches that time. After the last time of follow-up nobody is at risk and
    the curve stays where it was (R's `extend`): such rows should be marked by whoever prints them.
    """
    times = np.asarray(times, dtype=float)
    known = curve["time"].to_numpy()
    before = np.searchsorted(known, times, side="right")
    columns = {
        name: np.concatenate([[start], curve[name]])[before]
        for name, start in (("survival", 1.0), ("se", 0.0), ("low", 1.0), ("high", 1.0))
    }
    at_risk = np.append(curve["at_risk"], 0)[np.searchsorted(known, times)]
    return pd.DataFrame({"time": times, "at_risk": at_risk} | columns)


def median_survival(curve: pd.DataFrame) -> tuple[float, float, float]:
    """Median time with its 95% interval, from a Kaplan-Meier curve; NaN where a curve does not come down to one half.

    The limits are where the curve's own limits come down to one half (Brookmeyer & Crowley 1982, Biometrics 38:29).
    Where a curve rests on one half, the middle of that step is taken, as in R.
    """
    time = curve["time"].to_numpy()
    return tuple(_half(time, curve[name].to_numpy()) for name in ("survival", "low", "high"))


def _half(time: np.ndarray, height: np.ndarray) -> float:
    reached = np.flatnonzero(height <= 0.5 + _TOUCHES)
    if not reached.size:
        return float("nan")
    start = reached[0]
    below = np.flatnonzero(height < 0.5 - _TOUCHES)
    if height[start] >= 0.5 - _TOUCHES and below.size:
        return float(time[start] + time[below[0]]) / 2
    return float(time[start])


def restricted_mean(curve: pd.DataFrame, until: float) -> tuple[float, float]:
    """Mean time up to a limit, the area under a Kaplan-Meier curve, and its standard error.

    Irwin (1949), error as in Klein & Moeschberger (2003, section 4.5). Beyond the last time of follow-up the curve is
    taken to stay where it was.
    """
    inside = curve[curve["time"] < until]
    edges = np.concatenate([[0.0], inside["time"], [until]])
    areas = np.diff(edges) * np.concatenate([[1.0], inside["survival"]])
    at_risk, events = inside["at_risk"].to_numpy(), inside["events"].to_numpy()
    alive = at_risk > events  # where the last one dies nothing is left to vary
    beyond = areas[::-1].cumsum()[::-1][1:]
    variance = (beyond[alive] ** 2 * events[alive] / (at_risk[alive] * (at_risk[alive] - events[alive]))).sum()
    return float(areas.sum()), float(np.sqrt(variance))


def median_follow_up(time: np.ndarray, event: np.ndarray, interval: str = "log") -> tuple[float, float, float]:
    """Median follow-up with its 95% interval by the reverse Kaplan-Meier method (Schemper & Smith 1996).

    Being censored is the event; the event, and a competing one, cut short how long somebody would have been followed.
    """
    check_survival(time, event)
    return median_survival(kaplan_meier(time, np.asarray(event) == 0, interval))


def logrank(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, rho: float = 0, strata: np.ndarray | None = None
) -> dict[str, object]:
    """Whether survival differs between groups: log-rank test (Mantel 1966), or Peto & Peto's with rho 1.

    Harrington & Fleming's family (1982, Biometrika 69:553): differences are weighted by survival^rho just before each
    event, survival being Kaplan-Meier's of all groups (of a stratum) together, as in R. lifelines' "peto" takes
    another estimate of survival and gives other figures.

    Args:
        time, event: see `check_survival`.
        group: label per row; groups are reported in the order of their sorted labels.
        rho: 0 log-rank, 1 Peto & Peto.
        strata: label per row; observed and expected events are compared within strata and then summed.

    Returns:
        chi2, df, p, groups (labels), n, observed and expected (weighted events) by group. Groups in which no event
        could happen are left out of chi2 and df.

    Raises:
        InputError: fewer than two groups, a row without group, or no event.
    """
    labels, observed, expected, variance, n = _compare(time, event, group, rho, strata)
    used = np.flatnonzero(expected > 0)
    difference = (observed - expected)[used[1:]]
    part = variance[np.ix_(used[1:], used[1:])]
    df = max(len(used) - 1, 0)
    chi2 = float(difference @ np.linalg.pinv(part, hermitian=True) @ difference) if df else 0.0
    p = float(chdtrc(df, chi2)) if df else 1.0
    return {"chi2": chi2, "df": df, "p": p, "groups": labels, "n": n, "observed": observed, "expected": expected}


def trend_test(
    time: np.ndarray, event: np.ndarray, group: np.ndarray, strata: np.ndarray | None = None
) -> dict[str, float]:
    """Log-rank test for trend over ordered groups (Tarone 1975, Biometrika 62:679): chi2, df 1, p.

    Args:
        time, event, strata: see `logrank`.
        group: number per row, such as a grade of 1 to 3; the distances between the numbers count.
    """
    scores, observed, expected, variance, _ = _compare(time, event, np.asarray(group, dtype=float), 0, strata)
    spread = scores @ variance @ scores
    chi2 = float((scores @ (observed - expected)) ** 2 / spread) if spread > 0 else 0.0
    return {"chi2": chi2, "df": 1, "p": float(chdtrc(1, chi2))}


def _compare(
    time, event, group, rho: float, strata
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels of the groups, weighted observed and expected events, their covariance, people; summed over strata."""
    time, died = check_survival(time, event)
    codes, labels = pd.factorize(np.asarray(group), sort=True)
    parts = np.zeros(len(time), dtype=int) if strata is None else pd.factorize(np.asarray(strata))[0]
    if (codes < 0).any() or (parts < 0).any():
        raise InputError("A row has no group or no stratum to compare survival by; fill it or leave the row out.")
    if len(labels) < 2:
        raise InputError("All rows are in the same group, so there is no survival to compare it with.")
    if not died.any():
        raise InputError("Nobody had the event, so survival does not differ between groups; check the endpoint.")
    size = len(labels)
    observed, expected, variance = np.zeros(size), np.zeros(size), np.zeros((size, size))
    for part in range(parts.max() + 1):
        rows = parts == part
        if died[rows].any():
            of_stratum = _compare_stratum(time[rows], died[rows], codes[rows], size, rho)
            observed, expected, variance = observed + of_stratum[0], expected + of_stratum[1], variance + of_stratum[2]
    return labels, observed, expected, variance, np.bincount(codes, minlength=size)


def _compare_stratum(
    time: np.ndarray, died: np.ndarray, codes: np.ndarray, size: int, rho: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    times = np.unique(time[died])
    ends = np.searchsorted(times, time, side="right")
    at_risk, events = np.zeros((len(times) + 1, size)), np.zeros((len(times), size))
    np.add.at(at_risk, (ends, codes), 1)
    at_risk = at_risk[::-1].cumsum(axis=0)[::-1][1:]  # whose follow-up reaches the time
    np.add.at(events, (ends[died] - 1, codes[died]), 1)
    n, d = at_risk.sum(axis=1), events.sum(axis=1)
    survival = np.concatenate([[1.0], np.cumprod(1 - d / n)[:-1]])
    weight, share = survival**rho, at_risk / n[:, None]
    spread = weight**2 * d * (n - d) / np.maximum(n - 1, 1)
    variance = np.diag(spread @ share) - share.T @ (share * spread[:, None])
    return weight @ events, weight @ (d[:, None] * share), variance
