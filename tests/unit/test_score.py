import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency

from nenflow.errors import InputError
from nenflow.models.score import (
    fit_score,
    integer_score,
    observed_risk,
    patterns,
    quantile_cut_offs,
    searched_cut_offs,
    strata_names,
    strata_of,
    total_score,
)

CODES, THREE = {"values": [1, 2]}, {"values": [0, 1, 2]}
MODEL = {
    "coefficients": {"ki67=3-20": 2.4, "ki67=>20": 2.9, "invasion": 1.6, "adjuvant": -1.0},
    "scales": {"invasion": CODES, "adjuvant": CODES},
}
TERMS = {"factors": {"ki67": ["<3", "3-20", ">20"]}}


def points(score):
    return {name: dict(zip(s["values"], s["points"], strict=True)) for name, s in score["variables"].items()}


def test_smallest_coefficient_is_worth_one_point_and_protection_costs_those_without_it():
    score = integer_score(MODEL, terms=TERMS)
    assert points(score) == {
        "ki67": {"<3": 0, "3-20": 2, ">20": 3},
        "invasion": {1: 0, 2: 2},
        "adjuvant": {1: 1, 2: 0},
    }
    assert score["maximum"] == 6
    assert score["factors"] == ["ki67"]


def test_rule_of_the_ratio_and_of_a_hundred():
    ratio = integer_score(MODEL, "ratio", TERMS)
    assert points(ratio)["ki67"] == {"<3": 0, "3-20": round(np.exp(2.4)), ">20": round(np.exp(2.9))}
    assert points(ratio)["adjuvant"] == {1: round(np.e), 2: 0}
    hundred = integer_score(MODEL, "hundred", TERMS)
    assert points(hundred)["ki67"] == {"<3": 0, "3-20": 83, ">20": 100}
    assert points(hundred)["adjuvant"] == {1: 34, 2: 0}


def test_halves_are_rounded_up():
    model = {"coefficients": {"a": 1.0, "b": 2.5, "c": 3.5}, "scales": dict.fromkeys("abc", CODES)}
    assert [levels[2] for levels in points(integer_score(model)).values()] == [1, 3, 4]


def test_ordered_levels_get_points_step_by_step():
    model = {"coefficients": {"grade": 1.4, "n": 1.0}, "scales": {"grade": {"values": [1, 2, 4]}, "n": CODES}}
    assert points(integer_score(model))["grade"] == {1: 0, 2: 1, 4: 4}


def test_a_level_lower_than_the_reference_moves_the_zero():
    model = {"coefficients": {"site=b": -0.5, "site=c": 1.0}, "scales": {}}
    score = integer_score(model, terms={"factors": {"site": ["a", "b", "c"]}})
    assert points(score)["site"] == {"a": 1, "b": 0, "c": 3}


def test_what_cannot_be_a_score_is_refused():
    continuous = {"coefficients": {"age": 0.1}, "scales": {"age": {"minimum": 20.0, "maximum": 80.0}}}
    with pytest.raises(InputError, match="age is continuous"):
        integer_score(continuous)
    few = {"coefficients": {"age": 0.1, "age'": 0.2}, "scales": {"age": {"values": [30, 40, 50, 60]}}}
    with pytest.raises(InputError, match="age is continuous"):
        integer_score(few, terms={"knots": {"age": [35, 45, 55]}})
    with pytest.raises(InputError, match="no rule 'largest'"):
        integer_score(MODEL, "largest", TERMS)
    for nothing in ({}, {"invasion": 0.0}):
        with pytest.raises(InputError, match="no variable with an effect"):
            integer_score({"coefficients": nothing, "scales": {"invasion": CODES}})


def test_total_adds_up_a_table():
    score = integer_score(MODEL, terms=TERMS)
    X = pd.DataFrame({"ki67=3-20": [0, 1, 0], "ki67=>20": [0, 0, 1], "invasion": [1, 2, 2], "adjuvant": [2, 2, 1]})
    assert total_score(score, X).tolist() == [0, 4, 6]
    shuffled = X.iloc[::-1, ::-1]
    assert total_score(score, shuffled).tolist() == [6, 4, 0]
    with pytest.raises(InputError, match="no points for invasion = 3"):
        total_score(score, X.assign(invasion=[1, 3, 2]))
    with pytest.raises(InputError, match="missing values"):
        total_score(score, X.assign(invasion=[1, np.nan, 2]))
    with pytest.raises(InputError, match="lacks 1 variable"):
        total_score(score, X.drop(columns="adjuvant"))


