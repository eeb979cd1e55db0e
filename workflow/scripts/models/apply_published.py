from pathlib import Path

import pandas as pd

from nenflow.cohort.units import read_units
from nenflow.documents import write_json
from nenflow.logs import start_log
from nenflow.models.dataset import assemble_dataset, split
from nenflow.models.nomogram import points_table
from nenflow.models.printed import apply_printed, features_of, printed_nomogram
from nenflow.published import read_model
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study, settings, files = snakemake.params.study, snakemake.params.settings, snakemake.input
model = read_model(Path(files.model), Path(files.schemas[0]).parent, whole=False)
dataset, exclusions = assemble_dataset(
    features=read_table(files.features) if files.get("features") else None,
    units=read_units(files.patients, files.lesions, study["variables"], files.get("measures")),
    excluded=read_table(files.exclusions),
    cases=read_table(files.cases),
    # A published model cannot impute: it needs every value.
    analysis={**settings, "clinical": list(model["variables"]), "features": features_of(model), "missing": "complete"},
    study=study,
    pattern=snakemake.params.pattern,
)
X, y = split(dataset)
applied, table = apply_printed(model, X)
write_json(applied, snakemake.output.document)
write_table(pd.DataFrame(y).join(table), snakemake.output.scores)
write_table(exclusions, snakemake.output.exclusions)
drawn = printed_nomogram(model)
write_json(drawn, snakemake.output.nomogram)
write_table(points_table(drawn), snakemake.output.points)
