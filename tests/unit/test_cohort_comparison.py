import json
import math
import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nenflow.cohort.comparison import compare, compare_counts, compare_values, fisher_exact, table_one

R_EXACT = 1e-8  # what an exact implementation reaches against R's 15 printed digits
PRINTED = 5e-5  # half of the last digit of a p value given with four decimals

# Table 2 of the surufatinib study: counts (effective, ineffective) per level, p recomputed to four decimals.
PUBLISHED = {
    "nse": ([[10, 14], [17, 90]], "Fisher's exact", 0.0099),
    "grade": ([[3, 10], [16, 36], [4, 9], [4, 49]], "Fisher's exact", 0.0096),
    "location": ([[11, 68], [16, 36]], "chi-square (Yates)", 0.0347),
    "diameter": ([[24, 62], [3, 35], [0, 7]], "Fisher's exact", 0.0157),
    "number": ([[12, 35], [15, 48], [0, 21]], "Fisher's exact", 0.0178),
    "extrahepatic": ([[23, 52], [4, 52]], "chi-square (Yates)", 0.0021),
    "surgery": ([[20, 68], [7, 36]], "chi-square (Yates)", 0.5308),
}


@pytest.mark.parametrize("variable", PUBLISHED)
def test_published_table_two(variable):
    counts, test, p = PUBLISHED[variable]
    found = compare_counts(np.array(counts))
    assert found == (test, pytest.approx(p, abs=PRINTED))


def test_published_counts_are_those_of_the_golden_file(golden):
    seeds = json.loads((golden / "published_seeds.json").read_text())["seed000"]
    names = {"nse": "NSE", "grade": "Grade", "location": "Location", "diameter": "Diameter", "number": "NumMets"}
    names |= {"extrahepatic": "Extrahep", "surgery": "Surgery"}
    for ours, theirs in names.items():
        counts, _, p = PUBLISHED[ours]
        assert counts == seeds["table2_counts_effective_ineffective"][theirs]
        assert p == seeds["p_unrounded"][theirs]
        assert round(p, 3) == pytest.approx(seeds["table2_p_printed"][theirs], abs=5.1e-4)


def test_levels_in_declared_order_give_the_published_odds_ratio():
    (a, b), (c, d) = PUBLISHED["location"][0]  # EP-NEN then PNEN, as study.yaml orders them
    assert (d / c) / (b / a) == pytest.approx(0.364, abs=5e-4)


@pytest.mark.parametrize(("name", "event"), [("birthwt", "low"), ("aSAH", "poor")])
def test_group_tests_agree_with_r(golden, name, event):
    expected = json.loads((golden / f"{name}.json").read_text())["group_tests"]
    table = pd.read_csv(golden / f"{name}.csv")
    for variable, result in expected.items():
        if "counts" in result:
            counts = np.array(result["counts"])
            assert fisher_exact(counts) == pytest.approx(result["fisher_p"], rel=R_EXACT)
            test, p = compare_counts(counts)
            small = result["min_expected"] < 5
            assert test.startswith("Fisher") == small
            assert p == pytest.approx(result["fisher_p" if small else "yates_p"], rel=R_EXACT)
        else:
            groups = [table.loc[table[event] == value, variable].to_numpy(float) for value in (1, 0)]
            normal = min(result["shapiro_p"]) > 0.05
            r = result["welch" if normal else "wilcox_default"]
            assert compare_values(*groups) == (
                "Welch's t" if normal else "Mann-Whitney",
                pytest.approx(r["p.value"], rel=R_EXACT),
            )


def test_both_continuous_tests_occur_in_the_golden_data(golden):
    tests = json.loads((golden / "aSAH.json").read_text())["group_tests"]
    normal = [min(result["shapiro_p"]) > 0.05 for result in tests.values() if "shapiro_p" in result]
    assert set(normal) == {True, False}


def test_exact_rank_test_of_small_groups_without_ties():
    # 3 against 3, fully separated: 2 of the 20 arrangements are as extreme; 2 distinct values make it no t test
    assert compare_values(np.array([1.0, 2, 90]), np.array([91.0, 92, 1000])) == ("Mann-Whitney", pytest.approx(0.1))


def brute_force(counts):
    """All tables with the same margins, by trying every combination of cells."""
    counts = np.array(counts)
    rows, columns = counts.sum(1), counts.sum(0)
    probability = {}
    for cells in product(*[range(min(r, c) + 1) for r in rows for c in columns]):
        table = np.array(cells).reshape(counts.shape)
        if (table.sum(1) == rows).all() and (table.sum(0) == columns).all():
            logs = [math.lgamma(n + 1) for n in (*rows, *columns)]
            logs = sum(logs) - math.lgamma(counts.sum() + 1) - sum(math.lgamma(n + 1) for n in cells)
            probability[cells] = math.exp(logs)
    observed = probability[tuple(counts.ravel())]
    assert sum(probability.values()) == pytest.approx(1)
    return sum(p for p in probability.values() if p <= observed * (1 + 1e-7))


