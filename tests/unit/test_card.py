"""Model files that leave their study: the same scores, intervals as R's, ranges, and refusals."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nenflow.documents import write_json
from nenflow.errors import InputError
from nenflow.models.card import applied_steps, build_card, inputs_of, protocol_of
from nenflow.models.card_text import card_text
from nenflow.models.protocol import build_protocol, scores, to_document
from nenflow.models.ranges import distances, outside, training_distribution
from nenflow.models.steps import CoxModel, LogisticModel
from nenflow.models.uncertainty import prediction_intervals, uncertainty
from nenflow.published import parameters_digest, read_model, seal

SCHEMAS = Path(__file__).resolve().parents[2] / "workflow/schemas"
SAME_AS_R = 1e-6  # R's coxph stops its search at a likelihood that changes in the ninth digit
SAMPLING = 0.005  # of a share of 2.5 % among 20,000 units: four standard errors

# Twelve patients with tied events, and what R 4.2 (survival 3.5: survfit of coxph; glm with predict's standard errors)
# says of two further ones at 5 and 10: survival, lower, upper.
PATIENTS = pd.DataFrame(
    {
        "time": [2.0, 3, 3, 5, 6, 6, 6, 8, 9, 11, 12, 14],
        "event": [1, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0],
        "size": [4.1, 3.2, 5.0, 2.2, 3.9, 1.8, 2.5, 3.0, 1.2, 2.8, 1.5, 2.0],
        "sex": [1.0, 2, 1, 1, 2, 2, 1, 1, 2, 2, 1, 2],
        "stratum": ["a", "b"] * 6,
        "good": [1, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0],
    },
    index=pd.MultiIndex.from_product([[f"P{n}" for n in range(12)], ["patient"]], names=["patient", "region"]),
)
NEW = pd.DataFrame({"size": [2.0, 4.5], "sex": [1.0, 2.0]})
R_SURVFIT = {
    "efron": ([0.93991709436, 0.709863800399, 0.397427096235, 0.00607774328498],
              [0.817251975948, 0.410847712958, 0.0882884663758, 5.13219803977e-07]),
    "breslow": ([0.936852062527, 0.703125864713, 0.472383649613, 0.0174302004254],
                [0.810933541844, 0.400645594633, 0.13980632474, 1.15332615558e-05]),
}  # fmt: skip
R_STRATA = ([0.975546446339, 0.915741760492, 0.141314709073434, 0.000110434149219],
            [0.883947277708, 0.700925870463, 3.51404135032e-04, 2.18775554909e-15])  # fmt: skip
R_GLM = ([0.1120269358307, 0.0986606865986], [0.884671281897, 0.982475603375])


def known_of(model, columns, y):
    return uncertainty(model.document(), columns, y, columns, seed=1)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_survival_intervals_are_those_of_survfit(ties):
    X, y = PATIENTS[["size", "sex"]], PATIENTS[["time", "event"]]
    model = CoxModel(ties=ties, times=(5, 10)).fit(X, y)
    table = prediction_intervals(known_of(model, X, y), model.document(), NEW)
    survival, low = R_SURVFIT[ties]
    np.testing.assert_allclose(model.predict_survival(NEW).ravel(), survival, atol=SAME_AS_R)
    np.testing.assert_allclose(table[["survival_5_low", "survival_10_low"]].to_numpy().ravel(), low, atol=SAME_AS_R)
    assert (table[["survival_5_high", "survival_10_high"]] == 1).all(axis=None)


def test_survival_intervals_within_strata_are_those_of_survfit():
    X, y = PATIENTS[["size"]], PATIENTS[["time", "event", "stratum"]]
    model = CoxModel(times=(5, 10), strata="site").fit(X, y)
    table = prediction_intervals(known_of(model, X, y), model.document(), NEW, ["a", "b"])
    survival, low = R_STRATA
    np.testing.assert_allclose(model.predict_survival(NEW, strata=["a", "b"]).ravel(), survival, atol=SAME_AS_R)
    np.testing.assert_allclose(table[["survival_5_low", "survival_10_low"]].to_numpy().ravel(), low, atol=SAME_AS_R)


def test_intervals_of_probabilities_are_those_of_glm():
    X, y = PATIENTS[["size", "sex"]], PATIENTS["good"]
    model = LogisticModel().fit(X, y)
    table = prediction_intervals(known_of(model, X, y), model.document(), NEW)
    for end, expected in zip(("low", "high"), R_GLM, strict=True):
        np.testing.assert_allclose(table[f"probability_{end}"], expected, atol=SAME_AS_R)


def test_one_in_forty_of_the_same_kind_is_far_however_few_the_training():
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(4, 4))
    flagged = []
    for _ in range(200):  # the threshold holds over trainings, not for each
        drawn = pd.DataFrame(rng.normal(size=(115, 4)) @ mixing, columns=list("abcd"))
        found, threshold = distances(training_distribution(drawn[:15], {}), drawn[15:])
        flagged.append((found > threshold).mean())
    assert np.mean(flagged) == pytest.approx(0.025, abs=SAMPLING)


def test_a_distance_does_not_depend_on_units_and_knows_combinations():
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    expected = distances(training_distribution(table, {}), table)
    changed = table.assign(a=table["a"] * 1e8, c=table["a"] + table["b"])
    found = distances(training_distribution(changed, {}), changed)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    assert found[1] == pytest.approx(expected[1])


def test_who_is_outside_is_said_with_the_range():
    variables = {"grade": {"levels": ["1", "2", "3"], "type": "categorical"}}
    training = training_distribution(pd.DataFrame({"grade": [1.0, 2, 2], "size": [1.0, 2, 4]}), variables)
    new = pd.DataFrame({"grade": [3.0, 1, np.nan], "size": [5.0, 4, 1]})
    said = outside(training, new, {"grade": "Grade", "size": "Size (cm)"}).tolist()
    assert said == ["Grade: nobody in training had 3; Size (cm) 5 is outside 1 to 4", "", ""]


STUDY = {
    "title": "Radiomics of response", "seed": 3, "unit": "lesion", "cohorts": {},
    "variables": {
        "response": {"label": "Response", "level": "lesion", "type": "categorical", "levels": ["good", "poor"]},
        "age": {"label": "Age (years)", "level": "patient", "type": "continuous"},
        "grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2", "3"]},
    },
    "endpoints": {"response": {"variable": "response", "event": "poor"}},
    "models": {"fusion": {"endpoint": "response", "extraction": "original", "phase": "arterial"}},
    "images": {"minimum_volume_mm3": 500}, "stability": {"readings": {"reference": "reader1"}},
}  # fmt: skip
PARAMETERS = {"imageType": {"Original": {}}, "setting": {"binWidth": 25}}


@pytest.fixture(scope="module")
def fitted():
    """A protocol of features and variables, fitted to 80 lesions, with its data."""
    rng = np.random.default_rng(5)
    units = pd.MultiIndex.from_tuples(
        [(f"P{n // 2:02}", f"lesion{n % 2}") for n in range(80)], names=["patient", "region"]
    )
    X = pd.DataFrame(rng.normal(10, 3, size=(80, 8)), index=units, columns=[f"original_{n}" for n in range(8)])
    X = X.assign(age=rng.integers(40, 80, 80).astype(float), grade=rng.integers(1, 4, 80).astype(float))
    risk = 0.5 * (X["original_0"] - 10) - 0.4 * (X["original_3"] - 10) + 0.6 * (X["grade"] - 2)
    y = (rng.uniform(size=80) < 1 / (1 + np.exp(-risk))).astype(int)
    lasso, terms = {"folds": 5, "folds_by": "patient", "rule": "lambda.min"}, {"factors": {"grade": ["1", "2", "3"]}}
    steps = [{"zscore": {}}, {"spearman": {}}, {"lasso": lasso}, {"terms": terms}, {"univariable": {"p": 0.5}}]
    steps.append({"logistic": {}})
    protocol = build_protocol(steps, ["age", "grade"], None, 3).fit(X, y)
    return protocol, X, y


@pytest.fixture(scope="module")
def card(fitted):
    protocol, X, y = fitted
    document = {"model": "fusion", "simulated": False} | to_document(protocol)
    shrunken = json.loads(json.dumps(document)) | {"shrinkage": 0.8}
    shrunken["steps"]["logistic"]["coefficients"] = {
        name: 0.8 * value for name, value in document["steps"]["logistic"]["coefficients"].items()
    }
    known = {
        "schemes": pd.DataFrame([{"scheme": "optimism", "score": "fusion", "auc": 0.7, "low": 0.6, "high": 0.8}]),
        "table_one": pd.DataFrame([{"variable": "Patients", "level": "", "overall": "40"}]),
    }
    provenance = {"study": "tiny", "seed": 3, "code": "0", "versions": {"nenflow": "0"}}
    extraction = {"parameters": PARAMETERS, "conformance": "ibsi"}
    return build_card(STUDY, document, shrunken, (X, y), (protocol[:-1].transform(X), y), extraction, known, provenance)


def test_a_card_scores_as_the_model_did_from_what_it_needs_alone(fitted, card, tmp_path):
    protocol, X, _ = fitted
    write_json(card, tmp_path / "card.json")
    read = read_model(tmp_path / "card.json", SCHEMAS)
    needed = inputs_of(read["steps"])
    assert "age" not in needed or "age" in read["variables"]
    assert set(needed) < set(X.columns)
    assert read["features"]["names"] == [name for name in needed if name.startswith("original")]
    pd.testing.assert_frame_equal(scores(protocol_of(read), X[needed]), scores(protocol, X), check_exact=True)
    shrunk = scores(protocol_of(read, shrunk=True), X[needed])["linear_predictor"]
    ours = scores(protocol, X)["linear_predictor"]
    assert np.ptp(shrunk) == pytest.approx(0.8 * np.ptp(ours))


def test_a_card_holds_no_unit(fitted, card):
    _, X, _ = fitted
    text = json.dumps(card)
    assert not any(patient in text for patient in X.index.get_level_values("patient"))
    assert card["cohort"]["units"] == 80
    assert card["cohort"]["patients"] == 40


def test_the_readable_card_says_what_it_is_for(card):
    text = card_text(card)
    assert "not a medical device" in text
    assert f"digest {parameters_digest(PARAMETERS, 'ibsi')}" in text
    assert "Age (years)" in text or "Grade" in text
    assert "corrected for optimism" in text


def test_a_digest_is_that_of_the_content_not_of_the_spelling():
    other = {"setting": {"binWidth": 25}, "imageType": {"Original": {}}}
    assert parameters_digest(other, "ibsi") == parameters_digest(PARAMETERS, "ibsi")
    assert parameters_digest(PARAMETERS, "slicer") != parameters_digest(PARAMETERS, "ibsi")
    assert parameters_digest(PARAMETERS | {"setting": {"binWidth": 20}}, "ibsi") != parameters_digest(
        PARAMETERS, "ibsi"
    )


def refusal(card, tmp_path):
    write_json(card, tmp_path / "card.json")
    with pytest.raises(InputError) as refused:
        read_model(tmp_path / "card.json", SCHEMAS)
    (_, sentence) = str(refused.value).splitlines()
    return sentence


def test_a_changed_card_is_refused_in_one_sentence(card, tmp_path):
    changed = json.loads(json.dumps(card))
    changed["steps"]["logistic"]["intercept"] += 1e-12
    assert "card.json was changed after it was written" in refusal(changed, tmp_path)


def test_a_card_without_its_checksum_is_refused(card, tmp_path):
    assert "'checksum'" in refusal({key: value for key, value in card.items() if key != "checksum"}, tmp_path)


@pytest.mark.parametrize("older", ["nenflow-model-0", None])
def test_a_card_of_another_form_is_refused_in_one_sentence(card, older, tmp_path):
    changed = {key: value for key, value in card.items() if key != "schema"} | ({"schema": older} if older else {})
    sentence = refusal(seal(changed), tmp_path)
    assert (f"has the form '{older}'" if older else "has no key 'schema'") in sentence
    assert "make the file anew" in sentence


def test_a_baseline_tells_of_the_endpoints_times_only():
    X, y = PATIENTS[["size"]], PATIENTS[["time", "event"]]
    protocol = build_protocol([{"cox": {}}], ["size"], None, 1, times=(1, 5, 10)).fit(X, y)
    steps = applied_steps(to_document(protocol))
    assert steps["cox"]["baseline"]["time"] == [1, 5, 10]
    assert steps["cox"]["baseline"]["hazard"][0] == 0
    again = protocol_of({"steps": steps, "variables": ["size"]})
    pd.testing.assert_frame_equal(scores(again, X), scores(protocol, X), check_exact=True)
