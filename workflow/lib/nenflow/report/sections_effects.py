"""What a comparison of survival found, what it excludes, and what it could have found at all."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.report.page import Printed, Text
from nenflow.report.sections_candidates import ALPHA, null_words
from nenflow.report.wording import count, listed, p_text, percent, ratio_interval, ratio_text


def effect_blocks(study: Mapping[str, Any], endpoint: str, effects: pd.DataFrame, title: str) -> list[Any]:
    """The detectable effect in words, whether anything was found, and the hazard ratios with what they exclude.

    Args:
        study: the study's settings.
        endpoint: a name under survival.
        effects: as `evaluation.effects.survival_effects` gives them.
        title: what the endpoint is called.
    """
    effects = effects.assign(**{name: effects[name].astype(object).fillna("") for name in ("variable", "reason")})
    whole, rows = effects.iloc[0], effects.iloc[1:]
    blocks: list[Any] = [Text(_detectable_words(whole))]
    if rows.empty:
        return blocks
    labels = rows["variable"].map(lambda name: study["variables"][name]["label"])
    blocks.append(Text(_verdict(rows, labels)))
    shown = pd.DataFrame(
        {
            "Variable": labels + ": " + rows["contrast"],
            "Events": rows["events"].map(lambda number: f"{number:.0f}"),
            "Share": [percent(share) if pd.notna(share) else "" for share in rows["share"]],
            "Hazard ratio (95% CI)": [
                row.reason or ratio_interval(row.hazard_ratio, row.low, row.high) for row in rows.itertuples()
            ],
            "p": rows["p"].map(p_text),
            "p, Holm": rows["p_holm"].map(p_text),
            "Excluded": [_excluded(row.low, row.high) for row in rows.itertuples()],
            "Detectable": [_detectable(ratio) for ratio in rows["detectable"]],
        }
    )
    note = "Cox regression of one variable at a time. Excluded: hazard ratios that the 95% interval rules out; those "
    note += (
        "between are not ruled out, also where p is large. Detectable: the hazard ratios that so many events, divided "
    )
    note += "so (share in the later group), detect with 80% power at p < 0.05 (Schoenfeld 1983). Dividing a continuous "
    note += "variable at its median loses power; the row per standard deviation uses all of it."
    blocks.append(Printed(f"effects_{endpoint}", shown, f"{title}: effect sizes.", note, effects))
    return blocks


def _detectable_words(whole: pd.Series) -> str:
    if pd.isna(whole["detectable"]):
        return "Without events no difference of survival can be detected."
    over, under = ratio_text(whole["detectable"]), ratio_text(1 / whole["detectable"])
    return (
        f"With {count(whole['events'], 'event')}, a comparison of two groups of equal size has a power of 80% (two-"
        f"sided p < 0.05) only for a hazard ratio of at least {over}, or of at most {under} (Schoenfeld 1983); smaller "
        "differences would mostly go unnoticed."
    )


def _verdict(rows: pd.DataFrame, labels: pd.Series) -> str:
    """Whether any corrected p is under the level; a null result is called one."""
    known = rows["p_holm"].notna()
    if not known.any():
        return "No comparison could be computed."
    found = known & (rows["p_holm"] < ALPHA)
    number = count(int(known.sum()), "comparison")
    if found.any():
        names = listed(
            [f"{label} ({contrast})" for label, contrast in zip(labels[found], rows["contrast"][found], strict=True)]
        )
        return f"Of {number}, these have a p under 0.05 after correction for their number (Holm): {names}."
    several = f"none of {number} shows a difference of survival"
    nothing = several if known.sum() > 1 else "the comparison shows no difference of survival"
    return null_words(nothing, rows["p"], rows["p_holm"], "the table says which hazard ratios are excluded")


def _excluded(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"under {ratio_text(low)}, over {ratio_text(high)}"


def _detectable(ratio: float) -> str:
    return "" if pd.isna(ratio) else f"≤ {ratio_text(1 / ratio)} or ≥ {ratio_text(ratio)}"
