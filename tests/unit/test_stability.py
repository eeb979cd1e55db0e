import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.base import clone

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.filters import StabilityFilter
from nenflow.stability import (
    NOT_COMPUTABLE,
    agreement_table,
    bland_altman,
    classify,
    icc,
    rate_agreement,
    repeated_readings,
    unit_features,
)

PUBLISHED = 5e-3  # Shrout & Fleiss print two decimals
POLE = 1e6  # beyond, rounding decides: Spearman and Brown's formula has a pole at -1 / (raters - 1)
R = 1e-8  # psych::ICC prints 15 digits; the sums of squares cancel a few of them
LEAST = 0.75

# Shrout & Fleiss 1979, table 2: six targets (rows) rated by four judges.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def units(numbers):
    return pd.MultiIndex.from_tuples([(f"P{n}", "lesion1") for n in numbers], names=["patient", "region"])


@pytest.fixture(scope="module")
def chain(golden):
    """The simulated study that went through R: features of 131 lesions, 46 of them read three times."""
    readings = {}
    for name, file in (("reference", "features"), ("intra", "intra"), ("inter", "inter")):
        table = pd.read_csv(golden / f"chain_{file}.csv.gz")
        table.index = units(table["lesion"])
        readings[name] = table.loc[:, table.columns.str.fullmatch(r"f\d+")]
    return readings, json.loads((golden / "chain.json").read_text())


def small_readings():
    """Three features of six lesions: one repeats, one only up to a shift, one not at all."""
    rng = np.random.default_rng(4)
    first = pd.DataFrame(rng.normal(size=(6, 3)), columns=["same", "shifted", "noise"], index=units(range(6)))
    again = first + rng.normal(scale=0.01, size=first.shape) + [0, 3, 0]
    again["noise"] = rng.normal(size=6)
    return {"reference": first, "intra": again}


# ---- intraclass correlation


def test_published_example_of_shrout_and_fleiss():
    table = icc(JUDGES[None]).iloc[0]
    assert table["ICC2"] == pytest.approx(0.29, abs=PUBLISHED)
    assert table["ICC3"] == pytest.approx(0.71, abs=PUBLISHED)
    # Intervals as R's psych documentation prints them.
    assert table[["ICC2_low", "ICC2_high"]].to_list() == pytest.approx([0.019, 0.76], abs=PUBLISHED)
    assert table[["ICC3_low", "ICC3_high"]].to_list() == pytest.approx([0.342, 0.95], abs=PUBLISHED)


def test_a_shift_between_raters_counts_in_icc2_only():
    subjects = np.arange(10.0)
    table = icc(np.stack([subjects, subjects + 2], axis=1)[None]).iloc[0]
    # By hand: between 2 * 82.5 / 9 = 18.33, raters 10 * 2 * 1 = 20, residual 0.
    assert table["ICC2"] == pytest.approx(18.3333333 / (18.3333333 + 2 * 20 / 10), abs=1e-7)
    assert table[["ICC3", "ICC3_low", "ICC3_high"]].to_list() == pytest.approx([1, 1, 1], abs=R)


def test_perfect_agreement_has_the_interval_one_to_one():
    subjects = np.arange(10.0)
    table = icc(np.stack([subjects, subjects], axis=1)[None])
    coefficients = table[[name for name in table if name.startswith("ICC")]]
    assert coefficients.to_numpy() == pytest.approx(np.ones((1, 18)), abs=R)
    assert table.loc[0, ["F", "df1", "df2", "p"]].to_list() == [np.inf, 9, 9, 0]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 3])
def test_values_that_do_not_vary_have_no_icc(value):
    assert icc(np.full((1, 46, 2), value)).isna().all(axis=None)


def test_a_missing_value_or_a_single_subject_has_no_icc():
    readings = np.random.default_rng(1).normal(size=(2, 5, 2))
    readings[0, 3, 1] = np.nan
    table = icc(readings)
    assert table.loc[0].isna().all()
    assert table.loc[1].notna().all()
    assert icc(readings[1:, :1]).isna().all(axis=None)


