"""Synthetic rows for outcomes that are out of balance: SMOTE and ADASYN, to exact counts of each class.

SMOTE (Chawla et al. 2002, J Artif Intell Res 16:321) puts a new row somewhere on the line between a row and one of its
nearest neighbours of the same class. ADASYN (He et al. 2008, IEEE IJCNN, 1322) does the same, but more often beside
rows whose neighbourhood is of the other class. Both only copy the variation that is there: a row grown from training
rows is no new patient, and a cohort of them validates nothing; grown before folds are drawn, it makes noise look like
signal.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from nenflow.errors import InputError

ORIGINAL, SYNTHETIC = "original", "synthetic"
METHODS = ("adasyn", "smote")


def oversample(
    X: pd.DataFrame,
    y: pd.Series,
    counts: Mapping[int, int] | None = None,
    method: str = "adasyn",
    neighbours: int = 5,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Add synthetic rows until each class has the wanted count.

    Neighbours are searched among z-scores (n - 1) of the rows given, so that no feature counts more for its unit;
    values are returned on the scale of the input. Either class may be grown, each against the other and from original
    rows only.

    Values are interpolated, so only measurements belong in X: a variable coded 0 and 1 is refused, since a patient
    with sex 0.4 is none; a category of more levels cannot be told from a measurement and must be left out.

    Where imbalanced-learn's ADASYN rounds each row's share, and so misses the count by some rows, here so many more are
    asked for that rounding cannot fall short, and what is too much is dropped at random.

    Args:
        X: features, index (patient, region).
        y: 0 or 1, same index. It may be permuted, to see what a cohort grown from noise looks like.
        counts: rows of each class afterwards, originals included: {0: 10 + 87, 1: 15 + 90}. A class that is not named
            stays; without counts the smaller class is grown to the size of the larger.
        method: "adasyn" or "smote".
        neighbours: nearest neighbours that are looked at, of the same class to grow and, by ADASYN, of any class to
            judge the neighbourhood.
        seed: decides the synthetic rows.

    Returns:
        Features, outcome and origin ("original" or "synthetic") of all rows: the originals as they were, in their
        order, then the synthetic ones, class 0 first, with index ("synthetic-001", region), where region is that of the
        originals if all have the same and "synthetic" otherwise.

    Raises:
        InputError: a value is missing, a variable is coded 0 and 1, the outcome is not 0 and 1 or has one class, a
            count is below the rows there are, a class has too few rows for its neighbours, ADASYN finds no row beside
            the other class, or a patient is called synthetic already.
    """
    _check_table(X)
    values, grown = grow(X.to_numpy(dtype=float), np.asarray(y), counts, method, neighbours, seed)
    new = len(values) - len(X)
    regions = X.index.get_level_values("region").unique()
    names = [f"synthetic-{number:03d}" for number in range(1, new + 1)]
    added = pd.MultiIndex.from_arrays([names, [regions[0] if len(regions) == 1 else SYNTHETIC] * new])
    index = X.index.append(added).set_names(X.index.names)
    origin = pd.Series(np.repeat([ORIGINAL, SYNTHETIC], [len(X), new]), index=index, name="origin")
    return pd.DataFrame(values, index=index, columns=X.columns), pd.Series(grown, index=index, name=y.name), origin


