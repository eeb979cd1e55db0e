"""Two models of one outcome on the same units: which tells them apart, moves them, and decides about them better."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from nenflow.evaluation.concordance import shares_at
from nenflow.evaluation.decision import net_benefit, net_benefit_survival
from nenflow.evaluation.discrimination import delong_test
from nenflow.evaluation.operating import OperatingPoint, acted_on, operating_point, outcome_values
from nenflow.evaluation.reclassification import moves
from nenflow.evaluation.resampling import LEVELS, area, concordance, patient_resamples
from nenflow.models.base import is_survival, survival_columns
from nenflow.models.dataset import split
from nenflow.tables import APPARENT, FOLDS, UNIT

COLUMNS = ["measure", "time", "at", "first_value", "second_value", "difference", "low", "high", "p"]
OF_PAIR = ["endpoint", "predictions", "first", "second", "n", "events"]  # of the table of all pairs, before these
AUC, C_INDEX, IDI = "AUC", "C-index", "IDI"
NRI, CATEGORIES, BENEFIT = "NRI, continuous", "NRI, categories", "net benefit"


def compare_all(
    endpoints: Mapping[str, str],
    scores: Mapping[str, pd.DataFrame],
    crossed: Mapping[str, pd.DataFrame],
    categories: Sequence[float],
    seed: int,
    resamples: int,
) -> pd.DataFrame:
    """Every two models of one endpoint, on the units that both give a score.

    A model looks too good on the units it was fitted to, and one taken from print does not; so pairs are also compared
    by what a cross-validation says of units that a model was not fitted to, where the study has one.

    Args:
        endpoints: of each model, by name, in the order of the report.
        scores: outcome and scores by model, as scores.csv has them, index (patient, region).
        crossed: cross_validation.csv of the study's own models, as far as there are; of repeats the first counts.
        categories: see `compare_models`.
        seed, resamples: of the intervals, by patients.

    Returns:
        `OF_PAIR` (predictions: apparent, or folds for out-of-fold ones) and `COLUMNS`.
    """
    given = {APPARENT: scores, FOLDS: scores | _out_of_fold(scores, crossed)} if crossed else {APPARENT: scores}
    parts = [pd.DataFrame(columns=[*OF_PAIR, *COLUMNS])]
    for predictions, tables in given.items():
        for first, second in combinations(endpoints, 2):
            if endpoints[first] != endpoints[second]:
                continue
            if predictions == FOLDS and not {first, second} & set(crossed):
                continue
            both = tables[first].index.intersection(tables[second].index)
            y, one = _ranked(tables[first].loc[both])
            other = _ranked(tables[second].loc[both])[1]
            draws = patient_resamples(both, seed, range(resamples))
            event = (y["event"] if is_survival(y) else y) == 1
            pair = [endpoints[first], predictions, first, second, len(both), int(event.sum())]
            parts.append(
                compare_models(y, one, other, categories, draws).assign(**dict(zip(OF_PAIR, pair, strict=True)))
            )
    return pd.concat(parts[1:] or parts, ignore_index=True)[[*OF_PAIR, *COLUMNS]]


def _out_of_fold(scores: Mapping[str, pd.DataFrame], crossed: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Scores of cross-validated models: each unit's from the fit that did not see it, with its outcome."""
    found = {}
    for name, table in crossed.items():
        rows = table[(table["scheme"] == FOLDS) & (table["repeat"] == 1)].set_index(UNIT)
        outcome = scores[name][[column for column in ("outcome", "time", "event") if column in scores[name]]]
        predicted = rows[["linear_predictor", *_risk_columns(rows)]].dropna()
        # Fits of different folds have different baselines: their linear predictors cannot be ranked, their risks can.
        found[name] = outcome.join(predicted, how="inner").assign(stratum="of its fold")
    return found


def _risk_columns(table: pd.DataFrame) -> list[str]:
    return ["probability"] if "probability" in table else list(survival_columns(table).values())


def _ranked(table: pd.DataFrame) -> tuple[pd.Series | pd.DataFrame, pd.DataFrame]:
    """Outcome without strata, and scores whose linear predictor ranks all units: by risk where baselines differ."""
    by_risk, (scored, y) = "stratum" in table, split(table.drop(columns="stratum", errors="ignore"))
    if by_risk:
        scored = scored.assign(linear_predictor=acted_on(scored)[1])
    return y, scored


