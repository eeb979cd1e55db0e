"""The section of a report that tells of models taken from print, beside the study's own."""

from collections.abc import Mapping
from math import exp
from typing import Any

import pandas as pd

from nenflow.models.base import SIGNATURE, survival_column
from nenflow.report.alternatives import curve_words, points_words
from nenflow.report.figures_evaluation import calibration_figure
from nenflow.report.figures_model import nomogram_figure
from nenflow.report.figures_survival import survival_calibration_figure
from nenflow.report.interactive import calculator
from nenflow.report.page import Drawing, Heading, Lines, Printed, Text
from nenflow.report.tables import coded_label, points_table, ratio_column, total_points_table
from nenflow.report.wording import decimal, event_words, interval, p_text, ratio_interval, time_unit

_APPLIED = "Nothing of it was fitted here: what follows is how it does in this cohort, with no optimism to take off."


def published_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Each published model of a study: its ratios, nomogram and points beside the study's own, and how it does."""
    blocks: list[Any] = []
    for name, settings in study.get("published", {}).items():
        mine = {path: content for path, content in results.items() if path.split("/")[1:2] == [f"published_{name}"]}
        files = {path.split("/", 2)[2]: content for path, content in mine.items()}
        if "model.json" not in files or "performance.json" not in files:
            continue
        models = study.get("models", {}).items()
        own = next((other for other, model in models if model["endpoint"] == settings["endpoint"]), None)
        model = files["model.json"]
        blocks.append(Heading(model["title"]))
        blocks += _performance(study, files, model)
        blocks += _ratios(study, name, model, results.get(f"models/{own}/multivariable.csv"))
        if "missing" in model:
            blocks += _score(study, name, model)
            continue
        blocks += _nomogram(study, settings["endpoint"], name, files, own, results)
        words = "The published model in this cohort"
        blocks += calibration_blocks(study, settings["endpoint"], f"published_{name}", words, files)
    return blocks


def _performance(study: Mapping[str, Any], files: Mapping[str, Any], model: Mapping[str, Any]) -> list[Any]:
    figures = files["performance.json"]
    if "c" in figures:
        words = f"C-index {interval(figures['c'], *figures['c_interval'])} in {figures['n']} patients with "
        words += f"{figures['events']} events"
    else:
        words = f"AUC {interval(figures['auc'], *figures['auc_delong'])} in {figures['n']} {study['unit']}s"
    slope = figures["indexes"]["slope"]
    words += f"; calibration slope {decimal(slope, 2)} (1 is ideal; less: predictions too extreme)"
    blocks: list[Any] = [Text(f"Source: {model['source']}")]
    if "missing" in model:
        blocks += [Text("The publication is incomplete, and with it all that follows."), Lines(model["missing"])]
        alone = [score for score in (SIGNATURE, "points") if score in figures]
        words += "".join(f"; {score} alone: {_order(figures[score])}" for score in alone)
    return [*blocks, Text(f"{_fitted(model)} {words}.")]


def _order(figures: Mapping[str, Any]) -> str:
    if "c" in figures:
        return f"C-index {interval(figures['c'], *figures['c_interval'])}"
    return f"AUC {interval(figures['auc'], *figures['auc_delong'])}"


def _fitted(model: Mapping[str, Any]) -> str:
    units = model["steps"].get("zscore", {}).get("units")
    if units is None:
        return _APPLIED
    return f"Features are standardised on the {units} units of this cohort, nothing else is fitted here."


def _score(study: Mapping[str, Any], name: str, model: Mapping[str, Any]) -> list[Any]:
    """The points of a published score, and the printed risks of its strata."""
    score = model.get("score")
    if not score:
        return []
    coefficients = model["steps"].get("cox", model["steps"].get("logistic"))["coefficients"]
    table = pd.DataFrame(
        {
            "Variable": [coded_label(column, study["variables"], set(coefficients)) for column in score["points"]],
            "Published ratio": [decimal(exp(coefficients[column]), 2) for column in score["points"]],
            "Points": [f"{points:g}" for points in score["points"].values()],
        }
    )
    strata = [f"{stratum} {100 * risk:.1f}%" for stratum, risk in score.get("strata", {}).items()]
    note = f"Printed risk at time {score['time']:g}: {', '.join(strata)}." if strata else ""
    return [Printed(f"score_published_{name}", table, "The published score.", note, from_print=True)]


