"""A study's settings: read, checked against the schemas, and checked against themselves.

Light on purpose (YAML and JSON schema, no pandas): the Snakefile is parsed again in every job, and reads the study
each time.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from nenflow.cohort.templates import fitting_files, placeholders
from nenflow.errors import InputError
from nenflow.phases import phases_of

SHOWN = 50  # problems listed in one message; a shifted column makes one for every row

# Words that pandas reads back from a CSV file as "missing"; a level or an identifier of that name would vanish.
READ_AS_MISSING = frozenset(
    ["NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"]
)

FEATURE_STEPS = ["combat", "stability", "zscore", "spearman"]  # act on image features: before the LASSO
# These act on the Radscore (without a LASSO: on the features) and clinical variables: after it.
CLINICAL_STEPS = ["terms", "univariable", "backward", "forward"]
IMAGING = ["images", "extractions", "stability"]  # a study has all of these blocks, or none: then it is clinical only
TEMPLATE = "template"  # the folder that new studies are copied from; it is no study itself
PERMUTATIONS, PERMUTATIONS_PER_JOB = 200, 100  # where a study does not say
ONLY_RATER = "reader"  # who drew the regions of a feature table, where a study names nobody
CASE_PARTS = ["patient", "phase", "region", "rater"]  # what names a segmentation
# What schemes of validation are called in tables, beside the variables whose levels are left out.
SCHEMES = frozenset(["apparent", "finished", "optimism", "632plus", "folds", "temporal", "external"])
# Columns of the tables that models see.
KEY_COLUMNS = ["patient", "region", "phase", "rater", "outcome", "time", "event", "stratum"]


def load_study(path: Path, schemas: Path) -> dict[str, Any]:
    """Read study.yaml and refuse it with all its mistakes at once.

    Args:
        path: the study.yaml; the files it names beside it (parameter files, simulation, tables) must exist.
        schemas: the folder of `study.schema.yaml`.

    Raises:
        InputError: one line per mistake, each naming the place in the file.
    """
    study = _read_yaml(path)
    problems = list(violations(study, read_schema(schemas, "study"), path.name))
    if not problems:  # names can only be followed in a file that has the right shape
        if "evaluation" in study:
            permutations = study["evaluation"].setdefault("permutations", PERMUTATIONS)
            study["evaluation"].setdefault("permutations_per_job", min(permutations, PERMUTATIONS_PER_JOB))
        problems = [f"{path.name}, {problem}" for problem in _cross_check(study, path.parent)]
    refuse(problems, path.name)
    if imports_features(study):
        study.setdefault("stability", {"readings": {"reference": ONLY_RATER}})
    return study


def check_config(config: Mapping[str, Any], schemas: Path) -> None:
    """Refuse a config.yaml (as Snakemake has read it) that does not follow `config.schema.yaml`."""
    refuse(list(violations(dict(config), read_schema(schemas, "config"), "config.yaml")), "config.yaml")


def load_simulation(path: Path, schemas: Path) -> dict[str, Any]:
    """Read the settings of a simulated cohort and refuse them with all their mistakes at once."""
    settings = _read_yaml(path)
    refuse(list(violations(settings, read_schema(schemas, "simulation"), path.name)), path.name)
    return settings


def read_schema(schemas: Path, name: str) -> dict[str, Any]:
    """Read one of the JSON schemas (written in YAML)."""
    text = (schemas / f"{name}.schema.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # C where there is one: faster


def refuse(problems: list[str], what: str, notes: Sequence[str] = ()) -> None:
    """Raise one InputError that lists the problems, the first 50 of them; do nothing when there are none.

    `notes` are no problems, but may explain one (a column left out because its name is mistyped), so they follow.
    """
    if not problems:
        return
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{count} in {what}:", *(f"- {problem}" for problem in problems[:SHOWN])]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN} more")
    lines += [f"- to be noted: {note}" for note in notes]
    raise InputError("\n".join(lines))


def violations(document: Any, schema: Mapping[str, Any], name: str) -> Iterable[str]:
    """Say in sentences where a document departs from its schema: "study.yaml, models/fusion: ..."."""
    errors = Draft202012Validator(schema).iter_errors(document)
    for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path]):
        where = "/".join(str(part) for part in error.absolute_path)
        for text in sentences(error):
            yield f"{name}, {where}: {text}" if where else f"{name}: {text}"


def sentences(error: ValidationError) -> list[str]:
    """Say one schema violation in words for a radiologist (one sentence per unknown key)."""
    found, wanted = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(error.schema.get("properties", {}))
            known_keys = f"known keys are {', '.join(known)}"
            return [f"'{key}' is not a known key; {known_keys}" for key in found if key not in known]
        case "required":
            return [f"the key {error.message.split(' is a ')[0]} is missing"]
        case "dependentRequired":
            key, beside = error.message.split(" is a dependency of ")
            return [f"the key {key} is missing; it is needed beside {beside}"]
        case "type" if found is None:
            return ["is empty"]
        case "type" if wanted == "string":
            return [f"{_shown(found)} is not text; put it in quotes"]
        case "type":
            kinds = {"object": "a block of keys", "array": "a list", "boolean": "true or false", "integer": "a whole "}
            kinds["string"] = "text"
            wanted = [wanted] if isinstance(wanted, str) else wanted
            names = [kinds.get(kind, "a ") + ("number" if kind in ("integer", "number") else "") for kind in wanted]
            return [f"{_shown(found)} is not {' or '.join(names)}"]
        case "enum":
            return [f"{_shown(found)} is not allowed; allowed are {', '.join(_shown(value) for value in wanted)}"]
        case "pattern":
            return [f"'{found}' is not allowed; it must be {error.schema['description']}"]
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            bound = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "over"}
            return [f"{_shown(found)} must be {bound.get(error.validator, 'under')} {wanted}"]
        case "maxLength":
            return [f"{_shown(found)} is longer than {wanted} characters"]
        case "minItems" | "minLength" | "minProperties":
            return ["must not be empty" if wanted == 1 else f"must have at least {wanted} entries"]
        case "maxItems":
            return [f"must have at most {wanted} entries"]
        case "maxProperties":
            return [f"has {len(found)} keys where only {wanted} may stand; is a dash missing before the second?"]
        case "uniqueItems":
            return ["the same entry stands twice"]
        case "oneOf":
            return ["needs either " + " or ".join(option["title"] for option in wanted)]
        case "not":  # the schema `not: {}`: a key that has no meaning beside its neighbours
            return ["does not belong here"]
    return [error.message]


def _shown(value: Any) -> str:
    if isinstance(value, bool):  # as YAML writes it; unquoted no and yes arrive here as false and true
        return "true (or unquoted yes)" if value else "false (or unquoted no)"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a repeated key replace the first one without a word; here it is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{key}' stands twice", problem_mark=key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise InputError(f"The study '{path.parent.name}' has no {path.name}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not saved as UTF-8; save it again with that encoding.") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path.name}{line} is not valid YAML: {error.problem}.") from None


def _cross_check(study: dict[str, Any], folder: Path) -> Iterable[str]:
    """Follow every name from where it is used to where it is declared."""
    yield from _check_variables(study)
    yield from _check_endpoints(study)
    yield from _check_imaging(study)
    for name, model in study.get("models", {}).items():
        yield from _check_uses(study, model, f"models/{name}")
        yield from _check_clinical(study, model, f"models/{name}")
        yield from _check_steps(study, model, f"models/{name}/steps")
        yield from _check_final_step(study, model, f"models/{name}/steps")
        if "score" in model:
            yield from _check_score(study, model, f"models/{name}/score")
    for name, block in study.get("published", {}).items():
        yield from _check_uses(study, block, f"published/{name}")
    if "components" in study:
        yield from _check_uses(study, study["components"], "components")
    if "markers" in study:
        yield from _check_uses(study, study["markers"], "markers")
        yield from _check_markers(study, study["markers"])
    for name, settings in study.get("survival", {}).items():
        yield from _check_survival(study, name, settings)
    if study.get("models") and "evaluation" not in study:
        yield "models: a study with models needs the key 'evaluation'"
    if "evaluation" in study:
        yield from _check_evaluation(study, study["evaluation"])
    if "stability" in study:
        yield from _check_readings(study)
    if "images" in study:
        yield from _check_regions(study)
    yield from _check_cohorts(study)
    yield from _check_files(study, folder)


def has_images(study: Mapping[str, Any]) -> bool:
    """Whether a study has images; one without has feature tables made elsewhere, or clinical variables only."""
    return "images" in study


def imports_features(study: Mapping[str, Any]) -> bool:
    """Whether a study's features come from tables that other software made."""
    return any("table" in settings for settings in study.get("extractions", {}).values())


