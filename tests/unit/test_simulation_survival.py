import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from nenflow.errors import InputError
from nenflow.simulation.survival import Baseline, draw_survival, linear_predictor

DEATH = {
    "variable": "status",
    "event": "dead",
    "other": "alive",
    "time": "months",
    "decimals": 1,
    "hazard_ratios": {"size": 1.5, "stage": {"I": 1, "II": 3}},
    "baseline": {"at": {"size": 2}, "times": [12, 36], "survival": [0.9, 0.6]},
    "events": 200,
    "accrual": 24,
}


def known(patients, seed=0):
    rng = np.random.default_rng(seed)
    table = {"size": rng.uniform(1, 4, patients), "stage": rng.permuted(np.resize(["I", "II"], patients))}
    return pd.DataFrame(table, index=pd.Index([f"P{i}" for i in range(patients)], name="patient"))


def draw(patients, seed=1, effect=1.0, **changes):
    return draw_survival(known(patients), {**DEATH, **changes}, effect, np.random.default_rng(seed))


def test_a_baseline_goes_through_its_survival_and_back():
    baseline = Baseline.through([12, 36, 60], [0.9756, 0.9222, 0.8595])
    np.testing.assert_allclose(np.exp(-baseline.cumulative([0, 12, 36, 60])), [1, 0.9756, 0.9222, 0.8595])
    assert baseline.hazards[0] == pytest.approx(-np.log(0.9756) / 12)
    # After the last time its hazard goes on: 24 months more cost as much as the 24 before.
    assert np.exp(-baseline.cumulative(84.0)) == pytest.approx(0.8595**2 / 0.9222)
    times = np.array([0.5, 12, 20, 60, 300])
    np.testing.assert_allclose(baseline.inverse(baseline.cumulative(times)), times)
    assert Baseline.constant(0.02).inverse(np.array([1.0]))[0] == pytest.approx(50)


@pytest.mark.parametrize(
    ("times", "survival"), [([12, 6], [0.9, 0.8]), ([6, 12], [0.8, 0.9]), ([6], [0.9, 0.8]), ([0], [0.9])]
)
def test_a_baseline_that_cannot_be_is_refused(times, survival):
    with pytest.raises(InputError, match="times that rise from over 0 and survival that falls"):
        Baseline.through(times, survival)


def test_the_linear_predictor_is_the_stated_one():
    table = pd.DataFrame({"size": [1.0, 3.0], "stage": ["II", "I"], "hidden": [0.5, -1.0]})
    ratios = {"size": 1.5, "stage": {"I": 1, "II": 3}, "hidden": 2.0}
    total, coefficients = linear_predictor(table, ratios, {"size": 2}, 1.0)
    assert total == pytest.approx([-np.log(1.5) + np.log(3) + 0.5 * np.log(2), np.log(1.5) - np.log(2)])
    assert coefficients == pytest.approx({"size": np.log(1.5), "stage=II": np.log(3), "hidden": np.log(2)})
    assert not linear_predictor(table, ratios, {"size": 2}, 0.0)[0].any()


@pytest.mark.parametrize(
    ("ratios", "sentence"),
    [
        ({"sise": 1.5}, "name sise, which is neither"),
        ({"stage": 1.5}, "need a ratio for each level for stage"),
        ({"size": {"a": 1, "b": 2}}, "need one number for size"),
        ({"stage": {"I": 1}}, "of stage need every level"),
        ({"stage": {"I": 2, "II": 3}}, r"one of them \(the reference\) as 1"),
    ],
)
def test_ratios_that_do_not_fit_are_refused(ratios, sentence):
    with pytest.raises(InputError, match=sentence):
        linear_predictor(known(4), ratios, {}, 1.0)


def test_survival_without_effects_is_the_baseline():
    table, _, _ = draw(20_000, effect=0.0, events=15_000)
    fit = KaplanMeierFitter().fit(table["months"], table["status"] == "dead")
    # Standard error at most 0.0035; rounding up delays by 0.05 months on average, under 0.001 of survival.
    assert [fit.predict(12.0), fit.predict(36.0)] == pytest.approx([0.9, 0.6], abs=0.014)


def test_time_fits_the_truth_and_the_study_stops_at_its_last_event():
    table, truth, model = draw(400)
    dead = table["status"] == "dead"
    assert dead.sum() == 200
    assert (table["months"] > 0).all()
    np.testing.assert_allclose(table["months"][dead], np.ceil(truth["event_time"][dead] * 10) / 10)
    seen = truth["entry"] + truth["event_time"] <= model["stop"]
    assert seen.equals(dead)
    # Those alive are followed up to the day of the last death, which is somebody's.
    alive = ~dead
    np.testing.assert_allclose(table["months"][alive], model["stop"] - truth["entry"][alive], atol=0.1)
    assert (truth["entry"] + truth["event_time"])[dead].max() == model["stop"]


def test_effects_change_nothing_else_that_is_drawn():
    _, with_effect, _ = draw(400)
    _, without, _ = draw(400, effect=0.0)
    pd.testing.assert_series_equal(with_effect["entry"], without["entry"])
    ratio = with_effect["event_time"].rank().corr(without["event_time"].rank())
    assert 0.5 < ratio < 1


def test_a_calibrated_hazard_lets_the_wanted_number_be_expected():
    changes = {"events": 66, "accrual": 48, "median_follow_up": 36}
    settings = {key: value for key, value in (DEATH | changes).items() if key != "baseline"}
    table = known(724)
    stops = []
    for seed in range(60):
        status, _, model = draw_survival(table, settings, 1.0, np.random.default_rng(seed))
        assert (status["status"] == "dead").sum() == 66
        stops.append(model["stop"])
    # The study would close at 36 + 24 months; the day of the 66th event varies with a standard deviation of about 5.
    assert np.mean(stops) == pytest.approx(60, abs=2.5)


def test_what_competes_and_who_is_lost():
    competing = {"event": "other death", "baseline": {"times": [60], "survival": [0.5]}}
    table, truth, _ = draw(2000, competing=competing, loss=0.004, events=600)
    first = truth[["event_time", "competing_time", "loss_time"]].min(axis=1)
    for level, column in (("dead", "event_time"), ("other death", "competing_time")):
        of_level = table["status"] == level
        assert of_level.sum() > 200
        np.testing.assert_array_equal(truth.loc[of_level, column], first[of_level])
    assert (table["status"] == "dead").sum() == 600
    assert truth["loss_time"].mean() == pytest.approx(250, rel=0.1)  # standard error 2 %
    assert truth["competing_time"].median() == pytest.approx(60, rel=0.1)
    settings = {key: value for key, value in DEATH.items() if key != "baseline"}
    settings |= {"competing": competing, "loss": 0.004, "events": 600, "median_follow_up": 36}
    stops = [draw_survival(known(2000), settings, 1.0, np.random.default_rng(seed))[2]["stop"] for seed in range(20)]
    assert np.mean(stops) == pytest.approx(48, abs=1)  # each varies by some 4 %


def test_events_that_cannot_be_reached_are_refused():
    with pytest.raises(InputError, match="wants 401 events and only 400 patients have one"):
        draw(400, events=401)
    with pytest.raises(InputError, match="shorten the accrual"):
        draw(400, events=20, accrual=600)
    settings = {key: value for key, value in DEATH.items() if key != "baseline"}
    with pytest.raises(InputError, match="more than can be expected with a median follow-up of 36"):
        draw_survival(known(100), settings | {"median_follow_up": 36}, 1.0, np.random.default_rng(0))
