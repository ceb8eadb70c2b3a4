"""The independence model: each column by itself, against scipy, and the pool that it makes with the members."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import (
    Binary,
    Categorical,
    Constant,
    Gaussian,
    RoundedStudentT,
    SpikedStudentT,
    StudentT,
)
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms, marginal_terms
from vae_anomaly.model.experts import Experts
from vae_anomaly.model.vae import VAE
from vae_anomaly.scores import PooledELBO

INF = math.inf
# The noise floor of a twentieth is part of the variance.
WIDER = math.hypot(1, 0.05)


def column(likelihood, frequencies=(), **known):
    if likelihood is not None and not known.get("spikes"):
        known["levels"] = tuple(float(level) for level in range(len(frequencies)))
    return Column("c", "continuous", likelihood, "", frequencies=frequencies, **known)


def vae_of(*columns, n_members=2, latent_dim=2, sizes=(5,)):
    return VAE(
        columns,
        latent_dim=latent_dim,
        n_members=n_members,
        backbone=MLP(),
        hidden_layer_sizes=sizes,
        activation="tanh",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    ).requires_grad_(False)


def batch_of(rows, dtype=torch.float32):
    cells = torch.tensor(rows, dtype=dtype)
    return Batch(cells.nan_to_num(), ~cells.isnan())


def alone(known, cells):
    """log p(x) of single cells of one column, given in model units."""
    return marginal_terms(vae_of(known), batch_of([[cell] for cell in cells])).flatten().double().numpy()


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT()])
def test_numbers_are_normal_in_the_units_of_the_data(likelihood):
    data = np.array([1.0, 3.0, 3.5, 27.0, -200.0])
    found = alone(column(likelihood, location=3.0, scale=0.5), (data - 3) / 0.5)
    np.testing.assert_allclose(found, stats.norm.logpdf(data, 3, 0.5 * WIDER), rtol=1e-6)


def test_numbers_on_an_asinh_scale_are_normal_there():
    data = np.array([0.0, 1.0, 50.0, 1e6])
    units = np.arcsinh(data / 2)
    found = alone(column(StudentT(), location=1.5, scale=0.7, asinh_scale=2.0), (units - 1.5) / 0.7)
    slope = -0.5 * np.log(1 + (data / 2) ** 2) - math.log(2)
    np.testing.assert_allclose(found, stats.norm.logpdf(units, 1.5, 0.7 * WIDER) + slope, rtol=1e-5)


ROUNDED = {"location": 40.0, "scale": 8.0, "step": 2.0}


def log_step(data, center=40.0, deviation=8.0 * WIDER, step=2.0):
    """log P(data - step / 2 < X < data + step / 2), from the side on which nothing cancels."""
    far = np.abs(np.asarray(data) - center)
    upper, lower = (stats.norm.logsf(far + side * step / 2, scale=deviation) for side in (-1, 1))
    return upper + np.log(-np.expm1(lower - upper))


def test_rounded_cells_have_the_probability_of_their_step():
    data = np.array([40.0, 42.0, 38.0, 20.0, 90.0, 280.0, -200.0])
    found = alone(column(RoundedStudentT(), **ROUNDED), (data - 40) / 8)
    # The last two are 30 deviations out.
    np.testing.assert_allclose(found, log_step(data) - math.log(2), rtol=1e-5)
    assert np.isfinite(found).all()


def test_rounded_cells_near_the_middle_equal_the_difference_of_the_distribution_function():
    data = np.array([40.0, 46.0, 30.0])
    found = alone(column(RoundedStudentT(), **ROUNDED), (data - 40) / 8)
    mass = stats.norm.cdf(data + 1, 40, 8 * WIDER) - stats.norm.cdf(data - 1, 40, 8 * WIDER)
    np.testing.assert_allclose(found, np.log(mass / 2), rtol=1e-5)


@pytest.mark.parametrize("step", [1.0, 1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("cell", [0.0, 3.0, 30.0, 1e4, 1e6])
def test_steps_of_any_size_have_a_finite_probability(step, cell, constants_of):
    constants = constants_of(step=step, floor=0.0)
    marginal = RoundedStudentT(floor=0.0).marginal(torch.zeros(1, 1, 1, dtype=torch.float64), constants)
    found = float(marginal.log_prob(torch.tensor([[cell]], dtype=torch.float64)))
    expected = float(log_step(cell, 0.0, 1.0, step)) if step == 1 else stats.norm.logpdf(cell) + math.log(step)
    tolerance = step * (1 + cell) if step < 1 else 0.0
    assert found == pytest.approx(expected, rel=1e-9, abs=tolerance**2 + 1e-6)


@pytest.mark.parametrize("low", [-INF, 0.0, 37.0])
@pytest.mark.parametrize("asinh_scale", [0.0, 3.0])
def test_rounded_normal_sums_to_1_over_the_lattice(low, asinh_scale, constants_of):
    data = np.arange(-200.0 if low == -INF else low, 400.0)
    location, scale = (3.0, 0.4) if asinh_scale else (40.0, 8.0)

    def in_model_units(number):
        return ((np.arcsinh(number / asinh_scale) if asinh_scale else number) - location) / scale

    # Columns on an asinh scale count in units of the asinh_scale, straight ones in units of the scale.
    known = (
        {"location": location, "scale": scale, "asinh_scale": 1.0, "step": 1 / asinh_scale}
        if asinh_scale
        else {"step": 1 / scale}
    )
    constants = constants_of(low=-INF if low == -INF else float(in_model_units(low)), unseen=0.01, **known)
    marginal = RoundedStudentT().marginal(torch.zeros(1, 1, 1, dtype=torch.float64), constants)
    if asinh_scale:
        data = np.arange(data[0], 4000.0)
    total = float(marginal.log_prob(torch.from_numpy(in_model_units(data)).unsqueeze(-1)).exp().sum())
    # Below the lowest possible number is the probability of the unseen.
    assert total == pytest.approx(1.0 if low == -INF else 0.99, abs=1e-6)


def test_numbers_beside_spikes_are_normal_and_spikes_as_frequent_as_in_training():
    known = column(SpikedStudentT(), (0.4, 0.6), spikes=(10.0,), location=20.0, scale=5.0)
    found = alone(known, [-2.0, 1.0, 6.0])
    peak = stats.norm.pdf(0, scale=0.05)
    expected = [math.log(0.6 * peak / 5), *(math.log(0.4) + stats.norm.logpdf([25, 50], 20, 5 * WIDER))]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_levels_are_as_frequent_as_in_training():
    found = alone(column(Categorical(smoothing=0.0), (0.5, 0.3, 0.2), unseen=0.01), [0, 1, 2, 3, 4])
    expected = np.log([0.99 * 0.5, 0.99 * 0.3, 0.99 * 0.2, 0.01 / 2, 0.01 / 6])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_two_levels_are_as_frequent_as_in_training():
    found = alone(column(Binary(smoothing=0.0), (0.9, 0.1), unseen=0.02), [0, 1, 2])
    np.testing.assert_allclose(found, np.log([0.98 * 0.9, 0.98 * 0.1, 0.02 / 2]), rtol=1e-5)


def test_constant_is_certain_but_for_the_unseen():
    found = alone(column(Constant(), (1.0,), unseen=0.25), [0, 1])
    np.testing.assert_allclose(found, np.log([0.75, 0.25]), rtol=1e-6)


MIXED = (
    column(Gaussian(), location=3.0, scale=2.0),
    column(RoundedStudentT(), **ROUNDED),
    column(Categorical(), (0.5, 0.3, 0.2), unseen=0.01),
    column(Binary(), (0.9, 0.1), unseen=0.02),
    column(Constant(), (1.0,), unseen=0.25),
)


def test_missing_cells_have_no_term():
    rows = [[0.5, 1.0, 2.0, 1.0, 0.0], [math.nan, 1.0, math.nan, 1.0, math.nan], [math.nan] * 5]
    found = marginal_terms(vae_of(*MIXED), batch_of(rows))
    assert ((found == 0) == torch.tensor(rows).isnan()).all()
    assert torch.equal(found[1, [1, 3]], found[0, [1, 3]])


def test_weights_have_no_part_in_it():
    vae, batch = vae_of(*MIXED), batch_of([[0.5, 1.0, 2.0, 1.0, 0.0]])
    before = marginal_terms(vae, batch)
    for weights in vae.parameters():
        weights.add_(1)
    assert torch.equal(marginal_terms(vae, batch), before)


@pytest.mark.parametrize("sharpness", [0, 0.1, 1])
def test_pool_is_a_lower_bound_of_the_mixture_of_members_and_independence_model(sharpness):
    # One latent: p(x) of a member is an integral over a fine grid.
    vae = vae_of(*MIXED[:4], latent_dim=1)
    vae.raw_noise.fill_(-0.2)
    generator = torch.Generator().manual_seed(1)
    cells = torch.stack(
        [
            *(2 * torch.randn(2, 40, generator=generator)),
            torch.randint(0, 4, (40,), generator=generator).float(),
            torch.randint(0, 3, (40,), generator=generator).float(),
        ],
        1,
    )
    batch = Batch(cells, torch.ones_like(cells, dtype=torch.bool))
    grid = torch.linspace(-8, 8, 1601)
    z = grid.expand(2, -1).reshape(2, -1, 1, 1).expand(-1, -1, 40, -1)
    parts = [
        distribution.log_prob(cells[:, group.columns])
        for group, distribution in zip(vae.groups, vae.decode(z), strict=True)
    ]
    log_joint = vae.in_data_units(torch.cat(parts, -1), cells).double().sum(-1)
    log_joint = log_joint - 0.5 * (grid.double() ** 2 + math.log(2 * math.pi)).unsqueeze(-1) + math.log(0.01)
    members = log_joint.logsumexp(1)
    independent = marginal_terms(vae, batch).double().sum(-1)
    # About medians, the soft minimum bounds the mixture with other weights, up to a constant.
    weights, medians = torch.tensor([0.7, 0.3]).double(), torch.tensor([-9.0, -7.0]).double()
    vae.experts = Experts(torch.zeros(3, 4), torch.zeros(3, 7), medians[[0, 0, 1]].float(), torch.ones(4).bool())
    total = (weights * (sharpness * medians).exp()).sum()
    constant = total.log() / sharpness - (weights * medians).sum() if sharpness else 0.0
    of_members, of_other = weights * (sharpness * medians).exp() / total
    logs = [member + math.log(of_members / 2) for member in members]
    mixture = torch.stack([*logs, independent + math.log(of_other)]).logsumexp(0)
    # Equally probable quantiles of the normal distribution, so many that the bound is exact to a thousandth.
    noise = torch.special.ndtri((torch.arange(512) + 0.5) / 512).expand(2, -1).reshape(2, 512, 1, 1)
    score = PooledELBO(independence=0.3, sharpness=sharpness)
    pooled = score.reduce(elbo_terms(vae, batch, noise), vae, batch) + constant
    assert (pooled <= mixture + 1e-3).all()
    assert (mixture - pooled).mean() < 20
