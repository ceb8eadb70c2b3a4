"""The one objective: written out by hand, exact where a closed form is known, and additive by cell."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import Bernoulli, Categorical, Gaussian, Poisson, StudentT
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.priors import Exemplar
from vae_anomaly.model.vae import MIN_LOG_VARIANCE, NOISE_GAIN, VAE


def column(likelihood, frequencies=(), **known):
    levels = tuple(float(level) for level in range(len(frequencies)))
    return Column("c", "continuous", likelihood, "", levels=levels, frequencies=frequencies, **known)


FIRST = column(Gaussian(floor=0.1), location=3.0, scale=2.0)
SECOND = column(Gaussian(floor=0.1), scale=0.25, resolution=0.1)
FLAG = column(Bernoulli(), mean=0.3)
LEVELS = column(Categorical(), (0.5, 0.3, 0.2), unseen=0.01)
MIXED = (FIRST, SECOND, FLAG, LEVELS)
ROWS = [[0.5, -1.0, 1.0, 2.0], [12.0, 0.3, 0.0, 5.0], [-0.7, 0.0, 1.0, 0.0]]
OBSERVED = [[True, True, True, True], [True, True, False, True], [True, False, True, True]]


def vae_of(columns=MIXED, n_members=2, latent_dim=2, sizes=(3,), mask_input=True, seed=0):
    vae = VAE(
        columns,
        latent_dim=latent_dim,
        n_members=n_members,
        backbone=MLP(),
        hidden_layer_sizes=sizes,
        activation="tanh",
        mask_input=mask_input,
        generator=torch.Generator().manual_seed(seed),
    )
    vae.raw_noise.data.uniform_(-0.2, 0.1, generator=torch.Generator().manual_seed(seed))
    return vae.requires_grad_(False)


def batch_of(rows=ROWS, observed=OBSERVED):
    values = torch.tensor(rows)
    mask = torch.ones_like(values, dtype=torch.bool) if observed is None else torch.tensor(observed)
    return Batch(values * mask, mask)


def noise_of(vae, n_draws=5, seed=0):
    shape = (vae.n_members, n_draws, 1, vae.latent_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(body, member, inputs):
    """One hidden layer, a head and the linear path around them, in numpy."""
    weights = {name: tensor[member].double().numpy() for name, tensor in body.state_dict().items()}
    hidden = np.tanh(inputs @ weights["layers.0.weight"] + weights["layers.0.bias"])
    return hidden @ weights["layers.2.weight"] + weights["layers.2.bias"] + inputs @ weights["skip.weight"]


def elbo_by_hand(vae, member, row, observed, noise):
    """Reconstruction by draw and column, and the KL, of one row and member."""
    bounded = [np.sign(cell) * (min(abs(cell), 10) + np.log1p(max(abs(cell) - 10, 0))) for cell in row[:2]]
    one_hot = [float(row[3] == level) for level in range(4)]
    seen = np.array(observed, dtype=float)
    features = np.array([*bounded, row[2], *one_hot]) * seen[[0, 1, 2, 3, 3, 3, 3]]
    mean, log_variance = np.split(layer(vae.encoder, member, np.concatenate([features, seen])[None])[0], 2)
    kl = 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance)
    log_noise = NOISE_GAIN * vae.raw_noise[member].double().numpy()
    floors = [0.1, math.hypot(0.1, 0.1 / 0.25 / math.sqrt(12))]
    draws = []
    for standard in noise[member, :, 0].double().numpy():
        outputs = layer(vae.decoder, member, (mean + np.exp(log_variance / 2) * standard)[None])[0]
        cells = [
            stats.norm.logpdf(row[index], outputs[index], math.hypot(math.exp(log_noise[index]), floors[index]))
            for index in (0, 1)
        ]
        cells[0] -= math.log(2)
        cells[1] -= math.log(0.25)
        cells.append(-math.log1p(math.exp(-outputs[2] if row[2] else outputs[2])))
        levels = np.exp(outputs[3:6]) / np.exp(outputs[3:6]).sum()
        steps = row[3] - 2
        seen_level = 0.99 * (0.999 * levels[int(min(row[3], 2))] + 0.001 / 3)
        cells.append(math.log(seen_level) if steps <= 0 else math.log(0.01 / (steps * (steps + 1))))
        draws.append(np.where(observed, cells, 0))
    return np.array(draws), kl


def test_elbo_equals_the_one_written_out_by_hand():
    vae, batch = vae_of(), batch_of()
    noise = noise_of(vae)
    terms = elbo_terms(vae, batch, noise)
    for member in range(2):
        for index, row in enumerate(batch.values.double().tolist()):
            cells, kl = elbo_by_hand(vae, member, row, OBSERVED[index], noise)
            found = terms.log_likelihood[member, :, index].double().numpy()
            np.testing.assert_allclose(found, cells, rtol=1e-5, atol=1e-5)
            assert terms.kl[member, index].item() == pytest.approx(kl, rel=1e-5)
            expected = cells.sum(1).mean() - kl
            assert terms.elbo[member, index].item() == pytest.approx(expected, rel=1e-5)


def test_terms_add_up():
    vae, batch = vae_of(), batch_of()
    terms = elbo_terms(vae, batch, noise_of(vae))
    assert terms.log_likelihood.shape == (2, 5, 3, 4)
    assert terms.z.shape == (2, 5, 3, 2)
    assert terms.elbo.shape == terms.kl.shape == (2, 3)
    assert torch.equal(terms.elbo, terms.reconstruction - terms.kl)
    by_column = terms.log_likelihood.mean(1)
    torch.testing.assert_close(by_column.sum(-1), terms.reconstruction)


def orthogonal_loadings(n_columns, latent_dim, seed):
    """Loadings with orthogonal columns, so that the posterior covariance is diagonal."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(n_columns, latent_dim)))
    return basis * np.array([2.0, 0.7, 1.2])[:latent_dim], rng.normal(size=n_columns)


