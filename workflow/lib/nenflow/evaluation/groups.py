"""Survival of the patients of a cohort, by the groups that a study compares."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.competing import cumulative_incidence, gray_test
from nenflow.evaluation.cutpoints import cut_as_given, maximally_selected
from nenflow.evaluation.survival import (
    at_times,
    kaplan_meier,
    logrank,
    median_follow_up,
    median_survival,
    restricted_mean,
    trend_test,
)
from nenflow.models.base import survival_column
from nenflow.tables import ALL


def survival_curves(y: pd.DataFrame, groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Kaplan-Meier curves of everybody and of each group of each variable.

    Args:
        y: columns time, event.
        groups: by variable, the group of each row (a categorical Series, in the order of its levels); rows without one
            are left out of that variable's curves.

    Returns:
        columns variable ("" for everybody), group, and those of `kaplan_meier`.
    """
    parts = [
        kaplan_meier(rows["time"].to_numpy(), rows["event"].to_numpy()).assign(variable=variable, group=group)
        for variable, group, rows in _parts(y, groups)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["variable", "group", *[name for name in table if name not in ("variable", "group")]]]


def survival_summary(y: pd.DataFrame, groups: Mapping[str, pd.Series], times: Sequence[float]) -> pd.DataFrame:
    """Number, events, median survival and survival at stated times, of everybody and of each group.

    Returns:
        columns variable, group, n, events, median, median_low, median_high, follow_up (median, by reverse
        Kaplan-Meier), mean (restricted to the last of the times), and per time survival_<t>, its _low, its _high and
        at_risk_<t>; survival is missing after the last follow-up.
    """
    rows = []
    for variable, group, part in _parts(y, groups):
        time, event = part["time"].to_numpy(), part["event"].to_numpy()
        curve = kaplan_meier(time, event)
        median, low, high = median_survival(curve)
        row = {"variable": variable, "group": group, "n": len(part), "events": int((event == 1).sum())}
        row |= {"median": median, "median_low": low, "median_high": high}
        row |= {"follow_up": median_follow_up(time, event)[0], "mean": restricted_mean(curve, max(times))[0]}
        for state in at_times(curve, times).to_dict("records"):
            known = state["time"] <= time.max()
            for name, key in (("survival", ""), ("low", "_low"), ("high", "_high")):
                row[survival_column(state["time"]) + key] = state[name] if known else np.nan
            row[f"at_risk_{state['time']:g}"] = int(state["at_risk"])
        rows.append(row)
    return pd.DataFrame(rows)


def survival_tests(y: pd.DataFrame, groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Log-rank test and Peto and Peto's, for trend where there are more than two groups, Gray's where events compete.

    Returns:
        columns variable, test, chi2, df, p, reason (why a test is impossible, else blank).
    """
    rows = []
    for variable, labels in groups.items():
        known = labels.notna().to_numpy()
        time, event = y.loc[known, "time"].to_numpy(), y.loc[known, "event"].to_numpy()
        codes = labels[known].cat.codes.to_numpy()
        tests = {"log-rank": lambda *data: logrank(*data), "Peto-Peto": lambda *data: logrank(*data, rho=1)}
        if len(np.unique(codes)) > 2:
            tests["log-rank for trend"] = trend_test
        if (event == 2).any():
            tests["Gray"] = gray_test
        for name, test in tests.items():
            try:
                found = test(time, event, codes)
                rows.append((variable, name, found["chi2"], found["df"], found["p"], ""))
            except InputError as error:
                rows.append((variable, name, np.nan, np.nan, np.nan, str(error)))
    return pd.DataFrame(rows, columns=["variable", "test", "chi2", "df", "p", "reason"])


def best_cutpoints(y: pd.DataFrame, variables: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The cut-point with the largest log-rank statistic of each variable, with p values that know the search.

    Args:
        y: columns time, event.
        variables: numbers, a column each; rows without one are left out of that column only.
        seed: of the permutations.

    Returns:
        columns variable, n, and those of `maximally_selected` but the list of cuts; reason where there is none.
    """
    rows = []
    for name, values in variables.items():
        known = values.notna().to_numpy()
        time, event = y.loc[known, "time"].to_numpy(), y.loc[known, "event"].to_numpy()
        row: dict[str, Any] = {"variable": name, "n": int(known.sum()), "reason": ""}
        try:
            found = maximally_selected(time, event, values[known].to_numpy(float), seed)
            row |= {key: value for key, value in found.items() if key != "cuts"}
        except InputError as error:
            row["reason"] = str(error)
        rows.append(row)
    columns = ["cutpoint", "statistic", "n_low", "n_high", "p_lausen_1992", "p_lausen_1994", "p_permutation"]
    return pd.DataFrame(rows, columns=["variable", "n", *columns, "naive_chi2", "naive_p", "reason"])


def groups_by_cutoff(values: pd.DataFrame, cutoffs: Mapping[str, float]) -> dict[str, pd.Series]:
    """Who lies low (up to the cut-off) and who high (above it) of each column, as the other functions take groups."""
    kind = pd.CategoricalDtype(["low", "high"], ordered=True)
    return {
        name: pd.Series(np.where(values[name] > cutoff, "high", "low"), index=values.index, dtype=kind)
        for name, cutoff in cutoffs.items()
    }


def cutoff_tests(y: pd.DataFrame, values: pd.DataFrame, cutoffs: Mapping[str, float], seed: int) -> pd.DataFrame:
    """Log-rank tests at cut-offs that were chosen on the same patients by something else than survival.

    Args:
        y: columns time, event.
        values: numbers, a column each; same rows as y.
        cutoffs: by column.
        seed: of the permutations.

    Returns:
        one row per cut-off: variable, cutpoint, and the figures of `cut_as_given`; reason where there are none.
    """
    rows = []
    time, event = y["time"].to_numpy(), y["event"].to_numpy()
    for name, cutoff in cutoffs.items():
        row: dict[str, Any] = {"variable": name, "cutpoint": cutoff, "reason": ""}
        try:
            row |= cut_as_given(time, event, values[name].to_numpy(float), cutoff, seed)
        except InputError as error:
            row["reason"] = str(error)
        rows.append(row)
    columns = ["n_low", "n_high", "statistic", "chi2", "p", "p_corrected", "reason"]
    return pd.DataFrame(rows, columns=["variable", "cutpoint", *columns])


def _parts(y: pd.DataFrame, groups: Mapping[str, pd.Series]):
    """Everybody, then the rows of each group that has any."""
    yield "", ALL, y
    for variable, labels in groups.items():
        for level in labels.cat.categories:
            rows = y[(labels == level).to_numpy()]
            if len(rows):
                yield variable, level, rows


def incidence_curves(y: pd.DataFrame, groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Cumulative incidence of the event and of the competing one, of everybody and of each group.

    Returns:
        columns variable ("" for everybody), group, cause (1 the event, 2 the competing one), and those of
        `cumulative_incidence`; empty where no event competes.
    """
    parts = [
        cumulative_incidence(rows["time"], rows["event"], cause=cause).assign(
            variable=variable, group=group, cause=cause
        )
        for variable, group, rows in _parts(y, groups)
        for cause in (1, 2)
        if (y["event"] == 2).any()
    ]
    columns = ["variable", "group", "cause", "time", "at_risk", "events", "competing", "censored"]
    columns += ["incidence", "se", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
