from pathlib import Path

import yaml

from nenflow.logs import start_log
from nenflow.simulation.cohort import simulate_cohort

start_log(snakemake.log[0])
simulate_cohort(
    settings=yaml.safe_load(Path(snakemake.input.settings).read_text(encoding="utf-8")),
    seed=snakemake.params.seed,
    folder=Path(snakemake.output.patients).parent,
)
