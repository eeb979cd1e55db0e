from nenflow.features.conformance import check_digital_phantom
from nenflow.logs import start_log
from nenflow.tables import write_table

start_log(snakemake.log[0])
write_table(check_digital_phantom(), snakemake.output[0])
