import numpy as np
import pandas as pd
import pytest
from dcurves import dca

from nenflow.errors import InputError
from nenflow.evaluation.decision import (
    THRESHOLDS,
    corrected_decision,
    decision_curve,
    decision_curve_survival,
    net_benefit_survival,
)


def test_net_benefit_by_hand():
    # at 0.5 two of four are acted on, one rightly: 1/4 - 1/4 * 0.5 / 0.5; at 0.2 three, two rightly: 2/4 - 1/4 * 0.25
    curve = decision_curve([0, 0, 1, 1], [0.1, 0.7, 0.2, 0.5], thresholds=[0.2, 0.5]).set_index(
        ["strategy", "threshold"]
    )["net_benefit"]
    assert curve["model", 0.5] == pytest.approx(0.0)
    assert curve["model", 0.2] == pytest.approx(0.5 - 0.25 * 0.25)
    assert curve["all", 0.2] == pytest.approx(0.5 - 0.5 * 0.25)
    assert (curve["none"] == 0).all()


def test_strategies_and_thresholds():
    curve = decision_curve([0, 1], [0.3, 0.6])
    assert list(curve["strategy"].unique()) == ["model", "all", "none"]
    assert len(curve) == 3 * len(THRESHOLDS)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="same outcome"):
        decision_curve([1, 1], [0.3, 0.6])


def test_binary_curve_is_that_of_dcurves():
    rng = np.random.default_rng(2)
    p = np.round(rng.random(60), 2)  # so that some lie on a threshold
    y = (rng.random(60) < p).astype(int)
    theirs = dca(pd.DataFrame({"y": y, "p": p}), "y", ["p"], thresholds=list(THRESHOLDS))
    curves = dict(list(decision_curve(y, p).groupby("strategy")["net_benefit"]))
    for ours, name in (("model", "p"), ("all", "all")):
        np.testing.assert_allclose(curves[ours], theirs.loc[theirs["model"] == name, "net_benefit"], atol=1e-12)


def _cohort(n=80):
    rng = np.random.default_rng(1)
    risk = np.round(rng.uniform(0.02, 0.95, n), 2)
    time = np.ceil(rng.exponential(12 / risk))
    return time, (rng.random(n) < 0.6).astype(int), risk


def test_survival_curve_is_that_of_dcurves():
    time, event, risk = _cohort()
    data, thresholds = pd.DataFrame({"time": time, "event": event, "p": risk}), [0.1, 0.25, 0.4, 0.6]
    theirs = dca(data, "event", ["p"], thresholds=thresholds, time=20, time_to_outcome_col="time")
    curves = dict(list(decision_curve_survival(time, event, risk, 20, thresholds).groupby("strategy")["net_benefit"]))
    for ours, name in (("model", "p"), ("all", "all")):
        np.testing.assert_allclose(curves[ours], theirs.loc[theirs["model"] == name, "net_benefit"], atol=1e-9)


def test_without_censoring_time_plays_no_part():
    time, _, risk = _cohort()
    found = net_benefit_survival(time, np.ones(len(time)), risk, 20, THRESHOLDS)
    binary = decision_curve((time <= 20).astype(int), risk).query("strategy == 'model'")["net_benefit"]
    np.testing.assert_allclose(found, binary, atol=1e-12)


def test_competing_events_are_no_true_positives():
    # four units, all acted on: an event at 1, a competing one at 2, an event at 3: incidence 1/4 + 1/4
    assert net_benefit_survival([1, 2, 3, 9], [1, 2, 1, 0], [0.9] * 4, 5, [0.5])[0] == pytest.approx(0.5 - 0.5)
    assert np.isnan(net_benefit_survival([1, 2, 3, 4], [1, 0, 0, 0], [0.9] * 4, 5, [0.5]))  # nobody followed so long
    assert net_benefit_survival([1, 2, 3, 4], [1, 0, 0, 0], [0.1] * 4, 5, [0.5]) == 0  # nobody acted on


def test_intervals_are_percentiles_over_the_draws():
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.7, 0.2, 0.5])
    draws = [np.array([0, 1, 2, 3]), np.array([3, 3, 2, 2])]
    curve = decision_curve(y, p, [0.5], draws=draws).set_index("strategy")
    assert curve.loc["model", "net_benefit"] == pytest.approx(0.0)
    # 0 in the first draw, 1/2 in the second
    assert curve.loc["model", ["low", "high"]].tolist() == pytest.approx([0.025 * 0.5, 0.975 * 0.5])
    assert curve.loc["none", ["low", "high"]].tolist() == [0, 0]


def test_optimism_is_taken_off_the_model_only():
    curve = decision_curve([0, 0, 1, 1], [0.1, 0.7, 0.2, 0.5], [0.2, 0.5])
    optimism = pd.DataFrame({"predicted": [0.2, 0.5] * 2, "net_benefit": [0.1, 0.2, 0.3, np.nan]})
    corrected = corrected_decision(curve, optimism)
    assert (corrected["net_benefit"] - corrected["corrected"]).tolist() == pytest.approx([0.2, 0.2, 0, 0, 0, 0])


def test_thresholds_must_be_probabilities():
    for threshold in (0.0, 1.0):
        with pytest.raises(InputError, match="between 0 and 1"):
            decision_curve([0, 1], [0.3, 0.6], [threshold])