def _check_imaging(study: dict[str, Any]) -> Iterable[str]:
    if imports_features(study):
        yield from _check_tables(study)
        return
    there = [block for block in IMAGING if block in study]
    missing = [block for block in IMAGING if block not in study]
    if there and missing:
        yield f"{there[0]}: a study with images needs the keys {', '.join(missing)} too; one without has none of them"
    if not there and study["unit"] != "patient":
        yield "unit: a study without images has patients as its units"
    if not there and "markers" in study:
        yield "markers: single features are of images, and this study has none"


def _check_tables(study: dict[str, Any]) -> Iterable[str]:
    """A study whose features come from tables has no images, and who a row is of is said once."""
    if "images" in study:
        yield "images: the features come from tables (extractions), so the study has no images"
    if "perturbation" in study.get("stability", {}):
        yield "stability/perturbation: only regions in images can be perturbed, and this study has none"
    for name, settings in study["extractions"].items():
        where = f"extractions/{name}"
        if "table" in settings:
            yield from _check_table(study, settings, where)
        else:
            yield f"{where}: the other extractions have tables, so this one needs the key 'table' too"


def _check_table(study: dict[str, Any], settings: dict[str, Any], where: str) -> Iterable[str]:
    template, segments = settings["table"], placeholders(settings.get("segments", ""))
    known = [*CASE_PARTS, "cohort"]
    for part in placeholders(template):
        if part not in known:
            yield f"{where}/table: {{{part}}} is not known; known are {', '.join(known)}"
    yield from (_unknown(f"{where}/segments", part, CASE_PARTS, "part") for part in segments if part not in CASE_PARTS)
    if "columns" in settings and "segments" in settings:
        yield f"{where}: columns are for a table with a row per case, segments for one of SlicerRadiomics; not both"
    said = [*placeholders(template), *segments, *settings.get("columns", {}), *settings.get("fixed", {})]
    yield from (f"{where}: says the {part} twice" for part in CASE_PARTS if said.count(part) > 1)
    if len(study["cohorts"]) > 1 and "cohort" not in said:
        yield f"{where}/table: the study has several cohorts, so its name needs {{cohort}}"


