"""Cross-validation of a whole construction: protocol, score, its points and cut-offs are fitted without each part.

Parts are folds of patients, or centres (internal-external validation: Royston, Parmar and Sylvester, Stat Med 2004;
23:907; Steyerberg and Harrell, J Clin Epidemiol 2016; 69:245). What is fitted sees nothing of the part left out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.calibration import calibration_line
from nenflow.evaluation.concordance import brier_scores, harrell_c
from nenflow.evaluation.discrimination import brier
from nenflow.evaluation.indexes import cox_line
from nenflow.models.base import is_survival, outcome_strata, survival_columns
from nenflow.models.lasso import folds_of
from nenflow.models.protocol import scores as protocol_scores
from nenflow.models.score import fit_score, observed_risk, strata_of, total_score
from nenflow.tables import FOLDS, UNIT

STREAM = 11  # of the random draws that deal patients to folds


def parts_of(
    X: pd.DataFrame, y: pd.Series | pd.DataFrame, seed: int, settings: Mapping[str, Any], centres: pd.Series | None
) -> dict[str, pd.Series]:
    """The part that each row belongs to, by scheme: `folds`, and the variable whose levels are left out.

    Folds keep patients together and have about the same share of events each; the seed decides them.

    Args:
        X, y: model data and outcome (0 or 1, or columns time and event), index (patient, region).
        settings: folds (how many) and leave_out (the variable), either may be absent.
        centres: that variable's level by patient.

    Raises:
        InputError: there are fewer patients or events than folds need, or a patient has no centre.
    """
    patients, parts = X.index.get_level_values("patient"), {}
    if "folds" in settings:
        try:
            numbers = folds_of(y.to_numpy(), patients.to_numpy(), settings["folds"], [seed, STREAM])
        except InputError as error:
            raise InputError(f"{error} Lower evaluation/folds in study.yaml, or take it away.") from None
        parts[FOLDS] = pd.Series(numbers + 1, X.index)
    if "leave_out" in settings:
        levels = centres.reindex(patients)
        if levels.isna().any():
            lacking = patients[levels.isna().to_numpy()].nunique()
            raise InputError(
                f"{lacking} patient(s) have no value of {settings['leave_out']}, whose levels evaluation/leave_out "
                "leaves out one by one; fill it in or take leave_out away."
            )
        parts[settings["leave_out"]] = pd.Series(levels.to_numpy(), X.index)
    return parts


def cross_validate(
    protocol: Pipeline,
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    parts: Mapping[str, pd.Series],
    score: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Fit everything anew without each part and apply it to that part.

    Args:
        protocol: unfitted; a clone is fitted to the other rows each time.
        X, y: as in `parts_of`.
        parts: the part of each row, by scheme.
        score: rule and cut-offs of the integer score, where the model has one.

    Returns:
        a row per unit and scheme: patient, region, scheme, fold, linear_predictor, probability (or survival_<time>),
        points and stratum of the score; blank where a part could not be predicted.
        A document: by scheme its `parts` (see `_without`, with the figures of `_figures`), the same figures `pooled`
        over the rows that were predicted, and `strata`, the risk seen in out-of-part strata.
    """
    tables, document = [], {}
    for scheme, labels in parts.items():
        rows, entries = [], []
        for label in sorted(labels.unique()):
            row, entry = _without(protocol, X, y, (labels == label).to_numpy(), score)
            rows.append(row.assign(scheme=scheme, fold=label))
            entries.append({"part": str(label), **entry, **_figures(row, y.loc[row.index])})
        table = pd.concat(rows).loc[X.index]
        figures = _figures(table, y, table["fold"])
        document[scheme] = {"parts": entries, "pooled": figures, "strata": _observed(table, y, entries, protocol)}
        tables.append(table)
    units = pd.concat(tables).reset_index()
    if "points" in units:
        units = units.astype({"points": "Int64"})  # whole also where some are missing
    first = [*UNIT, "scheme", "fold"]
    return units[[*first, *units.columns.difference(first, sort=False)]], plain(document)


def _without(protocol: Pipeline, X: pd.DataFrame, y, inside: np.ndarray, score: Mapping[str, Any] | None):
    """What a construction fitted to the other rows says of these, and what it consists of.

    Returns:
        the scores of the rows inside, with points and stratum where there is a score, and expected (events); and
        fitted_to (rows), variables of the final model, score (points by variable, cut-offs), and a note where the
        protocol or the score could not be fitted or applied.
    """
    blank = pd.DataFrame({"linear_predictor": np.nan}, index=X.index[inside])
    entry: dict[str, Any] = {"fitted_to": int((~inside).sum()), "variables": [], "score": None, "note": ""}
    try:
        if not is_survival(y) and y[~inside].nunique() < 2:
            raise InputError("All other units have the same outcome.")
        fitted = clone(protocol).fit(X[~inside], y[~inside])
        passed_on = fitted[:-1].transform(X) if len(fitted) > 1 else X
        strata = outcome_strata(y[inside]) if is_survival(y) else None
        table = protocol_scores(fitted, X[inside], strata).drop(columns="Radscore")
        expected = _expected(fitted[-1], passed_on[inside], table, y[inside])
    except InputError as error:
        return blank, entry | {"note": f"not computable: {error}"}
    final = fitted[-1].document()
    entry |= {"variables": list(final["coefficients"]), "note": "" if final["coefficients"] else "nothing selected"}
    table = table.assign(expected=expected)
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


