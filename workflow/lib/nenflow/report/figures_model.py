"""Figures of a model itself: LASSO path with its cross-validation, and the nomogram."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as MplAxes
from matplotlib.figure import Figure

from nenflow.report.drawing import (
    BLACK,
    BLUE,
    CYCLE,
    DOUBLE,
    GREY,
    RED,
    SMALL,
    TEXT,
    journal,
    new_figure,
    new_page,
    plain_text,
    text_width,
    wrap,
)
from nenflow.report.wording import decimal, feature_label

_NAMED = 14  # more selected features than this get no legend: it would be larger than the figure


@journal
def lasso_figure(
    path: pd.DataFrame, curve: pd.DataFrame, lambda_min: float, lambda_1se: float, rule: str, measure: str = "deviance"
) -> Figure:
    """LASSO coefficient path and cross-validation curve, as users of glmnet know them.

    Args:
        path: coefficients; index = features, columns = lambdas.
        curve: columns lambda, mean, error (standard error), nonzero (number of features in the model).
        lambda_min: lambda with the best mean.
        lambda_1se: largest lambda within one standard error of the best.
        rule: lambda.min or lambda.1se, the one the model was taken from.
        measure: what was cross-validated, for the axis.
    """
    chosen = lambda_min if rule == "lambda.min" else lambda_1se
    at_chosen = path.iloc[:, int(np.argmin(np.abs(np.log(path.columns.to_numpy(float)) - np.log(chosen))))]
    selected = list(at_chosen[at_chosen != 0].index)
    labels = [feature_label(name) for name in selected]
    columns, height = _legend_shape(labels) if len(selected) <= _NAMED else (0, 4.0)
    figure = new_figure(DOUBLE, 72 + height)
    left, right = figure.subplots(1, 2)
    _draw_path(left, path, selected)
    _draw_curve(right, curve, measure)
    for axes in (left, right):
        _mark_lambdas(axes, lambda_min, lambda_1se)
        _count_on_top(axes, curve)
    if not selected:
        figure.supxlabel(f"No feature is left at {rule}", fontsize=SMALL)
    elif len(selected) <= _NAMED:
        handles = [left.lines[list(path.index).index(name)] for name in selected]
        figure.legend(handles, map(plain_text, labels), loc="outside lower center", ncols=columns, borderpad=0)
    else:
        figure.supxlabel(f"{len(selected)} features are left at {rule} (blue)", fontsize=SMALL)
    return figure


def _legend_shape(labels: list[str]) -> tuple[int, float]:
    """Columns that fit across the page, and the height (mm) that the rows need."""
    widest = max((text_width(label, SMALL) for label in labels), default=0)
    columns = int(max(1, min(3, len(labels), (DOUBLE - 4) // (widest + 12))))
    return columns, 4.0 * -(-len(labels) // columns) if labels else 4.0


def _draw_path(axes: MplAxes, path: pd.DataFrame, selected: list[str]) -> None:
    x = np.log(path.columns.to_numpy(float))
    for name, coefficients in path.iterrows():
        look = {"color": "#C4C4C4", "lw": 0.6, "zorder": 1}
        if name in selected:
            place = selected.index(name)
            style = ["-", "--", ":"][place // len(CYCLE) % 3]
            look = {"color": CYCLE[place % len(CYCLE)], "lw": 1.3, "ls": style, "zorder": 3}
            if len(selected) > _NAMED:
                look = {"color": BLUE, "lw": 0.8, "zorder": 3}
        axes.plot(x, coefficients, **look)
    axes.axhline(0, color=BLACK, lw=0.5, zorder=2)
    axes.set(xlabel="log(λ)", ylabel="Coefficient", xlim=(x.min(), x.max() + 0.02 * np.ptp(x)))


def _draw_curve(axes: MplAxes, curve: pd.DataFrame, measure: str) -> None:
    x = np.log(curve["lambda"])
    axes.errorbar(x, curve["mean"], yerr=curve["error"], fmt="o", ms=2, color=RED, ecolor="#BBBBBB", elinewidth=0.6)
    axes.set(xlabel="log(λ)", ylabel=f"Cross-validated {measure}", xlim=(x.min(), x.max() + 0.02 * np.ptp(x)))


def _mark_lambdas(axes: MplAxes, lambda_min: float, lambda_1se: float) -> None:
    same = bool(np.isclose(lambda_min, lambda_1se))
    marks = [(lambda_min, "λ.min = λ.1se" if same else "λ.min", "--")] + ([] if same else [(lambda_1se, "λ.1se", ":")])
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the names above the curve
    left, right = axes.get_xlim()
    for value, name, style in marks:
        axes.axvline(np.log(value), color=BLACK, lw=0.8, ls=style, zorder=2)
        beyond_middle = np.log(value) > (left + right) / 2
        near = not same and abs(np.log(lambda_min) - np.log(lambda_1se)) < 0.2 * (right - left)
        to_left = beyond_middle if not near else value == min(lambda_min, lambda_1se)
        axes.annotate(
            name, (np.log(value), 0.99), xycoords=("data", "axes fraction"), xytext=(-2 if to_left else 2, 0),
            textcoords="offset points", ha="right" if to_left else "left", va="top", fontsize=SMALL,
            bbox={"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.8},
        )  # fmt: skip


def _count_on_top(axes: MplAxes, curve: pd.DataFrame) -> None:
    top = axes.secondary_xaxis("top")
    x = np.log(curve["lambda"].to_numpy(float))
    left, right = axes.get_xlim()
    ticks = np.linspace(left + 0.03 * (right - left), right - 0.03 * (right - left), 6)
    nearest = np.unique([int(np.argmin(np.abs(x - tick))) for tick in ticks])
    top.set_xticks(x[nearest], curve["nonzero"].to_numpy()[nearest].astype(int))
    top.set_xlabel("Number of features")


LABELS = 46.0  # width of the names on the left, mm
SCALE = DOUBLE - LABELS - 8  # length of the points axis, mm
GAP = 0.4  # between a tick and its label, mm
_ROW = 9.5  # height of one axis with its labels, mm
_LINE = 3.4  # height of one line of a name, mm
_TIER = 3.1  # height that one more line of labels adds, mm
_CLEAR = 1.2  # least space between two labels, mm
_LONGEST = 44.0  # wider labels of ticks are cut, mm: they would stand far from their ticks
_STEPS = (1, 2, 4, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Axis:
    """One line of a nomogram: its name and its ticks, each a place on the 0 to 100 scale of the page and a label.

    Labels stand below the line, where they do not fit beside each other below and above it, else as a staircase that
    leads each label to its tick. Those of the ticks in `above` stand above it only: the other half of a crowded scale,
    or the part of a spline's scale that runs backwards; here labels without room are left out, their ticks stay.
    """

    name: str
    ticks: list[tuple[float, str]]
    above: list[tuple[float, str]] = field(default_factory=list)

    def lines(self) -> str:
        """The name, broken into lines that have room on the left."""
        return wrap(self.name, LABELS - 8)

    def labels(self) -> list[tuple[float, float, str, int]]:
        """Where each label goes: place of the tick and of the label's middle (mm), text ("" for a tick without), and
        its line: -1, -2 … below the axis, 1, 2 … above it.
        """
        if self.above:
            return [*_in_lines(self.ticks, [-1]), *_in_lines(self.above, [1])]
        for sides in ([-1], [-1, 1]):
            placed = _in_lines(self.ticks, sides)
            if sum(not text for *_, text, _ in placed) == sum(not text for _, text in self.ticks):
                return placed
        return _as_stairs(self.ticks)

    def reaches(self) -> list[float]:
        """How far (mm) the tick of each label goes, up from the axis or (negative) down."""
        return [
            float(np.sign(line)) * ((1.2 + _TIER * (abs(line) - 1)) if text else 0.8)
            for *_, text, line in self.labels()
        ]

    def rooms(self) -> tuple[float, float]:
        """Height (mm) that the axis needs above and below beyond that of a plain row."""
        sides = [side for *_, side in self.labels()]
        up, down = (_TIER * max(max([sign * side for side in sides], default=0) - 1, 0) for sign in (1, -1))
        taller = max(_LINE * len(self.lines().split("\n")) + 1.5 - _ROW - up - down, 0) / 2
        return up + taller, down + taller


def _in_lines(ticks: Sequence[tuple[float, str]], sides: Sequence[int]) -> list[tuple[float, float, str, int]]:
    """See `Axis.labels`: each label over its tick in the first of these lines with room; "" where none has."""
    ends = dict.fromkeys(sides, -np.inf)
    placed = []
    for points, text in sorted(ticks, key=lambda tick: tick[0]):
        short = _shortened(text)
        spot, half = LABELS + points / 100 * SCALE, text_width(short, SMALL) / 2
        middle = min(max(spot, LABELS - 6 + half), DOUBLE - 1 - half)  # a long label stays off the names
        side = next((side for side, end in ends.items() if short and middle - half > end + _CLEAR), None)
        if side:
            ends[side] = middle + half
        placed.append((spot, middle, short if side else "", side or sides[0]))
    return placed


def _as_stairs(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, float, str, int]]:
    """See `Axis.labels`: labels begin at their ticks, so that no leader crosses a label.

    Below the line they reach to the right, the leftmost label lowest; those that would leave the page stand above it
    and reach to the left.
    """
    taken: dict[int, list[tuple[float, float]]] = {}  # by line, what labels and leaders cover
    placed = []
    for points, text in sorted(ticks, key=lambda tick: -tick[0]):
        short = _shortened(text)
        spot, width = LABELS + points / 100 * SCALE, text_width(short, SMALL)
        if spot + width <= DOUBLE - 2:
            placed.append((spot, spot + _CLEAR / 2 + width / 2, short, -1))
        else:
            placed.insert(0, (spot, spot - _CLEAR / 2 - width / 2, short, 1))
    # above, the leftmost first, since labels reach to the left; below, the rightmost first
    for number, (spot, middle, short, sign) in enumerate(placed):
        half = text_width(short, SMALL) / 2
        label, line = (middle - half - _CLEAR / 4, middle + half + _CLEAR / 4), sign
        while any(start < label[1] and label[0] < end for start, end in taken.get(line, [])):
            line += sign
        taken.setdefault(line, []).append(label)
        for passed in range(sign, line, sign):
            taken.setdefault(passed, []).append((spot - _CLEAR / 4, spot + _CLEAR / 4))
        placed[number] = (spot, middle, short, line)
    return placed


def _shortened(text: str) -> str:
    if text_width(text, SMALL) <= _LONGEST:
        return text
    while text_width(f"{text}…", SMALL) > _LONGEST:
        text = text[:-1]
    return f"{text.rstrip()}…"


@journal
def nomogram_figure(
    nomogram: Mapping[str, Any], variables: Mapping[str, Any], event: str, unit: str = "month"
) -> Figure:
    """A nomogram as R's rms draws it: points, a line per variable, total points, and what their sum means.

    Args:
        nomogram: the document of `models.nomogram`.
        variables: the study's variables, for labels and the names of levels.
        event: what the probability is of; of a Cox model what is survived, such as "overall survival".
        unit: of a Cox model's times, in the singular; blank where it has none.
    """
    height, rows = nomogram_layout(nomogram_axes(nomogram, variables, event, unit))
    figure, axes = new_page(DOUBLE, height)
    for level, row in rows:
        axes.text(2, level, plain_text(row.lines()), ha="left", va="center", fontsize=TEXT, linespacing=1.05)
        _draw_axis(axes, row, level)
    return figure


def nomogram_layout(rows: Sequence[Axis]) -> tuple[float, list[tuple[float, Axis]]]:
    """The height of a nomogram's drawing, and each line with its height above the bottom, all in mm."""
    rooms = [row.rooms() for row in rows]
    height = _ROW * len(rows) + float(np.sum(rooms)) + 3
    level, placed = height - 5, []
    for row, (up, down) in zip(rows, rooms, strict=True):
        level -= up
        placed.append((level, row))
        level -= _ROW + down
    return height, placed


