import json

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from nenflow.evaluation.apparent import apparent_figures
from nenflow.evaluation.calibration import GRID, calibration_curve
from nenflow.evaluation.corrected import corrected_benefit, corrected_calibration, grouped_calibration
from nenflow.models.cox import baseline_hazard, fit_cox, survival_at
from nenflow.tables import UNIT

EXACT = 1e-9  # counts within groups only
CPH = 2e-4  # through a Cox model: rms stops its iterations earlier, which tests/golden follows step by step


def units(n):
    return pd.MultiIndex.from_tuples([(f"P{number:03d}", "patient") for number in range(n)], names=UNIT)


def cohort(n=160, seed=4):
    """A time-to-event outcome and what a model foretells of it at two times."""
    rng = np.random.default_rng(seed)
    score, follow_up = rng.normal(size=n), rng.uniform(5, 60, n)
    time = rng.exponential(30 * np.exp(-score))
    y = pd.DataFrame({"time": np.minimum(time, follow_up), "event": (time <= follow_up).astype(int)}, index=units(n))
    survival = {f"survival_{at}": np.exp(-at / 30 * np.exp(score)) for at in (12, 24)}
    return y, pd.DataFrame({"linear_predictor": score, **survival}, index=y.index)


def binary(n=60):
    probability = (np.arange(n) + 0.5) / n
    y = pd.Series(((np.arange(n) * 7) % n < np.arange(n)).astype(int), index=units(n))
    return y, pd.DataFrame({"probability": probability}, index=y.index)


def constant_optimism(value, benefit=0.0, times=(), resamples=3):
    """Curves of refits that are all too good by the same amount (by the resample's number more or less)."""
    numbers = np.arange(resamples) - (resamples - 1) / 2
    curves = [
        pd.DataFrame(
            {"resample": r, "predicted": GRID, "optimism": value + 0.01 * d, "net_benefit": benefit + 0.01 * d}
        )
        for r, d in enumerate(numbers)
    ]
    if len(times):
        curves = [curve.assign(time=float(t), optimism=curve["optimism"] * t) for curve in curves for t in times]
    return pd.concat(curves, ignore_index=True)


def test_a_curve_is_lowered_by_the_mean_optimism():
    y, table = binary()
    curve = corrected_calibration(y, table, constant_optimism(0.05))
    assert len(curve) > 50
    np.testing.assert_allclose(curve["apparent"], calibration_curve(y, table["probability"], curve["predicted"]))
    np.testing.assert_allclose(curve["apparent"] - curve["corrected"], 0.05)
    assert (curve["resamples"] == 3).all()
    assert "time" not in curve


def test_survival_has_a_curve_per_time_each_with_its_own_optimism():
    y, table = cohort()
    curves = corrected_calibration(y, table, constant_optimism(0.001, times=(12, 24)))
    assert curves["time"].unique().tolist() == [12, 24]
    for time, rows in curves.groupby("time"):
        np.testing.assert_allclose(rows["apparent"] - rows["corrected"], 0.001 * time)
        shown = table[f"survival_{time:g}"].sort_values()
        assert rows["predicted"].min() >= shown.iloc[4] - 1e-9  # from the fifth lowest to the fifth highest, as rms
        assert rows["predicted"].max() <= shown.iloc[-5] + 1e-9
        # the model is the one that the data come from
        assert np.abs(rows["apparent"] - rows["predicted"]).max() < 0.1


def test_groups_of_survival_agree_with_rms(golden):
    data = pd.read_csv(golden / "lung.csv")
    figures = json.loads((golden / "lung.json").read_text(encoding="utf-8"))
    expected = figures["rms_calibrate_km"]
    assert len(expected["values"]) == 4  # as many as are drawn
    X, at = data[figures["model"]["efron"]["terms"]].to_numpy(float), expected["u"]
    fit = fit_cox(X, data["time"], data["status"])
    survival = survival_at(baseline_hazard(fit, X, data["time"], data["status"]), X @ fit.coef, [at])[:, 0]
    y = data[["time", "status"]].set_axis(["time", "event"], axis=1)
    table = pd.DataFrame({f"survival_{at}": survival, "linear_predictor": 0.0})
    ours = grouped_calibration(y, table)
    theirs = pd.DataFrame(expected["values"], columns=expected["columns"])
    np.testing.assert_allclose(ours["predicted"], theirs["mean.predicted"], rtol=CPH)
    np.testing.assert_allclose(ours["observed"], theirs["KM"], rtol=EXACT)
    np.testing.assert_allclose(ours["relative_error"], theirs["std.err"], rtol=EXACT)
    np.testing.assert_allclose(ours["low"], theirs["KM"] * np.exp(-1.959963984540054 * theirs["std.err"]), rtol=EXACT)
    assert ours["n"].sum() == len(data)
    assert (ours["time"] == at).all()


