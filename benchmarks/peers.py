"""What other packages take for the features of the same region, and which of pyradiomics' values they give.

Run as `python benchmarks/peers.py` (a quarter of an hour, most of it installing). Each package is installed into an
environment of its own, in a temporary folder, since their requirements exclude each other; one that cannot be installed
is said. None resamples: all get the same simulated ball on a grid of 1 mm, and compute their own form of pyradiomics'
107 features with bins of 25 HU on one core. Times are CPU seconds of computing, the less of two in one process;
starting and reading are apart. Of the values it is counted how many of pyradiomics' 107 are among them, under whatever
name.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from extraction import ONE_THREAD, ROOT

RADII = (8, 15, 40)  # mm
TOLERANCE = 1e-6  # relative; what rounding in another order leaves of the longest sums, and far below any difference
PATIENCE = 1200  # seconds; for installing a package, and for one of its measurements
INSTALLED = {
    "pyradiomics-cuda": "pyradiomics-cuda==1.0.4",
    "flash-radiomics": "flash-radiomics==1.0.0",
    "fastrad": "fastrad==1.0.0",
    "numpyradiomics": "numpyradiomics==0.0.5",
    "nyxus": "nyxus==0.11.0",
    "MIRP": "mirp==2.7.0",
}
NEEDS = {
    "flash-radiomics": ["numpy", "h5py", "pykwalify", "PyWavelets", "scipy", "scikit-image", "scikit-learn", "trimesh"]
}
# Each defines compute(), which returns all values it finds; `image` and `mask` are SimpleITK's, `files` their paths.
PYRADIOMICS = """
from radiomics.featureextractor import RadiomicsFeatureExtractor
extractor = RadiomicsFeatureExtractor(binWidth=25, additionalInfo=False)
def compute():
    return list(extractor.execute(image, mask).values())
"""
PROGRAMS = {
    "pyradiomics": PYRADIOMICS,
    "nenflow": """
sys.path.insert(0, "workflow/lib")
from nenflow.features.extraction import _Extractor, _Scan
extractor = _Extractor({"setting": {"binWidth": 25}, "imageType": {"Original": {}}}, "slicer")
def compute():
    return list(extractor.extract(_Scan(image, "slicer", "CT"), mask).values())
""",
    "pyradiomics-cuda": PYRADIOMICS,
    "flash-radiomics": """
from flash_radiomics import RadiomicsFeatureExtractor
extractor = RadiomicsFeatureExtractor(backend="cpu", binWidth=25, num_threads=1)
def compute():
    return list(extractor.execute(*files, label=1, output_hdf5_path=files[0] + ".h5").values())
""",
    "fastrad": """
import torch
from fastrad import FeatureExtractor, FeatureSettings, Mask, MedicalImage
torch.set_num_threads(1)
def compute():
    tensors = [torch.from_numpy(sitk.GetArrayFromImage(file).astype("float64")) for file in (image, mask)]
    extractor = FeatureExtractor(FeatureSettings(bin_width=25, device="cpu"))
    return list(extractor.extract(MedicalImage(tensors[0]), Mask(tensors[1])).values())
""",
    "numpyradiomics": """
from numpyradiomics import firstorder, shape, texture
def compute():
    arrays = [sitk.GetArrayFromImage(file) for file in (image, mask)]
    found = [firstorder(*arrays, binWidth=25), shape(arrays[1], (1.0, 1.0, 1.0)), texture(*arrays, binWidth=25)]
    return [value for part in found for value in part.values()]
""",
    "nyxus": """
import nyxus
def compute():
    features = nyxus.Nyxus3D(["*3D_ALL*"], n_feature_calc_threads=1).featurize_files([files[0]], [files[1]], False)
    return features.iloc[0].tolist()
""",
    "MIRP": """
from mirp import extract_features
def compute():
    bins = {"base_discretisation_method": "fixed_bin_size", "base_discretisation_bin_width": 25.0}
    lowest = {"resegmentation_intensity_range": [-1000.0, 3000.0]}  # where its first bin begins
    found = extract_features(image=files[0], mask=files[1], image_modality="ct", **bins, **lowest)
    return found[0].iloc[0].tolist()
""",
}
PROGRAM = """
import json, sys, time
import SimpleITK as sitk
files = sys.argv[1:3]
image, mask = map(sitk.ReadImage, files)
{}
if __name__ == "__main__":
    seconds = []
    for _ in range(2):
        start = time.process_time()
        found = compute()
        seconds.append(time.process_time() - start)
    numbers = []
    for value in found:
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            continue
    print("\\n" + json.dumps([min(seconds), numbers]))
"""


def write_region(folder: Path, radius: float) -> list[str]:
    """A ball in noise, in a scan that ends 10 mm beyond it."""
    side = 2 * (radius + 10)
    values = np.random.default_rng(1).normal(60, 25, (side, side, side)).astype(np.int16)
    inside = np.sum((np.indices(values.shape) - (side - 1) / 2) ** 2, axis=0) <= radius**2
    paths = [str(folder / f"{name}_{radius}.nii.gz") for name in ("image", "mask")]
    for path, array in zip(paths, (values, inside.astype(np.uint8)), strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(array), path)
    return paths


def install(folder: Path, name: str) -> Path | None:
    """The Python of an environment that has a package; None where it cannot be installed."""
    if name not in INSTALLED:
        return Path(sys.executable)
    subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
    packages = [INSTALLED[name], "SimpleITK", *NEEDS.get(name, [])]
    command = [folder / name / "bin/pip", "install", "--quiet", "--compile", *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{name} was not installed: {type(error).__name__}.", flush=True)
        return None
    return folder / name / "bin/python"


def measure(python: Path, program: Path, files: list[str]) -> tuple[float, np.ndarray] | None:
    """CPU seconds and values; None where the package fails."""
    try:
        done = subprocess.run(
            [python, program, *files],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
            cwd=ROOT,
            env=os.environ | ONE_THREAD,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{program.stem}: {(error.stderr or b'').decode()[-500:]}", file=sys.stderr)
        return None
    seconds, values = json.loads(done.stdout.decode().splitlines()[-1])
    return seconds, np.array(values)


def main() -> None:
    """Print a table, a row per package."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        regions = {radius: write_region(folder, radius) for radius in RADII}
        pythons = {name: install(folder, name) for name in PROGRAMS}
        print("| package |", " | ".join(f"{radius} mm" for radius in RADII), "| of pyradiomics' 107 values |")
        print("|---" * (len(RADII) + 2) + "|")
        plain: dict[int, tuple[float, np.ndarray]] = {}
        for package, python in pythons.items():
            if python is None:
                continue
            program = folder / f"measure_{package}.py"  # by the package's own name it would be imported in its place
            program.write_text(PROGRAM.format(PROGRAMS[package]))
            cells, same = [], []
            for radius, files in regions.items():
                if not (found := measure(python, program, files)):
                    cells.append("–")
                    continue
                reference = plain.setdefault(radius, found)
                cells.append(f"{found[0] / reference[0]:.2f}")
                near = np.isclose(reference[1][:, None], found[1][None, :], rtol=TOLERANCE, atol=0)
                same.append(int(near.any(axis=1).sum()))
            print(
                f"| {package} |",
                " | ".join(cells),
                "|",
                " to ".join(dict.fromkeys(map(str, sorted(same)))),
                "|",
                flush=True,
            )
        print("CPU seconds as multiples of pyradiomics', which took", end=" ")
        print(", ".join(f"{seconds:.2f} s" for seconds, _ in plain.values()) + ".")


if __name__ == "__main__":
    main()
