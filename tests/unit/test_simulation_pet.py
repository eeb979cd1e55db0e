import copy
import shutil

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from jsonschema import Draft202012Validator
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from nenflow.documents import read_json
from nenflow.errors import InputError
from nenflow.images.patients import import_patient
from nenflow.images.volumes import read_volume
from nenflow.simulation.cohort import simulate_cohort
from nenflow.simulation.dicom import Identity, Injection, write_pet
from nenflow.simulation.patients import draw_patients
from nenflow.simulation.pet import Lesion, draw_lesions, paint_pet, place_lesions
from nenflow.simulation.phantoms import Grid, Outline, slice_depth
from nenflow.tables import UNIT, read_table
from simulated import SCHEMA, changed, digests, shipped

PRRT = shipped("prrt")
ORGANS = ("liver", "bone", "node", "primary", "other")
HALF_LIFE = 4062.6  # s, of Ga-68
GRID = Grid(matrix=60, slices=30, spacing=4.0, thickness=5.0, origin=(-118.0, -118.0, -72.5))

TINY = copy.deepcopy(PRRT) | {"title": "tiny", "patients": 3}
TINY["variables"]["sex"]["counts"] = {"female": 1, "male": 2}
TINY["survival"]["overall"] |= {"events": 2, "accrual": 5}
TINY["segmentations"]["rtstruct"] = 0.4  # round(0.4 * 3) = 1 patient
for organ, counts in {
    "liver": {"0": 1, "1": 1, "2": 1},
    "bone": {"1": 3},
    "node": {"0": 2, "1": 1},
    "primary": {"0": 2, "1": 1},
    "other": {"0": 3},
}.items():
    TINY["pet"]["organs"][organ]["patients"] = counts


def imported(folder, patient, target, strict=False):
    cases = read_table(folder / "cases.csv").query("patient == @patient")
    settings = {"minimum_volume_mm3": 100}
    import_patient(cases.to_dict("records"), folder, target, settings, "reader1", strict)
    return read_table(target / "cases.csv")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    simulate_cohort(TINY, 3, folder)
    return folder


@pytest.fixture
def writable(tiny, tmp_path):
    """The slices of the PET of P001, and the cohort's folder, to be changed."""
    shutil.copytree(tiny, tmp_path / "cohort")
    return tmp_path / "cohort", sorted((tmp_path / "cohort/dicom/P001/pet").glob("*.dcm"))


# --- SUV


@pytest.mark.parametrize(
    ("correction", "left"), [("ADMIN", 1.0), ("START", 2 ** (-3600 / HALF_LIFE))], ids=["ADMIN", "START"]
)
def test_the_import_gives_the_drawn_suv(correction, left, tmp_path):
    """140 MBq in 70 kg: an SUV of 1 g/ml is 2000 Bq/ml at the injection, and less by an hour's decay at the start."""
    suv = np.random.default_rng(4).uniform(0, 60, GRID.shape)
    injection = Injection(weight_kg=70.0, dose_bq=140_000_000, uptake_s=3600, correction=correction)
    series = write_pet(suv, GRID, Identity(("t", "1"), "P001", "pet"), injection, True, tmp_path / "pet")
    for number, values in zip(series.numbers, suv, strict=True):
        written = pydicom.dcmread(tmp_path / "pet" / f"{number:04d}.dcm")
        activity = written.pixel_array * float(written.RescaleSlope)
        np.testing.assert_allclose(activity, values * 2000 * left, atol=0.501 * float(written.RescaleSlope))
    volume = read_volume(tmp_path / "pet")
    # Half of a stored step: 60 / 32767 / 2; and the rounding to 32 bits.
    np.testing.assert_allclose(sitk.GetArrayFromImage(volume.image), suv, atol=0.001)
    assert volume.tags["unit"] == "SUV"
    assert volume.tags["uptake_minutes"] == pytest.approx(60)
    assert volume.tags["half_life_minutes"] == pytest.approx(HALF_LIFE / 60)


