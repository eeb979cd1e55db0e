"""Feature tables made elsewhere: the same values come out, whoever wrote them; whatever is ambiguous is refused."""

from pathlib import Path

import pandas as pd
import pytest

from nenflow.cohort.checks import read_cohort
from nenflow.errors import InputError
from nenflow.features.tables import NO_VALUES, read_feature_tables
from nenflow.tables import CASE, WHOLE, write_table

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow" / "schemas"
STUDY = {
    "unit": "lesion",
    "variables": {"grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2"]}},
    "stability": {"readings": {"reference": "reader1"}},
    "extractions": {"original": {"table": "features.csv"}},
}
NAMES = {"columns": {"patient": "ID", "region": "Lesion"}, "fixed": {"phase": "arterial"}}
VALUES = {"original_firstorder_Mean": [64.25, 1e-7, -3.0], "wavelet-LLH_glcm_Contrast": [0.1, 31.5, 1 / 3]}
KEYS = [("P1", "arterial", "l1", "reader1"), ("P1", "arterial", "l2", "reader1"), ("P2", "arterial", "l1", "reader1")]
EXPECTED = pd.concat([pd.DataFrame(KEYS, columns=CASE), pd.DataFrame(VALUES)], axis=1)

PYRADIOMICS = (
    "ID,Lesion,Image,Mask,diagnostics_Versions_PyRadiomics,diagnostics_Configuration_Settings,"
    "original_firstorder_Mean,wavelet-LLH_glcm_Contrast\n"
    "P1,l1,/data/Doe/ct.nii,/data/Doe/seg.nii,v3.0.1,\"{'binWidth': 25, 'label': 1}\",64.25,0.1\n"
    "P1,l2,/data/Doe/ct.nii,/data/Doe/seg.nii,v3.0.1,\"{'binWidth': 25, 'label': 1}\",1e-07,31.5\n"
    "P2,l1,/data/Roe/ct.nii,/data/Roe/seg.nii,v3.0.1,\"{'binWidth': 25, 'label': 1}\",-3,0.3333333333333333\n"
)
# SlicerRadiomics: a scene per patient, saved from 3D Slicer with tabs.
SLICER = {
    "P1.tsv": (
        "Image type\tFeature Class\tFeature Name\tJane Doe_segment_l1\tJane Doe_segment_l2\n"
        "diagnostics\tVersions\tPyRadiomics\tv3.0.1\tv3.0.1\n"
        "diagnostics\tConfiguration\tSettings\t{'label': 1}\t{'label': 1}\n"
        "original\tfirstorder\tMean\t64.25\t1e-07\n"
        "wavelet-LLH\tglcm\tContrast\t0.1\t31.5\n"
    ),
    "P2.tsv": (
        "Image type\tFeature Class\tFeature Name\tRoe_segment_l1\n"
        "diagnostics\tVersions\tPyRadiomics\tv2.2.0\n"
        "original\tfirstorder\tMean\t-3\n"
        "wavelet-LLH\tglcm\tContrast\t0.3333333333333333\n"
    ),
}


def read(folder, tables, template="features.csv", study=STUDY, **settings):
    """What a table gives, or its problems."""
    tables = tables if isinstance(tables, dict) else {"features.csv": tables}
    for name, content in tables.items():
        (folder / name).write_text(content, encoding="utf-8")
    problems = []
    files = [folder / name for name in tables]
    found = read_feature_tables(files, (folder / template).as_posix(), settings, study, problems)
    assert (found is None) == bool(problems)
    return found or problems


def test_a_row_per_case_as_pyradiomics_writes_it(tmp_path):
    found = read(tmp_path, PYRADIOMICS, **NAMES)
    pd.testing.assert_frame_equal(found.features, EXPECTED, check_exact=True)
    assert found.failures.empty
    assert found.software.to_dict("records") == [{"software": "PyRadiomics", "version": "v3.0.1", "cases": 3}]
    assert found.notes == [
        "features.csv: columns that are neither features nor named in study.yaml were left out: Image, Mask."
    ]


def test_a_row_per_feature_as_slicer_writes_it(tmp_path):
    found = read(tmp_path, SLICER, "{patient}.tsv", fixed={"phase": "arterial"})
    pd.testing.assert_frame_equal(found.features, EXPECTED, check_exact=True)
    assert found.software["version"].tolist() == ["v2.2.0", "v3.0.1"]
    assert found.software["cases"].tolist() == [1, 2]
    assert found.notes == []


