import errno
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import duckdb
import pandas as pd

from nenflow.errors import InputError
from nenflow.files import whole_file
from nenflow.records import CASE

PARQUET = ".parquet"
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
    """Read a CSV or Parquet file exactly as `write_table` wrote it.

    Identifiers (patient, phase, region, rater, and the columns named in `text`) stay text, so that "007" and "1e5"
    survive; numbers come back to the last bit.

    Args:
        path: a Parquet file by its ending, or a CSV file (or its text) in UTF-8, with or without a byte order mark
            (Excel writes one).
        index: columns that become the index.
        text: further columns of a CSV file to be kept as text; a Parquet file says which are.

    Raises:
        InputError: a Parquet file is damaged.
    """
    if str(path).endswith(PARQUET):
        table = _read_parquet(path)
    else:
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
    """Write a CSV file, or a Parquet file where `path` ends so: index (when it is named) first.

    Numbers in a CSV file have the shortest digits that read back to the same number.
    """
    named = table.index.names != [None]
    with whole_file(path) as part:
        if str(path).endswith(PARQUET):
            _write_parquet(table.reset_index() if named else table, part)
        else:
            table.to_csv(part, index=named, lineterminator="\n", encoding="utf-8")


# One thread of DuckDB: the same table is the same bytes.


def _read_parquet(path: str | Path) -> pd.DataFrame:
    try:
        with duckdb.connect(config={"threads": 1}) as database:
            return database.read_parquet(str(path)).df()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise InputError(f"The table {path} is damaged or gone: delete it and run the same command again.") from error


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    with duckdb.connect(config={"threads": 1}) as database:
        rows = database.from_df(table.astype({name: str for name in CASE if name in table}))
        try:
            rows.write_parquet(str(path))
        except duckdb.IOException as error:  # which has the system's answer in its text only
            for number in (errno.ENOSPC, errno.EDQUOT):
                if os.strerror(number) in str(error):
                    raise OSError(number, os.strerror(number)) from error
            raise
