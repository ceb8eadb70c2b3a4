"""Sorted scores count as the scores themselves do, and never too few where they are compressed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decisions.calibration import _p_values
from vae_anomaly.decisions.sorted_scores import RELATIVE_ROUNDING, ROUNDING, SortedScores, lowest_equal
from vae_anomaly.errors import DataError

TIED = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=40).map(np.array)


def test_counts_by_hand():
    scores = SortedScores.of([2.0, -1.0, 2.0, 5.0])
    assert scores.values.tolist() == [-1, 2, 5]
    assert scores.counts.tolist() == [1, 2, 1]
    assert scores.n_at_least([-2.0, -1.0, 2.0, 2.5, 5.0, 6.0]).tolist() == [4, 4, 3, 1, 1, 0]
    assert scores.n_above([-2.0, -1.0, 2.0, 2.5, 5.0, 6.0]).tolist() == [4, 3, 1, 1, 0, 0]
    assert [scores.kth_largest(k) for k in (1, 2, 3, 4)] == [5, 2, 2, -1]


@given(TIED, TIED)
def test_counts_are_those_of_the_scores(scores, others):
    ordered = SortedScores.of(scores)
    assert ordered.n_at_least(others).tolist() == [(scores >= other).sum() for other in others]
    assert ordered.n_above(others).tolist() == [(scores > other).sum() for other in others]
    assert [ordered.kth_largest(k + 1) for k in range(len(scores))] == sorted(scores, reverse=True)


@given(TIED, st.floats(0, 1))
def test_quantiles_are_those_of_numpy(scores, share):
    assert SortedScores.of(scores).quantile(share) == pytest.approx(np.quantile(scores, share), abs=1e-9)


@given(TIED, TIED)
def test_merged_scores_are_those_of_both(first, second):
    merged = SortedScores.of(first).merged(SortedScores.of(second))
    both = SortedScores.of(np.concatenate([first, second]))
    assert merged.values.tolist() == both.values.tolist()
    assert merged.counts.tolist() == both.counts.tolist()


@given(TIED, st.data())
def test_what_was_merged_can_be_taken_away(scores, data):
    gone = data.draw(st.lists(st.sampled_from(scores.tolist()), unique=True, max_size=5))
    left = SortedScores.of(scores).merged(SortedScores.of(gone)).without(gone)
    assert left.values.tolist() == SortedScores.of(scores).values.tolist()
    assert left.counts.tolist() == SortedScores.of(scores).counts.tolist()


@pytest.mark.parametrize("gone", [[4.0], [3.0, 3.0], [0.0]])
def test_rows_that_are_not_there_cannot_be_taken_away(gone):
    with pytest.raises(DataError, match="is left to be taken away"):
        SortedScores.of([1.0, 2.0, 3.0]).without(gone)


def test_compressed_scores_count_never_too_few_and_exactly_in_the_tail():
    scores = np.random.default_rng(0).normal(size=30_000)
    exact, compressed = SortedScores.of(scores), SortedScores.of(scores, max_exact=12_000)
    assert len(compressed.values) == 12_000
    assert compressed.n == 30_000
    new = np.random.default_rng(1).normal(size=2_000)
    more = compressed.n_at_least(new) - exact.n_at_least(new)
    assert more.min() == 0
    assert 0 < more.max() <= 10
    assert more[exact.n_at_least(new) <= 10_000].max() == 0
    assert [compressed.kth_largest(k) for k in (1, 10_000)] == [exact.kth_largest(k) for k in (1, 10_000)]
    assert all(compressed.kth_largest(k) >= exact.kth_largest(k) for k in (10_001, 15_000, 30_000))


def test_many_rows_with_few_values_are_not_compressed():
    scores = SortedScores.of(np.arange(1_000) % 7, max_exact=10)
    assert scores.values.tolist() == list(range(7))
    assert scores.n == 1_000


def test_infinite_scores_have_their_rank():
    scores = SortedScores.of([-np.inf, 0.0, np.inf])
    assert scores.n_at_least([-np.inf, 1.0, np.inf]).tolist() == [3, 1, 1]


@pytest.mark.parametrize(("scores", "complaint"), [([0.0, np.nan], r"NaN \(index 1\)"), ([[0.0]], r"shape \(1, 1\)")])
def test_what_has_no_rank_is_refused(scores, complaint):
    with pytest.raises(DataError, match=complaint):
        SortedScores.of(scores)
    with pytest.raises(DataError, match=complaint):
        SortedScores.of([1.0]).n_at_least(scores)


@pytest.mark.parametrize("k", [0, 3])
def test_there_is_no_rank_beyond_the_rows(k):
    with pytest.raises(IndexError, match=f"no {k}-th largest of 2"):
        SortedScores.of([1.0, 2.0]).kth_largest(k)


def test_lowest_equal_scores_by_hand():
    assert lowest_equal([0.0, 0.5, -0.5, 1.0]).tolist() == pytest.approx([-1e-5, 0.49999, -0.50001, 0.99999], abs=1e-12)
    assert lowest_equal([300.0, -300.0]).tolist() == pytest.approx([299.9997, -300.0003], abs=1e-9)
    assert lowest_equal([np.inf, -np.inf]).tolist() == [np.inf, -np.inf]


SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(np.array)


@given(SCORES, SCORES)
def test_p_values_never_fall_by_scores_taken_as_equal(calibrating, scores):
    exact = (1 + np.array([(calibrating >= score).sum() for score in scores])) / (1 + len(calibrating))
    found = _p_values([SortedScores.of(calibrating)], scores[:, None])
    assert (found >= exact).all()
    # And rise by no other scores than those within rounding.
    near = [
        (np.abs(calibrating - score) <= 1.01 * max(RELATIVE_ROUNDING * abs(score), ROUNDING)).sum() for score in scores
    ]
    assert (found <= exact + np.array(near) / (1 + len(calibrating)) + 1e-12).all()


@given(SCORES, SCORES)
def test_higher_scores_have_no_higher_p_values_where_scores_are_taken_as_equal(calibrating, scores):
    found = _p_values([SortedScores.of(calibrating)], np.sort(scores)[:, None])
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize("score", [-2000.0, -3.0, 0.0, 0.25, 70.0])
def test_copy_of_many_calibration_rows_passes_none_of_them_by_its_last_bit(score):
    rounded_up = np.nextafter(np.float32(score), np.float32(np.inf)).astype(float)
    calibrating = SortedScores.of([score] * 50 + [score - 1] * 49)
    assert _p_values([calibrating], np.array([[rounded_up]])).tolist() == [51 / 100]


def test_p_values_compare_with_each_fold_by_its_own_member():
    folds = [SortedScores.of([1.0, 3.0]), SortedScores.of([10.0, 30.0])]
    assert _p_values(folds, np.array([[3.0, 31.0], [0.0, 20.0]])).tolist() == [2 / 5, 4 / 5]