def test_groups_of_survival_at_each_time():
    y, table = cohort()
    groups = grouped_calibration(y, table)
    assert groups["time"].tolist() == [12] * 4 + [24] * 4
    for time, rows in groups.groupby("time"):
        survival = table[f"survival_{time:g}"]
        cuts = np.quantile([0, 1, *survival], [0, 0.25, 0.5, 0.75, 1])
        for row, low, high in zip(rows.itertuples(), cuts, [*cuts[1:-1], 2], strict=False):
            mine = (survival >= low) & (survival < high)
            assert row.n == mine.sum()
            theirs = KaplanMeierFitter().fit(y.loc[mine, "time"], y.loc[mine, "event"]).predict(time)
            assert row.observed == pytest.approx(theirs)
            assert row.predicted == pytest.approx(survival[mine].mean())
            assert row.events == y.loc[mine, "event"].sum()


def test_groups_of_probability():
    y, table = binary(60)
    groups = grouped_calibration(y, table)
    assert groups["n"].tolist() == [6] * 10
    np.testing.assert_allclose(groups["observed"], y.to_numpy().reshape(10, 6).mean(axis=1))
    np.testing.assert_allclose(groups["predicted"], table["probability"].to_numpy().reshape(10, 6).mean(axis=1))


def test_a_prediction_that_is_the_same_for_all_is_one_group():
    y, table = cohort()
    groups = grouped_calibration(y, table.assign(survival_12=0.5, survival_24=0.3))
    filled = groups[groups["n"] > 0]
    assert filled["n"].tolist() == [160, 160]
    everybody = KaplanMeierFitter().fit(y["time"], y["event"])
    assert filled["observed"].tolist() == pytest.approx(everybody.predict([12, 24]).tolist())


def test_the_model_s_net_benefit_is_lowered_and_no_other():
    y, table = binary()
    figures = table.assign(Radscore=np.nan, linear_predictor=table["probability"])
    decision = apparent_figures(y, figures, "m", [], [])[2]
    curve = corrected_benefit(decision, constant_optimism(0.0, benefit=0.02))
    lost = (curve["net_benefit"] - curve["corrected"]).groupby(curve["strategy"]).agg(["min", "max"])
    np.testing.assert_allclose(lost.loc["model"], 0.02)
    assert (lost.loc[["all", "none"]] == 0).all(axis=None)


def test_each_time_loses_its_own_optimism():
    y, table = cohort()
    decision = apparent_figures(y, table.assign(Radscore=np.nan), "m", [12, 24], [])[2]
    optimism = constant_optimism(0.0, benefit=0.03, times=(12, 24))
    optimism.loc[optimism["time"] == 24, "net_benefit"] += 0.01
    curve = corrected_benefit(decision, optimism)
    assert len(curve) == len(decision)
    model = curve[(curve["strategy"] == "model") & curve["net_benefit"].notna()]
    lost = (model["net_benefit"] - model["corrected"]).groupby(model["time"]).mean()
    assert lost.to_dict() == pytest.approx({12: 0.03, 24: 0.04})
    others = curve[curve["strategy"] != "model"]
    pd.testing.assert_series_equal(others["corrected"], others["net_benefit"], check_names=False)


def test_refits_that_failed_leave_the_others_mean():
    y, table = cohort()
    optimism = constant_optimism(0.001, benefit=0.05, times=(12, 24), resamples=4)
    optimism.loc[optimism["resample"] == 3, ["optimism", "net_benefit"]] = np.nan
    curves = corrected_calibration(y, table, optimism)
    assert (curves["resamples"] == 3).all()
    decision = apparent_figures(y, table.assign(Radscore=np.nan), "m", [12, 24], [])[2]
    model = corrected_benefit(decision, optimism).query("strategy == 'model' and net_benefit.notna()")
    np.testing.assert_allclose(model["net_benefit"] - model["corrected"], 0.05 - 0.01 * 0.5)
