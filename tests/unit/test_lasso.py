import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from nenflow.errors import InputError
from nenflow.models.lasso import _partial_deviance, cross_validate, folds_of, lasso_path, selection_frequencies

EXACT = 1e-12  # closed forms: rounding only
STEP = 1e-6  # the last step that a threshold of 1e-12 allows
KKT = 5e-4  # relative breach of the conditions of a minimum that a threshold of 1e-12 leaves, where features are heavy
NOISE = 0  # a seed whose noise selects nothing, as about four in ten do


def test_one_binary_feature_has_a_closed_form():
    # With one 0/1 feature the conditions of the minimum are two equations for the two groups' probabilities.
    x = np.repeat([0.0, 1.0], [40, 60])
    y = np.concatenate([np.repeat([1.0, 0.0], [10, 30]), np.repeat([1.0, 0.0], [45, 15])])
    sd = np.sqrt(0.4 * 0.6)
    penalty = 0.05
    found = lasso_path(x[:, None], y, lambdas=np.array([0.2, penalty]))
    # group sums: 0.4 * (0.25 - p0) + 0.6 * (0.75 - p1) = 0 and 0.6 * 0.4 * ((0.75 - p1) - (0.25 - p0)) / sd = lambda
    gap = penalty * sd / 0.24
    p1, p0 = 0.75 - 0.4 * gap, 0.25 + 0.6 * gap
    log_odds = np.log([p0 / (1 - p0), p1 / (1 - p1)])
    assert found.intercepts[1] == pytest.approx(log_odds[0], abs=STEP)
    assert found.coefs[1, 0] == pytest.approx(log_odds[1] - log_odds[0], abs=STEP)


def test_the_largest_penalty_just_selects_nothing():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 8)), (rng.random(60) < 0.5).astype(float)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    found = lasso_path(X, y)
    assert found.lambdas[0] == pytest.approx(np.abs(Z.T @ (y - y.mean())).max() / 60, rel=EXACT)
    assert found.df[0] == 0
    assert found.df[1] >= 1
    assert found.intercepts[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=EXACT)
    assert lasso_path(X[:, :4], y).lambdas[-1] >= found.lambdas[0] * 1e-4 * (1 - EXACT)


def test_fewer_lesions_than_features_shorten_the_grid():
    rng = np.random.default_rng(2)
    y = np.repeat([0.0, 1.0], 15)
    found = lasso_path(rng.normal(size=(30, 50)), y)
    assert found.lambdas[-1] >= 0.01 * found.lambdas[0] * (1 - EXACT)
    assert found.lambdas[1] / found.lambdas[0] == pytest.approx(0.01 ** (1 / 99), rel=EXACT)


def test_noise_may_select_nothing():
    rng = np.random.default_rng(NOISE)
    X, y = rng.normal(size=(80, 30)), np.tile([0.0, 1.0], 40)
    found = cross_validate(X, y, folds_of(y, np.arange(80), 10, 1))
    assert found.index_min == found.index_1se == 0
    assert np.all(found.coefs[0] == 0)


def test_constant_and_doubled_features_do_no_harm():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(70, 5))
    y = (X[:, 0] + rng.normal(size=70) > 0).astype(float)
    plain = lasso_path(X, y)
    padded = lasso_path(np.column_stack([X, np.full(70, 0.1), X[:, 0]]), y, lambdas=plain.lambdas)
    assert np.all(padded.coefs[:, 5] == 0)
    score = np.column_stack([X, np.full(70, 0.1), X[:, 0]]) @ padded.coefs.T + padded.intercepts
    np.testing.assert_allclose(score, X @ plain.coefs.T + plain.intercepts, atol=1e-5)
    assert lasso_path(np.ones((70, 2)), y).df.tolist() == [0]


def test_units_of_a_feature_do_not_matter():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(90, 6))
    y = (X[:, 0] - X[:, 1] + rng.normal(size=90) > 0).astype(float)
    units = np.array([1.0, 1e6, 1e-6, 10.0, 3.0, 1.0])
    np.testing.assert_allclose(lasso_path(X * units, y).coefs * units, lasso_path(X, y).coefs, atol=1e-7)


