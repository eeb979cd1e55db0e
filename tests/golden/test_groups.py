"""Group comparisons as R's t.test, wilcox.test, chisq.test and fisher.test give them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from golden.figures import read_figures
from nenflow.cohort.comparison import compare_counts, compare_values, fisher_exact, odds_ratio, rank_biserial

EXACT = 1e-8  # relative; R prints 15 digits and both sides are exact
TINY = 1e-14  # R's F distribution gives 0 below it
SEARCHED = 1.25e-4  # absolute, of odds ratios turned to lie under 1: fisher.test's uniroot stops at eps^0.25

COVERS = {
    "birthwt": ["group_tests"],
    "aSAH": ["group_tests"],
    "chain": ["fusion/group_tests"],
}
CONTINUOUS = [
    *(("birthwt", name) for name in ("age", "lwt", "ftv")),
    *(("aSAH", name) for name in ("age", "s100b", "ndka")),
    *(("chain", name) for name in ("rad", "ki67")),
]
CATEGORICAL = [
    *(("birthwt", name) for name in ("race", "smoke", "ptl", "ht", "ui")),
    *(("aSAH", name) for name in ("female", "wfns")),
    *(("chain", name) for name in ("grade", "extrahep")),
]
EVENT = {"birthwt": "low", "aSAH": "poor", "chain": "ineffective"}


def take(golden, name, variable):
    where = "fusion/group_tests" if name == "chain" else "group_tests"
    return read_figures(golden, name).take(f"{where}/{variable}")


def table_of(golden, name):
    if name != "chain":
        return pd.read_csv(golden / f"{name}.csv")
    figures = read_figures(golden, "chain").document
    return pd.read_csv(golden / "chain_clinical.csv.gz").assign(rad=figures["radscore"])


def groups_of(golden, name, variable):
    table = table_of(golden, name)
    event = table[EVENT[name]]
    return [table.loc[event == value, variable].to_numpy() for value in (1, 0)]


@pytest.mark.parametrize(("name", "variable"), CONTINUOUS)
def test_description_of_a_continuous_variable(golden, name, variable):
    expected = take(golden, name, variable)
    groups = [pd.Series(group, dtype=float) for group in groups_of(golden, name, variable)]
    assert [len(group) for group in groups] == expected["n"]
    assert [group.mean() for group in groups] == pytest.approx(expected["mean"], rel=EXACT)
    assert [group.std() for group in groups] == pytest.approx(expected["sd"], rel=EXACT)
    for key, share in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
        assert [group.quantile(share) for group in groups] == pytest.approx(expected[key], rel=EXACT)


@pytest.mark.parametrize(("name", "variable"), CONTINUOUS)
def test_normality_decides_between_t_and_ranks(golden, name, variable):
    expected = take(golden, name, variable)
    a, b = (group.astype(float) for group in groups_of(golden, name, variable))
    shapiro = [stats.shapiro(group).pvalue for group in (a, b)]
    assert shapiro == pytest.approx(expected["shapiro_p"], rel=1e-5)  # both approximate Royston's coefficients
    for setting, key in (("welch", "welch"), ("student", "student")):
        test, p = compare_values(a, b, t_test=setting)
        if min(expected["shapiro_p"]) > 0.05:
            assert test == {"welch": "Welch's t", "student": "Student's t"}[setting]
            assert p == pytest.approx(expected[key]["p.value"], rel=EXACT)
        else:
            assert test == "Mann-Whitney"
            assert p == pytest.approx(expected["wilcox_default"]["p.value"], rel=EXACT)


@pytest.mark.parametrize(("name", "variable"), CONTINUOUS)
def test_tests_of_the_library_that_the_rule_chooses_from(golden, name, variable):
    expected = take(golden, name, variable)
    a, b = (group.astype(float) for group in groups_of(golden, name, variable))
    for key, equal in (("welch", False), ("student", True)):
        found = stats.ttest_ind(a, b, equal_var=equal)
        assert [found.statistic, found.pvalue] == pytest.approx(list(expected[key].values()), rel=EXACT)
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert [interval.low, interval.high] == pytest.approx(expected["welch_ci"], rel=EXACT)
    ratio = stats.f(len(a) - 1, len(b) - 1)
    statistic = a.var(ddof=1) / b.var(ddof=1)
    assert 2 * min(ratio.cdf(statistic), ratio.sf(statistic)) == pytest.approx(expected["var_F_p"], rel=EXACT, abs=TINY)
    for key, corrected in (("wilcox_asym_correct", True), ("wilcox_asym_nocorrect", False)):
        found = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=corrected)
        assert found.pvalue == pytest.approx(expected[key], rel=EXACT)
    # R's statistic counts pairs with a above b; the effect size is made of the same count.
    assert (1 - rank_biserial(a, b)[0]) / 2 * len(a) * len(b) == pytest.approx(expected["wilcox_default"]["statistic"])


@pytest.mark.parametrize(("name", "variable"), CATEGORICAL)
def test_counts(golden, name, variable):
    expected = take(golden, name, variable)
    events, others = (pd.Series(group).astype(str) for group in groups_of(golden, name, variable))
    counts = np.array([[(others == level).sum(), (events == level).sum()] for level in expected["levels"]])
    assert counts.tolist() == expected["counts"]
    test, p = compare_counts(counts)
    assert fisher_exact(counts) == pytest.approx(expected["fisher_p"], rel=EXACT)
    assert stats.contingency.expected_freq(counts).min() == pytest.approx(expected["min_expected"], rel=EXACT)
    small = expected["min_expected"] < 5
    assert test == ("Fisher's exact" if small else f"chi-square{' (Yates)' if counts.shape == (2, 2) else ''}")
    assert p == pytest.approx(expected["fisher_p" if small else "yates_p"], rel=EXACT)
    for keys, corrected in ((("chisq", "chisq_p"), False), (("yates", "yates_p"), True)):
        found = stats.chi2_contingency(counts, correction=corrected)
        assert [found.statistic, found.pvalue] == pytest.approx([expected[key] for key in keys], rel=EXACT)
    if "fisher_or" in expected:
        for found, want in zip(odds_ratio(counts), [expected["fisher_or"], *expected["fisher_or_ci"]], strict=True):
            turn = -1 if want > 1 else 1
            assert found**turn == pytest.approx(want**turn, abs=SEARCHED, rel=0)


def test_every_branch_of_the_rule_occurs(golden):
    normal = {min(take(golden, *case)["shapiro_p"]) > 0.05 for case in CONTINUOUS}
    small = {take(golden, *case)["min_expected"] < 5 for case in CATEGORICAL}
    assert normal == small == {True, False}


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
