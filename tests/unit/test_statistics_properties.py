"""What theory says of the statistics whatever the data: invariances, closed forms, brute force, mutual agreement."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from nenflow.cohort.comparison import compare_values, hedges_g, odds_ratio, rank_biserial
from nenflow.errors import InputError
from nenflow.evaluation.calibration import calibration_line
from nenflow.evaluation.competing import cumulative_incidence
from nenflow.evaluation.concordance import brier_scores, harrell_c, time_dependent_auc, uno_c
from nenflow.evaluation.cutpoints import maximally_selected
from nenflow.evaluation.decision import net_benefit, net_benefit_survival
from nenflow.evaluation.discrimination import auc, delong_interval
from nenflow.evaluation.survival import kaplan_meier, logrank, median_survival, restricted_mean, trend_test
from nenflow.models import cox
from nenflow.models.cox import baseline_hazard, fit_cox, global_tests, survival_at
from nenflow.models.lasso import cross_validate, lasso_path
from nenflow.models.logistic import fit_logistic, likelihood_ratio, profile_interval
from nenflow.models.missing import pool
from nenflow.models.protocol import build_protocol, scores
from nenflow.multiplicity import adjust
from nenflow.stability import icc

EXACT = 1e-10
FITTED = 1e-7  # a maximum of a likelihood, found by Newton's method from another place
PENALISED = 1e-6  # a solution of the LASSO, whose threshold is on squared changes

few = settings(max_examples=15)
many = settings(max_examples=40)
seeds = st.integers(0, 100_000)
scales = st.sampled_from([1e-4, 0.03, 7.0, 1e5])
shifts = st.sampled_from([-1e3, -0.5, 0.0, 40.0, 1e4])  # in standard deviations


sizes = st.integers(2, 25)
zero_or_one = st.integers(0, 1)
always = st.just(1)


@st.composite
def binary(draw):
    """An outcome of both classes and a score that has ties."""
    n = draw(sizes)
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)))
    return np.array(y), np.array(draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n)), dtype=float)


@st.composite
def survival(draw, events=zero_or_one):
    """Times with ties, at least one event, and a score with ties."""
    n = draw(sizes)
    time = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    event = draw(st.lists(events, min_size=n, max_size=n).filter(any))
    score = draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n))
    return np.array(time, dtype=float), np.array(event), np.array(score, dtype=float)


def cohort(seed, n=60, k=3):
    """Variables, a binary outcome and a time with event that depend on them a little; no ties."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k)) @ (np.eye(k) + 0.3)
    y = (rng.logistic(size=n) < 0.6 * X[:, 0]).astype(float)
    y[:2] = 0, 1
    time, censored = rng.exponential(size=n) * np.exp(-0.5 * X[:, 0]), rng.exponential(size=n) * 2
    event = (time <= censored).astype(int)
    event[np.argmin(np.minimum(time, censored))] = 1
    return X, y, np.minimum(time, censored) + 1e-3, event


def shuffle(seed, *arrays):
    order = np.random.default_rng([seed, 1]).permutation(len(arrays[0]))
    return [array[order] for array in arrays]


# Discrimination


@many
@given(data=binary())
def test_auc_is_the_share_of_pairs_in_order(data):
    y, score = data
    pairs = np.sign(score[y == 1][:, None] - score[y == 0][None, :])
    assert auc(y, score) == pytest.approx((pairs + 1).mean() / 2, rel=EXACT)
    assert auc(y, -score) == pytest.approx(1 - auc(y, score), abs=EXACT)
    assert auc(1 - y, score) == pytest.approx(1 - auc(y, score), abs=EXACT)
    assert auc(y, np.exp(score) * 3 + 1) == pytest.approx(auc(y, score), rel=EXACT)


@many
@given(data=binary(), seed=seeds)
def test_delong_intervals_do_not_depend_on_order_or_scale(data, seed):
    y, score = data
    assume(min(y.sum(), (1 - y).sum()) > 1)
    moved = delong_interval(*shuffle(seed, y, np.exp(score)))
    np.testing.assert_allclose(moved, delong_interval(y, score), atol=EXACT)


