from itertools import product

import numpy as np
import pandas as pd
import pytest

from nenflow.documents import plain
from nenflow.models.exchange import coefficient_rows, r_function
from nenflow.models.protocol import build_protocol, from_document, scores, to_document
from nenflow.published import read_model
from nenflow.tables import UNIT
from projects import ROOT
from r_functions import SAME_IN_R, labelled, needs_r, run_r

SCHEMAS = ROOT / "workflow/schemas"
PNEC = ROOT / "config/studies/pnec/published/nomogram.json"
VARIABLES = {
    "age": {"label": "Age (years)", "type": "continuous"},
    "size": {"label": 'Size, "largest" (cm)', "type": "continuous"},
    "grade": {"label": "Grade", "type": "categorical", "levels": ["1", "2", "3"]},
    "location": {"label": "Ort", "type": "categorical", "levels": ["Dünndarm", 'other "site"', ">20=x"]},
}


def cohort(n=150):
    """Features of two scales and clinical variables, an outcome with and one without time that follow them."""
    rng = np.random.default_rng(7)
    X = pd.DataFrame(
        {
            "original_glcm_Imc1": rng.normal(-0.06, 0.01, n),
            "wavelet-LLH_glszm_ZoneVariance": rng.lognormal(16, 1, n),
            "age": rng.uniform(30, 80, n),
            "size": rng.uniform(1, 10, n),
            "grade": rng.integers(1, 4, n).astype(float),
            "location": rng.integers(1, 4, n).astype(float),
        },
        index=pd.MultiIndex.from_tuples([(f"P{number:03d}", "lesion1") for number in range(n)], names=UNIT),
    )
    risk = (X["original_glcm_Imc1"] + 0.06) / 0.01 + np.abs(X["age"] - 55) / 8 + 0.2 * X["size"] - 4
    risk += 0.4 * (X["location"] == 3)
    binary = pd.Series((rng.random(n) < 1 / (1 + np.exp(-risk))).astype(int), X.index, name="outcome")
    time, end = rng.exponential(30 * np.exp(-0.5 * risk)), rng.uniform(30, 90, n)
    follow_up = pd.DataFrame({"time": np.minimum(time, end), "event": (time <= end).astype(int)}, X.index)
    return X, binary, follow_up


def document_of(steps, X, y, times=()):
    clinical = [name for name in X if name in VARIABLES]
    protocol = build_protocol(steps, clinical, None, 1, times).fit(X, y)
    return plain({"study": "A test", "model": "m", "variables": VARIABLES, **to_document(protocol)})


def in_r(document, X, folder, name="m"):
    found = run_r(r_function(document, name), name, labelled(X, document["variables"]), folder)
    assert isinstance(found, pd.DataFrame), found
    return found


def here(document, X, strata=None):
    found = scores(from_document(document, [name for name in X if name in document["variables"]]), X, strata)
    return found.dropna(axis="columns", how="all").reset_index(drop=True)


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=0, atol=SAME_IN_R)


@needs_r
def test_r_gives_the_published_survivals_of_a_grid_of_patients(tmp_path):
    model = read_model(PNEC, SCHEMAS)
    grid = pd.DataFrame(list(product(np.arange(0.5, 15, 0.5), (1.0, 2.0), (1.0, 2.0, 3.0))), columns=model["variables"])
    found = in_r(model, grid, tmp_path, "nomogram")
    assert_same(found, here(model, grid))
    printed = grid[(grid["size"] == 1) & (grid["resection"] == 1) & (grid["treatment"] == 1)].index[0]
    assert found.loc[printed].round(4).tolist()[1:] == [0.9756, 0.9222, 0.8595]  # zero points of the printed table


