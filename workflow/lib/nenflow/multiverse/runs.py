"""Cells of a multiverse: the whole protocol with other choices, each judged in the same way, on the same folds."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from nenflow.errors import InputError
from nenflow.evaluation.crossvalidation import cross_validate, parts_of
from nenflow.evaluation.resampling import area, concordance
from nenflow.models.base import is_survival, outcome_strata
from nenflow.models.protocol import build_protocol
from nenflow.models.protocol import scores as protocol_scores
from nenflow.tables import FOLDS

FOLDS_OF_NONE = 10  # where a study does not say how many


def run_cells(
    cells: Iterable[Mapping[str, Any]],
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    given: Mapping[str, Any],
    seed: int,
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """The honest and the apparent figure of each cell.

    All cells of a dataset have the same folds, so that they differ by their choices alone; a row depends on its own
    cell, whatever others run beside it.

    Args:
        cells: from `choices.cells`, all of one extraction.
        X, y: its model data, index (patient, region), and outcome (0 or 1, or columns time and event).
        given: what the study gives the steps, see `given_by`.
        seed: of the study.
        settings: folds and repeats of the study's own cross-validation, as `parts_of` takes them; ten folds where it
            has none, or as many as there are patients.

    Returns:
        a row per cell: cell, own, the choices, units; auc (of an outcome with time c, Harrell's), low and high, of a
        cross-validation of the whole protocol with patients kept together; apparent, the same figure of the protocol
        fitted to all units, on these; selected, how many features the LASSO kept there (without one: variables of the
        final model), features, variables, joined by ";"; and a note on what could not be computed.
    """
    # One block of memory, or drawing rows is slow; names as plain objects, as pandas is slow to find its own strings.
    X = pd.DataFrame(X.to_numpy(dtype=float), X.index, X.columns.astype(object))
    patients = X.index.get_level_values("patient").nunique()
    parts = parts_of(X, y, seed, {"folds": min(FOLDS_OF_NONE, patients), **settings})
    return pd.DataFrame([_run(cell, X, y, given, parts) for cell in cells])


def _run(cell: Mapping[str, Any], X: pd.DataFrame, y, given: Mapping[str, Any], parts) -> dict[str, Any]:
    measure = "c" if is_survival(y) else "auc"
    row = {"cell": cell["cell"], "own": cell["own"], **cell["choices"], "units": len(X)}
    row |= dict.fromkeys([measure, "low", "high", "apparent"], np.nan)
    row |= {"selected": 0, "features": "", "variables": "", "note": ""}
    try:
        protocol = build_protocol(cell["steps"], **given)
    except InputError as error:
        return row | {"note": f"not computable: {error}"}
    found = cross_validate(protocol, X, y, parts)[1][FOLDS]
    row |= {name: found["pooled"][name] for name in (measure, "low", "high")}
    notes = _notes(found["parts"])
    try:
        row |= _on_all_units(clone(protocol).fit(X, y), X, y)
    except InputError as error:
        notes.append(f"not computable on all units: {error}")
    return row | {"note": "; ".join(notes)}


def _notes(parts: list[Mapping[str, Any]]) -> list[str]:
    """What happened when the protocol was fitted without a fold, and how often."""
    counts = Counter(part["note"] for part in parts if part["note"])
    return [f"{note} (in {count} of {len(parts)} refits)" for note, count in counts.items()]


def _on_all_units(fitted: Any, X: pd.DataFrame, y) -> dict[str, Any]:
    """The apparent figure of a fitted protocol, and what it consists of."""
    variables = list(fitted[-1].document()["coefficients"])
    lasso = fitted.named_steps.get("lasso")
    features = list(lasso.document()["coefficients"]) if lasso is not None else []
    strata = outcome_strata(y) if is_survival(y) else None
    predictor = protocol_scores(fitted, X, strata)["linear_predictor"].to_numpy()
    if is_survival(y):
        apparent = concordance(y[["time", "event"]].to_numpy(dtype=float), predictor, strata)
    else:
        apparent = area(y.to_numpy(), predictor)
    return {
        "apparent": apparent,
        "selected": len(variables if lasso is None else features),
        "features": ";".join(features),
        "variables": ";".join(variables),
    }