def _expected(final: Any, passed_on: pd.DataFrame, table: pd.DataFrame, y) -> np.ndarray:
    """Events that the model expects of each row: its probability, or its cumulative hazard over its own follow-up.

    Of survival: Crowson, Atkinson and Therneau, Stat Methods Med Res 2016; 25:1692.
    """
    if not is_survival(y):
        return table["probability"].to_numpy()
    own = np.diag(final.predict_survival(passed_on, y["time"].to_numpy(), outcome_strata(y)))
    return -np.log(np.maximum(own, np.finfo(float).tiny))


def _figures(table: pd.DataFrame, y: pd.Series | pd.DataFrame, part: pd.Series | None = None) -> dict[str, Any]:
    """How good predictions of rows are that they were not fitted to; NaN where a figure does not exist.

    Args:
        table: linear_predictor, expected, probability or survival_<time>; rows without prediction do not count.
        y: their outcome.
        part: the part of each row. Models of different parts have different scales, so that only rows of one part are
            compared in pairs, and the slope has a baseline hazard per part.

    Returns:
        n and events of the rows that were predicted; c (C-index; of a binary outcome the AUC, under the name auc) with
        low and high, patients being independent; points: the same of the score; slope (and intercept of a binary
        outcome) of the calibration line; observed_expected (events over those expected); brier, of survival per time.
    """
    known = table["linear_predictor"].notna().to_numpy()
    if is_survival(y) and "stratum" in y:  # a stratified model compares within strata anyway
        stratum = y["stratum"].astype(str)
        part = stratum if part is None else part.astype(str) + "|" + stratum
    table, y, part = table[known], y[known], None if part is None else part[known]
    event = (y["event"] if is_survival(y) else y).to_numpy() == 1
    predictor = table["linear_predictor"].to_numpy()
    figures = {"n": len(y), "events": int(event.sum()), **_concordance(y, predictor, part)}
    if not len(y):
        return figures
    if "points" in table:
        rated = table["points"].notna().to_numpy()
        points = table.loc[rated, "points"].to_numpy(dtype=float)
        figures["points"] = _concordance(y[rated], points, None if part is None else part[rated])
    figures["observed_expected"] = float(event.sum() / table["expected"].sum())
    if is_survival(y):
        return figures | _survival_figures(table, y, part)
    line = calibration_line(y, predictor) if 0 < event.sum() < len(y) else (np.nan, np.nan)
    return figures | {"intercept": line[0], "slope": line[1], "brier": brier(event, table["probability"])}


def _concordance(y: pd.Series | pd.DataFrame, predictor: np.ndarray, part: pd.Series | None) -> dict[str, float]:
    """C-index or AUC with its interval; NaN where no two rows can be ordered."""
    measure = "c" if is_survival(y) else "auc"
    time, event = y["time"] if is_survival(y) else 2.0 - y, y["event"] if is_survival(y) else y
    # An AUC is a C-index in which everybody with the event has it before everybody without.
    try:
        patients = y.index.get_level_values("patient")
        found = harrell_c(time.to_numpy(dtype=float), event.to_numpy(), predictor, strata=part, clusters=patients)
    except InputError:
        return dict.fromkeys([measure, "low", "high"], np.nan)
    return {measure: found["c"], "low": found["low"], "high": found["high"]}


def _survival_figures(table: pd.DataFrame, y: pd.DataFrame, part: pd.Series | None) -> dict[str, Any]:
    """Slope and Brier scores; there are none where nobody had the event."""
    columns = survival_columns(table)
    times = list(columns)
    slope, errors = np.nan, [np.nan] * len(times)
    if (y["event"] == 1).any():
        time, event = y["time"].to_numpy(dtype=float), y["event"].to_numpy()
        slope = cox_line(time, event, table["linear_predictor"].to_numpy(), strata=part)[0]
        errors = brier_scores(time, event, table[list(columns.values())], times)["brier"]
    return {"slope": slope, "brier": [{"time": t, "brier": value} for t, value in zip(times, errors, strict=True)]}


def _observed(table: pd.DataFrame, y, entries: list[dict[str, Any]], protocol: Pipeline) -> list[dict[str, Any]]:
    """The risk seen by the strata to which constructions that did not see the rows assigned them."""
    names = next((entry["score"]["strata"] for entry in entries if entry["score"]), None)
    if names is None:
        return []
    rated = table["stratum"].notna().to_numpy()
    stratum = table.loc[rated, "stratum"].map({name: number for number, name in enumerate(names)})
    return plain(observed_risk(stratum, y[rated], names, getattr(protocol[-1], "times", ())).to_dict("records"))
