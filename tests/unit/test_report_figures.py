import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

from nenflow.evaluation.groups import incidence_curves, survival_curves
from nenflow.report.answer import Finding, Tally, answer_rows
from nenflow.report.drawing import DOUBLE, SINGLE, save_figure, text_width, wrap
from nenflow.report.figures_answer import answer_figure
from nenflow.report.figures_cohort import flow_figure, markers_figure, stability_figure
from nenflow.report.figures_evaluation import (
    calibration_figure,
    chance_figure,
    decision_figure,
    honest_figure,
    roc_figure,
)
from nenflow.report.figures_model import lasso_figure, nomogram_axes, nomogram_figure, tick_text
from nenflow.report.figures_multiverse import specification_figure
from nenflow.report.figures_selection import funnel_figure, waterfall_figure
from nenflow.report.figures_survival import (
    forest_figure,
    incidence_figure,
    survival_calibration_figure,
    survival_figure,
    survival_panels,
    time_roc_figure,
)

TOUCH = 0.5  # pixels by which boxes of text may overlap: rounding of the layout, nothing that an eye sees
DOTS_PER_MM = 300 / 25.4

FLOW = pd.DataFrame(
    [
        ("declared", 80, 138, 0, 0, ""),
        ("images", 79, 136, 1, 2, "the series has a missing slice, and so much else is wrong that the reason is long"),
        ("images", 78, 135, 1, 1, "region under the minimum size"),
        ("clinical data", 76, 131, 2, 4, "no value for Ki-67"),
        ("analysed", 76, 131, 0, 0, ""),
    ],
    columns=["step", "patients", "lesions", "excluded_patients", "excluded_lesions", "reason"],
)
NOMOGRAM = {  # total points and probability follow from the points: slopes of the birth weight model do not matter here
    "variables": {
        "Radscore": {"values": [0, 1, 2, 3], "points": [0, 100 / 3, 200 / 3, 100]},
        "number": {"values": [1, 2, 3], "points": [0, 4, 8]},
    },
    "total_points": [0, 20, 40, 60, 80, 100, 120],
    "linear_predictor": {"values": [-4, -2, 0, 2], "total_points": [-10, 15, 40, 65]},
    "probability": {"values": [0.1, 0.5, 0.9, 0.99], "total_points": [10, 40, 70, 130]},
}
VARIABLES = {
    "number": {
        "label": "Number of metastases", "type": "categorical", "levels": ["oligometastatic", "multiple", "diffuse"],
    }
}  # fmt: skip


def shown_texts(figure):
    """All texts that are drawn: matplotlib keeps labels of ticks beyond the axes' limits, but does not draw them."""
    figure.draw_without_rendering()
    hidden = set()
    for axes in (axes for parent in figure.axes for axes in [parent, *parent.child_axes]):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            for tick in axis.get_major_ticks():
                if not axes.axison or not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {tick.label1, tick.label2}
    drawn = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in drawn if text not in hidden]


def texts(figure):
    return [text.get_text() for text in shown_texts(figure)]


def overlaps(figure):
    """Pairs of texts that lie on each other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    return [
        (a, b)
        for (a, first), (b, second) in itertools.combinations(boxes, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > TOUCH
        and min(first.y1, second.y1) - max(first.y0, second.y0) > TOUCH
    ]


def cut(figure):
    """Texts that the figure's edge cuts."""
    edge = figure.bbox.padded(TOUCH)
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    return [text for text, box in boxes if box.x0 < edge.x0 or box.x1 > edge.x1 or box.y0 < edge.y0 or box.y1 > edge.y1]


def roc_data():
    roc = pd.DataFrame(
        {
            "score": "Radscore",
            "threshold": [-np.inf, 0.2, 0.5, 0.8, np.inf],
            "sensitivity": [1, 1, 0.5, 0.5, 0],
            "specificity": [0, 0.5, 0.5, 1, 1],
        }
    )
    performance = {
        "Radscore": {"auc": 0.75, "auc_delong": [0.26, 1.0], "youden": {"sensitivity": 0.5, "specificity": 1.0}}
    }
    return roc, performance


def stability_data():
    return pd.DataFrame(
        {
            "feature": ["a", "b", "c", "d"] * 2,
            "comparison": ["intra"] * 4 + ["inter"] * 4,
            "n": 46,
            "ICC2": [0.9, 0.8, 0.75, np.nan, 0.74, -3.0, 0.99, np.nan],
        }
    )


