import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browser import assert_sound, needs_browser
from nenflow.documents import write_json
from nenflow.report.cases import (
    agreement_table,
    all_cases,
    all_readings,
    count_words,
    flagged_table,
    signoff_words,
    volumes_table,
)
from nenflow.report.gallery import render_gallery
from nenflow.report.results import read_results
from nenflow.tables import CASE, write_table
from test_report_page import NASTY, TEMPLATES, Outline

MEASURED = {
    "volume_mm3": 12345.6, "voxels": 1000, "components": 1, "cavities": 0, "touches_border": False, "mean": 65.25,
    "sd": 20.5, "minimum": -10.0, "median": 64.0, "maximum": 150.0, "unit": "HU",
}  # fmt: skip
COLUMNS = [*CASE, "role", "status", "reason", *MEASURED, "flags"]
STUDY = {"title": f"Response {NASTY}", "cohorts": {"development": {"simulation": "simulation.yaml"}}}
OVERHEAD = 3000  # bytes of words and marks for one region, besides its picture


def png(grey):
    picture = io.BytesIO()
    Image.new("L", (900, 330), grey).save(picture, "PNG")
    return picture.getvalue()


def case(patient, region, rater="reader1", flags="", role="drawn", **changes):
    named = {"patient": patient, "phase": "arterial", "region": region, "rater": rater, "role": role}
    return named | {"status": "included", "reason": "", "flags": flags} | MEASURED | changes


def refused(patient, region, reason):
    return dict.fromkeys(COLUMNS) | {"patient": patient, "phase": "arterial", "region": region, "rater": "reader1",
                                     "role": "drawn", "status": "excluded", "reason": reason}  # fmt: skip


def reading(patient, region, rater, dice, h95):
    named = {"patient": patient, "phase": "arterial", "region": region, "rater": rater, "reference": "reader1"}
    return named | {"dice": dice, "hausdorff_mm": 2 * h95, "hausdorff95_mm": h95}


CASES = [
    case("P-1", "lesion1"),
    case("P-1", "lesion2", flags="separate parts: 2; holes inside: 1", components=2, cavities=1),
    case("P-1", "lesion2", "reader2", volume_mm3=512.4, mean=-0.04),
    case("P-2", "lesion1", flags="touches the image border: foot"),
    case("P-2", "lesion1", "reader2", status="excluded", reason="excluded at quality control: the stomach"),
    case("P-2", "liver", role="organ", unit="", volume_mm3=1.5e6),
    case("P-2", "liver", "reader2", role="organ"),
    case("007", "lesion1", unit="SUV", mean=5.125, sd=1.0, minimum=0.5, median=5.0, maximum=9.996),
    case("007", "lesion1", "reader2"),
    case("007", "all", role="computed"),
    case("007", "all", "reader2", role="computed"),
    refused("P-9", "lesion1", NASTY),
]
READINGS = [
    reading("P-1", "lesion2", "reader2", 0.75, 4.0),
    reading("P-2", "lesion1", "reader2", 0.01, 90.0),
    reading("P-2", "liver", "reader2", 0.97, 2.0),
    reading("007", "lesion1", "reader2", 0.85, 2.5),
    reading("007", "all", "reader2", 0.02, 80.0),
]
SIGNOFF = [
    ("P-1", "arterial", "lesion2", "reader1", "ok", ""),
    ("P-2", "arterial", "lesion1", "reader2", "exclude", "the stomach"),
    ("P-2", "arterial", "lesion1", "reader1", "", ""),
]


