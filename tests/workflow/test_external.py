"""A finished model in a second cohort, both simulated from one known truth, from the tables to the report."""

import json
import shutil

import numpy as np
import pytest
from scipy.special import expit

from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.discrimination import auc, youden
from nenflow.tables import read_table
from projects import ROOT, Project

EXACT = 1e-9
NEAR = 0.03  # C of a model that knows the right variables is that of the truth but for the noise of 90 patients
CODES = {"yes": 1.0, "no": 2.0}


@pytest.fixture(scope="module")
def external(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("external"))
    shutil.copytree(ROOT / "tests/workflow/external", project.folder / "config/studies/external")
    project.choose("external")
    project.run(cores=2)
    return project.folder / "results/external"


def predictor(folder, model, step):
    """The documented model's linear predictor of every patient elsewhere, by hand."""
    document = json.loads((folder / f"models/{model}/model.json").read_text())["steps"][step]
    patients = read_table(folder / "cohort/elsewhere/patients.csv").set_index("patient")
    table = patients.assign(resection=patients["resection"].map(CODES))
    return (document.get("intercept") or 0.0) + sum(
        value * table[name] for name, value in document["coefficients"].items()
    ), patients


def test_the_cohorts_are_different_people_of_one_truth(external):
    tables = [read_table(external / f"cohort/{name}/patients.csv") for name in ("development", "elsewhere")]
    assert [len(table) for table in tables] == [90, 400]
    assert tables[0]["months"].tolist() != tables[1]["months"].head(90).tolist()
    truths = [
        json.loads((external / f"simulation/{name}/truth.json").read_text()) for name in ("development", "elsewhere")
    ]
    coefficients = [truth["survival"]["death"]["coefficients"] for truth in truths]
    assert coefficients[0] == coefficients[1]
    assert truths[0]["seed"] == 4  # that of the study, as it always was
    assert truths[1]["seed"] != 4


def test_a_cox_model_is_applied_as_it_is_documented(external):
    expected, patients = predictor(external, "followed", "cox")
    scores = read_table(external / "evaluation/followed/external_scores.csv").set_index("patient")
    np.testing.assert_allclose(scores["linear_predictor"], expected.loc[scores.index], atol=EXACT)
    rows = patients.loc[scores.index]
    event = (rows["status"] == "dead").astype(int)
    found = json.loads((external / "evaluation/followed/external.json").read_text())["figures"]
    assert (found["n"], found["events"]) == (400, 280)
    c = harrell_c(rows["months"], event, expected.loc[scores.index])["c"]
    assert found["c"] == pytest.approx(c, abs=EXACT)
    truth = read_table(external / "simulation/elsewhere/truth.csv").set_index("patient")["death_linear_predictor"]
    assert found["c"] == pytest.approx(harrell_c(rows["months"], event, truth.loc[scores.index])["c"], abs=NEAR)


def test_decisions_elsewhere_are_those_of_the_units_fitted_to(external):
    expected, patients = predictor(external, "plain", "logistic")
    own = read_table(external / "models/plain/scores.csv")
    at, threshold = youden(own["outcome"], own["linear_predictor"])["threshold"], own["outcome"].mean()
    event, risk = patients["status"] == "dead", expit(expected)
    found = json.loads((external / "evaluation/plain/external.json").read_text())["figures"]
    assert found["auc"] == pytest.approx(auc(event.astype(int), expected), abs=EXACT)
    assert found["sensitivity"] == pytest.approx((expected[event] >= at).mean(), abs=EXACT)
    assert found["specificity"] == pytest.approx((expected[~event] < at).mean(), abs=EXACT)
    acted = risk >= threshold
    benefit = ((acted & event).sum() - (acted & ~event).sum() * threshold / (1 - threshold)) / 400
    assert found["net_benefit"] == pytest.approx(benefit, abs=EXACT)
    assert found["brier"] == pytest.approx(((risk - event) ** 2).mean(), abs=EXACT)


def test_the_table_of_schemes_has_it_last_and_the_report_prints_it(external):
    table = read_table(external / "evaluation/plain/schemes.csv").set_index("scheme")
    assert table.index.tolist() == ["apparent", "finished", "optimism", "632plus", "folds", "temporal", "external"]
    assert table.loc["external", ["n", "events"]].tolist() == [400, 280]
    later = read_table(external / "models/plain/dataset.csv")["age"] >= 65
    assert table.loc["temporal", "n"] == later.sum()
    page = (external / "report/report.html").read_text(encoding="utf-8")
    assert "External cohort “elsewhere”" in page
    assert "400 patients with 280 events; nobody was left out." in page
    assert (external / "report/figures/calibration_external_plain.pdf").exists()
    assert (external / "report/figures/calibration_external_followed_36.pdf").exists()
    assert "Later patients (Age (years) from 65 on)" in page
