from pathlib import Path

from nenflow.files import write_text
from nenflow.logs import start_log
from nenflow.report.gallery import render_gallery
from nenflow.report.results import read_results

start_log(snakemake.log[0])
page = Path(snakemake.output[0])
results = read_results([*snakemake.input.tables, *snakemake.input.pictures], folder=page.parents[1])
html = render_gallery(snakemake.params.study, results, Path(snakemake.input.templates[0]).parent)
write_text(html, page)
