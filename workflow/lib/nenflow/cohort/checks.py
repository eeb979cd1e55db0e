"""Check a cohort's tables against the study and against each other, and say everything that is wrong at once."""

import copy
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
from jsonschema import Draft202012Validator

from nenflow.cohort.rows import FREE, NO_FILE_NAMES, Rows, is_identifier, patient_identifier, read_rows
from nenflow.features.tables import read_feature_tables
from nenflow.phases import phases_of
from nenflow.study import READ_AS_MISSING, read_schema, refuse, sentences
from nenflow.tables import CASE, UNIT, WHOLE

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
KEYS = {"patients": ["patient"], "lesions": UNIT, "cases": CASE, "signoff": CASE}
MISSING = {"", "na", "n/a", "#n/a", "nan"}  # cells that mean "not known", in any case
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # or a decimal comma, where commas may be that
DATE = re.compile(r"[0-9]{1,4}[-./ ]([A-Za-z]{3,9}|[0-9]{1,2})([-./ ][0-9]{2,4})?|[A-Za-z]{3}[-. ][0-9]{1,2}")


@dataclass(frozen=True)
class Cohort:
    """A cohort's clean tables: declared columns only, typed, one row per patient, lesion and segmentation.

    Categorical variables are text, continuous ones float, a missing value is NaN. Without a table of lesions `lesions`
    lists what the reference rater drew, and without images each patient as one unit. `cases` has the columns of
    cases.csv as text ("" where blank): they hold the user's paths and Series UIDs, so only its columns `CASE` belong in
    results. `notes` are sentences about what was left out or rewritten.
    """

    patients: pd.DataFrame
    lesions: pd.DataFrame
    cases: pd.DataFrame
    notes: list[str]


def read_cohort(
    patients: Path,
    lesions: Path | None,
    cases: Path | None,
    data: Path | None,
    study: Mapping[str, Any],
    schemas: Path,
    columns: Mapping[str, str] | None = None,
    develops: bool = True,
    imported: Mapping[str, Any] | None = None,
) -> Cohort:
    """Read a cohort's tables and refuse them with the list of all their mistakes.

    Args:
        patients: table with one row per patient.
        lesions: table with one row per lesion, or None.
        cases: table with one row per segmentation, or None in a study without images.
        data: the folder to which `image` and `segmentation` in the table of cases are relative, or None likewise.
        study: the study as `load_study` gives it.
        schemas: the folder of the tables' schemas.
        columns: what the table of patients calls a column, by its name in the study.
        develops: whether models are built on this cohort, which needs repeated readings where a protocol uses them.
        imported: feature tables made elsewhere, by extraction: their files and the template that these fit.

    Raises:
        InputError: one line per mistake, with file, row (as a spreadsheet numbers it) and column.
    """
    problems: list[str] = []
    files = {"patients": patients, "lesions": lesions, "cases": cases}
    tables = {kind: read_rows(path, problems) if path else None for kind, path in files.items()}
    if any(table is None and files[kind] for kind, table in tables.items()):
        refuse(problems, "the cohort's tables")  # what refers to an unreadable table cannot be judged
    tables["patients"] = _rename(tables["patients"], columns or {}, problems)
    notes: list[str] = []
    table_cases = _read_imported(imported or {}, study, problems, notes)
    return check_tables(tables, data, study, schemas, problems, develops, table_cases, notes)


def _read_imported(
    imported: Mapping[str, Any], study: Mapping[str, Any], problems: list[str], notes: list[str]
) -> pd.DataFrame | None:
    """The cases that feature tables made elsewhere hold, indexed by the place where each stands; None without any."""
    found = []
    for name, tables in imported.items():
        table = read_feature_tables(**tables, settings=study["extractions"][name], study=study, problems=problems)
        if table is not None:
            found.append(table.cases)
            notes.extend(table.notes)
    if len(found) < len(imported):
        refuse(problems, "the cohort's tables", notes)
    return pd.concat(found).drop_duplicates().assign(**dict.fromkeys(FREE, "")) if found else None


