"""The report of a study: which sections it has, and what they say in words, figures and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nenflow.phases import phases_of
from nenflow.report.answer import answer_blocks
from nenflow.report.cases import (
    agreement_table,
    all_cases,
    all_readings,
    count_words,
    flagged_table,
    signoff_words,
    volume_text,
    volumes_table,
)
from nenflow.report.figures_cohort import counted, flow_figure, stability_figure
from nenflow.report.page import ANSWER, Drawing, Gallery, Printed, Section, Text
from nenflow.report.sections_checklists import checklist_blocks
from nenflow.report.sections_components import component_blocks
from nenflow.report.sections_limits import limit_blocks
from nenflow.report.sections_markers import marker_blocks
from nenflow.report.sections_measures import lost_region_blocks, measured_blocks
from nenflow.report.sections_methods import methods_blocks
from nenflow.report.sections_models import model_sections
from nenflow.report.sections_multiverse import multiverse_blocks
from nenflow.report.sections_provenance import provenance_blocks
from nenflow.report.sections_published import published_blocks
from nenflow.report.sections_rivals import rival_blocks
from nenflow.report.sections_survival import survival_blocks
from nenflow.report.tables import (
    classes_table,
    description_table,
    exclusions_table,
    parameters_table,
)
from nenflow.report.wording import count, icc_label, listed, of_cohort, percent, shown_of
from nenflow.tables import CASE

_MARKERS_FLOW = "evaluation/markers_flow.csv"
_FLAGGED = 30  # rows of the table of flagged regions
_EXAMPLES = 12  # pictures of regions


def study_summary(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked, in whom and with what: pairs of a question and its answer, made from settings and counts."""
    models, markers = study.get("models", {}), study.get("markers")
    analyses = [*models.values(), *([markers] if markers else [])]
    summary = [("Asked:", _asked(study, endpoint, bool(models))) for endpoint in _unique(analyses, "endpoint")]
    whom = _in_whom(study, results)
    if whom:
        summary.append(("In whom:", whom))
    for extraction in _unique([analysis for analysis in analyses if "extraction" in analysis], "extraction"):
        summary.append(("With what:", _with_what(study, results, extraction, analyses)))
    if study.get("reference"):
        summary.append(("After:", study["reference"]))
    return summary


