"""DICOM files, read only when they are whole.

pydicom reads what is left of a damaged file without a word: of a structure set that was cut off, the first contours;
after a wrong length, whatever the next bytes may be taken for. So it is checked first that the elements of a file
follow each other without gap or overlap, to its last byte.
"""

import mmap
import re
import struct
import zlib
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

FIRST = 132  # bytes before the first element: the preamble and "DICM"
META = 0x0002  # the group whose elements are always explicit and little-endian
DELIMITERS = 0xFFFE
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF  # a length that is not given: a delimiter follows
PIXEL_DATA = 0x7FE00010
PIXELS = (0x7FE00008, 0x7FE00009, PIXEL_DATA)
LONG = {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32}


def read_dicom(path: Path) -> pydicom.Dataset:
    """Read a DICOM file, and check that it is whole.

    Raises:
        ValueError, struct.error, zlib.error: it is damaged. pydicom raises nearly every built-in exception too.
    """
    dataset = pydicom.dcmread(path)
    _check_whole(path, dataset)
    return dataset


def read_header(path: Path) -> tuple[pydicom.Dataset, range]:
    """Read the header of a DICOM file, and check that the file is whole; raises as `read_dicom` does.

    Returns:
        What stands before the pixels, and at which bytes of the file these lie; none where they are compressed.
    """
    with path.open("rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        at = file.tell()
    return header, _check_whole(path, header, at)


def _check_whole(path: Path, dataset: pydicom.Dataset, pixels: int | None = None) -> range:
    """Raise unless elements fill the file; where the values of its pixels lie, if their element is at that place."""
    implicit, little = dataset.original_encoding
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = _Elements(content, implicit=False, little=True).end_of_group(FIRST, META)
        if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            inside = zlib.decompress(content[start:], -zlib.MAX_WBITS)
            _Elements(inside, implicit, little).check()
            return range(0)
        elements = _Elements(content, implicit, little)
        elements.check(start)
        return range(0) if pixels is None else elements.values_of_pixels(pixels)


def uid_to_print(text: object) -> str:
    """A UID, for the log. Other text in its place may be anything, such as a name, and is not printed."""
    return str(text) if re.fullmatch(r"\d+(\.\d+){3,}", str(text)) else "(no UID)"


class _Elements:
    """The elements of a file as DICOM PS3.5 chapter 7 lays them out."""

    def __init__(self, content: bytes | mmap.mmap, implicit: bool, little: bool):
        self.content, self.implicit = content, implicit
        order = "<" if little else ">"
        self._tag, self._length, self._short = (struct.Struct(order + code) for code in ("HH", "I", "H"))

    def check(self, start: int = 0) -> None:
        """Raise unless elements fill the file from a place to its end."""
        at, seen = start, set()
        while at < len(self.content):
            at = self._element(at, len(self.content), seen)

    def end_of_group(self, start: int, group: int) -> int:
        at, seen = start, set()
        while at < len(self.content) and self._tag.unpack_from(self.content, at)[0] == group:
            at = self._element(at, len(self.content), seen)
        return at

    def values_of_pixels(self, at: int) -> range:
        """Where the values of an element lie, if these are pixels and one after the other."""
        tag, _, length, start = self._head(at) if at < len(self.content) else (0, b"", 0, 0)
        return range(start, start + length) if tag == PIXEL_DATA and length != UNDEFINED else range(0)

    def _head(self, at: int) -> tuple[int, bytes, int, int]:
        """Tag, value representation (b"" where it is not written), length, and where the value starts."""
        group, element = self._tag.unpack_from(self.content, at)
        tag, kind = group << 16 | element, self.content[at + 4 : at + 6]
        # Some writers change to the implicit form within sequences, and pydicom follows them.
        if self.implicit or group == DELIMITERS or not (kind.isalpha() and kind.isupper()):
            return tag, b"", self._length.unpack_from(self.content, at + 4)[0], at + 8
        if kind in LONG:
            return tag, kind, self._length.unpack_from(self.content, at + 8)[0], at + 12
        return tag, kind, self._short.unpack_from(self.content, at + 6)[0], at + 8

    def _element(self, at: int, end: int, seen: set[int]) -> int:
        """Check one element that must lie before `end`; return where the next one starts."""
        tag, kind, length, start = self._head(at)
        if tag >> 16 == DELIMITERS or tag in seen:
            raise ValueError(f"At byte {at} an item where none can be, or an element for the second time")
        seen.add(tag)
        if length == UNDEFINED:
            return self._items(start, end, delimited=True, opaque=tag in PIXELS)
        if start + length > end:
            raise ValueError(f"The element at byte {at} is longer than what holds it")
        if kind == b"SQ" or (not kind and _is_sequence(tag)):
            self._items(start, start + length, delimited=False, opaque=False)
        return start + length

    def _items(self, at: int, end: int, delimited: bool, opaque: bool) -> int:
        """Check the items of a sequence, or of compressed pixels, whose content has no elements."""
        while delimited or at < end:
            tag, _, length, at = self._head(at)
            if delimited and tag == SEQUENCE_END:
                return at
            if tag != ITEM or (length != UNDEFINED and at + length > end):
                raise ValueError(f"Before byte {at} no item that fits into its sequence")
            if opaque:
                at += length
            else:
                at = self._item(at, end if length == UNDEFINED else at + length, length == UNDEFINED)
        return at

    def _item(self, at: int, end: int, delimited: bool) -> int:
        seen: set[int] = set()
        while delimited or at < end:
            if delimited and self._head(at)[0] == ITEM_END:
                return at + 8
            at = self._element(at, end, seen)
        return at


def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
