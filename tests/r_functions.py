"""Functions for R, run by R itself: where it is not installed, such tests are skipped and say so."""

import shutil
import subprocess

import pandas as pd
import pytest

needs_r = pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R (Debian: apt-get install r-base-core)")
# Sums of some twenty terms in another order, and R's own reading of 17 digits; scores are rounded to 9 decimals.
SAME_IN_R = 1e-9


def run_r(function, name, patients, folder):
    """What the function predict_<name> of a text gives for a table, or in words what R refuses."""
    (folder / "predict.R").write_text(function, encoding="utf-8")
    patients.to_csv(folder / "patients.csv", index=False)
    script = f"""source("predict.R", encoding = "UTF-8")
        found <- predict_{name}(read.csv("patients.csv", check.names = FALSE))
        write.csv(format(found, digits = 17), "found.csv", row.names = FALSE)"""
    command = ["Rscript", "--vanilla", "-e", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return pd.read_csv(folder / "found.csv") if done.returncode == 0 else done.stderr


def labelled(X, variables):
    """A table whose levels are coded 1, 2, 3, as the study's tables spell them."""
    levels = {name: variable["levels"] for name, variable in variables.items() if "levels" in variable}
    return X.assign(**{name: [of[int(code) - 1] for code in X[name]] for name, of in levels.items() if name in X})
