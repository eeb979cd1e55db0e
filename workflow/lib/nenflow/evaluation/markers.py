import numpy as np
import pandas as pd
from scipy.stats import chi2, mannwhitneyu
from statsmodels.stats.multitest import multipletests

from nenflow.errors import InputError
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.discrimination import Z95, auc, delong_interval, youden
from nenflow.models.base import is_survival
from nenflow.models.cox import fit_cox

EXACT_BELOW = 50  # units per class under which the rank test is exact when there are no ties, as R's wilcox.test
CUTOFF = ["threshold", "sensitivity", "specificity", "ppv", "npv", "accuracy"]
COLUMNS = ["n", "events", "direction", "auc", "auc_low", "auc_high", *CUTOFF, "p", "p_fdr", "p_bonferroni", "reason"]
SURVIVAL_COLUMNS = [
    *("n", "events", "direction", "c", "c_low", "c_high", "hazard_ratio", "low", "high"),
    *("p", "p_fdr", "p_bonferroni", "reason"),
]


def rate_markers(X: pd.DataFrame, y: pd.Series | pd.DataFrame) -> pd.DataFrame:
    """Discrimination of each single column by itself, with p values adjusted for the number of columns.

    Each marker is turned so that its AUC (C-index) is at least 0.5; `direction` says whether events are "higher" or
    "lower". Choosing the direction and the cut-off on the same units flatters both: with few units most AUCs lie well
    above 0.5 by chance, which the adjusted p values show.

    Args:
        X: markers, one column each; units in rows. A unit without a value is left out of that marker only (see n).
        y: 0/1 per unit, 1 = event, or columns time and event; same index as X.

    Returns:
        For a time-to-event endpoint one row per column of X: n, events, direction (higher or lower in those with early
        events), c and its interval (units of a patient taken together), hazard_ratio per standard deviation with low
        and high (Wald), p (score test of a Cox model, which needs no finite estimate), p_fdr, p_bonferroni, reason.

        Else one row per column of X (index "marker"): n, events, direction, auc and its DeLong interval, Youden cut-off
        (in the marker's own unit; events lie on the side that `direction` names) with sensitivity, specificity, ppv,
        npv and accuracy, two-sided Mann-Whitney p, Benjamini-Hochberg (p_fdr) and Bonferroni adjusted p over the
        markers that could be rated, and a reason where a figure is missing.

    Raises:
        InputError: outcomes that are not 0 or 1.
    """
    if not X.index.equals(y.index):
        raise ValueError("markers and outcome have different units")
    if is_survival(y):
        rows = {name: _rate_survival(X[name].to_numpy(dtype=float), y) for name in X.columns}
        return _adjusted(pd.DataFrame.from_dict(rows, orient="index").reindex(columns=SURVIVAL_COLUMNS))
    if not np.isin(y, (0, 1)).all():
        raise InputError("The outcome holds values other than 0 and 1; check the endpoint's event in study.yaml.")
    rows = {name: _rate(X[name].to_numpy(dtype=float), y.to_numpy() == 1) for name in X.columns}
    return _adjusted(pd.DataFrame.from_dict(rows, orient="index").reindex(columns=COLUMNS))


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    table = table.rename_axis("marker")
    rated = table["p"].notna()
    if rated.any():
        p = table.loc[rated, "p"].astype(float)
        table.loc[rated, "p_fdr"] = multipletests(p, method="fdr_bh")[1]
        table.loc[rated, "p_bonferroni"] = multipletests(p, method="bonferroni")[1]
    return table


def _rate(values: np.ndarray, event: np.ndarray) -> dict:
    known = np.isfinite(values)
    values, event = values[known], event[known]
    row = {"n": len(values), "events": int(event.sum()), "reason": ""}
    if not 0 < row["events"] < row["n"]:
        return row | {"reason": "all units with a value have the same outcome"}
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
    p = _rank_test(values[event], values[~event])
    direction = "higher" if sign > 0 else "lower"
    return row | {"direction": direction, "auc": area, "auc_low": low, "auc_high": high, "p": p} | cutoff


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
    row["p"] = float(chi2.sf(fit.score_statistic, 1))
    if fit.separated:
        return row | {"reason": "no hazard ratio: the marker foretells the order of events without error"}
    ends = fit.coef[0] + np.array([0, -Z95, Z95]) * fit.se[0]
    return row | dict(zip(["hazard_ratio", "low", "high"], np.exp(ends).tolist(), strict=True))


def _rank_test(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided Mann-Whitney p, by R's rule: exact for small samples without ties, else normal with correction."""
    ties = len(np.unique(np.concatenate([first, second]))) < len(first) + len(second)
    exact = not ties and max(len(first), len(second)) < EXACT_BELOW
    return float(mannwhitneyu(first, second, method="exact" if exact else "asymptotic").pvalue)
