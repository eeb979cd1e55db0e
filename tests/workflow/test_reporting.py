"""What the tiny study's report says for a paper: methods, references and checklists, each pointing to what is there."""

import re

import pandas as pd
import pytest

LISTS = {"clear": 58, "metrics": 30, "ibsi": 104, "tripod_ai": 52}


@pytest.mark.parametrize("name", LISTS)
def test_every_proof_of_a_checklist_is_a_file_of_the_results(finished, name):
    table = pd.read_csv(finished.path(f"report/tables/checklist_{name}.csv"), keep_default_na=False, dtype=str)
    assert len(table) == LISTS[name]
    assert (table.loc[table["answer"] == "yes", "where"] != "").all()
    named = {file for where in table["where"] for file in where.split("; ") if file}
    assert named
    assert [file for file in sorted(named) if not finished.path(file).exists()] == []


def test_the_methods_text_cites_what_its_references_hold(finished):
    text = finished.path("report/methods.txt").read_text(encoding="utf-8")
    assert text.startswith("SIMULATED DATA")
    body, references = text.split("\nReferences\n")
    listed = re.findall(r"^\[(\d+)\] ", references, re.MULTILINE)
    assert {number for group in re.findall(r"\[([\d, ]+)\]", body) for number in group.split(", ")} == set(listed)
    entries = re.findall(r"^@\w+\{", finished.path("report/references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(entries) == len(listed)


def test_the_methods_text_has_the_numbers_of_this_study(finished):
    """Two raters, perturbed readings, the ring, and the counts of the flow."""
    text = finished.path("report/methods.txt").read_text(encoding="utf-8")
    last = pd.read_csv(finished.path("cohort/development/flow.csv")).iloc[-1]
    assert f"{last['patients']} simulated patients with {last['lesions']} lesions" in text
    assert "perturbed 2 times" in text
    assert "a ring of 4 mm around “lesion*”" in text
    assert "at a tube voltage of" in text


def test_checklists_stand_folded_in_the_report(finished):
    page = finished.path("report/report.html").read_text(encoding="utf-8")
    for name, count in {"CLEAR": 58, "METRICS": 30, "TRIPOD+AI": 52}.items():
        assert f"<summary>Show the {count} items of {name}</summary>" in page
    assert re.search(r"METRICS score: \d+\.\d% of the weight", page)
