"""Competing risks: cumulative incidence, Gray's test, Fine and Gray's regression.

`event` is 1 for the event of interest, 2 for a competing one that makes it impossible, 0 for censored; `cause` says
which of the two is asked for. A cause-specific Cox model needs nothing from here: it is `nenflow.models.cox.fit_cox`,
to which events of the other cause are censorings.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import chdtrc, ndtr

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import Z95
from nenflow.evaluation.survival import check_survival

_ROUNDS = 100  # a guard only; a fit takes about 5 rounds
_CONVERGED = 1e-18  # Newton's decrement, in units of the log-likelihood
_FARTHEST = 30.0  # log hazard ratios between units beyond this stand for infinity
_SINGULAR = 1e-10  # smallest part of a variable (in units of its sd) that the others must leave unexplained


def cumulative_incidence(time, event, group=None, cause: int = 1) -> pd.DataFrame:
    """Share of units that have had the event of one cause by each time (Aalen and Johansen, Scand J Stat 1978; 5:141).

    Unlike 1 - Kaplan-Meier it does not count those in whom a competing event has made the event impossible. Standard
    errors by the delta method (Marubini and Valsecchi 1995, section 10.3), which are those of R's survival::survfit;
    cmprsk::cuminc estimates the same variance with n - 1, slightly larger. Intervals on the log-log scale, which keeps
    them within 0 to 1 (Choudhury, Stat Med 2002; 21:1129).

    Args:
        time: follow-up, > 0, shape (n,).
        event: 0, 1 or 2, shape (n,).
        group: a label per unit; None for all together.
        cause: 1 or 2.

    Returns:
        Columns group (sorted; "all" without groups), time (each time of follow-up), at_risk, events, competing,
        censored, incidence, se, low, high (95 %; NaN before the first event).
    """
    time, kind = _kinds(time, event, cause)
    labels = np.full(len(time), "all") if group is None else _groups(group)
    parts = []
    for label in np.unique(labels):
        rows = labels == label
        part = _aalen_johansen(time[rows], kind[rows])
        part.insert(0, "group", label)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def gray_test(time, event, group, cause: int = 1) -> dict[str, float]:
    """Whether the cumulative incidence of one cause differs between groups (Gray, Ann Stat 1988; 16:1141), rho 0.

    The log-rank test of the subdistribution hazard: units that had a competing event count on, in the share that their
    group's incidence says. Same figures as R's cmprsk::cuminc, ties included.

    Args:
        time, event, cause: see `cumulative_incidence`.
        group: a label per unit.

    Returns:
        chi2, df, p.

    Raises:
        InputError: fewer than two groups, a unit without group, or no event of that cause.
    """
    time, kind = _kinds(time, event, cause)
    codes, labels = pd.factorize(_groups(group), sort=True)
    if len(labels) < 2:
        raise InputError("All units are in the same group, so there is no incidence to compare it with.")
    if not (kind == 1).any():
        raise InputError("Nobody had the event, so its incidence does not differ between groups; check the endpoint.")
    times = np.unique(time[kind > 0])
    member = codes[:, None] == np.arange(len(labels))
    at_risk = np.array([member[time >= t].sum(axis=0) for t in times], dtype=float)
    events, others = (np.array([member[(time == t) & (kind == k)].sum(axis=0) for t in times]) for k in (1, 2))
    score, covariance = _gray(at_risk, events, others)
    # A group that nobody can be compared with adds neither score nor variance.
    used = np.flatnonzero(np.diag(covariance) > 1e-12)[1:]
    df = len(used)
    part = np.linalg.pinv(covariance[np.ix_(used, used)], hermitian=True)
    chi2 = float(score[used] @ part @ score[used])
    return {"chi2": chi2, "df": df, "p": float(chdtrc(df, chi2)) if df else 1.0}


@dataclass(frozen=True)
class FineGrayFit:
    """A fitted model of the subdistribution hazard.

    Attributes:
        coef, se, p: log subdistribution hazard ratios, robust standard errors, Wald's p, shape (k,).
        covariance: shape (k, k).
        log_likelihood, null_log_likelihood: weighted partial likelihoods.
        n, events, competing: numbers of units.
        baseline: columns time and hazard, cumulative at variables of 0 (Breslow).
    """

    coef: np.ndarray
    se: np.ndarray
    p: np.ndarray
    covariance: np.ndarray
    log_likelihood: float
    null_log_likelihood: float
    n: int
    events: int
    competing: int
    baseline: pd.DataFrame

    def incidence(self, X, times) -> np.ndarray:
        """Predicted cumulative incidence at the times, shape (n, len(times))."""
        place = np.searchsorted(self.baseline["time"], np.asarray(times, dtype=float), side="right")
        hazard = np.concatenate([[0.0], self.baseline["hazard"]])[place]
        return -np.expm1(-np.exp(np.asarray(X, dtype=float) @ self.coef)[:, None] * hazard)


def fine_gray(X, time, event, cause: int = 1) -> FineGrayFit:
    """Proportional subdistribution hazards model (Fine and Gray, J Am Stat Assoc 1999; 94:496).

    Units with a competing event stay at risk with weight G(t-) / G(T-), G being Kaplan-Meier's chance of staying
    uncensored; ties by Breslow; the standard errors know that G is estimated. Same figures as R's cmprsk::crr; where an
    event and a censoring fall on one time, G counts the event first, as R's survival::finegray does and crr does not.

    Args:
        X: variables, shape (n, k).
        time, event, cause: see `cumulative_incidence`.

    Raises:
        InputError: values missing, no event, variables that are constant or combinations of others, or a variable
            whose hazard ratio has no finite estimate.
    """
    time, kind = _kinds(time, event, cause)
    X = np.asarray(X, dtype=float)
    _check_variables(X, kind)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    Z = (X - centre) / scale
    times, deaths = np.unique(time[kind == 1], return_counts=True)
    weights = _stay_at_risk(time, kind, times)
    own = Z[kind == 1].sum(axis=0)
    coef, log_likelihood, information = _maximise(Z, weights, deaths, own)
    null = _likelihood(Z, weights, deaths, own, np.zeros(Z.shape[1]))[0]
    inverse = np.linalg.inv(information)
    influence = _influence(Z, time, kind, times, deaths, weights, coef)
    covariance = inverse @ influence.T @ influence @ inverse / np.outer(scale, scale)
    coef, se = coef / scale, np.sqrt(np.diag(covariance))
    hazard = np.cumsum(deaths / (weights @ np.exp(X @ coef)))
    return FineGrayFit(
        coef=coef,
        se=se,
        p=2 * ndtr(-np.abs(coef / se)),
        covariance=covariance,
        log_likelihood=log_likelihood,
        null_log_likelihood=null,
        n=len(time),
        events=int((kind == 1).sum()),
        competing=int((kind == 2).sum()),
        baseline=pd.DataFrame({"time": times, "hazard": hazard}),
    )


def _kinds(time, event, cause: int) -> tuple[np.ndarray, np.ndarray]:
    """Times, and 1 for the cause in question, 2 for the other, 0 for censored."""
    if cause not in (1, 2):
        raise ValueError(f"cause must be 1 or 2, not {cause}")
    time, _ = check_survival(time, event)
    event = np.asarray(event).astype(int)
    return time, np.where(event == 0, 0, np.where(event == cause, 1, 2))


def _groups(group) -> np.ndarray:
    if pd.isna(pd.Series(group)).any():
        raise InputError("A unit has no group to compare incidences by; fill it or leave the unit out.")
    return np.asarray(group)


def _aalen_johansen(time: np.ndarray, kind: np.ndarray) -> pd.DataFrame:
    times, place = np.unique(time, return_inverse=True)
    censored, events, others = (np.bincount(place[kind == k], minlength=len(times)) for k in (0, 1, 2))
    left = censored + events + others
    at_risk = left[::-1].cumsum()[::-1]
    gone = events + others
    free = np.concatenate([[1.0], np.cumprod(1 - gone / at_risk)[:-1]])
    steps = free * events / at_risk
    incidence = np.cumsum(steps)
    # The variance at t sums (F(t) - F(s))^2 A(s) + B(s) - 2 (F(t) - F(s)) C(s) over s up to t.
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(at_risk > gone, gone / (at_risk * (at_risk - gone)), 0.0)
    b = free**2 * events * (at_risk - events) / at_risk**3
    c = free * events / at_risk**2
    first = incidence**2 * a.cumsum() - 2 * incidence * (incidence * a).cumsum() + (incidence**2 * a).cumsum()
    variance = first + b.cumsum() - 2 * (incidence * c.cumsum() - (incidence * c).cumsum())
    se = np.sqrt(np.maximum(variance, 0))
    columns = {"time": times, "at_risk": at_risk, "events": events, "competing": others, "censored": censored}
    low, high = _limits(incidence, se)
    return pd.DataFrame(columns | {"incidence": incidence, "se": se, "low": low, "high": high})


def _limits(incidence: np.ndarray, se: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(all="ignore"):
        margin = Z95 * se / (incidence * np.log(incidence))  # negative: the logarithm is
        low, high = incidence ** np.exp(-margin), incidence ** np.exp(margin)
    inside = (incidence > 0) & (incidence < 1)
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)


def _gray(at_risk: np.ndarray, events: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gray's scores of the groups and their covariance; arguments by time and group.

    In his notation: h = at risk / survival before, R = h (1 - incidence before); scores are events less their share
    R / sum of R. The variance takes the incidence F common to all groups, from h.
    """
    safe = np.where(at_risk > 0, at_risk, 1)
    after = np.cumprod(1 - (events + others) / safe, axis=0)
    before = _lag(after, 1.0)
    h = np.divide(at_risk, before, out=np.zeros_like(at_risk), where=at_risk > 0)
    R = h * (1 - _lag(np.cumsum(before * events / safe, axis=0), 0.0))
    died, total, h_total = events.sum(axis=1), R.sum(axis=1), h.sum(axis=1)
    score = events.sum(axis=0) - (R * _ratio(died, total)[:, None]).sum(axis=0)
    step = _ratio(died, h_total)
    common = np.cumsum(step)
    hazard = _ratio(step, 1 - _lag(common, 0.0))
    size = at_risk.shape[1]
    covariance = np.zeros((size, size))
    for r in range(size):
        weight = np.eye(size)[r][:, None] - _ratio(h, h_total[:, None]).T
        later = weight * h[:, r] * hazard
        later = later.sum(axis=1, keepdims=True) - np.cumsum(later, axis=1)  # what comes after each time
        left = h[:, r] * after[:, r]
        own = np.where(at_risk[:, r] > 0, weight - _ratio(later * (1 - common - after[:, r]), left), 0.0)
        other = _ratio(later * (1 - common), left)
        tied = 1 - _ratio(np.maximum(died - 1, 0), h_total * before[:, r] - 1)
        tied_others = 1 - _ratio(np.maximum(others[:, r] - 1, 0), at_risk[:, r] - 1)
        covariance += (own * h[:, r] * step * tied) @ own.T + (other * others[:, r] * tied_others) @ other.T
    return score, covariance


