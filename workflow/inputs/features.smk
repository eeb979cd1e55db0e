# What the rules of workflow/rules/features.smk read and depend on: functions of wildcards. No rules.
from snakemake.exceptions import WorkflowError

from nenflow.cohort.templates import fitting_files
from nenflow.study import has_images


def feature_tables(wildcards):
    """Params function: the user's feature tables of a cohort by extraction, each as its template and its files."""
    return imported_tables(wildcards.study, wildcards.cohort)


def imported_tables(study, cohort):
    """The user's feature tables of a cohort by extraction, each as its template and its files."""
    tables = {}
    for name, block in STUDIES[study].get("extractions", {}).items():
        if "table" in block:
            template = study_file(study, block["table"].replace("{cohort}", cohort))
            files = fitting_files(template)
            if not files:
                raise WorkflowError(f"study {study}: no file fits {block['table']} of the extraction {name}.")
            tables[name] = {"template": template, "files": files}
    return tables


def feature_files(wildcards):
    """The user's feature tables of a cohort: those of one extraction, where the wildcards name it, or all."""
    tables = feature_tables(wildcards)
    names = [wildcards.extraction] if "extraction" in wildcards.keys() else tables
    return [file for name in names for file in tables[name]["files"]]


def aggregation(wildcards):
    """Params function: how features of a patient's regions are put together; None where a unit is one region."""
    study = STUDIES[wildcards.study]
    if "aggregate" not in study["images"]:
        return None
    reference = study["stability"]["readings"]["reference"]
    return {"pattern": study["images"]["analysed"], "how": study["images"]["aggregate"], "reference": reference}


def own_extraction(name):
    """The study's extraction that one with other settings was made from, or the extraction itself."""
    return name.partition("_")[0]


def own_parameter_file(wildcards):
    """The parameter file of the study's own extraction."""
    block = STUDIES[wildcards.study]["extractions"][own_extraction(wildcards.extraction)]
    return study_file(wildcards.study, block["parameters"])


def exchanged_features(wildcards):
    """The features of the studies' patients for other programs; none of features that were computed elsewhere."""
    return [
        f"results/{study}/features/{cohort}/exchange/{extraction}/{patient}"
        for study, settings in STUDIES.items()
        if has_images(settings)
        for cohort in settings["cohorts"]
        for extraction in settings["extractions"]
        for patient in checked_cases(study, cohort)
    ]


def parameter_file(wildcards):
    """The parameter file of an extraction: the study's own, or one that was derived from it."""
    if wildcards.extraction in STUDIES[wildcards.study]["extractions"]:
        return own_parameter_file(wildcards)
    return f"results/{wildcards.study}/multiverse/{wildcards.extraction}.yaml"


def extraction_job(wildcards):
    """Params function: what extracting a patient's features depends on besides the images; one for planning's sake."""
    return {
        "settings": extraction_settings(wildcards),
        "contents": contents(parameter_file)(wildcards),
        "tries": noted_tries(wildcards, "features/extract_features_{cohort}_{extraction}_{patient}"),
    }


def extraction_settings(wildcards):
    """What extracting depends on besides the parameter file."""
    study = STUDIES[wildcards.study]
    extraction = study["extractions"][own_extraction(wildcards.extraction)]
    perturbed = study["stability"].get("perturbation")
    perturbing = {"reference": study["stability"]["readings"]["reference"], "seed": study["seed"]}
    return {
        "conformance": extraction.get("conformance", "ibsi"),
        "phases": extraction.get("phases"),
        "perturbation": perturbed | perturbing if perturbed else None,
    }
