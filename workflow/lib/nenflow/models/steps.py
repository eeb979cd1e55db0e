"""The steps of a protocol, each an estimator on tables of image features and clinical variables.

A table has one row per lesion (index patient, region); in a bootstrap resample rows repeat. `clinical` names the
columns that are no image features: the steps up to the signature pass them through, the later ones weigh them with the
Radscore. A fitted step is its document, a plain dict that JSON can hold: what it chose, and all it needs to be applied.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numba import njit
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.lasso import cross_validate, folds_of
from nenflow.models.logistic import fit_logistic, likelihood_ratio, profile_interval

SIGNATURE = "Radscore"
DECIMALS = 9  # of linear predictors: below them is rounding, which would break ties between equal lesions
FEW_VALUES = 10  # a variable with so many values at most has them all on its axis, as in rms
LIKELIHOOD, FIRTH = "maximum likelihood", "Firth's penalised likelihood"
WALD, RATIO, NO_VARIATION = "Wald", "likelihood ratio (separated)", "no variation"


class _Step(BaseEstimator):
    """What all steps share: the document."""

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
        return [name for name in X.columns if name not in clinical]

    def _with_clinical(self, features: np.ndarray, names: list[str], X: pd.DataFrame) -> pd.DataFrame:
        """New features (n, k), then X's clinical variables, as one block of numbers, which pandas is fast on."""
        clinical = set(self.clinical)
        passed = [name for name in X.columns if name in clinical]
        values = np.column_stack([features, X[passed].to_numpy(dtype=float)])
        return pd.DataFrame(values, index=X.index, columns=[*names, *passed])


class ZScore(TransformerMixin, _Step):
    """Centre each feature and divide it by its standard deviation (n - 1), as R's scale().

    A feature without variation has no z-score; it is dropped, and the document says so.

    Document: centre and scale by feature, dropped (features without variation).
    """

    def __init__(self, clinical: Sequence[str] = ()):
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | None = None) -> Self:
        """Take centres and scales from X."""
        features = self._features(X)
        values = _values(X, features)
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
        values = (_values(X, list(centre)) - np.array(list(centre.values()))) / np.array(list(scale.values()))
        return self._with_clinical(values, list(centre), X)


class SpearmanPruning(TransformerMixin, _Step):
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
        rival, rho = _prune(_unit_ranks(_values(X, features)), float(self.threshold))
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
        return self._with_clinical(_values(X, kept), kept, X)


