import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from nenflow.cohort.units import labelled
from nenflow.evaluation.effects import median_groups, survival_effects
from nenflow.evaluation.groups import survival_tests
from nenflow.evaluation.sample_size import detectable_hazard_ratio
from nenflow.report.sections_effects import effect_blocks

LIKELIHOOD = 1e-5  # relative: lifelines stops its search earlier
PRECISE = {"precision": 1e-12}


def test_38_events_detect_a_hazard_ratio_of_2_48_in_two_equal_groups():
    assert round(detectable_hazard_ratio(38), 2) == 2.48
    closed_form = np.exp(2 * (1.959963984540054 + 0.8416212335729143) / np.sqrt(38))
    assert detectable_hazard_ratio(38) == pytest.approx(closed_form, rel=1e-12)


def test_unequal_groups_and_continuous_variables_follow_schoenfeld_and_hsieh():
    z = 1.959963984540054 + 0.8416212335729143
    assert detectable_hazard_ratio(38, 0.2) == pytest.approx(np.exp(z / np.sqrt(38 * 0.16)), rel=1e-12)
    assert detectable_hazard_ratio(38, 0.2) == detectable_hazard_ratio(38, 0.8)
    assert detectable_hazard_ratio(38, None) == pytest.approx(np.exp(z / np.sqrt(38)), rel=1e-12)
    # Schoenfeld's table: 5 % two-sided, 80 % power, hazard ratio 2: 65.3 deaths
    assert detectable_hazard_ratio(66) < 2 < detectable_hazard_ratio(65)
    assert np.isnan(detectable_hazard_ratio(0))
    assert np.isnan(detectable_hazard_ratio(10, 1.0))


def test_values_at_the_median_are_low():
    values = pd.DataFrame({"x": [1.0, 2, 2, 3, 9, np.nan], "flat": 5.0})
    groups = median_groups(values)
    assert list(groups["x"].cat.categories) == ["low (up to 2)", "high (over 2)"]
    assert groups["x"].tolist()[:5] == ["low (up to 2)"] * 3 + ["high (over 2)"] * 2
    assert pd.isna(groups["x"].iloc[5])
    assert set(groups["flat"]) == {"low (up to 5)"}


def cohort(beta=0.0, n=67, seed=3):
    rng = np.random.default_rng([seed, 0])
    x = rng.gamma(2, 10, n)
    time = rng.exponential(np.exp(-beta * (x - 20)))
    values = pd.DataFrame({"volume": x})
    return pd.DataFrame({"time": time + 0.01, "event": (rng.random(n) < 0.6).astype(int)}), values


def test_hazard_ratios_are_those_of_lifelines():
    y, values = cohort(0.03)
    sex = labelled(pd.Series(np.where(np.arange(67) % 3, "a", "b")), {"type": "categorical", "levels": ["a", "b"]})
    groups = {"sex": sex} | median_groups(values)
    table = survival_effects(y, groups, values)
    assert table["variable"].tolist() == ["", "sex", "volume", "volume"]
    standardised = (values["volume"] - values["volume"].mean()) / values["volume"].std()
    columns = [(sex == "b"), values["volume"] > values["volume"].median(), standardised]
    for (_, row), column in zip(table.iloc[1:].iterrows(), columns, strict=True):
        found = CoxPHFitter().fit(y.assign(x=column.astype(float)), "time", "event", fit_options=PRECISE)
        fit = found.summary.loc["x"]
        assert row["hazard_ratio"] == pytest.approx(fit["exp(coef)"], rel=LIKELIHOOD)
        assert row["low"] == pytest.approx(fit["exp(coef) lower 95%"], rel=LIKELIHOOD)
        assert row["p"] == pytest.approx(fit["p"], rel=1e-4)
    assert table.loc[0, "detectable"] == detectable_hazard_ratio(int(y["event"].sum()))
    assert table.loc[1, "share"] == pytest.approx(23 / 67)
    smallest = table["p"].idxmin()
    assert table.loc[smallest, "p_holm"] == pytest.approx(min(1, 3 * table["p"].min()))
    assert len(survival_tests(y, groups)) == 4  # log-rank and Peto's of both


def test_a_variable_that_is_all_alike_has_a_reason_and_no_ratio():
    y, values = cohort()
    values["flat"] = 5.0
    table = survival_effects(y, median_groups(values), values).set_index(["variable", "contrast"])
    flat = table.loc["flat"]
    assert (flat["reason"] == "all patients are alike, or none had the event").all()
    assert flat["hazard_ratio"].isna().all()


STUDY = {"variables": {"volume": {"label": "Tumour volume (mL)"}}}


def words(beta):
    y, values = cohort(beta, n=67 if beta == 0 else 300)
    table = survival_effects(y, median_groups(values), values)
    blocks = effect_blocks(STUDY, "death", table, "Survival (months)")
    return [block.text for block in blocks[:2]], blocks[2], table


def test_a_null_result_is_called_one():
    (power, verdict), printed, table = words(0.0)
    assert table["p_holm"].min() > 0.05
    events = int(table["events"].iloc[0])
    assert power.startswith(f"With {events} events")
    assert f"{table['detectable'].iloc[0]:.2f}" in power
    assert verdict.startswith("A null result: none of 2 comparisons shows a difference of survival (the smallest p is ")
    assert f"{table['p_holm'].min():.3f} after Holm's correction)." in verdict
    assert printed.table["Excluded"].iloc[0].startswith("under ")


def test_an_effect_is_named():
    (_, verdict), _, table = words(0.1)
    assert (table["p_holm"].dropna() < 0.05).all()
    assert verdict.startswith("Of 2 comparisons, these have a p under 0.05")
    assert "Tumour volume (mL) (per standard deviation)" in verdict
