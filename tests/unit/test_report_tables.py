import numpy as np
import pandas as pd

from nenflow.evaluation.discrimination import exact_interval
from nenflow.report.tables import (
    INSET,
    coded_label,
    cutoffs_table,
    description_table,
    discrimination_table,
    exclusions_table,
    groups_table,
    markers_table,
    odds_ratio_table,
    parameters_table,
    rated_table,
    signature_table,
    with_powers,
)

VARIABLES = {
    "ki67": {"label": "Ki-67 (%)", "type": "continuous"},
    "surgery": {"label": "Surgery", "type": "categorical", "levels": ["no", "yes"]},
    "number": {"label": "Number", "type": "categorical", "levels": ["oligo", "multiple", "diffuse"]},
}


def test_table_two_has_a_row_per_variable_with_its_levels_set_in():
    # The surufatinib study's location and Ki-67, as the cohort stage writes them.
    table = pd.DataFrame(
        [
            ("n", "", "27", "104", "", np.nan),
            ("Location", "EP-NEN", "11 (40.7%)", "68 (65.4%)", "chi-square (Yates)", 0.0346937),
            ("", "PNEN", "16 (59.3%)", "36 (34.6%)", "", np.nan),
            ("Ki-67", "", "15 [5, 30]", "30 [7.25, 80]", "Mann-Whitney", 0.05),
            ("", "missing", "0", "1", "", np.nan),
            ("Constant", "", "1 [1, 1]", "1 [1, 1]", "", np.nan),
        ],
        columns=["variable", "level", "effective", "ineffective", "test", "p"],
    )
    printed = description_table(table.assign(smd=[np.nan, 0.5112, np.nan, -0.25, np.nan, np.nan]))
    groups = ["effective (n = 27)", "ineffective (n = 104)"]
    assert list(printed.columns) == ["Characteristic", *groups, "SMD", "p", "Test"]
    assert printed.to_numpy().tolist() == [
        ["Location", "", "", "0.51", "0.035", "chi-square (Yates)"],
        [f"{INSET}EP-NEN", "11 (40.7%)", "68 (65.4%)", "", "", ""],
        [f"{INSET}PNEN", "16 (59.3%)", "36 (34.6%)", "", "", ""],
        ["Ki-67", "15 [5, 30]", "30 [7.25, 80]", "−0.25", "0.050", "Mann-Whitney"],
        [f"{INSET}missing", "0", "1", "", "", ""],
        ["Constant", "1 [1, 1]", "1 [1, 1]", "", "", ""],  # nothing to test: no dash that looks like a result
    ]


def test_table_one_has_no_p():
    table = pd.DataFrame([("Patients", "", "76"), ("Sex", "female", "30 (39.5%)")])
    printed = description_table(table.set_axis(["variable", "level", "overall"], axis=1))
    assert list(printed.columns) == ["Characteristic", "Overall"]
    assert list(printed["Characteristic"]) == ["Patients", "Sex", f"{INSET}female"]


def test_table_three_joins_the_final_model_to_the_single_variables():
    # Table 3 of the surufatinib study: extrahepatic metastasis and surgery alone.
    alone = pd.DataFrame(
        {"variable": ["Radscore", "surgery"], "odds_ratio": [8.0, 1.513], "low": [3.0, 0.606], "high": [30.0, 4.16],
         "p": [1e-5, 0.3936]}
    )  # fmt: skip
    together = pd.DataFrame(
        {"variable": ["intercept", "Radscore"], "odds_ratio": [0.1, 8.808], "low": [0.01, 3.433], "high": [1, 30.18],
         "p": [0.03, 0.0002]}
    )  # fmt: skip
    printed = odds_ratio_table(alone, together, VARIABLES)
    assert printed.to_numpy().tolist() == [
        ["Radscore", "8.000 (3.000–30.00)", "<0.001", "8.808 (3.433–30.18)", "<0.001"],
        ["Surgery: yes against no", "1.513 (0.606–4.160)", "0.394", "", ""],
    ]


def test_labels_say_what_a_step_of_an_odds_ratio_is():
    assert coded_label("ki67", VARIABLES) == "Ki-67 (%)"
    assert coded_label("surgery", VARIABLES) == "Surgery: yes against no"
    assert coded_label("number", VARIABLES) == "Number: per step oligo, multiple, diffuse"
    assert coded_label("Radscore", VARIABLES) == "Radscore"


