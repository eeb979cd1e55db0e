import pandas as pd

from nenflow.application.outcomes import known_outcomes
from nenflow.cohort.units import read_units
from nenflow.documents import read_json, write_json
from nenflow.evaluation.apparent import published_figures
from nenflow.evaluation.corrected import grouped_calibration, smooth_calibration
from nenflow.evaluation.external import validation_decision, validation_figures
from nenflow.evaluation.resampling import patient_resamples
from nenflow.logs import start_log
from nenflow.tables import UNIT, read_table, write_table

RESAMPLES = 500  # of patients: the ends of an interval then move by about a tenth of its width

start_log(snakemake.log[0])
study, files = snakemake.params.study, snakemake.input
units = read_units(files.patients, files.lesions, study["variables"], files.get("measures"))
predicted = read_table(files.predictions, index=UNIT, text=["not_predicted", "outside", "filled", "far"])
table, y, exclusions = known_outcomes(read_json(files.model), predicted, units, snakemake.params.endpoint, study)
draws = list(patient_resamples(y.index, snakemake.params.seed, range(RESAMPLES)))

write_table(validation_figures(y, table, draws), snakemake.output.figures)
write_table(validation_decision(y, table, draws), snakemake.output.decision)
write_json(published_figures(y, table), snakemake.output.performance)
write_table(smooth_calibration(y, table), snakemake.output.calibration)
write_table(grouped_calibration(y, table), snakemake.output.groups)
write_table(pd.DataFrame(y).join(table), snakemake.output.scores)
write_table(exclusions, snakemake.output.exclusions)
