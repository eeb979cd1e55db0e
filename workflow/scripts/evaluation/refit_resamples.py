from nenflow.evaluation.refitting import refit_resamples
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import build_protocol, given_by
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
features = read_table(snakemake.input.readings) if snakemake.input.readings else None
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
first, last = map(int, snakemake.wildcards.batch.split("-"))

protocol = build_protocol(params.steps, **given_by(params.analysis, features, params.readings, params.seed))
refits, curves = refit_resamples(protocol, X, y, params.seed, range(first, last + 1))
write_table(refits, snakemake.output.resamples)
write_table(curves, snakemake.output.calibration)
