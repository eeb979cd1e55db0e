"""What planning a large study costs, beside a bare Snakefile with the same jobs and files.

Run as `python benchmarks/planning.py` (100, 1,000 and 10,000 patients), or with `--patients 100` for a quick look. A
study with one extraction and single features is made of stand-in files: a folder of three slices and a segmentation
for each patient, a few bytes each. Nothing of it is computed: results are empty files, which Snakemake is made to take
for finished (`--touch`; what it notes of the first patient is copied for the others). The bare Snakefile is written
from the study's own plan: the same rules, inputs, outputs and logs, without a function, a parameter or a checkpoint.

Both take turns; times are CPU seconds of the whole command, the least of some repetitions (one with 10,000 patients).
The last line printed is the largest ratio at the largest study.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
SLICES = 3
PATIENT = re.compile(r"P[0-9]{5}")
WRITTEN = 1_700_000_000  # when every stand-in was written, in seconds; the same for all, so that notes can be copied
REPEATS = {100: 5, 1000: 3}  # of a measurement; larger studies are measured once
PARAMETERS = "setting: {binWidth: 25, resampledPixelSpacing: [1, 1, 1]}\nimageType: {Original: {}}\n"
STUDY = {
    "title": "A study of stand-in files",
    "seed": 1,
    "strict": False,
    "unit": "patient",
    "cohorts": {"development": {"patients": "patients.csv", "cases": "cases.csv", "data": "${STUDY_DATA}"}},
    "variables": {
        "response": {"label": "Response", "level": "patient", "type": "categorical", "levels": ["no", "yes"]},
    },
    "endpoints": {"response": {"variable": "response", "event": "yes"}},
    "images": {"minimum_volume_mm3": 500},
    "extractions": {"original": {"parameters": "original.yaml"}},
    "stability": {"readings": {"reference": "reader1"}},
    "markers": {"endpoint": "response", "extraction": "original", "phase": "arterial"},
}


class Cost(NamedTuple):
    """CPU seconds and peak memory (MiB) of one command."""

    seconds: float
    memory: float


class Project:
    """A folder in which Snakemake runs."""

    def __init__(self, folder: Path, data: Path):
        self.folder = folder
        self.environment = os.environ | {"STUDY_DATA": str(data)}

    def run(self, *options: str) -> Cost:
        """Run Snakemake; what it prints goes to output.txt."""
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nocolor", *options]
        with (self.folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\n{self.output()[-3000:]}")
        return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)

    def output(self) -> str:
        """What the last run printed."""
        return (self.folder / "output.txt").read_text(encoding="utf-8")


def write_data(data: Path, patients: list[str]) -> None:
    """Stand-ins for each patient's series and segmentation."""
    for patient in patients:
        series = data / patient / "arterial"
        series.mkdir(parents=True)
        for number in range(SLICES):
            (series / f"{number}.dcm").write_text(f"slice {number}")
        (data / patient / "seg.dcm").write_text("segmentation")
        for path in [*series.iterdir(), series, data / patient / "seg.dcm"]:
            os.utime(path, (WRITTEN, WRITTEN))


def write_workflow(folder: Path, study: dict, files: dict[str, str]) -> None:
    """A copy of the workflow with one study, named large, and the files of its folder."""
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    own = folder / "config/studies/large"
    own.mkdir(parents=True)
    (folder / "config/config.yaml").write_text("studies: [large]\n")
    for name, text in ({"study.yaml": yaml.safe_dump(study, sort_keys=False)} | files).items():
        (own / name).write_text(text)


def write_study(folder: Path, patients: list[str]) -> None:
    """A copy of the workflow with a study of these patients."""
    rows = [f"{patient},{'yes' if number % 2 else 'no'}" for number, patient in enumerate(patients)]
    files = {"original.yaml": PARAMETERS, "patients.csv": "\n".join(["patient,response", *rows, ""])}
    rows = [f"{patient},arterial,lesion,reader1,{patient}/arterial,{patient}/seg.dcm" for patient in patients]
    files["cases.csv"] = "\n".join(["patient,phase,region,rater,image,segmentation", *rows, ""])
    write_workflow(folder, STUDY, files)


class Job(NamedTuple):
    """A job of a plan: its rule and its files."""

    rule: str
    input: list[str]
    output: list[str]
    log: list[str]


def read_plan(text: str) -> list[Job]:
    """The jobs that a dry run printed."""
    jobs = []
    for block in re.split(r"\n(?=(?:local)?(?:rule|checkpoint) )", text)[1:]:
        lines = dict(re.findall(r"^ +(input|output|log): (.*)$", block, flags=re.MULTILINE))
        lines = {name: re.sub(r" \([^)]*\)$", "", files).split(", ") for name, files in lines.items()}
        rule = re.match(r"(?:local)?(?:rule|checkpoint) (\w+):", block)[1]
        jobs.append(Job(rule, *(lines.get(name, []) for name in ("input", "output", "log"))))
    return jobs


