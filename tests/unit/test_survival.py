import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test

from nenflow.errors import InputError
from nenflow.evaluation.survival import (
    at_times,
    kaplan_meier,
    logrank,
    median_follow_up,
    median_survival,
    restricted_mean,
    trend_test,
)

# 24 made-up rows with ties; figures computed by R 4.2.2, survival 3.5-3 (survfit, survdiff; trend: score test of
# coxph with exact ties).
TIME = np.array([3, 5, 5, 5, 8, 8, 9, 12, 12, 14, 14, 14, 17, 20, 20, 21, 23, 23, 25, 30, 30, 31, 34, 34.0])
EVENT = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
STRATUM = np.array([1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0])
SITE = np.array(list("abc") * 8)
NAN = float("nan")


@pytest.mark.parametrize(
    ("interval", "median", "last"),
    [
        ("log", (23, 14, NAN), (0.0173008196149883, 0.582265164327671)),
        ("log-log", (23, 12, 31), (0.00716103418874456, 0.342996439183456)),
        ("plain", (23, 14, 31), (0, 0.276822606010482)),
    ],
)
def test_intervals_as_in_r(interval, median, last):
    curve = kaplan_meier(TIME, EVENT, interval)
    assert median_survival(curve) == pytest.approx(median, nan_ok=True)
    assert tuple(curve[["low", "high"]].iloc[-1]) == pytest.approx(last, rel=1e-9)


def test_restricted_mean_as_in_r():
    curve = kaplan_meier(TIME, EVENT)
    assert restricted_mean(curve, 34) == pytest.approx((20.5875306372549, 2.28626134480213))
    assert restricted_mean(curve, 20) == pytest.approx((15.54405637254902, 1.19871593864198))


@pytest.mark.parametrize(
    ("time", "event", "median", "mean"),
    [
        ([1, 2, 3, 4], [1, 1, 1, 1], (2.5, 1, NAN), (2.5, 0.559016994374947)),
        ([1, 2, 3, 4, 5, 6], [1, 0, 1, 0, 1, 0], (5, 3, NAN), (4.229166666666667, 0.774507945647022)),
        ([1, 2, 3, 4], [1, 1, 0, 0], (2, 1, NAN), (2.75, 0.649519052838329)),
    ],
)
def test_curves_that_rest_on_one_half_as_in_r(time, event, median, mean):
    curve = kaplan_meier(time, event)
    assert median_survival(curve) == pytest.approx(median, nan_ok=True)
    assert restricted_mean(curve, max(time)) == pytest.approx(mean)


def test_logrank_with_strata_as_in_r():
    plain, peto = (logrank(TIME, EVENT, SITE, rho, STRATUM) for rho in (0, 1))
    assert plain["chi2"] == pytest.approx(0.721743971189063)
    assert plain["observed"] == pytest.approx([3, 6, 7])
    assert plain["expected"] == pytest.approx([3.77034077034077, 6.62311022311022, 5.60654900654901])
    assert peto["chi2"] == pytest.approx(0.607750272568097)
    assert peto["expected"] == pytest.approx([2.89294705294705, 4.15122377622378, 3.690004995005])
    assert logrank(TIME, EVENT, SITE, 1)["chi2"] == pytest.approx(0.989646624080509)
    assert list(plain["groups"]) == ["a", "b", "c"]
    assert plain["df"] == 2


def test_trend_as_in_r():
    grade = np.searchsorted(["a", "b", "c"], SITE)
    assert trend_test(TIME, EVENT, grade)["chi2"] == pytest.approx(0.749935618290827)
    assert trend_test(TIME, EVENT, grade, STRATUM)["chi2"] == pytest.approx(0.578572340844041)


seeds = st.integers(0, 2**32 - 1)


def draw(seed, n=30):
    rng = np.random.default_rng(seed)
    event = rng.integers(0, 2, n)
    event[0] = 1
    return rng, rng.integers(1, 15, n).astype(float), event


@settings(max_examples=25)
@given(seeds)
def test_without_censoring_the_curve_is_the_empirical_distribution(seed):
    _, time, _ = draw(seed)
    curve = kaplan_meier(time, np.ones(30))
    share = [(time > t).mean() for t in curve["time"]]
    assert curve["survival"].to_numpy() == pytest.approx(share, abs=1e-12)
    alive = curve["survival"].to_numpy() > 1e-9
    assert curve["se"][alive].to_numpy() == pytest.approx(
        np.sqrt(np.multiply(share, np.subtract(1, share)) / 30)[alive]
    )
    assert restricted_mean(curve, 15)[0] == pytest.approx(time.mean())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Starting with pandas")
