"""What a protocol finds where nothing can be found: the whole analysis on outcomes permuted between patients.

Every step that looks at outcomes is repeated, so that the figures contain all that selection adds (Ojala and Garriga,
J Mach Learn Res 2010; 11:1833).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.refitting import discriminate, fit_drawn, parts_of_draw
from nenflow.evaluation.resampling import CHANCE, PARTS, patient_resamples, permuted_rows
from nenflow.evaluation.validation import harrell, plus632
from nenflow.models.base import SIGNATURE, is_survival

RESAMPLES = 10  # of each permutation; with so few an honest figure scatters more, so that its p value is too large
FIGURES = ("apparent", "corrected", "harrell", "out_of_bag")
COLUMNS = ["permutation", "score", *FIGURES, "note"]
RANGE = (0.025, 0.5, 0.975)
ROUNDING = 1e-9  # figures this close are equal; below it is the rounding of two orders of summation

_STREAM = 12  # of the random draws that permute outcomes


def permute_protocol(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series | pd.DataFrame, seed: int, numbers: Iterable[int]
) -> pd.DataFrame:
    """Repeat the whole analysis, and its honest validation, on permuted outcomes.

    Each permutation depends on `seed` and its own number only, so that jobs of any size give the same rows. It is
    validated with 10 resamples of its own.

    Args:
        protocol: the unfitted protocol.
        X: model data, index (patient, region).
        y: 0/1, or columns time and event (and stratum); same index.
        seed, numbers: the study's seed and the numbers of the permutations.

    Returns:
        Per permutation a row for the Radscore (where the protocol has one) and one for the model. AUCs, of a
        time-to-event endpoint C-indices: apparent, corrected (.632+), harrell (corrected by subtraction), out_of_bag
        (mean in the patients who were not drawn). Where nothing is selected, or nothing can be fitted, they are 0.5.
    """
    X = pd.DataFrame(X.to_numpy(dtype=float), X.index, X.columns.astype(object))
    rows = []
    for number in numbers:
        order = permuted_rows(y, np.random.default_rng([seed, _STREAM, number]))
        permuted = y.iloc[order].set_axis(y.index)
        draws = patient_resamples(X.index, seed, range(number * RESAMPLES, (number + 1) * RESAMPLES))
        rows += [{"permutation": number} | row for row in _figures(protocol, X, permuted, draws)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _figures(protocol: Pipeline, X: pd.DataFrame, y, draws: Iterable[np.ndarray]) -> list[dict[str, Any]]:
    """The figures of one outcome, a row per score."""
    whole, note = _areas(protocol, X, y, np.arange(len(X)))
    refits = pd.DataFrame([_areas(protocol, X, y, draw)[0] for draw in draws])
    measure, rows = "c" if is_survival(y) else "auc", []
    for score, prefix in {SIGNATURE: f"{measure}_radscore", "model": measure}.items():
        apparent = whole[f"{prefix}_train"]
        if np.isnan(apparent):  # a protocol without a signature
            continue
        areas = pd.DataFrame({part: refits[f"{prefix}_{part}"] for part in PARTS})
        corrected = plus632(apparent, areas)
        figures = (apparent, corrected["auc"], harrell(apparent, areas)["auc"], corrected["out_of_bag"])
        rows.append({"score": score, "note": note} | dict(zip(FIGURES, figures, strict=True)))
    return rows


def _areas(protocol: Pipeline, X: pd.DataFrame, y, draw: np.ndarray) -> tuple[dict[str, float], str]:
    """AUCs (C-indices) of a refit on the drawn rows, all 0.5 where it cannot be fitted; and a note."""
    parts = parts_of_draw(X.index, draw)
    try:
        fitted, values = fit_drawn(protocol, X, y, draw)
    except InputError as error:
        measure = "c" if is_survival(y) else "auc"
        signature = CHANCE if "lasso" in protocol.named_steps else np.nan
        figures = {f"{measure}{score}_{part}": value for score, value in (("_radscore", signature), ("", CHANCE))
                   for part in PARTS}  # fmt: skip
        return figures, f"not computable: {error}"
    selected = fitted[-1].document()["coefficients"]
    return discriminate(values, y, parts), "" if selected else "nothing selected"


def summarise_permutations(permutations: pd.DataFrame, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The distribution of each figure under no effect, beside the study's own: chance.json.

    Args:
        permutations: rows of `permute_protocol`, of all jobs together.
        scores: `scores` of validation.json.

    Returns:
        permutations: how many; resamples: of each; not_computable: how many of the permutations could not be fitted;
        nothing_selected: in what share the final model had no variable; scores: per score and figure (apparent,
        corrected, harrell, out_of_bag) the study's own (observed), the median, and the 2.5th and 97.5th percentile
        (low, high) under no effect, and p: of the permutations, the study's own outcome among them, the share that
        reaches it (Phipson and Smyth, Stat Appl Genet Mol Biol 2010; 9:39).
    """
    note = permutations.drop_duplicates("permutation")["note"].astype(object).fillna("").astype(str)
    own = {score: SIGNATURE if score == SIGNATURE else "model" for score in scores}
    return plain(
        {
            "permutations": int(permutations["permutation"].nunique()),
            "resamples": RESAMPLES,
            "not_computable": int(note.str.startswith("not computable").sum()),
            "nothing_selected": float((note == "nothing selected").mean()),
            "scores": {
                score: {
                    figure: _beside(value, permutations.loc[permutations["score"] == own[score], figure])
                    for figure, value in _observed(figures).items()
                }
                for score, figures in scores.items()
            },
        }
    )


def _observed(figures: Mapping[str, Any]) -> dict[str, float]:
    """The study's own figures of a score, in the order of `FIGURES`."""
    measure = "c" if "c" in figures["corrected"] else "auc"
    corrected = figures["corrected"]
    values = (figures["apparent"], corrected[measure], figures["harrell"][measure], corrected["out_of_bag"])
    return dict(zip(FIGURES, values, strict=True))


def _beside(observed: float, permuted: pd.Series) -> dict[str, float]:
    values = permuted.dropna().to_numpy(dtype=float)
    low, median, high = np.quantile(values, RANGE) if len(values) else (np.nan,) * 3
    reached = int((values >= observed - ROUNDING).sum())
    p = (1 + reached) / (1 + len(values)) if len(values) else np.nan
    return {"observed": observed, "median": median, "low": low, "high": high, "p": p}
