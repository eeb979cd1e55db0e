"""Preparation and features as the Image Biomarker Standardisation Initiative (IBSI) defines them.

Zwanenburg et al., Radiology 2020;295:328-338, and the IBSI reference manual. pyradiomics computes the matrices and the
features; what it does otherwise before and after is replaced here: its grid, its mask, its bins, its kurtosis and its
axis lengths.
"""

import math
from collections import OrderedDict

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations
from scipy import ndimage

from nenflow.errors import InputError
from nenflow.features.binning import CheckedExtractor, features_of_levels
from nenflow.images.geometry import bounding_box

DEGREES = {
    **dict.fromkeys(("sitkLinear", sitk.sitkLinear), 1),
    **dict.fromkeys(("sitkBSpline", sitk.sitkBSpline), 3),
}

# B-spline coefficients depend on the whole line of voxels, a voxel's influence falling by 0.268 with each step: 28
# steps reach the last bit of a double, the rest lets rounding settle. Voxels this far around are all that is needed.
MARGIN = 40

# A grid that covers the scan but for a thousandth of a voxel covers it: NIfTI holds spacings as 32-bit numbers, and
# 300.00003 must not become 301, which would move all voxels by half a step.
SLACK = 1e-3

# Places on the grid are 32-bit numbers, good to 1e-5 voxels, as in MIRP, whose values are the published ones: an
# intensity next to a half is rounded as there, and features of real scans agree to 1e-6 instead of 1e-4.
PLACE = np.float32

# Decimals of the interpolated mask that count: sums of exact halves must not fall under 0.5 by their last bit (the
# IBSI manual's "0.4999... instead of 0.5").
DECIMALS = 6

VANISHED = "Nothing of this region is left at the voxel size of the parameter file; choose a smaller one."


def holds_whole_numbers(image: sitk.Image, modality: str | None) -> bool:
    """Whether a scan's intensities are whole numbers by nature, and so are rounded after interpolation: CT's are.

    A scan of unknown modality (NIfTI, NRRD) counts as such when all its voxels are whole numbers.
    """
    if modality:
        return modality == "CT"
    values = sitk.GetArrayViewFromImage(image)
    return values.dtype.kind in "iu" or all((part == np.rint(part)).all() for part in values)


def prepare(image: sitk.Image, mask: sitk.Image, settings: dict, rounded: bool) -> tuple[sitk.Image, sitk.Image]:
    """Bring a scan and a region onto the IBSI's grid, cut down to the region and `padDistance` voxels around it.

    The new grid shares its centre and its axes with the old one and has ceil(n x old / new) voxels; beyond the old
    grid the outermost voxels go on. The region is interpolated linearly and holds the voxels of at least 0.5.

    Args:
        image: the scan, 3D.
        mask: the region, 1 inside and 0 outside, on the image's grid, not empty.
        settings: pyradiomics' settings, complete. Of them `resampledPixelSpacing` (mm; 0 leaves an axis as it is),
            `interpolator` (sitkBSpline or sitkLinear), `padDistance`, and `normalize` with what belongs to it.
        rounded: round interpolated intensities to whole numbers.

    Returns:
        Image (float64) and mask (uint8).

    Raises:
        InputError: nothing of the region is left on the new grid.
    """
    if settings["normalize"]:
        image, rounded = imageoperations.normalizeImage(image, **settings), False
    axes = _axes(image, mask, settings)
    inside = np.round(_interpolate(mask, axes, 1), DECIMALS) >= 0.5
    if not inside.any():
        raise InputError(VANISHED)
    values = _interpolate(image, axes, DEGREES.get(settings["interpolator"], 1))  # another one moves nothing
    if rounded:
        values = np.rint(values)
    return _on_grid(values, image, axes), _on_grid(inside.astype(np.uint8), image, axes)


class _Axis:
    """Where the new voxels lie along one axis of the old grid.

    Attributes:
        spacing: of the new voxels, mm.
        start: the first new voxel's place on the old grid, in old voxels.
        voxels: the old voxel at or before each new one.
        shares: how far each new voxel lies towards the next old one, 0 to 1.
        moved: False when the new voxels are old ones.
    """

    def __init__(self, size: int, old: float, new: float, first: int, last: int, padding: int):
        self.moved = not (new == 0 or math.isclose(new, old, rel_tol=1e-5))
        self.spacing = new if self.moved else old
        count = math.ceil(size * old / new - SLACK) if self.moved else size
        step = new / old if self.moved else 1.0
        places = (np.arange(count) - (count - 1) / 2) * step + (size - 1) / 2
        places = places.astype(PLACE).astype(float)
        # The linear interpolation of the mask is 0 from one old voxel beyond it.
        needed = np.flatnonzero((places > first - 1) & (places < last + 1))
        if len(needed) == 0:
            raise InputError(VANISHED)
        places = places[max(0, needed[0] - padding) : needed[-1] + 1 + padding]
        self.start = float(places[0])
        self.voxels = np.floor(places).astype(int)
        self.shares = places - self.voxels


