"""Tables as people save them from a spreadsheet: text with the row numbers that Excel shows.

Without pandas, since the Snakefile lists its patients with it each time that it is parsed.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from nenflow.errors import InputError
from nenflow.records import CASE

FREE = ["image", "series", "segmentation", "segment"]  # columns where "NA" is a name like any other
SEPARATORS = ",;\t"
IDENTIFIER = re.compile(r"[A-Za-z0-9-]{1,64}")
# Names of devices in Windows, with any ending; compare them with a name in small letters.
NO_FILE_NAMES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))]
)


@dataclass(frozen=True)
class Rows:
    """A table as text: its file's name, its columns, and its cells by row number (the header is row 1)."""

    name: str
    columns: list[str]
    cells: dict[int, dict[str, str]]
    decimal_comma: bool  # only where the comma does not already separate cells


def is_identifier(text: str | None) -> bool:
    """Whether a text can be a part of the name of a file, on every system."""
    return bool(text) and bool(IDENTIFIER.fullmatch(text)) and text.casefold() not in NO_FILE_NAMES


def read_rows(path: Path, problems: list[str]) -> Rows | None:
    """Read a CSV file separated by commas, semicolons or tabs (the header row decides), in UTF-8.

    Blanks around a cell and rows without any entry are left out. Problems of the file are appended to `problems`,
    one sentence each; None when it cannot be read at all.
    """
    text = _read_text(path, problems)
    if text is None:
        return None
    first = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=first.count)
    try:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        problems.append(f"{path.name}: a quotation mark opens or closes at the wrong place ({error})")
        return None
    header = [cell.strip() for cell in records[0]] if records else []
    while header and not header[-1]:  # spreadsheets pad every row to the widest
        header.pop()
    if not _check_header(header, path.name, problems):
        return None
    cells = {}
    for number, record in enumerate(records[1:], start=2):
        entries = [cell.strip() for cell in record]
        if not any(entries):
            continue
        if len(entries) < len(header) or any(entries[len(header) :]):
            problems.append(f"{path.name}, row {number}: has {len(entries)} cells where the header has {len(header)}")
            entries += [""] * (len(header) - len(entries))
        cells[number] = dict(zip(header, entries, strict=False))
    if not cells:
        problems.append(f"{path.name}: has a header but no rows")
        return None
    return Rows(path.name, header, cells, separator != ",")


def read_cases(path: Path) -> dict[str, list[dict[str, str]]]:
    """Read a table of cases that has passed its checks, as they clean it: rows by patient, all text, "" where blank.

    Raises:
        InputError: the file cannot be read as a table.
    """
    problems: list[str] = []
    rows = read_rows(path, problems)
    if rows is None or problems:
        raise InputError(problems[0])
    patients: dict[str, list[dict[str, str]]] = {}
    for cells in rows.cells.values():
        row = {column: cells.get(column, "") for column in (*CASE, *FREE)}
        row["patient"] = patient_identifier(row["patient"])
        patients.setdefault(row["patient"], []).append(row)
    return dict(sorted(patients.items()))


def patient_identifier(text: str) -> str:
    """Write a patient's identifier as nenflow's files name it: "_" and "." become "-".

    Collections call patients STS_002 or ID.17, while here "_" separates the parts of a file name. A blank is not
    replaced: an identifier with blanks is likely a name, and is refused.
    """
    return text.replace("_", "-").replace(".", "-")


def _read_text(path: Path, problems: list[str]) -> str | None:
    if not path.is_file():
        problems.append(f"{path.name}: there is no such file")
        return None
    content = path.read_bytes()
    if content.startswith(b"PK"):
        problems.append(f"{path.name}: is an Excel workbook; save it as 'CSV UTF-8'")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems.append(f"{path.name}: is not UTF-8; in Excel save it as 'CSV UTF-8'")
        return None


def _check_header(header: list[str], name: str, problems: list[str]) -> bool:
    faults = sorted({f"the column '{column}' stands twice" for column in header if column and header.count(column) > 1})
    if not header:
        faults.append("must hold the column names, but it is empty")
    elif "" in header:
        faults.append("a column has no name")
    problems.extend(f"{name}, row 1: {fault}" for fault in faults)
    return not faults
