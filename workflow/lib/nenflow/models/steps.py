"""The steps of a protocol, each an estimator on tables of image features and clinical variables.

A table has one row per lesion (index patient, region); in a bootstrap resample rows repeat. `clinical` names the
columns that are no image features: the steps up to the signature pass them through, the later ones weigh them with the
Radscore. The outcome y is 0 or 1 of each row, or a table with columns time and event. A fitted step is its document, a
plain dict that JSON can hold: what it chose, and all it needs to be applied.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import ClassifierMixin, TransformerMixin

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.survival import check_survival
from nenflow.models.base import Step, is_survival, linear_predictor, present, values_of
from nenflow.models.cox import baseline_hazard, survival_at
from nenflow.models.lasso import cross_validate, folds_of
from nenflow.models.missing import apply_imputer, fit_imputer
from nenflow.models.regression import FIRTH, LIKELIHOOD, Regression, has_missing, refuse_other_outcome
from nenflow.models.selection import CRITERIA, backward, backward_aic, forward, forward_aic, tests_of
from nenflow.models.terms import terms_of

SIGNATURE = "Radscore"
DECIMALS = 9  # of linear predictors: below them is rounding, which would break ties between equal lesions
FEW_VALUES = 10  # a variable with so many values at most has them all on its axis, as in rms


class LassoSignature(TransformerMixin, Step):
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
        outcome = lasso_outcome(y)
        if fold_of is None:
            event = outcome[:, 1] if is_survival(y) else outcome
            fold_of = folds_of(event, _groups(X.index, self.folds_by), self.folds, self.seed)
        found = cross_validate(values_of(X, features), outcome, np.asarray(fold_of))
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
        return self._with_clinical(linear_predictor(self.document(), X)[:, None], [SIGNATURE], X)


class _Selection(TransformerMixin, Step):
    """What selections share: columns to keep, and how missing values are met."""

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The variables kept."""
        return X[present(X, self.document()["kept"])]

    def _check_criterion(self) -> None:
        if self.criterion not in CRITERIA:
            raise InputError(f"A selection's criterion is '{self.criterion}'; it must be {' or '.join(CRITERIA)}.")

    def _rule(self) -> dict[str, Any]:
        return {"p": self.p} if self.criterion == "p" else {"criterion": self.criterion}


class UnivariableSelection(_Selection):
    """Keep each term whose own regression gives it p < `p`.

    Wald's p, as SPSS and R print it; the likelihood ratio's where the variable separates the outcomes, since Wald's
    goes to 1 there. A variable without variation has p = 1. The regression is logistic where y is 0 or 1, and Cox's
    where y has columns time and event; here and in the steps below.

    Args:
        p: the threshold.
        imputations, seed: completed tables that are pooled where values are missing; 0 refuses those.
        clinical: columns that are no image features (not used; every step is given them).

    Document: p (the threshold), variables (p, coefficient, test of each term, df where it has several columns), kept
    (columns).
    """

    def __init__(self, p: float = 0.05, imputations: int = 0, seed: int = 0, clinical: Sequence[str] = ()):
        self.p = p
        self.imputations = imputations
        self.seed = seed
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> Self:
        """Fit one model per term of X."""
        regression = Regression(X, y, self.imputations, self.seed)
        terms = terms_of(X.columns)
        tests = {term: tests_of(regression, columns)[term] for term, columns in terms.items()}
        self.document_ = {
            "p": self.p,
            "variables": tests,
            "kept": [name for term, columns in terms.items() if tests[term]["p"] < self.p for name in columns],
        }
        return self


