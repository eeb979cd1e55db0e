"""Times of an outcome that is a time cut in two, as progression before or after eleven months."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError


def outcome_times(settings: Mapping[str, Any], propensity: pd.Series) -> pd.Series:
    """Times that agree with an outcome's two groups and have each group's quantiles.

    Those with the event are the ones with the highest propensity, and the higher it is the earlier their time, so that
    what decides the group decides the time within it too. Each group's quantile function is log-linear between the
    stated quantiles, as that of `draws.draw_continuous`.

    Args:
        settings: the block `outcome` of simulation.yaml with its block `time`.
        propensity: log odds plus logistic noise, by patient.

    Returns:
        time per patient, whether it is seen or not.

    Raises:
        InputError: quantiles that do not rise from 0, or groups whose times overlap.
    """
    time, events = settings["time"], settings["events"]
    soon, late = (time["quantiles"][settings[level]] for level in ("event", "other"))
    knots = [0, *soon, *late]
    if np.any(np.diff(knots) <= 0):
        raise InputError(
            "The simulation's outcome.time needs quantiles over 0 in rising order, those of "
            f"{settings['event']} first: it has {soon} and {late}."
        )
    order = np.argsort(-propensity.to_numpy(), kind="stable")
    values = np.empty(len(order))
    for part, quantiles in ((order[:events], soon), (order[events:], late)):
        position = (np.arange(len(part)) + 0.5) / len(part)
        values[part] = np.exp(np.interp(position, [0, 0.25, 0.5, 0.75, 1], np.log(quantiles)))
    return pd.Series(np.round(values, time["decimals"]), index=propensity.index, name=time["variable"])


def seen_times(settings: Mapping[str, Any], times: pd.Series, follow_up: pd.Series) -> pd.DataFrame:
    """Status and time as seen: a time after a patient's last contact is not known.

    Args:
        settings: the block `outcome` of simulation.yaml with its block `time`.
        times: as `outcome_times` gives them.
        follow_up: by patient how long they were followed up.

    Returns:
        columns status and time by their names in the settings.

    Raises:
        InputError: somebody's follow-up ends before the group is known.
    """
    time = settings["time"]
    split = time["quantiles"][settings["event"]][-1]  # no event of the earlier group is later
    if (follow_up < times.clip(upper=split)).any():
        raise InputError(
            f"The simulation's follow-up ends before it is known who has {settings['event']}: wait for more events or "
            "shorten the accrual."
        )
    status = np.where(times <= follow_up, time["event"], time["other"])
    return pd.DataFrame({time["status"]: status, time["variable"]: times.clip(upper=follow_up)}, index=times.index)
