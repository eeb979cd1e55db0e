"""Where to cut a variable into low and high risk, and a p value that knows the cut was searched for."""

import numpy as np
import pandas as pd
from scipy.special import ndtr

from nenflow.errors import InputError
from nenflow.evaluation.survival import check_survival, logrank

MIN_SHARE = 0.1  # of the units on either side of a cut, as in survminer's surv_cutpoint
PERMUTATIONS = 9999
_BLOCK = 500  # permutations at a time, to spare memory


def maximally_selected(time, event, variable, seed: int = 1) -> dict[str, object]:
    """Cut-point of a variable with the largest standardised log-rank statistic, and what remains of its p value.

    Every cut that leaves about 10 % of the units on either side is tried; the statistic is the standardised sum of the
    log-rank scores of the low group. Scores, cuts and statistics are those of R's maxstat.test with smethod "LogRank"
    and minprop 0.1 (Hothorn and Lausen, Comput Stat Data Anal 2003; 43:121). The naive p is that of a log-rank test
    that takes the cut for given: far too small, and shown only beside the others.

    - p_lausen_1992: limit for a continuous variable (Miller and Siegmund, Biometrics 1982; 38:1011; Lausen and
      Schumacher, Biometrics 1992; 48:73).
    - p_lausen_1994: improved Bonferroni inequality, an upper bound that knows the cuts (Lausen, Sauerbrei and
      Schumacher, in Dirschedl and Ostermann, Computational Statistics 1994:483). R takes 1 - its normal distribution
      for a tail, which leaves nothing of it below 1e-16; here the tail is exact.
    - p_permutation: share of 9,999 permutations of the scores whose largest statistic is no smaller. It stands for
      Hothorn and Lausen's exact bound, which needs whole-number scores: R has none for log-rank scores either.

    Args:
        time: follow-up, > 0, shape (n,).
        event: 1 event; 0 censored and 2 competing event both count as censored, shape (n,).
        variable: number per unit, shape (n,).
        seed: of the permutations.

    Returns:
        cutpoint (high is above it), statistic, n_low, n_high, p_lausen_1992, p_lausen_1994, p_permutation, naive_chi2,
        naive_p, and cuts: a table of cut, n_low, statistic. Of equal statistics the lowest cut is taken.

    Raises:
        InputError: values missing, no event, or no cut with enough units on either side.
    """
    time, died = check_survival(time, event)
    variable = np.asarray(variable, dtype=float)
    missing = int((~np.isfinite(variable)).sum())
    if missing:
        raise InputError(f"{missing} of {len(variable)} values to cut are missing; complete them or leave them out.")
    if not died.any():
        raise InputError("Nobody had the event, so no cut-point divides early from late events; check the endpoint.")
    order = np.argsort(variable, kind="stable")
    scores, below = logrank_scores(time, died)[order], _cuts(variable[order])
    statistics = _statistics(scores, below)
    best = int(statistics.argmax())
    cut, largest = float(variable[order][below[best] - 1]), float(statistics[best])
    naive = logrank(time, died, variable > cut)
    return {
        "cutpoint": cut,
        "statistic": largest,
        "n_low": int(below[best]),
        "n_high": len(time) - int(below[best]),
        "p_lausen_1992": _lausen_1992(largest),
        "p_lausen_1994": _lausen_1994(largest, below, len(time)),
        "p_permutation": _permutation(scores, below, largest, seed),
        "naive_chi2": naive["chi2"],
        "naive_p": naive["p"],
        "cuts": pd.DataFrame({"cut": variable[order][below - 1], "n_low": below, "statistic": statistics}),
    }


