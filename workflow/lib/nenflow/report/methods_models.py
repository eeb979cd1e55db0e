"""What the methods text says of models, single features, survival and validation: a sentence where a study does it."""

from collections.abc import Mapping, Sequence
from typing import Any

from nenflow.phases import phases_of
from nenflow.report.methods_images import icc_words
from nenflow.report.wording import count, event_words, listed, time_unit

_MISSING = {
    "refuse": "Candidate variables had no missing values.",
    "complete": "Units with a missing candidate variable were left out (complete cases).",
}
_POINTS = {
    "smallest": "each effect divided by the smallest one",
    "ratio": "the ratio of each level",
    "hundred": "shares of a hundred",
}
_SAMPLERS = {"adasyn": "ADASYN [@He2008]", "smote": "SMOTE [@Chawla2002]"}
_SAMPLED = " with imbalanced-learn [@Lemaitre2017]"


def model_sentences(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """How each model was built, step by step."""
    sentences = []
    for name, model in study.get("models", {}).items():
        sentences += [_candidates(study, name, model), *_terms_missing(study, model)]
        for step in model["steps"]:
            key, options = next(iter(step.items()))
            sentences += _STEPS[key](study, options or {}, model) if key in _STEPS else []
        sentences += _finished(study, results, name)
    return sentences


def is_timed(study: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    """Whether a model is of a time-to-event outcome."""
    return "time" in study["endpoints"][model["endpoint"]]


def _labels(study: Mapping[str, Any], names: Sequence[str]) -> str:
    return listed([study["variables"][name]["label"] if name in study["variables"] else name for name in names])


def _candidates(study: Mapping[str, Any], name: str, model: Mapping[str, Any]) -> str:
    parts = []
    if "extraction" in model:
        number = f"{count(len(model['features']), 'feature')}" if "features" in model else "the features"
        region = f" of the region “{model['region']}”" if "region" in model else ""
        phases = listed(phases_of(model["phase"]))
        parts.append(f"{number} of the extraction “{model['extraction']}”{region} (phase: {phases})")
    if model["clinical"]:
        parts.append(f"the clinical variables {_labels(study, model['clinical'])}")
    event = event_words(study, model["endpoint"])
    return f"Candidates of the model “{name}” for “{event}” were {' and '.join(parts)}."


def _terms_missing(study: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    sentences = []
    terms = next((step["terms"] for step in model["steps"] if "terms" in step), {})
    factors = terms.get("factors", [])
    coded = [n for n in model["clinical"] if study["variables"][n]["type"] == "categorical" and n not in factors]
    if coded:
        sentences.append(f"The levels of {_labels(study, coded)} were coded 1, 2, 3 and so on, in their order.")
    if factors:
        sentences.append(f"{_labels(study, factors)} had a coefficient for each level beside the first.")
    for name, knots in terms.get("splines", {}).items():
        sentences.append(
            f"{_labels(study, [name])} entered as a restricted cubic spline with {knots} knots [@Harrell2015]."
        )
    if model["clinical"]:
        missing = model.get("missing", "refuse")
        sentences.append(
            _MISSING.get(missing)
            or f"Missing values were imputed {count(model['imputations'], 'time')} by chained equations with "
            "predictive mean matching [@vanBuuren2018] and estimates pooled by Rubin's rules [@Rubin1987]."
        )
    return sentences


def _combat(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    kept = f", keeping the effects of {_labels(study, options['covariates'])}" if options.get("covariates") else ""
    what = "locations" if options.get("mean_only") else "locations and scales"
    batch = _labels(study, [options["batch"]])
    return [
        f"Differences of features between the levels of {batch} ({what}) were removed by ComBat [@Johnson2007; "
        f"@Fortin2018]{kept}; in resampling it was estimated from the training patients alone."
    ]


def _stable(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    return [f"Features were kept whose {icc_words(options['form'])} was at least {options['threshold']:g} in every "
            "comparison of readings."]  # fmt: skip


def _zscore(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    return ["Features were standardised to mean 0 and standard deviation 1."]


def _spearman(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    how = {"keep-first": "the later of the two", "caret-exact": "the one more correlated with the others on average",
           "caret-fast": "the one more correlated with the others on average"}  # fmt: skip
    return [
        f"Of each pair of features with an absolute Spearman rank correlation above {options['threshold']:g}, "
        f"{how[options.get('method', 'keep-first')]} was removed."
    ]


def _lasso(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    timed = is_timed(study, model)
    kind = "Cox" if timed else "logistic"
    alpha = options.get("alpha", 1)
    name = "least absolute shrinkage and selection operator (LASSO)"
    name = name if alpha == 1 else f"elastic net (mixing parameter {alpha:g})"
    source = "[@Friedman2010; @Simon2011]" if timed else "[@Friedman2010]"
    together = "keeping the lesions of a patient together" if options["folds_by"] == "patient" else "splitting lesions"
    if study["unit"] == "patient":
        together = "of patients"
    repeats = f", dealt {count(options['repeats'], 'time')}" if options.get("repeats", 1) > 1 else ""
    measure = "AUC" if options.get("measure") == "auc" else "deviance"
    best = "the best" if measure == "AUC" else "the smallest"
    rule = (
        f"at {best} {measure}" if options["rule"] == "lambda.min" else f"within one standard error of {best} {measure}"
    )
    sentences = [
        f"A {kind} {name} {source} selected features and weighed them into a signature (Radscore); its penalty was the "
        f"one {rule} in {options['folds']}-fold cross-validation {together}{repeats}."
    ]
    if oversample := options.get("oversample"):
        sentences.append(
            "In each fold the classes of the training rows were balanced by "
            f"{_SAMPLERS[oversample['method']]}{_SAMPLED} "
            f"({count(oversample.get('neighbours', 5), 'neighbour')}); rows left out were never synthetic."
        )
    return sentences


def _univariable(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    kind = "Cox" if is_timed(study, model) else "logistic"
    return [f"Variables with p < {options['p']:g} in a {kind} regression of their own (Wald test) were retained."]


def _selection(direction: str):
    def words(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
        by = f"p < {options['p']:g} (Wald test)" if "p" in options else "Akaike's information criterion"
        return [f"Variables were then chosen by {direction}, by {by}."]

    return words


def _logistic(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    return [
        "The final model was a logistic regression fitted by maximum likelihood, or by Firth's penalised likelihood "
        f"[@Firth1993; @Heinze2002] where variables separated the outcomes{_intervals(model, 'odds')}."
    ]


def _cox(study: Mapping[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    ties = "Breslow's method [@Breslow1974]" if options.get("ties") == "breslow" else "Efron's method [@Efron1977]"
    strata = f", stratified by {_labels(study, [options['strata']])}" if "strata" in options else ""
    together = "; standard errors take the lesions of a patient together [@Lin1989]"
    robust = together if options.get("robust") else _intervals(model, "hazard")
    return [
        f"The final model was a Cox proportional hazards regression [@Cox1972] with ties handled by {ties}{strata}"
        f"{robust}; the proportional hazards assumption was tested with Schoenfeld residuals [@Grambsch1994]."
    ]


def _intervals(model: Mapping[str, Any], ratio: str) -> str:
    """How intervals of ratios are made; those of imputed tables follow from Rubin's rules, which are told elsewhere."""
    pooled = model.get("missing") == "impute"
    return "" if pooled else f"; intervals of {ratio} ratios are those of the profile likelihood"


_STEPS = {
    "combat": _combat, "stability": _stable, "zscore": _zscore, "spearman": _spearman, "lasso": _lasso,
    "univariable": _univariable, "backward": _selection("backward elimination"),
    "forward": _selection("forward selection"), "logistic": _logistic, "cox": _cox,
}  # fmt: skip


def _finished(study: Mapping[str, Any], results: Mapping[str, Any], name: str) -> list[str]:
    """What is made of a finished model."""
    model = study["models"][name]
    sentences = ["The model is presented as a nomogram [@Harrell2015]."]
    if "score" in model:
        cutoffs = model["score"].get("cutoffs")
        strata = "its tertiles"
        if cutoffs == "searched":
            strata = "the two cut-offs that separate three of them most [@Camp2004]"
        elif cutoffs:
            strata = f"scores of {listed([str(value) for value in cutoffs])}"
        sentences.append(
            f"A score of whole points was made from it by {_POINTS[model['score']['rule']]}, rounded [@Sullivan2004]; "
            f"risk strata were divided at {strata}."
        )
    competing = study["endpoints"][model["endpoint"]].get("competing")
    if competing:
        sentences.append(
            f"Hazards are cause-specific, with “{competing}” as censoring; subdistribution hazards were estimated by "
            "Fine and Gray's model [@Fine1999]."
        )
    if results.get(f"models/{name}/shrunken/model.json"):
        sentences.append(
            "For new patients its coefficients were multiplied by the optimism-corrected calibration slope "
            "[@vanHouwelingen1990]."
        )
    return sentences


def marker_sentences(study: Mapping[str, Any]) -> list[str]:
    """How single features were rated."""
    markers = study.get("markers")
    if not markers:
        return []
    timed = is_timed(study, markers)
    test = "Student's" if study.get("comparison", {}).get("t_test") == "student" else "Welch's"
    region = f" of the region “{markers['region']}”" if "region" in markers else ""
    what = f"Each single feature of the extraction “{markers['extraction']}”{region} "
    what += f"(phase: {listed(phases_of(markers['phase']))}) "
    if timed:
        sentences = [f"{what}was rated by its C-index [@Harrell1996] and a Cox model of its own [@Cox1972]."]
    else:
        sentences = [
            f"{what}was compared between the groups of “{event_words(study, markers['endpoint'])}” by {test} t test "
            "where both were normally distributed (Shapiro-Wilk), else by the Mann-Whitney test, and rated by the area "
            "under its receiver operating characteristic curve (AUC) with its interval [@DeLong1988] and the cut-off "
            "of the largest Youden index [@Youden1950]."
        ]
    sentences.append("P values were corrected for the number of features (Bonferroni and false discovery rate).")
    if synthetic := markers.get("synthetic"):
        number = listed([f"{number} of “{level}”" for level, number in synthetic["counts"].items()])
        sentences.append(
            f"As published, features were rated again in a synthetic cohort of {number} grown by "
            f"{_SAMPLERS[synthetic['method']]}{_SAMPLED}; since it is grown from the study's own units, it is no "
            "validation."
        )
        if "permutations" in synthetic:
            sentences.append(
                f"The level of chance of these figures was taken from {count(synthetic['permutations'], 'cohort')} "
                "grown from permuted outcomes."
            )
    if "survival" in markers:
        sentences.append(
            "Survival below and above the cut-offs was compared by the log-rank test, with a p value that knows that "
            "the cut-off was searched for [@Lausen1992]."
        )
    return sentences


def survival_sentences(study: Mapping[str, Any]) -> list[str]:
    """How survival was described and compared; principal components."""
    sentences = []
    for endpoint, settings in study.get("survival", {}).items():
        event = event_words(study, endpoint)
        sentences.append(f"The time to “{event}” was described by the Kaplan-Meier method [@Kaplan1958].")
        groups = _labels(study, settings.get("by", []))
        if groups:
            sentences.append(f"It was compared by {groups} with the log-rank test.")
        if settings.get("medians"):
            sentences.append(f"It was compared above and up to the medians of {_labels(study, settings['medians'])}.")
        if settings.get("by") or settings.get("medians"):
            sentences.append("Hazard ratios of these variables have p values corrected for their number [@Holm1979].")
        if settings.get("cutpoints"):
            sentences.append(
                f"Cut-points of {_labels(study, settings['cutpoints'])} were searched for, and p values of the "
                "maximally selected log-rank statistic are given [@Lausen1992]."
            )
        if competing := study["endpoints"][endpoint].get("competing"):
            sentences.append(
                f"With “{competing}” as a competing event, cumulative incidence was estimated as by Aalen and Johansen "
                "[@Aalen1978] and compared by Gray's test [@Gray1988]."
            )
    if "components" in study:
        components = study["components"]
        kind = "Cox" if is_timed(study, components) else "logistic"
        sentences.append(
            f"Principal components of the standardised features of “{components['extraction']}” were computed, and the "
            f"first of them tested in {kind} regressions, with p values corrected for their number [@Holm1979]."
        )
    return sentences


def validation_sentences(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """How the models were judged: figures, honest resampling, chance, sample size."""
    models = study.get("models", {})
    sentences = []
    if models and "evaluation" in study:
        timed = {is_timed(study, model) for model in models.values()}
        sentences += _discrimination(study, models, results) if False in timed else []
        sentences += _survival_figures(study, models) if True in timed else []
        if len(results.get("evaluation/comparisons.csv", ())):
            sentences.append(
                "Models of one endpoint were compared on the same units by differences of AUC or C-index, net "
                "reclassification, integrated discrimination [@Pencina2008] and net benefit [@Vickers2006], with "
                "intervals from resampled patients."
            )
        sentences += _resampling(study, results)
    if study.get("published"):
        names = listed([f"“{name}”" for name in study["published"]])
        sentences.append(f"Published models ({names}) were applied to the cohort with their printed coefficients.")
        sentences += _incomplete(study, results)
    return sentences


def _incomplete(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """What was done where a publication does not print all of its model."""
    applied = {name: results.get(f"models/published_{name}/model.json", {}) for name in study["published"]}
    sentences = []
    for name, model in applied.items():
        if "missing" in model:
            words = f"“{name}” is not printed in full, so that it orders {study['unit']}s and gives no risks"
            local = "; its features were standardised on the cohort's own means and standard deviations"
            sentences.append(words + (local if "local" in model["steps"].get("zscore", {}) else "") + ".")
    return sentences


def _discrimination(study: Mapping[str, Any], models: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    sentences = [
        "Discrimination was measured by the AUC with the intervals of DeLong et al. [@DeLong1988] and of Hanley and "
        "McNeil [@Hanley1982]; the cut-off was the one with the largest Youden index [@Youden1950]. Calibration was "
        "assessed by a smooth curve [@Cleveland1979], its intercept and slope and the Brier score, and clinical "
        "usefulness by decision curve analysis [@Vickers2006]."
    ]
    if any(len(results.get(f"evaluation/{name}/comparison.csv", ())) for name in models):
        sentences.append(
            "The model was compared with the Radscore by DeLong's test, the net reclassification improvement and the "
            "integrated discrimination improvement [@Pencina2008]."
        )
    return sentences


def _survival_figures(study: Mapping[str, Any], models: Mapping[str, Any]) -> list[str]:
    timed = next(model["endpoint"] for model in models.values() if is_timed(study, model))
    times = listed([f"{time:g}" for time in study["endpoints"][timed].get("times", [])])
    unit = time_unit(study, timed)
    at = f" at {times}{f' {unit}s' if unit else ''}" if times else ""
    return [
        "Discrimination was measured by Harrell's C-index [@Harrell1996], that of Uno et al. [@Uno2011] and "
        f"time-dependent AUC{at} [@Uno2007]. Calibration was assessed by smooth curves of predicted risk [@Austin2020] "
        "and the Brier score weighted for censoring [@Graf1999], and clinical usefulness by decision curve analysis "
        "[@Vickers2006; @Vickers2008]."
    ]


def _resampling(study: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    asked = study["evaluation"]
    number = count(asked["resamples"], "resample")
    sentences = [
        f"As is often published, the finished model was judged in {number} of {study['unit']}s (bootstrap). For an "
        f"honest validation the whole protocol, every selection included, was repeated in {number} of patients, each "
        "drawn with all data, and figures were corrected for optimism as Harrell et al. propose [@Harrell1996] and by "
        "the .632+ rule [@Efron1997]."
    ]
    if "folds" in asked:
        repeats = f", repeated {count(asked['repeats'], 'time')}" if asked.get("repeats", 1) > 1 else ""
        sentences.append(
            f"In addition the whole protocol was cross-validated in {asked['folds']} folds of patients{repeats}."
        )
    if "leave_out" in asked:
        left = _labels(study, [asked["leave_out"]])
        sentences.append(f"Each level of {left} was left out once (internal-external validation) [@Royston2004].")
    if "temporal" in asked:
        label = _labels(study, [asked["temporal"]["variable"]])
        sentences.append(
            f"In a temporal validation the protocol was fitted to patients with {label} below "
            f"{asked['temporal']['from']:g} and judged on the others."
        )
    if "external" in asked:
        sentences.append(f"The finished model was judged in the cohort “{asked['external']}” without refitting.")
    if any(results.get(f"evaluation/{name}/chance.json") for name in study["models"]):
        sentences.append(
            f"The level of chance was found by repeating the whole analysis on {asked.get('permutations', 200)} "
            "permutations of the outcomes between patients [@Ojala2010], with the observed outcome counted among them "
            "for p values [@Phipson2010]."
        )
    sentences.append("The sample size was judged by the criteria of Riley et al. [@Riley2020].")
    if study.get("multiverse"):
        sentences.append("Analyses with other choices were run as a multiverse analysis [@Steegen2016].")
    return sentences
