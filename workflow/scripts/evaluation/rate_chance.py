import pandas as pd

from nenflow.documents import read_json, write_json
from nenflow.evaluation.permutation import summarise_permutations
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
permutations = pd.concat([read_table(path) for path in snakemake.input.permutations], ignore_index=True)
write_table(permutations, snakemake.output.permutations)
scores = read_json(snakemake.input.validation)["scores"]
write_json(summarise_permutations(permutations, scores), snakemake.output.chance)
