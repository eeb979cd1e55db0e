import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from nenflow.documents import read_json, write_json
from nenflow.errors import InputError
from nenflow.models.filters import SpearmanPruning, ZScore
from nenflow.models.logistic import likelihood_ratio
from nenflow.models.signature import LassoSignature
from nenflow.models.steps import BackwardElimination, LogisticModel, UnivariableSelection
from nenflow.models.tables import multivariable_table, univariable_table

EXACT = 1e-12
R_COEFFICIENT = 1e-8
R_PROFILE = 1e-3  # R interpolates profiles


def lesions(values, patients=None):
    """A table of features with 1, 2, ... as patients (or those given) and one region each."""
    table = pd.DataFrame(values)
    patients = [str(i) for i in range(len(table))] if patients is None else patients
    regions = [f"L{i}" for i in range(len(table))]
    return table.set_axis(pd.MultiIndex.from_arrays([patients, regions], names=["patient", "region"]))


def outcome(values, X):
    return pd.Series(values, index=X.index)


def test_z_score_is_that_of_r_and_says_what_it_drops():
    X = lesions({"a": [1.0, 2, 3, 4], "same": [0.1] * 4, "b": [2.0, 2, 2, 6], "age": [50, 60, 70, 80]})
    step = ZScore(clinical=("age",)).fit(X)
    Z = step.transform(X)
    assert list(Z.columns) == ["a", "b", "age"]
    np.testing.assert_allclose(Z["a"], np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(5 / 3), rtol=EXACT)
    np.testing.assert_allclose(Z["b"], [-0.5, -0.5, -0.5, 1.5], rtol=EXACT)
    assert Z["age"].tolist() == [50, 60, 70, 80]
    assert step.document()["dropped"] == ["same"]
    new = lesions({"age": [55], "b": [3.0], "a": [7.0]})
    np.testing.assert_allclose(step.transform(new)[["a", "b"]], [[4.5 / np.sqrt(5 / 3), 0]], atol=EXACT)


def test_z_score_refuses_what_is_missing():
    X = lesions({"a": [1.0, 2, np.nan], "b": [1.0, 2, 4]})
    with pytest.raises(InputError, match="first being a"):
        ZScore().fit(X)
    step = ZScore().fit(X[["b"]])
    with pytest.raises(InputError, match="lacks 1"):
        step.transform(X[["a"]])


def test_pruning_agrees_with_r(golden):
    known = read_json(golden / "sonar.json")["prune"]
    X = lesions(pd.read_csv(golden / "sonar.csv").drop(columns="mine"))
    step = SpearmanPruning(threshold=known["cut"]).fit(X)
    assert step.document()["kept"] == known["greedy_keep_first"]
    assert list(step.transform(X).columns) == known["greedy_keep_first"]
    for name, why in step.document()["dropped"].items():
        assert why["rho"] == pytest.approx(spearmanr(X[name], X[why["for"]]).statistic, abs=EXACT)
        assert abs(why["rho"]) > 0.9


