import pandas as pd

from nenflow.documents import read_json, write_json
from nenflow.evaluation.calibration import corrected_curve
from nenflow.evaluation.validation import summarise
from nenflow.logs import start_log
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
scores = read_table(snakemake.input.scores)
refits = pd.concat([read_table(path) for path in snakemake.input.refits], ignore_index=True)
optimism = pd.concat([read_table(path) for path in snakemake.input.calibrations], ignore_index=True)

write_table(refits, snakemake.output.resamples)
write_json(
    summarise(
        performance=read_json(snakemake.input.performance),
        fixed=read_table(snakemake.input.fixed),
        refit=refits,
    ),
    snakemake.output.validation,
)
write_table(corrected_curve(scores["outcome"], scores["probability"], optimism), snakemake.output.calibration)
