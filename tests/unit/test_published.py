import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from nenflow.errors import InputError
from nenflow.models.nomogram import nomogram, points_table, read_off
from nenflow.models.protocol import from_document, scores
from nenflow.published import check_published, read_model
from nenflow.study import load_study

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "workflow/schemas"
PNEC = ROOT / "config/studies/pnec"
FILE = PNEC / "published/nomogram.json"
STUDIES = sorted(path for path in ROOT.glob("config/studies/*/study.yaml"))

# The points table as printed: total points by survival, at 1, 3 and 5 years.
SURVIVALS = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
TOTALS = {
    12: [142, 134, 128, 123, 119, 115, 111, 107, 103, 98, 94, 89, 84, 79, 73, 65, 56, 43, 22],
    36: [107, 99, 93, 88, 84, 80, 76, 72, 68, 63, 59, 54, 49, 44, 37, 30, 21, 8],
    60: [88, 80, 75, 70, 65, 61, 57, 53, 49, 45, 41, 36, 31, 25, 19, 11],
}
POINTS = {
    "size": dict(zip(range(1, 11), [0, 11, 22, 33, 44, 56, 67, 78, 89, 100], strict=True)),
    "resection": {"yes": 0, "no": 51},
    "treatment": {"both": 0, "either": 25, "neither": 61},
}
RATIOS = {
    "size": (1.457, 1.199, 1.770),
    "resection=no": (5.666, 2.611, 12.296),
    "treatment=either": (2.361, 1.098, 5.077),
    "treatment=neither": (7.804, 2.729, 22.319),
}


@pytest.fixture(scope="module")
def model():
    return read_model(FILE, SCHEMAS)


@pytest.fixture(scope="module")
def drawn(model):
    return nomogram(model["steps"]["cox"], model["steps"]["terms"])


def test_every_cell_of_the_published_points_table(drawn):
    table = points_table(drawn)
    rounded = table.assign(points=np.rint(table["points"]))
    cells = {name: dict(zip(rows["value"], rows["points"], strict=True)) for name, rows in rounded.groupby("variable")}
    printed = {f"survival_{time}": dict(zip(SURVIVALS, totals, strict=False)) for time, totals in TOTALS.items()}
    assert sum(map(len, printed.values())) == 53
    assert cells == POINTS | printed


def test_the_patient_of_the_publication(model, drawn):
    patient = pd.DataFrame({"size": [4.4], "resection": [1.0], "treatment": [1.0]})
    found = scores(from_document(model, list(model["variables"])), patient).iloc[0]
    survival = [found[f"survival_{time}"] for time in (12, 36, 60)]
    assert np.round(survival, 3).tolist() == [0.915, 0.747, 0.580]
    from_one_cm = found["linear_predictor"] - model["steps"]["cox"]["coefficients"]["size"]
    assert from_one_cm == pytest.approx(1.280, abs=1e-3)  # 1.280 from the rounded 1.457 per cm, 1.279 from 1.45687
    points = from_one_cm * drawn["points_per_unit"]
    assert points == pytest.approx(37.8, abs=0.05)
    assert read_off(drawn, [points]).iloc[0].tolist() == pytest.approx(survival)  # the drawing says the same


def test_the_model_is_what_is_printed(model, drawn):
    assert {name: tuple(values) for name, values in model["ratios"].items()} == RATIOS
    coefficients = model["steps"]["cox"]["coefficients"]
    assert {name: round(float(np.exp(value)), 3) for name, value in coefficients.items()} == {
        name: ratio for name, (ratio, _, _) in RATIOS.items()
    }
    assert np.exp(coefficients["size"]) == pytest.approx(1.45687, abs=5e-6)
    assert drawn["points_per_unit"] == pytest.approx(29.528, abs=5e-4)
    zero = read_off(drawn, [0]).iloc[0]
    bounds = {12: (0.97555, 0.97565), 36: (0.9220, 0.9224), 60: (0.8593, 0.8597)}
    assert all(low <= zero[f"survival_{time}"] <= high for time, (low, high) in bounds.items())