def _check_cohorts(study: dict[str, Any]) -> Iterable[str]:
    names = [name for name, variable in study["variables"].items() if variable["level"] == "lesion"]
    for cohort, settings in study["cohorts"].items():
        if "simulation" in settings and imports_features(study):
            yield f"cohorts/{cohort}/simulation: a simulated cohort has no feature table made elsewhere"
        if "patients" in settings:
            lacking = [key for key in ("cases", "data") if key not in settings]
            if has_images(study):
                yield from (f"cohorts/{cohort}: the key '{key}' is missing; the study has images" for key in lacking)
            else:
                useless = [key for key in ("cases", "data", "signoff") if key in settings]
                useless += ["lesions"] if "lesions" in settings and not imports_features(study) else []
                yield from (f"cohorts/{cohort}/{key}: the study has no images, so it has no use" for key in useless)
        if names and "simulation" not in settings and "lesions" not in settings:
            yield f"cohorts/{cohort}: the key 'lesions' is missing; variables of level lesion: {', '.join(names)}"


def _check_files(study: dict[str, Any], folder: Path) -> Iterable[str]:
    extractions = study.get("extractions", {})
    named = [
        (f"extractions/{name}", settings["parameters"])
        for name, settings in extractions.items()
        if "parameters" in settings
    ]
    named += [(f"published/{name}", settings["file"]) for name, settings in study.get("published", {}).items()]
    named += [
        (f"cohorts/{name}", settings[key])
        for name, settings in study["cohorts"].items()
        for key in ("simulation", "patients", "lesions", "cases", "signoff")
        if key in settings
    ]
    for name, settings in extractions.items():
        for cohort in study["cohorts"]:
            file = settings.get("table", "$").replace("{cohort}", cohort)
            if "$" not in file and not any(Path(path).is_file() for path in fitting_files(str(folder / file))):
                yield f"extractions/{name}: the study's folder has no file {file}"
    for where, file in named:
        if "$" in file or (folder / file).is_file():
            continue  # environment variables are set when the study runs, not when it is read
        if Path(file).is_absolute():
            yield f"{where}: there is no file {Path(file).name} in the folder that is named"
        else:
            yield f"{where}: the study's folder has no file {file}"


