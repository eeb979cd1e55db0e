"""Small tables of lesions, as the steps of a protocol take them."""

import numpy as np
import pandas as pd


def lesions(values, patients=None):
    """A table of features with 1, 2, ... as patients (or those given) and one region each."""
    table = pd.DataFrame(values)
    patients = [str(i) for i in range(len(table))] if patients is None else patients
    regions = [f"L{i}" for i in range(len(table))]
    return table.set_axis(pd.MultiIndex.from_arrays([patients, regions], names=["patient", "region"]))


def outcome(values, X):
    return pd.Series(values, index=X.index)


def signal():
    """90 lesions of 60 patients; the outcome depends on two of twelve features and on age."""
    rng = np.random.default_rng(12)
    values = pd.DataFrame(rng.normal(size=(90, 12)), columns=[f"f{j}" for j in range(12)])
    values["age"] = rng.integers(30, 80, size=90)
    log_odds = 1.5 * values["f2"] - 1.5 * values["f7"] + 0.03 * (values["age"] - 55)
    X = lesions(values, [str(i // 2) if i < 60 else str(i) for i in range(90)])
    event = rng.random(90) < 1 / (1 + np.exp(-log_odds.to_numpy()))
    return X, outcome(event.astype(int), X)


def survival_signal():
    """The same lesions with times: the hazard depends on f2, f7 and age; times are whole months, so some are equal."""
    X, _ = signal()
    rng = np.random.default_rng(13)
    hazard = 0.02 * np.exp(X["f2"] - X["f7"] + 0.03 * (X["age"] - 55))
    until, censored = rng.exponential(1 / hazard), rng.uniform(12, 60, size=90)
    time = np.ceil(np.minimum(until, censored))
    return X, pd.DataFrame({"time": time, "event": (until <= censored).astype(int)}, index=X.index)
