"""Where there is nothing to find, is the p value of a permutation test uniform, and the honest figure's no smaller?

Run by `make test-slow`, which writes what it finds into docs/validation.md and docs/chance.png.
"""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from nenflow.evaluation.permutation import permute_protocol, summarise_permutations
from nenflow.evaluation.refitting import refit_once, refit_resamples
from nenflow.evaluation.validation import harrell, plus632
from nenflow.models.protocol import build_protocol
from nenflow.report.drawing import BLUE, GREY, RED, SINGLE, journal, new_figure, save_figure
from projects import ROOT, write_validation

pytestmark = pytest.mark.slow

COHORTS = 100
PERMUTATIONS = 19  # p is then one of 0.05, 0.10, ... 1
RESAMPLES = 20  # of the study's own outcome; each permutation has 10
PATIENTS = 50
CLINICAL = ["a", "b", "c", "d"]
PROTOCOLS = {
    "logistic": [{"logistic": {}}],
    "signature": [
        *({"zscore": {}}, {"spearman": {"threshold": 0.9}}, {"lasso": {"folds": 5, "folds_by": "patient"}}),
        *({"univariable": {"p": 0.1}}, {"logistic": {}}),
    ],
}
NAMES = {
    "logistic": "four clinical variables, all kept",
    "signature": "LASSO signature of 20 features, univariable screen at p < .1",
}
LEVELS = np.arange(1, PERMUTATIONS + 1) / (PERMUTATIONS + 1)
INTRODUCTION = f"""\
Written by `make test-slow` (tests/slow/test_chance_truth.py): {COHORTS} cohorts of {PATIENTS} patients with one or two
lesions. Values and outcomes are alike within a patient and have nothing to do with each other. Each cohort is analysed,
and again {PERMUTATIONS} times with its outcomes permuted between patients. The p of an apparent AUC should be uniform:
5 of 100 cohorts have p = .05, and so on. That of the honest AUC (.632+) may be too large and never too small, since the
cohort's own has {RESAMPLES} resamples here (1,000 in a study) and a permutation's 10, so that those scatter more. Where
nothing is selected the AUC is 0.5 and p is nearly 1. The band is what 100 cohorts may differ by (3.3 standard errors).
"""
ERRORS = 3.3  # standard errors of a share; over the 19 levels at once such a band is left by chance in about 1 %


def null_cohort(seed, features):
    """Patients with one or two lesions that are alike in values and outcomes, which have nothing to do with another."""
    rng = np.random.default_rng([seed, 77])
    lesions = rng.integers(1, 3, PATIENTS)
    pairs = [(f"P{number:02d}", f"L{lesion}") for number in range(PATIENTS) for lesion in range(lesions[number])]
    index = pd.MultiIndex.from_tuples(pairs, names=["patient", "region"])
    of_patient = index.codes[0]

    def alike(columns):
        return 0.8 * rng.normal(size=(PATIENTS, columns))[of_patient] + 0.6 * rng.normal(size=(len(index), columns))

    X = pd.DataFrame(alike(features), index).add_prefix("f")
    X = X.join(pd.DataFrame(alike(len(CLINICAL)), index, columns=CLINICAL))
    return X, pd.Series((alike(1)[:, 0] > 0.3).astype(int), index)


def p_values(protocol, X, y, seed):
    """p of the model's apparent and honest AUC, as the workflow computes them."""
    apparent = refit_once(protocol, X, y, np.arange(len(X)))[0]["auc_train"]
    refits, _ = refit_resamples(protocol, X, y, seed, range(RESAMPLES))
    areas = refits[["auc_train", "auc_test", "auc_oob"]].set_axis(["train", "test", "oob"], axis=1)
    own = {"apparent": apparent, "corrected": plus632(apparent, areas), "harrell": harrell(apparent, areas)}
    found = summarise_permutations(permute_protocol(protocol, X, y, seed, range(PERMUTATIONS)), {"model": own})
    return {figure: found["scores"]["model"][figure]["p"] for figure in ("apparent", "corrected")}


@cache
def simulated(name):
    """The p values of all cohorts, a row each."""
    protocol = build_protocol(PROTOCOLS[name], clinical=CLINICAL, readings=None, seed=1)
    features = 20 if name == "signature" else 0
    return pd.DataFrame([p_values(protocol, *null_cohort(seed, features), seed) for seed in range(COHORTS)])


def shares(p):
    """Share of the cohorts whose p is at most each level."""
    return np.array([(p <= level + 1e-9).mean() for level in LEVELS])


def band():
    return ERRORS * np.sqrt(LEVELS * (1 - LEVELS) / COHORTS)


def test_p_of_the_apparent_figure_is_uniform():
    assert (np.abs(shares(simulated("logistic")["apparent"]) - LEVELS) <= band()).all()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_no_p_is_too_small(name):
    for p in simulated(name).to_numpy().T:
        assert (shares(p) <= LEVELS + band()).all()


@journal
def chance_figure():
    figure = new_figure(SINGLE, SINGLE)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--", label="Uniform")
    axes.fill_between(LEVELS, LEVELS - band(), LEVELS + band(), color=GREY, alpha=0.15, lw=0)
    for name, look in {"logistic": "-", "signature": ":"}.items():
        for figure_name, colour in {"apparent": BLUE, "corrected": RED}.items():
            axes.plot(
                LEVELS, shares(simulated(name)[figure_name]), color=colour, ls=look, label=f"{name}, {figure_name}"
            )
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="p", ylabel="Share of null cohorts with such a p or less", aspect="equal")
    axes.legend(loc="upper left")
    return figure


def test_what_was_found_is_written():
    lines = [INTRODUCTION, "| protocol | figure | p ≤ .05 | p ≤ .10 | p ≤ .20 | p ≤ .50 |", "|---|---|---|---|---|---|"]
    for name, words in NAMES.items():
        for figure, p in simulated(name).items():
            cells = [f"{shares(p)[list(LEVELS).index(level)]:.2f}" for level in LEVELS[[0, 1, 3, 9]]]
            lines.append(f"| {words} | {figure} | {' | '.join(cells)} |")
    lines += ["", "![Distribution of p in null cohorts](chance.png)", ""]
    write_validation("What permutations say where there is nothing to find", lines)
    save_figure(chance_figure(), ROOT / "docs/chance", simulated=True)
    (ROOT / "docs/chance.pdf").unlink()
