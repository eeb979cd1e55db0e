"""What can be answered of a study from its settings and results, for checklists of reporting and quality.

Each fact is yes, with the files that prove it; no; not applicable; or for the authors, where only they can know.
Nothing is answered yes that the study does not do: a fact looks at settings and at results that exist.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from nenflow.phases import phases_of
from nenflow.report.methods_images import scans, slice_spacings, tag_values
from nenflow.report.wording import listed
from nenflow.study import imports_features

YES, NO, NOT_APPLICABLE, AUTHORS = "yes", "no", "not applicable", "for the authors"

METHODS = "report/methods.txt"
REPORT = "report/report.html"
THICK_MM = 5.0  # METRICS, item 11: slices from here on, brought to cubes much smaller, may be inappropriate
EXTREME = 2.0  # how many new slices out of one we call much smaller

_SELECTING = {"stability", "spearman", "lasso", "univariable", "backward", "forward"}
_REDUNDANT = {"spearman", "lasso", "univariable", "backward", "forward"}
_OUTSIDE = ("folds", "leave_out", "temporal", "external")  # schemes that judge patients whom the fit did not see


@dataclass(frozen=True)
class Fact:
    """An answer, the files of the study's folder that prove it (or help who has to answer), and a remark."""

    answer: str
    where: tuple[str, ...] = ()
    remark: str = ""


class Evidence:
    """A study's settings and results, and the questions that facts ask of them."""

    def __init__(
        self, study: Mapping[str, Any], results: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]]
    ):
        self.study, self.results, self.parameters = study, results, parameters

    @cached_property
    def models(self) -> Mapping[str, Any]:
        """The study's models."""
        return self.study.get("models", {})

    @cached_property
    def radiomic(self) -> bool:
        """Whether the study has image features."""
        return "extractions" in self.study

    @cached_property
    def images(self) -> bool:
        """Whether images were read here, not only features that were computed elsewhere."""
        return "images" in self.study and not imports_features(self.study)

    @cached_property
    def simulated(self) -> bool:
        """Whether the development cohort is simulated."""
        return "simulation" in self.study["cohorts"]["development"]

    @cached_property
    def asked(self) -> Mapping[str, Any]:
        """Settings of the evaluation."""
        return self.study.get("evaluation", {}) if self.models else {}

    @cached_property
    def steps(self) -> set[str]:
        """Names of the steps of all models."""
        return {name for model in self.models.values() for step in model["steps"] for name in step}

    @cached_property
    def conformance(self) -> set[str]:
        """ibsi or slicer, of all extractions that were computed here."""
        blocks = self.study.get("extractions", {}).values()
        return {block.get("conformance", "ibsi") for block in blocks if "parameters" in block}

    def files(self, *patterns: str) -> tuple[str, ...]:
        """Results by name; {model} stands for each model. Those that do not exist are left out."""
        names = [pattern.format(model=model) for pattern in patterns for model in (self.models or [""])]
        return tuple(dict.fromkeys(name for name in names if name in self.results))

    def tables(self, start: str, end: str = ".csv") -> tuple[str, ...]:
        """Results whose names start and end so, those without rows left out."""
        return tuple(
            name
            for name, content in self.results.items()
            if name.startswith(start)
            and name.endswith(end)
            and not (isinstance(content, pd.DataFrame) and content.empty)
        )

    def settings(self) -> list[Mapping[str, Any]]:
        """The block `setting` of each parameter file."""
        return [content.get("setting") or {} for content in self.parameters.values()]


def fact(evidence: Evidence, name: str) -> Fact:
    """The fact of a name as checklists give it; "tag X" asks whether the scans' headers have X."""
    if name.startswith("tag "):
        return _tag(evidence, name.removeprefix("tag "))
    return FACTS[name](evidence)


def _tag(evidence: Evidence, tag: str) -> Fact:
    """How scans were made: the headers say it of every scan, or the authors have to."""
    known = [content for content in scans(evidence.results) if content.get(tag) is not None]
    if not known or len(known) < len(scans(evidence.results)):
        return Fact(AUTHORS, remark=f"The headers of {'not all' if known else 'no'} images have it.")
    folders = {name.rsplit("/", 2)[0] for name in evidence.results if name.startswith("images/") and "/" in name[7:]}
    return Fact(YES, tuple(sorted(f"{folder}" for folder in folders)), f"{tag} in the document beside each volume.")


