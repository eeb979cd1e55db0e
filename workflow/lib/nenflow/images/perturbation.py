"""Perturbed readings: a scan and its region as another scan and another reader might have given them.

The chain of Zwanenburg et al. 2019 (Sci Rep 9:614): rotation, noise, translation, volume adaptation, contour
randomisation. It stands in for repeated segmentations where a study has one of each region.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt

from nenflow.errors import InputError

# Only the surroundings of the region are perturbed; the scan keeps its full size, since the grid that features are
# computed on is placed by it. The influence of a voxel on a spline falls by 0.268 with each step, to 2e-6 after 10.
# Of the filters, only a LoG of 5 mm on an image padded by 30 mm feels the seam: by 0.4 % of its interquartile range.
MARGIN_MM = 30
MARGIN_VOXELS = 10
# A voxel of the turned and shifted mask belongs to the region from this share on, as in resampling by IBSI.
INSIDE = 0.5
# The median of |x| of a standard normal variable (Donoho & Johnstone 1994): noise is 1 / 0.6745 of the median.
NORMAL_MEDIAN = 0.6745
# Supervoxels with this share in the region always belong to it, those below the lower never (Zwanenburg et al. 2019).
ALWAYS, NEVER = 0.9, 0.2
# ASSUME supervoxels of 250 mm3, but at most 1/150 of the region and at least 8 voxels (2 in each direction): a lesion
# of 10 mm would else be in or out as a whole. So the contours of lesions of 8 to 15 mm differ as those of readers do
# (Dice 0.75 to 0.95, by contrast).
SUPERVOXEL_MM3, SUPERVOXEL_SHARE, SUPERVOXEL_VOXELS = 250, 1 / 150, 8
# ASSUME the scan is smoothed (mm) before it is cut into supervoxels, else they follow its noise; being a supervoxel's
# width apart counts as much as 0.2 of the range of the region's intensities.
SMOOTHING_MM, COMPACTNESS = 1.0, 0.2
# Intensities beyond the region's range by more than this share of it do not draw the supervoxels.
BEYOND = 0.1


def perturb(
    image: sitk.Image, mask: sitk.Image, settings: Mapping[str, Any], generator: np.random.Generator
) -> tuple[sitk.Image, sitk.Image]:
    """One perturbed reading of a region, on the grid of the scan.

    Noise comes before the one interpolation that turns and shifts, as the chain's noise comes before its translation.

    Args:
        image: the scan, 3D. Where its values are whole numbers (CT) they are so again afterwards.
        mask: the region (uint8, 1 inside and 0 outside), on the image's grid.
        settings: what is applied; what is absent, 0 or false is not. rotation_degrees (largest angle either way about
            the normal of the slices through the region's centre), noise (true: as strong as the scan's own, see
            `noise_level`), translation (largest shift either way along each axis, of a voxel), volume_change (largest
            relative change of the number of voxels either way), contour (true: at random by supervoxels).
        generator: the source of all random numbers; the same state gives the same reading.

    Returns:
        The scan (float32; changed only around the region) and the mask (uint8).

    Raises:
        InputError: nothing is left of the region, which has too few voxels.
    """
    image = sitk.Cast(image, sitk.sitkFloat32)
    angle, shift = settings.get("rotation_degrees") or 0, settings.get("translation") or 0
    move = None
    if angle or shift:
        drawn = np.radians(generator.uniform(-angle, angle)), generator.uniform(-shift, shift, 3)
        move = _movement(mask, *drawn)
    if move is not None or settings.get("noise"):
        image, mask = _scan_again(image, mask, move, bool(settings.get("noise")), generator)
    if settings.get("volume_change"):
        change = generator.uniform(-settings["volume_change"], settings["volume_change"])
        mask = _change_volume(mask, change, generator)
    if settings.get("contour"):
        mask = _redraw(image, mask, generator)
    _extent(mask)
    return image, mask


def noise_level(slices: np.ndarray) -> float:
    """Standard deviation of the noise in slices (slices, rows, columns), in their unit.

    The median of the absolute diagonal details of the stationary coif1 wavelet transform, over 0.6745 (Chang et al.
    2000, IEEE Trans Image Process 9:1532). Exact for white noise; noise that is alike in neighbouring voxels, as in
    smooth CT, comes out smaller.
    """
    rows, columns = (size - size % 2 for size in slices.shape[1:])  # the transform halves both
    details = pywt.swt2(slices[:, :rows, :columns].astype(float), "coif1", level=1, axes=(1, 2))[0][1][2]
    return float(np.median(np.abs(details)) / NORMAL_MEDIAN)


def _extent(mask: sitk.Image) -> np.ndarray:
    """First and last index (2, 3; x, y, z) of the region."""
    inside = sitk.GetArrayViewFromImage(mask)
    found = []
    for axis in range(3):  # slices first: the rest of the search is then within the region's slices
        along = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(along):
            raise InputError(
                "Nothing is left of the region when it is turned, shifted or redrawn, since it has too few voxels: its "
                "stability cannot be rated by perturbation."
            )
        found.append((along[0], along[-1]))
        inside = inside[(slice(None),) * axis + (slice(along[0], along[-1] + 1),)]
    return np.array(found[::-1]).T


def _crop(image: sitk.Image, first: np.ndarray, last: np.ndarray) -> tuple[sitk.Image, list[int]]:
    """The part of an image from one index to another (both x, y, z), as far as the image goes, and where it starts."""
    low = np.maximum(np.floor(first), 0).astype(int)
    high = np.minimum(np.ceil(last), np.array(image.GetSize()) - 1).astype(int)
    return sitk.RegionOfInterest(image, (high - low + 1).tolist(), low.tolist()), low.tolist()


def _movement(mask: sitk.Image, angle: float, shift: np.ndarray) -> sitk.AffineTransform:
    """Where each point of the moved scan comes from: a turn (radians) about the slice normal, then a shift (voxels)."""
    first, last = _extent(mask)
    inside = np.argwhere(sitk.GetArrayFromImage(_crop(mask, first, last)[0]))
    centre = mask.TransformContinuousIndexToPhysicalPoint((first + inside.mean(axis=0)[::-1]).tolist())
    axes = np.reshape(mask.GetDirection(), (3, 3))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    back = axes @ turn.T @ axes.T
    move = sitk.AffineTransform(3)
    move.SetCenter(centre)
    move.SetMatrix(back.ravel().tolist())
    move.SetTranslation((-back @ axes @ (shift * mask.GetSpacing())).tolist())
    return move


def _through(transform: sitk.Transform, image: sitk.Image, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """First and last index (2, 3) of what the box between two indices becomes, together with the box itself."""
    corners = np.stack(np.meshgrid(*zip(first, last, strict=True)), axis=-1).reshape(-1, 3)
    points = [transform.TransformPoint(image.TransformContinuousIndexToPhysicalPoint(c)) for c in corners.tolist()]
    there = [image.TransformPhysicalPointToContinuousIndex(point) for point in points]
    corners = np.concatenate([corners, there])
    return np.stack([corners.min(axis=0), corners.max(axis=0)])


def _scan_again(
    image: sitk.Image, mask: sitk.Image, move: sitk.Transform | None, noise: bool, generator: np.random.Generator
) -> tuple[sitk.Image, sitk.Image]:
    """Add noise, then turn and shift scan and mask, around the region as it was and as it becomes."""
    margin = np.maximum(MARGIN_MM / np.array(image.GetSpacing()), MARGIN_VOXELS)
    region = _extent(mask)
    box = region if move is None else _through(move.GetInverse(), mask, *region)
    box = box + np.stack([-margin, margin])
    needed = box if move is None else _through(move, mask, *box) + np.array([[-MARGIN_VOXELS], [MARGIN_VOXELS]])
    source, begin = _crop(image, *needed)
    values = sitk.GetArrayFromImage(source)
    whole = bool((values == np.rint(values)).all())
    if noise:
        slices = slice(region[0, 2] - begin[2], region[1, 2] - begin[2] + 1)
        values = values + generator.normal(0, noise_level(values[slices]), values.shape)
        source = _like(values.astype(np.float32), source)
    part, start = _crop(mask, *box)
    if move is not None:
        source = sitk.Resample(source, part, move, sitk.sitkBSpline, 0.0, sitk.sitkFloat32, True)
        share = sitk.Resample(sitk.Cast(_crop(mask, *needed)[0], sitk.sitkFloat32), part, move, sitk.sitkLinear, 0.0)
        part = sitk.Cast(share >= INSIDE, sitk.sitkUInt8)
    if whole:
        source = _like(np.rint(sitk.GetArrayViewFromImage(source)), source)
    return _paste(image, source, start), _paste(mask, part, start)


def _like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(values)
    made.CopyInformation(image)
    return made


def _paste(image: sitk.Image, part: sitk.Image, start: list[int]) -> sitk.Image:
    return sitk.Paste(image, part, part.GetSize(), [0, 0, 0], start)


def _change_volume(mask: sitk.Image, change: float, generator: np.random.Generator) -> sitk.Image:
    """Grow or shrink a region, by distance in mm from its surface, to exactly (1 + change) of its voxels (rounded)."""
    first, last = _extent(mask)
    # A plane region grows in its plane, then by change / 2 of its half width; nothing grows further than that.
    reach = np.ceil((last - first + 1) * abs(change) / 2) + 2
    part, start = _crop(mask, first - reach, last + reach)
    inside = sitk.GetArrayFromImage(part) > 0
    spacing = part.GetSpacing()[::-1]
    distance = distance_transform_edt(~inside, spacing) - distance_transform_edt(inside, spacing)
    # Many voxels are equally far: which of them come first is drawn, else the region would lean to one side.
    order = np.lexsort((generator.random(distance.size), distance.ravel()))
    changed = np.zeros(inside.size, np.uint8)
    changed[order[: round(inside.sum() * (1 + change))]] = 1
    return _paste(mask, _like(changed.reshape(inside.shape), part), start)


def _redraw(image: sitk.Image, mask: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    """Choose the supervoxels of a region anew, each with the probability of its share in the region."""
    first, last = _extent(mask)
    spacing = np.array(mask.GetSpacing())
    region = sitk.GetArrayFromImage(_crop(mask, first, last)[0]).sum() * spacing.prod()
    volume = min(SUPERVOXEL_MM3, max(region * SUPERVOXEL_SHARE, SUPERVOXEL_VOXELS * spacing.prod()))
    width = np.maximum(1, np.rint(np.cbrt(volume) / spacing)).astype(int)
    part, start = _crop(mask, first - 2 * width, last + 2 * width)
    inside = sitk.GetArrayFromImage(part) > 0
    scan, _ = _crop(image, first - 2 * width, last + 2 * width)
    labels = _supervoxels(scan, inside, width)
    chance = supervoxel_chances(labels, inside)
    chosen = generator.random(len(chance)) < chance
    return _paste(mask, _like(chosen[labels].astype(np.uint8), part), start)


def supervoxel_chances(labels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Probability with which each supervoxel (by label, from 0) belongs to a redrawn region: its share inside it.

    From a share of 0.9 on it is 1, below 0.2 it is 0; the supervoxel with the largest share always belongs to it.
    """
    count = np.maximum(np.bincount(labels.ravel()), 1)
    share = np.bincount(labels.ravel(), weights=inside.ravel()) / count
    chance = np.where(share >= ALWAYS, 1, np.where(share < NEVER, 0, share))
    chance[share.argmax()] = 1  # a region never vanishes
    return chance


def _supervoxels(scan: sitk.Image, inside: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Labels of simple linear iterative clustering (Achanta et al. 2012), about `width` voxels (x, y, z) wide."""
    smooth = sitk.GetArrayFromImage(sitk.DiscreteGaussian(scan, SMOOTHING_MM**2))
    low, high = smooth[inside].min(), smooth[inside].max()
    span = max(high - low, np.finfo(np.float32).tiny)
    scaled = np.clip((smooth - low) / span, -BEYOND, 1 + BEYOND).astype(np.float32)
    slic = sitk.SLICImageFilter()
    slic.SetSuperGridSize(width.tolist())
    slic.SetSpatialProximityWeight(COMPACTNESS)
    slic.SetNumberOfThreads(1)  # sums over threads would depend on their number
    return sitk.GetArrayFromImage(slic.Execute(_like(scaled, scan))).astype(np.int64)
