"""Feature tables that other software made: recognised by their header, checked, and brought into nenflow's form.

Two layouts: a row per case, as pyradiomics' command line and nenflow itself write it, and a row per feature with a
column per segmentation, as SlicerRadiomics writes it (SlicerRadiomics.py, `_processResults`). Paths and settings in
them may name people: nothing but identifiers, features and versions of software leaves them, and no message repeats an
entry.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nenflow.cohort.rows import Rows, is_identifier, patient_identifier, read_rows
from nenflow.cohort.templates import placeholders, plain_identifier, readings
from nenflow.study import READ_AS_MISSING
from nenflow.tables import CASE, WHOLE

FEATURE = re.compile(r"[A-Za-z0-9.-]+_(firstorder|shape|shape2D|glcm|gldm|glrlm|glszm|ngtdm)_[A-Za-z0-9]+")
LONG = ["Image type", "Feature Class", "Feature Name"]  # how SlicerRadiomics begins its header
SEGMENTS = "*_segment_{region}"  # and how it calls a column: segmentation, "_segment_", name of the segment
VERSIONS = "diagnostics_Versions_"
VERSION = re.compile(r"[A-Za-z0-9.+-]{1,40}")
NO_VALUES = "the feature table has no values for it"  # as pyradiomics leaves a case that it could not measure


@dataclass(frozen=True)
class Measured:
    """The content of an extraction's tables.

    `cases` has the columns patient, phase, region, rater; its index says where each stands ("features.csv, row 5").
    `features` has these columns and a column per feature, `failures` these and `reason`, for cases without any value;
    `software` says which software (columns software, version, cases) made them. `notes` are sentences for the report.
    """

    cases: pd.DataFrame
    features: pd.DataFrame
    failures: pd.DataFrame
    software: pd.DataFrame
    notes: list[str]


@dataclass(frozen=True)
class _Record:
    """One case as a table has it: where, who (as it is spelt), texts by the features' names, versions by software."""

    place: str
    said: dict[str, str]
    values: dict[str, str]
    versions: dict[str, str]


def read_feature_tables(
    files: Sequence[str | Path],
    template: str,
    settings: Mapping[str, Any],
    study: Mapping[str, Any],
    problems: list[str],
) -> Measured | None:
    """Read the tables of one extraction; what is wrong is appended to `problems`, and then there is no result.

    Args:
        files: the tables.
        template: the path that they fit; its placeholders say who a file is of ("slicer/{patient}.csv").
        settings: the extraction's: columns, segments and fixed say where else that stands.
        study: the study's settings; of them unit and stability.
        problems: sentences, each with the place (row or column), never with what stands there.
    """
    before, name, left = len(problems), Path(template).name, Counter()
    records: list[_Record] = []
    for path in map(Path, files):
        fitting = readings(template, path.as_posix())
        rows = read_rows(path, problems)
        if len(fitting) > 1:
            problems.append(f"{path.name}: its name can be read in {len(fitting)} ways as {name}; rename the file")
        elif rows and set(LONG) <= set(rows.columns):
            records += _by_feature(rows, settings, _known(settings, fitting), problems, left)
        elif rows:
            records += _by_case(rows, settings, _known(settings, fitting), study, problems, left)
    problems.extend(_compare_features(records))
    cases = _identify(records, study, problems)
    values = _values(records, problems)
    if len(problems) > before:
        return None
    keys = cases.reset_index(drop=True)
    lost = values.isna().all(axis=1)
    return Measured(
        cases=cases,
        features=pd.concat([keys, values], axis=1)[~lost].reset_index(drop=True),
        failures=keys[lost].assign(reason=NO_VALUES).reset_index(drop=True),
        software=_software(records),
        notes=list(_notes(name, left, records, cases)),
    )


