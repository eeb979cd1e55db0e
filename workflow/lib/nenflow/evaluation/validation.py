from collections import Counter

import numpy as np
import pandas as pd

from nenflow.documents import plain
from nenflow.evaluation.concordance import integrated_brier
from nenflow.evaluation.indexes import validation_table
from nenflow.evaluation.operating import RATES
from nenflow.evaluation.resampling import CHANCE, LEVELS, PARTS
from nenflow.models.base import SIGNATURE

LINE = {"intercept": 0.0, "slope": 1.0}  # the calibration line of a model on the units that it was fitted to


def summarise(performance: dict, fixed: pd.DataFrame, refit: pd.DataFrame) -> dict:
    """Put the published and the honest figures of a model side by side: validation.json.

    Args:
        performance: per score (Radscore where there is one, and the model) its apparent figures.
        fixed: rows of `resample_fixed`.
        refit: rows of `refit_resamples`, of all jobs together.

    Returns:
        resamples: how many, how many of them could not be computed, and in what share the LASSO chose no feature
        (no_feature), the final model had no variable (nothing_selected) or the classes were separated;
        scores: per score the apparent AUC (c for a time-to-event endpoint: C-index), `published` (mean and interval
        of the bootstrap of the finished model), `corrected` (the honest figure, see `plus632`) and `harrell` (see
        there), for the model also brier, slope and intercept, `rates` (net benefit, sensitivity and specificity, each
        apparent, corrected and plus632), its `indexes` where performance has them (rows of
        `validation_table`) and, for a time-to-event endpoint, `times`: per time AUC and Brier score;
        selection: in what share of the resamples each variable was in the model and each feature in the Radscore.
    """
    note, measure = _text(refit["note"]), "c" if "c_test" in refit else "auc"
    scores = {}
    for name, figures in performance.items():
        areas = _areas(refit, f"{measure}_radscore" if name == SIGNATURE else measure)
        published = fixed.loc[fixed["score"] == name, measure]
        scores[name] = {
            "apparent": figures[measure],
            "published": {"mean": float(published.mean()), "interval": _percentiles(published)},
            "corrected": _as(measure, plus632(figures[measure], areas)),
            "harrell": _as(measure, harrell(figures[measure], areas)),
        }
        if name != SIGNATURE:
            scores[name] |= _calibration(figures, refit) if measure == "auc" else _survival(figures, refit)
            if "rates" in figures:
                scores[name]["rates"] = _rates(figures["rates"], refit)
            if figures.get("indexes"):
                scores[name]["indexes"] = plain(_index_table(figures["indexes"], refit))
    return {
        "resamples": {
            "published": int(fixed["resample"].nunique()),
            "refitted": len(refit),
            "not_computable": int(note.str.startswith("not computable").sum()),
            "no_feature": float((refit["n_lasso"] == 0).mean()),
            "nothing_selected": float((note == "nothing selected").mean()),
            "separated": float(refit["separated"].fillna(0).mean()),
        },
        "scores": scores,
        "selection": {"variables": _shares(refit["selected"]), "features": _shares(refit["features"])},
    }


def _areas(refit: pd.DataFrame, prefix: str) -> pd.DataFrame:
    return pd.DataFrame({part: refit[f"{prefix}_{part}"] for part in PARTS})


def _as(measure: str, figures: dict) -> dict:
    """The figures of a C-index under its own name."""
    return {measure if name == "auc" else name: value for name, value in figures.items()}


