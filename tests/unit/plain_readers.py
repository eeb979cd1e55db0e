"""Images and segmentations read once more, by the standards' formulas and without nenflow, ITK or GDCM.

Each reader takes a file's own word for everything and raises on anything that it does not expect. It reads what the
files of `images_files` can hold after one of their values was changed, and no more.
"""

import gzip
from datetime import datetime, timedelta

import numpy as np
import pydicom
from matplotlib.path import Path as Outline

NRRD_TYPES = {"short": "i2", "ushort": "u2", "unsigned short": "u2", "uchar": "u1", "unsigned char": "u1",
              "int": "i4", "float": "f4", "uint8": "u1", "int16": "i2", "uint16": "u2"}  # fmt: skip
NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 256: "i1", 512: "u2", 768: "u4"}
TO_LPS = {"left-posterior-superior": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
          "left-anterior-superior": (1, -1, 1)}  # fmt: skip


class Unreadable(Exception):
    """The file contradicts itself or its standard."""


def need(condition):
    if not condition:
        raise Unreadable


# --- images: a list of (position of the first voxel, step along a row, step along a column, values) ----------------


def read_slices(paths):
    """Slices of single files or of one enhanced object, in any order; values in HU or SUV."""
    datasets = [pydicom.dcmread(path) for path in paths]
    frames = [frame for dataset in datasets for frame in _frames(dataset)]
    need(len({str(dataset.SeriesInstanceUID) for dataset in datasets}) == 1)
    return [_slice(header, stored, _suv(datasets) if header.Modality == "PT" else 1.0) for header, stored in frames]


def _frames(dataset):
    count = int(dataset.get("NumberOfFrames") or 1)
    stored = _stored(dataset).reshape(count, dataset.Rows, dataset.Columns)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        need(count == 1)
        return [(dataset, stored[0])]
    groups = dataset.PerFrameFunctionalGroupsSequence
    need(len(groups) == count)
    return [(_flat(dataset, group), frame) for group, frame in zip(groups, stored, strict=True)]


def _flat(dataset, own):
    flat = pydicom.Dataset()
    flat.Modality = dataset.Modality
    for groups in (dataset.SharedFunctionalGroupsSequence[0], own):
        for element in groups:
            flat.update(element.value[0] if element.VR == "SQ" else {})
    return flat


def _stored(dataset):
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return dataset.pixel_array
    need(dataset.BitsAllocated == 16 and dataset.SamplesPerPixel == 1 and dataset.HighBit + 1 == dataset.BitsStored)
    values = np.frombuffer(dataset.PixelData, {0: "<u2", 1: "<i2"}[dataset.PixelRepresentation])
    lowest = -(2 ** (dataset.BitsStored - 1)) * dataset.PixelRepresentation
    need(values.min() >= lowest and values.max() < lowest + 2**dataset.BitsStored)
    return values


def _numbers(values, count):
    values = np.array(values, float)
    need(values.shape == (count,) and np.isfinite(values).all())
    return values


def _slice(header, stored, factor):
    row, column = _numbers(header.ImageOrientationPatient, 6).reshape(2, 3)
    down, right = _numbers(header.PixelSpacing, 2)
    need(down > 0 and right > 0)
    values = (stored * float(header.RescaleSlope) + float(header.RescaleIntercept)) * factor
    return _numbers(header.ImagePositionPatient, 3), row * right, column * down, values


def _suv(datasets):
    """Factor of a PET in Bq/ml that was injected and scanned within a day."""
    first = datasets[0]
    need(all(dataset.Units == "BQML" and "ATTN" in dataset.CorrectedImage for dataset in datasets))
    dose = first.RadiopharmaceuticalInformationSequence[0]
    weight, activity = float(first.PatientWeight) * 1000, float(dose.RadionuclideTotalDose)
    if first.DecayCorrection == "ADMIN":
        return weight / activity
    need(first.DecayCorrection == "START")
    starts = [_time(first.SeriesDate, first.SeriesTime)]
    acquired = min(_time(dataset.AcquisitionDate, dataset.AcquisitionTime) for dataset in datasets)
    start = starts[0] if starts[0] <= acquired else acquired
    injected = _time(f"{start:%Y%m%d}", dose.RadiopharmaceuticalStartTime)
    injected -= timedelta(days=int(injected > start))
    elapsed = (start - injected).total_seconds()
    return weight / (activity * 0.5 ** (elapsed / float(dose.RadionuclideHalfLife)))


