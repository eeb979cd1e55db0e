"""How good predictions are of units that a model was not fitted to: the same figures for every scheme of validation."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.calibration import calibration_line
from nenflow.evaluation.concordance import brier_scores, harrell_c, integrated_brier
from nenflow.evaluation.discrimination import brier
from nenflow.evaluation.indexes import cox_line
from nenflow.evaluation.operating import RATES, OperatingPoint, above, acted_on, outcome_values, rates
from nenflow.evaluation.resampling import unit_resample
from nenflow.models.base import SIGNATURE, is_survival, outcome_strata, survival_columns


def expected_events(final: Any, passed_on: pd.DataFrame, table: pd.DataFrame, y) -> np.ndarray:
    """Events that the model expects of each row: its probability, or its cumulative hazard over its own follow-up.

    Of survival: Crowson, Atkinson and Therneau, Stat Methods Med Res 2016; 25:1692.
    """
    if not is_survival(y):
        return table["probability"].to_numpy()
    own = np.diag(final.predict_survival(passed_on, y["time"].to_numpy(), outcome_strata(y)))
    return -np.log(np.maximum(own, np.finfo(float).tiny))


def judge(
    table: pd.DataFrame, y: pd.Series | pd.DataFrame, point: OperatingPoint, part: pd.Series | None = None
) -> dict[str, Any]:
    """How good predictions of rows are that they were not fitted to; NaN where a figure does not exist.

    Args:
        table: linear_predictor, probability or survival_<time>, positive (1 at or above the cut-off that was chosen on
            the units fitted), and where there are expected, Radscore and points; rows without prediction do not count.
        y: their outcome.
        point: the threshold of the net benefit, and the time of decisions.
        part: the part of each row. Models of different parts have different scales, so that only rows of one part are
            compared in pairs, and the slope has a baseline hazard per part.

    Returns:
        n and events of the rows that were predicted; c (C-index; of a binary outcome the AUC, under the name auc) with
        low and high, patients being independent; Radscore and points: the same of these; slope (and intercept of a
        binary outcome) of the calibration line; observed_expected (events over those expected); brier, of survival per
        time, and ibs; net_benefit, sensitivity and specificity (`operating.rates`).
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
    for name in [name for name in (SIGNATURE, "points") if name in table and table[name].notna().any()]:
        rated = table[name].notna().to_numpy()
        score = table.loc[rated, name].to_numpy(dtype=float)
        figures[name] = _concordance(y[rated], score, None if part is None else part[rated])
    figures |= rates(outcome_values(y), table["positive"].to_numpy(dtype=float), acted_on(table)[1], point)
    if "expected" in table:
        figures["observed_expected"] = float(event.sum() / table["expected"].sum())
    if is_survival(y):
        return figures | _survival_figures(table, y, part)
    line = calibration_line(y, predictor) if 0 < event.sum() < len(y) else (np.nan, np.nan)
    return figures | {"intercept": line[0], "slope": line[1], "brier": brier(event, table["probability"])}


def judge_resamples(
    y: pd.Series | pd.DataFrame, table: pd.DataFrame, acting: Mapping[str, Any], seed: int, numbers: Iterable[int]
) -> pd.DataFrame:
    """The figures of a finished model beside its AUC or C-index in the resamples of `resample_fixed`.

    Args:
        y: outcome, as there.
        table: scores as `protocol.scores` gives them.
        acting: threshold, time and cut_off, from `operating.apparent_rates`.
        seed, numbers: as there.

    Returns:
        columns resample, slope, intercept (not of survival), brier (of survival at the last time) and ibs, `RATES`.
    """
    point = OperatingPoint(acting["threshold"], acting["time"])
    table = table.assign(positive=above(acted_on(table)[0], acting["cut_off"]))
    outcome, rows = outcome_values(y), []
    for number in numbers:
        draw = unit_resample(outcome, seed, number)
        found = judge(table.iloc[draw], y.iloc[draw], point)
        rows.append({"resample": number} | single_figures(found))
    return pd.DataFrame(rows)


def single_figures(figures: Mapping[str, Any]) -> dict[str, float]:
    """Calibration, error and decisions among the figures of `judge`: one number each, Brier at the last time."""
    names = [name for name in ("slope", "intercept", "brier", "ibs", *RATES) if name in figures]
    found = {name: figures[name] for name in names}
    if isinstance(found.get("brier"), list):
        found["brier"] = found["brier"][-1]["brier"]
    return found


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
    """Slope and Brier scores, integrated too; there are none where nobody had the event."""
    columns = survival_columns(table)
    times = list(columns)
    slope, errors = np.nan, [np.nan] * len(times)
    if (y["event"] == 1).any():
        time, event = y["time"].to_numpy(dtype=float), y["event"].to_numpy()
        slope = cox_line(time, event, table["linear_predictor"].to_numpy(), strata=part)[0]
        errors = brier_scores(time, event, table[list(columns.values())], times)["brier"]
    by_time = [{"time": t, "brier": value} for t, value in zip(times, errors, strict=True)]
    return {"slope": slope, "brier": by_time, "ibs": integrated_brier(times, errors) if len(times) > 1 else np.nan}
