from pathlib import Path

import pandas as pd

from nenflow.cohort.units import read_units
from nenflow.documents import write_json
from nenflow.logs import start_log
from nenflow.models.dataset import assemble_dataset, split
from nenflow.models.nomogram import nomogram, points_table
from nenflow.models.protocol import from_document, scores
from nenflow.published import read_model
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study = snakemake.params.study
model = read_model(Path(snakemake.input.model), Path(snakemake.input.schemas[0]).parent)
names = list(model["variables"])
write_json(model, snakemake.output.document)
dataset, exclusions = assemble_dataset(
    features=None,
    units=read_units(snakemake.input.patients, snakemake.input.lesions, study["variables"]),
    excluded=read_table(snakemake.input.exclusions),
    cases=read_table(snakemake.input.cases),
    # A published model cannot impute: it needs every value.
    analysis={"endpoint": snakemake.params.endpoint, "clinical": names, "missing": "complete"},
    study=study,
)
X, y = split(dataset)
write_table(pd.DataFrame(y).join(scores(from_document(model, names), X)), snakemake.output.scores)
write_table(exclusions, snakemake.output.exclusions)

drawn = nomogram(model["steps"].get("cox") or model["steps"]["logistic"], model["steps"].get("terms"))
write_json(drawn, snakemake.output.nomogram)
write_table(points_table(drawn), snakemake.output.points)