def _if(done: bool, where: Sequence[str] = (), remark: str = "", otherwise: str = "") -> Fact:
    return Fact(YES, tuple(where), remark) if done else Fact(NO, (), otherwise)


def _of_models(evidence: Evidence, *patterns: str, remark: str = "") -> Fact:
    """Yes where every model has such a file; studies without models have nothing to answer."""
    if not evidence.models:
        return Fact(NOT_APPLICABLE, remark="The study has no model.")
    found = evidence.files(*patterns)
    return _if(len(found) >= len(evidence.models) and bool(patterns), found, remark)


def _own_features(evidence: Evidence, where: Sequence[str], remark: str = "") -> Fact:
    """Of features computed here; how others were made is for the authors."""
    if not evidence.radiomic:
        return Fact(NOT_APPLICABLE, remark="The study has no image features.")
    if imports_features(evidence.study) or not evidence.parameters:
        return Fact(AUTHORS, remark="The features were computed elsewhere.")
    return Fact(YES, tuple(where), remark)


def _authors(evidence: Evidence) -> Fact:
    return Fact(AUTHORS)


def _sharing(*patterns: str) -> Callable[[Evidence], Fact]:
    """Whether something is shared is for the authors; these are the files they could share."""

    def answer(evidence: Evidence) -> Fact:
        found = [name for pattern in patterns for name in evidence.files(pattern)]
        return Fact(AUTHORS, tuple(found), "Ready to be shared." if found else "")

    return answer


def _guidelines(evidence: Evidence) -> Fact:
    return Fact(YES, (REPORT, METHODS), "These checklists.")


def _sample_size(evidence: Evidence) -> Fact:
    return _of_models(evidence, "evaluation/{model}/sample_size.csv", remark="Riley's criteria.")


def _study_size(evidence: Evidence) -> Fact:
    found = _sample_size(evidence)
    return Fact(AUTHORS, found.where, "Riley's criteria; how the size was arrived at is not known here.")


def _data_source(evidence: Evidence) -> Fact:
    return Fact(YES, (METHODS,), "Simulated data.") if evidence.simulated else Fact(AUTHORS)


def _data_overlap(evidence: Evidence) -> Fact:
    return Fact(NOT_APPLICABLE, remark="Simulated data.") if evidence.simulated else Fact(AUTHORS)


def _data_split(evidence: Evidence) -> Fact:
    return _of_models(evidence, "evaluation/{model}/schemes.csv", remark="No split; all schemes of validation.")


def _acquisition(evidence: Evidence) -> Fact:
    if not evidence.images:
        return Fact(AUTHORS)
    asked = {"CT": ("Manufacturer", "KVP", "SliceThickness", "ConvolutionKernel"),
             "PT": ("Manufacturer", "SliceThickness", "uptake_minutes", "ReconstructionMethod")}  # fmt: skip
    needed = [tag for modality in tag_values(evidence.results, "Modality") for tag in asked.get(modality, ())]
    lacking = [tag for tag in dict.fromkeys(needed) if not tag_values(evidence.results, tag)]
    if not needed or lacking:
        return Fact(AUTHORS, (METHODS,), f"The headers lack {listed(lacking)}." if lacking else "")
    return Fact(YES, (METHODS,), "From the images' headers; preparation of the patient is for the authors.")


def _clinical_variables(evidence: Evidence) -> Fact:
    if not any(model["clinical"] for model in evidence.models.values()):
        return Fact(NOT_APPLICABLE, remark="No model has other variables than image features.")
    where = evidence.files("cohort/development/table_one.csv")
    return Fact(AUTHORS, where, "Names, units and levels are listed there; how they were measured is not known.")


def _outcome(evidence: Evidence) -> Fact:
    return Fact(AUTHORS, (METHODS,), "Named there; how and when it was assessed is not known here.")


def _segmentation(evidence: Evidence) -> Fact:
    if not evidence.radiomic:
        return Fact(NOT_APPLICABLE)
    return Fact(AUTHORS, (METHODS,), "Raters and checks are named there; how regions were drawn is not known here.")


def _preprocessing(evidence: Evidence) -> Fact:
    return _own_features(evidence, [METHODS])


