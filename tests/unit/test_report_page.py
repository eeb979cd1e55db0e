import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browser import assert_sound, needs_browser, width_taken
from nenflow.documents import write_json
from nenflow.evaluation.decision import decision_curve
from nenflow.evaluation.discrimination import performance, roc_curve
from nenflow.models.nomogram import nomogram
from nenflow.report.drawing import JOURNAL
from nenflow.report.page import Fold, Printed, Section, Text, render_page, report_context, save_blocks
from nenflow.report.results import read_results, software_versions
from nenflow.report.sections import is_simulated, report_sections, study_summary
from nenflow.report.sections_honest import honest_sentences
from nenflow.report.tables import estimates
from nenflow.tables import write_table

TEMPLATES = Path(__file__).resolve().parents[2] / "workflow" / "report"
NASTY = '<script>alert("1")</script> & <b>bold</b>'
SECTIONS = ["flow", "table-1", "table-2", "pictures", "stability", "chain", "lasso", "odds", "nomogram",
            "roc", "calibration", "decision", "honest", "validation", "limits", "methods",
            "checklists", "versions"]  # fmt: skip

STUDY = {
    "title": f"Response {NASTY}",
    "notes": ["The published formula has no intercept.", NASTY],
    "seed": 7,
    "unit": "lesion",
    "cohorts": {"development": {"simulation": "simulation.yaml"}},
    "variables": {
        "response": {
            "label": "Response", "level": "lesion", "type": "categorical", "levels": ["effective", "ineffective"],
        },
        "ki67": {"label": f"Ki-67 {NASTY}", "level": "patient", "type": "continuous"},
        "number": {
            "label": "Number", "level": "patient", "type": "categorical", "levels": ["oligo", "multiple", "diffuse"],
        },
    },
    "endpoints": {"response": {"variable": "response", "event": "ineffective"}},
    "images": {"minimum_volume_mm3": 500},
    "extractions": {"wavelet": {"parameters": "extraction/wavelet.yaml", "conformance": "slicer"}},
    "stability": {"readings": {"reference": "reader1", "intra": "reader1-again", "inter": "reader2"}},
    "models": {
        "fusion": {
            "endpoint": "response", "extraction": "wavelet", "phase": "arterial", "clinical": ["ki67", "number"],
            "steps": [
                {"stability": {"form": "ICC2", "threshold": 0.75}},
                {"lasso": {"folds": 10, "folds_by": "lesion", "rule": "lambda.min"}},
                {"logistic": {}},
            ],
        }
    },
    "evaluation": {"resamples": 1000, "resamples_per_job": 100},
}  # fmt: skip


def png(width=900, height=600):
    picture = io.BytesIO()
    Image.new("L", (width, height), 90).save(picture, "PNG")
    return picture.getvalue()


def cohort_results():
    """Results of the stages before the models, in the shapes that they write."""
    flow = pd.DataFrame(
        [("declared", 7, 10, 0, 0, ""), ("images", 6, 8, 1, 2, NASTY), ("analysed", 6, 8, 0, 0, "")],
        columns=["step", "patients", "lesions", "excluded_patients", "excluded_lesions", "reason"],
    )
    table_one = pd.DataFrame(
        [("Patients", "", "6"), ("Grade", "1", "2 (33.3%)"), ("", "2", "4 (66.7%)"), (NASTY, "", "15 [5, 30]")],
        columns=["variable", "level", "overall"],
    )
    comparison = pd.DataFrame(
        [
            ("n", "", "3", "5", "", np.nan),
            ("Grade", "1", "1 (33.3%)", "2 (40.0%)", "Fisher's exact", 0.00001),
            ("", "2", "2 (66.7%)", "3 (60.0%)", "", np.nan),
            ("Ki-67", "", "15 [5, 30]", "30 [7.25, 80]", "Mann-Whitney", 0.05),
        ],
        columns=["variable", "level", "effective", "ineffective", "test", "p"],
    )
    stability = pd.DataFrame(
        {"feature": ["a", "b"] * 2, "comparison": ["intra"] * 2 + ["inter"] * 2, "n": 4, "ICC2": [0.9, 0.5, 0.8, 0.7]}
    ).assign(phase="arterial", **{"class": ["excellent", "unstable", "stable", "unstable"]})
    return {
        "cohort/development/flow.csv": flow,
        "cohort/development/table_one.csv": table_one,
        "cohort/development/comparisons/response.csv": comparison,
        "cohort/development/notes.json": ["patients.csv: a column was left out."],
        "stability/development/wavelet.csv": stability,
        **image_results(),
    }


