# Models
# Needs:    a feature table, the checked clinical tables, the protocol: models/<model>/steps in study.yaml
# Delivers: each fitted step (signature, selections, final model) as JSON with the table it passes on, the model
#           document and the scores of every lesion
from pathlib import Path


rule assemble_dataset:
    """One row per lesion: outcome, clinical variables and features; what cannot be used is excluded with a reason."""
    input:
        unpack(model_tables),
    output:
        dataset="results/{study}/models/{model}/dataset.csv",
        exclusions="results/{study}/models/{model}/exclusions.csv",
        flow="results/{study}/models/{model}/flow.csv",
    log:
        "logs/{study}/models/assemble_dataset_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("unit", "variables", "endpoints", "stability"),
        analysis=model_analysis,
        pattern=aggregated_regions,
        code=library_code("models/assemble_dataset.py"),
    script:
        "../scripts/models/assemble_dataset.py"


rule fit_step:
    """Fit one step of the protocol to what the step before passes on."""
    input:
        table=step_input,
        readings=step_readings,
    output:
        document="results/{study}/models/{model}/steps/{step}.json",
        table="results/{study}/models/{model}/steps/{step}.csv",
    log:
        "logs/{study}/models/fit_step_{model}_{step}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        options=step_options,
        analysis=model_analysis,
        readings=readings,
        seed=setting("seed"),
        code=library_code("models/fit_step.py"),
    script:
        "../scripts/models/fit_step.py"


rule save_model:
    """The fitted steps as one document, and the scores it gives every lesion."""
    input:
        dataset="results/{study}/models/{model}/dataset.csv",
        steps=lambda wildcards: expand(
            "results/{{study}}/models/{{model}}/steps/{step}.json", step=STEPS[wildcards.study, wildcards.model]
        ),
    output:
        model="results/{study}/models/{model}/model.json",
        scores="results/{study}/models/{model}/scores.csv",
    log:
        "logs/{study}/models/save_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("title", "cohorts", "variables", "models"),
        analysis=model_analysis,
        code=library_code("models/save_model.py"),
    script:
        "../scripts/models/save_model.py"


rule tabulate_model:
    """Univariable and multivariable odds or hazard ratios with profile intervals (table 3), and the nomogram."""
    input:
        candidates=candidate_table,
        final=final_step("csv"),
        model=final_step("json"),
        terms=terms_step,
    output:
        univariable="results/{study}/models/{model}/univariable.csv",
        candidates="results/{study}/models/{model}/candidates.csv",
        multivariable="results/{study}/models/{model}/multivariable.csv",
        nomogram="results/{study}/models/{model}/nomogram.json",
        points="results/{study}/models/{model}/points.csv",
    log:
        "logs/{study}/models/tabulate_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        analysis=model_analysis,
        seed=setting("seed"),
        code=library_code("models/tabulate_model.py"),
    script:
        "../scripts/models/tabulate_model.py"


rule check_model:
    """What a model rests on (events per variable, variance inflation, proportional hazards), and competing risks."""
    input:
        candidates=candidate_table,
        final=final_step("csv"),
    output:
        assumptions="results/{study}/models/{model}/assumptions.csv",
        subdistribution="results/{study}/models/{model}/subdistribution.csv",
    log:
        "logs/{study}/models/check_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        analysis=model_analysis,
        seed=setting("seed"),
        code=library_code("models/check_model.py"),
    script:
        "../scripts/models/check_model.py"


rule apply_published:
    """A model taken from print: its nomogram, its points table, and its scores of the study's own cohort."""
    input:
        unpack(lambda wildcards: analysis_inputs(wildcards, published_analysis(wildcards))),
        model=undated(published_file),
        schemas=[f"{WORKFLOW}/schemas/model.schema.yaml"],
    output:
        document="results/{study}/models/published_{published}/model.json",
        scores="results/{study}/models/published_{published}/scores.csv",
        exclusions="results/{study}/models/published_{published}/exclusions.csv",
        nomogram="results/{study}/models/published_{published}/nomogram.json",
        points="results/{study}/models/published_{published}/points.csv",
    log:
        "logs/{study}/models/apply_published_{published}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("unit", "variables", "endpoints", "stability"),
        settings=published_analysis,
        contents=contents(published_file),
        pattern=aggregated_regions,
        code=library_code("models/apply_published.py"),
    script:
        "../scripts/models/apply_published.py"


rule score_model:
    """A risk score of whole points from the final model, and the risk seen in its strata."""
    input:
        model=final_step("json"),
        final=final_step("csv"),
        terms=terms_step,
    output:
        score="results/{study}/models/{model}/score.json",
        strata="results/{study}/models/{model}/strata.csv",
    log:
        "logs/{study}/models/score_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        score=setting("models", "{model}", "score"),
        code=library_code("models/score_model.py"),
    script:
        "../scripts/models/score_model.py"


rule export_model:
    """A model for other programs: a table of its coefficients, and a function for R without packages."""
    input:
        "results/{study}/models/{form}/model.json",
    output:
        coefficients="results/{study}/models/{form}/coefficients.csv",
        function="results/{study}/models/{form}/predict.R",
    log:
        "logs/{study}/models/export_model_{form}.log",
    wildcard_constraints:
        # A model of the study, its form for new patients, or one taken from print.
        form="[A-Za-z0-9-]+(?:/shrunken)?|published_[A-Za-z0-9-]+",
    conda:
        "../../envs/nenflow.yaml"
    params:
        name=lambda wildcards: Path(wildcards.form).parts[0].removeprefix("published_"),
        code=library_code("models/export_model.py"),
    script:
        "../scripts/models/export_model.py"


rule write_card:
    """The model as one file for others: all that new patients need, and what is known of it; and the same to read."""
    input:
        model="results/{study}/models/{model}/model.json",
        shrunken="results/{study}/models/{model}/shrunken/model.json",
        dataset="results/{study}/models/{model}/dataset.csv",
        final=final_table,
        schemes="results/{study}/evaluation/{model}/schemes.csv",
        table_one=f"results/{{study}}/cohort/{DEVELOPMENT}/table_one.csv",
        parameters=undated(model_parameters),
        schemas=[f"{WORKFLOW}/schemas/model.schema.yaml"],
    output:
        card="results/{study}/models/{model}/card.json",
        page="results/{study}/models/{model}/card.md",
    log:
        "logs/{study}/models/write_card_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings(
            "title", "licence", "seed", "unit", "cohorts", "variables", "endpoints", "images", "stability", "models"
        ),
        extraction=model_extraction,
        contents=contents(model_parameters),
        version=VERSION,
        code=library_code("models/write_card.py"),
    script:
        "../scripts/models/write_card.py"
