import math
import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nenflow.cohort.comparison import (
    ADJUSTMENTS,
    cohens_d,
    compare,
    compare_counts,
    compare_values,
    cramers_v,
    effect_size,
    fisher_exact,
    hedges_g,
    odds_ratio,
    rank_biserial,
    standardised_difference,
    table_one,
)
from nenflow.errors import InputError
from nenflow.multiplicity import adjust

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


def test_levels_in_declared_order_give_the_published_odds_ratio():
    (a, b), (c, d) = PUBLISHED["location"][0]  # EP-NEN then PNEN, as study.yaml orders them
    assert (d / c) / (b / a) == pytest.approx(0.364, abs=5e-4)


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
    assert table.columns.tolist() == [
        *("variable", "level", "good", "bad", "test", "p", "p_bonferroni", "p_holm", "p_bh"),
        *("effect", "effect_size", "effect_low", "effect_high", "smd"),
    ]
    assert table[["variable", "level", "good", "bad", "test"]].to_numpy().tolist() == [
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


def test_adjusted_p_count_the_variables_tested():
    rng = np.random.default_rng(2)
    variables = {name: {"label": name, "level": "lesion", "type": "continuous"} for name in "abc"}
    variables["empty"] = variables["a"] | {"label": "empty"}
    variables["good"] = {"label": "good", "level": "lesion", "type": "categorical", "levels": ["yes", "no"]}
    units = pd.DataFrame(rng.normal(size=(40, 3)), columns=list("abc")).assign(empty=np.nan)
    units["good"] = np.where(np.arange(40) < 20, "yes", "no")
    units.index = pd.MultiIndex.from_product([range(40), ["l"]], names=["patient", "region"])
    table = table_one(units, variables, by=units["good"], t_test="student").set_index("variable")
    p = table.loc[["a", "b", "c"], "p"]
    assert set(table.loc[["a", "b", "c"], "test"]) == {"Student's t"}
    assert table.loc[["a", "b", "c"], "p_bonferroni"].to_numpy() == pytest.approx(np.minimum(3 * p, 1))
    assert table.loc["empty", ["p", "p_holm", "smd", "effect_size"]].isna().all()
    assert table.loc["empty", "effect"] == table.loc["n", "effect"] == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 2**31))
def test_adjusted_p_decide_as_the_stepwise_procedures_do(values, seed):
    p = np.array(values)
    n, ordered = len(p), np.sort(p)
    for level in (0.05, 0.3, 0.8):
        # Holm: from the smallest p on, reject while p <= level / (number left). Benjamini-Hochberg: reject all up to
        # the largest k with p(k) <= k level / n.
        holm = next((k for k in range(n) if ordered[k] * (n - k) > level), n)
        hochberg = max((k + 1 for k in range(n) if ordered[k] * (n / (k + 1)) <= level), default=0)
        assert (adjust(p, "holm") <= level).sum() == holm
        assert (adjust(p, "bh") <= level).sum() == hochberg
        assert (adjust(p, "bonferroni") <= level).sum() == (n * p <= level).sum()
    mixed = np.random.default_rng(seed).permutation(n)
    for method in ADJUSTMENTS.values():
        assert adjust(p[mixed], method) == pytest.approx(adjust(p, method)[mixed])
        assert (adjust(p, method) >= p).all()


def test_adjusted_p_as_r_prints_them():
    # R 4.2.2: p.adjust(c(.01, .02, .03, .04, .05), "holm"), and "BH".
    p = np.array([0.01, 0.02, np.nan, 0.03, 0.04, 0.05])
    assert adjust(p, "holm") == pytest.approx(np.array([0.05, 0.08, np.nan, 0.09, 0.09, 0.09]), nan_ok=True)
    assert adjust(p, "bh") == pytest.approx(np.array([0.05, 0.05, np.nan, 0.05, 0.05, 0.05]), nan_ok=True)


