import copy
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nenflow.cohort.checks import WHOLE, read_cohort
from nenflow.cohort.rows import FREE, read_cases
from nenflow.errors import InputError
from nenflow.study import load_study
from nenflow.tables import CASE

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow" / "schemas"
STUDY = {
    "unit": "lesion",
    "variables": {
        "response": {"label": "Response", "level": "lesion", "type": "categorical", "levels": ["good", "bad"]},
        "grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2", "1-3"]},
        "ki67": {"label": "Ki-67", "level": "patient", "type": "continuous", "minimum": 0, "maximum": 100},
    },
    "stability": {"readings": {"reference": "reader1"}},
    "models": {"fusion": {"phase": "arterial", "steps": [{"lasso": {}}]}},
}
NO_LESIONS = {**STUDY, "variables": {name: STUDY["variables"][name] for name in ("grade", "ki67")}}
PATIENTS = "patient,grade,ki67\nP1,1,3.5\nP2,2,20\n"
LESIONS = "patient,region,response\nP1,l1,good\nP1,l2,bad\nP2,l1,bad\n"
CASES = (
    "patient,phase,region,rater,image,series,segmentation,segment\n"
    "P1,arterial,l1,reader1,p1,,p1.seg,1\n"
    "P1,arterial,l2,reader1,p1,,p1.seg,2\n"
    "P2,arterial,l1,reader1,p2,,p2.seg,\n"
)


def read(folder, patients=PATIENTS, lesions=LESIONS, cases=CASES, study=STUDY, columns=None, **options):
    for name, content in (("patients", patients), ("lesions", lesions), ("cases", cases)):
        if content is not None:
            content = content.encode() if isinstance(content, str) else content
            (folder / f"{name}.csv").write_bytes(content)
    data = folder / "data"
    for name in ("p1", "p2"):
        (data / name).mkdir(parents=True, exist_ok=True)
        (data / f"{name}.seg").touch()
    return read_cohort(
        patients=folder / "patients.csv",
        lesions=None if lesions is None else folder / "lesions.csv",
        cases=folder / "cases.csv",
        study=study,
        schemas=SCHEMAS,
        columns=columns,
        **{"data": data, **options},
    )


def problems(folder, **tables):
    with pytest.raises(InputError) as caught:
        read(folder, **tables)
    lines = [line.removeprefix("- ") for line in str(caught.value).splitlines()[1:]]
    return [line for line in lines if not line.startswith("to be noted: ")]


def test_clean_tables_are_typed_and_hold_declared_columns_only(tmp_path):
    patients = "Name,patient,ki67,grade\nSmith,007,3.5,1\n,P2,N/A,2\n"
    cohort = read(tmp_path, patients, lesions=None, cases=CASES.replace("P1", "007"), study=NO_LESIONS)
    assert cohort.patients.columns.tolist() == ["patient", "grade", "ki67"]
    assert cohort.patients[["patient", "grade"]].to_numpy().tolist() == [["007", "1"], ["P2", "2"]]
    assert cohort.patients["ki67"].dtype == float
    assert cohort.patients["ki67"].isna().tolist() == [False, True]
    assert cohort.notes == ["patients.csv: columns that the study does not declare were left out: Name."]
    assert cohort.lesions.to_numpy().tolist() == [["007", "l1"], ["007", "l2"], ["P2", "l1"]]


def test_cases_keep_text_and_blank_cells(tmp_path):
    cases = read(tmp_path).cases
    assert cases["segment"].tolist() == ["1", "2", ""]
    assert cases["series"].tolist() == ["", "", ""]
    rows = [row for rows in read_cases(tmp_path / "cases.csv").values() for row in rows]
    assert rows == cases.to_dict("records")


