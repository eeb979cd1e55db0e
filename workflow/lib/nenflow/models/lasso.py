"""The LASSO and the elastic net for binary and time-to-event outcomes: the path and its cross-validation.

The problem, the path of penalties and the standardisation are those of Friedman, Hastie & Tibshirani 2010 (J Stat
Softw 33:1) and Simon et al. 2011 (J Stat Softw 39:5), with the conventions of R's glmnet, so that a study repeated here
selects what it selected in R. Solutions are exact (see `nenflow.models.penalised`): glmnet at a threshold of 1e-12
still stops up to 0.02 short of them deep in the path of 131 lesions and 95 features.

An outcome `y` is either 0 or 1 for each row (binomial), or an array of two columns, time and event (Cox; 1 is the
event, 0 and the competing event 2 count as censored).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from nenflow.errors import InputError
from nenflow.models.copies import without_copies
from nenflow.models.penalised import advance, foretell, standardise, start
from nenflow.models.ranks import midranks

# Conventions of glmnet, as its documentation gives them.
N_LAMBDAS = 100
SMALLEST_LAMBDA = {True: 1e-4, False: 1e-2}  # relative to the largest; True: at least as many lesions as features
_GRID = {enough: np.geomspace(1, smallest, N_LAMBDAS) for enough, smallest in SMALLEST_LAMBDA.items()}
FAR = 0.9  # a penalty this much smaller than the one before is reached in steps, about as long as the grid's own
CLIPPED = 1e-5  # probabilities in the cross-validated deviance are kept this far from 0 and 1
FEWEST_PER_FOLD = 3  # with fewer lesions per fold the standard error is taken over lesions, not over folds
FEWEST_FOR_AUC = 10  # an AUC in fewer lesions per fold says nothing
DECIMALS = 9  # of scores before they are ranked: below them is rounding, which would break ties
ROUNDING = 1e-12  # measures this close are equal
HOPELESS = (
    0.5  # of the null model's deviance: a curve that is so far above its minimum does not come back, see `_ended`
)
_FIRST, _FURTHER = 24, 8  # penalties that are judged before a curve may end, and then at a time
MEASURES = ("deviance", "auc")

Enrich = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Path:
    """Solutions of the LASSO along falling penalties.

    Attributes:
        lambdas: penalties, falling, shape (n_lambdas,).
        coefs: coefficients on the scale of the input, shape (n_lambdas, n_features).
        intercepts: shape (n_lambdas,).
        df: number of coefficients that are not zero, shape (n_lambdas,).
        dev_ratio: share of the null deviance explained, shape (n_lambdas,).
        threshold: the solver's threshold, see `lasso_path`.
    """

    lambdas: np.ndarray
    coefs: np.ndarray
    intercepts: np.ndarray
    df: np.ndarray
    dev_ratio: np.ndarray
    threshold: float

    def at(self, lambdas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (n, n_features) and intercepts (n,) at other penalties, interpolated linearly in lambda."""
        position = np.interp(-np.asarray(lambdas), -self.lambdas, np.arange(len(self.lambdas)))
        left = position.astype(int)
        right = np.minimum(left + 1, len(self.lambdas) - 1)
        share = position - left
        coefs = (1 - share)[:, None] * self.coefs[left] + share[:, None] * self.coefs[right]
        return coefs, (1 - share) * self.intercepts[left] + share * self.intercepts[right]


