"""The tiny study run for real: finished, repeated, interrupted, changed. Nothing of Snakemake is mocked."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from PIL import Image

from browser import assert_sound, needs_browser
from nenflow.documents import read_json
from nenflow.models.protocol import build_protocol, scores
from nenflow.stability import repeated_readings
from nenflow.tables import CASE, UNIT, read_table
from projects import ROOT, assert_same, edit
from research_object import faults

SLICES = 1.0  # seconds between looks at a run that is to be interrupted

# What a change in one patient's images must run again, and how often; the rest of the plan follows from files.
ONE_PATIENT = {"import_images": 1, "extract_features": 2}
# Rules that refit the protocol, and those that sum up what they found.
REFITTING = ("refit_resamples", "validate_model", "shrink_model", "permute_outcomes", "rate_chance", "compare_schemes")
LEAVING = ("write_card", "export_model")  # the model for others, with its honest figures and shrunken
# Rules that put together what all others made.
REPORTING = ("record_provenance", "write_report", "write_crate", "write_index")

# Everything that a run leaves but the simulated input; all of it must be the same bytes.
RESULTS = ("cohort", "images", "features", "stability", "models", "evaluation", "report", "provenance")
RESULTS += ("ro-crate-metadata.json",)


def test_the_report_is_one_file_that_names_no_network_address(finished):
    page = finished.path("report/report.html").read_text(encoding="utf-8")
    assert "SIMULATED DATA" in page
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*', page) == []
    assert re.findall(r"url\((?!data:)[^)]*\)|@import|<link|<iframe", page) == []


@needs_browser
@pytest.mark.parametrize("page", ["report", "gallery"])
def test_a_page_opens_offline_without_fault_on_any_screen_and_on_paper(finished, open_page, page):
    pictures = assert_sound(open_page, finished.path(f"report/{page}.html"), ROOT / f"results/screenshots/tiny/{page}")
    assert len(pictures) > 2
    for picture in pictures:
        assert len(Image.open(picture).convert("RGB").getcolors(1_000_000)) > 20  # words or figures, not an empty box


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run()


def test_the_results_are_a_research_object_that_names_their_inputs(finished, monkeypatch):
    for profile in ("ro-crate-1.1", "process-run-crate"):
        assert faults(finished.path(""), profile, monkeypatch) == []
    inputs = read_table(finished.path("provenance/inputs.csv"))
    files = finished.path("simulation/development/dicom/P003")
    command = "find . -type f -exec sha256sum {} + | cut -c1-64 | LC_ALL=C sort | sha256sum | cut -c1-64"
    shell = subprocess.run(command, shell=True, cwd=files, capture_output=True, text=True, check=True)
    patient = inputs.set_index("patient").loc["P003"]
    assert (patient["files"], patient["sha256"]) == (len([*files.rglob("*.dcm")]), shell.stdout.strip())


def test_the_settings_as_they_ran_and_the_time_of_each_rule_are_kept(finished):
    own = yaml.safe_load((finished.folder / "config/studies/tiny/study.yaml").read_text())
    kept = yaml.safe_load(finished.path("provenance/study.yaml").read_text())
    assert {key: kept[key] for key in own} == own
    times = read_table(finished.path("provenance/run_times.csv")).set_index("rule")
    assert times.loc["import_images", "jobs"] == 8
    assert times.loc["extract_features", "total_s"] > times.loc["extract_features", "longest_s"] > 0


def test_the_index_leads_to_the_pages(finished):
    index = finished.folder / "results/index.html"
    links = re.findall(r'href="(?!#)([^"]*)"', index.read_text(encoding="utf-8"))
    assert links == ["tiny/report/report.html", "tiny/report/gallery.html"]
    assert all((index.parent / link).is_file() for link in links)


@pytest.mark.parametrize("file", ["snakemake.html", "snakemake.zip"])
def test_snakemake_s_own_report_has_the_pages_figures_and_tables_with_captions(finished, tmp_path, file):
    finished.run("--report", str(tmp_path / file))
    if file.endswith(".zip"):
        names = {Path(name).name for name in zipfile.ZipFile(tmp_path / file).namelist()}
        assert {"report.html", "index.html", "honest_fusion.png", "table3_fusion.html"} <= names
    else:
        page = (tmp_path / file).read_text(encoding="utf-8")
        for words in ("the level of chance, and says whether the finding stands", "honest_fusion", "All studies"):
            assert words in page


def test_lint_is_clean():
    done = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_run_is_resumed_on_one_core_and_ends_in_the_same_bytes(finished, new_project):
    """Killed in the features stage, so that every table and model after it is made on one core, not on two."""
    run = subprocess.Popen(
        new_project.command(),
        cwd=new_project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while run.poll() is None and len(list(new_project.path("features").rglob("P0*.csv"))) < 2:
        time.sleep(SLICES)
    assert run.poll() is None, "the run ended before it could be killed"
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    kept = {path: path.stat().st_mtime_ns for path in new_project.path("images/development").glob("*/cases.csv")}

    new_project.run("--unlock")
    new_project.run(cores=1)
    again = [path for path, written in kept.items() if path.stat().st_mtime_ns != written]
    assert len(again) <= 2  # at most the jobs that were running on the two cores
    assert_same(new_project, finished, *RESULTS)


def test_a_redrawn_segmentation_runs_its_patient_only(copy):
    segmentation = next(copy.path("simulation/development/dicom/P003").glob("*_reader1.dcm"))
    segmentation.touch()
    planned = copy.planned()
    assert {rule: planned.get(rule, 0) for rule in ONE_PATIENT} == ONE_PATIENT
    assert "simulate_cohort" not in planned
    assert "check_cohort" not in planned


def test_an_overwritten_slice_runs_its_patient_only(copy):
    next(copy.path("simulation/development/dicom/P003/arterial").glob("*.dcm")).touch()
    planned = copy.planned()
    assert {rule: planned.get(rule, 0) for rule in ONE_PATIENT} == ONE_PATIENT


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("report/wording.py", {"write_gallery", *REPORTING}),
        ("evaluation/decision.py", {"evaluate_model", *REFITTING, *LEAVING, *REPORTING}),
        ("evaluation/markers.py", {"rate_markers", "rate_synthetic", "permute_synthetic", *REPORTING}),
    ],
)
def test_an_edited_module_runs_the_rules_that_use_it(copy, module, rules):
    source = copy.folder / "workflow/lib/nenflow" / module
    source.write_text(source.read_text() + "\n# edited\n")
    assert set(copy.planned()) - {"all"} == rules


def test_a_changed_setting_runs_what_depends_on_it(copy):
    settings = copy.folder / "config/studies/tiny/study.yaml"
    edit(settings, lambda study: study["images"].update(minimum_volume_mm3=600))
    planned = copy.planned()
    assert planned["import_images"] == 8
    assert "simulate_cohort" not in planned


def test_more_resamples_repeat_none(copy):
    """Jobs are named after their numbers, and depend on nothing else of the settings."""
    settings = copy.folder / "config/studies/tiny/study.yaml"
    edit(settings, lambda study: study["evaluation"].update(resamples=40, permutations=6))
    planned = copy.planned()
    assert (planned["refit_resamples"], planned["permute_outcomes"]) == (2, 1)  # 20 more in tens, 2 more in twos


def real_study(project, change_cases=lambda rows: rows, **settings):
    """Turn the simulated cohort of a finished project into files that a user brings, with only markers to rate."""
    files = project.folder / "files"
    shutil.move(project.path("simulation/development"), files)
    folder = project.folder / "config/studies/tiny"
    study = yaml.safe_load((folder / "study.yaml").read_text())
    del study["models"], study["evaluation"], study["extractions"]["standard"]
    study["images"] = {"minimum_volume_mm3": 500}
    study["markers"] = {"endpoint": "response", "extraction": "original", "phase": "arterial"}
    study["stability"] = {"readings": {"reference": "reader1"}}
    study["cohorts"]["development"] = {
        "patients": str(files / "patients.csv"),
        "lesions": str(files / "lesions.csv"),
        "cases": str(files / "cases.csv"),
        "data": str(files),
    }
    study |= settings
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    rows = (files / "cases.csv").read_text().splitlines()
    (files / "cases.csv").write_text("\n".join(change_cases(rows)) + "\n")
    return files


def break_segmentation(files):
    """Damage one patient's segmentation as a failed copy would."""
    broken = next((files / "dicom/P003").glob("*_reader1.dcm"))
    broken.write_bytes(broken.read_bytes()[:2000])


