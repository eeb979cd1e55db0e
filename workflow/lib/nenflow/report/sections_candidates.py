"""The parts of a report that tell of effects on a common scale, and that say so where nothing predicts the outcome."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.page import Printed, Text
from nenflow.report.tables import coded_label
from nenflow.report.wording import count, p_text, ratio_interval, ratio_text

ALPHA = 0.05


def null_blocks(effects: pd.DataFrame | None, variables: Mapping[str, Any], event: str, kind: str) -> list[Any]:
    """The sentences of a null result: that no candidate predicts the event, and which effects the data exclude.

    Args:
        effects: of `models.candidates`.
        variables: the study's variables.
        event: the event's name for readers.
        kind: "hazard" or "odds".

    Returns:
        no block where some candidate has a p under 0.05 after Holm's correction.
    """
    if effects is None or effects.empty or effects["p_holm"].isna().all() or effects["p_holm"].min() < ALPHA:
        return []
    number = effects["term"].nunique()
    words = f"A null result: none of {count(number, 'candidate variable')} predicts “{event}”. Tested one by one, the "
    words += f"smallest p is {p_text(effects['p'].min())}"
    words += f", and {p_text(effects['p_holm'].min())} after Holm's correction for {number}." if number > 1 else "."
    continuous = effects[_continuous(effects, variables)].dropna(subset=["low", "high"])
    if len(continuous):
        words += (
            f" It does not follow that nothing is there: the 95% intervals exclude {kind} ratios "
            f"per standard deviation under {ratio_text(continuous['low'].min())} and over "
            f"{ratio_text(continuous['high'].max())} for every continuous candidate; weaker effects remain possible."
        )
    return [Text(words)]


def candidates_blocks(model: str, effects: pd.DataFrame | None, variables: Mapping[str, Any], kind: str) -> list[Any]:
    """The table of ratios per standard deviation; nothing where no candidate is continuous."""
    if effects is None or effects.empty or not _continuous(effects, variables).any():
        return []
    rows = effects[_continuous(effects, variables)]
    shown = pd.DataFrame(
        {
            "Variable": [coded_label(name, variables, set(effects["variable"])) for name in rows["variable"]],
            "SD": rows["sd"].map(lambda value: f"{value:.3g}"),
            f"{kind.capitalize()} ratio per SD (95% CI)": [
                ratio_interval(row.ratio, row.low, row.high) for row in rows.itertuples()
            ],
            "p": rows["p"].map(p_text),
            "p (Holm)": rows["p_holm"].map(p_text),
        }
    )
    caption = "The continuous candidates, each alone, on a common scale."
    note = "Ratios outside an interval are excluded by the data (95%); those inside it remain possible. p (Holm) is "
    note += f"corrected for all {count(effects['term'].nunique(), 'candidate')}."
    return [Printed(f"candidates_{model}", shown, caption, note, effects)]


def _continuous(effects: pd.DataFrame, variables: Mapping[str, Any]) -> pd.Series:
    """Which rows are of a continuous variable, a feature or score that enters as one number."""
    alone = effects.groupby("term")["variable"].transform("size") == 1
    kinds = effects["variable"].map(lambda name: variables.get(name, {"type": "continuous"})["type"])
    return alone & kinds.eq("continuous") & effects["variable"].eq(effects["term"])
