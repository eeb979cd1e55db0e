"""Cross-validation of a whole construction: protocol, score, its points and cut-offs are fitted without each part.

Parts are folds of patients, dealt anew in every repeat (Kim, Comput Stat Data Anal 2009; 53:3735); centres
(internal-external validation: Royston, Parmar and Sylvester, Stat Med 2004; 23:907; Steyerberg and Harrell, J Clin
Epidemiol 2016; 69:245); or the patients from a time on (temporal validation). What is fitted sees nothing of the part
left out; what protocols choose by cross-validation they choose inside (nested).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.decision import THRESHOLDS, net_benefit, net_benefit_survival
from nenflow.evaluation.judging import expected_events, judge
from nenflow.evaluation.operating import OperatingPoint, above, acted_on, cut_off, operating_point, outcome_values
from nenflow.models.base import is_survival, outcome_strata, survival_columns
from nenflow.models.lasso import folds_of
from nenflow.models.protocol import scores as protocol_scores
from nenflow.models.score import fit_score, observed_risk, strata_of, total_score
from nenflow.tables import FOLDS, TEMPORAL, UNIT

STREAM = 11  # of the random draws that deal patients to folds


def parts_of(
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    seed: int,
    settings: Mapping[str, Any],
    patients: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """The part that each row belongs to, by scheme: folds, the variable whose levels are left out, temporal.

    Folds keep patients together and have about the same share of events each; the seed decides them.

    Args:
        X, y: model data and outcome (0 or 1, or columns time and event), index (patient, region).
        settings: folds (how many) with repeats (how often they are dealt), leave_out (a variable), temporal (a variable
            and from which value on rows are judged); all may be absent.
        patients: these variables, index patient.

    Returns:
        by scheme a column per repeat (1, 2 and so on); missing where a row is always fitted to and never judged.

    Raises:
        InputError: there are fewer patients or events than folds need, a patient lacks a variable, or a temporal split
            leaves nobody on one side.
    """
    names, parts = X.index.get_level_values("patient"), {}
    if "folds" in settings:
        # the first one has the draws that it has without repeats
        streams = [[seed, STREAM, *([repeat] if repeat else [])] for repeat in range(settings.get("repeats", 1))]
        try:
            dealt = [folds_of(y.to_numpy(), names.to_numpy(), settings["folds"], stream) for stream in streams]
        except InputError as error:
            raise InputError(f"{error} Lower evaluation/folds in study.yaml, or take it away.") from None
        parts[FOLDS] = pd.DataFrame({repeat: folds + 1 for repeat, folds in enumerate(dealt, start=1)}, X.index)
    if "leave_out" in settings:
        variable = settings["leave_out"]
        parts[variable] = pd.DataFrame({1: _known(patients, names, variable, "leave_out")}, X.index)
    if "temporal" in settings:
        variable, start = settings["temporal"]["variable"], settings["temporal"]["from"]
        later = _known(patients, names, variable, TEMPORAL) >= start
        if later.all() or not later.any():
            raise InputError(
                f"No {'' if later.all() else 'later '}patient has {variable} {'below' if later.all() else 'from'} "
                f"{start:g} on, so that evaluation/temporal leaves nobody to "
                f"{'fit' if later.all() else 'judge'}; choose another value."
            )
        parts[TEMPORAL] = pd.DataFrame({1: np.where(later, f"from {start:g}", None)}, X.index)
    return parts


def _known(patients: pd.DataFrame, names: pd.Index, variable: str, key: str) -> np.ndarray:
    """A variable of each row's patient, by which rows are divided."""
    values = patients[variable].reindex(names)
    if values.isna().any():
        lacking = names[values.isna().to_numpy()].nunique()
        raise InputError(
            f"{lacking} patient(s) have no value of {variable}, by which evaluation/{key} divides them; fill it in "
            f"or take {key} away."
        )
    return values.to_numpy()


def cross_validate(
    protocol: Pipeline,
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    parts: Mapping[str, pd.DataFrame],
    score: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit everything anew without each part and apply it to that part.

    Args:
        protocol: unfitted; a clone is fitted to the other rows each time.
        X, y, parts: as in `parts_of`.
        score: rule and cut-offs of the integer score, where the model has one.

    Returns:
        a row per unit, scheme and repeat: patient, region, scheme, repeat, fold, Radscore, linear_predictor,
        probability (or survival_<time>), expected (events), positive (1 at or above Youden's cut-off on the rows fitted
        to), points and stratum of the score; blank where a part could not be predicted.
        A document: by scheme its `parts` (repeat and part, see `_without`, with the figures of `judge`), `repeats` (the
        same figures over the rows of one repeat that were predicted), `pooled` (their `mean_figures`) and, of the first
        repeat, `strata`, the risk seen in out-of-part strata.
    """
    point, tables, document = operating_point(y, getattr(protocol[-1], "times", ())), [], {}
    for scheme, columns in parts.items():
        entries, runs, strata = [], [], []
        for repeat, labels in columns.items():
            rows = []
            for label in sorted(labels.dropna().unique()):
                row, entry = _without(protocol, X, y, (labels == label).to_numpy(), score, point)
                rows.append(row.assign(scheme=scheme, repeat=repeat, fold=label))
                entries.append({"repeat": repeat, "part": str(label), **entry, **judge(row, y.loc[row.index], point)})
            table = pd.concat(rows).loc[X.index[labels.notna()]]
            of_rows = y.loc[table.index]
            runs.append(judge(table, of_rows, point, table["fold"]))
            strata = strata or _observed(table, of_rows, entries, protocol)
            tables.append(table)
        document[scheme] = {"parts": entries, "repeats": runs, "pooled": mean_figures(runs), "strata": strata}
    units = pd.concat(tables).reset_index()
    if "points" in units:
        units = units.astype({"points": "Int64"})  # whole also where some are missing
    first = [*UNIT, "scheme", "repeat", "fold"]
    return units[[*first, *units.columns.difference(first, sort=False)]], plain(document)


def mean_figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of repeats put together: the mean of each, and under `sd` how far repeats vary, where there are several.

    So are the ends of an interval. Repeats are of the same patients, so they make an estimate depend less on how folds
    fell, but no interval narrower: what it tells, how much other patients would change the estimate, stays.

    Args:
        runs: from `judge`, a mapping per repeat. n and events are the least of any.
    """
    found: dict[str, Any] = {}
    spread: dict[str, float] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run[name] for run in runs if name in run]
        if isinstance(values[0], dict):
            found[name] = mean_figures(values)
        elif isinstance(values[0], list):
            by_time = zip(*values, strict=True)
            found[name] = [{"time": at[0]["time"], "brier": _mean([row["brier"] for row in at])} for at in by_time]
        elif name in ("n", "events"):
            found[name] = min(values)
        else:
            found[name] = _mean(values)
            spread |= {name: float(np.nanstd(values, ddof=1))} if np.isfinite(values).sum() > 1 else {}
    return found | ({"sd": spread} if spread else {})