def _ibsi_preparation(evidence: Evidence) -> Fact:
    made = _own_features(evidence, [METHODS], "As the IBSI defines it.")
    if made.answer == YES and evidence.conformance != {"ibsi"}:
        return Fact(NO, remark="Preparation repeats SlicerRadiomics, which documents no more.")
    return made


def _first_bin(evidence: Evidence) -> Fact:
    if evidence.parameters and all("binCount" in settings for settings in evidence.settings()):
        return Fact(NOT_APPLICABLE, remark="Bins of fixed number.")
    return _own_features(evidence, [METHODS])


def _filters(evidence: Evidence) -> Fact:
    made = _own_features(evidence, [METHODS])
    filtered = {name for content in evidence.parameters.values() for name in content.get("imageType") or {}}
    if made.answer == YES and not filtered - {"Original"}:
        return Fact(NOT_APPLICABLE, remark="No filter.")
    return made


def _normalisation(evidence: Evidence) -> Fact:
    made = _own_features(evidence, [METHODS])
    if made.answer == YES and not any(settings.get("normalize") for settings in evidence.settings()):
        return Fact(NOT_APPLICABLE, remark="Intensities were not normalised.")
    return made


def _feature_software(evidence: Evidence) -> Fact:
    named = evidence.tables("features/", "_software.csv")
    if imports_features(evidence.study) and named:
        return Fact(YES, named, "As the table of features says.")
    return _own_features(evidence, [METHODS])


def _feature_number(evidence: Evidence) -> Fact:
    if not evidence.radiomic:
        return Fact(NOT_APPLICABLE)
    where = evidence.tables("stability/") or evidence.files("evaluation/markers.csv", "evaluation/components.json")
    where = where or tuple(name for name in evidence.results if "/steps/" in name)
    return _if(bool(where), where)


def _missing_data(evidence: Evidence) -> Fact:
    where = tuple(name for name in evidence.results if name.startswith("cohort/") and name.endswith("missing.csv"))
    return Fact(YES, (METHODS, *where)) if evidence.models else _if(bool(where), where)


def _class_imbalance(evidence: Evidence) -> Fact:
    if all("time" in settings for settings in evidence.study["endpoints"].values()):
        return Fact(NOT_APPLICABLE, remark="Outcomes are times to an event.")
    where = evidence.tables("cohort/development/comparisons/")
    return _if(bool(where), where)


def _imbalance_methods(evidence: Evidence) -> Fact:
    options = [step["lasso"] for model in evidence.models.values() for step in model["steps"] if "lasso" in step]
    if any("oversample" in (chosen or {}) for chosen in options):
        return Fact(YES, (METHODS,), "Synthetic rows in the folds that choose the penalty; none in any evaluation.")
    return Fact(NOT_APPLICABLE, remark="No model uses a method for class imbalance.")


def _reliability(evidence: Evidence) -> Fact:
    if not evidence.radiomic:
        return Fact(NOT_APPLICABLE)
    where = evidence.tables("stability/")
    return _if(bool(where), where, otherwise="Each region was read once.")


def _feature_scaling(evidence: Evidence) -> Fact:
    """The LASSO standardises by itself; else a step has to."""
    featured = [model for model in evidence.models.values() if "extraction" in model]
    if not featured:
        return Fact(NOT_APPLICABLE, remark="No model of image features.")
    scaled = all({"zscore", "lasso"} & {name for step in model["steps"] for name in step} for model in featured)
    return _if(scaled, [METHODS], otherwise="Features enter as they were measured.")


def _dimension_reduction(evidence: Evidence) -> Fact:
    if not evidence.models:
        return Fact(NOT_APPLICABLE, remark="The study has no model.")
    where = [f"models/{{model}}/steps/{step}.json" for step in sorted(_SELECTING & evidence.steps)]
    return _if(bool(where), (METHODS, *evidence.files(*where)))


def _robust(evidence: Evidence) -> Fact:
    if "stability" not in evidence.steps:
        return Fact(NO, remark="No model drops features for their agreement.")
    return _if(True, evidence.files("models/{model}/steps/stability.json"))


def _redundant(evidence: Evidence) -> Fact:
    found = sorted(_REDUNDANT & evidence.steps)
    return _if(bool(found), evidence.files(*(f"models/{{model}}/steps/{step}.json" for step in found)))