def test_pruning_keeps_the_first_and_forgets_the_dropped():
    # b goes for a; c goes with b only, which is no longer there, so c stays; -a goes too; ties have mean ranks
    a = np.arange(20.0)
    b = a.copy()
    b[[0, 4]] = b[[4, 0]]
    c = b.copy()
    c[[8, 19]] = c[[19, 8]]
    X = lesions({"a": a, "b": b, "c": c, "minus": -a, "halves": a // 2, "age": a})
    rho = {name: spearmanr(X["a"], X[name]).statistic for name in X}
    assert rho["b"] > 0.9 > rho["c"]
    assert spearmanr(X["b"], X["c"]).statistic > rho["c"]
    step = SpearmanPruning(threshold=0.9, clinical=("age",)).fit(X)
    assert step.document()["kept"] == ["a", "c"]
    assert {name: why["for"] for name, why in step.document()["dropped"].items()} == {
        "b": "a",
        "minus": "a",
        "halves": "a",
    }
    assert step.document()["dropped"]["halves"]["rho"] == pytest.approx(rho["halves"], abs=EXACT)
    assert list(step.transform(X).columns) == ["a", "c", "age"]
    # exactly at the threshold is not beyond it
    assert SpearmanPruning(threshold=1.0).fit(X[["a", "age"]]).document()["kept"] == ["a", "age"]


@pytest.fixture(scope="module")
def signal():
    """90 lesions of 60 patients; the outcome depends on two of twelve features and on age."""
    rng = np.random.default_rng(12)
    values = pd.DataFrame(rng.normal(size=(90, 12)), columns=[f"f{j}" for j in range(12)])
    values["age"] = rng.integers(30, 80, size=90)
    log_odds = 1.5 * values["f2"] - 1.5 * values["f7"] + 0.03 * (values["age"] - 55)
    X = lesions(values, [str(i // 2) if i < 60 else str(i) for i in range(90)])
    event = rng.random(90) < 1 / (1 + np.exp(-log_odds.to_numpy()))
    return X, outcome(event.astype(int), X)


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


def test_lasso_refuses_unknown_words_and_an_empty_table(signal):
    X, y = signal
    with pytest.raises(InputError, match="folds_by is 'region'"):
        LassoSignature(folds_by="region").fit(X, y)
    with pytest.raises(InputError, match="rule is 'best'"):
        LassoSignature(rule="best").fit(X, y)
    with pytest.raises(InputError, match="no feature to choose from"):
        LassoSignature(clinical=("age",)).fit(X[["age"]], y)


def aneurysm(golden):
    table = pd.read_csv(golden / "aSAH.csv")
    X = lesions(table.drop(columns="poor"))
    return X, outcome(table["poor"].to_numpy(), X), read_json(golden / "aSAH.json")


def test_univariable_selection_and_table_agree_with_r(golden):
    X, y, known = aneurysm(golden)
    step = UnivariableSelection(p=0.05).fit(X, y)
    expected = {name: result["p"][1] for name, result in known["univariable"].items()}
    assert {name: test["p"] for name, test in step.document()["variables"].items()} == pytest.approx(expected, abs=1e-7)
    assert step.document()["kept"] == [name for name in X if expected[name] < 0.05]
    table = univariable_table(X, y).set_index("variable")
    for name, result in known["univariable"].items():
        assert table.loc[name, "odds_ratio"] == pytest.approx(result["or"][1], rel=R_COEFFICIENT)
        ends = (result["or_profile_lo"][1], result["or_profile_hi"][1])
        assert tuple(table.loc[name, ["low", "high"]]) == pytest.approx(ends, rel=R_PROFILE)


def test_backward_elimination_and_model_agree_with_r(golden):
    X, y, known = aneurysm(golden)
    backward = known["backward_p05"]
    step = BackwardElimination(p=0.05).fit(X, y)
    assert [row["variable"] for row in step.document()["removed"]] == backward["removed"]
    assert [row["p"] for row in step.document()["removed"]] == pytest.approx(backward["p_at_removal"], abs=1e-7)
    assert step.document()["kept"] == backward["kept"]
    kept = step.transform(X)
    final = LogisticModel().fit(kept, y)
    fit = backward["fit"]
    assert [final.document()["intercept"], *final.document()["coefficients"].values()] == pytest.approx(
        fit["coef"], abs=R_COEFFICIENT
    )
    table = multivariable_table(kept, y)
    assert table["variable"].tolist() == ["intercept", *kept.columns]
    assert table["odds_ratio"].tolist() == pytest.approx(fit["or"], rel=R_COEFFICIENT)
    assert table["low"].tolist() == pytest.approx(fit["or_profile_lo"], rel=R_PROFILE)
    assert table["high"].tolist() == pytest.approx(fit["or_profile_hi"], rel=R_PROFILE)
    assert set(table["method"]) == {"maximum likelihood"}


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
    row = univariable_table(X[["Radscore"]], y).iloc[0]
    assert row["method"] == "Firth's penalised likelihood"
    assert np.isfinite(row[["low", "high"]].to_numpy(float)).all()
    joint = multivariable_table(X[["Radscore"]], y).set_index("variable")
    assert joint.loc["Radscore", "test"] == "penalised likelihood ratio"
    assert joint.loc["Radscore", "p"] < 1e-9


def test_variable_without_variation_is_never_chosen():
    rng = np.random.default_rng(8)
    X = lesions({"x": rng.normal(size=50), "sex": np.ones(50)})
    y = outcome((X["x"].to_numpy() + rng.normal(size=50) > 0).astype(int), X)
    step = UnivariableSelection(p=0.99).fit(X, y)
    assert step.document()["variables"]["sex"]["p"] == 1
    assert step.document()["kept"] == ["x"]
    table = univariable_table(X, y).set_index("variable")
    assert table.loc["sex", ["odds_ratio", "low", "high"]].isna().all()
    assert [row["variable"] for row in BackwardElimination().fit(X, y).document()["removed"]] == ["sex"]


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
        LogisticModel(clinical=("age",)),
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
