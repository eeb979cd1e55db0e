"""Intraclass correlations as R's psych::ICC(lmer = FALSE) gives them."""

import numpy as np
import pandas as pd
import pytest

from golden.figures import ABOUT, matches, read_figures
from nenflow.stability import agreement_table, icc

EXACT = 1e-8  # 15 digits are printed; the sums of squares cancel a few of them
P = 1e-6  # relative; p values go down to 1e-50, where a digit of F counts many times

COVERS = {"icc": ["*"], "chain": ["icc2_*", "icc3_*"]}
FORMS = ["ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"]


def assert_as_psych(table, expected):
    assert list(expected[0]) == FORMS
    for form in FORMS:
        suffix = "_oneway" if form.startswith("ICC1") else ""
        names = {
            "ICC": form, "lower bound": f"{form}_low", "upper bound": f"{form}_high",
            "F": f"F{suffix}", "df1": f"df1{suffix}", "df2": f"df2{suffix}",
        }  # fmt: skip
        for theirs, ours in names.items():
            want = np.array([row[form][theirs] for row in expected], dtype=float)
            assert table[ours].to_numpy() == pytest.approx(want, rel=EXACT, abs=EXACT), (form, theirs)
        want = np.array([row[form]["p"] for row in expected], dtype=float)
        assert table[f"p{suffix}"].to_numpy() == pytest.approx(want, rel=P, abs=0), form


def test_four_raters(golden):
    judges = pd.read_csv(golden / "icc_shrout_fleiss.csv").to_numpy(dtype=float)
    assert_as_psych(icc(judges[None]), [read_figures(golden, "icc").take("shrout_fleiss")])


@pytest.mark.parametrize("comparison", ["intra", "inter"])
def test_forty_features(golden, comparison):
    table = pd.read_csv(golden / "icc.csv")
    wide = table.pivot_table(index="feature", columns="lesion", values=["first", comparison])
    readings = np.stack([wide["first"].to_numpy(), wide[comparison].to_numpy()], axis=2)
    expected = read_figures(golden, "icc").take(comparison)
    assert readings.shape == (40, 46, 2)
    assert sorted(expected) == list(wide.index)
    assert_as_psych(icc(readings), [expected[feature] for feature in wide.index])


@pytest.mark.parametrize("comparison", ["intra", "inter"])
def test_whole_chain(golden, comparison):
    readings = {}
    for file in ("features", comparison):
        table = pd.read_csv(golden / f"chain_{file}.csv.gz").set_index("lesion")
        readings[file] = table.loc[:, table.columns.str.fullmatch(r"f\d+")]
    table = agreement_table(readings["features"], {comparison: readings[comparison]})
    assert (table["n"] == 46).all()
    figures = read_figures(golden, "chain")
    for column, key in (("ICC2", "icc2"), ("ICC3", "icc3"), ("ICC2_low", "icc2_lo")):
        want = np.array(figures.take(f"{key}_{comparison}"))
        assert table[column].to_numpy() == pytest.approx(want, abs=EXACT)


@pytest.mark.parametrize("name", COVERS)
def test_every_figure_is_compared(golden, name):
    left = read_figures(golden, name).left(COVERS[name])
    assert [figure for figure in left if not matches(figure, ABOUT)] == []
