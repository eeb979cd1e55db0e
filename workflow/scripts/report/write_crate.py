from datetime import UTC, datetime
from pathlib import Path

from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.report.crate import describe_results
from nenflow.tables import read_table

start_log(snakemake.log[0])
found = snakemake.input
changed = Path(found.settings).stat().st_mtime
write_json(
    describe_results(
        study=snakemake.params.study,
        run=read_json(found.run),
        inputs=read_table(found.inputs, text=["cohort"]),
        paths=[path for path in found if path != found.settings],
        folder=Path(snakemake.output[0]).parent,
        date=datetime.fromtimestamp(changed, UTC).date().isoformat(),
    ),
    snakemake.output[0],
)
