import json

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter
from lifelines.statistics import logrank_test, multivariate_logrank_test

from nenflow.cohort.units import labelled
from nenflow.evaluation.groups import (
    ALL,
    best_cutpoints,
    incidence_curves,
    survival_curves,
    survival_summary,
    survival_tests,
)
from nenflow.models.cox import fit_cox, global_tests

EXACT = 1e-10  # the same formula, in another order of summation

# Weeks in remission of 42 children with leukaemia (Freireich et al. 1963, Blood 21:699), the textbook example of
# Kaplan and Meier's curves; a negative time is censored.
TREATED = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
DRUG = {"type": "categorical", "levels": ["placebo", "6-MP"]}


def outcome(time, event):
    return pd.DataFrame({"time": np.asarray(time, dtype=float), "event": np.asarray(event, dtype=int)})


def remission():
    times = np.array(PLACEBO + TREATED)
    drug = pd.Series(["placebo"] * len(PLACEBO) + ["6-MP"] * len(TREATED))
    return outcome(np.abs(times), times > 0), {"drug": labelled(drug, DRUG)}


def cohort(n=90, competing=False, seed=5):
    """Continuous times, so no ties; three groups with rising hazards, some without a group."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 3, n)
    event = rng.choice([0, 1, 2], n, p=[0.3, 0.5, 0.2]) if competing else (rng.random(n) < 0.7).astype(int)
    names = pd.Series(np.array(["poor", "fair", "good"])[grade]).mask(pd.Series(rng.random(n) < 0.1))
    groups = {"grade": labelled(names, {"levels": ["good", "fair", "poor"]})}  # not the order of the alphabet
    return outcome(rng.exponential(30 / (1 + grade), n), event), groups


@pytest.fixture(scope="module")
def lung(golden):
    data = pd.read_csv(golden / "lung.csv")
    figures = json.loads((golden / "lung.json").read_text(encoding="utf-8"))
    levels = {"male": ["0", "1"], "ecog": ["0", "1", "2", "3"]}
    groups = {name: labelled(data[name].astype(str), {"levels": known}) for name, known in levels.items()}
    return outcome(data["time"], data["status"]), groups, data, figures


def test_curves_of_the_textbook():
    curves = survival_curves(*remission())
    assert list(curves)[:3] == ["variable", "group", "time"]
    assert list(dict.fromkeys(zip(curves["variable"], curves["group"], strict=True))) == [
        ("", ALL),
        ("drug", "placebo"),
        ("drug", "6-MP"),
    ]
    treated = curves[curves["group"] == "6-MP"].set_index("time")
    # Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data, section 1.4
    known = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    np.testing.assert_allclose(treated.loc[list(known), "survival"], list(known.values()), atol=6e-4)
    assert treated.loc[6, ["at_risk", "events", "censored"]].tolist() == [21, 3, 1]
    everybody = curves[curves["variable"] == ""]
    assert everybody["events"].sum() == 30
    assert everybody["at_risk"].iloc[0] == 42


def test_summary_of_the_textbook():
    table = survival_summary(*remission(), [10, 20, 30]).set_index("group")
    assert table["median"].to_dict() == {ALL: 12, "placebo": 8, "6-MP": 23}
    assert table[["n", "events"]].to_numpy().tolist() == [[42, 30], [21, 21], [21, 9]]
    np.testing.assert_allclose(table.loc["placebo", ["survival_10", "survival_20"]].tolist(), [8 / 21, 2 / 21])
    assert table.loc["6-MP", ["at_risk_10", "at_risk_20", "at_risk_30"]].tolist() == [15, 8, 4]
    # nobody of the placebo group was followed for 30 weeks
    assert table.loc["placebo", ["survival_30", "survival_30_low", "survival_30_high"]].isna().all()
    # without censoring the restricted mean is a mean of times cut at the last of the times
    assert table.loc["placebo", "mean"] == pytest.approx(np.minimum(PLACEBO, 30).mean())


def test_summary_agrees_with_r(lung):
    y, groups, _, figures = lung
    table = survival_summary(y, groups, [180, 365, 730])
    overall = figures["km_overall"]["log"]
    everybody = table.iloc[0]
    assert (everybody["n"], everybody["events"]) == (overall["records"], overall["events"])
    assert everybody[["median", "median_low", "median_high"]].tolist() == [overall[k] for k in ("median", "lo", "hi")]
    assert everybody["follow_up"] == np.ravel(figures["follow_up_reverse_km_median"])[0]
    for variable in groups:
        rows, there = table[table["variable"] == variable], figures["km_groups"][variable]
        assert [f"{variable}={group}" for group in rows["group"]] == there["km"]["strata"]
        np.testing.assert_array_equal(rows["median"], there["km"]["median"])
        r = pd.DataFrame(there["at_times"]).astype({"surv": float, "lo": float, "hi": float})
        for time, theirs in r.groupby("time"):
            ours = rows.set_index("group").loc[[name.split("=")[1] for name in theirs["strata"]]]
            seen = ours[f"survival_{time}"].notna().to_numpy()  # R carries a curve on behind its last follow-up
            columns = [f"survival_{time}", f"survival_{time}_low", f"survival_{time}_high"]
            np.testing.assert_allclose(ours[seen][columns], theirs[seen][["surv", "lo", "hi"]], rtol=EXACT)
            np.testing.assert_array_equal(ours[f"at_risk_{time}"], theirs["n_risk"])


def test_tests_of_the_textbook():
    tests = survival_tests(*remission()).set_index("test")
    assert list(tests.index) == ["log-rank", "Peto-Peto"]  # two groups have no trend, nothing competes
    assert tests.loc["log-rank", "chi2"] == pytest.approx(16.79, abs=5e-3)  # Collett; SAS and R print the same
    y, groups = remission()
    rows = [y[(groups["drug"] == level).to_numpy()] for level in DRUG["levels"]]
    times, events = zip(*[(part["time"], part["event"]) for part in rows], strict=True)
    assert tests.loc["log-rank", "p"] == pytest.approx(logrank_test(*times, *events).p_value, rel=1e-9)


def test_tests_agree_with_r(lung):
    y, groups, _, figures = lung
    tests = survival_tests(y, groups).set_index(["variable", "test"])
    for variable in groups:
        for name, key in (("log-rank", "logrank"), ("Peto-Peto", "peto")):
            ours, theirs = tests.loc[(variable, name)], figures["km_groups"][variable][key]
            assert ours["chi2"] == pytest.approx(theirs["chisq"], rel=EXACT)
            assert ours["p"] == pytest.approx(theirs["p"], rel=1e-8)
    assert tests.loc[("ecog", "log-rank"), "df"] == 3
    assert ("ecog", "log-rank for trend") in tests.index
    assert ("male", "log-rank for trend") not in tests.index


def test_trend_follows_the_declared_order():
    y, groups = cohort()
    known = groups["grade"].notna().to_numpy()
    codes = groups["grade"].map({"good": 0, "fair": 1, "poor": 2}).astype(float)[known].to_numpy()
    time, event = y.loc[known, "time"].to_numpy(), y.loc[known, "event"].to_numpy()
    tests = survival_tests(y, groups).set_index("test")
    # Without ties the test for trend is the score test of a Cox model in the number of the group.
    score = global_tests(fit_cox(codes[:, None], time, event)).loc["score"]
    assert tests.loc["log-rank for trend", "chi2"] == pytest.approx(score["chi2"], rel=1e-9)
    assert tests.loc["log-rank for trend", "df"] == 1
    several = multivariate_logrank_test(time, codes, event)  # those without a group left out
    assert tests.loc["log-rank", "chi2"] == pytest.approx(several.test_statistic, rel=1e-9)


# 48 simulated units in three groups of 16; R 4.2.2, cmprsk 2.2-11 give Gray's test of event 1 (as in test_competing).
# fmt: off
COMPETING = outcome(
    [5, 1, 1, 2, 10, 2, 11, 8, 5, 7, 2, 6, 3, 1, 5, 5, 3, 1, 1, 11, 4, 1, 6, 8, 2, 8, 1, 8, 3, 6, 1, 1, 4, 3, 4, 2, 2,
     2, 1, 2, 1, 2, 6, 1, 6, 2, 5, 9],
    [0, 1, 2, 1, 0, 0, 0, 1, 0, 1, 2, 2, 2, 1, 0, 0, 1, 1, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 2, 1, 2,
     1, 1, 1, 0, 1, 1, 1, 0, 1, 1],
)
# fmt: on


def test_gray_is_asked_where_events_compete():
    arm = labelled(pd.Series(np.repeat(["b", "c", "a"], 16)), {"levels": ["b", "c", "a"]})
    tests = survival_tests(COMPETING, {"arm": arm}).set_index("test")
    assert list(tests.index) == ["log-rank", "Peto-Peto", "log-rank for trend", "Gray"]
    assert tests.loc["Gray", ["chi2", "df", "p"]].tolist() == pytest.approx([5.57634693301818, 2, 0.0615335043391595])
    alone = survival_tests(COMPETING.replace({"event": {2: 0}}), {"arm": arm}).set_index("test")
    assert "Gray" not in alone.index
    pd.testing.assert_frame_equal(alone, tests.drop("Gray"))  # the others count a competing event as censored


def test_a_test_that_is_impossible_says_why():
    y, groups = remission()
    alone = {"drug": groups["drug"].where(groups["drug"] == "6-MP")}
    tests = survival_tests(y, alone)
    assert tests["p"].isna().all()
    assert tests["reason"].str.contains("same group").all()
    nobody = survival_tests(y.assign(event=0), groups)
    assert nobody["reason"].str.contains("Nobody had the event").all()
    assert survival_tests(y, {}).empty


def test_rows_without_a_group_count_with_everybody_only():
    y, groups = cohort()
    summary = survival_summary(y, groups, [10.0])
    assert summary["group"].tolist() == [ALL, "good", "fair", "poor"]
    assert summary["n"].iloc[1:].tolist() == groups["grade"].value_counts(sort=False).tolist()
    assert summary["n"].iloc[1:].sum() == groups["grade"].notna().sum() < summary["n"].iloc[0] == len(y)


def test_a_level_that_nobody_has_has_no_curve():
    y, groups = remission()
    more = {"drug": groups["drug"].cat.add_categories("both")}
    pd.testing.assert_frame_equal(survival_curves(y, more), survival_curves(y, groups))
    pd.testing.assert_frame_equal(survival_tests(y, more), survival_tests(y, groups))


def test_cut_points_agree_with_r(lung):
    y, _, data, figures = lung
    names = list(figures["cutpoints"])
    table = best_cutpoints(y, data[names], seed=1).set_index("variable")
    for name, theirs in figures["cutpoints"].items():
        ours = table.loc[name]
        assert ours["cutpoint"] == theirs["cutpoint"]
        assert ours["statistic"] == pytest.approx(theirs["statistic"], rel=1e-9)
        assert ours["naive_chi2"] == pytest.approx(theirs["naive_chisq"], rel=1e-9)
        assert ours["p_lausen_1992"] == pytest.approx(theirs["p"]["Lau92"], rel=1e-9)
        assert ours["naive_p"] < ours["p_permutation"]  # the search is paid for
        assert ours["n_low"] == (data[name] <= theirs["cutpoint"]).sum()
        assert ours["n_low"] + ours["n_high"] == ours["n"] == len(y)
    assert "cuts" not in table


def test_cut_points_leave_out_rows_without_a_value():
    y, _ = cohort(120)
    rng = np.random.default_rng(2)
    variables = pd.DataFrame({"size": y["time"].rank() + rng.normal(0, 40, len(y)), "age": rng.normal(60, 9, len(y))})
    gaps = variables.copy()
    gaps.loc[rng.choice(len(y), 20, replace=False), "size"] = np.nan
    known = gaps["size"].notna()
    some = best_cutpoints(y, gaps, seed=4).set_index("variable")
    alone = best_cutpoints(y[known], gaps.loc[known, ["size"]], seed=4).set_index("variable")
    pd.testing.assert_series_equal(some.loc["size"], alone.loc["size"])
    assert some.loc["size", "n"] == 100
    assert some.loc["age", "n"] == 120  # of that column only


def test_a_cut_point_that_is_impossible_says_why():
    y, _ = remission()
    variables = pd.DataFrame({"constant": 1.0, "nothing": np.nan, "age": np.arange(42.0)}, index=y.index)
    table = best_cutpoints(y, variables, seed=1).set_index("variable")
    assert "No cut-point" in table.loc["constant", "reason"]
    assert table.loc["nothing", "reason"]
    assert table.loc["nothing", "n"] == 0
    assert table.loc[["constant", "nothing"], ["cutpoint", "naive_p"]].isna().all(axis=None)
    assert table.loc["age", "reason"] == ""
    empty = best_cutpoints(y, variables[[]], seed=1)
    assert empty.empty
    assert list(empty)[:3] == ["variable", "n", "cutpoint"]


def test_incidences_are_shares_where_nobody_is_censored():
    time = np.arange(1.0, 11)
    event = np.array([1, 2, 1, 1, 2, 2, 1, 2, 1, 1])
    sex = labelled(pd.Series(list("ababababab")), {"levels": ["b", "a"]})
    table = incidence_curves(outcome(time, event), {"sex": sex})
    assert list(dict.fromkeys(zip(table["variable"], table["group"], table["cause"], strict=True))) == [
        ("", ALL, 1), ("", ALL, 2), ("sex", "b", 1), ("sex", "b", 2), ("sex", "a", 1), ("sex", "a", 2)
    ]  # fmt: skip
    for (variable, group, cause), rows in table.groupby(["variable", "group", "cause"]):
        mine = (sex == group).to_numpy() if variable else np.ones(10, dtype=bool)
        shares = [((time <= t) & (event == cause) & mine).sum() / mine.sum() for t in rows["time"]]
        np.testing.assert_allclose(rows["incidence"], shares)


def test_incidences_agree_with_lifelines():
    y, _ = cohort(competing=True)
    table = incidence_curves(y, {})
    for cause in (1, 2):
        fitter = AalenJohansenFitter(jitter_level=0, calculate_variance=False)
        theirs = fitter.fit(y["time"], y["event"], event_of_interest=cause).cumulative_density_.iloc[:, 0]
        ours = table[table["cause"] == cause]
        np.testing.assert_allclose(ours["incidence"], theirs.loc[ours["time"]], rtol=1e-9)


def test_no_incidences_where_nothing_competes():
    y, groups = remission()
    table = incidence_curves(y, groups)
    assert table.empty
    assert list(table) == list(incidence_curves(y.assign(event=2 - y["event"]), groups))
