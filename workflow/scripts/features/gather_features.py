from nenflow.features.measures import aggregate_regions, drop_excluded
from nenflow.logs import start_log
from nenflow.tables import read_table, read_tables, write_table

start_log(snakemake.log[0])
cases = read_table(snakemake.input.cases)
features = drop_excluded(read_tables(snakemake.input.features), cases)
if snakemake.params.aggregation:
    features = aggregate_regions(features, cases, **snakemake.params.aggregation)
for file in (snakemake.output.features, snakemake.output.export):
    write_table(features, file)
write_table(drop_excluded(read_tables(snakemake.input.failures), cases), snakemake.output.failures)
