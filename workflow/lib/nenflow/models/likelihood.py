"""What models fitted by maximum likelihood share: independent columns, small factorisations, intervals."""

from collections.abc import Callable
from math import sqrt

import numpy as np
from numba import njit
from scipy.optimize import brentq
from scipy.special import ndtri

_ALIASED = 1e-9  # a variable whose part not explained by those before it is smaller than this adds nothing
_STEPS = 20  # an interval's end not found in so many steps, each half as long again, lies at infinity
_HALF_WIDTH = ndtri(0.975)  # standard errors to each end of Wald's 95 % interval


def wald_ratios(coef: np.ndarray, se: np.ndarray) -> np.ndarray:
    """Odds or hazard ratios with Wald's 95 % intervals: ratio, low and high, shape (3, k).

    Args:
        coef, se: log ratios and their standard errors, shape (k,).
    """
    with np.errstate(over="ignore"):  # a ratio beyond all numbers is infinite
        return np.exp([coef, coef - _HALF_WIDTH * se, coef + _HALF_WIDTH * se])


def separates(gains: np.ndarray, direction: np.ndarray) -> bool:
    """Whether all gain by a move in a direction, in standard deviations of the variables, and more than by rounding."""
    return bool(gains.min() > 0 and gains.sum() > 1e-3 * np.abs(direction).max())


def interval_end(excess: Callable[[float], float], centre: float, step: float) -> float:
    """Where `excess` becomes positive on the way from the centre in ever larger steps; infinity where it never does."""
    near = centre
    for _ in range(_STEPS):
        far = near + step
        if excess(far) > 0:
            return float(brentq(excess, near, far, xtol=1e-12, rtol=1e-12))
        near, step = far, 1.5 * step
    return float(np.copysign(np.inf, step))


@njit(cache=True, error_model="numpy")
def independent(design):
    """Which columns are no combination of the columns before them (Gram-Schmidt, twice for accuracy).

    The first column is the intercept; what counts of the others is how much they vary.
    """
    n, k = design.shape
    basis = np.zeros((k, n))
    kept = np.zeros(k, np.bool_)
    for j in range(k):
        rest = design[:, j].copy()
        size = sqrt(n) * (1.0 if j == 0 else rest.std())
        if rest.min() == rest.max() and j > 0:
            continue
        for _ in range(2):
            for b in range(j):
                if kept[b]:
                    rest -= (basis[b] * rest).sum() * basis[b]
        length = sqrt((rest * rest).sum())
        if length > _ALIASED * size:
            kept[j] = True
            basis[j] = rest / length
    return kept


@njit(cache=True, error_model="numpy")
def cholesky(A, L):
    """Lower factor of A into L; twice the log of its diagonal's product is log |A|. False where A is singular."""
    for a in range(A.shape[0]):
        for b in range(a + 1):
            value = A[a, b]
            for c in range(b):
                value -= L[a, c] * L[b, c]
            if b < a:
                L[a, b] = value / L[b, b]
            elif value <= 1e-14 * A[a, a] or not value > 0:
                return False
            else:
                L[a, a] = sqrt(value)
    return True


@njit(cache=True, error_model="numpy")
def forward(L, x):
    """Solve L x = x in place."""
    for a in range(x.size):
        for c in range(a):
            x[a] -= L[a, c] * x[c]
        x[a] /= L[a, a]


@njit(cache=True, error_model="numpy")
def backward(L, x):
    """Solve L' x = x in place."""
    for a in range(x.size - 1, -1, -1):
        for c in range(a + 1, x.size):
            x[a] -= L[c, a] * x[c]
        x[a] /= L[a, a]
