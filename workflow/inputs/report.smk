# What the rules of workflow/rules/report.smk read and depend on: functions of wildcards. No rules.
from pathlib import Path

import yaml

from nenflow.study import has_images, imports_features, repeats_readings


def pages(study):
    """The pages of a study: its report, and the gallery where there are images; of a run that applies a model its own."""
    if APPLICATION:
        folder = Path(f"results/{study}/application/{APPLICATION['card']['name']}")
        return [str(page) for page in (folder / "predictions.html", folder / "validation.html") if page.exists()]
    names = ["report", "gallery"] if has_images(STUDIES[study]) else ["report"]
    return expand("results/{study}/report/{page}.html", study=study, page=names)


def exports(study):
    """The models of a study for other programs."""
    models = STUDIES[study].get("models", {})
    forms = [form for model in models for form in (model, f"{model}/shrunken")]
    forms += [f"published_{name}" for name in STUDIES[study].get("published", {})]
    files = expand(
        "results/{study}/models/{form}/{name}", study=study, form=forms, name=["coefficients.csv", "predict.R"]
    )
    cards = expand("results/{study}/models/{model}/card.{form}", study=study, model=models, form=["json", "md"])
    return [*files, *cards]


def report_inputs(wildcards):
    """All results that the page shows; a study without models or markers has none of theirs."""
    study = STUDIES[wildcards.study]
    files = cohort_results(wildcards.study)
    for model in study.get("models", {}):
        files += model_results(wildcards.study, model)
    if rivals(wildcards.study):
        files.append("evaluation/comparisons.csv")
    files += expand("multiverse/{model}/cells.csv", model=study.get("multiverse", []))
    for published in study.get("published", {}):
        names = ["model.json", "scores.csv", "nomogram.json", "points.csv"]
        files += expand("models/published_{name}/{file}", name=published, file=names)
        names = ["performance.json", "calibration.csv", "calibration_groups.csv"]
        files += expand("evaluation/published_{name}/{file}", name=published, file=names)
    names = ["curves", "summary", "tests", "effects", "cutpoints", "incidence"]
    files += expand("evaluation/survival_{endpoint}/{name}.csv", endpoint=study.get("survival", []), name=names)
    if "components" in study:
        names = ["components.json", "components_variance.csv", "components_scores.csv", "components_effects.csv"]
        files += [f"evaluation/{name}" for name in names]
    if "markers" in study:
        files += marker_results(study["markers"])
    return [f"results/{wildcards.study}/{name}" for name in files]


def cohort_results(name):
    """What the page shows of a study's cohorts, their images and their features."""
    study, cohorts = STUDIES[name], list(STUDIES[name]["cohorts"])
    described = ["flow.csv", "exclusions.csv", "table_one.csv", "comparisons", "missing.csv", "notes.json"]
    described += ["lost_regions.csv", "signoff.csv"]
    files = expand("cohort/{cohort}/{name}", cohort=cohorts, name=described)
    if measured_variables(name, DEVELOPMENT):
        names = ["measured_variables", "measured_left_out"]
        files += expand("features/{cohort}/{name}.csv", cohort=cohorts, name=names)
    if has_images(study):
        files += expand("images/{cohort}/{name}.csv", cohort=cohorts, name=["cases", "readings"])
        files.append("features/conformance.csv")
    if imports_features(study):
        files += expand("features/{cohort}/{extraction}_software.csv", cohort=cohorts, extraction=study["extractions"])
    if repeats_readings(study):
        files += expand("stability/{cohort}/{extraction}.csv", cohort=DEVELOPMENT, extraction=study["extractions"])
    return files


