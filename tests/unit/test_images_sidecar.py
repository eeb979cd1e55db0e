import json

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from images_files import ct_slice, pet_tags
from nenflow.images.sidecar import KEPT_TAGS, describe_headers

# One secret for each kind of value; every one of them is looked for in the result.
SECRETS = {
    "PN": "Doe^Jane",
    "LO": "Jane Doe 4711",
    "SH": "Doe-4711",
    "ST": "seen by Dr. Doe",
    "LT": "Doe, born 01.02.1950",
    "UT": "Doe",
    "UC": "Jane_Doe",
    "UR": "https://doe.example/4711",
    "CS": "DOE",
    "AE": "DOE4711",
    "AS": "071Y",
    "DA": "19500201",
    "TM": "114711",
    "DT": "19500201114711",
    "UI": "1.2.826.0.1.3680043.4711",
    "IS": "4711471",
    "DS": "4711471",
}
LOOKED_FOR = ("doe", "jane", "4711", "1950", "01.02", "071y", "1.2.826", "example")
# What a header must have for the tests; none of it is text about a person.
STRUCTURE = {"Modality"}
TEXTS = sorted(
    keyword
    for vr, _, _, retired, keyword in DicomDictionary.values()
    if vr in SECRETS and vr not in ("IS", "DS") and keyword and not retired and keyword not in STRUCTURE
)
# Numbers are how a scan was made when they are kept, and cannot be told from a record number: only these are kept.
KEPT_NUMBERS = {
    "KVP", "XRayTubeCurrent", "Exposure", "ExposureTime", "SpiralPitchFactor", "RevolutionTime", "CTDIvol",
    "SingleCollimationWidth", "TotalCollimationWidth", "SliceThickness", "ReconstructionDiameter",
    "LossyImageCompressionRatio", "ActualFrameDuration",
}  # fmt: skip
VRS = {keyword: vr for vr, _, _, _, keyword in DicomDictionary.values()}


def header(**tags):
    return ct_slice(np.zeros((2, 2)), 0, **tags)


def plant(dataset, keywords):
    for keyword in keywords:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        dataset.add(pydicom.DataElement(tag, VRS[keyword], SECRETS[VRS[keyword]], validation_mode=0))
    return dataset


def leaks(tags):
    text = json.dumps(tags).lower()
    return [secret for secret in LOOKED_FOR if secret in text]


def test_identity_planted_into_every_tag_is_found_in_none_that_is_kept():
    # ... also where a tag that is kept, such as the name of the device, holds it
    assert len(TEXTS) > 1500
    dataset = plant(header(), TEXTS)
    item = plant(Dataset(), TEXTS)
    dataset.RequestAttributesSequence = dataset.RadiopharmaceuticalInformationSequence = [item]
    assert leaks(describe_headers([dataset])) == []
    dataset.Modality = "PT"
    assert leaks(describe_headers([dataset, header()])) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*KEPT_TAGS, *TEXTS]), max_size=30), st.sampled_from(["CT", "PT"]))
def test_identity_planted_into_some_tags_is_found_in_none_that_is_kept(keywords, modality):
    keywords = [keyword for keyword in keywords if keyword in TEXTS]
    assert leaks(describe_headers([plant(header(**pet_tags(Modality=modality)), keywords), header()])) == []


@pytest.mark.parametrize(
    "text", ["Smith^Anna", "a.smith@clinic", "19500101", "1.2.840.113619.2", "01.02.1950", "1950-02-01", "ID 123456"]
)
def test_what_looks_like_identity_is_not_kept_even_if_the_header_names_nobody(text):
    dataset = header(PatientName="", PatientID="", Manufacturer=text, ConvolutionKernel=["B30f", text])
    tags = describe_headers([dataset])
    assert "Manufacturer" not in tags
    assert "ConvolutionKernel" not in tags


