import pandas as pd

from nenflow.logs import start_log
from nenflow.stability import agreement_table, repeated_readings
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
features = read_table(snakemake.input[0])
tables = []
for phase in sorted(features["phase"].unique()):
    readings = repeated_readings(features, phase, snakemake.params.readings)
    tables.append(agreement_table(readings.pop("reference"), readings).assign(phase=phase))
write_table(pd.concat(tables, ignore_index=True), snakemake.output[0])
