"""Agreement between repeated segmentations, and the filter that keeps the features which agree."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import fdtrc, fdtri, stdtrit

from nenflow.errors import InputError
from nenflow.phases import phases_of
from nenflow.tables import UNIT

FORMS = ("ICC1", "ICC2", "ICC3")
FILTERED = ("ICC2", "ICC3")  # forms that a filter may go by: the same raters read all lesions
LIMIT = 1.96  # standard deviations, as Bland and Altman round them
ICC_COLUMNS = [
    *(
        f"{form}{suffix}"
        for form in ("ICC2", "ICC3", "ICC1", "ICC1k", "ICC2k", "ICC3k")
        for suffix in ("", "_low", "_high")
    ),
    *("F", "df1", "df2", "p", "F_oneway", "df1_oneway", "df2_oneway", "p_oneway"),
]
# The readings that a reference is compared with: those of one rater, or of several who are judged together with it.
Again = pd.DataFrame | Sequence[pd.DataFrame]
LIMITS = ["bias", "lower", "upper"]  # of agreement, in the feature's unit
NOT_COMPUTABLE = "not computable: the values are missing or do not vary"


def icc(readings: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """All six intraclass correlations of each feature with their confidence intervals and F tests.

    Shrout & Fleiss 1979 (Psychol Bull 86:420), subjects by raters, one reading per cell. ICC1: each subject was read by
    other raters. ICC2 (absolute agreement, raters random) counts a systematic difference between the raters as
    disagreement, ICC3 (consistency, raters fixed) does not. ICC1, ICC2 and ICC3 are of a single reading; ICC1k, ICC2k
    and ICC3k of the mean of all. Intervals as McGraw & Wong (1996, Psychol Methods 1:30), ICC2's by Satterthwaite's
    approximation; all is as R's psych::ICC(lmer = FALSE) gives it.

    Args:
        readings: array (features, subjects, raters).
        level: confidence level.

    Returns:
        One row per feature: ICC2, ICC2_low, ICC2_high and so on for every form; F, df1, df2, p of the two-way analysis
        (ICC2, ICC3) and F_oneway, df1_oneway, df2_oneway, p_oneway (ICC1), which test against no agreement. All NaN
        where no ICC can be computed (a missing value, values that do not vary, fewer than two subjects or raters).
    """
    features, subjects, raters = readings.shape
    if subjects < 2 or raters < 2:
        return pd.DataFrame(np.nan, index=range(features), columns=ICC_COLUMNS)
    between, columns, error = mean_squares(np.ascontiguousarray(np.transpose(readings)))
    within = ((subjects - 1) * error + columns) / subjects  # (SS raters + SS error) / (n (k - 1))
    upper = 1 - (1 - level) / 2
    single = {"ICC1": _ratio(between, within, raters)}
    single["ICC2"], single["ICC3"] = single_coefficients(between, columns, error, subjects, raters)
    freedom = {"ICC1": subjects * (raters - 1), "ICC3": (subjects - 1) * (raters - 1)}
    intervals = {
        "ICC1": _interval(between, within, subjects, freedom["ICC1"], raters, upper),
        "ICC2": _interval_icc2(single["ICC2"], between, columns, error, subjects, raters, upper),
        "ICC3": _interval(between, error, subjects, freedom["ICC3"], raters, upper),
    }
    table = {}
    for form in FORMS:
        for suffix, value in zip(("", "_low", "_high"), (single[form], *intervals[form]), strict=True):
            table[f"{form}{suffix}"] = value
            table[f"{form}k{suffix}"] = _of_mean(value, raters)
    for rest, suffix, form in ((within, "_oneway", "ICC1"), (error, "", "ICC3")):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = between / rest
        for name, value in (("df1", subjects - 1), ("df2", freedom[form])):
            table[f"{name}{suffix}"] = np.where(np.isnan(ratio), np.nan, value)
        table[f"F{suffix}"], table[f"p{suffix}"] = ratio, fdtrc(subjects - 1, freedom[form], ratio)
    return pd.DataFrame(table, index=range(features))[ICC_COLUMNS]


def bland_altman(first: np.ndarray, second: np.ndarray, level: float = 0.95) -> pd.DataFrame:
    """Bias and limits of agreement of two readings (Bland & Altman 1999, Stat Methods Med Res 8:135).

    Args:
        first, second: readings, shape (subjects, features), in the unit of the features.
        level: confidence level of the intervals; the limits hold 95 % of differences (bias -+ 1.96 sd).

    Returns:
        One row per feature: n (subjects with both readings), bias (mean of second less first), bias_low, bias_high, sd
        (of the differences), lower, lower_low, lower_high, upper, upper_low, upper_high (limits with intervals, whose
        standard error is sd sqrt(1 / n + 1.96^2 / (2 (n - 1)))). NaN where fewer than two subjects have both.
    """
    difference = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    known = ~np.isnan(difference)
    n = known.sum(axis=0)
    enough = n > 1
    size = np.where(enough, n, 2)  # stands in where the result becomes NaN
    bias = np.where(known, difference, 0).sum(axis=0) / size
    sd = np.sqrt((np.where(known, difference - bias, 0) ** 2).sum(axis=0) / (size - 1))
    t = stdtrit(size - 1, (1 + level) / 2)
    reach = {"bias": t * sd / np.sqrt(size)}
    reach["lower"] = reach["upper"] = t * sd * np.sqrt(1 / size + LIMIT**2 / (2 * (size - 1)))
    table = {"n": n, "bias": bias, "sd": sd, "lower": bias - LIMIT * sd, "upper": bias + LIMIT * sd}
    for name, width in reach.items():
        table |= {f"{name}_low": table[name] - width, f"{name}_high": table[name] + width}
    columns = ["n", "bias", "bias_low", "bias_high", "sd"]
    columns += [f"{name}{suffix}" for name in ("lower", "upper") for suffix in ("", "_low", "_high")]
    result = pd.DataFrame(table)[columns]
    result.loc[~enough, columns[1:]] = np.nan
    return result


def classify(coefficients: np.ndarray, stable: float = 0.75, excellent: float = 0.90) -> np.ndarray:
    """Class of each ICC: unstable below `stable`, excellent from `excellent` on, else stable; "" where it is NaN.

    The usual limits are those of Koo & Li (2016, J Chiropr Med 15:155), whose moderate and poor are unstable here.
    """
    coefficients = np.asarray(coefficients, dtype=float)
    names = np.where(coefficients >= excellent, "excellent", np.where(coefficients >= stable, "stable", "unstable"))
    return np.where(np.isnan(coefficients), "", names)


def mean_squares(readings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean squares between subjects, between raters, and of the residual; NaN for a feature without an ICC.

    `readings` is (raters, subjects, features) here: sums that run along whole rows of features are ten times faster.
    """
    raters, subjects, features = readings.shape
    if subjects < 2 or raters < 2:
        nothing = np.full(features, np.nan)
        return nothing, nothing, nothing
    # Constant values are found by comparing, since their variance may come out as 1e-30 and not as 0.
    varies = (readings != readings[0, 0]).any(axis=(0, 1))
    values = readings - np.where(varies, readings.mean(axis=(0, 1)), np.nan)
    row, column = values.mean(axis=0), values.mean(axis=1)
    residual = values - row - column[:, None]
    between = raters * (row**2).sum(axis=0) / (subjects - 1)
    columns = subjects * (column**2).sum(axis=0) / (raters - 1)
    error = (residual**2).sum(axis=(0, 1)) / ((subjects - 1) * (raters - 1))
    return between, columns, error


