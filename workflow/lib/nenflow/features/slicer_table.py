"""A patient's features as a table that 3D Slicer opens as a table node, a row for each segment.

Beside table.tsv lies table.schema.tsv, which Slicer looks for by this name: it says that columns are numbers, without
which Slicer takes every cell for text (vtkMRMLTableStorageNode).
"""

import pandas as pd

from nenflow.records import CASE

SEGMENT = "Segment"


def slicer_tables(cases: pd.DataFrame, features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table and its schema.

    Args:
        cases: what became of the patient's cases, as images/<cohort>/cases.csv.
        features: of the patient, as features/<cohort>/<extraction>/<patient>.csv.

    Returns:
        columns Segment (the region, as the segment is called), phase, rater, volume_mm3, mean, and the features, of the
        included cases; and the schema: columnName, type, description.
    """
    measured = cases.loc[cases["status"] == "included", [*CASE, "volume_mm3", "mean"]]
    rows = measured.merge(features, on=CASE).rename(columns={"region": SEGMENT}).drop(columns="patient")
    table = rows[[SEGMENT, *(name for name in rows if name != SEGMENT)]]
    numeric = set(table.select_dtypes("number"))
    described = {SEGMENT: "region", "volume_mm3": "volume of the mask (mm3)", "mean": "mean intensity of the region"}
    schema = pd.DataFrame(
        {
            "columnName": list(table),
            "type": ["double" if name in numeric else "string" for name in table],
            "description": [described.get(name, "") for name in table],
        }
    )
    return table, schema