@given(st.lists(st.floats(0.2, 3), min_size=1, max_size=4), st.sampled_from(["smallest", "ratio", "hundred"]))
def test_more_risk_never_has_fewer_points_within_a_variable(slopes, rule):
    names = [f"x{j}" for j in range(len(slopes))]
    model = {
        "coefficients": dict(zip(names, slopes, strict=True)),
        "scales": dict.fromkeys(names, THREE),
    }
    score = integer_score(model, rule)
    for levels in points(score).values():
        assert levels[0] == 0 < levels[1] <= levels[2]
    table = patterns(score)
    assert len(table) == 3 ** len(slopes)
    assert total_score(score, table[names]).tolist() == table["score"].tolist()
    np.testing.assert_allclose(table["linear_predictor"], table[names].to_numpy(float) @ slopes)


def test_patterns_show_what_rounding_puts_in_the_wrong_order():
    model = {"coefficients": {"a": 1.0, "b": 1.4, "c": 2.5}, "scales": dict.fromkeys("abc", CODES)}
    table = patterns(integer_score(model))
    # a and b: 2.4 and 2 points; c alone: 2.5 and 3 points; a and c 3.5 and 4 points; b and c 3.9 and 4 points
    assert table["score"].tolist() == [0, 1, 1, 2, 3, 4, 4, 5]
    wrong = {"coefficients": {"a": 1.0, "b": 1.4, "c": 1.5, "d": 1.45}, "scales": dict.fromkeys("abcd", CODES)}
    assert not patterns(integer_score(wrong))["score"].is_monotonic_increasing


def test_too_many_patterns_are_not_listed():
    names = [f"x{j}" for j in range(17)]
    score = integer_score({"coefficients": dict.fromkeys(names, 1.0), "scales": dict.fromkeys(names, CODES)})
    with pytest.raises(InputError, match="more than 100,000 combinations"):
        patterns(score)


def test_strata_start_at_their_cut_off():
    assert strata_of([0, 2, 3, 5, 6, 9], [3, 6]).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(InputError, match="must ascend; 6, 3 do not"):
        strata_of([0], [6, 3])
    assert strata_names(2) == ["low", "high"]
    assert strata_names(3) == ["low", "intermediate", "high"]
    assert strata_names(4) == ["group 1", "group 2", "group 3", "group 4"]


def test_tertiles_of_scores():
    # quantiles of nine values: two thirds of the way from 1 to 2, a third of that from 4 to 5
    scores = [0, 0, 1, 2, 3, 4, 5, 5, 9]
    cut_offs = quantile_cut_offs(scores)
    assert cut_offs == [2, 5]
    assert np.bincount(strata_of(scores, cut_offs)).tolist() == [3, 3, 3]
    assert quantile_cut_offs(scores, 2) == [4]  # the median belongs to the lower half
    for tied in ([4] * 9, [0] * 8 + [3], [0] * 5 + [7] * 5):
        with pytest.raises(InputError, match="too few different values"):
            quantile_cut_offs(tied)


def test_share_of_events_with_its_exact_interval():
    stratum, y = [0] * 10 + [1] * 5, pd.Series([0] * 10 + [1, 1, 1, 0, 0])
    table = observed_risk(stratum, y, ["low", "high", "empty"])
    assert table["stratum"].tolist() == ["low", "high", "empty"]
    assert table["n"].tolist() == [10, 5, 0]
    assert table["events"].tolist() == [0, 3, 0]
    assert table["risk"].tolist()[:2] == [0, 0.6]
    # with the limits as true shares, results so high or so low have a chance of 2.5 %
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx([0, 1 - 0.025**0.1])
    low, high = table.loc[1, ["low", "high"]]
    assert binom.sf(2, 5, low) == pytest.approx(0.025)
    assert binom.cdf(3, 5, high) == pytest.approx(0.025)
    assert table.loc[2, ["risk", "low", "high"]].isna().all()