@dataclass(frozen=True)
class CrossValidation(Path):
    """The path of all lesions with its cross-validated measure.

    Attributes:
        cvm: measure in the lesions left out, shape (n_lambdas,): mean deviance per lesion (Cox: partial-likelihood
            deviance per event), the less the better; or AUC, the more the better. Of a repeated cross-validation the
            mean over the repeats.
        cvsd: its standard error over the folds, shape (n_lambdas,). Of a repeated cross-validation the mean of the
            repeats' own: repeats deal the same lesions out anew and make no more of them, so they do not shrink it.
        index_min, lambda_min: where the measure is best.
        index_1se, lambda_1se: the largest penalty whose measure is within one standard error of the best.
        measure: "deviance" or "auc".
        repeats: cvm and cvsd of each repeat, shape (n_repeats, 2, n_lambdas).
    """

    cvm: np.ndarray
    cvsd: np.ndarray
    index_min: int
    index_1se: int
    measure: str
    repeats: np.ndarray

    @property
    def lambda_min(self) -> float:
        """The penalty with the best cross-validated measure."""
        return float(self.lambdas[self.index_min])

    @property
    def lambda_1se(self) -> float:
        """The largest penalty within one standard error of the best measure."""
        return float(self.lambdas[self.index_1se])

    def index(self, rule: str) -> int:
        """Position in the path that a rule, "lambda.min" or "lambda.1se", chooses."""
        return {"lambda.min": self.index_min, "lambda.1se": self.index_1se}[rule]

    def frequencies(self, rule: str = "lambda.min") -> np.ndarray:
        """Share of the repeats whose own choice of penalty selects a feature, shape (n_features,)."""
        place = ("lambda.min", "lambda.1se").index(rule)
        chosen = [_choose(cvm, cvsd, self.measure)[place] for cvm, cvsd in self.repeats]
        return (self.coefs[chosen] != 0).mean(axis=0)


def lasso_path(
    X: np.ndarray, y: np.ndarray, lambdas: np.ndarray | None = None, threshold: float = 1e-12, alpha: float = 1.0
) -> Path:
    """Minimise mean loss + lambda * sum(alpha * |b| + (1 - alpha) / 2 * b^2), b = coefficient * sd, for falling lambda.

    The loss is the negative log-likelihood, or log partial likelihood (Breslow's ties), divided by the number of rows.
    Features are standardised by their sd with n in the denominator; coefficients are given on the scale of the input.
    A feature without variation keeps the coefficient zero. The intercept is not penalised; a Cox model has none (zero).

    Args:
        X: features, shape (n, p).
        y: outcome, 0 or 1, shape (n,); or time and event, shape (n, 2).
        lambdas: falling penalties; without them 100 from the smallest one that selects nothing down to 1e-4 of it
            (1e-2 with fewer lesions than features), and the path ends early where nothing is left to explain.
        threshold: a solution stands when the last change of each coefficient, squared and times the curvature, is
            below this (glmnet's measure; its default is 1e-7).
        alpha: the LASSO's share of the penalty, 0 < alpha <= 1; below 1 it is an elastic net (Zou & Hastie 2005).

    Raises:
        InputError: a value is missing, the outcome has one class only, no event or no time after zero, or alpha is
            outside its range.
    """
    X, y = _checked(X, y)
    search = _Search(X, y, np.ones(len(y)), lambdas, threshold, alpha)
    return search.path(len(search.lambdas))


