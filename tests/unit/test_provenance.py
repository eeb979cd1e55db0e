import pytest

from nenflow.provenance import Library


@pytest.fixture
def library(tmp_path):
    package = tmp_path / "nenflow"
    (package / "images").mkdir(parents=True)
    (package / "leaf.py").write_text("x = 1\n")
    (package / "middle.py").write_text("import numpy\nfrom nenflow.leaf import x\n")
    (package / "images" / "masks.py").write_text("y = 1\n")
    (package / "other.py").write_text("z = 1\n")
    (tmp_path / "script.py").write_text("from nenflow.middle import x\nfrom nenflow.images import masks\n")
    return tmp_path


@pytest.mark.parametrize("module", ["middle.py", "leaf.py", "images/masks.py"])
def test_digest_follows_imports(library, module):
    before = Library(library).digest(library / "script.py")
    (library / "nenflow" / module).write_text("x = 2\n")
    assert Library(library).digest(library / "script.py") != before


@pytest.mark.parametrize(
    "line",
    ["from nenflow.images import (\n    masks,\n    other,\n)  # two\n", "import numpy, nenflow.images.masks as m\n"],
)
def test_digest_follows_every_form_of_import(library, line):
    (library / "script.py").write_text(line)
    before = Library(library).digest(library / "script.py")
    (library / "nenflow/images/masks.py").write_text("y = 2\n")
    assert Library(library).digest(library / "script.py") != before


def test_digest_ignores_modules_that_are_not_imported(library):
    before = Library(library).digest(library / "script.py")
    (library / "nenflow" / "other.py").write_text("z = 2\n")
    assert Library(library).digest(library / "script.py") == before


def test_digest_survives_circular_imports(library):
    (library / "nenflow" / "leaf.py").write_text("from nenflow.middle import x\n")
    assert Library(library).digest(library / "script.py")
