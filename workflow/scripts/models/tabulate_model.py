from nenflow.documents import read_json, write_json
from nenflow.logs import start_log
from nenflow.models.nomogram import nomogram
from nenflow.models.tables import multivariable_table, univariable_table
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
candidates = read_table(snakemake.input.candidates, index=UNIT)
final = read_table(snakemake.input.final, index=UNIT)

write_table(univariable_table(candidates.drop(columns="outcome"), candidates["outcome"]), snakemake.output.univariable)
write_table(multivariable_table(final.drop(columns="outcome"), final["outcome"]), snakemake.output.multivariable)
write_json(nomogram(read_json(snakemake.input.model)), snakemake.output.nomogram)
