"""The methods text of a study: paragraphs for the paper from its settings, results and software, with citations.

Sentences cite as [@Key; @Key]; keys stand in references.yaml. The text numbers them in the order of their first
mention, lists them at its end, and a BibTeX file holds the same ones.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nenflow.report.methods_images import (
    cohort_sentences,
    extraction_sentences,
    image_sentences,
    stability_sentences,
)
from nenflow.report.methods_models import (
    marker_sentences,
    model_sentences,
    survival_sentences,
    validation_sentences,
)
from nenflow.report.wording import listed

REFERENCES = Path(__file__).with_name("references.yaml")
_CITED = re.compile(r"\[@([^\]]+)\]")
_IMAGING = {"pyradiomics-bhklab", "SimpleITK", "pydicom", "highdicom"}  # of studies that read images
_ELSEWHERE = {"nenflow", "snakemake", "imbalanced-learn"}  # named where they are used
_KINDS = {"journal": "article", "booktitle": "inproceedings", "publisher": "book"}
SIMULATED = "SIMULATED DATA: no patient is in this study; its figures say nothing about a treatment."

Paragraphs = list[tuple[str, str]]


def read_references(path: str | Path = REFERENCES) -> dict[str, dict[str, Any]]:
    """Publications by key: authors, title, year, and journal, booktitle or publisher, as far as known the rest."""
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def methods_paragraphs(
    study: Mapping[str, Any],
    results: Mapping[str, Any],
    versions: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, Any]],
) -> Paragraphs:
    """Pairs of heading and paragraph with citations by key; a paragraph without a sentence is left out.

    Args:
        study, results, versions, parameters: see `sections.report_sections`.
    """
    paragraphs = {
        "Patients and outcome": cohort_sentences(study, results),
        "Images and segmentation": image_sentences(study, results),
        "Feature extraction": extraction_sentences(study, results, parameters, versions),
        "Feature stability": stability_sentences(study, results),
        "Single features": marker_sentences(study),
        "Survival": survival_sentences(study),
        "Models": model_sentences(study, results),
        "Performance and validation": validation_sentences(study, results),
        "Software and reporting": _software(study, versions),
    }
    return [(heading, " ".join(sentences)) for heading, sentences in paragraphs.items() if sentences]


def _software(study: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    left_out = _ELSEWHERE if "images" in study else _ELSEWHERE | _IMAGING
    names = [f"{name} {version}" for name, version in versions.items() if name not in left_out]
    snakemake = f" {versions['snakemake']}" if "snakemake" in versions else ""
    workflow = f"nenflow {versions['nenflow']}" if "nenflow" in versions else "nenflow"
    sentences = [
        f"All analyses were run by {workflow}, a workflow in Snakemake{snakemake} [@Moelder2021]"
        + (f", with {listed(names)}." if names else "."),
        "It builds on NumPy [@Harris2020], SciPy [@Virtanen2020] and scikit-learn [@Pedregosa2011].",
        f"All random draws follow from the seed {study['seed']}.",
    ]
    radiomics, models = "extractions" in study, bool(study.get("models"))
    lists = (
        ["CLEAR [@Kocak2023]", "METRICS [@Kocak2024]", "the IBSI's guidelines [@Zwanenburg2020]"] if radiomics else []
    ) + (["TRIPOD+AI [@Collins2024]"] if models else [])
    if lists:
        sentences.append(f"Answers to the items of {listed(lists)} were derived from what was run.")
    return sentences


def cited(paragraphs: Paragraphs) -> list[str]:
    """The keys of all citations in the order of their first mention."""
    found = [key for _, text in paragraphs for match in _CITED.finditer(text) for key in _keys(match)]
    return list(dict.fromkeys(found))


def numbered(paragraphs: Paragraphs) -> Paragraphs:
    """The paragraphs with numbers in the place of keys: [1], [2, 3]."""
    numbers = {key: number for number, key in enumerate(cited(paragraphs), start=1)}

    def number(match: re.Match[str]) -> str:
        return f"[{', '.join(str(numbers[key]) for key in _keys(match))}]"

    return [(heading, _CITED.sub(number, text)) for heading, text in paragraphs]


def _keys(match: re.Match[str]) -> list[str]:
    return [part.strip().removeprefix("@") for part in match.group(1).split(";")]


def methods_text(
    paragraphs: Paragraphs, references: Mapping[str, Mapping[str, Any]], deviations: Sequence[str], simulated: bool
) -> str:
    """report/methods.txt: the paragraphs, the statement of deviations where there is one, and the references."""
    parts = [SIMULATED] if simulated else []
    parts += [f"{heading}\n{text}" for heading, text in numbered(paragraphs)]
    if deviations:
        parts.append("\n".join(["Deviations from the published protocol", *(f"- {line}" for line in deviations)]))
    listed_references = reference_lines(cited(paragraphs), references)
    parts.append("\n".join(["References", *listed_references]))
    return "\n\n".join(parts) + "\n"


def reference_lines(keys: Sequence[str], references: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The list of references, numbered, as Vancouver has them."""
    return [f"[{number}] {reference_text(references[key])}" for number, key in enumerate(keys, start=1)]


def reference_text(entry: Mapping[str, Any]) -> str:
    """One reference as Vancouver has it."""
    where = entry.get("journal") or entry.get("booktitle") or entry.get("publisher")
    edition = f" {entry['edition']} ed." if "edition" in entry else ""
    issue = f"({entry['number']})" if "number" in entry else ""
    volume = f";{entry['volume']}{issue}" if "volume" in entry else ""
    pages = f":{entry['pages']}" if "pages" in entry else ""
    doi = f" doi:{entry['doi']}" if "doi" in entry else ""
    return f"{', '.join(entry['authors'])}. {entry['title']}.{edition} {where}. {entry['year']}{volume}{pages}.{doi}"


def bibtex(keys: Sequence[str], references: Mapping[str, Mapping[str, Any]]) -> str:
    """report/references.bib: the same references for a reference manager."""
    return "\n".join(_entry(key, references[key]) for key in sorted(keys))


def _entry(key: str, reference: Mapping[str, Any]) -> str:
    kind = next(kind for field, kind in _KINDS.items() if field in reference)
    # Braces keep the capitals of names and abbreviations that BibTeX styles would lower.
    fields = {"author": " and ".join(map(_author, reference["authors"])), "title": f"{{{reference['title']}}}"}
    fields |= {name: str(value) for name, value in reference.items() if name not in ("authors", "title")}
    if "pages" in fields:
        fields["pages"] = fields["pages"].replace("-", "--")
    return "\n".join([f"@{kind}{{{key},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}\n"])


def _author(name: str) -> str:
    """An author as BibTeX has it: "van Griethuysen, J. J. M." of "van Griethuysen JJM"."""
    if name == "et al":
        return "others"
    words = name.split()
    suffix = [words.pop()] if words[-1] in ("Jr", "Sr") else []
    initials = " ".join(f"{letter}." for letter in words.pop())
    return ", ".join([" ".join(words), *suffix, initials])
