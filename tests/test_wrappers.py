"""Rounded, bounded and spiked numbers over Student-t and normal noise: gradients, bounds, steps and spikes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.likelihoods import (
    Bounded,
    Gaussian,
    Rounded,
    RoundedStudentT,
    Spiked,
    SpikedStudentT,
    StudentT,
)
from vae_anomaly.likelihoods.normal import NormalNoise
from vae_anomaly.likelihoods.rounded import asinh_distance


def single(*numbers):
    return [torch.tensor(number, dtype=torch.float32) for number in numbers]


@pytest.mark.parametrize("size", [0.0, 0.01, 0.5, 1.0, 30.0, 1e4, 1e8])
@pytest.mark.parametrize("step", [1e-3, 0.5, 10.0, -1e-3, -0.4])
def testasinh_distance_equals_the_difference_of_arcsines_in_single_precision(size, step):
    start, length = single(size, step)
    begin, end = np.longdouble(float(start)), np.longdouble(float(start)) + np.longdouble(float(length))
    expected = float(np.arcsinh(end) - np.arcsinh(begin))
    assert asinh_distance(start, length).item() == pytest.approx(expected, rel=1e-5, abs=1e-12)


ASINH = {"location": 1.0, "scale": 0.5, "asinh_scale": 1.0, "step": 0.5, "low": -2.0, "unseen": 0.01}
ONE_SPIKE = {"spikes": [0.5, math.nan]}
LOGITS = [0.3, 0.0, 1.0, -math.inf]
BASES = {"student_t": StudentT(), "gaussian": Gaussian()}
SCIPY = {"student_t": stats.t(4), "gaussian": stats.norm()}
OVER_EACH_BASE = pytest.mark.parametrize("base", BASES)
TRAINED = [
    (Rounded, [0.3], {"step": 0.25}),
    (Rounded, [0.3], ASINH),
    (Bounded, [0.3], {"low": -1.0, "high": 2.0, "unseen": 0.01}),
    (Bounded, [80.0], {"low": -1.0, "high": 2.0, "unseen": 0.01}),
    (Spiked, LOGITS, ONE_SPIKE),
    (lambda base: Spiked(Rounded(base)), LOGITS, ONE_SPIKE | {"step": 0.25}),
    (lambda base: Spiked(Rounded(base)), LOGITS, ONE_SPIKE | ASINH),
    (
        lambda base: Spiked(Bounded(base)),
        [0.3, 0.0, 1.0, 0.5],
        {"spikes": [-1.0, 2.0], "low": -1.0, "high": 2.0, "unseen": 0.01},
    ),
]


@OVER_EACH_BASE
@pytest.mark.parametrize("case", range(len(TRAINED)))
@pytest.mark.parametrize("log_noise", [-40.0, 0.0, 6.0])
def test_likelihood_and_gradient_are_finite_in_far_tails_at_bounds_and_at_spikes(base, case, log_noise, constants_of):
    wrap, start, known = TRAINED[case]
    likelihood = wrap(BASES[base])
    outputs = torch.tensor(start, requires_grad=True)
    noise = torch.tensor([log_noise], requires_grad=True)
    constants = constants_of(dtype=torch.float32, floor=0.05, **known)
    cells = [0.0, 0.5, -1.0, 2.0, 3.0, -2.0, -2.5, 300.0, -300.0, 1e6, -1e6, 0.5 + 1e-7, 2.0 + 1e-6]
    distribution = likelihood.distribution(outputs.expand(len(cells), 1, -1), noise, constants)
    nats = distribution.log_prob(torch.tensor(cells)[:, None])
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert torch.isfinite(outputs.grad[~torch.isinf(outputs)]).all()
    assert torch.isfinite(noise.grad).all()


@OVER_EACH_BASE
@given(center=st.floats(-20, 20), log_noise=st.floats(-3, 1))
def test_rounded_probability_never_exceeds_1_and_tends_to_the_density_of_small_steps(
    base, center, log_noise, distribution_of
):
    def nats(step):
        rounded = distribution_of(Rounded(BASES[base]), [center], log_noise, floor=0.05, step=step)
        return float(rounded.log_prob(torch.tensor([0.7], dtype=torch.float64)))

    scale = math.hypot(0.05, math.exp(log_noise))
    assert nats(1.0) <= 0
    expected = SCIPY[base].logpdf((0.7 - center) / scale) - math.log(scale)
    assert nats(1e-4) - math.log(1e-4) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("cell", [-9.0, -1.0, 0.0, 0.5, 4.0, 12.0])
def test_marginal_of_rounded_numbers_is_normal_with_normal_tails(cell, constants_of):
    constants = constants_of(step=0.5, floor=0.0)
    marginal = RoundedStudentT(floor=0.0).marginal(torch.zeros(1, 1, 1, dtype=torch.float64), constants)
    below, above = marginal.tails(torch.tensor([[cell]], dtype=torch.float64))
    assert float(below) == pytest.approx(stats.norm.cdf(cell + 0.25), rel=1e-9)
    assert float(above) == pytest.approx(stats.norm.sf(cell - 0.25), rel=1e-9)
    mass = stats.norm.sf(abs(cell) - 0.25) - stats.norm.sf(abs(cell) + 0.25)
    assert float(marginal.log_prob(torch.tensor([[cell]], dtype=torch.float64)).exp()) == pytest.approx(mass, rel=1e-6)


def test_marginal_beside_spikes_has_normal_tails(constants_of):
    constants = constants_of(spikes=[1.5], floor=0.0)
    outputs = torch.tensor([[[0.0, 0.0, 0.0]]], dtype=torch.float64)
    below, above = SpikedStudentT(floor=0.0).marginal(outputs, constants).tails(outputs.new_tensor([[4.0]]))
    assert float(below) == pytest.approx(0.5 + 0.5 * stats.norm.cdf(4.0), rel=1e-9)
    assert float(above) == pytest.approx(0.5 * stats.norm.sf(4.0), rel=1e-9)


def test_gradient_of_the_normal_probability_of_an_interval_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    scale = (0.5 + torch.rand(2, 1, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    lower = torch.randn(3, 4, generator=generator, dtype=torch.float64) * 3
    width = torch.tensor([0.7, 0.1, 1e-6, 1e-6], dtype=torch.float64)

    def log_mass(center, spread):
        return NormalNoise(center, spread).log_mass(lower, lower + width, width)

    with torch.no_grad():
        low, high = (lower - loc) / scale, (lower + width - loc) / scale
        low, high = np.where(low + high > 0, -high, low), np.where(low + high > 0, -low, high)
        expected = stats.norm.cdf(high) - stats.norm.cdf(low)
        np.testing.assert_allclose(log_mass(loc, scale).exp(), expected, rtol=1e-5, atol=1e-12)
    assert torch.autograd.gradcheck(log_mass, (loc, scale))


@OVER_EACH_BASE
@pytest.mark.parametrize("center", [-6.0, 0.0, 4.0, 40.0])
def test_bounded_noise_far_beyond_its_bounds_still_integrates_to_1(base, center, distribution_of):
    distribution = distribution_of(Bounded(BASES[base]), [center], 0.0, low=-1.0, high=2.0, unseen=0.01)
    cells = torch.linspace(-1, 2, 3001, dtype=torch.float64)[:, None]
    inside = torch.trapezoid(distribution.log_prob(cells).exp().flatten(), dx=1e-3)
    leak = min(0.01, SCIPY[base].cdf(-1 - center) + SCIPY[base].sf(2 - center))
    assert float(inside) == pytest.approx(1 - leak, rel=1e-3)


@OVER_EACH_BASE
def test_cell_beyond_a_bound_is_less_probable_than_by_the_noise_alone(base, distribution_of):
    known = {"low": -1.0, "high": 2.0, "unseen": 0.01}
    cells = torch.tensor([[2.01], [5.0], [-1.5]], dtype=torch.float64)
    bounded = distribution_of(Bounded(BASES[base]), [1.5], 0.0, **known)
    noise = distribution_of(BASES[base], [1.5], 0.0)
    assert (bounded.log_prob(cells) < noise.log_prob(cells)).all()
    assert float(bounded.log_prob(cells.new_tensor([[2.0]]))) > float(noise.log_prob(cells[:1]))


@OVER_EACH_BASE
def test_counts_below_zero_surprise_more_with_distance_and_stay_finite(base, distribution_of):
    distribution = distribution_of(Rounded(BASES[base]), [0.0], 0.0, torch.float32, **ASINH)
    numbers = -np.array([0.0, 0.5, 1.0, 1.5, 10.0, 1e3, 1e6, 1e12])
    cells = torch.tensor((np.arcsinh(numbers) - 1) / 0.5, dtype=torch.float32)[:, None]
    surprise = -distribution.log_prob(cells).flatten()
    assert (surprise.diff() > 0).all()
    assert -distribution.log_prob(torch.tensor([[-1e6]])).item() < 100


@OVER_EACH_BASE
def test_spike_says_as_much_as_the_narrowest_noise_can(base, distribution_of):
    # All probability at the spike, against a normal density of standard deviation 0.05 around it.
    known = {"spikes": [1.5], "floor": 0.05}
    distribution = distribution_of(Spiked(BASES[base]), [0.0, -60.0, 0.0], -40.0, **known)
    nats = float(distribution.log_prob(torch.tensor([1.5], dtype=torch.float64)))
    assert nats == pytest.approx(stats.norm.logpdf(0, 0, 0.05), abs=1e-6)


@OVER_EACH_BASE
def test_value_beside_a_spike_belongs_to_the_noise(base, distribution_of):
    distribution = distribution_of(Spiked(BASES[base]), [0.0, 0.0, 0.0], 0.0, spikes=[1.5])
    for cell in (1.5 - 1e-5, 1.5 + 1e-5):
        nats = float(distribution.log_prob(torch.tensor([cell], dtype=torch.float64)))
        assert nats == pytest.approx(math.log(0.5) + SCIPY[base].logpdf(cell), abs=1e-9)


def test_spiked_features_are_the_number_and_flags_of_the_spikes(constants_of):
    constants = constants_of(dtype=torch.float32, spikes=[0.5, math.nan])
    features = SpikedStudentT().features(torch.tensor([[0.5], [2.0], [1e6]]), 2, constants).squeeze(-2)
    assert features[:2].tolist() == [[0.5, 1, 0], [2, 0, 0]]
    assert features[2, 0].item() == pytest.approx(10 + math.log(1e6 - 9))


@OVER_EACH_BASE
def test_point_of_a_spiked_column_is_the_spike_that_holds_half_or_else_the_mean(base, distribution_of):
    for share, expected in ((0.6, 1.5), (0.4, 0.4 * 1.5 + 0.6 * 0.2)):
        logits = [0.2, math.log(1 - share), math.log(share)]
        distribution = distribution_of(Spiked(BASES[base]), logits, 0.0, spikes=[1.5])
        assert float(distribution.point(distribution.summary())) == pytest.approx(expected)


@OVER_EACH_BASE
def test_point_and_draws_of_bounded_cells_are_between_the_bounds(base, distribution_of):
    known = {"low": -1.0, "high": 2.0, "unseen": 0.01}
    for center in (-30.0, 0.0, 30.0):
        distribution = distribution_of(Bounded(BASES[base]), [center], 0.0, torch.float32, 1000, **known)
        cells = distribution.draw(torch.Generator().manual_seed(0))
        assert (cells >= -1).all()
        assert (cells <= 2).all()
        assert -1 <= float(distribution.point(distribution.summary())[0]) <= 2