class LassoSignature(TransformerMixin, _Step):
    """Choose and weigh features by a cross-validated LASSO; their weighted sum is the Radscore.

    The Radscore is the linear predictor with its intercept; where nothing is chosen it is the same for all.

    Args:
        folds: number of folds of the cross-validation.
        folds_by: "patient" keeps the lesions of a patient in one fold; "lesion" splits them, as most publications do,
            and keeps only copies of one lesion together.
        rule: "lambda.min" or "lambda.1se".
        seed: decides the folds.
        clinical: columns that are no image features.

    Document: coefficients (those not zero), intercept, lambda_min, lambda_1se, the options, and `path` with, per
    lambda, the deviance (mean and error), explained share, number of features and the coefficients of every feature
    that ever enters; fold_of (the fold of each row).
    """

    def __init__(
        self,
        folds: int = 10,
        folds_by: str = "patient",
        rule: str = "lambda.min",
        seed: int = 0,
        clinical: Sequence[str] = (),
    ):
        self.folds = folds
        self.folds_by = folds_by
        self.rule = rule
        self.seed = seed
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series, fold_of: np.ndarray | None = None) -> Self:
        """Cross-validate, then fit to all rows; `fold_of` (a label per row) replaces the step's own folds."""
        if self.folds_by not in ("patient", "lesion"):
            raise InputError(f"The LASSO's folds_by is '{self.folds_by}'; it must be patient or lesion.")
        if self.rule not in ("lambda.min", "lambda.1se"):
            raise InputError(f"The LASSO's rule is '{self.rule}'; it must be lambda.min or lambda.1se.")
        features = self._features(X)
        if not features:
            raise InputError("The LASSO has no feature to choose from; the steps before it left none.")
        outcome = np.asarray(y, dtype=float)
        if fold_of is None:
            fold_of = folds_of(outcome, _groups(X.index, self.folds_by), self.folds, self.seed)
        found = cross_validate(_values(X, features), outcome, np.asarray(fold_of))
        index = found.index_min if self.rule == "lambda.min" else found.index_1se
        entering = np.flatnonzero((found.coefs != 0).any(axis=0))
        chosen = np.flatnonzero(found.coefs[index])
        self.document_ = {
            "coefficients": {features[j]: float(found.coefs[index, j]) for j in chosen},
            "intercept": float(found.intercepts[index]),
            "lambda_min": found.lambda_min,
            "lambda_1se": found.lambda_1se,
            "folds": self.folds,
            "folds_by": self.folds_by,
            "rule": self.rule,
            "seed": self.seed,
            "threshold": found.threshold,
            "n_features": len(features),
            "path": {
                "lambda": found.lambdas.tolist(),
                "deviance": found.cvm.tolist(),
                "error": found.cvsd.tolist(),
                "explained": found.dev_ratio.tolist(),
                "nonzero": found.df.tolist(),
                "intercept": found.intercepts.tolist(),
                "coefficients": {features[j]: found.coefs[:, j].tolist() for j in entering},
            },
            "fold_of": np.asarray(fold_of).tolist(),
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The Radscore, then the clinical variables."""
        return self._with_clinical(_linear_predictor(self.document(), X)[:, None], [SIGNATURE], X)


class UnivariableSelection(TransformerMixin, _Step):
    """Keep each variable whose own logistic model gives it p < `p`.

    Wald's p, as SPSS and R print it; the likelihood ratio's where the variable separates the outcomes, since Wald's
    goes to 1 there. A variable without variation has p = 1.

    Document: p (the threshold), variables (p, coefficient, test of each), kept.
    """

    def __init__(self, p: float = 0.05, clinical: Sequence[str] = ()):
        self.p = p
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series) -> Self:
        """Fit one model per column of X."""
        values = _values(X, list(X.columns))
        tests = {name: _tests(values[:, [j]], y)[0] for j, name in enumerate(X.columns)}
        self.document_ = {
            "p": self.p,
            "variables": tests,
            "kept": [name for name, test in tests.items() if test["p"] < self.p],
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The variables kept."""
        return X[_present(X, self.document()["kept"])]


class BackwardElimination(TransformerMixin, _Step):
    """Start with all variables; drop the one with the largest p and fit anew, as long as that p is above `p`.

    Wald's p; the likelihood ratio's in a model that separates the outcomes (see UnivariableSelection).

    Document: p (the threshold), removed (in order: variable, p, test), kept.
    """

    def __init__(self, p: float = 0.05, clinical: Sequence[str] = ()):
        self.p = p
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series) -> Self:
        """Eliminate columns of X."""
        kept, removed = list(X.columns), []
        while kept:
            tests = _tests(_values(X, kept), y)
            worst = max(range(len(kept)), key=lambda j: tests[j]["p"])
            if tests[worst]["p"] <= self.p:
                break
            removed.append({"variable": kept.pop(worst), "p": tests[worst]["p"], "test": tests[worst]["test"]})
        self.document_ = {"p": self.p, "removed": removed, "kept": kept}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The variables kept."""
        return X[_present(X, self.document()["kept"])]


class LogisticModel(ClassifierMixin, _Step):
    """The final model: logistic regression on all columns, by Firth's method where they separate the outcomes.

    Without any column it is the share of events.

    Document: method, separated, variables, intercept, coefficients, se, p (Wald), n, events, log_likelihood,
    linear_predictor (least and greatest), scales (values or range of each variable, for the nomogram).
    """

    def __init__(self, clinical: Sequence[str] = ()):
        self.clinical = clinical

    @property
    def classes_(self) -> np.ndarray:
        """0 and 1, where 1 is the event."""
        return np.array([0, 1])

    def fit(self, X: pd.DataFrame, y: pd.Series) -> Self:
        """Fit to all columns of X."""
        names, values = list(X.columns), _values(X, list(X.columns))
        fit = fit_logistic(values, y)
        separated = fit.separated
        if separated:
            fit = fit_logistic(values, y, firth=True)
        document = {
            "method": FIRTH if separated else LIKELIHOOD,
            "separated": separated,
            "variables": names,
            "intercept": fit.coef[0],
            "coefficients": dict(zip(names, fit.coef[1:], strict=True)),
            "se": dict(zip(["intercept", *names], fit.se, strict=True)),
            "p": dict(zip(["intercept", *names], fit.p, strict=True)),
            "n": len(y),
            "events": int(np.sum(y)),
            "log_likelihood": fit.log_likelihood,
            "scales": {name: _scale(column) for name, column in zip(names, values.T, strict=True)},
        }
        predictor = np.round(_linear_predictor(document, X), DECIMALS)
        self.document_ = plain({**document, "linear_predictor": [predictor.min(), predictor.max()]})
        return self

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Log odds of the event, rounded to 9 decimals so that equal lesions stay equal."""
        return np.round(_linear_predictor(self.document(), X), DECIMALS)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of no event and of the event, shape (n, 2)."""
        event = expit(self.decision_function(X))
        return np.column_stack([1 - event, event])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the event is the more probable."""
        return (self.decision_function(X) > 0).astype(int)