def test_six_forms_published_by_shrout_and_fleiss():
    table = icc(JUDGES[None]).iloc[0]
    printed = {"ICC1": 0.17, "ICC2": 0.29, "ICC3": 0.71, "ICC1k": 0.44, "ICC2k": 0.62, "ICC3k": 0.91}
    assert table[list(printed)].to_dict() == pytest.approx(printed, abs=PUBLISHED)
    assert table[["F_oneway", "df1_oneway", "df2_oneway"]].to_list() == pytest.approx([1.79, 5, 18], abs=PUBLISHED)
    assert table[["F", "df1", "df2"]].to_list() == pytest.approx([11.03, 5, 15], abs=PUBLISHED)


@given(arrays(float, (5, 3), elements=st.integers(-9, 9)))
@example(np.array([[2.0, -3.0, 0.0], *4 * [[0.0, 0.0, 0.0]]]))  # ICC2's interval begins at -1/2, where ICC2k has a pole
def test_six_forms_by_sums_of_squares_written_out(readings):
    n, k = readings.shape
    mean, rows, columns = readings.mean(), readings.mean(axis=1), readings.mean(axis=0)
    between = sum(k * (row - mean) ** 2 for row in rows) / (n - 1)
    raters = sum(n * (column - mean) ** 2 for column in columns) / (k - 1)
    within = sum((readings[i, j] - rows[i]) ** 2 for i in range(n) for j in range(k)) / (n * (k - 1))
    error = sum((readings[i, j] - rows[i] - columns[j] + mean) ** 2 for i in range(n) for j in range(k))
    error /= (n - 1) * (k - 1)
    table = icc(readings[None]).iloc[0]
    if error < 1e-9 or between < 1e-9:
        return  # ends of the scale have tests of their own
    assert table["ICC1"] == pytest.approx((between - within) / (between + (k - 1) * within))
    assert table["ICC2"] == pytest.approx(
        (between - error) / (between + (k - 1) * error + k * (raters - error) / n), rel=1e-9, abs=1e-9
    )
    assert table["ICC3"] == pytest.approx((between - error) / (between + (k - 1) * error), abs=1e-9)
    assert table["ICC1k"] == pytest.approx((between - within) / between, abs=1e-9)
    assert table["ICC2k"] == pytest.approx((between - error) / (between + (raters - error) / n), rel=1e-6, abs=1e-6)
    assert table["ICC3k"] == pytest.approx((between - error) / between, abs=1e-9)
    assert table["F"] == pytest.approx(between / error)
    assert table["p"] == pytest.approx(stats.f.sf(between / error, n - 1, (n - 1) * (k - 1)), rel=1e-6)
    order = [3, 1, 4, 0, 2]
    moved = icc(7 * readings[order][:, ::-1][None] - 2).iloc[0].to_numpy()
    known = (table.abs() < POLE).to_numpy()
    assert moved[known] == pytest.approx(table.to_numpy()[known], rel=1e-6, abs=1e-6)
    assert (np.abs(moved[~known]) >= POLE).all()


# ---- Bland-Altman and classes


def test_bland_altman_of_published_peak_flow():
    # Bland & Altman 1986: Wright peak flow meter (large against mini), 17 subjects, litres per minute.
    large = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    row = bland_altman(np.array(mini)[:, None], np.array(large)[:, None]).iloc[0]
    assert row["n"] == 17
    assert row[["bias", "sd"]].to_list() == pytest.approx([-2.1, 38.8], abs=0.05)
    assert row[["bias_low", "bias_high"]].to_list() == pytest.approx([-22.0, 17.8], abs=0.1)
    assert row["lower"] == pytest.approx(row["bias"] - 1.96 * row["sd"])
    assert row["upper"] == pytest.approx(row["bias"] + 1.96 * row["sd"])
    # The paper rounds the standard error of a limit to sqrt(3 sd^2 / n) = 16.3; the exact one is of 1999.
    reach = stats.t.ppf(0.975, 16) * 38.76513 * np.sqrt(1 / 17 + 1.96**2 / 32)
    assert row[["lower_low", "lower_high"]].to_list() == pytest.approx(
        [row["lower"] - reach, row["lower"] + reach], rel=1e-5
    )
    assert row["upper_high"] - row["upper"] == pytest.approx(reach, rel=1e-5)


