import numpy as np

ADJUSTMENTS = {"p_bonferroni": "bonferroni", "p_holm": "holm", "p_bh": "bh"}
# columns of a comparison of groups that are no groups
TESTED = ["test", "p", *ADJUSTMENTS, "effect", "effect_size", "effect_low", "effect_high", "smd"]


def adjust(p: np.ndarray, method: str) -> np.ndarray:
    """Adjust p values for their number, as R's p.adjust; NaN stays and does not count.

    Args:
        p: shape (n,).
        method: bonferroni, holm (Holm 1979, Scand J Stat 6:65) or bh (Benjamini & Hochberg 1995, JRSS B 57:289).
    """
    p = np.asarray(p, dtype=float)
    adjusted, known = np.full(len(p), np.nan), np.flatnonzero(~np.isnan(p))
    order, n = known[np.argsort(p[known], kind="stable")], len(known)
    # by hand, since statsmodels collects garbage at every call, which takes 60 ms in a large process
    if method == "bonferroni":
        adjusted[order] = n * p[order]
    elif method == "holm":
        adjusted[order] = np.maximum.accumulate(np.arange(n, 0, -1) * p[order])
    else:
        adjusted[order] = np.minimum.accumulate((n / np.arange(1, n + 1) * p[order])[::-1])[::-1]
    return np.minimum(adjusted, 1)