def test_separated_outcomes_keep_finite_coefficients():
    x = np.linspace(-1, 1, 40)
    found = lasso_path(np.column_stack([x, x**2]), (x > 0).astype(float))
    assert np.all(np.isfinite(found.coefs))
    assert np.all(np.diff(found.dev_ratio) > 0)
    assert found.dev_ratio[-1] > 0.99


def test_few_lesions_per_fold_take_the_error_over_lesions():
    X = np.random.default_rng(5).normal(size=(20, 3))
    y = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0] * 2, dtype=float)
    folds = np.arange(20) // 2
    found = cross_validate(X, y, folds, lambdas=np.array([10.0, 9.0]))  # so large that all models are null models
    share = np.array([y[folds != fold].mean() for fold in folds])
    deviance = -2 * np.log(np.where(y == 1, share, 1 - share))
    assert found.cvm[0] == pytest.approx(deviance.mean(), rel=EXACT)
    assert found.cvsd[0] == pytest.approx(deviance.std() / np.sqrt(19), rel=EXACT)


def test_refusals():
    X = np.random.default_rng(6).normal(size=(12, 2))
    with pytest.raises(InputError, match="same in all lesions"):
        lasso_path(X, np.ones(12))
    with pytest.raises(InputError, match="value of every feature"):
        lasso_path(np.where(X > 1, np.nan, X), np.tile([0, 1], 6))
    with pytest.raises(InputError, match="0 or 1 as outcome"):
        lasso_path(X, np.tile([1, 2], 6))
    with pytest.raises(InputError, match="two folds"):
        cross_validate(X, np.tile([0, 1], 6), np.zeros(12))
    with pytest.raises(InputError, match="single fold"):
        cross_validate(X, np.repeat([1, 0], [4, 8]), np.repeat([0, 1, 2], 4))


def test_folds_keep_patients_and_copies_together_and_share_events():
    rng = np.random.default_rng(7)
    patients = np.sort(rng.integers(0, 76, size=131))
    y = (rng.random(131) < 0.8).astype(int)
    folds = folds_of(y, patients, 10, seed=1)
    assert sorted(np.unique(folds)) == list(range(10))
    assert pd.Series(folds).groupby(patients).nunique().max() == 1
    events = np.bincount(folds, y) / np.bincount(folds)
    assert np.abs(events - y.mean()).max() < 0.15
    np.testing.assert_array_equal(folds, folds_of(y, patients, 10, seed=1))
    assert (folds != folds_of(y, patients, 10, seed=2)).any()


def test_folds_need_enough_groups_and_outcomes():
    with pytest.raises(InputError, match="10 folds need 10"):
        folds_of(np.tile([0, 1], 10), np.repeat(np.arange(5), 4), 10, 1)
    with pytest.raises(InputError, match="there are 1"):
        folds_of(np.repeat([0, 1], [19, 1]), np.arange(20), 5, 1)


def survival(seed, n=80, p=6, censored=0.4):
    """Features, times with ties, and events."""
    rng = np.random.default_rng([seed, 2])
    X = rng.normal(size=(n, p))
    time = np.ceil(np.exp(rng.gumbel(size=n) - X[:, 0] + X[:, 1] / 2) * 5)
    return X, np.column_stack([time, rng.random(n) > censored])


def slopes(X, y, coefs, intercept):
    """Slopes of the mean log-likelihood in the standardised features, by definition."""
    eta = X @ coefs + intercept
    residual = y - expit(eta) if y.ndim == 1 else y[:, 1].copy()
    if y.ndim == 2:
        risk = np.exp(eta)
        for t, event in y:
            if event:
                residual -= np.where(y[:, 0] >= t, risk, 0) / risk[y[:, 0] >= t].sum()
    return (X - X.mean(axis=0)).T @ residual / X.std(axis=0) / len(y)


