"""The first screen of a report: what a paper would print, what is left, what chance gives, and whether it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from nenflow.multiplicity import adjust
from nenflow.report.figures_answer import CHANCE, HONEST, OUTSIDE, PRINTED, answer_figure
from nenflow.report.model_files import ModelFiles, constant_scores
from nenflow.report.page import Drawing, Text
from nenflow.report.tables import APPARENT, PLUS632, estimates
from nenflow.report.wording import capital, count, decimal, interval, listed, p_text, p_words, the_score
from nenflow.tables import EXTERNAL

_LEVEL = 0.05


@dataclass(frozen=True)
class Finding:
    """A model's figures side by side: each a value with the ends of its interval.

    `honest` is None where nothing was refitted, `chance` where no outcome was permuted, `printed` where no variable was
    selected, so that there is nothing to rate. `p` is the share of permutations (the study's own outcome counted as
    one) whose honest figure is as large, corrected for the number of the study's models (Holm).
    """

    name: str
    measure: str
    printed: tuple[float, float, float] | None = None
    honest: tuple[float, float, float] | None = None
    chance: tuple[float, float, float] | None = None
    outside: tuple[float, float, float] | None = None
    p: float | None = None

    def verdict(self) -> str:
        """Whether it stands: "stands", "open", "chance", "unchecked", or "nothing" where nothing was selected.

        It stands where the permutation test says that there is something, and the honest figure's interval says that
        it is more than chance; it is open where these two disagree. Without permutations the interval decides alone.
        """
        if self.printed is None:
            return "nothing"
        if self.honest is None:
            return "unchecked"
        above = self.honest[1] > 0.5
        if self.p is None:
            return "stands" if above else "chance"
        if self.p > _LEVEL:
            return "open" if above else "chance"
        return "stands" if above else "open"


def answer_blocks(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Any]:
    """The answer to the study's question: two sentences and one picture; nothing where the study asks none."""
    findings, tests = model_findings(study, results), tally(study, results)
    blocks: list[Any] = [Text(words) for words in (finding_words(findings, study["unit"]), tally_words(tests)) if words]
    rows = answer_rows([finding for finding in findings if finding.printed], tests)
    if rows.empty:
        return blocks
    caption = "Lines are 95% intervals; grey is the central 95% of permuted outcomes." if findings else ""
    caption += " Bars count tests." if tests else ""
    return [*blocks, Drawing("answer", answer_figure(rows), caption.strip(), _alt(rows))]


def _alt(rows: pd.DataFrame) -> str:
    """The picture in words: each axis with what stands on it."""
    parts = []
    for (axis, heading), part in rows.groupby(["axis", "heading"], sort=False):
        shown = "; ".join(f"{row.label}: {row.text}" for row in part.itertuples())
        parts.append(f"{heading + ', ' if heading else ''}{axis.split(';')[0]}. {shown}.")
    return " ".join(parts)


