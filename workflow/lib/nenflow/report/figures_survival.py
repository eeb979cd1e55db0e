"""Figures of outcomes that come with time: survival and incidence curves, hazard or odds ratios, discrimination."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nenflow.report.drawing import (
    BLACK,
    BLUE,
    CYCLE,
    DOUBLE,
    GREY,
    RED,
    SINGLE,
    SMALL,
    TEXT,
    journal,
    new_figure,
    new_page,
    plain_text,
    text_width,
    wrap,
)
from nenflow.report.figures_evaluation import draw_spread
from nenflow.report.wording import p_text, ratio_interval

_LINE = 3.4  # height of a line of small text, mm
_STYLES = ["-", "-.", "--", ":"]


@journal
def survival_figure(curves: pd.DataFrame, time: str, outcome: str, note: str = "") -> Figure:
    """Kaplan-Meier curves with censorings, 95% bands (up to two groups) and the numbers at risk below.

    Args:
        curves: columns group, time, at_risk, censored, survival, low, high; groups in the order of their legend.
        time: label of the time axis.
        outcome: what the curve is a share of, for the other axis.
        note: a line above the legend, such as the log-rank p.
    """
    groups = list(dict.fromkeys(curves["group"]))
    note = wrap(note, SINGLE - 16, SMALL) if len(groups) > 1 else ""
    above = _LINE * 1.25 * (len(groups) + note.count("\n") + 1) if len(groups) > 1 else 0  # the legend
    figure = new_figure(SINGLE, 62 + above + _LINE * (len(groups) + 2))
    axes, table = figure.subplots(2, 1, height_ratios=[58, _LINE * (len(groups) + 1.5)])
    for number, group in enumerate(groups):
        rows = curves[curves["group"] == group]
        colour, style = CYCLE[number % len(CYCLE)], _STYLES[number % len(_STYLES)]
        x, y = np.r_[0, rows["time"]], np.r_[1, rows["survival"]]
        axes.step(x, y, where="post", color=colour, ls=style, lw=1.3, label=plain_text(group))
        gone = rows[rows["censored"] > 0]
        axes.plot(gone["time"], gone["survival"], "|", color=colour, ms=4, mew=0.8)
        if len(groups) <= 2:
            low, high = np.r_[1, rows["low"].ffill()], np.r_[1, rows["high"].ffill()]
            axes.fill_between(x, low, high, step="post", color=colour, alpha=0.12, lw=0)
    end = curves["time"].max()
    axes.set(
        xlim=(0, end * 1.02), ylim=(0, 1.02), xlabel=plain_text(wrap(time, 65)), ylabel=plain_text(wrap(outcome, 50))
    )
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 6, 10]))
    if len(groups) > 1:
        # Beside the curves it would lie on one of them.
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), title=plain_text(note), title_fontsize=SMALL,
                    alignment="left", borderpad=0.2, borderaxespad=0.3)  # fmt: skip
    _at_risk(table, curves, groups, axes)
    return figure


@journal
def survival_panels(
    curves: pd.DataFrame, labels: Mapping[str, str], notes: Mapping[str, str], time: str, outcome: str
) -> Figure:
    """Kaplan-Meier curves of several variables side by side, two groups each, in the order of the labels.

    Args:
        curves: columns variable, group, time, censored, survival.
        labels: by variable, the panel's title.
        notes: by variable, a line below the title, such as p values.
        time: label of the time axis.
        outcome: what the curves are a share of, for the other axis.
    """
    columns = min(3, len(labels))
    rows = -(-len(labels) // columns)
    figure = new_figure(DOUBLE, 50 * rows + 10)
    panels = np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    groups = list(dict.fromkeys(curves["group"]))
    for axes, name in zip(panels, labels, strict=False):
        for number, group in enumerate(groups):
            part = curves[(curves["variable"] == name) & (curves["group"] == group)]
            x, y = np.r_[0, part["time"]], np.r_[1, part["survival"]]
            axes.step(x, y, where="post", color=CYCLE[number], ls=_STYLES[number], lw=1.2, label=group)
            gone = part[part["censored"] > 0]
            axes.plot(gone["time"], gone["survival"], "|", color=CYCLE[number], ms=4, mew=0.8)
        title = wrap(labels[name], DOUBLE / columns - 12)
        axes.set_title(plain_text(f"{title}\n{notes[name]}"), loc="left", fontsize=SMALL)
    for axes in panels[len(labels) :]:
        axes.axis("off")
    for axes in panels[: len(labels)][-columns:]:
        axes.tick_params(labelbottom=True)  # the last of its column, though there may be a row below it
    panels[0].set(xlim=(0, curves["time"].max() * 1.02), ylim=(0, 1.02))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(groups))
    figure.supxlabel(plain_text(wrap(time, DOUBLE - 20)), fontsize=TEXT)
    figure.supylabel(plain_text(wrap(outcome, 50 * rows)), fontsize=TEXT)
    return figure


def _at_risk(table, curves: pd.DataFrame, groups: Sequence[str], axes) -> None:
    ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= axes.get_xlim()[1]]
    table.set(xlim=axes.get_xlim(), ylim=(-len(groups) + 0.4, 1.2))
    table.axis("off")
    table.text(0, 0.9, "At risk", fontsize=SMALL, fontweight="bold", va="center", ha="left")
    for number, group in enumerate(groups):
        rows = curves[curves["group"] == group]
        times, at_risk = rows["time"].to_numpy(), rows["at_risk"].to_numpy()
        for tick in ticks:
            place = np.searchsorted(times, tick, side="left")
            count = int(at_risk[place]) if place < len(times) else 0
            table.text(tick, -number, f"{count}", fontsize=SMALL, ha="center", va="center")
        marker = CYCLE[number % len(CYCLE)]
        if len(groups) > 1:
            table.plot(
                [-0.065], [-number], "s", ms=4, color=marker, transform=table.get_yaxis_transform(), clip_on=False
            )


@journal
def incidence_figure(curves: pd.DataFrame, time: str, outcome: str, note: str = "") -> Figure:
    """Cumulative incidence of an event in the presence of a competing one (Aalen and Johansen).

    Args:
        curves: columns group, cause, time, incidence; a cause is drawn as a line style, a group as a colour.
        time, outcome, note: see `survival_figure`.
    """
    figure = new_figure(DOUBLE, 70)
    axes = figure.subplots()
    causes, groups = list(dict.fromkeys(curves["cause"])), list(dict.fromkeys(curves["group"]))
    for number, group in enumerate(groups):
        for style, cause in zip(_STYLES, causes, strict=False):
            rows = curves[(curves["group"] == group) & (curves["cause"] == cause)]
            label = f"{group}: {cause}" if len(groups) > 1 else cause
            x, y = np.r_[0, rows["time"]], np.r_[0, rows["incidence"]]
            axes.step(x, y, where="post", color=CYCLE[number % len(CYCLE)], ls=style, label=plain_text(label))
    top = min(1.0, 1.15 * max(curves["incidence"].max(), 0.05))
    axes.set(xlim=(0, curves["time"].max() * 1.02), ylim=(0, top), xlabel=plain_text(time), ylabel=plain_text(outcome))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title=plain_text(note), title_fontsize=SMALL)
    return figure


@journal
def forest_figure(ratios: pd.DataFrame, kind: str) -> Figure:
    """Hazard or odds ratios with their intervals on a logarithmic axis, a row each.

    Args:
        ratios: columns label, ratio, low, high, p; a row whose ratio is missing is a heading.
        kind: "Hazard ratio" or "Odds ratio".
    """
    labels = [wrap(label, 55, SMALL) for label in ratios["label"]]
    heights = [max(label.count("\n") + 1, 1.25) * (_LINE + 0.4) for label in labels]
    height = sum(heights) + 17
    figure, page = new_page(DOUBLE, height)
    texts = [ratio_interval(row.ratio, row.low, row.high) for row in ratios.itertuples()]
    widest = max((text_width(text, SMALL) for text in texts), default=0)
    left, right = 62.0, min(118.0, DOUBLE - 17 - widest)  # an interval with powers of ten needs more room
    finite = ratios[["ratio", "low", "high"]].to_numpy(float)
    finite = finite[np.isfinite(finite) & (finite > 0)]
    low, high = _decades(finite)
    axes = figure.add_axes((left / DOUBLE, 9 / height, (right - left) / DOUBLE, (height - 15) / height))
    axes.set(xscale="log", xlim=(low, high), ylim=(0, height - 15))
    axes.axvline(1, color=GREY, lw=0.8, ls="--")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.set_xlabel(kind)
    ticks = [tick for tick in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if low <= tick <= high]
    if np.log10(high / low) > 2.5:
        ticks = [tick for tick in ticks if np.isclose(np.log10(tick) % 1, 0)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    y = height - 15
    page.text(2, height - 3, "Variable", fontsize=TEXT, fontweight="bold", va="center")
    page.text(right + 3, height - 3, f"{kind} (95% CI)", fontsize=TEXT, fontweight="bold", va="center")
    page.text(DOUBLE - 2, height - 3, "p", fontsize=TEXT, fontweight="bold", va="center", ha="right")
    for label, tall, text, row in zip(labels, heights, texts, ratios.itertuples(), strict=True):
        y -= tall
        middle = y + tall / 2
        heading = not np.isfinite(row.ratio)
        page.text(2, 9 + middle, plain_text(label), fontsize=SMALL, va="center",
                  fontweight="bold" if heading else "normal")  # fmt: skip
        if heading:
            continue
        ends = np.clip([max(row.low, low * 1e-9), min(row.high, high * 1e9)], low, high)
        axes.plot(ends, [middle, middle], color=BLUE, lw=1.3, solid_capstyle="butt")
        axes.plot([np.clip(row.ratio, low, high)], [middle], "s", color=BLUE, ms=4.5, mec="white", mew=0.4)
        page.text(right + 3, 9 + middle, text, fontsize=SMALL, va="center")
        page.text(DOUBLE - 2, 9 + middle, p_text(row.p), fontsize=SMALL, va="center", ha="right")
    return figure


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Ends of the axis: what is shown and a little more, never beyond a hundredth and a thousand."""
    low, high = min(values.min(initial=0.5), 0.5), max(values.max(initial=2.0), 2.0)
    return max(low * 0.8, 0.01), min(high * 1.25, 1000.0)