def exact_linear_vae(loadings, mean, deviation, scales):
    """Probabilistic PCA with its exact posterior, in float64."""
    latent_dim = loadings.shape[1]
    columns = [column(Gaussian(noise="shared", floor=0.0), scale=scale) for scale in scales]
    vae = vae_of(columns, n_members=1, latent_dim=latent_dim, sizes=(), mask_input=False).double()
    precision = (loadings**2).sum(0) / deviation**2 + 1
    to_latent = loadings / deviation**2 / precision
    vae.encoder.head.weight.data = torch.from_numpy(np.hstack([to_latent, np.zeros_like(to_latent)])[None])
    vae.encoder.head.bias.data = torch.from_numpy(np.concatenate([-mean @ to_latent, -np.log(precision)])[None, None])
    vae.decoder.head.weight.data = torch.from_numpy(loadings.T[None].copy())
    vae.decoder.head.bias.data = torch.from_numpy(mean[None, None])
    vae.raw_noise.data.fill_(math.log(deviation) / NOISE_GAIN)
    return vae


def sigma_points(latent_dim):
    """Draws with mean exactly 0 and covariance exactly I: every expectation of a square is exact under them."""
    points = math.sqrt(latent_dim) * torch.eye(latent_dim, dtype=torch.float64)
    return torch.cat([points, -points])[None, :, None]


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
@pytest.mark.parametrize("deviation", [0.2, 0.6, 2.0])
def test_linear_vae_with_the_exact_posterior_is_probabilistic_pca(latent_dim, deviation):
    loadings, mean = orthogonal_loadings(5, latent_dim, seed=latent_dim)
    scales = np.array([1.0, 2.0, 0.5, 100.0, 1e-3])
    vae = exact_linear_vae(loadings, mean, deviation, scales)
    model = stats.multivariate_normal(mean, loadings @ loadings.T + deviation**2 * np.eye(5))
    rows = np.random.default_rng(0).uniform(-4, 4, (20, 5))
    batch = Batch(torch.from_numpy(rows), torch.ones(20, 5, dtype=torch.bool))
    terms = elbo_terms(vae, batch, sigma_points(latent_dim))
    assert terms.posterior.log_variance.min() > MIN_LOG_VARIANCE
    # In the units of the data each column is stretched by its scale.
    expected = model.logpdf(rows) - np.log(scales).sum()
    np.testing.assert_allclose(terms.elbo[0].numpy(), expected, rtol=0, atol=1e-6)


