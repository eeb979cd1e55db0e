"""Figures of a model itself: LASSO path with its cross-validation, and the nomogram."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nenflow.report.drawing import (
    BLACK,
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
        figure.supxlabel(f"{len(selected)} features are left at {rule} (coloured)", fontsize=SMALL)
    return figure


def _legend_shape(labels: list[str]) -> tuple[int, float]:
    """Columns that fit across the page, and the height (mm) that the rows need."""
    widest = max((text_width(label, SMALL) for label in labels), default=0)
    columns = int(max(1, min(3, len(labels), (DOUBLE - 4) // (widest + 12))))
    return columns, 4.0 * -(-len(labels) // columns) if labels else 4.0


def _draw_path(axes: Axes, path: pd.DataFrame, selected: list[str]) -> None:
    x = np.log(path.columns.to_numpy(float))
    for name, coefficients in path.iterrows():
        look = {"color": "#C4C4C4", "lw": 0.6, "zorder": 1}
        if name in selected:
            place = selected.index(name)
            style = ["-", "--", ":"][place // len(CYCLE) % 3]
            look = {"color": CYCLE[place % len(CYCLE)], "lw": 1.3, "ls": style, "zorder": 3}
        axes.plot(x, coefficients, **look)
    axes.axhline(0, color=BLACK, lw=0.5, zorder=2)
    axes.set(xlabel="log(λ)", ylabel="Coefficient", xlim=(x.min(), x.max() + 0.02 * np.ptp(x)))


def _draw_curve(axes: Axes, curve: pd.DataFrame, measure: str) -> None:
    x = np.log(curve["lambda"])
    axes.errorbar(x, curve["mean"], yerr=curve["error"], fmt="o", ms=2, color=RED, ecolor="#BBBBBB", elinewidth=0.6)
    axes.set(xlabel="log(λ)", ylabel=f"Cross-validated {measure}", xlim=(x.min(), x.max() + 0.02 * np.ptp(x)))


def _mark_lambdas(axes: Axes, lambda_min: float, lambda_1se: float) -> None:
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


def _count_on_top(axes: Axes, curve: pd.DataFrame) -> None:
    top = axes.secondary_xaxis("top")
    x = np.log(curve["lambda"].to_numpy(float))
    left, right = axes.get_xlim()
    ticks = np.linspace(left + 0.03 * (right - left), right - 0.03 * (right - left), 6)
    nearest = np.unique([int(np.argmin(np.abs(x - tick))) for tick in ticks])
    top.set_xticks(x[nearest], curve["nonzero"].to_numpy()[nearest].astype(int))
    top.set_xlabel("Number of features")


@dataclass(frozen=True)
class Axis:
    """One line of a nomogram: where it starts and ends, and its ticks, all on the 0 to 100 scale of the page."""

    name: str
    ticks: list[tuple[float, str]]
    minor: list[float]


_LABELS = 42.0  # width of the names on the left, mm
_SCALE = DOUBLE - _LABELS - 10  # length of the points axis, mm
_ROW = 9.5  # height of one axis with its labels, mm
_CLEAR = 1.2  # least space between two labels, mm


def draw_axes(rows: list[Axis]) -> Figure:
    """Draw a nomogram's lines one below the other; labels that would touch move above the line or are left out."""
    height = _ROW * len(rows) + 3
    figure, axes = new_page(DOUBLE, height)
    for number, row in enumerate(rows):
        level = height - 4.5 - number * _ROW
        name = wrap(row.name, _LABELS - 8)
        axes.text(2, level, plain_text(name), ha="left", va="center", fontsize=TEXT, linespacing=1.05)
        _draw_axis(axes, row, level)
    return figure


def _draw_axis(axes: Axes, row: Axis, level: float) -> None:
    def place(points: float) -> float:
        return _LABELS + points / 100 * _SCALE

    spots = [place(points) for points, _ in row.ticks]
    axes.plot([min(spots), max(spots)], [level, level], color=BLACK, lw=0.8, solid_capstyle="butt")
    for points in row.minor:
        axes.plot([place(points)] * 2, [level, level - 0.7], color=BLACK, lw=0.4)
    right = {-1: -np.inf, 1: -np.inf}  # where the last label below and above the line ends
    for spot, (_, text) in sorted(zip(spots, row.ticks, strict=True), key=lambda pair: pair[0]):
        half = text_width(text, SMALL) / 2
        side = next((side for side in (-1, 1) if spot - half > right[side] + _CLEAR), None)
        axes.plot([spot, spot], [level, level + (side or -1) * 1.2], color=BLACK, lw=0.6)
        if side is None:
            continue
        right[side] = spot + half
        axes.text(spot, level + side * 1.7, plain_text(text), ha="center", va="top" if side < 0 else "bottom",
                  fontsize=SMALL)  # fmt: skip


def thin(ticks: list[tuple[float, str]]) -> tuple[list[tuple[float, str]], list[float]]:
    """Of a numeric axis' ticks keep every 1st, 2nd, 5th … so that no two labels touch; the others become minor."""
    ordered = sorted(ticks)
    for step in (1, 2, 4, 5, 10, 20, 50, 100):
        kept = ordered[::step]
        ends = [(x / 100 * _SCALE, text_width(text, SMALL) / 2) for x, text in kept]
        clear = [b - h - a - g > _CLEAR for (a, g), (b, h) in zip(ends, ends[1:], strict=False)]
        if all(clear):
            return kept, [x for x, _ in ordered if (x, _) not in kept]
    return ordered[:1], [x for x, _ in ordered[1:]]


def tick_text(value: float) -> str:
    """A tick's number in as few digits as say it exactly (to six), with a true minus sign."""
    return decimal(value, 6).rstrip("0").rstrip(".") if value % 1 else decimal(value, 0)
