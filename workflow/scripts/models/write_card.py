from pathlib import Path

import pandas as pd
import yaml

from nenflow.documents import read_json, write_json
from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.models.card import build_card
from nenflow.models.card_text import card_text
from nenflow.models.dataset import split
from nenflow.published import read_model
from nenflow.report.results import software_versions
from nenflow.tables import UNIT, read_table

start_log(snakemake.log[0])
params, files = snakemake.params, snakemake.input
extraction = params.extraction
if extraction is not None:
    text = Path(files.parameters).read_text(encoding="utf-8") if files.parameters else "null"
    extraction = extraction | {"parameters": yaml.safe_load(text)}
write_json(
    build_card(
        study=params.study,
        document=read_json(files.model),
        shrunken=read_json(files.shrunken),
        dataset=split(read_table(files.dataset, index=UNIT)),
        final=split(read_table(files.final, index=UNIT)),
        extraction=extraction,
        known={
            "schemes": read_table(files.schemes),
            "table_one": pd.read_csv(files.table_one, dtype=str, keep_default_na=False),
        },
        provenance={
            "study": snakemake.wildcards.study,
            "seed": params.study["seed"],
            "code": params.code,
            "versions": software_versions(params.version),
        },
    ),
    snakemake.output.card,
)
card = read_model(Path(snakemake.output.card), Path(files.schemas[0]).parent)
write_text(card_text(card), snakemake.output.page)
