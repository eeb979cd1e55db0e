"""One HTML page that holds everything it shows and asks no network for anything."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from nenflow.files import write_text
from nenflow.report.drawing import save_figure
from nenflow.report.printed_tables import render_table
from nenflow.report.tables import INSET
from nenflow.tables import write_table

ANSWER = "answer"  # the section that stands on the first screen, before the contents
_NARROW = 1200  # pixels; a figure of one column is not blown up to the page's width
_PICTURE = 900  # pixels, the longer side of a quality picture


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Lines:
    """A list of sentences."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Drawing:
    """A figure, its file's name without extension, its caption, and what it shows for who cannot see it.

    One that is `from_print` shows nothing of the study's data, so that it is never called simulated.
    """

    name: str
    figure: Figure
    caption: str
    alt: str
    from_print: bool = False


@dataclass(frozen=True)
class Printed:
    """A table for print (text in every cell, the first column names the row) and the name of its two files.

    The CSV file holds `full`, the numbers with all their digits, where there is such a table; one that is `from_print`
    holds nothing of the study's data, and neither does the printed table unless it is `mixed`.
    """

    name: str
    table: pd.DataFrame
    caption: str
    note: str = ""
    full: pd.DataFrame | None = None
    from_print: bool = False
    mixed: bool = False


@dataclass(frozen=True)
class Gallery:
    """Small pictures behind one line that opens them, each of which opens to its full size.

    Of each picture: whom it shows, what is to be known of it (flags, sign-off), and its PNG bytes.
    """

    summary: str
    pictures: Sequence[tuple[str, str, bytes]]


@dataclass(frozen=True)
class Fold:
    """Blocks behind one line that opens them, for what few readers want to see."""

    summary: str
    blocks: Sequence[Any]


@dataclass(frozen=True)
class Calculator:
    """A nomogram that the reader moves: the model's title, and what nomogram.js needs (see `interactive`)."""

    title: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    name: str
    title: str
    blocks: Sequence[Any] = field(default_factory=list)


def save_blocks(sections: Sequence[Section], folder: Path, simulated: bool) -> None:
    """Write the figures (PDF, SVG, PNG) into `folder`/figures and the printed tables (CSV, HTML) into `folder`/tables.

    Args:
        sections: what the page shows.
        folder: the report's folder.
        simulated: whether the data are; figures and tables that are not from print say so then.
    """
    for block in _unfolded([block for section in sections for block in section.blocks]):
        if isinstance(block, Drawing):
            save_figure(block.figure, folder / "figures" / block.name, simulated and not block.from_print)
        elif isinstance(block, Printed):
            made_up = simulated and not block.from_print
            table = block.table if block.full is None else block.full
            table = table.assign(data="simulated") if made_up else table
            write_table(table, folder / "tables" / f"{block.name}.csv")
            page = render_table(_plain_table(block), simulated and (block.mixed or not block.from_print))
            write_text(page, folder / "tables" / f"{block.name}.html")


def _unfolded(blocks: Sequence[Any]) -> list[Any]:
    """The blocks, those behind a line that opens them in its place."""
    return [inner for block in blocks for inner in (_unfolded(block.blocks) if isinstance(block, Fold) else [block])]


def report_context(
    title: str, summary: Sequence[tuple[str, str]], sections: Sequence[Section], folder: Path, simulated: bool
) -> dict[str, Any]:
    """Everything the page's template needs, as plain values.

    Args:
        title: the study's title.
        summary: pairs of a question ("In whom:") and its answer.
        sections: what the page shows; a section without blocks is left out, and the one named `ANSWER` comes first.
        folder: where `save_blocks` has written the figures.
        simulated: whether the data are.
    """
    shown = [
        {"name": section.name, "title": section.title, "blocks": [_plain(block, folder) for block in section.blocks]}
        for section in sections
        if section.blocks
    ]
    return {
        "title": title, "summary": list(summary), "simulated": simulated,
        "answer": [block for section in shown if section["name"] == ANSWER for block in section["blocks"]],
        "sections": [section for section in shown if section["name"] != ANSWER],
    }  # fmt: skip


def render_page(context: Mapping[str, Any], templates: Path, template: str = "report.html.j2") -> str:
    """Fill the page's template; all text is escaped, and a value that the template misses is an error.

    Args:
        context: as `report_context` gives it.
        templates: the folder with the template, style.css and the scripts.
        template: the template's file.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    def program(name: str) -> Markup:
        # Style sheet and script are part of the program, not of the data: escaping would break their quotes.
        return Markup((Path(templates) / name).read_text(encoding="utf-8"))

    environment.globals |= {"program": program, "digest": _digest}
    return environment.get_template(template).render(**context, style=program("style.css"))


def _digest(script: str) -> str:
    """By which a page tells the browser the one script to run: whatever else might get into the page has another."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _plain(block: Any, folder: Path) -> dict[str, Any]:
    match block:
        case Heading():
            return {"kind": "heading", "text": block.text}
        case Text():
            return {"kind": "text", "text": block.text}
        case Lines():
            return {"kind": "list", "lines": list(block.lines)}
        case Drawing():
            return _plain_figure(block, folder)
        case Printed():
            return _plain_table(block)
        case Gallery():
            pictures = [_picture(*picture) for picture in block.pictures]
            return {"kind": "gallery", "summary": block.summary, "pictures": pictures}
        case Fold():
            inner = [_plain(folded, folder) for folded in block.blocks]
            return {"kind": "fold", "summary": block.summary, "blocks": inner}
        case Calculator():
            return {"kind": "calculator", "title": block.title, "document": block.document}
    raise TypeError(f"no page knows a {type(block).__name__}")


def _plain_figure(block: Drawing, folder: Path) -> dict[str, Any]:
    png = (folder / "figures" / f"{block.name}.png").read_bytes()
    width, height = Image.open(io.BytesIO(png)).size
    text = base64.b64encode(png).decode()
    return {
        "kind": "figure", "png": text, "width": width, "height": height, "narrow": width < _NARROW,
        "caption": block.caption, "alt": block.alt,
    }  # fmt: skip


def _plain_table(block: Printed) -> dict[str, Any]:
    rows = []
    for name, *cells in block.table.astype(str).itertuples(index=False, name=None):
        rows.append({"name": name.removeprefix(INSET), "cells": cells, "inset": name.startswith(INSET)})
    head = [str(column).strip() for column in block.table.columns]
    return {
        "kind": "table", "caption": block.caption, "note": block.note, "head": head, "rows": rows,
        "grouped": any(row["inset"] for row in rows),
    }  # fmt: skip


def _picture(name: str, words: str, png: bytes) -> dict[str, Any]:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((_PICTURE, _PICTURE))
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=70)
    return {
        "jpeg": base64.b64encode(jpeg.getvalue()).decode(), "name": name, "words": words,
        "alt": f"Three planes through {name}: {words}", "width": picture.width, "height": picture.height,
    }  # fmt: skip
