"""The PRRT study with fewer patients, from simulated PET/CT to a report of a null result."""

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk

from nenflow.documents import read_json
from nenflow.tables import read_table
from projects import Project, edit

ORGANS = ["liver", "bone", "node", "primary", "other"]
PATIENTS, DEATHS, WITHOUT_LIVER = 20, 12, 3  # the published 67 and 38 take minutes; tests/unit has their margins
LESIONS = {
    "liver": {"0": WITHOUT_LIVER, "1": 9, "2": 8},
    "bone": {"0": 11, "1": 9},
    "node": {"0": 9, "1": 11},
    "primary": {"0": 12, "1": 8},
    "other": {"0": 15, "1": 5},
}
HALF_LIFE = 4062.6  # s


def fewer_patients(settings):
    settings["patients"] = PATIENTS
    settings["variables"]["sex"]["counts"] = {"female": 9, "male": 11}
    settings["survival"]["overall"] |= {"events": DEATHS, "accrual": 30}
    for organ, counts in LESIONS.items():
        settings["pet"]["organs"][organ]["patients"] = counts


@pytest.fixture(scope="module")
def prrt(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("prrt"))
    project.study("prrt")
    folder = project.folder / "config/studies/prrt"
    edit(folder / "simulation.yaml", fewer_patients)
    edit(
        folder / "study.yaml",
        lambda study: study["evaluation"].update(resamples=12, resamples_per_job=12, permutations=4),
    )
    project.run()
    return project.folder / "results/prrt"


@pytest.fixture(scope="module")
def measures(prrt):
    return read_table(prrt / "features/development/measured_variables.csv", index=["patient"])


def test_every_patient_is_in_what_needs_no_features(prrt):
    patients = read_table(prrt / "cohort/development/patients.csv")
    assert len(patients) == PATIENTS
    assert patients["status"].value_counts().to_dict() == {"dead": DEATHS, "alive": PATIENTS - DEATHS}
    assert read_table(prrt / "cohort/development/exclusions.csv").empty
    for model in ("tumour", "organs"):
        dataset = read_table(prrt / f"models/{model}/dataset.csv")
        assert (len(dataset), dataset["event"].sum()) == (PATIENTS, DEATHS)


def test_suv_is_activity_times_weight_over_dose(prrt):
    """From the files to the imported volume, for one patient of each kind of decay correction."""
    seen = set()
    for patient in ("P001", "P002"):
        files = (prrt / f"simulation/development/dicom/{patient}/pet").glob("*.dcm")
        slices = sorted(map(pydicom.dcmread, files), key=lambda header: header.ImagePositionPatient[2])
        given, first = slices[0].RadiopharmaceuticalInformationSequence[0], slices[0]
        clock = [pd.Timestamp("2020-01-01 " + f"{t[:2]}:{t[2:4]}:{t[4:6]}") for t in
                 (str(given.RadiopharmaceuticalStartTime), str(first.SeriesTime))]  # fmt: skip
        left = 2 ** (-(clock[1] - clock[0]).total_seconds() / HALF_LIFE) if first.DecayCorrection == "START" else 1
        factor = float(first.PatientWeight) * 1000 / (float(given.RadionuclideTotalDose) * left)
        expected = np.stack([header.pixel_array * float(header.RescaleSlope) * factor for header in slices])
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(prrt / f"images/development/{patient}/pet.nii.gz")))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        seen.add(first.DecayCorrection)
    assert seen == {"START", "ADMIN"}


def test_volumes_are_voxels_and_the_total_is_the_sum_over_organs(prrt, measures):
    cases = read_table(prrt / "images/development/cases.csv")
    assert set(cases["status"]) == {"included"}
    cases["ml"] = cases["voxels"] * 4 * 4 * 5 / 1000
    cases["organ"] = cases["region"].str.rpartition("-")[0]
    by_organ = cases.pivot_table(index="patient", columns="organ", values="ml", aggfunc="sum", fill_value=0)
    assert list(measures.index) == list(by_organ.index)
    for organ in ORGANS:
        assert measures[organ].to_numpy() == pytest.approx(by_organ[organ].to_numpy())
    assert measures["total"].to_numpy() == pytest.approx(measures[ORGANS].sum(axis=1).to_numpy())
    assert (measures["liver"] == 0).sum() == WITHOUT_LIVER  # 0 and not missing
    assert measures.notna().all().all()
    assert (measures["suvmean"] < measures["suvpeak"]).all()
    assert (measures["suvpeak"] < measures["suvmax"]).all()


def test_features_are_the_mean_of_the_liver_metastases_weighted_by_volume(prrt):
    dataset = read_table(prrt / "models/features/dataset.csv")
    assert len(dataset) == PATIENTS - WITHOUT_LIVER
    features = read_table(prrt / "features/development/pet.csv", index=["patient", "region"])
    cases = read_table(prrt / "images/development/cases.csv", index=["patient", "region"])
    name = "original_firstorder_Mean"
    for patient, value in dataset.set_index("patient")[name].head(12).items():
        regions = [region for region in cases.loc[patient].index if region.startswith("liver-")]
        weights = cases.loc[patient].loc[regions, "volume_mm3"].to_numpy()
        own = features.loc[patient].loc[regions, name].to_numpy()
        assert value == pytest.approx((own * weights).sum() / weights.sum())


def test_nothing_had_an_effect_and_the_report_says_so(prrt):
    truth = read_json(prrt / "simulation/development/truth.json")
    assert set(truth["survival"]["overall"]["coefficients"].values()) == {0.0}
    page = (prrt / "report/report.html").read_text(encoding="utf-8")
    for model in ("tumour", "organs"):
        candidates = read_table(prrt / f"models/{model}/candidates.csv")
        assert candidates["p_holm"].min() > 0.05
    assert page.count("A null result: none of 6 candidate") + page.count("A null result: none of 7 candidate") == 2
    assert page.count("comparisons shows a difference of survival") == 1
    assert "the 95% intervals exclude hazard ratios per standard deviation under" in page
    # Schoenfeld 1983, two equal groups, 80 % power; 2.48 with the published 38 deaths.
    assert f"{np.exp(2 * (1.959964 + 0.841621) / np.sqrt(DEATHS)):.2f}" in page


def test_an_interval_holds_the_true_ratio_of_one(prrt):
    ratios = pd.concat(
        read_table(prrt / f"models/{model}/{table}.csv")
        for model in ("tumour", "organs")
        for table in ("univariable", "multivariable")
    )
    missed = ((ratios["low"] > 1) | (ratios["high"] < 1)).sum()
    assert missed <= 3  # of 26 correlated intervals 1.3 are expected to miss


def test_medians_split_patients_in_two(prrt, measures):
    summary = read_table(prrt / "evaluation/survival_overall/summary.csv")
    tests = read_table(prrt / "evaluation/survival_overall/tests.csv")
    for name in ("suvmax", "suvmean", "suvpeak", "total"):
        groups = summary[summary["variable"] == name]
        assert sorted(groups["n"]) == [PATIENTS // 2, PATIENTS // 2]
        assert groups["events"].sum() == DEATHS
    assert {"suvmax", "suvmean", "suvpeak", "total", *ORGANS} <= set(tests["variable"])