@pytest.mark.parametrize("kind", ["binary", "survival"])
@pytest.mark.parametrize("heavy", [False, True])
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([1.0, 0.5, 0.05]), p=st.integers(1, 90))
def test_every_solution_is_the_minimum(kind, heavy, seed, alpha, p):
    X, y = survival(seed, 50, max(p, 2))
    X = np.exp(2 * X) if heavy else X
    y = (y[:, 0] > np.median(y[:, 0])).astype(float) if kind == "binary" else y
    found = lasso_path(X, y, alpha=alpha)
    far = lasso_path(X, y, lambdas=found.lambdas[[-1]], alpha=alpha)  # without a path that leads there
    for path in (found, far):
        for coefs, intercept, penalty in zip(path.coefs, path.intercepts, path.lambdas, strict=True):
            slope = slopes(X, y, coefs, intercept) - (1 - alpha) * penalty * coefs * X.std(axis=0)
            pull = alpha * penalty
            breach = np.where(coefs != 0, np.abs(slope - pull * np.sign(coefs)), np.maximum(np.abs(slope) - pull, 0))
            assert breach.max() < KKT * penalty
    assert found.lambdas[0] == pytest.approx(
        np.abs(slopes(X, y, 0 * found.coefs[0], found.intercepts[0])).max() / alpha
    )


def test_two_times_have_a_closed_form_in_cox():
    # Two at risk with x = 1, one with x = 0; one of the former dies first, the rest is censored: one factor
    # 1 / (2 + exp(-b)), whose log has the slope exp(-b) / (2 + exp(-b)).
    x, y = np.array([1.0, 1, 0]), np.array([[1.0, 1], [2, 0], [3, 0]])
    penalty = 0.1
    found = lasso_path(x[:, None], y, lambdas=np.array([0.2, penalty]))
    slope = 3 * penalty * x.std()  # of the sum, where the penalty is of the mean and of b * sd
    assert found.coefs[1, 0] == pytest.approx(-np.log(2 * slope / (1 - slope)), abs=STEP)
    assert found.intercepts.tolist() == [0, 0]


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_cox_sees_the_order_of_times_only_and_not_that_of_rows(seed):
    X, y = survival(seed)
    folds = folds_of(y, np.arange(len(y)), 4, seed)
    found = cross_validate(X, y, folds)
    order = np.random.default_rng(seed).permutation(len(y))
    other = y.copy()
    other[:, 0] = np.log1p(y[:, 0]) * 1e3
    other[:, 1] = np.where(y[:, 1] == 1, 1, 2 * (np.arange(len(y)) % 2))  # a competing event counts as censored
    shuffled = cross_validate(X[order] * 3 + 5, other[order], folds[order])
    np.testing.assert_allclose(shuffled.coefs * 3, found.coefs, atol=1e-6)
    np.testing.assert_allclose(shuffled.cvm, found.cvm, atol=1e-6)
    assert shuffled.index_min == found.index_min


def test_cox_deviance_of_a_fold_is_that_of_all_less_that_of_the_others():
    X, y = survival(3, 60)
    folds = folds_of(y, np.arange(60), 3, 1)
    null = cross_validate(X, y, folds, lambdas=np.array([50.0, 40.0]))  # so large that all models are null models

    def deviance(rows):
        time, event = y[rows].T
        return 2 * sum(
            (event[time == t].sum()) * np.log((time >= t).sum() / event[time == t].sum()) for t in set(time[event == 1])
        )

    events = np.array([y[folds == fold, 1].sum() for fold in range(3)])
    added = np.array([deviance(folds >= 0) - deviance(folds != fold) for fold in range(3)])
    assert null.cvm[0] == pytest.approx(added.sum() / events.sum(), rel=EXACT)
    spread = np.average((added / events - null.cvm[0]) ** 2, weights=events)
    assert null.cvsd[0] == pytest.approx(np.sqrt(spread / 2), rel=EXACT)


def test_cox_deviance_stays_finite_where_predictors_are_worlds_apart():
    # The first patient's risk is lost beside the second's (exp(-2000) is zero as a number), who dies before; then the
    # first one is alone and certain to die, so that the deviance is that of the second's death, which was as certain.
    X, y = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([[2.0, 1], [1, 1], [2, 1], [1, 1]])
    folds = np.array([0, 0, 1, 1])
    eta = X * np.array([[2000.0, -2000.0]])
    forwards, backwards = _partial_deviance(eta, y, folds == 0)[0]
    assert forwards == pytest.approx(0, abs=EXACT)
    # Against the order: each of two deaths at the first time costs the distance, in all rows and in half of them.
    assert backwards == pytest.approx((2 * 2 * 2000 - 2 * 2000) / 2, rel=EXACT)


