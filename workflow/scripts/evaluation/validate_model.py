import pandas as pd

from nenflow.documents import read_json, write_json
from nenflow.evaluation.corrected import corrected_benefit, corrected_calibration, grouped_calibration
from nenflow.evaluation.validation import summarise
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
table, y = split(read_table(snakemake.input.scores, index=UNIT))
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
write_table(corrected_calibration(y, table, optimism), snakemake.output.calibration)
write_table(grouped_calibration(y, table), snakemake.output.groups)
write_table(corrected_benefit(read_table(snakemake.input.decision), optimism), snakemake.output.decision)
