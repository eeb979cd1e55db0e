"""What reports print of outcomes that come with time: tables by hand, and whole sections of a small study."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter

from nenflow.documents import plain, write_json
from nenflow.evaluation.apparent import apparent_figures, scores_of
from nenflow.evaluation.corrected import corrected_benefit, corrected_calibration, grouped_calibration
from nenflow.evaluation.groups import (
    best_cutpoints,
    incidence_curves,
    survival_curves,
    survival_summary,
    survival_tests,
)
from nenflow.evaluation.judging import judge_resamples
from nenflow.evaluation.refitting import refit_resamples
from nenflow.evaluation.resampling import patient_resample, resample_fixed
from nenflow.evaluation.sample_size import sample_size_of
from nenflow.evaluation.schemes import scheme_table, selection_shares
from nenflow.evaluation.validation import summarise
from nenflow.models.assumptions import check_assumptions, subdistribution_table
from nenflow.models.nomogram import nomogram
from nenflow.models.nomogram import points_table as nomogram_points
from nenflow.models.protocol import build_protocol, scores
from nenflow.models.score import integer_score, observed_risk, quantile_cut_offs, strata_names, strata_of, total_score
from nenflow.models.tables import multivariable_table, univariable_table
from nenflow.report.page import Drawing, Heading, Printed, Text
from nenflow.report.results import read_results
from nenflow.report.sections_honest import chance_blocks, honest_blocks
from nenflow.report.sections_limits import model_limits
from nenflow.report.sections_models import model_sections
from nenflow.report.sections_survival import cox_decision, cox_validation_words, survival_blocks
from nenflow.report.tables import (
    HARRELL,
    INSET,
    PLUS632,
    PUBLISHED,
    assumptions_table,
    coded_label,
    cutpoints_table,
    estimates,
    odds_ratio_table,
    points_table,
    sample_size_table,
    score_table,
    strata_table,
    survival_table,
    total_points_table,
)
from nenflow.tables import UNIT, write_table

CLINICAL = Path(__file__).resolve().parents[1] / "workflow/clinical/patients.csv"
VARIABLES = {
    "status": {"label": "Status", "type": "categorical", "levels": ["alive", "tumour", "other"]},
    "months": {"label": "Survival (months)", "type": "continuous"},
    "age": {"label": "Age (years)", "type": "continuous"},
    "size": {"label": "Tumour size (cm)", "type": "continuous"},
    "resection": {"label": "Primary tumour resected", "type": "categorical", "levels": ["yes", "no"]},
    "treatment": {"label": "Treatment", "type": "categorical", "levels": ["both", "either", "neither"]},
}
ENDPOINT = {"variable": "status", "event": "tumour", "competing": "other", "time": "months", "times": [12, 36]}
STUDY = {
    "title": "A study",
    "unit": "patient",
    "variables": VARIABLES,
    "endpoints": {"survival": ENDPOINT},
    "survival": {"survival": {"by": ["resection", "treatment"], "cutpoints": ["size"]}},
    "models": {
        "death": {
            "endpoint": "survival",
            "clinical": ["resection", "treatment"],
            "steps": [{"terms": {"factors": ["treatment"]}}, {"cox": {}}],
            "score": {"rule": "smallest"},
        }
    },
}
RESAMPLES = range(4)


# --- tables ---


def test_columns_of_factors_and_splines_have_labels():
    assert coded_label("treatment=neither", VARIABLES) == "Treatment: neither against both"
    assert coded_label("resection=no", VARIABLES) == "Primary tumour resected: no against yes"
    assert coded_label("age'", VARIABLES) == "Age (years): part 2 of the spline"
    assert coded_label("age''", VARIABLES) == "Age (years): part 3 of the spline"
    assert coded_label("resection", VARIABLES) == "Primary tumour resected: no against yes"
    assert coded_label("treatment", VARIABLES) == "Treatment: per step both, either, neither"


def test_levels_may_hold_the_marks_of_terms():
    variables = {"drug": {"label": "Drug", "type": "categorical", "levels": ["none", "a=b", "Crohn's'"]}}
    assert coded_label("drug=a=b", variables) == "Drug: a=b against none"
    assert coded_label("drug=Crohn's'", variables) == "Drug: Crohn's' against none"


def test_hazard_ratios_are_called_so():
    alone = pd.DataFrame(
        {"variable": ["age", "treatment=neither"], "hazard_ratio": [1.5, 3.6], "low": [1.1, 1.9], "high": [2.0, 6.7],
         "p": [0.01, 0.0001]}
    )  # fmt: skip
    printed = odds_ratio_table(alone, alone.iloc[[1]], VARIABLES)
    assert list(printed) == ["Variable", "Alone: HR (95% CI)", "p", "Final model: HR (95% CI)", "p "]
    assert printed.to_numpy().tolist() == [
        ["Age (years)", "1.500 (1.100–2.000)", "0.010", "", ""],
        ["Treatment: neither against both", "3.600 (1.900–6.700)", "<0.001", "3.600 (1.900–6.700)", "<0.001"],
    ]


def summary_row(variable, group, median=(np.nan, np.nan, np.nan)):
    row = {"variable": variable, "group": group, "n": 40, "events": 12, "follow_up": 30.0, "mean": 20.0}
    row |= dict(zip(("median", "median_low", "median_high"), median, strict=True))
    row |= {"survival_12": 0.756, "survival_12_low": 0.659, "survival_12_high": 0.868, "at_risk_12": 25}
    return row | {"survival_36": np.nan, "survival_36_low": np.nan, "survival_36_high": np.nan, "at_risk_36": 0}


def test_survival_by_group_is_printed_below_its_variable():
    summary = pd.DataFrame(
        [
            summary_row("", "all", (34.7, 26.2, 54.9)),
            summary_row("resection", "yes", (42.5, 28.9, np.nan)),
            summary_row("resection", "no"),
        ]
    )
    tests = pd.DataFrame([("resection", "log-rank", 0.0028), ("resection", "Gray", 0.5)])
    printed = survival_table(summary, tests.set_axis(["variable", "test", "p"], axis=1), VARIABLES, ENDPOINT)
    times = ["At 12 (95% CI)", "At 36 (95% CI)"]
    assert list(printed) == ["Group", "Patients", "Events", "Median (95% CI)", *times]
    known = ["40", "12"]
    assert printed.to_numpy().tolist() == [
        ["All patients", *known, "34.7 (26.2–54.9)", "0.76 (0.66–0.87)", "–"],
        ["Primary tumour resected (log-rank p 0.003)", "", "", "", "", ""],
        [f"{INSET}yes", *known, "42.5 (28.9–not reached)", "0.76 (0.66–0.87)", "–"],
        [f"{INSET}no", *known, "not reached", "0.76 (0.66–0.87)", "–"],
    ]


def test_cut_points_tell_the_honest_p_beside_the_other():
    table = pd.DataFrame(
        [
            {"variable": "age", "n": 140, "cutpoint": 64.0, "statistic": 2.334, "n_low": 100, "n_high": 40,
             "p_lausen_1992": 0.26412, "p_lausen_1994": 0.206, "p_permutation": 0.21, "naive_p": 0.0185},
            {"variable": "size", "n": 140, "reason": "No cut-point leaves a tenth on either side."},
        ]
    )  # fmt: skip
    first, second = cutpoints_table(table, VARIABLES).to_dict("records")
    assert first == {
        "Variable": "Age (years)",
        "Cut-off (high above)": "64",
        "Low / high": "100 / 40",
        "Statistic": "2.33",
        "p, Lausen-Schumacher": "0.264",
        "p, permutation": "0.210",
        "p, uncorrected": "0.018",
        "Note": "",
    }
    assert set(second.values()) == {"Tumour size (cm)", "–", "No cut-point leaves a tenth on either side."}


SCORE = {
    "rule": "smallest",
    "variables": {
        "resection": {"values": [1.0, 2.0], "points": [0, 3]},
        "treatment": {"values": ["both", "either", "neither"], "points": [0, 1, 2]},
        "Radscore": {"values": [0.5, 1.25], "points": [0, 1]},
    },
    "factors": ["treatment"],
    "maximum": 6,
    "cutoffs": [1, 4],
    "strata": ["low", "intermediate", "high"],
}


def test_points_of_a_score_stand_beside_the_names_of_levels():
    assert score_table(SCORE, VARIABLES).to_numpy().tolist() == [
        ["Primary tumour resected", ""],
        [f"{INSET}yes", "0"],
        [f"{INSET}no", "3"],
        ["Treatment", ""],
        [f"{INSET}both", "0"],
        [f"{INSET}either", "1"],
        [f"{INSET}neither", "2"],
        ["Radscore", ""],
        [f"{INSET}0.5", "0"],
        [f"{INSET}1.25", "1"],
    ]


def test_strata_tell_their_range_of_scores_and_their_risk():
    rows = [("low", 64, 7, 0.114, 0.031, 0.190), ("intermediate", 46, 14, 0.318, 0.165, 0.444)]
    rows.append(("high", 30, 16, 0.557, np.nan, np.nan))
    binary = pd.DataFrame(rows, columns=["stratum", "n", "events", "risk", "low", "high"])
    printed = strata_table(binary, SCORE)
    assert printed.to_numpy().tolist() == [
        ["low (0)", "64", "7", "0.114 (0.031–0.190)"],
        ["intermediate (1 to 3)", "46", "14", "0.318 (0.165–0.444)"],
        ["high (4 to 6)", "30", "16", "0.557"],
    ]
    timed = strata_table(binary.assign(time=12.0), SCORE)
    assert list(timed) == ["Stratum (score)", "Time", "n", "Events", "Risk (95% CI)"]
    assert set(timed["Time"]) == {"12"}


def test_a_nomogram_s_points_are_read_without_the_drawing():
    rows = [
        ("points", "resection", 1.0, 0.0), ("points", "resection", 2.0, 71.8),
        ("points", "treatment", "both", 0.0), ("points", "treatment", "neither", 100.0),
        ("points", "Radscore", 0.5, 12.4),
        ("total points", "survival_12", 0.9, 20.4), ("total points", "survival_12", 0.5, 110.0),
        ("total points", "survival_36", 0.5, 60.0), ("total points", "survival_36", 0.95, -40.0),
    ]  # fmt: skip
    points = pd.DataFrame(rows, columns=["part", "variable", "value", "points"])
    assert points_table(points, VARIABLES).to_numpy().tolist() == [
        ["Primary tumour resected", "yes: 0, no: 72"],
        ["Treatment", "both: 0, neither: 100"],
        ["Radscore", "0.5: 12"],
    ]
    total = total_points_table(points)
    assert list(total) == ["Survival", "Points, survival at 12", "Points, survival at 36"]
    assert total.to_numpy().tolist() == [["0.5", "110", "60"], ["0.9", "20", ""]]  # nobody has under zero points
    chance = points.tail(2).assign(variable="probability", value=[0.1, 0.5], points=[30.0, 80.0])
    assert total_points_table(chance).to_numpy().tolist() == [["0.1", "30"], ["0.5", "80"]]


def test_sample_sizes_are_printed_by_criterion():
    # Riley et al. 2019: 24 parameters, prevalence 0.174, R2 0.288.
    y = pd.Series((np.arange(1000) < 174).astype(int))
    printed = sample_size_table(sample_size_of(y, 24, [], None, 0.288))
    assert printed["Needed"].tolist() == ["623", "662", "221", "662"]
    assert printed["Events"].iloc[-1] == "116"
    assert printed["Criterion"].iloc[-1] == "All three"


def test_assumptions_have_a_row_per_term():
    rows = [
        ("events per variable", np.nan, 12.3, 6, np.nan),
        ("variance inflation", "age", 1.0156, 1, np.nan),
        ("variance inflation", "treatment", np.inf, 2, np.nan),
        ("proportional hazards", "age", 0.449, 1, 0.5028),
        ("proportional hazards", "treatment", 2.215, 2, 0.0004),
        ("proportional hazards", "GLOBAL", 2.774, 4, 0.5963),
    ]
    table = pd.DataFrame(rows, columns=["check", "variable", "value", "df", "p"])
    printed = assumptions_table(table, VARIABLES)
    assert list(printed) == ["Variable", "Variance inflation", "Proportional hazards: χ²", "p"]
    assert printed.iloc[0].tolist() == ["Age (years)", "1.02", "0.45", "0.503"]
    assert printed.iloc[1, [0, 2, 3]].tolist() == ["Treatment", "2.21", "<0.001"]
    assert printed.iloc[2].tolist() == ["All together", "", "2.77", "0.596"]
    logistic = assumptions_table(table[table["check"] == "variance inflation"], VARIABLES)
    assert list(logistic) == ["Variable", "Variance inflation"]


# --- sections, of results that went through files as in a run ---


def patients():
    table = pd.read_csv(CLINICAL)
    index = pd.MultiIndex.from_arrays([table["patient"], ["patient"] * len(table)], names=UNIT)
    y = pd.DataFrame({"time": table["months"], "event": table["status"].map({"alive": 0, "tumour": 1, "other": 2})})
    return table.set_axis(index), y.set_axis(index)


def write_survival(folder, by=("resection", "treatment"), cutpoints=("size",)):
    table, y = patients()
    groups = {name: pd.Series(pd.Categorical(table[name], VARIABLES[name]["levels"]), table.index) for name in by}
    results = {
        "curves": survival_curves(y, groups),
        "summary": survival_summary(y, groups, ENDPOINT["times"]),
        "tests": survival_tests(y, groups),
        "incidence": incidence_curves(y, groups),
        "cutpoints": best_cutpoints(y, table[list(cutpoints)], 1),
    }
    for name, result in results.items():
        write_table(result, folder / f"evaluation/survival_survival/{name}.csv")


def write_model(folder):
    """A Cox model of factors with all that the stages write of it."""
    table, y = patients()
    levels = {"treatment": VARIABLES["treatment"]["levels"]}
    X = pd.DataFrame({"resection": table["resection"].map({"yes": 1.0, "no": 2.0})})
    X["treatment"] = table["treatment"].map({"both": 1.0, "either": 2.0, "neither": 3.0})
    protocol = build_protocol([{"terms": {"factors": levels}}, {"cox": {}}], list(X), None, 1, ENDPOINT["times"])
    fitted = protocol.fit(X, y)
    terms, cox = (fitted.named_steps[name].document() for name in ("terms", "cox"))
    final, scored = fitted[:-1].transform(X), scores(fitted, X)
    draws = [patient_resample(y.index, 1, number) for number in RESAMPLES]
    figures, roc, decision = apparent_figures(y, scored, "death", ENDPOINT["times"], draws)
    fixed = resample_fixed(y, scores_of(scored, "death"), 1, RESAMPLES)
    others = judge_resamples(y, scored, figures["death"]["rates"], 1, RESAMPLES).assign(score="death")
    fixed = fixed.merge(others, on=["resample", "score"])
    refits, optimism = refit_resamples(protocol, X, y, 1, RESAMPLES)
    checked = plain(summarise(figures, fixed, refits))
    drawn, score = nomogram(cox, terms), integer_score(cox, "smallest", terms)
    total = total_score(score, final)
    cutoffs = quantile_cut_offs(total)
    names = strata_names(len(cutoffs) + 1)
    documents = {
        "models/death/steps/terms": terms,
        "models/death/steps/cox": cox,
        "models/death/nomogram": drawn,
        "models/death/score": {**score, "cutoffs": cutoffs, "strata": names},
        "evaluation/death/performance": figures,
        "evaluation/death/validation": checked,
    }
    tables = {
        "models/death/scores": scored,
        "models/death/univariable": univariable_table(final, y),
        "models/death/multivariable": multivariable_table(final, y),
        "models/death/assumptions": check_assumptions(final, final, y),
        "models/death/subdistribution": subdistribution_table(final, y),
        "models/death/points": nomogram_points(drawn),
        "models/death/strata": observed_risk(strata_of(total, cutoffs), y, names, ENDPOINT["times"]),
        "evaluation/death/schemes": scheme_table(figures, checked, fixed),
        "evaluation/death/schemes_selection": selection_shares(checked, None, {"variables": list(cox["coefficients"])}),
        "evaluation/death/roc": roc,
        "evaluation/death/calibration": corrected_calibration(y, scored, optimism),
        "evaluation/death/calibration_groups": grouped_calibration(y, scored),
        "evaluation/death/decision_corrected": corrected_benefit(decision, optimism),
        "evaluation/death/sample_size": sample_size_of(y, 3, ENDPOINT["times"], None, 0.2),
    }
    for name, document in documents.items():
        write_json(document, folder / f"{name}.json")
    for name, result in tables.items():
        write_table(result, folder / f"{name}.csv")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_survival(folder)
    write_model(folder)
    return read_results([folder], folder)


@pytest.fixture(scope="module")
def sections(results):
    return model_sections(STUDY, results)


def of_kind(blocks, kind):
    return [block for block in blocks if isinstance(block, kind)]


def table_of(blocks, name):
    return next(block for block in of_kind(blocks, Printed) if block.name == name)


def test_survival_is_told_drawn_and_tabulated(results):
    table, y = patients()
    blocks = survival_blocks(STUDY, results)
    fit = KaplanMeierFitter().fit(y["time"], y["event"] == 1)
    follow_up = KaplanMeierFitter().fit(y["time"], y["event"] == 0).median_survival_time_
    words = of_kind(blocks, Text)[0].text
    assert words.startswith(f"{len(y)} patients, {(y['event'] == 1).sum()} events; median follow-up {follow_up:.1f} ")
    assert f"median time to the event {fit.median_survival_time_:.1f} (" in words
    assert "Another event competes" in words
    names = [drawing.name for drawing in of_kind(blocks, Drawing)]
    assert names == [
        f"{kind}_survival_{part}" for kind in ("km", "incidence") for part in ("all", "resection", "treatment")
    ]
    assert not of_kind(blocks, Heading)  # there is one endpoint only
    printed = table_of(blocks, "survival_survival")
    assert printed.table["Patients"].iloc[0] == str(len(y))
    treated = printed.table[printed.table["Group"] == f"{INSET}neither"].iloc[0]
    mine = (table["treatment"] == "neither").to_numpy()
    at_12 = KaplanMeierFitter().fit(y.loc[mine, "time"], y.loc[mine, "event"] == 1).predict(12)
    assert treated["At 12 (95% CI)"].startswith(f"{at_12:.2f} (")
    assert table_of(blocks, "cutpoints_survival").table["Variable"].tolist() == ["Tumour size (cm)"]


def test_drawings_of_survival_say_their_test_to_who_cannot_see_them(results):
    drawings = {drawing.name: drawing for drawing in of_kind(survival_blocks(STUDY, results), Drawing)}
    tests = results["evaluation/survival_survival/tests.csv"].set_index(["variable", "test"])["p"]
    for kind, test in (("km", "log-rank"), ("incidence", "Gray")):
        p = tests[("treatment", test)]
        assert f"p = {p:.3f}" in drawings[f"{kind}_survival_treatment"].alt
    assert "p" not in drawings["km_survival_all"].alt.replace("patients", "").replace("Kaplan", "").split()


def test_survival_without_groups_or_cut_points_went_through_files(tmp_path):
    write_survival(tmp_path, by=(), cutpoints=())
    found = read_results([tmp_path], tmp_path)
    study = {**STUDY, "survival": {"survival": {}}}
    blocks = survival_blocks(study, found)
    assert [drawing.name for drawing in of_kind(blocks, Drawing)] == ["km_survival_all", "incidence_survival_all"]
    assert [printed.name for printed in of_kind(blocks, Printed)] == ["survival_survival"]
    assert len(table_of(blocks, "survival_survival").table) == 1


def test_follow_up_that_few_censored_patients_do_not_tell_is_said(results):
    summary = results["evaluation/survival_survival/summary.csv"].assign(follow_up=np.nan)
    words = of_kind(survival_blocks(STUDY, {**results, "evaluation/survival_survival/summary.csv": summary}), Text)[0]
    assert "median follow-up not reached (reverse Kaplan-Meier)" in words.text


def test_a_gap_in_a_decision_curve_is_explained(results):
    decision = results["evaluation/death/decision_corrected.csv"]
    lost = (decision["time"] == 36) & (decision["strategy"] == "model") & (decision["threshold"] > 0.5)
    assert lost.any()
    drawings = cox_decision(STUDY, "death", decision.assign(net_benefit=decision["net_benefit"].mask(lost)))
    told = [drawing.name for drawing in drawings if "nobody with such a risk was followed up to 36" in drawing.caption]
    assert told == ["decision_death_36"]


def test_several_endpoints_have_headings_and_those_without_results_are_left_out(results):
    study = {**STUDY, "endpoints": {"survival": ENDPOINT, "later": ENDPOINT}, "survival": {"survival": {}, "later": {}}}
    assert [block.text for block in of_kind(survival_blocks(study, results), Heading)] == ["Survival (months)"]
    assert survival_blocks({**STUDY, "survival": {}}, results) == []


def test_the_final_model_is_printed_as_lifelines_fits_it(sections):
    table, y = patients()
    design = pd.DataFrame({"resection": (table["resection"] == "no") + 1.0})
    for level in ("either", "neither"):
        design[f"treatment={level}"] = (table["treatment"] == level).astype(float)
    outcome = pd.DataFrame({"time": y["time"], "event": y["event"] == 1})
    fit = CoxPHFitter().fit(design.join(outcome).reset_index(drop=True), "time", "event")
    printed = table_of(sections["odds"].blocks, "table3_death")
    assert printed.table["Variable"].tolist() == [
        "Primary tumour resected: no against yes",
        "Treatment: either against both",
        "Treatment: neither against both",
    ]
    ratios = [cell.split(" ")[0] for cell in printed.table["Final model: HR (95% CI)"]]
    assert ratios == [f"{value:.3f}" for value in fit.hazard_ratios_]
    assert "Cox models of the event “tumour”" in printed.caption
    assert "Hazard ratios" in printed.note
    (forest,) = of_kind(sections["odds"].blocks, Drawing)
    assert forest.name == "forest_death"
    assert f"Treatment: neither against both: {ratios[2]} (" in forest.alt


def test_what_the_model_rests_on_is_printed_with_it(sections, results):
    blocks = sections["odds"].blocks
    assert table_of(blocks, "assumptions_death").table["Variable"].tolist()[-1] == "All together"
    other = table_of(blocks, "subdistribution_death")
    numbers = results["models/death/subdistribution.csv"]
    assert other.table["Subdistribution HR (95% CI)"].iloc[0].startswith(f"{numbers['hazard_ratio'].iloc[0]:.3f} (")
    assert other.table["Variable"].iloc[1] == "Treatment: either against both"


def test_nomogram_and_score_are_drawn_and_tabulated(sections, results):
    assert of_kind(sections["nomogram"].blocks, Drawing)[0].caption.endswith("read the survival below the sum.")
    points = table_of(sections["nomogram"].blocks, "points_death").table
    assert points["Variable"].tolist() == ["Primary tumour resected", "Treatment"]
    assert "neither: 100" in points.iloc[1, 1]  # the widest effect
    score = table_of(sections["score"].blocks, "score_death").table
    assert score["Variable"].tolist()[:3] == ["Primary tumour resected", f"{INSET}yes", f"{INSET}no"]
    strata = table_of(sections["score"].blocks, "strata_death").table
    assert strata["Time"].tolist() == ["12", "36"] * 3
    assert strata["n"].astype(int).sum() == 2 * len(results["models/death/scores.csv"])


def test_discrimination_calibration_and_benefit_come_by_time(sections, results):
    figures = results["evaluation/death/performance.json"]["death"]
    roc = sections["roc"].blocks
    assert [drawing.name for drawing in of_kind(roc, Drawing)] == ["roc_death"]
    printed = table_of(roc, "discrimination_death")
    assert printed.table["Time"].tolist() == ["12", "36"]
    for row, auc, brier in zip(printed.table.itertuples(index=False), figures["auc"], figures["brier"], strict=True):
        assert row[1].startswith(f"{auc['auc']:.3f} (")
        assert row[2].startswith(f"{brier['brier']:.3f} (")
        assert row[3] == f"{brier['null']:.3f}"
    assert f"C-index {figures['c']:.3f} (" in printed.note
    for section in ("calibration", "decision"):
        names = [drawing.name for drawing in of_kind(sections[section].blocks, Drawing)]
        assert names == [f"{section}_death_12", f"{section}_death_36"]


def test_the_honest_c_index_stands_beside_the_published_one(sections, results):
    blocks = sections["honest"].blocks
    checked = results["evaluation/death/validation.json"]["scores"]["death"]
    words = of_kind(blocks, Text)[0].text
    assert words.startswith(f"As such studies print it, the C-index of the death model is {checked['apparent']:.3f} (")
    assert f"{checked['corrected']['c']:.3f} (" in words
    assert f"{checked['harrell']['c']:.3f} with Harrell's correction" in words
    assert of_kind(blocks, Drawing)[0].name == "honest_death"
    validation = sections["validation"].blocks
    printed = table_of(validation, "validation_death")
    assert printed.table["Scheme"].str.strip().tolist() == [
        *("As published", "Apparent, on its own units", "Bootstrap of the finished model"),
        *("Honest: all refitted in resamples", "Optimism bootstrap (Harrell)", ".632+ bootstrap"),
    ]
    assert printed.table["C-index (95% CI)"].iloc[5].startswith(f"{checked['corrected']['c']:.3f} (")
    assert not any("AUC" in name for name in printed.table)
    assert f"corrected calibration slope {checked['slope']:.2f}" in of_kind(validation, Text)[0].text
    indexes = table_of(validation, "indexes_death").table
    assert indexes["Index"].tolist() == ["Dxy", "R²", "Slope", "D", "U", "Q", "G"]


def test_limits_count_events_and_say_how_many_patients_are_needed(results):
    _, y = patients()
    events = (y["event"] == 1).sum()
    lines = model_limits(STUDY, results)
    assert f"There are {events} events: {events / 3:.1f} for each of the 3 candidate coefficients" in lines[0]
    plan = results["evaluation/death/sample_size.csv"].set_index("criterion")
    (needed,) = [line for line in lines if "Riley's criteria" in line]
    assert f"3 candidate coefficients needs {plan.loc['required', 'n']:,} patients" in needed
    assert f"this study has {len(y)}." in needed


def test_hazards_out_of_proportion_are_said(results):
    table = results["models/death/assumptions.csv"]
    table = table.assign(p=table["p"].mask(table["variable"] == "treatment", 0.01))
    lines = model_limits(STUDY, {**results, "models/death/assumptions.csv": table})
    assert any(line.startswith("The hazards of Treatment are not in proportion") for line in lines)
    calm = table.assign(p=table["p"].mask(table["p"].notna(), 0.2))
    assert not any(
        "proportion" in line for line in model_limits(STUDY, {**results, "models/death/assumptions.csv": calm})
    )


def test_a_cox_model_without_variables_is_told_and_not_drawn(results):
    cox = {**results["models/death/steps/cox.json"], "variables": [], "coefficients": {}}
    nothing = model_sections(STUDY, {**results, "models/death/steps/cox.json": cox})
    words = of_kind(nothing["honest"].blocks, Text)[0].text
    assert "predicts the same for everyone, the survival of all" in words
    for name in ("roc", "calibration", "decision"):
        assert not nothing[name].blocks


VALIDATED = {
    "scores": {
        "death": {
            "published": {"mean": 0.7, "interval": [0.62, 0.74]},
            "harrell": {"c": 0.69, "interval": [0.6, 0.73]},
            "corrected": {"c": 0.66, "interval": [0.48, 0.8]},
        }
    }
}
APPARENT = {"death": {"c": 0.71, "c_interval": [0.65, 0.77]}}


def test_concordances_are_ordered_and_mark_the_honest_ones():
    table = estimates(APPARENT, VALIDATED)
    assert table["estimate"].tolist() == ["Apparent", PUBLISHED, HARRELL, PLUS632]
    assert table["auc"].tolist() == [0.71, 0.7, 0.69, 0.66]
    assert table["honest"].tolist() == [False, False, True, True]
    assert estimates(APPARENT, None)["estimate"].tolist() == ["Apparent"]
    unknown = estimates({"death": {"c": 0.5, "c_interval": [None, None]}}, None)
    assert unknown[["low", "high"]].isna().all(axis=None)


def test_optimism_and_chance_are_said_in_words():
    words = honest_blocks("death", estimates(APPARENT, VALIDATED), "C-index", "patient")[0].text
    assert "0.660 (0.480–0.800) is left" in words
    assert words.endswith(": 0.050 of the first figure is optimism, and chance (0.5) cannot be ruled out.")
    assert "resampled" not in honest_blocks("death", estimates(APPARENT, None), "C-index", "patient")[0].text


CHANCE = {
    "permutations": 199,
    "resamples": 10,
    "nothing_selected": 0.25,
    "scores": {
        "death": {
            "apparent": {"observed": 0.71, "median": 0.6, "low": 0.5, "high": 0.7, "p": 0.02},
            "corrected": {"observed": 0.66, "median": 0.51, "low": 0.5, "high": 0.58, "p": 0.005},
            "harrell": {"observed": 0.69, "median": 0.52, "low": 0.42, "high": 0.64, "p": 0.01},
        }
    },
}


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (1 / 200, "; none of 199 permutations reached 0.660 (p = 0.005)."),
        (
            31 / 200,
            "; 30 of 199 permutations reached 0.660 (p = 0.155), so the finding does not stand out from chance.",
        ),
        (1.0, "; 199 of 199 permutations reached 0.660 (p >0.999), so the finding does not stand out from chance."),
    ],
)
def test_the_level_of_chance_is_said_beside_the_figures(p, said):
    corrected = CHANCE["scores"]["death"]["corrected"] | {"p": p}
    chance = CHANCE | {"scores": {"death": CHANCE["scores"]["death"] | {"corrected": corrected}}}
    words, drawing = honest_blocks("death", estimates(APPARENT, VALIDATED, chance), "C-index", "patient")
    assert "the same analysis prints a median C-index of 0.600, up to 0.700 in 95%" in words.text
    assert "the honest one is 0.510, up to 0.580 in 95%" in words.text
    assert words.text.endswith(said)
    assert "Apparent: C-index 0.710 (0.650–0.770), by chance 0.600 (0.500–0.700)" in drawing.alt


def test_the_distribution_under_no_effect_is_drawn_for_the_model_alone():
    rows = [(number, score, 0.5, 0.5) for number in range(199) for score in ("Radscore", "model")]
    permuted = pd.DataFrame(rows, columns=["permutation", "score", "apparent", "corrected"])
    (drawing,) = chance_blocks("death", CHANCE, permuted, "C-index")
    assert "in 199 permutations of the outcomes" in drawing.caption
    assert "In 25% of the permutations nothing was selected: 0.5." in drawing.caption
    assert drawing.alt.startswith("C-index. Apparent: 0.710, in permutations 0.600 (0.500–0.700);")
    assert chance_blocks("death", None, None, "C-index") == []


def test_the_bootstrap_of_a_finished_model_has_the_chance_level_of_the_apparent_figure():
    table = estimates(APPARENT, VALIDATED, CHANCE).set_index("estimate")
    assert table["chance_high"].to_dict() == {"Apparent": 0.7, PUBLISHED: 0.7, HARRELL: 0.64, PLUS632: 0.58}
    assert (table["permutations"] == 199).all()


def test_slope_and_errors_are_said_in_words():
    times = {
        "12": {"brier": {"apparent": 0.155, "corrected": 0.164}},
        "36": {"brier": {"apparent": 0.2, "corrected": 0.21}},
    }
    assert cox_validation_words("death", {"slope": 0.88, "times": times}) == (
        " Death model: corrected calibration slope 0.88 (1 is ideal); Brier score 0.155, corrected 0.164 (at 12) and "
        "0.200, corrected 0.210 (at 36)."
    )
    assert cox_validation_words("death", {"slope": None, "times": {}}) == (
        " Death model: corrected calibration slope – (1 is ideal)."
    )
