"""DICOM CT series, NIfTI and NRRD files as volumes in Hounsfield units."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.misc import is_dicom

from nenflow.errors import InputError
from nenflow.images.geometry import COSINE_TOLERANCE, direction_of, stack_slices

# Only CT is in a unit that its headers define by slope and intercept alone. PET (SUV) and MR come with their own
# readers; until then they are refused, since reading them like CT would give wrong numbers without a warning.
MODALITIES = ("CT",)
PICTURE_SUFFIXES = (".nii", ".nii.gz", ".nrrd")

# What the sidecar keeps of the headers: how the scan was made, nothing of the person, no identifiers, no free text.
KEPT_TAGS = (
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "KVP",
    "ConvolutionKernel",
    "FilterType",
    "SliceThickness",
    "ReconstructionDiameter",
    "PatientPosition",
)
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
SAME_IN_ALL_SLICES = ("Modality", "Rows", "Columns", "FrameOfReferenceUID")
# A thousandth of a usual pixel: the last digit of a rounded spacing may differ between slices.
SPACING_TOLERANCE_MM = 1e-3
# ASSUME US (unspecified), which some scanners write for ordinary CT, means Hounsfield units. Spectral maps (iodine in
# mg/ml, effective atomic number) are CT too and name their own unit.
RESCALE_TYPES = ("HU", "US")


@dataclass(frozen=True)
class Volume:
    """A scan.

    Attributes:
        image: 3D, float32, Hounsfield units for CT. Float, because interpolation of an integer image truncates and
            slopes need not be whole; HU are exact in it.
        frame_of_reference: DICOM UID of the coordinate system; None for files that have none (NIfTI, NRRD).
        modality: as DICOM names it; None when the file does not say.
        tags: how the image was made, ready for JSON; holds no identity.
    """

    image: sitk.Image
    frame_of_reference: str | None
    modality: str | None
    tags: dict


def read_volume(path: Path, series: str | None = None) -> Volume:
    """Read a scan.

    Slices are ordered by position along their normal; orientation, spacing and rescaling (which may differ from slice
    to slice) come from the headers.

    Args:
        path: folder of a DICOM series (one file per slice), or a NIfTI or NRRD file.
        series: Series Instance UID, needed when the folder holds several series.

    Raises:
        InputError: the scan cannot be read without guessing; the sentence says why. Paths and UIDs are only printed.
    """
    path = Path(path)
    if path.is_dir():
        return _read_series(path, series)
    if not path.name.lower().endswith(PICTURE_SUFFIXES):
        print(f"Not an image folder, NIfTI or NRRD file: {path}")
        raise InputError(
            "The image does not exist or is no image: name the folder of a DICOM series, or a NIfTI or NRRD file."
        )
    if series:
        raise InputError("A series can only be chosen in a folder of DICOM files: leave the column series blank.")
    image = read_picture(path, "The image")
    # ASSUME a NIfTI file holds no NaN: ITK's reader turns them into 0 before anybody can see them.
    if not np.isfinite(sitk.GetArrayViewFromImage(image)).all():
        raise InputError("The image holds values that are no numbers (NaN or infinity): export it again.")
    image = sitk.Cast(image, sitk.sitkFloat32)
    return Volume(image, None, None, _describe(image))


def read_picture(path: Path, what: str) -> sitk.Image:
    """Read a NIfTI or NRRD file with its geometry and meta-data (a seg.nrrd names its segments there).

    Raises:
        InputError: the file is missing or damaged, or not one 3D image with one value per voxel.
    """
    with readable(path, what):
        image = sitk.ReadImage(str(path))
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        print(f"{path}: {image.GetDimension()} dimensions, {image.GetNumberOfComponentsPerPixel()} values per voxel")
        raise InputError(f"{what} is not a single 3D image with one value per voxel: save it as one.")
    return image


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn any failure of pydicom or ITK on a damaged file into one sentence; the cause and the path are printed."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # both libraries raise nearly every built-in exception on damaged files
        print(path)
        traceback.print_exc(file=sys.stdout)
        if not path.exists():
            raise InputError(f"{what} does not exist: check the path in the cases table.") from error
        raise InputError(f"{what} cannot be read (damaged, incomplete or of another kind): export it again.") from error


def _read_series(folder: Path, series: str | None) -> Volume:
    with readable(folder, "The DICOM series"):
        slices = _choose_series(_read_headers(folder), series)
        _check_headers(slices)
        headers = [header for _, header in slices]
        first = headers[0]
        direction = direction_of(first.ImageOrientationPatient)
        rows_mm, columns_mm = (float(value) for value in first.PixelSpacing)
        positions = np.array([header.ImagePositionPatient for header in headers], float)
        order, distance = stack_slices(positions, direction, min(rows_mm, columns_mm))
        image = sitk.GetImageFromArray(np.stack([_read_pixels(*slices[number]) for number in order]))
        image.SetSpacing((columns_mm, rows_mm, distance))
        image.SetOrigin(positions[order[0]].tolist())
        image.SetDirection(direction.ravel().tolist())
        frame = str(first.get("FrameOfReferenceUID") or "") or None
        return Volume(image, frame, first.Modality, _describe(image, headers))


def _read_headers(folder: Path) -> list[tuple[Path, pydicom.Dataset]]:
    """All images of a folder; objects without pixels (structure sets, reports) and segmentations lie there too."""
    # Any other file is refused and not passed over: it may be a slice without its DICOM header, and a slice that
    # lacks at the end of a stack is not noticed later.
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    files = [path for path in files if path.name.upper() not in ("DICOMDIR", "THUMBS.DB")]
    others = [path for path in files if not is_dicom(path)]
    if others:
        print("No DICOM files:", *others)
        raise InputError(
            f"{len(others)} of {len(files)} files in the image folder are not DICOM or lack the DICOM header: move "
            "other files away, or export the series again."
        )
    headers = [(path, pydicom.dcmread(path, stop_before_pixels=True)) for path in files]
    images = [(path, header) for path, header in headers if "Rows" in header and header.get("Modality") != "SEG"]
    if not images:
        print(f"No DICOM images: {folder}")
        raise InputError("The image folder holds no DICOM images: name the folder in which the slices lie.")
    return images


def _choose_series(
    images: list[tuple[Path, pydicom.Dataset]], series: str | None
) -> list[tuple[Path, pydicom.Dataset]]:
    groups: dict[str, list[tuple[Path, pydicom.Dataset]]] = {}
    for path, header in images:
        groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((path, header))
    if series in groups or (len(groups) == 1 and not series):
        return groups[series or next(iter(groups))]
    for uid, slices in groups.items():
        print(f"Series {uid}: number {slices[0][1].get('SeriesNumber')}, {len(slices)} slices")
    there = ", ".join(f"number {slices[0][1].get('SeriesNumber')} with {len(slices)}" for slices in groups.values())
    if series:
        raise InputError(f"The series that the cases table names is not in the image folder (slices there: {there}).")
    raise InputError(
        f"The image folder holds {len(groups)} series (slices: {there}): put the Series Instance UID of the right one "
        "(the log lists them) into the column series."
    )


def _check_headers(slices: list[tuple[Path, pydicom.Dataset]]) -> None:
    first = slices[0][1]
    if first.get("Modality") not in MODALITIES:
        raise InputError(f"The image is of modality {first.get('Modality')}: only CT can be read so far.")
    for path, header in slices:
        if "PerFrameFunctionalGroupsSequence" in header or int(header.get("NumberOfFrames") or 1) > 1:
            raise InputError("The image is a multi-frame DICOM file: export it with one file per slice.")
        missing = [tag for tag in NEEDED_TAGS if header.get(tag) is None or header.get(tag) == ""]
        if missing:
            print(f"{path} lacks {missing}")
            raise InputError(f"A slice lacks {' and '.join(missing)} in its DICOM header: export the series again.")
        if header.get("SamplesPerPixel", 1) != 1 or header.get("PhotometricInterpretation") != "MONOCHROME2":
            print(f"{path} is {header.get('PhotometricInterpretation')}")
            raise InputError("A slice is no grey-value CT image (a screenshot perhaps): export the scan itself.")
        if (header.get("RescaleType") or "HU") not in RESCALE_TYPES:
            raise InputError(
                f"The image is in the unit {header.RescaleType} and not in Hounsfield units (a spectral map perhaps): "
                "export the CT image itself."
            )
    _check_agreement([header for _, header in slices])


def _check_agreement(headers: list[pydicom.Dataset]) -> None:
    different = [tag for tag in SAME_IN_ALL_SLICES if len({str(header.get(tag)) for header in headers}) > 1]
    for tag, tolerance in {"PixelSpacing": SPACING_TOLERANCE_MM, "ImageOrientationPatient": COSINE_TOLERANCE}.items():
        if np.ptp(np.array([header[tag].value for header in headers], float), axis=0).max() > tolerance:
            different.append(tag)
    if different:
        raise InputError(f"The slices of the series differ in {' and '.join(different)}: export one scan as a series.")


def _read_pixels(path: Path, header: pydicom.Dataset) -> np.ndarray:
    """One slice in Hounsfield units, by its own slope and intercept."""
    try:
        pixels = pydicom.dcmread(path).pixel_array
    except Exception as error:  # as in `readable`
        print(path)
        traceback.print_exc(file=sys.stdout)
        syntax = header.file_meta.TransferSyntaxUID
        if syntax.is_compressed:
            raise InputError(
                f"The slices are compressed ({syntax.name}) in a way that cannot be decoded here: export them "
                "uncompressed."
            ) from error
        raise InputError("The pixels of a slice cannot be read (the file is cut off?): export it again.") from error
    return (pixels * float(header.RescaleSlope) + float(header.RescaleIntercept)).astype(np.float32)


def _describe(image: sitk.Image, headers: list[pydicom.Dataset] | None = None) -> dict:
    tags = {}
    for tag in KEPT_TAGS:
        values = {
            str(header.get(tag)): header.get(tag) for header in headers or [] if header.get(tag) not in (None, "")
        }
        if values:
            tags[tag] = [_plain(value) for _, value in sorted(values.items())]
            tags[tag] = tags[tag][0] if len(values) == 1 else tags[tag]
    tags["size"] = list(image.GetSize())
    tags["spacing_mm"] = list(image.GetSpacing())
    tags["pixel_type"] = "float32"
    tags["simulated"] = any("simulated" in str(header.get("StudyDescription", "")).lower() for header in headers or [])
    return tags


def _plain(value: object) -> object:
    if isinstance(value, pydicom.multival.MultiValue):
        return [_plain(entry) for entry in value]
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)
