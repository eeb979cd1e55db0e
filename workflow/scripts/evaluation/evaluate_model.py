from nenflow.documents import write_json
from nenflow.evaluation.apparent import apparent_figures, compare_scores, scores_of
from nenflow.evaluation.judging import judge_resamples
from nenflow.evaluation.resampling import patient_resamples, resample_fixed
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
model, params = snakemake.wildcards.model, snakemake.params
table, y = split(read_table(snakemake.input.scores, index=UNIT))
numbers = range(params.resamples)
draws = list(patient_resamples(y.index, params.seed, numbers))

figures, roc, decision = apparent_figures(y, table, model, params.analysis["times"], draws)
write_json(figures, snakemake.output.performance)
write_table(roc, snakemake.output.roc)
write_table(decision, snakemake.output.decision)
write_table(compare_scores(y, table, model), snakemake.output.comparison)
fixed = resample_fixed(y, scores_of(table, model), params.seed, numbers)
others = judge_resamples(y, table, figures[model]["rates"], params.seed, numbers).assign(score=model)
write_table(fixed.merge(others, how="left", on=["resample", "score"]), snakemake.output.resamples)