def _check_variables(study: dict[str, Any]) -> Iterable[str]:
    for name, variable in study["variables"].items():
        where = f"variables/{name}"
        if name in KEY_COLUMNS:
            yield f"{where}: '{name}' is the name of a key column; choose another"
        if variable["level"] == "lesion" and study["unit"] == "patient":
            yield f"{where}: a study whose unit is the patient has no variable of level lesion"
        for level in set(variable.get("levels", [])) & (READ_AS_MISSING | {"missing"}):
            yield f"{where}/levels: '{level}' means a missing value; use another word"
        if "measured" in variable:
            yield from _check_measured(study, variable, where)
        if variable.get("minimum", float("-inf")) > variable.get("maximum", float("inf")):
            yield f"{where}: the minimum is over the maximum"


def _check_measured(study: dict[str, Any], variable: dict[str, Any], where: str) -> Iterable[str]:
    if not has_images(study):
        yield f"{where}/measured: the study has no images"
    if variable["level"] != "patient":
        yield f"{where}/measured: what is measured in the images belongs to the patient (level: patient)"
    for key in ("minimum", "maximum"):
        if key in variable:
            yield f"{where}/{key}: is for entries of a table; what is measured is what it is"


def _check_endpoints(study: dict[str, Any]) -> Iterable[str]:
    for name, endpoint in study["endpoints"].items():
        variable = study["variables"].get(endpoint["variable"])
        if variable is None:
            yield _unknown(f"endpoints/{name}/variable", endpoint["variable"], study["variables"], "variable")
            continue
        levels = variable.get("levels", [])
        if len(levels) != 2 + ("competing" in endpoint):
            number = "two levels (or three, one named as competing)"
            if "competing" in endpoint:
                number = "three levels (none, the event, the competing one)"
            yield f"endpoints/{name}/variable: an endpoint needs a categorical variable of {number}"
            continue
        for key in ("event", "competing"):
            if key in endpoint and endpoint[key] not in levels:
                yield _unknown(f"endpoints/{name}/{key}", endpoint[key], levels, "level")
        if endpoint.get("competing") == endpoint["event"]:
            yield f"endpoints/{name}/competing: '{endpoint['event']}' is the event itself"
        if "time" in endpoint:
            yield from _check_time(study, endpoint, f"endpoints/{name}")


