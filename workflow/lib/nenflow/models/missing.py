"""Missing values: what is missing, multiple imputation by chained equations, and Rubin's rules.

Values are completed several times by draws from what the other variables and the outcome say of them, the model is
fitted to each completed table, and the fits are pooled (Rubin 1987, Multiple Imputation for Nonresponse in Surveys).
A lesion that is predicted later has no outcome yet: its missing values are filled with their means given the known ones
(`fit_imputer`, `apply_imputer`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numba import njit
from scipy.special import stdtr

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.terms import term_of

ROUNDS = 10  # of the chain: van Buuren 2018 (Flexible Imputation of Missing Data, 6.5) finds 5 to 20 enough
DONORS = 5  # van Buuren 2018, 3.4.3
RIDGE = 1e-5  # of the variance of a predictor: keeps regressions on collinear or constant columns solvable


def missing_table(X: pd.DataFrame) -> pd.DataFrame:
    """What is missing in a table of lesions.

    Args:
        X: a row per lesion, index (patient, region); without a level `patient`, each row is a patient.

    Returns:
        A row per variable with missing values, those that lack most first: variable, missing (rows), share (of all
        rows), patients (who have such a row). The last row, `any of them`, counts rows that lack at least one, which is
        what complete cases cost. Empty where nothing is missing.
    """
    lacking = X.isna()
    lacking = lacking.loc[:, lacking.any()]
    if lacking.empty:
        return pd.DataFrame(columns=["variable", "missing", "share", "patients"])
    order = lacking.sum().sort_values(ascending=False, kind="stable").index
    lacking = lacking[order].assign(**{"any of them": lacking.any(axis=1)})
    patients = pd.Series(_patients(X), index=X.index)
    rows = [(name, int(is_na.sum()), float(is_na.mean()), patients[is_na].nunique()) for name, is_na in lacking.items()]
    return pd.DataFrame(rows, columns=["variable", "missing", "share", "patients"])


def impute(X: pd.DataFrame, y: pd.Series | pd.DataFrame, imputations: int, seed: int) -> list[pd.DataFrame]:
    """Complete a table several times by chained equations with predictive mean matching.

    Each incomplete term in turn is regressed on all other variables and the outcome, coefficients and residual variance
    are drawn from their posterior, and each lacking row takes over the values of one of the five rows whose expectation
    is nearest to its own (Rubin 1986, J Bus Econ Stat 4:87; van Buuren & Groothuis-Oudshoorn 2011, J Stat Softw 45:3).
    So a completed value is one that occurs; columns of one term (`race=black`, `race=other`; `age`, `age'`) come from
    one and the same row. The outcome takes part: the event of a binary endpoint; event and Nelson-Aalen hazard of a
    time-to-event endpoint (White & Royston 2009, Stat Med 28:1982), for each kind of event where several compete.

    A variable that all lesions of a patient share is completed once per patient.

    Args:
        X: numbers, a row per lesion; NaN where missing.
        y: 0 and 1, or columns time and event.
        imputations: how many completed tables.
        seed: decides all draws, together with the number of the table.

    Raises:
        InputError: no imputations are wanted though values are missing, or a variable has no value at all.
    """
    values = X.to_numpy(dtype=float)
    missing = np.isnan(values)
    if not missing.any():
        return [X]
    blocks = _blocks(X.columns)
    _refuse(X, missing, blocks, imputations)
    owners = _owners(X, blocks)
    order = np.argsort([missing[:, blocks == b].sum() for b in range(blocks.max() + 1)], kind="stable")
    outcome = _standard(_outcome_columns(y))
    completed = []
    for number in range(imputations):
        rng = np.random.default_rng([seed, number])
        draws = _draws(rng, missing, blocks, outcome.shape[1])
        donor = _chain(_standard(values), missing, blocks, owners, order, outcome, *draws)
        full = np.where(missing, np.take_along_axis(values, donor[:, blocks], axis=0), values)
        completed.append(pd.DataFrame(full, index=X.index, columns=X.columns))
    return completed


@dataclass(frozen=True)
class Pooled:
    """Estimates of several completed tables put together; arrays of shape (k,), covariance (k, k).

    Attributes:
        coef: mean of the estimates.
        covariance: within tables plus between them; se is the root of its diagonal.
        df: degrees of freedom of p's t distribution.
        p: of coef / se.
        fmi: fraction of missing information, the share of the variance that is owed to missing values.
    """

    coef: np.ndarray
    covariance: np.ndarray
    se: np.ndarray
    df: np.ndarray
    p: np.ndarray
    fmi: np.ndarray


def pool(coefs: np.ndarray, covariances: np.ndarray, freedom: float = np.inf) -> Pooled:
    """Pool fits to completed tables by Rubin's rules.

    Args:
        coefs: estimates of m tables, shape (m, k).
        covariances: shape (m, k, k).
        freedom: residual degrees of freedom had nothing been missing; they bound df (Barnard & Rubin 1999, Biometrika
            86:948). Infinite gives Rubin's of 1987.
    """
    coefs, covariances = np.asarray(coefs, dtype=float), np.asarray(covariances, dtype=float)
    tables = len(coefs)
    coef, within = coefs.mean(axis=0), covariances.mean(axis=0)
    spread = coefs - coef
    between = (1 + 1 / tables) * spread.T @ spread / max(tables - 1, 1)
    covariance = within + between
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.diag(between) / np.diag(within)
        share = np.diag(between) / np.diag(covariance)
        df = (tables - 1) / share**2
        if np.isfinite(freedom):
            observed = (freedom + 1) / (freedom + 3) * freedom * (1 - share)
            df = 1 / (1 / df + 1 / observed)
        se = np.sqrt(np.diag(covariance))
        fmi = np.where(ratio > 0, (ratio + 2 / (df + 3)) / (1 + ratio), 0.0 * ratio)
        p = 2 * stdtr(df, -np.abs(coef / se))
    return Pooled(coef, covariance, se, df, p, fmi)


def fit_pooled(
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    fit: Callable[[np.ndarray, pd.Series | pd.DataFrame], Any],
    imputations: int,
    seed: int,
) -> Any:
    """Fit a model to a table with missing values; without any, it is the one fit.

    Args:
        X, y, imputations, seed: see `impute`.
        fit: from values (n, k) and y to a fit with coef, se, covariance, p, log_likelihood, separated and aliased, such
            as `fit_logistic` or `fit_cox`.

    Returns:
        A fit of the same kind: coef, se, covariance and p by Rubin's rules; log_likelihood is the mean over the
        completed tables, which describes and tests nothing; separated where one of them is; a variable that is aliased
        in one of them is aliased.
    """
    fits = [fit(table.to_numpy(dtype=float), y) for table in impute(X, y, imputations, seed)]
    return fits[0] if len(fits) == 1 else pool_fits(fits, y)


def pool_fits(fits: Sequence[Any], y: pd.Series | pd.DataFrame) -> Any:
    """Fits of one model to several completed tables as one; see `fit_pooled`."""
    aliased = np.any([fit.aliased for fit in fits], axis=0)
    size = len(fits[0].coef)
    # As much as complete data would have left: lesions, or events where time is the outcome.
    observations = int((y["event"] == 1).sum()) if isinstance(y, pd.DataFrame) else len(y)
    pooled = pool([f.coef for f in fits], [f.covariance for f in fits], max(observations - size, 1))
    return replace(
        fits[0],
        coef=np.where(aliased, 0.0, pooled.coef),
        se=np.where(aliased, np.nan, pooled.se),
        covariance=np.where(aliased | aliased[:, None], np.nan, pooled.covariance),
        p=np.where(aliased, 1.0, pooled.p),
        log_likelihood=float(np.mean([fit.log_likelihood for fit in fits])),
        separated=any(fit.separated for fit in fits),
        aliased=aliased,
    )


def fit_imputer(X: pd.DataFrame, y: pd.Series | pd.DataFrame, imputations: int, seed: int) -> dict[str, Any]:
    """What fills the missing values of a lesion whose outcome is not known.

    Means and covariances of the variables over all completed tables of `impute`; the outcome served there, so that the
    variables' relations are not flattened, and does not occur here.

    Returns:
        document: variables, mean, minimum, maximum (by variable) and covariance (a list of rows).
    """
    full = np.stack([table.to_numpy(dtype=float) for table in impute(X, y, imputations, seed)])
    mean = full.mean(axis=(0, 1))
    deviation = (full - mean).reshape(-1, full.shape[2])
    names = list(X.columns)
    document = {
        "variables": names,
        "mean": dict(zip(names, mean, strict=True)),
        "minimum": dict(zip(names, full.min(axis=(0, 1)), strict=True)),
        "maximum": dict(zip(names, full.max(axis=(0, 1)), strict=True)),
        "covariance": deviation.T @ deviation / max(len(deviation), 1),
    }
    return plain(document)


def apply_imputer(document: Mapping[str, Any], X: pd.DataFrame) -> pd.DataFrame:
    """Fill missing values with their means given the row's known ones, never beyond the range that was seen.

    The means are those of a multivariate normal distribution, that is, of linear regressions on the known variables; a
    factor's columns become shares, so that a linear predictor is the expected one. Rows do not influence each other.

    Args:
        document: of `fit_imputer`.
        X: columns the document's variables (others pass as they are); NaN where missing.

    Raises:
        InputError: a variable is not a column of X.
    """
    names = list(document["variables"])
    lacking = [name for name in names if name not in X.columns]
    if lacking:
        raise InputError(f"The table lacks {len(lacking)} variable(s) the model needs, the first being {lacking[0]}.")
    values = X[names].to_numpy(dtype=float, copy=True)
    mean, low, high = (
        np.array([document[part][name] for name in names], dtype=float) for part in ("mean", "minimum", "maximum")
    )
    covariance = np.array(document["covariance"], dtype=float).reshape(len(names), len(names))
    for row in np.flatnonzero(np.isnan(values).any(axis=1)):
        unknown = np.isnan(values[row])
        expected = mean[unknown] + _weights(covariance, unknown) @ (values[row] - mean)[~unknown]
        values[row, unknown] = np.clip(expected, low[unknown], high[unknown])
    return X.assign(**dict(zip(names, values.T, strict=True)))


def _weights(covariance: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Regression of the unknown variables on the known ones; pinv, since columns of a term may be collinear."""
    known = ~unknown
    scale = np.sqrt(np.diag(covariance)[known])
    scale = np.where(scale > 0, scale, 1)
    correlation = covariance[np.ix_(known, known)] / np.outer(scale, scale)
    return covariance[np.ix_(unknown, known)] / scale @ np.linalg.pinv(correlation, 1e-9, hermitian=True) / scale


