"""How many lesions or patients a prediction model needs (Riley et al. 2019, Stat Med 38:1276; 2020, BMJ 368:m441).

Three criteria, of which the largest counts: coefficients that shrink by a tenth at most, an apparent Nagelkerke R2 at
most 0.05 above the true one, the overall risk known within 0.05. The strength of the model is its Cox-Snell R2, which a
published C statistic implies for a binary outcome. R's pmsampsize differs in two ways: it rounds the largest possible
R2, and in its survival table the third criterion is no number of its own but the largest of the others, if that is
enough.
"""

from collections.abc import Sequence
from math import ceil, exp, log, log1p, sqrt

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import log_expit, logit, ndtri

from nenflow.errors import InputError
from nenflow.models.base import is_survival

SHRINKAGE = 0.9
OPTIMISM = 0.05  # of Nagelkerke's R2
MARGIN = 0.05  # of the overall risk
NAGELKERKE = 0.15  # share of the largest possible R2 that Riley et al. (2020) assume where nothing is known
Z = 1.96  # as pmsampsize rounds it
NODES = 200  # of a Gauss-Hermite integral; 60 give 12 digits


def sample_size_binary(parameters: int, prevalence: float, r2: float | None = None) -> pd.DataFrame:
    """Units needed to develop a logistic model.

    Args:
        parameters: candidate coefficients, whether they are selected or not; levels and spline terms count singly.
        prevalence: expected share of units with the event.
        r2: expected Cox-Snell R2 (see `r2_of_c`); left out, 15 % of the largest possible.

    Returns:
        A row per criterion (shrinkage, optimism, overall risk), then `required`, their largest: criterion, n, events,
        events_per_parameter, and the r2 and largest_r2 that were assumed.

    Raises:
        InputError: the prevalence is not between 0 and 1, there is no parameter, or R2 is not possible.
    """
    if not 0 < prevalence < 1:
        raise InputError(f"The expected share of events is {prevalence}; it must lie between 0 and 1.")
    largest = 1 - exp(2 * _null_log_likelihood(prevalence))
    r2 = _checked(parameters, r2, largest)
    overall = (Z / MARGIN) ** 2 * prevalence * (1 - prevalence)
    return _table(parameters, prevalence, r2, largest, overall)


def sample_size_survival(
    parameters: int, rate: float, follow_up: float, time: float, r2: float | None = None
) -> pd.DataFrame:
    """Units needed to develop a Cox model; rate, follow-up and time are in one unit of time.

    Args:
        parameters: see `sample_size_binary`.
        rate: expected events per unit of time.
        follow_up: mean follow-up.
        time: when the overall risk is to be known within 0.05, events taken to come at a constant rate.
        r2: expected Cox-Snell R2; left out, 15 % of the largest possible.

    Returns:
        The columns of `sample_size_binary`.

    Raises:
        InputError: a rate or time is not positive, there is no parameter, or R2 is not possible.
    """
    if not min(rate, follow_up, time) > 0:
        raise InputError("Event rate, mean follow-up and time point of a sample size must all be greater than 0.")
    events = rate * follow_up  # per unit
    # log likelihood of an exponential model per unit, time counted in mean follow-ups
    largest = 1 - exp(2 * (events * log(events) - events)) if events < np.e else 0.0
    r2 = _checked(parameters, r2, largest)
    return _table(parameters, events, r2, largest, _for_risk(rate, follow_up, time))


def sample_size_of(
    y: pd.Series | pd.DataFrame, parameters: int, times: Sequence[float], c: float | None, r2: float | None
) -> pd.DataFrame:
    """Units needed for a model of an outcome as frequent as it is in this study.

    Args:
        y: outcome, 0 or 1, or columns time and event.
        parameters: candidate coefficients.
        times: of a time-to-event outcome; the last one is when the overall risk is to be known.
        c: expected AUC (outcome without time), from which R2 follows; or
        r2: expected Cox-Snell R2; without either, 15 % of the largest possible.

    Returns:
        see `sample_size_binary`, and `available`: the units that the study has.
    """
    if is_survival(y):
        rate = float((y["event"] == 1).sum() / y["time"].sum())
        table = sample_size_survival(parameters, rate, float(y["time"].mean()), float(max(times)), r2)
    else:
        prevalence = float(np.mean(y))
        expected = r2_of_c(c, prevalence) if c is not None else r2
        table = sample_size_binary(parameters, prevalence, expected)
    return table.assign(parameters=parameters, available=len(y))


