"""Times to an event with proportional hazards, and a study that stops at the last of a given number of events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from nenflow.errors import InputError

STEPS = 100  # of the integral over follow-up that calibrates a hazard; its error is far under one event


@dataclass(frozen=True)
class Baseline:
    """A hazard that is constant between times; the last one goes on for ever.

    Attributes:
        times: ends of the intervals, rising, over 0; the first interval starts at 0.
        hazards: events per unit of time in each interval, over 0 in the last.
    """

    times: np.ndarray
    hazards: np.ndarray

    @classmethod
    def through(cls, times: list[float], survival: list[float]) -> "Baseline":
        """The hazard with these survival probabilities at these times.

        Raises:
            InputError: times that do not rise, or survival that does not fall.
        """
        times, cumulative = np.asarray(times, dtype=float), -np.log(np.asarray(survival, dtype=float))
        widths, steps = np.diff(times, prepend=0.0), np.diff(cumulative, prepend=0.0)
        if len(times) != len(cumulative) or (widths <= 0).any() or (steps <= 0).any():
            raise InputError(
                f"The simulation's baseline has the times {times.tolist()} and the survival {list(survival)}: it needs "
                "as many of one as of the other, times that rise from over 0 and survival that falls from under 1."
            )
        return cls(times, steps / widths)

    @classmethod
    def constant(cls, hazard: float) -> "Baseline":
        """One hazard at all times."""
        return cls(np.array([1.0]), np.array([hazard]))

    def cumulative(self, time: np.ndarray) -> np.ndarray:
        """Cumulative hazard at any times."""
        ends = np.concatenate([[0.0], np.cumsum(self.hazards * np.diff(self.times, prepend=0.0))])
        beyond = np.maximum(time - self.times[-1], 0.0) * self.hazards[-1]
        return np.interp(time, [0.0, *self.times], ends) + beyond

    def inverse(self, cumulative: np.ndarray) -> np.ndarray:
        """The times at which the cumulative hazard has these values."""
        ends = np.concatenate([[0.0], np.cumsum(self.hazards * np.diff(self.times, prepend=0.0))])
        beyond = np.maximum(cumulative - ends[-1], 0.0) / self.hazards[-1]
        return np.interp(cumulative, ends, [0.0, *self.times]) + beyond


def draw_survival(
    known: pd.DataFrame, settings: Mapping[str, Any], effect: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Draw status and time of each patient from a proportional hazards model, with an exact number of events.

    A patient's time to the event has the hazard baseline * exp(linear predictor). Patients enter evenly over the
    accrual; the study stops in calendar time at the last of the wanted events, as a trial driven by its number of
    events does. Such a stopping time leaves the Cox model's inference valid, which fixing the number of events by
    choosing among patients would not.

    Args:
        known: variables (levels as text) and latents, a row per patient.
        settings: one block of `survival` in simulation.yaml.
        effect: multiplies every log hazard ratio.
        rng: the source of all draws; what is drawn does not depend on `effect`.

    Returns:
        status and time by their names in the settings, with `overall` also those of death; the truth (linear_predictor,
        entry, time to the event whether seen or not); the model as a JSON-ready document.

    Raises:
        InputError: unknown names, or a number of events that the cohort cannot reach.
    """
    patients = len(known)
    entry = rng.uniform(0.0, settings.get("accrual", 0.0), patients)
    draws = dict(zip(("event", "competing", "loss"), rng.exponential(size=(3, patients)), strict=True))
    others = _other_ends(known, settings, effect)
    predictor, coefficients = linear_predictor(known, settings["hazard_ratios"], _origin(settings), effect)
    start = _start(known, settings)
    baseline = _baseline(np.exp(predictor), settings, entry + start, others)

    times = {"event": baseline.inverse(draws["event"] / np.exp(predictor))}
    times |= {name: other.inverse(draws[name] / ratio) for name, (other, ratio) in others.items()}
    times = pd.DataFrame({name: start + time for name, time in times.items()}, index=known.index)
    table, stop = _stop_at(settings, entry, times)
    if "overall" in settings:
        times["death"] = _deaths(settings["overall"], times, rng)
        table = table.join(_overall(settings, table, times, stop - entry))
    truth = pd.DataFrame({"linear_predictor": predictor, "entry": entry}, index=known.index)
    truth = truth.join(times.add_suffix("_time"))
    model = {
        "variable": settings["variable"],
        "event": settings["event"],
        "time": settings["time"],
        "events": settings["events"],
        "coefficients": coefficients,
        "baseline": {"at": _origin(settings), "times": baseline.times.tolist(), "hazards": baseline.hazards.tolist()},
        "stop": stop,
        "rule": "the study stops in calendar time at the last of its events; the last hazard goes on after its time",
    }
    return table, truth, model