def test_excel_habits_are_understood(tmp_path):
    german = "\ufeffpatient; grade;ki67;;\r\n P1 ;1;3,5;;\r\n;;;;\r\nP2;2;20;;\r\n".encode()
    cohort = read(tmp_path, patients=german)
    assert cohort.patients["ki67"].tolist() == [3.5, 20.0]
    assert cohort.patients["patient"].tolist() == ["P1", "P2"]


def test_a_blank_row_still_counts_as_a_row(tmp_path):
    assert problems(tmp_path, patients="patient,grade,ki67\n\nP1,1,3\n,,\nP2,2,200\n") == [
        "patients.csv, row 5, column 'ki67': 200.0 must be at most 100"
    ]


def test_a_line_break_inside_a_cell_does_not_shift_row_numbers(tmp_path):
    assert problems(tmp_path, patients='patient,grade,ki67,note\nP1,1,3,"two\nlines"\nP2,2,200,\n') == [
        "patients.csv, row 3, column 'ki67': 200.0 must be at most 100"
    ]


def test_registry_identifiers_are_rewritten_alike_in_every_table(tmp_path):
    cohort = read(
        tmp_path,
        patients="id,grade,ki67\nSTS_001,1,3\nP2,2,4\n",
        lesions=LESIONS.replace("P1", "STS.001"),
        cases=CASES.replace("P1", "STS-001"),
        columns={"patient": "id"},
    )
    assert cohort.patients["patient"].tolist() == ["STS-001", "P2"]
    assert set(cohort.lesions["patient"]) == set(cohort.cases["patient"]) == {"STS-001", "P2"}
    assert "patients.csv: '_' or '.' in 1 patient identifiers was rewritten as '-'." in cohort.notes


def test_identifiers_that_become_the_same_are_refused(tmp_path):
    assert problems(tmp_path, patients="patient,grade,ki67\nP1,1,3\nP2,1,3\nA_1,1,3\nA.1,1,3\np1,1,3\n") == [
        "patients.csv, row 5: the same patient as row 4",
        "patients.csv, row 6: but for upper and lower case the same patient as row 2",
    ]


def test_a_name_as_identifier_is_refused_without_being_shown(tmp_path):
    found = problems(tmp_path, patients=PATIENTS + "John Smith,1,3\n")
    assert found == ["patients.csv, row 4, column 'patient': an identifier must be letters, digits and '-' only"]


def test_all_mistakes_of_all_tables_are_listed_at_once(tmp_path):
    found = problems(
        tmp_path,
        patients='patient,grade,ki67\nP1,3,"3,5"\nP2,3-Jan,>100\n,1,5\n',
        lesions="patient,region,response\nP1,l1,Good\nP1,l2,bad\nP3,l1,bad\n",
        cases=CASES + "P2,arterial,l9,reader1,p2,,p2.seg,9\nP1,arterial,l1,reader1,p1,,p1.seg,3\n",
    )
    assert found == [
        "patients.csv, row 2, column 'grade': '3' is not allowed; allowed are '1', '2', '1-3'",
        "patients.csv, row 2, column 'ki67': '3,5' is not a number such as 3.5, without unit or sign",
        "patients.csv, row 3, column 'grade': '3-Jan' is not allowed; allowed are '1', '2', '1-3'; "
        "Excel seems to have made a date of it",
        "patients.csv, row 3, column 'ki67': '>100' is not a number such as 3.5, without unit or sign",
        "patients.csv, row 4: the entry for 'patient' is missing",
        "lesions.csv, row 2, column 'response': 'Good' is not allowed; allowed are 'good', 'bad'",
        "cases.csv, row 6: the same patient, phase, region, rater as row 2",
        "lesions.csv, row 4: patient 'P3' is not in patients.csv",
        "cases.csv, row 4: 'l1' of 'P2' is not in lesions.csv",
        "cases.csv, row 5: 'l9' of 'P2' is not in lesions.csv",
    ]


