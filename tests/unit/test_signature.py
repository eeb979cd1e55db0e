import numpy as np
import pandas as pd
import pytest

from lesion_tables import lesions, outcome, signal, survival_signal
from nenflow.errors import InputError
from nenflow.models.lasso import cross_validate
from nenflow.models.oversampling import inside_folds
from nenflow.models.signature import LassoSignature
from nenflow.models.steps import LogisticModel, UnivariableSelection

EXACT = 1e-12


@pytest.fixture(scope="module", name="signal")
def _signal():
    return signal()


def test_signature_is_the_linear_predictor_with_intercept(signal):
    X, y = signal
    step = LassoSignature(seed=3, clinical=("age",)).fit(X, y)
    document = step.document()
    out = step.transform(X)
    assert list(out.columns) == ["Radscore", "age"]
    expected = document["intercept"] + sum(c * X[name] for name, c in document["coefficients"].items())
    np.testing.assert_allclose(out["Radscore"], expected, rtol=EXACT)
    assert {"f2", "f7"} <= set(document["coefficients"])
    assert "age" not in document["coefficients"]
    path = document["path"]
    chosen = path["lambda"].index(document["lambda_min"])
    assert path["deviance"][chosen] == min(path["deviance"])
    assert {name: c[chosen] for name, c in path["coefficients"].items() if c[chosen]} == document["coefficients"]
    sparser = LassoSignature(seed=3, rule="lambda.1se", clinical=("age",)).fit(X, y).document()
    assert abs(sparser["coefficients"]["f2"]) < abs(document["coefficients"]["f2"])
    assert sparser["lambda_1se"] == document["lambda_1se"] > document["lambda_min"]


def test_folds_keep_patients_or_copies_of_a_lesion_together(signal):
    X, y = signal
    twice = np.concatenate([np.arange(90), np.arange(30)])
    X, y = X.iloc[twice], y.iloc[twice]
    by_patient = pd.Series(LassoSignature(clinical=("age",)).fit(X, y).document()["fold_of"], index=X.index)
    assert by_patient.groupby("patient").nunique().max() == 1
    by_lesion = LassoSignature(folds_by="lesion", clinical=("age",)).fit(X, y).document()["fold_of"]
    by_lesion = pd.Series(by_lesion, index=X.index)
    assert by_lesion.groupby(["patient", "region"]).nunique().max() == 1
    assert by_lesion.groupby("patient").nunique().max() == 2


def test_each_row_is_scored_alone(signal):
    X, y = signal
    step = LassoSignature(clinical=("age",)).fit(X, y)
    whole = step.transform(X)["Radscore"]
    alone = pd.concat([step.transform(X.iloc[[i]])["Radscore"] for i in range(90)])
    assert (whole == alone).all()


def test_lasso_refuses_unknown_words_and_an_empty_table(signal):
    X, y = signal
    with pytest.raises(InputError, match="folds_by is 'region'"):
        LassoSignature(folds_by="region").fit(X, y)
    with pytest.raises(InputError, match="rule is 'best'"):
        LassoSignature(rule="best").fit(X, y)
    with pytest.raises(InputError, match="no feature to choose from"):
        LassoSignature(clinical=("age",)).fit(X[["age"]], y)


def test_lasso_that_selects_nothing_gives_everyone_the_same_score():
    rng = np.random.default_rng(0)  # a seed whose noise selects nothing, as about four in ten do
    X = lesions(rng.normal(size=(80, 30)).astype(float)).rename(columns=str)
    y = outcome(np.tile([0, 1], 40), X)
    step = LassoSignature(seed=1).fit(X, y)
    assert step.document()["coefficients"] == {}
    assert step.transform(X)["Radscore"].tolist() == [step.document()["intercept"]] * 80
    chosen = UnivariableSelection().fit(step.transform(X), y)
    assert chosen.document()["variables"]["Radscore"] == {"p": 1.0, "coefficient": 0.0, "test": "no variation"}
    final = LogisticModel().fit(chosen.transform(step.transform(X)), y)
    assert final.document()["variables"] == []
    assert final.decision_function(X).tolist() == [0.0] * 80
    assert final.predict_proba(X)[:, 1].tolist() == [0.5] * 80