def test_signature_is_ordered_by_weight_with_the_intercept_last():
    printed = signature_table({"original_glcm_Idn": -0.02, "wavelet-LLH_glcm_Imc1": 0.96, "a": -0.948}, 1.5)
    assert list(printed["Coefficient"]) == ["0.9600", "−0.9480", "−0.0200", "1.5000"]
    assert list(printed["Feature"]) == ["LLH GLCM Imc1", "a", "GLCM Idn", "Intercept"]


def test_discrimination_without_intervals_or_brier_score():
    ends = dict.fromkeys(("auc_delong", "auc_hanley_mcneil", "auc_binomial"), (None, None))
    figures = {"auc": 1.0, **ends, "brier": None, "youden": {}}
    row = discrimination_table({"Radscore": figures}).iloc[0]
    assert list(row) == ["Radscore", "1.000", "–", "–", "–", "–", "–", "–"]
    hanley = figures | {"auc": 0.928, "auc_hanley_mcneil": [0.885, 0.971]}
    assert discrimination_table({"fusion": hanley}).iloc[0]["95% CI, Hanley-McNeil"] == "0.885–0.971"


def test_the_interval_of_medcalc_stands_beside_the_others():
    # As the everolimus publication prints it of 24 patients: 0.87 (0.67-0.97).
    ends = {"auc_delong": [0.7, 1.0], "auc_hanley_mcneil": [0.7, 1.0], "auc_binomial": exact_interval(0.87 * 24, 24)}
    row = discrimination_table({"death": {"auc": 0.87, **ends, "youden": {}}}).iloc[0]
    assert [end[:4] for end in row["95% CI, exact binomial"].split("–")] == ["0.67", "0.97"]


def test_a_models_cut_off_stands_there_as_probability_too():
    ends = dict.fromkeys(("auc_delong", "auc_hanley_mcneil", "auc_binomial"), (0.8, 1.0))
    figures = {"auc": 0.9, **ends, "brier": 0.1}
    log_three = figures | {"youden": {"threshold": np.log(3)}}  # odds of 3 to 1
    printed = discrimination_table({"Radscore": log_three, "fusion": log_three})
    assert list(printed["As risk"]) == ["–", "0.750"]
    assert list(printed["Cut-off"]) == ["1.099", "1.099"]


def test_table_three_has_no_columns_of_a_final_model_without_variables():
    alone = pd.DataFrame({"variable": ["surgery"], "odds_ratio": [1.513], "low": [0.606], "high": [4.16], "p": [0.39]})
    intercept = alone.assign(variable="intercept")
    assert list(odds_ratio_table(alone, intercept, VARIABLES)) == ["Variable", "Alone: OR (95% CI)", "p"]


def test_single_features_tell_their_n_where_it_differs():
    numbers = ["auc", "auc_low", "auc_high", "threshold", "sensitivity", "specificity", "p", "p_fdr"]
    markers = pd.DataFrame(
        {key: [0.6, 0.7, np.nan] for key in numbers} | {"marker": ["a", "b", "c"], "direction": "higher"}
    )
    markers = markers.assign(test="Mann-Whitney")
    assert "n" not in markers_table(markers.assign(n=[18, 18, 0]))  # c could not be rated
    assert list(markers_table(markers.assign(n=[18, 17, 0]))["n"]) == ["17", "18"]


LISTED = pd.DataFrame(
    {
        "marker": ["portal_original_glcm_Imc1", "arterial_original_firstorder_Mean", "portal_original_shape_Flatness"],
        "n": 24, "events": 10, "direction": ["lower", "higher", None], "auc": [0.86, 0.76, np.nan],
        "auc_low": [0.7, 0.5, np.nan], "auc_high": [1, 0.9, np.nan], "threshold": [-0.04, 65.6, np.nan],
        "sensitivity": [1, 0.7, np.nan], "specificity": [11 / 14, 6 / 14, np.nan],
        "test": ["Welch's t", "Mann-Whitney", None], "p": [0.01, 0.02, np.nan], "p_bonferroni": [1.0, 1.0, np.nan],
        **{f"{group}_{name}": value for group, shift in (("event", 0), ("other", 10)) for name, value in
           {"mean": 1.5 + shift, "sd": 0.25, "median": 2.0 + shift, "q1": 1.0, "q3": 4.0}.items()},
    }
)  # fmt: skip


