"""The tables of a simulated cohort: who has how many lesions, clinical variables, latent texture, outcome."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from nenflow.errors import InputError
from nenflow.tables import UNIT

# A stream of random numbers per purpose, so that drawing more of one thing leaves the others as they were.
STRUCTURE, VARIABLES, LATENTS, OUTCOME, IMAGES, READINGS = range(6)

ATTEMPTS = 2000  # orders tried before counts are called impossible; a possible set of counts needs some dozens


@dataclass(frozen=True)
class Cohort:
    """A drawn cohort.

    Attributes:
        patients: patient-level variables, index patient.
        lesions: lesion-level variables and the outcome, index (patient, region).
        truth: what no analysis may see, same index: linear_predictor (log odds, without the patient effect),
            patient_effect (log odds), probability, the latents (standard normal) and their values `<latent>_value`.
        model: the outcome's model as a JSON-ready document.
    """

    patients: pd.DataFrame
    lesions: pd.DataFrame
    truth: pd.DataFrame
    model: dict[str, Any]


def draw_cohort(settings: dict[str, Any], seed: int) -> Cohort:
    """Draw the tables of a cohort whose margins are exactly those of the settings.

    Raises:
        InputError: the settings contradict each other (counts that do not add up, unknown variables).
    """
    units = _draw_units(settings["patients"], settings["lesions"], np.random.default_rng([seed, STRUCTURE]))
    patients, lesions = _draw_variables(settings["variables"], units, seed)
    truth = _draw_latents(settings["texture"], units, np.random.default_rng([seed, LATENTS]))
    known = lesions.join(patients, on="patient").join(truth)
    codes = pd.DataFrame({name: _codes(settings, name, known) for name in settings["outcome"]["odds_ratios"]})
    outcome, scores, model = draw_outcome(
        codes, settings["outcome"], settings["effect"], np.random.default_rng([seed, OUTCOME])
    )
    lesions.insert(0, settings["outcome"]["variable"], outcome)
    return Cohort(patients, lesions, scores.join(truth), {"seed": seed, **model})


def draw_outcome(
    codes: pd.DataFrame, settings: dict[str, Any], effect: float, rng: np.random.Generator
) -> tuple[pd.Series, pd.DataFrame, dict[str, Any]]:
    """Draw outcomes from a logistic model with a random effect per patient, with an exact number of events.

    The intercept makes the expected number of events the wanted one. Drawing logistic noise for each lesion and calling
    an event what exceeds zero would be the logistic model itself; to meet the number exactly the threshold is moved
    instead: the lesions with the largest sum of log odds and noise are the events.

    Args:
        codes: the model's variables as numbers, index (patient, region).
        settings: event and other (level names), events (number), odds_ratios, patient_sd (log odds).
        effect: multiplies every log odds ratio and patient_sd; 0 leaves noise alone.
        rng: the source of the patient effects and the noise; what is drawn does not depend on `effect`.

    Returns:
        the outcome's level per lesion; linear_predictor, patient_effect and probability per lesion; the model.
    """
    events = settings["events"]
    if not 0 < events < len(codes):
        raise InputError(
            f"The simulation wants {events} events among {len(codes)} lesions: both outcomes are needed, "
            "set outcome.events between 1 and one less than the lesions."
        )
    coefficients = {name: effect * float(np.log(ratio)) for name, ratio in settings["odds_ratios"].items()}
    patient, first = np.unique(codes.index.get_level_values("patient"), return_inverse=True)
    patient_effect = effect * settings["patient_sd"] * rng.standard_normal(len(patient))[first]
    noise = rng.logistic(size=len(codes))

    slope = sum((codes[name] * value for name, value in coefficients.items()), pd.Series(0.0, index=codes.index))
    log_odds = (slope + patient_effect).to_numpy()
    # The two ends make every lesion's probability less, or more, than the wanted share.
    share = float(logit(events / len(codes)))
    low, high = share - log_odds.max() - 1, share - log_odds.min() + 1
    intercept = brentq(lambda value: expit(value + log_odds).sum() - events, low, high)

    event = np.zeros(len(codes), dtype=bool)
    event[np.argsort(log_odds + noise)[-events:]] = True
    scores = pd.DataFrame(
        {
            "linear_predictor": intercept + slope,
            "patient_effect": patient_effect,
            "probability": expit(intercept + log_odds),
        },
        index=codes.index,
    )
    model = {
        "event": settings["event"],
        "events": events,
        "effect": effect,
        "intercept": intercept,
        "coefficients": coefficients,
        "patient_sd": effect * settings["patient_sd"],
        "auc_linear_predictor": _auc(scores["linear_predictor"].to_numpy(), event),
        "rule": "events are the lesions with the largest log odds plus standard logistic noise",
    }
    return pd.Series(np.where(event, settings["event"], settings["other"]), index=codes.index), scores, model


def allocate(weights: np.ndarray, counts: dict[str, int], rng: np.random.Generator) -> np.ndarray:
    """Give each member a level so that the members' weights add up to the counts exactly.

    Members are laid end to end in random order on a line of sum(weights) and the counts cut it; an order in which a cut
    goes through a member is drawn again.

    Args:
        weights: lesions per member (1 for a lesion itself).
        counts: lesions per level.
        rng: decides among the possible allocations.

    Raises:
        InputError: the counts add up to something else, or no allocation was found.
    """
    cuts = np.cumsum(list(counts.values()))
    if cuts[-1] != weights.sum():
        raise InputError(
            f"The simulation's counts {counts} add up to {cuts[-1]}, and there are {weights.sum()} lesions: mend them."
        )
    for _ in range(ATTEMPTS):
        order = rng.permutation(len(weights))
        ends = np.cumsum(weights[order])
        if np.isin(cuts, [0, *ends]).all():
            levels = np.empty(len(weights), dtype=object)
            levels[order] = np.array(list(counts), dtype=object)[np.searchsorted(cuts, ends)]
            return levels
    raise InputError(
        f"No way was found to give {len(weights)} patients the lesion counts {counts}, since a patient's lesions "
        "stay together: change the simulation's counts (odd counts need patients with one lesion)."
    )


def draw_continuous(
    weights: np.ndarray,
    settings: dict[str, Any],
    leader: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw a positive variable whose quartiles over lesions are the stated ones.

    The quantile function is log-linear between the least value, the three quartiles and the greatest. Members are
    ranked at random and get the quantiles at the middle of their share of the line, so that the quartiles are met up to
    a lesion's width whatever the seed.

    Args:
        weights: lesions per member.
        settings: quartiles, range and decimals, in the variable's unit; correlation, with a leader.
        leader: a variable that the ranks follow (numbers per member), or None.
        rng: the source of the ranks.
    """
    noise = rng.standard_normal(len(weights))
    if leader is not None and leader.std() > 0:
        follow = settings["correlation"]
        noise = follow * (leader - leader.mean()) / leader.std() + np.sqrt(1 - follow**2) * noise
    order = np.argsort(noise)
    position = np.empty(len(weights))
    position[order] = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    knots = [settings["range"][0], *settings["quartiles"], settings["range"][1]]
    if knots[0] <= 0 or np.any(np.diff(knots) < 0):
        raise InputError(f"The simulation's range and quartiles {knots} have to be positive and in rising order.")
    values = np.exp(np.interp(position, [0, 0.25, 0.5, 0.75, 1], np.log(knots)))
    return np.round(values, settings["decimals"]) if settings["decimals"] else np.rint(values).astype(int)


