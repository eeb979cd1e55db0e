import json

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor

from nenflow.models.assumptions import EVENTS, INFLATION, PROPORTIONAL, check_assumptions, subdistribution_table
from nenflow.models.missing import impute, pool
from nenflow.tables import UNIT

# 48 simulated units; R 4.2.2, cmprsk 2.2-11 fit Fine and Gray's model to them (as in test_competing).
# fmt: off
TIME = [5.231, 0.498, 1.391, 2.049, 9.626, 1.732, 11.176, 8.096, 4.599, 6.988, 1.521, 6.081, 3.12, 1.007, 4.52, 5.08,
        2.756, 0.617, 0.209, 10.62, 4.307, 1.243, 5.555, 8.257, 1.931, 7.882, 1.218, 8.454, 2.575, 6.375, 0.672, 1.215,
        3.995, 2.852, 4.47, 2.117, 2.384, 1.758, 0.514, 1.654, 0.216, 2.359, 6.494, 0.762, 5.616, 2.476, 4.977, 8.655]
EVENT = [0, 1, 2, 1, 0, 0, 0, 1, 0, 1, 2, 2, 2, 1, 0, 0, 1, 1, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 2, 1,
         2, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1]
MARKER = [-0.7, -0.2, 1.7, 0.7, -1.6, 0.0, -0.6, 0.1, -1.6, 0.2, 0.2, 1.6, 0.3, 0.5, -1.5, 2.3, -1.9, 1.1, -0.3, -0.9,
          -0.7, -0.7, 0.4, -0.1, 1.5, -1.8, 0.0, -0.9, 0.8, -2.1, -0.3, 0.2, -1.5, 1.0, 0.2, 1.0, 1.0, -1.0, -0.8,
          -0.2, 0.7, 0.9, -0.7, -0.6, -0.8, -0.6, -0.2, -0.1]
# fmt: on
COEF = [0.168357997794575, 0.728032205107587, 1.197559501931238]
SE = [0.206010886433293, 0.624633646076889, 0.528134042293814]


def competing():
    units = pd.MultiIndex.from_tuples([(f"P{number:02d}", "patient") for number in range(48)], names=UNIT)
    arm = np.repeat([0, 1, 2], 16)
    columns = {"marker": MARKER, "arm=b": 1.0 * (arm == 1), "arm=c": 1.0 * (arm == 2)}
    return pd.DataFrame(columns, index=units), pd.DataFrame({"time": TIME, "event": EVENT}, index=units)


@pytest.fixture(scope="module")
def lung(golden):
    data = pd.read_csv(golden / "lung.csv")
    figures = json.loads((golden / "lung.json").read_text(encoding="utf-8"))
    return data, data[["time", "status"]].rename(columns={"status": "event"}), figures


def values(table, check):
    return table[table["check"] == check].set_index("variable")


def test_proportional_hazards_agree_with_r(lung):
    data, y, figures = lung
    names = figures["model"]["efron"]["terms"]
    table = values(check_assumptions(data[["age", "male", "ecog", "karno"]], data[names], y), PROPORTIONAL)
    assert list(table.index) == list(figures["cox_zph"])
    for term, theirs in figures["cox_zph"].items():
        found = table.loc[term, ["value", "df", "p"]].tolist()
        assert found == pytest.approx([theirs["chisq"], theirs["df"], theirs["p"]], rel=1e-6)


def test_events_per_variable_and_inflation_of_a_cox_model(lung):
    data, y, _ = lung
    final = data[["age", "male", "ecog"]]
    table = check_assumptions(data[["age", "male", "ecog", "karno"]], final, y)
    events = values(table, EVENTS).loc[""]
    assert (events["value"], events["df"]) == (151 / 4, 4)  # of all candidates, not of those that were kept
    assert np.isnan(events["p"])
    design = np.column_stack([np.ones(len(final)), final])
    theirs = [variance_inflation_factor(design, column) for column in (1, 2, 3)]
    inflation = values(table, INFLATION)
    assert list(inflation.index) == list(final)
    np.testing.assert_allclose(inflation["value"], theirs, rtol=1e-9)


def test_ties_are_those_of_the_model(lung):
    data, y, _ = lung
    final = data[["age", "male", "ecog"]]
    efron, breslow = (
        values(check_assumptions(final, final, y, ties=ties), PROPORTIONAL) for ties in ("efron", "breslow")
    )
    np.testing.assert_allclose(efron["value"], breslow["value"], rtol=0.2)
    assert (efron["value"] != breslow["value"]).all()  # lung has tied times


