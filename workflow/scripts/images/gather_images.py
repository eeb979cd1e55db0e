import pandas as pd

from nenflow.cohort.signoff import SIGNOFF, apply_signoff, signoff_template
from nenflow.images.patients import COUNTS
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

TEXT = ["reason", "flags", "unit"]  # columns that may be blank throughout


def gathered(name):
    return pd.concat([read_table(f"{folder}/{name}.csv", text=TEXT) for folder in snakemake.input.folders])


start_log(snakemake.log[0])
signoff = read_table(snakemake.input.signoff, text=SIGNOFF)
cases = apply_signoff(gathered("cases").astype(COUNTS), signoff)
write_table(cases, snakemake.output.cases)
write_table(gathered("readings"), snakemake.output.readings)
write_table(signoff_template(cases, signoff), snakemake.output.signoff)