def _lag(values: np.ndarray, first: float) -> np.ndarray:
    """The values just before each time."""
    return np.concatenate([np.full_like(values[:1], first), values[:-1]])


def _ratio(over, under) -> np.ndarray:
    """Quotient, 0 where there is nothing to divide by."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=float), under)
    return np.divide(over, under, out=np.zeros_like(over), where=under > 1e-12)


def _check_variables(X: np.ndarray, kind: np.ndarray) -> None:
    if X.ndim != 2 or len(X) != len(kind):
        raise ValueError(f"variables of shape {X.shape} for {len(kind)} units")
    if not np.isfinite(X).all():
        raise InputError("A Fine-Gray model cannot be fitted with missing values; complete or leave out these units.")
    if not (kind == 1).any():
        raise InputError("Nobody had the event, so its incidence cannot be modelled; check the endpoint.")
    spread = X.std(axis=0)
    constant = spread <= 1e-12 * np.maximum(1, np.abs(X).max(axis=0))
    if not constant.any():
        smallest = np.linalg.svd((X - X.mean(axis=0)) / spread, compute_uv=False)[-1] if X.shape[1] < len(X) else 0.0
    if constant.any() or smallest < _SINGULAR * np.sqrt(len(X)):
        raise InputError("A variable of the Fine-Gray model is constant or a combination of the others; leave it out.")


def _stay_at_risk(time: np.ndarray, kind: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Weight of each unit in the risk set of each event time, shape (times, units)."""
    moments, censored = np.unique(time[kind == 0], return_counts=True)
    there = np.array([((time > m) | ((time == m) & (kind == 0))).sum() for m in moments])
    uncensored = np.concatenate([[1.0], np.cumprod(1 - _ratio(censored, there))])
    later = uncensored[np.searchsorted(moments, times)]
    before = uncensored[np.searchsorted(moments, time)]
    kept = np.where(kind == 2, later[:, None] / before, 0.0)
    return np.where(time >= times[:, None], 1.0, kept)


