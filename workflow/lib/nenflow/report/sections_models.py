"""The sections of a report that tell of models: how each was made, what it is, and how good it really is."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from nenflow.report.alternatives import curve_words, decision_words, points_words
from nenflow.report.figures_evaluation import calibration_figure, decision_figure, roc_figure
from nenflow.report.figures_model import lasso_figure, nomogram_figure
from nenflow.report.figures_selection import waterfall_figure
from nenflow.report.figures_survival import forest_figure
from nenflow.report.interactive import calculator
from nenflow.report.model_files import ModelFiles, constant_scores
from nenflow.report.page import Drawing, Heading, Printed, Section, Text
from nenflow.report.sections_candidates import candidates_blocks, null_blocks
from nenflow.report.sections_crossvalidation import cross_validation_blocks
from nenflow.report.sections_honest import above_chance, chance_blocks, honest_blocks
from nenflow.report.sections_schemes import external_blocks, scheme_blocks
from nenflow.report.sections_selection import funnel_blocks
from nenflow.report.sections_survival import (
    cox_calibration,
    cox_decision,
    cox_discrimination,
    cox_validation_words,
)
from nenflow.report.tables import (
    assumptions_table,
    coded_label,
    discrimination_table,
    estimates,
    odds_ratio_table,
    points_table,
    ratio_column,
    sample_size_table,
    score_table,
    signature_table,
    strata_table,
    total_points_table,
)
from nenflow.report.wording import (
    count,
    decimal,
    event_words,
    feature_label,
    interval,
    listed,
    p_text,
    percent,
    ratio_interval,
    score_label,
    significant,
    the_score,
    time_unit,
)

# Section, its title, and the function below that fills it for one model.
_TITLES = {
    "honest": "As published, and honest",
    "chain": "From features to model",
    "lasso": "LASSO and signature",
    "odds": "Odds and hazard ratios",
    "nomogram": "Nomogram",
    "score": "Risk score",
    "roc": "Discrimination",
    "calibration": "Calibration",
    "decision": "Decision curve",
    "validation": "Validation",
    "cross-validation": "Cross-validation",
}


def model_sections(study: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Section]:
    """The sections about models, each with every model of the study; without models they have no blocks."""
    models = study.get("models", {})
    sections = {}
    for name, title in _TITLES.items():
        blocks: list[Any] = []
        for model in models:
            part = _FILLERS[name](study, model, ModelFiles(results, model))
            if part and len(models) > 1:
                blocks.append(Heading(score_label(model)))
            blocks += part
        sections[name] = Section(name, title, blocks)
    return sections


def _event(study: Mapping[str, Any], model: str) -> str:
    return event_words(study, study["models"][model]["endpoint"])


_INDEX_COLUMNS = ["apparent", "training", "test", "optimism", "corrected"]


def _honest(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    performance = files.rated(model)
    kind = "hazard" if files.is_cox() else "odds"
    measure = "C-index" if files.is_cox() else "AUC"
    table = estimates(performance, files.evaluation("validation.json"), files.evaluation("chance.json"))
    honest = above_chance(table, model, measure)
    candidates = files.model("candidates.csv")
    blocks: list[Any] = null_blocks(candidates, study["variables"], _event(study, model), kind, honest)
    blocks += [Text(sentence) for sentence in constant_scores(files, model).values()]
    return [*blocks, *honest_blocks(model, table, measure, study["unit"])] if performance else blocks


def _lasso(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    document = files.step("lasso")
    if not document:
        return []
    path, curve = lasso_tables(document)
    chosen = document["coefficients"]
    blocks: list[Any] = []
    if not chosen:
        blocks.append(Text(constant_scores(files, model)["Radscore"]))
    if not path.empty:
        measure = document.get("measure", "deviance")
        best = "least deviance" if measure == "deviance" else "largest AUC"
        caption = f"Coefficients along the penalty λ (left) and the cross-validated {measure} with its standard error "
        caption += f"(right); λ.min has the {best}, λ.1se is the largest within one standard error of it."
        at = listed([f"{name} {significant(document[key], 3)}" for name, key in _LAMBDAS.items()])
        alt = f"LASSO path of {count(len(path), 'feature')} and cross-validation curve; {at}; at {document['rule']} "
        alt += f"{len(chosen)} selected{f': {listed(list(map(feature_label, chosen)))}' if chosen else ''}."
        figure = lasso_figure(path, curve, document["lambda_min"], document["lambda_1se"], document["rule"], measure)
        blocks.append(Drawing(f"lasso_{model}", figure, caption, alt))
    if chosen:
        full = pd.DataFrame([*chosen.items(), ("intercept", document["intercept"])], columns=["feature", "coefficient"])
        shares = ((files.evaluation("validation.json") or {}).get("selection") or {}).get("features")
        note = "Coefficients of the features as the step before passes them on (z-scores where the protocol has them)."
        note += (
            " Selected: share of the refits on resampled patients whose Radscore holds the feature." if shares else ""
        )
        full = full.assign(selected=full["feature"].map(lambda name: shares.get(name, 0.0))) if shares else full
        table = signature_table(chosen, document["intercept"], shares)
        blocks.append(Printed(f"signature_{model}", table, "The Radscore's formula.", note, full))
    return blocks


_LAMBDAS = {"λ.min": "lambda_min", "λ.1se": "lambda_1se"}


def lasso_tables(document: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A LASSO step's document as the tables that `lasso_figure` draws: coefficients and cross-validation curve."""
    path = document["path"]
    coefficients = pd.DataFrame(path["coefficients"], index=path["lambda"]).T
    measure = document.get("measure", "deviance")
    curve = {"lambda": "lambda", "mean": measure, "error": "error", "nonzero": "nonzero"}
    return coefficients, pd.DataFrame({name: path[key] for name, key in curve.items()})


