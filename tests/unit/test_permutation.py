import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nenflow.evaluation.permutation import COLUMNS, RESAMPLES, permute_protocol, summarise_permutations
from nenflow.evaluation.refitting import refit_once
from nenflow.evaluation.resampling import patient_resample, permuted_rows
from nenflow.evaluation.validation import harrell, plus632
from nenflow.models.protocol import build_protocol

SAME = 1e-12  # the same figures, computed in the same way


def _units(lesions):
    pairs = [(f"P{patient:02d}", f"L{lesion}") for patient, n in enumerate(lesions) for lesion in range(1, n + 1)]
    return pd.MultiIndex.from_tuples(pairs, names=["patient", "region"])


def _data(seed, effect, patients=40):
    rng, index = np.random.default_rng(seed), _units([1] * patients)
    X = pd.DataFrame(rng.normal(size=(patients, 2)), index, columns=["a", "b"])
    y = pd.Series((effect * X["a"] + rng.logistic(size=patients) > 0).astype(int), index)
    return X, y


def _protocol(*selection):
    return build_protocol([*selection, {"logistic": {}}], clinical=["a", "b"], readings=None, seed=1)


@given(lesions=st.lists(st.integers(1, 4), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_every_outcome_is_dealt_out_once(lesions, seed):
    y = pd.Series(np.arange(sum(lesions)), _units(lesions))
    assert sorted(permuted_rows(y, np.random.default_rng(seed))) == list(y)


@given(patients=st.integers(2, 12), lesions=st.integers(1, 4), seed=st.integers(0, 99))
def test_outcomes_of_one_patient_go_to_one_patient(patients, lesions, seed):
    y = pd.Series(np.repeat(np.arange(patients), lesions), _units([lesions] * patients))
    dealt = y.to_numpy()[permuted_rows(y, np.random.default_rng(seed))].reshape(patients, lesions)
    assert (dealt == dealt[:, :1]).all()


def test_patients_of_a_stratum_change_places_within_it():
    index = _units([1] * 30)
    strata = np.tile(["A", "B", "C"], 10)
    y = pd.DataFrame({"time": np.arange(1.0, 31), "event": 1, "stratum": strata}, index)
    rows = permuted_rows(y, np.random.default_rng(1))
    assert (strata[rows] == strata).all()
    assert not (rows == np.arange(30)).all()


def test_each_patient_s_outcome_goes_everywhere_alike():
    y = pd.Series(np.arange(4), _units([1] * 4))
    draws = [permuted_rows(y, np.random.default_rng(seed))[0] for seed in range(800)]
    # 200 are expected of each; four standard errors of a binomial count
    assert np.bincount(draws) == pytest.approx(200, abs=4 * np.sqrt(800 * 0.25 * 0.75))


def test_jobs_of_any_size_give_the_same_rows():
    X, y = _data(seed=1, effect=1.0)
    together = permute_protocol(_protocol(), X, y, 3, range(4))
    parts = [permute_protocol(_protocol(), X, y, 3, numbers) for numbers in ([0], [1, 2], [3])]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), together, check_exact=True)
    assert list(together.columns) == COLUMNS
    assert together["score"].eq("model").all()  # a protocol without a signature has no Radscore


def test_a_permutation_is_the_validation_of_permuted_outcomes():
    X, y = _data(seed=2, effect=1.0)
    number, seed = 2, 5
    row = permute_protocol(_protocol(), X, y, seed, [number]).iloc[0]
    rows = permuted_rows(y, np.random.default_rng([seed, 12, number]))
    permuted = pd.Series(y.to_numpy()[rows], y.index)
    whole, _ = refit_once(_protocol(), X, permuted, np.arange(len(X)))
    numbers = range(number * RESAMPLES, (number + 1) * RESAMPLES)
    refits = pd.DataFrame(
        [refit_once(_protocol(), X, permuted, patient_resample(X.index, seed, n))[0] for n in numbers]
    )
    areas = refits[["auc_train", "auc_test", "auc_oob"]].set_axis(["train", "test", "oob"], axis=1)
    assert row["apparent"] == pytest.approx(whole["auc_train"], abs=SAME)
    assert row["corrected"] == pytest.approx(plus632(whole["auc_train"], areas)["auc"], abs=SAME)
    assert row["harrell"] == pytest.approx(harrell(whole["auc_train"], areas)["auc"], abs=SAME)
    assert row["out_of_bag"] == pytest.approx(refits["auc_oob"].mean(), abs=SAME)