def univariable_table(X: pd.DataFrame, y: pd.Series) -> pd.DataFrame:
    """Odds ratio of each column in a logistic model of its own.

    Returns:
        One row per column: variable, odds_ratio, low, high (95 % profile-likelihood interval), p (as in
        UnivariableSelection), coefficient, se, test, method. Where the variable separates the outcomes, odds ratio and
        interval are Firth's.
    """
    rows = [_odds_ratios(_values(X, [name]), y, [name])[0] for name in X.columns]
    return pd.DataFrame(rows, columns=_COLUMNS)


def multivariable_table(X: pd.DataFrame, y: pd.Series) -> pd.DataFrame:
    """Odds ratios of all columns in one logistic model, the intercept first; columns as in `univariable_table`.

    Where the model separates the outcomes, everything is Firth's, p by the penalised likelihood ratio.
    """
    return pd.DataFrame(_odds_ratios(_values(X, list(X.columns)), y, list(X.columns), joint=True), columns=_COLUMNS)


_COLUMNS = ["variable", "odds_ratio", "low", "high", "p", "coefficient", "se", "test", "method"]


def _odds_ratios(values: np.ndarray, y: pd.Series, names: list[str], joint: bool = False) -> list[dict[str, Any]]:
    fit = fit_logistic(values, y)
    tests = _tests(values, y)
    firth = fit.separated
    if firth:
        fit = fit_logistic(values, y, firth=True)
    rows = []
    for j, name in enumerate(["intercept", *names]):
        if j == 0 and not joint:
            continue
        low, high = profile_interval(values, y, j - 1, firth)
        test = {"p": fit.p[0], "test": WALD} if j == 0 else tests[j - 1]
        if firth and joint and j > 0:
            test = {"p": likelihood_ratio(values, y, j - 1, firth=True), "test": "penalised likelihood ratio"}
        with np.errstate(over="ignore"):
            ratio, low, high = np.exp([fit.coef[j], low, high])
        if fit.aliased[j]:
            ratio = low = high = np.nan
        method = FIRTH if firth else LIKELIHOOD
        row = [name, ratio, low, high, test["p"], fit.coef[j], fit.se[j], test["test"], method]
        rows.append(dict(zip(_COLUMNS, row, strict=True)))
    return rows


def _tests(values: np.ndarray, y: pd.Series) -> list[dict[str, Any]]:
    """For each variable in the model of all: p, coefficient, and which test gave p."""
    fit = fit_logistic(values, y)
    tests = []
    for j in range(values.shape[1]):
        if fit.aliased[j + 1]:
            tests.append({"p": 1.0, "coefficient": 0.0, "test": NO_VARIATION})
        elif fit.separated:
            tests.append({"p": likelihood_ratio(values, y, j), "coefficient": None, "test": RATIO})
        else:
            tests.append({"p": float(fit.p[j + 1]), "coefficient": float(fit.coef[j + 1]), "test": WALD})
    return tests


def _values(X: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Columns as numbers, always in one layout, so that a table read back from a file gives the same last digit."""
    values = np.ascontiguousarray(X[_present(X, names)].to_numpy(dtype=float))
    if not np.isfinite(values).all():
        broken = [name for name, column in zip(names, values.T, strict=True) if not np.isfinite(column).all()]
        raise InputError(
            f"{len(broken)} variable(s), the first being {broken[0]}, have missing values; the model needs all."
        )
    return values


def _present(X: pd.DataFrame, names: list[str]) -> list[str]:
    known = set(X.columns)
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(f"The table lacks {len(missing)} variable(s) the model needs, the first being {missing[0]}.")
    return names


def _linear_predictor(document: dict[str, Any], X: pd.DataFrame) -> np.ndarray:
    """Intercept plus weighted sum, added up in the document's order: a row's value depends on no other row."""
    total = np.full(len(X), float(document["intercept"]))
    values = _values(X, list(document["coefficients"]))
    for column, coefficient in zip(values.T, document["coefficients"].values(), strict=True):
        total += coefficient * column
    return total


def _groups(index: pd.Index, folds_by: str) -> np.ndarray:
    """Numbers of the patients or lesions, in order of appearance."""
    labels = index.get_level_values("patient") if folds_by == "patient" else index
    return pd.factorize(labels)[0]


def _scale(column: np.ndarray) -> dict[str, Any]:
    """What the nomogram's axis of a variable spans."""
    values = np.unique(column)
    if len(values) <= FEW_VALUES:
        return {"values": values}
    return {"minimum": values[0], "maximum": values[-1]}


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
