"""Checklists: complete, weighed as published, and answered by what a study does."""

import copy

import pandas as pd
import pytest

from nenflow.report.checklists import ANSWERS, answer, checklists_of, read_checklist, score_range
from nenflow.report.facts import AUTHORS, FACTS, NO, NOT_APPLICABLE, YES, Evidence

ROUNDING = 1e-9  # of a sum of thirty decimals
LISTS = ["clear", "metrics", "tripod_ai", "ibsi"]

# CLEAR (Kocak et al. 2023) has 58 items, METRICS (Kocak et al. 2024) 30, TRIPOD+AI (Collins et al. 2024) 27 with 52
# parts, the reporting guidelines of the IBSI reference manual 76.
COUNTS = {"clear": (58, 58), "metrics": (30, 30), "tripod_ai": (27, 52), "ibsi": (76, 104)}
# Of the categories in the abstract and table 1 of Kocak et al. 2024; the calculator's weights have three decimals.
CATEGORIES = {
    "Study design": 0.2022, "Imaging data": 0.1460, "Segmentation": 0.0674,
    "Image processing and feature extraction": 0.1348, "Feature processing": 0.09, "Preparation for modeling": 0.0899,
    "Metrics and comparison": 0.1348, "Testing": 0.1124, "Open science": 0.0225,
}  # fmt: skip
CALCULATOR = [
    0.037, 0.074, 0.092, 0.044, 0.029, 0.044, 0.029, 0.034, 0.022, 0.011, 0.062, 0.031, 0.041, 0.02, 0.02, 0.03, 0.02,
    0.06, 0.03, 0.035, 0.023, 0.018, 0.012, 0.029, 0.018, 0.037, 0.075, 0.007, 0.007, 0.007,
]  # fmt: skip

STUDY = {
    "seed": 1, "unit": "lesion", "cohorts": {"development": {"patients": "patients.csv"}},
    "variables": {
        "response": {"label": "Response", "level": "lesion", "type": "categorical", "levels": ["no", "yes"]},
        "age": {"label": "Age", "level": "patient", "type": "continuous"},
    },
    "endpoints": {"response": {"variable": "response", "event": "yes"}},
    "images": {"minimum_volume_mm3": 100},
    "extractions": {"ct": {"parameters": "ct.yaml"}},
    "stability": {"readings": {"reference": "reader1", "inter": "reader2"}},
    "models": {
        "fusion": {
            "endpoint": "response", "extraction": "ct", "phase": "arterial", "clinical": ["age"],
            "steps": [{"zscore": {}}, {"stability": {"form": "ICC2", "threshold": 0.75}},
                      {"lasso": {"folds": 5, "folds_by": "patient", "rule": "lambda.min"}}, {"logistic": {}}],
        }
    },
    "evaluation": {"resamples": 100, "resamples_per_job": 10, "folds": 5},
}  # fmt: skip
PARAMETERS = {"ct": {"imageType": {"Original": {}}, "setting": {"resampledPixelSpacing": [1, 1, 1], "binWidth": 25}}}
SCAN = {"Modality": "CT", "Manufacturer": "A", "KVP": 120.0, "SliceThickness": 1.0, "ConvolutionKernel": "B30f",
        "spacing_mm": [0.8, 0.8, 1.0], "unit": "HU"}  # fmt: skip
TABLE = pd.DataFrame({"feature": ["a", "b"]})


def results():
    """Names of what such a study has written; only the contents that facts look at."""
    required = pd.DataFrame({"criterion": ["overall risk", "required"], "n": [100, 100], "available": [120, 120]})
    tables = [
        "cohort/development/flow.csv", "cohort/development/table_one.csv", "cohort/development/missing.csv",
        "cohort/development/comparisons/response.csv", "stability/development/ct.csv", "features/conformance.csv",
        "models/fusion/candidates.csv", "models/fusion/assumptions.csv", "models/fusion/scores.csv",
        "evaluation/fusion/schemes.csv", "evaluation/fusion/calibration.csv", "evaluation/fusion/comparison.csv",
    ]  # fmt: skip
    documents = [
        "models/fusion/model.json", "models/fusion/nomogram.json", "models/fusion/steps/stability.json",
        "models/fusion/steps/lasso.json", "evaluation/fusion/performance.json", "evaluation/fusion/chance.json",
        "evaluation/fusion/cross_validation.json",
    ]  # fmt: skip
    found = dict.fromkeys(tables, TABLE) | {name: {} for name in documents}
    return found | {"evaluation/fusion/sample_size.csv": required, "images/development/P1/arterial.json": dict(SCAN)}


def answers(name, study=STUDY, found=None, parameters=PARAMETERS):
    evidence = Evidence(study, results() if found is None else found, parameters)
    return answer(read_checklist(name), evidence).set_index("item")