@many
@given(data=survival())
def test_harrell_c_is_the_share_of_comparable_pairs_in_order(data):
    time, event, score = data
    right, comparable = 0.0, 0
    for i in range(len(time)):
        for j in range(len(time)):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                comparable += 1
                right += (np.sign(score[i] - score[j]) + 1) / 2
    if not comparable:
        with pytest.raises(InputError, match="no C-index"):
            harrell_c(time, event, score)
        return
    found = harrell_c(time, event, score)
    assert found["c"] == pytest.approx(right / comparable, rel=EXACT)
    assert harrell_c(time, event, -score)["c"] == pytest.approx(1 - found["c"], abs=EXACT)
    moved = harrell_c(*shuffle(3, np.log1p(time) * 30, event, np.exp(score)))
    for figure in ("c", "se"):
        assert moved[figure] == pytest.approx(found[figure], rel=EXACT, nan_ok=True)


@many
@given(data=survival(events=always), t=st.integers(1, 8))
def test_without_censoring_nothing_is_weighted(data, t):
    """Uno's C is Harrell's, the AUC at a time is that of who had the event by then, Brier's score is the plain one."""
    time, event, score = data
    assume(time.min() <= t < time.max())
    assert uno_c(time, event, score)["c"] == pytest.approx(harrell_c(time, event, score)["c"], rel=EXACT)
    early = (time <= t).astype(int)
    assert time_dependent_auc(time, event, score, [t])["auc"][0] == pytest.approx(auc(early, score), rel=EXACT)
    alive = 1 / (1 + np.exp(score))
    brier = brier_scores(time, event, alive[:, None], [t])
    assert brier["brier"][0] == pytest.approx(np.mean((1 - early - alive) ** 2), rel=EXACT)
    assert brier["null"][0] == pytest.approx(early.mean() * (1 - early.mean()), rel=EXACT)


@many
@given(data=binary(), threshold=st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9]))
def test_net_benefit_is_counted_unit_by_unit(data, threshold):
    y, score = data
    probability = (score + 4) / 8  # touches thresholds
    acted = probability >= threshold
    counted = ((acted & (y == 1)).sum() - (acted & (y == 0)).sum() * threshold / (1 - threshold)) / len(y)
    assert net_benefit(y, probability, [threshold])[0] == pytest.approx(counted, abs=EXACT)
    time = np.where(y == 1, 1.0, 3.0)  # followed until all have the event: nothing is left to estimate
    by_time = net_benefit_survival(time, np.ones(len(y)), probability, 2.0, [threshold])[0]
    assert by_time == pytest.approx(counted, abs=EXACT)


# Groups


@many
@given(data=binary(), scale=scales, shift=shifts)
def test_differences_of_groups_know_neither_order_nor_unit_nor_origin(data, scale, shift):
    y, values = data
    a, b = values[y == 0], values[y == 1]
    name, p = compare_values(a, b)
    for other in (compare_values(b, a), compare_values((a[::-1] + shift) * scale, (b + shift) * scale)):
        assert other[0] == name
        assert other[1] == pytest.approx(p, rel=1e-6, nan_ok=True)
    assert rank_biserial(a, b)[0] == pytest.approx(2 * auc(y, values) - 1, abs=EXACT)
    if len(y) > 3 and np.ptp(a) + np.ptp(b) > 0:
        found, turned = hedges_g(a, b), hedges_g(b, a)
        np.testing.assert_allclose(turned, (-found[0], -found[2], -found[1]), rtol=EXACT)
        np.testing.assert_allclose(hedges_g((a + shift) * scale, (b + shift) * scale), found, rtol=1e-6, atol=1e-9)


@many
@given(counts=st.lists(st.integers(1, 15), min_size=4, max_size=4))
def test_an_odds_ratio_turns_over_with_its_table(counts):
    table = np.reshape(counts, (2, 2))
    ratio, low, high = odds_ratio(table)
    np.testing.assert_allclose(odds_ratio(table[::-1]), (1 / ratio, 1 / high, 1 / low), rtol=1e-5)
    np.testing.assert_allclose(odds_ratio(table.T), (ratio, low, high), rtol=1e-5)


