"""LASSO, pruning and principal components as R's glmnet, caret and prcomp give them, and the whole radiomics chain.

nenflow's solutions are exact; glmnet stops before them: at its default threshold visibly, at 1e-12 only deep in a path
of correlated features. So figures are compared closely up to lambda.min, where a study reads them, and more widely
beyond; there the conditions of a minimum, and the value of what is minimised, say whose solution is the better one.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from golden.figures import read_figures
from nenflow.evaluation.discrimination import (
    auc,
    closest_to_corner,
    delong_covariance,
    delong_interval,
    roc_curve,
    youden,
)
from nenflow.evaluation.resampling import bootstrap_interval, patient_resample
from nenflow.models.components import principal_components
from nenflow.models.lasso import CrossValidation, cross_validate
from nenflow.models.pruning import prune, unit_ranks
from nenflow.stability import icc

COVERS = {
    "sonar": ["lasso", "prune", "pca"],
    "pbc": ["lasso_cox"],
    "chain": [
        "n_features",
        "n_stable",
        "stable",
        "n_pruned",
        "pruned",
        "lasso",
        "radscore",
        "radscore_roc",
        "patient_cluster_bootstrap",
    ],
}
EXACT = 1e-9  # closed forms, printed with 15 digits
GRID = 1e-8  # relative; glmnet multiplies its Cox grid up with a factor that is 9e-11 off
THRESHOLDS = ("default_thresh", "tight_thresh")
# How far glmnet stops from the solution, by its threshold. Until lambda.min: curve, and score of a lesion;
CURVE = {"default_thresh": 2e-3, "tight_thresh": 5e-6}
SCORE = {"default_thresh": 5e-3, "tight_thresh": 2e-5}
# coefficients of the standardised features relative to the largest one, until lambda.min, for half the path, all of it;
CHOSEN = {"default_thresh": 6e-3, "tight_thresh": 2e-5}
HALF = {"default_thresh": 1e-2, "tight_thresh": 1e-4}
DEEP = {"default_thresh": 1e-1, "tight_thresh": 1e-2}
# curve and explained deviance over the whole path.
DEEP_CURVE = {"default_thresh": 1e-1, "tight_thresh": 1e-3}
EXPLAINED = {"default_thresh": 6e-3, "tight_thresh": 2e-5}
AUC_UNTIL, DEEP_AUC = 60, 2e-2  # number of penalties whose AUCs agree to the last digit; beyond, ranks change
KKT = 2e-5  # relative breach of the conditions of a minimum that a threshold of 1e-12 leaves (a step of 1e-6)
MONTE_CARLO = 0.01  # four standard errors of a 2.5 % quantile of AUCs between two sets of 1,000 resamples


@dataclass
class Case:
    """A data set with R's figures and our path."""

    name: str
    X: np.ndarray
    y: np.ndarray
    known: dict
    found: CrossValidation


def chain_data(golden):
    """Features of the chain that were left after pruning, standardised by sd with n - 1, and the outcome."""
    known = read_figures(golden, "chain").document
    X = pd.read_csv(golden / "chain_features.csv.gz")[known["pruned"]].to_numpy()
    y = pd.read_csv(golden / "chain_clinical.csv.gz")["ineffective"].to_numpy()
    return (X - X.mean(axis=0)) / X.std(axis=0, ddof=1), y


@pytest.fixture(scope="module", params=["chain", "sonar", "pbc"])
def case(request, golden):
    """131 lesions x 95 features, 208 x 60 strongly correlated ones, and 276 patients x 17 with survival times."""
    name = request.param
    known = read_figures(golden, name).take("lasso_cox" if name == "pbc" else "lasso")
    if name == "chain":
        X, y = chain_data(golden)
    elif name == "sonar":
        table = pd.read_csv(golden / "sonar.csv")
        X, y = table.drop(columns="mine").to_numpy(), table["mine"].to_numpy()
    else:
        table = pd.read_csv(golden / "pbc.csv")
        X, y = table.iloc[:, 2:].to_numpy(dtype=float), table[["time", "status"]].to_numpy()
    assert X.shape == (known["n"], known["p"])
    return Case(name, X, y, known, cross_validate(X, y, np.array(known["fold"])))


