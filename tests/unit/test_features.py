import json
import logging
from math import cos, radians, sin

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from nenflow.errors import InputError
from nenflow.features import extraction, stand_ins
from nenflow.features.extraction import (
    CASE,
    as_slicer_loads,
    check_parameters,
    extract,
    extract_patient,
    many_grey_levels,
    read_parameters,
)
from nenflow.features.extraction import _prepare as prepare
from nenflow.records import read_records, write_records
from nenflow.tables import read_table, write_table

WAVELET = "config/studies/surufatinib/extraction/wavelet.yaml"
ORIGINAL = "config/studies/sarcoma/extraction/ct.yaml"
CLASSES = {"shape": 14, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}
QUICK = {"imageType": {"Original": {}}, "featureClass": {"firstorder": None}, "setting": {"binWidth": 25}}


def turned(axis, degrees):
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return {"x": (1, 0, 0, 0, c, -s, 0, s, c), "z": (c, -s, 0, s, c, 0, 0, 0, 1)}[axis]


STRAIGHT = turned("z", 0)


def scan(spacing, size, pixel, direction=STRAIGHT, origin=(-180.3, -171.7, -502.1)):
    """Noise with some grain, about 60 HU, differing by geometry but the same in every run."""
    noise = np.random.default_rng(size).normal(60, 40, size[::-1])
    image = sitk.GetImageFromArray(((noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 2)) / 2).astype(pixel))
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin(origin)
    return image


def ball(image, centre, radius):
    """Mask of a ball; centre in voxels, radius in mm."""
    z, y, x = np.indices(image.GetSize()[::-1])
    steps = [(axis - at) * width for axis, at, width in zip((x, y, z), centre, image.GetSpacing(), strict=True)]
    mask = sitk.GetImageFromArray((sum(step**2 for step in steps) <= radius**2).astype(np.uint8))
    mask.CopyInformation(image)
    return mask


# Spacing, size, direction, lesion's centre and radius. The scans are wide enough for the crop to leave out most of
# them, and where old and new grid share points (1 mm, 0.5 mm) truncation to integers shows any difference in the
# last bit of a coefficient.
GEOMETRIES = {
    "5 mm slices": ((0.7421875, 0.7421875, 5.0), (150, 140, 40), STRAIGHT, (75, 70, 20), 7),
    "5 mm slices, shared points": ((1.0, 1.0, 5.0), (140, 130, 60), STRAIGHT, (70, 65, 30), 6),
    "thin slices, shared points": ((0.5, 0.5, 1.25), (130, 130, 100), STRAIGHT, (65, 60, 50), 5),
    "turned in plane": ((0.81, 0.81, 2.5), (140, 140, 60), turned("z", 7.3), (90, 60, 30), 6),
    "tilted stack": ((0.9765625, 0.9765625, 3.0), (130, 120, 40), turned("x", 11), (60, 60, 20), 6),
    "at the border": ((0.8, 0.8, 2.5), (130, 120, 60), STRAIGHT, (6, 115, 58), 7),
    "coarser than 1 mm in one axis only": ((1.0, 1.0, 2.0), (120, 120, 50), STRAIGHT, (60, 60, 25), 6),
}


@pytest.fixture(scope="module")
def wavelet(pytestconfig):
    return read_parameters(pytestconfig.rootpath / WAVELET)


def plain_pyradiomics(image, mask, parameters):
    found = RadiomicsFeatureExtractor(parameters).execute(image, mask)
    return pd.Series({name: float(v) for name, v in found.items() if not name.startswith("diagnostics_")})


def assert_identical(ours, theirs):
    assert list(ours.index) == list(theirs.index)
    same = (ours == theirs) | (ours.isna() & theirs.isna())
    assert same.all(), f"{(~same).sum()} of {len(same)} features differ, the first being {same.idxmin()}"


# ---- identical to pyradiomics on the whole scan


