"""Nomograms against R's rms, and the numbers in print that can be computed again."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from golden.figures import read_figures
from nenflow.cohort.comparison import compare_counts
from nenflow.evaluation.discrimination import exact_interval, hanley_mcneil_interval
from nenflow.models.cox import baseline_hazard, fit_cox
from nenflow.models.logistic import fit_logistic, profile_interval
from nenflow.models.nomogram import draw_nomogram, nomogram, points_table, read_off
from nenflow.models.score import integer_score, patterns
from nenflow.models.steps import LogisticModel, Terms

COVERS = {
    "birthwt": ["nomogram"],
    "aSAH": ["nomogram"],
    "chain": ["fusion/nomogram"],
    "lung": ["nomogram/scales", "nomogram/surv", "nomogram/points_per_lp", "nomogram/info"],
    "pbc": ["nomogram/scales", "nomogram/surv", "nomogram/points_per_lp", "nomogram/info"],
    "gbsg": ["nomogram/scales", "nomogram/surv", "nomogram/points_per_lp", "nomogram/info"],
    "published_seeds": ["*"],
}
POINTS = 1e-9  # from R's own effects: nothing but arithmetic
FITTED = 1e-6  # through our own coefficients: R fits its own to about 1e-8
DRAWN = 1e-3  # points; rms interpolates its axes of probability and survival
R_PROFILE = 1e-3  # relative; R interpolates profile intervals
FOUR = 5.1e-5  # half of the last of four printed decimals, and a little for the rounding of the halves
THREE = 5.1e-4  # the same for three decimals

LOGISTIC = {
    "birthwt": ("", "low", ["lwt", "race", "smoke", "ptl", "ht"]),
    "aSAH": ("", "poor", ["wfns", "ndka"]),
    "chain": ("fusion/", "ineffective", ["rad", "ki67", "extrahep"]),
}
COX = {
    "lung": ["age", "male", "ecog"],
    "pbc": ["age", "edema", "bili", "albumin", "protime", "stage"],
    "gbsg": ["grade", "nodes", "pgr", "hormon"],
}


def fitted_logistic(golden, name):
    """Our model of a data set, and the document of the terms it stands on."""
    _, outcome, variables = LOGISTIC[name]
    if name == "chain":
        table = pd.read_csv(golden / "chain_clinical.csv.gz")
        table["rad"] = read_figures(golden, name).document["radscore"]
    else:
        table = pd.read_csv(golden / f"{name}.csv")
    levels = read_figures(golden, name).document.get("factor_levels") or {}
    for variable, labels in levels.items():
        table[variable] = table[variable].map({label: code for code, label in enumerate(labels, 1)})
    terms = Terms(factors={k: v for k, v in levels.items() if k in variables}).fit(table[variables])
    return LogisticModel().fit(terms.transform(table[variables]), table[outcome]).document(), terms.document()


def assert_scales(ours, theirs, tolerance):
    assert list(ours["variables"]) == list(theirs)
    for variable, scale in theirs.items():
        assert ours["variables"][variable]["values"] == scale["value"]
        np.testing.assert_allclose(ours["variables"][variable]["points"], scale["points"], rtol=tolerance, atol=POINTS)


@pytest.mark.parametrize("name", LOGISTIC)
def test_logistic_nomogram_drawn_from_r_s_effects(golden, name):
    figures, path = read_figures(golden, name), LOGISTIC[name][0]
    theirs = figures.take(f"{path}nomogram")
    fusion = figures.document["fusion"] if name == "chain" else figures.document
    log_odds = np.log(np.array(fusion["fitted"]) / (1 - np.array(fusion["fitted"])))
    scales = {v: {"values": s["value"], "effects": s["beta_x"]} for v, s in theirs["scales"].items()}
    ours = draw_nomogram(fusion["model"]["coef"][0], scales, (log_odds.min(), log_odds.max()))
    assert_scales(ours, theirs["scales"], POINTS)
    assert ours["points_per_unit"] == pytest.approx(theirs["points_per_lp"], rel=POINTS)
    assert ours["points_per_unit"] == pytest.approx(theirs["info"]["sc"], rel=POINTS)
    assert ours["intercept"] == pytest.approx(theirs["info"]["intercept"], abs=POINTS)
    assert max(max(s["points"]) for s in ours["variables"].values()) == pytest.approx(theirs["info"]["maxscale"])
    assert theirs["info"]["lp_range"] is None
    assert ours["total_points"] == theirs["total_points"]
    assert ours["linear_predictor"]["values"] == theirs["lp"]["lp"]
    np.testing.assert_allclose(ours["linear_predictor"]["total_points"], theirs["lp"]["x"], rtol=POINTS)
    assert ours["probability"]["values"] == theirs["risk"]["fat"]
    np.testing.assert_allclose(ours["probability"]["total_points"], theirs["risk"]["x"], atol=DRAWN)


@pytest.mark.parametrize("name", LOGISTIC)
def test_logistic_nomogram_of_our_own_model(golden, name):
    theirs = read_figures(golden, name).take(f"{LOGISTIC[name][0]}nomogram")
    document, terms = fitted_logistic(golden, name)
    ours = nomogram(document, terms)
    assert_scales(ours, theirs["scales"], FITTED)
    assert ours["points_per_unit"] == pytest.approx(theirs["points_per_lp"], rel=FITTED)
    assert ours["intercept"] == pytest.approx(theirs["info"]["intercept"], rel=FITTED)
    assert ours["total_points"] == theirs["total_points"]
    assert ours["linear_predictor"]["values"] == theirs["lp"]["lp"]
    np.testing.assert_allclose(ours["linear_predictor"]["total_points"], theirs["lp"]["x"], rtol=FITTED)
    assert ours["probability"]["values"] == theirs["risk"]["fat"]
    np.testing.assert_allclose(ours["probability"]["total_points"], theirs["risk"]["x"], atol=DRAWN)
    assert_ranges(ours, theirs["ranges"], document["intercept"])


def assert_ranges(ours, theirs, intercept):
    """rms's least and greatest effect of each variable: our scales in units of the linear predictor."""
    lowest, highest = map(np.array, theirs)
    spans = [np.ptp(scale["points"]) / ours["points_per_unit"] for scale in ours["variables"].values()]
    np.testing.assert_allclose(spans, highest - lowest, rtol=FITTED)
    assert ours["intercept"] - intercept == pytest.approx(lowest.sum(), rel=FITTED)


