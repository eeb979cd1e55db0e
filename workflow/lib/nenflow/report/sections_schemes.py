"""The part of a report that puts all schemes of validation side by side, as published first, then the honest ones."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.models.base import SIGNATURE
from nenflow.report.page import Printed, Text
from nenflow.report.sections_published import calibration_blocks
from nenflow.report.tables import HARRELL, INSET, PUBLISHED, chance_cells, coded_label, exclusions_table
from nenflow.report.tables import PLUS632 as ESTIMATE632
from nenflow.report.wording import MISSING, count, decimal, interval, percent, score_label, shown_of, time_unit
from nenflow.tables import APPARENT, EXTERNAL, FINISHED, FOLDS, OPTIMISM, PLUS632, TEMPORAL

_GROUPS = {"As published": [APPARENT, FINISHED], "Honest: all refitted in resamples": [OPTIMISM, PLUS632]}
_OTHERS = "Honest: other patients"
_ESTIMATES = {APPARENT: "Apparent", FINISHED: PUBLISHED, OPTIMISM: HARRELL, PLUS632: ESTIMATE632}  # among `estimates`
_MOST = 20  # names whose selection is printed; the file has all


def scheme_blocks(
    study: Mapping[str, Any],
    model: str,
    schemes: pd.DataFrame | None,
    selection: pd.DataFrame | None,
    by_chance: pd.DataFrame,
) -> list[Any]:
    """The table of all schemes, and how often the refits of each selected what they selected.

    Args:
        schemes: schemes.csv.
        selection: schemes_selection.csv.
        by_chance: what permuted outcomes give, see `tables.estimates`, of the scores that differ between people; of
            others nothing is printed.
    """
    if schemes is None or selection is None:
        return []
    blocks: list[Any] = []
    table = schemes[schemes["score"].isin(by_chance["score"])]
    if len(table):
        shown = _table(study, model, table, by_chance.dropna(subset="p"))
        caption = "All schemes of validation: what is published first, then what is left."
        blocks.append(Printed(f"validation_{model}", shown, caption, _note(study, model, table), schemes))
    return blocks + _selection_blocks(study, model, selection)


def scheme_label(study: Mapping[str, Any], scheme: str) -> str:
    """A scheme in words."""
    asked = study.get("evaluation", {})
    if scheme == FOLDS:
        repeats = asked.get("repeats", 1)
        return f"{asked['folds']}-fold cross-validation{f', {repeats} times' if repeats > 1 else ''}"
    if scheme == TEMPORAL:
        label = study["variables"][asked[TEMPORAL]["variable"]]["label"]
        return f"Later patients ({label} from {asked[TEMPORAL]['from']:g} on)"
    if scheme == EXTERNAL:
        return f"External cohort “{asked[EXTERNAL]}”"
    known = {APPARENT: "Apparent, on its own units", FINISHED: "Bootstrap of the finished model"}
    known |= {OPTIMISM: "Optimism bootstrap (Harrell)", PLUS632: ".632+ bootstrap"}
    return known.get(scheme) or f"Each {study['variables'][scheme]['label']} left out"


def _table(study: Mapping[str, Any], model: str, table: pd.DataFrame, by_chance: pd.DataFrame) -> pd.DataFrame:
    """A row per scheme and score below the heading of the scheme's group; the Radscore follows its model."""
    found = list(dict.fromkeys(table["scheme"]))
    groups = {title: [scheme for scheme in schemes if scheme in found] for title, schemes in _GROUPS.items()}
    groups[_OTHERS] = [scheme for scheme in found if not any(scheme in schemes for schemes in groups.values())]
    permuted = {(row.score, row.estimate): chance_cells(row) for row in by_chance.itertuples()}
    rows = []
    for title, schemes in groups.items():
        rows += [{"Scheme": title}] if schemes else []
        for scheme in schemes:
            here = table[table["scheme"] == scheme].sort_values("score", key=lambda score: score == SIGNATURE)
            for _, row in here.iterrows():
                name = scheme_label(study, scheme) + (", Radscore" if row["score"] == SIGNATURE else "")
                cells = {"Scheme": INSET + name} | _cells(row, whole=row["score"] == model)
                rows.append(cells | permuted.get((row["score"], _ESTIMATES.get(scheme)), {}))
    return pd.DataFrame(rows).fillna("")


