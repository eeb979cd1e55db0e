import pytest

from projects import Project


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    """The tiny study, run on this machine."""
    project = Project(tmp_path_factory.mktemp("local"))
    project.run(cores=2)
    return project
