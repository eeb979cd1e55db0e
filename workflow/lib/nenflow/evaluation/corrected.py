"""Calibration and decision curves of a model, corrected by the optimism of its refits, for either kind of outcome."""

import numpy as np
import pandas as pd

from nenflow.evaluation.calibration import (
    calibration_curve,
    calibration_groups,
    corrected_curve,
    corrected_survival_curve,
    survival_curve,
    survival_cuts,
    survival_groups,
)
from nenflow.evaluation.decision import corrected_decision
from nenflow.models.base import is_survival, survival_column, survival_columns

GROUPS = {False: 10, True: 4}  # of predictions; fewer where each needs a curve of its own


def corrected_calibration(y: pd.Series | pd.DataFrame, table: pd.DataFrame, optimism: pd.DataFrame) -> pd.DataFrame:
    """Smooth calibration curves, apparent and corrected.

    Args:
        y: outcome, 0 or 1, or columns time and event.
        table: the finished model's scores, as `protocol.scores` gives them.
        optimism: curves of all refits, as `refit_resamples` gives them.

    Returns:
        the columns of `corrected_curve`; of a time-to-event outcome a curve of survival per time, with a column time.
    """
    if not is_survival(y):
        return corrected_curve(y, table["probability"], optimism)
    time, event = y["time"].to_numpy(), y["event"].to_numpy()
    curves = [
        corrected_survival_curve(time, event, table[survival_column(at)], at, rows).assign(time=at)
        for at, rows in optimism.groupby("time")
    ]
    return pd.concat(curves, ignore_index=True)


def smooth_calibration(y: pd.Series | pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Smooth calibration curves of a model that was made elsewhere: there is no optimism to take off.

    Args:
        y: outcome, 0 or 1, or columns time and event.
        table: the model's scores, as `protocol.scores` gives them.

    Returns:
        columns predicted (its values in rising order) and apparent; of a time-to-event outcome a curve of survival per
        time, with a column time.
    """
    if not is_survival(y):
        grid = np.unique(table["probability"])
        return pd.DataFrame({"predicted": grid, "apparent": calibration_curve(y, table["probability"], grid)})
    time, event, curves = y["time"].to_numpy(), y["event"].to_numpy(), []
    for at, name in survival_columns(table).items():
        grid = np.unique(table[name])
        curve = survival_curve(time, event, table[name], at, grid)
        curves.append(pd.DataFrame({"time": at, "predicted": grid, "apparent": curve}))
    return pd.concat(curves, ignore_index=True)


def grouped_calibration(y: pd.Series | pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Observed against predicted in groups of prediction; of a time-to-event outcome per time, by Kaplan-Meier."""
    if not is_survival(y):
        return calibration_groups(y, table["probability"], GROUPS[False])
    time, event = y["time"].to_numpy(), y["event"].to_numpy()
    parts = []
    for at, name in survival_columns(table).items():
        survival = table[name].to_numpy()
        groups = survival_groups(time, event, survival, at, survival_cuts(survival, GROUPS[True]))
        parts.append(groups.assign(time=at))
    return pd.concat(parts, ignore_index=True)


def corrected_benefit(decision: pd.DataFrame, optimism: pd.DataFrame) -> pd.DataFrame:
    """Decision curves with a column `corrected` (see `corrected_decision`), of each time where there are times."""
    if "time" not in decision:
        return corrected_decision(decision, optimism)
    parts = [corrected_decision(rows, optimism[optimism["time"] == at]) for at, rows in decision.groupby("time")]
    return pd.concat(parts, ignore_index=True)
