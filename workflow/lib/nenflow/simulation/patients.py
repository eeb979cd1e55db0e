"""The tables of a simulated cohort of patients: variables, hidden properties, outcomes with and without time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nenflow.simulation.draws import (
    LATENTS,
    OUTCOME,
    TIMES,
    draw_latents,
    draw_outcome,
    draw_variables,
    outcome_codes,
    patient_names,
)
from nenflow.simulation.progression import outcome_times, seen_times
from nenflow.simulation.survival import draw_survival


@dataclass(frozen=True)
class Patients:
    """A drawn cohort of patients.

    Attributes:
        patients: variables and outcomes, index patient.
        truth: what no analysis may see, same index: latents (standard normal) and their values `<latent>_value`; of
            every endpoint with time `<endpoint>_linear_predictor`, `<endpoint>_entry` and the times at which the event,
            the competing event and the loss would come (`<endpoint>_event_time` and so on); of the logistic outcome
            linear_predictor, patient_effect and probability, and where it comes with time propensity and that time.
        model: the models as a JSON-ready document.
    """

    patients: pd.DataFrame
    truth: pd.DataFrame
    model: dict[str, Any]


def draw_patients(settings: dict[str, Any], seed: int) -> Patients:
    """Draw a cohort of patients whose margins and numbers of events are exactly those of the settings.

    Args:
        settings: patients, variables, and where there are: latents, survival, outcome, effect (1 without it); see
            schemas/simulation.schema.yaml.
        seed: decides everything that is drawn. Variables and latents do not depend on `effect`.

    Raises:
        InputError: the settings contradict each other.
    """
    index = patient_names(settings["patients"])
    patients = draw_variables(settings["variables"], {"patient": pd.Series(1, index)}, seed)["patient"]
    truth = draw_latents(settings.get("latents", {}), index, 0.0, np.random.default_rng([seed, LATENTS]))
    known, effect = patients.join(truth), settings.get("effect", 1.0)
    model: dict[str, Any] = {"seed": seed, "effect": effect, "survival": {}}
    if "outcome" in settings:
        patients, truth, model["outcome"] = _join_outcome(settings, seed, patients, truth)
        known = patients.join(truth)
    for number, (name, endpoint) in enumerate(settings.get("survival", {}).items()):
        rng = np.random.default_rng([seed, TIMES, number])
        table, scores, model["survival"][name] = draw_survival(known, endpoint, effect, rng)
        patients, truth = patients.join(table), truth.join(scores.add_prefix(f"{name}_"))
        if "after" in endpoint:
            seen = seen_times(settings["outcome"], truth[endpoint["after"]], table[endpoint["time"]])
            patients = patients.assign(**seen)
    return Patients(patients, truth, model)


def _join_outcome(
    settings: dict[str, Any], seed: int, patients: pd.DataFrame, truth: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Patients with the logistic outcome, the truth with its scores and (true) times, and its model."""
    outcome = settings["outcome"]
    codes = outcome_codes(outcome["odds_ratios"], settings["variables"], patients.join(truth))
    rng = np.random.default_rng([seed, OUTCOME])
    levels, scores, model = draw_outcome(codes, outcome, settings.get("effect", 1.0), rng)
    if "time" in outcome:
        scores = scores.join(outcome_times(outcome, scores["propensity"]))
    return patients.assign(**{outcome["variable"]: levels}), truth.join(scores), model
