"""A study's analysis as one object: the pipeline of its steps, built from study.yaml, saved as a readable document."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from nenflow.errors import InputError
from nenflow.models.steps import (
    SIGNATURE,
    BackwardElimination,
    LassoSignature,
    LogisticModel,
    SpearmanPruning,
    UnivariableSelection,
    ZScore,
)
from nenflow.stability import StabilityFilter

STEPS = {
    "stability": StabilityFilter,
    "zscore": ZScore,
    "spearman": SpearmanPruning,
    "lasso": LassoSignature,
    "univariable": UnivariableSelection,
    "backward": BackwardElimination,
    "logistic": LogisticModel,
}
_GIVEN = {"readings", "clinical", "seed"}  # what the study gives a step, not the step's options


def build_protocol(
    steps: Sequence[dict[str, dict[str, Any] | None]],
    clinical: Sequence[str],
    readings: dict[str, pd.DataFrame] | None,
    seed: int,
) -> Pipeline:
    """Build the analysis that study.yaml describes.

    Args:
        steps: one-key dicts, name of the step: its options, in order.
        clinical: columns that are no image features.
        readings: features of the lesions read repeatedly (reference, intra, inter), index (patient, region).
        seed: decides the folds of the LASSO.

    Returns:
        an unfitted pipeline; its steps carry the names used in study.yaml.

    Raises:
        InputError: a step or an option is unknown, a step occurs twice, or the last one is not `logistic`.
    """
    # Refits clone the readings; a copy lies in one block, and copying that again is a hundred times faster.
    readings = readings and {name: reading.copy() for name, reading in readings.items()}
    built: dict[str, Any] = {}
    for step in steps:
        if len(step) != 1:
            raise InputError(f"A step of the protocol must name one thing; found {', '.join(step) or 'nothing'}.")
        (name, options), *_ = step.items()
        if name in built:
            raise InputError(f"The step '{name}' occurs twice in the protocol.")
        built[name] = build_step(name, options or {}, clinical, readings, seed)
    if not built or list(built)[-1] != "logistic":
        raise InputError("The last step of a protocol must be 'logistic', which gives each lesion its probability.")
    return Pipeline(list(built.items()))


def build_step(
    name: str,
    options: dict[str, Any],
    clinical: Sequence[str],
    readings: dict[str, pd.DataFrame] | None,
    seed: int,
) -> Any:
    """Build one step; arguments and errors as in `build_protocol`."""
    if name not in STEPS:
        raise InputError(f"The protocol has no step '{name}'; it knows {', '.join(STEPS)}.")
    parameters = set(signature(STEPS[name]).parameters)
    known = parameters - _GIVEN
    for option in options:
        if option not in known:
            raise InputError(
                f"The step '{name}' has no option '{option}'; it knows {', '.join(sorted(known)) or 'none'}."
            )
    given = {"readings": readings, "clinical": tuple(clinical), "seed": seed}
    return STEPS[name](**options, **{key: value for key, value in given.items() if key in parameters})


def fit_step(
    name: str,
    options: dict[str, Any],
    X: pd.DataFrame,
    y: pd.Series,
    clinical: Sequence[str],
    readings: dict[str, pd.DataFrame] | None,
    seed: int,
) -> tuple[Any, pd.DataFrame]:
    """Fit one step on what the step before it passed on, exactly as inside the pipeline.

    Returns:
        the fitted step, and the table that it passes on (the last step passes on what it was given).
    """
    step = build_step(name, options, clinical, readings, seed).fit(X, y)
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


def scores(protocol: Pipeline, X: pd.DataFrame) -> pd.DataFrame:
    """Scores of each lesion from a fitted protocol, with X's index.

    Returns:
        columns Radscore (missing where the protocol has no LASSO), linear_predictor (log odds), probability.
    """
    names = list(protocol.named_steps)
    after = names.index("lasso") + 1 if "lasso" in names else 0
    passed_on = protocol[:after].transform(X) if after else X  # once: the steps before the LASSO see all features
    table = pd.DataFrame(index=X.index)
    table[SIGNATURE] = passed_on[SIGNATURE] if after else np.nan
    table["linear_predictor"] = protocol[after:].decision_function(passed_on)
    table["probability"] = protocol[after:].predict_proba(passed_on)[:, 1]
    return table