def model_findings(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[Finding]:
    """A finding for each model that was evaluated, or that has nothing to evaluate."""
    findings = []
    for model in study.get("models", {}):
        files = ModelFiles(results, model)
        rated, empty = files.rated(model), constant_scores(files, model)
        measure = "C-index" if files.is_cox() else "AUC"
        if rated:
            table = estimates(rated, files.evaluation("validation.json"), files.evaluation("chance.json"))
            score = table["score"].iloc[-1]  # the model or, where its selection kept no variable, the Radscore
            rows = table[table["score"] == score].set_index("estimate")
            outside = _outside(files.evaluation("schemes.csv"), score)
            findings.append(_finding(the_score(score), measure, rows, outside))
        elif model in empty:
            findings.append(Finding(the_score(model), measure))
    corrected = adjust([float("nan") if finding.p is None else finding.p for finding in findings], "holm")
    return [
        finding if finding.p is None else replace(finding, p=float(p))
        for finding, p in zip(findings, corrected, strict=True)
    ]


def _finding(name: str, measure: str, rows: pd.DataFrame, outside: tuple[float, float, float] | None) -> Finding:
    ends = ["auc", "low", "high"]
    printed = tuple(rows.loc[APPARENT, ends])
    if PLUS632 not in rows.index:
        return Finding(name, measure, printed, outside=outside)
    honest = rows.loc[PLUS632]
    finding = Finding(name, measure, printed, tuple(honest[ends]), outside=outside)
    if pd.isna(honest["p"]):
        return finding
    chance = tuple(honest[["chance", "chance_low", "chance_high"]])
    return replace(finding, chance=chance, p=float(honest["p"]))


def _outside(schemes: pd.DataFrame | None, score: str) -> tuple[float, float, float] | None:
    """The figure in an external cohort, where there is one."""
    if schemes is None:
        return None
    rows = schemes[(schemes["scheme"] == EXTERNAL) & (schemes["score"] == score)]
    measure = "auc" if "auc" in schemes else "c"
    return None if rows.empty else tuple(rows[[measure, "low", "high"]].iloc[0])


@dataclass(frozen=True)
class Tally:
    """Many tests of one thing each: how many there were, and how many have p < 0.05 as printed and after correction.

    `grown` is the number in the synthetic cohort, where there is one.
    """

    what: str
    number: int
    printed: int
    left: int
    correction: str
    grown: int | None = None

    def by_chance(self) -> float:
        """How many would have p < 0.05 where there is nothing to find: their mean, however much they go together."""
        return _LEVEL * self.number


def tally(study: Mapping[str, Any], results: Mapping[str, Any]) -> Tally | None:
    """The single features or, in a study of neither models nor features, the comparisons of survival."""
    markers = results.get("evaluation/markers.csv")
    if markers is not None:
        p, left = markers["p"].dropna(), int((markers["p_fdr"] < _LEVEL).sum())
        grown = results.get("evaluation/markers_synthetic.csv")
        number = None if grown is None else int((grown["p"] < _LEVEL).sum())
        correction = "false discovery rate"
        return Tally("feature", len(p), int((p < _LEVEL).sum()), left, correction, number) if len(p) else None
    files = [results.get(f"evaluation/survival_{endpoint}/effects.csv") for endpoint in study.get("survival", {})]
    tables = [table for table in files if table is not None]
    if study.get("models") or not tables:
        return None
    p, holm = (pd.concat([table[name] for table in tables]).dropna() for name in ("p", "p_holm"))
    return Tally("comparison", len(p), int((p < _LEVEL).sum()), int((holm < _LEVEL).sum()), "Holm") if len(p) else None


def finding_words(findings: Sequence[Finding], unit: str) -> str:
    """What was printed and what is left, and whether it stands: two sentences, and one on an external cohort."""
    if not findings:
        return ""
    words = _single(findings[0], unit) if len(findings) == 1 else _several(findings)
    outside = [f"{f.measure} {interval(*f.outside)} for {f.name}" for f in findings if f.outside]
    return words + (f" In the external cohort, to which nothing was fitted: {listed(outside)}." if outside else "")


def _single(finding: Finding, unit: str) -> str:
    verdict = finding.verdict()
    if verdict == "nothing":
        return (
            f"A null result: no variable survived the selection, so that {finding.name} has nothing to print. It does "
            "not follow that nothing is there."
        )
    printed = f"As such studies print it, the {finding.measure} of {finding.name} is {decimal(finding.printed[0])}"
    if verdict == "unchecked":
        return (
            f"{printed}, measured on the {unit}s that it was made from, so that it is too high. Nothing was repeated "
            "on resampled patients: whether the finding stands is not known."
        )
    lost = finding.printed[0] - finding.honest[0]
    left = f"{printed}; when the whole analysis is repeated on resampled patients, every selection included, "
    left += f"{interval(*finding.honest)} is left"
    left += f": {decimal(lost)} of it was optimism" if lost >= _SEEN else ", no less than before"
    ends = {"stands": "the finding stands in these data", "open": "whether the finding stands is open",
            "chance": "the finding does not stand"}  # fmt: skip
    return f"{left}. {capital(ends[verdict])}: {_reason(finding)}."


_SEEN = 0.0005  # a smaller difference is none when it is printed


def _reason(finding: Finding) -> str:
    """What the permutations and the interval say, for or against."""
    low, high = finding.honest[1:]
    place = f"its 95% interval {'lies above' if low > 0.5 else 'lies below' if high < 0.5 else 'includes'} chance (0.5)"
    if finding.p is None:
        return place
    against = "; it does not follow that nothing is there" if finding.verdict() == "chance" else ""
    joint = "and" if (finding.p <= _LEVEL) == (low > 0.5) else "but"
    test = "with outcomes permuted between patients the same analysis "
    test += f"{'rarely' if finding.p <= _LEVEL else 'often'} does as well ({p_words(finding.p)})"
    return f"{test}, {joint} {place}{against}"


def _several(findings: Sequence[Finding]) -> str:
    rated = [finding for finding in findings if finding.printed]
    sentences = []
    if rated:
        words = f"As such studies print them: {_by_measure(rated)}"
        repeated = [finding for finding in rated if finding.honest]
        if repeated:
            left = listed([interval(*finding.honest) for finding in repeated])
            words += "; when the whole analysis is repeated on resampled patients, every selection included, "
            words += f"{left} {'is' if len(repeated) == 1 else 'are'} left"
        sentences.append(words)
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.verdict(), []).append(finding)
    clauses = [_CLAUSES[verdict].format(listed([f.name for f in groups[verdict]])) + _p_words(groups[verdict])
               for verdict in _CLAUSES if verdict in groups]  # fmt: skip
    words = capital("; ".join(clauses))
    if set(groups) <= {"chance", "nothing"}:
        words = f"A null result: {words[:1].lower()}{words[1:]}; it does not follow that nothing is there"
    return ". ".join([*sentences, words]) + "."