def test_bland_altman_takes_all_features_and_leaves_out_missing_pairs():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 8, 3))
    first[2, 0] = second[5, 0] = np.nan
    second[:7, 2] = np.nan
    table = bland_altman(first, second)
    assert table["n"].tolist() == [6, 8, 1]
    kept = [0, 1, 3, 4, 6, 7]
    alone = bland_altman(first[kept][:, [0]], second[kept][:, [0]])
    pd.testing.assert_series_equal(table.loc[0], alone.loc[0])
    assert table.loc[2].drop("n").isna().all()
    turned = bland_altman(second, first)
    assert turned.loc[1, ["bias", "lower", "upper"]].to_list() == pytest.approx(
        (-table.loc[1, ["bias", "upper", "lower"]]).to_list()
    )


def test_classes_begin_at_their_limits():
    values = np.array([-0.2, 0.7499, 0.75, 0.8999, 0.9, 1, np.nan])
    names = ["unstable", "unstable", "stable", "stable", "excellent", "excellent", ""]
    assert classify(values).tolist() == names
    assert classify(values, stable=0.5, excellent=0.75).tolist()[1:4] == ["stable", "excellent", "excellent"]


def test_the_table_says_the_class_by_the_form_wanted():
    readings = small_readings()
    table = agreement_table(readings["reference"], {"intra": readings["intra"]}).set_index("feature")
    assert table["class"].to_dict() == {"same": "excellent", "shifted": "unstable", "noise": "unstable"}
    table = agreement_table(readings["reference"], {"intra": readings["intra"]}, form="ICC3").set_index("feature")
    assert table.loc["shifted", "class"] == "excellent"


# ---- several readings judged together


def judges(test_data):
    """The four judges as a reference and three perturbed readings of one feature."""
    table = pd.read_csv(test_data / "stats" / "shrout_fleiss.csv").set_index(units(range(6)))
    readings = [table[[judge]].set_axis(["f"], axis=1) for judge in ("J1", "J2", "J3", "J4")]
    reference = json.loads((test_data / "stats" / "shrout_fleiss_reference.json").read_text())
    expected = {row["type"]: row for row in reference["icc"]}
    return {"reference": readings[0], "perturbation": readings[1:]}, expected


def test_a_list_of_readings_has_one_icc_as_psych_gives_it(test_data):
    readings, expected = judges(test_data)
    table = agreement_table(readings["reference"], {"perturbation": readings["perturbation"]})
    assert table[["feature", "comparison", "n"]].to_numpy().tolist() == [["f", "perturbation", 6]]
    for form in ("ICC2", "ICC3"):
        want = [expected[form][name] for name in ("ICC", "lower bound", "upper bound")]
        assert table.loc[0, [form, f"{form}_low", f"{form}_high"]].to_list() == pytest.approx(want, abs=R)


@pytest.mark.parametrize(("form", "icc"), [("ICC2", 0.2897637795276), ("ICC3", 0.7148407148407)])
def test_the_filter_judges_a_list_of_readings_as_psych_does(test_data, form, icc):
    readings, expected = judges(test_data)
    assert expected[form]["ICC"] == icc
    fitted = StabilityFilter(readings, form, threshold=icc - R).fit(readings["reference"])
    assert fitted.stable_ == ["f"]
    assert fitted.agreement_.loc["f", "perturbation"] == pytest.approx(icc, abs=R)
    assert fitted.readings_ == {"perturbation": {"rows": 6, "units": 6}}
    with pytest.raises(InputError, match="No feature reaches"):
        StabilityFilter(readings, form, threshold=icc + R).fit(readings["reference"])


