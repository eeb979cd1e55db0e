from pathlib import Path

from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.report.index import comparison, read_study, study_card
from nenflow.report.page import render_page, report_context, save_blocks
from nenflow.study import has_images

start_log(snakemake.log[0])
page, files = Path(snakemake.output.page), Path(snakemake.output.files)
studies = {name: read_study(page.parent / name) for name in snakemake.params.studies}
cards = [study_card(name, study, results, has_images(study)) for name, (study, results) in studies.items()]
simulated = any(card["simulated"] for card in cards)
sections = [comparison(studies)]
files.mkdir(exist_ok=True)  # there may be no model to compare
save_blocks(sections, files, simulated)
context = report_context("Studies", [], sections, files, simulated) | {"cards": cards}
templates = Path(snakemake.input.templates[0]).parent
write_text(render_page(context, templates, "index.html.j2"), page)
