"""What goes wrong around a run: after it is mended and run again, results are the bytes of a run without disturbance.

`make test-faults` runs it; a study of eight patients from simulated files to its cohort flow.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from nenflow.logs import TRIES
from projects import ROOT, Project, assert_same, edit

pytestmark = pytest.mark.slow

TARGET = "results/tiny/cohort/development/flow.csv"
PATIENTS = [f"P{number:03}" for number in range(1, 9)]
STAGES = ("cohort", "images", "features")
KILLS = 10  # in each of the rounds
ROUNDS = (1, 2, 3)  # their seeds
LATEST = 2.0  # seconds from the first job of a run to its kill, at most
DAY = 86_400
NAME = 15  # letters of its name that the system keeps of a process
SMALL, LARGE = "300k", "64m"  # disks on which one patient's images do not fit, and on which all fit


class Study(Project):
    """The tiny study without its models: jobs of each patient, and tables of all."""

    def __init__(self, folder):
        super().__init__(folder)

        def shorten(study):
            for name in ("models", "evaluation"):
                del study[name]
            del study["extractions"]["standard"]
            study["stability"] = {"readings": {"reference": "reader1"}}
            study["markers"] = {"endpoint": "response", "extraction": "original", "phase": "arterial"}

        edit(folder / "config/studies/tiny/study.yaml", shorten)

    def command(self, *options, cores=2):
        return [*super().command(cores=cores), TARGET, *options]

    def start(self):
        return subprocess.Popen(
            self.command(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def undo(self, *patients, images=True):
        """Remove what was made of some patients, and all tables: a missing file in between would not be missed."""
        for patient in patients:
            if images:
                shutil.rmtree(self.path(f"images/development/{patient}"), ignore_errors=True)
            for table in self.path("features/development/original").glob(f"{patient}*.csv"):
                table.unlink()
        for stage in ("images", "features"):
            for table in self.path(f"{stage}/development").glob("*.csv"):
                table.unlink()
        (self.folder / TARGET).unlink(missing_ok=True)

    def excluded(self):
        return self.path("cohort/development/exclusions.csv").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    study = Study(tmp_path_factory.mktemp("undisturbed"))
    study.run()
    return study


@pytest.fixture
def study(undisturbed, tmp_path):
    """A finished study of one's own."""
    shutil.copytree(undisturbed.folder, tmp_path / "study", symlinks=True)
    study = object.__new__(Study)
    study.folder = tmp_path / "study"
    return study


def failures(output):
    """The lines of a run's end that say what failed and why."""
    return output[output.index("Failed: ") :]


def assert_excluded_once(study, undisturbed, output, reason):
    """A run excluded one patient alone, by name and with the reason, and the next one has it again."""
    assert "P003 lesion1" in output  # among those who were excluded, at the end of the run
    assert f"P003,lesion1,{reason}" in study.excluded()
    assert "P001" not in study.excluded()
    study.run()
    assert_same(study, undisturbed, *STAGES)
    assert "Nothing to be done" in study.run()


# Kills


def workers(run, name=""):
    """Process numbers of the scripts that a run has started: of all, or of one name."""
    return [job for parent in children(run.pid) for job in children(parent) if name[:NAME] in process_name(job)]


def children(number):
    """Process numbers of the children of a process, whichever of its threads started them."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        for thread in Path(f"/proc/{number}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def process_name(number):
    """The name of a process, as far as the system keeps it; empty where it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{number}/comm").read_text().strip()
    return ""


def kill(numbers):
    """Kill processes, of which some may have ended."""
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def kill_at_random(study, draw):
    """Start a run and kill it, it and its jobs, one of its jobs, or what these are forked off, at a random moment."""
    run = study.start()
    while run.poll() is None and not workers(run):
        time.sleep(0.1)
    time.sleep(draw.uniform(0, LATEST))
    match draw.choice(["snakemake", "both", "job", "parent"]):
        case "snakemake":  # its jobs live on, and write while the next run does
            run.kill()
        case "both":
            with suppress(ProcessLookupError):  # it has ended by now
                os.killpg(run.pid, signal.SIGKILL)
        case "job":
            kill(workers(run)[:1])
            run.communicate()
        case "parent":  # its jobs live on here too
            kill(children(run.pid))
            run.communicate()
    run.stdout.close()
    run.wait()
    shutil.rmtree(study.folder / ".snakemake/locks", ignore_errors=True)  # as make unlock does