def test_the_names_of_what_is_kept_are_reviewed():
    # A tag that is added to the list must be no free text that a person types, and no date or identifier.
    assert {keyword for keyword in KEPT_TAGS if VRS[keyword] not in ("CS", "LO", "SH")} == KEPT_NUMBERS
    words = ("Description", "Comment", "Name", "Date", "UID", "Protocol", "Patient", "Institution", "Serial", "Station")
    assert [keyword for keyword in KEPT_TAGS if any(word in keyword for word in words)] == [
        "ManufacturerModelName",
        "PatientPosition",
    ]


def test_what_scanners_write_is_kept():
    written = {
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "ManufacturerModelName": "Revolution CT",
        "SoftwareVersions": "revo_ct_21b.32",
        "ScanOptions": "HELICAL MODE",
        "ConvolutionKernel": ["Br40d", "3"],
        "PatientPosition": "FFS",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "AttenuationCorrectionMethod": "measured,, 0.096000 cm-1,",
        "KVP": 120.0,
        "SpiralPitchFactor": 0.984375,
        "ReconstructionDiameter": 360.0,
    }
    tags = describe_headers([header(**written)])
    assert {tag: tags[tag] for tag in written} == written
    assert "SeriesDescription" not in tags
    assert "StudyDescription" not in tags


def test_what_changes_from_slice_to_slice():
    tags = describe_headers([header(XRayTubeCurrent=mA, FilterType=f) for mA, f in ((90, "B"), (400, "A"), (120, "B"))])
    assert tags["XRayTubeCurrent"] == [90, 400]
    assert tags["FilterType"] == ["A", "B"]


@pytest.mark.parametrize(
    ("tags", "contrast"),
    [
        ({}, None),
        ({"ContrastBolusAgent": ""}, None),
        ({"ContrastBolusAgent": "Ultravist 370 for Jane Doe"}, True),
        ({"ContrastBolusAgent": "Nonionic iodine"}, True),
        ({"ContrastBolusAgent": "NONE"}, False),
        ({"ContrastBolusAgent": "no contrast"}, False),
        ({"ContrastBolusAgent": "No IV contrast"}, False),
        ({"ContrastBolusAgent": "n/a"}, False),
        ({"ContrastBolusAgent": "no oral, Ultravist 90 ml"}, None),
        ({"ContrastBolusAgent": "Natriumamidotrizoat"}, True),
        ({"ContrastBolusAgent": "Without"}, False),
        ({"ContrastBolusAgent": "nativ"}, False),
        ({"ContrastBolusVolume": 90}, True),
        ({"ContrastBolusAgentAdministered": "NO", "ContrastBolusAgent": "Ultravist"}, False),
    ],
)
def test_contrast_is_yes_or_no_and_never_its_text(tags, contrast):
    found = describe_headers([header(**tags)])
    assert found.get("contrast") is contrast
    assert "ContrastBolusAgent" not in found
    assert "Ultravist" not in json.dumps(found)


@pytest.mark.parametrize(
    ("start", "acquired", "delay"),
    [
        ("101500", ["101610.25", "101608"], 68),
        ("101500", ["101500"], None),  # what some scanners write when nobody set it
        ("101500", ["101400"], None),
        ("101500", ["114500"], None),  # of another injection
        ("", ["101610"], None),
        ("101500", ["101610", ""], None),
        ("noon", ["101610"], None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_the_delay_after_contrast_is_an_interval(start, acquired, delay):
    headers = [header(ContrastBolusStartTime=start, AcquisitionTime=time) for time in acquired]
    assert describe_headers(headers).get("contrast_delay_s") == delay


def test_pet_tells_half_life_and_uptake_and_no_time():
    tags = describe_headers([header(**pet_tags(AcquisitionTime=time)) for time in ("114946", "115446")])
    assert tags["half_life_minutes"] == pytest.approx(109.77, abs=0.01)
    assert tags["uptake_minutes"] == pytest.approx(109 + 46 / 60)
    text = json.dumps(tags)
    assert not any(time in text for time in ("2021", "1149", "1154", "1000"))
    assert "half_life_minutes" not in describe_headers([header()])


def test_simulated_data_are_marked():
    assert describe_headers([header()])["simulated"] is False
    assert describe_headers([header(StudyDescription="Simulated for training")])["simulated"] is True
