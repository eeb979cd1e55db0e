from pathlib import Path

from nenflow.checksums import joint_digest
from nenflow.files import whole_folder
from nenflow.images.patients import import_patient
from nenflow.logs import note_tries, start_log, was_stopped
from nenflow.records import write_records

stopped = was_stopped(snakemake.log[0], snakemake.resources.attempt)
start_log(snakemake.log[0])
with whole_folder(snakemake.output[0]) as folder:
    rows = import_patient(
        cases=snakemake.params.cases,
        data=Path(snakemake.params.place.value["data"]),
        folder=folder,
        stopped=stopped,
        **snakemake.params.settings,
    )
    write_records([joint_digest(snakemake.input)], folder / "inputs.csv", ["files", "sha256"])
note_tries(snakemake.log[0], snakemake.params.tries, [row["reason"] for row in rows if row["status"] == "excluded"])
