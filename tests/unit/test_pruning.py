import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from nenflow.errors import InputError
from nenflow.models.pruning import METHODS, prune, unit_ranks

EXACT = 1e-12  # rounding only
PATIENT = settings(max_examples=40)  # the first call may compile


def features(seed, n=40, p=14):
    """Features in correlated blocks, some of them tied."""
    rng = np.random.default_rng([seed, 1])
    X = rng.normal(size=(n, 4)) @ rng.normal(size=(4, p)) + rng.normal(size=(n, p)) * 0.6
    X[:, ::5] = np.round(X[:, ::5])
    return X


def by_definition(rho, threshold, exact):
    """What caret::findCorrelation says it does, pair by pair and with nothing kept."""
    p = len(rho)
    size = np.abs(rho) - np.eye(p)
    if not exact:
        mean, gone = np.abs(rho).mean(axis=0), set()
        for i in range(p):
            for j in range(i + 1, p):
                if size[i, j] > threshold:
                    gone.add(j if mean[j] > mean[i] else i)
        return gone
    gone = set()
    order = sorted(range(p), key=lambda j: -size[j].sum())
    for a, i in enumerate(order):
        for j in order[a + 1 :]:
            if i not in gone and j not in gone and size[i, j] > threshold:
                left = [k for k in range(p) if k not in gone]
                own = np.mean([size[i, k] for k in left if k != i])
                others = np.mean([size[r, k] for r in left for k in left if r != j and k != r])
                gone.add(i if own > others else j)
    return gone


@PATIENT
@given(st.integers(0, 10_000), st.floats(0.3, 0.95))
def test_caret_by_its_definition(seed, threshold):
    X = features(seed)
    rho = spearmanr(X).statistic
    for method in ("caret-exact", "caret-fast"):
        rival, _ = prune(X, threshold, method)
        assert set(np.flatnonzero(rival >= 0)) == by_definition(rho, threshold, method == "caret-exact")


@pytest.mark.parametrize("method", METHODS)
@PATIENT
@given(seed=st.integers(0, 10_000), threshold=st.floats(0.3, 0.95))
def test_no_pair_beyond_the_threshold_is_left_and_every_drop_has_one(method, seed, threshold):
    X = features(seed)
    rho = spearmanr(X).statistic
    rival, found = prune(X, threshold, method)
    kept = np.flatnonzero(rival < 0)
    left = np.abs(rho[np.ix_(kept, kept)] - np.eye(len(kept)))
    assert left.max(initial=0) <= threshold + EXACT
    for j in np.flatnonzero(rival >= 0):
        assert found[j] == pytest.approx(rho[j, rival[j]], abs=EXACT)
        assert abs(found[j]) > threshold
    assert not found[kept].any()


@pytest.mark.parametrize("method", METHODS)
@PATIENT
@given(seed=st.integers(0, 10_000))
def test_units_and_monotone_scales_do_not_matter(method, seed):
    X = features(seed)
    scaled = np.exp(X / np.abs(X).max(axis=0)) * 7 - 3
    np.testing.assert_array_equal(prune(X, 0.6, method)[0], prune(scaled, 0.6, method)[0])


def test_keep_first_follows_the_order_of_the_features():
    x = np.arange(12.0)
    noise = np.random.default_rng(1).normal(size=12)
    X = np.column_stack([noise, x, x**2, -x, noise * 2])
    rival, rho = prune(X, 0.9)
    assert rival.tolist() == [-1, -1, 1, 1, 0]
    np.testing.assert_allclose(rho, [0, 0, 1, -1, 1], atol=EXACT)


def test_ranks_give_spearmans_rho():
    X = features(3)
    ranks = unit_ranks(X)
    np.testing.assert_allclose(ranks @ ranks.T, spearmanr(X).statistic, atol=EXACT)
    rows = np.random.default_rng(1).integers(0, len(X), len(X))  # copies are ranked once
    ranks = unit_ranks(X[rows])
    assert ranks.shape[1] == len(np.unique(rows)) < len(X)
    np.testing.assert_allclose(ranks @ ranks.T, spearmanr(X[rows]).statistic, atol=EXACT)


@pytest.mark.parametrize("method", METHODS)
def test_constant_single_and_refused(method):
    X = np.column_stack([np.ones(8), np.arange(8.0), np.ones(8)])
    assert prune(X, 0.9, method)[0].tolist() == [-1, -1, -1]
    assert prune(X[:, 1:2], 0.9, method)[0].tolist() == [-1]
    assert prune(X[:, :0], 0.9, method)[0].tolist() == []
    with pytest.raises(InputError, match="value of every feature"):
        prune(np.where(X > 5, np.nan, X), 0.9, method)
    with pytest.raises(InputError, match="between 0 and 1"):
        prune(X, 90, method)


def test_unknown_methods_are_refused():
    with pytest.raises(InputError, match="must be one of keep-first"):
        prune(features(0), 0.9, "caret")
