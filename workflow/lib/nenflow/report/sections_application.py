"""The pages of a model that left its study: what it says of new patients, and how good it is elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nenflow.models.base import SIGNATURE, SURVIVAL
from nenflow.models.card import inputs_of
from nenflow.published import USE
from nenflow.report.figures_evaluation import decision_figure
from nenflow.report.page import Drawing, Lines, Printed, Section, Text
from nenflow.report.sections_published import calibration_blocks
from nenflow.report.tables import exclusions_table
from nenflow.report.wording import count, decimal, event_words, interval, listed, time_unit

MOST = 200  # rows of predictions on the page; the file has all

_INTERVALS = (
    "Intervals (95%) are those of the estimated coefficients: that other patients would have led to other variables is "
    "not in them, and a patient's own outcome is more uncertain still."
)
_SHRUNK = "The shrunk prediction is what to expect of new patients; it is less extreme by the model's corrected slope."
_MEASURES = {
    "auc": "AUC",
    "c": "C-index",
    "observed_expected": "Observed / expected events",
    "intercept": "Calibration in the large",
    "slope": "Calibration slope",
    "line_intercept": "Intercept that belongs to the slope",
    "brier": "Brier score",
}
_IDEAL = {"auc": "1 (0.5: chance)", "c": "1 (0.5: chance)", "observed_expected": "1", "intercept": "0", "slope": "1",
          "line_intercept": "0", "brier": "0"}  # fmt: skip


def is_made_up(card: Mapping[str, Any], study: Mapping[str, Any], cohort: str) -> bool:
    """Whether simulated patients are behind a page: those of the cohort, or those the model was made from."""
    return bool(card.get("simulated")) or "simulation" in study["cohorts"][cohort]


def prediction_sections(
    card: Mapping[str, Any], table: pd.DataFrame, accepted: Sequence[str]
) -> tuple[list[Section], list[tuple[str, str]]]:
    """The page of predictions, and what stands at its head.

    Args:
        card: a model file.
        table: from `predictions.all_units`.
        accepted: the differences that the user has accepted.
    """
    lost, far = table["not_predicted"] != "", table.get("far", pd.Series("", table.index)) == "yes"
    outside = table.get("outside", pd.Series("", table.index)) != ""
    unit = card.get("unit", "patient")
    summary = [
        ("In whom:", f"{count(len(table), unit)}; {int((~lost).sum())} predicted, {int(lost.sum())} not."),
        ("Use:", card.get("use", USE)),
    ]
    notes = [_INTERVALS] if "uncertainty" in card else ["The model file has no covariance, so there are no intervals."]
    notes += [_SHRUNK] if "shrunk" in card else []
    if "training" in card:
        notes.append(
            f"Unlike training: {int(outside.sum())} outside the range of an input, {int(far.sum())} farther from its "
            "mean (Mahalanobis) than 97.5% of such units would be."
        )
    else:
        notes.append("The model file does not describe training, so nobody can say who is unlike it.")
    units = [f"{name}: {variable['label']}" for name, variable in card["variables"].items()]
    notes += [f"Taken in the model's units and levels: {listed(units)}."] if units else []
    notes += [f"Differences that were accepted: {listed(list(accepted))}."] if accepted else []
    blocks = [Lines(notes), Printed("predictions", _shown(table, unit), _caption(table))]
    return [Section("predictions", "Predictions", blocks), Section("model", "The model", _model(card))], summary


def validation_sections(
    card: Mapping[str, Any], study: Mapping[str, Any], results: Mapping[str, Any]
) -> tuple[list[Section], list[tuple[str, str]]]:
    """The page of an external validation, and what stands at its head.

    Args:
        card: a model file.
        study: settings of the cohort's study; its only endpoint is the model's.
        results: validation.csv, performance.json, calibration.csv, calibration_groups.csv, decision.csv, scores.csv,
            exclusions.csv by these names.
    """
    figures, performance, endpoint = results["validation.csv"], results["performance.json"], card["endpoint"]["name"]
    events = int((results["scores.csv"].get("event", results["scores.csv"].get("outcome")) == 1).sum())
    unit, excluded = study["unit"], results["exclusions.csv"]
    words = f"{count(performance['n'], unit)} with {count(events, 'event')} ({event_words(study, endpoint)})"
    summary = [
        ("Model:", f"{card['title']}."),
        ("In whom:", f"{words}; {count(len(excluded), unit)} left out."),
        ("Finding:", _finding(figures)),
        ("Use:", card.get("use", USE)),
    ]
    judged: list[Any] = [
        Text("Nothing of the model was fitted here, so there is no optimism to take off."),
        Printed("validation", _figures(figures, time_unit(study, endpoint)), "How good the model is in this cohort; "
                "95% intervals by resampling patients.", note=_note(figures), full=figures),
    ]  # fmt: skip
    if len(excluded):
        judged.append(Printed("exclusions", exclusions_table(excluded, unit), "Left out.", full=excluded))
    calibration = calibration_blocks(study, endpoint, "validation", "The model in this cohort", results)
    sections = [
        Section("judged", "Discrimination and calibration", judged),
        Section("calibration", "Calibration curves", calibration),
        Section("decision", "Decision curves", _decision(results["decision.csv"], time_unit(study, endpoint))),
        Section("model", "The model", _model(card)),
    ]
    return sections, summary


def _shown(table: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Predictions for print: value and interval in one cell."""
    rows = table.head(MOST).reset_index()
    found = {"Patient": rows["patient"]} | ({"Lesion": rows["region"]} if unit == "lesion" else {})
    told = [name for name in table if name == "probability" or name.startswith(SURVIVAL)]
    for name in [name for name in told if not name.endswith(("_low", "_high", "_shrunk"))]:
        label = "Probability" if name == "probability" else f"Survival at {name.removeprefix(SURVIVAL)}"
        cells = zip(rows[name], rows[f"{name}_low"], rows[f"{name}_high"], strict=True)
        found[label] = [_with_interval(*cell) for cell in cells]
        if f"{name}_shrunk" in rows:
            found[f"{label}, shrunk"] = [_with_interval(value) for value in rows[f"{name}_shrunk"]]
    if "outside" in rows:
        distance = [
            f"far ({decimal(d, 2)})" if far == "yes" else ""
            for d, far in zip(rows["distance"], rows["far"], strict=True)
        ]
        found["Unlike training"] = [
            "; ".join(filter(None, pair)) for pair in zip(rows["outside"], distance, strict=True)
        ]
    if (rows["filled"] != "").any():
        found["Filled in"] = rows["filled"]
    if (rows["not_predicted"] != "").any():
        found["Not predicted because"] = rows["not_predicted"]
    return pd.DataFrame(found).fillna("")


