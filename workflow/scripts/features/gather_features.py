import pandas as pd

from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
for name in ("features", "failures"):
    parts = [read_table(path) for path in snakemake.input[name]]
    filled = [part for part in parts if len(part)] or parts[:1]
    write_table(pd.concat(filled, ignore_index=True), snakemake.output[name])