def _time(date, clock):
    text = f"{date}{clock}".strip()
    return datetime.strptime(text, "%Y%m%d%H%M%S.%f" if "." in text else "%Y%m%d%H%M%S")


# --- grids: values (z, y, x) or (layers, z, y, x), affine to LPS in mm, and text of the header ----------------------


def read_nrrd(content):
    head, data = content.split(b"\n\n", 1)
    lines = head.decode("utf-8").splitlines()
    need(lines[0] in ("NRRD0004", "NRRD0005"))
    fields, texts = {}, {}
    for line in lines[1:]:
        if not line or line.startswith("#"):
            continue
        if ":=" in line:
            texts.update([line.split(":=", 1)])
        else:
            name, value = line.split(": ", 1)
            need(name not in fields)
            fields[name] = value.strip()
    need(set(fields) <= {"type", "dimension", "space", "sizes", "space directions", "kinds", "endian", "encoding",
                         "space origin", "measurement frame", "content", "space units", "units"})  # fmt: skip
    sizes = [int(size) for size in fields["sizes"].split()]
    need(int(fields["dimension"]) == len(sizes) and min(sizes) > 0)
    data = gzip.decompress(data) if fields["encoding"] in ("gzip", "gz") else data
    need(fields["encoding"] in ("gzip", "gz", "raw"))
    kind = np.dtype(NRRD_TYPES[fields["type"]])
    order = {"little": "<", "big": ">"}[fields["endian"]] if kind.itemsize > 1 else "<"
    values = np.frombuffer(data, kind.newbyteorder(order)).reshape(sizes[::-1])
    directions = fields["space directions"].split()
    need(len(directions) == len(sizes))
    vectors = [_vector(text) for text in directions if text != "none"]
    need(len(vectors) == 3 and directions[-3:].count("none") == 0)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.array(vectors).T, _vector(fields["space origin"])
    affine[:3] *= np.array(TO_LPS[fields["space"]])[:, np.newaxis]
    return (np.moveaxis(values, -1, 0) if len(sizes) == 4 else values), _upright(affine), texts


def _vector(text):
    need(text.startswith("(") and text.endswith(")"))
    return _numbers(text[1:-1].split(","), 3)


