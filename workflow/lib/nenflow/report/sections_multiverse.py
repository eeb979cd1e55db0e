"""The part of a report that tells how a model's figures move with choices that could have been made otherwise."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.multiverse.choices import shown
from nenflow.report.figures_multiverse import specification_figure
from nenflow.report.page import Drawing, Heading, Lines, Printed, Text
from nenflow.report.tables import INSET
from nenflow.report.wording import count, decimal, interval

_LABELS = {
    "binWidth": "Bin width",
    "binCount": "Number of bins",
    "resampledPixelSpacing": "Spacing (mm)",
    "stability/threshold": "ICC threshold",
    "stability/form": "Form of ICC",
    "spearman/threshold": "Correlation threshold",
    "lasso/rule": "Lambda rule",
    "lasso/folds_by": "LASSO folds by",
}
_MEASURES = {"auc": "AUC", "c": "C-index"}
_FIRST, _FIGURES = ["cell", "own"], ["units", "auc", "c", "low", "high", "apparent", "selected"]
_TEXTS = ["features", "variables", "note"]
_LISTED = 10  # features in the table of those that analyses select


def multiverse_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Of each model with a multiverse: a sentence, the specification curve, what each choice does, features."""
    blocks = []
    for model in study.get("multiverse", {}):
        table = results.get(f"multiverse/{model}/cells.csv")
        if table is None:
            continue
        cells = _readable(table)
        measure = _MEASURES["c" if "c" in table else "auc"]
        names = [name for name in table if name not in [*_FIRST, *_FIGURES, *_TEXTS]]
        choices = {label_of(name): list(dict.fromkeys(cells[label_of(name)])) for name in names}
        blocks += [Heading(f"Model “{model}”")] if len(study["multiverse"]) > 1 else []
        blocks.append(Text(words(cells, measure)))
        order = cells.sort_values(["honest", "cell"], na_position="last")
        figure = specification_figure(order, measure, choices)
        caption = f"Specification curve (Simonsohn 2020): every combination of choices, sorted by its honest {measure} "
        caption += "(cross-validation of everything, patients kept together); below, what each analysis chose."
        blocks.append(Drawing(f"multiverse_{model}", figure, caption, _alt(cells, measure, choices)))
        note = f"Median and range over the analyses with that choice; all {len(cells)} are in the file."
        printed = _choices_table(cells, measure, choices)
        blocks.append(Printed(f"multiverse_{model}", printed, "What each choice does.", note, table))
        blocks += _feature_blocks(cells, model)
        blocks += _note_blocks(cells)
    return blocks


