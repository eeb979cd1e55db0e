"""Over many simulated cohorts of known truth: is the honest AUC of each scheme that of new patients, and the apparent?

Run by `make test-slow`, which writes what it finds into docs/validation.md.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from nenflow.evaluation.crossvalidation import cross_validate, parts_of
from nenflow.evaluation.discrimination import auc
from nenflow.evaluation.refitting import discriminate, fit_drawn, parts_of_draw
from nenflow.evaluation.resampling import PARTS, patient_resamples
from nenflow.evaluation.validation import harrell, plus632
from nenflow.models.protocol import build_protocol, scores
from projects import write_validation

pytestmark = pytest.mark.slow

COHORTS, RESAMPLES = 100, 25
PATIENTS = 120  # with two lesions each
VARIABLES = 16  # of which three tell something
NEW = 10_000  # patients in whom each cohort's model is tried: the truth to .003
LIMIT = 0.02  # that a mean honest AUC may be off, and that the mean apparent one exceeds
STEPS = [{"zscore": {}}, {"backward": {"p": 0.1}}, {"logistic": {}}]
HONEST = ["cross-validation", "optimism bootstrap", ".632+"]
INTRODUCTION = f"""\
Written by `make test-slow` (tests/slow/test_scheme_truth.py): {COHORTS} cohorts of {PATIENTS} patients with two lesions
that are alike, {VARIABLES} variables of which three tell something, backward elimination at p < .1, a logistic model.
The truth of a cohort is the AUC of its own model in {NEW:,} new patients. Cross-validation has 10 folds of patients,
dealt once; the bootstraps have {RESAMPLES} resamples of patients (1,000 in a study). The error is the mean difference
from the truth, with its Monte Carlo standard error; the last column says how far a single cohort is off (root mean
square).
"""


def draw_cohort(seed, patients):
    """Variables alike within a patient, and an outcome that the first three decide by a logistic model."""
    rng = np.random.default_rng([seed, 5])
    names = [f"P{number:05d}" for number in range(patients)]
    index = pd.MultiIndex.from_product([names, ["L1", "L2"]], names=["patient", "region"])
    shared = rng.normal(size=(patients, VARIABLES))[index.codes[0]]
    values = np.sqrt(0.5) * (shared + rng.normal(size=(len(index), VARIABLES)))
    risk = 0.8 * values[:, 0] + 0.8 * values[:, 1] + 0.4 * values[:, 2] - 0.3
    y = (risk + rng.logistic(size=len(index)) > 0).astype(int)
    return pd.DataFrame(values, index).add_prefix("x"), pd.Series(y, index)


def judged(seed, new):
    """AUCs of one cohort: the truth, and what each scheme says."""
    X, y = draw_cohort(seed, PATIENTS)
    protocol = build_protocol(STEPS, [f"x{number}" for number in range(VARIABLES)], None, 1)
    fitted = protocol.fit(X, y)
    apparent = auc(y, scores(fitted, X)["linear_predictor"])
    truth = auc(new[1], scores(fitted, new[0])["linear_predictor"])
    crossed = cross_validate(protocol, X, y, parts_of(X, y, seed, {"folds": 10}))[1]["folds"]["pooled"]["auc"]
    draws = list(patient_resamples(X.index, seed, range(RESAMPLES)))
    rows = [discriminate(fit_drawn(protocol, X, y, draw)[1], y, parts_of_draw(X.index, draw)) for draw in draws]
    areas = pd.DataFrame({part: [row[f"auc_{part}"] for row in rows] for part in PARTS})
    return [truth, apparent, crossed, harrell(apparent, areas)["auc"], plus632(apparent, areas)["auc"]]


@cache
def simulated():
    """One row per cohort: truth, apparent and the honest AUCs."""
    new = draw_cohort(0, NEW)
    rows = [judged(seed, new) for seed in range(1, COHORTS + 1)]
    return pd.DataFrame(rows, columns=["truth", "apparent", *HONEST])


@pytest.mark.parametrize("scheme", ["cross-validation", ".632+"])
def test_a_mean_honest_auc_is_that_of_new_patients(scheme):
    table = simulated()
    assert abs((table[scheme] - table["truth"]).mean()) < LIMIT


def test_the_mean_apparent_auc_is_not():
    table = simulated()
    assert (table["apparent"] - table["truth"]).mean() > LIMIT


def test_what_was_found_is_written():
    table = simulated()
    lines = [INTRODUCTION, "| scheme | mean AUC | error (MC error) | root mean square |", "|---|---|---|---|"]
    lines.append(f"| new patients (truth) | {table['truth'].mean():.3f} | | |")
    for scheme in ["apparent", *HONEST]:
        error = table[scheme] - table["truth"]
        spread = f"{error.mean():+.3f} ({error.std(ddof=1) / np.sqrt(COHORTS):.3f})"
        lines.append(f"| {scheme} | {table[scheme].mean():.3f} | {spread} | {np.sqrt((error**2).mean()):.3f} |")
    write_validation("Is an honest AUC that of new patients?", lines)
