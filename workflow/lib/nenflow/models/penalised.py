"""The solver behind the LASSO and the elastic net, compiled: the whole path of a logistic or a Cox model.

Along falling penalties it minimises mean loss + lambda * sum(alpha * |beta| + (1 - alpha) / 2 * beta^2) over
standardised features (Friedman, Hastie & Tibshirani 2010, J Stat Softw 33:1; Simon et al. 2011, J Stat Softw 39:5). The
loss is minus the log-likelihood of a logistic model, or minus the log partial likelihood of a Cox model with Breslow's
ties. `nenflow.models.lasso` is what others use.

The minimum is searched in another way than coordinate descent alone, which crawls where features are many and
correlated: coordinate descent only finds out which coefficients are not zero and which sign they have; then one linear
system gives their values. The curvature is kept along the path while it serves.
"""

from collections import namedtuple
from math import exp, log, log1p, sqrt

import numpy as np
from numba import njit

# Where a path ends, by the conventions of glmnet.
MOST_EXPLAINED = 0.999  # where the model explains more of the null deviance than this,
LEAST_GAIN = 1e-5  # or where one step explains less than this in addition;
LEAST_SHARE = 1e-3  # Cox: or where the last four steps together gave less than this share of what is explained;
FEWEST_LAMBDAS = 5  # but not before so many penalties

_CURVATURE_FLOOR = 1e-9  # a weight of zero would make the system singular; it moves no solution
_ROUNDS = 300  # a guard only: a penalty takes about five rounds; where these do not do, the path ends
_SWEEPS = 10_000  # a guard as well
_SLACK = 1e-10  # a feature on the very edge of entering stays out, or rounding would move it in and out for ever
_INNER = 1e-4  # the quadratic model is solved so much more exactly than the whole
_RISE = 1e-12  # a value that rises by rounding alone does not
_SHORTEST = 1e-15  # share of a move: below it is rounding
_STALE = 0.15  # the curvature is computed anew when a round shrinks the error by less than this

# The solver, compiled. Everything below looks at a few features only: `work` lists them, and rows of `H`, `mean`,
# `beta` and `gradient` follow that list; `active` lists, as positions in `work` and in order of entry, those whose
# coefficient is not zero. H is the curvature of the mean log-likelihood at the weights w, the intercept eliminated; C
# is the Cholesky factor of H over `active`. Counts travel beside: m features in `work`, the first `known` of them in H;
# k in `active`, the first `solid` of them in C. `gradient` is that of the smooth part, loss and ridge; `slope` its size
# for features that are not listed, at the last solution. From penalty to penalty `state` keeps the counts, and `level`
# the intercept and the null model's deviance.
#
# A row counts `weight` times in a logistic model (copies in a resample are fitted once), together n; the residual and w
# contain the weight. A Cox model has none.
#
# In a Cox model the rows come in falling order of time, so that those at risk at an event time are the first `ends`
# rows, of whom `deaths` have the event then; y is 1 for an event, `residual` is the martingale residual, `risk` is
# exp(eta) and `at_risk` its sum over those at risk, both at the weights w; rows of `means` follow `work`: a feature's
# mean over those at risk, times sqrt(deaths). In a logistic model `ends` is empty.
_Solver = namedtuple(
    "_Solver",
    "Z y weight n eta residual w mean H C work listed active beta before gradient step move ends deaths risk at_risk "
    "means slope state level",
)
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
        if s.ends.size == 0:  # a Cox model has no intercept to eliminate
            for i in range(n):
                mean += Z[j, i] * w[i]
            mean /= total
        s.mean[a] = mean
        for i in range(n):
            weighted[i] = (Z[j, i] - mean) * w[i] / s.n
        for b in range(a + 1):
            k = work[b]
            value = 0.0
            for i in range(n):
                value += weighted[i] * Z[k, i]
            H[a, b] = H[b, a] = value
        if s.ends.size > 0:
            _take_means(s, a)


