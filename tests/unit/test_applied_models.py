"""A model file in new patients: what it says of them, who is refused, and external validation against known truths."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from nenflow.application.cohorts import check_study, folder_study, study_endpoint
from nenflow.application.outcomes import known_outcomes
from nenflow.application.predictions import all_units, new_units, predictions
from nenflow.errors import InputError
from nenflow.evaluation.discrimination import auc
from nenflow.evaluation.external import validation_figures
from nenflow.evaluation.resampling import patient_resamples
from nenflow.models.card import build_card
from nenflow.models.protocol import build_protocol, to_document
from nenflow.published import parameters_digest

RESAMPLES, COHORTS = 60, 16
COVERED = 0.75  # of 95 % intervals over 16 cohorts: chance has fewer in one of a thousand such tests
EXACT = 1e-9
FAR = 400_000  # units, of which a figure is the truth to the third digit

VARIABLES = {
    "response": {"label": "Response", "level": "patient", "type": "categorical", "levels": ["good", "poor"]},
    "age": {"label": "Age (years)", "level": "patient", "type": "continuous"},
    "grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2", "3"]},
}
STUDY = {
    "title": "Response", "seed": 3, "unit": "patient", "cohorts": {}, "variables": VARIABLES,
    "endpoints": {"response": {"variable": "response", "event": "poor"}},
    "models": {"own": {"endpoint": "response", "clinical": ["age", "grade"]}},
}  # fmt: skip
NOTHING = {"excluded": pd.DataFrame(columns=["patient", "region", "step", "reason"]), "cases": None, "pattern": None}


def centre(rng, n, mean, spread, shift):
    """Patients of a centre; the truth is one model, but for who is treated there and how many have the event."""
    age, grade = rng.normal(mean, spread, n), rng.choice([1, 2, 3], n)
    risk = expit(0.08 * (age - 60) + 0.7 * (grade - 2) + shift)
    units = pd.MultiIndex.from_product([[f"P{i}" for i in range(n)], ["patient"]], names=["patient", "region"])
    response = np.where(rng.uniform(size=n) < risk, "poor", "good")
    return pd.DataFrame({"age": age, "grade": grade.astype(str), "response": response}, index=units), risk


@pytest.fixture(scope="module")
def card():
    """The file of a model that was trained in a first centre."""
    units, _ = centre(np.random.default_rng(1), 250, 60, 8, 0.0)
    X = units.assign(grade=units["grade"].astype(float))[["age", "grade"]]
    y = (units["response"] == "poor").astype(int)
    protocol = build_protocol([{"logistic": {}}], ["age", "grade"], None, 3).fit(X, y)
    document = {"model": "own", "simulated": True} | to_document(protocol)
    known = {"schemes": pd.DataFrame([{"scheme": "optimism", "score": "own", "auc": 0.7}]),
             "table_one": pd.DataFrame([{"variable": "Patients", "level": "", "overall": "250"}])}  # fmt: skip
    provenance = {"study": "first", "seed": 3, "versions": {"nenflow": "0"}}
    return build_card(STUDY, document, document | {"shrinkage": None}, (X, y), (X, y), None, known, provenance)


def judged(card, units, seed):
    """A second centre's patients through the file: scores, outcomes and the table of an external validation."""
    X, reasons, strata = new_units(card, units, None, STUDY, NOTHING)
    table = all_units(predictions(card, X, strata), reasons)
    scored, y, _ = known_outcomes(card, table, units, STUDY["endpoints"]["response"], STUDY)
    return validation_figures(y, scored, patient_resamples(y.index, seed, range(RESAMPLES)))


def test_a_second_centre_gives_the_known_truth_within_the_intervals(card):
    document = card["steps"]["logistic"]
    weights = document["coefficients"]
    units, risk = centre(np.random.default_rng(2), FAR, 66, 10, -0.6)
    score = document["intercept"] + weights["age"] * units["age"] + weights["grade"] * units["grade"].astype(float)
    event = (units["response"] == "poor").to_numpy()
    # Slope and intercept of the truth itself: the regression of the true risk on the model's log odds.
    fit = fit_line(score.to_numpy(), risk)
    truth = {"auc": auc(event.astype(int), score), "observed_expected": risk.mean() / expit(score).mean()}
    truth |= {
        "line_intercept": fit[0],
        "slope": fit[1],
        "brier": ((expit(score) - risk) ** 2 + risk * (1 - risk)).mean(),
    }
    assert truth["observed_expected"] < 0.8  # the second centre is another one
    inside = {name: [] for name in truth}
    for number in range(COHORTS):
        found = judged(card, centre(np.random.default_rng([7, number]), 300, 66, 10, -0.6)[0], number)
        rows = found.set_index("measure")
        for name, value in truth.items():
            inside[name].append(rows.loc[name, "low"] <= value <= rows.loc[name, "high"])
    assert {name: float(np.mean(hits)) >= COVERED for name, hits in inside.items()} == dict.fromkeys(truth, True)