def single_coefficients(between, columns, error, subjects: int, raters: int) -> tuple[np.ndarray, np.ndarray]:
    """ICC2 and ICC3 alone, as every refit of the filter needs them."""
    with np.errstate(invalid="ignore", divide="ignore"):
        icc2 = (between - error) / (between + (raters - 1) * error + raters * (columns - error) / subjects)
    return icc2, _ratio(between, error, raters)


def _ratio(between, rest, raters: int) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (between - rest) / (between + (raters - 1) * rest)


def _of_mean(coefficient, raters: int) -> np.ndarray:
    """Reliability of the mean of all readings by Spearman and Brown's formula; minus infinity at its pole."""
    with np.errstate(divide="ignore"):
        return raters * coefficient / (1 + (raters - 1) * coefficient)


def _interval_icc2(icc2, between, columns, error, subjects: int, raters: int, upper: float):
    """McGraw & Wong 1996, table 7, case 2A; multiplied through by the residual so that it may be zero."""
    n, k = subjects, raters
    freedom = (n - 1) * (k - 1)
    rest = n * (1 + (k - 1) * icc2) - k * icc2
    above = freedom * (k * icc2 * columns + rest * error) ** 2
    below = (n - 1) * (k * icc2 * columns) ** 2 + (rest * error) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        satterthwaite = above / below
        f_low, f_high = fdtri(n - 1, satterthwaite, upper), fdtri(satterthwaite, n - 1, upper)
        spread = k * columns + (k * n - k - n) * error
        low = n * (between - f_low * error) / (f_low * spread + n * between)
        high = n * (f_high * between - error) / (spread + n * f_high * between)
    perfect = (columns == 0) & (error == 0)
    return np.where(perfect, 1.0, low), np.where(perfect, 1.0, high)


