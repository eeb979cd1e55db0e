"""Strata and clustered errors of a Cox model, from the settings of its step to tables, scores and figures."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.apparent import survival_performance
from nenflow.evaluation.indexes import partial_log_likelihood
from nenflow.evaluation.refitting import refit_once
from nenflow.models.cox import fit_cox
from nenflow.models.nomogram import nomogram, points_table, read_off
from nenflow.models.protocol import build_protocol, cox_settings, scores
from nenflow.models.steps import BackwardElimination, CoxModel
from nenflow.models.tables import multivariable_table
from nenflow.report.figures_model import nomogram_axes
from test_cox import EVENT, FROM_R, PATIENT, SITE, TIME
from test_cox import X as VALUES

ROBUST_SE = [0.342902987540312, 0.455202289000209]  # R 4.2.2, survival 3.5-3: coxph(…, cluster = patient)
LAST_HAZARD = {"a": 0.71745189170936, "b": 0.502025623655061, "c": 0.60706685485873}  # basehaz(centered = FALSE)


@pytest.fixture
def rows():
    index = pd.MultiIndex.from_arrays([PATIENT.astype(str), np.arange(24)], names=["patient", "region"])
    X = pd.DataFrame(VALUES, index, ["x", "z"])
    return X, pd.DataFrame({"time": TIME, "event": EVENT, "stratum": SITE}, index)


def test_a_stratified_model_has_a_baseline_per_stratum_as_in_r(rows):
    X, y = rows
    document = CoxModel(strata="site", times=[20]).fit(X, y).document()
    assert list(document["coefficients"].values()) == pytest.approx([1.11850373380094, 0.414835272839322], rel=FROM_R)
    last = pd.DataFrame(document["baseline"]).groupby("stratum")["hazard"].last()
    assert last.to_dict() == pytest.approx(LAST_HAZARD)
    assert document["strata"] == "site"


def test_survival_is_predicted_by_the_own_stratum(rows):
    X, y = rows
    model = CoxModel.from_document(plain(CoxModel(strata="site", times=[34]).fit(X, y).document()))
    found = model.predict_survival(X, strata=SITE)[:, 0]
    risk = np.exp(model.decision_function(X))
    np.testing.assert_allclose(found, np.exp(-risk * [LAST_HAZARD[site] for site in SITE]), rtol=1e-7)
    with pytest.raises(InputError, match="stratified by site, which is not given"):
        model.predict_survival(X)
    with pytest.raises(InputError, match="no stratum 'd'"):
        model.predict_survival(X, strata=np.full(24, "d"))


def test_robust_errors_reach_the_model_and_its_table_as_in_r(rows):
    X, y = rows[0], rows[1][["time", "event"]]
    document = CoxModel(robust=True).fit(X, y).document()
    assert list(document["se"].values()) == pytest.approx(ROBUST_SE, rel=FROM_R)
    table = multivariable_table(X, y, robust=True)
    np.testing.assert_allclose(table["p"], 2 * norm.sf(table["coefficient"] / ROBUST_SE), rtol=1e-6)
    np.testing.assert_allclose(np.log(table["high"]), table["coefficient"] + norm.ppf(0.975) * table["se"], rtol=1e-9)
    assert not np.allclose(table["high"], multivariable_table(X, y)["high"], rtol=1e-3)


def test_selections_follow_the_final_model(rows):
    X, y = rows[0], rows[1][["time", "event"]]
    steps = [{"backward": {"p": 0.15}}, {"cox": {"robust": True, "ties": "breslow"}}]
    assert cox_settings(steps) == {"robust": True, "ties": "breslow"}
    removed = build_protocol(steps, ["x", "z"], None, seed=1)[0].fit(X, y).document()["removed"]
    # Breslow's ties and clustered errors, from R: .561139708429188 / .444639128323353
    p = 2 * norm.sf(0.561139708429188 / 0.444639128323353)
    assert removed == [{"variable": "z", "p": pytest.approx(p, rel=1e-6), "test": "Wald"}]
    plainly = BackwardElimination(p=0.15).fit(X, y).document()["removed"]
    assert plainly[0]["p"] != pytest.approx(p, rel=1e-2)
    with pytest.raises(InputError, match="no option 'robust'"):
        build_protocol([{"backward": {"p": 0.1, "robust": True}}, {"cox": {}}], ["x", "z"], None, seed=1)


def test_units_are_compared_within_strata(rows):
    X, y = rows
    score = X["x"].to_numpy()
    pairs = [
        (score[i] > score[j]) + 0.5 * (score[i] == score[j])
        for i in range(24)
        for j in range(24)
        if SITE[i] == SITE[j] and EVENT[i] and (TIME[i] < TIME[j] or (TIME[i] == TIME[j] and not EVENT[j]))
    ]
    found = survival_performance(y, score, [20])
    assert found["c"] == pytest.approx(np.mean(pairs), rel=1e-12)
    assert found["uno"] is None
    fit = fit_cox(VALUES, TIME, EVENT, strata=SITE)
    assert partial_log_likelihood(TIME, EVENT, VALUES @ fit.coef, SITE) == pytest.approx(fit.log_likelihood, rel=1e-12)


def test_a_stratified_protocol_is_refitted_with_its_strata(rows):
    X, y = rows
    protocol = build_protocol([{"cox": {"strata": "site"}}], ["x", "z"], None, seed=1, times=[20])
    row, _ = refit_once(protocol, X, y, np.arange(24))
    whole = survival_performance(y, VALUES @ fit_cox(VALUES, TIME, EVENT, strata=SITE).coef, [20])
    assert row["c_test"] == pytest.approx(whole["c"], rel=1e-12)
    assert row["slope"] == pytest.approx(1, rel=1e-6)
    table = scores(protocol.fit(X, y), X, SITE)
    told = survival_performance(y, table["linear_predictor"], [20], table[["survival_20"]].to_numpy())
    assert row["auc_20_test"] == pytest.approx(told["auc"][0]["auc"], rel=1e-12)


def test_a_nomogram_has_an_axis_per_stratum(rows):
    X, y = rows
    drawn = nomogram(CoxModel(strata="site", times=[31, 34]).fit(X, y).document())
    # nobody of stratum a was followed beyond 31
    assert [(axis["time"], axis["stratum"]) for axis in drawn["survival"]] == [
        *[(31, "a"), (31, "b"), (34, "b"), (31, "c"), (34, "c")]
    ]
    site = {"site": {"label": "Hospital", "type": "categorical", "levels": ["a", "b", "c"]}}
    assert [row.name for row in nomogram_axes(drawn, site, "survival")][-2] == "31-month survival, Hospital c"
    lowest = drawn["intercept"] + (VALUES @ fit_cox(VALUES, TIME, EVENT, strata=SITE).coef).mean()
    at_zero = read_off(drawn, [0.0]).iloc[0]
    for time, site in [(31, "a"), (31, "b"), (34, "b"), (34, "c")]:
        hazard = LAST_HAZARD[site]
        assert at_zero[f"survival_{time} {site}"] == pytest.approx(np.exp(-hazard * np.exp(lowest)), rel=1e-6)
    assert "survival_34 c" in set(points_table(drawn)["variable"])