def _check_time(study: dict[str, Any], endpoint: dict[str, Any], where: str) -> Iterable[str]:
    time = study["variables"].get(endpoint["time"])
    if time is None:
        yield _unknown(f"{where}/time", endpoint["time"], study["variables"], "variable")
    elif time["type"] != "continuous":
        yield f"{where}/time: '{endpoint['time']}' is not continuous"
    elif not time.get("minimum", -1) >= 0:
        yield f"variables/{endpoint['time']}: needs minimum: 0, so that a negative time of follow-up is refused"
    if endpoint["times"] != sorted(endpoint["times"]):
        yield f"{where}/times: must rise"


def endpoint_variables(endpoint: Mapping[str, Any]) -> list[str]:
    """The variables that hold an outcome."""
    return [endpoint[key] for key in ("variable", "time") if key in endpoint]


def _check_uses(study: dict[str, Any], block: dict[str, Any], where: str) -> Iterable[str]:
    if block["endpoint"] not in study["endpoints"]:
        yield _unknown(f"{where}/endpoint", block["endpoint"], study["endpoints"], "endpoint")
    if "extraction" not in block:
        return
    if "extractions" not in study:
        yield f"{where}/extraction: the study has no images"
        return
    if block["extraction"] not in study["extractions"]:
        yield _unknown(f"{where}/extraction", block["extraction"], study["extractions"], "extraction")
    phases = study["extractions"].get(block["extraction"], {}).get("phases", phases_of(block["phase"]))
    if set(phases_of(block["phase"])) - set(phases):
        yield f"{where}/phase: the extraction '{block['extraction']}' measures only {', '.join(phases)}"
    if isinstance(block["phase"], list) and len(block["phase"]) > 1:
        for name in block.get("features", []):
            if not name.startswith(tuple(f"{phase}_" for phase in block["phase"])):
                yield f"{where}/features: '{name}' must begin with its phase, such as {block['phase'][0]}_{name}"
    rings = [name for name, rule in study.get("images", {}).get("regions", {}).items() if rule["kind"] == "ring"]
    if "region" in block and block["region"] not in rings:
        yield f"{where}/region: '{block['region']}' is not a ring under images/regions"


def _check_clinical(study: dict[str, Any], model: dict[str, Any], where: str) -> Iterable[str]:
    endpoint = study["endpoints"].get(model["endpoint"])
    outcome = endpoint_variables(endpoint) if endpoint else []
    if not model["clinical"] and "extraction" not in model:
        yield f"{where}/clinical: is empty, and the model has no image features either"
    planned = model.get("planned", {})
    if "c" in planned and ("r2" in planned or (endpoint and "time" in endpoint)):
        yield f"{where}/planned: c is for an outcome without time, and stands instead of r2"
    if (model.get("missing") == "impute") != ("imputations" in model):
        yield f"{where}/imputations: belongs to missing: impute, and is needed there"
    for name in model["clinical"]:
        if name not in study["variables"]:
            yield _unknown(f"{where}/clinical", name, study["variables"], "variable")
        elif name in outcome:
            yield f"{where}/clinical: '{name}' is what the model predicts, so it cannot predict it"


def _check_steps(study: dict[str, Any], model: dict[str, Any], where: str) -> Iterable[str]:
    names = [next(iter(step)) for step in model["steps"]]
    yield from (f"{where}: the step {name} stands twice" for name in sorted(set(names)) if names.count(name) > 1)
    if "extraction" not in model:
        yield from (
            f"{where}: the step {name} needs image features, and the model has no extraction"
            for name in [*FEATURE_STEPS, "lasso"]
            if name in names
        )
    else:
        # The LASSO divides a protocol; without it the first step that chooses among features and variables does.
        divide = "lasso" if "lasso" in names else next((name for name in names if name not in FEATURE_STEPS), None)
        place = names.index(divide) if divide else len(names)
        late = [name for name in FEATURE_STEPS if name in names[place:]]
        early = [name for name in CLINICAL_STEPS if name in names[:place]]
        yield from (f"{where}: the step {name} must come before {divide}" for name in late)
        yield from (f"{where}: the step {name} must come after lasso" for name in early)
    if "stability" in names and "extraction" in model and not repeats_readings(study):
        yield f"{where}: the step stability needs stability/readings with intra or inter, or stability/perturbation"


