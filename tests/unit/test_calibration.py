import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from nenflow.evaluation.calibration import (
    GRID,
    calibration_curve,
    calibration_errors,
    calibration_groups,
    calibration_line,
    corrected_curve,
    corrected_groups,
    corrected_survival_curve,
    hosmer_lemeshow,
    spiegelhalter_test,
    survival_curve,
    survival_errors,
    survival_groups,
)
from nenflow.models.logistic import fit_logistic

LINE = 1e-7  # linear predictors are rounded to 9 decimals


def test_line_by_hand():
    # two groups with shares 1/4 and 3/4 at linear predictors -1 and 1: logit(3/4) = ln 3 per unit
    y, x = [1, 0, 0, 0, 1, 1, 1, 0], [-1] * 4 + [1] * 4
    assert calibration_line(y, x) == pytest.approx((0, np.log(3)), abs=LINE)
    assert calibration_line(y, np.array(x) * 1000 + 5000) == pytest.approx((-5 * np.log(3), np.log(3) / 1000), abs=LINE)


def test_no_line_where_there_is_no_solution():
    for score in ([1, 1, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 2, 3]):
        assert np.isnan(calibration_line([0, 0, 1, 1], score)).all()


def test_nothing_is_extrapolated():
    y, p = [0, 1, 0, 1, 1, 1], [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    curve = calibration_curve(y, p, [0.1, 0.2, 0.7, 0.8])
    assert list(np.isnan(curve)) == [True, False, False, True]
    assert np.isnan(calibration_curve(y, [0.5] * 6, [0.5])).all()


def test_resamples_that_do_not_reach_are_not_counted():
    y, p = np.array([0, 1] * 10), np.linspace(0.1, 0.9, 20)
    optimism = pd.DataFrame(
        {"resample": [0, 0, 1, 1], "predicted": [0.3, 0.5, 0.3, 0.5], "optimism": [0.1, 0.2, np.nan, 0.4]}
    )
    curve = corrected_curve(y, p, optimism)
    assert list(curve["resamples"]) == [1, 2]
    np.testing.assert_allclose(curve["apparent"] - curve["corrected"], [0.1, 0.3])


def test_only_the_range_of_the_predictions_is_shown():
    y, p = np.array([0, 1] * 10), np.arange(20) / 20
    optimism = pd.DataFrame({"resample": 0, "predicted": GRID, "optimism": 0.0})
    curve = corrected_curve(y, p, optimism)
    # the 5th lowest of 0, 0.05 ... 0.95 is 0.20, the 5th highest 0.75
    assert (curve["predicted"].min(), curve["predicted"].max(), len(curve)) == (0.2, 0.75, 56)


def test_a_fitted_model_lies_on_its_own_line():
    # the score equations of a maximum-likelihood fit make intercept 0 and slope 1, whatever the data
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 2))
    y = (rng.random(60) < expit(X[:, 0])).astype(int)
    assert calibration_line(y, fit_logistic(X, y).linear_predictor(X)) == pytest.approx((0, 1), abs=LINE)


def test_groups_by_hand():
    y, p = [0, 1, 0, 1, 1, 1], [0.1, 0.1, 0.4, 0.4, 0.8, 0.9]
    found = calibration_groups(y, p, groups=3)
    assert (found["n"].tolist(), found["events"].tolist()) == ([2, 2, 2], [1, 1, 2])
    np.testing.assert_allclose(found["predicted"], [0.1, 0.4, 0.85])
    np.testing.assert_allclose(found["observed"], [0.5, 0.5, 1.0])
    assert found["high"].iloc[-1] == 1.0
    # equal probabilities stay together: two values give two groups, however many are asked for
    assert len(calibration_groups([0, 1, 0, 1], [0.2, 0.2, 0.7, 0.7], groups=10)) == 2


def test_hosmer_lemeshow_by_hand():
    y, p = [0, 1, 0, 1, 1, 1], [0.1, 0.1, 0.4, 0.4, 0.8, 0.9]
    terms = [(1 - 0.2) ** 2 / (0.2 * 0.9), (1 - 0.8) ** 2 / (0.8 * 0.6), (2 - 1.7) ** 2 / (1.7 * 0.15)]
    found = hosmer_lemeshow(y, p, groups=3)
    assert (found["df"], found["chi2"]) == (1, pytest.approx(sum(terms)))
    assert hosmer_lemeshow(y, p, groups=3, external=True)["df"] == 3
    # no degree of freedom is left, or a group that cannot be wrong
    assert np.isnan(hosmer_lemeshow([0, 1, 0, 1], [0.2, 0.2, 0.7, 0.7])["p"])
    assert np.isnan(hosmer_lemeshow([0, 0, 0, 1, 0, 1], [0, 0, 0.3, 0.3, 0.6, 0.6], groups=3)["chi2"])


