import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nenflow.errors import InputError
from nenflow.evaluation.concordance import (
    brier_scores,
    harrell_c,
    integrated_brier,
    time_dependent_auc,
    time_dependent_roc,
    time_dependent_roc_band,
    uno_c,
)
from nenflow.evaluation.discrimination import auc, roc_band

# 48 simulated units in three groups of 16, with ties; the R figures below are those of survival 3.5-3 on them.
# fmt: off
TIME = [5, 1, 1, 2, 10, 2, 11, 8, 5, 7, 2, 6, 3, 1, 5, 5, 3, 1, 1, 11, 4, 1, 6, 8, 2, 8, 1, 8, 3, 6, 1, 1, 4, 3, 4, 2,
        2, 2, 1, 2, 1, 2, 6, 1, 6, 2, 5, 9]
EVENT = [0, 1, 2, 1, 0, 0, 0, 1, 0, 1, 2, 2, 2, 1, 0, 0, 1, 1, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 2, 1,
         2, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1]
SCORE = [-0.7, -0.2, 1.7, 0.7, -1.6, 0.0, -0.6, 0.1, -1.6, 0.2, 0.2, 1.6, 0.3, 0.5, -1.5, 2.3, -1.9, 1.1, -0.3, -0.9,
         -0.7, -0.7, 0.4, -0.1, 1.5, -1.8, 0.0, -0.9, 0.8, -2.1, -0.3, 0.2, -1.5, 1.0, 0.2, 1.0, 1.0, -1.0, -0.8, -0.2,
         0.7, 0.9, -0.7, -0.6, -0.8, -0.6, -0.2, -0.1]
# fmt: on
GROUP = np.repeat([0, 1, 2], 16)
# concordance(Surv(time, event == 1) ~ score, reverse = TRUE, ...): C and its standard error
STRATA = (0.592896174863388, 0.0725658395983628)  # score + strata(group)
CLUSTERS = (0.574198988195616, 0.060730522900029)  # cluster = rep(1:24, 2)
TAU = (0.5496081319144407, 0.0749959472183952)  # timewt = "n/G2", ymax = 4

units = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0, 1, 1, 2]), st.integers(-3, 3)), min_size=2, max_size=25
).filter(lambda rows: any(event == 1 and any(other[0] > time for other in rows) for time, event, _ in rows))


def _columns(rows):
    return (np.array(column, dtype=float) for column in zip(*rows, strict=True))


def _pairs(time, event, score):
    """Pairs (concordant, discordant, tied) of an event and who outlives it, one by one."""
    kinds = [0, 0, 0]
    for i in range(len(time)):
        for j in range(len(time)):
            outlives = time[j] > time[i] or (time[j] == time[i] and event[j] != 1)
            if event[i] == 1 and i != j and outlives:
                kinds[0 if score[i] > score[j] else 1 if score[i] < score[j] else 2] += 1
    return kinds


@settings(max_examples=40)  # compiled at the first call
@given(units)
def test_harrell_counts_every_pair(rows):
    time, event, score = _columns(rows)
    found = harrell_c(time, event, score)
    concordant, discordant, tied = _pairs(time, event, score)
    assert [found["concordant"], found["discordant"], found["tied_x"]] == [concordant, discordant, tied]
    assert found["c"] == pytest.approx((concordant + tied / 2) / (concordant + discordant + tied))
    deaths = time[event == 1]
    assert found["tied_y"] + found["tied_xy"] == sum((deaths == t).sum() - 1 for t in deaths) / 2


@settings(max_examples=40)  # compiled at the first call
@given(units, st.randoms(use_true_random=False))
def test_order_scale_and_shift_do_not_matter(rows, random):
    time, event, score = _columns(rows)
    random.shuffle(rows)
    time2, event2, score2 = _columns(rows)
    for measure in (harrell_c, uno_c):
        first, second = measure(time, event, score), measure(30.4 * time2, event2, np.exp(score2) + 7)
        assert list(first.values()) == pytest.approx(list(second.values()), nan_ok=True)
        turned = measure(time, event, -score)
        assert turned["c"] == pytest.approx(1 - first["c"])
        assert turned["se"] == pytest.approx(first["se"], nan_ok=True)


@settings(max_examples=40)  # compiled at the first call
@given(units)
def test_without_censoring_everything_is_as_for_a_binary_outcome(rows):
    time, _, score = _columns(rows)
    event, t = np.ones(len(time)), 3
    died = time <= t
    if time.min() < time.max():
        assert uno_c(time, event, score)["c"] == pytest.approx(harrell_c(time, event, score)["c"])
    if 0 < died.sum() < len(died):
        assert time_dependent_auc(time, event, score, t)["auc"][0] == pytest.approx(auc(died, score))
    predicted = 1 / (1 + np.exp(score))
    if t <= time.max():
        mine = brier_scores(time, event, predicted, t).loc[0]
        assert mine["brier"] == pytest.approx(np.mean((~died - predicted) ** 2))
        assert mine["null"] == pytest.approx(died.mean() * (1 - died.mean()))


