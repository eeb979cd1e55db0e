"""Steps that treat each image feature by itself or thin them out, without looking at the outcome."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numba import njit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.base import chosen_of, values_of
from nenflow.models.pruning import prune
from nenflow.models.step import Step
from nenflow.stability import FILTERED, mean_squares, side_by_side, single_coefficients


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
        centre, scale, varies = _moments(values_of(X, features))
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
        values = values_of(X, list(centre))
        values -= np.array(list(centre.values()))  # in place: fresh memory for a large table costs more than the sum
        values /= np.array(list(scale.values()))
        return self._with_clinical(values, list(centre), X)


@njit(cache=True, error_model="numpy")
def _moments(values):
    """Mean and standard deviation (n - 1) of each column, and whether it varies; numpy reads the table seven times."""
    n, p = values.shape
    centre, square, least, most = np.zeros(p), np.zeros(p), values[0].copy(), values[0].copy()
    for i in range(n):
        for j in range(p):
            centre[j] += values[i, j]
            least[j], most[j] = min(least[j], values[i, j]), max(most[j], values[i, j])
    centre /= n
    for i in range(n):
        for j in range(p):
            square[j] += (values[i, j] - centre[j]) ** 2
    return centre, np.sqrt(square / (n - 1)), most > least


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
        rivals = [found.tolist() for found in prune(values_of(X, features), self.threshold, self.method)]
        pairs = list(zip(features, *rivals, strict=True))
        self.document_ = {
            "threshold": self.threshold,
            **({} if self.method == "keep-first" else {"method": self.method}),
            "kept": [name for name, rival, _ in pairs if rival < 0],
            "dropped": {name: {"for": features[rival], "rho": rho} for name, rival, rho in pairs if rival >= 0},
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The features kept, then the clinical variables."""
        kept = self.document()["kept"]
        return self._with_clinical(values_of(X, kept), kept, X)


class StabilityFilter(TransformerMixin, BaseEstimator):
    """Keep the features that repeated segmentations give alike.

    A feature stays when its ICC is computable and at least `threshold` in every comparison of the reference reading
    with repeated ones. Only units among the rows of X take part, as often as they occur there, so that a refit on a
    resample judges stability on that resample alone.

    Args:
        readings: {"reference": features, <comparison>: features, ...}, each indexed by unit (patient, region); a
            comparison may be a list of such tables (perturbation), which are judged together with the reference.
        form: "ICC2" (absolute agreement) or "ICC3" (consistency).
        threshold: the least ICC of a feature that stays.
        clinical: columns of X that are no image features; they pass through.

    Attributes:
        stable_: names of the features that stay, in X's order.
        agreement_: ICC of every feature (rows) in every comparison (columns); NaN where not computable.
        readings_: per comparison, the rows that took part and the different units among them.
    """

    def __init__(self, readings=None, form: str = "ICC2", threshold: float = 0.75, clinical: Sequence[str] = ()):
        self.readings = readings
        self.form = form
        self.threshold = threshold
        self.clinical = clinical

    def __sklearn_clone__(self) -> "StabilityFilter":
        """An unfitted filter on the same readings: they never change, and copying them took a tenth of a refit."""
        return StabilityFilter(self.readings, self.form, self.threshold, self.clinical)

    def fit(self, X: pd.DataFrame, y=None) -> "StabilityFilter":
        """Compute the ICC of each feature over the re-read units of X (index patient, region); y is not used.

        Raises:
            InputError: there are no repeated readings, fewer than two different units of X were read again, or no
                feature is stable.
        """
        if self.form not in FILTERED:
            raise InputError(f"The stability filter knows the forms {' and '.join(FILTERED)}, not '{self.form}'.")
        repeated = {name: reading for name, reading in (self.readings or {}).items() if name != "reference"}
        if not repeated:
            raise InputError("The stability step needs repeated readings; name them under stability: readings.")
        features = X.columns[~X.columns.isin(list(self.clinical))]
        reference, self.readings_, agreement = self.readings["reference"], {}, {}
        for name, second in repeated.items():
            readings, units = side_by_side(reference, second, X.index, features, name)
            if units < 2:
                raise InputError(
                    f"The reading '{name}' covers {units} of the lesions analysed; an ICC needs at least two."
                )
            raters, rows = readings.shape[:2]
            self.readings_[name] = {"rows": rows, "units": units}
            estimates = single_coefficients(*mean_squares(readings), rows, raters)
            agreement[name] = estimates[FILTERED.index(self.form)]
        self.agreement_ = pd.DataFrame(agreement, index=features)
        self.stable_ = list(features[(self.agreement_.to_numpy() >= self.threshold).all(axis=1)])
        if not self.stable_:
            raise InputError(f"No feature reaches an {self.form} of {self.threshold} in {' and '.join(repeated)}.")
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Drop the features that are not stable; the clinical columns stay, X's order stays."""
        check_is_fitted(self, "stable_")
        names, passed = X.columns.tolist(), {*self.stable_, *self.clinical}
        missing = sorted(set(self.stable_) - set(names), key=self.stable_.index)
        if missing:
            raise InputError(
                f"The table lacks {len(missing)} feature(s) the model needs, the first being {missing[0]}."
            )
        return chosen_of(X, [name for name in names if name in passed])

    def document(self) -> dict:
        """What was kept, and every feature's ICC in every comparison (null: not computable)."""
        check_is_fitted(self, "stable_")
        return plain(
            {
                "form": self.form,
                "threshold": self.threshold,
                "readings": self.readings_,
                "n_features": len(self.agreement_),
                "n_stable": len(self.stable_),
                "stable": self.stable_,
                "agreement": self.agreement_.to_dict("index"),
            }
        )

    @classmethod
    def from_document(cls, document: dict, clinical: Sequence[str] = ()) -> "StabilityFilter":
        """A filter that transforms as the documented one did; it holds no readings and is not for refitting."""
        loaded = cls(form=document["form"], threshold=document["threshold"], clinical=clinical)
        loaded.readings_, loaded.stable_ = document["readings"], list(document["stable"])
        loaded.agreement_ = pd.DataFrame.from_dict(document["agreement"], orient="index", dtype=float)
        return loaded