def test_contradictions_between_cases(tmp_path):
    cases = (
        CASES
        + "P1,arterial,l1,reader2,other,,p1.seg,1\n"  # another image; the segmentation of row 2 copied
        + "P2,arterial,l1,reader2,p2,1.2.3,p2.seg,2\n"  # a series where row 4 has none
    )
    assert problems(tmp_path, cases=cases) == [
        "cases.csv, row 5: another image or series than row 2 with the same patient and phase",
        "cases.csv, row 5: the same segmentation and segment as row 2",
        "cases.csv, row 6: another image or series than row 4 with the same patient and phase",
        "cases.csv, row 5, column 'image': there is no such file or folder in the cohort's data folder",
    ]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("/etc/passwd", "must be a path inside the cohort's data folder"),
        ("../data/p2.seg", "must be a path inside the cohort's data folder"),
        ("folder\\p2.seg", "write / between folders, not \\"),
        ("p2", "is a folder; name the segmentation's file"),
        ("none.seg", "there is no such file or folder in the cohort's data folder"),
    ],
)
def test_segmentations_must_be_files_in_the_data_folder(tmp_path, entry, sentence):
    found = problems(tmp_path, cases=CASES.replace("p2.seg", entry))
    assert found == [f"cases.csv, row 4, column 'segmentation': {sentence}"]


def test_what_the_study_needs_must_be_there(tmp_path):
    assert problems(tmp_path, cases=CASES.replace("arterial", "portal")) == [
        "cases.csv: 'reader1' drew nothing in the phase 'arterial', which study.yaml names (model fusion)"
    ]
    assert problems(tmp_path, cases=CASES.replace("reader1", "reader3")) == [
        "cases.csv: no row has the rater 'reader1', who is the reference in study.yaml"
    ]
    assert problems(tmp_path, lesions=None) == [
        "the study has variables of level lesion (response) but the cohort has no table of lesions"
    ]


def test_raters_that_the_study_does_not_use_are_noted(tmp_path):
    cohort = read(tmp_path, cases=CASES + "P2,arterial,l1,reader9,p2,,p2.seg,9\n")
    assert cohort.notes == [
        "cases.csv: study.yaml does not name the rater 'reader9'; its regions are measured, not analysed.",
    ]


def test_phases_that_the_study_does_not_use_are_noted(tmp_path):
    cases = CASES + "P2,Arterial,l1,reader2,p1,,p2.seg,9\nP2,portal,l1,reader1,p2,,p2.seg,9\n"
    cohort = read(tmp_path, cases=cases, study={**STUDY, "markers": {"phase": "portal"}})
    note = "cases.csv: nothing analysed is of the phase 'Arterial'; its regions are measured, not analysed."
    assert [line for line in cohort.notes if "phase" in line] == [note]
    descriptive = {key: part for key, part in STUDY.items() if key != "models"}  # such a study names no phase at all
    assert not any("phase" in line for line in read(tmp_path, cases=cases, study=descriptive).notes)


READINGS = {
    **STUDY,
    "stability": {"readings": {"reference": "reader1", "intra": "again", "inter": "reader2"}},
    "models": {
        "fusion": {"phase": "arterial", "steps": [{"stability": {}}, {"lasso": {}}]},
        "simple": {"phase": "portal", "steps": [{"lasso": {}}]},
    },
}
PORTAL = "P1,portal,l1,reader1,p2,,p1.seg,1\nP1,portal,l1,reader2,p2,,p1.seg,9\n"


