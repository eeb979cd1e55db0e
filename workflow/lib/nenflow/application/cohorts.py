"""Whom a model file is applied to: a folder of new patients, or a cohort of a study; and whether they suit it.

Light on purpose, as `study` is: the Snakefile asks each time it is parsed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from nenflow.cohort.rows import Rows, read_rows
from nenflow.errors import InputError
from nenflow.published import parameters_digest
from nenflow.study import ONLY_RATER, refuse

COHORT = "new"  # what the cohort of a folder is called in results
PARAMETERS, UNITS, LEVELS = "parameters", "units", "levels"  # differences that may be accepted
UNIT = re.compile(r"(.+?) *\(([^()]*)\)")


def folder_study(
    card: Mapping[str, Any], folder: Path, parameters: Path, accepted: Sequence[str] = ()
) -> dict[str, Any]:
    """Settings under which a folder of new patients goes through the workflow, as a study without models.

    Args:
        card: a model file.
        folder: patients.csv; lesions.csv where a variable belongs to the lesion; for a model with features either
            cases.csv, whose paths start from the folder, or features.csv with parameters.yaml, the parameter file that
            the features were made by.
        parameters: where the workflow writes the parameter file of the model, from where study.yaml would lie.
        accepted: differences that do not matter: parameters, units.

    Returns:
        what `load_study` gives; endpoints are empty unless the tables have the outcome's columns.

    Raises:
        InputError: a file is missing, the features were made by other parameters, or a column has another unit.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; name one with patients.csv, or <study>/<cohort>.")
    problems: list[str] = []
    tables = {
        name: read_rows(folder / f"{name}.csv", problems)
        for name in ("patients", "lesions", "cases", "features")
        if (folder / f"{name}.csv").exists()
    }
    if "patients" not in tables:
        problems.append(f"{folder.name}: there is no patients.csv; a row per patient, with the column patient at least")
    refuse(problems, f"the folder {folder.name}")
    endpoint = card.get("endpoint")
    outcome = endpoint["variables"] if endpoint else {}
    present = {name for table in ("patients", "lesions") if table in tables for name in _names(tables[table])}
    known = bool(outcome) and set(outcome) <= present
    variables = {name: {"level": "patient"} | variable for name, variable in card["variables"].items()}
    variables |= {name: {"level": "patient"} | variable for name, variable in outcome.items() if known}
    columns = _columns(tables["patients"], variables, accepted)
    cohort: dict[str, Any] = {"patients": str(folder.resolve() / "patients.csv")}
    cohort |= {"columns": columns} if columns else {}
    cohort |= {"lesions": str(folder.resolve() / "lesions.csv")} if "lesions" in tables else {}
    settings = {
        "title": f"{card['title']}, in {folder.name}",
        "seed": 1,
        "strict": False,
        "unit": card.get("unit", "patient"),
        "cohorts": {COHORT: cohort},
        "variables": variables,
        "endpoints": {endpoint["name"]: _endpoint(endpoint)} if known else {},
    }
    if "features" in card:
        settings |= _imaging(card, folder, tables, parameters, accepted, cohort)
    return settings