def lasso_data():
    lambdas = np.geomspace(0.1, 0.001, 20)
    reach = np.clip(np.log(0.06 / lambdas), 0, None)
    path = pd.DataFrame([0 * reach, 0.2 * reach, -0.1 * np.clip(reach - 1, 0, None)], columns=lambdas)
    path.index = ["original_glcm_Idn", "wavelet-LLH_firstorder_Median", "original_shape_Maximum3DDiameter"]
    mean = 1 + 0.05 * (np.arange(20) - 7) ** 2 / 49
    nonzero = (path != 0).sum().to_numpy()
    return path, pd.DataFrame({"lambda": lambdas, "mean": mean, "error": 0.02, "nonzero": nonzero})


def honest_data():
    rows = [
        (score, estimate, auc, auc - 0.1, auc + 0.05, honest, 0.5 if honest else None, 0.45, 0.62)
        for score, shift in (("Radscore", 0.0), ("Fusion model", 0.08))
        for estimate, auc, honest in (
            ("Apparent", 0.85 + shift, False),
            ("Published bootstrap", 0.85 + shift, False),
            ("Optimism-corrected (.632+)", 0.7 + shift, True),
        )
    ]
    columns = ["score", "estimate", "auc", "low", "high", "honest", "chance", "chance_low", "chance_high"]
    return pd.DataFrame(rows, columns=columns)


def chance_data():
    rng = np.random.default_rng(1)
    shown = {"Apparent": rng.uniform(0.5, 0.93, 200), "Optimism-corrected (.632+)": rng.normal(0.52, 0.02, 200)}
    return pd.DataFrame(shown)


def marker_data():
    names = [f"wavelet-HHL_gldm_LargeDependenceHighGrayLevelEmphasis{number}" for number in range(25)]
    auc = np.linspace(0.95, 0.5, 25)
    return pd.DataFrame(
        {"marker": names, "direction": ["higher", "lower"] * 12 + ["higher"], "auc": auc, "auc_low": auc - 0.2,
         "auc_high": np.minimum(auc + 0.2, 1)}
    )  # fmt: skip


def calibration_data():
    grid = np.arange(1, 100) / 100
    corrected = np.where(grid < 0.1, np.nan, 0.1 + 0.8 * grid)
    return pd.DataFrame({"predicted": grid, "apparent": grid, "corrected": corrected})


def decision_data():
    grid = np.arange(1, 100) / 100
    everybody = 0.8 - 0.2 * grid / (1 - grid)
    curves = {"model": np.maximum(everybody, 0.3), "all": everybody, "none": 0 * grid}
    return pd.concat(
        pd.DataFrame({"threshold": grid, "strategy": name, "net_benefit": curve}) for name, curve in curves.items()
    )


def cell_data(lacking=0):
    """A hundred cells or so, of which the last ones could not be computed."""
    combinations = list(itertools.product(*CHOICES.values()))
    cells = pd.DataFrame(combinations, columns=list(CHOICES))
    honest = np.linspace(0.45, 0.9, len(cells))
    honest[len(cells) - lacking :] = np.nan
    own = np.arange(len(cells)) == 40
    return cells.assign(honest=honest, low=honest - 0.1, high=honest + 0.08, apparent=honest + 0.1, own=own)


CHOICES = {
    "Bin width": ["12.5", "25", "50"],
    "Spacing (mm)": ["1", "1x1x3", "2"],
    "Correlation threshold": ["0.8", "0.85", "0.9", "0.95"],
    "Lambda rule": ["lambda.min", "lambda.1se"],
    "A step of a very long name, option": ["$1", "$2"],
}


def answer_data():
    """Two models that were permuted or not, and many tests, one label as long as they get."""
    models = [
        Finding("the fusion model", "AUC", (0.967, 0.94, 0.993), (0.819, 0.607, 0.972), (0.5, 0.5, 0.644), p=0.005),
        Finding(
            "a model of a very long name that takes more than one line", "AUC", (1, np.nan, np.nan), (0.4, 0.1, 0.7)
        ),
    ]
    return answer_rows(models, Tally("feature", 214, 88, 40, "false discovery rate", grown=187))


def score_data():
    rng = np.random.default_rng(2)
    return pd.DataFrame({"score": rng.normal(size=60), "outcome": rng.integers(0, 2, 60)})


