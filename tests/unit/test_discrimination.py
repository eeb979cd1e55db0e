from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.discrimination import (
    auc,
    brier,
    closest_to_corner,
    delong_covariance,
    delong_interval,
    delong_logit_interval,
    delong_test,
    exact_interval,
    hanley_mcneil_error,
    hanley_mcneil_interval,
    partial_auc,
    performance,
    rank_correlations,
    roc_band,
    roc_curve,
    youden,
)


def test_hanley_mcneil_reproduces_the_published_interval():
    # Fusion model of the surufatinib study: AUC 0.928, 104 ineffective (the event) and 27 effective lesions
    assert round(hanley_mcneil_error(0.928, 104, 27), 5) == 0.02205
    assert tuple(round(bound, 3) for bound in hanley_mcneil_interval(0.928, 104, 27)) == (0.885, 0.971)
    # the classes are not exchangeable: with the other one as the event the printed interval does not come out
    assert round(hanley_mcneil_error(0.928, 27, 104), 5) == 0.03528


def test_auc_by_hand_with_ties():
    y, score = [0, 0, 0, 1, 1], [1, 2, 3, 2, 4]
    # pairs won by events: 2 beats 1, ties 2, loses to 3 -> 1.5; 4 beats all -> 3; 4.5 of 6
    assert auc(y, score) == pytest.approx(4.5 / 6)
    assert auc(y, np.negative(score)) == pytest.approx(1.5 / 6)
    assert auc([0, 1], [5, 5]) == 0.5


def test_scores_equal_to_nine_decimals_are_tied():
    assert auc([0, 1], [0.1 + 0.2, 0.3]) == 0.5
    assert auc([0, 1], [0.3, 0.3 + 1e-8]) == 1.0


def test_youden_ties_take_the_most_sensitive_cutoff():
    # cut-offs 1.5 (3 of 3 events, 1 of 2 others below) and 3.5 (1.5 ... equal sum) by hand:
    y, score = [0, 1, 0, 1], [1, 2, 3, 4]
    # 1.5: sensitivity 1, specificity 1/2; 3.5: sensitivity 1/2, specificity 1; both sum to 1.5
    found = youden(y, score)
    assert (found["threshold"], found["sensitivity"], found["specificity"]) == (1.5, 1.0, 0.5)
    assert found["ties"] == 1
    assert (found["tp"], found["fp"], found["tn"], found["fn"]) == (2, 1, 1, 0)
    assert found["ppv"] == pytest.approx(2 / 3)
    assert found["npv"] == 1.0
    assert found["accuracy"] == 0.75


def test_perfect_separation_has_no_interval():
    y, score = [0, 0, 1, 1], [1, 2, 3, 4]
    assert auc(y, score) == 1.0
    assert np.isnan(delong_interval(y, score)).all()
    assert np.isnan(hanley_mcneil_interval(1.0, 2, 2)).all()


def test_a_single_event_has_no_delong_variance():
    assert np.isnan(delong_covariance([0, 0, 1], [1, 3, 2])).all()


def test_brier_by_hand():
    assert brier([0, 1], [0.2, 0.6]) == pytest.approx((0.04 + 0.16) / 2)


def test_performance_is_json_ready():
    found = plain(performance([0, 0, 1, 1], [1, 3, 2, 4], probability=[0.1, 0.7, 0.4, 0.9]))
    assert (found["n"], found["events"], found["auc"]) == (4, 2, 0.75)
    assert found["brier"] == pytest.approx((0.01 + 0.49 + 0.36 + 0.01) / 4)
    assert performance([0, 1], [1, 2])["brier"] is None


@pytest.mark.parametrize(
    ("y", "score", "words"),
    [
        ([1, 1], [0.1, 0.2], "same outcome"),
        ([0, 2], [0.1, 0.2], "other than 0 and 1"),
        ([0, 1], [0.1, np.nan], "1 of 2 scores"),
    ],
)
def test_refusals(y, score, words):
    with pytest.raises(InputError, match=words):
        auc(y, score)


