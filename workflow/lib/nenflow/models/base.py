"""What models share: names of columns, and how the columns of a table are read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError

SIGNATURE = "Radscore"
SURVIVAL = "survival_"  # what a Cox model's predicted survival is called in tables, before the time


def values_of(X: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Columns as numbers, always in one layout, so that a table read back from a file gives the same last digit.

    Raises:
        InputError: a column is not there, or a value is missing.
    """
    places = places_of(X, names)
    table = X.to_numpy()
    # Beside each other, as features are in most tables, columns are copied row by row.
    chosen = table[:, places[0] : places[-1] + 1] if isinstance(places, range) else table.take(places, axis=1)
    values = np.array(chosen, dtype=float, order="C")
    if not np.isfinite(values).all():
        broken = [name for name, column in zip(names, values.T, strict=True) if not np.isfinite(column).all()]
        raise InputError(
            f"{len(broken)} variable(s), the first being {broken[0]}, have missing values; the model needs all."
        )
    return values


def present(X: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The names, when the table has all these columns.

    Raises:
        InputError: a column is not there.
    """
    places_of(X, names)
    return list(names)


def places_of(X: pd.DataFrame, names: Sequence[str]) -> Sequence[int]:
    """Where the columns stand; pandas takes half a millisecond to choose a few by name, and every refit does so often.

    A range where they are the table's first columns.

    Raises:
        InputError: a column is not there.
    """
    columns = X.columns.tolist()
    if names and list(names) == columns[: len(names)]:
        return range(len(names))
    place = {name: j for j, name in enumerate(columns)}
    missing = [name for name in names if name not in place]
    if missing:
        raise InputError(f"The table lacks {len(missing)} variable(s) the model needs, the first being {missing[0]}.")
    return [place[name] for name in names]


def chosen_of(X: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Some columns of a table, each with its kind of numbers.

    Raises:
        InputError: a column is not there.
    """
    places = places_of(X, names)
    if set(X.dtypes) != {np.dtype(float)}:
        return X.iloc[:, places]
    return pd.DataFrame(X.to_numpy().take(places, axis=1), index=X.index, columns=X.columns[list(places)])


def units_of(index: pd.Index) -> int:
    """How many different units rows have; as pandas' nunique, which takes milliseconds to compare pairs of names."""
    if not isinstance(index, pd.MultiIndex):
        return index.nunique()
    return len(set(zip(*(codes.tolist() for codes in index.codes), strict=True)))


def is_survival(y: pd.Series | pd.DataFrame | np.ndarray) -> bool:
    """Whether an outcome is a table of time and event, and not 0 or 1 for each lesion."""
    return np.ndim(y) == 2


def survival_column(time: float) -> str:
    """Name of the column of survival probabilities at a time: survival_365, survival_2.5."""
    return f"{SURVIVAL}{time:g}"


def survival_columns(table: pd.DataFrame) -> dict[float, str]:
    """The columns of survival probabilities that a table has, by their time."""
    return {float(name.removeprefix(SURVIVAL)): name for name in table.columns if name.startswith(SURVIVAL)}


def outcome_strata(y: pd.DataFrame) -> np.ndarray | None:
    """The stratum of each unit of a time-to-event outcome, as text; None where all are of one."""
    return y["stratum"].astype(str).to_numpy() if "stratum" in y else None


def linear_predictor(document: dict[str, Any], X: pd.DataFrame) -> np.ndarray:
    """Intercept plus weighted sum, added up in the document's order: a row's value depends on no other row.

    A Cox model has no intercept.
    """
    total = np.full(len(X), float(document.get("intercept") or 0.0))
    values = values_of(X, list(document["coefficients"]))
    for column, coefficient in zip(values.T, document["coefficients"].values(), strict=True):
        total += coefficient * column
    return total
