# How Snakemake plans and runs: what it does another way for large studies, any date, forked jobs. No rules.
import atexit
import gc
import inspect
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from types import SimpleNamespace

import snakemake.dag
from snakemake.common import overwrite_function_params
from snakemake.dag import DAG
from snakemake.io import _IOFile
from snakemake.output_index import OutputIndex
from snakemake.resources import Resource
from snakemake.script import PythonScript

from nenflow import logs
from nenflow.files import remove_parts
from nenflow.forking import AVAILABLE, Parent
from nenflow.sharing import folder_digest

# A plan is made of millions of small objects, of which next to none is garbage: look for it less often.
gc.set_threshold(200_000, 50, 1000)


def share_folders():
    """Let Snakemake take the digest of an input folder, which the key of a shared cache needs; it knows files only."""
    checksum_of_file = _IOFile.checksum

    async def checksum(path, *options, **names):
        return folder_digest(path) if os.path.isdir(path) else await checksum_of_file(path, *options, **names)

    _IOFile.checksum = checksum


if SHARED:
    share_folders()
    os.environ[logs.SHARED] = "yes"  # for the jobs, whose failures for want of memory must not be shared


def allow_any_date():
    """Let a job's input be dated in the future, where its date means nothing; Snakemake would stop the run."""
    check = DAG.check_output_mtime

    async def check_others(dag, job, outputs):
        dated = [file for file in job.input if not file.is_ancient]
        await check(dag, SimpleNamespace(input=dated, rule=job.rule), outputs)

    DAG.check_output_mtime = check_others


allow_any_date()


def fork_jobs():
    """Let scripts be forked off a process that has loaded their libraries, where they run in Snakemake's own Python."""
    parent = Parent()
    atexit.register(parent.close)
    start = PythonScript.execute_script

    def fork(job, script, edit=False):
        if job.conda_env or job.container_img or job.env_modules or job.bench_record or edit:
            return start(job, script, edit)
        if code := parent.run(script, job.resources.get("tmpdir", tempfile.gettempdir())):
            raise subprocess.CalledProcessError(code, [sys.executable, script])

    PythonScript.execute_script = fork


if AVAILABLE:
    fork_jobs()


class EndingIndex(OutputIndex):
    """Finds the rules that may make a file by how its name ends; its start, by which Snakemake looks, all results share."""

    def __init__(self, rules):
        endings = defaultdict(set)
        for known in rules:
            for product in known.products():
                endings[str(product.constant_suffix())].add(known)
        self.always = endings.pop("", set())  # of a product that ends with a wildcard
        self.rules = dict(endings)
        self.lengths = sorted({len(ending) for ending in endings})

    def match(self, targetfile):
        # One look-up for each length: this is asked for every file of a plan.
        found = [self.rules[ending] for length in self.lengths if (ending := targetfile[-length:]) in self.rules]
        return self.always.union(*found)


snakemake.dag.OutputIndex = EndingIndex


def date_results():
    """Date results now that are dated later, by a clock that has been set back; what is made of them would be older."""
    for job in workflow.dag.jobs:
        for file in job.output:
            stamp = os.path.join(file, ".snakemake_timestamp")  # the date of a folder
            stamp = stamp if os.path.exists(stamp) else file
            if os.path.lexists(stamp) and os.lstat(stamp).st_mtime > time.time():
                file.touch()


def remove_leftovers():
    """Remove what killed jobs left beside results: of a run before, or of this one, whose jobs do not run now."""
    remove_parts(file for job in workflow.dag.jobs for file in job.output)


def state_parameters():
    """Let the functions of all rules state their parameters.

    Snakemake asks for them at every job, and finding them out takes longer than most of these functions do.
    """
    functions = [Resource.evaluate]
    for known in workflow.rules:
        items = [getattr(item, "_file", item) for item in (*known.input, *known.params)]
        functions += [getattr(item, "callable", None) or item for item in items]
        functions += [resource._evaluator for resource in known.resources.values()]
    for function in filter(inspect.isfunction, functions):
        overwrite_function_params(function, inspect.signature(function).parameters)
