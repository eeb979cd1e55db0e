"""What misleads in refits on resampled patients: copies on both sides of a fold, separation, ties that noise breaks."""

import numpy as np
import pandas as pd
import pytest

from nenflow.evaluation.operating import OperatingPoint, above, cut_off
from nenflow.evaluation.refitting import discriminate, parts_of_draw, refit_once
from nenflow.evaluation.resampling import patient_resample
from nenflow.models import signature
from nenflow.models.protocol import build_protocol

NOISE = 1e-12  # far below the ninth decimal, far above the last digit: what another machine's BLAS may add


def lesions(patients=30, seed=2):
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [[f"P{i:02d}" for i in range(patients)], ["L1", "L2"]], names=["patient", "region"]
    )
    X = pd.DataFrame(rng.normal(size=(2 * patients, 6)), index, [f"f{i}" for i in range(5)] + ["age"])
    return X, (X["f0"] + X["age"] + rng.logistic(size=len(X)) > 0).astype(int)


def followed(X, seed=3):
    rng = np.random.default_rng(seed)
    time = rng.exponential(20 * np.exp(-X["f0"]))
    return pd.DataFrame({"time": time + 0.01, "event": rng.choice([0, 1, 1], len(X))}, X.index)


@pytest.mark.parametrize("folds_by", ["patient", "lesion"])
@pytest.mark.parametrize("kind", ["binary", "survival"])
def test_no_copy_of_a_lesion_is_on_both_sides_of_a_fold_inside_a_resample(kind, folds_by, monkeypatch):
    X, y = lesions()
    y = y if kind == "binary" else followed(X)
    dealt, original = [], signature.folds_of

    def watched(outcome, groups, *rest):
        folds = original(outcome, groups, *rest)
        dealt.append(folds)
        return folds

    monkeypatch.setattr(signature, "folds_of", watched)
    final = {"logistic": {}} if kind == "binary" else {"cox": {}}
    steps = [{"zscore": {}}, {"lasso": {"folds": 5, "folds_by": folds_by}}, final]
    protocol = build_protocol(steps, ["age"], None, 1, times=[] if kind == "binary" else [10.0])
    draw = patient_resample(X.index, 1, 4)
    assert len(set(draw)) < len(draw)  # there are copies
    refit_once(protocol, X, y, draw)
    (folds,) = dealt
    # what must not be split: a patient's rows, or those that are copies of one lesion
    unit = X.index[draw].get_level_values("patient") if folds_by == "patient" else X.index[draw].to_flat_index()
    sides = pd.Series(folds).groupby(pd.factorize(unit)[0]).nunique()
    assert len(folds) == len(draw)
    assert (sides == 1).all()
    assert len(set(folds)) == 5


def test_a_variable_that_separates_a_resample_stays_and_is_reported():
    """Wald's p of it goes to 1 (Hauck and Donner 1977), by which backward elimination would drop the best variable."""
    X, y = lesions()
    X["age"] = 10.0 * y + np.random.default_rng(1).uniform(size=len(y))
    for steps in ([{"univariable": {"p": 0.05}}], [{"backward": {"p": 0.05}}], [{"forward": {"p": 0.05}}]):
        protocol = build_protocol([*steps, {"logistic": {}}], list(X.columns), None, 1)
        row, _ = refit_once(protocol, X, y, patient_resample(X.index, 1, 0))
        assert "age" in row["selected"].split(";")
        assert row["separated"] == 1
        assert row["auc_oob"] == 1.0


def test_a_variable_that_orders_all_times_of_a_resample_stays_and_is_reported():
    X, _ = lesions()
    y = followed(X).assign(event=1)
    X["age"] = -y["time"].rank()
    protocol = build_protocol([{"backward": {"p": 0.05}}, {"cox": {}}], ["f1", "age"], None, 1, times=[10.0])
    row, _ = refit_once(protocol, X, y, patient_resample(X.index, 1, 0))
    assert "age" in row["selected"].split(";")
    assert row["separated"] == 1
    assert row["c_oob"] == 1.0


@pytest.mark.parametrize("kind", ["binary", "survival"])
def test_the_last_digits_of_a_predictor_break_no_ties(kind):
    X, y = lesions()
    y = y if kind == "binary" else followed(X)
    rng = np.random.default_rng(5)
    told = np.round(X["f0"].to_numpy(), 1)  # with ties, as a model of levels has
    draw = patient_resample(X.index, 1, 1)
    parts, point = parts_of_draw(X.index, draw), OperatingPoint(0.4, None if kind == "binary" else 10.0)
    outcome = y.to_numpy() if kind == "binary" else y[["time", "event"]].to_numpy()
    found = []
    for noise in (0.0, NOISE):
        shaken = told + noise * rng.uniform(-1, 1, len(told))
        values = pd.DataFrame({"Radscore": shaken, "linear_predictor": shaken}, X.index)
        called = above(shaken, cut_off(outcome, shaken, point))
        found.append(discriminate(values, y, parts) | {"called": called.tolist()})
    assert len(set(told)) < len(told)
    assert found[0] == found[1]