def test_listed_features_stand_in_the_order_of_the_list_with_both_groups():
    printed = groups_table(LISTED, ["over 11 months", "up to 11 months"], "up to 11 months")
    assert list(printed) == [
        "Feature", "over 11 months (n = 14)", "up to 11 months (n = 10)", "Test", "p", "p (Bonferroni)",
    ]  # fmt: skip
    assert printed.to_numpy().tolist()[:2] == [
        ["GLCM Imc1 (portal)", "11.5 ± 0.25", "1.5 ± 0.25", "Welch's t", "0.010", ">0.999"],
        ["first order Mean (arterial)", "12 [1, 4]", "2 [1, 4]", "Mann-Whitney", "0.020", ">0.999"],
    ]
    assert printed.iloc[2, [3, 4]].tolist() == ["", "–"]


def test_roc_of_listed_features_tells_eleven_of_fourteen_and_what_permuted_outcomes_give():
    chance = pd.DataFrame(
        [("largest of all", 0.9, 0.8, 0.7, 0.95, 0.3), ("portal_original_glcm_Imc1", 0.84, 0.6, 0.5, 0.7, 0.004)],
        columns=["marker", "auc", "median", "low", "high", "share"],
    )
    assert rated_table(LISTED).iloc[0].tolist() == [
        "GLCM Imc1 (portal)", "lower", "0.86 (0.70–1.00)", "−0.04", "100.0%", "78.6%",
    ]  # fmt: skip
    assert rated_table(LISTED)["Specificity"].tolist() == ["78.6%", "42.9%", "–"]
    assert rated_table(LISTED, chance).iloc[0, -2:].tolist() == ["0.60 (0.50–0.70)", "<1%"]


def test_survival_at_cut_offs_is_printed_with_both_p():
    tests = pd.DataFrame(
        {"variable": ["original_glcm_Imc1"], "cutpoint": [-0.04], "p": [0.05], "p_corrected": [0.31], "n_low": [10]}
    )
    summary = pd.DataFrame(
        [("original_glcm_Imc1", "low", 10, 8.0, 4.0, np.nan)],
        columns=["variable", "group", "n", "median", "median_low", "median_high"],
    )
    assert cutoffs_table(tests, summary).iloc[0].tolist() == [
        "GLCM Imc1", "−0.04", "10", "8.0 (4.0–not reached)", "0", "–", "0.050", "0.310",
    ]  # fmt: skip


def test_exclusions_are_printed_without_region_where_patients_are_the_units():
    rows = [("P1", "lesion1", "images", "too small"), ("P2", np.nan, "cohort", "no segmentation")]
    exclusions = pd.DataFrame(rows, columns=["patient", "region", "step", "reason"])
    printed = exclusions_table(exclusions, "lesion")
    assert list(printed) == ["Patient", "Region", "Step", "Reason"]
    assert printed.to_numpy().tolist() == [list(rows[0]), ["P2", "", "cohort", "no segmentation"]]
    assert list(exclusions_table(exclusions, "patient", most=1)) == ["Patient", "Step", "Reason"]
    assert len(exclusions_table(exclusions, "patient", most=1)) == 1


def test_parameter_file_is_printed_with_every_setting():
    content = {
        "imageType": {"Original": {}, "LoG": {"sigma": [1, 2]}},
        "featureClass": {"shape": None, "glcm": ["Idn", "Imc1"]},
        "setting": {"binWidth": 25, "resampledPixelSpacing": [1, 1, 1], "symmetricalGLCM": True},
    }
    assert parameters_table(content).to_numpy().tolist() == [
        ["imageType", "Original, LoG (sigma (1, 2))"],
        ["featureClass", "shape, glcm (Idn, Imc1)"],
        ["binWidth", "25"],
        ["resampledPixelSpacing", "1, 1, 1"],
        ["symmetricalGLCM", "True"],
    ]


def test_ratios_with_powers_of_ten_are_named():
    # ZonePercentage of the everolimus study beside a Radscore; an intercept is no ratio anybody reads
    table = pd.DataFrame(
        [
            ("intercept", 1e-30, 1e-60, 1e-5),
            ("zones", 9.76e-161, 1.56e-295, 6.12e-26),
            ("radscore", 8.808, 3.433, 30.18),
            ("wide", 25.0, 2.5, 3e5),
        ],
        columns=["variable", "odds_ratio", "low", "high"],
    )
    assert with_powers(table) == ["zones", "wide"]
