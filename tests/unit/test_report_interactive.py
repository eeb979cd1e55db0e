"""The nomogram that a reader moves, in a browser, against the numbers of the models themselves."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from browser import accessibility_faults, calculated, cut_in_print, needs_browser, open_file, width_taken
from nenflow.models.nomogram import nomogram, read_off
from nenflow.models.shrinkage import shrink_model
from nenflow.models.steps import CoxModel, LogisticModel
from nenflow.models.terms import factor_columns, spline_columns
from nenflow.models.uncertainty import prediction_intervals, uncertainty
from nenflow.report.interactive import NO_COVARIANCE, NOT_THE_SELECTION, SHRUNKEN, calculator
from nenflow.report.page import Section, render_page, report_context

TEMPLATES = Path(__file__).resolve().parents[2] / "workflow" / "report"
SAME = 1e-9  # the browser's sums and exponentials against numpy's; predictors are rounded to 9 decimals there

NASTY = '</script><script>alert("1")</script><!-- <b>&amp;\u2028'
KNOTS = [30.0, 45.0, 60.0, 80.0]
GRADES = ["G1", NASTY, "G3"]
TERMS = {"factors": {"grade": GRADES}, "splines": {"age": 4}, "knots": {"age": KNOTS}}
VARIABLES = {
    "age": {"label": f"Age {NASTY}", "type": "continuous"},
    "grade": {"label": "Grade", "type": "categorical", "levels": GRADES},
    "number": {"label": "Number", "type": "categorical", "levels": ["oligo", "multiple", "diffuse", "none seen"]},
    "centre": {"label": "Centre", "type": "categorical", "levels": ["east", "west"]},
}
COLUMNS = ["age", "age'", "age''", f"grade={GRADES[1]}", f"grade={GRADES[2]}", "number", "Radscore"]
PATIENTS = list(itertools.product([22.5, 44, 61.7, 90], GRADES, ["oligo", "diffuse"], [-1.5, 0.37, 4]))


def values_of(patients):
    """The columns of patients given by age, grade, number and Radscore."""
    ages, grades, numbers, radscores = zip(*patients, strict=True)
    codes = [1 + VARIABLES["number"]["levels"].index(number) for number in numbers]
    grades = factor_columns([1 + GRADES.index(grade) for grade in grades], GRADES)
    return pd.DataFrame(np.column_stack([spline_columns(ages, KNOTS), grades, codes, radscores]), columns=COLUMNS)


def entered(patients):
    """The same as the page asks for it."""
    labels = [VARIABLES["age"]["label"], "Grade", "Number", "Radscore"]
    return [dict(zip(labels, patient, strict=True)) for patient in patients]


@pytest.fixture(scope="module")
def cohort():
    """300 invented patients: columns, a binary outcome and times with ties in two strata."""
    draws = np.random.default_rng(7)
    known = zip(
        draws.uniform(25, 85, 300),
        draws.choice(GRADES, 300),
        draws.choice(["oligo", "multiple", "diffuse"], 300),
        draws.normal(0, 1, 300),
        strict=True,
    )
    X = values_of(known)
    X.index = pd.MultiIndex.from_arrays([[f"P{n}" for n in range(300)], [""] * 300], names=["patient", "region"])
    risk = 0.02 * (X["age"] - 55) + 0.8 * X[COLUMNS[4]] + 0.3 * X["number"] + 0.7 * X["Radscore"] - 0.8
    y = pd.Series((draws.uniform(size=300) < expit(risk)).astype(float), X.index)
    follow = pd.DataFrame({"time": np.ceil(draws.exponential(30 * np.exp(-risk))), "event": 1}, X.index)
    follow["event"] = (follow["time"] <= 40).astype(int)
    follow["time"] = follow["time"].clip(upper=40)
    return X, y, follow.assign(stratum=np.where(np.arange(300) % 3, "east", "west"))


@pytest.fixture(scope="module")
def logistic(cohort):
    return LogisticModel().fit(*cohort[:2])


@pytest.fixture(scope="module")
def cox(cohort):
    return CoxModel(ties="breslow", strata="centre", times=[6, 24]).fit(cohort[0], cohort[2])


@pytest.fixture(scope="module")
def known(cohort, logistic, cox):
    """The covariance of both models' estimates."""
    X, y, follow = cohort
    return {
        "logistic": uncertainty(logistic.document(), X, y, X, seed=1),
        "cox": uncertainty(cox.document(), X, follow, X, seed=1),
    }


