"""The tiny study with a multiverse of bin widths, spacings and steps: what runs, how often, and what comes out."""

import pandas as pd
import pytest
import yaml

from nenflow.documents import read_json
from nenflow.features.extraction import extract_patient, read_parameters
from nenflow.records import read_records
from nenflow.tables import CASE, read_table
from projects import edit

VARIED = {
    "extraction": {"binWidth": [12.5], "resampledPixelSpacing": [1]},
    "steps": {
        "stability": {"threshold": [0.75, 1.0]},
        "spearman": {"threshold": [0.8]},
        "lasso": {"rule": ["lambda.1se"]},
    },
}
VARIANTS = [
    "original_binWidth-12.5_resampledPixelSpacing-1",
    "original_binWidth-12.5",
    "original_resampledPixelSpacing-1",
]
PATIENTS = 8


@pytest.fixture
def varied(copy):
    edit(
        copy.folder / "config/studies/tiny/study.yaml",
        lambda study: (study.update(multiverse={"fusion": VARIED}), study["evaluation"].update(folds=3)),
    )
    return copy


def test_cells_share_extractions_and_the_study_s_own_is_reused(varied):
    own = varied.path("features/development/original.csv")
    written = own.stat().st_mtime_ns
    planned = varied.planned()
    assert {name: planned[name] for name in ("vary_extraction", "extract_features", "assemble_variant")} == {
        "vary_extraction": len(VARIANTS),
        "extract_features": PATIENTS * len(VARIANTS),
        "assemble_variant": len(VARIANTS),
    }
    assert planned["run_cells"] == 8  # four extractions of eight cells each, at most six in a job
    assert "assemble_dataset" not in planned
    varied.run()
    assert own.stat().st_mtime_ns == written
    assert "Nothing to be done" in varied.run()

    folder = varied.path("multiverse/fusion")
    cells = read_table(folder / "cells.csv", text=["note"])
    assert cells["cell"].tolist() == list(range(1, 33))
    assert sorted(path.stem for path in (folder / "cells").glob("*.csv"))[:3] == ["1-6", "15-16", "17-22"]
    row = cells[cells["own"]].squeeze()
    choices = ["binWidth", "resampledPixelSpacing", "stability/threshold", "spearman/threshold", "lasso/rule"]
    assert row[choices].tolist() == [25, 2, 0.75, 0.9, "lambda.min"]
    pooled = read_json(varied.path("evaluation/fusion/cross_validation.json"))["folds"]["pooled"]
    assert row["auc"] == pooled["auc"]
    apparent = read_json(varied.path("evaluation/fusion/performance.json"))["fusion"]["auc"]
    assert row["apparent"] == pytest.approx(apparent, abs=1e-12)
    # an ICC of 1 is reached by no feature: these cells say so, and the others have their figures
    unreached = cells["stability/threshold"] == 1
    assert cells.loc[unreached, "note"].str.contains("not computable").all()
    assert cells.loc[unreached, "auc"].isna().all()
    assert cells.loc[~unreached, "auc"].notna().any()

    page = varied.path("report/report.html").read_text(encoding="utf-8")
    assert "Multiverse analysis" in page
    assert "16 analyses could not be computed" in page
    printed = pd.read_csv(varied.path("report/tables/multiverse_fusion.csv"))
    pd.testing.assert_frame_equal(printed.drop(columns="data"), pd.read_csv(folder / "cells.csv"))


def test_a_variant_has_the_features_of_a_parameter_file_edited_by_hand(varied, tmp_path):
    name, patient = VARIANTS[0], "P003"
    varied.run(f"results/tiny/features/development/{name}/{patient}.csv")
    parameters = yaml.safe_load((varied.folder / "config/studies/tiny/extraction/original.yaml").read_text())
    parameters["setting"] |= {"binWidth": 12.5, "resampledPixelSpacing": [1, 1, 1]}
    assert read_parameters(varied.path(f"multiverse/{name}.yaml")) == parameters
    rows, _ = extract_patient(varied.path(f"images/development/{patient}"), parameters, "slicer")
    by_case = {tuple(row[key] for key in CASE): row for row in rows}
    found = read_records(varied.path(f"features/development/{name}/{patient}.csv"))
    same = [row for row in found if not row["rater"].startswith("perturbed")]
    assert len(same) > 0
    for row in same:
        expected = by_case[tuple(row[key] for key in CASE)]
        assert {key: float(row[key]) for key in row if key not in CASE} == {
            key: expected[key] for key in expected if key not in CASE
        }
