"""ComBat: features of several sites (scanners, protocols) brought to one location and scale, by what training rows say.

Johnson, Li & Rabinovic 2007 (Biostatistics 8:118) for the model and its parametric empirical Bayes estimates; Fortin et
al. 2018 (NeuroImage 167:104) for its use on imaging features with covariates whose effects are kept.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import TransformerMixin

from nenflow.documents import plain
from nenflow.errors import InputError
from nenflow.models.base import values_of
from nenflow.models.step import Step

REFUSE, UNADJUSTED, ESTIMATE = "refuse", "unadjusted", "estimate"
_EXPLAINED = 1e-9  # what site and covariates leave unexplained is rounding below this share of the standard deviation
_CONVERGED = 1e-12  # relative change of the site variances
_ROUNDS = 10_000  # a guard only; the estimates settle in 5 to 50 rounds


class ComBat(TransformerMixin, Step):
    """Remove what a site does to the location and scale of the features, and keep what the covariates do to them.

    Of the rows fitted to: each feature is a mean, plus covariate effects, plus a site's location, plus noise times a
    site's scale. Locations and scales of a site are shrunk to what is common to all features at that site. The outcome
    is never a covariate, since new patients have none; so a site whose patients really differ in what the features
    measure loses that difference unless a covariate tells it.

    The step stands before `zscore`. It passes the clinical variables on without the one that names the site.

    Agrees with R's sva::ComBat (parametric), with three differences. Estimates are iterated until they stand (relative
    change 1e-12), where sva stops at 1e-4 and so is off in about the fifth digit. A feature without variation at one of
    the sites is dropped and named, where sva passes it on unadjusted, which would smuggle the site into a model. A site
    with one row is refused, where sva gives up the scales of all sites. With `mean_only`, as in sva, a location is
    shrunk as if its site had one row.

    Args:
        batch: the clinical variable that names the site.
        covariates: clinical variables whose effect is kept. They enter as numbers, a category by its code: right for
            two levels; for more, give columns coded 0 and 1.
        mean_only: adjust locations, not scales; for sites too small to tell a scale.
        new_site: what happens to rows of a site that was not in training. "refuse" them; leave them "unadjusted"
            (location 0, scale 1: the measured values); or "estimate" the site's location and scale from the features
            and covariates of all its rows in the same table, with training's means, effects and variances. Only under
            "estimate" do a row's values depend on other rows, and a site needs two of them (one with `mean_only`).
        clinical: columns that are no image features.

    Document: the options; per feature centre (mean at covariates 0), scale (pooled standard deviation with n) and
    effects (by covariate); per site its name, n, location and variance by feature, in units of scale; dropped
    (features without variation at a site, or that site and covariates explain completely).
    """

    def __init__(
        self,
        batch: str = "site",
        covariates: Sequence[str] = (),
        mean_only: bool = False,
        new_site: str = REFUSE,
        clinical: Sequence[str] = (),
    ):
        self.batch = batch
        self.covariates = covariates
        self.mean_only = mean_only
        self.new_site = new_site
        self.clinical = clinical

    def fit(self, X: pd.DataFrame, y: pd.Series | None = None) -> Self:
        """Estimate means, effects and sites from X (index patient, region); y is not used.

        Raises:
            InputError: an option is unknown; site or covariates are no clinical variables or have missing values; there
                is one site only, or a site is too small; sites and covariates say the same; no feature is left.
        """
        self._check_options(X)
        names, sites = self._features(X), _sites(X, self.batch)
        values, covariates = values_of(X, names), values_of(X, list(self.covariates))
        labels, codes = np.unique(sites, return_inverse=True)
        _check_sites(labels, codes, self.batch, self.mean_only)
        effects, residual = _effects(values, covariates, codes, self.batch)
        spread = np.sqrt((residual**2).mean(axis=0))
        kept = _usable(values, spread, codes, self.mean_only)
        centre = values.mean(axis=0) - covariates.mean(axis=0) @ effects
        scores = (values - _expected(centre, covariates, effects))[:, kept] / spread[kept]
        found = [_site_effect(scores[codes == code], self.mean_only) for code in range(len(labels))]

        def by_feature(numbers: np.ndarray) -> dict[str, float]:
            return dict(zip(np.array(names)[kept], numbers, strict=True))

        options = {name: getattr(self, name) for name in ("batch", "mean_only", "new_site")}
        self.document_ = plain(
            {
                **options,
                "covariates": list(self.covariates),
                "centre": by_feature(centre[kept]),
                "scale": by_feature(spread[kept]),
                "effects": {name: by_feature(row[kept]) for name, row in zip(self.covariates, effects, strict=True)},
                "sites": [
                    {"site": site, "n": n, "location": by_feature(location), "variance": by_feature(variance)}
                    for site, n, (location, variance) in zip(labels, np.bincount(codes), found, strict=True)
                ],
                "dropped": list(np.array(names)[~kept]),
            }
        )
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Harmonised features, then the clinical variables without the site.

        Raises:
            InputError: a value is missing, or a site is new and `new_site` refuses it or cannot estimate it.
        """
        document = self.document()
        features, covariates = list(document["centre"]), document["covariates"]
        sites = _sites(X, self.batch)
        effects = [np.array(list(document["effects"][name].values())) for name in covariates]
        expected = _expected(np.array(list(document["centre"].values())), values_of(X, covariates), effects)
        scale = np.array(list(document["scale"].values()))
        scores = (values_of(X, features) - expected) / scale
        known = {entry["site"]: entry for entry in document["sites"]}
        for site in np.unique(sites):
            rows = sites == site
            location, variance = self._known(known[site]) if site in known else self._new(site, scores[rows])
            scores[rows] = (scores[rows] - location) / np.sqrt(variance)
        return self._with_clinical(scores * scale + expected, features, X.drop(columns=self.batch))

    def _check_options(self, X: pd.DataFrame) -> None:
        if self.new_site not in (REFUSE, UNADJUSTED, ESTIMATE):
            raise InputError(
                f"ComBat's new_site is '{self.new_site}'; it must be {REFUSE}, {UNADJUSTED} or {ESTIMATE}."
            )
        for name in (self.batch, *self.covariates):
            if name not in X.columns or name not in self.clinical:
                raise InputError(f"ComBat needs '{name}' among the clinical variables of the model; add it there.")
        if self.batch in self.covariates:
            raise InputError(f"ComBat cannot both remove and keep what '{self.batch}' does; take it from covariates.")

    @staticmethod
    def _known(entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        return np.array(list(entry["location"].values())), np.array(list(entry["variance"].values()))

    def _new(self, site: Any, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Location and variance of a site that was not in training."""
        if self.new_site == UNADJUSTED:
            return np.zeros(scores.shape[1]), np.ones(scores.shape[1])
        if self.new_site == REFUSE:
            raise InputError(
                f"ComBat was not fitted to {_called(site, self.batch)}; fit it with patients of that site, or set "
                f"new_site to {ESTIMATE} or {UNADJUSTED}."
            )
        if not self.mean_only and not np.ptp(scores, axis=0).any():
            raise InputError(
                f"The rows of {_called(site, self.batch)}, which is new to ComBat, are one or all alike; its scale "
                f"needs two that differ, so set mean_only, or new_site to {UNADJUSTED}."
            )
        return _site_effect(scores, self.mean_only)


def _sites(X: pd.DataFrame, batch: str) -> np.ndarray:
    if batch not in X.columns:
        raise InputError(f"The table lacks '{batch}', which names the site of each row for ComBat.")
    if X[batch].isna().any():
        raise InputError(f"{X[batch].isna().sum()} row(s) have no value of '{batch}'; ComBat needs the site of each.")
    return X[batch].to_numpy()


def _called(site: Any, batch: str) -> str:
    return f"{batch} {site:g}" if isinstance(site, float) else f"{batch} {site}"


def _check_sites(labels: np.ndarray, codes: np.ndarray, batch: str, mean_only: bool) -> None:
    if len(labels) < 2:
        raise InputError(f"All rows have the same {batch}; ComBat has nothing to harmonise, so leave the step out.")
    sizes = np.bincount(codes)
    if not mean_only and sizes.min() < 2:
        raise InputError(
            f"ComBat cannot tell the scale of {_called(labels[sizes.argmin()], batch)} from one row; merge that site "
            "with a similar one, or set mean_only."
        )


def _effects(
    values: np.ndarray, covariates: np.ndarray, codes: np.ndarray, batch: str
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares effects of the covariates beside the sites, (covariates, features), and residuals (n, features).

    A covariate that is constant or a combination of others takes nothing from the fit.
    """
    n = len(values)
    unit = covariates.std(axis=0)
    unit = np.where(np.ptp(covariates, axis=0) > 0, unit, 1)
    overall, within = covariates - covariates.mean(axis=0), _within(covariates, codes)
    rank = _rank(within / unit)
    if rank < _rank(overall / unit):
        raise InputError(
            f"The covariates of ComBat tell {batch} and nothing else apart; what the site does cannot be told from "
            "what they do, so take one of them out."
        )
    if n - len(np.unique(codes)) - rank < 1:
        raise InputError(f"ComBat has {n} rows for its sites and covariates; it needs more of them.")
    centred = _within(values, codes)
    effects = np.linalg.lstsq(within / unit, centred, rcond=_EXPLAINED)[0] / unit[:, None]
    return effects, centred - within @ effects


def _expected(centre: np.ndarray, covariates: np.ndarray, effects: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of each feature given the covariates, added up one by one: a row's value depends on no other row."""
    expected = np.tile(centre, (len(covariates), 1))
    for column, effect in zip(covariates.T, effects, strict=True):
        expected += column[:, None] * effect
    return expected


def _usable(values: np.ndarray, spread: np.ndarray, codes: np.ndarray, mean_only: bool) -> np.ndarray:
    """Whether each feature varies beside sites and covariates and, where scales are wanted, at every site."""
    kept = (np.ptp(values, axis=0) > 0) & (spread > _EXPLAINED * values.std(axis=0))
    if not mean_only:
        kept &= np.all([np.ptp(values[codes == code], axis=0) > 0 for code in range(codes.max() + 1)], axis=0)
    if kept.sum() < 2:
        raise InputError(
            f"ComBat learns what a site does from many features, and only {kept.sum()} of {len(kept)} vary at every "
            "site; merge small sites or leave the step out."
        )
    return kept


def _within(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Values less the mean of their site."""
    means = np.array([values[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    return values - means[codes]


def _rank(columns: np.ndarray) -> int:
    """Rank of columns in units of their standard deviation; what is smaller than rounding of those counts as zero."""
    return int((np.linalg.svd(columns, compute_uv=False) > _EXPLAINED * np.sqrt(len(columns))).sum())


def _site_effect(scores: np.ndarray, mean_only: bool) -> tuple[np.ndarray, np.ndarray]:
    """Posterior location and variance of each feature at one site (Johnson 2007, section 3, equations 3.1 and 3.2).

    Prior: normal for locations, inverse gamma for variances, their parameters by the moments over the features.
    """
    n, mean = len(scores), scores.mean(axis=0)
    prior_mean, prior_variance = mean.mean(), mean.var(ddof=1)
    if mean_only:  # one row, variance 1: sva's rule, kept for the sake of equal figures
        return (prior_variance * mean + prior_mean) / (prior_variance + 1), np.ones(len(mean))
    variance = scores.var(axis=0, ddof=1)
    moment, doubt = variance.mean(), variance.var(ddof=1)
    found = variance
    for _ in range(_ROUNDS):
        # Written without division by the priors' spread, which is 0 where all features behave alike.
        location = (n * prior_variance * mean + found * prior_mean) / (n * prior_variance + found)
        squares = (n - 1) * variance + n * (mean - location) ** 2
        last = found
        found = (doubt * squares / 2 + moment * doubt + moment**3) / (doubt * (n / 2 + 1) + moment**2)
        if np.all(np.abs(found - last) <= _CONVERGED * last):
            break
    return location, found
