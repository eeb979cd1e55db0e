import copy

import highdicom
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from jsonschema import Draft202012Validator
from matplotlib.path import Path as Polygon
from scipy.stats import spearmanr

from nenflow.documents import read_json
from nenflow.errors import InputError
from nenflow.simulation.cohort import draw_diameters, simulate_cohort
from nenflow.simulation.dicom import Identity, write_ct, write_rtstruct, write_seg
from nenflow.simulation.draws import allocate, draw_cohort, draw_continuous, draw_outcome
from nenflow.simulation.phantoms import Bumps, Grid, Outline, Texture, draw_grid, paint, place, slice_depth
from nenflow.simulation.readings import plan_readings
from nenflow.tables import UNIT, read_table
from simulated import SCHEMA, changed, digests, shipped

SURUFATINIB = shipped("surufatinib")

# Table 2 of the publication: lesions with effective + ineffective treatment, row by row.
PUBLISHED = {
    "nse": {"<=100": 10 + 14, ">100": 17 + 90},
    "grade": {"1": 3 + 10, "2": 16 + 36, "3": 4 + 9, "4": 4 + 49},
    "location": {"EP-NEN": 11 + 68, "PNEN": 16 + 36},
    "diameter": {"1-3 cm": 24 + 62, "3-5 cm": 3 + 35, ">5 cm": 0 + 7},
    "number": {"oligo": 12 + 35, "multiple": 15 + 48, "diffuse": 0 + 21},
    "extrahepatic": {"no": 23 + 52, "yes": 4 + 52},
    "surgery": {"no": 20 + 68, "yes": 7 + 36},
    "response": {"effective": 27, "ineffective": 104},
}

TINY = {
    **SURUFATINIB,
    "title": "tiny",
    "patients": 3,
    "lesions": 5,
    "variables": {
        "grade": {"level": "patient", "counts": {"1": 3, "2": 2}},
        "diameter": {"level": "lesion", "counts": {"small": 4, "large": 1}},
        "ki67": {
            "level": "patient",
            "quartiles": [5, 20, 60],
            "range": [1, 95],
            "decimals": 0,
            "follows": "grade",
            "correlation": 0.9,
        },
    },
    "outcome": {**SURUFATINIB["outcome"], "events": 3, "odds_ratios": {"ki67": 1.03, "coarseness": 3.0}},
    "images": {**SURUFATINIB["images"], "matrix": 56, "slices": 8},
    "lesions_mm": {"variable": "diameter", "diameters": {"small": [12, 13], "large": [15, 16]}},
    "segmentations": {**SURUFATINIB["segmentations"], "repeated": 2},
}

GRID = Grid(matrix=64, slices=10, spacing=0.9, thickness=5.0, origin=(-20.0, 10.0, -55.5))
SMOOTH = Bumps(((0, 0, 0, 0.0),), 0.0)  # a ball


def clinical(cohort):
    return cohort.lesions.join(cohort.patients, on="patient")


def auc(score, event):
    return np.mean(np.sign(score[event][:, None] - score[~event]) / 2 + 0.5)


def read_ct(folder):
    return sorted(map(pydicom.dcmread, folder.glob("*.dcm")), key=lambda slice_: slice_.ImagePositionPatient[2])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    simulate_cohort(TINY, 5, folder)
    return folder


# --- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_margins_are_the_published_ones(seed):
    cohort = draw_cohort(SURUFATINIB, seed)
    table = clinical(cohort)
    for name, counts in PUBLISHED.items():
        assert table[name].value_counts().to_dict() == counts
    lesions = cohort.lesions.groupby("patient").size()
    assert lesions.value_counts().to_dict() == {2: 55, 1: 21}
    assert list(cohort.patients.index[[0, -1]]) == ["P001", "P076"]
    assert set(cohort.lesions.index.get_level_values("region")) == {"lesion1", "lesion2"}


