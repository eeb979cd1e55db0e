import pandas as pd

from nenflow.features.measures import aggregate_regions, drop_excluded
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
cases = read_table(snakemake.input.cases)


def gathered(paths):
    parts = [read_table(path) for path in paths]
    filled = [part for part in parts if len(part)] or parts[:1]
    return drop_excluded(pd.concat(filled, ignore_index=True), cases)


features = gathered(snakemake.input.features)
if snakemake.params.aggregation:
    features = aggregate_regions(features, cases, **snakemake.params.aggregation)
write_table(features, snakemake.output.features)
write_table(gathered(snakemake.input.failures), snakemake.output.failures)
