"""The methods text: true of the study, with references that exist, for people and for reference managers."""

import copy
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nenflow.report.deviations import deviations
from nenflow.report.methods import (
    bibtex,
    cited,
    methods_paragraphs,
    methods_text,
    numbered,
    read_references,
    reference_text,
)
from nenflow.study import load_study

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ["surufatinib", "everolimus", "lms", "pnec", "prrt"]
REFERENCES = read_references()
VERSIONS = {"nenflow": "0.1.0", "Python": "3.11.7", "pyradiomics-bhklab": "3.1.4", "snakemake": "9.27.1"}
CODE = [ROOT / "workflow/lib/nenflow/report" / f"{name}.py" for name in ("methods", "methods_images", "methods_models")]


def shipped(name):
    return load_study(ROOT / f"config/studies/{name}/study.yaml", ROOT / "workflow/schemas")


def parameter_files(name, study):
    files = {key: block["parameters"] for key, block in study.get("extractions", {}).items()}
    return {
        key: yaml.safe_load((ROOT / f"config/studies/{name}" / file).read_text(encoding="utf-8"))
        for key, file in files.items()
    }


def text_of(name, change=lambda study: None, results=None):
    study = shipped(name)
    change(study)
    paragraphs = methods_paragraphs(study, results or {}, VERSIONS, parameter_files(name, study))
    return "\n".join(text for _, text in paragraphs)


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ("surufatinib", "voxels of 1 × 1 × 1 mm by cubic B-spline interpolation"),
        ("surufatinib", "fixed bin width of 25"),
        ("surufatinib", "its wavelet decompositions (coif1)"),
        ("surufatinib", "ICC(2,1), absolute agreement, was at least 0.75"),
        ("surufatinib", "rank correlation above 0.9, the later"),
        ("surufatinib", "smallest deviance in 10-fold cross-validation splitting lesions"),
        ("surufatinib", "backward elimination, by p < 0.05"),
        ("surufatinib", "1,000 resamples of patients"),
        ("surufatinib", "The parameter file also set padDistance 5."),
        ("surufatinib", "cross-validated in 10 folds of patients, repeated 5 times"),
        ("surufatinib", "pyradiomics (distribution pyradiomics-bhklab 3.1.4)"),
        ("everolimus", "87 of “<=11 months” and 90 of “>11 months” grown by ADASYN"),
        ("everolimus", "Student's t test"),
        ("lms", "Fine and Gray's model"),
        ("lms", "each effect divided by the smallest one"),
        ("lms", "Each level of Hospital was left out once"),
        ("pnec", "time-dependent AUC at 12, 36 and 60 months"),
        ("pnec", "Published models (“nomogram”) were applied"),
        ("prrt", "hottest sphere of 1 mL"),
        ("prrt", "voxels of 4 × 4 × 4 mm"),
        ("prrt", "intensities of at least 0"),
    ],
)
def test_the_text_says_what_the_settings_say(study, said):
    assert said in text_of(study)


@pytest.mark.parametrize(
    ("study", "unsaid"),
    [
        ("surufatinib", "Cox"), ("surufatinib", "ADASYN"), ("surufatinib", "ComBat"), ("surufatinib", "Rubin"),
        ("surufatinib", "Kaplan"), ("everolimus", "LASSO"), ("lms", "pyradiomics"), ("lms", "segment"),
        ("lms", "CLEAR"), ("pnec", "Fine and Gray"), ("pnec", "score of whole points"), ("prrt", "DeLong"),
        ("prrt", "segmented again"), ("prrt", "SlicerRadiomics"),
    ],
)  # fmt: skip
def test_nothing_is_said_that_a_study_does_not_do(study, unsaid):
    assert unsaid not in text_of(study)


def _step(name, **options):
    def change(study):
        for model in study["models"].values():
            for step in model["steps"]:
                if name in step:
                    step[name] = {**(step[name] or {}), **options}

    return change


