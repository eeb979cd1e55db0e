from nenflow.features.tables import read_feature_tables
from nenflow.logs import start_log
from nenflow.study import refuse
from nenflow.tables import write_table

start_log(snakemake.log[0])
problems = []
tables = read_feature_tables(
    **snakemake.params.imported[snakemake.wildcards.extraction],
    settings=snakemake.params.settings,
    study=snakemake.params.study,
    problems=problems,
)
refuse(problems, "the feature tables")
write_table(tables.features, snakemake.output.export)
for name in ("features", "failures", "software"):
    write_table(getattr(tables, name), snakemake.output[name])