def nomogram_axes(
    nomogram: Mapping[str, Any], variables: Mapping[str, Any], event: str, unit: str = "month"
) -> list[Axis]:
    """The lines of a nomogram from top to bottom, with the labels that there is room for."""
    rows = [_numeric("Points", [(place, place) for place in range(0, 101, 10)])]
    for name, scale in nomogram["variables"].items():
        pairs = list(zip(scale["points"], scale["values"], strict=True))
        variable = variables.get(name, {"label": feature_label(name), "type": "continuous"})
        if isinstance(scale["values"][0], str):
            rows.append(Axis(variable["label"], pairs))
        elif variable["type"] == "categorical":
            rows.append(Axis(variable["label"], [(at, variable["levels"][round(code) - 1]) for at, code in pairs]))
        else:
            rows.append(_numeric(variable["label"], pairs))
    longest = max(nomogram["total_points"])
    rows.append(_numeric("Total points", [(100 * total / longest, total) for total in nomogram["total_points"]]))
    rows.append(_numeric("Linear predictor", _reached(nomogram["linear_predictor"], longest)))
    return rows + outcome_axes(nomogram, longest, variables, event, unit)


def outcome_axes(
    nomogram: Mapping[str, Any], longest: float, variables: Mapping[str, Any], event: str, unit: str, whom: str = ""
) -> list[Axis]:
    """The lines under the total points, whose axis ends at `longest`; `whom` is added to their names."""
    strata = variables.get(nomogram.get("strata"), {}).get("label", "")
    outcomes = [(survival_label(axis, event, unit, strata), axis) for axis in nomogram.get("survival", [])]
    outcomes = outcomes or [(f"Probability of {event}", nomogram["probability"])]
    return [_outcome(name + whom, _reached(axis, longest)) for name, axis in outcomes]


