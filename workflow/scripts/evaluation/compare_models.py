from nenflow.evaluation.rivals import compare_all
from nenflow.logs import start_log
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
scores = [read_table(path, index=UNIT) for path in snakemake.input.scores]
table = compare_all(
    endpoints=params.endpoints,
    scores=dict(zip(params.endpoints, scores, strict=True)),
    crossed=dict(zip(params.crossed, map(read_table, snakemake.input.crossed), strict=True)),
    categories=params.evaluation.get("categories", []),
    seed=params.seed,
    resamples=params.evaluation["resamples"],
)
write_table(table, snakemake.output[0])
