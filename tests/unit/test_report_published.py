import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit

from nenflow.evaluation.apparent import published_figures
from nenflow.evaluation.corrected import grouped_calibration, smooth_calibration
from nenflow.evaluation.discrimination import auc
from nenflow.models.nomogram import nomogram, points_table
from nenflow.models.protocol import from_document, scores
from nenflow.report.drawing import DOTS
from nenflow.report.page import Drawing, Heading, Printed, Section, Text, save_blocks
from nenflow.report.sections_published import published_blocks
from nenflow.tables import UNIT

MODEL = {
    "title": "Printed model of relapse",
    "source": "Its table 4.",
    "variables": {
        "size": {"label": "Size (cm)", "type": "continuous"},
        "grade": {"label": "Grade", "type": "categorical", "levels": ["1", "2"]},
    },
    "ratios": {"size": [1.5, 1.2, 1.9], "grade=2": [2.0, 1.1, 3.6]},
    "steps": {
        "terms": {"factors": {"grade": ["1", "2"]}, "splines": {}, "knots": {}},
        "logistic": {
            "variables": ["size", "grade=2"],
            "intercept": -2.0,
            "coefficients": {"size": float(np.log(1.5)), "grade=2": float(np.log(2.0))},
            "linear_predictor": [-2.0, 2.0],
            "scales": {"size": {"minimum": 1, "maximum": 8}},
        },
    },
}
STUDY = {
    "unit": "patient",
    "endpoints": {"relapse": {"variable": "relapse", "event": "yes"}},
    "variables": {
        **MODEL["variables"],
        "relapse": {"label": "Relapse", "type": "categorical", "levels": ["no", "yes"]},
    },
    "models": {"own": {"endpoint": "relapse"}},
    "published": {"printed": {"file": "printed.json", "endpoint": "relapse"}},
}


@pytest.fixture(scope="module")
def cohort():
    """Outcomes that follow the model exactly, in 400 patients."""
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([[f"P{k}" for k in range(400)], ["patient"]], names=UNIT)
    X = pd.DataFrame({"size": rng.uniform(1, 8, 400), "grade": rng.integers(1, 3, 400).astype(float)}, index=index)
    table = scores(from_document(MODEL, list(X)), X)
    return X, pd.Series(rng.binomial(1, table["probability"]), index=index, name="outcome"), table


def test_a_logistic_model_of_print_is_applied_and_judged(cohort):
    X, y, table = cohort
    expected = -2 + np.log(1.5) * X["size"] + np.log(2) * (X["grade"] == 2)
    np.testing.assert_allclose(table["probability"], expit(expected), atol=1e-8)
    figures = published_figures(y, table)
    assert figures["auc"] == pytest.approx(auc(y, expected))
    # The truth's own slope is 1: standard error 0.15 with 400 patients. Taken as fitted here it would be 1 exactly.
    assert figures["indexes"]["slope"] == pytest.approx(1, abs=0.45)
    assert figures["indexes"]["slope"] != 1
    assert figures["hosmer_lemeshow"]["df"] == figures["hosmer_lemeshow"]["groups"]  # external: none is taken off
    curve = smooth_calibration(y, table)
    assert curve["predicted"].is_monotonic_increasing
    assert (curve["apparent"] - curve["predicted"]).abs().mean() == pytest.approx(
        figures["calibration"]["ici"], abs=0.01
    )
    worse = published_figures(y, table.assign(linear_predictor=3 * expected, probability=expit(3 * expected)))
    assert worse["indexes"]["slope"] == pytest.approx(figures["indexes"]["slope"] / 3)
    assert worse["calibration"]["ici"] > figures["calibration"]["ici"]


def results(cohort, own):
    _, y, table = cohort
    drawn = nomogram(MODEL["steps"]["logistic"], MODEL["steps"]["terms"])
    files = {
        "models/published_printed/model.json": MODEL,
        "models/published_printed/scores.csv": table.join(y).reset_index(),
        "models/published_printed/nomogram.json": drawn,
        "models/published_printed/points.csv": points_table(drawn),
        "evaluation/published_printed/performance.json": published_figures(y, table),
        "evaluation/published_printed/calibration.csv": smooth_calibration(y, table),
        "evaluation/published_printed/calibration_groups.csv": grouped_calibration(y, table),
    }
    if own:
        ratios = {"odds_ratio": [np.nan, 1.4], "low": [np.nan, 1.1], "high": [np.nan, 1.7]}
        files["models/own/multivariable.csv"] = pd.DataFrame({"variable": ["intercept", "size"], **ratios})
        files["models/own/points.csv"] = points_table(drawn)
    return files


@pytest.mark.parametrize("own", [True, False])
def test_the_section_shows_print_beside_the_study(cohort, own):
    blocks = published_blocks(STUDY, results(cohort, own))
    assert blocks[0] == Heading("Printed model of relapse")
    words = " ".join(block.text for block in blocks if isinstance(block, Text))
    assert "Its table 4." in words
    assert "AUC" in words
    tables = {block.name: block.table for block in blocks if isinstance(block, Printed)}
    ratios = tables["ratios_published_printed"].set_index("Variable")
    assert list(ratios["Published: OR (95% CI)"]) == ["1.500 (1.200–1.900)", "2.000 (1.100–3.600)"]
    assert ratios.loc["Size (cm)", "This cohort: OR (95% CI)"] == ("1.400 (1.100–1.700)" if own else "not in the model")
    assert ratios.loc["Grade: 2 against 1", "This cohort: OR (95% CI)"] == "not in the model"
    assert tables["points_published_printed"].shape == (2, 3 if own else 2)
    names = [block.name for block in blocks if isinstance(block, Drawing)]
    assert names == ["nomogram_published_printed", "calibration_published_printed"]


def test_what_comes_from_print_alone_is_not_called_simulated(cohort, tmp_path):
    blocks = published_blocks(STUDY, results(cohort, own=True))
    heights = {block.name: round(block.figure.get_figheight() * DOTS) for block in blocks if isinstance(block, Drawing)}
    save_blocks([Section("published", "Published models", blocks)], tmp_path, simulated=True)
    stamped = {name for name, height in heights.items() if _height(tmp_path / f"figures/{name}.png") > height + 1}
    assert stamped == {"calibration_published_printed"}
    marked = {path.stem for path in tmp_path.glob("tables/*.csv") if "data" in pd.read_csv(path)}
    assert marked == {"ratios_published_printed", "total-points_published_printed"}


def _height(path):
    with Image.open(path) as picture:
        return picture.height


def test_without_results_or_models_there_is_no_section():
    assert published_blocks(STUDY, {}) == []
    assert published_blocks({"unit": "patient"}, {}) == []