def cut_as_given(time, event, variable, cutpoint: float, seed: int = 1) -> dict[str, object]:
    """Log-rank test at a cut-point from elsewhere, such as a ROC, and a p that allows for its having been searched for.

    The log-rank p takes the cut for given, though it was chosen on the same patients. The corrected p is that of
    `maximally_selected` by permutation, for the statistic at this cut: how often the best of all cuts reaches it when
    the variable tells nothing. It is never smaller than the p of the best cut.

    Args:
        time, event, variable, seed: see `maximally_selected`.
        cutpoint: high is above it.

    Returns:
        n_low, n_high, statistic, chi2 and p (log-rank), p_corrected.

    Raises:
        InputError: as `maximally_selected`, or nobody lies on one side of the cut.
    """
    time, died = check_survival(time, event)
    variable = np.asarray(variable, dtype=float)
    here = int((variable <= cutpoint).sum())
    if not 0 < here < len(variable):
        raise InputError(
            "Nobody with known follow-up lies on one side of the cut-off, so that groups cannot be compared."
        )
    if not died.any():
        raise InputError(
            "Nobody had the event, so that early events cannot be told from late ones; check the endpoint."
        )
    order = np.argsort(variable, kind="stable")
    scores, below = logrank_scores(time, died)[order], np.union1d(_cuts(variable[order]), [here])
    statistic = float(_statistics(scores, np.array([here]))[0])
    found = logrank(time, died, variable > cutpoint)
    return {
        "n_low": here,
        "n_high": len(variable) - here,
        "statistic": statistic,
        "chi2": found["chi2"],
        "p": found["p"],
        "p_corrected": _permutation(scores, below, statistic, seed),
    }


def logrank_scores(time: np.ndarray, died: np.ndarray) -> np.ndarray:
    """Log-rank score of each unit: its event less the hazard it went through (Hothorn and Lausen 2003, section 2).

    With ties each event adds 1 / (1 + units that leave later), so that tied events add less than Nelson-Aalen's.
    """
    ordered = np.sort(time)
    later = len(time) - np.searchsorted(ordered, time, side="right")
    place = np.argsort(time, kind="stable")
    hazard = np.cumsum((died / (later + 1))[place])
    return died - hazard[len(time) - later - 1]


def _cuts(ordered: np.ndarray) -> np.ndarray:
    """Numbers of units at or below each admissible cut."""
    n = len(ordered)
    below = np.flatnonzero(ordered[1:] > ordered[:-1]) + 1
    fewest, most = max(1, np.floor(n * MIN_SHARE)), np.floor(n * (1 - MIN_SHARE))
    below = below[(below >= fewest) & (below <= most)]
    if not below.size:
        raise InputError(
            "No cut-point leaves a tenth of the units on either side, since too many have the same value; "
            "use the variable as it is or cut it at a published value."
        )
    return below


def _statistics(scores: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Absolute standardised sums of the scores up to each cut; the last axis of `scores` goes along the variable."""
    n = scores.shape[-1]
    centred = scores - scores.mean(axis=-1, keepdims=True)
    spread = (centred**2).sum(axis=-1, keepdims=True) * below * (n - below) / (n * (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.abs(np.cumsum(centred, axis=-1)[..., below - 1]) / np.sqrt(spread)
    # scores that are all the same (everybody has the event at one time) tell nothing
    return np.where(spread > 1e-12, result, 0.0)


def _lausen_1992(b: float) -> float:
    if b <= 1:
        return 1.0
    ratio = ((1 - MIN_SHARE) / MIN_SHARE) ** 2
    return float(min(1.0, np.exp(-(b**2) / 2) / np.sqrt(2 * np.pi) * (4 / b + (b - 1 / b) * np.log(ratio))))


def _lausen_1994(b: float, below: np.ndarray, n: int) -> float:
    first, second = below[:-1], below[1:]
    step = np.sqrt(1 - first * (n - second) / ((n - first) * second))
    both = np.exp(-(b**2) / 2) / np.pi * (step - (b**2 / 4 - 1) * step**3 / 6)
    single = 2 * ndtr(-b)
    return float(np.clip(single + both.sum(), single, 1.0))  # the terms turn negative where few cuts are far apart


def _permutation(scores: np.ndarray, below: np.ndarray, largest: float, seed: int) -> float:
    rng = np.random.default_rng([seed, 0])
    reached, left = 0, PERMUTATIONS
    while left:
        block = rng.permuted(np.tile(scores, (min(_BLOCK, left), 1)), axis=1)
        reached += int((_statistics(block, below).max(axis=1) >= largest - 1e-9).sum())
        left -= len(block)
    return (reached + 1) / (PERMUTATIONS + 1)
