from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from jsonschema import Draft202012Validator

from images_files import box, mask_array, refusal, square, write_segmentation, write_series, write_structure
from nenflow.cohort.listing import list_cases, main
from nenflow.cohort.rows import read_cases
from nenflow.images.volumes import read_volume
from nenflow.study import read_schema

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ["patient", "phase", "region", "rater", "image", "series", "segmentation", "segment"]
IMAGE, SEGMENTATION = "{patient}/{phase}", "{patient}/{phase}_{rater}.seg.nrrd"


def draw(path, *names):
    """A seg.nrrd of 3D Slicer with the named segments."""
    image = sitk.Image([4, 4, 4], sitk.sitkUInt8)
    for number, name in enumerate(names, 1):
        image.SetMetaData(f"Segment{number - 1}_Name", name)
        image.SetMetaData(f"Segment{number - 1}_LabelValue", str(number))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, path)


def scan(folder):
    folder.mkdir(parents=True)
    (folder / "001.dcm").write_bytes(b"not read by the listing")


@pytest.fixture
def data(tmp_path):
    """Two patients in two phases, read by one or two readers."""
    folder = tmp_path / "data"
    for patient in ("P1", "P2"):
        for phase in ("arterial", "venous"):
            scan(folder / patient / phase)
            draw(folder / patient / f"{phase}_r1.seg.nrrd", "lesion 1", "Liver")
    draw(folder / "P1" / "arterial_r2.seg.nrrd", "lesion 1", "Liver")
    return folder


def test_one_row_for_each_segment(data):
    table, notes = list_cases(data, IMAGE, SEGMENTATION)
    assert table.columns.tolist() == COLUMNS
    assert len(table) == 10
    assert table.iloc[[0, 1, 2, 9]].to_numpy().tolist() == [
        ["P1", "arterial", "Liver", "r1", "P1/arterial", "", "P1/arterial_r1.seg.nrrd", "Liver"],
        ["P1", "arterial", "Liver", "r2", "P1/arterial", "", "P1/arterial_r2.seg.nrrd", "Liver"],
        ["P1", "arterial", "lesion-1", "r1", "P1/arterial", "", "P1/arterial_r1.seg.nrrd", "lesion 1"],
        ["P2", "venous", "lesion-1", "r1", "P2/venous", "", "P2/venous_r1.seg.nrrd", "lesion 1"],
    ]
    assert notes == ["r2 drew nothing on 3 of 4 scans that others drew on."]


def test_what_is_written_is_what_the_cohort_reads(data, tmp_path, capsys):
    output = tmp_path / "cases.csv"
    arguments = [str(data), "--image", IMAGE, "--segmentation", SEGMENTATION, "--output", str(output)]
    draw(data / "P2" / "venous_r2.seg.nrrd", 'odd "name", with; signs', "NA 2", "007")
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "cases.csv: 13 segmentations; 2 patient(s), 2 phase(s)" in shown.out
    assert "Note: P2, venous: r1 has no 007, NA-2, odd-name-with-signs, but Liver, lesion-1.\n" in shown.err
    listed, _ = list_cases(data, IMAGE, SEGMENTATION)
    read = [row for rows in read_cases(output).values() for row in rows]
    assert [[row[column] for column in COLUMNS] for row in read] == listed.to_numpy().tolist()
    validator = Draft202012Validator(read_schema(ROOT / "workflow" / "schemas", "cases"))
    for row in read:
        validator.validate(row)
    before = output.read_bytes()
    assert main(arguments) == 1
    assert capsys.readouterr().err == "Error: cases.csv exists already: remove it, or name another output.\n"
    assert output.read_bytes() == before


