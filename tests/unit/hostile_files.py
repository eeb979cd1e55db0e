"""Small good inputs of every format, and ways in which files get damaged; everything follows from a seed."""

import gzip
import os
import struct
from dataclasses import dataclass
from functools import partial

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from images_files import (
    FRAME,
    ORIGIN,
    SERIES,
    SPACING,
    STUDY,
    box,
    ct_slice,
    pet_tags,
    position,
    write_label_map,
    write_multiframe,
    write_segmentation,
    write_series,
    write_structure,
)  # fmt: skip

SHAPE = (4, 16, 14)
LESION = box((1, 2), (4, 9), (5, 11), SHAPE)
OTHER = box((0, 3), (1, 6), (2, 7), SHAPE)
# What must stand in nothing that is written. The number has eight digits, since nobody can tell from four of them that
# they have moved to another tag.
IDENTITY = {"PatientName": "Doe^Jane", "PatientID": "47110071", "PatientBirthDate": "19500101"}
SECRETS = ("Doe", "Jane", "47110071", "19500101", "1.2.826.0.1")
# What is right after a damage; a refusal always is.
UNCHANGED, AS_IT_SAYS, REFUSED = "the same as before", "as the files now say", "nothing but a refusal"


@dataclass
class Good:
    """One case: its files by path, and the row of the table of cases."""

    files: dict
    image: str
    segmentation: str
    segment: str = "lesion"

    def paths(self, what):
        """The files of the image, or of the segmentation."""
        name = getattr(self, what)
        return [path for path in sorted(self.files) if path == name or path.startswith(f"{name}/")]


# --- good inputs -----------------------------------------------------------------------------------------------------


def make_goods(folder):
    """Good inputs by name; the same bytes each time."""
    ct = write_series(folder / "ct", SHAPE, change=_settle_slice, **IDENTITY)
    write_series(folder / "pet", SHAPE, change=_settle_slice, **IDENTITY, **pet_tags(2.0))
    slices = [
        ct_slice(np.arange(224).reshape(SHAPE[1:]) + 224 * n, n, SOPInstanceUID=f"{SERIES}.9", **IDENTITY)
        for n in range(SHAPE[0])
    ]
    write_multiframe(folder / "enhanced.dcm", slices)
    outlines = {"lesion": (LESION, (5, 11, 4, 9)), "other": (OTHER, (2, 7, 1, 6))}
    rois = [
        (number, name, [_rectangle(*edges, int(k)) for k in np.flatnonzero(array.any(axis=(1, 2)))])
        for number, (name, (array, edges)) in enumerate(outlines.items(), 1)
    ]
    write_structure(folder / "rs.dcm", rois)
    arrays = {"lesion": LESION, "other": OTHER}
    write_segmentation(folder / "binary.dcm", ct, arrays)
    write_segmentation(
        folder / "fractional.dcm", ct, {"lesion": LESION * 0.8}, "FRACTIONAL", fractional_type="OCCUPANCY"
    )
    write_label_map(
        folder / "labelmap.dcm", ct, np.maximum(LESION * 2, OTHER * (1 - LESION)), {1: "other", 2: "lesion"}
    )
    for name in ("rs", "binary", "fractional", "labelmap"):
        _settle(folder / f"{name}.dcm")
    read = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")}
    return _dicom_goods(read) | _picture_goods(read)


def _dicom_goods(read):
    ct = {path: data for path, data in read.items() if path.startswith("ct/")}
    pet = {path: data for path, data in read.items() if path.startswith("pet/")}
    goods = {name: Good(ct | {f"{name}.dcm": read[f"{name}.dcm"]}, "ct", f"{name}.dcm") for name in (
        "binary", "fractional", "labelmap", "rs")}  # fmt: skip
    goods["enhanced"] = Good({name: read[name] for name in ("enhanced.dcm", "rs.dcm")}, "enhanced.dcm", "rs.dcm")
    goods["pet"] = Good(pet | {"rs.dcm": read["rs.dcm"]}, "pet", "rs.dcm")
    packed = {path: rewrite(data, _pack) for path, data in ct.items()}
    goods["packed"] = Good(packed | {"rs.dcm": rewrite(read["rs.dcm"], _undefine)}, "ct", "rs.dcm")
    implicit = {path: rewrite(data, syntax=ImplicitVRLittleEndian) for path, data in ct.items()}
    goods["implicit"] = Good(
        implicit | {"rs.dcm": rewrite(read["rs.dcm"], syntax=ImplicitVRLittleEndian)}, "ct", "rs.dcm"
    )
    return goods


