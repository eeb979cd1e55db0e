"""What a careful reader should know about a study, found by the program in its numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.model_files import ModelFiles
from nenflow.report.page import Lines
from nenflow.report.tables import coded_label, ratio_column, with_powers
from nenflow.report.wording import count, listed, of_cohort, score_label


def limit_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """The study's own notes, and what the program found: one list of sentences."""
    lines = list(study.get("notes", []))
    for cohort in study["cohorts"]:
        lines += results.get(f"cohort/{cohort}/notes.json", [])
        flow = results.get(f"cohort/{cohort}/flow.csv")
        if flow is not None and study["unit"] == "lesion" and flow.iloc[-1]["lesions"] > flow.iloc[-1]["patients"]:
            last = flow.iloc[-1]
            lines.append(
                f"{count(last['lesions'], 'lesion')} come from {count(last['patients'], 'patient')}: lesions of one "
                "patient are alike, so tests and intervals that take them as independent claim more than they know."
            )
        lines += _small_levels(results.get(f"cohort/{cohort}/table_one.csv"), of_cohort(study, cohort))
    lines += [*_small_class(study, results), *model_limits(study, results)]
    return [Lines(lines)] if lines else []


_FEW = 5  # units; a level or class with fewer says next to nothing


def _small_levels(table: pd.DataFrame | None, where: str) -> list[str]:
    """Levels of categorical variables that hardly anybody has."""
    if table is None:
        return []
    labels, levels = table["variable"].replace("", None).ffill(), table["level"]
    counts = table["overall"].where(levels != "").str.extract(r"^([\d,]+) \(")[0].str.replace(",", "").astype(float)
    small = [f"{labels[row]} {levels[row]} ({counts[row]:.0f})" for row in table.index[counts < _FEW]]
    return (
        [f"Fewer than {_FEW} have {listed(small)}{where}: estimates of such levels rest on almost nobody."]
        if small
        else []
    )


