from nenflow.documents import write_json
from nenflow.logs import start_log
from nenflow.models.protocol import fit_step
from nenflow.stability import repeated_readings
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, analysis = snakemake.params, snakemake.params.analysis
readings = None
if snakemake.input.readings:
    features = read_table(snakemake.input.readings)
    readings = repeated_readings(features, analysis["phase"], params.readings, analysis.get("region"))
table = read_table(snakemake.input.table, index=UNIT)
outcome = table.pop("outcome")

step, passed_on = fit_step(
    name=snakemake.wildcards.step,
    options=params.options,
    X=table,
    y=outcome,
    clinical=analysis["clinical"],
    readings=readings,
    seed=params.seed,
)
write_json(step.document(), snakemake.output.document)
write_table(passed_on.assign(outcome=outcome), snakemake.output.table)