def test_posterior_too_narrow_for_its_range_gives_a_lower_bound():
    loadings, mean = orthogonal_loadings(5, 2, seed=2)
    vae = exact_linear_vae(loadings, mean, 0.02, np.ones(5))
    model = stats.multivariate_normal(mean, loadings @ loadings.T + 0.02**2 * np.eye(5))
    rows = np.random.default_rng(0).normal(size=(20, 5))
    terms = elbo_terms(vae, Batch(torch.from_numpy(rows), torch.ones(20, 5, dtype=torch.bool)), sigma_points(2))
    assert (terms.posterior.log_variance == MIN_LOG_VARIANCE).all()
    assert (terms.elbo[0].numpy() < model.logpdf(rows) - 1e-3).all()


def test_any_other_posterior_gives_a_lower_bound_of_the_same_density():
    loadings, mean = orthogonal_loadings(5, 2, seed=2)
    vae = exact_linear_vae(loadings, mean, 0.6, np.ones(5))
    vae.encoder.head.weight.data *= 0.8
    vae.encoder.head.bias.data += 0.3
    model = stats.multivariate_normal(mean, loadings @ loadings.T + 0.36 * np.eye(5))
    rows = np.random.default_rng(0).normal(size=(50, 5))
    batch = Batch(torch.from_numpy(rows), torch.ones(50, 5, dtype=torch.bool))
    elbo = elbo_terms(vae, batch, sigma_points(2)).elbo[0].numpy()
    assert (elbo < model.logpdf(rows) - 1e-3).all()


@given(st.floats(1e-6, 1e6), st.integers(0, 1))
def test_rescaled_column_shifts_the_log_likelihood_by_the_log_of_the_factor(factor, index):
    known = [FIRST, column(Gaussian(floor=0.1), scale=0.25)]
    rescaled = list(known)
    rescaled[index] = column(Gaussian(floor=0.1), scale=known[index].scale * factor)
    batch = batch_of([[0.5, -1.0]], None)
    first, second = (
        elbo_terms(vae, batch, noise_of(vae)).log_likelihood
        for vae in (vae_of(known, seed=3), vae_of(rescaled, seed=3))
    )
    shift = (second - first).double()
    torch.testing.assert_close(
        shift[..., index], torch.full((2, 5, 1), -math.log(factor), dtype=torch.float64), rtol=0, atol=1e-4
    )
    assert not shift[..., 1 - index].any()


KINDS = (Gaussian(), StudentT(), Bernoulli(), Poisson(), Categorical())


def one_of_each():
    return [column(kind, (0.5, 0.5) if isinstance(kind, Categorical) else (), unseen=0.1) for kind in KINDS]


@given(index=st.integers(0, 4), value=st.floats(0, 1e6, width=32), fitted=st.booleans())
def test_missing_cell_has_no_influence(index, value, fitted):
    check_value_under_the_mask(index, value, fitted)


@pytest.mark.parametrize("index", range(5))
def test_missing_cell_has_no_influence_even_with_a_value_outside_the_support(index):
    check_value_under_the_mask(index, -1.0, fitted=True)


