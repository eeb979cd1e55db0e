import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nenflow.models.copies import without_copies


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([1, 3, 20]))
def test_rows_are_those_they_are_copies_of(seed, different, columns):
    rng = np.random.default_rng(seed)
    table = np.zeros((different, columns))  # alike but for the last column, beyond the first look
    table[:, -1] = rng.permutation(different)
    drawn = rng.integers(0, different, 30)
    first, copy_of = without_copies(table[drawn])
    np.testing.assert_array_equal(table[drawn][first[copy_of]], table[drawn])
    assert len(first) == len(np.unique(drawn))
    np.testing.assert_array_equal(first, np.sort(np.unique(drawn, return_index=True)[1]))
