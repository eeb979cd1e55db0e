"""No scheme of validation lets a fit see patients that it is judged on: not their outcomes, features or readings."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from nenflow.evaluation.crossvalidation import cross_validate, parts_of
from nenflow.evaluation.permutation import permute_protocol
from nenflow.evaluation.refitting import fit_drawn, parts_of_draw, refit_resamples
from nenflow.evaluation.resampling import patient_resample
from nenflow.models.protocol import build_protocol, to_document

PATIENTS = 50
FEATURES = [f"f{number}" for number in range(6)]
CLINICAL = ["site", "age", "grade"]
BEFORE = [{"stability": {"threshold": 0.5}}, {"combat": {"batch": "site"}}, {"zscore": {}}]
BEFORE += [{"spearman": {"threshold": 0.8}}, {"lasso": {"folds": 4, "folds_by": "patient"}}]
TERMS = {"terms": {"factors": {"grade": ["low", "high"]}, "splines": {"age": 3}}}
# Every step that there is, before either final model.
PROTOCOLS = {
    "backward": [*BEFORE, TERMS, {"univariable": {"p": 0.9}}, {"backward": {"p": 0.5}}],
    "forward": [*BEFORE, TERMS, {"forward": {"p": 0.5}}],
    "nothing chosen": BEFORE,
}


def cohort(seed, final):
    """Two lesions per patient, read twice, with something to find."""
    rng = np.random.default_rng(seed)
    names = [f"P{number:02d}" for number in range(PATIENTS)]
    index = pd.MultiIndex.from_product([names, ["L1", "L2"]], names=["patient", "region"])
    X = pd.DataFrame(rng.normal(size=(len(index), len(FEATURES))), index, columns=FEATURES)
    X["site"] = np.repeat(np.arange(PATIENTS) % 2 + 1.0, 2)
    X["age"] = np.repeat(rng.normal(60, 10, PATIENTS), 2)
    X["grade"] = np.repeat(rng.integers(1, 3, PATIENTS), 2).astype(float)
    readings = {"reference": X[FEATURES], "intra": X[FEATURES] + 0.3 * rng.normal(size=(len(index), len(FEATURES)))}
    risk = 2 * X["f0"] + X["grade"] - 1.5
    if final == "logistic":
        return X, (risk + rng.logistic(size=len(index)) > 0).astype(int), readings
    time = rng.exponential(np.exp(-risk))
    return X, pd.DataFrame({"time": time, "event": rng.integers(0, 3, len(index)).clip(0, 1)}, index), readings


def protocol(steps, final, readings):
    return build_protocol([*steps, {final: {}}], CLINICAL, readings, seed=1, times=(0.5,) if final == "cox" else ())


def changed(rows, seed, X, y, readings):
    """Other values and outcomes for the given rows, as far off as they like."""
    rng = np.random.default_rng(seed)

    far = rng.normal(5, 9, (rows.sum(), len(FEATURES)))

    def other(table):
        table = table.copy()
        table.loc[rows, FEATURES] += far  # each reading alike, or no feature would be stable
        return table

    X = other(X)
    X.loc[rows, "age"] = 30.0
    X.loc[rows, "grade"] = 3 - X.loc[rows, "grade"]
    y = y.copy()
    if y.ndim == 1:
        y[rows] = 1 - y[rows]
    else:
        y.loc[rows, "time"] = rng.uniform(0.01, 9, rows.sum())
        y.loc[rows, "event"] = 1
    return X, y, {role: other(reading) for role, reading in readings.items()}


@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize("final", ["logistic", "cox"])
@pytest.mark.parametrize("steps", PROTOCOLS)
def test_a_resample_s_fit_does_not_know_the_patients_left_out(steps, final, seed):
    X, y, readings = cohort(seed, final)
    draw = patient_resample(X.index, seed, 0)
    out = np.zeros(len(X), dtype=bool)
    out[parts_of_draw(X.index, draw)["oob"]] = True
    assert 0 < out.sum() < len(X)
    first, scored = fit_drawn(protocol(PROTOCOLS[steps], final, readings), X, y, draw)
    X2, y2, readings2 = changed(out, seed, X, y, readings)
    second, scored2 = fit_drawn(protocol(PROTOCOLS[steps], final, readings2), X2, y2, draw)
    assert to_document(first) == to_document(second)
    pd.testing.assert_frame_equal(scored[~out], scored2[~out], check_exact=True)
    # and what is changed among the patients drawn is seen, or the test could not fail
    inside = np.zeros(len(X), dtype=bool)
    inside[draw[:10]] = True
    X3, y3, readings3 = changed(inside, seed, X, y, readings)
    third, _ = fit_drawn(protocol(PROTOCOLS[steps], final, readings3), X3, y3, draw)
    assert to_document(first) != to_document(third)


@settings(max_examples=4)
@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize("final", ["logistic", "cox"])
@pytest.mark.parametrize("scheme", ["folds", "site", "temporal"])
def test_a_part_s_predictions_do_not_know_its_outcomes(scheme, final, seed):
    """Predictions of the part left out come from a fit to the others: its outcomes and readings change none of them."""
    X, y, readings = cohort(seed, final)
    parts, first = divided(scheme, X, y)
    inside = (parts[scheme][1] == first).to_numpy()
    steps = PROTOCOLS["backward"] if scheme != "site" else [{"zscore": {}}, *BEFORE[3:]]  # ComBat knows no new site
    before, _ = cross_validate(protocol(steps, final, readings), X, y, parts)
    _, y2, readings2 = changed(inside, seed, X, y, readings)
    after, _ = cross_validate(protocol(steps, final, readings2), X, y2, parts)
    predicted = ["linear_predictor", *(name for name in before if name.startswith(("probability", "survival_")))]
    rows = (before["scheme"] == scheme) & (before["fold"].astype(str) == str(first))
    assert rows.sum() == inside.sum()
    assert before.loc[rows, "linear_predictor"].notna().all()
    pd.testing.assert_frame_equal(before.loc[rows, predicted], after.loc[rows, predicted], check_exact=True)


def divided(scheme, X, y):
    """The parts of one scheme, and the name of the one that is judged first."""
    patients = X.groupby(level="patient").first()
    chosen = {
        "folds": {"folds": 4},
        "site": {"leave_out": "site"},
        "temporal": {"temporal": {"variable": "age", "from": 60}},
    }
    parts = parts_of(X, y, 1, chosen[scheme], patients)
    labels = parts[scheme][1]
    judged = labels.dropna()
    return parts, (judged.max() if scheme == "temporal" else judged.min())


SEEN = []


class Spy(ClassifierMixin, BaseEstimator):
    """A final model that remembers which patients each fit was given."""

    times = ()

    def fit(self, X, y):
        self.own_ = set(X.index.get_level_values("patient"))
        SEEN.append((len(X), self.own_, y.index.equals(X.index)))
        self.document_ = {"intercept": 0.0, "coefficients": {}, "separated": False}
        return self

    def document(self):
        return self.document_

    def decision_function(self, X):
        return np.zeros(len(X))

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


@pytest.mark.parametrize("run", ["bootstrap", "permutations"])
def test_a_fit_is_given_the_drawn_patients_and_no_other(run):
    X, y, _ = cohort(1, "logistic")
    SEEN.clear()
    spied = Pipeline([("logistic", Spy())])
    if run == "bootstrap":
        refit_resamples(spied, X, y, 3, range(5))
        draws = [patient_resample(X.index, 3, number) for number in range(5)]
    else:
        permute_protocol(spied, X, y, 3, [0])
        draws = [np.arange(len(X)), *(patient_resample(X.index, 3, number) for number in range(10))]
    drawn = [set(X.index[draw].get_level_values("patient")) for draw in draws]
    assert [seen[1] for seen in SEEN] == drawn
    assert all(same for _, _, same in SEEN)