def image_results(regions=1):
    """A patient's regions by one reader, the last one flagged and with a second reader, and a refused one."""
    cases = pd.DataFrame({
        "patient": "P-1", "phase": "arterial", "region": [f"lesion{n + 1}" for n in range(regions)], "rater": "reader1",
        "role": "drawn", "status": "included", "reason": "", "volume_mm3": 900.0, "voxels": 100.0, "unit": "HU",
        "flags": "",
    })  # fmt: skip
    cases.loc[regions - 1, "flags"] = NASTY
    second = cases.tail(1).assign(rater="reader2", flags="")
    refused = cases.head(1).assign(region="lost", status="excluded", reason="empty", voxels=np.nan, flags="")
    reading = {"reference": "reader1", "dice": 0.875, "hausdorff_mm": 4.0, "hausdorff95_mm": 2.5}
    last = second[["patient", "phase", "region", "rater"]]
    drawn = pd.concat([cases, second])
    names = drawn["phase"] + "_" + drawn["region"] + "_" + drawn["rater"]
    return {
        "images/development/cases.csv": pd.concat([drawn, refused], ignore_index=True),
        "images/development/readings.csv": last.assign(**reading),
        "cohort/development/signoff.csv": last.assign(decision="exclude", reason="the stomach"),
        **{f"images/development/P-1/{name}.png": png(900, 330) for name in names},
    }


def step_documents(selected=True):
    features = {"wavelet-LLH_firstorder_Median": [0.0, 0.1, 0.3], "original_glcm_Idn": [0.0, 0.0, -0.1]}
    path = {"lambda": [0.1, 0.05, 0.01], "deviance": [1.1, 1.0, 1.2], "error": [0.1] * 3, "nonzero": [0, 1, 2],
            "coefficients": features}  # fmt: skip
    lasso = {"intercept": 1.3, "lambda_min": 0.05, "lambda_1se": 0.1, "path": path}
    lasso["rule"] = "lambda.min" if selected else "lambda.1se"
    lasso["coefficients"] = {"wavelet-LLH_firstorder_Median": 0.1} if selected else {}
    names = ["Radscore", "number"] if selected else []
    return {
        "stability": {
            "form": "ICC2", "threshold": 0.75, "n_features": 851, "n_stable": 693, "stable": list(features),
            "agreement": {"original_shape_Flatness": {"intra": 0.91, "inter": 0.444}},
        },
        "spearman": {
            "threshold": 0.9, "kept": list(features), "dropped": {"b": {"for": "original_glcm_Idn", "rho": 0.95}},
        },
        "lasso": lasso,
        "logistic": {
            "intercept": -1.0, "variables": names, "separated": False, "linear_predictor": [-2.0, 3.0],
            "coefficients": {"Radscore": 1.5, "number": 0.4} if selected else {},
            "scales": {"Radscore": {"minimum": -1.0, "maximum": 2.0}, "number": {"values": [1, 2, 3]}},
        },
    }  # fmt: skip


def model_results(selected=True):
    y = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    radscore = np.array([0.1, 0.6, 0.3, 0.4, 0.5, 0.9, 0.8, 0.7]) if selected else np.zeros(8)
    scores = pd.DataFrame({"outcome": y, "Radscore": radscore, "linear_predictor": radscore - 0.2})
    scores["probability"] = 1 / (1 + np.exp(-scores["linear_predictor"]))
    figures = {name: performance(y, radscore, scores["probability"]) for name in ("Radscore", "fusion")}
    documents = step_documents(selected)
    corrected = {
        "published": {"mean": 0.85, "interval": [0.7, 0.95]},
        "corrected": {"auc": 0.62, "interval": [0.4, 0.8]},
        "harrell": {"auc": 0.7, "interval": [0.75, 0.9]},
    }
    line = {"brier": {"apparent": 0.1, "corrected": 0.15}, "slope": 0.68, "intercept": 0.22}
    validation = {
        "resamples": {
            "published": 1000,
            "refitted": 1000,
            "not_computable": 3,
            "nothing_selected": 0.012,
            "separated": 0.2,
        },
        "scores": {"Radscore": corrected, "fusion": corrected | line},
        "selection": {"variables": {"Radscore": 0.75, "ki67": 0.5}, "features": {"original_glcm_Idn": 0.4}},
    }
    odds = {
        "variable": ["Radscore", "ki67", "number"],
        "odds_ratio": [8.8084, 1.0352, 2.0],
        "low": [3.4331, 1.012, 0.9],
        "high": [30.1849, 1.063, np.inf],
        "p": [0.00004, 0.0041, 0.0512],
        "test": "Wald",
        "method": "maximum likelihood",
    }
    grid = np.arange(1, 100) / 100
    roc = [roc_curve(y, radscore).assign(score=name) for name in ("Radscore", "fusion")]
    return {
        **{f"models/fusion/steps/{name}.json": document for name, document in documents.items()},
        "models/fusion/scores.csv": scores,
        "models/fusion/univariable.csv": pd.DataFrame(odds),
        "models/fusion/multivariable.csv": pd.DataFrame(odds).head(1).assign(odds_ratio=5.0),
        "models/fusion/nomogram.json": nomogram(documents["logistic"]),
        "models/fusion/shrunken/nomogram.json": nomogram(documents["logistic"]),
        "models/fusion/shrunken/model.json": {
            "shrinkage": 0.68,
            "steps": {"logistic": documents["logistic"] | {"shrinkage": 0.68}},
        },
        "evaluation/fusion/performance.json": figures,
        "evaluation/fusion/roc.csv": pd.concat(roc),
        "evaluation/fusion/decision_corrected.csv": decision_curve(y, scores["probability"]),
        "evaluation/fusion/validation.json": validation,
        "evaluation/fusion/calibration.csv": pd.DataFrame({"predicted": grid, "apparent": grid, "corrected": grid**2}),
    }


