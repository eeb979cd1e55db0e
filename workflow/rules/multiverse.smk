# Multiverse
# Needs:    a model's protocol and dataset, and which of its choices are varied: multiverse/<model> in study.yaml
# Delivers: every combination of these choices (a cell) with its cross-validated and its apparent figure, in one table


rule vary_extraction:
    """The extraction's parameter file with other settings; the rules of the features stage go on from it as usual."""
    input:
        parameters=undated(own_parameter_file),
    output:
        "results/{study}/multiverse/{extraction}.yaml",
    log:
        "logs/{study}/multiverse/vary_extraction_{extraction}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        settings=lambda wildcards: variant_settings(wildcards.study)[wildcards.extraction],
        contents=contents(own_parameter_file),
        code=library_code("multiverse/vary_extraction.py"),
    script:
        "../scripts/multiverse/vary_extraction.py"


rule assemble_variant:
    """The model's dataset from features that were extracted with other settings."""
    input:
        unpack(variant_tables),
    output:
        dataset="results/{study}/multiverse/{model}/datasets/{extraction}.csv",
        exclusions="results/{study}/multiverse/{model}/datasets/{extraction}_exclusions.csv",
        flow="results/{study}/multiverse/{model}/datasets/{extraction}_flow.csv",
    log:
        "logs/{study}/multiverse/assemble_variant_{model}_{extraction}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        study=settings("unit", "variables", "endpoints", "stability"),
        analysis=model_analysis,
        pattern=aggregated_regions,
        code=library_code("models/assemble_dataset.py"),
    script:
        "../scripts/models/assemble_dataset.py"


rule run_cells:
    """Cross-validate the whole protocol with other choices: a few cells of one extraction."""
    input:
        dataset=cell_dataset,
        readings=cell_readings,
    output:
        "results/{study}/multiverse/{model}/cells/{cells}.csv",
    log:
        "logs/{study}/multiverse/run_cells_{model}_{cells}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        cells=lambda wildcards: multiverse_jobs(wildcards)[wildcards.cells],
        analysis=model_analysis,
        readings=readings,
        evaluation=evaluation_settings("folds", "repeats"),
        seed=setting("seed"),
        code=library_code("multiverse/run_cells.py"),
    script:
        "../scripts/multiverse/run_cells.py"


rule gather_cells:
    """All cells of a model's multiverse in one table."""
    input:
        lambda wildcards: expand(
            "results/{{study}}/multiverse/{{model}}/cells/{cells}.csv", cells=multiverse_jobs(wildcards)
        ),
    output:
        "results/{study}/multiverse/{model}/cells.csv",
    log:
        "logs/{study}/multiverse/gather_cells_{model}.log",
    conda:
        "../../envs/nenflow.yaml"
    params:
        code=library_code("multiverse/gather_cells.py"),
    script:
        "../scripts/multiverse/gather_cells.py"
