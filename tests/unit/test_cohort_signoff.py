from pathlib import Path

import pandas as pd
import pytest

from nenflow.cohort.signoff import SIGNOFF, apply_signoff, read_signoff, signoff_template
from nenflow.errors import InputError
from nenflow.features.measures import drop_excluded
from nenflow.tables import CASE

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow" / "schemas"
STUDY = {"images": {"regions": {"rim": {"kind": "ring"}, "burden": {"kind": "union"}}}}
CASES = pd.DataFrame(
    [("P1", "arterial", "l1", "reader1"), ("P1", "arterial", "l2", "reader1"), ("P2", "arterial", "l1", "reader1")],
    columns=CASE,
)
HEADER = "patient,phase,region,rater,decision,reason,flags\n"


def read(folder, rows):
    path = folder / "qc_signoff.csv"
    path.write_text(HEADER + rows, encoding="utf-8")
    return read_signoff(path, CASES, STUDY, SCHEMAS)


def problems(folder, rows):
    with pytest.raises(InputError) as caught:
        read(folder, rows)
    return [line.removeprefix("- qc_signoff.csv, ") for line in str(caught.value).splitlines()[1:]]


def imported(*status):
    rows = CASES.assign(role="drawn", status=list(status), reason="", voxels=50.0, flags=["", "few voxels", ""])
    rows.loc[rows["status"] == "excluded", ["reason", "voxels"]] = ["too small", None]
    return rows


def test_a_study_without_the_table_has_no_decisions():
    table = read_signoff(None, CASES, STUDY, SCHEMAS)
    assert table.columns.tolist() == SIGNOFF
    assert table.empty


def test_decisions_may_be_blank_and_name_computed_regions(tmp_path):
    rows = (
        "P1,arterial,l1,reader1,ok,,\nP1,arterial,l2,reader1,,,few voxels\nP1,arterial,l1-rim,reader1,exclude,vessel,\n"
    )
    table = read(tmp_path, rows + "P1,arterial,burden,reader1,ok,,\n")
    assert table["decision"].tolist() == ["ok", "", "exclude", "ok"]
    assert table["reason"].tolist() == ["", "", "vessel", ""]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("P1,arterial,l1,reader1,exclude,,", "row 2: exclude needs a reason, which the cohort flow shows"),
        ("P1,arterial,l9,reader1,ok,,", "row 2: there is no case P1, arterial, l9, reader1 in the table of cases"),
        (
            "P3,arterial,l1-rim,reader1,ok,,",
            "row 2: there is no case P3, arterial, l1-rim, reader1 in the table of cases",
        ),
        (
            "P1,arterial,l1,reader1,maybe,,",
            "row 2, column 'decision': 'maybe' is not allowed; allowed are 'ok', 'exclude'",
        ),
        (
            "P1,arterial,l1,reader1,ok,,\nP1,arterial,l1,reader1,ok,,",
            "row 3: the same patient, phase, region, rater as row 2",
        ),
    ],
)
def test_mistakes_are_named_with_their_row(tmp_path, row, sentence):
    assert problems(tmp_path, row + "\n") == [sentence]


def test_an_excluded_case_leaves_with_its_reason_and_its_features(tmp_path):
    signoff = read(tmp_path, "P1,arterial,l2,reader1,exclude,outline misses,\nP2,arterial,l1,reader1,ok,,\n")
    cases = apply_signoff(imported("included", "included", "included"), signoff, {}, "reader1")
    assert cases["status"].tolist() == ["included", "excluded", "included"]
    assert cases["reason"].tolist() == ["", "excluded at quality control: outline misses", ""]
    features = CASES.assign(volume=[1.0, 2.0, 3.0])
    assert drop_excluded(features, cases)["volume"].tolist() == [1.0, 3.0]
    nothing = drop_excluded(features.head(0), cases)
    assert nothing.columns.tolist() == [*CASE, "volume"]


def test_what_a_stage_refused_keeps_its_own_reason(tmp_path):
    signoff = read(tmp_path, "P1,arterial,l1,reader1,exclude,outline misses,\nP1,arterial,l2,reader1,ok,,\n")
    cases = apply_signoff(imported("excluded", "excluded", "included"), signoff, {}, "reader1")
    assert cases["status"].tolist() == ["excluded", "excluded", "included"]
    assert cases["reason"].tolist() == ["too small", "too small", ""]


def test_the_template_lists_every_pictured_case_with_the_decisions_so_far(tmp_path):
    signoff = read(tmp_path, "P1,arterial,l2,reader1,ok,,\n")
    template = signoff_template(imported("excluded", "included", "included"), signoff)
    assert template.columns.tolist() == [*SIGNOFF, "flags"]
    assert template["region"].tolist() == ["l2", "l1"]
    assert template["decision"].tolist() == ["ok", ""]
    assert template["flags"].tolist() == ["few voxels", ""]
    path = tmp_path / "again.csv"
    template.to_csv(path, index=False)
    assert read_signoff(path, CASES, STUDY, SCHEMAS)["decision"].tolist() == ["ok", ""]


RULES = {
    "rim": {"kind": "ring", "of": "l*", "inside": "organ"},
    "burden": {"kind": "union", "of": "l*"},
    "tissue": {"kind": "rest", "of": "organ", "without": ["l*"]},
}


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (("P1", "l2", "reader1"), {"l1-rim"}),
        (("P1", "organ", "reader1"), {"burden"}),
        (("P1", "l1", "reader2"), {"l1-rim", "l2-rim", "burden", "tissue"}),
        (("P2", "l1", "reader1"), {"l1-rim", "l2-rim", "burden", "tissue"}),
    ],
)
def test_what_was_computed_from_an_excluded_case_leaves_with_it(gone, left):
    patient, region, rater = gone
    signoff = pd.DataFrame([(patient, "arterial", region, rater, "exclude", "wrong")], columns=SIGNOFF)
    computed = ["l1-rim", "l2-rim", "burden", "tissue"]
    cases = pd.DataFrame({"region": computed, "role": "computed", "status": "included", "reason": ""})
    cases = apply_signoff(cases.assign(patient="P1", phase="arterial", rater="reader1"), signoff, RULES, "reader1")
    assert set(cases.loc[cases["status"] == "included", "region"]) == left
    reasons = set(cases.loc[cases["status"] == "excluded", "reason"])
    assert reasons <= {f"it depends on {region}, which was excluded at quality control"}