STAGES = [
    ("Features measured", 1702, ""),
    ("Stable", 1204, "ICC(2,1) under 0.75"),
    ("Not redundant", 194, "correlated above 0.9 with one that stays, and a reason that goes on for so long"),
    ("In the Radscore", 0, "no weight in the LASSO at lambda.1se"),
]

DRAW = {
    "funnel": lambda: funnel_figure(STAGES),
    "waterfall": lambda: waterfall_figure(score_data(), 0.3, {0: "effective", 1: "$1 or $2"}, "Radscore", "lesion"),
    "answer": lambda: answer_figure(answer_data()),
    "flow": lambda: flow_figure(FLOW),
    "stability": lambda: stability_figure(stability_data(), "ICC2", 0.75),
    "markers": lambda: markers_figure(marker_data()),
    "lasso": lambda: lasso_figure(*lasso_data(), 0.02, 0.04, "lambda.min"),
    "nomogram": lambda: nomogram_figure(NOMOGRAM, VARIABLES, "ineffective"),
    "nomogram of survival": lambda: nomogram_figure(SURVIVAL, LONG, "overall survival"),
    "roc": lambda: roc_figure(*roc_data()),
    "calibration": lambda: calibration_figure(calibration_data(), pd.Series([0.1, 0.5, 0.9, 0.91]), "ineffective"),
    "decision": lambda: decision_figure(decision_data(), "Fusion model"),
    "crowded decision": lambda: decision_figure(
        decision_data().assign(low=0.0, high=0.5, corrected=0.3),
        "Fusion model of the Radscore, Ki-67 and the number of metastases",
        outside=decision_data().query("strategy == 'model'"),
    ),
    "honest": lambda: honest_figure(honest_data()),
    "chance": lambda: chance_figure(chance_data(), pd.Series({"Apparent": 0.967, "Optimism-corrected (.632+)": 0.819})),
    "specification": lambda: specification_figure(cell_data(), "AUC", CHOICES),
    "specification with gaps": lambda: specification_figure(cell_data(lacking=9), "C-index", CHOICES),
}


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_fills_one_column_or_two(name):
    assert DRAW[name]().get_figwidth() * 25.4 in (pytest.approx(SINGLE), pytest.approx(DOUBLE))


@pytest.mark.parametrize("name", DRAW)
def test_no_text_lies_on_another_or_is_cut(name):
    figure = DRAW[name]()
    assert not overlaps(figure)
    assert not cut(figure)


def test_the_same_input_gives_the_same_bytes_at_a_journal_s_width(tmp_path):
    for run in ("first", "second"):
        save_figure(DRAW["roc"](), tmp_path / run, simulated=False)
    for ending in (".png", ".pdf", ".svg"):
        assert (tmp_path / f"first{ending}").read_bytes() == (tmp_path / f"second{ending}").read_bytes()
    assert b"CreationDate" not in (tmp_path / "first.pdf").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "first.svg").read_bytes()
    picture = Image.open(tmp_path / "first.png")
    assert picture.width == int(85 * DOTS_PER_MM)
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)  # stored per metre


def test_simulated_data_are_named_in_a_strip_of_their_own(tmp_path):
    figure = DRAW["flow"]()
    before = figure.get_figheight()
    save_figure(figure, tmp_path / "figure", simulated=True)
    assert "Simulated data" in texts(figure)
    assert figure.get_figheight() > before
    assert not overlaps(figure)


def test_flow_counts_who_is_left_and_says_why_others_left():
    shown = " ".join(texts(flow_figure(FLOW)))
    assert "80 patients, 138 lesions" in shown
    assert "78 patients, 135 lesions" in shown
    assert "1 patient, 2 lesions: the series has a missing slice" in shown
    assert "2 patients, 4 lesions: no value for Ki-67" in shown
    assert shown.count("76 patients, 131 lesions") == 1  # the last exclusion leads to those analysed, without a copy


def test_flow_of_patients_does_not_count_lesions():
    shown = " ".join(texts(flow_figure(FLOW, unit="patient")))
    assert "lesion" not in shown
    assert "76 patients" in shown


def test_flow_without_exclusions_has_no_box_for_them():
    assert "Excluded" not in texts(flow_figure(FLOW.iloc[[0, 4]]))


