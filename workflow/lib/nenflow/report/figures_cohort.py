"""Figures of who and what was studied: flow of inclusions, stability of features, single markers."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from nenflow.report.drawing import (
    BLACK,
    BLUE,
    DOUBLE,
    GREY,
    PALE,
    RED,
    SINGLE,
    SMALL,
    TEXT,
    journal,
    new_figure,
    new_page,
    plain_text,
    wrap,
)
from nenflow.report.wording import count, feature_label, icc_label, interval

_LINE = 3.8  # height of a line of text in a box, mm
_PAD = 2.0  # space between a box and its text, mm
_GAP = 5.0  # space between two boxes, mm
_MAIN, _SIDE = 74.0, 78.0  # widths of the boxes of who stays and of who leaves, mm


# What a step of the flow leaves, for readers.
_STEPS = {
    "declared": "Declared in the tables",
    "cohort": "Segmented",
    "images": "Images and masks usable",
    "features": "Features computed",
    "clinical data": "Clinical data complete",
    "analysed": "Analysed",
}


@journal
def flow_figure(flow: pd.DataFrame, unit: str = "lesion") -> Figure:
    """Flow of inclusions: a box per step with what is left, and beside the arrow into it who left and why.

    Args:
        flow: columns step, patients, lesions (both: left after the row), excluded_patients, excluded_lesions, reason; a
            row per step and reason, "declared" first and "analysed" last.
        unit: lesion, or patient where nothing but patients is to be counted.
    """
    steps = [rows for _, rows in flow.groupby("step", sort=False)]
    if len(steps) > 2 and steps[-1]["step"].iloc[0] == "analysed":
        steps[-2:] = [steps[-2].assign(step="analysed")]  # who is left after the last exclusion is who was analysed
    names = [rows["step"].iloc[0] for rows in steps]
    boxes = [f"{_STEPS.get(name, name)}\n{_left(rows.iloc[-1], unit)}" for name, rows in zip(names, steps, strict=True)]
    boxes = [wrap(box, _MAIN - 2 * _PAD) for box in boxes]
    asides = [wrap(_excluded(rows, unit), _SIDE - 2 * _PAD) if number else "" for number, rows in enumerate(steps)]
    heights = [_height(box) for box in boxes]
    gaps = [_height(aside) + 4 if aside else _GAP for aside in asides]
    total = sum(heights) + sum(gaps[1:])
    figure, axes = new_page(DOUBLE, total + 2)
    middle = 4 + _MAIN / 2 if any(asides) else DOUBLE / 2
    top = total + 1
    for number, box in enumerate(boxes):
        if number:
            _arrow(axes, (middle, top), (middle, top - gaps[number]), BLACK)
            if asides[number]:
                level = top - gaps[number] / 2
                left = DOUBLE - 4 - _SIDE
                _arrow(axes, (middle, level), (left, level), GREY)
                height = _height(asides[number])
                _box(axes, left, level + height / 2, _SIDE, height, asides[number], GREY, "#F6F6F6")
            top -= gaps[number]
        _box(axes, middle - _MAIN / 2, top, _MAIN, heights[number], box, BLACK, "white", centred=True)
        top -= heights[number]
    return figure


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    look = {"arrowstyle": "-|>", "lw": 0.8, "color": colour, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look)


def counted(patients: float, lesions: float, unit: str) -> str:
    """Numbers of patients and, where they are counted, of lesions; blank where both are none."""
    parts = [count(patients, "patient")] if patients or unit == "patient" else []
    return ", ".join(parts + ([count(lesions, "lesion")] if unit == "lesion" and lesions else []))


def _left(row: pd.Series, unit: str) -> str:
    return counted(row["patients"], row["lesions"], unit) or "none"


def _excluded(rows: pd.DataFrame, unit: str) -> str:
    lines = []
    for _, row in rows.iterrows():
        if row["excluded_patients"] or row["excluded_lesions"]:
            reason = f": {row['reason']}" if isinstance(row["reason"], str) and row["reason"] else ""
            lines.append(counted(row["excluded_patients"], row["excluded_lesions"], unit) + reason)
    return "\n".join(["Excluded", *lines]) if lines else ""


def _height(text: str) -> float:
    return _LINE * (text.count("\n") + 1) + 2 * _PAD


def _box(
    axes: Axes, left: float, top: float, width: float, height: float, text: str, edge: str, fill: str,
    centred: bool = False,
) -> None:  # fmt: skip
    axes.add_patch(
        FancyBboxPatch(
            (left, top - height), width, height, boxstyle="round,pad=0,rounding_size=1", fc=fill, ec=edge, lw=0.8,
        )
    )  # fmt: skip
    for number, line in enumerate(text.split("\n")):
        x = left + width / 2 if centred else left + _PAD
        axes.text(
            x, top - _PAD - (number + 0.5) * _LINE, plain_text(line), ha="center" if centred else "left",
            va="center_baseline", fontsize=TEXT, fontweight="bold" if number == 0 else "normal",
        )  # fmt: skip


@journal
def stability_figure(stability: pd.DataFrame, form: str, threshold: float, unit: str = "lesion") -> Figure:
    """How repeatable the features are: a histogram of ICCs per comparison, with the threshold of the protocol.

    Args:
        stability: columns feature, comparison (intra, inter, perturbation), n, and the ICC in a column named as `form`.
        form: ICC2 or ICC3, whichever the protocol names.
        threshold: features below it are dropped.
        unit: of the study, lesion or patient.
    """
    names = {"intra": "Same reader, twice", "inter": "Two readers", "perturbation": "Perturbed"}
    comparisons = [name for name in names if (stability["comparison"] == name).any()]
    values = stability[form].replace([np.inf, -np.inf], np.nan).dropna()
    lowest = min(0.0, math.floor(values.min() * 10) / 10) if len(values) else 0.0
    lowest = max(lowest, -1.0)  # an ICC far below -1 says "no agreement" and would only stretch the axis
    bins = np.linspace(lowest, 1, round((1 - lowest) / 0.025) + 1)
    figure = new_figure(DOUBLE if len(comparisons) > 1 else SINGLE, 58)
    for place, axes in enumerate(np.ravel(figure.subplots(1, len(comparisons), sharey=True, squeeze=False))):
        rows = stability[stability["comparison"] == comparisons[place]]
        computed = rows[form].dropna().clip(lower=lowest)
        kept = computed >= threshold
        axes.hist([computed[kept], computed[~kept]], bins=bins, stacked=True, color=[BLUE, PALE], ec="white", lw=0.3)
        axes.axvline(threshold, color=RED, lw=1, ls="--")
        axes.set(xlim=(lowest, 1), xlabel=icc_label(form))
        axes.set_title(f"{names[comparisons[place]]} ({count(rows['n'].max(), unit)})", loc="left")
        note = f"{kept.sum():,} of {len(rows):,}\nat {threshold:g} or above"
        missing = len(rows) - len(computed)
        note += f"\n{missing:,} not computable" if missing else ""
        axes.text(0.03, 0.95, note, transform=axes.transAxes, va="top", fontsize=SMALL)
        if place == 0:
            axes.set_ylabel("Features")
    return figure


@journal
def markers_figure(markers: pd.DataFrame, most: int = 20) -> Figure:
    """AUC with interval of single features or variables, the furthest from chance on top.

    Args:
        markers: columns marker, direction (higher or lower values in events), auc, auc_low, auc_high.
        most: how many are drawn; a table holds them all.
    """
    shown = markers.dropna(subset=["auc"]).sort_values(["auc", "marker"], ascending=[False, True], kind="stable")
    shown = shown.head(most)
    figure = new_figure(DOUBLE, 18 + 5 * len(shown))
    axes = figure.subplots()
    places = np.arange(len(shown))[::-1]
    axes.axvline(0.5, color=GREY, lw=0.8, ls="--", zorder=0)
    axes.hlines(places, shown["auc_low"], shown["auc_high"], color=BLUE, lw=1)
    axes.plot(shown["auc"], places, "o", ms=4, color=BLUE, clip_on=False, zorder=3)
    arrows = shown["direction"].map({"higher": "↑", "lower": "↓"})
    labels = [f"{feature_label(name)} {arrow}" for name, arrow in zip(shown["marker"], arrows, strict=True)]
    axes.set_yticks(places, [plain_text(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    lowest = min(0.45, math.floor(shown[["auc", "auc_low"]].min().min() * 20) / 20)
    axes.set(xlim=(lowest, 1), ylim=(-0.7, len(shown) - 0.3), xlabel="AUC (95% interval); 0.5 is chance")
    for place, (_, row) in zip(places, shown.iterrows(), strict=True):
        axes.text(
            1.02, place, interval(row["auc"], row["auc_low"], row["auc_high"], 2),
            transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL,
        )  # fmt: skip
    return figure
