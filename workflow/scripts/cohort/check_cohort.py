from pathlib import Path

from nenflow.cohort.checks import read_cohort
from nenflow.cohort.signoff import read_signoff
from nenflow.documents import write_json
from nenflow.errors import InputError
from nenflow.features.extraction import read_parameters
from nenflow.logs import start_log
from nenflow.study import refuse
from nenflow.tables import CASE, write_table

start_log(snakemake.log[0])
study = snakemake.params.study
schemas = Path(snakemake.input.schemas[0]).parent

problems = []  # of the extractions' parameter files: better said now than after all images were imported
for file in map(Path, snakemake.input.parameters):
    try:
        read_parameters(file)
    except InputError as error:
        problems.append(f"{file.name}: {error}")
refuse(problems, "the extractions' parameter files")


def path(given):
    return Path(given) if given else None


cohort = read_cohort(
    patients=Path(snakemake.input.patients),
    lesions=path(snakemake.input.get("lesions")),
    cases=path(snakemake.input.get("cases")),
    data=path(snakemake.params.data),
    study=study,
    schemas=schemas,
    columns=study["cohorts"][snakemake.wildcards.cohort].get("columns"),
    develops=snakemake.wildcards.cohort == "development",
    imported=snakemake.params.imported,
)
decisions = read_signoff(path(snakemake.input.get("signoff")), cohort.cases, study, schemas)
write_table(cohort.patients, snakemake.output.patients)
write_table(cohort.lesions, snakemake.output.lesions)
write_table(cohort.cases[CASE], snakemake.output.cases)
write_table(decisions, snakemake.output.signoff)
write_json(cohort.notes, snakemake.output.notes)
