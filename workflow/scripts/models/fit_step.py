from nenflow.documents import write_json
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import fit_step, given_by
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
params, analysis = snakemake.params, snakemake.params.analysis
features = read_table(snakemake.input.readings) if snakemake.input.readings else None
X, y = split(read_table(snakemake.input.table, index=UNIT))

step, passed_on = fit_step(
    name=snakemake.wildcards.step,
    options=params.options,
    X=X,
    y=y,
    cox=analysis["cox"],
    **given_by(analysis, features, params.readings, params.seed),
)
write_json(step.document(), snakemake.output.document)
write_table(passed_on.join(y), snakemake.output.table)