def test_a_repeated_reading_must_be_there(tmp_path):
    again = "P1,arterial,l1,again,p1,,p1.seg,8\n"
    expected = "cases.csv: no row has the rater '{}', who is {} in study.yaml (stability/readings)"
    assert problems(tmp_path, cases=CASES + PORTAL, study=READINGS) == [
        expected.format("again", "intra"),
        "cases.csv: 'reader2' (inter in study.yaml) drew none of the lesions that 'reader1' drew in the phase "
        "'arterial'; the step stability of model fusion compares the two",
    ]
    # Whoever draws other lesions only has read nothing again.
    elsewhere = CASES.replace("P1,arterial,l2,reader1", "P1,arterial,l2,reader2") + again + PORTAL
    found = problems(tmp_path, cases=elsewhere, study=READINGS)
    assert len(found) == 1
    assert "'reader2' (inter in study.yaml) drew none of the lesions" in found[0]
    both = CASES + PORTAL + again + "P2,arterial,l1,reader2,p2,,p2.seg,8\n"
    assert read(tmp_path, cases=both, study=READINGS).notes == []


def test_repeated_readings_are_needed_only_where_models_are_built(tmp_path):
    needed = problems(tmp_path, cases=CASES + PORTAL, study=READINGS)
    notes = read(tmp_path, cases=CASES + PORTAL, study=READINGS, develops=False).notes
    assert notes == [f"{sentence}." for sentence in needed]


def test_thousands_separators_are_refused_where_a_comma_may_be_a_decimal(tmp_path):
    study = copy.deepcopy(STUDY)
    del study["variables"]["ki67"]["maximum"]
    table = "patient;grade;ki67\nP1;1;1,000\nP2;2;1,000,000\nP3;1;0,125\nP4;1;12,5\n"
    assert problems(tmp_path, patients=table, study=study) == [
        "patients.csv, row 2, column 'ki67': '1,000' can be read in two ways; write 1000 or 1,0000",
        "patients.csv, row 3, column 'ki67': '1,000,000' can be read in two ways; write 1000000",
    ]
    written = table.replace("1,000,000", "1000000").replace("1,000", "1,0000")
    assert read(tmp_path, patients=written, study=study).patients["ki67"].tolist() == [1.0, 1e6, 0.125, 12.5]


def test_points_and_commas_in_one_column_are_refused(tmp_path):
    assert problems(tmp_path, patients="patient;grade;ki67\nP1;1;3\nP2;2;4.5\nP3;1;3,5\nP4;1;3.5\n") == [
        "patients.csv, column 'ki67': has decimal points (such as row 3) and decimal commas (such as row 4); "
        "write all alike"
    ]
    points = read(tmp_path, patients="patient\tgrade\tki67\nP1\t1\t3.5\nP2\t2\t4\n")
    assert points.patients["ki67"].tolist() == [3.5, 4.0]


def test_a_wrong_data_folder_is_said_once(tmp_path):
    assert problems(tmp_path, data=tmp_path / "~" / "data") == [
        "the cohort's data folder (data in study.yaml) does not exist; ~ is not expanded"
    ]


@pytest.mark.parametrize(
    ("table", "content", "column"),
    [
        ("patients", PATIENTS, "patient"),
        ("lesions", LESIONS, "patient"),
        ("lesions", LESIONS, "region"),
        ("cases", CASES + "P1,arterial,l1,reader9,p1,,p1.seg,3\n", "region"),
    ],
)
def test_a_missing_key_column_is_not_said_again_for_every_row(tmp_path, table, content, column):
    found = problems(tmp_path, **{table: content.replace(column, column.title(), 1)})
    assert [line for line in found if "is not a known column" not in line] == [
        f"{table}.csv: the column '{column}' is missing; there are "
        + content.split("\n")[0].replace(column, column.title(), 1).replace(",", ", ")
    ]


def test_phases_are_not_judged_without_their_column(tmp_path):
    portal = "P1,portal,l1,reader1,p2,,p1.seg,1\n"  # the same segmentation on the image of another phase
    found = problems(tmp_path, cases=(CASES + portal).replace("phase", "Phase", 1))
    assert [line.split(";")[0] for line in found] == [
        "cases.csv: the column 'phase' is missing",
        "cases.csv: 'Phase' is not a known column",
    ]


