"""pyradiomics without what it does over and over: checking its parameters, and binning an image for each class."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import SimpleITK as sitk
from radiomics import getFeatureClasses, imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor
from radiomics.shape import RadiomicsShape

from nenflow.features import meshes
from nenflow.features.stand_ins import calling, trusted
from nenflow.features.textures import Textures

# Python's own min and max look at one voxel after the other.
bin_image = calling(imageoperations.binImage, getBinEdges=calling(imageoperations.getBinEdges, min=np.min, max=np.max))


class CheckedExtractor(RadiomicsFeatureExtractor):
    """pyradiomics with parameters that were checked before."""

    def _applyParams(self, paramsFile=None, paramsDict=None):
        self.enabledImagetypes = paramsDict.get("imageType") or {"Original": {}}
        self.enabledFeatures = paramsDict.get("featureClass") or {name: [] for name in self.featureClassNames}
        self.settings = self._getDefaultSettings() | paramsDict.get("setting", {})

    def computeShape(self, image, mask, boundingBox, **settings):
        """Shape of the region, from a surface of ours."""
        compute = _SHAPE if trusted() else RadiomicsFeatureExtractor.computeShape
        return compute(self, image, mask, boundingBox, **settings)


def features_of_levels(
    image: sitk.Image,
    mask: sitk.Image,
    levels: np.ndarray,
    wanted: Mapping[str, list[str] | None],
    settings: Mapping[str, Any],
) -> Iterator[tuple[str, str, Any]]:
    """Compute the features of one image but for the shape.

    Args:
        image: the image, in whose intensities first order features are.
        mask: the region, 1 inside.
        levels: the grey levels, 1 and up inside the region; not changed.
        wanted: names of features by class, all of a class where there are none.
        settings: pyradiomics' settings of this image type.

    Yields:
        class, feature and value, in pyradiomics' order.
    """
    inside = sitk.GetArrayViewFromImage(mask) == 1
    levels = levels.view()
    levels.flags.writeable = False  # all classes work on it
    flat = settings.get("force2Ddimension", 0) if settings.get("force2D") else None
    shared = {
        "levels": levels,
        "found": np.unique(levels[inside]),
        "textures": Textures(levels, inside, flat) if trusted() else None,
    }
    for name, features in wanted.items():
        if name.startswith("shape"):
            continue
        calculator = _CALCULATORS[name](image, mask, **settings, **shared)
        for feature in features or []:
            calculator.enableFeatureByName(feature)
        for feature, value in calculator.execute().items():
            yield name, feature, value


class _Binned:
    """Puts the grey levels in the place of pyradiomics' binning, and our counts in the place of its matrices."""

    @classmethod
    @cache
    def getFeatureNames(cls):
        return super().getFeatureNames()

    def _applyBinning(self, matrix):
        self.coefficients["grayLevels"] = self.settings["found"].copy()
        self.coefficients["Ng"] = int(self.settings["found"].max())
        return self.settings["levels"]

    def _calculateMatrix(self, voxelCoordinates=None):
        theirs, textures = super()._calculateMatrix, self.settings["textures"]
        if textures is None or len(textures.angles) == 0:
            return theirs()
        return calling(theirs.__func__, cMatrices=textures)(self)


def _classes_with_our_surface() -> dict[str, type]:
    return {**getFeatureClasses(), "shape": _Shape}


class _Shape(RadiomicsShape):
    """Puts our surface in the place of pyradiomics'."""

    _initSegmentBasedCalculation = calling(RadiomicsShape._initSegmentBasedCalculation, cShape=meshes)


_SHAPE = calling(RadiomicsFeatureExtractor.computeShape, getFeatureClasses=_classes_with_our_surface)


# The module stays pyradiomics', because its classes log under that name.
_CALCULATORS = {
    name: type(name, (_Binned, calculator), {"__module__": calculator.__module__})
    for name, calculator in getFeatureClasses().items()
    if not name.startswith("shape")
}
