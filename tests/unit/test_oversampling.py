import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import auc
from nenflow.models.oversampling import ORIGINAL, SYNTHETIC, grow, inside_folds, oversample

METHODS = ["adasyn", "smote"]
ROUNDING = 1e-9
PUBLISHED = {0: 15 + 87, 1: 10 + 90}  # the synthetic cohort of the everolimus study, from 25 patients


def cohort(seed=0, sizes=(15, 10), features=6, region="liver"):
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    y = rng.permutation(np.repeat([0, 1], sizes))
    values = (rng.normal(size=(n, features)) + 0.5 * y[:, None]) * np.geomspace(1e-3, 1e3, features)
    index = pd.MultiIndex.from_arrays([[f"P{i:02d}" for i in range(n)], [region] * n], names=["patient", "region"])
    return pd.DataFrame(values, index=index).add_prefix("f"), pd.Series(y, index=index, name="outcome")


@pytest.mark.parametrize("method", METHODS)
def test_both_classes_are_grown_to_the_published_counts(method):
    X, y = cohort()
    grown, outcome, origin = oversample(X, y, PUBLISHED, method, seed=3)
    assert outcome[origin == SYNTHETIC].value_counts().to_dict() == {0: 87, 1: 90}
    assert origin.value_counts().to_dict() == {SYNTHETIC: 177, ORIGINAL: 25}
    pd.testing.assert_frame_equal(grown[origin == ORIGINAL], X, check_exact=True)
    pd.testing.assert_series_equal(outcome[origin == ORIGINAL], y)
    assert list(grown.index[25:27]) == [("synthetic-001", "liver"), ("synthetic-002", "liver")]
    assert grown.index.is_unique
    assert (grown.index == outcome.index).all()
    assert (grown.index == origin.index).all()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(st.integers(4, 30), st.integers(4, 30)),
    more=st.tuples(st.integers(0, 120), st.integers(0, 120)),
    method=st.sampled_from(METHODS),
    neighbours=st.integers(1, 3),
)
def test_counts_are_exact_and_every_row_lies_between_two_of_its_class(seed, sizes, more, method, neighbours):
    X, y = cohort(seed, sizes, features=3)
    counts = {label: sizes[label] + more[label] for label in (0, 1)}
    try:
        grown, outcome = grow(X.to_numpy(), y.to_numpy(), counts, method, neighbours, seed)
    except InputError:
        reject()  # classes that lie apart, see below
    assert np.bincount(outcome).tolist() == [counts[0], counts[1]]
    sd = X.to_numpy().std(axis=0, ddof=1)
    for row, label in zip(grown[len(X) :] / sd, outcome[len(X) :], strict=True):
        assert distance_to_segments(row, X.to_numpy()[y == label] / sd) < ROUNDING


def distance_to_segments(point, corners):
    """From a point to the nearest line between two of the corners."""
    ends = corners[None, :, :] - corners[:, None, :]
    offset = point - corners[:, None, :]
    length = np.maximum((ends**2).sum(axis=-1), 1e-300)
    share = np.clip((offset * ends).sum(axis=-1) / length, 0, 1)
    return np.sqrt(((offset - share[..., None] * ends) ** 2).sum(axis=-1)).min()


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_and_origin_of_a_feature_do_not_matter(method):
    X, y = cohort(1)
    base = oversample(X, y, PUBLISHED, method, seed=1)[0]
    moved = oversample(X * 1000 + 5e4, y, PUBLISHED, method, seed=1)[0]
    np.testing.assert_allclose(moved, base * 1000 + 5e4, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_alone_decides(method):
    X, y = cohort(2)
    first, again, other = (oversample(X, y, PUBLISHED, method, seed=seed)[0] for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert not np.allclose(first, other)
    alone = oversample(X, y, {1: PUBLISHED[1]}, method, seed=1)[0]
    np.testing.assert_array_equal(alone.iloc[25:], first.iloc[25 + 87 :])  # each class by itself


def test_adasyn_grows_beside_the_other_class_and_smote_everywhere():
    """One feature: of the ten rows of class 1, two lie among class 0."""
    values = np.concatenate([np.linspace(0, 1, 20), [0.4, 0.6], np.linspace(5, 6, 8)])
    y = np.repeat([0, 1], [20, 10])
    counts = {1: 510}
    # Only the two have neighbours of class 0, so all is grown from them; SMOTE grows a tenth from each row.
    by_adasyn = grow(values[:, None], y, counts, "adasyn", neighbours=1)[0][30:, 0]
    by_smote = grow(values[:, None], y, counts, "smote", neighbours=1)[0][30:, 0]
    assert ((by_adasyn >= 0.4) & (by_adasyn <= 0.6)).all()
    assert np.mean(by_smote < 1) == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 500))