def test_stability_counts_the_threshold_itself_as_stable_and_what_could_not_be_computed():
    assert any("patients)" in text for text in texts(stability_figure(stability_data(), "ICC2", 0.75, "patient")))
    shown = texts(stability_figure(stability_data(), "ICC2", 0.75))
    assert "3 of 4\nat 0.75 or above\n1 not computable" in shown
    assert "1 of 4\nat 0.75 or above\n1 not computable" in shown


def test_only_the_best_markers_are_drawn_with_the_side_of_the_events():
    shown = [text for text in texts(markers_figure(marker_data())) if text.startswith("HHL")]
    assert len(shown) == 20
    assert shown[0].endswith("Emphasis0 ↑")
    assert shown[1].endswith("Emphasis1 ↓")


def test_a_perfect_marker_has_no_interval_and_is_drawn_all_the_same():
    table = marker_data().head(1).assign(auc=1.0, auc_low=np.nan, auc_high=np.nan)
    assert "1.00" in texts(markers_figure(table))


def test_lasso_names_the_selected_features_and_counts_them_on_top():
    shown = texts(lasso_figure(*lasso_data(), 0.02, 0.04, "lambda.min"))
    assert "LLH first order Median" in shown
    assert "shape Maximum3DDiameter" in shown
    assert "GLCM Idn" not in shown
    assert {"λ.min", "λ.1se"} < set(shown)
    figure = lasso_figure(*lasso_data(), 0.02, 0.04, "lambda.min")
    top = next(child for axes in figure.axes for child in axes.child_axes)
    counts = [label.get_text() for label in top.get_xticklabels()]
    assert (counts[0], counts[-1]) == ("0", "2")  # from the largest penalty down


def test_lasso_that_selects_nothing_says_so():
    path, curve = lasso_data()
    figure = lasso_figure(path, curve, 0.02, path.columns[0], "lambda.1se")
    assert "No feature is left at lambda.1se" in texts(figure)
    assert not overlaps(figure)


def test_lasso_with_one_choice_marks_it_once():
    path, curve = lasso_data()
    shown = texts(lasso_figure(path, curve, 0.02, 0.02, "lambda.min"))
    assert "λ.min = λ.1se" in shown
    assert "λ.1se" not in shown


def test_nomogram_places_every_level_and_keeps_the_scales():
    rows = {row.name: row for row in nomogram_axes(NOMOGRAM, VARIABLES, "ineffective")}
    names = ["Points", "Radscore", "Number of metastases", "Total points", "Linear predictor"]
    assert list(rows) == [*names, "Probability of ineffective"]
    levels = rows["Number of metastases"]
    assert levels.ticks == [(0, "oligometastatic"), (4, "multiple"), (8, "diffuse")]
    # 8 points are 9 mm: no two labels fit beside each other, so they go down like stairs
    assert {text: line for *_, text, line in levels.labels()} == {"oligometastatic": -3, "multiple": -2, "diffuse": -1}
    assert dict(rows["Total points"].ticks) == {0: "0", 100 / 6: "20", 100 / 3: "40", 50: "60", 200 / 3: "80",
                                                500 / 6: "100", 100: "120"}  # fmt: skip
    assert rows["Linear predictor"].ticks == [(12.5, "−2"), (100 / 3, "0"), (6500 / 120, "2")]
    # 10, 40 and 70 of 120 points; 130 points cannot be reached, so a probability of .99 has no place on the line
    assert [text for _, text in rows["Probability of ineffective"].ticks] == ["0.1", "0.5", "0.9"]
    np.testing.assert_allclose([x for x, _ in rows["Probability of ineffective"].ticks], [100 / 12, 100 / 3, 700 / 12])


def survivals(width):
    values = np.arange(1, 20) / 20
    return {"values": values.tolist(), "total_points": (120 - width * values).tolist()}


# A Cox model with a spline that goes up and down, a factor with close and long levels at either end, long names.
SURVIVAL = {
    "variables": {
        "age": {"values": [30, 40, 50, 60, 70, 80], "points": [60, 10, 0, 30, 70, 100]},
        "therapy": {
            "values": [
                "none",
                "interferon and everolimus",
                "both $ and $",
                "a long name of a therapy that goes on and on",
            ],
            "points": [0, 1, 1, 3],
        },
        "site": {"values": ["pancreas", "small bowel", "somewhere else in the body"], "points": [0, 99, 100]},
    },
    "total_points": [0, 50, 100, 150],
    "linear_predictor": {"values": [-1, 0], "total_points": [20, 110]},
    "survival": [
        {"time": 12.0, **survivals(110)},
        {"time": 36.0, **survivals(90)},
        {"time": 60.0, **survivals(40)},
        {"time": 1.0, "values": [], "total_points": []},
    ],
}
LONG = {"age": {"label": "Age at the resection of the primary tumour, at the " * 3, "type": "continuous"}}