def detectable_hazard_ratio(events: int, share: float | None = 0.5, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest hazard ratio over 1 that a log-rank test detects (Schoenfeld 1983, Biometrics 39:499).

    log ratio = (z of 1 - alpha / 2 + z of the power) / sqrt(events x share x (1 - share)); of a continuous variable,
    per standard deviation, / sqrt(events) (Hsieh & Lavori 2000, Control Clin Trials 21:552). Its inverse is the
    largest one under 1.

    Args:
        events: number of events.
        share: of the patients that are in one of the two groups; None for a continuous variable.
        alpha: two-sided level.
        power: of the test.

    Returns:
        NaN without events, or where a group is empty.
    """
    information = events * (1 if share is None else share * (1 - share))
    return exp((ndtri(1 - alpha / 2) + ndtri(power)) / sqrt(information)) if information > 0 else float("nan")


def r2_of_c(c: float, prevalence: float) -> float:
    """Cox-Snell R2 of a logistic model with this C statistic (Riley et al. 2021, Stat Med 40:859).

    The linear predictor is taken as normal with one variance in units with and without the event. Integrated, where
    pmsampsize simulates a million units: its third digit is random.

    Raises:
        InputError: C is not between 0.5 and 1, or the prevalence not between 0 and 1.
    """
    if not (0.5 <= c < 1 and 0 < prevalence < 1):
        raise InputError("A sample size needs a C statistic between 0.5 and 1 and a share of events between 0 and 1.")
    distance = sqrt(2) * ndtri(c)
    node, weight = np.polynomial.hermite_e.hermegauss(NODES)
    weight = weight / weight.sum()
    shift = logit(prevalence) - distance**2 / 2
    with_event = weight @ log_expit(shift + distance * (node + distance))
    without = weight @ log_expit(-(shift + distance * node))
    model = prevalence * with_event + (1 - prevalence) * without
    return float(-np.expm1(2 * (_null_log_likelihood(prevalence) - model)))


def expected_shrinkage(n: int, parameters: int, r2: float) -> float:
    """Uniform shrinkage to expect of a model developed on n units: 1 is no overfitting (Riley et al. 2019, eq. 8).

    Below r2 no model of that strength can be told from chance; then it is NaN.
    """

    def excess(shrinkage: float) -> float:
        return n - _for_shrinkage(parameters, r2, shrinkage)

    # n falls from infinity at 1 to a least number and rises again towards r2, where formula and sense end
    grid = np.linspace(r2, 1, 2002)[1:-1]
    needed = np.array([_for_shrinkage(parameters, r2, value) for value in grid])
    least = int(np.argmin(needed))
    if n < needed[least]:
        return float("nan")
    return float(brentq(excess, grid[least], 1 - 1e-12))


def _checked(parameters: int, r2: float | None, largest: float) -> float:
    if parameters < 1:
        raise InputError("A sample size needs at least one candidate parameter.")
    r2 = NAGELKERKE * largest if r2 is None else r2
    if not 0 < r2 < min(largest, SHRINKAGE):
        raise InputError(f"A Cox-Snell R2 of {r2:.3g} is not possible here; it must lie between 0 and {largest:.3g}.")
    return r2


def _table(parameters: int, events: float, r2: float, largest: float, overall: float) -> pd.DataFrame:
    """The criteria; `events` is their number per unit."""
    needed = {
        "shrinkage": ceil(_for_shrinkage(parameters, r2, SHRINKAGE)),
        "optimism": ceil(_for_shrinkage(parameters, r2, r2 / (r2 + OPTIMISM * largest))),
        "overall risk": ceil(overall),
    }
    needed["required"] = max(needed.values())
    table = pd.DataFrame({"criterion": list(needed), "n": list(needed.values())})
    expected = table["n"] * events
    return table.assign(
        events=np.ceil(expected).astype(int),
        events_per_parameter=expected / parameters,
        r2=r2,
        largest_r2=largest,
    )


def _for_shrinkage(parameters: int, r2: float, shrinkage: float) -> float:
    return parameters / ((shrinkage - 1) * log1p(-r2 / shrinkage))


def _for_risk(rate: float, follow_up: float, time: float) -> float:
    """Units that make the risk at `time` known within the margin, its interval that of a Poisson rate."""

    def excess(n: float) -> float:
        reach = Z * sqrt(rate / (follow_up * n))
        risk, low, high = (1 - exp(-max(value, 0.0) * time) for value in (rate, rate - reach, rate + reach))
        return max(high - risk, risk - low) - MARGIN

    most = 1.0
    while excess(most) > 0:
        most *= 2
    return 1.0 if most == 1 else float(brentq(excess, most / 2, most))


def _null_log_likelihood(prevalence: float) -> float:
    """Per unit, of a model that knows the share of events only."""
    return prevalence * log(prevalence) + (1 - prevalence) * log1p(-prevalence)
