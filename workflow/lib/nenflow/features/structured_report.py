"""Measurements and features of a patient's regions as a DICOM structured report (TID 1500).

The report is of the de-identified patient: its name is the study's pseudonym, all its UIDs are derived from it and lead
back to nothing, and its dates are not those of any scan. TID 1500 wants to know what was measured: it names a DICOM SEG
(one for each phase and rater, a segment for each region) and the series that was segmented, by such derived UIDs. A
person who shares images and segmentations beside the reports gives them the same ones, with `derived_uid`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from nenflow.records import CASE

DATE, TIME = "19000101", "000000"  # no date of a scan or a person leaves, and the same input gives the same bytes
SIMULATED = "SIMULATED - no real patient"
OWN_SCHEME = "99PYRADIOMICS"  # of features that the IBSI has no code for: filtered images, other preparation
MOST_LETTERS = 64  # of a code's meaning, a description, an identifier
_INTENSITY = {
    "HU": (codes.UCUM.HounsfieldUnit, codes.DCM.AttenuationCoefficient),
    "SUV": (codes.UCUM.StandardizedUptakeValueBodyWeight, codes.DCM.StandardizedUptakeValue),
}
_PURE = {"Skewness", "Kurtosis", "Entropy", "Uniformity"}  # first-order features without a unit


def derived_uid(study: str, cohort: str, patient: str, *what: str) -> str:
    """The UID of something of a de-identified patient: the same for the same names, and nothing can be read from it.

    Args:
        study, cohort, patient: names of the study and cohort, and the patient's pseudonym.
        what: such as "series", phase; or "segmentation", phase, rater.
    """
    return generate_uid(entropy_srcs=["nenflow", study, cohort, patient, *what])


def structured_report(
    who: Mapping[str, str],
    cases: pd.DataFrame,
    features: pd.DataFrame,
    extraction: Mapping[str, Any],
    version: str,
    simulated: bool = False,
) -> Comprehensive3DSR | None:
    """A report of one patient with a group of measurements for each region that has features.

    Each has its volume, its mean intensity, and its features: with the IBSI's codes where the extraction follows the
    IBSI and the feature is one of the unfiltered image, else with codes of the scheme `OWN_SCHEME`, whose meanings are
    pyradiomics' names.

    Args:
        who: study, cohort, patient.
        cases: what became of the patient's cases, as images/<cohort>/cases.csv.
        features: of the patient, as features/<cohort>/<extraction>/<patient>.csv.
        extraction: name and conformance.
        version: of nenflow.
        simulated: whether the patient is.

    Returns:
        a data set to be saved; None where no region of the patient has features, since a report of nothing is none.
    """
    rows = cases[cases["status"] == "included"].merge(features, on=CASE)
    if rows.empty:
        return None
    numbers = rows.groupby(["phase", "rater"])["region"].rank(method="dense").astype(int)
    names = [name for name in features.columns if name not in CASE]
    method = AlgorithmIdentification(
        name="nenflow, pyradiomics",
        version=version,
        parameters=[f"extraction {extraction['name']}", f"conformance {extraction['conformance']}"],
    )
    groups = [
        _group(row, number, names, who, extraction["conformance"], method)
        for number, (_, row) in zip(numbers, rows.iterrows(), strict=True)
    ]
    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=["nenflow", version]), name="nenflow", manufacturer_name="nenflow"
        ),
    )
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
    )
    evidence = [
        _segmentation(who, phase, rater) for phase, rater in rows[["phase", "rater"]].drop_duplicates().to_numpy()
    ]
    report = Comprehensive3DSR(
        evidence=evidence,
        content=content[0],
        series_instance_uid=_uid(who, "report", extraction["name"]),
        series_number=1,
        sop_instance_uid=_uid(who, "report", extraction["name"], "instance"),
        instance_number=1,
        manufacturer="nenflow",
        is_complete=True,
        record_evidence=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    _leave_out_the_clock(report)
    report.PatientIdentityRemoved = "YES"
    report.DeidentificationMethod = "new identity: pseudonym, derived UIDs, no dates"
    report.StudyDescription = SIMULATED if simulated else who["study"][:MOST_LETTERS]
    report.SeriesDescription = f"Radiomics features, {extraction['name']}"[:MOST_LETTERS]
    return report


def _uid(who: Mapping[str, str], *what: str) -> str:
    return derived_uid(who["study"], who["cohort"], who["patient"], *what)


def _segmentation(who: Mapping[str, str], phase: str, rater: str) -> Dataset:
    """What the report has to know of a SEG that it names."""
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = SegmentationStorage, _uid(who, "segmentation", phase, rater, "instance")
    found.StudyInstanceUID, found.SeriesInstanceUID = _uid(who, "study"), _uid(who, "segmentation", phase, rater)
    found.PatientID, found.PatientName = who["patient"], f"{who['patient']}^"  # a name of one part, as DICOM spells it
    found.PatientBirthDate = found.PatientSex = found.AccessionNumber = found.StudyID = ""
    found.StudyDate, found.StudyTime = DATE, TIME
    return found


def _group(row: pd.Series, segment_number: int, names: Sequence[str], who, conformance: str, method) -> Any:
    """The measurements of one region; segments are numbered by a SEG's regions in the order of their names."""
    segment = ReferencedSegment(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=_uid(who, "segmentation", row["phase"], row["rater"], "instance"),
        segment_number=segment_number,
        source_series=SourceSeriesForSegmentation(_uid(who, "series", row["phase"])),
    )
    measurements = [Measurement(codes.SCT.Volume, float(row["volume_mm3"]), codes.UCUM.CubicMillimeter)]
    if row["unit"] in _INTENSITY:
        unit, quantity = _INTENSITY[row["unit"]]
        measurements.append(Measurement(quantity, float(row["mean"]), unit, derivation=codes.SCT.Mean))
    for name in names:
        if np.isfinite(row[name]):
            measurements.append(Measurement(code_of(name, conformance), float(row[name]), unit_of(name, row["unit"])))
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=_uid(who, "region", row["region"]), identifier=" ".join(row[["region", "phase", "rater"]])
        ),
        referenced_segment=segment,
        finding_type=codes.SCT.MorphologicallyAbnormalStructure if row["role"] == "drawn" else None,
        algorithm_id=method,
        measurements=measurements,
    )