def written(folder, cohort="development", cases=CASES, readings=READINGS, signoff=SIGNOFF, grey=0):
    """Results as the stages write them and the report reads them: blank cells, columns without any value."""
    images = folder / "images" / cohort
    counts = dict.fromkeys(("voxels", "components", "cavities"), "Int64") | {"touches_border": "boolean"}
    write_table(pd.DataFrame(cases, columns=COLUMNS).astype(counts), images / "cases.csv")
    write_table(pd.DataFrame(readings, columns=list(READINGS[0])), images / "readings.csv")
    write_table(pd.DataFrame(signoff, columns=[*CASE, "decision", "reason"]), folder / f"cohort/{cohort}/signoff.csv")
    pictures = {}
    for number, row in enumerate(cases):
        if row["voxels"] is not None:
            path = images / row["patient"] / "_".join([row["phase"], row["region"], row["rater"]])
            path.parent.mkdir(exist_ok=True)
            pictures[row["patient"], row["region"], row["rater"]] = png(grey + number)
            path.with_suffix(".png").write_bytes(png(grey + number))
    paths = [*images.rglob("*.csv"), *images.rglob("*.png"), folder / f"cohort/{cohort}/signoff.csv"]
    return read_results(paths, folder), pictures


@pytest.fixture
def results(tmp_path):
    return written(tmp_path)[0]


@pytest.fixture
def page(results):
    return render_gallery(STUDY, results, TEMPLATES)


def cards(page):
    """Pairs of the card's HTML and its picture, in the order of the page."""
    found = re.findall(r'<details class="case">(.*?)</details>', page, re.DOTALL)
    return [(card, base64.b64decode(re.search(r"base64,([^\"]+)", card)[1])) for card in found]


def name_of(card):
    return re.search(r'<span class="name">(.*?)</span>', card)[1].split(" · ")


def test_every_region_has_its_own_picture_and_flagged_undecided_ones_come_first(tmp_path):
    results, pictures = written(tmp_path)
    page = render_gallery(STUDY, results, TEMPLATES)
    shown = [(name_of(card), picture) for card, picture in cards(page)]
    assert len(shown) == len(CASES) - 1
    for (patient, phase, region, rater), picture in shown:
        assert phase == "arterial"
        assert picture == pictures[patient, region, rater]
    assert [name[0] + name[2] for name, _ in shown[:3]] == ["P-2lesion1", "P-1lesion2", "P-1lesion1"]
    assert shown[-1][0] == ["P-2", "arterial", "lesion1", "reader2"]  # signed off, without flags
    assert re.findall(r'<section id="([a-z]+)"', page) == ["agreement", "flagged", "calm", "refused"]
    assert 'href="#flagged">Flagged (2)<' in page
    assert 'href="#calm">Without flags (9)<' in page


def test_a_page_of_a_large_study_holds_the_first_pictures_and_names_the_files_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("nenflow.report.gallery.INLINED", 3)
    results, _ = written(tmp_path)
    page = render_gallery(STUDY, results, TEMPLATES)
    found = re.findall(r'<details class="case">(.*?)</details>', page, re.DOTALL)
    assert [("base64," in card, "<dt>Picture</dt>" in card) for card in found] == [(True, False)] * 3 + [
        (False, True)
    ] * (len(found) - 3)
    named = re.findall(r"<dt>Picture</dt><dd>(.*?)</dd>", page)
    assert all(name in results for name in named)
    assert len(set(named)) == len(found) - 3
    assert f"of the other {len(found) - 3} it says what was measured" in page


def test_page_opens_without_network_and_script(page):
    outline = Outline(page)
    assert (outline.wrong, outline.open) == ([], [])
    for tag, attributes in outline.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
        if tag == "img":
            assert len(attributes["alt"]) > 10
            assert (attributes["width"], attributes["height"]) == ("900", "330")
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    assert not re.search(r"url\(|@import|<script|<link|<iframe|<object|<b>bold", page)
    assert "default-src 'none'" in page
    assert page.count("&lt;script&gt;") == 3  # the title twice, a reason


@needs_browser
def test_a_pseudonym_that_is_a_script_is_shown_and_not_run(open_page, results, tmp_path):
    """The checks refuse such a name before; the page does not rely on them."""
    named = dict(results)
    cases = named["images/development/cases.csv"].replace({"patient": {"P-9": NASTY}})
    named["images/development/cases.csv"] = cases
    path = tmp_path / "gallery.html"
    path.write_text(render_gallery(STUDY, named, TEMPLATES), encoding="utf-8")
    assert_sound(open_page, path)
    screen = open_page(path).page
    assert screen.locator("h1").inner_text() == STUDY["title"]
    assert screen.locator("#refused").inner_text().count(NASTY) == 2  # the patient and the reason
    assert screen.locator("script").count() == 0


