from pathlib import Path

from nenflow.documents import read_json
from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.report.page import render_page, report_context, save_blocks
from nenflow.report.results import read_results
from nenflow.report.sections_application import is_made_up, validation_sections

start_log(snakemake.log[0])
study, page, card = snakemake.params.study, Path(snakemake.output.page), read_json(snakemake.input.model)
results = read_results(snakemake.input.results, folder=page.parent)
study = study | {"endpoints": {card["endpoint"]["name"]: snakemake.params.endpoint}}
made_up = is_made_up(card, study, snakemake.params.cohort)
sections, summary = validation_sections(card, study, results)
save_blocks(sections, page.parent, made_up)
title = f"External validation: {study['title']}, cohort {snakemake.params.cohort}"
context = report_context(title, summary, sections, page.parent, made_up)
write_text(render_page(context, Path(snakemake.input.templates[0]).parent), page)