def _check_final_step(study: dict[str, Any], model: dict[str, Any], where: str) -> Iterable[str]:
    """The regression that the outcome calls for stands last, and the variables that steps name are the model's."""
    names = [next(iter(step)) for step in model["steps"]]
    endpoint = study["endpoints"].get(model["endpoint"], {})
    final, other = ("cox", "logistic") if "time" in endpoint else ("logistic", "cox")
    if other in names:
        kind = "a time-to-event outcome" if final == "cox" else "an outcome without time"
        yield f"{where}: the endpoint '{model['endpoint']}' is {kind}; its last step is {final}, not {other}"
    elif final not in names:
        yield f"{where}: the step {final} is missing"
    elif names[-1] != final:
        yield f"{where}: {final} must be the last step"
    for step in model["steps"]:
        (name, options), *_ = step.items()
        if "criterion" in options and model.get("missing") == "impute":
            yield f"{where}/{name}: imputed values have no common likelihood for aic; select by p"
        for variable in named_variables(name, options):
            if variable not in study["variables"]:
                yield _unknown(f"{where}/{name}", variable, study["variables"], "variable")
            elif name == "cox" and study["variables"][variable]["type"] != "categorical":
                yield f"{where}/cox/strata: '{variable}' is not categorical"
            elif name == "cox" and variable in model["clinical"]:
                yield f"{where}/cox/strata: '{variable}' is a clinical variable of the model; it cannot be both"
            elif name == "terms" and variable not in model["clinical"]:
                yield f"{where}/terms: '{variable}' is not among the model's clinical variables"
        if name == "terms":
            yield from _check_terms(study, options, f"{where}/terms")


def _check_markers(study: dict[str, Any], markers: dict[str, Any]) -> Iterable[str]:
    endpoint = study["endpoints"].get(markers["endpoint"])
    if endpoint is None:
        return
    if "time" in endpoint and "synthetic" in markers:
        yield f"markers/synthetic: '{markers['endpoint']}' comes with time; no cohort can be grown for it"
    if "survival" in markers:
        yield from _check_marker_survival(study, markers, endpoint)
    levels = study["variables"].get(endpoint["variable"], {}).get("levels", [])
    counts = markers.get("synthetic", {}).get("counts", dict.fromkeys(levels))
    yield from (_unknown("markers/synthetic/counts", level, levels, "level") for level in counts if level not in levels)


def _check_marker_survival(study: dict[str, Any], markers: dict[str, Any], rated: dict[str, Any]) -> Iterable[str]:
    endpoint = study["endpoints"].get(markers["survival"])
    if endpoint is None:
        yield _unknown("markers/survival", markers["survival"], study["endpoints"], "endpoint")
    elif "time" not in endpoint:
        yield f"markers/survival: the endpoint '{markers['survival']}' has no time"
    if "time" in rated:
        yield f"markers/survival: '{markers['endpoint']}' comes with time, so its features have no ROC cut-off"
    if study["unit"] != "patient":
        yield "markers/survival: survival is compared between patients; the study's unit is the lesion"


def _check_terms(study: dict[str, Any], options: dict[str, Any], where: str) -> Iterable[str]:
    for key, kind in (("factors", "categorical"), ("splines", "continuous")):
        for variable in options.get(key, []):
            if study["variables"].get(variable, {"type": kind})["type"] != kind:
                yield f"{where}/{key}: '{variable}' is not {kind}"


