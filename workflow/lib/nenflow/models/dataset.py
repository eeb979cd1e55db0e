from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nenflow.cohort.units import coded, outcome
from nenflow.errors import InputError
from nenflow.features.measures import matching_regions
from nenflow.phases import phases_of
from nenflow.stability import unit_features
from nenflow.tables import CASE, UNIT, WHOLE


def assemble_dataset(
    features: pd.DataFrame,
    units: pd.DataFrame,
    excluded: pd.DataFrame,
    cases: pd.DataFrame,
    analysis: Mapping[str, Any],
    study: Mapping[str, Any],
    pattern: str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put outcome, coded clinical variables and features of every usable unit side by side.

    A unit without features or outcome is left out, with the reason. What happens to one without a clinical variable
    the model says: it is left out too (complete), its value is imputed in the fits (impute), or nothing is done before
    somebody has decided (refuse).

    Args:
        features: the feature table of a cohort, all phases and raters; None for a model of clinical variables only.
        units: all units of the cohort with their declared variables, index (patient, region).
        excluded: units excluded before (columns patient, region, step, reason); they are not listed again.
        cases: what became of each case in the images stage (patient, phase, region, rater, reason).
        analysis: the settings of a model or of the markers: endpoint (without one there is no outcome), extraction,
            phase (or a list of phases, whose features are called <phase>_<feature>), region (where a ring is analysed)
            and, for a model, features (the only ones that take part), clinical, missing, others (variables that steps
            need beside those) and strata (the variable whose levels a Cox model gives baseline hazards of their own).
        study: the study's settings.
        pattern: the drawn regions whose features are put together for each patient, where a study does so.

    Returns:
        The dataset (index (patient, region); columns outcome or time and event, stratum where there are strata,
        clinical, features) and all exclusions.

    Raises:
        InputError: a feature could not be computed for a usable unit, no unit is left, clinical values are missing
            and the model does not say what to do, or a feature that is named is not measured.
    """
    clinical = [*analysis.get("clinical", []), *analysis.get("others", [])]
    image, lacking = pd.DataFrame(index=units.index), str  # without features nobody lacks any
    if features is not None:
        reader = study["stability"]["readings"]["reference"]
        image = unit_features(features, analysis["phase"], reader, analysis.get("region"))
        image = _named(image, analysis)
        lacking = _lacking(features, cases, analysis, reader, pattern)
    columns = coded(units, study["variables"], clinical)
    predicts = "endpoint" not in analysis  # a model that is there: nobody's outcome is needed
    found = columns.iloc[:, :0] if predicts else outcome(units, study["endpoints"][analysis["endpoint"]])
    known = pd.concat([found, columns], axis=1)
    missing = analysis.get("missing", "refuse")
    needed = known if missing == "complete" else found
    reasons = _reasons(needed, image.index, excluded, lacking, study)

    usable = known.index.difference(reasons.set_index(UNIT).index, sort=True)
    if usable.empty and not predicts:
        raise InputError(f"No {study['unit']} is left for the analysis; see the reasons in exclusions.csv.")
    if missing == "refuse":
        _refuse_missing(columns.loc[usable], study)
    dataset = known.loc[usable].join(image)
    complete = dataset.drop(columns=clinical) if missing == "impute" else dataset
    broken = complete.columns[~np.isfinite(complete.to_numpy(dtype=float)).all(axis=0)]
    if len(broken):
        raise InputError(
            f"{len(broken)} features (first {broken[0]}) have no value for some {study['unit']}; leave their class out "
            "of the extraction's parameter file or raise images/minimum_volume_mm3."
        )
    dataset = dataset.astype({name: int for name in ("outcome", "event") if name in dataset})
    if "strata" in analysis:
        dataset.insert(2, "stratum", _strata(units.loc[usable, analysis["strata"]], analysis["strata"], study))
    return dataset, reasons


def split(dataset: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series | pd.DataFrame]:
    """What a model sees of a dataset and what it predicts.

    Returns:
        variables, and the outcome: a Series of 0 and 1, or a frame of time, event and (of a stratified model) stratum.
    """
    if "outcome" in dataset:
        return dataset.drop(columns="outcome"), dataset["outcome"]
    of_outcome = [name for name in ("time", "event", "stratum") if name in dataset]
    return dataset.drop(columns=of_outcome), dataset[of_outcome]


def _strata(values: pd.Series, name: str, study: Mapping[str, Any]) -> pd.Series:
    """The stratum of each unit; a baseline hazard cannot be imputed, so none may be missing."""
    if values.isna().any():
        raise InputError(
            f"{int(values.isna().sum())} {study['unit']}s have no value of {study['variables'][name]['label']}, by "
            "which the Cox model is stratified; fill them in."
        )
    return values


def _refuse_missing(columns: pd.DataFrame, study: Mapping[str, Any]) -> None:
    """Say of which variable how many values are missing."""
    counts = columns.isna().sum()
    missing = [f"{study['variables'][name]['label']} {number}" for name, number in counts.items() if number]
    if missing:
        raise InputError(
            f"Values are missing (variable and number of {study['unit']}s): {', '.join(missing)}; fill them in, or "
            "say under the model's key 'missing' in study.yaml whether to use complete cases (complete) or to impute."
        )


def _reasons(
    known: pd.DataFrame,
    with_features: pd.Index,
    excluded: pd.DataFrame,
    lacking: Callable[[tuple[str, str]], str],
    study: Mapping[str, Any],
) -> pd.DataFrame:
    """Why each unusable unit is unusable, the first reason only; `lacking` is says it of one without features."""
    labels = {name: variable["label"] for name, variable in study["variables"].items()}
    labels |= {"outcome": "the outcome", "time": "the time of follow-up", "event": "the outcome"}
    rows = excluded.to_dict("records")
    seen = {(row["patient"], row["region"]) for row in rows}
    for unit, values in known.iterrows():
        missing = [labels[name] for name in known.columns if pd.isna(values[name])]
        if unit in seen:
            continue
        if unit not in with_features:
            rows.append(_exclusion(unit, "features", lacking(unit)))
        elif missing:
            rows.append(_exclusion(unit, "clinical data", f"no value for {', '.join(missing)}"))
        elif "time" in known and not values["time"] > 0:
            rows.append(_exclusion(unit, "follow-up", "the time of follow-up is not over 0"))
    return pd.DataFrame(rows, columns=[*UNIT, "step", "reason"])


def _named(image: pd.DataFrame, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """The features that take part: those the analysis names, or all."""
    names = analysis.get("features", image.columns)
    unknown = [name for name in names if name not in image]
    if unknown:
        raise InputError(
            f"The extraction measures no feature '{unknown[0]}', which study.yaml names under features; its features "
            f"are called like {image.columns[0]}."
        )
    return image[list(names)]


def _lacking(
    features: pd.DataFrame, cases: pd.DataFrame, analysis: Mapping[str, Any], reader: str, pattern: str | None
) -> Callable[[tuple[str, str]], str]:
    """Why a unit has no features in a phase that is analysed: as the images stage says, where it does."""
    phases, ring = phases_of(analysis["phase"]), analysis.get("region")
    # Of feature tables made elsewhere the cases only say who is in them.
    cases = cases.reindex(columns=[*CASE, "role", "status", "reason"])
    rows = cases[(cases["rater"] == reader) & (cases["status"] == "excluded")]
    said = rows.set_index(["phase", *UNIT])["reason"].to_dict()
    if pattern is not None:
        lost = rows[matching_regions(rows, pattern)]
        reasons = (lost["region"] + ": " + lost["reason"]).groupby([lost["phase"], lost["patient"]])
        said = {(*scan, WHOLE): "; ".join(of_scan) for scan, of_scan in reasons}
    measured = {phase: unit_features(features, phase, reader, ring).index for phase in phases}
    unknown = f"{reader}'s segmentation" if pattern is None else f"{reader}'s regions {pattern}"

    def reason(unit: tuple[str, str]) -> str:
        patient, region = unit
        reasons = []
        for phase in phases:
            if unit in measured[phase]:
                continue
            known = said.get((phase, *unit)) or said.get((phase, patient, f"{region}-{ring}"))
            known = f"{phase}: {known}" if known and len(phases) > 1 else known
            reasons.append(known or f"no features of {unknown} in the phase {phase}")
        return "; ".join(reasons)

    return reason


def _exclusion(unit: tuple[str, str], step: str, reason: str) -> dict[str, str]:
    return {"patient": unit[0], "region": unit[1], "step": step, "reason": reason}
