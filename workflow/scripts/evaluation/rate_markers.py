from nenflow.evaluation.markers import rate_markers, refuse_unknown
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
refuse_unknown(X, params.features)
write_table(rate_markers(X, y, params.t_test, params.phases), snakemake.output[0])