def test_nomogram_of_survival_has_a_line_per_time():
    shown = texts(nomogram_figure(SURVIVAL, {}, "overall survival"))
    assert [text for text in shown if "month" in text] == [f"{time}-month overall survival" for time in (12, 36, 60, 1)]
    assert "no round value is reached" in shown


def test_long_labels_are_led_to_their_ticks_without_crossing():
    rows = nomogram_axes(SURVIVAL, LONG, "overall survival")
    for row in rows[2:4]:
        labels = row.labels()
        assert len(labels) == len(row.ticks)
        spans = [
            (middle - text_width(text, 7) / 2, middle + text_width(text, 7) / 2, line)
            for _, middle, text, line in labels
        ]
        for spot, _, text, line in labels:
            assert text
            passed = [(a, b) for a, b, other in spans if other * line > 0 and abs(other) < abs(line)]
            assert not any(a < spot < b for a, b in passed)
    assert any(text.endswith("…") for *_, text, _ in rows[2].labels())
    assert {np.sign(line) for *_, line in rows[3].labels()} == {-1, 1}  # on the right edge labels reach to the left


def test_scale_that_turns_has_its_way_back_above_the_line():
    age = nomogram_axes(SURVIVAL, {}, "overall survival")[1]
    assert [text for _, text in age.ticks] == ["60", "70", "80"]
    assert [text for _, text in age.above] == ["30", "40", "50"]
    assert {text: line for *_, text, line in age.labels()} == {"60": -1, "70": -1, "80": -1, "30": 1, "40": 1, "50": 1}


def test_crowded_survivals_keep_their_tenths():
    wide, middling, narrow = nomogram_axes(SURVIVAL, {}, "overall survival")[-4:-1]
    tenths = {f"0.{digit}" for digit in range(1, 10)}
    labelled = [{text for *_, text, _ in row.labels() if text} for row in (wide, middling, narrow)]
    assert len(labelled[0]) == len(labelled[1]) == 19
    assert labelled[2] == tenths
    assert len(narrow.labels()) == 19


def test_nomogram_of_one_variable():
    alone = NOMOGRAM | {"variables": {"Radscore": NOMOGRAM["variables"]["Radscore"]}}
    figure = nomogram_figure(alone, {}, "ineffective")
    assert "Radscore" in texts(figure)
    assert not overlaps(figure)


def test_dense_ticks_lose_labels_but_stay():
    dense = {"values": list(range(101)), "points": list(np.linspace(0, 40, 101))}
    row = nomogram_axes(NOMOGRAM | {"variables": {"ki67": dense}}, {}, "event")[1]
    assert len(row.ticks) == 101
    assert [text for _, text in row.ticks if text] == ["0", "20", "40", "60", "80", "100"]


def test_ticks_have_the_digits_they_need():
    assert [tick_text(value) for value in (0, 0.2, 100, -4, 0.95, 1e-7)] == ["0", "0.2", "100", "−4", "0.95", "0"]


def test_roc_is_a_staircase_from_corner_to_corner_with_auc_in_its_legend():
    figure = roc_figure(*roc_data())
    line = next(line for line in figure.axes[0].lines if line.get_label().startswith("Radscore"))
    corners = [(0, 0), (0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1), (1, 1)]
    np.testing.assert_array_equal(np.column_stack(line.get_data()), corners)
    assert "Radscore: 0.750 (0.260–1.000)" in texts(figure)


def test_calibration_spread_counts_every_prediction():
    spread = calibration_figure(calibration_data(), pd.Series([0.1, 0.5, 0.9, 0.91, 1.0]), "event").axes[1]
    assert sum(bar.get_height() for bar in spread.patches) == 5


def test_decision_curve_shows_zero_and_hides_the_fall_of_treating_all():
    low, high = decision_figure(decision_data(), "model").axes[0].get_ylim()
    assert -0.2 < low < 0
    assert high > 0.8


