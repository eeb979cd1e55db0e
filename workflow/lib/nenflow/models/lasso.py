"""Logistic regression with the LASSO penalty, its path and its cross-validation.

The problem, the path of penalties and the standardisation are those of Friedman, Hastie & Tibshirani 2010 (J Stat
Softw 33:1) and Simon et al. 2011 (J Stat Softw 39:5), with the conventions of R's glmnet, so that a study repeated here
selects what it selected in R. The minimum is searched in another way. Coordinate descent alone crawls where features
are many and correlated: glmnet at a threshold of 1e-12 still stops up to 0.02 short of the solution deep in the path of
131 lesions and 95 features. So here coordinate descent only finds out which coefficients are not zero and which sign
they have; then one linear system gives their values. The curvature is kept from one penalty to the next while it serves.
"""

from dataclasses import dataclass
from math import exp, log, log1p

import numpy as np
from numba import njit
from sklearn.model_selection import StratifiedGroupKFold

from nenflow.errors import InputError

# Conventions of glmnet, as its documentation gives them.
N_LAMBDAS = 100
SMALLEST_LAMBDA = {True: 1e-4, False: 1e-2}  # relative to the largest; True: at least as many lesions as features
MOST_EXPLAINED = 0.999  # the path ends where the model explains more of the null deviance than this,
LEAST_GAIN = 1e-5  # or where one step explains less than this in addition,
FEWEST_LAMBDAS = 5  # but not before so many penalties
CLIPPED = 1e-5  # probabilities in the cross-validated deviance are kept this far from 0 and 1
FEWEST_PER_FOLD = 3  # with fewer lesions per fold the standard error is taken over lesions, not over folds

_CURVATURE_FLOOR = 1e-9  # a weight of zero would make the system singular; it moves no solution
_ROUNDS = 10_000  # a guard only: a penalty takes 5 to 20 rounds
_STALE = 0.15  # the curvature is computed anew when a round shrinks the error by less than this