def _ratios(study: Mapping[str, Any], name: str, model: Mapping[str, Any], together: pd.DataFrame | None) -> list[Any]:
    """The printed ratios beside those of the study's final model."""
    ratios = model.get("ratios")
    if not ratios:
        return []
    kind = "HR" if "cox" in model["steps"] else "OR"
    found = {}
    if together is not None and "variable" in together:
        rows = together[together["variable"] != "intercept"]
        found = {
            row["variable"]: ratio_interval(row[ratio_column(rows)], row["low"], row["high"])
            for _, row in rows.iterrows()
        }
    table = pd.DataFrame(
        {
            "Variable": [coded_label(column, study["variables"], set(ratios)) for column in ratios],
            f"Published: {kind} (95% CI)": [ratio_interval(*printed) for printed in ratios.values()],
            f"This cohort: {kind} (95% CI)": [found.get(column, "not in the model") for column in ratios],
        }
    )
    return [Printed(f"ratios_published_{name}", table, "The published model and the one that this cohort gives.")]


def _nomogram(
    study: Mapping[str, Any], endpoint: str, name: str, files: Mapping[str, Any], own: str | None, results: Mapping
) -> list[Any]:
    drawn, points = files["nomogram.json"], files["points.csv"]
    survives = "survival" in drawn
    event = "survival" if survives else event_words(study, endpoint)
    words = (study["variables"], event, time_unit(study, endpoint))
    figure = nomogram_figure(drawn, *words)
    caption = "The published nomogram, drawn from its model file."
    alt = f"Published nomogram for {event}. {points_words(drawn, study['variables'])}"
    blocks: list[Any] = [Drawing(f"nomogram_published_{name}", figure, caption, alt, from_print=True)]
    model = files["model.json"]
    moved = calculator(model["title"], model["steps"], drawn, *words, model.get("uncertainty"))
    blocks += [moved] if moved else []
    mine = results.get(f"models/{own}/points.csv")
    terms = (files["model.json"]["steps"].get("terms"), results.get(f"models/{own}/steps/terms.json"))
    factors = [(part or {}).get("factors", {}) for part in terms]
    shown, totals = points_table(points, study["variables"], factors[0]), total_points_table(points)
    beside = mine is not None and len(mine) > 0
    if beside:
        shown = _beside(shown, points_table(mine, study["variables"], factors[1]))
        totals = _beside(totals, total_points_table(mine))
    title = f"The published points{' beside those of the model from this cohort' if own else ''}."
    # The page shows the cohort's own points too; the file has the published ones alone.
    blocks.append(Printed(f"points_published_{name}", shown, title, full=points, from_print=True, mixed=beside))
    below = "survival" if survives else "probability"
    blocks.append(Printed(f"total-points_published_{name}", totals, f"Total points and {below}, published and here."))
    return blocks


def _beside(published: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Two tables with a column of names as one: published columns first, rows in the published order."""
    key = published.columns[0]
    order = [*published[key], *(name for name in own[key] if name not in set(published[key]))]
    left, right = published.set_index(key), own.set_index(key)
    joined = left.add_suffix(", published").join(right.add_suffix(", this cohort"), how="outer")
    return joined.loc[order].fillna("").reset_index()


def calibration_blocks(
    study: Mapping[str, Any], endpoint: str, name: str, words: str, files: Mapping[str, Any]
) -> list[Any]:
    """Calibration of a model where nothing of it was fitted.

    Args:
        name: of the figures' files, behind "calibration_".
        words: which model where, as a caption begins.
        files: performance.json, calibration.csv, calibration_groups.csv, scores.csv.
    """
    curves, groups = files["calibration.csv"], files["calibration_groups.csv"]
    caption = f"{words}: observed against predicted"
    alt = f"Calibration. {words}: "
    if "time" not in curves:
        event = event_words(study, endpoint)
        figure = calibration_figure(curves.assign(corrected=float("nan")), files["scores.csv"]["probability"], event)
        p = p_text(files["performance.json"]["hosmer_lemeshow"]["p"])
        return [
            Drawing(
                f"calibration_{name}", figure, f"{caption} (lowess); Hosmer-Lemeshow p {p}.", alt + curve_words(curves)
            )
        ]
    blocks = []
    for time, rows in groups.groupby("time"):
        known, curve = rows.dropna(subset=["observed"]), curves[(curves["time"] == time) & curves["apparent"].notna()]
        if known.empty:
            continue
        figure = survival_calibration_figure(
            known, curve, f"survival at {time:g}", files["scores.csv"][survival_column(time)]
        )
        said = f"{caption} survival at {time:g}, groups of prediction (Kaplan-Meier, 95% interval) and smooth curve."
        at = f"{alt}survival at {time:g}: {curve_words(curve)}"
        blocks.append(Drawing(f"calibration_{name}_{time:g}", figure, said, at))
    return blocks
