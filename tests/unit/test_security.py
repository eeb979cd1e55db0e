"""What SECURITY.md promises: nothing that is read runs code, and no entry of a table leads out of its folder."""

import ast
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nenflow.cohort.checks import read_cohort
from nenflow.errors import InputError
from nenflow.study import read_schema
from projects import ROOT

SCHEMAS = ROOT / "workflow/schemas"
SOURCES = sorted((ROOT / "workflow").rglob("*.py"))
# Modules that turn bytes into objects that can run code. None is used, so none is allowed.
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
FORBIDDEN_METHODS = {"read_pickle", "to_pickle", "unsafe_load", "full_load", "literal_eval"}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "_UniqueKeyLoader"}
STUDY = {
    "unit": "lesion",
    "variables": {},
    "stability": {"readings": {"reference": "r1"}},
    "images": {"minimum_volume_mm3": 1},
}
HEADER = "patient,phase,region,rater,image,segmentation"


def dangers(tree):
    """Lines of a module that could run what they read."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module.split(".")[0]]
        if found := FORBIDDEN_MODULES & set(names):
            yield f"{node.lineno}: imports {found}"
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if ast.unparse(function) in FORBIDDEN_CALLS:  # by its whole name: re.compile is harmless
            yield f"{node.lineno}: {ast.unparse(function)}"
        if isinstance(function, ast.Attribute) and function.attr in FORBIDDEN_METHODS:
            yield f"{node.lineno}: {function.attr}"
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        for name in ("allow_pickle", "shell"):
            if name in keywords and ast.unparse(keywords[name]) != "False":
                yield f"{node.lineno}: {name}"
        if ast.unparse(function) == "yaml.load" and not (
            "Loader" in keywords and any(name in ast.unparse(keywords["Loader"]) for name in SAFE_LOADERS)
        ):
            yield f"{node.lineno}: yaml.load"
        if (
            ast.unparse(function).endswith("jinja2.Environment")
            and ast.unparse(keywords.get("autoescape", ast.Constant(False))) != "True"
        ):
            yield f"{node.lineno}: jinja2 does not escape"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_can_run_what_it_reads(source):
    assert list(dangers(ast.parse(source.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "os.system(text)",
        "numpy.load(path, allow_pickle=True)",
        "run(command, shell=True)",
        "pandas.read_pickle(path)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text, yaml.Loader)",
        "jinja2.Environment(loader=loader)",
        "jinja2.Environment(autoescape=False)",
    ],
)
def test_the_search_finds_each_danger(code):
    assert len(list(dangers(ast.parse(code)))) == 1


def test_loaders_of_settings_build_plain_values_only():
    import yaml

    from nenflow.study import _UniqueKeyLoader

    assert issubclass(_UniqueKeyLoader, yaml.SafeLoader)
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        yaml.load("!!python/object/apply:os.getcwd []", Loader=_UniqueKeyLoader)


IDENTIFIER_COLUMNS = [("cases", name) for name in ("patient", "phase", "region", "rater")]
IDENTIFIER_COLUMNS += [("patients", "patient"), ("lesions", "patient"), ("lesions", "region")]


@pytest.mark.parametrize(("table", "column"), IDENTIFIER_COLUMNS)
def test_an_identifier_that_passes_is_one_plain_part_of_a_path(table, column):
    plain = set(string.ascii_letters + string.digits + "-")
    schema = read_schema(SCHEMAS, table)["properties"][column]
    validator = Draft202012Validator(schema)

    @given(st.text(st.sampled_from([*"aZ9-./\\~$ \n\0*:|;'\"{}%", "é", "\u2215", "\uff0e"]), max_size=70))
    def check(text):
        passes = validator.is_valid(text)
        assert passes == (0 < len(text) <= 64 and set(text) <= plain)
        if passes:
            assert Path(text).parts == (text,)

    check()


def write(folder, image, segmentation):
    """A cohort of one case, with a data folder and a file outside of it."""
    data = folder / "data"
    for name in ("data/P1/arterial", "outside"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("data/P1/arterial/1.dcm", "data/P1/seg.nrrd", "data/P1/scan.zip", "outside/1.dcm"):
        (folder / name).touch()
    (folder / "patients.csv").write_text("patient\nP1\n")
    (folder / "cases.csv").write_text(f'{HEADER}\nP1,arterial,l1,r1,"{image}","{segmentation}"\n')
    return data


def problems(folder, data):
    """What the checks of the tables say."""
    try:
        read_cohort(folder / "patients.csv", None, folder / "cases.csv", data, STUDY, SCHEMAS)
    except InputError as error:
        return [line.removeprefix("- ") for line in str(error).splitlines()[1:]]
    return []


def test_paths_inside_the_folder_pass_and_so_do_links_that_stay_there(tmp_path):
    data = write(tmp_path, "P1/arterial", "P1/link.nrrd")
    (data / "P1/link.nrrd").symlink_to("seg.nrrd")
    (data / "P1/arterial/2.dcm").symlink_to(data / "P1/arterial/1.dcm")
    assert problems(tmp_path, data) == []


def test_a_data_folder_may_itself_be_a_link(tmp_path):
    write(tmp_path, "P1/arterial", "P1/seg.nrrd")
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    assert problems(tmp_path, tmp_path / "linked") == []


@pytest.mark.parametrize("column", ["image", "segmentation"])
@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("../outside/1.dcm", "must be a path inside"),
        ("P1/../../outside/1.dcm", "must be a path inside"),
        ("/etc/passwd", "must be a path inside"),
        ("P1\\seg.nrrd", "write / between folders"),
        ("C:\\scans\\1.dcm", "write / between folders"),
        ("P1/link/1.dcm", "leads out of the cohort's data folder through a link"),
        ("P1/link.dcm", "leads out of the cohort's data folder through a link"),
        ("P1/scan.zip", "is an archive; unpack it"),
    ],
)
def test_what_leads_out_of_the_folder_is_refused_with_its_row(tmp_path, column, entry, sentence):
    entries = {"image": "P1/arterial", "segmentation": "P1/seg.nrrd"} | {column: entry}
    data = write(tmp_path, **entries)
    (data / "P1/link").symlink_to(tmp_path / "outside")
    (data / "P1/link.dcm").symlink_to(tmp_path / "outside/1.dcm")
    [problem] = problems(tmp_path, data)
    assert problem.startswith(f"cases.csv, row 2, column '{column}': {sentence}")


def test_a_slice_that_is_a_link_out_of_the_folder_is_refused(tmp_path):
    data = write(tmp_path, "P1/arterial", "P1/seg.nrrd")
    (data / "P1/arterial/2.dcm").symlink_to(tmp_path / "outside/1.dcm")
    [problem] = problems(tmp_path, data)
    assert problem.startswith("cases.csv, row 2, column 'image': leads out of the cohort's data folder through a link")


@given(st.lists(st.sampled_from([*"aP1./\\~-", "..", "/..", "P1/"]), max_size=12).map("".join))
def test_whatever_path_passes_lies_in_the_folder(tmp_path_factory, entry):
    folder = tmp_path_factory.mktemp("cohort")
    data = write(folder, entry, "P1/seg.nrrd")
    if not problems(folder, data):
        assert (data / entry).resolve().is_relative_to(data.resolve())
