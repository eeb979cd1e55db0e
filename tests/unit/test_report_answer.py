"""The first screen: whether the finding stands follows from the honest figure's interval and from permutations."""

import numpy as np
import pandas as pd
import pytest

from nenflow.report.answer import (
    Finding,
    Tally,
    answer_blocks,
    answer_rows,
    finding_words,
    model_findings,
    tally,
    tally_words,
)

PRINTED, CHANCE = (0.9, 0.8, 0.97), (0.5, 0.5, 0.62)


def finding(low, p, honest=0.7, name="the one model"):
    return Finding(name, "AUC", PRINTED, (honest, low, 0.8), None if p is None else CHANCE, p=p)


@pytest.mark.parametrize(
    ("low", "p", "verdict"),
    [
        (0.51, 0.005, "stands"),
        (0.51, 0.05, "stands"),
        (0.51, None, "stands"),
        (0.50, 0.005, "open"),  # permutations find something, but the interval holds chance
        (0.51, 0.051, "open"),
        (0.45, 0.2, "chance"),
        (0.45, None, "chance"),
        (np.nan, 0.005, "open"),  # an interval that cannot be computed excludes nothing
    ],
)
def test_a_finding_stands_only_where_permutations_and_interval_agree(low, p, verdict):
    assert finding(low, p).verdict() == verdict


def test_two_sentences_say_what_is_left_and_whether_it_stands():
    words = finding_words([finding(0.6, 0.005)], "lesion")
    assert words == (
        "As such studies print it, the AUC of the one model is 0.900; when the whole analysis is repeated on resampled "
        "patients, every selection included, 0.700 (0.600–0.800) is left: 0.200 of it was optimism. The finding stands "
        "in these data: with outcomes permuted between patients the same analysis rarely does as well (p = 0.005), and "
        "its 95% interval lies above chance (0.5)."
    )
    open_ = finding_words([finding(0.45, 0.005)], "lesion")
    assert "Whether the finding stands is open: " in open_
    assert "rarely does as well (p = 0.005), but its 95% interval includes chance (0.5)." in open_
    null = finding_words([finding(0.45, 0.4)], "lesion")
    assert "The finding does not stand: with outcomes permuted between patients the same analysis often does" in null
    assert null.endswith("and its 95% interval includes chance (0.5); it does not follow that nothing is there.")
    assert "0.900 (0.600–0.800) is left, no less than before." in finding_words([finding(0.6, None, 0.9)], "lesion")


def test_what_was_not_validated_is_called_too_high_and_what_is_empty_a_null_result():
    unchecked = finding_words([Finding("the one model", "C-index", PRINTED)], "patient")
    assert "measured on the patients that it was made from, so that it is too high" in unchecked
    assert unchecked.endswith("whether the finding stands is not known.")
    assert finding_words([Finding("the one model", "AUC")], "patient").startswith("A null result: no variable survived")


def test_several_models_are_told_in_two_sentences_and_a_null_result_is_called_one():
    models = [finding(0.45, 0.4), Finding("the other model", "AUC")]
    words = finding_words(models, "lesion")
    assert words.startswith("As such studies print them: AUC 0.900 for the one model; when")
    assert ". A null result: what the one model found cannot be told from chance (permutation p, " in words
    assert "for the other model no variable survived the selection; it does not follow that nothing is there." in words
    mixed = finding_words([finding(0.6, 0.01), finding(0.4, 0.5, name="the other model")], "lesion")
    assert "AUC 0.900 for the one model and 0.900 for the other model" in mixed
    assert "What the one model found stands in these data" in mixed
    assert "null" not in mixed


def results_of(p, models=("a", "b")):
    results = {}
    for model in models:
        honest = {"auc": 0.7, "interval": [0.6, 0.8]}
        figures = {"published": {"mean": 0.9, "interval": [0.8, 0.97]}, "corrected": honest, "harrell": honest}
        permuted = {"median": 0.5, "low": 0.5, "high": 0.62, "p": p}
        chance = {"apparent": permuted, "harrell": permuted, "corrected": permuted}
        results |= {
            f"models/{model}/steps/logistic.json": {"variables": ["x"]},
            f"evaluation/{model}/performance.json": {model: {"auc": 0.9, "auc_delong": [0.8, 0.97]}},
            f"evaluation/{model}/validation.json": {"scores": {model: figures}},
            f"evaluation/{model}/chance.json": {"permutations": 200, "scores": {model: chance}},
        }
    return {"models": dict.fromkeys(models), "unit": "lesion"}, results


def test_p_values_of_several_models_are_corrected_for_their_number():
    study, results = results_of(0.03)
    assert [found.p for found in model_findings(study, results)] == [0.06, 0.06]  # Holm: 2 x 0.03
    assert [found.verdict() for found in model_findings(study, results)] == ["open", "open"]
    alone = model_findings(*results_of(0.03, ["a"]))
    assert [(found.p, found.verdict()) for found in alone] == [(0.03, "stands")]


def test_an_external_cohort_has_a_row_and_a_sentence():
    study, results = results_of(0.005, ["a"])
    row = {"scheme": "external", "score": "a", "auc": 0.61, "low": 0.55, "high": 0.67}
    results["evaluation/a/schemes.csv"] = pd.DataFrame([row])
    words, drawing = answer_blocks(study, results)
    assert words.text.endswith(
        "In the external cohort, to which nothing was fitted: AUC 0.610 (0.550–0.670) for the a model."
    )
    assert drawing.alt == (
        "AUC. As published: 0.900 (0.800–0.970); Honest: everything repeated: 0.700 (0.600–0.800); By chance: outcomes "
        "permuted: 0.500 (0.500–0.620); In the external cohort: 0.610 (0.550–0.670)."
    )


def test_single_features_are_counted_as_printed_and_corrected_beside_what_chance_gives():
    markers = pd.DataFrame({"p": [0.001, 0.04, 0.3, np.nan], "p_fdr": [0.003, 0.06, 0.3, np.nan]})
    tests = tally({}, {"evaluation/markers.csv": markers})
    assert tests == Tally("feature", 3, 2, 1, "false discovery rate")
    assert tests.by_chance() == pytest.approx(0.15)
    assert "2 of 3 features have p < 0.05 when each is tested by itself; by chance alone 0.2" in tally_words(
        tests
    )  # 0.15
    assert "1 stays after correction for their number (false discovery rate) and stands" in tally_words(tests)
    rows = answer_rows([], tests)
    assert list(rows["value"]) == [2, 1, pytest.approx(0.15)]
    none = tally({}, {"evaluation/markers.csv": markers.assign(p_fdr=0.2)})
    assert "A null result: none stays after correction" in tally_words(none)
    synthetic = {"evaluation/markers_synthetic.csv": markers.assign(p=[0.01, 0.01, 0.02, np.nan])}
    words = tally_words(tally({}, {"evaluation/markers.csv": markers} | synthetic))
    assert words.startswith("In the synthetic cohort, as published, 3 of 3 features have p < 0.05; in the patients ")


def test_comparisons_of_survival_answer_where_there_are_neither_models_nor_features():
    effects = pd.DataFrame({"p": [np.nan, 0.2, 0.04], "p_holm": [np.nan, 0.2, 0.08]})
    study = {"survival": {"overall": {}}, "unit": "patient"}
    results = {"evaluation/survival_overall/effects.csv": effects}
    assert tally(study, results) == Tally("comparison", 2, 1, 0, "Holm")
    assert tally(study | {"models": {"a": {}}}, results) is None
    assert answer_blocks({"unit": "patient"}, {}) == []