def _interval(between, rest, subjects: int, freedom: int, raters: int, upper: float):
    """Of ICC1 and ICC3 (Shrout & Fleiss 1979), multiplied through by the residual so that it may be zero."""
    f_low, f_high = fdtri(subjects - 1, freedom, upper), fdtri(freedom, subjects - 1, upper)
    return _ratio(between, f_low * rest, raters), _ratio(f_high * between, rest, raters)


def unit_features(
    features: pd.DataFrame, phase: str | Sequence[str], rater: str, region: str | None = None
) -> pd.DataFrame:
    """Features of a phase as one rater segmented them: a row per unit, index (patient, region), sorted.

    Those of several phases stand side by side, called <phase>_<feature>, for units that have all these phases.

    Args:
        features: the feature table of a cohort, all phases and raters.
        phase: the phase, or a list of them.
        rater: the rater.
        region: a region computed from each unit, such as ring: its features stand in the unit's place.
    """
    phases = phases_of(phase)
    if len(phases) > 1:
        tables = [unit_features(features, one, rater, region).add_prefix(f"{one}_") for one in phases]
        return pd.concat(tables, axis=1, join="inner").sort_index()
    rows = features[(features["phase"] == phases[0]) & (features["rater"] == rater)]
    if region is not None:
        rows = rows[rows["region"].str.endswith(f"-{region}")]
        rows = rows.assign(region=rows["region"].str.removesuffix(f"-{region}"))
    return rows.set_index(UNIT).drop(columns=["phase", "rater"]).sort_index()


def repeated_readings(
    features: pd.DataFrame,
    phase: str | Sequence[str],
    raters: Mapping[str, str | Sequence[str]],
    region: str | None = None,
) -> dict[str, Again]:
    """Features of the reference reading and of those it is compared with, by role.

    A role with one rater (reference, intra, inter) gives a table, a role with a list of them (perturbation) a list of
    tables, each as `unit_features` gives it.
    """
    readings = {}
    for role, rater in raters.items():
        tables = [unit_features(features, phase, name, region) for name in _listed(rater)]
        readings[role] = tables[0] if isinstance(rater, str) else tables
    return readings


def _listed(one_or_more) -> list:
    return [one_or_more] if isinstance(one_or_more, str | pd.DataFrame) else list(one_or_more)


