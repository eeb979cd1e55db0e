from nenflow.evaluation.sample_size import sample_size_of
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
planned = snakemake.params.planned
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
candidates, _ = split(read_table(snakemake.input.candidates, index=UNIT))
analysis = snakemake.params.analysis
features = X.columns.difference([*analysis["clinical"], *analysis["others"]])
# As factors and splines have them; without a LASSO features are candidates themselves.
coefficients = len(features.union(candidates.columns).difference(["Radscore"]))
table = sample_size_of(
    y=y,
    parameters=planned.get("parameters", coefficients),
    times=analysis["times"],
    c=planned.get("c"),
    r2=planned.get("r2"),
)
write_table(table, snakemake.output[0])