def _picture_goods(read):
    ct = {path: data for path, data in read.items() if path.startswith("ct/")}
    scan = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 500
    labels = np.maximum(LESION, OTHER * 2 * (1 - LESION)).astype(np.int16)
    layers = np.stack([LESION, OTHER])
    texts = {}
    for number, name in enumerate(("lesion", "other")):
        texts |= {f"Segment{number}_ID": f"S_{number}", f"Segment{number}_Name": name,
                  f"Segment{number}_LabelValue": "1", f"Segment{number}_Layer": str(number)}  # fmt: skip
    return {
        "nrrd": Good({"a.nrrd": nrrd(scan), "m.nrrd": nrrd(labels, packed=True)}, "a.nrrd", "m.nrrd", "1"),
        "nrrd.gz": Good({"a.nrrd": nrrd(scan, packed=True), "m.nrrd": nrrd(labels)}, "a.nrrd", "m.nrrd", "1"),
        "slicer": Good(ct | {"m.seg.nrrd": nrrd(layers, texts)}, "ct", "m.seg.nrrd"),
        "slicer.gz": Good(ct | {"m.seg.nrrd": nrrd(layers, texts, packed=True)}, "ct", "m.seg.nrrd"),
        "nii": Good({"a.nii": nifti(scan), "m.nii": nifti(labels)}, "a.nii", "m.nii", "1"),
        "nii.gz": Good({"a.nii.gz": _gzip(nifti(scan)), "m.nii.gz": _gzip(nifti(labels))}, "a.nii.gz", "m.nii.gz", "1"),
    }  # fmt: skip


def _settle_slice(dataset, number):
    dataset.SOPInstanceUID = f"{SERIES}.{number + 1}"


def _rectangle(left, right, top, bottom, number):
    a, b, c, d = left - 0.4, right + 0.4, top - 0.4, bottom + 0.4
    return position([(a, c, number), (b, c, number), (b, d, number), (a, d, number)])


def _settle(path):
    """Put fixed identifiers and times where highdicom draws them anew each time."""
    known = {}

    def fix(_, element):
        if element.VR in ("DA", "TM", "DT"):
            element.value = {"DA": "19500101", "TM": "101112", "DT": "19500101101112"}[element.VR]
        if element.VR == "UI" and not str(element.value).startswith(("1.2.840", FRAME, STUDY, SERIES)):
            element.value = known.setdefault(str(element.value), f"{STUDY}.7.{len(known) + 10}")

    dataset = pydicom.dcmread(path)
    dataset.walk(fix)
    for tag, value in IDENTITY.items():
        setattr(dataset, tag, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)


def _pack(dataset):
    dataset.compress(RLELossless, generate_instance_uid=False)


def _undefine(dataset):
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True


def rewrite(content, edit=None, syntax=None):
    """A DICOM file after `edit(dataset)`."""
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
    if edit:
        edit(dataset)
    if syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    stream = pydicom.filebase.DicomBytesIO()
    how = {"implicit_vr": syntax.is_implicit_VR, "little_endian": True} if syntax else {}
    dataset.save_as(stream, enforce_file_format=False, **how)
    return stream.getvalue()


def nrrd(array, texts=None, packed=False, changes=None):
    """A NRRD file on the grid of the series; an array of four axes has the layers first."""
    layers = array.ndim == 4
    vectors = "({:.17g},0,0) (0,{:.17g},0) (0,0,{:.17g})".format(*SPACING)
    fields = {
        "type": {"int16": "short", "uint8": "uchar"}[array.dtype.name],
        "dimension": str(array.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, ([array.shape[0]] if layers else []) + list(array.shape[:-4:-1]))),
        "space directions": ("none " if layers else "") + vectors,
        "kinds": ("list " if layers else "") + "domain domain domain",
        "endian": "little",
        "encoding": "gzip" if packed else "raw",
        "space origin": "({:.17g},{:.17g},{:.17g})".format(*ORIGIN),
    } | (changes or {})  # fmt: skip
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    lines += [f"{name}:={value}" for name, value in (texts or {}).items()]
    data = (np.moveaxis(array, 0, -1) if layers else array).tobytes()
    return "\n".join(lines).encode() + b"\n\n" + (_gzip(data) if packed else data)