def test_risk_at_times_by_hand():
    y = pd.DataFrame({"time": [1.0, 2, 3, 4, 5, 6], "event": [1, 0, 1, 1, 1, 0]})
    table = observed_risk([0, 0, 0, 0, 1, 1], y, ["low", "high"], [2, 4, 5])
    assert table["stratum"].tolist() == ["low"] * 3 + ["high"] * 3
    assert table["time"].tolist() == [2, 4, 5] * 2
    # low: 3/4 survive the first event; 1/2 and then none of those two the others
    assert table["risk"].tolist() == pytest.approx([0.25, 1.0, 1.0, 0.0, 0.0, 0.5])
    assert table["events"].tolist() == [1, 3, 3, 0, 0, 1]
    assert table["at_risk"].tolist() == [3, 1, 0, 2, 2, 2]
    # log scale: error of log S at 2 is sqrt(1 / (4 * 3)), the upper limit of survival is cut at 1
    assert table.loc[0, "high"] == pytest.approx(1 - 0.75 * np.exp(-1.959964 * np.sqrt(1 / 12)))
    assert table.loc[0, "low"] == 0


def test_risk_after_the_follow_up_of_a_stratum_is_not_known():
    y = pd.DataFrame({"time": [1.0, 2, 9], "event": [1, 0, 0]})
    table = observed_risk([0, 0, 2], y, strata_names(3), [5])
    assert table.loc[0, ["risk", "low", "high"]].isna().all()
    assert table.loc[1, "n"] == 0
    assert np.isnan(table.loc[1, "risk"])
    assert table.loc[2, "risk"] == 0


def test_searched_cut_offs_part_strata_that_differ_most():
    # risks of .1, .1, .5, .5, .9, .9 at the scores 0 to 5: the strata are 0-1, 2-3 and 4-5, whatever else is tried
    scores = np.repeat(np.arange(6), 20)
    y = pd.Series(np.concatenate([np.repeat([1, 0], [events, 20 - events]) for events in (2, 2, 10, 10, 18, 18)]))
    assert searched_cut_offs(scores, y) == [2, 4]
    table = pd.crosstab(strata_of(scores, [2, 4]), y)
    best = chi2_contingency(table, correction=False).statistic
    others = [chi2_contingency(pd.crosstab(strata_of(scores, cuts), y), correction=False).statistic
              for cuts in ([1, 4], [2, 5], [1, 3], [3, 4])]  # fmt: skip
    assert best > max(others)
    survival = pd.DataFrame({"time": np.where(y == 1, 10.0, 50.0) + np.arange(120) / 100, "event": y})
    assert searched_cut_offs(scores, survival) == [2, 4]


def test_searched_strata_hold_a_tenth_each():
    scores = np.repeat([0, 1, 2, 9], [50, 25, 20, 5])
    y = pd.Series(np.repeat([0, 1, 0, 1, 0, 1], [45, 5, 20, 5, 15, 10]))
    assert searched_cut_offs(scores, y) == [1, 2]  # 9 alone would part best, and is a twentieth
    with pytest.raises(InputError, match="state the cut-offs"):
        searched_cut_offs([0] * 95 + [1] * 4 + [2], y)


def test_a_score_is_cut_as_the_settings_say():
    X = pd.DataFrame(
        {"ki67=3-20": [0, 1, 0] * 20, "ki67=>20": [0, 0, 1] * 20, "invasion": [1, 1, 2] * 20, "adjuvant": 2}
    )
    y = pd.Series([0, 1, 1] * 20)
    assert fit_score(MODEL, X, y, {"rule": "smallest"}, TERMS)["cutoffs"] == quantile_cut_offs([0, 2, 5] * 20)
    assert fit_score(MODEL, X, y, {"rule": "smallest", "cutoffs": [1, 3]}, TERMS)["cutoffs"] == [1, 3]
    found = fit_score(MODEL, X, y, {"rule": "smallest", "cutoffs": "searched"}, TERMS)
    assert (found["cutoffs"], found["strata"]) == ([2, 5], ["low", "intermediate", "high"])
