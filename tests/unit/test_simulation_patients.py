import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from nenflow.documents import read_json
from nenflow.errors import InputError
from nenflow.simulation.cohort import simulate_cohort
from nenflow.simulation.draws import draw_cohort
from nenflow.simulation.patients import draw_patients
from nenflow.study import load_simulation, read_schema, sentences
from nenflow.tables import read_table
from simulated import changed

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "workflow/schemas"

DIGEST = "da03451a5ea194262db4e78cc18935672e75fad5f63f2731b93ced1d91fac963"

SETTINGS = {
    "title": "patients",
    "patients": 60,
    "variables": {
        "grade": {"level": "patient", "counts": {"G1": 20, "G2": 40}},
        "age": {"level": "patient", "quartiles": [45, 55, 65], "range": [20, 85], "decimals": 0},
    },
    "latents": {"uptake": {"median": 10, "spread": 0.5}},
    "survival": {
        name: {
            "variable": f"{name}-status",
            "event": "yes",
            "other": "no",
            "time": f"{name}-months",
            "decimals": 1,
            "hazard_ratios": {"grade": {"G1": 1, "G2": 2.5}, "uptake": 0.6},
            "median_follow_up": 30,
            "events": events,
            "accrual": 12,
        }
        for name, events in (("death", 30), ("relapse", 45))
    },
    "outcome": {"variable": "response", "event": "bad", "other": "good", "events": 25, "odds_ratios": {"uptake": 2.0}},
}


def test_margins_and_numbers_of_events_are_exact():
    drawn = draw_patients(SETTINGS, 3)
    assert drawn.patients["grade"].value_counts().to_dict() == {"G1": 20, "G2": 40}
    assert drawn.patients["death-status"].value_counts()["yes"] == 30
    assert drawn.patients["relapse-status"].value_counts()["yes"] == 45
    assert drawn.patients["response"].value_counts().to_dict() == {"good": 35, "bad": 25}
    assert list(drawn.patients.index[[0, -1]]) == ["P001", "P060"]
    assert drawn.patients["age"].median() == pytest.approx(55, abs=1)


def test_the_truth_is_the_stated_model():
    drawn = draw_patients(SETTINGS, 3)
    latent, grade = drawn.truth["uptake"], drawn.patients["grade"] == "G2"
    np.testing.assert_allclose(
        drawn.truth["death_linear_predictor"], grade * np.log(2.5) + latent * np.log(0.6), atol=1e-12
    )
    np.testing.assert_allclose(drawn.truth["uptake_value"], 10 * np.exp(0.5 * latent))
    np.testing.assert_allclose(
        drawn.truth["linear_predictor"], drawn.model["outcome"]["intercept"] + latent * np.log(2), atol=1e-12
    )
    assert drawn.model["survival"]["death"]["coefficients"] == pytest.approx(
        {"grade=G2": np.log(2.5), "uptake": np.log(0.6)}
    )
    assert "uptake" not in drawn.patients
    # Two endpoints of one cohort are drawn from streams of their own.
    assert drawn.truth["death_entry"].corr(drawn.truth["relapse_entry"]) < 0.5


def test_without_effect_nothing_but_times_and_outcomes_changes():
    drawn, null = draw_patients(SETTINGS, 3), draw_patients({**SETTINGS, "effect": 0}, 3)
    pd.testing.assert_frame_equal(drawn.patients[["grade", "age"]], null.patients[["grade", "age"]])
    pd.testing.assert_frame_equal(drawn.truth[["uptake"]], null.truth[["uptake"]])
    assert not null.truth["death_linear_predictor"].any()
    assert null.model["outcome"]["coefficients"] == {"uptake": 0}


def test_variables_of_lesions_need_lesions():
    settings = changed(SETTINGS, "variables", "grade", "level", value="lesion")
    with pytest.raises(InputError, match="grade is of level lesion, and the simulation draws patients only"):
        draw_patients(settings, 1)
    settings = changed(SETTINGS, "variables", "grade", "counts", "G2", value=41)
    with pytest.raises(InputError, match="add up to 61, and there are 60 patients"):
        draw_patients(settings, 1)


def test_the_files_of_a_cohort_without_images(tmp_path):
    simulate_cohort(SETTINGS, 3, tmp_path / "one")
    simulate_cohort(SETTINGS, 3, tmp_path / "two")
    drawn = draw_patients(SETTINGS, 3)
    pd.testing.assert_frame_equal(read_table(tmp_path / "one/patients.csv", ["patient"]), drawn.patients)
    pd.testing.assert_frame_equal(read_table(tmp_path / "one/truth.csv", ["patient"]), drawn.truth)
    assert read_json(tmp_path / "one/truth.json")["simulated"] is True
    assert (tmp_path / "one/lesions.csv").read_text() == "patient,region\n"
    assert (tmp_path / "one/cases.csv").read_text().startswith("patient,phase,region,rater,image")
    assert (tmp_path / "one/dicom").is_dir()
    for path in (tmp_path / "one").glob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_schema_takes_patients_and_keeps_lesions_whole():
    validator = Draft202012Validator(read_schema(SCHEMAS, "simulation"))
    assert not list(validator.iter_errors(SETTINGS))
    lesions = {**SETTINGS, "lesions_mm": {"variable": "size", "diameters": {"small": [12, 13]}}}
    said = [text for error in validator.iter_errors(lesions) for text in sentences(error)]
    assert "the key 'texture' is missing; it is needed beside 'lesions_mm'" in said
    both = changed(SETTINGS, "survival", "death", "baseline", value={"times": [12], "survival": [0.9]})
    said = [text for error in validator.iter_errors(both) for text in sentences(error)]
    assert said == ["needs either the key baseline or the key median_follow_up"]


def test_the_cohort_of_surufatinib_stays_as_it_was():
    """Tables of seed 1 as the first release drew them: results that were looked at must not change unnoticed."""
    settings = load_simulation(ROOT / "config/studies/surufatinib/simulation.yaml", SCHEMAS)
    cohort = draw_cohort(settings, 1)
    text = cohort.patients.to_csv(lineterminator="\n") + cohort.lesions.to_csv(lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST
