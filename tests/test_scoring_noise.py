"""The noise that all rows are scored with."""

import pytest
import torch
from scipy import stats

from vae_anomaly.fitting.predict import scoring_noise


@pytest.mark.parametrize("n_draws", [2, 4, 64])
def test_noise_of_an_even_number_of_draws_has_mean_exactly_0(n_draws):
    noise = scoring_noise(3, n_draws, 5, seed=7)
    assert noise.shape == (3, n_draws, 1, 5)
    assert not noise.double().sum(1).any()


@pytest.mark.parametrize("n_draws", [1, 3, 7])
def test_noise_has_any_odd_number_of_draws_as_well(n_draws):
    assert scoring_noise(2, n_draws, 4, seed=0).shape == (2, n_draws, 1, 4)


def test_noise_is_standard_normal_of_low_discrepancy():
    noise = scoring_noise(4, 512, 6, seed=0)[:, :, 0].double()
    torch.testing.assert_close(noise.var(1), torch.ones(4, 6, dtype=torch.float64), rtol=0, atol=0.05)
    for member in range(4):
        correlations = torch.corrcoef(noise[member].T) - torch.eye(6)
        assert correlations.abs().max() < 0.15
        for latent in range(6):
            # 512 independent draws would differ by about 0.04 from the normal distribution.
            assert stats.kstest(noise[member, :, latent], "norm").statistic < 0.01


def test_noise_repeats_with_its_seed_and_leaves_global_state_alone():
    before = torch.get_rng_state()
    first, again, other = (scoring_noise(2, 8, 3, seed) for seed in (5, 5, 50))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_members_have_noise_of_their_own():
    noise = scoring_noise(4, 8, 3, seed=0)
    for one in range(4):
        for other in range(one):
            assert not torch.equal(noise[one], noise[other])
