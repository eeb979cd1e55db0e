# Evaluation
# Needs:    a model, its dataset and scores
# Delivers: discrimination, calibration and net benefit, as published (a finished model, resampled) and honest (the
#           whole protocol refitted in every resample); single features rated one by one


rule evaluate_model:
    """ROC with intervals and cut-off, decision curve, and the bootstrap of the finished model as published."""
    input:
        scores="results/{study}/models/{model}/scores.csv",
    output:
        performance="results/{study}/evaluation/{model}/performance.json",
        roc="results/{study}/evaluation/{model}/roc.csv",
        decision="results/{study}/evaluation/{model}/decision.csv",
        comparison="results/{study}/evaluation/{model}/comparison.csv",
        resamples="results/{study}/evaluation/{model}/resamples_fixed.csv",
    log:
        "logs/{study}/evaluation/evaluate_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        analysis=model_analysis,
        seed=setting("seed"),
        resamples=setting("evaluation", "resamples"),
        code=library_code("evaluation/evaluate_model.py"),
    script:
        "../scripts/evaluation/evaluate_model.py"


rule refit_resamples:
    """Refit the whole protocol on resampled patients: one of several jobs; each resample has a seed of its own."""
    input:
        dataset="results/{study}/models/{model}/dataset.csv",
        readings=model_readings,
    output:
        resamples="results/{study}/evaluation/{model}/resamples/{batch}.csv",
        calibration="results/{study}/evaluation/{model}/resamples/{batch}_calibration.csv",
    log:
        "logs/{study}/evaluation/refit_resamples_{model}_{batch}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        steps=model_steps,
        analysis=model_analysis,
        readings=readings,
        seed=setting("seed"),
        code=library_code("evaluation/refit_resamples.py"),
    script:
        "../scripts/evaluation/refit_resamples.py"


rule validate_model:
    """Optimism-corrected figures beside the published ones, selection frequencies, bias-corrected calibration."""
    input:
        scores="results/{study}/models/{model}/scores.csv",
        performance="results/{study}/evaluation/{model}/performance.json",
        fixed="results/{study}/evaluation/{model}/resamples_fixed.csv",
        decision="results/{study}/evaluation/{model}/decision.csv",
        refits=lambda wildcards: expand(
            "results/{{study}}/evaluation/{{model}}/resamples/{batch}.csv",
            batch=batches(wildcards.study, "resamples"),
        ),
        calibrations=lambda wildcards: expand(
            "results/{{study}}/evaluation/{{model}}/resamples/{batch}_calibration.csv",
            batch=batches(wildcards.study, "resamples"),
        ),
    output:
        resamples="results/{study}/evaluation/{model}/resamples_refit.csv",
        validation="results/{study}/evaluation/{model}/validation.json",
        calibration="results/{study}/evaluation/{model}/calibration.csv",
        groups="results/{study}/evaluation/{model}/calibration_groups.csv",
        decision="results/{study}/evaluation/{model}/decision_corrected.csv",
    log:
        "logs/{study}/evaluation/validate_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("evaluation/validate_model.py"),
    script:
        "../scripts/evaluation/validate_model.py"


rule shrink_model:
    """The model with all coefficients shrunk by its corrected calibration slope, and its nomogram."""
    input:
        model="results/{study}/models/{model}/model.json",
        scores="results/{study}/models/{model}/scores.csv",
        validation="results/{study}/evaluation/{model}/validation.json",
    output:
        model="results/{study}/models/{model}/shrunken/model.json",
        nomogram="results/{study}/models/{model}/shrunken/nomogram.json",
        points="results/{study}/models/{model}/shrunken/points.csv",
    log:
        "logs/{study}/evaluation/shrink_model_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("models/shrink_model.py"),
    script:
        "../scripts/models/shrink_model.py"


rule permute_outcomes:
    """Repeat the whole protocol on outcomes permuted between patients: one of several jobs."""
    input:
        dataset="results/{study}/models/{model}/dataset.csv",
        readings=model_readings,
    output:
        "results/{study}/evaluation/{model}/permutations/{batch}.csv",
    log:
        "logs/{study}/evaluation/permute_outcomes_{model}_{batch}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        steps=model_steps,
        analysis=model_analysis,
        readings=readings,
        seed=setting("seed"),
        code=library_code("evaluation/permute_outcomes.py"),
    script:
        "../scripts/evaluation/permute_outcomes.py"