def test_the_names_of_slicers_columns_may_say_the_rater(tmp_path):
    study = {**STUDY, "stability": {"readings": {"reference": "reader1", "inter": "reader2"}}}
    content = SLICER["P1.tsv"].replace("Jane Doe_segment_l1", "reader2_l2").replace("Jane Doe_segment", "reader1")
    options = {"segments": "{rater}_{region}", "fixed": {"phase": "arterial"}}
    found = read(tmp_path, {"P1.tsv": content}, "{patient}.tsv", study, **options)
    assert found.features[["region", "rater"]].values.tolist() == [["l2", "reader2"], ["l2", "reader1"]]
    assert found.features["original_firstorder_Mean"].tolist() == [64.25, 1e-7]


def test_what_nenflow_writes_is_read_as_it_is(tmp_path):
    write_table(EXPECTED, tmp_path / "own.csv")
    found = read(tmp_path, (tmp_path / "own.csv").read_text())
    pd.testing.assert_frame_equal(found.features, EXPECTED, check_exact=True)
    assert found.software.empty
    assert found.notes == []


def test_a_case_without_any_value_failed_and_is_no_mistake(tmp_path):
    found = read(tmp_path, PYRADIOMICS.replace("1e-07,31.5", ","), **NAMES)
    assert found.failures.to_dict("records") == [dict(zip(CASE, KEYS[1], strict=True)) | {"reason": NO_VALUES}]
    assert found.features[CASE].values.tolist() == [list(KEYS[0]), list(KEYS[2])]
    assert len(found.cases) == 3


def test_signs_in_names_are_rewritten_and_a_whole_patient_needs_no_region(tmp_path):
    study = {**STUDY, "unit": "patient"}
    content = "patient,phase,original_firstorder_Mean\nSTS_1,late arterial,1\nSTS_2,late arterial,2\n"
    found = read(tmp_path, content, study=study)
    assert found.features[CASE].values.tolist() == [
        ["STS-1", "late-arterial", WHOLE, "reader1"],
        ["STS-2", "late-arterial", WHOLE, "reader1"],
    ]
    assert found.notes == ["features.csv: signs in 4 identifiers were rewritten as '-'."]


IDENTIFIER = "must be an identifier (letters, digits and '-' only, at most 64, and no word for a missing value), not a "
IDENTIFIER += "path or a name; see columns in study.yaml"


@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        (("31.5", ""), NAMES, "features.csv, row 3: wavelet-LLH_glcm_Contrast has no value"),
        (("31.5", "nan"), NAMES, "features.csv, row 3: wavelet-LLH_glcm_Contrast has no value"),
        *(
            (
                ("31.5", text),
                NAMES,
                "features.csv, row 3: wavelet-LLH_glcm_Contrast is not a finite number such as 3.5 (with a decimal ",
            )
            for text in ("inf", "failed", "1_000", '"31,5"')
        ),
        (
            ("P1,l2", "P1,l1"),
            NAMES,
            "features.csv, row 3: the same patient, phase, region and rater as features.csv, row 2",
        ),
        (("P2,l1", "p1,l2"), NAMES, "features.csv, row 4: the patient is spelt otherwise in features.csv, row 2; "),
        (("P2,l1", ",l1"), NAMES, "features.csv, row 4: nothing says the patient"),
        (("P2,l1", "Jane Doe,l1"), NAMES, f"features.csv, row 4: the patient {IDENTIFIER}"),
        (("P2,l1", "NA,l1"), NAMES, f"features.csv, row 4: the patient {IDENTIFIER}"),
        (
            ("", ""),
            {**NAMES, "columns": {"patient": "Image", "region": "Lesion"}},
            f"features.csv, row 2: the patient {IDENTIFIER}",
        ),
        (
            ("", ""),
            {**NAMES, "columns": {"patient": "Id", "region": "Lesion"}},
            "features.csv: study.yaml calls a column 'Id', but there is none",
        ),
        (
            ("", ""),
            {"columns": NAMES["columns"]},
            "features.csv: nothing says the phase; name its column under columns, or give it under fixed",
        ),
        (
            ("Image,", "phase,"),
            NAMES,
            "features.csv: the column 'phase' says the phase, but study.yaml or the file's name says it too",
        ),
        (
            ("_", "-"),
            NAMES,
            "features.csv: no column is named as pyradiomics names features, such as original_firstorder_Mean",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_row(tmp_path, change, settings, sentence):
    found = read(tmp_path, PYRADIOMICS.replace(*change), **settings)
    assert found[0].startswith(sentence)
    assert not any("Doe" in problem or "/data" in problem for problem in found)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("31.5", ""), "P1.tsv, column 5: wavelet-LLH_glcm_Contrast has no value"),
        (
            ("_segment_l2", "_segment_l1"),
            "P1.tsv, row 1: the column 'Jane Doe_segment_l1' stands twice",
        ),
        (
            ("Jane Doe_segment_l2", "Other_segment_l1"),
            "P1.tsv, column 5: the same patient, phase, region and rater as P1.tsv, column 4",
        ),
        (("wavelet-LLH\tglcm\tContrast", "original\tfirstorder\tMean"), "P1.tsv: the feature original_firstorder_Mean"),
        (("wavelet-LLH", "wavelet-HHH"), "P1.tsv: lacks 1 feature(s) that other tables have, the first being wavelet-"),
        (("_segment_", "_region_"), "P1.tsv: no column's name fits segments in study.yaml (*_segment_{region})"),
    ],
)
def test_what_is_wrong_in_slicers_table_is_refused_with_its_column(tmp_path, change, sentence):
    tables = SLICER | {"P1.tsv": SLICER["P1.tsv"].replace(*change)}
    found = read(tmp_path, tables, "{patient}.tsv", fixed={"phase": "arterial"})
    assert any(problem.startswith(sentence) for problem in found), found


