"""Steps that treat each image feature by itself or thin them out, without looking at the outcome."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numba import njit
from sklearn.base import TransformerMixin

from nenflow.models.base import Step, values_of


class ZScore(TransformerMixin, Step):
    """Centre each feature and divide it by its standard deviation (n - 1), as R's scale().

    A feature without variation has no z-score; it is dropped, and the document says so.

    Document: centre and scale by feature, dropped (features without variation).
    """

    def __init__(self, clinical: Sequence[str] = ()):
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | None = None) -> Self:
        """Take centres and scales from X."""
        features = self._features(X)
        values = values_of(X, features)
        varies = np.ptp(values, axis=0) > 0
        centre, scale = values.mean(axis=0), values.std(axis=0, ddof=1)
        kept = [name for name, wanted in zip(features, varies, strict=True) if wanted]
        self.document_ = {
            "centre": dict(zip(kept, centre[varies].tolist(), strict=True)),
            "scale": dict(zip(kept, scale[varies].tolist(), strict=True)),
            "dropped": [name for name, wanted in zip(features, varies, strict=True) if not wanted],
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Z-scores, then the clinical variables."""
        centre, scale = self.document()["centre"], self.document()["scale"]
        values = (values_of(X, list(centre)) - np.array(list(centre.values()))) / np.array(list(scale.values()))
        return self._with_clinical(values, list(centre), X)


class SpearmanPruning(TransformerMixin, Step):
    """Of each pair of features with a rank correlation beyond a threshold, keep the one that comes first.

    The features are walked through in the order of the columns; one is kept unless its |rho| with one already kept
    exceeds the threshold. So the order decides, and nothing else: original features win over wavelet ones.

    Document: threshold, kept, dropped (each with the kept feature that it was dropped for, and their rho).
    """

    def __init__(self, threshold: float = 0.90, clinical: Sequence[str] = ()):
        self.threshold = threshold
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | None = None) -> Self:
        """Choose features by their correlations in X."""
        features = self._features(X)
        rival, rho = _prune(_unit_ranks(values_of(X, features)), float(self.threshold))
        self.document_ = {
            "threshold": self.threshold,
            "kept": [features[j] for j in np.flatnonzero(rival < 0)],
            "dropped": {
                features[j]: {"for": features[rival[j]], "rho": float(rho[j])} for j in np.flatnonzero(rival >= 0)
            },
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The features kept, then the clinical variables."""
        kept = self.document()["kept"]
        return self._with_clinical(values_of(X, kept), kept, X)


def _unit_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of each column, ties averaged, centred and of length one: rows whose products are rank correlations."""
    columns = np.ascontiguousarray(values.T)
    ranks = _ranks(columns, np.argsort(columns, axis=1))
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    return ranks / np.where(length > 0, length, 1)


@njit(cache=True)
def _ranks(columns, order):
    ranks = np.empty(columns.shape)
    n = columns.shape[1]
    for j in range(columns.shape[0]):
        first = 0
        while first < n:
            last = first
            while last + 1 < n and columns[j, order[j, last + 1]] == columns[j, order[j, first]]:
                last += 1
            for i in range(first, last + 1):
                ranks[j, order[j, i]] = 0.5 * (first + last)
            first = last + 1
    return ranks


@njit(cache=True, fastmath={"reassoc", "contract"})
def _prune(ranks, threshold):
    """For each feature the kept one that it is dropped for, or -1, and their correlation."""
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