def test_nothing_selected_is_chance_and_said():
    X, y = _data(seed=3, effect=0.0)
    rows = permute_protocol(_protocol({"univariable": {"p": 1e-9}}), X, y, 1, range(3))
    assert (rows[["apparent", "corrected", "harrell", "out_of_bag"]] == 0.5).all(axis=None)
    assert rows["note"].eq("nothing selected").all()


def test_an_analysis_that_cannot_be_done_is_chance_and_said():
    X, y = _data(seed=4, effect=0.0, patients=12)
    one = pd.Series([1] + [0] * 11, y.index)  # in the resamples the only event is often missing
    steps = [{"zscore": {}}, {"lasso": {"folds": 10}}, {"logistic": {}}]
    protocol = build_protocol(steps, clinical=[], readings=None, seed=1)
    rows = permute_protocol(protocol, X, one, 1, range(2))
    assert set(rows["score"]) == {"Radscore", "model"}
    assert rows["note"].str.startswith("not computable: Cross-validation needs two lesions of each outcome").all()
    assert (rows[["apparent", "corrected"]] == 0.5).all(axis=None)
    found = summarise_permutations(rows, {"m": _figures(0.7)})
    assert found["not_computable"] == 2


def test_survival_has_c_indices():
    rng, index = np.random.default_rng(6), _units([1] * 50)
    X = pd.DataFrame(rng.normal(size=(50, 1)), index, columns=["a"])
    y = pd.DataFrame({"time": rng.exponential(np.exp(-2 * X["a"])), "event": 1}, index)
    protocol = build_protocol([{"cox": {}}], clinical=["a"], readings=None, seed=1, times=[0.5])
    rows = permute_protocol(protocol, X, y, 1, range(10))
    # one variable can be turned either way, so the apparent C-index of noise lies a little above 0.5
    assert rows["apparent"].between(0.48, 0.68).all()
    assert refit_once(protocol, X, y, np.arange(50))[0]["c_train"] > 0.85


def _figures(value):
    corrected = {"auc": value, "out_of_bag": value}
    return {"apparent": value, "corrected": corrected, "harrell": {"auc": value}}


def test_p_counts_the_study_s_own_outcome_among_the_permutations():
    values = np.linspace(0.41, 0.79, 39)
    rows = pd.DataFrame({"permutation": range(39), "score": "model", "note": ""})
    rows = rows.assign(**dict.fromkeys(["apparent", "corrected", "harrell", "out_of_bag"], values))
    p = {at: summarise_permutations(rows, {"m": _figures(at)})["scores"]["m"] for at in (0.9, 0.79, 0.605, 0.3)}
    assert p[0.9]["apparent"]["p"] == 1 / 40
    assert p[0.79]["corrected"]["p"] == 2 / 40  # the largest permutation reaches it
    assert p[0.605]["harrell"]["p"] == 20 / 40  # 0.61 to 0.79, and the study itself
    assert p[0.3]["out_of_bag"]["p"] == 1
    assert p[0.9]["apparent"]["median"] == pytest.approx(0.6)
    # type 7 quantiles of 39 evenly spaced values: 0.41 + 0.025 * 0.38 and 0.79 less that
    assert [p[0.9]["apparent"][end] for end in ("low", "high")] == pytest.approx([0.4195, 0.7805])


def test_the_p_value_finds_an_effect_and_no_other():
    X, y = _data(seed=7, effect=3.0, patients=60)
    strong = summarise_permutations(
        permute_protocol(_protocol(), X, y, 1, range(19)), {"m": _figures(_apparent(_protocol(), X, y))}
    )
    assert strong["scores"]["m"]["apparent"]["p"] == 1 / 20
    X, y = _data(seed=8, effect=0.0, patients=60)
    weak = summarise_permutations(
        permute_protocol(_protocol(), X, y, 1, range(19)), {"m": _figures(_apparent(_protocol(), X, y))}
    )
    assert weak["scores"]["m"]["apparent"]["p"] > 1 / 20


def _apparent(protocol, X, y):
    return refit_once(protocol, X, y, np.arange(len(X)))[0]["auc_train"]
