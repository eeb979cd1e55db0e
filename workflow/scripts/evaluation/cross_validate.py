from nenflow.documents import write_json
from nenflow.evaluation.crossvalidation import cross_validate, parts_of
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import build_protocol
from nenflow.stability import repeated_readings
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, analysis = snakemake.params, snakemake.params.analysis
readings, centres = None, None
if snakemake.input.features:
    features = read_table(snakemake.input.features)
    readings = repeated_readings(features, analysis["phase"], params.readings, analysis.get("region"))
if "leave_out" in params.evaluation:
    name = params.evaluation["leave_out"]
    centres = read_table(snakemake.input.patients, text=[name]).set_index("patient")[name]
X, y = split(read_table(snakemake.input.dataset, index=UNIT))

protocol = build_protocol(
    steps=params.steps,
    clinical=[*analysis["clinical"], *analysis["others"]],
    readings=readings,
    seed=params.seed,
    times=analysis["times"],
    imputations=analysis.get("imputations", 0),
)
parts = parts_of(X, y, params.seed, params.evaluation, centres)
units, figures = cross_validate(protocol, X, y, parts, params.score)
write_table(units, snakemake.output.units)
write_json(figures, snakemake.output.figures)
