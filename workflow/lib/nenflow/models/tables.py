"""Tables of odds or hazard ratios, each variable alone and all together."""

from typing import Any

import numpy as np
import pandas as pd

from nenflow.models.likelihood import wald_ratios
from nenflow.models.regression import FIRTH, LIKELIHOOD, Regression
from nenflow.models.selection import WALD, tests_of
from nenflow.models.terms import term_of, terms_of

PENALISED = "penalised likelihood ratio"


def univariable_table(X: pd.DataFrame, y: pd.Series | pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """Odds or hazard ratio of each term in a regression of its own.

    Args:
        X: variables, one column each; columns of a term are in one regression.
        y: 0 or 1 of each row (logistic), or columns time and event (Cox).
        settings: see `Regression`.

    Returns:
        One row per column: variable, odds_ratio (hazard_ratio for times), low, high (95 % profile-likelihood interval;
        Wald's where values were imputed or errors are robust), p (of the column: Wald's, or as in
        UnivariableSelection), coefficient, se, test, method, wald_low, wald_high (95 % Wald interval), term and
        term_p (p of all columns of the term together).
        Where the variable separates the outcomes, ratio and intervals are Firth's.
    """
    regression = Regression(X, y, **settings)
    rows = [row for columns in terms_of(X.columns).values() for row in _ratios(regression, columns, joint=False)]
    return pd.DataFrame(rows, columns=_header(regression))


def multivariable_table(X: pd.DataFrame, y: pd.Series | pd.DataFrame, **settings: Any) -> pd.DataFrame:
    """Odds or hazard ratios of all columns in one regression; arguments and columns as in `univariable_table`.

    A logistic regression's intercept comes first. Where the model separates the outcomes, everything is Firth's, p by
    the penalised likelihood ratio.
    """
    regression = Regression(X, y, **settings)
    return pd.DataFrame(_ratios(regression, list(X.columns), joint=True), columns=_header(regression))


def _header(regression: Regression) -> list[str]:
    first = ["variable", regression.kind.ratio, "low", "high", "p", "coefficient", "se", "test", "method"]
    return [*first, "wald_low", "wald_high", "term", "term_p"]


def _ratios(regression: Regression, columns: list[str], joint: bool) -> list[dict[str, Any]]:
    """Rows of the table for one regression."""
    fit = regression.fit(columns)
    terms = tests_of(regression, columns)
    firth = fit.separated
    if firth:
        fit = regression.fit(columns, firth=True)
    offset, ratios = regression.kind.intercept, wald_ratios(fit.coef, fit.se)
    rows = []
    for j in range(0 if joint else offset, len(fit.coef)):
        name = columns[j - offset] if j >= offset else "intercept"
        test = {"p": float(fit.p[j]), "test": WALD}
        if j >= offset or (firth and regression.has_likelihood):
            test = _column_test(regression, columns, j - offset, test, terms.get(term_of(name)), joint and firth)
        ratio, *wald = np.full(3, np.nan) if fit.aliased[j] else ratios[:, j]
        low, high = wald
        if regression.has_likelihood and not fit.aliased[j]:
            with np.errstate(over="ignore"):
                low, high = np.exp(regression.interval(columns, j - offset, firth))
        method = FIRTH if firth else LIKELIHOOD
        row = [name, ratio, low, high, test["p"], fit.coef[j], fit.se[j], test["test"], method, *wald]
        whole = terms[term_of(name)]["p"] if j >= offset else test["p"]
        rows.append(dict(zip(_header(regression), [*row, term_of(name), whole], strict=True)))
    return rows


def _column_test(
    regression: Regression,
    columns: list[str],
    place: int,
    wald: dict[str, Any],
    term: dict[str, Any],
    penalised: bool,
) -> dict[str, Any]:
    """P of one column: that of its term where the term has no other, else by the same test for the column alone."""
    if not regression.has_likelihood:
        return {"p": term["p"] if "df" not in term else wald["p"], "test": term["test"]}
    if penalised:
        return {"p": regression.without(columns, [place], firth=True), "test": PENALISED}
    if "df" not in term:
        return term
    if term["test"] == WALD:
        return wald
    return {"p": regression.without(columns, [place]), "test": term["test"]}
