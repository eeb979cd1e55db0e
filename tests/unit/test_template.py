"""The template of new studies: valid, with every key of the schema in it, and copied by `make new-study`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from nenflow.errors import InputError
from nenflow.features.extraction import read_parameters
from nenflow.study import load_study, violations
from nenflow.template import main, new_study

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "config/studies/template"
SCHEMAS = ROOT / "workflow/schemas"
SCHEMA = yaml.safe_load((SCHEMAS / "study.schema.yaml").read_text(encoding="utf-8"))
TEXT = (TEMPLATE / "study.yaml").read_text(encoding="utf-8")
OFF = re.compile(r"( *)#(?! \S)(?=.*\S)(.*)")  # a setting that is switched off, or a line of its block
HEAD = re.compile(r" *#\S")


def switched_on(text, chosen):
    """The template with one of its blocks switched on; a block is a line that begins with "#", and what it holds."""
    lines, number = [], -1
    for line in text.splitlines():
        number += bool(HEAD.match(line))
        off = OFF.fullmatch(line)
        lines.append("".join(off.groups()) if off and number == chosen else line)
    return "\n".join(lines)


HEADS = [line.split("#")[1].strip() for line in TEXT.splitlines() if HEAD.match(line)]


def resolved(part):
    reference = part.get("$ref", "").removeprefix("#/$defs/")
    return {**SCHEMA["$defs"][reference], **part} if reference else part


def keys(part, content=None, place=""):
    """Places of all keys that a part of the schema knows; with a content, of those that it has."""
    part = resolved(part)
    properties, others = part.get("properties", {}), part.get("additionalProperties")
    for key, inner in properties.items():
        if content is None or (isinstance(content, dict) and key in content):
            yield f"{place}/{key}"
            yield from keys(inner, None if content is None else content[key], f"{place}/{key}")
    if isinstance(others, dict):
        for inner in [None] if content is None else [value for key, value in content.items() if key not in properties]:
            yield from keys(others, inner, f"{place}/*")
    if "items" in part and (content is None or isinstance(content, list)):
        for inner in [None] if content is None else content:
            yield from keys(part["items"], inner, f"{place}/-")


def test_the_template_is_a_valid_study():
    study = load_study(TEMPLATE / "study.yaml", SCHEMAS)
    for extraction in study["extractions"].values():
        assert read_parameters(TEMPLATE / extraction["parameters"])["imageType"] == {"Original": {}}


@pytest.mark.parametrize("number", range(len(HEADS)), ids=HEADS)
def test_what_is_switched_off_is_valid_once_it_is_switched_on(number):
    content = yaml.safe_load(switched_on(TEXT, number))
    assert list(violations(content, SCHEMA, "study.yaml")) == []
    assert content != yaml.safe_load(TEXT)


def test_every_key_of_the_schema_is_in_the_template():
    shown = {place for number in range(len(HEADS)) for place in keys(SCHEMA, yaml.safe_load(switched_on(TEXT, number)))}
    missing = sorted(set(keys(SCHEMA)) - shown)
    assert missing == [], f"config/studies/template/study.yaml lacks {', '.join(missing)}"


def test_its_tables_have_the_columns_of_its_study():
    study = load_study(TEMPLATE / "study.yaml", SCHEMAS)
    for kind, first in (("patients", ["patient"]), ("lesions", ["patient", "region"])):
        columns = [name for name, variable in study["variables"].items() if f"{variable['level']}s" == kind]
        header, *rows = (TEMPLATE / f"{kind}.csv").read_text().splitlines()
        assert (sorted(header.split(",")), rows) == (sorted([*first, *columns]), [])


@pytest.fixture
def studies(tmp_path, monkeypatch):
    shutil.copytree(TEMPLATE, tmp_path / "config/studies/template")
    (tmp_path / "config/studies/Taken").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config/studies"


def test_a_new_study_is_the_template_under_another_name(studies, capsys):
    assert main(["my-study"]) == 0
    assert load_study(studies / "my-study/study.yaml", SCHEMAS) == load_study(TEMPLATE / "study.yaml", SCHEMAS)
    printed = capsys.readouterr().out
    assert [line[:2] for line in printed.splitlines()] == ["Th", "1.", "2.", "3."]
    assert "make study STUDY=my-study" in printed


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("taken", "There is a study Taken in config/studies already; choose another name."),
        ("template", "There is a study template in config/studies already; choose another name."),
        *(
            (name, "A study's name consists of letters, digits and '-', at most 40, such as NAME=my-study.")
            for name in ("", "my_study", "my study", "../mine", "a/b", "x" * 41, "ü")
        ),
    ],
)
def test_a_name_that_is_taken_or_ill_formed_is_refused(studies, capsys, name, sentence):
    before = sorted(studies.iterdir())
    with pytest.raises(InputError, match=re.escape(sentence)):
        new_study(name)
    assert main([name]) == 1
    assert capsys.readouterr().err.strip() == sentence
    assert sorted(studies.iterdir()) == before


def test_make_hands_the_name_on():
    done = subprocess.run(["make", "-n", "new-study", "NAME=my-study"], cwd=ROOT, capture_output=True, text=True)
    assert 'python -m nenflow.template "my-study"' in done.stdout