@settings(max_examples=5)  # statsmodels collects garbage at each call, which takes long
@given(p=st.lists(st.floats(0, 1), min_size=8, max_size=12))
def test_adjusted_p_values_keep_their_order_and_never_shrink(p):
    p = np.array(p)
    hochberg, holm, bonferroni = (adjust(p, method) for method in ("fdr_bh", "holm", "bonferroni"))
    assert (p <= hochberg + EXACT).all()
    assert (hochberg <= holm + EXACT).all()
    assert (holm <= bonferroni + EXACT).all()
    np.testing.assert_allclose(bonferroni, np.minimum(1, p * len(p)), rtol=EXACT)
    for method, adjusted in (("fdr_bh", hochberg), ("holm", holm)):
        assert (np.diff(adjusted[np.argsort(p)]) >= -EXACT).all()
        np.testing.assert_allclose(adjust(p[::-1], method)[::-1], adjusted, rtol=EXACT)


# Survival without a model


@many
@given(data=survival(events=always))
def test_kaplan_meier_without_censoring_is_the_share_still_alive(data):
    time, event, _ = data
    curve = kaplan_meier(time, event)
    alive = np.array([(time > t).mean() for t in curve["time"]])
    np.testing.assert_allclose(curve["survival"], alive, atol=EXACT)
    np.testing.assert_allclose(curve["se"][alive > 0], np.sqrt(alive * (1 - alive) / len(time))[alive > 0], atol=EXACT)
    assert median_survival(curve)[0] == np.median(time)
    assert restricted_mean(curve, time.max())[0] == pytest.approx(time.mean(), rel=EXACT)


@many
@given(data=survival())
def test_kaplan_meier_hands_the_share_of_a_censored_person_to_those_after(data):
    """Efron 1967: whoever is censored leaves an equal part of his share to everybody followed longer."""
    time, event, _ = data
    order = np.lexsort((-event, time))
    share, curve = np.full(len(time), 1 / len(time)), kaplan_meier(time, event)
    for place, row in enumerate(order):
        if not event[row]:
            after = order[place + 1 :]
            share[after] += share[row] / max(len(after), 1)
            share[row] = 0 if len(after) else share[row]
    last = order[-1]
    dead = np.array([share[(time <= t) & (event == 1)].sum() for t in curve["time"]])
    np.testing.assert_allclose(curve["survival"], 1 - dead, atol=EXACT)
    assert curve["survival"].iloc[-1] == pytest.approx(0 if event[last] else share[last], abs=EXACT)


@many
@given(data=survival(), scale=scales, seed=seeds)
def test_kaplan_meier_knows_neither_order_nor_unit(data, scale, seed):
    time, event, _ = data
    base, moved = kaplan_meier(time, event), kaplan_meier(*shuffle(seed, time * scale, event))
    np.testing.assert_allclose(moved["time"], base["time"] * scale, rtol=EXACT)
    np.testing.assert_allclose(moved.drop(columns="time"), base.drop(columns="time"), atol=EXACT)


@many
@given(data=survival(events=st.integers(0, 2)))
def test_incidences_of_competing_events_add_up_to_the_share_that_had_any(data):
    time, event, _ = data
    first, second = (cumulative_incidence(time, event, cause=cause)["incidence"] for cause in (1, 2))
    np.testing.assert_allclose(first + second, 1 - kaplan_meier(time, event > 0)["survival"], atol=EXACT)
    alone = cumulative_incidence(time, event == 1)["incidence"]
    np.testing.assert_allclose(alone, 1 - kaplan_meier(time, event)["survival"], atol=EXACT)
    assert (first <= alone + EXACT).all()


