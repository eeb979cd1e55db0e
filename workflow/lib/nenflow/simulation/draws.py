"""The tables of a simulated cohort: who has how many lesions, clinical variables, latent texture, outcome."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from nenflow.errors import InputError
from nenflow.tables import UNIT

# A stream of random numbers per purpose, so that drawing more of one thing leaves the others as they were.
STRUCTURE, VARIABLES, LATENTS, OUTCOME, IMAGES, READINGS, TIMES = range(7)

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
    per_patient = units.get_level_values("patient").value_counts(sort=False)
    weights = {
        "patient": pd.Series(per_patient.to_numpy(), pd.Index(per_patient.index, name="patient")),
        "lesion": pd.Series(1, units),
    }
    tables = draw_variables(settings["variables"], weights, seed)
    patients, lesions = tables["patient"], tables["lesion"]
    texture = settings["texture"]
    truth = draw_latents(texture["latents"], units, texture["within_patient"], np.random.default_rng([seed, LATENTS]))
    known = lesions.join(patients, on="patient").join(truth)
    codes = outcome_codes(settings["outcome"]["odds_ratios"], settings["variables"], known)
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
        codes: the model's variables as numbers, index (patient, region), or patient.
        settings: event and other (level names), events (number), odds_ratios; patient_sd (log odds; 0 without it).
        effect: multiplies every log odds ratio and patient_sd; 0 leaves noise alone.
        rng: the source of the patient effects and the noise; what is drawn does not depend on `effect`.

    Returns:
        the outcome's level per lesion; linear_predictor, patient_effect and probability per lesion, and where it comes
        with time propensity, the sum of log odds and noise; the model.
    """
    events = settings["events"]
    if not 0 < events < len(codes):
        raise InputError(
            f"The simulation wants {events} events among {len(codes)}: both outcomes are needed, "
            f"set outcome.events between 1 and {len(codes) - 1}."
        )
    patient_sd = effect * settings.get("patient_sd", 0.0)
    coefficients = {name: effect * float(np.log(ratio)) for name, ratio in settings["odds_ratios"].items()}
    patient, first = np.unique(codes.index.get_level_values("patient"), return_inverse=True)
    patient_effect = patient_sd * rng.standard_normal(len(patient))[first]
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
    if "time" in settings:
        scores["propensity"] = log_odds + noise
    model = {
        "event": settings["event"],
        "events": events,
        "effect": effect,
        "intercept": intercept,
        "coefficients": coefficients,
        "patient_sd": patient_sd,
        "auc_linear_predictor": _auc(scores["linear_predictor"].to_numpy(), event),
        "rule": "events are the lesions with the largest log odds plus standard logistic noise",
    }
    return pd.Series(np.where(event, settings["event"], settings["other"]), index=codes.index), scores, model


def allocate(
    weights: np.ndarray,
    counts: dict[str, int],
    rng: np.random.Generator,
    what: str = "lesions",
    leader: np.ndarray | None = None,
    correlation: float = 0.0,
) -> np.ndarray:
    """Give each member a level so that the members' weights add up to the counts exactly.

    Members are laid end to end in random order (with a leader, in one that follows it) on a line of sum(weights) and
    the counts cut it; an order in which a cut goes through a member is drawn again.

    Args:
        weights: lesions per member (1 for a lesion itself).
        counts: lesions per level.
        rng: decides among the possible allocations.
        what: the name of what is counted, for the message.
        leader, correlation: a variable that the levels follow (numbers per member), and how closely.

    Raises:
        InputError: the counts add up to something else, or no allocation was found.
    """
    cuts = np.cumsum(list(counts.values()))
    if cuts[-1] != weights.sum():
        raise InputError(
            f"The simulation's counts {counts} add up to {cuts[-1]}, and there are {weights.sum()} {what}: mend them."
        )
    for _ in range(ATTEMPTS):
        free = leader is None
        order = rng.permutation(len(weights)) if free else np.argsort(_following(leader, correlation, rng))
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
    none = np.zeros(len(weights)) if leader is None else leader
    order = np.argsort(_following(none, settings.get("correlation", 0.0), rng))
    position = np.empty(len(weights))
    position[order] = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    knots = [settings["range"][0], *settings["quartiles"], settings["range"][1]]
    if knots[0] <= 0 or np.any(np.diff(knots) < 0):
        raise InputError(f"The simulation's range and quartiles {knots} have to be positive and in rising order.")
    values = np.exp(np.interp(position, [0, 0.25, 0.5, 0.75, 1], np.log(knots)))
    return np.round(values, settings["decimals"]) if settings["decimals"] else np.rint(values).astype(int)