def test_both_decay_corrections_occur_and_the_truth_says_what_was_injected(tiny):
    injections = read_json(tiny / "truth.json")["pet"]["injections"]
    assert [entry["correction"] for entry in injections.values()] == ["START", "ADMIN", "START"]
    for patient, entry in injections.items():
        header = pydicom.dcmread(next((tiny / "dicom" / patient / "pet").glob("*.dcm")))
        given = header.RadiopharmaceuticalInformationSequence[0]
        assert header.DecayCorrection == entry["correction"]
        assert header.PatientWeight == entry["weight_kg"]
        assert given.RadionuclideTotalDose == entry["dose_bq"]
        assert given.RadionuclideHalfLife == HALF_LIFE


@pytest.mark.parametrize("tag", ["PatientWeight", "RadionuclideTotalDose", "DecayCorrection"])
def test_a_series_that_lacks_a_tag_is_refused_with_its_name(tag, writable, tmp_path):
    folder, files = writable
    for file in files:
        header = pydicom.dcmread(file)
        place = header if tag in header else header.RadiopharmaceuticalInformationSequence[0]
        delattr(place, tag)
        header.save_as(file)
    cases = imported(folder, "P001", tmp_path / "refused")
    assert set(cases["status"]) == {"excluded"}
    assert all(f"The PET header lacks {tag}" in reason for reason in cases["reason"])
    with pytest.raises(InputError, match=f"lacks {tag}"):
        imported(folder, "P001", tmp_path / "strict", strict=True)


def test_a_large_lesion_takes_up_what_was_drawn():
    ball = Outline(np.zeros(3), 30.0, Outline.draw(1.0, np.random.default_rng(0)).bumps)
    suv = paint_pet(GRID, [Lesion("liver-1", ball, 24.0, 0.0)], 6.0, np.random.default_rng(1))
    core = slice_depth(ball, GRID) > 15  # some hundred voxels, far from the blurred edge; noise of 6 %
    assert core.sum() > 100
    assert suv[core].mean() == pytest.approx(24.0, rel=0.02)
    assert suv.min() >= 0


def test_heterogeneity_is_seen_in_the_uptake():
    outline = Outline(np.zeros(3), 30.0, Outline.draw(1.0, np.random.default_rng(0)).bumps)
    inside = slice_depth(outline, GRID) > 10
    spreads = [
        paint_pet(GRID, [Lesion("liver-1", outline, 24.0, texture)], 6.0, np.random.default_rng(1))[inside].std() / 24
        for texture in (0.0, 0.15, 0.3)
    ]
    assert spreads[0] < 0.1
    assert spreads[2] > spreads[1] + 0.05 > spreads[0] + 0.07


# --- files


