import shutil

import pytest

from nenflow.files import remove_parts, whole_file, whole_folder, write_text


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
    with whole_folder(path) as part:
        (part / "cases.csv").touch()
        assert names(path) == ["stale.png"]
    assert names(path) == ["cases.csv"]
    assert names(tmp_path) == ["P001"]


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


def test_what_killed_jobs_left_of_some_results_is_removed(tmp_path):
    kept = [".part-1-P0011", ".part-one-P001", "P001", "table.csv"]  # the first of a patient whose job may be running
    for name in [*kept[:3], ".part-1-P001", ".part-22-P001"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "scan.nii.gz").touch()
    for name in ["table.csv", ".part-1-table.csv"]:
        (tmp_path / name).touch()
    remove_parts([tmp_path / "P001", tmp_path / "table.csv", tmp_path / "nowhere/table.csv"])
    assert names(tmp_path) == kept
    assert names(tmp_path / "P001") == ["scan.nii.gz"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_job_whose_part_was_removed_fails_and_leaves_nothing(tmp_path, whole):
    def outlive(path):
        with whole(path) as part:
            (part / "scan.nii.gz" if part.is_dir() else part).touch()
            remove_parts([path])

    with pytest.raises(FileNotFoundError):
        outlive(tmp_path / "P001")
    assert names(tmp_path) == []
