"""The first part of a report: what a paper would print of a model, what is left when all is repeated, and chance."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.models.base import SIGNATURE
from nenflow.report.figures_evaluation import chance_figure, honest_figure
from nenflow.report.page import Drawing, Text
from nenflow.report.tables import APPARENT, HARRELL, PLUS632, PUBLISHED
from nenflow.report.wording import count, decimal, interval, p_words, percent, score_label, the_score

ENDS = ("median", "low", "high")

_SIGNIFICANT = 0.05


def honest_blocks(model: str, table: pd.DataFrame, measure: str, unit: str) -> list[Any]:
    """Words and picture: figures as published, honest, and of outcomes permuted between patients.

    Args:
        model: its name.
        table: of `tables.estimates`; its last score is the one that is put in words.
        measure: AUC or C-index.
        unit: lesion or patient.
    """
    final = table["score"].iloc[-1]
    words = honest_sentences(table, final, measure, unit)
    if final != model:
        words = f"What follows is of the {score_label(final)} alone, which the selection did not keep. {words}"
    figure = honest_figure(table.assign(score=table["score"].map(score_label)), measure)
    caption = f"{measure} with 95% interval. Apparent: on the data the model was made from"
    caption += " (DeLong). " if measure == "AUC" else ". "
    caption += f"Published bootstrap: the finished model on resampled {unit}s. Optimism-corrected: the whole protocol "
    caption += "refitted in each resample of patients; by Harrell's subtraction, which keeps some optimism, and by the "
    caption += ".632+ rule, which does not."
    if table["p"].notna().any():
        caption += " Grey: what the same analysis gives where there is nothing to find, outcomes permuted between "
        caption += "patients (median and central 95%)."
    alt = "; ".join(
        f"{score_label(row.score)}, {row.estimate}: {measure} {interval(row.auc, row.low, row.high)}"
        + (f", by chance {interval(row.chance, row.chance_low, row.chance_high)}" if pd.notna(row.chance) else "")
        for row in table.itertuples()
    )
    return [Text(words), Drawing(f"honest_{model}", figure, caption, f"{alt}.")]


def honest_sentences(table: pd.DataFrame, score: str, measure: str, unit: str) -> str:
    """What a paper would print of a score, what is left when everything is repeated, and what chance gives."""
    rows = table[table["score"] == score].set_index("estimate")

    def said(estimate: str) -> str:
        return interval(*rows.loc[estimate, ["auc", "low", "high"]])

    published = f"As such studies print it, the {measure} of {the_score(score)} is {said(APPARENT)}"
    if PUBLISHED not in rows.index:
        return f"{published}. It was measured on the {unit}s that the model was made from, so it is too high."
    published += f", and a bootstrap of the finished model seems to confirm it: {said(PUBLISHED)}."
    honest = rows.loc[PLUS632]
    lost = rows.loc[APPARENT, "auc"] - honest["auc"]
    text = "When the whole analysis is repeated on resampled patients, every selection included, "
    text += f"{said(PLUS632)} is left (.632+ bootstrap; {decimal(rows.loc[HARRELL, 'auc'])} with Harrell's correction)"
    text += f": {decimal(lost)} of the first figure is optimism" if lost >= 0.0005 else ", no less than before"
    text += ", and chance (0.5) cannot be ruled out" if honest["low"] <= 0.5 else ""
    return f"{published} {text}.{_chance_sentence(rows, measure)}"


def _chance_sentence(rows: pd.DataFrame, measure: str) -> str:
    """What the same analysis gives on permuted outcomes, and how many of them reach the honest figure."""
    apparent, honest = rows.loc[APPARENT], rows.loc[PLUS632]
    if pd.isna(honest["p"]):
        return ""
    permutations = int(honest["permutations"])
    reached = round(honest["p"] * (permutations + 1)) - 1
    words = " Where there is nothing to find, outcomes permuted between patients, the same analysis prints a median "
    words += f"{measure} of {decimal(apparent['chance'])}, up to {decimal(apparent['chance_high'])} in 95%, and the "
    words += f"honest one is {decimal(honest['chance'])}, up to {decimal(honest['chance_high'])} in 95%; "
    words += f"{reached or 'none'} of {count(permutations, 'permutation')} "
    words += f"reached {decimal(honest['auc'])} ({p_words(honest['p'])})"
    return words + (", so the finding does not stand out from chance." if honest["p"] > _SIGNIFICANT else ".")


def chance_blocks(
    model: str, chance: Mapping[str, Any] | None, permutations: pd.DataFrame | None, measure: str
) -> list[Any]:
    """The distribution of the model's figures in permuted outcomes.

    Args:
        model: its name.
        chance, permutations: its chance.json and permutations.csv; None where they are not known.
        measure: AUC or C-index.
    """
    figures = (chance or {}).get("scores", {}).get(model)
    if not figures or permutations is None:
        return []
    shown = {"apparent": APPARENT, "corrected": PLUS632}
    rows = permutations.loc[permutations["score"] != SIGNATURE, list(shown)].rename(columns=shown)
    found = pd.Series({name: figures[figure]["observed"] for figure, name in shown.items()})
    nothing = chance["nothing_selected"]
    caption = f"{measure} of the whole analysis in {count(len(rows), 'permutation')} of the outcomes between patients "
    caption += "(bars), and the study's own (line). "
    if nothing:
        caption += f"In {percent(nothing)} of the permutations nothing was selected: 0.5. "
    caption += "p counts the study's own outcome as one permutation more. A permutation is validated with "
    caption += f"{chance['resamples']} resamples, so that its honest figure scatters more and p is rather too large."
    alt = "; ".join(
        f"{name}: {decimal(found[name])}, in permutations {interval(*(figures[key][end] for end in ENDS))}"
        for key, name in shown.items()
    )
    return [Drawing(f"chance_{model}", chance_figure(rows, found, measure), caption, f"{measure}. {alt}.")]


def above_chance(table: pd.DataFrame, model: str, measure: str) -> str:
    """The model's corrected figure in words; blank where there is none, or interval or permutations allow chance."""
    found = (table["low"] > 0.5) & (table["p"].isna() | (table["p"] <= _SIGNIFICANT))
    rows = table[(table["score"] == model) & (table["estimate"] == PLUS632) & found]
    said = [interval(row.auc, row.low, row.high) for row in rows.itertuples()]
    return f"the {measure} of {the_score(model)} is {said[0]}" if said else ""