@pytest.mark.parametrize(
    "counts", [[[3, 0], [0, 3]], [[2, 1, 0], [0, 1, 2]], [[1, 2], [3, 0], [0, 1]], [[1, 1, 0], [0, 1, 1], [1, 0, 1]]]
)
def test_fisher_agrees_with_trying_every_table(counts):
    assert fisher_exact(np.array(counts)) == pytest.approx(brute_force(counts), rel=1e-12)
    assert fisher_exact(np.array(counts).T) == pytest.approx(brute_force(counts), rel=1e-12)


def test_fisher_of_large_two_by_two_tables_neither_overflows_nor_drifts():
    counts = np.array([[900, 1100], [950, 1050]])
    assert fisher_exact(counts) == pytest.approx(stats.fisher_exact(counts).pvalue, rel=1e-9)


def test_fisher_is_fast_enough_for_a_report():
    start = time.process_time()
    fisher_exact(np.array([[10, 20], [16, 12], [9, 9], [25, 30]]))
    assert time.process_time() - start < 0.5


def test_a_table_too_large_to_list_is_refused():
    with pytest.raises(ValueError, match="merge levels"):
        fisher_exact(np.full((8, 6), 40))


def test_nothing_to_compare():
    variable = {"type": "categorical", "levels": ["a", "b"]}
    assert compare([pd.Series(["a", "a"]), pd.Series(["a"])], variable) == (
        "",
        pytest.approx(float("nan"), nan_ok=True),
    )
    assert compare_values(np.array([1.0, 2.0]), np.array([]))[0] == ""
    assert compare_values(np.array([2.0, 2.0]), np.array([2.0]))[0] == ""


def test_unused_levels_do_not_change_the_test():
    variable = {"type": "categorical", "levels": ["no", "unused", "yes"]}
    groups = [pd.Series(["no"] * 23 + ["yes"] * 4), pd.Series(["no"] * 52 + ["yes"] * 52 + [None])]
    assert compare(groups, variable) == ("chi-square (Yates)", pytest.approx(0.0021, abs=PRINTED))


VARIABLES = {
    "response": {"label": "Response", "level": "lesion", "type": "categorical", "levels": ["good", "bad"]},
    "sex": {"label": "Sex", "level": "patient", "type": "categorical", "levels": ["female", "male"]},
    "age": {"label": "Age", "level": "patient", "type": "continuous"},
}
UNITS = pd.DataFrame(
    {
        "sex": ["female", "female", "male", "male"],
        "age": [40.0, 40.0, 60.0, np.nan],
        "response": ["good", "bad", "bad", None],
    },
    index=pd.MultiIndex.from_tuples([("A", "1"), ("A", "2"), ("B", "1"), ("C", "1")], names=["patient", "region"]),
)


def test_table_one_counts_patients_once():
    assert table_one(UNITS, VARIABLES).to_numpy().tolist() == [
        ["Patients", "", "3"],
        ["Sex", "female", "1 (33.3%)"],
        ["", "male", "2 (66.7%)"],
        ["Age", "", "50 [45, 55]"],
        ["", "missing", "1"],
        ["Lesions", "", "4"],
        ["Response", "good", "1 (33.3%)"],
        ["", "bad", "2 (66.7%)"],
        ["", "missing", "1"],
    ]


def test_comparison_counts_units_and_leaves_out_unknown_outcomes():
    table = table_one(UNITS, VARIABLES, by=UNITS["response"])
    assert table.columns.tolist() == ["variable", "level", "good", "bad", "test", "p"]
    assert table.drop(columns="p").to_numpy().tolist() == [
        ["n", "", "1", "2", ""],
        ["Sex", "female", "1 (100.0%)", "1 (50.0%)", "Fisher's exact"],
        ["", "male", "0 (0.0%)", "1 (50.0%)", ""],
        ["Age", "", "40 [40, 40]", "50 [45, 55]", "Mann-Whitney"],
    ]
    assert table["p"].tolist() == pytest.approx([math.nan, 1.0, math.nan, 1.0], nan_ok=True)


def test_a_cohort_of_one_region_per_patient_is_counted_in_patients_only():
    variables = {name: VARIABLES[name] for name in ("sex", "age")}
    table = table_one(UNITS.drop(index=("A", "2")), variables)
    assert table["variable"].tolist() == ["Patients", "Sex", "", "Age", ""]
