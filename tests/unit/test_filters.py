import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from lesion_tables import lesions
from nenflow.documents import read_json
from nenflow.errors import InputError
from nenflow.models.filters import SpearmanPruning, ZScore

EXACT = 1e-12


def test_z_score_is_that_of_r_and_says_what_it_drops():
    X = lesions({"a": [1.0, 2, 3, 4], "same": [0.1] * 4, "b": [2.0, 2, 2, 6], "age": [50, 60, 70, 80]})
    step = ZScore(clinical=("age",)).fit(X)
    Z = step.transform(X)
    assert list(Z.columns) == ["a", "b", "age"]
    np.testing.assert_allclose(Z["a"], np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(5 / 3), rtol=EXACT)
    np.testing.assert_allclose(Z["b"], [-0.5, -0.5, -0.5, 1.5], rtol=EXACT)
    assert Z["age"].tolist() == [50, 60, 70, 80]
    assert step.document()["dropped"] == ["same"]
    new = lesions({"age": [55], "b": [3.0], "a": [7.0]})
    np.testing.assert_allclose(step.transform(new)[["a", "b"]], [[4.5 / np.sqrt(5 / 3), 0]], atol=EXACT)


def test_z_score_refuses_what_is_missing():
    X = lesions({"a": [1.0, 2, np.nan], "b": [1.0, 2, 4]})
    with pytest.raises(InputError, match="first being a"):
        ZScore().fit(X)
    step = ZScore().fit(X[["b"]])
    with pytest.raises(InputError, match="lacks 1"):
        step.transform(X[["a"]])


def test_pruning_agrees_with_r(golden):
    known = read_json(golden / "sonar.json")["prune"]
    X = lesions(pd.read_csv(golden / "sonar.csv").drop(columns="mine"))
    step = SpearmanPruning(threshold=known["cut"]).fit(X)
    assert step.document()["kept"] == known["greedy_keep_first"]
    assert list(step.transform(X).columns) == known["greedy_keep_first"]
    for name, why in step.document()["dropped"].items():
        assert why["rho"] == pytest.approx(spearmanr(X[name], X[why["for"]]).statistic, abs=EXACT)
        assert abs(why["rho"]) > 0.9


def test_pruning_keeps_the_first_and_forgets_the_dropped():
    # b goes for a; c goes with b only, which is no longer there, so c stays; -a goes too; ties have mean ranks
    a = np.arange(20.0)
    b = a.copy()
    b[[0, 4]] = b[[4, 0]]
    c = b.copy()
    c[[8, 19]] = c[[19, 8]]
    X = lesions({"a": a, "b": b, "c": c, "minus": -a, "halves": a // 2, "age": a})
    rho = {name: spearmanr(X["a"], X[name]).statistic for name in X}
    assert rho["b"] > 0.9 > rho["c"]
    assert spearmanr(X["b"], X["c"]).statistic > rho["c"]
    step = SpearmanPruning(threshold=0.9, clinical=("age",)).fit(X)
    assert step.document()["kept"] == ["a", "c"]
    assert {name: why["for"] for name, why in step.document()["dropped"].items()} == {
        "b": "a",
        "minus": "a",
        "halves": "a",
    }
    assert step.document()["dropped"]["halves"]["rho"] == pytest.approx(rho["halves"], abs=EXACT)
    assert list(step.transform(X).columns) == ["a", "c", "age"]
    # exactly at the threshold is not beyond it
    assert SpearmanPruning(threshold=1.0).fit(X[["a", "age"]]).document()["kept"] == ["a", "age"]
