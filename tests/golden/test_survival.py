"""Kaplan-Meier curves, log-rank tests and Cox models against R's survival 3.5 and rms 6.5."""

import numpy as np
import pandas as pd
import pytest

from golden.figures import read_figures
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.indexes import gini_mean_difference, likelihood_statistics
from nenflow.evaluation.survival import (
    at_times,
    kaplan_meier,
    logrank,
    median_follow_up,
    median_survival,
    restricted_mean,
)
from nenflow.models.cox import baseline_hazard, fit_cox, global_tests, schoenfeld_test, survival_at

# [!cdt] leaves out concordance and counts of pairs, which test_survival_accuracy compares.
COVERS = {
    "lung": [
        "n",
        "events",
        "tied_event_times",
        "km_overall",
        "km_groups",
        "follow_up_reverse_km_median",
        "univariable/*/[!cdt]*",
        "univariable/*/coef",
        "univariable/*/terms",
        "univariable/*/ties",
        "model/*/[!cdt]*",
        "model/*/coef",
        "model/*/terms",
        "model/*/ties",
        "cox_zph",
        "basehaz_uncentered",
        "survival_first5_rows",
        "lp_uncentered_first10",
        "nomogram/base_surv",
        "nomogram/center",
        "nomogram/cph_stats",
    ],
    "pbc": [
        "n",
        "events",
        "tied_event_times",
        "km_overall",
        "km_groups",
        "follow_up_reverse_km_median",
        "univariable/*/[!cdt]*",
        "univariable/*/coef",
        "univariable/*/terms",
        "univariable/*/ties",
        "model/*/[!cdt]*",
        "model/*/coef",
        "model/*/terms",
        "model/*/ties",
        "cox_zph",
        "basehaz_uncentered",
        "survival_first5_rows",
        "lp_uncentered_first10",
        "nomogram/base_surv",
        "nomogram/center",
        "nomogram/cph_stats",
    ],
    "gbsg": [
        "n",
        "events",
        "tied_event_times",
        "km_overall",
        "km_groups",
        "follow_up_reverse_km_median",
        "univariable/*/[!cdt]*",
        "univariable/*/coef",
        "univariable/*/terms",
        "univariable/*/ties",
        "model/*/[!cdt]*",
        "model/*/coef",
        "model/*/terms",
        "model/*/ties",
        "cox_zph",
        "basehaz_uncentered",
        "survival_first5_rows",
        "lp_uncentered_first10",
        "nomogram/base_surv",
        "nomogram/center",
        "nomogram/cph_stats",
    ],
}

EXACT = 1e-10  # the same formula, in another order of summation
ITERATED = 1e-8  # R stops iterating once the likelihood changes by less than a share of 1e-12
P_VALUE = 1e-7
PRINTED = 0.0051  # summary.coxph rounds Wald's chi-square to two decimals
FROM_ONE = 1e-12  # rms takes p as 1 - a probability, which leaves that much
CPH = 1e-7  # rms fits with a looser threshold (eps 1e-10)

INTERVALS = {"log": "log", "loglog": "log-log", "plain": "plain"}
DATA_SETS = pytest.mark.parametrize("name", COVERS)


def read(golden, name):
    return pd.read_csv(golden / f"{name}.csv"), read_figures(golden, name)


def close(ours, theirs, rel=EXACT, floor=0.0):
    """Equal, a figure that R does not give (null) being NaN here."""
    theirs = np.array(theirs, dtype=float)
    np.testing.assert_allclose(np.asarray(ours, dtype=float), theirs, rtol=rel, atol=floor, equal_nan=True)


def fit_of(data, figures, ties="efron"):
    X = data[figures.take(f"model/{ties}/terms")].to_numpy(float)
    return X, fit_cox(X, data["time"], data["status"], ties)


@DATA_SETS
def test_counts(golden, name):
    data, figures = read(golden, name)
    _, fit = fit_of(data, figures)
    curve = kaplan_meier(data["time"], data["status"])
    assert fit.n == figures.take("n")
    assert fit.events == figures.take("events")
    assert curve["events"].sum() - (curve["events"] > 0).sum() == figures.take("tied_event_times")


