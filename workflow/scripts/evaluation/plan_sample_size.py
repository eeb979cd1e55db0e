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
coefficients = len(features) + len(candidates.columns.difference(["Radscore"]))  # as factors and splines have them
table = sample_size_of(
    y=y,
    parameters=planned.get("parameters", coefficients),
    times=analysis["times"],
    c=planned.get("c"),
    r2=planned.get("r2"),
)
write_table(table, snakemake.output[0])
