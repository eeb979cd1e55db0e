"""Figures of how features became a signature: how many each step leaves and drops, and the score of every unit."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from nenflow.report.drawing import (
    BLACK,
    BLUE,
    CYCLE,
    DOUBLE,
    GREY,
    SMALL,
    TEXT,
    journal,
    new_figure,
    new_page,
    plain_text,
    wrap,
)

_LEFT, _MIDDLE, _RIGHT = 44.0, 62.0, 56.0  # widths of what a step is called, of its bar, and of why features left, mm
_BAR, _FALL = 7.0, 8.0  # heights of a bar, and of what falls to the next one, mm


@journal
def funnel_figure(stages: Sequence[tuple[str, int, str]]) -> Figure:
    """From all features to the signature: a bar for what is left at each stage, and beside the fall why others left.

    Args:
        stages: from top to bottom: name, number of features left, and why others were dropped on the way to it.
    """
    most = max(max(number for _, number, _ in stages), 1)
    height = len(stages) * _BAR + (len(stages) - 1) * _FALL + 4
    figure, axes = new_page(DOUBLE, height)
    middle, top, above = _LEFT + _MIDDLE / 2, height - 2, None
    for name, number, why in stages:
        half = number / most * _MIDDLE / 2
        if above is not None:
            corners = [(middle - above[1], top + _FALL), (middle + above[1], top + _FALL), (middle + half, top)]
            axes.add_patch(Polygon([*corners, (middle - half, top)], closed=True, fc=BLUE, alpha=0.15, lw=0))
            words = wrap(f"{above[0] - number:,} dropped: {why}", _RIGHT, SMALL)
            axes.text(_LEFT + _MIDDLE + 4, top + _FALL / 2, plain_text(words), va="center", fontsize=SMALL, color=GREY)
        axes.add_patch(Polygon(
            [(middle - half, top), (middle + half, top), (middle + half, top - _BAR), (middle - half, top - _BAR)],
            closed=True, fc=BLUE, ec=BLUE, lw=0.8,
        ))  # fmt: skip
        level = top - _BAR / 2
        axes.text(2, level, plain_text(wrap(name, _LEFT - 16)), va="center", fontsize=TEXT, linespacing=1.05)
        axes.text(_LEFT - 2, level, f"{number:,}", va="center", ha="right", fontsize=TEXT, fontweight="bold")
        above = (number, half)
        top -= _BAR + _FALL
    return figure


@journal
def waterfall_figure(scores: pd.DataFrame, cutoff: float, names: dict[int, str], label: str, unit: str) -> Figure:
    """Every unit's score above or below the cut-off, in rising order and coloured by what happened to it.

    Args:
        scores: columns score and outcome (0 or 1), a row per unit.
        cutoff: the zero of the bars.
        names: what the outcomes are called.
        label: of the score, for the axis.
        unit: lesion or patient.
    """
    ordered = scores.sort_values("score", kind="stable").reset_index(drop=True)
    figure = new_figure(DOUBLE, 62)
    axes = figure.subplots()
    for outcome, name in names.items():
        rows = ordered[ordered["outcome"] == outcome]
        colour = CYCLE[outcome]
        axes.bar(rows.index, rows["score"] - cutoff, width=0.9, color=colour, label=f"{plain_text(name)} ({len(rows)})")
    axes.axhline(0, color=BLACK, lw=0.6)
    axes.set(xlim=(-1, len(ordered)), xticks=[], ylabel=plain_text(f"{label} less its cut-off"))
    axes.set_xlabel(f"{unit.capitalize()}s by score")
    axes.legend(loc="upper left")
    return figure
