from pathlib import Path

import pandas as pd
import SimpleITK as sitk

from nenflow.documents import write_json
from nenflow.errors import InputError
from nenflow.images.checks import check_mask
from nenflow.images.pictures import write_qc
from nenflow.images.segmentations import read_mask
from nenflow.images.volumes import Volume, read_volume
from nenflow.tables import CASE, write_table


def import_patient(cases: list[dict], data: Path, folder: Path, settings: dict, strict: bool) -> None:
    """Bring all segmentations of a patient, and the scans they were drawn on, into one form without identity.

    Writes, per phase, the scan (`<phase>.nii.gz`, float32), how it was made (`<phase>.json`), masks on the same grid
    (`<phase>_<region>_<rater>.nii.gz`, uint8) and a picture to look at (`<phase>.png`); and `cases.csv` with what
    became of each case. A case that is refused is excluded with its reason and the others go on.

    Args:
        cases: rows of the cases table that belong to one patient; blank cells are empty text, None or NaN.
        data: folder that the paths in the rows start from.
        folder: where to write; made when it does not exist.
        settings: `minimum_volume_mm3`.
        strict: raise at the first refused case instead.

    Raises:
        InputError: in strict mode only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results: list[dict] = []
    for phase in dict.fromkeys(case["phase"] for case in cases):
        rows = [case for case in cases if case["phase"] == phase]
        results += _import_phase(phase, rows, Path(data), folder, settings["minimum_volume_mm3"], strict)
    table = pd.DataFrame(results, columns=[*CASE, "status", "reason", "volume_mm3", "voxels"])
    write_table(table.astype({"voxels": "Int64"}), folder / "cases.csv")


def _import_phase(
    phase: str, cases: list[dict], data: Path, folder: Path, minimum_volume_mm3: float, strict: bool
) -> list[dict]:
    try:
        volume = _read_phase(cases, data)
    except InputError as error:
        return [_refuse(case, error, data, strict) for case in cases]
    results, masks = [], {}
    for case in cases:
        try:
            mask = read_mask(data / case["segmentation"], _cell(case, "segment"), volume)
            size = check_mask(mask, volume, minimum_volume_mm3)
        except InputError as error:
            results.append(_refuse(case, error, data, strict))
            continue
        masks[case["region"], case["rater"]] = mask
        results.append({name: case[name] for name in CASE} | {"status": "included", "reason": ""} | size)
    if masks:
        _write_phase(phase, volume, masks, folder, cases[0]["patient"])
    return results


def _read_phase(cases: list[dict], data: Path) -> Volume:
    if len({(case["image"], _cell(case, "series")) for case in cases}) > 1:
        raise InputError("The cases table names different images for one phase: give each its own phase.")
    return read_volume(data / cases[0]["image"], _cell(cases[0], "series"))


def _write_phase(phase: str, volume: Volume, masks: dict, folder: Path, patient: str) -> None:
    sitk.WriteImage(volume.image, folder / f"{phase}.nii.gz")
    write_json(volume.tags, folder / f"{phase}.json")
    for (region, rater), mask in masks.items():
        sitk.WriteImage(mask, folder / f"{phase}_{region}_{rater}.nii.gz")
    note = f"{patient}, {phase}" + (" (simulated data)" if volume.tags["simulated"] else "")
    write_qc(volume.image, masks, folder / f"{phase}.png", note)


def _refuse(case: dict, error: InputError, data: Path, strict: bool) -> dict:
    identity = {name: case[name] for name in CASE}
    name = " ".join(identity.values())
    print(f"{name}: {error} (image {data / case['image']}, segmentation {data / case['segmentation']})")
    if strict:
        raise InputError(f"{name}: {error}") from error
    return identity | {"status": "excluded", "reason": str(error), "volume_mm3": None, "voxels": None}


def _cell(case: dict, column: str) -> str | None:
    value = case.get(column)
    return None if value is None or pd.isna(value) or str(value) == "" else str(value)
