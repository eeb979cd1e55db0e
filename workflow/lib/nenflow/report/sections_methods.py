"""The part of a report that a paper's methods section can be written from."""

from collections.abc import Mapping
from typing import Any

from nenflow.report.deviations import deviations
from nenflow.report.methods import (
    bibtex,
    cited,
    methods_paragraphs,
    methods_text,
    numbered,
    read_references,
    reference_lines,
)
from nenflow.report.page import Fold, Heading, Lines, Text


def methods_blocks(
    study: Mapping[str, Any],
    results: Mapping[str, Any],
    versions: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, Any]],
) -> list[Any]:
    """The statement of deviations, and the methods text with its references behind a line that opens it.

    Args:
        study, results, versions, parameters: see `sections.report_sections`.
    """
    paragraphs = methods_paragraphs(study, results, versions, parameters)
    text = [block for heading, words in numbered(paragraphs) for block in (Heading(heading), Text(words))]
    references = reference_lines(cited(paragraphs), read_references())
    blocks: list[Any] = [
        Text(
            "Paragraphs for a paper, made from the settings and results of this study: methods.txt beside this page, "
            "with the references for a reference manager in references.bib."
        ),
        Fold("Show the methods text", [*text, Heading("References"), *(Text(line) for line in references)]),
    ]
    if lines := deviations(study):
        blocks += [Heading("Deviations from the published protocol"), Lines(lines)]
    return blocks


def methods_files(
    study: Mapping[str, Any],
    results: Mapping[str, Any],
    versions: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, Any]],
    simulated: bool,
) -> tuple[str, str]:
    """What methods.txt and references.bib hold.

    Args:
        study, results, versions, parameters: see `sections.report_sections`.
        simulated: whether the data are; the text says so then.
    """
    paragraphs, references = methods_paragraphs(study, results, versions, parameters), read_references()
    text = methods_text(paragraphs, references, deviations(study), simulated)
    return text, bibtex(cited(paragraphs), references)
