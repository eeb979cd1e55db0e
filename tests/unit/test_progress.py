"""Records are of the shape that Snakemake gives to logger plugins; workflow tests show that its own have it."""

import io
import logging
import subprocess
import sys
from enum import StrEnum, auto

import pytest
from rich.console import Console

from nenflow.logs import TRIES
from nenflow.progress.bar import Bar
from nenflow.progress.failures import Failure, Failures, failure_cause, failure_lines
from nenflow.progress.summary import error_lines, exclusion_lines, write_run_times
from projects import ROOT

SENTENCE = "P003 arterial lesion1 reader1: the file is cut short; export it anew."


class Event(StrEnum):
    JOB_INFO = auto()
    JOB_ERROR = auto()
    JOB_FINISHED = auto()
    PROGRESS = auto()


def record(event, **content):
    made = logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO", "msg": None, "event": event})
    made.__dict__.update(content)
    return made


def started(number, patient):
    wildcards = {"study": "tiny", "cohort": "development", "patient": patient}
    return record(Event.JOB_INFO, jobid=number, rule_name="import_images", wildcards=wildcards)


def failed(number, log):
    return record(Event.JOB_ERROR, jobid=number, rule_name="import_images", log=[str(log)])


def log_of(script, path):
    """What the log of a script holds that ends as `script` does."""
    code = (
        f"from nenflow.logs import start_log\nfrom nenflow.errors import InputError\nstart_log({str(path)!r})\n{script}"
    )
    environment = {"PYTHONPATH": str(ROOT / "workflow/lib")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 1
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("sentence", [SENTENCE, "2 mistakes:\ncases.csv, row 2: no patient.\ncases.csv, row 3: lost."])
def test_the_cause_is_the_sentence_for_the_user_whatever_was_printed_before(tmp_path, sentence):
    text = log_of(f"print('Reading P003')\nraise InputError({sentence!r})", tmp_path / "log")
    assert "Reading P003" in text
    assert failure_cause(text) == sentence


def test_a_fault_of_the_program_is_named_and_not_explained(tmp_path):
    text = log_of("raise KeyError('volume')", tmp_path / "log")
    assert failure_cause(text) == "a fault of the program, KeyError: 'volume'; its log says where"


@pytest.mark.parametrize("text", ["", "Reading P003\n"])
def test_a_job_that_was_killed_left_no_message(text):
    assert failure_cause(text).startswith("it was stopped without a message")


def test_the_cluster_s_log_beside_the_job_s_own_hides_no_cause(tmp_path):
    (tmp_path / "own").write_text(f"Error: {SENTENCE}\n")
    (tmp_path / "cluster").write_text("slurmstepd: error\n")
    logs = [str(tmp_path / "cluster"), str(tmp_path / "own"), str(tmp_path / "never made")]
    assert failure_lines([Failure("import_images", {"patient": "P003"}, logs)]) == [
        "Failed: import_images, patient P003",
        f"  {SENTENCE}",
        f"  log: {tmp_path / 'cluster'}",
        f"  log: {tmp_path / 'own'}",
    ]


def test_a_run_with_failures_names_them_and_counts_what_was_not_run(tmp_path):
    (tmp_path / "log").write_text(f"Error: {SENTENCE}\n")
    run = Failures()
    run.total = 9
    for event in (
        started(1, "P003"), started(2, "P004"), failed(1, tmp_path / "log"), failed(2, tmp_path / "log"),
        record(Event.PROGRESS, done=3, total=10), started(2, "P004"), record(Event.JOB_FINISHED, job_id=2),
        record(Event.PROGRESS, done=4, total=10),
    ):  # fmt: skip
        run.emit(event)
    lines = error_lines(run)
    assert lines[:2] == ["Failed: import_images, study tiny, cohort development, patient P003", f"  {SENTENCE}"]
    assert "P004" not in "".join(lines)  # it was done again, with success
    assert "1 of 10 jobs failed; 5 that need their results, or came after, were not run." in lines


def test_a_stopped_run_blames_no_job():
    assert error_lines(Failures()) == [
        "The run was stopped before it ended; finished work is kept, the same command goes on from there."
    ]


def test_units_that_were_excluded_stand_with_their_reason(tmp_path):
    table = tmp_path / "exclusions.csv"
    rows = ["P001,lesion1,images,too small", "P002,lesion1,images,too small", "P003,,cohort,no age"]
    table.write_text("\n".join(["patient,region,stage,reason", *rows]), encoding="utf-8-sig")
    assert exclusion_lines("tiny", "development", table) == [
        f"tiny: 3 of the cohort development excluded, each with its reason in {table}",
        "  P001 lesion1, P002 lesion1: too small",
        "  P003: no age",
    ]
    table.write_text("patient,region,stage,reason\n")
    assert exclusion_lines("tiny", "development", table) == []


def test_the_bar_tells_jobs_done_and_left_and_each_failure_with_its_cause(tmp_path):
    (tmp_path / "log").write_text(f"Error: {SENTENCE}\n")
    terminal = io.StringIO()
    bar = Bar(10, Console(file=terminal, force_terminal=True, width=200, color_system=None))
    for event in (started(1, "P003"), record(Event.PROGRESS, done=4, total=12), failed(1, tmp_path / "log")):
        bar.emit(event)
    bar.emit(logging.makeLogRecord({"levelno": logging.WARNING, "msg": "%s is slow", "args": ("the disk",)}))
    bar.close()
    shown = terminal.getvalue()
    assert "4/12" in shown
    assert "8 left" in shown
    assert "import_images P003" in shown
    assert f"Failed: import_images, study tiny, cohort development, patient P003\n  {SENTENCE}" in shown
    assert "1 failed" in shown
    assert "the disk is slow" in shown


def test_run_times_are_summed_by_rule_longest_first(tmp_path):
    jobs = [("import_images", 100.0, 102.5), ("write_report", 110.0, 119.0), ("import_images", 101.0, 105.0)]
    write_run_times(jobs, tmp_path / "run_times.csv")
    assert (tmp_path / "run_times.csv").read_text().splitlines() == [
        "rule,jobs,total_s,longest_s",
        "write_report,1,9.0,9.0",
        "import_images,2,6.5,4.0",
    ]


@pytest.mark.parametrize(
    ("end", "stopped"),
    [("", False), ("raise ValueError", False), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", True)],
)
def test_a_job_was_stopped_where_its_last_try_was_killed(tmp_path, end, stopped):
    def run(attempt, end):
        code = f"from nenflow.logs import begin_try\nprint(begin_try({str(tmp_path / 'job.log')!r}, {attempt}))\n{end}"
        environment = {"PYTHONPATH": str(ROOT / "workflow/lib"), "PYTHONUNBUFFERED": "1"}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout

    assert [run(attempt, end) for attempt in range(1, TRIES + 1)] == ["False\n"] * TRIES  # it is still tried
    assert run(TRIES + 1, "") == f"{stopped}\n"
    assert run(TRIES + 1, "") == "False\n"
