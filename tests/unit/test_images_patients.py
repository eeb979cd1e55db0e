import errno
import gzip
import json
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from images_files import SPACING, refusal, square, write_series, write_structure
from nenflow.errors import TRIED_AGAIN, InputError
from nenflow.images.cohort import refuse_other_units
from nenflow.images.patients import COLUMNS, READINGS, import_patient
from nenflow.images.quality import check_mask
from nenflow.images.rasters import read_raster, write_nifti
from nenflow.images.segmentations import read_mask
from nenflow.images.volumes import read_volume, readable
from nenflow.logs import note_tries
from nenflow.tables import read_table

CASES = Path(__file__).resolve().parents[2] / "config" / "studies" / "sarcoma" / "cases.csv"
SETTINGS = {"minimum_volume_mm3": 20}
VOXEL_MM3 = np.prod(SPACING)
HEAD = {"patient": "p1", "series": "", "phase": "arterial", "image": "ct", "segmentation": "rs.dcm"}


@pytest.fixture
def data(tmp_path):
    """A patient with one arterial and one broken venous scan."""
    folder = tmp_path / "data"
    write_series(folder / "ct", StudyDescription="Simulated data")
    write_series(folder / "broken", numbers=[0, 1, 3, 4])
    rois = [
        (1, "a", [square(2, 5, 1), square(2, 5, 2)]),
        (2, "a again", [square(3, 6, 1), square(2, 5, 2)]),
        (3, "b", [square(7, 8, 4), square(7, 8, 3), square(6, 8, 2)]),
        (4, "tiny", [square(7, 8, 4)]),
        (5, "nothing", []),
    ]
    write_structure(folder / "rs.dcm", rois)
    return folder


def cases():
    rows = [
        {"region": "a", "rater": "r1", "segment": "a"},
        {"region": "a", "rater": "r1-again", "segment": "2"},
        {"region": "b", "rater": "r1", "segment": "b"},
        {"region": "c", "rater": "r1", "segment": "tiny"},
        {"region": "d", "rater": "r1", "segment": "nothing"},
        {"region": "e", "rater": "r1", "segment": "e"},
        {"region": "f", "rater": "r1", "segment": "a", "segmentation": "lost.dcm", "series": float("nan")},
        {"region": "a", "rater": "r1", "segment": "a", "phase": "venous", "image": "broken"},
    ]
    return [HEAD | row for row in rows]


def test_a_refused_case_is_excluded_and_the_others_go_on(data, tmp_path, capsys):
    folder = tmp_path / "out" / "p1"
    import_patient(cases(), data, folder, SETTINGS, "r1", strict=False)
    table = read_table(folder / "cases.csv")
    assert table.columns.tolist() == COLUMNS
    assert set(table["role"]) == {"drawn"}
    assert table["region"].tolist() == list("aabcdefa")
    assert table["status"].tolist() == ["included"] * 3 + ["excluded"] * 5
    assert table["voxels"].tolist()[:3] == [32, 32, 17]
    assert np.allclose(table["volume_mm3"][:3], np.array([32, 32, 17]) * VOXEL_MM3)
    assert table["reason"].isna().tolist() == [True] * 3 + [False] * 5
    words = ["6 mm3 in 4 voxels", "empty", "no segment 'e'", "does not exist", "A slice is missing"]
    for reason, word in zip(table["reason"][3:], words, strict=True):
        assert word in reason
        assert str(tmp_path) not in reason
    assert "p1 arterial f r1" in (log := capsys.readouterr().out)
    assert str(data / "lost.dcm") in log
    masks = [f"arterial_{case}.{kind}" for case in ("a_r1", "a_r1-again", "b_r1") for kind in ("nii.gz", "png")]
    tables = ["cases.csv", "readings.csv"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["arterial.json", "arterial.nii.gz", *masks, *tables]
    )


def test_written_files_are_the_scan_and_its_masks(data, tmp_path):
    import_patient(cases()[:3], data, tmp_path, SETTINGS, "r1", strict=True)
    scan = sitk.ReadImage(tmp_path / "arterial.nii.gz")
    source = read_volume(data / "ct").image
    assert scan.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(sitk.GetArrayFromImage(scan), sitk.GetArrayFromImage(source))
    assert np.allclose(scan.GetOrigin(), source.GetOrigin(), atol=1e-4)  # NIfTI keeps float32
    mask = sitk.ReadImage(tmp_path / "arterial_b_r1.nii.gz")
    assert mask.GetPixelID() == sitk.sitkUInt8
    for what in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(mask, f"Get{what}")() == getattr(scan, f"Get{what}")()
    assert [int(number) for number in sitk.GetArrayFromImage(mask).sum(axis=(1, 2))] == [0, 0, 9, 4, 4, 0]
    assert json.loads((tmp_path / "arterial.json").read_text())["simulated"] is True


