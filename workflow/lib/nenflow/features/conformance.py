"""How well the features agree with the reference values of the Image Biomarker Standardisation Initiative (IBSI).

The digital phantom and the reference values (ibsi_reference.csv) are the IBSI's, CC BY 4.0: Zwanenburg et al.,
Radiology 2020;295:328-338, and the IBSI reference manual; the phantom is by Alex Zwanenburg. They are written out here
with no change but the choice of the 107 values that pyradiomics has a feature for (105 features; the IBSI has two of
them under two names).
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from nenflow.features.extraction import extract

REFERENCE = Path(__file__).with_name("ibsi_reference.csv")
DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "ibsi.md"

# Four slices of four rows, voxels of 2 mm; voxels outside the region are dots.
DIGITAL_PHANTOM = """
1 4 4 1 1    1 4 4 1 1    1 4 4 . .    1 4 4 . .
1 4 6 1 1    1 1 6 1 1    1 1 1 1 1    1 1 1 1 1
4 1 6 4 1    . 1 3 1 1    1 1 . 1 1    1 1 1 1 1
4 4 6 4 1    4 4 6 1 1    1 1 6 1 1    1 1 6 1 1
"""

# What the IBSI prescribes for each case, as settings of a pyradiomics parameter file.
CONFIGURATIONS = {
    "digital phantom": {"binWidth": 1},
    "configuration A": {"force2D": True, "resegmentRange": [-500, 400], "binWidth": 25},
    "configuration B": {
        "force2D": True,
        "resampledPixelSpacing": [2, 2, 0],
        "interpolator": "sitkLinear",
        "resegmentRange": [-500, 400],
        "binCount": 32,
    },
    "configuration C": {
        "resampledPixelSpacing": [2, 2, 2],
        "interpolator": "sitkLinear",
        "resegmentRange": [-1000, 400],
        "binWidth": 25,
    },
    "configuration D": {
        "resampledPixelSpacing": [2, 2, 2],
        "interpolator": "sitkLinear",
        "resegmentRange": [-3, 3],
        "resegmentMode": "sigma",
        "binCount": 32,
    },
    "configuration E": {
        "resampledPixelSpacing": [2, 2, 2],
        "interpolator": "sitkBSpline",
        "resegmentRange": [-1000, 400],
        "removeOutliers": 3,
        "binCount": 32,
    },
}

# A difference of decimal numbers misses a decimal tolerance by its last bits; no tolerance is this narrow but 0.
LAST_BITS = 1e-9


def check_digital_phantom() -> pd.DataFrame:
    """Compute the features of the IBSI's digital phantom and compare them; needs no data from elsewhere.

    Returns:
        A row per reference value: feature (pyradiomics' name), tag and id (the IBSI's), value, reference, tolerance,
        consensus, within.
    """
    cells = np.array([line.split() for line in DIGITAL_PHANTOM.strip().splitlines()])
    cells = cells.reshape(4, 4, 5).swapaxes(0, 1)  # rows, slices, columns to slices, rows, columns
    outside = cells == "."
    image = sitk.GetImageFromArray(np.where(outside, "0", cells).astype(float))
    image.SetSpacing((2.0, 2.0, 2.0))
    mask = sitk.GetImageFromArray((~outside).astype(np.uint8))
    mask.CopyInformation(image)
    return check_configuration("digital phantom", image, mask)


def check_configuration(name: str, image: sitk.Image, mask: sitk.Image) -> pd.DataFrame:
    """Compute the features of one of the IBSI's configurations and compare them with their reference values.

    Args:
        name: a key of `CONFIGURATIONS`.
        image: the IBSI's CT phantom, whole Hounsfield units (or the digital phantom).
        mask: its region, on the image's grid.

    Returns:
        See `check_digital_phantom`.
    """
    reference = pd.read_csv(REFERENCE)
    reference = reference[reference["case"] == name].drop(columns="case").reset_index(drop=True)
    wanted: dict[str, list[str]] = {}
    for _, group, feature in reference["feature"].drop_duplicates().str.split("_"):
        wanted.setdefault(group, []).append(feature)
    parameters = {"imageType": {"Original": {}}, "featureClass": wanted, "setting": CONFIGURATIONS[name]}
    values = extract(image, mask, parameters, "ibsi", "CT").reindex(reference["feature"]).to_numpy()
    within = [agrees(*row) for row in zip(values, reference["reference"], reference["tolerance"], strict=True)]
    return reference.assign(value=values, within=within)[
        ["feature", "tag", "id", "value", "reference", "tolerance", "consensus", "within"]
    ]


def agrees(value: float, reference: float, tolerance: float) -> bool:
    """Whether a value, rounded to three significant digits as the IBSI does, lies within the tolerance.

    Example:
        >>> agrees(9.2958, 9.31, 0.06), agrees(9.24, 9.31, 0.06), agrees(float("nan"), 1.0, 0.1)
        (True, False, False)
    """
    return abs(float(f"{value:.2e}") - reference) <= tolerance + LAST_BITS * abs(reference)


def main(folder: str | None) -> int:
    """Print the agreement of each case and, when all could be computed, write docs/ibsi.md.

    Args:
        folder: where the IBSI's data sets are (ibsi1/ibsi_1_ct_radiomics_phantom/nifti), None when nowhere.

    Returns:
        0 when every value of every case that could be computed is within its tolerance, else 1.
    """
    tables = {"digital phantom": check_digital_phantom()}
    _print_line("digital phantom", tables)
    phantom = Path(folder or "") / "ibsi1" / "ibsi_1_ct_radiomics_phantom" / "nifti"
    if folder and phantom.is_dir():
        image, mask = _read_phantom(phantom)
        for name in list(CONFIGURATIONS)[1:]:
            tables[name] = check_configuration(name, image, mask)
            _print_line(name, tables)
        DOCUMENT.write_text(document(tables), encoding="utf-8")
        print(f"Written: docs/{DOCUMENT.name}")
    else:
        print(
            "The IBSI's CT phantom is not there, so configurations A to E are left out and docs/ibsi.md stays as it is."
        )
        print("Its folder ibsi1 belongs into the folder that NENFLOW_TEST_DATA names.")
    return 0 if all(table["within"].all() for table in tables.values()) else 1


def document(tables: dict[str, pd.DataFrame]) -> str:
    """The page docs/ibsi.md of the cases that were computed, by name."""
    rows = [
        f"| {name} | {table['within'].sum()} of {len(table)} | {_settings(name)} |" for name, table in tables.items()
    ]
    packages = {
        "pyradiomics-bhklab": "pyradiomics-bhklab",
        "SimpleITK": "SimpleITK",
        "numpy": "NumPy",
        "scipy": "SciPy",
    }
    versions = ", ".join(f"{name} {version(package)}" for package, name in packages.items())
    missed = pd.concat([table[~table["within"]].assign(case=name) for name, table in tables.items()])
    listed = [f"- {row.case}, {row.tag}: {row.value:.4g} (reference {row.reference:g})" for row in missed.itertuples()]
    return PAGE.format(rows="\n".join(rows), versions=versions, missed="\n".join(listed) or "None.")


PAGE = """<!-- Written by `make ibsi`; change workflow/lib/nenflow/features/conformance.py instead. -->
# Conformance with IBSI

