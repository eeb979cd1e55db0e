import copy
import json

import numpy as np
import pandas as pd
import pytest

from nenflow.errors import InputError
from nenflow.evaluation.apparent import has_risks, published_figures
from nenflow.models.exchange import r_function
from nenflow.models.printed import apply_printed, features_of, printed_nomogram
from nenflow.models.score import integer_score, patterns
from nenflow.published import check_published, read_model
from nenflow.report.methods_models import validation_sentences
from nenflow.study import load_study
from nenflow.tables import UNIT
from projects import ROOT
from r_functions import SAME_IN_R, labelled, needs_r, run_r

SCHEMAS = ROOT / "workflow/schemas"
LMS = ROOT / "config/studies/lms"
SURUFATINIB = ROOT / "config/studies/surufatinib"
RATIOS = {"ki67=3-20": 10.36, "ki67=>20": 18.30, "invasion=yes": 5.03, "nodes=yes": 2.24, "adjuvant=no": 3.03}
POINTS = {"ki67=3-20": 3, "ki67=>20": 4, "invasion=yes": 2, "nodes=yes": 1, "adjuvant=no": 1}
# As printed; the first four of the unfiltered image.
RADSCORE = {
    "original_firstorder_RootMeanSquared": -0.429,
    "original_glcm_Correlation": 1.054,
    "original_glrlm_LongRunLowGrayLevelEmphasis": 0.023,
    "original_ngtdm_Busyness": 0.406,
    "wavelet-LLH_firstorder_Median": -0.162,
    "wavelet-LLH_glcm_ClusterShade": 0.118,
    "wavelet-LLH_glcm_Imc1": 0.960,
    "wavelet-LHH_glrlm_RunVariance": -0.948,
    "wavelet-LLH_glszm_SizeZoneNonUniformityNormalized": 0.308,
}
FUSION = {"Radscore": 8.808, "ki67": 1.035, "number": 3.795, "extrahepatic": 10.57}


def lms():
    return read_model(LMS / "published/score.json", SCHEMAS, whole=False)


def surufatinib():
    return read_model(SURUFATINIB / "published/fusion.json", SCHEMAS, whole=False)


def ratios(model, step):
    return {name: round(float(np.exp(value)), 3) for name, value in model["steps"][step]["coefficients"].items()}


def lesions(n=60):
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_tuples([(f"P{number}", "lesion1") for number in range(n)], names=UNIT)
    features = pd.DataFrame({name: rng.normal(place, 1 + place, n) for place, name in enumerate(RADSCORE)}, index)
    clinical = {"ki67": rng.uniform(1, 90, n), "number": rng.integers(1, 4, n), "extrahepatic": rng.integers(1, 3, n)}
    return features.assign(**clinical).astype(float)


def test_the_score_of_lms_is_what_is_printed():
    model = lms()
    assert ratios(model, "cox") == RATIOS
    assert model["score"]["points"] == POINTS
    assert model["score"]["strata"] == {"low": 0.029, "intermediate": 0.208, "high": 0.497}
    assert model["score"]["time"] == 60
    # The rule that is taken makes these points of these ratios.
    made = integer_score(model["steps"]["cox"], "smallest", model["steps"]["terms"])
    own = {f"{name}={level}": worth for name, axis in made["variables"].items()
           for level, worth in zip(axis["values"], axis["points"], strict=True) if worth}  # fmt: skip
    assert own == POINTS
    table = patterns(made)
    assert len(table) == 24
    assert table["score"].is_monotonic_increasing


def test_all_patterns_of_lms_are_scored_in_order():
    model = lms()
    places = np.array(np.meshgrid([1, 2, 3], [1, 2], [1, 2], [1, 2])).reshape(4, -1).T
    X = pd.DataFrame(places.astype(float), columns=list(model["variables"]))
    _, table = apply_printed(model, X)
    assert len(table) == 24
    order = table.sort_values("linear_predictor")
    assert order["points"].is_monotonic_increasing
    assert (order["points"].iloc[0], order["points"].iloc[-1]) == (0, 8)
    assert order["linear_predictor"].iloc[-1] == pytest.approx(np.log(18.30 * 5.03 * 2.24 * 3.03), abs=2e-6)
    assert not has_risks(table)


def test_the_models_of_surufatinib_are_what_is_printed():
    model = surufatinib()
    assert model["steps"]["lasso"]["coefficients"] == RADSCORE
    assert ratios(model, "logistic") == FUSION
    assert {name: printed[0] for name, printed in model["ratios"].items()} == FUSION


