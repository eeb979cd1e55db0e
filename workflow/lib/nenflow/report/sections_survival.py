"""The parts of a report that tell of outcomes that come with time: curves by group, and what a Cox model is worth."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.models.base import survival_column
from nenflow.report.alternatives import curve_words, decision_words
from nenflow.report.figures_evaluation import decision_figure
from nenflow.report.figures_survival import (
    incidence_figure,
    survival_calibration_figure,
    survival_figure,
    time_roc_figure,
)
from nenflow.report.page import Drawing, Heading, Printed, Text
from nenflow.report.sections_effects import effect_blocks
from nenflow.report.tables import cutpoints_table, median_text, survival_table
from nenflow.report.wording import decimal, interval, listed, p_words, percent, score_label
from nenflow.tables import ALL


def survival_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Kaplan-Meier curves of each time-to-event endpoint that the study asks for, their tests and cut-points."""
    blocks: list[Any] = []
    for endpoint in study.get("survival", {}):
        files = {
            name: results.get(f"evaluation/survival_{endpoint}/{name}.csv")
            for name in ("curves", "summary", "tests", "effects", "cutpoints", "incidence")
        }
        if files["curves"] is None:
            continue
        if len(study["survival"]) > 1:
            blocks.append(Heading(_title(study, endpoint)))
        blocks += _follow_up(study, endpoint, files["summary"])
        blocks += _curves(study, endpoint, files)
        blocks += _incidence(study, endpoint, files)
        shown = survival_table(files["summary"], files["tests"], study["variables"], study["endpoints"][endpoint])
        caption = f"{_title(study, endpoint)}: median and survival by group, with 95% intervals (log scale)."
        blocks.append(Printed(f"survival_{endpoint}", shown, caption, full=files["summary"]))
        blocks += _cutpoints(study, endpoint, files["cutpoints"])
        if files["effects"] is not None:
            blocks += effect_blocks(study, endpoint, files["effects"], _title(study, endpoint))
    return blocks


def _title(study: Mapping[str, Any], endpoint: str) -> str:
    """Such as "Overall survival (months)": the label of the time."""
    return study["variables"][study["endpoints"][endpoint]["time"]]["label"]


def _share(study: Mapping[str, Any], endpoint: str) -> str:
    settings = study["endpoints"][endpoint]
    label = study["variables"][settings["variable"]]["label"]
    return f"Share without “{settings['event']}” ({label})"


def _follow_up(study: Mapping[str, Any], endpoint: str, summary: pd.DataFrame) -> list[Any]:
    everybody = summary[summary["group"] == ALL].iloc[0]
    words = f"{int(everybody['n'])} patients, {int(everybody['events'])} events; median follow-up "
    words += "not reached" if pd.isna(everybody["follow_up"]) else decimal(everybody["follow_up"], 1)
    words += " (reverse Kaplan-Meier), median time to the event "
    words += median_text(everybody)
    if "competing" in study["endpoints"][endpoint]:
        words += (
            ". Another event competes: Kaplan-Meier's curves and log-rank tests count it as censored, which is right "
            "for the cause-specific hazard only; the cumulative incidence shows who really has the event"
        )
    return [Text(f"{words}.")]


def _curves(study: Mapping[str, Any], endpoint: str, files: Mapping[str, pd.DataFrame]) -> list[Any]:
    blocks = []
    tests, curves = files["tests"], files["curves"].fillna({"variable": ""})
    for variable, rows in curves.groupby("variable", sort=False):
        label = study["variables"][variable]["label"] if variable else "all patients"
        found = tests[(tests["variable"] == variable) & (tests["test"] == "log-rank")]
        note = f"{label}; {_test_words('log-rank', found)}" if len(found) else ""
        figure = survival_figure(rows, _title(study, endpoint), _share(study, endpoint), note)
        caption = f"Kaplan-Meier curves: {label}. Ticks are censored patients; below, how many are at risk."
        alt = f"Kaplan-Meier curves of {_title(study, endpoint)}. {_group_words(files['summary'], variable)}"
        alt += f" {note}." if note else ""
        blocks.append(Drawing(f"km_{endpoint}_{variable or ALL}", figure, caption, alt))
    return blocks


def _group_words(summary: pd.DataFrame, variable: str) -> str:
    """Events and median of each group of a variable, or of all patients."""
    rows = summary[summary["variable"].fillna("") == variable]
    words = [
        f"{row['group']}: {row['events']:.0f} of {row['n']:.0f}, median {median_text(row)}"
        for _, row in rows.iterrows()
    ]
    return f"{'; '.join(words)}."


def _test_words(name: str, found: pd.DataFrame) -> str:
    """A test's p in words, or that there is none."""
    p = found["p"].iloc[0]
    return f"{name} not computable" if pd.isna(p) else f"{name} {p_words(p)}"


def _incidence(study: Mapping[str, Any], endpoint: str, files: Mapping[str, pd.DataFrame]) -> list[Any]:
    if files["incidence"].empty:
        return []
    settings, blocks = study["endpoints"][endpoint], []
    causes = {1: settings["event"], 2: settings["competing"]}
    table = files["incidence"].fillna({"variable": ""})
    for variable, rows in table.groupby("variable", sort=False):
        label = study["variables"][variable]["label"] if variable else "all patients"
        tests = files["tests"]
        found = tests[(tests["variable"] == variable) & (tests["test"] == "Gray")]
        note = _test_words("Gray's test", found) if len(found) else ""
        named = rows.assign(cause=rows["cause"].map(causes))
        figure = incidence_figure(named, _title(study, endpoint), "Cumulative incidence", note)
        caption = f"Cumulative incidence (Aalen and Johansen) of “{causes[1]}” and “{causes[2]}”: {label}."
        last = named.sort_values("time", kind="stable").groupby(["group", "cause"], sort=False).tail(1)
        ends = [f"{row.group}, {row.cause}: {percent(row.incidence)} by {row.time:g}" for row in last.itertuples()]
        alt = f"Cumulative incidence. {'; '.join(ends)}. {note}"
        blocks.append(Drawing(f"incidence_{endpoint}_{variable or ALL}", figure, caption, alt.strip()))
    return blocks