def test_errors_of_perfect_and_of_shifted_predictions():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.7, 4000)
    y = (rng.random(4000) < p).astype(int)
    right, wrong = calibration_errors(y, p), calibration_errors(y, p + 0.2)
    assert right["ici"] < 0.02
    assert wrong["ici"] == pytest.approx(0.2, abs=0.02)
    assert right["e50"] <= right["e90"] <= right["emax"]


def test_spiegelhalter_by_hand():
    # (1 - .8)(1 - 1.6) + (0 - .2)(1 - .4) over the root of .36 * .16 twice
    found = spiegelhalter_test([1, 0], [0.8, 0.2])
    assert found["z"] == pytest.approx((-0.12 - 0.12) / np.sqrt(2 * 0.36 * 0.16))
    assert np.isnan(spiegelhalter_test([1, 0], [0.5, 0.5])["p"])


def _followed(n=3000):
    """Times whose true survival at 5 is known."""
    rng = np.random.default_rng(3)
    score = rng.normal(size=n)
    time, censored = rng.exponential(10 * np.exp(-score)), rng.uniform(2, 30, n)
    return np.minimum(time, censored), (time <= censored).astype(int), np.exp(-0.5 * np.exp(score))


def test_survival_curve_of_true_and_of_distorted_predictions():
    time, event, survival = _followed()
    grid = np.array([0.3, 0.5, 0.7])
    np.testing.assert_allclose(survival_curve(time, event, survival, 5, grid), grid, atol=0.03)
    # whoever is given survival s ** 2 has s
    np.testing.assert_allclose(survival_curve(time, event, survival**2, 5, grid**2), grid, atol=0.03)
    assert survival_errors(time, event, survival, 5)["ici"] < 0.02 < survival_errors(time, event, survival**2, 5)["e50"]


def test_no_survival_curve_where_nothing_is_known():
    time, event, survival = _followed(n=200)
    assert np.isnan(survival_curve(time, event, np.full(200, 0.5), 5, [0.5])).all()  # one prediction for all
    assert np.isnan(survival_curve(time, event, survival, 99, [0.5])).all()  # after the last follow-up
    outside = survival_curve(time, event, 0.2 + 0.6 * survival, 5, [0.1, 0.5, 0.9])
    assert list(np.isnan(outside)) == [True, False, True]


def test_survival_groups_by_hand():
    time, event = [1, 2, 3, 4, 5, 9], [1, 0, 1, 0, 1, 0]
    survival = [0.1, 0.2, 0.3, 0.8, 0.9, 0.9]
    found = survival_groups(time, event, survival, 4, [0, 0.5, 0.85, 1])
    # first group: 2/3 at 1, then the one left has the event at 3: 0; second: a single unit; third: nobody by 4
    assert found["observed"].tolist() == pytest.approx([0, np.nan, 1], nan_ok=True)
    assert (found["n"].tolist(), found["events"].tolist()) == ([3, 1, 2], [2, 0, 1])
    found = corrected_groups(found, np.array([[0.1, 0.2, np.nan], [0.3, 0, 0.4]]), np.zeros((2, 3)))
    assert found["optimism"].tolist() == pytest.approx([0.2, 0.1, 0.4])
    assert found["resamples"].tolist() == [2, 2, 1]


def test_corrected_survival_curve_is_less_its_optimism():
    time, event, survival = _followed(n=300)
    optimism = pd.DataFrame({"resample": [0, 1] * 2, "predicted": [0.4, 0.4, 0.6, 0.6], "optimism": [0.1, 0.2, 0, 0.1]})
    curve = corrected_survival_curve(time, event, survival, 5, optimism)
    np.testing.assert_allclose(curve["apparent"] - curve["corrected"], [0.15, 0.05])
    np.testing.assert_allclose(curve["apparent"], survival_curve(time, event, survival, 5, [0.4, 0.6]))
