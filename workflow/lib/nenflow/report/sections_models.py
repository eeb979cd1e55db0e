"""The sections of a report that tell of models: how each was made, what it is, and how good it really is."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from nenflow.report.figures_evaluation import calibration_figure, decision_figure, honest_figure, roc_figure
from nenflow.report.figures_model import lasso_figure, nomogram_figure
from nenflow.report.page import Chain, Drawing, Heading, Printed, Section, Text
from nenflow.report.tables import (
    coded_label,
    discrimination_table,
    odds_ratio_table,
    selection_table,
    signature_table,
)
from nenflow.report.wording import count, decimal, interval, listed, percent, score_label

# Section, its title, and the function below that fills it for one model.
_TITLES = {
    "honest": "As published, and honest",
    "chain": "From features to model",
    "lasso": "LASSO and signature",
    "odds": "Odds ratios",
    "nomogram": "Nomogram",
    "roc": "Discrimination",
    "calibration": "Calibration",
    "decision": "Decision curve",
    "validation": "Validation",
}


def model_sections(study: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Section]:
    """The sections about models, each with every model of the study; without models they have no blocks."""
    models = study.get("models", {})
    sections = {}
    for name, title in _TITLES.items():
        blocks: list[Any] = []
        for model in models:
            part = _FILLERS[name](study, model, _Files(results, model))
            if part and len(models) > 1:
                blocks.append(Heading(score_label(model)))
            blocks += part
        sections[name] = Section(name, title, blocks)
    return sections


class _Files:
    """One model's results, by what they are; None where a stage has not delivered."""

    def __init__(self, results: Mapping[str, Any], model: str):
        self.model = lambda name: results.get(f"models/{model}/{name}")
        self.step = lambda name: results.get(f"models/{model}/steps/{name}.json")
        self.evaluation = lambda name: results.get(f"evaluation/{model}/{name}")


def _event(study: Mapping[str, Any], model: str) -> str:
    endpoint = study["endpoints"][study["models"][model]["endpoint"]]
    event = endpoint["event"]
    # A level such as "1" or "yes" says nothing without its variable.
    label = study["variables"][endpoint["variable"]]["label"]
    return event if len(event) > 3 else f"{label} {event}"


def estimates(performance: Mapping[str, Any], validation: Mapping[str, Any] | None) -> pd.DataFrame:
    """AUCs of each score as `honest_figure` takes them: apparent, published bootstrap, optimism-corrected."""
    rows = []
    for score, figures in performance.items():
        rows.append((score, "Apparent", figures["auc"], *figures["auc_delong"], False))
        checked = (validation or {}).get("scores", {}).get(score)
        if checked:
            published, honest = checked["published"], checked["corrected"]
            rows.append((score, "Published bootstrap", published["mean"], *published["interval"], False))
            rows.append((score, "Optimism-corrected", honest["auc"], *honest["interval"], True))
    return pd.DataFrame(rows, columns=["score", "estimate", "auc", "low", "high", "honest"]).astype(
        {"auc": float, "low": float, "high": float}
    )


def honest_sentences(table: pd.DataFrame, score: str, unit: str) -> str:
    """Two sentences that say what a paper would print of a score and what is left when everything is repeated."""
    rows = table[table["score"] == score].set_index("estimate")

    def said(estimate: str) -> str:
        return interval(*rows.loc[estimate, ["auc", "low", "high"]])

    published = f"As such studies print it, the AUC of {_the(score)} is {said('Apparent')}"
    if "Published bootstrap" not in rows.index:
        return f"{published}. It was measured on the {unit}s that the model was made from, so it is too high."
    published += f", and a bootstrap of the finished model seems to confirm it: {said('Published bootstrap')}."
    honest = rows.loc["Optimism-corrected"]
    lost = rows.loc["Apparent", "auc"] - honest["auc"]
    text = "When the whole analysis is repeated on resampled patients, from the choice of features on, "
    text += f"{said('Optimism-corrected')} is left"
    text += f": {decimal(lost)} of the first figure is optimism" if lost >= 0.0005 else ", no less than before"
    text += ", and chance (0.5) cannot be ruled out" if honest["low"] <= 0.5 else ""
    return f"{published} {text}."


