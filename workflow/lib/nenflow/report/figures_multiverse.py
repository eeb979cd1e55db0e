"""Figure of a multiverse analysis: the specification curve."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nenflow.report.drawing import BLACK, BLUE, DOUBLE, GREY, PALE, RED, SMALL, journal, new_figure, plain_text

_ROW = 3.8  # height of a line of the lower panel, mm
_CURVE = 62.0  # height of the upper panel, mm


@journal
def specification_figure(cells: pd.DataFrame, measure: str, choices: Mapping[str, Sequence[str]]) -> Figure:
    """Specification curve (Simonsohn et al., Nat Hum Behav 2020; 4:1208): cells by honest figure, their choices below.

    Args:
        cells: in the order of the axis: honest, low, high, apparent (NaN where not computable), own (True or False),
            and a column of text per choice.
        measure: what the figures are, AUC or C-index.
        choices: the values of each choice by its label, from top to bottom; the label is the column's name.
    """
    lines = sum(map(len, choices.values())) + len(choices)
    figure = new_figure(DOUBLE, _CURVE + _ROW * lines + 8)
    heights = [_CURVE, max(_ROW * lines, _ROW)]
    curve, dots = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    for axes in (curve, dots):
        for place in np.flatnonzero(cells["own"]):
            axes.axvspan(place - 0.5, place + 0.5, color=PALE, lw=0, zorder=0)
    _draw_curve(curve, cells, measure)
    _draw_choices(dots, cells, choices)
    dots.set(xlim=(-0.8, len(cells) - 0.2), xticks=[], xlabel=f"{len(cells)} analyses, sorted by the honest {measure}")
    return figure


def _size(cells: pd.DataFrame) -> float:
    """Marks that do not touch: smaller ones where there are many cells."""
    return float(np.clip(280 / len(cells), 1.8, 5.0))


def _draw_curve(axes: Axes, cells: pd.DataFrame, measure: str) -> None:
    place, size = np.arange(len(cells)), _size(cells)
    axes.axhline(0.5, color=GREY, lw=0.8, ls="--", zorder=1)
    axes.vlines(place, cells["low"], cells["high"], color=RED, lw=min(1.2, size / 3), alpha=0.55)
    look = {"ms": size, "mec": "white", "mew": 0.3}
    axes.plot(place, cells["honest"], "D", color=RED, zorder=4, label="honest, 95% interval", **look)
    axes.plot(place, cells["apparent"], "o", color=BLUE, zorder=3, label="apparent", **look)
    own = cells["own"].to_numpy()
    axes.plot(place[own], cells.loc[own, "honest"], "D", ms=size + 1.5, color=RED, mec=BLACK, mew=0.9, zorder=5)
    axes.plot([], [], "s", ms=6, color=PALE, label="the study's own choices")
    lacking = cells["honest"].isna().to_numpy()
    if lacking.any():
        axes.plot(place[lacking], np.full(lacking.sum(), 0.48), "x", ms=size, color=BLACK, label="not computable")
    known = cells[["honest", "low", "high", "apparent"]].to_numpy(float)
    lowest = np.nanmin(known, initial=0.5)
    axes.set(ylim=(max(lowest - 0.04, -0.02), 1.02), ylabel=measure)
    axes.text(1.0, 0.5, "chance ", transform=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize=SMALL,
              color=GREY)  # fmt: skip
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handletextpad=0.4, columnspacing=1.5)


def _draw_choices(axes: Axes, cells: pd.DataFrame, choices: Mapping[str, Sequence[str]]) -> None:
    """A line per value with a dot at each cell that made it; the choice's name stands above its values."""
    ticks, headings, line = {}, [], 0
    for label, values in choices.items():
        ticks[line] = label
        headings.append(line)
        line -= 1
        for value in values:
            ticks[line] = value
            axes.axhline(line, color=PALE, lw=0.4, zorder=0)
            chosen = (cells[label] == value).to_numpy()
            for those, colour in ((chosen & ~cells["own"], GREY), (chosen & cells["own"], BLACK)):
                places = np.flatnonzero(those)
                axes.plot(places, np.full(len(places), line), "s", ms=_size(cells) * 0.9, color=colour, mec="none")
            line -= 1
    axes.set_yticks(list(ticks), [plain_text(text) for text in ticks.values()])
    for place, text in zip(ticks, axes.get_yticklabels(), strict=True):
        text.set_fontweight("bold" if place in headings else "normal")
    axes.set_ylim(line + 0.4, 0.6)
    axes.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