def model_results(name, model):
    """What the page shows of one of a study's models."""
    study = STUDIES[name]
    names = ["flow.csv", "exclusions.csv", "scores.csv", "model.json", "card.json", "nomogram.json", "points.csv"]
    names += ["univariable.csv", "candidates.csv", "multivariable.csv", "assumptions.csv", "subdistribution.csv"]
    names += expand("steps/{step}.json", step=STEPS[name, model])
    names += expand("shrunken/{name}", name=["model.json", "nomogram.json", "points.csv"])
    if "score" in study["models"][model]:
        names += ["score.json", "strata.csv"]
    figures = ["performance.json", "roc.csv", "validation.json", "chance.json", "permutations.csv"]
    figures += ["calibration.csv", "calibration_groups.csv", "decision_corrected.csv", "comparison.csv"]
    figures += ["sample_size.csv", "schemes.csv", "schemes_selection.csv"]
    if CROSS_VALIDATIONS & set(study["evaluation"]):
        figures += ["cross_validation.json", "cross_validation_decision.csv"]
    if "external" in study["evaluation"]:
        figures += ["external.json", "external_flow.csv", "external_exclusions.csv", "external_scores.csv"]
        figures += ["external_calibration.csv", "external_calibration_groups.csv"]
    return [f"models/{model}/{file}" for file in names] + [f"evaluation/{model}/{file}" for file in figures]


def marker_results(markers):
    """What the page shows of single features: their ratings, and what else there is of them."""
    files = ["evaluation/markers.csv", "evaluation/markers_flow.csv"]
    if "synthetic" in markers:
        files += ["evaluation/markers_synthetic.csv", "evaluation/markers_synthetic.json"]
        files += ["evaluation/markers_chance.csv"] if "permutations" in markers["synthetic"] else []
    if "survival" in markers:
        files += expand("evaluation/markers_survival/{name}.csv", name=["curves", "summary", "tests"])
    return files


def input_tables(wildcards):
    """Params function: files of the tables and settings that a study is made from, by what they are.

    Of a simulated cohort that is what it is drawn from, not the tables that come of it.
    """
    name, study = wildcards.study, STUDIES[wildcards.study]
    files = {"settings of the study": [f"config/studies/{name}/study.yaml"]}
    for cohort, block in study["cohorts"].items():
        for key in ("simulation", "patients", "lesions", "cases", "signoff"):
            if key in block:
                files[f"{key} of the cohort {cohort}"] = [study_file(name, block[key])]
        for extraction, table in imported_tables(name, cohort).items():
            files[f"features {extraction} of the cohort {cohort}"] = table["files"]
    for extraction, block in study.get("extractions", {}).items():
        if "parameters" in block:
            files[f"parameters of the extraction {extraction}"] = [study_file(name, block["parameters"])]
    for published, block in study.get("published", {}).items():
        files[f"published model {published}"] = [study_file(name, block["file"])]
    return files


def input_files(wildcards):
    """All of these files."""
    return [file for files in input_tables(wildcards).values() for file in files]


def study_settings(wildcards):
    """The settings of a study."""
    return f"config/studies/{wildcards.study}/study.yaml"


def finished_studies(wildcards):
    """Params function: the studies that run, and those whose results lie beside theirs."""
    others = {path.parts[1] for path in Path("results").glob("*/provenance/run.json")}
    return sorted(others | set(STUDIES))


def gallery_tables(wildcards):
    """What became of the cases of all cohorts, how raters agree, and what people decided."""
    tables = ["images/{cohort}/cases.csv", "images/{cohort}/readings.csv", "cohort/{cohort}/signoff.csv"]
    return [
        f"results/{wildcards.study}/{table.format(cohort=cohort)}"
        for cohort in STUDIES[wildcards.study]["cohorts"]
        for table in tables
    ]


def extraction_parameters(wildcards):
    """Params function: what the parameter file of each extraction says."""
    extractions = STUDIES[wildcards.study].get("extractions", {})
    files = {
        name: Path(study_file(wildcards.study, block["parameters"]))
        for name, block in extractions.items()
        if "parameters" in block
    }
    return {name: yaml.safe_load(file.read_text(encoding="utf-8")) for name, file in files.items()}


def reporting_lists(wildcards):
    """The references and checklists that the library reads beside its code; a change in them writes reports anew."""
    folder = WORKFLOW / "lib/nenflow/report"
    return [str(folder / "references.yaml"), *map(str, sorted(folder.glob("checklists/*.yaml")))]


def report_pictures(wildcards):
    """The folders of the images stage, for the pictures of their cases."""
    study = wildcards.study
    return [
        f"results/{study}/images/{cohort}/{patient}"
        for cohort in STUDIES[study]["cohorts"]
        for patient in checked_cases(study, cohort)
    ]
