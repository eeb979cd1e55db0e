"""One way to regress either outcome: 0 or 1 by a logistic model, times of follow-up by a Cox model.

Steps, selections and tables speak of "the regression" of an outcome and need not know which it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.survival import check_survival
from nenflow.models import cox, logistic
from nenflow.models.base import is_survival, outcome_strata, units_of, values_of
from nenflow.models.missing import impute, pool_fits

LIKELIHOOD, FIRTH = "maximum likelihood", "Firth's penalised likelihood"


class Logistic:
    """Logistic regression of an outcome that is 0 or 1; its fits begin with the intercept."""

    ratio = "odds_ratio"
    intercept = 1

    def __init__(self, y: pd.Series | np.ndarray):
        self.y = np.asarray(y, dtype=float)

    @property
    def informative(self) -> int:
        """Lesions of the rarer outcome: what a logistic model's complexity is measured by."""
        return int(min(np.sum(self.y == 1), np.sum(self.y == 0)))

    @property
    def events(self) -> int:
        """Lesions with the event."""
        return int(np.sum(self.y))

    def fit(self, values: np.ndarray, firth: bool = False) -> logistic.Fit:
        """See `fit_logistic`."""
        return logistic.fit_logistic(values, self.y, firth)

    def without(self, values: np.ndarray, columns: Sequence[int], firth: bool = False) -> float:
        """P value of leaving columns out together, by the likelihood ratio."""
        return logistic.likelihood_ratio(values, self.y, columns, firth)

    def interval(self, values: np.ndarray, column: int, firth: bool = False) -> tuple[float, float]:
        """Profile-likelihood interval of a coefficient; -1 is the intercept."""
        return logistic.profile_interval(values, self.y, column, firth)


class Cox:
    """Cox regression of a table of time and event; no intercept, a competing event counts as censored.

    Where the table has a column stratum, each stratum has a baseline hazard of its own. `robust` gives Lin & Wei's
    standard errors, units of a patient taken together.
    """

    ratio = "hazard_ratio"
    intercept = 0

    def __init__(self, y: pd.DataFrame, ties: str = "efron", robust: bool = False):
        self.time, self.event = check_survival(y["time"].to_numpy(), y["event"].to_numpy())
        self.given = {"ties": ties, "strata": outcome_strata(y)}
        self.clusters = y.index.get_level_values("patient") if robust else None

    @property
    def informative(self) -> int:
        """Events: what a Cox model's complexity is measured by."""
        return self.events

    @property
    def events(self) -> int:
        """Lesions with the event; a competing one does not count."""
        return int(self.event.sum())

    def fit(self, values: np.ndarray, firth: bool = False) -> cox.CoxFit:
        """See `fit_cox`."""
        return cox.fit_cox(values, self.time, self.event, clusters=self.clusters, firth=firth, **self.given)

    def without(self, values: np.ndarray, columns: Sequence[int], firth: bool = False) -> float:
        """P value of leaving columns out together, by the likelihood ratio."""
        return cox.likelihood_ratio(values, self.time, self.event, columns, firth=firth, **self.given)

    def interval(self, values: np.ndarray, column: int, firth: bool = False) -> tuple[float, float]:
        """Profile-likelihood interval of a coefficient."""
        return cox.profile_interval(values, self.time, self.event, column, firth=firth, **self.given)


class Regression:
    """Regressions of one outcome on columns of one table, which is completed several times where values are missing.

    Args:
        X: variables, one column each.
        y: 0 or 1 of each row, or columns time and event.
        imputations: how many completed tables are made where values are missing (all columns of X take part); 0
            refuses missing values when a column that lacks some is fitted.
        seed: decides the imputed values.
        ties, robust: of a Cox model.
    """

    def __init__(
        self,
        X: pd.DataFrame,
        y: pd.Series | pd.DataFrame,
        imputations: int = 0,
        seed: int = 0,
        ties: str = "efron",
        robust: bool = False,
    ):
        self.X = X
        self.y = y
        self.kind = Cox(y, ties, robust) if is_survival(y) else Logistic(y)
        self.imputed = bool(imputations) and has_missing(X)
        self.has_likelihood = not self.imputed and not robust  # else tests and intervals are Wald's
        self.tables = impute(X, y, imputations, seed) if self.imputed else [X]
        self._arrays = [table.to_numpy(dtype=float) for table in self.tables]  # choosing columns of a frame is slow
        self._place = {name: place for place, name in enumerate(X.columns)}
        self._units = units_of(X.index)  # in a resample they repeat, and a repeated one tells nothing new

    def fit(self, columns: Sequence[str], firth: bool = False) -> Any:
        """The regression on these columns; pooled by Rubin's rules where tables were imputed.

        Raises:
            InputError: there are as many columns as units, which fits anything: which of them matter cannot be told.
        """
        if columns and len(columns) >= self._units:
            raise InputError(
                f"A regression of {len(columns)} variables needs more units, and there are {self._units}; let an "
                "earlier step (univariable, spearman, lasso) leave fewer, or name fewer features in the model."
            )
        fits = [self.kind.fit(self._values(table, columns), firth) for table in self._arrays]
        return fits[0] if len(fits) == 1 else pool_fits(fits, self.y)

    def without(self, columns: Sequence[str], places: Sequence[int], firth: bool = False) -> float:
        """P of leaving out the columns at these places, by the likelihood ratio; of complete tables only."""
        return self.kind.without(self._values(self._arrays[0], columns), places, firth)

    def interval(self, columns: Sequence[str], place: int, firth: bool = False) -> tuple[float, float]:
        """Profile-likelihood interval of the column at this place (-1: intercept); of complete tables only."""
        return self.kind.interval(self._values(self._arrays[0], columns), place, firth)

    def _values(self, table: np.ndarray, columns: Sequence[str]) -> np.ndarray:
        values = np.ascontiguousarray(table[:, [self._place[name] for name in columns]])
        return values if np.isfinite(values).all() else values_of(self.X, columns)  # which refuses it by name


def has_missing(X: pd.DataFrame) -> bool:
    """Whether any value of the table is missing."""
    return bool(np.isnan(X.to_numpy(dtype=float)).any())


def refuse_other_outcome(y: pd.Series | pd.DataFrame, survival: bool) -> None:
    """Refuse an outcome that the model is not for.

    Raises:
        InputError: a logistic model is given times, or a Cox model none.
    """
    if survival and not is_survival(y):
        raise InputError("A Cox model needs an endpoint with time and event; use logistic for this endpoint.")
    if not survival and is_survival(y):
        raise InputError("A logistic model needs an endpoint without time; use cox for this endpoint.")