def cox_document(golden, name):
    """What a fitted CoxModel's document says that a nomogram needs."""
    table, variables = pd.read_csv(golden / f"{name}.csv"), COX[name]
    X, time, event = (table[columns].to_numpy(float) for columns in (variables, "time", "status"))
    fit = fit_cox(X, time, event)
    predictor = X @ fit.coef
    few = {v: np.unique(table[v]).tolist() for v in variables if table[v].nunique() <= 10}
    spans = {v: {"minimum": table[v].min(), "maximum": table[v].max()} for v in variables}
    return {
        "coefficients": dict(zip(variables, fit.coef, strict=True)),
        "baseline": baseline_hazard(fit, X, time, event)[["time", "hazard"]].to_dict("list"),
        "times": [float(name[1:]) for name in read_figures(golden, name).document["nomogram"]["surv"]],
        "linear_predictor": [predictor.min(), predictor.max()],
        "center": predictor.mean(),
        "scales": spans | {v: {"values": values} for v, values in few.items()},
    }


@pytest.mark.parametrize("name", COX)
def test_cox_nomogram_of_our_own_model(golden, name):
    figures = read_figures(golden, name)
    scales, surv, per_unit, info = (
        figures.take(f"nomogram/{part}") for part in ("scales", "surv", "points_per_lp", "info")
    )
    document = cox_document(golden, name)
    ours = nomogram(document)
    assert_scales(ours, scales, FITTED)
    for variable, scale in scales.items():
        effects = document["coefficients"][variable] * np.array(scale["value"])
        np.testing.assert_allclose(effects, scale["beta_x"], rtol=FITTED)
    assert ours["points_per_unit"] == pytest.approx(per_unit, rel=FITTED)
    assert ours["points_per_unit"] == pytest.approx(info["sc"], rel=FITTED)
    assert ours["intercept"] == pytest.approx(info["intercept"], rel=FITTED)
    assert info["lp_range"] == []
    assert_ranges(ours, info["ranges"], -document["center"])
    assert [f"S{axis['time']:g}" for axis in ours["survival"]] == list(surv)
    for axis, theirs in zip(ours["survival"], surv.values(), strict=True):
        # rms lists survivals from the worst to the best, so points fall; its lp column repeats the survivals
        assert axis["values"] == theirs["surv"] == theirs["lp"]
        np.testing.assert_allclose(axis["total_points"], theirs["points"], atol=DRAWN)


