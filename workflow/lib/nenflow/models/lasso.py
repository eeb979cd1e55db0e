"""Logistic regression with the LASSO penalty, its path and its cross-validation.

The problem, the path of penalties and the standardisation are those of Friedman, Hastie & Tibshirani 2010 (J Stat
Softw 33:1) and Simon et al. 2011 (J Stat Softw 39:5), with the conventions of R's glmnet, so that a study repeated here
selects what it selected in R. The minimum is searched in another way. Coordinate descent alone crawls where features
are many and correlated: glmnet at a threshold of 1e-12 still stops up to 0.02 short of the solution deep in the path of
131 lesions and 95 features. So here coordinate descent only finds out which coefficients are not zero and which sign
they have; then one linear system gives their values. The curvature is kept along the path while it serves.
"""

from collections import namedtuple
from dataclasses import dataclass
from math import exp, log, log1p, sqrt

import numpy as np
from numba import njit
from scipy.special import expit

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
_ROUNDS = 10_000  # a guard only: a penalty takes about five rounds
_SLACK = 1e-10  # a feature on the very edge of entering stays out, or rounding would move it in and out for ever
_INNER = 1e-4  # the quadratic model is solved so much more exactly than the whole
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


def lasso_path(X: np.ndarray, y: np.ndarray, lambdas: np.ndarray | None = None, threshold: float = 1e-12) -> Path:
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
        InputError: a value is missing, or the outcome has one class only.
    """
    X = np.ascontiguousarray(X, dtype=float)
    y = np.ascontiguousarray(y, dtype=float)
    n, p = X.shape
    if not (np.isfinite(X).all() and np.isin(y, (0, 1)).all()):
        raise InputError("A LASSO needs a value of every feature, and 0 or 1 as outcome, of each lesion.")
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
        probability = expit(X[out] @ coefs.T + intercepts)
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
    copies of a lesion carry its label and so are never split either. (sklearn's StratifiedGroupKFold deals in a like
    manner, but took a quarter of the time of a refit.)

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
        raise InputError(
            f"Cross-validation needs two lesions of each outcome at least; of the rarer one there are {rarer}."
        )
    _, group = np.unique(groups, return_inverse=True)
    held = np.stack([np.bincount(group, y == outcome, n_groups) for outcome in (0, 1)], axis=1)
    order = np.random.default_rng(seed).permutation(n_groups)
    order = order[np.argsort(-np.ptp(held[order], axis=1), kind="stable")]  # what is hard to place goes first
    dealt = np.zeros((n_folds, 2))
    fold_of_group = np.empty(n_groups, dtype=int)
    for number in order:
        # where least of what the group brings lies already: the fold that keeps the shares' variance least
        crowded = dealt @ (held[number] / np.bincount(y) ** 2)
        fold = np.lexsort((dealt.sum(axis=1), crowded))[0]
        fold_of_group[number] = fold
        dealt[fold] += held[number]
    return fold_of_group[group]


# The solver, compiled. Everything below looks at a few features only: `work` lists them, and rows of `H`, `mean`,
# `beta` and `gradient` follow that list; `active` lists, as positions in `work` and in order of entry, those whose
# coefficient is not zero. H is the curvature of the mean log-likelihood at the weights w, the intercept eliminated; C
# is the Cholesky factor of H over `active`. Counts travel beside: m features in `work`, the first `known` of them in H;
# k in `active`, the first `solid` of them in C.
_Solver = namedtuple("_Solver", "Z y eta residual w mean H C work listed active beta before gradient step")
# Sums may be reordered and vectorised; infinities stay meaningful, so not all of fastmath. Loops instead of slices:
# taking a slice costs as much as the product of two columns.
_compiled = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract"})


@_compiled
def _extend(s, known, m):
    """Compute the rows of H for the features work[known:m]."""
    Z, w, H, work = s.Z, s.w, s.H, s.work
    n = w.size
    total = w.sum()
    weighted = np.empty(n)
    for a in range(known, m):
        j = work[a]
        mean = 0.0
        for i in range(n):
            mean += Z[j, i] * w[i]
        mean /= total
        s.mean[a] = mean
        for i in range(n):
            weighted[i] = (Z[j, i] - mean) * w[i] / n
        for b in range(a + 1):
            k = work[b]
            value = 0.0
            for i in range(n):
                value += weighted[i] * Z[k, i]
            H[a, b] = H[b, a] = value


@_compiled
def _factorise(s, solid, k):
    """Complete the Cholesky factor from row `solid` to row k; the number of rows done, less than k where singular."""
    H, C, active = s.H, s.C, s.active
    for a in range(solid, k):
        for b in range(a + 1):
            value = H[active[a], active[b]]
            for c in range(b):
                value -= C[a, c] * C[b, c]
            if b < a:
                C[a, b] = value / C[b, b]
            elif value <= 1e-12 * H[active[a], active[a]]:
                return a
            else:
                C[a, a] = sqrt(value)
    return k


@_compiled
def _jump(s, m, k, lam):
    """Go to the minimum over the active features, or to where the first reaches zero; its position then, else -1."""
    C, H, active, beta, gradient, step = s.C, s.H, s.active, s.beta, s.gradient, s.step
    for a in range(k):
        value = gradient[active[a]] - (lam if beta[active[a]] > 0 else -lam)
        for c in range(a):
            value -= C[a, c] * step[c]
        step[a] = value / C[a, a]
    length, first = 1.0, -1
    for a in range(k - 1, -1, -1):
        move = step[a] / C[a, a]
        step[a] = move
        for c in range(a):
            step[c] -= C[a, c] * move
        b = beta[active[a]]
        if b * (b + move) <= 0.0 and -b / move < length:
            length, first = -b / move, a
    for a in range(k):
        j = active[a]
        move = length * step[a]
        beta[j] += move
        for c in range(m):
            gradient[c] -= move * H[j, c]
    return first


@_compiled
def _drop(s, a, k, solid):
    """Take the feature at position a out of the active ones."""
    s.beta[s.active[a]] = 0.0
    for c in range(a, k - 1):
        s.active[c] = s.active[c + 1]
    return k - 1, min(solid, a)


@_compiled
def _sweep(s, m, k, solid, lam):
    """One pass of coordinate descent over the quadratic model; the new k and solid, and the largest move."""
    H, active, beta, gradient = s.H, s.active, s.beta, s.gradient
    largest = 0.0
    for a in range(m):
        h = H[a, a]
        old = beta[a]
        pull = gradient[a] + h * old
        new = 0.0
        if abs(pull) > lam * (1 + _SLACK) and h > 0.0:
            new = (pull - lam if pull > 0 else pull + lam) / h
        if new == old:
            continue
        largest = max(largest, h * (new - old) ** 2)
        beta[a] = new
        for c in range(m):
            gradient[c] += (old - new) * H[a, c]
        if old == 0.0:
            active[k] = a
            k += 1
        elif new == 0.0:
            position = 0
            while active[position] != a:
                position += 1
            k, solid = _drop(s, position, k, solid)
    return k, solid, largest


@_compiled
def _enters(s, m, lam):
    """Whether a feature without a coefficient would get one."""
    entering = 0
    for a in range(m):
        entering += s.beta[a] == 0.0 and abs(s.gradient[a]) > lam * (1 + _SLACK) and s.H[a, a] > 0.0
    return entering > 0


@_compiled
def _minimise(s, m, k, solid, lam, threshold):
    """Minimise the quadratic model + lam * sum |beta|; the new k and solid."""
    for _ in range(_ROUNDS):
        if k > 0:
            solid = _factorise(s, solid, k)
            if solid == k:
                first = _jump(s, m, k, lam)
                if first >= 0:
                    k, solid = _drop(s, first, k, solid)
                    continue
                if not _enters(s, m, lam):
                    break
        k, solid, largest = _sweep(s, m, k, solid, lam)
        if largest < _INNER * threshold:
            break
    return k, solid


@_compiled
def _round(s, m, k, solid, intercept, lam, threshold):
    """Improve the solution once with the curvature at hand; the new k, solid and intercept, and the largest move."""
    Z, eta, residual = s.Z, s.eta, s.residual
    n = s.y.size
    # The weights shrink along the path, much alike: one factor keeps an old curvature useful. Instead of H it divides
    # gradient and penalty, which comes to the same.
    now = 0.0
    for i in range(n):
        now += abs(residual[i]) * (1 - abs(residual[i]))
    fade = now / s.w.sum() if now > 0.0 else 1.0
    total = residual.sum() / fade
    for a in range(m):
        j = s.work[a]
        value = 0.0
        for i in range(n):
            value += Z[j, i] * residual[i]
        s.gradient[a] = (value / fade - s.mean[a] * total) / n
        s.before[a] = s.beta[a]
    k, solid = _minimise(s, m, k, solid, lam / fade, threshold)
    weight = s.w.sum()
    shift = total / weight
    largest = shift * shift * weight / n
    for a in range(m):
        change = s.beta[a] - s.before[a]
        if change != 0.0:
            j = s.work[a]
            shift -= change * s.mean[a]
            largest = max(largest, s.H[a, a] * change * change)
            for i in range(n):
                eta[i] += change * Z[j, i]
    for i in range(n):
        eta[i] += shift
        residual[i] = s.y[i] - 1 / (1 + exp(-eta[i]))
    return k, solid, intercept + shift, largest


@_compiled
def _list(s, m, bound):
    """Put the features whose gradient exceeds the bound on the list."""
    n = s.y.size
    for j in range(s.listed.size):
        if s.listed[j]:
            continue
        value = 0.0
        for i in range(n):
            value += s.Z[j, i] * s.residual[i]
        if abs(value) / n > bound:
            s.listed[j] = True
            s.work[m] = j
            m += 1
    return m


@_compiled
def _deviance(s):
    total = 0.0
    for i in range(s.y.size):
        wrong = -s.eta[i] if s.y[i] > 0.5 else s.eta[i]
        total += 2 * (max(wrong, 0.0) + log1p(exp(-abs(wrong))))
    return total


@_compiled
def _path(Z, y, lambdas, threshold, may_stop):
    """Coefficients of the standardised features Z (p, n), intercepts and explained deviance along the penalties."""
    p, n = Z.shape
    share = y.mean()
    intercept = log(share / (1 - share))
    row, square, order = np.zeros(p), np.zeros((p, p)), np.zeros(p, np.int64)
    s = _Solver(
        Z, y, np.full(n, intercept), y - share, np.full(n, share * (1 - share)), row.copy(), square, square.copy(),
        order, np.zeros(p, np.bool_), order.copy(), row.copy(), row.copy(), row.copy(), row,
    )  # fmt: skip
    null = _deviance(s)
    betas, intercepts, explained = np.zeros((lambdas.size, p)), np.zeros(lambdas.size), np.zeros(lambdas.size)
    m = known = k = solid = 0
    for number in range(lambdas.size):
        lam = lambdas[number]
        # The strong rule (Tibshirani 2012) foresees which features may enter; any that it misses is found afterwards.
        m = _list(s, m, max(2 * lam - lambdas[max(number - 1, 0)], 0.0))
        last = np.inf
        for _ in range(_ROUNDS):
            _extend(s, known, m)
            known = m
            k, solid, intercept, largest = _round(s, m, k, solid, intercept, lam, threshold)
            if largest < threshold:
                m = _list(s, m, lam * (1 + _SLACK))
                if m == known:
                    break
            elif largest > _STALE**2 * last:
                for i in range(n):
                    r = abs(s.residual[i])
                    s.w[i] = max(r * (1 - r), _CURVATURE_FLOOR)
                known = solid = 0
            last = largest
        explained[number] = 1 - _deviance(s) / null
        intercepts[number] = intercept
        for a in range(m):
            betas[number, s.work[a]] = s.beta[a]
        if may_stop and number + 1 >= FEWEST_LAMBDAS:
            gain = explained[number] - explained[number - 1]
            if explained[number] > MOST_EXPLAINED or gain < LEAST_GAIN:
                return betas[: number + 1], intercepts[: number + 1], explained[: number + 1]
    return betas, intercepts, explained
