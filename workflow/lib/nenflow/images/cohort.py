"""The cases of a cohort, once the images of all its patients are there."""

import pandas as pd

# Types of the counts in cases.csv, which are missing where a case was refused.
COUNTS = dict.fromkeys(("voxels", "components", "cavities"), "Int64") | {"touches_border": "boolean"}


def refuse_other_units(cases: pd.DataFrame) -> pd.DataFrame:
    """Exclude the cases whose unit (HU, SUV) is not that of most cases of their phase: another kind of scan.

    Args:
        cases: cases.csv of all patients of a cohort. Scans of unknown unit (NIfTI, NRRD) are left alone.
    """
    known = cases[cases["status"].eq("included") & cases["unit"].fillna("").ne("")]
    usual = known.groupby("phase")["unit"].agg(lambda units: units.value_counts().index[0])
    wanted = known["phase"].map(usual)
    other = known["unit"] != wanted
    reasons = "its values are in " + known["unit"] + ", those of most patients in this phase in " + wanted
    return cases.assign(
        status=cases["status"].mask(other.reindex(cases.index, fill_value=False), "excluded"),
        reason=cases["reason"].mask(other.reindex(cases.index, fill_value=False), reasons.reindex(cases.index)),
    )
