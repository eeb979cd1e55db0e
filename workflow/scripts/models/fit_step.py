from nenflow.documents import write_json
from nenflow.logs import start_log
from nenflow.models.dataset import repeated_readings
from nenflow.models.protocol import fit_step
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
study, name = snakemake.params.study, snakemake.wildcards.step
model = study["models"][snakemake.wildcards.model]
readings = None
if snakemake.input.readings:
    readings = repeated_readings(read_table(snakemake.input.readings), model["phase"], study["stability"]["readings"])
table = read_table(snakemake.input.table, index=UNIT)
outcome = table.pop("outcome")

step, passed_on = fit_step(
    name=name,
    options=next(step[name] for step in model["steps"] if name in step),
    X=table,
    y=outcome,
    clinical=model["clinical"],
    readings=readings,
    seed=study["seed"],
)
write_json(step.document(), snakemake.output.document)
write_table(passed_on.assign(outcome=outcome), snakemake.output.table)
