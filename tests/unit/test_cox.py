import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2

from nenflow.errors import InputError
from nenflow.models.cox import (
    baseline_hazard,
    fit_cox,
    global_tests,
    likelihood_ratio,
    profile_interval,
    schoenfeld_test,
    survival_at,
)

EXACT = 1e-9
FROM_R = 1e-8  # R's clustered errors are of the round before the last

# 24 made-up rows with ties; figures computed by R 4.2.2, survival 3.5-3 (coxph, cox.zph, basehaz).
TIME = np.array([3, 5, 5, 5, 8, 8, 9, 12, 12, 14, 14, 14, 17, 20, 20, 21, 23, 23, 25, 30, 30, 31, 34, 34.0])
EVENT = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
FIRST = [2.1, 0.4, 1.7, 0.9, 2.8, 1.2, 0.3, 1.9, 0.6, 1.1, 2.2, 0.8]
SECOND = [1.4, 0.2, 1.6, 0.7, 0.5, 1.3, 1, 0.1, 1.5, 0.45, 0.35, 0.95]
Z = [1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0]
X = np.column_stack([FIRST + SECOND, Z])
SITE = np.array(list("abc") * 8)
PATIENT = np.array([1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 9, 9, 10, 11, 12, 13, 14, 15, 16, 16, 17])


def test_clustered_errors_as_in_r():
    efron, breslow = (fit_cox(X, TIME, EVENT, ties, clusters=PATIENT) for ties in ("efron", "breslow"))
    assert efron.coef == pytest.approx([1.12578709965842, 0.588927004026478], rel=FROM_R)
    assert efron.se == pytest.approx([0.342902987540312, 0.455202289000209], rel=FROM_R)
    assert global_tests(efron)["chi2"].to_numpy()[1:] == pytest.approx([12.512676355853, 9.34475050079761], rel=FROM_R)
    assert breslow.coef == pytest.approx([1.07872999494255, 0.561139708429188], rel=FROM_R)
    assert breslow.se == pytest.approx([0.335428795143132, 0.444639128323353], rel=FROM_R)
    both = fit_cox(X, TIME, EVENT, strata=SITE, clusters=PATIENT)
    assert both.se == pytest.approx([0.452147301132605, 0.469700390173296], rel=FROM_R)


def test_strata_as_in_r():
    fit = fit_cox(X, TIME, EVENT, strata=SITE)
    assert fit.coef == pytest.approx([1.11850373380094, 0.414835272839322], rel=FROM_R)
    assert fit.se == pytest.approx([0.522073997099124, 0.724285589180794], rel=FROM_R)
    assert (fit.null_log_likelihood, fit.log_likelihood) == pytest.approx((-22.5955001666104, -19.6201982378298))
    assert fit.score_statistic == pytest.approx(6.30175885561275, rel=FROM_R)
    baseline = baseline_hazard(fit, X, TIME, EVENT, SITE)
    last = baseline.groupby("stratum")["hazard"].last()
    assert last.to_dict() == pytest.approx({"a": 0.71745189170936, "b": 0.502025623655061, "c": 0.60706685485873})
    test = schoenfeld_test(fit, X, TIME, EVENT, ["x", "z"], SITE)
    assert test["chi2"].to_numpy() == pytest.approx([0.302032547672632, 0.063535358723441, 0.319465281803699])


def test_terms_of_several_columns_are_tested_together_as_in_r():
    columns = np.column_stack([X[:, 0], SITE == "b", SITE == "c"])
    test = schoenfeld_test(fit_cox(columns, TIME, EVENT), columns, TIME, EVENT, ["x", "site", "site"])
    assert list(test.index) == ["x", "site", "GLOBAL"]
    assert list(test["df"]) == [1, 2, 3]
    assert test["chi2"].to_numpy() == pytest.approx([0.00964919661430098, 0.62616830496681242, 0.77089646135832057])


