"""Grey levels as intervals under logistic distributions: probabilities that sum to 1, exact far out, and learnable."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.likelihoods import ColumnFacts, DiscretizedLogistic
from vae_anomaly.likelihoods.logistic import MAX_LOG_SCALE, STEPS_OF_MIN_SCALE

# Levels 0 to 255 with mean 100 and standard deviation 50.
STEP, LOW, HIGH = 1 / 50, -2.0, 3.1
LEVELS = torch.arange(256, dtype=torch.float64) / 50 - 2
KNOWN = {"step": STEP, "low": LOW, "high": HIGH}
COMPONENTS = pytest.mark.parametrize("n_components", [1, 3])


def outputs_of(n_components, locations, log_scales, logits=()):
    return [*locations[:n_components], *log_scales[:n_components], *(logits[:n_components] if n_components > 1 else ())]


def total(distribution, dtype=torch.float64):
    return float(distribution.log_prob(LEVELS.to(dtype).unsqueeze(-1)).double().exp().sum())


@COMPONENTS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(
    locations=st.lists(st.floats(-50, 50), min_size=3, max_size=3),
    log_scales=st.lists(st.floats(-40, 40), min_size=3, max_size=3),
    logits=st.lists(st.floats(-30, 30), min_size=3, max_size=3),
)
def test_probabilities_of_all_levels_sum_to_1(n_components, dtype, locations, log_scales, logits, distribution_of):
    outputs = outputs_of(n_components, locations, log_scales, logits)
    distribution = distribution_of(DiscretizedLogistic(n_components), outputs, dtype=dtype, **KNOWN)
    assert total(distribution, dtype) == pytest.approx(1, abs=1e-9 if dtype == torch.float64 else 2e-4)


@COMPONENTS
def test_levels_have_the_probabilities_of_their_intervals(n_components, distribution_of):
    locations, log_scales, logits = [0.3, -1.5, 2.9], [-1.0, -3.0, 0.5], [0.0, 1.0, -0.5]
    outputs = outputs_of(n_components, locations, log_scales, logits)
    distribution = distribution_of(DiscretizedLogistic(n_components), outputs, **KNOWN)
    weights = np.exp(logits) / np.exp(logits).sum() if n_components > 1 else [1.0]
    smallest = STEPS_OF_MIN_SCALE * STEP
    expected = np.zeros(256)
    for weight, loc, log_scale in zip(weights, locations, log_scales, strict=False):
        noise = stats.logistic(loc, math.exp(log_scale) + smallest)
        edges = noise.cdf(np.r_[-np.inf, LEVELS[1:].numpy() - STEP / 2, np.inf])
        expected += weight * np.diff(edges)
    found = distribution.log_prob(LEVELS.unsqueeze(-1)).flatten().exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
    below, above = (tail.flatten().numpy() for tail in distribution.tails(LEVELS.unsqueeze(-1)))
    np.testing.assert_allclose(below, expected.cumsum(), atol=1e-12)
    np.testing.assert_allclose(above, expected[::-1].cumsum()[::-1], atol=1e-12)


@pytest.mark.parametrize("loc", [-900.0, 900.0])
def test_far_levels_keep_their_digits(loc, distribution_of):
    distribution = distribution_of(DiscretizedLogistic(), [loc, 0.0], dtype=torch.float32, **KNOWN)
    scale, cell = 1 + STEPS_OF_MIN_SCALE * STEP, torch.tensor([[0.5]])
    # Far out the logistic density is exponential: the probability is that at the near end times 1 - exp(-step / scale).
    distance = (abs(loc - 0.5) - STEP / 2) / scale
    expected = -distance + math.log(-math.expm1(-STEP / scale))
    assert float(distribution.log_prob(cell)) == pytest.approx(expected, rel=1e-5)
    tail = min(float(tail) for tail in distribution.tails(torch.tensor([[0.5]])))
    assert tail == pytest.approx(0, abs=1e-30)


def test_cells_beyond_the_ends_are_less_probable_and_finite(distribution_of):
    distribution = distribution_of(DiscretizedLogistic(), [0.3, -1.0], dtype=torch.float32, **KNOWN)
    for cells in ([LOW, -9.0, -1e6], [HIGH, 9.0, 1e6]):
        found = distribution.log_prob(torch.tensor(cells).unsqueeze(-1)).flatten()
        assert (found.diff() < 0).all()
        assert torch.isfinite(found).all()


def test_levels_without_ends_sum_to_1_too(distribution_of):
    distribution = distribution_of(DiscretizedLogistic(), [0.3, -1.0], step=STEP)
    levels = torch.arange(-2000, 2001, dtype=torch.float64).unsqueeze(-1) * STEP
    assert float(distribution.log_prob(levels).exp().sum()) == pytest.approx(1, abs=1e-9)


@COMPONENTS
@pytest.mark.parametrize("known", [KNOWN, {"step": STEP}])
def test_draws_have_the_stated_distribution(n_components, known, distribution_of):
    outputs = outputs_of(n_components, [0.3, -1.9, 2.9], [-1.0, -3.0, 0.5], [0.0, 1.0, -0.5])
    likelihood = DiscretizedLogistic(n_components)
    many = distribution_of(likelihood, outputs, n_rows=20_000, **known)
    cells = many.draw(torch.Generator().manual_seed(0)).flatten()
    cells = (cells / STEP).round() * STEP
    assert torch.isfinite(cells).all()
    for level in (-2.0, -1.9, 0.0, 0.5, 2.5):
        cell = torch.full((1, 1), level, dtype=torch.float64)
        lower, upper = (float(tail.flatten()[0]) for tail in many.tails(cell))
        assert (cells <= level + 1e-9).double().mean() == pytest.approx(lower, abs=0.015)
        assert (cells >= level - 1e-9).double().mean() == pytest.approx(upper, abs=0.015)


@COMPONENTS
@pytest.mark.parametrize("cell", [LOW, LOW + STEP, 0.5, HIGH])
@pytest.mark.parametrize("log_scale", [-40.0, -5.0, 0.0, 40.0])
@pytest.mark.parametrize("loc", [-60.0, 0.5, 60.0])
def test_gradient_is_finite_everywhere(n_components, cell, log_scale, loc, distribution_of):
    outputs = torch.tensor(outputs_of(n_components, [loc, 0.0, 1.0], [log_scale] * 3, [0.0, 5.0, -5.0]))
    outputs.requires_grad_()
    distribution = distribution_of(DiscretizedLogistic(n_components), outputs, dtype=torch.float32, **KNOWN)
    log_prob = distribution.log_prob(torch.tensor([[cell]])).sum()
    log_prob.backward()
    assert torch.isfinite(log_prob)
    assert torch.isfinite(outputs.grad).all()


def test_scale_has_a_floor_and_a_ceiling(distribution_of):
    floor, ceiling = (
        float(distribution_of(DiscretizedLogistic(), [0.0, log_scale], **KNOWN).scale) for log_scale in (-99.0, 99.0)
    )
    assert floor == pytest.approx(STEPS_OF_MIN_SCALE * STEP)
    assert ceiling == pytest.approx(math.exp(MAX_LOG_SCALE) + floor)


def test_mean_stays_between_the_ends(distribution_of):
    for loc, expected in ((-9.0, LOW), (0.4, 0.4), (9.0, HIGH)):
        assert float(distribution_of(DiscretizedLogistic(), [loc, 0.0], **KNOWN).mean) == pytest.approx(expected)


@COMPONENTS
def test_outputs_start_around_the_mean(n_components, distribution_of):
    likelihood = DiscretizedLogistic(n_components)
    start = likelihood.start(ColumnFacts(mean=0.7))
    assert len(start) == likelihood.n_parameters(0)
    assert float(distribution_of(likelihood, list(start), **KNOWN).mean) == pytest.approx(0.7)


def test_mixture_of_no_components_is_refused():
    with pytest.raises(ValueError, match=r"^n_components .* at least 1"):
        DiscretizedLogistic(0)
