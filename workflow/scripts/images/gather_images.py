from nenflow.cohort.signoff import SIGNOFF, apply_signoff, signoff_template
from nenflow.images.cohort import COUNTS, refuse_other_units
from nenflow.logs import start_log
from nenflow.tables import read_table, read_tables, write_table

TEXT = ["reason", "flags", "unit"]  # columns that may be blank throughout

start_log(snakemake.log[0])
signoff = read_table(snakemake.input.signoff, text=SIGNOFF)
folders = snakemake.input.folders
cases = read_tables([f"{folder}/cases.csv" for folder in folders], text=TEXT)
cases = refuse_other_units(cases.astype(COUNTS))
cases = apply_signoff(cases, signoff, snakemake.params.regions, snakemake.params.reference)
write_table(cases, snakemake.output.cases)
write_table(read_tables([f"{folder}/readings.csv" for folder in folders], text=TEXT), snakemake.output.readings)
write_table(signoff_template(cases, signoff), snakemake.output.signoff)
