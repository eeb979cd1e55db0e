import yaml

from nenflow.documents import read_json
from nenflow.files import write_text
from nenflow.logs import start_log

start_log(snakemake.log[0])
parameters = read_json(snakemake.input[0])["features"]["parameters"]
write_text(yaml.safe_dump(parameters, sort_keys=False), snakemake.output[0])
