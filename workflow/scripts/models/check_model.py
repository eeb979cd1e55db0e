from nenflow.logs import start_log
from nenflow.models.assumptions import check_assumptions, subdistribution_table
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
candidates, _ = split(read_table(snakemake.input.candidates, index=UNIT))
final, y = split(read_table(snakemake.input.final, index=UNIT))
analysis = snakemake.params.analysis
settings = {"imputations": analysis.get("imputations", 0), "seed": snakemake.params.seed, **analysis["cox"]}
write_table(check_assumptions(candidates, final, y, **settings), snakemake.output.assumptions)
write_table(subdistribution_table(final, y, **settings), snakemake.output.subdistribution)