def _with_interval(value: float, low: float | None = None, high: float | None = None) -> str:
    if pd.isna(value):
        return ""
    return decimal(value) if low is None or pd.isna(low) else interval(value, low, high)


def _caption(table: pd.DataFrame) -> str:
    more = f"; the first {MOST} of {len(table)}" if len(table) > MOST else ""
    return f"Predictions{more}; all with all digits in predictions.csv."


def _model(card: Mapping[str, Any]) -> list[Any]:
    """What is known of the model, as far as its file says it."""
    lines = [card["source"], f"Inputs: {listed(inputs_of(card['steps'])) or 'none'}."]
    if "cohort" in card:
        made = card["cohort"]
        lines.append(
            f"Made from {made['units']} {card['unit']}s of {made['patients']} patients with {made['events']} events."
        )
    for row in card.get("performance", []):
        if row["scheme"] == "optimism" and row["score"] != SIGNATURE:
            measure = "C-index" if "c" in row else "AUC"
            slope = f", calibration slope {decimal(row['slope'], 2)}" if "slope" in row else ""
            found = interval(row.get("c", row.get("auc")), row.get("low"), row.get("high"))
            lines.append(f"There, corrected for optimism: {measure} {found}{slope}.")
    if "features" in card and card["features"]["digest"]:
        lines.append(f"Features by the parameters with the digest {card['features']['digest']}.")
    if "provenance" in card:
        lines.append(f"Made by nenflow {card['provenance']['versions'].get('nenflow', '')}; {card['checksum']}.")
    return [Lines(lines)]


def _finding(figures: pd.DataFrame) -> str:
    """Discrimination and slope in one sentence."""
    row = figures.set_index("measure")
    name = "c" if "c" in row.index else "auc"
    found, slope = row.loc[name], row.loc["slope"]
    words = f"{_MEASURES[name]} {interval(found['value'], found['low'], found['high'])}, calibration slope "
    return words + f"{interval(slope['value'], slope['low'], slope['high'], 2)} (1 is ideal; less: too extreme)."


def _figures(figures: pd.DataFrame, unit: str) -> pd.DataFrame:
    labels = [
        _MEASURES[row.measure] + ("" if pd.isna(row.time) else f" at {row.time:g} {unit}s".rstrip())
        for row in figures.itertuples()
    ]
    cells = [interval(row.value, row.low, row.high) for row in figures.itertuples()]
    return pd.DataFrame({"Figure": labels, "Here (95% CI)": cells, "Ideal": figures["measure"].map(_IDEAL)})


def _note(figures: pd.DataFrame) -> str:
    """What would set the model right here."""
    survival = figures["time"].notna().any()
    what = "the log hazard at that time" if survival else "the log odds"
    words = f"Recalibration: calibration in the large is what to add to {what} so that as many events are expected as "
    words += "were observed"
    if survival:
        return f"{words}; the slope is what to multiply the log hazard by, which needs a new baseline."
    return f"{words}; or multiply the log odds by the slope and add the intercept that belongs to it."


def _decision(decision: pd.DataFrame, unit: str) -> list[Any]:
    """A decision curve, or one at each time."""
    parts = [(None, decision)] if "time" not in decision else list(decision.groupby("time"))
    blocks = []
    for time, rows in parts:
        at = "" if time is None else f" by {time:g} {unit}s".rstrip()
        caption = f"Net benefit (Vickers and Elkin 2006) of acting on the risk of the event{at}; band: 95% interval by "
        caption += "resampling patients."
        name = "decision" if time is None else f"decision_{time:g}"
        blocks.append(Drawing(name, decision_figure(rows, "The model"), caption, f"Decision curve{at}."))
    return blocks
