from nenflow.logs import start_log
from nenflow.records import read_records, write_records

start_log(snakemake.log[0])
rows = [row for path in snakemake.input for row in read_records(path)]  # jobs, and the cells in them, are in order
write_records(rows, snakemake.output[0], columns=["cell"])