@pytest.mark.parametrize(
    ("geometry", "pixel"),
    [
        ("5 mm slices", np.float32),
        ("5 mm slices, shared points", np.int16),
        ("turned in plane", np.int16),
        ("tilted stack", np.float32),
        ("at the border", np.int16),
    ],
)
def test_all_851_features_are_those_of_plain_pyradiomics(geometry, pixel, wavelet):
    spacing, size, direction, centre, radius = GEOMETRIES[geometry]
    image = scan(spacing, size, pixel, direction)
    mask = ball(image, centre, radius)
    ours = extract(image, mask, wavelet, "slicer")
    assert len(ours) == 851
    assert_identical(ours, plain_pyradiomics(image, mask, wavelet))


@pytest.mark.parametrize("pixel", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_every_resampled_voxel_is_pyradiomics_own(geometry, pixel, wavelet):
    spacing, size, direction, centre, radius = GEOMETRIES[geometry]
    image = scan(spacing, size, pixel, direction)
    assert_same_voxels(image, ball(image, centre, radius), wavelet)


def assert_same_voxels(image, mask, parameters):
    settings = RadiomicsFeatureExtractor(parameters).settings
    theirs = imageoperations.resampleImage(image, mask, **settings)
    for ours, reference in zip(prepare(image, mask, settings), theirs, strict=True):
        assert ours.GetPixelID() == reference.GetPixelID()
        assert ours.GetSpacing() == reference.GetSpacing()
        assert ours.GetOrigin() == reference.GetOrigin()
        assert (sitk.GetArrayViewFromImage(ours) == sitk.GetArrayViewFromImage(reference)).all()


@pytest.mark.parametrize("patient", ["STS_019", "STS_042"])
@pytest.mark.parametrize("modality", ["CT", "PET"])
def test_real_scans_resample_identically(test_data, patient, modality, wavelet):
    folder = test_data / "sts" / "nifti" / patient
    image, mask = (sitk.ReadImage(folder / f"{modality}_{name}.nii.gz") for name in ("image", "mask"))
    assert_same_voxels(image, mask, wavelet)


def test_a_real_region_gives_the_features_of_plain_pyradiomics(test_data, wavelet):
    folder = test_data / "sts" / "nifti" / "STS_019"
    image, mask = (sitk.ReadImage(folder / f"CT_{name}.nii.gz") for name in ("image", "mask"))
    # A part of the tumour the size of a liver metastasis, so that the test takes seconds.
    inside = np.argwhere(sitk.GetArrayViewFromImage(mask) == 1)
    z, y, x = inside[len(inside) // 2].tolist()
    mask = mask * ball(mask, (x, y, z), 7)
    assert_identical(extract(image, mask, wavelet, "slicer"), plain_pyradiomics(image, mask, wavelet))


@pytest.mark.parametrize(
    "settings",
    [
        {},  # no resampling
        {"preCrop": True, "padDistance": 4},
        {"resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkLinear"},
        {"resampledPixelSpacing": [1, 1, 0], "preCrop": True},
        {"resampledPixelSpacing": [0.8, 0.8, 2.5]},  # the spacing it has already
        {"resampledPixelSpacing": [2, 2, 2], "normalize": True, "normalizeScale": 100, "removeOutliers": 2},
        {"resampledPixelSpacing": [1, 1, 1], "resegmentRange": [20, 100]},
    ],
)
def test_other_settings_give_the_features_of_plain_pyradiomics(settings):
    parameters = {
        **QUICK,
        "featureClass": {"shape": None, "firstorder": None, "glcm": ["Contrast"]},
        "setting": settings,
    }
    parameters["imageType"] = {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {}}
    image = scan((0.8, 0.8, 2.5), (120, 110, 20), np.int16)
    mask = ball(image, (60, 50, 10), 6)
    assert_identical(extract(image, mask, parameters, "slicer"), plain_pyradiomics(image, mask, parameters))


EVERYTHING = {
    "imageType": {"Original": {}, "Wavelet": {}, "LoG": {"sigma": [1.5, 3.0]}, "Square": {}, "Gradient": {}},
    "featureClass": dict.fromkeys(CLASSES),
}


@pytest.mark.parametrize(
    "settings",
    [
        {"force2D": True, "force2Ddimension": 0},
        {"force2D": True, "force2Ddimension": 2},
        {"weightingNorm": "euclidean"},
        {"distances": [1, 2], "symmetricalGLCM": False},
        {"gldm_a": 2, "binCount": 16},
        {"resegmentRange": [40, 90], "resegmentShape": True},
    ],
)
def test_textures_of_all_kinds_are_those_of_plain_pyradiomics(settings):
    parameters = {**EVERYTHING, "setting": {"resampledPixelSpacing": [1, 1, 1], "binWidth": 20, **settings}}
    image = scan((0.8, 0.8, 2.5), (60, 50, 20), np.int16)
    mask = ball(image, (30, 25, 10), 5)
    assert_identical(extract(image, mask, parameters, "slicer"), plain_pyradiomics(image, mask, parameters))


def marked(image, *voxels):
    """Mask of some boxes of voxels, given as slices along z, y, x."""
    inside = np.zeros(image.GetSize()[::-1], np.uint8)
    for box in voxels:
        inside[box] = 1
    mask = sitk.GetImageFromArray(inside)
    mask.CopyInformation(image)
    return mask


REGIONS = {
    "one slice": [np.s_[10:11, 20:35, 20:41]],
    "one line": [np.s_[10:11, 20:21, 20:29]],
    "two voxels": [np.s_[10:12, 20:21, 20:21]],
    "a corner of the scan": [np.s_[0:3, 0:9, 0:12]],
    "the other corner": [np.s_[17:20, 40:50, 51:60]],
    "two parts": [np.s_[4:6, 5:14, 5:12], np.s_[12:16, 30:40, 33:50]],
    "from side to side": [np.s_[:, 5:15, :]],
}


@pytest.mark.parametrize("spacing", [[1, 1, 1], [2, 2, 2.5]])
@pytest.mark.parametrize("region", REGIONS)
def test_regions_of_all_kinds_are_those_of_plain_pyradiomics(region, spacing):
    image = scan((0.8, 0.8, 2.5), (60, 50, 20), np.int16, turned("x", 7))
    mask = marked(image, *REGIONS[region])
    types = {name: EVERYTHING["imageType"][name] for name in ("Original", "Wavelet")}
    settings = {"resampledPixelSpacing": spacing, "minimumROIDimensions": 1}
    parameters = {**EVERYTHING, "imageType": types, "setting": settings}
    assert_identical(extract(image, mask, parameters, "slicer"), plain_pyradiomics(image, mask, parameters))


def test_a_flat_region_has_the_features_of_plain_pyradiomics():
    image = scan((0.8, 0.8, 2.5), (60, 50, 20), np.int16) * 0 + 40
    mask = ball(image, (30, 25, 10), 5)
    parameters = {**EVERYTHING, "imageType": {"Original": {}}, "setting": {"resampledPixelSpacing": [1, 1, 1]}}
    assert_identical(extract(image, mask, parameters, "slicer"), plain_pyradiomics(image, mask, parameters))


def test_with_other_versions_pyradiomics_resamples_itself(wavelet, monkeypatch):
    spacing, size, direction, centre, radius = GEOMETRIES["at the border"]
    image = scan(spacing, size, np.int16, direction)
    mask = ball(image, centre, radius)
    expected = extract(image, mask, wavelet, "slicer")
    monkeypatch.setattr(stand_ins, "TESTED", {**stand_ins.TESTED, "radiomics": "v3.2.0"})
    monkeypatch.setattr(extraction, "resample", lambda *_: pytest.fail("our own resampling ran"))
    assert_identical(extract(image, mask, wavelet, "slicer"), expected)


# ---- what comes out


def test_counts_of_features_by_class(pytestconfig, wavelet):
    image = scan((1.0, 1.0, 1.0), (24, 24, 24), np.int16)
    mask = ball(image, (12, 12, 12), 5)
    original = extract(image, mask, read_parameters(pytestconfig.rootpath / ORIGINAL))
    assert original.index.str.split("_").str[1].value_counts().to_dict() == CLASSES
    assert len(original) == 107
    decomposed = extract(image, mask, wavelet, "slicer")
    counts = decomposed.index.str.split("_").str[0].value_counts()
    assert counts.pop("original") == 107
    assert (counts == 93).all()
    assert set(counts.index) == {f"wavelet-{a}{b}{c}" for a in "LH" for b in "LH" for c in "LH"}
    assert decomposed.dtype == float


def test_values_known_by_hand():
    image = scan((1.0, 1.0, 1.0), (12, 12, 12), np.int16)
    values = sitk.GetArrayFromImage(image)
    values[3:5, 3:5, 3:5] = np.arange(8).reshape(2, 2, 2) * 10
    marked = np.zeros(values.shape, np.uint8)
    marked[3:5, 3:5, 3:5] = 1
    image, mask = sitk.GetImageFromArray(values), sitk.GetImageFromArray(marked)
    features = extract(image, mask, QUICK)
    assert features["original_firstorder_Mean"] == 35
    assert features["original_firstorder_Energy"] == 100 * sum(k * k for k in range(8))
    assert features["original_firstorder_Range"] == 70


# ---- a patient's folder


@pytest.fixture
def patient(tmp_path):
    """Two phases; in the first two readings of a lesion, one excluded and one of a single voxel."""
    image = scan((1.0, 1.0, 2.0), (40, 40, 20), np.int16)
    for phase, shift in (("arterial", 0), ("portal", 100)):
        sitk.WriteImage(image + shift, tmp_path / f"{phase}.nii.gz")
    masks = {
        "arterial_lesion1_reader1": ball(image, (12, 12, 10), 5),
        "arterial_lesion1_reader2": ball(image, (12, 12, 10), 6),
        "arterial_lesion2_reader1": ball(image, (30, 30, 10), 0.5),
        "portal_lesion1_reader1": ball(image, (12, 12, 10), 5),
    }
    rows = []
    for name, mask in masks.items():
        sitk.WriteImage(mask, tmp_path / f"{name}.nii.gz")
        rows.append(["007", *name.split("_"), "drawn", "included", ""])
    rows.append(["007", "portal", "lesion2", "reader1", "drawn", "excluded", "The segmentation is empty."])
    pd.DataFrame(rows, columns=[*CASE, "role", "status", "reason"]).to_csv(tmp_path / "cases.csv", index=False)
    return tmp_path


def measured(folder, *args, **kwargs):
    """What `extract_patient` finds, written and read as a job of the workflow does it."""
    features, failures = extract_patient(folder, *args, **kwargs)
    write_records(features, folder / "features.csv", columns=CASE)
    write_records(failures, folder / "failures.csv", columns=[*CASE, "reason"])
    return read_table(folder / "features.csv"), read_table(folder / "failures.csv")


def test_records_are_written_as_tables_are(tmp_path):
    case = dict(zip(CASE, ("007", "arterial", "lesion1", "reader1"), strict=True))
    rows = [
        case | {"a": 0.1 + 0.2, "b": float("nan"), "c": 'one, "two"', "d": 1e-7},
        case | {"a": -0.0, "b": 1e22, "c": "", "d": 123456789.0, "e": 1 / 3},
    ]
    write_records(rows, tmp_path / "records.csv", columns=CASE)
    write_table(pd.DataFrame(rows), tmp_path / "table.csv")
    assert (tmp_path / "records.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert [row["patient"] for row in read_records(tmp_path / "records.csv")] == ["007", "007"]
    assert [row["b"] for row in read_records(tmp_path / "records.csv")] == ["", "1e+22"]


def test_one_row_per_segmentation_and_a_failure_loses_no_other(patient):
    features, failures = measured(patient, QUICK)
    assert features[CASE].agg("_".join, axis=1).to_list() == [
        "007_arterial_lesion1_reader1",
        "007_arterial_lesion1_reader2",
        "007_portal_lesion1_reader1",
    ]
    assert list(features.columns[:5]) == [*CASE, "original_firstorder_10Percentile"]
    means = features["original_firstorder_Mean"]
    assert means[2] == pytest.approx(means[0] + 100, abs=1e-9)
    assert failures[CASE].to_numpy().tolist() == [["007", "arterial", "lesion2", "reader1"]]
    assert "only contains 1 segmented voxel" in failures["reason"][0]


def test_organs_and_other_phases_are_not_measured(patient):
    cases = pd.read_csv(patient / "cases.csv", dtype=str)
    cases.loc[cases["rater"] == "reader2", "role"] = "organ"
    cases.to_csv(patient / "cases.csv", index=False)
    features, failures = measured(patient, QUICK, phases=["arterial"])
    assert features[CASE].to_numpy().tolist() == [["007", "arterial", "lesion1", "reader1"]]
    assert failures["region"].tolist() == ["lesion2"]


@pytest.mark.parametrize("conformance", ["ibsi", "slicer"])
def test_perturbed_readings_are_further_raters_that_other_cases_do_not_change(patient, conformance):
    again = {"repeats": 2, "reference": "reader1", "seed": 5, "translation": 0.5, "rotation_degrees": 8, "noise": True}
    features, _ = measured(patient, QUICK, conformance, perturbation=again)
    assert features[["phase", "rater"]].agg("_".join, axis=1).tolist() == [
        "arterial_reader1", "arterial_perturbed-1", "arterial_perturbed-2", "arterial_reader2",
        "portal_reader1", "portal_perturbed-1", "portal_perturbed-2",
    ]  # fmt: skip
    values = features.set_index(["phase", "rater"]).drop(columns=["patient", "region"])
    assert (values.loc[("arterial", "perturbed-1")] != values.loc[("arterial", "reader1")]).any()
    assert (values.loc[("arterial", "perturbed-1")] != values.loc[("arterial", "perturbed-2")]).any()
    alone, _ = measured(patient, QUICK, conformance, phases=["portal"], perturbation=again)
    pd.testing.assert_frame_equal(
        alone, features[features["phase"] == "portal"].reset_index(drop=True), check_exact=True
    )


def test_each_volume_is_read_once(patient, monkeypatch):
    read, original = [], extraction.read_raster
    monkeypatch.setattr(extraction, "read_raster", lambda path, *how: read.append(path.name) or original(path, *how))
    measured(patient, QUICK)
    assert read.count("arterial.nii.gz") == read.count("portal.nii.gz") == 1


@pytest.mark.parametrize(("modality", "whole"), [("CT", True), ("PT", False)])
def test_the_sidecar_says_whether_intensities_are_rounded(patient, modality, whole):
    (patient / "arterial.json").write_text(json.dumps({"Modality": modality}))
    parameters = {"featureClass": {"firstorder": ["Maximum"]}, "setting": {"resampledPixelSpacing": [1, 1, 1]}}
    features, _ = measured(patient, parameters)
    assert (features["original_firstorder_Maximum"] % 1 == 0).to_list() == [whole, whole, True]


def test_tables_without_rows_keep_their_columns(patient):
    cases = pd.read_csv(patient / "cases.csv", dtype=str)
    cases.assign(status="excluded").to_csv(patient / "cases.csv", index=False)
    features, failures = measured(patient, QUICK)
    assert list(features.columns) == CASE
    assert list(failures.columns) == [*CASE, "reason"]
    assert len(features) == len(failures) == 0


def test_a_bin_width_that_gives_many_grey_levels_is_said(patient, caplog):
    with caplog.at_level(logging.WARNING):
        measured(patient, QUICK)
        assert not caplog.messages
        measured(patient, {**QUICK, "setting": {"binWidth": 1}})
    assert any(text.startswith("arterial, lesion1, reader1: ") for text in caplog.messages)
    assert "original" in caplog.messages[0]


def test_grey_levels_are_counted_as_pyradiomics_bins():
    features = {"original_firstorder_Minimum": -1.0, "original_firstorder_Maximum": 1200.0}
    # Bins of 10 from -10: [-10, 0) is 1, [1200, 1210) is 122.
    assert many_grey_levels(features, {"setting": {"binWidth": 10}}) == {"original": 122}
    assert many_grey_levels(features, {"setting": {"binWidth": 10}, "imageType": {"Original": {"binWidth": 20}}}) == {}
    assert many_grey_levels(features, {"setting": {"binCount": 128}}) == {"original": 128}


# ---- refusals


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"setting": {"binwidth": 25}}, r"'binwidth' was not defined \(at /setting\)\.$"),
        ({"settings": {}}, r"'settings' was not defined \(at the top level\)\.$"),
        ({"imageType": {"Original": None}}, r"not a dict \(at /imageType/Original\)\.$"),
        ({"setting": {"resegmentMode": "low"}}, r"'low' does not exist \(at /setting/resegmentMode\)\. Enum: "),
        ({"imageType": {"Wavelt": {}}}, "Wavelt is not recognized"),
        ({"featureClass": {"glcm": ["Nope"]}}, "Nope"),
        ({"setting": {"binWidth": -1}}, "binWidth"),
        ({"setting": {"label": 2}}, "one region"),
        ({"setting": {"resegmentRange": [1, 2, 3]}}, "more than two bounds"),
        ({"voxelSetting": {"kernelRadius": 1}}, "voxel-based"),
        ({"imageType": {"LoG": {}}}, "without sigma"),
        ({"featureClass": {"shape2D": None}}, "force2D"),
        (None, "empty"),
    ],
)
def test_parameters_are_refused_in_one_sentence(parameters, says, tmp_path):
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(parameters))
    with pytest.raises(InputError, match=says) as refusal:
        read_parameters(tmp_path / "wrong.yaml")
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "wrong.yaml").write_text("setting:\n  binWidth: [25\n")
    with pytest.raises(InputError, match="no valid YAML"):
        read_parameters(tmp_path / "wrong.yaml")


