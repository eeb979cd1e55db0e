"""Steps that treat each image feature by itself or thin them out, without looking at the outcome."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin

from nenflow.models.base import Step, values_of
from nenflow.models.pruning import prune


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
    """Of each pair of features with a rank correlation beyond a threshold, keep one.

    By keep-first the features are walked through in the order of the columns; one is kept unless its |rho| with one
    already kept exceeds the threshold. So the order decides, and nothing else: original features win over wavelet ones.
    The other methods choose as R's caret does, see `prune`.

    Document: threshold, method (where it is not keep-first), kept, dropped (each with the feature that it was dropped
    for, and their rho).
    """

    def __init__(self, threshold: float = 0.90, method: str = "keep-first", clinical: Sequence[str] = ()):
        self.threshold = threshold
        self.method = method
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | None = None) -> Self:
        """Choose features by their correlations in X."""
        features = self._features(X)
        rival, rho = prune(values_of(X, features), self.threshold, self.method)
        self.document_ = {
            "threshold": self.threshold,
            **({} if self.method == "keep-first" else {"method": self.method}),
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
