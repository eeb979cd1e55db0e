from pathlib import Path

from nenflow.checksums import joint_digest
from nenflow.files import whole_folder
from nenflow.images.patients import import_patient
from nenflow.logs import begin_try, note_tries, start_log
from nenflow.records import write_records

start_log(snakemake.log[0])
job = snakemake.params.job
stopped = begin_try(snakemake.log[0], snakemake.resources.attempt)
with whole_folder(snakemake.output[0]) as folder:
    rows = import_patient(
        cases=job["cases"],
        data=Path(job["place"].value["data"]),
        folder=folder,
        settings=job["settings"],
        reference=job["reference"],
        strict=job["strict"],
        stopped=stopped,
    )
    write_records([joint_digest(snakemake.input)], folder / "inputs.csv", ["files", "sha256"])
note_tries(snakemake.log[0], job["tries"], [row["reason"] for row in rows if row["status"] == "excluded"])
