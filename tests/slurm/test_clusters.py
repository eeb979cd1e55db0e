"""A study run through a cluster's scheduler gives the same bytes as one run on this machine: `make test-slurm`."""

import os
import re
from pathlib import Path

import pytest

from projects import Project
from slurm_node import missing, slurm_node

pytestmark = pytest.mark.slurm

TIMES = {"run_times.csv", ".snakemake_timestamp"}
# The node keeps no accounts of users, so that squeue is asked what became of a job.
SLURM_QUICK = ("--slurm-status-command", "squeue", "--slurm-no-account")
SLURM_QUICK += ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
PBS_QUICK = ("--jobs", "2", "--latency-wait", "5", "--seconds-between-status-checks", "1")


@pytest.fixture(scope="module")
def on_slurm(tmp_path_factory):
    """The tiny study run by Slurm, and what Snakemake printed."""
    if missing():
        pytest.skip(missing())
    project = Project(tmp_path_factory.mktemp("cluster"))
    with slurm_node(tmp_path_factory.mktemp("slurm")):
        output = project.run("--workflow-profile", "profiles/slurm", *SLURM_QUICK, cores=None)
    return project, output


@pytest.fixture(scope="module")
def on_pbs(tmp_path_factory):
    """The tiny study run by commands that stand in for those of PBS, and how each job was handed over."""
    project, requests = Project(tmp_path_factory.mktemp("cluster")), tmp_path_factory.mktemp("requests")
    path = f"{Path(__file__).parent / 'pbs'}{os.pathsep}{os.environ['PATH']}"
    profile = ("--workflow-profile", "profiles/pbs", *PBS_QUICK)
    project.run(*profile, cores=None, PATH=path, PBS_STAND_IN=str(requests))
    return project, [file.read_text() for file in requests.glob("*.request")]


def results(project):
    """All files of the study's results, by name, but for what tells how long jobs took."""
    root = project.path("")
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def same(project, local):
    expected, found = results(local), results(project)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_slurm_gives_the_same_bytes_as_one_machine(local, on_slurm):
    same(on_slurm[0], local)


def test_slurm_sees_jobs_of_a_rule_as_one_array(on_slurm):
    assert re.search(r"Submitted array job with Snakemake IDs \d+,\d+", on_slurm[1])


def test_pbs_gives_the_same_bytes_as_one_machine(local, on_pbs):
    same(on_pbs[0], local)


def test_pbs_is_told_what_a_job_needs(on_pbs):
    imports = [request for request in on_pbs[1] if "nenflow.import_images" in request]
    assert len(imports) == len(list(on_pbs[0].path("images/development").glob("*/cases.csv")))
    # A gigabyte, and ten times the scan's files.
    assert all(1000 < int(request.partition("mem=")[2].partition("mb")[0]) < 2000 for request in imports)
    assert all("walltime=240:00" in request for request in imports)
