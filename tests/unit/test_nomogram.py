import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from nenflow.errors import InputError
from nenflow.models.nomogram import draw_nomogram, nomogram, points_table, pretty, read_off
from nenflow.models.terms import spline_columns

COX = {
    "coefficients": {"age": 0.05, "grade=2": 0.4, "grade=3": -0.6},
    "baseline": {"time": [5.0, 12.0, 30.0], "hazard": [0.0, 0.02, 0.1]},
    "times": [12, 24],
    "scales": {"age": {"minimum": 41.0, "maximum": 79.0}, "grade=2": {"values": [0, 1]}, "grade=3": {"values": [0, 1]}},
    "linear_predictor": [1.6, 4.1],
    "center": 3.0,
}
GRADES = {"factors": {"grade": ["1", "2", "3"]}}


def test_points_give_back_the_probability():
    scales = {
        "grade": {"values": [1, 2, 3], "effects": [0.7, 1.4, 2.1]},
        "age": {"values": [40, 80], "effects": [-2.0, -4.0]},
    }
    ours = draw_nomogram(0.5, scales, (-3.0, 0.6))
    assert ours["variables"]["age"]["points"] == [100, 0]
    assert ours["variables"]["grade"]["points"] == pytest.approx([0, 35, 70])
    # grade 3 at 40 years: 0.5 + 2.1 - 2.0 = 0.6
    assert ours["intercept"] + (70 + 100) / ours["points_per_unit"] == pytest.approx(0.6)


def test_model_without_variables():
    empty = {"intercept": 0.3, "coefficients": {}, "scales": {}, "linear_predictor": [0.3, 0.3]}
    assert nomogram(empty)["variables"] == {}
    assert nomogram(empty)["total_points"] == []
    with pytest.raises(InputError, match="without variables has no points"):
        read_off(nomogram(empty), [0])
    cox = {"coefficients": {}, "scales": {}, "linear_predictor": [0.0, 0.0], "baseline": COX["baseline"], "times": [12]}
    assert nomogram(cox)["survival"][0]["values"] == []


def test_factor_counts_from_its_least_level_and_survival_from_the_baseline():
    drawn = nomogram(COX, GRADES)
    assert list(drawn["variables"]) == ["age", "grade"]
    # 40 to 80 years span 2 units of the linear predictor, so 50 points each; grade 3 is better than the reference
    assert drawn["points_per_unit"] == pytest.approx(50)
    assert drawn["variables"]["grade"]["values"] == ["1", "2", "3"]
    assert drawn["variables"]["grade"]["points"] == pytest.approx([30, 50, 0])
    # 60 years, grade 2: 50 + 50 points; linear predictor 3.4
    assert drawn["intercept"] + 100 / 50 == pytest.approx(0.05 * 60 + 0.4 - 3.0)
    survival = read_off(drawn, [100])
    assert survival.columns.tolist() == ["survival_12", "survival_24"]
    # a step function: at 24 still the hazard of 12
    assert survival.iloc[0].tolist() == pytest.approx([np.exp(-0.02 * np.exp(3.4))] * 2)


def test_center_moves_only_which_round_numbers_are_shown():
    with_center, without = nomogram(COX, GRADES), nomogram({**COX, "center": 0.0}, GRADES)
    assert with_center["variables"] == without["variables"]
    pd.testing.assert_frame_equal(read_off(with_center, [0, 37, 150]), read_off(without, [0, 37, 150]))
    assert with_center["linear_predictor"]["values"][:2] == [-1.4, -1.2]
    assert without["linear_predictor"]["values"][:2] == [1.6, 1.8]


def test_outcome_axes_lie_where_their_points_lead():
    drawn = nomogram(COX, GRADES)
    for axis in drawn["survival"]:
        read = read_off(drawn, axis["total_points"])[f"survival_{axis['time']:g}"]
        assert read.tolist() == pytest.approx(axis["values"])
    binary = draw_nomogram(-1.0, {"x": {"values": [0, 4], "effects": [0.0, 4.0]}}, (-1.0, 3.0))
    axis = binary["probability"]
    assert read_off(binary, axis["total_points"])["probability"].tolist() == pytest.approx(axis["values"])
    assert axis["values"] == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]  # log odds from -1 to 3


def test_before_the_first_event_there_is_no_survival_to_show():
    drawn = nomogram({**COX, "times": [5]}, GRADES)
    assert drawn["survival"] == [{"time": 5.0, "hazard_at_zero_points": 0.0, "values": [], "total_points": []}]
    assert read_off(drawn, [0, 500])["survival_5"].tolist() == [1.0, 1.0]


def test_survival_beyond_the_follow_up_is_refused():
    with pytest.raises(InputError, match="ends at 30, so that a nomogram cannot show survival at 36"):
        nomogram({**COX, "times": [12, 36]}, GRADES)


