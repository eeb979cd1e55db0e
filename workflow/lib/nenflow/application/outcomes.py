"""Whose predictions can be judged: who could be predicted, and whose outcome is known."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.cohort.units import outcome
from nenflow.errors import InputError
from nenflow.models.base import SIGNATURE, SURVIVAL

_PREDICTION = (SIGNATURE, "linear_predictor", "probability")


def known_outcomes(
    card: Mapping[str, Any],
    predicted: pd.DataFrame,
    units: pd.DataFrame,
    endpoint: Mapping[str, Any],
    study: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.Series | pd.DataFrame, pd.DataFrame]:
    """Scores and outcomes of the units that have both.

    Args:
        card: a model file.
        predicted: all units with their predictions and not_predicted, the reason of who has none; index (patient,
            region).
        units: all units with their variables.
        endpoint: the outcome, as study.yaml declares one.
        study: variables and unit.

    Returns:
        scores as `protocol.scores` gives them; the outcome, 0 or 1, or columns time, event and (of a stratified model)
        stratum; who is left out (columns patient, region, step, reason).

    Raises:
        InputError: nobody is left, or all have the same outcome.
    """
    y = outcome(units, endpoint).reindex(predicted.index)
    reasons, lost = {}, predicted["not_predicted"].to_dict()
    for unit, values in y.iterrows():
        missing = lost[unit]
        if isinstance(missing, str) and missing:
            reasons[unit] = ("prediction", missing)
        elif values.isna().any():
            reasons[unit] = ("outcome", "no value for the outcome or its time")
        elif "time" in values and not values["time"] > 0:
            reasons[unit] = ("follow-up", "the time of follow-up is not over 0")
    rows = [(*unit, *reason) for unit, reason in reasons.items()]
    exclusions = pd.DataFrame(rows, columns=["patient", "region", "step", "reason"])
    kept = [unit for unit in predicted.index if unit not in reasons]
    ends = ("_low", "_high", "_shrunk")
    columns = [
        name for name in predicted if name in _PREDICTION or (name.startswith(SURVIVAL) and not name.endswith(ends))
    ]
    table, y = predicted.loc[kept, columns], y.loc[kept]
    event = y.iloc[:, -1]
    if not (event == 1).any() or ("time" not in y and (event == 1).all()):
        raise InputError(
            f"The cohort has {'no' if not (event == 1).any() else 'only'} {study['unit']}s with the event among those "
            "who can be judged, so nothing can be said of the model there; check the outcome in its tables."
        )
    if "time" not in y:
        return table, event.astype(int).rename("outcome"), exclusions
    y = y.astype({"event": int})
    strata = card["steps"].get("cox", {}).get("strata")
    return table, y if strata is None else y.assign(stratum=units.loc[kept, strata]), exclusions
