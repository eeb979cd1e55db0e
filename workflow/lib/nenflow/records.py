"""Small tables as rows of Python values, for jobs that would spend more time on loading pandas than on their work."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nenflow.files import whole_file

CASE = ["patient", "phase", "region", "rater"]  # what names a segmentation


def read_records(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV file as `nenflow.tables.write_table` wrote it; every value stays text, a missing one is empty."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write_records(rows: Sequence[dict[str, Any]], path: str | Path, columns: Sequence[str]) -> None:
    """Write a CSV file, the same bytes as `nenflow.tables.write_table` writes of these rows.

    Args:
        rows: values by column: text, or floats; NaN is a missing one.
        path: the file.
        columns: the first columns, in order, also where no row has them; others follow as the rows bring them.
    """
    found = list(dict.fromkeys([*columns, *(column for row in rows for column in row)]))
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(found)
        writer.writerows([_entry(row.get(column, "")) for column in found] for row in rows)


def _entry(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