@_compiled
def _take_means(s, a):
    """Cox: take from row a of H what belongs to the means over those at risk."""
    j = s.work[a]
    total, i = 0.0, 0
    for g in range(s.ends.size):
        while i < s.ends[g]:
            total += s.risk[i] * s.Z[j, i]
            i += 1
        s.means[a, g] = total / s.at_risk[g] * sqrt(s.deaths[g])
    for b in range(a + 1):
        value = 0.0
        for g in range(s.ends.size):
            value += s.means[a, g] * s.means[b, g]
        s.H[a, b] -= value / s.n
        s.H[b, a] = s.H[a, b]


@_compiled
def _factorise(s, solid, k, ridge):
    """Complete the Cholesky factor from row `solid` to row k; the number of rows done, less than k where singular."""
    H, C, active = s.H, s.C, s.active
    for a in range(solid, k):
        for b in range(a + 1):
            value = H[active[a], active[b]] + (ridge if a == b else 0.0)
            for c in range(b):
                value -= C[a, c] * C[b, c]
            if b < a:
                C[a, b] = value / C[b, b]
            elif value <= 1e-12 * (H[active[a], active[a]] + ridge):
                return a
            else:
                C[a, a] = sqrt(value)
    return k


@_compiled
def _jump(s, m, k, lam, ridge):
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
        gradient[j] -= move * ridge
    return first


@_compiled
def _drop(s, a, k, solid):
    """Take the feature at position a out of the active ones."""
    s.beta[s.active[a]] = 0.0
    for c in range(a, k - 1):
        s.active[c] = s.active[c + 1]
    return k - 1, min(solid, a)


@_compiled
def _sweep(s, m, k, solid, lam, ridge):
    """One pass of coordinate descent over the quadratic model; the new k and solid, and the largest move."""
    H, active, beta, gradient = s.H, s.active, s.beta, s.gradient
    largest = 0.0
    for a in range(m):
        h = H[a, a] + ridge
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
        gradient[a] += (old - new) * ridge
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
def _minimise(s, m, k, solid, lam, ridge, threshold):
    """Minimise the quadratic model + lam * sum |beta| + ridge / 2 * sum beta^2; the new k and solid."""
    if ridge > 0.0:  # it changes from penalty to penalty, and the factor with it
        solid = 0
    for _ in range(_SWEEPS):
        if k > 0:
            solid = _factorise(s, solid, k, ridge)
            if solid == k:
                first = _jump(s, m, k, lam, ridge)
                if first >= 0:
                    k, solid = _drop(s, first, k, solid)
                    continue
                if not _enters(s, m, lam):
                    break
        k, solid, largest = _sweep(s, m, k, solid, lam, ridge)
        if largest < _INNER * threshold:
            break
    return k, solid


@_compiled
def _fade(s):
    """How much smaller the weights are than those that H was computed at."""
    if s.ends.size > 0:
        return 1.0  # a Cox model's weights always add up to the number of events
    # The weights shrink along the path, much alike: one factor keeps an old curvature useful. Instead of H it divides
    # gradient and penalty, which comes to the same.
    now = 0.0
    for i in range(s.residual.size):
        r = abs(s.residual[i])
        now += r * (1 - r / s.weight[i])
    return now / s.w.sum() if now > 0.0 else 1.0


