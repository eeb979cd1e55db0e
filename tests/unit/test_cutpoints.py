from itertools import permutations

import numpy as np
import pytest

from nenflow.errors import InputError
from nenflow.evaluation.cutpoints import cut_as_given, logrank_scores, maximally_selected


def _simulated(n, effect, seed=5):
    rng = np.random.default_rng([seed, n])
    variable = rng.normal(size=n)
    died, left = rng.exponential(np.exp(-effect * (variable > 0.3))), rng.uniform(0.5, 3, n)
    return np.minimum(died, left), (died <= left).astype(int), variable


def test_scores_of_untied_times_are_events_less_hazard():
    scores = logrank_scores(np.array([3.0, 1.0, 2.0]), np.array([True, True, False]))
    assert scores == pytest.approx([1 - 1 / 3 - 1, 1 - 1 / 3, -1 / 3])


def test_a_planted_cut_is_found():
    result = maximally_selected(*_simulated(300, 2.0))
    assert result["cutpoint"] == pytest.approx(0.3, abs=0.1)
    assert result["p_permutation"] == 1e-4
    assert result["p_lausen_1992"] < 1e-6
    assert result["n_low"] + result["n_high"] == 300


def test_direction_scale_and_order_do_not_matter():
    time, event, variable = _simulated(80, 0.5)
    first = maximally_selected(time, event, variable)
    order = np.random.default_rng(1).permutation(80)
    second = maximally_selected(12 * time[order], event[order], np.exp(variable[order]))
    assert second["cutpoint"] == pytest.approx(np.exp(first["cutpoint"]))
    for name in ("statistic", "n_low", "p_lausen_1992", "p_lausen_1994", "p_permutation", "naive_p"):
        assert second[name] == pytest.approx(first[name])
    assert maximally_selected(time, event, -variable)["statistic"] == pytest.approx(first["statistic"])


def test_permutation_p_is_that_of_all_permutations():
    time, event, variable = np.arange(1.0, 8), np.array([1, 1, 1, 0, 1, 1, 0]), np.array([7, 4, 6, 3, 5, 1, 2])
    result = maximally_selected(time, event, variable)
    scores = logrank_scores(time, event == 1)
    n, spread = 7, ((scores - scores.mean()) ** 2).sum()
    below = np.arange(1, 7)  # a tenth of 7 units is less than one
    deviation = np.sqrt(below * (n - below) / (n * (n - 1)) * spread)
    reached = [
        (np.abs(np.cumsum(row)[:-1] - below * scores.mean()) / deviation).max() >= result["statistic"] - 1e-9
        for row in permutations(scores)
    ]
    assert result["cuts"]["n_low"].tolist() == below.tolist()
    assert result["p_permutation"] == pytest.approx(np.mean(reached), abs=0.02)


def test_corrected_p_keeps_its_level_without_effect():
    results = [maximally_selected(*_simulated(60, 0.0, seed)) for seed in range(40)]
    rejected = {name: np.mean([r[name] < 0.05 for r in results]) for name in ("naive_p", "p_permutation")}
    assert rejected["p_permutation"] <= 0.12
    assert rejected["naive_p"] >= 0.2


@pytest.mark.parametrize(
    ("variable", "event", "message"),
    [
        ([1.0] * 20, [1] * 20, "No cut-point leaves"),
        ([1.0] * 19 + [2.0], [1] * 20, "No cut-point leaves"),
        ([*range(19), np.nan], [1] * 20, "1 of 20 values"),
        ([*range(20)], [0] * 20, "Nobody had the event"),
    ],
)
def test_what_cannot_be_cut_is_refused(variable, event, message):
    with pytest.raises(InputError, match=message):
        maximally_selected(np.arange(1, 21), event, variable)


def test_everybody_at_one_time_tells_nothing():
    result = maximally_selected(np.ones(20), np.ones(20), np.arange(20))
    assert result["statistic"] == 0
    assert result["p_lausen_1992"] == result["p_permutation"] == 1


def test_a_cut_from_elsewhere_has_its_log_rank_p_and_one_that_knows_of_the_search():
    time, event, variable = _simulated(60, 0.4)
    best = maximally_selected(time, event, variable)
    same = cut_as_given(time, event, variable, best["cutpoint"])
    assert same["statistic"] == pytest.approx(best["statistic"])
    assert same["p"] == pytest.approx(best["naive_p"])
    assert same["p_corrected"] == pytest.approx(best["p_permutation"])
    assert (same["n_low"], same["n_high"]) == (best["n_low"], best["n_high"])
    for quantile in (0.02, 0.3, 0.5, 0.8):  # one is outside of the cuts that the search tries
        given = cut_as_given(time, event, variable, np.quantile(variable, quantile))
        assert given["p_corrected"] >= best["p_permutation"]
        assert given["p_corrected"] >= given["p"] - 0.02
        assert given["n_low"] == (variable <= np.quantile(variable, quantile)).sum()


def test_a_cut_that_leaves_nobody_on_a_side_is_refused():
    time, event, variable = _simulated(30, 0.4)
    with pytest.raises(InputError, match="Nobody with known follow-up"):
        cut_as_given(time, event, variable, variable.max())
