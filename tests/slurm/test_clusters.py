"""A study run through a cluster's scheduler gives the same bytes as one run on this machine: `make test-slurm`."""

import os
import re
from pathlib import Path

import pytest

from projects import Project, assert_same
from slurm_node import missing, slurm_node

pytestmark = pytest.mark.slurm

# The node keeps no accounts of users, so that squeue is asked what became of a job.
SLURM_QUICK = ("--slurm-status-command", "squeue", "--slurm-no-account")
SLURM_QUICK += ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
PBS_QUICK = ("--jobs", "2", "--latency-wait", "5", "--seconds-between-status-checks", "1")
MODEL = ("images", "features/development/original.parquet", "models/fusion/model.json")  # from scans to a model


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
    """The tiny study's model, made by commands that stand in for those of PBS, and how each job was handed over."""
    project, requests = Project(tmp_path_factory.mktemp("cluster")), tmp_path_factory.mktemp("requests")
    path = f"{Path(__file__).parent / 'pbs'}{os.pathsep}{os.environ['PATH']}"
    profile = ("--workflow-profile", "profiles/pbs", *PBS_QUICK)
    project.run(f"results/tiny/{MODEL[-1]}", *profile, cores=None, PATH=path, PBS_STAND_IN=str(requests))
    return project, [file.read_text() for file in requests.glob("*.request")]


def test_slurm_gives_the_same_bytes_as_one_machine(local, on_slurm):
    assert_same(on_slurm[0], local)


def test_slurm_sees_jobs_of_a_rule_as_one_array(on_slurm):
    assert re.search(r"Submitted array job with Snakemake IDs \d+,\d+", on_slurm[1])


def test_pbs_gives_the_same_bytes_as_one_machine(local, on_pbs):
    assert_same(on_pbs[0], local, *MODEL)


def test_pbs_is_told_what_a_job_needs(on_pbs):
    imports = [request for request in on_pbs[1] if "nenflow.import_images" in request]
    assert len(imports) == len(list(on_pbs[0].path("images/development").glob("*/cases.csv")))
    # A gigabyte, and ten times the scan's files.
    assert all(1000 < int(request.partition("mem=")[2].partition("mb")[0]) < 2000 for request in imports)
    assert all("walltime=240:00" in request for request in imports)
