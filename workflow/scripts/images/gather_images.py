import pandas as pd

from nenflow.cohort.signoff import SIGNOFF, apply_signoff, signoff_template
from nenflow.images.cohort import COUNTS, refuse_other_units
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

TEXT = ["reason", "flags", "unit"]  # columns that may be blank throughout


def gathered(name):
    tables = [read_table(f"{folder}/{name}.csv", text=TEXT) for folder in snakemake.input.folders]
    return pd.concat(tables, ignore_index=True)


start_log(snakemake.log[0])
signoff = read_table(snakemake.input.signoff, text=SIGNOFF)
cases = refuse_other_units(gathered("cases").astype(COUNTS))
cases = apply_signoff(cases, signoff, snakemake.params.regions, snakemake.params.reference)
write_table(cases, snakemake.output.cases)
write_table(gathered("readings"), snakemake.output.readings)
write_table(signoff_template(cases, signoff), snakemake.output.signoff)