def _odds(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    alone, together = files.model("univariable.csv"), files.model("multivariable.csv")
    if alone is None:
        return []
    table = odds_ratio_table(alone, together, study["variables"])
    full = pd.concat(
        [t.assign(model=name) for name, t in (("univariable", alone), ("multivariable", together)) if t is not None]
    )
    kind, model_name = ("Hazard", "Cox") if files.is_cox() else ("Odds", "Logistic")
    imputed = "imputations" in study["models"][model]
    cox = (files.final() or {}) if files.is_cox() else {}
    by = "Wald's, a patient's units taken together (robust)" if cox.get("robust") else "by profile likelihood"
    by = "pooled by Rubin's rules over imputed values" if imputed else by
    note = f"{kind} ratios per unit, or per step between levels coded 1, 2, 3 …; intervals {by}, p by "
    note += f"{listed(sorted(full['test'].dropna().unique()))}."
    caption = f"Table 3. {model_name} models of the event “{_event(study, model)}”."
    if "strata" in cox:
        note += f" Each {study['variables'][cox['strata']]['label']} has a baseline hazard of its own (stratified)."
    if model in constant_scores(files, model):
        note = f"No variable survived the selection, so that there is no final model to print. {note}"
    blocks: list[Any] = [Printed(f"table3_{model}", table, caption, note, full)]
    blocks += _forest(study, model, together, kind)
    blocks += candidates_blocks(model, files.model("candidates.csv"), study["variables"], kind.lower())
    return blocks + _assumptions(study, model, files)


def _forest(study: Mapping[str, Any], model: str, together: pd.DataFrame | None, kind: str) -> list[Any]:
    if together is None or "variable" not in together:
        return []
    rows = together[together["variable"] != "intercept"]
    if rows.empty:
        return []
    ratios = rows.rename(columns={ratio_column(rows): "ratio"})
    names = list(rows["variable"])
    ratios = ratios.assign(label=[coded_label(name, study["variables"], names) for name in names])
    caption = f"The final model: {kind.lower()} ratios with 95% intervals on a logarithmic axis."
    alt = "; ".join(f"{row.label}: {ratio_interval(row.ratio, row.low, row.high)}" for row in ratios.itertuples())
    return [Drawing(f"forest_{model}", forest_figure(ratios, f"{kind} ratio"), caption, f"{alt}.")]


def _assumptions(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    """Variance inflation, proportional hazards, and ratios that take a competing event into account."""
    table, blocks = files.model("assumptions.csv"), []
    if table is not None and len(table.dropna(subset=["variable"])):
        note = (
            "A variance inflation (generalised, per coefficient) over 5 to 10 says that variables stand for each other"
        )
        note += ". A small p speaks against hazards in proportion (Schoenfeld residuals)." if files.is_cox() else "."
        shown = assumptions_table(table, study["variables"])
        blocks.append(Printed(f"assumptions_{model}", shown, "What the final model rests on.", note, table))
    other = files.model("subdistribution.csv")
    if other is not None and len(other):
        shown = pd.DataFrame(
            {
                "Variable": [
                    coded_label(name, study["variables"], set(other["variable"])) for name in other["variable"]
                ],
                "Subdistribution HR (95% CI)": [
                    ratio_interval(row.hazard_ratio, row.low, row.high) for row in other.itertuples()
                ],
                "p": other["p"].map(p_text),
            }
        )
        if "reason" in other and other["reason"].fillna("").any():
            shown["Note"] = other["reason"].fillna("")
        note = "Table 3 counts the competing event as censored (cause-specific hazards: what drives the event); these "
        note += "ratios tell how the share of patients with the event differs."
        caption = "The same variables with the competing event taken into account (Fine and Gray)."
        blocks.append(Printed(f"subdistribution_{model}", shown, caption, note, other))
    plan = files.evaluation("sample_size.csv")
    if plan is not None:
        row = plan.iloc[-1]
        caption = (
            f"{study['unit'].capitalize()}s that a model of {count(row['parameters'], 'candidate coefficient')} needs"
        )
        note = f"Riley's criteria at a Cox-Snell R² of {decimal(row['r2'], 2)}; this study has {row['available']:,.0f}."
        blocks.append(Printed(f"sample-size_{model}", sample_size_table(plan), f"{caption}.", note, plan))
    return blocks


def _nomogram(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    document, shrunken = files.model("nomogram.json"), files.model("shrunken/nomogram.json")
    if not document or not document["variables"]:
        return []
    event = "survival" if files.is_cox() else _event(study, model)
    unit = time_unit(study, study["models"][model]["endpoint"])
    figure = nomogram_figure(document, study["variables"], event, unit)
    below = "survival" if files.is_cox() else "probability"
    caption = f"Read the points of each variable on the top line, add them up, and read the {below} below the sum."
    alt = f"Nomogram for the {below} of {_event(study, model)}. {points_words(document, study['variables'])}"
    blocks: list[Any] = [Drawing(f"nomogram_{model}", figure, caption, alt)]
    words = (study["variables"], event, unit)
    new = (files.model("shrunken/model.json")["steps"], shrunken) if shrunken and shrunken["variables"] else None
    known = (files.model("card.json") or {}).get("uncertainty")
    moved = calculator(score_label(model), files.steps(), document, *words, known, new)
    blocks += [moved] if moved else []
    points = files.model("points.csv")
    if points is not None and len(points):
        factors = (files.step("terms") or {}).get("factors", {})
        shown = points_table(points, study["variables"], factors)
        blocks.append(Printed(f"points_{model}", shown, "The nomogram as a table of points.", full=points))
        blocks.append(Printed(f"total-points_{model}", total_points_table(points), f"Total points and {below}."))
    if not shrunken:
        return blocks
    if not shrunken["variables"]:
        return [*blocks, Text(f"For new patients no nomogram can be given. {shrunken['note']}")]
    factor = files.model("shrunken/model.json")["shrinkage"]
    caption = f"The same model for new patients: every coefficient is multiplied by {decimal(factor, 2)}, the "
    caption += f"calibration slope corrected for optimism, so that each {below} is less extreme than above."
    figure = nomogram_figure(shrunken, study["variables"], event, unit)
    alt = f"Nomogram of the model shrunk by {decimal(factor, 2)}. {points_words(shrunken, study['variables'])}"
    return [*blocks, Drawing(f"nomogram-shrunken_{model}", figure, caption, alt)]


def _score(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    score, strata = files.model("score.json"), files.model("strata.csv")
    if score is None or strata is None:
        return []
    rules = {"smallest": "its effect over the smallest coefficient", "ratio": "its ratio", "hundred": "points of 100"}
    note = (
        f"A level is worth {rules[score['rule']]}, rounded. Strata and their risk are of the patients that the model "
    )
    note += "was made from."
    if study["models"][model].get("score", {}).get("cutoffs") == "searched":
        note += (
            " The cut-offs were searched for (largest log-rank statistic), so that the strata differ too much here; "
        )
        note += "the cross-validation searches anew in each fold."
    return [
        Printed(f"score_{model}", score_table(score, study["variables"]), "A score of whole points.", note),
        Printed(f"strata_{model}", strata_table(strata, score), "Observed risk by score.", full=strata),
    ]


def _roc(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    performance, roc = files.rated(model), files.evaluation("roc.csv")
    if not performance or roc is None:
        return []
    if files.is_cox():
        return cox_discrimination(study, model, performance, roc)
    roc = roc[roc["score"].isin(list(performance))]
    alt = "; ".join(f"{score_label(k)}: AUC {interval(v['auc'], *v['auc_delong'])}" for k, v in performance.items())
    named = {score_label(score): figures for score, figures in performance.items()}
    figure = roc_figure(roc.assign(score=roc["score"].map(score_label)), named)
    caption = "ROC curves on the data the model was made from; the dots are the cut-offs of Youden's index"
    caption += ", the bands hold 95% of the finished model's curves in resampled patients." if "low" in roc else "."
    table = discrimination_table(performance)
    units = ["of the Radscore"] if "Radscore" in performance else []
    units += ["of the model's linear predictor (log odds)"] if model in performance else []
    note = f"Cut-offs by Youden's index, in units {listed(units)}"
    note += "; the model's also as the risk that it predicts" if model in performance else ""
    note += f". The exact binomial interval is MedCalc's, which takes the AUC for a share of the {study['unit']}s"
    return [
        Drawing(f"roc_{model}", figure, caption, f"ROC curves. {alt}."),
        *_waterfall(study, model, files, performance),
        Printed(f"discrimination_{model}", table, "Apparent discrimination.", f"{note}."),
        *_comparison(model, files),
    ]


def _waterfall(study: Mapping[str, Any], model: str, files: ModelFiles, performance: Mapping[str, Any]) -> list[Any]:
    """The score of every unit around the cut-off: the Radscore's, as papers print it, or else the model's."""
    score, (figures, scores) = next(iter(performance)), (next(iter(performance.values())), files.model("scores.csv"))
    youden, column = figures.get("youden"), "Radscore" if score == "Radscore" else "linear_predictor"
    if not youden or scores is None:
        return []
    settings, label = study["endpoints"][study["models"][model]["endpoint"]], score_label(score)
    others = [level for level in study["variables"][settings["variable"]]["levels"] if level != settings["event"]]
    names = {0: listed(others), 1: settings["event"]}
    table = pd.DataFrame({"score": scores[column], "outcome": scores["outcome"]})
    figure = waterfall_figure(table, youden["threshold"], names, label, study["unit"])
    caption = f"{label} of every {study['unit']} less the cut-off of Youden's index, by outcome "
    caption += f"({study['variables'][settings['variable']]['label']}); on the data that it was made from."
    shares = youden["sensitivity"], 1 - youden["specificity"]
    alt = f"Waterfall of {count(len(table), study['unit'])}: at or above {decimal(youden['threshold'])}, the cut-off, "
    alt += f"lie {percent(shares[0])} of “{names[1]}” and {percent(shares[1])} of “{names[0]}”."
    return [Drawing(f"waterfall_{model}", figure, caption, alt)]


def _comparison(model: str, files: ModelFiles) -> list[Any]:
    table = files.evaluation("comparison.csv")
    if table is None or table.empty:
        return []
    names = {"AUC": "AUC (DeLong, paired)", "NRI": "NRI (continuous)", "IDI": "IDI"}
    shown = pd.DataFrame(
        {
            "Measure": table["measure"].map(names),
            "Difference (95% CI)": [interval(row.difference, row.low, row.high) for row in table.itertuples()],
            "p": table["p"].map(p_text),
        }
    )
    note = "Both were made from these data, so that what the model adds is flattered; the NRI rises with noise too "
    note += "(Hilden and Gerds 2014)."
    return [Printed(f"comparison_{model}", shown, f"What {the_score(model)} adds to the Radscore.", note, table)]


def _calibration(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    calibration, scores = files.evaluation("calibration.csv"), files.model("scores.csv")
    if calibration is None or scores is None or model in constant_scores(files, model):
        return []
    if files.is_cox():
        return cox_calibration(study, model, calibration, files.evaluation("calibration_groups.csv"), scores)
    figure = calibration_figure(calibration, scores["probability"], _event(study, model))
    caption = (
        "Observed against predicted share of events (lowess); bias-corrected by refitting in resamples. Below: how "
    )
    caption += f"many have each predicted probability.{_calibration_words(files, model)}"
    alt = f"Calibration of {len(scores)} predictions. {curve_words(calibration)}{_calibration_words(files, model)}"
    return [Drawing(f"calibration_{model}", figure, caption, alt)]


def _calibration_words(files: ModelFiles, model: str) -> str:
    """Distances between prediction and curve, and Hosmer and Lemeshow's test."""
    figures = (files.evaluation("performance.json") or {}).get(model, {})
    errors, test = figures.get("calibration"), figures.get("hosmer_lemeshow")
    if not errors:
        return ""
    sizes = ", ".join(f"{name.upper()} {decimal(errors[name])}" for name in ("ici", "e50", "e90"))
    return f" Apparent distance from the curve: {sizes}; Hosmer-Lemeshow p {p_text(test['p'])}."


def _decision(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    decision = files.evaluation("decision_corrected.csv")
    if decision is None or model in constant_scores(files, model):
        return []
    if files.is_cox():
        return cox_decision(study, model, decision, files.evaluation("cross_validation_decision.csv"))
    outside = files.evaluation("cross_validation_decision.csv")
    figure = decision_figure(decision, score_label(model), outside)
    caption = "Net benefit (Vickers and Elkin 2006) of acting on the model, on everybody, on nobody. Apparent, on the "
    caption += (
        "data the model was made from, with a 95% band of the finished model on resampled patients; dotted: less "
    )
    caption += "the optimism of refitting everything in resamples"
    caption += "." if outside is None or outside.empty else "; thin: of predictions for the folds that were left out."
    alt = f"Decision curve; {decision_words(decision)}"
    return [Drawing(f"decision_{model}", figure, caption, alt)]


def _validation(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    document, rated = files.evaluation("validation.json"), files.rated(model)
    if not document:
        return []
    chance, permutations = files.evaluation("chance.json"), files.evaluation("permutations.csv")
    tables = files.evaluation("schemes.csv"), files.evaluation("schemes_selection.csv")
    by_chance = estimates(rated, document, chance)
    blocks = [Text(_resample_words(document, rated)), *scheme_blocks(study, model, *tables, by_chance)]
    if not rated:
        return blocks
    measure = "C-index" if files.is_cox() else "AUC"
    blocks += [*chance_blocks(model, chance, permutations, measure), *_indexes(model, document)]
    return blocks + (external_blocks(study, model, files.external()) if model in rated else [])


def _cross_validation(study: Mapping[str, Any], model: str, files: ModelFiles) -> list[Any]:
    document, score = files.evaluation("cross_validation.json"), files.model("score.json")
    return cross_validation_blocks(study, model, document, score)


def _indexes(model: str, document: Mapping[str, Any]) -> list[Any]:
    """The indexes that rms's validate prints."""
    rows = document["scores"].get(model, {}).get("indexes")
    if not rows:
        return []
    full = pd.DataFrame(rows)
    names = {"dxy": "Dxy", "r2": "R²", "brier": "Brier"}
    shown = pd.DataFrame(
        {
            "Index": [names.get(name, name.capitalize()) for name in full.iloc[:, 0]],
            **{name.capitalize(): full[name].map(decimal) for name in _INDEX_COLUMNS if name in full},
            "Resamples": full["resamples"].map(lambda number: f"{number:.0f}"),
        }
    )
    caption = "Indexes of accuracy corrected for optimism, as rms's validate prints them."
    note = "Dxy is 2 (AUC − 0.5), or 2 (C − 0.5); the resamples draw patients, so they differ from rms's for lesions."
    return [Printed(f"indexes_{model}", shown, caption, note, full)]


def _resample_words(document: Mapping[str, Any], rated: Mapping[str, Any]) -> str:
    resamples = document["resamples"]
    words = f"Of {count(resamples['refitted'], 'resample')} in which everything was fitted anew, "
    words += f"{percent(resamples['nothing_selected'])} selected nothing and in {percent(resamples['separated'])} the "
    words += "final variables separated the outcomes (ratios have no finite estimate there)"
    failed = resamples["not_computable"]
    counts = "counts" if failed == 1 else "count"
    words += f"; {failed:,} could not be fitted and {counts} with an AUC or C-index of 0.5." if failed else "."
    for score, figures in document["scores"].items():
        if score in rated and "times" in figures:
            words += cox_validation_words(score, figures)
        elif score in rated and figures.get("slope") is not None:
            words += (
                f" {score_label(score)}: corrected calibration slope {decimal(figures['slope'], 2)} and intercept "
                f"{decimal(figures['intercept'], 2)} (1 and 0 are ideal); Brier score "
                f"{decimal(figures['brier']['apparent'])}, corrected {decimal(figures['brier']['corrected'])}."
            )
    return words


_FILLERS: dict[str, Callable[[Mapping[str, Any], str, ModelFiles], list[Any]]] = {
    "honest": _honest,
    "chain": funnel_blocks,
    "lasso": _lasso,
    "odds": _odds,
    "nomogram": _nomogram,
    "score": _score,
    "roc": _roc,
    "calibration": _calibration,
    "decision": _decision,
    "validation": _validation,
    "cross-validation": _cross_validation,
}
