import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu, ttest_ind

from nenflow.errors import InputError
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.markers import rate_markers, refuse_unknown
from nenflow.models.cox import fit_cox


def _units(n):
    return pd.MultiIndex.from_tuples([(f"P{i:02d}", "tumour") for i in range(n)], names=["patient", "region"])


def test_a_marker_that_is_lower_in_events_is_turned_round():
    y = pd.Series([1, 1, 0, 0, 0], index=_units(5))
    X = pd.DataFrame({"down": [1.0, 3.0, 2.0, 4.0, 5.0]}, index=_units(5))
    found = rate_markers(X, y).loc["down"]
    # of 6 pairs the event is lower in 5
    assert (found["direction"], found["auc"]) == ("lower", pytest.approx(5 / 6))
    # best cut-off 3.5: both events below it (sensitivity 1), two of three others above
    assert found["threshold"] == pytest.approx(3.5)
    assert (found["sensitivity"], found["specificity"]) == (1.0, pytest.approx(2 / 3))
    # exact distribution of the rank sum 1 + 3 of 2 out of 5: P(sum <= 4) = 2/10, doubled
    assert found["p"] == pytest.approx(0.4)


def test_adjusted_p_by_hand():
    index = _units(8)
    y = pd.Series([0] * 4 + [1] * 4, index=index)
    far = 1e6  # a value so far off makes its group no normal one, and leaves the ranks as they are
    X = pd.DataFrame(
        {
            "a": [-far, 2, 3, 4, 5, 6, 7, far],
            "b": [-far, 2, 3, 5, 4, 6, 7, far],
            "c": [-far, 4, 5, 8, 2, 3, 6, far],
            "d": 5.0,
        },
        index=index,
    )
    found = rate_markers(X, y)
    assert found["test"].tolist() == ["Mann-Whitney"] * 3 + [""]
    p = found["p"]
    # exact p: rank sums of 4 of 8 -> 2/70 for complete separation, 4/70 for one swap
    assert (p["a"], p["b"]) == (pytest.approx(2 / 70), pytest.approx(4 / 70))
    assert found.loc["a", "p_bonferroni"] == pytest.approx(6 / 70)  # three rated markers, the constant one not counted
    assert found.loc["b", "p_fdr"] == pytest.approx(min(1, 3 * (4 / 70) / 2))
    assert found.loc["c", "p_bonferroni"] == 1.0


def everolimus(features=107, seed=3):
    """The geometry of the everolimus study: 15 and 10 patients, whose features tell nothing."""
    rng = np.random.default_rng(seed)
    y = pd.Series([0] * 15 + [1] * 10, index=_units(25))
    return pd.DataFrame(rng.normal(size=(25, features)), index=y.index).add_prefix("f"), y


def test_bonferroni_of_107_features_needs_a_p_under_0_000467():
    X, y = everolimus()
    X["f0"] += 4 * y  # one that does tell
    found = rate_markers(X, y)
    assert len(found) == 107
    np.testing.assert_allclose(found["p_bonferroni"], np.minimum(1, 107 * found["p"]), rtol=1e-12)
    assert round(0.05 / 107, 6) == 0.000467
    assert ((found["p_bonferroni"] < 0.05) == (found["p"] < 0.05 / 107)).all()
    assert 0 < (found["p_bonferroni"] < 0.05).sum() < 107


def test_several_phases_are_corrected_each_for_its_own_features():
    X, y = everolimus()
    both = pd.concat([X.add_prefix("arterial_"), 2 * X.iloc[:, :50].add_prefix("portal_")], axis=1)
    found = rate_markers(both, y, phases=["arterial", "portal"])
    arterial, portal = found.iloc[:107], found.iloc[107:]
    np.testing.assert_allclose(arterial["p_bonferroni"], np.minimum(1, 107 * arterial["p"]))
    np.testing.assert_allclose(portal["p_bonferroni"], np.minimum(1, 50 * portal["p"]))
    assert rate_markers(X, y)["p_fdr"].tolist() == arterial["p_fdr"].tolist()


def test_the_test_follows_the_distribution_and_the_groups_are_described():
    X, y = everolimus(features=1)
    X["skewed"] = np.exp(4 * X["f0"])
    found = rate_markers(X, y)
    assert found["test"].tolist() == ["Welch's t", "Mann-Whitney"]
    first, second = X.loc[(y == 1).to_numpy(), "f0"], X.loc[(y == 0).to_numpy(), "f0"]
    row = found.loc["f0"]
    assert row["p"] == pytest.approx(ttest_ind(first, second, equal_var=False).pvalue)
    assert rate_markers(X, y, t_test="student").loc["f0", "p"] == pytest.approx(ttest_ind(first, second).pvalue)
    assert [row["event_mean"], row["event_sd"]] == pytest.approx([first.mean(), first.std()])
    assert [row["other_median"], row["other_q1"], row["other_q3"]] == pytest.approx(
        second.quantile([0.5, 0.25, 0.75]).tolist()
    )
    skewed = X.loc[:, "skewed"].groupby(y.to_numpy()).apply(list)
    assert found.loc["skewed", "p"] == pytest.approx(mannwhitneyu(skewed[0], skewed[1], method="exact").pvalue)