def plain_likelihood(b, X, time, event, strata, efron):
    """Log partial likelihood and information, straight from the definition."""
    total, information = 0.0, np.zeros((len(b), len(b)))
    for stratum in np.unique(strata):
        for t in np.unique(time[(strata == stratum) & (event == 1)]):
            at_risk = (strata == stratum) & (time >= t)
            now = at_risk & (time == t) & (event == 1)
            total += X[now].sum(axis=0) @ b
            for turn in range(now.sum()):
                weight = np.exp(X @ b) * at_risk * (1 - now * (turn / now.sum() if efron else 0))
                total -= np.log(weight.sum())
                information += np.cov(X.T, aweights=weight, ddof=0).reshape(len(b), len(b))
    return total, information


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("strata", [np.zeros(24), np.repeat([1, 2], 12), np.arange(24) % 2])
def test_likelihood_by_definition(ties, strata):
    fit = fit_cox(X, TIME, EVENT, ties, strata)
    value, information = plain_likelihood(fit.coef, X, TIME, EVENT, strata, ties == "efron")
    assert fit.log_likelihood == pytest.approx(value, rel=EXACT)
    assert fit.covariance == pytest.approx(np.linalg.inv(information), rel=EXACT)
    for step in np.concatenate([np.eye(2), -np.eye(2)]) * 1e-3:
        assert plain_likelihood(fit.coef + step, X, TIME, EVENT, strata, ties == "efron")[0] < value


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_firth_by_definition(ties):
    def penalised(b):
        value, information = plain_likelihood(b, X, TIME, EVENT, np.zeros(24), ties == "efron")
        return -value - np.linalg.slogdet(information)[1] / 2

    best = minimize(penalised, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    fit = fit_cox(X, TIME, EVENT, ties, firth=True)
    assert fit.coef == pytest.approx(best.x, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(-best.fun, rel=EXACT)
    assert fit.null_log_likelihood == pytest.approx(-penalised(np.zeros(2)), rel=EXACT)


def test_four_people_by_hand():
    # x = 1 dies first of four, two of whom have it: exp(b) / (2 exp(b) + 2); then one of two with x = 0: 1 / 2
    fit = fit_cox([[1], [0], [1], [0]], [1, 2, 1, 2], [1, 0, 0, 1], "breslow")
    assert fit.separated
    assert fit.log_likelihood == pytest.approx(-np.log(4), abs=1e-6)
    assert fit.null_log_likelihood == pytest.approx(-np.log(8))


MONOTONE = np.array([5, 4, 3, 2, 1, 0.5, 0.2, 0.1])[:, None]
UP = np.arange(1.0, 9)


def test_monotone_likelihood_is_said_and_firth_is_finite():
    event = np.array([1, 1, 1, 0, 1, 0, 1, 0])
    fit = fit_cox(MONOTONE, UP, event)
    assert fit.separated
    assert fit.log_likelihood == pytest.approx(0, abs=1e-6)
    assert fit.p[0] > 0.99
    assert likelihood_ratio(MONOTONE, UP, event, 0) == pytest.approx(chi2.sf(-2 * fit.null_log_likelihood, 1), rel=1e-5)
    low, high = profile_interval(MONOTONE, UP, event, 0)
    assert 0 < low < np.inf
    assert high == np.inf
    firth = fit_cox(MONOTONE, UP, event, firth=True)
    assert not firth.separated
    assert 0 < firth.coef[0] < 20
    assert np.isfinite(profile_interval(MONOTONE, UP, event, 0, firth=True)).all()


def test_a_strong_effect_is_no_monotone_likelihood():
    x = np.append(MONOTONE * 10, [[45.0]], axis=0)
    fit = fit_cox(x, np.append(UP, 9.0), [1, 1, 1, 0, 1, 0, 1, 0, 1])
    assert not fit.separated
    assert fit.se[0] < 1


def test_tied_events_that_differ_keep_the_likelihood_from_being_monotone():
    assert fit_cox([[3], [3], [1]], [1, 1, 2], [1, 1, 0]).separated
    assert not fit_cox([[3], [2], [1]], [1, 1, 2], [1, 1, 0]).separated


def test_profile_ends_are_what_a_likelihood_ratio_test_just_rejects():
    fit = fit_cox(X, TIME, EVENT)
    for end in profile_interval(X, TIME, EVENT, 0):
        others = minimize_scalar(lambda z, b=end: -plain_likelihood([b, z], X, TIME, EVENT, np.zeros(24), True)[0])
        assert 2 * (fit.log_likelihood + others.fun) == pytest.approx(chi2.isf(0.05, 1), abs=1e-6)


def test_leaving_columns_out():
    full, part = fit_cox(X, TIME, EVENT), fit_cox(X[:, :1], TIME, EVENT)
    ratio = 2 * (full.log_likelihood - part.log_likelihood)
    assert likelihood_ratio(X, TIME, EVENT, 1) == pytest.approx(chi2.sf(ratio, 1))
    both = global_tests(full).loc["likelihood ratio", "p"]
    assert likelihood_ratio(X, TIME, EVENT, [0, 1]) == pytest.approx(both)
    none = fit_cox(X[:, :0], TIME, EVENT)
    assert none.log_likelihood == none.null_log_likelihood == pytest.approx(full.null_log_likelihood)


def test_columns_that_say_nothing_are_aliased():
    early = np.where(TIME.min() == TIME, 5.0, 1.0)  # varies only in who leaves before the first event
    event = np.where(TIME.min() == TIME, 0, EVENT)
    columns = np.column_stack([X, X @ [1, -2], np.full(24, 0.1), early, 1e9 + np.zeros(24)])
    fit = fit_cox(columns, TIME, event)
    assert list(fit.aliased) == [False, False, True, True, True, True]
    assert list(fit.p[2:]) == [1, 1, 1, 1]
    assert fit.coef[:2] == pytest.approx(fit_cox(X, TIME, event).coef, rel=EXACT)
    assert fit_cox((SITE == "a")[:, None], TIME, EVENT, strata=SITE).aliased.all()
    assert profile_interval(columns, TIME, event, 3) == (-np.inf, np.inf)
    assert likelihood_ratio(columns, TIME, event, 3) == 1
    table = schoenfeld_test(fit, columns, TIME, event, list("xzabcd"))
    assert list(table.loc["a"]) == [0, 0, 1]
    assert table.loc["GLOBAL", "df"] == 2


def test_fewer_rows_than_variables_is_a_monotone_likelihood():
    rng = np.random.default_rng([1, 4])
    fit = fit_cox(rng.normal(size=(6, 9)), np.arange(1.0, 7), np.ones(6))
    assert fit.separated
    assert fit.aliased.sum() == 4


def test_competing_events_count_as_censored():
    competing = np.where((EVENT == 0) & (np.arange(24) % 2 == 0), 2, EVENT)
    assert fit_cox(X, TIME, competing).coef == pytest.approx(fit_cox(X, TIME, EVENT).coef, rel=EXACT)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"event": np.zeros(24)}, "Nobody had the event"),
        ({"event": np.full(24, 3)}, "neither 0"),
        ({"time": np.append(TIME[:-1], 0)}, "1 of 24 follow-up times"),
        ({"time": np.append(TIME[:-1], np.nan)}, "missing or not above 0"),
        ({"X": np.full((24, 1), np.nan)}, "missing values"),
        ({"strata": np.append(SITE[:-1].astype(object), None)}, "no stratum"),
        ({"clusters": np.append(np.ones(23), np.nan)}, "no cluster"),
        ({"X": np.zeros((0, 1)), "time": [], "event": []}, "no follow-up"),
    ],
)
def test_refusals(changed, sentence):
    with pytest.raises(InputError, match=sentence):
        fit_cox(**({"X": X, "time": TIME, "event": EVENT} | changed))


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=25)
@given(seeds, st.floats(0.001, 1000), st.floats(-1e4, 1e4), st.sampled_from(["efron", "breslow"]))
def test_order_scale_and_shift(seed, scale, shift, ties):
    rng = np.random.default_rng(seed)
    x, time, event = rng.normal(size=(40, 3)), rng.integers(1, 12, 40), rng.integers(0, 2, 40)
    event[:5] = 1
    clusters = rng.integers(0, 9, 40)
    fit, order = fit_cox(x, time, event, ties, clusters=clusters), rng.permutation(40)
    same = fit_cox(x[order] * scale + shift, time[order] ** 3 * 0.1, event[order], ties, clusters=clusters[order])
    assert same.coef * scale == pytest.approx(fit.coef, rel=1e-5, abs=1e-6)
    assert same.se * scale == pytest.approx(fit.se, rel=1e-5)
    assert same.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-9)


