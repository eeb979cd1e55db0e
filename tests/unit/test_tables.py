import numpy as np
import pandas as pd
import pytest

from lesion_tables import lesions, outcome, signal, survival_signal
from nenflow.models.cox import fit_cox, profile_interval
from nenflow.models.logistic import fit_logistic, likelihood_ratio
from nenflow.models.steps import Terms
from nenflow.models.tables import multivariable_table, univariable_table

COLUMNS = ["variable", "odds_ratio", "low", "high", "p", "coefficient", "se", "test", "method"]
ADDED = ["wald_low", "wald_high", "term", "term_p"]


def test_odds_ratios_alone_and_together():
    X, y = signal()
    X = X[["f2", "f7", "age"]]
    alone, joint = univariable_table(X, y), multivariable_table(X, y)
    assert list(alone.columns) == list(joint.columns) == [*COLUMNS, *ADDED]
    assert joint["variable"].tolist() == ["intercept", "f2", "f7", "age"]
    fit = fit_logistic(X.to_numpy(), y)
    np.testing.assert_allclose(joint["odds_ratio"], np.exp(fit.coef), rtol=1e-12)
    np.testing.assert_allclose(joint["p"], fit.p, rtol=1e-12)
    # a symmetric interval on the log scale, 1.959964 standard errors wide
    width = np.log(joint["wald_high"] / joint["wald_low"])
    np.testing.assert_allclose(width, 2 * 1.959963984540054 * fit.se, rtol=1e-12)
    assert (joint["low"] < joint["odds_ratio"]).all()
    assert (joint["odds_ratio"] < joint["high"]).all()
    for name in X.columns:
        single = fit_logistic(X[[name]].to_numpy(), y)
        row = alone.set_index("variable").loc[name]
        assert row["odds_ratio"] == pytest.approx(np.exp(single.coef[1]), rel=1e-12)
        assert row["p"] == row["term_p"] == pytest.approx(single.p[1], rel=1e-12)


def test_hazard_ratios_alone_and_together():
    X, y = survival_signal()
    X, time, event = X[["f2", "f7", "age"]], y["time"].to_numpy(), y["event"].to_numpy()
    joint = multivariable_table(X, y).set_index("variable")
    assert list(joint.columns) == ["hazard_ratio", *COLUMNS[2:], *ADDED]
    assert joint.index.tolist() == ["f2", "f7", "age"]
    fit = fit_cox(X.to_numpy(), time, event)
    np.testing.assert_allclose(joint["hazard_ratio"], np.exp(fit.coef), rtol=1e-12)
    np.testing.assert_allclose(joint["p"], fit.p, rtol=1e-12)
    ends = [np.exp(profile_interval(X.to_numpy(), time, event, j)) for j in range(3)]
    np.testing.assert_allclose(joint[["low", "high"]], ends, rtol=1e-9)
    alone = univariable_table(X, y).set_index("variable")
    assert alone.loc["f7", "coefficient"] == pytest.approx(fit_cox(X[["f7"]].to_numpy(), time, event).coef[0])


def test_columns_of_a_term_share_one_regression_and_one_p():
    X, y = signal()
    table = X[["f2"]].assign(race=np.random.default_rng(2).integers(1, 4, size=90))
    wide = Terms(factors={"race": ["white", "black", "other"]}).fit(table).transform(table)
    alone = univariable_table(wide, y).set_index("variable")
    race = alone.loc[["race=black", "race=other"]]
    fit = fit_logistic(wide[["race=black", "race=other"]].to_numpy(), y)
    np.testing.assert_allclose(race["coefficient"], fit.coef[1:], rtol=1e-12)
    np.testing.assert_allclose(race["p"], fit.p[1:], rtol=1e-12)
    assert race["term"].tolist() == ["race", "race"]
    assert race["term_p"].iloc[0] == race["term_p"].iloc[1]
    # in large samples Wald's joint test and the likelihood ratio's come to much the same
    ratio = likelihood_ratio(wide.to_numpy()[:, 1:], y, [0, 1])
    assert race["term_p"].iloc[0] == pytest.approx(ratio, rel=0.1)
    # which level is the reference changes rows, but not the term's p
    other = Terms(factors={"race": ["other", "white", "black"]})
    turned = table.assign(race=table["race"].map({1: 2, 2: 3, 3: 1}))
    turned = univariable_table(other.fit(turned).transform(turned), y).set_index("variable")
    assert turned.loc["race=white", "term_p"] == pytest.approx(race["term_p"].iloc[0], rel=1e-9)


def test_separated_table_is_firths():
    rng = np.random.default_rng(5)
    score = np.concatenate([rng.uniform(-2, -0.2, 20), rng.uniform(0.2, 2, 40)])
    X = lesions({"Radscore": score})
    y = outcome(np.repeat([0, 1], [20, 40]), X)
    row = univariable_table(X, y).iloc[0]
    assert row["method"] == "Firth's penalised likelihood"
    assert row["test"] == "likelihood ratio (separated)"
    assert np.isfinite(row[["low", "high", "wald_low", "wald_high"]].to_numpy(float)).all()
    joint = multivariable_table(X, y).set_index("variable")
    assert set(joint["test"]) == {"penalised likelihood ratio"}
    assert joint.loc["Radscore", "p"] == likelihood_ratio(X.to_numpy(), y, 0, firth=True)
    assert joint.loc["intercept", "p"] == likelihood_ratio(X.to_numpy(), y, -1, firth=True)


def test_variable_without_variation_has_no_ratio():
    X, y = signal()
    table = univariable_table(X[["f2"]].assign(sex=1.0), y).set_index("variable")
    assert table.loc["sex", ["odds_ratio", "low", "high", "wald_low", "wald_high"]].isna().all()
    assert table.loc["sex", "p"] == 1


def test_imputed_tables_have_wald_intervals_by_rubins_rules():
    X, y = signal()
    X = X[["f2", "age"]].copy()
    X.iloc[::9, 1] = np.nan
    joint = multivariable_table(X, y, imputations=5, seed=1)
    assert joint["variable"].tolist() == ["intercept", "f2", "age"]
    pd.testing.assert_series_equal(joint["low"], joint["wald_low"], check_names=False)
    pd.testing.assert_frame_equal(joint, multivariable_table(X, y, imputations=5, seed=1))
    assert not joint.equals(multivariable_table(X, y, imputations=5, seed=2))
