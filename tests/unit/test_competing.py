import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nenflow.errors import InputError
from nenflow.evaluation.competing import cumulative_incidence, fine_gray, gray_test
from nenflow.evaluation.survival import kaplan_meier
from nenflow.models.cox import fit_cox

# 48 simulated units in three groups of 16; the R figures below (R 4.2.2, cmprsk 2.2-11, survival 3.5-3) are on them.
# fmt: off
TIMES = {
    "untied": [5.231, 0.498, 1.391, 2.049, 9.626, 1.732, 11.176, 8.096, 4.599, 6.988, 1.521, 6.081, 3.12, 1.007, 4.52,
               5.08, 2.756, 0.617, 0.209, 10.62, 4.307, 1.243, 5.555, 8.257, 1.931, 7.882, 1.218, 8.454, 2.575, 6.375,
               0.672, 1.215, 3.995, 2.852, 4.47, 2.117, 2.384, 1.758, 0.514, 1.654, 0.216, 2.359, 6.494, 0.762, 5.616,
               2.476, 4.977, 8.655],
    "tied": [5, 1, 1, 2, 10, 2, 11, 8, 5, 7, 2, 6, 3, 1, 5, 5, 3, 1, 1, 11, 4, 1, 6, 8, 2, 8, 1, 8, 3, 6, 1, 1, 4, 3, 4,
             2, 2, 2, 1, 2, 1, 2, 6, 1, 6, 2, 5, 9],
}
EVENT = [0, 1, 2, 1, 0, 0, 0, 1, 0, 1, 2, 2, 2, 1, 0, 0, 1, 1, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 2, 1,
         2, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1]
MARKER = [-0.7, -0.2, 1.7, 0.7, -1.6, 0.0, -0.6, 0.1, -1.6, 0.2, 0.2, 1.6, 0.3, 0.5, -1.5, 2.3, -1.9, 1.1, -0.3, -0.9,
          -0.7, -0.7, 0.4, -0.1, 1.5, -1.8, 0.0, -0.9, 0.8, -2.1, -0.3, 0.2, -1.5, 1.0, 0.2, 1.0, 1.0, -1.0, -0.8,
          -0.2, 0.7, 0.9, -0.7, -0.6, -0.8, -0.6, -0.2, -0.1]
# fmt: on
GROUP = np.repeat([0, 1, 2], 16)
X = np.column_stack([MARKER, GROUP == 1, GROUP == 2]).astype(float)

units = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([0, 1, 2])), min_size=1, max_size=30)


