"""Stored values of DICOM slices, decoded and checked against what their headers say."""

import math
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array
from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from nenflow.errors import InputError
from nenflow.logs import print_cause

PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
# Second bytes of the markers of a frame header: JPEG (ITU-T T.81, table B.1) and JPEG-LS (ITU-T T.87, C.1.1).
FRAME_HEADERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xF7)


def read_slice(path: Path, header: pydicom.Dataset, pixels: range) -> np.ndarray:
    """Values as they are stored in a DICOM file of one slice: what `read_stored` gives, without reading it once more.

    Args:
        path: the file.
        header: of it.
        pixels: the bytes at which its values lie, if they are not compressed.
    """
    if not _is_plain(header, pixels):
        return read_stored(path)
    kind = f"<{'iu'[header.PixelRepresentation == 0]}{header.BitsAllocated // 8}"
    shape = (1, header.Rows, header.Columns)
    stored = np.fromfile(path, kind, math.prod(shape), offset=pixels.start).reshape(shape)
    _check_bits(header, stored, None)
    return stored


def _is_plain(header: pydicom.Dataset, pixels: range) -> bool:
    """Whether size and sign are all there is to know of the pixels, and they are as many as the header says."""
    sizes = [header.get(tag) for tag in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel")]
    if not all(sizes) or header.file_meta.get("TransferSyntaxUID") not in PLAIN or "NumberOfFrames" in header:
        return False
    known = header.get("PixelRepresentation") in (0, 1) and "BitsStored" in header and "HighBit" in header
    rows, columns, bits, samples = sizes
    length = rows * columns * bits // 8
    return known and samples == 1 and bits in (8, 16) and len(pixels) == length + length % 2  # padded to be even


def read_stored(path: Path) -> np.ndarray:
    """Values as they are stored in a DICOM file, before rescaling.

    Returns:
        (frames, rows, columns), one frame in a file of a single slice.

    Raises:
        InputError: the pixels are cut off, compressed in a way that cannot be decoded, or contradict the header.
    """
    dataset = pydicom.dcmread(path)
    check_length(dataset)
    try:
        stored = pixel_array(dataset, correct_unused_bits=False)
        codestream = _codestream(dataset)
    except Exception as error:  # decoders raise nearly every built-in exception on damaged files
        print_cause(error, path)
        raise _refusal(dataset) from error
    _check_bits(dataset, stored, codestream)
    return stored.reshape(-1, *stored.shape[-2:])


def check_length(dataset: pydicom.Dataset) -> None:
    """Refuse pixels that are more than their header says; pydicom drops the rest, as if it were the end of the image.

    Raises:
        InputError: by a row or a column at least; less may be padding.
    """
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated or "PixelData" not in dataset:
        return
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    bits = int(dataset.BitsAllocated) * int(dataset.get("SamplesPerPixel") or 1)
    wanted = rows * columns * int(dataset.get("NumberOfFrames") or 1) * bits // 8
    if len(dataset.PixelData) - wanted >= max(2, min(rows, columns) * bits // 8):
        raise InputError(
            "The pixels contradict their header (Rows, Columns, NumberOfFrames or BitsAllocated): export it again."
        )


def _refusal(dataset: pydicom.Dataset) -> InputError:
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or not syntax.is_encapsulated:
        return InputError("The pixels of a slice cannot be read (the file is cut off?): export it again.")
    return InputError(
        f"The slices are compressed ({syntax.name}) in a way that cannot be decoded here, or are damaged: export them "
        "uncompressed."
    )


def _codestream(dataset: pydicom.Dataset) -> tuple[int, bool] | None:
    """Bits per value and signedness that the compressed pixels themselves state, where these can differ."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes):
        return None
    frame = next(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))
    if syntax in JPEG2000TransferSyntaxes:
        found = get_j2k_parameters(frame)
        return found["precision"], found["is_signed"]
    # JPEG and JPEG-LS know no negative values. Their frame header (marker, length, bits per value) follows others.
    at = 2
    while frame[at + 1] not in FRAME_HEADERS:
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return frame[at + 4], False


def _check_bits(dataset: pydicom.Dataset, stored: np.ndarray, codestream: tuple[int, bool] | None) -> None:
    bits, signed = int(dataset.BitsStored), dataset.PixelRepresentation == 1
    lowest = -(2 ** (bits - 1)) if signed else 0
    fits = stored.min() >= lowest and stored.max() < lowest + 2**bits and dataset.HighBit == bits - 1
    if codestream and signed and not codestream[1]:
        # Negative numbers that were compressed as positive ones can be told only by the right number of bits.
        fits &= codestream[0] in (bits, dataset.BitsAllocated)
    if codestream and codestream[1] and not signed:
        fits &= bool(stored.max() < 2 ** (codestream[0] - 1))
    if not fits:
        print(f"Stored {stored.min()} to {stored.max()}; header: {bits} bits, signed {signed}; inside: {codestream}")
        raise InputError(
            "The pixels of a slice contradict its header (BitsStored, HighBit or PixelRepresentation; graphics in "
            "unused bits perhaps), so their values are not clear: export the scan uncompressed and without graphics."
        )
