import numpy as np
import SimpleITK as sitk

from nenflow.errors import InputError
from nenflow.images.volumes import Volume


def check_mask(mask: sitk.Image, volume: Volume, minimum_volume_mm3: float) -> dict:
    """Check that a mask on the grid of a volume holds a region that is large enough to be measured.

    Args:
        mask: uint8, 0 or 1.
        volume: the scan.
        minimum_volume_mm3: the smallest region that the study accepts.

    Returns:
        `volume_mm3` and `voxels` of the region.

    Raises:
        InputError: the mask is empty or smaller than the minimum.
    """
    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    volume_mm3 = voxels * float(np.prod(volume.image.GetSpacing()))
    if voxels == 0:
        raise InputError("The mask is empty: no voxel centre lies inside the region.")
    if volume_mm3 < minimum_volume_mm3:
        raise InputError(
            f"The region is too small: {volume_mm3:.0f} mm3 in {voxels} voxels, the study asks for at least "
            f"{minimum_volume_mm3:g} mm3."
        )
    return {"volume_mm3": volume_mm3, "voxels": voxels}
