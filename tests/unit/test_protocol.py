import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from lesion_tables import survival_signal
from nenflow.documents import plain, read_json, write_json
from nenflow.errors import InputError
from nenflow.models.protocol import (
    build_protocol,
    cox_settings,
    fit_step,
    for_refits,
    from_document,
    scores,
    to_document,
)
from nenflow.models.tables import univariable_table
from nenflow.tables import UNIT, read_table, write_table

STEPS = [
    {"stability": {"form": "ICC2", "threshold": 0.75}},
    {"zscore": {}},
    {"spearman": {"threshold": 0.90}},
    {"lasso": {"folds": 10, "folds_by": "patient", "rule": "lambda.min"}},
    {"univariable": {"p": 0.05}},
    {"backward": {"p": 0.05}},
    {"logistic": None},
]
GLMNET = 1e-6  # how exactly glmnet at 1e-12 solves its problem at lambda.min
SCORE = 2e-6  # the same in a lesion's score
PASSED_ON = 1e-5  # the same in coefficients and odds ratios of models that the Radscore goes into, relative
PROFILE = 1e-3  # R interpolates profiles


@pytest.fixture(scope="module")
def chain(golden):
    """131 lesions of 76 patients with 851 features, 13 clinical variables, re-readings of 46; R's results."""
    known = read_json(golden / "chain.json")
    features = pd.read_csv(golden / "chain_features.csv.gz")
    clinical = pd.read_csv(golden / "chain_clinical.csv.gz")
    units = pd.MultiIndex.from_frame(features[["patient", "lesion"]].astype(str), names=UNIT)
    images = features.drop(columns=["patient", "lesion"]).set_axis(units)
    names = [name for name in known["univariable"] if name != "rad"]
    X = pd.concat([images, clinical[names].set_axis(units)], axis=1)

    def reading(name):
        table = pd.read_csv(golden / f"chain_{name}.csv.gz")
        rows = pd.Index(features["lesion"]).get_indexer(table["lesion"])
        return table.drop(columns="lesion").set_axis(units[rows])

    readings = {"reference": images, "intra": reading("intra"), "inter": reading("inter")}
    return X, clinical["ineffective"].set_axis(units), names, readings, known


@pytest.fixture(scope="module")
def fitted(chain):
    X, y, clinical, readings, known = chain
    protocol = build_protocol(STEPS, clinical, readings, seed=1)
    return protocol.fit(X, y, lasso__fold_of=np.array(known["lasso"]["fold"]))


def test_selections_are_those_of_r(fitted, chain):
    known = chain[-1]
    steps = to_document(fitted)["steps"]
    assert steps["stability"]["stable"] == known["stable"]
    assert steps["spearman"]["kept"] == known["pruned"]
    chosen = known["lasso"]["tight_thresh"]["coef_min"]
    assert list(steps["lasso"]["coefficients"]) == chosen["terms"]
    assert len(chosen["terms"]) == 7
    as_r = ["rad" if name == "Radscore" else name for name in steps["univariable"]["kept"]]
    assert as_r == known["univariable_p05"]
    assert [row["variable"] for row in steps["backward"]["removed"]] == known["fusion"]["backward_p05"]["removed"]


def test_numbers_are_those_of_r(fitted, chain):
    X, known = chain[0], chain[-1]
    steps = to_document(fitted)["steps"]
    chosen = known["lasso"]["tight_thresh"]["coef_min"]
    assert list(steps["lasso"]["coefficients"].values()) == pytest.approx(chosen["coef"], abs=GLMNET)
    assert steps["lasso"]["intercept"] == pytest.approx(chosen["a0"], abs=GLMNET)
    np.testing.assert_allclose(scores(fitted, X)["Radscore"], known["radscore"], atol=SCORE)
    fusion, model = steps["logistic"], known["fusion"]["model"]
    assert [fusion["intercept"], *fusion["coefficients"].values()] == pytest.approx(model["coef"], rel=PASSED_ON)
    assert list(fusion["p"].values()) == pytest.approx(model["p"], rel=PASSED_ON)
    np.testing.assert_allclose(scores(fitted, X)["probability"], known["fusion"]["fitted"], atol=SCORE)


def test_univariable_table_is_that_of_r(fitted, chain):
    X, y, _, _, known = chain
    table = univariable_table(fitted[:4].transform(X), y).set_index("variable")
    for name, result in known["univariable"].items():
        row = table.loc["Radscore" if name == "rad" else name]
        assert row["odds_ratio"] == pytest.approx(result["or"][1], rel=PASSED_ON)
        assert row["p"] == pytest.approx(result["p"][1], rel=PASSED_ON)
        ends = (result["or_profile_lo"][1], result["or_profile_hi"][1])
        assert (row["low"], row["high"]) == pytest.approx(ends, rel=PROFILE)