def _axes(image: sitk.Image, mask: sitk.Image, settings: dict) -> list[_Axis]:
    """The axes x, y, z of the new grid around the region."""
    wanted = settings["resampledPixelSpacing"] if settings["interpolator"] is not None else None
    first, size = bounding_box(mask)
    last = [start + count - 1 for start, count in zip(first, size, strict=True)]
    grid = zip(image.GetSize(), image.GetSpacing(), wanted or (0, 0, 0), first, last, strict=True)
    return [_Axis(*along, padding=settings["padDistance"]) for along in grid]


def _interpolate(image: sitk.Image, axes: list[_Axis], degree: int) -> np.ndarray:
    """Values at the new voxels, in the order z, y, x; one axis after the other, since both grids have the same axes.

    The places are computed on the whole scan's grid, so that cutting changes no value, not even by its last bit.
    """
    cuts = [(axis.voxels[0] - MARGIN * axis.moved, axis.voxels[-1] + 1 + MARGIN * axis.moved) for axis in axes]
    values = sitk.GetArrayViewFromImage(image)
    for number, (low, high) in enumerate(reversed(cuts)):
        values = values.take(np.clip(np.arange(low, high), 0, values.shape[number] - 1), axis=number)
    values = values.astype(float)
    for number, (axis, (low, _)) in enumerate(zip(reversed(axes), reversed(cuts), strict=True)):
        if axis.moved:
            values = _interpolate_axis(values, axis.voxels - low, axis.shares, degree, number)
    return values


def _interpolate_axis(values: np.ndarray, voxels: np.ndarray, shares: np.ndarray, degree: int, axis: int) -> np.ndarray:
    if degree == 3:
        values = ndimage.spline_filter1d(values, order=3, axis=axis, mode="mirror")
    shape = [1, 1, 1]
    shape[axis] = -1
    weights = enumerate(_weights(shares, degree), start=0 if degree == 1 else -1)
    return sum(weight.reshape(shape) * values.take(voxels + step, axis=axis) for step, weight in weights)


def _weights(shares: np.ndarray, degree: int) -> list[np.ndarray]:
    """Weights of the neighbours, two for linear and four for cubic B-spline interpolation (Unser 1999)."""
    rest = 1 - shares
    if degree == 1:
        return [rest, shares]
    middle = [(3 * far**3 - 6 * far**2 + 4) / 6 for far in (shares, rest)]
    return [rest**3 / 6, *middle, shares**3 / 6]


def _on_grid(values: np.ndarray, image: sitk.Image, axes: list[_Axis]) -> sitk.Image:
    result = sitk.GetImageFromArray(values)
    result.SetSpacing([axis.spacing for axis in axes])
    result.SetDirection(image.GetDirection())
    result.SetOrigin(image.TransformContinuousIndexToPhysicalPoint([axis.start for axis in axes]))
    return result


def grey_levels(values: np.ndarray, settings: dict, lower: float | None) -> np.ndarray:
    """Discretise the intensities of a region into grey levels, 1 and up.

    With `binCount`, as many bins of equal width between the least and the greatest intensity. Else bins of `binWidth`
    (25 when the file has none): level 1 starts at the lower re-segmentation bound. Without one, bins start at the
    multiple of the width below the least intensity, as in pyradiomics: the IBSI recommends no bins of fixed width
    there, and edges that are the same for all patients are its purpose.

    Args:
        values: intensities, one-dimensional.
        settings: pyradiomics' settings of this image type.
        lower: the lower re-segmentation bound in the image's unit, None when there is none.
    """
    least, greatest = values.min(), values.max()
    if count := settings.get("binCount"):
        share = (values - least) / (greatest - least) if greatest > least else np.zeros_like(values)
        return np.minimum(np.floor(share * count) + 1, count).astype(int)
    width = settings.get("binWidth", 25)
    start = least // width * width if lower is None else lower
    return (np.floor((values - start) / width) + 1).astype(int)


