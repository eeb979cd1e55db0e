from pathlib import Path

from nenflow.images.patients import import_patient
from nenflow.logs import start_log

start_log(snakemake.log[0])
import_patient(
    cases=snakemake.params.cases,
    data=Path(snakemake.params.data),
    folder=Path(snakemake.output[0]),
    settings=snakemake.params.settings,
    reference=snakemake.params.reference,
    strict=snakemake.params.strict,
)
