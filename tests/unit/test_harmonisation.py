import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neuroCombat import neuroCombat

from nenflow.documents import read_json, write_json
from nenflow.errors import InputError
from nenflow.models.harmonisation import ComBat

CLINICAL = ("site", "age", "sex")
R_DIGITS = 1e-10  # R's figures below are written with twelve digits
STOPPED = 1e-4  # sva and neuroCombat stop when estimates change by less than this share
ROUNDING = 1e-9
UNITS = ["patient", "region"]


def table(features, **clinical):
    n = len(features)
    index = pd.MultiIndex.from_arrays([[f"P{i:03d}" for i in range(n)], ["L1"] * n], names=UNITS)
    return pd.DataFrame(features, index=index).add_prefix("f").assign(**clinical)


def waves():
    """Fourteen lesions at three sites; R's figures below were computed with these."""
    i, j = np.meshgrid(np.arange(14), np.arange(5), indexing="ij")
    shift = (j + 1) * np.array([1, -2, 4])[i % 3]
    features = np.round(10 * np.sin(1.3 * i * (j + 1) + j) + shift + 0.1 * (i - 6) * j, 3)
    number = np.arange(14)
    return table(features, site=1.0 + number % 3, age=40.0 + 7 * number % 25)


def random_sites(seed, n=60, features=30, sites=3):
    rng = np.random.default_rng(seed)
    site = rng.permutation(np.arange(n) % sites)
    location, scale = rng.normal(size=(sites, features)), rng.uniform(0.5, 2, size=(sites, features))
    age, sex = rng.normal(60, 10, n), rng.integers(0, 2, n)
    values = rng.normal(size=(n, features)) * scale[site] + location[site] + 0.05 * age[:, None]
    return table(values, site=site + 1.0, age=age, sex=sex)


def harmonised(X, covariates=(), **options):
    step = ComBat("site", covariates, clinical=CLINICAL, **options).fit(X)
    return step.transform(X).filter(regex="^f")


# sva::ComBat of sva 3.46.0 in R 4.2.2, with the threshold of its iteration set to 1e-14; lesions 1, 2, 3 and 14.
SVA = {
    "plain": [
        [0.529250246565, 8.922044301029, 9.965784035586, 2.986637450563, -5.400001169573],
        [11.109411764115, -0.699447355813, 0.507365145365, 8.606826125704, -7.926314038002],
        [1.978115483026, -0.993837633043, -4.667277874435, 10.039031856825, -4.630930284412],
        [-4.16042990886, 1.95200262241, 10.87022348724, 11.85960671088, 7.15760827143],
    ],
    "age": [
        [0.535297283097, 7.944150970425, 9.664190409492, 3.063834311712, -5.162061805509],
        [11.671098691917, -0.780581465793, 0.511880232347, 8.850186870042, -8.096911223850],
        [1.58046183844, -1.71374403729, -4.80840433252, 9.59464962095, -4.74951370730],
        [-4.16469140539, 2.37149358359, 11.39439266995, 12.55024072155, 7.66627432760],
    ],
    "mean_only": [
        [0.479089848083, 9.286505442286, 10.381314339107, 3.071133925426, -5.475958891390],
        [15.591508460055, -0.246664937522, -0.851950210010, 9.906031996420, -10.626789264868],
        [-0.327914406342, -3.018814361595, -4.125189347630, 10.223083884348, -3.418822628789],
        [-3.33549153995, 2.97733506248, 11.78304978999, 14.06203199642, 8.07221073513],
    ],
}


@pytest.mark.parametrize(
    ("name", "covariates", "mean_only"), [("plain", (), False), ("age", ["age"], False), ("mean_only", ["age"], True)]
)
def test_harmonised_features_are_those_of_sva(name, covariates, mean_only):
    ours = harmonised(waves(), covariates, mean_only=mean_only).to_numpy()
    np.testing.assert_allclose(ours[[0, 1, 2, 13]], SVA[name], rtol=R_DIGITS)


@pytest.mark.parametrize("mean_only", [False, True])
@pytest.mark.parametrize("covariates", [[], ["age", "sex"]])
def test_harmonised_features_are_those_of_neurocombat(covariates, mean_only, capsys):
    X = random_sites(1)
    covars = X[["site", *covariates]].astype({"site": int})
    features = X.filter(regex="^f").to_numpy().T
    theirs = neuroCombat(features, covars, "site", continuous_cols=covariates, mean_only=mean_only)["data"].T
    np.testing.assert_allclose(harmonised(X, covariates, mean_only=mean_only), theirs, atol=STOPPED)