def test_a_user_s_dollar_signs_are_no_formula():
    flow = FLOW.assign(reason=["", "cost $x_1$", "", "", ""])
    shown = next(text for text in shown_texts(flow_figure(flow)) if "cost" in text.get_text())
    formula = Text(text="1 patient, 2 lesions: cost $x_1$", figure=shown.get_figure(), fontsize=8)
    assert shown.get_window_extent().width > formula.get_window_extent().width  # signs and underscore are drawn
    assert text_width("$x_1$") > text_width("x1")


def test_long_words_are_broken_to_the_width():
    lines = wrap("wavelet-LLH_glszm_SizeZoneNonUniformityNormalized is a name", 30).split("\n")
    assert all(text_width(line) <= 30 for line in lines)
    assert "".join(lines).replace(" ", "") == "wavelet-LLH_glszm_SizeZoneNonUniformityNormalizedisaname"


def curves_data(*sizes, names=None, scale=30.0, competing=False):
    """Curves of groups as the evaluation writes them, with rounded times, so that there are ties."""
    rng = np.random.default_rng(len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    time = np.ceil(rng.exponential(scale / (1 + 0.4 * group)) * 10) / 10
    event = rng.choice([0, 1, 2] if competing else [0, 1], len(group))
    y = pd.DataFrame({"time": time, "event": event})
    names = names or [f"group {number}" for number in range(len(sizes))]
    groups = {"by": pd.Series(pd.Categorical.from_codes(group, names))}
    made = (incidence_curves if competing else survival_curves)(y, groups)
    return made[made["variable"] == ("by" if len(sizes) > 1 else "")]


LEVELS = ["surgery and chemotherapy, in this order", "chemotherapy, then $ surgery", "neither", "not known", "else"]


def ratio_data():
    rows = [
        ("Age (years)", 1.02, 0.99, 1.05, 0.2),
        ("Treatment", np.nan, np.nan, np.nan, np.nan),
        (f"Treatment of the primary tumour and of its metastases: neither against {LEVELS[0]}", 3.6, 1.9, 6.7, 1e-5),
        ("Perfect", 2e4, 12.0, np.inf, 0.001),
        ("Nothing known", 2.0, np.nan, np.nan, 0.9995),
        ("Protective", 0.004, 0.0004, 0.03, 0.0004),
        ("Size (cm) of the $largest$ lesion", 1.235, 1.082, 1.41, 0.0017),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "ratio", "low", "high", "p"])


def time_roc_data():
    steps = {"sensitivity": [1, 1, 0.6, 0.2, 0], "specificity": [0, 0.5, 0.5, 1, 1]}
    steps |= {"low": [1, 0.6, 0.6, 0, 0], "high": [1, 1, 1, 0.5, 0.5]}
    return pd.concat([pd.DataFrame(steps).assign(time=time) for time in (60.0, 12.0, 36.0)])


AREAS = {"12": "0.813 (0.733–0.893)", "36": "0.746 (0.649–0.843)", "60": "0.736 (0.596–0.876)"}


def survival_groups_data():
    return pd.DataFrame(
        {"predicted": [0.2, 0.5, 0.9], "observed": [0.3, 0.45, 1.0], "low": [0.1, 0.3, np.nan],
         "high": [0.6, 0.7, np.nan], "corrected": [0.35, 0.4, 0.95]}
    )  # fmt: skip


