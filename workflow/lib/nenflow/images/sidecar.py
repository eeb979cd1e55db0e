"""What is kept of DICOM headers: how a scan was made, nothing of the person, no dates, no identifiers."""

import math
import re
from collections.abc import Sequence, Set
from datetime import datetime

import pydicom
from pydicom.datadict import DicomDictionary

from nenflow.images.suv import uptake_minutes

# Written by the device. Nothing that a technician types (descriptions, protocol names, comments), nothing of the
# institution, no serial numbers.
KEPT_TAGS = (
    # the scanner
    "Modality", "Manufacturer", "ManufacturerModelName", "SoftwareVersions",
    # acquisition
    "KVP", "XRayTubeCurrent", "Exposure", "ExposureTime", "SpiralPitchFactor", "RevolutionTime", "CTDIvol",
    "SingleCollimationWidth", "TotalCollimationWidth", "FilterType", "ScanOptions", "PatientPosition",
    # reconstruction
    "ImageType", "SliceThickness", "ReconstructionDiameter", "ConvolutionKernel", "ReconstructionAlgorithm",
    "ReconstructionMethod", "LossyImageCompression", "LossyImageCompressionRatio",
    # PET
    "Units", "SUVType", "SeriesType", "CorrectedImage", "DecayCorrection", "AttenuationCorrectionMethod",
    "ScatterCorrectionMethod", "RandomsCorrectionMethod", "ActualFrameDuration",
)  # fmt: skip
# Should identity stand even in these: a text with a name separator, an address, a date, a long number or a UID.
SUSPICIOUS = re.compile(
    r"\^|@|(?<![\d.])\d{6}|\d+(\.\d+){3}|\d{1,2}[-./]\d{1,2}[-./](19|20)\d\d|(19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}"
)
# A date, or a record number, in a tag where a number belongs. The largest one kept is the duration of a frame in ms.
LARGEST = 1e7
IDENTIFIERS = ("PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber", "StudyID")
PERSONS = tuple(keyword for vr, _, _, _, keyword in DicomDictionary.values() if vr == "PN")
# A word of two letters of a name or number ("GE", "CT", "30") occurs in other texts by chance.
SHORTEST_WORD = 3
# What is typed as contrast agent when none was given. Where more follows ("no oral, Ultravist"), it is not clear.
DENIAL = r"(no|none|non|not|nil|n/a|na|0|without|w/o|native|plain|unenhanced|ohne|nativ|sans)\b"
NO_CONTRAST = re.compile(DENIAL + r"( given| used)?( i\.?v\.?)?( contrast( agent| media| medium)?)?", re.IGNORECASE)
CONTRAST_TAGS = ("ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastBolusStartTime", "ContrastFlowRate")
# Contrast phases of the abdomen lie within ten minutes of the injection; hepatobiliary ones within half an hour.
LONGEST_DELAY_S = 1800


def describe_headers(headers: Sequence[pydicom.Dataset]) -> dict:
    """Describe how a scan was made.

    Args:
        headers: of all slices of one scan.

    Returns:
        Ready for JSON: the tags of KEPT_TAGS by their DICOM keyword, as far as the headers have them (a list where a
        tag has several values; numbers that change from slice to slice as [smallest, largest], texts as a list);
        `contrast`, whether a contrast agent was given, where the headers say; `contrast_delay_s` from the start of the
        injection to the first slice; for PET `half_life_minutes` and `uptake_minutes` from injection to scan;
        `simulated`, whether the study says that its data are simulated.
    """
    words = set().union(*(identity_words(header) for header in headers)) if headers else set()
    tags = {}
    for tag in KEPT_TAGS:
        values = [_plain(header.get(tag)) for header in headers if header.get(tag) not in (None, "")]
        values = [value for value in values if not isinstance(value, float) or math.isfinite(value)]
        distinct = {str(value): value for value in values if not is_identity(value, words)}
        if len(distinct) == 1:
            tags[tag] = next(iter(distinct.values()))
        elif distinct:
            tags[tag] = _range([distinct[key] for key in sorted(distinct)])
    tags |= {name: value for name, value in _contrast(headers).items() if value is not None}
    tags |= {name: value for name, value in _radiopharmaceutical(headers).items() if value is not None}
    tags["simulated"] = any("simulated" in str(header.get("StudyDescription", "")).lower() for header in headers)
    return tags


def _range(values: list) -> list:
    return [min(values), max(values)] if all(isinstance(value, int | float) for value in values) else values


def _plain(value: object) -> object:
    if isinstance(value, pydicom.multival.MultiValue):
        return [_plain(entry) for entry in value]
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value).strip()


def _words(text: object) -> set[str]:
    return {word for word in re.findall(r"\w+", str(text).lower()) if len(word) >= SHORTEST_WORD}


def identity_words(header: pydicom.Dataset) -> set[str]:
    """Words of the names of persons and of record numbers in a header."""
    values = [header.get(tag) for tag in (*IDENTIFIERS, *PERSONS)]
    return set().union(*(_words(str(value).replace("_", " ")) | _words(value) for value in values if value))


def is_identity(value: object, words: Set[str]) -> bool:
    """Whether a text or number (or one of a list) looks like an identifier or has a word of the patient's identity."""
    if isinstance(value, list):
        return any(is_identity(entry, words) for entry in value)
    if isinstance(value, int | float):
        return abs(value) >= LARGEST or f"{value:.0f}" in words
    if not isinstance(value, str):
        return False
    return bool(SUSPICIOUS.search(value)) or not words.isdisjoint(_words(value) | _words(value.replace("_", " ")))


def _contrast(headers: Sequence[pydicom.Dataset]) -> dict:
    """The agent itself is free text and is not kept."""
    given = [_contrast_given(header) for header in headers]
    found = None if all(entry is None for entry in given) else any(given)
    delays = [_contrast_delay(header) for header in headers]
    return {"contrast": found, "contrast_delay_s": None if None in delays else min(delays, default=None)}


def _contrast_given(header: pydicom.Dataset) -> bool | None:
    administered = header.get("ContrastBolusAgentAdministered")
    if administered in ("YES", "NO"):
        return administered == "YES"
    agent = str(header.get("ContrastBolusAgent") or "").strip()
    if NO_CONTRAST.fullmatch(agent):
        return False
    if agent:
        return None if re.match(DENIAL, agent, re.IGNORECASE) else True
    if header.get("ContrastBolusAgentSequence") or any(header.get(tag) for tag in CONTRAST_TAGS):
        return True
    return None


def _contrast_delay(header: pydicom.Dataset) -> float | None:
    # ASSUME both times are of one day: the range would not hold otherwise.
    delay = _seconds(header.get("AcquisitionTime")) - _seconds(header.get("ContrastBolusStartTime"))
    return delay if 0 < delay <= LONGEST_DELAY_S else None


def _seconds(time: object) -> float:
    """Seconds since midnight of a DICOM time; NaN where there is none."""
    text = str(time or "").partition(".")[0].strip()
    try:
        clock = datetime.strptime(text, "%H%M%S")
    except ValueError:
        return float("nan")
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _radiopharmaceutical(headers: Sequence[pydicom.Dataset]) -> dict:
    if not headers or headers[0].get("Modality") != "PT":
        return {}
    items = headers[0].get("RadiopharmaceuticalInformationSequence") or [pydicom.Dataset()]
    half_life = items[0].get("RadionuclideHalfLife")
    uptakes = [uptake_minutes(header) for header in headers]
    return {
        "half_life_minutes": float(half_life) / 60 if half_life else None,
        "uptake_minutes": None if None in uptakes else min(uptakes),
    }
