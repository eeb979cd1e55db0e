import csv
import json

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from images_files import refusal
from nenflow.images.suv import suvbw_factors, uptake_minutes

# The expected factors are written with 16 digits; the ways to the start of the scan differ by microseconds.
RELATIVE = 1e-9
HALF_LIFE = 6586.2
# 70 kg and 350 MBq; START scans begin one half-life of F-18 after the injection, so half of the dose is left.
AT_INJECTION = 70 * 1000 / 350e6
ONE_HALF_LIFE_LATER = 2 * AT_INJECTION
# Damaged values are what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")
INJECTED = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)


def pet(**tags):
    """Header of a slice in Bq/ml: injected at 10:00:00, scanned from 11:49:46.2 (one half-life later)."""
    tags = {
        "Units": "BQML",
        "DecayCorrection": "START",
        "CorrectedImage": ["DECY", "ATTN", "SCAT"],
        "PatientWeight": 70,
        "SeriesDate": "20210304",
        "SeriesTime": "114946.2",
        "AcquisitionDate": "20210304",
        "AcquisitionTime": "114946.2",
        "RadionuclideTotalDose": 350e6,
        "RadionuclideHalfLife": HALF_LIFE,
        "RadiopharmaceuticalStartTime": "100000",
    } | tags
    header, injected = Dataset(), Dataset()
    for tag, value in tags.items():
        if value is not None:
            setattr(injected if tag in INJECTED else header, tag, value)
    header.RadiopharmaceuticalInformationSequence = [injected]
    return header


def counts(**private):
    """Header of a slice in counts; `suv` and `activity` are the private factors of Philips."""
    header = pet(Units="CNTS")
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    for name, element in {"suv": 0x00, "activity": 0x09}.items():
        if name in private:
            block.add_new(element, "UN" if isinstance(private[name], bytes) else "DS", private[name])
    return header


def ge(start, **tags):
    header = pet(**tags)
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", start)
    return header


def factor(*headers):
    factors = suvbw_factors(headers)
    assert factors.shape == (len(headers),)
    assert np.ptp(factors) == 0
    return float(factors[0])


# --- real headers


def vendor_headers(folder, case):
    for entry in json.loads((folder / "vendor_headers" / f"{case}-instances.json").read_text()):
        private = entry.pop("PhilipsPETPrivateGroup")
        header, injected = Dataset(), Dataset()
        for tag, value in entry.items():
            setattr(injected if tag in INJECTED else header, tag, value)
        header.RadiopharmaceuticalInformationSequence = [injected]
        block = header.private_block(0x7053, "Philips PET Private Group", create=True)
        for name, element in {"SUVScaleFactor": 0x00, "ActivityConcentrationScaleFactor": 0x09}.items():
            if name in private:
                block.add_new(element, "DS", private[name])
        yield header


def test_vendor_headers_give_their_published_factors(test_data):
    with open(test_data / "suv" / "vendor_headers_expected.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row in rows:
        computed = factor(*vendor_headers(test_data / "suv", row["case"]))
        assert computed == pytest.approx(float(row["expected_suvbw_factor"]), rel=RELATIVE), row["case"]


def test_raw_series_of_a_sarcoma_patient(test_data):
    files = (test_data / "suv" / "STS_001_raw_FDG_PET" / "image").iterdir()
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    assert len({header.RescaleSlope for header in headers}) == len(headers) == 267
    assert factor(*headers) == pytest.approx(2.4290298e-4, rel=1e-7)  # published with eight digits
    assert uptake_minutes(headers[0]) == pytest.approx(45 + 11 / 60)  # 10:35:00 to 11:20:11


# --- decay


def test_half_of_the_dose_is_left_after_one_half_life():
    assert factor(pet(), pet()) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    assert uptake_minutes(pet()) == pytest.approx(HALF_LIFE / 60)


def test_values_corrected_to_the_injection_need_no_times():
    times = dict.fromkeys(("SeriesTime", "AcquisitionTime", "RadiopharmaceuticalStartTime", "RadionuclideHalfLife"))
    assert factor(pet(DecayCorrection="ADMIN", **times)) == pytest.approx(AT_INJECTION, rel=RELATIVE)
    assert uptake_minutes(pet(DecayCorrection="ADMIN", **times)) is None


def test_date_and_time_of_injection_go_before_the_time_alone():
    header = pet(RadiopharmaceuticalStartTime="1000", RadiopharmaceuticalStartDateTime="20210304100030.00 ")
    assert uptake_minutes(header) == pytest.approx(HALF_LIFE / 60 - 0.5)


def test_injection_before_midnight():
    night = {"SeriesTime": "004946.2", "AcquisitionTime": "004946.2", "RadiopharmaceuticalStartTime": "230000"}
    assert factor(pet(**night)) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    dated = pet(**night, RadiopharmaceuticalStartDateTime="20210303230000")
    assert factor(dated) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    rounded = pet(
        **night | {"RadiopharmaceuticalStartTime": "0000"}, RadiopharmaceuticalStartDateTime="20210303235946.2"
    )
    assert uptake_minutes(rounded) == pytest.approx(50)


def test_acquisition_after_midnight_is_later_than_the_series():
    header = pet(SeriesTime="234946.2", AcquisitionDate="20210305", AcquisitionTime="000500")
    header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "220000"
    assert factor(header) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)