def same_table(curves, table, until):
    """Records, events, medians and restricted means of curves in the order of R's strata."""
    close([curve["at_risk"].iloc[0] for curve in curves], np.atleast_1d(table["records"]))
    close([curve["events"].sum() for curve in curves], np.atleast_1d(table["events"]))
    for place, key in enumerate(("median", "lo", "hi")):
        close([median_survival(curve)[place] for curve in curves], np.atleast_1d(table[key]))
    close([restricted_mean(curve, until)[0] for curve in curves], np.atleast_1d(table["rmean"]))


def same_times(curves, table):
    together = pd.concat([at_times(curve, np.unique(table["time"])) for curve in curves])
    for ours, key in (("time", "time"), ("survival", "surv"), ("se", "se"), ("at_risk", "n_risk")):
        close(together[ours], table[key], floor=1e-13)
    close(together["low"], table["lo"], floor=1e-13)
    close(together["high"], table["hi"], floor=1e-13)


@DATA_SETS
@pytest.mark.parametrize("key", INTERVALS)
def test_kaplan_meier(golden, name, key):
    data, figures = read(golden, name)
    curve = kaplan_meier(data["time"], data["status"], INTERVALS[key])
    table = figures.take(f"km_overall/{key}")
    assert table["strata"] == "all"
    same_table([curve], table, data["time"].max())
    if key != "plain":  # R's figures at given times are there on two scales
        same_times([curve], figures.take("km_overall/" + {"log": "at_times", "loglog": "at_times_loglog"}[key]))


@DATA_SETS
def test_median_follow_up(golden, name):
    data, figures = read(golden, name)
    close(median_follow_up(data["time"], data["status"])[0], figures.take("follow_up_reverse_km_median"))