rule rate_chance:
    """What the protocol finds where nothing can be found, beside what it found: range and p of each figure."""
    input:
        validation="results/{study}/evaluation/{model}/validation.json",
        permutations=lambda wildcards: expand(
            "results/{{study}}/evaluation/{{model}}/permutations/{batch}.csv",
            batch=batches(wildcards.study, "permutations"),
        ),
    output:
        permutations="results/{study}/evaluation/{model}/permutations.csv",
        chance="results/{study}/evaluation/{model}/chance.json",
    log:
        "logs/{study}/evaluation/rate_chance_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("evaluation/rate_chance.py"),
    script:
        "../scripts/evaluation/rate_chance.py"


rule cross_validate:
    """Refit the whole construction, its score and strata too, without folds of patients, centres, later patients."""
    input:
        dataset="results/{study}/models/{model}/dataset.csv",
        readings=model_readings,
        patients=f"results/{{study}}/cohort/{DEVELOPMENT}/patients.csv",
    output:
        units="results/{study}/evaluation/{model}/cross_validation.csv",
        figures="results/{study}/evaluation/{model}/cross_validation.json",
        decision="results/{study}/evaluation/{model}/cross_validation_decision.csv",
    log:
        "logs/{study}/evaluation/cross_validate_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        steps=model_steps,
        analysis=model_analysis,
        readings=readings,
        evaluation=evaluation_settings(*CROSS_VALIDATIONS, "repeats"),
        score=lambda wildcards: STUDIES[wildcards.study]["models"][wildcards.model].get("score"),
        seed=setting("seed"),
        code=library_code("evaluation/cross_validate.py"),
    script:
        "../scripts/evaluation/cross_validate.py"


use rule assemble_dataset as assemble_external with:
    input:
        unpack(external_tables),
    output:
        dataset="results/{study}/evaluation/{model}/external_dataset.csv",
        exclusions="results/{study}/evaluation/{model}/external_exclusions.csv",
        flow="results/{study}/evaluation/{model}/external_flow.csv",
    log:
        "logs/{study}/evaluation/assemble_external_{model}.log",
    params:
        study=settings("unit", "variables", "endpoints", "stability"),
        analysis=external_analysis,
        pattern=aggregated_regions,
        code=library_code("models/assemble_dataset.py"),


rule validate_external:
    """The finished model in the external cohort, at the threshold and the cut-off of the units it was made from."""
    input:
        model="results/{study}/models/{model}/model.json",
        performance="results/{study}/evaluation/{model}/performance.json",
        dataset="results/{study}/evaluation/{model}/external_dataset.csv",
    output:
        scores="results/{study}/evaluation/{model}/external_scores.csv",
        figures="results/{study}/evaluation/{model}/external.json",
        calibration="results/{study}/evaluation/{model}/external_calibration.csv",
        groups="results/{study}/evaluation/{model}/external_calibration_groups.csv",
    log:
        "logs/{study}/evaluation/validate_external_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        analysis=model_analysis,
        code=library_code("evaluation/validate_external.py"),
    script:
        "../scripts/evaluation/validate_external.py"


rule compare_schemes:
    """All schemes of validation side by side, and how often the refits of each selected what the model has."""
    input:
        unpack(outside_figures),
        model="results/{study}/models/{model}/model.json",
        performance="results/{study}/evaluation/{model}/performance.json",
        fixed="results/{study}/evaluation/{model}/resamples_fixed.csv",
        validation="results/{study}/evaluation/{model}/validation.json",
    output:
        schemes="results/{study}/evaluation/{model}/schemes.csv",
        selection="results/{study}/evaluation/{model}/schemes_selection.csv",
    log:
        "logs/{study}/evaluation/compare_schemes_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("evaluation/compare_schemes.py"),
    script:
        "../scripts/evaluation/compare_schemes.py"


