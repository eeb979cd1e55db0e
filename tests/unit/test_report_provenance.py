import subprocess

import pandas as pd

from nenflow.report.provenance import PATIENT, code_state, inputs_table, software_table, without_folders
from nenflow.report.sections_provenance import provenance_blocks

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def git(folder, *command):
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", folder, *who, *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def project(folder):
    (folder / "workflow").mkdir(parents=True)
    (folder / "Snakefile").write_text("rule all:\n")
    (folder / "workflow/code.py").write_text("x = 1\n")
    return folder


def test_of_paths_outside_the_study_only_the_last_part_is_kept():
    settings = {"cohorts": {"development": {"data": "/data/Doe, Jane/scans", "patients": "${HOME}/doe/patients.csv"}},
                "steps": [{"file": "../doe/model.json"}, {"p": 0.1}], "notes": ["and/or"]}  # fmt: skip
    assert without_folders(settings) == {
        "cohorts": {"development": {"data": "scans", "patients": "patients.csv"}},
        "steps": [{"file": "model.json"}, {"p": 0.1}],
        "notes": ["and/or"],
    }


def test_the_commit_and_changes_since_are_told(tmp_path):
    folder = project(tmp_path / "project")
    assert code_state(folder, "1.0")["commit"] is None  # no repository
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    clean = code_state(folder, "1.0")
    assert clean["commit"] == git(folder, "rev-parse", "HEAD")
    assert clean["changed"] is False
    (folder / "workflow/code.py").write_text("x = 2\n")
    edited = code_state(folder, "1.0")
    assert (edited["commit"], edited["changed"]) == (clean["commit"], True)
    assert edited["code"] != clean["code"]


def test_the_commit_of_a_repository_around_the_project_is_not_its_own(tmp_path):
    folder = project(tmp_path / "project")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "a hospital's repository")
    assert code_state(folder, "1.0")["commit"] is None


def test_inputs_are_named_by_what_they_are(tmp_path):
    (tmp_path / "Doe.csv").write_bytes(b"abc")
    patients = {"development": {"P001": pd.DataFrame({"files": [17], "sha256": ["f" * 64]})}}
    table = inputs_table({"patients of the cohort development": [str(tmp_path / "Doe.csv")]}, patients)
    assert table.to_numpy().tolist() == [
        ["patients of the cohort development", "", "", 1, ABC],
        [PATIENT, "development", "P001", 17, "f" * 64],
    ]


def test_installed_packages_have_the_versions_that_they_say():
    versions = software_table().set_index("software")["version"]
    assert versions["pandas"] == pd.__version__


def test_the_report_says_what_it_was_made_from_and_by(tmp_path):
    run = {"nenflow": "1.0", "commit": "abc1" * 10, "changed": True, "code": "d" * 64, "python": "3.11.7",
           "system": "Linux x86_64", "seed": 1, "simulated": False}  # fmt: skip
    rows = [("settings of the study", "", "", 1, ABC)]
    rows += [(PATIENT, "development", f"P00{n}", 10 + n, "f" * 64) for n in (1, 2)]
    inputs = pd.DataFrame(rows, columns=["input", "cohort", "patient", "files", "sha256"])
    text, table = provenance_blocks({"provenance/run.json": run, "provenance/inputs.csv": inputs})
    assert "commit abc1abc1abc1, with changes since" in text.text
    assert table.table.to_numpy().tolist() == [
        ["settings of the study", "1 file", "ba7816bf8f01…"],
        [f"{PATIENT} of 2 patients of the cohort development", "23 files", "patient by patient in the file"],
    ]
    assert table.full is inputs
    assert provenance_blocks({}) == []