def test_an_unknown_column_of_cases_is_an_error(tmp_path):
    assert problems(tmp_path, cases=CASES.replace("segment\n", "segmant\n")) == [
        "cases.csv: 'segmant' is not a known column; known are patient, phase, region, rater, image, series, "
        "segmentation, segment"
    ]


def test_notes_follow_the_problems_that_they_may_explain(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, patients=PATIENTS.replace("grade", "Grade"))
    assert str(caught.value).splitlines() == [
        "1 problem in the cohort's tables:",
        "- patients.csv: the column 'grade' is missing; there are patient, Grade, ki67",
        "- to be noted: patients.csv: columns that the study does not declare were left out: Grade.",
    ]


def run_script(folder, monkeypatch, parameters, cohort="development"):
    """The script of the rule check_cohort, with the study's parameter files as inputs."""
    monkeypatch.setattr("nenflow.logs.start_log", lambda path: None)
    read(folder)  # writes the tables
    inputs = {kind: str(folder / f"{kind}.csv") for kind in ("patients", "lesions", "cases")}
    inputs["schemas"] = [str(SCHEMAS / "patients.schema.yaml")]
    (folder / "out").mkdir(exist_ok=True)
    outputs = {kind: str(folder / "out" / f"{kind}.csv") for kind in ("patients", "lesions", "cases", "signoff")}
    snakemake = SimpleNamespace(
        input=Inputs({**inputs, **parameters}),
        output=SimpleNamespace(**outputs, notes=str(folder / "out" / "notes.json")),
        params=SimpleNamespace(study={**STUDY, "cohorts": {cohort: {}}}, data=str(folder / "data"), imported={}),
        wildcards=SimpleNamespace(cohort=cohort),
        log=[str(folder / "log")],
    )
    runpy.run_path(str(SCHEMAS.parent / "scripts/cohort/check_cohort.py"), init_globals={"snakemake": snakemake})


class Inputs(dict):
    """Inputs by name, as Snakemake hands them to a script."""

    __getattr__ = dict.__getitem__


def test_mistakes_in_parameter_files_are_found_with_the_tables(tmp_path, monkeypatch):
    (tmp_path / "good.yaml").write_text("imageType: {Original: {}}\n")
    (tmp_path / "bad.yaml").write_text("imageType: {Original: {}}\nsettings: {binWidth: 25}\n")
    with pytest.raises(InputError) as caught:
        run_script(tmp_path, monkeypatch, {"parameters": [str(tmp_path / f"{name}.yaml") for name in ("good", "bad")]})
    first, second = str(caught.value).splitlines()
    assert first == "1 problem in the extractions' parameter files:"
    assert second.startswith("- bad.yaml: ")
    assert "settings" in second
    assert str(tmp_path) not in second
    assert not (tmp_path / "out" / "patients.csv").exists()
    run_script(tmp_path, monkeypatch, {"parameters": [str(tmp_path / "good.yaml")]})
    assert (tmp_path / "out" / "patients.csv").read_text() == "patient,grade,ki67\nP1,1,3.5\nP2,2,20.0\n"
    run_script(tmp_path, monkeypatch, {"parameters": []})


def test_a_study_by_patient_has_one_region_each(tmp_path):
    found = problems(tmp_path, lesions=None, study={**NO_LESIONS, "unit": "patient"})
    assert found == [
        "cases.csv, row 3: a second region of 'P1', though the study's unit is the patient; analyse their union "
        "(images/analysed) or put their features together (images/aggregate)"
    ]


TOGETHER = {**NO_LESIONS, "unit": "patient", "images": {"analysed": "l*", "aggregate": "mean", "organs": ["liver"]}}


