"""Sorted scores count as the scores themselves do, and never too few where they are compressed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decisions.sorted_scores import SortedScores
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
