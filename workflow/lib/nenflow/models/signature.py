"""The signature: image features chosen and weighed by a cross-validated LASSO, and their sum, the Radscore."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin

from nenflow.errors import InputError
from nenflow.models.base import SIGNATURE, is_survival, linear_predictor, values_of
from nenflow.models.lasso import CrossValidation, cross_validate, folds_of
from nenflow.models.oversampling import inside_folds
from nenflow.models.step import Step

DEFAULTS = {"alpha": 1.0, "repeats": 1, "measure": "deviance", "oversample": None}  # documented where they differ


class LassoSignature(TransformerMixin, Step):
    """Choose and weigh features by a cross-validated LASSO; their weighted sum is the Radscore.

    Binomial where y is 0 or 1, Cox's partial likelihood where y has columns time and event. The Radscore is the linear
    predictor with its intercept (a Cox model has none); where nothing is chosen it is the same for all.

    Args:
        folds: number of folds of the cross-validation.
        folds_by: "patient" keeps the lesions of a patient in one fold; "lesion" splits them, as most publications do,
            and keeps only copies of one lesion together.
        rule: "lambda.min" or "lambda.1se".
        alpha: the LASSO's share of the penalty; below 1 an elastic net.
        repeats: how often the folds are dealt anew; the measure is averaged.
        measure: "deviance", or "auc" of an outcome without time.
        oversample: {method: "adasyn" or "smote", neighbours: 5}: synthetic rows balance the classes of each fold's
            training rows, and of all rows for the final path; lesions left out to be judged are never synthetic. The
            intercept is then that of balanced classes; a final logistic model puts it right.
        seed: decides the folds and the synthetic rows.
        whole: whether the whole path is found, for its figure, or no more than the choice needs (see `cross_validate`).
        clinical: columns that are no image features.

    Document: coefficients (those not zero), intercept, lambda_min, lambda_1se, the options, and `path` with, per
    lambda, the deviance (or auc; mean and error), explained share, number of features and the coefficients of every
    feature that ever enters; fold_of (the fold of each row; a list for each repeat); with repeats also frequency (share
    of the repeats that select a feature, of all that any selects).
    """

    def __init__(
        self,
        folds: int = 10,
        folds_by: str = "patient",
        rule: str = "lambda.min",
        alpha: float = 1.0,
        repeats: int = 1,
        measure: str = "deviance",
        oversample: Mapping[str, Any] | None = None,
        seed: int = 0,
        whole: bool = True,
        clinical: Sequence[str] = (),
    ):
        self.folds = folds
        self.folds_by = folds_by
        self.rule = rule
        self.alpha = alpha
        self.repeats = repeats
        self.measure = measure
        self.oversample = oversample
        self.seed = seed
        self.whole = whole
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame, fold_of: np.ndarray | None = None) -> Self:
        """Cross-validate, then fit to all rows; `fold_of` (a label per row) replaces the step's own folds."""
        self._check_options(y)
        features = self._features(X)
        if not features:
            raise InputError("The LASSO has no feature to choose from; the steps before it left none.")
        outcome = y[["time", "event"]].to_numpy(dtype=float) if is_survival(y) else np.asarray(y, dtype=float)
        folds = self._folds(X.index, outcome) if fold_of is None else np.asarray(fold_of)
        found = cross_validate(
            values_of(X, features),
            outcome,
            folds,
            alpha=self.alpha,
            measure=self.measure,
            enrich=inside_folds(**self.oversample, seed=self.seed) if self.oversample else None,
            whole=self.whole,
        )
        self.document_ = {**self._describe(found, features), "fold_of": folds.tolist()}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The Radscore, then the clinical variables."""
        return self._with_clinical(linear_predictor(self.document(), X)[:, None], [SIGNATURE], X)

    def _check_options(self, y: pd.Series | pd.DataFrame) -> None:
        if self.folds_by not in ("patient", "lesion"):
            raise InputError(f"The LASSO's folds_by is '{self.folds_by}'; it must be patient or lesion.")
        if self.rule not in ("lambda.min", "lambda.1se"):
            raise InputError(f"The LASSO's rule is '{self.rule}'; it must be lambda.min or lambda.1se.")
        if self.repeats < 1:
            raise InputError(f"The LASSO's repeats is {self.repeats}; it must be 1 or more.")
        if self.oversample and is_survival(y):
            raise InputError("Oversampling balances two classes, which an endpoint with time has not; leave it out.")

    def _folds(self, index: pd.Index, outcome: np.ndarray) -> np.ndarray:
        """The fold of each row, shape (n,), or of each repeat and row, shape (repeats, n)."""
        labels = index.get_level_values("patient") if self.folds_by == "patient" else index
        groups = pd.factorize(labels)[0]
        seeds = [self.seed, *([self.seed, number] for number in range(1, self.repeats))]
        folds = np.array([folds_of(outcome, groups, self.folds, seed) for seed in seeds])
        return folds[0] if self.repeats == 1 else folds

    def _describe(self, found: CrossValidation, features: list[str]) -> dict[str, Any]:
        """What was found, as the document has it."""
        index = found.index(self.rule)
        entering = np.flatnonzero((found.coefs != 0).any(axis=0))
        document = {
            "coefficients": {features[j]: float(found.coefs[index, j]) for j in np.flatnonzero(found.coefs[index])},
            "intercept": float(found.intercepts[index]),
            "lambda_min": found.lambda_min,
            "lambda_1se": found.lambda_1se,
            "folds": self.folds,
            "folds_by": self.folds_by,
            "rule": self.rule,
            **{name: getattr(self, name) for name, usual in DEFAULTS.items() if getattr(self, name) != usual},
            "seed": self.seed,
            "threshold": found.threshold,
            "n_features": len(features),
            "path": {
                "lambda": found.lambdas.tolist(),
                self.measure: found.cvm.tolist(),
                "error": found.cvsd.tolist(),
                "explained": found.dev_ratio.tolist(),
                "nonzero": found.df.tolist(),
                "intercept": found.intercepts.tolist(),
                "coefficients": {features[j]: found.coefs[:, j].tolist() for j in entering},
            },
        }
        if self.repeats > 1:
            share = found.frequencies(self.rule)
            document["frequency"] = {features[j]: float(share[j]) for j in np.flatnonzero(share)}
        return document
