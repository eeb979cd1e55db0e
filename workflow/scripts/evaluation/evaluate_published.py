from nenflow.documents import write_json
from nenflow.evaluation.apparent import published_figures
from nenflow.evaluation.corrected import grouped_calibration, smooth_calibration
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
table, y = split(read_table(snakemake.input.scores, index=UNIT))
write_json(published_figures(y, table), snakemake.output.performance)
write_table(smooth_calibration(y, table), snakemake.output.calibration)
write_table(grouped_calibration(y, table), snakemake.output.groups)