def test_errors_of_the_command_are_one_sentence(data, tmp_path, capsys):
    output = tmp_path / "cases.csv"
    tail = ["--segmentation", SEGMENTATION, "--output", str(output)]
    assert main([str(tmp_path / "lost"), "--image", IMAGE, *tail]) == 1
    assert capsys.readouterr().err == "Error: The data folder does not exist: check its name.\n"
    assert main([str(data), "--image", "{patient}/CT/{phase}", *tail]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("Error: No segmentation was found that fits the templates")
    assert "Note: No image belongs to the segmentation P1/arterial_r1.seg.nrrd, so it was left out." in lines
    assert main([str(data), "--image", IMAGE, *tail[:2], "--output", str(data / "P1/arterial/001.dcm/x.csv")]) == 1
    assert capsys.readouterr().err.endswith("\nError: x.csv cannot be written (File exists): name another output.\n")
    assert not output.exists()


def test_names_that_can_be_split_in_several_ways_are_split_by_the_images(tmp_path):
    for patient, phase in (("STS_002", "portal_venous"), ("STS", "late"), ("STS_late", "r")):
        scan(tmp_path / "ct" / patient / phase)
    draw(tmp_path / "roi" / "STS_002_portal_venous_reader_1.seg.nrrd", "a")
    draw(tmp_path / "roi" / "STS_late_r_x.seg.nrrd", "a")  # STS, late, r_x or STS_late, r, x
    table, notes = list_cases(tmp_path, "ct/{patient}/{phase}", "roi/{patient}_{phase}_{rater}.seg.nrrd")
    assert table[["patient", "phase", "rater", "image"]].to_numpy().tolist() == [
        ["STS-002", "portal-venous", "reader-1", "ct/STS_002/portal_venous"]
    ]
    assert notes == [
        "The segmentation roi/STS_late_r_x.seg.nrrd fits its template in 2 ways, so it was left out.",
        "No segmentation belongs to the image ct/STS/late.",
        "No segmentation belongs to the image ct/STS_late/r.",
        "In some names of a patient, other signs were rewritten as '-'.",
        "In some names of a phase, other signs were rewritten as '-'.",
        "In some names of a rater, other signs were rewritten as '-'.",
    ]


def test_images_that_are_files_and_constants(tmp_path):
    for patient in ("P1", "P2"):
        draw(tmp_path / f"{patient}_ct.nii.gz")
        draw(tmp_path / "r1" / f"{patient}.seg.nrrd", "GTV_Mass")
    draw(tmp_path / "r1" / "P3_x.seg.nrrd", "GTV_Mass")
    given = {"phase": "arterial", "region": "tumour"}
    table, notes = list_cases(tmp_path, "{patient}_ct.nii.gz", "{rater}/{patient}.seg.nrrd", given)
    assert table[["patient", "phase", "region", "rater", "image", "segment"]].to_numpy().tolist() == [
        ["P1", "arterial", "tumour", "r1", "P1_ct.nii.gz", "GTV_Mass"],
        ["P2", "arterial", "tumour", "r1", "P2_ct.nii.gz", "GTV_Mass"],
    ]
    assert notes == ["No image belongs to the segmentation r1/P3_x.seg.nrrd, so it was left out."]


def test_stars_stand_for_any_text(tmp_path):
    scan(tmp_path / "P1" / "0123" / "arterial")
    draw(tmp_path / "P1" / "0123" / "roi 77.seg.nrrd", "a")
    table, _ = list_cases(tmp_path, "{patient}/*/{phase}", "{patient}/*/r*o*.seg.nrrd", {"rater": "r1"})
    assert table.empty, "a star is at least one sign"
    # The two stars share "oi 77" in several ways, but what is named stays the same.
    table, _ = list_cases(tmp_path, "{patient}/*/{phase}", "{patient}/*/r**.seg.nrrd", {"rater": "r1"})
    assert table["segmentation"].tolist() == ["P1/0123/roi 77.seg.nrrd"]


def test_placeholders_stay_within_a_folder_name_and_folders_are_no_files(tmp_path):
    scan(tmp_path / "P1" / "arterial")
    draw(tmp_path / "roi" / "P1_arterial.seg.nrrd", "a")
    (tmp_path / "P1" / "report").write_text("")
    table, notes = list_cases(tmp_path, IMAGE, "{patient}_{phase}.seg.nrrd", {"rater": "r1"})
    assert table.empty
    assert notes == [
        "No segmentation belongs to the image P1/arterial.",
        "2 file(s) fit neither template and were left out: P1/report, roi/P1_arterial.seg.nrrd.",
    ]


def test_a_file_for_all_phases_belongs_to_each(tmp_path):
    for phase in ("arterial", "venous"):
        scan(tmp_path / "P1" / phase)
    draw(tmp_path / "P1" / "r1.seg.nrrd", "a")
    table, _ = list_cases(tmp_path, IMAGE, "{patient}/{rater}.seg.nrrd")
    assert table["phase"].tolist() == ["arterial", "venous"]
    assert table["image"].tolist() == ["P1/arterial", "P1/venous"]


@pytest.mark.parametrize(
    ("image", "segmentation", "given", "words"),
    [
        ("{patient}/{phase}", "{patient}/{phase}.seg.nrrd", {}, "give it with --rater"),
        ("{patient}/ct", "{patient}/{rater}.seg.nrrd", {}, "give it with --phase"),
        (IMAGE, SEGMENTATION, {"rater": "r1"}, "leave one of them out"),
        ("{patient}/{rater}", SEGMENTATION, {}, "known there are patient, phase"),
        (IMAGE, "{Patient}/{phase}_{rater}.seg.nrrd", {}, "holds {Patient}"),
        (IMAGE, "{phase}_{rater}.seg.nrrd", {}, "write {patient}"),
        ("{phase}", SEGMENTATION, {}, "write {patient}"),
        (IMAGE, "{patient}\\{phase}_{rater}.seg.nrrd", {}, "between folders"),
        ("../{patient}", SEGMENTATION, {}, "start in the data folder"),
    ],
)
def test_templates_that_are_not_clear_are_refused(data, image, segmentation, given, words):
    with pytest.raises(ValueError, match="template") as caught:
        list_cases(data, image, segmentation, given)
    assert words in str(caught.value)


def test_names_that_would_become_one_are_refused(data):
    draw(data / "P1" / "venous_R2.seg.nrrd", "a")
    assert "raters 'R2' and 'r2' would all become 'r2'" in refusal(list_cases, data, IMAGE, SEGMENTATION)
    (data / "P1" / "venous_R2.seg.nrrd").unlink()
    for patient in ("ID_7", "ID.7"):
        scan(data / patient / "arterial")
        draw(data / patient / "arterial_r1.seg.nrrd", "a")
    assert "patients 'ID.7' and 'ID_7' would all become 'id-7'" in refusal(list_cases, data, IMAGE, SEGMENTATION)


def test_segments_that_would_become_one_region_are_refused(data):
    draw(data / "P1" / "venous_r1.seg.nrrd", "lesion 1", "Lesion-1")
    sentence = refusal(list_cases, data, IMAGE, SEGMENTATION)
    assert "2 segments (lesion 1, Lesion-1) would all become the region 'lesion-1' of P1, venous, r1" in sentence


@pytest.mark.parametrize("name", ["病灶1", "Ø", "NA", "()"])
def test_segments_without_an_identifier_are_refused(data, capsys, name):
    draw(data / "P1" / "venous_r1.seg.nrrd", "lesion 1", name)
    assert "1 name(s) of a region" in refusal(list_cases, data, IMAGE, SEGMENTATION)
    assert capsys.readouterr().out == f"{name}\n"


def test_segments_of_two_names_that_become_one_region_are_noted(data):
    draw(data / "P1" / "arterial_r2.seg.nrrd", "lesion_1", "Liver")
    table, notes = list_cases(data, IMAGE, SEGMENTATION)
    assert "Segments named lesion 1 and lesion_1 are listed as one region, lesion-1." in notes
    assert set(table["segment"]) == {"lesion 1", "lesion_1", "Liver"}


def test_a_patient_that_looks_like_a_name_is_refused(data, capsys):
    scan(data / "Doe Jane" / "arterial")
    draw(data / "Doe Jane" / "arterial_r1.seg.nrrd", "a")
    assert "patients need pseudonyms" in refusal(list_cases, data, IMAGE, SEGMENTATION)
    assert "Doe Jane" in capsys.readouterr().out


def test_nothing_is_left_out_without_a_note(data):
    scan(data / "P3" / "arterial")
    draw(data / "P4" / "arterial_r1.seg.nrrd", "a")
    (data / "notes.txt").write_text("hello")
    (data / ".DS_Store").write_text("")
    (data / "P2" / "venous_r1.seg.nrrd").write_bytes(b"NRRD0004\nbroken")
    draw(data / "P1" / "venous_r2.seg.nrrd")
    _, notes = list_cases(data, IMAGE, SEGMENTATION)
    assert notes == [
        "No image belongs to the segmentation P4/arterial_r1.seg.nrrd, so it was left out.",
        "No segmentation belongs to the image P3/arterial.",
        "1 file(s) fit neither template and were left out: notes.txt.",
        "P1/venous_r2.seg.nrrd holds no segment.",
        "P2/venous_r1.seg.nrrd was left out: The segmentation cannot be read (damaged, incomplete or of another "
        "kind): export it again.",
        "r2 drew nothing on 2 of 3 scans that others drew on.",
    ]


def test_regions_that_one_reader_lacks_are_noted(data):
    draw(data / "P1" / "arterial_r2.seg.nrrd", "Lesion1", "Liver")
    _, notes = list_cases(data, IMAGE, SEGMENTATION)
    assert "P1, arterial: r1 has no Lesion1, but Liver, lesion-1." in notes
    assert "P1, arterial: r2 has no lesion-1, but Lesion1, Liver." in notes


def test_segments_are_named_so_that_they_are_found_again(tmp_path):
    folder = write_series(tmp_path / "data" / "P1" / "ct")
    volume = read_volume(folder)
    rois = [
        (1, "GTV", [square(1, 2, 1)]),
        (2, "gtv node", [square(1, 3, 1)]),
        (3, "Läsion (S4)", [square(1, 4, 1)]),
        (5, "", [square(1, 5, 1)]),
        (6, "007", [square(1, 6, 1)]),
    ]
    write_structure(tmp_path / "data" / "P1" / "ct_r1.dcm", rois)
    write_segmentation(tmp_path / "data" / "P1" / "ct_r2.dcm", folder, {"GTV": box((1, 1), (1, 7), (1, 7))})
    image = sitk.GetImageFromArray(box((1, 1), (1, 8), (1, 8)) * 3)
    image.CopyInformation(volume.image)
    sitk.WriteImage(image, tmp_path / "data" / "P1" / "ct_r3.nii")
    table, notes = list_cases(tmp_path / "data", IMAGE, "{patient}/{phase}_{rater}.*")
    sides = []
    for row in table.to_dict("records"):
        mask = mask_array(tmp_path / "data" / row["segmentation"], row["segment"], volume)
        sides.append((row["region"], row["rater"], row["segment"], int(np.sqrt(mask.sum()))))
    assert sorted(sides, key=lambda side: side[3]) == [
        ("GTV", "r1", "GTV", 2),
        ("gtv-node", "r1", "gtv node", 3),
        ("Lasion-S4", "r1", "Läsion (S4)", 4),
        ("segment-5", "r1", "5", 5),
        ("007", "r1", "007", 6),
        ("GTV", "r2", "GTV", 7),
        ("3", "r3", "3", 8),
    ]
    assert [note.split(" has no")[0] for note in notes] == ["P1, ct: r1", "P1, ct: r2", "P1, ct: r3"]


def test_segments_that_cannot_be_told_apart_are_left_out(tmp_path):
    scan(tmp_path / "P1" / "ct")
    # The number of the first "a" is the name of another segment.
    write_structure(tmp_path / "P1" / "ct_r1.dcm", [(1, "a", []), (2, "a", []), (3, "1", [])])
    table, notes = list_cases(tmp_path, IMAGE, "{patient}/{phase}_{rater}.dcm")
    assert table[["region", "segment"]].to_numpy().tolist() == [["1", "1"], ["a", "2"]]
    assert notes == ["P1/ct_r1.dcm: neither name nor number tells 'a' apart, so it was left out: rename it."]


def test_a_region_in_the_file_name_wants_one_segment(tmp_path):
    scan(tmp_path / "P1" / "ct")
    draw(tmp_path / "P1" / "ct_r1_liver.seg.nrrd", "Segment_1")
    draw(tmp_path / "P1" / "ct_r1_lesion.seg.nrrd", "Segment_1", "Segment_2")
    table, notes = list_cases(tmp_path, IMAGE, "{patient}/{phase}_{rater}_{region}.seg.nrrd")
    assert table[["region", "segment"]].to_numpy().tolist() == [["liver", "Segment_1"]]
    assert "holds 2 segments though its region is said to be one" in notes[0]


def test_links_to_folders_are_followed_but_not_in_circles(data, tmp_path):
    scan(tmp_path / "elsewhere" / "arterial")
    draw(tmp_path / "elsewhere" / "arterial_r1.seg.nrrd", "a")
    (data / "P5").symlink_to(tmp_path / "elsewhere")
    (data / "P1" / "loop").symlink_to(data)
    table, notes = list_cases(data, IMAGE, SEGMENTATION)
    assert set(table["patient"]) == {"P1", "P2", "P5"}
    assert not [note for note in notes if "neither template" in note]


def test_the_published_sarcoma_cases_are_listed_from_their_folder(test_data):
    written = pd.read_csv(ROOT / "config" / "studies" / "sarcoma" / "cases.csv", dtype=str, keep_default_na=False)
    given = {"rater": "reader1", "region": "tumour"}
    data = test_data / "sts"
    table, notes = list_cases(data, "dicom/{patient}/{phase}/image", "dicom/{patient}/{phase}/mask/RS.dcm", given)
    listed = table.assign(phase=table["phase"].str.lower())
    ct = listed[listed["phase"] == "ct"]
    assert len(ct) == 12
    assert ct.to_numpy().tolist() == written.loc[written["phase"] == "ct", COLUMNS].to_numpy().tolist()
    assert not [note for note in notes if "dicom" in note and "neither template" not in note]