def compare_models(
    y: pd.Series | pd.DataFrame,
    first: pd.DataFrame,
    second: pd.DataFrame,
    categories: Sequence[float] = (),
    draws: Iterable[np.ndarray] = (),
) -> pd.DataFrame:
    """How much better the second model is than the first on the same units.

    Discrimination: AUC (p by DeLong's paired test) or Harrell's C. Where both give risks, of an outcome with time at
    each time that both know: the integrated discrimination improvement, which is the difference of the models'
    discrimination slopes (mean risk of events less that of the others; Pencina et al., Stat Med 2008; 27:157), the net
    reclassification improvement (Stat Med 2011; 30:11), and net benefit at the share of units with the event, where
    acting on all is worth nothing (see `operating_point`). Units censored before a time are weighted for (IPCW), a
    competing event counts as censored but for the net benefit.

    Args:
        y: outcome, 0 or 1, or columns time and event; index (patient, region).
        first, second: scores of these units, as `protocol.scores` gives them.
        categories: limits between categories of risk, rising; empty for no categorical NRI.
        draws: rows of resamples of patients, for the intervals.

    Returns:
        `COLUMNS`: at is the threshold of the net benefit, or the categories' limits; first_value and second_value are
        the models' own figures (NRI has none); low, high the 2.5th and 97.5th percentile of the difference over the
        resamples. NaN where a figure does not exist.
    """
    points = _points(y, first, second)
    scores = np.array([table["linear_predictor"] for table in (first, second)])
    risks = [np.array([_risk(table, point) for table in (first, second)]) for point in points]
    figures = partial(_figures, outcome_values(y), scores, risks, points, categories)
    found = figures(np.arange(len(y)))
    drawn = np.array([figures(rows)[:, 2] for rows in draws])
    with_spread = drawn.size and np.isfinite(drawn).any(axis=0)
    low, high = np.full((2, len(found)), np.nan)
    if drawn.size:
        low[with_spread], high[with_spread] = np.nanquantile(drawn[:, with_spread], LEVELS, axis=0)
    table = pd.DataFrame(_names(y, points, categories), columns=COLUMNS[:3])
    table[COLUMNS[3:6]] = found
    return table.assign(low=low, high=high, p=[_delong(y, first, second), *[np.nan] * (len(found) - 1)])


def _points(y: pd.Series | pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame) -> list[OperatingPoint]:
    """Where both models give risks: once for an outcome without time, else at each time that both know."""
    if not is_survival(y):
        return [operating_point(y)] if "probability" in first and "probability" in second else []
    return [operating_point(y, [time]) for time in survival_columns(first) if time in survival_columns(second)]


def _names(y: pd.Series | pd.DataFrame, points: Sequence[OperatingPoint], categories: Sequence[float]) -> list[tuple]:
    """Measure, time and at of each row of figures."""
    rows = [(C_INDEX if is_survival(y) else AUC, np.nan, "")]
    for point in points:
        time = np.nan if point.time is None else point.time
        rows += [(IDI, time, ""), (NRI, time, "")]
        rows += [(CATEGORIES, time, ", ".join(f"{limit:g}" for limit in categories))] if categories else []
        rows.append((BENEFIT, time, f"{point.threshold:.3g}"))
    return rows


def _figures(outcome, scores, risks, points, categories, rows) -> np.ndarray:
    """First, second and difference of each of `_names`, on these rows; scores and risks have a row for each model."""
    outcome = outcome[rows]
    ranked = [(area if outcome.ndim == 1 else concordance)(outcome, score[rows]) for score in scores]
    found = [[*ranked, ranked[1] - ranked[0]]]
    for point, risk in zip(points, risks, strict=True):
        found += _of_risks(outcome, risk[:, rows], point, categories)
    return np.array(found)


def _of_risks(outcome, risks, point, categories) -> list[list[float]]:
    events, others = _shares(outcome, point)
    slopes = [events @ risk - others @ risk for risk in risks]
    found = [[*slopes, slopes[1] - slopes[0]]]
    for cuts in [None, categories] if categories else [None]:
        move = moves(*risks, cuts)
        found.append([np.nan, np.nan, events @ move - others @ move])
    benefits = [_benefit(outcome, risk, point) for risk in risks]
    return [*found, [*benefits, benefits[1] - benefits[0]]]


def _risk(table: pd.DataFrame, point: OperatingPoint) -> np.ndarray:
    if point.time is None:
        return table["probability"].to_numpy()
    return 1 - table[survival_columns(table)[point.time]].to_numpy()


def _shares(outcome: np.ndarray, point: OperatingPoint) -> tuple[np.ndarray, np.ndarray]:
    """What each unit counts among the events, and among the others."""
    if point.time is not None:
        unknown = np.full(len(outcome), np.nan)  # of a resample without any event
        return shares_at(*outcome.T, point.time) if (outcome[:, 1] == 1).any() else (unknown, unknown)
    event = outcome == 1
    with np.errstate(invalid="ignore"):  # a resample may lack a class, and then has no such figure
        return event / event.sum(), ~event / (~event).sum()


def _benefit(outcome: np.ndarray, risk: np.ndarray, point: OperatingPoint) -> float:
    if point.time is None:
        return float(net_benefit(outcome, risk, [point.threshold])[0])
    return float(net_benefit_survival(*outcome.T, risk, point.time, [point.threshold])[0])


def _delong(y: pd.Series | pd.DataFrame, first: pd.DataFrame, second: pd.DataFrame) -> float:
    if is_survival(y) or y.nunique() < 2:
        return np.nan
    return delong_test(y, second["linear_predictor"], first["linear_predictor"])["p"]