def changed(change):
    """The study, its results and parameters after `change(study, results, parameters)`."""
    study, found, parameters = copy.deepcopy(STUDY), results(), copy.deepcopy(PARAMETERS)
    change(study, found, parameters)
    return study, found, parameters


@pytest.mark.parametrize("name", LISTS)
def test_a_checklist_has_all_its_items_once_and_in_order(name):
    entries = read_checklist(name)["items"]
    items = [entry["item"] for entry in entries]
    numbers = [int(item.rstrip("abcdefg")) for item in items]
    assert (len(set(numbers)), len(set(items))) == COUNTS[name]
    assert len(items) == len(set(items))
    assert list(dict.fromkeys(numbers)) == list(range(1, COUNTS[name][0] + 1))
    assert all(entry["fact"] in FACTS or entry["fact"].startswith("tag ") for entry in entries)


@pytest.mark.parametrize("name", LISTS)
def test_a_checklist_names_its_source_and_licence(name):
    assert "CC BY 4.0" in read_checklist(name)["source"]


def test_every_fact_is_asked_by_some_item():
    assert {entry["fact"] for name in LISTS for entry in read_checklist(name)["items"]} >= set(FACTS)


def test_the_weights_of_metrics_are_the_published_ones():
    table = pd.DataFrame(read_checklist("metrics")["items"])
    assert table["weight"].sum() == pytest.approx(1, abs=ROUNDING)
    assert table.groupby("section")["weight"].sum().round(4).to_dict() == CATEGORIES
    assert (table["weight"] - CALCULATOR).abs().max() <= 0.0005 + ROUNDING


def test_a_score_is_the_weight_of_yes_over_the_weight_of_what_applies():
    table = pd.DataFrame({"answer": [YES, NO, AUTHORS, NOT_APPLICABLE], "weight": [0.3, 0.1, 0.2, 0.4]})
    assert score_range(table) == (pytest.approx(50.0), pytest.approx(250 / 3))


def test_a_clinical_study_is_not_asked_about_radiomics():
    study = {key: value for key, value in STUDY.items() if key not in ("images", "extractions", "stability")}
    assert checklists_of(STUDY) == ["clear", "metrics", "ibsi", "tripod_ai"]
    assert checklists_of(study) == ["tripod_ai"]
    assert checklists_of({key: value for key, value in STUDY.items() if key != "models"}) == [
        "clear",
        "metrics",
        "ibsi",
    ]


@pytest.mark.parametrize("name", LISTS)
def test_yes_has_proof_and_every_proof_is_a_result(name):
    table = answers(name)
    assert set(table["answer"]) <= set(ANSWERS)
    assert (table.loc[table["answer"] == YES, "where"] != "").all()
    made = {"report/methods.txt", "report/report.html", "report/tables/checklist_tripod_ai.csv"}
    folders = {"images/development"}
    named = {file for where in table["where"] for file in where.split("; ") if file}
    assert named <= {*results(), *made, *folders}


def _without(*names):
    def change(study, found, parameters):
        for name in names:
            del found[name]

    return change


def _no_step(name):
    def change(study, found, parameters):
        model = study["models"]["fusion"]
        model["steps"] = [step for step in model["steps"] if name not in step]

    return change


def _slicer(study, found, parameters):
    study["extractions"]["ct"]["conformance"] = "slicer"


def _no_folds(study, found, parameters):
    del study["evaluation"]["folds"]


def _two_phases(study, found, parameters):
    study["models"]["fusion"]["phase"] = ["arterial", "portal"]


def _too_few(study, found, parameters):
    found["evaluation/fusion/sample_size.csv"].loc[1, "available"] = 99


def _thick(study, found, parameters):
    found["images/development/P1/arterial.json"]["spacing_mm"] = [0.8, 0.8, 5.0]


def _no_kernel(study, found, parameters):
    del found["images/development/P1/arterial.json"]["ConvolutionKernel"]


def _pet(study, found, parameters):
    found["images/development/P1/arterial.json"]["Modality"] = "PT"


def _elsewhere(study, found, parameters):
    study["extractions"] = {"ct": {"table": "features.csv"}}
    parameters.clear()


def _bins(study, found, parameters):
    parameters["ct"]["setting"] = {"binCount": 32}