def _dimensionality(evidence: Evidence) -> Fact:
    """Whether the units suffice for every model by Riley's criteria."""
    names = evidence.files("evaluation/{model}/sample_size.csv")
    if not names:
        return Fact(NO)
    required = [table.loc[table["criterion"] == "required"].iloc[0] for table in (evidence.results[n] for n in names)]
    short = [row for row in required if not row["n"] <= row["available"]]
    if short:
        words = f"{short[0]['available']:,.0f} units where {short[0]['n']:,.0f} are required (Riley's criteria)."
        return Fact(NO, names, words)
    return Fact(YES, names)


def _model_described(evidence: Evidence) -> Fact:
    made = _of_models(evidence, "models/{model}/model.json")
    return Fact(YES, (METHODS, *made.where)) if made.answer == YES else made


def _confounders(evidence: Evidence) -> Fact:
    strata = any("strata" in (step.get("cox") or {}) for model in evidence.models.values() for step in model["steps"])
    ways = [("ComBat", "combat" in evidence.steps), ("a stratified Cox model", strata),
            ("leaving out each centre", "leave_out" in evidence.asked)]  # fmt: skip
    used = [name for name, done in ways if done]
    return _if(bool(used), [METHODS], f"By {listed(used)}.", "No step removes or examines a confounder.")


def _clusters(evidence: Evidence) -> Fact:
    if "leave_out" in evidence.asked:
        return Fact(YES, evidence.files("evaluation/{model}/cross_validation.json"))
    return Fact(NO, remark="No clusters such as hospitals were examined.")


def _performance(evidence: Evidence) -> Fact:
    if not evidence.models and "evaluation/markers.csv" in evidence.results:
        return Fact(YES, ("evaluation/markers.csv",), "Of single features.")
    return _of_models(evidence, "evaluation/{model}/performance.json", remark="Subgroups are not examined.")


def _performance_metrics(evidence: Evidence) -> Fact:
    found = _performance(evidence)
    return Fact(YES, (METHODS, *found.where)) if found.answer == YES else found


def _calibration(evidence: Evidence) -> Fact:
    if not evidence.models:
        return Fact(NO, remark="Single features have no calibration.")
    return _of_models(evidence, "evaluation/{model}/calibration.csv")


def _score_comparison(evidence: Evidence) -> Fact:
    named = evidence.files("evaluation/{model}/comparison.csv", "evaluation/comparisons.csv")
    where = [name for name in named if len(evidence.results[name])]
    return _if(bool(where), where, "Two scores of one model, or two models.", "No two scores were compared.")


def _clinical_comparison(evidence: Evidence) -> Fact:
    """Whether a model with image features was compared with one without, of the same endpoint."""
    table = evidence.results.get("evaluation/comparisons.csv")
    pairs = [] if table is None else list(table[["first", "second"]].itertuples(index=False, name=None))
    kinds = [{"extraction" in evidence.models[name] for name in pair if name in evidence.models} for pair in pairs]
    done = {True, False} in kinds
    return _if(done, ["evaluation/comparisons.csv"], otherwise="No model without image features was compared with one.")


def _chance_comparison(evidence: Evidence) -> Fact:
    """The models are classical regressions; the simplest reference is what they give where there is nothing to find."""
    where = evidence.files("evaluation/{model}/chance.json") or evidence.files("evaluation/markers_chance.csv")
    return _if(bool(where), where, "Regression; compared with the same analysis of permuted outcomes.")


def _interpretability(evidence: Evidence) -> Fact:
    return _of_models(evidence, "models/{model}/nomogram.json", remark="Coefficients and nomogram.")


def _baseline(evidence: Evidence) -> Fact:
    where = evidence.tables("cohort/", "table_one.csv")
    return _if(bool(where), where, "Dates and treatments are for the authors, where the tables lack them.")


def _flow(evidence: Evidence) -> Fact:
    where = evidence.tables("cohort/", "/flow.csv")
    return _if(bool(where), (*where, REPORT), "Exclusions before the tables were made are for the authors.")


def _feature_statistics(evidence: Evidence) -> Fact:
    steps = evidence.files("models/{model}/steps/lasso.json", "models/{model}/candidates.csv")
    where = (*evidence.tables("stability/"), *evidence.files("evaluation/markers.csv"), *steps)
    return _if(bool(where), where)


