"""How much faster the extraction is than plain pyradiomics, on the same files and with the same bits.

Run as `python benchmarks/extraction.py`; CPU time of one region; reading the scan, which is done once for all
regions of a patient, apart. Only the ratios of one run mean anything.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from radiomics.featureextractor import RadiomicsFeatureExtractor  # noqa: E402

from nenflow.features.extraction import extract, read_parameters  # noqa: E402

PARAMETERS = ROOT / "config" / "studies" / "surufatinib" / "extraction" / "wavelet.yaml"
PIXEL = 0.7421875  # mm, a field of view of 380 mm in 512 pixels
CASES = [(5.0, 60, 8), (5.0, 60, 15), (1.25, 240, 8), (1.25, 240, 15)]  # slice distance, slices, radius; mm


def write_case(folder: Path, distance: float, slices: int, radius: float) -> None:
    """Write a scan of 512 x 512 pixels (int16) with one ball in it."""
    rng = np.random.default_rng(1)
    image = sitk.GetImageFromArray(rng.normal(60, 25, (slices, 512, 512)).astype(np.int16))
    image.SetSpacing((PIXEL, PIXEL, distance))
    z, y, x = np.ogrid[:slices, :512, :512]
    inside = ((x - 230) * PIXEL) ** 2 + ((y - 260) * PIXEL) ** 2 + ((z - slices / 2) * distance) ** 2 <= radius**2
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(image)
    sitk.WriteImage(image, folder / "scan.nii.gz")
    sitk.WriteImage(mask, folder / "region.nii.gz")


def compare(folder: Path, parameters: dict) -> tuple[float, float, float, int]:
    """CPU seconds of reading, of pyradiomics and of nenflow, and how many features are identical."""
    times = [time.process_time()]
    image, mask = (sitk.ReadImage(folder / name) for name in ("scan.nii.gz", "region.nii.gz"))
    times.append(time.process_time())
    plain = RadiomicsFeatureExtractor(parameters, additionalInfo=False).execute(image, mask)
    times.append(time.process_time())
    ours = extract(image, mask, parameters, "slicer")
    times.append(time.process_time())
    theirs = pd.Series({name: float(value) for name, value in plain.items()})
    return *np.diff(times), int((ours[theirs.index] == theirs).sum())


def main() -> None:
    """Print one line per geometry."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    parameters = read_parameters(PARAMETERS)
    print("slices mm  radius mm  reading s  pyradiomics s  nenflow s  ratio  identical")
    for distance, slices, radius in CASES:
        with tempfile.TemporaryDirectory() as folder:
            write_case(Path(folder), distance, slices, radius)
            reading, plain, ours, identical = compare(Path(folder), parameters)
        cells = f"{distance:9}  {radius:9}  {reading:9.2f}  {plain:13.2f}  {ours:9.2f}  {ours / plain:5.2f}"
        print(f"{cells}  {identical:9}")


if __name__ == "__main__":
    main()
