"""Which of many correlated features to keep: the first of each pair, or as R's caret does."""

import numpy as np
from numba import njit

from nenflow.errors import InputError
from nenflow.models.copies import without_copies

METHODS = ("keep-first", "caret-exact", "caret-fast")
_DIGITS = 15  # to which caret-fast compares mean correlations


def prune(values: np.ndarray, threshold: float, method: str = "keep-first") -> tuple[np.ndarray, np.ndarray]:
    """Drop features until no two that are left have a rank correlation beyond a threshold.

    - keep-first: features are walked through in order; one is dropped if |rho| with one already kept exceeds the
      threshold. The order decides, and nothing else.
    - caret-exact, caret-fast: as caret::findCorrelation(abs(rho), exact = TRUE or FALSE) does by its documentation
      (Kuhn 2008, J Stat Softw 28:5): of each pair beyond the threshold the feature that is more correlated on average
      goes. "exact" starts with the feature of the greatest mean |rho|, counts only features still there, and compares
      the mean of the one with the mean of all others' rows; "fast" compares the means over all features, each with
      itself included, and drops one of every pair, even where one of the two is gone already, so it keeps fewer.
      caret itself is exact below 100 features unless told otherwise. Among equal means the later (exact) or the earlier
      (fast) feature of the pair goes.

    Args:
        values: features, shape (n, p). A feature without variation is correlated with none (caret: refused).
        threshold: of |rho|, 0 to 1.
        method: see above.

    Returns:
        For each feature the one that it was dropped for (its position; with caret that one may be dropped later), or
        -1 if it is kept; and the rank correlation (Spearman's rho) of the two, 0 if it is kept.

    Raises:
        InputError: the method is none of these, the threshold is not between 0 and 1, or a value is missing.
    """
    if method not in METHODS:
        raise InputError(f"The pruning method is '{method}'; it must be one of {', '.join(METHODS)}.")
    if not 0 <= threshold <= 1:
        raise InputError(f"The pruning threshold is {threshold}; a correlation is between 0 and 1.")
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        raise InputError("Correlations need a value of every feature in each lesion.")
    ranks = unit_ranks(values)
    if method == "keep-first":
        return _keep_first(ranks, float(threshold))
    if len(ranks) < 2:
        return np.full(len(ranks), -1), np.zeros(len(ranks))
    rho = ranks @ ranks.T
    np.fill_diagonal(rho, 1)
    rival = (_caret_exact if method == "caret-exact" else _caret_fast)(np.abs(rho), float(threshold))
    return rival, np.where(rival >= 0, rho[np.arange(len(rho)), rival], 0)


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of each column of (n, p), ties averaged, centred and scaled: rows whose products are Spearman's rho.

    Rows that are copies are ranked once and count as often as they occur, which the scale contains.

    Returns:
        shape (p, rows that are no copies); zeros for a column without variation.
    """
    first, copy_of = without_copies(values)
    columns = np.ascontiguousarray(values[first].T)
    return _unit_ranks(columns, np.argsort(columns, axis=1), np.bincount(copy_of).astype(float))


@njit(cache=True)
def _unit_ranks(columns, order, counts):
    p, n = columns.shape
    ranks, root = np.empty((p, n)), np.sqrt(counts)
    middle = (counts.sum() + 1) / 2
    for j in range(p):
        first, before, square = 0, 0.0, 0.0
        while first < n:
            last, tied = first, counts[order[j, first]]
            while last + 1 < n and columns[j, order[j, last + 1]] == columns[j, order[j, first]]:
                last += 1
                tied += counts[order[j, last]]
            rank = before + (tied + 1) / 2 - middle
            square += tied * rank * rank
            for place in range(first, last + 1):
                ranks[j, order[j, place]] = rank * root[order[j, place]]
            first, before = last + 1, before + tied
        if square > 0:
            ranks[j] /= np.sqrt(square)
    return ranks


def _caret_exact(size: np.ndarray, threshold: float) -> np.ndarray:
    p = len(size)
    # ranked as R's order(decreasing = TRUE) does, which leaves equal means in their order
    order = np.argsort(-(size.sum(axis=0) - 1) / (p - 1), kind="stable")
    found = _walk(np.ascontiguousarray(size[np.ix_(order, order)]), threshold)
    rival = np.full(p, -1)
    rival[order] = np.where(found >= 0, order[found], -1)
    return rival


@njit(cache=True)
def _walk(size, threshold):
    """The exact walk over features in falling order of their mean; sums are kept, so that a pair costs no more."""
    p = size.shape[0]
    rival = np.full(p, -1)
    sums = np.empty(p)  # of each row, over the features still there
    for i in range(p):
        sums[i] = size[i].sum() - size[i, i]
    total, there = sums.sum(), p
    for i in range(p - 1):
        if rival[i] >= 0:
            continue
        for j in range(i + 1, p):
            if rival[i] >= 0:
                break
            if rival[j] >= 0 or not size[i, j] > threshold:
                continue
            own = sums[i] / (there - 1)
            others = (total - sums[j]) / (there - 1) ** 2  # (there - 1) rows of (there - 1) values
            gone, other = (i, j) if own > others else (j, i)
            rival[gone] = other
            total -= 2 * sums[gone]
            there -= 1
            for k in range(p):
                if k != gone:
                    sums[k] -= size[k, gone]
    return rival


def _caret_fast(size: np.ndarray, threshold: float) -> np.ndarray:
    rival = np.full(len(size), -1)
    mean = np.array([float(f"{value:.{_DIGITS}g}") for value in size.mean(axis=0)])
    for j, i in zip(*np.nonzero(np.tril(size > threshold, -1)), strict=True):  # pairs i < j, column by column
        gone, other = (j, i) if mean[j] > mean[i] else (i, j)
        if rival[gone] < 0:
            rival[gone] = other
    return rival


@njit(cache=True, fastmath={"reassoc", "contract"})
def _keep_first(ranks, threshold):
    p, n = ranks.shape
    rival, rho = np.full(p, -1), np.zeros(p)
    kept = np.empty(p, np.int64)
    count = 0
    for j in range(p):
        for position in range(count):
            k = kept[position]
            product = 0.0
            for i in range(n):
                product += ranks[j, i] * ranks[k, i]
            if abs(product) > threshold:
                rival[j], rho[j] = k, product
                break
        if rival[j] < 0:
            kept[count] = j
            count += 1
    return rival, rho