def out_of_fold_decision(units: pd.DataFrame, y: pd.Series | pd.DataFrame) -> pd.DataFrame:
    """Decision curve of predictions for units that were not fitted to: those of the folds, pooled.

    Of several repeats the mean net benefit at each threshold. Units that could not be predicted do not count.

    Args:
        units: from `cross_validate`.
        y: the outcome, as there.

    Returns:
        columns threshold, net_benefit, and of an outcome with time also time, a curve per time; without rows where
        there are no folds.
    """
    curves = [pd.DataFrame(columns=[*(["time"] if is_survival(y) else []), "threshold", "net_benefit"])]
    for repeat, rows in units[(units["scheme"] == FOLDS) & units["linear_predictor"].notna()].groupby("repeat"):
        rows = rows.set_index(UNIT)
        outcome = y.loc[rows.index]
        if not is_survival(y):
            benefit = net_benefit(outcome, rows["probability"], THRESHOLDS)
            curves.append(pd.DataFrame({"threshold": THRESHOLDS, "net_benefit": benefit, "repeat": repeat}))
            continue
        for at, name in survival_columns(rows).items():
            benefit = net_benefit_survival(outcome["time"], outcome["event"], 1 - rows[name], at, THRESHOLDS)
            table = {"time": at, "threshold": THRESHOLDS, "net_benefit": benefit, "repeat": repeat}
            curves.append(pd.DataFrame(table))
    if len(curves) == 1:
        return curves[0]
    together, by = pd.concat(curves[1:]), list(curves[0].columns[:-1])
    return together.groupby(by, as_index=False)["net_benefit"].mean()


def _mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def _without(
    protocol: Pipeline,
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    inside: np.ndarray,
    score: Mapping[str, Any] | None,
    point: OperatingPoint,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What a construction fitted to the other rows says of these, and what it consists of.

    Returns:
        the scores of the rows inside, with points and stratum where there is a score, expected (events) and positive;
        and fitted_to (rows), variables of the final model, features of the Radscore, score (points by variable,
        cut-offs), and a note where the protocol or the score could not be fitted or applied.
    """
    blank = pd.DataFrame({"linear_predictor": np.nan}, index=X.index[inside])
    entry: dict[str, Any] = {"fitted_to": int((~inside).sum()), "variables": [], "features": []}
    entry |= {"score": None, "note": ""}
    try:
        if not is_survival(y) and y[~inside].nunique() < 2:
            raise InputError("All other units have the same outcome.")
        fitted = clone(protocol).fit(X[~inside], y[~inside])
        passed_on = fitted[:-1].transform(X) if len(fitted) > 1 else X
        everybody = protocol_scores(fitted, X, outcome_strata(y) if is_survival(y) else None)
        table = everybody[inside]
        expected = expected_events(fitted[-1], passed_on[inside], table, y[inside])
    except InputError as error:
        return blank, entry | {"note": f"not computable: {error}"}
    final = fitted[-1].document()
    entry |= {"variables": list(final["coefficients"]), "note": "" if final["coefficients"] else "nothing selected"}
    if "lasso" in fitted.named_steps:
        entry["features"] = list(fitted.named_steps["lasso"].document()["coefficients"])
    marker = acted_on(everybody)[0]
    at = cut_off(outcome_values(y)[~inside], marker[~inside], point)
    table = table.assign(expected=expected, positive=above(marker[inside], at))
    if score is None or not final["coefficients"]:
        return table, entry
    terms = fitted.named_steps["terms"].document() if "terms" in fitted.named_steps else None
    try:
        found = fit_score(final, passed_on[~inside], y[~inside], score, terms)
        points = total_score(found, passed_on[inside])
    except InputError as error:
        return table, entry | {"note": f"no score: {error}"}
    stratum = np.array(found["strata"], dtype=object)[strata_of(points, found["cutoffs"])]
    return table.assign(points=points, stratum=stratum), entry | {"score": found}


def _observed(table: pd.DataFrame, y, entries: list[dict[str, Any]], protocol: Pipeline) -> list[dict[str, Any]]:
    """The risk seen by the strata to which constructions that did not see the rows assigned them."""
    names = next((entry["score"]["strata"] for entry in entries if entry["score"]), None)
    if names is None:
        return []
    rated = table["stratum"].notna().to_numpy()
    stratum = table.loc[rated, "stratum"].map({name: number for number, name in enumerate(names)})
    return plain(observed_risk(stratum, y[rated], names, getattr(protocol[-1], "times", ())).to_dict("records"))