@pytest.mark.parametrize("name", COX)
def test_cox_nomogram_drawn_from_r_s_effects(golden, name):
    theirs = read_figures(golden, name).take("nomogram/scales")
    info = read_figures(golden, name).take("nomogram/info")
    scales = {v: {"values": s["value"], "effects": s["beta_x"]} for v, s in theirs.items()}
    ours = draw_nomogram(0.0, scales, (-1.0, 1.0), {})
    assert_scales(ours, theirs, POINTS)
    assert ours["points_per_unit"] == pytest.approx(info["sc"], rel=POINTS)


def test_pnec_points_table(golden):
    """Every cell of a published points table, from the hazard ratios and zero-point survivals it was drawn from."""
    seed = read_figures(golden, "published_seeds").take("seed002")
    hr, printed = seed["hr"], seed["points_per_lp_printed"]
    exact = np.exp(100 / printed / 9)  # the hazard ratio per cm before it was rounded for print
    assert round(exact, 3) == hr["size_per_cm"]
    low, high = (100 / (9 * np.log(hr["size_per_cm"] + half)) for half in (5e-4, -5e-4))
    np.testing.assert_allclose([low, high], seed["points_per_lp_interval_from_rounded_hr"], atol=THREE)
    assert low <= printed <= high
    from_print = draw_pnec(seed, hr["size_per_cm"])
    assert from_print["points_per_unit"] == pytest.approx(seed["points_per_lp_from_hr"], abs=THREE)
    unrounded = {**points(from_print, "surgery"), **points(from_print, "therapy")}
    for level, value in seed["points_unrounded_from_hr"].items():
        assert unrounded[level] == pytest.approx(value, abs=THREE)

    drawn = draw_pnec(seed, exact)
    assert drawn["points_per_unit"] == pytest.approx(printed)
    rounded = points_table(drawn).assign(points=lambda table: np.rint(table["points"]))
    by = {name: dict(zip(rows["value"], rows["points"], strict=True)) for name, rows in rounded.groupby("variable")}
    assert list(by["size"].values()) == seed["size_points"]
    assert by["surgery"] == {"resection": 0, "no_resection": seed["points"]["no_resection"]}
    assert by["therapy"] == {"both": 0} | {k: seed["points"][k] for k in ("chemo_or_targeted", "neither")}
    for year, rows in seed["total_points"].items():
        assert by[f"survival_{year}"] == dict(map(tuple, rows))


