import pandas as pd

from nenflow.documents import write_json
from nenflow.evaluation.decision import decision_curve
from nenflow.evaluation.discrimination import performance, roc_curve
from nenflow.evaluation.resampling import resample_fixed
from nenflow.logs import start_log
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
table = read_table(snakemake.input.scores, index=UNIT)
y, probability = table["outcome"], table["probability"]
scores = {"Radscore": table["Radscore"], snakemake.wildcards.model: table["linear_predictor"]}

figures = {name: performance(y, score, None if name == "Radscore" else probability) for name, score in scores.items()}
write_json(figures, snakemake.output.performance)
write_table(pd.concat([roc_curve(y, score).assign(score=name) for name, score in scores.items()]), snakemake.output.roc)
write_table(decision_curve(y, probability), snakemake.output.decision)
write_table(
    resample_fixed(y, scores, snakemake.params.seed, range(snakemake.params.resamples)), snakemake.output.resamples
)