def _insert(**step):
    def change(study):
        study["models"]["fusion"]["steps"].insert(0, step)

    return change


def _imputed(study):
    study["models"]["nomogram"] |= {"missing": "impute", "imputations": 7}


def _perturbed(study):
    study["stability"]["perturbation"] = {"repeats": 3, "rotation_degrees": 4, "contour": True}


COMPARED = {"evaluation/comparisons.csv": pd.DataFrame({"first": ["nomogram"], "second": ["published_nomogram"]})}
READ = {"stability/development/wavelet.csv": pd.DataFrame({"feature": ["a"], "n": [46]})}


@pytest.mark.parametrize(
    ("study", "change", "results", "said", "key"),
    [
        ("surufatinib", _step("lasso", rule="lambda.1se"), {}, "within one standard error", "Friedman2010"),
        ("surufatinib", _step("lasso", alpha=0.5), {}, "elastic net (mixing parameter 0.5)", "Friedman2010"),
        ("surufatinib", _step("lasso", oversample={"method": "smote"}), {}, "balanced by SMOTE", "Chawla2002"),
        ("surufatinib", _insert(combat={"batch": "sex"}), {}, "removed by ComBat", "Johnson2007"),
        ("surufatinib", _perturbed, READ, "perturbed 3 times", "Zwanenburg2019"),
        ("pnec", lambda study: None, COMPARED, "Models of one endpoint were compared", "Pencina2008"),
        ("pnec", _imputed, {}, "imputed 7 times", "Rubin1987"),
        ("pnec", _step("cox", ties="breslow"), {}, "Breslow's method", "Breslow1974"),
        ("pnec", _step("cox", robust=True), {}, "lesions of a patient together", "Lin1989"),
    ],
)
def test_other_settings_change_the_sentence_and_its_citation(study, change, results, said, key):
    settings = shipped(study)
    change(settings)
    paragraphs = methods_paragraphs(settings, results, VERSIONS, parameter_files(study, settings))
    assert said in "\n".join(text for _, text in paragraphs)
    assert key in cited(paragraphs)
    assert said not in text_of(study)


def test_every_citation_has_a_reference_and_every_reference_a_sentence():
    keys = {key for file in CODE for key in re.findall(r"@([A-Za-z]+\d{4})", file.read_text(encoding="utf-8"))}
    assert keys == set(REFERENCES)


@pytest.mark.parametrize("key", sorted(REFERENCES))
def test_a_reference_has_what_finds_it(key):
    """Year as in the key; authors as Vancouver has them; an article with volume and pages; a DOI that can be one."""
    entry = REFERENCES[key]
    assert key.endswith(str(entry["year"]))
    assert all(author == "et al" or re.search(r" [A-Z]{1,4}( Jr)?$", author) for author in entry["authors"])
    if "journal" in entry:
        assert {"volume", "pages"} <= set(entry)
    assert re.fullmatch(r"10\.\d{4,}/\S+", entry.get("doi", "10.1000/none"))


def test_no_two_references_are_the_same():
    dois = [entry["doi"] for entry in REFERENCES.values() if "doi" in entry]
    assert len(set(dois)) == len(dois)


def test_references_are_printed_as_journals_do():
    assert reference_text(REFERENCES["vanGriethuysen2017"]) == (
        "van Griethuysen JJM, Fedorov A, Parmar C, et al. Computational radiomics system to decode the radiographic "
        "phenotype. Cancer Research. 2017;77(21):e104-e107. doi:10.1158/0008-5472.CAN-17-0339"
    )
    assert reference_text(REFERENCES["Harrell2015"]).startswith("Harrell FE. Regression modeling strategies. 2nd ed.")


