# Report
# Needs:    what the other stages deliver, as far as the study has it
# Delivers: one HTML page per study that opens offline, its figures (PDF, SVG, PNG) and tables (CSV, HTML), the methods
#           text with its references; beside it the gallery, a page with the picture of every case; from what and by
#           what it was all made, as files and as a research object; a page over all studies


rule record_provenance:
    """What the results were made from and by: settings as they ran, checksums of inputs, code and packages."""
    input:
        results=report_inputs,
        pictures=report_pictures,
        tables=undated(input_files),
    output:
        study="results/{study}/provenance/study.yaml",
        run="results/{study}/provenance/run.json",
        inputs="results/{study}/provenance/inputs.csv",
        software="results/{study}/provenance/software.csv",
    log:
        "logs/{study}/report/record_provenance.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=lambda wildcards: STUDIES[wildcards.study],
        tables=input_tables,
        contents=contents(input_files),
        project=str(WORKFLOW.parent),
        version=VERSION,
        code=library_code("report/record_provenance.py"),
    script:
        "../scripts/report/record_provenance.py"


rule write_report:
    """The study's page, with every figure and table also as a file of its own."""
    input:
        results=report_inputs,
        provenance=rules.record_provenance.output,
        pictures=report_pictures,
        templates=expand(f"{WORKFLOW}/report/{{file}}", file=["report.html.j2", "style.css", "nomogram.js"]),
        reporting=reporting_lists,
    output:
        page=report(
            "results/{study}/report/report.html",
            caption="../report/page.rst",
            category="{study}",
            labels={"what": "report", "name": "all of it"},
        ),
        figures=report(
            directory("results/{study}/report/figures"),
            patterns=["{name}.png"],
            caption="../report/figure.rst",
            category="{study}",
            labels={"what": "figure", "name": "{name}"},
        ),
        tables=report(
            directory("results/{study}/report/tables"),
            patterns=["{name}.html"],
            caption="../report/table.rst",
            category="{study}",
            labels={"what": "table", "name": "{name}"},
        ),
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


rule write_crate:
    """The results as a research object (RO-Crate): what each file is, with its checksum, and how it was made."""
    input:
        study="results/{study}/provenance/study.yaml",
        run="results/{study}/provenance/run.json",
        inputs="results/{study}/provenance/inputs.csv",
        software="results/{study}/provenance/software.csv",
        results=report_inputs,
        pages=lambda wildcards: pages(wildcards.study),
        files=rules.write_report.output[1:],
        pictures=report_pictures,
        settings=undated(study_settings),  # its date, for a clock would make every run another
    output:
        "results/{study}/ro-crate-metadata.json",
    log:
        "logs/{study}/report/write_crate.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("title"),
        contents=contents(study_settings),
        code=library_code("report/write_crate.py"),
    script:
        "../scripts/report/write_crate.py"


rule write_index:
    """The page over all studies that have been run: what each found, and all models side by side."""
    input:
        pages=[page for study in STUDIES for page in pages(study)],
        templates=[f"{WORKFLOW}/report/index.html.j2", f"{WORKFLOW}/report/style.css"],
    output:
        page=report(
            "results/index.html",
            caption="../report/index.rst",
            category="All studies",
            labels={"what": "page", "name": "all studies"},
        ),
        files=directory("results/index_files"),
    log:
        "logs/write_index.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        studies=finished_studies,
        code=library_code("report/write_index.py"),
    script:
        "../scripts/report/write_index.py"
