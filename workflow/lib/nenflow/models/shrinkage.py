"""A final model shrunk by one factor on all coefficients, so that it promises new patients no more than it keeps.

Uniform shrinkage (Van Houwelingen and le Cessie, Stat Med 1990; 9:1303; Harrell, Regression Modeling Strategies, 2015,
section 5.3.6; Steyerberg, Clinical Prediction Models, 2019, chapter 13): the factor is the calibration slope that the
model is to be expected to have in new patients, corrected for optimism.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from nenflow.documents import plain
from nenflow.models.base import is_survival, outcome_strata
from nenflow.models.cox import hazard_steps

_LARGEST_LOG_ODDS = 700.0  # beyond it a probability is 0 or 1


def factor_of(slope: float | None) -> float | None:
    """The factor for a corrected calibration slope; None where there is no slope, or none above 0: no model is left.

    A slope above 1 says that nothing is to be shrunk; coefficients are not made larger.
    """
    return min(float(slope), 1.0) if slope is not None and slope > 0 else None


def shrink_model(
    document: Mapping[str, Any], predictor: np.ndarray, y: pd.Series | pd.DataFrame, factor: float
) -> dict[str, Any]:
    """Shrink a final model; the mean predicted risk stays that of the patients the model was made from.

    Args:
        document: of a LogisticModel or CoxModel.
        predictor: its linear predictor of the rows that it was fitted to, shape (n,).
        y: their outcome.
        factor: what the coefficients are multiplied by, 0 < factor <= 1.

    Returns:
        the document with new coefficients; of a logistic model the intercept with which predicted events are as many as
        observed ones, of a Cox model the baseline hazard at the shrunk predictor; without se, p and log_likelihood,
        which shrunk coefficients do not have; and `shrinkage`, the factor.
    """
    kept = {key: value for key, value in document.items() if key not in ("se", "p", "log_likelihood")}
    kept["coefficients"] = {name: factor * value for name, value in document["coefficients"].items()}
    kept["shrinkage"] = factor
    shrunk = factor * (np.asarray(predictor, dtype=float) - document.get("intercept", 0.0))
    if is_survival(y):
        baseline = hazard_steps(shrunk, y["time"], y["event"], document["ties"], outcome_strata(y))
        kept |= {"baseline": {name: baseline[name].tolist() for name in document["baseline"]}, "center": shrunk.mean()}
    else:
        kept["intercept"] = intercept_for(shrunk, float(np.mean(y)))
        shrunk = shrunk + kept["intercept"]
    return plain(kept | {"linear_predictor": [shrunk.min(), shrunk.max()]})


def intercept_for(predictor: np.ndarray, share: float) -> float:
    """The intercept with which the mean probability is the share of events."""
    reach = np.abs(predictor).max() + _LARGEST_LOG_ODDS
    return float(brentq(lambda a: expit(a + predictor).mean() - share, -reach, reach, xtol=1e-12))
