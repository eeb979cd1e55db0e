from nenflow.logs import start_log
from nenflow.stability import rate_agreement
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
write_table(rate_agreement(read_table(snakemake.input[0]), snakemake.params.readings), snakemake.output[0])