def test_continuous_variables_meet_their_quartiles():
    table = clinical(draw_cohort(SURUFATINIB, 1))
    for name in ("ki67", "afp", "ggt", "age"):
        settings = SURUFATINIB["variables"][name]
        # 76 patients: neighbouring quantiles are 1.5 % of the distribution apart, about 6 % of the value here.
        assert table[name].quantile([0.25, 0.5, 0.75]).to_list() == pytest.approx(settings["quartiles"], rel=0.06)
        assert table[name].between(*settings["range"]).all()
    # Ki-67 defines the grade: the correlation of ranks is near that of the latents, 0.9.
    assert spearmanr(table["ki67"], table["grade"].astype(int)).statistic > 0.8


def test_quantiles_between_the_quartiles_are_log_linear():
    settings = {"quartiles": [2, 4, 8], "range": [1, 16], "decimals": 3}
    values = draw_continuous(np.ones(4, dtype=int), settings, None, np.random.default_rng(0))
    assert sorted(values) == pytest.approx([2**0.5, 2**1.5, 2**2.5, 2**3.5], abs=5e-4)  # rounded to 3 decimals


def test_the_truth_is_the_stated_model():
    cohort = draw_cohort(SURUFATINIB, 1)
    table, truth, model = clinical(cohort), cohort.truth, cohort.model
    levels = {"oligo": 1, "multiple": 2, "diffuse": 3, "no": 1, "yes": 2}
    expected = (
        model["intercept"]
        + np.log(1.035) * table["ki67"]
        + np.log(3.8) * table["number"].map(levels)
        + np.log(10.6) * table["extrahepatic"].map(levels)
        + np.log(3.5) * truth["coarseness"]
        + np.log(2.5) * truth["heterogeneity"]
        + np.log(2.5) * truth["necrosis"]
    )
    np.testing.assert_allclose(truth["linear_predictor"], expected, atol=1e-12)
    log_odds = truth["linear_predictor"] + truth["patient_effect"]
    np.testing.assert_allclose(truth["probability"], 1 / (1 + np.exp(-log_odds)), atol=1e-12)
    assert truth["probability"].sum() == pytest.approx(104, abs=1e-6)
    event = (cohort.lesions["response"] == "ineffective").to_numpy()
    assert model["auc_linear_predictor"] == pytest.approx(auc(truth["linear_predictor"].to_numpy(), event))
    assert truth["patient_effect"].groupby("patient").agg(np.ptp).max() == 0
    assert truth["patient_effect"].std() > 0


def test_the_true_score_has_an_auc_near_the_published_one():
    aucs = [draw_cohort(SURUFATINIB, seed).model["auc_linear_predictor"] for seed in range(20)]
    # Published 0.928, true scores not being fitted somewhat less; standard error of the mean about 0.007.
    assert 0.86 < np.mean(aucs) < 0.93


def test_outcomes_follow_the_odds_ratio():
    rng = np.random.default_rng(4)
    units = pd.MultiIndex.from_product([[f"P{i}" for i in range(20_000)], ["lesion1", "lesion2"]], names=UNIT)
    codes = pd.DataFrame({"exposed": rng.integers(0, 2, len(units)).astype(float)}, index=units)
    settings = {"event": "yes", "other": "no", "events": 12_000, "odds_ratios": {"exposed": 4.0}, "patient_sd": 0.0}
    outcome, scores, _ = draw_outcome(codes, settings, 1.0, rng)
    counts = pd.crosstab(codes["exposed"], outcome)
    ratio = counts.loc[1, "yes"] * counts.loc[0, "no"] / (counts.loc[1, "no"] * counts.loc[0, "yes"])
    assert np.log(ratio) == pytest.approx(np.log(4), abs=0.1)  # standard error 0.024
    assert counts["yes"].sum() == 12_000
    # Each group's share of events is the model's probability, within four standard errors of 0.0035.
    shares = (outcome == "yes").groupby(codes["exposed"]).mean() - scores["probability"].groupby(
        codes["exposed"]
    ).mean()
    assert shares.abs().max() < 0.014


