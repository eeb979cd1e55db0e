import ast

import pytest

from projects import ROOT

MODULES = sorted((ROOT / "workflow/lib/nenflow").rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_view_of_an_image_that_nothing_holds(module):
    """Such a view reads memory that was given back: numbers that differ from run to run, without an error."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "GetArrayViewFromImage":
            assert not any(isinstance(part, ast.Call) for part in ast.walk(node.args[0])), f"line {node.lineno}"
