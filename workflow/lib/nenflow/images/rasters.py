"""NRRD and NIfTI files, read only when they are whole and say where they lie.

ITK fills what was cut off a NIfTI file with zeros, ignores values that a damaged size leaves over, passes over wrong
checksums, takes 1 mm where no spacing is given, and follows the headers of NRRD files to any other file.
"""

import errno
import math
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk
from isal import igzip

from nenflow.errors import InputError
from nenflow.images.geometry import COSINE_TOLERANCE

RASTER_SUFFIXES = (".nii", ".nii.gz", ".nrrd")
# The directions for which ITK knows what they mean in a patient.
NRRD_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")
NRRD_ENCODINGS = ("raw", "gzip", "gz")
NIFTI_BYTES = 348  # of its header, which is also the header's first number
NIFTI_OFFSET = 352  # where ITK begins the values
NIFTI_SIZE, NIFTI_TYPE, NIFTI_SCALE = 42, 70, 112  # where sizes, type and bits of a voxel, slope and intercept stand
INT16 = 4, 16  # such a type, and its bits
OFFSET = np.float32(-1024)  # of scanners; any but 0, with which readers would take the values for integers
GZIP_LEVEL = 1  # of 0 to 3
GZIP_LENGTH = 4  # bytes at the end of a gzip file that say how long its content is
NIFTI_MAGIC = b"n+1\0"  # header and values in one file
GZIP_MOST = 1032  # times that gzip can make anything smaller
NIFTI_UNITS = range(4)  # of length: not said, m, mm, um
SPACING_TOLERANCE = 1e-3  # relative; both places of a NIfTI file round to 32 bits, and tools to a few digits more
CHUNK = 2**20


def read_raster(path: Path, integers: bool = False) -> sitk.Image:
    """Read a NRRD (also seg.nrrd) or NIfTI file with its geometry and meta-data.

    Args:
        path: the file.
        integers: give whole numbers that `write_nifti` has stored with an offset as integers of 16 bits, not as
            decimals, where all of them fit.

    Raises:
        InputError: it is not self-contained, or does not say how large and how oriented its voxels are.
        ValueError, OSError, struct.error, RuntimeError: it is damaged.
    """
    if not path.is_file():
        raise OSError("no file")  # to open a pipe would wait for ever
    nrrd, values = path.name.lower().endswith(".nrrd"), None
    if nrrd:
        fields = _read_fields(path)
        _check_fields(fields)
    else:
        values = _checked_values(path, integers)
    reader = sitk.ImageFileReader()
    # None of ITK's many other readers gets to see the file, each with its own rules for geometry.
    reader.SetImageIO("NrrdImageIO" if nrrd else "NiftiImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if nrrd:
        _check_length(path, fields["encoding"] != "raw", reader)
    image = reader.Execute() if values is None else _image_of(values, reader)
    axes = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)
    if not np.abs(axes.T @ axes - np.eye(len(axes))).max() <= COSINE_TOLERANCE:
        raise InputError(
            "The axes of the NRRD or NIfTI file are not at right angles (gantry tilt?): resample it on an upright grid."
        )
    return image


def write_nifti(image: sitk.Image, path: Path) -> None:
    """Write a compressed NIfTI file (.nii.gz).

    ITK would compress as hard as gzip can, which for a scan takes ten times as long and saves a quarter of the file.
    Decimals that all are whole numbers, as those of CT, are stored in 16 bits with an offset, as scanners and dcm2niix
    do: half as much to pack, and all readers give the same decimals back.

    Raises:
        OSError: the disk is full.
    """
    head, values = _nifti_head(image, path.with_suffix("")), sitk.GetArrayViewFromImage(image)
    if values.dtype == np.float32:
        with suppress(_Decimals):
            return _pack(_with_offset(head), _whole_planes(values), path)
    _pack(head, values, path)


class _Decimals(Exception):
    """Not all values are whole numbers that have a place in 16 bits."""


def _pack(head: bytes, planes: Iterable[np.ndarray], path: Path) -> None:
    # Without name and time in its head the same image is the same bytes.
    with path.open("wb") as file, igzip.IGzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed:
        packed.write(head)
        for plane in planes:
            packed.write(plane)