@pytest.fixture(scope="module")
def written(cohort, logistic, cox, known, tmp_path_factory):
    """A page with three calculators: a logistic model beside its shrunken form, a Cox model, one from print."""
    X, y, _ = cohort
    fitted, survival = logistic.document(), cox.document()
    shrunk = shrink_model(fitted, logistic.decision_function(X), y, 0.5)
    steps = {"terms": TERMS, "logistic": fitted}
    new = ({"terms": TERMS, "logistic": shrunk}, nomogram(shrunk, TERMS))
    drawn, words = nomogram(fitted, TERMS), (VARIABLES, "survival", "month")
    blocks = [
        calculator(NASTY, steps, drawn, VARIABLES, NASTY, "", known["logistic"], new),
        calculator("Survival", {"terms": TERMS, "cox": survival}, nomogram(survival, TERMS), *words, known["cox"]),
        calculator("Printed", {"terms": TERMS, "logistic": fitted}, drawn, VARIABLES, "death", ""),
    ]
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    section = Section("nomogram", "Nomogram", blocks)
    path.write_text(render_page(report_context("A study", [], [section], folder, True), TEMPLATES), encoding="utf-8")
    return path, shrunk


@pytest.fixture(scope="module")
def page(browser, written):
    """The page, opened once for all that is asked of its calculators."""
    opened = open_file(browser, written[0])
    yield opened
    opened.page.close()


@needs_browser
def test_a_logistic_model_gives_python_s_numbers(page, logistic, written):
    X = values_of(PATIENTS)
    found = calculated(page.page, entered(PATIENTS))
    shown = np.array([[fitted[0], new[0]] for answer in found for fitted, new in answer["table"]])
    np.testing.assert_allclose(shown[:, 0], logistic.predict_proba(X)[:, 1], rtol=0, atol=SAME)
    shrunk = LogisticModel.from_document(written[1]).predict_proba(X)[:, 1]
    np.testing.assert_allclose(shown[:, 1], shrunk, rtol=0, atol=SAME)
    assert {len(answer["table"][0][1]) for answer in found} == {1}  # nothing known of the error of shrunken ones

    totals = [answer["total"] for answer in found]
    np.testing.assert_allclose(totals, [sum(answer["points"]) for answer in found], rtol=0, atol=SAME)
    drawn = nomogram(logistic.document(), TERMS)
    np.testing.assert_allclose(shown[:, 0], read_off(drawn, totals)["probability"], rtol=0, atol=SAME)


@needs_browser
def test_points_are_those_of_the_drawn_scales(page, logistic):
    drawn = nomogram(logistic.document(), TERMS)["variables"]
    for place, name in enumerate(drawn):
        values = drawn[name]["values"]
        if name == "number":
            values = [VARIABLES["number"]["levels"][int(code) - 1] for code in values]
        label = VARIABLES.get(name, {"label": name})["label"]
        found = [answer["points"][place] for answer in calculated(page.page, [{label: value} for value in values])]
        np.testing.assert_allclose(found, drawn[name]["points"], rtol=0, atol=SAME)


@needs_browser
def test_a_stratified_cox_model_gives_python_s_survival_and_intervals(page, cox, known):
    X = values_of(PATIENTS)
    for stratum in ("west", "east"):
        patients = [{"Centre": stratum} | patient for patient in entered(PATIENTS)]
        found = np.array([[row[0] for row in answer["table"]] for answer in calculated(page.page, patients, place=1)])
        strata = [stratum] * len(X)
        np.testing.assert_allclose(found[:, :, 0], cox.predict_survival(X, strata=strata), rtol=0, atol=SAME)
        ends = prediction_intervals(known["cox"], cox.document(), X, strata)
        for place, time in enumerate([6, 24]):
            expected = ends[[f"survival_{time}_low", f"survival_{time}_high"]]
            np.testing.assert_allclose(found[:, place, 1:], expected, rtol=0, atol=SAME)


@needs_browser
def test_intervals_of_a_probability_are_python_s(page, logistic, known):
    found = [answer["table"][0][0][1:] for answer in calculated(page.page, entered(PATIENTS))]
    expected = prediction_intervals(known["logistic"], logistic.document(), values_of(PATIENTS))
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME)


