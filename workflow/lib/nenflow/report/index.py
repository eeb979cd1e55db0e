"""The page over all studies: what each found, and all models side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from nenflow.report.answer import finding_words, model_findings, tally, tally_words
from nenflow.report.figures_evaluation import honest_figure
from nenflow.report.model_files import ModelFiles
from nenflow.report.page import Drawing, Printed, Section
from nenflow.report.results import read_results
from nenflow.report.sections import study_summary
from nenflow.report.sections_schemes import scheme_label
from nenflow.report.tables import HARRELL, INSET, PUBLISHED, estimates
from nenflow.report.tables import PLUS632 as ESTIMATE632
from nenflow.report.wording import decimal, interval, p_text, the_score
from nenflow.tables import APPARENT, EXTERNAL, FINISHED, FOLDS, OPTIMISM, PLUS632

# What the page shows of a study's results.
_FILES = [
    "provenance/run.json", "cohort/*/flow.csv", "models/*/steps/*.json", "models/*/flow.csv", "evaluation/*.csv",
    "evaluation/*/performance.json", "evaluation/*/validation.json", "evaluation/*/chance.json",
    "evaluation/*/schemes.csv", "evaluation/survival_*/effects.csv", "stability/*/*.csv",
]  # fmt: skip
_KNOWN = (APPARENT, FINISHED, OPTIMISM, PLUS632)  # schemes that `tables.estimates` has, with what chance gives
_COLUMNS = {
    "Apparent": "apparent", "Bootstrap of the finished model": "published", "Optimism-corrected": "harrell",
    ".632+": "corrected", "Cross-validation": "folds", "Other centres or times": "parts", "External": "external",
}  # fmt: skip
_ESTIMATES = {"Apparent": "apparent", PUBLISHED: "published", HARRELL: "harrell", ESTIMATE632: "corrected"}


def read_study(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a finished study and what the page shows of its results.

    Args:
        folder: the study's results; its provenance/study.yaml has the settings.
    """
    settings = yaml.safe_load((folder / "provenance/study.yaml").read_text(encoding="utf-8"))
    files = [file for pattern in _FILES for file in sorted(folder.glob(pattern))]
    return settings, read_results(files, folder)


def study_card(name: str, study: Mapping[str, Any], results: Mapping[str, Any], gallery: bool) -> dict[str, Any]:
    """What the page says of a study, as plain values.

    Args:
        name: of its folder.
        study, results: as `read_study` gives them.
        gallery: whether there is one.
    """
    said = [finding_words(model_findings(study, results), study["unit"]), tally_words(tally(study, results))]
    return {
        "name": name, "title": study["title"], "simulated": results["provenance/run.json"]["simulated"],
        "report": f"{name}/report/report.html", "gallery": f"{name}/report/gallery.html" if gallery else None,
        "summary": [line for line in study_summary(study, results) if line[0] in ("Asked:", "In whom:")],
        "answer": [words for words in said if words],
    }  # fmt: skip


def comparison(studies: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Section:
    """All models of all studies in one table and one picture; no blocks where there is no model.

    Args:
        studies: settings and results by the study's name, as `read_study` gives them.
    """
    rows = pd.concat([pd.DataFrame(columns=["heading"]), *(
        model_rows(name, study, results, model)
        for name, (study, results) in studies.items()
        for model in study.get("models", {})
    )])  # fmt: skip
    if rows.empty:
        return Section("comparison", "All models side by side")
    figure = honest_figure(rows.assign(score=rows["heading"]), "AUC or C-index")
    caption = "Every model by every scheme of validation, with 95% intervals. Blue: as published; red: what is left "
    caption += "when the whole construction is repeated, or in other patients. Grey: outcomes permuted between "
    caption += "patients (median and central 95%)."
    alt = "; ".join(
        f"{row.heading}, {row.estimate}: {interval(row.auc, row.low, row.high)}" for row in rows.itertuples()
    )
    note = "AUC, or C-index where the outcome comes with time, with 95% interval. Chance: median of the .632+ figure "
    note += "where outcomes are permuted between patients; p: share of permutations that reach the study's."
    table = Printed("comparison", _table(rows), "Models.", note, full=rows.drop(columns=["honest", "kind"]))
    return Section("comparison", "All models side by side", [Drawing("comparison", figure, caption, f"{alt}."), table])


def model_rows(name: str, study: Mapping[str, Any], results: Mapping[str, Any], model: str) -> pd.DataFrame:
    """Figures of a model (or of its Radscore, where its selection kept no variable), a row for each scheme.

    Returns:
        columns as `tables.estimates` gives them, and: heading, for people; kind, the column of the printed table.
        No rows where nothing can be said of the model.
    """
    files = ModelFiles(results, model)
    rated, schemes = files.rated(model), files.evaluation("schemes.csv")
    if not rated:
        return pd.DataFrame()
    table = estimates(rated, files.evaluation("validation.json"), files.evaluation("chance.json"))
    score = table["score"].iloc[-1]
    table = table[table["score"] == score]
    rows = table.assign(kind=table["estimate"].map(_ESTIMATES))
    if schemes is not None:
        others = schemes[(schemes["score"] == score) & ~schemes["scheme"].isin(_KNOWN)]
        kinds = {FOLDS: "folds", EXTERNAL: "external"}
        others = pd.DataFrame(
            {
                "score": score,
                "estimate": [scheme_label(study, scheme) for scheme in others["scheme"]],
                "auc": others["auc" if "auc" in others else "c"],
                "low": others["low"],
                "high": others["high"],
                "honest": True,
                "kind": [kinds.get(scheme, "parts") for scheme in others["scheme"]],
            }
        )
        rows = pd.concat([rows, others]) if len(others) else rows
    heading = f"{name}: {the_score(score)} ({'C-index' if files.is_cox() else 'AUC'})"
    return rows.assign(study=name, heading=heading)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each model below the name of its study, a column for each scheme that any model has."""
    printed = []
    for study, group in rows.groupby("study", sort=False):
        printed.append({"Model": study})
        for heading, part in group.groupby("heading", sort=False):
            cells = {title: _figures(part[part["kind"] == kind]) for title, kind in _COLUMNS.items()}
            for row in part[(part["kind"] == "corrected") & part["p"].notna()].itertuples():
                cells |= {"Chance": decimal(row.chance), "p": p_text(row.p)}
            printed.append({"Model": INSET + heading.partition(": ")[2]} | cells)
    table = pd.DataFrame(printed).fillna("")
    return table.loc[:, (table != "").any()]


def _figures(rows: pd.DataFrame) -> str:
    return "; ".join(interval(row.auc, row.low, row.high) for row in rows.itertuples())