def test_sensitivity_and_specificity_are_shares_of_the_groups():
    X, y = everolimus()
    found = rate_markers(X.drop(index=X.index[0]), y.drop(index=y.index[0]))  # 14 and 10, as in print
    for column, number in (("sensitivity", 10), ("specificity", 14)):
        shares = found[column] * number
        np.testing.assert_allclose(shares, shares.round(), atol=1e-9)
        assert not np.allclose(found[column] * 9, (found[column] * 9).round())
    # what the paper prints of its larger group fits 14 patients and not 15
    for printed in (78.6, 71.4, 42.9):
        assert any(abs(100 * k / 14 - printed) < 0.05 for k in range(15))
        assert not any(abs(100 * k / 15 - printed) < 0.05 for k in range(16))


def test_a_feature_that_is_not_there_is_refused_by_name():
    X, _ = everolimus(features=2)
    refuse_unknown(X, ["f1"])
    with pytest.raises(InputError, match=r"no feature 'f9'.*called like f0"):
        refuse_unknown(X, ["f1", "f9"])


def test_what_cannot_be_rated_says_why():
    index = _units(6)
    y = pd.Series([0, 0, 0, 1, 1, 1], index=index)
    X = pd.DataFrame(
        {
            "constant": 2.0,
            "nearly": [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3],
            "absent": [1.0, 2.0, 3.0, np.nan, np.nan, np.nan],
            "perfect": [1, 2, 3, 4, 5, 6],
            "tiny": [1e-15, 2e-15, 5e-15, 3e-15, 4e-15, 6e-15],
            "gap": [1.0, 2.0, np.nan, 4.0, 0.0, 6.0],
        },
        index=index,
    )
    found = rate_markers(X, y)
    assert list(found.index) == list(X.columns)
    assert found.loc["constant", "reason"] == found.loc["nearly", "reason"] == "constant"
    assert np.isnan(found.loc["constant", "auc"])
    assert np.isnan(found.loc["constant", "p_fdr"])
    assert "same outcome" in found.loc["absent", "reason"]
    assert (found.loc["perfect", "auc"], found.loc["perfect", "reason"]) == (
        1.0,
        "no interval: the classes are separated",
    )
    assert found.loc["tiny", "auc"] == pytest.approx(7 / 9)
    assert 3e-15 > found.loc["tiny", "threshold"] > 2e-15
    assert (found.loc["gap", "n"], found.loc["gap", "auc"]) == (5, pytest.approx(4 / 6))


def test_noise_is_not_significant_after_adjustment():
    # the geometry of the sarcoma study: 12 patients, 4 events, 107 features
    rng = np.random.default_rng(5)
    y = pd.Series([1] * 4 + [0] * 8, index=_units(12))
    X = pd.DataFrame(rng.normal(size=(12, 107)), index=y.index).add_prefix("f")
    found = rate_markers(X, y)
    assert (found["auc"] >= 0.5).all()
    assert found["auc"].max() > 0.85  # the best of 107 noise features looks excellent
    assert found["p_fdr"].min() > 0.05  # and is not


def test_refusals():
    y = pd.Series([0, 1, 2], index=_units(3))
    with pytest.raises(InputError, match="other than 0 and 1"):
        rate_markers(pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=_units(3)), y)
    with pytest.raises(ValueError, match="different units"):
        rate_markers(pd.DataFrame({"a": [1.0, 2.0]}, index=_units(2)), y)


def _followed(n=40):
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"risky": rng.normal(size=n), "noise": rng.normal(size=n), "flat": 1.0}, index=_units(n))
    time = np.ceil(rng.exponential(10 * np.exp(-X["risky"])))
    return X, pd.DataFrame({"time": time, "event": rng.integers(0, 2, n)}, index=X.index)


def test_markers_of_a_time_to_event():
    X, y = _followed()
    X["safe"] = -3 * X["risky"] + 7
    found = rate_markers(X, y)
    risky, safe = found.loc["risky"], found.loc["safe"]
    fit = fit_cox((X[["risky"]] / X["risky"].std()).to_numpy(), y["time"], y["event"])
    assert risky["hazard_ratio"] == pytest.approx(np.exp(fit.coef[0]))
    assert risky["c"] == pytest.approx(harrell_c(y["time"], y["event"], X["risky"])["c"])
    assert (risky["direction"], safe["direction"]) == ("higher", "lower")
    # turned round and rescaled: the same C and p, the inverse ratio
    for name in ("c", "c_low", "c_high", "p"):
        assert safe[name] == pytest.approx(risky[name]), name
    assert (safe["hazard_ratio"], safe["low"]) == (
        pytest.approx(1 / risky["hazard_ratio"]),
        pytest.approx(1 / risky["high"]),
    )
    assert found.loc["flat", "reason"] == "constant"
    assert found["p_bonferroni"].dropna().tolist() == pytest.approx((found["p"].dropna() * 3).clip(upper=1).tolist())


def test_a_marker_that_foretells_every_event_has_no_hazard_ratio():
    index = _units(6)
    y = pd.DataFrame({"time": [1.0, 2, 3, 4, 5, 6], "event": 1}, index=index)
    found = rate_markers(pd.DataFrame({"exact": [6.0, 5, 4, 3, 2, 1]}, index=index), y).loc["exact"]
    assert (found["c"], found["direction"]) == (1.0, "higher")
    assert "without error" in found["reason"]
    assert np.isnan(found["hazard_ratio"])
    assert found["p"] < 0.05
