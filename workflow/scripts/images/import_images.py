from pathlib import Path

from nenflow.files import whole_folder
from nenflow.images.patients import import_patient
from nenflow.logs import start_log

start_log(snakemake.log[0])
with whole_folder(snakemake.output[0]) as folder:
    import_patient(
        cases=snakemake.params.cases,
        data=Path(snakemake.params.data),
        folder=folder,
        settings=snakemake.params.settings,
        reference=snakemake.params.reference,
        strict=snakemake.params.strict,
    )