@many
@given(data=survival(), rho=st.sampled_from([0, 1]), seed=seeds)
def test_logrank_is_symmetric_in_its_groups_and_knows_no_unit_of_time(data, rho, seed):
    time, event, score = data
    group = score > 0
    assume(0 < group.sum() < len(group))
    base = logrank(time, event, group, rho)
    assert sum(base["observed"]) == pytest.approx(sum(base["expected"]), rel=EXACT)
    for other in (
        logrank(time, event, ~group, rho),
        logrank(*shuffle(seed, time**2, event, group), rho),
        logrank(time, event, np.where(group, "a", "b"), rho, strata=np.ones(len(time))),
    ):
        assert other["chi2"] == pytest.approx(base["chi2"], rel=1e-8, abs=EXACT)
        assert other["p"] == pytest.approx(base["p"], rel=1e-8)
    if rho == 0:
        assert trend_test(time, event, group)["chi2"] == pytest.approx(base["chi2"], rel=1e-8, abs=EXACT)


@few
@given(seed=seeds)
def test_logrank_is_the_score_test_of_a_cox_model(seed):
    X, _, time, event = cohort(seed)
    group = X[:, :1] > 0
    score = global_tests(fit_cox(group, time, event)).loc["score", "chi2"]
    assert score == pytest.approx(logrank(time, event, group[:, 0])["chi2"], rel=1e-8)


@few
@given(seed=seeds)
def test_the_best_cut_point_is_the_same_on_any_rising_scale(seed):
    X, _, time, event = cohort(seed)
    marker = X[:, 0].round(1)
    base = maximally_selected(time, event, marker)
    moved = maximally_selected(*shuffle(seed, time**2, event, np.exp(marker)))
    assert moved["cutpoint"] == pytest.approx(np.exp(base["cutpoint"]))
    for figure in ("statistic", "n_low", "p_lausen_1992", "p_lausen_1994", "naive_p"):
        assert moved[figure] == pytest.approx(base[figure], rel=1e-8)
    assert maximally_selected(time, event, -marker)["statistic"] == pytest.approx(base["statistic"], rel=1e-6)
    one_cut = 2 * norm.sf(base["statistic"])  # p, had this cut been the only one
    assert one_cut < min(base["p_lausen_1992"], base["p_lausen_1994"])


# Regression


@few
@given(seed=seeds, scale=scales, shift=shifts)
def test_logistic_knows_neither_order_nor_unit_nor_origin(seed, scale, shift):
    X, y, *_ = cohort(seed)
    base = fit_logistic(X, y)
    assume(not base.separated)
    rows, outcome = shuffle(seed, (X + shift) * scale, y)
    moved = fit_logistic(rows, outcome)
    np.testing.assert_allclose(moved.coef[1:] * scale, base.coef[1:], rtol=FITTED, atol=FITTED)
    np.testing.assert_allclose(moved.se[1:] * scale, base.se[1:], rtol=FITTED)
    assert moved.log_likelihood == pytest.approx(base.log_likelihood, rel=EXACT)
    np.testing.assert_allclose(
        np.array(profile_interval(rows, outcome, 1)) * scale, profile_interval(X, y, 1), rtol=1e-5, atol=FITTED
    )
    turned = fit_logistic(X[:, ::-1], 1 - y)
    np.testing.assert_allclose(turned.coef[:0:-1], -base.coef[1:], rtol=FITTED, atol=FITTED)


@few
@given(seed=seeds)
def test_logistic_on_its_own_data_is_calibrated(seed):
    X, y, *_ = cohort(seed)
    fit = fit_logistic(X, y)
    assume(not fit.separated)
    predictor = fit.linear_predictor(X)
    np.testing.assert_allclose(calibration_line(y, predictor), (0, 1), atol=1e-6)
    assert np.mean(1 / (1 + np.exp(-predictor))) == pytest.approx(y.mean(), rel=EXACT)
    twice = fit_logistic(np.vstack([X, X]), np.concatenate([y, y]))
    np.testing.assert_allclose(twice.coef, fit.coef, rtol=FITTED, atol=FITTED)
    np.testing.assert_allclose(twice.se * np.sqrt(2), fit.se, rtol=FITTED)