rule evaluate_published:
    """How well a model taken from print discriminates and is calibrated in the study's own cohort."""
    input:
        scores="results/{study}/models/published_{published}/scores.csv",
        document="results/{study}/models/published_{published}/model.json",
    output:
        performance="results/{study}/evaluation/published_{published}/performance.json",
        calibration="results/{study}/evaluation/published_{published}/calibration.csv",
        groups="results/{study}/evaluation/published_{published}/calibration_groups.csv",
    log:
        "logs/{study}/evaluation/evaluate_published_{published}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        times=published_times,
        code=library_code("evaluation/evaluate_published.py"),
    script:
        "../scripts/evaluation/evaluate_published.py"


rule compare_models:
    """Every two models of one endpoint, the study's own and those taken from print, on the same units."""
    input:
        scores=lambda wildcards: expand("results/{{study}}/models/{model}/scores.csv", model=rivals(wildcards.study)),
        crossed=lambda wildcards: expand(
            "results/{{study}}/evaluation/{model}/cross_validation.csv", model=crossed_rivals(wildcards.study)
        ),
    output:
        "results/{study}/evaluation/comparisons.csv",
    log:
        "logs/{study}/evaluation/compare_models.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        endpoints=lambda wildcards: rivals(wildcards.study),
        crossed=lambda wildcards: crossed_rivals(wildcards.study),
        evaluation=evaluation_settings("categories", "resamples"),
        seed=setting("seed"),
        code=library_code("evaluation/compare_models.py"),
    script:
        "../scripts/evaluation/compare_models.py"


rule plan_sample_size:
    """How many units a model of that many candidate coefficients needs (Riley's criteria)."""
    input:
        dataset="results/{study}/models/{model}/dataset.csv",
        candidates=candidate_table,
    output:
        "results/{study}/evaluation/{model}/sample_size.csv",
    log:
        "logs/{study}/evaluation/plan_sample_size_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        planned=lambda wildcards: STUDIES[wildcards.study]["models"][wildcards.model].get("planned", {}),
        analysis=model_analysis,
        code=library_code("evaluation/plan_sample_size.py"),
    script:
        "../scripts/evaluation/plan_sample_size.py"


rule describe_survival:
    """Kaplan-Meier curves of a time-to-event endpoint, by groups, with their tests and searched cut-points."""
    input:
        patients=f"results/{{study}}/cohort/{DEVELOPMENT}/patients.csv",
        lesions=f"results/{{study}}/cohort/{DEVELOPMENT}/lesions.csv",
        exclusions=f"results/{{study}}/cohort/{DEVELOPMENT}/exclusions.csv",
        measures=lambda wildcards: measured_variables(wildcards.study, DEVELOPMENT),
    output:
        curves="results/{study}/evaluation/survival_{endpoint}/curves.csv",
        summary="results/{study}/evaluation/survival_{endpoint}/summary.csv",
        tests="results/{study}/evaluation/survival_{endpoint}/tests.csv",
        effects="results/{study}/evaluation/survival_{endpoint}/effects.csv",
        cutpoints="results/{study}/evaluation/survival_{endpoint}/cutpoints.csv",
        incidence="results/{study}/evaluation/survival_{endpoint}/incidence.csv",
    log:
        "logs/{study}/evaluation/describe_survival_{endpoint}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("variables", "endpoints"),
        settings=setting("survival", "{endpoint}"),
        seed=setting("seed"),
        code=library_code("evaluation/describe_survival.py"),
    script:
        "../scripts/evaluation/describe_survival.py"


rule assemble_components:
    """One row per unit: outcome and the features of which principal components are made."""
    input:
        unpack(component_tables),
    output:
        dataset="results/{study}/evaluation/components_dataset.csv",
        exclusions="results/{study}/evaluation/components_exclusions.csv",
        flow="results/{study}/evaluation/components_flow.csv",
    log:
        "logs/{study}/evaluation/assemble_components.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("unit", "variables", "endpoints", "stability"),
        analysis=component_analysis,
        pattern=aggregated_regions,
        code=library_code("models/assemble_dataset.py"),
    script:
        "../scripts/models/assemble_dataset.py"


