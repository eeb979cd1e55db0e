"""A study of patients with several lesions each, from NIfTI files to its report: what is measured in the images."""

import json

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from nenflow.tables import read_table
from projects import Project

SPACING = (4.0, 4.0, 5.0)  # x, y, z in mm: a voxel has 0.08 mL
VOXEL_ML = 0.08
PATIENTS = [f"P{number:02d}" for number in range(1, 25)]
NONE_IN_LIVER, REFUSED, ALL_REFUSED = "P03", "P05", "P07"  # liver-2 of P05 and both of P07 are too small to be measured

STUDY = {
    "title": "Measured variables",
    "seed": 1,
    "strict": False,
    "unit": "patient",
    "cohorts": {"development": {"patients": "patients.csv", "cases": "cases.csv", "data": "${STUDY_DATA}"}},
    "variables": {
        "status": {"label": "Status", "level": "patient", "type": "categorical", "levels": ["alive", "dead"]},
        "months": {"label": "Survival (months)", "level": "patient", "type": "continuous", "minimum": 0},
        "sex": {"label": "Sex", "level": "patient", "type": "categorical", "levels": ["female", "male"]},
    },
    "endpoints": {"death": {"variable": "status", "event": "dead", "time": "months", "times": [12, 24]}},
    "images": {"minimum_volume_mm3": 400, "analysed": "liver-*", "aggregate": "largest"},
    "extractions": {"first": {"parameters": "extraction/first.yaml"}},
    "stability": {"readings": {"reference": "reader1", "inter": "reader2"}},
    "markers": {"endpoint": "death", "extraction": "first", "phase": "pet"},
    "survival": {"death": {"by": ["sex"], "medians": ["volume", "suvmax"], "cutpoints": ["volume"]}},
    "components": {"endpoint": "death", "extraction": "first", "phase": "pet"},
    "models": {
        "tumour": {
            "endpoint": "death",
            "clinical": ["sex", "volume", "suvmax"],
            "missing": "complete",
            "steps": [{"univariable": {"p": 0.99}}, {"cox": {}}],
        }
    },
    "evaluation": {"resamples": 4, "resamples_per_job": 4, "permutations": 2},
}
MEASURED = {
    "volume": ("Tumour volume (mL)", "volume", "*"),
    "suvmax": ("SUVmax", "maximum", "*"),
    "suvmean": ("SUVmean", "mean", "*"),
    "suvpeak": ("SUVpeak", "peak", "*"),
    "livervolume": ("Liver metastases (mL)", "volume", "liver-*"),
    "bonevolume": ("Bone metastases (mL)", "volume", "bone-*"),
}
PARAMETERS = {
    "imageType": {"Original": {}},
    "featureClass": {"firstorder": ["Mean", "Maximum", "Minimum", "Energy", "Entropy"], "shape": ["VoxelVolume"]},
    "setting": {"binWidth": 1},
}


def study():
    rules = {
        name: {"label": label, "level": "patient", "type": "continuous"}
        | {"measured": {"measure": measure, "of": of, "phase": "pet"}}
        for name, (label, measure, of) in MEASURED.items()
    }
    return STUDY | {"variables": STUDY["variables"] | rules}


def lesions(patient):
    """Boxes of voxels by name: corner and size (z, y, x)."""
    number = PATIENTS.index(patient)
    boxes = {
        "liver-1": ((2, 2, 2), (3, 3, 3 + number % 4)),
        "liver-2": ((9, 9, 2), (3, 4, 3 + number % 3)),
        "bone-1": ((3, 12, 12), (3, 3, 3)),
    }
    if patient in (REFUSED, ALL_REFUSED):
        boxes["liver-2"] = ((9, 9, 2), (1, 2, 2))
    if patient == ALL_REFUSED:
        boxes["liver-1"] = ((2, 2, 2), (2, 2, 1))
    if patient == NONE_IN_LIVER:
        boxes = {"bone-1": boxes["bone-1"]}
    return boxes


