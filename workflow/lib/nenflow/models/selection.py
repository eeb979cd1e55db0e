"""Which variables a regression keeps: tests of terms, backward and forward, by p or by AIC.

Everything works on terms (`race` with all its levels, `age` with its spline), and on either outcome: y is 0 or 1 of
each row, or a table with columns time and event. In a model that separates the outcomes Wald's p goes to 1 for the very
variable that explains most (Hauck & Donner 1977), so there the likelihood ratio decides.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from nenflow.errors import InputError
from nenflow.models.base import values_of
from nenflow.models.regression import Regression, has_missing
from nenflow.models.terms import terms_of

WALD, RATIO, NO_VARIATION = "Wald", "likelihood ratio (separated)", "no variation"
WALD_FIRTH = "Wald of Firth's estimates (separated)"  # of imputed tables, which have no common likelihood
CRITERIA = ("p", "aic")


def term_tests(X: pd.DataFrame, y: pd.Series | pd.DataFrame, **regression: Any) -> dict[str, dict[str, Any]]:
    """Test every term in the model of all columns.

    Wald's p, joint for all columns of a term (as R's summary for one column and rms's anova for several); the
    likelihood ratio's where the model separates the outcomes.

    Args:
        X: columns of the terms, named as the step `terms` names them.
        y: 0 or 1 of each row, or columns time and event.
        regression: further settings, see `Regression`; here and below.

    Returns:
        by term: p, coefficient (None for a term of several columns and where there is no finite one), test, and df for
        a term of several columns. A term without variation has p = 1.
    """
    return tests_of(Regression(X, y, **regression), list(X.columns))


def tests_of(regression: Regression, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """As `term_tests`, of some columns of a table."""
    fit = regression.fit(columns)
    if fit.separated and not regression.has_likelihood:
        fit = regression.fit(columns, firth=True)
    tests = {}
    for term, names in terms_of(columns).items():
        tests[term] = _test(regression, columns, fit, [columns.index(name) for name in names])
        if len(names) > 1:
            tests[term] |= {"coefficient": None, "df": int((~fit.aliased[_places(fit, columns, names)]).sum())}
    return tests


def _places(fit: Any, columns: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where a fit has the coefficients of these columns: a logistic one begins with the intercept."""
    offset = len(fit.coef) - len(columns)
    return [columns.index(name) + offset for name in names]


def _test(regression: Regression, columns: Sequence[str], fit: Any, places: list[int]) -> dict[str, Any]:
    offset = len(fit.coef) - len(columns)
    used = [j + offset for j in places if not fit.aliased[j + offset]]
    if not used:
        return {"p": 1.0, "coefficient": 0.0, "test": NO_VARIATION}
    if fit.separated and not fit.firth:
        return {"p": regression.without(columns, places), "coefficient": None, "test": RATIO}
    if len(places) == 1:
        p, coefficient = float(fit.p[used[0]]), float(fit.coef[used[0]])
    else:
        chi2 = fit.coef[used] @ np.linalg.solve(fit.covariance[np.ix_(used, used)], fit.coef[used])
        p, coefficient = float(chdtrc(len(used), chi2)), None
    return {"p": p, "coefficient": coefficient, "test": WALD_FIRTH if fit.firth else WALD}


def aic(X: pd.DataFrame, y: pd.Series | pd.DataFrame, **regression: Any) -> float:
    """Akaike's information criterion of the model of all columns: -2 log likelihood + 2 per coefficient.

    A column without variation, or that is a combination of others, costs 2 as well, where R leaves it out of the count:
    so it is never kept.
    """
    if has_missing(X):
        raise InputError("AIC needs complete values, since imputed tables have no common likelihood; select by p.")
    fit = Regression(X, y, **regression).fit(list(X.columns))
    return float(-2 * fit.log_likelihood + 2 * len(fit.coef))


