"""The whole protocol refitted on resampled patients. Apart from `resampling`, since scikit-learn is slow to load."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from nenflow.errors import InputError
from nenflow.evaluation.calibration import GRID, curve_optimism, survival_curve_optimism
from nenflow.evaluation.concordance import areas_by_time, brier_by_time
from nenflow.evaluation.decision import net_benefit, net_benefit_survival
from nenflow.evaluation.discrimination import brier
from nenflow.evaluation.indexes import cox_indexes, logistic_indexes
from nenflow.evaluation.operating import (
    RATES,
    OperatingPoint,
    above,
    acted_on,
    cut_off,
    operating_point,
    outcome_values,
    rates,
)
from nenflow.evaluation.resampling import CHANCE, PARTS, area, concordance, patient_resamples
from nenflow.models.base import SIGNATURE, is_survival, outcome_strata, survival_columns
from nenflow.models.protocol import for_refits
from nenflow.models.protocol import scores as protocol_scores

CHOSEN = ["units", "n_pruned", "n_lasso", "features", "selected", "separated"]
AREAS = [f"auc{score}_{part}" for score in ("_radscore", "") for part in PARTS]
C_INDICES = [f"c{score}_{part}" for score in ("_radscore", "") for part in PARTS]
LOGISTIC_INDEXES, COX_INDEXES = ["r2", "d", "u", "q", "g", "gp"], ["r2", "d", "u", "q", "g"]
COLUMNS = [
    *("resample", *CHOSEN),
    *AREAS,
    *(f"{name}_{part}" for name in ("brier", *RATES) for part in PARTS),
    *("slope", "intercept"),
    *(f"{name}_{part}" for name in LOGISTIC_INDEXES for part in ("train", "test")),
    "note",
]


def columns_with_times(times: Iterable[float]) -> list[str]:
    """Columns of `refit_resamples` for a time-to-event endpoint with these times."""
    return [
        *("resample", *CHOSEN),
        *C_INDICES,
        *(f"{name}_{part}" for name in RATES for part in PARTS),
        "slope",
        *(f"{name}_{part}" for name in COX_INDEXES for part in ("train", "test")),
        *(f"{name}_{time:g}_{part}" for name in ("auc", "brier") for time in times for part in PARTS),
        "note",
    ]


def refit_resamples(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series | pd.DataFrame, seed: int, numbers: Iterable[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Repeat the whole analysis, every selection included, on resampled patients.

    Each row depends on `seed` and its own number only, so that jobs of any size give the same rows.

    Args:
        protocol: the unfitted protocol; each resample fits a copy.
        X: model data, index (patient, region).
        y: 0/1, or columns time and event; same index.
        seed, numbers: the study's seed and the numbers of the resamples.

    Returns:
        One row per resample (columns: `COLUMNS`, or `columns_with_times` of the model's times), see `refit_once`; and
        the curves of each, see there, with a column resample in front.
    """
    # One block of memory, or drawing rows is slow; names as plain objects, as pandas is slow to find its own strings.
    X = pd.DataFrame(X.to_numpy(dtype=float), X.index, X.columns.astype(object))
    rows, curves = [], []
    numbers = list(numbers)
    point = operating_point(y, getattr(protocol[-1], "times", ()))
    for number, draw in zip(numbers, patient_resamples(X.index, seed, numbers), strict=True):
        row, curve = refit_once(protocol, X, y, draw, point=point)
        rows.append({"resample": number} | row)
        curve.insert(0, "resample", number)
        curves.append(curve)
    columns = columns_with_times(protocol[-1].times) if is_survival(y) else COLUMNS
    return pd.DataFrame(rows, columns=columns), pd.concat(curves, ignore_index=True)


