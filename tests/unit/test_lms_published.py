"""What the lms publication prints, recomputed from its hazard ratios; and the margins of the simulated cohort."""

import numpy as np
import pandas as pd
import pytest
import yaml

from nenflow.evaluation.competing import cumulative_incidence
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.survival import at_times, kaplan_meier, median_follow_up
from nenflow.models.cox import fit_cox
from nenflow.models.score import integer_score, patterns
from nenflow.simulation.patients import draw_patients
from nenflow.study import load_simulation
from projects import ROOT

LMS = ROOT / "config/studies/lms"
SIMULATION = load_simulation(LMS / "simulation.yaml", ROOT / "workflow/schemas")
STUDY = yaml.safe_load((LMS / "study.yaml").read_text(encoding="utf-8"))
# The publication's hazard ratios.
PUBLISHED = {
    "ki67": {"<3": 1, "3-20": 10.36, ">20": 18.30},
    "invasion": {"no": 1, "yes": 5.03},
    "nodes": {"no": 1, "yes": 2.24},
    "adjuvant": {"yes": 1, "no": 3.03},
}
CODES = {"ki67=3-20": ("ki67", "3-20"), "ki67=>20": ("ki67", ">20")} | {
    name: (name, {"adjuvant": "no"}.get(name, "yes")) for name in ("invasion", "nodes", "adjuvant")
}
AVERAGED = 12  # cohorts


def published_score(rule):
    """The score of a model document that holds the published ratios."""
    coefficients = {column: np.log(PUBLISHED[name][level]) for column, (name, level) in CODES.items()}
    scales = {name: {"values": [1, 2]} for name in ("invasion", "nodes", "adjuvant")}
    terms = {"factors": {"ki67": STUDY["variables"]["ki67"]["levels"]}}
    return integer_score({"coefficients": coefficients, "scales": scales}, rule, terms)


def columns(patients):
    return np.column_stack([patients[name] == level for name, level in CODES.values()]).astype(float)


def seen(patients):
    levels = STUDY["variables"]["status"]["levels"]
    return patients["months"].to_numpy(), patients["status"].map(levels.index).to_numpy()


@pytest.fixture(scope="module")
def cohorts():
    seeds = [STUDY["seed"], *range(100, 100 + AVERAGED - 1)]
    return [draw_patients(SIMULATION, seed).patients for seed in seeds]


def test_each_level_is_worth_its_effect_over_the_smallest_one():
    effects = np.log([10.36, 18.30, 5.03, 2.24, 3.03])
    assert np.round(effects / effects.min(), 3).tolist() == [2.899, 3.604, 2.003, 1.000, 1.375]
    score = published_score("smallest")
    points = {name: scale["points"] for name, scale in score["variables"].items()}
    assert points == {"ki67": [0, 3, 4], "invasion": [0, 2], "nodes": [0, 1], "adjuvant": [0, 1]}


@pytest.mark.parametrize("rule", ["smallest", "hundred"])
def test_none_of_the_24_patterns_is_put_in_the_wrong_order(rule):
    table = patterns(published_score(rule))
    assert len(table) == 24
    assert table["linear_predictor"].is_monotonic_increasing
    assert table["score"].is_monotonic_increasing


def test_the_published_ratios_are_the_truth_of_the_simulation():
    assert SIMULATION["survival"]["metastasis"]["hazard_ratios"] == PUBLISHED


def test_a_cohort_has_the_published_numbers(cohorts):
    for patients in cohorts:
        assert len(patients) == 724
        assert patients["hospital"].nunique() == 3
        assert (patients["status"] == "liver metastasis").sum() == 66
        for name in ("ki67", "invasion", "nodes", "adjuvant"):
            assert patients[name].value_counts().to_dict() == SIMULATION["variables"][name]["counts"]
        for name in ("invasion", "nodes"):  # they go with Ki-67
            share = (patients[name] == "yes").groupby(patients["ki67"]).mean()
            assert share["<3"] < share["3-20"] < share[">20"]
    time, event = seen(cohorts[0])  # of the seed that the study comes with
    assert median_follow_up(time, event)[0] == pytest.approx(36, abs=6)
    assert np.median(time) == pytest.approx(36, abs=3)
    assert (time > 60).sum() >= 20  # so that 5 years can be judged


def test_published_figures_are_those_of_the_cohorts_on_average(cohorts):
    figures = {name: [] for name in ("c", "low", "intermediate", "high", "with", "without", "follow_up")}
    worth = [3, 4, 2, 1, 1]
    for patients in cohorts:
        time, event = seen(patients)
        design = columns(patients)
        figures["c"].append(harrell_c(time, event, design @ fit_cox(design, time, event).coef)["c"])
        figures["follow_up"].append(median_follow_up(time, event)[0])
        stratum = np.searchsorted([4, 5], design @ worth, side="right")
        for number, name in enumerate(["low", "intermediate", "high"]):
            curve = cumulative_incidence(time[stratum == number], event[stratum == number])
            figures[name].append(curve[curve["time"] <= 60]["incidence"].iloc[-1])
        for level, name in (("yes", "with"), ("no", "without")):
            rows = patients[patients["metastasis"] == level]
            curve = kaplan_meier(rows["survival"].to_numpy(), (rows["vital"] == "dead").to_numpy().astype(int))
            figures[name].append(at_times(curve, [60])["survival"].iloc[0])
    means = pd.DataFrame(figures).mean()
    assert means["c"] == pytest.approx(0.888, abs=0.02)
    assert means["low"] == pytest.approx(0.029, abs=0.015)
    assert means["intermediate"] == pytest.approx(0.208, abs=0.07)
    assert means["high"] == pytest.approx(0.497, abs=0.09)
    assert means["with"] == pytest.approx(0.636, abs=0.07)
    assert means["without"] == pytest.approx(0.958, abs=0.01)
    assert means["follow_up"] == pytest.approx(36, abs=4)


def test_death_and_metastasis_agree(cohorts):
    for patients in cohorts:
        first, dead = patients["status"], patients["vital"] == "dead"
        assert ((patients["metastasis"] == "yes") == (first == "liver metastasis")).all()
        assert (patients.loc[first == "death", "survival"] == patients.loc[first == "death", "months"]).all()
        assert dead[first == "death"].all()
        assert not dead[first == "none"].any()
        assert (patients["survival"] >= patients["months"]).all()
