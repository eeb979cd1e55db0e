"""What the steps of a protocol share: a fitted one is a document. Apart from `base`: scikit-learn is slow to load."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from nenflow.models.base import places_of


class Step(BaseEstimator):
    """A step of a protocol: a fitted one is its document, a plain dict that JSON can hold.

    `clinical` names the columns that are no image features: the steps up to the signature pass them through.
    """

    def document(self) -> dict[str, Any]:
        """What the fitted step chose and all it needs to be applied: plain, ready for JSON."""
        check_is_fitted(self, "document_")
        return self.document_

    @classmethod
    def from_document(cls, document: dict[str, Any], clinical: Sequence[str] = ()) -> Self:
        """A step that applies what the document says."""
        options = {name: document[name] for name in cls._get_param_names() if name in document}
        step = cls(**options, clinical=clinical)
        step.document_ = document
        return step

    def _features(self, X: pd.DataFrame) -> list[str]:
        clinical = set(self.clinical)
        return [name for name in X.columns.tolist() if name not in clinical]

    def _with_clinical(self, features: np.ndarray, names: list[str], X: pd.DataFrame) -> pd.DataFrame:
        """New features (n, k), then X's clinical variables, as one block of numbers, which pandas is fast on."""
        clinical = set(self.clinical)
        columns = X.columns.tolist()
        passed = [name for name in columns if name in clinical]
        values = np.empty((len(X), len(names) + len(passed)))
        values[:, : len(names)] = features
        values[:, len(names) :] = X.to_numpy().take(places_of(X, passed), axis=1)
        same = [*names, *passed] == columns
        return pd.DataFrame(values, X.index, X.columns if same else pd.Index([*names, *passed], dtype=X.columns.dtype))