def test_without_the_printed_intercept_the_radscore_is_0_on_average():
    """The publication's medians, 0.78 of 27 lesions and 1.81 of 104, show that its own had one of about 1.5."""
    document, table = apply_printed(surufatinib(), lesions())
    assert table["Radscore"].mean() == pytest.approx(0, abs=1e-12)
    printed = np.average([0.78, 1.81], weights=[27, 104])
    assert printed - table["Radscore"].mean() == pytest.approx(1.5, abs=0.1)
    assert document["steps"]["zscore"]["units"] == 60
    assert document["missing"] == surufatinib()["missing"]
    z = lesions()[list(RADSCORE)]
    z = (z - z.mean()) / z.std(ddof=1)
    assert table["Radscore"].to_numpy() == pytest.approx((z @ pd.Series(RADSCORE)).to_numpy(), abs=1e-12)


def test_a_model_without_intercept_gives_an_order_and_no_risk():
    _, table = apply_printed(surufatinib(), lesions())
    assert list(table) == ["Radscore", "linear_predictor"]
    y = pd.Series(np.arange(60) % 2, table.index)
    figures, moved = (
        published_figures(y, table.assign(linear_predictor=table["linear_predictor"] + by)) for by in (0, 1.5)
    )
    assert figures["auc"] == moved["auc"]
    assert figures["indexes"] == {"slope": pytest.approx(moved["indexes"]["slope"], rel=1e-6)}
    assert figures["Radscore"]["auc"] != figures["auc"]
    drawn = printed_nomogram(surufatinib())
    assert drawn["variables"] == {}
    assert "is not printed" in drawn["note"]


@needs_r
def test_the_function_for_r_says_what_is_missing(tmp_path):
    X, model = lesions(), surufatinib()
    document, table = apply_printed(model, X)
    text = r_function(document, "fusion")
    assert "standardised by the mean and standard deviation of the lesions at hand" in " ".join(
        text.replace("#", "").split()
    )
    found = run_r(text, "fusion", labelled(X, model["variables"]), tmp_path)
    assert list(found) == ["Radscore", "linear_predictor"]
    assert np.abs(found.to_numpy() - table[list(found)].to_numpy()).max() < SAME_IN_R


@pytest.mark.parametrize(("study", "file"), [(LMS, "score.json"), (SURUFATINIB, "fusion.json")])
def test_incomplete_models_are_applied_inside_a_study_only(study, file):
    check_published(load_study(study / "study.yaml", SCHEMAS), study, SCHEMAS)
    with pytest.raises(InputError, match=r"only under 'published' of a study: The .* not printed"):
        read_model(study / "published" / file, SCHEMAS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda model: model.pop("missing"), "steps/logistic/intercept is not there, and no key 'missing' says why"),
        (lambda model: model.pop("missing"), "steps/zscore/centre is not there"),
        (lambda model: model["steps"]["zscore"].update(local=False), "steps/zscore/local"),
        (lambda model: model.update(score={"points": {"age": 1}}), "score/points: 'age' is no column of the model"),
    ],
)
def test_a_file_that_does_not_say_what_it_lacks_is_refused(tmp_path, change, sentence):
    model = copy.deepcopy(surufatinib())
    change(model)
    (tmp_path / "fusion.json").write_text(json.dumps(model), encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        read_model(tmp_path / "fusion.json", SCHEMAS, whole=False)


def test_a_model_with_features_needs_an_extraction(tmp_path):
    study = load_study(SURUFATINIB / "study.yaml", SCHEMAS)
    for key in ("extraction", "phase"):
        study["published"]["fusion"].pop(key)
    with pytest.raises(InputError, match="needs image features; name their extraction and phase"):
        check_published(study, SURUFATINIB, SCHEMAS)
    assert features_of(surufatinib()) == list(RADSCORE)


ORDERS = "is not printed in full, so that it orders"
LOCAL = "; its features were standardised on the cohort's own means and standard deviations"


@pytest.mark.parametrize(
    ("folder", "model", "words"),
    [
        (LMS, lms, f"“score” {ORDERS} patients and gives no risks."),
        (SURUFATINIB, surufatinib, f"“fusion” {ORDERS} lesions and gives no risks{LOCAL}."),
    ],
)
def test_the_methods_say_what_a_published_model_lacks(folder, model, words):
    study = load_study(folder / "study.yaml", SCHEMAS)
    study.pop("models")
    (name,) = study["published"]
    sentences = validation_sentences(study, {f"models/published_{name}/model.json": model()})
    assert sentences[-1] == words
