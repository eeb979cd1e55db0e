"""Single features in a cohort grown from the study's own patients, which some publications call external."""

from collections.abc import Mapping

import pandas as pd

from nenflow.evaluation.markers import rate_markers
from nenflow.models.oversampling import oversample


def rate_synthetic(
    X: pd.DataFrame, y: pd.Series, counts: Mapping[int, int], method: str, neighbours: int, seed: int
) -> pd.DataFrame:
    """Rate markers in synthetic units only, as published; the original ones are left out.

    Every synthetic unit lies between two real ones, so this says how well the sampler copied the data and nothing of
    new patients: a marker that looks good by chance looks good here too.

    Args:
        X: markers, one column each.
        y: 0/1 per unit.
        counts: synthetic units per class.
        method, neighbours, seed: see `oversample`.

    Returns:
        see `rate_markers`.
    """
    totals = {value: int((y == value).sum()) + count for value, count in counts.items()}
    grown, outcome, origin = oversample(X, y, totals, method, neighbours, seed)
    new = (origin == "synthetic").to_numpy()
    return rate_markers(grown[new], outcome[new])