def blocks_of(results):
    return {section.name: section.blocks for section in report_sections(STUDY, results, {})}


def write_page(study, results, folder):
    simulated = is_simulated(study, results)
    sections = report_sections(study, results, {"Python": "3.11"})
    save_blocks(sections, folder, simulated)
    context = report_context(study["title"], study_summary(study, results), sections, folder, simulated)
    return render_page(context, TEMPLATES)


@pytest.fixture(scope="module", autouse=True)
def quick_fonts():
    """Fonts in a form that takes half the time to write; the figures' own tests have those of the report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(JOURNAL, "pdf.fonttype", 3)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def page(folder):
    return write_page(STUDY, cohort_results() | model_results(), folder)


class Outline(HTMLParser):
    """Elements of a page, with a list of what is not closed properly."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.wrong = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_all_sections_stand_in_order(page):
    assert re.findall(r'<section id="([a-z0-9-]+)"', page) == ["answer", *SECTIONS]  # before the contents
    assert page.index('id="answer"') < page.index("<nav")
    assert re.findall(r'<li><a href="#([a-z0-9-]+)"', page) == SECTIONS


def test_nothing_is_asked_of_a_network(page):
    for _, attributes in Outline(page).elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    assert not re.search(r"url\(|@import|<link|<iframe|<object", page)
    assert "default-src 'none'" in page  # a browser would refuse as well


