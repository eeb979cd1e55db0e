import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from nenflow.evaluation.rivals import compare_all, compare_models
from nenflow.tables import UNIT

Y = [1, 1, 1, 1, 0, 0, 0, 0, 0]
FIRST = [0.1, 0.3, 0.5, 0.9, 0.1, 0.3, 0.5, 0.1, 0.7]
SECOND = [0.3, 0.7, 0.4, 0.9, 0.1, 0.1, 0.7, 0.1, 0.5]


def index(n):
    return pd.MultiIndex.from_tuples([(f"P{number}", "patient") for number in range(n)], names=UNIT)


def binary(y=Y, first=FIRST, second=SECOND, **settings):
    y = pd.Series(y, index(len(y)))
    tables = [pd.DataFrame({"linear_predictor": logit(p), "probability": p}, y.index) for p in (first, second)]
    return compare_models(y, *tables, **settings).set_index("measure")


def survival(time, event, first, second, at=12, **settings):
    y = pd.DataFrame({"time": time, "event": event}, index(len(time)), dtype=float)
    tables = [
        pd.DataFrame({"linear_predictor": logit(p), f"survival_{at}": 1 - np.array(p)}, y.index)
        for p in (first, second)
    ]
    return compare_models(y, *tables, **settings).set_index("measure")


def test_figures_by_hand():
    found = binary(categories=[0.2, 0.6])
    # events move .2 .4 -.1 0, the others 0 -.2 .2 0 -.2: see test_reclassification
    expected = {"IDI": 0.165, "NRI, continuous": 1 / 4 + 1 / 5, "NRI, categories": 2 / 4 + 1 / 5}
    assert found.loc[list(expected), "difference"].to_dict() == pytest.approx(expected)
    assert found.loc["NRI, categories", "at"] == "0.2, 0.6"
    # of 20 pairs the first orders 1.5 + 2.5 + 3.5 + 5 rightly, the second 3 + 4.5 (.7 ties) + 3 + 5
    assert found.loc["AUC", ["first_value", "second_value"]].tolist() == pytest.approx([12 / 20, 15.5 / 20])
    # at 4/9 both act on two events and two others: 2/9 - 2/9 * (4/9)/(5/9)
    benefit = found.loc["net benefit"]
    assert benefit["at"] == "0.444"
    assert benefit["first_value"] == pytest.approx(2 / 9 - 2 / 9 * 4 / 5)
    assert benefit["second_value"] == pytest.approx(2 / 9 - 2 / 9 * 4 / 5)


def test_survival_without_censoring_before_the_time_is_the_binary_outcome_by_then():
    time, event = np.where(np.array(Y) == 1, np.arange(1, 10), 20.0), np.ones(len(Y))
    found, expected = survival(time, event, FIRST, SECOND, categories=[0.2, 0.6]), binary(categories=[0.2, 0.6])
    same = ["IDI", "NRI, continuous", "NRI, categories", "net benefit"]
    assert found.loc[same, "difference"].to_dict() == pytest.approx(expected.loc[same, "difference"].to_dict())
    assert set(found.loc[same, "time"]) == {12.0}


def test_units_censored_before_the_time_are_weighted_for():
    time, event = [2, 4, 4, 6, 20, 8], [1, 0, 0, 1, 0, 1]
    first, second = [0.5] * 6, [0.6, 0.1, 0.9, 0.4, 0.2, 0.9]
    # Two of the five who are left at 4 are censored then, so that later events stand for 1 / (1 - 2/5) units each.
    weights = np.array([1, 1 / 0.6, 1 / 0.6])
    idi = weights @ [0.1, -0.1, 0.4] / weights.sum() - (0.2 - 0.5)
    nri = weights @ [1, -1, 1] / weights.sum() + 1
    found = survival(time, event, first, second)
    assert found.loc[["IDI", "NRI, continuous"], "difference"].tolist() == pytest.approx([idi, nri])


def test_intervals_are_percentiles_of_the_differences_in_the_drawn_rows():
    rng = np.random.default_rng(5)
    draws = [np.arange(9), np.r_[0, 0, 2, 3, 4, 5, 6, 7, 8], rng.integers(9, size=9)]
    found = binary(draws=draws)
    alone = [binary(*(np.array(column)[rows] for column in (Y, FIRST, SECOND))) for rows in draws]
    # the threshold of the net benefit stays that of all units
    for measure in ("AUC", "IDI", "NRI, continuous"):
        values = [table.loc[measure, "difference"] for table in alone]
        assert found.loc[measure, ["low", "high"]].tolist() == pytest.approx(
            np.quantile(values, [0.025, 0.975]).tolist()
        )
    lacking = binary(draws=[np.zeros(9, dtype=int)])  # one class only: no figure
    assert lacking["low"].drop("net benefit").isna().all()


def test_models_without_risks_are_compared_by_their_order_alone():
    y = pd.Series(Y, index(len(Y)))
    tables = [pd.DataFrame({"linear_predictor": score}, y.index) for score in (FIRST, SECOND)]
    assert compare_models(y, *tables)["measure"].tolist() == ["AUC"]


def scores(values, y=Y, **more):
    return pd.DataFrame({"outcome": y, "linear_predictor": logit(values), "probability": values, **more}, index(len(y)))


def test_every_two_models_of_an_endpoint_are_compared_on_the_units_of_both():
    tables = {"a": scores(FIRST), "b": scores(SECOND), "published_c": scores(SECOND).iloc[1:], "other": scores(FIRST)}
    endpoints = {"a": "response", "b": "response", "published_c": "response", "other": "relapse"}
    found = compare_all(endpoints, tables, {}, [], seed=1, resamples=3)
    pairs = found.drop_duplicates(["first", "second"])
    assert pairs[["first", "second", "n", "events"]].to_numpy().tolist() == [
        ["a", "b", 9, 4],
        ["a", "published_c", 8, 3],
        ["b", "published_c", 8, 3],
    ]
    assert (found["predictions"] == "apparent").all()
    assert compare_all({}, {}, {}, [], seed=1, resamples=3).empty


def test_cross_validated_models_are_ranked_by_their_risks():
    # Baselines of the folds differ: linear predictors say that the first fold is the worse one, risks do not.
    crossed = scores(FIRST).drop(columns="outcome").reset_index()
    crossed = crossed.assign(scheme="folds", repeat=1, linear_predictor=crossed["linear_predictor"] + [9, 0, 0] * 3)
    noise = crossed.assign(repeat=2, probability=0.5)
    tables = {"a": scores([0.5] * 8 + [0.6]), "published_b": scores(SECOND)}
    endpoints = dict.fromkeys(tables, "response")
    found = compare_all(endpoints, tables, {"a": pd.concat([crossed, noise])}, [], seed=1, resamples=2)
    rows = found[found["measure"] == "AUC"].set_index("predictions")["first_value"]
    assert rows["folds"] == pytest.approx(12 / 20)
    assert rows["apparent"] == pytest.approx(8 / 20)
