import math

import pandas as pd
import pytest

from nenflow.cohort.units import coded, followed_up, labelled, outcome, text_columns, units_table

VARIABLES = {
    "grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2", "3"]},
    "ki67": {"label": "Ki-67", "level": "patient", "type": "continuous"},
    "response": {"label": "Response", "level": "lesion", "type": "categorical", "levels": ["good", "bad"]},
}
PATIENTS = pd.DataFrame({"patient": ["B", "A"], "grade": ["3", "1"], "ki67": [20.0, math.nan]})
LESIONS = pd.DataFrame({"patient": ["A", "B", "B"], "region": ["1", "1", "2"], "response": ["bad", "good", None]})


def test_patient_variables_repeat_for_each_lesion():
    table = units_table(PATIENTS, LESIONS)
    assert table.index.tolist() == [("A", "1"), ("B", "1"), ("B", "2")]
    assert table["grade"].tolist() == ["1", "3", "3"]
    assert table["response"].tolist()[:2] == ["bad", "good"]


def test_units_come_in_the_wanted_order_and_may_repeat():
    wanted = pd.MultiIndex.from_tuples([("B", "2"), ("A", "1"), ("B", "2")], names=["patient", "region"])
    table = units_table(PATIENTS, LESIONS, wanted)
    assert table.index.equals(wanted)
    assert table["grade"].tolist() == ["3", "1", "3"]


def test_a_unit_nobody_declared_is_refused():
    with pytest.raises(KeyError):
        units_table(PATIENTS, LESIONS, pd.MultiIndex.from_tuples([("A", "2")], names=["patient", "region"]))


def test_coding_follows_the_declared_order_and_keeps_missing_values():
    table = coded(units_table(PATIENTS, LESIONS), VARIABLES, ["ki67", "response", "grade"])
    assert table.columns.tolist() == ["ki67", "response", "grade"]
    assert table["grade"].tolist() == [1, 3, 3]
    assert table["response"].tolist() == pytest.approx([2, 1, math.nan], nan_ok=True)
    assert table["ki67"].tolist() == pytest.approx([math.nan, 20, 20], nan_ok=True)


def test_the_event_counts_as_one():
    values = outcome(units_table(PATIENTS, LESIONS), {"variable": "response", "event": "bad"})["outcome"]
    assert values.tolist() == pytest.approx([1, 0, math.nan], nan_ok=True)


def test_text_columns_are_the_categorical_ones():
    assert text_columns(VARIABLES) == ["grade", "response"]


SURVIVAL = {"variable": "status", "event": "tumour", "competing": "other", "time": "months", "times": [12]}
FOLLOWED = pd.DataFrame(
    {
        "status": ["alive", "tumour", "other", "tumour", None, "alive", "tumour"],
        "months": [12.0, 3, 5, 0, 7, math.nan, 8],
        "age": [50.0, 60, 70, 80, 90, 40, math.nan],
    },
    index=pd.MultiIndex.from_tuples([(name, "patient") for name in "ABCDEFG"], names=["patient", "region"]),
)


def test_an_outcome_with_time_tells_the_event_from_the_competing_one():
    y = outcome(FOLLOWED, SURVIVAL)
    assert list(y) == ["time", "event"]
    assert y["event"].tolist() == pytest.approx([0, 1, 2, 1, math.nan, 0, 1], nan_ok=True)
    assert y["time"].tolist() == pytest.approx([12, 3, 5, 0, 7, math.nan, 8], nan_ok=True)
    alone = outcome(FOLLOWED, {key: value for key, value in SURVIVAL.items() if key != "competing"})
    assert alone["event"].tolist() == pytest.approx([0, 1, 0, 1, math.nan, 0, 1], nan_ok=True)


def test_only_patients_with_outcome_and_time_are_followed_up():
    patients, y = followed_up(FOLLOWED, SURVIVAL)
    assert patients.index.tolist() == y.index.tolist() == ["A", "B", "C", "G"]  # D at once, E and F not known
    assert y["event"].tolist() == [0, 1, 2, 1]
    assert y["event"].dtype == int
    assert y["time"].tolist() == [12, 3, 5, 8]
    assert patients["age"].tolist() == pytest.approx([50, 60, 70, math.nan], nan_ok=True)


def test_a_patient_with_several_lesions_is_followed_once():
    units = units_table(
        FOLLOWED.droplevel("region").reset_index(),
        pd.DataFrame({"patient": ["B", "A", "A", "A", "C"], "region": ["1", "1", "2", "3", "1"]}),
    )
    patients, y = followed_up(units, SURVIVAL)
    assert patients.index.tolist() == ["B", "A", "C"]  # in the order of the units
    assert y.to_numpy().tolist() == [[3, 1], [12, 0], [5, 2]]


def test_labels_keep_the_declared_order_and_what_is_missing():
    values = labelled(pd.Series(["3", "1", None, "1"]), VARIABLES["grade"])
    assert values.cat.categories.tolist() == ["1", "2", "3"]
    assert values.cat.codes.tolist() == [2, 0, -1, 0]
    assert values.min() == "1"
    backwards = labelled(pd.Series(["3", "1"]), {"levels": ["3", "2", "1"]})
    assert backwards.cat.codes.tolist() == [0, 2]
