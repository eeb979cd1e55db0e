"""One model's results by what they are, and which of its scores say nothing."""

from collections.abc import Mapping
from typing import Any

from scipy.special import expit

from nenflow.report.wording import decimal, the_score


class ModelFiles:
    """One model's results, by what they are; None where a stage has not delivered."""

    def __init__(self, results: Mapping[str, Any], model: str):
        self.model = lambda name: results.get(f"models/{model}/{name}")
        self.step = lambda name: results.get(f"models/{model}/steps/{name}.json")
        self.evaluation = lambda name: results.get(f"evaluation/{model}/{name}")

    def external(self) -> dict[str, Any]:
        """What there is of the model in an external cohort, by the rest of the name."""
        names = ["json", "exclusions.csv", "scores.csv", "calibration.csv", "calibration_groups.csv"]
        files = {name: self.evaluation(f"external{'.' if name == 'json' else '_'}{name}") for name in names}
        return {name: content for name, content in files.items() if content is not None}

    def final(self) -> dict[str, Any] | None:
        """The final model's document, of either kind."""
        return self.step("logistic") or self.step("cox")

    def steps(self) -> dict[str, Any]:
        """The documents that predict: the final model's and, where it has one, that of its terms."""
        found = {name: self.step(name) for name in ("terms", "logistic", "cox")}
        return {name: document for name, document in found.items() if document}

    def is_cox(self) -> bool:
        """Whether the outcome comes with time."""
        return self.step("cox") is not None

    def rated(self, model: str) -> dict[str, Any]:
        """What performance.json says of the scores that differ between people; nothing can be said of the others."""
        constant = constant_scores(self, model)
        performance = self.evaluation("performance.json") or {}
        return {score: figures for score, figures in performance.items() if score not in constant}


def constant_scores(files: ModelFiles, model: str) -> dict[str, str]:
    """The scores that are the same for everyone, each with the sentence that says so."""
    lasso, final = files.step("lasso"), files.final()
    sentences = {}
    if lasso and not lasso["coefficients"]:
        sentences["Radscore"] = (
            "The LASSO selected no feature: the Radscore is the same for everyone and tells nothing apart."
        )
    if final and not final["variables"]:
        same = "the survival of all"
        if "intercept" in final:
            same = f"a probability of {decimal(float(expit(final['intercept'])))}"
        sentences[model] = (
            f"No variable survived the selection: {the_score(model)} predicts the same for everyone, {same}. There is "
            "no model to draw, to rate or to use."
        )
    return sentences
