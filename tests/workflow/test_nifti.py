"""A study with NIfTI files only, from a folder of images and label maps to its report: nothing of DICOM is needed."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml

from nenflow.cohort.listing import main as list_cases
from nenflow.tables import UNIT, read_table
from projects import Project

PATIENTS = [f"N{number:02}" for number in range(1, 13)]
BACKGROUND, SHAPE, SPACING = 40, (16, 40, 40), (1.5, 1.5, 3.0)  # HU; slices, rows, columns; x, y, z in mm
ROUNDING = 1e-12  # relative: sums in another order

STUDY = {
    "title": "A study of NIfTI files",
    "seed": 1,
    "strict": True,
    "unit": "patient",
    "cohorts": {"development": {"patients": "patients.csv", "cases": "cases.csv", "data": "${NIFTI}"}},
    "variables": {
        "response": {"label": "Response", "level": "patient", "type": "categorical", "levels": ["yes", "no"]},
        "age": {"label": "Age (years)", "level": "patient", "type": "continuous", "minimum": 0},
    },
    "endpoints": {"response": {"variable": "response", "event": "no"}},
    "images": {"minimum_volume_mm3": 100, "organs": ["liver"]},
    "extractions": {"plain": {"parameters": "plain.yaml"}},
    "stability": {"readings": {"reference": "reader1", "inter": "reader2"}},
    "markers": {"endpoint": "response", "extraction": "plain", "phase": "late"},
    "models": {
        "fusion": {
            "endpoint": "response",
            "extraction": "plain",
            "phase": "late",
            "clinical": ["age"],
            "steps": [
                {"stability": {"form": "ICC2", "threshold": 0.5}},
                {"zscore": {}},
                {"lasso": {"folds": 3, "folds_by": "patient", "rule": "lambda.min"}},
                {"logistic": {}},
            ],
        }
    },
    "evaluation": {"resamples": 4, "resamples_per_job": 4, "permutations": 2},
}
PARAMETERS = {
    "imageType": {"Original": {}},
    "featureClass": {"firstorder": ["Mean", "Variance", "Maximum", "Skewness", "Median"], "shape": ["VoxelVolume"]},
    "setting": {"binWidth": 25},
}


def draw(patient, folder):
    """A scan and two readers' label maps (1 the lesion, 2 the liver around it); voxels and mean of the lesion."""
    number = PATIENTS.index(patient)
    random = np.random.default_rng([1, number])
    slices, rows, columns = np.indices(SHAPE)
    distance = np.sqrt(((slices - 8) * 3.0) ** 2 + ((rows - 20) * 1.5) ** 2 + ((columns - 18) * 1.5) ** 2)
    lesion, liver = distance < 8 + 0.3 * number, distance < 20
    noise = random.normal(0, 12, SHAPE) + 15 * random.normal()
    image = np.rint(np.where(lesion, 90 - 10 * (number % 2), BACKGROUND) + noise).astype(np.int16)
    (folder / patient).mkdir(parents=True)
    readings = {"reader1": lesion, "reader2": distance < 8.5 + 0.3 * number}
    labels = {
        f"drawn_{reader}": np.where(drawn, 1, np.where(liver, 2, 0)).astype(np.uint8)
        for reader, drawn in readings.items()
    }
    for name, values in {"ct_late": image, **labels}.items():
        volume = sitk.GetImageFromArray(values)
        volume.SetSpacing(SPACING)
        sitk.WriteImage(volume, folder / patient / f"{name}.nii.gz")
    return {"patient": patient, "voxels": int(lesion.sum()), "mean": float(image[lesion].mean())}


@pytest.fixture(scope="module")
def nifti(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("nifti"))
    data, study = project.folder / "data", project.folder / "config/studies/nifti"
    study.mkdir()
    truth = pd.DataFrame([draw(patient, data) for patient in PATIENTS]).set_index("patient")
    (study / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    (study / "plain.yaml").write_text(yaml.safe_dump(PARAMETERS))
    rows = [f"{patient},{'yes' if n % 2 else 'no'},{50 + 3 * (n * 5 % 7)}" for n, patient in enumerate(PATIENTS)]
    (study / "patients.csv").write_text("\n".join(["patient,response,age", *rows]) + "\n")
    options = ["--image", "{patient}/ct_{phase}.nii.gz", "--segmentation", "{patient}/drawn_{rater}.nii.gz"]
    assert list_cases([str(data), *options, "--output", str(study / "listed.csv")]) == 0
    # Label maps have numbers where other files have names: 1 is the lesion, 2 the liver.
    listed = read_table(study / "listed.csv", text=["segment"])
    assert sorted(set(listed["segment"])) == ["1", "2"]
    region = listed["segment"].map({"1": "lesion", "2": "liver"})
    listed.assign(region=region).to_csv(study / "cases.csv", index=False)
    project.choose("nifti")
    project.run(NIFTI=str(data))
    return project.folder / "results/nifti", truth


def test_every_region_is_imported_as_it_was_drawn(nifti):
    results, truth = nifti
    cases = read_table(results / "images/development/cases.csv")
    assert (cases["status"] == "included").all()
    assert len(cases) == 4 * len(PATIENTS)
    lesions = cases.query("region == 'lesion' and rater == 'reader1'").set_index("patient")
    assert lesions["voxels"].to_dict() == truth["voxels"].to_dict()


def test_features_are_those_of_the_voxels(nifti):
    results, truth = nifti
    features = read_table(results / "features/development/plain.csv").query("rater == 'reader1'").set_index("patient")
    assert len(features) == len(PATIENTS)  # none of the liver
    assert features["original_firstorder_Mean"].to_dict() == pytest.approx(truth["mean"].to_dict(), rel=ROUNDING)
    volume = truth["voxels"] * np.prod(SPACING)
    assert features["original_shape_VoxelVolume"].to_dict() == pytest.approx(volume.to_dict(), rel=ROUNDING)


def test_the_study_runs_to_its_report(nifti):
    results, _ = nifti
    assert len(read_table(results / "models/fusion/scores.csv", index=UNIT)) == len(PATIENTS)
    page = (results / "report/report.html").read_text(encoding="utf-8")
    for part in ("flow", "table-1", "features", "markers", "roc", "pictures"):
        assert f'<section id="{part}"' in page
    assert "SIMULATED DATA" not in page
    assert (results / "report/gallery.html").stat().st_size > 100_000  # with pictures
