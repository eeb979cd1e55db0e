import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nenflow.cohort.flow import flow, list_exclusions, lost_regions
from nenflow.cohort.units import read_units
from nenflow.features.conformance import DIGITAL_PHANTOM
from nenflow.features.measures import aggregate_regions, left_out_regions, measure_patients
from nenflow.images.quality import PEAK_MM, intensity_peak
from nenflow.models.dataset import assemble_dataset
from nenflow.stability import unit_features
from nenflow.tables import CASE, WHOLE, write_table

COLUMNS = ["patient", "phase", "region", "role", "status", "volume_mm3", "voxels", "mean", "maximum", "peak"]
ROWS = [
    ("A", "pet", "liver-1", "drawn", "included", 2000.0, 20, 5.0, 9.0, 7.0),
    ("A", "pet", "liver-2", "drawn", "included", 6000.0, 60, 9.0, 11.0, 6.0),
    ("A", "pet", "bone-1", "drawn", "included", 1000.0, 10, 1.0, 40.0, 3.0),
    ("A", "pet", "all", "computed", "included", 9000.0, 90, 7.2, 40.0, 7.0),
    ("A", "pet", "liver", "organ", "included", 900000.0, 9000, 4.0, 12.0, 10.0),
    ("A", "ct", "liver-1", "drawn", "included", 50.0, 5, 80.0, 90.0, 85.0),
    ("B", "pet", "bone-1", "drawn", "included", 500.0, 5, 2.0, 3.0, 2.5),
    ("C", "pet", "liver-1", "drawn", "excluded", np.nan, np.nan, np.nan, np.nan, np.nan),
    ("D", "pet", "liver-1", "drawn", "included", 4000.0, 40, 3.0, 4.0, 3.5),
    ("D", "pet", "liver-2", "drawn", "excluded", 8000.0, 80, 30.0, 40.0, 35.0),
]
PATIENTS = ["A", "B", "C", "D", "E"]


def table(rows=ROWS, rater="reader1"):
    cases = pd.DataFrame(rows, columns=COLUMNS).assign(rater=rater)
    return cases.assign(reason=cases["status"].map({"included": np.nan, "excluded": "cut off"}))


def measured(measure, of, cases=None, phase="pet"):
    rule = {"measure": measure, "of": of, "phase": phase}
    variables = {"age": {"level": "patient"}, "x": {"level": "patient", "measured": rule}}
    found = measure_patients(table() if cases is None else cases, PATIENTS, variables, "reader1")
    assert list(found) == ["patient", "x"]
    return dict(zip(found["patient"], found["x"], strict=True))


@pytest.mark.parametrize(
    ("measure", "of", "expected"),
    [
        ("volume", "liver-*", 8.0),  # mL
        ("volume", "*", 9.0),  # without organs, and without the computed union of the same lesions
        ("volume", "all", 9.0),  # a computed region by its name
        ("volume", "liver", 900.0),  # an organ by its name
        ("mean", "liver-*", (20 * 5 + 60 * 9) / 80),
        ("maximum", "*", 40.0),
        ("peak", "liver-*", 7.0),
        ("peak", "bone-1", 3.0),
    ],
)
def test_measures_of_several_regions_are_those_computed_by_hand(measure, of, expected):
    assert measured(measure, of)["A"] == pytest.approx(expected, abs=1e-12)


def test_total_volume_is_the_sum_over_organs():
    parts = [measured("volume", of)["A"] for of in ("liver-*", "bone-*")]
    assert measured("volume", "*")["A"] == pytest.approx(sum(parts), abs=1e-12)


def test_without_a_region_the_volume_is_nought_and_other_measures_are_missing():
    volume, maximum = measured("volume", "liver-*"), measured("maximum", "liver-*")
    assert volume["B"] == 0
    assert np.isnan(maximum["B"])


def test_what_nobody_knows_is_missing_and_not_nought():
    volume = measured("volume", "liver-*")
    assert np.isnan(volume["C"])  # its only region was excluded
    assert np.isnan(volume["E"])  # no scan at all
    assert np.isnan(measured("volume", "liver-*", phase="ct")["B"])  # no scan of this phase


def test_excluded_regions_and_other_readers_do_not_count():
    others = pd.concat([table(), table([("D", "pet", "liver-9", "drawn", "included", 1e6, 1, 1.0, 1.0, 1.0)], "two")])
    assert measured("volume", "liver-*", others)["D"] == 4
    assert measured("maximum", "liver-*", others)["D"] == 4
    rule = {"measure": "maximum", "of": "liver-*", "phase": "pet"}
    lost = left_out_regions(others, {"x": {"measured": rule}}, "reader1")
    assert lost.to_numpy().tolist() == [
        ["x", "C", "pet", "liver-1", "cut off"],
        ["x", "D", "pet", "liver-2", "cut off"],
    ]


