from pathlib import Path

from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.report.page import render_page, report_context, save_blocks
from nenflow.report.results import read_results, software_versions
from nenflow.report.sections import is_simulated, report_sections, study_summary
from nenflow.report.sections_methods import methods_files

start_log(snakemake.log[0])
study, page = snakemake.params.study, Path(snakemake.output.page)
found = snakemake.input
results = read_results([*found.results, *found.provenance, *found.pictures], folder=page.parents[1])
simulated = is_simulated(study, results)
versions = software_versions(snakemake.params.version)
sections = report_sections(study, results, versions, snakemake.params.parameters)
save_blocks(sections, page.parent, simulated)
context = report_context(
    title=study["title"],
    summary=study_summary(study, results),
    sections=sections,
    folder=page.parent,
    simulated=simulated,
)
write_text(render_page(context, Path(snakemake.input.templates[0]).parent), page)
text, references = methods_files(study, results, versions, snakemake.params.parameters, simulated)
write_text(text, snakemake.output.methods)
write_text(references, snakemake.output.references)