def _likelihood(Z, weights, deaths, own, coef) -> tuple[float, np.ndarray, np.ndarray]:
    """Weighted partial log-likelihood by Breslow, its score and information."""
    size = np.exp(Z @ coef)
    total = weights @ size
    mean = weights @ (size[:, None] * Z) / total[:, None]
    value = float(own @ coef - deaths @ np.log(total))
    squares = ((deaths / total) @ weights * size * Z.T) @ Z
    return value, own - deaths @ mean, squares - (mean * deaths[:, None]).T @ mean


def _maximise(Z, weights, deaths, own) -> tuple[np.ndarray, float, np.ndarray]:
    """Newton's method, steps halved where the likelihood falls."""
    coef = np.zeros(Z.shape[1])
    value, score, information = _likelihood(Z, weights, deaths, own, coef)
    for _ in range(_ROUNDS):
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        decrement = score @ step
        while np.ptp(Z @ (coef + step)) <= _FARTHEST:
            new = _likelihood(Z, weights, deaths, own, coef + step)
            if new[0] >= value - 1e-12 * (1 + abs(value)):
                break
            step = step / 2
        else:
            break
        coef, (value, score, information) = coef + step, new
        if decrement < _CONVERGED:
            return coef, value, information
    raise InputError(
        "A variable of the Fine-Gray model parts units with the event from those without, so that its hazard ratio has "
        "no finite estimate; leave it out or join its levels."
    )


def _influence(Z, time, kind, times, deaths, weights, coef) -> np.ndarray:
    """Each unit's part in the score, what it adds to the estimate of G included; eta + psi of Fine and Gray."""
    size = np.exp(Z @ coef)
    total = weights @ size
    mean = weights @ (size[:, None] * Z) / total[:, None]
    expected = weights * size * (deaths / total)[:, None]  # events by time and unit
    result = expected.T @ mean - expected.sum(axis=0)[:, None] * Z
    result[kind == 1] += Z[kind == 1] - mean[np.searchsorted(times, time[kind == 1])]
    for moment in np.unique(time[kind == 0]):
        kept, later = (kind == 2) & (time <= moment), times > moment
        part = expected[np.ix_(later, kept)]
        owed = part.sum(axis=0) @ Z[kept] - part.sum(axis=1) @ mean[later]
        at_risk, censored = time >= moment, (time == moment) & (kind == 0)
        share = censored.sum() / at_risk.sum()
        result += np.outer(censored - at_risk * share, owed) / at_risk.sum()
    return result