def test_signature_of_survival(signal):
    X, y = survival_signal()
    step = LassoSignature(seed=3, clinical=("age",)).fit(X, y)
    document = step.document()
    assert document["intercept"] == 0
    assert document["coefficients"]["f2"] > 0 > document["coefficients"]["f7"]
    expected = sum(c * X[name] for name, c in document["coefficients"].items())
    np.testing.assert_allclose(step.transform(X)["Radscore"], expected, atol=EXACT)
    # a competing event is censored
    competing = y.assign(event=np.where(y["event"] == 0, 2, 1))
    assert LassoSignature(seed=3, clinical=("age",)).fit(X, competing).document() == document


def test_repeats_deal_the_folds_anew_and_count_selections(signal):
    X, y = signal
    step = LassoSignature(folds=5, repeats=3, seed=3, clinical=("age",)).fit(X, y)
    document = step.document()
    folds = np.array(document["fold_of"])
    assert folds.shape == (3, 90)
    once = LassoSignature(folds=5, seed=3, clinical=("age",)).fit(X, y).document()
    assert document["fold_of"][0] == once["fold_of"]
    assert (folds[1] != folds[0]).any()
    for fold_of in folds:
        assert pd.Series(fold_of, index=X.index).groupby("patient").nunique().max() == 1
    single = [
        LassoSignature(folds=5, clinical=("age",)).fit(X, y, fold_of=fold_of).document()["path"]["deviance"]
        for fold_of in folds
    ]
    np.testing.assert_allclose(document["path"]["deviance"], np.mean(single, axis=0), rtol=1e-12)
    assert document["frequency"]["f2"] == document["frequency"]["f7"] == 1
    assert set(document["coefficients"]) <= set(document["frequency"])
    assert "frequency" not in once


def test_other_measure_and_elastic_net(signal):
    X, y = signal
    document = LassoSignature(folds=5, measure="auc", clinical=("age",)).fit(X, y).document()
    assert document["measure"] == "auc"
    area = document["path"]["auc"]
    assert 0.5 < max(area) <= 1
    assert area[document["path"]["lambda"].index(document["lambda_min"])] == max(area)
    net = LassoSignature(folds=5, alpha=0.2, clinical=("age",)).fit(X, y).document()
    lasso = LassoSignature(folds=5, clinical=("age",)).fit(X, y).document()
    assert net["alpha"] == 0.2
    assert "alpha" not in lasso
    assert net["path"]["lambda"][0] == pytest.approx(lasso["path"]["lambda"][0] / 0.2)


def test_synthetic_rows_are_grown_inside_the_folds(signal):
    X, y = signal
    rare = y.where(np.arange(90) < 45, 0)
    features = X.drop(columns="age")
    document = LassoSignature(folds=4, oversample={"method": "smote", "neighbours": 3}, seed=2).fit(features, rare)
    document = document.document()
    expected = cross_validate(
        features.to_numpy(),
        rare.to_numpy(float),
        np.array(document["fold_of"]),
        enrich=inside_folds("smote", neighbours=3, seed=2),
    )
    assert document["path"]["deviance"] == expected.cvm.tolist()
    assert document["oversample"] == {"method": "smote", "neighbours": 3}
    plain = LassoSignature(folds=4, seed=2).fit(features, rare).document()
    assert plain["path"]["deviance"] != document["path"]["deviance"]


def test_options_that_do_not_fit_are_refused(signal):
    X, y = survival_signal()
    with pytest.raises(InputError, match="two classes"):
        LassoSignature(oversample={"method": "smote"}, clinical=("age",)).fit(X, y)
    with pytest.raises(InputError, match="cannot be auc"):
        LassoSignature(measure="auc", clinical=("age",)).fit(X, y)
    with pytest.raises(InputError, match="repeats is 0"):
        LassoSignature(repeats=0, clinical=("age",)).fit(X, y)