def test_time_zones():
    start = {"RadiopharmaceuticalStartDateTime": "20210304090000+0000"}
    local = pet(RadiopharmaceuticalStartTime="100000", TimezoneOffsetFromUTC="+0100", **start)
    assert factor(local) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    west = pet(RadiopharmaceuticalStartTime=None, TimezoneOffsetFromUTC="-0230", **start)
    assert uptake_minutes(west) == pytest.approx(HALF_LIFE / 60 + 3.5 * 60)
    same_clock = pet(RadiopharmaceuticalStartDateTime="20210304100000+0200")
    assert factor(same_clock) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    assert "TimezoneOffsetFromUTC" in refusal(suvbw_factors, [pet(RadiopharmaceuticalStartTime=None, **start)])
    assert "contradict" in refusal(suvbw_factors, [pet(RadiopharmaceuticalStartTime="100000", **start)])
    assert "no offset" in refusal(suvbw_factors, [pet(TimezoneOffsetFromUTC="CET", **start)])


# --- start of the scan


def test_series_made_afterwards_begins_with_the_first_acquisition():
    for series in ("115000", "160000"):
        headers = [pet(AcquisitionTime=time, SeriesTime=series) for time in ("115500", "114946.2", "120000")]
        assert factor(*headers) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    next_day = [pet(SeriesDate="20210305", SeriesTime="080000"), pet(SeriesDate="20210305", SeriesTime="080000")]
    assert factor(*next_day) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)


def test_private_start_of_ge_for_a_series_made_afterwards():
    late = ge("20210304114946.20", SeriesTime="160000", AcquisitionTime="115500")
    assert factor(late) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    in_time = ge("20210304090000.00", AcquisitionTime="115500")
    assert factor(in_time) == pytest.approx(ONE_HALF_LIFE_LATER, rel=RELATIVE)
    assert "(0009,100d)" in refusal(suvbw_factors, [ge("morning", SeriesTime="160000")])


def bed(number, minutes, **tags):
    """A bed position of some minutes with the times that DICOM asks for, reconstructed in the afternoon.

    For exponential decay the mean count rate is a weighted mean over the frame; here by numerical integration.
    """
    seconds = np.linspace(0, minutes * 60, 100_001)
    rate = np.trapezoid(2 ** (-seconds / HALF_LIFE), seconds) / (minutes * 60)
    mean = -HALF_LIFE * np.log2(rate)
    offset = number * minutes * 60
    hour, rest = divmod(11 * 3600 + 49 * 60 + 46.2 + offset, 3600)
    return pet(
        SeriesTime="160000",
        AcquisitionTime=f"{int(hour):02d}{int(rest // 60):02d}{rest % 60:09.6f}",
        FrameReferenceTime=(offset + mean) * 1000,
        ActualFrameDuration=minutes * 60_000,
        **tags,
    )


def test_start_from_the_frames_when_the_first_beds_were_not_exported():
    headers = [bed(number, 4) for number in (2, 3, 4)]
    assert factor(*headers) == pytest.approx(ONE_HALF_LIFE_LATER, rel=1e-8)  # of the numerical integration
    decayed = [bed(2, 4, DecayFactor=2 ** (float(headers[0].FrameReferenceTime) / 1000 / HALF_LIFE))]
    assert factor(*decayed) == pytest.approx(ONE_HALF_LIFE_LATER, rel=1e-8)


