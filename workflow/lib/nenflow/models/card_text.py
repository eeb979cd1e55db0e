"""A model file for people: Markdown, as model cards are read (Mitchell et al., FAT* 2019)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SCHEMES = {
    "apparent": "on the units it was made from (too good)",
    "finished": "bootstrap of the finished model (as published; too good)",
    "optimism": "corrected for optimism, whole protocol refitted",
    "632plus": "bootstrap .632+, whole protocol refitted",
    "folds": "cross-validation, whole protocol refitted",
    "temporal": "later patients",
    "external": "external cohort",
}


def card_text(card: Mapping[str, Any]) -> str:
    """The card of a model that `read_model` has read."""
    final = card["steps"].get("cox") or card["steps"]["logistic"]
    parts = [
        [f"# {card['title']}", ""],
        ["**Made from simulated patients; it says nothing about real ones.**", ""] if card.get("simulated") else [],
        [card.get("use", "Research use only; not a medical device."), ""],
        [f"- Source: {card['source']}"],
        [f"- Licence: {card.get('licence', 'nobody has stated one; ask who made it')}"],
        _endpoint(card),
        [""],
        _inputs(card),
        _extraction(card.get("features")),
        _coefficients(card, final),
        _baseline(final),
        _cohort(card.get("cohort"), card.get("unit", "patient")),
        _performance(card.get("performance", [])),
        _provenance(card),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _endpoint(card: Mapping[str, Any]) -> list[str]:
    endpoint = card.get("endpoint")
    if not endpoint:
        return []
    label = endpoint["variables"][endpoint["variable"]]["label"]
    lines = [f"- Predicts: {label} = {endpoint['event']}, of each {card.get('unit', 'patient')}"]
    if endpoint.get("times"):
        time = endpoint["variables"][endpoint["time"]]["label"]
        lines.append(f"- At: {', '.join(f'{at:g}' for at in endpoint['times'])} ({time})")
    return lines


def _inputs(card: Mapping[str, Any]) -> list[str]:
    """What a new unit needs, with the range that training had."""
    training, rows = card.get("training", {"inputs": {}})["inputs"], []
    features = card.get("features", {}).get("names", [])
    for name in dict.fromkeys([*card["variables"], *features]):
        variable, known = card["variables"].get(name, {}), training.get(name)
        seen = ""
        if known and "counts" in known:
            seen = ", ".join(f"{level} {count}" for level, count in known["counts"].items())
        elif known:
            middle = f"{known['quartiles'][1]:.4g}"
            seen = f"{known['minimum']:.4g} to {known['maximum']:.4g}, median {middle}"
        levels = " < ".join(variable["levels"]) if "levels" in variable else "number"
        rows.append([name, variable.get("label", "feature"), levels, seen])
    return ["## Inputs", "", *_table(["name", "meaning", "values", "in training"], rows), ""]


def _extraction(features: Mapping[str, Any] | None) -> list[str]:
    if features is None:
        return []
    phase = features["phase"] if isinstance(features["phase"], str) else " and ".join(features["phase"])
    how = "measured by other software" if features["digest"] is None else (
        f"measured by pyradiomics with conformance {features['conformance']} and the parameters of this file "
        f"(digest {features['digest']}); features of other parameters do not suit the model"
    )  # fmt: skip
    return [f"Features are of the phase {phase}, {how}.", ""]


def _coefficients(card: Mapping[str, Any], final: Mapping[str, Any]) -> list[str]:
    """The Radscore, then the final model, beside its shrunk coefficients."""
    steps, lines = card["steps"], []
    if "lasso" in steps:
        scaling = steps.get("zscore", {"centre": {}, "scale": {}})
        rows = [["intercept", "", "", _number(steps["lasso"]["intercept"])]]
        for name, value in steps["lasso"]["coefficients"].items():
            centre, scale = (_number(scaling[part].get(name)) for part in ("centre", "scale"))
            rows.append([name, centre, scale, _number(value)])
        lines = ["## Radscore", "", "The sum of coefficient times (value - centre) / scale.", ""]
        lines += [*_table(["feature", "centre", "scale", "coefficient"], rows), ""]
    shrunk = card.get("shrunk", {})
    other = shrunk.get("cox") or shrunk.get("logistic") or {"coefficients": {}}
    rows = [["intercept", _number(final["intercept"]), _number(other.get("intercept"))]] if "intercept" in final else []
    for name, value in final["coefficients"].items():
        rows.append([name, _number(value), _number(other["coefficients"].get(name))])
    words = "log hazard ratios" if "baseline" in final else "log odds ratios"
    lines += ["## Final model", "", f"Coefficients are {words}; levels count 1, 2, 3 in their order.", ""]
    if shrunk:
        lines += [f"Shrunk by {shrunk['factor']:.4g}, the calibration slope to be expected in new patients.", ""]
    return [*lines, *_table(["column", "coefficient", "shrunk"], rows), ""]


def _baseline(final: Mapping[str, Any]) -> list[str]:
    if "baseline" not in final:
        return []
    columns = {name: final["baseline"][name] for name in ("stratum", "time", "hazard") if name in final["baseline"]}
    rows = [
        [value if isinstance(value, str) else _number(value) for value in row]
        for row in zip(*columns.values(), strict=True)
    ]
    return ["Cumulative hazard where all columns are 0:", "", *_table(list(columns), rows), ""]


def _cohort(cohort: Mapping[str, Any] | None, unit: str) -> list[str]:
    if cohort is None:
        return []
    words = f"{cohort['units']} {unit}s of {cohort['patients']} patients, {cohort['events']} with the event."
    table = cohort["table_one"]
    return ["## Made from", "", words, "", *_table(list(table[0]), [list(row.values()) for row in table]), ""]


def _performance(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    measure = "c" if any("c" in row for row in rows) else "auc"
    lines = []
    for row in rows:
        interval = f"{row['low']:.3f} to {row['high']:.3f}" if "low" in row else ""
        figures = [f"{row[key]:.3f}" if key in row else "" for key in (measure, "slope", "brier")]
        lines.append([row["score"], _SCHEMES.get(row["scheme"], row["scheme"]), figures[0], interval, *figures[1:]])
    head = ["score", "how it was judged", {"c": "C-index", "auc": "AUC"}[measure], "95% interval", "slope", "Brier"]
    return ["## How good it is", "", *_table(head, lines), ""]


def _provenance(card: Mapping[str, Any]) -> list[str]:
    known = card.get("provenance")
    if known is None:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    lines = ["## Provenance", "", f"Study {known['study']}, seed {known['seed']}; {versions}.", ""]
    return [*lines, f"Checksum of card.json's content: {card['checksum']}"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; signs that would end a cell or begin HTML are escaped."""

    def line(cells: Sequence[str]) -> str:
        escaped = (cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)
        return f"| {' | '.join(escaped)} |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
