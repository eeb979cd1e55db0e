"""Describe a cohort (table 1) and compare its variables between two outcomes (table 2)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaln

EXACT_RANK_SIZE = 50  # R's wilcox.test: exact where both groups are smaller and no value is tied
SMALL_EXPECTED = 5  # expected count under which the chi-square approximation is not used
NORMAL_P = 0.05  # Shapiro-Wilk p over which a group counts as normally distributed
TABLES = 5_000_000  # partial tables held at once by the exact test, some 100 MB
TIE = 1e-7  # relative: tables as likely as the observed one up to rounding count as ties, as in R's fisher.test


def table_one(units: pd.DataFrame, variables: Mapping[str, Any], by: pd.Series | None = None) -> pd.DataFrame:
    """Describe variables overall, or by the levels of an outcome with tests.

    Overall, a patient's variables count each patient once and a lesion's each lesion. Compared, every unit counts, as
    published: several lesions of a patient are taken as independent, which makes p values of patient variables too
    small.

    Args:
        units: index (patient, region), columns the variables as text and numbers.
        variables: the study's variables; those that are columns of `units` are described, in their order.
        by: the outcome of each unit, named after its variable (of two levels); units without one are left out.

    Returns:
        columns variable (label), level, and `overall`, or one per level of the outcome, then test and p. Cells are
        counts "10 (37.0%)" of the known values, or "median [first quartile, third quartile]"; a row "missing" says
        how many are not known.
    """
    described = [name for name in variables if name in units and (by is None or name != by.name)]
    if by is None:
        return _overall(units, {name: variables[name] for name in described})
    levels = variables[by.name]["levels"]
    groups = [units[by == level] for level in levels]
    sizes = [str(len(group)) for group in groups]
    rows = [{"variable": "n", "level": "", **dict(zip(levels, sizes, strict=True))}]
    for name in described:
        variable = variables[name]
        block = _describe([group[name] for group in groups], levels, variable)
        test, p = compare([group[name] for group in groups], variable)
        block[0] |= {"test": test, "p": p}
        rows += block
    table = pd.DataFrame(rows, columns=["variable", "level", *levels, "test", "p"])
    return table.fillna({"test": ""})


def compare(groups: list[pd.Series], variable: Mapping[str, Any]) -> tuple[str, float]:
    """Test whether a variable differs between groups, by the rule of the surufatinib study.

    Categorical: Fisher's exact test where an expected count is under 5, else Pearson's chi-square, with Yates'
    correction for 2 x 2. Continuous, two groups: Welch's t test where Shapiro-Wilk finds both normal (p over 0.05),
    else Mann-Whitney. Missing values are left out.

    Returns:
        the test's name and p; "" and NaN where nothing can be compared (an empty group, a single level).
    """
    groups = [group.dropna() for group in groups]
    if variable["type"] == "categorical":
        levels = variable["levels"]
        return compare_counts(np.array([[(group == level).sum() for group in groups] for level in levels]))
    return compare_values(*[group.to_numpy(float) for group in groups])


def compare_counts(counts: np.ndarray) -> tuple[str, float]:
    """Test a table of counts (levels, groups); empty levels and groups do not count."""
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return "", float("nan")
    expected = stats.contingency.expected_freq(counts)
    if expected.min() < SMALL_EXPECTED:
        return "Fisher's exact", fisher_exact(counts)
    p = stats.chi2_contingency(counts, correction=True).pvalue  # corrects 2 x 2 tables only
    return "chi-square (Yates)" if counts.shape == (2, 2) else "chi-square", float(p)


def compare_values(a: np.ndarray, b: np.ndarray) -> tuple[str, float]:
    """Test whether the values of two groups differ."""
    if min(len(a), len(b)) == 0 or len(np.unique(np.concatenate([a, b]))) < 2:
        return "", float("nan")
    # ASSUME a t test does not rest on equal variances: the publications do not say, and Welch's needs no second test.
    if all(len(np.unique(group)) > 2 and stats.shapiro(group).pvalue > NORMAL_P for group in (a, b)):
        return "Welch's t", float(stats.ttest_ind(a, b, equal_var=False).pvalue)
    tied = len(np.unique(np.concatenate([a, b]))) < len(a) + len(b)
    exact = max(len(a), len(b)) < EXACT_RANK_SIZE and not tied
    return "Mann-Whitney", float(stats.mannwhitneyu(a, b, method="exact" if exact else "asymptotic").pvalue)


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