def test_the_filter_demands_the_threshold_in_every_comparison():
    readings = small_readings()
    rng = np.random.default_rng(8)
    perturbed = [readings["reference"] + rng.normal(scale=0.01, size=(6, 3)) for _ in range(5)]
    for number in (1, 3):
        perturbed[number]["same"] = rng.normal(size=6)
    X = readings["reference"]
    assert StabilityFilter(readings).fit(X).stable_ == ["same"]
    assert StabilityFilter({"reference": X, "perturbation": perturbed}).fit(X).stable_ == ["shifted", "noise"]
    both = {**readings, "perturbation": perturbed}
    assert StabilityFilter(both, "ICC3").fit(X).stable_ == ["shifted"]
    with pytest.raises(InputError, match="in intra and perturbation"):
        StabilityFilter(both, "ICC2").fit(X)


def test_only_units_with_all_readings_of_a_list_take_part():
    readings = small_readings()
    first, second = readings["intra"].drop(index=("P1", "lesion1")), readings["intra"].drop(index=("P4", "lesion1"))
    table = agreement_table(readings["reference"], {"perturbation": [first, second, readings["intra"]]})
    assert (table["n"] == 4).all()
    kept = readings["reference"].index[[0, 2, 3, 5]]
    stacked = np.stack([side.loc[kept].to_numpy().T for side in (readings["reference"], *[readings["intra"]] * 3)], 2)
    assert table["ICC2"].to_numpy() == pytest.approx(icc(stacked)["ICC2"].to_numpy(), abs=1e-12)


def test_a_list_of_readings_without_a_common_unit_is_refused():
    readings = small_readings()
    halves = [readings["intra"].iloc[:3], readings["intra"].iloc[3:]]
    with pytest.raises(InputError, match="No lesion has a reference reading and all 2 readings 'perturbation'"):
        agreement_table(readings["reference"], {"perturbation": halves})
    with pytest.raises(InputError, match="'perturbation' covers 0 of the lesions"):
        StabilityFilter({"reference": readings["reference"], "perturbation": halves}).fit(readings["reference"])


# ---- table of agreement


def test_table_pairs_units_by_name_and_counts_them():
    readings = small_readings()
    again = readings["intra"].iloc[[4, 0, 2, 3]][["noise", "same", "shifted"]]  # other rows, other column order
    table = agreement_table(readings["reference"], {"intra": again}).set_index("feature")
    assert list(table.index) == ["same", "shifted", "noise"]
    assert (table["n"] == 4).all()
    assert table.loc["same", "ICC2"] > 0.99
    assert table.loc["shifted", "ICC3"] > 0.99 > 0.5 > table.loc["shifted", "ICC2"]


def test_table_says_where_nothing_can_be_computed():
    readings = small_readings()
    for reading in readings.values():
        reading["noise"] = 7.0
    table = agreement_table(readings["reference"], {"intra": readings["intra"]}).set_index("feature")
    assert table.loc["noise", "note"] == NOT_COMPUTABLE
    assert np.isnan(table.loc["noise", "ICC2"])
    assert (table.loc[["same", "shifted"], "note"] == "").all()


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda again: again.set_index(units(range(10, 16))), "No lesion has both"),
        (lambda again: again.iloc[[0, 0, 1]], "occurs twice in the reading 'intra'"),
        (lambda again: again.drop(columns="same"), "lacks 1 feature"),
    ],
)
def test_table_refuses(break_it, says):
    readings = small_readings()
    with pytest.raises(InputError, match=says):
        agreement_table(readings["reference"], {"intra": break_it(readings["intra"])})


# ---- filter


def test_filter_keeps_the_set_that_r_keeps(chain):
    readings, expected = chain
    X = readings["reference"].assign(ki67=1.0)
    fitted = StabilityFilter(readings, form="ICC2", threshold=LEAST, clinical=["ki67"]).fit(X)
    assert fitted.stable_ == expected["stable"]
    assert len(fitted.stable_) == expected["n_stable"] == 693
    assert list(fitted.transform(X).columns) == [*expected["stable"], "ki67"]
    assert fitted.readings_ == {"intra": {"rows": 46, "units": 46}, "inter": {"rows": 46, "units": 46}}


