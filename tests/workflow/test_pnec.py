"""The pnec study as it comes, from its simulation to its report: the exact checks of its publication on the results."""

import numpy as np
import pandas as pd
import pytest

from nenflow.documents import read_json
from nenflow.tables import read_table
from projects import Project, edit
from r_functions import SAME_IN_R, needs_r, run_r

MULTIVARIABLE = ["size", "resection=no", "treatment=either", "treatment=neither"]
# Printed total points at 1, 3 and 5 years; survivals from 0.05 in steps of 0.05.
TOTALS = {
    12: [142, 134, 128, 123, 119, 115, 111, 107, 103, 98, 94, 89, 84, 79, 73, 65, 56, 43, 22],
    36: [107, 99, 93, 88, 84, 80, 76, 72, 68, 63, 59, 54, 49, 44, 37, 30, 21, 8],
    60: [88, 80, 75, 70, 65, 61, 57, 53, 49, 45, 41, 36, 31, 25, 19, 11],
}


@pytest.fixture(scope="module")
def pnec(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("pnec"))
    project.study("pnec")
    fewer = {"resamples": 10, "resamples_per_job": 10, "permutations": 4, "categories": [0.3, 0.6]}
    edit(project.folder / "config/studies/pnec/study.yaml", lambda study: study["evaluation"].update(fewer))
    project.run()
    return project.folder / "results/pnec"


def test_the_cohort_has_the_published_margins(pnec):
    table = read_table(pnec / "cohort/development/patients.csv", text=["resection"])
    assert len(table) == 45
    assert table["sex"].value_counts()["male"] == 22
    assert table["large"].value_counts().to_dict() == {"<=5 cm": 35, ">5 cm": 10}
    assert (table["size"] <= 5).eq(table["large"] == "<=5 cm").all()
    low, median, high = table["size"].quantile([0.25, 0.5, 0.75])
    assert median == 4.4
    assert high - low == pytest.approx(1.8)
    assert table["age"].median() == 53
    assert (table["age"] <= 60).sum() == 31  # 69 %
    assert table["resection"].value_counts().to_dict() == {"yes": 30, "no": 15}
    assert table["treatment"].value_counts().to_dict() == {"both": 12, "either": 25, "neither": 8}
    assert table["status"].value_counts().to_dict() == {"dead": 43, "alive": 2}


def test_the_truth_has_the_published_effects(pnec):
    truth = read_json(pnec / "simulation/development/truth.json")
    ratios = {name: np.exp(value) for name, value in truth["survival"]["death"]["coefficients"].items()}
    assert ratios == pytest.approx(dict(zip(MULTIVARIABLE, [1.457, 5.666, 2.361, 7.804], strict=True)))
    assert truth["survival"]["death"]["events"] == 43
    assert truth["simulated"] is True


def test_tables_have_the_rows_and_columns_of_the_paper(pnec):
    alone = read_table(pnec / "models/nomogram/univariable.csv")
    together = read_table(pnec / "models/nomogram/multivariable.csv")
    assert list(alone["variable"]) == ["sex=male", "age", *MULTIVARIABLE]
    assert list(together["variable"]) == MULTIVARIABLE
    page = (pnec / "report/report.html").read_text(encoding="utf-8")
    places = [
        page.index(f">{words}<", page.index("Table 3."))
        for words in ("Variable", "Alone: HR (95% CI)", "p", "Final model: HR (95% CI)")
    ]
    assert places == sorted(places)


def test_survival_is_compared_by_the_three_variables(pnec):
    tests = read_table(pnec / "evaluation/survival_death/tests.csv")
    assert list(dict.fromkeys(tests["variable"].dropna())) == ["resection", "large", "treatment"]
    assert {f"km_death_{name}.png" for name in ("all", "resection", "large", "treatment")} <= {
        path.name for path in (pnec / "report/figures").iterdir()
    }


