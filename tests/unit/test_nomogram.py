import numpy as np
import pytest

from nenflow.documents import read_json
from nenflow.models.nomogram import draw_nomogram, nomogram, pretty

POINTS = 1e-9  # scales, as the golden files' README says
DRAWN = 1e-3  # axes that rms interpolates
FEW = 1e-6  # through coefficients that R fits to about 1e-8


@pytest.mark.parametrize("name", ["birthwt", "aSAH", "chain"])
def test_agrees_with_rms(golden, name):
    known = read_json(golden / f"{name}.json")
    known = known["fusion"] if name == "chain" else known
    theirs, fitted = known["nomogram"], np.array(known["fitted"])
    log_odds = np.log(fitted / (1 - fitted))
    scales = {name: {"values": s["value"], "effects": s["beta_x"]} for name, s in theirs["scales"].items()}
    ours = draw_nomogram(known["model"]["coef"][0], scales, (log_odds.min(), log_odds.max()))
    for variable, scale in theirs["scales"].items():
        assert ours["variables"][variable]["values"] == scale["value"]
        np.testing.assert_allclose(ours["variables"][variable]["points"], scale["points"], atol=POINTS)
    assert ours["points_per_unit"] == pytest.approx(theirs["points_per_lp"], rel=POINTS)
    assert ours["intercept"] == pytest.approx(theirs["info"]["intercept"], abs=POINTS)
    assert ours["total_points"] == theirs["total_points"]
    assert ours["linear_predictor"]["values"] == theirs["lp"]["lp"]
    np.testing.assert_allclose(ours["linear_predictor"]["total_points"], theirs["lp"]["x"], atol=POINTS)
    assert ours["probability"]["values"] == theirs["risk"]["fat"]
    np.testing.assert_allclose(ours["probability"]["total_points"], theirs["risk"]["x"], atol=DRAWN)


def test_axes_of_a_model_document_are_those_of_rms(golden):
    known = read_json(golden / "chain.json")["fusion"]
    coefs = dict(zip(known["model"]["terms"], known["model"]["coef"], strict=True))
    fitted = np.array(known["fitted"])
    log_odds = np.log(fitted / (1 - fitted))
    document = {
        "intercept": coefs.pop("(Intercept)"),
        "coefficients": coefs,
        # ranges of the chain's table; the Radscore's from its stored scores
        "scales": {
            "rad": {"minimum": 0.1694, "maximum": 2.9243},
            "ki67": {"minimum": 1.2, "maximum": 95.0},
            "extrahep": {"values": [0, 1]},
        },
        "linear_predictor": [log_odds.min(), log_odds.max()],
    }
    ours = nomogram(document)
    for name, scale in known["nomogram"]["scales"].items():
        assert ours["variables"][name]["values"] == scale["value"]
        np.testing.assert_allclose(ours["variables"][name]["points"], scale["points"], atol=FEW)


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