def test_frames_that_contradict_each_other_or_their_decay_factor_are_refused():
    other = bed(3, 4)
    other.FrameReferenceTime = float(other.FrameReferenceTime) + 60_000
    assert "another start for each slice" in refusal(suvbw_factors, [bed(2, 4), other])
    # The reference is the start of the frame, as GE writes it.
    start_of_frame = bed(2, 4, DecayFactor=2 ** (480 / HALF_LIFE) * 1.01268)
    start_of_frame.FrameReferenceTime = 480_000
    assert "DecayFactor" in refusal(suvbw_factors, [start_of_frame])


# --- units


def test_suv_passes_through_and_needs_no_times():
    bare = dict.fromkeys([*INJECTED, "SeriesTime", "AcquisitionTime", "PatientWeight"])
    for suv_type in ("BW", None):
        assert factor(pet(Units="GML", SUVType=suv_type, DecayCorrection="ADMIN", **bare)) == 1


@pytest.mark.parametrize("suv_type", ["BSA", "LBM", "LBMJANMA", "LBMJAMES128", "IBW"])
def test_suv_by_anything_but_weight_is_refused(suv_type):
    assert f"SUV by {suv_type} (SUVType)" in refusal(suvbw_factors, [pet(Units="GML", SUVType=suv_type)])


@pytest.mark.parametrize("units", ["PROPCPS", "NONE", "CPS", "CM2ML", "PCNT"])
def test_other_units_are_refused(units):
    assert f"{units} (Units)" in refusal(suvbw_factors, [pet(Units=units)])


def test_counts_with_the_factor_to_suv():
    headers = [counts(suv="0.000551", activity="1.6"), counts(suv=b"0.000728 ")]
    assert suvbw_factors(headers) == pytest.approx([0.000551, 0.000728])


def test_counts_with_the_factor_to_activity():
    headers = [counts(activity="1.5"), counts(suv="0", activity="2")]
    assert suvbw_factors(headers) == pytest.approx([1.5 * ONE_HALF_LIFE_LATER, 2 * ONE_HALF_LIFE_LATER], rel=RELATIVE)


def test_counts_without_a_factor_are_refused():
    for header in (pet(Units="CNTS"), counts(), counts(suv="0"), counts(suv="0", activity="0")):
        sentence = refusal(suvbw_factors, [counts(suv="0.0005"), header])
        assert "(7053,1000)" in sentence
        assert "(7053,1009)" in sentence
    assert "(7053,1000)" in refusal(suvbw_factors, [counts(suv=b"abc")])


def test_private_factor_of_another_creator_is_not_taken():
    header = pet(Units="CNTS")
    header.private_block(0x7053, "ACME", create=True).add_new(0x00, "DS", "0.000551")
    assert "private factors" in refusal(suvbw_factors, [header])


# --- refusals


@pytest.mark.parametrize(
    "tag",
    [
        "Units", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime",
        "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime",
    ],
)  # fmt: skip
def test_a_missing_tag_is_named(tag):
    for value in (None, ""):
        assert f"lacks {tag}," in refusal(suvbw_factors, [pet(**{tag: value})])


def test_missing_corrections():
    assert "CorrectedImage lacks ATTN)" in refusal(suvbw_factors, [pet(), pet(CorrectedImage=["DECY", "SCAT"])])
    assert "CorrectedImage lacks DECY)" in refusal(suvbw_factors, [pet(CorrectedImage="ATTN")])
    assert "CorrectedImage lacks ATTN and DECY)" in refusal(suvbw_factors, [pet(CorrectedImage=None)])
    assert "CorrectedImage lacks ATTN)" in refusal(suvbw_factors, [pet(Units="GML", CorrectedImage=["DECY"])])
    assert "DecayCorrection is NONE" in refusal(suvbw_factors, [pet(DecayCorrection="NONE")])


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("RadionuclideTotalDose", 350),  # MBq
        ("RadionuclideTotalDose", 350_000),  # kBq
        ("RadionuclideTotalDose", 9.5),  # mCi
        ("RadionuclideTotalDose", 0),
        ("PatientWeight", 70_000),  # g
        ("PatientWeight", 0),
        ("RadionuclideHalfLife", 109.77),  # minutes
        ("RadionuclideHalfLife", 1.83),  # hours
        ("RadionuclideHalfLife", 67.71),  # minutes, Ga-68
    ],
)
def test_numbers_in_another_unit(tag, value):
    assert f"{tag} is {value:g} in the PET header" in refusal(suvbw_factors, [pet(**{tag: value})])


