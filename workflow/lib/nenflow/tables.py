from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from nenflow.files import whole_file
from nenflow.records import CASE

UNIT = ["patient", "region"]  # what one row of an analysis is: a lesion (or organ) of a patient
WHOLE = "patient"  # the region of a unit that is a whole patient
ALL = "all"  # in tables of survival, the group of everybody
LARGEST = "largest of all"  # in tables of single features, stands for a marker: the best of a cohort's
FOLDS = "folds"  # in tables of a cross-validation, the scheme of random folds; others have the name of a variable
# In the table of all schemes: the units a model was made from, the bootstraps of the finished model and of refits, and
# another cohort.
APPARENT, FINISHED, OPTIMISM, PLUS632, EXTERNAL = "apparent", "finished", "optimism", "632plus", "external"
TEMPORAL = "temporal"  # likewise, of the split of early and later patients


def read_table(
    path: str | Path | StringIO, index: list[str] | None = None, text: list[str] | None = None
) -> pd.DataFrame:
    """Read a CSV file exactly as `write_table` wrote it.

    Identifiers (patient, phase, region, rater, and the columns named in `text`) stay text, so that "007" and "1e5"
    survive; numbers come back to the last bit.

    Args:
        path: a CSV file (or its text) in UTF-8, with or without a byte order mark (Excel writes one).
        index: columns that become the index.
        text: further columns to be kept as text.
    """
    table = pd.read_csv(path, dtype=dict.fromkeys([*CASE, *(text or [])], str), encoding="utf-8-sig")
    return table.set_index(index) if index else table


def read_tables(paths: Sequence[str | Path], text: list[str] | None = None) -> pd.DataFrame:
    """Read several CSV files below each other; see `read_table`.

    Files with the same columns are parsed as one: pandas takes longer over a header of a thousand columns than over
    the patient below it.
    """
    rows: dict[str, list[str]] = {}
    for path in paths:
        header, _, body = Path(path).read_text(encoding="utf-8").partition("\n")
        rows.setdefault(header, []).append(body)
    filled = {header: "".join(bodies) for header, bodies in rows.items() if any(bodies)} or {next(iter(rows)): ""}
    parts = [read_table(StringIO(f"{header}\n{body}"), text=text) for header, body in filled.items()]
    return pd.concat(parts, ignore_index=True)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a CSV file: index (when it is named) first, shortest digits that read back to the same number."""
    named = table.index.names != [None]
    with whole_file(path) as part:
        table.to_csv(part, index=named, lineterminator="\n", encoding="utf-8")