def label_of(name: str) -> str:
    """A choice as it is printed: settings and options that are often varied have a name, others keep theirs."""
    step, _, option = name.rpartition("/")
    return _LABELS.get(name, f"{option} of {step}" if step else name)


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Cells with choices as text under their labels, and the honest figure under that name."""
    texts = {name: table[name].astype(object).fillna("") for name in _TEXTS}
    values = {
        name: [str(shown(value)) for value in table[name].tolist()]
        for name in table
        if name not in [*_FIRST, *_FIGURES, *_TEXTS]
    }
    honest = table["c" if "c" in table else "auc"].astype(float)
    named = {label_of(name): column for name, column in values.items()}
    return table.assign(honest=honest, own=table["own"].astype(bool), **texts, **named)


def words(cells: pd.DataFrame, measure: str) -> str:
    """How far the honest figure goes over all cells, where the study's own stands, and what moves it most.

    Args:
        cells: honest, low, high, apparent, own, and the choices under their labels.
        measure: AUC or C-index.
    """
    known, own = cells[cells["honest"].notna()], cells[cells["own"]].iloc[0]
    if known.empty:
        return f"None of {count(len(cells), 'analysis', 'analyses')} could be computed."
    text = f"Across {count(len(known), 'analysis', 'analyses')} that could be defended as well, the honest {measure} "
    text += f"went from {decimal(known['honest'].min())} to {decimal(known['honest'].max())}"
    text += f" (apparent: {decimal(known['apparent'].min())} to {decimal(known['apparent'].max())}); the study's own "
    if pd.isna(own["honest"]):
        text += "could not be computed."
    else:
        higher = int((known["honest"] > own["honest"]).sum())
        text += f"is {interval(own['honest'], own['low'], own['high'])}, and {higher or 'none'} of the others "
        text += f"{'are' if higher > 1 else 'is'} higher."
    if len(known) < len(cells):
        text += f" {count(len(cells) - len(known), 'analysis', 'analyses')} could not be computed."
    fewest, most = known["units"].min(), known["units"].max()
    if fewest < most:
        text += f" They have {fewest} to {most} units: not every region can be measured with all settings."
    return text + " Whoever picks the best of them selects once more, so that its figure is no result."


def _choices_table(cells: pd.DataFrame, measure: str, choices: Mapping[str, list[str]]) -> pd.DataFrame:
    own, rows = cells[cells["own"]].iloc[0], []
    for label, values in choices.items():
        rows.append([label, "", "", "", ""])
        for value in values:
            those = cells[cells[label] == value]
            name = f"{INSET}{value}{' (the study’s own)' if own[label] == value else ''}"
            figures = [_median_and_range(those[column]) for column in ("honest", "apparent")]
            rows.append([name, str(len(those)), *figures, _median_and_range(those["selected"], 0)])
    chosen = "Features" if (cells["features"] != "").any() else "Variables"
    return pd.DataFrame(rows, columns=["Choice", "Analyses", f"Honest {measure}", f"Apparent {measure}", chosen])


def _median_and_range(values: pd.Series, decimals: int = 3) -> str:
    if values.notna().sum() < 2:
        return decimal(values.max(), decimals)
    return interval(values.median(), values.min(), values.max(), decimals)


def _feature_blocks(cells: pd.DataFrame, model: str) -> list[Any]:
    """The features that analyses agree on; none where no LASSO selects any."""
    names = cells["features"].str.split(";").explode()
    counts = names[names != ""].value_counts().rename_axis("feature").reset_index(name="analyses")
    if counts.empty:
        return []
    counts = counts.sort_values(["analyses", "feature"], ascending=[False, True], ignore_index=True)
    head = counts.head(_LISTED)
    shares = head["analyses"].map(lambda number: f"{number} of {len(cells)}")
    printed = pd.DataFrame({"Feature": head["feature"], "Analyses": shares})
    more = f", the first {_LISTED} of {len(counts)}" if len(counts) > _LISTED else ""
    caption = f"Features by the number of analyses whose LASSO selects them{more}."
    return [Printed(f"multiverse_features_{model}", printed, caption, full=counts)]


def _note_blocks(cells: pd.DataFrame) -> list[Any]:
    """What was odd in which analyses."""
    noted = cells[cells["note"] != ""].groupby("note", sort=False)["cell"]
    lines = [
        f"{'Analysis' if len(found) == 1 else 'Analyses'} {', '.join(map(str, found))} of the file: {note}"
        for note, found in noted
    ]
    return [Lines(lines)] if lines else []


def _alt(cells: pd.DataFrame, measure: str, choices: Mapping[str, list[str]]) -> str:
    own = cells[cells["own"]].iloc[0]
    text = f"Specification curve of {count(len(cells), 'analysis', 'analyses')}: honest {measure} "
    text += f"{decimal(cells['honest'].min())} to {decimal(cells['honest'].max())}, apparent "
    text += f"{decimal(cells['apparent'].min())} to {decimal(cells['apparent'].max())}; the study's own "
    text += f"{interval(own['honest'], own['low'], own['high'])}. Choices: "
    return text + "; ".join(f"{label} {', '.join(values)}" for label, values in choices.items()) + "."
