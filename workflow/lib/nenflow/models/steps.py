"""Terms, selections and final models as steps of a protocol, each an estimator on tables of variables.

These steps come after the signature, if there is one: they weigh the Radscore with the clinical variables. A table has
one row per lesion (index patient, region); in a bootstrap resample rows repeat. The outcome y is 0 or 1 of each row
(the regressions are logistic then), or a table with columns time and event (Cox).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import ClassifierMixin, TransformerMixin

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.base import chosen_of, linear_predictor, outcome_strata, present, values_of
from nenflow.models.cox import hazard_steps, survival_at
from nenflow.models.missing import apply_imputer, fit_imputer
from nenflow.models.regression import FIRTH, LIKELIHOOD, Regression, has_missing, refuse_other_outcome
from nenflow.models.selection import CRITERIA, backward, backward_aic, forward, forward_aic, tests_of
from nenflow.models.step import Step
from nenflow.models.terms import factor_columns, spline_columns, spline_knots, terms_of

DECIMALS = 9  # of linear predictors: below them is rounding, which would break ties between equal lesions
FEW_VALUES = 10  # a variable with so many values at most has them all on its axis, as in rms


class Terms(TransformerMixin, Step):
    """Replace variables by the columns of their terms; every other column passes through.

    Args:
        factors: {variable: labels of its levels in the order of their codes 1, 2, 3 ...}; the first is the reference.
        splines: {variable: number of knots, 3 to 7}, placed by the rows that are fitted.
        clinical: columns that are no image features (not used; every step is given them).

    Document: factors, splines, knots (by variable).
    """

    def __init__(
        self,
        factors: Mapping[str, Sequence[str]] | None = None,
        splines: Mapping[str, int] | None = None,
        clinical: Sequence[str] = (),
    ):
        self.factors = factors
        self.splines = splines
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Place the knots."""
        factors, splines = dict(self.factors or {}), dict(self.splines or {})
        present(X, [*factors, *splines])
        both = sorted(set(factors) & set(splines))
        if both:
            raise InputError(f"The variable {both[0]} cannot be a factor and a spline; leave it out of one of them.")
        knots = {}
        for name, count in splines.items():
            try:
                knots[name] = spline_knots(X[name].to_numpy(dtype=float), count).tolist()
            except InputError as error:
                raise InputError(f"The step terms, variable {name}: {error}") from None
        self.document_ = {"factors": {k: list(v) for k, v in factors.items()}, "splines": splines, "knots": knots}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The columns in X's order, those of a term in the place of its variable."""
        document = self.document()
        present(X, [*document["factors"], *document["knots"]])
        names, parts = [], []
        for name, column in zip(X.columns.tolist(), X.to_numpy().T, strict=True):
            x = np.ascontiguousarray(column, dtype=float)
            if name in document["factors"]:
                labels = document["factors"][name]
                names += [f"{name}={label}" for label in labels[1:]]
                parts.append(factor_columns(x, labels))
            elif name in document["knots"]:
                parts.append(spline_columns(x, document["knots"][name]))
                names += [name + "'" * bend for bend in range(parts[-1].shape[1])]
            else:
                names.append(name)
                parts.append(x[:, None])
        values = np.column_stack(parts) if parts else np.empty((len(X), 0))
        return pd.DataFrame(values, index=X.index, columns=names)


