from nenflow.documents import write_json
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import fit_step
from nenflow.stability import repeated_readings
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, analysis = snakemake.params, snakemake.params.analysis
readings = None
if snakemake.input.readings:
    features = read_table(snakemake.input.readings)
    readings = repeated_readings(features, analysis["phase"], params.readings, analysis.get("region"))
X, y = split(read_table(snakemake.input.table, index=UNIT))

step, passed_on = fit_step(
    name=snakemake.wildcards.step,
    options=params.options,
    X=X,
    y=y,
    clinical=[*analysis["clinical"], *analysis["others"]],
    readings=readings,
    seed=params.seed,
    times=analysis["times"],
    imputations=analysis.get("imputations", 0),
    cox=analysis["cox"],
)
write_json(step.document(), snakemake.output.document)
write_table(passed_on.join(y), snakemake.output.table)
