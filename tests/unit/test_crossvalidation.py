"""Cross-validation against refits by hand, and that nothing left out is ever seen."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from nenflow.documents import read_json, write_json
from nenflow.errors import InputError
from nenflow.evaluation.concordance import brier_scores, harrell_c, time_dependent_roc
from nenflow.evaluation.crossvalidation import cross_validate, parts_of
from nenflow.evaluation.discrimination import auc, youden
from nenflow.models.cox import baseline_hazard, fit_cox, survival_at
from nenflow.models.protocol import build_protocol, scores
from nenflow.models.score import observed_risk
from nenflow.report.sections_crossvalidation import cross_validation_blocks

TIMES = [24.0, 60.0]
SETTINGS = {"folds": 4, "leave_out": "hospital"}
KI67 = ["<3", "3-20", ">20"]
STEPS = [{"terms": {"factors": {"ki67": KI67}}}, {"cox": {}}]
STUDY = {
    "variables": {
        "ki67": {"label": "Ki-67 (%)", "type": "categorical", "levels": KI67},
        "invasion": {"label": "Vascular invasion", "type": "categorical", "levels": ["no", "yes"]},
        "hospital": {"label": "Hospital", "type": "categorical", "levels": ["a", "b", "c"]},
    }
}


def cohort(n=240, seed=3, effect=1.0):
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([[f"P{i:03d}" for i in range(n)], ["patient"]], names=["patient", "region"])
    X = pd.DataFrame(
        {"ki67": rng.choice([1.0, 2, 3], n, p=[0.4, 0.35, 0.25]), "invasion": rng.choice([1.0, 2], n)}, index
    )
    risk = effect * (1.2 * (X["ki67"] - 1) + 1.0 * (X["invasion"] == 2))
    time, end = rng.exponential(150 * np.exp(-risk)), rng.uniform(10, 90, n)
    y = pd.DataFrame({"time": np.minimum(time, end), "event": (time <= end).astype(int)}, index)
    hospital = pd.Series(rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]), index.get_level_values("patient"))
    hospital = hospital.rename("hospital")
    return X, y, hospital


def protocol(steps=STEPS, clinical=("ki67", "invasion"), times=TIMES):
    return build_protocol(steps, clinical=list(clinical), readings=None, seed=1, times=times)


def lesions(seed=5, patients=60):
    """Two lesions per patient and a binary outcome."""
    rng = np.random.default_rng(seed)
    names = [f"P{i:02d}" for i in range(patients)]
    index = pd.MultiIndex.from_product([names, ["L1", "L2"]], names=["patient", "region"])
    X = pd.DataFrame({"a": rng.normal(size=len(index)), "b": rng.normal(size=len(index))}, index)
    return X, (X["a"] + rng.logistic(size=len(index)) > 0.5).astype(int)


def test_folds_keep_patients_together_spread_events_and_follow_the_seed():
    X, y = lesions()
    folds = parts_of(X, y, 1, {"folds": 5})["folds"][1]
    assert sorted(folds.unique()) == [1, 2, 3, 4, 5]
    patients = folds.groupby(level="patient")
    assert (patients.min() == patients.max()).all()
    events = y.groupby(folds).sum()
    assert events.max() - events.min() <= 2
    pd.testing.assert_series_equal(folds, parts_of(X, y, 1, {"folds": 5})["folds"][1])
    assert (folds != parts_of(X, y, 2, {"folds": 5})["folds"][1]).any()


def test_leaving_a_hospital_out_is_the_refit_by_hand():
    X, y, hospital = cohort()
    units, document = cross_validate(
        protocol(), X, y, parts_of(X, y, 1, SETTINGS, hospital.to_frame()), {"rule": "smallest"}
    )
    design = pd.DataFrame({"3-20": X["ki67"] == 2, ">20": X["ki67"] == 3, "invasion": X["invasion"]}).to_numpy(float)
    time, event = y["time"].to_numpy(), y["event"].to_numpy()
    found = units[units["scheme"] == "hospital"].set_index("patient")
    assert (found["fold"] == hospital).all()
    for entry in document["hospital"]["parts"]:
        inside = (hospital == entry["part"]).to_numpy()
        fit = fit_cox(design[~inside], time[~inside], event[~inside])
        predictor = design[inside] @ fit.coef
        mine = found[inside]
        np.testing.assert_allclose(mine["linear_predictor"], predictor, atol=1e-9)
        baseline = baseline_hazard(fit, design[~inside], time[~inside], event[~inside])
        survival = survival_at(baseline, predictor, TIMES)
        np.testing.assert_allclose(mine[["survival_24", "survival_60"]], survival, atol=1e-9)
        assert entry["c"] == pytest.approx(harrell_c(time[inside], event[inside], predictor)["c"], abs=1e-12)
        slope = fit_cox(predictor[:, None], time[inside], event[inside]).coef[0]
        assert entry["slope"] == pytest.approx(slope, abs=1e-6)
        brier = brier_scores(time[inside], event[inside], survival, TIMES)["brier"]
        assert [row["brier"] for row in entry["brier"]] == pytest.approx(list(brier), abs=1e-9)
        hazard = baseline["hazard"].to_numpy()[np.searchsorted(baseline["time"], time[inside], side="right") - 1]
        expected = np.sum(np.where(time[inside] < baseline["time"].min(), 0, hazard) * np.exp(predictor))
        assert entry["observed_expected"] == pytest.approx(event[inside].sum() / expected, rel=1e-9)
        # the points follow from these very coefficients, and the cut-offs from these very rows
        worth = np.floor(fit.coef / np.abs(fit.coef).min() + 0.5)
        assert entry["score"]["variables"]["ki67"]["points"] == [0, *worth[:2]]
        assert entry["score"]["variables"]["invasion"]["points"] == [0, worth[2]]
        points = (np.column_stack([design[:, :2], design[:, 2] - 1]) @ worth).astype(int)
        tertiles = [int(np.floor(bound)) + 1 for bound in np.quantile(points[~inside], [1 / 3, 2 / 3])]
        assert entry["score"]["cutoffs"] == tertiles
        assert mine["points"].tolist() == points[inside].tolist()
        assert mine["stratum"].tolist() == [
            ["low", "intermediate", "high"][sum(p >= c for c in tertiles)] for p in points[inside]
        ]


def test_pooled_figures_compare_within_parts_and_strata_are_out_of_fold():
    X, y, hospital = cohort()
    parts = parts_of(X, y, 1, SETTINGS, hospital.to_frame())
    units, document = cross_validate(protocol(), X, y, parts, {"rule": "smallest"})
    rows = units[units["scheme"] == "folds"].set_index(["patient", "region"]).loc[X.index]
    pooled = document["folds"]["pooled"]
    own = harrell_c(y["time"], y["event"], rows["linear_predictor"], strata=rows["fold"])
    assert pooled["c"] == pytest.approx(own["c"], abs=1e-12)
    assert (pooled["n"], pooled["events"]) == (240, y["event"].sum())
    strata = fit_cox(rows[["linear_predictor"]].to_numpy(), y["time"], y["event"], strata=rows["fold"].to_numpy())
    assert pooled["slope"] == pytest.approx(strata.coef[0], abs=1e-6)
    names = ["low", "intermediate", "high"]
    risk = observed_risk(rows["stratum"].map(names.index), y, names, TIMES)
    assert [row["risk"] for row in document["folds"]["strata"]] == pytest.approx(risk["risk"].tolist(), nan_ok=True)
    assert sum(row["n"] for row in document["folds"]["strata"] if row["time"] == 24) == 240


def test_repeats_deal_anew_and_their_mean_is_no_more_certain():
    X, y = lesions()
    model = protocol([{"logistic": {}}], clinical=["a", "b"], times=())
    parts = parts_of(X, y, 1, {"folds": 5, "repeats": 3})
    alone = parts_of(X, y, 1, {"folds": 5})
    pd.testing.assert_series_equal(parts["folds"][1], alone["folds"][1])
    assert len({tuple(parts["folds"][repeat]) for repeat in (1, 2, 3)}) == 3
    units, document = cross_validate(model, X, y, parts)
    assert units.groupby("repeat")["patient"].count().tolist() == [len(X)] * 3
    found = document["folds"]
    assert [part["repeat"] for part in found["parts"]] == np.repeat([1, 2, 3], 5).tolist()
    once = cross_validate(model, X, y, alone)[1]["folds"]
    assert found["repeats"][0] == once["pooled"] == once["repeats"][0]
    for name in ("auc", "slope", "brier", "net_benefit", "sensitivity", "low", "high"):
        values = [run[name] for run in found["repeats"]]
        assert found["pooled"][name] == pytest.approx(np.mean(values), abs=1e-12)
        assert found["pooled"]["sd"][name] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    widths = [run["high"] - run["low"] for run in found["repeats"]]
    assert found["pooled"]["high"] - found["pooled"]["low"] >= min(widths)
    assert "sd" not in once["pooled"]


def test_a_temporal_split_fits_the_earlier_and_judges_the_later():
    X, y = lesions()
    names = X.index.get_level_values("patient")
    year = pd.DataFrame({"year": np.arange(2001, 2061)}, names.unique())
    parts = parts_of(X, y, 1, {"temporal": {"variable": "year", "from": 2041}}, year)
    model = protocol([{"logistic": {}}], clinical=["a", "b"], times=())
    units, document = cross_validate(model, X, y, parts)
    assert units["patient"].tolist() == list(names[80:])  # two lesions of each of the 20 later patients
    assert set(units["scheme"]) == {"temporal"}
    (part,) = document["temporal"]["parts"]
    assert (part["part"], part["fitted_to"], part["n"]) == ("from 2041", 80, 40)
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X[:80], y[:80])
    np.testing.assert_allclose(units["probability"], fit.predict_proba(X[80:])[:, 1], atol=1e-6)
    assert document["temporal"]["pooled"]["auc"] == pytest.approx(roc_auc_score(y[80:], fit.decision_function(X[80:])))
    others = X.copy()
    others.iloc[80:] += 100.0  # the later ones are seen by nobody who fits
    again = cross_validate(model, others, y.where(np.arange(120) < 80, 1 - y), parts)[1]["temporal"]["parts"][0]
    assert again["variables"] == part["variables"]
    with pytest.raises(InputError, match="leaves nobody to judge"):
        parts_of(X, y, 1, {"temporal": {"variable": "year", "from": 2100}}, year)
    with pytest.raises(InputError, match="leaves nobody to fit"):
        parts_of(X, y, 1, {"temporal": {"variable": "year", "from": 1900}}, year)
    with pytest.raises(InputError, match=r"1 patient\(s\) have no value of year"):
        parts_of(X, y, 1, {"temporal": {"variable": "year", "from": 2041}}, year.drop("P07"))


@pytest.mark.parametrize("kind", ["binary", "survival"])
def test_decisions_are_judged_at_the_cut_off_of_the_rows_fitted_to(kind):
    if kind == "binary":
        X, y = lesions()
        parts = parts_of(X, y, 1, {"folds": 5})
        model = protocol([{"logistic": {}}], clinical=["a", "b"], times=())
    else:
        X, y, _ = cohort()
        parts = parts_of(X, y, 1, {"folds": 5})
        model = protocol()
    units, document = cross_validate(model, X, y, parts)
    rows, positive = units.set_index(["patient", "region"]).loc[X.index], pd.Series(np.nan, X.index)
    for fold in range(1, 6):
        inside = (rows["fold"] == fold).to_numpy()
        fitted = clone(model).fit(X[~inside], y[~inside])
        told = scores(fitted, X)
        if kind == "binary":
            marker = told["linear_predictor"]
            at = youden(y[~inside], marker[~inside])["threshold"]
        else:
            marker, outcome = 1 - told["survival_60"], y[~inside]
            curve = time_dependent_roc(outcome["time"], outcome["event"], marker[~inside], 60.0)
            at = curve.loc[(curve["sensitivity"] + curve["specificity"]).round(9).idxmax(), "threshold"]
        positive[inside] = (marker[inside] >= at).astype(float)
    np.testing.assert_array_equal(rows["positive"], positive)
    pooled = document["folds"]["pooled"]
    if kind == "binary":
        assert pooled["sensitivity"] == pytest.approx(positive[y == 1].mean(), abs=1e-12)
        assert pooled["specificity"] == pytest.approx(1 - positive[y == 0].mean(), abs=1e-12)
        share, acted = y.mean(), rows["probability"] >= y.mean()
        benefit = ((acted & (y == 1)).sum() - (acted & (y == 0)).sum() * share / (1 - share)) / len(y)
        assert pooled["net_benefit"] == pytest.approx(benefit, abs=1e-12)
    else:
        curve = time_dependent_roc(y["time"], y["event"], positive, 60.0).iloc[1]
        assert (pooled["sensitivity"], pooled["specificity"]) == pytest.approx(
            (curve["sensitivity"], curve["specificity"]), abs=1e-12
        )


@pytest.mark.parametrize("change", ["outcomes", "variables"])
def test_what_is_left_out_changes_nothing_that_is_fitted_without_it(change):
    X, y, hospital = cohort()
    parts = {"hospital": parts_of(X, y, 1, SETTINGS, hospital.to_frame())["hospital"]}
    steps = [STEPS[0], {"univariable": {"p": 0.2}}, {"backward": {"p": 0.1}}, STEPS[1]]
    before = cross_validate(protocol(steps), X, y, parts, {"rule": "smallest"})[1]["hospital"]["parts"]
    inside = (parts["hospital"][1] == "a").to_numpy()
    rng = np.random.default_rng(0)
    if change == "outcomes":
        y = y.copy()
        y.loc[inside, "time"] = rng.uniform(1, 5, inside.sum())
        y.loc[inside, "event"] = 1
    else:
        X = X.copy()
        X.loc[inside, "invasion"] = rng.choice([1.0, 2], inside.sum())
        X.loc[inside, "ki67"] = 1.0
    after = cross_validate(protocol(steps), X, y, parts, {"rule": "smallest"})[1]["hospital"]["parts"]
    fitted = ["fitted_to", "variables", "score", "note"]
    assert {key: before[0][key] for key in fitted} == {key: after[0][key] for key in fitted}
    assert before[0]["c"] != after[0]["c"]  # the change was seen where it may be
    assert before[1]["score"] != after[1]["score"]


def test_a_binary_outcome_has_an_auc_and_a_calibration_line():
    X, y = lesions()
    model = protocol([{"logistic": {}}], clinical=["a", "b"], times=())
    units, document = cross_validate(model, X, y, parts_of(X, y, 1, {"folds": 5}, None))
    first, pooled = document["folds"]["parts"][0], document["folds"]["pooled"]
    rows = units.set_index(["patient", "region"]).loc[X.index]
    inside = (rows["fold"] == 1).to_numpy()
    assert first["auc"] == pytest.approx(auc(y[inside], rows["linear_predictor"][inside]), abs=1e-12)
    assert pooled["brier"] == pytest.approx(((rows["probability"] - y) ** 2).mean(), abs=1e-12)
    assert pooled["observed_expected"] == pytest.approx(y.sum() / rows["probability"].sum(), abs=1e-12)
    assert first["score"] is None
    assert document["folds"]["strata"] == []
    assert "points" not in units


def test_a_hospital_without_events_is_reported():
    X, y, hospital = cohort()
    y.loc[(hospital == "c").to_numpy(), "event"] = 0
    parts = {"hospital": parts_of(X, y, 1, SETTINGS, hospital.to_frame())["hospital"]}
    document = cross_validate(protocol(), X, y, parts, {"rule": "smallest"})[1]
    last = document["hospital"]["parts"][2]
    assert (last["events"], last["c"], last["slope"], last["observed_expected"]) == (0, None, None, 0)
    assert document["hospital"]["pooled"]["n"] == 240
    y.loc[(hospital != "a").to_numpy(), "event"] = 0  # now nothing can be fitted without the hospital a
    document = cross_validate(protocol(), X, y, parts)[1]
    first = document["hospital"]["parts"][0]
    assert first["note"].startswith("not computable: ")
    assert first["n"] == 0
    assert document["hospital"]["pooled"]["n"] == (hospital != "a").sum()


def test_a_construction_in_which_nothing_is_selected_is_reported():
    X, y, hospital = cohort(effect=0.0)
    steps = [STEPS[0], {"univariable": {"p": 1e-9}}, STEPS[1]]
    units, document = cross_validate(
        protocol(steps), X, y, parts_of(X, y, 1, SETTINGS, hospital.to_frame()), {"rule": "smallest", "cutoffs": [1, 2]}
    )
    for entry in document["folds"]["parts"]:
        assert (entry["note"], entry["variables"], entry["score"], entry["c"]) == ("nothing selected", [], None, 0.5)
    assert units["survival_60"].between(0, 1).all()
    assert document["folds"]["strata"] == []


def test_a_score_that_cannot_be_divided_says_so_and_the_model_is_still_judged():
    X, y, hospital = cohort()
    steps = [{"cox": {}}]
    model = protocol(steps, clinical=["invasion"])
    document = cross_validate(
        model, X[["invasion"]], y, parts_of(X, y, 1, SETTINGS, hospital.to_frame()), {"rule": "smallest"}
    )[1]
    first = document["folds"]["parts"][0]
    assert first["note"].startswith("no score: The scores have too few different values")
    assert first["c"] > 0.5
    assert first["score"] is None


def test_what_cannot_be_divided_is_refused():
    X, y, hospital = cohort()
    with pytest.raises(InputError, match="have no value of hospital"):
        parts_of(X, y, 1, SETTINGS, hospital.drop("P007").to_frame())
    with pytest.raises(InputError, match="Lower evaluation/folds"):
        parts_of(X.head(3), y.head(3), 1, SETTINGS, hospital.to_frame())


def test_the_report_shows_every_part_and_every_score(tmp_path):
    X, y, hospital = cohort()
    settings = {"rule": "smallest"}
    document = cross_validate(protocol(), X, y, parts_of(X, y, 1, SETTINGS, hospital.to_frame()), settings)[1]
    write_json(document, tmp_path / "cross_validation.json")
    document = read_json(tmp_path / "cross_validation.json")
    json.dumps(document, allow_nan=False)
    score = document["folds"]["parts"][0]["score"]
    blocks = {
        block.name: block
        for block in cross_validation_blocks(STUDY, "points", document, score)
        if hasattr(block, "name")
    }
    assert list(blocks) == [
        f"{what}-{scheme}_points"
        for scheme in ("folds", "hospital")
        for what in ("cross-validation", "score", "strata")
    ]
    figures = blocks["cross-validation-hospital_points"].table
    assert figures["Left out"].tolist() == ["a", "b", "c", "All"]
    assert figures["n"].iloc[-1] == "240"
    points = blocks["score-folds_points"].table.set_index("Left out")
    assert list(points.columns) == ["1", "2", "3", "4", "None"]
    assert points.loc["Ki-67 (%): >20", "1"] == str(score["variables"]["ki67"]["points"][2])
    assert points.loc["Strata from", "1"] == " and ".join(map(str, score["cutoffs"]))
    assert cross_validation_blocks(STUDY, "points", None, score) == []
