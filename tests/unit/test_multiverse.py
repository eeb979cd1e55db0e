"""Choices and cells of a multiverse, their figures against fits by hand, and what the report says of them."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lesion_tables import signal, survival_signal
from nenflow.errors import InputError
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.crossvalidation import cross_validate, parts_of
from nenflow.models.protocol import build_protocol
from nenflow.models.protocol import scores as protocol_scores
from nenflow.multiverse.choices import cells, check_multiverse, jobs, shown, variants, with_own
from nenflow.multiverse.runs import run_cells
from nenflow.report.sections_multiverse import label_of, multiverse_blocks, words
from nenflow.tables import write_table
from projects import ROOT

SETTING = {"binWidth": 25, "resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline"}
STEPS = [
    {"zscore": {}},
    {"spearman": {"threshold": 0.9}},
    {"lasso": {"folds": 3, "folds_by": "patient", "rule": "lambda.min"}},
    {"backward": {"p": 0.1}},
    {"logistic": {}},
]
LISTED = {"spearman": {"threshold": [0.15]}, "lasso": {"rule": ["lambda.min", "lambda.1se"]}}
GIVEN = {"clinical": ["age"], "readings": None, "seed": 1}
FOLDS = {"folds": 5, "repeats": 2}
SCHEMAS = ROOT / "workflow/schemas"
SURUFATINIB = yaml.safe_load((ROOT / "config/studies/surufatinib/study.yaml").read_text(encoding="utf-8"))


# Choices and cells


def test_cells_are_all_combinations_and_the_studys_own_is_one_of_them():
    found = cells(STEPS, LISTED, variants("ct", {"binWidth": [15, 35]}, SETTING))
    assert [cell["cell"] for cell in found] == list(range(1, 3 * 2 * 2 + 1))
    combinations = {tuple(cell["choices"].values()) for cell in found}
    assert combinations == set(itertools.product(["15", "25", "35"], ["0.15", "0.9"], ["lambda.min", "lambda.1se"]))
    own = [cell for cell in found if cell["own"]]
    assert len(own) == 1
    assert own[0]["steps"] == STEPS
    assert own[0]["extraction"] == "ct"
    assert list(own[0]["choices"]) == ["binWidth", "spearman/threshold", "lasso/rule"]


def test_a_cell_differs_from_the_protocol_by_its_choices_alone():
    for cell in cells(STEPS, LISTED, {None: {}}):
        by_hand = copy.deepcopy(STEPS)
        by_hand[1]["spearman"]["threshold"] = float(cell["choices"]["spearman/threshold"])
        by_hand[2]["lasso"]["rule"] = cell["choices"]["lasso/rule"]
        assert cell["steps"] == by_hand
        assert cell["own"] == (by_hand == STEPS)


@given(st.permutations([0.5, 0.6, 0.9, 0.95]), st.booleans())
def test_the_order_in_which_numbers_are_listed_does_not_matter(listed, with_the_own_one):
    listed = [value for value in listed if with_the_own_one or value != 0.9]
    found = cells(STEPS, {"spearman": {"threshold": listed}}, {None: {}})
    assert [cell["choices"]["spearman/threshold"] for cell in found] == ["0.5", "0.6", "0.9", "0.95"]
    assert [cell["own"] for cell in found] == [False, False, True, False]


def test_an_extraction_that_differs_in_nothing_is_the_studys_own():
    found = variants("ct", {"resampledPixelSpacing": [2, 1], "binWidth": [12.5, 25.0]}, SETTING)
    assert found == {
        "ct_binWidth-12.5": {"resampledPixelSpacing": [1, 1, 1], "binWidth": 12.5},
        "ct": {"resampledPixelSpacing": [1, 1, 1], "binWidth": 25},
        "ct_resampledPixelSpacing-2_binWidth-12.5": {"resampledPixelSpacing": [2, 2, 2], "binWidth": 12.5},
        "ct_resampledPixelSpacing-2": {"resampledPixelSpacing": [2, 2, 2], "binWidth": 25},
    }


def test_cells_share_extractions_and_a_job_has_one():
    extractions = variants("ct", {"binWidth": [15, 35]}, SETTING)
    found = cells(STEPS, {"spearman": {"threshold": [0.5, 0.6, 0.7, 0.8]}}, extractions)
    assert len({cell["extraction"] for cell in found}) == len(extractions) == 3
    split = jobs(found, size=4)
    assert list(split) == ["1-4", "5-5", "6-9", "10-10", "11-14", "15-15"]
    assert [cell for job in split.values() for cell in job] == found
    assert all(len({cell["extraction"] for cell in job}) == 1 for job in split.values())


def test_values_have_names_that_files_may_have():
    values = [15, 12.5, 25.0, 1e-5, 100, [1, 1, 1], [1, 1.0, 3], "lambda.min"]
    assert [shown(value) for value in values] == ["15", "12.5", "25", "0.00001", "100", "1", "1x1x3", "lambda.min"]


def test_words_keep_their_order_behind_the_studys_own():
    assert with_own("b", ["c", "a", "b"]) == ["b", "c", "a"]


# What is refused


def refusals(folder, multiverse, change=lambda study: None):
    study = copy.deepcopy(SURUFATINIB) | {"multiverse": multiverse}
    change(study)
    (folder / "extraction").mkdir(exist_ok=True)
    (folder / "extraction/wavelet.yaml").write_text(yaml.safe_dump({"setting": SETTING}))
    try:
        check_multiverse(study, folder, SCHEMAS)
    except InputError as error:
        return [line.removeprefix("- study.yaml, multiverse/") for line in str(error).splitlines()[1:]]
    return []


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"extraction": {"binwidth": [15]}}, "extraction/binwidth: wavelet.yaml gives no number for it under setting"),
        ({"extraction": {"interpolator": [1]}}, "extraction/interpolator: wavelet.yaml gives no number"),
        ({"extraction": {"binWidth": [0]}}, "extraction/binWidth: 0 is for spacings only"),
        ({"steps": {"combat": {"batch": ["a"]}}}, "steps: the model has no step 'combat'; it has zscore, stability"),
        ({"steps": {"lasso": {"alpha": [0.5]}}}, "steps/lasso/alpha: the model's own step does not say it"),
        ({"steps": {"lasso": {"rule": ["lambda.man"]}}}, "steps/lasso/rule: 'lambda.man' is not allowed; allowed are"),
        ({"steps": {"stability": {"threshold": [85]}}}, "steps/stability/threshold: 85 must be at most 1"),
    ],
)
def test_what_no_study_may_have_is_refused(tmp_path, listed, words):
    found = refusals(tmp_path, {"fusion": listed})
    assert len(found) == 1
    assert found[0].startswith(f"fusion/{words}")


def test_what_a_model_has_not_is_refused(tmp_path):
    listed = {"extraction": {"binWidth": [15], "resampledPixelSpacing": [0, 2]}}
    assert refusals(tmp_path, {"fusion": listed}) == []
    assert refusals(tmp_path, {"fusoin": listed}) == ["fusoin: there is no such model; there are: fusion"]

    def clinical(study):
        del study["models"]["fusion"]["extraction"]

    assert refusals(tmp_path, {"fusion": listed}, change=clinical) == [
        "fusion/extraction: the model uses no image features"
    ]

    def brought(study):
        study["extractions"]["wavelet"] = {"table": "features.csv"}

    assert "cannot be extracted anew" in refusals(tmp_path, {"fusion": listed}, change=brought)[0]

    def stratified(study):
        study["models"]["fusion"]["steps"][-1] = {"cox": {"strata": "sex"}}

    listed = {"steps": {"cox": {"strata": ["grade"]}}}
    assert "names variables" in refusals(tmp_path, {"fusion": listed}, change=stratified)[0]


def test_a_parameter_file_may_lie_where_an_environment_variable_says(tmp_path, monkeypatch):
    def elsewhere(study):
        study["extractions"]["wavelet"]["parameters"] = "${NENFLOW_TRIAL}/wavelet.yaml"

    listed = {"fusion": {"extraction": {"binCount": [32]}}}
    monkeypatch.delenv("NENFLOW_TRIAL", raising=False)
    assert refusals(tmp_path, listed, change=elsewhere) == []  # known only where the study runs
    monkeypatch.setenv("NENFLOW_TRIAL", str(tmp_path / "extraction"))
    assert "wavelet.yaml gives no number" in refusals(tmp_path, listed, change=elsewhere)[0]


def test_the_shipped_multiverse_is_valid():
    check_multiverse(SURUFATINIB, ROOT / "config/studies/surufatinib", SCHEMAS)


# Figures of cells


@pytest.fixture(scope="module")
def finished():
    X, y = signal()
    found = cells(STEPS, LISTED, {None: {}})
    return X, y, found, run_cells(found, X, y, GIVEN, 1, FOLDS)


def test_the_studys_own_cell_is_its_plain_cross_validation(finished):
    X, y, _, table = finished
    protocol = build_protocol(STEPS, **GIVEN)
    pooled = cross_validate(protocol, X, y, parts_of(X, y, 1, FOLDS))[1]["folds"]["pooled"]
    own = table[table["own"]].iloc[0]
    assert own[["auc", "low", "high"]].tolist() == [pooled["auc"], pooled["low"], pooled["high"]]
    fitted = protocol.fit(X, y)
    predicted = protocol_scores(fitted, X)["linear_predictor"]
    assert own["apparent"] == pytest.approx(roc_auc_score(y, predicted.round(9)), abs=1e-12)
    assert own["features"].split(";") == list(fitted.named_steps["lasso"].document()["coefficients"])
    assert own["selected"] == len(own["features"].split(";"))


def test_choices_make_a_difference(finished):
    table = finished[-1]
    assert table["auc"].max() > table["auc"].min()
    assert table["apparent"].max() > table["apparent"].min()


def test_neither_the_order_of_cells_nor_their_split_in_jobs_matters(finished):
    X, y, found, table = finished
    single = [run_cells([cell], X, y, GIVEN, 1, FOLDS) for cell in reversed(found)]
    again = pd.concat(single).sort_values("cell", ignore_index=True)
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_a_broken_cell_says_why_and_leaves_the_others_alone(finished):
    X, y, found, table = finished
    broken = copy.deepcopy(found[0])
    del broken["steps"][-1]
    many = copy.deepcopy(found[1])
    many["steps"][2]["lasso"]["folds"] = 1000
    none = copy.deepcopy(found[2])
    none["steps"][3]["backward"]["p"] = 0.0
    rows = run_cells([broken, many, none, found[3]], X, y, GIVEN, 1, FOLDS)
    assert rows.loc[[0, 1], ["auc", "low", "high", "apparent"]].isna().all(axis=None)
    assert rows.loc[0, "note"].startswith("not computable: The last step of a protocol must be")
    assert "(in 10 of 10 refits); not computable on all units: 1000 folds need 1000 patients" in rows.loc[1, "note"]
    assert rows.loc[2, "note"] == "nothing selected (in 10 of 10 refits)"
    assert rows.loc[2, ["auc", "apparent"]].tolist() == [0.5, 0.5]
    pd.testing.assert_series_equal(rows.loc[3], table.loc[3], check_names=False)


def test_without_a_cross_validation_of_its_own_a_study_has_ten_folds():
    X, y = signal()
    found = cells([{"backward": {"p": 0.1}}, {"logistic": {}}], {"backward": {"p": [0.1]}}, {None: {}})
    given, X = GIVEN | {"clinical": ["age", "f2", "f7"]}, X[["age", "f2", "f7"]]
    pd.testing.assert_frame_equal(run_cells(found, X, y, given, 1, {}), run_cells(found, X, y, given, 1, {"folds": 10}))
    few = y.groupby(level="patient").size().index[:8]
    few = X.index.get_level_values("patient").isin(few)
    expected = run_cells(found, X[few], y[few], given, 1, {"folds": 8})
    pd.testing.assert_frame_equal(run_cells(found, X[few], y[few], given, 1, {}), expected)


def test_of_times_the_figures_are_c_indices():
    X, y = survival_signal()
    steps = [{"zscore": {}}, {"lasso": {"folds": 3, "folds_by": "patient", "rule": "lambda.min"}}, {"cox": {}}]
    found = cells(steps, {"lasso": {"rule": ["lambda.1se"]}}, {None: {}})
    table = run_cells(found, X, y, GIVEN | {"times": [24.0]}, 1, FOLDS)
    fitted = build_protocol(steps, **GIVEN, times=[24.0]).fit(X, y)
    predicted = protocol_scores(fitted, X)["linear_predictor"]
    own = table[table["own"]].iloc[0]
    assert own["apparent"] == pytest.approx(harrell_c(y["time"], y["event"], predicted)["c"], abs=1e-12)
    assert ((table["low"] < table["c"]) & (table["c"] < table["high"])).all()


# Report


def reported(tmp_path, table):
    write_table(table, tmp_path / "cells.csv")
    results = {"multiverse/fusion/cells.csv": pd.read_csv(tmp_path / "cells.csv")}
    return multiverse_blocks({"multiverse": {"fusion": LISTED}}, results)


def test_the_report_says_how_far_the_figure_goes_and_where_the_own_one_stands(finished, tmp_path):
    table = finished[-1].copy()
    table["auc"], table["apparent"] = [0.71, 0.65, 0.8, 0.69], [0.9, 0.91, 0.92, 0.93]
    table["low"], table["high"] = table["auc"] - 0.1, table["auc"] + 0.1
    text, drawing, printed, features = reported(tmp_path, table)
    assert table.loc[table["own"], "auc"].tolist() == [0.8]
    assert text.text.startswith(
        "Across 4 analyses that could be defended as well, the honest AUC went from 0.650 to 0.800 (apparent: 0.900 to "
        "0.930); the study's own is 0.800 (0.700–0.900), and none of the others is higher."
    )
    assert "0.650 to 0.800" in drawing.alt
    assert "Correlation threshold 0.15, 0.9" in drawing.alt
    rows = printed.table.set_index("Choice")
    assert rows.index.str.strip().tolist() == [
        *("Correlation threshold", "0.15", "0.9 (the study’s own)"),
        *("Lambda rule", "lambda.min (the study’s own)", "lambda.1se"),
    ]
    assert rows["Honest AUC"].iloc[1] == "0.680 (0.650–0.710)"
    assert len(printed.full) == 4
    counts = features.full.set_index("feature")["analyses"]
    assert counts["f2"] == sum("f2" in row.split(";") for row in table["features"])


def test_what_could_not_be_computed_is_said(finished, tmp_path):
    table = finished[-1].copy()
    table.loc[[1, 3], ["auc", "low", "high", "apparent"]] = np.nan
    table.loc[[1, 3], "note"] = "not computable: no features"
    table.loc[0, "units"] = 89
    text, *_, notes = reported(tmp_path, table)
    assert text.text.startswith("Across 2 analyses")
    assert "2 analyses could not be computed." in text.text
    assert "89 to 90 units" in text.text
    assert notes.lines == ["Analyses 2, 4 of the file: not computable: no features"]
    none = table.assign(honest=np.nan)
    assert words(none, "AUC") == "None of 4 analyses could be computed."
    own = table.assign(honest=table["auc"].where(~table["own"]))
    assert "the study's own could not be computed." in words(own, "AUC")


def test_often_varied_choices_have_a_name_and_others_keep_theirs():
    names = ["binWidth", "lasso/rule", "univariable/p", "padDistance"]
    assert [label_of(name) for name in names] == ["Bin width", "Lambda rule", "p of univariable", "padDistance"]


def test_a_study_without_multiverse_has_no_such_section():
    assert multiverse_blocks({"models": {}}, {}) == []
