import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_LARGE = 20_000_000  # bytes; read in 20 ms


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, as `sha256sum` gives it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache  # a parameter file is looked at for every patient
def content_mark(path: str) -> str | tuple[int, int] | None:
    """What tells one content of a file from another while a run is planned, whatever the file's date.

    Returns:
        Its digest; of a large file, which would take long to read, size and time; None where there is no such file.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return file_digest(path) if found.st_size <= _LARGE else (found.st_size, found.st_mtime_ns)


def joint_digest(paths: Iterable[str | Path]) -> dict[str, Any]:
    """One digest for many files, whatever their names, folders and order; it holds none of these.

    It is the SHA-256 of their sorted digests, one a line, as `sha256sum * | cut -c1-64 | sort | sha256sum` gives it.

    Args:
        paths: files, or folders whose files count; hidden files in them, and folders in folders, do not. What is lost
            or may not be opened does not count either.

    Returns:
        files: how many there are, and sha256.
    """
    digests = []
    for path in map(Path, paths):
        with suppress(PermissionError):  # who reads the images says so
            digests += [file_digest(file) for file in _files(path)]
    digests.sort()
    lines = "".join(f"{digest}\n" for digest in digests)
    return {"files": len(digests), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _files(path: Path) -> list[Path]:
    inside = [file for file in path.iterdir() if not file.name.startswith(".")] if path.is_dir() else [path]
    return [file for file in inside if file.is_file()]