def survival_label(axis: Mapping[str, Any], event: str, unit: str, strata: str) -> str:
    """What a line of survival is called: "12-month survival", with the stratum where there are several."""
    time = tick_text(axis["time"])
    label = f"{time}-{unit} {event}" if unit else f"{event} at {time}"
    return f"{label}, {strata} {axis['stratum']}" if "stratum" in axis else label


def _reached(axis: Mapping[str, Any], longest: float) -> list[tuple[float, float]]:
    """Places and values of the ticks that lie on the line of total points."""
    at = zip(axis["total_points"], axis["values"], strict=True)
    return [(100 * total / longest, value) for total, value in at if 0 <= total <= longest]


def _numeric(name: str, pairs: Sequence[tuple[float, float]]) -> Axis:
    """An axis of numbers: every 1st, 2nd, 4th … tick keeps its label, so that no two labels touch."""
    ordered = sorted(pairs, key=lambda pair: pair[1])
    places = [place for place, _ in ordered]
    if places in (sorted(places), sorted(places, reverse=True)):
        return Axis(name, _thinned(sorted(ordered)))
    forth, back = [], []
    for number, (place, value) in enumerate(ordered):
        rises = place >= places[number - 1] if number else places[1] >= place
        (forth if rises else back).append((place, tick_text(value)))
    return Axis(name, forth, back)