def test_measured_variables_join_the_units(tmp_path):
    variables = {"sex": {"type": "categorical"}, "x": {"type": "continuous", "measured": {}}}
    write_table(pd.DataFrame({"patient": ["B", "A"], "sex": ["1", "2"]}), tmp_path / "patients.csv")
    write_table(pd.DataFrame({"patient": ["B", "A"], "region": WHOLE}), tmp_path / "lesions.csv")
    write_table(pd.DataFrame({"patient": ["A", "B"], "x": [1.5, np.nan]}), tmp_path / "measures.csv")
    units = read_units(*(tmp_path / f"{name}.csv" for name in ("patients", "lesions")), variables)
    assert list(units) == ["sex"]
    paths = [tmp_path / f"{name}.csv" for name in ("patients", "lesions", "measures")]
    units = read_units(*paths[:2], variables, paths[2])
    assert units.loc[("A", WHOLE)].tolist() == ["2", 1.5]
    assert np.isnan(units.loc[("B", WHOLE), "x"])


# Peak


def scan(values, spacing):
    image = sitk.GetImageFromArray(np.asarray(values, np.float32))
    image.SetSpacing(spacing)
    mask = np.zeros(np.shape(values), np.uint8)
    return image, mask


def on(image, mask):
    region = sitk.GetImageFromArray(mask)
    region.CopyInformation(image)
    return region


def test_the_peak_is_that_of_the_ibsi_phantom():
    """Global intensity peak, 3.1 (consensus strong); as in the data set, voxels outside the region are 1 1 1 9 1 1."""
    cells = np.array([line.split() for line in DIGITAL_PHANTOM.strip().splitlines()])
    cells = cells.reshape(4, 4, 5).swapaxes(0, 1)
    outside = cells == "."
    values = np.where(outside, "0", cells).astype(float)
    values[outside] = [1, 1, 1, 9, 1, 1]
    image, _ = scan(values, (2, 2, 2))
    assert round(intensity_peak(on(image, (~outside).astype(np.uint8)), image), 1) == 3.1


def test_a_hot_voxel_counts_as_one_voxel_of_its_sphere():
    values = np.full((9, 21, 23), 2.0)
    values[4, 10, 11] = 102.0
    image, mask = scan(values, (1.5, 2.0, 3.0))
    mask[4, 10, 11] = 1
    offsets = np.meshgrid(*(np.arange(-9, 10) * step for step in (3.0, 2.0, 1.5)))
    voxels = int((sum(offset**2 for offset in offsets) <= PEAK_MM**2).sum())
    assert intensity_peak(on(image, mask), image) == pytest.approx(2 + 100 / voxels, abs=1e-9)
    assert voxels * 9 == pytest.approx(1000, rel=0.1)  # about 1 mL


def test_a_sphere_ends_at_the_border_of_the_image_and_may_be_one_voxel():
    image, mask = scan(np.full((3, 4, 5), 7.0), (4, 4, 4))
    mask[0, 0, 0] = 1
    assert intensity_peak(on(image, mask), image) == pytest.approx(7, abs=1e-9)
    values = np.arange(60.0).reshape(3, 4, 5)
    image, mask = scan(values, (20, 20, 20))
    mask[1:, 1, 1] = 1
    assert intensity_peak(on(image, mask), image) == pytest.approx(values[2, 1, 1], abs=1e-9)


# Features of patients


FEATURES = pd.DataFrame(
    [
        ("A", "pet", "liver-1", "reader1", 1.0, 10.0),
        ("A", "pet", "liver-2", "reader1", 3.0, 30.0),
        ("A", "pet", "bone-1", "reader1", 100.0, 100.0),
        ("A", "pet", "liver-1", "two", 2.0, 20.0),
        ("A", "pet", "liver-2", "two", 6.0, 60.0),
        ("A", "ct", "liver-1", "reader1", 5.0, 50.0),
        ("D", "pet", "liver-1", "reader1", 8.0, 80.0),
        ("D", "pet", "liver-1", "perturbed-1", 9.0, 90.0),
    ],
    columns=[*CASE, "f", "g"],
)


def of_patients(how, features=FEATURES, cases=None):
    cases = table() if cases is None else cases
    found = aggregate_regions(features, cases, "liver-*", how, "reader1")
    assert found[: len(features)].equals(features.reset_index(drop=True))
    return found[found["region"] == WHOLE].drop(columns="region").set_index(["patient", "phase", "rater"])