def test_steps_one_by_one_through_files_equal_the_pipeline(chain, tmp_path):
    X, y, clinical, readings, _ = chain
    whole = build_protocol(STEPS, clinical, readings, seed=1).fit(X, y)
    documents, table = {}, X
    for number, step in enumerate(STEPS):
        ((name, options),) = step.items()
        fitted_step, passed_on = fit_step(name, options or {}, table, y, clinical, readings, seed=1)
        documents[name] = fitted_step.document()
        write_table(passed_on, tmp_path / f"{number}.csv")
        table = read_table(tmp_path / f"{number}.csv", index=UNIT)
    assert documents == to_document(whole)["steps"]


def test_saved_protocol_scores_the_same(fitted, chain, tmp_path):
    X, clinical = chain[0], chain[2]
    write_json(to_document(fitted), tmp_path / "model.json")
    loaded = from_document(read_json(tmp_path / "model.json"), clinical)
    pd.testing.assert_frame_equal(scores(loaded, X), scores(fitted, X), check_exact=True)
    assert to_document(loaded) == read_json(tmp_path / "model.json")
    # a few lesions in another order get the same scores, bit by bit
    some = X.iloc[[100, 3, 57]]
    pd.testing.assert_frame_equal(scores(loaded, some), scores(fitted, X).iloc[[100, 3, 57]], check_exact=True)


def test_columns_of_the_scores(fitted, chain):
    table = scores(fitted, chain[0])
    assert list(table.columns) == ["Radscore", "linear_predictor", "probability"]
    assert (table["linear_predictor"] == table["linear_predictor"].round(9)).all()
    np.testing.assert_allclose(table["probability"], 1 / (1 + np.exp(-table["linear_predictor"])), rtol=1e-12)


def test_a_clone_refits_on_a_resample_of_patients(fitted, chain):
    X, y = chain[:2]
    patients = X.index.get_level_values("patient")
    drawn = np.random.default_rng([1, 0]).choice(patients.unique(), size=76)
    rows = np.concatenate([np.flatnonzero(patients == patient) for patient in drawn])
    again = clone(fitted).fit(X.iloc[rows], y.iloc[rows])
    folds = pd.Series(to_document(again)["steps"]["lasso"]["fold_of"], index=X.index[rows])
    assert folds.groupby("patient").nunique().max() == 1
    assert to_document(again) == to_document(clone(fitted).fit(X.iloc[rows], y.iloc[rows]))
    assert np.isfinite(scores(again, X).to_numpy()).all()


def test_a_copy_for_refits_selects_the_same_and_leaves_the_original_alone(fitted, chain):
    X, y = chain[:2]
    before = to_document(fitted)
    whole, short = (protocol.fit(X, y) for protocol in (clone(fitted), for_refits(fitted)))
    paths = [protocol.named_steps["lasso"].document().pop("path")["lambda"] for protocol in (whole, short)]
    assert len(paths[1]) < len(paths[0])
    assert to_document(short) == to_document(whole)  # but for the paths
    assert to_document(fitted) == before
    assert not hasattr(for_refits(fitted)[-1], "document_")


def test_protocol_without_signature(chain):
    X, y, clinical, _, _ = chain
    protocol = build_protocol([{"univariable": {"p": 0.05}}, {"logistic": {}}], clinical, None, seed=1)
    protocol.fit(X[clinical], y)
    assert scores(protocol, X[clinical])["Radscore"].isna().all()


@pytest.fixture(scope="module")
def patients():
    """Survival of 90 lesions, twelve features, age with a site; the steps with all that they can be asked."""
    X, y = survival_signal()
    X = X.assign(site=np.random.default_rng(4).integers(1, 3, size=90), race=np.tile([1.0, 2, 3], 30))
    steps = [
        {"combat": {"batch": "site"}},
        {"zscore": {}},
        {"spearman": {}},
        {"lasso": {"folds": 5, "folds_by": "patient", "rule": "lambda.min", "repeats": 2}},
        {"terms": {"factors": {"race": ["white", "black", "other"]}, "splines": {"age": 3}}},
        {"univariable": {"p": 0.5}},
        {"forward": {"p": 0.5}},
        {"backward": {"criterion": "aic"}},
        {"cox": {"ties": "breslow"}},
    ]
    return X, y, ["age", "site", "race"], steps


def test_protocol_of_survival(patients, tmp_path):
    X, y, clinical, steps = patients
    protocol = build_protocol(steps, clinical, None, seed=1, times=[6, 12.5]).fit(X, y)
    table = scores(protocol, X)
    assert list(table.columns) == ["Radscore", "linear_predictor", "survival_6", "survival_12.5"]
    assert (table["survival_12.5"] < table["survival_6"]).all()
    # the higher the linear predictor, the worse
    assert table["linear_predictor"].corr(table["survival_6"], method="spearman") < -0.999
    np.testing.assert_allclose(table["Radscore"], protocol[:4].transform(X)["Radscore"], rtol=1e-12)
    write_json(to_document(protocol), tmp_path / "model.json")
    loaded = from_document(read_json(tmp_path / "model.json"), clinical)
    pd.testing.assert_frame_equal(scores(loaded, X), table, check_exact=True)
    pd.testing.assert_frame_equal(scores(loaded, X.iloc[[7, 3]]), table.iloc[[7, 3]], check_exact=True)


