import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from nenflow.errors import InputError
from nenflow.evaluation.apparent import (
    SIGNATURE,
    apparent_figures,
    scores_of,
    survival_performance,
    survival_roc,
)
from nenflow.models.cox import baseline_hazard, fit_cox, survival_at
from nenflow.tables import UNIT

EXACT = 1e-9  # ranks and counts only
FITTED = 1e-6  # through a fit of our own; R's model has converged to about as much
OWN_LINE = 1e-6  # figures of a model on its own units, where rms has 0 and 1 by definition
TIMES = [180, 365, 730]


def units(n, per_patient=1):
    names = [(f"P{number // per_patient:03d}", f"lesion{number % per_patient}") for number in range(n)]
    return pd.MultiIndex.from_tuples(names, names=UNIT)


def figures_of(golden, name):
    return json.loads((golden / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lung(golden):
    """Outcome, and the scores of R's model (age, sex, performance status) as protocol.scores gives them."""
    data, figures = pd.read_csv(golden / "lung.csv"), figures_of(golden, "lung")
    X = data[figures["model"]["efron"]["terms"]].to_numpy(float)
    fit = fit_cox(X, data["time"], data["status"])
    baseline = baseline_hazard(fit, X, data["time"], data["status"])
    survival = survival_at(baseline, X @ fit.coef, TIMES)
    columns = {f"survival_{time}": column for time, column in zip(TIMES, survival.T, strict=True)}
    table = pd.DataFrame({SIGNATURE: np.nan, "linear_predictor": X @ fit.coef, **columns}, index=units(len(X)))
    return pd.DataFrame({"time": data["time"], "event": data["status"]}).set_axis(table.index), table, figures


@pytest.fixture(scope="module")
def birthwt(golden):
    data, figures = pd.read_csv(golden / "birthwt.csv"), figures_of(golden, "birthwt")
    fitted = np.array(figures["fitted"])
    columns = {SIGNATURE: data["lwt"].astype(float), "linear_predictor": logit(fitted), "probability": fitted}
    table = pd.DataFrame(columns).set_axis(units(len(data)))
    return data["low"].set_axis(table.index), table, figures


def test_the_radscore_stands_before_the_model_and_only_where_there_is_one():
    table = pd.DataFrame({SIGNATURE: [1.0, 2.0], "linear_predictor": [3.0, 4.0], "probability": [0.5, 0.6]})
    assert {name: score.tolist() for name, score in scores_of(table, "fusion").items()} == {
        SIGNATURE: [1, 2],
        "fusion": [3, 4],
    }
    assert list(scores_of(table.assign(Radscore=np.nan), "fusion")) == ["fusion"]  # a model of clinical variables only


def test_a_logistic_model_agrees_with_r(birthwt):
    y, table, theirs = birthwt
    figures, roc, decision = apparent_figures(y, table, "fusion", [], [])
    assert list(figures) == [SIGNATURE, "fusion"]
    ours = figures["fusion"]
    assert ours["auc"] == pytest.approx(theirs["roc"]["auc"], rel=EXACT)
    assert ours["auc_delong"] == pytest.approx(theirs["roc"]["delong_ci"][::2], rel=EXACT)
    assert ours["brier"] == pytest.approx(theirs["brier"], rel=EXACT)
    assert (ours["n"], ours["events"]) == (theirs["n"], theirs["events"])
    hosmer = theirs["hosmer_lemeshow"]
    assert ours["hosmer_lemeshow"]["chi2"] == pytest.approx(hosmer["chisq"], rel=1e-8)
    assert ours["hosmer_lemeshow"]["df"] == hosmer["df"]
    emax, e90, eavg = (theirs["val_prob"][key] for key in ("Emax", "E90", "Eavg"))
    calibration = ours["calibration"]
    assert [calibration[key] for key in ("emax", "e90", "ici")] == pytest.approx([emax, e90, eavg], abs=1e-7)
    validated = theirs["rms_validate"]
    original = dict(zip(validated["rows"], [row[0] for row in validated["values"]], strict=True))
    names = {"dxy": "Dxy", "r2": "R2", "intercept": "Intercept", "slope": "Slope", "d": "D", "u": "U", "q": "Q"}
    for name, key in {**names, "brier": "B", "g": "g", "gp": "gp"}.items():
        assert ours["indexes"][name] == pytest.approx(original[key], abs=OWN_LINE), name
    assert set(roc["score"]) == {SIGNATURE, "fusion"}
    sensitivity = roc.loc[roc["score"] == "fusion", "sensitivity"].to_numpy()
    np.testing.assert_allclose(sensitivity, theirs["roc"]["sensitivities"])
    benefit = decision[decision["strategy"] == "model"]
    np.testing.assert_allclose(benefit["net_benefit"], theirs["dca"]["model"], rtol=EXACT, atol=1e-12)


def test_a_score_that_is_no_model_has_no_figures_of_one(birthwt):
    y, table, _ = birthwt
    figures, _, decision = apparent_figures(y, table, "fusion", [], [np.arange(len(y))] * 2)
    assert figures[SIGNATURE]["brier"] is None
    assert not {"indexes", "calibration", "hosmer_lemeshow"} & set(figures[SIGNATURE])
    # resamples that are the data themselves leave no width
    np.testing.assert_allclose(decision["low"], decision["net_benefit"])
    np.testing.assert_allclose(decision["high"], decision["net_benefit"])


def test_a_cox_model_agrees_with_r(lung):
    y, table, theirs = lung
    figures, roc, decision = apparent_figures(y, table, "death", TIMES, [])
    assert list(figures) == ["death"]
    ours, model, score = figures["death"], theirs["model"]["efron"], theirs["score"]
    assert (ours["n"], ours["events"]) == (model["n"], model["nevent"])
    assert ours["c"] == pytest.approx(model["concordance"], rel=EXACT)
    reach = 1.959963984540054 * model["concordance_se"]
    assert ours["c_interval"] == pytest.approx([ours["c"] - reach, ours["c"] + reach], rel=1e-7)
    assert [row["auc"] for row in ours["auc"]] == pytest.approx(score["auc"], rel=FITTED)
    assert [row["se"] for row in ours["auc"]] == pytest.approx(score["auc_se"], rel=FITTED)
    assert [row["brier"] for row in ours["brier"]] == pytest.approx(score["brier"], rel=FITTED)
    assert [row["null"] for row in ours["brier"]] == pytest.approx(score["brier_null"], rel=FITTED)
    assert ours["ibs"] == pytest.approx(score["ibs"][-1], rel=FITTED)
    validated = theirs["rms_validate"]
    original = dict(zip(validated["rows"], [row[0] for row in validated["values"]], strict=True))
    for name, key in {"dxy": "Dxy", "r2": "R2", "slope": "Slope", "d": "D", "u": "U", "q": "Q", "g": "g"}.items():
        assert ours["indexes"][name] == pytest.approx(original[key], abs=OWN_LINE), name
    assert [row["time"] for row in ours["calibration"]] == TIMES
    assert all(0 < row["ici"] <= row["e90"] <= row["emax"] < 0.2 for row in ours["calibration"])
    assert list(roc) == ["time", "threshold", "sensitivity", "specificity", "low", "high"]
    assert list(decision["time"].unique()) == TIMES
    assert json.dumps(figures, allow_nan=False)  # goes into a document as it is


def test_the_area_under_each_curve_in_time_is_its_auc(lung):
    y, table, theirs = lung
    roc = survival_roc(y, table["linear_predictor"], TIMES, [])
    for (_, rows), auc in zip(roc.groupby("time"), theirs["score"]["auc"], strict=True):
        area = np.trapezoid(rows["sensitivity"].to_numpy()[::-1], 1 - rows["specificity"].to_numpy()[::-1])
        assert area == pytest.approx(auc, rel=FITTED)


def test_acting_on_everybody_has_the_net_benefit_of_kaplan_meier(lung):
    y, table, theirs = lung
    _, _, decision = apparent_figures(y, table, "death", TIMES, [])
    everybody = decision[decision["strategy"] == "all"]
    for time, survival in zip(TIMES, theirs["km_overall"]["at_times"]["surv"], strict=True):
        rows = everybody[everybody["time"] == time]
        odds = rows["threshold"] / (1 - rows["threshold"])
        np.testing.assert_allclose(rows["net_benefit"], (1 - survival) - survival * odds, rtol=1e-9)


def test_uno_s_c_stops_at_the_last_of_the_times():
    """Without censoring all weights are 1, and C counts the pairs whose earlier event is no later than the last."""
    time, score = np.arange(1.0, 9), np.array([8, 5, 7, 6, 1, 2, 3, 4])
    y = pd.DataFrame({"time": time, "event": 1}, index=units(8))
    pairs = [(score[i] > score[j]) for i in range(4) for j in range(i + 1, 8)]
    found = survival_performance(y, score, [2.0, 4.0])
    assert found["uno"] == pytest.approx(np.mean(pairs))
    everything = [(score[i] > score[j]) for i in range(8) for j in range(i + 1, 8)]
    assert found["c"] == pytest.approx(np.mean(everything))
    assert found["brier"] is None
    assert found["ibs"] is None


def test_lesions_of_a_patient_widen_the_interval_of_c():
    rng = np.random.default_rng(3)
    time, score = rng.exponential(10, 60), rng.normal(size=60)
    y = pd.DataFrame({"time": np.repeat(time, 3), "event": 1}, index=units(180, per_patient=3))
    # Three copies of each patient know no more than one: against single units the interval must not shrink.
    copies = survival_performance(y, np.repeat(score, 3), [5.0])
    apart = survival_performance(y.set_axis(units(180)), np.repeat(score, 3), [5.0])
    single = survival_performance(y.iloc[::3], score, [5.0])
    low, high = copies["c_interval"]
    assert high - low == pytest.approx(np.diff(single["c_interval"])[0], rel=1e-6)
    assert high - low > 1.5 * np.diff(apart["c_interval"])[0]


def test_a_time_that_nobody_reached_has_no_curve_and_no_auc():
    y = pd.DataFrame({"time": [2.0, 3, 4, 5, 6, 7], "event": [1, 0, 1, 1, 0, 1]}, index=units(6))
    score = np.array([3.0, 2, 2, 1, 0, 1])
    assert survival_roc(y, score, [1, 4, 7], [])["time"].unique().tolist() == [4]
    found = survival_performance(y, score, [1, 4, 7])
    assert [np.isnan(row["auc"]) for row in found["auc"]] == [True, False, True]
    nothing = survival_roc(y, score, [1, 9], [])
    assert nothing.empty
    assert list(nothing) == ["time", "threshold", "sensitivity", "specificity", "low", "high"]


def test_a_cox_model_without_variables_tells_nothing_apart(lung):
    y, table, theirs = lung
    same = {"linear_predictor": 0.0}
    same |= {f"survival_{t}": s for t, s in zip(TIMES, theirs["km_overall"]["at_times"]["surv"], strict=True)}
    figures, roc, _ = apparent_figures(y, table.assign(**same), "death", TIMES, [])
    ours = figures["death"]
    assert ours["c"] == ours["uno"] == 0.5
    assert [row["auc"] for row in ours["auc"]] == [0.5] * 3
    assert [row["brier"] for row in ours["brier"]] == pytest.approx(theirs["score"]["brier_null"], rel=EXACT)
    assert [row["scaled"] for row in ours["brier"]] == pytest.approx([0, 0, 0], abs=1e-12)
    assert all(row["ici"] is None for row in ours["calibration"])
    assert len(roc) == 6  # both corners at each time


def test_competing_events_count_as_censored_in_discrimination_and_as_themselves_in_benefit():
    rng = np.random.default_rng(8)
    y = pd.DataFrame({"time": rng.exponential(10, 80), "event": rng.choice([0, 1, 2], 80)}, index=units(80))
    score = rng.normal(size=80)
    censored = y.assign(event=(y["event"] == 1).astype(int))
    assert survival_performance(y, score, [5.0]) == survival_performance(censored, score, [5.0])
    table = pd.DataFrame({SIGNATURE: np.nan, "linear_predictor": score, "survival_5": 1 / (1 + np.exp(score))})
    decisions = [apparent_figures(data, table.set_axis(y.index), "m", [5], [])[2] for data in (y, censored)]
    everybody = [decision[decision["strategy"] == "all"]["net_benefit"].to_numpy() for decision in decisions]
    assert (everybody[0] < everybody[1]).all()  # fewer can benefit where some die of something else


def test_one_class_only_is_refused():
    table = pd.DataFrame({SIGNATURE: [1.0, 2.0], "linear_predictor": [1.0, 2.0], "probability": [0.6, 0.7]})
    with pytest.raises(InputError, match="same outcome"):
        apparent_figures(pd.Series([1, 1]), table, "m", [], [])
