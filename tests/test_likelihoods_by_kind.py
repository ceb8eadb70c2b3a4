"""What single likelihoods promise beside their contract: floors, smoothing, single precision, features, supports."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from vae_anomaly.likelihoods import (
    Bernoulli,
    Binary,
    Categorical,
    ColumnFacts,
    ContinuousBernoulli,
    Gaussian,
    Poisson,
    StudentT,
    UnitGaussian,
)
from vae_anomaly.likelihoods.categorical import CategoricalDistribution

INF = math.inf


def log_prob(distribution, value):
    return float(distribution.log_prob(torch.tensor([value], dtype=torch.float64)))


@pytest.mark.parametrize("logit", [-40.0, -20.0, -0.01, 0.003, 0.05, 4.0, 12.0, 20.0, 40.0])
def test_continuous_bernoulli_is_a_density_in_single_precision(logit, distribution_of):
    distribution = distribution_of(ContinuousBernoulli(), [logit], dtype=torch.float32)
    cells = torch.linspace(0, 1, 20_001).unsqueeze(-1)
    density = distribution.log_prob(cells).double().exp().flatten().numpy()
    assert integrate.simpson(density, dx=1 / 20_000) == pytest.approx(1, abs=2e-3)


def test_bernoulli_of_grey_values_is_the_binary_cross_entropy(distribution_of):
    white, grey = 0.8, 0.25
    expected = grey * math.log(white) + (1 - grey) * math.log(1 - white)
    assert log_prob(distribution_of(Bernoulli(), [math.log(4)]), grey) == pytest.approx(expected)


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_unit_gaussian_is_half_the_squared_error_and_a_constant(distribution_of, mean, cell):
    expected = -0.5 * (cell - mean) ** 2 - 0.5 * math.log(2 * math.pi)
    assert log_prob(distribution_of(UnitGaussian(), [mean]), cell) == pytest.approx(expected)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
@given(log_noise=st.floats(-100, 5), floor=st.floats(1e-3, 3))
def test_learned_noise_never_falls_below_the_floor(likelihood, log_noise, floor, distribution_of):
    distribution = distribution_of(likelihood, [0.0], log_noise, torch.float32, floor=floor)
    assert float(distribution.scale) >= floor * (1 - 1e-6)
    assert float(distribution.scale) == pytest.approx(math.hypot(math.exp(log_noise), floor), rel=1e-5)


def test_noise_is_learned_for_each_column_or_once(constants_of):
    assert [Gaussian().noise_size(7), Gaussian(noise="shared").noise_size(7), StudentT().noise_size(7)] == [7, 1, 7]
    constants = constants_of(2, torch.float32)
    shared = Gaussian(noise="shared").distribution(torch.zeros(2, 1), torch.tensor([math.log(3)]), constants)
    own = Gaussian().distribution(torch.zeros(2, 1), torch.tensor([0.0, math.log(3)]), constants)
    assert shared.scale.expand(2).tolist() == pytest.approx([3, 3])
    assert own.scale.tolist() == pytest.approx([1, 3])


@pytest.mark.parametrize("smoothing", [1e-3, 0.1])
@pytest.mark.parametrize("unseen", [0.0, 0.2])
def test_smoothing_bounds_the_surprise_of_a_seen_level(smoothing, unseen, distribution_of):
    known = {"outputs": [1e4, 0.0, 0.0], "n_levels": 3, "unseen": unseen}
    surprise = -log_prob(distribution_of(Categorical(smoothing=smoothing), **known), 1.0)
    assert surprise == pytest.approx(math.log(3 / smoothing) - math.log1p(-unseen))


@given(st.integers(1, 6), st.integers(1, 1000))
def test_unseen_levels_surprise_more_than_seen_ones_and_more_with_distance(distribution_of, n_levels, n_rows):
    # Where the network says nothing the levels are equally probable.
    distribution = distribution_of(Categorical(), [0.0] * n_levels, n_levels=n_levels, unseen=1 / (n_levels + n_rows))
    codes = torch.arange(float(n_levels + 30), dtype=torch.float64).unsqueeze(-1)
    surprise = -distribution.log_prob(codes).flatten()
    assert torch.isfinite(surprise).all()
    assert (surprise[n_levels:] > surprise[:n_levels].max()).all()
    assert (surprise[n_levels:].diff() > 0).all()


def padded_levels(smoothing):
    """Two columns with 3 and 2 levels in room for 4."""
    logits = torch.tensor([[0.1, 0.2, 0.3, -INF], [1.0, -1.0, -INF, -INF]], requires_grad=True)
    distribution = CategoricalDistribution(logits, torch.tensor([3.0, 2.0]), torch.tensor([0.1, 0.2]), smoothing)
    return logits, distribution


@pytest.mark.parametrize("smoothing", [0.0, 1e-3])
def test_room_without_a_level_has_probability_0_and_no_nan_gradient(smoothing):
    logits, distribution = padded_levels(smoothing)
    assert distribution.probs[0, 3] == 0
    assert distribution.probs[1, 2:].tolist() == [0, 0]
    torch.testing.assert_close(distribution.probs.sum(-1), torch.ones(2))
    cells = torch.tensor([[0.0, 0.0], [2.0, 1.0], [3.0, 9.0]])
    (distribution.log_prob(cells).sum() + (distribution.probs**2).sum()).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 3] == 0
    assert logits.grad[0, 0] != 0


def test_code_behind_the_levels_is_unseen_even_where_there_is_room():
    _, distribution = padded_levels(1e-3)
    surprises = distribution.log_prob(torch.tensor([3.0, 2.0]))
    assert surprises.tolist() == pytest.approx([math.log(0.1 / 2), math.log(0.2 / 2)])


def test_probabilities_of_levels_are_those_of_the_cells():
    _, distribution = padded_levels(0.05)
    for code in (0.0, 1.0):
        of_cell = distribution.log_prob(torch.tensor([code, code])).exp() / torch.tensor([0.9, 0.8])
        torch.testing.assert_close(of_cell, distribution.probs[:, int(code)])


LOGITS, SMOOTHING = st.floats(-30, 30), st.sampled_from([0.0, 1e-3, 0.2])


@given(LOGITS, LOGITS, SMOOTHING, st.floats(0.01, 0.5), st.sampled_from([0.0, 1.0, 2.0, 5.0]))
def test_binary_is_categorical_with_the_difference_of_two_logits(distribution_of, a, b, smoothing, unseen, code):
    known = {"n_levels": 2, "unseen": unseen, "leading": (1, 1)}
    one, two = Binary(smoothing), Categorical(smoothing)
    outputs = [torch.tensor(given, dtype=torch.float64, requires_grad=True) for given in ([b - a], [a, b])]
    short, long = distribution_of(one, outputs[0], **known), distribution_of(two, outputs[1], **known)
    torch.testing.assert_close(short.probs, long.probs)
    cell, weights = torch.tensor([[code]], dtype=torch.float64), torch.ones(1, 1, 1, 1, dtype=torch.float64)
    tails = (part.tail_probability(cell, weights) for part in (short, long))
    torch.testing.assert_close(*tails)
    found, expected = short.log_prob(cell), long.log_prob(cell)
    torch.testing.assert_close(found, expected)
    (found + expected).sum().backward()
    torch.testing.assert_close(outputs[0].grad, outputs[1].grad[1:])


@pytest.mark.parametrize("smoothing", [0.0, 1e-3])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_binary_is_finite_and_trainable_whatever_the_logit(smoothing, logit, distribution_of):
    outputs = torch.tensor([logit], requires_grad=True)
    distribution = distribution_of(Binary(smoothing), outputs, dtype=torch.float32, n_levels=2, unseen=0.1)
    nats = distribution.log_prob(torch.tensor([[0.0], [1.0], [2.0]]))
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize("log_rate", [-1e4, -200.0, -80.0, 50.0, 1e4])
@pytest.mark.parametrize("count", [0.0, 1.0])
def test_poisson_is_finite_and_trainable_whatever_the_rate(log_rate, count, distribution_of):
    outputs = torch.tensor([log_rate], requires_grad=True)
    nats = distribution_of(Poisson(), outputs, dtype=torch.float32).log_prob(torch.tensor([count]))
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize("count", [1e2, 1e4, 1e6])
def test_poisson_of_large_counts_keeps_its_digits_in_single_precision(count, distribution_of):
    distribution = distribution_of(Poisson(), [math.log(count)], dtype=torch.float32)
    nats = float(distribution.log_prob(torch.tensor([count])))
    assert nats == pytest.approx(stats.poisson.logpmf(count, count), abs=0.01)


@pytest.mark.parametrize(
    ("likelihood", "mean"), [(UnitGaussian(), -3.0), (Bernoulli(), 0.2), (Poisson(), 7.5), (Gaussian(), 0.0)]
)
def test_decoder_starts_at_the_mean(likelihood, mean, distribution_of):
    distribution = distribution_of(likelihood, list(likelihood.start(ColumnFacts(mean=mean))))
    assert float(distribution.mean) == pytest.approx(mean)


def test_flag_that_never_changes_starts_at_a_finite_surprise(distribution_of):
    distribution = distribution_of(Bernoulli(), list(Bernoulli().start(ColumnFacts(mean=0.0))))
    assert -log_prob(distribution, 1.0) == pytest.approx(math.log(1000), abs=1e-6)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
@given(cell=st.floats(-10, 10, width=32))
def test_features_are_the_cell_itself_within_ten_deviations(likelihood, cell, constants_of):
    assert likelihood.features(torch.tensor([cell]), 0, constants_of()).item() == pytest.approx(cell, abs=1e-6)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
@given(cells=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_features_are_bounded_odd_and_rise_with_the_cell(likelihood, cells, constants_of):
    cells = torch.tensor(sorted(cells))
    features = likelihood.features(cells, 0, constants_of()).squeeze(-1)
    assert features.abs().max() <= 10 + math.log(1e6)
    assert (features.diff() >= 0).all()
    torch.testing.assert_close(likelihood.features(-cells, 0, constants_of()).squeeze(-1), -features)


def test_feature_of_a_far_cell_by_hand(constants_of):
    cells = torch.tensor([10 + math.e - 1, -1e6])
    expected = [11.0, -(10 + math.log(1e6 - 9))]
    assert Gaussian().features(cells, 0, constants_of()).flatten().tolist() == pytest.approx(expected)


def test_features_of_levels_are_one_hot_those_of_two_are_signs_and_those_of_counts_logarithmic(constants_of):
    features = Categorical().features(torch.tensor([[0.0, 2.0, 7.0]]), 4, constants_of())
    assert features.tolist() == [[[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]]
    features = Binary().features(torch.tensor([[0.0, 1.0, 2.0, 7.0]]), 2, constants_of())
    assert features.tolist() == [[[-1], [1], [0], [0]]]
    features = Poisson().features(torch.tensor([0.0, math.e - 1, 1e6]), 0, constants_of()).flatten()
    assert features.tolist() == pytest.approx([0, 1, math.log(1e6 + 1)])


SUPPORTED = [
    *((flag, [0, 0.5, 1], [-0.01, 1.01, INF]) for flag in (Bernoulli(), ContinuousBernoulli())),
    (Poisson(), [0, 1, 1e6], [-1, 0.5, INF]),
    (UnitGaussian(), [-1e9, 0], [INF, -INF]),
]


@pytest.mark.parametrize(("likelihood", "inside", "outside"), SUPPORTED)
def test_support_is_known_cell_by_cell(likelihood, inside, outside):
    assert likelihood.supports(torch.tensor(inside)).all()
    assert not likelihood.supports(torch.tensor(outside)).any()
