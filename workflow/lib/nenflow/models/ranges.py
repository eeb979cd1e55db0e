"""What the inputs of a model were like in the units that it was made from, and which new units are unlike them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f as f_distribution

from nenflow.documents import plain

INSIDE = 0.975  # of units like those of training are nearer than the threshold


def training_distribution(X: pd.DataFrame, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the inputs of a model, in aggregates only.

    Args:
        X: the inputs as the model takes them (levels coded 1, 2, 3 and so on), a row per unit.
        variables: the variables among them, as study.yaml declares them; the others are features.

    Returns:
        inputs: by name n (known values), mean, sd, minimum, quartiles and maximum; of a categorical variable counts, by
        level. distance: n (complete units), inputs, mean and covariance (rows), which `distances` reads.
    """
    inputs = {}
    for name, column in X.items():
        known = column.dropna()
        levels = variables.get(name, {}).get("levels")
        if levels:
            inputs[name] = {"n": len(known), "counts": {v: int((known == i).sum()) for i, v in enumerate(levels, 1)}}
        else:
            quartiles = np.quantile(known, [0.25, 0.5, 0.75])
            spread = {"minimum": known.min(), "quartiles": quartiles, "maximum": known.max()}
            inputs[name] = {"n": len(known), "mean": known.mean(), "sd": known.std(), **spread}
    complete = X.dropna().to_numpy(dtype=float)
    covariance = np.atleast_2d(np.cov(complete, rowvar=False)) if X.shape[1] else []
    distance = {"n": len(complete), "inputs": list(X.columns), "mean": complete.mean(axis=0), "covariance": covariance}
    return plain({"inputs": inputs, "distance": distance})


def outside(training: Mapping[str, Any], X: pd.DataFrame, labels: Mapping[str, str]) -> pd.Series:
    """Say of each unit which inputs are beyond what training had; "" where none is.

    Args:
        training: from `training_distribution`.
        X: the inputs of new units; missing ones are not judged.
        labels: what inputs are called in sentences.
    """
    said: list[list[str]] = [[] for _ in range(len(X))]
    for name, known in training["inputs"].items():
        label = labels.get(name, name)
        for place, value in enumerate(X[name].to_numpy(dtype=float)):
            if np.isnan(value):
                continue
            if "counts" in known:
                level, count = list(known["counts"].items())[int(value) - 1]
                if not count:
                    said[place].append(f"{label}: nobody in training had {level}")
            elif not known["minimum"] <= value <= known["maximum"]:
                reach = f"{known['minimum']:.4g} to {known['maximum']:.4g}"
                said[place].append(f"{label} {value:.4g} is outside {reach}")
    return pd.Series(["; ".join(parts) for parts in said], index=X.index, dtype=object)


def distances(training: Mapping[str, Any], X: pd.DataFrame) -> tuple[pd.Series, float]:
    """Mahalanobis distance of new units from the mean of training, and the threshold beyond which they are far.

    The threshold is the 97.5th percentile for a further unit of the same normal distribution, whose mean and covariance
    were estimated from n units: squared, k (n + 1) (n - 1) / (n (n - k)) times that of F with k and n - k degrees of
    freedom (Hotelling, Ann Math Stat 1931; 2:360). k counts inputs that are no combination of others.

    Returns:
        distances, NaN of units with missing inputs; the threshold, infinite where training had too few units for one.
    """
    known = training["distance"]
    names, n = known["inputs"], known["n"]
    covariance = np.array(known["covariance"], dtype=float).reshape(len(names), len(names))
    scale = np.sqrt(np.diag(covariance))
    varies = scale > 0
    correlation = covariance[np.ix_(varies, varies)] / np.outer(scale[varies], scale[varies])
    rank = int(np.linalg.matrix_rank(correlation, tol=1e-9, hermitian=True)) if varies.any() else 0
    if not rank:
        return pd.Series(0.0, index=X.index), np.inf
    values = (X[names].to_numpy(dtype=float) - np.array(known["mean"], dtype=float))[:, varies] / scale[varies]
    weights = np.linalg.pinv(correlation, rcond=1e-9, hermitian=True)
    squared = np.einsum("ij,jk,ik->i", values, weights, values)
    threshold = np.inf
    if n > rank:
        ratio = rank * (n + 1) * (n - 1) / (n * (n - rank))
        threshold = float(np.sqrt(ratio * f_distribution.ppf(INSIDE, rank, n - rank)))
    return pd.Series(np.sqrt(squared), index=X.index), threshold
