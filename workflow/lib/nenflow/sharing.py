"""What Snakemake's cache between workflows needs, so that studies and users can share images and features."""

import hashlib
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from nenflow.checksums import file_digest


class Local(dict):
    """A param that belongs to one place and moment: a folder's path, the times of files.

    Snakemake notes a param by its `repr`, so that another value re-runs the job; into the key of the shared cache goes
    its JSON, which is that of an empty dict whatever the value. A script finds it in `value`.
    """

    def __init__(self, value: Any):
        super().__init__()
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)

    def __reduce__(self) -> tuple:
        return Local, (self.value,)


def folder_digest(folder: str | Path) -> str:
    """Digest of the names and contents of all files below a folder, such as the slices of a series."""
    digest = hashlib.sha256()
    for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{file_digest(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def newest_times(paths: Iterable[str]) -> list[int]:
    """When each file, and the newest entry of each folder, was written, in nanoseconds.

    A folder's own time does not change when a slice in it is overwritten.
    """
    return [_newest(path) for path in paths]


def _newest(path: str) -> int:
    newest = -1
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            for entry in entries:
                # A link to a file that is lost has its own time; the import then says that it is lost.
                lost = entry.is_symlink() and not os.path.exists(entry)
                newest = max(newest, entry.stat(follow_symlinks=not lost).st_mtime_ns)
    return newest if newest >= 0 else os.stat(path).st_mtime_ns


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    versions = {"Python": python_version()}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
