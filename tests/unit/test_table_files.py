import errno
import os

import numpy as np
import pandas as pd
import pytest

from nenflow.errors import InputError
from nenflow.records import CASE
from nenflow.tables import read_table, read_tables, write_table


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


FEATURES = pd.DataFrame(
    {
        "patient": ["007", "1e5", "P3"],
        "phase": "arterial",
        "region": ["1", "02", "patient"],
        "rater": "reader1",
        "original_shape_Volume": [1 / 3, 5e-324, np.nan],
        "original_glcm_Contrast": [0.1 + 0.2, -1.7976931348623157e308, np.inf],
        "original_glszm_ZoneEntropy": [np.nan] * 3,
    }
)


@pytest.mark.parametrize("rows", [3, 0])
def test_parquet_holds_a_table_of_features_to_the_last_bit_and_identifiers_as_text(tmp_path, rows):
    for name in ("features.parquet", "again.parquet", "features.csv"):
        write_table(FEATURES[:rows], tmp_path / name)
    assert (tmp_path / "features.parquet").read_bytes()[:4] == b"PAR1"
    assert (tmp_path / "features.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()
    found = read_table(tmp_path / "features.parquet")
    pd.testing.assert_frame_equal(found, read_table(tmp_path / "features.csv"), check_exact=True, check_dtype=rows > 0)
    assert found[CASE].to_numpy().tolist() == FEATURES[:rows][CASE].to_numpy().tolist()
    kept = found.drop(columns=CASE).to_numpy(float)
    np.testing.assert_array_equal(kept, FEATURES[:rows].drop(columns=CASE).to_numpy(float))
    pd.testing.assert_frame_equal(read_table(tmp_path / "features.parquet", index=CASE), found.set_index(CASE))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's device that is always full")
@pytest.mark.parametrize("name", ["features.csv", "features.parquet"])
def test_a_full_disk_is_told_as_the_system_tells_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr("nenflow.files._beside", lambda path: full)
    full = tmp_path / f"full-{name}"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_table(FEATURES, tmp_path / name)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-9], lambda content: content[:40] + bytes(len(content) - 40)]
)
def test_a_damaged_parquet_file_is_named_with_what_to_do(tmp_path, damage):
    path = tmp_path / "features.parquet"
    write_table(FEATURES, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        InputError, match=r"features\.parquet is damaged or gone: delete it and run the same command again"
    ):
        read_table(path)
