import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from nenflow.errors import InputError
from nenflow.models.logistic import fit_logistic, is_separated, likelihood_ratio, profile_interval

EXACT = 1e-8
INTERPOLATED = 1e-3  # R 4.2 interpolates profiles
PRINTED = 6e-4  # three decimals in print

# Table 2 of the surufatinib study: lesions per level, effective and ineffective (levels coded 1, 2, 3 ...), and from
# its table 3 the odds ratio with profile-likelihood interval and Wald p, one digit more precise as R gives them.
SURUFATINIB = {
    "extrahepatic": ([[23, 52], [4, 52]], (5.750, 2.041, 20.637), 0.0024),
    "NSE": ([[10, 14], [17, 90]], (3.782, 1.425, 9.941), 0.0068),
    "location": ([[11, 68], [16, 36]], (0.364, 0.149, 0.858), 0.0224),
    "surgery": ([[20, 68], [7, 36]], (1.513, 0.606, 4.160), 0.3936),
    "grade": ([[3, 10], [16, 36], [4, 9], [4, 49]], (1.712, 1.138, 2.667), 0.0125),
    "diameter": ([[24, 62], [3, 35], [0, 7]], (4.936, 1.724, 21.011), 0.0097),
    "number": ([[12, 35], [15, 48], [0, 21]], (2.007, 1.051, 4.059), 0.0418),
}


def lesions(counts):
    """Level (coded from 1) and outcome (1 = ineffective) of each lesion in a table of counts."""
    levels = np.repeat(np.arange(1, len(counts) + 1), np.sum(counts, axis=1))
    outcome = np.concatenate([np.repeat([0, 1], row) for row in counts])
    return levels[:, None].astype(float), outcome


@pytest.mark.parametrize("variable", SURUFATINIB)
def test_published_odds_ratios(variable):
    counts, (ratio, low, high), p = SURUFATINIB[variable]
    X, y = lesions(counts)
    fit = fit_logistic(X, y)
    assert np.exp(fit.coef[1]) == pytest.approx(ratio, abs=PRINTED)
    assert np.exp(profile_interval(X, y, 0)) == pytest.approx((low, high), rel=INTERPOLATED, abs=PRINTED)
    assert fit.p[1] == pytest.approx(p, abs=PRINTED / 10)


def test_separated_likelihood_ratio_is_that_of_the_supremum():
    # 6 of 6 against 4 of 10: the supremum of the likelihood is that of the second group alone
    X = np.repeat([1.0, 0.0], [6, 10])[:, None]
    y = np.repeat([1, 0], [10, 6])
    full = 4 * np.log(0.4) + 6 * np.log(0.6)
    null = 10 * np.log(10 / 16) + 6 * np.log(6 / 16)
    assert fit_logistic(X, y).separated
    assert fit_logistic(X, y).log_likelihood == pytest.approx(full, abs=1e-9)
    assert likelihood_ratio(X, y, 0) == pytest.approx(chi2.sf(2 * (full - null), 1), abs=1e-9)


def test_firth_of_a_two_by_two_table_adds_half_to_each_cell():
    X = np.repeat([1.0, 0.0], [6, 10])[:, None]
    y = np.repeat([1, 0], [10, 6])
    fit = fit_logistic(X, y, firth=True)
    assert fit.coef[1] == pytest.approx(np.log(6.5 * 6.5 / (0.5 * 4.5)), abs=EXACT)