@cache
def ibsi_codes() -> dict[str, str]:
    """The IBSI's code of each feature of an unfiltered image, where it has one."""
    with (files("nenflow.features") / "ibsi_reference.csv").open(encoding="utf-8") as file:
        pairs = pd.read_csv(file)[["feature", "id"]].drop_duplicates()
    # A feature under two codes is two of the IBSI's that are equal; the first is the one it is named after.
    return pairs.drop_duplicates("feature").set_index("feature")["id"].to_dict()


@cache
def code_of(name: str, conformance: str) -> CodedConcept:
    """The code of a feature; see `structured_report`."""
    meaning = name[:MOST_LETTERS]
    if conformance == "ibsi" and name in ibsi_codes():
        return CodedConcept(ibsi_codes()[name], "IBSI", meaning)
    # The name is too long for a code: eight digits that follow from it, as long as they tell all features apart.
    return CodedConcept(sha256(name.encode()).hexdigest()[:8], OWN_SCHEME, meaning)


@cache
def unit_of(name: str, intensity: str) -> CodedConcept:
    """The unit of a feature: of its place and size, of the image's intensities, or none."""
    image, family, feature = name.rsplit("_", 2)
    lengths = {"SurfaceArea": "mm2", "SurfaceVolumeRatio": "/mm", "MeshVolume": "mm3", "VoxelVolume": "mm3"}
    if family == "shape":
        length = "mm" if "Diameter" in feature or "AxisLength" in feature else "1"
        unit = lengths.get(feature, length)
    elif image.endswith("original") and family == "firstorder" and intensity in _INTENSITY:
        one = _INTENSITY[intensity][0].value
        squared = {"Energy": f"({one})2", "Variance": f"({one})2", "TotalEnergy": f"({one})2.mm3"}
        unit = "1" if feature in _PURE else squared.get(feature, one)
    else:
        unit = "1"
    return CodedConcept(unit, "UCUM", "no units" if unit == "1" else unit)


def _leave_out_the_clock(report: Dataset) -> None:
    """Replace what highdicom takes from the clock."""
    for date in ("ContentDate", "SeriesDate", "InstanceCreationDate", "StudyDate"):
        setattr(report, date, DATE)
    for time in ("ContentTime", "SeriesTime", "InstanceCreationTime", "StudyTime"):
        setattr(report, time, TIME)
    for equipment in report.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = DATE + TIME
