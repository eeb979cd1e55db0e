# Report
# Needs:    what the other stages deliver, as far as the study has it
# Delivers: one HTML page per study that opens offline, its figures (PDF, PNG) and its tables (CSV)


def report_inputs(wildcards):
    """All results that the page shows; a study without models or markers has none of theirs."""
    study = STUDIES[wildcards.study]
    cohorts = list(study["cohorts"])
    described = ["flow.csv", "exclusions.csv", "table_one.csv", "comparisons", "notes.json"]
    files = expand("cohort/{cohort}/{name}", cohort=cohorts, name=described)
    files += expand("images/{cohort}/cases.csv", cohort=cohorts)
    if {"intra", "inter"} & set(study["stability"]["readings"]):
        files += expand("stability/{cohort}/{extraction}.csv", cohort=DEVELOPMENT, extraction=study["extractions"])
    for model in study.get("models", {}):
        names = ["flow.csv", "scores.csv", "model.json", "univariable.csv", "multivariable.csv", "nomogram.json"]
        files += expand("models/{model}/{name}", model=model, name=names)
        files += expand("models/{model}/steps/{step}.json", model=model, step=STEPS[wildcards.study, model])
        names = ["performance.json", "roc.csv", "decision.csv", "validation.json", "calibration.csv"]
        files += expand("evaluation/{model}/{name}", model=model, name=names)
    if "markers" in study:
        files.append("evaluation/markers.csv")
    return [f"results/{wildcards.study}/{name}" for name in files]


def report_pictures(wildcards):
    """The folders of the images stage, for their quality pictures."""
    study = wildcards.study
    return [
        f"results/{study}/images/{cohort}/{patient}"
        for cohort in STUDIES[study]["cohorts"]
        for patient in checked_cases(study, cohort)
    ]


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
        code=library_code("report/write_report.py"),
    script:
        "../scripts/report/write_report.py"
