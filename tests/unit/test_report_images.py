"""Figures compared, pixel by pixel, with pictures drawn here from numbers that are known without the program.

What is compared is what is drawn inside the axes; where texts lie is checked in test_report_figures.py.
"""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

from nenflow.evaluation.decision import decision_curve
from nenflow.evaluation.discrimination import roc_curve
from nenflow.evaluation.groups import survival_curves
from nenflow.report.drawing import BLACK, BLUE, GREEN, GREY, PALE, RED
from nenflow.report.figures_answer import CHANCE, HONEST, PRINTED, answer_figure
from nenflow.report.figures_evaluation import decision_figure, roc_figure
from nenflow.report.figures_selection import funnel_figure, waterfall_figure
from nenflow.report.figures_survival import forest_figure, survival_figure

# Root mean square of the difference of two pictures, of 255. A line of the thinnest kind that is one pixel off gives
# more (the last test); the same lines drawn in another order give less.
TOLERANCE = 0.3
DOTS = 100  # per inch
DASHED = {"color": GREY, "lw": 0.8, "ls": "--"}


def difference(figure, panel, draw, folder):
    """What `compare_images` says of a panel of a figure and of the same panel drawn by hand; None where they agree."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    drawn = figure.axes[panel]
    limits, scale, place = (drawn.get_xlim(), drawn.get_ylim()), drawn.get_xscale(), drawn.get_position()
    for text in figure.findobj(Text):
        text.set_visible(False)
    for axes in figure.axes:
        axes.axis("off")
        axes.set_visible(axes is drawn)
        if axes.get_legend():
            axes.get_legend().remove()
    expected = Figure(figsize=figure.get_size_inches())
    FigureCanvasAgg(expected)
    axes = expected.add_axes(place)
    draw(axes)
    axes.set(xscale=scale, xlim=limits[0], ylim=limits[1])
    axes.axis("off")
    for name, picture in (("expected", expected), ("actual", figure)):
        picture.savefig(folder / f"{name}.png", dpi=DOTS)
    return compare_images(folder / "expected.png", folder / "actual.png", TOLERANCE)


def roc_by_hand(axes):
    """Three without the event (1, 2, 3) and two with it (2.5, 4): one of six pairs is out of order."""
    axes.plot([0, 1], [0, 1], **DASHED)
    axes.plot([0, 0, 1 / 3, 1 / 3, 1], [0, 1 / 2, 1 / 2, 1, 1], color=BLUE, lw=1.4)
    axes.fill_between([0, 1], 0.25, 0.75, color=BLUE, alpha=0.14, lw=0)
    axes.plot(1 / 3, 1, "o", ms=4.5, color=BLUE, mec="white")
    axes.set_aspect("equal")


def roc_drawn():
    curve = roc_curve([0, 0, 1, 0, 1], [1, 2, 2.5, 3, 4]).assign(score="Radscore", low=0.25, high=0.75)
    youden = {"sensitivity": 1.0, "specificity": 2 / 3}
    return roc_figure(curve, {"Radscore": {"auc": 5 / 6, "auc_delong": [0.4, 1.0], "youden": youden}})


def survival_by_hand(axes):
    """Deaths at 1, 2 and 4 among five, censored at 3 and 5: 4/5, 3/5 and, of the two left, 3/10; three groups alike."""
    for colour, style in ((BLUE, "-"), (RED, "-."), (GREEN, "--")):
        x, y = [0, 1, 1, 2, 2, 4, 4, 5], [1, 1, 0.8, 0.8, 0.6, 0.6, 0.3, 0.3]
        axes.plot(x, y, color=colour, ls=style, lw=1.3)
        axes.plot([3, 5], [0.6, 0.3], "|", color=colour, ms=4, mew=0.8)


def survival_drawn():
    one = survival_curves(pd.DataFrame({"time": [1.0, 2, 3, 4, 5], "event": [1, 1, 0, 1, 0]}), {})
    curves = pd.concat([one.assign(group=name) for name in "abc"])  # bands are drawn of two groups at most
    return survival_figure(curves, "Months", "Share")


def decision_by_hand(axes):
    """Risks .2, .4, .6, .8, the event in all but the second: net benefit TP/n - FP/n x odds of the threshold."""
    thresholds = np.arange(1, 100) / 100
    odds = thresholds / (1 - thresholds)
    true = np.select([thresholds <= 0.2, thresholds <= 0.6, thresholds <= 0.8], [3, 2, 1]) / 4
    false = (thresholds <= 0.4) / 4
    axes.plot(thresholds, true - false * odds, color=RED, lw=1.5)
    axes.plot(thresholds, 3 / 4 - odds / 4, color=BLUE, ls="-.", lw=1.2)
    axes.plot(thresholds, 0 * odds, color=GREY, ls="--", lw=1.2)


def decision_drawn():
    curve = decision_curve(pd.Series([1, 0, 1, 1]), pd.Series([0.2, 0.4, 0.6, 0.8]))
    return decision_figure(curve[["threshold", "strategy", "net_benefit"]], "Model")


def forest_by_hand(axes):
    """Ratios of 2 (1 to 4) and of 0.5 (0.25 to 1) on a logarithmic axis, in rows of 4.75 mm from 11.5 mm down."""
    axes.axvline(1, **DASHED)
    for level, low, ratio, high in ((9.125, 1, 2, 4), (4.375, 0.25, 0.5, 1)):
        axes.plot([low, high], [level, level], color=BLUE, lw=1.3, solid_capstyle="butt")
        axes.plot(ratio, level, "s", color=BLUE, ms=4.5, mec="white", mew=0.4)


def forest_drawn():
    rows = {"label": ["a", "b"], "ratio": [2, 0.5], "low": [1, 0.25], "high": [4, 1.0], "p": [0.05, 0.05]}
    return forest_figure(pd.DataFrame(rows), "Odds ratio")


def answer_by_hand(axes):
    """Rows of 8.5 mm, the mark of each 6 mm below its top."""
    for level in (-6, -14.5, -23):
        axes.plot([0.5, 0.5], [level - 2, level + 2], color=GREY, lw=0.8, ls=(0, (3, 1.5)))
    axes.plot([0.9, 0.98], [-6, -6], color=BLUE, lw=1.4, solid_capstyle="butt")
    axes.plot(0.95, -6, "o", color=BLUE, ms=5.5, mec="white", mew=0.5)
    axes.plot([0.6, 0.9], [-14.5, -14.5], color=RED, lw=1.4, solid_capstyle="butt")
    axes.plot(0.75, -14.5, "D", color=RED, ms=5.5, mec="white", mew=0.5)
    axes.fill_between([0.4, 0.7], -24.3, -21.7, color=PALE, lw=0, zorder=0)
    axes.plot(0.5, -23, "|", color=GREY, ms=7, mew=1.6)


def answer_drawn():
    figures = [(PRINTED, 0.95, 0.9, 0.98), (HONEST, 0.75, 0.6, 0.9), (CHANCE, 0.5, 0.4, 0.7)]
    rows = [("AUC", "", kind, "a row", *numbers, "in words") for kind, *numbers in figures]
    return answer_figure(
        pd.DataFrame(rows, columns=["axis", "heading", "kind", "label", "value", "low", "high", "text"])
    )


def funnel_by_hand(axes):
    """Bars of 100 %, 50 % and 10 % of 62 mm, 7 mm high, that fall over 8 mm; the middle is 75 mm from the left."""
    top = 3 * 7 + 2 * 8 + 2
    for half in (31, 15.5, 3.1):
        corners = [(75 - half, top), (75 + half, top), (75 + half, top - 7), (75 - half, top - 7)]
        axes.add_patch(Polygon(corners, fc=BLUE, ec=BLUE, lw=0.8))
        top -= 15
    for top, above, below in ((32, 31, 15.5), (17, 15.5, 3.1)):
        corners = [(75 - above, top), (75 + above, top), (75 + below, top - 8), (75 - below, top - 8)]
        axes.add_patch(Polygon(corners, fc=BLUE, alpha=0.15, lw=0))


def waterfall_by_hand(axes):
    """Scores 1, 2, 3, 5 and a cut-off of 2.5: 1.5 and 0.5 below it, 0.5 and 2.5 above; the second had no event."""
    axes.bar([0], [-1.5], width=0.9, color=RED)
    axes.bar([1, 2], [-0.5, 0.5], width=0.9, color=BLUE)
    axes.bar([3], [2.5], width=0.9, color=RED)
    axes.axhline(0, color=BLACK, lw=0.6)


def waterfall_drawn():
    scores = pd.DataFrame({"score": [5, 2, 1, 3], "outcome": [1, 0, 1, 0]})
    return waterfall_figure(scores, 2.5, {0: "no", 1: "yes"}, "Radscore", "lesion")


PICTURES = {
    "ROC": (roc_drawn, 0, roc_by_hand),
    "survival": (survival_drawn, 0, survival_by_hand),
    "decision": (decision_drawn, 0, decision_by_hand),
    "forest": (forest_drawn, 1, forest_by_hand),
    "answer": (answer_drawn, 1, answer_by_hand),
    "funnel": (lambda: funnel_figure([("a", 200, ""), ("b", 100, "x"), ("c", 20, "y")]), 0, funnel_by_hand),
    "waterfall": (waterfall_drawn, 0, waterfall_by_hand),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_shows_the_numbers_that_are_known(name, tmp_path):
    drawn, panel, by_hand = PICTURES[name]
    assert difference(drawn(), panel, by_hand, tmp_path) is None


@pytest.mark.parametrize("name", PICTURES)
def test_a_little_more_in_a_picture_is_told_apart(name, tmp_path):
    """What is compared is seen: a hair line of a few millimetres more makes a difference."""
    drawn, panel, by_hand = PICTURES[name]

    def more(axes):
        by_hand(axes)
        axes.plot([0.3, 0.35], [0.4, 0.4], transform=axes.transAxes, color=BLACK, lw=0.6)

    assert difference(drawn(), panel, more, tmp_path) is not None