@_compiled
def _round(s, m, k, solid, intercept, last, far, lam, ridge, threshold):
    """Improve the solution once with the curvature at hand; the new k, solid and intercept, and the largest move.

    NaN as the largest move: no move along what the curvature says makes the value fall.
    """
    Z, residual, move = s.Z, s.residual, s.move
    n = s.y.size
    fade = _fade(s)
    total = residual.sum() / fade if s.ends.size == 0 else 0.0
    for a in range(m):
        j = s.work[a]
        slope = 0.0
        for i in range(n):
            slope += Z[j, i] * residual[i]
        s.gradient[a] = (slope / fade - s.mean[a] * total) / s.n - ridge / fade * s.beta[a]
        s.before[a] = s.beta[a]
    k, solid = _minimise(s, m, k, solid, lam / fade, ridge / fade, threshold)
    weight = s.w.sum()
    shift = total / weight
    largest = shift * shift * weight / s.n
    move[:] = 0.0
    for a in range(m):
        change = s.beta[a] - s.before[a]
        if change != 0.0:
            j = s.work[a]
            shift -= change * s.mean[a]
            largest = max(largest, s.H[a, a] * change * change)
            for i in range(n):
                move[i] += change * Z[j, i]
    for i in range(n):
        move[i] += shift
        s.eta[i] += move[i]
    if far or not largest < last:  # what may have overshot; the value itself is too dear to look at every time
        k, share = _shorten(s, m, lam, ridge)
        solid, shift = 0, shift * share
        if share < 1:
            largest = np.inf if share > _SHORTEST else np.nan
    _follow(s)
    return k, solid, intercept + shift, largest


@_compiled
def _value(s, m, lam, ridge):
    """What is minimised: mean loss and penalty."""
    total = _deviance(s) / (2 * s.n)
    for a in range(m):
        total += lam * abs(s.beta[a]) + ridge / 2 * s.beta[a] ** 2
    return total


@_compiled
def _shorten(s, m, lam, ridge):
    """Halve the last move as long as it has made the value rise; the new k and the share of the move that is left."""
    s.eta[:] -= s.move
    after = s.beta.copy()
    s.beta[:m] = s.before[:m]
    bound = _value(s, m, lam, ridge)
    bound += _RISE * (1 + abs(bound))
    share, new = 2.0, np.inf
    while share > _SHORTEST and not new <= bound:
        share /= 2
        for i in range(s.eta.size):
            s.eta[i] += (1 if share == 1 else -share) * s.move[i]
        for a in range(m):
            s.beta[a] = s.before[a] + share * (after[a] - s.before[a])
        new = _value(s, m, lam, ridge)
    k = 0
    for a in range(m):
        if s.beta[a] != 0.0:
            s.active[k] = a
            k += 1
    return k, share


@_compiled
def _follow(s):
    """Bring the residuals up to eta."""
    if s.ends.size == 0:
        for i in range(s.y.size):
            s.residual[i] = s.weight[i] * (s.y[i] - 1 / (1 + exp(-s.eta[i])))
        return
    top = s.eta.max()
    at_risk = np.empty(s.ends.size)
    total, i = 0.0, 0
    for g in range(s.ends.size):
        while i < s.ends[g]:
            total += exp(s.eta[i] - top)
            i += 1
        at_risk[g] = total
    hazard = 0.0
    for g in range(s.ends.size - 1, -1, -1):
        hazard += s.deaths[g] / at_risk[g]
        for i in range(s.ends[g - 1] if g > 0 else 0, s.ends[g]):
            s.residual[i] = s.y[i] - hazard * exp(s.eta[i] - top)


@_compiled
def _weigh(s):
    """Compute the weights anew, and what else the curvature needs."""
    if s.ends.size == 0:
        for i in range(s.y.size):
            r = abs(s.residual[i])
            s.w[i] = max(r * (1 - r / s.weight[i]), _CURVATURE_FLOOR)
        return
    top = s.eta.max()
    total, i = 0.0, 0
    for g in range(s.ends.size):
        while i < s.ends[g]:
            s.w[i] = s.y[i] - s.residual[i]
            s.risk[i] = exp(s.eta[i] - top)
            total += s.risk[i]
            i += 1
        s.at_risk[g] = total


@_compiled
def _look(s):
    """The gradients of the features that are not on the list."""
    for j in range(s.listed.size):
        if not s.listed[j]:
            value = 0.0
            for i in range(s.y.size):
                value += s.Z[j, i] * s.residual[i]
            s.slope[j] = abs(value) / s.n


