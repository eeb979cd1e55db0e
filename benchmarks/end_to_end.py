"""How much of a run is not computing: starting jobs, Snakemake itself, reading and writing.

Run as `python benchmarks/end_to_end.py`. The surufatinib study with 100 patients instead of 76, and scans of
512 x 512 x 60 voxels, runs from DICOM files to its report, on two cores. Its patients are simulated before anything is
measured.

Every second of a core that the run takes is counted once:

- start: of a job, until its script begins;
- files: inside of those functions of the library that read, parse and unpack a file, or pack and write one, and that
  take the digests of files;
- computing: the rest of what jobs do (checking and rescaling scans, placing and describing regions, features,
  statistics, pictures and pages);
- Snakemake: what its own process takes, and the one that jobs are forked off, which loads the libraries.

The last line printed is the share of all that is not computing, of the seconds of cores that the run takes. Before it
stands the share of wall time x cores, and how much of these a core waits: for the disk, or because one job runs alone.
"""

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import yaml
from planning import ROOT, Project, write_workflow

CORES = 2
STUDY = ROOT / "config/studies/surufatinib"
SCANS = {"matrix": 512, "spacings_mm": [0.8], "slices": 60, "slice_thickness_mm": 2.5}
FILES = (
    "joint_digest read_dicom read_header read_json read_raster read_records read_slice read_table read_tables "
    "write_json write_nifti write_records write_table write_text"
)
# Put at the end of the module whose `start_log` is the first call of every script.
COUNTING = f"""

_begin_log = start_log


def start_log(path):
    import atexit
    import time

    start, inside, spent = time.process_time(), [], [0.0]

    def timed(function):
        def call(*args, **options):
            if inside:
                return function(*args, **options)
            inside.append(True)
            at = time.process_time()
            try:
                return function(*args, **options)
            finally:
                spent[0] += time.process_time() - at
                inside.clear()

        return call

    def note():
        all_of_it = time.process_time()
        with open(os.environ["SECONDS"], "a") as file:
            print(Path(sys.argv[0]).stem.split(".", 1)[-1], start, spent[0], all_of_it, file=file)

    for module in [module for name, module in sys.modules.items() if name == "__main__" or name.startswith("nenflow")]:
        for name in {FILES!r}.split():
            if callable(found := getattr(module, name, None)):
                setattr(module, name, timed(found))
    atexit.register(note)
    _begin_log(path)
"""


def write_study(folder: Path) -> None:
    """A copy of the workflow that counts its seconds, with the study."""
    write_workflow(folder, yaml.safe_load((STUDY / "study.yaml").read_text()), {})
    own = folder / "config/studies/large"
    shutil.copytree(STUDY, own, ignore=shutil.ignore_patterns("study.yaml"), dirs_exist_ok=True)
    simulation = yaml.safe_load((STUDY / "simulation.yaml").read_text())
    simulation["patients"] = 100
    simulation["images"] |= SCANS
    (own / "simulation.yaml").write_text(yaml.safe_dump(simulation, sort_keys=False))
    with (folder / "workflow/lib/nenflow/logs.py").open("a") as file:
        file.write(COUNTING)


def main() -> None:
    """Print where the seconds went, by rule, and the share that is not computing."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder / "ours")
        project = Project(folder / "ours", folder)
        project.environment["SECONDS"] = str(folder / "seconds")
        project.run("--cores", str(CORES), "--until", "simulate_cohort")
        (folder / "seconds").unlink()
        begin = time.perf_counter()
        total = project.run("--cores", str(CORES)).seconds
        wall = (time.perf_counter() - begin) * CORES
        rows = [line.split() for line in (folder / "seconds").read_text().splitlines()]
    rules, computed, jobs = defaultdict(lambda: [0, 0.0, 0.0, 0.0]), 0.0, 0.0
    for rule, *seconds in rows:
        start, files, all_of_it = map(float, seconds)
        computing = all_of_it - start - files
        rules[rule] = [sum(pair) for pair in zip(rules[rule], (1, start, files, computing), strict=True)]
        computed, jobs = computed + computing, jobs + all_of_it
    print("| rule | jobs | start, s | files, s | computing, s |")
    print("|---|---|---|---|---|")
    for rule, (count, *seconds) in sorted(rules.items(), key=lambda item: -sum(item[1][1:])):
        print(f"| {rule} | {count} | " + " | ".join(f"{part:.1f}" for part in seconds), "|")
    print(f"| Snakemake | | {total - jobs:.1f} | | |")
    print(f"{total:.1f} seconds of cores, of which {total - computed:.1f} are not computing.")
    print(f"Of wall time x cores these are {(total - computed) / wall:.1%}; {1 - total / wall:.1%} a core waits.")
    print(f"{1 - computed / total:.3f}")


if __name__ == "__main__":
    main()
