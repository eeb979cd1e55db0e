"""How much faster a study's protocol is refitted on resamples than by an R script, and whether both select alike.

Run as `python benchmarks/validation.py` (1,000 resamples), or with `--resamples 100` for a quick look. 131 lesions of
76 patients with 851 features and twelve clinical variables are simulated; z-scores, Spearman pruning at 0.90, a LASSO
with ten folds of patients at lambda.min, a univariable screen, backward elimination and the final logistic model are
refitted on resampled patients. Both sides take the same resamples and folds, in turns; times are CPU seconds of one
core, without starting, reading and writing.

The ratio, the last line printed, is to R with glmnet's default threshold, which studies use and which is the faster
one. There glmnet stops short of the solution; so R refits every tenth resample, and each in which the sets selected
differ, at a threshold of 1e-12 as well. R needs the packages glmnet and pROC (Debian: r-base-core, r-cran-glmnet,
r-cran-proc).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from nenflow.evaluation.refitting import discriminate, fit_drawn, parts_of_draw, refit_resamples  # noqa: E402
from nenflow.evaluation.resampling import patient_resamples  # noqa: E402
from nenflow.models.protocol import build_protocol, for_refits  # noqa: E402

LESIONS, PATIENTS, FEATURES, GROUPS, CLINICAL = 131, 76, 851, 90, 12
SEED = 1
THRESHOLDS = {"default": 1e-7, "tight": 1e-12}  # glmnet's
TIGHT = 10  # one in so many resamples is refitted at the tight threshold, too
TURN = 50  # resamples that each side refits before it is the other's turn
STEPS = [
    {"zscore": {}},
    {"spearman": {"threshold": 0.9}},
    {"lasso": {"folds": 10, "folds_by": "patient", "rule": "lambda.min"}},
    {"univariable": {"p": 0.05}},
    {"backward": {"p": 0.05}},
    {"logistic": {}},
]
AREAS = ["auc_radscore_train", "auc_radscore_test", "auc_train", "auc_test"]
SETS = ["pruned", "lasso", "selected"]


def simulate() -> tuple[pd.DataFrame, pd.Series]:
    """Features in groups that correlate as a radiomics filter bank's do, clinical variables, and an outcome of both."""
    rng = np.random.default_rng(SEED)
    patient = np.sort(np.concatenate([np.arange(PATIENTS), rng.permutation(PATIENTS)[: LESIONS - PATIENTS]]))
    common = rng.normal(size=(PATIENTS, 15))[patient] + rng.normal(size=(LESIONS, 15))
    bases = common @ rng.normal(size=(15, GROUPS)) / 5 + 0.7 * rng.normal(size=(LESIONS, GROUPS))
    group = np.sort(np.concatenate([np.arange(GROUPS), rng.integers(GROUPS, size=FEATURES - GROUPS)]))
    features = bases[:, group] + 0.15 * rng.normal(size=(LESIONS, FEATURES))
    skewed = rng.random(FEATURES) < 0.3
    features[:, skewed] = np.exp(features[:, skewed])
    clinical = rng.normal(size=(PATIENTS, CLINICAL))[patient]
    clinical[:, ::2] = clinical[:, ::2] > 0
    log_odds = bases[:, 3] - 0.8 * bases[:, 40] + 0.6 * bases[:, 70] + clinical[:, 0] + 0.5 * clinical[:, 1]
    event = rng.random(LESIONS) < 1 / (1 + np.exp(-log_odds))
    lesion = pd.Series(patient).groupby(patient).cumcount() + 1
    index = pd.MultiIndex.from_arrays(
        [[f"P{number:03d}" for number in patient], [f"lesion{number}" for number in lesion]],
        names=["patient", "region"],
    )
    names = [*(f"feature{j}" for j in range(1, FEATURES + 1)), *(f"clinical{j}" for j in range(1, CLINICAL + 1))]
    X = pd.DataFrame(np.column_stack([features, clinical]), index, pd.Index(names, dtype=object))
    return X, pd.Series(event.astype(int), index=index)


