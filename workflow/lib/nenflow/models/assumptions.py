"""What a final model rests on: enough events, variables that do not stand for each other, hazards in proportion."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from nenflow.evaluation.competing import fine_gray
from nenflow.models.base import is_survival, values_of
from nenflow.models.cox import fit_cox, schoenfeld_test
from nenflow.models.regression import Regression
from nenflow.models.selection import events_per_variable, variance_inflation
from nenflow.models.terms import term_of

EVENTS, INFLATION, PROPORTIONAL = "events per variable", "variance inflation", "proportional hazards"


def check_assumptions(
    candidates: pd.DataFrame,
    final: pd.DataFrame,
    y: pd.Series | pd.DataFrame,
    ties: str = "efron",
    imputations: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Figures by which a reader judges whether a model may be trusted.

    Args:
        candidates: columns that a selection could choose from.
        final: columns of the final model.
        y: outcome, 0 or 1, or columns time and event.
        ties: of a Cox model.
        imputations, seed: see `Regression`; where values are missing the first imputed table is judged.

    Returns:
        columns check, variable (of a term; GLOBAL of all, blank for the model), value (events per variable; generalised
        variance inflation per coefficient; chi2 of Schoenfeld's test), df, p.
    """
    rows = [(EVENTS, "", events_per_variable(y, list(candidates.columns)), len(candidates.columns), np.nan)]
    if final.empty:
        return _table(rows)
    table = Regression(final, y, imputations, seed, ties).tables[0]
    if table.shape[1] > 1:
        inflated = variance_inflation(table)
        rows += [(INFLATION, row.variable, row.per_df, row.df, np.nan) for row in inflated.itertuples()]
    if is_survival(y):
        values, time, event = values_of(table, list(table)), y["time"].to_numpy(), y["event"].to_numpy()
        fit = fit_cox(values, time, event, ties=ties)
        if not fit.separated:  # a monotone likelihood has no residuals to look at
            tests = schoenfeld_test(fit, values, time, event, [term_of(name) for name in table])
            rows += [(PROPORTIONAL, term, test["chi2"], test["df"], test["p"]) for term, test in tests.iterrows()]
    return _table(rows)


def _table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["check", "variable", "value", "df", "p"])


def subdistribution_table(final: pd.DataFrame, y: pd.DataFrame) -> pd.DataFrame:
    """Subdistribution hazard ratios of a Cox model's variables (Fine and Gray), to stand beside its own.

    A Cox model counts a competing event as censored: its ratios are of the cause-specific hazard, which tells of
    mechanism; those of the subdistribution tell how the share with the event differs.

    Returns:
        columns variable, hazard_ratio, low, high, p; empty where no event competes or the model has no variables.

    Raises:
        InputError: a value is missing, or a ratio has no finite estimate.
    """
    columns = ["variable", "hazard_ratio", "low", "high", "p"]
    if final.empty or not (is_survival(y) and (y["event"] == 2).any()):
        return pd.DataFrame(columns=columns)
    fit = fine_gray(values_of(final, list(final)), y["time"].to_numpy(), y["event"].to_numpy())
    reach = norm.ppf(0.975) * fit.se
    ratios = np.exp([fit.coef, fit.coef - reach, fit.coef + reach])
    return pd.DataFrame(dict(zip(columns, [list(final), *ratios, fit.p], strict=True)))
