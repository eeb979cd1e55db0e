"""Files and folders that are there as a whole or not at all, whenever a job is killed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A name beside `path` to write to, with its ending; the file takes its place when it is complete.

    Folders above it are made. Where writing fails nothing is left, and what was there stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(text: str, path: str | Path) -> None:
    """Write a text file (UTF-8) as a whole."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder beside `path` to fill; it takes the place of what was there when it is complete.

    What a job that was killed has left beside it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".part-*-{path.name}"):
        shutil.rmtree(left)
    part = _beside(path)
    part.mkdir()
    made = os.open(part, os.O_RDONLY)
    try:
        yield part
        # A job that outlived a killed run may find its folder removed by the next run, and made again by what it wrote
        # since: that one holds a part only.
        if not os.path.samestat(os.fstat(made), part.stat()):
            raise FileExistsError("another run has begun to write the same folder")
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        os.close(made)
        shutil.rmtree(part, ignore_errors=True)


def _beside(path: Path) -> Path:
    """A hidden name in the same folder, another one for each process; two may write one file at a time."""
    return path.with_name(f".part-{os.getpid()}-{path.name}")