def test_a_file_whose_name_can_be_read_in_two_ways_is_refused(tmp_path):
    options = {"fixed": {"region": "l1"}, "segments": "*_segment_l1"}
    found = read(tmp_path, {"STS_1_late.tsv": SLICER["P2.tsv"]}, "{patient}_{phase}.tsv", **options)
    assert found == ["STS_1_late.tsv: its name can be read in 2 ways as {patient}_{phase}.tsv; rename the file"]


# --- as a cohort ------------------------------------------------------------------------------------------------


def cohort(folder, table=PYRADIOMICS, lesions="patient,region\nP1,l1\nP1,l2\nP2,l1\n", settings=NAMES, **study):
    """The checked cohort of a study that starts from a table."""
    (folder / "patients.csv").write_text("patient,grade\nP1,1\nP2,2\n")
    (folder / "features.csv").write_text(table)
    if lesions:
        (folder / "lesions.csv").write_text(lesions)
    return read_cohort(
        patients=folder / "patients.csv",
        lesions=folder / "lesions.csv" if lesions else None,
        cases=None,
        data=None,
        study={**STUDY, "extractions": {"original": settings}, **study},
        schemas=SCHEMAS,
        imported={"original": {"template": "features.csv", "files": [folder / "features.csv"]}},
    )


def test_units_are_the_tables_where_nobody_lists_lesions(tmp_path):
    for lesions in ("patient,region\nP1,l1\nP1,l2\nP2,l1\n", None):
        found = cohort(tmp_path, lesions=lesions)
        assert found.lesions.values.tolist() == [["P1", "l1"], ["P1", "l2"], ["P2", "l1"]]
        assert found.cases[CASE].values.tolist() == [list(key) for key in KEYS]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"table": PYRADIOMICS.replace("P2,", "P3,")},
            "- features.csv, row 4: patient 'P3' is not in patients.csv",
        ),
        (
            {"lesions": "patient,region\nP1,l1\nP2,l1\n"},
            "- features.csv, row 3: 'l2' of 'P1' is not in lesions.csv",
        ),
        (
            {"unit": "patient", "lesions": None},
            "- features.csv, row 3: a second region of 'P1', though the study's unit is the patient; keep one of them",
        ),
        (
            {"models": {"fusion": {"phase": "portal", "steps": []}}},
            "- the feature tables: 'reader1' drew nothing in the phase 'portal', which study.yaml names (model fusion)",
        ),
        (
            {"settings": {**NAMES, "fixed": {"phase": "arterial", "rater": "reader9"}}},
            "- the feature tables: no row has the rater 'reader1', who is the reference in study.yaml",
        ),
        ({"table": PYRADIOMICS.replace("64.25", "x")}, "- features.csv, row 2: original_firstorder_Mean is not a "),
    ],
)
def test_a_table_that_does_not_fit_the_study_is_refused(tmp_path, options, sentence):
    with pytest.raises(InputError) as caught:
        cohort(tmp_path, **options)
    assert any(line.startswith(sentence) for line in str(caught.value).splitlines()), str(caught.value)