def arrays(patient):
    """Scan and masks of a patient: (z, y, x)."""
    rng = np.random.default_rng([7, PATIENTS.index(patient)])
    scan, masks = rng.uniform(0.5, 1.5, (16, 18, 18)).astype(np.float32), {}
    for name, (corner, size) in lesions(patient).items():
        part = tuple(slice(start, start + width) for start, width in zip(corner, size, strict=True))
        scan[part] += rng.uniform(2, 20) * rng.uniform(0.8, 1.2, size)
        masks[name] = np.zeros(scan.shape, np.uint8)
        masks[name][part] = 1
    return scan, masks


def write(array, path):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, path)


def write_study(folder, data):
    rng, rows, cases = np.random.default_rng([7, 100]), [], []
    for number, patient in enumerate(PATIENTS):
        scan, masks = arrays(patient)
        write(scan, data / patient / "pet.nii.gz")
        for name, mask in masks.items():
            for rater in ("reader1", "reader2")[: 1 + (number < 8)]:
                drawn = mask if rater == "reader1" else np.roll(mask, 1, axis=2)
                file = f"{patient}/{name}_{rater}.nii.gz"
                write(drawn, data / file)
                cases.append((patient, "pet", name, rater, f"{patient}/pet.nii.gz", file))
        status = "alive" if number % 3 == 2 else "dead"
        rows.append((patient, status, round(float(rng.exponential(20)) + 0.5, 1), ("female", "male")[number % 2]))
    columns = ["patient", "phase", "region", "rater", "image", "segmentation"]
    (folder / "extraction").mkdir(parents=True)
    pd.DataFrame(cases, columns=columns).to_csv(folder / "cases.csv", index=False)
    pd.DataFrame(rows, columns=["patient", "status", "months", "sex"]).to_csv(folder / "patients.csv", index=False)
    (folder / "extraction/first.yaml").write_text(yaml.safe_dump(PARAMETERS))
    (folder / "study.yaml").write_text(yaml.safe_dump(study(), sort_keys=False))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("measured"))
    data = project.folder / "data"
    write_study(project.folder / "config/studies/measured", data)
    project.choose("measured")
    project.run(cores=2, STUDY_DATA=str(data))
    return project.folder / "results/measured"


def usable(patient, pattern=""):
    """Voxels of the lesions that are large enough, by name."""
    scan, masks = arrays(patient)
    return {n: scan[m == 1] for n, m in masks.items() if m.sum() * VOXEL_ML >= 0.4 and n.startswith(pattern)}


def test_measured_variables_are_those_of_the_voxels(measured):
    table = read_table(measured / "features/development/measured_variables.csv", index=["patient"])
    assert list(table.index) == PATIENTS
    for patient in PATIENTS:
        inside = usable(patient)
        voxels = np.concatenate(list(inside.values())).astype(float)
        row = table.loc[patient]
        assert row["volume"] == pytest.approx(len(voxels) * VOXEL_ML, rel=1e-6)
        assert row["suvmax"] == pytest.approx(voxels.max(), rel=1e-6)
        assert row["suvmean"] == pytest.approx(voxels.mean(), rel=1e-6)
        assert row["suvmean"] < row["suvmax"]
        assert row["suvpeak"] < row["suvmax"]
    known = table.drop(ALL_REFUSED)
    assert known["volume"].to_numpy() == pytest.approx((known["livervolume"] + known["bonevolume"]).to_numpy())
    assert table.loc[NONE_IN_LIVER, "livervolume"] == 0
    assert np.isnan(table.loc[ALL_REFUSED, "livervolume"])
    assert table.loc[REFUSED, "livervolume"] == pytest.approx(len(usable(REFUSED)["liver-1"]) * VOXEL_ML, rel=1e-6)


