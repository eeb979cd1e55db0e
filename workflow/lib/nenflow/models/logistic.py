"""Logistic regression by maximum likelihood, and by Firth's penalised likelihood where lesions are separated.

Separation: a combination of the variables tells events from non-events without error (complete), or with errors on its
border only (quasi-complete). Then some odds ratio has no finite estimate (Albert & Anderson 1984, Biometrika 71:1), and
Wald's p goes to 1 for the very variable that explains most (Hauck & Donner 1977). Likelihood ratios stay meaningful.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log1p

import numpy as np
from numba import njit
from scipy.optimize import linprog
from scipy.special import chdtrc, chdtri, ndtr

from nenflow.errors import InputError
from nenflow.models.likelihood import backward, cholesky, forward, independent, interval_end, separates

_ROUNDS = 200  # a guard only; a fit takes 4 to 10 rounds
_CONVERGED = 1e-20  # Newton's decrement, in units of the log-likelihood
_MODERATE = 15.0  # linear predictors up to here are told apart from infinite ones by a vanishing score
_FARTHEST = 30.0  # beyond it a probability equals 0 or 1 to 13 digits


@dataclass(frozen=True)
class Fit:
    """A fitted logistic model; index 0 is the intercept, then the variables in their order.

    Attributes:
        coef, se, p: coefficients, standard errors and Wald's p, shape (1 + k,).
        covariance: shape (1 + k, 1 + k).
        log_likelihood: of Firth's fit with its penalty.
        separated: the lesions are separated, so a maximum-likelihood fit has no finite coefficients: those given here
            are where the search stopped, and only `log_likelihood` (its supremum) has a meaning.
        firth: fitted by Firth's penalised likelihood.
        aliased: variables that are constant or a combination of those before them; coefficient 0, p 1, shape (1 + k,).
    """

    coef: np.ndarray
    se: np.ndarray
    covariance: np.ndarray
    p: np.ndarray
    log_likelihood: float
    separated: bool
    firth: bool
    aliased: np.ndarray

    def linear_predictor(self, X: np.ndarray) -> np.ndarray:
        """Log odds of the event for variables of shape (n, k)."""
        return self.coef[0] + np.asarray(X, dtype=float) @ self.coef[1:]


def fit_logistic(X: np.ndarray, y: np.ndarray, firth: bool = False) -> Fit:
    """Fit a logistic model with intercept by Newton's method.

    Args:
        X: variables, shape (n, k); k may be 0.
        y: outcome, 0 or 1, shape (n,).
        firth: maximise the likelihood penalised by Jeffreys' prior (Firth 1993; Heinze & Schemper 2002), whose maximum
            is finite even where lesions are separated.

    Raises:
        InputError: the outcome has one class only or is not 0 or 1, or values are missing.
    """
    design, y = _design(X, y)
    kept = independent(design)
    used = design if kept.all() else np.ascontiguousarray(design[:, kept])
    found, log_likelihood, converged, largest, information = _fitted(used, y, firth)
    separated = not (converged and largest <= _MODERATE) and is_separated(used[:, 1:], y, found)
    coef, covariance = found, np.linalg.pinv(information) if separated else np.linalg.inv(information)
    if used is not design:
        coef, of_used = np.zeros(design.shape[1]), covariance
        covariance = np.full((design.shape[1],) * 2, np.nan)
        coef[kept], covariance[np.ix_(kept, kept)] = found, of_used
    se = np.sqrt(np.diag(covariance))
    p = np.where(kept, 2 * ndtr(-np.abs(coef / se)), 1.0)
    return Fit(coef, se, covariance, p, log_likelihood, bool(separated), firth, ~kept)


def is_separated(X: np.ndarray, y: np.ndarray, direction: np.ndarray | None = None) -> bool:
    """Whether some combination of the variables separates the outcomes, completely or quasi-completely.

    Albert & Anderson's condition as a linear program: is there a direction b with s * (1, x) b >= 0 for all lesions
    (s = 1 for events, -1 otherwise) and > 0 for one? It is bounded to a box and its sum maximised, so that it is zero
    only if there is none. The columns must be linearly independent. A `direction` (intercept first) that tells all
    apart answers the question without the program, and a single variable does by its order.
    """
    design, y = _design(X, y)
    if design.shape[1] == 2:
        with_event, without = design[y == 1, 1], design[y == 0, 1]
        return bool(with_event.min() >= without.max() or without.min() >= with_event.max())
    spread = design.std(axis=0)
    spread[0] = 1
    centre = design.mean(axis=0)
    centre[0] = 0
    if direction is not None and separates((design @ direction) * np.where(y == 1, 1, -1), direction * spread):
        return True
    signed = (design - centre) / spread * np.where(y == 1, 1, -1)[:, None]
    answer = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    return -answer.fun > 1e-6


def likelihood_ratio(X: np.ndarray, y: np.ndarray, columns: int | Sequence[int], firth: bool = False) -> float:
    """P value of leaving variables out together, by the likelihood ratio (penalised with `firth`).

    Valid under separation. The chi-square has one degree of freedom for each variable that is not aliased.

    Args:
        X: variables, shape (n, k).
        y: outcome, 0 or 1, shape (n,).
        columns: the variable or variables in question, 0 to k - 1.
        firth: compare penalised likelihoods, the penalty that of all the variables (Heinze & Schemper 2002).
    """
    design, y = _design(X, y)
    kept = independent(design)
    out = np.zeros(len(kept), dtype=np.bool_)
    out[np.atleast_1d(columns) + 1] = True
    df = int((out & kept).sum())
    if df == 0:
        return 1.0
    used = np.ascontiguousarray(design[:, kept])
    free = np.ones(used.shape[1], dtype=np.bool_)
    full = _maximise(used, y, np.zeros(used.shape[1]), free, firth)[1]
    free[out[kept]] = False
    without = _maximise(used, y, np.zeros(used.shape[1]), free, firth)[1]
    return float(chdtrc(df, max(2 * (full - without), 0.0)))


def profile_interval(
    X: np.ndarray, y: np.ndarray, column: int, firth: bool = False, level: float = 0.95
) -> tuple[float, float]:
    """Profile-likelihood interval of a coefficient, by root finding; a side without end is infinite.

    The interval holds the values that a likelihood-ratio test does not reject while all the other coefficients are
    fitted anew (Venzon & Moolgavkar 1988); with `firth`, penalised likelihoods are compared (Heinze & Schemper 2002).

    Args:
        X: variables, shape (n, k).
        y: outcome, 0 or 1, shape (n,).
        column: -1 for the intercept, 0 to k - 1 for a variable.
        firth: see `fit_logistic`.
        level: confidence level.
    """
    design, y = _design(X, y)
    fit = fit_logistic(X, y, firth)
    j = column + 1
    if fit.aliased[j]:
        return -np.inf, np.inf
    kept = ~fit.aliased
    used, start = np.ascontiguousarray(design[:, kept]), fit.coef[kept]
    place = kept[:j].sum()
    free = np.ones(used.shape[1], dtype=np.bool_)
    free[place] = False
    drop = chdtri(1, 1 - level)

    # Where the other coefficients are on the way: left behind, an intercept far from the data would hide the maximum.
    way = np.zeros_like(start) if fit.separated and not firth else fit.covariance[kept, j] / fit.covariance[j, j]

    def excess(value: float) -> float:
        begin = start + (value - fit.coef[j]) * way
        begin[place] = value
        return 2 * (fit.log_likelihood - _maximise(used, y, begin, free, firth)[1]) - drop

    # Under separation the standard error says nothing, so the way out goes in steps of one sd of the variable.
    step = 1 / max(used[:, place].std(), 0.1) if fit.separated and not firth else fit.se[j]
    return interval_end(excess, fit.coef[j], -step), interval_end(excess, fit.coef[j], step)


def _design(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, y = np.asarray(X, dtype=float), np.ascontiguousarray(y, dtype=float)
    design = np.ones((len(y), X.shape[1] + 1))
    design[:, 1:] = X
    if not np.isfinite(design).all():
        raise InputError("A logistic model cannot be fitted with missing values; complete the table or leave rows out.")
    events = np.count_nonzero(y == 1)
    if events + np.count_nonzero(y == 0) < len(y):
        raise InputError("The outcome of a logistic model must be 0 or 1 in every lesion; leave out those without one.")
    if events in (0, len(y)):
        raise InputError("The outcome is the same in all lesions; a logistic model needs lesions with and without it.")
    return design, y


@njit(cache=True)
def _likelihood(design, y, coef, firth, probability, information, L):
    """(Penalised) log-likelihood; fills probability, information and its factor."""
    n, k = design.shape
    information[:] = 0.0
    total = 0.0
    for i in range(n):
        eta = 0.0
        for a in range(k):
            eta += design[i, a] * coef[a]
        small = exp(-abs(eta))
        probability[i] = 1 / (1 + small) if eta > 0 else small / (1 + small)
        total -= log1p(small) + (max(-eta, 0.0) if y[i] > 0.5 else max(eta, 0.0))
        weight = small / (1 + small) ** 2
        for a in range(k):
            for b in range(a + 1):
                information[a, b] += weight * design[i, a] * design[i, b]
    regular = cholesky(information, L)
    if firth:
        if not regular:
            return -np.inf
        for a in range(k):
            total += np.log(L[a, a])
    return total


@njit(cache=True)
def _score(design, y, firth, probability, L, score):
    """Derivative of the (penalised) log-likelihood in all coefficients."""
    n, k = design.shape
    score[:] = 0.0
    row = np.empty(k)
    for i in range(n):
        residual = y[i] - probability[i]
        if firth:
            row[:] = design[i]
            forward(L, row)
            leverage = 0.0
            for a in range(k):
                leverage += row[a] * row[a]
            leverage *= probability[i] * (1 - probability[i])
            residual += leverage * (0.5 - probability[i])
        for a in range(k):
            score[a] += residual * design[i, a]


@njit(cache=True)
def _maximise(design, y, start, free, firth):
    """Newton's method over the free coefficients, steps halved where the likelihood falls.

    Returns the coefficients, the (penalised) log-likelihood and whether the score vanished.
    """
    n, k = design.shape
    coef, trial, score = start.copy(), start.copy(), np.empty(k)
    probability, information, L = np.empty(n), np.empty((k, k)), np.zeros((k, k))
    places = np.flatnonzero(free)
    part, factor, step = (
        np.empty((places.size, places.size)),
        np.zeros((places.size, places.size)),
        np.empty(places.size),
    )
    value = _likelihood(design, y, coef, firth, probability, information, L)
    for _ in range(_ROUNDS):
        _score(design, y, firth, probability, L, score)
        for a in range(places.size):
            step[a] = score[places[a]]
            for b in range(a + 1):
                part[a, b] = information[places[a], places[b]]
        if not cholesky(part, factor):
            return coef, value, False
        forward(factor, step)
        decrement = (step * step).sum()
        backward(factor, step)
        if not firth and np.abs(design @ coef).max() > _FARTHEST and decrement < 1e-10:
            return coef, value, False
        length = 1.0
        while True:
            for a in range(places.size):
                trial[places[a]] = coef[places[a]] + length * step[a]
            new = _likelihood(design, y, trial, firth, probability, information, L)
            if new >= value - 1e-12 * (1 + abs(value)) or length < 1e-10:
                break
            length /= 2
        coef[:] = trial
        value = new
        if decrement < _CONVERGED:
            return coef, value, True
    return coef, value, False


@njit(cache=True)
def _fitted(design, y, firth):
    """The maximum over all coefficients: those of `_maximise`, the largest linear predictor, and the information."""
    n, k = design.shape
    coef, value, converged = _maximise(design, y, np.zeros(k), np.ones(k, np.bool_), firth)
    largest, information = 0.0, np.zeros((k, k))
    for i in range(n):
        eta = 0.0
        for a in range(k):
            eta += design[i, a] * coef[a]
        largest = max(largest, abs(eta))
        weight = exp(-abs(eta)) / (1 + exp(-abs(eta))) ** 2
        for a in range(k):
            for b in range(k):
                information[a, b] += weight * design[i, a] * design[i, b]
    return coef, value, converged, largest, information
