"""Model files, a study's own and those taken from print: read, checked against themselves and against a study.

Light on purpose, as `study` is: the Snakefile checks them each time it is parsed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nenflow.study import endpoint_variables, read_schema, refuse, violations

FORM = "nenflow-model-1"  # of model files; another number where an older one can be read no more
USE = "Research use only; not a medical device, not for decisions about a patient."
SIGNATURE = "Radscore"  # as in models.base, which loads pandas


def seal(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model with the checksum of its content, which tells whether anything in the file was changed later."""
    content = {key: value for key, value in model.items() if key != "checksum"}
    return content | {"checksum": f"sha256:{_digest(content)}"}


def parameters_digest(parameters: Mapping[str, Any], conformance: str) -> str:
    """Digest of how features were extracted: the content of the parameter file, and what it was followed by.

    Comments, spaces and the order of keys do not count.
    """
    return _digest({"parameters": parameters, "conformance": conformance})[:16]


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_model(path: Path, schemas: Path, whole: bool = True) -> dict[str, Any]:
    """Read a model file, as `schemas/model.schema.yaml` describes it; reading one runs no code.

    Args:
        path: the file.
        schemas: the folder of `model.schema.yaml`.
        whole: refuse a file that says what is missing of its model: alone it gives no risks.

    Raises:
        InputError: one line per mistake, each naming the place in the file.
    """
    model, problems = _read(path, schemas)
    if whole and not problems and "missing" in model:
        problems = [
            f"{path.name} cannot be applied by itself, only under 'published' of a study: {model['missing'][0]}"
        ]
    refuse(problems, path.name)
    return model


def check_published(study: Mapping[str, Any], folder: Path, schemas: Path) -> None:
    """Refuse published models that cannot be read, or that need what the study has not.

    Args:
        study: checked settings of the study.
        folder: the study's folder.
        schemas: the folder of `model.schema.yaml`.

    Raises:
        InputError: one line per mistake, of all models.
    """
    problems = []
    for name, settings in study.get("published", {}).items():
        where, endpoint = f"study.yaml, published/{name}", study["endpoints"].get(settings["endpoint"])
        if endpoint is None:
            problems.append(f"{where}/endpoint: '{settings['endpoint']}' is not a declared endpoint")
            continue
        model, mistakes = _read(folder / settings["file"], schemas)
        problems += mistakes or [f"{where}: {problem}" for problem in _check_needs(study, settings, model, endpoint)]
    refuse(problems, "published models")


def _read(path: Path, schemas: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        model = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}, [f"{path.name}: the study's folder has no such file"]
    except UnicodeDecodeError:
        return {}, [f"{path.name} is not saved as UTF-8; save it again with that encoding"]
    except json.JSONDecodeError as error:
        return {}, [f"{path.name}, line {error.lineno} is not valid JSON: {error.msg}"]
    if isinstance(model, dict) and model.get("schema") != FORM:
        found = (
            f"has the form '{model['schema']}'" if "schema" in model else "has no key 'schema', as older model files"
        )
        return {}, [f"{path.name} {found}, and only '{FORM}' can be read here; make the file anew with this version"]
    problems = list(violations(model, read_schema(schemas, "model"), path.name))
    if not problems and model.get("checksum", checked := seal(model)["checksum"]) != checked:
        problems = [f"{path.name} was changed after it was written (its checksum differs); get the original file"]
    return model, problems or [f"{path.name}, {problem}" for problem in _check_parts(model)]


def _check_needs(
    study: Mapping[str, Any], settings: Mapping[str, Any], model: Mapping[str, Any], endpoint: Mapping[str, Any]
) -> Iterable[str]:
    """Whether the study has the outcome and the variables of the model, coded alike, and measures features for it."""
    if ("lasso" in model["steps"] or "zscore" in model["steps"]) and "extraction" not in settings:
        yield "the model needs image features; name their extraction and phase"
    if ("time" in endpoint) != ("cox" in model["steps"]):
        kind = "comes with time" if "time" in endpoint else "has no time"
        yield f"the endpoint {kind}, which does not suit the model"
    for name, variable in model["variables"].items():
        declared = study["variables"].get(name)
        if declared is None:
            yield f"the model needs the variable '{name}', which the study does not declare"
        elif name in endpoint_variables(endpoint):
            yield f"the model needs the variable '{name}', which is the outcome"
        elif declared["type"] != variable["type"]:
            yield f"the variable '{name}' is {variable['type']} in the model and {declared['type']} in the study"
        elif declared.get("levels") != variable.get("levels"):
            yield f"the variable '{name}' has other levels in the model than in the study, or in another order"


