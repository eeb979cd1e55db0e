"""Enhanced multi-frame DICOM objects, as the headers that the same slices would have in one file each."""

import re

import pydicom
from pydicom.uid import EnhancedPETImageStorage

from nenflow.errors import InputError

# Functional groups (DICOM PS3.3 C.7.6.16.2, C.8.15.3, C.8.22) with what is needed of them. The last two hold what an
# archive took over unchanged when it put single slices together (legacy converted objects).
GROUPS = (
    "FrameContentSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "CTAcquisitionDetailsSequence",
    "CTAcquisitionTypeSequence",
    "CTTableDynamicsSequence",
    "CTReconstructionSequence",
    "CTExposureSequence",
    "CTXRayDetailsSequence",
    "PETReconstructionSequence",
    "ContrastBolusUsageSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
# The same under another name in single slices (PS3.3 C.8.2.1).
SINGLE_FRAME_NAMES = {
    "FrameType": "ImageType",
    "ExposureTimeInms": "ExposureTime",
    "XRayTubeCurrentInmA": "XRayTubeCurrent",
    "ExposureInmAs": "Exposure",
}
# Frames that differ in one of these are of different volumes: stacks, phases, reconstructions, energies.
SAME_IN_A_VOLUME = ("StackID", "TemporalPositionIndex", "ImageType", "ConvolutionKernel", "KVP")


def is_multiframe(header: pydicom.Dataset) -> bool:
    """Whether one file holds several slices, or says where its slices lie as such a file does."""
    return "PerFrameFunctionalGroupsSequence" in header or int(header.get("NumberOfFrames") or 1) > 1


def split_frames(header: pydicom.Dataset) -> list[pydicom.Dataset]:
    """One header per frame of an enhanced object, in the order of its frames, named as in files of single slices.

    Raises:
        InputError: the object does not say where each frame lies.
    """
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    if len(own) != int(header.get("NumberOfFrames") or 1):
        raise InputError(
            "The image is a multi-frame DICOM file that does not say where each of its frames lies: export it with one "
            "file per slice."
        )
    if header.get("SOPClassUID") == EnhancedPETImageStorage:
        raise InputError(
            "The PET is an enhanced multi-frame object, which states units and times elsewhere than is read here: "
            "export it with one file per slice."
        )
    shared = (header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    # Neither the groups of the other frames nor those of all frames are part of a slice.
    common = pydicom.Dataset({element.tag: element for element in header if element.tag.group != 0x5200})
    common.file_meta = header.file_meta
    return [_flatten(common, shared, frame) for frame in own]


def check_one_volume(headers: list[pydicom.Dataset]) -> None:
    """Check that frames belong to one volume.

    Raises:
        InputError: they are of several stacks, phases, reconstructions or energies.
    """
    different = [tag for tag in SAME_IN_A_VOLUME if len({str(header.get(tag)) for header in headers}) > 1]
    if different:
        raise InputError(
            f"The multi-frame DICOM file holds several volumes (its frames differ in {' and '.join(different)}: "
            "stacks, phases or energies): export the right one as its own series."
        )


def _flatten(common: pydicom.Dataset, shared: pydicom.Dataset, own: pydicom.Dataset) -> pydicom.Dataset:
    flat = pydicom.Dataset()
    flat.update(common)
    flat.file_meta = common.file_meta
    for groups in (shared, own):  # a group stands with the frame or, when all frames agree, in the shared part
        for name in GROUPS:
            for item in (groups.get(name) or [])[:1]:
                flat.update({element.tag: element for element in item})
    for name, single in SINGLE_FRAME_NAMES.items():
        if name in flat:
            setattr(flat, single, flat[name].value)
    start = str(flat.get("FrameAcquisitionDateTime") or "")
    if start and not re.search("[+-]", start):  # a time of another time zone would have to be converted
        flat.AcquisitionDate, flat.AcquisitionTime = start[:8], start[8:]
    return flat
