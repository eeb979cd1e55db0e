# What the rules of workflow/rules/application.smk read and depend on: functions of wildcards. No rules.
from snakemake.exceptions import WorkflowError

from nenflow.application.cohorts import model_needs


def application(file):
    """Input function: a result of applying the model that the command line names."""

    def path(wildcards):
        if not APPLICATION:
            raise WorkflowError(
                "Say which model and whom: snakemake apply --config model=results/pnec/models/nomogram/card.json "
                "cohort=/data/new-patients (or <study>/<cohort>)."
            )
        if APPLICATION["endpoint"] is None and file.startswith("validation"):
            raise WorkflowError(
                "The tables of the cohort lack the outcome, so that the model cannot be validated there; add its "
                "columns, as the model file names them under endpoint, or run snakemake apply."
            )
        return f"results/{next(iter(STUDIES))}/application/{APPLICATION['card']['name']}/{file}"

    return path


def applied_model(wildcards):
    """The model file that is applied."""
    return APPLICATION["file"]


def application_tables(wildcards):
    """What the inputs of a model are put together from in the cohort that it is applied to."""
    needs, cohort = model_needs(APPLICATION["card"]), APPLICATION["cohort"]
    tables = analysis_inputs(wildcards, needs, cohort)
    del tables["exclusions"]  # which describes a cohort of a study; here the model lists its own
    if "extraction" in needs:
        tables["failures"] = f"results/{wildcards.study}/features/{cohort}/{needs['extraction']}_failures.csv"
    return tables
