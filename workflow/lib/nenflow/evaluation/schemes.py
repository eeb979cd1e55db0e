"""All schemes of validation of a model side by side: the same figures of each, and what their refits selected."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nenflow.evaluation.judging import single_figures
from nenflow.evaluation.operating import RATES
from nenflow.models.base import SIGNATURE
from nenflow.tables import APPARENT, EXTERNAL, FINISHED, OPTIMISM, PLUS632

OTHERS = ["slope", "intercept", "observed_expected", "brier", "ibs", *RATES]
SELECTION = ["scheme", "kind", "name", "share", "refits"]


def scheme_table(
    performance: Mapping[str, Any],
    validation: Mapping[str, Any],
    fixed: pd.DataFrame,
    crossed: Mapping[str, Any] | None = None,
    external: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """One row per score and scheme: as published first, then what is left when everything is repeated.

    Args:
        performance: performance.json of a model, its scores' apparent figures.
        validation: validation.json.
        fixed: the bootstrap of the finished model, rows of `resample_fixed` and `judge_resamples`.
        crossed: cross_validation.json, where a study has one.
        external: figures of the finished model in another cohort, see `external_figures`.

    Returns:
        columns scheme (apparent, finished, optimism, 632plus, folds, a variable whose levels are left out, temporal,
        external), score, auc (c of an outcome with time), low, high, slope, intercept (blank for survival),
        observed_expected (in units not fitted to), brier (of survival at the last time), ibs, net_benefit, sensitivity,
        specificity, n, events, threshold, time. Only the model's rows have more than discrimination. The .632+
        bootstrap has neither slope nor intercept, for which no chance level is defined.
    """
    rows = []
    for score, figures in reversed(performance.items()):  # the model before its Radscore
        found = _of_resamples(score, figures, validation["scores"][score], fixed)
        outside = {scheme: document["pooled"] for scheme, document in (crossed or {}).items()}
        outside |= {EXTERNAL: external["figures"]} if external else {}
        found |= {scheme: _outside(score, pooled) for scheme, pooled in outside.items()}
        counted = {"n": figures["n"], "events": figures["events"]}
        rows += [{"scheme": scheme, "score": score} | counted | row for scheme, row in found.items() if row]
    acting = next((figures["rates"] for figures in performance.values() if "rates" in figures), {})
    measure = "auc" if "auc_delong" in next(iter(performance.values())) else "c"
    first = ["scheme", "score", measure, "low", "high", *OTHERS, "n", "events"]
    return pd.DataFrame(rows, columns=first).assign(threshold=acting.get("threshold"), time=acting.get("time"))


def _of_resamples(score: str, figures: Mapping, checked: Mapping, fixed: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The apparent figures of a score and those of the three bootstraps."""
    measure, ends = ("auc", "auc_delong") if "auc_delong" in figures else ("c", "c_interval")
    rows = fixed[fixed["score"] == score]
    found = {
        APPARENT: _row(measure, figures[measure], figures[ends]),
        FINISHED: _row(measure, checked["published"]["mean"], checked["published"]["interval"]),
        OPTIMISM: _row(measure, checked["harrell"][measure], _holding(checked["harrell"], measure)),
        PLUS632: _row(measure, checked["corrected"][measure], checked["corrected"]["interval"]),
    }
    if "slope" not in checked:  # a signature is no model: it has no probabilities to judge
        return found
    line = {"slope": 1.0, "intercept": 0.0} if measure == "auc" else {"slope": 1.0}
    found[APPARENT] |= line | _corrections(checked, "apparent")
    found[FINISHED] |= {name: rows[name].mean() for name in OTHERS if name in rows}
    found[OPTIMISM] |= {name: checked[name] for name in line} | _corrections(checked, "corrected")
    found[PLUS632] |= _corrections(checked, "plus632")
    return found


def _row(measure: str, value: float, ends: list[float | None]) -> dict[str, Any]:
    return {measure: value, "low": ends[0], "high": ends[1]}


def _holding(figures: Mapping[str, Any], measure: str) -> list[float | None]:
    """Harrell's interval, where it holds its own estimate (see `evaluation.validation.harrell`)."""
    low, high = figures["interval"]
    held = low is not None and high is not None and low <= figures[measure] <= high
    return [low, high] if held else [None, None]


def _corrections(checked: Mapping[str, Any], kind: str) -> dict[str, float | None]:
    """Brier scores and decisions of one kind: apparent, corrected or plus632."""
    parts = {name: checked[name] for name in ("brier", "ibs") if name in checked}
    by_time = [found["brier"] for found in checked.get("times", {}).values() if "brier" in found]
    parts |= {"brier": by_time[-1]} if by_time else {}
    parts |= {name: checked["rates"][name] for name in RATES if name in checked.get("rates", {})}
    return {name: part[kind] for name, part in parts.items()}


def _outside(score: str, pooled: Mapping[str, Any]) -> dict[str, Any] | None:
    """A score's figures in units that were left out; None where a scheme does not have it."""
    measure = "auc" if "auc" in pooled else "c"
    if score == SIGNATURE:
        found = pooled.get(SIGNATURE)
        return found and _row(measure, found[measure], [found["low"], found["high"]])
    others = single_figures(pooled) | {"observed_expected": pooled.get("observed_expected")}
    counted = {name: pooled[name] for name in ("n", "events")}
    return _row(measure, pooled[measure], [pooled["low"], pooled["high"]]) | others | counted


def selection_shares(
    validation: Mapping[str, Any], crossed: Mapping[str, Any] | None, chosen: Mapping[str, list[str]]
) -> pd.DataFrame:
    """In what share of each scheme's refits a variable of the final model or a feature of the Radscore was selected.

    Args:
        validation: validation.json.
        crossed: cross_validation.json, where a study has one.
        chosen: what the finished model has, by kind (variables, features): named also where no refit selects it.

    Returns:
        `SELECTION`, a row per scheme (optimism: the bootstrap), kind and name; refits that could not be fitted count as
        having selected nothing.
    """
    rows = []
    for kind, names in chosen.items():
        by_scheme = {OPTIMISM: (validation["selection"][kind], validation["resamples"]["refitted"])}
        for scheme, document in (crossed or {}).items():
            parts = document["parts"]
            counts = Counter(name for part in parts for name in part[kind])
            by_scheme[scheme] = ({name: count / len(parts) for name, count in counts.items()}, len(parts))
        every = dict.fromkeys([*names, *(name for shares, _ in by_scheme.values() for name in shares)])
        for scheme, (shares, refits) in by_scheme.items():
            ordered = sorted(every, key=lambda name, shares=shares: (-shares.get(name, 0.0), name))
            rows += [(scheme, kind, name, shares.get(name, 0.0), refits) for name in ordered]
    return pd.DataFrame(rows, columns=SELECTION)
