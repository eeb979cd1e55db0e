# What the rules of workflow/rules/images.smk read and depend on: functions of wildcards. No rules.
import os
from pathlib import Path

from nenflow import logs
from nenflow.sharing import Local, newest_times


def patient_cases(wildcards):
    """Params function: the rows of one patient. Not the whole table, so that a new row re-runs its patient only."""
    return checked_cases(wildcards.study, wildcards.cohort)[wildcards.patient]


def patient_files(wildcards):
    """Images (a series' folder, or a file) and segmentations of one patient.

    Without those that are lost by now: the import excludes their cases, and runs again when they are back.
    """
    data = cohort_data(wildcards)
    names = {row[key] for row in patient_cases(wildcards) for key in ("image", "segmentation")}
    files = (os.path.normpath(os.path.join(data, name)) for name in names)
    return ancient(sorted(filter(os.path.exists, files)))  # their times are among the params


def import_job(wildcards):
    """Params function: what importing a patient depends on besides the files; one for all of it, for planning's sake.

    `place` is the folder of the files, and when these were written: a thousand slices as single inputs would make
    planning slow.
    """
    study = STUDIES[wildcards.study]
    written = newest_times(patient_files(wildcards))
    return {
        "cases": patient_cases(wildcards),
        "place": Local({"data": cohort_data(wildcards), "written": written}),
        "settings": study["images"],
        "reference": study["stability"]["readings"]["reference"],
        "strict": study["strict"],
        "tries": noted_tries(wildcards, "images/import_images_{cohort}_{patient}"),
    }


def noted_tries(wildcards, log):
    """How often a job ended without data for want of memory or permission; see logs.note_tries."""
    file = f"logs/{wildcards.study}/{log.format(**wildcards)}.tries"
    return int(Path(file).read_text(encoding="utf-8")) if os.path.exists(file) else 0


def scan_memory(wildcards, attempt):
    """Resources function: MB for a patient's images, by the files of the largest one; more at each attempt.

    Of 126 MB of voxels (67 compressed) an import and an extraction took 700; Snakemake itself takes 150.
    """
    if workflow.local_exec:  # nobody asks, so no slice is looked at
        return 1000
    images = {Path(cohort_data(wildcards)) / row["image"] for row in patient_cases(wildcards)}
    files = [list(path.iterdir()) if path.is_dir() else [path] for path in images]
    sizes = [sum(file.stat().st_size for file in of_image if file.exists()) for of_image in files]
    return int((1000 + 10 * max(sizes) / 1e6) * min(attempt, logs.TRIES))


def number_of_try(wildcards, attempt):
    """Resources function: which try of a job this is. The last only notes that the system stopped those before."""
    return attempt
