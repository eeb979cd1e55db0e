import numpy as np
import pandas as pd
from dcurves import dca

from nenflow.evaluation.discrimination import check_outcome

THRESHOLDS = np.arange(1, 100) / 100


def decision_curve(y, probability, thresholds=THRESHOLDS) -> pd.DataFrame:
    """Net benefit of acting on a model, on everybody and on nobody (Vickers and Elkin, Med Decis Making 2006; 26:565).

    A unit is acted on when its probability is at or above the threshold. Not smoothed and not corrected for optimism.

    Args:
        y: 0/1 per unit, 1 = event.
        probability: predicted probability of the event, 0 to 1.
        thresholds: probabilities above 0 and below 1.

    Returns:
        Columns threshold, strategy (model, all, none), net_benefit (true positives per unit); one row per strategy
        and threshold, strategies in that order.
    """
    event, _ = check_outcome(y, probability)
    units = pd.DataFrame({"event": event.astype(int), "model": np.asarray(probability, dtype=float)})
    curve = dca(data=units, outcome="event", modelnames=["model"], thresholds=list(thresholds))
    return curve.rename(columns={"model": "strategy"})[["threshold", "strategy", "net_benefit"]]