def test_the_published_points_stand_beside_the_study_s_own(pnec):
    table = pd.read_csv(pnec / "models/published_nomogram/points.csv")
    for time, totals in TOTALS.items():
        rows = table[table["variable"] == f"survival_{time}"]
        assert rows["value"].astype(float).tolist() == pytest.approx([0.05 * k for k in range(1, len(totals) + 1)])
        assert np.rint(rows["points"]).tolist() == totals
    own = read_json(pnec / "models/nomogram/nomogram.json")
    assert [axis["time"] for axis in own["survival"]] == [12, 36, 60]
    assert max(max(scale["points"]) for scale in own["variables"].values()) == pytest.approx(100)
    page = (pnec / "report/report.html").read_text(encoding="utf-8")
    assert "Published models" in page
    assert "5.666 (2.611–12.30)" in page
    assert "SIMULATED DATA" in page


def test_the_published_model_scores_the_cohort(pnec):
    found = read_table(pnec / "models/published_nomogram/scores.csv").set_index("patient")
    table = read_table(pnec / "cohort/development/patients.csv", text=["resection"]).set_index("patient")
    effects = {"both": 0.0, "either": np.log(2.361), "neither": np.log(7.804)}
    expected = 100 / 29.528 / 9 * table["size"] + np.log(5.666) * (table["resection"] == "no")
    expected += table["treatment"].map(effects)
    np.testing.assert_allclose(found["linear_predictor"], expected.loc[found.index], atol=1e-5)
    figures = read_json(pnec / "evaluation/published_nomogram/performance.json")
    assert (figures["n"], figures["events"]) == (45, 43)
    assert 0.6 < figures["c"] < 0.85
    assert len(read_table(pnec / "models/published_nomogram/exclusions.csv")) == 0
    assert set(read_table(pnec / "evaluation/published_nomogram/calibration_groups.csv")["time"]) == {12, 36, 60}


def test_what_is_printed_beside_what_is_left(pnec):
    checked = read_json(pnec / "evaluation/nomogram/validation.json")["scores"]["nomogram"]
    assert checked["corrected"]["c"] < checked["apparent"]
    assert set(checked["times"]) == {"12", "36", "60"}
    checks = read_table(pnec / "models/nomogram/assumptions.csv")
    assert "GLOBAL" in set(checks["variable"])  # Schoenfeld
    per_variable = checks[checks["check"] == "events per variable"].iloc[0]
    assert (per_variable["value"], per_variable["df"]) == (pytest.approx(43 / 6), 6)


def test_the_published_model_is_compared_with_the_one_from_the_cohort(pnec):
    table = read_table(pnec / "evaluation/comparisons.csv")
    assert table[["predictions", "first", "second", "n"]].drop_duplicates().to_numpy().tolist() == [
        ["apparent", "nomogram", "published_nomogram", 45],
        ["folds", "nomogram", "published_nomogram", 45],
    ]
    alone = [read_json(pnec / f"evaluation/{name}/performance.json") for name in ("nomogram", "published_nomogram")]
    index = table[table["measure"] == "C-index"].set_index("predictions")
    assert index.loc["apparent", ["first_value", "second_value"]].tolist() == pytest.approx(
        [alone[0]["nomogram"]["c"], alone[1]["c"]]
    )
    assert index.loc["folds", "second_value"] == index.loc["apparent", "second_value"]
    assert index.loc["folds", "first_value"] < index.loc["apparent", "first_value"]
    assert set(table["measure"]) == {"C-index", "IDI", "NRI, continuous", "NRI, categories", "net benefit"}
    page = (pnec / "report/report.html").read_text(encoding="utf-8")
    assert "“nomogram” and “nomogram” (published)" in page


@needs_r
def test_the_published_model_gives_the_same_numbers_in_r(pnec, tmp_path):
    function = (pnec / "models/published_nomogram/predict.R").read_text(encoding="utf-8")
    expected = read_table(pnec / "models/published_nomogram/scores.csv")
    patients = read_table(pnec / "cohort/development/patients.csv", text=["resection"])
    found = run_r(function, "nomogram", patients.set_index("patient").loc[expected["patient"]], tmp_path)
    assert np.abs(found.to_numpy() - expected[list(found)].to_numpy()).max() < SAME_IN_R
