# What the rules of workflow/rules/evaluation.smk read and depend on: functions of wildcards. No rules.
from nenflow.phases import phases_of

CROSS_VALIDATIONS = {"folds", "leave_out", "temporal"}  # keys of the block `evaluation` that leave patients out


def outside_figures(wildcards):
    """Figures of a model in units that it was not fitted to, as far as the study asks for such."""
    folder = f"results/{wildcards.study}/evaluation/{wildcards.model}"
    asked = set(STUDIES[wildcards.study]["evaluation"])
    files = {"crossed": f"{folder}/cross_validation.json"} if CROSS_VALIDATIONS & asked else {}
    return files | ({"external": f"{folder}/external.json"} if "external" in asked else {})


def rivals(study):
    """The models that share their endpoint with another, each with that endpoint; first the study's own."""
    own = {name: model["endpoint"] for name, model in STUDIES[study].get("models", {}).items()}
    printed = {f"published_{name}": block["endpoint"] for name, block in STUDIES[study].get("published", {}).items()}
    endpoints = list((models := own | printed).values())
    return {name: endpoint for name, endpoint in models.items() if endpoints.count(endpoint) > 1}


def crossed_rivals(study):
    """Those of them that a cross-validation by folds has made anew."""
    folds = "folds" in STUDIES[study].get("evaluation", {})
    return [name for name in rivals(study) if folds and name in STUDIES[study].get("models", {})]


def external_tables(wildcards):
    """What the dataset of a model is put together from in the external cohort."""
    study = STUDIES[wildcards.study]
    return analysis_inputs(wildcards, study["models"][wildcards.model], study["evaluation"]["external"])


def external_analysis(wildcards):
    """Params function: what a finished model needs of a patient: it fills missing values where it has learnt how to."""
    analysis = model_analysis(wildcards)
    return analysis | {"missing": "impute" if analysis.get("missing") == "impute" else "complete"}


def evaluation_settings(*keys):
    """Params function: some keys of the block `evaluation`, as far as the study has them."""

    def chosen(wildcards):
        evaluation = STUDIES[wildcards.study]["evaluation"]
        return {key: evaluation[key] for key in keys if key in evaluation}

    return chosen


def batches(study, what):
    """Names of the jobs that resamples (or permutations) are spread over, by their numbers: "0-99", "100-199", ...

    A job depends on its own numbers only, so that more of them add jobs and repeat none.
    """
    evaluation = STUDIES[study]["evaluation"]
    size = evaluation[f"{what}_per_job"]
    return [f"{first}-{first + size - 1}" for first in range(0, evaluation[what], size)]


def marker_analysis(wildcards):
    """Params function: what the single features are of, without what is done with them."""
    markers = STUDIES[wildcards.study]["markers"]
    return {key: markers[key] for key in ("endpoint", "phase", "region") if key in markers}


def component_analysis(wildcards):
    """Params function: what principal components are of."""
    components = STUDIES[wildcards.study]["components"]
    return {key: components[key] for key in ("endpoint", "phase")}


def component_tables(wildcards):
    """What the dataset of the principal components is put together from."""
    return analysis_inputs(wildcards, STUDIES[wildcards.study]["components"])


def marker_growth(wildcards):
    """Params function: how a synthetic cohort of the single features is grown."""
    study = STUDIES[wildcards.study]
    settings, event = study["markers"]["synthetic"], study["endpoints"][study["markers"]["endpoint"]]["event"]
    counts = {int(level == event): count for level, count in settings["counts"].items()}
    neighbours = settings.get("neighbours", 5)
    return {"counts": counts, "method": settings["method"], "neighbours": neighbours, "seed": study["seed"]}


def marker_features(wildcards):
    """Params function: the single features that the report prints; none where it prints the best."""
    return STUDIES[wildcards.study]["markers"].get("features", [])


def marker_phases(wildcards):
    """Params function: the phases of the single features."""
    return phases_of(STUDIES[wildcards.study]["markers"]["phase"])


def followed_endpoint(wildcards):
    """Params function: the time-to-event endpoint by which single features are followed up."""
    study = STUDIES[wildcards.study]
    return study["endpoints"][study["markers"]["survival"]]


def t_test(wildcards):
    """Params function: the t test of group comparisons."""
    return STUDIES[wildcards.study].get("comparison", {}).get("t_test", "welch")


def marker_tables(wildcards):
    """What the dataset of the single features is put together from."""
    return analysis_inputs(wildcards, STUDIES[wildcards.study]["markers"])