def test_a_refused_case_is_excluded_with_its_reason_and_the_study_goes_on(copy):
    break_segmentation(real_study(copy))
    output = copy.run()
    lesions = copy.path("cohort/development/lesions.csv").read_text().splitlines()
    broken = [line.split(",")[1] for line in lesions if line.startswith("P003")]
    exclusions = copy.path("cohort/development/exclusions.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in exclusions[1:]] == [["P003", region, "images"] for region in broken]
    for flow in ("cohort/development/flow.csv", "evaluation/markers_flow.csv"):
        last = copy.path(flow).read_text().splitlines()[-1]
        assert last.startswith(f"analysed,7,{12 - len(broken)},")
    assert "P003" not in copy.path("features/development/original.csv").read_text()
    assert f"tiny: {len(broken)} of the cohort development excluded" in output
    assert re.search(rf"^  {', '.join(f'P003 {region}' for region in broken)}: ", output, re.MULTILINE)


def test_a_case_excluded_at_sign_off_leaves_without_another_extraction(copy):
    real_study(copy)
    copy.run()
    template = copy.path("images/development/qc_signoff.csv").read_text()
    folder = copy.folder / "config/studies/tiny"
    decided = template.replace("P001,arterial,lesion1,reader1,,", "P001,arterial,lesion1,reader1,exclude,misses it", 1)
    (folder / "qc_signoff.csv").write_text(decided)
    edit(folder / "study.yaml", lambda study: study["cohorts"]["development"].update(signoff="qc_signoff.csv"))
    output = copy.run()
    assert "rule import_images:" not in output
    assert "rule extract_features:" not in output
    exclusions = copy.path("cohort/development/exclusions.csv").read_text().splitlines()
    assert exclusions[1:] == ["P001,lesion1,images,excluded at quality control: misses it"]
    assert "P001,arterial,lesion1,reader1," not in copy.path("features/development/original.csv").read_text()
    assert copy.path("images/development/qc_signoff.csv").read_text() == decided


def test_strict_stops_at_a_refused_case_and_the_end_says_which_and_why(copy):
    break_segmentation(real_study(copy, strict=True))
    output = copy.run(check=False)
    assert "Error in rule import_images" in output  # Snakemake's own messages, where no terminal is
    end = output[output.rindex("Failed: ") :].splitlines()
    assert end[0] == "Failed: import_images, study tiny, cohort development, patient P003"
    assert end[1].startswith("  P003 arterial lesion1 reader1: ")
    assert end[2] == "  log: logs/tiny/images/import_images_development_P003.log"
    assert re.match(r"1 of \d+ jobs failed; \d+ that need their results", end[3])
    assert "Traceback" not in output


def test_a_terminal_shows_a_bar_and_at_the_end_where_the_report_is(copy):
    copy.path("report/report.html").unlink()
    terminal, other_end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "150"}
    command = [part for part in copy.command() if part != "--nocolor"]
    run = subprocess.Popen(command, cwd=copy.folder, stdout=other_end, stderr=other_end, env=environment)
    os.close(other_end)
    shown = ""
    with contextlib.suppress(OSError):  # the end of what a terminal shows is an error
        while part := os.read(terminal, 10_000):
            shown += part.decode()
    assert run.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    jobs = re.search(r"1/(\d+) +jobs, (\d+) left", plain)
    assert int(jobs[2]) == int(jobs[1]) - 1
    assert "write_report" in plain
    assert "Ready: results/tiny/report/report.html" in plain
    assert "rule write_report:" not in plain