def test_without_effect_outcomes_depend_on_nothing():
    null = {**SURUFATINIB, "effect": 0.0}
    cohort, same = draw_cohort(null, 1), draw_cohort(SURUFATINIB, 1)
    assert set(cohort.model["coefficients"].values()) == {0.0}
    assert cohort.model["patient_sd"] == 0
    np.testing.assert_allclose(cohort.truth["probability"], 104 / 131, atol=1e-9)
    pd.testing.assert_frame_equal(cohort.patients, same.patients)
    pd.testing.assert_series_equal(cohort.lesions["diameter"], same.lesions["diameter"])
    latents = ["coarseness", "heterogeneity", "necrosis"]
    pd.testing.assert_frame_equal(cohort.truth[latents], same.truth[latents])

    score = same.truth["linear_predictor"].to_numpy()
    codes = same.truth[latents]
    model = {**SURUFATINIB["outcome"], "odds_ratios": dict.fromkeys(latents, 9.0)}
    draws = (draw_outcome(codes, model, 0.0, np.random.default_rng(seed))[0] for seed in range(200))
    # One AUC has a standard error of about 0.063, the mean of 200 one of 0.0045.
    assert np.mean([auc(score, (drawn == "ineffective").to_numpy()) for drawn in draws]) == pytest.approx(
        0.5, abs=0.018
    )


def test_allocation_keeps_patients_whole():
    weights = np.array([2] * 6 + [1] * 3)
    for seed in range(20):
        levels = allocate(weights, {"a": 4, "b": 0, "c": 11}, np.random.default_rng(seed))
        assert weights[levels == "a"].sum() == 4
        assert weights[levels == "c"].sum() == 11
    assert len({tuple(allocate(weights, {"a": 4, "c": 11}, np.random.default_rng(s))) for s in range(20)}) > 10


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("lesions",), 7, "a patient has one or two"),
        (("variables", "grade", "counts"), {"1": 3, "2": 3}, "add up to 6, and there are 5 lesions"),
        (("variables", "ki67", "follows"), "stage", "ki67 follows stage, which has to be declared before it"),
        (("variables", "ki67", "range"), [10, 95], "in rising order"),
        (("outcome", "odds_ratios"), {"ki76": 2.0}, "names ki76"),
        (("outcome", "events"), 5, "both outcomes are needed"),
    ],
)
def test_contradictions_are_refused(path, value, sentence):
    with pytest.raises(InputError, match=sentence):
        draw_cohort(changed(TINY, *path, value=value), 1)


def test_counts_that_would_split_a_patient_are_refused():
    with pytest.raises(InputError, match="a patient's lesions stay together"):
        allocate(np.array([2, 2]), {"a": 1, "b": 3}, np.random.default_rng(0))


def test_the_schema_takes_the_settings_and_no_unknown_key():
    validator = Draft202012Validator(SCHEMA)
    assert not list(validator.iter_errors(SURUFATINIB))
    assert not list(validator.iter_errors(TINY))
    assert list(validator.iter_errors({**TINY, "efect": 0}))
    assert list(validator.iter_errors(changed(TINY, "variables", "ki67", "counts", value={"1": 5})))
    assert list(validator.iter_errors(changed(TINY, "variables", "grade", "levels", value=["1"])))
    without_correlation = copy.deepcopy(TINY)
    del without_correlation["variables"]["ki67"]["correlation"]
    assert list(validator.iter_errors(without_correlation))


# --- lesions and readings --------------------------------------------------------------------------------------------


