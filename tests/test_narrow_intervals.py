"""Narrow intervals of rounded numbers: the series that scoring takes against the integrals that it stands for."""

import pytest
import torch

from vae_anomaly.likelihoods.normal import NARROW_HALF, NormalNoise
from vae_anomaly.likelihoods.rounded import RoundedDistribution
from vae_anomaly.likelihoods.student_t import StudentT4Noise


def numbers(*values):
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize("steps", [(0.2, 0.1), (0.2, 5.0)], ids=["narrow columns", "a narrow column and a wide one"])
def test_lowest_value_has_all_that_is_below_it_in_scoring_as_in_training(steps):
    generator = torch.Generator().manual_seed(0)
    value = numbers([-1.0, -1.0], [0.0, -1.0], [0.4, 0.5])
    loc = torch.randn(2, 1, 3, 2, generator=generator)
    constants = {
        "location": numbers(0.0, 0.0),
        "scale": numbers(1.0, 1.0),
        "asinh_scale": numbers(0.0, 0.0),
        "step": numbers(*steps),
        "low": numbers(-1.0, -1.0),
        "unseen": numbers(0.01, 0.01),
    }
    found = RoundedDistribution(StudentT4Noise(loc, numbers(0.5, 0.6).expand(2, 1, 1, 2)), constants)
    in_training = found.log_prob(value)
    with torch.no_grad():
        in_scoring = found.log_prob(value)
    torch.testing.assert_close(in_scoring, in_training, rtol=0, atol=2e-5)


def test_series_of_narrow_normal_intervals_is_their_probability():
    middle = torch.linspace(-50, 50, 401, dtype=torch.float64).unsqueeze(1)
    half = torch.full((1,), NARROW_HALF, dtype=torch.float64)
    noise = NormalNoise(torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    assert noise.has_narrow(half).all()
    # Of N(0, 1): the density at the middle times the width, times sinh(h m) / (h m), but for the fourth power of h.
    product = (half * middle).abs().clamp(min=1e-9)
    expected = -0.5 * middle.square() - 0.5 * torch.log(torch.tensor(2 * torch.pi)) + torch.log(2 * half)
    expected = expected + torch.log(torch.sinh(product) / product) - half.square() / 6
    torch.testing.assert_close(noise.log_narrow_mass(middle, half), expected, rtol=0, atol=2e-6)
