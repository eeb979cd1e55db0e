"""All schemes of validation in one table: every figure is the one of its own file, and none is made up."""

import numpy as np
import pandas as pd
import pytest

from nenflow.documents import plain
from nenflow.evaluation.apparent import apparent_figures, scores_of
from nenflow.evaluation.crossvalidation import cross_validate, out_of_fold_decision, parts_of
from nenflow.evaluation.decision import net_benefit, net_benefit_survival
from nenflow.evaluation.judging import judge_resamples
from nenflow.evaluation.operating import RATES
from nenflow.evaluation.refitting import refit_resamples
from nenflow.evaluation.resampling import resample_fixed, unit_resample
from nenflow.evaluation.schemes import scheme_table, selection_shares
from nenflow.evaluation.validation import summarise
from nenflow.models.protocol import build_protocol, scores
from nenflow.report.sections_schemes import scheme_blocks
from nenflow.report.tables import estimates

EXACT = 1e-12
NUMBERS = range(6)
STUDY = {
    "variables": {name: {"label": name.upper(), "type": "continuous"} for name in "abcd"}
    | {"months": {"label": "Survival (months)"}},
    "endpoints": {"death": {"variable": "status", "time": "months"}},
    "models": {"fusion": {"endpoint": "death"}},
    "evaluation": {"folds": 4, "repeats": 2},
}


def study(kind):
    """Two lesions of 40 patients; of features a and b one tells something, c and d are clinical variables."""
    rng = np.random.default_rng(7)
    index = pd.MultiIndex.from_product([[f"P{i:02d}" for i in range(40)], ["L1", "L2"]], names=["patient", "region"])
    X = pd.DataFrame(rng.normal(size=(80, 4)), index, list("abcd"))
    risk = 1.2 * X["a"] + 0.8 * X["c"]
    if kind == "binary":
        y = (risk + rng.logistic(size=80) > 0.3).astype(int)
        steps = [{"zscore": {}}, {"lasso": {"folds": 4}}, {"logistic": {}}]
        return build_protocol(steps, ["c", "d"], None, 1), X, y
    time, end = rng.exponential(30 * np.exp(-risk)), rng.uniform(10, 80, 80)
    y = pd.DataFrame({"time": np.minimum(time, end), "event": (time <= end).astype(int)}, index)
    return build_protocol([{"cox": {}}], list("abcd"), None, 1, times=[10.0, 24.0]), X, y


@pytest.fixture(scope="module", params=["binary", "survival"])
def found(request):
    """Everything that the table is made of, as the jobs of a study make it."""
    protocol, X, y = study(request.param)
    fitted = protocol.fit(X, y)
    table, times = scores(fitted, X), getattr(fitted[-1], "times", ())
    performance = apparent_figures(y, table, "fusion", times, [])[0]
    fixed = resample_fixed(y, scores_of(table, "fusion"), 1, NUMBERS)
    others = judge_resamples(y, table, performance["fusion"]["rates"], 1, NUMBERS).assign(score="fusion")
    fixed = fixed.merge(others, how="left", on=["resample", "score"])
    refits, _ = refit_resamples(protocol, X, y, 1, NUMBERS)
    validation = plain(summarise(performance, fixed, refits))
    units, crossed = cross_validate(protocol, X, y, parts_of(X, y, 1, {"folds": 4, "repeats": 2}))
    rows = scheme_table(performance, validation, fixed, crossed)
    return {
        **{"kind": request.param, "X": X, "y": y, "table": table, "performance": performance, "fixed": fixed},
        **{"refits": refits, "validation": validation, "units": units, "crossed": crossed, "rows": rows},
    }


def test_every_scheme_has_the_figures_of_its_own_file(found):
    rows = found["rows"][found["rows"]["score"] == "fusion"].set_index("scheme")
    assert rows.index.tolist() == ["apparent", "finished", "optimism", "632plus", "folds"]
    measure = "auc" if found["kind"] == "binary" else "c"
    refits, own = found["refits"], found["performance"]["fusion"]
    for name in (measure, *RATES):
        apparent = own[name] if name == measure else own["rates"][name]
        assert rows.loc["apparent", name] == pytest.approx(apparent, abs=EXACT)
        optimism = (refits[f"{name}_train"] - refits[f"{name}_test"]).mean()
        assert rows.loc["optimism", name] == pytest.approx(apparent - optimism, abs=EXACT)
        own_fixed = found["fixed"].loc[found["fixed"]["score"] == "fusion", name]
        assert rows.loc["finished", name] == pytest.approx(own_fixed.mean(), abs=EXACT)
        assert rows.loc["folds", name] == found["crossed"]["folds"]["pooled"][name]
    assert rows.loc["apparent", "slope"] == 1.0
    assert rows.loc["optimism", "slope"] == pytest.approx(refits["slope"].mean(), abs=EXACT)
    assert np.isnan(rows.loc["632plus", "slope"])  # there is no chance level of a slope
    last = "brier" if measure == "auc" else "brier_24"
    brier = own["brier"] if measure == "auc" else own["brier"][-1]["brier"]
    optimism = (refits[f"{last}_train"] - refits[f"{last}_test"]).mean()
    assert rows.loc["optimism", "brier"] == pytest.approx(brier - optimism, abs=EXACT)
    if measure == "c":
        by_time = found["validation"]["scores"]["fusion"]["times"]
        both = [by_time[time]["brier"]["corrected"] for time in ("10", "24")]
        # the score of the first time holds from there to the second
        assert rows.loc["optimism", "ibs"] == pytest.approx(both[0] * 14 / 24, abs=EXACT)
    assert (rows["n"] == 80).all()


