"""Other units of a column move scores by the logarithm of their ratio; another sign is like another seed."""

import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr

from vae_anomaly import VAEDetector

RNG = np.random.default_rng(4)
ROWS = RNG.normal(size=(300, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.8], [0.3, 0, 1]])


def scores(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VAEDetector(max_iter=30, random_state=0).fit(rows).score_samples(rows)


@pytest.fixture(scope="module")
def usual():
    return scores(ROWS)


def changed(change):
    rows = ROWS.copy()
    rows[:, 1] = change(rows[:, 1])
    return scores(rows)


@pytest.mark.parametrize(
    ("change", "log_factor", "nats"),
    [
        (lambda cells: cells * 1024, np.log(1024), 1e-6),
        (lambda cells: cells * 1000, np.log(1000), 1e-3),
        (lambda cells: cells * 0.1, np.log(0.1), 1e-3),
        (lambda cells: cells + 1e9, 0.0, 1e-2),
    ],
    ids=["x 1024", "x 1000", "x 0.1", "+ 1e9"],
)
def test_other_units_shift_scores_by_the_logarithm_of_the_factor(usual, change, log_factor, nats):
    np.testing.assert_allclose(changed(change) + log_factor, usual, atol=nats)


def test_another_sign_moves_scores_no_further_than_another_seed_does(usual):
    mirrored = changed(np.negative)
    assert np.abs(mirrored - usual).max() < 4
    assert np.abs(mirrored - usual).mean() < 0.3
    assert spearmanr(mirrored, usual)[0] > 0.98
