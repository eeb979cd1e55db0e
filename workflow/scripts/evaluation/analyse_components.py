from nenflow.documents import write_json
from nenflow.evaluation.components import analyse_components
from nenflow.logs import start_log
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
variance, scores, effects, summary = analyse_components(read_table(snakemake.input.dataset, index=UNIT))
write_table(variance, snakemake.output.variance)
write_table(scores, snakemake.output.scores)
write_table(effects, snakemake.output.effects)
write_json(summary, snakemake.output.summary)
