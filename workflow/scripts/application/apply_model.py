from pathlib import Path

from nenflow.application.predictions import all_units, excluded_units, new_units, predictions
from nenflow.cohort.units import read_units
from nenflow.documents import read_json
from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.report.page import render_page, report_context
from nenflow.report.sections_application import is_made_up, prediction_sections
from nenflow.tables import read_table, write_table

start_log(snakemake.log[0])
study, files, pattern = snakemake.params.study, snakemake.input, snakemake.params.pattern
card, cases = read_json(files.model), read_table(files.cases)
units = read_units(files.patients, files.lesions, study["variables"], files.get("measures"))
failures = read_table(files.failures) if files.get("failures") else None
excluded = excluded_units(card, read_table(files.patients)["patient"], units, cases, failures, study, pattern)
X, reasons, strata = new_units(
    card,
    units=units,
    features=read_table(files.features) if files.get("features") else None,
    study=study,
    known={"excluded": excluded, "cases": cases, "pattern": pattern},
)
table = all_units(predictions(card, X, strata), reasons)
write_table(table, snakemake.output.predictions)

page = Path(snakemake.output.page)
sections, summary = prediction_sections(card, table, snakemake.params.accepted)
made_up = is_made_up(card, study, snakemake.params.cohort)
context = report_context(f"Predictions: {study['title']}", summary, sections, page.parent, made_up)
write_text(render_page(context, Path(files.templates[0]).parent), page)
