from nenflow.evaluation.markers import rate_markers
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
write_table(rate_markers(X, y), snakemake.output[0])