def _draw_units(patients: int, lesions: int, rng: np.random.Generator) -> pd.MultiIndex:
    """Units (patient, region) of a cohort whose patients have one or two lesions each."""
    if not patients <= lesions <= 2 * patients:
        raise InputError(
            f"The simulation wants {lesions} lesions in {patients} patients; a patient has one or two: mend this."
        )
    two = rng.permutation(patients) < lesions - patients
    digits = max(3, len(str(patients)))
    names = [f"P{number:0{digits}d}" for number in range(1, patients + 1)]
    return pd.MultiIndex.from_tuples(
        [(name, f"lesion{k}") for name, both in zip(names, two, strict=True) for k in range(1, 2 + both)], names=UNIT
    )


def _draw_variables(
    variables: dict[str, dict[str, Any]], units: pd.MultiIndex, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw every variable at its level; a variable that follows another is drawn after it."""
    per_patient = units.get_level_values("patient").value_counts(sort=False)
    tables = {
        "patient": pd.DataFrame(index=pd.Index(per_patient.index, name="patient")),
        "lesion": pd.DataFrame(index=units),
    }
    weights = {"patient": per_patient.to_numpy(), "lesion": np.ones(len(units), dtype=int)}
    for number, (name, settings) in enumerate(variables.items()):
        rng = np.random.default_rng([seed, VARIABLES, number])
        level = settings["level"]
        if "counts" in settings:
            tables[level][name] = allocate(weights[level], settings["counts"], rng)
            continue
        leader = settings.get("follows")
        if leader is not None and leader not in tables[level]:
            raise InputError(
                f"The simulated variable {name} follows {leader}, which has to be declared before it at the same level."
            )
        codes = None if leader is None else _coded(variables[leader], tables[level][leader])
        tables[level][name] = draw_continuous(weights[level], settings, codes, rng)
    return tables["patient"], tables["lesion"]


def _draw_latents(settings: dict[str, Any], units: pd.MultiIndex, rng: np.random.Generator) -> pd.DataFrame:
    """Standard normal latents, correlated between lesions of one patient, and the values that they stand for."""
    patient, first = np.unique(units.get_level_values("patient"), return_inverse=True)
    shared = settings["within_patient"]
    table = pd.DataFrame(index=units)
    for name, shape in settings["latents"].items():
        common, own = rng.standard_normal(len(patient))[first], rng.standard_normal(len(units))
        table[name] = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        table[f"{name}_value"] = shape["median"] * np.exp(shape["spread"] * table[name])
    return table


def _codes(settings: dict[str, Any], name: str, known: pd.DataFrame) -> pd.Series:
    """A variable or latent as the numbers that enter the outcome's model."""
    if name in settings["variables"]:
        return pd.Series(_coded(settings["variables"][name], known[name]), index=known.index)
    if name in settings["texture"]["latents"]:
        return known[name]
    raise InputError(
        f"The simulation's outcome.odds_ratios names {name}, which is neither a simulated variable nor a latent."
    )


def _coded(settings: dict[str, Any], values: pd.Series) -> np.ndarray:
    """Levels as 1, 2, 3 in their stated order, as the studies code them; numbers as they are."""
    if "counts" in settings:
        return values.map({level: code for code, level in enumerate(settings["counts"], 1)}).to_numpy(float)
    return values.to_numpy(float)


def _auc(score: np.ndarray, event: np.ndarray) -> float:
    """Share of pairs (event, other) that the score ranks rightly, ties counting half."""
    others = np.sort(score[~event])
    below = np.searchsorted(others, score[event], "left") + np.searchsorted(others, score[event], "right")
    return float(below.mean() / (2 * len(others)))