def test_the_finished_model_is_judged_in_the_resamples_of_its_auc(found):
    y, table = found["y"], found["table"]
    own = found["fixed"][found["fixed"]["score"] == "fusion"].set_index("resample")
    acting = found["performance"]["fusion"]["rates"]
    outcome = y.to_numpy() if found["kind"] == "binary" else y[["time", "event"]].to_numpy(float)
    draw = unit_resample(outcome, 1, 3)
    if found["kind"] == "binary":
        risk, event = table["probability"].to_numpy()[draw], outcome[draw]
        expected = net_benefit(event, risk, [acting["threshold"]])[0]
        called = table["linear_predictor"].to_numpy()[draw] >= acting["cut_off"]
        assert own.loc[3, "sensitivity"] == pytest.approx(called[event == 1].mean(), abs=EXACT)
        assert own.loc[3, "brier"] == pytest.approx(((risk - event) ** 2).mean(), abs=EXACT)
    else:
        risk = 1 - table["survival_24"].to_numpy()[draw]
        expected = net_benefit_survival(*outcome[draw].T, risk, 24.0, [acting["threshold"]])[0]
    assert own.loc[3, "net_benefit"] == pytest.approx(expected, abs=EXACT)
    row = found["rows"].set_index(["score", "scheme"]).loc[("fusion", "finished")]
    assert row["net_benefit"] == pytest.approx(own["net_benefit"].mean(), abs=EXACT)


def test_the_radscore_has_discrimination_only(found):
    rows = found["rows"][found["rows"]["score"] == "Radscore"].set_index("scheme")
    if found["kind"] == "survival":
        assert rows.empty
        return
    assert rows.index.tolist() == ["apparent", "finished", "optimism", "632plus", "folds"]
    assert rows["auc"].between(0, 1).all()
    assert rows[["slope", "brier", "net_benefit"]].isna().to_numpy().all()
    assert rows.loc["folds", "auc"] == found["crossed"]["folds"]["pooled"]["Radscore"]["auc"]


def test_decision_curves_out_of_fold_are_the_mean_of_the_repeats(found):
    curve, y, units = out_of_fold_decision(found["units"], found["y"]), found["y"], found["units"]
    each = []
    for repeat in (1, 2):
        rows = units[units["repeat"] == repeat].set_index(["patient", "region"]).loc[y.index]
        if found["kind"] == "binary":
            each.append(net_benefit(y, rows["probability"], [0.37])[0])
        else:
            each.append(net_benefit_survival(y["time"], y["event"], 1 - rows["survival_24"], 24.0, [0.37])[0])
    here = curve[curve["threshold"].round(2) == 0.37]
    assert here["net_benefit"].iloc[-1] == pytest.approx(np.mean(each), abs=EXACT)
    assert len(curve) == 99 * (1 if found["kind"] == "binary" else 2)
    assert out_of_fold_decision(units.assign(scheme="hospital"), y).empty


def test_selection_counts_refits_of_each_scheme(found):
    chosen = {"variables": ["a", "never"], "features": []}
    shares = selection_shares(found["validation"], found["crossed"], chosen)
    rows = shares.set_index(["scheme", "kind", "name"])
    assert rows.loc[("folds", "variables", "never"), "share"] == 0
    parts = found["crossed"]["folds"]["parts"]
    for name in dict.fromkeys(name for part in parts for name in part["variables"]):
        expected = sum(name in part["variables"] for part in parts) / 8
        assert rows.loc[("folds", "variables", name), ["share", "refits"]].tolist() == [expected, 8]
    assert rows.loc["optimism"]["refits"].eq(len(NUMBERS)).all()


def test_the_report_prints_the_published_first(found):
    shares = selection_shares(found["validation"], found["crossed"], {"variables": ["a"], "features": []})
    chance = {"median": 0.61, "low": 0.5, "high": 0.7, "p": 0.02}
    kinds = ("apparent", "published", "harrell", "corrected")
    permuted = {"permutations": 50, "scores": {"fusion": dict.fromkeys(kinds, chance)}}
    by_chance = estimates(found["performance"], found["validation"], permuted)
    blocks = scheme_blocks(STUDY, "fusion", found["rows"], shares, by_chance)
    table = blocks[0].table
    schemes = {
        "As published": ["Apparent, on its own units", "Bootstrap of the finished model"],
        "Honest: all refitted in resamples": ["Optimism bootstrap (Harrell)", ".632+ bootstrap"],
        "Honest: other patients": ["4-fold cross-validation, 2 times"],
    }
    both = "Radscore" in by_chance["score"].tolist()
    scores = ("", ", Radscore") if both else ("",)
    assert [name.strip() for name in table["Scheme"]] == [
        row
        for title, names in schemes.items()
        for row in (title, *(f"{name}{score}" for name in names for score in scores))
    ]
    assert table.iloc[1]["Brier"]
    assert bool(table.iloc[2]["Brier"]) != both  # the Radscore predicts no risk
    assert ("Intercept" in table) == (found["kind"] == "binary")
    assert ("O/E" in table) == (found["kind"] == "survival")
    assert table.iloc[1]["n (events)"] == f"80 ({found['rows']['events'].iloc[0]})"
    assert blocks[1].table.columns[1] == "Bootstrap (6 refits)"
    assert table[["Outcomes permuted", "p"]].iloc[1].tolist() == ["0.610 (0.500–0.700)", "0.020"]
    assert table["Outcomes permuted"].tolist()[-1] == ""  # only of the bootstraps
    assert scheme_blocks(STUDY, "fusion", None, None, by_chance) == []
