import shutil

import pytest

from projects import Project


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
