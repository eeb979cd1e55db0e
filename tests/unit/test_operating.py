"""Decisions at a threshold and a cut-off, against brute force and closed forms."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter, KaplanMeierFitter

from nenflow.evaluation.apparent import apparent_figures
from nenflow.evaluation.concordance import (
    brier_by_time,
    rates_at,
    time_dependent_roc,
    uninformed_brier,
    youden_cut_off_at,
)
from nenflow.evaluation.decision import net_benefit, net_benefit_survival
from nenflow.evaluation.discrimination import roc_curve, youden, youden_cut_off
from nenflow.evaluation.judging import judge_resamples
from nenflow.evaluation.operating import OperatingPoint, above, apparent_rates, cut_off, operating_point, rates

EXACT = 1e-12
SEEDS = st.integers(0, 10_000)


def follow_up(seed, n=40):
    rng = np.random.default_rng(seed)
    time, event = np.round(rng.exponential(10, n) + 0.1, 1), rng.choice([0, 1, 1], n)
    return time, event, np.round(rng.normal(size=n), 1)


@given(SEEDS)
def test_the_cut_off_alone_is_the_lowest_of_the_best(seed):
    rng = np.random.default_rng(seed)
    y, score = np.r_[0, 1, rng.integers(0, 2, 20)], np.round(rng.normal(size=22), 1)
    curve = roc_curve(y, score)
    index = (curve["sensitivity"] + curve["specificity"]).round(9)
    assert youden_cut_off(y, score) == youden(y, score)["threshold"] == curve["threshold"][index.idxmax()]


@given(SEEDS)
def test_cut_off_and_rates_at_a_time_are_on_its_roc_curve(seed):
    time, event, score = follow_up(seed)
    t = float(np.median(time[event == 1]))
    curve = time_dependent_roc(time, event, score, t)
    best = curve.loc[(curve["sensitivity"] + curve["specificity"]).round(9).idxmax()]
    at = youden_cut_off_at(time, event, score, t)
    assert at == best["threshold"]
    assert rates_at(time, event, score >= at, t) == pytest.approx((best["sensitivity"], best["specificity"]), abs=EXACT)


def test_there_is_no_cut_off_where_nobody_can_be_told_apart():
    point = OperatingPoint(0.5)
    assert np.isnan(cut_off(np.ones(4), np.arange(4.0), point))
    assert np.isnan(above(np.arange(4.0), np.nan)).all()
    found = rates(np.ones(4), above(np.arange(4.0), np.nan), np.full(4, 0.7), point)
    assert found["net_benefit"] == 1.0
    assert np.isnan(found["sensitivity"])
    assert np.isnan(found["specificity"])
    time, event, score = follow_up(1)
    assert np.isnan(youden_cut_off_at(time, event, score, 1e9))
    assert np.isnan(rates_at(time, event, score > 0, 1e9)).all()


@pytest.mark.parametrize("competing", [False, True])
def test_at_the_threshold_acting_on_everybody_is_worth_nothing(competing):
    time, event, _ = follow_up(3)
    if competing:
        event = np.where((event == 1) & (np.arange(len(event)) % 3 == 0), 2, event)
    y = pd.DataFrame({"time": time, "event": event})
    point = operating_point(y, [2.0, 8.0])
    everybody = np.ones(len(time))
    assert net_benefit_survival(time, event, everybody, 8.0, [point.threshold])[0] == pytest.approx(0.0, abs=EXACT)
    curve = KaplanMeierFitter().fit(time, event == 1)
    if not competing:
        assert point == OperatingPoint(pytest.approx(1 - curve.predict(8.0), abs=EXACT), 8.0)
    else:
        assert point.threshold < 1 - curve.predict(8.0)  # some died of something else first
        rival = AalenJohansenFitter(calculate_variance=False, jitter_level=1e-9, seed=1).fit(time, event, 1)
        assert point.threshold == pytest.approx(rival.predict(8.0 + 1e-6), abs=1e-6)
    binary = pd.Series([0, 0, 0, 1])
    assert operating_point(binary).threshold == 0.25
    assert net_benefit(binary, np.ones(4), [0.25])[0] == pytest.approx(0.0, abs=EXACT)


def test_the_finished_model_by_hand():
    y = pd.Series([0, 0, 1, 0, 1, 1, 0, 0])
    table = pd.DataFrame({"linear_predictor": [-3.0, -2, -1, 0, 1, 2, 0.5, -4]})
    table["probability"] = 1 / (1 + np.exp(-table["linear_predictor"]))
    found = apparent_rates(y, table)
    assert (found["threshold"], found["time"]) == (3 / 8, None)
    # above 0.75: two of three events and no other; from -1.5 on: three of three and two of five others
    assert (found["cut_off"], found["sensitivity"], found["specificity"]) == (0.75, pytest.approx(2 / 3), 1.0)
    # a risk of 3/8 is a predictor of -0.51: acted on are 0, 1, 2 and 0.5, two of them rightly
    assert found["net_benefit"] == pytest.approx((2 - 2 * 3 / 5) / 8, abs=EXACT)


def test_a_model_that_selected_nothing_has_no_decisions_in_resamples_either():
    index = pd.MultiIndex.from_product([[f"P{number}" for number in range(40)], ["whole"]], names=["patient", "region"])
    y = pd.DataFrame({"time": np.arange(1.0, 41), "event": np.arange(40) % 2}, index)
    table = pd.DataFrame({"Radscore": 0.0, "linear_predictor": 0.0, "survival_20": 0.6}, index)
    figures = apparent_figures(y, table, "model", [20.0], [np.arange(40)])[0]  # as a job passes them on: without NaN
    found = judge_resamples(y, table, figures["model"]["rates"], 1, range(3))
    assert found[["sensitivity", "specificity"]].isna().all(axis=None)
    assert found["net_benefit"].notna().all()


def test_predictions_dealt_at_random_have_the_uninformed_brier_score():
    time, event = np.array([1.0, 2, 3, 4, 5]), np.array([1, 0, 1, 1, 0])
    survival = np.array([[0.9, 0.8], [0.5, 0.3], [0.6, 0.6], [0.2, 0.1], [0.7, 0.4]])
    dealt = [
        brier_by_time(time, event, survival[list(order)], [2.5, 4.0]) for order in itertools.permutations(range(5))
    ]
    np.testing.assert_allclose(uninformed_brier(time, event, survival, [2.5, 4.0]), np.mean(dealt, axis=0), atol=EXACT)