def _check_parts(model: Mapping[str, Any]) -> Iterable[str]:
    """Whether the parts of a model fit each other."""
    terms, final = model["steps"].get("terms", {}), model["steps"].get("cox") or model["steps"]["logistic"]
    factors, knots = terms.get("factors", {}), terms.get("knots", {})
    for name, variable in model["variables"].items():
        if (variable["type"] == "categorical") != ("levels" in variable):
            yield f"variables/{name}: a categorical variable has levels, a continuous one has none"
    for name, levels in factors.items():
        if levels != model["variables"].get(name, {}).get("levels"):
            yield f"steps/terms/factors/{name}: are not the levels under variables"
    if {name: len(places) for name, places in knots.items()} != terms.get("splines", {}):
        yield "steps/terms/splines: are not the numbers of the knots"
    steps = model["steps"]
    beside = {*factors, *knots, final.get("strata"), *_of_combat(steps)}
    single = [name for name in model["variables"] if name not in beside]
    if "lasso" in steps:
        single += [name for name in final["variables"] if name == SIGNATURE]  # which selections may leave out
    else:
        single += model.get("features", {}).get("names", [])
    known = [*single, *(f"{name}={level}" for name, levels in factors.items() for level in levels[1:])]
    known += [name + "'" * bend for name, places in knots.items() for bend in range(len(places) - 1)]
    for key in ("variables", "coefficients"):
        if sorted(final[key]) != sorted(known):
            yield f"steps/{key}: variables and terms make the columns {', '.join(sorted(known))}"
    yield from (f"steps/scales: '{name}' has no axis" for name in [*single, *knots] if name not in final["scales"])
    if "baseline" in final:
        yield from _check_baseline(final["baseline"], final["times"])
    if "missing" not in model:
        yield from (f"{place} is not there, and no key 'missing' says why" for place in _absent(steps))
    for name in model.get("score", {}).get("points", {}):
        if name not in final["coefficients"]:
            yield f"score/points: '{name}' is no column of the model"


def _absent(steps: Mapping[str, Any]) -> list[str]:
    """What a model cannot do without, but for one whose publication does not print it."""
    needed = {"logistic": "intercept", "cox": "baseline", "lasso": "intercept", "zscore": "centre"}
    return [f"steps/{step}/{key}" for step, key in needed.items() if step in steps and key not in steps[step]]


def _of_combat(steps: Mapping[str, Any]) -> list[str]:
    """Variables that only harmonisation needs. A covariate that is a predictor too is named by the final model."""
    combat, final = steps.get("combat"), steps.get("cox") or steps["logistic"]
    named = [combat["batch"], *combat["covariates"]] if combat else []
    return [name for name in named if name not in final["variables"]]


def _check_baseline(baseline: Mapping[str, Any], times: list[float]) -> Iterable[str]:
    strata = baseline.get("stratum", [None] * len(baseline["time"]))
    if not len(baseline["time"]) == len(baseline["hazard"]) == len(strata):
        yield "steps/cox/baseline: needs as many hazards as times"
        return
    rows = list(zip(strata, baseline["time"], baseline["hazard"], strict=True))
    for stratum in dict.fromkeys(strata):
        time, hazard = ([row[place] for row in rows if row[0] == stratum] for place in (1, 2))
        if sorted(set(time)) != time or sorted(hazard) != hazard:
            yield "steps/cox/baseline: times and hazards must rise"
        elif max(times) > time[-1]:
            yield "steps/cox/times: the last one is after the end of the baseline"