def _gzip(data):
    return gzip.compress(data, mtime=0)


def nifti(array):
    """A NIfTI-1 file on the grid of the series, its orientation as sform and as qform (nifti1.h)."""
    head = bytearray(352)
    step, origin = np.array(SPACING) * [-1, -1, 1], ORIGIN * [-1, -1, 1]
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<4f", head, 76, 1, *SPACING)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    head[123] = 10
    head[148:156] = b"Doe^Jane"
    struct.pack_into("<2h", head, 252, 1, 1)
    struct.pack_into("<6f", head, 256, 0, 0, 1, *origin)  # half a turn about the third axis
    rows = np.column_stack([np.diag(step), origin])
    struct.pack_into("<12f", head, 280, *rows.ravel())
    head[344:348] = b"n+1\0"
    return bytes(head) + array.astype("<i2").tobytes()


# --- damage to any file: a function of (bytes, random numbers) ------------------------------------------------------


def cut(data, rng):
    return data[: rng.integers(1, len(data))]


def cut_near_the_end(data, rng):
    return data[: -rng.integers(1, min(200, len(data)))]


def lose_bytes(data, rng):
    at, count = rng.integers(1, len(data)), rng.integers(1, 40)
    return data[:at] + data[at + count :]


def add_bytes(data, rng):
    at = rng.integers(1, len(data) - 1)
    return data[:at] + rng.bytes(rng.integers(1, 40)) + data[at:]


def overwrite(data, rng, places, count=None):
    """Put other values into one to four of the given bytes."""
    changed = bytearray(data)
    for at in rng.choice(places, count or rng.integers(1, 5)):
        changed[at] ^= rng.integers(1, 256)
    return bytes(changed)


# --- damage to DICOM files -------------------------------------------------------------------------------------------

WRONG = (
    b"Doe^Jane", b"47110071 ", b"NaN ", b"inf ", b"-inf", b"1e400 ", b"1e308 ", b"-1", b"0 ", b"../../x ",
    b"/etc/passwd ", b"1\\2 ", b"1\\2\\3\\4\\5\\6\\7 ", b"\xc4\xf6\xff ", b"9" * 70, b"\0\0\0\0", b"\xff" * 8,
    b"19500101", b"A\nB ", b"0.0 ", b"1.2.826.0.1.3680043.8.498.999 ", b"YES ", b"-0.7\\0.8 ", b"1e-12\\1e-12 ",
)  # fmt: skip
GEOMETRY = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
VALUES = ("RescaleSlope", "RescaleIntercept", "PixelRepresentation", "BitsStored", "BitsAllocated", "HighBit", "Rows",
          "Columns", "SamplesPerPixel", "PhotometricInterpretation", "Modality", "SOPClassUID", "SeriesInstanceUID",
          "FrameOfReferenceUID", "NumberOfFrames", "ImageType", "PatientID")  # fmt: skip
PET = ("Units", "DecayCorrection", "CorrectedImage", "PatientWeight", "SeriesDate", "SeriesTime", "AcquisitionDate",
       "AcquisitionTime", "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime")  # fmt: skip
SEGMENTS = ("SegmentationType", "MaximumFractionalValue", "SegmentNumber", "SegmentLabel", "ReferencedSegmentNumber",
            "ROINumber", "ROIName", "ReferencedROINumber", "ContourData", "NumberOfContourPoints",
            "ContourGeometricType", "ReferencedFrameOfReferenceUID")  # fmt: skip
IMPORTANT = (*GEOMETRY, *VALUES, *PET, *SEGMENTS)


