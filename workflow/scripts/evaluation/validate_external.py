import pandas as pd

from nenflow.documents import read_json, write_json
from nenflow.evaluation.corrected import grouped_calibration, smooth_calibration
from nenflow.evaluation.external import external_figures
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.models.protocol import from_document
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
analysis = snakemake.params.analysis
protocol = from_document(read_json(snakemake.input.model), [*analysis["clinical"], *analysis["others"]])
X, y = split(read_table(snakemake.input.dataset, index=UNIT))
acting = read_json(snakemake.input.performance)[snakemake.wildcards.model]["rates"]

table, figures = external_figures(protocol, X, y, acting)
write_table(pd.DataFrame(y).join(table), snakemake.output.scores)
write_json(figures, snakemake.output.figures)
write_table(smooth_calibration(y, table), snakemake.output.calibration)
write_table(grouped_calibration(y, table), snakemake.output.groups)
