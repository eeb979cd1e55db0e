import numpy as np
import pandas as pd
import pytest

from nenflow.documents import read_json
from nenflow.errors import InputError
from nenflow.evaluation.decision import THRESHOLDS, decision_curve

EXACT = 1e-8  # counts and a ratio: nothing but the last digits can differ from R


def test_net_benefit_equals_r(golden):
    response = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"]
    cases = [
        (response, read_json(golden / "chain.json")["fusion"]),
        (pd.read_csv(golden / "aSAH.csv")["poor"], read_json(golden / "aSAH.json")),
        (pd.read_csv(golden / "birthwt.csv")["low"], read_json(golden / "birthwt.json")),
    ]
    for y, expected in cases:
        curve = decision_curve(y, expected["fitted"])
        for strategy in ("model", "all", "none"):
            rows = curve[curve["strategy"] == strategy]
            np.testing.assert_allclose(rows["threshold"], expected["dca"]["threshold"], atol=EXACT, rtol=0)
            np.testing.assert_allclose(rows["net_benefit"], expected["dca"][strategy], atol=EXACT, rtol=0)


def test_net_benefit_by_hand():
    # at 0.5 two of four are acted on, one rightly: 1/4 - 1/4 * 0.5 / 0.5; at 0.2 three, two rightly: 2/4 - 1/4 * 0.25
    curve = decision_curve([0, 0, 1, 1], [0.1, 0.7, 0.2, 0.5], thresholds=[0.2, 0.5]).set_index(
        ["strategy", "threshold"]
    )["net_benefit"]
    assert curve["model", 0.5] == pytest.approx(0.0)
    assert curve["model", 0.2] == pytest.approx(0.5 - 0.25 * 0.25)
    assert curve["all", 0.2] == pytest.approx(0.5 - 0.5 * 0.25)
    assert (curve["none"] == 0).all()


def test_strategies_and_thresholds():
    curve = decision_curve([0, 1], [0.3, 0.6])
    assert list(curve["strategy"].unique()) == ["model", "all", "none"]
    assert len(curve) == 3 * len(THRESHOLDS)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="same outcome"):
        decision_curve([1, 1], [0.3, 0.6])