def _columns(rows):
    return (np.array(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("times", "until", "first", "second", "errors"),
    [
        ("untied", 5, 0.395126190030043, 0.136786497562869, (0.0760278188773770, 0.0521331187197321)),
        ("untied", 10, 0.640633208986414, 0.170221305591946, (0.0906335402024057, 0.0597557732708588)),
        ("tied", 5, 0.389495920745921, 0.133012820512821, (0.0751257595047019, 0.0507796945843226)),
        ("tied", 10, 0.633925969863470, 0.167119338994339, (0.0915512392512516, 0.0590098065672563)),
    ],
)
def test_incidence_is_that_of_cmprsk_and_its_error_that_of_survfit(times, until, first, second, errors):
    for cause, share, error in zip((1, 2), (first, second), errors, strict=True):
        curve = cumulative_incidence(TIMES[times], EVENT, cause=cause)
        last = curve[curve["time"] <= until].iloc[-1]
        assert last["incidence"] == pytest.approx(share, rel=1e-12)
        assert last["se"] == pytest.approx(error, rel=1e-12)
        assert last["low"] < share < last["high"]


def test_incidence_by_group():
    curve = cumulative_incidence(TIMES["tied"], EVENT, GROUP)
    at_four = curve[curve["time"] <= 4].groupby("group")["incidence"].last()
    assert at_four.tolist() == pytest.approx([0.1875, 0.4375, 0.5])


@settings(max_examples=50)
@given(units)
def test_causes_and_survival_add_up_to_one(rows):
    time, event = _columns(rows)
    first, second = (cumulative_incidence(time, event, cause=cause) for cause in (1, 2))
    survival = kaplan_meier(time, (event > 0).astype(int))["survival"]
    assert (first["incidence"] + second["incidence"] + survival).tolist() == pytest.approx([1.0] * len(survival))


@settings(max_examples=50)
@given(units)
def test_without_competing_events_it_is_kaplan_meier(rows):
    time, event = _columns(rows)
    event = np.minimum(event, 1)
    mine, curve = cumulative_incidence(time, event), kaplan_meier(time, event, "log-log")
    assert mine["incidence"].tolist() == pytest.approx((1 - curve["survival"]).tolist())
    alive = curve["survival"] > 0
    assert mine["se"][alive].tolist() == pytest.approx(curve["se"][alive].tolist(), abs=1e-12)


GRAY = [
    ("untied", 1, GROUP, 5.12832755698425, 0.076983529816722),
    ("tied", 1, GROUP, 5.57634693301818, 0.0615335043391595),
    ("untied", 2, GROUP, 2.03187078772072, 0.362063599319341),
    ("tied", 2, GROUP, 2.09795221798312, 0.3502962307177132),
    ("untied", 1, GROUP == 2, 4.262963188027608, 0.0389519196825348),
    ("tied", 1, GROUP == 2, 4.761536377487992, 0.0291025595444525),
    ("untied", 2, GROUP == 2, 0.131938276270418, 0.7164307724266304),
    ("tied", 2, GROUP == 2, 0.124436141682444, 0.7242720675627672),
]


@pytest.mark.parametrize(("times", "cause", "group", "chi2", "p"), GRAY)
def test_gray_as_cmprsk(times, cause, group, chi2, p):
    found = gray_test(TIMES[times], EVENT, group, cause)
    assert found["chi2"] == pytest.approx(chi2, rel=1e-9)
    assert found["p"] == pytest.approx(p, rel=1e-9)
    assert found["df"] == len(np.unique(group)) - 1


def test_gray_does_not_care_for_order_scale_and_labels():
    order = np.random.default_rng(2).permutation(48)
    names = np.array(["c", "a", "b"])[GROUP]
    found = gray_test(12 * np.array(TIMES["tied"])[order], np.array(EVENT)[order], names[order])
    assert found == pytest.approx(gray_test(TIMES["tied"], EVENT, GROUP))


def test_a_group_without_anybody_to_compare_with_changes_nothing():
    time, event, group = [1, 2, 3, 1, 2, 4, 0.5], [1, 1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1, 2]
    assert gray_test(time, event, group) == pytest.approx(gray_test(time[:-1], event[:-1], group[:-1]))


def test_fine_gray_as_crr():
    fit = fine_gray(X, TIMES["untied"], EVENT)
    assert fit.coef == pytest.approx([0.168357997794575, 0.728032205107587, 1.197559501931238], rel=1e-9)
    assert fit.se == pytest.approx([0.206010886433293, 0.624633646076889, 0.528134042293814], rel=1e-9)
    assert fit.log_likelihood == pytest.approx(-73.2837498436578)
    assert fit.null_log_likelihood == pytest.approx(-75.9744875776639)
    assert (fit.n, fit.events, fit.competing) == (48, 23, 7)
    incidence = fit.incidence([[0.5, 1, 0]], [0.1, 0.672, 2.049, 8.655])[0]
    assert incidence == pytest.approx([0, 0.111410841047535, 0.227608892777325, 0.700332919673896], rel=1e-9)
    other = fine_gray(X, TIMES["untied"], EVENT, cause=2)
    assert other.coef == pytest.approx([0.587494124619124, -1.034413603578353, -0.545614584878737], rel=1e-6)
    assert other.se == pytest.approx([0.319422433396840, 1.096264240364524, 0.768752984740793], rel=1e-6)


def test_fine_gray_with_ties_as_finegray():
    fit = fine_gray(X, TIMES["tied"], EVENT)
    assert fit.coef == pytest.approx([0.166078401642604, 0.670145616436899, 1.161657632167875], rel=1e-9)
    assert fit.log_likelihood == pytest.approx(-74.8631735361087)


def test_without_competing_events_fine_gray_is_cox():
    event = np.minimum(EVENT, 1)
    mine = fine_gray(X, TIMES["tied"], event)
    theirs = fit_cox(X, np.array(TIMES["tied"], float), event, ties="breslow", clusters=np.arange(48))
    assert mine.coef == pytest.approx(theirs.coef, rel=1e-8)
    assert mine.se == pytest.approx(theirs.se, rel=1e-8)


def test_shift_and_scale_of_variables():
    first, second = (fine_gray(values, TIMES["tied"], EVENT) for values in (X, 100 * X + 1000))
    assert 100 * second.coef == pytest.approx(first.coef)
    assert second.p == pytest.approx(first.p)
    assert second.incidence(100 * X + 1000, [5]) == pytest.approx(first.incidence(X, [5]))


@pytest.mark.parametrize(
    ("variables", "event", "message"),
    [
        (np.ones((48, 1)), EVENT, "constant or a combination"),
        (np.column_stack([X, X[:, 0] - X[:, 1]]), EVENT, "constant or a combination"),
        (np.random.default_rng(0).normal(size=(48, 60)), EVENT, "constant or a combination"),
        (np.where(X == 0.1, np.nan, X), EVENT, "missing values"),
        (X, [0, 2] * 24, "Nobody had the event"),
        ((np.array(EVENT) == 1)[:, None].astype(float), EVENT, "no finite estimate"),
    ],
)
def test_models_that_cannot_be_fitted_are_refused(variables, event, message):
    with pytest.raises(InputError, match=message):
        fine_gray(variables, TIMES["tied"], event)


@pytest.mark.parametrize(
    ("event", "group", "message"),
    [
        (EVENT, np.zeros(48), "same group"),
        (EVENT, np.where(GROUP == 2, np.nan, GROUP), "has no group"),
        ([0, 2] * 24, GROUP, "Nobody had the event"),
        ([0, 3] * 24, GROUP, "neither 0"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(event, group, message):
    with pytest.raises(InputError, match=message):
        gray_test(TIMES["tied"], event, group)
