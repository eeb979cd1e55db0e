import numpy as np
import pandas as pd
import pytest

from nenflow.documents import read_json
from nenflow.evaluation.calibration import GRID
from nenflow.evaluation.discrimination import auc, performance
from nenflow.evaluation.resampling import COLUMNS, patient_resample, refit_once, refit_resamples, resample_fixed
from nenflow.evaluation.validation import summarise
from nenflow.models.protocol import build_protocol, scores

REFIT = 1e-6  # against R after 200 refits; both sides iterate to convergence
MONTE_CARLO = 0.01  # ends of a percentile interval of 1,000 resamples with other random numbers (sd of an end: 0.004)
CHANCE_BAND = 0.1  # how far from 0.5 the honest AUC of a single noise cohort may lie; see the no-effect test


def _units(lesions):
    pairs = [(f"P{patient:02d}", f"L{lesion}") for patient, n in enumerate(lesions) for lesion in range(1, n + 1)]
    return pd.MultiIndex.from_tuples(pairs, names=["patient", "region"])


def _noise(features, seed, lesions=(2,) * 55 + (1,) * 21):
    """The study's geometry with outcomes that nothing explains; lesions of a patient are alike in all respects."""
    rng, index = np.random.default_rng(seed), _units(lesions)
    of_patient = index.codes[0]
    shared = np.sqrt(0.6) * rng.normal(size=(len(lesions), features))[of_patient]
    values = shared + np.sqrt(0.4) * rng.normal(size=(len(index), features))
    X = pd.DataFrame(values, index=index).add_prefix("original_f")
    X["ki67"] = rng.uniform(0, 100, len(lesions))[of_patient]
    X["grade"] = rng.integers(1, 5, len(lesions))[of_patient].astype(float)
    latent = rng.normal(size=len(lesions))[of_patient] + rng.logistic(size=len(index))
    y = pd.Series((latent > np.quantile(latent, 27 / 131)).astype(int), index=index)
    return X, y


def _whole_protocol(folds_by="lesion"):
    steps = ["zscore", {"spearman": {"threshold": 0.9}}, {"lasso": {"folds": 10, "folds_by": folds_by}}]
    steps += [{"univariable": {"p": 0.05}}, {"backward": {"p": 0.05}}, "logistic"]
    steps = [step if isinstance(step, dict) else {step: {}} for step in steps]
    return build_protocol(steps, clinical=["ki67", "grade"], readings=None, seed=1)


def test_refits_equal_r(golden):
    """R refitted a fixed logistic model on stored resamples: every figure of a row, and what is made of the rows."""
    table, r = pd.read_csv(golden / "aSAH.csv"), read_json(golden / "aSAH.json")
    table.index = _units([1] * len(table))
    X, y, p = table[["wfns", "ndka"]].astype(float), table["poor"], np.array(r["fitted"])
    protocol = build_protocol([{"logistic": {}}], clinical=["wfns", "ndka"], readings=None, seed=1)
    draws = pd.read_csv(golden / "aSAH_boot.csv", header=None).to_numpy() - 1
    rows = [{"resample": b} | refit_once(protocol, X, y, draw)[0] for b, draw in enumerate(draws)]
    refit = pd.DataFrame(rows, columns=COLUMNS)
    found = refit[["auc_train", "auc_test", "brier_train", "brier_test", "intercept", "slope"]]
    expected = r["bootstrap"]["optimism"]
    np.testing.assert_allclose(found.head(), expected["first5"], atol=REFIT, rtol=0)

    fixed = pd.DataFrame({"resample": range(200), "score": "model", "auc": [auc(y.iloc[b], p[b]) for b in draws]})
    summary = summarise({"model": performance(y, p, p)}, fixed, refit)["scores"]["model"]
    published = r["bootstrap"]["fixed_model_auc"]
    assert summary["published"]["mean"] == pytest.approx(published["mean"], abs=REFIT)
    assert summary["published"]["interval"] == pytest.approx(published["pct_ci"], abs=REFIT)
    assert summary["harrell"]["auc"] == pytest.approx(expected["auc_corrected"], abs=REFIT)
    assert summary["harrell"]["optimism"] == pytest.approx(expected["auc_optimism"], abs=REFIT)
    assert summary["brier"]["corrected"] == pytest.approx(expected["brier_corrected"], abs=REFIT)
    assert summary["slope"] == pytest.approx(expected["slope_corrected"], abs=REFIT)
    assert summary["intercept"] == pytest.approx(expected["intercept_corrected"], abs=REFIT)


