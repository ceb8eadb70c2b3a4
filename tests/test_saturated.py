"""The best outputs that a decoder could have: never worse than others, and as good as closed forms say."""

import math

import pytest
import torch

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import LIKELIHOODS, DiscretizedLogistic, Gaussian, Poisson, StudentT
from vae_anomaly.likelihoods.noise import OUTERMOST
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms, saturated_terms
from vae_anomaly.model.vae import VAE

BOUNDS = {"low": -2.0, "high": 2.0, "unseen": 0.1}
STEPS = {"low": -2.0, "step": 0.25, "unseen": 0.1}
# Cells, room for levels or spikes, and what training taught.
CELLS = {
    **dict.fromkeys(("gaussian", "unit_gaussian", "student_t"), ([-30.0, -0.3, 0.0, 1.9], 0, {"floor": 0.05})),
    "rounded_student_t": ([-2.0, -0.25, 0.0, 30.0], 0, {"floor": 0.05, **STEPS}),
    "bounded_student_t": ([-2.0, -0.5, 0.0, 2.0], 0, {"floor": 0.05, **BOUNDS}),
    "spiked_student_t": ([-2.0, 0.0, 0.7, 1.0], 2, {"floor": 0.05, "spikes": [0.0, 1.0]}),
    "spiked_rounded_student_t": ([-2.0, 0.0, 0.75, 1.0], 2, {"floor": 0.05, "spikes": [0.0, 1.0], **STEPS}),
    "spiked_bounded_student_t": ([-2.0, 0.0, 0.7, 2.0], 2, {"floor": 0.05, "spikes": [0.0, 2.0], **BOUNDS}),
    "continuous_bernoulli": ([0.0, 0.25, 0.5, 1.0], 0, {}),
    "bernoulli": ([0.0, 0.3, 0.5, 1.0], 0, {}),
    "binary": ([0.0, 1.0, 2.0, 5.0], 2, {"n_levels": 2, "unseen": 0.1}),
    "categorical": ([0.0, 1.0, 2.0, 3.0], 4, {"n_levels": 3, "unseen": 0.1}),
    "constant": ([0.0, 1.0], 0, {"n_levels": 1, "unseen": 0.1}),
    "ordinal": (
        [0.0, 1.0, 2.0, 3.0],
        4,
        {"n_levels": 3, "unseen": 0.1, "floor": 0.05, "cuts": [-OUTERMOST, -0.8, 0.6, OUTERMOST, 2 * OUTERMOST]},
    ),
    "poisson": ([0.0, 1.0, 7.0, 300.0], 0, {}),
    "discretized_logistic": ([-2.0, -0.25, 0.0, 2.0], 0, {"low": -2.0, "high": 2.0, "step": 0.25}),
}


def log_prob(likelihood, outputs, cells, constants, log_noise=0.0):
    noise = torch.full((likelihood.noise_size(cells.shape[-1]),), log_noise, dtype=cells.dtype)
    return likelihood.distribution(outputs, noise, constants).log_prob(cells)


def best(name, constants_of, log_noise=0.0, dtype=torch.float64):
    cells, width, known = CELLS[name]
    constants = constants_of(len(cells), dtype, **known)
    cells = torch.tensor([cells], dtype=dtype)
    outputs = LIKELIHOODS[name]().saturated(cells, width, constants)
    assert outputs.shape == (*cells.shape, LIKELIHOODS[name]().n_parameters(width))
    return log_prob(LIKELIHOODS[name](), outputs, cells, constants, log_noise).squeeze(0)


@pytest.mark.parametrize("name", CELLS)
def test_single_precision_finds_the_same(name, constants_of):
    exact, single = (best(name, constants_of, dtype=dtype) for dtype in (torch.float64, torch.float32))
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=2e-5)


def entropy(share):
    return sum(part * math.log(part) for part in (share, 1 - share) if part)