def test_a_browser_is_told_to_run_the_page_s_own_script_and_no_other(page):
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert [kind for kind, _ in scripts] == [' type="application/json"', ""]  # data of the nomogram; the script
    assert scripts[1][1] == (TEMPLATES / "nomogram.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'\"" in page


def test_folded_blocks_are_on_the_page_and_folded_tables_are_files(tmp_path):
    table = pd.DataFrame({"Item": ["1"], "Topic": [NASTY]})
    inner = Fold("Inner", [Printed("folded", table, "A list.")])
    sections = [Section("lists", "Lists", [Fold(NASTY, [Text("First."), inner])])]
    save_blocks(sections, tmp_path, simulated=False)
    text = render_page(report_context("Title", [], sections, tmp_path, simulated=False), TEMPLATES)
    assert re.findall(r"<summary>(.*?)</summary>", text)[1] == "Inner"
    assert "<script>alert" not in text
    assert Outline(text).wrong == []
    assert pd.read_csv(tmp_path / "tables/folded.csv")["Topic"].tolist() == [NASTY]


def test_all_text_is_escaped(page):
    assert "<script>alert" not in page
    assert "<b>bold</b>" not in page
    assert page.count("&lt;script&gt;") >= 6  # title twice, note, reason, labels


def test_page_is_well_formed_and_accessible(page):
    outline = Outline(page)
    assert (outline.wrong, outline.open) == ([], [])
    assert outline.elements[0] == ("html", {"lang": "en"})
    for tag, attributes in outline.elements:
        if tag == "img":
            assert len(attributes["alt"]) > 10
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    headings = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert max(np.diff(headings)) <= 1  # no level is skipped


def test_figures_are_in_the_page_and_beside_it(page, folder):
    names = ["calibration", "decision", "forest", "funnel", "honest", "lasso", "nomogram", "nomogram-shrunken", "roc",
             "waterfall"]  # fmt: skip
    expected = {"answer", "flow_development", "stability_development_wavelet", *(f"{name}_fusion" for name in names)}
    for ending in ("png", "pdf", "svg"):
        assert {path.stem for path in (folder / "figures").glob(f"*.{ending}")} == expected
    embedded = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert {base64.b64decode(text) for text in embedded} == {
        path.read_bytes() for path in (folder / "figures").glob("*.png")
    }


@needs_browser
def test_what_comes_from_outside_is_shown_and_not_run(open_page, page, folder):
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    assert_sound(open_page, path)
    screen = open_page(path).page
    assert screen.title() == STUDY["title"]
    assert screen.locator("h1").inner_text() == STUDY["title"]
    assert screen.locator("main").inner_text().count(NASTY) >= 4
    assert screen.locator("b", has_text="bold").count() == 0


@needs_browser
def test_a_wide_table_does_not_make_a_phone_scroll_the_page_sideways(open_page, tmp_path):
    cells = {f"Column {number}": ["0.0001234 (0.0001233–0.0001235)"] for number in range(12)}
    table = pd.DataFrame({"Feature": ["GLSZM LargeAreaLowGrayLevelEmphasis (arterial)"]} | cells)
    sections = [Section("wide", "A wide table", [Text("Words. " * 50), Printed("wide", table, "Caption. " * 30)])]
    page = tmp_path / "page.html"
    page.write_text(render_page(report_context("A study", [], sections, tmp_path, simulated=True), TEMPLATES))
    assert width_taken(open_page(page, width=390).page) == 390
    page.write_text(page.read_text().replace('class="scroll"', ""))
    assert width_taken(open_page(page, width=390).page) > 1000  # what the table would take outside of its box


def test_simulated_data_are_named_on_the_page_and_in_the_tables(page, folder):
    assert 'class="banner"' in page
    assert "SIMULATED DATA" in page
    for path in (folder / "tables").glob("*.csv"):
        assert pd.read_csv(path)["data"].eq("simulated").all(), path.stem


def test_tables_hold_full_numbers_beside_the_page(folder):
    table = pd.read_csv(folder / "tables" / "table3_fusion.csv")
    assert table.loc[0, "odds_ratio"] == 8.8084
    assert list(table["model"]) == ["univariable"] * 3 + ["multivariable"]


def test_printed_numbers(page):
    assert "8.808 (3.433–30.18)" in page
    assert "2.000 (0.900–∞)" in page
    assert "<td>&lt;0.001</td><td>Fisher&#39;s exact</td>" in page
    assert "effective (n = 3)" in page
    assert "Number: per step oligo, multiple, diffuse" in page
    assert "3 could not be fitted" in page
    assert "1% selected nothing" in page
    assert "4 of 8" not in page


def test_limits_say_what_a_careful_reader_needs(page):
    assert "8 lesions come from 6 patients" in page
    assert "1.0 for each of the 3 candidate coefficients" in page  # 3 without the event
    assert "folds split patients" in page
    assert "Fewer than 5 have Grade 1 (2) and Grade 2 (4): estimates" in page
    assert "no intercept" in page


def test_the_same_results_give_the_same_page(page, tmp_path):
    assert write_page(STUDY, cohort_results() | model_results(), tmp_path) == page


def test_a_study_without_models_has_their_sections_neither_in_page_nor_contents(tmp_path):
    study = {key: value for key, value in STUDY.items() if key not in ("models", "evaluation", "notes")}
    study |= {"cohorts": {"development": {"patients": "patients.csv"}}, "unit": "patient", "title": "Markers"}
    study["markers"] = {"endpoint": "response", "extraction": "wavelet", "phase": "ct"}
    markers = pd.DataFrame(
        {"marker": ["original_shape_Sphericity", "b", "c"], "direction": ["lower", "higher", None],
         "auc": [0.9, 0.7, np.nan], "auc_low": [0.7, 0.4, np.nan], "auc_high": [1.0, 0.9, np.nan],
         "threshold": [-0.00012345, 2, np.nan], "sensitivity": [1, 0.5, np.nan], "specificity": [0.8, 0.5, np.nan],
         "p": [0.01, 0.3, np.nan], "p_fdr": [0.6, 0.9, np.nan], "n": 6,
         "p_bonferroni": [0.02, 0.6, np.nan], "test": ["Welch's t", "Mann-Whitney", None]}
    )  # fmt: skip
    flow = "cohort/development/flow.csv"
    results = {"evaluation/markers.csv": markers, flow: cohort_results()[flow]}
    page = write_page(study, results, tmp_path)
    assert re.findall(r'<section id="([a-z0-9-]+)"', page) == [
        "answer", "flow", "markers", "methods", "checklists", "versions"
    ]  # fmt: skip
    assert "banner" not in re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL)
    assert "Of 2 features the best, shape Sphericity, has an AUC of 0.90 (0.70–1.00)" in page
    assert "none stays under p = 0.05 after correction (false discovery rate), 1 by Bonferroni, which needs" in page
    assert "p &lt; 0.025 for 2 features" in page
    assert "1 feature could not be rated" in page
    assert "6 patients." in page


