import pandas as pd
import pytest

from nenflow.cohort.flow import flow, list_exclusions, remaining
from nenflow.tables import read_table, write_table

PATIENTS = ["A", "B", "C", "D"]
UNITS = pd.MultiIndex.from_tuples(
    [("A", "1"), ("A", "2"), ("B", "1"), ("B", "2"), ("C", "1")], names=["patient", "region"]
)
CASE = ["patient", "phase", "region", "rater"]


def status(*rows):
    return pd.DataFrame(rows, columns=[*CASE, "status", "reason"])


def failures(*rows):
    return pd.DataFrame(rows, columns=[*CASE, "reason"])


STATUS = status(
    ("A", "arterial", "1", "reader1", "included", None),
    ("A", "arterial", "2", "reader1", "excluded", "empty mask"),
    ("A", "arterial", "2", "reader2", "included", None),  # another reader's mask does not save the unit
    ("B", "arterial", "1", "reader1", "included", None),
    ("B", "arterial", "2", "reader2", "included", None),
    ("C", "arterial", "1", "reader1", "excluded", "empty mask"),
)
FAILED = failures(("B", "arterial", "1", "reader1", "one voxel"))


def listed(*arguments):
    return list_exclusions(*arguments).to_numpy().tolist()


def test_every_unit_that_leaves_is_listed_with_its_first_reason():
    assert listed(PATIENTS, UNITS, STATUS, [FAILED], "reader1") == [
        ["D", "", "cohort", "no region declared"],
        ["A", "2", "images", "empty mask"],
        ["B", "1", "features", "one voxel"],
        ["B", "2", "cohort", "no segmentation by reader1"],
        ["C", "1", "images", "empty mask"],
    ]


def test_units_of_a_feature_table_leave_where_it_lacks_them_or_their_values():
    cases = STATUS[CASE]  # nobody looked at images, so there is no status
    assert listed(PATIENTS, UNITS, cases, [FAILED], "reader1") == [
        ["D", "", "cohort", "no region declared"],
        ["B", "1", "features", "one voxel"],
        ["B", "2", "cohort", "no row in the feature tables"],
    ]


def test_a_unit_stays_while_one_phase_or_one_extraction_can_be_used():
    units = UNITS[:1]
    arterial = ("A", "arterial", "1", "reader1", "excluded", "gantry tilt")
    portal = ("A", "portal", "1", "reader1", "included", None)
    assert listed(["A"], units, status(arterial, portal), [], "reader1") == []
    failed = failures(("A", "portal", "1", "reader1", "one voxel"))
    assert listed(["A"], units, status(portal), [failed, failures()], "reader1") == []
    assert listed(["A"], units, status(portal), [failed, failed], "reader1") == [["A", "1", "features", "one voxel"]]
    both = status(arterial, (*portal[:4], "excluded", "empty mask"))
    assert listed(["A"], units, both, [], "reader1") == [
        ["A", "1", "images", "arterial: gantry tilt; portal: empty mask"]
    ]


def test_flow_counts_who_enters_leaves_and_remains(tmp_path):
    exclusions = list_exclusions(PATIENTS, UNITS, STATUS, [FAILED], "reader1")
    expected = [
        ["declared", 4, 5, 0, 0, ""],
        ["cohort", 3, 5, 1, 0, "no region declared"],
        ["images", 2, 3, 1, 2, "empty mask"],
        ["features", 2, 2, 0, 1, "one voxel"],
        ["cohort", 1, 1, 1, 1, "no segmentation by reader1"],
        ["analysed", 1, 1, 0, 0, ""],
    ]
    assert flow(PATIENTS, UNITS, exclusions).to_numpy().tolist() == expected
    write_table(exclusions, tmp_path / "exclusions.csv")
    again = read_table(tmp_path / "exclusions.csv")
    assert flow(PATIENTS, UNITS, again).to_numpy().tolist() == expected
    assert remaining(UNITS, exclusions).tolist() == [("A", "1")]


def test_a_unit_excluded_twice_leaves_once():
    exclusions = pd.DataFrame(
        [("C", "1", "images", "empty mask"), ("C", "1", "clinical data", "no value for Ki-67")],
        columns=["patient", "region", "step", "reason"],
    )
    table = flow(["A", "B", "C"], UNITS, exclusions)
    assert table[["excluded_patients", "excluded_lesions"]].to_numpy().tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("stranger", [("E", "1"), ("A", "9"), ("A", "")])
def test_an_exclusion_of_nobody_is_refused(stranger):
    exclusions = pd.DataFrame([(*stranger, "images", "x")], columns=["patient", "region", "step", "reason"])
    with pytest.raises(ValueError, match="not among the declared"):
        flow(PATIENTS, UNITS, exclusions)