def test_diameters_lie_in_their_class():
    lesions = draw_cohort(SURUFATINIB, 1).lesions
    diameters = draw_diameters(SURUFATINIB["lesions_mm"], lesions, np.random.default_rng(0))
    for level, low, high in (("1-3 cm", 10, 30), ("3-5 cm", 30, 50), (">5 cm", 50, 60)):
        assert diameters[lesions["diameter"] == level].between(low, high, inclusive="neither").all()
    with pytest.raises(InputError, match="lack a range for diameter >5 cm"):
        draw_diameters({"variable": "diameter", "diameters": {"1-3 cm": [1, 2], "3-5 cm": [3, 4]}}, lesions, None)
    with pytest.raises(InputError, match="no simulated variable of lesions"):
        draw_diameters({"variable": "grade", "diameters": {}}, lesions, None)


def test_the_same_46_lesions_are_read_three_times():
    units = draw_cohort(SURUFATINIB, 1).lesions.index
    plan = plan_readings(SURUFATINIB["segmentations"], units, np.random.default_rng(0))
    assert plan.sum().to_dict() == {"reader1": 131, "reader1-again": 46, "reader2": 46}
    assert plan["reader1-again"].equals(plan["reader2"])
    with pytest.raises(InputError, match="repeated readings of 46 lesions and has 5"):
        plan_readings(SURUFATINIB["segmentations"], units[:5], np.random.default_rng(0))


def test_a_ball_has_the_volume_of_a_ball():
    ball = Outline(np.array([8.0, 38.0, -33.0]), 12.0, SMOOTH)
    depth = slice_depth(ball, Grid(matrix=64, slices=60, spacing=0.9, thickness=0.8, origin=(-20.0, 10.0, -55.5)))
    volume = (depth > 0).sum() * 0.9 * 0.9 * 0.8
    assert volume == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.01)  # discretisation: under 1 % at 11,000 voxels
    assert ball.extent() == pytest.approx((24.0, 12.0))


def test_bumps_have_the_stated_covariance():
    rng = np.random.default_rng(8)
    x, z = np.array([0.0, np.sin(1.0), 0.0]), np.array([1.0, np.cos(1.0), -1.0])
    values = np.array([Bumps.draw(rng, 3, 2.0)(x, np.zeros(3), z) for _ in range(3000)])
    covariance = np.cov(values.T) / 2.0**2
    # 3,000 draws: standard error of a correlation at most 0.026.
    np.testing.assert_allclose(np.diag(covariance), 1, atol=0.1)
    assert covariance[0, 1] == pytest.approx((np.cos(1.0) ** 3 + np.cos(1.0) ** 4) / 2, abs=0.1)
    assert covariance[0, 2] == pytest.approx(0, abs=0.1)


def test_a_lesion_has_its_longest_diameter():
    outline = Outline.draw(21.0, np.random.default_rng(2))
    assert outline.extent()[0] == pytest.approx(21.0)
    fine = Grid(matrix=60, slices=60, spacing=0.5, thickness=0.5, origin=(-14.75, -14.75, -14.75))
    points = np.argwhere(slice_depth(outline, fine) > 0) * 0.5
    longest = max(np.linalg.norm(points - point, axis=1).max() for point in points[::41])
    assert longest == pytest.approx(21.0, abs=0.9)  # a voxel's diagonal


def test_lesions_lie_apart_and_inside():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        shapes = [Outline.draw(d, rng) for d in (54.0, 54.0)]  # the largest pair that a patient can have
        grid = draw_grid(SURUFATINIB["images"], shapes, rng)
        one, other = (slice_depth(o, grid) > 0 for o in place(shapes, grid, rng))
        assert not (one & other).any()
        for mask in (one, other):
            inner = mask[1:-1, 5:-5, 5:-5]
            assert mask.any()
            assert inner.sum() == mask.sum()
    with pytest.raises(InputError, match="do not fit into the image"):
        place([Outline.draw(54.0, rng)], GRID, rng)