@many
@given(counts=st.lists(st.integers(1, 30), min_size=4, max_size=4))
def test_the_odds_ratio_of_one_yes_or_no_is_that_of_its_table(counts):
    a, b, c, d = counts
    fit = fit_logistic(np.repeat([1, 1, 0, 0], counts)[:, None], np.repeat([1, 0, 1, 0], counts))
    assert fit.coef[1] == pytest.approx(np.log(a * d / (b * c)), rel=FITTED, abs=FITTED)
    assert fit.se[1] == pytest.approx(np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), rel=FITTED)
    firth = fit_logistic(np.repeat([1, 1, 0, 0], counts)[:, None], np.repeat([1, 0, 1, 0], counts), firth=True)
    halves = np.array(counts) + 0.5  # Firth's penalty adds half a lesion to every cell
    assert firth.coef[1] == pytest.approx(
        np.log(halves[0] * halves[3] / (halves[1] * halves[2])), rel=FITTED, abs=FITTED
    )


@few
@given(seed=seeds, scale=scales, shift=shifts, ties=st.sampled_from(["efron", "breslow"]))
def test_cox_knows_neither_order_nor_unit_nor_origin(seed, scale, shift, ties):
    X, _, time, event = cohort(seed)
    time = np.ceil(time * 8)
    base = fit_cox(X, time, event, ties)
    assume(not base.separated)
    rows, later, happened = shuffle(seed, (X + shift) * scale, time**2, event)
    moved = fit_cox(rows, later, happened, ties)
    np.testing.assert_allclose(moved.coef * scale, base.coef, rtol=FITTED, atol=FITTED)
    np.testing.assert_allclose(moved.se * scale, base.se, rtol=FITTED)
    assert moved.log_likelihood == pytest.approx(base.log_likelihood, rel=EXACT)
    np.testing.assert_allclose(fit_cox(-X[:, ::-1], time, event, ties).coef[::-1], -base.coef, rtol=FITTED, atol=FITTED)
    one_stratum = fit_cox(X, time, event, ties, strata=np.full(len(X), "all"))
    np.testing.assert_allclose(one_stratum.coef, base.coef, rtol=FITTED, atol=FITTED)


@few
@given(seed=seeds)
def test_cox_without_ties_needs_no_rule_for_them_and_breslow_takes_copies_for_weights(seed):
    X, _, time, event = cohort(seed)
    base = fit_cox(X, time, event)
    assume(not base.separated)
    np.testing.assert_allclose(fit_cox(X, time, event, "breslow").coef, base.coef, rtol=FITTED, atol=FITTED)
    twice = fit_cox(np.vstack([X, X]), np.tile(time, 2), np.tile(event, 2), "breslow")
    np.testing.assert_allclose(twice.coef, base.coef, rtol=FITTED, atol=FITTED)
    np.testing.assert_allclose(twice.se * np.sqrt(2), base.se, rtol=FITTED)
    # Copies tell nothing new, and errors that are summed over patients know it.
    clustered = fit_cox(np.vstack([X, X]), np.tile(time, 2), np.tile(event, 2), "breslow", clusters=np.tile(time, 2))
    np.testing.assert_allclose(clustered.se, fit_cox(X, time, event, "breslow", clusters=time).se, rtol=1e-6)


@many
@given(data=survival())
def test_cox_without_variables_is_nelson_and_aalen(data):
    time, event, _ = data
    nothing = np.empty((len(time), 0))
    fit = fit_cox(nothing, time, event, "breslow")
    baseline = baseline_hazard(fit, nothing, time, event)
    curve = kaplan_meier(time, event)
    hazard = np.cumsum(curve["events"] / curve["at_risk"])
    np.testing.assert_allclose(baseline["hazard"], hazard, rtol=EXACT)
    predicted = survival_at(baseline, np.zeros(1), curve["time"])[0]
    assert (predicted >= curve["survival"] - EXACT).all()


