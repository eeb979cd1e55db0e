"""DICOM series of CT (as Hounsfield units) and PET (as SUV), NIfTI and NRRD files as volumes."""

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.misc import is_dicom
from pydicom.uid import HTJ2K, JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from nenflow.errors import TRIED_AGAIN, InputError, enough_memory
from nenflow.images.geometry import direction_of, stack_slices
from nenflow.images.pixels import read_slice
from nenflow.images.rasters import RASTER_SUFFIXES, read_raster
from nenflow.images.series import Slice, find_slices
from nenflow.images.sidecar import describe_headers
from nenflow.images.suv import suvbw_factors
from nenflow.logs import print_cause

# What a system answers that does not give a file now: no permission, a disk or a server that fails.
REFUSED = {errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
UNITS = {"CT": "HU", "PT": "SUV"}
ALWAYS_LOSSY = {JPEGBaseline8Bit, JPEGExtended12Bit}
PERHAPS_LOSSY = {JPEG2000, JPEGLSNearLossless, HTJ2K}


@dataclass(frozen=True)
class Volume:
    """A scan.

    Attributes:
        image: 3D, float32, Hounsfield units for CT and SUV by body weight (g/ml) for PET. Float, because interpolation
            of an integer image truncates and slopes need not be whole; HU are exact in it.
        frame_of_reference: DICOM UID of the coordinate system; None for files that have none (NIfTI, NRRD).
        modality: as DICOM names it; None when the file does not say.
        tags: how the image was made, ready for JSON; holds no identity. `unit` is HU or SUV, and lacks where the file
            does not say; `notes` are sentences about what was left out or should be known.
    """

    image: sitk.Image
    frame_of_reference: str | None
    modality: str | None
    tags: dict


def read_volume(path: Path, series: str | None = None) -> Volume:
    """Read a scan.

    Slices are ordered by position along their normal; orientation, spacing and rescaling (which may differ from slice
    to slice) come from the headers. Scouts, screenshots and objects that are no images are left out and noted.

    Args:
        path: folder of a DICOM series (one file per slice, or one multi-frame file), a multi-frame DICOM file, or a
            NIfTI or NRRD file.
        series: Series Instance UID, needed when the folder holds several series.

    Raises:
        InputError: the scan cannot be read without guessing; the sentence says why. Paths and UIDs are only printed.
    """
    path = Path(path)
    if os.path.isdir(path):  # unlike Path.is_dir, no error where a name is too long for the file system
        return _read_slices(path, series)
    picture = path.name.lower().endswith(RASTER_SUFFIXES)
    with readable(path, "The image"):
        dicom = not picture and os.path.isfile(path) and is_dicom(path)
    if not picture and not dicom:
        print(f"Not an image folder, DICOM, NIfTI or NRRD file: {path}")
        raise InputError(
            "The image does not exist or is no image: name the folder of a DICOM series, or a multi-frame DICOM, "
            "NIfTI or NRRD file."
        )
    if series:
        raise InputError("A series can only be chosen in a folder of DICOM files: leave the column series blank.")
    if dicom:
        return _read_slices(path, None)
    image = read_picture(path, "The image")
    # ASSUME a NIfTI file holds no NaN: ITK's reader turns them into 0 before anybody can see them.
    if not np.isfinite(sitk.GetArrayViewFromImage(image)).all():
        raise InputError("The image holds values that are no numbers (NaN or infinity): export it again.")
    image = sitk.Cast(image, sitk.sitkFloat32)
    return Volume(image, None, None, {"simulated": False, "notes": []} | _grid(image))


def read_picture(path: Path, what: str) -> sitk.Image:
    """Read a NIfTI or NRRD file with its geometry and meta-data (a seg.nrrd names its segments there).

    Raises:
        InputError: the file is missing or damaged, or not one 3D image with one value per voxel.
    """
    with readable(path, what):
        image = read_raster(path)
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        print(f"{path}: {image.GetDimension()} dimensions, {image.GetNumberOfComponentsPerPixel()} values per voxel")
        raise InputError(f"{what} is not a single 3D image with one value per voxel: save it as one.")
    return image


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn any failure of pydicom or ITK on a damaged file into one sentence; the cause and the path are printed."""
    try:
        with warnings.catch_warnings(), enough_memory():
            # They repeat values that break a rule of DICOM, such as the birth date 1950-01-01.
            warnings.filterwarnings("ignore", module="pydicom")
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # both libraries raise nearly every built-in exception on damaged files
        print_cause(error, path)
        if isinstance(error, OSError) and error.errno in REFUSED:
            raise InputError(f"{what} cannot be opened: check its permissions and disk; {TRIED_AGAIN}.") from error
        if not os.path.exists(path):
            raise InputError(f"{what} does not exist: check the path in the cases table.") from error
        raise InputError(f"{what} cannot be read (damaged, incomplete or of another kind): export it again.") from error


def _read_slices(path: Path, series: str | None) -> Volume:
    with readable(path, "The DICOM series"):
        slices, notes = find_slices(path, series)
        headers = [entry.header for entry in slices]
        first = headers[0]
        direction = direction_of(first.ImageOrientationPatient)
        rows_mm, columns_mm = (float(value) for value in first.PixelSpacing)
        positions = np.array([header.ImagePositionPatient for header in headers], float)
        order, distance = stack_slices(positions, direction, min(rows_mm, columns_mm))
        factors = suvbw_factors(headers) if first.Modality == "PT" else np.ones(len(headers))
        image = sitk.GetImageFromArray(_read_values([slices[number] for number in order], factors[order]))
        image.SetSpacing((columns_mm, rows_mm, distance))
        image.SetOrigin(positions[order[0]].tolist())
        image.SetDirection(direction.ravel().tolist())
        frame = str(first.get("FrameOfReferenceUID") or "") or None
        tags = describe_headers(headers) | {"unit": UNITS[first.Modality]}
        tags |= _grid(image) | {"notes": notes + _compression(headers)}
        return Volume(image, frame, first.Modality, tags)


def _read_values(slices: list[Slice], factors: np.ndarray) -> np.ndarray:
    """(slices, rows, columns), float32: each slice by its own slope and intercept, times its factor."""
    path = None
    for number, (entry, factor) in enumerate(zip(slices, factors, strict=True)):
        if entry.path != path:  # one slice, or all frames
            path, stored = entry.path, read_slice(entry.path, entry.header, entry.pixels)
        if number == 0:
            values = np.empty((len(slices), *stored.shape[1:]), np.float32)
            rescaled = np.empty(stored.shape[1:])  # one place for all slices: fresh memory takes longer than the sums
        slope, intercept = float(entry.header.RescaleSlope), float(entry.header.RescaleIntercept)
        if slope == 0 and stored[entry.frame].any():
            raise InputError("A slice has a RescaleSlope of 0, so its values are not known: export the series again.")
        np.multiply(stored[entry.frame], slope, out=rescaled)
        rescaled += intercept
        rescaled *= factor
        values[number] = rescaled
        if not np.isfinite(values[number]).all():
            raise InputError("The rescaled values of a slice are too large for any scan: export the series again.")
    return values


def _compression(headers: list[pydicom.Dataset]) -> list[str]:
    flags = {str(header.get("LossyImageCompression") or "") for header in headers}
    syntaxes = {header.file_meta.TransferSyntaxUID for header in headers}
    if "01" in flags or syntaxes & ALWAYS_LOSSY:
        return ["The image was compressed with loss, which changes its textures."]
    if "00" not in flags and syntaxes & PERHAPS_LOSSY:
        return ["The image may have been compressed with loss, which would change its textures."]
    return []


def _grid(image: sitk.Image) -> dict:
    return {"size": list(image.GetSize()), "spacing_mm": list(image.GetSpacing()), "pixel_type": "float32"}
