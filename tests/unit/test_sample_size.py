import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nenflow.errors import InputError
from nenflow.evaluation.sample_size import (
    expected_shrinkage,
    r2_of_c,
    sample_size_binary,
    sample_size_of,
    sample_size_survival,
)


def needed(table):
    return table.set_index("criterion")["n"].to_dict()


def test_published_binary_example():
    # Riley et al. 2019 (and pmsampsize's documentation): 24 parameters, prevalence 0.174, Cox-Snell R2 0.288.
    table = sample_size_binary(24, 0.174, 0.288)
    assert needed(table) == {"shrinkage": 623, "optimism": 662, "overall risk": 221, "required": 662}
    last = table.iloc[-1]
    assert last["events"] == 116
    assert last["events_per_parameter"] == pytest.approx(4.80, abs=5e-3)
    assert last["largest_r2"] == pytest.approx(0.60, abs=5e-3)


def test_published_example_of_pre_eclampsia():
    # Riley et al. 2020, BMJ: 30 parameters, prevalence 0.05, R2 15 % of 0.33, rounded to 0.05.
    assert needed(sample_size_binary(30, 0.05, 0.05))["shrinkage"] == 5249
    table = sample_size_binary(30, 0.05)
    assert table["largest_r2"].iloc[0] == pytest.approx(0.33, abs=5e-3)
    assert table["r2"].iloc[0] == pytest.approx(0.15 * table["largest_r2"].iloc[0])


def test_published_survival_example():
    # Riley et al. 2019: recurrent thrombosis, 30 parameters, 0.065 events a year, 2.07 years, risk at 2, R2 0.051.
    table = sample_size_survival(30, 0.065, 2.07, 2, 0.051)
    last = table.iloc[-1]
    assert needed(table)["shrinkage"] == 5143 == last["n"]
    assert last["events"] == 692
    assert last["events_per_parameter"] == pytest.approx(23.07, abs=5e-3)
    assert last["largest_r2"] == pytest.approx(0.555, abs=5e-4)
    assert needed(table)["optimism"] == 1039


@pytest.mark.parametrize(("parameters", "n"), [(9, 149), (12, 199)])
def test_survival_examples_in_which_optimism_decides(parameters, n):
    # pmsampsize's result for these inputs, as a study of patient-reported outcomes in lung cancer notes it.
    assert needed(sample_size_survival(parameters, 0.60, 2.17, 1, 0.4837))["required"] == pytest.approx(n, abs=1)


def test_the_unit_of_time_does_not_matter():
    years = sample_size_survival(10, 0.2, 3, 2)
    months = sample_size_survival(10, 0.2 / 12, 36, 24)
    assert needed(years) == needed(months)


def test_overall_risk_is_known_within_the_margin_and_no_better():
    n = needed(sample_size_survival(1, 0.3, 2, 2, 0.5))["overall risk"]

    def margin(units):
        reach = 1.96 * np.sqrt(0.3 / (2 * units))
        return np.exp(-(0.3 - reach) * 2) - np.exp(-0.3 * 2)

    assert margin(n) <= 0.05 < margin(n - 1)


def test_r2_of_a_c_statistic_agrees_with_a_million_simulated_units():
    # Riley et al. 2021 simulate; pmsampsize gives 0.29 for C 0.89 and prevalence 0.174.
    rng = np.random.default_rng(3)
    n, prevalence, distance = 1_000_000, 0.174, 1.7345879  # sqrt(2) times the normal quantile of 0.89
    y = np.arange(n) < n * prevalence
    x = rng.normal(size=n) + distance * y
    predictor = np.log(prevalence / (1 - prevalence)) - distance**2 / 2 + distance * x
    model = np.where(y, -np.log1p(np.exp(-predictor)), -np.log1p(np.exp(predictor))).mean()
    null = prevalence * np.log(prevalence) + (1 - prevalence) * np.log(1 - prevalence)
    assert r2_of_c(0.89, prevalence) == pytest.approx(1 - np.exp(2 * (null - model)), abs=2e-3)


@given(st.floats(0.02, 0.98), st.floats(0.5, 0.99))
def test_r2_of_c_rises_from_nothing_and_is_symmetric_in_the_outcome(prevalence, c):
    assert r2_of_c(0.5, prevalence) == pytest.approx(0, abs=1e-12)
    assert r2_of_c(c, prevalence) == pytest.approx(r2_of_c(c, 1 - prevalence), abs=1e-7)
    assert r2_of_c(c, prevalence) <= r2_of_c(min(c + 0.005, 0.995), prevalence)