class Ours:
    """nenflow's refits, with the CPU seconds that they took."""

    def __init__(self, X: pd.DataFrame, y: pd.Series):
        self.X, self.y = X, y
        clinical = [name for name in X.columns if name.startswith("clinical")]
        self.protocol = build_protocol(STEPS, clinical, None, SEED)
        self.seconds = 0.0

    def refit(self, draws: dict[int, np.ndarray]) -> tuple[pd.DataFrame, dict[int, list[int]]]:
        """What was selected in each resample, and the folds that the LASSO drew."""
        start, fits = time.process_time(), []
        for draw in draws.values():
            fitted, values = fit_drawn(self.protocol, self.X, self.y, draw)
            parts = {part: rows for part, rows in parts_of_draw(self.X.index, draw).items() if part != "oob"}
            fits.append((fitted, discriminate(values, self.y, parts)))
        self.seconds += time.process_time() - start
        rows, folds = [], []
        for fitted, areas in fits:
            lasso = fitted.named_steps["lasso"].document()
            kept = {
                "pruned": fitted.named_steps["spearman"].document()["kept"],
                "lasso": lasso["coefficients"],
                "selected": fitted[-1].document()["coefficients"],
            }
            rows.append({step: ";".join(names).replace("feature", "") for step, names in kept.items()} | areas)
            folds.append(lasso["fold_of"])
        return pd.DataFrame(rows, index=list(draws)), dict(zip(draws, folds, strict=True))

    def seconds_by_step(self, draws: list[np.ndarray]) -> dict[str, float]:
        """CPU seconds of each step's fit and transformation."""
        seconds = {}
        for draw in draws:
            table, y = self.X.iloc[draw], self.y.iloc[draw]
            for name, step in for_refits(self.protocol).steps:
                start = time.process_time()
                step.fit(table, y)
                table = step.transform(table) if hasattr(step, "transform") else table
                seconds[name] = seconds.get(name, 0.0) + time.process_time() - start
        return seconds


class Theirs:
    """R's refits at one threshold of glmnet, with the CPU seconds that they took, by step and in total."""

    def __init__(self, folder: Path, threshold: float):
        self.folder, self.threshold = folder, threshold
        self.seconds = pd.Series(dtype=float)

    def refit(self, draws: dict[int, np.ndarray], folds: dict[int, list[int]]) -> pd.DataFrame:
        """What was selected in each of these resamples, given their folds."""
        parts = [
            pd.DataFrame({"resample": number, "row": draw + 1, "fold": np.array(folds[number]) + 1})
            for number, draw in draws.items()
        ]
        pd.concat(parts).to_csv(self.folder / "resamples.csv", index=False)  # rows and folds as R counts them
        command = ["Rscript", Path(__file__).with_suffix(".R"), self.folder, self.threshold]
        subprocess.run([str(part) for part in command], check=True)
        self.seconds = self.seconds.add(pd.read_csv(self.folder / "r_seconds.csv").iloc[0], fill_value=0)
        table = pd.read_csv(self.folder / "r.csv", keep_default_na=False, dtype=dict.fromkeys(SETS, str))
        return table.set_index("resample")


def write_data(folder: Path, X: pd.DataFrame, y: pd.Series) -> None:
    """The data as R reads it, to the last bit."""
    clinical = X.columns.str.startswith("clinical")
    (folder / "shape.txt").write_text(f"{(~clinical).sum()} {clinical.sum()}\n")
    for name, table in (("features", X.loc[:, ~clinical]), ("clinical", X.loc[:, clinical]), ("outcome", y)):
        np.asarray(table, dtype="<f8").ravel(order="F").tofile(folder / f"{name}.bin")


