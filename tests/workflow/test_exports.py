"""A model of images and clinical variables outside the study: its function in R."""

import numpy as np
import pandas as pd
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
