"""Whether a second model moves units the right way: net reclassification and integrated discrimination."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import Z95, check_outcome


def net_reclassification(y, first, second, cuts: Sequence[float] | None = None) -> dict[str, float]:
    """Net reclassification improvement of the second model's probabilities over the first's.

    Events that move up less those that move down, plus non-events that move down less those that move up, each as a
    share of its class (Pencina et al., Stat Med 2008; 27:157); without cuts any change counts (Stat Med 2011; 30:11).
    The continuous form rises with noise added to a model as well (Hilden and Gerds, Stat Med 2014; 33:3405): show it
    beside AUC and net benefit, not instead. The two components are worth more than their sum.

    Args:
        y: 0/1 per unit, 1 = event.
        first, second: predicted probabilities of the same units, 0 to 1.
        cuts: limits between the categories of risk, rising; None for the continuous form.

    Returns:
        nri, se, low, high (95 %), z, p (two-sided; the standard error of z is that under no change), events and
        non_events (the components, each -1 to 1). NaN for the test where nobody moves.

    Raises:
        InputError: outcomes, probabilities or cuts that are none.
    """
    event, first, second = _check(y, first, second)
    move = moves(first, second, cuts)
    shares = [((move[side] > 0).mean(), (move[side] < 0).mean(), side.sum()) for side in (event, ~event)]
    parts = shares[0][0] - shares[0][1], shares[1][1] - shares[1][0]
    null = sum((up + down) / n for up, down, n in shares)
    variance = sum((up + down - (up - down) ** 2) / n for up, down, n in shares)
    return _tested("nri", sum(parts), variance, null) | {"events": float(parts[0]), "non_events": float(parts[1])}


def moves(first: np.ndarray, second: np.ndarray, cuts: Sequence[float] | None = None) -> np.ndarray:
    """1 where the second probability is higher than the first (or in a higher category), -1 where lower, else 0.

    Raises:
        InputError: cuts that are none.
    """
    if cuts is None:
        return np.sign(np.round(second - first, 9))
    limits = np.asarray(cuts, dtype=float)
    if not (len(limits) and (np.diff(limits) > 0).all() and limits[0] > 0 and limits[-1] < 1):
        raise InputError("Categories of risk need rising limits above 0 and below 1; mend the settings.")
    return np.sign(np.searchsorted(limits, second, "right") - np.searchsorted(limits, first, "right"))


def integrated_discrimination(y, first, second) -> dict[str, float]:
    """Integrated discrimination improvement: how much further apart the mean probabilities of the classes are.

    Pencina et al., Stat Med 2008; 27:157. The standard error takes the classes as independent and the units of a class
    as paired; it is too small where the second model was fitted to the same units (Kerr et al., Am J Epidemiol 2011;
    174:364), so prefer an interval over resamples.

    Returns:
        idi, se, low, high (95 %), z, p (two-sided), events and non_events (mean changes of probability).
    """
    event, first, second = _check(y, first, second)
    change = second - first
    parts = [change[event].mean(), change[~event].mean()]
    sizes = event.sum(), (~event).sum()
    variance = np.nan
    if min(sizes) > 1:
        variance = change[event].var(ddof=1) / sizes[0] + change[~event].var(ddof=1) / sizes[1]
    found = _tested("idi", parts[0] - parts[1], variance, variance)
    return found | {"events": float(parts[0]), "non_events": float(parts[1])}


def reclassification_table(y, first, second, cuts: Sequence[float]) -> pd.DataFrame:
    """Units by category of risk under both models, events and non-events apart.

    Returns:
        Columns event (0, 1), first, second (numbers of the categories, from 0), units; every combination has a row.
    """
    event, first, second = _check(y, first, second)
    before, after = (np.searchsorted(np.asarray(cuts, dtype=float), p, "right") for p in (first, second))
    places = range(len(cuts) + 1)
    rows = [
        (value, i, j, int(((event == value) & (before == i) & (after == j)).sum()))
        for value in (0, 1)
        for i in places
        for j in places
    ]
    return pd.DataFrame(rows, columns=["event", "first", "second", "units"])


def _check(y, first, second) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    event, _ = check_outcome(y, first)
    check_outcome(y, second)
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if min(first.min(), second.min()) < 0 or max(first.max(), second.max()) > 1:
        raise InputError("Reclassification compares probabilities, from 0 to 1; linear predictors are none.")
    return event, first, second


def _tested(name: str, value: float, variance: float, null_variance: float) -> dict[str, float]:
    se = np.sqrt(variance) if variance > 0 else np.nan
    z = value / np.sqrt(null_variance) if null_variance > 0 else np.nan
    ends = {"low": float(value - Z95 * se), "high": float(value + Z95 * se)}
    return {name: float(value), "se": float(se), **ends, "z": float(z), "p": float(2 * ndtr(-abs(z)))}
