"""Cox's proportional-hazards model: partial likelihood with tied events, strata and clustered errors; Firth's penalty.

Events of the same time are handled as Efron (1977, JASA 72:557) or Breslow (1974, Biometrics 30:89) proposed. Monotone
likelihood is what separation is to a logistic model: at every event the patient has the largest value, among those at
risk, of some combination of the variables. Then a hazard ratio has no finite estimate and Wald's p goes to 1 for the
very variable that explains most; likelihood ratios stay meaningful, and Firth's penalty keeps estimates finite (Heinze
& Schemper 2001, Biometrics 57:114). A competing event (2) counts as censored, so hazards are cause-specific.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
import pandas as pd
from numba import njit
from scipy.optimize import linprog
from scipy.special import chdtrc, chdtri, ndtr

from nenflow.errors import InputError
from nenflow.evaluation.survival import check_survival, kaplan_meier
from nenflow.models.likelihood import backward, cholesky, forward, independent, interval_end, separates

_ROUNDS = 200  # a guard only; a fit takes 4 to 10 rounds
_CONVERGED = 1e-20  # Newton's decrement, in units of the log-likelihood
_MODERATE = 15.0  # ranges of the linear predictor up to here are told apart from infinite ones by a vanishing score
_FARTHEST = 600.0  # exp of it is still a number
_ROUNDING = 1e-12  # a variable that varies less than this share of its size does so by rounding only


@dataclass(frozen=True)
class CoxFit:
    """A fitted Cox model without intercept.

    Attributes:
        coef, se, p: log hazard ratios, standard errors (Lin & Wei's where clusters were given), Wald's p, shape (k,).
        covariance: shape (k, k); NaN for aliased variables.
        log_likelihood, null_log_likelihood: of the model and without variables; of Firth's fit with its penalty.
        score_statistic: chi-square of the score test that all coefficients are 0.
        separated: the likelihood is monotone, so a maximum-likelihood fit has no finite coefficients: those given here
            are where the search stopped, and only `log_likelihood` (its supremum) has a meaning.
        firth: fitted by Firth's penalised likelihood.
        aliased: variables that are constant among those at risk at the first event (of each stratum) or a combination
            of those before them; coefficient 0, p 1, shape (k,).
        n, events: rows and events.
        ties: "efron" or "breslow".
    """

    coef: np.ndarray
    se: np.ndarray
    covariance: np.ndarray
    p: np.ndarray
    log_likelihood: float
    null_log_likelihood: float
    score_statistic: float
    separated: bool
    firth: bool
    aliased: np.ndarray
    n: int
    events: int
    ties: str

    def linear_predictor(self, X: np.ndarray) -> np.ndarray:
        """Log hazard of variables of shape (n, k), relative to variables that are all 0 (not centred)."""
        return np.asarray(X, dtype=float) @ self.coef


@dataclass(frozen=True)
class _Data:
    """Rows by stratum, in each from the last time to the first; those at risk at an event, without aliased columns.

    Variables are centred in each stratum and scaled: that changes no partial likelihood but keeps squares exact.
    """

    Z: np.ndarray  # a column of ones, then the variables
    event: np.ndarray
    first: np.ndarray  # the row opens a stratum
    last: np.ndarray  # the row is the last of its time
    rows: np.ndarray  # where the rows stood
    kept: np.ndarray  # columns that are not aliased
    scale: np.ndarray
    n: int
    efron: bool

    @property
    def k(self) -> int:
        return self.Z.shape[1] - 1

    def at_zero(self) -> tuple[float, np.ndarray, np.ndarray]:
        score, information = np.zeros(self.k), np.zeros((self.k, self.k))
        value = _likelihood(self.Z, self.event, self.first, self.last, self.efron, score * 0, score, information)
        return value, score, information + np.tril(information, -1).T

    def turns(self, coef: np.ndarray) -> tuple[np.ndarray, ...]:
        return _turns(self.Z, self.event, self.first, self.last, self.efron, coef)

    def maximise(self, start: np.ndarray, free: np.ndarray, firth: bool) -> tuple[np.ndarray, float, np.ndarray, bool]:
        return _maximise(self.Z, self.event, self.first, self.last, self.efron, firth, start, free)


def fit_cox(
    X: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    ties: str = "efron",
    strata: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    firth: bool = False,
) -> CoxFit:
    """Fit a Cox model by Newton's method (Cox 1972, J R Stat Soc B 34:187).

    Args:
        X: variables, shape (n, k); k may be 0.
        time: follow-up, > 0, in one unit, shape (n,).
        event: 1 event, 0 censored, 2 competing event (counts as censored), shape (n,).
        ties: "efron" or "breslow".
        strata: label per row; each stratum has its own baseline hazard.
        clusters: label per row, such as the patient of a lesion; standard errors are then those of Lin & Wei (1989,
            JASA 84:1074), summed over clusters as by Lee, Wei & Amato (1992), without small-sample correction, as in R.
        firth: maximise the likelihood penalised by Jeffreys' prior, finite even where the likelihood is monotone.

    Raises:
        InputError: values are missing, times are not above 0, an event is not 0, 1 or 2, there is no event at all, or
            no maximum was found.
    """
    data = _prepare(X, time, event, ties, strata)
    start, free = np.zeros(data.k), np.ones(data.k, dtype=np.bool_)
    found, log_likelihood, information, converged = data.maximise(start, free, firth)
    separated = not _is_moderate(data, found, converged) and _is_monotone(data, found)
    if not converged and not separated:
        raise InputError(
            "The Cox model has no clear maximum: its variables are nearly combinations of each other or hold extreme "
            "values; leave variables out or transform them."
        )
    null, score, at_zero = data.at_zero()
    if firth and data.k:
        unit = np.log(data.scale).sum()  # the penalty as of variables on the input's scale
        null, log_likelihood = null + np.linalg.slogdet(at_zero)[1] / 2 + unit, log_likelihood + unit
    covariance = _widest(information) if separated else np.linalg.inv(information)
    if clusters is not None:
        covariance = _robust(data, found, covariance, np.asarray(clusters))
    return _report(
        data, found, covariance, log_likelihood, null, score @ np.linalg.solve(at_zero, score), separated, firth
    )


def _widest(information: np.ndarray) -> np.ndarray:
    """Inverse that gives directions without information a large variance, so that Wald's p there is 1."""
    values, vectors = np.linalg.eigh(information)
    return (vectors / np.maximum(values, max(1e-16 * values.max(), 1e-30))) @ vectors.T


def _report(data, found, covariance, log_likelihood, null, score_statistic, separated, firth) -> CoxFit:
    """The fit on the input's scale, with the aliased columns back in their places."""
    k = len(data.kept)
    coef, whole = np.zeros(k), np.full((k, k), np.nan)
    coef[data.kept] = found / data.scale
    whole[data.kept[:, None] & data.kept] = (covariance / (data.scale[:, None] * data.scale)).ravel()
    se = np.sqrt(whole.diagonal())
    p = np.where(data.kept, 2 * ndtr(-np.abs(coef / se)), 1.0)
    ties, events = "efron" if data.efron else "breslow", int(data.event.sum())
    return CoxFit(
        coef,
        se,
        whole,
        p,
        log_likelihood,
        null,
        float(score_statistic),
        bool(separated),
        firth,
        ~data.kept,
        data.n,
        events,
        ties,
    )


def global_tests(fit: CoxFit) -> pd.DataFrame:
    """Likelihood-ratio, Wald and score test that all coefficients are 0: chi2, df and p by test.

    Wald's uses the clustered covariance where there is one; the other two take rows for independent.
    """
    kept = ~fit.aliased
    coef, covariance = fit.coef[kept], fit.covariance[np.ix_(kept, kept)]
    chi2 = [
        2 * (fit.log_likelihood - fit.null_log_likelihood),
        float(coef @ np.linalg.pinv(covariance, hermitian=True) @ coef),
        fit.score_statistic,
    ]
    tests = pd.DataFrame({"chi2": chi2}, index=pd.Index(["likelihood ratio", "wald", "score"], name="test"))
    df = int(kept.sum())
    return tests.assign(df=df, p=chdtrc(df, np.maximum(chi2, 0)) if df else 1.0)


def likelihood_ratio(
    X: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    columns: int | Sequence[int],
    ties: str = "efron",
    strata: np.ndarray | None = None,
    firth: bool = False,
) -> float:
    """P value of leaving columns out together, by the likelihood ratio; valid under a monotone likelihood.

    Args:
        X, time, event, ties, strata: see `fit_cox`.
        columns: the variable in question, or all columns of a term, 0 to k - 1.
        firth: compare penalised likelihoods, the penalty that of all the variables (Heinze & Schemper 2001).
    """
    data = _prepare(X, time, event, ties, strata)
    left_out = np.zeros(len(data.kept), dtype=np.bool_)
    left_out[columns] = True
    free = ~left_out[data.kept]
    df = int((~free).sum())
    if df == 0:
        return 1.0
    start = np.zeros(len(free))
    full = data.maximise(start, np.ones_like(free), firth)[1]
    without = data.maximise(start, free, firth)[1]
    return float(chdtrc(df, max(2 * (full - without), 0.0)))


def profile_interval(
    X: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    column: int,
    ties: str = "efron",
    strata: np.ndarray | None = None,
    firth: bool = False,
    level: float = 0.95,
) -> tuple[float, float]:
    """Profile-likelihood interval of a coefficient, by root finding; a side without end is infinite.

    The interval holds the values that a likelihood-ratio test does not reject while all the other coefficients are
    fitted anew (Venzon & Moolgavkar 1988); with `firth`, penalised likelihoods are compared (Heinze & Schemper 2001).

    Args:
        X, time, event, ties, strata, firth: see `fit_cox`.
        column: the variable, 0 to k - 1.
        level: confidence level.
    """
    data = _prepare(X, time, event, ties, strata)
    if not data.kept[column]:
        return -np.inf, np.inf
    place = int(data.kept[:column].sum())
    free = np.ones(data.k, dtype=np.bool_)
    best, highest, information, converged = data.maximise(np.zeros(free.size), free, firth)
    monotone = not firth and not _is_moderate(data, best, converged) and _is_monotone(data, best)
    # Under a monotone likelihood the standard error says nothing, so the way out goes in steps of one sd.
    step = 1.0 if monotone else np.sqrt(np.linalg.inv(information)[place, place])
    free[place] = False
    drop = chdtri(1, 1 - level)

    def excess(value: float) -> float:
        begin = best.copy()
        begin[place] = value
        return 2 * (highest - data.maximise(begin, free, firth)[1]) - drop

    ends = (interval_end(excess, best[place], -step), interval_end(excess, best[place], step))
    return ends[0] / data.scale[place], ends[1] / data.scale[place]


def baseline_hazard(
    fit: CoxFit, X: np.ndarray, time: np.ndarray, event: np.ndarray, strata: np.ndarray | None = None
) -> pd.DataFrame:
    """Cumulative baseline hazard at variables that are all 0, with ties as the model was fitted.

    Breslow's estimator (1972, J R Stat Soc B 34:216), or Efron's (1977) after an Efron fit, as R's survival does;
    lifelines gives Breslow's after either.

    Returns:
        stratum (0 where there are no strata), time (every time of follow-up, ascending), hazard.

    Raises:
        InputError: values are missing, or so far from 0 that no hazard at 0 can be computed.
    """
    return pd.DataFrame(hazard_steps(fit.linear_predictor(X), time, event, fit.ties, strata))


def hazard_steps(
    predictor: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str, strata: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The columns of `baseline_hazard` for a linear predictor of shape (n,).

    Apart from it, since every refit needs several, and a table of pandas takes ten times longer.
    """
    time, died = check_survival(time, event)
    codes, labels = _strata(strata, len(time))
    order, first, last = _order(time, codes)
    if not np.isfinite(predictor).all():
        raise InputError("A baseline hazard needs complete variables; complete the table or leave rows out.")
    if np.abs(predictor).max() > _FARTHEST:
        raise InputError(
            "A variable of the Cox model is so large that its hazard at 0 cannot be computed (a year, perhaps); "
            "subtract a typical value from it."
        )
    Z = np.column_stack([np.ones(len(order)), predictor[order]])
    ends, _, risk, _, _ = _turns(Z, died[order], first, last, ties == "efron", np.ones(1))
    hazard = np.bincount(ends, weights=1 / risk, minlength=len(order))
    rows = np.flatnonzero(last)  # where a time is complete; the hazard of its events stands there
    rows = rows[np.lexsort((time[order[rows]], codes[order[rows]]))]
    codes, time = codes[order[rows]], time[order[rows]]
    return {"stratum": labels[codes], "time": time, "hazard": _cumulative(hazard[rows], codes)}


def survival_at(
    baseline: Mapping[str, Sequence], linear_predictor: np.ndarray, times: Sequence[float], stratum: object = None
) -> np.ndarray:
    """Predicted survival exp(-H(t) exp(linear predictor)), a step function of time.

    Args:
        baseline: time and hazard, from `baseline_hazard`.
        linear_predictor: not centred, shape (n,).
        times: in the unit of follow-up; after the last time of follow-up survival stays where it was there (R's
            `extend`), so a caller should not ask for such times without saying so.
        stratum: which of the baseline's strata; needed where there are several.

    Returns:
        Shape (n, len(times)).
    """
    time, hazard = np.asarray(baseline["time"], dtype=float), np.asarray(baseline["hazard"], dtype=float)
    if stratum is not None:
        chosen = np.asarray(baseline["stratum"]) == stratum
        if not chosen.any():
            raise InputError(f"The Cox model has no stratum {stratum!r}, so it predicts no survival there.")
        time, hazard = time[chosen], hazard[chosen]
    if (np.diff(time) <= 0).any():
        raise ValueError("the baseline has several strata: name one")
    place = np.searchsorted(time, np.asarray(times, dtype=float), side="right")
    reached = np.concatenate([[0.0], hazard])[place]
    return np.exp(-np.exp(np.asarray(linear_predictor, dtype=float))[:, None] * reached)


def schoenfeld_test(
    fit: CoxFit,
    X: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    terms: Sequence[str],
    strata: np.ndarray | None = None,
) -> pd.DataFrame:
    """Test of proportional hazards: does an effect change with time, each term alone and all together.

    Score test of adding x g(t) to the model, g(t) = 1 - Kaplan-Meier survival just before t (Grambsch & Therneau 1994,
    Biometrika 81:515), with the full information matrix as in R's survival from version 3.0 on. Older R and lifelines
    take the information for constant over time, which gives other p values (.709 against .503 for lung's age).

    Args:
        fit: of the same X, time, event and strata.
        X, time, event, strata: see `fit_cox`.
        terms: name of each column's term, length k; columns of one name are tested together.

    Returns:
        chi2, df and p by term, the last row GLOBAL; terms of aliased columns only have df 0 and p 1.
    """
    data = _prepare(X, time, event, fit.ties, strata)
    coef = fit.coef[data.kept] * data.scale
    ends, _, _, mean, variance = data.turns(coef)
    g = _just_before(np.asarray(time), np.asarray(event), np.asarray(time, dtype=float)[data.rows])
    g -= g[data.event].mean()  # changes no test, but keeps the matrix regular
    score = g[data.event] @ data.Z[data.event, 1:] - g[ends] @ mean
    plain, once, twice = (np.tensordot(g[ends] ** power, variance, axes=1) for power in range(3))
    # What is left of the time-dependent part once the constant effects are fitted anew.
    information = twice - once @ np.linalg.pinv(plain, hermitian=True) @ once
    names = np.asarray(terms)[data.kept]
    rows = {term: _quadratic(score, information, names == term) for term in dict.fromkeys(terms)}
    rows["GLOBAL"] = _quadratic(score, information, np.ones(len(names), dtype=bool))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["chi2", "df", "p"]).rename_axis("term")


def _quadratic(score: np.ndarray, information: np.ndarray, chosen: np.ndarray) -> tuple[float, int, float]:
    df = int(chosen.sum())
    if df == 0:
        return 0.0, 0, 1.0
    part = score[chosen]
    chi2 = float(part @ np.linalg.pinv(information[np.ix_(chosen, chosen)], hermitian=True) @ part)
    return chi2, df, float(chdtrc(df, max(chi2, 0.0)))


def _just_before(time: np.ndarray, event: np.ndarray, at: np.ndarray) -> np.ndarray:
    """1 - Kaplan-Meier survival just before given times, all strata together."""
    curve = kaplan_meier(time, event)
    survival = np.concatenate([[1.0], curve["survival"]])
    return 1 - survival[np.searchsorted(curve["time"], at, side="left")]


def _prepare(X, time, event, ties: str, strata) -> _Data:
    time, died = check_survival(time, event)
    X = np.asarray(X, dtype=float)
    if X.ndim != 2 or len(X) != len(time):
        raise ValueError(f"variables must have shape ({len(time)}, k), not {X.shape}")
    if ties not in ("efron", "breslow"):
        raise ValueError(f"ties must be efron or breslow, not {ties!r}")
    if not np.isfinite(X).all():
        raise InputError("A Cox model cannot be fitted with missing values; complete the table or leave rows out.")
    if not died.any():
        raise InputError("Nobody had the event; a Cox model needs follow-up with events: check the endpoint.")
    codes, labels = _strata(strata, len(time))
    onset = np.full(len(labels), np.inf)
    np.minimum.at(onset, codes[died], time[died])
    rows = np.flatnonzero(time >= onset[codes])  # whoever left before the first event says nothing
    order, first, last = _order(time[rows], codes[rows])
    rows = rows[order]
    design, scale = _standardise(X[rows], first)
    kept = independent(design)[1:]
    used = np.column_stack([design[:, 0], design[:, 1:][:, kept] / scale[kept]])
    return _Data(
        np.ascontiguousarray(used), died[rows], first, last, rows, kept, scale[kept], len(time), ties == "efron"
    )


def _strata(strata, n: int) -> tuple[np.ndarray, np.ndarray]:
    if strata is None:
        return np.zeros(n, dtype=int), np.zeros(1, dtype=int)
    codes, labels = pd.factorize(np.asarray(strata), sort=True)
    if (codes < 0).any():
        raise InputError("A row has no stratum; fill the column that the Cox model is stratified by.")
    return codes, labels


def _order(time: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order of rows by stratum and from the last time to the first; which open a stratum, which close a time."""
    order = np.lexsort((-time, codes))
    first = np.ones(len(order), dtype=np.bool_)
    codes, time = codes[order], time[order]
    first[1:] = codes[1:] != codes[:-1]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = first[1:] | (time[1:] != time[:-1])
    return order, first, last


def _is_moderate(data: _Data, found: np.ndarray, converged: bool) -> bool:
    return converged and (found.size == 0 or np.ptp(data.Z[:, 1:] @ found) <= _MODERATE)


def _is_monotone(data: _Data, direction: np.ndarray) -> bool:
    """Whether the partial likelihood grows for ever in some direction, as a linear program.

    It does where a combination of the variables is, at each event, as large for who has it as for anybody at risk, and
    larger than for one of them. Whoever is at risk then is compared with the next later event, or with this one if
    censored in between; the combination is bounded to a box and the sum of its differences maximised. A direction in
    which all of them grow answers the question without the program.
    """
    X, differences = data.Z[:, 1:], []
    for group in np.split(np.arange(len(data.event)), np.flatnonzero(data.last)[:-1] + 1):
        died = group[data.event[group]]
        if data.first[group[0]]:
            leader, waiting = -1, []  # who had the next later event, and who left since
        waiting.extend(group[~data.event[group]])
        if not died.size:
            continue
        top = died[0]
        differences.extend(X[top] - X[row] for row in waiting)
        differences.extend(sign * (X[top] - X[row]) for row in died[1:] for sign in (1, -1))
        if leader >= 0:
            differences.append(X[top] - X[leader])
        leader, waiting = top, []
    if not differences:
        return False
    D = np.array(differences)
    if separates(D @ direction, direction):
        return True
    answer = linprog(-D.sum(axis=0), A_ub=-D, b_ub=np.zeros(len(D)), bounds=(-1, 1), method="highs")
    return -answer.fun > 1e-6


def _robust(data: _Data, coef: np.ndarray, covariance: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Lin & Wei's covariance: score residuals summed over clusters, between two naive covariances."""
    if len(clusters) != data.n:
        raise ValueError(f"{len(clusters)} clusters for {data.n} rows")
    codes = pd.factorize(clusters)[0]
    if (codes < 0).any():
        raise InputError("A row belongs to no cluster; give every row its patient.")
    sums = np.zeros((codes.max() + 1, data.k))
    np.add.at(sums, codes[data.rows], _score_residuals(data, coef))
    shifts = sums @ covariance
    return shifts.T @ shifts


def _score_residuals(data: _Data, coef: np.ndarray) -> np.ndarray:
    """What each row adds to the score, shape (n, k): its event against those at risk, less its share in events."""
    X, weight = data.Z[:, 1:], np.exp(data.Z[:, 1:] @ coef)[:, None]
    ends, share, risk, mean, _ = data.turns(coef)
    # Sums over the events of a stratum up to each row's time: rows run from late to early.
    steps = np.column_stack([np.ones(len(ends)), mean]) / risk[:, None]
    summed = np.concatenate([np.cumsum(steps[::-1], axis=0)[::-1], np.zeros((1, data.k + 1))])
    stratum = np.cumsum(data.first)
    since = summed[np.searchsorted(ends, np.arange(len(X)))] - summed[np.searchsorted(stratum[ends], stratum, "right")]
    residual = weight * (since[:, 1:] - since[:, :1] * X)
    # Efron: who has the event counts less and less among those at risk in the turns of its time.
    now = np.searchsorted(ends, np.flatnonzero(data.event))
    own = np.zeros((len(ends) + 1, 2 * data.k + 1))
    np.add.at(own, np.searchsorted(ends, ends), np.column_stack([mean, steps * share[:, None]]))
    deaths = np.bincount(ends, minlength=len(X))[ends[now]][:, None]
    died, mean, less = data.event, own[now, : data.k], own[now, data.k :]
    residual[died] += X[died] - mean / deaths + weight[died] * (less[:, :1] * X[died] - less[:, 1:])
    return residual


@njit(cache=True, error_model="numpy")
def _standardise(X, first):
    """A column of ones and the variables less their mean in each stratum; and their standard deviations then.

    The first set of people at risk in a stratum holds all later ones, so a combination of variables that is constant
    in these rows changes no partial likelihood, and no other does.
    """
    n, k = X.shape
    centred, scale = np.ones((n, k + 1)), np.zeros(k)
    for j in range(k):
        start, largest, furthest = 0, 0.0, 0.0
        for stop in range(1, n + 1):
            if stop == n or first[stop]:
                mean = 0.0
                for i in range(start, stop):
                    mean += X[i, j] / (stop - start)
                for i in range(start, stop):
                    centred[i, j + 1] = X[i, j] - mean
                    largest, furthest = max(largest, abs(X[i, j])), max(furthest, abs(X[i, j] - mean))
                start = stop
        for i in range(n):
            if furthest <= _ROUNDING * largest:
                centred[i, j + 1] = 0.0
            scale[j] += centred[i, j + 1] ** 2 / n
        scale[j] = sqrt(scale[j])
    return centred, scale


@njit(cache=True, error_model="numpy")
def _add(sums, z, weight):
    """Adds a weighted square; row and column 0 belong to the ones, so they sum the weights and the variables."""
    for a in range(z.size):
        for b in range(a + 1):
            sums[a, b] += weight * z[a] * z[b]


@njit(cache=True, error_model="numpy")
def _predictor(Z, coef):
    """Linear predictor."""
    eta = np.zeros(Z.shape[0])
    for i in range(Z.shape[0]):
        for a in range(coef.size):
            eta[i] += Z[i, a + 1] * coef[a]
    return eta


@njit(cache=True, error_model="numpy")
def _enter(at_risk, now, opens, level, eta):
    """Level by which the exponentials of those at risk are divided, the greatest yet; sums are brought to it.

    So each risk is taken relative to the greatest at that time, and none overflows or vanishes.
    """
    if not opens and eta <= level:
        return level
    factor = 0.0 if opens else exp(level - eta)
    for a in range(at_risk.shape[0]):
        for b in range(at_risk.shape[1]):
            at_risk[a, b] *= factor
            now[a, b] *= factor
    return eta


@njit(cache=True, error_model="numpy")
def _likelihood(Z, event, first, last, efron, coef, score, information):
    """Log partial likelihood; adds the score and the lower triangle of the information."""
    k = coef.size
    eta, level = _predictor(Z, coef), 0.0
    at_risk, now = np.zeros((k + 1, k + 1)), np.zeros((k + 1, k + 1))
    mean, deaths, total = np.empty(k), 0, 0.0
    for i in range(eta.size):
        level = _enter(at_risk, now, first[i], level, eta[i])
        _add(at_risk, Z[i], exp(eta[i] - level))
        if event[i]:
            _add(now, Z[i], exp(eta[i] - level))
            deaths += 1
            total += eta[i]
            for a in range(k):
                score[a] += Z[i, a + 1]
        if last[i] and deaths > 0:
            for turn in range(deaths):
                share = turn / deaths if efron else 0.0
                risk = at_risk[0, 0] - share * now[0, 0]
                if not risk > 0:
                    return -np.inf
                total -= log(risk) + level
                for a in range(k):
                    mean[a] = (at_risk[a + 1, 0] - share * now[a + 1, 0]) / risk
                    score[a] -= mean[a]
                    for b in range(a + 1):
                        square = (at_risk[a + 1, b + 1] - share * now[a + 1, b + 1]) / risk
                        information[a, b] += square - mean[a] * mean[b]
            deaths = 0
            now[:] = 0.0
    return total


@njit(cache=True, error_model="numpy")
def _cumulative(hazard, codes):
    """Sums along each code's rows, in Kahan's way, as pandas adds up."""
    sums, total, lost = np.empty(hazard.size), 0.0, 0.0
    for i in range(hazard.size):
        if i > 0 and codes[i] != codes[i - 1]:
            total, lost = 0.0, 0.0
        part = hazard[i] - lost
        sums[i] = total + part
        lost = sums[i] - total - part
        total = sums[i]
    return sums


@njit(cache=True, error_model="numpy")
def _turns(Z, event, first, last, efron, coef):
    """What those at risk are like at each event, rows from late to early; tied events take turns (Efron).

    Returns, per event: the last row of its time, the share by which those with the event count less in this turn, the
    sum of risks exp(linear predictor), and the mean (events, k) and variance (events, k, k) of the variables.
    """
    k, events = coef.size, event.sum()
    eta, level = _predictor(Z, coef), 0.0
    ends, shares, risks = np.zeros(events, np.int64), np.zeros(events), np.zeros(events)
    means, variances = np.zeros((events, k)), np.zeros((events, k, k))
    at_risk, now = np.zeros((k + 1, k + 1)), np.zeros((k + 1, k + 1))
    done, deaths = 0, 0
    for i in range(eta.size):
        level = _enter(at_risk, now, first[i], level, eta[i])
        _add(at_risk, Z[i], exp(eta[i] - level))
        if event[i]:
            _add(now, Z[i], exp(eta[i] - level))
            deaths += 1
        if last[i] and deaths > 0:
            for turn in range(deaths):
                share = turn / deaths if efron else 0.0
                risk = at_risk[0, 0] - share * now[0, 0]
                ends[done], shares[done], risks[done] = i, share, risk * exp(level)
                for a in range(k):
                    means[done, a] = (at_risk[a + 1, 0] - share * now[a + 1, 0]) / risk
                    for b in range(a + 1):
                        square = (at_risk[a + 1, b + 1] - share * now[a + 1, b + 1]) / risk
                        variances[done, a, b] = square - means[done, a] * means[done, b]
                        variances[done, b, a] = variances[done, a, b]
                done += 1
            deaths = 0
            now[:] = 0.0
    return ends, shares, risks, means, variances


@njit(cache=True, error_model="numpy")
def _form(V, z):
    """x' V x of the variables after the leading one."""
    total = 0.0
    for a in range(V.shape[0]):
        for b in range(V.shape[0]):
            total += V[a, b] * z[a + 1] * z[b + 1]
    return total


@njit(cache=True, error_model="numpy")
def _add_third(sums, V, slope):
    """Adds half the trace of V times the third cumulants; the sums' last row is that of x' V x times the variables."""
    k, risk = V.shape[0], sums[0, 0]
    mean, cube = sums[: k + 1, 0] / risk, sums[k + 1]
    inner = _form(V, mean)
    for r in range(k):
        through = 0.0
        for a in range(k):
            towards = 0.0
            for b in range(k):
                towards += V[a, b] * mean[b + 1]
            through += sums[max(a, r) + 1, min(a, r) + 1] / risk * towards
        slope[r] += (cube[r + 1] - mean[r + 1] * cube[0]) / risk / 2 + mean[r + 1] * inner - through


@njit(cache=True, error_model="numpy")
def _penalty(Z, event, first, last, efron, coef, V, slope):
    """Adds half the derivative of log |information|: half the trace of V times the third cumulants (Firth 1993)."""
    k = coef.size
    eta, level = _predictor(Z, coef), 0.0
    shape = (k + 2, k + 1)  # the last row sums x' V x times the variables
    at_risk, now, left, deaths = np.zeros(shape), np.zeros(shape), np.zeros(shape), 0
    for i in range(eta.size):
        level = _enter(at_risk, now, first[i], level, eta[i])
        weight = exp(eta[i] - level)
        length = weight * _form(V, Z[i])
        _add(at_risk, Z[i], weight)
        for a in range(k + 1):
            at_risk[k + 1, a] += length * Z[i, a]
        if event[i]:
            deaths += 1
            _add(now, Z[i], weight)
            for a in range(k + 1):
                now[k + 1, a] += length * Z[i, a]
        if last[i] and deaths > 0:
            for turn in range(deaths):
                share = turn / deaths if efron else 0.0
                for a in range(k + 2):
                    for b in range(k + 1):
                        left[a, b] = at_risk[a, b] - share * now[a, b]
                _add_third(left, V, slope)
            deaths = 0
            now[:] = 0.0


@njit(cache=True, error_model="numpy")
def _value(Z, event, first, last, efron, firth, coef, score, information, L):
    """(Penalised) log partial likelihood; fills score, information and its factor."""
    k = coef.size
    score[:] = 0.0
    information[:] = 0.0
    value = _likelihood(Z, event, first, last, efron, coef, score, information)
    if firth:
        if not np.isfinite(value) or not cholesky(information, L):
            return -np.inf
        for a in range(k):
            value += log(L[a, a])
    return value


@njit(cache=True, error_model="numpy")
def _add_penalty(Z, event, first, last, efron, coef, score, L):
    """Adds the penalty's derivative to the score; L is the factor of the information."""
    k = coef.size
    V, column = np.empty((k, k)), np.empty(k)
    for a in range(k):
        column[:] = 0.0
        column[a] = 1.0
        forward(L, column)
        backward(L, column)
        V[a] = column
    _penalty(Z, event, first, last, efron, coef, V, score)


@njit(cache=True, error_model="numpy")
def _maximise(Z, event, first, last, efron, firth, start, free):
    """Newton's method over the free coefficients, steps halved where the likelihood falls.

    Returns the coefficients, the (penalised) log partial likelihood, the information and whether the score vanished.
    """
    k = Z.shape[1] - 1
    coef, trial, score = start.copy(), start.copy(), np.empty(k)
    information, L = np.empty((k, k)), np.zeros((k, k))
    places = np.flatnonzero(free)
    size = places.size
    part, factor, step = np.empty((size, size)), np.zeros((size, size)), np.empty(size)
    value = _value(Z, event, first, last, efron, firth, coef, score, information, L)
    converged = False
    for _ in range(_ROUNDS):
        if firth:
            _add_penalty(Z, event, first, last, efron, coef, score, L)
        for a in range(size):
            step[a] = score[places[a]]
            for b in range(a + 1):
                part[a, b] = information[places[a], places[b]]
        if not cholesky(part, factor):
            break
        forward(factor, step)
        decrement = 0.0
        for a in range(size):
            decrement += step[a] ** 2
        backward(factor, step)
        converged = decrement < _CONVERGED
        if converged:
            break
        length = 1.0
        while True:
            for a in range(size):
                trial[places[a]] = coef[places[a]] + length * step[a]
            new = _value(Z, event, first, last, efron, firth, trial, score, information, L)
            if new >= value - 1e-12 * (1 + abs(value)) or length < 1e-10:
                break
            length /= 2
        coef[:] = trial
        value = new
    for a in range(k):
        for b in range(a):
            information[b, a] = information[a, b]
    return coef, value, information, converged
