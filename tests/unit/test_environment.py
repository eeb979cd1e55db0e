import re
import subprocess
import tomllib

import yaml

from projects import ROOT

REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? *\\?$")


def locked_versions():
    """Versions of the lock for the Python that the conda environment pins (3.11)."""
    versions = {}
    for line in (ROOT / "envs/requirements.txt").read_text().splitlines():
        match = REQUIREMENT.match(line)
        if match and "python_full_version >=" not in (match[3] or ""):
            versions[match[1].lower()] = match[2]
    return versions


def conda_versions():
    versions = {}
    for entry in yaml.safe_load((ROOT / "envs/nenflow.yaml").read_text())["dependencies"]:
        for requirement in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, version = requirement.partition("=")
            versions[name.strip()] = version.strip("= ")
    return versions


def test_conda_environment_has_every_direct_dependency_in_the_locked_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [re.match(r"[A-Za-z0-9._-]+", entry)[0].lower() for entry in project["dependencies"]]
    locked, conda = locked_versions(), conda_versions()
    assert {name: conda.get(name) for name in direct} == {name: locked[name] for name in direct}
    assert set(conda) - set(direct) == {"python", "pip"}


def test_every_locked_package_has_hashes_and_no_file_names_an_index():
    text = (ROOT / "envs/requirements.txt").read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    without = [block.split("==")[0] for block in blocks if "==" in block and "--hash=sha256:" not in block]
    assert without == []
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    index = re.compile(r"https?://[a-z0-9.-]*(pypi|pythonhosted|npmjs)\.")
    named = [name for name in tracked if index.search((ROOT / name).read_text(encoding="utf-8", errors="ignore"))]
    assert named == []