class _Search:
    """The path of penalties, solved as far as it is asked for; arguments as in `lasso_path`.

    Rows have weights: how often each counts. A Cox model's are ones.
    """

    def __init__(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, lambdas: np.ndarray | None, threshold: float, alpha
    ):
        if not 0 < alpha <= 1:
            raise InputError(f"The elastic net's alpha is {alpha}; it must be above 0 and at most 1 (1 is the LASSO).")
        if _single(y):
            raise InputError(
                "The outcome is the same in all lesions of a LASSO fit; it needs lesions with and without it."
                if y.ndim == 1
                else "No patient of a LASSO fit has the event; it needs some who have."
            )
        order, event, ends, deaths = _risk_sets(y)
        Z, self.centre, self.scale = standardise(np.ascontiguousarray(X[order].T), weights)
        self.solver = start(Z, event, weights, ends, deaths)
        self.threshold, self.alpha = threshold, float(alpha)
        self.has_intercept, self.own_grid = y.ndim == 1, lambdas is None
        largest = self.solver.slope.max() / alpha  # the penalty that just selects nothing
        if self.own_grid:
            lambdas = largest * _GRID[weights.sum() >= len(Z)]
        self.lambdas = np.asarray(lambdas, dtype=float)
        if self.lambdas[0] <= 0:  # no feature varies: the null model is the whole path
            self.lambdas, self.own_grid = np.zeros(1), True
        self.betas, self.intercepts, self.explained = self._room(len(self.lambdas))
        self.largest, self.solved, self.ended = largest, 0, False

    def _room(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros((count, len(self.scale))), np.zeros(count), np.zeros(count)

    def reach(self, count: int) -> None:
        """Solve the first `count` penalties, as far as the path goes; given penalties all at once."""
        settings, found = (self.alpha, self.threshold, self.own_grid), (self.betas, self.intercepts, self.explained)
        end = min(count, len(self.lambdas))
        if self.ended or end <= self.solved:
            return
        if self.own_grid:
            self.solved, self.ended = advance(self.solver, self.lambdas, self.solved, end, *settings, *found)
            return
        way, wanted = _way(self.largest, self.lambdas)
        found = self._room(len(way))
        solved, self.ended = advance(self.solver, way, 0, len(way), *settings, *found)[0], True
        self.betas, self.intercepts, self.explained = (values[:solved][wanted[:solved]] for values in found)
        self.solved = len(self.betas)
        if not self.solved:
            raise InputError(
                "The features of a LASSO foretell the outcome all but perfectly, so that it has no solution at the "
                "penalties given; give larger ones."
            )

    def path(self, count: int) -> Path:
        """The solutions of the first `count` penalties, fewer where the path ends before."""
        self.reach(count)
        count = min(count, self.solved)
        coefs = self.betas[:count] / self.scale
        return Path(
            lambdas=self.lambdas[:count],
            coefs=coefs,
            intercepts=self.intercepts[:count] - coefs @ self.centre if self.has_intercept else self.intercepts[:count],
            df=(coefs != 0).sum(axis=1),
            dev_ratio=self.explained[:count],
            threshold=self.threshold,
        )

    def predict(self, X: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
        """Linear predictors of rows (n, p), shape (n, n_lambdas), solutions interpolated as `Path.at` does.

        Solves as much of the path as that takes.
        """
        self.reach(int(np.searchsorted(-self.lambdas, -lambdas[-1])) + 1)
        known, found = self.lambdas[: self.solved], (self.betas, self.intercepts)
        return foretell(np.ascontiguousarray(X), self.centre, self.scale, known, *found, lambdas)


def cross_validate(
    X: np.ndarray,
    y: np.ndarray,
    folds: np.ndarray,
    lambdas: np.ndarray | None = None,
    threshold: float = 1e-12,
    alpha: float = 1.0,
    measure: str = "deviance",
    enrich: Enrich | None = None,
    whole: bool = True,
) -> CrossValidation:
    """Fit the path and judge each penalty by the lesions left out, as R's cv.glmnet does.

    Without given penalties each fold has its own, and its coefficients are interpolated to those of the whole path.
    The deviance of a Cox model in a fold is that of all rows less that of the rows it was fitted to (van Houwelingen et
    al. 2006, Stat Med 25:3201; glmnet's grouped = TRUE). A fold that cannot be judged (AUC: one outcome only; Cox: no
    event) drops out, though the standard error counts it. Unlike glmnet, ties of an AUC count one half (there they are
    broken at random), and an AUC with fewer than 10 lesions per fold is refused (there it becomes a deviance).

    Args:
        X: features, shape (n, p).
        y: outcome, 0 or 1, shape (n,); or time and event, shape (n, 2).
        folds: the fold of each lesion, any labels, shape (n,), see `folds_of`; or of several repeats, (repeats, n).
        lambdas, threshold, alpha: as in `lasso_path`.
        measure: "deviance" or, of a binary outcome, "auc".
        enrich: adds rows to those that a model is fitted to (oversampling): to each fold's training rows, and to all
            rows for the path; the lesions left out stay as they are.
        whole: whether the whole path is fitted and judged, as for a figure of it. Otherwise it goes as far as the best
            penalty, and judged by deviance the folds go no further than where their curve is past hope (see
            `_until_hopeless`): the same penalty is found in a fraction of the time.

    Raises:
        InputError: there is one fold only, or outside some fold the outcome has one class only or no event, or the
            measure does not fit the outcome.
    """
    X, y = _checked(X, y)
    folds = np.atleast_2d(folds)
    _check_measure(measure, y, folds)
    # Copies are fitted once, with a weight; the rows of a Cox model, which has no weights, count as different.
    first, copy_of = without_copies(np.column_stack([X, y])) if y.ndim == 1 else np.tile(np.arange(len(y)), (2, 1))

    def search(rows: np.ndarray) -> _Search:
        if enrich:
            grown, outcome = _checked(*enrich(X[rows], y[rows]))
            return _Search(grown, outcome, np.ones(len(outcome)), lambdas, threshold, alpha)
        counts = np.bincount(copy_of[rows], minlength=len(first))
        used = first[counts > 0]
        return _Search(X[used], y[used], counts[counts > 0].astype(float), lambdas, threshold, alpha)

    path = search(np.ones(len(y), dtype=bool))
    repeats = [_Folds(X, y, fold_of, search, measure) for fold_of in folds]
    if whole or lambdas is not None or measure == "auc":
        path.reach(len(path.lambdas))
        curves = np.array([one.curve(path.lambdas[: path.solved]) for one in repeats])
    else:
        curves = _until_hopeless(repeats, path.lambdas)
        path.reach(1 + max(_choose(*curve, measure)[0] for curve in (curves.mean(axis=0), *curves)))
        curves = curves[:, :, : path.solved]  # the path itself may end before that
    cvm, cvsd = curves.mean(axis=0)
    index_min, index_1se = _choose(cvm, cvsd, measure)
    return CrossValidation(
        **vars(path.path(path.solved)),
        cvm=cvm,
        cvsd=cvsd,
        index_min=index_min,
        index_1se=index_1se,
        measure=measure,
        repeats=curves,
    )


def selection_frequencies(
    X: np.ndarray,
    y: np.ndarray,
    resamples: Iterable[tuple[np.ndarray, np.ndarray]],
    rule: str = "lambda.min",
    **options: Any,
) -> np.ndarray:
    """Share of resamples in which the cross-validated LASSO selects a feature (Meinshausen & Buehlmann 2010).

    Args:
        X, y: as in `cross_validate`.
        resamples: of each the rows drawn (positions from 0, may repeat) and the fold of each of them, which keeps the
            copies of a row together, see `folds_of`.
        rule: "lambda.min" or "lambda.1se".
        options: alpha, measure, ... of `cross_validate`.

    Returns:
        shape (n_features,).
    """
    X, y = _checked(X, y)
    found = [cross_validate(X[rows], y[rows], folds, whole=False, **options) for rows, folds in resamples]
    return np.mean([one.coefs[one.index(rule)] != 0 for one in found], axis=0)


def _checked(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and outcome as numbers; a competing event counts as censored."""
    X = np.ascontiguousarray(X, dtype=float)
    y = np.ascontiguousarray(y, dtype=float)
    if y.ndim == 1 and not (np.isfinite(X).all() and np.isin(y, (0, 1)).all()):
        raise InputError("A LASSO needs a value of every feature, and 0 or 1 as outcome, of each lesion.")
    if y.ndim == 2:
        if not (
            np.isfinite(X).all() and np.isin(y[:, 1], (0, 1, 2)).all() and ((y[:, 0] > 0) & (y[:, 0] < np.inf)).all()
        ):
            raise InputError(
                "A LASSO for survival needs of each patient a value of every feature, a time above zero and "
                "whether the event happened (1) or not (0)."
            )
        y = np.column_stack([y[:, 0], y[:, 1] == 1])
    return X, y


def _way(largest: float, lambdas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Penalties with others between where they are far apart, since a far jump may overshoot; and which are the former.

    A path that begins at the largest penalty, in small steps as glmnet's, is left as it is.
    """
    way, last = [], largest
    for penalty in lambdas.tolist():
        while penalty < last * FAR and last > largest * SMALLEST_LAMBDA[True]:
            last *= FAR
            way.append((last, False))
        last = penalty
        way.append((last, True))
    penalties, wanted = zip(*way, strict=True)
    return np.array(penalties), np.array(wanted)


def _single(y: np.ndarray) -> bool:
    """Whether the outcome gives nothing to learn from: one class only, or no event."""
    return np.ptp(y) == 0 if y.ndim == 1 else not y[:, 1].any()


def _risk_sets(y: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray, np.ndarray, np.ndarray]:
    """Order of the rows, events in that order, and per event time, falling, how many are at risk and how many die."""
    if y.ndim == 1:
        return slice(None), y, np.empty(0, np.int64), np.empty(0)
    order = np.argsort(-y[:, 0], kind="stable")
    time, event = y[order].T
    times, deaths = np.unique(time[event == 1], return_counts=True)
    ends = np.searchsorted(-time, -times[::-1], side="right")
    return order, np.ascontiguousarray(event), ends.astype(np.int64), deaths[::-1].astype(float)


def _check_measure(measure: str, y: np.ndarray, folds: np.ndarray) -> None:
    if measure not in MEASURES:
        raise InputError(f"The LASSO's measure is '{measure}'; it must be deviance or auc.")
    if folds.shape[1] != len(y):
        raise InputError(f"Cross-validation needs a fold for each of the {len(y)} rows; there are {folds.shape[1]}.")
    most = max(len(np.unique(fold_of)) for fold_of in folds)
    if min(len(np.unique(fold_of)) for fold_of in folds) < 2:
        raise InputError("Cross-validation needs two folds at least.")
    if measure == "auc" and y.ndim == 2:
        raise InputError("The LASSO for survival is cross-validated by deviance; its measure cannot be auc.")
    if measure == "auc" and len(y) / most < FEWEST_FOR_AUC:
        raise InputError(
            f"{len(y)} lesions in {most} folds are too few for AUCs in the folds; "
            "use the measure deviance, or fewer folds."
        )


class _Folds:
    """One cross-validation: the folds, each with the path of the rows outside it."""

    def __init__(
        self, X: np.ndarray, y: np.ndarray, folds: np.ndarray, search: Callable[[np.ndarray], _Search], measure: str
    ):
        self.X, self.y, self.measure = X, y, measure
        self.parts = [folds == name for name in np.unique(folds)]
        if any(_single(y[~out]) for out in self.parts):
            raise InputError(
                "All lesions with one of the two outcomes lie in a single fold, so the LASSO cannot be "
                "cross-validated; use fewer folds or more patients."
            )
        self.searches = [search(~out) for out in self.parts]

    def curve(self, lambdas: np.ndarray) -> np.ndarray:
        """The measure along penalties and its standard error, shape (2, n_lambdas)."""
        values, weights = self._judged(lambdas)
        if len(weights) < 2:
            raise InputError(
                "Only one fold has lesions of both outcomes (or an event), so the LASSO cannot be cross-validated; use "
                "fewer folds or more patients."
            )
        share = weights / weights.sum()
        cvm = share @ values
        among = max(len(self.parts), len(weights))  # glmnet counts folds that dropped out as well
        return np.array([cvm, np.sqrt(share @ (values - cvm) ** 2 / (among - 1))])

    def _judged(self, lambdas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The measure in each fold (or each row, where folds are of few), and the folds' weights."""
        X, y, folds = self.X, self.y, list(zip(self.parts, self.searches, strict=True))
        if y.ndim == 2:
            judged = [_partial_deviance(search.predict(X, lambdas), y, out) for out, search in folds]
        elif self.measure == "auc":
            judged = [_auc(search.predict(X[out], lambdas), y[out]) for out, search in folds]
        else:
            deviance = np.empty((len(y), len(lambdas)))
            for out, search in folds:
                deviance[out] = search.predict(X[out], lambdas)
            deviance = _deviance(deviance, y)
            if len(y) / len(folds) < FEWEST_PER_FOLD:
                return deviance, np.ones(len(y))
            sizes = np.array(self.parts).sum(axis=1).astype(float)
            return (np.array(self.parts, dtype=float) @ deviance) / sizes[:, None], sizes
        values, weights = zip(*judged, strict=True)
        seen = np.array(weights) > 0
        return np.array(values)[seen], np.array(weights)[seen]


def _until_hopeless(repeats: list[_Folds], lambdas: np.ndarray) -> np.ndarray:
    """The curves of the repeats, shape (repeats, 2, n), no further than where all of them are past hope.

    Where the left-out deviance exceeds its minimum by half of the null model's, predictions are worse than the
    outcome's mere frequency in a way that smaller penalties only make more extreme. Nothing proves that a curve never
    comes back from there; of 2,200 curves (resamples of two simulated studies, with signal and of pure noise, folds of
    patients and of lesions) those that found a new minimum had never exceeded the one before by more than 0.15, of 390
    curves of Cox models never by more than 0.04.
    """
    curves, done = [], 0
    while done < len(lambdas):
        part = lambdas[done : done + (_FURTHER if done else _FIRST)]
        curves.append([one.curve(part) for one in repeats])
        done += len(part)
        means = np.concatenate(curves, axis=2)[:, 0]
        if (means[:, -1] > means.min(axis=1) + HOPELESS * means[:, 0]).all():
            break
    return np.concatenate(curves, axis=2)


def _deviance(eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Deviance of each row from its linear predictors, shape (n, n_lambdas)."""
    right = expit(eta * np.where(y == 1, 1, -1)[:, None])
    return -2 * np.log(np.clip(right, CLIPPED, 1 - CLIPPED))


def _auc(eta: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """AUC of a fold along the penalties, and its number of lesions, 0 where it has one class only."""
    event = y == 1
    pairs = event.sum() * (~event).sum()
    if pairs == 0:
        return np.zeros(eta.shape[1]), 0.0
    ranks = midranks(np.round(eta, DECIMALS).T)
    return (ranks[:, event].sum(axis=1) - event.sum() * (event.sum() + 1) / 2) / pairs, float(len(y))


def _partial_deviance(eta: np.ndarray, y: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, float]:
    """What a fold adds to the partial-likelihood deviance, per event in it; and how many events."""
    events = y[out, 1].sum()
    return (_partial(eta, y) - _partial(eta[~out], y[~out])) / max(events, 1), float(events)


def _partial(eta: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Partial-likelihood deviance (Breslow's ties) of linear predictors (n, k), against the saturated model, (k,)."""
    order, event, ends, deaths = _risk_sets(y)
    eta = eta[order]
    # Summed as logarithms: deep in the path predictors are so far apart that the risks of some are lost beside others'.
    log_at_risk = np.logaddexp.accumulate(eta, axis=0)[ends - 1]
    return 2 * (deaths @ (log_at_risk - np.log(deaths)[:, None]) - event @ eta)


def _choose(cvm: np.ndarray, cvsd: np.ndarray, measure: str) -> tuple[int, int]:
    """Positions of lambda.min and lambda.1se: of equal ones (AUCs often are) the largest penalty."""
    loss = -cvm if measure == "auc" else cvm
    best = int(np.argmax(loss <= loss.min() + ROUNDING))
    return best, int(np.argmax(loss <= loss[best] + cvsd[best] + ROUNDING))


def folds_of(y: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Deal groups out to folds so that each fold has about the same share of events.

    Lesions of one group stay together. With patients as groups no patient is on both sides; in a bootstrap resample the
    copies of a lesion carry its label and so are never split either. (sklearn's StratifiedGroupKFold deals in a like
    manner, but took a quarter of the time of a refit.)

    Args:
        y: outcome, 0 or 1, shape (n,); or time and event, shape (n, 2).
        groups: label of each lesion's group, shape (n,).
        n_folds: number of folds.
        seed: the same seed gives the same folds.

    Returns:
        the fold of each lesion, 0 to n_folds - 1, shape (n,).

    Raises:
        InputError: there are fewer groups than folds, or fewer lesions of one outcome (of survival: events) than two.
    """
    y = np.asarray(y)
    survival = y.ndim == 2
    y = (y[:, 1] == 1 if survival else y).astype(int)
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InputError(f"{n_folds} folds need {n_folds} patients (or lesions) at least; there are {n_groups}.")
    counts = np.bincount(y, minlength=2)
    if survival and counts[1] < 2:
        raise InputError(f"Cross-validation of a survival model needs two events at least; there are {counts[1]}.")
    rarer = counts.min()
    if rarer < 2 and not survival:
        raise InputError(
            f"Cross-validation needs two lesions of each outcome at least; of the rarer one there are {rarer}."
        )
    _, group = np.unique(groups, return_inverse=True)
    held = np.stack([np.bincount(group, y == outcome, n_groups) for outcome in (0, 1)], axis=1)
    order = np.random.default_rng(seed).permutation(n_groups)
    order = order[np.argsort(-np.ptp(held[order], axis=1), kind="stable")]  # what is hard to place goes first
    dealt, held_by, sizes = np.zeros((n_folds, 2)), [0] * n_folds, held.sum(axis=1).tolist()
    fold_of_group = np.empty(n_groups, dtype=int)
    for number in order:
        # where least of what the group brings lies already: the fold that keeps the shares' variance least
        crowded = dealt @ (held[number] / np.maximum(counts, 1) ** 2)
        fold = min(zip(crowded.tolist(), held_by, range(n_folds), strict=True))[2]
        fold_of_group[number] = fold
        dealt[fold] += held[number]
        held_by[fold] += sizes[number]
    return fold_of_group[group]
