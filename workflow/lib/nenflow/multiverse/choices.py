"""The choices of a model's multiverse and its cells: every combination of them, the study's own among them.

Multiverse analysis: Steegen et al., Perspect Psychol Sci 2016; 11:702. Light on purpose, as `study` is: the Snakefile
asks for the cells each time it is parsed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from nenflow.study import named_variables, read_schema, refuse, sentences

CELLS_PER_JOB = 6  # of a few seconds each: tens of jobs, not hundreds, for a scheduler


def variants(extraction: str, listed: Mapping[str, Sequence[float]], setting: Mapping[str, Any]) -> dict[str, dict]:
    """Every combination of extraction settings.

    Args:
        extraction: the study's own extraction.
        listed: values by setting.
        setting: the own parameter file's settings; where a value there is a list, as spacings are, a listed number
            stands for all its entries.

    Returns:
        all varied settings by the variant's name, which says in what it differs: wavelet_binWidth-15; the combination
        that is the study's own has the extraction's own name.
    """
    values = [with_own(setting[name], [_as(setting[name], value) for value in listed[name]]) for name in listed]
    found = {}
    for combination in product(*values):
        chosen = dict(zip(listed, combination, strict=True))
        differing = [f"_{name}-{shown(value)}" for name, value in chosen.items() if value != setting[name]]
        found["".join([extraction, *differing])] = chosen
    return found


def cells(
    steps: Sequence[Mapping[str, Mapping[str, Any]]],
    listed: Mapping[str, Mapping[str, Sequence[Any]]],
    extractions: Mapping[str | None, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """All combinations of choices; those of one extraction stand beside each other.

    Args:
        steps: the study's own protocol, as `build_protocol` takes it.
        listed: values by option by step.
        extractions: from `variants`; {name: {}} where no extraction is varied.

    Returns:
        a dict per cell: cell (1, 2, ...), own (whether it is the study's), extraction, choices (values as the results
        show them, by setting or step/option) and steps, its protocol.
    """
    protocol = {name: options for step in steps for name, options in step.items()}
    places = [(step, option) for step, options in listed.items() for option in options]
    values = [with_own(protocol[step][option], listed[step][option]) for step, option in places]
    own, found = [protocol[step][option] for step, option in places], []
    for number, (extraction, *chosen) in enumerate(product(extractions, *values), start=1):
        options = {name: dict(given) for name, given in protocol.items()}
        for (step, option), value in zip(places, chosen, strict=True):
            options[step][option] = value
        choices = {name: shown(value) for name, value in extractions[extraction].items()}
        choices |= {"/".join(place): shown(value) for place, value in zip(places, chosen, strict=True)}
        found.append(
            {
                "cell": number,
                "own": "_" not in (extraction or "") and chosen == own,
                "extraction": extraction,
                "choices": choices,
                "steps": [{name: given} for name, given in options.items()],
            }
        )
    return found


def jobs(cells: Sequence[Mapping[str, Any]], size: int = CELLS_PER_JOB) -> dict[str, list[Mapping[str, Any]]]:
    """Cells by job, each of one extraction; a job is named by its first and last cell: 1-6."""
    by_extraction: dict[Any, list[Mapping[str, Any]]] = {}
    for cell in cells:
        by_extraction.setdefault(cell["extraction"], []).append(cell)
    parts = [group[i : i + size] for group in by_extraction.values() for i in range(0, len(group), size)]
    return {f"{part[0]['cell']}-{part[-1]['cell']}": part for part in parts}


def with_own(own: Any, listed: Iterable[Any]) -> list[Any]:
    """The values of a choice, each once; numbers rise, others keep their order after the study's own."""
    values = []
    for value in [own, *listed]:
        if value not in values:
            values.append(value)
    return values if any(isinstance(value, str) for value in values) else sorted(values)


def _as(own: Any, value: float) -> Any:
    return [value] * len(own) if isinstance(own, list) else value


def shown(value: Any) -> Any:
    """A value as results show it, and as names of files hold it: 15, 12.5, 1x1x3; equal entries of a list once."""
    if isinstance(value, list):
        parts = [str(shown(part)) for part in value]
        return parts[0] if len(set(parts)) == 1 else "x".join(parts)
    if isinstance(value, bool | str):
        return value
    return f"{Decimal(str(value)).normalize():f}"


def check_multiverse(study: Mapping[str, Any], folder: Path, schemas: Path) -> None:
    """Refuse a multiverse that varies what the study has not, or to values that no study may have.

    A value that is allowed and yet breaks the protocol (a threshold that no feature reaches) is not refused: its cell
    says so.

    Args:
        study: checked settings of the study.
        folder: the study's folder, with its parameter files.
        schemas: the folder of `study.schema.yaml`.

    Raises:
        InputError: one line per mistake.
    """
    problems = []
    for name, listed in study.get("multiverse", {}).items():
        where, model = f"study.yaml, multiverse/{name}", study.get("models", {}).get(name)
        if model is None:
            problems.append(f"{where}: there is no such model; there are: {', '.join(study.get('models', {}))}")
            continue
        problems += _check_extraction(study, model, listed.get("extraction", {}), folder, f"{where}/extraction")
        schema = read_schema(schemas, "study") if "steps" in listed else {}
        problems += _check_steps(model, listed.get("steps", {}), schema, f"{where}/steps")
    refuse(problems, "study.yaml")


def _check_extraction(study: Mapping[str, Any], model: Mapping[str, Any], listed, folder: Path, where: str):
    if not listed:
        return
    if "extraction" not in model:
        yield f"{where}: the model uses no image features"
        return
    extraction = study["extractions"][model["extraction"]]
    if "parameters" not in extraction:
        yield f"{where}: the features of '{model['extraction']}' come from a table, so they cannot be extracted anew"
        return
    file = os.path.expandvars(extraction["parameters"])
    if "$" in file:  # what names the folder is not set, which is said when the file is needed
        return
    setting = read_setting(folder / file)
    for name, values in listed.items():
        if 0 in values and name != "resampledPixelSpacing":
            yield f"{where}/{name}: 0 is for spacings only, where it leaves a direction as it is"
        own = setting.get(name)
        numbers = own if isinstance(own, list) and own else [own]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
            yield f"{where}/{name}: {Path(file).name} gives no number for it under setting; write the study's own there"


def _check_steps(model: Mapping[str, Any], listed, schema: Mapping[str, Any], where: str):
    protocol = {name: options for step in model["steps"] for name, options in step.items()}
    for step, options in listed.items():
        if step not in protocol:
            yield f"{where}: the model has no step '{step}'; it has {', '.join(protocol)}"
            continue
        for option, values in options.items():
            place = f"{where}/{step}/{option}"
            if option not in protocol[step]:
                yield f"{place}: the model's own step does not say it; write the study's own choice there too"
            elif named_variables(step, {option: protocol[step][option]}):
                yield f"{place}: names variables, which cannot be varied"
            else:
                for value in values:
                    trial = {step: {**protocol[step], option: value}}
                    yield from (f"{place}: {sentence}" for sentence in _violations(trial, schema))


def _violations(step: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterable[str]:
    checker = Draft202012Validator({"$ref": "#/$defs/step", "$defs": schema["$defs"]})
    for error in checker.iter_errors(step):
        yield from sentences(error)


def read_setting(path: Path) -> dict[str, Any]:
    """The settings of a pyradiomics parameter file; none where it cannot be read, which its extraction reports."""
    try:
        parameters = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return (parameters or {}).get("setting") or {}