PEAK = 1 / (math.sqrt(2 * math.pi) * 0.05)
CLOSED = {
    "gaussian": [-math.log(math.hypot(1, 0.05) * math.sqrt(2 * math.pi))] * 4,
    "unit_gaussian": [-0.5 * math.log(2 * math.pi)] * 4,
    "student_t": [math.log(0.375 / math.hypot(1, 0.05))] * 4,
    "bernoulli": [0.0, entropy(0.3), entropy(0.5), 0.0],
    "binary": [*[math.log(0.9 * 0.9995)] * 2, math.log(0.05), math.log(0.1 / 20)],
    "categorical": [*[math.log(0.9 * (0.999 + 0.001 / 3))] * 3, math.log(0.05)],
    "constant": [math.log(0.9), math.log(0.1)],
    "poisson": [0.0, *[n * math.log(n) - n - math.lgamma(n + 1) for n in (1.0, 7.0, 300.0)]],
    "discretized_logistic": [0.0] * 4,
    "spiked_student_t": [
        math.log(0.375 / math.hypot(1, 0.05)),
        math.log(PEAK),
        math.log(0.375 / math.hypot(1, 0.05)),
        math.log(PEAK),
    ],
}


@pytest.mark.parametrize("name", CLOSED)
def test_best_log_likelihood_equals_the_closed_form(name, constants_of):
    tolerance = 1e-4 if name == "discretized_logistic" else 2e-6
    assert best(name, constants_of).tolist() == pytest.approx(CLOSED[name], abs=tolerance)


def test_lowest_rounded_cell_is_certain(constants_of):
    for name in ("rounded_student_t", "spiked_rounded_student_t"):
        assert float(best(name, constants_of)[0]) == pytest.approx(math.log(0.9), abs=1e-6)


@pytest.mark.parametrize("cell", [0.01, 0.3, 0.5, 0.97])
def test_best_continuous_bernoulli_variable_has_its_mean_at_the_cell(cell, constants_of):
    likelihood, constants = LIKELIHOODS["continuous_bernoulli"](), constants_of()
    cells = torch.tensor([[cell]], dtype=torch.float64)
    outputs = likelihood.saturated(cells, 0, constants)
    assert float(likelihood.distribution(outputs, torch.zeros(0), constants).mean) == pytest.approx(cell, abs=1e-6)


def test_mixture_agrees_on_the_cell(constants_of):
    likelihood, constants = DiscretizedLogistic(n_components=3), constants_of(3, low=-2.0, high=2.0, step=0.25)
    cells = torch.tensor([[-2.0, 0.25, 2.0]], dtype=torch.float64)
    outputs = likelihood.saturated(cells, 0, constants)
    assert log_prob(likelihood, outputs, cells, constants).flatten().tolist() == pytest.approx([0.0] * 3, abs=1e-4)


@torch.no_grad()
def test_terms_by_cell_take_each_members_noise_the_units_of_the_data_and_the_mask():
    columns = (
        Column("a", "continuous", Gaussian(floor=0.0), "given", scale=4.0),
        Column("b", "continuous", StudentT(floor=0.0), "given", location=1.0, scale=0.5),
        Column("n", "count", Poisson(), "given"),
    )
    vae = VAE(
        columns,
        latent_dim=2,
        n_members=2,
        backbone=MLP(),
        hidden_layer_sizes=(3,),
        activation="tanh",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    )
    vae.raw_noise.copy_(torch.tensor([[0.1, -0.2], [0.3, 0.0]]))
    values = torch.tensor([[0.7, -1.0, 3.0], [0.0, 0.0, 0.0]])
    observed = torch.tensor([[True, True, True], [True, False, False]])
    found = saturated_terms(vae, Batch(values, observed))
    poisson = 3 * math.log(3) - 3 - math.log(6)
    half = math.sqrt(2 * math.pi)
    expected = [
        [
            [-math.log(4 * math.exp(n) * half), math.log(0.375 / 0.5) - t, poisson],
            [-math.log(4 * math.exp(n) * half), 0, 0],
        ]
        for n, t in ((0.5, -1.0), (1.5, 0.0))
    ]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)
    terms = elbo_terms(
        vae, Batch(values, observed), torch.randn(2, 64, 1, 2, generator=torch.Generator().manual_seed(1))
    )
    assert (terms.log_likelihood <= found.unsqueeze(1) + 1e-5).all()
