"""Fits that stop where rms stops, for figures of rms that come from refits.

rms::lrm.fit ends one Newton step after -2 log L changes by less than 0.025 (12 steps at most), rms::cph when log L
changes by less than 1e-4 of itself. Where a resample separates the classes, a coefficient is then whatever it had come
to, and figures of rms depend on it; nenflow converges or takes Firth's estimate. Comparing nenflow's indexes on these
coefficients shows that only the stop differs.
"""

import numpy as np
from scipy.special import expit, logit, xlogy

LRM_CHANGE, LRM_STEPS = 0.025, 12  # lrm.fit's help: eps, maxit
CPH_CHANGE, CPH_STEPS = 1e-4, 20  # cph's help: eps
GLM_CHANGE, GLM_STEPS = 1e-12, 100  # glm.control as engine.R sets it for the refits under "bootstrap"


def lrm(X, y) -> np.ndarray:
    """Intercept and coefficients of lrm.fit."""
    design = np.column_stack([np.ones(len(y)), X])
    coef = np.zeros(design.shape[1])
    coef[0] = logit(y.mean())
    before, near = _minus_2_log_likelihood(design, y, coef), False
    for _ in range(LRM_STEPS):
        coef = coef + _step(design, y, coef)
        if near:
            break
        now = _minus_2_log_likelihood(design, y, coef)
        near, before = abs(before - now) < LRM_CHANGE, now
    return coef


def glm(X, y, change=GLM_CHANGE) -> np.ndarray:
    """Intercept and coefficients of R's glm."""
    design = np.column_stack([np.ones(len(y)), X])
    p = (y + 0.5) / 2
    coef, before = (
        np.linalg.lstsq(np.sqrt(p * (1 - p))[:, None] * design, _working(logit(p), y, p), rcond=None)[0],
        None,
    )
    for _ in range(GLM_STEPS):
        now = _minus_2_log_likelihood(design, y, coef)
        if before is not None and abs(now - before) / (abs(now) + 0.1) < change:
            break
        coef, before = coef + _step(design, y, coef), now
    return coef


def _working(eta, y, p):
    return np.sqrt(p * (1 - p)) * (eta + (y - p) / (p * (1 - p)))


def _step(design, y, coef):
    p = expit(design @ coef)
    return np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]), design.T @ (y - p))


def _minus_2_log_likelihood(design, y, coef):
    eta = design @ coef
    return -2 * (xlogy(y, expit(eta)) + xlogy(1 - y, expit(-eta))).sum()


def cph(X, time, event) -> tuple[np.ndarray, float, float]:
    """Coefficients of cph, their log partial likelihood and that of no variables."""
    efron = _Efron(X, time, event)
    coef, (value, score, information) = np.zeros(X.shape[1]), efron(np.zeros(X.shape[1]))
    null, trial = value, np.linalg.solve(information, score)
    for _ in range(CPH_STEPS):
        now, score, information = efron(trial)
        if abs(1 - value / now) <= CPH_CHANGE:
            return trial, now, null
        if not now >= value:
            trial = (trial + coef) / 2
            continue
        coef, value = trial, now
        trial = coef + np.linalg.solve(information, score)
    raise AssertionError("cph did not come to an end")


class _Efron:
    """Log partial likelihood, score and information with Efron's ties, by cumulative sums."""

    def __init__(self, X, time, event):
        order = np.argsort(-time, kind="stable")
        X, time, self.dead = X[order] - X.mean(axis=0), time[order], event[order] == 1
        self.X, self.products = X, X[:, :, None] * X[:, None, :]
        self.group = np.unique(-time, return_inverse=True)[1]
        deaths = np.bincount(self.group, weights=self.dead).astype(int)
        end = np.cumsum(np.bincount(self.group)) - 1
        self.of = np.repeat(np.arange(len(deaths)), deaths)  # the time of each death
        self.share = np.concatenate([np.arange(d) / d for d in deaths if d])
        self.end = end[self.of]

    def _sums(self, values):
        """Of each death: the sum over those at risk, less its share of those who die then."""
        dying = np.zeros((self.group[-1] + 1, *values.shape[1:]))
        np.add.at(dying, self.group[self.dead], values[self.dead])
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return np.cumsum(values, axis=0)[self.end] - share * dying[self.of]

    def __call__(self, coef):
        eta = self.X @ coef
        hazard = np.exp(eta - eta.max())
        total = self._sums(hazard)
        mean = self._sums(hazard[:, None] * self.X) / total[:, None]
        second = self._sums(hazard[:, None, None] * self.products) / total[:, None, None]
        value = eta[self.dead].sum() - (np.log(total) + eta.max()).sum()
        information = (second - mean[:, :, None] * mean[:, None, :]).sum(axis=0)
        return value, self.X[self.dead].sum(axis=0) - mean.sum(axis=0), information