def loss_and_slope(X, y, coefs, intercept):
    """Mean loss and its slopes in the standardised features, by definition."""
    eta = X @ coefs + intercept
    if y.ndim == 1:
        loss = np.mean(np.logaddexp(0, np.where(y == 1, -eta, eta)))
        residual = y - 1 / (1 + np.exp(-eta))
    else:
        (time, event), risk, hazard, loss = y.T, np.exp(eta), np.zeros(len(y)), -y[:, 1] @ eta / len(y)
        for t in np.unique(time[event == 1]):
            deaths, at_risk = np.sum(event[time == t]), risk[time >= t].sum()
            hazard[time >= t] += deaths / at_risk
            loss += deaths * np.log(at_risk) / len(y)
        residual = event - risk * hazard
    return loss, (X - X.mean(axis=0)).T @ residual / X.std(axis=0) / len(y)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_grid_early_stop_and_selection(case, threshold):
    known, found = case.known[threshold], case.found
    np.testing.assert_allclose(found.lambdas, known["lambda"], rtol=GRID)  # its length is the early stop
    assert (found.index_min + 1, found.index_1se + 1) == (known["index_min"], known["index_1se"])
    assert found.lambda_min == pytest.approx(known["lambda_min"], rel=GRID)
    assert found.lambda_1se == pytest.approx(known["lambda_1se"], rel=GRID)
    until = found.index_min + 1
    np.testing.assert_array_equal(found.df[:until], known["df"][:until])
    if threshold == "tight_thresh":
        assert np.count_nonzero(found.df != known["df"]) <= 1  # one coefficient on the edge, deep in chain's path
    assert known["thresh"] == {"default_thresh": 1e-7, "tight_thresh": 1e-12}[threshold]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_curve(case, threshold):
    known, found = case.known[threshold], case.found
    until = found.index_min + 1
    for name in ("cvm", "cvsd"):
        ours, theirs = getattr(found, name), np.array(known[name])
        np.testing.assert_allclose(ours[:until], theirs[:until], atol=CURVE[threshold], rtol=0)
        np.testing.assert_allclose(ours, theirs, atol=DEEP_CURVE[threshold], rtol=0)
    np.testing.assert_allclose(found.dev_ratio, known["dev_ratio"], atol=EXPLAINED[threshold], rtol=0)
    if case.y.ndim == 1:
        null = -2 * len(case.y) * (np.log(np.mean(case.y == 1)) * np.mean(case.y == 1)
                                   + np.log(np.mean(case.y == 0)) * np.mean(case.y == 0))  # fmt: skip
    else:
        _, deaths = np.unique(case.y[case.y[:, 1] == 1, 0], return_counts=True)
        null = 2 * (loss_and_slope(case.X, case.y, np.zeros(case.X.shape[1]), 0)[0] * len(case.y))
        null -= 2 * np.sum(deaths * np.log(deaths))
    assert null == pytest.approx(known["nulldev"], rel=EXACT)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_chosen_coefficients_and_scores(case, golden, threshold):
    known, found, sd = case.known[threshold], case.found, case.X.std(axis=0)
    names = {
        "chain": lambda: read_figures(golden, "chain").document["pruned"],
        "sonar": lambda: [f"V{j + 1}" for j in range(60)],
        "pbc": lambda: list(pd.read_csv(golden / "pbc.csv").columns[2:]),
    }[case.name]()
    for rule in ("min", "1se"):
        index = found.index(f"lambda.{rule}")
        coefs, theirs = found.coefs[index], known[f"coef_{rule}"]
        assert [names[j] for j in np.flatnonzero(coefs)] == theirs["terms"]
        scale = sd[coefs != 0]
        largest = np.abs(coefs * sd).max()
        np.testing.assert_allclose(
            coefs[coefs != 0] * scale, np.array(theirs["coef"]) * scale, atol=CHOSEN[threshold] * largest, rtol=0
        )
        if case.y.ndim == 1:
            assert found.intercepts[index] == pytest.approx(theirs["a0"], abs=SCORE[threshold])
        else:
            assert theirs["a0"] is None
            assert found.intercepts[index] == 0
        score = case.X @ coefs + found.intercepts[index]
        np.testing.assert_allclose(score, known[f"score_{rule}"], atol=SCORE[threshold], rtol=0)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_path(case, threshold):
    known, found, sd = case.known[threshold], case.found, case.X.std(axis=0)
    assert len(known["path_index"]) == 8
    for index, theirs in zip(known["path_index"], known["path_beta"], strict=True):
        k, theirs = index - 1, np.array(theirs)
        until_min, half = k <= found.index_min, k <= len(found.lambdas) / 2
        wide = (CHOSEN if until_min else HALF if half else DEEP)[threshold]
        largest = np.abs(found.coefs[k] * sd).max()
        np.testing.assert_allclose(found.coefs[k] * sd, theirs * sd, atol=wide * largest, rtol=0)
        # never worse than R's coefficients, the intercept that is best for them found by search
        level = found.intercepts[k] + case.X.mean(axis=0) @ (found.coefs[k] - theirs) if case.y.ndim == 1 else 0
        shifts = np.linspace(-0.01, 0.01, 41) if case.y.ndim == 1 else [0]
        penalty = found.lambdas[k]
        best = min(loss_and_slope(case.X, case.y, theirs, level + shift)[0] for shift in shifts)
        ours = loss_and_slope(case.X, case.y, found.coefs[k], found.intercepts[k])[0]
        assert ours + penalty * np.abs(found.coefs[k] * sd).sum() <= best + penalty * np.abs(theirs * sd).sum() + EXACT


