# Report
# Needs:    what the other stages deliver, as far as the study has it
# Delivers: one HTML page per study that opens offline, its figures (PDF, SVG, PNG) and tables (CSV, HTML), the methods
#           text with its references; beside it the gallery, a page with the picture of every case


rule write_report:
    """The study's page, with every figure and table also as a file of its own."""
    input:
        results=report_inputs,
        pictures=report_pictures,
        templates=expand(f"{WORKFLOW}/report/{{file}}", file=["report.html.j2", "style.css", "nomogram.js"]),
        reporting=reporting_lists,
    output:
        page="results/{study}/report/report.html",
        figures=directory("results/{study}/report/figures"),
        tables=directory("results/{study}/report/tables"),
        methods="results/{study}/report/methods.txt",
        references="results/{study}/report/references.bib",
    log:
        "logs/{study}/report/write_report.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=lambda wildcards: STUDIES[wildcards.study],
        parameters=extraction_parameters,
        version=VERSION,
        code=library_code("report/write_report.py"),
    script:
        "../scripts/report/write_report.py"


rule write_gallery:
    """The page on which people look at every region before they trust a number."""
    input:
        tables=gallery_tables,
        pictures=report_pictures,
        templates=[f"{WORKFLOW}/report/gallery.html.j2", f"{WORKFLOW}/report/style.css"],
    output:
        "results/{study}/report/gallery.html",
    log:
        "logs/{study}/report/write_gallery.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("title", "cohorts"),
        code=library_code("report/write_gallery.py"),
    script:
        "../scripts/report/write_gallery.py"
