"""The picture of the first screen: as published, honest and by chance, side by side on one axis."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nenflow.report.drawing import (
    BLACK,
    BLUE,
    GREY,
    PALE,
    RED,
    SINGLE,
    SMALL,
    TEXT,
    journal,
    new_page,
    plain_text,
    wrap,
)

PRINTED, HONEST, CHANCE, OUTSIDE = "printed", "honest", "chance", "outside"
_LOOKS = {PRINTED: ("o", BLUE), HONEST: ("D", RED), CHANCE: ("|", GREY), OUTSIDE: ("s", BLACK)}
_ROW = 8.5  # height of a figure: its name and number, and below them its mark, mm
_HEAD = 4.2  # height of one line of a heading, mm
_FOOT = 10.0  # height of an axis with its label, mm
_EDGE = 3.0  # space at the sides, mm
_BOLD = 1.15  # how much wider than plain text bold text is


@journal
def answer_figure(rows: pd.DataFrame) -> Figure:
    """What is printed, what is left, and what chance gives: a panel for each axis, a row for each figure.

    Args:
        rows: from top to bottom: axis (AUC, C-index, or what is counted), heading (may be blank), kind (printed,
            honest, chance, outside), label, value, low, high (blank for a count) and text, the figure in words.
    """
    panels = [part for _, part in rows.groupby("axis", sort=False)]
    heights = [sum(_height(head, len(part)) for head, part in panel.groupby("heading")) for panel in panels]
    total = sum(heights) + _FOOT * len(panels) + 1
    figure, page = new_page(SINGLE, total)
    top = total - 1
    for panel, height in zip(panels, heights, strict=True):
        box = (_EDGE / SINGLE, (top - height) / total, 1 - 2 * _EDGE / SINGLE, height / total)
        axes = figure.add_axes(box, facecolor="none")  # the names of the rows lie on the page below it
        axes.set(ylim=(-height, 0), xlim=_limits(panel), xlabel=plain_text(panel["axis"].iloc[0]), yticks=[])
        axes.spines["left"].set_visible(False)
        _draw_panel(axes, page, panel, top)
        top -= height + _FOOT
    return figure


def _is_count(panel: pd.DataFrame) -> bool:
    return panel["low"].isna().all() and panel["value"].max() != 0.5


def _limits(panel: pd.DataFrame) -> tuple[float, float]:
    if _is_count(panel):
        return 0.0, max(float(panel["value"].max()), 1.0) * 1.02
    lowest = float(np.nanmin([0.5, *panel["value"], *panel["low"]]))
    return max(math.floor(lowest * 20 - 0.5) / 20, 0.0), 1.0


def _heading(text: str) -> str:
    return wrap(text, (SINGLE - 2 * _EDGE) / _BOLD) if text else ""


def _height(heading: str, rows: int) -> float:
    return rows * _ROW + (_HEAD * (_heading(heading).count("\n") + 1) if heading else 0)


def _draw_panel(axes: Axes, page: Axes, panel: pd.DataFrame, top: float) -> None:
    counts, level = _is_count(panel), 0.0
    for heading, part in panel.groupby("heading", sort=False):
        for line in filter(None, _heading(heading).split("\n")):
            page.text(_EDGE, top + level - _HEAD / 2, plain_text(line), va="center", fontsize=TEXT, fontweight="bold")
            level -= _HEAD
        for row in part.itertuples():
            words, mark = level - 2.4, level - 6.0
            page.text(_EDGE, top + words, plain_text(row.label), va="center", fontsize=SMALL, color=_LOOKS[row.kind][1])
            page.text(SINGLE - _EDGE, top + words, row.text, va="center", ha="right", fontsize=SMALL)
            (_bar if counts else _estimate)(axes, mark, row)
            level -= _ROW


def _bar(axes: Axes, level: float, row) -> None:
    axes.barh(level, row.value, 2.6, color=_LOOKS[row.kind][1] if row.kind != CHANCE else PALE)


def _estimate(axes: Axes, level: float, row) -> None:
    axes.plot([0.5, 0.5], [level - 2, level + 2], color=GREY, lw=0.8, ls=(0, (3, 1.5)), zorder=0)
    marker, colour = _LOOKS[row.kind]
    if np.isfinite([row.low, row.high]).all():
        if row.kind == CHANCE:
            axes.barh(level, row.high - row.low, 2.6, row.low, color=PALE, zorder=0)
        else:
            axes.plot([row.low, row.high], [level, level], color=colour, lw=1.4, solid_capstyle="butt")
    size = {"ms": 7, "mew": 1.6} if row.kind == CHANCE else {"ms": 5.5, "mec": "white", "mew": 0.5}
    axes.plot(row.value, level, marker, color=colour, clip_on=False, zorder=3, **size)