def _the(score: str) -> str:
    return (
        f"the {score_label(score)}"
        if score == "Radscore"
        else f"the {score_label(score)[0].lower()}{score_label(score)[1:]}"
    )


def _honest(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    performance = files.evaluation("performance.json")
    if not performance:
        return []
    table = estimates(performance, files.evaluation("validation.json"))
    final = list(performance)[-1]
    figure = honest_figure(table.assign(score=table["score"].map(score_label)))
    caption = "AUC with 95% interval. Apparent: on the data the model was made from (DeLong). Published bootstrap: the "
    caption += (
        "finished model on resamples. Optimism-corrected: the whole protocol refitted in each resample of patients."
    )
    alt = "; ".join(
        f"{score_label(row.score)}, {row.estimate.lower()}: AUC {interval(row.auc, row.low, row.high)}"
        for row in table.itertuples()
    )
    words = honest_sentences(table, final, study["unit"])
    return [Text(words), Drawing(f"honest_{model}", figure, caption, f"{alt}.")]


def _chain(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    links = []
    stability, spearman, lasso, final = (files.step(name) for name in ("stability", "spearman", "lasso", "logistic"))
    if stability:
        links.append((f"{stability['n_features']:,}", "features measured"))
        rule = f"{stability['form']} of at least {stability['threshold']:g}, within and between readers"
        links.append((f"{stability['n_stable']:,}", f"stable: {rule}"))
    if spearman:
        words = f"left after pruning pairs correlated above {spearman['threshold']:g}"
        links.append((f"{len(spearman['kept']):,}", words))
    if lasso:
        links.append((f"{len(lasso['coefficients']):,}", f"in the Radscore (LASSO, {lasso['rule']})"))
    if final:
        names = [name if name == "Radscore" else study["variables"][name]["label"] for name in final["variables"]]
        links.append((str(len(names)), f"in the final model: {listed(names)}" if names else "in the final model"))
    return [Chain(links)] if links else []


def _lasso(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    document = files.step("lasso")
    if not document:
        return []
    path, curve = lasso_tables(document)
    chosen = document["coefficients"]
    caption = (
        "Coefficients along the penalty λ (left) and the cross-validated deviance with its standard error (right); "
    )
    caption += "λ.min has the least deviance, λ.1se is the largest within one standard error of it."
    alt = (
        f"LASSO path of {len(path)} features and cross-validation curve; {len(chosen)} features at {document['rule']}."
    )
    figure = lasso_figure(path, curve, document["lambda_min"], document["lambda_1se"], document["rule"])
    blocks: list[Any] = [Drawing(f"lasso_{model}", figure, caption, alt)]
    if not chosen:
        return [
            Text("The LASSO selected no feature: the Radscore is the same for all and tells nothing apart."),
            *blocks,
        ]
    full = pd.DataFrame({"feature": list(chosen), "coefficient": list(chosen.values())})
    full.loc[len(full)] = ["intercept", document["intercept"]]
    note = "Coefficients of the features as the step before passes them on (z-scores where the protocol has them)."
    table = signature_table(chosen, document["intercept"])
    return [*blocks, Printed(f"signature_{model}", table, "The Radscore's formula.", note, full)]


def lasso_tables(document: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A LASSO step's document as the tables that `lasso_figure` draws."""
    raise NotImplementedError


def _odds(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    alone, together = files.model("univariable.csv"), files.model("multivariable.csv")
    if alone is None:
        return []
    table = odds_ratio_table(alone, together, study["variables"])
    note = "Odds ratios per unit, or per step between levels coded 1, 2, 3 …; intervals by profile likelihood; Wald p."
    full = alone.assign(model="univariable")
    if together is not None:
        full = pd.concat([full, together.assign(model="multivariable")])
    caption = f"Table 3. Logistic models of {_event(study, model)}."
    return [Printed(f"table3_{model}", table, caption, note, full)]


def _nomogram(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    document = files.model("nomogram.json")
    if not document:
        return []
    figure = nomogram_figure(document, study["variables"], _event(study, model))
    caption = "Read the points of each variable on the top line, add them up, and read the probability below the sum."
    alt = f"Nomogram of {count(len(document['variables']), 'variable')} for the probability of {_event(study, model)}."
    return [Drawing(f"nomogram_{model}", figure, caption, alt)]


def _roc(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    performance, roc = files.evaluation("performance.json"), files.evaluation("roc.csv")
    if not performance or roc is None:
        return []
    alt = "; ".join(f"{score_label(k)}: AUC {interval(v['auc'], *v['auc_delong'])}" for k, v in performance.items())
    named = {score_label(score): figures for score, figures in performance.items()}
    figure = roc_figure(roc.assign(score=roc["score"].map(score_label)), named)
    caption = "ROC curves on the data the model was made from; the dots are the cut-offs of Youden's index."
    table = discrimination_table(performance)
    return [
        Drawing(f"roc_{model}", figure, caption, f"ROC curves. {alt}."),
        Printed(f"discrimination_{model}", table, "Apparent discrimination."),
    ]


def _calibration(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    calibration, scores = files.evaluation("calibration.csv"), files.model("scores.csv")
    if calibration is None or scores is None:
        return []
    figure = calibration_figure(calibration, scores["probability"], _event(study, model))
    caption = (
        "Observed against predicted share of events (lowess); bias-corrected by refitting in resamples. Below: how "
    )
    caption += "many have each predicted probability."
    alt = "Calibration curves, apparent and bias-corrected, beside the diagonal of perfect calibration."
    return [Drawing(f"calibration_{model}", figure, caption, alt)]


def _decision(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    decision = files.evaluation("decision.csv")
    if decision is None:
        return []
    figure = decision_figure(decision, score_label(model))
    caption = "Net benefit (Vickers and Elkin 2006) of acting on the model, on everybody, on nobody. It is apparent: "
    caption += "measured on the data the model was made from."
    curves = decision.pivot(index="threshold", columns="strategy", values="net_benefit")
    better = curves[curves["model"] > curves[["all", "none"]].max(axis=1)].index
    alt = "Decision curve; the model has the highest net benefit at no threshold."
    if len(better):
        alt = f"Decision curve; at {len(better)} of {len(curves)} thresholds, from {better.min():.2f} to "
        alt += f"{better.max():.2f}, the model has the highest net benefit."
    return [Drawing(f"decision_{model}", figure, caption, alt)]


def _validation(study: Mapping[str, Any], model: str, files: _Files) -> list[Any]:
    return []


def model_limits(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """What a careful reader should know about each model, from its numbers."""
    lines = []
    for model, settings in study.get("models", {}).items():
        files = _Files(results, model)
        prefix = f"{score_label(model)}: " if len(study["models"]) > 1 else ""
        lines += [prefix + line for line in _events_per_variable(study, settings, files)]
        for step in settings["steps"]:
            if study["unit"] == "lesion" and (step.get("lasso") or {}).get("folds_by") == "lesion":
                lines.append(
                    f"{prefix}The LASSO's folds split patients, as published: lesions of one patient stood on both sides "
                    "of the cross-validation, which lets it select too many features."
                )
    return lines


def _events_per_variable(study: Mapping[str, Any], settings: Mapping[str, Any], files: _Files) -> list[str]:
    performance = files.evaluation("performance.json")
    if not performance:
        return []
    figures = list(performance.values())[-1]
    smaller = min(figures["events"], figures["n"] - figures["events"])
    candidates = len(settings["clinical"]) + 1
    stability = files.step("stability")
    features = f" and {stability['n_features']:,} image features behind the Radscore" if stability else ""
    return [
        f"The smaller class has {count(smaller, study['unit'])}: {smaller / candidates:.1f} for each of the "
        f"{candidates} candidate variables of the final model{features}. Ten or more are customary."
    ]


_FILLERS: dict[str, Callable[[Mapping[str, Any], str, _Files], list[Any]]] = {
    "honest": _honest,
    "chain": _chain,
    "lasso": _lasso,
    "odds": _odds,
    "nomogram": _nomogram,
    "roc": _roc,
    "calibration": _calibration,
    "decision": _decision,
    "validation": _validation,
}