@pytest.mark.parametrize(
    ("X", "y", "separated"),
    [
        ([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1], True),  # complete
        ([0, 1, 2, 2, 3, 4], [0, 0, 0, 1, 1, 1], True),  # quasi-complete: a tie on the border
        ([0, 1, 3, 2, 4, 5], [0, 0, 0, 1, 1, 1], False),  # one pair out of order
        ([2, 2, 2, 2, 2, 2], [0, 0, 0, 1, 1, 1], False),  # no variation
        ([1e6, 1e6 + 1, 1e6 + 3, 1e6 + 2, 1e6 + 4, 1e6 + 5], [0, 0, 0, 1, 1, 1], False),
        ([0, 1e-6, 2e-6, 3e-6, 4e-6, 5e-6], [0, 0, 0, 1, 1, 1], True),
    ],
)
def test_separation_by_one_variable(X, y, separated):
    assert fit_logistic(np.array(X, float)[:, None], np.array(y)).separated is separated


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_separation_agrees_with_its_definition(seed):
    """In one dimension separation is a matter of sorting; the shortcut by a vanishing score must not miss it."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, size=12).astype(float), rng.integers(0, 2, size=12)
    if y.min() == y.max() or x.min() == x.max():
        return
    events, others = x[y == 1], x[y == 0]
    by_sorting = events.min() >= others.max() or others.min() >= events.max()
    assert fit_logistic(x[:, None], y).separated is bool(by_sorting)
    assert is_separated(x[:, None], y) is bool(by_sorting)


def test_two_variables_separate_together():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    assert not fit_logistic(X[:, :1], y).separated
    assert fit_logistic(X, y).separated
    y[np.argmax(X.sum(axis=1))] = 0  # one clear exception overlaps
    assert not fit_logistic(X, y).separated


def test_far_but_not_separated_is_no_separation():
    # 200 lesions apart by far and two exceptions: probabilities of 0 and 1 to many digits, yet the maximum exists
    x = np.concatenate([np.linspace(-300, -100, 100), np.linspace(100, 300, 100), [1.0, -1.0]])
    y = np.concatenate([np.zeros(100), np.ones(100), [0, 1]])
    fit = fit_logistic(x[:, None], y)
    assert np.abs(fit.linear_predictor(x[:, None])).max() > 15
    assert not fit.separated
    probability = 1 / (1 + np.exp(-fit.linear_predictor(x[:, None])))
    assert abs(x @ (y - probability)) < 1e-6


def test_aliased_variables_have_no_effect():
    rng = np.random.default_rng(2)
    x = rng.normal(size=50)
    y = (x + rng.normal(size=50) > 0).astype(int)
    alone = fit_logistic(x[:, None], y)
    fit = fit_logistic(np.column_stack([x, np.full(50, 3.0), 2 * x - 1]), y)
    assert fit.aliased.tolist() == [False, False, True, True]
    assert fit.p[2:].tolist() == [1, 1]
    np.testing.assert_allclose(fit.coef, [*alone.coef, 0, 0], atol=1e-10)
    assert likelihood_ratio(np.column_stack([x, 2 * x]), y, 1) == 1


def test_model_without_variables():
    y = np.repeat([1, 0], [30, 10])
    fit = fit_logistic(np.empty((40, 0)), y)
    assert fit.coef[0] == pytest.approx(np.log(3), abs=1e-12)
    assert fit.se[0] == pytest.approx(np.sqrt(1 / 30 + 1 / 10), rel=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_shift_scale_and_order_change_nothing_that_matters(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(40, 3)), np.r_[rng.integers(0, 2, size=38), 0, 1]
    fit = fit_logistic(X, y)
    if fit.separated:
        return
    order, shift, scale = rng.permutation(40), rng.normal(size=3) * 10, rng.uniform(0.1, 10, size=3)
    other = fit_logistic(((X + shift) * scale)[order], y[order])
    np.testing.assert_allclose(other.coef[1:] * scale, fit.coef[1:], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(other.p[1:], fit.p[1:], rtol=1e-6)
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-9)


def test_likelihood_ratio_of_several_variables_is_that_of_two_fits():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(80, 4))
    X = np.column_stack([X, X[:, 0] + X[:, 1]])  # aliased: it costs no degree of freedom
    y = (X[:, 0] + rng.normal(size=80) > 0).astype(int)
    drop = 2 * (fit_logistic(X[:, :4], y).log_likelihood - fit_logistic(X[:, [0, 2]], y).log_likelihood)
    assert likelihood_ratio(X, y, [1, 3, 4]) == pytest.approx(chi2.sf(drop, 2), rel=1e-9)
    assert likelihood_ratio(X, y, [2]) == likelihood_ratio(X, y, 2)
    assert likelihood_ratio(X, y, [4]) == 1


def test_refusals():
    with pytest.raises(InputError, match="same in all lesions"):
        fit_logistic(np.arange(5.0)[:, None], np.ones(5))
    with pytest.raises(InputError, match="missing values"):
        fit_logistic(np.array([[1.0], [np.nan], [2.0]]), np.array([0, 1, 1]))
    with pytest.raises(InputError, match="must be 0 or 1"):
        fit_logistic(np.arange(4.0)[:, None], np.array([1, 2, 1, 2]))