def plus632(apparent: float, areas: pd.DataFrame) -> dict:
    """AUC by the .632+ bootstrap (Efron and Tibshirani, J Am Stat Assoc 1997; 92:548).

    A weighted mean of the apparent AUC and of the mean AUC in the patients who were not drawn (out of bag); the more a
    protocol overfits, the more the latter counts, up to all of it. Recommended for few events and for selection by Iba
    et al. (BMC Med Res Methodol 2021; 21:9). Somewhat too low, since a resample holds fewer different patients than the
    study: where cross-validation by patient gives .62 to .70 it may give .59, and Harrell's correction .75.

    The interval has the percentiles of the out-of-bag AUCs, shifted so that their mean is the estimate. A resample
    leaves only a third of the patients out, so it is rather too wide. In simulations of this geometry (76 patients, 131
    lesions, selection from 150 features) it held the model's true AUC in 93 to 99 %; Noma's interval around the same
    estimate in 30 to 54 %, the bootstrap of the finished model in 43 to 76 %.

    Args:
        apparent: the finished model's AUC on its own units.
        areas: column oob, one row per refit, NaN where the patients left out have one class only.
    """
    outside = float(areas["oob"].mean())
    estimate, overfitting, weight = _weigh(apparent, outside, CHANCE)
    low, high = (bound - outside + estimate for bound in _percentiles(areas["oob"]))
    return {
        "auc": estimate,
        "interval": [max(low, 0.0), min(high, 1.0)],
        "out_of_bag": outside,
        "overfitting": overfitting,
        "weight": weight,
    }


def _weigh(apparent: float, outside: float, chance: float, better: int = 1) -> tuple[float, float, float]:
    """The .632+ estimate of a figure, the overfitting and the weight of what was found out of bag.

    Args:
        chance: the figure where predictions have nothing to do with outcomes (the no-information rate).
        better: 1 where high is good, -1 where low is (Brier score).
    """
    floor = chance + better * max(better * (outside - chance), 0.0)
    gain = better * (apparent - chance)
    overfitting = float(np.clip(better * (apparent - floor) / gain, 0, 1)) if gain > 0 else 0.0
    weight = 0.632 / (1 - 0.368 * overfitting)
    return (1 - weight) * apparent + weight * floor, overfitting, weight


def _corrected(
    apparent: float, refit: pd.DataFrame, name: str, chance: float | None, better: int = 1
) -> dict[str, float | None]:
    """A figure as Harrell corrects it and by .632+ (None where its chance level is not known)."""
    optimism = float((refit[f"{name}_train"] - refit[f"{name}_test"]).mean())
    outside = None if chance is None else _weigh(apparent, float(refit[f"{name}_oob"].mean()), chance, better)[0]
    return {"apparent": apparent, "corrected": apparent - optimism, "plus632": outside}


def _rates(rates: dict, refit: pd.DataFrame) -> dict:
    """Net benefit, sensitivity and specificity, with the threshold, time and cut-off of the finished model.

    By chance a cut-off calls the same share of those with and without the event, and a net benefit at a threshold that
    is the share with the event is 0.
    """
    known = all(rates[name] is not None and np.isfinite(rates[name]) for name in RATES)
    called = None
    if known:
        share = rates["threshold"]
        called = share * rates["sensitivity"] + (1 - share) * (1 - rates["specificity"])
    chance = {"net_benefit": 0.0, "sensitivity": called, "specificity": None if called is None else 1 - called}
    found = {name: rates[name] for name in ("threshold", "time", "cut_off")}
    return found | {name: _corrected(rates[name], refit, name, chance[name]) for name in RATES if known}


def harrell(apparent: float, areas: pd.DataFrame) -> dict:
    """AUC less its optimism, the mean of train minus test (Harrell, Lee and Mark, Stat Med 1996; 15:361).

    The best known correction, and shown for that. It falls short where a protocol can learn its patients by heart (many
    features, few events): two thirds of the patients in the test rows are in the resample too. In noise it stays at .4
    to .9, following the apparent AUC, where the .632+ estimate is .50 to .57.

    The interval is Noma's (Stat Med 2021; 40:5691): percentiles of the refitted models' AUCs on their own resamples,
    shifted by the optimism. Those AUCs are higher than the apparent one, since a resample holds copies, so after strong
    overfitting the interval may lie above its own estimate.

    Args:
        apparent: the finished model's AUC on its own units.
        areas: columns train, test, one row per refit.
    """
    optimism = float((areas["train"] - areas["test"]).mean())
    low, high = (bound - optimism for bound in _percentiles(areas["train"]))
    return {
        "auc": apparent - optimism,
        "interval": [max(low, 0.0), min(high, 1.0)],
        "optimism": optimism,
        "train": float(areas["train"].mean()),
        "test": float(areas["test"].mean()),
    }


