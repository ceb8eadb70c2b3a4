"""Student-t noise behind intervals: single precision against scipy, gradients, bounds, spikes, ordered levels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.likelihoods import (
    BoundedStudentT,
    Ordinal,
    RoundedStudentT,
    SpikedBoundedStudentT,
    SpikedRoundedStudentT,
    SpikedStudentT,
    StudentT,
)
from vae_anomaly.likelihoods.interval import FAR, _asinh_distance, interval_mass, t_quantile, upper_tail

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


@pytest.mark.parametrize("size", [0.0, 0.01, 0.5, 1.0, 30.0, 1e4, 1e8])
@pytest.mark.parametrize("step", [1e-3, 0.5, 10.0, -1e-3, -0.4])
def test_asinh_distance_equals_the_difference_of_arcsines_in_single_precision(size, step):
    start, length = single(size, step)
    begin, end = np.longdouble(float(start)), np.longdouble(float(start)) + np.longdouble(float(length))
    expected = float(np.arcsinh(end) - np.arcsinh(begin))
    assert _asinh_distance(start, length).item() == pytest.approx(expected, rel=1e-5, abs=1e-12)


BENT = {"location": 1.0, "scale": 0.5, "asinh_scale": 1.0, "step": 0.5, "low": -2.0, "unseen": 0.01}
ONE_SPIKE = {"spikes": [0.5, math.nan]}
LOGITS = [0.3, 0.0, 1.0, -math.inf]
TRAINED = [
    (RoundedStudentT(), [0.3], {"step": 0.25}),
    (RoundedStudentT(), [0.3], BENT),
    (BoundedStudentT(), [0.3], {"low": -1.0, "high": 2.0, "unseen": 0.01}),
    (BoundedStudentT(), [80.0], {"low": -1.0, "high": 2.0, "unseen": 0.01}),
    (Ordinal(), [0.3], {"n_levels": 3, "unseen": 0.01, "cuts": [-FAR, -0.5, 0.5, FAR, 2 * FAR]}),
    (SpikedStudentT(), LOGITS, ONE_SPIKE),
    (SpikedRoundedStudentT(), LOGITS, ONE_SPIKE | {"step": 0.25}),
    (SpikedRoundedStudentT(), LOGITS, ONE_SPIKE | BENT),
    (SpikedBoundedStudentT(), [0.3, 0.0, 1.0, 0.5], {"spikes": [-1.0, 2.0], "low": -1.0, "high": 2.0, "unseen": 0.01}),
]


@pytest.mark.parametrize("case", range(len(TRAINED)))
@pytest.mark.parametrize("log_noise", [-40.0, 0.0, 6.0])
def test_likelihood_and_gradient_are_finite_in_far_tails_at_bounds_and_at_spikes(case, log_noise, constants_of):
    likelihood, start, known = TRAINED[case]
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


@given(center=st.floats(-20, 20), log_noise=st.floats(-3, 1))
def test_rounded_probability_never_exceeds_1_and_tends_to_the_density_of_small_steps(
    center, log_noise, distribution_of
):
    def nats(step):
        rounded = distribution_of(RoundedStudentT(), [center], log_noise, floor=0.05, step=step)
        return float(rounded.log_prob(torch.tensor([0.7], dtype=torch.float64)))

    scale = math.hypot(0.05, math.exp(log_noise))
    assert nats(1.0) <= 0
    assert nats(1e-4) - math.log(1e-4) == pytest.approx(stats.t.logpdf(0.7, 4, center, scale), abs=1e-4)


def test_bounded_noise_far_beyond_its_bounds_still_integrates_to_1(distribution_of):
    distribution = distribution_of(BoundedStudentT(), [40.0], 0.0, low=-1.0, high=2.0, unseen=0.01)
    cells = torch.linspace(-1, 2, 3001, dtype=torch.float64)[:, None]
    inside = torch.trapezoid(distribution.log_prob(cells).exp().flatten(), dx=1e-3)
    assert float(inside) == pytest.approx(0.99, rel=1e-5)


def test_cell_beyond_a_bound_is_stranger_than_the_noise_alone_would_say(distribution_of):
    known = {"low": -1.0, "high": 2.0, "unseen": 0.01}
    cells = torch.tensor([[2.01], [5.0], [-1.5]], dtype=torch.float64)
    bounded = distribution_of(BoundedStudentT(), [1.5], 0.0, **known).log_prob(cells)
    plain = distribution_of(StudentT(), [1.5], 0.0).log_prob(cells)
    assert (bounded < plain).all()
    at_bound = distribution_of(BoundedStudentT(), [1.5], 0.0, **known).log_prob(cells.new_tensor([[2.0]]))
    assert float(at_bound) > float(plain[0])


def test_counts_below_zero_surprise_more_with_distance_and_stay_finite(distribution_of):
    distribution = distribution_of(RoundedStudentT(), [0.0], 0.0, torch.float32, **BENT)
    numbers = -np.array([0.0, 0.5, 1.0, 1.5, 10.0, 1e3, 1e6, 1e12])
    cells = torch.tensor((np.arcsinh(numbers) - 1) / 0.5, dtype=torch.float32)[:, None]
    surprise = -distribution.log_prob(cells).flatten()
    assert (surprise.diff() > 0).all()
    assert -distribution.log_prob(torch.tensor([[-1e6]])).item() < 100


def test_ordered_levels_far_from_the_centre_are_less_probable(distribution_of):
    cuts = [-FAR, *stats.t.ppf([0.2, 0.4, 0.6, 0.8], 4).tolist(), FAR]
    distribution = distribution_of(Ordinal(), [cuts[1] - 0.5], -1.5, n_levels=5, unseen=0.01, cuts=cuts)
    probabilities = distribution.log_prob(torch.arange(5.0, dtype=torch.float64)[:, None]).flatten()
    assert (probabilities.diff() < 0).all()


def test_ordinal_codes_that_cannot_be_are_unseen_and_the_room_behind_the_levels_is_empty(distribution_of):
    known = {"n_levels": 2, "unseen": 0.2, "cuts": [-FAR, 0.0, FAR, 2 * FAR, 3 * FAR]}
    distribution = distribution_of(Ordinal(), [0.0], 0.0, **known)
    assert distribution.probs.flatten().tolist() == pytest.approx([0.5, 0.5, 0, 0])
    nats = distribution.log_prob(torch.tensor([[2.0], [3.0]], dtype=torch.float64)).flatten()
    assert nats.exp().tolist() == pytest.approx([0.2 / 2, 0.2 / 6])


def test_spike_says_as_much_as_the_narrowest_noise_can(distribution_of):
    # All probability at the spike, against a normal density of standard deviation 0.05 around it.
    known = {"spikes": [1.5], "floor": 0.05}
    distribution = distribution_of(SpikedStudentT(), [0.0, -60.0, 0.0], -40.0, **known)
    nats = float(distribution.log_prob(torch.tensor([1.5], dtype=torch.float64)))
    assert nats == pytest.approx(stats.norm.logpdf(0, 0, 0.05), abs=1e-6)


def test_value_beside_a_spike_belongs_to_the_noise(distribution_of):
    distribution = distribution_of(SpikedStudentT(), [0.0, 0.0, 0.0], 0.0, spikes=[1.5])
    for cell in (1.5 - 1e-5, 1.5 + 1e-5):
        nats = float(distribution.log_prob(torch.tensor([cell], dtype=torch.float64)))
        assert nats == pytest.approx(math.log(0.5) + stats.t.logpdf(cell, 4), abs=1e-9)


def test_spiked_features_are_the_number_and_flags_of_the_spikes(constants_of):
    constants = constants_of(dtype=torch.float32, spikes=[0.5, math.nan])
    features = SpikedStudentT().features(torch.tensor([[0.5], [2.0], [1e6]]), 2, constants).squeeze(-2)
    assert features[:2].tolist() == [[0.5, 1, 0], [2, 0, 0]]
    assert features[2, 0].item() == pytest.approx(10 + math.log(1e6 - 9))


def test_features_of_ordered_levels_rise_evenly_and_end_with_the_unseen(constants_of):
    features = Ordinal().features(torch.tensor([[0.0], [1.0], [2.0], [4.0], [99.0]]), 4, constants_of())
    assert features.flatten().tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 5 / 3, 2])


def test_point_of_a_spiked_column_is_the_spike_that_holds_half_or_else_the_mean(distribution_of):
    likelihood = SpikedStudentT()
    for share, expected in ((0.6, 1.5), (0.4, 0.4 * 1.5 + 0.6 * 0.2)):
        logits = [0.2, math.log(1 - share), math.log(share)]
        distribution = distribution_of(likelihood, logits, 0.0, spikes=[1.5])
        assert float(likelihood.point(likelihood.summary(distribution))) == pytest.approx(expected)


def test_point_of_an_ordinal_column_is_the_median_of_the_mixture():
    assert Ordinal().point(torch.tensor([[0.4, 0.2, 0.4], [0.6, 0.4, 0.0], [0.1, 0.1, 0.8]])).tolist() == [1, 0, 2]


def test_point_and_draws_of_bounded_cells_lie_between_the_bounds(distribution_of):
    likelihood = BoundedStudentT()
    for center in (-30.0, 0.0, 30.0):
        distribution = distribution_of(likelihood, [center], 0.0, torch.float32, 1000, low=-1.0, high=2.0, unseen=0.01)
        cells = likelihood.draw(distribution, torch.Generator().manual_seed(0))
        assert (cells >= -1).all()
        assert (cells <= 2).all()
        assert -1 <= float(likelihood.point(likelihood.summary(distribution))[0]) <= 2