def draw_pnec(seed, size_hr):
    """The published nomogram; size is drawn from 1 to 10 cm, nothing else is known of the cohort's values."""
    hr = seed["hr"]
    ratios = {"size": size_hr, "surgery=no_resection": hr["no_resection"]}
    ratios |= {f"therapy={level}": hr[level] for level in ("chemo_or_targeted", "neither")}
    coefficients = {name: float(np.log(ratio)) for name, ratio in ratios.items()}
    # the middle of what reproduces the table, which the survivals printed with four decimals do not quite
    bounds = re.findall(r"c_(\d) in \[(-[\d.]+),(-[\d.]+)\]", seed["note"])
    zero = {float(year): np.exp((float(low) + float(high)) / 2) for year, low, high in bounds}
    printed = {f"{year:g}": round(float(np.exp(-hazard)), 4) for year, hazard in zero.items()}
    assert printed == seed["baseline_survival_at_zero_points"]
    document = {
        "coefficients": coefficients,
        "baseline": {"time": list(zero), "hazard": [h / size_hr for h in zero.values()]},  # at 0 cm instead of 1 cm
        "times": list(zero),
        "scales": {"size": {"values": list(range(1, 11))}},
        # ASSUME the smallest tumour had 1.5 cm: rms leaves out what lies outside the observed risk, as .85 at 5 years
        "linear_predictor": [1.5 * coefficients["size"], 5.6],
    }
    levels = {"surgery": ["resection", "no_resection"], "therapy": ["both", "chemo_or_targeted", "neither"]}
    return nomogram(document, {"factors": levels})


def points(drawn, variable):
    scale = drawn["variables"][variable]
    return dict(zip(scale["values"], scale["points"], strict=True))


def test_pnec_model_applies_to_a_new_patient(golden):
    seed = read_figures(golden, "published_seeds").take("seed002")
    drawn = draw_pnec(seed, np.exp(100 / seed["points_per_lp_printed"] / 9))
    size = np.interp(4.4, drawn["variables"]["size"]["values"], drawn["variables"]["size"]["points"])
    assert size == pytest.approx(37.8, abs=0.05)  # resected, both therapies: no more points
    # printed to three decimals from zero-point survivals of four
    assert read_off(drawn, [size]).iloc[0].tolist() == pytest.approx([0.915, 0.747, 0.580], abs=THREE)


def test_surufatinib_tables(golden):
    """Tests, odds ratios and profile intervals from the published counts (columns effective, ineffective)."""
    seed = read_figures(golden, "published_seeds").take("seed000")
    assert "Fisher" in seed["rule_that_reproduces_all_7"]
    assert "Yates" in seed["rule_that_reproduces_all_7"]
    for name, counts in seed["table2_counts_effective_ineffective"].items():
        counts = np.array(counts)
        expected = counts.sum(axis=1)[:, None] * counts.sum(axis=0) / counts.sum()
        test, p = compare_counts(counts)[:2]
        assert test.startswith("Fisher" if expected.min() < 5 else "chi-square (Yates)")
        assert p == pytest.approx(seed["p_unrounded"][name], abs=FOUR)
        assert p == pytest.approx(seed["table2_p_printed"][name], abs=THREE)
        y = np.repeat(np.tile([0, 1], len(counts)), counts.ravel())
        x = np.repeat(np.repeat(np.arange(1, len(counts) + 1), 2), counts.ravel())[:, None]
        if name in seed["recomputed"]:
            assert_odds_ratio(x, y, seed["recomputed"][name], FOUR)
            assert_odds_ratio(x, y, seed["table3_univariable_printed"][name], THREE)
    assert set(seed["recomputed"]) == set(seed["table3_univariable_printed"])
    assert set(seed["recomputed"]) <= set(seed["table2_counts_effective_ineffective"])
    assert "profile likelihood" in seed["model"]
    hanley = seed["auc_hanley_mcneil"]
    interval = hanley_mcneil_interval(hanley["fusion"][0], 104, 27)
    np.testing.assert_allclose(interval, hanley["fusion"][1:], atol=FOUR)
    np.testing.assert_allclose([hanley["fusion"][0], *interval], hanley["printed"], atol=THREE)


