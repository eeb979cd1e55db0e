"""A risk score of whole points from a Cox or logistic model, and the risk seen in its strata.

Points as in the Framingham scores (Sullivan, Massaro & D'Agostino 2004, Stat Med 23:1631): what a level adds to the
linear predictor over the lowest level of its variable, in units worth one point, rounded.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from nenflow.errors import InputError
from nenflow.evaluation.competing import cumulative_incidence
from nenflow.evaluation.cutpoints import MIN_SHARE
from nenflow.evaluation.discrimination import exact_interval
from nenflow.evaluation.survival import at_times, kaplan_meier, logrank
from nenflow.models.base import is_survival, values_of
from nenflow.models.nomogram import axes_of

SMALLEST, RATIO, HUNDRED = "smallest", "ratio", "hundred"
RULES = (SMALLEST, RATIO, HUNDRED)
SEARCHED = "searched"
NAMES = {2: ["low", "high"], 3: ["low", "intermediate", "high"]}
MOST_PATTERNS = 100_000


def integer_score(
    document: Mapping[str, Any], rule: str = SMALLEST, terms: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Whole points for every level of every variable of a model; the least risky level of each has none.

    A protective variable gives its points to those without it, so that no level has negative points.

    Args:
        document: of a LogisticModel or CoxModel whose variables all have levels (factors, or a few values).
        rule: what a level is worth: `smallest`, its effect over the smallest coefficient of the model; `ratio`, its
            odds or hazard ratio to the lowest level; `hundred`, its effect where the widest effect has 100 points. All
            rounded, halves up.
        terms: document of the Terms step the model stands on (see `nomogram`).

    Returns:
        rule; variables: by name, values, points (whole) and effects (on the linear predictor); factors: the variables
        that are columns like `race=black`; maximum: the largest sum of points.

    Raises:
        InputError: the rule is unknown, the model has no variable with an effect, or a variable is continuous.
    """
    if rule not in RULES:
        raise InputError(f"There is no rule {rule!r} for the points of a score; use one of {', '.join(RULES)}.")
    terms = terms or {}
    axes = axes_of(document, terms)
    for name in axes:
        if name not in terms.get("factors", {}) and (name in terms.get("knots", {}) or _is_continuous(document, name)):
            raise InputError(
                f"The variable {name} is continuous, so that its levels have no whole points; divide it into levels or "
                "leave it out of the score."
            )
    slopes = np.abs(list(document["coefficients"].values()))
    if not (slopes > 0).any():
        raise InputError("The model has no variable with an effect, so that there is nothing to give points for.")
    above = {name: np.array(axis["effects"]) - min(axis["effects"]) for name, axis in axes.items()}
    if rule == RATIO:
        points = {name: np.where(effect > 0, np.exp(effect), 0) for name, effect in above.items()}
    else:
        widest = max(effect.max() for effect in above.values())
        one = slopes[slopes > 0].min() if rule == SMALLEST else widest / 100
        points = {name: effect / one for name, effect in above.items()}
    whole = {name: np.floor(worth + 0.5).astype(int).tolist() for name, worth in points.items()}
    return {
        "rule": rule,
        "variables": {name: {**axis, "points": whole[name]} for name, axis in axes.items()},
        "factors": [name for name in axes if name in terms.get("factors", {})],
        "maximum": sum(max(levels) for levels in whole.values()),
    }


