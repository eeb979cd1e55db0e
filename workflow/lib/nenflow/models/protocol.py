"""A study's analysis as one object: the pipeline of its steps, built from study.yaml, saved as a readable document."""

from collections.abc import Mapping, Sequence
from copy import copy
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from nenflow.errors import InputError
from nenflow.models.base import SIGNATURE, is_survival, survival_column
from nenflow.models.filters import SpearmanPruning, StabilityFilter, ZScore
from nenflow.models.harmonisation import ComBat
from nenflow.models.signature import LassoSignature
from nenflow.models.steps import (
    BackwardElimination,
    CoxModel,
    ForwardSelection,
    LogisticModel,
    Terms,
    UnivariableSelection,
)
from nenflow.stability import Again, repeated_readings

STEPS = {
    "stability": StabilityFilter,
    "combat": ComBat,
    "zscore": ZScore,
    "spearman": SpearmanPruning,
    "lasso": LassoSignature,
    "terms": Terms,
    "univariable": UnivariableSelection,
    "forward": ForwardSelection,
    "backward": BackwardElimination,
    "logistic": LogisticModel,
    "cox": CoxModel,
}
FINAL = ("logistic", "cox")
_GIVEN = {"readings", "clinical", "seed", "times", "imputations", "whole"}  # what is no option of a step in study.yaml
_OF_COX = {"ties", "robust"}  # options of the final step that the selections before it follow


def given_by(
    analysis: Mapping[str, Any], features: pd.DataFrame | None, raters: Mapping[str, str | Sequence[str]], seed: int
) -> dict[str, Any]:
    """What a study gives the steps of a model, as `build_protocol` and `fit_step` take it beside their options.

    Args:
        analysis: of the model: phase, region, clinical, others, times and imputations.
        features: the feature table of a cohort, all phases and raters; None where no step looks at readings.
        raters: raters by role, see `repeated_readings`.
        seed: of the study.
    """
    readings = None
    if features is not None:
        readings = repeated_readings(features, analysis["phase"], raters, analysis.get("region"))
    return {
        "clinical": [*analysis["clinical"], *analysis["others"]],
        "readings": readings,
        "seed": seed,
        "times": analysis["times"],
        "imputations": analysis.get("imputations", 0),
    }


def build_protocol(
    steps: Sequence[dict[str, dict[str, Any] | None]],
    clinical: Sequence[str],
    readings: dict[str, pd.DataFrame] | None,
    seed: int,
    times: Sequence[float] = (),
    imputations: int = 0,
) -> Pipeline:
    """Build the analysis that study.yaml describes.

    Args:
        steps: one-key dicts, name of the step: its options, in order. A protocol without image features has no `lasso`
            nor the steps before it.
        clinical: columns that are no image features.
        readings: features of the lesions read repeatedly (reference, intra, inter), index (patient, region).
        seed: decides the folds of the LASSO and imputed values.
        times: of a time-to-event endpoint, the points of time at which survival is predicted.
        imputations: how often missing values are imputed; 0 refuses them.

    Returns:
        an unfitted pipeline; its steps carry the names used in study.yaml.

    Raises:
        InputError: a step or an option is unknown, a step occurs twice, or the last one is no final model.
    """
    readings = readings and {role: _in_one_block(reading) for role, reading in readings.items()}
    built: dict[str, Any] = {}
    for step in steps:
        if len(step) != 1:
            raise InputError(f"A step of the protocol must name one thing; found {', '.join(step) or 'nothing'}.")
        (name, options), *_ = step.items()
        if name in built:
            raise InputError(f"The step '{name}' occurs twice in the protocol.")
        built[name] = build_step(name, options or {}, clinical, readings, seed, times, imputations, cox_settings(steps))
    names = list(built)
    if not names or names[-1] not in FINAL or any(name in FINAL for name in names[:-1]):
        raise InputError(
            "The last step of a protocol must be 'logistic' (probabilities) or 'cox' (survival), and no other step may."
        )
    return Pipeline(list(built.items()))


def for_refits(protocol: Pipeline) -> Pipeline:
    """An unfitted copy, to be fitted to a resample or to some of the patients: it selects what the protocol would.

    Its LASSO follows the path no further than its choice needs. Settings are shared, since they never change:
    scikit-learn's clone, which copies them, took a tenth of a refit.
    """
    steps = [(name, copy(step)) for name, step in protocol.steps]
    for _, step in steps:
        for fitted in [name for name in vars(step) if name.endswith("_")]:
            delattr(step, fitted)
        if isinstance(step, LassoSignature):
            step.whole = False
    return Pipeline(steps)


def _in_one_block(reading: Again) -> Again:
    """The same tables, quick to draw rows from and to find names in, as every refit does."""
    if not isinstance(reading, pd.DataFrame):
        return [_in_one_block(table) for table in reading]
    values = np.ascontiguousarray(reading.to_numpy(dtype=float))
    return pd.DataFrame(values, reading.index, reading.columns.astype(object))


