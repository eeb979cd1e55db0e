from nenflow.cohort.flow import flow
from nenflow.cohort.units import read_units
from nenflow.logs import start_log
from nenflow.models.dataset import assemble_dataset
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study = snakemake.params.study
measures = snakemake.input.get("measures")
units = read_units(snakemake.input.patients, snakemake.input.lesions, study["variables"], measures)
dataset, exclusions = assemble_dataset(
    features=read_table(snakemake.input.features) if snakemake.input.get("features") else None,
    units=units,
    excluded=read_table(snakemake.input.exclusions),
    cases=read_table(snakemake.input.cases),
    analysis=snakemake.params.analysis,
    study=study,
    pattern=snakemake.params.pattern,
)
patients = read_table(snakemake.input.patients)["patient"]
write_table(dataset, snakemake.output.dataset)
write_table(exclusions, snakemake.output.exclusions)
write_table(flow(patients, units.index, exclusions), snakemake.output.flow)
