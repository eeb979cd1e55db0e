import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from nenflow.documents import read_json
from nenflow.evaluation.calibration import (
    GRID,
    calibration_curve,
    calibration_line,
    corrected_curve,
    curve_optimism,
)

EXACT = 1e-8  # the smooth itself, from R's stored probabilities
REFIT = 1e-6  # the same after refitting a logistic model 200 times: rms stops its iterations at about 1e-7
LINE = 1e-7  # linear predictors are rounded to 9 decimals


@pytest.fixture(scope="module")
def refitted(golden):
    """Two data sets with R's model and the model's columns: (y, columns, resamples, R's figures)."""
    sah, birth = pd.read_csv(golden / "aSAH.csv"), pd.read_csv(golden / "birthwt.csv")
    birth = birth.assign(black=birth["race"] == "black", other=birth["race"] == "other")
    cases = [
        ("aSAH", sah["poor"], sah[["wfns", "ndka"]]),
        ("birthwt", birth["low"], birth[["lwt", "black", "other", "smoke", "ptl", "ht"]]),
    ]
    return [
        (
            y.to_numpy(),
            ((columns - columns.mean()) / columns.std()).to_numpy(dtype=float),
            pd.read_csv(golden / f"{name}_boot.csv", header=None).to_numpy() - 1,
            read_json(golden / f"{name}.json"),
        )
        for name, y, columns in cases
    ]


def test_curve_equals_r_lowess(golden, refitted):
    response = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"].to_numpy()
    cases = [(y, r) for y, _, _, r in refitted] + [(response, read_json(golden / "chain.json")["fusion"])]
    for y, r in cases:
        smooth = r["calibration_lowess"]
        np.testing.assert_allclose(calibration_curve(y, r["fitted"], smooth["x"]), smooth["y"], atol=EXACT, rtol=0)


def test_corrected_curve_and_line_equal_rms(refitted):
    y, x, resamples, r = refitted[1]
    grid = np.array(r["rms_calibrate"]["predy"])
    rows, lines = [], []
    for number, draw in enumerate(resamples):
        model = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(x[draw], y[draw])
        p = model.predict_proba(x)[:, 1]
        optimism = curve_optimism(y[draw], p[draw], y, p, grid)
        rows.append(pd.DataFrame({"resample": number, "predicted": grid, "optimism": optimism}))
        lines.append(calibration_line(y, model.decision_function(x)))
    curve = corrected_curve(y, r["fitted"], pd.concat(rows))
    np.testing.assert_allclose(curve["apparent"], r["rms_calibrate"]["apparent"], atol=EXACT, rtol=0)
    np.testing.assert_allclose(curve["corrected"], r["rms_calibrate"]["corrected"], atol=REFIT, rtol=0)
    expected = r["bootstrap"]["optimism"]
    np.testing.assert_allclose(lines[:5], np.array(expected["first5"])[:, 4:], atol=REFIT, rtol=0)
    mean = np.mean(lines, axis=0)
    np.testing.assert_allclose(mean, [expected["intercept_corrected"], expected["slope_corrected"]], atol=REFIT)


def test_a_fitted_model_lies_on_its_own_line(refitted):
    # the score equations of a maximum-likelihood fit make intercept 0 and slope 1, whatever the data
    for y, _, _, r in refitted:
        p = np.array(r["fitted"])
        assert calibration_line(y, np.log(p / (1 - p))) == pytest.approx((0, 1), abs=LINE)


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