def test_spline_goes_up_and_down_with_its_model():
    knots = [45.0, 55.0, 65.0, 75.0]
    slopes = {"age": -0.2, "age'": 0.9, "age''": -1.2}
    document = {
        "intercept": 1.0,
        "coefficients": {**slopes, "male": 0.3},
        "scales": {"age": {"minimum": 41.0, "maximum": 79.0}, "male": {"values": [0, 1]}},
        "linear_predictor": [-15.0, -5.0],
    }
    drawn = nomogram(document, {"knots": {"age": knots}})
    assert list(drawn["variables"]) == ["age", "male"]
    ages = drawn["variables"]["age"]["values"]
    assert ages == [40, 45, 50, 55, 60, 65, 70, 75, 80]
    effects = spline_columns(ages, knots) @ list(slopes.values())
    changes = np.sign(np.diff(effects))
    assert set(changes) == {-1, 1}
    points = np.array(drawn["variables"]["age"]["points"])
    np.testing.assert_allclose(points / drawn["points_per_unit"], effects - effects.min())
    assert (points.min(), points.max()) == (0, pytest.approx(100))


@pytest.mark.parametrize("column", ["grade=2", "age'"])
def test_terms_must_be_told(column):
    document = {"intercept": 0.0, "coefficients": {"age": 1.0, column: 0.5}, "scales": COX["scales"]}
    with pytest.raises(ValueError, match="terms do not tell"):
        nomogram({**document, "linear_predictor": [0.0, 1.0]})


def test_table_has_every_tick_of_every_variable_and_outcome():
    drawn = nomogram(COX, GRADES)
    table = points_table(drawn)
    assert table.columns.tolist() == ["part", "variable", "value", "points"]
    of_variables = table[table["part"] == "points"]
    assert of_variables["variable"].tolist() == ["age"] * 9 + ["grade"] * 3
    assert of_variables["points"].tolist() == pytest.approx([*np.arange(0, 101, 12.5), 30, 50, 0])
    totals = table[table["part"] == "total points"]
    for axis in drawn["survival"]:
        rows = totals[totals["variable"] == f"survival_{axis['time']:g}"]
        assert rows["value"].tolist() == axis["values"]
        assert rows["points"].tolist() == axis["total_points"]
        assert len(rows) > 5


slope = st.floats(-3, 3).filter(lambda value: abs(value) > 1e-3)


@given(st.lists(slope, min_size=1, max_size=5), slope, st.data())
def test_adding_points_is_applying_the_model(slopes, intercept, data):
    values = [data.draw(st.lists(st.integers(-9, 9), min_size=2, max_size=6, unique=True)) for _ in slopes]
    scales = {
        str(j): {"values": sorted(v), "effects": [b * x for x in sorted(v)]}
        for j, (b, v) in enumerate(zip(slopes, values, strict=True))
    }
    drawn = draw_nomogram(intercept, scales, (-1.0, 1.0))
    assert max(max(scale["points"]) for scale in drawn["variables"].values()) == pytest.approx(100)
    assert all(min(scale["points"]) == 0 for scale in drawn["variables"].values())
    places = [data.draw(st.integers(0, len(v) - 1)) for v in values]
    total = sum(scale["points"][i] for scale, i in zip(drawn["variables"].values(), places, strict=True))
    predictor = intercept + sum(scale["effects"][i] for scale, i in zip(scales.values(), places, strict=True))
    assert read_off(drawn, [total])["probability"][0] == pytest.approx(expit(predictor), rel=1e-9)


def test_units_of_a_variable_do_not_move_its_points():
    centimetres = draw_nomogram(0.0, {"x": {"values": [1, 5], "effects": [0.3, 1.5]}}, (0, 2))
    millimetres = draw_nomogram(0.0, {"x": {"values": [10, 50], "effects": [0.3, 1.5]}}, (0, 2))
    assert centimetres["variables"]["x"]["points"] == millimetres["variables"]["x"]["points"]
    assert centimetres["probability"] == millimetres["probability"]


@pytest.mark.parametrize(
    ("low", "high", "first", "step", "last"),
    [
        # R 4.2: pretty(c(low, high), n = 10)
        (80, 250, 80, 20, 260),
        (1.2, 95, 0, 10, 100),
        (0, 118.879282001754, 0, 10, 120),
        (0, 224.326600753433, 0, 20, 240),
        (0.1694, 2.9243, 0, 0.2, 3),
        (-3.3, 2.4, -3.5, 0.5, 2.5),
        (0, 450, 0, 50, 450),
    ],
)
def test_round_numbers_are_those_of_r(low, high, first, step, last):
    ticks = pretty(low, high)
    assert (ticks[0], ticks[-1]) == (first, last)
    assert np.diff(ticks) == pytest.approx(step)
