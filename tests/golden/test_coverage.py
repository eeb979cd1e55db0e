"""No figure of the golden documents is outside the tests of this folder."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from golden.figures import ABOUT, leaves, matches

HERE = Path(__file__).parent


def covered() -> dict[str, list[str]]:
    """What the files of this folder promise to compare: their COVERS, put together by data set."""
    together: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        module = import_module(f"golden.{path.stem}")
        for name, patterns in getattr(module, "COVERS", {}).items():
            together.setdefault(name, []).extend(patterns)
    return together


def test_every_figure_has_a_test(golden):
    promised = covered()
    missing = [
        f"{path.stem}: {leaf}"
        for path in sorted(golden.glob("*.json"))
        for leaf in leaves(json.loads(path.read_text(encoding="utf-8")))
        if not matches(leaf, [*ABOUT, *promised.get(path.stem, [])])
    ]
    if missing:
        pytest.fail(f"{len(missing)} figures have no test, such as:\n" + "\n".join(missing[:20]))
