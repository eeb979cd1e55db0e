from pathlib import Path

from nenflow.logs import start_log
from nenflow.simulation.cohort import simulate_cohort
from nenflow.study import load_simulation

start_log(snakemake.log[0])
simulate_cohort(
    settings=load_simulation(Path(snakemake.input.settings), Path(snakemake.input.schema).parent),
    seed=snakemake.params.seed,
    folder=Path(snakemake.output.patients).parent,
)
