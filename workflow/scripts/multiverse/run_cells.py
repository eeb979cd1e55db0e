from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import given_by
from nenflow.multiverse.runs import run_cells
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
features = read_table(snakemake.input.readings) if snakemake.input.readings else None
X, y = split(read_table(snakemake.input.dataset, index=UNIT))

given = given_by(params.analysis, features, params.readings, params.seed)
write_table(run_cells(params.cells, X, y, given, params.seed, params.evaluation), snakemake.output[0])
