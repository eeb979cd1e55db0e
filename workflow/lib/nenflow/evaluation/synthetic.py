"""Single features in a cohort grown from the study's own patients, which some publications call external."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import DIGITS
from nenflow.evaluation.markers import rate_markers, refuse_unknown
from nenflow.evaluation.resampling import permuted_rows
from nenflow.models.oversampling import grow, oversample
from nenflow.models.ranks import midranks
from nenflow.tables import LARGEST

RANGE = (0.025, 0.5, 0.975)
_STREAM = 7  # of random numbers, so that permutations share none with resamples


def rate_synthetic(
    X: pd.DataFrame,
    y: pd.Series,
    counts: Mapping[int, int],
    method: str,
    neighbours: int,
    seed: int,
    t_test: str = "welch",
    phases: Sequence[str] = (),
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rate markers in synthetic units only, as published; the original ones are left out.

    Every synthetic unit lies between two real ones, so this says how well the sampler copied the data and nothing of
    new patients: a marker that looks good by chance looks good here too.

    Args:
        X: markers, one column each.
        y: 0/1 per unit.
        counts: synthetic units per class.
        method, neighbours, seed: see `oversample`.
        t_test, phases: see `rate_markers`.

    Returns:
        the table of `rate_markers`, and how the cohort was grown: method, neighbours, seed, features, and the units
        with the event and without it (events, others), original and synthetic.
    """
    grown, outcome, origin = oversample(X, y, _totals(y, counts), method, neighbours, seed)
    new = (origin == "synthetic").to_numpy()
    made = outcome[new]
    record = {"method": method, "neighbours": neighbours, "seed": seed, "features": X.shape[1]}
    for name, units in (("original", y), ("synthetic", made)):
        record[name] = {"events": int((units == 1).sum()), "others": int((units == 0).sum())}
    return rate_markers(grown[new], made, t_test, phases), record


def permute_synthetic(
    X: pd.DataFrame,
    y: pd.Series,
    counts: Mapping[int, int],
    method: str,
    neighbours: int,
    seed: int,
    numbers: Iterable[int],
    features: Sequence[str] = (),
) -> pd.DataFrame:
    """The same rating where nothing can be found: cohorts grown from outcomes that were permuted between patients.

    What such a cohort's AUC has over 0.5 comes from copying few patients many times. Each permutation has a seed of its
    own, so that results do not depend on how numbers are spread over jobs.

    Args:
        X, y, counts, method, neighbours, seed: see `rate_synthetic`.
        numbers: of the permutations.
        features: markers whose AUCs are kept; all where there are none.

    Returns:
        One row per permutation: permutation, `largest of all` (over all of X), the AUC of each marker, turned to at
        least 0.5, and a note where no cohort could be grown.

    Raises:
        InputError: a feature is no column of X.
    """
    refuse_unknown(X, features)
    kept = list(features) or list(X.columns)
    totals, values, rows = _totals(y, counts), X.to_numpy(dtype=float), []
    for number in numbers:
        rng = np.random.default_rng([seed, _STREAM, number])
        permuted = y.to_numpy(dtype=int)[permuted_rows(y, rng)]
        try:
            grown, outcome = grow(values, permuted, totals, method, neighbours, int(rng.integers(2**31)))
        except InputError as error:
            rows.append({"permutation": number, "note": f"not computable: {error}"})
            continue
        areas = pd.Series(_turned_auc(grown[len(X) :], outcome[len(X) :] == 1), index=X.columns)
        rows.append({"permutation": number, LARGEST: areas.max(), **areas[kept], "note": ""})
    return pd.DataFrame(rows, columns=["permutation", LARGEST, *kept, "note"])


def chance_level(permutations: pd.DataFrame, synthetic: pd.DataFrame) -> pd.DataFrame:
    """What the AUCs of a synthetic cohort look like where nothing can be found, beside those that were found.

    Args:
        permutations: see `permute_synthetic`.
        synthetic: the table of `rate_synthetic`, index marker.

    Returns:
        One row per marker kept, and one for the largest of all: marker, auc (found in the synthetic cohort), median,
        low and high (2.5th and 97.5th percentile over permutations), share (of permutations that reach it) and
        permutations (those that could be grown).
    """
    rows = []
    for name in [column for column in permutations if column not in ("permutation", "note")]:
        found = synthetic["auc"].max() if name == LARGEST else synthetic.loc[name, "auc"]
        values = permutations[name].dropna().to_numpy(dtype=float)
        low, median, high = np.quantile(values, RANGE) if len(values) else (np.nan,) * 3
        reached = float((values >= found - 10.0**-DIGITS).mean()) if len(values) and pd.notna(found) else np.nan
        rows.append((name, found, median, low, high, reached, len(values)))
    return pd.DataFrame(rows, columns=["marker", "auc", "median", "low", "high", "share", "permutations"])


def _totals(y: pd.Series, counts: Mapping[int, int]) -> dict[int, int]:
    """Units of each class, originals included, as `oversample` wants them."""
    return {value: int((y == value).sum()) + count for value, count in counts.items()}


def _turned_auc(X: np.ndarray, event: np.ndarray) -> np.ndarray:
    """AUC of each column, at least 0.5; values are rounded as `rate_markers` does, and ties count half."""
    spread = X.std(axis=0)
    scaled = np.round((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1), DIGITS)
    events, others = int(event.sum()), int((~event).sum())
    areas = (midranks(scaled.T)[:, event].sum(axis=1) - events * (events + 1) / 2) / (events * others)
    return np.maximum(areas, 1 - areas)