def test_columns_of_a_term_are_judged_together():
    X, y = competing()
    table = check_assumptions(X, X, y)
    assert list(values(table, PROPORTIONAL).index) == ["marker", "arm", "GLOBAL"]
    assert values(table, PROPORTIONAL)["df"].tolist() == [1, 2, 3]
    assert values(table, INFLATION)["df"].to_dict() == {"marker": 1, "arm": 2}
    # Per coefficient: the square root for two columns (Fox and Monette). With one other column the generalised factor
    # of the term is that column's plain one.
    plain = values(table, INFLATION).loc["marker", "value"]
    assert values(table, INFLATION).loc["arm", "value"] == pytest.approx(plain**0.5)
    assert values(table, EVENTS).loc["", "value"] == pytest.approx(EVENT.count(1) / 3)  # a competing event is none


def test_a_logistic_model_has_no_hazards(lung):
    data, y, _ = lung
    final = data[["age", "karno"]]
    table = check_assumptions(final, final, y["event"])
    assert set(table["check"]) == {EVENTS, INFLATION}
    assert values(table, EVENTS).loc["", "value"] == (len(data) - 151) / 2  # the rarer outcome


def test_a_model_without_variables_or_with_one():
    X, y = competing()
    nothing = check_assumptions(X, X[[]], y)
    assert nothing["check"].tolist() == [EVENTS]
    alone = check_assumptions(X, X[["marker"]], y)
    assert alone["check"].tolist() == [EVENTS, PROPORTIONAL, PROPORTIONAL]  # nothing inflates it
    assert alone["value"].iloc[1] == pytest.approx(alone["value"].iloc[2])
    assert np.isinf(check_assumptions(X[[]], X[[]], y)["value"]).all()


def test_a_monotone_likelihood_has_no_residuals():
    X, y = competing()
    X = X.assign(perfect=-y["time"].to_numpy())
    table = check_assumptions(X, X, y)
    assert set(table["check"]) == {EVENTS, INFLATION}


def test_of_imputed_values_the_first_table_is_judged():
    X, y = competing()
    gaps = X.assign(marker=X["marker"].where(np.arange(48) % 6 > 0))
    found = check_assumptions(gaps, gaps, y, imputations=3, seed=7)
    first = impute(gaps, y, 3, 7)[0]
    pd.testing.assert_frame_equal(found, check_assumptions(first, first, y))


def test_subdistribution_ratios_agree_with_r():
    table = subdistribution_table(*competing())
    assert table["variable"].tolist() == ["marker", "arm=b", "arm=c"]
    np.testing.assert_allclose(np.log(table["hazard_ratio"]), COEF, rtol=1e-8)
    np.testing.assert_allclose(np.log(table["high"] / table["low"]) / 2 / 1.959963984540054, SE, rtol=1e-8)
    assert table["p"].iloc[2] == pytest.approx(0.0234, abs=5e-5)  # 2 Phi(-1.19756 / 0.52813)
    assert (table["reason"] == "").all()


def test_subdistribution_ratios_of_imputed_values_are_pooled():
    X, y = competing()
    gaps = X.assign(marker=X["marker"].where(np.arange(48) % 6 > 0))
    table = subdistribution_table(gaps, y, imputations=4, seed=2)
    single = [subdistribution_table(complete, y) for complete in impute(gaps, y, 4, 2)]
    coefs = np.array([np.log(one["hazard_ratio"]) for one in single])
    errors = np.array([np.log(one["high"] / one["low"]) / 2 / 1.959963984540054 for one in single])
    total = (errors**2).mean(axis=0) + 1.25 * coefs.var(axis=0, ddof=1)  # Rubin: within, and between with 1 + 1/m
    np.testing.assert_allclose(np.log(table["hazard_ratio"]), coefs.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(np.log(table["high"] / table["low"]) / 2 / 1.959963984540054, total**0.5, rtol=1e-9)
    expected = pool(coefs, [np.diag(row**2) for row in errors], EVENT.count(1) - 3).p
    np.testing.assert_allclose(table["p"], expected, rtol=1e-9)


def test_a_subdistribution_ratio_without_finite_estimate_says_so_and_stops_nothing():
    X, y = competing()
    separating = X[[]].assign(perfect=(y["event"] == 1).astype(float))
    table = subdistribution_table(separating, y)
    assert table[["hazard_ratio", "low", "high", "p"]].isna().all(axis=None)
    assert "no finite estimate" in table["reason"].iloc[0]


@pytest.mark.parametrize("outcome", ["nothing competes", "no time", "no variables"])
def test_no_subdistribution_where_it_means_nothing(outcome):
    X, y = competing()
    if outcome == "nothing competes":
        y = y.assign(event=np.minimum(y["event"], 1))
    elif outcome == "no time":
        y = (y["event"] == 1).astype(int)
    else:
        X = X[[]]
    table = subdistribution_table(X, y)
    assert table.empty
    assert list(table) == ["variable", "hazard_ratio", "low", "high", "p", "reason"]
