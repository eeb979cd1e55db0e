"""The parts of a report that tell of effects on a common scale, and that say so where nothing predicts the outcome."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.page import Printed, Text
from nenflow.report.tables import coded_label
from nenflow.report.wording import count, p_text, ratio_interval, ratio_text

ALPHA = 0.05


def null_words(nothing: str, p: pd.Series, p_holm: pd.Series, excluded: str = "") -> str:
    """A null result in two sentences: that nothing was found, and that this does not mean that nothing is there.

    Args:
        nothing: what was not found, such as "none of 3 comparisons shows a difference".
        p, p_holm: of what was tested, before and after correction for their number.
        excluded: which effects can be excluded all the same.
    """
    words = f"A null result: {nothing} ({_smallest(p, p_holm)})."
    return f"{words} It does not follow that nothing is there: {excluded}." if excluded else words


def null_blocks(
    effects: pd.DataFrame | None, variables: Mapping[str, Any], event: str, kind: str, honest: str = ""
) -> list[Any]:
    """What is to be said where no candidate by itself predicts the event, and which effects the data exclude.

    Several weak variables may tell together what none of them tells by itself. Where the model of them stays better
    than chance when everything is repeated, this is no null result.

    Args:
        effects: of `models.candidates`.
        variables: the study's variables.
        event: the event's name for readers.
        kind: "hazard" or "odds".
        honest: the corrected figure of the model, "the AUC of the death model is 0.807 (0.553–1.000)", where its
            interval excludes chance.

    Returns:
        no block where some candidate has a p under 0.05 after Holm's correction.
    """
    if effects is None or effects.empty or effects["p_holm"].isna().all() or effects["p_holm"].min() < ALPHA:
        return []
    number = effects["term"].nunique()
    several = f"none of {number} candidate variables predicts"
    nothing = f"{several if number > 1 else 'the only candidate variable does not predict'} “{event}”"
    if honest:
        words = f"{nothing[:1].upper()}{nothing[1:]} by itself ({_smallest(effects['p'], effects['p_holm'])}). The "
        words += (
            f"model still does better than chance: when the whole analysis is repeated on resampled patients, {honest}"
        )
        return [Text(f"{words}{', though which variables carry it cannot be said' if number > 1 else ''}.")]
    continuous = effects[_continuous(effects, variables)].dropna(subset=["low", "high"])
    excluded = (
        f"the 95% intervals exclude {kind} ratios per standard deviation under "
        f"{ratio_text(continuous['low'].min())} and over {ratio_text(continuous['high'].max())} for every continuous "
        "candidate; weaker effects remain possible"
    )
    return [Text(null_words(nothing, effects["p"], effects["p_holm"], excluded if len(continuous) else ""))]


def _smallest(p: pd.Series, p_holm: pd.Series) -> str:
    """The smallest p, and what Holm's correction leaves of it."""
    words = f"the smallest p is {p_text(p.min())}"
    return f"{words}, {p_text(p_holm.min())} after Holm's correction" if p_holm.min() > p.min() else words


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