@journal
def time_roc_figure(roc: pd.DataFrame, areas: Mapping[str, str], unit: str) -> Figure:
    """Cumulative/dynamic ROC curves at several times.

    Args:
        roc: columns time, sensitivity, specificity and its band, low and high, in order of rising threshold.
        areas: by time (as text), the AUC with its interval in words.
        unit: label of the time, such as "Overall survival (months)".
    """
    figure = new_figure(SINGLE, SINGLE)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
    for number, (time, rows) in enumerate(roc.groupby("time", sort=True)):
        label = f"{time:g}: {areas[f'{time:g}']}"
        colour = CYCLE[number % len(CYCLE)]
        axes.plot(1 - rows["specificity"], rows["sensitivity"], color=colour, ls=_STYLES[number % len(_STYLES)], lw=1.4,
                  label=plain_text(label))  # fmt: skip
        axes.fill_between(1 - rows["specificity"], rows["low"], rows["high"], color=colour, alpha=0.1, lw=0)
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="1 − specificity", ylabel="Sensitivity", aspect="equal")
    title = wrap(f"{unit}: AUC (95% CI)", 50, SMALL)
    axes.legend(loc="lower right", title=plain_text(title), title_fontsize=SMALL, alignment="left")
    return figure


@journal
def survival_calibration_figure(
    groups: pd.DataFrame, curve: pd.DataFrame, words: str, predictions: pd.Series
) -> Figure:
    """Observed against predicted survival at one time: Kaplan-Meier of groups, a smooth curve, the spread below.

    Args:
        groups: columns predicted, observed, low, high, corrected; one row per group of predictions.
        curve: columns predicted, apparent, corrected; may be empty.
        words: what survives until when, for the axes.
        predictions: the survival that the model gave, one per unit.
    """
    figure = new_figure(SINGLE, SINGLE + 12)
    axes, spread = figure.subplots(2, 1, sharex=True, height_ratios=[6, 1])
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--", label="Ideal")
    if len(curve):
        axes.plot(curve["predicted"], curve["apparent"], color=BLUE, ls="-.", label="Apparent")
        if "corrected" in curve and curve["corrected"].notna().any():
            axes.plot(curve["predicted"], curve["corrected"], color=RED, label="Bias-corrected")
    if len(groups):
        observed = groups["observed"].to_numpy(float)
        reach = np.abs(groups[["low", "high"]].to_numpy(float) - observed[:, None]).T
        axes.errorbar(groups["predicted"], observed, yerr=np.nan_to_num(reach), fmt="o", ms=4, color=BLACK, lw=0.9,
                      capsize=2, label="Kaplan-Meier by group")  # fmt: skip
        if "corrected" in groups:
            axes.plot(groups["predicted"], groups["corrected"], "x", ms=5, color=RED, label="Group, bias-corrected")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set_ylabel(plain_text(f"Observed {words}"))
    axes.legend(loc="best")
    draw_spread(spread, predictions, f"Predicted {words}")
    return figure
