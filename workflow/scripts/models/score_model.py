from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.score import fit_score, observed_risk, strata_of, total_score
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
model = read_json(snakemake.input.model)
X, y = split(read_table(snakemake.input.final, index=UNIT))
terms = read_json(snakemake.input.terms[0]) if snakemake.input.terms else None

score = fit_score(model, X, y, snakemake.params.score, terms)
write_json(score, snakemake.output.score)
stratum = strata_of(total_score(score, X), score["cutoffs"])
write_table(observed_risk(stratum, y, score["strata"], model.get("times", ())), snakemake.output.strata)