def refit_once(
    protocol: Pipeline,
    X: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    draw: np.ndarray,
    grid: np.ndarray = GRID,
    point: OperatingPoint | None = None,
) -> tuple[dict, pd.DataFrame]:
    """Fit a copy of the protocol to the drawn rows and see how it does there and elsewhere.

    Where nothing is selected every AUC and C-index is 0.5 and there is no line. Where the protocol cannot be fitted
    (one class only, say), they are 0.5 too and the note says why.

    Returns:
        A row: `units` drawn; how many features the LASSO was given and kept (n_pruned, n_lasso, features) and which
        variables the final model has (selected), both joined by ";"; whether the classes were separated (1 or 0); AUC
        of the Radscore and of the model on the drawn rows (train), on all original rows (test) and on the rows of
        patients who were not drawn (oob); there also Brier score, net benefit at the threshold of `point`, sensitivity
        and specificity at Youden's cut-off, which is chosen on the drawn rows; the indexes of rms::validate on train
        and test; intercept and slope of the calibration line on the original rows; a note. For a time-to-event
        endpoint C-indices instead of AUCs, slope, and at each time of the model time-dependent AUC (auc_<time>) and
        Brier score.

        The curves' optimism, training minus test: columns predicted (the grid), optimism (of the calibration curve,
        of predicted survival for a time-to-event endpoint) and net_benefit (the grid being the thresholds of risk);
        for a time-to-event endpoint also time, the grid once per time of the model.
    """
    point = point or operating_point(y, getattr(protocol[-1], "times", ()))
    parts, survival = parts_of_draw(X.index, draw), is_survival(y)
    try:
        fitted, values = fit_drawn(protocol, X, y, draw)
    except InputError as error:
        chance = dict.fromkeys(C_INDICES if survival else AREAS, CHANCE)
        failed = {"units": len(draw), "note": f"not computable: {error}"} | chance
        return failed, _curves_by_time(protocol[-1].times, grid) if survival else _curves(grid)
    judge = _judge_survival if survival else _judge
    row, curves = judge(values, y, parts, grid)
    return {"units": len(draw)} | _selection(fitted) | row | _acting(values, y, parts, point), curves


def _acting(values: pd.DataFrame, y, parts: Mapping[str, np.ndarray], point: OperatingPoint) -> dict[str, float]:
    """Net benefit, sensitivity and specificity on each part, at the cut-off that the drawn rows give."""
    if is_survival(y) and not survival_columns(values):
        return {}
    outcome = outcome_values(y)
    marker, risk = acted_on(values)
    called, row = above(marker, cut_off(outcome[parts["train"]], marker[parts["train"]], point)), {}
    for part, rows in parts.items():
        row |= {
            f"{name}_{part}": value for name, value in rates(outcome[rows], called[rows], risk[rows], point).items()
        }
    return row


def parts_of_draw(index: pd.MultiIndex, draw: np.ndarray) -> dict[str, np.ndarray]:
    """Rows on which a refit is tried, by part: drawn (train), all (test), of patients who were not drawn (oob)."""
    patients = index.codes[index.names.index("patient")]
    return {"train": draw, "test": np.arange(len(index)), "oob": np.flatnonzero(~np.isin(patients, patients[draw]))}


def fit_drawn(
    protocol: Pipeline, X: pd.DataFrame, y: pd.Series | pd.DataFrame, draw: np.ndarray
) -> tuple[Pipeline, pd.DataFrame]:
    """A copy of the protocol fitted to the drawn rows, and the scores that it gives all rows.

    Raises:
        InputError: it cannot be fitted (one class only, say) or applied (to a site that was not drawn).
    """
    survival = is_survival(y)
    if not survival and y.iloc[draw].nunique() < 2:
        raise InputError("All drawn units have the same outcome.")
    drawn = pd.DataFrame(X.to_numpy(dtype=float)[draw], X.index[draw], X.columns)
    fitted = for_refits(protocol).fit(drawn, y.iloc[draw])
    return fitted, protocol_scores(fitted, X, outcome_strata(y) if survival else None)


