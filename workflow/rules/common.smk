# What all rules share: the studies, the words that wildcards may be, and input functions. No rules.
# Snakemake reads this file anew in every cluster job, so what it imports is kept light.
import atexit
import gc
import inspect
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import snakemake.dag
import yaml
from snakemake.common import overwrite_function_params
from snakemake.dag import DAG
from snakemake.exceptions import WorkflowError
from snakemake.io import _IOFile
from snakemake.output_index import OutputIndex
from snakemake.resources import Resource
from snakemake.script import PythonScript

# A plan is made of millions of small objects, of which next to none is garbage: look for it less often.
gc.set_threshold(200_000, 50, 1000)

# Relative, since inputs and outputs are: a project that is moved or copied as a whole has nothing to run again.
WORKFLOW = Path(os.path.relpath(workflow.basedir)) / "workflow"
sys.path.insert(0, f"{workflow.basedir}/workflow/lib")
# A job has one core; ITK would take all of them, and jobs beside each other would wait for one another.
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

from nenflow import logs
from nenflow.application.cohorts import COHORT, check_study, folder_study, model_needs, study_endpoint
from nenflow.checksums import content_mark
from nenflow.cohort.rows import read_cases
from nenflow.cohort.templates import fitting_files
from nenflow.errors import InputError
from nenflow.files import remove_parts
from nenflow.forking import AVAILABLE, Parent
from nenflow.multiverse.choices import cells, check_multiverse, jobs, read_setting, variants
from nenflow.phases import phases_of
from nenflow.provenance import Library
from nenflow.published import check_published, read_model
from nenflow.sharing import Local, folder_digest, installed_versions, newest_times
from nenflow.study import (
    TEMPLATE,
    check_config,
    endpoint_variables,
    has_images,
    imports_features,
    load_study,
    named_variables,
    repeats_readings,
)


def read_studies():
    """Settings of the studies to run; a mistake in them ends the run with its sentence instead of a traceback."""
    schemas = WORKFLOW / "schemas"
    try:
        check_config(config, schemas)
        if "model" in config:
            return read_application(schemas)
        known = sorted({path.parent.name for path in Path("config/studies").glob("*/study.yaml")} - {TEMPLATE})
        if unknown := sorted(set(config["studies"]) - set(known)):
            raise InputError(f"There is no study {unknown[0]} in config/studies; there are: {', '.join(known)}.")
        folders = {name: Path("config/studies") / name for name in config["studies"]}
        studies = {name: load_study(folder / "study.yaml", schemas) for name, folder in folders.items()}
        for name, folder in folders.items():
            check_published(studies[name], folder, schemas)
            check_multiverse(studies[name], folder, schemas)
        return studies
    except InputError as error:
        raise WorkflowError(str(error)) from None


def read_application(schemas):
    """The one study of a run that applies a model: that of the cohort, or one made up for a folder of new patients."""
    card, accepted = read_model(Path(config["model"]), schemas), config.get("accept", [])
    folder = Path(config["cohort"])
    name, cohort = folder.parent.name, folder.name
    settings = Path("config/studies") / name / "study.yaml"
    # The whole path: a file among the results is taken as it is, and no rule of this run makes it anew.
    APPLICATION.update(card=card, file=str(Path(config["model"]).resolve()), cohort=cohort)
    if len(folder.parts) == 2 and settings.exists() and not folder.is_dir():
        study = load_study(settings, schemas)
        if cohort not in study["cohorts"]:
            raise InputError(f"The study {name} has no cohort {cohort}; it has {', '.join(study['cohorts'])}.")
        extraction = study.get("extractions", {}).get(card.get("features", {}).get("extraction"), {})
        file = settings.parent / extraction["parameters"] if "parameters" in extraction else None
        parameters = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
        check_study(card, study, parameters, accepted)
        APPLICATION.update(endpoint=study_endpoint(card, study))
        return {name: study}
    words = re.sub("[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-")
    name = f"new-{words}"
    APPLICATION.update(cohort=COHORT)
    parameters = Path(f"../../../results/{name}/application/{card['name']}/parameters.yaml")
    study = folder_study(card, folder, parameters, accepted)
    APPLICATION.update(endpoint=next(iter(study["endpoints"].values()), None))
    return {name: study}


