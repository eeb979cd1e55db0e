"""The section of a report about single features: compared, rated, grown into a synthetic cohort, and followed up."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.phases import phases_of
from nenflow.report.figures_cohort import markers_figure
from nenflow.report.figures_survival import survival_panels
from nenflow.report.page import Drawing, Heading, Printed, Text
from nenflow.report.tables import (
    cutoffs_table,
    groups_table,
    markers_table,
    rated_table,
    survival_markers_table,
)
from nenflow.report.wording import count, decimal, feature_label, interval, listed, p_text, percent, shown_of
from nenflow.tables import LARGEST

_FOLLOWED = "evaluation/markers_survival"


def marker_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """What the report says of single features; nothing where a study rates none."""
    markers = results.get("evaluation/markers.csv")
    if markers is None:
        return []
    if "c" in markers:
        return _timed(markers)
    if not markers["auc"].notna().any():
        return []
    return [*_rated(study, markers), *_followed(study, results), *_synthetic(study, results)]


def _timed(markers: pd.DataFrame) -> list[Any]:
    rated = markers.dropna(subset=["c"])
    if rated.empty:
        return []
    left = int((rated["p_fdr"] < 0.05).sum())
    words = (
        f"{count(len(rated), 'feature')}, each turned so that its C-index is at least 0.5; the best of so many looks "
    )
    words += f"good by chance alone: {'none stays' if not left else f'{left:,} stay'} under p = 0.05 after correction "
    words += "(false discovery rate)."
    shown = survival_markers_table(markers)
    caption = f"Single features{shown_of(len(shown), len(rated), 'markers')}."
    return [Text(words), Printed("markers", shown, caption, full=markers)]


def _rated(study: Mapping[str, Any], markers: pd.DataFrame) -> list[Any]:
    best = markers.sort_values(["auc", "marker"], ascending=[False, True], kind="stable").iloc[0]
    rated = markers.dropna(subset=["auc"])
    words = (
        f"Of {count(len(rated), 'feature')} the best, {feature_label(best['marker'])}, has an AUC of "
        f"{interval(best['auc'], best['auc_low'], best['auc_high'], 2)}. Each is turned so that its AUC is at least "
        f"0.5, and the best of so many looks good by chance alone: {_left(study, rated)}"
    )
    missing = len(markers) - len(rated)
    words += f" {count(missing, 'feature')} could not be rated." if missing else ""
    drawn = _listed(study, markers)
    which = "with the highest AUC" if drawn is None else "that the study lists"
    drawn = markers if drawn is None else drawn
    shown = drawn.dropna(subset=["auc"])
    caption = f"The features {which}; an arrow says whether events have higher (↑) or lower (↓) values."
    first = shown.sort_values(["auc", "marker"], ascending=[False, True], kind="stable").head(3)
    tops = [
        f"{feature_label(row.marker)} {interval(row.auc, row.auc_low, row.auc_high, 2)}" for row in first.itertuples()
    ]
    alt = f"AUC with interval of {count(min(20, len(shown)), 'feature')}; highest: {'; '.join(tops)}."
    figures = [Drawing("markers", markers_figure(drawn), caption, alt)] if len(shown) else []
    return [Text(words), *figures, *_tables(study, markers, "markers", "Single features")]


def _left(study: Mapping[str, Any], rated: pd.DataFrame) -> str:
    """How many features stay significant after correction, and what p that takes by Bonferroni."""
    phases = phases_of(study["markers"]["phase"])
    number = len(rated) // len(phases)
    fdr, bonferroni = (int((rated[column] < 0.05).sum()) for column in ("p_fdr", "p_bonferroni"))
    within = " of a phase" if len(phases) > 1 else ""
    return (
        f"{f'{fdr:,} stay' if fdr else 'none stays'} under p = 0.05 after correction (false discovery rate), "
        f"{f'{bonferroni:,}' if bonferroni else 'none'} by Bonferroni, which needs p < {0.05 / max(number, 1):.3g} for "
        f"{count(number, 'feature')}{within}."
    )


def _listed(study: Mapping[str, Any], markers: pd.DataFrame) -> pd.DataFrame | None:
    """The features that the study lists, in its order; None where it lists none."""
    names = study["markers"].get("features")
    return None if not names else markers.set_index("marker").loc[names].reset_index()


def _tables(
    study: Mapping[str, Any], markers: pd.DataFrame, name: str, title: str, chance: pd.DataFrame | None = None
) -> list[Any]:
    """Groups and ROC of the features that the study lists, or one table of the best ones."""
    rows = _listed(study, markers)
    number = markers["auc"].notna().sum()
    if rows is None:
        shown = markers_table(markers)
        caption = f"{title}{shown_of(len(shown), number, name)}."
        return [Printed(name, shown, caption, "Cut-off by Youden's index.", markers)]
    endpoint = study["endpoints"][study["markers"]["endpoint"]]
    levels = study["variables"][endpoint["variable"]]["levels"]
    note = "Mean ± standard deviation and a t test where both groups are normally distributed (Shapiro-Wilk), else "
    note += (
        f"median [quartiles] and Mann-Whitney. Bonferroni: for {number // len(phases_of(study['markers']['phase']))} "
    )
    note += "features of a phase." if len(phases_of(study["markers"]["phase"])) > 1 else "features."
    groups = groups_table(rows, levels, endpoint["event"])
    rated = rated_table(rows, chance)
    roc_note = (
        f"Cut-off by Youden's index; events (“{endpoint['event']}”) lie on the side that the second column names."
    )
    if chance is not None:
        roc_note += " Permuted: AUC (turned to at least 0.5) in cohorts grown from permuted outcomes, median and 95% "
        roc_note += "range, and the share of them that reach the AUC found."
    return [
        Printed(f"{name}_groups", groups, f"{title}: the groups compared.", note, rows),
        Printed(name, rated, f"{title}: ROC{shown_of(len(rows), len(markers), name)}.", roc_note, markers),
    ]


def _synthetic(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Single features in a cohort grown from the study's own, labelled as what it is."""
    table, chance = results.get("evaluation/markers_synthetic.csv"), results.get("evaluation/markers_chance.csv")
    if table is None or not table["auc"].notna().any():
        return []
    settings, record = study["markers"]["synthetic"], results.get("evaluation/markers_synthetic.json", {})
    numbers = listed([f"{number} “{level}”" for level, number in settings["counts"].items()])
    words = (
        f"As some publications do, the features were rated again in a synthetic cohort ({numbers}) that "
        f"{settings['method'].upper()} grew from the patients above. Publications call such a cohort external; it is "
        "no external validation, since it is grown from the study's own patients: every synthetic patient lies "
        "between two of those, so a feature that looks good by chance looks good here too. The figures say how well "
        "the sampler copied the data."
    )
    if record:
        words += f" ({record['neighbours']} neighbours, seed {record['seed']}.)"
    title = "Synthetic cohort, no external validation"
    blocks = [Heading("The synthetic cohort"), Text(words)]
    blocks += [Text(_chance_words(chance))] if chance is not None else []
    blocks += _tables(study, table, "markers_synthetic", title, chance)
    return blocks


