"""Tests of a batch against the calibration rows: against scipy, their level, and what they find."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.decisions.calibration import Calibration
from vae_anomaly.decisions.drift.two_sample import (
    alerts_moved,
    holm,
    levels_moved,
    missing_moved,
    scores_moved,
    values_moved,
)
from vae_anomaly.decisions.sorted_scores import SortedScores
from vae_anomaly.errors import DataError, SpecificationError

TIED = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=30).map(np.array)


def keeps_its_level(p, levels=(0.01, 0.05, 0.2)):
    p = np.array(p)
    return all((p <= a).mean() <= a + 3 * math.sqrt(a * (1 - a) / len(p)) for a in levels)


def moved(reference, new):
    return scores_moved(Calibration.of("split", [reference]), np.asarray(new)[:, None])


@given(TIED, TIED)
def test_scores_are_compared_as_scipy_does(reference, new):
    shift = moved(reference, new)
    expected = stats.ks_2samp(reference, new, method="exact")
    assert shift.distance == pytest.approx(expected.statistic)
    assert shift.p_value == pytest.approx(expected.pvalue)
    assert (shift.n_rows, shift.n_reference) == (len(new), len(reference))
    assert shift.median == pytest.approx(np.median(new))
    assert shift.reference_median == pytest.approx(np.median(reference))


def test_many_scores_are_compared_by_the_limiting_law():
    random = np.random.default_rng(0)
    reference, new = random.normal(size=5_000), random.normal(0.05, 1, size=4_000)
    expected = stats.ks_2samp(reference, new, method="asymp")
    assert moved(reference, new).p_value == pytest.approx(expected.pvalue, rel=0.1)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (300, 20), (500, 5)])
def test_scores_of_one_law_rarely_seem_to_move(n, m):
    random = np.random.default_rng(n + m)
    assert keeps_its_level([moved(random.normal(size=n), random.normal(size=m)).p_value for _ in range(300)])


def test_scores_that_move_by_half_a_deviation_are_found():
    random = np.random.default_rng(0)
    reference = random.normal(size=1_000)
    p = [moved(reference, random.normal(0.5, 1, 200)).p_value for _ in range(50)]
    assert np.mean(np.array(p) <= 0.01) > 0.95
    assert "The median score is 0.4" in moved(reference, random.normal(0.5, 0.01, 200) - 0.1).sentence()


def test_folds_are_compared_with_the_scores_by_their_own_members():
    random = np.random.default_rng(0)
    folds = [random.normal(0, 1, 300), random.normal(5, 1, 300)]
    calibration = Calibration.of("cross", folds)
    new = random.normal(0, 1, (200, 2)) + np.array([0, 5])
    assert scores_moved(calibration, new).p_value > 0.05
    shift = scores_moved(calibration, new + np.array([0, 1]))
    assert shift.p_value == pytest.approx(2 * stats.ks_2samp(folds[1], new[:, 1] + 1, method="asymp").pvalue, rel=0.1)
    assert shift.reference_median == pytest.approx(5, abs=0.2)
    assert shift.n_reference == 600


def test_rows_that_were_fitted_are_nothing_to_compare_with():
    with pytest.raises(SpecificationError, match="this model has none: fit it with calibration='auto'"):
        scores_moved(Calibration.of("training", [np.arange(9.0)]), np.zeros((3, 1)))


def test_alerts_by_hand():
    # With one calibration row, each number of alerts among m rows is as likely: 1 / (m + 1).
    shift = alerts_moved(3, 3, 1, 1)
    assert (shift.expected, shift.p_value) == (1.5, pytest.approx(0.5))
    assert alerts_moved(0, 3, 1, 1).p_value == pytest.approx(0.5)
    assert alerts_moved(10, 1_000, 10, 999).p_value > 0.9
    law = stats.betabinom(500, 20, 980)
    assert alerts_moved(25, 500, 20, 999).p_value == pytest.approx(2 * law.sf(24))
    assert alerts_moved(2, 500, 20, 999).p_value == pytest.approx(2 * law.cdf(2))


def test_alerts_of_normal_rows_rarely_seem_too_many_or_too_few():
    random = np.random.default_rng(0)
    scores, new = random.random((1_000, 200)), random.random((1_000, 100))
    n_alerts = (new > np.sort(scores)[:, -10, None]).sum(axis=1)
    assert keeps_its_level([alerts_moved(int(one), 100, 10, 200).p_value for one in n_alerts])


def test_values_move_in_the_unit_of_the_column():
    random = np.random.default_rng(0)
    ages = random.normal(40, 10, 1_000)
    shift = values_moved("age", SortedScores.of(ages), np.append(random.normal(45, 10, 300), np.nan))
    assert shift.p_value < 1e-6
    assert shift.before == pytest.approx(np.median(ages))
    assert shift.now == pytest.approx(45, abs=2)
    assert shift.sentence().startswith("'age': median 39.25 -> 45.59 (p = ")


def test_levels_by_hand_are_those_of_the_chi_square_test():
    shift = levels_moved("site", {"a": 60, "b": 40}, {"a": 20, "b": 30})
    expected = stats.chi2_contingency([[60, 40], [20, 30]], correction=False)
    assert shift.p_value == pytest.approx(expected.pvalue)
    assert (shift.level, shift.before, shift.now, shift.n_unseen) == ("a", 0.6, 0.4, 0)


def test_rare_levels_are_one_class_of_fishers_test():
    shift = levels_moved("site", {"a": 500, "b": 500}, {"a": 51, "b": 47, "new": 2})
    rare = stats.fisher_exact([[0, 1_000], [2, 98]]).pvalue
    assert shift.p_value == pytest.approx(2 * rare)
    assert (shift.level, shift.n_unseen) == ("b", 2)
    assert levels_moved("site", {"a": 9}, {"a": 3}).p_value == 1


@pytest.mark.parametrize("n_levels", [2, 10, 2_000])
def test_levels_of_one_law_rarely_seem_to_move_also_where_many_are_new(n_levels):
    random = np.random.default_rng(n_levels)
    probabilities = 1 / np.arange(1, n_levels + 1)
    probabilities /= probabilities.sum()
    p, n_unseen = [], []
    for _ in range(100):
        before, now = (
            {str(level): int(n) for level, n in enumerate(random.multinomial(size, probabilities)) if n}
            for size in (1_000, 100)
        )
        shift = levels_moved("site", before, now)
        p.append(shift.p_value)
        n_unseen.append(shift.n_unseen)
    assert keeps_its_level(p)
    assert (np.mean(n_unseen) > 10) == (n_levels == 2_000)


def test_new_level_is_found_and_named():
    shift = levels_moved("site", {"a": 500, "b": 480, "c": 20}, {"a": 45, "b": 45, "new": 10})
    assert shift.p_value < 1e-3
    assert shift.sentence().startswith("'site': level 'new' 0 % -> 10 %, 10 cells with levels not seen before")


def test_missing_share_by_hand_is_fishers_test():
    shift = missing_moved("age", 50, 1_000, 22, 200)
    assert shift.p_value == pytest.approx(stats.fisher_exact([[50, 950], [22, 178]]).pvalue)
    assert (shift.before, shift.now) == (0.05, 0.11)
    assert missing_moved("age", 0, 10, 0, 5).p_value == 1


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_values_fall_in_order_and_are_never_smaller(p):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1)).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_holms_values_by_hand():
    assert holm([0.04, 0.01, 0.9, 0.02]) == pytest.approx([0.08, 0.04, 0.9, 0.06])


def test_nothing_cannot_be_compared():
    empty, some = SortedScores.of([]), SortedScores.of([1.0])
    for compare in (
        lambda: moved([1.0], []),
        lambda: values_moved("age", empty, [1.0]),
        lambda: values_moved("age", some, [np.nan]),
        lambda: levels_moved("site", {"a": 1}, {}),
        lambda: missing_moved("age", 0, 0, 1, 2),
    ):
        with pytest.raises(DataError, match="both samples need one"):
            compare()
