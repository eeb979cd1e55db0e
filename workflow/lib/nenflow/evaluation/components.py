"""Principal components of the features of a study, and whether the first of them tell of the outcome."""

from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.models.base import is_survival
from nenflow.models.components import ENOUGH, principal_components
from nenflow.models.dataset import split
from nenflow.models.likelihood import wald_ratios
from nenflow.models.regression import Regression
from nenflow.multiplicity import adjust

EVENTS_EACH = 10  # events for each coefficient of the joint regression (Peduzzi et al. 1996, J Clin Epidemiol 49:1373)
EFFECTS = ["component", "regression", "n", "events", "ratio", "low", "high", "p", "p_holm", "reason"]


def analyse_components(dataset: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Components of the standardised features, the units' scores, and regressions of the outcome on the first ones.

    As many components are tested as there are tens of events, at least one, and no more than hold 95 % of the variance;
    each by itself and all of these together, per standard deviation: Cox, or logistic for an outcome without time,
    where the rarer outcome counts as the event. Several units of a patient are taken together (Lin and Wei's
    errors) in Cox regressions.

    Args:
        dataset: index (patient, region); outcome (or time and event) and the features.

    Returns:
        `variance`: component, sd, share, cumulative. `scores`: the dataset's index, its outcome, a column per
        component. `effects`: component, regression (alone or jointly), n, events, ratio (hazard or odds ratio per
        standard deviation) with low and high (Wald), p, p_holm (of the regressions alone, for their number), reason.
        `summary`: features, constant (names of features that do not vary, which take no part), enough (components for
        95 %), events, tested.

    Raises:
        InputError: fewer than two units, or no feature varies.
    """
    X, y = split(dataset)
    constant = [name for name in X if not np.ptp(X[name].to_numpy(float)) > 0]
    X = X.drop(columns=constant)
    found = principal_components(X.to_numpy(float))
    kept = found.sd > found.sd[0] * 1e-8  # of n units, n - 1 components vary at most
    names = [f"PC{number}" for number in range(1, int(kept.sum()) + 1)]
    shares = found.variance_ratio[kept]
    variance = pd.DataFrame(
        {"component": names, "sd": found.sd[kept], "share": shares, "cumulative": np.cumsum(shares)}
    )
    scores = pd.DataFrame(found.scores(X.to_numpy(float))[:, kept], index=X.index, columns=names)
    clustered = X.index.get_level_values("patient").has_duplicates
    regression = Regression(scores / found.sd[kept], y, robust=clustered)
    events = regression.kind.informative
    tested = max(1, min(events // EVENTS_EACH, found.enough()))
    summary = {"features": X.shape[1], "constant": constant, "share": ENOUGH, "enough": found.enough()}
    summary |= {"events": events, "tested": tested}
    effects = _effects(regression, names[:tested])
    outcome = y if is_survival(y) else y.to_frame()
    return variance, outcome.join(scores), effects, summary


def _effects(regression: Regression, names: list[str]) -> pd.DataFrame:
    base = {"n": len(regression.X), "events": regression.kind.informative}
    rows = [row | base for name in names for row in _ratios(regression, [name], "alone")]
    if len(names) > 1:
        rows += [row | base for row in _ratios(regression, names, "jointly")]
    table = pd.DataFrame(rows, columns=EFFECTS)
    alone = table["regression"] == "alone"
    table.loc[alone, "p_holm"] = adjust(table.loc[alone, "p"].to_numpy(float), "holm")
    return table


def _ratios(regression: Regression, names: list[str], kind: str) -> list[dict]:
    rows = [{"component": name, "regression": kind, "reason": ""} for name in names]
    try:
        fit = regression.fit(names)
    except InputError as error:
        return [row | {"reason": str(error)} for row in rows]
    if fit.separated:
        return [row | {"reason": "the components separate the outcomes"} for row in rows]
    first = regression.kind.intercept
    figures = [*wald_ratios(fit.coef, fit.se), fit.p]
    return [
        row | dict(zip(("ratio", "low", "high", "p"), values, strict=True))
        for row, values in zip(rows, np.transpose(figures)[first:].tolist(), strict=True)
    ]