def _cells(row: pd.Series, whole: bool) -> dict[str, str]:
    """What is known of one score under one scheme; the Radscore, which predicts no risk, only discriminates."""
    measure, label = ("auc", "AUC") if "auc" in row else ("c", "C-index")
    cells = {"n (events)": f"{row['n']:.0f} ({row['events']:.0f})"}
    cells[f"{label} (95% CI)"] = interval(row[measure], row["low"], row["high"])
    if whole:
        line = {"Slope": row["slope"]}
        line |= {"Intercept": row["intercept"]} if measure == "auc" else {"O/E": row["observed_expected"]}
        cells |= {name: decimal(value, 2) for name, value in line.items()}
        cells |= {"Brier": decimal(row["brier"]), "Net benefit": decimal(row["net_benefit"])}
        cells |= {"Sensitivity": percent(row["sensitivity"]), "Specificity": percent(row["specificity"])}
    return cells


def _note(study: Mapping[str, Any], model: str, table: pd.DataFrame) -> str:
    threshold, time = table["threshold"].iloc[0], table["time"].iloc[0]
    by_then = ""
    if pd.notna(time):
        unit = time_unit(study, study["models"][model]["endpoint"])
        by_then = f" by {time:g}{f' {unit}s' if unit else ''}, as are the Brier scores,"
    note = f"Net benefit{by_then} is that of acting from a risk of {decimal(threshold, 2)} on, the study's share with "
    note += (
        "the event, where acting on all and on none are worth 0. Sensitivity and specificity are at Youden's cut-off "
    )
    note += "of the units fitted to. Slope 1 and "
    note += "O/E (observed over expected events) 1 are ideal." if pd.notna(time) else "intercept 0 are ideal."
    note += f" {MISSING}: not defined."
    return note


def external_blocks(study: Mapping[str, Any], model: str, files: Mapping[str, Any]) -> list[Any]:
    """Who of the external cohort was judged, who was not and why, and the calibration there.

    Args:
        files: what there is of the model in that cohort, without "external_" and "external." before the names.
    """
    if "json" not in files:
        return []
    cohort, document, excluded = study["evaluation"][EXTERNAL], files["json"], files["exclusions.csv"]
    figures = document["figures"]
    words = (
        f"In the cohort “{cohort}” the finished {score_label(model)} was judged as it is, nothing of it being fitted: "
    )
    words += f"{count(figures['n'], study['unit'])} with {count(figures['events'], 'event')}"
    words += f", and {count(len(excluded), study['unit'])} left out." if len(excluded) else "; nobody was left out."
    blocks: list[Any] = [Text(words)]
    if len(excluded):
        name = f"exclusions-external_{model}"
        shown = exclusions_table(excluded, study["unit"])
        caption = f"Left out of the cohort “{cohort}”{shown_of(len(shown), len(excluded), name)}."
        blocks.append(Printed(name, shown, caption, full=excluded))
    of = {"performance.json": document["performance"], **files}
    caption = f"{score_label(model)} in the cohort “{cohort}”"
    return blocks + calibration_blocks(study, study["models"][model]["endpoint"], f"external_{model}", caption, of)


def _selection_blocks(study: Mapping[str, Any], model: str, selection: pd.DataFrame) -> list[Any]:
    """A row per variable or feature, a column per scheme: the share of its refits that selected it."""
    blocks = []
    titles = {"variables": "The final model's variables", "features": "The Radscore's features"}
    for kind, title in titles.items():
        rows = selection[selection["kind"] == kind]
        if rows["share"].sum() == 0:
            continue
        shares = rows.pivot_table(index="name", columns="scheme", values="share", sort=False)
        schemes, refits = list(dict.fromkeys(rows["scheme"])), rows.drop_duplicates("scheme")["refits"]
        shown = shares.head(_MOST)
        table = pd.DataFrame(
            {"Variable": [coded_label(name, study["variables"], set(shares.index)) for name in shown.index]}
        )
        for scheme, number in zip(schemes, refits, strict=True):
            label = "Bootstrap" if scheme == OPTIMISM else scheme_label(study, scheme)
            table[f"{label} ({count(number, 'refit')})"] = [percent(share) for share in shown[scheme]]
        name = f"selection-{kind}_{model}"
        caption = (
            f"{title}: how often the refits of each scheme selected them{shown_of(len(shown), len(shares), name)}."
        )
        blocks.append(Printed(name, table, caption, full=rows.drop(columns="kind")))
    return blocks