def _check_survival(study: dict[str, Any], name: str, settings: dict[str, Any]) -> Iterable[str]:
    where, endpoint = f"survival/{name}", study["endpoints"].get(name)
    if endpoint is None:
        yield _unknown(where, name, study["endpoints"], "endpoint")
        return
    if "time" not in endpoint:
        yield f"{where}: the endpoint has no time"
    for variable in endpoint_variables(endpoint):
        if study["variables"].get(variable, {"level": "patient"})["level"] != "patient":
            yield f"{where}: '{variable}' belongs to lesions; survival is compared between patients"
    for key, kind in (("by", "categorical"), ("medians", "continuous"), ("cutpoints", "continuous")):
        for variable in settings.get(key, []):
            declared = study["variables"].get(variable)
            if declared is None:
                yield _unknown(f"{where}/{key}", variable, study["variables"], "variable")
            elif declared["type"] != kind:
                yield f"{where}/{key}: '{variable}' is not {kind}"
            elif declared["level"] != "patient":
                yield f"{where}/{key}: '{variable}' belongs to lesions; survival is compared between patients"
            elif variable in endpoint_variables(endpoint):
                yield f"{where}/{key}: '{variable}' is the outcome itself"


def _check_score(study: dict[str, Any], model: dict[str, Any], where: str) -> Iterable[str]:
    cutoffs = model["score"].get("cutoffs", [])
    if cutoffs != "searched" and cutoffs != sorted(cutoffs):
        yield f"{where}/cutoffs: must rise"
    for name in model["clinical"]:
        if study["variables"].get(name, {}).get("type") == "continuous":
            yield f"{where}: '{name}' is continuous, so its values have no whole points; divide it into levels"


def _check_jobs(evaluation: dict[str, Any]) -> Iterable[str]:
    """Whole jobs only: were the last one shorter, it would have to be done again when more are asked for."""
    for what in ("resamples", "permutations"):
        total, size = evaluation[what], evaluation[f"{what}_per_job"]
        if total % size:
            yield (
                f"evaluation/{what}: {total} cannot be shared out in jobs of {size}; make it a multiple of {size}, or "
                f"set {what}_per_job to a number that divides it"
            )


def _check_evaluation(study: dict[str, Any], evaluation: dict[str, Any]) -> Iterable[str]:
    if sorted(limits := evaluation.get("categories", [])) != limits:
        yield "evaluation/categories: must rise"
    yield from _check_jobs(evaluation)
    if "repeats" in evaluation and "folds" not in evaluation:
        yield "evaluation/repeats: it is folds that are dealt repeatedly; the key 'folds' is missing"
    if "leave_out" in evaluation:
        yield from _check_leave_out(study, evaluation["leave_out"])
    if "temporal" in evaluation:
        yield from _check_temporal(study, evaluation["temporal"]["variable"])
    others = [name for name in study["cohorts"] if name != "development"]
    if "external" in evaluation and evaluation["external"] not in others:
        known = f"such are {', '.join(others)}" if others else "declare one under cohorts"
        yield f"evaluation/external: '{evaluation['external']}' is no cohort beside development; {known}"


def _check_leave_out(study: dict[str, Any], name: str) -> Iterable[str]:
    """A centre is left out to see how models do where they were not made, so that they cannot know it."""
    where, variable = "evaluation/leave_out", study["variables"].get(name)
    if variable is None:
        yield _unknown(where, name, study["variables"], "variable")
        return
    if name in SCHEMES:
        yield f"{where}: '{name}' is what another scheme of validation is called; give the variable another name"
    if variable["type"] != "categorical" or variable["level"] != "patient":
        yield f"{where}: '{name}' is not a categorical variable of patients"
    for model, settings in study.get("models", {}).items():
        steps = [named for step in settings["steps"] for key in step for named in named_variables(key, step[key])]
        outcome = endpoint_variables(study["endpoints"].get(settings["endpoint"], {"variable": ""}))
        if name in [*settings["clinical"], *steps, *outcome]:
            yield f"{where}: the model '{model}' uses '{name}', and would not know a level that was left out"


