"""The section of a report that compares every two models of one endpoint on the same units."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.page import Printed, Text
from nenflow.report.wording import count, decimal, event_words, interval, p_text
from nenflow.tables import APPARENT, FOLDS

_PUBLISHED = "published_"
_SCORED = {
    APPARENT: "each as it is; a model of this study is flattered, since it was fitted to these {unit}s",
    FOLDS: "models of this study as the cross-validation makes them without each fold",
}


def rival_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """What one model has over another: a table for each pair, and each kind of predictions."""
    table = results.get("evaluation/comparisons.csv")
    if table is None or table.empty:
        return []
    words = (
        "The same units, the same outcome. A difference over 0 speaks for the second model. Intervals are percentiles "
    )
    words += "of resamples of patients, in which finished models are compared; p is that of DeLong's paired test. Net "
    words += "benefit is given at the share with the event, where acting on all is worth nothing. "
    words += "Net reclassification rises with noise too (Hilden and Gerds 2014): read it beside the others."
    blocks: list[Any] = [Text(words)]
    for (endpoint, predictions, first, second), rows in table.groupby(
        ["endpoint", "predictions", "first", "second"], sort=False
    ):
        names = f"{_named(first)} and {_named(second)}"
        n = count(int(rows["n"].iloc[0]), study["unit"])
        caption = f"{names}: {event_words(study, endpoint)}, {n}, {rows['events'].iloc[0]} with the event; "
        caption += f"{_SCORED[predictions].format(unit=study['unit'])}."
        shown = _shown(rows, first, second)
        blocks.append(Printed(f"comparison_{first}_{second}_{predictions}", shown, caption, full=rows))
    return blocks


def _named(model: str) -> str:
    return f"“{model.removeprefix(_PUBLISHED)}”{' (published)' if model.startswith(_PUBLISHED) else ''}"


def _shown(rows: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    measures = [_measure(row) for row in rows.itertuples()]
    return pd.DataFrame(
        {
            "Measure": measures,
            _named(first): rows["first_value"].map(decimal).tolist(),
            _named(second): rows["second_value"].map(decimal).tolist(),
            "Difference (95% CI)": [interval(row.difference, row.low, row.high) for row in rows.itertuples()],
            "p": rows["p"].map(p_text).tolist(),
        }
    )


def _measure(row: Any) -> str:
    words = row.measure[:1].upper() + row.measure[1:] + (f" at time {row.time:g}" if pd.notna(row.time) else "")
    return f"{words} ({row.at})" if pd.notna(row.at) and row.at != "" else words
