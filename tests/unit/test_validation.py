import numpy as np
import pandas as pd
import pytest

from nenflow.documents import plain
from nenflow.evaluation.refitting import COLUMNS, columns_with_times
from nenflow.evaluation.validation import harrell, plus632, summarise
from nenflow.tables import read_table, write_table


def _areas(train, test, oob):
    return pd.DataFrame({"train": train, "test": test, "oob": oob})


def test_plus632_by_hand():
    # overfitting (0.9 - 0.6) / (0.9 - 0.5) = 0.75; weight 0.632 / (1 - 0.368 * 0.75) = 0.632 / 0.724
    found = plus632(0.9, _areas([1.0, 1.0], [0.8, 0.8], [0.5, 0.7]))
    weight = 0.632 / 0.724
    estimate = 0.9 * (1 - weight) + 0.6 * weight
    assert (found["out_of_bag"], found["overfitting"]) == (pytest.approx(0.6), pytest.approx(0.75))
    assert found["auc"] == pytest.approx(estimate)
    # percentiles of 0.5 and 0.7 are 0.505 and 0.695: as far below and above the estimate as below and above 0.6
    assert found["interval"] == pytest.approx([estimate - 0.095, estimate + 0.095])


def test_plus632_without_overfitting_is_the_plain_632():
    found = plus632(0.8, _areas([0.8], [0.8], [0.8]))
    assert (found["weight"], found["auc"]) == (pytest.approx(0.632), pytest.approx(0.8))
    # a model that does better outside than apparently does not overfit
    assert plus632(0.7, _areas([0.8], [0.8], [0.8]))["auc"] == pytest.approx(0.368 * 0.7 + 0.632 * 0.8)


def test_plus632_of_an_error_and_of_decisions_by_hand():
    columns = dict.fromkeys(COLUMNS, 0.7) | {"note": "", "separated": 0, "features": "", "selected": "age"}
    row = columns | {"brier_train": 0.08, "brier_test": 0.14, "brier_oob": 0.20}
    row |= {"sensitivity_train": 1.0, "sensitivity_test": 0.9, "sensitivity_oob": 0.6}
    row |= {"net_benefit_train": 0.3, "net_benefit_test": 0.2, "net_benefit_oob": -0.1}
    rates = {
        "threshold": 0.4,
        "time": None,
        "cut_off": 0.1,
        "net_benefit": 0.25,
        "sensitivity": 0.9,
        "specificity": 0.8,
    }
    performance = {"auc": 0.9, "brier": 0.1, "uninformed_brier": 0.3, "rates": rates}
    fixed = pd.DataFrame({"resample": [0], "score": "fusion", "auc": [0.9]})
    found = summarise({"fusion": performance}, fixed, pd.DataFrame([row] * 2))["scores"]["fusion"]
    # half of the way from 0.1 to the 0.3 of chance: overfitting 0.5, weight 0.632 / (1 - 0.184)
    weight = 0.632 / 0.816
    assert found["brier"]["plus632"] == pytest.approx(0.1 * (1 - weight) + 0.2 * weight)
    assert found["brier"]["corrected"] == pytest.approx(0.1 + 0.06)
    # by chance a cut-off calls 0.4 * 0.9 + 0.6 * 0.2 = 0.48 of the events
    weight = 0.632 / (1 - 0.368 * 0.3 / 0.42)
    assert found["rates"]["sensitivity"]["plus632"] == pytest.approx(0.9 * (1 - weight) + 0.6 * weight)
    assert found["rates"]["sensitivity"]["corrected"] == pytest.approx(0.8)
    assert found["rates"]["net_benefit"]["plus632"] == pytest.approx(0.0)  # harm out of bag is no worse than chance


def test_plus632_of_noise_is_chance():
    # out of bag at or below 0.5 leaves nothing of an apparent 0.95; where nothing was ever selected all is 0.5
    assert plus632(0.95, _areas([1.0], [0.8], [0.48]))["auc"] == pytest.approx(0.5)
    assert plus632(0.5, _areas([0.5], [0.5], [0.5]))["auc"] == pytest.approx(0.5)


def test_harrell_and_its_shifted_interval_by_hand():
    found = harrell(0.9, _areas([0.90, 1.00], [0.80, 0.84], [np.nan, 0.7]))
    assert found["optimism"] == pytest.approx((0.10 + 0.16) / 2)
    assert found["auc"] == pytest.approx(0.9 - 0.13)
    # percentiles of 0.90 and 1.00 are 0.9025 and 0.9975, both less the optimism
    assert found["interval"] == pytest.approx([0.9025 - 0.13, 0.9975 - 0.13])


