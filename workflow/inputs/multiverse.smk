# What the rules of workflow/rules/multiverse.smk read and depend on: functions of wildcards. No rules.
from functools import cache
from pathlib import Path

from nenflow.multiverse.choices import cells, jobs, read_setting, variants


@cache
def own_setting(study, extraction):
    """The settings in the parameter file of a study's own extraction."""
    file = STUDIES[study]["extractions"][extraction]["parameters"]
    return read_setting(Path(study_file(study, file)))


def model_variants(study, model):
    """The extractions of a model's multiverse: all varied settings by the extraction's name."""
    extraction = STUDIES[study]["models"][model].get("extraction")
    if "extraction" not in (listed := STUDIES[study]["multiverse"][model]):
        return {extraction: {}}
    return variants(extraction, listed["extraction"], own_setting(study, extraction))


def variant_settings(study):
    """The extractions of all multiverses of a study."""
    return {
        name: chosen for model in STUDIES[study]["multiverse"] for name, chosen in model_variants(study, model).items()
    }


def multiverse_jobs(wildcards):
    """The cells of a model's multiverse by job."""
    listed = STUDIES[wildcards.study]["multiverse"][wildcards.model].get("steps", {})
    return jobs(cells(model_steps(wildcards), listed, model_variants(wildcards.study, wildcards.model)))


def cell_extraction(wildcards):
    """The extraction whose features a job's cells use; None for a model of clinical variables only."""
    return multiverse_jobs(wildcards)[wildcards.cells][0]["extraction"]


def cell_dataset(wildcards):
    """The dataset of a job's cells: the model's own, or that of an extraction with other settings."""
    folder, extraction = f"results/{wildcards.study}", cell_extraction(wildcards)
    if extraction == STUDIES[wildcards.study]["models"][wildcards.model].get("extraction"):
        return f"{folder}/models/{wildcards.model}/dataset.csv"
    return f"{folder}/multiverse/{wildcards.model}/datasets/{extraction}.csv"


def cell_readings(wildcards):
    """Repeated readings of a job's cells, for protocols with the one step that looks at them."""
    if "stability" not in STEPS[wildcards.study, wildcards.model]:
        return []
    return f"results/{wildcards.study}/features/{DEVELOPMENT}/{cell_extraction(wildcards)}.parquet"


def variant_tables(wildcards):
    """What the dataset of an extraction with other settings is put together from."""
    model = STUDIES[wildcards.study]["models"][wildcards.model]
    return analysis_inputs(wildcards, model | {"extraction": wildcards.extraction})