def fit_score(
    document: Mapping[str, Any],
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    settings: Mapping[str, Any],
    terms: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The score of a fitted model and its strata, all from the rows that the model was fitted to.

    Args:
        document, terms: as in `integer_score`.
        X, y: those rows, with the columns of the model, and their outcome.
        settings: rule, and cutoffs: the lowest scores of the strata but the first, or `searched` (see
            `searched_cut_offs`); without them the tertiles of X.

    Returns:
        what `integer_score` gives, cutoffs and strata (their names).

    Raises:
        InputError: as `integer_score`, `quantile_cut_offs` and `searched_cut_offs`.
    """
    score = integer_score(document, settings["rule"], terms)
    cut_offs = settings.get("cutoffs") or quantile_cut_offs(total_score(score, X))
    if cut_offs == SEARCHED:
        cut_offs = searched_cut_offs(total_score(score, X), y)
    return {**score, "cutoffs": cut_offs, "strata": strata_names(len(cut_offs) + 1)}


def total_score(score: Mapping[str, Any], X: pd.DataFrame) -> np.ndarray:
    """Sum of points of each row, shape (n,), whole.

    Args:
        score: the document of `integer_score`.
        X: the columns of the model (a factor's as the Terms step gives them).

    Raises:
        InputError: a column is not there, a value is missing, or the score has no points for it.
    """
    total = np.zeros(len(X), dtype=int)
    for name, scale in score["variables"].items():
        levels, points = scale["values"], np.array(scale["points"])
        if name in score["factors"]:
            columns = [f"{name}={level}" for level in levels[1:]]
            place = values_of(X, columns).astype(int) @ np.arange(1, len(levels))
        else:
            same = np.isclose(values_of(X, [name]), np.array(levels, dtype=float), rtol=1e-9, atol=0)
            if not same.any(axis=1).all():
                unknown = X[name].to_numpy(dtype=float)[~same.any(axis=1)][0]
                raise InputError(
                    f"The score has no points for {name} = {unknown:g}, which no lesion had that the model was fitted "
                    "to; leave these rows out."
                )
            place = same.argmax(axis=1)
        total += points[place]
    return total


def quantile_cut_offs(scores: Sequence[int], strata: int = 3) -> list[int]:
    """The lowest score of every stratum but the first, so that strata hold about equally many (3: tertiles).

    A score belongs to the lower stratum up to and including the quantile, as in R's cut(x, quantile(x)).

    Raises:
        InputError: the scores have too few different values to be divided so.
    """
    scores = np.asarray(scores)
    bounds = np.quantile(scores, np.arange(1, strata) / strata)
    cut_offs = [int(np.floor(bound)) + 1 for bound in bounds]
    if len(set(cut_offs)) < strata - 1 or len(np.unique(strata_of(scores, cut_offs))) < strata:
        raise InputError(
            f"The scores have too few different values to be divided into {strata} groups of about equal size; state "
            "the cut-offs or ask for fewer groups."
        )
    return cut_offs


def searched_cut_offs(scores: Sequence[int], y: pd.Series | pd.DataFrame, strata: int = 3) -> list[int]:
    """The cut-offs whose strata differ most: all are tried that leave a tenth of the rows in every stratum.

    By the log-rank statistic between the strata (Camp, Dolled-Filhart and Rimm, Clin Cancer Res 2004; 10:7252, the
    program X-tile); of a binary outcome by Pearson's chi-square. Strata that were searched for differ too much on the
    rows of the search, so their risk should be looked at where they were not made. Of equal statistics the lowest
    cut-offs are taken.

    Raises:
        InputError: no cut-offs leave a tenth in every stratum, or there is no event.
    """
    scores = np.asarray(scores)
    # Everybody with the event before everybody without: the log-rank statistic is then Pearson's, but for 1 / n.
    time = y["time"].to_numpy(dtype=float) if is_survival(y) else 2.0 - np.asarray(y)
    event = y["event"].to_numpy() if is_survival(y) else np.asarray(y)
    best, found = -1.0, None
    for cut_offs in combinations(np.unique(scores)[1:].tolist(), strata - 1):
        stratum = strata_of(scores, cut_offs)
        if np.bincount(stratum, minlength=strata).min() < MIN_SHARE * len(scores):
            continue
        statistic = logrank(time, event, stratum)["chi2"]
        if statistic > best + 1e-9:
            best, found = statistic, list(cut_offs)
    if found is None:
        raise InputError(
            f"No cut-offs of the score leave a tenth of the patients in each of {strata} strata, since too many have "
            "the same score; state the cut-offs."
        )
    return found


def strata_of(scores: Sequence[int], cut_offs: Sequence[float]) -> np.ndarray:
    """The stratum of each score, 0 for the lowest; cut-offs are the lowest scores of the strata above, ascending.

    Raises:
        InputError: the cut-offs do not ascend.
    """
    if not (np.diff(cut_offs) > 0).all():
        raise InputError(f"The cut-offs of a score must ascend; {', '.join(map(str, cut_offs))} do not.")
    return np.searchsorted(np.asarray(cut_offs), np.asarray(scores), side="right")


def strata_names(strata: int) -> list[str]:
    """What strata are called, from the lowest risk: low, intermediate, high; more than three by number."""
    return NAMES.get(strata, [f"group {number}" for number in range(1, strata + 1)])


def observed_risk(
    stratum: Sequence[int], y: pd.Series | pd.DataFrame, names: Sequence[str], times: Sequence[float] = ()
) -> pd.DataFrame:
    """The risk seen in each stratum, with its 95 % interval.

    Of a binary outcome the share of events with Clopper and Pearson's exact interval; of a time to event
    1 - Kaplan-Meier at stated times, with R's default interval (on the log scale), or the cumulative incidence where
    an event competes. Lesions count as independent.

    Args:
        stratum: of each row, from `strata_of`, shape (n,).
        y: outcome, 0 or 1, or a table of time and event.
        names: of the strata (see `strata_names`).
        times: of a time to event.

    Returns:
        columns stratum, n, events, risk, low, high; of a time to event also time, and events up to it and how many are
        still at risk (at_risk). NaN where a stratum has no rows, or all its follow-up ended before that time.
    """
    stratum = np.asarray(stratum)
    rows = []
    for number, name in enumerate(names):
        inside = stratum == number
        if is_survival(y):
            rows += [{"stratum": name, **row} for row in _survival_risk(y[inside], times)]
        else:
            rows.append({"stratum": name, **_binary_risk(np.asarray(y)[inside])})
    return pd.DataFrame(rows)


def patterns(score: Mapping[str, Any]) -> pd.DataFrame:
    """Every combination of levels with what the model and the score make of it, the lowest risk first.

    Returns:
        one column per variable, linear_predictor (over the lowest risk) and score. Where the score falls from one row
        to the next, rounding has put two patterns in the wrong order.

    Raises:
        InputError: there are too many combinations to list.
    """
    variables = score["variables"]
    if np.prod([float(len(scale["values"])) for scale in variables.values()]) > MOST_PATTERNS:
        raise InputError(f"The score has more than {MOST_PATTERNS:,} combinations of levels; they cannot be listed.")
    places = np.array(list(product(*[range(len(scale["values"])) for scale in variables.values()])))
    table = {name: [scale["values"][i] for i in places[:, j]] for j, (name, scale) in enumerate(variables.items())}
    effects = [np.array(s["effects"])[places[:, j]] - min(s["effects"]) for j, s in enumerate(variables.values())]
    points = [np.array(scale["points"])[places[:, j]] for j, scale in enumerate(variables.values())]
    table |= {"linear_predictor": np.sum(effects, axis=0), "score": np.sum(points, axis=0)}
    return pd.DataFrame(table).sort_values("linear_predictor", kind="stable", ignore_index=True)


def _is_continuous(document: Mapping[str, Any], name: str) -> bool:
    return "values" not in document["scales"][name]


def _binary_risk(y: np.ndarray) -> dict[str, float]:
    n, events = len(y), int(np.sum(y))
    if not n:
        return {"n": 0, "events": 0, "risk": np.nan, "low": np.nan, "high": np.nan}
    low, high = exact_interval(events, n)
    return {"n": n, "events": events, "risk": events / n, "low": low, "high": high}


def _competing_risk(time: np.ndarray, event: np.ndarray, times: Sequence[float]) -> list[dict[str, float]]:
    """Cumulative incidence (Aalen and Johansen): 1 - Kaplan-Meier would count those who can have the event no more."""
    curve, rows = cumulative_incidence(time, event), []
    for at in times:
        before, at_risk = curve[curve["time"] <= at], int((time >= at).sum())
        last = before.iloc[-1] if len(before) else None
        risk, low, high = (0.0, 0.0, 0.0) if last is None else last[["incidence", "low", "high"]].astype(float)
        known = at_risk > 0 or event[time == time.max()].all()
        values = {"risk": risk, "low": low, "high": high} if known else dict.fromkeys(("risk", "low", "high"), np.nan)
        happened = int(((time <= at) & (event == 1)).sum())
        rows.append({"time": at, "n": len(time), "events": happened, "at_risk": at_risk, **values})
    return rows


def _survival_risk(y: pd.DataFrame, times: Sequence[float]) -> list[dict[str, float]]:
    time, event = y["time"].to_numpy(dtype=float), y["event"].to_numpy()
    if not len(time):
        empty = {"n": 0, "events": 0, "at_risk": 0, "risk": np.nan, "low": np.nan, "high": np.nan}
        return [{"time": at, **empty} for at in times]
    if (event == 2).any():
        return _competing_risk(time, event, times)
    rows = []
    for row in at_times(kaplan_meier(time, event), times).itertuples():
        happened = int(((time <= row.time) & (event == 1)).sum())
        known = row.at_risk > 0 or row.survival == 0  # of those followed to the end: all had the event
        risk, low, high = (1 - row.survival, 1 - row.high, 1 - row.low) if known else (np.nan,) * 3
        rows.append(
            {"time": row.time, "n": len(time), "events": happened, "at_risk": int(row.at_risk), "risk": risk,
             "low": low, "high": high}
        )  # fmt: skip
    return rows