def test_baseline_without_effect_is_nelson_aalen():
    fit = fit_cox(X[:, :0], TIME, EVENT, "breslow")
    baseline = baseline_hazard(fit, X[:, :0], TIME, EVENT)
    steps = [EVENT[t == TIME].sum() / (t <= TIME).sum() for t in np.unique(TIME)]
    assert baseline["hazard"].to_numpy() == pytest.approx(np.cumsum(steps))
    assert list(baseline["time"]) == list(np.unique(TIME))
    assert (baseline["stratum"] == 0).all()


def test_survival_is_a_step_function():
    baseline = pd.DataFrame({"stratum": 0, "time": [2.0, 5.0], "hazard": [0.1, 0.4]})
    survival = survival_at(baseline, [0, np.log(2)], [1, 2, 4.9, 5, 99])
    assert survival[0] == pytest.approx(np.exp([0, -0.1, -0.1, -0.4, -0.4]))
    assert survival[1] == pytest.approx(np.exp([0, -0.2, -0.2, -0.8, -0.8]))


def test_a_stratum_has_to_be_named():
    baseline = pd.DataFrame({"stratum": ["a", "b"], "time": [1.0, 1.0], "hazard": [0.1, 0.2]})
    assert survival_at(baseline, [0], [1], "b") == pytest.approx(np.exp(-0.2))
    with pytest.raises(ValueError, match="several strata"):
        survival_at(baseline, [0], [1])
    with pytest.raises(InputError, match="no stratum 'c'"):
        survival_at(baseline, [0], [1], "c")


def test_a_year_as_variable_is_refused_at_zero_not_turned_into_nan():
    year = np.column_stack([2000 + X[:, 0]])
    fit = fit_cox(year, TIME, EVENT)
    assert fit.coef == pytest.approx(fit_cox(X[:, :1], TIME, EVENT).coef, rel=1e-9)
    with pytest.raises(InputError, match="subtract a typical value"):
        baseline_hazard(fit, year, TIME, EVENT)
