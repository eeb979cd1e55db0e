from pathlib import Path

import yaml

from nenflow.features.extraction import check_parameters, read_parameters
from nenflow.logs import start_log

start_log(snakemake.log[0])
parameters = read_parameters(snakemake.input.parameters)
parameters["setting"] |= snakemake.params.settings
check_parameters(parameters)  # once, not in the job of every patient
Path(snakemake.output[0]).write_text(yaml.safe_dump(parameters, sort_keys=False), encoding="utf-8")
