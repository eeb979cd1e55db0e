import math

import pandas as pd
import pytest

from nenflow.cohort.units import coded, outcome, text_columns, units_table

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