def shares(seconds: dict[str, float], total: float) -> str:
    """Steps with their share of the whole."""
    return ", ".join(f"{name} {value / total:.0%}" for name, value in seconds.items())


def differs(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Whether the sets selected in a resample are not the same."""
    return ours.loc[theirs.index, SETS] != theirs[SETS]


def compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """In how many resamples both selected the same, and how far the AUCs are apart there."""
    same = ~differs(ours, theirs)
    apart = np.abs(ours.loc[theirs.index, AREAS] - theirs[AREAS])[same.all(axis=1)].to_numpy().max()
    counts = ", ".join(f"{step} {same[step].sum()}" for step in SETS)
    return f"of {len(theirs)} resamples identical: {counts}; all {same.all(axis=1).sum()}; AUCs differ by {apart:.1e}"


def main() -> None:
    """Refit in turns, compare, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=1000)
    total = parser.parse_args().resamples
    X, y = simulate()
    print(f"{len(X)} lesions of {PATIENTS} patients, {FEATURES} features, {int(y.sum())} events; {total} resamples")
    draws = dict(enumerate(patient_resamples(X.index, SEED, range(total))))
    ours, tables = Ours(X, y), {name: [] for name in ["nenflow", *THRESHOLDS]}
    ours.refit({0: draws[0]})  # compiles
    ours.seconds = 0.0
    with tempfile.TemporaryDirectory() as name:
        write_data(Path(name), X, y)
        theirs = {label: Theirs(Path(name), threshold) for label, threshold in THRESHOLDS.items()}
        for first in range(0, total, TURN):
            turn = {number: draws[number] for number in range(first, min(first + TURN, total))}
            table, folds = ours.refit(turn)
            tables["nenflow"].append(table)
            if not shutil.which("Rscript"):
                continue
            tables["default"].append(theirs["default"].refit(turn, folds))
            other = differs(table, tables["default"][-1]).any(axis=1)
            again = {number: draw for number, draw in turn.items() if other[number] or number % TIGHT == 0}
            tables["tight"].append(theirs["tight"].refit(again, folds))
    report(ours, theirs, {label: pd.concat(parts) for label, parts in tables.items() if parts}, draws)


def report(
    ours: Ours, theirs: dict[str, Theirs], tables: dict[str, pd.DataFrame], draws: dict[int, np.ndarray]
) -> None:
    """Print times, shares and how often the sets are the same; the ratio last."""
    some = list(draws.values())[:100]
    steps, start = ours.seconds_by_step(some), time.process_time()
    refit_resamples(ours.protocol, ours.X, ours.y, SEED, range(len(some)))
    whole, each = (time.process_time() - start) / len(some), ours.seconds / len(draws)
    sizes = tables["nenflow"][SETS].map(lambda names: len(names.split(";")) if names else 0).mean()
    print("mean number of features: " + ", ".join(f"{step} {size:.1f}" for step, size in sizes.items()))
    print(f"nenflow: {ours.seconds:.1f} s, {1000 * each:.1f} ms a refit; {shares(steps, sum(steps.values()))}")
    print(f"nenflow with curves and indexes, as the workflow refits: {1000 * whole:.1f} ms a refit")
    if len(tables) == 1:
        print("R was not found (Rscript); install r-base-core, r-cran-glmnet and r-cran-proc for the comparison.")
        return
    ratios = {}
    for label, side in theirs.items():
        total, refits = side.seconds["total"], len(tables[label])
        print(
            f"R, {label} threshold {side.threshold:g}: {total:.1f} s, {1000 * total / refits:.1f} ms a refit; ", end=""
        )
        print(shares(side.seconds.drop("total").sort_values(ascending=False).to_dict(), total))
        print(f"  {compare(tables['nenflow'], tables[label])}")
        ratios[label] = total / refits / each
        print(f"  R / nenflow: {ratios[label]:.1f}")
    print(f"{ratios['default']:.1f}")


if __name__ == "__main__":
    main()