def rate_agreement(
    features: pd.DataFrame,
    raters: Mapping[str, str | Sequence[str]],
    units: pd.MultiIndex,
    form: str = "ICC2",
    stable: float = 0.75,
    excellent: float = 0.90,
) -> pd.DataFrame:
    """Agreement of every feature in every phase that was read again; a phase without a second reading is left out.

    Args:
        features: the feature table of a cohort, all phases and raters.
        raters: raters by role: reference, and one or more of intra, inter (a rater each) and perturbation (a list).
        units: the units of the analysis (patient, region); other regions of the table are not rated.
        form, stable, excellent: decide the class; see `agreement_table`.

    Returns:
        the columns of `agreement_table`, and phase.

    Raises:
        InputError: no unit was read again in any phase, or what `agreement_table` refuses.
    """
    features = features[pd.MultiIndex.from_frame(features[UNIT]).isin(units)]
    tables = []
    for phase in sorted(features["phase"].unique()):
        readings = repeated_readings(features, phase, raters)
        reference = readings.pop("reference")
        again = {role: second for role, second in readings.items() if _any_in(second, reference.index)}
        if again:
            tables.append(agreement_table(reference, again, form, stable, excellent).assign(phase=phase))
    if not tables:
        names = [_listed(rater) for role, rater in raters.items() if role != "reference"]
        others = " or by ".join(name[0] if len(name) == 1 else f"{name[0]} to {name[-1]}" for name in names)
        raise InputError(
            f"No region was segmented both by {raters['reference']} and by {others}; check the raters in cases.csv."
        )
    return pd.concat(tables, ignore_index=True)


def _any_in(again: Again, units: pd.Index) -> bool:
    return any(len(table.index.intersection(units)) for table in _listed(again))


def agreement_table(
    reference: pd.DataFrame,
    again: Mapping[str, Again],
    form: str = "ICC2",
    stable: float = 0.75,
    excellent: float = 0.90,
) -> pd.DataFrame:
    """How well each feature agrees between the reference reading and each repeated one.

    Where a comparison has a list of readings, one ICC judges the reference and all of them as that many raters.

    Args:
        reference: features (columns) of units (index patient, region) as read for the analysis.
        again: the same features, read again, by the comparison's name (such as intra, inter, perturbation). Units
            that lack one of a comparison's readings take no part in it; `n` counts those that do.
        form: the ICC that decides the class.
        stable, excellent: limits of the classes; see `classify`.

    Returns:
        One row per feature and comparison: feature, comparison, n, the columns of `icc`, class (by `form`), bias, lower
        and upper (Bland-Altman, where two readings are compared), and note, which says where an ICC is not computable.

    Raises:
        InputError: no unit has all readings of a comparison, a unit occurs twice in a reading, or a reading lacks a
            feature.
    """
    tables = []
    for comparison, second in again.items():
        readings, units = side_by_side(reference, second, reference.index, reference.columns, comparison)
        if units == 0 and len(readings) > 2:
            raise InputError(f"No lesion has a reference reading and all {len(readings) - 1} readings '{comparison}'.")
        if units == 0:
            raise InputError(
                f"No lesion has both a reference reading and a reading '{comparison}'; check the raters in cases.csv."
            )
        table = icc(readings.T).assign(feature=reference.columns, comparison=comparison, n=units)
        table["class"] = classify(table[form], stable, excellent)
        table[LIMITS] = bland_altman(*readings)[LIMITS] if len(readings) == 2 else np.nan
        table["note"] = np.where(table["ICC2"].isna(), NOT_COMPUTABLE, "")
        tables.append(table)
    columns = ["feature", "comparison", "n", *ICC_COLUMNS, "class", *LIMITS, "note"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def side_by_side(
    reference: pd.DataFrame, again: Again, units: pd.Index, features: pd.Index, comparison: str
) -> tuple[np.ndarray, int]:
    """All readings (raters, rows, features) of those of `units`, which may repeat, that have all; how many differ."""
    readings = [reference, *_listed(again)]
    rows, columns = [], []
    for number, reading in enumerate(readings):
        name = comparison if number else "reference"
        if not reading.index.is_unique:
            raise InputError(f"A lesion occurs twice in the reading '{name}'; keep one segmentation of each per rater.")
        rows.append(reading.index.get_indexer(units))
        columns.append(reading.columns.get_indexer(features))
        if (columns[-1] < 0).any():
            missing = features[columns[-1] < 0]
            raise InputError(f"The reading '{name}' lacks {len(missing)} feature(s), the first being {missing[0]}.")
    complete = np.all([row >= 0 for row in rows], axis=0)
    # Rows first, then columns, is a few times faster than both at once.
    sides = [
        reading.to_numpy(dtype=float)[row[complete]].take(column, axis=1)
        for reading, row, column in zip(readings, rows, columns, strict=True)
    ]
    return np.stack(sides), np.unique(rows[0][complete]).size
