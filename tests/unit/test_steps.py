import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from lesion_tables import lesions, outcome, signal, survival_signal
from nenflow.documents import read_json, write_json
from nenflow.errors import InputError
from nenflow.models.cox import fit_cox
from nenflow.models.filters import SpearmanPruning, ZScore
from nenflow.models.logistic import likelihood_ratio
from nenflow.models.signature import LassoSignature
from nenflow.models.steps import (
    BackwardElimination,
    CoxModel,
    ForwardSelection,
    LogisticModel,
    Terms,
    UnivariableSelection,
)
from nenflow.models.terms import term_of


@pytest.fixture(scope="module", name="signal")
def _signal():
    return signal()


@pytest.fixture(scope="module", name="survival")
def _survival():
    return survival_signal()


@pytest.fixture
def separated():
    """A score that tells all events from the others, beside a variable of little use."""
    rng = np.random.default_rng(5)
    score = np.concatenate([rng.uniform(-2, -0.2, 20), rng.uniform(0.2, 2, 40)])
    X = lesions({"Radscore": score, "other": rng.normal(size=60)})
    return X, outcome(np.repeat([0, 1], [20, 40]), X)


def test_separation_is_decided_by_the_likelihood_ratio(separated):
    X, y = separated
    chosen = UnivariableSelection().fit(X, y).document()
    # Wald's p would be near 1 (Hauck & Donner); the likelihood ratio against the null model is 76.4 on one df
    assert chosen["variables"]["Radscore"]["test"] == "likelihood ratio (separated)"
    assert chosen["variables"]["Radscore"]["p"] == pytest.approx(likelihood_ratio(X[["Radscore"]], y, 0))
    assert chosen["variables"]["Radscore"]["p"] < 1e-16
    assert chosen["kept"] == ["Radscore"]
    # without "other" the likelihood stays 1 to 11 digits, which is a p of 1 to 5
    backward = BackwardElimination().fit(X, y).document()
    assert backward["kept"] == ["Radscore"]
    assert backward["removed"] == [
        {"variable": "other", "p": pytest.approx(1, abs=1e-4), "test": "likelihood ratio (separated)"}
    ]


def test_separated_model_is_firths_and_says_so(separated):
    X, y = separated
    final = LogisticModel().fit(X[["Radscore"]], y)
    assert final.document()["separated"] is True
    assert final.document()["method"] == "Firth's penalised likelihood"
    assert 0 < final.document()["coefficients"]["Radscore"] < 20
    assert np.all(np.isfinite(final.decision_function(X)))


def test_variable_without_variation_is_never_chosen():
    rng = np.random.default_rng(8)
    X = lesions({"x": rng.normal(size=50), "sex": np.ones(50)})
    y = outcome((X["x"].to_numpy() + rng.normal(size=50) > 0).astype(int), X)
    step = UnivariableSelection(p=0.99).fit(X, y)
    assert step.document()["variables"]["sex"]["p"] == 1
    assert step.document()["kept"] == ["x"]
    for selection in (BackwardElimination(), BackwardElimination(criterion="aic")):
        assert [row["variable"] for row in selection.fit(X, y).document()["removed"]] == ["sex"]
    assert ForwardSelection(criterion="aic").fit(X, y).document()["kept"] == ["x"]


def test_model_knows_its_scales(signal):
    X, y = signal
    document = LogisticModel().fit(X[["f2", "age"]].assign(nse=np.tile([1, 2], 45)), y).document()
    assert document["scales"]["nse"] == {"values": [1.0, 2.0]}
    assert document["scales"]["age"] == {"minimum": X["age"].min(), "maximum": X["age"].max()}
    assert document["n"] == 90
    assert document["events"] == y.sum()


@pytest.mark.parametrize(
    "step",
    [
        ZScore(clinical=("age",)),
        SpearmanPruning(threshold=0.2, clinical=("age",)),
        LassoSignature(folds=5, rule="lambda.1se", clinical=("age",)),
        UnivariableSelection(p=0.2, clinical=("age",)),
        BackwardElimination(p=0.2, clinical=("age",)),
        BackwardElimination(criterion="aic", clinical=("age",)),
        ForwardSelection(p=0.2, clinical=("age",)),
        LogisticModel(clinical=("age",)),
        Terms(factors={}, splines={"age": 3}, clinical=("age",)),
        LassoSignature(alpha=0.5, repeats=2, measure="auc", folds=3, clinical=("age",)),
    ],
    ids=lambda step: type(step).__name__,
)
def test_saved_step_applies_and_reads_the_same(step, signal, tmp_path):
    X, y = signal
    step.fit(X, y)
    write_json(step.document(), tmp_path / "step.json")
    loaded = type(step).from_document(read_json(tmp_path / "step.json"), clinical=("age",))
    assert loaded.document() == step.document()
    assert loaded.get_params() == step.get_params()
    if isinstance(step, LogisticModel):
        assert (loaded.decision_function(X) == step.decision_function(X)).all()
    else:
        pd.testing.assert_frame_equal(loaded.transform(X), step.transform(X), check_exact=True)