def backward(
    X: pd.DataFrame, y: pd.Series | pd.DataFrame, p: float, **regression: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """Start with all terms; drop the one with the largest p and fit anew, as long as that p is above `p`.

    Returns:
        the columns kept, and what was removed in order (variable, p, test).
    """
    fits = Regression(X, y, **regression)
    kept, removed = terms_of(X.columns), []
    while kept:
        tests = tests_of(fits, _columns(kept))
        worst = max(kept, key=lambda term: tests[term]["p"])
        if tests[worst]["p"] <= p:
            break
        del kept[worst]
        removed.append({"variable": worst, "p": tests[worst]["p"], "test": tests[worst]["test"]})
    return _columns(kept), removed


def backward_aic(
    X: pd.DataFrame, y: pd.Series | pd.DataFrame, **regression: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """Start with all terms; drop the one without which AIC is least, as long as it falls (R's step, backward).

    Returns:
        the columns kept, and what was removed in order (variable, aic afterwards).
    """
    kept, removed = terms_of(X.columns), []
    now = aic(X, y, **regression)
    while kept:
        after = {term: aic(X[_columns(kept, without=term)], y, **regression) for term in kept}
        best = min(kept, key=after.get)
        if after[best] >= now:
            break
        del kept[best]
        now = after[best]
        removed.append({"variable": best, "aic": now})
    return _columns(kept), removed


def forward(
    X: pd.DataFrame, y: pd.Series | pd.DataFrame, p: float, **regression: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """Start with no term; add the one with the least p beside those already in, as long as that p is under `p`.

    P is the added term's in the enlarged model (Wald, see `term_tests`), not the score test's as in SPSS.

    Returns:
        the columns kept, in X's order, and what was added in order (variable, p, test).
    """
    fits = Regression(X, y, **regression)
    terms, chosen, added = terms_of(X.columns), [], []
    while len(chosen) < len(terms):
        tests = {}
        for term in terms:
            if term not in chosen:
                together = _columns({one: terms[one] for one in [*chosen, term]})
                tests[term] = tests_of(fits, together)[term]
        best = min(tests, key=lambda term: tests[term]["p"])
        if tests[best]["p"] >= p:
            break
        chosen.append(best)
        added.append({"variable": best, "p": tests[best]["p"], "test": tests[best]["test"]})
    return _columns({term: columns for term, columns in terms.items() if term in chosen}), added


def forward_aic(
    X: pd.DataFrame, y: pd.Series | pd.DataFrame, **regression: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """Start with no term; add the one with which AIC is least, as long as it falls (R's step, forward).

    Returns:
        the columns kept, in X's order, and what was added in order (variable, aic afterwards).
    """
    terms, chosen, added = terms_of(X.columns), [], []
    now = aic(X[[]], y, **regression)
    while len(chosen) < len(terms):
        after = {
            term: aic(X[_columns({one: terms[one] for one in [*chosen, term]})], y, **regression)
            for term in terms
            if term not in chosen
        }
        best = min(after, key=after.get)
        if after[best] >= now:
            break
        chosen.append(best)
        now = after[best]
        added.append({"variable": best, "aic": now})
    return _columns({term: columns for term, columns in terms.items() if term in chosen}), added


def fast_backward(
    coef: np.ndarray, covariance: np.ndarray, columns: Sequence[str], p: float | None = None
) -> tuple[list[str], list[str]]:
    """Backward elimination from the full model alone, without fitting anew (Lawless & Singhal 1978, Biometrics 34:318).

    The coefficients without some terms are approximated by those of the full model given that the terms' are zero; it
    is what rms::fastbw does. With `p` the term of the largest p (joint Wald) goes while it is above `p` (rule "p", type
    "individual"); without it, the term whose Wald chi-square less 2 df is least goes while that of all removed together
    stays under 0 (rule "aic", type "residual").

    Args:
        coef, covariance: of the full model without its intercept, shapes (k,) and (k, k).
        columns: names of the coefficients.
        p: the threshold, or None for AIC.

    Returns:
        the terms kept, in the order of `columns`, and the terms removed in order.
    """
    kept, removed, gone = terms_of(columns), [], []
    place = {name: j for j, name in enumerate(columns)}
    while kept:
        b, V = _given_zero(coef, covariance, gone)
        wald = {}
        for term, names in kept.items():
            own = [place[name] for name in names]
            wald[term] = float(b[own] @ np.linalg.solve(V[np.ix_(own, own)], b[own]))
        if p is not None:
            weakest = max(kept, key=lambda term: chdtrc(len(kept[term]), wald[term]))
            stop = chdtrc(len(kept[weakest]), wald[weakest]) <= p
        else:
            weakest = min(kept, key=lambda term: wald[term] - 2 * len(kept[term]))
            all_gone = gone + [place[name] for name in kept[weakest]]
            residual = coef[all_gone] @ np.linalg.solve(covariance[np.ix_(all_gone, all_gone)], coef[all_gone])
            stop = residual - 2 * len(all_gone) > 0
        if stop:
            break
        gone += [place[name] for name in kept.pop(weakest)]
        removed.append(weakest)
    return list(kept), removed


def _given_zero(coef: np.ndarray, covariance: np.ndarray, gone: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and covariance given that some coefficients are zero, as of a normal distribution."""
    if not gone:
        return coef, covariance
    pull = np.linalg.solve(covariance[np.ix_(gone, gone)], covariance[gone]).T
    return coef - pull @ coef[gone], covariance - pull @ covariance[gone]


def events_per_variable(y: pd.Series | pd.DataFrame, columns: Sequence[str]) -> float:
    """Events per coefficient that is weighed (Peduzzi 1996, J Clin Epidemiol 49:1373); infinite without any.

    Args:
        y: 0 or 1 of each row: lesions of the rarer outcome count; or columns time and event: events count.
        columns: every column that the selection could choose from, not only those that it kept.
    """
    return Regression(pd.DataFrame(index=y.index), y).kind.informative / len(columns) if len(columns) else float("inf")


def variance_inflation(X: pd.DataFrame) -> pd.DataFrame:
    """How much correlation with the other terms inflates the variance of a term's coefficients.

    1 / (1 - R²) of each column on all others; of a term of several columns the generalised factor of Fox & Monette
    1992 (J Am Stat Assoc 87:178). That of the variables as such, not weighted by a model as rms::vif does.

    Returns:
        one row per term: variable, df, vif (of the whole term), per_df = vif ** (1 / df), which can be compared with
        the factors of single columns. Infinite where the term is a combination of others, missing for a constant one.
    """
    values = values_of(X, list(X.columns))
    varies = np.ptp(values, axis=0) > 0
    used = [name for name, wanted in zip(X.columns, varies, strict=True) if wanted]
    scaled = values[:, varies] - values[:, varies].mean(axis=0)
    scaled /= np.sqrt((scaled**2).sum(axis=0))
    correlation, rows = scaled.T @ scaled, []
    for term, columns in terms_of(X.columns).items():
        own = [used.index(name) for name in columns if name in used]
        others = [j for j in range(len(used)) if j not in own]
        factor = _inflation(correlation, own, others) if own else np.nan
        rows.append({"variable": term, "df": len(own), "vif": factor, "per_df": factor ** (1 / max(len(own), 1))})
    return pd.DataFrame(rows, columns=["variable", "df", "vif", "per_df"])


def _inflation(correlation: np.ndarray, own: list[int], others: list[int]) -> float:
    """|R own| |R others| / |R all|, as |R own| over the determinant of what the others leave unexplained of it."""
    alone = correlation[np.ix_(own, own)]
    if not others:
        return 1.0
    cross = correlation[np.ix_(own, others)]
    rest = alone - cross @ np.linalg.pinv(correlation[np.ix_(others, others)], hermitian=True) @ cross.T
    left = np.linalg.det(rest)
    return float(np.linalg.det(alone) / left) if left > 1e-12 else float("inf")


def _columns(terms: dict[str, list[str]], without: str | None = None) -> list[str]:
    return [name for term, names in terms.items() if term != without for name in names]
