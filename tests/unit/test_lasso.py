import numpy as np
import pandas as pd
import pytest

from nenflow.documents import read_json
from nenflow.errors import InputError
from nenflow.models.lasso import cross_validate, folds_of, lasso_path

EXACT = 1e-12  # closed forms: rounding only
STEP = 1e-6  # the last step that a threshold of 1e-12 allows
KKT = 1e-5  # relative breach of the conditions of a minimum that a threshold of 1e-12 leaves (a step of 1e-6)
# glmnet at 1e-12 stops coordinate descent before the minimum; how far, grows along the path and with correlation.
# Up to lambda.min it is this far from the minimum, in the deviance and in the score of a lesion:
GLMNET_CVM = 1e-6
GLMNET_SCORE = {"chain": 2e-6, "sonar": 2e-5}
GLMNET_DEEP = 1e-3  # and over the whole path in the deviance
NOISE = 0  # a seed whose noise selects nothing, as about four in ten do
R_DIGITS = 1e-9  # numbers that R computes directly, printed with 15 digits


@pytest.fixture(scope="module", params=["chain", "sonar"])
def case(request, golden):
    """Features, outcome and R's results: 131 lesions x 95 features, and 208 x 60 strongly correlated ones."""
    known = read_json(golden / f"{request.param}.json")
    if request.param == "chain":
        X = pd.read_csv(golden / "chain_features.csv.gz")[known["pruned"]].to_numpy()
        X = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
        y = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"].to_numpy()
    else:
        table = pd.read_csv(golden / "sonar.csv")
        X, y = table.drop(columns="mine").to_numpy(), table["mine"].to_numpy()
    return request.param, X, y, known["lasso"], cross_validate(X, y, np.array(known["lasso"]["fold"]))


def penalised(X, y, coefs, intercept, penalty):
    eta = X @ coefs + intercept
    return np.mean(np.logaddexp(0, np.where(y == 1, -eta, eta))) + penalty * np.abs(coefs * X.std(axis=0)).sum()


def test_grid_selection_and_early_stop_are_those_of_glmnet(case):
    _, _, _, known, found = case
    known = known["tight_thresh"]
    np.testing.assert_allclose(found.lambdas, known["lambda"], rtol=R_DIGITS)  # its length is the early stop
    assert (found.index_min + 1, found.index_1se + 1) == (known["index_min"], known["index_1se"])
    assert found.lambda_min == pytest.approx(known["lambda_min"], rel=R_DIGITS)
    assert found.lambda_1se == pytest.approx(known["lambda_1se"], rel=R_DIGITS)
    until = found.index_min + 1
    np.testing.assert_array_equal(found.df[:until], known["df"][:until])
    assert np.count_nonzero(found.df != known["df"]) <= 1  # one coefficient on the edge, deep in chain's path


def test_deviance_and_coefficients_are_those_of_glmnet(case):
    name, X, _, known, found = case
    known = known["tight_thresh"]
    until = found.index_min + 1
    np.testing.assert_allclose(found.cvm[:until], known["cvm"][:until], atol=GLMNET_CVM)
    np.testing.assert_allclose(found.cvsd[:until], known["cvsd"][:until], atol=GLMNET_CVM)
    np.testing.assert_allclose(found.cvm, known["cvm"], atol=GLMNET_DEEP)
    np.testing.assert_allclose(found.cvsd, known["cvsd"], atol=GLMNET_DEEP)
    np.testing.assert_allclose(found.dev_ratio, known["dev_ratio"], atol=1e-4)
    for rule, index in (("min", found.index_min), ("1se", found.index_1se)):
        score = X @ found.coefs[index] + found.intercepts[index]
        np.testing.assert_allclose(score, known[f"score_{rule}"], atol=GLMNET_SCORE[name])
    if name == "chain":
        chosen = found.coefs[found.index_min]
        np.testing.assert_allclose(chosen[chosen != 0], known["coef_min"]["coef"], atol=GLMNET_CVM)
        assert np.count_nonzero(chosen) == 7


def test_the_solution_is_the_minimum_along_the_whole_path(case):
    _, X, y, known, found = case
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    residual = y[:, None] - 1 / (1 + np.exp(-(X @ found.coefs.T + found.intercepts)))
    gradient, sign = (Z.T @ residual / len(y)).T, np.sign(found.coefs)
    penalty = found.lambdas[:, None]
    breach = np.where(sign != 0, np.abs(gradient - penalty * sign), np.maximum(np.abs(gradient) - penalty, 0))
    assert (breach / penalty).max() < KKT
    assert np.abs(residual.mean(axis=0)).max() < KKT
    # never worse than R, whose intercept is the best one for its coefficients
    for index, theirs in zip(known["tight_thresh"]["path_index"], known["tight_thresh"]["path_beta"], strict=True):
        k, theirs = index - 1, np.array(theirs)
        best = min(
            penalised(
                X, y, theirs, found.intercepts[k] + (X.mean(axis=0) @ (found.coefs[k] - theirs)) + shift, penalty[k, 0]
            )
            for shift in np.linspace(-0.01, 0.01, 41)
        )
        assert penalised(X, y, found.coefs[k], found.intercepts[k], penalty[k, 0]) <= best + EXACT


def test_given_penalties_are_used_in_every_fold(case):
    _, X, y, known, found = case
    given = cross_validate(X, y, np.array(known["fold"]), lambdas=found.lambdas)
    assert given.lambda_min == pytest.approx(known["cv_user_lambda"]["lambda_min"], rel=R_DIGITS)
    until = given.index_min + 1
    np.testing.assert_allclose(given.cvm[:until], known["cv_user_lambda"]["cvm"][:until], atol=GLMNET_CVM)
    assert np.abs(given.cvm - found.cvm).max() > 1e-4  # interpolation is something else


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