def linear_predictor(
    known: pd.DataFrame, ratios: Mapping[str, Any], origin: Mapping[str, float], effect: float
) -> tuple[np.ndarray, dict[str, float]]:
    """Log hazard ratio of each patient against the baseline, and the coefficients by column.

    Args:
        known: variables and latents, a row per patient.
        ratios: a number per unit (continuous) or standard deviation (latent), or {level: ratio} (categorical), where
            one level has the ratio 1.
        origin: the value of continuous variables at which the baseline holds; 0 for those not named.
        effect: multiplies every log ratio.

    Returns:
        shape (patients,); coefficients `size`, or `treatment=neither` for a level.

    Raises:
        InputError: a name that was not drawn, or ratios that do not fit its levels.
    """
    total, coefficients = np.zeros(len(known)), {}
    for name, ratio in ratios.items():
        if name not in known:
            raise InputError(
                f"The simulation's hazard_ratios name {name}, which is neither a simulated variable nor a latent."
            )
        levels = isinstance(ratio, Mapping)
        if levels == pd.api.types.is_numeric_dtype(known[name]):
            wanted = "one number" if levels else "a ratio for each level"
            raise InputError(f"The simulation's hazard_ratios need {wanted} for {name}.")
        if not levels:
            coefficients[name] = effect * float(np.log(ratio))
            total += coefficients[name] * (known[name].to_numpy(float) - origin.get(name, 0.0))
            continue
        if set(known[name]) - set(ratio) or 1 not in ratio.values():
            raise InputError(
                f"The simulation's hazard_ratios of {name} need every level that occurs, one of them (the reference) "
                "as 1."
            )
        reference = next(level for level, value in ratio.items() if value == 1)
        effects = {level: effect * float(np.log(value)) for level, value in ratio.items()}
        coefficients |= {f"{name}={level}": value for level, value in effects.items() if level != reference}
        total += known[name].map(effects).to_numpy(float)
    return total, coefficients


def _start(known: pd.DataFrame, settings: Mapping[str, Any]) -> np.ndarray:
    """When each patient's hazard begins, since entry: at once, or at the time that `after` names."""
    if "after" not in settings:
        return np.zeros(len(known))
    if settings["after"] not in known:
        raise InputError(f"The simulation's survival comes after {settings['after']}, which is no time of its outcome.")
    return known[settings["after"]].to_numpy(float)


def _origin(settings: Mapping[str, Any]) -> dict[str, float]:
    return dict(settings.get("baseline", {}).get("at", {}))


def _other_ends(
    known: pd.DataFrame, settings: Mapping[str, Any], effect: float
) -> dict[str, tuple[Baseline, np.ndarray]]:
    """What may end a patient's time before the event, by name: its baseline and each patient's hazard ratio."""
    others = {}
    if "competing" in settings:
        competing = settings["competing"]
        predictor, _ = linear_predictor(known, competing.get("hazard_ratios", {}), _origin(competing), effect)
        baseline = competing["baseline"]
        others["competing"] = (Baseline.through(baseline["times"], baseline["survival"]), np.exp(predictor))
    if "loss" in settings:
        others["loss"] = (Baseline.constant(settings["loss"]), np.ones(len(known)))
    return others