def test_an_unknown_t_test_is_refused():
    with pytest.raises(InputError, match="welch or student"):
        compare_values(np.arange(5.0), np.arange(5.0) + 1, t_test="paired")


def test_more_than_two_groups_are_compared_together():
    rng = np.random.default_rng(0)
    groups = [rng.normal(shift, 1, size=20) for shift in (0, 0.5, 1)]
    assert compare_values(*groups, t_test="student") == ("ANOVA", pytest.approx(stats.f_oneway(*groups).pvalue))
    assert compare_values(*groups)[0] == "Welch ANOVA"
    skewed = [np.exp(3 * group) for group in groups]
    assert compare_values(*skewed) == ("Kruskal-Wallis", pytest.approx(stats.kruskal(*groups).pvalue))
    assert compare_values(*groups, np.array([])) == compare_values(*groups)


# ---- effect sizes


small_values = st.lists(st.integers(0, 6), min_size=2, max_size=12).map(lambda x: np.array(x, float))


@given(small_values, small_values)
def test_rank_biserial_correlation_counts_pairs(a, b):
    pairs = [np.sign(y - x) for x, y in product(a, b)]
    value, low, high = rank_biserial(a, b)
    assert value == pytest.approx(np.mean(pairs))
    assert -1 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    assert rank_biserial(b, a) == pytest.approx((-value, -high, -low))
    assert rank_biserial(np.exp(a), np.exp(b)) == pytest.approx((value, low, high))


def test_standardised_means_by_hand():
    a, b = np.array([1.0, 2, 3]), np.array([3.0, 4, 5, 6])
    pooled = math.sqrt((2 * 1 + 3 * 5 / 3) / 5)
    assert cohens_d(a, b) == pytest.approx(2.5 / pooled)
    g, low, high = hedges_g(a, b)
    correction = math.gamma(2.5) / (math.sqrt(2.5) * math.gamma(2))  # Hedges 1981: J(5) = 0.8408
    assert correction == pytest.approx(0.8408, abs=1e-4)
    assert g == pytest.approx(correction * 2.5 / pooled)
    assert (high - low) / 2 == pytest.approx(1.959964 * math.sqrt(7 / 12 + g**2 / 14), rel=1e-6)
    assert hedges_g(10 * b + 3, 10 * a + 3) == pytest.approx((-g, -high, -low))


@pytest.mark.parametrize("counts", [[[10, 14], [17, 90]], [[3, 1], [1, 3]], [[118, 41], [12, 18]]])
def test_limits_of_an_odds_ratio_are_where_fishers_tails_hold_a_fortieth(counts):
    counts = np.array(counts)
    ratio, low, high = odds_ratio(counts)
    total, first, column = counts.sum(), counts[0].sum(), counts[:, 0].sum()
    cell = counts[0, 0]
    assert stats.nchypergeom_fisher(total, first, column, low).sf(cell - 1) == pytest.approx(0.025, rel=1e-6)
    assert stats.nchypergeom_fisher(total, first, column, high).cdf(cell) == pytest.approx(0.025, rel=1e-6)
    assert stats.nchypergeom_fisher(total, first, column, ratio).mean() == pytest.approx(cell, rel=1e-6)


def test_an_empty_cell_has_an_odds_ratio_without_end():
    ratio, low, high = odds_ratio(np.array([[5, 0], [2, 6]]))
    assert ratio == high == np.inf
    assert low > 1


def test_cramers_v_is_one_where_a_variable_tells_the_group():
    assert cramers_v(np.array([[5, 0], [0, 7], [4, 0]])) == pytest.approx(1)
    assert cramers_v(np.array([[5, 10], [7, 14]])) == pytest.approx(0, abs=1e-9)
    counts = np.array([[6, 4], [11, 31], [9, 42], [1, 27]])  # chi-square 15.52 by R 4.2.2
    assert cramers_v(counts) == pytest.approx(math.sqrt(15.523227403497 / 131), rel=1e-9)


