"""A finished model as one file that leaves its study: all it needs for new patients, and what is known of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nenflow.documents import plain
from nenflow.models.base import is_survival
from nenflow.models.missing import apply_imputer
from nenflow.models.protocol import FINAL, from_document
from nenflow.models.ranges import training_distribution
from nenflow.models.terms import term_of
from nenflow.models.uncertainty import uncertainty
from nenflow.published import FORM, SIGNATURE, USE, parameters_digest, seal

_PERFORMANCE = ["scheme", "score", "auc", "c", "low", "high", "slope", "intercept", "observed_expected", "brier", "n",
                "events"]  # fmt: skip


def build_card(
    study: Mapping[str, Any],
    document: Mapping[str, Any],
    shrunken: Mapping[str, Any],
    dataset: tuple[pd.DataFrame, pd.Series | pd.DataFrame],
    final: tuple[pd.DataFrame, pd.Series | pd.DataFrame],
    extraction: Mapping[str, Any] | None,
    known: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a model's card together, as `schemas/model.schema.yaml` describes it.

    Args:
        study: settings of the study.
        document: model.json.
        shrunken: the same with coefficients shrunk, whose `shrinkage` is null where there is nothing to shrink.
        dataset: what the protocol saw: variables and outcome.
        final: what its last step saw.
        extraction: parameters (content of the parameter file, None of features made elsewhere) and conformance of the
            features; None for a model of clinical variables only.
        known: tables `schemes` (all schemes of validation) and `table_one` (as printed).
        provenance: how it was made: study, seed, versions.

    Returns:
        the card with its checksum.
    """
    steps = applied_steps(document)
    (kind, model), factor = list(steps.items())[-1], shrunken["shrinkage"]
    settings = study["models"][document["model"]]
    endpoint = study["endpoints"][settings["endpoint"]]
    X, y = dataset
    names = inputs_of(steps)
    variables = [name for name in study["variables"] if name in (*names, model.get("strata"))]
    outcome = [endpoint["variable"], *([endpoint["time"]] if "time" in endpoint else [])]
    columns, rows = final
    filled = apply_imputer(model["imputer"], columns) if "imputer" in model else columns
    card = {
        "schema": FORM,
        "name": f"{provenance['study']}-{document['model']}",
        "title": f"{document['model']}: {study['title']}",
        "source": f"Fitted by nenflow to the development cohort of the study {provenance['study']}.",
        "use": USE,
        "simulated": document["simulated"],
        "unit": study["unit"],
        "variables": {name: study["variables"][name] for name in variables},
        "endpoint": {
            "name": settings["endpoint"],
            **endpoint,
            "variables": {v: study["variables"][v] for v in outcome},
        },
        "steps": steps,
        "uncertainty": uncertainty(model, columns, rows, filled, study["seed"]),
        "training": training_distribution(X[names], study["variables"]),
        "cohort": {
            "units": len(X),
            "patients": X.index.get_level_values("patient").nunique(),
            "events": int((y["event"] if is_survival(y) else y).eq(1).sum()),
            "table_one": known["table_one"].to_dict("records"),
        },
        "performance": _performance(known["schemes"]),
        "provenance": dict(provenance),
    }
    if "licence" in study:
        card["licence"] = study["licence"]
    if extraction is not None:
        card["features"] = _features(study, settings, [name for name in names if name not in variables], extraction)
    if factor is not None and model["coefficients"]:
        card["shrunk"] = {"factor": factor, kind: _at_times(shrunken["steps"][kind])}
    return seal(plain(card))


