"""Ratios per standard deviation, and the sentence of a null result."""

import numpy as np
import pandas as pd
import pytest

from nenflow.models.candidates import candidates_table
from nenflow.models.tables import univariable_table
from nenflow.report.sections_candidates import candidates_blocks, null_blocks

VARIABLES = {
    "volume": {"label": "Volume (mL)", "type": "continuous"},
    "suv": {"label": "SUV", "type": "continuous"},
    "sex": {"label": "Sex", "type": "categorical", "levels": ["female", "male"]},
}


def survival(effect, seed=3, n=90):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"volume": rng.lognormal(4, 1, n), "suv": rng.uniform(5, 60, n), "sex": rng.integers(1, 3, n)})
    time = rng.exponential(np.exp(-effect * (X["suv"] - 30) / X["suv"].std()))
    end = np.quantile(time, 0.6)
    return X.astype(float), pd.DataFrame({"time": np.minimum(time, end), "event": (time <= end).astype(int)})


def test_a_ratio_per_sd_is_that_of_the_standardised_variable():
    X, y = survival(0.4)
    found = candidates_table(X, univariable_table(X, y)).set_index("variable")
    standardised = univariable_table((X - X.mean()) / X.std(ddof=1), y).set_index("variable")
    for name in X:
        assert found.loc[name, "sd"] == pytest.approx(X[name].std(ddof=1))
        for column, other in (("ratio", "hazard_ratio"), ("low", "low"), ("high", "high")):
            assert found.loc[name, column] == pytest.approx(standardised.loc[name, other], rel=1e-4)


def test_p_is_corrected_for_the_number_of_terms():
    table = pd.DataFrame(
        {
            "variable": ["a", "b=1", "b=2", "c"],
            "hazard_ratio": [1.5, 1.1, 0.9, 2.0],
            "low": [1.0] * 4,
            "high": [3.0] * 4,
            "term": ["a", "b", "b", "c"],
            "term_p": [0.04, 0.5, 0.5, 0.01],
        }
    )
    X = pd.DataFrame({name: [0.0, 1.0, 2.0] for name in table["variable"]})
    found = candidates_table(X, table).set_index("variable")
    assert found["p_holm"].to_dict() == pytest.approx({"a": 0.08, "b=1": 0.5, "b=2": 0.5, "c": 0.03})


def test_a_null_result_is_reported_as_one():
    X, y = survival(0.0)
    effects = candidates_table(X, univariable_table(X, y))
    assert effects["p_holm"].min() > 0.05
    (block,) = null_blocks(effects, VARIABLES, "dead", "hazard")
    assert "none of 3 candidate variables predicts “dead”" in block.text
    continuous = effects[effects["variable"] != "sex"]
    assert f"under {continuous['low'].min():.3f} and over {continuous['high'].max():.3f}" in block.text
    (table,) = candidates_blocks("tumour", effects, VARIABLES, "hazard")
    assert list(table.table["Variable"]) == ["Volume (mL)", "SUV"]


def test_weak_variables_whose_model_holds_up_are_no_null_result():
    X, y = survival(0.0)
    effects = candidates_table(X, univariable_table(X, y))
    honest = "the C-index of the tumour model is 0.640 (0.550–0.730)"
    (block,) = null_blocks(effects, VARIABLES, "dead", "hazard", honest)
    assert "null result" not in block.text
    assert block.text.startswith("None of 3 candidate variables predicts “dead” by itself (the smallest p is ")
    assert (
        f"better than chance: when the whole analysis is repeated on resampled patients, {honest}, though" in block.text
    )
    one = effects.iloc[[0]].assign(p_holm=effects["p"])
    (block,) = null_blocks(one, VARIABLES, "dead", "hazard")
    assert block.text.startswith(
        "A null result: the only candidate variable does not predict “dead” (the smallest p is "
    )


def test_an_effect_is_no_null_result():
    X, y = survival(1.5)
    assert null_blocks(candidates_table(X, univariable_table(X, y)), VARIABLES, "dead", "hazard") == []
    assert null_blocks(None, VARIABLES, "dead", "hazard") == []


def test_a_model_without_candidates_has_an_empty_table():
    X, y = survival(0.0)
    empty = candidates_table(X[[]], univariable_table(X[[]], y))
    assert empty.empty
    assert "p_holm" in empty
    assert null_blocks(empty, VARIABLES, "dead", "hazard") == []