def _chance_words(chance: pd.DataFrame) -> str:
    """What copying alone gives, in a sentence or two."""
    largest = chance[chance["marker"] == LARGEST].iloc[0]
    single = chance.loc[chance["marker"] != LARGEST, "median"].median()
    return (
        "What copying alone gives: when outcomes are permuted between patients, so that no feature can tell anything, "
        f"and such a cohort is grown from them ({count(largest['permutations'], 'permutation')}), the largest AUC is "
        f"{_chance(largest, ' to ')} (median, 95% range); {percent(largest['share'])} of them reach the largest found "
        f"here, {decimal(largest['auc'], 2)}. A feature picked beforehand has {decimal(single, 2)} there, not 0.5, "
        "since few patients were copied many times."
    )


def _chance(row: pd.Series, between: str) -> str:
    return f"{decimal(row['median'], 2)} ({decimal(row['low'], 2)}{between}{decimal(row['high'], 2)})"


def _followed(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Kaplan-Meier curves at the ROC cut-offs, the p that papers print and the one that knows of the search."""
    curves, tests = results.get(f"{_FOLLOWED}/curves.csv"), results.get(f"{_FOLLOWED}/tests.csv")
    summary = results.get(f"{_FOLLOWED}/summary.csv")
    if curves is None or tests is None or summary is None or tests.empty:
        return []
    endpoint = study["endpoints"][study["markers"]["survival"]]
    time = study["variables"][endpoint["time"]]["label"]
    notes = {
        row["variable"]: f"p {_equals(row['p'])}; corrected {p_text(row['p_corrected'])}" for _, row in tests.iterrows()
    }
    drawn = curves[curves["variable"].isin(list(tests["variable"]))]
    labels = {name: feature_label(name) for name in notes}
    status = study["variables"][endpoint["variable"]]["label"]
    figure = survival_panels(drawn, labels, notes, time, f"Share without “{endpoint['event']}” ({status})")
    caption = f"Kaplan-Meier curves ({time}) below (low) and above (high) each feature's ROC cut-off; log-rank p as "
    caption += "publications print it, and corrected."
    alt = "; ".join(f"{labels[name]}: {note}" for name, note in notes.items())
    note = (
        "Log-rank p takes the cut-off for given, though it was chosen on the same patients. The corrected p (maximally "
    )
    note += "selected statistic, 9,999 permutations) says how often the best of all cut-offs does as well when the "
    note += "feature tells nothing."
    shown = cutoffs_table(tests, summary)
    return [
        Heading(f"Survival at the cut-offs: {time}"),
        Drawing("markers_survival", figure, caption, f"Kaplan-Meier curves. {alt}."),
        Printed("markers_survival", shown, f"Survival below and above the ROC cut-offs: {time}.", note, tests),
    ]


def _equals(p: float) -> str:
    text = p_text(p)
    return text if text[0] in "<>–" else f"= {text}"