@given(st.integers(1, 60), st.floats(0.02, 0.6), st.floats(0.02, 0.98))
def test_a_stronger_model_with_fewer_parameters_shrinks_less(parameters, r2, prevalence):
    largest = sample_size_binary(parameters, prevalence)["largest_r2"].iloc[0]
    if r2 < largest:
        n = needed(sample_size_binary(parameters, prevalence, r2))["shrinkage"]
        assert expected_shrinkage(n, parameters, r2) == pytest.approx(0.9, abs=0.9 / n)
        assert expected_shrinkage(2 * n, parameters, r2) > expected_shrinkage(n, parameters, r2)
        assert needed(sample_size_binary(parameters + 1, prevalence, r2))["shrinkage"] >= n


def test_too_few_units_have_no_expected_shrinkage():
    assert np.isnan(expected_shrinkage(10, 50, 0.1))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sample_size_binary(5, 0.0), "share of events is 0.0"),
        (lambda: sample_size_binary(0, 0.5), "at least one candidate"),
        (lambda: sample_size_binary(5, 0.1, 0.6), "R2 of 0.6 is not possible"),
        (lambda: sample_size_survival(5, 0.1, 0, 2), "greater than 0"),
        (lambda: sample_size_survival(5, 2.0, 2.0, 2), "not possible"),
        (lambda: r2_of_c(1.0, 0.3), "C statistic between"),
    ],
)
def test_impossible_plans_are_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


def outcome(n, events):
    return pd.Series(np.arange(n) < events).astype(int)


def follow_up(time, event):
    return pd.DataFrame({"time": np.asarray(time, dtype=float), "event": event})


def test_a_study_as_frequent_as_the_published_one_needs_as_many():
    # Riley et al. 2019: prevalence 0.174, 24 parameters, R2 0.288; here 174 of 1000 units have the event.
    table = sample_size_of(outcome(1000, 174), 24, [], None, 0.288)
    assert needed(table) == {"shrinkage": 623, "optimism": 662, "overall risk": 221, "required": 662}
    assert (table["available"] == 1000).all()
    assert (table["parameters"] == 24).all()
    # pmsampsize gives an R2 of 0.29 for a C of 0.89 at this prevalence
    assert sample_size_of(outcome(1000, 174), 24, [], 0.89, None)["r2"].iloc[0] == pytest.approx(0.29, abs=5e-3)
    unknown = sample_size_of(outcome(1000, 174), 24, [], None, None)
    assert unknown["r2"].iloc[0] == pytest.approx(0.15 * unknown["largest_r2"].iloc[0])


def test_a_study_with_time_as_the_published_one_needs_as_many():
    # Riley et al. 2019, recurrent thrombosis: 0.065 events a year, 2.07 years of follow-up, risk at 2 years.
    n, total = 100_000, 100_000 * 2.07
    events = round(0.065 * total)
    y = follow_up(np.tile([1.07, 2.07, 3.07, 2.07], n // 4), np.where(np.arange(n) < events, 1, 0))
    table = sample_size_of(y, 30, [1, 2], None, 0.051)
    assert needed(table)["shrinkage"] == 5143
    assert needed(table)["optimism"] == 1039
    assert needed(table)["overall risk"] == needed(sample_size_survival(30, 0.065, 2.07, 2, 0.051))["overall risk"]
    assert (table["available"] == n).all()


def test_the_risk_is_wanted_at_the_last_of_the_times_and_competing_events_are_none():
    y = follow_up([12, 30, 40, 60] * 20, [1, 2, 0, 0] * 20)
    table = sample_size_of(y, 4, [36, 12], None, 0.1)
    theirs = sample_size_survival(4, 20 / (142 * 20), 142 / 4, 36, 0.1)
    pd.testing.assert_frame_equal(table[list(theirs)], theirs)
    assert needed(sample_size_of(y.assign(event=y["event"] % 2), 4, [12, 36], None, 0.1)) == needed(table)


def test_the_unit_of_a_study_s_time_does_not_matter():
    months = follow_up([12, 30, 40, 60, 7] * 20, [1, 0, 0, 1, 1] * 20)
    days = months.assign(time=months["time"] * 30)
    assert needed(sample_size_of(months, 4, [36], None, None)) == needed(sample_size_of(days, 4, [1080], None, None))


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (outcome(50, 0), "share of events is 0"),
        (outcome(50, 50), "share of events is 1"),
        (follow_up([1, 2, 3], [0, 2, 0]), "greater than 0"),
    ],
)
def test_a_study_without_events_has_no_sample_size(y, says):
    with pytest.raises(InputError, match=says):
        sample_size_of(y, 3, [12], None, None)