def test_raters_differ_as_much_as_stated():
    def dice(one, other):
        return 2 * (one & other).sum() / (one.sum() + other.sum())

    careful, hasty = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        true = place([Outline.draw(20.0, rng)], GRID, rng)[0]
        mask = slice_depth(true, GRID) > 0
        careful.append(dice(mask, slice_depth(true.misread(0.4, 0.2, rng), GRID) > 0))
        hasty.append(dice(mask, slice_depth(true.misread(0.8, 0.4, rng), GRID) > 0))
    assert 0.93 < np.mean(careful) < 0.99
    assert 0.86 < np.mean(hasty) < np.mean(careful)
    # A misreading with no error is the outline itself.
    assert ((slice_depth(true.misread(0.0, 0.0, rng), GRID) > 0) == mask).all()


# --- images ----------------------------------------------------------------------------------------------------------


def inside_a_lesion(texture, seed):
    """HU of a painted lesion of 30 mm on slices through its middle, NaN outside, and its distance from the centre."""
    grid = Grid(matrix=64, slices=13, spacing=0.9, thickness=5.0, origin=(0.0, 0.0, 0.0))
    rng = np.random.default_rng(seed)
    lesion = place([Outline.draw(30.0, rng)], grid, rng)[0]
    image = paint(grid, [(lesion, texture)], rng)
    distance, reach = lesion.polar(*grid.axes())
    return np.where(slice_depth(lesion, grid) > 2, image, np.nan), distance / reach


def autocorrelation(values, lag=3):
    one, other = values[:, :, :-lag].ravel(), values[:, :, lag:].ravel()
    both = np.isfinite(one) & np.isfinite(other)
    return np.corrcoef(one[both], other[both])[0, 1]


def test_latents_are_visible_in_the_image():
    steps = range(8)
    coarse = [autocorrelation(inside_a_lesion(Texture(0.8 + 0.4 * k, 24.0, 0.1), k)[0]) for k in steps]
    uneven = [np.nanstd(inside_a_lesion(Texture(1.8, 10.0 + 6 * k, 0.45), k)[0]) for k in steps]
    dark = [np.nanmean(inside_a_lesion(Texture(1.8, 24.0, 0.2 + 0.08 * k), k)[0]) for k in steps]
    assert spearmanr(coarse, steps).statistic > 0.8
    assert spearmanr(uneven, steps).statistic > 0.8
    assert spearmanr(dark, steps).statistic < -0.8


def test_the_core_is_dark_and_the_rim_is_bright():
    # Liver 90 HU, core 25 below, rim 40 above; 3 HU for noise of 8 HU over some hundred voxels.
    values, radius = inside_a_lesion(Texture(1.0, 1.0, 0.7), 3)
    assert np.nanmean(values[radius < 0.25]) == pytest.approx(65, abs=3)
    values, radius = inside_a_lesion(Texture(1.0, 1.0, 0.4), 3)
    assert np.nanmean(values[radius > 0.75]) == pytest.approx(130, abs=3)


# --- files -----------------------------------------------------------------------------------------------------------


def test_same_seed_same_bytes(tiny, tmp_path):
    simulate_cohort(TINY, 5, tmp_path / "again")
    assert digests(tmp_path / "again", "*") == digests(tiny, "*")
    simulate_cohort(TINY, 6, tmp_path / "other")
    assert not set(digests(tmp_path / "other", "*.dcm").values()) & set(digests(tiny, "*.dcm").values())


def test_the_effect_leaves_images_and_clinical_tables_alone(tiny, tmp_path):
    simulate_cohort({**TINY, "effect": 0.0}, 5, tmp_path)
    for pattern in ("*.dcm", "patients.csv", "cases.csv"):
        assert digests(tmp_path, pattern) == digests(tiny, pattern)
    assert set(read_json(tmp_path / "truth.json")["coefficients"].values()) == {0.0}
    assert read_json(tiny / "truth.json")["coefficients"]["ki67"] == pytest.approx(np.log(1.03))