def _outcome(name: str, pairs: Sequence[tuple[float, float]]) -> Axis:
    """An axis of probabilities or survivals. Where it is crowded, tenths stand below it and what is between above;
    where they have no room either, every other tenth stands above and what is between has ticks only.
    """
    ticks = [(place, tick_text(value)) for place, value in pairs]
    if _fit(ticks):
        return Axis(name, ticks)
    tenth = [round(10 * value) if abs(10 * value - round(10 * value)) < 1e-9 else None for _, value in pairs]
    below = [tick for tick, number in zip(ticks, tenth, strict=True) if number is not None]
    above = [tick for tick, number in zip(ticks, tenth, strict=True) if number is None]
    if not (_fit(below) and _fit(above)):
        below = [tick for tick, number in zip(ticks, tenth, strict=True) if number is not None and number % 2]
        silent = [(place, "") for place, _ in above]
        above = [tick for tick, number in zip(ticks, tenth, strict=True) if number is not None and not number % 2]
        above += silent
    return Axis(name, below, above)


def _fit(ticks: Sequence[tuple[float, str]]) -> bool:
    return all(text for *_, text, _ in _in_lines(ticks, [-1]))


def _thinned(ordered: Sequence[tuple[float, float]]) -> list[tuple[float, str]]:
    for step in _STEPS:
        kept = [(place, tick_text(value)) for place, value in ordered[::step]]
        ends = [(place / 100 * SCALE, text_width(text, SMALL) / 2) for place, text in kept]
        if all(b - h - a - g > _CLEAR for (a, g), (b, h) in itertools.pairwise(ends)):
            break
    named = dict(kept)
    return [(place, named.get(place, "")) for place, _ in ordered]


def _draw_axis(axes: MplAxes, row: Axis, level: float) -> None:
    labels = row.labels()
    if not labels:
        axes.text(LABELS, level, "no round value is reached", ha="left", va="center", fontsize=SMALL, color=GREY)
        return
    spots = [spot for spot, *_ in labels]
    axes.plot([min(spots), max(spots)], [level, level], color=BLACK, lw=0.8, solid_capstyle="butt")
    for (spot, middle, text, line), end in zip(labels, row.reaches(), strict=True):
        axes.plot([spot, spot], [level, level + end], color=BLACK, lw=0.6 if abs(line) < 2 else 0.3)
        if text:
            align = "top" if line < 0 else "bottom"
            axes.text(
                middle, level + end + np.sign(line) * GAP, plain_text(text), ha="center", va=align, fontsize=SMALL
            )


def tick_text(value: float) -> str:
    """A tick's number in as few digits as say it (to six decimals), with a true minus sign."""
    text = decimal(value, 6)
    return text.rstrip("0").rstrip(".") if "." in text else text
