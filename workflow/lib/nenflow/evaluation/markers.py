"""Single features as markers of an endpoint: compared between its groups, and rated by their ROC or C-index."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from nenflow.cohort.comparison import compare_values
from nenflow.errors import InputError
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.discrimination import auc, delong_interval, youden
from nenflow.models.base import is_survival
from nenflow.models.cox import fit_cox
from nenflow.models.likelihood import wald_ratios
from nenflow.multiplicity import adjust

CUTOFF = ["threshold", "sensitivity", "specificity", "ppv", "npv", "accuracy"]
GROUPS = ("event", "other")
DESCRIBED = ["mean", "sd", "median", "q1", "q3"]  # of each group
COLUMNS = [
    *("n", "events", "direction", "auc", "auc_low", "auc_high", *CUTOFF),
    *(f"{group}_{figure}" for group in GROUPS for figure in DESCRIBED),
    *("test", "p", "p_fdr", "p_bonferroni", "reason"),
]
SURVIVAL_COLUMNS = [
    *("n", "events", "direction", "c", "c_low", "c_high", "hazard_ratio", "low", "high"),
    *("p", "p_fdr", "p_bonferroni", "reason"),
]


def rate_markers(
    X: pd.DataFrame, y: pd.Series | pd.DataFrame, t_test: str = "welch", phases: Sequence[str] = ()
) -> pd.DataFrame:
    """Group comparison and discrimination of each single column, with p values adjusted for the number of columns.

    Each marker is turned so that its AUC (C-index) is at least 0.5; `direction` says whether events are "higher" or
    "lower". Choosing the direction and the cut-off on the same units flatters both: with few units most AUCs lie well
    above 0.5 by chance, which the adjusted p values show.

    Args:
        X: markers, one column each; units in rows. A unit without a value is left out of that marker only (see n).
        y: 0/1 per unit, 1 = event, or columns time and event; same index as X.
        t_test: the test of normally distributed values, welch or student; see `cohort.comparison.compare`.
        phases: where columns are of several phases (<phase>_<feature>), these.

    Returns:
        For a time-to-event endpoint one row per column of X: n, events, direction (higher or lower in those with early
        events), c and its interval (units of a patient taken together), hazard_ratio per standard deviation with low
        and high (Wald), p (score test of a Cox model, which needs no finite estimate), p_fdr, p_bonferroni, reason.

        Else one row per column of X (index "marker"): n, events, direction, auc and its DeLong interval, Youden cut-off
        (in the marker's own unit; events lie on the side that `direction` names) with sensitivity, specificity, ppv,
        npv and accuracy, mean, sd, median and quartiles of units with the event (event_mean, ...) and of the others
        (other_mean, ...), the test of the two groups (a t test where both are normally distributed, else
        Mann-Whitney) and its two-sided p, and a reason where a figure is missing.

        p_fdr (Benjamini-Hochberg) and p_bonferroni are adjusted for the markers that could be rated; of several phases
        for those of the same phase, as publications correct a table of one phase for its features.

    Raises:
        InputError: outcomes that are not 0 or 1.
    """
    if not X.index.equals(y.index):
        raise ValueError("markers and outcome have different units")
    if is_survival(y):
        rows = {name: _rate_survival(X[name].to_numpy(dtype=float), y) for name in X.columns}
        return _adjusted(pd.DataFrame.from_dict(rows, orient="index").reindex(columns=SURVIVAL_COLUMNS), phases)
    if not np.isin(y, (0, 1)).all():
        raise InputError("The outcome holds values other than 0 and 1; check the endpoint's event in study.yaml.")
    rows = {name: _rate(X[name].to_numpy(dtype=float), y.to_numpy() == 1, t_test) for name in X.columns}
    return _adjusted(pd.DataFrame.from_dict(rows, orient="index").reindex(columns=COLUMNS), phases)


def refuse_unknown(X: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuse names of markers that are not there.

    Raises:
        InputError: a name is no column of X.
    """
    unknown = [name for name in features if name not in X]
    if unknown:
        raise InputError(
            f"There is no feature '{unknown[0]}', which study.yaml names under markers/features; the features are "
            f"called like {X.columns[0]}."
        )


def _adjusted(table: pd.DataFrame, phases: Sequence[str]) -> pd.DataFrame:
    table = table.rename_axis("marker")
    families = table.index.str.partition("_").get_level_values(0) if len(phases) > 1 else np.zeros(len(table))
    for column, method in (("p_fdr", "bh"), ("p_bonferroni", "bonferroni")):
        table[column] = table["p"].astype(float).groupby(families).transform(lambda p, by=method: adjust(p, by))
    return table


def _rate(values: np.ndarray, event: np.ndarray, t_test: str) -> dict:
    known = np.isfinite(values)
    values, event = values[known], event[known]
    row = {"n": len(values), "events": int(event.sum()), "test": "", "reason": ""}
    if not 0 < row["events"] < row["n"]:
        return row | {"reason": "all units with a value have the same outcome"}
    row |= _described(values[event], "event") | _described(values[~event], "other")
    # a marker in tiny units (1e-12) would be constant after rounding to 9 decimals: scale it to sd 1 first
    spread = values.std()
    if not spread > abs(values.mean()) * np.finfo(float).eps * len(values):
        return row | {"reason": "constant"}
    scaled = (values - values.mean()) / spread
    sign = 1 if auc(event, scaled) >= 0.5 else -1
    low, high = delong_interval(event, sign * scaled)
    cutoff = {name: value for name, value in youden(event, sign * scaled).items() if name in CUTOFF}
    cutoff["threshold"] = sign * cutoff["threshold"] * spread + values.mean()
    area = auc(event, sign * scaled)
    if np.isnan(low):
        row["reason"] = "no interval: " + ("the classes are separated" if area == 1 else "fewer than two in a class")
    row["test"], row["p"] = compare_values(scaled[event], scaled[~event], t_test=t_test)
    direction = "higher" if sign > 0 else "lower"
    return row | {"direction": direction, "auc": area, "auc_low": low, "auc_high": high} | cutoff


def _described(values: np.ndarray, group: str) -> dict[str, float]:
    """Mean, standard deviation, median and quartiles of a group."""
    first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    figures = (values.mean(), spread, median, first, third)
    return {f"{group}_{name}": float(figure) for name, figure in zip(DESCRIBED, figures, strict=True)}


def _rate_survival(values: np.ndarray, y: pd.DataFrame) -> dict:
    known = np.isfinite(values)
    values, y = values[known], y[known]
    time, event = y["time"].to_numpy(dtype=float), y["event"].to_numpy(dtype=float)
    row = {"n": len(values), "events": int((event == 1).sum()), "reason": ""}
    if not row["events"]:
        return row | {"reason": "no unit with a value had the event"}
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    if not spread > abs(values.mean()) * np.finfo(float).eps * len(values):
        return row | {"reason": "constant"}
    scaled = (values - values.mean()) / spread
    try:
        found = harrell_c(time, event, scaled, clusters=y.index.get_level_values("patient"))
        fit = fit_cox(scaled[:, None], time, event)
    except InputError as error:
        return row | {"reason": str(error)}
    turned = found["c"] < 0.5
    c, low, high = (1 - found[k] for k in ("c", "high", "low")) if turned else (found[k] for k in ("c", "low", "high"))
    row |= {"direction": "lower" if turned else "higher", "c": c, "c_low": low, "c_high": high}
    if fit.aliased[0]:
        return row | {"reason": "constant among those at risk when events happen"}
    row["p"] = float(chdtrc(1, max(fit.score_statistic, 0.0)))
    if fit.separated:
        return row | {"reason": "no hazard ratio: the marker foretells the order of events without error"}
    ratios = wald_ratios(fit.coef, fit.se)[:, 0].tolist()
    return row | dict(zip(["hazard_ratio", "low", "high"], ratios, strict=True))
