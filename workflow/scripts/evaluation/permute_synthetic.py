from nenflow.evaluation.synthetic import chance_level, permute_synthetic
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
permutations = permute_synthetic(X, y, **params.growth, numbers=range(params.permutations), features=params.features)
write_table(permutations, snakemake.output.permutations)
synthetic = read_table(snakemake.input.synthetic, index=["marker"])
write_table(chance_level(permutations, synthetic), snakemake.output.chance)