def test_patients_are_drawn_whole():
    index = _units([2, 1, 2, 1, 2])
    draws = [patient_resample(index, 1, number) for number in range(200)]
    for draw in draws:
        counts = np.bincount(draw, minlength=len(index))
        # both lesions of a patient come equally often, and as many patients are drawn as there are
        assert (counts[[0, 3, 6]] == counts[[1, 4, 7]]).all()
        assert counts[[0, 2, 3, 5, 6]].sum() == 5
    # each of 5 patients is left out of a resample with probability 0.8**5 = 0.328
    left_out = np.mean([0 not in draw for draw in draws])
    assert left_out == pytest.approx(0.8**5, abs=4 * np.sqrt(0.328 * 0.672 / 200))


def test_seed_and_number_decide_the_draw():
    index = _units([2, 1] * 10)
    first = patient_resample(index, 1, 5)
    assert (first == patient_resample(index, 1, 5)).all()
    assert not np.array_equal(first, patient_resample(index, 1, 6))
    assert not np.array_equal(first, patient_resample(index, 2, 5))


def test_cluster_bootstrap_agrees_with_r(golden):
    """Fixed fusion model of the golden chain, patients resampled: the percentile interval R got from 1,000 draws."""
    chain, table = read_json(golden / "chain.json"), pd.read_csv(golden / "chain_clinical.csv.gz")
    index = pd.MultiIndex.from_frame(table[["patient", "lesion"]])
    y, p = table["ineffective"].to_numpy(), np.array(chain["fusion"]["fitted"])
    areas = [auc(y[draw], p[draw]) for draw in (patient_resample(index, 3, number) for number in range(1000))]
    expected = chain["patient_cluster_bootstrap"]["auc_pct_ci"]
    assert np.quantile(areas, [0.025, 0.975]) == pytest.approx(expected, abs=MONTE_CARLO)


def test_published_bootstrap_agrees_with_r(golden):
    """Lesions resampled one by one, as published; the interval is narrower than that of whole patients."""
    fusion = read_json(golden / "chain.json")["fusion"]
    y = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"]
    rows = resample_fixed(y, {"fusion": fusion["fitted"]}, seed=1, numbers=range(1000))
    expected = fusion["bootstrap"]["fixed_model_auc"]
    assert rows["auc"].mean() == pytest.approx(expected["mean"], abs=0.005)  # R drew 200: sd of a mean 0.0017
    assert rows["auc"].quantile([0.025, 0.975]).tolist() == pytest.approx(expected["pct_ci"], abs=0.015)


def test_batches_do_not_matter():
    X, y = _noise(features=12, seed=2, lesions=[2] * 20 + [1] * 10)
    protocol = _whole_protocol()
    together, curves = refit_resamples(protocol, X, y, seed=4, numbers=range(4))
    parts = [refit_resamples(protocol, X, y, seed=4, numbers=numbers) for numbers in ([0], [1, 2], [3])]
    pd.testing.assert_frame_equal(pd.concat([part[0] for part in parts], ignore_index=True), together, check_exact=True)
    pd.testing.assert_frame_equal(pd.concat([part[1] for part in parts], ignore_index=True), curves, check_exact=True)
    assert list(together.columns) == COLUMNS
    assert len(curves) == 4 * len(GRID)

    fixed = resample_fixed(y, {"a": X["ki67"]}, seed=4, numbers=range(4))
    pd.testing.assert_frame_equal(
        pd.concat([resample_fixed(y, {"a": X["ki67"]}, seed=4, numbers=[n]) for n in range(4)], ignore_index=True),
        fixed,
        check_exact=True,
    )