def _known(settings: Mapping[str, Any], fitting: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is known of all cases of a file: from study.yaml, and from the file's name."""
    return {**settings.get("fixed", {}), **(fitting[0] if fitting else {})}


# --- layouts ----------------------------------------------------------------------------------------------------


def _by_case(
    rows: Rows,
    settings: Mapping[str, Any],
    known: Mapping[str, str],
    study: Mapping[str, Any],
    problems: list[str],
    left: Counter,
) -> Iterator[_Record]:
    """A row per case: pyradiomics' command line, or nenflow."""
    features = [column for column in rows.columns if FEATURE.fullmatch(column)]
    asked = settings.get("columns", {})
    columns = {part: asked.get(part, part) for part in CASE if part in asked or part in rows.columns}
    absent = [column for column in columns.values() if column not in rows.columns]
    faults = [f"study.yaml calls a column '{column}', but there is none" for column in absent]
    if not features:
        faults.append("no column is named as pyradiomics names features, such as original_firstorder_Mean")
    for part in CASE:
        if part in columns and part in known:
            faults.append(
                f"the column '{columns[part]}' says the {part}, but study.yaml or the file's name says it too"
            )
        elif part not in columns and part not in known and not _is_default(part, study):
            faults.append(f"nothing says the {part}; name its column under columns, or give it under fixed")
    problems.extend(f"{rows.name}: {fault}" for fault in faults)
    if faults:
        return
    used = {*features, *columns.values()}
    left.update(column for column in rows.columns if column not in used and not column.startswith("diagnostics_"))
    versions = [column for column in rows.columns if column.startswith(VERSIONS)]
    for number, row in rows.cells.items():
        yield _Record(
            place=f"{rows.name}, row {number}",
            said={**known, **{part: row[column] for part, column in columns.items()}},
            values={feature: row[feature] for feature in features},
            versions={column.removeprefix(VERSIONS): row[column] for column in versions},
        )


def _by_feature(
    rows: Rows, settings: Mapping[str, Any], known: Mapping[str, str], problems: list[str], left: Counter
) -> Iterator[_Record]:
    """A row per feature and a column per segmentation: SlicerRadiomics."""
    template = settings.get("segments", SEGMENTS)
    twice = sorted(set(placeholders(template)) & set(known))
    if twice:
        problems.append(
            f"{rows.name}: its columns' names say the {twice[0]}, but study.yaml or the file's name does too"
        )
        return
    names = {number: "_".join(row[column] for column in LONG) for number, row in rows.cells.items()}
    features = {number: name for number, name in names.items() if FEATURE.fullmatch(name)}
    versions = {number: name for number, name in names.items() if name.startswith(VERSIONS)}
    counts = Counter(features.values())
    problems.extend(f"{rows.name}: the feature {name} has {n} rows" for name, n in counts.items() if n > 1)
    if not features:
        problems.append(f"{rows.name}: no row is a feature as pyradiomics names them, such as original_firstorder_Mean")
    found = 0
    for position, column in enumerate(rows.columns, start=1):
        fitting = readings(template, column) if column not in LONG else []
        if len(fitting) > 1:
            problems.append(
                f"{rows.name}, column {position}: its name fits segments in {len(fitting)} ways; change segments"
            )
        elif fitting:
            found += 1
            yield _Record(
                place=f"{rows.name}, column {position}",
                said={**known, **fitting[0]},
                values={name: rows.cells[number][column] for number, name in features.items()},
                versions={name.removeprefix(VERSIONS): rows.cells[number][column] for number, name in versions.items()},
            )
        elif column not in LONG:
            left[""] += 1  # not its name, which may be a person's
    if not found:
        problems.append(f"{rows.name}: no column's name fits segments in study.yaml ({template})")


# --- who is meant -----------------------------------------------------------------------------------------------


def _is_default(part: str, study: Mapping[str, Any]) -> bool:
    """Whether a part of a case may be said nowhere: a whole patient's region, the only rater."""
    if part == "rater":
        return set(study["stability"]["readings"]) == {"reference"}
    return part == "region" and study["unit"] == "patient"


def _identify(records: Sequence[_Record], study: Mapping[str, Any], problems: list[str]) -> pd.DataFrame:
    """Patient, phase, region, rater of each record as identifiers; what cannot be one, or is there twice, is said."""
    defaults = {"region": WHOLE, "rater": study["stability"]["readings"]["reference"]}
    spelt: dict[tuple[str, str], tuple[str, str]] = {}
    seen: dict[tuple, str] = {}
    cases = []
    for record in records:
        case = {}
        for part in CASE:
            text = record.said.get(part, defaults.get(part, "") if _is_default(part, study) else "")
            case[part] = patient_identifier(text) if part == "patient" else plain_identifier(text)
            problems.extend(f"{record.place}: {fault}" for fault in _faults(part, text, case[part]))
            place, other = spelt.setdefault((part, case[part].casefold()), (record.place, text))
            if case[part] and other != text:
                problems.append(f"{record.place}: the {part} is spelt otherwise in {place}; write both alike")
        cases.append(case)
        first = seen.setdefault(tuple(value.casefold() for value in case.values()), record.place)
        if first != record.place and all(case.values()):
            problems.append(f"{record.place}: the same patient, phase, region and rater as {first}")
    return pd.DataFrame(cases, index=[record.place for record in records], columns=CASE, dtype=str)


def _faults(part: str, text: str, identifier: str) -> Iterator[str]:
    if not text:
        yield f"nothing says the {part}"
    elif not is_identifier(identifier) or identifier in READ_AS_MISSING:
        rule = "letters, digits and '-' only, at most 64, and no word for a missing value"
        yield f"the {part} must be an identifier ({rule}), not a path or a name; see columns in study.yaml"


# --- what was measured ------------------------------------------------------------------------------------------


def _compare_features(records: Sequence[_Record]) -> Iterator[str]:
    """Say which files lack a feature that others have."""
    names = list(dict.fromkeys(name for record in records for name in record.values))
    files = {record.place.rpartition(", ")[0]: record.values for record in records}
    for file, values in files.items():
        missing = [name for name in names if name not in values]
        if missing:
            yield f"{file}: lacks {len(missing)} feature(s) that other tables have, the first being {missing[0]}"


def _values(records: Sequence[_Record], problems: list[str]) -> pd.DataFrame:
    """Numbers by feature; NaN throughout for a case without any value, while single missing values are said."""
    rows = []
    for record in records:
        numbers = {name: _number(text) for name, text in record.values.items()}
        rows.append(numbers)
        if all(_is_blank(text) for text in record.values.values()):
            continue
        for name, text in record.values.items():
            if _is_blank(text):
                problems.append(f"{record.place}: {name} has no value")
            elif math.isnan(numbers[name]):
                problems.append(f"{record.place}: {name} is not a finite number such as 3.5 (with a decimal point)")
    return pd.DataFrame(rows, dtype=float)


def _is_blank(text: str) -> bool:
    return not text or text in READ_AS_MISSING


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and "_" not in text else math.nan


def _software(records: Sequence[_Record]) -> pd.DataFrame:
    """Versions of the software, from pyradiomics' columns diagnostics_Versions_..., with the number of cases."""
    counts = Counter(
        (name, version)
        for record in records
        for name, version in record.versions.items()
        if VERSION.fullmatch(name) and VERSION.fullmatch(version)
    )
    rows = [(name, version, number) for (name, version), number in sorted(counts.items())]
    return pd.DataFrame(rows, columns=["software", "version", "cases"])


def _notes(name: str, left: Counter, records: Sequence[_Record], cases: pd.DataFrame) -> Iterator[str]:
    columns = [column for column in left if column]
    if columns:
        yield f"{name}: columns that are neither features nor named in study.yaml were left out: {', '.join(columns)}."
    if left[""]:
        yield f"{name}: {left['']} columns whose names do not fit segments in study.yaml were left out."
    pairs = zip(records, cases.to_dict("records"), strict=True)
    rewritten = sum(record.said.get(part, case[part]) != case[part] for record, case in pairs for part in CASE)
    if rewritten:
        yield f"{name}: signs in {rewritten} identifiers were rewritten as '-'."
