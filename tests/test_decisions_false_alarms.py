"""The Beta law: ranks, bounds and numbers of rows by hand, against scipy and against simulated fits."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.decisions.false_alarms import (
    CalibrationTooSmall,
    band,
    band_at,
    checked_share,
    largest_rank,
    most_above,
    probability_at_least,
    rate_bound,
    rows_needed,
    smallest_rate,
)
from vae_anomaly.errors import SpecificationError

RATES = st.floats(1e-4, 0.5)
CONFIDENCES = st.sampled_from([None, 0.5, 0.9, 0.99])


@pytest.mark.parametrize(
    ("n", "rate", "confidence", "rank"),
    [
        (99, 0.01, None, 1),
        (98, 0.01, None, 0),
        (99, 0.29, None, 29),
        (298, 0.01, 0.95, 0),
        (299, 0.01, 0.95, 1),
        (2994, 0.001, 0.95, 0),
        (2995, 0.001, 0.95, 1),
        (1, 0.6, None, 1),
        (1, 0.6, 0.5, 1),
    ],
)
def test_ranks_by_hand(n, rate, confidence, rank):
    assert largest_rank(n, rate, confidence) == rank


@given(st.integers(1, 500), RATES, CONFIDENCES)
def test_rank_keeps_to_the_rate_and_the_next_does_not(n, rate, confidence):
    def keeps(rank):
        mean = rank / (n + 1) <= rate * (1 + 1e-9)
        return mean if confidence is None else stats.beta.cdf(rate, rank, n + 1 - rank) >= confidence

    rank = largest_rank(n, rate, confidence)
    assert rank == 0 or keeps(rank)
    assert rank == n or not keeps(rank + 1)


@given(RATES, CONFIDENCES)
def test_as_many_rows_as_needed_are_enough_and_one_fewer_is_not(rate, confidence):
    n = rows_needed(rate, confidence)
    assert largest_rank(n, rate, confidence) >= 1
    assert n <= 1 or largest_rank(n - 1, rate, confidence) == 0
    assert smallest_rate(n, confidence) <= rate * (1 + 1e-9)


def test_bounds_are_beta_quantiles():
    assert rate_bound(1000, 10, 0.95) == pytest.approx(stats.beta.ppf(0.95, 10, 991))
    assert rate_bound(20, 20, 0.9) == pytest.approx(0.9 ** (1 / 20))
    assert rate_bound(20, 21) == 1
    # 1 - (1 - r)^n = c for the largest score.
    assert smallest_rate(299, 0.95) == pytest.approx(1 - 0.05 ** (1 / 299))


@pytest.mark.parametrize("rank", [1, 5, 20, 100])
def test_share_above_a_calibration_score_follows_the_beta_law(rank):
    # 2,000 fits with a fixed score: uniform scores, so that the rate is one minus the threshold.
    scores = np.random.default_rng(rank).random((2_000, 400))
    rates = 1 - np.partition(scores, -rank, axis=1)[:, -rank]
    assert stats.kstest(rates, stats.beta(rank, 401 - rank).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("n", "rate", "confidence"), [(500, 0.01, 0.95), (300, 0.05, 0.9), (1000, 0.02, 0.99)])
def test_few_fits_exceed_a_rate_that_they_keep_with_confidence(n, rate, confidence):
    scores = np.random.default_rng(n).random((2_000, n))
    rank = largest_rank(n, rate, confidence)
    exceeding = 1 - np.partition(scores, -rank, axis=1)[:, -rank] > rate
    risk = 1 - confidence
    assert exceeding.mean() <= risk + 3 * math.sqrt(risk * confidence / 2_000)
    # On average alone, nearly half do.
    rank = largest_rank(n, rate)
    assert (1 - np.partition(scores, -rank, axis=1)[:, -rank] > rate).mean() > 0.4


@pytest.mark.parametrize("n", [1, 7, 300])
def test_all_bounds_of_the_band_hold_at_once(n):
    scores = np.random.default_rng(1).random((4_000, n))
    rates = np.sort(scores, axis=1)
    missed = (rates > band(n, 0.9)).any(axis=1).mean()
    assert missed <= 0.1 + 3 * math.sqrt(0.09 / 4_000)
    assert missed >= 0.06


def test_band_is_ascending_above_the_pointwise_bounds_and_read_only():
    bounds = band(200)
    assert (np.diff(bounds) >= 0).all()
    assert all(bounds[rank - 1] > rate_bound(200, rank) for rank in (1, 10, 100, 199))
    assert bounds[-1] <= 1
    with pytest.raises(ValueError, match="read-only"):
        bounds[0] = 0


def test_band_is_a_third_as_wide_as_that_of_kolmogorov_and_smirnov_at_one_per_cent():
    width = band(1000)[9] - 0.01
    assert width < 0.012
    assert math.sqrt(math.log(1 / 0.05) / 2_000) > 3 * width


@pytest.mark.parametrize(("n_rows", "rank", "n"), [(1, 1, 1), (20, 3, 50), (200, 40, 30 + 10), (1000, 10, 999)])
def test_rows_above_a_calibration_score_are_beta_binomial(n_rows, rank, n):
    law = stats.betabinom(n_rows, rank, n + 1 - rank)
    for n_above in {0, 1, n_rows // 50, n_rows // 10, n_rows, n_rows + 1}:
        assert probability_at_least(n_above, n_rows, rank, n) == pytest.approx(law.sf(n_above - 1), abs=1e-9)
    most = most_above(n_rows, rank, n, 0.05)
    assert law.sf(most) <= 0.05 < law.sf(most - 1)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, math.nan, math.inf, True, False, "0.1", None, np.bool_(True)])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(SpecificationError, match="fdr is a number above 0 and below 1, not"):
        checked_share(share, "fdr")


def test_share_of_numpy_is_one():
    assert checked_share(np.float32(0.5), "rate") == 0.5
    assert checked_share(0.5, "contamination", 0.5) == 0.5


def test_refusal_carries_its_numbers_and_can_be_pickled():
    refusal = pickle.loads(pickle.dumps(CalibrationTooSmall("this", 299, 60, "ask for more")))
    assert (refusal.n_needed, refusal.n_calibration) == (299, 60)
    assert str(refusal) == (
        "this needs at least 299 calibration rows, and there are 60; ask for more, or give more normal rows with "
        "calibrate(X)."
    )


def test_bound_of_one_rank_is_that_of_the_band_and_takes_no_memory_for_the_others() -> None:
    ranks = [1, 2, 3, 50, 100, 199, 200]
    assert [band_at(200, rank) for rank in ranks] == band(200)[np.array(ranks) - 1].tolist()
    assert 0.01 < band_at(10**9, 10**7) < 0.0106