class BackwardElimination(_Selection):
    """Start with all terms and leave out one after the other.

    Criterion "p": the term with the largest p goes and the model is fitted anew, as long as that p is above `p` (Wald's
    p; the likelihood ratio's in a model that separates the outcomes, see UnivariableSelection). Criterion "aic": the
    term without which AIC is least goes, as long as AIC falls; it keeps more variables, like a p of about .157.

    Document: p (the threshold) or criterion, removed (in order: variable, and p with its test, or aic), kept (columns).
    """

    def __init__(
        self,
        p: float = 0.05,
        criterion: str = "p",
        imputations: int = 0,
        seed: int = 0,
        clinical: Sequence[str] = (),
    ):
        self.p = p
        self.criterion = criterion
        self.imputations = imputations
        self.seed = seed
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> Self:
        """Eliminate terms of X."""
        self._check_criterion()
        if self.criterion == "p":
            kept, removed = backward(X, y, self.p, self.imputations, self.seed)
        else:
            kept, removed = backward_aic(X, y)
        self.document_ = {**self._rule(), "removed": removed, "kept": kept}
        return self


class ForwardSelection(_Selection):
    """Start without any term and add one after the other.

    Criterion "p": the term with the least p beside those already in, as long as it is under `p`. Criterion "aic": the
    term with which AIC is least, as long as AIC falls.

    Document: p (the threshold) or criterion, added (in order: variable, and p with its test, or aic), kept (columns).
    """

    def __init__(
        self,
        p: float = 0.05,
        criterion: str = "p",
        imputations: int = 0,
        seed: int = 0,
        clinical: Sequence[str] = (),
    ):
        self.p = p
        self.criterion = criterion
        self.imputations = imputations
        self.seed = seed
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> Self:
        """Choose terms of X."""
        self._check_criterion()
        if self.criterion == "p":
            kept, added = forward(X, y, self.p, self.imputations, self.seed)
        else:
            kept, added = forward_aic(X, y)
        self.document_ = {**self._rule(), "added": added, "kept": kept}
        return self


class _Final(Step):
    """What final models share: one linear predictor from all columns, missing values filled by the document."""

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """The linear predictor, rounded to 9 decimals so that equal lesions stay equal."""
        return np.round(_predictor(self.document(), X), DECIMALS)

    def _fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame, ties: str = "efron") -> tuple[Any, dict, pd.DataFrame]:
        """The fit of all columns, by Firth's method where they separate; what both models' documents say; filled X."""
        names = list(X.columns)
        regression = Regression(X, y, self.imputations, self.seed, ties)
        fit = regression.fit(names)
        separated = fit.separated
        if separated:
            fit = regression.fit(names, firth=True)
        imputer = fit_imputer(X, y, self.imputations, self.seed) if regression.imputed else None
        filled = apply_imputer(imputer, X) if imputer else X
        labels = ["intercept", *names] if regression.kind.intercept else names
        coefficients = dict(zip(labels, fit.coef, strict=True))
        document = {
            "method": FIRTH if separated else LIKELIHOOD,
            "separated": separated,
            "variables": names,
            **({"intercept": coefficients.pop("intercept")} if regression.kind.intercept else {}),
            "coefficients": coefficients,
            "se": dict(zip(labels, fit.se, strict=True)),
            "p": dict(zip(labels, fit.p, strict=True)),
            "n": len(y),
            "events": regression.kind.events,
            "log_likelihood": fit.log_likelihood,
            "scales": {name: _scale(column) for name, column in zip(names, values_of(filled, names).T, strict=True)},
        }
        if imputer:
            document |= {"imputations": self.imputations, "imputer": imputer}
        return fit, document, filled


