from pathlib import Path

import yaml

from nenflow.documents import read_json
from nenflow.logs import start_log

start_log(snakemake.log[0])
parameters = read_json(snakemake.input[0])["features"]["parameters"]
Path(snakemake.output[0]).write_text(yaml.safe_dump(parameters, sort_keys=False), encoding="utf-8")