PET_TAGS = [  # type 1 and 2 attributes of the PET image IOD (PS3.3 A.21), as far as they apply
    *["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientWeight"],
    *["StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"],
    *["Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesTime", "Manufacturer"],
    *["Units", "CountsSource", "SeriesType", "NumberOfSlices", "CorrectedImage", "DecayCorrection", "CollimatorType"],
    *["RadiopharmaceuticalInformationSequence", "FrameOfReferenceUID", "PositionReferenceIndicator"],
    *["PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "ImageType"],
    *["SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"],
    *["PixelRepresentation", "PixelData", "RescaleIntercept", "RescaleSlope", "FrameReferenceTime", "DecayFactor"],
    *["AcquisitionDate", "AcquisitionTime", "ActualFrameDuration", "ImageIndex", "InstanceNumber", "PatientPosition"],
]


def test_pairs_are_valid_and_share_a_frame_of_reference(tiny):
    for patient in ("P001", "P002", "P003"):
        pet = [pydicom.dcmread(file) for file in (tiny / "dicom" / patient / "pet").glob("*.dcm")]
        ct = [pydicom.dcmread(file) for file in (tiny / "dicom" / patient / "ct").glob("*.dcm")]
        assert not [tag for header in pet for tag in PET_TAGS if tag not in header]
        assert len({header.SOPInstanceUID for header in pet + ct}) == len(pet) + len(ct) == 2 * 44
        assert len({header.SeriesInstanceUID for header in pet + ct}) == 2
        assert len({header.FrameOfReferenceUID for header in pet + ct}) == 1
        assert len({header.StudyInstanceUID for header in pet + ct}) == 1
        assert {int(header.NumberOfSlices) for header in pet} == {44}
        assert all("SIMULATED" in header.SeriesDescription for header in pet + ct)
        assert not any("ContrastBolusAgent" in header for header in ct)
        positions = [{tuple(header.ImagePositionPatient) for header in series} for series in (pet, ct)]
        assert positions[0] == positions[1]


def test_the_ct_is_a_trunk_in_air(tiny):
    volume = read_volume(tiny / "dicom/P001/ct")
    hu = sitk.GetArrayFromImage(volume.image)
    assert volume.tags["unit"] == "HU"
    assert hu[:, :3, :3].mean() == pytest.approx(-1000, abs=5)
    middle = hu[:, 30:40, 42:46]
    assert np.median(middle) == pytest.approx(20, abs=15)


def test_same_seed_same_bytes_and_images_without_regard_to_the_effect(tiny, tmp_path):
    simulate_cohort(changed(TINY, "survival", "overall", "hazard_ratios", value={"burden": 3.0}), 3, tmp_path)
    assert len(digests(tiny, "*.dcm")) == 3 * (2 * 44 + 1)
    for pattern in ("*.dcm", "cases.csv"):
        assert digests(tmp_path, pattern) == digests(tiny, pattern)
    assert digests(tmp_path, "patients.csv") != digests(tiny, "patients.csv")


@pytest.mark.parametrize("patient", ["P001", "P002", "P003"])
def test_volumes_are_voxels_and_regions_lie_apart(patient, tiny, tmp_path):
    cases = imported(tiny, patient, tmp_path / patient)
    drawn = [entry for entry in read_json(tiny / "truth.json")["pet"]["lesions"] if entry["patient"] == patient]
    assert sorted(cases["region"]) == sorted(entry["region"] for entry in drawn)
    assert set(cases["status"]) == {"included"}
    np.testing.assert_allclose(cases["volume_mm3"], cases["voxels"] * 4.0 * 4.0 * 5.0)
    masks = [
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / patient / f"pet_{region}_reader1.nii.gz")))
        for region in cases["region"]
    ]
    assert sum(mask.astype(int) for mask in masks).max() == 1  # so that the total is the sum over the organs
    suv = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / patient / "pet.nii.gz")))
    for row, mask in zip(cases.itertuples(), masks, strict=True):
        assert mask.sum() == row.voxels
        assert row.maximum == pytest.approx(suv[mask > 0].max())
        assert row.mean == pytest.approx(suv[mask > 0].mean(), rel=1e-6)


def test_both_formats_occur(tiny):
    kinds = sorted(path.name.partition("_")[0] for path in tiny.glob("dicom/*/*.dcm"))
    assert kinds == ["RTSTRUCT", "SEG", "SEG"]


# --- the cohort


@pytest.fixture(scope="module")
def cohort():
    return draw_patients(PRRT, 8)


def test_margins_are_the_published_ones(cohort):
    patients = cohort.patients
    assert len(patients) == 67
    assert patients["status"].value_counts().to_dict() == {"dead": 38, "alive": 29}
    assert patients["age"].mean() == pytest.approx(67, abs=1)
    assert patients["sex"].value_counts().to_dict() == PRRT["variables"]["sex"]["counts"]


def test_mean_survival_is_near_the_published_46_months():
    def mean_survival(seed):
        patients = draw_patients(PRRT, seed).patients
        curve = KaplanMeierFitter().fit(patients["months"], patients["status"] == "dead")
        return restricted_mean_survival_time(curve, patients["months"].max())

    # One cohort's mean has a standard error of about 6 months, that of forty one of 1.
    assert np.mean([mean_survival(seed) for seed in range(40)]) == pytest.approx(46.5, abs=3)
    assert mean_survival(8) == pytest.approx(46.5, abs=3)  # the seed of the study