def test_tables_agree_with_the_files(tiny):
    patients, lesions = read_table(tiny / "patients.csv"), read_table(tiny / "lesions.csv", index=UNIT)
    cases, truth = read_table(tiny / "cases.csv"), read_table(tiny / "truth.csv", index=UNIT)
    assert list(patients["patient"]) == ["P001", "P002", "P003"]
    assert lesions["response"].value_counts().to_dict() == {"ineffective": 3, "effective": 2}
    assert truth.index.equals(lesions.index)
    columns = ["patient", "phase", "region", "rater", "image", "series", "segmentation", "segment"]
    assert list(cases.columns) == columns
    assert cases["rater"].value_counts().to_dict() == {"reader1": 5, "reader1-again": 2, "reader2": 2}
    assert not cases.duplicated(["patient", "phase", "region", "rater"]).any()
    assert all((tiny / path).is_dir() for path in cases["image"])
    assert set(cases["segmentation"]) == {path.relative_to(tiny).as_posix() for path in tiny.glob("dicom/*/*.dcm")}


CT_TAGS = [  # type 1 and 2 attributes of the CT image IOD for an axial image
    *["PatientName", "PatientID", "PatientBirthDate", "PatientSex"],
    *["StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"],
    *["Modality", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID", "PositionReferenceIndicator"],
    *["Manufacturer", "InstanceNumber", "PatientPosition", "ContentDate", "ContentTime"],
    *["PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness"],
    *["SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"],
    *["PixelRepresentation", "PixelData", "ImageType", "RescaleIntercept", "RescaleSlope", "KVP", "AcquisitionNumber"],
    *["SOPClassUID", "SOPInstanceUID", "StudyDescription", "SeriesDescription"],
]


def test_ct_series_are_valid(tiny):
    for patient in ("P001", "P002", "P003"):
        slices = read_ct(tiny / "dicom" / patient / "arterial")
        assert len(slices) >= 8
        for slice_ in slices:
            assert not [tag for tag in CT_TAGS if tag not in slice_]
            assert slice_.file_meta.MediaStorageSOPInstanceUID == slice_.SOPInstanceUID
            assert "SIMULATED" in slice_.StudyDescription
            assert "SIMULATED" in slice_.SeriesDescription
            assert slice_.PatientName == f"Simulated^{patient}"
            assert slice_.KVP == 120
        z = np.array([float(slice_.ImagePositionPatient[2]) for slice_ in slices])
        np.testing.assert_allclose(np.diff(z), 5.0, atol=1e-9)
        assert len({slice_.SOPInstanceUID for slice_ in slices}) == len(slices)
        assert len({(slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID) for slice_ in slices}) == 1
        assert sorted(slice_.InstanceNumber for slice_ in slices) == list(range(1, len(slices) + 1))


def test_another_reader_finds_the_geometry_and_the_hu(tiny):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tiny / "dicom" / "P001" / "arterial"))
    image = sitk.ReadImage(names)
    first = read_ct(tiny / "dicom" / "P001" / "arterial")[0]
    assert image.GetSpacing() == pytest.approx((*first.PixelSpacing, 5.0))
    assert image.GetOrigin() == pytest.approx(tuple(first.ImagePositionPatient))
    hu = sitk.GetArrayFromImage(image)
    # Fat -90 HU with noise of 8 in the corners; liver 90 HU is what most of the image shows.
    assert hu[:, :4, :4].mean() == pytest.approx(-90, abs=3)
    assert np.median(hu) == pytest.approx(90, abs=5)