def test_saved_cox_model_predicts_the_same(survival, tmp_path):
    X, y = survival
    step = CoxModel(ties="breslow", times=[6, 12.5]).fit(X[["f2", "age"]], y)
    write_json(step.document(), tmp_path / "step.json")
    loaded = CoxModel.from_document(read_json(tmp_path / "step.json"))
    assert loaded.document() == step.document()
    assert loaded.get_params() == step.get_params()
    assert (loaded.predict_survival(X) == step.predict_survival(X)).all()
    # each row alone, in a table with other columns in another order
    alone = np.vstack([step.predict_survival(X.iloc[[i], ::-1]) for i in range(5)])
    assert (alone == step.predict_survival(X)[:5]).all()


def test_cox_model_is_what_its_document_says(survival):
    X, y = survival
    document = CoxModel(times=[6, 24]).fit(X[["f2", "age"]], y).document()
    fit = fit_cox(X[["f2", "age"]].to_numpy(), y["time"].to_numpy(), y["event"].to_numpy())
    assert list(document["coefficients"].values()) == fit.coef.tolist()
    assert list(document["p"].values()) == fit.p.tolist()
    assert document["n"] == 90
    assert document["events"] == y["event"].sum()
    assert document["separated"] is False
    predictor = X[["f2", "age"]].to_numpy() @ fit.coef
    assert document["linear_predictor"] == pytest.approx([predictor.min(), predictor.max()], abs=1e-9)
    assert document["center"] == pytest.approx(predictor.mean(), abs=1e-9)
    times, hazard = np.array(document["baseline"]["time"]), np.array(document["baseline"]["hazard"])
    survival_24 = np.exp(-hazard[times <= 24][-1] * np.exp(predictor))
    model = CoxModel.from_document(document)
    np.testing.assert_allclose(model.predict_survival(X)[:, 1], survival_24, rtol=1e-8)
    assert (model.predict_survival(X, [times[0] / 2]) == 1).all()
    assert (np.diff(model.predict_survival(X, [1, 6, 24, 50]), axis=1) <= 0).all()


def test_cox_model_without_variables_is_the_nelson_aalen_survival_of_all(survival):
    X, y = survival
    model = CoxModel(ties="breslow", times=[12]).fit(X[[]], y)
    assert model.document()["variables"] == []
    hazard = sum(
        ((y["time"] == t) & (y["event"] == 1)).sum() / (y["time"] >= t).sum() for t in y["time"].unique() if t <= 12
    )
    np.testing.assert_allclose(model.predict_survival(X), np.exp(-hazard), rtol=1e-12)


def test_competing_events_count_as_censored(survival):
    X, y = survival
    competing = y.assign(event=np.where((y["event"] == 0) & (np.arange(90) % 2 == 0), 2, y["event"]))
    assert (competing["event"] == 2).any()
    for step in (CoxModel(times=[12]), BackwardElimination(p=0.2)):
        kept = X[["f2", "f3", "age"]]
        assert clone(step).fit(kept, competing).document() == clone(step).fit(kept, y).document()


def test_monotone_likelihood_is_decided_by_the_likelihood_ratio_and_fitted_by_firth():
    rng = np.random.default_rng(3)
    early = np.repeat([1.0, 0.0], [10, 30])
    time = np.where(early == 1, rng.uniform(1, 5, 40), rng.uniform(6, 20, 40))
    X = lesions({"early": early, "other": rng.normal(size=40)})
    y = pd.DataFrame({"time": time, "event": early.astype(int)}, index=X.index)
    backward = BackwardElimination().fit(X, y).document()
    assert backward["kept"] == ["early"]
    assert backward["removed"][0]["test"] == "likelihood ratio (separated)"
    model = CoxModel(times=[3]).fit(X[["early"]], y).document()
    assert model["separated"] is True
    assert model["method"] == "Firth's penalised likelihood"
    assert 0 < model["coefficients"]["early"] < 20