def test_size_beyond_the_drawing_is_scored_as_the_model_says(model):
    patients = pd.DataFrame({"size": [0.5, 12.0], "resection": [2.0, 1.0], "treatment": [3.0, 2.0]})
    found = scores(from_document(model, list(model["variables"])), patients)["linear_predictor"]
    size = model["steps"]["cox"]["coefficients"]["size"]
    expected = [0.5 * size + np.log(5.666) + np.log(7.804), 12 * size + np.log(2.361)]
    assert found.tolist() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.parent.name)
def test_shipped_studies_have_what_their_published_models_need(path):
    check_published(load_study(path, SCHEMAS), path.parent, SCHEMAS)


def spoilt(tmp_path, change, study_change=None):
    """What is said of the shipped study after a change to the model's file, or to the study."""
    model = json.loads(FILE.read_text(encoding="utf-8"))
    study = yaml.safe_load((PNEC / "study.yaml").read_text(encoding="utf-8"))
    change(model)
    if study_change:
        study_change(study)
    (tmp_path / "published").mkdir(exist_ok=True)
    (tmp_path / "published/nomogram.json").write_text(json.dumps(model), encoding="utf-8")
    with pytest.raises(InputError) as error:
        check_published(study, tmp_path, SCHEMAS)
    return str(error.value)


def put(*path, value):
    def change(part):
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = copy.deepcopy(value)

    return change


COX = ("steps", "cox")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put("sorce", value="x"), "nomogram.json: 'sorce' is not a known key"),
        (put(*COX, "coefficients", "size", value="1.4"), "'1.4' is not a number"),
        (put(*COX, "coefficients", "age", value=1.0), "steps/coefficients: variables and terms make the columns"),
        (put(*COX, "variables", value=["size"]), "steps/variables: variables and terms make the columns"),
        (put("variables", "size", "levels", value=["a", "b"]), "a continuous one has none"),
        (put("steps", "terms", "factors", "resection", value=["no", "yes"]), "are not the levels under variables"),
        (put("steps", "terms", "splines", value={"size": 3}), "are not the numbers of the knots"),
        (put(*COX, "scales", value={}), "steps/scales: 'size' has no axis"),
        (put(*COX, "baseline", "hazard", value=[0.1, 0.2]), "as many hazards as times"),
        (put(*COX, "baseline", "hazard", value=[0.1, 0.3, 0.2]), "times and hazards must rise"),
        (put(*COX, "times", value=[72]), "the last one is after the end of the baseline"),
    ],
)
def test_a_file_that_does_not_fit_itself_is_refused(tmp_path, change, sentence):
    assert sentence in spoilt(tmp_path, change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put("published", "nomogram", "endpoint", value="relapse"), "'relapse' is not a declared endpoint"),
        (put("endpoints", "death", value={"variable": "status", "event": "dead"}), "the endpoint has no time"),
        (put("variables", "extent", value={}), "needs the variable 'size', which the study does not declare"),
        (put("variables", "size", "type", value="categorical"), "is continuous in the model and categorical in the"),
        (put("variables", "resection", "levels", value=["no", "yes"]), "'resection' has other levels in the model"),
        (put("endpoints", "death", "variable", value="resection"), "'resection', which is the outcome"),
    ],
)
def test_a_study_that_lacks_what_the_model_needs_is_refused(tmp_path, change, sentence):
    def change_study(study):
        change(study)
        if "extent" in study["variables"]:
            study["variables"]["extent"] = study["variables"].pop("size")

    assert sentence in spoilt(tmp_path, lambda model: None, change_study)


def test_a_file_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "nomogram.json"
    path.write_text('{"title": "x",\n "source" "y"}', encoding="utf-8")
    with pytest.raises(InputError, match="line 2 is not valid JSON"):
        read_model(path, SCHEMAS)
    path.write_bytes(b'{"title": "\xe9"}')
    with pytest.raises(InputError, match="not saved as UTF-8"):
        read_model(path, SCHEMAS)
    with pytest.raises(InputError, match="has no such file"):
        read_model(tmp_path / "$HOME/nomogram.json", SCHEMAS)


def test_a_file_with_a_byte_order_mark_as_windows_writes_it_is_read(tmp_path, model):
    path = tmp_path / "nomogram.json"
    path.write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_model(path, SCHEMAS) == model