def _baseline(
    ratio: np.ndarray, settings: Mapping[str, Any], entry: np.ndarray, others: dict[str, tuple[Baseline, np.ndarray]]
) -> Baseline:
    """The baseline as stated, or the constant hazard that lets the wanted number of events be expected.

    In the latter case the study is thought to close when the median time since entry is the wanted median follow-up.
    """
    if "baseline" in settings:
        return Baseline.through(settings["baseline"]["times"], settings["baseline"]["survival"])
    follow_up = np.maximum(settings["median_follow_up"] + settings.get("accrual", 0.0) / 2 - entry, 0.0)
    time = np.linspace(0.0, 1.0, STEPS + 1)[:, None] * follow_up
    middle = (time[1:] + time[:-1]) / 2
    other_hazard = sum((other.cumulative(middle) * factor for other, factor in others.values()), np.zeros_like(middle))

    def expected(log_hazard: float) -> float:
        without = np.exp(-np.exp(log_hazard) * ratio * time)
        return float(((without[:-1] - without[1:]) * np.exp(-other_hazard)).sum())

    # From nobody to everybody who is followed up at all.
    reach = (ratio * follow_up)[follow_up > 0]
    low, high = np.log(1e-9 / reach.max()), np.log(50.0 / reach.min())
    if expected(high) <= settings["events"]:
        raise InputError(
            f"The simulation wants {settings['events']} events in {len(ratio)} patients, more than can be expected "
            f"with a median follow-up of {settings['median_follow_up']}: lower one or raise the other."
        )
    return Baseline.constant(float(np.exp(brentq(lambda value: expected(value) - settings["events"], low, high))))


def _stop_at(settings: Mapping[str, Any], entry: np.ndarray, times: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Status and time as seen by the day of the last wanted event; that day."""
    first = times.idxmin(axis=1).to_numpy()
    last_seen = times.min(axis=1).to_numpy()
    days = np.sort((entry + last_seen)[first == "event"])
    wanted = settings["events"]
    if wanted > len(days):
        raise InputError(f"The simulation wants {wanted} events and only {len(days)} patients have one: lower it.")
    stop = float(days[wanted - 1])
    if entry.max() >= stop:
        raise InputError(
            "The simulation's events have all happened before the last patient came in: shorten the accrual."
        )
    seen = entry + last_seen <= stop
    levels = {"event": settings["event"], "loss": settings["other"]}
    levels |= {"competing": settings["competing"]["event"]} if "competing" in settings else {}
    status = np.where(seen, pd.Series(first).map(levels), settings["other"])
    # Rounded up, since nobody's time is 0.
    scale = 10 ** settings["decimals"]
    time = np.ceil(np.where(seen, last_seen, stop - entry) * scale) / scale
    return pd.DataFrame({settings["variable"]: status, settings["time"]: time}, index=times.index), stop


def _deaths(overall: Mapping[str, Any], times: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """When each patient dies: as the competing event has it, or, where the event comes first, some time after that."""
    after = Baseline.through(overall["after"]["times"], overall["after"]["survival"])
    later = times["event"] + after.inverse(rng.exponential(size=len(times)))
    return np.where(times["event"] < times["competing"], later, times["competing"])


def _overall(
    settings: Mapping[str, Any], table: pd.DataFrame, times: pd.DataFrame, follow_up: np.ndarray
) -> pd.DataFrame:
    """Whether and when each patient died as far as the study saw it, and whether the event was seen before."""
    overall = settings["overall"]
    end = np.minimum(follow_up, times["loss"]) if "loss" in times else follow_up
    scale = 10 ** settings["decimals"]
    columns = {
        overall["seen"]: np.where(table[settings["variable"]] == settings["event"], "yes", "no"),
        overall["variable"]: np.where(times["death"] <= end, overall["event"], overall["other"]),
        overall["time"]: np.ceil(np.minimum(times["death"], end) * scale) / scale,
    }
    return pd.DataFrame(columns, index=table.index)