def test_exact_interval_of_published_shares():
    # 0 of 10: the upper end is 1 - .025 ** (1 / 10); all of 10 is its mirror image
    assert exact_interval(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert exact_interval(10, 10) == (pytest.approx(0.025**0.1), 1.0)
    # binom.test(7, 20) in R 4.2: 0.1539092 to 0.5921885
    assert exact_interval(7, 20) == pytest.approx((0.1539092, 0.5921885), abs=1e-7)
    assert np.isnan(exact_interval(0, 0)).all()


def test_logit_interval_by_hand_and_within_bounds():
    y, score = [0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6]
    area, error = auc(y, score), np.sqrt(delong_covariance(y, score)[0, 0])
    low, high = np.log(delong_logit_interval(y, score)) - np.log1p(-np.array(delong_logit_interval(y, score)))
    centre = np.log(area / (1 - area))
    assert (low + high) / 2 == pytest.approx(centre)
    assert high - centre == pytest.approx(1.959964 * error / area / (1 - area))
    assert np.isnan(delong_logit_interval([0, 0, 1, 1], [1, 2, 3, 4])).all()


def test_partial_areas_by_hand():
    # the curve runs (specificity, sensitivity) (0, 1) (1/2, 1) (1/2, 1/2) (1, 1/2) (1, 0)
    y, score = [0, 0, 1, 1], [1, 3, 2, 4]
    assert partial_auc(y, score, 0.5, 1.0) == pytest.approx(0.5 * 0.5)
    assert partial_auc(y, score, 0.25, 0.75) == pytest.approx(0.25 * 1 + 0.25 * 0.5)
    assert partial_auc(y, score, 0.5, 1.0, over="sensitivity") == pytest.approx(0.5 * 0.5)
    assert partial_auc([0, 1], [5, 5], 0.0, 0.5) == pytest.approx(0.5 * (1 + 0.5) / 2)  # the chance line
    for bounds in ((0.5, 0.5), (-0.1, 1), (0, 1.1)):
        with pytest.raises(InputError, match="two bounds"):
            partial_auc(y, score, *bounds)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from(["specificity", "sensitivity"]))
def test_parts_of_the_area_add_up(seed, over):
    rng = np.random.default_rng(seed)
    y, score = np.r_[0, 1, rng.integers(0, 2, 10)], rng.integers(0, 6, 12)
    cuts = np.r_[0, np.sort(rng.choice([0.1, 0.2, 0.25, 0.5, 2 / 3, 0.75], 2, replace=False)), 1]
    parts = [partial_auc(y, score, low, high, over) for low, high in pairwise(cuts)]
    assert sum(parts) == pytest.approx(auc(y, score))


def test_nearest_point_to_the_corner():
    # points (sensitivity, specificity) (1, 0) (1, 1/2) (1/2, 1/2) (1/2, 1) (0, 1): two are nearest
    assert closest_to_corner([0, 0, 1, 1], [1, 3, 2, 4]) == {"threshold": 1.5, "sensitivity": 1.0, "specificity": 0.5}


def test_rank_correlations_by_counting_pairs():
    # of 6 pairs 4 are concordant, none discordant, 2 tied; there are 10 pairs of units
    found = rank_correlations([0, 0, 0, 1, 1], [1, 2, 2, 2, 3])
    assert found == {"dxy": pytest.approx(4 / 6), "gamma": pytest.approx(1.0), "tau_a": pytest.approx(4 / 10)}
    assert np.isnan(rank_correlations([0, 1], [2, 2])["gamma"])


def test_equal_scores_cannot_be_compared():
    y, score = [0, 0, 0, 1, 1, 1], np.array([1, 2, 4, 3, 5, 6])
    assert np.isnan(delong_test(y, score, 2 * score + 1)["p"])
    there, back = delong_test(y, score, score[::-1]), delong_test(y, score[::-1], score)
    assert (there["z"], there["p"]) == (pytest.approx(-back["z"]), pytest.approx(back["p"]))


def test_curve_by_hand():
    curve = roc_curve([0, 0, 1, 1], [1, 3, 2, 4])
    assert curve["threshold"].tolist() == [-np.inf, 1.5, 2.5, 3.5, np.inf]
    assert curve["sensitivity"].tolist() == [1, 1, 0.5, 0.5, 0]
    assert curve["specificity"].tolist() == [0, 0.5, 0.5, 1, 1]


def test_the_band_of_a_roc_curve_is_that_of_a_binomial_share_where_only_events_vary():
    """A thousand non-events fix the threshold; then the sensitivity of 40 events is a binomial share of them."""
    rng = np.random.default_rng(3)
    score = np.concatenate([np.linspace(0, 1, 1000), np.linspace(0.2, 1.4, 40)])
    event = np.repeat([0, 1], [1000, 40])
    draws = [np.concatenate([np.arange(1000), 1000 + rng.integers(0, 40, 40)]) for _ in range(4000)]
    band = roc_band(event, score, draws)
    curve = roc_curve(event, score)
    at = int(np.argmin(np.abs(curve["specificity"] - 0.9)))
    share = (score[1000:] > 0.9).mean()
    expected = binom.ppf([0.025, 0.975], 40, share) / 40
    np.testing.assert_allclose(band.loc[at, ["low", "high"]], expected, atol=1 / 40 + 1e-9)  # a step of the share


def test_the_band_of_a_perfect_score_has_no_width_and_needs_both_classes():
    event, score = [0, 0, 1, 1], [1.0, 2, 3, 4]
    band = roc_band(event, score, [np.array([0, 1, 2, 3]), np.array([0, 2, 2, 2]), np.array([2, 3, 2, 3])])
    assert (band == 1).all(axis=None)
    assert roc_band(event, score, [np.array([2, 3, 2, 3])]).isna().all(axis=None)