def patient_names(patients: int) -> pd.Index:
    """P001, P002 and so on, with as many digits as the last one needs."""
    digits = max(3, len(str(patients)))
    return pd.Index([f"P{number:0{digits}d}" for number in range(1, patients + 1)], name="patient")


def _draw_units(patients: int, lesions: int, rng: np.random.Generator) -> pd.MultiIndex:
    """Units (patient, region) of a cohort whose patients have one or two lesions each."""
    if not patients <= lesions <= 2 * patients:
        raise InputError(
            f"The simulation wants {lesions} lesions in {patients} patients; a patient has one or two: mend this."
        )
    two = rng.permutation(patients) < lesions - patients
    names = patient_names(patients)
    return pd.MultiIndex.from_tuples(
        [(name, f"lesion{k}") for name, both in zip(names, two, strict=True) for k in range(1, 2 + both)], names=UNIT
    )


def _following(leader: np.ndarray, correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Normal noise that correlates with a variable; noise alone where the variable is the same for all."""
    noise = rng.standard_normal(len(leader))
    if leader.std() > 0:
        noise = correlation * (leader - leader.mean()) / leader.std() + np.sqrt(1 - correlation**2) * noise
    return noise


def draw_variables(variables: dict[str, dict[str, Any]], weights: dict[str, pd.Series], seed: int) -> dict[str, Any]:
    """Draw every variable at its level; a variable that follows another is drawn after it.

    Args:
        variables: settings by name, as in simulation.yaml.
        weights: by level (patient, lesion): lesions per member, 1 where members are counted themselves; their index
            becomes that of the table.
        seed: each variable has its own stream by its place, so that a change in one leaves the others.

    Returns:
        by level a table with a column per variable.
    """
    tables = {level: pd.DataFrame(index=weight.index) for level, weight in weights.items()}
    for number, (name, settings) in enumerate(variables.items()):
        rng = np.random.default_rng([seed, VARIABLES, number])
        level = settings["level"]
        if level not in tables:
            raise InputError(
                f"The simulated variable {name} is of level {level}, and the simulation draws patients only."
            )
        leader = settings.get("follows")
        if leader is not None and leader not in tables[level]:
            raise InputError(
                f"The simulated variable {name} follows {leader}, which has to be declared before it at the same level."
            )
        codes = None if leader is None else _coded(variables[leader], tables[level][leader])
        weight, what = weights[level].to_numpy(), "lesions" if len(weights) > 1 else "patients"
        if "counts" in settings:
            follow = settings.get("correlation", 0.0)
            tables[level][name] = allocate(weight, settings["counts"], rng, what, codes, follow)
        else:
            tables[level][name] = draw_continuous(weight, settings, codes, rng)
    return tables


def draw_latents(
    latents: dict[str, dict[str, float]], units: pd.Index, within_patient: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Standard normal latents, correlated between units of one patient, and the values that they stand for."""
    patient, first = np.unique(units.get_level_values("patient"), return_inverse=True)
    table = pd.DataFrame(index=units)
    for name, shape in latents.items():
        common, own = rng.standard_normal(len(patient))[first], rng.standard_normal(len(units))
        table[name] = np.sqrt(within_patient) * common + np.sqrt(1 - within_patient) * own
        table[f"{name}_value"] = shape["median"] * np.exp(shape["spread"] * table[name])
    return table


def outcome_codes(names: Iterable[str], variables: dict[str, dict[str, Any]], known: pd.DataFrame) -> pd.DataFrame:
    """Variables and latents as the numbers that enter the outcome's model, a column per name."""
    codes = pd.DataFrame(index=known.index)
    for name in names:
        if name not in known:
            raise InputError(
                f"The simulation's outcome.odds_ratios names {name}, which is neither a simulated variable nor "
                "a latent."
            )
        codes[name] = _coded(variables[name], known[name]) if name in variables else known[name]
    return codes


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