def test_regions_that_are_put_together_make_one_unit_of_each_patient(tmp_path):
    cohort = read(tmp_path, lesions=None, cases=CASES.replace("P2,arterial,l1", "P2,arterial,liver"), study=TOGETHER)
    assert cohort.lesions.to_numpy().tolist() == [["P1", WHOLE]]
    cohort = read(tmp_path, cases=CASES, study=TOGETHER)  # a table of lesions names no other units
    assert cohort.lesions.to_numpy().tolist() == [["P1", WHOLE], ["P2", WHOLE]]
    study = {**TOGETHER, "images": {"analysed": "bone-*", "aggregate": "mean"}}
    assert problems(tmp_path, lesions=None, study=study) == [
        "cases.csv: no region is called 'bone-*', which images/analysed in study.yaml names"
    ]
    named = CASES.replace("P2,arterial,l1", "P2,arterial,patient")
    assert problems(tmp_path, lesions=None, cases=named, study=TOGETHER) == [
        "cases.csv, row 4: 'patient' is the name of all of a patient's regions together; choose another"
    ]


def with_measured(of, phase):
    rule = {"measure": "volume", "of": of, "phase": phase}
    volume = {"label": "Volume (mL)", "level": "patient", "type": "continuous", "measured": rule}
    return {**STUDY, "variables": {**STUDY["variables"], "volume": volume}}


def test_a_measured_variable_is_not_looked_for_in_the_tables(tmp_path):
    cohort = read(tmp_path, study=with_measured("l*", "arterial"))
    assert list(cohort.patients) == ["patient", "grade", "ki67"]
    assert cohort.notes == []
    columns = PATIENTS.replace("ki67", "ki67,volume").replace("3.5", "3.5,9").replace("20", "20,8")
    cohort = read(tmp_path, patients=columns, study=with_measured("l*", "arterial"))
    assert list(cohort.patients) == ["patient", "grade", "ki67"]
    assert cohort.notes == ["patients.csv: columns that are measured in the images were left out: volume."]


def test_a_measured_variable_needs_its_regions_and_its_phase(tmp_path):
    assert problems(tmp_path, study=with_measured("bone", "pet")) == [
        "cases.csv: no region is called 'bone', which variables/volume/measured in study.yaml names",
        "cases.csv: 'reader1' drew nothing in the phase 'pet', which study.yaml names (variables/volume/measured)",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04", "is an Excel workbook; save it as 'CSV UTF-8'"),
        ("patient,grade,ki67\nP1,1,3\nMüller,1,3\n".encode("latin-1"), "is not UTF-8; in Excel save it as 'CSV UTF-8'"),
        (b"patient,grade,ki67\n", "has a header but no rows"),
        (
            b'patient,grade,ki67\nP1,"1,3\n',
            "a quotation mark opens or closes at the wrong place (unexpected end of data)",
        ),
    ],
)
def test_unreadable_tables(tmp_path, content, sentence):
    assert problems(tmp_path, patients=content) == [f"patients.csv: {sentence}"]


def test_headers_and_ragged_rows(tmp_path):
    assert problems(tmp_path, patients="patient,grade,ki67,grade\nP1,1,3,1\n") == [
        "patients.csv, row 1: the column 'grade' stands twice"
    ]
    assert problems(tmp_path, patients="patient,Grade,ki67\nP1,1,3\nP2,1,3\n") == [
        "patients.csv: the column 'grade' is missing; there are patient, Grade, ki67"
    ]
    assert problems(tmp_path, patients=PATIENTS + "P3,1\n") == [
        "patients.csv, row 4: has 2 cells where the header has 3"
    ]
    assert problems(tmp_path, patients=PATIENTS, columns={"ki67": "KI-67"}) == [
        "patients.csv: study.yaml calls a column 'KI-67', but there is none"
    ]


def test_a_long_list_is_cut_and_says_so(tmp_path):
    rows = "".join(f"Q{number},7,1\n" for number in range(60))
    found = problems(tmp_path, patients=PATIENTS + rows)
    assert len(found) == 51
    assert found[-1] == "and 10 more"