@DATA_SETS
def test_groups(golden, name):
    data, figures = read(golden, name)
    for variable in figures.document["km_groups"]:
        theirs = figures.take(f"km_groups/{variable}")
        parts = [part for _, part in data.groupby(variable)]
        levels = [f"{variable}={level}" for level in sorted(data[variable].unique())]
        assert theirs["km"]["strata"] == levels
        assert theirs["at_times"]["strata"] == list(np.repeat(levels, len(theirs["at_times"]["time"]) // len(levels)))
        curves = [kaplan_meier(part["time"], part["status"]) for part in parts]
        same_table(curves, theirs["km"], data["time"].max())
        same_times(curves, theirs["at_times"])
        test = logrank(data["time"], data["status"], data[variable])
        close([test["chi2"], test["df"]], [theirs["logrank"]["chisq"], theirs["logrank"]["df"]], ITERATED)
        close(test["p"], theirs["logrank"]["p"], P_VALUE)
        close(test["observed"], theirs["logrank"]["observed"])
        close(test["expected"], theirs["logrank"]["expected"])
        peto = logrank(data["time"], data["status"], data[variable], rho=1)
        close([peto["chi2"], peto["p"]], [theirs["peto"]["chisq"], theirs["peto"]["p"]], P_VALUE)


def part_at(document, path):
    for key in path.split("/"):
        document = document[key]
    return document


def same_model(data, figures, path):
    """Every figure of a fitted model but those of concordance."""
    theirs = {
        key: figures.take(f"{path}/{key}") for key in part_at(figures.document, path) if key[:4] not in ("conc", "coun")
    }
    terms = np.atleast_1d(theirs["terms"])
    assert theirs["formula"] == "Surv(time, status) ~ " + " + ".join(terms)
    fit = fit_cox(data[terms].to_numpy(float), data["time"], data["status"], theirs["ties"])
    assert (fit.n, fit.events) == (theirs["n"], theirs["nevent"])
    assert not fit.separated
    half = 1.959963984540054 * fit.se
    ours = {"coef": fit.coef, "se": fit.se, "z": fit.coef / fit.se, "hr": np.exp(fit.coef)}
    ours |= {"hr_lo": np.exp(fit.coef - half), "hr_hi": np.exp(fit.coef + half)}
    for key, values in ours.items():
        close(values, np.atleast_1d(theirs[key]), ITERATED)
    close(fit.p, np.atleast_1d(theirs["p"]), P_VALUE)
    close([fit.null_log_likelihood, fit.log_likelihood], theirs["loglik"])
    close(2 * len(terms) - 2 * fit.log_likelihood, theirs["aic"])
    tests = global_tests(fit)
    for test, key in (("likelihood ratio", "lrt"), ("wald", "wald"), ("score", "score")):
        chi2, df, p = theirs[key]
        close(tests.loc[test, "chi2"], chi2, *((0, PRINTED) if test == "wald" else (ITERATED,)))
        close(tests.loc[test, ["df", "p"]], [df, p], P_VALUE)


@DATA_SETS
def test_univariable_models(golden, name):
    data, figures = read(golden, name)
    for variable in figures.document["univariable"]:
        same_model(data, figures, f"univariable/{variable}")


@DATA_SETS
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_models(golden, name, ties):
    same_model(*read(golden, name), f"model/{ties}")


@DATA_SETS
def test_proportional_hazards(golden, name):
    data, figures = read(golden, name)
    X, fit = fit_of(data, figures)
    ours = schoenfeld_test(fit, X, data["time"], data["status"], figures.take("model/efron/terms"))
    theirs = figures.take("cox_zph")
    assert list(ours.index) == list(theirs)
    for term, row in theirs.items():
        close(ours.loc[term], [row["chisq"], row["df"], row["p"]], P_VALUE)


@DATA_SETS
def test_baseline_hazard_and_survival(golden, name):
    data, figures = read(golden, name)
    X, fit = fit_of(data, figures)
    baseline = baseline_hazard(fit, X, data["time"], data["status"])
    theirs = figures.take("basehaz_uncentered")
    close(baseline["time"], theirs["time"])
    close(baseline["hazard"], theirs["hazard"], ITERATED)
    predictor = fit.linear_predictor(X)
    close(predictor[:10], figures.take("lp_uncentered_first10"), ITERATED)
    theirs = figures.take("survival_first5_rows")
    close(survival_at(baseline, predictor[:5], theirs["times"]), np.transpose(theirs["surv"]), ITERATED)


@DATA_SETS
def test_model_of_rms(golden, name):
    data, figures = read(golden, name)
    X, fit = fit_of(data, figures)
    predictor = fit.linear_predictor(X)
    close(predictor.mean(), figures.take("nomogram/center"), CPH)
    base = figures.take("nomogram/base_surv")
    baseline = baseline_hazard(fit, X, data["time"], data["status"])
    ours = survival_at(baseline, [predictor.mean()], base["time"])[0]
    close(ours, base["surv"], CPH)

    stats = figures.take("nomogram/cph_stats")
    n, events, k = fit.n, fit.events, X.shape[1]
    tests = global_tests(fit)
    ratio, score = tests.loc["likelihood ratio"], tests.loc["score"]
    explained = likelihood_statistics(ratio["chi2"], fit.null_log_likelihood, n, k, events)
    g = gini_mean_difference(predictor)
    ours = {
        "Obs": n,
        "Events": events,
        "Model L.R.": ratio["chi2"],
        "d.f.": k,
        "Score": score["chi2"],
        "R2": explained["r2"],
        f"R2({n})": explained["r2_n"],
        f"R2({k},{n})": explained["r2_n_adjusted"],
        f"R2({events})": explained["r2_effective"],
        f"R2({k},{events})": explained["r2_effective_adjusted"],
        "Dxy": 2 * harrell_c(data["time"], data["status"], predictor)["c"] - 1,
        "g": g,
        "gr": np.exp(g),
    }
    assert set(stats) - set(ours) == {"P", "Score P"}
    for key, value in ours.items():
        close(value, stats[key], CPH)
    close([ratio["p"], score["p"]], [stats["P"], stats["Score P"]], 0, FROM_ONE)


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