@dataclass(frozen=True)
class Path:
    """Solutions of the LASSO along falling penalties.

    Attributes:
        lambdas: penalties, falling, shape (n_lambdas,).
        coefs: coefficients on the scale of the input, shape (n_lambdas, n_features).
        intercepts: shape (n_lambdas,).
        df: number of coefficients that are not zero, shape (n_lambdas,).
        dev_ratio: share of the null deviance explained, shape (n_lambdas,).
        threshold: the solver's threshold, see `lasso_path`.
    """

    lambdas: np.ndarray
    coefs: np.ndarray
    intercepts: np.ndarray
    df: np.ndarray
    dev_ratio: np.ndarray
    threshold: float

    def at(self, lambdas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (n, n_features) and intercepts (n,) at other penalties, interpolated linearly in lambda."""
        position = np.interp(-np.asarray(lambdas), -self.lambdas, np.arange(len(self.lambdas)))
        left = position.astype(int)
        right = np.minimum(left + 1, len(self.lambdas) - 1)
        share = position - left
        coefs = (1 - share)[:, None] * self.coefs[left] + share[:, None] * self.coefs[right]
        return coefs, (1 - share) * self.intercepts[left] + share * self.intercepts[right]


@dataclass(frozen=True)
class CrossValidation(Path):
    """The path of all lesions with its cross-validated deviance.

    Attributes:
        cvm: mean deviance of the lesions left out, per lesion, shape (n_lambdas,).
        cvsd: its standard error, shape (n_lambdas,).
        index_min, lambda_min: where the deviance is least.
        index_1se, lambda_1se: the largest penalty whose deviance is within one standard error of the least.
    """

    cvm: np.ndarray
    cvsd: np.ndarray
    index_min: int
    index_1se: int

    @property
    def lambda_min(self) -> float:
        """The penalty with the least cross-validated deviance."""
        return float(self.lambdas[self.index_min])

    @property
    def lambda_1se(self) -> float:
        """The largest penalty within one standard error of the least deviance."""
        return float(self.lambdas[self.index_1se])


def lasso_path(
    X: np.ndarray, y: np.ndarray, lambdas: np.ndarray | None = None, threshold: float = 1e-12
) -> Path:
    """Minimise mean negative log-likelihood + lambda * sum |coefficient * sd| for falling penalties.

    Features are standardised by their sd with n in the denominator; coefficients are given on the scale of the input.
    A feature without variation keeps the coefficient zero. The intercept is not penalised.

    Args:
        X: features, shape (n, p).
        y: outcome, 0 or 1, shape (n,).
        lambdas: falling penalties; without them 100 from the smallest one that selects nothing down to 1e-4 of it
            (1e-2 with fewer lesions than features), and the path ends early where nothing is left to explain.
        threshold: a solution stands when the last change of each coefficient, squared and times the curvature, is
            below this (glmnet's measure; its default is 1e-7).

    Raises:
        InputError: the outcome has one class only.
    """
    X = np.ascontiguousarray(X, dtype=float)
    y = np.ascontiguousarray(y, dtype=float)
    n, p = X.shape
    if y.min() == y.max():
        raise InputError("The outcome is the same in all lesions of a LASSO fit; it needs lesions with and without it.")
    centre = X.mean(axis=0)
    scale = X.std(axis=0)
    constant = np.ptp(X, axis=0) == 0  # not scale == 0, which rounding may miss
    Z = np.ascontiguousarray(((X - centre) / np.where(constant, 1, scale)).T)
    Z[constant] = 0
    own_grid = lambdas is None
    if own_grid:
        largest = np.abs(Z @ (y - y.mean())).max(initial=0) / n
        lambdas = largest * np.geomspace(1, SMALLEST_LAMBDA[n >= p], N_LAMBDAS)
    lambdas = np.ascontiguousarray(lambdas, dtype=float)
    if lambdas[0] <= 0:  # no feature varies: the null model is the whole path
        lambdas = np.zeros(1)
    betas, intercepts, dev_ratio = _path(Z, y, lambdas, threshold, own_grid)
    coefs = np.where(constant, 0, betas / np.where(constant, 1, scale))
    return Path(
        lambdas=lambdas[: len(betas)],
        coefs=coefs,
        intercepts=intercepts - coefs @ centre,
        df=(coefs != 0).sum(axis=1),
        dev_ratio=dev_ratio,
        threshold=threshold,
    )


def cross_validate(
    X: np.ndarray, y: np.ndarray, folds: np.ndarray, lambdas: np.ndarray | None = None, threshold: float = 1e-12
) -> CrossValidation:
    """Fit the path and judge each penalty by the deviance of lesions left out, as R's cv.glmnet does.

    Without given penalties each fold has its own, and its coefficients are interpolated to those of the whole path.

    Args:
        X: features, shape (n, p).
        y: outcome, 0 or 1, shape (n,).
        folds: the fold of each lesion, any labels, shape (n,); see `folds_of`.
        lambdas, threshold: as in `lasso_path`.

    Raises:
        InputError: there is one fold only, or outside some fold the outcome has one class only.
    """
    X = np.ascontiguousarray(X, dtype=float)
    y = np.asarray(y, dtype=float)
    folds = np.asarray(folds)
    names = np.unique(folds)
    if len(names) < 2:
        raise InputError("Cross-validation needs two folds at least.")
    path = lasso_path(X, y, lambdas, threshold)
    deviance = np.empty((len(y), len(path.lambdas)))
    for name in names:
        out = folds == name
        if np.ptp(y[~out]) == 0:
            raise InputError(
                "All lesions with one of the two outcomes lie in a single fold, so the LASSO cannot be "
                "cross-validated; use fewer folds or more patients."
            )
        inner = lasso_path(X[~out], y[~out], lambdas, threshold)
        coefs, intercepts = inner.at(path.lambdas)
        probability = 1 / (1 + np.exp(-(X[out] @ coefs.T + intercepts)))
        right = np.where(y[out, None] == 1, probability, 1 - probability)
        deviance[out] = -2 * np.log(np.clip(right, CLIPPED, 1 - CLIPPED))
    cvm, cvsd = _mean_and_error(deviance, folds)
    index_min = int(np.argmin(cvm))
    index_1se = int(np.argmax(cvm <= cvm[index_min] + cvsd[index_min]))
    return CrossValidation(**vars(path), cvm=cvm, cvsd=cvsd, index_min=index_min, index_1se=index_1se)


def _mean_and_error(deviance: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names, fold = np.unique(folds, return_inverse=True)
    if len(folds) / len(names) < FEWEST_PER_FOLD:
        fold = np.arange(len(folds))
    size = np.bincount(fold)
    means = np.stack([np.bincount(fold, column) / size for column in deviance.T], axis=1)
    cvm = np.average(means, axis=0, weights=size)
    return cvm, np.sqrt(np.average((means - cvm) ** 2, axis=0, weights=size) / (len(size) - 1))


def folds_of(y: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Deal groups out to folds so that each fold has about the same share of events.

    Lesions of one group stay together. With patients as groups no patient is on both sides; in a bootstrap resample the
    copies of a lesion carry its label and so are never split either.

    Args:
        y: outcome, 0 or 1, shape (n,).
        groups: label of each lesion's group, shape (n,).
        n_folds: number of folds.
        seed: the same seed gives the same folds.

    Returns:
        the fold of each lesion, 0 to n_folds - 1, shape (n,).

    Raises:
        InputError: there are fewer groups than folds, or fewer lesions of one outcome than two.
    """
    y = np.asarray(y).astype(int)
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InputError(f"{n_folds} folds need {n_folds} patients (or lesions) at least; there are {n_groups}.")
    rarer = np.bincount(y, minlength=2).min()
    if rarer < 2:
        raise InputError(f"Cross-validation needs two lesions of each outcome at least; of the rarer one there are {rarer}.")
    folds = np.empty(len(y), dtype=int)
    split = StratifiedGroupKFold(n_splits=n_folds, shuffle=True, random_state=seed).split(y, y, groups)
    for number, (_, out) in enumerate(split):
        folds[out] = number
    return folds


# The solver. Z holds the standardised features, one per row; `work` lists the features it looks at (`m` of them, the
# first `known` with their curvature); rows and columns of H and C follow that list. H is the curvature of the mean
# log-likelihood in the coefficients at the weights `w`, with the intercept eliminated.


@njit(cache=True, fastmath={"reassoc", "contract"})
def _dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@njit(cache=True, fastmath={"reassoc", "contract"})
def _add(a, factor, b):
    for i in range(a.size):
        a[i] += factor * b[i]


@njit(cache=True, fastmath={"reassoc", "contract"})
def _extend(Z, w, work, known, m, mean, weighted, H):
    """Compute the rows of H for the features work[known:m]."""
    n = w.size
    total = w.sum()
    for a in range(known, m):
        z = Z[work[a]]
        mean[a] = _dot(z, w) / total
        for i in range(n):
            weighted[a, i] = (z[i] - mean[a]) * w[i] / n
        for b in range(a + 1):
            H[a, b] = H[b, a] = _dot(weighted[a], Z[work[b]])


@njit(cache=True, fastmath={"reassoc", "contract"})
def _factorise(H, active, k, C):
    """Cholesky factor of H over the active features, into the lower triangle of C; False where H is singular."""
    for a in range(k):
        for b in range(a + 1):
            value = H[active[a], active[b]] - _dot(C[a, :b], C[b, :b])
            if a > b:
                C[a, b] = value / C[b, b]
            elif value <= 1e-12 * H[active[a], active[a]]:
                return False
            else:
                C[a, a] = value**0.5
    return True


@njit(cache=True, fastmath={"reassoc", "contract"})
def _solve(C, k, x):
    """Solve C C' x = x in place."""
    for a in range(k):
        x[a] = (x[a] - _dot(C[a, :a], x[:a])) / C[a, a]
    for a in range(k - 1, -1, -1):
        x[a] /= C[a, a]
        _add(x[:a], -x[a], C[a, :a])


@njit(cache=True, fastmath={"reassoc", "contract"})
def _sweep(H, m, lam, beta, gradient):
    """One pass of coordinate descent over the quadratic model; True where a coefficient left or reached zero."""
    changed = False
    for a in range(m):
        h = H[a, a]
        if h == 0.0:
            continue
        pull = gradient[a] + h * beta[a]
        new = 0.0
        if pull > lam:
            new = (pull - lam) / h
        elif pull < -lam:
            new = (pull + lam) / h
        if new != beta[a]:
            changed = changed or new * beta[a] <= 0.0
            _add(gradient[:m], beta[a] - new, H[a, :m])
            beta[a] = new
    return changed


@njit(cache=True, fastmath={"reassoc", "contract"})
def _jump(H, C, active, k, m, lam, beta, gradient, step):
    """Move to the minimum over the active features; stop at the first that reaches zero. True where none does."""
    for a in range(k):
        step[a] = gradient[active[a]] - (lam if beta[active[a]] > 0 else -lam)
    _solve(C, k, step)
    length = 1.0
    first = -1
    for a in range(k):
        b = beta[active[a]]
        if b * (b + step[a]) <= 0.0 and -b / step[a] < length:
            length = -b / step[a]
            first = a
    for a in range(k):
        beta[active[a]] += length * step[a]
        _add(gradient[:m], -length * step[a], H[active[a], :m])
    if first >= 0:
        beta[active[first]] = 0.0
    return first < 0


@njit(cache=True, fastmath={"reassoc", "contract"})
def _minimise(H, C, active, k, m, lam, beta, gradient, step):
    """Minimise the quadratic model + lam * sum |beta|. C is the factor over the k active features, k = 0 for none.

    Returns k for the factor that C then holds.
    """
    for _ in range(_ROUNDS):
        changed = _sweep(H, m, lam, beta, gradient)
        same = k > 0
        count = 0
        for a in range(m):
            if beta[a] != 0.0:
                same = same and count < k and active[count] == a
                active[count] = a
                count += 1
        if count == 0:
            if not changed:
                return 0
            k = 0
            continue
        if not (same and count == k):
            k = count if _factorise(H, active, count, C) else 0
        if k > 0 and _jump(H, C, active, k, m, lam, beta, gradient, step) and not changed:
            return k
    return k


@njit(cache=True, fastmath={"reassoc", "contract"})
def _path(Z, y, lambdas, threshold, may_stop):
    p, n = Z.shape
    share = y.mean()
    null = -2 * n * (share * log(share) + (1 - share) * log(1 - share))
    intercept = log(share / (1 - share))
    eta = np.full(n, intercept)
    probability = np.full(n, share)
    residual = y - probability
    w = probability * (1 - probability)
    betas = np.zeros((lambdas.size, p))
    intercepts = np.zeros(lambdas.size)
    explained = np.zeros(lambdas.size)
    work = np.empty(p, np.int64)
    listed = np.zeros(p, np.bool_)
    beta, before, gradient, mean, step = np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p), np.zeros(p)
    weighted, H, C, active = np.empty((p, n)), np.empty((p, p)), np.zeros((p, p)), np.empty(p, np.int64)
    m, known, k = 0, 0, 0
    for number in range(lambdas.size):
        lam = lambdas[number]
        # the strong rule foresees which features may enter; those that it misses are found below
        expected = 2 * lam - lambdas[max(number - 1, 0)]
        last = np.inf
        for _ in range(_ROUNDS):
            missed = False
            if last == np.inf:
                for j in range(p):
                    if not listed[j] and abs(_dot(Z[j], residual)) / n > max(expected, 0.0):
                        listed[j] = missed = True
                        work[m] = j
                        m += 1
            if known < m:
                _extend(Z, w, work, known, m, mean, weighted, H)
                known = m
            total = residual.sum()
            for a in range(m):
                gradient[a] = (_dot(Z[work[a]], residual) - mean[a] * total) / n
                before[a] = beta[a]
            k = _minimise(H, C, active, k, m, lam, beta, gradient, step)
            shift = total / w.sum()
            largest = shift * shift * w.sum() / n
            for a in range(m):
                change = beta[a] - before[a]
                if change != 0.0:
                    shift -= change * mean[a]
                    _add(eta, change, Z[work[a]])
                    largest = max(largest, H[a, a] * change * change)
            intercept += shift
            for i in range(n):
                eta[i] += shift
                probability[i] = 1 / (1 + exp(-eta[i]))
                residual[i] = y[i] - probability[i]
            if largest < threshold:
                if expected == lam and not missed and last == np.inf:
                    break
                expected, last = lam, np.inf  # settled: look once more at the features left aside
                continue
            if largest > _STALE**2 * last:
                for i in range(n):
                    w[i] = max(probability[i] * (1 - probability[i]), _CURVATURE_FLOOR)
                known = k = 0
            last = largest
        deviance = 0.0
        for i in range(n):
            deviance += 2 * log1p(exp(-eta[i] if y[i] > 0.5 else eta[i]))
        explained[number] = 1 - deviance / null
        intercepts[number] = intercept
        for a in range(m):
            betas[number, work[a]] = beta[a]
        if may_stop and number + 1 >= FEWEST_LAMBDAS:
            gain = explained[number] - explained[number - 1]
            if explained[number] > MOST_EXPLAINED or gain < LEAST_GAIN:
                return betas[: number + 1], intercepts[: number + 1], explained[: number + 1]
    return betas, intercepts, explained
