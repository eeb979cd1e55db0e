import yaml

from nenflow.features.extraction import check_parameters, read_parameters
from nenflow.files import write_text
from nenflow.logs import start_log

start_log(snakemake.log[0])
parameters = read_parameters(snakemake.input.parameters)
parameters["setting"] |= snakemake.params.settings
check_parameters(parameters)  # once, not in the job of every patient
write_text(yaml.safe_dump(parameters, sort_keys=False), snakemake.output[0])
