import pandas as pd

from nenflow.cohort.signoff import drop_excluded
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
cases = read_table(snakemake.input.cases)
for name in ("features", "failures"):
    parts = [read_table(path) for path in snakemake.input[name]]
    filled = [part for part in parts if len(part)] or parts[:1]
    write_table(drop_excluded(pd.concat(filled, ignore_index=True), cases), snakemake.output[name])
