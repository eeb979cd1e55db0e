import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

TINY = ROOT / "tests/workflow/tiny"


class Project:
    """A copy of the workflow in a folder of its own, with a tiny study, that a test may run and change."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("workflow", "profiles", "envs"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Snakefile", folder)
        shutil.copytree(TINY, folder / "config/studies/tiny")
        self.choose("tiny")

    def choose(self, study):
        """Make a study the one that runs."""
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump({"studies": [study]}))

    def study(self, name):
        """Add a study that comes with nenflow, and choose it."""
        shutil.copytree(ROOT / "config/studies" / name, self.folder / "config/studies" / name)
        self.choose(name)

    def command(self, *options, cores=2):
        return [sys.executable, "-m", "snakemake", "--cores", str(cores), "--nocolor", *options]

    def run(self, *options, cores=2, check=True, **variables):
        """Run Snakemake as a user would, with environment variables; what it prints is returned."""
        environment = self.environment() | variables
        done = subprocess.run(
            self.command(*options, cores=cores), cwd=self.folder, capture_output=True, text=True, env=environment
        )
        output = done.stdout + done.stderr
        if check:
            assert done.returncode == 0, output[-6000:]
        return output

    def environment(self):
        # One cache of compiled solvers for all copies, so that each does not compile them anew.
        return {**os.environ, "NUMBA_CACHE_DIR": str(ROOT / ".pytest_cache/numba"), "PYTHONDONTWRITEBYTECODE": "1"}

    def planned(self):
        """Names of the rules that a run would execute now, each with its number of jobs."""
        counts = {}
        for line in self.run("--dry-run", "--quiet", "host", "reason").splitlines():
            words = line.split()
            if len(words) == 2 and words[1].isdigit() and words[0] not in ("total", "job"):
                counts[words[0]] = int(words[1])
        return counts

    def path(self, name):
        return self.folder / "results/tiny" / name


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The tiny study, run once from its simulation to its report on two cores. Do not change it: copy it."""
    project = Project(tmp_path_factory.mktemp("finished"))
    project.run(cores=2)
    return project


@pytest.fixture
def new_project(tmp_path):
    """The tiny study, not yet run."""
    return Project(tmp_path)


@pytest.fixture
def copy(finished, tmp_path):
    """A finished project of one's own (times of files kept, so that nothing is left to do in it)."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    project = object.__new__(Project)
    project.folder = tmp_path / "project"
    return project