def elements(data):
    """Places of all elements of an explicit little-endian file: (tag, start, start of the value, end)."""
    found = []

    def walk(at, end):
        while at < end:
            group, element = struct.unpack_from("<HH", data, at)
            if group == 0xFFFE:  # an item, or where one ends
                length = struct.unpack_from("<I", data, at + 4)[0]
                found.append((group << 16 | element, at, at + 8, at + 8))
                at += 8
                continue
            kind = data[at + 4 : at + 6]
            if kind in (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT"):
                start, length = at + 12, struct.unpack_from("<I", data, at + 8)[0]
            else:
                start, length = at + 8, struct.unpack_from("<H", data, at + 6)[0]
            stop = start if kind == b"SQ" or length == 0xFFFFFFFF else start + length
            found.append((group << 16 | element, at, start, stop))
            at = stop

    walk(132, len(data))
    return found


def _places(data, structure):
    spans = [
        range(start, value) if structure else range(value, end)
        for tag, start, value, end in elements(data)
        if tag >> 16 > 2 and tag != 0x7FE00010
    ]
    return [at for span in spans for at in span]


def hit_structure(data, rng):
    return overwrite(data, rng, _places(data, structure=True))


def hit_lengths(data, rng):
    """Other lengths, the most frequent of them 8 bytes off: where the next element starts."""
    _, at, value, _ = elements(data)[rng.integers(10, len(elements(data)))]
    changed = bytearray(data)
    place = at + (8 if value - at == 12 else 4 if changed[at : at + 2] == b"\xfe\xff" else 6)
    changed[place] = (changed[place] + int(rng.choice([-8, 8, -2, 2, 1, 64]))) % 256
    return bytes(changed)


def hit_values(data, rng):
    return overwrite(data, rng, _places(data, structure=False))


def hit_pixels(data, rng):
    _, _, start, end = next(place for place in elements(data) if place[0] == 0x7FE00010)
    return overwrite(data, rng, range(start, end if end > start else len(data)))


def cut_between_elements(data, rng):
    places = elements(data)
    return data[: places[rng.integers(8, len(places))][1]]


def _everything(dataset):
    """Pairs of a dataset and the tag of one of its elements, nested ones too."""
    pairs = []
    for element in dataset:
        pairs.append((dataset, element.tag))
        if element.VR == "SQ":
            pairs += [pair for item in element.value for pair in _everything(item)]
    return pairs


def _choose(dataset, rng):
    """An element; mostly one that matters."""
    pairs = _everything(dataset)
    important = [(item, tag) for item, tag in pairs if pydicom.datadict.keyword_for_tag(tag) in IMPORTANT]
    pairs = important if important and rng.random() < 0.85 else pairs
    return pairs[rng.integers(len(pairs))]


def _set(item, tag, value):
    implicit, little = item.original_encoding
    item._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, implicit, little)


def delete(dataset, rng):
    item, tag = _choose(dataset, rng)
    del item[tag]


def empty(dataset, rng):
    item, tag = _choose(dataset, rng)
    item[tag].value = None if item[tag].VR != "SQ" else []


def mistype(dataset, rng):
    item, tag = _choose(dataset, rng)
    item.add_new(tag, item[tag].VR, None)
    _set(item, tag, WRONG[rng.integers(len(WRONG))])


def swap(dataset, rng):
    """Exchange what two elements hold, byte by byte."""
    names = (*IMPORTANT, *IDENTITY, "Manufacturer", "ConvolutionKernel", "SliceThickness")
    there = [(item, tag) for item, tag in _everything(dataset) if pydicom.datadict.keyword_for_tag(tag) in names]
    there = [(item, tag) for item, tag in there if item[tag].VR != "SQ"]
    (one, first), (other, second) = (there[rng.integers(len(there))] for _ in range(2))
    texts = [str(item[tag].value).strip("[]").replace(", ", "\\").replace("'", "") for item, tag in (
        (one, first), (other, second))]  # fmt: skip
    texts = [text.encode("latin-1", "replace") + b" " * (len(text) % 2) for text in texts]
    _set(one, first, texts[1])
    _set(other, second, texts[0])