def test_parameters_as_in_pyradiomics_examples_are_taken():
    check_parameters({"imageType": {"Original": {}, "LoG": {}}, "setting": {"label": 1, "sigma": [2.0, 4.0]}})


def test_a_conformance_that_does_not_exist_is_refused():
    image = scan((1.0, 1.0, 1.0), (9, 9, 9), np.int16)
    with pytest.raises(InputError, match="no conformance 'slicr'; use ibsi or slicer"):
        extract(image, ball(image, (4, 4, 4), 2), QUICK, "slicr")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda mask: mask[1:], "grid"),
        (lambda mask: sitk.Resample(mask, mask.GetSize(), sitk.Transform(), 1, (0, 0, 0.5)), "grid"),
        (lambda mask: mask[:, :, 4], "three-dimensional"),
        (lambda mask: mask * 0, "empty"),
        (lambda mask: mask * 2, "holds more"),
    ],
)
def test_masks_that_do_not_fit_are_refused(change, says):
    image = scan((1.0, 1.0, 1.0), (9, 9, 9), np.int16, origin=(0, 0, 0))
    with pytest.raises(InputError, match=says):
        extract(image, change(ball(image, (4, 4, 4), 2)), QUICK)


def test_whole_numbers_are_measured_as_slicer_loads_them():
    whole = sitk.GetImageFromArray(np.array([[[-1024.0, 0.0, 3071.0]]], np.float32))
    assert as_slicer_loads(whole).GetPixelID() == sitk.sitkInt16
    assert sitk.GetArrayFromImage(as_slicer_loads(whole)).ravel().tolist() == [-1024, 0, 3071]


@pytest.mark.parametrize("value", [0.5, 32768.0, -32769.0])
def test_other_scans_keep_their_type(value):
    image = sitk.GetImageFromArray(np.array([[[0.0, value]]], np.float32))
    assert as_slicer_loads(image).GetPixelID() == sitk.sitkFloat32