def test_selections_find_what_drives_survival(survival):
    X, y = survival
    candidates = X[["f0", "f1", "f2", "f7", "age"]]
    for step in (BackwardElimination(p=0.05), ForwardSelection(p=0.05), UnivariableSelection(p=0.05)):
        assert {"f2", "f7"} <= set(step.fit(candidates, y).document()["kept"])


def test_terms_are_kept_and_dropped_as_a_whole(signal):
    X, y = signal
    race = np.random.default_rng(2).integers(1, 4, size=90)
    table = X[["f2", "age"]].assign(race=race)
    terms = Terms(factors={"race": ["white", "black", "other"]}, splines={"age": 4})
    columns = ["f2", "age", "age'", "age''", "race=black", "race=other"]
    wide = terms.fit(table).transform(table)
    assert list(wide.columns) == columns
    # one threshold between the p values of the columns of a term: the term's own p decides
    tests = UnivariableSelection(p=0.5).fit(wide, y).document()["variables"]
    assert list(tests) == ["f2", "age", "race"]
    assert tests["race"]["df"] == 2
    assert tests["age"]["df"] == 3
    assert tests["age"]["coefficient"] is None
    for step in (UnivariableSelection(p=0.3), BackwardElimination(p=0.3), ForwardSelection(p=0.3)):
        document = step.fit(wide, y).document()
        kept = {term_of(name) for name in document["kept"]}
        assert document["kept"] == [name for name in columns if term_of(name) in kept]


def test_missing_values_are_refused_or_imputed(signal, tmp_path):
    X, y = signal
    table = X[["f2", "f7", "age"]].copy()
    table.iloc[::9, 2] = np.nan
    for step in (UnivariableSelection(), BackwardElimination(), ForwardSelection(), LogisticModel()):
        with pytest.raises(InputError, match="first being age"):
            step.fit(table, y)
    for step in (UnivariableSelection, BackwardElimination, ForwardSelection):
        assert {"f2", "f7"} <= set(step(imputations=5, seed=1).fit(table, y).document()["kept"])
    with pytest.raises(InputError, match="select by p"):
        BackwardElimination(criterion="aic", imputations=5).fit(table, y)
    model = LogisticModel(imputations=5, seed=1).fit(table, y)
    complete = LogisticModel(imputations=5, seed=1).fit(X[["f2", "f7", "age"]], y)
    assert "imputer" not in complete.document()
    assert complete.document() == LogisticModel().fit(X[["f2", "f7", "age"]], y).document()
    assert model.document()["coefficients"] == pytest.approx(complete.document()["coefficients"], rel=0.5)
    assert model.document()["se"]["age"] > complete.document()["se"]["age"]
    assert np.isfinite(model.predict_proba(table)).all()
    # rows without a missing value are scored by the coefficients alone, others as the document fills them
    write_json(model.document(), tmp_path / "model.json")
    loaded = LogisticModel.from_document(read_json(tmp_path / "model.json"))
    assert (loaded.decision_function(table.iloc[::-1]) == model.decision_function(table)[::-1]).all()


def test_cox_model_with_imputed_values(survival):
    X, y = survival
    table = X[["f2", "age"]].copy()
    table.iloc[::9, 1] = np.nan
    with pytest.raises(InputError, match="first being age"):
        CoxModel(times=[12]).fit(table, y)
    model = CoxModel(times=[12], imputations=5, seed=2).fit(table, y)
    assert model.document()["imputations"] == 5
    assert np.isfinite(model.predict_survival(table)).all()
    assert model.document() == clone(model).fit(table, y).document()


def test_models_and_selections_refuse_what_they_are_not_for(signal, survival):
    X, y = signal
    with pytest.raises(InputError, match="use logistic"):
        CoxModel().fit(X, y)
    with pytest.raises(InputError, match="use cox"):
        LogisticModel().fit(X, survival[1])
    with pytest.raises(InputError, match="ties is 'exact'"):
        CoxModel(ties="exact").fit(*survival)
    with pytest.raises(InputError, match="criterion is 'bic'"):
        BackwardElimination(criterion="bic").fit(X, y)
    with pytest.raises(InputError, match="criterion is 'bic'"):
        ForwardSelection(criterion="bic").fit(X, y)
