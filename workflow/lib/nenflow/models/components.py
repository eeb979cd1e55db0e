"""Principal components of standardised features."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from nenflow.errors import InputError

ENOUGH = 0.95  # share of the variance that `Components.enough` speaks of
_ROUNDING = 1e-12  # a sum of shares this close to the whole is the whole


@dataclass(frozen=True)
class Components:
    """Principal components.

    Attributes:
        centre, scale: mean and standard deviation (n - 1) of each feature, shape (p,).
        sd: standard deviation (n - 1) of each component, falling, shape (k,), k = min(n, p).
        variance_ratio: each component's share of the variance, shape (k,).
        rotation: weights of the standardised features, shape (p, k); of each component the largest weight is positive
            (in R the sign is arbitrary).
    """

    centre: np.ndarray
    scale: np.ndarray
    sd: np.ndarray
    variance_ratio: np.ndarray
    rotation: np.ndarray

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Components of rows (n, p), shape (n, k)."""
        return (np.asarray(X, dtype=float) - self.centre) / self.scale @ self.rotation

    def enough(self, share: float = ENOUGH) -> int:
        """How many components, the largest first, hold that share of the variance."""
        return int(np.argmax(np.cumsum(self.variance_ratio) >= share - _ROUNDING)) + 1


def principal_components(X: np.ndarray) -> Components:
    """Principal components of features (Hotelling 1933), centred and divided by their sd with n - 1.

    As R's prcomp(center = TRUE, scale. = TRUE); sklearn's StandardScaler would divide by the sd with n.

    Args:
        X: features, shape (n, p).

    Raises:
        InputError: there are fewer than two rows, a value is missing, or a feature does not vary.
    """
    X = np.asarray(X, dtype=float)
    if len(X) < 2 or X.shape[1] == 0 or not np.isfinite(X).all():
        raise InputError("Principal components need two lesions and a feature at least, and no missing value.")
    constant = np.flatnonzero(np.ptp(X, axis=0) == 0)
    if constant.size:
        raise InputError(
            f"{constant.size} of {X.shape[1]} features do not vary (column {constant[0] + 1} first), so they have no "
            "principal components; leave them out."
        )
    centre, scale = X.mean(axis=0), X.std(axis=0, ddof=1)
    found = PCA(svd_solver="full").fit((X - centre) / scale)
    largest = np.argmax(np.abs(found.components_), axis=1)
    signs = np.sign(found.components_[np.arange(len(largest)), largest])
    return Components(
        centre=centre,
        scale=scale,
        sd=np.sqrt(found.explained_variance_),
        variance_ratio=found.explained_variance_ratio_,
        rotation=(found.components_ * signs[:, None]).T,
    )
