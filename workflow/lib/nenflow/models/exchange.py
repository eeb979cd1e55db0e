"""A model for other programs: a table of its coefficients, and a function for R that needs no package.

Light on purpose: it turns one document into rows and text, and loads no table.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any

SIGNATURE = "Radscore"  # as in models.base, which loads pandas
COLUMNS = ["part", "column", "coefficient", "centre", "scale"]

_WIDTH = 116  # of comments
_READERS = """
column <- function(patients, name) {
  if (is.null(patients[[name]])) stop("the table has no column ", name)
  patients[[name]]
}

number <- function(patients, name) {
  value <- column(patients, name)
  if (!is.numeric(value)) stop("column ", name, " holds text, and the model needs numbers")
  if (anyNA(value)) stop("column ", name, ", row ", which(is.na(value))[1], " is missing; the model needs all values")
  value
}

# The place of each entry among the levels: 1, 2, 3 and so on.
level <- function(patients, name, levels) {
  value <- match(as.character(column(patients, name)), levels)
  if (anyNA(value)) stop("column ", name, ", row ", which(is.na(value))[1], " is none of ", toString(levels))
  value
}
"""
_BEND = """
# The part of a restricted cubic spline that begins to bend at one of its knots, scaled as in rms.
bend <- function(x, knots, at) {
  k <- length(knots)
  cube <- function(knot) pmax(x - knot, 0)^3
  end <- (cube(knots[k - 1]) * (knots[k] - knots[at]) - cube(knots[k]) * (knots[k - 1] - knots[at])) /
    (knots[k] - knots[k - 1])
  (cube(knots[at]) - end) / (knots[k] - knots[1])^2
}
"""


def coefficient_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers of a model, one row each, with the columns `COLUMNS`.

    Args:
        document: model.json of a study's own model, or of one taken from print.

    Returns:
        part: Radscore, logistic or cox (the final model), and baseline (the cumulative hazard where all columns are 0,
        at each of the model's times). column: a feature (which enters as (value - centre) / scale where these are
        given), a variable, `<variable>=<level>`, a part of a spline (`age`, `age'`), or intercept.
    """
    steps = document["steps"]
    kind, final = _final(steps)
    rows = _rows(SIGNATURE, steps["lasso"], steps) if "lasso" in steps else []
    rows += _rows(kind, final, steps)
    for time, hazards in _hazards(final).items():
        for stratum, hazard in hazards.items():
            name = f"{time:g}" if stratum is None else f"{time:g}, {final['strata']}={stratum}"
            rows.append({"part": "baseline", "column": name, "coefficient": hazard})
    return rows


def r_function(document: Mapping[str, Any], name: str) -> str:
    """A text that R reads with `source`: a function from a table of patients to the model's predictions.

    It takes variables as the study's tables spell them (levels as text) and features by their names, and gives what
    `protocol.scores` gives, but for its rounding to 9 decimals: Radscore where there is one, linear_predictor,
    probability or survival_<time>. Missing values are refused, also where the model could fill them.

    Args:
        document: see `coefficient_rows`.
        name: the model's name; the function is called predict_<name>.
    """
    steps = document["steps"]
    kind, final = _final(steps)
    lines, results = [], [SIGNATURE, "linear_predictor"] if "lasso" in steps else ["linear_predictor"]

    def term(column: str) -> str:
        return _term(column, document.get("variables", {}), steps)

    if "lasso" in steps:
        lines += _sum(SIGNATURE, steps["lasso"], term)
    lines += _sum("linear_predictor", final, term)
    if kind == "logistic" and "intercept" in final:
        results.append("probability = 1 / (1 + exp(-linear_predictor))")
    hazards = _hazards(final)
    if "strata" in final:
        strata = sorted(set(final["baseline"]["stratum"]))
        lines.append(f"  stratum <- level(patients, {_text(final['strata'])}, {_vector(map(_text, strata))})")
    for time, known in hazards.items():
        hazard = f"{_vector(map(repr, known.values()))}[stratum]" if "strata" in final else repr(known[None])
        results.append(f"survival_{time:g} = exp(-{hazard} * exp(linear_predictor))")
    given = ",\n".join(f"    {result}" for result in results)
    called = "predict_" + name.replace("-", "_")
    body = "\n".join([*lines, f"  data.frame(\n{given}\n  )"])
    helpers = _READERS + (_BEND if steps.get("terms", {}).get("knots") else "")
    return f"{_header(document, called)}{helpers}\n{called} <- function(patients) {{\n{body}\n}}\n"