def _nifti_head(image: sitk.Image, place: Path) -> bytes:
    """What stands before the values of an image: ITK writes it for the first voxel, and the size is put in."""
    try:
        sitk.WriteImage(image[:1, :1, :1], place)
        head = bytearray(place.read_bytes()[:NIFTI_OFFSET])
    finally:
        place.unlink(missing_ok=True)
    if len(head) != NIFTI_OFFSET:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # ITK does not notice a full disk
    struct.pack_into("<3h", head, NIFTI_SIZE, *image.GetSize())
    return head


def _with_offset(head: bytes) -> bytes:
    head = bytearray(head)
    struct.pack_into("<2h", head, NIFTI_TYPE, *INT16)
    struct.pack_into("<2f", head, NIFTI_SCALE, 1, OFFSET)
    return head


def _whole_planes(values: np.ndarray) -> Iterator[np.ndarray]:
    """Decimals less the offset, in 16 bits, in one place for all planes.

    Raises:
        _Decimals: one would come back changed.
    """
    decimals, stored = (np.empty(values.shape[1:], pixel) for pixel in (np.float32, np.int16))
    for plane in values:
        with np.errstate(invalid="ignore"):  # what has no place in 16 bits comes back as another number
            stored[:] = np.subtract(plane, OFFSET, out=decimals)
        if not np.array_equal(np.add(stored, OFFSET, out=decimals), plane):
            raise _Decimals
        yield stored


# --- NRRD (teem.sourceforge.net/nrrd/format.html) ---------------------------------------------------------------


