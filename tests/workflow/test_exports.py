"""What leaves a study of images for other programs: its model as a function for R, features as DICOM and as tables."""

import numpy as np
import pandas as pd
import pydicom
import yaml

from nenflow.tables import UNIT, read_table
from projects import TINY
from r_functions import SAME_IN_R, labelled, needs_r, run_r


@needs_r
def test_the_exported_fusion_model_gives_the_same_numbers_in_r(finished, tmp_path):
    folder = finished.path("models/fusion")
    dataset, expected = (read_table(folder / f"{name}.csv", index=UNIT) for name in ("dataset", "scores"))
    variables = yaml.safe_load((TINY / "study.yaml").read_text(encoding="utf-8"))["variables"]
    text = (folder / "predict.R").read_text(encoding="utf-8")
    assert "simulated" in text
    found = run_r(text, "fusion", labelled(dataset, variables), tmp_path)
    assert list(found) == ["Radscore", "linear_predictor", "probability"]
    assert np.abs(found.to_numpy() - expected[list(found)].to_numpy()).max() < SAME_IN_R
    rows = pd.read_csv(folder / "coefficients.csv")
    assert set(rows["part"]) == {"Radscore", "logistic"}


def test_features_are_exchanged_only_when_asked_for(copy):
    folder = copy.path("features/development/exchange/original")
    assert not folder.exists()
    copy.run("exchange")
    rows = read_table(copy.path("features/development/original.csv"))
    reports = sorted(folder.glob("*/features.dcm"))
    assert [path.parent.name for path in reports] == sorted(rows["patient"].unique())
    cases = read_table(copy.path("images/development/cases.csv"))
    counted = cases[cases["status"] == "included"].groupby("patient").size()
    for path in reports:
        patient = path.parent.name
        report = pydicom.dcmread(path)
        assert (report.PatientID, report.StudyDescription) == (patient, "SIMULATED - no real patient")
        table = pd.read_csv(path.with_suffix(".tsv"), sep="\t")
        assert len(table) == counted[patient]
        own = rows[rows["patient"] == patient].set_index(["phase", "region", "rater"])["original_glcm_Imc1"]
        found = table.set_index(["phase", "Segment", "rater"])["original_glcm_Imc1"]
        assert found.to_dict() == own.reindex(found.index).to_dict()
