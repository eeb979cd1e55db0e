"""Which DICOM images of a folder are the slices of one scan; whatever else lies there is left out and named."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.misc import is_dicom
from pydicom.uid import UID

from nenflow.errors import InputError
from nenflow.images.dicom import read_header, uid_to_print
from nenflow.images.frames import check_one_volume, is_multiframe, split_frames
from nenflow.images.geometry import COSINE_TOLERANCE

# Only these are in a unit that their headers define (Hounsfield units; SUV). MR would be read without a warning.
MODALITIES = ("CT", "PT")
NEEDED_TAGS = (
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
)
NUMBERS = {
    "PixelSpacing": 2,
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "RescaleSlope": 1,
    "RescaleIntercept": 1,
}
# Image type and kernel tell originals from reformatted and otherwise reconstructed images within one series.
SAME_IN_ALL_SLICES = (
    "SOPClassUID",
    "Modality",
    "Rows",
    "Columns",
    "FrameOfReferenceUID",
    "PatientID",
    "ImageType",
    "ConvolutionKernel",
)
# A thousandth of a usual pixel: the last digit of a rounded spacing may differ between slices.
SPACING_TOLERANCE_MM = 1e-3
# ASSUME US (unspecified), which some scanners write for ordinary CT, means Hounsfield units. Spectral maps (iodine in
# mg/ml, effective atomic number) are CT too and name their own unit.
RESCALE_TYPES = ("HU", "US")
# What else PS3.3 C.11.1.1.2 defines for CT. Other text in this tag may be anything, so it is not repeated.
OTHER_RESCALE_TYPES = ("OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")
# What an object is that is no slice, by the keyword of its SOP class (DICOM PS3.4 B.5); the first that fits.
OTHER_CLASSES = {
    "SecondaryCapture": "screenshot",
    "PresentationState": "presentation state",
    "RadiationDoseSR": "dose report",
    "SRStorage|KeyObjectSelection": "structured report",
    "Encapsulated": "document",
    "RTStructureSet": "structure set",
    "Segmentation": "segmentation",
    "^RT|^Tomotherapeutic": "radiotherapy object",
    "Registration|Fiducials|RawData|RealWorldValueMapping": "other object",
}
OTHER_MODALITIES = {"RTSTRUCT": "structure set", "SEG": "segmentation", "PR": "presentation state"}
# Values of ImageType: scouts (PS3.3 C.8.2.1.1.1), and how scanners mark pages of text that they store as CT.
SCOUT = "scout"
OTHER_IMAGE_TYPES = {"LOCALIZER": SCOUT, "SCREEN SAVE": "screenshot", "CT_SOM5 PROT": "screenshot"}
# Of a series, in digits; a date or record number that stands there is longer.
LONGEST_NUMBER = 6
# Scouts come singly or as a pair (from the front and the side) and lie across the slices: by more than 45 degrees.
MOST_SCOUTS = 2
ACROSS = np.cos(np.pi / 4)


@dataclass(frozen=True)
class Slice:
    """One slice: the file, its header (of a frame, as a file of a single slice would have it), and where in it.

    Attributes:
        pixels: bytes of the file at which its values lie; none where they are compressed, or in several frames.
        frame: number of the frame.
    """

    path: Path
    header: pydicom.Dataset
    pixels: range = range(0)
    frame: int = 0


def find_slices(path: Path, series: str | None) -> tuple[list[Slice], list[str]]:
    """Find the slices of a scan.

    Args:
        path: folder of DICOM files, or one multi-frame file.
        series: Series Instance UID, needed when the folder holds several scans.

    Returns:
        The slices in no particular order, their headers checked and alike; and sentences about what was left out.

    Raises:
        InputError: no scan or several, or headers that do not describe one scan; UIDs and paths are only printed.
    """
    left_out: Counter[str] = Counter()
    files = _list_files(path, left_out) if path.is_dir() else [path]
    images = []
    for file in files:
        header, pixels = read_header(file)
        kind = _other_kind(header)
        if kind:
            left_out[kind] += 1
        else:
            images.append(Slice(file, header, pixels))
    if not images:
        print(f"No DICOM images: {path}")
        raise InputError(
            f"The image folder holds no DICOM images{_list(left_out, ' (only ', ')')}: name the folder in which the "
            "slices lie."
        )
    slices = _split(_choose_series(images, series), left_out)
    slices = _without_scouts(slices, left_out)
    _check_headers(slices)
    return slices, [f"Left out of the image: {_list(left_out)}."] if left_out else []


def _list(left_out: Counter[str], before: str = "", after: str = "") -> str:
    counted = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(left_out.items()))
    return f"{before}{counted}{after}" if counted else ""


def _list_files(folder: Path, left_out: Counter[str]) -> list[Path]:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    entries = [path for path in entries if path.name.upper() not in ("DICOMDIR", "THUMBS.DB")]
    left_out.update("subfolder" for path in entries if path.is_dir())
    files = [path for path in entries if not path.is_dir()]
    # Any other file is refused and not passed over: it may be a slice without its DICOM header, or a link to one that
    # is lost, and a slice that lacks at the end of a stack is not noticed later.
    others = [path for path in files if not path.is_file() or not is_dicom(path)]
    if others:
        print("No DICOM files:", *others)
        raise InputError(
            f"{len(others)} of {len(files)} files in the image folder are not DICOM or lack the DICOM header: move "
            "other files away, or export the series again."
        )
    return files


def _other_kind(header: pydicom.Dataset) -> str | None:
    """What an object is that cannot be a slice of a scan; None for slices, also for damaged ones."""
    stated, storage = header.file_meta.get("MediaStorageSOPClassUID"), UID(str(header.get("SOPClassUID") or ""))
    kinds = [kind for pattern, kind in OTHER_CLASSES.items() if re.search(pattern, storage.keyword)]
    if int(header.get("SamplesPerPixel") or 1) > 1:
        kinds.append("screenshot")
    # Research tools write whole scans as secondary captures; these have a place in space, screenshots have none.
    if "ImagePositionPatient" in header:
        kinds = [kind for kind in kinds if kind != "screenshot"]
    kinds += [kind for value, kind in OTHER_IMAGE_TYPES.items() if value in _image_type(header)]
    if header.get("Modality") in OTHER_MODALITIES:
        kinds.append(OTHER_MODALITIES[header.Modality])
    # Both places name the class, so the header was not cut off before it.
    if storage == stated and "Rows" not in header and not storage.keyword.endswith("ImageStorage"):
        kinds.append("other object")
    return kinds[0] if kinds else None


def _image_type(header: pydicom.Dataset) -> tuple[str, ...]:
    value = header.get("ImageType") or ()
    return tuple(str(entry).strip().upper() for entry in ([value] if isinstance(value, str) else value))


def _choose_series(images: list[Slice], series: str | None) -> list[Slice]:
    groups: dict[str, list[Slice]] = {}
    for image in images:
        groups.setdefault(str(image.header.get("SeriesInstanceUID") or ""), []).append(image)
    if "" in groups:  # it may be one of the slices that are meant
        raise InputError(
            f"{len(groups[''])} image(s) in the folder lack SeriesInstanceUID in their DICOM headers: export the "
            "series again."
        )
    if series in groups or (len(groups) == 1 and not series):
        return groups[series or next(iter(groups))]
    numbers = {uid: _series_number(slices[0].header) for uid, slices in groups.items()}
    for uid, slices in groups.items():
        print(f"Series {uid_to_print(uid)}: number {numbers[uid]}, {len(slices)} slices")
    there = ", ".join(f"number {numbers[uid]} with {len(slices)}" for uid, slices in groups.items())
    if series:
        raise InputError(
            f"The series that the cases table names is not in the image folder, or is no scan (slices there: {there})."
        )
    raise InputError(
        f"The image folder holds {len(groups)} series (slices: {there}): put the Series Instance UID of the right one "
        "(the log lists them) into the column series."
    )


def _series_number(header: pydicom.Dataset) -> str:
    number = str(header.get("SeriesNumber"))
    return number if len(number) <= LONGEST_NUMBER else "unknown"


def _split(files: list[Slice], left_out: Counter[str]) -> list[Slice]:
    """Slices of files of one slice each, or of one multi-frame file."""
    several = [file for file in files if is_multiframe(file.header)]
    if not several:
        return files
    if len(files) > 1:
        raise InputError(
            f"The series holds {len(files)} files, {len(several)} of them multi-frame (phases, or parts of one scan): "
            "name the right file as image, or export the scan with one file per slice."
        )
    path, whole = files[0].path, files[0].header
    frames = [Slice(path, header, frame=number) for number, header in enumerate(split_frames(whole))]
    slices = [frame for frame in frames if "LOCALIZER" not in _image_type(frame.header)]
    left_out.update(SCOUT for _ in range(len(frames) - len(slices)))
    check_one_volume([entry.header for entry in slices])
    return slices


def _without_scouts(slices: list[Slice], left_out: Counter[str]) -> list[Slice]:
    """Leave out a scout or two that are not marked as such: images across the slices and of another size."""
    orientations = [np.ravel(entry.header.get("ImageOrientationPatient") or []).astype(float) for entry in slices]
    if any(orientation.shape != (6,) for orientation in orientations):
        return slices
    normals = np.array([np.cross(orientation[:3], orientation[3:]) for orientation in orientations])
    across = np.abs(normals @ np.median(normals, axis=0)) < ACROSS
    sizes = [str([entry.header.get(tag) for tag in ("Rows", "Columns", "PixelSpacing")]) for entry in slices]
    usual = {size for size, odd in zip(sizes, across, strict=True) if not odd}
    scouts = np.array([odd and size not in usual for size, odd in zip(sizes, across, strict=True)])
    if not 0 < scouts.sum() <= MOST_SCOUTS < len(slices) - scouts.sum():
        return slices
    left_out[SCOUT] += int(scouts.sum())
    return [entry for entry, odd in zip(slices, scouts, strict=True) if not odd]


def _check_headers(slices: list[Slice]) -> None:
    for entry in slices:
        header = entry.header
        if header.get("Modality") not in MODALITIES:
            known = re.fullmatch("[A-Z]{2}", str(header.get("Modality")))
            raise InputError(
                f"The image is of {f'modality {known[0]}' if known else 'no known modality'}: only CT and PET can be "
                "read so far."
            )
        missing = [tag for tag in NEEDED_TAGS if header.get(tag) is None or header.get(tag) == ""]
        if missing:
            print(f"{entry.path} lacks {missing}")
            raise InputError(f"A slice lacks {' and '.join(missing)} in its DICOM header: export the series again.")
        _check_numbers(header)
        if header.get("PhotometricInterpretation") != "MONOCHROME2" or int(header.get("SamplesPerPixel") or 1) > 1:
            print(f"No grey values: {entry.path}")
            raise InputError("A slice is no grey-value image of a scan (a screenshot perhaps): export the scan itself.")
        unit = header.get("RescaleType") or "HU"
        if header.Modality == "CT" and unit not in RESCALE_TYPES:
            raise InputError(
                f"The image is in {f'the unit {unit}' if unit in OTHER_RESCALE_TYPES else 'another unit'} and not in "
                "Hounsfield units (a spectral map perhaps): export the CT image itself."
            )
    _check_agreement([entry.header for entry in slices])


def _check_numbers(header: pydicom.Dataset) -> None:
    wrong = []
    for tag, count in NUMBERS.items():
        values = np.ravel(header[tag].value).astype(float)
        if len(values) != count or not np.isfinite(values).all() or (tag == "PixelSpacing" and values.min() <= 0):
            wrong.append(tag)
    if wrong:
        raise InputError(f"A slice has no valid {' and '.join(wrong)} in its DICOM header: export the series again.")


def _check_agreement(headers: list[pydicom.Dataset]) -> None:
    def text(header: pydicom.Dataset, tag: str) -> str:
        return str(_image_type(header) if tag == "ImageType" else header.get(tag))

    different = [tag for tag in SAME_IN_ALL_SLICES if len({text(header, tag) for header in headers}) > 1]
    for tag, tolerance in {"PixelSpacing": SPACING_TOLERANCE_MM, "ImageOrientationPatient": COSINE_TOLERANCE}.items():
        if np.ptp(np.array([header[tag].value for header in headers], float), axis=0).max() > tolerance:
            different.append(tag)
    if different:
        raise InputError(f"The slices of the series differ in {' and '.join(different)}: export one scan as a series.")
