"""Logistic regression and selections against R's glm, rms, brglm2 and step; figures of a whole report each."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from golden.figures import read_figures
from nenflow.models.logistic import fit_logistic, likelihood_ratio, profile_interval
from nenflow.models.selection import aic, fast_backward
from nenflow.models.steps import BackwardElimination, LogisticModel, Terms, UnivariableSelection
from nenflow.models.tables import multivariable_table, univariable_table
from nenflow.models.terms import terms_of

COVERS = {
    "birthwt": [
        *("outcome", "n", "events", "univariable", "backward_p05", "backward_p10", "fastbw", "step_aic"),
        *("model", "fitted", "firth"),
    ],
    "aSAH": [
        *("outcome", "n", "events", "univariable", "backward_p05", "backward_p10", "fastbw", "step_aic"),
        *("model", "fitted", "firth"),
    ],
    "chain": [
        *("univariable", "univariable_p05", "fusion/outcome", "fusion/n", "fusion/events", "fusion/univariable"),
        *("fusion/backward_p05", "fusion/backward_p10", "fusion/fastbw", "fusion/step_aic", "fusion/model"),
        *("fusion/fitted", "fusion/firth"),
    ],
    "endometrial": ["mle_*", "terms", "firth_*", "pl_*"],
    "lung": ["step_aic"],
    "pbc": ["step_aic"],
    "gbsg": ["step_aic"],
}
EXACT = 1e-8  # estimates and likelihoods, as the golden files' README says
STANDARD_ERROR = 1e-6  # relative; R takes it from the round before the last
P_VALUE = 1e-7  # after Wald, ditto
INTERPOLATED = 1e-3  # R 4.2 interpolates profiles
SEARCHED = 1e-5  # R's penalised profiles come from a search that stops at about 1e-7
UNFINISHED = 1e-6  # R's glm with its default settings stops early where lesions are separated

REPORTS = {  # data set: where its report begins, and what its selections choose from
    "birthwt": ("", ["age", "lwt", "race", "smoke", "ptl", "ht", "ui", "ftv"]),
    "aSAH": ("", ["age", "female", "wfns", "s100b", "ndka"]),
    "chain": ("fusion/", ["rad", "ki67", "grade", "extrahep"]),
}
COX = {
    "lung": ["age", "male", "ecog", "karno", "wtloss"],
    "pbc": ["age", "female", "ascites", "edema", "bili", "albumin", "copper", "protime", "stage"],
    "gbsg": ["age", "meno", "size", "grade", "nodes", "pgr", "er", "hormon"],
}


@pytest.fixture(params=REPORTS)
def report(request, golden):
    """Figures, where the report begins, columns of all variables' terms by variable, and the outcome."""
    figures, (path, variables) = read_figures(golden, request.param), REPORTS[request.param]
    if request.param == "chain":
        table = pd.read_csv(golden / "chain_clinical.csv.gz").assign(rad=figures.document["radscore"])
        variables = list(figures.document["univariable"])
    else:
        table = pd.read_csv(golden / f"{request.param}.csv")
    factors = figures.document.get("factor_levels") or {}
    for name, labels in factors.items():
        table[name] = table[name].map({label: code for code, label in enumerate(labels, 1)})
    X = Terms(factors=factors).fit(table[variables]).transform(table[variables])
    return figures, path, X, table[figures.take(f"{path}outcome")]


def columns_of(X, variables):
    terms = terms_of(X.columns)
    return X[[column for name in variables for column in terms[name]]]


def as_r(columns):
    return ["(Intercept)", *(column.replace("=", "") for column in columns)]