APPLICATION = {}  # the model file and the cohort that it is applied to, in a run that does so
STUDIES = read_studies()
IMPORTING = "|".join(name for name in STUDIES if imports_features(STUDIES[name])) or "(?!)"  # none: nothing fits
MEASURING = "|".join(name for name in STUDIES if not imports_features(STUDIES[name])) or "(?!)"
LIBRARY = Library(WORKFLOW / "lib")
VERSION = tomllib.loads((Path(workflow.basedir) / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
DEVELOPMENT = "development"  # the cohort on which models are built; a study has it by its schema

# Whether results of the rules that read images are looked up in, and put into, a cache that studies and users share.
SHARED = workflow.workflow_settings.cache is not None
# What their numbers depend on beside nenflow's code: another version takes nothing from the cache, and runs them anew.
SOFTWARE = installed_versions(
    ["numpy", "scipy", "SimpleITK", "pyradiomics-bhklab", "PyWavelets", "pydicom", "highdicom", "python-gdcm"]
)


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


wildcard_constraints:
    study="[A-Za-z0-9-]+",
    cohort="[A-Za-z0-9-]+",
    patient="[A-Za-z0-9-]+",
    extraction="[A-Za-z0-9-]+(?:_[A-Za-z0-9]+-[0-9.x]+)*",  # with a multiverse also wavelet_binWidth-15
    endpoint="[A-Za-z0-9-]+",
    model="[A-Za-z0-9-]+",
    published="[A-Za-z0-9-]+",
    card="[A-Za-z0-9-]+",
    step="[A-Za-z0-9-]+",
    batch="[0-9]+-[0-9]+",
    cells="[0-9]+-[0-9]+",


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


def library_code(script):
    """Digest of the library modules that a script uses; among a rule's params it re-runs the rule when they change."""
    return LIBRARY.digest(WORKFLOW / "scripts" / script)


def setting(*keys):
    """Params function: the part of the study's settings that the keys lead to; "{model}" stands for the wildcard."""

    def look_up(wildcards):
        part = STUDIES[wildcards.study]
        for key in keys:
            part = part[key.format(**wildcards)]
        return part

    return look_up


def settings(*names):
    """Params function: some blocks of study.yaml. Only those a rule uses, so that other edits do not run it again."""
    return lambda wildcards: {
        name: STUDIES[wildcards.study][name] for name in names if name in STUDIES[wildcards.study]
    }


def table_settings(wildcards):
    """Params function: what a cohort's tables are checked against. No more: an edit elsewhere must not check anew."""
    study = STUDIES[wildcards.study]
    images, extractions = study.get("images", {}), study.get("extractions", {})
    regions = {key: images[key] for key in ("organs", "regions", "analysed", "aggregate") if key in images}
    keys = ("phases", "columns", "segments", "fixed")
    phases = {name: {key: block[key] for key in keys if key in block} for name, block in extractions.items()}
    parts = settings("unit", "cohorts", "variables", "stability", "models", "markers", "components")(wildcards)
    return parts | {"images": regions, "extractions": phases}


@cache
def study_file(study, name):
    """A file named in study.yaml: relative to the study's folder, unless it names an environment variable or a root."""
    expanded = os.path.expandvars(name)
    if "$" in expanded:
        raise WorkflowError(f"study {study} needs the folder that {name} names: set that environment variable.")
    return os.path.normpath(Path("config/studies") / study / expanded)


def is_result(file):
    """Whether a file was made by a job; the others are the user's."""
    return file.startswith("results/")


def undated(function):
    """Input function: the same files, of which the user's have a date that means nothing.

    A clock may be wrong, and an old file may take the place of a newer one: `contents` among the params notices it.
    """

    def mark(files):
        if isinstance(files, dict):
            return {name: mark(file) for name, file in files.items()}
        if isinstance(files, str):
            return files if is_result(files) else ancient(files)
        return [mark(file) for file in files]

    return lambda wildcards: mark(function(wildcards))


def contents(*functions):
    """Params function: what tells one content of the user's files, which the input functions name, from another."""

    def marks(wildcards):
        named = [function(wildcards) for function in functions]
        named = [list(files.values()) if isinstance(files, dict) else files for files in named]
        files = [file for some in named for file in ([some] if isinstance(some, str) else some)]
        return [content_mark(file) for file in files if not is_result(file)]

    return marks


def feature_tables(wildcards):
    """Params function: the user's feature tables of a cohort by extraction, each as its template and its files."""
    return imported_tables(wildcards.study, wildcards.cohort)


def imported_tables(study, cohort):
    """The user's feature tables of a cohort by extraction, each as its template and its files."""
    tables = {}
    for name, block in STUDIES[study].get("extractions", {}).items():
        if "table" in block:
            template = study_file(study, block["table"].replace("{cohort}", cohort))
            files = fitting_files(template)
            if not files:
                raise WorkflowError(f"study {study}: no file fits {block['table']} of the extraction {name}.")
            tables[name] = {"template": template, "files": files}
    return tables


def feature_files(wildcards):
    """The user's feature tables of a cohort: those of one extraction, where the wildcards name it, or all."""
    tables = feature_tables(wildcards)
    names = [wildcards.extraction] if "extraction" in wildcards.keys() else tables
    return [file for name in names for file in tables[name]["files"]]


def cohort_settings(wildcards):
    """What a cohort is simulated from."""
    return study_file(wildcards.study, STUDIES[wildcards.study]["cohorts"][wildcards.cohort]["simulation"])


def tables_to_check(wildcards):
    """The tables of a cohort."""
    return cohort_tables(wildcards.study, wildcards.cohort)


def parameter_files(wildcards):
    """The parameter files of a study's extractions."""
    extractions = STUDIES[wildcards.study].get("extractions", {}).values()
    return [study_file(wildcards.study, block["parameters"]) for block in extractions if "parameters" in block]


def cohort_tables(study, cohort):
    """The user's tables of a cohort, or the simulated ones: patients, and cases, lesions, signoff where there are."""
    settings = STUDIES[study]["cohorts"][cohort]
    tables = {
        name: study_file(study, settings[name])
        for name in ("patients", "lesions", "cases", "signoff")
        if name in settings
    }
    if "simulation" in settings:
        levels = {variable["level"] for variable in STUDIES[study]["variables"].values()}
        names = ["patients"]
        names += ["lesions"] if "lesion" in levels else []
        names += ["cases"] if has_images(STUDIES[study]) else []
        tables |= {name: f"results/{study}/simulation/{cohort}/{name}.csv" for name in names}
    return tables


def cohort_seed(wildcards):
    """Params function: the study's seed; a further simulated cohort has another, or it would be the same patients."""
    seed = STUDIES[wildcards.study]["seed"]
    return seed if wildcards.cohort == DEVELOPMENT else crc32(f"{wildcards.cohort} {seed}".encode())


def cohort_data(wildcards):
    """Params function: the folder that the paths in cases.csv start from; none in a study without images."""
    settings = STUDIES[wildcards.study]["cohorts"][wildcards.cohort]
    if not has_images(STUDIES[wildcards.study]):
        return None
    if "simulation" in settings:
        return f"results/{wildcards.study}/simulation/{wildcards.cohort}"
    return study_file(wildcards.study, settings["data"])


@cache  # an unfinished check raises, so that only what has passed is kept
def checked_cases(study, cohort):
    """Cases of a cohort by patient, once its tables have passed their checks; none in a study without images."""
    if not has_images(STUDIES[study]):
        return {}
    checkpoints.check_cohort.get(study=study, cohort=cohort)
    return read_cases(Path(cohort_tables(study, cohort)["cases"]))


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


def per_patient(pattern):
    """Input function: one file for each patient of a cohort."""

    def files(wildcards):
        return [
            pattern.format(patient=patient, **wildcards) for patient in checked_cases(wildcards.study, wildcards.cohort)
        ]

    return files


def analysis_inputs(wildcards, analysis, cohort=DEVELOPMENT):
    """The tables that the dataset of an analysis (a model, or the markers) is put together from."""
    study, folder = wildcards.study, f"results/{wildcards.study}/cohort/{cohort}"
    tables = {name: f"{folder}/{name}.csv" for name in ("patients", "lesions", "exclusions")}
    tables["cases"] = case_status(wildcards, cohort)
    if measures := measured_variables(study, cohort):
        tables["measures"] = measures
    if "extraction" in analysis:
        tables["features"] = f"results/{study}/features/{cohort}/{analysis['extraction']}.parquet"
    return tables


def measured_variables(study, cohort):
    """The table of the variables that are measured in the images; none in a study without such."""
    measured = any("measured" in variable for variable in STUDIES[study]["variables"].values())
    return f"results/{study}/features/{cohort}/measured_variables.csv" if measured else []


def aggregated_regions(wildcards):
    """Params function: the drawn regions whose features are put together for each patient; None where none are."""
    images = STUDIES[wildcards.study].get("images", {})
    return images["analysed"] if "aggregate" in images else None


def aggregation(wildcards):
    """Params function: how features of a patient's regions are put together; None where a unit is one region."""
    study = STUDIES[wildcards.study]
    if "aggregate" not in study["images"]:
        return None
    reference = study["stability"]["readings"]["reference"]
    return {"pattern": study["images"]["analysed"], "how": study["images"]["aggregate"], "reference": reference}


def case_status(wildcards, cohort):
    """What became of each case; in a study without images the table of cases is empty."""
    stage = "images" if has_images(STUDIES[wildcards.study]) else "cohort"
    return f"results/{wildcards.study}/{stage}/{cohort}/cases.csv"


def readings(wildcards):
    """Params function: raters by role; perturbed readings count as further readings by one rater."""
    stability = STUDIES[wildcards.study].get("stability", {"readings": {}})
    repeats = stability.get("perturbation", {}).get("repeats", 0)
    perturbed = {"perturbation": [f"perturbed-{number}" for number in range(1, repeats + 1)]} if repeats else {}
    return {**stability["readings"], **perturbed}


def own_extraction(name):
    """The study's extraction that one with other settings was made from, or the extraction itself."""
    return name.partition("_")[0]


def own_parameter_file(wildcards):
    """The parameter file of the study's own extraction."""
    block = STUDIES[wildcards.study]["extractions"][own_extraction(wildcards.extraction)]
    return study_file(wildcards.study, block["parameters"])


def exchanged_features(wildcards):
    """The features of the studies' patients for other programs; none of features that were computed elsewhere."""
    return [
        f"results/{study}/features/{cohort}/exchange/{extraction}/{patient}"
        for study, settings in STUDIES.items()
        if has_images(settings)
        for cohort in settings["cohorts"]
        for extraction in settings["extractions"]
        for patient in checked_cases(study, cohort)
    ]


def parameter_file(wildcards):
    """The parameter file of an extraction: the study's own, or one that was derived from it."""
    if wildcards.extraction in STUDIES[wildcards.study]["extractions"]:
        return own_parameter_file(wildcards)
    return f"results/{wildcards.study}/multiverse/{wildcards.extraction}.yaml"


def extraction_job(wildcards):
    """Params function: what extracting a patient's features depends on besides the images; one for planning's sake."""
    return {
        "settings": extraction_settings(wildcards),
        "contents": contents(parameter_file)(wildcards),
        "tries": noted_tries(wildcards, "features/extract_features_{cohort}_{extraction}_{patient}"),
    }


def extraction_settings(wildcards):
    """What extracting depends on besides the parameter file."""
    study = STUDIES[wildcards.study]
    extraction = study["extractions"][own_extraction(wildcards.extraction)]
    perturbed = study["stability"].get("perturbation")
    perturbing = {"reference": study["stability"]["readings"]["reference"], "seed": study["seed"]}
    return {
        "conformance": extraction.get("conformance", "ibsi"),
        "phases": extraction.get("phases"),
        "perturbation": perturbed | perturbing if perturbed else None,
    }


# Models

CHOOSING = {"univariable", "backward", "forward", "logistic", "cox"}  # steps that test variables
STEPS = {
    (study, model): [next(iter(step)) for step in settings["steps"]]
    for study, study_settings in STUDIES.items()
    for model, settings in study_settings.get("models", {}).items()
}


def model_features(wildcards):
    """The feature table that a model is built from; none for a model of clinical variables only."""
    extraction = STUDIES[wildcards.study]["models"][wildcards.model].get("extraction")
    return f"results/{wildcards.study}/features/{DEVELOPMENT}/{extraction}.parquet" if extraction else []


def model_tables(wildcards):
    """What the dataset of a model is put together from."""
    return analysis_inputs(wildcards, STUDIES[wildcards.study]["models"][wildcards.model])


def model_analysis(wildcards):
    """Params function: what a model is about, without the steps that build it."""
    model = STUDIES[wildcards.study]["models"][wildcards.model]
    named = [name for step in model["steps"] for key in step for name in named_variables(key, step[key])]
    keys = ("endpoint", "phase", "features", "clinical", "region", "missing", "imputations")
    cox = next((step["cox"] for step in model["steps"] if "cox" in step), {})
    others = [name for name in dict.fromkeys(named) if name not in [*model["clinical"], cox.get("strata")]]
    times = STUDIES[wildcards.study]["endpoints"][model["endpoint"]].get("times", [])
    own = {key: model[key] for key in keys if key in model} | {key: cox[key] for key in ("strata",) if key in cox}
    return own | {"others": others, "times": times, "cox": {key: cox[key] for key in ("ties", "robust") if key in cox}}


def model_steps(wildcards):
    """Params function: the protocol's steps; a factor comes with the names of its levels."""
    study = STUDIES[wildcards.study]

    def completed(name, options):
        if name == "terms" and "factors" in options:
            levels = {factor: study["variables"][factor]["levels"] for factor in options["factors"]}
            return options | {"factors": levels}
        return options

    steps = study["models"][wildcards.model]["steps"]
    return [{name: completed(name, options) for name, options in step.items()} for step in steps]


def step_options(wildcards):
    """Params function: the options of one step of a protocol."""
    return next(step[wildcards.step] for step in model_steps(wildcards) if wildcards.step in step)


def table_before(wildcards, step):
    """The table that a step works on: the dataset for the first one, what the step before passes on for the others."""
    steps = STEPS[wildcards.study, wildcards.model]
    position = steps.index(step)
    folder = f"results/{wildcards.study}/models/{wildcards.model}"
    return f"{folder}/steps/{steps[position - 1]}.csv" if position else f"{folder}/dataset.csv"


def step_input(wildcards):
    """The table that the job's step works on."""
    return table_before(wildcards, wildcards.step)


def candidate_table(wildcards):
    """The table whose variables are tested one by one: what the first step that chooses among them works on."""
    steps = STEPS[wildcards.study, wildcards.model]
    return table_before(wildcards, next(step for step in steps if step in CHOOSING))


def final_step(ending):
    """Input function: a file of the last step of a protocol, which is the model."""

    def file(wildcards):
        return f"results/{wildcards.study}/models/{wildcards.model}/steps/{STEPS[wildcards.study, wildcards.model][-1]}.{ending}"

    return file


def final_table(wildcards):
    """The table that the last step of a protocol, the model, is fitted to."""
    return table_before(wildcards, STEPS[wildcards.study, wildcards.model][-1])


def terms_step(wildcards):
    """How variables enter the regressions, where a protocol says so."""
    steps = STEPS[wildcards.study, wildcards.model]
    return [f"results/{wildcards.study}/models/{wildcards.model}/steps/terms.json"] if "terms" in steps else []


def model_readings(wildcards):
    """Repeated readings, for protocols with the one step that looks at them."""
    return model_features(wildcards) if "stability" in STEPS[wildcards.study, wildcards.model] else []


def step_readings(wildcards):
    """Repeated readings, for the one step that looks at them."""
    return model_features(wildcards) if wildcards.step == "stability" else []


def published_analysis(wildcards):
    """Params function: what a model taken from print predicts, and whose features it uses."""
    block = STUDIES[wildcards.study]["published"][wildcards.published]
    return {key: block[key] for key in ("endpoint", "extraction", "phase") if key in block}


def published_times(wildcards):
    """Params function: when the endpoint of a model taken from print is judged; none where it comes without time."""
    study = STUDIES[wildcards.study]
    return study["endpoints"][study["published"][wildcards.published]["endpoint"]].get("times", [])


def published_file(wildcards):
    """The file of a model taken from print."""
    return study_file(wildcards.study, STUDIES[wildcards.study]["published"][wildcards.published]["file"])


def model_parameters(wildcards):
    """The parameter file behind a model's features; none for clinical variables, or features made elsewhere."""
    study = STUDIES[wildcards.study]
    extraction = study.get("extractions", {}).get(study["models"][wildcards.model].get("extraction"), {})
    return study_file(wildcards.study, extraction["parameters"]) if "parameters" in extraction else []


def model_extraction(wildcards):
    """Params function: how a model's features were extracted; None for a model of clinical variables only."""
    study = STUDIES[wildcards.study]
    if "extraction" not in (model := study["models"][wildcards.model]):
        return None
    extraction = study["extractions"][model["extraction"]]
    return {"conformance": extraction.get("conformance", "ibsi") if "parameters" in extraction else None}


# Evaluation

CROSS_VALIDATIONS = {"folds", "leave_out", "temporal"}  # keys of the block `evaluation` that leave patients out


def outside_figures(wildcards):
    """Figures of a model in units that it was not fitted to, as far as the study asks for such."""
    folder = f"results/{wildcards.study}/evaluation/{wildcards.model}"
    asked = set(STUDIES[wildcards.study]["evaluation"])
    files = {"crossed": f"{folder}/cross_validation.json"} if CROSS_VALIDATIONS & asked else {}
    return files | ({"external": f"{folder}/external.json"} if "external" in asked else {})


def rivals(study):
    """The models that share their endpoint with another, each with that endpoint; first the study's own."""
    own = {name: model["endpoint"] for name, model in STUDIES[study].get("models", {}).items()}
    printed = {f"published_{name}": block["endpoint"] for name, block in STUDIES[study].get("published", {}).items()}
    endpoints = list((models := own | printed).values())
    return {name: endpoint for name, endpoint in models.items() if endpoints.count(endpoint) > 1}


def crossed_rivals(study):
    """Those of them that a cross-validation by folds has made anew."""
    folds = "folds" in STUDIES[study].get("evaluation", {})
    return [name for name in rivals(study) if folds and name in STUDIES[study].get("models", {})]


def external_tables(wildcards):
    """What the dataset of a model is put together from in the external cohort."""
    study = STUDIES[wildcards.study]
    return analysis_inputs(wildcards, study["models"][wildcards.model], study["evaluation"]["external"])


def external_analysis(wildcards):
    """Params function: what a finished model needs of a patient: it fills missing values where it has learnt how to."""
    analysis = model_analysis(wildcards)
    return analysis | {"missing": "impute" if analysis.get("missing") == "impute" else "complete"}


def evaluation_settings(*keys):
    """Params function: some keys of the block `evaluation`, as far as the study has them."""

    def chosen(wildcards):
        evaluation = STUDIES[wildcards.study]["evaluation"]
        return {key: evaluation[key] for key in keys if key in evaluation}

    return chosen


def batches(study, what):
    """Names of the jobs that resamples (or permutations) are spread over, by their numbers: "0-99", "100-199", ...

    A job depends on its own numbers only, so that more of them add jobs and repeat none.
    """
    evaluation = STUDIES[study]["evaluation"]
    size = evaluation[f"{what}_per_job"]
    return [f"{first}-{first + size - 1}" for first in range(0, evaluation[what], size)]


def marker_analysis(wildcards):
    """Params function: what the single features are of, without what is done with them."""
    markers = STUDIES[wildcards.study]["markers"]
    return {key: markers[key] for key in ("endpoint", "phase", "region") if key in markers}


def component_analysis(wildcards):
    """Params function: what principal components are of."""
    components = STUDIES[wildcards.study]["components"]
    return {key: components[key] for key in ("endpoint", "phase")}


def component_tables(wildcards):
    """What the dataset of the principal components is put together from."""
    return analysis_inputs(wildcards, STUDIES[wildcards.study]["components"])


def marker_growth(wildcards):
    """Params function: how a synthetic cohort of the single features is grown."""
    study = STUDIES[wildcards.study]
    settings, event = study["markers"]["synthetic"], study["endpoints"][study["markers"]["endpoint"]]["event"]
    counts = {int(level == event): count for level, count in settings["counts"].items()}
    neighbours = settings.get("neighbours", 5)
    return {"counts": counts, "method": settings["method"], "neighbours": neighbours, "seed": study["seed"]}


def marker_features(wildcards):
    """Params function: the single features that the report prints; none where it prints the best."""
    return STUDIES[wildcards.study]["markers"].get("features", [])


def marker_phases(wildcards):
    """Params function: the phases of the single features."""
    return phases_of(STUDIES[wildcards.study]["markers"]["phase"])


def followed_endpoint(wildcards):
    """Params function: the time-to-event endpoint by which single features are followed up."""
    study = STUDIES[wildcards.study]
    return study["endpoints"][study["markers"]["survival"]]


def t_test(wildcards):
    """Params function: the t test of group comparisons."""
    return STUDIES[wildcards.study].get("comparison", {}).get("t_test", "welch")


def marker_tables(wildcards):
    """What the dataset of the single features is put together from."""
    return analysis_inputs(wildcards, STUDIES[wildcards.study]["markers"])


# Application


def application(file):
    """Input function: a result of applying the model that the command line names."""

    def path(wildcards):
        if not APPLICATION:
            raise WorkflowError(
                "Say which model and whom: snakemake apply --config model=results/pnec/models/nomogram/card.json "
                "cohort=/data/new-patients (or <study>/<cohort>)."
            )
        if APPLICATION["endpoint"] is None and file.startswith("validation"):
            raise WorkflowError(
                "The tables of the cohort lack the outcome, so that the model cannot be validated there; add its "
                "columns, as the model file names them under endpoint, or run snakemake apply."
            )
        return f"results/{next(iter(STUDIES))}/application/{APPLICATION['card']['name']}/{file}"

    return path


def applied_model(wildcards):
    """The model file that is applied."""
    return APPLICATION["file"]


def application_tables(wildcards):
    """What the inputs of a model are put together from in the cohort that it is applied to."""
    needs, cohort = model_needs(APPLICATION["card"]), APPLICATION["cohort"]
    tables = analysis_inputs(wildcards, needs, cohort)
    del tables["exclusions"]  # which describes a cohort of a study; here the model lists its own
    if "extraction" in needs:
        tables["failures"] = f"results/{wildcards.study}/features/{cohort}/{needs['extraction']}_failures.csv"
    return tables


# Multiverse


@cache
def own_setting(study, extraction):
    """The settings in the parameter file of a study's own extraction."""
    file = STUDIES[study]["extractions"][extraction]["parameters"]
    return read_setting(Path(study_file(study, file)))


def model_variants(study, model):
    """The extractions of a model's multiverse: all varied settings by the extraction's name."""
    extraction = STUDIES[study]["models"][model].get("extraction")
    if "extraction" not in (listed := STUDIES[study]["multiverse"][model]):
        return {extraction: {}}
    return variants(extraction, listed["extraction"], own_setting(study, extraction))


def variant_settings(study):
    """The extractions of all multiverses of a study."""
    return {
        name: chosen for model in STUDIES[study]["multiverse"] for name, chosen in model_variants(study, model).items()
    }


def multiverse_jobs(wildcards):
    """The cells of a model's multiverse by job."""
    listed = STUDIES[wildcards.study]["multiverse"][wildcards.model].get("steps", {})
    return jobs(cells(model_steps(wildcards), listed, model_variants(wildcards.study, wildcards.model)))


def cell_extraction(wildcards):
    """The extraction whose features a job's cells use; None for a model of clinical variables only."""
    return multiverse_jobs(wildcards)[wildcards.cells][0]["extraction"]


def cell_dataset(wildcards):
    """The dataset of a job's cells: the model's own, or that of an extraction with other settings."""
    folder, extraction = f"results/{wildcards.study}", cell_extraction(wildcards)
    if extraction == STUDIES[wildcards.study]["models"][wildcards.model].get("extraction"):
        return f"{folder}/models/{wildcards.model}/dataset.csv"
    return f"{folder}/multiverse/{wildcards.model}/datasets/{extraction}.csv"


def cell_readings(wildcards):
    """Repeated readings of a job's cells, for protocols with the one step that looks at them."""
    if "stability" not in STEPS[wildcards.study, wildcards.model]:
        return []
    return f"results/{wildcards.study}/features/{DEVELOPMENT}/{cell_extraction(wildcards)}.parquet"


def variant_tables(wildcards):
    """What the dataset of an extraction with other settings is put together from."""
    model = STUDIES[wildcards.study]["models"][wildcards.model]
    return analysis_inputs(wildcards, model | {"extraction": wildcards.extraction})


# Report


def pages(study):
    """The pages of a study: its report, and the gallery where there are images; of a run that applies a model its own."""
    if APPLICATION:
        folder = Path(f"results/{study}/application/{APPLICATION['card']['name']}")
        return [str(page) for page in (folder / "predictions.html", folder / "validation.html") if page.exists()]
    names = ["report", "gallery"] if has_images(STUDIES[study]) else ["report"]
    return expand("results/{study}/report/{page}.html", study=study, page=names)


def exports(study):
    """The models of a study for other programs."""
    models = STUDIES[study].get("models", {})
    forms = [form for model in models for form in (model, f"{model}/shrunken")]
    forms += [f"published_{name}" for name in STUDIES[study].get("published", {})]
    files = expand(
        "results/{study}/models/{form}/{name}", study=study, form=forms, name=["coefficients.csv", "predict.R"]
    )
    cards = expand("results/{study}/models/{model}/card.{form}", study=study, model=models, form=["json", "md"])
    return [*files, *cards]


def report_inputs(wildcards):
    """All results that the page shows; a study without models or markers has none of theirs."""
    study = STUDIES[wildcards.study]
    cohorts = list(study["cohorts"])
    described = ["flow.csv", "exclusions.csv", "table_one.csv", "comparisons", "missing.csv", "notes.json"]
    described.append("lost_regions.csv")
    files = expand("cohort/{cohort}/{name}", cohort=cohorts, name=described)
    files += expand("cohort/{cohort}/signoff.csv", cohort=cohorts)
    if measured_variables(wildcards.study, DEVELOPMENT):
        names = ["measured_variables", "measured_left_out"]
        files += expand("features/{cohort}/{name}.csv", cohort=cohorts, name=names)
    if has_images(study):
        files += expand("images/{cohort}/{name}.csv", cohort=cohorts, name=["cases", "readings"])
        files.append("features/conformance.csv")
    if imports_features(study):
        files += expand("features/{cohort}/{extraction}_software.csv", cohort=cohorts, extraction=study["extractions"])
    if repeats_readings(study):
        files += expand("stability/{cohort}/{extraction}.csv", cohort=DEVELOPMENT, extraction=study["extractions"])
    for model, settings in study.get("models", {}).items():
        names = [
            "flow.csv",
            "exclusions.csv",
            "scores.csv",
            "model.json",
            "univariable.csv",
            "candidates.csv",
            "multivariable.csv",
            "card.json",
            "nomogram.json",
            "points.csv",
            "assumptions.csv",
            "subdistribution.csv",
        ]
        files += expand("models/{model}/{name}", model=model, name=names)
        files += expand("models/{model}/steps/{step}.json", model=model, step=STEPS[wildcards.study, model])
        files += expand(
            "models/{model}/shrunken/{name}", model=model, name=["model.json", "nomogram.json", "points.csv"]
        )
        if "score" in settings:
            files += expand("models/{model}/{name}", model=model, name=["score.json", "strata.csv"])
        names = ["performance.json", "roc.csv", "validation.json", "chance.json", "permutations.csv", "calibration.csv"]
        names += ["calibration_groups.csv"]
        names += ["decision_corrected.csv", "comparison.csv", "sample_size.csv"]
        names += ["schemes.csv", "schemes_selection.csv"]
        if CROSS_VALIDATIONS & set(study["evaluation"]):
            names += ["cross_validation.json", "cross_validation_decision.csv"]
        if "external" in study["evaluation"]:
            names += ["external.json", "external_flow.csv", "external_exclusions.csv", "external_scores.csv"]
            names += ["external_calibration.csv", "external_calibration_groups.csv"]
        files += expand("evaluation/{model}/{name}", model=model, name=names)
    if rivals(wildcards.study):
        files.append("evaluation/comparisons.csv")
    files += expand("multiverse/{model}/cells.csv", model=study.get("multiverse", []))
    for published in study.get("published", {}):
        names = ["model.json", "scores.csv", "nomogram.json", "points.csv"]
        files += expand("models/published_{name}/{file}", name=published, file=names)
        names = ["performance.json", "calibration.csv", "calibration_groups.csv"]
        files += expand("evaluation/published_{name}/{file}", name=published, file=names)
    names = ["curves", "summary", "tests", "effects", "cutpoints", "incidence"]
    files += expand("evaluation/survival_{endpoint}/{name}.csv", endpoint=study.get("survival", []), name=names)
    if "components" in study:
        names = ["components.json", "components_variance.csv", "components_scores.csv", "components_effects.csv"]
        files += [f"evaluation/{name}" for name in names]
    if "markers" in study:
        files += ["evaluation/markers.csv", "evaluation/markers_flow.csv"]
        files += marker_files(study["markers"])
    return [f"results/{wildcards.study}/{name}" for name in files]


def input_tables(wildcards):
    """Params function: files of the tables and settings that a study is made from, by what they are.

    Of a simulated cohort that is what it is drawn from, not the tables that come of it.
    """
    name, study = wildcards.study, STUDIES[wildcards.study]
    files = {"settings of the study": [f"config/studies/{name}/study.yaml"]}
    for cohort, block in study["cohorts"].items():
        for key in ("simulation", "patients", "lesions", "cases", "signoff"):
            if key in block:
                files[f"{key} of the cohort {cohort}"] = [study_file(name, block[key])]
        for extraction, table in imported_tables(name, cohort).items():
            files[f"features {extraction} of the cohort {cohort}"] = table["files"]
    for extraction, block in study.get("extractions", {}).items():
        if "parameters" in block:
            files[f"parameters of the extraction {extraction}"] = [study_file(name, block["parameters"])]
    for published, block in study.get("published", {}).items():
        files[f"published model {published}"] = [study_file(name, block["file"])]
    return files


def input_files(wildcards):
    """All of these files."""
    return [file for files in input_tables(wildcards).values() for file in files]


def study_settings(wildcards):
    """The settings of a study."""
    return f"config/studies/{wildcards.study}/study.yaml"


def finished_studies(wildcards):
    """Params function: the studies that run, and those whose results lie beside theirs."""
    others = {path.parts[1] for path in Path("results").glob("*/provenance/run.json")}
    return sorted(others | set(STUDIES))


def marker_files(markers):
    """What there is of single features beside their ratings."""
    files = []
    if "synthetic" in markers:
        files += ["evaluation/markers_synthetic.csv", "evaluation/markers_synthetic.json"]
        files += ["evaluation/markers_chance.csv"] if "permutations" in markers["synthetic"] else []
    if "survival" in markers:
        files += expand("evaluation/markers_survival/{name}.csv", name=["curves", "summary", "tests"])
    return files


def gallery_tables(wildcards):
    """What became of the cases of all cohorts, how raters agree, and what people decided."""
    tables = ["images/{cohort}/cases.csv", "images/{cohort}/readings.csv", "cohort/{cohort}/signoff.csv"]
    return [
        f"results/{wildcards.study}/{table.format(cohort=cohort)}"
        for cohort in STUDIES[wildcards.study]["cohorts"]
        for table in tables
    ]


def extraction_parameters(wildcards):
    """Params function: what the parameter file of each extraction says."""
    extractions = STUDIES[wildcards.study].get("extractions", {})
    files = {
        name: Path(study_file(wildcards.study, block["parameters"]))
        for name, block in extractions.items()
        if "parameters" in block
    }
    return {name: yaml.safe_load(file.read_text(encoding="utf-8")) for name, file in files.items()}


def reporting_lists(wildcards):
    """The references and checklists that the library reads beside its code; a change in them writes reports anew."""
    folder = WORKFLOW / "lib/nenflow/report"
    return [str(folder / "references.yaml"), *map(str, sorted(folder.glob("checklists/*.yaml")))]


def report_pictures(wildcards):
    """The folders of the images stage, for the pictures of their cases."""
    study = wildcards.study
    return [
        f"results/{study}/images/{cohort}/{patient}"
        for cohort in STUDIES[study]["cohorts"]
        for patient in checked_cases(study, cohort)
    ]
