"""What the everolimus publication prints, recomputed: ../shared/studies, everolimus, "Exact checks"."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from scipy.stats import mannwhitneyu

from nenflow.evaluation.discrimination import auc, exact_interval, roc_curve
from nenflow.evaluation.markers import rate_markers
from nenflow.features.extraction import extract
from projects import ROOT

EARLY, LATE, USED = 10, 15, 14  # patients of either group, and those of the later group that its fractions fit
FEATURES = 107
FAMILIES = {"shape": 14, "firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "ngtdm": 5, "gldm": 14}


def ranked(pairs, events=USED, others=EARLY):
    """Outcome and scores whose AUC is pairs / (events * others): all others lie below, then events are moved down."""
    score = np.arange(others + events, dtype=float)
    outcome = np.r_[np.zeros(others), np.ones(events)].astype(int)
    order = list(outcome)
    for _ in range(others * events - pairs):  # each exchange of a neighbouring pair (0, 1) costs one pair
        place = next(i for i in range(len(order) - 1) if (order[i], order[i + 1]) == (0, 1))
        order[place], order[place + 1] = 1, 0
    return np.array(order), score


def units(number):
    return pd.MultiIndex.from_tuples([(f"P{i:03d}", "liver") for i in range(number)], names=["patient", "region"])


def test_the_interval_of_the_model_of_death_is_the_exact_binomial_one():
    # MedCalc takes the AUC for a share of the units; of 24, not of 25.
    assert np.round(exact_interval(0.87 * 24, 24), 2).tolist() == [0.67, 0.97]
    assert np.round(exact_interval(0.87 * 25, 25), 2).tolist() != [0.67, 0.97]


def test_sensitivities_are_of_fourteen_and_specificities_of_ten():
    for printed, count in ((78.6, 11), (71.4, 10), (42.9, 6)):
        assert round(100 * count / USED, 1) == printed
        assert printed not in {round(100 * k / LATE, 1) for k in range(LATE + 1)}
    outcome, score = ranked(120)
    curve = roc_curve(outcome, score)
    assert {round(100 * value, 1) for value in curve["sensitivity"]} >= {78.6, 71.4, 42.9}
    assert np.allclose(curve["specificity"] * EARLY, np.rint(curve["specificity"] * EARLY))


@pytest.mark.parametrize("printed", [0.77, 0.76, 0.81, 0.86, 0.84, 0.73, 0.58])
def test_no_printed_auc_survives_bonferroni(printed):
    """0.05 / 107 = 0.000467; the test of ranks of the best printed AUC gives 0.002."""
    outcome, score = ranked(round(printed * USED * EARLY))
    assert auc(outcome, score) == pytest.approx(printed, abs=0.004)
    noise = np.random.default_rng(1).normal(size=(len(score), FEATURES - 1))
    X = pd.DataFrame(np.column_stack([score, noise]), units(len(score)), [f"f{i}" for i in range(FEATURES)])
    found = rate_markers(X, pd.Series(outcome, X.index)).loc["f0"]
    assert found["p_bonferroni"] == pytest.approx(min(1.0, found["p"] * FEATURES))
    assert found["p"] > 0.05 / FEATURES > 0.000467
    assert found["p_bonferroni"] > 0.05


def test_the_smallest_area_that_survives_bonferroni():
    """With 14 and 10 patients the AUC has to reach 0.9; the exact test of ranks says so."""

    def p(pairs):
        outcome, score = ranked(pairs)
        return mannwhitneyu(score[outcome == 1], score[outcome == 0], method="exact").pvalue

    least = next(pairs for pairs in range(70, 141) if p(pairs) < 0.05 / FEATURES)
    assert 0.89 < least / 140 < 0.93
    # LargeAreaLowGrayLevelEmphasis: AUC 0.58, printed p < 0.0001
    assert p(round(0.58 * 140)) > 0.5


def test_the_split_of_the_features_by_class():
    """The publication prints 19 first-order and 13 shape features; 107 are 14, 18, 24, 16, 16, 5 and 14."""
    parameters = yaml.safe_load((ROOT / "config/studies/everolimus/extraction/original.yaml").read_text())
    inside = np.zeros((12, 12, 12), dtype=np.uint8)
    inside[2:10, 2:10, 2:10] = 1
    noise = np.random.default_rng(1).normal(60, 20, inside.shape).astype(np.int16)
    image, mask = sitk.GetImageFromArray(noise), sitk.GetImageFromArray(inside)
    for volume in (image, mask):
        volume.SetSpacing((3, 3, 3))
    names = extract(image, mask, parameters, "slicer", "CT").index
    assert names.str.extract("original_([a-z]+)_")[0].value_counts().to_dict() == FAMILIES
    assert len(names) == FEATURES == sum(FAMILIES.values())
