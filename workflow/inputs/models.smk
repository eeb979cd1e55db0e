# What the rules of workflow/rules/models.smk read and depend on: functions of wildcards. No rules.
from nenflow.study import named_variables

CHOOSING = {"univariable", "backward", "forward", "logistic", "cox"}  # steps that test variables
STEPS = {
    (study, model): [next(iter(step)) for step in settings["steps"]]
    for study, study_settings in STUDIES.items()
    for model, settings in study_settings.get("models", {}).items()
}


def model_features(wildcards):
    """The feature table that a model is built from; none for a model of clinical variables only."""
    extraction = STUDIES[wildcards.study]["models"][wildcards.model].get("extraction")
    return f"results/{wildcards.study}/features/{DEVELOPMENT}/{extraction}.parquet" if extraction else []


def model_tables(wildcards):
    """What the dataset of a model is put together from."""
    return analysis_inputs(wildcards, STUDIES[wildcards.study]["models"][wildcards.model])


def model_analysis(wildcards):
    """Params function: what a model is about, without the steps that build it."""
    model = STUDIES[wildcards.study]["models"][wildcards.model]
    named = [name for step in model["steps"] for key in step for name in named_variables(key, step[key])]
    keys = ("endpoint", "phase", "features", "clinical", "region", "missing", "imputations")
    cox = next((step["cox"] for step in model["steps"] if "cox" in step), {})
    others = [name for name in dict.fromkeys(named) if name not in [*model["clinical"], cox.get("strata")]]
    times = STUDIES[wildcards.study]["endpoints"][model["endpoint"]].get("times", [])
    own = {key: model[key] for key in keys if key in model} | {key: cox[key] for key in ("strata",) if key in cox}
    return own | {"others": others, "times": times, "cox": {key: cox[key] for key in ("ties", "robust") if key in cox}}


def model_steps(wildcards):
    """Params function: the protocol's steps; a factor comes with the names of its levels."""
    study = STUDIES[wildcards.study]

    def completed(name, options):
        if name == "terms" and "factors" in options:
            levels = {factor: study["variables"][factor]["levels"] for factor in options["factors"]}
            return options | {"factors": levels}
        return options

    steps = study["models"][wildcards.model]["steps"]
    return [{name: completed(name, options) for name, options in step.items()} for step in steps]


def step_options(wildcards):
    """Params function: the options of one step of a protocol."""
    return next(step[wildcards.step] for step in model_steps(wildcards) if wildcards.step in step)


def table_before(wildcards, step):
    """The table that a step works on: the dataset for the first one, what the step before passes on for the others."""
    steps = STEPS[wildcards.study, wildcards.model]
    position = steps.index(step)
    folder = f"results/{wildcards.study}/models/{wildcards.model}"
    return f"{folder}/steps/{steps[position - 1]}.csv" if position else f"{folder}/dataset.csv"


def step_input(wildcards):
    """The table that the job's step works on."""
    return table_before(wildcards, wildcards.step)


def candidate_table(wildcards):
    """The table whose variables are tested one by one: what the first step that chooses among them works on."""
    steps = STEPS[wildcards.study, wildcards.model]
    return table_before(wildcards, next(step for step in steps if step in CHOOSING))


def final_step(ending):
    """Input function: a file of the last step of a protocol, which is the model."""

    def file(wildcards):
        return f"results/{wildcards.study}/models/{wildcards.model}/steps/{STEPS[wildcards.study, wildcards.model][-1]}.{ending}"

    return file


def final_table(wildcards):
    """The table that the last step of a protocol, the model, is fitted to."""
    return table_before(wildcards, STEPS[wildcards.study, wildcards.model][-1])


def terms_step(wildcards):
    """How variables enter the regressions, where a protocol says so."""
    steps = STEPS[wildcards.study, wildcards.model]
    return [f"results/{wildcards.study}/models/{wildcards.model}/steps/terms.json"] if "terms" in steps else []


def model_readings(wildcards):
    """Repeated readings, for protocols with the one step that looks at them."""
    return model_features(wildcards) if "stability" in STEPS[wildcards.study, wildcards.model] else []


def step_readings(wildcards):
    """Repeated readings, for the one step that looks at them."""
    return model_features(wildcards) if wildcards.step == "stability" else []


def published_analysis(wildcards):
    """Params function: what a model taken from print predicts, and whose features it uses."""
    block = STUDIES[wildcards.study]["published"][wildcards.published]
    return {key: block[key] for key in ("endpoint", "extraction", "phase") if key in block}


def published_times(wildcards):
    """Params function: when the endpoint of a model taken from print is judged; none where it comes without time."""
    study = STUDIES[wildcards.study]
    return study["endpoints"][study["published"][wildcards.published]["endpoint"]].get("times", [])


def published_file(wildcards):
    """The file of a model taken from print."""
    return study_file(wildcards.study, STUDIES[wildcards.study]["published"][wildcards.published]["file"])


def model_parameters(wildcards):
    """The parameter file behind a model's features; none for clinical variables, or features made elsewhere."""
    study = STUDIES[wildcards.study]
    extraction = study.get("extractions", {}).get(study["models"][wildcards.model].get("extraction"), {})
    return study_file(wildcards.study, extraction["parameters"]) if "parameters" in extraction else []


def model_extraction(wildcards):
    """Params function: how a model's features were extracted; None for a model of clinical variables only."""
    study = STUDIES[wildcards.study]
    if "extraction" not in (model := study["models"][wildcards.model]):
        return None
    extraction = study["extractions"][model["extraction"]]
    return {"conformance": extraction.get("conformance", "ibsi") if "parameters" in extraction else None}