class LogisticModel(ClassifierMixin, _Final):
    """The final model: logistic regression on all columns, by Firth's method where they separate the outcomes.

    Without any column it is the share of events.

    Args:
        imputations, seed: completed tables that are pooled where values are missing; 0 refuses those.
        clinical: columns that are no image features (not used; every step is given them).

    Document: method, separated, variables, intercept, coefficients, se, p (Wald), n, events, log_likelihood,
    linear_predictor (least and greatest), scales (values or range of each variable, for the nomogram); with imputed
    values also imputations and imputer (which fills the missing values of new lesions).
    """

    def __init__(self, imputations: int = 0, seed: int = 0, clinical: Sequence[str] = ()):
        self.imputations = imputations
        self.seed = seed
        self.clinical = clinical

    @property
    def classes_(self) -> np.ndarray:
        """0 and 1, where 1 is the event."""
        return np.array([0, 1])

    def fit(self, X: pd.DataFrame, y: pd.Series) -> Self:
        """Fit to all columns of X."""
        refuse_other_outcome(y, survival=False)
        _, document, filled = self._fit(X, y)
        predictor = np.round(linear_predictor(document, filled), DECIMALS)
        self.document_ = plain({**document, "linear_predictor": [predictor.min(), predictor.max()]})
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of no event and of the event, shape (n, 2)."""
        event = expit(self.decision_function(X))
        return np.column_stack([1 - event, event])

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where the event is the more probable."""
        return (self.decision_function(X) > 0).astype(int)


class CoxModel(_Final):
    """The final model of a time-to-event endpoint: Cox regression on all columns.

    By Firth's method where the likelihood is monotone. Without any column everybody has the survival of all.

    Args:
        ties: how events at the same time are counted, "efron" or "breslow".
        times: the endpoint's points of time, at which survival is predicted.
        imputations, seed: completed tables that are pooled where values are missing; 0 refuses those.
        clinical: columns that are no image features (not used; every step is given them).

    Document: ties, times, method, separated, variables, coefficients, se, p (Wald), n, events, log_likelihood,
    baseline (time, and the cumulative hazard where all variables are 0), linear_predictor (least and greatest), center
    (its mean), scales (values or range of each variable, for the nomogram); with imputed values also imputations and
    imputer.
    """

    def __init__(
        self,
        ties: str = "efron",
        times: Sequence[float] = (),
        imputations: int = 0,
        seed: int = 0,
        clinical: Sequence[str] = (),
    ):
        self.ties = ties
        self.times = times
        self.imputations = imputations
        self.seed = seed
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> Self:
        """Fit to all columns of X; y has columns time and event (1 event, 0 censored, 2 competing: as censored)."""
        refuse_other_outcome(y, survival=True)
        if self.ties not in ("efron", "breslow"):
            raise InputError(f"The Cox model's ties is '{self.ties}'; it must be efron or breslow.")
        fit, document, filled = self._fit(X, y, self.ties)
        # ASSUME the baseline of imputed tables is that of the table filled with expected values.
        baseline = baseline_hazard(fit, values_of(filled, list(X.columns)), y["time"].to_numpy(), y["event"].to_numpy())
        predictor = np.round(linear_predictor(document, filled), DECIMALS)
        self.document_ = plain(
            {
                "ties": self.ties,
                "times": list(self.times),
                **document,
                "baseline": {name: baseline[name].tolist() for name in ("time", "hazard")},
                "linear_predictor": [predictor.min(), predictor.max()],
                "center": predictor.mean(),
            }
        )
        return self

    def predict_survival(self, X: pd.DataFrame, times: Sequence[float] | None = None) -> np.ndarray:
        """Probabilities of no event until each time (those of the document without any), shape (n, len(times)).

        A step function; after the last time of follow-up it stays as it was there, as R's `extend` has it.
        """
        document = self.document()
        times = document["times"] if times is None else times
        return survival_at(pd.DataFrame(document["baseline"]), self.decision_function(X), times)


def _predictor(document: dict[str, Any], X: pd.DataFrame) -> np.ndarray:
    """The linear predictor of rows whose missing values are filled if the model knows how."""
    if "imputer" in document and has_missing(X[present(X, document["variables"])]):
        X = apply_imputer(document["imputer"], X)
    return linear_predictor(document, X)


def lasso_outcome(y: pd.Series | pd.DataFrame) -> np.ndarray:
    """The outcome as the LASSO takes it: 0 or 1, shape (n,); or time and event, shape (n, 2), competing as censored."""
    if not is_survival(y):
        return np.asarray(y, dtype=float)
    return np.column_stack(check_survival(y["time"].to_numpy(), y["event"].to_numpy())).astype(float)


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
