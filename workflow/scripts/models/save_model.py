import pandas as pd

from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.base import is_survival, outcome_strata
from nenflow.models.dataset import split
from nenflow.models.protocol import from_document, scores
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
study = snakemake.params.study
model, others = study["models"][snakemake.wildcards.model], snakemake.params.analysis["others"]
names = [next(iter(step)) for step in model["steps"]]
document = {
    "study": study["title"],
    "model": snakemake.wildcards.model,
    "simulated": "simulation" in study["cohorts"]["development"],
    **{key: model[key] for key in ("endpoint", "extraction", "phase", "features", "clinical") if key in model},
    "variables": {name: study["variables"][name] for name in [*model["clinical"], *others]},
    "steps": dict(zip(names, map(read_json, snakemake.input.steps), strict=True)),
}
write_json(document, snakemake.output.model)

X, y = split(read_table(snakemake.input.dataset, index=UNIT))
scored = scores(
    from_document(document, [*model["clinical"], *others]), X, outcome_strata(y) if is_survival(y) else None
)
write_table(pd.DataFrame(y).join(scored), snakemake.output.scores)