def test_nothing_selected_counts_as_chance():
    X, y = _noise(features=6, seed=3, lesions=[1] * 40)
    protocol = build_protocol(
        [{"zscore": {}}, {"lasso": {"rule": "lambda.1se"}}, {"univariable": {"p": 1e-9}}, {"logistic": {}}],
        clinical=["ki67", "grade"],
        readings=None,
        seed=1,
    )
    row, curves = refit_once(protocol, X, y, patient_resample(X.index, 1, 0))
    assert (row["n_pruned"], row["selected"], row["note"]) == (6, "", "nothing selected")
    assert (row["auc_train"], row["auc_test"], row["auc_oob"]) == (0.5, 0.5, 0.5)
    assert np.isnan(row["slope"])
    assert curves["optimism"].isna().all()


def test_a_resample_with_one_class_is_reported():
    X, _ = _noise(features=6, seed=3, lesions=[1] * 12)
    y = pd.Series([1] + [0] * 11, index=X.index)
    numbers = [n for n in range(100) if 0 not in patient_resample(X.index, 1, n)][:2]
    rows, curves = refit_resamples(_whole_protocol(), X, y, seed=1, numbers=numbers)
    assert rows["note"].str.startswith("not computable: All drawn units have the same outcome").all()
    assert (rows[["auc_radscore_train", "auc_radscore_test", "auc_train", "auc_test"]] == 0.5).all(axis=None)
    assert rows["brier_train"].isna().all()
    assert curves["optimism"].isna().all()


def test_refit_is_refitted_and_tried_on_the_right_rows():
    X, y = _noise(features=10, seed=5, lesions=[2] * 20)
    X["original_f0"] = y + np.random.default_rng(1).normal(scale=0.6, size=len(y))
    protocol, draw = _whole_protocol(), patient_resample(X.index, 1, 7)
    row, _ = refit_once(protocol, X, y, draw)
    alone = _whole_protocol().fit(X.iloc[draw], y.iloc[draw])
    values = scores(alone, X)
    outside = np.setdiff1d(np.arange(len(X)), draw)
    assert row["auc_radscore_train"] == auc(y.iloc[draw], values["Radscore"].iloc[draw])
    assert row["auc_radscore_test"] == auc(y, values["Radscore"])
    assert row["auc_oob"] == auc(y.iloc[outside], values["linear_predictor"].iloc[outside])
    assert "original_f0" in row["features"].split(";")
    assert len(row["features"].split(";")) == row["n_lasso"]
    assert "Radscore" in row["selected"].split(";")


def test_no_effect_is_seen_only_by_the_honest_figures():
    """Outcomes that nothing explains, the study's geometry and protocol: what a paper would print, and what is so.

    The apparent AUC of the Radscore and its published bootstrap are far above 0.5; the honest one is not. The tolerance
    is that of one cohort: over 11 noise cohorts the honest AUC was 0.50 to 0.57.
    """
    X, y = _noise(features=80, seed=101)
    protocol = _whole_protocol(folds_by="lesion")
    values = scores(_whole_protocol().fit(X, y), X)
    apparent = {
        "Radscore": performance(y, values["Radscore"]),
        "fusion": performance(y, values["linear_predictor"], values["probability"]),
    }
    columns = {"Radscore": values["Radscore"], "fusion": values["linear_predictor"]}
    fixed = resample_fixed(y, columns, seed=1, numbers=range(200))
    refit, _ = refit_resamples(protocol, X, y, seed=1, numbers=range(30))
    for score, figures in summarise(apparent, fixed, refit)["scores"].items():
        low, high = figures["corrected"]["interval"]
        assert figures["published"]["mean"] > 0.7, score
        assert figures["published"]["interval"][0] > 0.6, score
        assert abs(figures["corrected"]["auc"] - 0.5) < CHANCE_BAND, score
        assert low < 0.5 < high, score
