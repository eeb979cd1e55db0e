"""Key numbers of figures in words, for readers who cannot see them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nenflow.report.tables import plain_label
from nenflow.report.wording import decimal


def curve_words(curve: pd.DataFrame) -> str:
    """A calibration curve at its ends and its middle.

    Args:
        curve: columns predicted, apparent and, where it is known, corrected.
    """
    known = curve.dropna(subset=["apparent"]).sort_values("predicted", kind="stable").reset_index(drop=True)
    if known.empty:
        return "There is no smooth curve."
    places = np.unique([0, len(known) // 2, len(known) - 1])
    parts = []
    for row in known.iloc[places].to_dict("records"):
        words = f"predicted {decimal(row['predicted'], 2)}, observed {decimal(row['apparent'], 2)}"
        corrected = row.get("corrected")
        parts.append(words if pd.isna(corrected) else f"{words}, bias-corrected {decimal(corrected, 2)}")
    return f"{'; '.join(parts)}."


def decision_words(decision: pd.DataFrame) -> str:
    """Where a model has the highest net benefit, and how high its curve begins.

    Args:
        decision: columns threshold, strategy (model, all, none), net_benefit.
    """
    curves = decision.pivot_table(index="threshold", columns="strategy", values="net_benefit")
    better = curves[curves["model"] > curves[["all", "none"]].max(axis=1)].index
    words = "the model has the highest net benefit at none"
    if len(better):
        words = f"the model has the highest net benefit at {len(better)}"
    words += f" of {len(curves)} thresholds"
    words += f", from {better.min():.2f} to {better.max():.2f}" if len(better) else ""
    middle = curves.iloc[len(curves) // 2]
    words += f"; at {middle.name:.2f} it has {decimal(middle['model'])}, treating all {decimal(middle['all'])}"
    return f"{words}, treating none 0."


def points_words(nomogram: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    """The most points that each variable of a nomogram gives, and how many there are in all."""
    most = {name: max(scale["points"]) for name, scale in nomogram["variables"].items()}
    words = "; ".join(f"{plain_label(name, variables)} up to {decimal(number, 0)}" for name, number in most.items())
    return f"Points: {words}; total up to {decimal(max(nomogram['total_points']), 0)}."
