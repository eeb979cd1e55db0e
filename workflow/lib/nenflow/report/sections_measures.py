"""The parts of a report that tell what was measured in the images, and which regions a patient's values lack."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.page import Printed, Text
from nenflow.report.wording import count, listed, of_cohort

_MEASURES = {
    "volume": "Volume (mL), summed",
    "mean": "Mean of all voxels",
    "maximum": "Maximum",
    "peak": "Peak (mean of the hottest sphere of 1 mL)",
}
_AGGREGATED = {
    "largest": "those of the largest",
    "mean": "the mean of all of them",
    "volume-weighted": "their mean, weighted by volume",
}
_SHOWN = 50  # rows of a table of regions


def measured_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """Which variables were measured in the images, of which regions, and for how many patients; else nothing."""
    blocks: list[Any] = []
    for cohort in study["cohorts"]:
        table = results.get(f"features/{cohort}/measured_variables.csv")
        lost = results.get(f"features/{cohort}/measured_left_out.csv")
        if table is None or lost is None:
            continue
        rows = [_measured_row(study["variables"][name], table[name]) for name in table.columns[1:]]
        note = "A patient in whose scan no such region was drawn has a volume of 0 and no other measure."
        note += f" {_lost_words(lost)}"
        caption = f"Measured in the images, not read from a table{of_cohort(study, cohort)}."
        blocks.append(Printed(f"measured_{cohort}", pd.DataFrame(rows), caption, note, table))
        if len(lost):
            caption = f"Excluded regions, which do not count in measured variables{of_cohort(study, cohort)}."
            blocks.append(_regions_table(f"measured_left_out_{cohort}", lost, caption, study))
    return blocks


def _measured_row(variable: Mapping[str, Any], values: pd.Series) -> dict[str, str]:
    rule = variable["measured"]
    return {
        "Variable": variable["label"],
        "Measure": _MEASURES[rule["measure"]],
        "Regions": rule["of"],
        "Phase": rule["phase"],
        "Patients with a value": f"{values.notna().sum()} of {len(values)}",
        "Of these 0": str((values == 0).sum()) if rule["measure"] == "volume" else "",
    }


def _lost_words(lost: pd.DataFrame) -> str:
    regions = lost.drop_duplicates(["patient", "phase", "region"])
    if regions.empty:
        return "No region of these was refused or excluded."
    patients = count(regions["patient"].nunique(), "patient")
    words = (
        f"{count(len(regions), 'region')} of {patients} {'was' if len(regions) == 1 else 'were'} refused or excluded"
    )
    return f"{words} and {'does' if len(regions) == 1 else 'do'} not count; a patient without any other has no value."


def lost_region_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """How the features of a patient's regions were put together, and which regions they lack; else nothing."""
    images = study.get("images", {})
    if "aggregate" not in images:
        return []
    words = f"A patient's features are {_AGGREGATED[images['aggregate']]} of its regions {images['analysed']}"
    blocks: list[Any] = [Text(f"{words}; who has none of them that can be used is left out of models of features.")]
    for cohort in study["cohorts"]:
        lost = results.get(f"cohort/{cohort}/lost_regions.csv")
        if lost is not None and len(lost):
            patients = count(lost["patient"].nunique(), "patient")
            caption = f"Regions that could not be used, of {patients}{of_cohort(study, cohort)}."
            blocks.append(_regions_table(f"lost_regions_{cohort}", lost, caption, study))
    return blocks


def _regions_table(name: str, regions: pd.DataFrame, caption: str, study: Mapping[str, Any]) -> Printed:
    keys = ["patient", "phase", "region"]
    table = regions
    if "variable" in regions:  # a region stands once, with all variables that lack it
        labels = regions["variable"].map(lambda name: study["variables"][name]["label"])
        grouped = regions.assign(variable=labels).groupby([*keys, "reason"], sort=False)["variable"]
        table = grouped.agg(lambda names: listed(list(names))).reset_index()
    shown = table.head(_SHOWN).rename(columns=str.capitalize)
    more = f" Shown: {_SHOWN} of {len(table):,}; all in tables/{name}.csv." if len(table) > _SHOWN else ""
    return Printed(name, shown, f"{caption}{more}", full=regions)
