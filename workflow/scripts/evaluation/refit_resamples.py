from nenflow.evaluation.resampling import refit_resamples
from nenflow.logs import start_log
from nenflow.models.protocol import build_protocol
from nenflow.stability import repeated_readings
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, model = snakemake.params, snakemake.params.model
features = read_table(snakemake.input.features)
readings = repeated_readings(features, model["phase"], params.readings, model.get("region"))
dataset = read_table(snakemake.input.dataset, index=UNIT)
outcome = dataset.pop("outcome")
batch, total = params.evaluation["resamples_per_job"], params.evaluation["resamples"]
first = int(snakemake.wildcards.batch) * batch

refits, curves = refit_resamples(
    protocol=build_protocol(model["steps"], model["clinical"], readings, params.seed),
    X=dataset,
    y=outcome,
    seed=params.seed,
    numbers=range(first, min(first + batch, total)),
)
write_table(refits, snakemake.output.resamples)
write_table(curves, snakemake.output.calibration)