@pytest.mark.parametrize("seconds", [4057.7, 4080, 6586.2, 6588, 6600, 45720, 282276])
def test_half_lives_as_scanners_write_them(seconds):
    dated = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20210304100000"}
    uptake = HALF_LIFE
    expected = AT_INJECTION * 2 ** (uptake / seconds)
    assert factor(pet(RadionuclideHalfLife=seconds, **dated)) == pytest.approx(expected, rel=RELATIVE)


def test_times_that_cannot_be():
    after = pet(RadiopharmaceuticalStartTime="120000")  # by the clock 24 h less 10 minutes earlier
    assert "RadiopharmaceuticalStartTime the tracer was injected 23.8 h before" in refusal(suvbw_factors, [after])
    assert uptake_minutes(after) is None
    shifted = pet(RadiopharmaceuticalStartDateTime="20210305100000")
    assert "injected -22.2 h before" in refusal(suvbw_factors, [shifted])
    year = pet(RadiopharmaceuticalStartDateTime="20200304100000")
    assert "RadiopharmaceuticalStartDateTime the tracer" in refusal(suvbw_factors, [year])
    short = pet(RadionuclideHalfLife=598)  # N-13, 11 half-lives
    assert "injected 1.8 h before" in refusal(suvbw_factors, [short])


def test_long_lived_nuclides_need_the_day():
    assert "RadiopharmaceuticalStartDateTime" in refusal(suvbw_factors, [pet(RadionuclideHalfLife=45721)])
    days = pet(RadionuclideHalfLife=282280, RadiopharmaceuticalStartDateTime="20210228100000")
    uptake = 4 * 24 * 3600 + HALF_LIFE
    assert factor(days) == pytest.approx(AT_INJECTION * 2 ** (uptake / 282280), rel=RELATIVE)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("SeriesTime", "11"), ("SeriesTime", "1175"), ("AcquisitionDate", "2021"), ("AcquisitionTime", "noon"),
        ("RadiopharmaceuticalStartTime", "10"), ("RadiopharmaceuticalStartDateTime", "20210304"),
    ],
)  # fmt: skip
def test_times_that_are_incomplete_or_damaged(tag, value):
    header = pet(**{tag: value})
    assert tag in refusal(suvbw_factors, [header])
    assert uptake_minutes(header) is None


@pytest.mark.parametrize("value", [[70, 80], "-70", "inf", "nan"])
def test_numbers_that_are_none(value):
    header = pet()
    header["PatientWeight"] = pydicom.DataElement("PatientWeight", "UT" if isinstance(value, str) else "DS", value)
    assert "PatientWeight in the PET header is no positive number" in refusal(suvbw_factors, [header])


def test_text_from_headers_reaches_no_sentence():
    for tag in ("Units", "DecayCorrection"):
        assert f"{tag} in the PET header is no code" in refusal(suvbw_factors, [pet(**{tag: "../Doe^Jane"})])
    assert "SUVType" in refusal(suvbw_factors, [pet(Units="GML", SUVType="Doe^Jane")])


def test_slices_of_two_scans_and_two_injections_are_refused():
    for tag, value in {"PatientWeight": 71, "SeriesTime": "114947", "RadionuclideTotalDose": 351e6}.items():
        named = "RadiopharmaceuticalInformationSequence" if tag in INJECTED else tag
        assert f"differ in {named}:" in refusal(suvbw_factors, [pet(), pet(**{tag: value})])
    twice = pet()
    twice.RadiopharmaceuticalInformationSequence.append(pet().RadiopharmaceuticalInformationSequence[0])
    assert "names 2 injections" in refusal(suvbw_factors, [twice])