PANELS = {
    "a": "first order Mean (arterial)",
    "b": "GLSZM LargeAreaLowGrayLevelEmphasis (arterial)",
    "c": "GLCM Imc1 (arterial)",
    "d": "shape SurfaceVolumeRatio (portal)",
}
EXTREME = {"label": "ZonePercentage", "ratio": 9.76e-161, "low": 1.56e-295, "high": 6.12e-26, "p": 0.9}
DRAW_SURVIVAL = {
    "one curve": lambda: survival_figure(curves_data(140), "Survival (months)", "Share without “death” (Status)"),
    "two curves": lambda: survival_figure(
        curves_data(50, 40), "Survival (months)", "Share without “death” (Status)", "Sex; log-rank p = 0.03"
    ),
    "five curves of many": lambda: survival_figure(
        curves_data(900, 700, 500, 300, 3, names=LEVELS, scale=1500), "Overall survival since diagnosis (days)",
        "Share without “death” (Status at end)", "Treatment; log-rank p <0.001",
    ),
    "panels": lambda: survival_panels(
        pd.concat([curves_data(14, 11, names=["low", "high"]).assign(variable=name) for name in PANELS]),
        PANELS, dict.fromkeys(PANELS, "p = 0.871; corrected >0.999"), "Overall survival (months)",
        "Share without “death” (Status)",
    ),
    "three curves of few": lambda: survival_figure(curves_data(4, 3, 2), "Time (years)", "Share", "Grade"),
    "incidence": lambda: incidence_figure(
        curves_data(140, competing=True).replace({"cause": {1: "tumour", 2: "other"}}), "Survival (months)",
        "Cumulative incidence",
    ),
    "incidences by group": lambda: incidence_figure(
        curves_data(50, 40, 60, names=LEVELS[:3], competing=True).replace({"cause": {1: "tumour", 2: "another cause"}}),
        "Survival (months)", "Cumulative incidence", "Gray's test p = 0.012",
    ),
    "forest": lambda: forest_figure(ratio_data(), "Hazard ratio"),
    "forest with powers of ten": lambda: forest_figure(pd.DataFrame([EXTREME]), "Odds ratio"),
    "forest of one": lambda: forest_figure(ratio_data().head(1), "Odds ratio"),
    "forest of what is unknown": lambda: forest_figure(ratio_data().iloc[[1]], "Odds ratio"),
    "ROC by time": lambda: time_roc_figure(time_roc_data(), AREAS, "Overall survival since the diagnosis (months)"),
    "calibration of survival": lambda: survival_calibration_figure(
        survival_groups_data(), calibration_data(), "survival at 12", pd.Series([0.1, 0.5, 0.9, 0.91])
    ),
    "calibration of survival without a curve": lambda: survival_calibration_figure(
        survival_groups_data().drop(columns="corrected"), calibration_data().head(0), "survival at 36", pd.Series([1.0])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAW_SURVIVAL)
def test_no_text_of_survival_lies_on_another_or_is_cut(name):
    figure = DRAW_SURVIVAL[name]()
    assert not overlaps(figure)
    assert not cut(figure)


@pytest.mark.parametrize("name", DRAW_SURVIVAL)
def test_axes_of_survival_say_what_they_show(name):
    figure = DRAW_SURVIVAL[name]()
    for axes in figure.axes:
        if axes.axison:
            below = [axes, *(other for other in figure.axes if axes.get_shared_x_axes().joined(axes, other))]
            assert any(other.get_xlabel() for other in below) or figure.get_supxlabel()
            # a forest has names instead of numbers on its other axis
            assert axes.get_ylabel() or figure.get_supylabel() or not len(axes.get_yticks())


@pytest.mark.parametrize("name", DRAW_SURVIVAL)
def test_figures_of_survival_fit_between_a_journal_s_column_and_its_page(name):
    assert 85 - 1e-9 <= DRAW_SURVIVAL[name]().get_figwidth() * 25.4 <= 170 + 1e-9


def at_risk(figure):
    """The numbers below the curves, from the first group down."""
    table = figure.axes[1]
    numbers = [text for text in table.texts if text.get_text() != "At risk"]
    rows = sorted({text.get_position()[1] for text in numbers}, reverse=True)
    return [[(t.get_position()[0], int(t.get_text())) for t in numbers if t.get_position()[1] == y] for y in rows]


def test_numbers_at_risk_are_those_who_reach_the_time():
    curves = curves_data(50, 40)
    figure = DRAW_SURVIVAL["two curves"]()
    found = at_risk(figure)
    assert len(found) == 2
    for group, counts in zip(["group 0", "group 1"], found, strict=True):
        rows = curves[curves["group"] == group]
        assert counts[0] == (0, rows["at_risk"].iloc[0])
        assert len(counts) >= 4
        for time, count in counts:
            leaving = (rows["events"] + rows["censored"])[rows["time"] >= time].sum()
            assert count == leaving  # who leaves at the time itself is still at risk


def test_curves_begin_with_everybody_and_step_down_at_events():
    curves = curves_data(50, 40)
    lines = [line for line in DRAW_SURVIVAL["two curves"]().axes[0].lines if line.get_label().startswith("group")]
    for line, (_, rows) in zip(lines, curves.groupby("group"), strict=True):
        x, y = line.get_data()
        assert line.get_drawstyle() == "steps-post"
        assert (x[0], y[0]) == (0, 1)
        np.testing.assert_array_equal(x[1:], rows["time"])
        np.testing.assert_array_equal(y[1:], rows["survival"])


def test_bands_only_where_few_curves_can_bear_them():
    def bands(figure):
        return len(figure.axes[0].collections)

    assert bands(DRAW_SURVIVAL["one curve"]()) == 1
    assert bands(DRAW_SURVIVAL["two curves"]()) == 2
    assert bands(DRAW_SURVIVAL["three curves of few"]()) == 0


def test_a_legend_names_the_groups_and_the_test():
    shown = texts(DRAW_SURVIVAL["two curves"]())
    assert {"group 0", "group 1", "Sex; log-rank p = 0.03", "At risk"} < set(shown)
    assert not any(text.startswith("all") for text in texts(DRAW_SURVIVAL["one curve"]()))


def test_curves_of_several_groups_differ_in_more_than_colour():
    def styles(figure):
        return [line.get_linestyle() for line in figure.axes[0].lines if not line.get_label().startswith("_")]

    assert len(set(styles(DRAW_SURVIVAL["three curves of few"]()))) == 3
    assert len(set(styles(DRAW_SURVIVAL["incidence"]()))) == 2


def test_incidences_start_at_nothing_and_name_their_causes():
    figure = DRAW_SURVIVAL["incidences by group"]()
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines][:2] == [f"{LEVELS[0]}: tumour", f"{LEVELS[0]}: another cause"]
    assert all(line.get_xydata()[0].tolist() == [0, 0] for line in lines)
    assert len({line.get_color() for line in lines}) == 3
    alone = DRAW_SURVIVAL["incidence"]()
    assert [line.get_label() for line in alone.axes[0].lines] == ["tumour", "other"]


