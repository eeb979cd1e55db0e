"""What extraction costs, beside pyradiomics on the same files, with the same bits.

Run as `python benchmarks/extraction.py` (twelve minutes). Simulated scans of 512 x 512 pixels with balls for
lesions, an ellipsoid for a liver, in the files of a patient's folder. Each program is a process of its own with one
thread: the `pyradiomics` command over a list of the regions, its library (as it is, and with its `preCrop`), and
nenflow's job. All take turns; times are CPU seconds, the least of two. The first table is of measuring alone: programs
are started and files read apart. The second is of whole commands, as a user waits for them.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

PARAMETERS = ROOT / "config" / "studies" / "surufatinib" / "extraction" / "wavelet.yaml"  # 851 features
PIXEL = 0.7421875  # mm, a field of view of 380 mm in 512 pixels
PATIENT = "P001"
ROUNDS = 2  # a machine may be slower for minutes
LIVER = (95.0, 75.0, 50.0)  # half axes of an ellipsoid of 1.5 litres, mm
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1"
)


class Case(NamedTuple):
    """What is measured: slice distance (mm), slices, half axes of each region (mm), phases."""

    name: str
    distance: float
    slices: int
    regions: list[tuple[float, float, float]]
    phases: list[str]
    wavelet: bool = True


def lesions(distance: float, slices: int, radius: float, count: int = 1) -> Case:
    """A case of some balls of one size in one scan."""
    name = f"{count} of {radius:g} mm" if count > 1 else f"{radius:g} mm"
    return Case(name, distance, slices, [(radius,) * 3] * count, ["portal"])


CASES = [
    lesions(5.0, 60, 8),
    lesions(5.0, 60, 15),
    lesions(1.25, 240, 8),
    lesions(1.25, 240, 15),
    lesions(1.25, 240, 15, 3),
    Case("whole liver, two phases", 1.25, 240, [LIVER], ["arterial", "portal"], wavelet=False),
]


def write_case(folder: Path, case: Case) -> None:
    """Write a patient's folder as the images stage does, and the list of its regions that pyradiomics reads."""
    rng, z, y, x = np.random.default_rng(1), *np.ogrid[: case.slices, :512, :512]
    rows, batch = [], []
    for phase in case.phases:
        image = sitk.GetImageFromArray(rng.normal(60, 25, (case.slices, 512, 512)).astype(np.int16))
        image.SetSpacing((PIXEL, PIXEL, case.distance))
        sitk.WriteImage(image, folder / f"{phase}.nii.gz")
        for number, (a, b, c) in enumerate(case.regions, 1):
            from_centre = (
                ((x - 230) * PIXEL + 60 * (number - 1)) / a,
                (y - 260) * PIXEL / b,
                (z - case.slices / 2) * case.distance / c,
            )
            mask = sitk.GetImageFromArray((sum(along**2 for along in from_centre) <= 1).astype(np.uint8))
            mask.CopyInformation(image)
            sitk.WriteImage(mask, folder / f"{phase}_lesion{number}_reader1.nii.gz")
            rows.append([PATIENT, phase, f"lesion{number}", "reader1", "drawn", "included", ""])
            batch.append([folder / f"{phase}.nii.gz", folder / f"{phase}_lesion{number}_reader1.nii.gz"])
    write_rows(folder / "cases.csv", ["patient", "phase", "region", "rater", "role", "status", "reason"], rows)
    write_rows(folder / "batch.csv", ["Image", "Mask"], batch)
    parameters = yaml.safe_load(PARAMETERS.read_text())
    if not case.wavelet:
        parameters["imageType"] = {"Original": {}}
    (folder / "parameters.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))


def write_rows(path: Path, header: list[str], rows: list[list]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


# ---- in a process of its own


def measure_alone(folder: Path, tool: str) -> None:
    """Print the CPU seconds of measuring a folder's regions, and their features, as JSON."""
    import pandas as pd  # noqa: F401  which `extract` loads where nobody has; the workflow's jobs do without
    from radiomics.featureextractor import RadiomicsFeatureExtractor

    from nenflow.features.extraction import extract, read_parameters

    parameters = read_parameters(folder / "parameters.yaml")
    if tool == "preCrop":
        parameters["setting"]["preCrop"] = True

    def plain(image: sitk.Image, mask: sitk.Image) -> dict:
        return RadiomicsFeatureExtractor(parameters, additionalInfo=False).execute(image, mask)

    def ours(image: sitk.Image, mask: sitk.Image) -> dict:
        return extract(image, mask, parameters, "slicer")

    compute, seconds, features = (ours if tool == "nenflow" else plain), 0.0, []
    with (folder / "batch.csv").open() as file:
        for row in csv.DictReader(file):
            image, mask = sitk.ReadImage(row["Image"]), sitk.ReadImage(row["Mask"])
            start = time.process_time()
            found = compute(image, mask)
            seconds += time.process_time() - start
            features.append({name: float(value) for name, value in found.items()})
    print(json.dumps({"seconds": seconds, "features": features}))


def run_job(folder: Path) -> None:
    """What nenflow's job does with a patient's folder."""
    from nenflow.features.extraction import extract_patient, read_parameters
    from nenflow.records import CASE, write_records

    features, failures = extract_patient(folder, read_parameters(folder / "parameters.yaml"), "slicer")
    write_records(features, folder / "features.csv", columns=CASE)
    write_records(failures, folder / "failures.csv", columns=[*CASE, "reason"])


# ---- the comparison


def run(command: list) -> tuple[float, float, str]:
    """CPU seconds and peak memory (MiB) of a command, and what it printed."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.DEVNULL, env=os.environ | ONE_THREAD
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"A command of the benchmark failed: {' '.join(map(str, command))}")
        output.seek(0)
        return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output.read().decode()


def compare(case: Case, folder: Path) -> tuple[list, list]:
    """A row of each table."""
    this, python = Path(__file__).resolve(), sys.executable
    command = [Path(python).parent / "pyradiomics", folder / "batch.csv", "--param", folder / "parameters.yaml"]

    def alone(tool: str) -> tuple[float, list[dict]]:
        found = json.loads(run([python, this, "alone", tool, folder])[2])
        return found["seconds"], found["features"]

    measures = {
        **{tool: partial(alone, tool) for tool in ("pyradiomics", "preCrop", "nenflow")},
        "command": partial(run, [*command, "--format", "csv", "--out", folder / "theirs.csv"]),
        "job": partial(run, [python, this, "job", folder]),
    }
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(ROUNDS)]
    best = {name: min((results[name] for results in rounds), key=lambda result: result[0]) for name in measures}
    plain, cropped, ours = (best[tool] for tool in ("pyradiomics", "preCrop", "nenflow"))
    values = [(number, name, value) for number, row in enumerate(plain[1]) for name, value in row.items()]
    same = sum(ours[1][number][name] == value for number, name, value in values)
    theirs, job = best["command"], best["job"]
    what = [f"{case.distance:g}", case.name]
    measuring = [*what, plain[0], cropped[0], ours[0], plain[0] / ours[0], f"{same} of {len(values)}"]
    memory = [f"{theirs[1]:.0f}", f"{job[1]:.0f}"]
    whole = [*what, theirs[0], job[0], theirs[0] / job[0], *memory, f"{60 * len(plain[1]) / job[0]:.0f}"]
    return measuring, whole


def table(header: list[str], rows: list[list]) -> None:
    """Print a table in Markdown."""
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(cell if isinstance(cell, str) else f"{cell:.2f}" for cell in row) + " |")
    print()


def main() -> None:
    """Print the tables."""
    measuring, whole = [], []
    for number, case in enumerate(CASES):
        with tempfile.TemporaryDirectory() as folder:
            # Not in this process: a process counts what its parent took before as its own peak of memory.
            run([sys.executable, Path(__file__).resolve(), "write", number, folder])
            rows = compare(case, Path(folder))
        measuring.append(rows[0])
        whole.append(rows[1])
    case = ["slices, mm", "region"]
    seconds = ["pyradiomics, s", "with preCrop, s", "nenflow, s"]
    table([*case, *seconds, "times faster", "values identical"], measuring)
    memory = ["MiB, pyradiomics", "MiB, nenflow"]
    table([*case, "pyradiomics, s", "nenflow, s", "times faster", *memory, "regions a minute, nenflow"], whole)
    started = [run([sys.executable, Path(__file__).resolve(), "start", name])[0] for name in ("pyradiomics", "nenflow")]
    print(f"Of the second table, pyradiomics needs {started[0]:.2f} s to start and nenflow {started[1]:.2f} s.")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", number, folder]:
            write_case(Path(folder), CASES[int(number)])
        case ["alone", tool, folder]:
            measure_alone(Path(folder), tool)
        case ["job", folder]:
            run_job(Path(folder))
        case ["start", "pyradiomics"]:
            import radiomics.featureextractor  # noqa: F401
        case ["start", "nenflow"]:
            import nenflow.features.extraction  # noqa: F401
        case _:
            main()
