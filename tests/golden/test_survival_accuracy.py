"""C-indices, time-dependent AUC and Brier scores, and searched cut-points against R."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from golden.figures import read_figures
from nenflow.evaluation.concordance import brier_scores, harrell_c, integrated_brier, time_dependent_auc, uno_c
from nenflow.evaluation.cutpoints import maximally_selected
from nenflow.evaluation.survival import logrank
from nenflow.models.cox import baseline_hazard, fit_cox, survival_at

COVERS = {
    "lung": [
        "univariable/*/concordance",
        "univariable/*/concordance_se",
        "univariable/*/counts",
        "model/*/concordance",
        "model/*/concordance_se",
        "model/*/counts",
        "uno_c",
        "score",
        "pec",
        "cutpoints",
    ],
    "pbc": [
        "univariable/*/concordance",
        "univariable/*/concordance_se",
        "univariable/*/counts",
        "model/*/concordance",
        "model/*/concordance_se",
        "model/*/counts",
        "uno_c",
        "score",
        "pec",
        "cutpoints",
    ],
    "gbsg": [
        "univariable/*/concordance",
        "univariable/*/concordance_se",
        "univariable/*/counts",
        "model/*/concordance",
        "model/*/concordance_se",
        "model/*/counts",
        "uno_c",
        "score",
        "pec",
        "cutpoints",
    ],
}
EXACT = 1e-9  # relative: ranks and counts only, nothing is fitted
FITTED = 1e-7  # relative: through predictions of our own Cox fit
P_VALUE = 1e-9  # relative


@cache
def _data(golden, name):
    return pd.read_csv(golden / f"{name}.csv")


@cache
def _cox(golden, name):
    """Times, events, and our Efron fit of the document's model with its linear predictor and variables."""
    data = _data(golden, name)
    terms = read_figures(golden, name).document["model"]["efron"]["terms"]
    X = data[terms].to_numpy(float)
    time, event = data["time"].to_numpy(float), data["status"].to_numpy()
    fit = fit_cox(X, time, event)
    return time, event, fit, X @ fit.coef, X


@pytest.mark.parametrize("name", COVERS)
def test_concordance_of_every_model(golden, name):
    figures, data = read_figures(golden, name), _data(golden, name)
    models = [f"univariable/{term}" for term in figures.document["univariable"]] + ["model/efron", "model/breslow"]
    for path in models:
        part, key = path.split("/")
        report = figures.document[part][key]
        X = data[np.atleast_1d(report["terms"]).tolist()].to_numpy(float)
        score = X @ fit_cox(X, data["time"], data["status"], ties=report["ties"]).coef
        mine = harrell_c(data["time"], data["status"], score)
        assert mine["c"] == pytest.approx(figures.take(f"{path}/concordance"), rel=EXACT)
        assert mine["se"] == pytest.approx(figures.take(f"{path}/concordance_se"), rel=EXACT)
        for kind, count in figures.take(f"{path}/counts").items():
            assert mine[kind.replace(".", "_")] == count


@pytest.mark.parametrize("name", COVERS)
def test_uno(golden, name):
    time, event, _, score, _ = _cox(golden, name)
    assert uno_c(time, event, score)["c"] == pytest.approx(
        read_figures(golden, name).take("uno_c")["tau_none"], rel=EXACT
    )


def _survival(golden, name, times):
    time, event, fit, score, X = _cox(golden, name)
    return survival_at(baseline_hazard(fit, X, time, event), score, times)


@pytest.mark.parametrize("name", COVERS)
def test_time_dependent_auc_and_brier_score(golden, name):
    theirs = read_figures(golden, name).take("score")
    time, event, _, score, _ = _cox(golden, name)
    area = time_dependent_auc(time, event, score, theirs["times"])
    assert area["auc"].tolist() == pytest.approx(theirs["auc"], rel=EXACT)
    assert area["se"].tolist() == pytest.approx(theirs["auc_se"], rel=EXACT)
    brier = brier_scores(time, event, _survival(golden, name, theirs["times"]), theirs["times"])
    assert brier["brier"].tolist() == pytest.approx(theirs["brier"], rel=FITTED)
    assert brier["null"].tolist() == pytest.approx(theirs["brier_null"], rel=EXACT)
    up_to = [integrated_brier(theirs["times"][:k], brier["brier"][:k]) for k in range(1, len(brier) + 1)]
    assert up_to == pytest.approx(theirs["ibs"], rel=FITTED)


@pytest.mark.parametrize("name", COVERS)
def test_prediction_error_curve(golden, name):
    theirs = read_figures(golden, name).take("pec")
    time, event, *_ = _cox(golden, name)
    curve = brier_scores(time, event, _survival(golden, name, theirs["times"]), theirs["times"])
    assert curve["brier"].tolist() == pytest.approx(theirs["brier_model"], rel=FITTED)
    assert curve["null"].tolist() == pytest.approx(theirs["brier_reference"], rel=EXACT)
    # pec integrates to the last of its times before the one asked for
    assert theirs["times"][-1] <= theirs["upto"]
    assert integrated_brier(theirs["times"], curve["brier"]) == pytest.approx(theirs["ibs_model"], rel=FITTED)
    assert integrated_brier(theirs["times"], curve["null"]) == pytest.approx(theirs["ibs_reference"], rel=EXACT)


@pytest.mark.parametrize("name", COVERS)
def test_cutpoints(golden, name):
    figures, data = read_figures(golden, name), _data(golden, name)
    for variable in figures.document["cutpoints"]:
        theirs = figures.take(f"cutpoints/{variable}")
        mine = maximally_selected(data["time"], data["status"], data[variable])
        assert mine["cutpoint"] == theirs["cutpoint"]
        assert mine["statistic"] == pytest.approx(theirs["statistic"], rel=EXACT)
        assert mine["cuts"]["cut"].tolist() == theirs["cuts"]
        assert mine["cuts"]["statistic"].tolist() == pytest.approx(theirs["stats"], rel=EXACT)
        assert mine["naive_chi2"] == pytest.approx(theirs["naive_chisq"], rel=EXACT)
        assert mine["naive_p"] == pytest.approx(theirs["naive_logrank_p"], rel=P_VALUE)
        assert mine["p_lausen_1992"] == pytest.approx(theirs["p"]["Lau92"], rel=P_VALUE)
        b = mine["statistic"]  # R subtracts a probability near 1 from 1, which leaves little of a small tail
        as_in_r = mine["p_lausen_1994"] - 2 * norm.sf(b) + 2 * (1 - norm.cdf(b))
        assert as_in_r == pytest.approx(theirs["p"]["Lau94"], rel=P_VALUE, abs=0)
        assert theirs["p"].get("HL") is None  # R has no exact p for log-rank scores; ours comes from permutations
        halves = logrank(data["time"], data["status"], data[variable] > data[variable].median())
        assert halves["chi2"] == pytest.approx(theirs["median_split_chisq"], rel=EXACT)


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
