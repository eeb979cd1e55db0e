import numpy as np
import pandas as pd
import pytest

from nenflow.errors import InputError
from nenflow.models.dataset import assemble_dataset, split
from nenflow.tables import UNIT

STUDY = {
    "unit": "lesion",
    "variables": {
        "response": {"label": "Response", "level": "lesion", "type": "categorical", "levels": ["good", "bad"]},
        "ki67": {"label": "Ki-67 (%)", "level": "patient", "type": "continuous"},
        "grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2", "3"]},
    },
    "endpoints": {"response": {"variable": "response", "event": "bad"}},
    "stability": {"readings": {"reference": "reader1", "intra": "reader1-again"}},
}
ANALYSIS = {"endpoint": "response", "phase": "arterial", "clinical": ["ki67", "grade"]}
NO_EXCLUSIONS = pd.DataFrame(columns=["patient", "region", "step", "reason"])
NO_CASES = pd.DataFrame(columns=["patient", "phase", "region", "rater", "status", "reason"])


def units(**changes):
    table = pd.DataFrame(
        {
            "response": ["bad", "good", "bad"],
            "ki67": [10.0, 20.0, 30.0],
            "grade": ["3", "1", "2"],
        },
        index=pd.MultiIndex.from_tuples([("P1", "l1"), ("P1", "l2"), ("P2", "l1")], names=UNIT),
    )
    return table.assign(**changes)


def features(rows):
    return pd.DataFrame(rows, columns=["patient", "phase", "region", "rater", "f1"])


ALL = features(
    [
        ("P1", "arterial", "l1", "reader1", 1.0),
        ("P1", "arterial", "l2", "reader1", 2.0),
        ("P2", "arterial", "l1", "reader1", 3.0),
        ("P1", "arterial", "l1", "reader1-again", 9.0),
        ("P1", "venous", "l1", "reader1", 8.0),
    ]
)


def test_each_unit_has_its_outcome_codes_and_the_reference_features():
    dataset, exclusions = assemble_dataset(ALL, units(), NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)
    assert dataset.reset_index().to_numpy().tolist() == [
        ["P1", "l1", 1, 10.0, 3.0, 1.0],
        ["P1", "l2", 0, 20.0, 1.0, 2.0],
        ["P2", "l1", 1, 30.0, 2.0, 3.0],
    ]
    assert exclusions.empty


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ki67": [10.0, np.nan, 30.0]}, "no value for Ki-67 (%)"),
        ({"response": ["bad", None, "bad"], "grade": ["3", None, "2"]}, "no value for the outcome, Grade"),
    ],
)
def test_a_unit_without_a_value_is_left_out_with_the_reason(changes, reason):
    complete = ANALYSIS | {"missing": "complete"}
    dataset, exclusions = assemble_dataset(ALL, units(**changes), NO_EXCLUSIONS, NO_CASES, complete, STUDY)
    assert exclusions.to_numpy().tolist() == [["P1", "l2", "clinical data", reason]]
    assert dataset.index.tolist() == [("P1", "l1"), ("P2", "l1")]


def test_missing_values_are_refused_with_their_number_unless_the_model_says_what_to_do():
    some = units(ki67=[10.0, np.nan, 30.0], grade=["3", None, None])
    with pytest.raises(InputError, match=r"Ki-67 \(%\) 1, Grade 2; fill them in"):
        assemble_dataset(ALL, some, NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)
    imputed = ANALYSIS | {"missing": "impute"}
    dataset, exclusions = assemble_dataset(ALL, some, NO_EXCLUSIONS, NO_CASES, imputed, STUDY)
    assert exclusions.empty
    assert dataset[["ki67", "grade"]].isna().sum().tolist() == [1, 2]


def test_a_unit_without_outcome_is_no_missing_value():
    without = units(response=["bad", None, "bad"], grade=["3", None, "2"])
    _, exclusions = assemble_dataset(ALL, without, NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)
    assert exclusions["reason"].tolist() == ["no value for the outcome"]


def survival_study():
    variables = STUDY["variables"] | {
        "status": {"label": "Status", "level": "patient", "type": "categorical", "levels": ["alive", "dead", "other"]},
        "months": {"label": "Survival (months)", "level": "patient", "type": "continuous"},
    }
    survival = {"variable": "status", "event": "dead", "competing": "other", "time": "months", "times": [12]}
    return STUDY | {"variables": variables, "endpoints": {"survival": survival}}


def test_a_time_to_event_outcome_has_two_columns_and_needs_follow_up():
    followed = units(status=["dead", "alive", "other"], months=[3.0, 0.0, 7.5])
    analysis = {"endpoint": "survival", "clinical": ["ki67"]}
    dataset, exclusions = assemble_dataset(None, followed, NO_EXCLUSIONS, NO_CASES, analysis, survival_study())
    assert dataset.columns.tolist() == ["time", "event", "ki67"]
    assert dataset.to_numpy().tolist() == [[3.0, 1, 10.0], [7.5, 2, 30.0]]
    assert exclusions["reason"].tolist() == ["the time of follow-up is not over 0"]
    X, y = split(dataset)
    assert (list(X), list(y)) == (["ki67"], ["time", "event"])


