from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from nenflow.errors import InputError
from nenflow.evaluation.calibration import GRID, calibration_line, curve_optimism
from nenflow.evaluation.discrimination import auc, brier
from nenflow.models.protocol import scores as protocol_scores
from nenflow.models.signature import SIGNATURE

CHANCE = 0.5
PARTS = ["train", "test", "oob"]  # rows on which a refitted model is tried: drawn, all, of patients not drawn
AREAS = [f"auc{score}_{part}" for score in ("_radscore", "") for part in PARTS]
COLUMNS = [
    *("resample", "units", "n_pruned", "n_lasso", "features", "selected", "separated"),
    *AREAS,
    *("brier_train", "brier_test", "slope", "intercept", "note"),
]


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
    codes, patients = pd.factorize(index.get_level_values("patient"))
    rows = [np.flatnonzero(codes == code) for code in range(len(patients))]
    draw = np.random.default_rng([seed, number]).integers(len(patients), size=len(patients))
    return np.concatenate([rows[code] for code in draw])


def resample_fixed(y, scores: Mapping[str, np.ndarray], seed: int, numbers: Iterable[int]) -> pd.DataFrame:
    """Bootstrap of a finished model, as such studies publish it: lesions are drawn one by one and nothing is refitted.

    It shows only the sampling error of an AUC that is too high to begin with.

    Args:
        y: 0/1 per unit.
        scores: values per unit, by the name of the score.
        seed, numbers: the study's seed and the numbers of the resamples.

    Returns:
        Columns resample, score, auc (NaN where a resample has one class only).
    """
    y = np.asarray(y)
    rows = []
    for number in numbers:
        draw = np.random.default_rng([seed, number]).integers(len(y), size=len(y))
        for name, score in scores.items():
            rows.append((number, name, _area(y[draw], np.asarray(score)[draw])))
    return pd.DataFrame(rows, columns=["resample", "score", "auc"])


def refit_resamples(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series, seed: int, numbers: Iterable[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Repeat the whole analysis, every selection included, on resampled patients.

    Each row depends on `seed` and its own number only, so that jobs of any size give the same rows.

    Args:
        protocol: the unfitted protocol; each resample fits a clone.
        X: model data, index (patient, region).
        y: 0/1, same index.
        seed, numbers: the study's seed and the numbers of the resamples.

    Returns:
        One row per resample (columns: `COLUMNS`), see `refit_once`; and per resample and point of the calibration
        grid the curve's optimism (columns resample, predicted, optimism).
    """
    X = pd.DataFrame(X.to_numpy(dtype=float), X.index, X.columns)  # one block of memory, else drawing rows is slow
    rows, curves = [], []
    for number in numbers:
        row, optimism = refit_once(protocol, X, y, patient_resample(X.index, seed, number))
        rows.append({"resample": number} | row)
        curves.append(pd.DataFrame({"resample": number, "predicted": GRID, "optimism": optimism}))
    return pd.DataFrame(rows, columns=COLUMNS), pd.concat(curves, ignore_index=True)


def refit_once(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series, draw: np.ndarray, grid: np.ndarray = GRID
) -> tuple[dict, np.ndarray]:
    """Fit a clone of the protocol to the drawn rows and see how it does there and elsewhere.

    Returns:
        A row and the optimism of the calibration curve at the grid. The row: `units` drawn; how many features the
        LASSO was given and kept (n_pruned, n_lasso, features) and which variables the final model has (selected), both
        joined by ";"; whether the classes were separated (1 or 0); AUC of the Radscore and of the model on the drawn
        rows (train), on all original rows (test) and on the rows of patients who were not drawn (oob); Brier score;
        intercept and slope of the calibration line on the original rows; a note. Where nothing is selected every AUC
        is 0.5 and there is no line. Where the protocol cannot be fitted (one class only, say), AUCs are 0.5 too and
        the note says why.
    """
    out_of_bag = ~X.index.get_level_values("patient").isin(X.index[draw].get_level_values("patient"))
    parts = {"train": draw, "test": np.arange(len(X)), "oob": np.flatnonzero(out_of_bag)}
    try:
        if y.iloc[draw].nunique() < 2:
            raise InputError("All drawn units have the same outcome.")
        fitted = clone(protocol).fit(X.iloc[draw], y.iloc[draw])
    except InputError as error:
        failed = {"units": len(draw), "note": f"not computable: {error}"} | dict.fromkeys(AREAS, CHANCE)
        return failed, np.full(len(grid), np.nan)

    event = y.to_numpy()
    radscore, predictor, p = protocol_scores(fitted, X)[[SIGNATURE, "linear_predictor", "probability"]].to_numpy().T
    row = {"units": len(draw)} | _selection(fitted)
    for part, rows in parts.items():
        row[f"auc_radscore_{part}"] = _area(event[rows], radscore[rows])
        row[f"auc_{part}"] = _area(event[rows], predictor[rows])
    row["brier_train"], row["brier_test"] = brier(event[draw], p[draw]), brier(event, p)
    row["intercept"], row["slope"] = calibration_line(event, predictor)
    return row, curve_optimism(event[draw], p[draw], event, p, grid)


def _area(y: np.ndarray, score: np.ndarray) -> float:
    """AUC, or NaN where it does not exist: one class only, no rows, or no such score in this protocol."""
    return np.nan if len(np.unique(y)) < 2 or np.isnan(score).all() else auc(y, score)


def _selection(fitted: Pipeline) -> dict:
    """What the fitted steps chose, from their documents."""
    final = fitted[-1].document()
    row = {
        "features": "",
        "selected": ";".join(final["coefficients"]),
        "separated": int(final["separated"]),
        "note": "" if final["coefficients"] else "nothing selected",
    }
    if "lasso" in fitted.named_steps:
        lasso = fitted.named_steps["lasso"].document()
        kept = lasso["coefficients"]
        row |= {"n_pruned": lasso["n_features"], "n_lasso": len(kept), "features": ";".join(kept)}
    return row