@pytest.mark.parametrize(
    ("how", "expected"), [("largest", 3.0), ("mean", 2.0), ("volume-weighted", (2000 * 1 + 6000 * 3) / 8000)]
)
def test_features_of_a_patient_are_those_computed_by_hand(how, expected):
    found = of_patients(how)
    assert found.loc[("A", "pet", "reader1")].tolist() == pytest.approx([expected, 10 * expected], abs=1e-12)
    assert found.loc[("A", "ct", "reader1")].tolist() == [5, 50]  # each phase by itself
    assert found.loc[("D", "pet", "reader1")].tolist() == [8, 80]  # the excluded region of D does not count


def test_another_reading_is_of_the_same_regions_with_the_same_weights():
    found = of_patients("volume-weighted")
    assert found.loc[("A", "pet", "two"), "f"] == pytest.approx((2000 * 2 + 6000 * 6) / 8000, abs=1e-12)
    assert found.loc[("D", "pet", "perturbed-1"), "f"] == 9
    partly = FEATURES[~((FEATURES["rater"] == "two") & (FEATURES["region"] == "liver-2"))]
    assert ("A", "pet", "two") not in of_patients("mean", partly).index
    assert ("A", "pet", "two") not in of_patients("largest", partly).index  # the largest is liver-2, not drawn again
    assert of_patients("largest").loc[("A", "pet", "two"), "f"] == 6


def test_of_equal_regions_the_first_by_name_is_the_largest():
    cases = table()
    cases.loc[:1, "volume_mm3"] = 3000.0
    assert of_patients("largest", cases=cases).loc[("A", "pet", "reader1"), "f"] == 1
    backwards = of_patients("largest", FEATURES[::-1].reset_index(drop=True), cases[::-1])
    assert backwards.loc[("A", "pet", "reader1"), "f"] == 1


def test_a_region_that_could_not_be_measured_leaves_the_others():
    found = of_patients("mean", FEATURES[1:].reset_index(drop=True))
    assert found.loc[("A", "pet", "reader1"), "f"] == 3


UNITS = pd.MultiIndex.from_tuples([("A", WHOLE), ("C", WHOLE), ("D", WHOLE)], names=["patient", "region"])
KNOWN = {"reference": "reader1", "pattern": "liver-*"}


def test_a_patient_is_excluded_when_none_of_its_regions_can_be_used():
    exclusions = list_exclusions(["A", "B", "C", "D"], UNITS, table(), [], **KNOWN)
    assert exclusions.to_numpy().tolist() == [
        ["B", "", "cohort", "no region declared"],
        ["C", WHOLE, "images", "cut off"],
    ]
    assert flow(["A", "B", "C", "D"], UNITS, exclusions).iloc[-1][["patients", "lesions"]].tolist() == [2, 2]
    lost = lost_regions(table(), [], **KNOWN)
    assert lost[["patient", "region", "step", "reason"]].to_numpy().tolist() == [
        ["C", "liver-1", "images", "cut off"],
        ["D", "liver-2", "images", "cut off"],
    ]
    failed = pd.DataFrame([("D", "pet", "liver-1", "reader1", "one voxel")], columns=[*CASE, "reason"])
    assert list_exclusions(["D"], UNITS[2:], table(), [failed], **KNOWN).empty  # its volume is known
    assert len(lost_regions(table(), [failed], **KNOWN)) == 3
    assert lost_regions(table(), [failed], "reader1", None).empty


def test_a_patient_without_features_in_a_phase_is_told_why():
    rows = [("A", "pet", "liver-1", "drawn", "included", 1.0, 1, 1.0, 1.0, 1.0)]
    rows += [("C", "pet", f"liver-{n}", "drawn", "excluded", *[np.nan] * 5) for n in (1, 2)]
    rows += [("C", "pet", "bone-1", "drawn", "excluded", *[np.nan] * 5)]
    cases = table(rows)
    features = aggregate_regions(FEATURES[FEATURES["patient"] == "A"], cases, "liver-*", "mean", "reader1")
    study = {
        "unit": "patient",
        "variables": {"dead": {"label": "Death", "level": "patient", "type": "categorical", "levels": ["0", "1"]}},
        "endpoints": {"death": {"variable": "dead", "event": "1"}},
        "stability": {"readings": {"reference": "reader1"}},
    }
    units = pd.DataFrame({"dead": ["1", "0"]}, index=UNITS[:2])
    nobody = pd.DataFrame(columns=["patient", "region", "step", "reason"])
    analysis = {"endpoint": "death", "phase": "pet"}
    dataset, exclusions = assemble_dataset(features, units, nobody, cases, analysis, study, pattern="liver-*")
    assert dataset.index.tolist() == [("A", WHOLE)]
    assert dataset[["f", "g"]].to_numpy().tolist() == [[1, 10]]
    assert exclusions["reason"].tolist() == ["liver-1: cut off; liver-2: cut off"]
    assert unit_features(features, "pet", "reader1").loc[("A", WHOLE), "f"] == 1