def test_a_patient_stays_with_the_regions_that_can_be_used(measured):
    assert read_table(measured / "cohort/development/exclusions.csv").empty
    exclusions = read_table(measured / "evaluation/markers_exclusions.csv")
    assert exclusions["patient"].tolist() == [NONE_IN_LIVER, ALL_REFUSED]
    assert exclusions["reason"].iloc[0] == "no features of reader1's regions liver-* in the phase pet"
    assert exclusions["reason"].iloc[1].startswith("liver-1: The region is too small")
    lost = read_table(measured / "cohort/development/lost_regions.csv")
    assert lost[["patient", "region"]].to_numpy().tolist() == [
        [REFUSED, "liver-2"],
        [ALL_REFUSED, "liver-1"],
        [ALL_REFUSED, "liver-2"],
    ]
    flow = read_table(measured / "cohort/development/flow.csv")
    assert flow["patients"].iloc[[0, -1]].tolist() == [24, 24]


def test_the_features_are_those_of_the_largest_region(measured):
    dataset = read_table(measured / "evaluation/markers_dataset.csv", index=["patient", "region"])
    assert sorted(dataset.index.get_level_values("patient")) == sorted(set(PATIENTS) - {NONE_IN_LIVER, ALL_REFUSED})
    for patient, region in dataset.index:
        assert region == "patient"
        largest = max(usable(patient, "liver").values(), key=len)
        found = dataset.loc[(patient, region)]
        assert found["original_firstorder_Mean"] == pytest.approx(largest.mean(dtype=float), rel=1e-6)
        assert found["original_shape_VoxelVolume"] == pytest.approx(len(largest) * VOXEL_ML * 1000, rel=1e-6)
    agreement = read_table(measured / "stability/development/first.csv")
    assert set(agreement["n"]) == {8 - 2}  # of eight read twice, one has no region and one none that can be used


def test_measured_variables_enter_tables_models_and_cut_points(measured):
    table_one = (measured / "cohort/development/table_one.csv").read_text()
    assert all(label in table_one for label, _, _ in MEASURED.values())
    dataset = read_table(measured / "models/tumour/dataset.csv", index=["patient"])
    measures = read_table(measured / "features/development/measured_variables.csv", index=["patient"])
    assert dataset["volume"].tolist() == measures.loc[dataset.index, "volume"].tolist()
    document = json.loads((measured / "models/tumour/model.json").read_text())
    assert "suvmax" in document["steps"]["cox"]["coefficients"]
    cut = read_table(measured / "evaluation/survival_death/cutpoints.csv").iloc[0]
    assert measures["volume"].min() <= cut["cutpoint"] <= measures["volume"].max()


def test_the_report_says_what_was_measured_and_what_does_not_count(measured):
    page = (measured / "report/report.html").read_text(encoding="utf-8")
    assert "Measured in the images, not read from a table." in page
    assert "3 regions of 2 patients were refused or excluded and do not count" in page
    assert "those of the largest of its regions liver-*" in page


def test_patients_are_divided_at_the_median_and_the_detectable_effect_is_said(measured):
    patients = read_table(measured / "cohort/development/patients.csv", index=["patient"])
    measures = read_table(measured / "features/development/measured_variables.csv", index=["patient"])
    events = int((patients["status"] == "dead").sum())
    summary = read_table(measured / "evaluation/survival_death/summary.csv", index=["variable"])
    high = int((measures["volume"] > measures["volume"].median()).sum())
    assert summary.loc["volume", "n"].tolist() == [len(PATIENTS) - high, high]
    assert summary.loc["volume", "group"].iloc[0].startswith("low (up to ")
    effects = read_table(measured / "evaluation/survival_death/effects.csv")
    assert effects.loc[0, "events"] == events
    assert effects.loc[0, "detectable"] == pytest.approx(np.exp(2 * 2.8015852 / np.sqrt(events)), rel=1e-6)
    page = (measured / "report/report.html").read_text(encoding="utf-8")
    assert f"With {events} events, a comparison of two groups of equal size has a power of 80%" in page


def test_principal_components_are_of_the_features_of_patients(measured):
    scores = read_table(measured / "evaluation/components_scores.csv")
    assert len(scores) == 22
    summary = json.loads((measured / "evaluation/components.json").read_text())
    assert summary["tested"] == max(1, min(summary["events"] // 10, summary["enough"]))
    assert "components hold 95" in (measured / "report/report.html").read_text(encoding="utf-8")