def test_nothing_that_is_written_tells_who_the_patient_is(data, tmp_path):
    import_patient(cases(), data, tmp_path / "out", SETTINGS, "r1", strict=False)
    for path in (tmp_path / "out").iterdir():
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not any(secret in content for secret in (b"Doe", b"4711", b"1950", b"1.2.826"))


def test_same_input_same_bytes(data, tmp_path):
    for name in ("one", "two"):
        import_patient(cases(), data, tmp_path / name, SETTINGS, "r1", strict=False)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert (tmp_path / "one" / "arterial.nii.gz").read_bytes()[4:8] == bytes(4), "a time in the gzip header"


def test_strict_stops_and_names_the_case(data, tmp_path):
    sentence = refusal(import_patient, cases(), data, tmp_path, SETTINGS, "r1", True)
    assert sentence.startswith("p1 arterial c r1: The region is too small: 6 mm3")


def test_one_phase_is_one_scan(data, tmp_path):
    rows = [cases()[0], cases()[0] | {"region": "b", "image": "broken"}]
    import_patient(rows, data, tmp_path, SETTINGS, "r1", strict=False)
    assert read_table(tmp_path / "cases.csv")["reason"].str.contains("different images for one phase").all()
    assert [path.name for path in tmp_path.glob("arterial*")] == []


@pytest.mark.parametrize("number", range(24))
def test_sarcoma_regions_have_the_published_number_of_voxels(test_data, number):
    # morph_mask_vox_count_init_roi: the median of the four teams that report it (IBSI validation data)
    published = pd.read_csv(test_data / "sts" / "ibsi_validation_features_dev12.csv")
    case = read_table(CASES, text=["segment"]).iloc[number]
    same = published["modality"] == case["phase"].upper()
    published = published[same & (published["tag"] == "morph_mask_vox_count_init_roi")]
    volume = read_volume(test_data / "sts" / case["image"])
    mask = read_mask(test_data / "sts" / case["segmentation"], case["segment"], volume)
    wanted = published.loc[published["patient_id"] == case["patient"].replace("-", "_"), "median"]
    assert check_mask(mask, volume, 500)["voxels"] == wanted.item()