def bare_rules(jobs: list[Job]) -> str:
    """A Snakefile with the same rules and files; patients are its only wildcard."""
    rules = {}
    for job in jobs:
        rules.setdefault(job.rule, job)
    text = ['PATIENTS = open("patients.txt").read().split()', ""]
    for rule, job in sorted(rules.items(), key=lambda item: item[0] != "all"):
        single = not any("{patient}" in PATIENT.sub("{patient}", file) for file in job.output)
        lines = [f"rule {rule}:"]
        for name in ("input", "output", "log"):
            files = dict.fromkeys(PATIENT.sub("{patient}", file) for file in getattr(job, name))
            lines += [f"    {name}:"] if files else []
            for file in files:
                if name == "input" and single and "{patient}" in file:
                    lines.append(f'        expand("{file}", patient=PATIENTS),')
                else:
                    folder = name == "output" and not Path(file).suffix
                    lines.append(f'        directory("{file}"),' if folder else f'        "{file}",')
        text += [*lines, *(['    script:\n        "nothing.py"'] if rule != "all" else []), ""]
    return "\n".join(text)


def finish(project: Project, jobs: list[Job], patients: list[str]) -> None:
    """Empty files for all that the jobs make, and Snakemake's notes that they are done."""
    for file in [project.folder / file for job in jobs for file in job.output]:
        (file.parent if file.suffix else file).mkdir(parents=True, exist_ok=True)
        if file.suffix:
            file.touch()
    first, *others = patients
    templates = [file for job in jobs for file in job.output if not PATIENT.search(file) or first in file]
    project.run("--touch", "--force", *templates)
    notes = project.folder / ".snakemake/metadata"
    for file in (file for file in templates if first in file):
        note = (notes / note_name(file)).read_text()
        for patient in others:
            (notes / note_name(file.replace(first, patient))).write_text(note.replace(first, patient))


def note_name(file: str) -> str:
    """How Snakemake calls what it notes of a file."""
    return urlsafe_b64encode(file.encode()).decode()


def measure(folder: Path, count: int) -> dict[str, dict[str, Cost]]:
    """The cost of each kind of planning for a study of so many patients, by who plans."""
    patients = [f"P{number:05d}" for number in range(1, count + 1)]
    data = folder / "data"
    write_data(data, patients)
    ours, bare = Project(folder / "ours", data), Project(folder / "bare", data)
    write_study(ours.folder, patients)
    ours.run("--until", "check_cohort")
    ours.run("--dry-run")
    jobs = read_plan(ours.output())
    bare.folder.mkdir()
    (bare.folder / "patients.txt").write_text("\n".join(patients))
    (bare.folder / "nothing.py").touch()
    (bare.folder / "Snakefile").write_text(bare_rules(jobs))
    for name in ("config", "profiles"):
        shutil.copytree(ours.folder / name, bare.folder / name)
    for file in {file for job in jobs for file in job.input} - {file for job in jobs for file in job.output}:
        if not os.path.isabs(file) and not (bare.folder / file).exists():
            (bare.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (bare.folder / file).touch()
    sides = {"nenflow": ours, "bare": bare}
    for side in sides.values():
        side.run("--dry-run")
    check_same(sides)
    costs = {}

    def compare(what: str, *options: str, redrawn: bool = False) -> None:
        runs = {name: [] for name in sides}
        for turn in range(REPEATS.get(count, 1)):
            for name, side in sides.items():
                if redrawn:
                    (data / patients[0] / "seg.dcm").write_text(f"segmentation redrawn for {what}, {name}, {turn}")
                runs[name].append(side.run(*options))
        costs[what] = {name: min(found) for name, found in runs.items()}

    compare("dry run of everything", "--dry-run")
    for side in sides.values():
        finish(side, jobs, patients)
    compare("run with nothing to do")
    assert all("Nothing to be done" in side.output() for side in sides.values())
    compare("dry run, one patient's segmentation redrawn", "--dry-run", redrawn=True)
    assert 2 < check_same(sides) < count
    compare("run, one patient's segmentation redrawn", "--touch", redrawn=True)
    return costs


def check_same(sides: dict[str, Project]) -> int:
    """The number of jobs in the last plan, which must be the same on both sides, down to each file."""
    plans = []
    for side in sides.values():
        jobs = read_plan(side.output())
        plans.append(sorted([job.rule, *(sorted(part) for part in job[1:])] for job in jobs))
    if plans[0] != plans[1]:
        sys.exit("The bare Snakefile has another plan.")
    return len(plans[0])


def main() -> None:
    """Print a table, and the largest ratio at the largest study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, nargs="+", default=[100, 1000, 10000])
    print("| patients | | nenflow, CPU s | bare, CPU s | ratio | nenflow, MiB | bare, MiB |")
    print("|---|---|---|---|---|---|---|")
    for count in parser.parse_args().patients:
        ratios = []
        with tempfile.TemporaryDirectory() as folder:
            for what, cost in measure(Path(folder), count).items():
                ours, bare = cost["nenflow"], cost["bare"]
                ratios.append(ours.seconds / bare.seconds)
                cells = [f"{count:,}", what, f"{ours.seconds:.1f}", f"{bare.seconds:.1f}", f"{ratios[-1]:.2f}"]
                print("|", " | ".join([*cells, f"{ours.memory:.0f}", f"{bare.memory:.0f}"]), "|", flush=True)
    print(f"{max(ratios):.2f}")


if __name__ == "__main__":
    main()