@_compiled
def _list(s, m, bound):
    """Put the features whose gradient, as last looked at, exceeds the bound on the list."""
    for j in range(s.listed.size):
        if not s.listed[j] and s.slope[j] > bound:
            s.listed[j] = True
            s.work[m] = j
            m += 1
    return m


@_compiled
def _deviance(s):
    """Twice the log-likelihood that a saturated model has in addition."""
    total = 0.0
    if s.ends.size == 0:
        for i in range(s.y.size):
            wrong = -s.eta[i] if s.y[i] > 0.5 else s.eta[i]
            total += 2 * s.weight[i] * (max(wrong, 0.0) + log1p(exp(-abs(wrong))))
        return total
    top = s.eta.max()
    at_risk, i = 0.0, 0
    for g in range(s.ends.size):
        while i < s.ends[g]:
            at_risk += exp(s.eta[i] - top)
            total -= 2 * s.y[i] * (s.eta[i] - top)
            i += 1
        if not at_risk > 0.0:  # a predictor of such a range that the risks are lost
            return np.inf
        total += 2 * s.deaths[g] * (log(at_risk) - log(s.deaths[g]))
    return total


@_compiled
def standardise(columns, weight):
    """Features (p, n) with mean 0 and standard deviation 1 over weighted rows; centres; scales, 1 of constant ones."""
    p, n = columns.shape
    Z, centre, scale = np.zeros((p, n)), np.zeros(p), np.ones(p)
    total = weight.sum()
    for j in range(p):
        least, most, mean, square = np.inf, -np.inf, 0.0, 0.0
        for i in range(n):
            least, most = min(least, columns[j, i]), max(most, columns[j, i])
            mean += weight[i] * columns[j, i]
        centre[j] = mean / total
        if least == most:  # not a scale of 0, which rounding may miss
            continue
        for i in range(n):
            Z[j, i] = columns[j, i] - centre[j]
            square += weight[i] * Z[j, i] ** 2
        scale[j] = sqrt(square / total)
        for i in range(n):
            Z[j, i] /= scale[j]
    return Z, centre, scale


@_compiled
def start(Z, y, weight, ends, deaths):
    """A solver at the null model.

    Args:
        Z: standardised features, shape (p, n); of a Cox model the columns in falling order of time.
        y: 1 for an event, else 0, shape (n,), in the order of Z's columns.
        weight: how often each row counts, shape (n,); of a Cox model ones.
        ends, deaths: Cox: per event time, falling, how many are at risk and how many have the event; logistic: empty.
    """
    p, rows = Z.shape
    n = weight.sum()
    share = (weight * y).sum() / n if ends.size == 0 else 0.5
    intercept = log(share / (1 - share))
    row, square, order = np.zeros(p), np.zeros((p, p)), np.zeros(p, np.int64)
    s = _Solver(
        Z, y, weight, n, np.full(rows, intercept), weight * (y - share), weight * (share * (1 - share)), row.copy(),
        square, square.copy(), order, np.zeros(p, np.bool_), order.copy(), row.copy(), row.copy(), row.copy(), row,
        np.zeros(rows), ends, deaths, np.ones(rows), np.ones(ends.size), np.zeros((p, ends.size)),
        row.copy(), np.zeros(4, np.int64), np.array([intercept, 0.0]),
    )  # fmt: skip
    if ends.size > 0:
        s.residual[:] = s.w[:] = 0.0  # they stay so for rows censored before the first event, which no one dies beside
        _follow(s)
        _weigh(s)
    s.level[1] = _deviance(s)
    _look(s)
    return s


@_compiled
def _explained_enough(explained, number, cox):
    if number + 1 < FEWEST_LAMBDAS:
        return False
    now = explained[number]
    if cox:
        return now > MOST_EXPLAINED or now - explained[number - FEWEST_LAMBDAS + 1] < LEAST_SHARE * now
    return now > MOST_EXPLAINED or now - explained[number - 1] < LEAST_GAIN