def check_value_under_the_mask(index, value, fitted):
    vae, row = vae_of(one_of_each()), torch.tensor([[0.3, -2.0, 1.0, 4.0, 0.0]])
    observed = torch.arange(5).unsqueeze(0) != index
    if fitted:
        training = Batch(torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(0)), observed.expand(2, 6, 5))
        vae.prior = Exemplar().fit(vae.posterior(training), training)
    other = row.clone()
    other[0, index] = value
    found, expected = (elbo_terms(vae, Batch(cells, observed), noise_of(vae)) for cells in (other, row))
    assert (expected.log_likelihood[..., index] == 0).all()
    assert torch.equal(found.log_likelihood, expected.log_likelihood)
    assert torch.equal(found.elbo, expected.elbo)


def test_row_without_any_observed_cell_has_no_log_likelihood():
    vae = vae_of()
    terms = elbo_terms(vae, batch_of([[1.0] * 4], [[False] * 4]), noise_of(vae))
    assert not terms.reconstruction.any()
    assert torch.equal(terms.elbo, -terms.kl)


def test_cell_hidden_from_the_encoder_still_counts_in_the_likelihood():
    vae, batch = vae_of(), batch_of(observed=None)
    visible = torch.ones(3, 4, dtype=torch.bool)
    visible[:, 0] = False
    terms = elbo_terms(vae, batch, noise_of(vae), vae.inputs(batch, visible))
    assert (terms.log_likelihood[..., 0] != 0).all()
    hidden = elbo_terms(vae, Batch(batch.values, visible), noise_of(vae))
    assert torch.equal(terms.kl, hidden.kl)
    assert torch.equal(terms.log_likelihood[..., 1:], hidden.log_likelihood[..., 1:])


def test_changing_one_member_leaves_the_terms_of_the_others_bit_identical():
    vae, batch = vae_of(n_members=3), batch_of()
    before = elbo_terms(vae, batch, noise_of(vae))
    for weights in vae.parameters():
        weights.data[0] += 0.1
    after = elbo_terms(vae, batch, noise_of(vae))
    assert torch.equal(after.log_likelihood[1:], before.log_likelihood[1:])
    assert torch.equal(after.kl[1:], before.kl[1:])
    assert not torch.equal(after.elbo[0], before.elbo[0])


def test_members_can_have_rows_of_their_own():
    vae, batch = vae_of(), batch_of()
    rows = torch.tensor([[0, 1], [2, 0]])
    own, shared = elbo_terms(vae, batch.take(rows), noise_of(vae)), elbo_terms(vae, batch, noise_of(vae))
    assert own.elbo.shape == (2, 2)
    torch.testing.assert_close(own.elbo, shared.elbo.gather(1, rows))


def test_noise_can_differ_by_row():
    vae, batch = vae_of(), batch_of()
    noise = torch.randn(2, 4, 3, 2, generator=torch.Generator().manual_seed(5))
    together = elbo_terms(vae, batch, noise)
    for row in range(3):
        alone = elbo_terms(vae, batch.take(slice(row, row + 1)), noise[:, :, row : row + 1])
        torch.testing.assert_close(alone.elbo[:, 0], together.elbo[:, row])


def test_more_draws_give_the_mean_over_draws():
    vae, batch = vae_of(), batch_of()
    noise = noise_of(vae, n_draws=4)
    single = [elbo_terms(vae, batch, noise[:, draw : draw + 1]).elbo for draw in range(4)]
    torch.testing.assert_close(elbo_terms(vae, batch, noise).elbo, torch.stack(single).mean(0))


def test_fitted_prior_replaces_the_standard_normal():
    vae, batch = vae_of(), batch_of()
    training = batch.take(torch.tensor([[0, 1, 2], [0, 1, 2]]))
    before = elbo_terms(vae, batch, noise_of(vae))
    vae.prior = Exemplar().fit(vae.posterior(training), training)
    after = elbo_terms(vae, batch, noise_of(vae))
    assert torch.equal(after.log_likelihood, before.log_likelihood)
    assert torch.equal(after.kl, vae.prior.kl(after.posterior, batch))
    assert not torch.equal(after.kl, before.kl)