class IbsiExtractor(CheckedExtractor):
    """pyradiomics' features of a region, prepared and binned the IBSI's way.

    A pyradiomics parameter file has room for one kind of re-segmentation only. Here `removeOutliers`, which means
    something else in pyradiomics and only with `normalize`, filters intensity outliers beside a `resegmentRange`.
    """

    def __init__(self, parameters: dict):
        super().__init__(parameters, additionalInfo=False)
        self._asked = dict(self.settings)
        asked = self._asked["interpolator"]
        if None not in (asked, self._asked["resampledPixelSpacing"]) and asked not in DEGREES:
            raise InputError(
                f"Conformance ibsi does not interpolate with {asked}; use sitkBSpline or sitkLinear in the "
                "extraction's parameter file, or conformance: slicer."
            )
        self.settings.update(resampledPixelSpacing=None, normalize=False, preCrop=False, resegmentMode="absolute")

    def measure(self, image: sitk.Image, mask: sitk.Image, rounded: bool) -> OrderedDict:
        """Compute the features of one region; see `prepare` for the arguments.

        Raises:
            InputError: nothing of the region is left on the new grid.
            ValueError: pyradiomics cannot compute features of this region.
        """
        image, mask = prepare(image, mask, self._asked, rounded)
        inside = sitk.GetArrayViewFromImage(image)[sitk.GetArrayViewFromImage(mask) == 1]
        self.settings["resegmentRange"] = intensity_range(inside, self._asked)
        return self.execute(image, mask)

    def computeShape(self, image, mask, boundingBox, **settings):
        """Shape of the whole region: pyradiomics cuts it to the box of what re-segmentation left.

        Axis lengths come from the covariance over N - 1 voxels; pyradiomics divides by N.
        """
        box, _ = imageoperations.checkMask(image, mask, **settings)
        found = super().computeShape(image, mask, box, **settings)
        voxels = int((sitk.GetArrayViewFromImage(mask) == 1).sum())
        factor = math.sqrt(voxels / (voxels - 1))
        return OrderedDict((name, value * (factor if "AxisLength" in name else 1)) for name, value in found.items())

    def computeFeatures(self, image, mask, imageTypeName, **settings):
        """Features of one image, binned once for all classes; kurtosis as excess."""
        values, inside = (sitk.GetArrayFromImage(part) for part in (image, mask))
        inside = inside == 1
        lower = _lower_bound(self._asked) if imageTypeName == "original" else None
        levels = np.zeros(values.shape, dtype=int)
        levels[inside] = grey_levels(values[inside], settings, lower)
        found = OrderedDict()
        for name, feature, value in features_of_levels(image, mask, levels, self.enabledFeatures, settings):
            # Of a flat region pyradiomics' kurtosis is 0, and so is the IBSI's; else it is 1 at least.
            excess = 3 if feature == "Kurtosis" and value != 0 else 0
            found[f"{imageTypeName}_{name}_{feature}"] = value - excess
        return found


def intensity_range(values: np.ndarray, settings: dict) -> list[float] | None:
    """The intensities that re-segmentation keeps; None when the parameter file asks for no re-segmentation.

    Args:
        values: all intensities of the region, one-dimensional.
        settings: pyradiomics' settings. `resegmentRange` gives one or two bounds: intensities (`resegmentMode`
            absolute), shares of the greatest one (relative) or standard deviations from the mean (sigma).
            `removeOutliers`, without `normalize`, keeps the mean and as many standard deviations to both sides. With
            both, what both keep is kept (IBSI manual, re-segmentation).
    """
    mean, deviation = values.mean(), values.std()
    units = {"absolute": (0, 1), "relative": (0, values.max()), "sigma": (mean, deviation)}
    start, unit = units[settings.get("resegmentMode", "absolute")]
    ranges = []
    if settings["resegmentRange"]:
        low, high, *_ = [*sorted(settings["resegmentRange"]), np.inf]
        ranges.append((start + unit * low, start + unit * high))
    if settings["removeOutliers"] and not settings["normalize"]:
        reach = settings["removeOutliers"] * deviation
        ranges.append((mean - reach, mean + reach))
    return [float(max(low for low, _ in ranges)), float(min(high for _, high in ranges))] if ranges else None


def _lower_bound(settings: dict) -> float | None:
    """Where the first bin starts; a filtered image's values have nothing to do with it."""
    bounds, mode = settings["resegmentRange"], settings.get("resegmentMode", "absolute")
    return min(bounds) if bounds and mode == "absolute" else None