def _calibration(figures: dict, refit: pd.DataFrame) -> dict:
    """Brier score, slope and intercept as Harrell corrects them; the apparent slope is 1 and the intercept 0.

    `lines` is the number of resamples that have a line: none where nothing was selected.
    """
    line = refit[["slope", "intercept"]].dropna()
    return {
        "brier": _corrected(figures["brier"], refit, "brier", figures.get("uninformed_brier"), -1),
        "slope": float(line["slope"].mean()),
        "intercept": float(line["intercept"].mean()),
        "lines": len(line),
    }


def _survival(figures: dict, refit: pd.DataFrame) -> dict:
    """Slope as Harrell corrects it, and per time of the endpoint AUC and Brier score; `lines` as in `_calibration`."""
    slope, times = refit["slope"].dropna(), {}
    errors = {entry["time"]: entry["brier"] for entry in figures.get("brier") or []}
    for entry in figures.get("auc") or []:
        time, apparent = entry["time"], entry["auc"]
        times[f"{time:g}"] = {}
        if apparent is not None and np.isfinite(apparent):
            areas = _areas(refit, f"auc_{time:g}")
            times[f"{time:g}"] = {
                "auc": {
                    "apparent": apparent,
                    "corrected": plus632(apparent, areas),
                    "harrell": harrell(apparent, areas),
                }
            }
        if errors.get(time) is not None:
            chance = figures.get("uninformed_brier", [None] * len(errors))[list(errors).index(time)]
            times[f"{time:g}"]["brier"] = _corrected(errors[time], refit, f"brier_{time:g}", chance, -1)
    return {"slope": float(slope.mean()), "lines": len(slope), "times": times} | _integrated(times)


def _integrated(times: dict) -> dict:
    """Integrated Brier scores, of corrected scores at each time; none where a time has no score, or of one time."""
    scores = [found["brier"] for found in times.values() if "brier" in found]
    if len(scores) < max(len(times), 2) or any(value is None for score in scores for value in score.values()):
        return {}
    at = [float(time) for time in times]
    return {"ibs": {name: integrated_brier(at, [score[name] for score in scores]) for name in scores[0]}}


def _index_table(apparent: dict, refit: pd.DataFrame) -> pd.DataFrame:
    """`validation_table` from the rows of refits: Dxy from AUC or C, a line of 0 and 1 on the drawn rows."""
    measure = "c" if "c_test" in refit else "auc"
    train, test = ({"dxy": 2 * refit[f"{measure}_{part}"] - 1} for part in ("train", "test"))
    for name in set(apparent) - {"dxy"}:
        if name in LINE:
            line = refit[name]
            train[name], test[name] = line.where(line.isna(), LINE[name]), line
        else:
            train[name], test[name] = refit[f"{name}_train"], refit[f"{name}_test"]
    return validation_table(apparent, pd.DataFrame(train), pd.DataFrame(test))


def _percentiles(values: pd.Series) -> list[float]:
    return [float(value) for value in values.quantile(list(LEVELS))]


def _text(column: pd.Series) -> pd.Series:
    """A text column as it was before it was written: blank cells are read as missing."""
    return column.astype(object).where(column.notna(), "").astype(str)


def _shares(joined: pd.Series) -> dict[str, float]:
    """Share of the resamples in which each name occurs, the most frequent first."""
    counts = Counter(name for text in _text(joined) for name in text.split(";") if name)
    return {name: count / len(joined) for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))}