def check_tables(
    tables: Mapping[str, Rows | None],
    data: Path | None,
    study: Mapping[str, Any],
    schemas: Path,
    problems: list[str],
    develops: bool,
    table_cases: pd.DataFrame | None = None,
    notes: list[str] | None = None,
) -> Cohort:
    """Check tables that are already read; `read_cohort` says how. `problems` are those met while reading.

    `table_cases` are the cases of feature tables made elsewhere: they take the place of a table of cases.
    """
    if data and not data.is_dir():  # said once; every single file would be missing too
        problems.append("the cohort's data folder (data in study.yaml) does not exist; ~ is not expanded")
    notes = [] if notes is None else notes
    clean = {}
    for kind, rows in tables.items():
        clean[kind] = clean_rows(rows, kind, study["variables"], schemas, problems, notes) if rows else None
    names = {kind: rows.name for kind, rows in tables.items() if rows}
    if table_cases is not None:
        clean["cases"], names["cases"] = table_cases, "the feature tables"
    if clean["lesions"] is None:
        problems.extend(_need_lesions(study["variables"]))
    problems.extend(_check_references(clean, names, study.get("images", {}).get("organs", [])))
    if clean["cases"] is None:
        refuse(problems, "the cohort's tables", notes)
        return _clinical_cohort(clean["patients"], notes)
    columns = set(clean["cases"].columns if table_cases is not None else tables["cases"].columns)
    if set(CASE) | {"image", "segmentation"} <= columns <= {*CASE, *FREE}:
        # With a mistyped column every row would contradict others.
        problems.extend(_check_cases(clean["cases"], names["cases"], study))
        problems.extend(_check_study_needs(clean["cases"], names["cases"], study))
        repeated = _check_readings(clean["cases"], names["cases"], study)
        problems.extend(repeated) if develops else notes.extend(f"{sentence}." for sentence in repeated)
    if data and data.is_dir():
        problems.extend(_check_files(clean["cases"], names["cases"], data))
    notes.extend(_note_unused(clean["cases"], names["cases"], study))
    refuse(problems, "the cohort's tables", notes)
    if clean["lesions"] is None or "analysed" in study.get("images", {}):
        clean["lesions"] = _drawn_units(clean["cases"], study)
    finished = {kind: table.reset_index(drop=True) for kind, table in clean.items()}
    return Cohort(**finished, notes=notes)


def _clinical_cohort(patients: pd.DataFrame, notes: list[str]) -> Cohort:
    """In a study without images the unit is the patient; where others name a region, it says so."""
    units = patients[["patient"]].assign(region=WHOLE)
    nothing = pd.DataFrame(columns=CASE + FREE, dtype=object)
    return Cohort(patients.reset_index(drop=True), units.reset_index(drop=True), nothing, notes)


def _drawn_units(cases: pd.DataFrame, study: Mapping[str, Any]) -> pd.DataFrame:
    """The units are what the reference rater drew, organs apart; where the unit is the patient, those with regions."""
    images = study.get("images", {})
    drawn = cases[cases["rater"] == study["stability"]["readings"]["reference"]]
    units = drawn.loc[~drawn["region"].isin(images.get("organs", [])), UNIT]
    if "aggregate" in images:
        units = units.assign(region=WHOLE)
    elif "analysed" in images:
        units = drawn[UNIT].assign(region=images["analysed"])
    return units.drop_duplicates()


def _rename(rows: Rows, columns: Mapping[str, str], problems: list[str]) -> Rows:
    for ours, theirs in columns.items():
        if theirs not in rows.columns:
            problems.append(f"{rows.name}: study.yaml calls a column '{theirs}', but there is none")
        elif ours in rows.columns and ours != theirs:
            problems.append(f"{rows.name}: '{theirs}' is to be read as '{ours}', but '{ours}' is there too")
    names = {theirs: ours for ours, theirs in columns.items()}
    cells = {
        number: {names.get(column, column): text for column, text in row.items()} for number, row in rows.cells.items()
    }
    return Rows(rows.name, [names.get(column, column) for column in rows.columns], cells, rows.decimal_comma)