def _refuse(X: pd.DataFrame, missing: np.ndarray, blocks: np.ndarray, imputations: int) -> None:
    names = X.columns[missing.any(axis=0)]
    if imputations < 1:
        raise InputError(
            f"{len(names)} variable(s), the first being {names[0]}, have missing values; complete the table, leave "
            "those rows out or ask for multiple imputation."
        )
    for block in range(blocks.max() + 1):
        if missing[:, blocks == block].any(axis=1).all():
            name = term_of(X.columns[np.argmax(blocks == block)])
            raise InputError(f"The variable {name} has no value in any row, so none can be completed; leave it out.")


def _patients(X: pd.DataFrame) -> np.ndarray:
    """The number of each row's patient."""
    if "patient" in X.index.names:
        return pd.factorize(X.index.get_level_values("patient"))[0]
    return np.arange(len(X))


def _blocks(columns: pd.Index) -> np.ndarray:
    """The number of each column's term."""
    return pd.factorize(np.array([term_of(name) for name in columns], dtype=object))[0]


def _owners(X: pd.DataFrame, blocks: np.ndarray) -> np.ndarray:
    """For each row and term the first row of its patient if all patients' rows agree on the term, else the row."""
    patients = _patients(X)
    first = pd.Series(np.arange(len(X))).groupby(patients).transform("min").to_numpy()
    values = X.to_numpy(dtype=float)
    same = (values == values[first]) | (np.isnan(values) & np.isnan(values[first]))
    owners = np.empty((len(X), blocks.max() + 1), dtype=np.int64)
    for block in range(owners.shape[1]):
        owners[:, block] = first if same[:, blocks == block].all() else np.arange(len(X))
    return owners


