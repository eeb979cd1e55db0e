"""Files and folders that are there as a whole or not at all, whenever a job is killed."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
    """An empty folder beside `path` to fill; it takes the place of what was there when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path)
    part.mkdir()
    made = os.open(part, os.O_RDONLY)
    try:
        yield part
        # `remove_parts` may have removed it, and what was written since have made it again: that one holds a part only.
        if not os.path.samestat(os.fstat(made), part.stat()):
            raise FileExistsError("another run has begun to write the same folder")
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
    finally:
        os.close(made)
        shutil.rmtree(part, ignore_errors=True)


def remove_parts(paths: Iterable[str | Path]) -> None:
    """Remove what killed jobs have left beside these files and folders; each folder is looked through once.

    To be called while no job of this run writes: one that outlived a run before finds its part gone, and fails.
    """
    names = defaultdict(set)
    for path in paths:
        folder, name = os.path.split(path)
        names[folder].add(name)
    for folder, known in names.items():
        for left in Path(folder).glob(".part-*"):
            written = re.fullmatch(r"\.part-\d+-(.+)", left.name)
            if written and written[1] in known:
                _remove(left, _beside(left.with_name(written[1])))


def _remove(left: Path, name: Path) -> None:
    """Remove a file or folder, under another name first: a job that writes to it finds all of it or nothing."""
    with suppress(OSError):  # that job has come to its end by now; what cannot be removed is nobody's result
        left.rename(name)
        if name.is_dir():
            shutil.rmtree(name)
        else:
            name.unlink()


def _beside(path: Path) -> Path:
    """A hidden name in the same folder, another one for each process; two may write one file at a time."""
    return path.with_name(f".part-{os.getpid()}-{path.name}")