def applied_steps(document: Mapping[str, Any]) -> dict[str, Any]:
    """The steps that a new unit goes through, each with what it needs for the features and variables of the model.

    Steps that only choose among columns are left out: what was not chosen need not be measured.
    """
    steps = document["steps"]
    kind = list(steps)[-1]
    wanted = dict.fromkeys(map(term_of, steps[kind]["variables"]))
    if "lasso" in steps:
        wanted = dict.fromkeys([*steps["lasso"]["coefficients"], *wanted])
    found: dict[str, Any] = {}
    if "combat" in steps:
        wanted |= dict.fromkeys([steps["combat"]["batch"], *steps["combat"]["covariates"]])
        found["combat"] = _of_features(steps["combat"], wanted)
    if "zscore" in steps:
        found["zscore"] = {part: _chosen(steps["zscore"][part], wanted) for part in ("centre", "scale")}
    if "lasso" in steps:
        found["lasso"] = {key: steps["lasso"][key] for key in ("coefficients", "intercept")}
    if "terms" in steps:
        parts = {part: _chosen(steps["terms"][part], wanted) for part in ("factors", "splines", "knots")}
        found["terms"] = parts
    return found | {kind: _at_times(steps[kind])}


def inputs_of(steps: Mapping[str, Any]) -> list[str]:
    """The features and variables that a model needs of a unit, before anything is done to them."""
    final = next(steps[kind] for kind in FINAL if kind in steps)
    names = [*steps.get("lasso", {}).get("coefficients", ()), *map(term_of, final["variables"])]
    if "combat" in steps:
        names += [steps["combat"]["batch"], *steps["combat"]["covariates"]]
    return [name for name in dict.fromkeys(names) if name != SIGNATURE]


def protocol_of(card: Mapping[str, Any], shrunk: bool = False) -> Any:
    """The model of a card, ready to score new units; with its shrunk coefficients where these are asked for."""
    kind = list(card["steps"])[-1]
    steps = card["steps"] | ({kind: card["shrunk"][kind]} if shrunk else {})
    return from_document({"steps": steps}, list(card["variables"]))


def _at_times(final: Mapping[str, Any]) -> dict[str, Any]:
    """A final model without what single patients tell: its baseline hazard only at the times of the endpoint."""
    kept = {key: value for key, value in final.items() if key not in ("se", "p", "log_likelihood", "shrinkage")}
    if "baseline" not in final:
        return kept
    baseline = final["baseline"]
    strata = baseline.get("stratum", [None] * len(baseline["time"]))
    rows = []
    for stratum in dict.fromkeys(strata):
        mine = [(t, h) for t, h, s in zip(baseline["time"], baseline["hazard"], strata, strict=True) if s == stratum]
        rows += [(stratum, at, max((h for t, h in mine if t <= at), default=0.0)) for at in final["times"]]
    columns = dict(zip(("stratum", "time", "hazard"), map(list, zip(*rows, strict=True)), strict=True))
    return kept | {"baseline": {name: columns[name] for name in baseline}}


def _of_features(part: Any, wanted: Mapping[str, Any]) -> Any:
    """ComBat's document for some features: those not wanted are left out wherever it goes by feature."""
    by_feature = {key: _chosen(part[key], wanted) for key in ("centre", "scale")}
    effects = {name: _chosen(values, wanted) for name, values in part["effects"].items()}
    sites = [site | {key: _chosen(site[key], wanted) for key in ("location", "variance")} for site in part["sites"]]
    return {**part, **by_feature, "effects": effects, "sites": sites, "dropped": []}


def _chosen(values: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in wanted}


def _features(
    study: Mapping[str, Any], settings: Mapping[str, Any], names: Sequence[str], extraction: Mapping[str, Any]
) -> dict[str, Any]:
    """What was measured, and how."""
    parameters = extraction["parameters"]
    return {
        "names": list(names),
        "extraction": settings["extraction"],
        **{key: settings[key] for key in ("phase", "region") if key in settings},
        "reader": study["stability"]["readings"]["reference"],
        "images": study.get("images"),
        "conformance": extraction["conformance"],
        "parameters": parameters,
        "digest": None if parameters is None else parameters_digest(parameters, extraction["conformance"]),
    }


def _performance(schemes: pd.DataFrame) -> list[dict[str, Any]]:
    """Each scheme of validation, its figures as far as they exist."""
    columns = [name for name in _PERFORMANCE if name in schemes]
    return [
        {key: value for key, value in row.items() if pd.notna(value)} for row in schemes[columns].to_dict("records")
    ]