def test_without_counts_the_classes_become_equal():
    X, y = cohort(3)
    assert oversample(X, y)[1].value_counts().to_dict() == {0: 15, 1: 15}
    balanced = oversample(*cohort(3, sizes=(10, 10)))
    assert len(balanced[0]) == 20


def test_inside_folds_grows_the_training_rows_it_is_given():
    X, y = cohort(4)
    enrich = inside_folds("adasyn", {0: 40, 1: 50}, seed=7)
    for left_out in range(5):
        rows = np.arange(25) % 5 != left_out
        values, outcome = enrich(X.to_numpy()[rows], y.to_numpy()[rows])
        assert np.bincount(outcome).tolist() == [40, 50]
        np.testing.assert_array_equal(values[: rows.sum()], X.to_numpy()[rows])
        np.testing.assert_array_equal(enrich(X.to_numpy()[rows], y.to_numpy()[rows])[0], values)
    values, outcome = inside_folds("smote")(X.to_numpy(), y.to_numpy().astype(float))
    assert np.bincount(outcome.astype(int)).tolist() == [15, 15]
    assert outcome.dtype == float


def test_a_feature_without_variation_stays_as_it_is():
    X, y = cohort(5)
    grown = oversample(X.assign(f1=0.1), y, PUBLISHED)[0]
    np.testing.assert_allclose(grown["f1"], 0.1, rtol=1e-15)


def test_a_cohort_grown_from_permuted_outcomes_seems_to_tell_them_apart():
    """Why a synthetic cohort is no validation: grown from noise, it repeats the noise."""
    areas = []
    for seed in range(20):
        X, y = cohort(seed, features=40)
        y = pd.Series(np.random.default_rng(seed).permutation(y), index=y.index)
        best = max(X.columns, key=lambda name: abs(auc(y, X[name]) - 0.5))
        grown, outcome, origin = oversample(X, y, PUBLISHED, seed=seed)
        new = origin == SYNTHETIC
        area = auc(outcome[new], grown.loc[new, best])
        areas.append(max(area, 1 - area))
    assert np.mean(areas) > 0.6


def test_regions_of_synthetic_rows_are_made_up_only_where_originals_differ():
    X, y = cohort(6)
    X.index = y.index = pd.MultiIndex.from_arrays(
        [X.index.get_level_values(0), [f"L{i % 3}" for i in range(25)]], names=["patient", "region"]
    )
    assert set(oversample(X, y)[0].index.get_level_values("region")[25:]) == {"synthetic"}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda X, y: (X, y), {"counts": {0: 14, 1: 20}}, "Class 0 has 15 rows and 14 are wanted"),
        (lambda X, y: (X, y), {"counts": {2: 20}}, "class 0 and of class 1"),
        (lambda X, y: (X, y), {"method": "mixup"}, "adasyn or smote"),
        (lambda X, y: (X, y), {"neighbours": 10}, "lower neighbours to 9"),
        (lambda X, y: cohort(7, sizes=(15, 1)), {}, "one row"),
        (lambda X, y: (X, y * 0), {}, "same in all rows"),
        (lambda X, y: (X, y * 2), {}, "0 or 1"),
        (lambda X, y: (X, pd.DataFrame({"time": 1.0, "event": y})), {}, "no times"),
        (lambda X, y: (X.assign(f1=np.nan), y), {}, "value of every feature"),
        (lambda X, y: (X.assign(sex=y), y), {}, "'sex' is coded 0 and 1"),
        (lambda X, y: (X + 1e9 * y.to_numpy()[:, None], y), {}, "use smote"),
        (lambda X, y: (X.rename(index={"P00": "synthetic-001"}, level=0), y), {}, "synthetic rows already"),
    ],
)
def test_what_cannot_be_grown_is_refused(change, options, message):
    X, y = change(*cohort(7))
    with pytest.raises(InputError, match=message):
        oversample(X, y, **options)
