import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from nenflow.evaluation.components import analyse_components
from nenflow.report.page import Printed, Text
from nenflow.report.sections_components import component_blocks

PRECISE = {"precision": 1e-12}


def dataset(n=60, seed=2, survival=True):
    rng = np.random.default_rng([seed, 0])
    index = pd.MultiIndex.from_tuples([(f"P{i}", "patient") for i in range(n)], names=["patient", "region"])
    hidden = rng.normal(size=(n, 2))
    features = pd.DataFrame(hidden @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(n, 6)), index=index)
    features.columns = [f"f{i}" for i in range(6)]
    features["flat"] = 3.0
    event = (rng.random(n) < 0.6).astype(int)
    outcome = {"time": rng.exponential(20, n) + 0.1, "event": event} if survival else {"outcome": event}
    return pd.concat([pd.DataFrame(outcome, index=index), features], axis=1)


def test_variance_scores_and_number_are_those_of_the_singular_values():
    data = dataset()
    variance, scores, _, summary = analyse_components(data)
    X = data.filter(regex="^f[0-9]").to_numpy()
    Z = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
    singular = np.linalg.svd(Z, compute_uv=False) ** 2
    assert variance["share"].to_numpy() == pytest.approx(singular / singular.sum(), rel=1e-10)
    assert summary["enough"] == int(np.argmax(np.cumsum(singular / singular.sum()) >= 0.95)) + 1 == 2
    assert summary["constant"] == ["flat"]
    assert scores["PC1"].std() == pytest.approx(variance["sd"][0], rel=1e-10)
    assert abs(np.corrcoef(scores["PC1"], scores["PC2"])[0, 1]) < 1e-10


def test_one_component_is_tested_per_ten_events_as_lifelines_does():
    data = dataset()
    _, scores, effects, summary = analyse_components(data)
    assert summary["tested"] == min(summary["events"] // 10, summary["enough"]) == 2
    frame = scores[["time", "event"]].assign(**{n: scores[n] / scores[n].std() for n in ("PC1", "PC2")})
    joint = effects[effects["regression"] == "jointly"].set_index("component")
    fit = CoxPHFitter().fit(frame, "time", "event", fit_options=PRECISE).summary
    assert joint["ratio"].to_numpy() == pytest.approx(fit["exp(coef)"].to_numpy(), rel=1e-5)
    alone = effects[effects["regression"] == "alone"]
    fit = CoxPHFitter().fit(frame[["time", "event", "PC1"]], "time", "event", fit_options=PRECISE).summary
    assert alone["ratio"].iloc[0] == pytest.approx(fit["exp(coef)"].iloc[0], rel=1e-5)
    assert alone["p_holm"].max() <= 1
    few = data.assign(event=0)
    few.iloc[:5, few.columns.get_loc("event")] = 1
    assert analyse_components(few)[3]["tested"] == 1


@pytest.mark.parametrize(("survival", "p"), [(True, 0.3), (False, 0.01)])
def test_the_report_shows_them(survival, p):
    variance, scores, effects, summary = analyse_components(dataset(survival=survival))
    alone = effects["regression"] == "alone"
    effects.loc[alone, ["p", "p_holm"]] = [p, 2 * p]
    names = ("variance", "scores", "effects")
    results = {f"evaluation/components_{n}.csv": t for n, t in zip(names, (variance, scores, effects), strict=True)}
    results["evaluation/components.json"] = summary
    endpoint = {"variable": "status", "event": "dead"} | ({"time": "months"} if survival else {})
    study = {
        "unit": "patient",
        "variables": {"status": {"label": "Status"}},
        "endpoints": {"death": endpoint},
        "components": {"endpoint": "death"},
    }
    blocks = component_blocks(study, results)
    text, *null = [block.text for block in blocks if isinstance(block, Text)]
    assert text.startswith("Of 6 standardised features in 60 patients, 2 of 6 components hold 95")
    assert "1 feature without any variation took no part" in text
    said = (
        "none of the first 2 components tells of the outcome (the smallest p is 0.300, 0.600 after Holm's correction)."
    )
    assert null == ([f"A null result: {said}"] if p > 0.05 else [])
    (table,) = [block for block in blocks if isinstance(block, Printed)]
    assert ("Hazard" if survival else "Odds") in table.table.columns[2]
    assert component_blocks(study, {}) == []
