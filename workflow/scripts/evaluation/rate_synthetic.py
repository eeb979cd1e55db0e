from nenflow.documents import write_json
from nenflow.evaluation.synthetic import rate_synthetic
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
table, record = rate_synthetic(X, y, **params.growth, t_test=params.t_test, phases=params.phases)
write_table(table, snakemake.output.table)
write_json(record, snakemake.output.record)