def test_effect_goes_with_the_test_and_its_sign_with_the_second_group():
    normal = stats.norm.ppf(np.arange(1, 31) / 31)
    low, high = pd.Series(normal), pd.Series([*(normal + 1), np.nan])
    continuous = {"type": "continuous"}
    name, value, lower, upper = effect_size([low, high], continuous)
    assert (name, compare([low, high], continuous)[0]) == ("Hedges' g", "Welch's t")
    assert 0 < lower < value < upper
    name, value, *_ = effect_size([np.exp(3 * low), np.exp(3 * high)], continuous)
    assert name == "rank-biserial correlation"
    assert value > 0
    levels = {"type": "categorical", "levels": ["no", "yes"]}
    name, value, *_ = effect_size([pd.Series(["no"] * 8 + ["yes"]), pd.Series(["no"] + ["yes"] * 8)], levels)
    assert name == "odds ratio"
    assert value > 1
    levels = {"type": "categorical", "levels": ["a", "b", "c"]}
    assert effect_size([pd.Series(list("aab")), pd.Series(list("bcc"))], levels)[0] == "Cramer's V"
    assert effect_size([pd.Series(["a"]), pd.Series(["a"])], levels)[0] == ""


# ---- standardised differences


def test_standardised_differences_by_hand():
    a, b = pd.Series([1.0, 2, 3]), pd.Series([3.0, 4, 5, 6, np.nan])
    assert standardised_difference([a, b], {"type": "continuous"}) == pytest.approx(2.5 / math.sqrt((1 + 5 / 3) / 2))
    two = {"type": "categorical", "levels": ["no", "yes"]}
    groups = [pd.Series(["no"] * 6 + ["yes"] * 4), pd.Series(["no"] * 3 + ["yes"] * 7)]
    assert standardised_difference(groups, two) == pytest.approx(0.3 / math.sqrt((0.24 + 0.21) / 2))


def test_standardised_difference_of_several_levels():
    # Yang & Dalton's formula written out for three levels: shares .5 .3 .2 and .2 .3 .5, the last two levels in turn.
    levels = {"type": "categorical", "levels": ["a", "b", "unused", "c"]}
    groups = [pd.Series(list("aaaaabbbcc")), pd.Series(list("aabbbccccc"))]
    covariance = np.array([[0.21, -(0.06 + 0.15) / 2], [-(0.06 + 0.15) / 2, (0.16 + 0.25) / 2]])
    difference = np.array([0, 0.3])
    want = math.sqrt(difference @ np.linalg.inv(covariance) @ difference)
    assert standardised_difference(groups, levels) == pytest.approx(want)
    for order in (["c", "a", "b"], ["b", "c", "a"]):
        assert standardised_difference(groups, levels | {"levels": order}) == pytest.approx(want)


def test_standardised_difference_at_its_ends():
    levels = {"type": "categorical", "levels": ["a", "b"]}
    a, b = pd.Series(["a"] * 3), pd.Series(["b"] * 3)
    assert standardised_difference([a, a], levels) == 0
    assert standardised_difference([a, b], levels) == math.inf
    assert math.isnan(standardised_difference([a, b[:0]], levels))
    ones, twos = pd.Series([1.0, 1]), pd.Series([2.0, 2])
    assert standardised_difference([ones, ones], {"type": "continuous"}) == 0
    assert standardised_difference([ones, twos], {"type": "continuous"}) == math.inf
    assert math.isnan(standardised_difference([ones, twos[:1]], {"type": "continuous"}))


@given(small_values, small_values, st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_standardised_difference_ignores_unit_and_order(a, b, scale, shift):
    if a.std() + b.std() == 0:
        return
    value = standardised_difference([pd.Series(a), pd.Series(b)], {"type": "continuous"})
    moved = [pd.Series(scale * (group[::-1] + shift)) for group in (b, a)]
    assert standardised_difference(moved, {"type": "continuous"}) == pytest.approx(value, rel=1e-6, abs=1e-6)