def _outcome_columns(y: pd.Series | pd.DataFrame) -> np.ndarray:
    """What stands for the outcome in the imputation model, shape (n, q)."""
    if not isinstance(y, pd.DataFrame):
        return np.asarray(y, dtype=float)[:, None]
    time, event = y["time"].to_numpy(dtype=float), y["event"].to_numpy()
    columns = []
    for cause in sorted({1, *event[event > 0]}):
        columns += [event == cause, _nelson_aalen(time, event == cause)]
    return np.column_stack(columns).astype(float)


def _nelson_aalen(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Cumulative hazard of each row at its own time."""
    which = np.unique(time, return_inverse=True)[1]
    events = np.bincount(which, weights=event)
    at_risk = np.bincount(which)[::-1].cumsum()[::-1]
    return np.cumsum(events / at_risk)[which]


def _standard(values: np.ndarray) -> np.ndarray:
    """Columns centred and divided by their standard deviation, as far as they are known; constant ones become 0."""
    spread = np.nanstd(values, axis=0)
    return np.ascontiguousarray((values - np.nanmean(values, axis=0)) / np.where(spread > 0, spread, 1))


def _draws(rng: np.random.Generator, missing: np.ndarray, blocks: np.ndarray, outcomes: int) -> tuple:
    """All that is random in one chain: starts and picks, normals, chi-squares, orders in which donors are met.

    Drawn here, since compiled code that holds a generator takes half a minute to compile.
    """
    n, k = missing.shape
    terms = blocks.max() + 1
    known = n - np.array([missing[:, blocks == b].any(axis=1).sum() for b in blocks])
    sizes = 1 + outcomes + k - np.bincount(blocks)[blocks]
    picks = rng.random((ROUNDS + 1, terms, n))
    normals = rng.standard_normal((ROUNDS, k, 1 + outcomes + k))
    squares = rng.chisquare(np.maximum(known - sizes, 1), size=(ROUNDS, k))
    orders = rng.permuted(np.tile(np.arange(n), (ROUNDS, terms, 1)), axis=2)
    return picks, normals, squares, orders


@njit(cache=True)
def _chain(values, missing, blocks, owners, order, outcome, picks, normals, squares, orders):
    """Run the chain; for each row and term, the row whose values it takes over (itself where known)."""
    n = values.shape[0]
    donor = np.empty((n, order.size), np.int64)
    current = values.copy()
    for turn in range(ROUNDS + 1):
        for b in order:
            columns = np.flatnonzero(blocks == b)
            lacking = np.zeros(n, np.bool_)
            for j in columns:
                lacking |= missing[:, j]
            known = np.flatnonzero(~lacking)
            if turn == 0:  # the chain starts with any of the known values
                for i in range(n):
                    donor[i, b] = known[int(picks[0, b, i] * known.size)] if lacking[i] else i
            elif known.size < n:
                design = np.concatenate((np.ones((n, 1)), outcome, current[:, blocks != b]), axis=1)
                targets = np.ascontiguousarray(current[:, columns])
                fitted, drawn = _regress(design, targets, known, normals[turn - 1, columns], squares[turn - 1, columns])
                met = orders[turn - 1, b]
                met = met[~lacking[met]]
                for i in np.flatnonzero(lacking):
                    if owners[i, b] == i:
                        donor[i, b] = _match(drawn[i], fitted, met, picks[turn, b, i])
            for i in np.flatnonzero(lacking):
                donor[i, b] = donor[owners[i, b], b]
                for j in columns:
                    if missing[i, j]:
                        current[i, j] = values[donor[i, b], j]
    return donor


@njit(cache=True)
def _regress(design, targets, known, normals, squares):
    """Expectations of all rows by the fitted coefficients, and by a draw from their posterior, shapes (n, columns)."""
    used, wanted = design[known], targets[known]
    k = design.shape[1]
    inverse = np.linalg.inv(used.T @ used + RIDGE * known.size * np.eye(k))
    coef = inverse @ (used.T @ wanted)
    residual = wanted - used @ coef
    root = np.linalg.cholesky((inverse + inverse.T) / 2)
    drawn = coef.copy()
    for c in range(targets.shape[1]):
        sd = np.sqrt((residual[:, c] ** 2).sum() / squares[c])
        drawn[:, c] += sd * (root @ np.ascontiguousarray(normals[c, :k]))
    return design @ coef, design @ drawn


@njit(cache=True)
def _match(expected, fitted, met, pick):
    """One of the rows `met` whose expectations are nearest; of equally near ones those met first."""
    rows = np.full(min(DONORS, met.size), -1)
    nearest = np.full(rows.size, np.inf)
    for i in met:
        distance = ((fitted[i] - expected) ** 2).sum()
        place = rows.size
        while place > 0 and distance < nearest[place - 1]:
            place -= 1
            if place + 1 < rows.size:
                rows[place + 1], nearest[place + 1] = rows[place], nearest[place]
        if place < rows.size:
            rows[place], nearest[place] = i, distance
    return rows[int(pick * rows.size)]
