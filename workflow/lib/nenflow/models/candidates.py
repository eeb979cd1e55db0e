"""Effects on a common scale: what each candidate's ratio is per standard deviation, and which sizes are excluded."""

import numpy as np
import pandas as pd

from nenflow.multiplicity import adjust


def candidates_table(X: pd.DataFrame, univariable: pd.DataFrame) -> pd.DataFrame:
    """Ratio per standard deviation of each candidate alone, and its p corrected for the number of candidates.

    A ratio per mL or per unit of SUV cannot be compared with another; per standard deviation it can, and its interval
    says which effects the study could have excluded (Hoenig & Heisey 2001, Am Stat 55:19: after the fact an interval
    answers this, and power does not).

    Args:
        X: the candidates, a column each.
        univariable: as `univariable_table` gives it for them.

    Returns:
        variable, sd (of the known values), ratio, low and high (per SD; the univariable interval on this scale), term,
        p (of the term) and p_holm (corrected for the number of terms; Holm 1979, Scand J Stat 6:65).
    """
    sd = X.std(ddof=1).loc[univariable["variable"]].to_numpy()
    first = "hazard_ratio" if "hazard_ratio" in univariable else "odds_ratio"
    with np.errstate(over="ignore"):
        per_sd = {
            name: univariable[column].to_numpy(dtype=float) ** sd
            for name, column in (("ratio", first), ("low", "low"), ("high", "high"))
        }
    terms = univariable.drop_duplicates("term")
    corrected = dict(zip(terms["term"], adjust(terms["term_p"].to_numpy(dtype=float), "holm"), strict=True))
    return pd.DataFrame(
        {"variable": univariable["variable"], "sd": sd, **per_sd, "term": univariable["term"]}
        | {"p": univariable["term_p"], "p_holm": univariable["term"].map(corrected)}
    )