@_compiled
def advance(s, lambdas, first, end, alpha, threshold, may_stop, betas, intercepts, explained):
    """Go on along the path, from the penalty at `first` to the one before `end`.

    Args:
        s: from `start`, where the penalties before `first` left it.
        lambdas: all penalties, falling, shape (n_lambdas,).
        alpha: the LASSO's share of the penalty.
        threshold: see `nenflow.models.lasso.lasso_path`.
        may_stop: whether the path ends where nothing is left to explain.
        betas, intercepts, explained: to be filled: coefficients of Z, shape (n_lambdas, p); explained deviance.

    Returns:
        How many penalties have a solution now. They are fewer than `end` where the path ends: by `may_stop`, or where a
        Cox model all but separates the patients (their predictors differ by hundreds), so that rounding hides the rest;
        and whether it ended.
    """
    m, known, k, solid = s.state[0], s.state[1], s.state[2], s.state[3]
    intercept, null = s.level[0], s.level[1]
    for number in range(first, end):
        lam, ridge = alpha * lambdas[number], (1 - alpha) * lambdas[number]
        # The strong rule (Tibshirani 2012) foresees which features may enter; any that it misses is found afterwards.
        m = _list(s, m, max(2 * lam - alpha * lambdas[max(number - 1, 0)], 0.0))
        last, far = np.inf, number == 0 or 2 * lambdas[number] < lambdas[number - 1] or s.ends.size > 0
        fresh = solved = False
        for _ in range(_ROUNDS):
            _extend(s, known, m)
            known = m
            k, solid, intercept, largest = _round(s, m, k, solid, intercept, last, far, lam, ridge, threshold)
            far = s.ends.size > 0
            if largest < threshold:
                _look(s)
                m = _list(s, m, lam * (1 + _SLACK))
                solved = m == known
            if solved or (np.isnan(largest) and fresh):
                break
            fresh = not largest <= max(threshold, _STALE**2 * last)
            if fresh:
                _weigh(s)
                known = solid = 0
            last = largest
        deviance = _deviance(s)
        if not (solved and deviance < np.inf):
            return number, True
        explained[number] = 1 - deviance / null if null > 0.0 else 0.0
        intercepts[number] = intercept
        for a in range(m):
            betas[number, s.work[a]] = s.beta[a]
        if may_stop and _explained_enough(explained, number, s.ends.size > 0):
            return number + 1, True
    s.state[:] = np.array([m, known, k, solid])
    s.level[0] = intercept
    return end, False


@_compiled
def foretell(X, centre, scale, known, betas, intercepts, lambdas):
    """Linear predictors of rows at penalties between those solved, the solutions interpolated linearly in lambda.

    Args:
        X: features as given, shape (n, p).
        centre, scale: those that the solutions' features were standardised by.
        known: penalties solved, falling, of the first rows of betas (n_lambdas, p) and intercepts.
        lambdas: falling, shape (k,); beyond the ends the solution is that of the end.

    Returns:
        shape (n, k).
    """
    n, p = X.shape
    eta = np.empty((n, lambdas.size))
    left, last = 0, known.size - 1
    row = np.empty(n)
    for number in range(lambdas.size):
        lam = lambdas[number]
        while left < last and known[left + 1] >= lam:
            left += 1
        share = 0.0
        if left < last and lam < known[left]:
            share = (known[left] - lam) / (known[left] - known[left + 1])
        right = min(left + 1, last)
        row[:] = (1 - share) * intercepts[left] + share * intercepts[right]
        for j in range(p):
            beta = (1 - share) * betas[left, j] + share * betas[right, j]
            if beta != 0.0:
                for i in range(n):
                    row[i] += beta * ((X[i, j] - centre[j]) / scale[j])
        eta[:, number] = row
    return eta
