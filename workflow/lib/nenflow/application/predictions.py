"""What a model says of new units, how sure it is, and which of them are unlike those it was made from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nenflow.cohort.flow import list_exclusions
from nenflow.errors import InputError
from nenflow.models.base import SURVIVAL
from nenflow.models.card import inputs_of, protocol_of
from nenflow.models.dataset import assemble_dataset
from nenflow.models.missing import apply_imputer
from nenflow.models.protocol import FINAL, scores
from nenflow.models.ranges import distances, outside
from nenflow.models.uncertainty import prediction_intervals
from nenflow.stability import unit_features


def excluded_units(
    card: Mapping[str, Any],
    patients: Sequence[str],
    units: pd.DataFrame,
    cases: pd.DataFrame,
    failures: pd.DataFrame | None,
    study: Mapping[str, Any],
    pattern: str | None,
) -> pd.DataFrame:
    """Who has no features, and why; of a model of clinical variables only, whom the tables give no unit.

    Args:
        card: a model file.
        patients, units: all of the cohort.
        cases, failures: what became of their regions, see `list_exclusions`.
        study, pattern: see `new_units`.
    """
    if "features" not in card:
        return list_exclusions(patients, units.index, cases, [], None)
    reader = study["stability"]["readings"]["reference"]
    return list_exclusions(patients, units.index, cases, [failures], reader, pattern)


def new_units(
    card: Mapping[str, Any],
    units: pd.DataFrame,
    features: pd.DataFrame | None,
    study: Mapping[str, Any],
    known: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray | None]:
    """The inputs of a model in new units.

    Args:
        card: a model file.
        units: all units with their variables, index (patient, region).
        features: the feature table of the cohort; None for a model of clinical variables only.
        study: settings of the cohort's study.
        known: excluded, cases and pattern, as `assemble_dataset` takes them.

    Returns:
        inputs as the model takes them, of each unit that can be predicted; who cannot (columns patient, region, step,
        reason); the stratum of each unit, of a stratified model.

    Raises:
        InputError: a feature of the model was not measured.
    """
    final = _final(card)
    clinical = list(card["variables"])
    needs = {"clinical": clinical, "missing": "impute" if "imputer" in final else "complete"}
    if "features" in card:
        about = card["features"]
        needs |= {key: about[key] for key in ("phase", "region") if key in about} | {"features": about["names"]}
        reader = study["stability"]["readings"]["reference"]
        measured = unit_features(features, about["phase"], reader, about.get("region")).columns
        if lacking := [name for name in about["names"] if name not in measured]:
            raise InputError(
                f"The features lack {len(lacking)} that the model needs, the first being {lacking[0]}; measure them by "
                "the parameters in the model file."
            )
    about_units = {**study, "variables": {**study["variables"], **card["variables"]}}
    X, reasons = assemble_dataset(features, units, analysis=needs, study=about_units, **known)
    strata = units.loc[X.index, final["strata"]].to_numpy() if "strata" in final else None
    return X[inputs_of(card["steps"])], reasons, strata


def predictions(card: Mapping[str, Any], X: pd.DataFrame, strata: np.ndarray | None = None) -> pd.DataFrame:
    """Predictions of a model file for units with all inputs, or with missing ones that it can fill.

    Args:
        card: a model file.
        X, strata: from `new_units`.

    Returns:
        Radscore (where the model has one), linear_predictor; probability, or survival_<time>, each with _low and _high
        (95 %; NaN where the file has no covariance) and _shrunk (where it has shrunk coefficients); filled (inputs that
        were missing), outside (inputs beyond the range of training), distance (Mahalanobis') and far (yes or no; the
        last three where the file describes training).
    """
    protocol, final = protocol_of(card), _final(card)
    table = scores(protocol, X, strata).dropna(axis=1, how="all")
    told = [name for name in table if name == "probability" or name.startswith(SURVIVAL)]
    columns = protocol[:-1].transform(X) if len(protocol) > 1 else X
    if "imputer" in final:
        columns = apply_imputer(final["imputer"], columns)
    ends = pd.DataFrame(np.nan, index=X.index, columns=[f"{name}_{end}" for name in told for end in ("low", "high")])
    if "uncertainty" in card:
        ends = prediction_intervals(card["uncertainty"], final, columns, strata)
    shrunk = scores(protocol_of(card, shrunk=True), X, strata) if "shrunk" in card else None
    found = table.drop(columns=told)
    for name in told:
        found[name], found[f"{name}_low"], found[f"{name}_high"] = (
            table[name],
            ends[f"{name}_low"],
            ends[f"{name}_high"],
        )
        if shrunk is not None:
            found[f"{name}_shrunk"] = shrunk[name]
    labels = {name: variable["label"] for name, variable in card["variables"].items()}
    lacking = [[labels.get(name, name) for name in X if pd.isna(row[name])] for row in X.to_dict("records")]
    found["filled"] = ["; ".join(names) for names in lacking]
    if "training" in card:
        found["outside"] = outside(card["training"], X, labels)
        found["distance"], threshold = distances(card["training"], X)
        found["far"] = np.where(found["distance"] > threshold, "yes", "no")
    return found


def all_units(table: pd.DataFrame, reasons: pd.DataFrame) -> pd.DataFrame:
    """Predictions with a row for everybody: who could not be predicted has the reason in not_predicted."""
    missing = reasons.set_index(["patient", "region"])["reason"].rename("not_predicted")
    joined = table.join(missing, how="outer").sort_index()
    text = [name for name in ("filled", "outside", "far", "not_predicted") if name in joined]
    return joined.assign(**{name: joined[name].astype(object).fillna("") for name in text})


def _final(card: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(card["steps"][kind] for kind in FINAL if kind in card["steps"])
