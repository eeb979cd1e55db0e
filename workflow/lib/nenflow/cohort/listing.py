"""The table of cases, listed from a folder in which images and segmentations of one or more readers have regular names.

    python -m nenflow.cohort.listing DATA --image "{patient}/{phase}" \
        --segmentation "{patient}/{phase}_{rater}.seg.nrrd" --output cases.csv
"""

import argparse
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd

from nenflow.cohort.rows import is_identifier, patient_identifier
from nenflow.cohort.templates import placeholders, plain_identifier, readings
from nenflow.errors import InputError
from nenflow.images.placement import select
from nenflow.images.segmentations import list_segments
from nenflow.study import READ_AS_MISSING
from nenflow.tables import CASE, write_table

COLUMNS = [*CASE, "image", "series", "segmentation", "segment"]
CONSTANTS = ["phase", "region", "rater"]  # may be the same for all files; a patient never is
SHOWN = 3  # names of files in one note


def list_cases(
    data: Path, image: str, segmentation: str, constants: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """List the segments of all segmentations in a folder, each with the image it belongs to.

    In the templates `{patient}`, `{phase}`, `{rater}` and `{region}` stand for a text without "/", and `*` for any such
    text. An image and a segmentation belong together when what both templates name is the same. Where a name can be
    read in several ways ("STS_002_arterial_r1"), the one way counts for which there is an image. The region is named
    after the segment, unless `{region}` or a constant says it and the file holds one segment only.

    Args:
        data: the folder to which the templates and the columns image and segmentation are relative.
        image: template of the images. One that ends in a placeholder means folders (of DICOM series), any other one
            means folders or files.
        segmentation: template of the segmentations' files.
        constants: phase, rater or region, where no template names them.

    Returns:
        The table, with the columns of cases.csv (all of it text), and one sentence for each thing that was left out,
        rewritten or seems inconsistent. These name files, so they are for the user's eyes and not for a report.

    Raises:
        InputError: a template or an identifier is not valid, or different names become the same identifier.
    """
    if not data.is_dir():
        raise InputError("The data folder does not exist: check its name.")
    given = dict(constants or {})
    scan_names, drawn_names = _check_templates(image, segmentation, given)
    notes: list[str] = []
    files = _walk(data)
    drawn = {path: found for path in files if (found := readings(segmentation, path))}
    scans = _find_images(image, files, drawn, notes)
    shared = [name for name in scan_names if name in drawn_names]
    pairs = list(_pair(scans, drawn, shared, notes))
    used = {scan for scan, _, _ in pairs}
    notes += [f"No segmentation belongs to the image {scan}." for scan in scans if scan not in used]
    notes += _note_others(files, scans, drawn)
    rows = []
    for path in dict.fromkeys(path for _, path, _ in pairs):
        segments = _list_file(data, path, notes)
        for scan, _, names in [pair for pair in pairs if pair[1] == path]:
            case = {**given, **scans[scan], **names}
            rows += _list_rows(case, {"image": scan, "series": "", "segmentation": path}, segments, notes)
    table = _identify(pd.DataFrame(rows, columns=COLUMNS, dtype=object), notes)
    return table.sort_values(CASE, ignore_index=True), [*notes, *_compare_raters(table)]


# --- templates --------------------------------------------------------------------------------------------------


def _check_templates(image: str, segmentation: str, given: Mapping[str, str]) -> list[list[str]]:
    """The names in each template, when these are complete and unambiguous."""
    found = []
    for template, what, known in ((image, "image", ["patient", "phase"]), (segmentation, "segmentation", CASE)):
        names = placeholders(template)
        if "\\" in template or template.startswith("/") or ".." in template.split("/"):
            raise InputError(f"The template of the {what}s must start in the data folder, with / between folders.")
        for name in names:
            if name not in known:
                raise InputError(f"The template of the {what}s holds {{{name}}}; known there are {', '.join(known)}.")
        if "patient" not in names:
            raise InputError(f"The template of the {what}s does not say where the patient stands: write {{patient}}.")
        found.append(list(dict.fromkeys(names)))
    for name in CASE:
        stands = name in found[0] + found[1]
        if stands and name in given:
            raise InputError(f"The {name} is given, but {{{name}}} stands in a template too: leave one of them out.")
        if not stands and name not in given and name != "region":
            raise InputError(f"No template holds {{{name}}}: give it with --{name} when it is the same for all files.")
    return found


# --- files ------------------------------------------------------------------------------------------------------


def _walk(data: Path) -> list[str]:
    """All files below a folder, relative to it, but hidden ones; links to folders are followed, but not in circles."""
    found = []
    for root, folders, files in os.walk(data, followlinks=True):
        here = Path(root)
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and not here.resolve().is_relative_to((here / name).resolve())
        ]
        found += [(here / name).relative_to(data).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def _find_images(
    template: str, files: Sequence[str], drawn: Mapping[str, list], notes: list[str]
) -> dict[str, dict[str, str]]:
    """What the template's placeholders stand for, by image."""
    others = [path for path in files if path not in drawn]
    candidates = {parent for path in others if (parent := path.rpartition("/")[0])}
    if not template.endswith(("}", "*")):
        candidates |= set(others)
    images: dict[str, dict[str, str]] = {}
    for path in sorted(candidates):
        found = readings(template, path)
        if len(found) > 1:
            notes.append(f"The image {path} fits its template in {len(found)} ways, so it was left out.")
        elif found:
            images[path] = found[0]
    return images


def _pair(
    scans: Mapping[str, dict[str, str]], drawn: Mapping[str, list[dict[str, str]]], shared: list[str], notes: list[str]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Image, segmentation, and what the segmentation's placeholders stand for."""
    by_key: dict[tuple, list[str]] = {}
    for scan, names in scans.items():
        by_key.setdefault(tuple(names[name] for name in shared), []).append(scan)
    for path, fitting in drawn.items():
        with_image = [reading for reading in fitting if tuple(reading[name] for name in shared) in by_key]
        if not with_image:
            notes.append(f"No image belongs to the segmentation {path}, so it was left out.")
        elif len(with_image) > 1:
            notes.append(f"The segmentation {path} fits its template in {len(with_image)} ways, so it was left out.")
        else:
            for scan in by_key[tuple(with_image[0][name] for name in shared)]:
                yield scan, path, with_image[0]


def _note_others(files: Sequence[str], scans: Mapping[str, dict], drawn: Mapping[str, list]) -> Iterator[str]:
    others = [path for path in files if path not in drawn and not {path, path.rpartition("/")[0]} & set(scans)]
    if others:
        shown = ", ".join(others[:SHOWN]) + (", ..." if len(others) > SHOWN else "")
        yield f"{len(others)} file(s) fit neither template and were left out: {shown}."


def _list_file(data: Path, path: str, notes: list[str]) -> list[tuple[str, str]]:
    """Name, and what selects it in the column segment, of each segment in a file."""
    try:
        with redirect_stdout(io.StringIO()):  # tracebacks of a damaged file are for the log of a run
            names = list_segments(data / path)
    except InputError as error:
        notes.append(f"{path} was left out: {error}")
        return []
    if not names:
        notes.append(f"{path} holds no segment.")
    segments = []
    for number, name in names.items():
        entry = next((text for text in (name, str(number)) if text and _selects(names, text, number)), None)
        if entry is None:
            notes.append(f"{path}: neither name nor number tells '{name}' apart, so it was left out: rename it.")
        else:
            segments.append((name or f"segment {number}", entry))
    return segments


def _selects(names: dict[int | str, str], text: str, number: int | str) -> bool:
    try:
        return select(names, text) == number
    except InputError:
        return False


# --- rows -------------------------------------------------------------------------------------------------------


def _list_rows(
    case: Mapping[str, str], files: Mapping[str, str], segments: list[tuple[str, str]], notes: list[str]
) -> list[dict[str, str]]:
    if "region" in case and len(segments) > 1:
        notes.append(
            f"{files['segmentation']} holds {len(segments)} segments though its region is said to be one, so it was "
            "left out."
        )
        return []
    return [{"region": name, **case, **files, "segment": entry} for name, entry in segments]


def _identify(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Rewrite names as identifiers, and refuse those that then are the same."""
    raw = table.copy()
    for column, write in {"patient": patient_identifier, **dict.fromkeys(CASE[1:], plain_identifier)}.items():
        table[column] = raw[column].map(write)
        valid = table[column].map(is_identifier) & ~table[column].isin(READ_AS_MISSING)
        if not valid.all():
            print(*sorted(set(raw.loc[~valid, column])), sep="\n")
            raise InputError(
                f"{raw.loc[~valid, column].nunique()} name(s) of a {column} (printed above) cannot be made identifiers "
                "of the letters A to Z, digits and '-' (64 at most), or mean a missing value or a device of Windows: "
                "rename the files or segments (patients need pseudonyms without blanks)."
            )
        if (table[column] != raw[column]).any() and column != "region":
            notes.append(f"In some names of a {column}, other signs were rewritten as '-'.")
    for column in ("patient", "phase", "rater"):
        _refuse_collisions(raw[column], table[column], column)
    _refuse_twice(raw, table)
    for region, texts in raw["region"].groupby(table["region"]):
        if len(names := sorted(set(texts))) > 1:
            notes.append(f"Segments named {' and '.join(names)} are listed as one region, {region}.")
    return table


def _refuse_collisions(raw: pd.Series, identifiers: pd.Series, column: str) -> None:
    for identifier, texts in raw.groupby(identifiers.str.casefold()):
        if len(names := sorted(set(texts))) > 1:
            names = " and ".join(f"'{name}'" for name in names)
            raise InputError(f"The {column}s {names} would all become '{identifier}': rename the files of one of them.")


def _refuse_twice(raw: pd.DataFrame, table: pd.DataFrame) -> None:
    keys = table[CASE].apply(lambda column: column.str.casefold()).agg(tuple, axis=1)
    twice = keys[keys.duplicated()]
    if len(twice):
        same = raw[keys == twice.iloc[0]]
        case = table.loc[same.index[0]]
        raise InputError(
            f"{len(same)} segments ({', '.join(same['region'])}) would all become the region '{case['region']}' of "
            f"{case['patient']}, {case['phase']}, {case['rater']}: rename or remove all but one."
        )


def _compare_raters(table: pd.DataFrame) -> Iterator[str]:
    """Say which regions a rater lacks that another drew, such as 'lesion-1' beside 'Lesion1'."""
    scans = table.groupby(["patient", "phase"])
    for rater, own in table.groupby("rater"):
        lacking = scans.ngroups - own.groupby(["patient", "phase"]).ngroups
        if lacking:
            yield f"{rater} drew nothing on {lacking} of {scans.ngroups} scans that others drew on."
    for (patient, phase), rows in scans:
        drawn = rows.groupby("rater")["region"].agg(set)
        for rater, regions in drawn.items():
            if missing := sorted(set(rows["region"]) - regions):
                yield f"{patient}, {phase}: {rater} has no {', '.join(missing)}, but {', '.join(sorted(regions))}."


# --- command ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="nenflow.cohort.listing", description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the images and segmentations")
    parser.add_argument("--image", required=True, help='template, such as "{patient}/{phase}" for folders of DICOM')
    parser.add_argument("--segmentation", required=True, help='such as "{rater}/{patient}_{phase}.seg.nrrd"')
    for name in CONSTANTS:
        parser.add_argument(f"--{name}", help=f"the {name} of all files, where no template names it")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, which must not exist yet")
    options = parser.parse_args(arguments)
    try:
        if options.output.exists():
            raise InputError(f"{options.output.name} exists already: remove it, or name another output.")
        constants = {name: getattr(options, name) for name in CONSTANTS if getattr(options, name) is not None}
        table, notes = list_cases(options.data, options.image, options.segmentation, constants)
        for note in notes:
            print(f"Note: {note}", file=sys.stderr)
        if table.empty:
            raise InputError("No segmentation was found that fits the templates and has an image: check both.")
        _write(table, options.output)
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{table[name].nunique()} {name}(s)" for name in CASE)
    print(f"{options.output.name}: {len(table)} segmentations; {counts}. Look through it before it is used.")
    return 0


def _write(table: pd.DataFrame, path: Path) -> None:
    try:
        write_table(table, path)
    except OSError as error:
        raise InputError(f"{path.name} cannot be written ({error.strerror}): name another output.") from error


if __name__ == "__main__":
    sys.exit(main())
