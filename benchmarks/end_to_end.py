"""How much of a run is not computing: starting jobs, Snakemake itself, reading and writing.

Run as `python benchmarks/end_to_end.py`. A study of 100 patients with one lesion or two each, scans of 512 x 512 x 60
voxels and 851 features a lesion runs from DICOM files to its report, on two cores. Ten patients are simulated before
anything is measured; each stands for ten, under ten pseudonyms.

Every second of a core that the run takes is counted once:

- start: of a job's Python and what it imports, until its script begins;
- files: inside of those functions of the library that read or write a file;
- computing: the rest of what jobs do (segmented regions, features, statistics, pictures and pages);
- Snakemake: what its own process takes.

The last line printed is the share of all that is not computing. In seconds of cores it does not depend on what else the
machine does; beside it stands what a clock on the wall says, of wall time x cores, which does.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import yaml
from planning import ROOT, Project, write_workflow

CORES = 2
COPIES = 10  # patients that each simulated one stands for
FILES = (
    "joint_digest read_json read_mask read_raster read_records read_table read_tables read_volume "
    "write_json write_nifti write_records write_table write_text"
)
# Put at the end of the module whose `start_log` is the first call of every script.
COUNTING = f"""

_begin_log = start_log


def start_log(path):
    import atexit
    import time

    start, inside, spent = time.process_time(), [], [0.0, 0.0]
    begin = time.perf_counter()

    def timed(function):
        def call(*args, **options):
            if inside:
                return function(*args, **options)
            inside.append(True)
            at = time.process_time(), time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[0] += time.process_time() - at[0]
                spent[1] += time.perf_counter() - at[1]
                inside.clear()

        return call

    def note():
        all_of_it = time.process_time()
        wall = time.perf_counter() - begin - spent[1]
        with open(os.environ["SECONDS"], "a") as file:
            print(Path(sys.argv[0]).stem.split(".", 1)[-1], start, spent[0], all_of_it, wall, file=file)

    for module in [module for name, module in sys.modules.items() if name == "__main__" or name.startswith("nenflow")]:
        for name in {FILES!r}.split():
            if callable(found := getattr(module, name, None)):
                setattr(module, name, timed(found))
    atexit.register(note)
    _begin_log(path)
"""


def write_cohort(folder: Path) -> None:
    """Ten simulated patients, each under ten pseudonyms; copies of files are links."""
    sys.path.insert(0, str(ROOT / "workflow/lib"))
    from nenflow.simulation.cohort import simulate_cohort

    settings = yaml.safe_load((ROOT / "tests/workflow/tiny/simulation.yaml").read_text())
    settings |= {"patients": 10, "lesions": 15}
    settings["variables"]["extrahepatic"]["counts"] = {"no": 8, "yes": 7}
    settings["variables"]["diameter"]["counts"] = {"1-3 cm": 11, "3-5 cm": 4}
    settings["images"] |= {"matrix": 512, "spacings_mm": [0.8], "slices": 60, "slice_thickness_mm": 2.5}
    settings["lesions_mm"]["diameters"] = {"1-3 cm": [13, 30], "3-5 cm": [31, 45]}
    reading = {"repeated": False, "boundary_mm": 0.4, "shift_mm": 0.0}
    settings["segmentations"] = {"rtstruct": 0.5, "repeated": 0, "raters": {"reader1": reading}}
    simulate_cohort(settings, seed=1, folder=folder)
    for copy in range(1, COPIES):
        for patient in [path for path in (folder / "dicom").iterdir() if "-" not in path.name]:
            shutil.copytree(patient, folder / f"dicom/{patient.name}-{copy}", copy_function=os.link)
    for name in ("patients", "lesions", "cases"):
        header, *rows = (folder / f"{name}.csv").read_text(encoding="utf-8-sig").splitlines()
        rows += [again(row, copy) for copy in range(1, COPIES) for row in rows]
        (folder / f"{name}.csv").write_text("\n".join([header, *rows, ""]))


def again(row: str, copy: int) -> str:
    """A row of a table for another pseudonym of the same patient."""
    patient, rest = row.split(",", 1)
    return f"{patient}-{copy},{rest.replace(f'dicom/{patient}/', f'dicom/{patient}-{copy}/')}"


def write_study(folder: Path, data: Path) -> None:
    """A copy of the workflow that counts its seconds, with the study."""
    study = yaml.safe_load((ROOT / "tests/workflow/tiny/study.yaml").read_text())
    for name in ("models", "evaluation", "comparison"):
        del study[name]
    study["cohorts"]["development"] = {name: str(data / f"{name}.csv") for name in ("patients", "lesions", "cases")} | {
        "data": str(data)
    }
    study["images"] = {"minimum_volume_mm3": 500}
    study["extractions"] = {"wavelet": {"parameters": "wavelet.yaml"}}
    study["stability"] = {"readings": {"reference": "reader1"}}
    study["markers"] = {"endpoint": "response", "extraction": "wavelet", "phase": "arterial"}
    parameters = (ROOT / "config/studies/surufatinib/extraction").glob("*.yaml")
    write_workflow(folder, study, {"wavelet.yaml": next(parameters).read_text()})
    with (folder / "workflow/lib/nenflow/logs.py").open("a") as file:
        file.write(COUNTING)


def main() -> None:
    """Print where the seconds went, by rule, and the share that is not computing."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder / "data")
        write_study(folder / "ours", folder / "data")
        project = Project(folder / "ours", folder / "data")
        project.environment["SECONDS"] = str(folder / "seconds")
        begin = time.perf_counter()
        total = project.run("--cores", str(CORES)).seconds
        wall = (time.perf_counter() - begin) * CORES
        rows = [line.split() for line in (folder / "seconds").read_text().splitlines()]
    rules, computed, computed_wall, jobs = defaultdict(lambda: [0, 0.0, 0.0, 0.0]), 0.0, 0.0, 0.0
    for rule, start, files, all_of_it, of_wall in rows:
        start, files, all_of_it = float(start), float(files), float(all_of_it)
        computing = all_of_it - start - files
        rules[rule] = [sum(pair) for pair in zip(rules[rule], (1, start, files, computing), strict=True)]
        computed, computed_wall, jobs = computed + computing, computed_wall + float(of_wall), jobs + all_of_it
    print("| rule | jobs | start, s | files, s | computing, s |")
    print("|---|---|---|---|---|")
    for rule, (count, *seconds) in sorted(rules.items(), key=lambda item: -sum(item[1][1:])):
        print(f"| {rule} | {count} | " + " | ".join(f"{part:.1f}" for part in seconds), "|")
    print(f"| Snakemake | | {total - jobs:.1f} | | |")
    print(f"On the wall, {100 * (1 - computed_wall / wall):.0f} % are not computing.")
    print(f"{1 - computed / total:.2f}")


if __name__ == "__main__":
    main()