def test_bibtex_can_be_read_by_a_reference_manager():
    entry = bibtex(["vanGriethuysen2017", "Harrell2015", "He2008", "Pencina2008"], REFERENCES)
    assert entry.count("{") == entry.count("}")
    assert re.findall(r"^@(\w+)\{(\w+),$", entry, re.MULTILINE) == [
        ("book", "Harrell2015"), ("inproceedings", "He2008"), ("article", "Pencina2008"),
        ("article", "vanGriethuysen2017"),
    ]  # fmt: skip
    assert "author = {van Griethuysen, J. J. M. and Fedorov, A. and Parmar, C. and others}," in entry
    assert "D'Agostino, Jr, R. B." in entry
    assert "pages = {e104--e107}," in entry


def test_numbers_follow_the_first_mention():
    paragraphs = [("One", "First [@Cox1972] and [@Efron1977; @Cox1972]."), ("Two", "Then [@Aalen1978].")]
    assert numbered(paragraphs) == [("One", "First [1] and [2, 1]."), ("Two", "Then [3].")]
    text = methods_text(paragraphs, REFERENCES, ["Another scanner."], simulated=True)
    assert text.startswith("SIMULATED DATA")
    assert "Deviations from the published protocol\n- Another scanner.\n" in text
    assert [line[:9] for line in text.splitlines() if line.startswith("[")] == ["[1] Cox D", "[2] Efron", "[3] Aalen"]


def test_scans_are_described_by_their_headers_and_simulated_ones_as_such():
    scan = {"Modality": "CT", "Manufacturer": "A", "KVP": 100.0, "SliceThickness": 1.5, "spacing_mm": [0.8, 0.8, 1.0]}
    found = {
        "images/development/P1/arterial.json": scan,
        "images/development/P2/arterial.json": scan | {"KVP": 120.0, "Manufacturer": "B"},
    }
    text = text_of("surufatinib", results=found)
    assert (
        "acquired by computed tomography (CT) on scanners of A and B, at a tube voltage of 100 to 120 kV, with slices "
        "1.5 mm thick and 1 mm apart." in text
    )
    made_up = {name: content | {"simulated": True} for name, content in found.items()}
    text = text_of("surufatinib", results=made_up)
    assert "Images were simulated as computed tomography (CT)" in text
    assert "scanners" not in text


def test_images_that_were_no_dicom_files_are_not_called_such():
    named = {"images/development/P1/arterial.json": {"Modality": "CT"}}
    assert "DICOM series were read" in text_of("surufatinib", results=named)
    assert "DICOM series" not in text_of("surufatinib", results={"images/development/P1/arterial.json": {}})


@pytest.mark.parametrize("name", SHIPPED)
def test_texts_of_the_shipped_studies_are_whole_sentences(name):
    study = shipped(name)
    for heading, text in methods_paragraphs(study, {}, VERSIONS, parameter_files(name, study)):
        assert text.endswith("."), heading
        assert not re.search(r"None|\{|\}|  |\.\.|nan| ,|\( ", text), text


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_state_their_deviations(name):
    """Each assumption marked in a study's settings or extraction has its sentence in the statement."""
    folder = ROOT / "config/studies" / name
    stated = " ".join(deviations(shipped(name)))
    texts = [path.read_text(encoding="utf-8") for path in [folder / "study.yaml", *folder.glob("extraction/*.yaml")]]
    words = {"ICC(2,1)": "ICC(2,1)", "p < 0.10": "p < 0.10", "six candidates": "six candidates", "3 mm": "3 mm",
             "1 SUV": "1 SUV", "SlicerRadiomics": "SlicerRadiomics"}  # fmt: skip
    for assumption in re.findall(r"ASSUME (.*)", "\n".join(texts)):
        assert any(word in assumption and said in stated for word, said in words.items()), assumption
    assert "simulated" in stated


def test_deviations_follow_from_settings_too():
    study = copy.deepcopy(shipped("prrt"))
    assert any("follow the standard (IBSI)" in line for line in deviations(study))
    study["extractions"]["pet"]["conformance"] = "slicer"
    assert not any("follow the standard (IBSI)" in line for line in deviations(study))
    del study["deviations"]
    assert deviations(study) == []