def test_strata_are_part_of_the_outcome():
    study = survival_study()
    study["variables"]["site"] = {"label": "Hospital", "level": "patient", "type": "categorical", "levels": ["1", "2"]}
    analysis = {"endpoint": "survival", "clinical": ["ki67"], "strata": "site"}
    followed = units(status=["dead", "alive", "other"], months=[3.0, 5.0, 7.5], site=["2", "1", "2"])
    X, y = split(assemble_dataset(None, followed, NO_EXCLUSIONS, NO_CASES, analysis, study)[0])
    assert (list(X), list(y)) == (["ki67"], ["time", "event", "stratum"])
    assert y["stratum"].tolist() == ["2", "1", "2"]
    unknown = followed.assign(site=["2", None, "2"])
    with pytest.raises(InputError, match="1 patients have no value of Hospital, by which the Cox model is stratified"):
        assemble_dataset(None, unknown, NO_EXCLUSIONS, NO_CASES, analysis, study | {"unit": "patient"})


def test_a_unit_without_features_of_the_phase_is_left_out_with_the_reason():
    _, exclusions = assemble_dataset(ALL.drop(index=1), units(), NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)
    assert exclusions.to_numpy().tolist() == [
        ["P1", "l2", "features", "no features of reader1's segmentation in the phase arterial"]
    ]


def test_cases_of_a_feature_table_have_no_status_and_are_no_error():
    cases = ALL[["patient", "phase", "region", "rater"]]
    _, exclusions = assemble_dataset(ALL.drop(index=1), units(), NO_EXCLUSIONS, cases, ANALYSIS, STUDY)
    assert exclusions[["patient", "region", "step"]].to_numpy().tolist() == [["P1", "l2", "features"]]


@pytest.mark.parametrize(("analysis", "region"), [(ANALYSIS, "l2"), (ANALYSIS | {"region": "rim"}, "l2-rim")])
def test_what_the_images_stage_said_is_the_reason(analysis, region):
    features = ALL.assign(region=ALL["region"] + ("-rim" if "region" in analysis else "")).drop(index=1)
    cases = pd.DataFrame(
        [
            ("P1", "portal", region, "reader1", "excluded", "another phase"),
            ("P1", "arterial", region, "reader1", "excluded", "outline misses it"),
        ],
        columns=NO_CASES.columns,
    )
    _, exclusions = assemble_dataset(features, units(), NO_EXCLUSIONS, cases, analysis, STUDY)
    assert exclusions.to_numpy().tolist() == [["P1", "l2", "features", "outline misses it"]]


def test_an_earlier_reason_stands_alone():
    earlier = pd.DataFrame([("P1", "l2", "images", "the mask is empty")], columns=NO_EXCLUSIONS.columns)
    _, exclusions = assemble_dataset(ALL.drop(index=1), units(), earlier, NO_CASES, ANALYSIS, STUDY)
    assert exclusions.to_numpy().tolist() == earlier.to_numpy().tolist()


def test_a_feature_without_a_value_is_refused():
    with pytest.raises(InputError, match=r"1 features \(first f1\) have no value for some lesion"):
        assemble_dataset(ALL.assign(f1=[1.0, np.nan, 3.0, 9.0, 8.0]), units(), NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)


def test_nobody_left_is_refused():
    with pytest.raises(InputError, match="No lesion is left"):
        assemble_dataset(ALL.iloc[:0], units(), NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)


TWO_PHASES = features(
    [
        ("P1", "arterial", "l1", "reader1", 1.0),
        ("P1", "portal", "l1", "reader1", 4.0),
        ("P1", "arterial", "l2", "reader1", 2.0),
        ("P2", "portal", "l1", "reader1", 6.0),
        ("P2", "arterial", "l1", "reader1", 3.0),
        ("P1", "portal", "l2", "reader1-again", 7.0),
    ]
)
BOTH = ANALYSIS | {"phase": ["arterial", "portal"]}


def test_features_of_two_phases_stand_side_by_side_and_a_unit_without_one_is_left_out():
    dataset, exclusions = assemble_dataset(TWO_PHASES, units(), NO_EXCLUSIONS, NO_CASES, BOTH, STUDY)
    assert dataset.columns.tolist() == ["outcome", "ki67", "grade", "arterial_f1", "portal_f1"]
    assert dataset[["arterial_f1", "portal_f1"]].to_numpy().tolist() == [[1.0, 4.0], [3.0, 6.0]]
    assert exclusions.to_numpy().tolist() == [
        ["P1", "l2", "features", "no features of reader1's segmentation in the phase portal"]
    ]
    said = pd.DataFrame([("P1", "portal", "l2", "reader1", "excluded", "cut off")], columns=NO_CASES.columns)
    _, exclusions = assemble_dataset(TWO_PHASES, units(), NO_EXCLUSIONS, said, BOTH, STUDY)
    assert exclusions["reason"].tolist() == ["portal: cut off"]


def test_a_list_of_one_phase_keeps_the_plain_names():
    listed = assemble_dataset(ALL, units(), NO_EXCLUSIONS, NO_CASES, ANALYSIS | {"phase": ["arterial"]}, STUDY)[0]
    plain = assemble_dataset(ALL, units(), NO_EXCLUSIONS, NO_CASES, ANALYSIS, STUDY)[0]
    pd.testing.assert_frame_equal(listed, plain)


def test_only_the_features_that_are_named_take_part():
    two = TWO_PHASES.assign(f2=1.5)
    named = BOTH | {"features": ["portal_f2", "arterial_f1"]}
    dataset, _ = assemble_dataset(two, units(), NO_EXCLUSIONS, NO_CASES, named, STUDY)
    assert dataset.columns.tolist() == ["outcome", "ki67", "grade", "portal_f2", "arterial_f1"]
    with pytest.raises(InputError, match=r"no feature 'f1', which study.yaml names .* called like arterial_f1"):
        assemble_dataset(two, units(), NO_EXCLUSIONS, NO_CASES, BOTH | {"features": ["f1"]}, STUDY)