def test_the_solution_is_the_minimum_along_the_whole_path(case):
    for coefs, intercept, penalty in zip(case.found.coefs, case.found.intercepts, case.found.lambdas, strict=True):
        slope, sign = loss_and_slope(case.X, case.y, coefs, intercept)[1], np.sign(coefs)
        breach = np.where(sign != 0, np.abs(slope - penalty * sign), np.maximum(np.abs(slope) - penalty, 0))
        assert breach.max() < KKT * penalty


def test_given_penalties_are_used_in_every_fold(case):
    known = case.known["cv_user_lambda"]
    given = cross_validate(case.X, case.y, np.array(case.known["fold"]), lambdas=case.found.lambdas)
    until = given.index_min + 1
    assert given.lambda_min == pytest.approx(known["lambda_min"], rel=GRID)
    np.testing.assert_allclose(given.cvm[:until], known["cvm"][:until], atol=CURVE["tight_thresh"], rtol=0)
    np.testing.assert_allclose(given.cvm, known["cvm"], atol=DEEP_CURVE["tight_thresh"], rtol=0)
    assert np.abs(given.cvm - case.found.cvm).max() > 1e-4  # interpolation is something else


@pytest.mark.parametrize("case", ["chain", "sonar"], indirect=True)
def test_auc_as_measure(case):
    known = case.known["cv_auc"]
    found = cross_validate(case.X, case.y, np.array(case.known["fold"]), measure="auc")
    assert found.lambda_min == pytest.approx(known["lambda_min"], rel=GRID)
    assert found.lambda_1se == pytest.approx(known["lambda_1se"], rel=GRID)
    for name in ("cvm", "cvsd"):
        ours, theirs = getattr(found, name), np.array(known[name])
        np.testing.assert_allclose(ours[:AUC_UNTIL], theirs[:AUC_UNTIL], atol=EXACT, rtol=0)
        np.testing.assert_allclose(ours, theirs, atol=DEEP_AUC, rtol=0)


def test_pruning(golden):
    X = pd.read_csv(golden / "sonar.csv").drop(columns="mine").to_numpy()
    known = read_figures(golden, "sonar").take("prune")
    names = np.array([f"V{j + 1}" for j in range(X.shape[1])])
    for method, kept, removed in (
        ("keep-first", known["greedy_keep_first"], None),
        ("caret-exact", None, known["caret_exact_removed"]),
        ("caret-fast", None, known["caret_fast_removed"]),
    ):
        rival, _ = prune(X, known["cut"], method)
        assert sorted(names[rival < 0]) == sorted(kept or set(names) - set(removed))
    ranks = unit_ranks(X)[:5]
    np.testing.assert_allclose(ranks @ ranks.T, known["spearman_first5"], atol=EXACT)


