import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import Z95
from nenflow.evaluation.reclassification import (
    integrated_discrimination,
    net_reclassification,
    reclassification_table,
)

Y = [1, 1, 1, 1, 0, 0, 0, 0, 0]
FIRST = [0.1, 0.3, 0.5, 0.9, 0.1, 0.3, 0.5, 0.1, 0.7]
SECOND = [0.3, 0.7, 0.4, 0.9, 0.1, 0.1, 0.7, 0.1, 0.5]


def test_net_reclassification_by_hand():
    # cuts .2 and .6: of 4 events two rise, none falls; of 5 non-events two fall, one rises
    found = net_reclassification(Y, FIRST, SECOND, cuts=[0.2, 0.6])
    assert (found["events"], found["non_events"]) == (pytest.approx(2 / 4), pytest.approx(1 / 5))
    assert found["nri"] == pytest.approx(0.7)
    # multinomial variances: (1/2 - 1/4) / 4 and (3/5 - 1/25) / 5; under no change (1/2) / 4 + (3/5) / 5
    se = np.sqrt(0.25 / 4 + 0.56 / 5)
    assert (found["se"], found["z"]) == (pytest.approx(se), pytest.approx(0.7 / np.sqrt(0.5 / 4 + 0.6 / 5)))
    assert (found["low"], found["high"]) == (pytest.approx(0.7 - Z95 * se), pytest.approx(0.7 + Z95 * se))


def test_continuous_form_counts_every_change():
    # of the events two rise and one falls, of the non-events two fall and one rises
    found = net_reclassification(Y, FIRST, SECOND)
    assert (found["events"], found["non_events"]) == (pytest.approx(1 / 4), pytest.approx(1 / 5))


def test_integrated_discrimination_by_hand():
    # changes .2 .4 -.1 0 of the events, 0 -.2 .2 0 -.2 of the others
    found = integrated_discrimination(Y, FIRST, SECOND)
    assert found["idi"] == pytest.approx(0.125 - -0.04)
    se = np.sqrt(np.var([0.2, 0.4, -0.1, 0], ddof=1) / 4 + np.var([0, -0.2, 0.2, 0, -0.2], ddof=1) / 5)
    assert (found["se"], found["z"]) == (pytest.approx(se), pytest.approx(0.165 / se))


def test_table_holds_everybody_once():
    table = reclassification_table(Y, FIRST, SECOND, cuts=[0.2, 0.6])
    assert (len(table), table["units"].sum(), table.loc[table["event"] == 1, "units"].sum()) == (18, 9, 4)
    assert table.set_index(["event", "first", "second"]).loc[(1, 1, 2), "units"] == 1


@settings(max_examples=50)
@given(st.integers(0, 1000), st.sampled_from([None, [0.3, 0.6]]))
def test_exchanging_the_models_changes_the_sign(seed, cuts):
    rng = np.random.default_rng(seed)
    y, first, second = np.r_[0, 1, rng.integers(0, 2, 20)], rng.random(22), rng.random(22)
    there, back = net_reclassification(y, first, second, cuts), net_reclassification(y, second, first, cuts)
    assert there["nri"] == pytest.approx(-back["nri"])
    assert there["p"] == pytest.approx(back["p"], nan_ok=True)
    idi = integrated_discrimination(y, first, second)["idi"]
    assert idi == pytest.approx(-integrated_discrimination(y, second, first)["idi"])


def test_the_same_model_improves_nothing_and_has_no_test():
    for found in (net_reclassification(Y, FIRST, FIRST), integrated_discrimination(Y, FIRST, FIRST)):
        assert (found.get("nri", found.get("idi")), np.isnan(found["p"]), np.isnan(found["low"])) == (0, True, True)


def test_what_is_refused():
    with pytest.raises(InputError, match="linear predictors"):
        net_reclassification(Y, FIRST, np.array(SECOND) * 3)
    for cuts in ([], [0.6, 0.2], [0.0, 0.5]):
        with pytest.raises(InputError, match="rising limits"):
            net_reclassification(Y, FIRST, SECOND, cuts)