@needs_browser
def test_what_the_model_has_not_seen_is_said(page):
    age = VARIABLES["age"]["label"]
    known = {age: 50, "Grade": "G1", "Number": "oligo", "Radscore": 0}
    inside, old, unseen, missing, again = calculated(
        page.page, [known, known | {age: 130}, known | {"Number": "none seen"}, {age: ""}, known]
    )
    assert inside["said"] == again["said"] == []
    assert inside["table"] == again["table"]
    [said] = old["said"]
    assert said.startswith("130 is outside of 25.")
    assert said.endswith("the range that the model was made from: its answer is extrapolated.")
    assert "The model was made from nobody with none seen: its answer is not known." in unseen["said"]
    assert missing["total"] is None
    assert missing["said"][0] == f"Enter a number for {age}."


@needs_browser
def test_a_published_model_gives_no_interval_and_says_why(page):
    answer = calculated(page.page, entered(PATIENTS[:1]), place=2)[0]
    assert len(answer["table"][0][0]) == 1
    notes = page.page.locator(".calculator .note:not(noscript *)").all_inner_texts()
    assert notes.count(NO_COVARIANCE) == 1
    assert notes.count(SHRUNKEN) == 1
    assert notes.count(NOT_THE_SELECTION) == 2
    assert any("multiplied by 0.50" in note for note in notes)


@needs_browser
def test_it_is_moved_with_keys_and_its_marks_move_along(page):
    screen = page.page
    calculator = screen.locator(".calculator").nth(0)
    calculated(screen, entered(PATIENTS[:1]))
    slider, box = calculator.get_by_role("slider").nth(1), calculator.get_by_label("Radscore", exact=True).last
    marks = calculator.locator("svg .mark")
    before = [float(at) for at in marks.evaluate_all("all => all.map(mark => mark.getAttribute('cx'))")]
    total = float(calculator.locator("data.total").get_attribute("value"))
    slider.focus()
    screen.keyboard.press("ArrowRight")
    assert float(box.input_value()) > -1.5
    after = [float(at) for at in marks.evaluate_all("all => all.map(mark => mark.getAttribute('cx'))")]
    assert [new - old > 0 for old, new in zip(before, after, strict=True)] == [False] * 3 + [True] * (len(before) - 3)
    assert float(calculator.locator("data.total").get_attribute("value")) > total
    assert calculator.get_by_role("status").last.get_attribute("aria-live") == "polite"


@needs_browser
def test_everything_shown_is_text(page):
    assert page.faults == []  # no alert either
    assert page.asked == []
    assert page.page.locator(".calculator label").first.inner_text() == VARIABLES["age"]["label"].replace(
        "\u2028", "\u2028"
    )
    assert page.page.locator(".calculator .title").first.inner_text().startswith("Interactive nomogram: </script>")
    assert page.page.locator(".calculator b").count() == 0


@needs_browser
def test_no_other_script_runs(open_page, written, tmp_path):
    foreign = '<script>document.title = "taken"</script><img src="data:x" onerror="document.title = 1">'
    path = tmp_path / "page.html"
    path.write_text(written[0].read_text(encoding="utf-8").replace("</main>", f"{foreign}</main>"), encoding="utf-8")
    opened = open_page(path)
    assert opened.page.title() == "A study"
    assert any("Content Security Policy" in fault for fault in opened.faults)


@needs_browser
@pytest.mark.parametrize("width", [1100, 390])
def test_a_screen_of_any_width_and_a_reader_of_screens_can_use_it(open_page, written, width):
    screen = open_page(written[0], width=width).page
    assert width_taken(screen) == width
    assert accessibility_faults(screen) == []


@needs_browser
def test_one_nomogram_is_printed_alone_and_whole(open_page, written):
    screen = open_page(written[0]).page
    assert cut_in_print(screen) == []
    screen.emulate_media(media="screen")
    screen.evaluate("window.print = () => {}")
    screen.get_by_role("button").nth(1).click()
    screen.emulate_media(media="print")
    assert [place.is_visible() for place in screen.locator(".calculator").all()] == [False, True, False]
    assert screen.locator(".banner").is_visible()  # simulated data stay named
    assert screen.locator(".calculator svg").nth(1).is_visible()
    screen.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert screen.locator(".calculator").first.is_visible()


def test_a_model_without_effects_has_no_calculator():
    empty = {"intercept": -1.0, "variables": [], "coefficients": {}, "linear_predictor": [-1.0, -1.0], "scales": {}}
    assert calculator("x", {"logistic": empty}, nomogram(empty), {}, "death", "") is None