def fit_line(score, risk):
    """Logistic regression of a risk on a score, by Newton's method on the expected likelihood."""
    design, line = np.column_stack([np.ones_like(score), score]), np.zeros(2)
    for _ in range(30):
        p = expit(design @ line)
        line = line + np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design, design.T @ (risk - p))
    return line


def test_a_cox_model_with_a_known_fault_shows_it():
    """Twice the log hazards and half the baseline hazard: the slope is 1/2 and the shift follows from the means."""
    inside = {"slope": [], "intercept": [], "observed_expected": []}
    for number in range(COHORTS):
        rng = np.random.default_rng([11, number])
        n = 300
        x = rng.normal(size=n)
        time = rng.exponential(1 / (0.1 * np.exp(0.5 * x)))
        censored = rng.uniform(2, 20, n)
        y = pd.DataFrame({"time": np.minimum(time, censored), "event": (time <= censored).astype(int)})
        y.index = pd.MultiIndex.from_product([range(n), ["patient"]], names=["patient", "region"])
        table = pd.DataFrame({"linear_predictor": x, "survival_5": np.exp(-0.05 * 5 * np.exp(x))}, index=y.index)
        rows = validation_figures(y, table, patient_resamples(y.index, 1, range(RESAMPLES))).set_index("measure")
        for name in inside:
            inside[name].append((rows.loc[name, "low"], rows.loc[name, "high"]))
    z = np.random.default_rng(3).normal(size=FAR)
    observed = np.exp(-0.1 * 5 * np.exp(0.5 * z)).mean()
    hazard = 0.05 * 5 * np.exp(z)
    shifts = np.linspace(0, 1, 2001)
    shift = shifts[np.argmin([abs(np.exp(-hazard[:20_000] * np.exp(a)).mean() - observed) for a in shifts])]
    truth = {"slope": 0.5, "intercept": shift, "observed_expected": (1 - observed) / (1 - np.exp(-hazard)).mean()}
    for name, ends in inside.items():
        assert np.mean([low <= truth[name] <= high for low, high in ends]) >= COVERED, name


def test_a_perfect_large_cohort_has_ideal_figures():
    score = np.repeat(np.log([1 / 4, 1.0, 4.0]), [50, 40, 50])
    event = np.concatenate([np.repeat([1, 0], [10, 40]), np.repeat([1, 0], [20, 20]), np.repeat([1, 0], [40, 10])])
    y = pd.Series(event, pd.MultiIndex.from_product([range(140), ["patient"]], names=["patient", "region"]))
    table = pd.DataFrame({"linear_predictor": score, "probability": expit(score)}, index=y.index)
    found = validation_figures(y, table, []).set_index("measure")["value"]
    expected = {"observed_expected": 1, "intercept": 0, "slope": 1, "line_intercept": 0}
    assert found[list(expected)].to_dict() == pytest.approx(expected, abs=1e-7)


def test_who_lacks_what_is_named_and_the_others_are_predicted(card):
    units, _ = centre(np.random.default_rng(4), 4, 60, 8, 0.0)
    units = units.assign(age=[60.0, np.nan, 61.0, 200.0], grade=["1", "2", None, "3"])
    X, reasons, strata = new_units(card, units, None, STUDY, NOTHING)
    table = all_units(predictions(card, X, strata), reasons).droplevel("region")
    assert table["not_predicted"].to_dict() == {
        "P0": "", "P1": "no value for Age (years)", "P2": "no value for Grade", "P3": "",
    }  # fmt: skip
    weights = card["steps"]["logistic"]
    by_hand = weights["intercept"] + 60 * weights["coefficients"]["age"] + weights["coefficients"]["grade"]
    assert table.loc["P0", "probability"] == pytest.approx(expit(by_hand), abs=EXACT)
    assert table.loc["P0", "probability_low"] < table.loc["P0", "probability"] < table.loc["P0", "probability_high"]
    assert table.loc["P3", "outside"].startswith("Age (years) 200 is outside")
    assert table["far"].to_dict() == {"P0": "no", "P1": "", "P2": "", "P3": "yes"}


def test_nobody_left_is_no_error(card):
    units, _ = centre(np.random.default_rng(4), 1, 60, 8, 0.0)
    X, reasons, strata = new_units(card, units.assign(age=np.nan), None, STUDY, NOTHING)
    table = all_units(predictions(card, X, strata), reasons)
    assert table["not_predicted"].tolist() == ["no value for Age (years)"]


