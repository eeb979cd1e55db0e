"""What tests of simulated cohorts share: the settings of studies, changed settings, and whether files are the same."""

import copy
import hashlib

import yaml

from projects import ROOT

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/simulation.schema.yaml").read_text(encoding="utf-8"))
# Published margins of the everolimus study: ../shared/studies, everolimus.
EVEROLIMUS_MARGINS = {
    "primary": {"pancreatic": 15, "ileal": 9, "lung": 1},
    "grade": {"G1": 5, "G2": 19, "G3": 1},
    "progression": {"<=11 months": 10, ">11 months": 15},
    "death": {"yes": 19, "no": 6},
}


def shipped(study):
    """The settings of a cohort that comes with nenflow."""
    return yaml.safe_load((ROOT / "config/studies" / study / "simulation.yaml").read_text(encoding="utf-8"))


def changed(settings, *path, value):
    """Settings with another value at the place that the path leads to."""
    settings = copy.deepcopy(settings)
    part = settings
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return settings


def digests(folder, pattern):
    """Digest of each file in a folder whose name fits, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    }
