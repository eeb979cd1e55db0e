from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from nenflow.documents import write_json
from nenflow.errors import STOPPED, InputError, enough_memory
from nenflow.images.pictures import write_picture
from nenflow.images.quality import check_mask, compare_readings, region_quality
from nenflow.images.rasters import write_nifti
from nenflow.images.regions import derive_regions, rule_of
from nenflow.images.segmentations import read_mask
from nenflow.images.volumes import Volume, read_volume
from nenflow.records import CASE, write_records

QUALITY = ["volume_mm3", "voxels", "components", "cavities", "touches_border"]
STATISTICS = ["mean", "sd", "minimum", "median", "maximum", "peak"]
COLUMNS = [*CASE, "role", "status", "reason", *QUALITY, *STATISTICS, "unit", "flags"]
READINGS = [*CASE, "reference", "dice", "hausdorff_mm", "hausdorff95_mm", "volume_ratio"]


def import_patient(
    cases: list[dict],
    data: Path,
    folder: Path,
    settings: Mapping[str, Any],
    reference: str,
    strict: bool,
    stopped: bool = False,
) -> list[dict]:
    """Bring all segmentations of a patient, and the scans they were drawn on, into one form without identity.

    Writes, per phase, the scan (`<phase>.nii.gz`, decimals) and how it was made (`<phase>.json`); per region, drawn or
    computed, a mask on the same grid (`<phase>_<region>_<rater>.nii.gz`, uint8) and a picture of it (`.png`). Then
    `cases.csv` with what became of each case and what its region holds, and `readings.csv` with the agreement of other
    raters' masks with the reference's. A case that is refused is excluded with its reason and the others go on.

    Args:
        cases: rows of the cases table that belong to one patient; blank cells are empty text, None or NaN.
        data: folder that the paths in the rows start from.
        folder: where to write; made when it does not exist.
        settings: the block `images` of study.yaml.
        reference: the rater whose regions are analysed.
        strict: raise at the first refused case instead.
        stopped: the system has stopped this import again and again; exclude all cases without reading any.

    Returns:
        What became of each case, as in cases.csv.

    Raises:
        InputError: in strict mode only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    readings: list[dict] = []
    for phase in dict.fromkeys(case["phase"] for case in cases):
        part = _Phase([case for case in cases if case["phase"] == phase], Path(data), folder, settings, reference)
        try:
            if stopped:
                raise MemoryError(STOPPED)
            with enough_memory():
                part.run()
        except (InputError, MemoryError) as error:
            part.refuse(error)
        rows += part.rows
        readings += part.readings
        refused = [row for row in part.rows if row["status"] == "excluded" and row["role"] != "computed"]
        if strict and refused:
            raise InputError(f"{' '.join(refused[0][name] for name in CASE)}: {refused[0]['reason']}")
    write_records(rows, folder / "cases.csv", COLUMNS)
    write_records(readings, folder / "readings.csv", READINGS)
    return rows


class _Phase:
    """One scan of a patient with everything drawn on it.

    Attributes:
        rows: what became of each region, for cases.csv: drawn ones as the table of cases has them, then computed ones.
        readings: agreement of the raters, for readings.csv.
    """

    def __init__(self, cases: list[dict], data: Path, folder: Path, settings: Mapping[str, Any], reference: str):
        self.cases, self.data, self.folder, self.reference = cases, data, folder, reference
        self.settings, self.rules = settings, settings.get("regions", {})
        self.phase = cases[0]["phase"]
        self._found: dict[tuple[str, str], dict] = {}
        self.readings: list[dict] = []

    @property
    def rows(self) -> list[dict]:
        drawn = [
            (case["region"], case["rater"]) for case in self.cases if (case["region"], case["rater"]) in self._found
        ]
        return [self._found[key] for key in dict.fromkeys([*drawn, *self._found])]

    def run(self) -> None:
        """Read, describe and write; an InputError or MemoryError means that nothing of this scan can be used."""
        volume = self._read_volume()
        masks, roles = self._masks(volume)
        if not masks:
            return
        write_nifti(volume.image, self.folder / f"{self.phase}.nii.gz")
        write_json(volume.tags, self.folder / f"{self.phase}.json")
        kept = {key: mask for key, mask in masks.items() if self._describe(key, mask, roles[key], volume)}
        for (region, rater), mask in kept.items():
            self._write(region, rater, mask, kept, volume)
        for region in dict.fromkeys(region for region, _ in kept):
            of_region = {rater: mask for (name, rater), mask in kept.items() if name == region}
            for pair in compare_readings(of_region, self.reference):
                self.readings.append(self._case(region, pair["rater"]) | pair)

    def refuse(self, error: Exception) -> None:
        """Exclude everything that belongs to this scan."""
        self.readings.clear()
        for case in self.cases:
            self._refuse_drawn(case, error)
        drawn = {(case["region"], case["rater"]) for case in self.cases}
        for key in dict.fromkeys([*self._wanted(), *self._found]):
            if key not in drawn:
                self._add(*key, "computed", reason=str(error))

    def _read_volume(self) -> Volume:
        if len({(case["image"], _cell(case, "series")) for case in self.cases}) > 1:
            raise InputError("The cases table names different images for one phase: give each its own phase.")
        return read_volume(self.data / self.cases[0]["image"], _cell(self.cases[0], "series"))

    def _masks(self, volume: Volume) -> tuple[dict[tuple[str, str], sitk.Image], dict[tuple[str, str], str]]:
        """Masks by region and rater, drawn and computed, and what each is; refusals are noted on the way."""
        organs = self.settings.get("organs", [])
        drawn, refused = {}, set()
        for case in self.cases:
            try:
                mask = read_mask(self.data / case["segmentation"], _cell(case, "segment"), volume)
                check_mask(mask, volume, 0)  # an empty one would let a lesion pass as healthy tissue
            except InputError as error:
                self._refuse_drawn(case, error)
                refused.add((case["region"], case["rater"]))
            else:
                drawn[case["region"], case["rater"]] = mask
        computed, impossible = derive_regions(drawn, self.rules, self.reference) if self.rules else ({}, {})
        impossible |= self._incomplete([*self._wanted(), *computed, *impossible], refused)
        for (name, rater), reason in impossible.items():
            computed.pop((name, rater), None)
            self._add(name, rater, "computed", reason=reason)
        roles = {key: "organ" if key[0] in organs else "drawn" for key in drawn} | dict.fromkeys(computed, "computed")
        return drawn | computed, roles

    def _incomplete(self, computed: list[tuple[str, str]], refused: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Computed regions that would be wrong because a segmentation they depend on was refused."""
        reasons = {}
        for region, rater in computed:
            _, rule = rule_of(region, self.rules)
            patterns = (rule["of"], rule.get("inside", ""), *rule.get("without", []))
            for missing, by in sorted(refused):
                if by in (rater, self.reference) and any(fnmatchcase(missing, pattern) for pattern in patterns):
                    reasons[region, rater] = f"it depends on {missing}, whose segmentation was refused"
        return reasons

    def _wanted(self) -> list[tuple[str, str]]:
        """Names and raters of the regions that are computed once for a whole scan."""
        raters = dict.fromkeys(case["rater"] for case in self.cases)
        return [(name, rater) for name, rule in self.rules.items() if rule["kind"] != "ring" for rater in raters]

    def _describe(self, key: tuple[str, str], mask: sitk.Image, role: str, volume: Volume) -> bool:
        """Note what a mask holds; False where it is refused."""
        try:
            check_mask(mask, volume, self.settings["minimum_volume_mm3"])
        except InputError as error:
            if role == "computed":
                self._add(*key, role, reason=str(error))
            else:
                self._refuse_drawn(self._drawn_case(key), error)
            return False
        unit, settings = volume.tags.get("unit"), {"derived": role != "drawn"}
        if self.phase in self.settings.get("expected", {}):
            settings["expected"] = self.settings["expected"][self.phase]
        found = region_quality(mask, volume.image, unit, settings)
        flags = "; ".join(found.pop("flags"))
        self._add(*key, role, **found, unit=unit or "", flags=flags)
        return True

    def _write(self, region: str, rater: str, mask: sitk.Image, masks: Mapping, volume: Volume) -> None:
        stem = f"{self.phase}_{region}_{rater}"
        write_nifti(mask, self.folder / f"{stem}.nii.gz")
        of_region = {by: other for (name, by), other in masks.items() if name == region}
        simulated = " (simulated data)" if volume.tags["simulated"] else ""
        title = f"{self.cases[0]['patient']}, {self.phase}, {region}, {rater}{simulated}"
        write_picture(volume.image, of_region, rater, self.folder / f"{stem}.png", title, volume.tags.get("unit"))

    def _drawn_case(self, key: tuple[str, str]) -> dict:
        return next(case for case in self.cases if (case["region"], case["rater"]) == key)

    def _refuse_drawn(self, case: dict, error: Exception) -> None:
        files = f"image {self.data / case['image']}, segmentation {self.data / case['segmentation']}"
        name = " ".join(case[part] for part in CASE)
        print(f"{name}: {error} ({files})")
        role = "organ" if case["region"] in self.settings.get("organs", []) else "drawn"
        self._add(case["region"], case["rater"], role, reason=str(error))

    def _add(self, region: str, rater: str, role: str, reason: str = "", **found: object) -> None:
        status = "excluded" if reason else "included"
        what = {"role": role, "status": status, "reason": reason}
        self._found[region, rater] = self._case(region, rater) | what | found

    def _case(self, region: str, rater: str) -> dict:
        return {"patient": self.cases[0]["patient"], "phase": self.phase, "region": region, "rater": rater}


def _cell(case: dict, column: str) -> str | None:
    value = case.get(column)
    return None if value is None or value != value or str(value) == "" else str(value)  # NaN is not itself
