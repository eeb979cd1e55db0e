"""Label maps in NRRD and NIfTI files, with the segments that 3D Slicer describes in a seg.nrrd."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nenflow.errors import InputError
from nenflow.images.geometry import affine
from nenflow.images.placement import place, select
from nenflow.images.rasters import read_raster
from nenflow.images.volumes import Volume

SLICER_KEY = re.compile(r"Segment([0-9]+)_(ID|Name|LabelValue|Layer)")
# The key's name in newer and in older versions of Slicer.
REPRESENTATIONS = ("Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation")


@dataclass(frozen=True)
class Label:
    """A segment of a label map: the voxels of a layer that hold a value."""

    name: str
    layer: int
    value: int


def label_names(path: Path) -> dict[int | str, str]:
    """Names of the segments in a label map by number (see `_labels`)."""
    return {number: label.name for number, label in _labels(_read(path)).items()}


def read_labels(path: Path, segment: str | None, volume: Volume) -> np.ndarray:
    """Read one segment of a label map as an array of 0 and 1 on the grid of the volume; axes may be flipped or swapped.

    3D Slicer cuts a seg.nrrd down to its segments, so that its grid need only be a part of the volume's. A plain label
    map must cover the volume exactly: it names no frame of reference, and its extent is the only sign left that tells
    the phases of one examination apart, which share their grid in all but the number of slices.

    Raises:
        InputError: no whole numbers, another grid, or which segment is meant is not clear.
    """
    image = _read(path)
    labels = _labels(image)
    label = labels[select({number: label.name for number, label in labels.items()}, segment)]
    mask = np.zeros(volume.image.GetSize()[::-1], np.uint8)
    extent = place(_layers(image)[label.layer] == label.value, affine(image), volume.image, mask)
    whole = extent.tolist() == [[0, 0, 0], [length - 1 for length in volume.image.GetSize()]]
    if not whole and not _described(image):
        raise InputError(
            f"The segmentation covers {' x '.join(map(str, image.GetSize()))} voxels and not exactly the image's "
            f"{' x '.join(map(str, volume.image.GetSize()))}: export it on the image's own grid."
        )
    return mask


def _read(path: Path) -> sitk.Image:
    image = read_raster(path)
    layers = image.GetNumberOfComponentsPerPixel()
    if image.GetDimension() != 3 or (layers != 1 and not _described(image)):
        print(f"{path}: {image.GetDimension()} dimensions, {layers} values per voxel")
        raise InputError("The segmentation is not a single 3D image with one value per voxel: save it as one.")
    kinds = [image.GetMetaData(key) for key in REPRESENTATIONS if image.HasMetaDataKey(key)]
    if any("fractional" in kind.lower() for kind in kinds):
        raise InputError("The segmentation of 3D Slicer is a fractional one: convert it to a binary label map.")
    return image


def _layers(image: sitk.Image) -> np.ndarray:
    """Label values, (layers, slices, rows, columns); only the seg.nrrd of overlapping segments has several layers."""
    array = sitk.GetArrayViewFromImage(image)
    layers = np.moveaxis(array, 3, 0) if array.ndim == 4 else array[np.newaxis]
    if not np.issubdtype(layers.dtype, np.integer) and not (np.isfinite(layers) & (layers == np.rint(layers))).all():
        raise InputError("The segmentation holds values other than whole numbers (probabilities?): save it as a mask.")
    return layers


def _described(image: sitk.Image) -> dict[int, dict[str, str]]:
    """What 3D Slicer wrote of each segment, by its place in the file; empty for plain label maps."""
    segments: dict[int, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        if match := SLICER_KEY.fullmatch(key):
            segments.setdefault(int(match[1]), {})[match[2]] = image.GetMetaData(key).strip()
    return dict(sorted(segments.items()))


def _labels(image: sitk.Image) -> dict[int | str, Label]:
    """The segments by number, which is their label value, or Slicer's ID where layers use a value more than once."""
    described = _described(image)
    if not described:
        import pandas as pd  # here, since label maps are rare and it is slow to load; numpy would sort every voxel

        values = np.sort(pd.unique(_layers(image).ravel())).tolist()
        return {int(value): Label(str(int(value)), 0, int(value)) for value in values if value != 0}
    layers = image.GetNumberOfComponentsPerPixel()
    labels = []
    for number, entry in described.items():
        # Slicer before 4.11 wrote neither: each segment was a layer of its own, with the value 1.
        layer = int(entry.get("Layer", number if layers > 1 else 0))
        labels.append(Label(entry.get("Name", ""), layer, int(entry.get("LabelValue", 1))))
    numbers = [label.value for label in labels]
    if len(set(numbers)) < len(numbers):
        numbers = [entry.get("ID", f"Segment{number}") for number, entry in described.items()]
    clash = len({(label.layer, label.value) for label in labels}) < len(labels) or len(set(numbers)) < len(numbers)
    if clash or any(label.layer not in range(layers) for label in labels):
        raise InputError("The segments in the file are not described clearly (layer or label value): save it again.")
    return dict(zip(numbers, labels, strict=True))
