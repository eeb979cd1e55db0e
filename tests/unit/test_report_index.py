import pandas as pd
import pytest

from nenflow.report.index import comparison, read_study, study_card
from nenflow.report.page import render_page, report_context, save_blocks
from projects import ROOT

STUDY = {
    "title": "A study of <script>alert(1)</script>",
    "unit": "patient",
    "cohorts": {"development": {"patients": "patients.csv"}},
    "variables": {"response": {"label": "Response", "levels": ["no", "yes"]}},
    "endpoints": {"response": {"variable": "response", "event": "yes"}},
    "models": {"fusion": {"endpoint": "response", "phase": "arterial"}},
    "evaluation": {"folds": 5, "external": "second"},
}
FIGURES = {"auc": 0.91, "auc_delong": [0.85, 0.97]}


def checked(mean, low, high, name="auc"):
    return {name: mean, "interval": [low, high]}


@pytest.fixture
def results():
    scores = {
        "published": checked(0.92, 0.86, 0.96, "mean"),
        "harrell": checked(0.80, 0.70, 0.90),
        "corrected": checked(0.75, 0.60, 0.88),
    }
    chance = {"observed": 0.75, "median": 0.51, "low": 0.40, "high": 0.62, "p": 0.004}
    rows = [("apparent", 0.91), ("folds", 0.74), ("external", 0.66)]
    schemes = pd.DataFrame(
        [{"scheme": name, "score": "fusion", "auc": auc, "low": auc - 0.1, "high": auc + 0.1} for name, auc in rows]
    )
    return {
        "provenance/run.json": {"simulated": True},
        "models/fusion/steps/logistic.json": {"variables": {"age": {}}, "intercept": 0.0},
        "evaluation/fusion/performance.json": {"fusion": FIGURES},
        "evaluation/fusion/validation.json": {"scores": {"fusion": scores}},
        "evaluation/fusion/chance.json": {
            "permutations": 200,
            "scores": {"fusion": dict.fromkeys(("apparent", "harrell", "corrected"), chance)},
        },
        "evaluation/fusion/schemes.csv": schemes,
    }


def test_all_figures_of_a_model_stand_in_one_row(results):
    _, table = comparison({"one": (STUDY, results)}).blocks
    assert list(table.table["Model"].str.strip()) == ["one", "the fusion model (AUC)"]
    assert table.table.iloc[1].drop("Model").to_dict() == {
        "Apparent": "0.910 (0.850–0.970)",
        "Bootstrap of the finished model": "0.920 (0.860–0.960)",
        "Optimism-corrected": "0.800 (0.700–0.900)",
        ".632+": "0.750 (0.600–0.880)",
        "Cross-validation": "0.740 (0.640–0.840)",
        "External": "0.660 (0.560–0.760)",
        "Chance": "0.510",
        "p": "0.004",
    }
    assert list(table.full["auc"]) == [0.91, 0.92, 0.80, 0.75, 0.74, 0.66]


def test_models_of_several_studies_are_compared_and_one_without_permutations_has_no_chance(results):
    plain = {name: content for name, content in results.items() if not name.endswith("chance.json")}
    figure, table = comparison({"one": (STUDY, results), "two": (STUDY, plain)}).blocks
    assert list(table.table["p"]) == ["", "0.004", "", ""]
    assert "two: the fusion model (AUC), Apparent: 0.910 (0.850–0.970)" in figure.alt


def test_studies_without_models_have_nothing_to_compare():
    assert comparison({"one": ({**STUDY, "models": {}}, {})}).blocks == []


def page(results, folder):
    sections = [comparison({"one": (STUDY, results)})]
    save_blocks(sections, folder, simulated=True)
    cards = [study_card("one", STUDY, results, gallery=True)]
    context = report_context("Studies", [], sections, folder, simulated=True) | {"cards": cards}
    return render_page(context, ROOT / "workflow/report", "index.html.j2")


def test_the_page_links_the_studies_says_what_they_found_and_runs_nothing(results, tmp_path):
    html = page(results, tmp_path)
    assert 'href="one/report/report.html"' in html
    assert 'href="one/report/gallery.html"' in html
    assert "SIMULATED DATA" in html
    assert "the AUC of the fusion model is 0.910" in html
    assert "0.750 (0.600–0.880) is left" in html
    assert "<script" not in html
    assert "A study of &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert (tmp_path / "figures/comparison.pdf").stat().st_size > 0
    assert set(pd.read_csv(tmp_path / "tables/comparison.csv")["data"]) == {"simulated"}


def test_a_study_is_read_from_its_results_alone(tmp_path):
    (tmp_path / "provenance").mkdir()
    (tmp_path / "provenance/study.yaml").write_text("title: Älter als 50\n", encoding="utf-8")
    (tmp_path / "provenance/run.json").write_text('{"simulated": false}')
    (tmp_path / "models").mkdir()
    assert read_study(tmp_path) == ({"title": "Älter als 50"}, {"provenance/run.json": {"simulated": False}})
