"""External validation: the finished model, as its document has it, in a cohort that had no part in it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.evaluation.apparent import published_figures
from nenflow.evaluation.judging import expected_events, judge
from nenflow.evaluation.operating import OperatingPoint, above, acted_on
from nenflow.models.base import is_survival, outcome_strata
from nenflow.models.protocol import scores


def external_figures(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series | pd.DataFrame, acting: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scores of the cohort's units, and how good they are.

    Args:
        protocol: the finished model, from `protocol.from_document`; nothing of it is fitted here.
        X, y: variables and outcome of the cohort, index (patient, region).
        acting: threshold, time and cut_off of the units that the model was made from, see `operating.apparent_rates`.

    Returns:
        the scores as `protocol.scores` gives them, with expected (events) and positive (1 at or above the cut-off); and
        figures (see `judge`) with performance (see `published_figures`).

    Raises:
        InputError: the cohort has only one outcome.
    """
    event = (y["event"] if is_survival(y) else y) == 1
    if not event.any() or (not is_survival(y) and event.all()):
        raise InputError(
            f"In the external cohort {'nobody had' if not event.any() else 'all units have'} the event, so nothing can "
            "be said of the model there; check the endpoint in its table, or take evaluation/external away."
        )
    table = scores(protocol, X, outcome_strata(y) if is_survival(y) else None)
    passed_on = protocol[:-1].transform(X) if len(protocol) > 1 else X
    cut_off = np.nan if acting["cut_off"] is None else acting["cut_off"]
    table["expected"] = expected_events(protocol[-1], passed_on, table, y)
    table["positive"] = above(acted_on(table)[0], cut_off)
    point = OperatingPoint(acting["threshold"], acting["time"])
    return table, plain({"figures": judge(table, y, point), "performance": published_figures(y, table)})