def _limitations(evidence: Evidence) -> Fact:
    return Fact(AUTHORS, (REPORT,), "The section on limits has those that the program found.")


def _single_reader(evidence: Evidence) -> Fact:
    if not evidence.radiomic:
        return Fact(NOT_APPLICABLE)
    reader = evidence.study["stability"]["readings"]["reference"]
    return Fact(YES, (METHODS,), f"The regions of “{reader}” alone are analysed.")


def _appropriate(evidence: Evidence) -> Fact:
    """As `preprocessing`, unless thick slices are brought to much thinner ones."""
    made = _own_features(evidence, [METHODS])
    thickest = max(slice_spacings(evidence.results), default=0.0)
    new = [settings["resampledPixelSpacing"][2] for settings in evidence.settings()
           if settings.get("resampledPixelSpacing")]  # fmt: skip
    thin = [value for value in new if value and thickest >= THICK_MM and thickest > EXTREME * value]
    if made.answer == YES and thin:
        words = f"Slices of {thickest:g} mm brought to {min(thin):g} mm: possibly inappropriate by METRICS."
        return Fact(AUTHORS, (METHODS,), words)
    return made


def _standardised(evidence: Evidence) -> Fact:
    made = _own_features(evidence, evidence.files("features/conformance.csv"))
    if made.answer == YES and evidence.conformance != {"ibsi"}:
        return Fact(NO, made.where, "Preparation repeats SlicerRadiomics, which departs from the standard (IBSI).")
    return made


def _ibsi_stated(evidence: Evidence) -> Fact:
    return _own_features(evidence, [METHODS, *evidence.files("features/conformance.csv")])


def _data_partition(evidence: Evidence) -> Fact:
    schemes = [name for name in _OUTSIDE if name in evidence.asked]
    where = evidence.files("evaluation/{model}/cross_validation.json", "evaluation/{model}/external.json")
    words = "Patients are left out whole, and all steps are fitted without them."
    return _if(bool(schemes and where), where, words, "No patients are set apart from all steps.")


def _single_imaging(evidence: Evidence) -> Fact:
    blocks = [*evidence.models.values(), *(evidence.study[k] for k in ("markers", "components") if k in evidence.study)]
    phases = {tuple(phases_of(block["phase"])) for block in blocks if "phase" in block}
    several = [names for names in phases if len(names) > 1]
    return _if(not several, [METHODS], otherwise=f"Phases {listed(list(several[0]))} together." if several else "")


def _internal(evidence: Evidence) -> Fact:
    where = evidence.files("evaluation/{model}/cross_validation.json") if "temporal" in evidence.asked else ()
    return _if(bool(where), where, "Later patients.", "Cross-validation and bootstrap keep no independent test set.")


def _external(evidence: Evidence) -> Fact:
    if "external" in evidence.asked:
        return Fact(AUTHORS, evidence.files("evaluation/{model}/external.json"), "Yes, if of another institution.")
    applied = tuple(name for name in evidence.results if name.startswith("evaluation/published_"))
    if applied:
        return Fact(AUTHORS, applied[:1], "A published model was applied: yes, if another institution made it.")
    return Fact(NO, remark="No external cohort.")


def _external_differences(evidence: Evidence) -> Fact:
    if "external" not in evidence.asked:
        return Fact(NOT_APPLICABLE, remark="No external cohort.")
    return Fact(AUTHORS, evidence.tables("cohort/", "table_one.csv"), "The tables of both cohorts.")


def _data_checks(evidence: Evidence) -> Fact:
    where = (*evidence.tables("cohort/", "notes.json"), *evidence.tables("images/", "/cases.csv"))
    return Fact(AUTHORS, where, "Checks of this workflow; what was done before is not known here.")


def _model_updating(evidence: Evidence) -> Fact:
    return Fact(NOT_APPLICABLE, remark="No model is updated by its evaluation.")


def _no_deep_learning(evidence: Evidence) -> Fact:
    return Fact(NOT_APPLICABLE, remark="No deep learning.")


def _automated(evidence: Evidence) -> Fact:
    return Fact(AUTHORS, remark="Not applicable unless a program alone drew the regions.")


def _not_done(evidence: Evidence) -> Fact:
    made = _own_features(evidence, ())
    return Fact(NOT_APPLICABLE, remark="This workflow does none.") if made.answer == YES else made


