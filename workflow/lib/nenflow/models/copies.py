"""Rows of a table that are copies of one another, as a resample has them: what they tell need be worked out once."""

import numpy as np

_FIRST_LOOK = 8  # columns that tell rows apart, as a rule


def without_copies(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that are no copies of one before them, and which of these each row is.

    Args:
        table: shape (n, k).

    Returns:
        Positions of the first of all rows that are alike, to the last bit, in rising order; and for each row the place
        in these of the one that it is a copy of, shape (n,).
    """
    for columns in (table[:, :_FIRST_LOOK], table):  # to read all of a wide table takes longer than to compare it
        place: dict[bytes, int] = {}
        copy_of = np.array([place.setdefault(row.tobytes(), len(place)) for row in columns], dtype=int)
        first = np.unique(copy_of, return_index=True)[1]
        if np.array_equal(table[first[copy_of]], table):
            break
    return first, copy_of