def _head(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a header, up to the empty one after which the values begin."""
    while line := file.readline(CHUNK):
        if not line.strip(b"\r\n"):
            return
        yield line
    raise ValueError("a NRRD header without an end, so without values of its own")


def _read_fields(path: Path) -> dict[str, str]:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        lines = [line.decode("latin-1").strip() for line in _head(file)]
    if not lines or not lines[0].startswith("NRRD"):
        raise ValueError("no NRRD file")
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name = name.replace(" ", "").lower()
        if value.startswith("=") and name != "datafile":  # not a field, but anybody's own text
            continue
        fields[name] = value.strip().lower()  # ITK refuses one that stands twice
    return fields


def _check_fields(fields: dict[str, str]) -> None:
    if "datafile" in fields:
        raise InputError("The NRRD file keeps its values in another file: save it as one file.")
    if any(fields.get(name, "0") != "0" for name in ("byteskip", "lineskip")):
        raise InputError("The NRRD file has other content before its values: save it again.")
    if fields.get("encoding") not in NRRD_ENCODINGS:
        raise InputError("The NRRD file is encoded in another way than raw or gzip: save it as one of these.")
    if "spacedirections" not in fields and "spacings" not in fields:
        raise InputError("The NRRD file does not say how large its voxels are (space directions): save it with them.")
    if "spacedirections" in fields and fields.get("space") not in NRRD_SPACES:
        raise InputError(
            "The NRRD file does not say how its axes lie in the patient (space): save it as left-posterior-superior."
        )


def _check_length(path: Path, packed: bool, reader: sitk.ImageFileReader) -> None:
    voxel = sitk.Image([1] * reader.GetDimension(), reader.GetPixelID(), reader.GetNumberOfComponents())
    wanted = math.prod(reader.GetSize()) * voxel.GetSizeOfPixelComponent() * voxel.GetNumberOfComponentsPerPixel()
    with path.open("rb") as file:
        for _ in _head(file):
            pass
        found = _count(igzip.IGzipFile(fileobj=file) if packed else file)
    if found != wanted:
        raise ValueError(f"NRRD file of {found} bytes where its header needs {wanted}")


def _count(stream: BinaryIO) -> int:
    """Bytes to the end of a stream; gzip compares its checksum there."""
    return sum(len(chunk) for chunk in iter(lambda: stream.read(CHUNK), b""))


# --- NIfTI-1 (nifti.nimh.nih.gov, nifti1.h) -----------------------------------------------------------------------


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    with (igzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
        yield file


def _checked_values(path: Path, integers: bool) -> np.ndarray | None:
    """The values, or their bytes, which so are unpacked only once; None where ITK has to make something of them."""
    content, found = _content(path)
    head = content[:NIFTI_BYTES].tobytes()
    order = next((order for order in "<>" if struct.unpack_from(f"{order}i", head)[0] == NIFTI_BYTES), None)
    if order is None or head[344:] != NIFTI_MAGIC:
        raise InputError("The file is no NIfTI-1 file that holds header and values together: save it as one.")
    dimensions, *sizes = struct.unpack_from(f"{order}8h", head, 40)
    wanted = math.prod(sizes[:dimensions]) * struct.unpack_from(f"{order}h", head, 72)[0] // 8
    offset, slope, intercept = struct.unpack_from(f"{order}3f", head, 108)
    if offset < NIFTI_BYTES or found != offset + wanted:
        raise ValueError(f"NIfTI file of {found} bytes where its header needs {offset} and {wanted}")
    if not math.isfinite(slope) or not math.isfinite(intercept) or (slope == 0 and intercept != 0):
        raise InputError("The scale of the values in the NIfTI file is no number: save it again.")
    _check_nifti_grid(head, order)
    if order != "<" or slope not in (0, 1) or len(content) != found:
        return None
    values = content[int(offset) :]
    if intercept == 0:
        return values
    if slope != 1 or struct.unpack_from("<2h", head, NIFTI_TYPE) != INT16 or intercept != int(intercept):
        return None
    stored = values.view(np.int16)
    if integers and intercept == OFFSET and stored.min() + OFFSET >= np.iinfo(np.int16).min:
        stored += np.int16(OFFSET)
        return stored
    return stored + np.float32(intercept)


def _content(path: Path) -> tuple[np.ndarray, int]:
    """The bytes of a file, unpacked, as many as its end says that it has, and how many there are.

    A file that was packed in parts says so of the last one only. gzip compares checksums.
    """
    length = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        with path.open("rb") as file:
            file.seek(max(length - GZIP_LENGTH, 0))
            length = min(int.from_bytes(file.read(), "little"), GZIP_MOST * length)
    content = np.empty(max(length, NIFTI_BYTES), np.uint8)
    filled = 0
    with _open(path) as file:
        while count := file.readinto(content[filled : filled + CHUNK].data):
            filled += count
        return content[:filled], filled + _count(file)


def _image_of(values: np.ndarray, reader: sitk.ImageFileReader) -> sitk.Image:
    """The image whose header a reader has read, of the bytes of its values."""
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        return reader.Execute()
    if values.dtype == np.uint8:
        bare = sitk.Image([1, 1, 1], reader.GetPixelID())
        values = values.view(sitk.GetArrayViewFromImage(bare).dtype)
    image = sitk.GetImageFromArray(values.reshape(reader.GetSize()[::-1]))
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    for key in reader.GetMetaDataKeys():
        image.SetMetaData(key, reader.GetMetaData(key))
    return image


def _check_nifti_grid(head: bytes, order: str) -> None:
    """ITK takes the spacing from one place and the orientation from another, and only warns where they disagree."""
    spacing = np.array(struct.unpack_from(f"{order}3f", head, 80))
    quaternion = np.array(struct.unpack_from(f"{order}6f", head, 256))
    rows = np.reshape(struct.unpack_from(f"{order}12f", head, 280), (3, 4))
    by_quaternion, by_rows = (code > 0 for code in struct.unpack_from(f"{order}2h", head, 252))
    finite = (not by_quaternion or np.isfinite(quaternion).all()) and (not by_rows or np.isfinite(rows).all())
    if not finite or not (spacing > 0).all() or not np.isfinite(spacing).all() or head[123] & 7 not in NIFTI_UNITS:
        raise ValueError("NIfTI geometry that is no number")
    if by_rows and not np.allclose(np.linalg.norm(rows[:, :3], axis=0), spacing, rtol=SPACING_TOLERANCE, atol=0):
        raise InputError("The NIfTI file states two different voxel sizes (pixdim and sform): save it again.")
