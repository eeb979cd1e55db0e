from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from statsmodels.stats.outliers_influence import variance_inflation_factor

from lesion_tables import signal, survival_signal
from nenflow.errors import InputError
from nenflow.models.logistic import fit_logistic
from nenflow.models.selection import (
    aic,
    backward,
    backward_aic,
    events_per_variable,
    fast_backward,
    forward,
    forward_aic,
    term_tests,
    variance_inflation,
)
from nenflow.models.steps import Terms

DATA = {"logistic": signal, "cox": survival_signal}


@pytest.fixture(params=DATA)
def data(request):
    X, y = DATA[request.param]()
    return X[["f0", "f1", "f2", "f7", "age"]], y


def test_joint_wald_is_the_chi_square_of_all_columns_of_a_term():
    X, y = signal()
    race = np.random.default_rng(2).integers(1, 4, size=90)
    table = X[["f2"]].assign(race=race)
    wide = Terms(factors={"race": ["white", "black", "other"]}).fit(table).transform(table)
    fit = fit_logistic(wide.to_numpy(), y)
    assert list(wide.columns) == ["f2", "race=black", "race=other"]
    b, V = fit.coef[2:], fit.covariance[2:, 2:]
    tests = term_tests(wide, y)
    assert tests["race"]["p"] == pytest.approx(chi2.sf(b @ np.linalg.inv(V) @ b, 2), rel=1e-9)
    assert tests["race"] | {"p": 0} == {"p": 0, "coefficient": None, "test": "Wald", "df": 2}
    assert tests["f2"] == {"p": fit.p[1], "coefficient": fit.coef[1], "test": "Wald"}


def test_a_term_that_is_partly_a_combination_of_others_has_fewer_df():
    X, y = signal()
    race = np.random.default_rng(2).integers(1, 4, size=90)
    table = X[["f2"]].assign(black=(race == 2).astype(float), race=race)
    wide = Terms(factors={"race": ["white", "black", "other"]}).fit(table).transform(table)
    tests = term_tests(wide, y)
    assert tests["race"]["df"] == 1
    assert tests["race"]["p"] == pytest.approx(fit_logistic(wide.drop(columns="race=black").to_numpy(), y).p[3])
    # nothing is left of it beside two columns that say the same
    doubled = wide.assign(other=wide["race=other"])[["f2", "black", "other", "race=black", "race=other"]]
    assert term_tests(doubled, y)["race"] == {"p": 1.0, "coefficient": None, "test": "no variation", "df": 0}


def test_backward_by_aic_ends_where_no_single_removal_helps(data):
    X, y = data
    kept, removed = backward_aic(X, y)
    best = aic(X[kept], y)
    assert [row["aic"] for row in removed] == sorted((row["aic"] for row in removed), reverse=True)
    if removed:
        assert removed[-1]["aic"] == best
    assert all(aic(X[[name for name in kept if name != gone]], y) >= best for gone in kept)


def test_forward_by_aic_ends_where_no_single_addition_helps(data):
    X, y = data
    kept, added = forward_aic(X, y)
    assert {row["variable"] for row in added} == set(kept)
    assert kept == [name for name in X if name in kept]
    best = aic(X[kept], y)
    assert added[-1]["aic"] == pytest.approx(best, rel=1e-12)  # columns in another order
    assert all(aic(X[[*kept, name]], y) >= best for name in X if name not in kept)


def test_aic_is_never_better_elsewhere_than_where_all_subsets_are_searched(data):
    X, y = data
    every = [list(names) for size in range(6) for names in combinations(X.columns, size)]
    best = min(aic(X[names], y) for names in every)
    found = min(aic(X[kept], y) for kept, _ in (backward_aic(X, y), forward_aic(X, y)))
    assert found == pytest.approx(best, abs=1e-9)


def test_by_p_all_that_stay_are_significant_and_all_that_went_were_not(data):
    X, y = data
    kept, removed = backward(X, y, 0.05)
    assert all(test["p"] <= 0.05 for test in term_tests(X[kept], y).values())
    assert all(row["p"] > 0.05 for row in removed)
    kept, added = forward(X, y, 0.05)
    assert all(row["p"] < 0.05 for row in added)
    for name in set(X.columns) - set(kept):
        assert term_tests(X[[*kept, name]], y)[name]["p"] >= 0.05
    assert forward(X, y, 0.0) == ([], [])
    assert backward(X, y, 1.0) == (list(X.columns), [])


