import json

import pandas as pd
import pytest

from nenflow.documents import write_json
from nenflow.report.crate import describe_results
from research_object import faults

RUN = {"nenflow": "1.0", "commit": "a" * 40, "changed": False, "code": "d" * 64, "python": "3.11.7",
       "system": "Linux x86_64", "seed": 7, "simulated": True}  # fmt: skip
INPUTS = pd.DataFrame(
    [("settings of the study", None, None, 1, "e" * 64), ("images", "development", "P001", 17, "f" * 64)],
    columns=["input", "cohort", "patient", "files", "sha256"],
)
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture
def results(tmp_path):
    for name in ("report/report.html", "report/tables/a.csv", "images/development/P001/arterial.nii.gz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
    return tmp_path


def describe(folder):
    paths = [folder / name for name in ("report/report.html", "report/tables", "images/development/P001")]
    return describe_results({"title": "A <study>"}, RUN, INPUTS, paths, folder, "2026-01-31")


def entities(folder):
    return {entity["@id"]: entity for entity in describe(folder)["@graph"]}


@pytest.mark.parametrize("profile", ["ro-crate-1.1", "process-run-crate"])
def test_the_validator_finds_no_fault(results, profile, monkeypatch):
    write_json(describe(results), results / "ro-crate-metadata.json")
    assert faults(results, profile, monkeypatch) == []


def test_the_validator_would_find_one(results, monkeypatch):
    document = describe(results)
    for entity in document["@graph"]:
        entity.pop("license", None)
        entity.pop("datePublished", None)
    (results / "ro-crate-metadata.json").write_text(json.dumps(document))
    assert faults(results, "ro-crate-1.1", monkeypatch) != []


def test_files_have_their_checksums_and_folders_of_images_stand_for_themselves(results):
    found = entities(results)
    for name in ("report/report.html", "report/tables/a.csv"):
        assert (found[name]["sha256"], found[name]["contentSize"]) == (ABC, "3")
    assert found["images/development/P001/"]["@type"] == "Dataset"
    assert not any(name.endswith(".nii.gz") for name in found)


def test_it_tells_by_what_and_from_what(results):
    found = entities(results)
    action = found["#run"]
    assert [part["@id"] for part in action["object"]] == [
        "#settings-of-the-study",
        "#images-of-P001-in-the-cohort-development",
    ]
    assert found["#images-of-P001-in-the-cohort-development"]["sha256"] == "f" * 64
    assert "Seed 7" in action["description"]
    assert found["#nenflow"]["softwareVersion"] == f"1.0, commit {'a' * 40}"
    assert found["./"]["datePublished"] == "2026-01-31"


def test_it_holds_no_clock(results):
    assert describe(results) == describe(results)
