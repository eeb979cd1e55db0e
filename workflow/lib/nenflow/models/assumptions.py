"""What a final model rests on: enough events, variables that do not stand for each other, hazards in proportion."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.competing import fine_gray
from nenflow.models.base import is_survival, values_of
from nenflow.models.cox import fit_cox, schoenfeld_test
from nenflow.models.likelihood import wald_ratios
from nenflow.models.missing import pool
from nenflow.models.regression import Regression
from nenflow.models.selection import events_per_variable, variance_inflation
from nenflow.models.terms import term_of

EVENTS, INFLATION, PROPORTIONAL = "events per variable", "variance inflation", "proportional hazards"


def check_assumptions(
    candidates: pd.DataFrame, final: pd.DataFrame, y: pd.Series | pd.DataFrame, **settings: Any
) -> pd.DataFrame:
    """Figures by which a reader judges whether a model may be trusted.

    Args:
        candidates: columns that a selection could choose from.
        final: columns of the final model.
        y: outcome, 0 or 1, or columns time and event.
        settings: see `Regression`; where values are missing the first imputed table is judged.

    Returns:
        columns check, variable (of a term; GLOBAL of all, blank for the model), value (events per variable; generalised
        variance inflation per coefficient; chi2 of Schoenfeld's test), df, p.
    """
    rows = [(EVENTS, "", events_per_variable(y, list(candidates.columns)), len(candidates.columns), np.nan)]
    if final.empty:
        return _table(rows)
    regression = Regression(final, y, **settings)
    table = regression.tables[0]
    if table.shape[1] > 1:
        inflated = variance_inflation(table)
        rows += [(INFLATION, row.variable, row.per_df, row.df, np.nan) for row in inflated.itertuples()]
    if is_survival(y):
        values, time, event = values_of(table, list(table)), y["time"].to_numpy(), y["event"].to_numpy()
        fit = fit_cox(values, time, event, **regression.kind.given)
        if not fit.separated:  # a monotone likelihood has no residuals to look at
            terms = [term_of(name) for name in table]
            tests = schoenfeld_test(fit, values, time, event, terms, regression.kind.given["strata"])
            rows += [(PROPORTIONAL, term, test["chi2"], test["df"], test["p"]) for term, test in tests.iterrows()]
    return _table(rows)


def _table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["check", "variable", "value", "df", "p"])


def subdistribution_table(final: pd.DataFrame, y: pd.Series | pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """Subdistribution hazard ratios of a Cox model's variables (Fine and Gray), to stand beside its own.

    A Cox model counts a competing event as censored: its ratios are of the cause-specific hazard, which tells of
    mechanism; those of the subdistribution tell how the share with the event differs.

    Args:
        final, y, settings: see `check_assumptions`; fits to several completed tables are pooled (Rubin).

    Returns:
        columns variable, hazard_ratio, low, high, p, reason (why there is no finite estimate, else blank); empty where
        no event competes or the model has no variables.
    """
    columns = ["variable", "hazard_ratio", "low", "high", "p", "reason"]
    if final.empty or not (is_survival(y) and (y["event"] == 2).any()):
        return pd.DataFrame(columns=columns)
    names, reason = list(final), ""
    try:
        if "stratum" in y:
            raise InputError("the model is stratified, and Fine and Gray's is not")
        coef, se, p = _subdistribution(Regression(final, y, **settings).tables, y)
    except InputError as error:  # the Cox model has an estimate by Firth's likelihood, and the study goes on
        coef, se, p, reason = *np.full((3, len(names)), np.nan), str(error)
    return pd.DataFrame(dict(zip(columns, [names, *wald_ratios(coef, se), p, reason], strict=True)))


def _subdistribution(tables: Sequence[pd.DataFrame], y: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time, event = y["time"].to_numpy(), y["event"].to_numpy()
    fits = [fine_gray(values_of(table, list(table)), time, event) for table in tables]
    if len(fits) == 1:
        return fits[0].coef, fits[0].se, fits[0].p
    freedom = max(fits[0].events - len(fits[0].coef), 1)
    pooled = pool([fit.coef for fit in fits], [fit.covariance for fit in fits], freedom)
    return pooled.coef, pooled.se, pooled.p