def clean_rows(
    rows: Rows, kind: str, variables: Mapping[str, Any], schemas: Path, problems: list[str], notes: list[str]
) -> pd.DataFrame:
    """Judge each row by the table's schema; return the declared columns, typed, indexed by row number."""
    of_table = {name: v for name, v in variables.items() if v["level"] + "s" == kind}
    declared = {name: v for name, v in of_table.items() if "measured" not in v}
    schema = row_schema(read_schema(schemas, kind), declared)
    wanted = list(schema["properties"])
    optional = set(wanted) - set(schema["required"]) - set(declared)
    for column in [column for column in wanted if column not in rows.columns and column not in optional]:
        problems.append(f"{rows.name}: the column '{column}' is missing; there are {', '.join(rows.columns)}")
    ignored = [column for column in rows.columns if column not in wanted]
    if measured := [column for column in ignored if column in of_table]:
        notes.append(f"{rows.name}: columns that are measured in the images were left out: {', '.join(measured)}.")
        ignored = [column for column in ignored if column not in measured]
    if kind == "cases":  # no variables stand there, so another column is a mistyped one, such as "segmant"
        known = f"known are {', '.join(wanted)}"
        problems.extend(f"{rows.name}: '{column}' is not a known column; {known}" for column in ignored)
    elif ignored and kind != "signoff":  # its template shows columns to help the eye
        notes.append(f"{rows.name}: columns that the study does not declare were left out: {', '.join(ignored)}.")
    present = [column for column in wanted if column in rows.columns]
    numeric = [name for name, variable in declared.items() if variable["type"] == "continuous"]
    values = [_values(row, present, numeric, rows.decimal_comma) for row in rows.cells.values()]
    table = pd.DataFrame(values, index=list(rows.cells), columns=wanted, dtype=object)
    rewritten = sum(row.get("patient", "") != patient_identifier(row.get("patient", "")) for row in rows.cells.values())
    if rewritten:
        notes.append(f"{rows.name}: '_' or '.' in {rewritten} patient identifiers was rewritten as '-'.")
    judged = table[present]
    validator = Draft202012Validator({**schema, "required": [key for key in schema["required"] if key in present]})
    for number, row in zip(judged.index, judged.to_dict("records"), strict=True):
        entries = {column: value for column, value in row.items() if not _missing(value)}
        problems.extend(_row_problems(validator, entries, f"{rows.name}, row {number}"))
    problems.extend(_check_commas(rows, [column for column in numeric if column in present]))
    problems.extend(_duplicates(table, KEYS[kind], rows))
    # What is no identifier has been said, and may be a person's name: later checks must not repeat it.
    keys = [column for column in KEYS[kind] if column in present]
    table[keys] = table[keys].where(table[keys].map(is_identifier))
    table[numeric] = table[numeric].apply(pd.to_numeric, errors="coerce").astype(float)
    text = [column for column in wanted if column not in declared]
    table[text] = table[text].where(table[text].notna(), "")
    return table