def discriminate(
    values: pd.DataFrame, y: pd.Series | pd.DataFrame, parts: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """AUC (auc_<part>; for a time-to-event endpoint C-index, c_<part>) of a refit's Radscore and model in each part."""
    radscore, predictor = values[[SIGNATURE, "linear_predictor"]].to_numpy().T
    if is_survival(y):
        outcome, strata, measure, name = y[["time", "event"]].to_numpy(dtype=float), outcome_strata(y), concordance, "c"
    else:
        outcome, strata, measure, name = y.to_numpy(), None, area, "auc"
    row = {}
    for part, rows in parts.items():
        within = () if strata is None else (strata[rows],)
        row[f"{name}_radscore_{part}"] = measure(outcome[rows], radscore[rows], *within)
        row[f"{name}_{part}"] = measure(outcome[rows], predictor[rows], *within)
    return row


def _curves(grid: np.ndarray, optimism=np.nan, benefit=np.nan) -> pd.DataFrame:
    return pd.DataFrame({"predicted": grid, "optimism": optimism, "net_benefit": benefit})


def _curves_by_time(times: Sequence[float], grid: np.ndarray, curves: Sequence = ()) -> pd.DataFrame:
    """The curves at each time, pairs of optimism and net benefit; without any they are not known."""
    known = np.reshape(list(curves) or np.full((len(times), 2, len(grid)), np.nan), (len(times), 2, len(grid)))
    table = _curves(np.tile(grid, len(times)), *known.transpose(1, 0, 2).reshape(2, -1))
    return table.assign(time=np.repeat(np.asarray(times, dtype=float), len(grid)))


def _judge(values: pd.DataFrame, y: pd.Series, parts: Mapping[str, np.ndarray], grid: np.ndarray):
    """A refitted logistic protocol's figures and curves from its scores of all units."""
    event, draw = y.to_numpy(), parts["train"]
    predictor, p = values[["linear_predictor", "probability"]].to_numpy().T
    row = discriminate(values, y, parts)
    train = logistic_indexes(event[draw], predictor[draw], fitted_here=True)
    test = logistic_indexes(event, predictor)
    row |= _side_by_side(["brier", *LOGISTIC_INDEXES], train, test)
    row |= {name: test[name] for name in ("intercept", "slope")}
    row["brier_oob"] = brier(event[parts["oob"]], p[parts["oob"]]) if len(parts["oob"]) else np.nan
    benefit = net_benefit(event[draw], p[draw], grid) - net_benefit(event, p, grid)
    return row, _curves(grid, curve_optimism(event[draw], p[draw], event, p, grid), benefit)


def _judge_survival(values: pd.DataFrame, y: pd.DataFrame, parts: Mapping[str, np.ndarray], grid: np.ndarray):
    """A refitted Cox protocol's figures and curves from its scores of all units."""
    outcome, draw = y[["time", "event"]].to_numpy(dtype=float), parts["train"]
    predictor, columns = values["linear_predictor"].to_numpy(), survival_columns(values)
    survival, times, strata = values[list(columns.values())].to_numpy(), list(columns), outcome_strata(y)
    row = discriminate(values, y, parts)
    for part, rows in parts.items():
        told = predictor[rows] if strata is None else -survival[rows]
        row |= _by_time("auc", part, times, _areas_at(outcome[rows], told, times))
        if (outcome[rows, 1] == 1).any():
            scores = brier_by_time(*outcome[rows].T, survival[rows], times) if times else []
            row |= _by_time("brier", part, times, scores)
    drawn = None if strata is None else strata[draw]
    train = cox_indexes(*outcome[draw].T, predictor[draw], fitted_here=True, strata=drawn)
    test = cox_indexes(*outcome.T, predictor, strata=strata)
    row |= _side_by_side(COX_INDEXES, train, test) | {"slope": test["slope"]}
    curves = []
    for t, s in zip(times, survival.T, strict=True):
        drawn, everybody = (*outcome[draw].T, s[draw]), (*outcome.T, s)
        benefit = [net_benefit_survival(*units[:2], 1 - units[2], t, grid) for units in (drawn, everybody)]
        curves.append([survival_curve_optimism(drawn, everybody, t, grid), benefit[0] - benefit[1]])
    return row, _curves_by_time(times, grid, curves)


def _by_time(name: str, part: str, times: Iterable[float], values: Iterable[float]) -> dict[str, float]:
    return {f"{name}_{t:g}_{part}": value for t, value in zip(times, values, strict=True)}


def _side_by_side(names: Iterable[str], train: Mapping[str, float], test: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}_{part}": side[name] for name in names for part, side in (("train", train), ("test", test))}


def _areas_at(outcome: np.ndarray, score: np.ndarray, times: list[float]) -> np.ndarray:
    """Time-dependent AUCs, NaN where nobody had the event."""
    if not times or not (outcome[:, 1] == 1).any():
        return np.full(len(times), np.nan)
    return areas_by_time(*outcome.T, score, times)


def _selection(fitted: Pipeline) -> dict:
    """What the fitted steps chose, from their documents."""
    final = fitted[-1].document()
    row = {
        "features": "",
        "selected": ";".join(final["coefficients"]),
        "separated": int(final["separated"]),
        "note": "" if final["coefficients"] else "nothing selected",
    }
    if "lasso" in fitted.named_steps:
        lasso = fitted.named_steps["lasso"].document()
        kept = lasso["coefficients"]
        row |= {"n_pruned": lasso["n_features"], "n_lasso": len(kept), "features": ";".join(kept)}
    return row
