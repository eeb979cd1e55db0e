# Report
# Needs:    what the other stages deliver, as far as the study has it
# Delivers: one HTML page per study that opens offline, its figures (PDF, PNG) and its tables (CSV)


rule write_report:
    """The study's page, with every figure and table also as a file of its own."""
    input:
        results=report_inputs,
        pictures=report_pictures,
        templates=[f"{WORKFLOW}/report/report.html.j2", f"{WORKFLOW}/report/style.css"],
    output:
        page="results/{study}/report/report.html",
        figures=directory("results/{study}/report/figures"),
        tables=directory("results/{study}/report/tables"),
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