def test_a_cohort_with_one_outcome_is_refused(card):
    units, _ = centre(np.random.default_rng(4), 20, 60, 8, 0.0)
    units["response"] = "good"
    with pytest.raises(InputError, match="no patients with the event"):
        judged(card, units, 1)


PARAMETERS = {"imageType": {"Original": {}}, "setting": {"binWidth": 25}}
FEATURES = {
    "names": ["original_glcm_Imc1"], "extraction": "original", "phase": "arterial", "reader": "reader1",
    "images": {"minimum_volume_mm3": 500}, "conformance": "ibsi", "parameters": PARAMETERS,
    "digest": parameters_digest(PARAMETERS, "ibsi"),
}  # fmt: skip


def write(folder, **tables):
    for name, text in tables.items():
        (folder / name.replace("_", ".", 1)).write_text(text, encoding="utf-8")
    return folder


def refusal(card, folder, *accepted):
    with pytest.raises(InputError) as refused:
        folder_study(card, folder, folder / "p.yaml", accepted)
    return str(refused.value)


def test_a_column_in_another_unit_is_refused_unless_told(card, tmp_path):
    folder = write(tmp_path, patients_csv="patient,age (months),grade\nA,720,1\n")
    assert "age is in 'months', the model takes it in 'years'" in refusal(card, folder)
    study = folder_study(card, folder, folder / "p.yaml", ["units"])
    assert study["cohorts"]["new"]["columns"] == {"age": "age (months)"}
    write(tmp_path, patients_csv="patient,age (years),grade\nA,60,1\n")
    study = folder_study(card, folder, folder / "p.yaml")
    assert study["cohorts"]["new"]["columns"] == {"age": "age (years)"}
    assert study["endpoints"] == {}


def test_a_folder_with_the_outcome_can_be_judged(card, tmp_path):
    folder = write(tmp_path, patients_csv="patient,age,grade,response\nA,60,1,poor\n")
    study = folder_study(card, folder, folder / "p.yaml")
    assert study["endpoints"] == {"response": {"variable": "response", "event": "poor"}}


def test_features_of_other_parameters_are_refused_unless_told(card, tmp_path):
    card = card | {"features": FEATURES}
    row = "patient,phase,region,rater,original_glcm_Imc1\nA,arterial,lesion1,me,0.1\n"
    folder = write(tmp_path, patients_csv="patient,age,grade\nA,60,1\n", features_csv=row)
    assert "does not say by which parameters" in refusal(card, folder)
    write(folder, parameters_yaml="imageType: {Original: {}}\nsetting: {binWidth: 20}\n")
    assert "made by other parameters" in refusal(card, folder)
    assert folder_study(card, folder, folder / "p.yaml", ["parameters"])["stability"] == {
        "readings": {"reference": "me"}
    }
    write(folder, parameters_yaml="setting: {binWidth: 25}\nimageType:\n  Original: {}\n")
    assert "table" in folder_study(card, folder, folder / "p.yaml")["extractions"]["original"]
    write(folder, cases_csv="patient,phase,region,rater\nA,arterial,lesion1,me\n")
    assert "both of cases.csv and features.csv" in refusal(card, folder)


def test_a_folder_without_patients_is_refused(card, tmp_path):
    assert "there is no patients.csv" in refusal(card, tmp_path)
    assert "There is no folder" in refusal(card, tmp_path / "nowhere")


def differences(card, parameters=PARAMETERS, accepted=(), **changes):
    variables = {**VARIABLES, **changes.pop("variables", {})}
    study = {**STUDY, "extractions": {"original": {"parameters": "p.yaml"}}, "variables": variables, **changes}
    try:
        check_study(card, study, parameters, accepted)
    except InputError as error:
        return str(error)
    return ""


def test_a_study_that_codes_or_measures_otherwise_is_refused_unless_told(card):
    card = card | {"features": FEATURES}
    assert differences(card) == ""
    other = {"setting": {"binWidth": 20}}
    assert "has other parameters or another conformance" in differences(card, other)
    assert differences(card, other, ["parameters"]) == ""
    grade = {"grade": VARIABLES["grade"] | {"levels": ["1", "2", "3", "4"]}}
    assert "does not know the level '4' of 'grade'" in differences(card, variables=grade)
    assert differences(card, accepted=["levels"], variables=grade) == ""
    age = {"age": VARIABLES["age"] | {"label": "Age (months)"}}
    assert "'age' is in 'months' in the study and in 'years' in the model" in differences(card, variables=age)
    assert differences(card, accepted=["units"], variables=age) == ""
    assert "a row of the model is a patient, one of the study a lesion" in differences(card, unit="lesion")


def test_a_study_has_the_models_endpoint_where_it_has_its_variables(card):
    assert study_endpoint(card, STUDY) == {"variable": "response", "event": "poor"}
    assert study_endpoint(card, STUDY | {"variables": {}}) is None
