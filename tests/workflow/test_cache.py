"""Images and features shared between studies and users through Snakemake's cache between workflows."""

import os
import re
import shutil
from pathlib import Path

import pytest
from test_runs import real_study

from projects import Project, edit

PATIENTS = ("P001", "P003")
ALL = [*PATIENTS, *(f"original/{patient}{part}.csv" for patient in PATIENTS for part in ("", "_failures"))]


def made(output):
    """Files that a run computed and put into the cache; what it took from there is not among them."""
    return sorted(re.findall(r"Moving output file \S+/development/(\S+) to cache", output))


def cohort_files(study):
    """Bytes of a study's images and features, by name."""
    folder, found = study.project.folder / "results" / study.name, {}
    for stage in ("images", "features"):
        for root, _, names in os.walk(folder / stage, followlinks=True):  # into the cache, too
            for path in (Path(root) / name for name in names if name != ".snakemake_timestamp"):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


class Study:
    """A project with a study of which two patients' images and features are made, with or without the cache."""

    def __init__(self, project, name, cache):
        self.project, self.name, self.variables = project, name, {"SNAKEMAKE_OUTPUT_CACHE": str(cache)}

    def run(self, *options):
        """Make the tables; `--cache` comes last, since what follows it would be names of rules."""
        targets = [f"results/{self.name}/features/development/original/{patient}.csv" for patient in PATIENTS]
        return self.project.run(*targets, *options, **self.variables)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A study whose results were put into a cache, and a colleague's study on a copy of its scans, not yet run."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("cache", "own", "colleague"):
        (folder / name).mkdir()
    own, other = Project(folder / "own"), Project(folder / "colleague")
    own.run("results/tiny/simulation/development/cases.csv")
    files, scans = real_study(own), folder / "scans"
    shutil.copytree(files, scans)  # with other times
    study = other.folder / "config/studies/again"
    shutil.copytree(own.folder / "config/studies/tiny", study)

    def change(settings):
        tables = {name: str(scans / f"{name}.csv") for name in ("patients", "lesions", "cases")}
        settings |= {"title": "The same scans again", "seed": 2}
        settings["cohorts"]["development"] = tables | {"data": str(scans)}

    edit(study / "study.yaml", change)
    other.choose("again")
    first = Study(own, "tiny", folder / "cache")
    assert made(first.run("--cache")) == ALL
    return first, Study(other, "again", folder / "cache"), scans


def test_a_second_study_on_the_same_scans_extracts_nothing(pair):
    first, second, _ = pair
    assert made(second.run("--cache")) == []
    assert cohort_files(second) == cohort_files(first)
    for study in (first, second):
        assert "Nothing to be done" in study.run("--cache")
        assert "Nothing to be done" in study.run()  # nor without the cache


def test_another_slice_or_setting_takes_nothing_of_its_patient_from_the_cache(pair):
    """Runs after the test above, on its results."""
    _, second, scans = pair
    changed = min((scans / "dicom/P003/arterial").glob("*.dcm"))
    content = bytearray(changed.read_bytes())
    content[-2] ^= 1  # one grey value of one slice
    changed.write_bytes(content)
    assert made(second.run("--cache")) == ["P003", "original/P003.csv", "original/P003_failures.csv"]
    settings = second.project.folder / "config/studies/again/study.yaml"
    edit(settings, lambda study: study["images"].update(minimum_volume_mm3=600))
    assert made(second.run("--cache")) == ALL