def test_principal_components(golden):
    X = pd.read_csv(golden / "sonar.csv").drop(columns="mine").to_numpy()
    known, found = read_figures(golden, "sonar").take("pca"), principal_components(X)
    np.testing.assert_allclose(found.sd, known["sdev"], rtol=EXACT)
    np.testing.assert_allclose(found.variance_ratio, known["variance_ratio"], rtol=EXACT)
    for number in (1, 2):
        np.testing.assert_allclose(
            np.abs(found.rotation[:, number - 1]), known[f"abs_rotation_pc{number}"], atol=EXACT, rtol=0
        )
    np.testing.assert_allclose(np.abs(found.scores(X)[:, 0]), known["abs_scores_pc1"], atol=EXACT, rtol=0)
    assert found.enough(0.95) == known["n_95"]


def test_chain_up_to_the_lasso(golden):
    figures = read_figures(golden, "chain")
    tables = {}
    for name in ("features", "intra", "inter"):
        table = pd.read_csv(golden / f"chain_{name}.csv.gz").set_index("lesion")
        tables[name] = table.loc[:, table.columns.str.fullmatch(r"f\d+")]
    features = tables.pop("features")
    assert features.shape[1] == figures.take("n_features")
    agreed = [
        icc(np.stack([features.loc[again.index].to_numpy().T, again.to_numpy().T], axis=2))["ICC2"] >= 0.75
        for again in tables.values()
    ]
    stable = list(features.columns[agreed[0] & agreed[1]])
    assert stable == figures.take("stable")
    assert len(stable) == figures.take("n_stable")
    rival, _ = prune(features[stable].to_numpy(), 0.9)
    pruned = [name for name, gone in zip(stable, rival >= 0, strict=True) if not gone]
    assert pruned == figures.take("pruned")
    assert len(pruned) == figures.take("n_pruned")


def test_radscore_and_its_roc(golden):
    figures = read_figures(golden, "chain")
    X, y = chain_data(golden)
    found = cross_validate(X, y, np.array(figures.document["lasso"]["fold"]))
    score, theirs = X @ found.coefs[found.index_min] + found.intercepts[found.index_min], figures.take("radscore")
    np.testing.assert_allclose(score, theirs, atol=SCORE["tight_thresh"], rtol=0)
    known = figures.take("radscore_roc")
    assert (y.sum(), len(y) - y.sum()) == (known["n1"], known["n0"])
    assert auc(y, score) == pytest.approx(known["auc"], abs=EXACT)  # ranks are the same, so are all but thresholds
    assert float(np.squeeze(delong_covariance(y, score))) == pytest.approx(known["delong_var"], abs=EXACT)
    low, high = delong_interval(y, score)
    assert [low, auc(y, score), high] == pytest.approx(known["delong_ci"], abs=EXACT)
    for name, cut in (("youden", youden(y, score)), ("topleft", closest_to_corner(y, score))):
        assert cut["threshold"] == pytest.approx(known[name]["threshold"], abs=SCORE["tight_thresh"])
        for figure in known[name].keys() - {"threshold"}:
            assert cut[figure] == pytest.approx(known[name][figure], abs=EXACT)
    curve = roc_curve(y, score)
    np.testing.assert_allclose(curve["sensitivity"], known["sensitivities"], atol=EXACT, rtol=0)
    np.testing.assert_allclose(curve["specificity"], known["specificities"], atol=EXACT, rtol=0)
    inner = np.array(known["thresholds"][1:-1], dtype=float)
    np.testing.assert_allclose(curve["threshold"].iloc[1:-1], inner, atol=SCORE["tight_thresh"], rtol=0)


def test_bootstrap_of_patients(golden):
    """R drew its own patients; which ones is not kept, so the intervals agree up to chance."""
    known = read_figures(golden, "chain").take("patient_cluster_bootstrap")
    fitted = np.array(read_figures(golden, "chain").document["fusion"]["fitted"])
    clinical = pd.read_csv(golden / "chain_clinical.csv.gz")
    y = clinical["ineffective"].to_numpy()
    index = pd.MultiIndex.from_frame(clinical[["patient", "lesion"]])
    draws = [patient_resample(index, known["seed"], number) for number in range(known["B"])]
    found = bootstrap_interval(lambda rows: auc(y[rows], fitted[rows]), draws)
    assert found == pytest.approx(tuple(known["auc_pct_ci"]), abs=MONTE_CARLO)


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