def test_the_document_alone_harmonises_new_rows_and_keeps_what_it_says(tmp_path):
    X = random_sites(2)
    step = ComBat("site", ["age"], clinical=CLINICAL).fit(X.iloc[:40])
    write_json(step.document(), tmp_path / "combat.json")
    loaded = ComBat.from_document(read_json(tmp_path / "combat.json"), CLINICAL)
    pd.testing.assert_frame_equal(loaded.transform(X.iloc[40:]), step.transform(X.iloc[40:]), check_exact=True)
    assert [entry["site"] for entry in loaded.document()["sites"]] == [1.0, 2.0, 3.0]
    assert sum(entry["n"] for entry in loaded.document()["sites"]) == 40
    assert list(step.transform(X).columns[-3:]) == ["f29", "age", "sex"]


def test_rows_to_be_scored_change_neither_the_fit_nor_each_other():
    X = random_sites(3)
    step = ComBat("site", ["age"], clinical=CLINICAL).fit(X.iloc[:40])
    together = step.transform(X.iloc[40:])
    alone = pd.concat([step.transform(X.iloc[[row]]) for row in range(40, 60)])
    pd.testing.assert_frame_equal(together, alone, check_exact=True)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), unit=st.floats(1e-3, 1e3), shift=st.floats(-100, 100))
def test_order_unit_and_origin_of_the_features_do_not_matter(seed, unit, shift):
    X = random_sites(seed, n=24, features=6)
    base = harmonised(X, ["age"])
    order = np.random.default_rng(seed).permutation(len(X))
    columns = [*reversed(base.columns), *CLINICAL]
    shuffled = harmonised(X.iloc[order][columns], ["age"])
    np.testing.assert_allclose(shuffled.loc[X.index, base.columns], base, rtol=ROUNDING, atol=ROUNDING)
    renamed = X.assign(site=X["site"].map({1.0: "north", 2.0: "east", 3.0: "south"}))
    np.testing.assert_allclose(harmonised(renamed, ["age"]), base, rtol=ROUNDING, atol=ROUNDING)
    scaled = X.copy()
    scaled[base.columns] = X[base.columns] * unit + shift
    expected = base * unit + shift
    np.testing.assert_allclose(harmonised(scaled, ["age"]), expected, rtol=ROUNDING, atol=ROUNDING * (1 + abs(shift)))


def test_what_sites_do_goes_and_what_a_covariate_does_stays():
    X = random_sites(4, n=600)
    measured, after = X.filter(regex="^f"), harmonised(X, ["age"])
    before, by_site = measured.groupby(X["site"]), after.groupby(X["site"])
    assert before.mean().std().median() > 0.5
    assert by_site.mean().std().max() < 0.15
    assert (before.std().max() / before.std().min()).median() > 1.5
    assert (by_site.std().max() / by_site.std().min()).max() < 1.2
    np.testing.assert_allclose([np.polyfit(X["age"], after[name], 1)[0] for name in after], 0.05, atol=0.02)


def test_sites_that_are_alike_stay_nearly_as_they_are():
    rng = np.random.default_rng(5)
    X = table(rng.normal(size=(400, 20)), site=np.arange(400) % 2 + 1.0, age=1.0, sex=0.0)
    moved = (harmonised(X) - X.filter(regex="^f")).abs()
    assert moved.max().max() < 0.3


def test_features_that_all_behave_alike_have_a_prior_without_spread():
    column = np.random.default_rng(6).normal(size=20) + np.repeat([0, 3], 10)
    X = table(np.column_stack([column] * 3), site=np.repeat([1.0, 2.0], 10))
    standard = (column - column.mean()) / np.sqrt(np.mean([column[:10].var(), column[10:].var()]))
    means, spreads = [standard[rows].mean() for rows in (slice(10), slice(10, 20))], []
    for rows, mean in zip((slice(10), slice(10, 20)), means, strict=True):
        spreads.append((standard[rows] - mean) / standard[rows].std(ddof=1))
    expected = np.concatenate(spreads) * np.sqrt(np.mean([column[:10].var(), column[10:].var()])) + column.mean()
    np.testing.assert_allclose(harmonised(X)["f0"], expected, rtol=ROUNDING)


@pytest.mark.parametrize("mean_only", [False, True])
def test_a_feature_without_variation_is_dropped_and_named(mean_only):
    X = random_sites(7)
    X["f3"] = 0.1
    X.loc[X["site"] == 2, "f5"] = 4.2
    X["f8"] = X["site"] * 2 + X["age"] / 3
    step = ComBat("site", ["age"], mean_only, clinical=CLINICAL).fit(X)
    assert step.document()["dropped"] == (["f3", "f8"] if mean_only else ["f3", "f5", "f8"])
    assert np.isfinite(step.transform(X).to_numpy()).all()
    assert "f3" not in step.transform(X)