@needs_r
def test_r_gives_a_radscore_and_probabilities(tmp_path):
    X, y, _ = cohort()
    steps = [
        {"zscore": {}},
        {"lasso": {"folds": 5, "rule": "lambda.min"}},
        {"terms": {"factors": {"location": VARIABLES["location"]["levels"]}}},
        {"logistic": {}},
    ]
    document = document_of(steps, X, y)
    found = in_r(document, X, tmp_path)
    assert list(found) == ["Radscore", "linear_predictor", "probability"]
    assert np.ptp(found["Radscore"]) > 1
    assert_same(found, here(document, X))


@needs_r
def test_r_gives_survivals_with_splines_factors_and_features_without_radscore(tmp_path):
    X, _, y = cohort()
    splines = {"terms": {"factors": {"grade": ["1", "2", "3"]}, "splines": {"age": 5, "size": 3}}}
    document = document_of([{"zscore": {}}, splines, {"cox": {}}], X, y, times=[6, 12, 24.5])
    assert {"age'''", "size'", "grade=3"} <= set(document["steps"]["cox"]["coefficients"])
    beyond = X.assign(age=X["age"] * 2 - 55)  # straight beyond the outer knots
    found = in_r(document, beyond, tmp_path)
    assert list(found) == ["linear_predictor", "survival_6", "survival_12", "survival_24.5"]
    assert_same(found, here(document, beyond))


@needs_r
def test_each_stratum_has_its_own_baseline_in_r(tmp_path):
    X, _, y = cohort()
    strata = X["grade"].astype(int).astype(str)
    document = document_of([{"cox": {"strata": "grade"}}], X.drop(columns="grade"), y.assign(stratum=strata), [12, 24])
    found = in_r(document, X, tmp_path)
    assert_same(found, here(document, X.drop(columns="grade"), strata.tolist()))
    alike = pd.concat([X.iloc[:1].assign(grade=grade) for grade in (1.0, 2.0, 3.0)])
    assert in_r(document, alike, tmp_path)["survival_12"].nunique() == 3


@needs_r
def test_r_names_what_is_wrong_in_a_table(tmp_path):
    model = read_model(PNEC, SCHEMAS)
    right = pd.DataFrame({"size": [4.4, 2.0], "resection": ["yes", "no"], "treatment": ["both", "both"]})

    def said(patients):
        return run_r(r_function(model, "nomogram"), "nomogram", patients, tmp_path)

    assert len(said(right)) == 2
    assert "the table has no column size" in said(right.drop(columns="size"))
    assert "column size, row 2 is missing" in said(right.assign(size=[4.4, None]))
    assert "column size holds text" in said(right.assign(size=["4,4", "2,0"]))
    assert "column resection, row 2 is none of yes, no" in said(right.assign(resection=["yes", "NO"]))


def test_the_table_has_every_number_of_a_model():
    X, y, follow_up = cohort()
    fusion = document_of([{"zscore": {}}, {"lasso": {"folds": 5, "rule": "lambda.min"}}, {"logistic": {}}], X, y)
    rows = pd.DataFrame(coefficient_rows(fusion))
    assert rows["part"].unique().tolist() == ["Radscore", "logistic"]
    radscore = rows[rows["part"] == "Radscore"].set_index("column")
    z = (X[radscore.index[1:]] - radscore["centre"][1:]) / radscore["scale"][1:]
    by_hand = radscore.loc["intercept", "coefficient"] + z @ radscore["coefficient"][1:]
    assert by_hand.to_numpy() == pytest.approx(here(fusion, X)["Radscore"].to_numpy(), abs=1e-12)
    survival = document_of([{"cox": {}}], X[["age"]], follow_up, times=[12])
    assert [row["part"] for row in coefficient_rows(survival)] == ["cox", "baseline"]
    effect, hazard = (row["coefficient"] for row in coefficient_rows(survival))
    expected = here(survival, X[["age"]])["survival_12"]
    assert np.exp(-hazard * np.exp(effect * X["age"].to_numpy())) == pytest.approx(expected.to_numpy(), abs=1e-9)