def build_step(
    name: str,
    options: dict[str, Any],
    clinical: Sequence[str],
    readings: dict[str, pd.DataFrame] | None,
    seed: int,
    times: Sequence[float] = (),
    imputations: int = 0,
    cox: Mapping[str, Any] | None = None,
) -> Any:
    """Build one step; arguments and errors as in `build_protocol`, `cox` from `cox_settings`."""
    if name not in STEPS:
        raise InputError(f"The protocol has no step '{name}'; it knows {', '.join(STEPS)}.")
    parameters = set(signature(STEPS[name]).parameters)
    known = parameters - _GIVEN - (_OF_COX if name != "cox" else set())
    for option in options:
        if option not in known:
            raise InputError(
                f"The step '{name}' has no option '{option}'; it knows {', '.join(sorted(known)) or 'none'}."
            )
    given = {
        "readings": readings,
        "clinical": tuple(clinical),
        "seed": seed,
        "times": tuple(times),
        "imputations": imputations,
        **(cox or {}),
    }
    return STEPS[name](**{key: value for key, value in given.items() if key in parameters} | options)


def cox_settings(steps: Sequence[Mapping[str, Mapping[str, Any] | None]]) -> dict[str, Any]:
    """Options of a protocol's step `cox` that its selections follow too: ties and robust, where they are given."""
    return {key: value for step in steps for key, value in (step.get("cox") or {}).items() if key in _OF_COX}


def fit_step(
    name: str,
    options: dict[str, Any],
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    clinical: Sequence[str],
    readings: dict[str, pd.DataFrame] | None,
    seed: int,
    times: Sequence[float] = (),
    imputations: int = 0,
    cox: Mapping[str, Any] | None = None,
) -> tuple[Any, pd.DataFrame]:
    """Fit one step on what the step before it passed on, exactly as inside the pipeline.

    Args:
        X: one row per lesion.
        y: 0 or 1 of each row, or columns time and event.
        name, options, clinical, readings, seed, times, imputations: as in `build_protocol`.
        cox: see `cox_settings`.

    Returns:
        the fitted step, and the table that it passes on (the last step passes on what it was given).

    Raises:
        InputError: survival is wanted at a time that nobody was followed up to (in a resample of the pipeline it stays
            as it was at the last time instead, since the longest follow-up may not be drawn).
    """
    if is_survival(y) and len(times) and max(times) > y["time"].max():
        raise InputError(
            f"The endpoint's time point {max(times):g} is after the longest follow-up ({y['time'].max():g}), so that "
            "survival cannot be known there; choose earlier time points."
        )
    step = build_step(name, options, clinical, readings, seed, times, imputations, cox).fit(X, y)
    return step, step.transform(X) if hasattr(step, "transform") else X


def to_document(protocol: Pipeline) -> dict[str, Any]:
    """A fitted protocol as a document: under `steps` the document of each, by name, in order."""
    return {"steps": {name: step.document() for name, step in protocol.steps}}


def from_document(document: dict[str, Any], clinical: Sequence[str]) -> Pipeline:
    """A protocol that scores as the documented one; reading it runs no code, and it holds no data to refit with."""
    steps = []
    for name, part in document["steps"].items():
        if name not in STEPS:
            raise InputError(
                f"The model's document has a step '{name}' that is unknown here; it knows {', '.join(STEPS)}."
            )
        steps.append((name, STEPS[name].from_document(part, tuple(clinical))))
    return Pipeline(steps)


def _through(steps: Sequence[tuple[str, Any]], X: pd.DataFrame) -> pd.DataFrame:
    """What fitted steps make of a table; a pipeline of them does the same after a millisecond of preparations."""
    for _, step in steps:
        X = step.transform(X)
    return X


def scores(protocol: Pipeline, X: pd.DataFrame, strata: Sequence[str] | None = None) -> pd.DataFrame:
    """Scores of each lesion from a fitted protocol, with X's index.

    Args:
        protocol: fitted, or read from a document.
        X: one row per lesion.
        strata: the stratum of each lesion, where the final Cox model has strata.

    Returns:
        columns Radscore (missing where the protocol has no LASSO), linear_predictor (log odds, or log relative hazard
        of a Cox model), and probability of the event; of a Cox model instead survival_<time>, the probability of no
        event until then, for each of its times.
    """
    names = list(protocol.named_steps)
    after = names.index("lasso") + 1 if "lasso" in names else 0
    passed_on = _through(protocol.steps[:after], X)  # once: the steps before the LASSO see all features
    last, final = _through(protocol.steps[after:-1], passed_on), protocol[-1]
    signature = passed_on[SIGNATURE].to_numpy() if after else np.full(len(X), np.nan)
    table = {SIGNATURE: signature, "linear_predictor": final.decision_function(last)}
    known = final.document()  # a model taken from print may lack its baseline or intercept
    if isinstance(final, CoxModel) and "baseline" in known:
        survival = final.predict_survival(last, strata=strata)
        table |= {survival_column(time): s for time, s in zip(known["times"], survival.T, strict=True)}
    elif "intercept" in known:
        table["probability"] = final.predict_proba(last)[:, 1]
    return pd.DataFrame(table, index=X.index)
