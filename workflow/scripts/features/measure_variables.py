from nenflow.features.measures import left_out_regions, measure_patients
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
cases, variables, reference = read_table(snakemake.input.cases), snakemake.params.variables, snakemake.params.reference
patients = read_table(snakemake.input.patients)["patient"]
write_table(measure_patients(cases, patients, variables, reference), snakemake.output.measures)
write_table(left_out_regions(cases, variables, reference), snakemake.output.left_out)