def test_filter_counts_a_unit_as_often_as_the_resample_does(chain):
    readings, _ = chain
    readings = {name: reading.iloc[:, :60] for name, reading in readings.items()}
    X = readings["reference"]
    rows = np.random.default_rng([1, 2]).integers(len(X), size=len(X))
    fitted = StabilityFilter(readings).fit(X.iloc[rows])
    # The same by brute force: one pair of rows for each drawn lesion that was read again.
    drawn = [unit for unit in X.index[rows] if unit in readings["intra"].index]
    assert len(set(drawn)) < len(drawn) < len(rows)
    for name in ("intra", "inter"):
        pairs = np.stack([readings[side].loc[drawn].to_numpy().T for side in ("reference", name)], axis=2)
        assert fitted.agreement_[name].to_numpy() == pytest.approx(icc(pairs)["ICC2"].to_numpy(), abs=1e-12)
        assert fitted.readings_[name] == {"rows": len(drawn), "units": len(set(drawn))}


def test_the_form_decides_about_a_shift():
    readings = small_readings()
    X = readings["reference"][["noise", "shifted", "same"]].assign(age=50.0)
    kept = {form: StabilityFilter(readings, form, LEAST, ["age"]).fit(X).transform(X) for form in ("ICC2", "ICC3")}
    assert list(kept["ICC2"].columns) == ["same", "age"]
    assert list(kept["ICC3"].columns) == ["shifted", "same", "age"]  # in X's order


def test_a_feature_whose_icc_is_not_computable_goes():
    readings = small_readings()
    for reading in readings.values():
        reading["noise"] = 7.0
    fitted = StabilityFilter(readings).fit(readings["reference"])
    assert fitted.stable_ == ["same"]
    assert plain(fitted.document())["agreement"]["noise"] == {"intra": None}


def test_document_reads_back():
    readings = small_readings()
    X = readings["reference"].assign(age=50.0)
    fitted = clone(StabilityFilter(readings, clinical=["age"])).fit(X)
    document = json.loads(json.dumps(fitted.document(), allow_nan=False))
    loaded = StabilityFilter.from_document(document, clinical=["age"])
    assert loaded.document() == document
    pd.testing.assert_frame_equal(loaded.transform(X), fitted.transform(X))


@pytest.mark.parametrize(
    ("settings", "rows", "says"),
    [
        ({"readings": None}, range(6), "needs repeated readings"),
        ({"form": "ICC1"}, range(6), "not 'ICC1'"),
        ({}, range(10, 16), "covers 0 of the lesions"),
        ({}, [2, 2, 2], "covers 1 of the lesions"),
        ({"threshold": 1.1}, range(6), "No feature reaches an ICC2 of 1.1 in intra"),
    ],
)
def test_filter_refuses(settings, rows, says):
    readings = small_readings()
    values = np.random.default_rng(0).normal(size=(len(rows), 3))
    X = pd.DataFrame(values, columns=readings["reference"].columns, index=units(rows))
    with pytest.raises(InputError, match=says):
        StabilityFilter(**{"readings": readings, **settings}).fit(X)


def test_filter_refuses_a_table_without_a_stable_feature():
    readings = small_readings()
    fitted = StabilityFilter(readings).fit(readings["reference"])
    with pytest.raises(InputError, match=r"lacks 1 feature.*same"):
        fitted.transform(readings["reference"].drop(columns="same"))


def cohort_features(rows):
    return pd.DataFrame(rows, columns=["patient", "phase", "region", "rater", "f"])


READ_TWICE = [
    ("P1", "arterial", "l", "a", 1.0),
    ("P1", "arterial", "l", "b", 1.5),
    ("P2", "arterial", "l", "a", 3.0),
    ("P2", "arterial", "l", "b", 2.5),
    ("P3", "arterial", "l", "a", 5.0),
    ("P3", "arterial", "l", "b", 5.5),
]


def lesions(*patients):
    return pd.MultiIndex.from_tuples([(patient, "l") for patient in patients], names=["patient", "region"])


ALL = lesions("P1", "P2", "P3")


def test_a_phase_that_was_read_once_takes_no_part():
    rows = [*READ_TWICE, ("P1", "venous", "l", "a", 1.0)]
    table = rate_agreement(cohort_features(rows), {"reference": "a", "inter": "b"}, ALL)
    assert table["phase"].tolist() == ["arterial"]
    assert table["n"].tolist() == [3]