def test_words_that_would_be_read_back_as_missing_are_no_identifiers(tmp_path):
    found = problems(tmp_path, patients=PATIENTS + "null,1,3\nNA,1,3\n")
    assert found == [
        "patients.csv, row 4, column 'patient': 'null' means a missing value; choose another identifier",
        "patients.csv, row 5: the entry for 'patient' is missing",
    ]


def test_the_published_case_columns_are_the_identity_of_a_case(tmp_path):
    assert read(tmp_path).cases[CASE].columns.tolist() == ["patient", "phase", "region", "rater"]


def test_the_outcome_table_of_the_test_data_is_read_as_it_is(test_data, tmp_path):
    study = {
        "unit": "patient",
        "variables": {
            "metastasis": {"label": "Metastasis", "level": "patient", "type": "categorical", "levels": ["0", "1"]},
            "age": {"label": "Age", "level": "patient", "type": "continuous"},
        },
        "stability": {"readings": {"reference": "reader1"}},
    }
    table = (test_data / "sts" / "clinical_dev12.csv").read_bytes()
    columns = {"patient": "patient_id", "metastasis": "lung_mets"}
    cases = CASES.splitlines()[0] + "\nSTS-002,ct,tumour,reader1,p1,,p1.seg,\n"
    patients = read(tmp_path, table, None, cases, study, columns).patients
    assert (patients["metastasis"] == "1").sum() == 4  # as the test data's own description counts
    assert patients["patient"].iloc[0] == "STS-002"
    assert patients["age"].sum() == 643


LIVER = {"organs": ["liver"], "regions": {"burden": {"kind": "union", "of": "l*"}, "rim": {"kind": "ring", "of": "l*"}}}
WITH_LIVER = CASES + "P1,arterial,liver,reader1,p1,,p1.seg,3\n"


def test_organs_are_no_lesions(tmp_path):
    study = {**NO_LESIONS, "images": LIVER}
    units = read(tmp_path, lesions=None, cases=WITH_LIVER, study=study).lesions
    assert units.to_numpy().tolist() == [["P1", "l1"], ["P1", "l2"], ["P2", "l1"]]
    assert read(tmp_path, cases=WITH_LIVER, study={**STUDY, "images": LIVER}).lesions["region"].tolist() == [
        "l1",
        "l2",
        "l1",
    ]


def test_a_computed_region_can_be_the_unit_of_a_patient(tmp_path):
    study = {**NO_LESIONS, "unit": "patient", "images": {**LIVER, "analysed": "burden"}}
    units = read(tmp_path, lesions=None, cases=WITH_LIVER, study=study).lesions
    assert units.to_numpy().tolist() == [["P1", "burden"], ["P2", "burden"]]


@pytest.mark.parametrize("name", ["burden", "l1-rim"])
def test_a_drawn_region_cannot_have_the_name_of_a_computed_one(tmp_path, name):
    found = problems(tmp_path, lesions=None, cases=CASES.replace("l2", name), study={**NO_LESIONS, "images": LIVER})
    assert found == [f"cases.csv, row 3: the region '{name}' has the name of a computed one (images/regions)"]


def test_an_extraction_of_a_phase_that_nobody_drew_is_named(tmp_path):
    study = {**STUDY, "extractions": {"pet": {"phases": ["pet"]}}}
    assert problems(tmp_path, study=study) == [
        "cases.csv: 'reader1' drew nothing in the phase 'pet', which study.yaml names (extraction pet)"
    ]


def test_a_rater_cannot_be_called_like_a_perturbed_reading(tmp_path):
    stability = {"readings": {"reference": "reader1"}, "perturbation": {"repeats": 2, "translation": 0.5}}
    extra = CASES + "P1,arterial,l1,perturbed-1,p1,,p1.seg,9\n"
    assert problems(tmp_path, cases=extra, study={**STUDY, "stability": stability}) == [
        "cases.csv, row 5: 'perturbed-1' is a name for perturbed readings; choose another"
    ]


