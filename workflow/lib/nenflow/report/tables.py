"""Tables as papers print them: text in every cell. The numbers behind them stay in the files of the other stages."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import expit

from nenflow.models.base import survival_column
from nenflow.models.terms import term_of
from nenflow.multiplicity import TESTED
from nenflow.report.wording import (
    MISSING,
    decimal,
    feature_label,
    interval,
    p_text,
    percent,
    ratio_interval,
    ratio_text,
    score_label,
    significant,
)

APPARENT, PUBLISHED = "Apparent", "Published bootstrap"
HARRELL, PLUS632 = "Optimism-corrected (Harrell)", "Optimism-corrected (.632+)"
INSET = "\u2003"  # an em space before a level: it stands in from its variable, in a file and on a page


def description_table(table: pd.DataFrame) -> pd.DataFrame:
    """Table 1 or 2 for print: a row per variable, its levels set in below it.

    Args:
        table: columns variable (label, blank in the rows that follow the first of a variable), level, then `overall` or
            one column per group, test, p and smd (standardised mean difference); texts, p and smd as numbers. Rows
            Patients, Lesions or n hold numbers of units.
    """
    groups = [name for name in table.columns if name not in ("variable", "level", *TESTED)]
    sizes = table[table["variable"] == "n"]
    heads = {name: f"{name} (n = {sizes[name].iloc[0]})" if len(sizes) else name.capitalize() for name in groups}
    tests = ["SMD", "p", "Test"] if "p" in table else []
    rows = []
    for _, row in table[table["variable"] != "n"].iterrows():
        cells = {heads[name]: row[name] for name in groups}
        tested = dict.fromkeys(tests, "")
        if row["variable"] and row.get("test"):
            tested = {"SMD": decimal(row.get("smd"), 2), "p": p_text(row["p"]), "Test": row["test"]}
        if row["variable"] and row["level"]:  # the first of several levels: the variable gets a row of its own
            rows.append({"Characteristic": row["variable"]} | dict.fromkeys(heads.values(), "") | tested)
            rows.append({"Characteristic": INSET + row["level"]} | cells | dict.fromkeys(tests, ""))
        elif row["variable"]:
            rows.append({"Characteristic": row["variable"]} | cells | tested)
        else:
            rows.append({"Characteristic": INSET + row["level"]} | cells | dict.fromkeys(tests, ""))
    return pd.DataFrame(rows, columns=["Characteristic", *heads.values(), *tests])


def odds_ratio_table(
    univariable: pd.DataFrame, multivariable: pd.DataFrame | None, variables: Mapping[str, Any]
) -> pd.DataFrame:
    """Table 3 for print: odds or hazard ratios with 95% intervals and p, each variable alone and in the final model.

    Args:
        univariable, multivariable: columns variable, odds_ratio or hazard_ratio, low, high, p; an intercept is not
            shown. A final model without variables has no columns.
        variables: the study's variables, for their labels and levels.
    """
    ratio = ratio_column(univariable)
    short = "HR" if ratio == "hazard_ratio" else "OR"
    joint = {} if multivariable is None else {row["variable"]: row for _, row in multivariable.iterrows()}
    rows = []
    for _, alone in univariable.iterrows():
        name = alone["variable"]
        together = joint.get(name)
        rows.append(
            {
                "Variable": coded_label(name, variables, set(univariable["variable"])),
                f"Alone: {short} (95% CI)": ratio_interval(alone[ratio], alone["low"], alone["high"]),
                "p": p_text(alone["p"]),
                f"Final model: {short} (95% CI)": ""
                if together is None
                else ratio_interval(together[ratio], together["low"], together["high"]),
                "p ": "" if together is None else p_text(together["p"]),
            }
        )
    table = pd.DataFrame(rows)
    return table if set(joint) - {"intercept"} else table.iloc[:, :3]


def with_powers(table: pd.DataFrame) -> list[str]:
    """The variables whose ratio, or an end of its interval, is printed with a power of ten, as 9.76E-161."""
    ratios = table.set_index("variable").drop(index="intercept", errors="ignore")[[ratio_column(table), "low", "high"]]
    return [name for name, row in ratios.iterrows() if any("E" in ratio_text(value) for value in row)]


def ratio_column(table: pd.DataFrame) -> str:
    """Which ratio a table of `models.tables` holds."""
    return "hazard_ratio" if "hazard_ratio" in table else "odds_ratio"


def coded_label(name: str, variables: Mapping[str, Any], columns: Collection[str] = ()) -> str:
    """A variable's label with what one step of its ratio means: the levels that are coded 1, 2, 3 …

    The columns of a factor name their level and the reference, those of a spline are numbered; `columns` are those
    beside this one, by which the first column of a spline is known.
    """
    term = term_of(name)
    if name in variables and f"{name}'" in columns:
        return f"{variables[name]['label']}: part 1 of the spline"
    if name != term and term in variables:
        variable, bends = variables[term], len(name) - len(term)
        if name.startswith(f"{term}="):
            return f"{variable['label']}: {name.removeprefix(f'{term}=')} against {variable['levels'][0]}"
        return f"{variable['label']}: part {bends + 1} of the spline"
    if name not in variables:
        return feature_label(name)
    variable = variables[name]
    if variable["type"] == "continuous":
        return variable["label"]
    levels = variable["levels"]
    if len(levels) == 2:
        return f"{variable['label']}: {levels[1]} against {levels[0]}"
    return f"{variable['label']}: per step {', '.join(levels)}"


def plain_label(name: str, variables: Mapping[str, Any]) -> str:
    """The label of a variable or, without one, the name of a feature or score for readers."""
    return variables[name]["label"] if name in variables else feature_label(name)


def signature_table(
    coefficients: Mapping[str, float], intercept: float, shares: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The Radscore's formula: coefficients of the features, largest first, and the intercept.

    Args:
        coefficients, intercept: of the LASSO.
        shares: of refits that selected a feature, by its name, where they are known; one without a name has 0.
    """
    ordered = sorted(coefficients.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    rows = [{"Feature": feature_label(name), "Coefficient": decimal(value, 4), "Name": name} for name, value in ordered]
    table = pd.DataFrame([*rows, {"Feature": "Intercept", "Coefficient": decimal(intercept, 4), "Name": ""}])
    if shares:
        table.insert(2, "Selected", [percent(shares.get(name, 0.0)) for name, _ in ordered] + [""])
    return table


def classes_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """How many features are unstable, stable and excellent, by comparison and phase."""
    found = agreement["class"].fillna("").replace("", "not computable")
    names = ["unstable", "stable", "excellent", "not computable"]
    counts = pd.crosstab([agreement["comparison"], agreement["phase"]], found).reindex(columns=names, fill_value=0)
    shown = counts.astype(str).rename(columns=str.capitalize)
    shown.insert(0, "Comparison", [f"{comparison}, {phase}" for comparison, phase in counts.index])
    return shown.reset_index(drop=True).rename_axis(columns=None)


def markers_table(markers: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Single features as markers, the best first: AUC, cut-off with what it achieves, p and p corrected for number.

    How many units each was measured in stands there where features differ in it.
    """
    best = markers.sort_values(["auc", "marker"], ascending=[False, True], kind="stable").head(most)
    several = len(set(markers.dropna(subset=["auc"])["n"])) > 1
    rows = [
        {
            "Feature": feature_label(row["marker"]),
            **({"n": f"{row['n']:.0f}"} if several else {}),
            "In events": row["direction"],
            "AUC (95% CI)": interval(row["auc"], row["auc_low"], row["auc_high"]),
            "Cut-off": significant(row["threshold"]),
            "Sensitivity": percent(row["sensitivity"]),
            "Specificity": percent(row["specificity"]),
            "p": p_text(row["p"]),
            "p (FDR)": p_text(row["p_fdr"]),
            "Test": row["test"],
        }
        for _, row in best.dropna(subset=["auc"]).iterrows()
    ]
    return pd.DataFrame(rows)


def groups_table(markers: pd.DataFrame, levels: Sequence[str], event: str) -> pd.DataFrame:
    """Single features in the two groups of an endpoint, a row each in the order given.

    Args:
        markers: as `evaluation.markers.rate_markers` gives them; one that could not be rated has its reason.
        levels: of the endpoint's variable; each has a column.
        event: the level that is the event.
    """
    rows, events = [], markers["events"].iloc[0]
    same = markers["n"].nunique() == markers["events"].nunique() == 1  # no feature lacks values of its own
    sizes = {level: events if level == event else markers["n"].iloc[0] - events for level in levels}
    heads = {level: f"{level} (n = {sizes[level]:.0f})" if same else level for level in levels}
    for _, row in markers.iterrows():
        cells = {heads[level]: _group_text(row, "event" if level == event else "other") for level in levels}
        test = row["test"] if isinstance(row["test"], str) else ""
        cells |= {"Test": test, "p": p_text(row["p"]), "p (Bonferroni)": p_text(row["p_bonferroni"])}
        rows.append({"Feature": feature_label(row["marker"]), **cells})
    return pd.DataFrame(rows)


def _group_text(row: pd.Series, group: str) -> str:
    """A feature in one group: mean and standard deviation where a t test compares it, else median and quartiles."""
    mean, sd, median, first, third = (
        significant(row[f"{group}_{name}"]) for name in ("mean", "sd", "median", "q1", "q3")
    )
    if MISSING in (mean, median):
        return MISSING
    return f"{mean} ± {sd}" if str(row["test"]).endswith("t") else f"{median} [{first}, {third}]"


def rated_table(markers: pd.DataFrame, chance: pd.DataFrame | None = None) -> pd.DataFrame:
    """ROC of single features, a row each in the order given, beside what cohorts of permuted outcomes reach.

    Args:
        markers: as `evaluation.markers.rate_markers` gives them.
        chance: as `evaluation.synthetic.chance_level` gives it; of a synthetic cohort.
    """
    known = {} if chance is None else {row["marker"]: row for _, row in chance.iterrows()}
    rows = []
    for _, row in markers.iterrows():
        cells = {
            "Feature": feature_label(row["marker"]),
            "In events": MISSING if pd.isna(row["direction"]) else row["direction"],
            "AUC (95% CI)": interval(row["auc"], row["auc_low"], row["auc_high"], 2),
            "Cut-off": significant(row["threshold"], 3),
            "Sensitivity": _exact_percent(row["sensitivity"]),
            "Specificity": _exact_percent(row["specificity"]),
        }
        if row["marker"] in known:
            level = known[row["marker"]]
            cells["Permuted"] = interval(level["median"], level["low"], level["high"], 2)
            cells["Reached by"] = percent(level["share"])
        rows.append(cells)
    return pd.DataFrame(rows)


def _exact_percent(share: float) -> str:
    """A share of few patients with a decimal, so that 11 of 14 can be told: 78.6%."""
    return MISSING if pd.isna(share) else f"{100 * share:.1f}%"


def cutoffs_table(tests: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Survival of patients below and above single features' cut-offs, a row each.

    Args:
        tests: as `evaluation.groups.cutoff_tests` gives them.
        summary: as `evaluation.groups.survival_summary` gives it for the same groups.
    """
    groups = {(row["variable"], row["group"]): row for _, row in summary.iterrows()}
    rows = []
    for _, row in tests.iterrows():
        cells = {"Feature": feature_label(row["variable"]), "Cut-off": significant(row["cutpoint"], 3)}
        for group in ("low", "high"):
            part = groups.get((row["variable"], group))
            cells[f"n, {group}"] = "0" if part is None else f"{part['n']:.0f}"
            cells[f"Median, {group} (95% CI)"] = MISSING if part is None else median_text(part)
        cells |= {"Log-rank p": p_text(row["p"]), "Corrected p": p_text(row["p_corrected"])}
        rows.append(cells)
    return pd.DataFrame(rows)


def survival_markers_table(markers: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Single features and the time to an event, the best first: C-index, hazard ratio per standard deviation, p."""
    best = markers.dropna(subset=["c"]).sort_values(["c", "marker"], ascending=[False, True], kind="stable").head(most)
    rows = [
        {
            "Feature": feature_label(row["marker"]),
            "In early events": row["direction"],
            "C-index (95% CI)": interval(row["c"], row["c_low"], row["c_high"]),
            "HR per SD (95% CI)": ratio_interval(row["hazard_ratio"], row["low"], row["high"]),
            "p": p_text(row["p"]),
            "p (FDR)": p_text(row["p_fdr"]),
        }
        for _, row in best.iterrows()
    ]
    return pd.DataFrame(rows)


def discrimination_table(performance: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Apparent discrimination of each score, with the intervals that papers print and Youden's cut-off."""
    rows = []
    models = set(performance) - {"Radscore"}  # the Radscore is part of a model and predicts no probability by itself
    for score, figures in performance.items():
        cutoff = figures.get("youden") or {}
        rows.append(
            {
                "Score": score_label(score),
                "AUC (95% CI, DeLong)": interval(figures["auc"], *figures["auc_delong"]),
                "95% CI, Hanley-McNeil": interval_only(figures["auc_hanley_mcneil"]),
                "95% CI, exact binomial": interval_only(figures["auc_binomial"]),
                "Cut-off": decimal(cutoff.get("threshold")),
                **({"As risk": _probability(cutoff) if score in models else MISSING} if models else {}),
                "Sensitivity": decimal(cutoff.get("sensitivity")),
                "Specificity": decimal(cutoff.get("specificity")),
                "Brier score": decimal(figures.get("brier")),
            }
        )
    return pd.DataFrame(rows)


def _probability(cutoff: Mapping[str, Any]) -> str:
    threshold = cutoff.get("threshold")
    return decimal(None if threshold is None else float(expit(threshold)))


def interval_only(ends: list[float | None]) -> str:
    """An interval whose estimate stands beside it already."""
    text = interval(0.0, *ends)
    return text[text.index("(") + 1 : -1] if "(" in text else decimal(None)


# Where chance.json has the distribution under no effect of each estimate. A bootstrap of the finished model has the
# apparent figure as its mean, so that both have the same.
_CHANCE = {APPARENT: "apparent", PUBLISHED: "apparent", HARRELL: "harrell", PLUS632: "corrected"}


def estimates(
    performance: Mapping[str, Any], validation: Mapping[str, Any] | None, chance: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """AUCs (C-indices) of each score as `honest_figure` takes them: apparent, published bootstrap, both corrected ones.

    Harrell's interval is left out where it does not hold its own estimate, see `evaluation.validation.harrell`.

    Args:
        performance: performance.json of a model.
        validation: its validation.json, if there is one.
        chance: its chance.json, if there is one.

    Returns:
        columns score, estimate, auc (or C-index), low, high, honest (True or False); under no effect chance (median),
        chance_low, chance_high, p, and the number of permutations.
    """
    rows = []
    for score, figures in performance.items():
        measure, ends = ("auc", "auc_delong") if "auc_delong" in figures else ("c", "c_interval")
        found = [(APPARENT, figures[measure], *figures[ends], False)]
        checked = (validation or {}).get("scores", {}).get(score)
        if checked:
            published, harrell, plus632 = (checked[name] for name in ("published", "harrell", "corrected"))
            low, high = harrell["interval"]
            held = low is not None and high is not None and low <= harrell[measure] <= high
            found.append((PUBLISHED, published["mean"], *published["interval"], False))
            found.append((HARRELL, harrell[measure], *((low, high) if held else (None, None)), True))
            found.append((PLUS632, plus632[measure], *plus632["interval"], True))
        rows += [(score, *row, *_by_chance(chance, score, row[0])) for row in found]
    columns = ["score", "estimate", "auc", "low", "high", "honest"]
    table = pd.DataFrame(rows, columns=[*columns, *_BY_CHANCE])
    return table.astype(dict.fromkeys(["auc", "low", "high", *_BY_CHANCE], float))


_BY_CHANCE = ["chance", "chance_low", "chance_high", "p", "permutations"]


def _by_chance(chance: Mapping[str, Any] | None, score: str, estimate: str) -> list[float | None]:
    figures = (chance or {}).get("scores", {}).get(score)
    if not figures:
        return [None] * len(_BY_CHANCE)
    return [*(figures[_CHANCE[estimate]][key] for key in ("median", "low", "high", "p")), chance["permutations"]]


def chance_cells(row: Any) -> dict[str, str]:
    """What outcomes permuted between patients give of an estimate (a row of `estimates`), and its p."""
    return {"Outcomes permuted": interval(row.chance, row.chance_low, row.chance_high), "p": p_text(row.p)}


def exclusions_table(exclusions: pd.DataFrame, unit: str, most: int = 50) -> pd.DataFrame:
    """Who was excluded, where and why; the region is left out where patients are the units.

    Args:
        exclusions: columns patient, region, step, reason; a region may be missing.
        unit: lesion or patient.
        most: how many rows are shown.
    """
    shown = exclusions.head(most).fillna("")
    columns = ["patient", *(["region"] if unit == "lesion" else []), "step", "reason"]
    return shown[columns].rename(columns=str.capitalize)


def parameters_table(parameters: Mapping[str, Any]) -> pd.DataFrame:
    """An extraction's parameter file for print: a row per setting, and one for each list of what is computed.

    Args:
        parameters: content of a pyradiomics parameter file: imageType, featureClass, setting.
    """
    rows = []
    for group, content in parameters.items():
        if group == "setting":
            rows += [(name, _written(value)) for name, value in (content or {}).items()]
        else:
            rows.append((group, _written(content)))
    return pd.DataFrame(rows, columns=["Setting", "Value"])


def _written(value: Any) -> str:
    """A setting's value in words: lists with commas, options in brackets behind the name that has them."""
    if isinstance(value, Mapping):
        named = [(name, _written(options)) for name, options in value.items()]
        return ", ".join(f"{name} ({options})" if options else str(name) for name, options in named)
    if isinstance(value, (list, tuple)):
        return ", ".join(_written(item) for item in value)
    return "" if value is None else str(value)


def survival_table(
    summary: pd.DataFrame, tests: pd.DataFrame, variables: Mapping[str, Any], endpoint: Mapping[str, Any]
) -> pd.DataFrame:
    """Survival by group for print: median and survival at the endpoint's times, with the log-rank test of a variable.

    Args:
        summary, tests: as `evaluation.groups` gives them.
        variables: the study's variables, for their labels.
        endpoint: the endpoint's settings.
    """
    p = tests[tests["test"] == "log-rank"].set_index("variable")["p"]
    rows = []
    for variable, part in summary.fillna({"variable": ""}).groupby("variable", sort=False):
        if variable:
            rows.append({"Group": f"{variables[variable]['label']} (log-rank p {p_text(p.get(variable))})"})
        for _, row in part.iterrows():
            cells = {"Group": f"{INSET}{row['group']}" if variable else "All patients"}
            cells |= {"Patients": f"{row['n']:.0f}", "Events": f"{row['events']:.0f}"}
            cells["Median (95% CI)"] = median_text(row)
            for time in endpoint["times"]:
                key = survival_column(time)
                cells[f"At {time:g} (95% CI)"] = interval(row[key], row[f"{key}_low"], row[f"{key}_high"], 2)
            rows.append(cells)
    return pd.DataFrame(rows).fillna("")


def median_text(row: pd.Series) -> str:
    """A median time with its interval, whose upper end many curves do not reach."""
    if pd.isna(row["median"]):
        return "not reached"
    low, high = (decimal(row[end], 1) if pd.notna(row[end]) else "not reached" for end in ("median_low", "median_high"))
    return f"{decimal(row['median'], 1)} ({low}–{high})"


def cutpoints_table(cutpoints: pd.DataFrame, variables: Mapping[str, Any]) -> pd.DataFrame:
    """Best cut-points for print, see `evaluation.groups.best_cutpoints`; with a note where one has none."""
    reasons = cutpoints["reason"].fillna("")
    rows = [
        {
            "Variable": variables[row["variable"]]["label"],
            "Cut-off (high above)": significant(row["cutpoint"]),
            "Low / high": MISSING if pd.isna(row["n_low"]) else f"{row['n_low']:.0f} / {row['n_high']:.0f}",
            "Statistic": decimal(row["statistic"], 2),
            "p, Lausen-Schumacher": p_text(row["p_lausen_1992"]),
            "p, permutation": p_text(row["p_permutation"]),
            "p, uncorrected": p_text(row["naive_p"]),
            **({"Note": reasons[number]} if reasons.any() else {}),
        }
        for number, row in cutpoints.iterrows()
    ]
    return pd.DataFrame(rows)


def score_table(score: Mapping[str, Any], variables: Mapping[str, Any]) -> pd.DataFrame:
    """The points of a whole-point score for print: a row per level."""
    rows = []
    for name, scale in score["variables"].items():
        rows.append({"Variable": plain_label(name, variables), "Points": ""})
        levels = scale["values"] if name in score["factors"] else _level_names(name, scale["values"], variables)
        rows += [
            {"Variable": f"{INSET}{level}", "Points": str(points)}
            for level, points in zip(levels, scale["points"], strict=True)
        ]
    return pd.DataFrame(rows)


def _level_names(name: str, values: list[float], variables: Mapping[str, Any]) -> list[str]:
    levels = variables.get(name, {}).get("levels", [])
    coded = levels and all(float(value).is_integer() and 1 <= value <= len(levels) for value in values)
    return [levels[int(value) - 1] if coded else f"{value:g}" for value in values]


def points_table(points: pd.DataFrame, variables: Mapping[str, Any], factors: Collection[str] = ()) -> pd.DataFrame:
    """The points that each value of a nomogram's variables has, for print: a row per variable.

    Args:
        points: columns part, variable, value, points, as `nomogram.points_table` gives them.
        variables: the study's variables.
        factors: variables whose values are levels, not codes of levels.
    """
    rows = []
    for name, part in points[points["part"] == "points"].groupby("variable", sort=False):
        values = _written_values(name, part["value"], {} if name in factors else variables)
        worth = [f"{value}: {decimal(number, 0)}" for value, number in zip(values, part["points"], strict=True)]
        rows.append({"Variable": plain_label(name, variables), "Points of each value": ", ".join(worth)})
    return pd.DataFrame(rows)


def total_points_table(points: pd.DataFrame) -> pd.DataFrame:
    """The total points at which each probability, or survival at each time, is reached, for print.

    Totals under zero are left out: nobody has so few.
    """
    totals = points[(points["part"] == "total points") & (points["points"] >= -0.5)]
    totals = totals.assign(value=pd.to_numeric(totals["value"]), shown=totals["points"].map(lambda n: decimal(n, 0)))
    names = list(dict.fromkeys(totals["variable"]))
    table = totals.pivot_table(index="value", columns="variable", values="shown", aggfunc="first")[names]
    heads = {name: f"Points, {name.replace('_', ' at ')}" if name != "probability" else "Points" for name in names}
    first = "Probability" if names == ["probability"] else "Survival"
    shown = table.fillna("").rename(columns=heads).reset_index().rename(columns={"value": first})
    return shown.assign(**{first: shown[first].map(lambda value: f"{value:g}")}).rename_axis(columns=None)


def _written_values(name: str, values: pd.Series, variables: Mapping[str, Any]) -> list[str]:
    """Values of a nomogram's axis in words: codes by their level's name, numbers without trailing zeros."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        return [str(value) for value in values]
    return _level_names(name, numbers.tolist(), variables)


def strata_table(strata: pd.DataFrame, score: Mapping[str, Any]) -> pd.DataFrame:
    """The risk seen in each stratum of a score for print; of a time-to-event outcome per time."""
    bounds = [0, *score["cutoffs"], score["maximum"] + 1]
    ranges = {
        name: f"{name} ({low} to {high - 1})" if high - 1 > low else f"{name} ({low})"
        for name, low, high in zip(score["strata"], bounds, bounds[1:], strict=False)
    }
    rows = [
        {
            "Stratum (score)": ranges[row["stratum"]],
            **({"Time": f"{row['time']:g}"} if "time" in strata else {}),
            "n": f"{row['n']:.0f}",
            "Events": f"{row['events']:.0f}",
            "Risk (95% CI)": interval(row["risk"], row["low"], row["high"]),
        }
        for _, row in strata.iterrows()
    ]
    return pd.DataFrame(rows)


def sample_size_table(plan: pd.DataFrame) -> pd.DataFrame:
    """Riley's criteria for print."""
    words = {
        "shrinkage": "Coefficients shrink by at most a tenth",
        "optimism": "Optimism of R² at most 0.05",
        "overall risk": "Overall risk known within 0.05",
        "required": "All three",
    }
    rows = [
        {"Criterion": words[row["criterion"]], "Needed": f"{row['n']:,.0f}", "Events": f"{row['events']:,.0f}"}
        for _, row in plan.iterrows()
    ]
    return pd.DataFrame(rows)


def assumptions_table(assumptions: pd.DataFrame, variables: Mapping[str, Any]) -> pd.DataFrame:
    """Variance inflation and, of a Cox model, the test of proportional hazards: a row per term for print."""
    rows: dict[str, dict[str, str]] = {}
    for _, row in assumptions.dropna(subset=["variable"]).iterrows():
        name = row["variable"]
        label = "All together" if name == "GLOBAL" else plain_label(name, variables)
        cells = rows.setdefault(name, {"Variable": label, "Variance inflation": ""})
        if row["check"] == "variance inflation":
            cells["Variance inflation"] = decimal(row["value"], 2)
        else:
            cells |= {"Proportional hazards: χ²": decimal(row["value"], 2), "p": p_text(row["p"])}
    return pd.DataFrame(list(rows.values())).fillna("")
