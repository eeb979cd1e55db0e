"""The results of a study as a research object (RO-Crate), after the profile Process Run Crate."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rocrate.model.contextentity import ContextEntity
from rocrate.model.softwareapplication import SoftwareApplication
from rocrate.rocrate import ROCrate

from nenflow.checksums import file_digest

_VERSION = "1.1"  # of RO-Crate: the one that Process Run Crate builds on
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_FORMATS = {
    ".bib": "application/x-bibtex", ".csv": "text/csv", ".html": "text/html", ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet", ".pdf": "application/pdf", ".png": "image/png",
    ".svg": "image/svg+xml", ".txt": "text/plain", ".yaml": "application/yaml",
}  # fmt: skip
_LICENCE = "Not stated: for the authors of the study to choose."


def describe_results(
    study: Mapping[str, Any],
    run: Mapping[str, Any],
    inputs: pd.DataFrame,
    paths: Iterable[str | Path],
    folder: Path,
    date: str,
) -> dict[str, Any]:
    """What a research object says of a folder of results: its files, what they were made from, and by what.

    It holds no clock: same results, same words. The inputs, which do not leave their folder, are named by what they
    are, with their checksums.

    Args:
        study: the study's settings.
        run: run.json.
        inputs: inputs.csv.
        paths: files, of which each is listed with its checksum; folders, of which the files are listed; folders of
            images, which hold no table to read, as a whole.
        folder: the study's results, from which the files get their names.
        date: the day its settings were last changed, as YYYY-MM-DD.

    Returns:
        the content of ro-crate-metadata.json.
    """
    crate = ROCrate(version=_VERSION)
    data = "simulated data" if run["simulated"] else "patients' data"
    crate.name = study["title"]
    crate.description = f"Results of a radiomics study on {data}, made by nenflow; report/report.html is to be read."
    crate.datePublished = date
    crate.license = _LICENCE
    profile = {"@type": ["CreativeWork", "Profile"], "name": "Process Run Crate", "version": "0.5"}
    crate.root_dataset["conformsTo"] = crate.add(ContextEntity(crate, _PROFILE, profile))
    results = [_add(crate, path, folder) for path in sorted(_files(map(Path, paths)))]
    software = crate.add(SoftwareApplication(crate, "#nenflow", properties=_software(run)))
    objects = [crate.add(_input(crate, row)) for row in inputs.fillna("").to_dict("records")]
    action = {
        "@type": "CreateAction", "name": f"nenflow on the study “{study['title']}”", "instrument": software,
        "object": objects, "result": results, "description": f"Seed {run['seed']}; settings in provenance/study.yaml.",
    }  # fmt: skip
    crate.root_dataset["mentions"] = crate.add(ContextEntity(crate, "#run", action))
    return crate.metadata.generate()


def _files(paths: Iterable[Path]) -> set[Path]:
    """Files and, of folders with tables or documents alone, what is in them; a folder of volumes stands for itself."""
    found = set()
    for path in paths:
        inside = sorted(file for file in path.iterdir() if not file.name.startswith(".")) if path.is_dir() else []
        volumes = any(file.name.endswith(".nii.gz") for file in inside)
        found.update(inside if inside and not volumes else [path])
    return found


def _add(crate: ROCrate, path: Path, folder: Path) -> Any:
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return crate.add_dataset(dest_path=name, properties={"name": name})
    properties = {"name": name, "contentSize": str(path.stat().st_size), "sha256": file_digest(path)}
    if path.suffix in _FORMATS:
        properties["encodingFormat"] = _FORMATS[path.suffix]
    return crate.add_file(path, name, properties=properties)


def _software(run: Mapping[str, Any]) -> dict[str, Any]:
    commit = f", commit {run['commit']}{' with changes' if run['changed'] else ''}" if run["commit"] else ""
    return {
        "name": "nenflow", "softwareVersion": f"{run['nenflow']}{commit}", "sha256": run["code"],
        "description": f"Snakemake workflow, on Python {run['python']}, {run['system']}; packages with their versions "
        "are in provenance/software.csv. The checksum is of its code.",
    }  # fmt: skip


def _input(crate: ROCrate, row: Mapping[str, Any]) -> ContextEntity:
    name = row["input"]
    if row["patient"]:
        name += f" of {row['patient']} in the cohort {row['cohort']}"
    properties = {"@type": "CreativeWork", "name": name, "sha256": row["sha256"]}
    return ContextEntity(crate, f"#{'-'.join(name.split())}", properties)