@pytest.fixture
def scan(tmp_path):
    """A written CT with two lesions' outlines on it: identity, series, depths by region."""
    rng = np.random.default_rng(11)
    grid = draw_grid({**SURUFATINIB["images"], "matrix": 80}, [], rng)
    outlines = place([Outline.draw(d, rng) for d in (22.0, 14.0)], grid, rng)
    depths = {f"lesion{k}": slice_depth(outline, grid) for k, outline in enumerate(outlines, 1)}
    identity = Identity(("test", "1"), "P001", "arterial")
    image = np.zeros(grid.shape, dtype=np.int16)
    series = write_ct(image, grid, identity, head_first=True, folder=tmp_path / "ct")
    return grid, identity, series, depths


def test_ct_keeps_hu_and_numbers_slices_as_told(tmp_path):
    image = np.random.default_rng(0).integers(-1000, 1000, GRID.shape).astype(np.int16)
    write_ct(image, GRID, Identity(("test", "1"), "P001", "arterial"), head_first=True, folder=tmp_path / "ct")
    slices = read_ct(tmp_path / "ct")
    assert [slice_.InstanceNumber for slice_ in slices] == list(range(GRID.slices, 0, -1))
    hu = np.stack([float(s.RescaleSlope) * s.pixel_array + float(s.RescaleIntercept) for s in slices])
    assert (hu == image).all()


def test_a_seg_holds_the_masks(scan, tmp_path):
    _, identity, series, depths = scan
    write_seg({k: d > 0 for k, d in depths.items()}, series, identity, "reader2", 4, tmp_path / "seg.dcm")
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert "SIMULATED" in seg.StudyDescription
    assert seg.FrameOfReferenceUID == series.common.FrameOfReferenceUID
    assert seg.StudyInstanceUID == series.common.StudyInstanceUID
    masks = seg.get_pixels_by_source_instance(series.instances, assert_missing_frames_are_empty=True)
    for number, (region, depth) in enumerate(depths.items(), 1):
        assert seg.get_segment_numbers(segment_label=region) == [number]
        assert (masks[..., number - 1].astype(bool) == (depth > 0)).all()


def test_an_rtstruct_holds_closed_contours_around_the_masks(scan, tmp_path):
    grid, identity, series, depths = scan
    write_rtstruct(depths, grid, series, identity, "reader2", 4, tmp_path / "rt.dcm")
    structures = pydicom.dcmread(tmp_path / "rt.dcm")
    frame = structures.ReferencedFrameOfReferenceSequence[0]
    assert frame.FrameOfReferenceUID == series.common.FrameOfReferenceUID
    referenced = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == series.common.SeriesInstanceUID
    names = {roi.ROINumber: roi.ROIName for roi in structures.StructureSetROISequence}
    assert list(names.values()) == ["lesion1", "lesion2"]

    z, y, x = (axis.ravel() for axis in grid.axes())
    centres = np.array([(a, b) for b in y for a in x])
    by_instance = {instance: index for index, instance in enumerate(series.instances)}
    for roi in structures.ROIContourSequence:
        mask = np.zeros(grid.shape, dtype=bool)
        for contour in roi.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints >= 3
            index = by_instance[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            np.testing.assert_allclose(points[:, 2], z[index], atol=1e-9)
            assert not np.array_equal(points[0], points[-1])
            mask[index] ^= Polygon(points[:, :2]).contains_points(centres).reshape(mask[index].shape)
        assert (mask == (depths[names[roi.ReferencedROINumber]] > 0)).all()


def test_pydicom_writes_the_same_bytes(tiny, tmp_path):
    for path in sorted((tiny / "dicom").rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        assert list(dataset.iterall())  # decodes every element, so that none is copied as it was read
        dataset.save_as(tmp_path / "again.dcm", enforce_file_format=True)
        assert (tmp_path / "again.dcm").read_bytes() == path.read_bytes(), path


def test_both_formats_occur(tiny):
    files = [path.name for path in tiny.glob("dicom/*/*_reader1.dcm")]
    # round(0.4 * 3) = 1
    assert sorted(files) == [f"{name}_arterial_reader1.dcm" for name in ("RTSTRUCT", "SEG", "SEG")]