def test_wrong_tables_stop_the_run_with_one_list(copy):
    def wrong(rows):
        unknown_patient = rows[1].replace("P001", "P999", 1)
        missing_file = rows[2].replace("arterial_reader1.dcm", "arterial_nobody.dcm")
        return [rows[0], unknown_patient, missing_file, *rows[3:]]

    real_study(copy, wrong)
    output = copy.run(check=False)
    assert re.search(r"cases\.csv, row 2: patient 'P999' is not in patients\.csv", output)
    assert re.search(r"cases\.csv, row 3, column 'segmentation': there is no such file", output)


def test_no_identity_leaves_the_input(finished):
    """The simulated DICOM files carry names and UIDs; no other result may hold them."""
    import pydicom

    header = pydicom.dcmread(next(finished.path("simulation/development/dicom/P003/arterial").glob("*.dcm")))
    secrets = [str(header.PatientName), header.SOPInstanceUID, header.SeriesInstanceUID, header.StudyInstanceUID]
    secrets += [header.FrameOfReferenceUID]
    assert all(secrets)
    leaks = [
        (name, secret)
        for name, content in finished.contents(*RESULTS).items()
        for secret in secrets
        if secret.encode() in content
    ]
    assert leaks == []


def pyradiomics_table(finished, folder):
    """The drawn regions of the finished study as pyradiomics' command line measures them: a row per case, its way."""
    cases = read_table(finished.path("images/development/cases.csv")).query("role == 'drawn' and status == 'included'")
    rows = []
    for patient, phase, region, rater in cases[CASE].itertuples(index=False):
        images = finished.path(f"images/development/{patient}")
        volume = folder / f"{patient}.nrrd"
        if not volume.exists():  # whole numbers, as 3D Slicer loads them
            sitk.WriteImage(sitk.Cast(sitk.ReadImage(images / f"{phase}.nii.gz"), sitk.sitkInt16), volume)
        mask = images / f"{phase}_{region}_{rater}.nii.gz"
        rows.append({"Reader": rater, "Lesion": region, "ID": patient, "Image": str(volume), "Mask": str(mask)})
    pd.DataFrame(rows).to_csv(folder / "cases.csv", index=False)
    command = [Path(sys.executable).with_name("pyradiomics"), folder / "cases.csv", "-o", folder / "features.csv"]
    parameters = finished.folder / "config/studies/tiny/extraction/original.yaml"
    subprocess.run([*command, "-f", "csv", "-p", parameters], check=True, capture_output=True)
    return folder / "features.csv"


