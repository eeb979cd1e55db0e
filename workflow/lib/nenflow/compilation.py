"""Compile the solvers (numba) beforehand: jobs that start beside each other would each do it, for a minute.

The compiled code lies beside the library's bytecode. After an edit, the next job that needs it compiles it anew.
"""

import numpy as np
import pandas as pd

from nenflow.evaluation.apparent import apparent_figures
from nenflow.evaluation.refitting import refit_resamples
from nenflow.evaluation.resampling import patient_resample
from nenflow.models.protocol import build_protocol, scores
from nenflow.models.tables import multivariable_table, univariable_table

FIRST = [
    {"zscore": {}},
    {"spearman": {}},
    {"lasso": {"folds": 3}},
    {"univariable": {"p": 1.0}},
    {"backward": {"p": 0.9}},
]


def use_everything() -> None:
    """One small study of either kind of outcome, from its protocol to its resamples."""
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product(
        [[f"P{number}" for number in range(60)], ["lesion1"]], names=["patient", "region"]
    )
    X = pd.DataFrame(rng.normal(size=(60, 5)), index, ["a", "b", "c", "d", "age"])
    risk = X["a"] + X["age"] + rng.logistic(size=60)
    binary = (risk > 0).astype(int).rename("outcome")
    survival = pd.DataFrame({"time": np.exp(-risk) * 10, "event": (rng.random(60) < 0.7).astype(int)}, index)
    for y, final, times in ((binary, "logistic", ()), (survival, "cox", (2.0, 5.0))):
        protocol = build_protocol([*FIRST, {final: {}}], ["age"], None, 1, times)
        refit_resamples(protocol, X, y, 1, [0])
        table = scores(protocol.fit(X, y), X)
        apparent_figures(y, table, "model", times, [patient_resample(index, 1, 0)])
        univariable_table(X, y)
        multivariable_table(X[["a", "age"]], y)


if __name__ == "__main__":
    use_everything()