def test_summary_of_rows_that_were_written_and_read(tmp_path):
    base = dict.fromkeys(COLUMNS, 0.7) | {"units": 131, "separated": 0, "note": ""}
    rows = [
        base | {"resample": 0, "n_lasso": 2, "features": "a;b", "selected": "Radscore;ki67", "separated": 1},
        base | {"resample": 1, "n_lasso": 1, "features": "a", "selected": "Radscore"},
        base
        | {"resample": 2, "n_lasso": 0, "features": "", "selected": "", "note": "nothing selected"}
        | {"slope": np.nan, "intercept": np.nan},
        {"resample": 3, "units": 130, "note": "not computable: x"} | {c: 0.5 for c in COLUMNS if c.startswith("auc")},
    ]
    write_table(pd.DataFrame(rows, columns=COLUMNS), tmp_path / "refit.csv")
    fixed = pd.DataFrame({"resample": [0, 0, 1, 1], "score": ["Radscore", "fusion"] * 2, "auc": [0.8, 0.9, 0.9, 1.0]})
    performance = {"Radscore": {"auc": 0.85, "brier": None}, "fusion": {"auc": 0.95, "brier": 0.1}}
    found = plain(summarise(performance, fixed, read_table(tmp_path / "refit.csv")))
    assert found["resamples"] == {
        "published": 2,
        "refitted": 4,
        "not_computable": 1,
        "no_feature": 0.25,
        "nothing_selected": 0.25,
        "separated": 0.25,
    }
    assert found["selection"] == {"variables": {"Radscore": 0.5, "ki67": 0.25}, "features": {"a": 0.5, "b": 0.25}}
    assert found["scores"]["Radscore"]["published"]["mean"] == pytest.approx(0.85)
    assert found["scores"]["fusion"]["published"]["mean"] == pytest.approx(0.95)
    assert found["scores"]["fusion"]["lines"] == 2
    assert found["scores"]["fusion"]["corrected"]["out_of_bag"] == pytest.approx((3 * 0.7 + 0.5) / 4)
    assert "slope" not in found["scores"]["Radscore"]


def test_summary_of_columns_that_are_blank_throughout(tmp_path):
    rows = [dict.fromkeys(COLUMNS, 0.5) | {"n_lasso": 0, "features": "", "selected": "Radscore", "note": ""}] * 2
    write_table(pd.DataFrame(rows, columns=COLUMNS), tmp_path / "refit.csv")
    fixed = pd.DataFrame({"resample": [0, 1], "score": "fusion", "auc": [0.8, 0.9]})
    found = summarise({"fusion": {"auc": 0.9, "brier": 0.1}}, fixed, read_table(tmp_path / "refit.csv"))
    assert found["selection"] == {"variables": {"Radscore": 1.0}, "features": {}}
    assert (found["resamples"]["not_computable"], found["resamples"]["no_feature"]) == (0, 1.0)


def test_summary_of_a_time_to_event():
    columns = columns_with_times([12])
    refit = pd.DataFrame(
        [dict.fromkeys(columns, 0.6) | {"separated": 0, "note": "", "features": "", "selected": "age"}] * 2
    )
    refit["c_train"], refit["c_test"], refit["brier_12_train"] = [0.9, 0.8], [0.7, 0.8], 0.4
    fixed = pd.DataFrame({"resample": [0, 1], "score": "clinical", "c": [0.8, 0.9]})
    indexes = dict.fromkeys(["dxy", "r2", "slope", "d", "u", "q", "g"], 0.5)
    performance = {
        "c": 0.85,
        "auc": [{"time": 12, "auc": 0.8}],
        "brier": [{"time": 12, "brier": 0.1}],
        "indexes": indexes,
    }
    found = plain(summarise({"clinical": performance}, fixed, refit))["scores"]["clinical"]
    assert (found["apparent"], found["published"]["mean"]) == (0.85, pytest.approx(0.85))
    assert found["harrell"]["c"] == pytest.approx(0.85 - 0.1)
    assert found["corrected"]["c"] == pytest.approx(plus632(0.85, _areas([0.9, 0.8], [0.7, 0.8], [0.6, 0.6]))["auc"])
    assert (found["slope"], found["lines"]) == (pytest.approx(0.6), 2)
    assert found["times"]["12"]["brier"] == {
        **{"apparent": 0.1, "corrected": pytest.approx(0.1 + 0.2)},
        "plus632": None,  # nobody said what chance gives
    }
    assert found["times"]["12"]["auc"]["harrell"]["auc"] == pytest.approx(0.8)
    rows = {row["index"]: row for row in found["indexes"]}
    assert rows["dxy"]["optimism"] == pytest.approx(2 * 0.1)
    assert (rows["slope"]["training"], rows["slope"]["corrected"]) == (1.0, pytest.approx(0.5 - 0.4))
