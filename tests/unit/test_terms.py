import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from nenflow.errors import InputError
from nenflow.models.steps import Terms
from nenflow.models.terms import factor_columns, spline_columns, spline_knots, term_of, terms_of


def test_names_of_terms():
    assert [term_of(name) for name in ("age", "age'", "age''", "race=black", "size=a=b'")] == [
        *("age", "age", "age", "race", "size"),
    ]
    assert terms_of(["age", "race=black", "age'", "race=other"]) == {
        "age": ["age", "age'"],
        "race": ["race=black", "race=other"],
    }


@pytest.mark.parametrize(
    ("count", "quantiles"),
    [
        (3, [0.1, 0.5, 0.9]),
        (4, [0.05, 0.35, 0.65, 0.95]),
        (5, [0.05, 0.275, 0.5, 0.725, 0.95]),
        (6, [0.05, 0.23, 0.41, 0.59, 0.77, 0.95]),
        (7, [0.025, 0.1833, 0.3417, 0.5, 0.6583, 0.8167, 0.975]),
    ],
)
def test_knots_stand_at_harrells_quantiles(count, quantiles):
    """Table 2.3 of Harrell, Regression Modeling Strategies (2015); 0 to 10000 has its quantiles at 10000 times them."""
    knots = spline_knots(np.random.default_rng(1).permutation(np.arange(10001.0)), count)
    np.testing.assert_allclose(knots, np.array(quantiles) * 10000, atol=0.5)


def test_outer_knots_of_few_values_are_the_fifth():
    x = np.append(np.random.default_rng(1).permutation(np.arange(99.0)), np.nan)
    assert spline_knots(x, 3).tolist() == [4, 49, 94]
    assert spline_knots(np.arange(100.0), 3).tolist() == pytest.approx([9.9, 49.5, 89.1])


def test_spline_is_straight_outside_and_scaled_as_rms_does():
    knots = [1.0, 3, 4, 8]
    inside = spline_columns(np.array([2.0]), knots)
    # between the first two knots: (x - t1)^3 / (tk - t1)^2
    assert inside.tolist() == [[2.0, 1 / 49, 0.0]]
    below = spline_columns(np.array([-5.0, 0.9]), knots)
    assert (below[:, 1:] == 0).all()
    above = spline_columns(np.array([8.0, 9, 10, 11]), knots)
    np.testing.assert_allclose(np.diff(above, n=2, axis=0), 0, atol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(3, 7))
def test_spline_spans_the_natural_cubic_splines(seed, count):
    x = np.random.default_rng(seed).normal(50, 10, size=120)
    knots = spline_knots(x, count)
    inside = np.linspace(knots[0], knots[-1], 50)
    ours = np.column_stack([np.ones(50), spline_columns(inside, knots)])
    theirs = CubicSpline(knots, np.eye(count), bc_type="natural")(inside)
    fitted = theirs @ np.linalg.lstsq(theirs, ours, rcond=None)[0]
    np.testing.assert_allclose(fitted, ours, atol=1e-9 * np.abs(ours).max())
    assert np.linalg.matrix_rank(ours) == count


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(-100, 100), st.floats(0.01, 100))
def test_a_spline_does_not_depend_on_the_unit(seed, shift, scale):
    x = np.random.default_rng(seed).normal(size=150)
    bends = spline_columns(x, spline_knots(x, 4))[:, 1:]
    other = (x + shift) * scale
    np.testing.assert_allclose(spline_columns(other, spline_knots(other, 4))[:, 1:] / scale, bends, atol=1e-6)


def test_factor_columns():
    x = np.array([1, 3, 2, np.nan])
    np.testing.assert_array_equal(
        factor_columns(x, ["white", "black", "other"]), [[0, 0], [0, 1], [1, 0], [np.nan, np.nan]]
    )
    for wrong in (0, 4, 1.5):
        with pytest.raises(InputError, match=f"there is a value {wrong:g}"):
            factor_columns(np.array([1, wrong]), ["white", "black", "other"])


def test_step_learns_knots_from_the_rows_that_are_fitted():
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"Radscore": rng.normal(size=60), "age": rng.normal(60, 9, size=60), "race": [1.0, 2, 3] * 20})
    step = Terms(factors={"race": ["white", "black", "other"]}, splines={"age": 3}).fit(X.iloc[:40])
    assert step.document()["knots"]["age"] == spline_knots(X["age"][:40], 3).tolist()
    out = step.transform(X)
    assert list(out.columns) == ["Radscore", "age", "age'", "race=black", "race=other"]
    np.testing.assert_array_equal(out[["age", "age'"]], spline_columns(X["age"], step.document()["knots"]["age"]))
    assert out["race=other"].tolist() == [0, 0, 1] * 20
    pd.testing.assert_frame_equal(Terms.from_document(step.document()).transform(X.iloc[::-1]), out.iloc[::-1])
    # a level that training rows lack still has its column
    assert list(step.transform(X[X["race"] != 2]).columns) == list(out.columns)


def test_missing_values_stay_missing():
    X = pd.DataFrame({"age": np.append(np.arange(50.0), np.nan), "race": np.append(np.nan, np.ones(50))})
    out = Terms(factors={"race": ["white", "black"]}, splines={"age": 3}).fit(X).transform(X)
    assert out.isna().sum().tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splines": {"age": 2}}, "3 to 7 knots, not 2"),
        ({"splines": {"stage": 4}}, "variable stage: .* too few different values"),
        ({"splines": {"height": 3}}, "lacks 1 variable.*height"),
        ({"factors": {"sex": ["f", "m"]}}, "lacks 1 variable.*sex"),
        ({"factors": {"stage": ["1", "2"]}, "splines": {"stage": 3}}, "stage cannot be a factor and a spline"),
    ],
)
def test_mistakes_are_named(options, message):
    X = pd.DataFrame({"age": np.arange(50.0), "stage": [1.0, 2] * 25})
    with pytest.raises(InputError, match=message):
        Terms(**options).fit(X)