@pytest.mark.parametrize(
    ("name", "item", "change", "before", "after"),
    [
        ("clear", "9", _without("evaluation/fusion/sample_size.csv"), YES, NO),
        ("clear", "16", _no_kernel, YES, AUTHORS),
        ("clear", "21", _elsewhere, YES, AUTHORS),
        ("clear", "31", _without("stability/development/ct.csv"), YES, NO),
        ("clear", "41", _without("evaluation/fusion/comparison.csv"), YES, NO),
        ("clear", "47", _without("evaluation/fusion/performance.json"), YES, NO),
        ("metrics", "6", _no_kernel, YES, AUTHORS),
        ("metrics", "11", _thick, YES, AUTHORS),
        ("metrics", "12", _slicer, YES, NO),
        ("metrics", "13", _elsewhere, YES, AUTHORS),
        ("metrics", "14", _no_step("stability"), YES, NO),
        ("metrics", "15", _no_step("lasso"), YES, NO),
        ("metrics", "16", _too_few, YES, NO),
        ("metrics", "18", _no_folds, YES, NO),
        ("metrics", "22", _without("evaluation/fusion/calibration.csv"), YES, NO),
        ("metrics", "23", _two_phases, YES, NO),
        ("metrics", "25", _without("evaluation/fusion/chance.json"), YES, NO),
        ("tripod_ai", "20b", _without("cohort/development/table_one.csv"), YES, NO),
        ("tripod_ai", "22", _without("models/fusion/model.json"), YES, NO),
        ("ibsi", "14", _pet, YES, NOT_APPLICABLE),
        ("ibsi", "31a", _no_kernel, YES, AUTHORS),
        ("ibsi", "50d", _slicer, YES, NO),
        ("ibsi", "56c", _bins, YES, NOT_APPLICABLE),
        ("ibsi", "60", _without("stability/development/ct.csv"), YES, NO),
    ],
)
def test_an_answer_follows_what_the_study_does(name, item, change, before, after):
    assert answers(name).loc[item, "answer"] == before
    assert answers(name, *changed(change)).loc[item, "answer"] == after


def _combat(study, found, parameters):
    study["models"]["fusion"]["steps"].insert(0, {"combat": {"batch": "site"}})


def _centres(study, found, parameters):
    study["evaluation"]["leave_out"] = "site"


def _clinical_model(study, found, parameters):
    study["models"]["clinical"] = {"endpoint": "response", "clinical": ["age"], "steps": [{"logistic": {}}]}
    found["evaluation/comparisons.csv"] = pd.DataFrame({"first": ["fusion"], "second": ["clinical"]})


def _two_radiomic_models(study, found, parameters):
    study["models"]["other"] = study["models"]["fusion"]
    found["evaluation/comparisons.csv"] = pd.DataFrame({"first": ["fusion"], "second": ["other"]})


def _later(study, found, parameters):
    study["evaluation"]["temporal"] = {"variable": "year", "from": 2020}


def _external(study, found, parameters):
    study["evaluation"]["external"] = "elsewhere"
    found["evaluation/fusion/external.json"] = {}


def _balanced(study, found, parameters):
    study["models"]["fusion"]["steps"][2]["lasso"]["oversample"] = {"method": "smote"}


def _filtered(study, found, parameters):
    parameters["ct"]["imageType"]["Wavelet"] = {}


@pytest.mark.parametrize(
    ("name", "item", "change", "before", "after"),
    [
        ("clear", "36", _combat, NO, YES),
        ("clear", "42", _clinical_model, NO, YES),
        ("metrics", "19", _centres, NO, YES),
        ("metrics", "24", _clinical_model, NO, YES),
        ("metrics", "24", _two_radiomic_models, NO, NO),
        ("metrics", "26", _later, NO, YES),
        ("metrics", "27", _external, NO, AUTHORS),
        ("tripod_ai", "12d", _centres, NO, YES),
        ("tripod_ai", "12g", _external, NOT_APPLICABLE, YES),
        ("tripod_ai", "13", _balanced, NOT_APPLICABLE, YES),
        ("ibsi", "57", _filtered, NOT_APPLICABLE, YES),
        ("ibsi", "73", _clinical_model, NO, YES),
    ],
)
def test_what_a_study_adds_is_answered_yes(name, item, change, before, after):
    assert answers(name).loc[item, "answer"] == before
    assert answers(name, *changed(change)).loc[item, "answer"] == after


def test_simulated_data_have_a_source_and_no_overlap():
    study = {**STUDY, "cohorts": {"development": {"simulation": "simulation.yaml"}}}
    assert answers("clear").loc[["13", "14"], "answer"].tolist() == [AUTHORS, AUTHORS]
    assert answers("clear", study).loc[["13", "14"], "answer"].tolist() == [YES, NOT_APPLICABLE]


def test_only_people_answer_what_only_people_know():
    """Ethics, funding, conflicts, dates, eligibility: nothing in a results folder can say."""
    assert (answers("clear").loc[["1", "2", "3", "4", "5", "8", "10", "11", "20"], "answer"] == AUTHORS).all()
    people = ["1", "2", "3a", "5b", "6b", "17", "18a", "18b", "19", "25"]
    assert (answers("tripod_ai").loc[people, "answer"] == AUTHORS).all()
