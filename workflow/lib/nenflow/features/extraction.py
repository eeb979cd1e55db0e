"""Radiomic features of segmented regions, as pyradiomics computes them, from only the part of a scan they need."""

import copy
import logging
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pykwalify.core
import pykwalify.errors
import SimpleITK as sitk
import yaml
from radiomics import getParameterValidationFiles, imageoperations

from nenflow.documents import read_json
from nenflow.errors import STOPPED, InputError, enough_memory
from nenflow.features import ibsi
from nenflow.features.binning import CheckedExtractor, bin_image, features_of_levels
from nenflow.features.splines import resample
from nenflow.features.stand_ins import calling, trusted
from nenflow.images.geometry import bounding_box
from nenflow.images.perturbation import perturb
from nenflow.images.rasters import read_raster
from nenflow.logs import print_cause
from nenflow.records import CASE, read_records

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
for _chatty in ("radiomics", "pykwalify"):
    logging.getLogger(_chatty).setLevel(logging.CRITICAL)

# The time of GLCM's MCC grows with the cube of the number of grey levels; beyond this it takes most of the total.
MANY_GREY_LEVELS = 120


def read_parameters(path: str | Path) -> dict:
    """Read a pyradiomics parameter file (imageType, featureClass, setting), as SlicerRadiomics reads it too.

    Raises:
        InputError: pyradiomics' own schema does not accept the file, or it asks for what an extraction from one
            region per segmentation cannot give.
    """
    try:
        parameters = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else 1
        raise InputError(f"The extraction's parameter file is no valid YAML: see its line {line}.") from error
    check_parameters(parameters)
    return parameters


def check_parameters(parameters: dict) -> None:
    """Check the content of a parameter file; raises InputError as `read_parameters` does."""
    schema, functions = _schema()
    try:
        pykwalify.core.Core(source_data=parameters, schema_data=schema, extensions=[functions]).validate()
    except pykwalify.errors.SchemaError as error:
        raise InputError(f"The extraction's parameter file is not valid: {_first_finding(error)}") from error
    except pykwalify.errors.PyKwalifyException as error:
        raise InputError("The extraction's parameter file is empty.") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"The extraction's parameter file is not valid: {_one_line(error)}.") from error
    if "voxelSetting" in parameters:
        raise InputError("The extraction's parameter file asks for voxel-based maps; take voxelSetting out.")
    settings, types = parameters.get("setting", {}), parameters.get("imageType", {})
    if settings.get("label", 1) != 1 or settings.get("label_channel", 0) != 0:
        raise InputError("Each segmentation holds one region; take label out of the extraction's parameter file.")
    if len(settings.get("resegmentRange") or [0]) > 2:
        raise InputError("The extraction's parameter file has a resegmentRange of more than two bounds; give two.")
    if "LoG" in types and not {**settings, **types["LoG"]}.get("sigma"):
        raise InputError("The extraction's parameter file has the image type LoG without sigma, in mm; add it.")
    if "shape2D" in parameters.get("featureClass", {}) and not settings.get("force2D"):
        raise InputError("The extraction's parameter file has shape2D, which needs force2D: true; add it.")


@cache
def _schema() -> tuple[dict, str]:
    """pyradiomics' schema of parameter files, and the file of its functions; pykwalify reads it for each check."""
    schema, functions = getParameterValidationFiles()
    return yaml.safe_load(Path(schema).read_text(encoding="utf-8")), functions


def extract(
    image: sitk.Image, mask: sitk.Image, parameters: dict, conformance: str = "ibsi", modality: str | None = None
) -> "pd.Series":
    """Compute the features of one region.

    Args:
        image: the scan, 3D. For "slicer" its pixel type matters: resampling integers truncates.
        mask: the region, 1 inside and 0 outside, on the image's grid.
        parameters: content of a parameter file, see `read_parameters`.
        conformance: "ibsi" follows the file as the Image Biomarker Standardisation Initiative defines the features,
            see `nenflow.features.ibsi`; "slicer" gives the values that SlicerRadiomics gives, identical to the last
            bit to pyradiomics' for the whole scan.
        modality: of the scan as DICOM has it, None when unknown; "ibsi" rounds a CT's interpolated intensities.

    Returns:
        Floats by pyradiomics' names, in its order.

    Raises:
        InputError: the mask is not on the image's grid, or pyradiomics cannot compute features of this region.
    """
    # Loading it takes as long as measuring a lesion; the jobs of the workflow do without.
    import pandas as pd

    check_parameters(parameters)
    return pd.Series(_Extractor(parameters, conformance).extract(_Scan(image, conformance, modality), mask))