def _check_temporal(study: dict[str, Any], name: str) -> Iterable[str]:
    where, variable = "evaluation/temporal/variable", study["variables"].get(name)
    if variable is None:
        yield _unknown(where, name, study["variables"], "variable")
        return
    if variable["type"] != "continuous" or variable["level"] != "patient" or "measured" in variable:
        yield f"{where}: '{name}' is not a continuous variable of patients that the table has"
    for model, settings in study.get("models", {}).items():
        if name in endpoint_variables(study["endpoints"].get(settings["endpoint"], {"variable": ""})):
            yield f"{where}: '{name}' is the outcome of the model '{model}'"


def named_variables(step: str, options: Mapping[str, Any]) -> list[str]:
    """The variables that the options of a step name."""
    if step == "terms":
        return [*options.get("factors", []), *options.get("splines", {})]
    return [
        *([options["batch"]] if "batch" in options else []),
        *options.get("covariates", []),
        *([options["strata"]] if "strata" in options else []),
    ]


def _check_readings(study: dict[str, Any]) -> Iterable[str]:
    raters = list(study["stability"]["readings"].values())
    if len(set(raters)) < len(raters):
        yield "stability/readings: reference, intra and inter must be different raters"
    if "perturbation" in study["stability"] and not any(
        value for key, value in study["stability"]["perturbation"].items() if key != "repeats"
    ):
        yield "stability/perturbation: nothing is perturbed; give rotation_degrees, translation, noise or others"


def _check_regions(study: dict[str, Any]) -> Iterable[str]:
    images = study["images"]
    rules, organs = images.get("regions", {}), images.get("organs", [])
    for name, rule in rules.items():
        if name in organs:
            yield f"images/regions/{name}: is also an organ's name; choose another"
        for other in rules:
            if other.endswith(f"-{name}"):  # a ring is called lesion1-<name>
                yield f"images/regions/{other}: ends like the region '{name}'; choose a name of another end"
        if "inside" in rule and rule["inside"] not in organs:
            yield f"images/regions/{name}/inside: '{rule['inside']}' is not among images/organs"
    whole = [name for name, rule in rules.items() if rule["kind"] != "ring"]
    if "aggregate" in images:
        yield from _check_aggregate(study)
    elif "analysed" in images and images["analysed"] not in whole:
        yield (
            f"images/analysed: '{images['analysed']}' is not a union or rest under images/regions; for drawn regions, "
            "say under images/aggregate how their features are put together"
        )
    if "analysed" in images and study["unit"] != "patient":
        yield "images/analysed: is only for a study whose unit is the patient"
    for phase, (low, high) in images.get("expected", {}).items():
        if low >= high:
            yield f"images/expected/{phase}: the lowest value must come first"


def _check_aggregate(study: dict[str, Any]) -> Iterable[str]:
    images = study["images"]
    if "analysed" not in images:
        yield "images/analysed: is missing; it says which drawn regions images/aggregate puts together"
        return
    if images["analysed"] in [*images.get("regions", {}), *images.get("organs", [])]:
        yield f"images/aggregate: is for drawn regions, and '{images['analysed']}' is an organ or a computed one"
    blocks = {f"models/{name}": model for name, model in study.get("models", {}).items()}
    blocks |= {"markers": study["markers"]} if "markers" in study else {}
    for where, block in blocks.items():
        if "region" in block:
            yield f"{where}/region: a ring belongs to one lesion; it has no place beside images/aggregate"


def repeats_readings(study: Mapping[str, Any]) -> bool:
    """Whether a study has anything to judge the stability of features by: second readings or perturbed ones."""
    stability = study.get("stability", {"readings": {}})
    return bool({"intra", "inter"} & set(stability["readings"])) or "perturbation" in stability


def _unknown(where: str, name: str, known: Iterable[str], kind: str) -> str:
    return f"{where}: '{name}' is not a declared {kind}; declared are {', '.join(known)}"
