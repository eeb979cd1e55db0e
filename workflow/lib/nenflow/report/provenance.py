"""From what, by what and how the results of a study were made."""

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pandas as pd

from nenflow.checksums import file_digest, joint_digest

PATIENT = "images and segmentations"  # what the inputs of a patient are called
_CODE = {".py", ".smk", ".yaml", ".j2", ".css", ".js", ".rst"}


def without_folders(settings: Any) -> Any:
    """Settings in which a path outside the study's folder has only its last part: it may name people or places."""
    if isinstance(settings, Mapping):
        return {key: without_folders(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [without_folders(value) for value in settings]
    outside = isinstance(settings, str) and settings.startswith(("/", "$", "~", "../"))
    return Path(settings).name if outside else settings


def software_table() -> pd.DataFrame:
    """Every Python package that is installed, with its version."""
    versions = {found.metadata["Name"]: found.version for found in distributions()}
    return pd.DataFrame(sorted(versions.items(), key=lambda item: item[0].lower()), columns=["software", "version"])


def inputs_table(tables: Mapping[str, list[str]], patients: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Checksums of what a study was made from; no path and no identifier of an image stands in it.

    Args:
        tables: paths of each table or file of settings, by what it is.
        patients: of each cohort inputs.csv of each patient, as importing the images has written it.

    Returns:
        columns input, cohort and patient (blank where it belongs to none), files, and sha256: of the file, or of
        several see `checksums.joint_digest`.
    """
    rows = [
        {"input": name, "cohort": "", "patient": "", **(_single(paths[0]) if len(paths) == 1 else joint_digest(paths))}
        for name, paths in tables.items()
    ]
    rows += [
        {"input": PATIENT, "cohort": cohort, "patient": patient, **table.iloc[0]}
        for cohort, folder in patients.items()
        for patient, table in folder.items()
    ]
    return pd.DataFrame(rows, columns=["input", "cohort", "patient", "files", "sha256"])


def _single(path: str) -> dict[str, Any]:
    return {"files": 1, "sha256": file_digest(path)}


def code_state(project: Path, version: str) -> dict[str, Any]:
    """Which code runs: version, git commit, whether files differ from it, and a digest of workflow/.

    Args:
        project: folder of the Snakefile.
        version: of nenflow.

    Returns:
        commit and changed are None where the project is no git repository of its own.
    """
    top = _git(project, "rev-parse", "--show-toplevel")
    own = top is not None and Path(top).resolve() == project.resolve()
    changed = _git(project, "status", "--porcelain", "--", "Snakefile", "workflow") if own else None
    code = [path for path in (project / "workflow").rglob("*") if path.suffix in _CODE]
    return {
        "nenflow": version,
        "commit": _git(project, "rev-parse", "HEAD") if own else None,
        "changed": bool(changed) if own else None,
        "code": joint_digest([project / "Snakefile", *code])["sha256"],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _git(project: Path, *command: str) -> str | None:
    """What git answers; None where it is not installed or knows no repository here."""
    try:
        done = subprocess.run(["git", "-C", project, *command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
