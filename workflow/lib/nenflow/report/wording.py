"""Numbers and names as papers print them."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

MISSING = "–"


def p_text(p: float | None) -> str:
    """A p value: three decimals, "<0.001" below and ">0.999" above what these can say, a dash when there is none."""
    if _absent(p):
        return MISSING
    if p < 0.001:
        return "<0.001"
    if p >= 0.9995:
        return ">0.999"
    return f"{p:.3f}"


def p_words(p: float | None) -> str:
    """A p value in a sentence: "p = 0.020", "p <0.001"."""
    text = p_text(p)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def ratio_text(value: float | None) -> str:
    """An odds ratio or another ratio with four digits and at most three decimals, as 8.808 and 30.18 in print.

    Beyond what that can say it has its power of ten, 9.76E-161; a table that cuts it off says 9.76.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if value >= 1e4:
        return f"{value:.2E}" if math.isfinite(value) else "∞"
    if value <= 0:
        return "0"
    if value < 0.0005:
        return f"{value:.2E}"
    decimals = 3 if value < 9.9995 else 2 if value < 99.995 else 1 if value < 999.95 else 0
    return f"{value:,.{decimals}f}"


def ratio_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A ratio with its interval, "8.808 (3.433–30.18)"; an end that does not exist is said, not left out."""
    if _absent(value):
        return MISSING
    if _absent(low) and _absent(high):
        return f"{ratio_text(value)} (not estimable)"
    low_text = "0" if _absent(low) else ratio_text(low)
    high_text = "∞" if _absent(high) else ratio_text(high)
    between = " to " if "E" in low_text + high_text else "–"  # a dash beside a power's sign cannot be read
    return f"{ratio_text(value)} ({low_text}{between}{high_text})"


def decimal(value: float | None, decimals: int = 3) -> str:
    """A number with fixed decimals and a true minus sign; a dash when there is none."""
    if _absent(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def significant(value: float | None, digits: int = 4) -> str:
    """A number of any size with four significant digits, for cut-offs in a feature's own unit."""
    return MISSING if _absent(value) else f"{value:.{digits}g}".replace("-", "−")


def interval(value: float | None, low: float | None, high: float | None, decimals: int = 3) -> str:
    """An estimate with its interval, "0.852 (0.767–0.922)"."""
    if _absent(value):
        return MISSING
    if _absent(low) or _absent(high):
        return decimal(value, decimals)
    between = " to " if min(low, high) < 0 else "–"  # a dash beside a minus sign cannot be read
    return f"{decimal(value, decimals)} ({decimal(low, decimals)}{between}{decimal(high, decimals)})"


def percent(share: float | None) -> str:
    """A share as a percentage without decimals; "<1%" and ">99%" where rounding would say none or all."""
    if _absent(share):
        return MISSING
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{100 * share:.0f}%"


def count(number: float, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 patient", "1,000 resamples"."""
    noun = one if number == 1 else (many or one + "s")
    return f"{int(number):,} {noun}"


def listed(names: list[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    names = [str(name) for name in names]
    return names[0] if len(names) == 1 else " and ".join([", ".join(names[:-1]), names[-1]]) if names else ""


def capital(words: str) -> str:
    """Words as the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def of_cohort(study: Mapping[str, Any], cohort: str) -> str:
    """Which cohort something is of, where a study has several: " (cohort “external”)"."""
    return f" (cohort “{cohort}”)" if len(study["cohorts"]) > 1 else ""


def shown_of(shown: int, number: int, file: str) -> str:
    """What a caption adds where the page does not show a whole table."""
    return f": {shown:,} of {number:,}; all in tables/{file}.csv" if shown < number else ""


def feature_label(name: str) -> str:
    """A pyradiomics feature name for readers: "wavelet-LLH_firstorder_Median" becomes "LLH first order Median".

    One of several phases is named behind it: "portal_original_shape_Elongation" becomes "shape Elongation (portal)".
    """
    phase, _, plain = str(name).partition("_")
    if plain.count("_") == 2:
        return f"{feature_label(plain)} ({phase})"
    image, _, rest = str(name).partition("_")
    family, _, feature = rest.partition("_")
    if not feature:
        return str(name)
    families = {"firstorder": "first order", "shape": "shape", "shape2D": "shape 2D"}
    image = image.removeprefix("wavelet-")
    parts = [families.get(family, family.upper()), feature]
    return " ".join(parts if image == "original" else [image, *parts])


def icc_label(form: str) -> str:
    """A form of the intraclass correlation as Shrout and Fleiss write it: "ICC(2,1)" of ICC2."""
    return f"ICC({form[-1]},1)" if form in ("ICC1", "ICC2", "ICC3") else form


def score_label(name: str) -> str:
    """A score for readers: the signature's is called Radscore, a final model after its name in study.yaml."""
    if name == "Radscore":
        return name
    words = name.replace("-", " ")
    return words[:1].upper() + words[1:] + ("" if "model" in words.lower() else " model")


def the_score(name: str) -> str:
    """A score within a sentence: the Radscore, the fusion model."""
    label = score_label(name)
    return f"the {label if name == 'Radscore' else label[:1].lower() + label[1:]}"


def event_words(study: Mapping[str, Any], endpoint: str) -> str:
    """What an endpoint's event is called: its level, with the variable where a level such as "yes" says nothing."""
    settings = study["endpoints"][endpoint]
    event, label = settings["event"], study["variables"][settings["variable"]]["label"]
    return event if len(event) > 3 else f"{label} {event}"


def time_unit(study: Mapping[str, Any], endpoint: str) -> str:
    """The unit of an endpoint's time in the singular: "month" of "Survival (months)"; blank where there is none."""
    settings = study["endpoints"][endpoint]
    label = study["variables"][settings["time"]]["label"] if "time" in settings else ""
    found = re.search(r"\(([^()]+?)s?\)$", label)
    return found.group(1) if found else ""


def _absent(value: float | None) -> bool:
    return value is None or bool(pd.isna(value))