@settings(max_examples=40)  # compiled at the first call
@given(units)
def test_area_under_the_roc_curve_is_the_auc(rows):
    time, event, score = _columns(rows)
    t = 3
    expected = time_dependent_auc(time, event, score, t)["auc"][0]
    if np.isnan(expected):
        with pytest.raises(InputError, match="no ROC curve"):
            time_dependent_roc(time, event, score, t)
    else:
        sensitivity, specificity = time_dependent_roc(time, event, score, t).to_numpy()[::-1, 1:].T
        assert np.trapezoid(sensitivity, 1 - specificity) == pytest.approx(expected)


def _simulated(n):
    rng = np.random.default_rng([3, n])
    score = rng.normal(size=n)
    died, left = rng.exponential(np.exp(-score)), rng.uniform(0.2, 3, n)
    return np.minimum(died, left), (died <= left).astype(int), score


@pytest.mark.parametrize(
    "measure",
    [
        lambda time, event, score: tuple(harrell_c(time, event, score)[k] for k in ("c", "se")),
        lambda time, event, score: tuple(time_dependent_auc(time, event, score, 0.8).loc[0, ["auc", "se"]]),
        lambda time, event, score: tuple(
            brier_scores(time, event, np.exp(-0.8 * np.exp(score)), 0.8).loc[0, ["brier", "se"]]
        ),
    ],
    ids=["harrell", "auc", "brier"],
)
def test_standard_error_is_that_of_leaving_one_out(measure):
    time, event, score = _simulated(200)
    n = len(time)
    without = [measure(*(np.delete(column, i) for column in (time, event, score)))[0] for i in range(n)]
    jackknife = np.sqrt((n - 1) * np.var(without))
    assert measure(time, event, score)[1] == pytest.approx(jackknife, rel=0.02)


def test_strata_clusters_and_tau_as_in_r():
    died = np.array(EVENT) == 1
    cases = [
        (harrell_c(TIME, died, SCORE, strata=GROUP), STRATA),
        (harrell_c(TIME, EVENT, SCORE, clusters=list(range(24)) * 2), CLUSTERS),
        (uno_c(TIME, EVENT, SCORE, tau=4), TAU),
    ]
    for mine, (c, se) in cases:
        assert mine["c"] == pytest.approx(c, rel=1e-12)
        assert mine["se"] == pytest.approx(se, rel=1e-12)
        assert mine["low"] == pytest.approx(c - 1.959964 * se, rel=1e-6)


def test_scores_that_differ_by_rounding_are_equal():
    found = harrell_c([1, 2], [1, 0], [0.3, 0.1 + 0.2])
    assert found["tied_x"] == 1
    assert found["c"] == 0.5
    assert np.isnan(found["se"])


def test_nothing_is_known_beyond_the_last_unit():
    area = time_dependent_auc([1, 2, 3], [1, 0, 1], [3, 2, 1], [0.5, 2, 3])
    assert np.isnan(area["auc"]).tolist() == [True, False, True]
    score = brier_scores([1, 2, 3], [1, 0, 1], np.full((3, 2), 0.5), [2, 4])
    assert np.isnan(score["brier"]).tolist() == [False, True]


def test_the_band_of_a_curve_in_time_is_that_of_a_binary_outcome_where_nobody_is_censored():
    rng = np.random.default_rng(5)
    time = rng.permutation(np.arange(1.0, 61))
    score = np.round(-np.log(time) + rng.normal(size=60), 1)  # with ties
    draws = [rng.integers(0, 60, 60) for _ in range(300)]
    band = time_dependent_roc_band(time, np.ones(60), score, 20, draws)
    np.testing.assert_allclose(band, roc_band(time <= 20, score, draws), atol=1e-12)  # rounding of sums of shares


def test_resamples_without_a_case_or_a_control_leave_the_band_alone():
    time, event, score = np.array([1.0, 2, 3, 4]), np.array([1, 0, 0, 1]), np.array([4.0, 3, 2, 1])
    whole, no_event, nobody_after = np.arange(4), np.array([1, 2, 2, 1]), np.array([0, 0, 0, 0])
    band = time_dependent_roc_band(time, event, score, 2.5, [whole, no_event, nobody_after])
    assert (band == 1).all(axis=None)
    assert time_dependent_roc_band(time, event, score, 2.5, [no_event]).isna().all(axis=None)


def test_integrated_brier_is_a_step_function_from_zero():
    assert integrated_brier([2, 4, 5], [0.1, 0.2, 0.9]) == pytest.approx((0.1 * 2 + 0.2 * 1) / 5)
    assert integrated_brier([2], [0.1]) == 0
    with pytest.raises(ValueError, match="rise"):
        integrated_brier([4, 2], [0.1, 0.2])


@pytest.mark.parametrize(
    ("time", "event", "score", "message"),
    [
        ([1, 2], [0, 2], [1, 2], "No unit had the event"),
        ([1, 1], [1, 1], [1, 2], "No two units can be ordered"),
        ([1, np.nan], [1, 0], [1, 2], "missing or not above 0"),
        ([1, 2], [1, 3], [1, 2], "neither 0"),
        ([1, 2], [1, 0], [1, np.nan], "1 of 2 scores"),
    ],
)
def test_what_cannot_be_told_is_refused(time, event, score, message):
    with pytest.raises(InputError, match=message):
        harrell_c(time, event, score)


def test_impossible_predictions_are_refused():
    with pytest.raises(InputError, match="outside 0 to 1"):
        brier_scores([1, 2], [1, 0], [[0.5], [1.2]], [1])
