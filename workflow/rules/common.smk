# What all rules share: the studies, the words that wildcards may be, and functions of them. No rules.
# Snakemake reads this file anew in every cluster job, so what it imports is kept light.
import os
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# Relative, since inputs and outputs are: a project that is moved or copied as a whole has nothing to run again.
WORKFLOW = Path(os.path.relpath(workflow.basedir)) / "workflow"
sys.path.insert(0, f"{workflow.basedir}/workflow/lib")
# A job has one core; ITK would take all of them, and jobs beside each other would wait for one another.
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

from nenflow.application.cohorts import COHORT, check_study, folder_study, study_endpoint
from nenflow.checksums import content_mark
from nenflow.cohort.rows import read_cases
from nenflow.errors import InputError
from nenflow.multiverse.choices import check_multiverse
from nenflow.provenance import Library
from nenflow.published import check_published, read_model
from nenflow.sharing import installed_versions
from nenflow.study import TEMPLATE, check_config, has_images, imports_features, load_study


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