def _cutpoints(study: Mapping[str, Any], endpoint: str, table: pd.DataFrame) -> list[Any]:
    if table.empty:
        return []
    shown = cutpoints_table(table, study["variables"])
    note = "The cut with the largest log-rank statistic was searched for, which makes its own p far too small (last "
    note += "column). The corrected p (Lausen and Schumacher 1992; permutation) knows of the search."
    caption = f"{_title(study, endpoint)}: best cut-points (maximally selected log-rank statistics)."
    return [Printed(f"cutpoints_{endpoint}", shown, caption, note, table)]


def cox_discrimination(
    study: Mapping[str, Any], model: str, performance: Mapping[str, Any], roc: pd.DataFrame | None
) -> list[Any]:
    """Time-dependent ROC curves and the table of C-indices, AUC and Brier score by time."""
    figures = performance.get(model)
    if not figures or roc is None:
        return []
    blocks: list[Any] = []
    unit = _title(study, study["models"][model]["endpoint"])
    areas = {f"{row['time']:g}": interval(row["auc"], row["low"], row["high"]) for row in figures["auc"]}
    if len(roc):
        figure = time_roc_figure(roc, areas, unit)
        caption = "Cumulative/dynamic ROC curves on the data the model was made from, censoring weighted (IPCW); the "
        caption += "bands hold 95% of the finished model's curves in resampled patients."
        alt = "; ".join(f"at {time} AUC {area}" for time, area in areas.items())
        blocks.append(Drawing(f"roc_{model}", figure, caption, f"Time-dependent ROC curves: {alt}."))
    brier = {row["time"]: row for row in figures["brier"]}
    rows = [
        {
            "Time": f"{row['time']:g}",
            "AUC (95% CI)": interval(row["auc"], row["low"], row["high"]),
            "Brier score (95% CI)": interval(*(brier[row["time"]][key] for key in ("brier", "low", "high"))),
            "Brier score without a model": decimal(brier[row["time"]]["null"]),
        }
        for row in figures["auc"]
    ]
    note = f"C-index {interval(figures['c'], *figures['c_interval'])} (Harrell"
    note += ", within strata); " if figures["uno"] is None else f"), {decimal(figures['uno'])} (Uno); "
    note += f"integrated Brier score {decimal(figures['ibs'])}, with steps at these times and 0 before the first, as "
    note += "riskRegression has it: it compares with those of the same times only. All apparent."
    caption = f"Apparent discrimination and error by time ({unit})."
    blocks.append(Printed(f"discrimination_{model}", pd.DataFrame(rows), caption, note))
    return blocks


def cox_calibration(
    study: Mapping[str, Any],
    model: str,
    curves: pd.DataFrame | None,
    groups: pd.DataFrame | None,
    scores: pd.DataFrame,
) -> list[Any]:
    """Calibration of predicted survival at each of the endpoint's times."""
    if curves is None or groups is None:
        return []
    blocks = []
    unit = _title(study, study["models"][model]["endpoint"])
    for time, rows in groups.groupby("time"):
        known = rows.dropna(subset=["observed"])
        if known.empty:
            continue
        curve = curves[(curves["time"] == time) & curves["apparent"].notna()]
        figure = survival_calibration_figure(known, curve, f"survival at {time:g}", scores[survival_column(time)])
        caption = f"Observed against predicted survival at {time:g} ({unit}): groups of prediction (Kaplan-Meier, 95% "
        caption += "interval) and smooth curve, apparent and corrected by refitting in resamples. "
        caption += "Below: how many have each prediction."
        alt = f"Calibration of survival at {time:g}. {curve_words(curve)}"
        blocks.append(Drawing(f"calibration_{model}_{time:g}", figure, caption, alt))
    return blocks


def cox_decision(
    study: Mapping[str, Any], model: str, decision: pd.DataFrame | None, outside: pd.DataFrame | None = None
) -> list[Any]:
    """Decision curves at each of the endpoint's times; `outside`: of predictions for folds that were left out."""
    if decision is None:
        return []
    unit = _title(study, study["models"][model]["endpoint"])
    blocks = []
    for time, rows in decision.groupby("time"):
        caption = f"Net benefit of acting on the risk of the event by {time:g} ({unit}); apparent with 95% interval "
        caption += "(finished model, resampled patients), and corrected for optimism by refitting"
        here = None if outside is None else outside[outside["time"] == time]
        caption += "." if here is None or here.empty else "; thin: of predictions for the folds that were left out."
        if rows.loc[rows["strategy"] == "model", "net_benefit"].isna().any():
            caption += f" No line: nobody with such a risk was followed up to {time:g}."
        figure = decision_figure(rows, score_label(model), here)
        blocks.append(Drawing(f"decision_{model}_{time:g}", figure, caption, f"At {time:g}: {decision_words(rows)}"))
    return blocks


def cox_validation_words(model: str, figures: Mapping[str, Any]) -> str:
    """Slope and errors of a Cox model, corrected."""
    words = f" {score_label(model)}: corrected calibration slope {decimal(figures['slope'], 2)} (1 is ideal)"
    errors = [
        f"{decimal(entry['brier']['apparent'])}, corrected {decimal(entry['brier']['corrected'])} (at {time})"
        for time, entry in figures["times"].items()
        if "brier" in entry
    ]
    return f"{words}; Brier score {listed(errors)}." if errors else f"{words}."
