# Application
# Needs:    a model file (a study's card.json, or one taken from print) and patients: a folder, or a cohort of a study
# Delivers: predictions with intervals for each of them, with who is unlike those the model was made from; where outcomes
#           are known, how good the model is there, as a table and a page


rule apply:
    """A model file applied to new patients: snakemake apply --config model=… cohort=…"""
    input:
        application("predictions.html"),


rule validate:
    """A model file judged in a cohort with outcomes: snakemake validate --config model=… cohort=…"""
    input:
        application("predictions.html"),
        application("validation.html"),


rule write_parameters:
    """The parameter file of a model's features, so that those of new patients are extracted by the same."""
    input:
        undated(applied_model),
    output:
        "results/{study}/application/{card}/parameters.yaml",
    log:
        "logs/{study}/application/write_parameters_{card}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        contents=contents(applied_model),
        code=library_code("application/write_parameters.py"),
    script:
        "../scripts/application/write_parameters.py"


rule apply_model:
    """Predictions for every patient, with intervals, what they lack, and who is unlike those the model was made from."""
    input:
        unpack(application_tables),
        model=undated(applied_model),
        templates=[f"{WORKFLOW}/report/report.html.j2", f"{WORKFLOW}/report/style.css"],
    output:
        predictions="results/{study}/application/{card}/predictions.csv",
        page="results/{study}/application/{card}/predictions.html",
    log:
        "logs/{study}/application/apply_model_{card}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("title", "unit", "cohorts", "variables", "stability"),
        cohort=lambda wildcards: APPLICATION["cohort"],
        pattern=aggregated_regions,
        accepted=lambda wildcards: config.get("accept", []),
        contents=contents(applied_model),
        code=library_code("application/apply_model.py"),
    script:
        "../scripts/application/apply_model.py"


rule judge_model:
    """How good the predictions are where outcomes are known: discrimination, calibration, decisions, with intervals."""
    input:
        model=undated(applied_model),
        predictions="results/{study}/application/{card}/predictions.csv",
        patients=lambda wildcards: f"results/{wildcards.study}/cohort/{APPLICATION['cohort']}/patients.csv",
        lesions=lambda wildcards: f"results/{wildcards.study}/cohort/{APPLICATION['cohort']}/lesions.csv",
        measures=lambda wildcards: measured_variables(wildcards.study, APPLICATION["cohort"]),
    output:
        figures="results/{study}/application/{card}/validation.csv",
        performance="results/{study}/application/{card}/performance.json",
        calibration="results/{study}/application/{card}/calibration.csv",
        groups="results/{study}/application/{card}/calibration_groups.csv",
        decision="results/{study}/application/{card}/decision.csv",
        scores="results/{study}/application/{card}/scores.csv",
        exclusions="results/{study}/application/{card}/exclusions.csv",
    log:
        "logs/{study}/application/judge_model_{card}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("variables", "unit"),
        endpoint=lambda wildcards: APPLICATION["endpoint"],
        seed=setting("seed"),
        contents=contents(applied_model),
        code=library_code("application/judge_model.py"),
    script:
        "../scripts/application/judge_model.py"


rule write_validation:
    """The page of an external validation, with every figure and table also as a file of its own."""
    input:
        model=undated(applied_model),
        results=expand(
            "results/{{study}}/application/{{card}}/{name}",
            name=[
                "validation.csv",
                "performance.json",
                "calibration.csv",
                "calibration_groups.csv",
                "decision.csv",
                "scores.csv",
                "exclusions.csv",
            ],
        ),
        templates=[f"{WORKFLOW}/report/report.html.j2", f"{WORKFLOW}/report/style.css"],
    output:
        page="results/{study}/application/{card}/validation.html",
        figures=directory("results/{study}/application/{card}/figures"),
        tables=directory("results/{study}/application/{card}/tables"),
    log:
        "logs/{study}/application/write_validation_{card}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("title", "unit", "cohorts", "variables"),
        cohort=lambda wildcards: APPLICATION["cohort"],
        endpoint=lambda wildcards: APPLICATION["endpoint"],
        contents=contents(applied_model),
        code=library_code("application/write_validation.py"),
    script:
        "../scripts/application/write_validation.py"
