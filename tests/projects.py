import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests/workflow/tiny"
TIMES = {".snakemake_timestamp", "run_times.csv"}  # these differ from run to run, and nothing is made from them


def compile_once():
    """See `nenflow.compilation`; of several processes the first does it and the others wait.

    Copies of the workflow take what is compiled with them, or each would take longer to compile than to run.
    """
    command = [sys.executable, "-m", "nenflow.compilation"]
    with (ROOT / "workflow/lib/nenflow/.compiling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "workflow/lib")})


def write_validation(title, lines):
    """Put a part of docs/validation.md, from its title to the next, in the place of what it said before."""
    path = ROOT / "docs/validation.md"
    parts = {part.split("\n")[0]: part for part in re.split(r"^# ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]}
    parts[title] = "\n".join([title, "", *lines])
    path.write_text("\n".join(f"# {part.rstrip()}\n" for part in parts.values()), encoding="utf-8")


def edit(path, change):
    """Change the settings in a YAML file by a function that takes them."""
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(settings)
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


class Project:
    """A copy of the workflow in a folder of its own, with a tiny study, that a test may run and change."""

    def __init__(self, folder):
        self.folder = folder
        compile_once()
        for name in ("workflow", "profiles", "envs"):
            # With __pycache__: the compiled solvers lie there.
            shutil.copytree(ROOT / name, folder / name)
        for name in ("Snakefile", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
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
        limit = ["--cores", str(cores)] if cores else []  # on a cluster the profile limits jobs instead
        return [sys.executable, "-m", "snakemake", *limit, "--nocolor", *options]

    def run(self, *options, cores=2, check=True, **variables):
        """Run Snakemake as a user would, with environment variables; what it prints is returned."""
        environment = os.environ | variables
        done = subprocess.run(
            self.command(*options, cores=cores), cwd=self.folder, capture_output=True, text=True, env=environment
        )
        output = done.stdout + done.stderr
        if check:
            assert done.returncode == 0, output[-6000:]
        return output

    def planned(self):
        """Names of the rules that a run would execute now, each with its number of jobs."""
        counts = {}
        for line in self.run("--dry-run", "--quiet", "host", "reason").splitlines():
            words = line.split()
            if len(words) == 2 and words[0].isidentifier() and words[1].isdigit() and words[0] != "total":
                counts[words[0]] = int(words[1])
        return counts

    def path(self, name):
        return self.folder / "results/tiny" / name

    def contents(self, *parts):
        """Bytes of every file of the tiny study's results, or of parts of them, by name."""
        root = self.path("")
        files = [file for part in parts or [""] for file in (root / part, *(root / part).rglob("*"))]
        return {
            file.relative_to(root).as_posix(): file.read_bytes()
            for file in files
            if file.is_file() and file.name not in TIMES
        }


def assert_same(project, other, *parts):
    """Two projects have the same files, to the byte."""
    found, expected = project.contents(*parts), other.contents(*parts)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