def resize(dataset, rng):
    """Sizes that the pixels do not have."""
    tag = str(rng.choice([name for name in ("Rows", "Columns", "NumberOfFrames") if name in dataset]))
    now = int(dataset[tag].value)
    setattr(dataset, tag, int(rng.choice([0, 1, now - 1, now + 1, now // 2, now * 2, 65535])))


def lose_place(dataset, rng):
    """A position, spacing or orientation that is no number."""
    there = [(item, tag) for item, tag in _everything(dataset) if pydicom.datadict.keyword_for_tag(tag) in GEOMETRY]
    item, tag = there[rng.integers(len(there))]
    texts = [b"0.5"] * len(item[tag].value)
    texts[rng.integers(len(texts))] = [b"nan", b"NaN", b"inf", b"-INF", b"1e999"][rng.integers(5)]
    _set(item, tag, b"\\".join(texts) + b" " * (len(b"\\".join(texts)) % 2))


def break_sequence(dataset, rng):
    """A sequence that lacks an item, has one twice, is empty, is text or is nested into itself many times."""
    pairs = [(item, tag) for item, tag in _everything(dataset) if item[tag].VR == "SQ" and item[tag].value]
    if not pairs:
        return delete(dataset, rng)
    item, tag = pairs[rng.integers(len(pairs))]
    items, how = list(item[tag].value), rng.integers(6)
    if how == 0:
        items.pop(rng.integers(len(items)))
    elif how == 1:
        items.append(items[rng.integers(len(items))])
    elif how == 2:
        items.reverse()
    elif how == 3:
        for _ in range(60):
            outer = pydicom.Dataset()
            outer[tag] = pydicom.DataElement(tag, "SQ", items)
            items = [outer]
    elif how == 4:
        items = [pydicom.Dataset() for _ in items]
    item[tag].value = items if how < 5 else []
    return None


def relabel(data, rng):
    """Another transfer syntax than the file has."""
    syntaxes = [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
                JPEG2000Lossless, JPEGLSLossless, "1.2.3.4", ""]  # fmt: skip
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(data), stop_before_pixels=True)
    own = str(dataset.file_meta.TransferSyntaxUID).encode()
    other = str(rng.choice([text for text in map(str, syntaxes) if text.encode() != own])).encode()
    at = data.index(b"\x02\x00\x10\x00UI") + 6
    length = struct.unpack_from("<H", data, at)[0]
    other += b"\0" * (len(other) % 2)
    return data[:at] + struct.pack("<H", len(other)) + other + data[at + 2 + length :]


def edited(change):
    """Damage to a parsed file, as damage to bytes; what cannot be written that way is written as it was."""

    def damage(data, rng):
        try:
            return rewrite(data, partial(change, rng=rng))
        except (ValueError, TypeError, AttributeError, OverflowError, struct.error, KeyError):
            return cut(data, rng)

    damage.__name__ = change.__name__
    return damage


# Damage to bytes, and what is right after it.
ANY_FILE = {cut: UNCHANGED, cut_near_the_end: UNCHANGED, lose_bytes: UNCHANGED, add_bytes: UNCHANGED}
DICOM_BYTES = {hit_structure: UNCHANGED, hit_lengths: UNCHANGED, cut_between_elements: UNCHANGED, relabel: UNCHANGED,
               hit_values: AS_IT_SAYS}  # fmt: skip
DICOM_TAGS = {edited(change): AS_IT_SAYS for change in (delete, empty, mistype, swap, resize, break_sequence)} | {
    edited(lose_place): AS_IT_SAYS}  # fmt: skip


# --- damage to NRRD and NIfTI ----------------------------------------------------------------------------------------

WRONG_FIELDS = {
    "type": ["ushort", "float", "double", "block", "Doe^Jane", "", "int16", "uchar"],
    "dimension": ["2", "4", "0", "-3", "99999999999", "three"],
    "space": ["right-anterior-superior", "scanner-xyz", "left-anterior-superior", "Doe", "3D-right-handed", None],
    "sizes": ["14 16 3", "14 15 4", "16 14 4", "0 16 4", "-14 -16 4", "99999 99999 99999", "14 16 4 1", "14", "1e3 2 2",
              "14 16 5", "7 32 4"],
    "space directions": ["(nan,0,0) (0,0.8,0) (0,0,2.5)", "(0.7,0,0) (0,0.8,0) (0,0.6,2.4)",
                         "(0,0,0) (0,0.8,0) (0,0,2.5)",
                         "(0.7,0,0) (0.7,0,0) (0,0,2.5)", "(0,0.7,0) (0.8,0,0) (0,0,2.5)", None,
                         "(1e300,0,0) (0,1,0) (0,0,1)",
                         "(0.7,0,0) (0,0.8,0)", "(inf,0,0) (0,0.8,0) (0,0,2.5)",
                         "none (0,0.8,0) (0,0,2.5)", "Doe^Jane"],
    "space origin": ["(nan,nan,nan)", "(35,-20,-100)", None, "(1e300,0,0)", "Doe", "(0,0)"],
    "endian": ["big", None, "middle"],
    "encoding": ["gzip", "raw", "ascii", "hex", "bzip2", "Doe", None],
    "kinds": ["vector domain domain", "domain", "Doe Doe Doe"],
}  # fmt: skip
EXTRA_FIELDS = ["byte skip: -1", "byte skip: 8", "line skip: 1", "spacings: 1 1 1", "sizes: 14 16 3", "type: float",
                "Doe^Jane", "axis mins: 0 0 0", "space units: \"m\" \"m\" \"m\"", "Segment0_Name:=x\\ny",
                "\x00\x01", "content: Doe^Jane"]  # fmt: skip
ELSEWHERE = ["/etc/passwd", "../secret.raw", "secret.raw", "LIST\n../secret.raw", "../../../../../../etc/passwd",
             "secret%d.raw 1 4 1", "a.nrrd", "m.nrrd", "SECRET"]  # fmt: skip


def _split(data):
    head, rest = data.split(b"\n\n", 1)
    return head.split(b"\n"), rest


def _join(lines, rest):
    return b"\n".join(lines) + b"\n\n" + rest


def change_field(data, rng):
    lines, rest = _split(data)
    name = list(WRONG_FIELDS)[rng.integers(len(WRONG_FIELDS))]
    value = WRONG_FIELDS[name][rng.integers(len(WRONG_FIELDS[name]))]
    at = next(number for number, line in enumerate(lines) if line.startswith(name.encode() + b": "))
    lines[at : at + 1] = [] if value is None else [f"{name}: {value}".encode()]
    return _join(lines, rest)


def add_field(data, rng):
    lines, rest = _split(data)
    lines.insert(rng.integers(1, len(lines) + 1), EXTRA_FIELDS[rng.integers(len(EXTRA_FIELDS))].encode())
    return _join(lines, rest)


def swap_fields(data, rng):
    lines, rest = _split(data)
    fields = [number for number, line in enumerate(lines) if b": " in line]
    one, other = rng.choice(fields, 2, replace=False)
    (first, a), (second, b) = (lines[number].split(b": ", 1) for number in (one, other))
    lines[one], lines[other] = first + b": " + b, second + b": " + a
    return _join(lines, rest)


def point_elsewhere(data, rng):
    lines, rest = _split(data)
    word = [b"data file: ", b"datafile: ", b"DATA FILE: ", b"Data File:  "][rng.integers(4)]
    target = ELSEWHERE[rng.integers(len(ELSEWHERE))].replace("SECRET", "{secret}").encode()
    lines.insert(len(lines) if b"LIST" in target else rng.integers(1, len(lines) + 1), word + target)
    return _join(lines, rest) if rng.random() < 0.5 else b"\n".join(lines) + b"\n"


def hit_header(data, rng):
    return overwrite(data, rng, range(8, data.index(b"\n\n")))


def hit_data(data, rng):
    return overwrite(data, rng, range(data.index(b"\n\n") + 2, len(data)))


def hit_nifti_header(data, rng):
    return overwrite(data, rng, range(352), int(rng.integers(1, 3)))


def hit_nifti_data(data, rng):
    return overwrite(data, rng, range(352, len(data)))


def hit_packed(data, rng):
    return overwrite(data, rng, range(12, len(data)))


def packed_header(data, rng):
    return _gzip(hit_nifti_header(gzip.decompress(data), rng))


NRRD = {
    change_field: AS_IT_SAYS,
    add_field: AS_IT_SAYS,
    swap_fields: AS_IT_SAYS,
    point_elsewhere: REFUSED,
    hit_header: AS_IT_SAYS,
}
PLAIN_NRRD, PACKED_NRRD = {hit_data: AS_IT_SAYS}, {hit_data: UNCHANGED}
PLAIN_NIFTI = {hit_nifti_header: AS_IT_SAYS, hit_nifti_data: AS_IT_SAYS}
PACKED_NIFTI = {hit_packed: UNCHANGED, packed_header: AS_IT_SAYS}


# --- something else where a file should be ---------------------------------------------------------------------------


def put_nothing(path):
    path.write_bytes(b"")


def put_folder(path):
    path.mkdir()


def put_loop(path):
    path.symlink_to(path.name)


def put_dangling_link(path):
    path.symlink_to(path.parent / "lost")


def put_zeros(path):
    path.write_bytes(bytes(2000))


def put_text(path):
    path.write_text("Doe^Jane 19500101 " * 30, encoding="utf-8")


def put_noise(path):
    path.write_bytes(np.random.default_rng(0).bytes(3000))


def put_pipe(path):
    os.mkfifo(path)


ODD_FILES = (put_nothing, put_folder, put_loop, put_dangling_link, put_zeros, put_text, put_noise, put_pipe)
