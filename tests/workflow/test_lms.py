"""The lms study from its simulated patients to its report, with fewer resamples than it ships with."""

import numpy as np
import pytest

from nenflow.documents import read_json
from nenflow.evaluation.competing import cumulative_incidence
from nenflow.models.score import searched_cut_offs, strata_of
from nenflow.tables import UNIT, read_table
from projects import Project, edit

POINTS = ["ki67", "invasion", "nodes", "adjuvant"]


@pytest.fixture(scope="module")
def lms(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("lms"))
    project.study("lms")
    fewer = {"resamples": 10, "resamples_per_job": 10, "permutations": 4}
    edit(project.folder / "config/studies/lms/study.yaml", lambda study: study["evaluation"].update(fewer))
    project.run()
    return project.folder / "results/lms"


def worth(score):
    """Points of each variable's levels by hand: effects over the lowest level, over the smallest coefficient."""
    effects = {name: np.array(scale["effects"]) for name, scale in score["variables"].items()}
    smallest = min(np.abs(effect[1:] - effect[0]).min() for effect in effects.values())
    return {name: np.floor((effect - effect.min()) / smallest + 0.5).astype(int) for name, effect in effects.items()}


def test_the_model_has_the_published_risk_factors(lms):
    score = read_json(lms / "models/metastasis/score.json")
    assert list(score["variables"]) == POINTS
    assert score["strata"] == ["low", "intermediate", "high"]
    assert score["rule"] == "smallest"


def test_weights_and_cut_offs_are_refitted_in_each_fold(lms):
    dataset = read_table(lms / "models/metastasis/dataset.csv", index=UNIT)
    units = read_table(lms / "evaluation/metastasis/cross_validation.csv", index=UNIT)
    document = read_json(lms / "evaluation/metastasis/cross_validation.json")
    assert list(document) == ["folds", "hospital"]
    assert [len(part["parts"]) for part in document.values()] == [10, 3]
    assert len({str(part["score"]["variables"]["ki67"]["effects"]) for part in document["folds"]["parts"]}) == 10
    for scheme, found in document.items():
        rows = units[units["scheme"] == scheme].loc[dataset.index]
        assert found["pooled"]["n"] == 724
        for part in found["parts"]:
            inside = (rows["fold"].astype(str) == part["part"]).to_numpy()
            assert part["fitted_to"] == (~inside).sum()
            points = np.zeros(len(dataset), dtype=int)
            for name, levels in worth(part["score"]).items():
                assert part["score"]["variables"][name]["points"] == levels.tolist()
                points += levels[dataset[name].to_numpy(dtype=int) - 1]
            assert (
                searched_cut_offs(points[~inside], dataset.loc[~inside, ["time", "event"]]) == part["score"]["cutoffs"]
            )
            assert (rows.loc[inside, "points"] == points[inside]).all()
            names = np.array(part["score"]["strata"])[strata_of(points[inside], part["score"]["cutoffs"])]
            assert (rows.loc[inside, "stratum"] == names).all()


def test_the_risk_of_the_strata_lets_death_compete(lms):
    units = read_table(lms / "evaluation/metastasis/cross_validation.csv", index=UNIT)
    dataset = read_table(lms / "models/metastasis/dataset.csv", index=UNIT)
    assert set(dataset["event"]) == {0, 1, 2}
    found = read_json(lms / "evaluation/metastasis/cross_validation.json")["folds"]["strata"]
    rows = units[units["scheme"] == "folds"].loc[dataset.index]
    high = dataset[(rows["stratum"] == "high").to_numpy()]
    curve = cumulative_incidence(high["time"].to_numpy(), high["event"].to_numpy())
    expected = curve[curve["time"] <= 60]["incidence"].iloc[-1]
    at_60 = {row["stratum"]: row["risk"] for row in found if row["time"] == 60}
    assert at_60["high"] == pytest.approx(expected, abs=1e-9)
    assert at_60["low"] < at_60["intermediate"] < at_60["high"]


def test_what_a_careful_statistician_adds_is_there(lms):
    other = read_table(lms / "models/metastasis/subdistribution.csv")
    assert len(other) == 5
    incidence = read_table(lms / "evaluation/survival_metastasis/incidence.csv", text=["group", "variable"])
    assert set(incidence["variable"].dropna()) >= {"hospital", "invasion"}
    overall = read_table(lms / "evaluation/survival_overall/summary.csv", text=["group"]).set_index("group")
    assert overall.loc["yes", "survival_60"] < overall.loc["no", "survival_60"]
    text = (lms / "report/report.html").read_text(encoding="utf-8")
    for words in ("Cross-validation", "Internal-external validation", "Subdistribution HR", "Cumulative incidence"):
        assert words in text


def test_the_published_score_stands_beside_the_one_from_the_cohort(lms):
    model = read_json(lms / "models/published_score/model.json")
    table = read_table(lms / "models/published_score/scores.csv", index=UNIT)
    assert not any(column.startswith("survival_") for column in table)  # no baseline is printed
    patients = read_table(lms / "models/metastasis/dataset.csv", index=UNIT)
    by_hand = (
        patients["ki67"].map({1: 0, 2: 3, 3: 4}) + 2 * (patients["invasion"] == 2)
        + (patients["nodes"] == 2) + (patients["adjuvant"] == 2)
    )  # fmt: skip
    assert (table["points"] == by_hand.loc[table.index]).all()
    figures = read_json(lms / "evaluation/published_score/performance.json")
    assert figures["missing"] == model["missing"]
    assert figures["c"] == pytest.approx(0.888, abs=0.03)  # as published; this cohort is one of many
    assert "calibration" not in figures
    page = (lms / "report/report.html").read_text(encoding="utf-8")
    assert "The baseline hazard is not printed" in page
    assert "low 2.9%, intermediate 20.8%, high 49.7%" in page
    compared = read_table(lms / "evaluation/comparisons.csv")
    assert set(compared["measure"]) == {"C-index"}