def test_card_says_what_was_measured_and_decided(page):
    by_name = {"/".join(name_of(card)): re.sub(r"<[^>]+>", " ", card) for card, _ in cards(page)}
    flagged = by_name["P-1/arterial/lesion2/reader1"]
    for words in ("separate parts: 2", "holes inside: 1", "12.3 cm³ in 1,000 voxels", "2 parts, 1 closed hole",
                  "mean 65.2, SD 20.5, median 64.0, range −10.0 to 150.0 HU",
                  "with reader2: Dice 0.75, Hausdorff 8.0 mm (95%: 4.0 mm)"):  # fmt: skip
        assert words in flagged, words
    other = by_name["P-1/arterial/lesion2/reader2"]
    assert "512 mm³ · mean 0.0 HU · not signed off" in " ".join(other.split())
    assert "with reader1: Dice 0.75" in other
    stomach = by_name["P-2/arterial/lesion1/reader2"]
    assert "excluded: the stomach" in stomach
    assert "excluded at quality control: the stomach" in stomach
    assert "mean 5.12, SD 1.00, median 5.00, range 0.50 to 10.00 SUV" in by_name["007/arterial/lesion1/reader1"]
    assert "1,500.0 cm³ · mean 65.2 · not signed off" in " ".join(by_name["P-2/arterial/liver/reader1"].split())
    assert "Agreement" not in by_name["P-1/arterial/lesion1/reader1"]


def test_regions_without_picture_are_listed_with_their_reason(page):
    assert re.search(r"<strong>P-9 · arterial · lesion1 · reader1</strong>: &lt;script&gt;", page)


def test_counts_and_decisions_are_summed_up(results):
    cases = all_cases(STUDY, results)
    assert count_words(cases) == (
        "11 regions of 3 patients were measured, and 2 flagged for a closer look. 1 region could not be read or used."
    )
    assert signoff_words(cases) == "2 of 11 regions signed off: 1 ok, 1 excluded."
    assert flagged_table(cases).to_numpy().tolist() == [
        ["P-2", "arterial", "lesion1", "reader1", "touches the image border: foot"],
        ["P-1", "arterial", "lesion2", "reader1", "separate parts: 2; holes inside: 1"],
    ]


def test_agreement_is_of_drawn_regions_that_are_included(results):
    table = agreement_table(all_cases(STUDY, results), all_readings(STUDY, results))
    assert table.to_dict("records") == [
        {"Readers": "reader2 against reader1", "Phase": "arterial", "Regions": "lesions", "n": "2",
         "Dice, median (range)": "0.80 (0.75–0.85)", "Hausdorff 95%, mm": "3.2 (2.5–4.0)",
         "Hausdorff, mm": "6.5 (5.0–8.0)"},
        {"Readers": "reader2 against reader1", "Phase": "arterial", "Regions": "organs", "n": "1",
         "Dice, median (range)": "0.97 (0.97–0.97)", "Hausdorff 95%, mm": "2.0 (2.0–2.0)",
         "Hausdorff, mm": "4.0 (4.0–4.0)"},
    ]  # fmt: skip


