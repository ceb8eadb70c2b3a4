"""The Student-t distribution: its density and gradient, and closed forms for four degrees of freedom against scipy."""

import decimal
import math

import numpy as np
import pytest
import torch
from scipy import stats

from vae_anomaly.likelihoods import StudentT
from vae_anomaly.likelihoods.rounded import RoundedDistribution
from vae_anomaly.likelihoods.student_t import StudentT4Noise, StudentTDistribution
from vae_anomaly.likelihoods.student_t4 import (
    MIN_MASS,
    NARROW,
    interval_mass,
    log_narrow_mass,
    t_quantile,
    upper_tail,
)


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


def exact_log_mass(middle, half):
    """log P(middle - half <= T <= middle + half), in numbers of eighty digits."""
    with decimal.localcontext(prec=80):
        near, far = (abs(decimal.Decimal(middle)) + side * decimal.Decimal(half) for side in (-1, 1))

        def above(t):
            sine = t / (4 + t * t).sqrt()
            return (1 - sine) ** 2 * (2 + sine) / 4

        return float((above(near) - above(far)).ln())


@pytest.mark.parametrize("half", [1e-12, 1e-6, 1e-3, 0.05, 0.1, 0.2, 0.3, 0.35, NARROW])
def test_narrow_mass_equals_the_reference_in_single_precision(half):
    middles = torch.tensor(
        [0.0, 1e-6, 0.1, 0.5, 1.0, 1.3, 2.0, 3.0, 5.0, 17.0, 100.0, 1e3, -1e3, 1e4, 1e5], dtype=torch.float32
    )
    width = torch.tensor(half, dtype=torch.float32)
    expected = [max(exact_log_mass(middle, float(width)), math.log(MIN_MASS)) for middle in middles.tolist()]
    found = log_narrow_mass(middles.clone(), width)
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=1e-6, atol=3e-6)
    exact = log_narrow_mass(middles.double(), width.double())
    np.testing.assert_allclose(exact.numpy(), expected, rtol=0, atol=3e-6)


def test_narrow_mass_of_the_furthest_cells_is_the_least_there_is():
    assert log_narrow_mass(torch.tensor([1e10, 1e30, -1e30]), torch.tensor(0.1)).tolist() == pytest.approx(
        [math.log(MIN_MASS)] * 3
    )


def rounded_of(scales, loc, low=-math.inf, step=1.0):
    """A distribution of two members with these scales of columns, whose cells are whole multiples of the step."""
    n_columns = len(scales)
    constants = {name: torch.full((n_columns,), number) for name, number in (("location", 0.0), ("scale", 1.0))}
    constants |= {"asinh_scale": torch.zeros(n_columns), "step": torch.full((n_columns,), step)}
    constants |= {"low": torch.full((n_columns,), low), "unseen": torch.full((n_columns,), 0.01)}
    noise = StudentT4Noise(loc, torch.tensor(scales, dtype=torch.float32).expand(2, 1, 1, -1))
    return RoundedDistribution(noise, constants)


@pytest.mark.parametrize("low", [-math.inf, 0.0])
@pytest.mark.parametrize("scales", [[2.0, 30.0, 1.25], [2.0, 0.05, 30.0], [0.3, 0.05, 1.2]])
def test_narrow_intervals_have_the_log_probability_of_the_others(scales, low):
    generator = torch.Generator().manual_seed(0)
    loc = 20 * torch.randn(2, 2, 64, 3, generator=generator)
    value = torch.randint(0, 60, (64, 3), generator=generator).float()
    distribution = rounded_of(scales, loc, low)
    expected = distribution.noise.log_mass(*distribution.ends(value))
    with torch.no_grad():
        found = distribution._log_mass(value)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # With gradients, the path whose derivative is known.
    assert torch.equal(distribution._log_mass(value), expected)


def test_lowest_value_has_all_that_is_below_it_in_narrow_intervals():
    loc = torch.full((2, 1, 2, 1), -3.0)
    with torch.no_grad():
        found = rounded_of([4.0], loc, low=0.0).log_prob(torch.tensor([[0.0], [1.0]]))
    t = stats.t(4, -3.0, 4.0)
    expected = np.log([t.cdf(0.5), t.cdf(1.5) - t.cdf(0.5)]) + math.log(0.99)
    np.testing.assert_allclose(found[0, 0, :, 0].numpy(), expected, rtol=1e-5)


def test_only_columns_narrow_for_every_member_are_narrow():
    noise = StudentT4Noise(torch.zeros(2, 1, 1, 2), torch.tensor([[2.0, 2.0], [2.0, 1.0]]).reshape(2, 1, 1, 2))
    assert noise.has_narrow(torch.tensor([0.5, 0.5])).tolist() == [True, False]