def _by_measure(findings: Sequence[Finding]) -> str:
    """The printed figures, such as "AUC 0.9 for the one model and 0.8 for the other"."""
    words, measure = [], ""
    for finding in findings:
        same = finding.measure == measure
        words.append(f"{'' if same else f'{finding.measure} '}{decimal(finding.printed[0])} for {finding.name}")
        measure = finding.measure
    return listed(words)


_CLAUSES = {
    "stands": "what {} found stands in these data",
    "open": "whether what {} found stands is open",
    "chance": "what {} found cannot be told from chance",
    "unchecked": "what {} found was not checked and is too high",
    "nothing": "for {} no variable survived the selection",
}


def _p_words(findings: Sequence[Finding]) -> str:
    """The p values by permutation, of the models in their order."""
    texts = [p_text(finding.p) for finding in findings if finding.p is not None]
    if not texts:
        return ""
    return f" (permutation p, corrected for the number of models: {listed(texts)})"


def tally_words(tests: Tally | None) -> str:
    """How many tests found something, as printed and after correction, and whether that stands: two sentences."""
    if tests is None:
        return ""
    chance = f"by chance alone {tests.by_chance():.1f} would be expected"
    here = f"{tests.printed:,} of {count(tests.number, tests.what)} have p < 0.05 when each is tested by itself"
    if tests.grown is not None:
        words = f"In the synthetic cohort, as published, {tests.grown:,} of {count(tests.number, tests.what)} have "
        words += f"p < 0.05; in the patients themselves {tests.printed:,} have, and {chance}"
    else:
        words = f"As such studies print it, {here}; {chance}"
    if tests.left:
        stay = "1 stays" if tests.left == 1 else f"{tests.left:,} stay"
        end = f"{stay} after correction for their number ({tests.correction}) and stands in these data"
        end = end if tests.left == 1 else end.replace("stands", "stand")
        end += "; the largest of so many effects is still printed too large"
    else:
        end = f"A null result: none stays after correction for their number ({tests.correction}); it does not follow "
        end += "that nothing is there"
    return f"{words}. {end}."


def answer_rows(findings: Sequence[Finding], tests: Tally | None) -> pd.DataFrame:
    """What `answer_figure` draws."""
    rows = [row for finding in findings for row in _figure_rows(finding, len(findings) > 1)]
    return pd.DataFrame([*rows, *(_count_rows(tests) if tests else [])], columns=_COLUMNS)


_COLUMNS = ["axis", "heading", "kind", "label", "value", "low", "high", "text"]


def _figure_rows(finding: Finding, named: bool) -> list[tuple]:
    head = (finding.measure + "; dashed: 0.5, chance", capital(finding.name) if named else "")
    half = (0.5, float("nan"), float("nan"))
    shown = [
        (PRINTED, "As published", finding.printed),
        (HONEST, "Honest: everything repeated", finding.honest),
        (CHANCE, "By chance: outcomes permuted" if finding.chance else "By chance", finding.chance or half),
        (OUTSIDE, "In the external cohort", finding.outside),
    ]
    return [(*head, kind, label, *figure, interval(*figure)) for kind, label, figure in shown if figure]


def _count_rows(tests: Tally) -> list[tuple]:
    axis = f"Number of {tests.what}s with p < 0.05"
    nothing = (float("nan"), float("nan"))
    rows = [(PRINTED, "Synthetic cohort, as published", tests.grown)] if tests.grown is not None else []
    rows += [
        (PRINTED, "Each by itself", tests.printed),
        (HONEST, "Honest: corrected for their number", tests.left),
    ]
    found = [(axis, "", kind, label, float(number), *nothing, f"{number:,}") for kind, label, number in rows]
    return [*found, (axis, "", CHANCE, "By chance", tests.by_chance(), *nothing, f"{tests.by_chance():.1f}")]
