"""Offsets: exactly the asked share below, or a threshold that the data sets itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decisions.thresholds import contamination_offset, robust_offset

SCORES = st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=60, unique=True).map(np.array)


@given(SCORES, st.data())
def test_share_of_whole_rows_is_below_exactly(scores, data):
    n_flagged = data.draw(st.integers(1, max(1, len(scores) // 2)))
    offset = contamination_offset(scores, n_flagged / len(scores))
    assert (scores < offset).sum() == n_flagged


@given(SCORES, st.floats(0.001, 0.5))
def test_share_is_rounded_to_the_nearest_number_of_rows(scores, contamination):
    n_flagged = (scores < contamination_offset(scores, contamination)).sum()
    wanted = contamination * len(scores)
    assert abs(n_flagged - wanted) <= 0.5 + 1e-9 or (wanted < 0.5 and n_flagged == 1)


@pytest.mark.parametrize(
    ("contamination", "n_flagged"), [(0.1, 1), (0.24, 2), (0.25, 3), (0.26, 3), (0.5, 5), (0.001, 1)]
)
def test_half_a_row_is_rounded_up_and_at_least_one_is_flagged(contamination, n_flagged):
    scores = np.arange(10.0)
    assert (scores < contamination_offset(scores, contamination)).sum() == n_flagged


def test_offset_is_halfway_between_the_last_inside_and_the_first_outside():
    assert contamination_offset(np.array([10.0, -4.0, 3.0, 0.0, -1.0]), 0.4) == -0.5


def test_order_of_the_rows_does_not_matter():
    scores = np.random.default_rng(0).normal(size=101)
    shuffled = np.random.default_rng(1).permutation(scores)
    assert contamination_offset(shuffled, 0.2) == contamination_offset(scores, 0.2)
    assert robust_offset(shuffled) == robust_offset(scores)


def test_scores_are_not_reordered_in_place():
    scores = np.array([3.0, 1.0, 2.0])
    contamination_offset(scores, 0.3)
    robust_offset(scores)
    assert scores.tolist() == [3, 1, 2]


def test_neighbouring_floats_are_distinguished():
    low = 1.0
    high = np.nextafter(low, 2)
    scores = np.array([low, high])
    assert (scores < contamination_offset(scores, 0.5)).tolist() == [True, False]


@given(st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=40).map(np.array), st.floats(0.01, 0.5))
def test_tied_scores_are_flagged_together_and_never_too_many(scores, contamination):
    flagged = scores < contamination_offset(scores, contamination)
    assert flagged.sum() <= max(1, np.floor(contamination * len(scores) + 0.5))
    for score in np.unique(scores):
        assert len(set(flagged[scores == score])) == 1


def test_equal_scores_are_never_flagged():
    scores = np.full(20, -3.5)
    assert not (scores < contamination_offset(scores, 0.3)).any()
    assert not (scores < robust_offset(scores)).any()


def test_robust_offset_by_hand():
    # Median 10, lower quartile 8: 10 - 3 * 2 / 0.67449.
    scores = np.array([6.0, 8.0, 10.0, 11.0, 50.0])
    assert robust_offset(scores) == pytest.approx(10 - 6 / 0.6744897501960817)


def test_robust_offset_of_normal_scores_is_three_deviations_below_the_mean():
    scores = np.random.default_rng(0).normal(5, 2, 200_000)
    assert robust_offset(scores) == pytest.approx(-1, abs=0.05)
    assert (scores < robust_offset(scores)).mean() == pytest.approx(0.00135, abs=0.0005)


def test_tied_scores_take_the_root_mean_square_of_the_lower_half():
    assert robust_offset(np.array([-1.4] * 20 + [0.0] * 80)) == pytest.approx(-3 * 1.4 * np.sqrt(0.4))
    assert robust_offset(np.array([-10.0] + [0.0] * 999)) == pytest.approx(-1.5)


def test_rows_less_than_four_times_rarer_than_the_median_are_not_flagged():
    assert robust_offset(np.full(10, 7.0)) == 5.5
    assert robust_offset(np.linspace(0, 0.1, 50)) == pytest.approx(0.05 - 1.5)


def test_robust_offset_is_set_by_the_lower_half_alone():
    scores = 5 * np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    stretched = 5 * np.array([1.0, 2.0, 3.0, 400.0, 5000.0])
    assert robust_offset(stretched) == robust_offset(scores)


@given(st.floats(1, 100), st.floats(-1e3, 1e3))
def test_robust_offset_moves_and_stretches_with_the_scores(factor, shift):
    scores = 10 * np.random.default_rng(0).gumbel(size=50)
    expected = factor * robust_offset(scores) + shift
    assert robust_offset(factor * scores + shift) == pytest.approx(expected, abs=1e-6)


def test_one_far_row_is_flagged_and_does_not_move_it():
    scores = np.append(np.linspace(-1, 1, 99), -1e6)
    assert (scores < robust_offset(scores)).sum() == 1
    assert robust_offset(scores) == pytest.approx(robust_offset(np.append(scores[:-1], -1.0)), abs=1e-9)
