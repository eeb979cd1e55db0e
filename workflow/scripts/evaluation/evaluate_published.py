import pandas as pd

from nenflow.documents import read_json, write_json
from nenflow.evaluation.apparent import has_risks, published_figures
from nenflow.evaluation.corrected import grouped_calibration, smooth_calibration
from nenflow.logs import start_log
from nenflow.models.dataset import split
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
table, y = split(read_table(snakemake.input.scores, index=UNIT))
said = {key: text for key, text in read_json(snakemake.input.document).items() if key == "missing"}
write_json(published_figures(y, table, snakemake.params.times) | said, snakemake.output.performance)
if has_risks(table):
    write_table(smooth_calibration(y, table), snakemake.output.calibration)
    write_table(grouped_calibration(y, table), snakemake.output.groups)
else:  # an order has no calibration
    for path in (snakemake.output.calibration, snakemake.output.groups):
        write_table(pd.DataFrame(columns=["predicted"]), path)
