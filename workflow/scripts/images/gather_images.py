import pandas as pd

from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
write_table(
    pd.concat([read_table(f"{folder}/cases.csv") for folder in snakemake.input], ignore_index=True),
    snakemake.output[0],
)
