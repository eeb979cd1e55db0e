from nenflow.documents import read_json
from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.models.exchange import COLUMNS, coefficient_rows, r_function
from nenflow.records import write_records

start_log(snakemake.log[0])
document = read_json(snakemake.input[0])
write_records(coefficient_rows(document), snakemake.output.coefficients, COLUMNS)
write_text(r_function(document, snakemake.params.name), snakemake.output.function)
