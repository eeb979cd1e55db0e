from nenflow.evaluation.synthetic import rate_synthetic
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
settings, event = snakemake.params.synthetic, snakemake.params.event
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
table = rate_synthetic(
    X=X,
    y=y,
    counts={int(level == event): count for level, count in settings["counts"].items()},
    method=settings["method"],
    neighbours=settings.get("neighbours", 5),
    seed=snakemake.params.seed,
)
write_table(table, snakemake.output[0])
