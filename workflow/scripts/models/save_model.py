from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.protocol import from_document, scores
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
study = snakemake.params.study
model = study["models"][snakemake.wildcards.model]
names = [next(iter(step)) for step in model["steps"]]
document = {
    "study": study["title"],
    "model": snakemake.wildcards.model,
    "simulated": "simulation" in study["cohorts"]["development"],
    **{key: model[key] for key in ("endpoint", "extraction", "phase", "clinical")},
    "variables": {name: study["variables"][name] for name in model["clinical"]},
    "steps": dict(zip(names, map(read_json, snakemake.input.steps), strict=True)),
}
write_json(document, snakemake.output.model)

dataset = read_table(snakemake.input.dataset, index=UNIT)
outcome = dataset.pop("outcome")
scored = scores(from_document(document, model["clinical"]), dataset)
scored.insert(0, "outcome", outcome)
write_table(scored, snakemake.output.scores)