def test_every_dropped_feature_has_its_reason(folder):
    table = pd.read_csv(folder / "tables/dropped_fusion.csv").drop(columns="data")
    assert table.to_numpy().tolist() == [
        ["original_shape_Flatness", "stability", "ICC(2,1) 0.910 (intra), 0.444 (inter)"],
        ["b", "Spearman", "correlated with GLCM Idn (rho 0.95)"],
        ["original_glcm_Idn", "LASSO", "coefficient 0 at lambda.min"],
    ]


def test_a_signature_says_how_often_refits_select_its_features(folder):
    table = pd.read_csv(folder / "tables/signature_fusion.csv").set_index("feature")
    assert (
        table.loc["wavelet-LLH_firstorder_Median", "selected"] == 0
    )  # refits selected another one only, see `model_results`
    printed = (folder / "tables/signature_fusion.html").read_text()
    assert '<th scope="row">LLH first order Median</th><td>0.1000</td><td>0%</td>' in printed


def test_printed_tables_are_pages_that_a_word_processor_opens(folder):
    page = (folder / "tables/table3_fusion.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert (outline.wrong, outline.open) == ([], [])
    assert [tag for tag, _ in outline.elements].count("table") == 1
    assert "<b>Table 3. Logistic models of the event" in page
    assert "intervals by profile likelihood, p by Wald." in page  # the note below it
    assert "<p>Simulated data.</p>" in page
    assert {path.stem for path in (folder / "tables").glob("*.html")} == {
        path.stem for path in (folder / "tables").glob("*.csv")
    }


def test_the_words_that_stand_for_a_figure_hold_its_numbers(page):
    """Every alternative has two numbers at least; some of what is known of the data is looked for."""
    words = [attributes["alt"] for tag, attributes in Outline(page).elements if tag == "img"]
    assert [text for text in words if len(re.findall(r"\d+", text)) < 2] == []
    said = " ".join(words)
    assert "7 patients, 10 lesions declared, 6 patients, 8 lesions analysed; excluded: 1 patient, 2 lesions: " in said
    assert "851; Stable: 693 (others dropped: ICC(2,1) under 0.75)" in said
    assert "Fusion model: AUC 0.867" in said  # 13 of 15 pairs
    assert (
        "predicted 0.01, observed 0.01, bias-corrected 0.00; predicted 0.50, observed 0.50, bias-corrected 0.25" in said
    )
    assert "treating all 0.250" in said  # at a threshold of 0.5: 5/8 - 3/8


def test_a_model_that_selects_nothing_is_reported():
    results = cohort_results() | model_results(selected=False)
    sections = blocks_of(results)
    assert "selected no feature" in sections["lasso"][0].text
    assert sections["nomogram"] == []
    assert sections["chain"][0].caption.endswith("In the final model: nothing, no variable survived the selection.")
    for name in ("roc", "calibration", "decision"):
        assert sections[name] == [], name
    headline = [block.text for block in sections["honest"]]  # and no figure: neither score tells anything apart
    assert [text.split(":")[0] for text in headline] == [
        "The LASSO selected no feature", "No variable survived the selection",
    ]  # fmt: skip
    assert "a probability of 0.269" in headline[1]  # 1 / (1 + e), from the intercept of -1


def test_where_only_the_final_model_is_empty_the_radscore_is_still_rated():
    results = cohort_results() | model_results()
    empty = results["models/fusion/steps/logistic.json"] | {"variables": [], "coefficients": {}}
    results |= {
        "models/fusion/steps/logistic.json": empty,
        "models/fusion/multivariable.csv": results["models/fusion/multivariable.csv"].assign(variable="intercept"),
        "models/fusion/nomogram.json": nomogram(empty | {"scales": {}}),
    }
    figures = {"auc": 0.867, "low": 0.7, "high": 0.95, "n": 10, "events": 4, "threshold": 0.4, "time": None}
    rows = [{"scheme": "apparent", "score": score} | figures for score in ("fusion", "Radscore")]
    columns = ["scheme", "kind", "name", "share", "refits"]
    results["evaluation/fusion/schemes.csv"] = pd.DataFrame(rows)
    results["evaluation/fusion/schemes_selection.csv"] = pd.DataFrame(columns=columns)
    sections = blocks_of(results)
    assert [sections[name] for name in ("nomogram", "calibration", "decision")] == [[], [], []]
    nothing, words, drawing = sections["honest"]
    assert nothing.text.startswith("No variable survived the selection: the fusion model predicts the same")
    assert "the AUC of the Radscore is 0.867" in words.text
    assert "Fusion" not in drawing.alt
    assert list(sections["roc"][2].table["Score"]) == ["Radscore"]
    assert "No variable survived" in sections["odds"][0].note
    assert list(sections["validation"][1].table) == ["Scheme", "n (events)", "AUC (95% CI)"]
    assert "Radscore" in sections["validation"][1].table.iloc[1, 0]
    assert sections["validation"][1].table.iloc[1, 2] == "0.867 (0.700–0.950)"
    assert "calibration slope" not in sections["validation"][0].text


def fewer_results():
    """Who is left for the model and for the single features when two lesions have no value for Ki-67."""
    columns = ["step", "patients", "lesions", "excluded_patients", "excluded_lesions", "reason"]
    rows = [
        ("declared", 7, 10, 0, 0, ""),
        ("clinical data", 5, 6, 1, 2, "no value for ki67"),
        ("analysed", 5, 6, 0, 0, ""),
    ]
    cohort = pd.DataFrame([("P-9", "lesion1", "images", NASTY)] * 2, columns=["patient", "region", "step", "reason"])
    more = pd.DataFrame([("P-8", "", "clinical data", "no value for ki67")], columns=cohort.columns)
    return {
        "cohort/development/exclusions.csv": cohort,
        "models/fusion/flow.csv": pd.DataFrame(rows, columns=columns),
        "models/fusion/exclusions.csv": pd.concat([cohort, more], ignore_index=True),
        "evaluation/markers_flow.csv": pd.DataFrame(rows, columns=columns).replace({5: 1, 6: 1}),
    }


def test_who_is_left_for_a_model_is_said_where_it_is_fewer():
    results = cohort_results() | fewer_results()
    whom = dict(study_summary(STUDY, results))["In whom:"]
    assert whom == (
        "simulated development cohort, 6 patients with 8 lesions; the model “fusion”: 5 patients with 6 lesions; "
        "the single features: 1 patient with 1 lesion."
    )
    same = results | {name: results["cohort/development/flow.csv"] for name in fewer_results() if "flow" in name}
    whom = dict(study_summary(STUDY, same))["In whom:"]
    assert whom == "simulated development cohort, 6 patients with 8 lesions."


def test_exclusions_are_listed_once_and_saved(tmp_path):
    page = write_page(STUDY, cohort_results() | fewer_results(), tmp_path)
    assert "Excluded from the model “fusion”, besides those above." in page
    assert list(pd.read_csv(tmp_path / "tables/exclusions_development.csv")["patient"]) == ["P-9", "P-9"]
    assert list(pd.read_csv(tmp_path / "tables/exclusions_fusion.csv")["patient"]) == ["P-8"]


def test_many_single_features_are_shown_in_part_with_the_flow_of_their_own(tmp_path):
    study = STUDY | {"markers": {"endpoint": "response", "extraction": "wavelet", "phase": "arterial"}}
    markers = pd.DataFrame({"marker": [f"f{n}" for n in range(107)], "auc": np.linspace(0.5, 0.9, 107)})
    for name in ("auc_low", "auc_high", "threshold", "sensitivity", "specificity", "p", "p_fdr", "p_bonferroni"):
        markers[name] = 0.5
    markers["test"] = "Mann-Whitney"
    results = cohort_results() | {"evaluation/markers.csv": markers.assign(direction="higher", n=8)}
    assert "flow_markers" not in block_names(study, results)
    same = results | {"evaluation/markers_flow.csv": results["cohort/development/flow.csv"]}
    assert "flow_markers" not in block_names(study, same)
    page = write_page(study, results | fewer_results(), tmp_path)
    assert "Flow of the single features." in page
    assert "<caption>Single features: 20 of 107; all in tables/markers.csv.</caption>" in page
    assert len(pd.read_csv(tmp_path / "tables/markers.csv")) == 107


def block_names(study, results):
    blocks = [block for section in report_sections(study, results, {}) for block in section.blocks]
    return [block.name for block in blocks if hasattr(block, "name")]


def test_simulated_images_brought_as_own_data_are_named_as_such():
    own = STUDY | {"cohorts": {"development": {"patients": "patients.csv"}}}
    results = cohort_results()
    assert not is_simulated(own, results)
    assert is_simulated(STUDY, results)
    assert not is_simulated(own, results | {"images/development/P-1/arterial.json": {"Modality": "CT"}})
    results["images/development/P-1/arterial.json"] = {"Modality": "CT", "simulated": True}
    assert is_simulated(own, results)
    assert dict(study_summary(own, results))["In whom:"].startswith("simulated development cohort")


def test_parameters_of_the_extraction_are_printed(tmp_path):
    content = {"imageType": {"Original": {}}, "setting": {"binWidth": 25}}
    blocks = report_sections(STUDY, {}, {"nenflow": "0.1.0"}, {"wavelet": content})[-1].blocks
    assert [block.name for block in blocks] == ["settings", "extraction_wavelet", "versions"]
    assert ["binWidth", "25"] in blocks[1].table.to_numpy().tolist()


def test_regions_that_need_a_look_are_counted_listed_and_shown_first(tmp_path):
    results = cohort_results() | image_results(regions=40)
    blocks = {type(block).__name__: block for block in blocks_of(results)["pictures"]}
    assert list(blocks) == ["Text", "Printed", "Gallery"]
    assert blocks["Text"].text.startswith(
        "41 regions of 1 patient were measured, and 1 flagged for a closer look. 1 region could not be read or used. "
        "1 of 41 regions signed off: 0 ok, 1 excluded. The page gallery.html"
    )
    assert len(blocks["Gallery"].pictures) == 12
    assert blocks["Gallery"].pictures[0] == (
        "P-1, arterial, lesion40, reader1", f"{NASTY}; 900 mm³; not signed off.", png(900, 330)
    )  # fmt: skip
    last = blocks_of(cohort_results())["pictures"][-1].pictures[-1]
    assert last[:2] == ("P-1, arterial, lesion1, reader2", "nothing flagged; 900 mm³; signed off as excluded.")
    page = write_page(STUDY, results, tmp_path)
    assert list(pd.read_csv(tmp_path / "tables/flagged.csv")["Flags"]) == [NASTY]
    assert list(pd.read_csv(tmp_path / "tables/agreement.csv")["Dice, median (range)"]) == ["0.88 (0.88–0.88)"]
    assert "<caption>Flagged regions.</caption>" in page
    assert "Show 12 examples, flagged ones first" in page
    assert page.count("data:image/jpeg") == 12
    every = results["images/development/cases.csv"].assign(flags="holes inside: 1")
    page = write_page(STUDY, results | {"images/development/cases.csv": every}, tmp_path / "every")
    assert "<caption>Flagged regions: 30 of 42; all in tables/flagged.csv.</caption>" in page
    assert len(pd.read_csv(tmp_path / "every/tables/flagged.csv")) == 42


def test_a_missing_value_of_the_template_is_an_error():
    with pytest.raises(Exception, match="undefined"):
        render_page({"title": "x"}, TEMPLATES)


def test_honest_sentences_are_built_from_the_numbers():
    results = model_results()
    table = estimates(results["evaluation/fusion/performance.json"], results["evaluation/fusion/validation.json"])
    words = honest_sentences(table, "fusion", "AUC", "lesion")
    # 13 of the 15 pairs of an event and another lesion are in order
    assert words.startswith("As such studies print it, the AUC of the fusion model is 0.867 (")
    assert "seems to confirm it: 0.850 (0.700–0.950)." in words
    assert "0.620 (0.400–0.800) is left (.632+ bootstrap; 0.700 with Harrell's correction)" in words
    assert "0.247 of the first figure is optimism, and chance (0.5) cannot be ruled out." in words
    assert words.count(". ") == 1  # two sentences


def test_the_shrunken_nomogram_says_by_how_much_or_why_there_is_none():
    results = model_results()

    def said():
        sections = blocks_of(results)
        return sections["nomogram"][-1]

    assert "every coefficient is multiplied by 0.68, the calibration slope corrected for optimism" in said().caption
    results["models/fusion/shrunken/nomogram.json"] = {"variables": {}, "survival": [], "note": "Nothing is left."}
    assert said().text == "For new patients no nomogram can be given. Nothing is left."


@pytest.mark.parametrize(("low", "null"), [(0.4, True), (0.51, False)])
def test_a_null_result_is_said_only_of_a_model_that_may_be_chance(low, null):
    results = model_results()
    results["evaluation/fusion/validation.json"]["scores"]["fusion"]["corrected"]["interval"] = [low, 0.8]
    names = ["Radscore", "differentiation", "sites"]
    numbers = {"sd": 1.0, "ratio": 1.2, "low": 0.8, "high": 1.8, "p": 0.04, "p_holm": 0.12}
    results["models/fusion/candidates.csv"] = pd.DataFrame([{"variable": n, "term": n} | numbers for n in names])
    words = blocks_of(results)["honest"][0].text
    assert words.startswith("A null result: none of 3 candidate variables") == null
    assert ("The model still does better than chance: " in words) == (not null)
    assert ("the AUC of the fusion model is 0.620 (0.510–0.800)" in words) == (not null)


def test_an_interval_beside_its_estimate_is_not_shown():
    results = model_results()
    table = estimates(results["evaluation/fusion/performance.json"], results["evaluation/fusion/validation.json"])
    harrell = table[table["estimate"].str.contains("Harrell")]
    assert harrell["auc"].eq(0.7).all()
    assert harrell[["low", "high"]].isna().all(axis=None)  # 0.75 to 0.9 does not hold 0.7


def test_without_validation_only_the_apparent_figure_is_there_and_called_too_high():
    table = estimates(model_results()["evaluation/fusion/performance.json"], None)
    assert list(table["estimate"]) == ["Apparent", "Apparent"]
    assert "it is too high" in honest_sentences(table, "Radscore", "AUC", "lesion")


def test_results_are_read_by_their_place_and_nothing_else(tmp_path):
    write_table(pd.DataFrame({"variable": ["Grade", ""], "level": ["1", "2"], "overall": ["1 (50.0%)", "1 (50.0%)"]}),
                tmp_path / "cohort/a/table_one.csv")  # fmt: skip
    write_table(pd.DataFrame({"variable": ["n", "Age"], "level": ["", ""], "no": ["1", "4"], "test": ["", "t"],
                              "p": [np.nan, 0.25]}), tmp_path / "cohort/a/comparisons/response.csv")  # fmt: skip
    write_json(["note"], tmp_path / "cohort/a/notes.json")
    (tmp_path / "images/a/P-1").mkdir(parents=True)
    (tmp_path / "images/a/P-1/ct.png").write_bytes(b"png")
    write_json({"simulated": True}, tmp_path / "images/a/P-1/ct.json")
    (tmp_path / "images/a/P-1/ct.nii.gz").write_bytes(b"volume")
    (tmp_path / "other.csv").write_text("a\n1\n")
    named = [tmp_path / "cohort/a/table_one.csv", tmp_path / "cohort/a/comparisons", tmp_path / "cohort/a/notes.json",
             tmp_path / "images/a/P-1"]  # fmt: skip
    results = read_results(named, tmp_path)
    assert set(results) == {
        "cohort/a/table_one.csv", "cohort/a/comparisons/response.csv", "cohort/a/notes.json", "images/a/P-1/ct.png",
        "images/a/P-1/ct.json",
    }  # fmt: skip
    assert list(results["cohort/a/table_one.csv"]["level"]) == ["1", "2"]  # not 1.0
    assert results["cohort/a/comparisons/response.csv"]["p"].iloc[1] == 0.25
    assert results["cohort/a/notes.json"] == ["note"]


def test_own_version_comes_first():
    assert next(iter(software_versions("0.1.0 (commit abc1234)").items())) == ("nenflow", "0.1.0 (commit abc1234)")
    assert "nenflow" not in software_versions()


@pytest.mark.parametrize(
    ("failed", "words"), [(1, "1 could not be fitted and counts"), (3, "3 could not be fitted and count ")]
)
def test_resamples_without_fit_are_counted_in_grammar(failed, words):
    results = model_results()
    results["evaluation/fusion/validation.json"]["resamples"]["not_computable"] = failed
    sections = blocks_of(results)
    assert words in sections["validation"][0].text


def test_versions_name_what_the_numbers_depend_on():
    versions = software_versions()
    assert {"Python", "numpy", "pandas", "scikit-learn", "pyradiomics-bhklab", "SimpleITK"} <= set(versions)
    assert all(re.match(r"\d+\.\d+", number) for number in versions.values())
