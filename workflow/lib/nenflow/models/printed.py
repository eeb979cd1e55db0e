"""Models taken from print, applied to a cohort; what the publication does not print is left out or taken from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nenflow.models.base import values_of
from nenflow.models.filters import ZScore
from nenflow.models.nomogram import nomogram
from nenflow.models.protocol import from_document, scores

POINTS = "points"


def features_of(model: Mapping[str, Any]) -> list[str]:
    """The image features that a published model needs."""
    return list(model["steps"].get("lasso", {"coefficients": {}})["coefficients"])


def apply_printed(model: Mapping[str, Any], X: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score the units of a cohort.

    Args:
        model: from `published.read_model`.
        X: variables (levels coded 1, 2, 3) and features, a row per unit.

    Returns:
        the model as it was applied: where it has no centres and scales of its own, with those of these units; and
        scores as `protocol.scores` gives them, with points where a score of whole points is published. Without an
        intercept or baseline in print there are neither probabilities nor survivals.
    """
    clinical = list(model["variables"])
    document = {**model, "steps": dict(model["steps"])}
    if document["steps"].get("zscore", {}).get("local"):
        here = ZScore(clinical=clinical).fit(X[[*features_of(model), *clinical]]).document()
        document["steps"]["zscore"] = {"local": True, "units": len(X), **here}
    protocol = from_document(document, clinical)
    table = scores(protocol, X)
    if "score" in model:
        worth = model["score"]["points"]
        columns = protocol[:-1].transform(X) if len(protocol) > 1 else X
        table[POINTS] = np.rint(values_of(columns, list(worth)) @ np.array(list(worth.values()))).astype(int)
    return document, table


def printed_nomogram(model: Mapping[str, Any]) -> dict[str, Any]:
    """The nomogram of a published model; without variables, and with the reason, where something is missing."""
    if "missing" in model:
        return {"variables": {}, "survival": [], "note": " ".join(model["missing"])}
    return nomogram(model["steps"].get("cox") or model["steps"]["logistic"], model["steps"].get("terms"))
