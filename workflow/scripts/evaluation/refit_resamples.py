from nenflow.evaluation.resampling import refit_resamples
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import build_protocol
from nenflow.stability import repeated_readings
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, analysis = snakemake.params, snakemake.params.analysis
readings = None
if snakemake.input.features:
    features = read_table(snakemake.input.features)
    readings = repeated_readings(features, analysis["phase"], params.readings, analysis.get("region"))
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
batch, total = params.evaluation["resamples_per_job"], params.evaluation["resamples"]
first = int(snakemake.wildcards.batch) * batch

protocol = build_protocol(
    steps=params.steps,
    clinical=[*analysis["clinical"], *analysis["others"]],
    readings=readings,
    seed=params.seed,
    times=analysis["times"],
    imputations=analysis.get("imputations", 0),
)
refits, curves = refit_resamples(protocol, X, y, params.seed, range(first, min(first + batch, total)))
write_table(refits, snakemake.output.resamples)
write_table(curves, snakemake.output.calibration)
