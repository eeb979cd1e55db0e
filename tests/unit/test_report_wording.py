import math

import pytest

from nenflow.report.wording import (
    count,
    decimal,
    feature_label,
    interval,
    listed,
    p_text,
    percent,
    ratio_interval,
    ratio_text,
    score_label,
    significant,
)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0346937, "0.035"),  # the surufatinib study's location, printed as 0.035
        (0.5308, "0.531"),
        (0.05, "0.050"),
        (0.00999, "0.010"),
        (0.001, "0.001"),
        (0.00099, "<0.001"),  # not 0.001: it is below what three decimals say
        (2.4e-6, "<0.001"),
        (0.0, "<0.001"),
        (0.9994, "0.999"),
        (0.9996, ">0.999"),
        (1.0, ">0.999"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_p_values_are_printed_as_papers_do(p, text):
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (8.8084, "8.808"),  # the surufatinib study's final model: 8.808 (3.433-30.18), 1.035, 10.57 (2.137-79.68)
        (30.1849, "30.18"),
        (1.0352, "1.035"),
        (79.676, "79.68"),
        (9.9996, "10.00"),
        (218.551, "218.6"),
        (999.97, "1,000"),
        (1234.5, "1,234"),
        (31415.9, "3.14E+04"),
        (0.364, "0.364"),
        (0.0004, "4.00E-04"),
        (0.0, "0"),
        (math.inf, "∞"),
    ],
)
def test_ratios_have_four_digits_and_three_decimals_at_most(ratio, text):
    assert ratio_text(ratio) == text


def test_an_interval_without_an_end_says_so():
    assert ratio_interval(8.8084, 3.4331, 30.1849) == "8.808 (3.433–30.18)"
    # ZonePercentage of the everolimus study, which prints 9.76 (1.56-6.12) and nothing of the powers
    assert ratio_interval(9.76e-161, 1.56e-295, 6.12e-26) == "9.76E-161 (1.56E-295 to 6.12E-26)"
    assert ratio_interval(25.0, 2.5, None) == "25.00 (2.500–∞)"
    assert ratio_interval(25.0, 2.5, math.inf) == "25.00 (2.500–∞)"
    assert ratio_interval(0.01, None, 0.5) == "0.010 (0–0.500)"
    assert ratio_interval(4.0, float("nan"), None) == "4.000 (not estimable)"
    assert ratio_interval(None, 1, 2) == "–"


def test_intervals_of_estimates():
    assert interval(0.8521, 0.7671, 0.9219) == "0.852 (0.767–0.922)"
    assert interval(0.1, -0.25, 0.4, 2) == "0.10 (−0.25 to 0.40)"  # a dash beside a minus sign cannot be read
    assert interval(1.0, None, None) == "1.000"
    assert interval(None, 0.1, 0.2) == "–"


def test_numbers_have_true_minus_signs_and_no_minus_zero():
    assert decimal(-0.429) == "−0.429"
    assert decimal(-0.0001) == "0.000"
    assert significant(-0.00012345678) == "−0.0001235"
    assert significant(None) == "–"


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50%"), (0, "0%"), (1, "100%"), (0.004, "<1%"), (0.996, ">99%"), (0.994, "99%")]
)
def test_a_rounded_share_never_says_all_or_none_falsely(share, text):
    assert percent(share) == text


def test_words_around_numbers():
    assert [count(1, "lesion"), count(1000, "resample"), count(0, "patient")] == [
        "1 lesion", "1,000 resamples", "0 patients",
    ]  # fmt: skip
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_names_for_readers():
    assert feature_label("wavelet-LLH_firstorder_Median") == "LLH first order Median"
    assert feature_label("original_glcm_Correlation") == "GLCM Correlation"
    assert feature_label("original_shape_MeshVolume") == "shape MeshVolume"
    assert feature_label("Radscore") == "Radscore"
    assert feature_label("portal_original_glcm_Imc1") == "GLCM Imc1 (portal)"
    assert [score_label("Radscore"), score_label("fusion"), score_label("clinical-model")] == [
        "Radscore", "Fusion model", "Clinical model",
    ]  # fmt: skip
