import numpy as np
import pandas as pd

from nenflow.tables import read_tables, write_table


def test_tables_below_each_other_are_as_read_one_by_one(tmp_path):
    """Also with other columns, without rows, with text over several lines, and numbers in one file only."""
    tables = [
        pd.DataFrame({"patient": ["007", "1e5"], "original_shape_Volume": [1 / 3, np.nan]}),
        pd.DataFrame({"patient": ["P3"], "original_shape_Volume": [2.0]}),
        pd.DataFrame({"patient": ["P4"], "reason": ['two\nlines, and a "quotation"']}),
    ]
    for number, table in enumerate([*tables, tables[0][:0]]):
        write_table(table, tmp_path / f"{number}.csv")
    expected = pd.concat(tables, ignore_index=True)
    pd.testing.assert_frame_equal(read_tables(sorted(tmp_path.glob("*.csv"))), expected, check_dtype=False)
    assert list(read_tables([tmp_path / "3.csv"]).columns) == ["patient", "original_shape_Volume"]
