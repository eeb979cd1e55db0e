import shutil

import pytest

from nenflow.files import whole_file, whole_folder, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "table.csv"
    with whole_file(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.suffix == ".csv"  # libraries choose the format by it
    assert path.read_text() == "half"
    assert names(path.parent) == ["table.csv"]


def fill_disk(part, name):
    """Writes something, then fails as a full disk does."""
    (part / name if name else part).write_text("ha")
    raise OSError("disk is full")


def test_a_file_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "table.csv"
    write_text("whole", path)
    with pytest.raises(OSError, match="disk"), whole_file(path) as part:
        fill_disk(part, "")
    assert path.read_text() == "whole"
    assert names(tmp_path) == ["table.csv"]


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    path = tmp_path / "P001"
    path.mkdir()
    (path / "stale.png").touch()
    left = tmp_path / ".part-1-P001"  # of a job that was killed
    left.mkdir()
    (left / "scan.nii.gz").touch()
    other = tmp_path / ".part-1-P0011"  # of another patient, whose job may be running
    other.mkdir()
    with whole_folder(path) as part:
        (part / "cases.csv").touch()
        assert names(path) == ["stale.png"]
    assert names(path) == ["cases.csv"]
    assert names(tmp_path) == [".part-1-P0011", "P001"]


def test_a_folder_that_fails_is_not_there(tmp_path):
    with pytest.raises(OSError, match="disk"), whole_folder(tmp_path / "P001") as part:
        fill_disk(part, "scan.nii.gz")
    assert names(tmp_path) == []


def test_a_folder_that_another_run_removed_on_the_way_is_not_taken_for_whole(tmp_path):
    def interrupted():
        with whole_folder(tmp_path / "P001") as part:
            (part / "scan.nii.gz").touch()
            shutil.rmtree(part)
            write_text("the rest", part / "cases.csv")

    with pytest.raises(FileExistsError):
        interrupted()
    assert names(tmp_path) == []
