import copy
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from nenflow.errors import InputError
from nenflow.study import check_config, load_study

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "workflow" / "schemas"
STUDIES = sorted(path.parent.name for path in ROOT.glob("config/studies/*/study.yaml"))
SURUFATINIB = yaml.safe_load((ROOT / "config/studies/surufatinib/study.yaml").read_text(encoding="utf-8"))


def problems(folder, study):
    folder = folder / "trial"
    for name in ("extraction/wavelet.yaml", "published/fusion.json", "simulation.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    path = folder / "study.yaml"
    path.write_text(study if isinstance(study, str) else yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    try:
        load_study(path, SCHEMAS)
    except InputError as error:
        return [line.removeprefix("- study.yaml, ") for line in str(error).splitlines()[1:]]
    return []


def changed(change):
    study = copy.deepcopy(SURUFATINIB)
    change(study)
    return study


@pytest.mark.parametrize("study", STUDIES)
def test_shipped_studies_are_valid(study):
    assert load_study(ROOT / "config/studies" / study / "study.yaml", SCHEMAS)["title"]


def test_the_shipped_config_is_valid_and_lists_every_study_that_needs_no_download():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    check_config(config, SCHEMAS)
    assert set(config["studies"]) == set(STUDIES) - {"template", "sarcoma"}
    with pytest.raises(InputError, match="'study' is not a known key; known keys are studies"):
        check_config({"study": "surufatinib", "studies": ["surufatinib"]}, SCHEMAS)


TWO_LEVELS = "an endpoint needs a categorical variable of two levels (or three, one named as competing)"


def objects(schema, path=""):
    """Every part of a schema that describes a block of keys, with the place where it stands."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, part in schema.items():
            yield from objects(part, f"{path}/{key}")


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.schema.yaml")), ids=lambda path: path.name.split(".")[0])
def test_schemas_close_every_block_and_describe_every_key(path):
    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    for place, block in objects(schema):
        assert "additionalProperties" in block, f"{place} takes unknown keys"
        assert block["additionalProperties"] is not True
        for key, part in block.get("properties", {}).items():
            assert part.get("description"), f"{place}/{key} has no description"


def test_every_key_is_described_in_the_readme():
    readme = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    for name in ("config", "study", "patients", "lesions", "cases"):
        for _, block in objects(yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))):
            for key in block.get("properties", {}):
                assert f"`{key}`" in readme, f"config/README.md does not describe {key} of {name}"


README_EXAMPLES = re.findall(
    r"`((?:[A-Za-z0-9-]+: )?\{[^`\n]*\})`", (ROOT / "config/README.md").read_text(encoding="utf-8")
)


def test_the_readme_has_examples_of_each_block():
    names = {example.split(":")[0] for example in README_EXAMPLES}
    assert {"development", "ki67", "response"} <= names


@pytest.mark.parametrize("example", README_EXAMPLES)
def test_an_example_of_the_readme_can_be_pasted(example):
    block = yaml.safe_load(example)
    assert isinstance(block, dict)
    if not example.startswith("{"):
        ((_, block),) = block.items()
    assert all(value is not None and value != {} for value in block.values())  # {a} would be a key without value


def test_the_base_of_these_tests_is_valid(tmp_path):
    assert problems(tmp_path, SURUFATINIB) == []


def spoil(*path, value):
    def change(study):
        for key in path[:-1]:
            study = study[key]
        study[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            spoil("models", "fusion", "steps", 2, value={"spearman": {"threshold": 0.9, "thresold": 0.9}}),
            "models/fusion/steps/2/spearman: 'thresold' is not a known key; known keys are threshold, method",
        ),
        (
            spoil("models", "fusion", "steps", 2, value={"spearman": {}}),
            "models/fusion/steps/2/spearman: the key 'threshold' is missing",
        ),
        (
            spoil("models", "fusion", "steps", 0, value={"zscore": {}, "logistic": {}}),
            "models/fusion/steps/0: has 2 keys where only 1 may stand; is a dash missing before the second?",
        ),
        (
            spoil("variables", "sex", "levels", value=[False, "yes"]),
            "variables/sex/levels/0: false (or unquoted no) is not text; put it in quotes",
        ),
        (spoil("variables", "ki67", "levels", value=["a", "b"]), "variables/ki67/levels: does not belong here"),
        (spoil("seed", value="1"), "seed: '1' is not a whole number"),
        (spoil("title", value=None), "title: is empty"),
        (spoil("models", "fusion", value=None), "models/fusion: is empty"),
        (spoil("unit", value="lesions"), "unit: 'lesions' is not allowed; allowed are 'lesion', 'patient'"),
        (
            spoil("cohorts", "development", "cases", value="cases.csv"),
            "cohorts/development: needs either the key simulation or the key patients (with images also cases and "
            "data)",
        ),
        (
            spoil("endpoints", "res_ponse", value={"variable": "response", "event": "ineffective"}),
            "endpoints: 'res_ponse' is not allowed; it must be letters, digits and '-' only",
        ),
        (
            spoil("endpoints", "response", "variable", value="respons"),
            "endpoints/response/variable: 'respons' is not a declared variable; declared are "
            + ", ".join(SURUFATINIB["variables"]),
        ),
        (
            spoil("endpoints", "response", "event", value="yes"),
            "endpoints/response/event: 'yes' is not a declared level; declared are effective, ineffective",
        ),
        (
            spoil("endpoints", "response", "variable", value="ki67"),
            f"endpoints/response/variable: {TWO_LEVELS}",
        ),
        (
            spoil("models", "fusion", "extraction", value="log"),
            "models/fusion/extraction: 'log' is not a declared extraction; declared are wavelet",
        ),
        (
            spoil("models", "fusion", "clinical", value=["nse", "response"]),
            "models/fusion/clinical: 'response' is what the model predicts, so it cannot predict it",
        ),
        (
            spoil("markers", value={"endpoint": "os", "extraction": "wavelet", "phase": "arterial"}),
            "markers/endpoint: 'os' is not a declared endpoint; declared are response",
        ),
        (
            spoil("stability", "readings", value={"reference": "reader1"}),
            "models/fusion/steps: the step stability needs stability/readings with intra or inter, or "
            "stability/perturbation",
        ),
        (
            spoil("stability", "perturbation", value={"repeats": 3, "noise": False}),
            "stability/perturbation: nothing is perturbed; give rotation_degrees, translation, noise or others",
        ),
        (
            spoil("images", "regions", value={"rim": {"kind": "ring", "of": "lesion*"}}),
            "images/regions/rim: the key 'width_mm' is missing",
        ),
        (
            spoil("images", "regions", value={"rim": {"kind": "union", "of": "lesion*", "width_mm": 3}}),
            "images/regions/rim/width_mm: does not belong here",
        ),
        (
            spoil(
                "images", "regions", value={"rim": {"kind": "ring", "of": "lesion*", "width_mm": 3, "inside": "liver"}}
            ),
            "images/regions/rim/inside: 'liver' is not among images/organs",
        ),
        (
            spoil("images", "regions", value={name: {"kind": "union", "of": "l*"} for name in ("all", "l1-all")}),
            "images/regions/l1-all: ends like the region 'all'; choose a name of another end",
        ),
        (
            spoil("images", "analysed", value="burden"),
            "images/analysed: is only for a study whose unit is the patient",
        ),
        (
            spoil("images", "expected", value={"arterial": [100, 0]}),
            "images/expected/arterial: the lowest value must come first",
        ),
        (
            spoil("models", "fusion", "region", value="rim"),
            "models/fusion/region: 'rim' is not a ring under images/regions",
        ),
        (
            spoil("extractions", "wavelet", "phases", value=["venous"]),
            "models/fusion/phase: the extraction 'wavelet' measures only venous",
        ),
        (
            spoil("stability", "readings", "intra", value="reader1"),
            "stability/readings: reference, intra and inter must be different raters",
        ),
        (
            spoil("extractions", "wavelet", "parameters", value="extraction/none.yaml"),
            "extractions/wavelet: the study's folder has no file extraction/none.yaml",
        ),
        (
            spoil("variables", "sex", "levels", value=["None", "male"]),
            "variables/sex/levels: 'None' means a missing value; use another word",
        ),
        (spoil("variables", "ki67", "minimum", value=200), "variables/ki67: the minimum is over the maximum"),
        (lambda study: study.pop("evaluation"), "models: a study with models needs the key 'evaluation'"),
        (
            lambda study: study["models"]["fusion"]["steps"].append({"zscore": {}}),
            "models/fusion/steps: the step zscore stands twice",
        ),
    ],
)
def test_a_mistake_is_said_in_one_sentence(tmp_path, change, sentence):
    assert sentence in problems(tmp_path, changed(change))


def test_steps_must_follow_from_one_another(tmp_path):
    def reverse(study):
        study["models"]["fusion"]["steps"].reverse()

    assert problems(tmp_path, changed(reverse)) == [
        "models/fusion/steps: the step stability must come before lasso",
        "models/fusion/steps: the step zscore must come before lasso",
        "models/fusion/steps: the step spearman must come before lasso",
        "models/fusion/steps: the step univariable must come after lasso",
        "models/fusion/steps: the step backward must come after lasso",
        "models/fusion/steps: logistic must be the last step",
    ]


def test_without_lasso_features_are_chosen_from_themselves(tmp_path):
    def no_lasso(study):
        steps = study["models"]["fusion"]["steps"]
        study["models"]["fusion"]["steps"] = [step for step in steps if "lasso" not in step]
        study["models"]["fusion"]["features"] = ["original_glcm_Imc1"]

    def late(study):
        no_lasso(study)
        study["models"]["fusion"]["steps"].insert(-1, {"combat": {"batch": "sex"}})

    assert problems(tmp_path, changed(no_lasso)) == []
    assert problems(tmp_path, changed(late)) == ["models/fusion/steps: the step combat must come before univariable"]


def test_a_model_of_two_phases_names_features_with_their_phase(tmp_path):
    def two(study):
        study["models"]["fusion"] |= {"phase": ["arterial", "portal"], "features": ["portal_original_glcm_Imc1"]}

    def unnamed(study):
        two(study)
        study["models"]["fusion"]["features"] = ["original_glcm_Imc1"]
        study["extractions"]["wavelet"]["phases"] = ["arterial"]

    assert problems(tmp_path, changed(two)) == []
    assert problems(tmp_path, changed(unnamed)) == [
        "models/fusion/phase: the extraction 'wavelet' measures only arterial",
        "models/fusion/features: 'original_glcm_Imc1' must begin with its phase, such as arterial_original_glcm_Imc1",
    ]
    assert problems(tmp_path, changed(spoil("models", "fusion", "phase", value=3))) == [
        "models/fusion/phase: 3 is not text or a list"
    ]


def test_survival_of_single_features_needs_patients_a_time_and_a_cut_off(tmp_path):
    def survival(study):
        phase = study["models"]["fusion"]["phase"]
        study["markers"] = {"endpoint": "response", "extraction": "wavelet", "phase": phase}
        study["markers"] |= {"features": ["original_glcm_Imc1"], "survival": "response"}

    assert problems(tmp_path, changed(survival)) == [
        "markers/survival: the endpoint 'response' has no time",
        "markers/survival: survival is compared between patients; the study's unit is the lesion",
    ]


def test_all_mistakes_are_listed_at_once(tmp_path):
    def several(study):
        study["seed"] = -1
        study["images"] = {}
        del study["title"]

    assert len(problems(tmp_path, changed(several))) == 3


TABLES = {"patients": "patients.csv", "lesions": "lesions.csv", "cases": "cases.csv", "data": "/data"}


def test_the_tables_of_a_cohort_must_be_there(tmp_path):
    study = changed(spoil("cohorts", "development", value=TABLES))
    missing = "cohorts/development: the study's folder has no file {}.csv"
    assert problems(tmp_path, study) == [missing.format(table) for table in ("patients", "lesions", "cases")]
    for table in ("patients", "cases"):
        (tmp_path / "trial" / f"{table}.csv").touch()
    assert problems(tmp_path, study) == [missing.format("lesions")]
    study["cohorts"]["development"]["lesions"] = "${NENFLOW_NO_SUCH}/lesions.csv"
    assert problems(tmp_path, study) == []
    study["cohorts"]["development"]["lesions"] = str(tmp_path / "lesions.csv")
    assert problems(tmp_path, study) == [
        "cohorts/development: there is no file lesions.csv in the folder that is named"
    ]


def test_variables_of_lesions_need_a_table_of_lesions(tmp_path):
    tables = {key: file for key, file in TABLES.items() if key != "lesions"}
    study = changed(spoil("cohorts", "external", value=tables))
    names = [name for name, variable in SURUFATINIB["variables"].items() if variable["level"] == "lesion"]
    (tmp_path / "trial").mkdir()
    for table in ("patients", "cases"):
        (tmp_path / "trial" / f"{table}.csv").touch()
    assert problems(tmp_path, study) == [
        f"cohorts/external: the key 'lesions' is missing; variables of level lesion: {', '.join(names)}"
    ]


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("title: a\nseed: 1\ntitle: b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"study\.yaml, line 3 is not valid YAML: the key 'title' stands twice"):
        load_study(path, SCHEMAS)


def test_a_missing_study_is_said(tmp_path):
    with pytest.raises(InputError, match=r"The study 'none' has no study\.yaml"):
        load_study(tmp_path / "none" / "study.yaml", SCHEMAS)


# A study of patients and their clinical variables only, one outcome with time and one without.
CLINICAL = {
    "title": "A study without images",
    "seed": 1,
    "strict": False,
    "unit": "patient",
    "cohorts": {"development": {"patients": "patients.csv"}},
    "variables": {
        "status": {
            "label": "Status", "level": "patient", "type": "categorical", "levels": ["alive", "tumour", "other"]
        },
        "months": {"label": "Survival (months)", "level": "patient", "type": "continuous", "minimum": 0},
        "relapse": {"label": "Relapse", "level": "patient", "type": "categorical", "levels": ["no", "yes"]},
        "age": {"label": "Age", "level": "patient", "type": "continuous"},
        "grade": {"label": "Grade", "level": "patient", "type": "categorical", "levels": ["1", "2", "3"]},
    },
    "endpoints": {
        "survival": {
            "variable": "status", "event": "tumour", "competing": "other", "time": "months", "times": [12, 36]
        },
        "relapse": {"variable": "relapse", "event": "yes"},
    },
    "survival": {"survival": {"by": ["grade"], "cutpoints": ["age"]}},
    "models": {
        "death": {
            "endpoint": "survival",
            "clinical": ["age", "grade"],
            "planned": {"parameters": 3, "r2": 0.2},
            "steps": [
                {"terms": {"factors": ["grade"], "splines": {"age": 3}}},
                {"univariable": {"p": 0.1}},
                {"backward": {"criterion": "aic"}},
                {"cox": {"ties": "breslow"}},
            ],
        },
        "again": {
            "endpoint": "relapse",
            "clinical": ["age", "grade"],
            "missing": "impute",
            "imputations": 5,
            "planned": {"c": 0.8},
            "steps": [{"forward": {"p": 0.1}}, {"logistic": {}}],
        },
    },
    "evaluation": {"resamples": 20, "resamples_per_job": 10},
}  # fmt: skip
DECLARED = ", ".join(CLINICAL["variables"])


def clinical(folder, *changes):
    """The mistakes of the clinical study after changes of it."""
    study = copy.deepcopy(CLINICAL)
    for change in changes:
        change(study)
    (folder / "trial").mkdir(exist_ok=True)
    (folder / "trial" / "patients.csv").touch()
    return problems(folder, study)


def drop(*path):
    def change(study):
        for key in path[:-1]:
            study = study[key]
        del study[path[-1]]

    return change


TABLE = {"table": "patients.csv", "columns": {"patient": "ID"}, "fixed": {"phase": "arterial"}}
MARKERS = {"endpoint": "relapse", "extraction": "own", "phase": "arterial"}


def brought(**settings):
    """Turn a clinical study into one whose features come from a table."""

    def change(study):
        study["extractions"] = {"own": {**TABLE, **settings}}
        study["markers"] = MARKERS

    return change


def test_a_study_whose_features_come_from_a_table_is_valid(tmp_path):
    assert clinical(tmp_path, brought()) == []
    study = load_study(tmp_path / "trial/study.yaml", SCHEMAS)
    assert study["stability"] == {"readings": {"reference": "reader"}}  # where nobody is named, there is one rater


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (brought(parameters="patients.csv"), "extractions/own: needs either the key parameters or the key table "),
        (
            brought(fixed={"patient": "P1"}),
            "extractions/own/fixed: 'patient' is not a known key; known keys are phase, ",
        ),
        (brought(fixed={"patients": "P1"}), "extractions/own/fixed: 'patients' is not a known key"),
        (brought(table="none.csv"), "extractions/own: the study's folder has no file none.csv"),
        (brought(table="{patient}.tsv", columns={"region": "R"}), "extractions/own: the study's folder has no file "),
        (brought(table="{patient}s.csv"), "extractions/own: says the patient twice"),
        (brought(segments="*_{region}"), "extractions/own: columns are for a table with a row per case, segments for "),
        (brought(table="{reader}s.csv"), "extractions/own/table: {reader} is not known; known are patient, phase, "),
        (
            lambda study: brought()(study) or study["cohorts"].update(other={"patients": "patients.csv"}),
            "extractions/own/table: the study has several cohorts, so its name needs {cohort}",
        ),
        (
            lambda study: brought()(study) or study.update(images={"minimum_volume_mm3": 1}),
            "images: the features come from tables (extractions), so the study has no images",
        ),
        (
            lambda study: brought()(study) or study["extractions"].update(two={"parameters": "patients.csv"}),
            "extractions/two: the other extractions have tables, so this one needs the key 'table' too",
        ),
        (
            lambda study: brought()(study) or study["cohorts"]["development"].update(data="/data"),
            "cohorts/development/data: the study has no images, so it has no use",
        ),
        (
            lambda study: brought()(study) or study.update(cohorts={"development": {"simulation": "simulation.yaml"}}),
            "cohorts/development/simulation: a simulated cohort has no feature table made elsewhere",
        ),
        (
            lambda study: (
                brought()(study)
                or study.update(
                    stability={"readings": {"reference": "a"}, "perturbation": {"repeats": 2, "noise": True}}
                )
            ),
            "stability/perturbation: only regions in images can be perturbed, and this study has none",
        ),
    ],
)
def test_mistakes_about_a_feature_table_are_said(tmp_path, change, sentence):
    found = clinical(tmp_path, change)
    assert any(problem.startswith(sentence) for problem in found), found


def test_a_study_without_images_is_valid(tmp_path):
    assert clinical(tmp_path) == []
    # whatever is not needed may be left out
    for key in ("survival", "models"):
        assert clinical(tmp_path, drop(key)) == []
    assert clinical(tmp_path, spoil("models", "death", "clinical", value=["age", "grade", "relapse"])) == []


ENDPOINT, DEATH, AGAIN = ("endpoints", "survival"), ("models", "death"), ("models", "again")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        # without images
        (
            spoil("extractions", value={"wavelet": {"parameters": "patients.csv"}}),
            "extractions: a study with images needs the keys images, stability too; one without has none of them",
        ),
        (
            spoil("images", value={"minimum_volume_mm3": 1}),
            "images: a study with images needs the keys extractions, stability too; one without has none of them",
        ),
        (
            spoil("unit", value="lesion"),
            "unit: a study without images has patients as its units",
        ),
        (
            spoil("markers", value={"endpoint": "relapse", "extraction": "wavelet", "phase": "arterial"}),
            "markers: single features are of images, and this study has none",
        ),
        (
            spoil("cohorts", "development", "data", value="/data"),
            "cohorts/development/data: the study has no images, so it has no use",
        ),
        (
            spoil("cohorts", "development", "cases", value="patients.csv"),
            "cohorts/development/cases: the study has no images, so it has no use",
        ),
        (
            lambda study: study["models"]["death"].update(extraction="wavelet", phase="arterial"),
            "models/death/extraction: the study has no images",
        ),
        (
            spoil(*DEATH, "steps", 1, value={"zscore": {}}),
            "models/death/steps: the step zscore needs image features, and the model has no extraction",
        ),
        (
            spoil(*AGAIN, "steps", 0, value={"lasso": {"folds": 5, "folds_by": "patient", "rule": "lambda.min"}}),
            "models/again/steps: the step lasso needs image features, and the model has no extraction",
        ),
        (
            spoil(*DEATH, "clinical", value=[]),
            "models/death/clinical: is empty, and the model has no image features either",
        ),
        # endpoints with time
        (
            drop(*ENDPOINT, "times"),
            "endpoints/survival: the key 'times' is missing; it is needed beside 'time'",
        ),
        (
            lambda study: [study["endpoints"]["survival"].pop(key) for key in ("time", "competing")],
            "endpoints/survival: the key 'time' is missing; it is needed beside 'times'",
        ),
        (
            spoil("endpoints", "relapse", "competing", value="no"),
            "endpoints/relapse: the key 'time' is missing; it is needed beside 'competing'",
        ),
        (
            spoil(*ENDPOINT, "time", value="month"),
            f"endpoints/survival/time: 'month' is not a declared variable; declared are {DECLARED}",
        ),
        (spoil(*ENDPOINT, "time", value="grade"), "endpoints/survival/time: 'grade' is not continuous"),
        (spoil(*ENDPOINT, "times", value=[36, 12]), "endpoints/survival/times: must rise"),
        (spoil(*ENDPOINT, "times", value=[]), "endpoints/survival/times: must not be empty"),
        (spoil(*ENDPOINT, "times", value=[12, 12]), "endpoints/survival/times: the same entry stands twice"),
        (spoil(*ENDPOINT, "times", value=[0, 12]), "endpoints/survival/times/0: 0 must be over 0"),
        (spoil(*ENDPOINT, "times", value="12"), "endpoints/survival/times: '12' is not a list"),
        (
            spoil(*ENDPOINT, "competing", value="else"),
            "endpoints/survival/competing: 'else' is not a declared level; declared are alive, tumour, other",
        ),
        (
            spoil(*ENDPOINT, "competing", value="tumour"),
            "endpoints/survival/competing: 'tumour' is the event itself",
        ),
        (
            drop(*ENDPOINT, "competing"),
            f"endpoints/survival/variable: {TWO_LEVELS}",
        ),
        (
            spoil(*ENDPOINT, "variable", value="relapse"),
            "endpoints/survival/variable: an endpoint needs a categorical variable of three levels (none, the event, "
            "the competing one)",
        ),
        # the last step
        (
            spoil(*DEATH, "steps", 3, value={"logistic": {}}),
            "models/death/steps: the endpoint 'survival' is a time-to-event outcome; its last step is cox, not "
            "logistic",
        ),
        (
            spoil(*AGAIN, "steps", 1, value={"cox": {}}),
            "models/again/steps: the endpoint 'relapse' is an outcome without time; its last step is logistic, not cox",
        ),
        (lambda study: study["models"]["death"]["steps"].pop(), "models/death/steps: the step cox is missing"),
        (
            lambda study: study["models"]["again"]["steps"].reverse(),
            "models/again/steps: logistic must be the last step",
        ),
        (
            spoil(*DEATH, "steps", 3, value={"cox": {"ties": "exact"}}),
            "models/death/steps/3/cox/ties: 'exact' is not allowed; allowed are 'efron', 'breslow'",
        ),
        (
            spoil(*DEATH, "steps", 3, value={"cox": {"strata": "age"}}),
            "models/death/steps/cox/strata: 'age' is not categorical",
        ),
        (
            spoil(*DEATH, "steps", 3, value={"cox": {"strata": "grade"}}),
            "models/death/steps/cox/strata: 'grade' is a clinical variable of the model; it cannot be both",
        ),
        # how variables enter
        (
            spoil(*DEATH, "steps", 0, value={"terms": {"factors": ["grades"]}}),
            f"models/death/steps/terms: 'grades' is not a declared variable; declared are {DECLARED}",
        ),
        (
            spoil(*DEATH, "steps", 0, value={"terms": {"factors": ["relapse"]}}),
            "models/death/steps/terms: 'relapse' is not among the model's clinical variables",
        ),
        (
            spoil(*DEATH, "steps", 0, value={"terms": {"splines": {"months": 3}}}),
            "models/death/steps/terms: 'months' is not among the model's clinical variables",
        ),
        (
            spoil(*DEATH, "steps", 0, value={"terms": {"splines": {"age": 8}}}),
            "models/death/steps/0/terms/splines/age: 8 must be at most 7",
        ),
        (spoil(*DEATH, "steps", 0, value={"terms": {}}), "models/death/steps/0/terms: must not be empty"),
        (
            spoil(*DEATH, "steps", 2, value={"backward": {"p": 0.1, "criterion": "aic"}}),
            "models/death/steps/2/backward: has 2 keys where only 1 may stand; is a dash missing before the second?",
        ),
        (
            spoil(*DEATH, "clinical", value=["age", "grade", "months"]),
            "models/death/clinical: 'months' is what the model predicts, so it cannot predict it",
        ),
        (
            spoil(*DEATH, "steps", 0, value={"terms": {"factors": ["age"]}}),
            "models/death/steps/terms/factors: 'age' is not categorical",
        ),
        (
            spoil(*DEATH, "steps", 0, value={"terms": {"splines": {"grade": 3}}}),
            "models/death/steps/terms/splines: 'grade' is not continuous",
        ),
        # missing values
        (
            drop(*AGAIN, "imputations"),
            "models/again/imputations: belongs to missing: impute, and is needed there",
        ),
        (
            spoil(*AGAIN, "missing", value="complete"),
            "models/again/imputations: belongs to missing: impute, and is needed there",
        ),
        (
            drop(*AGAIN, "missing"),
            "models/again: the key 'missing' is missing; it is needed beside 'imputations'",
        ),
        (spoil(*AGAIN, "imputations", value=1), "models/again/imputations: 1 must be at least 2"),
        (
            spoil(*AGAIN, "steps", 0, value={"forward": {"criterion": "aic"}}),
            "models/again/steps/forward: imputed values have no common likelihood for aic; select by p",
        ),
        # what was planned
        (
            spoil(*DEATH, "planned", value={"c": 0.8}),
            "models/death/planned: c is for an outcome without time, and stands instead of r2",
        ),
        (
            spoil(*AGAIN, "planned", value={"c": 0.8, "r2": 0.1}),
            "models/again/planned: c is for an outcome without time, and stands instead of r2",
        ),
        (spoil(*AGAIN, "planned", value={"c": 0.5}), "models/again/planned/c: 0.5 must be over 0.5"),
        (spoil(*AGAIN, "planned", value={}), "models/again/planned: must not be empty"),
        # curves by group
        (
            spoil("survival", value={"death": {}}),
            "survival/death: 'death' is not a declared endpoint; declared are survival, relapse",
        ),
        (spoil("survival", value={"relapse": {}}), "survival/relapse: the endpoint has no time"),
        (spoil("survival", "survival", "by", value=["age"]), "survival/survival/by: 'age' is not categorical"),
        (
            spoil("survival", "survival", "cutpoints", value=["grade"]),
            "survival/survival/cutpoints: 'grade' is not continuous",
        ),
        (
            spoil("survival", "survival", "by", value=["sex"]),
            f"survival/survival/by: 'sex' is not a declared variable; declared are {DECLARED}",
        ),
        (spoil("survival", "survival", "by", value=["status"]), "survival/survival/by: 'status' is the outcome itself"),
        (
            spoil("survival", "survival", "cutpoints", value=["months"]),
            "survival/survival/cutpoints: 'months' is the outcome itself",
        ),
        (
            spoil("survival", "survival", "groups", value=["grade"]),
            "survival/survival: 'groups' is not a known key; known keys are by, medians, cutpoints",
        ),
    ],
)  # fmt: skip
def test_a_mistake_of_a_clinical_study_is_said_in_one_sentence(tmp_path, change, sentence):
    found = clinical(tmp_path, change)
    assert sentence in found
    assert [line.split(": ")[0] for line in found].count(sentence.split(": ")[0]) == 1  # said once


def test_survival_is_compared_between_patients(tmp_path):
    """Lesions of one patient share its survival: groups of lesions would count a patient several times."""
    study = changed(lambda study: study["variables"].update(copy.deepcopy(CLINICAL["variables"])))
    study["endpoints"]["survival"] = CLINICAL["endpoints"]["survival"]
    study["variables"]["site"] = {"label": "Site", "level": "lesion", "type": "categorical", "levels": ["a", "b"]}
    study["survival"] = {"survival": {"by": ["site"]}}
    assert problems(tmp_path, study) == [
        "survival/survival/by: 'site' belongs to lesions; survival is compared between patients"
    ]
    study["survival"] = {"survival": {"by": ["grade"]}}
    study["variables"]["months"]["level"] = "lesion"
    assert problems(tmp_path, study) == [
        "survival/survival: 'months' belongs to lesions; survival is compared between patients"
    ]


def test_images_and_clinical_models_go_together(tmp_path):
    """A study with images may have a model of clinical variables only, and one that has not may not use features."""
    study = changed(lambda study: study["variables"].update(copy.deepcopy(CLINICAL["variables"])))
    study["models"]["again"] = {**CLINICAL["models"]["again"], "endpoint": "response", "clinical": ["age", "grade"]}
    assert problems(tmp_path, study) == []
    study["models"]["again"]["steps"] = [{"stability": {"form": "ICC2", "threshold": 0.75}}, {"logistic": {}}]
    assert problems(tmp_path, study) == [
        "models/again/steps: the step stability needs image features, and the model has no extraction"
    ]


def test_a_cohort_of_a_study_with_images_needs_its_cases(tmp_path):
    study = changed(spoil("cohorts", "development", value={"patients": "patients.csv", "lesions": "patients.csv"}))
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "patients.csv").touch()
    assert problems(tmp_path, study) == [
        "cohorts/development: the key 'cases' is missing; the study has images",
        "cohorts/development: the key 'data' is missing; the study has images",
    ]


def test_what_is_left_out_is_a_variable_of_patients_that_no_model_knows(tmp_path):
    def left_out(name):
        return problems(tmp_path, changed(lambda study: study["evaluation"].update(folds=10, leave_out=name)))

    assert left_out("hospital")[0].startswith("evaluation/leave_out: 'hospital' is not a declared variable")
    uses = "evaluation/leave_out: the model 'fusion' uses '{}', and would not know a level that was left out"
    assert left_out("sex") == [uses.format("sex")]
    kind = "evaluation/leave_out: '{}' is not a categorical variable of patients"
    assert left_out("age") == [kind.format("age"), uses.format("age")]
    assert left_out("response") == [kind.format("response"), uses.format("response")]


def test_schemes_of_validation_name_what_there_is(tmp_path):
    def asked(**evaluation):
        return problems(tmp_path, changed(lambda study: study["evaluation"].update(evaluation)))

    assert asked(folds=5, repeats=2, temporal={"variable": "age", "from": 60}) == []
    study = changed(lambda study: study["evaluation"].pop("folds"))
    study["evaluation"]["repeats"] = 3
    lacking = "evaluation/repeats: it is folds that are dealt repeatedly; the key 'folds' is missing"
    assert problems(tmp_path, study) == [lacking]
    where = "evaluation/temporal/variable: "
    assert asked(temporal={"variable": "year", "from": 1})[0].startswith(f"{where}'year' is not a declared variable")
    kind = where + "'{}' is not a continuous variable of patients that the table has"
    assert asked(temporal={"variable": "sex", "from": 1}) == [kind.format("sex")]
    assert asked(temporal={"variable": "diameter", "from": 1}) == [kind.format("diameter")]
    assert asked(external="elsewhere") == [
        "evaluation/external: 'elsewhere' is no cohort beside development; declare one under cohorts"
    ]
    assert asked(external="development")[0].startswith("evaluation/external: 'development' is no cohort beside")

    def other_cohort(study):
        study["cohorts"]["elsewhere"] = {"simulation": "simulation.yaml"}
        study["evaluation"]["external"] = "elsewhere"

    assert problems(tmp_path, changed(other_cohort)) == []

    def called_as_a_scheme(study):
        study["variables"]["folds"] = {
            "label": "Folds",
            "level": "patient",
            "type": "categorical",
            "levels": ["a", "b"],
        }
        study["evaluation"]["leave_out"] = "folds"

    (collides,) = problems(tmp_path, changed(called_as_a_scheme))
    assert collides.startswith("evaluation/leave_out: 'folds' is what another scheme of validation is called")


def by_patient(**images):
    def change(study):
        study["unit"] = "patient"
        for variable in study["variables"].values():
            variable["level"] = "patient"
        study["images"] |= images

    return change


def test_regions_are_put_together_where_it_is_said_which_and_how(tmp_path):
    assert problems(tmp_path, changed(by_patient(analysed="lesion*", aggregate="largest"))) == []
    lacking = problems(tmp_path, changed(by_patient(aggregate="largest")))
    assert lacking == ["images/analysed: is missing; it says which drawn regions images/aggregate puts together"]
    assert problems(tmp_path, changed(by_patient(analysed="lesion*"))) == [
        "images/analysed: 'lesion*' is not a union or rest under images/regions; for drawn regions, say under "
        "images/aggregate how their features are put together"
    ]
    (organ,) = problems(tmp_path, changed(by_patient(analysed="liver", aggregate="mean", organs=["liver"])))
    assert organ == "images/aggregate: is for drawn regions, and 'liver' is an organ or a computed one"

    def with_ring(study):
        by_patient(analysed="lesion*", aggregate="mean", regions={"rim": {"kind": "ring", "of": "l*", "width_mm": 5}})(
            study
        )
        study["models"]["fusion"]["region"] = "rim"

    (ring,) = problems(tmp_path, changed(with_ring))
    assert ring == "models/fusion/region: a ring belongs to one lesion; it has no place beside images/aggregate"


def measured_as(**keys):
    rule = {"measure": "volume", "of": "lesion*", "phase": "arterial"}
    variable = {"label": "Volume (mL)", "level": "patient", "type": "continuous", "measured": rule} | keys
    return changed(lambda study: study["variables"].update(volume=variable))


def test_a_measured_variable_is_a_number_of_the_patient(tmp_path):
    assert problems(tmp_path, measured_as()) == []
    assert problems(tmp_path, measured_as(level="lesion"))[0] == (
        "variables/volume/measured: what is measured in the images belongs to the patient (level: patient)"
    )
    assert problems(tmp_path, measured_as(minimum=0)) == [
        "variables/volume/minimum: is for entries of a table; what is measured is what it is"
    ]
    (kind,) = problems(tmp_path, measured_as(type="categorical", levels=["a", "b"]))
    assert kind == "variables/volume/measured: does not belong here"
    rule = {"measure": "mode", "of": "lesion*", "phase": "arterial"}
    (unknown,) = problems(tmp_path, measured_as(measured=rule))
    assert unknown.endswith("'mode' is not allowed; allowed are 'volume', 'mean', 'maximum', 'peak'")


def evaluated(**settings):
    def change(study):
        study["evaluation"].update(settings)

    return change


def test_the_level_of_chance_is_asked_for_by_default(tmp_path):
    assert clinical(tmp_path) == []
    evaluation = load_study(tmp_path / "trial/study.yaml", SCHEMAS)["evaluation"]
    assert (evaluation["permutations"], evaluation["permutations_per_job"]) == (200, 100)
    assert clinical(tmp_path, evaluated(permutations=20)) == []  # fewer than a job would do
    assert load_study(tmp_path / "trial/study.yaml", SCHEMAS)["evaluation"]["permutations_per_job"] == 20


def test_resamples_fill_their_jobs(tmp_path):
    """A shorter last job would have to be done again when more resamples are asked for."""
    (found,) = clinical(tmp_path, evaluated(resamples=25))
    assert found == (
        "evaluation/resamples: 25 cannot be shared out in jobs of 10; make it a multiple of 10, or set "
        "resamples_per_job to a number that divides it"
    )
    (found,) = clinical(tmp_path, evaluated(permutations=30, permutations_per_job=20))
    assert found.startswith("evaluation/permutations: 30 cannot be shared out in jobs of 20; make it a multiple of 20")


def test_limits_of_risk_categories_rise(tmp_path):
    assert clinical(tmp_path, evaluated(categories=[0.1, 0.3])) == []
    assert clinical(tmp_path, evaluated(categories=[0.3, 0.1])) == ["evaluation/categories: must rise"]
    (found,) = clinical(tmp_path, evaluated(categories=[0.3, 1]))
    assert found.startswith("evaluation/categories/1: 1")