def test_nothing_in_the_images_predicts_survival(cohort):
    model = cohort.model["survival"]["overall"]
    assert set(model["coefficients"].values()) == {0.0}
    assert np.ptp(cohort.truth["overall_linear_predictor"]) == 0


def test_lesions_are_as_many_and_as_large_as_stated(cohort):
    lesions = draw_lesions(PRRT["pet"], cohort.truth, 8)
    organs = lesions.index.get_level_values("region").str.rpartition("-").get_level_values(0)
    assert set(lesions.index.get_level_values("patient")) == set(cohort.patients.index)
    for organ, settings in PRRT["pet"]["organs"].items():
        counts = lesions[organs == organ].groupby("patient").size().reindex(cohort.patients.index, fill_value=0)
        wanted = {int(number): patients for number, patients in settings["patients"].items()}
        assert counts.value_counts().to_dict() == wanted
        assert lesions.loc[organs == organ, "diameter_mm"].between(*settings["diameter_mm"]).all()
    assert lesions["suv"].between(5, 40).all()
    assert lesions["diameter_mm"].median() == pytest.approx(26, rel=0.15)
    assert lesions["suv"].median() == pytest.approx(16, rel=0.15)
    # Of the variance of a mean of four lesions 80 % are the patient's own: a correlation of about 0.9.
    sizes = np.log(lesions["diameter_mm"]).groupby("patient").mean()
    assert sizes.corr(cohort.truth["burden"]) > 0.7


def test_lesions_lie_apart_and_inside():
    rng = np.random.default_rng(5)
    grid = Grid(matrix=88, slices=44, spacing=4.0, thickness=5.0, origin=(10.0, -20.0, -500.0))
    sizes = {"liver-1": 80.0, "liver-2": 50.0, "liver-3": 30.0, "bone-1": 40.0, "bone-2": 40.0, "primary-1": 55.0}
    placed = place_lesions({region: Outline.draw(size, rng) for region, size in sizes.items()}, grid, rng)
    masks = [slice_depth(outline, grid) > 0 for outline in placed.values()]
    assert sum(mask.astype(int) for mask in masks).max() == 1
    edge = np.ones(grid.shape, dtype=bool)
    edge[1:-1, 1:-1, 1:-1] = False
    assert not any((mask & edge).any() for mask in masks)
    with pytest.raises(InputError, match="do not fit into the body"):
        place_lesions({f"bone-{k}": Outline.draw(75.0, rng) for k in range(4)}, grid, rng)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("organs", "liver", "patients"), {"1": 2}, "pet/organs/liver counts 2 patients, and there are 3"),
        (("suv", "latent"), "uptakes", "pet/suv follows uptakes, which is no latent"),
        (("organs",), {"liver": {"patients": {"0": 2, "1": 1}, "diameter_mm": [12, 40]}}, "without any lesion"),
    ],
)
def test_contradictions_are_refused(path, value, sentence):
    settings = changed(TINY, "pet", *path, value=value)
    with pytest.raises(InputError, match=sentence):
        draw_lesions(settings["pet"], draw_patients(TINY, 1).truth, 1)


def test_the_schema_takes_the_settings_and_nothing_else():
    validator = Draft202012Validator(SCHEMA)
    assert not list(validator.iter_errors(PRRT))
    assert not list(validator.iter_errors(TINY))
    assert list(validator.iter_errors(changed(TINY, "pet", "organs", "lung", value=PRRT["pet"]["organs"]["liver"])))
    assert list(validator.iter_errors({**PRRT, "lesions_mm": {}}))
    without = {key: value for key, value in PRRT.items() if key != "latents"}
    assert list(validator.iter_errors(without))


def test_tables_agree_with_the_files(tiny):
    assert list(read_table(tiny / "patients.csv")["patient"]) == ["P001", "P002", "P003"]
    assert read_table(tiny / "lesions.csv", index=UNIT).empty
    cases = read_table(tiny / "cases.csv")
    assert set(cases["phase"]) == {"pet"}
    assert all((tiny / path).exists() for path in [*cases["image"], *cases["segmentation"]])
    assert pd.Index(cases["region"]).str.rpartition("-").get_level_values(0).isin(ORGANS).all()