@pytest.mark.parametrize("seed", ROUNDS)
def test_runs_killed_at_random_moments_end_in_the_same_bytes(study, undisturbed, seed):
    draw = random.Random(seed)
    study.undo(*PATIENTS)
    for _ in range(KILLS):
        study.undo(draw.choice(PATIENTS))  # so that the next run has jobs to be killed in
        kill_at_random(study, draw)
    study.run()
    assert_same(study, undisturbed, *STAGES)


def kill_jobs(study, name, tries=1):
    """Run a study and kill a job whenever it is tried; the run, and what it printed."""
    run = study.start()
    for _ in range(tries):
        while run.poll() is None and not (found := begun(study, run, name)):
            time.sleep(0.001)  # some jobs take no longer than a twentieth of a second
        os.kill(found[0], signal.SIGKILL)
        while found[0] in workers(run, name):
            time.sleep(0.05)
    return run, run.communicate()[0]


def begun(study, run, name):
    """Process numbers of the jobs of a rule; those of a patient count once their script has begun."""
    marked = name == "gather_images" or list((study.folder / "logs").rglob(f"{name}_*.running"))
    return workers(run, name) if marked else []


def test_a_job_that_is_killed_once_is_done_again(study, undisturbed):
    study.undo("P003")
    run, output = kill_jobs(study, "import_images")
    assert run.returncode == 0, output
    assert_same(study, undisturbed, *STAGES)


@pytest.mark.parametrize(("job", "stage"), [("import_images", "images"), ("extract_features", "features")])
def test_a_patient_whose_jobs_are_killed_is_excluded_by_name_and_tried_again(study, undisturbed, job, stage):
    study.undo("P003")
    run, output = kill_jobs(study, job, TRIES)
    assert run.returncode == 0, output
    assert_excluded_once(
        study, undisturbed, output, f'{stage},"The job was stopped, as a system does whose memory runs out'
    )


def test_a_job_of_all_patients_that_is_killed_is_named(study, undisturbed):
    study.undo()
    run, output = kill_jobs(study, "gather_images")
    assert run.returncode != 0
    assert "gather_images, study tiny, cohort development\n  it was stopped without a message" in failures(output)
    study.run()
    assert_same(study, undisturbed, *STAGES)


def test_a_second_run_at_the_same_time_is_refused(study, undisturbed):
    study.undo(*PATIENTS)
    first = study.start()
    while not workers(first):
        time.sleep(0.1)
    assert "cannot be locked" in study.run(check=False)
    first.communicate()
    assert first.returncode == 0
    assert_same(study, undisturbed, *STAGES)


# Disk, files, memory, clock


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(study, undisturbed):
    study.undo(*PATIENTS)
    images = study.path("images")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", images], check=True)
    try:
        output = study.run(check=False)
        assert "patient P0" in failures(output)
        assert "The disk is full: make room" in failures(output)
        subprocess.run(["mount", "-o", f"remount,size={LARGE}", images], check=True)
        study.run()
        assert_same(study, undisturbed, *STAGES)
    finally:
        subprocess.run(["umount", images], check=True)


def test_a_lost_segmentation_excludes_its_case_until_it_is_back(study, undisturbed):
    segmentation = next(study.path("simulation/development/dicom/P003").glob("*_reader1.dcm"))
    kept = segmentation.with_suffix(".kept")
    segmentation.rename(kept)
    assert "P003" in study.run()
    assert "P003,lesion1,images,The segmentation does not exist" in study.excluded()
    kept.rename(segmentation)
    study.run()
    assert_same(study, undisturbed, *STAGES)


# Stands in for a machine without memory, or a folder without permission, where a scan is opened.
NO_MEMORY, NO_PERMISSION = "raise MemoryError", "raise PermissionError(13, 'Permission denied')"
REFUSING = """\
import sys


imported = []  # then files are only digested, for which memory suffices


def refuse(event, arguments):
    if event == "open" and "{job}" in sys.argv[0]:
        if "readings.csv" in str(arguments[0]):
            imported.append(True)
        if str(arguments[0]).endswith("{ending}") and not imported:
            {how}


sys.addaudithook(refuse)
"""


