"""The statement of deviations: what a study that rebuilds a publication does otherwise."""

from collections.abc import Mapping
from typing import Any


def deviations(study: Mapping[str, Any]) -> list[str]:
    """Sentences, the study's own first, then those that follow from its settings; none where it names no deviation.

    A study without the block `deviations` does not say that it rebuilds a publication, so nothing deviates.
    """
    own = study.get("deviations")
    if own is None:
        return []
    simulated = [name for name, cohort in study["cohorts"].items() if "simulation" in cohort]
    lines = list(own)
    if simulated:
        lines.append("Patients are simulated after the published tables; no data of the publication are used.")
    for name, block in study.get("extractions", {}).items():
        if "parameters" in block and block.get("conformance", "ibsi") == "ibsi":
            lines.append(
                f"Features of “{name}” follow the standard (IBSI); pyradiomics by itself prepares images otherwise, so "
                "values differ from those of a publication that used it."
            )
    if study.get("models") and "evaluation" in study:
        lines.append(
            "Beside the published validation the whole protocol is repeated on resampled patients and on permuted "
            "outcomes."
        )
    if study.get("multiverse"):
        lines.append("Analyses with other choices than the published ones are run beside it (multiverse).")
    return lines