@few
@given(seed=seeds, scale=scales, shift=shifts, model=st.sampled_from(["binary", "survival"]))
def test_lasso_knows_neither_order_nor_unit_nor_origin(seed, scale, shift, model):
    X, y, time, event = cohort(seed, k=6)
    outcome = y if model == "binary" else np.column_stack([time, event])
    base = lasso_path(X, outcome)
    rows, shuffled = shuffle(seed, (X + shift) * scale, outcome)
    moved = lasso_path(rows[:, ::-1], shuffled)
    length = min(len(base.lambdas), len(moved.lambdas))  # rounding may end the path one penalty earlier
    assert length > 5
    np.testing.assert_allclose(moved.lambdas[:length], base.lambdas[:length], rtol=1e-7)
    np.testing.assert_allclose(moved.coefs[:length, ::-1] * scale, base.coefs[:length], rtol=PENALISED, atol=PENALISED)
    if model == "binary":
        np.testing.assert_allclose(lasso_path(X, 1 - y).coefs[:length], -base.coefs[:length], atol=PENALISED)


@few
@given(seed=seeds, k=st.integers(2, 90))
def test_lasso_solves_its_problem(seed, k):
    """Karush, Kuhn and Tucker: the score of a chosen feature is the penalty, of another not more; n may be below k."""
    X, y, *_ = cohort(seed, k=k)
    path = lasso_path(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    for penalty, coef, intercept in zip(path.lambdas, path.coefs, path.intercepts, strict=True):
        residual = y - 1 / (1 + np.exp(-(intercept + X @ coef)))
        score = Z.T @ residual / len(y)
        assert abs(residual.mean()) < PENALISED
        assert (np.abs(score) <= penalty + PENALISED).all()
        chosen = coef != 0
        np.testing.assert_allclose(score[chosen], penalty * np.sign(coef[chosen]), atol=PENALISED)


@few
@given(seed=seeds)
def test_cross_validation_knows_neither_order_nor_unit(seed):
    X, y, *_ = cohort(seed, k=5)
    folds = np.arange(len(y)) % 5
    base = cross_validate(X, y, folds)
    rows, outcome, labels = shuffle(seed, X * 1e3 + 5, y, folds)
    moved = cross_validate(rows, outcome, 9 - labels)
    length = min(len(base.cvm), len(moved.cvm))
    np.testing.assert_allclose(moved.cvm[:length], base.cvm[:length], rtol=1e-5)
    np.testing.assert_allclose(moved.cvsd[:length], base.cvsd[:length], rtol=1e-4, atol=1e-8)


@settings(max_examples=8)
@given(seed=seeds, model=st.sampled_from(["logistic", "cox"]))
def test_the_units_of_the_features_change_no_prediction_of_a_whole_protocol(seed, model):
    X, y, time, event = cohort(seed, n=80, k=6)
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([[f"P{i:02d}" for i in range(40)], ["L1", "L2"]], names=["patient", "region"])
    table = pd.DataFrame(X, index=index).add_prefix("f").assign(site=rng.permutation(80) % 2 + 1.0)
    outcome = pd.Series(y, index) if model == "logistic" else pd.DataFrame({"time": time, "event": event}, index)
    steps = [{"combat": {"batch": "site"}}, {"zscore": {}}, {"spearman": {"threshold": 0.8}}, {"lasso": {"folds": 5}}]
    moved = table.assign(**{f"f{j}": 10.0 ** (j - 3) * table[f"f{j}"] + 7 for j in range(6)})
    predicted = []
    for features in (table, moved):
        protocol = build_protocol([*steps, {model: {}}], ("site",), None, seed=1).fit(features, outcome)
        predicted.append(scores(protocol, features))
    np.testing.assert_allclose(predicted[1], predicted[0], rtol=1e-4, atol=1e-6)


@few
@given(seed=seeds, tables=st.integers(2, 6))
def test_fits_to_tables_that_are_all_alike_are_pooled_to_one_of_them(seed, tables):
    X, y, *_ = cohort(seed)
    fit = fit_logistic(X, y)
    assume(not fit.separated)
    pooled = pool([fit.coef] * tables, [fit.covariance] * tables)
    np.testing.assert_allclose(pooled.coef, fit.coef, rtol=EXACT)
    np.testing.assert_allclose(pooled.se, fit.se, rtol=EXACT)
    np.testing.assert_allclose(pooled.p, fit.p, rtol=1e-8)
    np.testing.assert_allclose(pooled.fmi, 0, atol=EXACT)


# Agreement


@few
@given(seed=seeds, subjects=st.integers(3, 12), raters=st.integers(2, 5), scale=scales, shift=shifts)
def test_icc_is_that_of_an_analysis_of_variance_done_by_hand(seed, subjects, raters, scale, shift):
    rng = np.random.default_rng(seed)
    readings = rng.normal(size=(subjects, 1)) + rng.normal(size=raters) + rng.normal(size=(1, subjects, raters))
    table, grand = readings[0], readings.mean()
    subject, rater = table.mean(axis=1), table.mean(axis=0)
    between = sum(raters * (mean - grand) ** 2 for mean in subject) / (subjects - 1)
    judges = sum(subjects * (mean - grand) ** 2 for mean in rater) / (raters - 1)
    cells = [(i, j) for i in range(subjects) for j in range(raters)]
    squares = sum((table[i, j] - subject[i] - rater[j] + grand) ** 2 for i, j in cells)
    error = squares / ((subjects - 1) * (raters - 1))
    found = icc(readings).iloc[0]
    assert found["ICC3"] == pytest.approx((between - error) / (between + (raters - 1) * error), rel=1e-8)
    below = between + (raters - 1) * error + raters * (judges - error) / subjects
    assert found["ICC2"] == pytest.approx((between - error) / below, rel=1e-8)
    mixed = readings[:, rng.permutation(subjects)][:, :, rng.permutation(raters)] * scale + shift * scale
    np.testing.assert_allclose(icc(mixed).iloc[0].astype(float), found.astype(float), rtol=1e-4, atol=1e-6)


# Data at the edge: a clear refusal or the right number


def edge(X, y, time, event):
    """Each model as a function without arguments."""
    pairs = np.column_stack([time, event])
    return {
        "logistic": lambda: fit_logistic(X, y),
        "cox": lambda: fit_cox(X, time, event),
        "lasso": lambda: lasso_path(X, y),
        "lasso for survival": lambda: lasso_path(X, pairs),
    }


MODELS = ["logistic", "cox", "lasso", "lasso for survival"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_models_refuse_what_is_missing(model, broken):
    X, y, time, event = cohort(0)
    X[:, 1] = broken
    with pytest.raises(InputError):
        edge(X, y, time, event)[model]()
    X, *_ = cohort(0)
    with pytest.raises(InputError):
        edge(X, y + broken, time + broken, event)[model]()


@pytest.mark.parametrize("model", MODELS)
def test_models_refuse_an_outcome_that_never_or_always_comes(model):
    X, y, time, event = cohort(1)
    with pytest.raises(InputError, match=r"same in all|[Nn]o patient|Nobody|no event"):
        edge(X, 0 * y, time, 0 * event)[model]()
    if model in ("logistic", "lasso"):
        with pytest.raises(InputError, match="same in all"):
            edge(X, 0 * y + 1, time, event)[model]()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_variable_changes_nothing(model, value):
    X, y, time, event = cohort(2)
    base = edge(X, y, time, event)[model]()
    more = edge(np.column_stack([X[:, :1], np.full(len(X), value), X[:, 1:]]), y, time, event)[model]()
    if "lasso" in model:
        np.testing.assert_allclose(np.delete(more.coefs, 1, axis=1), base.coefs, atol=PENALISED)
        assert (more.coefs[:, 1] == 0).all()
    else:
        place = len(more.coef) - len(X[0])
        np.testing.assert_allclose(np.delete(more.coef, place), base.coef, rtol=FITTED)
        assert (more.coef[place], more.p[place], more.aliased[place]) == (0, 1, True)


@pytest.mark.parametrize("model", ["logistic", "cox"])
def test_a_variable_that_repeats_others_is_named_and_changes_nothing(model):
    X, y, time, event = cohort(3)
    base = edge(X, y, time, event)[model]()
    more = edge(np.column_stack([X, X[:, 0] - 2 * X[:, 1] + 3]), y, time, event)[model]()
    assert more.aliased[-1]
    assert more.coef[-1] == 0
    np.testing.assert_allclose(more.coef[:-1], base.coef, rtol=FITTED)
    assert more.log_likelihood == pytest.approx(base.log_likelihood, rel=EXACT)


@pytest.mark.parametrize("model", ["lasso", "lasso for survival"])
def test_a_lasso_with_a_feature_twice_predicts_the_same(model):
    X, y, time, event = cohort(4)
    base, more = (edge(values, y, time, event)[model]() for values in (X, np.column_stack([X, X[:, 0]])))
    np.testing.assert_allclose(more.coefs[:, 0] + more.coefs[:, 3], base.coefs[:, 0], atol=1e-5)
    np.testing.assert_allclose(more.coefs[:, 1:3], base.coefs[:, 1:], atol=1e-5)


def test_more_variables_than_patients_are_separated_and_said_to_be():
    X, y, time, event = cohort(5, n=20, k=40)
    logistic, proportional = edge(X, y, time, event)["logistic"](), edge(X, y, time, event)["cox"]()
    assert logistic.separated
    assert proportional.separated
    assert logistic.log_likelihood == pytest.approx(0, abs=1e-5)  # every lesion is predicted without error
    assert logistic.aliased.sum() == 41 - 20
    assert np.isfinite(fit_logistic(X, y, firth=True).coef).all()


def test_where_all_patients_are_alike_nothing_is_found():
    y = np.repeat([0, 1], 10)
    time, event = np.full(20, 3.0), np.ones(20, dtype=int)
    same = np.ones((20, 2))
    assert auc(y, same[:, 0]) == 0.5
    assert fit_logistic(same, y).p.tolist() == [1, 1, 1]
    assert likelihood_ratio(same, y, 0) == 1
    assert (lasso_path(same, y).coefs == 0).all()
    assert logrank(time, event, y)["p"] == 1
    assert fit_cox(y[:, None], time, event, "breslow").coef == pytest.approx(0, abs=EXACT)
    assert cox.likelihood_ratio(y[:, None], time, event, 0) == pytest.approx(1, abs=FITTED)
    assert kaplan_meier(time, event)["survival"].tolist() == [0]
    assert icc(np.ones((1, 5, 2))).iloc[0].isna().all()
    with pytest.raises(InputError, match="no C-index"):
        harrell_c(time, event, y)
    assert harrell_c(np.arange(1, 21), event, same[:, 0])["c"] == 0.5


@pytest.mark.parametrize(
    "statistic",
    [
        lambda time, event, group: kaplan_meier(time, event),
        logrank,
        trend_test,
        harrell_c,
        uno_c,
        lambda time, event, group: fit_cox(group[:, None], time, event),
        lambda time, event, group: time_dependent_auc(time, event, group, [1]),
        lambda time, event, group: brier_scores(time, event, group / 2, [1]),
    ],
)
def test_times_that_are_none_are_refused(statistic):
    _, _, time, event = cohort(6)
    group = np.arange(len(time)) % 2
    statistic(time, event, group)
    for changed in (np.nan, 0.0, -1.0, np.inf):
        wrong = time.copy()
        wrong[3] = changed
        with pytest.raises(InputError):
            statistic(wrong, event, group)
    with pytest.raises(InputError):
        statistic(time, np.where(np.arange(len(time)) == 3, 5, event), group)


def test_scores_that_are_missing_are_refused():
    _, y, time, event = cohort(7)
    score = np.full(len(y), np.nan)
    for statistic in (lambda: auc(y, score), lambda: harrell_c(time, event, score), lambda: uno_c(time, event, score)):
        with pytest.raises(InputError):
            statistic()
    for outcome in (np.zeros(5), np.ones(5)):
        with pytest.raises(InputError):
            auc(outcome, np.arange(5))