def test_steps_of_survival_one_by_one_equal_the_pipeline(patients, tmp_path):
    X, y, clinical, steps = patients
    whole = build_protocol(steps, clinical, None, seed=1, times=[6, 12.5]).fit(X, y)
    documents, table = {}, X
    for number, step in enumerate(steps):
        ((name, options),) = step.items()
        fitted_step, passed_on = fit_step(
            name, options, table, y, clinical, None, 1, times=[6, 12.5], cox=cox_settings(steps)
        )
        documents[name] = fitted_step.document()
        write_table(passed_on, tmp_path / f"{number}.csv")
        table = read_table(tmp_path / f"{number}.csv", index=UNIT)
    assert plain(documents) == plain(to_document(whole)["steps"])


def test_protocol_of_clinical_variables_alone(patients):
    X, y, clinical, _ = patients
    event = pd.Series(y["event"], index=X.index)
    for last, outcome, columns in (
        ("logistic", event, ["probability"]),
        ("cox", y, ["survival_12"]),
    ):
        steps = [{"backward": {"p": 0.2}}, {last: {}}]
        table = scores(build_protocol(steps, clinical, None, 1, times=[12]).fit(X[clinical], outcome), X)
        assert list(table.columns) == ["Radscore", "linear_predictor", *columns]
        assert table["Radscore"].isna().all()
        # the final model alone
        alone = build_protocol([{last: {}}], clinical, None, 1, times=[12]).fit(X[clinical], outcome)
        assert scores(alone, X)[columns].notna().all(axis=None)


def test_protocol_imputes_where_it_is_told_to(patients):
    X, y, clinical, _ = patients
    lacking = X[clinical].copy()
    lacking.iloc[::8, 0] = np.nan
    steps = [{"terms": {"splines": {"age": 3}}}, {"backward": {"p": 0.9}}, {"cox": {}}]
    with pytest.raises(InputError, match="missing values"):
        build_protocol(steps, clinical, None, 1, times=[12]).fit(lacking, y)
    protocol = build_protocol(steps, clinical, None, 1, times=[12], imputations=3).fit(lacking, y)
    assert scores(protocol, lacking)["survival_12"].notna().all()
    again = build_protocol(steps, clinical, None, 1, times=[12], imputations=3).fit(lacking, y)
    assert to_document(again) == to_document(protocol)


def test_survival_at_a_time_that_nobody_reached_is_refused(patients):
    X, y, clinical, _ = patients
    with pytest.raises(InputError, match="time point 500 is after the longest follow-up"):
        fit_step("cox", {}, X[clinical], y, clinical, None, seed=1, times=[12, 500])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"boruta": {}}, {"logistic": {}}], "no step 'boruta'"),
        ([{"lasso": {"fold": 5}}, {"logistic": {}}], "'lasso' has no option 'fold'"),
        ([{"lasso": {"seed": 5}}, {"logistic": {}}], "'lasso' has no option 'seed'"),
        ([{"zscore": {}, "logistic": {}}], "must name one thing"),
        ([{"zscore": {}}, {"zscore": {}}, {"logistic": {}}], "'zscore' occurs twice"),
        ([{"lasso": {}}, {"cox": {"times": [12]}}], "'cox' has no option 'times'"),
        ([{"backward": {"imputations": 5}}, {"cox": {}}], "'backward' has no option 'imputations'"),
        ([{"logistic": {}}, {"zscore": {}}], "last step of a protocol must be 'logistic'"),
        ([{"logistic": {}}, {"cox": {}}], "last step of a protocol must be 'logistic' .* or 'cox'"),
        ([], "last step of a protocol must be 'logistic'"),
    ],
)
def test_mistakes_in_a_protocol_are_named(steps, message):
    with pytest.raises(InputError, match=message):
        build_protocol(steps, [], None, seed=1)


def test_unknown_step_in_a_document_is_refused():
    with pytest.raises(InputError, match="'pickle' that is unknown"):
        from_document({"steps": {"pickle": {}}}, [])


def test_without_lasso_the_features_are_candidates_beside_the_clinical_variables(tmp_path):
    rng = np.random.default_rng(4)
    units = pd.MultiIndex.from_tuples([(f"P{number}", "liver") for number in range(60)], names=UNIT)
    X = pd.DataFrame(
        rng.normal(size=(60, 5)), index=units, columns=["arterial_a", "arterial_b", "portal_a", "d", "age"]
    )
    y = (X["portal_a"] + X["age"] + rng.logistic(size=60) > 0).astype(int)
    steps = [{"zscore": {}}, {"univariable": {"p": 0.05}}, {"backward": {"p": 0.05}}, {"logistic": {}}]
    protocol = build_protocol(steps, ["age"], None, seed=1).fit(X, y)
    assert protocol["backward"].document()["kept"] == ["portal_a", "age"]
    at_once = scores(protocol, X)
    assert at_once["Radscore"].isna().all()
    assert at_once["probability"].between(0, 1, inclusive="neither").all()
    write_json(to_document(protocol), tmp_path / "model.json")
    pd.testing.assert_frame_equal(scores(from_document(read_json(tmp_path / "model.json"), ["age"]), X), at_once)