def _in_whom(study: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """The cohorts and their numbers; those of a model or of single features where missing values leave fewer."""
    cohorts, fewer = [], []
    for cohort in study["cohorts"]:
        flow = results.get(f"cohort/{cohort}/flow.csv")
        if flow is not None:
            kind = "simulated " if _simulated_cohort(study, results, cohort) else ""
            cohorts.append(f"{kind}{cohort} cohort, {_analysed(flow, study['unit'])}")
    whole = results.get("cohort/development/flow.csv")  # models and single features are of this cohort
    analyses = {f"models/{model}/flow.csv": f"the model “{model}”" for model in study.get("models", {})}
    for file, words in (analyses | {_MARKERS_FLOW: "the single features"}).items():
        flow = results.get(file)
        if flow is not None and whole is not None and _analysed(flow, study["unit"]) != _analysed(whole, study["unit"]):
            fewer.append(f"{words}: {_analysed(flow, study['unit'])}")
    return f"{'; '.join([listed(cohorts), *fewer])}." if cohorts else ""


def _analysed(flow: pd.DataFrame, unit: str) -> str:
    last = flow.iloc[-1]
    lesions = f" with {count(last['lesions'], 'lesion')}" if unit == "lesion" else ""
    return f"{count(last['patients'], 'patient')}{lesions}"


def report_sections(
    study: Mapping[str, Any],
    results: Mapping[str, Any],
    versions: Mapping[str, str],
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Section]:
    """All sections of a study's report, in the order of the page; one without data has no blocks.

    Args:
        study: the study's settings.
        results: what the stages have written, see `results.read_results`.
        versions: versions of the software, see `results.software_versions`.
        parameters: content of each extraction's parameter file, by the extraction's name.
    """
    models, rated = model_sections(study, results), marker_blocks(study, results)
    return [
        Section(ANSWER, "The answer", answer_blocks(study, results)),
        Section("flow", "Who was studied", _flow_blocks(study, results)),
        Section("table-1", "The cohort", _table_one_blocks(study, results)),
        Section("table-2", "The groups compared", _comparison_blocks(study, results)),
        Section("pictures", "Images and their quality control", _picture_blocks(study, results)),
        Section("features", "Features and conformance", _conformance_blocks(study, results)),
        Section("stability", "Stability of the features", _stability_blocks(study, results)),
        models["chain"],
        Section("markers", "Single features", [*(_marker_flow(study, results) if rated else []), *rated]),
        *(models[name] for name in ("lasso", "odds", "nomogram", "score", "roc", "calibration", "decision")),
        Section("survival", "Survival", survival_blocks(study, results)),
        Section("components", "Principal components", component_blocks(study, results)),
        *(models[name] for name in ("honest", "validation", "cross-validation")),
        Section("multiverse", "Multiverse analysis", multiverse_blocks(study, results)),
        Section("published", "Published models", published_blocks(study, results)),
        Section("rivals", "Models compared", rival_blocks(study, results)),
        Section("limits", "Notes and limits", limit_blocks(study, results)),
        Section("methods", "Methods for a paper", methods_blocks(study, results, versions, parameters or {})),
        Section("checklists", "Checklists", checklist_blocks(study, results, parameters or {})),
        Section(
            "versions",
            "Versions, seed and settings",
            [*provenance_blocks(results), *_version_blocks(study, versions, parameters or {})],
        ),
    ]


def is_simulated(study: Mapping[str, Any], results: Mapping[str, Any]) -> bool:
    """Whether any cohort of a study is simulated: as the study says, or as the tags of its images say."""
    return any(_simulated_cohort(study, results, cohort) for cohort in study["cohorts"])


def _simulated_cohort(study: Mapping[str, Any], results: Mapping[str, Any], cohort: str) -> bool:
    tags = [
        content for name, content in results.items() if name.startswith(f"images/{cohort}/") and name.endswith(".json")
    ]
    return "simulation" in study["cohorts"][cohort] or any(content.get("simulated") for content in tags)


def _unique(analyses: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(analysis[key] for analysis in analyses))


def _asked(study: Mapping[str, Any], endpoint: str, models: bool) -> str:
    settings = study["endpoints"][endpoint]
    variable = study["variables"][settings["variable"]]
    others = [level for level in variable["levels"] if level != settings["event"]]
    clinical = "a model of clinical variables"
    with_images = "a model of image features and clinical variables" if "extractions" in study else clinical
    what = with_images if models else "single image features"
    tell = "tells" if models else "tell"
    if "time" in settings:
        return (
            f"whether {what} {tell} when “{settings['event']}” comes ({study['variables'][settings['time']]['label']})."
        )
    return f"whether {what} {tell} “{settings['event']}” from “{listed(others)}” ({variable['label']})."


def _with_what(study: Mapping[str, Any], results: Mapping[str, Any], extraction: str, analyses: Sequence) -> str:
    analyses = [analysis for analysis in analyses if analysis.get("extraction") == extraction]
    phases = listed(list(dict.fromkeys(phase for analysis in analyses for phase in phases_of(analysis["phase"]))))
    number = _feature_number(results, extraction)
    features = f"{number:,} features" if number else "features"
    reader = study["stability"]["readings"]["reference"]
    rings = _unique([a for a in analyses if "region" in a], "region")
    where = f"phase: {phases}" + (f"; of the ring “{listed(rings)}”" if rings else "")
    made = "made elsewhere" if "table" in study["extractions"][extraction] else f"segmented by {reader}"
    text = f"{features} of the extraction “{extraction}” ({where}), {made}"
    clinical = [name for analysis in analyses for name in analysis.get("clinical", [])]
    labels = [study["variables"][name]["label"] for name in dict.fromkeys(clinical)]
    return f"{text}; clinical variables: {listed(labels)}." if labels else f"{text}."


def _feature_number(results: Mapping[str, Any], extraction: str) -> int:
    for name, table in results.items():
        if name.startswith("stability/") and name.endswith(f"/{extraction}.csv"):
            return table["feature"].nunique()
        if name.startswith("features/") and name.endswith(f"/{extraction}.csv"):
            return sum(column not in CASE for column in table.columns)
    markers = results.get("evaluation/markers.csv")
    return 0 if markers is None else len(markers)


def _flow_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    flows = {f"cohort/{cohort}/flow.csv": (cohort, f"the cohort “{cohort}”") for cohort in study["cohorts"]}
    flows |= {f"models/{model}/flow.csv": (model, f"the model “{model}”") for model in study.get("models", {})}
    blocks, seen = [], []
    for file, (name, words) in flows.items():
        flow = results.get(file)
        if flow is None or any(flow.equals(other) for other in seen):  # a model that loses nobody has its cohort's flow
            continue
        seen.append(flow)
        blocks.append(_flow_drawing(name, words, flow, study["unit"]))
    return blocks + _exclusion_blocks(study, results) + lost_region_blocks(study, results)


def _flow_drawing(name: str, words: str, flow: pd.DataFrame, unit: str) -> Drawing:
    first, last = flow.iloc[0], flow.iloc[-1]
    left = [counted(row["patients"], row["lesions"], unit) for row in (first, last)]
    reasons = [
        f"{counted(row['excluded_patients'], row['excluded_lesions'], unit)}: {row['reason']}"
        for row in flow.to_dict("records")
        if row["reason"]
    ]
    alt = f"Flow of {words}: {left[0]} declared, {left[1]} analysed"
    alt += f"; excluded: {'; '.join(reasons)}." if reasons else "; nobody excluded."
    return Drawing(f"flow_{name}", flow_figure(flow, unit), f"Flow of {words}.", alt)


def _exclusion_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    blocks, known = [], set()
    captions = {f"cohort/{name}": (name, f"Excluded from the cohort “{name}”") for name in study["cohorts"]}
    for model in study.get("models", {}):
        captions[f"models/{model}"] = (model, f"Excluded from the model “{model}”, besides those above")
    for folder, (name, caption) in captions.items():
        table = results.get(f"{folder}/exclusions.csv")
        if table is None:
            continue
        rows = list(table.fillna("").itertuples(index=False, name=None))
        table = table[[row not in known for row in rows]]  # a model's file holds its cohort's exclusions too
        if folder.startswith("cohort/"):
            known.update(rows)
        if len(table):
            shown = exclusions_table(table, study["unit"])
            file = f"exclusions_{name}"
            caption = caption if known else caption.split(",")[0]
            blocks.append(Printed(file, shown, f"{caption}{shown_of(len(shown), len(table), file)}.", full=table))
    return blocks


def _table_one_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    blocks = []
    for cohort in study["cohorts"]:
        table = results.get(f"cohort/{cohort}/table_one.csv")
        if table is not None:
            note = "Counts with percentages of the known values, or median [first quartile, third quartile]."
            caption = "Table 1. The cohort." if len(study["cohorts"]) == 1 else f"Table 1. The cohort “{cohort}”."
            blocks.append(Printed(f"table1_{cohort}", description_table(table), caption, note, table))
            blocks += _missing_blocks(study, results, cohort)
    return blocks + measured_blocks(study, results)


def _missing_blocks(study: Mapping[str, Any], results: Mapping[str, Any], cohort: str) -> list[Any]:
    """Which variables lack values; nothing where all are complete."""
    table = results.get(f"cohort/{cohort}/missing.csv")
    if table is None or not table["missing"].any():
        return []
    lacking = table[table["missing"] > 0]
    labels = [study["variables"][name]["label"] if name in study["variables"] else name for name in lacking["variable"]]
    shown = pd.DataFrame(
        {
            "Variable": [label[:1].upper() + label[1:] for label in labels],
            f"{study['unit'].capitalize()}s without": lacking["missing"].astype(str).to_numpy(),
            "Share": lacking["share"].map(percent).to_numpy(),
            "Patients": lacking["patients"].astype(str).to_numpy(),
        }
    )
    return [Printed(f"missing_{cohort}", shown, "Missing values.", full=table)]


def _comparison_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    blocks = []
    for cohort in study["cohorts"]:
        for endpoint, settings in study["endpoints"].items():
            table = results.get(f"cohort/{cohort}/comparisons/{endpoint}.csv")
            if table is None:
                continue
            label = study["variables"][settings["variable"]]["label"]
            note = "Counts with percentages of the known values, or median [first quartile, third quartile]."
            if study["unit"] == "lesion":
                note += " Each lesion counts by itself; lesions of one patient are alike, so p is too small."
            note += " SMD: standardised mean difference; effect sizes and adjusted p are in the file."
            caption = f"Table 2. By {label}{of_cohort(study, cohort)}."
            blocks.append(Printed(f"table2_{cohort}_{endpoint}", description_table(table), caption, note, table))
    return blocks


def _conformance_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """The self-test of the features, and what it says about the extractions of this study."""
    table = results.get("features/conformance.csv")
    if table is None:
        return _origin_blocks(study, results)
    families = table["within"].groupby(table["feature"].str.split("_").str[1], sort=False)
    shown = families.agg(["size", "sum"]).reset_index().set_axis(["Class", "Features", "Within tolerance"], axis=1)
    words = (
        f"Of {len(table)} features of the digital phantom of the Image Biomarker Standardisation Initiative (IBSI), "
        f"computed anew for this study, {int(table['within'].sum())} lie within the tolerance of their reference value."
    )
    slicer = [name for name, block in study.get("extractions", {}).items() if block.get("conformance") == "slicer"]
    if slicer:
        words += (
            f" In this study {listed([f'“{name}”' for name in slicer])} repeats SlicerRadiomics, whose preparation of "
            "images (resampling, kurtosis, re-segmentation) departs from the standard: such values do not compare with "
            "those of a standard-conforming program."
        )
    title = "Conformance with IBSI, digital phantom; every value in tables/conformance.csv."
    return [Text(words), Printed("conformance", shown, title, full=table)]


def _origin_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Who computed features that were brought as tables, as far as the tables say."""
    blocks = []
    for file, software in results.items():
        stage, _, name = file.removesuffix("_software.csv").partition("/")
        if stage != "features" or not file.endswith("_software.csv"):
            continue
        cohort, extraction = name.split("/")
        words = (
            f"The features “{extraction}” of the cohort “{cohort}” were computed elsewhere and brought as a table. No "
            "image was read here: nothing is known of how regions were drawn and images prepared, and no conformance "
            "with the standard (IBSI) is claimed. "
        )
        if software.empty:
            blocks.append(Text(words + "The table does not say which software made them."))
            continue
        words += "The table names its software."
        if software["software"].duplicated().any():
            words += " Versions differ between cases; features may, too."
        shown = software.astype(str).set_axis(["Software", "Version", "Cases"], axis=1)
        caption = f"Software of the features “{extraction}”."
        blocks += [Text(words), Printed(f"software_{cohort}_{extraction}", shown, caption, full=software)]
    return blocks


def _stability_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    blocks = []
    for name, table in results.items():
        stage, _, rest = name.partition("/")
        if stage != "stability" or table.empty:
            continue
        cohort, extraction = rest.removesuffix(".csv").split("/")
        form, threshold = _stability_rule(study, extraction)
        parts = [
            f"{percent((rows[form] >= threshold).mean())} {comparison}"
            for comparison, rows in table.groupby("comparison")
        ]
        caption = f"Agreement of repeated segmentations, {table['feature'].nunique():,} features of “{extraction}”; the"
        caption += f" dashed line is the threshold, {threshold:g}. ICC as McGraw and Wong 1996 name it."
        alt = f"Histograms of {icc_label(form)}; share of features at or above {threshold:g}: {', '.join(parts)}."
        figure = stability_figure(table, form, threshold, study["unit"])
        blocks.append(Drawing(f"stability_{cohort}_{extraction}", figure, caption, alt))
        note = "Classes by the ICC's limits of the study; six forms of ICC with intervals and the limits of agreement "
        note += "(Bland-Altman) of every feature are in the file."
        title = f"Agreement of the features of “{extraction}” by class."
        blocks.append(Printed(f"agreement_{cohort}_{extraction}", classes_table(table), title, note, table))
    return blocks


def _stability_rule(study: Mapping[str, Any], extraction: str) -> tuple[str, float]:
    for model in study.get("models", {}).values():
        for step in model["steps"]:
            if model.get("extraction") == extraction and "stability" in step:
                return step["stability"]["form"], step["stability"]["threshold"]
    return "ICC2", 0.75  # no protocol asks: the form that counts systematic differences, at the customary threshold


def _marker_flow(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """The flow of the single features; where nobody is lost on the way to them, the cohort's flow says it all."""
    flow, whole = results.get(_MARKERS_FLOW), results.get("cohort/development/flow.csv")
    if flow is None or flow.equals(whole):
        return []
    return [_flow_drawing("markers", "the single features", flow, study["unit"])]


def _picture_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    cases = all_cases(study, results)
    if cases.empty:
        return []
    agreement = agreement_table(cases, all_readings(study, results))
    flagged, volumes = flagged_table(cases), volumes_table(cases, study)
    shown = flagged.head(_FLAGGED)
    title = f"Flagged regions{shown_of(len(shown), len(flagged), 'flagged')}."
    note = "Hausdorff: largest distance between the surfaces, and its 95th percentile. Excluded regions do not count."
    pictured = cases[cases["picture"].notna()].head(_EXAMPLES)
    pictures = [
        (", ".join(case[name] for name in CASE), _case_words(case), case["picture"])
        for case in pictured.to_dict("records")
    ]
    opens = f"Show {count(len(pictures), 'example')}, flagged ones first; press one to enlarge it"
    where = (
        "The page gallery.html beside this one has every region: its picture and what was measured in it, or why not."
    )
    return [
        Text(f"{count_words(cases)} {signoff_words(cases)} {where}"),
        *([Printed("flagged", shown, title, full=flagged)] if len(flagged) else []),
        *([Printed("agreement", agreement, "Agreement of readers.", note)] if len(agreement) else []),
        *([Printed("volumes", volumes, "Volumes of organs and of computed regions.")] if len(volumes) else []),
        *([Gallery(opens, pictures)] if pictures else []),
    ]


def _case_words(case: Mapping[str, Any]) -> str:
    """A region's flags, its volume, and what a person decided about it."""
    decided = {"ok": "signed off as ok", "exclude": "signed off as excluded", "": "not signed off"}[case["decision"]]
    flags = "; ".join(case["flags"]) or "nothing flagged"
    return f"{flags}; {volume_text(case['volume_mm3'])}; {decided}."


def _version_blocks(study: Mapping[str, Any], versions: Mapping[str, str], parameters: Mapping[str, Any]) -> list[Any]:
    settings = [("Seed", str(study["seed"])), ("Unit of analysis", study["unit"])]
    if "images" in study:
        settings += [("Smallest region", f"{study['images']['minimum_volume_mm3']:g} mm³"), *_region_settings(study)]
    for name, extraction in study.get("extractions", {}).items():
        if "table" in extraction:
            settings.append((f"Extraction “{name}”", f"made elsewhere, read from {Path(extraction['table']).name}"))
            continue
        phases = f", phases {listed(extraction['phases'])}" if "phases" in extraction else ""
        conformance = extraction.get("conformance", "ibsi")
        settings.append((f"Extraction “{name}”", f"{extraction['parameters']}, conformance {conformance}{phases}"))
    for name, model in study.get("models", {}).items():
        settings.append((f"Protocol of “{name}”", "; ".join(_step_words(step) for step in model["steps"])))
        missing = model.get("missing", "refuse")
        if missing != "refuse":
            times = f", {model['imputations']} times, pooled by Rubin's rules" if missing == "impute" else " cases only"
            settings.append((f"Missing values of “{name}”", f"{missing}{times}"))
    if "evaluation" in study and study.get("models"):
        settings.append(("Resamples", f"{study['evaluation']['resamples']:,}"))
        words = {"folds": "Folds of the cross-validation", "repeats": "Repeats of the cross-validation"}
        words |= {"leave_out": "Left out level by level", "temporal": "Temporal split", "external": "External cohort"}
        chosen = study["evaluation"]
        settings += [
            (words[key], _words(chosen[key]) if key == "temporal" else str(chosen[key]))
            for key in words
            if key in chosen
        ]
    whole = "A class of features without names in brackets is computed whole."
    return [
        Printed("settings", pd.DataFrame(settings, columns=["Setting", "Value"]), "Settings."),
        *(
            Printed(f"extraction_{name}", parameters_table(content), f"Parameters of the extraction “{name}”.", whole)
            for name, content in parameters.items()
        ),
        Printed("versions", pd.DataFrame(list(versions.items()), columns=["Software", "Version"]), "Software."),
    ]


def _region_settings(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who read what, and what was computed from it."""
    images, stability = study["images"], study["stability"]
    settings = [("Readings", "; ".join(f"{role} {rater}" for role, rater in stability["readings"].items()))]
    if "organs" in images:
        settings.append(("Organs", listed(images["organs"])))
    for name, rule in images.get("regions", {}).items():
        settings.append((f"Region “{name}”", _words(rule)))
    if "analysed" in images:
        how = f", put together: {images['aggregate']}" if "aggregate" in images else ""
        settings.append(("Region analysed", f"{images['analysed']}{how}"))
    for phase, (low, high) in images.get("expected", {}).items():
        settings.append((f"Expected mean, {phase}", f"{low:g} to {high:g}"))
    if "perturbation" in stability:
        settings.append(("Perturbed readings", _words(stability["perturbation"])))
    return settings


def _words(options: Mapping[str, Any]) -> str:
    shown = {key: _written(value) for key, value in options.items()}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return listed([f"{name} {part}" for name, part in value.items()])
    return listed(value) if isinstance(value, list) else value


def _step_words(step: Mapping[str, Any]) -> str:
    name, options = next(iter(step.items()))
    words = _words(options or {})
    return f"{name} ({words})" if words else name