def model_needs(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the dataset of a model is put together from, as a model's settings in study.yaml say it."""
    features = card.get("features")
    if features is None:
        return {}
    return {key: features[key] for key in ("extraction", "phase", "region") if key in features}


def check_study(
    card: Mapping[str, Any], study: Mapping[str, Any], parameters: Mapping[str, Any] | None, accepted: Sequence[str]
) -> None:
    """Refuse a model for the cohorts of a study that measures or codes otherwise.

    Args:
        card: a model file.
        study: settings of the study.
        parameters: content of the parameter file of the study's extraction that has the name of the model's; None where
            there is none.
        accepted: differences that do not matter: parameters, units, levels.

    Raises:
        InputError: one line per difference.
    """
    refuse(list(_differences(card, study, parameters, accepted)), "what the model needs of the study")


def study_endpoint(card: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any] | None:
    """The endpoint of a model where a study has its variables, else None."""
    endpoint = card.get("endpoint")
    return _endpoint(endpoint) if endpoint and set(endpoint["variables"]) <= set(study["variables"]) else None


def _endpoint(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in endpoint.items() if key not in ("name", "variables")}


def _names(table: Rows) -> list[str]:
    """The columns of a table without the units that stand in brackets behind them."""
    return [match[1] if (match := UNIT.fullmatch(column)) else column for column in table.columns]


def _columns(table: Rows, variables: Mapping[str, Any], accepted: Sequence[str]) -> dict[str, str]:
    """Columns that carry their unit, by the variable's name; a unit other than the model's is refused."""
    found, problems = {}, []
    for column in table.columns:
        match = UNIT.fullmatch(column)
        if not match or match[1] not in variables:
            continue
        name, unit = match.groups()
        wanted = _unit(variables[name]["label"])
        if unit != wanted and UNITS not in accepted:
            problems.append(
                f"{table.name}: {name} is in '{unit}', the model takes it in '{wanted or 'no unit'}'; convert the "
                "column, or pass accept=[units] if only the spelling differs"
            )
        found[name] = column
    refuse(problems, "the units")
    return found


def _unit(label: str) -> str:
    match = UNIT.fullmatch(label)
    return match[2] if match else ""


def _imaging(
    card: Mapping[str, Any],
    folder: Path,
    tables: Mapping[str, Rows],
    parameters: Path,
    accepted: Sequence[str],
    cohort: dict[str, Any],
) -> dict[str, Any]:
    """The blocks of a study with images or with a table of features; what the cohort needs is added to it."""
    features = card["features"]
    given = [name for name in ("cases", "features") if name in tables]
    if len(given) != 1:
        raise InputError(
            f"The folder {folder.name} has {'both' if given else 'neither'} of cases.csv and features.csv, and the "
            "model needs features; give one of them."
        )
    table = tables[given[0]]
    reader = _reader(table, features["reader"])
    stability = {"readings": {"reference": reader}}
    if given == ["features"]:
        _check_parameters(features, folder, accepted)
        extraction = {"table": str(folder.resolve() / "features.csv")}
        return {"extractions": {features["extraction"]: extraction}, "stability": stability}
    if features["parameters"] is None:
        raise InputError("The model's features were measured by other software; give features.csv, not images.")
    cohort |= {"cases": str(folder.resolve() / "cases.csv"), "data": str(folder.resolve())}
    extraction = {"parameters": str(parameters), "conformance": features["conformance"]}
    return {
        "images": features["images"],
        "extractions": {features["extraction"]: extraction},
        "stability": stability,
    }


def _reader(table: Rows, wanted: str) -> str:
    """Whose regions are taken: the model's reader where the table has this name, or the only one there is."""
    raters = {row.get("rater", "") for row in table.cells.values()} - {""}
    if wanted in raters or len(raters) < 2:
        return wanted if wanted in raters else next(iter(raters), ONLY_RATER)
    raise InputError(f"{table.name} has regions of several raters; keep those of one, or call that one '{wanted}'.")


def _check_parameters(features: Mapping[str, Any], folder: Path, accepted: Sequence[str]) -> None:
    """Whether a table of features was made by the model's parameters, as far as the folder says it."""
    if features["parameters"] is None or PARAMETERS in accepted:
        return
    path = folder / "parameters.yaml"
    if not path.exists():
        raise InputError(
            f"The folder {folder.name} does not say by which parameters features.csv was made; put pyradiomics' "
            "parameter file beside it as parameters.yaml, or pass accept=[parameters]."
        )
    if yaml.safe_load(path.read_text(encoding="utf-8")) != features["parameters"]:
        raise InputError(
            f"The features in {folder.name} were made by other parameters (parameters.yaml) than the model's, so they "
            "do not suit it; extract them anew by those of the model file, or pass accept=[parameters]."
        )


def _differences(
    card: Mapping[str, Any], study: Mapping[str, Any], parameters: Mapping[str, Any] | None, accepted: Sequence[str]
) -> Iterable[str]:
    if card.get("unit", "patient") != study["unit"]:
        yield f"a row of the model is a {card.get('unit', 'patient')}, one of the study a {study['unit']}"
    for name, variable in card["variables"].items():
        declared = study["variables"].get(name)
        if declared is None:
            yield f"the model needs the variable '{name}' ({variable['label']}), which the study does not declare"
        elif declared["type"] != variable["type"]:
            yield f"the variable '{name}' is {variable['type']} in the model and {declared['type']} in the study"
        elif set(declared.get("levels", [])) - set(variable.get("levels", [])) and LEVELS not in accepted:
            other = sorted(set(declared["levels"]) - set(variable["levels"]))
            yield (
                f"the model does not know the level '{other[0]}' of '{name}'; rename it in the study, or pass "
                "accept=[levels] to leave out who has it"
            )
        elif _unit(declared["label"]) != _unit(variable["label"]) and UNITS not in accepted:
            yield (
                f"'{name}' is in '{_unit(declared['label'])}' in the study and in '{_unit(variable['label'])}' in the "
                "model; convert it, or pass accept=[units] if only the spelling differs"
            )
    features = card.get("features")
    if features is None:
        return
    extraction = study.get("extractions", {}).get(features["extraction"])
    if extraction is None:
        yield f"the study has no extraction '{features['extraction']}', which the model's features are from"
    elif features["digest"] is not None and PARAMETERS not in accepted:
        conformance = extraction.get("conformance", "ibsi")
        if parameters is None or parameters_digest(parameters, conformance) != features["digest"]:
            yield (
                f"the study's extraction '{features['extraction']}' has other parameters or another conformance than "
                f"the model's (digest {features['digest']}); use those of the model, or pass accept=[parameters]"
            )