def test_no_repeated_reading_in_any_phase_is_refused():
    with pytest.raises(InputError, match="No region was segmented both by a and by c; check"):
        rate_agreement(cohort_features(READ_TWICE), {"reference": "a", "inter": "c"}, ALL)
    raters = {"reference": "a", "inter": "c", "perturbation": ["perturbed-1", "perturbed-2", "perturbed-3"]}
    with pytest.raises(InputError, match="by a and by c or by perturbed-1 to perturbed-3; check"):
        rate_agreement(cohort_features(READ_TWICE), raters, ALL)


def test_perturbed_readings_are_rated_beside_those_of_readers():
    again = [("P1", 1.2), ("P2", 2.9), ("P3", 5.1)]
    perturbed = [
        (patient, "arterial", "l", f"perturbed-{n}", value + n / 10) for patient, value in again for n in (1, 2)
    ]
    raters = {"reference": "a", "inter": "b", "perturbation": ["perturbed-1", "perturbed-2"]}
    table = rate_agreement(cohort_features([*READ_TWICE, *perturbed]), raters, ALL).set_index("comparison")
    assert list(table.index) == ["inter", "perturbation"]
    readings = np.array([[1.0, 1.3, 1.4], [3.0, 3.0, 3.1], [5.0, 5.2, 5.3]])
    assert table.loc["perturbation", "ICC2"] == pytest.approx(icc(readings[None]).loc[0, "ICC2"], abs=1e-12)
    # A phase in which some of the perturbed readings failed altogether is not passed over.
    with pytest.raises(InputError, match="all 2 readings 'perturbation'"):
        rate_agreement(
            cohort_features([row for row in [*READ_TWICE, *perturbed] if row[3] != "perturbed-2"]), raters, ALL
        )


def test_only_units_are_rated():
    ring = [(patient, phase, "l-ring", rater, 7.0) for patient, phase, _, rater, _ in READ_TWICE]
    raters = {"reference": "a", "inter": "b"}
    plain_table = rate_agreement(cohort_features(READ_TWICE), raters, ALL)
    pd.testing.assert_frame_equal(rate_agreement(cohort_features([*READ_TWICE, *ring]), raters, ALL), plain_table)
    assert rate_agreement(cohort_features(READ_TWICE), raters, lesions("P1", "P3", "P9"))["n"].tolist() == [2]
    with pytest.raises(InputError, match="No region was segmented"):
        rate_agreement(cohort_features(READ_TWICE), raters, lesions("P8"))


# ---- regions computed from the units


def test_features_of_a_ring_stand_in_the_place_of_its_unit():
    rows = [
        ("P2", "arterial", "l-ring", "a", 8.0),
        ("P1", "arterial", "l-ring", "a", 9.0),
        ("P1", "venous", "l-ring", "a", 1),
    ]
    rows += [
        ("P1", "arterial", "ring", "a", 4.0),
        ("P1", "arterial", "l-ring", "b", 6.0),
        ("P1", "arterial", "l-rim", "a", 2),
    ]
    features = cohort_features([*READ_TWICE, *rows])
    ring = unit_features(features, "arterial", "a", "ring")
    assert ring.index.equals(lesions("P1", "P2"))
    assert ring["f"].tolist() == [9.0, 8.0]
    # Without a region the table is as it stands.
    whole = unit_features(features, "arterial", "a")
    assert whole["f"].to_dict() == {
        ("P1", "l"): 1.0, ("P1", "l-ring"): 9.0, ("P1", "l-rim"): 2.0, ("P1", "ring"): 4.0,
        ("P2", "l"): 3.0, ("P2", "l-ring"): 8.0, ("P3", "l"): 5.0,
    }  # fmt: skip
    readings = repeated_readings(features, "arterial", {"reference": "a", "inter": "b", "perturbation": ["b"]}, "ring")
    assert readings["reference"].equals(ring)
    assert readings["inter"]["f"].tolist() == [6.0]
    assert [table["f"].tolist() for table in readings["perturbation"]] == [[6.0]]