def table_study(project, name, table, **extraction):
    """A study like the tiny one that starts from a feature table: no images, no perturbed readings."""
    folder = project.folder / "config/studies" / name
    folder.mkdir(parents=True)
    tiny = yaml.safe_load((project.folder / "config/studies/tiny/study.yaml").read_text())
    study = {key: value for key, value in tiny.items() if key != "images"}
    for kind in ("patients", "lesions"):
        shutil.copy(project.path(f"simulation/development/{kind}.csv"), folder)
    shutil.copy(table, folder / "features.csv")
    study["cohorts"] = {"development": {"patients": "patients.csv", "lesions": "lesions.csv"}}
    study["extractions"] = {"original": {"table": "features.csv", **extraction}}
    study["stability"] = {"readings": tiny["stability"]["readings"]}
    used = {"endpoint": "response", "extraction": "original", "phase": "arterial"}
    names = ["original_firstorder_Maximum", "original_glcm_JointEntropy"]
    steps = [{"stability": {"form": "ICC2", "threshold": 0.75}}, {"zscore": {}}, {"backward": {"p": 0.3}}]
    study["models"] = {"fusion": {**used, "features": names, "clinical": ["ki67"], "steps": [*steps, {"logistic": {}}]}}
    study["markers"] = used
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    project.choose(name)
    return study


def test_a_table_of_pyradiomics_gives_the_same_study_without_images(copy, tmp_path):
    """The same images measured by pyradiomics' command line: the same features to the last bit, and the same model."""
    columns = {"patient": "ID", "region": "Lesion", "rater": "Reader"}
    table = pyradiomics_table(copy, tmp_path)
    study = table_study(copy, "brought", table, columns=columns, fixed={"phase": "arterial"})
    copy.run()
    results = copy.folder / "results/brought"

    own = read_table(copy.path("features/development/original.csv"), index=CASE)
    features = read_table(results / "features/development/original.csv", index=CASE)
    for folder, exported in ((copy.path("features"), own), (results / "features", features)):
        read_by_jobs = read_table(folder / "development/original.parquet", index=CASE)
        pd.testing.assert_frame_equal(read_by_jobs, exported, check_exact=True)
    pd.testing.assert_frame_equal(features, own.loc[features.index, features.columns], check_exact=True)
    assert len(features) == len(pd.read_csv(table)) == 24  # twelve lesions, some of them drawn by all readers
    assert list(features.columns) == list(own.columns)

    model = study["models"]["fusion"]
    dataset = read_table(copy.path("models/fusion/dataset.csv"), index=UNIT)
    readings = repeated_readings(own.reset_index(), model["phase"], study["stability"]["readings"])
    protocol = build_protocol(model["steps"], model["clinical"], readings, study["seed"])
    X = dataset[[*model["clinical"], *model["features"]]]
    expected = scores(protocol.fit(X, dataset["outcome"]), X)
    found = read_table(results / "models/fusion/scores.csv", index=UNIT)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_exact=True)
    coefficients = read_json(results / "models/fusion/model.json")["steps"]["logistic"]["coefficients"]
    assert coefficients == protocol[-1].document()["coefficients"]
    assert set(model["features"]) < set(coefficients)

    page = (results / "report/report.html").read_text(encoding="utf-8")
    assert "were computed elsewhere" in page
    assert "PyRadiomics" in page
    assert "digital phantom" not in page
    assert not (results / "report/gallery.html").exists()
    secret = str(tmp_path).encode()  # the folder of Image and Mask
    assert secret in table.read_bytes()
    assert [path for path in results.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
