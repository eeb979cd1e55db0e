import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from nenflow.features.slicer_table import slicer_tables
from nenflow.features.structured_report import code_of, derived_uid, structured_report, unit_of
from projects import ROOT

WHO = {"study": "trial", "cohort": "development", "patient": "P001"}
FEATURES = {
    "original_shape_MeshVolume": [1234.5, 800.25],
    "original_firstorder_Mean": [64.123456789012345, -12.5],
    "original_glcm_Imc1": [-0.1234567890123456, np.nan],
    "wavelet-LLH_glszm_ZoneVariance": [1.1022468644470595e7, 3.0],
}
IBSI = {"original_shape_MeshVolume": "RNU0", "original_firstorder_Mean": "Q4LE", "original_glcm_Imc1": "R8DG"}
EXTRACTION = {"name": "wavelet", "conformance": "ibsi"}
OWN_PARTS = [
    ("study",),
    ("series", "arterial"),
    ("segmentation", "arterial", "reader1", "instance"),
    ("report", "wavelet"),
]
PHASES = ("portal", "arterial")
STANDARD = "1.2.840.10008."  # classes and syntaxes
IMAGES = ["original", *(f"wavelet-{name}" for name in ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL"))]
IMAGES += [f"log-sigma-{sigma}-0-mm-3D" for sigma in range(1, 6)]
REFERENCE = ROOT / "workflow/lib/nenflow/features/ibsi_reference.csv"
DIGITS = 1e-14  # relative: dcmqi prints 15 digits or more of a double; a decimal text alone would keep 14 at best


def cases(**changes):
    rows = pd.DataFrame(
        {
            "patient": "P001",
            "phase": "arterial",
            "region": ["lesion1", "lesion2", "lesion3"],
            "rater": "reader1",
            "role": "drawn",
            "status": ["included", "included", "refused"],
            "volume_mm3": [1240.0, 801.0, 10.0],
            "mean": [64.0, -12.0, 0.0],
            "unit": "HU",
        }
    )
    return rows.assign(**changes)


def features():
    names = cases()[["patient", "phase", "region", "rater"]].iloc[:2]
    return names.assign(**FEATURES)


def report(conformance="ibsi", **settings):
    extraction = {"name": "wavelet", "conformance": conformance}
    return structured_report(WHO, cases(), features(), extraction, version="0.1.0", **settings)


def reader():
    return shutil.which("tid1500reader", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(reader() is None, reason="needs dcmqi, which this environment does not have")
@pytest.mark.parametrize("conformance", ["ibsi", "slicer"])
def test_another_reader_finds_the_same_values(tmp_path, conformance):
    report(conformance).save_as(tmp_path / "report.dcm")
    command = [reader(), "--inputDICOM", tmp_path / "report.dcm", "--outputMetadata", tmp_path / "report.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    groups = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["Measurements"]
    assert len(groups) == 2
    for place, group in enumerate(groups):
        found = {item["quantity"]["CodeMeaning"]: item for item in group["measurementItems"]}
        assert float(found["Volume"]["value"]) == [1240.0, 801.0][place]
        assert float(found["Attenuation Coefficient"]["value"]) == [64.0, -12.0][place]
        known = {name: values[place] for name, values in FEATURES.items() if np.isfinite(values[place])}
        assert set(found) == {"Volume", "Attenuation Coefficient", *known}
        assert {name: float(found[name]["value"]) for name in known} == pytest.approx(known, rel=DIGITS)
        quantities = {name: found[name]["quantity"] for name in known}
        of_ibsi = {
            name: code["CodeValue"] for name, code in quantities.items() if code["CodingSchemeDesignator"] == "IBSI"
        }
        assert of_ibsi == (
            {name: code for name, code in IBSI.items() if name in known} if conformance == "ibsi" else {}
        )


def test_a_report_is_of_the_pseudonym_and_of_nothing_else(tmp_path):
    for name in ("first.dcm", "second.dcm"):
        report(simulated=True).save_as(tmp_path / name)
    assert (tmp_path / "first.dcm").read_bytes() == (tmp_path / "second.dcm").read_bytes()
    found = pydicom.dcmread(tmp_path / "first.dcm")
    assert (found.PatientID, str(found.PatientName), found.PatientBirthDate) == ("P001", "P001^", "")
    assert found.StudyDescription == "SIMULATED - no real patient"
    elements = list(found.iterall())
    assert {element.value for element in elements if element.VR in ("DA", "DT")} == {"", "19000101", "19000101000000"}
    own = {derived_uid(*WHO.values(), *what) for what in OWN_PARTS}
    uids = {element.value for element in elements if element.VR == "UI" and not element.value.startswith(STANDARD)}
    assert own <= uids
    other = structured_report(WHO | {"patient": "P002"}, cases(), features(), EXTRACTION, version="0.1.0")
    shared = uids & {element.value for element in other.iterall() if element.VR == "UI"}
    (device,) = shared  # which is this program's version
    assert "P001" not in device


def test_there_is_no_report_of_nothing():
    refused = cases(status="refused")
    assert structured_report(WHO, refused, features(), EXTRACTION, version="0.1.0") is None
    assert slicer_tables(refused, features())[0].empty


def test_segments_are_numbered_by_the_names_of_regions_within_a_phase_and_rater():
    rows = cases(phase=["portal", "arterial", "portal"], region=["b", "b", "a"], status="included")
    names = rows[["patient", "phase", "region", "rater"]].assign(original_firstorder_Mean=1.0)
    found = structured_report(WHO, rows, names, EXTRACTION, version="0.1.0")
    numbers = [
        (element.value[0].ReferencedSOPInstanceUID, element.value[0].ReferencedSegmentNumber)
        for element in found.iterall()
        if element.keyword == "ReferencedSOPSequence" and "ReferencedSegmentNumber" in element.value[0]
    ]
    portal, arterial = (derived_uid(*WHO.values(), "segmentation", phase, "reader1", "instance") for phase in PHASES)
    assert set(numbers) >= {(portal, 2), (arterial, 1), (portal, 1)}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("original_shape_MeshVolume", "mm3"),
        ("original_shape_Maximum3DDiameter", "mm"),
        ("original_shape_Sphericity", "1"),
        ("arterial_original_firstorder_Mean", "[hnsf'U]"),
        ("original_firstorder_Variance", "([hnsf'U])2"),
        ("original_firstorder_Skewness", "1"),
        ("wavelet-LLH_firstorder_Mean", "1"),
        ("original_glcm_Imc1", "1"),
    ],
)
def test_units(name, unit):
    assert unit_of(name, "HU").value == unit


def test_codes_tell_all_features_apart():
    """Of 8 wavelets, 5 LoG filters and the image, 107 features each: no two have one code."""
    names = [f"{image}_{name}" for image in IMAGES for name in pd.read_csv(REFERENCE)["feature"].str[9:].unique()]
    assert len({code_of(name, "slicer").value for name in names}) == len(names) > 1200


def test_3d_slicer_gets_typed_columns_and_a_row_for_each_segment():
    table, schema = slicer_tables(cases(), features())
    assert table["Segment"].tolist() == ["lesion1", "lesion2"]
    assert list(schema["columnName"]) == list(table)
    types = schema.set_index("columnName")["type"].to_dict()
    assert types.pop("Segment") == types.pop("phase") == types.pop("rater") == "string"
    assert set(types) == {"volume_mm3", "mean", *FEATURES}
    assert set(types.values()) == {"double"}