def test_covariates_that_add_nothing_change_nothing():
    X = random_sites(8)
    extra = X.assign(sex=1.0)
    pd.testing.assert_frame_equal(harmonised(extra, ["age", "sex"]), harmonised(X, ["age"]), rtol=ROUNDING)
    twice = X.assign(sex=2 * X["age"] + 5)
    pd.testing.assert_frame_equal(harmonised(twice, ["age", "sex"]), harmonised(X, ["age"]), rtol=ROUNDING)


def test_a_new_site_is_refused_unless_the_study_says_what_to_do():
    X = random_sites(9, n=90)
    train, new = X[X["site"] < 3], X[X["site"] == 3]
    with pytest.raises(InputError, match=r"not fitted to site 3; .* estimate or unadjusted"):
        ComBat("site", clinical=CLINICAL).fit(train).transform(X)
    fitted = ComBat("site", new_site="unadjusted", clinical=CLINICAL).fit(train).transform(new)
    pd.testing.assert_frame_equal(fitted.filter(regex="^f"), new.filter(regex="^f"), rtol=ROUNDING)
    step = ComBat("site", ["age"], new_site="estimate", clinical=CLINICAL).fit(train)
    gap = step.transform(new).filter(regex="^f").mean() - step.transform(train).filter(regex="^f").mean()
    measured = new.filter(regex="^f").mean() - train.filter(regex="^f").mean()
    assert gap.abs().median() < 0.25 * measured.abs().median()
    known = step.transform(X)[X["site"] < 3]
    pd.testing.assert_frame_equal(known, step.transform(train), rtol=ROUNDING)


def test_a_new_site_is_estimated_as_if_it_had_been_there_from_the_beginning():
    X = random_sites(10)
    step = ComBat("site", ["age"], new_site="estimate", clinical=CLINICAL).fit(X)
    moved = X[X["site"] == 2].assign(site=7.0)
    expected = step.transform(X)[X["site"] == 2]
    pd.testing.assert_frame_equal(step.transform(moved), expected, rtol=ROUNDING)


def test_a_new_site_too_small_to_estimate_is_refused():
    X = random_sites(11)
    one = X.iloc[[0]].assign(site=9.0)
    with pytest.raises(InputError, match="site 9, which is new"):
        ComBat("site", new_site="estimate", clinical=CLINICAL).fit(X).transform(one)
    located = ComBat("site", mean_only=True, new_site="estimate", clinical=CLINICAL).fit(X).transform(one)
    assert np.isfinite(located.to_numpy()).all()


def without(X, name):
    return X.drop(columns=name)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda X: X.assign(site=1.0), {}, "All rows have the same site"),
        (lambda X: X.assign(site=np.where(np.arange(len(X)) == 0, 9.0, X["site"])), {}, "site 9 from one row"),
        (lambda X: X.assign(site=X["site"].where(X["site"] > 1)), {}, "no value of 'site'"),
        (lambda X: X.assign(f2=np.nan), {}, "f2"),
        (lambda X: X.assign(age=np.nan), {"covariates": ["age"]}, "age"),
        (lambda X: without(X, "site"), {}, "'site' among the clinical variables"),
        (lambda X: X, {"covariates": ["f1"]}, "'f1' among the clinical variables"),
        (lambda X: X, {"covariates": ["site"]}, "cannot both remove and keep"),
        (lambda X: X, {"new_site": "guess"}, "refuse, unadjusted or estimate"),
        (lambda X: X.assign(sex=(X["site"] == 2) * 1.0), {"covariates": ["age", "sex"]}, "nothing else apart"),
        (lambda X: X.iloc[:4].assign(site=[1.0, 1, 2, 2]), {"covariates": ["age", "sex"]}, "4 rows"),
        (lambda X: X[["f0", *CLINICAL]], {}, "only 1 of 1"),
        (lambda X: X.assign(**{f"f{j}": 1.0 for j in range(1, 30)}), {}, "only 1 of 30"),
    ],
)
def test_what_cannot_be_harmonised_is_refused(change, options, message):
    X = change(random_sites(12))
    with pytest.raises(InputError, match=message):
        ComBat("site", clinical=CLINICAL, **options).fit(X)


def test_a_site_of_one_row_has_a_location():
    X = random_sites(13)
    X = X.assign(site=np.where(np.arange(len(X)) == 0, 9.0, X["site"]))
    assert np.isfinite(harmonised(X, mean_only=True).to_numpy()).all()


def test_rows_without_a_site_are_refused_when_scored():
    X = random_sites(14)
    step = ComBat("site", clinical=CLINICAL).fit(X)
    with pytest.raises(InputError, match="lacks 'site'"):
        step.transform(without(X, "site"))
    with pytest.raises(InputError, match="lacks 1 variable"):
        step.transform(without(X, "f4"))