def _upright(affine):
    """An affine without shear, to what a scanner's header is rounded to."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    need(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3)
    return affine


def read_nifti(content):
    """By its sform where there is one, else by its qform (nifti1.h, methods 3 and 2)."""
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content

    def get(kind, at, count=1):
        found = np.frombuffer(content, f"<{kind}", count, at)
        return found if count > 1 else found[0]

    dims = get("i2", 40, 8).astype(int)
    need(
        get("i4", 0) == 348
        and content[344:348] == b"n+1\0"
        and 3 <= dims[0] <= 7
        and (dims[4 : dims[0] + 1] == 1).all()
    )
    kind = np.dtype(NIFTI_TYPES[int(get("i2", 70))])
    need(kind.itemsize * 8 == get("i2", 72))
    values = np.frombuffer(content, kind.newbyteorder("<"), -1, int(get("f4", 108)))
    values = values.reshape(dims[3:0:-1])
    slope, intercept = get("f4", 112), get("f4", 116)
    need(np.isfinite([slope, intercept]).all())
    values = values * float(slope) + float(intercept) if slope != 0 else values
    pixels = np.abs(get("f4", 76, 8).astype(float))[1:4]
    if get("i2", 254) > 0:
        affine = np.vstack([get("f4", 280, 12).reshape(3, 4), [0, 0, 0, 1]]).astype(float)
    else:
        need(get("i2", 252) > 0)
        affine = _quaternion(get("f4", 256, 6).astype(float), pixels, get("f4", 76))
    need(np.isfinite(affine).all() and np.allclose(np.linalg.norm(affine[:3, :3], axis=0), pixels, rtol=1e-3))
    affine[:2] *= -1
    affine[:3] *= {1: 1000.0, 2: 1.0, 3: 0.001, 0: 1.0}[content[123] & 7]
    return values, _upright(affine), {}


def _quaternion(values, pixels, sign):
    (b, c, d), offset = values[:3], values[3:]
    need(b * b + c * c + d * d <= 1 + 1e-6)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    affine = np.eye(4)
    affine[:3, :3] = [
        [a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
        [2 * b * c + 2 * a * d, a * a + c * c - b * b - d * d, 2 * c * d - 2 * a * b],
        [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a + d * d - c * c - b * b],
    ]
    affine[:3, :3] *= pixels * [1, 1, -1 if sign < 0 else 1]
    affine[:3, 3] = offset
    return affine


# --- masks on the grid of a scan -------------------------------------------------------------------------------------


def read_outlines(path, name, to_index, shape):
    """Even-odd fill of the contours of a RTSTRUCT, by matplotlib."""
    dataset = pydicom.dcmread(path)
    numbers = [int(roi.ROINumber) for roi in dataset.StructureSetROISequence if str(roi.ROIName).strip() == name]
    need(len(numbers) == 1)
    mask = np.zeros(shape, bool)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    pixels = np.column_stack([columns.ravel(), rows.ravel()])
    for roi in dataset.ROIContourSequence:
        if int(roi.ReferencedROINumber) != numbers[0]:
            continue
        for contour in roi.ContourSequence:
            need(contour.ContourGeometricType == "CLOSED_PLANAR")
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            need(len(points) == int(contour.NumberOfContourPoints))
            index = points @ to_index[:3, :3].T + to_index[:3, 3]
            number = round(float(index[:, 2].mean()))
            need(0 <= number < shape[0] and np.abs(index[:, 2] - number).max() < 0.25)
            mask[number] ^= Outline(index[:, :2]).contains_points(pixels).reshape(shape[1:])
    return mask


def read_frames(path, name, to_index, shape):
    """A segment of a DICOM SEG, voxel by voxel."""
    dataset = pydicom.dcmread(path)
    labels = {int(entry.SegmentNumber): str(entry.SegmentLabel).strip() for entry in dataset.SegmentSequence}
    number = [key for key, label in labels.items() if label == name]
    need(len(number) == 1 and len(labels) == len(dataset.SegmentSequence))
    groups = dataset.PerFrameFunctionalGroupsSequence
    voxels = int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns
    if dataset.SegmentationType == "BINARY":
        values = np.unpackbits(np.frombuffer(dataset.PixelData, "u1"), bitorder="little")
    else:
        values = np.frombuffer(dataset.PixelData, {8: "u1", 16: "<u2"}[dataset.BitsAllocated])
    spare = 16 if dataset.SegmentationType == "BINARY" else 2
    need(len(groups) == int(dataset.NumberOfFrames) and voxels <= len(values) < voxels + spare)
    mask = np.zeros(shape, bool)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for own, frame in zip(groups, values[:voxels].reshape(-1, dataset.Rows, dataset.Columns), strict=True):
        if dataset.SegmentationType == "LABELMAP":
            inside = frame == number[0]
        else:
            identified = own if "SegmentIdentificationSequence" in own else shared
            if int(identified.SegmentIdentificationSequence[0].ReferencedSegmentNumber) != number[0]:
                continue
            inside = frame * 2 >= (dataset.MaximumFractionalValue if dataset.SegmentationType == "FRACTIONAL" else 1)
        found = [(own if key in own else shared)[key].value[0] for key in (
            "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")]  # fmt: skip
        row, column = _numbers(found[1].ImageOrientationPatient, 6).reshape(2, 3)
        down, right = _numbers(found[2].PixelSpacing, 2)
        first = _numbers(found[0].ImagePositionPatient, 3)
        down_index, right_index = np.nonzero(inside)
        places = first + np.outer(right_index, row * right) + np.outer(down_index, column * down)
        _set(mask, places, to_index)
    return mask


def read_labels(content, suffix, name, to_index, shape):
    """A label of a NIfTI or NRRD label map, or a segment that 3D Slicer describes in it."""
    values, affine, texts = (read_nrrd if suffix == ".nrrd" else read_nifti)(content)
    layers = values if values.ndim == 4 else values[np.newaxis]
    named = [key.removesuffix("_Name") for key, text in texts.items() if key.endswith("_Name") and text.strip() == name]
    need(bool(named) == bool(texts))
    layer, label = (int(texts[f"{named[0]}_Layer"]), int(texts[f"{named[0]}_LabelValue"])) if named else (0, int(name))
    mask = np.zeros(shape, bool)
    index = np.argwhere(layers[layer] == label)[:, ::-1]
    _set(mask, index @ affine[:3, :3].T + affine[:3, 3], to_index)
    return mask


def _set(mask, places, to_index):
    index = places @ to_index[:3, :3].T + to_index[:3, 3]
    whole = np.rint(index).astype(int)
    need(np.abs(index - whole).max(initial=0) < 0.25 and (whole >= 0).all() and (whole < mask.shape[::-1]).all())
    mask[tuple(whole[:, ::-1].T)] = True
