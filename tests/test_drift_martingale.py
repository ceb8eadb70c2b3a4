"""The sequential test of drift: ranks and wealth by hand, its level, what it finds, and what its state is."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.decisions.drift.martingale import BINS_PER_UNIT, SimpleJumper, row_uniforms
from vae_anomaly.decisions.sorted_scores import SortedScores
from vae_anomaly.errors import DataError, SpecificationError

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=40).map(np.array)


def of(reference, seed=0):
    return SimpleJumper.of(SortedScores.of(reference), seed)


def state(jumper):
    """All fields, as they would be written to a file."""
    arrays = (jumper.bins.tolist(), jumper.counts.tolist())
    rest = {key: value for key, value in dataclasses.asdict(jumper).items() if key not in {"bins", "counts"}}
    return arrays, rest


def by_hand(reference, scores, seed):
    """The wealth, row by row and with lists."""
    before, wealth = list(reference), [1.0]
    capital = {-1: 0.0, 0: 0.0, 1: 0.0}
    for t, score in enumerate(scores):
        uniform = row_uniforms(seed, t, 1)[0]
        above, tied = sum(one > score for one in before), sum(one == score for one in before)
        p = (above + uniform * (1 + tied)) / (1 + len(before))
        entering = 1 / math.log2(t + 2) - 1 / math.log2(t + 3)
        total = sum(capital.values())
        capital = {
            bet: (0.99 * part + 0.01 / 3 * total + entering / 3) * (1 + bet * (p - 0.5))
            for bet, part in capital.items()
        }
        wealth.append(sum(capital.values()) + 1 / math.log2(t + 3))
        before.append(score)
    return wealth


@given(SCORES, SCORES, st.integers(0, 100))
def test_wealth_by_hand(reference, scores, seed):
    jumper = of(reference, seed).updated(scores)
    wealth = by_hand(reference, scores, seed)
    assert jumper.wealth == pytest.approx(wealth[-1])
    assert jumper.largest_wealth == pytest.approx(max(wealth))
    assert (jumper.n_reference, jumper.n_seen) == (len(reference), len(scores))
    assert jumper.counts.sum() == len(reference) + len(scores)


@pytest.mark.parametrize("size", [1, 10, 1_000])
def test_batches_and_files_do_not_matter_to_the_last_bit(size):
    scores = np.random.default_rng(0).normal(size=1_500).round(1)
    whole = of(scores[:300]).updated(scores[300:])
    jumper = of(scores[:300])
    for start in range(300, 1_500, size):
        jumper = jumper.updated(scores[start : start + size])
    assert state(jumper) == state(whole)


def test_state_is_plain_and_goes_on_the_same_after_a_file():
    scores = np.random.default_rng(0).normal(size=900)
    jumper = of(scores[:300], seed=2**62).updated(scores[300:600])
    (bins, counts), rest = json.loads(json.dumps(state(jumper)))
    rest["capital"] = tuple(rest["capital"])
    read = SimpleJumper(np.array(bins), np.array(counts), **rest)
    assert state(read.updated(scores[600:])) == state(jumper.updated(scores[600:]))


def test_streams_of_one_law_rarely_raise_an_alarm():
    # 200 streams of 400 rows after 100 calibration rows; long ones are on the page of guarantees.
    scores = np.random.default_rng(0).normal(size=(200, 500))
    jumpers = [of(one[:100], seed).updated(one[100:]) for seed, one in enumerate(scores)]
    for alpha in (0.05, 0.2):
        alarms = np.mean([jumper.alarm(alpha) for jumper in jumpers])
        assert alarms <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / len(jumpers))


def test_tied_streams_of_one_law_rarely_raise_an_alarm():
    scores = np.random.default_rng(1).integers(0, 3, size=(200, 500)).astype(float)
    alarms = np.mean([of(one[:100], seed).updated(one[100:]).alarm(0.1) for seed, one in enumerate(scores)])
    assert alarms <= 0.1 + 3 * math.sqrt(0.09 / 200)


@pytest.mark.parametrize("shift", [0.5, -0.5])
@pytest.mark.parametrize("n_before", [0, 5_000])
def test_half_a_deviation_is_found_within_a_few_hundred_rows_however_late(shift, n_before):
    scores = np.random.default_rng(0).normal(size=1_000 + n_before + 500)
    scores[-500:] += shift
    jumper = of(scores[:1_000]).updated(scores[1_000:-500])
    assert not jumper.alarm(0.01)
    assert jumper.updated(scores[-500:]).alarm(0.01)


def test_wealth_stays_finite_however_far_the_scores_move():
    jumper = of(np.zeros(100)).updated(np.arange(1.0, 4_000.0))
    assert math.isfinite(jumper.wealth)
    assert jumper.alarm(1e-50)


def test_ranks_of_one_law_are_uniform():
    scores = np.random.default_rng(0).exponential(size=2_000)
    ranks, _, _ = of(scores[:50])._ranks(of(scores[50:]).bins[:0])
    assert len(ranks) == 0
    bins = np.floor(np.arcsinh(scores[50:]) * BINS_PER_UNIT).astype(np.int64)
    ranks, _, _ = of(scores[:50])._ranks(bins)
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_scores_are_kept_on_a_bounded_grid():
    scores = np.random.default_rng(0).normal(300, 20, 50_000)
    jumper = of(scores[:10]).updated(scores[10:])
    assert len(jumper.bins) < 3_000
    far = of([0.0]).updated([-np.inf, np.inf, 1e300])
    assert np.abs(far.bins).max() < 30 * BINS_PER_UNIT


def test_random_numbers_depend_on_seed_and_position_alone():
    uniforms = row_uniforms(3, 0, 10_000)
    assert row_uniforms(3, 9_990, 10).tolist() == uniforms[-10:].tolist()
    assert row_uniforms(4, 0, 10).tolist() != uniforms[:10].tolist()
    assert stats.kstest(uniforms, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(uniforms[1:], uniforms[:-1])[0, 1]) < 0.03
    assert abs(np.corrcoef(uniforms, row_uniforms(4, 0, 10_000))[0, 1]) < 0.03
    assert 0 < uniforms.min() < uniforms.max() < 1


def test_sentence_says_whether_it_moved():
    jumper = of(np.random.default_rng(0).normal(size=200))
    assert jumper.sentence(0.01) == (
        "The scores of 0 rows so far are like those of the 200 calibration rows: largest wealth 1, alarm at 100."
    )
    assert "have changed since the 200 calibration rows" in jumper.updated(np.full(200, 5.0)).sentence(0.01)


def test_bad_rows_and_levels_are_refused_and_an_empty_batch_changes_nothing():
    jumper = of([1.0, 2.0])
    assert state(jumper.updated([])) == state(jumper)
    with pytest.raises(DataError, match=r"NaN \(index 1\)"):
        jumper.updated([0.0, np.nan])
    for level in (0, 1, -0.1, math.nan, True):
        with pytest.raises(SpecificationError, match="alpha is a number above 0 and below 1"):
            jumper.alarm(level)