def test_a_forest_has_a_mark_at_each_ratio_and_tells_it():
    figure = DRAW_SURVIVAL["forest"]()
    axes = figure.axes[1]
    marks = [line for line in axes.lines if line.get_marker() == "s"]
    low, high = axes.get_xlim()
    expected = np.clip([1.02, 3.6, 2e4, 2.0, 0.004, 1.235], low, high)
    np.testing.assert_allclose([line.get_xdata()[0] for line in marks], expected)
    assert (np.diff([line.get_ydata()[0] for line in marks]) < 0).all()  # from the top down
    shown = texts(figure)
    assert {"3.600 (1.900–6.700)", "2.000 (not estimable)", "2.00E+04 (12.00–∞)", "<0.001", ">0.999"} < set(shown)
    assert "Size (cm) of the \\$largest\\$ lesion" in shown
    heading = next(text for text in shown_texts(figure) if text.get_text() == "Treatment")
    assert heading.get_fontweight() == "bold"
    whole = axes.get_window_extent()
    for line in axes.lines:
        points = axes.transData.transform(line.get_xydata())
        if line.get_marker() == "s":
            assert whole.x0 - TOUCH <= points[:, 0].min() <= points[:, 0].max() <= whole.x1 + TOUCH


def test_intervals_of_a_forest_end_at_their_limits():
    rows = ratio_data().iloc[[0, 6]]
    axes = forest_figure(rows, "Hazard ratio").axes[1]
    bars = [line for line in axes.lines if line.get_marker() != "s" and len(set(line.get_ydata())) == 1]
    np.testing.assert_allclose([line.get_xdata() for line in bars], rows[["low", "high"]])


def test_each_time_s_roc_has_its_area_in_the_order_of_times():
    figure = DRAW_SURVIVAL["ROC by time"]()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [f"{time}: {area}" for time, area in AREAS.items()]
    lines = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    np.testing.assert_allclose(lines[0].get_xdata(), [1, 0.5, 0.5, 0, 0])
    np.testing.assert_allclose(lines[0].get_ydata(), [1, 1, 0.6, 0.2, 0])


def test_calibration_of_survival_shows_groups_with_intervals_and_what_is_left_of_the_curve():
    figure = DRAW_SURVIVAL["calibration of survival"]()
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["Ideal", "Apparent", "Bias-corrected", "Group, bias-corrected", "Kaplan-Meier by group"]
    bars = next(iter(figure.axes[0].containers)).lines[2][0].get_segments()
    np.testing.assert_allclose([segment[:, 1] for segment in bars], [[0.1, 0.6], [0.3, 0.7], [1.0, 1.0]])
    alone = DRAW_SURVIVAL["calibration of survival without a curve"]()
    assert [text.get_text() for text in alone.axes[0].get_legend().get_texts()] == ["Ideal", "Kaplan-Meier by group"]
