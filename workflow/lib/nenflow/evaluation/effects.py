"""How much survival differs by each variable that a study compares, and what difference it could have found."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.sample_size import detectable_hazard_ratio
from nenflow.models.cox import fit_cox
from nenflow.models.likelihood import wald_ratios
from nenflow.multiplicity import adjust

COLUMNS = ["variable", "contrast", "n", "events", "share", "hazard_ratio", "low", "high", "p", "p_holm", "detectable"]
EQUAL = "two equal groups"


def median_groups(values: pd.DataFrame) -> dict[str, pd.Series]:
    """Divide patients at the median of each variable: low up to the median (ties with it too), high above.

    Args:
        values: numbers, a column per variable; who lacks one is in neither group.

    Returns:
        by variable a categorical Series whose two levels name the cut-off, such as "low (up to 3.2)".
    """
    groups = {}
    for name, column in values.items():
        median = float(column.median())
        names = [f"low (up to {median:.4g})", f"high (over {median:.4g})"]
        labels = pd.Series(np.where(column > median, names[1], names[0]), index=column.index).where(column.notna())
        groups[name] = labels.astype(pd.CategoricalDtype(names, ordered=True))
    return groups


def survival_effects(y: pd.DataFrame, groups: Mapping[str, pd.Series], values: pd.DataFrame) -> pd.DataFrame:
    """Hazard ratios (Cox, one variable at a time), beside the smallest one that the study could have detected.

    Args:
        y: columns time and event of each patient.
        groups: by variable the group of each patient; each later group is compared with the first.
        values: continuous variables, compared per standard deviation, without any cut.

    Returns:
        a row for two groups of equal size, then one per contrast: variable, contrast, n, events, share (of patients in
        the later group; missing per standard deviation), hazard_ratio with low and high (Wald, 95 %), p, p_holm
        (corrected for the number of contrasts), detectable (see `detectable_hazard_ratio`), reason where there is no
        hazard ratio.
    """
    events = int((y["event"] == 1).sum())
    rows = [{"contrast": EQUAL, "n": len(y), "events": events, "detectable": detectable_hazard_ratio(events)}]
    for name, contrast, column in _contrasts(groups, values):
        known = column.notna().to_numpy()
        x, part = column[known].to_numpy(float), y[known]
        share = None if contrast.startswith("per ") else float(x.mean()) if len(x) else np.nan
        rows.append({"variable": name, "contrast": contrast} | _effect(x, part, share))
    table = pd.DataFrame(rows, columns=[*COLUMNS, "reason"])
    table["p_holm"] = adjust(table["p"].to_numpy(float), "holm")
    return table.assign(**{name: table[name].astype(object).fillna("") for name in ("variable", "reason")})


def _contrasts(groups: Mapping[str, pd.Series], values: pd.DataFrame) -> Iterator[tuple[str, str, pd.Series]]:
    """Variable, name and column (0 and 1, or standardised) of each contrast."""
    for name, labels in groups.items():
        first, *others = labels.cat.categories
        for level in others:
            column = (labels == level).astype(float).where(labels.isin([first, level]))
            yield name, f"{level} vs. {first}", column
    for name, column in values.items():
        yield name, "per standard deviation", (column - column.mean()) / column.std()


def _effect(x: np.ndarray, y: pd.DataFrame, share: float | None) -> dict:
    events = int((y["event"] == 1).sum())
    row = {"n": len(x), "events": events, "share": share}
    if not len(x) or not np.ptp(x) > 0 or not events:
        return row | {"reason": "all patients are alike, or none had the event"}
    row["detectable"] = detectable_hazard_ratio(events, share)
    try:
        fit = fit_cox(x[:, None], y["time"].to_numpy(float), y["event"].to_numpy(float))
    except InputError as error:
        return row | {"reason": str(error)}
    if fit.separated or fit.aliased[0]:
        return row | {"reason": "the variable separates those with early events from the others"}
    ratio, low, high = wald_ratios(fit.coef, fit.se)[:, 0].tolist()
    return row | {"hazard_ratio": ratio, "low": low, "high": high, "p": float(fit.p[0])}
