"""A study without images, from its table to its report: Cox and logistic models, missing values, a score."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter

from browser import assert_sound, calculated, needs_browser
from nenflow.models.cox import fit_cox
from nenflow.models.steps import CoxModel
from nenflow.tables import read_table
from projects import ROOT, Project
from r_functions import SAME_IN_R, needs_r, run_r

LIKELIHOOD = 1e-5  # relative: lifelines stops its search earlier
DISPLAYED = 1e-9
IN_A_BROWSER = 1e-9  # sums and exponentials there and here; linear predictors are rounded to 9 decimals here


@pytest.fixture(scope="module")
def clinical(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("clinical"))
    shutil.copytree(ROOT / "tests/workflow/clinical", project.folder / "config/studies/clinical")
    project.choose("clinical")
    project.run(cores=2)
    return project


def result(project, name):
    return project.folder / "results/clinical" / name


def patients(project):
    table = pd.read_csv(project.folder / "config/studies/clinical/patients.csv")
    return table.assign(event=(table["status"] == "tumour").astype(int))


def test_the_final_cox_model_is_that_of_lifelines(clinical):
    table = patients(clinical)
    design = pd.DataFrame(
        {
            "time": table["months"],
            "event": table["event"],
            "size": table["size"],
            "resection": np.where(table["resection"] == "no", 2.0, 1.0),
            "treatment=either": (table["treatment"] == "either").astype(float),
            "treatment=neither": (table["treatment"] == "neither").astype(float),
        }
    )
    document = json.loads(result(clinical, "models/death/model.json").read_text())
    found = document["steps"]["cox"]["coefficients"]
    assert "age" not in found  # it has no effect in what was drawn, and both selections saw it
    fit = CoxPHFitter().fit(design, "time", "event", fit_options={"precision": 1e-12})
    assert found == pytest.approx(fit.params_[list(found)].to_dict(), rel=LIKELIHOOD)
    ratios = read_table(result(clinical, "models/death/multivariable.csv")).set_index("variable")
    assert ratios["wald_low"].to_dict() == pytest.approx(
        np.exp(fit.confidence_intervals_["95% lower-bound"])[list(found)].to_dict(), rel=LIKELIHOOD
    )


def test_a_stratified_model_with_clustered_errors_is_that_of_lifelines(clinical):
    table = patients(clinical)
    document = json.loads(result(clinical, "models/stratified/model.json").read_text())["steps"]["cox"]
    names = document["variables"]
    assert "age" not in names
    design = pd.DataFrame(
        {
            "time": table["months"],
            "event": table["event"],
            "size": table["size"],
            "resection": np.where(table["resection"] == "no", 2.0, 1.0),
            "grade": table["grade"],
            "patient": np.arange(len(table)),
        }
    )
    columns = ["time", "event", "grade", *names]
    fit = CoxPHFitter().fit(design[columns], "time", "event", strata=["grade"], fit_options={"precision": 1e-12})
    assert document["coefficients"] == pytest.approx(fit.params_[names].to_dict(), rel=LIKELIHOOD)
    # Of tied events lifelines takes other residuals than R; tests/unit/test_cox.py compares these errors with R.
    outcome = design["time"].to_numpy(), design["event"].to_numpy()
    clustered = fit_cox(design[names].to_numpy(float), *outcome, strata=design["grade"], clusters=design["patient"])
    assert list(document["se"].values()) == pytest.approx(clustered.se.tolist(), rel=1e-9)
    assert list(document["se"].values()) != pytest.approx(fit.standard_errors_[names].tolist(), rel=1e-3)
    assert set(document["baseline"]["stratum"]) == {"1", "2", "3"}
    points = read_table(result(clinical, "models/stratified/points.csv"))
    assert {"survival_36 1", "survival_36 2", "survival_36 3"} <= set(points["variable"])


def test_survival_is_described_by_group(clinical):
    table = patients(clinical)
    summary = read_table(result(clinical, "evaluation/survival_survival/summary.csv")).set_index("group")
    for group, rows in [("all", table), ("no", table[table["resection"] == "no"])]:
        fit = KaplanMeierFitter().fit(rows["months"], rows["event"])
        assert summary.loc[group, "median"] == pytest.approx(fit.median_survival_time_, abs=DISPLAYED)
        assert summary.loc[group, "survival_36"] == pytest.approx(fit.predict(36), abs=DISPLAYED)
    tests = read_table(result(clinical, "evaluation/survival_survival/tests.csv"))
    assert set(tests["test"]) == {"log-rank", "Peto-Peto", "log-rank for trend", "Gray"}


def test_the_score_has_whole_points_that_follow_from_the_model(clinical):
    score = json.loads(result(clinical, "models/points/score.json").read_text())
    effects = json.loads(result(clinical, "models/points/model.json").read_text())["steps"]["cox"]["coefficients"]
    smallest = min(abs(effect) for effect in effects.values())
    treatment = score["variables"]["treatment"]
    points = dict(zip(treatment["values"], treatment["points"], strict=True))
    assert points == {level: round(effects.get(f"treatment={level}", 0.0) / smallest) for level in points}
    strata = read_table(result(clinical, "models/points/strata.csv"))
    assert strata[strata["time"] == 36]["n"].sum() == 140


def test_imputed_values_keep_everybody(clinical):
    table = patients(clinical)
    assert table["albumin"].isna().sum() > 5
    assert len(read_table(result(clinical, "models/relapse/scores.csv"))) == len(table)
    missing = read_table(result(clinical, "cohort/development/missing.csv")).set_index("variable")
    assert missing.loc["albumin", "missing"] == table["albumin"].isna().sum()


def test_missing_values_stop_a_model_that_does_not_say_what_to_do(clinical, tmp_path):
    folder = tmp_path / "refused"
    shutil.copytree(clinical.folder, folder, symlinks=True)
    project = object.__new__(Project)
    project.folder = folder
    study = folder / "config/studies/clinical/study.yaml"
    study.write_text(study.read_text().replace("    missing: impute\n    imputations: 3\n", ""))
    output = project.run("results/clinical/models/relapse/dataset.csv", check=False)
    assert "Values are missing (variable and number of patients): Albumin (g/L)" in output


@needs_browser
def test_the_report_tells_of_survival(clinical, open_page):
    page = result(clinical, "report/report.html")
    text = page.read_text(encoding="utf-8")
    for words in ("Hazard ratio", "Subdistribution HR", "Riley", "A score of whole points", "log-rank p"):
        assert words in text
    assert_sound(open_page, page, ROOT / "results/screenshots/clinical/report")
    assert not result(clinical, "report/gallery.html").exists()


@needs_r
@pytest.mark.parametrize("form", ["death", "death/shrunken", "points", "stratified", "relapse"])
def test_the_exported_function_gives_the_same_numbers_in_r(clinical, form, tmp_path):
    folder = result(clinical, f"models/{form}")
    name, _, shrunken = form.partition("/")
    table = pd.read_csv(clinical.folder / "config/studies/clinical/patients.csv").set_index("patient")
    expected = read_table(result(clinical, f"models/{name}/scores.csv")).set_index("patient")
    known = expected.index[table.loc[expected.index].drop(columns=["status", "months"]).notna().all(axis=1)]
    found = run_r((folder / "predict.R").read_text(encoding="utf-8"), name, table.loc[known], tmp_path)
    shown = list(found)
    if shrunken:
        shown = ["linear_predictor"]
        expected["linear_predictor"] *= json.loads((folder / "model.json").read_text())["shrinkage"]
        assert "shrunk" in (folder / "predict.R").read_text(encoding="utf-8")
    difference = found[shown].to_numpy() - expected.loc[known, shown].to_numpy()
    assert len(known) > 100
    assert np.abs(difference).max() < SAME_IN_R


# What the page asks for, by model in the order of the page: label and value; and the columns that follow from it.
ASKED = {
    "death": [
        (
            {"Tumour size (cm)": size, "Primary tumour resected": resected, "Treatment": treatment},
            [size, 1.0 + (resected == "no"), treatment == "either", treatment == "neither"],
        )
        for size in (0.7, 3.3, 12)
        for resected in ("yes", "no")
        for treatment in ("both", "either", "neither")
    ],
    "points": [
        (
            {"Primary tumour resected": "no", "Treatment": treatment, "Grade": grade},
            [2.0, treatment == "either", treatment == "neither", grade == "2", grade == "3"],
        )
        for treatment in ("both", "either", "neither")
        for grade in ("1", "2", "3")
    ],
}


@needs_browser
@pytest.mark.parametrize("model", ASKED)
def test_the_interactive_nomogram_gives_the_survival_of_the_model(clinical, open_page, model):
    document = json.loads(result(clinical, f"models/{model}/model.json").read_text())["steps"]["cox"]
    entered, columns = zip(*ASKED[model], strict=True)
    X = pd.DataFrame(np.array(columns, dtype=float), columns=document["variables"])
    page = open_page(result(clinical, "report/report.html")).page
    titles = page.locator(".calculator .title").all_inner_texts()
    place = next(n for n, title in enumerate(titles) if model in title.lower())
    found = [[row[0][0] for row in answer["table"]] for answer in calculated(page, list(entered), place)]
    np.testing.assert_allclose(found, CoxModel.from_document(document).predict_survival(X), rtol=0, atol=IN_A_BROWSER)
