import pandas as pd

from nenflow.logs import start_log
from nenflow.stability import rate_agreement
from nenflow.tables import UNIT, read_table, write_table

start_log(snakemake.log[0])
units = pd.MultiIndex.from_frame(read_table(snakemake.input.lesions)[UNIT])
agreement = rate_agreement(
    features=read_table(snakemake.input.features),
    raters=snakemake.params.readings,
    units=units,
    **snakemake.params.agreement,
)
write_table(agreement, snakemake.output[0])
