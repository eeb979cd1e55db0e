import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.cox import fit_cox
from nenflow.models.logistic import fit_logistic
from nenflow.models.missing import (
    apply_imputer,
    fit_imputer,
    fit_pooled,
    impute,
    missing_table,
    pool,
)

EXACT = 1e-10


def cohort(n=120, seed=0):
    """Two related variables, a factor of three levels, a curved term, and an outcome that depends on them."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, n)
    size = 0.3 * age + rng.normal(0, 3, n)
    grade = rng.integers(0, 3, n)
    X = pd.DataFrame(
        {"age": age, "age'": (age - 60) ** 2, "size": size, "g=2": grade == 1, "g=3": grade == 2}, dtype=float
    )
    X.index = pd.MultiIndex.from_arrays([[f"P{i // 2}" for i in range(n)], range(n)], names=["patient", "region"])
    chance = 1 / (1 + np.exp(-((age - 60) / 10 + (size - 18) / 3)))
    return X, pd.Series((rng.random(n) < chance).astype(int), index=X.index)


def with_gaps(X, share=0.2, seed=1):
    rng = np.random.default_rng(seed)
    X = X.copy()
    X.loc[rng.random(len(X)) < share, ["age", "age'"]] = np.nan
    X.loc[rng.random(len(X)) < share, ["g=2", "g=3"]] = np.nan
    return X


# ---- what is missing


def test_missing_values_are_counted_by_rows_and_patients():
    X = cohort(6)[0]
    X.iloc[[0, 1, 4], 0] = np.nan
    X.iloc[5, 2] = np.nan
    assert missing_table(X).to_numpy().tolist() == [
        ["age", 3, 0.5, 2],
        ["size", 1, 1 / 6, 1],
        ["any of them", 4, 4 / 6, 2],
    ]
    assert missing_table(X.reset_index(drop=True))["patients"].tolist() == [3, 1, 4]
    assert missing_table(cohort(6)[0]).empty


# ---- chained equations


def test_known_values_stay_and_imputed_ones_occur():
    X, y = cohort()
    gaps = with_gaps(X)
    known = gaps.notna().to_numpy()
    for table in impute(gaps, y, 3, seed=1):
        assert table.index.equals(X.index)
        assert (table.to_numpy()[known] == gaps.to_numpy()[known]).all()
        assert set(table["age"]) <= set(gaps["age"].dropna())


def test_columns_of_a_term_come_from_one_row():
    X, y = cohort()
    for table in impute(with_gaps(X), y, 3, seed=1):
        assert table["age'"].to_numpy() == pytest.approx((table["age"].to_numpy() - 60) ** 2)
        assert (table["g=2"] + table["g=3"]).max() == 1


def test_the_seed_decides_and_each_table_differs():
    X, y = cohort()
    gaps = with_gaps(X)
    first, again, other = impute(gaps, y, 2, 1), impute(gaps, y, 5, 1), impute(gaps, y, 2, 2)
    pd.testing.assert_frame_equal(first[1], again[1])
    assert not first[0].equals(first[1])
    assert not first[0].equals(other[0])


def test_a_variable_of_the_patient_is_imputed_once():
    X, y = cohort()
    X["age"] = X.groupby("patient")["age"].transform("first")
    gaps = X[["age", "size"]].copy()
    gaps.iloc[[0, 1, 10, 11, 30, 31], 0] = np.nan
    age = impute(gaps, y, 1, 3)[0]["age"]
    assert (age == age.groupby("patient").transform("first")).all()
    # A variable that differs within patients is the lesion's, and so are its imputed values.
    gaps.iloc[:40, 1] = np.nan
    size = impute(gaps, y, 1, 3)[0]["size"]
    assert (size != size.groupby("patient").transform("first"))[:40].any()


def test_imputed_values_follow_the_other_variables_and_the_outcome():
    rng = np.random.default_rng(5)
    n = 600
    x = rng.normal(size=n)
    y = pd.Series((rng.random(n) < 1 / (1 + np.exp(-2 * x))).astype(int))
    X = pd.DataFrame({"x": x, "z": x + rng.normal(0, 0.5, n)})
    gaps = X.copy()
    gaps.loc[rng.random(n) < 0.4, "x"] = np.nan
    lost = gaps["x"].isna().to_numpy()
    table = np.mean([t["x"].to_numpy() for t in impute(gaps, y, 10, 1)], axis=0)
    assert np.corrcoef(table[lost], x[lost])[0, 1] > 0.85
    alone = impute(gaps[["x"]], y, 10, 1)
    events = y.to_numpy() == 1
    gap = np.mean([t["x"][lost & events].mean() - t["x"][lost & ~events].mean() for t in alone])
    assert gap == pytest.approx(x[lost & events].mean() - x[lost & ~events].mean(), abs=0.25)


def test_time_and_event_take_part():
    rng = np.random.default_rng(2)
    n = 500
    x = rng.normal(size=n)
    time = rng.exponential(np.exp(-x))
    y = pd.DataFrame({"time": np.minimum(time, 2), "event": (time < 2).astype(int)})
    gaps = pd.DataFrame({"x": x})
    gaps.loc[rng.random(n) < 0.4, "x"] = np.nan

    def fit(values, y):
        return fit_cox(values, y["time"].to_numpy(), y["event"].to_numpy())

    full, pooled = fit(x[:, None], y), fit_pooled(gaps, y, fit, 10, 1)
    assert pooled.coef[0] == pytest.approx(full.coef[0], abs=2 * pooled.se[0])
    assert full.se[0] < pooled.se[0] < 2 * full.se[0]
    assert type(pooled) is type(full)
    # A competing event is told apart from censoring.
    other = y.assign(event=np.where(y["event"] == 0, 2, y["event"]))
    assert not impute(gaps, y, 1, 1)[0].equals(impute(gaps, other, 1, 1)[0])


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(-100, 100), st.floats(0.01, 100))
def test_the_unit_of_a_variable_does_not_matter(seed, shift, scale):
    X, y = cohort(40, seed)
    gaps = with_gaps(X, 0.2, seed)
    first = impute(gaps, y, 1, 7)[0]
    again = impute(gaps.assign(size=scale * gaps["size"] + shift), y, 1, 7)[0]
    pd.testing.assert_frame_equal(first.drop(columns="size"), again.drop(columns="size"))


@pytest.mark.parametrize("case", ["constant", "collinear", "few rows", "one known value", "ties"])
def test_awkward_tables_are_completed(case):
    X, y = cohort(40)
    X = X[["age", "size"]].copy()
    if case == "constant":
        X["size"] = 3.0
    if case == "collinear":
        X["twice"] = 2 * X["size"]
    if case == "few rows":
        X, y = X.iloc[:6].assign(**{f"v{j}": np.arange(6.0) == j for j in range(6)}).astype(float), y.iloc[:6]
    if case == "ties":
        X[:] = np.round(X / 30)
    X.iloc[slice(1, None) if case == "one known value" else slice(3, None, 4), 0] = np.nan
    for table in impute(X, y, 2, 1):
        assert table.notna().all(axis=None)


def test_nothing_missing_is_nothing_imputed():
    X, y = cohort(30)
    assert impute(X, y, 5, 1) == [X]
    y.iloc[:2] = [0, 1]
    fit, plain_fit = fit_pooled(X, y, fit_logistic, 5, 1), fit_logistic(X.to_numpy(), y)
    assert (fit.coef == plain_fit.coef).all()


def test_missing_values_are_refused_where_no_imputation_is_wanted():
    X, y = cohort()
    with pytest.raises(InputError, match=r"4 variable.* the first being age, have missing values"):
        impute(with_gaps(X), y, 0, 1)
    with pytest.raises(InputError, match="The variable g has no value in any row"):
        impute(X.assign(**{"g=2": np.nan, "g=3": np.nan}), y, 5, 1)


# ---- Rubin's rules


def test_pooling_by_hand():
    coefs, variances = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.6, 0.7])
    pooled = pool(coefs[:, None], variances[:, None, None], freedom=50)
    total = 0.6 + (1 + 1 / 3) * 1.0
    ratio, share = (4 / 3) / 0.6, (4 / 3) / total
    rubin, observed = 2 / share**2, 51 / 53 * 50 * (1 - share)
    df = rubin * observed / (rubin + observed)
    assert pooled.coef[0] == 2
    assert pooled.covariance[0, 0] == pytest.approx(total, rel=EXACT)
    assert pooled.df[0] == pytest.approx(df, rel=EXACT)
    assert pooled.fmi[0] == pytest.approx((ratio + 2 / (df + 3)) / (ratio + 1), rel=EXACT)
    assert pool(coefs[:, None], variances[:, None, None]).df[0] == pytest.approx(rubin, rel=EXACT)


def test_tables_that_agree_pool_to_one_of_them():
    covariance = np.array([[1.0, 0.3], [0.3, 2.0]])
    pooled = pool(np.tile([1.0, -2.0], (5, 1)), np.tile(covariance, (5, 1, 1)))
    assert pooled.covariance == pytest.approx(covariance, rel=EXACT)
    assert pooled.fmi.tolist() == [0, 0]
    assert pooled.df.tolist() == [np.inf, np.inf]
    assert pooled.p == pytest.approx([0.31731051, 0.15729921], rel=1e-6)  # of the normal distribution


@given(st.integers(0, 2**31), st.integers(2, 8))
def test_pooling_does_not_depend_on_order_and_never_gains_precision(seed, tables):
    rng = np.random.default_rng(seed)
    coefs = rng.normal(size=(tables, 3))
    roots = rng.normal(size=(tables, 3, 3))
    covariances = roots @ roots.transpose(0, 2, 1) + np.eye(3)
    pooled, turned = pool(coefs, covariances, 100), pool(coefs[::-1], covariances[::-1], 100)
    for part in ("coef", "covariance", "se", "df", "p", "fmi"):
        assert getattr(pooled, part) == pytest.approx(getattr(turned, part))
    assert (pooled.se**2 >= np.diag(covariances.mean(axis=0)) - 1e-12).all()
    assert ((pooled.fmi > 0) & (pooled.fmi <= 1)).all()
    assert (pooled.df <= 100).all()


def test_pooled_fits_are_unbiased_and_honest_about_their_precision():
    X, y = cohort(400, seed=3)
    X = X[["age", "size"]]
    gaps = X.copy()
    gaps.loc[np.random.default_rng(1).random(len(X)) < 0.3, "age"] = np.nan
    full, pooled = fit_logistic(X.to_numpy(), y), fit_pooled(gaps, y, fit_logistic, 20, 1)
    assert pooled.coef[1:] == pytest.approx(full.coef[1:], abs=2 * pooled.se[1:].max())
    assert pooled.se[1] > full.se[1]
    assert pooled.linear_predictor(X.to_numpy()).shape == (400,)
    assert not pooled.separated
    assert not pooled.aliased.any()


def test_separation_and_aliasing_are_passed_on():
    X, y = cohort(40)
    X = X[["age"]].assign(constant=1.0, score=10 * y + np.arange(40) / 100)
    X.iloc[::7, 0] = np.nan
    fit = fit_pooled(X, y, fit_logistic, 3, 1)
    assert fit.separated
    assert fit.aliased.tolist() == [False, False, True, False]
    assert (fit.coef[2], fit.p[2]) == (0, 1)
    assert np.isnan(fit.se[2])


# ---- predictions


def test_the_imputer_gives_regressions_on_what_is_known():
    X, y = cohort()
    document = fit_imputer(X, y, 5, 1)
    gaps = X.copy()
    gaps.iloc[4, 2] = np.nan
    others = X.drop(columns="size").to_numpy()
    design = np.column_stack([np.ones(len(X)), others])
    want = design[4] @ np.linalg.lstsq(design, X["size"].to_numpy(), rcond=None)[0]
    assert apply_imputer(document, gaps)["size"].iloc[4] == pytest.approx(want, rel=1e-8)
    assert document == plain(document)


def test_known_values_pass_and_rows_do_not_influence_each_other():
    X, y = cohort()
    gaps = with_gaps(X)
    document = fit_imputer(gaps, y, 5, 1)
    full = apply_imputer(document, gaps.assign(other="x"))
    assert full["other"].eq("x").all()
    known = gaps.notna()
    assert (full[X.columns].to_numpy()[known] == gaps.to_numpy()[known]).all()
    alone = pd.concat([apply_imputer(document, gaps.iloc[[i]]) for i in range(len(gaps))])
    pd.testing.assert_frame_equal(alone, full[X.columns], check_exact=True)
    assert full["g=2"].between(0, 1).all()
    assert full["age"].between(gaps["age"].min(), gaps["age"].max()).all()


def test_a_row_of_which_nothing_is_known_gets_the_means():
    X, y = cohort()
    nothing = pd.DataFrame(np.nan, index=[0], columns=X.columns)
    assert apply_imputer(fit_imputer(X, y, 1, 1), nothing).iloc[0].to_dict() == pytest.approx(X.mean().to_dict())


def test_a_variable_constant_in_training_is_no_obstacle():
    X, y = cohort()
    document = fit_imputer(X.assign(size=5.0), y, 1, 1)
    gaps = X.assign(size=np.nan)
    gaps.iloc[0, 0] = np.nan
    full = apply_imputer(document, gaps)
    assert full["size"].eq(5).all()
    assert full.notna().all(axis=None)


def test_a_lacking_column_is_named():
    X, y = cohort()
    with pytest.raises(InputError, match=r"lacks 1 variable.*size"):
        apply_imputer(fit_imputer(X, y, 1, 1), X.drop(columns="size"))