Features with `conformance: ibsi` (the default) against the consensus values of the Image Biomarker Standardisation
Initiative, chapter 1, on its digital phantom and its CT phantom:

| case | within tolerance | settings in the pyradiomics parameter file |
|---|---|---|
{rows}

Compared as the IBSI does: a value is rounded to three significant digits and has to differ from the reference value by
no more than its tolerance. The 107 are those reference values that pyradiomics has a feature for (105 features; IBSI
has two of them under two names). The digital phantom is computed anew in every study and stands in its report.

Values that miss their tolerance: {missed}

Computed with {versions}.

## What `conformance: ibsi` does

pyradiomics computes the matrices and the features. Different from pyradiomics by itself is:

- **Grid**: the new grid shares its centre with the scan's and has ceil(n × old / new) voxels in each direction; beyond
  the scan its outermost voxels go on. 0 in `resampledPixelSpacing` leaves a direction as it is (in-plane resampling).
  `interpolator` is sitkLinear or sitkBSpline (cubic).
- **Mask**: interpolated linearly, cut at 0.5.
- **Rounding**: interpolated intensities of CT are rounded to whole numbers (a scan of unknown modality counts as CT
  when all its voxels are whole numbers); PET and MR are not rounded, nor is a scan that the file normalises.
- **Re-segmentation** (`resegmentRange` with `resegmentMode`) happens afterwards and leaves shape features alone.
  `removeOutliers: 3`, without `normalize`, keeps the mean ± 3 standard deviations, alone or beside a `resegmentRange`.
- **Bins** of fixed width start at the lower absolute re-segmentation bound. Without one, and in filtered images, they
  start at multiples of the width, as in pyradiomics.
- **Kurtosis** is excess kurtosis (less 3); **axis lengths** come from the covariance over N - 1.

Filters (wavelet, LoG, …) are pyradiomics', applied to the resampled image around the region, so `padDistance` has to
cover them: 4 voxels for the wavelet coif1, several sigma for LoG. Chapter 2 of the IBSI (filters) is not claimed.

## Data

Digital phantom and reference values: Image Biomarker Standardisation Initiative, licensed under
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/) (Zwanenburg et al., Radiology 2020;295:328-338,
doi:10.1148/radiol.2020191145; the phantom by Alex Zwanenburg); here written out as text, values chosen, not changed.
CT phantom (configurations A to E): Lambin, CancerData 2016, doi:10.17195/candat.2016.08.1, CC BY-NC 3.0, not part of
nenflow; from github.com/theibsi/data_sets.
"""


def _settings(name: str) -> str:
    return ", ".join(f"`{key}: {value}`" for key, value in CONFIGURATIONS[name].items()).replace("True", "true")


def _print_line(name: str, tables: dict[str, pd.DataFrame]) -> None:
    print(f"{name:15}  {tables[name]['within'].sum()}/{len(tables[name])}", flush=True)


def _read_phantom(folder: Path) -> tuple[sitk.Image, sitk.Image]:
    """The CT phantom; its NIfTI version has to be rounded to whole numbers first, says the IBSI manual."""
    image = sitk.ReadImage(folder / "image" / "phantom.nii.gz", sitk.sitkFloat32)
    return sitk.Round(image), sitk.ReadImage(folder / "mask" / "mask.nii.gz", sitk.sitkUInt8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("NENFLOW_TEST_DATA")))
