from pathlib import Path

from nenflow.features.extraction import extract_patient, read_parameters
from nenflow.logs import note_tries, start_log, was_stopped
from nenflow.records import CASE, write_records

stopped = was_stopped(snakemake.log[0], snakemake.resources.attempt)
start_log(snakemake.log[0])
features, failures = extract_patient(
    folder=Path(snakemake.input.images),
    parameters=read_parameters(Path(snakemake.input.parameters)),
    stopped=stopped,
    **snakemake.params.settings,
)
write_records(features, snakemake.output.features, columns=CASE)
write_records(failures, snakemake.output.failures, columns=[*CASE, "reason"])
note_tries(snakemake.log[0], snakemake.params.tries, [failure["reason"] for failure in failures])