def test_patterns_of_regions_must_name_something(tmp_path):
    regions = {"rim": {"kind": "ring", "of": "tumour*", "inside": "liver"}}
    study = {**STUDY, "images": {"organs": ["liver"], "regions": regions}}
    assert problems(tmp_path, study=study) == [
        "cases.csv: no region is called 'tumour*', which images/regions/rim in study.yaml names",
        "cases.csv: no region is called 'liver', which images/regions/rim in study.yaml names",
    ]


def test_an_organ_is_no_lesion(tmp_path):
    lesions = LESIONS + "P2,liver,good\n"
    found = problems(tmp_path, lesions=lesions, cases=WITH_LIVER, study={**STUDY, "images": LIVER})
    assert found == ["lesions.csv, row 5: 'liver' is no lesion but an organ (images/organs)"]


CLINICAL = {"unit": "patient", "variables": NO_LESIONS["variables"], "endpoints": {}}


def clinical(folder, patients=PATIENTS, study=CLINICAL, columns=None, lesions=None):
    path = folder / "patients.csv"
    path.write_text(patients, encoding="utf-8")
    return read_cohort(path, lesions, None, None, study, SCHEMAS, columns)


def test_without_images_every_patient_is_a_unit(tmp_path):
    cohort = clinical(tmp_path, "patient,grade,ki67,note\nP2,2,20,x\nP1,,3.5,\nP3,1,NA,\n")
    assert cohort.patients["patient"].tolist() == ["P2", "P1", "P3"]
    assert cohort.patients["ki67"].isna().tolist() == [False, False, True]
    assert cohort.lesions.to_numpy().tolist() == [["P2", WHOLE], ["P1", WHOLE], ["P3", WHOLE]]
    assert cohort.cases.empty
    assert cohort.cases.columns.tolist() == ["patient", "phase", "region", "rater", *FREE]
    assert cohort.notes == ["patients.csv: columns that the study does not declare were left out: note."]
    assert cohort.patients.index.tolist() == cohort.lesions.index.tolist() == [0, 1, 2]


def test_without_images_the_table_of_patients_is_judged_as_ever(tmp_path):
    with pytest.raises(InputError) as caught:
        clinical(tmp_path, "patient,grade,ki67\nP1,4,3.5\nP1,1,200\nNA,1,3\n")
    assert str(caught.value).splitlines()[1:] == [
        "- patients.csv, row 2, column 'grade': '4' is not allowed; allowed are '1', '2', '1-3'",
        "- patients.csv, row 3, column 'ki67': 200.0 must be at most 100",
        "- patients.csv, row 4: the entry for 'patient' is missing",
        "- patients.csv, row 3: the same patient as row 2",
    ]
    renamed = clinical(tmp_path, PATIENTS.replace("ki67", "KI-67"), columns={"ki67": "KI-67"})
    assert renamed.patients["ki67"].tolist() == [3.5, 20]


def test_without_images_there_is_no_table_of_lesions_to_hold_a_variable(tmp_path):
    with pytest.raises(InputError, match=r"variables of level lesion \(response\)"):
        clinical(tmp_path, study={**CLINICAL, "variables": STUDY["variables"]})


def test_the_clinical_study_of_the_workflow_s_tests_is_read(tmp_path):
    folder = SCHEMAS.parents[1] / "tests/workflow/clinical"
    study = load_study(folder / "study.yaml", SCHEMAS)
    cohort = read_cohort(folder / "patients.csv", None, None, None, study, SCHEMAS)
    table = pd.read_csv(folder / "patients.csv", dtype=str)
    assert len(cohort.patients) == len(cohort.lesions) == len(table)
    for name, variable in study["variables"].items():
        found = cohort.patients[name]
        if variable["type"] == "continuous":
            np.testing.assert_allclose(found, table[name].astype(float))
        else:
            assert found.dropna().tolist() == table[name].dropna().tolist()
