from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.score import integer_score, observed_risk, quantile_cut_offs, strata_names, strata_of, total_score
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
settings, model = snakemake.params.score, read_json(snakemake.input.model)
X, y = split(read_table(snakemake.input.final, index=UNIT))
terms = read_json(snakemake.input.terms[0]) if snakemake.input.terms else None

score = integer_score(model, settings["rule"], terms)
total = total_score(score, X)
cutoffs = settings.get("cutoffs") or quantile_cut_offs(total)
names = strata_names(len(cutoffs) + 1)
write_json({**score, "cutoffs": cutoffs, "strata": names}, snakemake.output.score)
risk = observed_risk(strata_of(total, cutoffs), y, names, model.get("times", ()))
write_table(risk, snakemake.output.strata)
