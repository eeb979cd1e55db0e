from pathlib import Path

from nenflow.features.extraction import extract_patient, read_parameters
from nenflow.logs import begin_try, note_tries, start_log
from nenflow.records import CASE, write_records

start_log(snakemake.log[0])
job = snakemake.params.job
stopped = begin_try(snakemake.log[0], snakemake.resources.attempt)
features, failures = extract_patient(
    folder=Path(snakemake.input.images),
    parameters=read_parameters(Path(snakemake.input.parameters)),
    stopped=stopped,
    **job["settings"],
)
write_records(features, snakemake.output.features, columns=CASE)
write_records(failures, snakemake.output.failures, columns=[*CASE, "reason"])
note_tries(snakemake.log[0], job["tries"], [failure["reason"] for failure in failures])
