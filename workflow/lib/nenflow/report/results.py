"""What a study's files say, by the name each file has in the map of the results."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import pandas as pd

from nenflow.documents import read_json
from nenflow.tables import read_table

_PACKAGES = [
    "numpy", "pandas", "scipy", "scikit-learn", "statsmodels", "numba", "pyradiomics-bhklab", "SimpleITK", "pydicom",
    "highdicom", "imbalanced-learn", "matplotlib", "snakemake",
]  # fmt: skip


def read_results(paths: Iterable[str | Path], folder: str | Path) -> dict[str, Any]:
    """Read a study's results, and nothing beside the paths that are named.

    Args:
        paths: files, or folders of which the tables, documents and pictures are read.
        folder: the study's folder, from which the files get their names.

    Returns:
        content by name, such as "models/fusion/scores.csv": tables as DataFrames, JSON documents as they are, PNG
        pictures as bytes. Files of other kinds are left out.
    """
    results = {}
    for path in map(Path, paths):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            read = _READERS.get(file.suffix)
            if read:
                results[file.relative_to(folder).as_posix()] = read(file)
    return results


def _read_csv(path: Path) -> pd.DataFrame:
    if path.name == "table_one.csv" or path.parent.name == "comparisons":
        # Cells are text for print; a level "1" must not come back as 1.0.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        numbers = [name for name in ("p", "smd") if name in table]
        return table.assign(**{name: pd.to_numeric(table[name], errors="coerce") for name in numbers})
    table = read_table(
        path, text=["reason", "flags", "unit", "decision", "variable", "group", "version"]
    )  # they may be blank throughout
    return table.assign(reason=table["reason"].fillna("")) if "reason" in table else table


_READERS = {".csv": _read_csv, ".json": read_json, ".png": Path.read_bytes}


def software_versions(own: str | None = None) -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on; those that are not installed are left out.

    Args:
        own: version of this workflow, such as "0.1.0 (commit abc1234)"; it comes first.
    """
    versions = {"nenflow": own} if own else {}
    versions["Python"] = python_version()
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
