import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from nenflow.evaluation.indexes import (
    cox_indexes,
    cox_statistics,
    gini_mean_difference,
    likelihood_statistics,
    line_error,
    log_likelihood,
    logistic_indexes,
    logistic_statistics,
    partial_log_likelihood,
    validation_table,
)
from nenflow.models.cox import fit_cox
from nenflow.models.logistic import fit_logistic

LINE = 1e-6  # linear predictors are rounded to 9 decimals before a line is drawn


def _binary(seed=1, n=60):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    y = (rng.random(n) < expit(X[:, 0])).astype(int)
    return y, fit_logistic(X, y).linear_predictor(X)


def _followed(seed=1, n=60):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    time, event = np.ceil(rng.exponential(10 * np.exp(-X[:, 0]))), rng.integers(0, 2, n)
    return time, event, fit_cox(X, time, event).linear_predictor(X)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_mean_difference_against_all_pairs(values):
    pairs = np.abs(np.subtract.outer(values, values))
    n = len(values)
    assert gini_mean_difference(values) == pytest.approx(pairs.sum() / (n * (n - 1)), abs=1e-9)


def test_indexes_of_a_fitted_model_are_those_it_has_by_definition():
    y, score = _binary()
    told, found = logistic_indexes(y, score, fitted_here=True), logistic_indexes(y, score)
    assert (told["intercept"], told["slope"]) == (0, 1)
    assert told == pytest.approx(found, abs=LINE)
    n = len(y)
    assert told["u"] == pytest.approx(-2 / n)
    assert told["q"] == pytest.approx(told["d"] + 2 / n)
    ratio = 2 * (log_likelihood(y, expit(score)) - log_likelihood(y, np.full(n, y.mean())))
    assert told["d"] == pytest.approx((ratio - 1) / n)


def test_recalibration_changes_neither_rank_nor_likelihood_indexes():
    y, score = _binary()
    right, wrong = logistic_indexes(y, score), logistic_indexes(y, 1 + 2 * score)
    for name in ("dxy", "r2", "d", "g", "gp"):
        assert wrong[name] == pytest.approx(right[name], abs=LINE), name
    assert (wrong["intercept"], wrong["slope"]) == pytest.approx((-0.5, 0.5), abs=LINE)
    assert wrong["u"] > right["u"]
    assert wrong["brier"] > right["brier"]


def test_a_constant_and_a_separating_predictor_have_no_line():
    constant = logistic_indexes([0, 1, 1, 0, 1], [2] * 5)
    assert (constant["dxy"], constant["r2"], constant["g"]) == (0, pytest.approx(0), pytest.approx(0, abs=1e-12))
    assert np.isnan([constant["intercept"], constant["slope"]]).all()
    separating = logistic_indexes([0, 0, 1, 1], [1, 2, 3, 4])
    assert (separating["dxy"], separating["r2"]) == (1, pytest.approx(1, abs=LINE))
    assert np.isnan([separating[name] for name in ("intercept", "slope", "g", "gp")]).all()


def test_cox_indexes_of_a_fitted_model():
    time, event, score = _followed()
    told, found = cox_indexes(time, event, score, fitted_here=True), cox_indexes(time, event, score)
    null = fit_cox(np.empty((len(time), 0)), time, event).log_likelihood
    assert told["u"] == pytest.approx(1 / null)  # -2 over -2 log L
    assert found["u"] == pytest.approx(0, abs=LINE)
    for name in ("dxy", "r2", "slope", "d", "g"):
        assert told[name] == pytest.approx(found[name], abs=LINE), name
    stretched = cox_indexes(time, event, 2 * score)
    assert (stretched["slope"], stretched["d"]) == pytest.approx((0.5, found["d"]), abs=LINE)
    assert np.isnan(cox_indexes(time, event, np.zeros(len(time)))["slope"])


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(-20, 20))
def test_partial_likelihood_is_the_fits_and_knows_no_shift(seed, shift):
    time, event, score = _followed(seed)
    fit = fit_cox(score[:, None], time, event)
    assert partial_log_likelihood(time, event, fit.coef[0] * score + shift) == pytest.approx(fit.log_likelihood)


def test_pseudo_r2_by_hand():
    found = likelihood_statistics(ratio=20.0, null=-50.0, n=100, parameters=2, effective=60)
    assert found["p"] == pytest.approx(np.exp(-10))  # chi-square with 2 degrees of freedom
    assert found["r2_n"] == pytest.approx(1 - np.exp(-0.2))
    assert found["r2"] == pytest.approx((1 - np.exp(-0.2)) / (1 - np.exp(-1)))
    assert found["r2_effective_adjusted"] == pytest.approx(1 - np.exp(-18 / 60))


def test_statistics_of_both_kinds_of_model():
    y, score = _binary()
    found = logistic_statistics(y, score, 2)
    assert (found["n"], found["events"], found["df"]) == (60, y.sum(), 2)
    assert found["dxy"] == pytest.approx(2 * found["c"] - 1)
    time, event, score = _followed()
    found = cox_statistics(time, event, score, 2)
    assert found["lr_chi2"] == pytest.approx(
        2 * (partial_log_likelihood(time, event, score) - partial_log_likelihood(time, event, 0 * score))
    )
    assert found["gr"] == pytest.approx(np.exp(found["g"]))


def test_error_of_a_line_by_hand():
    assert line_error(0, 1) == pytest.approx(0, abs=1e-12)
    # shifted by logit(.6) a half becomes .6; the greatest error lies where p (1 - p) of both meet
    half = logit(0.6) / 2
    assert line_error(2 * half, 1) == pytest.approx(expit(half) - expit(-half), abs=1e-6)


def test_table_by_hand():
    apparent = {"dxy": 0.8, "intercept": 0.0, "slope": 1.0}
    train = pd.DataFrame({"dxy": [0.9, 0.8], "intercept": [0.0, 0.0], "slope": [1.0, 1.0]})
    test = pd.DataFrame({"dxy": [0.7, 0.8], "intercept": [0.2, np.nan], "slope": [0.6, np.nan]})
    table = validation_table(apparent, train, test)
    assert table.loc["dxy"].tolist() == pytest.approx([0.8, 0.85, 0.75, 0.1, 0.7, 2])
    assert table.loc["slope"].tolist() == pytest.approx([1, 1, 0.6, 0.4, 0.6, 1])
    assert table.loc["emax", ["test", "optimism", "corrected"]].tolist() == pytest.approx([line_error(0.2, 0.6)] * 3)