def extract_patient(
    folder: str | Path,
    parameters: dict,
    conformance: str = "ibsi",
    phases: Sequence[str] | None = None,
    perturbation: Mapping[str, Any] | None = None,
    stopped: bool = False,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Compute the features of all included regions of one patient, reading each phase's volume once.

    Organs that only delimit other regions are left out.

    Args:
        folder: as the images stage writes it: cases.csv, <phase>.nii.gz, <phase>.json with the scan's Modality when it
            is known, <phase>_<region>_<rater>.nii.gz.
        parameters: content of a parameter file, see `read_parameters`.
        conformance: see `extract`.
        phases: the phases to measure; all where it is left out.
        perturbation: measure the drawn regions of the rater `reference` again, `repeats` times, each time perturbed as
            `nenflow.images.perturbation.perturb` reads its other keys; `seed` decides how. These readings are by
            raters named perturbed-1, perturbed-2 and so on.
        stopped: the system has stopped this extraction again and again; all cases fail without being read.

    Returns:
        The features, one row per segmentation (patient, phase, region, rater, then features), and the failures:
        patient, phase, region, rater, reason.

    Raises:
        InputError: a volume or mask in the folder is damaged.
    """
    folder = Path(folder)
    extractor = _Extractor(parameters, conformance)
    cases = read_records(folder / "cases.csv")
    rows, failures = [], []
    measured = [case for case in cases if case["status"] == "included" and case["role"] != "organ"]
    for phase in dict.fromkeys(case["phase"] for case in measured):
        if phases and phase not in phases:
            continue
        try:
            if stopped:
                raise MemoryError(STOPPED)
            scan = _read_scan(folder, phase, conformance)
        except MemoryError as error:
            of_phase = [{name: row[name] for name in CASE} for row in measured if row["phase"] == phase]
            failures += [{**case, "reason": str(error)} for case in of_phase]
            continue
        for row in (case for case in measured if case["phase"] == phase):
            case, role = {name: row[name] for name in CASE}, row["role"]
            mask = _read_image(folder / f"{phase}_{case['region']}_{case['rater']}.nii.gz")
            again = perturbation if role == "drawn" else None
            for reading, number in _readings(case, again):
                try:
                    with enough_memory():
                        read = (scan, mask) if number == 0 else _perturbed(scan, mask, case, number, again)
                        features = extractor.extract(*read)
                except (InputError, MemoryError) as error:
                    failures.append({**reading, "reason": str(error)})
                    continue
                rows.append({**reading, **features})
                _warn_of_grey_levels(reading, features, parameters)
    return rows, failures


def _readings(case: dict[str, str], perturbation: Mapping[str, Any] | None) -> Iterator[tuple[dict[str, str], int]]:
    """A case as it was drawn, number 0, and the names and numbers of its perturbed readings."""
    yield case, 0
    if perturbation and case["rater"] == perturbation["reference"]:
        for number in range(1, perturbation["repeats"] + 1):
            yield {**case, "rater": f"perturbed-{number}"}, number


def _perturbed(
    scan: "_Scan", mask: sitk.Image, case: dict[str, str], number: int, perturbation: Mapping[str, Any]
) -> tuple["_Scan", sitk.Image]:
    # Of a case and its number only, so that no other case or job changes what is drawn.
    name = zlib.crc32("/".join(case[part] for part in ("patient", "phase", "region")).encode())
    image, mask = perturb(scan.image, mask, perturbation, np.random.default_rng([perturbation["seed"], name, number]))
    return scan.with_image(image), mask


def _warn_of_grey_levels(case: dict[str, str], features: Mapping[str, float], parameters: dict) -> None:
    for name, levels in many_grey_levels(features, parameters).items():
        log.warning(
            "%s, %s, %s: %d grey levels in %s; a greater bin width would be faster and less noisy.",
            *(case["phase"], case["region"], case["rater"], levels, name),
        )


def _read_image(path: Path, integers: bool = False) -> sitk.Image:
    """A volume of the images stage; one that was damaged since ends the job with what to do."""
    try:
        with enough_memory():
            return read_raster(path, integers)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes the readers raise nearly every one
        print_cause(error, path)
        raise InputError(
            "A volume in the patient's folder of the images stage is damaged or gone: delete that folder in results "
            "and run the same command again."
        ) from error


def _read_scan(folder: Path, phase: str, conformance: str) -> "_Scan":
    image = _read_image(folder / f"{phase}.nii.gz", integers=conformance == "slicer")
    described = folder / f"{phase}.json"
    if conformance == "slicer":
        image = as_slicer_loads(image)
    return _Scan(image, conformance, read_json(described).get("Modality") if described.exists() else None)


def as_slicer_loads(image: sitk.Image) -> sitk.Image:
    """A scan with the pixel type that 3D Slicer gives it: whole numbers, as in most CT, as 16-bit integers.

    SlicerRadiomics computes on that type, and pyradiomics resamples within it: values between voxels are cut off to
    whole numbers, which changes a third of the features of a float scan by over 1 %.
    """
    if image.GetPixelID() == sitk.sitkInt16:
        return image
    values = sitk.GetArrayViewFromImage(image)
    limits = np.iinfo(np.int16)
    fits = values.min() >= limits.min and values.max() <= limits.max
    return sitk.Cast(image, sitk.sitkInt16) if fits and ibsi.holds_whole_numbers(image, None) else image


def many_grey_levels(features: Mapping[str, float], parameters: dict) -> dict[str, int]:
    """Images (original, wavelet-LLH, ...) that the bin width cuts into more than 120 grey levels, and how many.

    Known only for images whose first order Minimum and Maximum are among the features.
    """
    found = {}
    for name in (name for name in features if name.endswith("_firstorder_Minimum")):
        image = name.removesuffix("_firstorder_Minimum")
        settings = {**parameters.get("setting", {}), **_image_type_settings(image, parameters)}
        width = settings.get("binWidth", 25)
        low, high = features[name], features.get(f"{image}_firstorder_Maximum", np.nan)
        levels = settings.get("binCount") or np.nan_to_num(high // width - low // width + 1)
        if levels > MANY_GREY_LEVELS:
            found[image] = int(levels)
    return found


def _image_type_settings(image: str, parameters: dict) -> dict:
    """Settings of the image type that gave an image such as wavelet-LLH, log-sigma-2-0-mm-3D or lbp-3D-m1."""
    plain = image.replace("-", "").lower()
    fitting = [name for name in parameters.get("imageType", {}) if plain.startswith(name.lower())]
    return parameters["imageType"][max(fitting, key=len)] if fitting else {}


class _Scan:
    """A scan, and whether its interpolated intensities are rounded, which is found out once for all its regions."""

    def __init__(self, image: sitk.Image, conformance: str, modality: str | None):
        self.rounded = conformance == "ibsi" and ibsi.holds_whole_numbers(image, modality)
        self.image = image

    def with_image(self, image: sitk.Image) -> "_Scan":
        """The same scan with other intensities, in the same type of pixel."""
        other = copy.copy(self)
        other.image = sitk.Cast(image, self.image.GetPixelID())
        return other


class _SlicerExtractor(CheckedExtractor):
    """pyradiomics as SlicerRadiomics calls it; resampling by B-splines is done by us, with the same result."""

    def __init__(self, parameters: dict):
        super().__init__(parameters, additionalInfo=False)
        self._asked = dict(self.settings)
        spline = self._asked["interpolator"] in ("sitkBSpline", sitk.sitkBSpline)
        self._prepares = trusted() and spline and self._asked["resampledPixelSpacing"] is not None
        if self._prepares:
            self.settings.update(resampledPixelSpacing=None, normalize=False, preCrop=False)

    def measure(self, image: sitk.Image, mask: sitk.Image, rounded: bool) -> dict:
        """Compute the features of one region; nothing is rounded, whatever `rounded` says."""
        if self._prepares:
            image, mask = _prepare(image, mask, self._asked)
        return self.execute(image, mask)

    def computeFeatures(self, image, mask, imageTypeName, **settings):
        """Features of one image, binned once for all classes."""
        values, inside = sitk.GetArrayFromImage(image), sitk.GetArrayViewFromImage(mask) == 1
        levels, _ = bin_image(values, inside, **settings)
        found = features_of_levels(image, mask, levels, self.enabledFeatures, settings)
        return OrderedDict((f"{imageTypeName}_{name}_{feature}", value) for name, feature, value in found)


# What the numbers conform to: the IBSI's definitions, or what SlicerRadiomics gives, for rebuilding published work.
CONFORMANCES = {"ibsi": ibsi.IbsiExtractor, "slicer": _SlicerExtractor}


class _Extractor:
    """pyradiomics, made once for all regions of a job; its parameters have been checked."""

    def __init__(self, parameters: dict, conformance: str):
        if conformance not in CONFORMANCES:
            raise InputError(f"There is no conformance '{conformance}'; use ibsi or slicer.")
        self._calculator = CONFORMANCES[conformance](parameters)

    def extract(self, scan: _Scan, mask: sitk.Image) -> dict[str, float]:
        _check(scan.image, mask)
        try:
            with enough_memory():
                values = self._calculator.measure(scan.image, mask, scan.rounded)
        except InputError:
            raise
        except (ValueError, ArithmeticError, LookupError, AssertionError, RuntimeError) as error:
            raise InputError(f"pyradiomics cannot compute features of this region: {_one_line(error)}.") from error
        return {name: float(value) for name, value in values.items()}


def _prepare(image: sitk.Image, mask: sitk.Image, settings: dict) -> tuple[sitk.Image, sitk.Image]:
    """Image and mask as pyradiomics would resample them, to the last bit; only the interpolation is ours.

    pyradiomics itself makes the grid and the mask, by nearest neighbour, where a cropped mask would lose voxels.
    """
    if settings["normalize"]:
        image = imageoperations.normalizeImage(image, **settings)
    grid, mask = _RESAMPLE(image, mask, **{**settings, "interpolator": "sitkNearestNeighbor"})
    if grid.GetSpacing() == image.GetSpacing():  # pyradiomics only crops an image that has the wanted spacing
        return grid, mask
    return resample(image, grid), mask


def _box(image: sitk.Image, mask: sitk.Image, **settings: Any) -> np.ndarray:
    """The box around the region, for pyradiomics' own way to it, which measures the shape of all of the mask first.

    pyradiomics refuses regions beyond the image here; `_check` has seen to that.
    """
    first, size = bounding_box(mask)
    return np.array(first + size)


_RESAMPLE = calling(imageoperations.resampleImage, _checkROI=_box)


def _check(image: sitk.Image, mask: sitk.Image) -> None:
    if image.GetDimension() != 3 or mask.GetDimension() != 3:
        raise InputError("Features are computed of volumes; the image or the segmentation is not three-dimensional.")
    same = image.GetSize() == mask.GetSize()
    for part in ("GetSpacing", "GetOrigin", "GetDirection"):
        # NIfTI holds geometry as 32-bit numbers, so that origins of half a metre differ by 1e-5 mm.
        same = same and np.allclose(getattr(image, part)(), getattr(mask, part)(), rtol=0, atol=1e-4)
    if not same:
        raise InputError("The segmentation does not lie on its image's grid; resample it onto the image first.")
    if sitk.GetArrayViewFromImage(mask).max() != 1:
        raise InputError("A segmentation has to hold 1 in its region and 0 elsewhere; this one is empty or holds more.")


def _first_finding(error: pykwalify.errors.SchemaError) -> str:
    """First finding of pykwalify, which reads: Key 'binwidth' was not defined. Path: '/setting'."""
    finding = error.msg.split("\n - ")[1]
    return re.sub(r"\.? (Value )?[Pp]ath: '(.*?)'\.?", lambda path: f" (at {path[2] or 'the top level'}).", finding)


def _one_line(error: Exception) -> str:
    """What went wrong without where in the library's source: ITK puts that on lines of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
