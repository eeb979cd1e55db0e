from nenflow.documents import write_json
from nenflow.evaluation.crossvalidation import cross_validate, out_of_fold_decision, parts_of
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import build_protocol, given_by
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params = snakemake.params
features = read_table(snakemake.input.readings) if snakemake.input.readings else None
levels = [params.evaluation[key] for key in ("leave_out",) if key in params.evaluation]
patients = read_table(snakemake.input.patients, text=levels).set_index("patient")
X, y = split(read_table(snakemake.input.dataset, index=UNIT))

protocol = build_protocol(params.steps, **given_by(params.analysis, features, params.readings, params.seed))
parts = parts_of(X, y, params.seed, params.evaluation, patients)
units, figures = cross_validate(protocol, X, y, parts, params.score)
write_table(units, snakemake.output.units)
write_json(figures, snakemake.output.figures)
write_table(out_of_fold_decision(units, y), snakemake.output.decision)