def assert_odds_ratio(x, y, known, rounding):
    ratio, low, high, p = known
    fit = fit_logistic(x, y)
    assert np.exp(fit.coef[1]) == pytest.approx(ratio, rel=1e-4, abs=rounding)
    assert np.exp(profile_interval(x, y, 0)) == pytest.approx([low, high], rel=R_PROFILE, abs=rounding)
    assert fit.p[1] == pytest.approx(p, abs=rounding)


def test_everolimus_figures(golden):
    seed = read_figures(golden, "published_seeds").take("seed001")
    auc = seed["auc_ci_exact_binomial"]
    assert auc["n"] == seed["sens_denominator"] + seed["spec_denominator"]
    interval = exact_interval(auc["auc"] * auc["n"], auc["n"])
    np.testing.assert_allclose(interval, auc["recomputed"], atol=FOUR)
    np.testing.assert_allclose(interval, auc["printed"], atol=5.1e-3)
    for key in ("multivariable", "univariable"):
        known = seed[f"zonepercentage_{key}"]
        assert known["coef"] == pytest.approx(np.log(known["or"]), abs=0.01)
        low, high = np.log(known["ci"])
        assert (low + high) / 2 == pytest.approx(known["coef"], abs=0.02)  # Wald's interval: the middle in logs
        wald = 2 * norm.sf(abs(known["coef"]) / ((high - low) / 2 / norm.ppf(0.975)))
        assert wald == pytest.approx(known.get("wald_p", known.get("p")), abs=THREE)
    # the printed univariable p is another test's: beside its Wald interval, which holds 1, it cannot stand
    assert seed["zonepercentage_univariable"]["printed_p"] < 0.05 < seed["zonepercentage_univariable"]["wald_p"]


def test_lms_score(golden):
    """Weights of a published liver metastasis score; it orders all 24 risk patterns as the model does."""
    seed = read_figures(golden, "published_seeds").take("seed004")
    document, terms = lms_model(seed["hr"])
    slopes = {name.replace("=", "_").removesuffix("_1"): value for name, value in document["coefficients"].items()}
    smallest, widest = min(slopes.values()), max(slopes.values())
    for name in seed["hr"]:
        assert slopes[name] / smallest == pytest.approx(seed["beta_over_min"][name], abs=THREE)
        assert 100 * slopes[name] / widest == pytest.approx(seed["nomogram_points"][name], abs=5.1e-3)
    score = integer_score(document, terms=terms)
    hundred = integer_score(document, "hundred", terms)
    for known, found in (
        (seed["integer_score"], score),
        ({k: round(v) for k, v in seed["nomogram_points"].items()}, hundred),
    ):
        assert named_points(found) == known
    table = patterns(score)
    assert len(table) == 24
    assert table["linear_predictor"].is_monotonic_increasing
    assert table["score"].is_monotonic_increasing
    assert seed["event_rate"] == round(66 / 724, 4)


def lms_model(hr):
    coefficients = {
        "ki67=3_20": np.log(hr["ki67_3_20"]),
        "ki67=gt20": np.log(hr["ki67_gt20"]),
        "vascular_invasion": np.log(hr["vascular_invasion"]),
        "lymph_nodes": np.log(hr["lymph_nodes"]),
        "no_adjuvant": np.log(hr["no_adjuvant"]),
    }
    scales = {name: {"values": [1, 2]} for name in ("vascular_invasion", "lymph_nodes", "no_adjuvant")}
    return {"coefficients": coefficients, "scales": scales}, {"factors": {"ki67": ["lt3", "3_20", "gt20"]}}


def named_points(score):
    """Points by the names of the published file, without those of the lowest levels."""
    named = {}
    for name, scale in score["variables"].items():
        for value, worth in list(zip(scale["values"], scale["points"], strict=True))[1:]:
            named[f"{name}_{value}" if name in score["factors"] else name] = worth
    return named


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
