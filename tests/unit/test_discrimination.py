import numpy as np
import pandas as pd
import pytest

from nenflow.documents import plain, read_json
from nenflow.errors import InputError
from nenflow.evaluation.discrimination import (
    auc,
    brier,
    delong_covariance,
    delong_interval,
    delong_test,
    hanley_mcneil_error,
    hanley_mcneil_interval,
    performance,
    roc_curve,
    youden,
)

EXACT = 1e-8  # what an exact implementation of AUC, DeLong and thresholds meets against R (15 digits stored)


def _scores(golden):
    """Outcome, score and R's figures for every ROC curve of the golden files."""
    sah, birth, chain = (read_json(golden / f"{name}.json") for name in ("aSAH", "birthwt", "chain"))
    sah_table = pd.read_csv(golden / "aSAH.csv")
    response = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"]
    yield sah_table["poor"], sah["fitted"], sah["roc"]
    for marker in ("s100b", "ndka", "wfns"):
        yield sah_table["poor"], sah_table[marker], sah["single_markers"][marker]
    yield pd.read_csv(golden / "birthwt.csv")["low"], birth["fitted"], birth["roc"]
    yield response, chain["radscore"], chain["radscore_roc"]
    yield response, chain["fusion"]["fitted"], chain["fusion"]["roc"]


def test_auc_and_delong_equal_proc(golden):
    for y, score, expected in _scores(golden):
        assert auc(y, score) == pytest.approx(expected["auc"], abs=EXACT)
        assert delong_covariance(y, score)[0, 0] == pytest.approx(expected["delong_var"], abs=EXACT)
        low, _, high = expected["delong_ci"]
        assert delong_interval(y, score) == pytest.approx((low, high), abs=EXACT)


def test_roc_curve_equals_proc(golden):
    for y, score, expected in _scores(golden):
        curve = roc_curve(y, score)
        inner = np.array(expected["thresholds"][1:-1], dtype=float)
        np.testing.assert_allclose(curve["threshold"].iloc[1:-1], inner, atol=EXACT, rtol=0)
        np.testing.assert_allclose(curve["sensitivity"], expected["sensitivities"], atol=EXACT, rtol=0)
        np.testing.assert_allclose(curve["specificity"], expected["specificities"], atol=EXACT, rtol=0)
        assert curve["threshold"].iloc[0] == -np.inf
        assert curve["threshold"].iloc[-1] == np.inf


def test_youden_equals_proc(golden):
    for y, score, expected in _scores(golden):
        found = youden(y, score)
        assert found["ties"] == 0
        for name, value in expected["youden"].items():
            assert found[name] == pytest.approx(value, abs=EXACT), name


def test_delong_comparison_equals_proc(golden):
    sah, table = read_json(golden / "aSAH.json"), pd.read_csv(golden / "aSAH.csv")
    for pair in (("s100b", "ndka"), ("s100b", "wfns")):
        found = delong_test(table["poor"], table[pair[0]], table[pair[1]])
        assert found == pytest.approx(sah["single_markers"]["delong_" + "_".join(pair)], abs=EXACT)
    chain = read_json(golden / "chain.json")
    response = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"]
    found = delong_test(response, chain["fusion"]["fitted"], chain["radscore"])
    expected = chain["fusion"]["delong_test"]
    assert found == pytest.approx({"z": expected["z"], "p": expected["p"]}, abs=EXACT)


def test_hanley_mcneil_reproduces_the_published_interval():
    # Fusion model of the surufatinib study: AUC 0.928, 104 ineffective (the event) and 27 effective lesions
    assert round(hanley_mcneil_error(0.928, 104, 27), 5) == 0.02205
    assert tuple(round(bound, 3) for bound in hanley_mcneil_interval(0.928, 104, 27)) == (0.885, 0.971)
    # the classes are not exchangeable: with the other one as the event the printed interval does not come out
    assert round(hanley_mcneil_error(0.928, 27, 104), 5) == 0.03528


def test_auc_by_hand_with_ties():
    y, score = [0, 0, 0, 1, 1], [1, 2, 3, 2, 4]
    # pairs won by events: 2 beats 1, ties 2, loses to 3 -> 1.5; 4 beats all -> 3; 4.5 of 6
    assert auc(y, score) == pytest.approx(4.5 / 6)
    assert auc(y, np.negative(score)) == pytest.approx(1.5 / 6)
    assert auc([0, 1], [5, 5]) == 0.5


def test_scores_equal_to_nine_decimals_are_tied():
    assert auc([0, 1], [0.1 + 0.2, 0.3]) == 0.5
    assert auc([0, 1], [0.3, 0.3 + 1e-8]) == 1.0


def test_youden_ties_take_the_most_sensitive_cutoff():
    # cut-offs 1.5 (3 of 3 events, 1 of 2 others below) and 3.5 (1.5 ... equal sum) by hand:
    y, score = [0, 1, 0, 1], [1, 2, 3, 4]
    # 1.5: sensitivity 1, specificity 1/2; 3.5: sensitivity 1/2, specificity 1; both sum to 1.5
    found = youden(y, score)
    assert (found["threshold"], found["sensitivity"], found["specificity"]) == (1.5, 1.0, 0.5)
    assert found["ties"] == 1
    assert (found["tp"], found["fp"], found["tn"], found["fn"]) == (2, 1, 1, 0)
    assert found["ppv"] == pytest.approx(2 / 3)
    assert found["npv"] == 1.0
    assert found["accuracy"] == 0.75


def test_perfect_separation_has_no_interval():
    y, score = [0, 0, 1, 1], [1, 2, 3, 4]
    assert auc(y, score) == 1.0
    assert np.isnan(delong_interval(y, score)).all()
    assert np.isnan(hanley_mcneil_interval(1.0, 2, 2)).all()


def test_a_single_event_has_no_delong_variance():
    assert np.isnan(delong_covariance([0, 0, 1], [1, 3, 2])).all()


def test_brier_by_hand(golden):
    assert brier([0, 1], [0.2, 0.6]) == pytest.approx((0.04 + 0.16) / 2)
    chain = read_json(golden / "chain.json")["fusion"]
    response = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"]
    assert brier(response, chain["fitted"]) == pytest.approx(chain["brier"], abs=EXACT)


def test_performance_is_json_ready():
    found = plain(performance([0, 0, 1, 1], [1, 3, 2, 4], probability=[0.1, 0.7, 0.4, 0.9]))
    assert (found["n"], found["events"], found["auc"]) == (4, 2, 0.75)
    assert found["brier"] == pytest.approx((0.01 + 0.49 + 0.36 + 0.01) / 4)
    assert performance([0, 1], [1, 2])["brier"] is None


@pytest.mark.parametrize(
    ("y", "score", "words"),
    [
        ([1, 1], [0.1, 0.2], "same outcome"),
        ([0, 2], [0.1, 0.2], "other than 0 and 1"),
        ([0, 1], [0.1, np.nan], "1 of 2 scores"),
    ],
)
def test_refusals(y, score, words):
    with pytest.raises(InputError, match=words):
        auc(y, score)
