"""Principal components in the report: how much each holds, where the units lie, whether they tell of the outcome."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nenflow.report.drawing import BLUE, CYCLE, DOUBLE, GREY, journal, new_figure
from nenflow.report.page import Drawing, Printed, Text
from nenflow.report.sections_candidates import ALPHA, null_words
from nenflow.report.wording import count, p_text, percent, ratio_interval

_SHOWN = 20  # components of the scree plot


def component_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """The section on principal components; empty in a study without them."""
    files = {name: results.get(f"evaluation/components_{name}.csv") for name in ("variance", "scores", "effects")}
    summary = results.get("evaluation/components.json")
    if summary is None or any(table is None for table in files.values()):
        return []
    variance, scores, effects = files.values()
    endpoint = study["endpoints"][study["components"]["endpoint"]]
    enough = f"{summary['enough']} of {len(variance)} components hold {percent(summary['share'])} of the variance"
    words = f"Of {count(summary['features'], 'standardised feature')} in {count(len(scores), study['unit'])}, {enough}"
    if summary["constant"]:
        words += f"; {count(len(summary['constant']), 'feature')} without any variation took no part"
    label = study["variables"][endpoint["variable"]]["label"]
    figure = components_figure(variance, scores, endpoint["event"], label, summary["share"])
    caption = "Left: share of the variance by component, and their sum (line; dashed: 95%). Right: the units by their "
    caption += f"first two components and their outcome ({label})."
    blocks = [Text(f"{words}."), Drawing("components", figure, caption, f"{words}. {caption}")]
    ratio = "Hazard ratio" if "time" in endpoint else "Odds ratio"
    shown = pd.DataFrame(
        {
            "Component": effects["component"],
            "Regression": effects["regression"],
            f"{ratio} (95% CI)": [
                row.reason or ratio_interval(row.ratio, row.low, row.high) for row in effects.itertuples()
            ],
            "p": effects["p"].map(p_text),
            "p, Holm": [p_text(p) if pd.notna(p) else "" for p in effects["p_holm"]],
        }
    )
    note = f"Per standard deviation. One component was tested per ten events ({summary['events']} events, "
    note += f"{summary['tested']} tested), the first ones, chosen without looking at the outcome."
    alone = effects[effects["p_holm"].notna()]
    if alone["p_holm"].min() >= ALPHA:
        several = f"none of the first {count(len(alone), 'component')} tells of the outcome"
        nothing = several if len(alone) > 1 else "the first component does not tell of the outcome"
        blocks.append(Text(null_words(nothing, alone["p"], alone["p_holm"])))
    blocks.append(Printed("components_effects", shown, f"{label}: first principal components.", note, effects))
    return blocks


@journal
def components_figure(variance: pd.DataFrame, scores: pd.DataFrame, event: str, label: str, share: float) -> Figure:
    """Scree plot, and the units by their first two components, coloured by outcome.

    Args:
        variance, scores: as `evaluation.components.analyse_components` gives them.
        event: the level that counts as the event.
        label: of the outcome.
        share: of the variance that the dashed line marks.
    """
    figure = new_figure(DOUBLE, 75)
    left, right = figure.subplots(1, 2)
    first = variance.head(_SHOWN)
    places = np.arange(1, len(first) + 1)
    left.bar(places, first["share"], color=BLUE, width=0.7)
    left.plot(places, first["cumulative"], "o-", ms=3, lw=1, color=GREY)
    left.axhline(share, color=GREY, lw=0.8, ls="--", zorder=0)
    left.set(xlabel="Component", ylabel="Share of the variance", ylim=(0, 1.02), xlim=(0.3, len(first) + 0.7))
    left.set_xticks(places[:: 1 if len(first) <= 10 else 3])
    second = scores["PC2"] if "PC2" in scores else pd.Series(0.0, index=scores.index)
    outcome = scores["event"] if "event" in scores else scores["outcome"]
    names = {0: "none of these" if 2 in set(outcome) else f"not {event}", 1: event, 2: "competing event"}
    for number, value in enumerate(sorted(set(outcome))):
        chosen = (outcome == value).to_numpy()
        right.plot(
            scores["PC1"][chosen], second[chosen], "os^"[number], ms=3.5, color=CYCLE[number], alpha=0.8,
            label=f"{names[value]} ({chosen.sum()})",
        )  # fmt: skip
    right.set(xlabel=f"PC1 ({percent(variance['share'][0])})")
    right.set_ylabel(f"PC2 ({percent(variance['share'][1])})" if len(variance) > 1 else "")
    right.legend(title=label, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return figure
