"""Variables that are measured in the images (volume, mean, maximum, peak), and features of patients of many regions."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from nenflow.tables import CASE, WHOLE

ML = 1000.0  # mm3


def matching_regions(cases: pd.DataFrame, pattern: str) -> pd.Series:
    """Which rows of a table of cases (columns region, role) a pattern names.

    A pattern with * or ? stands for drawn regions; a single name may also be that of an organ or of a computed region.
    Otherwise `*` would count a lesion twice, once more in the union of all lesions.
    """
    named = cases["region"].map(lambda region: fnmatchcase(region, pattern)).astype(bool)
    return named & cases["role"].eq("drawn") if set(pattern) & set("*?") else named


def measure_patients(
    cases: pd.DataFrame, patients: Sequence[str], variables: Mapping[str, Any], reference: str
) -> pd.DataFrame:
    """Measure each patient's regions in the images.

    Only the reference rater's included regions count. Volumes (mL) are summed: a voxel of two regions counts in both,
    unless their union is measured. The mean is that of all voxels; the maximum and the peak (mean of the hottest sphere
    of 1 mL, at full resolution) are the highest of any region. Where nothing that matches was drawn on a scan that was
    read, the volume is 0 and the others are missing. Where regions were drawn but none can be used, or no scan of the
    phase was read, all are missing.

    Args:
        cases: what became of each case: columns patient, phase, region, rater, role, status, volume_mm3, voxels, mean,
            maximum and peak.
        patients: all patients of the cohort.
        variables: of the study; those with `measured` (measure, of, phase) are measured.
        reference: the rater whose regions are analysed.

    Returns:
        a row per patient: patient and a column per measured variable.
    """
    table = pd.DataFrame({"patient": list(patients)})
    drawn = cases[cases["rater"] == reference]
    for name, variable in variables.items():
        if "measured" not in variable:
            continue
        rule = variable["measured"]
        scanned = drawn[drawn["phase"] == rule["phase"]]
        regions = scanned[matching_regions(scanned, rule["of"])]
        usable = regions[regions["status"] == "included"]
        values = {patient: _combined(rows, rule["measure"]) for patient, rows in usable.groupby("patient")}
        if rule["measure"] == "volume":
            read = set(scanned.loc[scanned["status"] == "included", "patient"]) - set(regions["patient"])
            values |= dict.fromkeys(read, 0.0)
        table[name] = table["patient"].map(values).astype(float)
    return table


def _combined(rows: pd.DataFrame, measure: str) -> float:
    """One value of several regions of a patient."""
    if measure == "volume":
        return float(rows["volume_mm3"].sum() / ML)
    if measure == "mean":
        return float(np.average(rows["mean"], weights=rows["voxels"].astype(float)))
    return float(rows[measure].max())


def left_out_regions(cases: pd.DataFrame, variables: Mapping[str, Any], reference: str) -> pd.DataFrame:
    """Regions that a measured variable lacks because they were excluded, with the reason.

    Returns:
        columns variable, patient, phase, region, reason.
    """
    lost = cases[(cases["rater"] == reference) & (cases["status"] == "excluded")]
    parts = [
        lost[matching_regions(lost, rule["of"]) & (lost["phase"] == rule["phase"])].assign(variable=name)
        for name, rule in ((name, v["measured"]) for name, v in variables.items() if "measured" in v)
    ]
    columns = ["variable", "patient", "phase", "region", "reason"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns, dtype=str)


def drop_excluded(table: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of a table (patient, phase, region, rater, ...) whose case is excluded."""
    gone = pd.MultiIndex.from_frame(cases.loc[cases["status"] == "excluded", CASE])
    return table[~pd.MultiIndex.from_frame(table[CASE]).isin(gone)]


def aggregate_regions(
    features: pd.DataFrame, cases: pd.DataFrame, pattern: str, how: str, reference: str
) -> pd.DataFrame:
    """Give each patient of several regions the features of the largest one, their mean, or their mean by volume.

    In each phase, the reference rater's regions that match, were included and have features decide: which of them is
    the largest (of equal ones the first by name), and what each weighs. Another rater's reading of the patient is made
    in the same way from that rater's features of the same regions, and only where that rater has read all that count.
    So readings differ because of what was drawn, not because of which lesions were.

    Args:
        features: the feature table of a cohort (patient, phase, region, rater, features).
        cases: what became of each case (patient, phase, region, rater, role, status, volume_mm3).
        pattern: the drawn regions that are analysed.
        how: largest, mean or volume-weighted.
        reference: the rater whose regions are analysed.

    Returns:
        the features, followed by a row per patient, phase and rater whose region is `patient`.
    """
    names = [name for name in features.columns if name not in CASE]
    drawn = cases[(cases["rater"] == reference) & (cases["role"] == "drawn") & (cases["status"] == "included")]
    drawn = drawn[matching_regions(drawn, pattern)].merge(features[CASE], on=CASE)
    volumes = {key: rows.set_index("region")["volume_mm3"] for key, rows in drawn.groupby(["patient", "phase"])}
    weights = {key: _weights(volume.sort_index(), how) for key, volume in volumes.items()}
    rows = []
    for (patient, phase, rater), own in features.groupby(["patient", "phase", "rater"], sort=False):
        counting = weights.get((patient, phase))
        if counting is None or not set(counting.index) <= set(own["region"]):
            continue
        values = own.set_index("region").loc[counting.index, names]
        found = (values.to_numpy(dtype=float) * counting.to_numpy()[:, None]).sum(axis=0)
        rows.append([patient, phase, WHOLE, rater, *found])
    patients = pd.DataFrame(rows, columns=[*CASE, *names])
    return pd.concat([features, patients], ignore_index=True) if rows else features


def _weights(volumes: pd.Series, how: str) -> pd.Series:
    """What each region counts for, of those that count at all; they sum up to 1."""
    if how == "largest":
        return pd.Series({volumes.idxmax(): 1.0})
    shares = volumes if how == "volume-weighted" else pd.Series(1.0, index=volumes.index)
    return shares / shares.sum()