@settings(max_examples=10)
@given(seeds)
def test_agrees_with_lifelines(seed):
    rng, time, event = draw(seed)
    theirs = KaplanMeierFitter().fit(time, event)
    ours = kaplan_meier(time, event, "log-log")
    assert ours["survival"].to_numpy() == pytest.approx(theirs.survival_function_.iloc[1:, 0].to_numpy())
    inside = (ours["survival"] > 0).to_numpy()
    limits = theirs.confidence_interval_.iloc[1:].to_numpy()[inside]
    assert ours[["low", "high"]].to_numpy()[inside] == pytest.approx(limits)
    group = np.append([0, 1], rng.integers(0, 2, 28))
    expected = logrank_test(time[group == 0], time[group == 1], event[group == 0], event[group == 1])
    assert logrank(time, event, group)["chi2"] == pytest.approx(expected.test_statistic, abs=1e-9)


@settings(max_examples=25)
@given(seeds, st.sampled_from([0, 1]))
def test_logrank_knows_neither_order_nor_names_nor_units(seed, rho):
    rng, time, event = draw(seed)
    group, order = np.append([0, 1, 2], rng.integers(0, 3, 27)), rng.permutation(30)
    test = logrank(time, event, group, rho)
    same = logrank(time[order] ** 2, event[order], np.array(["z", "y", "x"])[group[order]], rho)
    assert same["chi2"] == pytest.approx(test["chi2"], abs=1e-9)
    assert same["observed"][::-1] == pytest.approx(test["observed"])
    assert test["observed"].sum() == pytest.approx(test["expected"].sum())


@settings(max_examples=25)
@given(seeds)
def test_trend_over_two_groups_is_the_logrank_test(seed):
    rng, time, event = draw(seed)
    group = np.append([0, 1], rng.integers(0, 2, 28))
    assert trend_test(time, event, group * 7 - 3)["chi2"] == pytest.approx(
        logrank(time, event, group)["chi2"], abs=1e-9
    )


def test_curve_at_given_times():
    curve = kaplan_meier([2, 4, 4, 6], [1, 1, 0, 0])
    table = at_times(curve, [1, 2, 3, 4, 5, 7])
    assert list(table["survival"]) == pytest.approx([1, 0.75, 0.75, 0.5, 0.5, 0.5])
    assert list(table["at_risk"]) == [4, 4, 3, 3, 1, 0]
    assert list(table.loc[0, ["se", "low", "high"]]) == [0, 1, 1]


def test_nothing_is_known_of_the_error_once_survival_is_0():
    curve = kaplan_meier([1, 2], [1, 1])
    assert curve["survival"].iloc[-1] == 0
    assert curve[["se", "low", "high"]].iloc[-1].isna().all()


def test_median_follow_up_counts_events_and_competing_events_as_cut_short():
    time = [1, 2, 3, 4, 5]
    assert median_follow_up(time, [0, 0, 0, 0, 0])[0] == 3
    assert median_follow_up(time, [1, 2, 0, 0, 0])[0] == 4
    assert np.isnan(median_follow_up(time, [1, 1, 1, 1, 1])[0])


def test_a_group_without_anybody_at_risk_is_left_out():
    test = logrank([1, 3, 4, 5, 6], [0, 1, 1, 1, 0], ["left", "a", "b", "a", "b"])
    assert test["df"] == 1
    assert test["chi2"] == pytest.approx(logrank([3, 4, 5, 6], [1, 1, 1, 0], ["a", "b", "a", "b"])["chi2"])


def test_everybody_dies_at_once():
    test = logrank([5, 5, 5, 5], [1, 1, 1, 1], ["a", "a", "b", "b"])
    assert (test["chi2"], test["p"]) == pytest.approx((0, 1))


@pytest.mark.parametrize(
    ("group", "event", "sentence"),
    [
        (["a", "a", "a"], [1, 1, 0], "same group"),
        (["a", "b", "a"], [0, 0, 0], "Nobody had the event"),
        (["a", None, "b"], [1, 1, 0], "no group"),
        (["a", "a", "b"], [1, 4, 0], "neither 0"),
    ],
)
def test_refusals(group, event, sentence):
    with pytest.raises(InputError, match=sentence):
        logrank([1, 2, 3], event, np.array(group, dtype=object))


def test_unknown_interval_is_a_mistake_in_the_code():
    with pytest.raises(ValueError, match="log-log"):
        kaplan_meier([1], [1], "arcsine")