class _Selection(TransformerMixin, Step):
    """What selections share: columns to keep, and how missing values are met."""

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The variables kept."""
        return chosen_of(X, self.document()["kept"])


class UnivariableSelection(_Selection):
    """Keep each term whose own regression gives it p < `p`.

    Wald's p, as SPSS and R print it; the likelihood ratio's where the variable separates the outcomes, since Wald's
    goes to 1 there. A variable without variation has p = 1. The regression is logistic where y is 0 or 1, and Cox's
    where y has columns time and event; here and in the steps below.

    Args:
        p: the threshold.
        imputations, seed: completed tables that are pooled where values are missing; 0 refuses those.
        ties, robust: those of the final Cox model, see CoxModel; here and in the steps below.
        clinical: columns that are no image features (not used; every step is given them).

    Document: p (the threshold), variables (p, coefficient, test of each term, df where it has several columns), kept
    (columns).
    """

    def __init__(
        self,
        p: float = 0.05,
        imputations: int = 0,
        seed: int = 0,
        ties: str = "efron",
        robust: bool = False,
        clinical: Sequence[str] = (),
    ):
        self.p = p
        self.imputations = imputations
        self.seed = seed
        self.ties = ties
        self.robust = robust
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> Self:
        """Fit one model per term of X."""
        regression = Regression(X, y, **regression_settings(self))
        terms = terms_of(X.columns)
        tests = {term: tests_of(regression, columns)[term] for term, columns in terms.items()}
        self.document_ = {
            "p": self.p,
            "variables": tests,
            "kept": [name for term, columns in terms.items() if tests[term]["p"] < self.p for name in columns],
        }
        return self


class _Stepwise(_Selection):
    """What the stepwise selections share: the criterion, and the words of their document."""

    by_p: Callable
    by_aic: Callable
    changed: str  # what the document calls the terms that the selection names

    def __init__(
        self,
        p: float = 0.05,
        criterion: str = "p",
        imputations: int = 0,
        seed: int = 0,
        ties: str = "efron",
        robust: bool = False,
        clinical: Sequence[str] = (),
    ):
        self.p = p
        self.criterion = criterion
        self.imputations = imputations
        self.seed = seed
        self.ties = ties
        self.robust = robust
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> Self:
        """Choose among the terms of X."""
        if self.criterion not in CRITERIA:
            raise InputError(f"A selection's criterion is '{self.criterion}'; it must be {' or '.join(CRITERIA)}.")
        if self.criterion == "p":
            kept, changed = type(self).by_p(X, y, self.p, **regression_settings(self))
            rule = {"p": self.p}
        else:
            kept, changed = type(self).by_aic(X, y, **regression_settings(self))
            rule = {"criterion": self.criterion}
        self.document_ = {**rule, self.changed: changed, "kept": kept}
        return self


class BackwardElimination(_Stepwise):
    """Start with all terms and leave out one after the other.

    Criterion "p": the term with the largest p goes and the model is fitted anew, as long as that p is above `p` (Wald's
    p; the likelihood ratio's in a model that separates the outcomes, see UnivariableSelection). Criterion "aic": the
    term without which AIC is least goes, as long as AIC falls; it keeps more variables, like a p of about .157.

    Document: p (the threshold) or criterion, removed (in order: variable, and p with its test, or aic), kept (columns).
    """

    by_p, by_aic, changed = backward, backward_aic, "removed"


class ForwardSelection(_Stepwise):
    """Start without any term and add one after the other.

    Criterion "p": the term with the least p beside those already in, as long as it is under `p`. Criterion "aic": the
    term with which AIC is least, as long as AIC falls.

    Document: p (the threshold) or criterion, added (in order: variable, and p with its test, or aic), kept (columns).
    """

    by_p, by_aic, changed = forward, forward_aic, "added"


class _Final(Step):
    """What final models share: one linear predictor from all columns, missing values filled by the document."""

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """The linear predictor, rounded to 9 decimals so that equal lesions stay equal."""
        return np.round(_predictor(self.document(), X), DECIMALS)

    def _fit(self, X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> tuple[Any, dict, pd.DataFrame]:
        """The fit of all columns, by Firth's method where they separate; what both models' documents say; filled X."""
        names = list(X.columns)
        regression = Regression(X, y, **regression_settings(self))
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
            "scales": dict(zip(names, map(_scale, X.to_numpy().astype(float).T), strict=True)),
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
        robust: standard errors of Lin & Wei with a patient's units taken together, for units that are lesions; tests
            and intervals are Wald's then.
        strata: the variable whose levels have baseline hazards of their own; fitted by the column stratum of y.
        times: the endpoint's points of time, at which survival is predicted.
        imputations, seed: completed tables that are pooled where values are missing; 0 refuses those.
        clinical: columns that are no image features (not used; every step is given them).

    Document: ties, robust, times, method, separated, variables, coefficients, se, p (Wald), n, events, log_likelihood,
    baseline (time, and the cumulative hazard where all variables are 0; with strata also stratum, of each row, and
    beside it strata, the variable), linear_predictor (least and greatest), center
    (its mean), scales (values or range of each variable, for the nomogram); with imputed values also imputations and
    imputer.
    """

    def __init__(
        self,
        ties: str = "efron",
        robust: bool = False,
        strata: str | None = None,
        times: Sequence[float] = (),
        imputations: int = 0,
        seed: int = 0,
        clinical: Sequence[str] = (),
    ):
        self.ties = ties
        self.robust = robust
        self.strata = strata
        self.times = times
        self.imputations = imputations
        self.seed = seed
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.DataFrame) -> Self:
        """Fit to all columns of X; y has columns time, event (1, 0 censored, 2 competing: as censored) and stratum."""
        refuse_other_outcome(y, survival=True)
        if self.ties not in ("efron", "breslow"):
            raise InputError(f"The Cox model's ties is '{self.ties}'; it must be efron or breslow.")
        fit, document, filled = self._fit(X, y)
        # ASSUME the baseline of imputed tables is that of the table filled with expected values.
        values, outcome = values_of(filled, list(X.columns)), (y["time"].to_numpy(), y["event"].to_numpy())
        baseline = hazard_steps(fit.linear_predictor(values), *outcome, fit.ties, outcome_strata(y))
        columns = ["stratum", "time", "hazard"] if self.strata else ["time", "hazard"]
        predictor = np.round(linear_predictor(document, filled), DECIMALS)
        self.document_ = plain(
            {
                "ties": self.ties,
                "robust": self.robust,
                **({"strata": self.strata} if self.strata else {}),
                "times": list(self.times),
                **document,
                "baseline": {name: baseline[name].tolist() for name in columns},
                "linear_predictor": [predictor.min(), predictor.max()],
                "center": predictor.mean(),
            }
        )
        return self

    def predict_survival(
        self, X: pd.DataFrame, times: Sequence[float] | None = None, strata: Sequence[str] | None = None
    ) -> np.ndarray:
        """Probabilities of no event until each time (those of the document without any), shape (n, len(times)).

        A step function; after the last time of follow-up it stays as it was there, as R's `extend` has it.

        Raises:
            InputError: the model is stratified, and a row is of no stratum (`strata`) that it knows.
        """
        document = self.document()
        times = document["times"] if times is None else times
        baseline, predictor = document["baseline"], self.decision_function(X)
        if "strata" not in document:
            return survival_at(baseline, predictor, times)
        if strata is None:
            raise InputError(f"The Cox model is stratified by {document['strata']}, which is not given here.")
        survival = np.empty((len(X), len(times)))
        for stratum in np.unique(strata).tolist():
            rows = np.asarray(strata) == stratum
            survival[rows] = survival_at(baseline, predictor[rows], times, stratum)
        return survival


def regression_settings(step: Step) -> dict[str, Any]:
    """What a step says of its regressions; see `Regression`."""
    names = ("imputations", "seed", "ties", "robust")
    return {name: getattr(step, name) for name in names if hasattr(step, name)}


def _predictor(document: dict[str, Any], X: pd.DataFrame) -> np.ndarray:
    """The linear predictor of rows whose missing values are filled if the model knows how."""
    if "imputer" in document and has_missing(chosen_of(X, document["variables"])):
        X = apply_imputer(document["imputer"], X)
    return linear_predictor(document, X)


def _scale(column: np.ndarray) -> dict[str, Any]:
    """What the nomogram's axis of a variable spans."""
    values = np.unique(column[~np.isnan(column)])
    if len(values) <= FEW_VALUES:
        return {"values": values}
    return {"minimum": values[0], "maximum": values[-1]}
