# What the rules of workflow/rules/cohort.smk read and depend on: functions of wildcards. No rules.


def table_settings(wildcards):
    """Params function: what a cohort's tables are checked against. No more: an edit elsewhere must not check anew."""
    study = STUDIES[wildcards.study]
    images, extractions = study.get("images", {}), study.get("extractions", {})
    regions = {key: images[key] for key in ("organs", "regions", "analysed", "aggregate") if key in images}
    keys = ("phases", "columns", "segments", "fixed")
    phases = {name: {key: block[key] for key in keys if key in block} for name, block in extractions.items()}
    parts = settings("unit", "cohorts", "variables", "stability", "models", "markers", "components")(wildcards)
    return parts | {"images": regions, "extractions": phases}


def tables_to_check(wildcards):
    """The tables of a cohort."""
    return cohort_tables(wildcards.study, wildcards.cohort)


def parameter_files(wildcards):
    """The parameter files of a study's extractions."""
    extractions = STUDIES[wildcards.study].get("extractions", {}).values()
    return [study_file(wildcards.study, block["parameters"]) for block in extractions if "parameters" in block]