@pytest.mark.parametrize(
    ("job", "ending", "how", "reason"),
    [
        ("import_images", ".dcm", NO_MEMORY, 'images,"Memory ran out'),
        ("import_images", ".dcm", NO_PERMISSION, "images,The DICOM series cannot be opened"),
        ("extract_features", ".nii.gz", NO_MEMORY, "features,"),
    ],
)
def test_a_patient_for_whom_the_machine_fails_is_excluded_and_tried_again(
    study, undisturbed, tmp_path, job, ending, how, reason
):
    (tmp_path / "sitecustomize.py").write_text(REFUSING.format(job=job, ending=ending, how=how))
    study.undo("P003")  # so that only this patient's jobs run
    output = study.run(PYTHONPATH=str(tmp_path))
    assert_excluded_once(study, undisturbed, output, reason)


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: whole[:-3000] + bytes(3000)])
def test_a_damaged_volume_of_the_images_stage_is_noticed(study, undisturbed, damage):
    folder = study.path("images/development/P003")
    volume = folder / "arterial.nii.gz"
    volume.write_bytes(damage(volume.read_bytes()))
    study.undo("P001", "P003", images=False)
    output = failures(study.run(check=False))
    assert "extract_features, study tiny, cohort development, patient P003" in output.replace(
        ", extraction original", ""
    )
    assert "is damaged or gone: delete that folder" in output
    assert study.path("features/development/original/P001.csv").exists()  # the others go on
    study.undo("P003")
    study.run()
    assert_same(study, undisturbed, *STAGES)


def test_a_damaged_feature_table_is_noticed(study):
    table = study.path("features/development/original.parquet")
    whole = table.read_bytes()
    table.write_bytes(whole[:-100])
    output = failures(study.run("results/tiny/evaluation/markers.csv", check=False))
    assert "original.parquet is damaged or gone: delete it" in output
    table.unlink()
    study.run("results/tiny/evaluation/markers.csv")
    assert table.read_bytes() == whole


@pytest.mark.parametrize("days", [2, -20_000])
def test_a_clock_that_jumps_changes_no_result(study, undisturbed, days):
    for file in study.path("simulation/development/dicom/P003").rglob("*.dcm"):
        times = file.stat()
        os.utime(file, (times.st_atime, times.st_mtime + days * DAY))
    assert study.planned()["import_images"] == 1
    study.run()
    assert_same(study, undisturbed, *STAGES)
    assert "Nothing to be done" in study.run()


def test_a_run_goes_on_after_its_clock_was_set_back(study, undisturbed):
    later = time.time() + DAY
    for file in [*study.path("").rglob("*"), *study.path("").rglob(".snakemake_timestamp")]:
        os.utime(file, (later, later))
    study.undo("P003", images=False)
    study.run()
    assert_same(study, undisturbed, *STAGES)
    assert "Nothing to be done" in study.run()


# Kinds of files that a user brings beside images, and the rule that reads each first.
BROUGHT = {
    "tiny/simulation.yaml": "simulate_cohort",
    "tiny/extraction/original.yaml": "extract_features",
    "phases/patients.csv": "check_cohort",
    "phases/features.csv": "import_features",
}


@pytest.mark.parametrize("days", [2, -20_000])
@pytest.mark.parametrize("file", BROUGHT)
def test_a_changed_file_of_any_date_is_read_once(study, undisturbed, file, days):
    shutil.copytree(ROOT / "tests/workflow/phases", study.folder / "config/studies/phases")
    tables = ["results/phases/cohort/development/flow.csv", "results/phases/features/development/liver.csv"]
    targets = [*tables, "--config", "studies=[tiny,phases]"]
    study.run(*targets)
    path = study.folder / "config/studies" / file
    moment = time.time() + days * DAY
    os.utime(path, (moment, moment))
    assert "Nothing to be done" in study.run(*targets)  # its date alone means nothing
    path.write_text(path.read_text().rstrip("\n") + "\n\n")
    os.utime(path, (moment, moment))
    assert f"rule {BROUGHT[file]}:" in study.run(*targets).replace("checkpoint", "rule")
    assert "Nothing to be done" in study.run(*targets)
    assert_same(study, undisturbed, *STAGES)


def test_leftovers_of_killed_jobs_are_removed(study, undisturbed):
    folder = study.path("images/development/.part-1-P003")
    table = study.path("features/development/.part-1-original.parquet")
    folder.mkdir()
    for left in (folder / "cases.csv", table):
        left.write_text("half")
    study.undo("P003")
    study.run()
    assert_same(study, undisturbed, *STAGES)
    assert not folder.exists()  # an empty one, which no comparison of files would show
