import numpy as np
import pytest

from nenflow.errors import InputError
from nenflow.models.components import principal_components

EXACT = 1e-9  # rounding of a decomposition


def test_components_are_the_eigenvectors_of_the_correlations():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)) * [1, 1e3, 1e-3, 5] + 7
    found = principal_components(X)
    values, vectors = np.linalg.eigh(np.corrcoef(X.T))
    np.testing.assert_allclose(found.sd**2, values[::-1], atol=EXACT)
    np.testing.assert_allclose(np.abs(found.rotation), np.abs(vectors[:, ::-1]), atol=EXACT)
    np.testing.assert_allclose(found.variance_ratio, values[::-1] / 4, atol=EXACT)
    scores = found.scores(X)
    np.testing.assert_allclose(scores.std(axis=0, ddof=1), found.sd, atol=EXACT)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=EXACT)
    assert (found.rotation[np.argmax(np.abs(found.rotation), axis=0), np.arange(4)] > 0).all()


def test_units_do_not_matter_and_one_direction_is_enough():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 3))
    np.testing.assert_allclose(
        principal_components(X * [1, 1e4, 1e-4] + 3).scores(X * [1, 1e4, 1e-4] + 3),
        principal_components(X).scores(X),
        atol=EXACT,
    )
    line = np.outer(np.arange(10.0), [1, -2, 3])
    assert principal_components(line).enough() == 1
    assert principal_components(X).enough(1.0) == 3


def test_fewer_lesions_than_features():
    X = np.random.default_rng(3).normal(size=(6, 20))
    found = principal_components(X)
    assert found.rotation.shape == (20, 6)
    assert found.enough() <= 5  # six lesions span five dimensions
    assert found.sd[-1] == pytest.approx(0, abs=EXACT)


def test_refusals():
    X = np.random.default_rng(4).normal(size=(6, 3))
    with pytest.raises(InputError, match="column 2"):
        principal_components(X * [1, 0, 1])
    with pytest.raises(InputError, match="no missing value"):
        principal_components(np.where(X > 0, np.nan, X))
    with pytest.raises(InputError, match="two lesions"):
        principal_components(X[:1])