def _small_class(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """How few the smaller class of single features is; that of a model is told with its candidates."""
    markers = results.get("evaluation/markers.csv")
    if markers is None or "auc" not in markers or not {"n", "events"} <= set(markers):
        return []
    first = markers.dropna(subset=["auc"]).head(1)
    smaller = min((min(row.events, row.n - row.events) for row in first.itertuples()), default=_MANY)
    if smaller >= _MANY:
        return []
    return [
        f"Single features: the smaller class has {count(smaller, study['unit'])}; an AUC of so few has a wide "
        "interval, and the best of many features looks good by chance."
    ]


_MANY = 20  # units of the smaller class from which on nothing is said


def model_limits(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """What a careful reader should know about each model, from its numbers."""
    lines = []
    for model, settings in study.get("models", {}).items():
        files = ModelFiles(results, model)
        prefix = f"{score_label(model)}: " if len(study["models"]) > 1 else ""
        lines += [prefix + line for line in _events_per_variable(study, settings, files)]
        lines += [prefix + line for line in [*_separation(study, files), *_planned(study, files)]]
        lines += [prefix + line for line in [*_hazards(study, files), *_competition(study, settings, files)]]
        lines += [prefix + line for line in _absent(study, files)]
        for step in settings["steps"]:
            if study["unit"] == "lesion" and (step.get("lasso") or {}).get("folds_by") == "lesion":
                lines.append(
                    f"{prefix}The LASSO's folds split patients: lesions of one patient stood on both sides of the "
                    "cross-validation, which lets it select too many features."
                )
    return lines


def _planned(study: Mapping[str, Any], files: ModelFiles) -> list[str]:
    """How many units such a model needs."""
    plan = files.evaluation("sample_size.csv")
    if plan is None:
        return []
    needed = plan[plan["criterion"] == "required"].iloc[0]
    return [
        f"By Riley's criteria a model of {count(needed['parameters'], 'candidate coefficient')} needs "
        f"{count(needed['n'], study['unit'])} ({needed['events']:,.0f} events) to shrink by a tenth at most; this "
        f"study has {needed['available']:,.0f}."
    ]


def _hazards(study: Mapping[str, Any], files: ModelFiles) -> list[str]:
    table = files.model("assumptions.csv")
    if table is None:
        return []
    tests = table[(table["check"] == "proportional hazards") & (table["p"] < 0.05)]
    names = [name for name in tests["variable"] if name != "GLOBAL"]
    labels = [study["variables"][name]["label"] if name in study["variables"] else name for name in names]
    if not labels:
        return []
    return [f"The hazards of {listed(labels)} are not in proportion (p < 0.05): a single ratio averages over time."]


def _competition(study: Mapping[str, Any], settings: Mapping[str, Any], files: ModelFiles) -> list[str]:
    if not files.is_cox() or "competing" not in study["endpoints"][settings["endpoint"]]:
        return []
    return [
        "Another event competes: the model's survival (nomogram, calibration, Brier score and AUC by time) counts it "
        "as censored, as if it could be abolished; the real share with the event is smaller. Decision curves and "
        "the risk by score use the cumulative incidence."
    ]


def _absent(study: Mapping[str, Any], files: ModelFiles) -> list[str]:
    """Coefficients without an estimate: a level that nobody has, or a variable that others determine."""
    table = files.model("multivariable.csv")
    if table is None or "variable" not in table:
        return []
    rows = table[(table["variable"] != "intercept") & table[ratio_column(table)].isna()]
    labels = [f"“{coded_label(name, study['variables'])}”" for name in rows["variable"]]
    if not labels:
        return []
    return [f"There is no estimate for {listed(labels)}: nobody has the level, or others determine it; it counts as 0."]


def _separation(study: Mapping[str, Any], files: ModelFiles) -> list[str]:
    lines = []
    final, alone = files.final(), files.model("univariable.csv")
    if final and final["separated"]:
        lines.append(
            "The final model separates the outcomes without error, so that no odds ratio by maximum likelihood exists; "
            "Firth's penalised likelihood is used, and the model surely promises too much."
        )
    if alone is not None:
        names = alone.loc[alone["method"].str.contains("Firth"), "variable"]
        labels = [coded_label(name, study["variables"]) for name in names]
        if labels:
            lines.append(f"Alone, {listed(labels)} separated the outcomes; the odds ratio shown is Firth's.")
    tables = [table for table in (alone, files.model("multivariable.csv")) if table is not None and "variable" in table]
    powers = dict.fromkeys(name for table in tables for name in with_powers(table))
    if powers:
        lines.append(
            f"Ratios of {listed([coded_label(name, study['variables']) for name in powers])} have powers of ten: they "
            "are per unit, and patients differ by far less than one. An interval over many powers also says that the "
            "outcomes are nearly separated (quasi-separation)."
        )
    return lines


def _events_per_variable(study: Mapping[str, Any], settings: Mapping[str, Any], files: ModelFiles) -> list[str]:
    performance = files.evaluation("performance.json")
    if not performance:
        return []
    figures = list(performance.values())[-1]
    smaller = figures["events"] if files.is_cox() else min(figures["events"], figures["n"] - figures["events"])
    checks = files.model("assumptions.csv")
    candidates = len(settings["clinical"]) + ("extraction" in settings)
    if checks is not None:  # levels of factors and parts of splines count singly
        candidates = int(checks.loc[checks["check"] == "events per variable", "df"].iloc[0])
    what = "There are" if files.is_cox() else "The smaller class has"
    whom = count(smaller, "event" if files.is_cox() else study["unit"])
    stability = files.step("stability")
    behind = stability and files.step("lasso")
    features = f" and {stability['n_features']:,} image features behind the Radscore" if behind else ""
    return [
        f"{what} {whom}: {smaller / candidates:.1f} for each of the "
        f"{candidates} candidate coefficients of the final model{features}. Ten or more are customary."
    ]
