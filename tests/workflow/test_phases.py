"""A study of two phases from a table of features: markers as a paper lists them, models without a LASSO."""

import numpy as np
import pandas as pd
import pytest
import yaml

from nenflow.documents import read_json
from nenflow.evaluation.synthetic import permute_synthetic
from nenflow.models.dataset import split
from nenflow.tables import LARGEST, UNIT, read_table
from projects import ROOT, Project

FEATURES = 8  # of each phase
LISTED = [
    "arterial_original_firstorder_Mean",
    "arterial_original_glcm_Correlation",
    "arterial_original_glcm_Imc1",
    "portal_original_shape_SurfaceVolumeRatio",
]


@pytest.fixture(scope="module")
def phases(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("phases"))
    folder = project.folder / "config/studies/phases"
    folder.mkdir()
    for path in (ROOT / "tests/workflow/phases").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    project.choose("phases")
    project.run()
    return project.folder / "results/phases"


def test_a_patient_without_one_of_the_phases_is_left_out_with_the_reason(phases):
    dataset = read_table(phases / "evaluation/markers_dataset.csv")
    assert dataset.shape == (25, 3 + 2 * FEATURES)
    excluded = read_table(phases / "evaluation/markers_exclusions.csv")
    assert excluded[["patient", "reason"]].to_numpy().tolist() == [
        ["P07", "no features of reader1's segmentation in the phase portal"]
    ]


def test_single_features_are_compared_and_corrected_within_their_phase(phases):
    markers = read_table(phases / "evaluation/markers.csv", index=["marker"])
    assert len(markers) == 2 * FEATURES
    np.testing.assert_allclose(markers["p_bonferroni"], np.minimum(1, FEATURES * markers["p"]))
    assert set(markers["test"]) == {"Welch's t", "Mann-Whitney"}
    for column, number in (("sensitivity", markers["events"]), ("specificity", markers["n"] - markers["events"])):
        np.testing.assert_allclose(markers[column] * number, (markers[column] * number).round(), atol=1e-9)


def test_the_synthetic_cohort_has_its_counts_and_its_chance_level(phases):
    table = read_table(phases / "evaluation/markers_synthetic.csv", index=["marker"])
    assert list(table) == list(read_table(phases / "evaluation/markers.csv", index=["marker"]))
    assert set(table["n"]) == {177}
    record = read_json(phases / "evaluation/markers_synthetic.json")
    assert (record["synthetic"], record["neighbours"], record["seed"]) == ({"events": 87, "others": 90}, 5, 1)
    chance = read_table(phases / "evaluation/markers_chance.csv", index=["marker"])
    assert chance.index.tolist() == [LARGEST, *LISTED]
    assert (chance["permutations"] == 25).all()
    assert chance.loc[LISTED, "auc"].tolist() == table.loc[LISTED, "auc"].tolist()
    assert chance.loc[LARGEST, "median"] > 0.6  # though nothing can be found there
    X, y = split(read_table(phases / "evaluation/markers_dataset.csv", index=UNIT))
    again = permute_synthetic(X, y, {1: 87, 0: 90}, "adasyn", 5, 1, [20], LISTED)
    stored = read_table(phases / "evaluation/markers_permutations.csv", text=["note"])
    assert stored.loc[20, LISTED].tolist() == again.loc[0, LISTED].tolist()


def test_survival_is_compared_at_the_cut_offs_of_the_roc(phases):
    markers = read_table(phases / "evaluation/markers.csv", index=["marker"])
    tests = read_table(phases / "evaluation/markers_survival/tests.csv", index=["variable"])
    assert tests.index.tolist() == LISTED
    assert tests["cutpoint"].tolist() == markers.loc[LISTED, "threshold"].tolist()
    assert (tests["n_low"] + tests["n_high"] == 25).all()
    assert (tests["p_corrected"] >= tests["p"] - 0.02).all()
    summary = read_table(phases / "evaluation/markers_survival/summary.csv")
    low = summary[summary["group"] == "low"].set_index("variable")["n"]
    assert low.to_dict() == tests["n_low"].to_dict()


def test_without_lasso_features_compete_beside_clinical_variables(phases):
    candidates = pd.read_csv(phases / "models/death/univariable.csv")["variable"].tolist()
    assert "age" in candidates
    assert "portal_original_glcm_MCC" not in candidates  # the readers disagree about it
    assert {name.split("_")[0] for name in candidates} == {"age", "arterial", "portal"}
    scores = read_table(phases / "models/death/scores.csv")
    assert scores["Radscore"].isna().all()
    assert scores["probability"].between(0, 1).all()
    final = read_json(phases / "models/death/model.json")["steps"]["logistic"]["coefficients"]
    shares = read_json(phases / "evaluation/death/validation.json")["selection"]["variables"]
    assert set(final) <= set(candidates)
    assert set(final) <= set(shares)
    listed = read_json(phases / "models/listed/model.json")["steps"]["logistic"]["coefficients"]
    assert list(listed) == ["original_glcm_Imc1", "original_glszm_ZonePercentage"]


def test_the_report_says_what_a_synthetic_cohort_is_worth(phases):
    page = (phases / "report/report.html").read_text(encoding="utf-8")
    assert "no external validation" in page
    assert "What copying alone gives" in page
    tables = phases / "report/tables"
    printed = pd.read_csv(tables / "markers_groups.csv")
    assert printed["marker"].tolist() == LISTED
    assert (phases / "report/figures/markers_survival.pdf").exists()
    study = yaml.safe_load((ROOT / "tests/workflow/phases/study.yaml").read_text(encoding="utf-8"))
    assert study["markers"]["features"] == LISTED
