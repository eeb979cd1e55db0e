"""Describe a cohort (table 1) and compare its variables between two outcomes (table 2)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaln

from nenflow.errors import InputError
from nenflow.multiplicity import ADJUSTMENTS, TESTED, adjust

EXACT_RANK_SIZE = 50  # R's wilcox.test: exact where both groups are smaller and no value is tied
SMALL_EXPECTED = 5  # expected count under which the chi-square approximation is not used
NORMAL_P = 0.05  # Shapiro-Wilk p over which a group counts as normally distributed
TABLES = 5_000_000  # partial tables held at once by the exact test, some 100 MB
TIE = 1e-7  # relative: tables as likely as the observed one up to rounding count as ties, as in R's fisher.test
LEVEL = 0.95  # of confidence intervals
T_TESTS = {"welch": "Welch's t", "student": "Student's t"}


def table_one(
    units: pd.DataFrame, variables: Mapping[str, Any], by: pd.Series | None = None, t_test: str = "welch"
) -> pd.DataFrame:
    """Describe variables overall, or by the levels of an outcome with tests.

    Overall, a patient's variables count each patient once and a lesion's each lesion. Compared, every unit counts, as
    published: several lesions of a patient are taken as independent, which makes p values of patient variables too
    small.

    Args:
        units: index (patient, region), columns the variables as text and numbers.
        variables: the study's variables; those that are columns of `units` are described, in their order.
        by: the outcome of each unit, named after its variable (of two levels); units without one are left out.
        t_test: see `compare`.

    Returns:
        columns variable (label), level, and `overall`, or one per level of the outcome, then test and p, p adjusted for
        the number of variables tested (p_bonferroni, p_holm, p_bh; see `adjust`), effect, effect_size, effect_low,
        effect_high (see `effect_size`) and smd (see `standardised_difference`). Cells are counts "10 (37.0%)" of the
        known values, or "median [first quartile, third quartile]"; a row "missing" says how many are not known.
    """
    described = [name for name in variables if name in units and (by is None or name != by.name)]
    if by is None:
        return _overall(units, {name: variables[name] for name in described})
    levels = variables[by.name]["levels"]
    groups = [units[by == level] for level in levels]
    sizes = [str(len(group)) for group in groups]
    rows = [{"variable": "n", "level": "", **dict(zip(levels, sizes, strict=True))}]
    for name in described:
        block = _describe([group[name] for group in groups], levels, variables[name])
        block[0] |= _tested([group[name] for group in groups], variables[name], t_test)
        rows += block
    table = pd.DataFrame(rows, columns=["variable", "level", *levels, *TESTED])
    for column, method in ADJUSTMENTS.items():
        table[column] = adjust(table["p"].to_numpy(float), method)
    return table.fillna({"test": "", "effect": ""})


def _tested(groups: list[pd.Series], variable: Mapping[str, Any], t_test: str) -> dict[str, Any]:
    test, p = compare(groups, variable, t_test)
    if len(groups) != 2:
        return {"test": test, "p": p}
    effect, size, low, high = effect_size(groups, variable)
    smd = standardised_difference(groups, variable)
    columns = {"effect": effect, "effect_size": size, "effect_low": low, "effect_high": high}
    return {"test": test, "p": p, **columns, "smd": smd}


def compare(groups: list[pd.Series], variable: Mapping[str, Any], t_test: str = "welch") -> tuple[str, float]:
    """Test whether a variable differs between groups, by the rule of the surufatinib study.

    Categorical: Fisher's exact test where an expected count is under 5, else Pearson's chi-square, with Yates'
    correction for 2 x 2. Continuous: a t test where Shapiro-Wilk finds both groups normal (p over 0.05), else
    Mann-Whitney, exact where both groups are smaller than 50 and no value is tied, else with corrections for
    continuity and ties; of more than two groups, analysis of variance (Welch's, or with equal variances) and
    Kruskal-Wallis. Missing values are left out.

    Args:
        groups: the variable in each group.
        variable: type, and levels if categorical.
        t_test: welch, or student, which takes the variances as equal.

    Returns:
        the test's name and p; "" and NaN where nothing can be compared (an empty group, a single level).
    """
    if variable["type"] == "categorical":
        return compare_counts(_counts(groups, variable))
    return compare_values(*[group.dropna().to_numpy(float) for group in groups], t_test=t_test)


def _counts(groups: list[pd.Series], variable: Mapping[str, Any]) -> np.ndarray:
    return np.array([[(group == level).sum() for group in groups] for level in variable["levels"]])


def compare_counts(counts: np.ndarray) -> tuple[str, float]:
    """Test a table of counts (levels, groups); empty levels and groups do not count."""
    counts = _occupied(counts)
    if min(counts.shape) < 2:
        return "", float("nan")
    if stats.contingency.expected_freq(counts).min() < SMALL_EXPECTED:
        return "Fisher's exact", fisher_exact(counts)
    p = stats.chi2_contingency(counts, correction=True).pvalue  # corrects 2 x 2 tables only
    return "chi-square (Yates)" if counts.shape == (2, 2) else "chi-square", float(p)


def _occupied(counts: np.ndarray) -> np.ndarray:
    return counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]


def compare_values(*groups: np.ndarray, t_test: str = "welch") -> tuple[str, float]:
    """Test whether the values of groups differ; see `compare`."""
    # ASSUME a t test does not rest on equal variances: the publications do not say, and Welch's needs no second test.
    if t_test not in T_TESTS:
        raise InputError(f"The t test is '{t_test}'; it must be {' or '.join(T_TESTS)}.")
    groups = [group for group in groups if len(group)] if len(groups) > 2 else groups
    if not _comparable(*groups):
        return "", float("nan")
    normal, equal = _normal(*groups), t_test == "student"
    if len(groups) > 2:
        name = f"{'' if equal else 'Welch '}ANOVA" if normal else "Kruskal-Wallis"
        return name, float((stats.f_oneway(*groups, equal_var=equal) if normal else stats.kruskal(*groups)).pvalue)
    if normal:
        return T_TESTS[t_test], float(stats.ttest_ind(*groups, equal_var=equal).pvalue)
    pooled = np.concatenate(groups)
    exact = max(map(len, groups)) < EXACT_RANK_SIZE and len(np.unique(pooled)) == len(pooled)
    return "Mann-Whitney", float(stats.mannwhitneyu(*groups, method="exact" if exact else "asymptotic").pvalue)


def _comparable(*groups: np.ndarray) -> bool:
    return len(groups) > 1 and min(map(len, groups)) > 0 and len(np.unique(np.concatenate(groups))) > 1


def _normal(*groups: np.ndarray) -> bool:
    return all(len(np.unique(group)) > 2 and stats.shapiro(group).pvalue > NORMAL_P for group in groups)


def effect_size(groups: list[pd.Series], variable: Mapping[str, Any]) -> tuple[str, float, float, float]:
    """How much a variable differs between two groups, in the measure that goes with the test of `compare`.

    Positive, or an odds ratio over 1: greater (the later level more frequent) in the second group.

    Returns:
        name, value and 95 % interval: Hedges' g with a t test, rank-biserial correlation with Mann-Whitney, odds ratio
        with a 2 x 2 table, Cramer's V (without interval) with larger ones; "" and NaN where nothing can be compared.
    """
    if variable["type"] == "categorical":
        counts = _occupied(_counts(groups, variable))
        if min(counts.shape) < 2:
            return "", np.nan, np.nan, np.nan
        if counts.shape == (2, 2):
            return "odds ratio", *odds_ratio(counts)
        return "Cramer's V", cramers_v(counts), np.nan, np.nan
    a, b = [group.dropna().to_numpy(float) for group in groups]
    if not _comparable(a, b):
        return "", np.nan, np.nan, np.nan
    if _normal(a, b):
        return "Hedges' g", *hedges_g(a, b)
    return "rank-biserial correlation", *rank_biserial(a, b)


def odds_ratio(counts: np.ndarray) -> tuple[float, float, float]:
    """Conditional maximum-likelihood odds ratio of a 2 x 2 table with its exact interval (Fisher 1935; Cornfield 1956).

    The definitions of R's fisher.test, which stops its search early: its digits agree up to 1e-4 of an odds ratio under
    1, or of the inverse of one over 1.
    """
    result = stats.contingency.odds_ratio(np.asarray(counts, int), kind="conditional")
    interval = result.confidence_interval(LEVEL)
    return float(result.statistic), float(interval.low), float(interval.high)


def cramers_v(counts: np.ndarray) -> float:
    """Cramer's V of a table without empty rows or columns, from the uncorrected chi-square: 0 none, 1 full."""
    return float(stats.contingency.association(np.asarray(counts, int), method="cramer", correction=False))


def cohens_d(a: np.ndarray, b: np.ndarray) -> float:
    """Difference of the means, second less first, in pooled standard deviations (Cohen 1988)."""
    pooled = ((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2)
    return float((b.mean() - a.mean()) / np.sqrt(pooled))


def hedges_g(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Cohen's d without its small-sample bias, with a large-sample interval (Hedges & Olkin 1985)."""
    freedom, total = len(a) + len(b) - 2, len(a) + len(b)
    unbiased = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / np.sqrt(freedom / 2)
    g = unbiased * cohens_d(a, b)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(total / (len(a) * len(b)) + g**2 / (2 * total))
    return float(g), float(g - reach), float(g + reach)


def rank_biserial(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Share of pairs with the greater value in the second group less the share with the smaller (Cliff 1993).

    It is 2 AUC - 1; the interval is DeLong's (1988), kept within -1 and 1.
    """
    above = np.sign(b[:, None] - a)
    value = above.mean()
    placements = (above.mean(axis=1), above.mean(axis=0))
    variance = sum(part.var(ddof=1) / len(part) if len(part) > 1 else np.nan for part in placements)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt(variance)
    return float(value), float(np.clip(value - reach, -1, 1)), float(np.clip(value + reach, -1, 1))


def standardised_difference(groups: list[pd.Series], variable: Mapping[str, Any]) -> float:
    """Absolute standardised mean difference of two groups, which does not grow with their size.

    Continuous: difference of means over the root of the mean variance (Austin 2009, Stat Med 28:3083). Categorical:
    Mahalanobis distance of the shares of all levels but one (Yang & Dalton 2012, SAS Global Forum 335). Infinite where
    the groups differ and neither varies; NaN where a group is empty or, of a continuous variable, has one value.
    """
    known = [group.dropna() for group in groups]
    if min(len(group) for group in known) == 0:
        return float("nan")
    if variable["type"] == "categorical":
        shares = _counts(known, variable)
        shares = (shares / shares.sum(axis=0))[shares.sum(axis=1) > 0][1:].T
        covariance = sum(np.diag(share) - np.outer(share, share) for share in shares) / 2
        difference = shares[1] - shares[0]
    else:
        values = [group.to_numpy(float) for group in known]
        covariance = np.array([[np.mean([value.var(ddof=1) if len(value) > 1 else np.nan for value in values])]])
        difference = np.array([values[1].mean() - values[0].mean()])
    if np.isnan(covariance).any():
        return float("nan")
    weights = np.linalg.pinv(covariance, hermitian=True)
    if not np.allclose(covariance @ weights @ difference, difference, atol=1e-12 * np.abs(difference).max(initial=0)):
        return float("inf")
    return float(np.sqrt(max(difference @ weights @ difference, 0.0)))


def fisher_exact(counts: np.ndarray) -> float:
    """Fisher's exact test of an r x c table (Freeman and Halton 1951): exact, where scipy's draws random tables.

    p is the probability, with all margins fixed, of tables no more likely than the observed one. The rows are split
    in two halves; every half-table is listed with the column sums it leaves, and halves that fit are combined by
    counting, so that work grows with the root of the number of tables.

    Args:
        counts: (rows, columns) of counts, without empty rows or columns.

    Raises:
        ValueError: the table is too large to be listed.
    """
    counts = np.asarray(counts, int)
    if counts.shape[0] < counts.shape[1]:
        counts = counts.T
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    order = np.argsort(rows)  # alternating sizes make halves of similar work
    first_sums, first = _half_tables(rows[order[::2]], columns)
    second_sums, second = _half_tables(rows[order[1::2]], columns)
    base = gammaln(rows + 1).sum() + gammaln(columns + 1).sum() - gammaln(counts.sum() + 1)
    limit = -gammaln(counts + 1).sum() + np.log1p(TIE)
    second_of = _grouped(second_sums)
    total = 0.0
    for sums, members in _grouped(first_sums).items():
        partners = second_of.get(tuple(columns - np.array(sums)))
        if partners is None:
            continue
        logs = np.sort(second[partners])
        cumulated = np.concatenate([[0.0], np.cumsum(np.exp(logs - logs[-1]))])  # relative: no overflow
        reach = np.searchsorted(logs, limit - first[members], side="right")
        total += float(np.sum(np.exp(first[members] + base + logs[-1]) * cumulated[reach]))
    return min(total, 1.0)


def _half_tables(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List all tables with these row sums: their column sums (n, columns), and -sum(log cell!) of each (n)."""
    sums, logs = np.zeros((1, len(columns)), int), np.zeros(1)
    for row in rows:
        cells = np.zeros((1, 0), int)
        for column in columns[:-1]:
            if len(cells) * (min(row, column) + 1) > TABLES:
                raise ValueError("the table is too large for an exact test; merge levels")
            cells = np.column_stack(
                [np.repeat(cells, min(row, column) + 1, axis=0), np.tile(np.arange(min(row, column) + 1), len(cells))]
            )
            cells = cells[cells.sum(axis=1) <= row]
        cells = np.column_stack([cells, row - cells.sum(axis=1)])
        if len(sums) * len(cells) > TABLES:
            raise ValueError("the table is too large for an exact test; merge levels")
        sums = (sums[:, None] + cells).reshape(-1, len(columns))
        logs = (logs[:, None] - gammaln(cells + 1).sum(axis=1)).ravel()
        fits = (sums <= columns).all(axis=1)
        sums, logs = sums[fits], logs[fits]
    return sums, logs


def _grouped(sums: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """Give for each different row of an array the numbers of the rows that equal it."""
    different, which = np.unique(sums, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel(), minlength=len(different)))[:-1]
    return {tuple(map(int, row)): group for row, group in zip(different, np.split(order, ends), strict=True)}


def _overall(units: pd.DataFrame, variables: Mapping[str, Any]) -> pd.DataFrame:
    patients = units.groupby(level="patient", sort=False).first()
    rows = []
    for level, label, table in (("patient", "Patients", patients), ("lesion", "Lesions", units)):
        names = [name for name, variable in variables.items() if variable["level"] == level]
        if level == "lesion" and not names and len(units) == len(patients):
            continue  # one region per patient: nothing to tell apart
        rows.append({"variable": label, "level": "", "overall": str(len(table))})
        for name in names:
            rows += _describe([table[name]], ["overall"], variables[name])
    return pd.DataFrame(rows, columns=["variable", "level", "overall"])


def _describe(groups: list[pd.Series], names: list[str], variable: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows of one variable: a row per level, or one row; the rows that follow the first leave `variable` blank."""
    if variable["type"] == "categorical":
        texts = {level: [_share(group, level) for group in groups] for level in variable["levels"]}
    else:
        texts = {"": [_quartiles(group.dropna().astype(float)) for group in groups]}
    if any(group.isna().any() for group in groups):
        texts["missing"] = [str(int(group.isna().sum())) for group in groups]
    rows = [{"variable": "", "level": level, **dict(zip(names, cells, strict=True))} for level, cells in texts.items()]
    rows[0]["variable"] = variable["label"]
    return rows


def _share(group: pd.Series, level: str) -> str:
    known = int(group.notna().sum())
    count = int((group == level).sum())
    return f"{count} ({100 * count / known:.1f}%)" if known else "0"


def _quartiles(values: pd.Series) -> str:
    if values.empty:
        return ""
    first, median, third = (f"{value:.4g}" for value in values.quantile([0.25, 0.5, 0.75]))
    return f"{median} [{first}, {third}]"