def test_a_fold_that_cannot_be_judged_drops_out():
    X, y = survival(5, 60)
    folds = folds_of(y, np.arange(60), 3, 1)
    y[folds == 2, 1] = 0
    found = cross_validate(X, y, folds, lambdas=np.array([50.0, 40.0]))
    assert np.isfinite(found.cvm).all()
    y[folds == 1, 1] = 0
    with pytest.raises(InputError, match="single fold"):
        cross_validate(X, y, folds)


def binary(seed, n=90, p=8):
    rng = np.random.default_rng([seed, 3])
    X = rng.normal(size=(n, p))
    return X, (X[:, 0] + rng.logistic(size=n) > 0.8).astype(float)


def test_auc_as_measure_counts_pairs_in_the_folds():
    X, y = binary(1)
    folds = folds_of(y, np.arange(90), 3, 1)
    found = cross_validate(X, y, folds, measure="auc")
    k = found.index_min
    by_fold = []
    for fold in range(3):
        out = folds == fold
        coefs, _ = lasso_path(X[~out], y[~out]).at(found.lambdas[[k]])
        score = X[out] @ coefs[0]
        pairs = np.subtract.outer(score[y[out] == 1], score[y[out] == 0])
        by_fold.append(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert found.cvm[k] == pytest.approx(np.average(by_fold, weights=np.bincount(folds)), rel=EXACT)
    assert found.cvm[k] == found.cvm.max()
    assert found.cvm[found.index_1se] >= found.cvm[k] - found.cvsd[k]
    ties = cross_validate(X, y, folds, lambdas=np.array([50.0, 40.0]), measure="auc")
    assert ties.cvm.tolist() == [0.5, 0.5]


def test_repeated_folds_average_their_curves():
    X, y = binary(2)
    folds = np.array([folds_of(y, np.arange(90), 5, seed) for seed in range(4)])
    found, alone = cross_validate(X, y, folds), [cross_validate(X, y, fold) for fold in folds]
    np.testing.assert_allclose(found.cvm, np.mean([one.cvm for one in alone], axis=0), rtol=EXACT)
    np.testing.assert_allclose(found.cvsd, np.mean([one.cvsd for one in alone], axis=0), rtol=EXACT)
    assert found.index_min == np.argmin(found.cvm)
    for rule in ("lambda.min", "lambda.1se"):
        share = np.mean([one.coefs[one.index(rule)] != 0 for one in alone], axis=0)
        np.testing.assert_array_equal(found.frequencies(rule), share)


def test_selection_frequencies_find_the_signal():
    X, _ = binary(3, n=120)
    rng = np.random.default_rng(1)
    y = (3 * X[:, 0] + rng.logistic(size=120) > 0).astype(float)
    resamples = []
    for seed in range(20):
        rows = rng.integers(0, 120, 120)
        resamples.append((rows, folds_of(y[rows], rows, 5, seed)))
    share = selection_frequencies(X, y, resamples)
    assert share[0] > 0.9
    assert share[1:].max() < share[0]
    assert np.isin(np.round(share * 20, 9), np.arange(21)).all()
    np.testing.assert_array_equal(share, selection_frequencies(X, y, resamples))
    assert (selection_frequencies(X, y, resamples, rule="lambda.1se", alpha=0.9) <= 1).all()


def test_added_rows_train_but_do_not_judge():
    X, y = binary(4)
    folds = folds_of(y, np.arange(90), 5, 1)
    given = []

    def double(X, y):
        given.append(len(X))
        return np.concatenate([X, X]), np.concatenate([y, y])

    found, plain = cross_validate(X, y, folds, enrich=double), cross_validate(X, y, folds)
    assert given == [90, *(90 - np.bincount(folds))]
    np.testing.assert_allclose(found.coefs, plain.coefs, atol=STEP)  # doubling all rows moves no solution
    np.testing.assert_allclose(found.cvm, plain.cvm, atol=STEP)

    def flip(X, y):
        return np.concatenate([X, X]), np.concatenate([y, 1 - y])

    assert (cross_validate(X, y, folds, lambdas=plain.lambdas, enrich=flip).df == 0).all()  # noise by construction


def test_folds_of_survival_share_events():
    _, y = survival(6, 100)
    folds = folds_of(y, np.arange(100), 5, 1)
    np.testing.assert_array_equal(folds, folds_of(y[:, 1], np.arange(100), 5, 1))
    y[:, 1] = 1
    assert np.bincount(folds_of(y, np.arange(100), 5, 1)).tolist() == [20] * 5


def test_refusals_of_survival_and_options():
    X, y = survival(7, 30)
    folds = np.arange(30) % 3
    with pytest.raises(InputError, match="alpha is 0"):
        lasso_path(X, y, alpha=0)
    with pytest.raises(InputError, match="has the event"):
        lasso_path(X, y * [1, 0])
    with pytest.raises(InputError, match="time above zero"):
        lasso_path(X, y * [0, 1])
    with pytest.raises(InputError, match="cannot be auc"):
        cross_validate(X, y, folds, measure="auc")
    with pytest.raises(InputError, match="must be deviance or auc"):
        cross_validate(X, y, folds, measure="mse")
    with pytest.raises(InputError, match="too few for AUCs"):
        cross_validate(X, np.tile([0, 1, 1], 10), np.arange(30) // 6, measure="auc")
    with pytest.raises(InputError, match="a fold for each"):
        cross_validate(X, y, folds[:-1])
    with pytest.raises(InputError, match="two events"):
        folds_of(y * [1, 0], np.arange(30), 3, 1)


def test_all_events_at_one_time_say_nothing():
    X, y = survival(8, 30)
    y[:] = [4, 1]
    found = lasso_path(X, y)
    assert found.df.tolist() == [0]
    assert found.dev_ratio.tolist() == [0]


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 3.0]), st.sampled_from([1, 3]), st.booleans())
def test_a_path_no_longer_than_its_choice_needs_makes_the_same_choice(seed, effect, repeats, timed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 40))
    y = (effect * X[:, 0] + rng.logistic(size=60) > 0.3).astype(float)
    if timed:
        y = np.column_stack([np.exp(rng.gumbel(size=60) - effect * X[:, 0] / 2), rng.random(60) < 0.7])
    rows = np.sort(rng.integers(0, 60, 60))  # copies too, of which one fold has all
    X, y = X[rows], y[rows]
    folds = np.array([folds_of(y, rows, 5, [seed, number]) for number in range(repeats)])
    found, short = cross_validate(X, y, folds), cross_validate(X, y, folds, whole=False)
    for name in ("index_min", "index_1se", "lambda_min", "lambda_1se"):
        assert getattr(short, name) == getattr(found, name)
    until = len(short.lambdas)
    assert found.index_min < until <= len(found.lambdas)
    assert until == found.index_min + 1 or repeats > 1
    np.testing.assert_array_equal(short.lambdas, found.lambdas[:until])
    np.testing.assert_allclose(short.coefs, found.coefs[:until], atol=STEP)
    np.testing.assert_allclose(short.cvm, found.cvm[:until], atol=STEP)
    for rule in ("lambda.min", "lambda.1se"):
        np.testing.assert_array_equal(short.frequencies(rule), found.frequencies(rule))


def test_copies_of_a_row_are_a_weight():
    X, y = binary(5)
    rows = np.sort(np.random.default_rng(5).integers(0, 90, 90))
    found = cross_validate(X[rows], y[rows], folds_of(y[rows], rows, 5, 1))
    assert len(np.unique(rows)) < 70
    by_row = lasso_path(X[rows], y[rows])  # which takes every copy as a row of its own
    np.testing.assert_allclose(found.lambdas, by_row.lambdas, rtol=EXACT)
    np.testing.assert_allclose(found.coefs, by_row.coefs, atol=STEP)
    np.testing.assert_allclose(found.dev_ratio, by_row.dev_ratio, atol=STEP)
    split = np.arange(90) % 5  # copies on both sides: a weight in either
    deviance = np.empty(90)
    for fold in range(5):
        coefs, intercepts = lasso_path(X[rows][split != fold], y[rows][split != fold]).at(found.lambdas[[30]])
        p = expit(X[rows][split == fold] @ coefs[0] + intercepts)
        deviance[split == fold] = -2 * np.log(np.where(y[rows][split == fold] == 1, p, 1 - p))
    assert cross_validate(X[rows], y[rows], split).cvm[30] == pytest.approx(deviance.mean(), abs=STEP)
