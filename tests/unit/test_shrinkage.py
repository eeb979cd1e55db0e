import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from nenflow.models.nomogram import nomogram
from nenflow.models.protocol import build_protocol
from nenflow.models.shrinkage import factor_of, shrink_model

EXACT = 1e-9  # solutions of the same equation by two ways; the first is found to 1e-12


def _index(n):
    return pd.MultiIndex.from_product([[f"P{number:03d}" for number in range(n)], ["L1"]], names=["patient", "region"])


def _logistic(seed=1, n=80):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), _index(n), columns=["a", "b"])
    y = pd.Series((X["a"] - 0.5 * X["b"] - 0.4 + rng.logistic(size=n) > 0).astype(int), X.index)
    final = build_protocol([{"logistic": {}}], clinical=["a", "b"], readings=None, seed=1).fit(X, y)[-1]
    return final.document(), final.decision_function(X), X, y


def _cox(seed=1, n=60):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), _index(n), columns=["a", "b"])
    time = np.ceil(20 * rng.exponential(np.exp(-X["a"])))  # whole months, so that events are tied
    y = pd.DataFrame({"time": time, "event": rng.integers(0, 4, n).clip(0, 1)}, X.index)
    steps = [{"cox": {"ties": "breslow"}}]
    final = build_protocol(steps, clinical=["a", "b"], readings=None, seed=1, times=[5.0]).fit(X, y)[-1]
    return final.document(), final.decision_function(X), X, y


@given(factor=st.floats(0.05, 1), seed=st.integers(0, 9))
def test_predicted_events_stay_as_many_as_observed(factor, seed):
    document, predictor, X, y = _logistic(seed)
    shrunk = shrink_model(document, predictor, y, factor)
    values = X.to_numpy() @ np.array([shrunk["coefficients"][name] for name in X])
    assert expit(shrunk["intercept"] + values).sum() == pytest.approx(y.sum(), abs=1e-6)


def test_the_intercept_is_that_of_a_regression_with_the_shrunk_predictor_as_offset():
    document, predictor, X, y = _logistic()
    shrunk = shrink_model(document, predictor, y, 0.7)
    values = 0.7 * X.to_numpy() @ np.array([document["coefficients"][name] for name in X])
    fit = sm.GLM(y, np.ones(len(y)), family=sm.families.Binomial(), offset=values).fit(tol=1e-14)
    assert shrunk["intercept"] == pytest.approx(fit.params.iloc[0], abs=1e-7)  # the predictor is rounded to 9 decimals


def test_coefficients_are_multiplied_and_what_no_longer_holds_is_gone():
    document, predictor, _, y = _logistic()
    shrunk = shrink_model(document, predictor, y, 0.5)
    assert shrunk["coefficients"] == {name: value / 2 for name, value in document["coefficients"].items()}
    assert shrunk["shrinkage"] == 0.5
    assert not {"se", "p", "log_likelihood"} & set(shrunk)
    assert "se" in document  # which is left as it was


def test_without_shrinkage_the_model_stays():
    for document, predictor, _, y in (_logistic(), _cox()):
        same = shrink_model(document, predictor, y, 1.0)
        for name in {"intercept", "center"} & set(document):
            assert same[name] == pytest.approx(document[name], abs=1e-7)
        if "baseline" in document:
            assert same["baseline"]["hazard"] == pytest.approx(document["baseline"]["hazard"], rel=1e-7)
        assert same["linear_predictor"] == pytest.approx(document["linear_predictor"], abs=1e-7)


def test_the_baseline_is_that_of_the_shrunk_predictor():
    document, predictor, _, y = _cox()
    shrunk = shrink_model(document, predictor, y, 0.6)
    # Breslow's formula, written out
    risk, hazard = np.exp(0.6 * predictor), 0.0
    expected = {}
    for at in np.unique(y["time"]):
        deaths = ((y["time"] == at) & (y["event"] == 1)).sum()
        hazard += deaths / risk[(y["time"] >= at).to_numpy()].sum()
        expected[at] = hazard
    assert dict(zip(shrunk["baseline"]["time"], shrunk["baseline"]["hazard"], strict=True)) == pytest.approx(
        expected, rel=EXACT
    )


def test_expected_events_of_a_shrunk_cox_model_are_those_observed():
    document, predictor, _, y = _cox()
    shrunk = shrink_model(document, predictor, y, 0.6)
    at = np.searchsorted(shrunk["baseline"]["time"], y["time"])
    expected = np.array(shrunk["baseline"]["hazard"])[at] * np.exp(0.6 * predictor)
    assert expected.sum() == pytest.approx(y["event"].sum(), rel=EXACT)


def test_a_shrunk_nomogram_spans_the_same_points_and_less_risk():
    document, predictor, _, y = _logistic()
    before, after = nomogram(document), nomogram(shrink_model(document, predictor, y, 0.5))
    assert after["variables"]["a"]["points"] == pytest.approx(before["variables"]["a"]["points"], abs=EXACT)
    assert after["points_per_unit"] == pytest.approx(2 * before["points_per_unit"], rel=EXACT)
    assert np.ptp(after["probability"]["values"]) <= np.ptp(before["probability"]["values"])


@pytest.mark.parametrize(("slope", "factor"), [(0.8, 0.8), (1.3, 1.0), (0.0, None), (-0.2, None), (None, None)])
def test_only_a_slope_above_zero_leaves_a_model(slope, factor):
    assert factor_of(slope) == factor
