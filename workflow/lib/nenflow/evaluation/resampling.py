"""Resamples of patients or units, and figures of a finished model in them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.discrimination import auc
from nenflow.models.base import is_survival, outcome_strata

CHANCE = 0.5
PARTS = ["train", "test", "oob"]  # rows on which a refitted model is tried: drawn, all, of patients not drawn
LEVELS = (0.025, 0.975)


def patient_resample(index: pd.MultiIndex, seed: int, number: int) -> np.ndarray:
    """Draw as many patients as there are, with replacement, each with all its lesions.

    Lesions of a patient are not independent, so the patient is what is drawn (cluster bootstrap: Davison and Hinkley,
    Bootstrap Methods and their Application, 1997, section 3.8).

    Args:
        index: units with a level "patient".
        seed, number: the study's seed and the resample's number; nothing else decides the draw.

    Returns:
        Row positions, copies beside each other where a patient is drawn more than once.
    """
    return next(patient_resamples(index, seed, [number]))


def patient_resamples(index: pd.MultiIndex, seed: int, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """The `patient_resample` of each number; the patients' rows are looked up once."""
    codes, patients = pd.factorize(index.get_level_values("patient"))
    ends = np.cumsum(np.bincount(codes))
    rows = np.split(np.argsort(codes, kind="stable"), ends[:-1])
    for number in numbers:
        draw = np.random.default_rng([seed, number]).integers(len(patients), size=len(patients))
        yield np.concatenate([rows[code] for code in draw])


def unit_resample(y, seed: int, number: int, stratified: bool = False) -> np.ndarray:
    """Draw as many units as there are, one by one and with replacement; stratified: as many of each outcome.

    Stratified draws answer what varies with events and non-events of these numbers, as pROC::ci.auc draws by default.

    Args:
        y: outcome per unit; only stratified draws look at it.
        seed, number: see `patient_resample`.

    Returns:
        Row positions.
    """
    y, rng = np.asarray(y), np.random.default_rng([seed, number])
    strata = [np.flatnonzero(y == value) for value in np.unique(y)] if stratified else [np.arange(len(y))]
    return np.concatenate([rows[rng.integers(len(rows), size=len(rows))] for rows in strata])


def permuted_rows(y: pd.Series | pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Give the outcomes of patients to others: `y.iloc[rows]` in the place of y.

    Patients are put in a random order and their outcomes dealt out in it, one after the other, so that those of one
    patient's lesions stay together; only where patients differ in their number of lesions do some fall apart.

    Args:
        y: outcomes, with a level "patient" in the index; a column stratum, where there is one, stays where it is:
            patients change places within it.
        rng: decides the order.

    Returns:
        Row positions, each once.
    """
    strata = y["stratum"].to_numpy() if is_survival(y) and "stratum" in y else np.zeros(len(y))
    _, patients = np.unique(y.index.get_level_values("patient"), return_inverse=True)
    rows = np.empty(len(y), dtype=int)
    for stratum in np.unique(strata):
        inside = np.flatnonzero(strata == stratum)
        codes = np.unique(patients[inside], return_inverse=True)[1]
        place = rng.permutation(codes.max() + 1)[codes]
        rows[inside[np.argsort(codes, kind="stable")]] = inside[np.argsort(place, kind="stable")]
    return rows


def bootstrap_interval(statistic: Callable[[np.ndarray], float], draws: Iterable[np.ndarray]) -> tuple[float, float]:
    """95 % percentile interval of any figure of the drawn rows (Efron and Tibshirani 1993, chapter 13).

    Args:
        statistic: the figure for an array of row positions; NaN where the rows have none.
        draws: rows of each resample, from `patient_resample` or `unit_resample`.

    Returns:
        The 2.5th and 97.5th percentile over the resamples that have the figure; NaN where none has.
    """
    values = np.array([statistic(rows) for rows in draws], dtype=float)
    known = values[np.isfinite(values)]
    return tuple(float(end) for end in np.quantile(known, LEVELS)) if len(known) else (np.nan, np.nan)


def resample_fixed(
    y: pd.Series | pd.DataFrame, scores: Mapping[str, np.ndarray], seed: int, numbers: Iterable[int]
) -> pd.DataFrame:
    """Bootstrap of a finished model, as such studies publish it: lesions are drawn one by one and nothing is refitted.

    It shows only the sampling error of an AUC (or C-index) that is too high to begin with.

    Args:
        y: 0/1 per unit, or columns time and event.
        scores: values per unit, by the name of the score.
        seed, numbers: the study's seed and the numbers of the resamples.

    Returns:
        Columns resample, score, and auc (c for a time-to-event endpoint); NaN where a resample has none, as with one
        class only.
    """
    measure, name_of = (concordance, "c") if is_survival(y) else (area, "auc")
    strata = outcome_strata(y) if is_survival(y) else None
    y, rows = y[["time", "event"]].to_numpy(dtype=float) if is_survival(y) else np.asarray(y), []
    scores = {name: np.asarray(score) for name, score in scores.items()}
    for number in numbers:
        draw = unit_resample(y, seed, number)
        within = () if strata is None else (strata[draw],)
        for name, score in scores.items():
            rows.append((number, name, measure(y[draw], score[draw], *within)))
    return pd.DataFrame(rows, columns=["resample", "score", name_of])


def area(y: np.ndarray, score: np.ndarray) -> float:
    """AUC, or NaN where it does not exist: one class only, no rows, or no such score in this protocol."""
    return np.nan if len(np.unique(y)) < 2 or np.isnan(score).all() else auc(y, score)


def concordance(outcome: np.ndarray, score: np.ndarray, strata: np.ndarray | None = None) -> float:
    """C-index within strata, or NaN where it does not exist: no two units can be ordered, no rows, or no such score."""
    if not len(score) or np.isnan(score).all():
        return np.nan
    try:
        return harrell_c(*outcome.T, score, strata)["c"]
    except InputError:
        return np.nan