def _final(steps: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    kind = "cox" if "cox" in steps else "logistic"
    return kind, steps[kind]


def _rows(part: str, document: Mapping[str, Any], steps: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = (
        [{"part": part, "column": "intercept", "coefficient": document["intercept"]}] if "intercept" in document else []
    )
    scaling = steps.get("zscore", {"centre": {}, "scale": {}})
    for column, coefficient in document["coefficients"].items():
        row = {"part": part, "column": column, "coefficient": coefficient}
        if column in scaling["centre"]:
            row |= {key: scaling[key][column] for key in ("centre", "scale")}
        rows.append(row)
    return rows


def _hazards(final: Mapping[str, Any]) -> dict[float, dict[str | None, float]]:
    """The cumulative baseline hazard at each time of a Cox model by stratum (None: there are none); a step function."""
    baseline = final.get("baseline")
    if not baseline:
        return {}
    strata = baseline.get("stratum", [None] * len(baseline["time"]))
    found: dict[float, dict[str | None, float]] = {}
    for stratum in sorted(set(strata), key=str):
        chosen = [place for place, other in enumerate(strata) if other == stratum]
        times = [baseline["time"][place] for place in chosen]
        hazards = [0.0, *(baseline["hazard"][place] for place in chosen)]
        for time in final["times"]:
            found.setdefault(time, {})[stratum] = hazards[bisect_right(times, time)]
    return found


def _sum(name: str, document: Mapping[str, Any], term: Callable[[str], str]) -> list[str]:
    """Lines of R that add up a weighted sum in the document's order."""
    parts = [repr(float(document.get("intercept") or 0.0))]
    parts += [f"{value!r} * {term(column)}" for column, value in document["coefficients"].items()]
    # A model of no column says the same of everybody: one entry for each row.
    first = f"  {name} <- rep({parts[0]}, nrow(patients))"
    return [" +\n    ".join([first, *parts[1:]])]


def _term(column: str, variables: Mapping[str, Any], steps: Mapping[str, Any]) -> str:
    """What stands behind a coefficient, in R."""
    terms, scaling = steps.get("terms", {}), steps.get("zscore", {"centre": {}, "scale": {}})
    variable, _, level = column.partition("=")
    spline = column.rstrip("'")
    if column == SIGNATURE:
        return SIGNATURE
    if variable in terms.get("factors", {}):
        place = terms["factors"][variable].index(level) + 1
        return f"({_level(variable, terms['factors'][variable])} == {place})"
    if spline != column and spline in terms.get("knots", {}):
        knots = _vector(map(repr, terms["knots"][spline]))
        return f"bend({_number(spline)}, {knots}, {len(column) - len(spline)})"
    if column in scaling["centre"]:
        return f"(({_number(column)} - {_number_text(scaling['centre'][column])}) / {scaling['scale'][column]!r})"
    levels = variables.get(column, {}).get("levels")
    return _level(column, levels) if levels else _number(column)


def _number(name: str) -> str:
    return f"number(patients, {_text(name)})"


def _number_text(value: float) -> str:
    return f"({value!r})" if value < 0 else repr(value)


def _level(name: str, levels: Sequence[str]) -> str:
    return f"level(patients, {_text(name)}, {_vector(map(_text, levels))})"


def _vector(entries) -> str:
    return f"c({', '.join(entries)})"


def _text(text: str) -> str:
    """A string of R, which escapes as JSON does."""
    return json.dumps(str(text), ensure_ascii=False)


def _header(document: Mapping[str, Any], called: str) -> str:
    """What a reader of the file has to know, as comments."""
    steps, (_, final) = document["steps"], _final(document["steps"])
    said = [document.get("title") or f"{document['study']}: the model {document['model']}."]
    if document.get("simulated"):
        said.append("Fitted to a simulated cohort: it says nothing about patients.")
    if "shrinkage" in document:
        said.append("The coefficients are shrunk, as the model is to be used in new patients.")
    said += document.get("missing", [])
    called = f'source("predict.R", encoding = "UTF-8"); {called}(read.csv(file, check.names = FALSE))'
    said += ["Base R is enough:", f"  {called}", "The table has a row for each unit, and these columns:"]
    needed = _needed(document, final)
    said += [f"  {name}: {_described(name, document)}" for name in needed] or [
        "  none, since the model has no variable"
    ]
    if "combat" in steps:
        said.append("Features are expected as the model's step combat leaves them; model.json has its numbers.")
    lines = [fill(block, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) for block in said]
    return "\n".join(lines) + "\n"


def _needed(document: Mapping[str, Any], final: Mapping[str, Any]) -> list[str]:
    """The columns of the table that a model looks at."""
    steps = document["steps"]
    terms = steps.get("terms", {})
    names = [*steps.get("lasso", {"coefficients": {}})["coefficients"]]
    for column in final["coefficients"]:
        variable = column.partition("=")[0]
        names.append(variable if variable in terms.get("factors", {}) else column.rstrip("'"))
    names += [final["strata"]] if "strata" in final else []
    return [name for name in dict.fromkeys(names) if name != SIGNATURE]


def _described(name: str, document: Mapping[str, Any]) -> str:
    variable = document.get("variables", {}).get(name)
    if variable is None:
        return "a stratum" if name == _final(document["steps"])[1].get("strata") else "a feature, as extracted"
    return variable["label"] + (f", one of {', '.join(variable['levels'])}" if "levels" in variable else "")