def test_separated_terms_of_several_columns_are_judged_by_the_likelihood_ratio():
    rng = np.random.default_rng(7)
    level = rng.integers(1, 4, size=60)
    X = pd.DataFrame({"level": level, "x": rng.normal(size=60)})
    y = pd.Series((level == 3) | ((level == 2) & (rng.random(60) < 0.5))).astype(int)
    wide = Terms(factors={"level": ["a", "b", "c"]}).fit(X).transform(X)
    test = term_tests(wide, y)["level"]
    without = fit_logistic(wide[["x"]].to_numpy(), y).log_likelihood
    drop = 2 * (fit_logistic(wide.to_numpy(), y).log_likelihood - without)
    assert test["test"] == "likelihood ratio (separated)"
    assert test["p"] == pytest.approx(chi2.sf(drop, 2), rel=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_fast_backward_is_exact_for_a_linear_model(seed):
    """Least squares: conditioning on zero is the same as leaving out, so each p can be had by fitting anew."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4))
    y = X[:, 0] + rng.normal(size=60) * 3
    centred = X - X.mean(axis=0)
    V = 9.0 * np.linalg.inv(centred.T @ centred)
    coef = V @ centred.T @ (y - y.mean()) / 9
    names = list("abcd")
    kept, removed = fast_backward(coef, V, names, 0.2)
    left, expected = names.copy(), []
    while left:
        part = centred[:, [names.index(name) for name in left]]
        W = 9.0 * np.linalg.inv(part.T @ part)
        z2 = (W @ part.T @ (y - y.mean()) / 9) ** 2 / np.diag(W)
        p = chi2.sf(z2, 1)
        if p.max() <= 0.2:
            break
        expected.append(left.pop(int(p.argmax())))
    assert (kept, removed) == (left, expected)


def test_events_per_variable():
    y = pd.Series([1] * 30 + [0] * 70)
    assert events_per_variable(y, ["a", "b", "c"]) == 10
    assert events_per_variable(1 - y, ["a", "b", "c"]) == 10
    times = pd.DataFrame({"time": np.arange(1.0, 101), "event": [1] * 20 + [2] * 30 + [0] * 50})
    assert events_per_variable(times, ["a", "b"]) == 10
    assert events_per_variable(y, []) == np.inf


def test_variance_inflation_of_single_columns_is_that_of_statsmodels():
    X, _ = signal()
    X = X[["f0", "f1", "age"]].assign(mixed=X["f0"] + 0.3 * X["f1"] + 0.2 * X["f2"])
    table = variance_inflation(X).set_index("variable")
    design = np.column_stack([np.ones(90), X.to_numpy()])
    expected = [variance_inflation_factor(design, j) for j in range(1, 5)]
    np.testing.assert_allclose(table["vif"], expected, rtol=1e-9)
    np.testing.assert_allclose(table["per_df"], expected, rtol=1e-9)


def test_variance_inflation_of_a_factor_does_not_depend_on_its_reference():
    X, _ = signal()
    race = 1 + (X["f0"] > 0.5).astype(int) + (X["f0"] > -0.5).astype(int)
    levels = ["white", "black", "other"]
    table = X[["f0", "f1"]].assign(race=race)
    vif = variance_inflation(Terms(factors={"race": levels}).fit(table).transform(table)).set_index("variable")
    turned = table.assign(race=race.map({1: 2, 2: 3, 3: 1}))
    other = Terms(factors={"race": ["other", "white", "black"]}).fit(turned).transform(turned)
    np.testing.assert_allclose(variance_inflation(other)["vif"], vif["vif"], rtol=1e-9)
    assert vif.loc["race", "df"] == 2
    assert vif.loc["race", "per_df"] == pytest.approx(vif.loc["race", "vif"] ** 0.5)
    assert vif.loc["race", "vif"] > 2


def test_variance_inflation_of_columns_that_say_the_same_or_nothing():
    X, _ = signal()
    table = variance_inflation(X[["f0", "f1"]].assign(twice=2 * X["f0"], sex=1.0)).set_index("variable")
    assert table.loc["f0", "vif"] == table.loc["twice", "vif"] == np.inf
    assert np.isnan(table.loc["sex", "vif"])
    assert 1 <= table.loc["f1", "vif"] < 1.5
    assert variance_inflation(X[["f0"]])["vif"].tolist() == [1.0]


def test_a_regression_of_as_many_variables_as_units_is_refused():
    wide = pd.DataFrame(np.random.default_rng(2).normal(size=(12, 12))).add_prefix("w")
    outcome = pd.Series([0, 1] * 6)
    for eliminate in (lambda table: backward(table, outcome, 0.05), lambda table: backward_aic(table, outcome)):
        with pytest.raises(InputError, match=r"regression of 12 variables needs more units, and there are 12"):
            eliminate(wide)
    # a resample repeats units: twenty rows of ten units hold no more than ten do
    drawn = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] * 2
    with pytest.raises(InputError, match="there are 10"):
        backward(wide.iloc[drawn, :10], outcome.iloc[drawn], 0.05)
    kept, _ = forward(wide, outcome, 0.05)  # which starts with none
    assert len(kept) < 12