def row_schema(schema: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Add the declared variables to a table's schema. They may be missing: models exclude such rows with a reason."""
    schema = copy.deepcopy(dict(schema))
    for name, variable in variables.items():
        if variable["type"] == "categorical":
            rule = {"enum": variable["levels"]}
        else:
            rule = {"type": "number", **{key: variable[key] for key in ("minimum", "maximum") if key in variable}}
        schema["properties"][name] = {"description": variable["label"], **rule}
    return schema


def _values(row: Mapping[str, str], columns: list[str], numeric: list[str], decimal_comma: bool) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column in columns:
        text = row[column]
        if column == "patient":
            values[column] = patient_identifier(text)
        elif column in numeric and decimal_comma and THOUSANDS.fullmatch(text):
            values[column] = None  # `_check_commas` refuses it
        elif column in numeric:
            point = text.replace(",", ".") if decimal_comma and "." not in text else text
            values[column] = float(point) if NUMBER.fullmatch(point) else text
        else:
            values[column] = text
        if text.casefold() in MISSING and (column not in FREE or not text):
            values[column] = None
    return values


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN is the one value that differs from itself


def _row_problems(validator: Draft202012Validator, row: Mapping[str, Any], where: str) -> Iterable[str]:
    for error in validator.iter_errors(row):
        if error.validator == "required":
            yield f"{where}: the entry for {error.message.split(' is a ')[0]} is missing"
            continue
        column, value = error.absolute_path[0], error.instance
        hint = "; Excel seems to have made a date of it" if isinstance(value, str) and DATE.fullmatch(value) else ""
        if error.validator == "pattern":  # the entry itself is not shown: it may be a person's name
            yield f"{where}, column '{column}': an identifier must be {error.schema['description']}"
        elif error.validator == "maxLength":
            yield f"{where}, column '{column}': an identifier must have at most {error.validator_value} characters"
        elif error.validator == "type":
            yield f"{where}, column '{column}': '{value}' is not a number such as 3.5, without unit or sign{hint}"
        else:
            yield from (f"{where}, column '{column}': {text}{hint}" for text in sentences(error))
    for column in set(CASE) & set(row):
        if row[column] in READ_AS_MISSING:
            yield f"{where}, column '{column}': '{row[column]}' means a missing value; choose another identifier"
        if row[column].casefold() in NO_FILE_NAMES:
            yield f"{where}, column '{column}': Windows cannot have a file of this name; choose another identifier"


def _check_commas(rows: Rows, numeric: list[str]) -> Iterable[str]:
    """Say where a comma may separate thousands as well as decimals. Only a table not separated by commas has such."""
    if not rows.decimal_comma:
        return
    for column in numeric:
        first: dict[str, int] = {}
        for number, row in rows.cells.items():
            text = row[column]
            if THOUSANDS.fullmatch(text):
                whole = text.replace(",", "")
                ways = f"{whole} or {text}0" if text.count(",") == 1 else whole
                yield f"{rows.name}, row {number}, column '{column}': '{text}' can be read in two ways; write {ways}"
            elif NUMBER.fullmatch(text.replace(",", ".")):
                first.update({mark: number for mark in ".," if mark in text and mark not in first})
        if len(first) == 2:
            yield (
                f"{rows.name}, column '{column}': has decimal points (such as row {first['.']}) and decimal commas "
                f"(such as row {first[',']}); write all alike"
            )


def _duplicates(table: pd.DataFrame, keys: list[str], rows: Rows) -> Iterable[str]:
    """Say which rows have the key of an earlier row, also where only upper and lower case differ (as in file names)."""
    seen: dict[tuple, tuple[int, tuple]] = {}
    for number, *key in table[keys].itertuples():
        if any(_missing(part) for part in key):
            continue
        folded = tuple(part.casefold() for part in key)
        if folded in seen:
            row, first = seen[folded]
            how = "the same" if first == tuple(key) else "but for upper and lower case the same"
            yield f"{rows.name}, row {number}: {how} {', '.join(keys)} as row {row}"
        seen.setdefault(folded, (number, tuple(key)))


def _need_lesions(variables: Mapping[str, Any]) -> Iterable[str]:
    names = [name for name, variable in variables.items() if variable["level"] == "lesion"]
    if names:
        yield f"the study has variables of level lesion ({', '.join(names)}) but the cohort has no table of lesions"


def _check_references(
    tables: Mapping[str, pd.DataFrame | None], names: Mapping[str, str], organs: Collection[str]
) -> Iterable[str]:
    patients, lesions, cases = tables["patients"], tables["lesions"], tables["cases"]
    known = set(patients["patient"]) - {""}
    if not known:
        return  # the column is missing, which has been said
    for kind in [kind for kind in ("lesions", "cases") if tables[kind] is not None]:
        for number, patient in tables[kind]["patient"].items():
            if patient and patient not in known:
                yield f"{_place(names[kind], number)}: patient '{patient}' is not in {names['patients']}"
    if lesions is not None and (lesions[UNIT] != "").any().all():
        for number, region in lesions["region"].items():
            if region in organs:
                yield f"{names['lesions']}, row {number}: '{region}' is no lesion but an organ (images/organs)"
        units = set(lesions[UNIT].itertuples(index=False, name=None))
        for number, patient, region in cases.loc[~cases["region"].isin(organs), UNIT].itertuples():
            if patient in known and region and (patient, region) not in units:
                yield f"{_place(names['cases'], number)}: '{region}' of '{patient}' is not in {names['lesions']}"


def _place(name: str, number: int | str) -> str:
    """Where a row stands; of a feature table the place says it all."""
    return number if isinstance(number, str) else f"{name}, row {number}"


def _check_cases(cases: pd.DataFrame, name: str, study: Mapping[str, Any]) -> Iterable[str]:
    """Say where rows of the table of cases contradict each other, or the study."""
    settings = study.get("images", {})
    organs, computed = settings.get("organs", []), settings.get("regions", {})
    one_region = study["unit"] == "patient" and "analysed" not in settings
    images: dict[tuple, tuple] = {}
    masks: dict[tuple, int] = {}
    regions: dict[str, str] = {}
    for number, row in zip(cases.index, cases.to_dict("records"), strict=True):
        where, image = _place(name, number), (row["image"], row["series"])
        first, seen = images.setdefault((row["patient"], row["phase"]), (number, image))
        if seen != image and row["patient"] and row["phase"]:
            yield f"{where}: another image or series than row {first} with the same patient and phase"
        mask = (row["phase"], row["segmentation"], row["segment"])
        if row["segmentation"] and masks.setdefault(mask, number) != number:
            yield f"{where}: the same segmentation and segment as row {masks[mask]}"
        if any(row["region"] == rule or row["region"].endswith(f"-{rule}") for rule in computed):
            yield f"{where}: the region '{row['region']}' has the name of a computed one (images/regions)"
        if row["region"] == WHOLE and "aggregate" in settings:
            yield f"{where}: '{WHOLE}' is the name of all of a patient's regions together; choose another"
        if row["rater"].startswith("perturbed-") and "perturbation" in study["stability"]:
            yield f"{where}: '{row['rater']}' is a name for perturbed readings; choose another"
        if not one_region or not row["patient"] or not row["region"] or row["region"] in organs:
            continue
        if regions.setdefault(row["patient"], row["region"]) != row["region"]:
            together = "analyse their union (images/analysed) or put their features together (images/aggregate)"
            remedy = "keep one of them" if isinstance(number, str) else together  # a feature table has no images
            yield f"{where}: a second region of '{row['patient']}', though the study's unit is the patient; {remedy}"


def _check_study_needs(cases: pd.DataFrame, name: str, study: Mapping[str, Any]) -> Iterable[str]:
    reference = study["stability"]["readings"]["reference"]
    if reference not in set(cases["rater"]):
        yield f"{name}: no row has the rater '{reference}', who is the reference in study.yaml"
        return
    drawn = set(cases.loc[cases["rater"] == reference, "phase"])
    drawn_regions = set(cases["region"])
    for region, rule in study.get("images", {}).get("regions", {}).items():
        for pattern in [rule["of"], *([rule["inside"]] if "inside" in rule else []), *rule.get("without", [])]:
            if not any(fnmatchcase(known, pattern) for known in drawn_regions):
                yield f"{name}: no region is called '{pattern}', which images/regions/{region} in study.yaml names"
    for where, pattern in _drawn_patterns(study):
        if not any(fnmatchcase(known, pattern) for known in drawn_regions):
            yield f"{name}: no region is called '{pattern}', which {where} in study.yaml names"
    others = {
        f"extraction {key}": phase
        for key, extraction in study.get("extractions", {}).items()
        for phase in extraction.get("phases", [])
    }
    others |= {
        f"variables/{key}/measured": variable["measured"]["phase"]
        for key, variable in study["variables"].items()
        if "measured" in variable
    }
    for user, phase in [*_phases(study), *others.items()]:
        if phase not in drawn:
            yield f"{name}: '{reference}' drew nothing in the phase '{phase}', which study.yaml names ({user})"


def _drawn_patterns(study: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Where study.yaml names drawn regions beside the rules of computed ones, and which."""
    images = study.get("images", {})
    if "aggregate" in images:
        yield "images/analysed", images["analysed"]
    for name, variable in study["variables"].items():
        if "measured" in variable and variable["measured"]["of"] not in images.get("regions", {}):
            yield f"variables/{name}/measured", variable["measured"]["of"]


def _phases(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The phases that study.yaml names: what uses one, and the phase."""
    users = {f"model {key}": model for key, model in study.get("models", {}).items() if "phase" in model}
    users |= {block: study[block] for block in ("markers", "components") if block in study}
    return [(user, phase) for user, block in users.items() for phase in phases_of(block["phase"])]


def _check_readings(cases: pd.DataFrame, name: str, study: Mapping[str, Any]) -> Iterable[str]:
    """Say where a repeated reading is not there that is compared with the reference, generally or by a model."""
    readings = study["stability"]["readings"]
    models = [
        (key, phase)
        for key, model in study.get("models", {}).items()
        if any("stability" in step for step in model["steps"])
        for phase in phases_of(model["phase"])
    ]
    for role, rater in readings.items():
        if role == "reference":
            continue
        if rater not in set(cases["rater"]):
            yield f"{name}: no row has the rater '{rater}', who is {role} in study.yaml (stability/readings)"
            continue
        for key, phase in models:
            units = [
                set(cases.loc[(cases["rater"] == who) & (cases["phase"] == phase), UNIT].itertuples(index=False))
                for who in (readings["reference"], rater)
            ]
            if units[0] and not units[0] & units[1]:  # a reference that drew nothing has been said
                yield (
                    f"{name}: '{rater}' ({role} in study.yaml) drew none of the lesions that '{readings['reference']}' "
                    f"drew in the phase '{phase}'; the step stability of model {key} compares the two"
                )


def _check_files(cases: pd.DataFrame, name: str, data: Path) -> Iterable[str]:
    inside, read = os.path.realpath(data), {}
    for column in ("image", "segmentation"):
        for number, entry in cases[column].items():
            if not entry:
                continue  # already said: the entry is missing
            if (column, entry) not in read:
                read[column, entry] = _path_problem(entry, column, data, inside)
            if read[column, entry]:
                yield f"{name}, row {number}, column '{column}': {read[column, entry]}"


def _path_problem(entry: str, column: str, data: Path, inside: str) -> str | None:
    """What is wrong with a path of the table of cases; `inside` is the data folder without links."""
    path = data / entry
    if "\\" in entry:
        return "write / between folders, not \\"
    if "\0" in entry or Path(entry).is_absolute() or ".." in Path(entry).parts:
        return "must be a path inside the cohort's data folder"
    if not os.path.exists(path):  # unlike Path.exists, no error where a name is too long
        return "there is no such file or folder in the cohort's data folder"
    if _leads_out(path, inside):
        return "leads out of the cohort's data folder through a link; copy the files into the folder"
    if entry.lower().endswith(ARCHIVES):
        return "is an archive; unpack it and name what was in it"
    if column == "segmentation" and not path.is_file():
        return "is a folder; name the segmentation's file"
    return None


def _leads_out(path: Path, inside: str) -> bool:
    """Whether a file, a folder, or an entry of the folder is a link to somewhere outside."""
    links = [path]
    if path.is_dir():
        with os.scandir(path) as entries:
            links += [Path(entry.path) for entry in entries if entry.is_symlink()]
    return not all(Path(os.path.realpath(link)).is_relative_to(inside) for link in links)


def _note_unused(cases: pd.DataFrame, name: str, study: Mapping[str, Any]) -> Iterable[str]:
    readings = study["stability"]["readings"]
    drawn = set(cases["rater"]) - {""}
    for rater in sorted(drawn - set(readings.values())):
        yield f"{name}: study.yaml does not name the rater '{rater}'; its regions are measured, not analysed."
    phases = {phase for _, phase in _phases(study)}
    phases |= {variable["measured"]["phase"] for variable in study["variables"].values() if "measured" in variable}
    for phase in sorted(set(cases["phase"]) - phases - {""}) if phases else []:
        yield f"{name}: nothing analysed is of the phase '{phase}'; its regions are measured, not analysed."
