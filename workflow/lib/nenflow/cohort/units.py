"""The variables of each unit of analysis, as tables show them and as models take them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nenflow.tables import UNIT, read_table


def text_columns(variables: Mapping[str, Any]) -> list[str]:
    """Name the variables that stay text when a clean table is read back (level "1" is not the number 1)."""
    return [name for name, variable in variables.items() if variable["type"] == "categorical"]


def read_units(
    patients: str | Path, lesions: str | Path, variables: Mapping[str, Any], measures: str | Path | None = None
) -> pd.DataFrame:
    """All units of a checked cohort with their variables, from its clean tables; see `units_table`.

    `measures` is the table of the variables that are measured in the images, where a study has such.
    """
    text = text_columns(variables)
    of_patients = read_table(patients, text=text)
    if measures:
        of_patients = of_patients.merge(read_table(measures), on="patient", how="left", validate="1:1")
    return units_table(of_patients, read_table(lesions, text=text))


def units_table(patients: pd.DataFrame, lesions: pd.DataFrame, units: pd.MultiIndex | None = None) -> pd.DataFrame:
    """Collect all declared variables of each unit; a patient's variables repeat for each of its lesions.

    Args:
        patients: clean table, `patient` and variables.
        lesions: clean table, `patient`, `region` and (where there are any) variables.
        units: the wanted (patient, region), in the wanted order; may repeat; all lesions when left out.

    Returns:
        index (patient, region), columns the variables of patients, then of lesions.

    Raises:
        KeyError: a unit is in neither table.
    """
    units = pd.MultiIndex.from_frame(lesions[UNIT]) if units is None else units
    of_patient = patients.set_index("patient").loc[units.get_level_values("patient")]
    of_lesion = lesions.set_index(UNIT).loc[list(units)]
    return pd.concat([of_patient.set_axis(units), of_lesion.set_axis(units)], axis=1)


def coded(units: pd.DataFrame, variables: Mapping[str, Any], columns: Sequence[str]) -> pd.DataFrame:
    """Turn variables into numbers for a model: continuous as is, categorical 1, 2, 3 ... in the declared order.

    A missing value stays missing (NaN).
    """
    table = pd.DataFrame(index=units.index)
    for name in columns:
        if variables[name]["type"] == "categorical":
            codes = {level: float(code) for code, level in enumerate(variables[name]["levels"], start=1)}
            table[name] = units[name].map(codes).astype(float)
        else:
            table[name] = units[name].astype(float)
    return table


def outcome(units: pd.DataFrame, endpoint: Mapping[str, Any]) -> pd.DataFrame:
    """Say for each unit whether the endpoint's event happened, and when; NaN where it is not known.

    Returns:
        column `outcome` (1, 0) of an endpoint without time; columns `time` and `event` (1; 0 when followed up without
        it; 2 after the competing event) of a time-to-event endpoint.
    """
    values = units[endpoint["variable"]]
    event = (values == endpoint["event"]).astype(float).where(values.notna())
    if "time" not in endpoint:
        return pd.DataFrame({"outcome": event})
    if "competing" in endpoint:
        event = event.mask(values == endpoint["competing"], 2.0)
    return pd.DataFrame({"time": units[endpoint["time"]].astype(float), "event": event})


def followed_up(units: pd.DataFrame, endpoint: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients whose time-to-event outcome is known, a row each, and that outcome (columns time, event).

    Patients without outcome or time, or with a time of 0, are left out of both.
    """
    patients = units.groupby(level="patient", sort=False).first()
    y = outcome(patients, endpoint)
    known = y.notna().all(axis=1) & (y["time"] > 0)
    return patients[known], y[known].astype({"event": int})


def labelled(values: pd.Series, variable: Mapping[str, Any]) -> pd.Series:
    """A categorical variable whose levels keep their declared order."""
    return values.astype(pd.CategoricalDtype(variable["levels"], ordered=True))
