"""The look that all figures share, and how one is saved."""

import functools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from nenflow.files import whole_file

SINGLE = 85.0  # width of one journal column, mm
DOUBLE = 170.0  # width of a journal page, mm
TEXT = 8.0  # points; what a journal prints after it has scaled nothing
SMALL = 7.0  # tick labels and notes
DOTS = 300  # per inch; what journals ask of halftone figures

# Okabe and Ito (2008): eight colours that stay apart for colour-blind readers, in print and on a screen.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#7A7A7A"
PALE = "#D9D9D9"
# Yellow is left out: thin lines of it vanish on white.
CYCLE = [BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK]

_STRIP = 4.0  # height of the strip that holds the label of simulated data, mm

JOURNAL = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "axes.unicode_minus": True,
    "pdf.fonttype": 42,  # TrueType: text in the PDF can be searched and edited
    "svg.fonttype": "path",  # outlines: an SVG looks the same where the font is not installed
    "svg.hashsalt": "nenflow",  # names of clips and markers would be random otherwise
}


def mm(length: float) -> float:
    """Millimetres as inches, matplotlib's unit of size."""
    return length / 25.4


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` mm that lays itself out without overlap."""
    figure = Figure(figsize=(mm(width), mm(height)), layout="constrained", dpi=DOTS)
    FigureCanvasAgg(figure)
    return figure


def new_page(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure to be drawn by hand, and its axes in millimetres: (0, 0) is the lower left corner."""
    figure = Figure(figsize=(mm(width), mm(height)), dpi=DOTS)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def journal(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator of a function that draws a figure: the journal look holds inside it and nowhere else."""

    @functools.wraps(draw)
    def styled(*args: object, **kwargs: object) -> Figure:
        with matplotlib.rc_context(JOURNAL):
            return draw(*args, **kwargs)

    return styled


def save_figure(figure: Figure, stem: Path, simulated: bool) -> None:
    """Write `stem`.pdf, `stem`.svg and `stem`.png (300 dots per inch); the same figure gives the same bytes.

    Args:
        figure: a figure made by one of this package's functions. It is changed: save it once.
        stem: path without extension.
        simulated: say "Simulated data" in a strip below the drawing.
    """
    stem = Path(stem)
    if simulated:
        _label_simulated(figure)
    with matplotlib.rc_context(JOURNAL):
        # No dates and no program versions in the files: only what is drawn decides their bytes.
        nothing = {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None}
        _save(figure, stem, ".png", dpi=DOTS, metadata={"Software": None})
        figure.set_layout_engine("none")  # laid out by now; to do it again takes as long as to draw
        _save(figure, stem, ".pdf", metadata=nothing)
        _save(figure, stem, ".svg", metadata={"Date": None, "Creator": None})


def _save(figure: Figure, stem: Path, ending: str, **options: Any) -> None:
    with whole_file(stem.with_name(stem.name + ending)) as part:
        figure.savefig(part, **options)


def _label_simulated(figure: Figure) -> None:
    width, height = figure.get_size_inches()
    strip = mm(_STRIP) / (height + mm(_STRIP))
    figure.set_size_inches(width, height + mm(_STRIP))
    layout = figure.get_layout_engine()
    if layout is None:
        for axes in figure.axes:
            left, bottom, wide, high = axes.get_position().bounds
            axes.set_position((left, strip + bottom * (1 - strip), wide, high * (1 - strip)))
    else:
        layout.set(rect=(0, strip, 1, 1 - strip))
    figure.text(
        1 - mm(1) / width, 0.25 * strip, "Simulated data", ha="right", va="bottom", fontsize=SMALL, style="italic",
        color=RED,
    )  # fmt: skip


@functools.cache  # a figure asks for the same words again and again while it looks for room
def text_width(text: str, size: float = TEXT) -> float:
    """Width of one line of text, mm; taken from the font, so that it is the same on every machine."""
    if not text.strip():
        return 0.0
    # A dollar sign in a user's label is a dollar sign, not the start of a formula.
    path = TextPath((0, 0), text.replace("$", r"\$"), size=size, prop=FontProperties(family="DejaVu Sans"))
    return float(path.get_extents().width) / 72 * 25.4


def wrap(text: str, width: float, size: float = TEXT) -> str:
    """Break text into lines no wider than `width` mm, at spaces where there are any."""
    lines = []
    for paragraph in str(text).split("\n"):
        length = max(int(len(paragraph) * width / max(text_width(paragraph, size), 1e-9)), 1)
        broken = textwrap.wrap(paragraph, length) or [""]
        while length > 1 and max(text_width(line, size) for line in broken) > width:
            length -= 1
            broken = textwrap.wrap(paragraph, length)
        lines += broken
    return "\n".join(lines)


def plain_text(text: object) -> str:
    """Text as it stands: matplotlib would read a pair of dollar signs as a formula."""
    return str(text).replace("$", r"\$")
