from pathlib import Path

from nenflow.features.extraction import extract_patient, read_parameters
from nenflow.logs import start_log
from nenflow.tables import write_table

start_log(snakemake.log[0])
features, failures = extract_patient(
    folder=Path(snakemake.input.images),
    parameters=read_parameters(Path(snakemake.input.parameters)),
    **snakemake.params.settings,
)
write_table(features, snakemake.output.features)
write_table(failures, snakemake.output.failures)
