"""Figures of how well a model does: ROC, as published beside honest, calibration, decision curve."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nenflow.report.drawing import (
    BLACK,
    BLUE,
    CYCLE,
    DOUBLE,
    GREY,
    PALE,
    RED,
    SINGLE,
    SMALL,
    TEXT,
    journal,
    new_figure,
    plain_text,
    wrap,
)
from nenflow.report.wording import interval


@journal
def roc_figure(roc: pd.DataFrame, performance: dict[str, dict]) -> Figure:
    """ROC curves with AUC and 95% interval, and the cut-off of Youden's index as a dot.

    Args:
        roc: columns score, threshold, sensitivity, specificity, and where it is known a band: low, high.
        performance: per score auc, auc_delong ([low, high]) and youden (sensitivity, specificity).
    """
    figure = new_figure(SINGLE, SINGLE)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
    for number, (score, figures) in enumerate(performance.items()):
        curve = roc[roc["score"] == score].sort_values(["specificity", "sensitivity"], ascending=[False, True])
        colour = CYCLE[number % len(CYCLE)]
        label = f"{score}: {interval(figures['auc'], *figures['auc_delong'])}"
        x = np.r_[0, 1 - curve["specificity"], 1]
        y = np.r_[0, curve["sensitivity"], 1]
        axes.plot(x, y, color=colour, lw=1.4, label=plain_text(label), ls=["-", "-."][number % 2])
        if "low" in curve:
            axes.fill_between(1 - curve["specificity"], curve["low"], curve["high"], color=colour, alpha=0.14, lw=0)
        youden = figures.get("youden")
        if youden:
            axes.plot(1 - youden["specificity"], youden["sensitivity"], "o", ms=4.5, color=colour, mec="white")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="1 − specificity", ylabel="Sensitivity", aspect="equal")
    axes.legend(loc="lower right", title="AUC (95% CI, DeLong)", title_fontsize=SMALL, alignment="left")
    return figure


@journal
def honest_figure(estimates: pd.DataFrame, measure: str = "AUC") -> Figure:
    """AUCs (or C-indices) as a paper prints them beside those that repeat the whole analysis in each resample.

    Args:
        estimates: rows from top to bottom: score, estimate (its name), auc, low, high, honest (True or False), and
            under no effect chance (median), chance_low, chance_high, blank where it is not known.
        measure: what is shown, for the axis.
    """
    scores = list(dict.fromkeys(estimates["score"]))
    figure = new_figure(DOUBLE, 20 + 6 * len(estimates) + 7 * len(scores))
    axes = figure.subplots()
    axes.axvline(0.5, color=GREY, lw=0.8, ls="--", zorder=0)
    place, ticks = 0.0, {}
    for score in scores:
        ticks[place] = score
        for _, row in estimates[estimates["score"] == score].iterrows():
            place -= 1
            ticks[place] = row["estimate"]
            _estimate(axes, place, row)
        place -= 1.25
    axes.set_yticks(list(ticks), [plain_text(name) for name in ticks.values()])
    for label in axes.get_yticklabels():
        if label.get_text() in map(plain_text, scores):
            label.set(fontweight="bold", fontsize=TEXT)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    lowest = np.nanmin([0.5, *estimates["auc"], *estimates["low"], *estimates["chance_low"]])
    axes.set(xlim=(max(math.floor(lowest * 20 - 0.5) / 20, 0), 1.0), ylim=(place + 0.6, 0.7))
    axes.set_xlabel(f"{measure} (95% interval); 0.5 is chance")
    if estimates["chance"].notna().any():
        note = "Grey: outcomes permuted between patients (median and central 95%)"
        axes.set_xlabel(f"{axes.get_xlabel()}\n{note}", linespacing=1.5)
    return figure


def _estimate(axes: Axes, place: float, row: pd.Series) -> None:
    colour = RED if row["honest"] else BLUE
    if pd.notna(row["chance"]):
        width = row["chance_high"] - row["chance_low"]
        axes.barh(place, width, 0.62, row["chance_low"], color=PALE, zorder=0)
        axes.plot([row["chance"]] * 2, [place - 0.31, place + 0.31], color=GREY, lw=1.4, zorder=1)
    if pd.notna(row["low"]) and pd.notna(row["high"]):
        axes.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.4, solid_capstyle="butt")
    axes.plot(row["auc"], place, "D" if row["honest"] else "o", ms=5.5, color=colour, mec="white", mew=0.5,
              clip_on=False, zorder=3)  # fmt: skip
    text = interval(row["auc"], row["low"], row["high"])
    axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL)


@journal
def chance_figure(permuted: pd.DataFrame, found: pd.Series, measure: str = "AUC") -> Figure:
    """Figures of permuted outcomes, where there is nothing to find, and the study's own as a line.

    Args:
        permuted: a row per permutation, and a column for each kind of figure: a panel each, from left to right.
        found: the study's own figure of each kind.
        measure: what is shown, for the axes.
    """
    figure = new_figure(DOUBLE, 52)
    panels = figure.subplots(1, len(permuted.columns), sharex=True, sharey=True, squeeze=False)[0]
    low = math.floor(20 * min(permuted.min().min(), found.min(), 0.5)) / 20
    bins = np.linspace(low, 1, round((1 - low) / 0.02) + 1)
    for axes, (name, values), colour in zip(panels, permuted.items(), [BLUE, RED], strict=True):
        axes.hist(values, bins=bins, color=GREY)
        axes.axvline(found[name], color=colour, lw=1.6)
        axes.set(xlabel=measure, title=f"{plain_text(name)}: {found[name]:.3f}", xlim=(low, 1.005))
    panels[0].set_ylabel("Permutations")
    return figure


@journal
def calibration_figure(calibration: pd.DataFrame, predicted: pd.Series, event: str) -> Figure:
    """Calibration: apparent and bias-corrected curve against the ideal line, the spread of predictions below.

    Args:
        calibration: columns predicted, apparent, corrected (a grid).
        predicted: the probabilities that the model gave, one per unit.
        event: what is predicted, for the axes.
    """
    figure = new_figure(SINGLE, SINGLE + 12)
    axes, spread = figure.subplots(2, 1, sharex=True, height_ratios=[6, 1])
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--", label="Ideal")
    axes.plot(calibration["predicted"], calibration["apparent"], color=BLUE, label="Apparent", ls="-.")
    if calibration["corrected"].notna().any():
        axes.plot(calibration["predicted"], calibration["corrected"], color=RED, label="Bias-corrected", lw=1.5)
    low = np.nanmin(calibration[["apparent", "corrected"]].to_numpy(float), initial=0.0)
    high = np.nanmax(calibration[["apparent", "corrected"]].to_numpy(float), initial=1.0)
    axes.set(xlim=(0, 1), ylim=(max(low, -0.1), min(high, 1.1) + 0.01))
    axes.set_ylabel(plain_text(f"Observed share of {event}"))
    axes.legend(loc="upper left")
    draw_spread(spread, predicted, f"Predicted probability of {event}")
    return figure


def draw_spread(axes: Axes, predicted: pd.Series, label: str) -> None:
    """How many units have each prediction, below a calibration plot."""
    counts, edges = np.histogram(predicted, bins=np.linspace(0, 1, 51))
    axes.bar((edges[:-1] + edges[1:]) / 2, counts, width=0.014, color=BLACK)
    axes.set(xlabel=plain_text(label), ylabel="n", ylim=(0, max(counts.max(), 1)))
    axes.set_yticks([0, int(max(counts.max(), 1))])


@journal
def decision_figure(decision: pd.DataFrame, model: str, outside: pd.DataFrame | None = None) -> Figure:
    """Decision curve (Vickers 2006): net benefit of the model, of treating all and of treating none.

    Args:
        decision: columns threshold, strategy (model, all, none), net_benefit, and where they are known low, high (a
            band) and corrected (a line).
        model: the model's name for the legend.
        outside: columns threshold and net_benefit of predictions for units not fitted to, where there are any.
    """
    figure = new_figure(SINGLE, 70)
    axes = figure.subplots()
    looks = {
        "model": (wrap(model, 0.4 * SINGLE, SMALL), {"color": RED, "lw": 1.5}),
        "all": ("Treat all", {"color": BLUE, "ls": "-."}),
        "none": ("Treat none", {"color": GREY, "ls": "--"}),
    }
    for strategy, (label, look) in looks.items():
        curve = decision[decision["strategy"] == strategy].sort_values("threshold")
        axes.plot(curve["threshold"], curve["net_benefit"], label=plain_text(label), **look)
        if strategy == "model" and "low" in curve:
            axes.fill_between(curve["threshold"], curve["low"], curve["high"], color=RED, alpha=0.12, lw=0)
        if strategy == "model" and "corrected" in curve:
            axes.plot(curve["threshold"], curve["corrected"], label="Optimism-corrected", color=BLACK, lw=1.2, ls=":")
    if outside is not None and len(outside):
        axes.plot(outside["threshold"], outside["net_benefit"], label="Cross-validated", color=BLACK, lw=0.8)
    # "Treat all" falls without bound: below a little under zero it says nothing more.
    top = max(decision["net_benefit"].max(), 0.02)
    axes.set(xlim=(0, 1), ylim=(-0.12 * top, 1.08 * top), xlabel="Threshold probability", ylabel="Net benefit")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)  # five entries cover curves
    return figure
