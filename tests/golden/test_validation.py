"""Discrimination, calibration, decision curves and validation against pROC, rms and R's own loops over resamples."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from golden.figures import Figures, read_figures
from golden.rms_fits import cph, glm, lrm
from nenflow.evaluation import indexes
from nenflow.evaluation.calibration import (
    calibration_curve,
    calibration_errors,
    calibration_groups,
    calibration_line,
    corrected_curve,
    corrected_groups,
    curve_optimism,
    hosmer_lemeshow,
    spiegelhalter_test,
    survival_cuts,
    survival_groups,
)
from nenflow.evaluation.concordance import harrell_c
from nenflow.evaluation.decision import decision_curve
from nenflow.evaluation.discrimination import (
    auc,
    brier,
    closest_to_corner,
    delong_covariance,
    delong_interval,
    delong_test,
    partial_auc,
    rank_correlations,
    roc_curve,
    youden,
)
from nenflow.evaluation.indexes import cox_indexes, logistic_indexes, logistic_statistics, validation_table
from nenflow.evaluation.markers import rate_markers
from nenflow.evaluation.refitting import COLUMNS, columns_with_times, refit_once
from nenflow.evaluation.resampling import bootstrap_interval, patient_resample, resample_fixed, unit_resample
from nenflow.evaluation.rivals import compare_models
from nenflow.evaluation.validation import harrell, summarise
from nenflow.models.cox import baseline_hazard, fit_cox, survival_at
from nenflow.models.logistic import fit_logistic
from nenflow.models.protocol import build_protocol
from nenflow.models.selection import fast_backward

COVERS = {
    "birthwt": [
        *("roc", "hosmer_lemeshow", "dca", "brier", "lrm_stats", "val_prob", "calibration_lowess", "delong_test"),
        *("bootstrap", "rms_validate", "rms_validate_backward", "rms_calibrate"),
    ],
    "aSAH": [
        *("roc", "hosmer_lemeshow", "dca", "brier", "lrm_stats", "val_prob", "calibration_lowess", "delong_test"),
        *("bootstrap", "rms_validate", "rms_validate_backward", "rms_calibrate", "single_markers"),
    ],
    "chain": [
        *("fusion/roc", "fusion/hosmer_lemeshow", "fusion/dca", "fusion/brier", "fusion/lrm_stats", "fusion/val_prob"),
        *("fusion/calibration_lowess", "fusion/delong_test", "fusion/bootstrap", "fusion/rms_validate"),
        *("fusion/rms_validate_backward", "fusion/rms_calibrate", "radscore_roc", "patient_cluster_bootstrap"),
    ],
    "lung": ["bootstrap", "rms_validate", "rms_calibrate_km"],
    "pbc": ["bootstrap", "rms_validate", "rms_calibrate_km"],
    "gbsg": ["bootstrap", "rms_validate", "rms_calibrate_km"],
}
RACE = {"race": ["race=black", "race=other"]}
LOGISTIC, COX = ["birthwt", "aSAH", "chain"], ["lung", "pbc", "gbsg"]
VARIABLES = {  # of the backward elimination, as engine.R was called
    "birthwt": ["age", "lwt", "race=black", "race=other", "smoke", "ptl", "ht", "ui", "ftv"],
    "aSAH": ["age", "female", "wfns", "s100b", "ndka"],
    "chain": ["rad", "ki67", "grade", "extrahep"],
    "lung": ["age", "male", "ecog"],
    "pbc": ["age", "edema", "bili", "albumin", "protime", "stage"],
    "gbsg": ["grade", "nodes", "pgr", "hormon"],
}
EXACT = 1e-8  # counts, ranks and ratios, from R's stored digits
LINE = 1e-6  # lines through predictors that are rounded to 9 decimals, and R's lines that stop early
REFIT = 1e-6  # both sides iterate to convergence
OWN_LINE = 2e-7  # val.prob's line stops when the likelihood does, where slope and intercept are known to 1e-7 only
COX_REFIT = 2e-5  # C of refits to convergence (1e-10 in R): pairs whose predictors differ by rounding, 1 in 10,000
MONTE_CARLO = 0.015  # ends of a percentile interval of 2,000 resamples with other random numbers: 3 times their sd
LINK = 30  # R's logistic link takes log odds beyond 30 as 30, so that probabilities there are tied
PAIR = 2e-4  # half a pair of an event and a non-event, of the 2,700 or more that there are
LRM_BINS = 5000  # lrm counts pairs by probability in bins of 0.0002


NAMES = {"Dxy": "dxy", "R2": "r2", "Intercept": "intercept", "Slope": "slope", "Emax": "emax", "B": "brier"}
TABLE = {"index.orig": "apparent", "training": "training", "test": "test", "optimism": "optimism"}
TABLE |= {"index.corrected": "corrected", "n": "resamples"}


@dataclass
class Study:
    """A data set, the model that R fitted to it and the resamples that R drew (rows from 0)."""

    figures: Figures
    prefix: str
    table: pd.DataFrame
    draws: np.ndarray
    full: list[str]  # columns before the backward elimination
    kept: list[str]  # and of the model

    def take(self, path):
        return self.figures.take(self.prefix + path)

    def look(self, path):
        """A part that another test, here or elsewhere, counts as compared."""
        part = self.figures.document
        for key in (self.prefix + path).split("/"):
            part = part[key]
        return part

    @property
    def y(self):
        return self.table[self.look("outcome")].to_numpy(float)

    @property
    def follow_up(self):
        return self.table["time"].to_numpy(float), self.table["status"].to_numpy(float)

    def X(self, columns=None):
        return self.table[columns or self.kept].to_numpy(float)


@cache
def study(golden, name):
    figures, prefix = read_figures(golden, name), "fusion/" if name == "chain" else ""
    if name == "chain":
        table = pd.read_csv(golden / "chain_clinical.csv.gz").assign(rad=figures.document["radscore"])
    else:
        table = pd.read_csv(golden / f"{name}.csv")
    if "race" in table:
        table = table.assign(**{f"race={level}": table["race"] == level for level in ("black", "other")})
    draws = pd.read_csv(golden / f"{name}_boot.csv", header=None).to_numpy() - 1
    found = Study(figures, prefix, table, draws, VARIABLES[name], VARIABLES[name])
    if name in LOGISTIC:
        kept = found.look("backward_p05/kept")
        found.kept = [column for variable in kept for column in RACE.get(variable, [variable])]
    return found


def close(found, expected, tolerance=EXACT):
    np.testing.assert_allclose(found, np.array(expected, dtype=float), atol=tolerance, rtol=0)


def compare_roc(y, score, expected):
    low, area, high = expected["delong_ci"]
    assert auc(y, score) == pytest.approx(expected["auc"], abs=EXACT)
    assert area == expected["auc"]
    assert delong_covariance(y, score)[0, 0] == pytest.approx(expected["delong_var"], abs=EXACT)
    assert delong_interval(y, score) == pytest.approx((low, high), abs=EXACT)
    curve = roc_curve(y, score)
    close(curve["threshold"].iloc[1:-1], expected["thresholds"][1:-1])
    assert [expected["thresholds"][end] for end in (0, -1)] == [None, None]
    assert curve["threshold"].iloc[[0, -1]].tolist() == [-np.inf, np.inf]
    close(curve["sensitivity"], expected["sensitivities"])
    close(curve["specificity"], expected["specificities"])
    assert youden(y, score) | expected["youden"] == pytest.approx(youden(y, score), abs=EXACT)
    assert closest_to_corner(y, score) == pytest.approx(expected["topleft"], abs=EXACT)
    assert (y.sum(), len(y) - y.sum()) == (expected["n1"], expected["n0"])


@pytest.mark.parametrize("name", LOGISTIC)
def test_roc_curve(golden, name):
    data = study(golden, name)
    compare_roc(data.y, data.look("fitted"), data.take("roc"))


def test_roc_curve_of_a_signature(golden):
    figures, data = read_figures(golden, "chain"), study(golden, "chain")
    compare_roc(data.y, figures.document["radscore"], figures.take("radscore_roc"))


def test_whole_patients_drawn(golden):
    """A fixed model, patients resampled with all their lesions, against other random draws of R."""
    figures, data = read_figures(golden, "chain"), study(golden, "chain")
    index = pd.MultiIndex.from_frame(data.table[["patient", "lesion"]])
    y, p, expected = data.y, np.array(data.look("fitted")), figures.take("patient_cluster_bootstrap")
    draws = [patient_resample(index, 3, number) for number in range(expected["B"])]
    found = bootstrap_interval(lambda rows: auc(y[rows], p[rows]), draws)
    assert found == pytest.approx(expected["auc_pct_ci"], abs=MONTE_CARLO)


def test_rated_markers(golden):
    data = study(golden, "aSAH")
    found = rate_markers(data.table[["s100b", "ndka"]], pd.Series(data.y, data.table.index))
    for name, row in found.iterrows():
        roc = data.look(f"single_markers/{name}")
        assert row["direction"] == "higher"
        close(row[["auc_low", "auc", "auc_high"]].astype(float), roc["delong_ci"])
        assert row["p"] == pytest.approx(data.look(f"group_tests/{name}/wilcox_default")["p.value"], abs=EXACT)
        for figure in ("threshold", "sensitivity", "specificity", "ppv", "npv", "accuracy"):
            assert row[figure] == pytest.approx(roc["youden"][figure], abs=EXACT)


def test_single_markers(golden):
    data = study(golden, "aSAH")
    y, table = data.y, data.table
    for marker in ("s100b", "ndka", "wfns"):
        compare_roc(y, table[marker], data.take(f"single_markers/{marker}"))
    for pair in (("s100b", "ndka"), ("s100b", "wfns")):
        expected = data.take("single_markers/delong_" + "_".join(pair))
        assert delong_test(y, table[pair[0]], table[pair[1]]) == pytest.approx(expected, abs=EXACT)
    expected = data.take("single_markers/pauc_spec_90_100")
    assert partial_auc(y, table["s100b"], 0.9, 1.0) == pytest.approx(expected, abs=EXACT)
    assert data.take("single_markers/venkatraman") == "not computed"


@pytest.mark.parametrize("stratified", [True, False])
def test_bootstrap_interval_of_an_auc(golden, stratified):
    data = study(golden, "aSAH")
    y, score = data.y, data.table["s100b"].to_numpy()
    kind = "stratified" if stratified else "unstratified"
    low, median, high = data.take(f"single_markers/bootstrap_ci_s100b_{kind}")
    draws = [unit_resample(y, 1, number, stratified) for number in range(2000)]
    areas = [auc(y[rows], score[rows]) for rows in draws]
    found = bootstrap_interval(lambda rows: auc(y[rows], score[rows]), draws)
    assert found == pytest.approx((low, high), abs=MONTE_CARLO)
    assert np.median(areas) == pytest.approx(median, abs=MONTE_CARLO)


@pytest.mark.parametrize("name", LOGISTIC)
def test_paired_delong(golden, name):
    data = study(golden, name)
    expected = data.take("delong_test")
    X = data.X(expected["alt"])
    other = fit_logistic(X, data.y).linear_predictor(X)
    fitted = data.look("fitted")
    close([auc(data.y, fitted), auc(data.y, other)], expected["auc"])
    found = delong_test(data.y, fitted, other)
    assert found == pytest.approx({"z": expected["z"], "p": expected["p"]}, abs=EXACT)
    y = pd.Series(
        data.y, pd.MultiIndex.from_product([map(str, range(len(data.y))), ["patient"]], names=["patient", "region"])
    )
    tables = [pd.DataFrame({"linear_predictor": score}, y.index) for score in (other, fitted)]
    (row,) = compare_models(y, *tables).to_dict("records")
    assert [row["second_value"], row["first_value"], row["p"]] == pytest.approx([*expected["auc"], expected["p"]])


@pytest.mark.parametrize("name", LOGISTIC)
def test_hosmer_lemeshow(golden, name):
    data = study(golden, name)
    expected, fitted = data.take("hosmer_lemeshow"), data.look("fitted")
    found, table = hosmer_lemeshow(data.y, fitted), calibration_groups(data.y, fitted)
    assert (found["groups"], found["df"]) == (expected["groups"], expected["df"])
    close([found["chi2"], found["p"]], [expected["chisq"], expected["p"]])
    for ours, theirs in (("events", "observed"), ("expected", "expected"), ("n", "n")):
        close(table[ours], expected[theirs])


@pytest.mark.parametrize("name", LOGISTIC)
def test_net_benefit(golden, name):
    data = study(golden, name)
    expected = data.take("dca")
    curve = decision_curve(data.y, data.look("fitted"))
    for strategy in ("model", "all", "none"):
        rows = curve[curve["strategy"] == strategy]
        close(rows["threshold"], expected["threshold"])
        close(rows["net_benefit"], expected[strategy])
    close(curve.loc[curve["strategy"] == "model", "net_benefit"] / data.y.mean(), expected["standardised_model"])


@pytest.mark.parametrize("name", LOGISTIC)
def test_statistics_of_a_logistic_model(golden, name):
    data = study(golden, name)
    expected, fitted = data.take("lrm_stats"), np.array(data.look("fitted"))
    predictor, parameters = logit(fitted), len(data.kept)
    found, bins = logistic_statistics(data.y, predictor, parameters), np.floor(fitted * LRM_BINS)
    assert found["c"] == pytest.approx(expected["C"], abs=PAIR)
    found |= {"c": auc(data.y, bins)} | rank_correlations(data.y, bins)  # lrm ties probabilities within a bin
    n, effective = expected["Obs"], 3 * len(data.y) * data.y.mean() * (1 - data.y.mean())
    ours = {
        **{"Obs": "n", "Model L.R.": "lr_chi2", "d.f.": "df", "P": "p", "C": "c", "Dxy": "dxy", "Gamma": "gamma"},
        **{"Tau-a": "tau_a", "R2": "r2", f"R2({n})": "r2_n", f"R2({parameters},{n})": "r2_n_adjusted"},
        **{f"R2({effective:.1f})": "r2_effective", f"R2({parameters},{effective:.1f})": "r2_effective_adjusted"},
        **{"Brier": "brier", "g": "g", "gr": "gr", "gp": "gp"},
    }
    assert set(expected) - set(ours) == {"Max Deriv"}
    assert abs(expected["Max Deriv"]) < EXACT  # lrm's score at its end: it has converged
    for theirs, name in ours.items():
        assert found[name] == pytest.approx(expected[theirs], abs=EXACT), theirs
    assert brier(data.y, fitted) == pytest.approx(data.take("brier"), abs=EXACT)


@pytest.mark.parametrize("name", LOGISTIC)
def test_val_prob(golden, name):
    data = study(golden, name)
    expected, fitted = data.take("val_prob"), np.array(data.look("fitted"))
    found = logistic_indexes(data.y, logit(fitted))
    binned = auc(data.y, np.floor(fitted * LRM_BINS))
    close([2 * binned - 1, binned], [expected["Dxy"], expected["C (ROC)"]])
    for name, key in (("r2", "R2"), ("d", "D"), ("u", "U"), ("q", "Q"), ("brier", "Brier")):
        assert found[name] == pytest.approx(expected[key], abs=EXACT), key
    n = len(data.y)
    close([found["d"] * n + 1, found["u"] * n + 2], [expected["D:Chi-sq"], expected["U:Chi-sq"]])
    close([found["intercept"], found["slope"]], [expected["Intercept"], expected["Slope"]], OWN_LINE)
    errors = calibration_errors(data.y, fitted)
    close([errors["emax"], errors["e90"], errors["ici"]], [expected["Emax"], expected["E90"], expected["Eavg"]])
    spiegelhalter = spiegelhalter_test(data.y, fitted)
    close([spiegelhalter["z"], spiegelhalter["p"]], [expected["S:z"], expected["S:p"]])


@pytest.mark.parametrize("name", LOGISTIC)
def test_calibration_curve(golden, name):
    data = study(golden, name)
    smooth = data.take("calibration_lowess")
    close(calibration_curve(data.y, data.look("fitted"), smooth["x"]), smooth["y"])


@pytest.mark.parametrize("name", LOGISTIC)
def test_optimism_over_stored_resamples(golden, name):
    """R's own loop over glm; nenflow's refits of the same are compared in `test_refits_of_a_protocol`."""
    data = study(golden, name)
    y, X, expected = data.y, data.X(), data.take("bootstrap")
    rows = []
    for draw in data.draws:
        coef = glm(X[draw], y[draw])
        predictor = coef[0] + X @ coef[1:]
        p, linked = expit(predictor), np.clip(predictor, -LINK, LINK)
        areas = auc(y[draw], linked[draw]), auc(y, linked)
        rows.append([*areas, brier(y[draw], p[draw]), brier(y, p), *calibration_line(y, predictor)])
    optimism, rows = expected["optimism"], np.array(rows)
    assert optimism["columns"] == [
        *("auc_train", "auc_test", "brier_train", "brier_test"),
        *("cal_intercept", "cal_slope"),
    ]
    close(rows[:5], optimism["first5"], LINE)
    fitted = data.look("fitted")
    apparent = auc(y, fitted), brier(y, fitted)
    close(apparent, [optimism["auc_apparent"], optimism["brier_apparent"]])
    means = rows.mean(axis=0)
    close(means[:2], [optimism["auc_train"], optimism["auc_test"]])
    corrected = harrell(apparent[0], pd.DataFrame({"train": rows[:, 0], "test": rows[:, 1]}))
    close([corrected["optimism"], corrected["auc"]], [optimism["auc_optimism"], optimism["auc_corrected"]])
    assert apparent[1] - means[2] + means[3] == pytest.approx(optimism["brier_corrected"], abs=EXACT)
    close(means[4:], [optimism["intercept_corrected"], optimism["slope_corrected"]], LINE)

    fixed = np.array([auc(y[draw], np.array(fitted)[draw]) for draw in data.draws])
    published = expected["fixed_model_auc"]
    close([fixed.mean(), fixed.std(ddof=1)], [published["mean"], published["sd"]])
    close(np.quantile(fixed, [0.025, 0.975]), published["pct_ci"])
    close(fixed[:5], published["first5"])


@pytest.mark.parametrize("name", ["birthwt", "aSAH"])
def test_refits_of_a_protocol(golden, name):
    """The whole way that a study goes, on data sets whose resamples do not separate the classes."""
    data = study(golden, name)
    X = data.table[data.kept].astype(float)
    X.index = pd.MultiIndex.from_tuples([(f"P{i:03d}", "L1") for i in X.index], names=["patient", "region"])
    y, fitted = pd.Series(data.y, X.index), np.array(data.look("fitted"))
    protocol = build_protocol([{"logistic": {}}], clinical=data.kept, readings=None, seed=1)
    rows = [{"resample": b} | refit_once(protocol, X, y, draw)[0] for b, draw in enumerate(data.draws)]
    refit, fixed = pd.DataFrame(rows, columns=COLUMNS), resample_fixed(y, {"model": fitted}, 1, range(2))
    performance = {"auc": auc(y, fitted), "brier": brier(y, fitted)}
    performance["indexes"] = logistic_indexes(y, logit(fitted), fitted_here=True)
    found = summarise({"model": performance}, fixed, refit)["scores"]["model"]
    expected = data.look("bootstrap")["optimism"]
    close(
        [found["harrell"]["auc"], found["brier"]["corrected"]], [expected[f"{k}_corrected"] for k in ("auc", "brier")]
    )
    close([found["intercept"], found["slope"]], [expected[f"{k}_corrected"] for k in ("intercept", "slope")], LINE)
    table = pd.DataFrame(found["indexes"]).set_index("index")
    r = data.look("rms_validate")
    for row, values in zip(r["rows"], r["values"], strict=True):
        close(table.loc[NAMES.get(row, row.lower()), list(TABLE.values())], values, REFIT)


def lrm_line(y, score):
    return tuple(lrm(np.asarray(score)[:, None], np.asarray(y, dtype=float)))


def compare_validation(table, expected):
    assert list(TABLE) == expected["columns"]
    for row, values in zip(expected["rows"], expected["values"], strict=True):
        close(table.loc[NAMES.get(row, row.lower()), list(TABLE.values())], values)


def validated(data, select, whole=None):
    """The table of rms::validate where the columns of each fit are chosen by `select`.

    The model itself has converged, unless it is chosen too: then it is fitted to the rows `whole`.
    """

    def fit(rows):
        columns = select(rows)
        X = data.X(columns) if columns else np.empty((len(data.y), 0))
        coef = lrm(X[rows], data.y[rows])
        return coef[0] + X @ coef[1:]

    fitted = logit(data.look("fitted")) if whole is None else fit(whole)
    apparent = logistic_indexes(data.y, fitted, fitted_here=True)
    train, test = [], []
    for draw in data.draws:
        predictor = fit(draw)
        train.append(logistic_indexes(data.y[draw], predictor[draw], fitted_here=True))
        test.append(logistic_indexes(data.y, predictor))
        if np.ptp(predictor) == 0:  # nothing was selected: no line for nenflow, one of slope 1 for rms
            assert np.isnan(test[-1]["slope"])
            test[-1] |= {"intercept": logit(data.y.mean()), "slope": 1.0}
    return validation_table(apparent, pd.DataFrame(train), pd.DataFrame(test))


@pytest.mark.parametrize("name", LOGISTIC)
def test_validation_of_a_logistic_model(golden, name, monkeypatch):
    monkeypatch.setattr(indexes, "calibration_line", lrm_line)
    data = study(golden, name)
    compare_validation(validated(data, lambda rows: data.kept), data.take("rms_validate"))


@pytest.mark.parametrize("name", LOGISTIC)
def test_validation_with_backward_elimination(golden, name, monkeypatch):
    monkeypatch.setattr(indexes, "calibration_line", lrm_line)
    data = study(golden, name)

    def select(rows):
        X, y = data.X(data.full)[rows], data.y[rows]
        design, coef = np.column_stack([np.ones(len(y)), X]), lrm(X, y)
        p = expit(design @ coef)
        covariance = np.linalg.inv(design.T @ (design * (p * (1 - p))[:, None]))
        terms = fast_backward(coef[1:], covariance[1:, 1:], data.full, p=0.05)[0]
        return [column for column in data.full if column.split("=")[0] in terms]

    compare_validation(validated(data, select, np.arange(len(data.y))), data.take("rms_validate_backward"))


@pytest.mark.parametrize("name", LOGISTIC)
def test_corrected_calibration_curve(golden, name):
    data = study(golden, name)
    y, X, expected = data.y, data.X(), data.take("rms_calibrate")
    grid, rows = np.array(expected["predy"]), []
    for number, draw in enumerate(data.draws):
        coef = lrm(X[draw], y[draw])
        p = expit(coef[0] + X @ coef[1:])
        optimism = curve_optimism(y[draw], p[draw], y, p, grid)
        rows.append(pd.DataFrame({"resample": number, "predicted": grid, "optimism": optimism}))
    curve = corrected_curve(y, data.look("fitted"), pd.concat(rows))
    close(curve["predicted"], grid)
    close(curve["apparent"], expected["apparent"])
    close(curve["corrected"], expected["corrected"], LINE)


@pytest.mark.parametrize("name", COX)
def test_refits_of_a_cox_protocol(golden, name):
    data = study(golden, name)
    expected, X = data.take("bootstrap"), data.table[data.kept].astype(float)
    X.index = pd.MultiIndex.from_tuples([(f"P{i:03d}", "L1") for i in X.index], names=["patient", "region"])
    y = pd.DataFrame(np.column_stack(data.follow_up), X.index, ["time", "event"])
    protocol = build_protocol([{"cox": {}}], clinical=data.kept, readings=None, seed=1)
    rows = [{"resample": b} | refit_once(protocol, X, y, draw)[0] for b, draw in enumerate(data.draws)]
    refit = pd.DataFrame(rows, columns=columns_with_times([]))
    fit = fit_cox(X.to_numpy(), *data.follow_up)
    score = fit.linear_predictor(X.to_numpy())
    c = [harrell_c(*(values[draw] for values in (*data.follow_up, score)))["c"] for draw in data.draws]
    fixed = pd.DataFrame({"resample": range(len(c)), "score": "model", "c": c})
    apparent = harrell_c(*data.follow_up, score)["c"]
    found = summarise({"model": {"c": apparent}}, fixed, refit)["scores"]["model"]
    assert expected["columns"] == ["c_train", "c_test", "c_fixed", "cal_slope"]
    rows = np.column_stack([refit["c_train"], refit["c_test"], c, refit["slope"]])
    close(rows[:5], expected["first5"], COX_REFIT)
    assert apparent == pytest.approx(expected["c_apparent"], abs=EXACT)
    harrells, published = found["harrell"], found["published"]
    for key in ("train", "test", "optimism"):
        assert harrells[key] == pytest.approx(expected[f"c_{key}"], abs=COX_REFIT), key
    assert harrells["c"] == pytest.approx(expected["c_corrected"], abs=COX_REFIT)
    assert published["mean"] == pytest.approx(expected["fixed_mean"], abs=COX_REFIT)
    close(published["interval"], expected["fixed_pct_ci"], COX_REFIT)
    close(refit["c_train"].quantile([0.025, 0.975]), expected["refit_train_pct_ci"], COX_REFIT)
    assert found["slope"] == pytest.approx(expected["slope_corrected"], abs=COX_REFIT)


@pytest.mark.parametrize("name", COX)
def test_validation_of_a_cox_model(golden, name, monkeypatch):
    def line(time, event, score, strata):  # rms has no strata here
        coef, value, null = cph(np.asarray(score)[:, None], np.asarray(time), np.asarray(event))
        return coef[0], value, null

    monkeypatch.setattr(indexes, "cox_line", line)
    data = study(golden, name)
    X, (time, event) = data.X(), data.follow_up
    converged = fit_cox(X, time, event).linear_predictor(X)  # the model itself was fitted with eps = 1e-10
    train, test = [], []
    for draw in data.draws:
        score = X @ cph(X[draw], time[draw], event[draw])[0]
        train.append(cox_indexes(time[draw], event[draw], score[draw], fitted_here=True))
        test.append(cox_indexes(time, event, score))
    apparent = cox_indexes(time, event, converged, fitted_here=True)
    compare_validation(validation_table(apparent, pd.DataFrame(train), pd.DataFrame(test)), data.take("rms_validate"))


@pytest.mark.parametrize("name", COX)
def test_calibration_of_survival_by_groups(golden, name):
    data = study(golden, name)
    X, follow_up, expected = data.X(), data.follow_up, data.take("rms_calibrate_km")
    at, groups = expected["u"], max(1, len(X) // expected["m"])

    def predict(rows):
        units = [values[rows] for values in follow_up]
        fit = replace(fit_cox(X[rows], *units), coef=cph(X[rows], *units)[0])
        return survival_at(baseline_hazard(fit, X[rows], *units), fit.linear_predictor(X), [at])[:, 0]

    survival = predict(np.arange(len(X)))
    cuts = survival_cuts(survival, groups)
    train, test = [], []
    for draw in data.draws:
        predicted = predict(draw)
        drawn = survival_groups(*(values[draw] for values in follow_up), predicted[draw], at, cuts)
        everybody = survival_groups(*follow_up, predicted, at, cuts)
        train.append(drawn["observed"] - drawn["predicted"])
        test.append(everybody["observed"] - everybody["predicted"])
    found = corrected_groups(survival_groups(*follow_up, survival, at, cuts), np.array(train), np.array(test))
    difference = found["observed"] - found["predicted"]
    ours = {
        **{"index.orig": difference, "training": found["training"], "test": found["test"]},
        **{"mean.optimism": found["optimism"], "mean.corrected": difference - found["optimism"]},
        **{"n": found["resamples"], "mean.predicted": found["predicted"], "KM": found["observed"]},
        **{"KM.corrected": found["corrected"], "std.err": found["relative_error"]},
    }
    assert list(ours) == expected["columns"]
    close(np.column_stack(list(ours.values())), expected["values"])


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    assert read_figures(golden, name).left(COVERS[name]) == []
