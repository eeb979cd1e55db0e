"""A model file applied by the workflow, as a user would: to a folder of new patients, and to a cohort of a study."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from nenflow.tables import UNIT, read_table
from projects import ROOT, Project

PUBLISHED = "config/studies/pnec/published/nomogram.json"
EXACT = 1e-12


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("application"))
    shutil.copytree(ROOT / "config/studies/pnec", project.folder / "config/studies/pnec")
    return project


def apply(project, *options, target="apply", model=PUBLISHED, cohort="new", **run):
    return project.run(target, "--config", f"model={model}", f"cohort={cohort}", *options, **run)


def folder(project, name, text):
    place = project.folder / name
    place.mkdir()
    (place / "patients.csv").write_text(text, encoding="utf-8")
    return place


def test_the_published_model_gives_its_survivals_and_names_who_lacks_what(project):
    text = "patient;size (cm);resection;treatment\nA;4,41;yes;both\nB;;no;neither\n"
    folder(project, "ward", text)
    output = apply(project, cohort="ward")
    assert "application/pnec-published/predictions.html" in output
    found = read_table(project.folder / "results/new-ward/application/pnec-published/predictions.csv")
    survival = found.loc[0, ["survival_12", "survival_36", "survival_60"]].to_numpy(dtype=float)
    lp = 4.41 * 0.376291
    by_hand = np.exp(-np.array([0.01694187, 0.05559391, 0.10392441]) * np.exp(lp))
    np.testing.assert_allclose(survival, by_hand, atol=1e-8)
    assert found.loc[1, "not_predicted"] == "no value for Tumour size (cm)"
    assert (
        "research use only"
        in (project.folder / "results/new-ward/application/pnec-published/predictions.html")
        .read_text(encoding="utf-8")
        .lower()
    )


def test_other_units_and_changed_or_older_files_are_refused_in_one_sentence(project):
    folder(project, "millimetres", "patient,size (mm),resection,treatment\nA,44,yes,both\n")
    output = apply(project, cohort="millimetres", check=False)
    assert "size is in 'mm', the model takes it in 'cm'" in output
    assert "Traceback" not in output
    model = json.loads((project.folder / PUBLISHED).read_text(encoding="utf-8"))
    older = project.folder / "older.json"
    older.write_text(json.dumps({key: value for key, value in model.items() if key != "schema"}), encoding="utf-8")
    output = apply(project, model="older.json", cohort="millimetres", check=False)
    assert "older.json has no key 'schema'" in output
    changed = model | {"checksum": "sha256:" + "0" * 64}
    (project.folder / "changed.json").write_text(json.dumps(changed), encoding="utf-8")
    output = apply(project, model="changed.json", cohort="millimetres", check=False)
    assert "changed.json was changed after it was written" in output


def test_a_cohort_of_a_study_is_judged_on_a_page_of_its_own(project):
    apply(project, target="validate", cohort="pnec/development")
    results = project.folder / "results/pnec/application/pnec-published"
    table = pd.read_csv(results / "validation.csv")
    assert table["measure"].tolist()[:2] == ["c", "slope"]
    assert table.loc[table["measure"] == "observed_expected", "time"].tolist() == [12, 36, 60]
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    c = json.loads((results / "performance.json").read_text())["c"]
    assert table["value"][0] == pytest.approx(c, abs=EXACT)
    page = (results / "validation.html").read_text(encoding="utf-8")
    assert "SIMULATED DATA" in page
    assert (results / "figures/calibration_validation_36.pdf").exists()


def test_new_patients_from_dicom_have_the_scores_of_the_study(copy):
    card = "results/tiny/models/fusion/card.json"
    simulated = copy.path("simulation/development")
    patients = pd.read_csv(simulated / "patients.csv", dtype=str)
    ward = copy.folder / "ward"
    ward.mkdir()
    who = patients["patient"].iloc[0]
    for name in ("patients", "lesions", "cases"):
        rows = pd.read_csv(simulated / f"{name}.csv", dtype=str)
        rows = rows[rows["patient"] == who]
        rows = rows[rows["rater"] == "reader1"] if name == "cases" else rows
        rows.to_csv(ward / f"{name}.csv", index=False)
    shutil.copytree(simulated / "dicom" / who, ward / "dicom" / who)
    copy.run("apply", "--config", f"model={card}", "cohort=ward")
    found = read_table(copy.folder / "results/new-ward/application/tiny-fusion/predictions.csv", index=UNIT)
    expected = read_table(copy.path("models/fusion/scores.csv"), index=UNIT).loc[found.index]
    pd.testing.assert_frame_equal(found[["probability"]], expected[["probability"]], check_exact=True)
