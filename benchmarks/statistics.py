"""How much faster the statistics are than the libraries that do the same, on the same data and to the same numbers.

Run as `python benchmarks/statistics.py`; CPU time of one thread, each compiled function called once before. Only the
ratios of one run mean anything. The last column is the largest difference between the two results.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import statsmodels.api as sm
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index
from sklearn.linear_model import LogisticRegression
from statsmodels.formula.api import ols

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from nenflow.evaluation.concordance import harrell_c  # noqa: E402
from nenflow.models.cox import fit_cox  # noqa: E402
from nenflow.models.lasso import folds_of, lasso_path  # noqa: E402
from nenflow.models.logistic import fit_logistic  # noqa: E402
from nenflow.stability import icc  # noqa: E402

REFITS = 50  # bootstrap resamples
SHRUNK = 0.1  # of the largest penalty; the path is compared down to it, where studies choose from


def draw_features(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated standardised features, shape (n, p), and a linear predictor of two of them."""
    rng = np.random.default_rng([1, n, p])
    X = rng.normal(size=(n, 8)) @ rng.normal(size=(8, p)) + 2 * rng.normal(size=(n, p))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, X[:, 0] - X[:, 1]


def draw_survival(n: int, p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, times without ties and events."""
    X, eta = draw_features(n, p)
    rng = np.random.default_rng([2, n, p])
    return X, np.exp(rng.gumbel(size=n) - eta / 2), (rng.random(n) < 0.6).astype(int)


def resamples(n: int) -> list[np.ndarray]:
    """Rows of bootstrap resamples."""
    return [np.random.default_rng([3, number]).integers(n, size=n) for number in range(REFITS)]


def lasso() -> tuple[Callable, Callable]:
    """Paths of ten folds and of all rows, 131 lesions and 60 features; liblinear's intercept is all but unpenalised."""
    X, eta = draw_features(131, 60)
    y = (eta + np.random.default_rng(4).logistic(size=131) > -1.5).astype(int)
    fold = folds_of(y, np.arange(131), 10, 1)
    parts = [fold != number for number in range(10)] + [fold >= 0]
    grid = lasso_path(X, y).lambdas
    grid = grid[grid > SHRUNK * grid[0]]

    def liblinear(rows: np.ndarray, penalty: float) -> np.ndarray:
        scaled = (X[rows] - X[rows].mean(axis=0)) / X[rows].std(axis=0)
        model = LogisticRegression(
            l1_ratio=1,
            C=1 / (penalty * rows.sum()),
            solver="liblinear",
            intercept_scaling=100,
            tol=1e-8,
            max_iter=10_000,
        )
        return model.fit(scaled, y[rows]).coef_[0] / X[rows].std(axis=0)

    return (
        lambda: np.array([[liblinear(rows, penalty) for penalty in grid] for rows in parts]),
        lambda: np.array([lasso_path(X[rows], y[rows], lambdas=grid).coefs for rows in parts]),
    )


def logistic() -> tuple[Callable, Callable]:
    """Refits of a logistic model, 131 lesions and 5 variables."""
    X, eta = draw_features(131, 5)
    y = (eta / 2 + np.random.default_rng(5).logistic(size=131) > -0.5).astype(int)
    drawn = resamples(131)
    return (
        lambda: np.array([sm.Logit(y[rows], sm.add_constant(X[rows])).fit(disp=0).params for rows in drawn]),
        lambda: np.array([fit_logistic(X[rows], y[rows]).coef for rows in drawn]),
    )


def cox() -> tuple[Callable, Callable]:
    """Refits of a Cox model with Efron's ties, 45 patients and 3 variables."""
    X, event_time, event = draw_survival(45, 3)
    table = pd.DataFrame(X, columns=list("abc")).assign(time=event_time, event=event)
    drawn = resamples(45)
    exact = {"precision": 1e-12}

    def lifelines(rows: np.ndarray) -> np.ndarray:
        return CoxPHFitter().fit(table.iloc[rows], "time", "event", fit_options=exact).params_.to_numpy()

    return (
        lambda: np.array([lifelines(rows) for rows in drawn]),
        lambda: np.array([fit_cox(X[rows], event_time[rows], event[rows]).coef for rows in drawn]),
    )


def agreement() -> tuple[Callable, Callable]:
    """ICC(2,1) of 60 features, 46 lesions and two readings, by an analysis of variance each."""
    features, lesions = 60, 46
    rng = np.random.default_rng(6)
    readings = rng.normal(size=(features, lesions, 1)) * 2 + rng.normal(size=(features, lesions, 2))

    def by_anova(values: np.ndarray) -> float:
        lesion, rater = np.indices(values.shape)
        table = pd.DataFrame({"value": values.ravel(), "lesion": lesion.ravel(), "rater": rater.ravel()})
        squares = sm.stats.anova_lm(ols("value ~ C(lesion) + C(rater)", table).fit())["mean_sq"]
        between, columns, error = squares["C(lesion)"], squares["C(rater)"], squares["Residual"]
        return (between - error) / (between + error + 2 * (columns - error) / lesions)

    return lambda: np.array([by_anova(values) for values in readings]), lambda: icc(readings)["ICC2"].to_numpy()


def concordance() -> tuple[Callable, Callable]:
    """C-indices of 50 resamples, 686 patients; nenflow's comes with its standard error."""
    X, event_time, event = draw_survival(686, 2)
    drawn = resamples(686)
    score = X[:, 0]
    return (
        lambda: np.array([concordance_index(event_time[rows], -score[rows], event[rows]) for rows in drawn]),
        lambda: np.array([harrell_c(event_time[rows], event[rows], score[rows])["c"] for rows in drawn]),
    )


WORK = {
    "LASSO paths": ("sklearn liblinear", lasso),
    "logistic refits": ("statsmodels", logistic),
    "Cox refits": ("lifelines", cox),
    "ICC": ("statsmodels anova", agreement),
    "C-index": ("lifelines", concordance),
}


def timed(work: Callable) -> tuple[float, np.ndarray]:
    """CPU seconds, and what came out."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    """Print one line per kind of work."""
    warnings.simplefilter("ignore")
    print("work             library            library s  nenflow s  ratio  difference")
    for name, (library, prepare) in WORK.items():
        theirs, ours = prepare()
        ours()  # compiles
        slow, expected = timed(theirs)
        fast, found = timed(ours)
        difference = np.abs(found - expected).max()
        print(f"{name:15}  {library:17}  {slow:9.3f}  {fast:9.4f}  {slow / fast:5.0f}  {difference:10.1e}")


if __name__ == "__main__":
    main()
