"""DICOM as bytes: what slices, frames or contours share is encoded once, by pydicom; what is their own is put in here.

A data set of pydicom per slice would take most of the time that a simulated cohort takes.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset, validate_file_meta
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

Elements = dict[int, bytes]  # encoded, by tag

GROUP_LENGTH = 0x00020000
ITEM = b"\xfe\xff\x00\xe0"
PREAMBLE = bytes(128) + b"DICM"
NUMBERS = {"US": "H", "UL": "L"}  # VR that are binary numbers
PADDED_WITH_ZERO = ("UI", "OB", "OW")  # to an even length; others with a space


def encoded(dataset: Dataset) -> Elements:
    """The elements of a data set as pydicom writes them: explicit VR, little endian, text in UTF-8."""
    correct_ambiguous_vr(dataset, is_little_endian=True)
    return {int(element.tag): _written(element) for element in dataset}


def elements(**values: Any) -> Elements:
    """Elements by keyword.

    Args:
        values: text as it stands in the file (see `decimals`), whole numbers (one or several) for binary VR, the items
            (see `item`) for sequences.
    """
    found = {}
    for keyword, value in values.items():
        tag, vr = _known(keyword)
        if vr == "SQ":
            content = b"".join(value)
        elif vr in NUMBERS:
            numbers = value if isinstance(value, Iterable) else [value]
            content = b"".join(struct.pack(f"<{NUMBERS[vr]}", number) for number in numbers)
        else:
            content = str(value).encode()
        found[tag] = _element(tag, vr, content)
    return found


def pixel_data(content: bytes, vr: str) -> Elements:
    """The element of the pixels; `vr` is OB or OW."""
    tag = tag_for_keyword("PixelData")
    return {tag: _element(tag, vr, content)}


def item(content: Elements) -> bytes:
    """An item of a sequence."""
    joined = _joined(content)
    return ITEM + struct.pack("<L", len(joined)) + joined


def decimals(values: Iterable[float]) -> str:
    """Numbers as a decimal text of DICOM; each must have 16 characters at most."""
    return "\\".join(map(repr, values))


def file_meta(kind: str) -> FileMetaDataset:
    """What heads the files of a SOP class; `write_file` puts the instance in."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = "1"  # replaced, but needed for the checks
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    validate_file_meta(meta, enforce_standard=True)
    return meta


def write_file(path: Path, meta: Elements, instance: str, content: Mapping[int, bytes]) -> None:
    """Write a DICOM file.

    Args:
        path: the file.
        meta: what heads the file, encoded.
        instance: its SOP instance UID, which is put into both parts of the file.
        content: the other elements of the data set.
    """
    group = meta | elements(MediaStorageSOPInstanceUID=instance)
    header = _joined({tag: element for tag, element in group.items() if tag != GROUP_LENGTH})
    length = _joined(elements(FileMetaInformationGroupLength=len(header)))
    path.write_bytes(PREAMBLE + length + header + _joined(content | elements(SOPInstanceUID=instance)))


@cache
def _known(keyword: str) -> tuple[int, str]:
    tag = tag_for_keyword(keyword)
    return tag, dictionary_VR(tag)


def _element(tag: int, vr: str, content: bytes) -> bytes:
    if len(content) % 2:
        content += b"\0" if vr in PADDED_WITH_ZERO else b" "
    length = "2xL" if vr in EXPLICIT_VR_LENGTH_32 else "H"
    return struct.pack(f"<HH2s{length}", tag >> 16, tag & 0xFFFF, vr.encode(), len(content)) + content


def _written(element: DataElement) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, "ISO_IR 192")
    return buffer.getvalue()


def _joined(content: Mapping[int, bytes]) -> bytes:
    return b"".join(content[tag] for tag in sorted(content))
