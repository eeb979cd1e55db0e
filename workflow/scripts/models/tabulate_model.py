from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.candidates import candidates_table
from nenflow.models.dataset import split
from nenflow.models.nomogram import nomogram, points_table
from nenflow.models.tables import multivariable_table, univariable_table
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
candidates = split(read_table(snakemake.input.candidates, index=UNIT))
final = split(read_table(snakemake.input.final, index=UNIT))
analysis = snakemake.params.analysis
settings = {"imputations": analysis.get("imputations", 0), "seed": snakemake.params.seed, **analysis["cox"]}
univariable = univariable_table(*candidates, **settings)
write_table(univariable, snakemake.output.univariable)
write_table(candidates_table(candidates[0], univariable), snakemake.output.candidates)
write_table(multivariable_table(*final, **settings), snakemake.output.multivariable)

terms = read_json(snakemake.input.terms[0]) if snakemake.input.terms else None
drawn = nomogram(read_json(snakemake.input.model), terms)
write_json(drawn, snakemake.output.nomogram)
write_table(points_table(drawn), snakemake.output.points)