def _mask_conversion(evidence: Evidence) -> Fact:
    return Fact(AUTHORS, remark="Contours of an RTSTRUCT become the voxels whose centre lies inside them.")


def _suv(evidence: Evidence) -> Fact:
    by_weight = any(content.get("unit") == "SUV" for content in scans(evidence.results))
    return Fact(YES, (METHODS,), "By body weight.") if by_weight else Fact(AUTHORS)


def _no_distance_zones(evidence: Evidence) -> Fact:
    return Fact(NOT_APPLICABLE, remark="pyradiomics computes no distance zone matrix.")


def _tripod(evidence: Evidence) -> Fact:
    if not evidence.models:
        return Fact(NOT_APPLICABLE, remark="The study has no model.")
    return Fact(YES, ("report/tables/checklist_tripod_ai.csv",))


def _multicollinearity(evidence: Evidence) -> Fact:
    return _of_models(evidence, "models/{model}/assumptions.csv", remark="Variance inflation.")


FACTS: dict[str, Callable[[Evidence], Fact]] = {
    "authors": _authors,
    "guidelines": _guidelines,
    "sample_size": _sample_size,
    "study_size": _study_size,
    "pipeline_chart": lambda evidence: Fact(NO, remark="snakemake --rulegraph draws one."),
    "data_source": _data_source,
    "data_overlap": _data_overlap,
    "data_split": _data_split,
    "acquisition": _acquisition,
    "clinical_variables": _clinical_variables,
    "outcome": _outcome,
    "segmentation": _segmentation,
    "preprocessing": _preprocessing,
    "ibsi_preparation": _ibsi_preparation,
    "first_bin": _first_bin,
    "filters": _filters,
    "normalisation": _normalisation,
    "feature_software": _feature_software,
    "feature_number": _feature_number,
    "missing_data": _missing_data,
    "class_imbalance": _class_imbalance,
    "imbalance_methods": _imbalance_methods,
    "reliability": _reliability,
    "feature_scaling": _feature_scaling,
    "dimension_reduction": _dimension_reduction,
    "robust_features": _robust,
    "redundant_features": _redundant,
    "dimensionality": _dimensionality,
    "model_described": _model_described,
    "candidates": _model_described,
    "model_output": _model_described,
    "predictions": _model_described,
    "model_file": lambda evidence: _of_models(evidence, "models/{model}/model.json"),
    "analysed_numbers": lambda evidence: _of_models(evidence, "evaluation/{model}/schemes.csv"),
    "confounders": _confounders,
    "clusters": _clusters,
    "fairness": lambda evidence: Fact(NO, remark="No approach to fairness is applied."),
    "performance": _performance,
    "performance_metrics": _performance_metrics,
    "uncertainty": _performance,
    "calibration": _calibration,
    "score_comparison": _score_comparison,
    "clinical_comparison": _clinical_comparison,
    "chance_comparison": _chance_comparison,
    "interpretability": _interpretability,
    "baseline": _baseline,
    "participant_flow": _flow,
    "feature_statistics": _feature_statistics,
    "limitations": _limitations,
    "single_reader": _single_reader,
    "appropriate_preprocessing": _appropriate,
    "standardised_software": _standardised,
    "ibsi_stated": _ibsi_stated,
    "data_partition": _data_partition,
    "single_imaging": _single_imaging,
    "internal_testing": _internal,
    "external_testing": _external,
    "external_differences": _external_differences,
    "data_checks": _data_checks,
    "model_updating": _model_updating,
    "deep_learning": _no_deep_learning,
    "automated_segmentation": _automated,
    "not_done": _not_done,
    "mask_conversion": _mask_conversion,
    "suv": _suv,
    "no_distance_zones": _no_distance_zones,
    "tripod": _tripod,
    "multicollinearity": _multicollinearity,
    "share_images": _sharing(),
    "share_features": _sharing("models/{model}/scores.csv"),
    "share_data": _sharing("models/{model}/scores.csv"),
    "share_settings": lambda evidence: Fact(AUTHORS, (METHODS,), "With the study's settings and this workflow."),
    "share_code": lambda evidence: Fact(AUTHORS, remark="This workflow, with the study's settings."),
    "share_model": _sharing("models/{model}/model.json", "models/{model}/nomogram.json"),
}
