"""Golden documents whose figures are counted off, so that none is left uncompared without anybody noticing."""

import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

# What a document says about itself.
ABOUT = ["dataset", "source", "licence", "made_by/*", "factor_levels*", "*note", "*/rng", "*/seed", "*/B", "*/rule"]


class Figures:
    """A document of results computed in R; `take` hands a part out and counts its figures off.

    Paths lead through the document with slashes: "km_groups/male/logrank/p".
    """

    def __init__(self, document: dict[str, Any]):
        self.document = document
        self.taken: set[str] = set()

    def take(self, path: str) -> Any:
        """The part that the path leads to; every figure in it counts as compared."""
        part = self.document
        for key in path.split("/"):
            part = part[key]
        self.taken.update(leaves(part, path))
        return part

    def left(self, patterns: Sequence[str]) -> list[str]:
        """Figures under these patterns that nobody took."""
        return [leaf for leaf in leaves(self.document) if matches(leaf, patterns) and leaf not in self.taken]


@cache
def read_figures(golden: Path, name: str) -> Figures:
    """The document of a data set, one for all tests of a file."""
    return Figures(json.loads((golden / f"{name}.json").read_text(encoding="utf-8")))


def leaves(part: Any, path: str = "") -> Iterator[str]:
    """Paths of all figures; a list counts as one."""
    if isinstance(part, dict) and part:
        for key, value in part.items():
            yield from leaves(value, f"{path}/{key}" if path else key)
    else:
        yield path


def matches(leaf: str, patterns: Sequence[str]) -> bool:
    """Whether a path is named by one of the patterns, itself or as something beneath it."""
    return any(fnmatchcase(leaf, pattern) or fnmatchcase(leaf, f"{pattern}/*") for pattern in patterns)
