"""Standardised uptake values by body weight (SUVbw) from PET headers.

Follows the vendor-neutral pseudo-code of QIBA (FDG-PET/CT profile 1.13, 2016, appendix G) and the PET modules of DICOM
PS3.3 C.8.9. SUVbw = activity concentration (Bq/ml) x body weight (g) / dose left at the time that the image was decay
corrected to (Bq), in g/ml.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pydicom

from nenflow.errors import InputError

PHILIPS = (0x7053, "Philips PET Private Group")  # xx00: to SUVbw; xx09: to Bq/ml
GE = (0x0009, "GEMS_PETD_01")  # xx0d: start of the scan
# Wide enough for a child and for every tracer; a dose in MBq, kBq, mCi or a weight in grams lies outside.
WEIGHT_KG = (1, 400)
DOSE_BQ = (5e6, 2e10)
# Half-lives of PET nuclides in seconds (DDEP, ENSDF). F-18 is written as 6586 or 6588, others differ more between
# tables; a value in minutes or hours is near none of them.
HALF_LIVES_S = {
    "Rb-82": 76.4, "O-15": 122.2, "N-13": 597.9, "C-11": 1221.8, "Ga-68": 4062, "F-18": 6586.2, "Cu-61": 12020,
    "Sc-44": 14400, "Cu-64": 45721, "Y-86": 53064, "Y-90": 230500, "Zr-89": 282280, "I-124": 360800,
}  # fmt: skip
HALF_LIFE_TOLERANCE = 0.03
# After seven half-lives (F-18: 12.8 h) less than 1 % of the dose is left, and nobody scans any more.
MAX_HALF_LIVES = 7
# The time of injection, where it is written twice, once rounded to minutes.
SAME_TIME = timedelta(seconds=60)
# Where the reference time is computed for every slice: the slices of one scan give the same, to rounding.
SAME_REFERENCE = timedelta(seconds=5)
# The decay factor of a frame is written with few digits; half a frame of a minute, by which vendors differ in what they
# call the reference of a frame, makes 0.3 % with F-18.
DECAY_FACTOR_TOLERANCE = 0.002
SAME_IN_ALL_SLICES = ("Units", "SUVType", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime")
ADVICE = "export the series again from the scanner or the archive, with this tag"
CODE = re.compile(r"[A-Z0-9_ ]{1,16}")  # what DICOM allows in a code string
# What PS3.3 C.8.9.1 defines. A code that is none of these may be anything, so it is not repeated.
CODES = frozenset(
    ["CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM", "UMOLML",
     "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "GML", "STDDEV", "BW", "LBM", "LBMJAMES128", "LBMJANMA", "BSA", "IBW",
     "START", "ADMIN"]
)  # fmt: skip
DATE_TIME = re.compile(r"(\d{8})(\d{4})(\d{2})?(\.\d{1,6})?([+-]\d{4})?")


def suvbw_factors(headers: Sequence[pydicom.Dataset]) -> np.ndarray:
    """Factors that turn the values of a PET series into SUVbw.

    Args:
        headers: of all slices of one series, in any order.

    Returns:
        (slices,) such that (stored value x RescaleSlope + RescaleIntercept) x factor is SUVbw in g/ml.

    Raises:
        InputError: the headers do not say how to compute SUVbw; the sentence names the DICOM keyword. Nothing is
            assumed about a missing tag.
    """
    _check_agreement(headers)
    first = headers[0]
    for header in headers:
        _check_corrections(header)
    units = _code(first, "Units")
    if units == "GML":
        suv_type = _code(first, "SUVType") if first.get("SUVType") else "BW"  # absent means BW (C.8.9.1)
        if suv_type != "BW":
            raise InputError(
                f"The PET is in SUV by {_said(suv_type)} (SUVType) and not by body weight (BW): export it so."
            )
        return np.ones(len(headers))
    if units == "BQML":
        return np.full(len(headers), _factor_of_activity(headers))
    if units == "CNTS":
        return _factors_of_counts(headers)
    raise InputError(
        f"The PET is in {_said(units)} (Units), from which SUV cannot be computed: export it in BQML or GML."
    )


def uptake_minutes(header: pydicom.Dataset) -> float | None:
    """Minutes from injection to the start of the scan; None where the header does not say or contradicts itself."""
    try:
        start = _scan_start([header])
        return (start - _injection(header, start)).total_seconds() / 60
    except InputError:
        return None


def _check_agreement(headers: Sequence[pydicom.Dataset]) -> None:
    different = [tag for tag in SAME_IN_ALL_SLICES if len({str(header.get(tag)) for header in headers}) > 1]
    injections = {str(header.get("RadiopharmaceuticalInformationSequence")) for header in headers}
    if len(injections) > 1:
        different.append("RadiopharmaceuticalInformationSequence")
    if different:
        raise InputError(f"The slices of the PET series differ in {' and '.join(different)}: export one scan.")


def _check_corrections(header: pydicom.Dataset) -> None:
    value = header.get("CorrectedImage") or ()
    corrections = {value} if isinstance(value, str) else set(value)
    lacking = [name for name in ("ATTN", "DECY") if name not in corrections]
    if lacking:
        raise InputError(
            f"The PET is not corrected for attenuation and decay (CorrectedImage lacks {' and '.join(lacking)}): "
            "export the corrected series."
        )
    correction = _code(header, "DecayCorrection")
    if correction not in ("START", "ADMIN"):
        raise InputError(
            f"The PET is not corrected for decay to the start of the scan or the injection (DecayCorrection is "
            f"{_said(correction)}): export a series that is."
        )


def _factors_of_counts(headers: Sequence[pydicom.Dataset]) -> np.ndarray:
    """Philips stores counts and says in private tags what turns them into SUVbw or into Bq/ml."""
    to_suv = [_philips(header, 0x00) for header in headers]
    if all(to_suv):
        return np.array(to_suv)
    to_activity = [_philips(header, 0x09) for header in headers]
    if all(to_activity):
        return np.array(to_activity) * _factor_of_activity(headers)
    raise InputError(
        "The PET is in counts (Units is CNTS) and lacks Philips' private factors (7053,1000) and (7053,1009), which "
        "anonymisers remove: export it with them, or in BQML."
    )


def _philips(header: pydicom.Dataset, element: int) -> float:
    """A private factor; 0 where it is missing or unknown, for which Philips writes 0."""
    value = _private(header, *PHILIPS, element)
    return 0 if value is None else _as_number(value, f"Philips' private factor (7053,10{element:02x})")


def _factor_of_activity(headers: Sequence[pydicom.Dataset]) -> float:
    """SUVbw per Bq/ml."""
    first = headers[0]
    weight = _number(first, "PatientWeight", WEIGHT_KG, "kg")
    injected = _radiopharmaceutical(first)
    dose = _number(injected, "RadionuclideTotalDose", DOSE_BQ, "Bq")
    if _code(first, "DecayCorrection") == "ADMIN":
        return weight * 1000 / dose
    half_life = _half_life(injected)
    start = _scan_start(headers)
    uptake = (start - _injection(first, start)).total_seconds()
    return weight * 1000 / (dose * 2 ** (-uptake / half_life))


def _half_life(injected: pydicom.Dataset) -> float:
    half_life = _number(injected, "RadionuclideHalfLife")
    if all(abs(half_life / known - 1) > HALF_LIFE_TOLERANCE for known in HALF_LIVES_S.values()):
        raise InputError(
            f"RadionuclideHalfLife is {half_life:g} in the PET header, which is the half-life of no PET nuclide in "
            "seconds: correct the header."
        )
    return half_life


def _scan_start(headers: Sequence[pydicom.Dataset]) -> datetime:
    """Time that DecayCorrection START refers to.

    It is the series time, unless this is later than the first acquisition, as it is for reconstructions made afterwards
    (and for some scanners by a rounding). Then it is GE's private scan start; else it is computed from when the mean
    count rate of each frame occurred; else, where frames do not tell, it is the first acquisition.
    """
    series = _date_time(headers[0], "SeriesDate", "SeriesTime")
    acquisitions = [_date_time(header, "AcquisitionDate", "AcquisitionTime") for header in headers]
    if series <= min(acquisitions):
        return series
    private = _private(headers[0], *GE, 0x0D)
    if private is not None:
        return _parse(private, "GE's private scan start (0009,100d)")[0]
    if not all(header.get("FrameReferenceTime") and header.get("ActualFrameDuration") for header in headers):
        return min(acquisitions)
    starts = [_frame_origin(header, time) for header, time in zip(headers, acquisitions, strict=True)]
    if max(starts) - min(starts) > SAME_REFERENCE:
        raise InputError(
            "The start of the PET scan is not clear: SeriesTime is later than AcquisitionTime, and FrameReferenceTime "
            "gives another start for each slice; export the series with the times of the scanner."
        )
    return min(starts)


def _frame_origin(header: pydicom.Dataset, acquisition: datetime) -> datetime:
    """Origin of FrameReferenceTime, which is when the mean count rate of a decaying frame occurred (C.8.9.4.1.5)."""
    half_life = _half_life(_radiopharmaceutical(header))
    reference, duration = (_number(header, tag) / 1000 for tag in ("FrameReferenceTime", "ActualFrameDuration"))
    # GE counts to the start of the frame instead; the decay factor that the scanner applied tells them apart.
    factor = float(header.get("DecayFactor") or 2 ** (reference / half_life))
    if abs(factor / 2 ** (reference / half_life) - 1) > DECAY_FACTOR_TOLERANCE:
        raise InputError(
            "The start of the PET scan is not clear: SeriesTime is later than AcquisitionTime, and DecayFactor and "
            "FrameReferenceTime contradict each other; export the series with the times of the scanner."
        )
    decay = np.log(2) / half_life * duration
    mean = half_life / np.log(2) * np.log(decay / -np.expm1(-decay))
    return acquisition + timedelta(seconds=float(mean - reference))


def _injection(header: pydicom.Dataset, start: datetime) -> datetime:
    """Time of injection by the clock of the scanner, checked against the start of the scan."""
    injected = _radiopharmaceutical(header)
    half_life = _half_life(injected)
    if injected.get("RadiopharmaceuticalStartDateTime"):
        injection = _injection_with_date(header, injected)
        tag = "RadiopharmaceuticalStartDateTime"
    else:
        injection = _injection_before(start, injected, half_life)
        tag = "RadiopharmaceuticalStartTime"
    uptake = (start - injection).total_seconds()
    if not 0 <= uptake <= MAX_HALF_LIVES * half_life:
        raise InputError(
            f"By {tag} the tracer was injected {uptake / 3600:.1f} h before the PET scan began, which cannot be: an "
            "anonymiser may have shifted some of the dates only, or a clock was wrong; correct the header."
        )
    return injection


def _injection_with_date(header: pydicom.Dataset, injected: pydicom.Dataset) -> datetime:
    tag = "RadiopharmaceuticalStartDateTime"
    injection, zone = _parse(injected[tag].value, tag)
    clock = injected.get("RadiopharmaceuticalStartTime")
    local = header.get("TimezoneOffsetFromUTC")
    if zone is not None and local:
        injection += _offset(str(local)) - zone
    elif zone is not None and not clock:
        raise InputError(
            f"{tag} is given in a time zone, and the PET header lacks TimezoneOffsetFromUTC to compare it with the "
            f"times of the scan: {ADVICE}."
        )
    if clock:
        same_day = _parse(f"{injection:%Y%m%d}" + str(clock), "RadiopharmaceuticalStartTime")[0]
        apart = abs(injection - same_day)
        if min(apart, timedelta(days=1) - apart) > SAME_TIME:
            raise InputError(
                f"{tag} and RadiopharmaceuticalStartTime in the PET header contradict each other (a time zone "
                "perhaps): correct the header."
            )
    return injection


def _injection_before(start: datetime, injected: pydicom.Dataset, half_life: float) -> datetime:
    """The header has the time of day only: the last one before the scan, which may have been before midnight."""
    tag = "RadiopharmaceuticalStartTime"
    clock = _text(injected, tag)
    if MAX_HALF_LIVES * half_life > 24 * 3600:
        raise InputError(
            "The PET nuclide lives so long that the day of injection must be known, and the header lacks "
            f"RadiopharmaceuticalStartDateTime: {ADVICE}."
        )
    injection = _parse(f"{start:%Y%m%d}{clock}", tag)[0]
    return injection - timedelta(days=1) if injection > start else injection


def _radiopharmaceutical(header: pydicom.Dataset) -> pydicom.Dataset:
    items = header.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) > 1:
        raise InputError(
            f"RadiopharmaceuticalInformationSequence in the PET header names {len(items)} injections, so SUV is not "
            "defined: export a series with one."
        )
    return items[0] if items else pydicom.Dataset()


def _date_time(header: pydicom.Dataset, date: str, time: str) -> datetime:
    return _parse(_text(header, date) + _text(header, time), f"{date} with {time}")[0]


def _parse(value: object, name: str) -> tuple[datetime, timedelta | None]:
    """Date and time to the minute at least (a date alone would count as midnight), and the offset from UTC if any."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    match = DATE_TIME.fullmatch(text.strip(" \0"))
    try:
        date, minutes, seconds, fraction, zone = match.groups()
        moment = datetime.strptime(date + minutes + (seconds or "00"), "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(fraction or 0)), None if zone is None else _offset(zone)
    except (AttributeError, ValueError) as error:
        raise InputError(f"{name} in the PET header is no date and time: {ADVICE}.") from error


def _offset(zone: str) -> timedelta:
    match = re.fullmatch(r"([+-])(\d{2})(\d{2})", zone.strip())
    if match is None:
        raise InputError(f"TimezoneOffsetFromUTC in the PET header is no offset: {ADVICE}.")
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -offset if match[1] == "-" else offset


def _code(header: pydicom.Dataset, tag: str) -> str:
    value = _text(header, tag)
    if not CODE.fullmatch(value):
        raise InputError(f"{tag} in the PET header is no code of DICOM: {ADVICE}.")
    return value


def _said(code: str) -> str:
    return code if code in CODES else "an unknown code"


def _text(header: pydicom.Dataset, tag: str) -> str:
    try:
        value = header.get(tag)
    except (ValueError, TypeError) as error:  # pydicom, on text where a number should be
        raise InputError(f"{tag} in the PET header is damaged: {ADVICE}.") from error
    value = "" if value is None else str(value).strip()
    if not value:
        raise InputError(f"The PET header lacks {tag}, without which SUV cannot be computed: {ADVICE}.")
    return value


def _number(header: pydicom.Dataset, tag: str, limits: tuple[float, float] | None = None, unit: str = "") -> float:
    value = _as_number(_text(header, tag), tag)
    if limits and not limits[0] <= value <= limits[1]:
        raise InputError(
            f"{tag} is {value:g} in the PET header, and must be in {unit} ({limits[0]:g} to {limits[1]:g}): correct "
            "the header (another unit perhaps)."
        )
    return value


def _as_number(value: object, name: str) -> float:
    try:
        number = float(value.decode().strip(" \0") if isinstance(value, bytes) else value)
    except (TypeError, ValueError):
        number = np.nan
    if not number >= 0 or np.isinf(number):
        raise InputError(f"{name} in the PET header is no positive number: {ADVICE}.")
    return number


def _private(header: pydicom.Dataset, group: int, creator: str, element: int) -> object:
    try:
        return header.get_private_item(group, element, creator).value
    except KeyError:
        return None