def assert_same_model(known, X, y):
    """Everything that R's report of a glm says, against the fit and the table of ratios."""
    fit, table = fit_logistic(X.to_numpy(float), y), multivariable_table(X, y)
    assert known["formula"] == f"{y.name} ~ {' + '.join(terms_of(X.columns))}"
    assert known["terms"] == as_r(X.columns)
    assert not fit.separated
    assert set(table["method"]) == {"maximum likelihood"}
    np.testing.assert_allclose(table["coefficient"], known["coef"], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(table["odds_ratio"], known["or"], rtol=EXACT)
    np.testing.assert_allclose(table["se"], known["se"], rtol=STANDARD_ERROR)
    np.testing.assert_allclose(table["coefficient"] / table["se"], known["z"], rtol=STANDARD_ERROR)
    np.testing.assert_allclose(table["p"], known["p"], atol=P_VALUE)
    np.testing.assert_allclose(table["wald_low"], known["or_wald_lo"], rtol=STANDARD_ERROR)
    np.testing.assert_allclose(table["wald_high"], known["or_wald_hi"], rtol=STANDARD_ERROR)
    np.testing.assert_allclose(table["low"], known["or_profile_lo"], rtol=INTERPOLATED)
    np.testing.assert_allclose(table["high"], known["or_profile_hi"], rtol=INTERPOLATED)
    null = fit_logistic(np.empty((len(y), 0)), y).log_likelihood
    size = X.shape[1] + 1
    assert known["n"] == len(y)
    assert -2 * fit.log_likelihood == pytest.approx(known["deviance"], rel=EXACT)
    assert -2 * null == pytest.approx(known["null_deviance"], rel=EXACT)
    assert aic(X, y) == pytest.approx(known["aic"], rel=EXACT)
    assert -2 * fit.log_likelihood + np.log(len(y)) * size == pytest.approx(known["bic"], rel=EXACT)
    assert 2 * (fit.log_likelihood - null) == pytest.approx(known["lr_chisq"], rel=EXACT)
    assert likelihood_ratio(X.to_numpy(float), y, range(X.shape[1])) == pytest.approx(known["lr_p"], rel=P_VALUE)


def test_size(report):
    figures, path, X, y = report
    assert figures.take(f"{path}n") == len(X)
    assert figures.take(f"{path}events") == y.sum()


def test_each_variable_alone(report):
    figures, path, X, y = report
    for place in {f"{path}univariable", "univariable"}:
        for name, known in figures.take(place).items():
            own = columns_of(X, [name])
            assert_same_model(known, own, y)
            table = univariable_table(own, y)
            np.testing.assert_allclose(table["odds_ratio"], known["or"][1:], rtol=EXACT)
            np.testing.assert_allclose(table["p"], known["p"][1:], atol=P_VALUE)


def test_variables_of_the_chain_that_are_significant_alone(golden):
    figures = read_figures(golden, "chain")
    table = pd.read_csv(golden / "chain_clinical.csv.gz").assign(rad=figures.document["radscore"])
    step = UnivariableSelection(p=0.05).fit(table[list(figures.document["univariable"])], table["ineffective"])
    assert step.document()["kept"] == figures.take("univariable_p05")


@pytest.mark.parametrize(("name", "p"), [("backward_p05", 0.05), ("backward_p10", 0.10)])
def test_backward_elimination(report, name, p):
    figures, path, X, y = report
    known = figures.take(f"{path}{name}")
    step = BackwardElimination(p=p).fit(columns_of(X, start_of(figures, path)), y)
    removed = step.document()["removed"]
    assert [row["variable"] for row in removed] == known["removed"]
    assert [row["p"] for row in removed] == pytest.approx(known["p_at_removal"], abs=P_VALUE)
    kept = step.transform(X)
    assert list(terms_of(kept.columns)) == known["kept"]
    assert_same_model(known["fit"], kept, y)


def start_of(figures, path):
    """What selections of the report choose from."""
    return next(names for name, (start, names) in REPORTS.items() if name == figures.document["dataset"])


def test_approximate_backward_elimination(report):
    figures, path, X, y = report
    start = columns_of(X, start_of(figures, path))
    fit = fit_logistic(start.to_numpy(float), y)
    for name, p in (("p05_individual", 0.05), ("aic_residual", None)):
        known = figures.take(f"{path}fastbw/{name}")
        assert fast_backward(fit.coef[1:], fit.covariance[1:, 1:], list(start.columns), p) == (
            known["kept"],
            known["deleted"],
        )


def test_backward_by_aic(report):
    figures, path, X, y = report
    known = figures.take(f"{path}step_aic")
    step = BackwardElimination(criterion="aic").fit(columns_of(X, start_of(figures, path)), y)
    kept = step.transform(X)
    assert list(terms_of(kept.columns)) == known["kept"]
    assert aic(kept, y) == pytest.approx(known["aic"], rel=EXACT)


def test_final_model(report):
    figures, path, X, y = report
    known = figures.take(f"{path}model")
    variables = known["formula"].split(" ~ ")[1].split(" + ")
    kept = columns_of(X, variables)
    assert_same_model(known, kept, y)
    model = LogisticModel().fit(kept, y)
    document = model.document()
    assert [document["intercept"], *document["coefficients"].values()] == pytest.approx(known["coef"], rel=EXACT)
    # scores are rounded to 9 decimals
    np.testing.assert_allclose(model.predict_proba(kept)[:, 1], figures.take(f"{path}fitted"), atol=1e-9)


def test_firth(report):
    figures, path, X, y = report
    known = figures.take(f"{path}firth")
    variables = (figures.document["fusion"] if path else figures.document)["backward_p05"]["kept"]
    kept = columns_of(X, variables)
    fit = fit_logistic(kept.to_numpy(float), y, firth=True)
    assert known["terms"] == as_r(kept.columns)
    np.testing.assert_allclose(fit.coef, known["coef"], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(fit.se, known["se"], rtol=EXACT)


@pytest.fixture
def endometrial(golden):
    table = pd.read_csv(golden / "endometrial.csv")
    return read_figures(golden, "endometrial"), table[["NV", "PI", "EH"]], table["HG"]


def test_separation_is_found(endometrial):
    figures, X, y = endometrial
    fit = fit_logistic(X.to_numpy(), y)
    assert "NV infinite" in figures.take("mle_warning")
    assert fit.separated
    coef, se = np.array(figures.take("mle_default_coef")), np.array(figures.take("mle_default_se"))
    # R stops somewhere on NV's way to infinity; the others converge to where they would be without its patients
    assert coef[1] > 15
    assert se[1] > 1000
    others = [0, 2, 3]
    np.testing.assert_allclose(fit.coef[others], coef[others], rtol=UNFINISHED)
    np.testing.assert_allclose(fit.se[others], se[others], rtol=UNFINISHED)
    low, high = profile_interval(X.to_numpy(), y, 0)
    assert 1 < low < 1.5
    assert high == np.inf
    assert np.isfinite(profile_interval(X.to_numpy(), y, 2)).all()


def test_firth_where_separated(endometrial):
    figures, X, y = endometrial
    assert figures.take("terms") == as_r(X.columns)
    fit = fit_logistic(X.to_numpy(), y, firth=True)
    np.testing.assert_allclose(fit.coef, figures.take("firth_coef"), atol=EXACT)
    np.testing.assert_allclose(fit.se, figures.take("firth_se"), atol=EXACT)
    low, high = figures.take("pl_lo"), figures.take("pl_hi")
    for j in range(-1, 3):
        ends = profile_interval(X.to_numpy(), y, j, firth=True)
        assert ends == pytest.approx((low[j + 1], high[j + 1]), abs=SEARCHED)
    p = figures.take("pl_p")
    np.testing.assert_allclose(chi2.sf(figures.take("pl_chisq"), 1), p, rtol=EXACT)
    table = multivariable_table(X, y).set_index("variable")
    for j, name in enumerate(["intercept", *X.columns]):
        assert table.loc[name, "method"] == "Firth's penalised likelihood"
        assert table.loc[name, "coefficient"] == pytest.approx(figures.take("firth_coef")[j], abs=EXACT)
        assert table.loc[name, "p"] == pytest.approx(p[j], abs=P_VALUE)
        assert table.loc[name, "test"] == "penalised likelihood ratio"


@pytest.mark.parametrize("name", COX)
def test_cox_backward_by_aic(golden, name):
    known = read_figures(golden, name).take("step_aic")
    table = pd.read_csv(golden / f"{name}.csv")
    y = table[["time", "status"]].set_axis(["time", "event"], axis=1)
    document = BackwardElimination(criterion="aic").fit(table[COX[name]], y).document()
    assert document["kept"] == known["kept"]
    assert aic(table[known["kept"]], y) == pytest.approx(known["aic"], rel=EXACT)
    if document["removed"]:
        assert document["removed"][-1]["aic"] == pytest.approx(known["aic"], rel=EXACT)


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