def test_cohorts_that_share_a_pseudonym_are_kept_apart(tmp_path):
    study = STUDY | {"cohorts": {"development": {}, "validation": {}}}
    first, one = written(tmp_path, cases=[case("P-1", "a"), case("P-1", "a", "reader2")], signoff=[],
                         readings=[reading("P-1", "a", "reader2", 0.9, 1.0)])  # fmt: skip
    second, two = written(tmp_path, "validation", [case("P-1", "a"), case("P-1", "a", "reader2")], grey=100,
                          signoff=[("P-1", "arterial", "a", "reader1", "ok", "")],
                          readings=[reading("P-1", "a", "reader2", 0.3, 9.0)])  # fmt: skip
    results = first | second
    shown = {
        tuple(name_of(card)[3:]): (card, picture) for card, picture in cards(render_gallery(study, results, TEMPLATES))
    }
    for rater in ("reader1", "reader2"):
        assert shown[rater, "development"][1] == one["P-1", "a", rater]
        assert shown[rater, "validation"][1] == two["P-1", "a", rater]
        assert "Dice 0.90" in shown[rater, "development"][0]
        assert "Dice 0.30" in shown[rater, "validation"][0]
    assert signoff_words(all_cases(study, results)) == "1 of 4 regions signed off: 1 ok, 0 excluded."
    assert list(agreement_table(all_cases(study, results), all_readings(study, results))["Cohort"]) == [
        "development", "validation",
    ]  # fmt: skip


def test_one_reader_and_no_decisions_make_a_page_too(tmp_path):
    results, _ = written(tmp_path, cases=[case("P-1", "a")], readings=[], signoff=[])
    for present in (results, {name: table for name, table in results.items() if "signoff" not in name}):
        page = render_gallery(STUDY, present, TEMPLATES)
        assert "Nobody has signed off the regions yet." in page
        assert "1 region of 1 patient was measured, and none flagged for a closer look." in page
        assert re.findall(r'<section id="([a-z]+)"', page) == ["calm"]
    nothing, _ = written(tmp_path / "b", cases=[refused("P-9", "a", "empty")], readings=[], signoff=[])
    assert re.findall(r'<section id="([a-z]+)"', render_gallery(STUDY, nothing, TEMPLATES)) == ["refused"]
    assert "No region has been brought in." in render_gallery(STUDY, {}, TEMPLATES)


def test_simulated_data_are_named(page, tmp_path):
    assert 'class="banner"' in page
    own = STUDY | {"cohorts": {"development": {"patients": "patients.csv"}}}
    results, _ = written(tmp_path / "own")
    assert 'class="banner"' not in render_gallery(own, results, TEMPLATES)
    write_json({"simulated": True}, tmp_path / "own/images/development/P-1/arterial.json")
    tags = read_results([tmp_path / "own/images/development/P-1/arterial.json"], tmp_path / "own")
    assert 'class="banner"' in render_gallery(own, results | tags, TEMPLATES)


def test_page_of_many_regions_is_little_more_than_its_pictures(tmp_path):
    many = [case(f"P-{number}", "lesion1", flags="separate parts: 2") for number in range(60)]
    readings = [reading(f"P-{number}", "lesion1", "reader2", 0.9, 1.0) for number in range(60)]
    results, pictures = written(tmp_path, cases=many, readings=readings)
    page = render_gallery(STUDY, results, TEMPLATES)
    style = (TEMPLATES / "style.css").stat().st_size
    assert len(page.encode()) < sum(map(len, pictures.values())) * 4 / 3 + style + len(many) * OVERHEAD


def test_same_results_give_the_same_page(results, page):
    assert render_gallery(STUDY, results, TEMPLATES) == page
    assert np.array_equal(all_cases(STUDY, results)[CASE], all_cases(STUDY, results)[CASE])


def test_volumes_of_organs_and_of_the_whole_tumour_burden(results):
    images = {"organs": ["liver"], "regions": {"all": {"kind": "union"}, "rim": {"kind": "ring"}}}
    study = {**STUDY, "images": images, "stability": {"readings": {"reference": "reader1"}}}
    table = volumes_table(all_cases(study, results), study)
    assert table.to_numpy().tolist() == [  # 12345.6 and 1.5e6 mm3; the second reader's do not count
        ["all", "arterial", "1", "12.3 (12.3–12.3)"],
        ["liver", "arterial", "1", "1500.0 (1500.0–1500.0)"],
    ]
    assert volumes_table(all_cases(study, results), {**study, "images": {}}).empty