def test_a_real_patient_is_imported(test_data, tmp_path):
    case = read_table(CASES, text=["segment"]).query("patient == 'STS-019' and phase == 'ct'").iloc[0].to_dict()
    import_patient([case], test_data / "sts", tmp_path, {"minimum_volume_mm3": 500}, "reader1", strict=True)
    mask = sitk.ReadImage(tmp_path / "ct_tumour_reader1.nii.gz")
    published = sitk.ReadImage(test_data / "sts" / "nifti" / "STS_019" / "CT_mask.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(published))


def test_an_error_of_the_program_is_not_taken_for_one_of_the_user(data, tmp_path):
    with pytest.raises(KeyError):
        import_patient(cases(), data, tmp_path, {}, "r1", strict=False)
    assert issubclass(InputError, ValueError)


def test_readings_are_compared_with_the_reference(data, tmp_path):
    import_patient(cases(), data, tmp_path, SETTINGS, "r1", strict=False)
    readings = read_table(tmp_path / "readings.csv")
    assert readings.columns.tolist() == READINGS
    assert readings[["region", "rater", "reference"]].to_numpy().tolist() == [["a", "r1-again", "r1"]]
    # 16 voxels on each of two slices; on one of them drawn one voxel further, so 9 of 16 in common
    assert readings["dice"].item() == pytest.approx(2 * (16 + 9) / 64)


REGIONS = {
    "organs": ["b"],
    "regions": {
        "all": {"kind": "union", "of": "[ac]"},
        "rim": {"kind": "ring", "of": "a", "width_mm": 2},
        "cut": {"kind": "union", "of": "c", "inside": "a"},
    },
}


def test_computed_regions_stand_beside_the_drawn_ones(data, tmp_path):
    chosen = [row for row in cases() if row["phase"] == "arterial" and row["region"] in "abc"]
    settings = {"minimum_volume_mm3": 1, **REGIONS}
    import_patient(chosen, data, tmp_path, settings, "r1", strict=True)
    table = read_table(tmp_path / "cases.csv").set_index(["region", "rater"])
    roles = {"a": "drawn", "b": "organ", "c": "drawn", "all": "computed", "cut": "computed", "a-rim": "computed"}
    assert table["role"].groupby("region").first().to_dict() == roles
    assert table.loc[("all", "r1"), "voxels"] == 32 + 4  # two regions that do not touch
    assert "has not drawn c" in table.loc[("all", "r1-again"), "reason"]
    assert table.loc[("cut", "r1"), "reason"] == "No region c overlaps or touches a."
    assert (tmp_path / "arterial_a-rim_r1.png").exists()
    assert (tmp_path / "arterial_all_r1.nii.gz").exists()


def test_nothing_is_computed_from_a_region_that_was_refused(data, tmp_path):
    chosen = [row for row in cases() if row["phase"] == "arterial" and row["rater"] == "r1" and row["region"] in "abe"]
    rules = {"all": {"kind": "union", "of": "[ae]"}, "rim": {"kind": "ring", "of": "[ae]", "width_mm": 2}}
    import_patient(chosen, data, tmp_path, {"minimum_volume_mm3": 1, "regions": rules}, "r1", strict=False)
    table = read_table(tmp_path / "cases.csv").set_index("region")
    for region in ("all", "a-rim"):
        assert table.loc[region, "reason"] == "it depends on e, whose segmentation was refused"


def test_a_scan_that_cannot_be_read_excludes_what_would_be_computed_on_it(data, tmp_path):
    import_patient(cases()[-1:], data, tmp_path, {"minimum_volume_mm3": 1, **REGIONS}, "r1", strict=False)
    table = read_table(tmp_path / "cases.csv")
    assert table["region"].tolist() == ["a", "all", "cut"]
    assert table["reason"].str.contains("A slice is missing").all()


def test_an_empty_segment_is_nobodys_healthy_tissue(data, tmp_path):
    chosen = [row for row in cases() if row["phase"] == "arterial" and row["rater"] == "r1" and row["region"] in "abd"]
    rules = {"rest": {"kind": "rest", "of": "b", "without": ["[ad]"]}}
    import_patient(chosen, data, tmp_path, {"minimum_volume_mm3": 1, "regions": rules}, "r1", strict=False)
    table = read_table(tmp_path / "cases.csv").set_index("region")
    assert "empty" in table.loc["d", "reason"]
    assert table.loc["rest", "reason"] == "it depends on d, whose segmentation was refused"


def test_a_scan_of_another_unit_is_excluded():
    table = pd.DataFrame({"phase": ["pet"] * 4 + ["ct"], "unit": ["SUV", "SUV", "HU", None, "HU"]})
    table = refuse_other_units(table.assign(status="included", reason=""))
    assert table["status"].tolist() == ["included", "included", "excluded", "included", "included"]
    assert table["reason"].tolist()[2] == "its values are in HU, those of most patients in this phase in SUV"


def test_memory_that_runs_out_excludes_one_scan_and_is_tried_again(data, tmp_path, monkeypatch):
    """ITK's error stands for the moment when its memory runs out: all readers' masks are there, none is written."""

    def no_memory(*_):
        raise RuntimeError("itkImportImageContainer.hxx:179:\nFailed to allocate memory for image.")

    monkeypatch.setattr("nenflow.images.patients.region_quality", no_memory)
    rows = import_patient(cases(), data, tmp_path / "p1", SETTINGS, "r1", strict=False)
    reasons = {(row["phase"], row["region"]): row["reason"] for row in rows}
    assert reasons["arterial", "a"].startswith("Memory ran out")
    assert not reasons["venous", "a"].startswith("Memory ran out")  # this scan has its own reason
    note_tries(tmp_path / "job.log", 0, reasons.values())
    assert (tmp_path / "job.tries").read_text() == "1"


def test_what_a_machine_failed_to_make_is_not_shared(tmp_path, monkeypatch):
    """A job that succeeds goes into the cache, and others would take the exclusion from there without a try."""
    monkeypatch.setenv("NENFLOW_SHARED", "yes")
    with pytest.raises(InputError, match="run the same command again"):
        note_tries(tmp_path / "job.log", 0, [f"Memory ran out; {TRIED_AGAIN}."])
    note_tries(tmp_path / "job.log", 0, ["The region is empty."])  # the same for everybody
    assert not (tmp_path / "job.tries").exists()


def test_only_reasons_of_the_machine_are_tried_again(data, tmp_path):
    rows = import_patient(cases(), data, tmp_path / "p1", SETTINGS, "r1", strict=False)
    note_tries(tmp_path / "job.log", 0, [row["reason"] for row in rows])
    assert not (tmp_path / "job.tries").exists()
    note_tries(tmp_path / "job.log", 2, [])  # it succeeds after two tries: the number stays, so that none follows
    assert (tmp_path / "job.tries").read_text() == "2"


def test_a_file_without_permission_is_refused_for_now(tmp_path):
    (tmp_path / "scan.nrrd").touch()
    said = pytest.raises(InputError, match="cannot be opened")
    with said as refused, readable(tmp_path / "scan.nrrd", "The image"):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert TRIED_AGAIN in str(refused.value)


@pytest.mark.parametrize("room", [100_000, 300])
def test_a_volume_that_the_disk_cannot_hold_is_an_error(room, tmp_path):
    """ITK leaves a part of the file, here of its header, and says nothing."""
    image = sitk.GetImageFromArray(np.random.default_rng(1).random((20, 50, 50)).astype(np.float32))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match=r"No space left|File too large"):
            write_nifti(image, tmp_path / "scan.nii.gz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    write_nifti(image, tmp_path / "scan.nii.gz")
    assert (sitk.GetArrayFromImage(read_raster(tmp_path / "scan.nii.gz")) == sitk.GetArrayFromImage(image)).all()