def inside_folds(
    method: str, counts: Mapping[int, int] | None = None, neighbours: int = 5, seed: int = 0
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Oversampling as a function of training rows (n, k) and their outcome, for `lasso.cross_validate`'s `enrich`.

    Arguments as in `oversample`; with `counts`, every fold's training rows are grown to the same counts. What it makes
    depends on the rows it is given and on `seed` alone, not on which fold comes first.
    """

    def enrich(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return grow(X, y, counts, method, neighbours, seed)

    return enrich


def grow(
    X: np.ndarray,
    y: np.ndarray,
    counts: Mapping[int, int] | None = None,
    method: str = "adasyn",
    neighbours: int = 5,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """As `oversample`, on arrays (n, k) and (n,), and without its refusal of variables coded 0 and 1.

    Returns:
        features and outcome: the originals, then the synthetic rows of class 0, then those of class 1.
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    sizes = _check_rows(X, y, method)
    wanted = {label: max(sizes) for label in (0, 1)} if counts is None else _wanted(counts, sizes)
    centre = X.mean(axis=0)
    scale = np.where(np.ptp(X, axis=0) > 0, X.std(axis=0, ddof=1), 1)
    scores = (X - centre) / scale
    rows, outcomes = [X], [y]
    for label in (0, 1):
        missing = wanted[label] - sizes[label]
        if missing:
            rng = np.random.default_rng([seed, label])
            rows.append(_synthetic(scores, y == label, missing, method, neighbours, rng) * scale + centre)
            outcomes.append(np.full(missing, label, dtype=y.dtype))
    return np.vstack(rows), np.concatenate(outcomes)


def _synthetic(
    scores: np.ndarray, own: np.ndarray, count: int, method: str, neighbours: int, rng: np.random.Generator
) -> np.ndarray:
    """New rows (count, k) of the class `own`."""
    size = int(own.sum())
    if size <= neighbours:
        raise InputError(
            f"A class with {size} row(s) has no {neighbours} neighbours to grow from; lower neighbours to "
            f"{size - 1} or less."
            if size > 1
            else "A class with one row has no neighbour to grow from; leave the oversampling out."
        )
    # Loading it takes a second, which the many protocols that do not oversample would pay as well.
    from imblearn.over_sampling import ADASYN, SMOTE

    draw = int(rng.integers(2**31))
    if method == "adasyn":
        asked = {1: size + count + (size + 1) // 2}  # rounding takes at most half a row from the share of each
        sampler = ADASYN(sampling_strategy=asked, n_neighbors=neighbours, random_state=draw)
    else:
        sampler = SMOTE(sampling_strategy={1: size + count}, k_neighbors=neighbours, random_state=draw)
    try:
        new = sampler.fit_resample(scores, own.astype(int))[0][len(scores) :]
    except RuntimeError as error:  # the only one there: no row of this class has a neighbour of the other
        raise InputError(
            "ADASYN grows rows that lie beside the other class, and there are none among the nearest "
            f"{neighbours}; use smote."
        ) from error
    return new[np.sort(rng.permutation(len(new))[:count])]


def _check_rows(X: np.ndarray, y: np.ndarray, method: str) -> tuple[int, int]:
    """Rows of class 0 and of class 1."""
    if method not in METHODS:
        raise InputError(f"The oversampling method is '{method}'; it must be {' or '.join(METHODS)}.")
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise InputError("Oversampling needs an outcome that is 0 or 1 in every row; it knows no times to an event.")
    if not np.isfinite(X).all():
        raise InputError("Oversampling needs a value of every feature in every row; complete them or leave rows out.")
    sizes = int((y == 0).sum()), int((y == 1).sum())
    if not min(sizes):
        raise InputError("The outcome is the same in all rows; oversampling needs rows with it and without it.")
    return sizes


def _check_table(X: pd.DataFrame) -> None:
    coded = [name for name in X.columns if set(X[name].unique()) == {0, 1}]
    if coded:
        raise InputError(
            f"The variable '{coded[0]}' is coded 0 and 1, and oversampling would make fractions of it; leave it out."
        )
    if X.index.get_level_values("patient").astype(str).str.startswith(f"{SYNTHETIC}-").any():
        raise InputError("The table holds synthetic rows already; oversample the original ones.")


def _wanted(counts: Mapping[int, int], sizes: tuple[int, int]) -> dict[int, int]:
    """Rows of each class afterwards."""
    if not set(counts) <= {0, 1}:
        raise InputError("The counts of an oversampling are those of class 0 and of class 1; leave others out.")
    wanted = {label: int(counts.get(label, sizes[label])) for label in (0, 1)}
    for label in (0, 1):
        if wanted[label] < sizes[label]:
            raise InputError(
                f"Class {label} has {sizes[label]} rows and {wanted[label]} are wanted; oversampling only adds rows, "
                "and the count includes those that are there."
            )
    return wanted
