import numpy as np
import pandas as pd
import pytest

from nenflow.errors import InputError
from nenflow.evaluation.discrimination import auc
from nenflow.evaluation.synthetic import chance_level, permute_synthetic, rate_synthetic
from nenflow.report import sections_markers
from nenflow.tables import LARGEST

GROWTH = {"counts": {0: 87, 1: 90}, "method": "adasyn", "neighbours": 5, "seed": 1}
EVENTS, OTHERS = 10, 15  # patients of the everolimus study


def noise(seed=0, features=107):
    rng = np.random.default_rng(seed)
    names = [f"P{number:02d}" for number in range(EVENTS + OTHERS)]
    index = pd.MultiIndex.from_product([names, ["liver"]], names=["patient", "region"])
    y = pd.Series(rng.permutation([1] * EVENTS + [0] * OTHERS), index=index, name="outcome")
    return pd.DataFrame(rng.normal(size=(len(index), features)), index=index).add_prefix("f"), y


def test_the_cohort_has_exactly_the_published_counts_and_says_how_it_was_grown():
    X, y = noise(features=4)
    table, record = rate_synthetic(X, y, **GROWTH)
    assert record == {
        "method": "adasyn",
        "neighbours": 5,
        "seed": 1,
        "features": 4,
        "original": {"events": 10, "others": 15},
        "synthetic": {"events": 90, "others": 87},
    }
    assert (table["n"] == 177).all()
    assert (table["events"] == 90).all()
    # the same columns as the table of the patients themselves
    assert {"test", "p", "p_bonferroni", "auc", "threshold", "sensitivity", "event_mean"} <= set(table.columns)
    for column, number in (("sensitivity", 90), ("specificity", 87)):
        np.testing.assert_allclose(table[column] * number, (table[column] * number).round(), atol=1e-9)
    with pytest.raises(InputError, match="lower neighbours"):
        rate_synthetic(X, y, **(GROWTH | {"neighbours": 12}))


def test_cohorts_grown_from_noise_reach_an_auc_clearly_above_chance():
    # What the page of the study says: copying alone gives such figures.
    X, y = noise()
    permutations = permute_synthetic(X, y, **GROWTH, numbers=range(40), features=["f3", "f1"])
    assert list(permutations) == ["permutation", LARGEST, "f3", "f1", "note"]
    assert permutations["f1"].median() > 0.57
    assert permutations[LARGEST].median() > 0.8
    assert (permutations[LARGEST] >= permutations[["f1", "f3"]].max(axis=1)).all()
    # in the 25 patients themselves a permuted outcome has an AUC of 0.5 before it is turned
    plain = [auc(np.random.default_rng(seed).permutation(y), X["f1"]) for seed in range(200)]
    assert np.mean(plain) == pytest.approx(0.5, abs=0.03)


def test_a_feature_that_tells_is_above_what_copying_gives():
    X, y = noise(features=20)
    X["f0"] += 2.5 * y
    synthetic, _ = rate_synthetic(X, y, **GROWTH)
    permutations = permute_synthetic(X, y, **GROWTH, numbers=range(40), features=["f0", "f1"])
    chance = chance_level(permutations, synthetic).set_index("marker")
    assert chance.index.tolist() == [LARGEST, "f0", "f1"]
    assert chance.loc["f0", "share"] == 0
    assert chance.loc["f0", "auc"] == synthetic.loc["f0", "auc"] > chance.loc["f0", "high"]
    assert chance.loc[LARGEST, "auc"] == synthetic["auc"].max()
    assert (chance["permutations"] == 40).all()
    assert (chance["low"] <= chance["median"]).all()
    share = (permutations["f1"] >= synthetic.loc["f1", "auc"]).mean()
    assert chance.loc["f1", "share"] == pytest.approx(share)


def test_the_report_knows_the_name_of_the_best_feature():
    assert sections_markers.LARGEST == LARGEST


def test_permutations_do_not_depend_on_how_they_are_split():
    X, y = noise(features=6)
    whole = permute_synthetic(X, y, **GROWTH, numbers=range(7))
    parts = [permute_synthetic(X, y, **GROWTH, numbers=numbers) for numbers in (range(5, 7), range(3), range(3, 5))]
    joined = pd.concat(parts).sort_values("permutation").reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, joined, check_exact=True)
    assert whole["f0"].nunique() == 7
    other = permute_synthetic(X, y, **(GROWTH | {"seed": 2}), numbers=range(7))
    assert not np.allclose(whole["f0"], other["f0"])


def test_a_permuted_cohort_is_rated_as_the_synthetic_one_is():
    X, y = noise(features=6)
    X["tied"] = 3.0  # a feature without variation has an AUC of one half
    permutation = permute_synthetic(X, y, **GROWTH, numbers=[4]).iloc[0]
    rng = np.random.default_rng([1, 7, 4])
    permuted = pd.Series(y.to_numpy()[np.argsort(rng.permutation(len(y)))], index=y.index)
    table, _ = rate_synthetic(X, permuted, **(GROWTH | {"seed": int(rng.integers(2**31))}))
    assert permutation["tied"] == 0.5
    np.testing.assert_allclose(permutation[X.columns[:6]].astype(float), table["auc"].iloc[:6], rtol=1e-12)


def test_lesions_of_a_patient_keep_their_outcomes_together_and_all_counts_stay():
    index = pd.MultiIndex.from_tuples(
        [(f"P{patient}", f"l{lesion}") for patient in range(30) for lesion in range(1 + patient % 2)],
        names=["patient", "region"],
    )
    y = pd.Series([int(name[1:]) % 3 == 0 for name in index.get_level_values("patient")], index=index, dtype=int)
    X = pd.DataFrame(np.random.default_rng(1).normal(size=(len(y), 3)), index=index).add_prefix("f")
    found = permute_synthetic(X, y, {0: 20, 1: 20}, "smote", 3, 1, range(3))
    assert found["note"].eq("").all()
    with pytest.raises(InputError, match="no feature 'f7'"):
        permute_synthetic(X, y, {0: 20, 1: 20}, "smote", 3, 1, range(3), features=["f7"])


def test_a_permutation_that_cannot_be_grown_is_noted_and_not_counted():
    X, y = noise(features=3)
    found = permute_synthetic(X, y, **(GROWTH | {"neighbours": 10}), numbers=range(2), features=["f0"])
    assert found["note"].str.startswith("not computable: A class with 10 row").all()
    synthetic, _ = rate_synthetic(X, y, **GROWTH)
    assert chance_level(found, synthetic)["permutations"].tolist() == [0, 0]
    assert chance_level(found, synthetic)["share"].isna().all()