rule analyse_components:
    """Principal components of the features: variance, scores, and regressions of the outcome on the first ones."""
    input:
        dataset="results/{study}/evaluation/components_dataset.csv",
    output:
        variance="results/{study}/evaluation/components_variance.csv",
        scores="results/{study}/evaluation/components_scores.csv",
        effects="results/{study}/evaluation/components_effects.csv",
        summary="results/{study}/evaluation/components.json",
    log:
        "logs/{study}/evaluation/analyse_components.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("evaluation/analyse_components.py"),
    script:
        "../scripts/evaluation/analyse_components.py"


rule assemble_markers:
    """One row per unit: outcome and features; what cannot be used is excluded with a reason."""
    input:
        unpack(marker_tables),
    output:
        dataset="results/{study}/evaluation/markers_dataset.csv",
        exclusions="results/{study}/evaluation/markers_exclusions.csv",
        flow="results/{study}/evaluation/markers_flow.csv",
    log:
        "logs/{study}/evaluation/assemble_markers.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("unit", "variables", "endpoints", "stability"),
        analysis=marker_analysis,
        pattern=aggregated_regions,
        code=library_code("models/assemble_dataset.py"),
    script:
        "../scripts/models/assemble_dataset.py"


rule rate_markers:
    """Single features as markers of an endpoint: group test, AUC, cut-off; p with its corrections."""
    input:
        dataset="results/{study}/evaluation/markers_dataset.csv",
    output:
        "results/{study}/evaluation/markers.csv",
    log:
        "logs/{study}/evaluation/rate_markers.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        t_test=t_test,
        phases=marker_phases,
        features=marker_features,
        code=library_code("evaluation/rate_markers.py"),
    script:
        "../scripts/evaluation/rate_markers.py"


rule rate_synthetic:
    """The same in a cohort grown from the study's own patients, as some publications do; no validation."""
    input:
        dataset="results/{study}/evaluation/markers_dataset.csv",
    output:
        table="results/{study}/evaluation/markers_synthetic.csv",
        record="results/{study}/evaluation/markers_synthetic.json",
    log:
        "logs/{study}/evaluation/rate_synthetic.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        growth=marker_growth,
        t_test=t_test,
        phases=marker_phases,
        code=library_code("evaluation/rate_synthetic.py"),
    script:
        "../scripts/evaluation/rate_synthetic.py"


rule permute_synthetic:
    """The AUCs that such cohorts reach when they are grown from outcomes permuted between patients."""
    input:
        dataset="results/{study}/evaluation/markers_dataset.csv",
        synthetic="results/{study}/evaluation/markers_synthetic.csv",
    output:
        permutations="results/{study}/evaluation/markers_permutations.csv",
        chance="results/{study}/evaluation/markers_chance.csv",
    log:
        "logs/{study}/evaluation/permute_synthetic.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        growth=marker_growth,
        permutations=setting("markers", "synthetic", "permutations"),
        features=marker_features,
        code=library_code("evaluation/permute_synthetic.py"),
    script:
        "../scripts/evaluation/permute_synthetic.py"


rule follow_markers:
    """Kaplan-Meier curves of patients above and below each printed feature's ROC cut-off, with their tests."""
    input:
        dataset="results/{study}/evaluation/markers_dataset.csv",
        markers="results/{study}/evaluation/markers.csv",
        patients=f"results/{{study}}/cohort/{DEVELOPMENT}/patients.csv",
        lesions=f"results/{{study}}/cohort/{DEVELOPMENT}/lesions.csv",
    output:
        curves="results/{study}/evaluation/markers_survival/curves.csv",
        summary="results/{study}/evaluation/markers_survival/summary.csv",
        tests="results/{study}/evaluation/markers_survival/tests.csv",
    log:
        "logs/{study}/evaluation/follow_markers.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        variables=setting("variables"),
        endpoint=followed_endpoint,
        features=marker_features,
        seed=setting("seed"),
        code=library_code("evaluation/follow_markers.py"),
    script:
        "../scripts/evaluation/follow_markers.py"
