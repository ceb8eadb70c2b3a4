"""The Student-t distribution: its density and gradient, and closed forms for four degrees of freedom against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from vae_anomaly.likelihoods import StudentT
from vae_anomaly.likelihoods.student_t import StudentTDistribution
from vae_anomaly.likelihoods.student_t4 import interval_mass, t_quantile, upper_tail


def log_prob(distribution, value):
    return float(distribution.log_prob(torch.tensor([value], dtype=torch.float64)))


@pytest.mark.parametrize("df", [1.5, 4.0, 30.0])
def test_student_t_equals_the_reference_for_other_tails(df, distribution_of):
    distribution = distribution_of(StudentT(df=df), [0.7], math.log(0.05))
    for cell in (0.7, -3.0, 1e4):
        assert log_prob(distribution, cell) == pytest.approx(stats.t.logpdf(cell, df, 0.7, 0.05), abs=1e-9)


@pytest.mark.parametrize("df", [2.5, 4.0])
def test_gradient_of_the_student_t_density_is_that_of_finite_differences(df):
    generator = torch.Generator().manual_seed(0)
    value, loc = (torch.randn(2, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    scale = 0.5 + torch.rand(2, 1, 4, generator=generator, dtype=torch.float64)
    loc.requires_grad_()
    scale.requires_grad_()
    assert torch.autograd.gradcheck(lambda m, s: StudentTDistribution(df, m, s).log_prob(value), (loc, scale))
    expected = torch.distributions.StudentT(df, loc, scale.expand_as(loc)).log_prob(value)
    torch.testing.assert_close(StudentTDistribution(df, loc, scale).log_prob(value), expected)


NUMBERS = [-1e4, -300.0, -17.5, -2.0, -1.0, -0.1, 0.0, 1e-3, 0.5, 1.0, 3.0, 40.0, 1e3, 1e4]


def single(*numbers):
    return [torch.tensor(number, dtype=torch.float32) for number in numbers]


@pytest.mark.parametrize("standard", NUMBERS)
def test_upper_tail_equals_the_reference_in_single_precision(standard):
    (cell,) = single(standard)
    assert upper_tail(cell).item() == pytest.approx(stats.t.sf(float(cell), 4), rel=1e-5, abs=0)


@pytest.mark.parametrize("width", [1e-4, 0.01, 0.3, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("lower", NUMBERS)
def test_mass_of_an_interval_equals_the_reference_in_single_precision(lower, width):
    low, high = single(lower, lower + width)
    if float(high) <= float(low):
        return
    reach = sorted([abs(float(low)), abs(float(high))])
    if float(low) * float(high) > 0:  # on one side: a difference of upper tails, in the digits of NumPy's long doubles
        near, far = (np.longdouble(end) for end in reach)
        expected = float(long_upper_tail(near) - long_upper_tail(far))
    else:
        expected = stats.t.cdf(float(high), 4) - stats.t.cdf(float(low), 4)
    assert interval_mass(low, high).item() == pytest.approx(expected, rel=1e-5, abs=0)


def long_upper_tail(t):
    sine = t / np.sqrt(4 + t * t)
    rest = 4 / ((4 + t * t) * (1 + sine))
    return rest * rest * (2 + sine) / 4


def test_known_width_is_better_than_the_difference_of_single_precision_numbers():
    low, high, width = single(5000.0, 5000.0 + 1e-4, 1e-4)
    assert float(high) == float(low)
    assert interval_mass(low, high, width).item() == pytest.approx(1e-4 * stats.t.pdf(5000.0, 4), rel=1e-5)


@pytest.mark.parametrize("share", [1e-7, 1e-4, 0.01, 0.2, 0.4, 0.5, 0.6, 0.75, 0.99, 0.9999])
def test_quantile_of_the_noise_equals_the_reference_in_single_precision(share):
    (given_share,) = single(share)
    expected = stats.t.ppf(float(given_share), 4)
    assert t_quantile(given_share).item() == pytest.approx(expected, rel=1e-5, abs=1e-3)
    exact = t_quantile(torch.tensor(share, dtype=torch.float64)).item()
    assert exact == pytest.approx(stats.t.ppf(share, 4), rel=1e-7, abs=1e-7)
