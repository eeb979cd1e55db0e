"""Terms: variables that a model takes in as several columns, named as R's rms names them.

A factor `race` with the levels white, black, other becomes `race=black` and `race=other`; the first level is the
reference. A restricted cubic spline of `age` becomes `age`, `age'`, `age''`. Selections and tests treat the columns of
a term as a whole.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from nenflow.errors import InputError

FEWEST_KNOTS, MOST_KNOTS = 3, 7
OUTER = {3: 0.10, 4: 0.05, 5: 0.05, 6: 0.05, 7: 0.025}  # quantile of the first knot; the last is as far from the top
SMALL = 100  # with fewer lesions the outer knots are the 5th lowest and highest value,
FIFTH = 4  # counted from 0


def term_of(column: str) -> str:
    """The variable that a column belongs to: race of `race=black`, age of `age''`."""
    return column.split("=", 1)[0].rstrip("'")


def terms_of(columns: Iterable[str]) -> dict[str, list[str]]:
    """The columns of each term, in order of appearance."""
    terms: dict[str, list[str]] = {}
    for column in columns:
        terms.setdefault(term_of(column), []).append(column)
    return terms


def spline_knots(x: np.ndarray, count: int) -> np.ndarray:
    """Knots of a restricted cubic spline at fixed quantiles (Harrell, Regression Modeling Strategies, 2nd ed., 2.4.6).

    As the manual of R's Hmisc::rcspline.eval states: equally spaced on the scale of quantiles from .10 to .90 (3
    knots), .05 to .95 (4 to 6) or .025 to .975 (7); with fewer than 100 values the outer knots are the fifth lowest and
    the fifth highest value instead.

    Args:
        x: values of the variable, shape (n,); missing ones are left out.
        count: number of knots, 3 to 7.

    Raises:
        InputError: the count is another, or the variable has too few different values for so many knots.
    """
    if count not in OUTER:
        raise InputError(f"A spline needs {FEWEST_KNOTS} to {MOST_KNOTS} knots, not {count}.")
    x = np.sort(np.asarray(x, dtype=float))
    x = x[np.isfinite(x)]
    if len(x) > 2 * FIFTH:
        outer = OUTER[count]
        knots = np.quantile(x, np.linspace(outer, 1 - outer, count))
        if len(x) < SMALL:
            knots[[0, -1]] = x[FIFTH], x[-1 - FIFTH]
        if (np.diff(knots) > 0).all():
            return knots
    raise InputError(f"The variable has too few different values for a spline with {count} knots; use fewer or none.")


def spline_columns(x: np.ndarray, knots: Sequence[float]) -> np.ndarray:
    """Columns of a restricted cubic spline: x itself, then the parts that bend, shape (n, knots - 1).

    Truncated cubes that are straight beyond the outer knots (Stone & Koo 1985; Devlin & Weeks 1986), divided by the
    squared distance of the outer knots so that coefficients are of one size, as rms does (norm = 2). Missing values
    stay missing.
    """
    x, t = np.asarray(x, dtype=float), np.asarray(knots, dtype=float)

    def cube(knot: float) -> np.ndarray:
        return np.maximum(x - knot, 0) ** 3 + 0 * x  # the last part keeps what is missing

    columns = [x]
    last, before = t[-1], t[-2]
    for knot in t[:-2]:
        bend = cube(knot) - (cube(before) * (last - knot) - cube(last) * (before - knot)) / (last - before)
        columns.append(bend / (last - t[0]) ** 2)
    return np.column_stack(columns)


def factor_columns(x: np.ndarray, levels: Sequence[str]) -> np.ndarray:
    """1 where the lesion has the level, for every level but the first, shape (n, levels - 1).

    Args:
        x: levels coded 1, 2, 3 ... in the order of `levels`; missing values stay missing in all columns.
        levels: their labels.

    Raises:
        InputError: a value is none of these codes.
    """
    x = np.asarray(x, dtype=float)
    known = np.isnan(x) | np.isin(x, np.arange(1, len(levels) + 1))
    if not known.all():
        raise InputError(
            f"A factor with {len(levels)} levels is coded 1 to {len(levels)}; there is a value {x[~known][0]:g}."
        )
    columns = (x[:, None] == np.arange(2, len(levels) + 1)).astype(float)
    columns[np.isnan(x)] = np.nan
    return columns
