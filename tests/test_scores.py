"""From terms to nats: the arithmetic, the stored noise, and scores that do not depend on other rows."""

import copy
import dataclasses
import math
import os

import joblib
import numpy as np
import pytest
import torch
from joblib._parallel_backends import SequentialBackend
from scipy import stats
from torch.distributions import Normal

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.errors import SpecificationError
from vae_anomaly.fitting.chunks import chunk_rows, map_chunks
from vae_anomaly.fitting.predict import (
    row_statistics,
    score_rows,
    score_shares,
    scores_and_comparisons,
    scoring_noise,
)
from vae_anomaly.likelihoods import Bernoulli, Categorical, Gaussian, Poisson, StudentT
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms, marginal_terms
from vae_anomaly.model.experts import KNOTS, Experts
from vae_anomaly.model.kernel_bounds import fit_kernels, kernel_bound
from vae_anomaly.model.priors import Exemplar, FittedStandardNormal
from vae_anomaly.model.vae import VAE
from vae_anomaly.scores import (
    ELBO,
    KL,
    SCORES,
    ImportanceWeighted,
    LikelihoodRegret,
    LocalRatio,
    MemberScore,
    PooledELBO,
    Reconstruction,
    RelativeScore,
    pool_of,
    resolve_score,
)

EVERY = pytest.mark.parametrize("name", SCORES)
CPU = torch.device("cpu")


def column(likelihood, n_levels=0, **known):
    levels = tuple(float(level) for level in range(n_levels))
    frequencies = (1 / n_levels,) * n_levels if n_levels else ()
    return Column("c", "continuous", likelihood, "", levels=levels, frequencies=frequencies, unseen=0.01, **known)


KINDS = (
    column(Gaussian(), location=3.0, scale=0.1),
    column(StudentT(), scale=2.0),
    column(Categorical(), 3),
    column(Bernoulli(), mean=0.3),
    column(Poisson(), mean=2.0),
)


def columns_of(n_columns):
    """As many columns of all kinds in the model's order."""
    return sorted((KINDS[position % 5] for position in range(n_columns)), key=KINDS.index)


def experts_of(n_experts, n_columns=6, seed=0):
    """Statistics that tell experts apart, of which only one column in two counts as missing."""
    generator = torch.Generator().manual_seed(seed)
    return Experts(
        torch.rand(n_experts, n_columns, generator=generator),
        torch.randn(n_experts, len(KNOTS) - 1, generator=generator),
        -10 * torch.rand(n_experts, generator=generator),
        torch.arange(n_columns) % 2 == 0,
    )


def vae_of(n_columns=6, n_members=2, latent_dim=3, sizes=(16, 8), seed=0, columns=None):
    return VAE(
        columns or columns_of(n_columns),
        latent_dim=latent_dim,
        n_members=n_members,
        backbone=MLP(),
        hidden_layer_sizes=sizes,
        activation="silu",
        mask_input=True,
        generator=torch.Generator().manual_seed(seed),
    ).requires_grad_(False)


def batch_of(n_rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    real = 2 * torch.randn(n_rows, len(columns), generator=generator)
    codes = torch.randint(0, 4, (n_rows, len(columns)), generator=generator).float()
    values = torch.empty_like(real)
    for position, known in enumerate(columns):
        values[:, position] = real[:, position] if known.likelihood.standardize else codes[:, position]
        if isinstance(known.likelihood, Bernoulli):
            values[:, position] %= 2
    observed = torch.rand(values.shape, generator=generator) < 0.9
    return Batch(values * observed, observed)


def scored_model(name, n_columns=6, n_members=2, latent_dim=3, sizes=(16, 8), seed=0, n_draws=None):
    """A score, a model that it can be computed with, its columns, and the stored noise."""
    score = SCORES[name]() if n_draws is None else SCORES[name](n_draws=n_draws)
    if isinstance(score, LikelihoodRegret):
        score = dataclasses.replace(score, n_steps=3)
    columns = [KINDS[0]] * n_columns if score.for_images else columns_of(n_columns)
    vae = vae_of(n_columns, n_members, latent_dim, sizes, seed, columns)
    vae.grid = (1, n_columns) if score.for_images else None
    noise = scoring_noise(n_members, n_draws or 64, latent_dim, seed=seed)
    if (pool := pool_of(score)) is not None:
        vae.experts = experts_of(pool.n_experts(n_members), n_columns)
        vae.kernels = kernels_of(vae, batch_of(50, columns, seed=98)) if pool.kernels else None
    if isinstance(score, RelativeScore):
        vae.reference_statistics = row_statistics(vae, batch_of(50, columns, seed=99), score, noise)
    return score, vae, columns, noise


def fit_exemplars(vae, batch):
    own = batch.take(torch.arange(len(batch)).expand(vae.n_members, -1))
    vae.prior = Exemplar().fit(vae.posterior(own), own)


def identical(first, second):
    return first.dtype == second.dtype and torch.equal(first, second)


SHAPES = [(n, 1 + (n * 7) % 16, 1 + (n * 3) % 8) for n in (*range(1, 14), 16, 21, 23, 31, 40)]


@pytest.mark.parametrize(("n_columns", "latent_dim", "n_members"), SHAPES)
def test_scores_are_bit_identical_in_any_order_company_and_number(n_columns, latent_dim, n_members):
    name = list(SCORES)[n_columns % len(SCORES)]
    sizes = (n_columns + 3, 13)
    score, vae, columns, noise = scored_model(name, n_columns, n_members, latent_dim, sizes, n_columns, n_draws=6)
    batch = batch_of(70, columns, seed=n_columns)
    if n_columns % 2:
        fit_exemplars(vae, batch)
    expected = score_rows(vae, batch, score, noise)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(n_columns))
    assert torch.isfinite(expected).all()
    assert identical(score_rows(vae, batch.take(order), score, noise), expected[order])
    assert identical(score_rows(vae, batch.padded(77), score, noise)[:70], expected)
    assert identical(score_rows(vae, batch.take(slice(13, 40)), score, noise), expected[13:40])
    for row in range(0, 70, 23):
        assert identical(score_rows(vae, batch.take(slice(row, row + 1)), score, noise), expected[row : row + 1])


@EVERY
@pytest.mark.parametrize("fitted", [False, True])
def test_scores_do_not_depend_on_the_border_between_chunks(name, fitted):
    score, vae, columns, noise = scored_model(name, n_members=8, latent_dim=16)
    batch = batch_of(200, columns)
    if fitted:
        fit_exemplars(vae, batch)
    assert chunk_rows(vae, 64) == (32 if fitted else 128)
    expected = score_rows(vae, batch, score, noise)
    moved = score_rows(vae, batch.take(slice(100, 200)), score, noise)
    assert expected.shape == (200,)
    assert identical(moved, expected[100:])


@EVERY
def test_scores_do_not_depend_on_the_number_of_threads(name):
    score, vae, columns, noise = scored_model(name, n_members=8, latent_dim=16)
    batch = batch_of(100, columns)
    fit_exemplars(vae, batch)
    n_threads = torch.get_num_threads()
    try:
        found = []
        for wanted in (1, 3):
            torch.set_num_threads(wanted)
            found.append(score_rows(vae, batch, score, noise))
    finally:
        torch.set_num_threads(n_threads)
    assert identical(*found)


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_scores_do_not_depend_on_the_backend_of_joblib(backend):
    score, vae, columns, noise = scored_model("pooled_elbo", n_members=8, latent_dim=16)
    batch = batch_of(300, columns)
    fit_exemplars(vae, batch)
    expected = score_rows(vae, batch, score, noise), score_shares(vae, batch, score, noise).cells
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config(backend):
            found = score_rows(vae, batch, score, noise), score_shares(vae, batch, score, noise).cells
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)
    assert all(identical(*pair) for pair in zip(expected, found, strict=True))


class Counted(SequentialBackend):
    """A backend of joblib that counts how often it is set up."""

    uses = 0

    def configure(self, *arguments, **options):
        type(self).uses += 1
        return super().configure(*arguments, **options)


class RayBackend(Counted):
    """Has the name of Ray's."""


@pytest.mark.parametrize(("backend", "is_used"), [(Counted, True), (RayBackend, False)])
def test_backend_that_is_asked_for_is_used_unless_it_is_a_cluster(backend, is_used):
    vae, batch, noise = vae_of(), batch_of(600, columns_of(6)), scoring_noise(2, 4, 3, seed=0)
    expected = score_rows(vae, batch, ELBO(), noise)
    joblib.register_parallel_backend("counted", backend)
    backend.uses = 0
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config("counted"):
            assert identical(score_rows(vae, batch, ELBO(), noise), expected)
    finally:
        torch.set_num_threads(1)
    assert (backend.uses > 0) == is_used


@pytest.mark.slow
def test_backend_of_joblib_is_really_used():
    columns = columns_of(6)
    vae, batch, noise = vae_of(n_members=8, latent_dim=16), batch_of(300, columns), scoring_noise(8, 64, 16, seed=0)
    torch.set_num_threads(2)
    try:
        with joblib.parallel_config("loky"):
            (processes,) = map_chunks(processes_of_rows, vae, noise, batch)
        (threads,) = map_chunks(processes_of_rows, vae, noise, batch)
    finally:
        torch.set_num_threads(1)
    assert os.getpid() not in processes
    assert set(threads.tolist()) == {os.getpid()}


def processes_of_rows(vae, noise, part):
    return (torch.full((len(part),), os.getpid()),)


@EVERY
def test_scoring_twice_gives_the_same_bits_and_leaves_global_state_alone(name):
    score, vae, columns, noise = scored_model(name, n_draws=4)
    batch = batch_of(20, columns)
    before = torch.get_rng_state()
    first = score_rows(vae, batch, score, noise)
    assert identical(score_rows(vae, batch, score, noise), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.dtype == torch.float64


def test_no_rows_have_no_scores():
    empty = batch_of(5, columns_of(6)).take(slice(0, 0))
    assert score_rows(vae_of(), empty, ELBO(), scoring_noise(2, 4, 3, seed=0)).shape == (0,)


def reduced(score, n_draws=5, n_members=3):
    """A score of a few rows, and its ingredients in numpy by way of torch.distributions."""
    vae, batch = vae_of(n_members=n_members), batch_of(7, columns_of(6))
    if (pool := pool_of(score)) is not None:
        vae.experts = experts_of(pool.n_experts(n_members))
        vae.kernels = kernels_of(vae, batch) if pool.kernels else None
    noise = scoring_noise(n_members, n_draws, 3, seed=0)
    terms = elbo_terms(vae, batch, noise)
    posterior = Normal(terms.posterior.mean.unsqueeze(1), torch.exp(0.5 * terms.posterior.log_variance).unsqueeze(1))
    log_prior = Normal(0.0, 1.0).log_prob(terms.z).sum(-1).double().numpy()
    log_posterior = posterior.log_prob(terms.z).sum(-1).double().numpy()
    log_likelihood = terms.log_likelihood.sum(-1).double().numpy()
    value = score.reduce(terms, vae, batch).double().numpy()
    return value, log_likelihood, terms.kl.double().numpy(), log_prior, log_posterior


def elbo_by_hand(log_likelihood, kl, log_prior, log_posterior):
    return np.mean([log_likelihood[member].mean(0) - kl[member] for member in range(3)], axis=0)


def elbo_per_cell_by_hand(log_likelihood, kl, log_prior, log_posterior):
    return (
        elbo_by_hand(log_likelihood, kl, log_prior, log_posterior) / batch_of(7, columns_of(6)).observed.sum(1).numpy()
    )


def importance_by_hand(log_likelihood, kl, log_prior, log_posterior):
    weights = np.exp(log_likelihood + log_prior - log_posterior).reshape(15, -1)
    return np.log(weights.sum(0) / 15)


def alone_by_hand():
    """Cells under the independence model: normal, by their frequencies, and with the rates of training."""
    batch = batch_of(7, columns_of(6))
    x = batch.values.double().numpy()
    deviation = math.hypot(1, 0.05)
    cells = np.empty_like(x)
    cells[:, :2] = stats.norm.logpdf(x[:, :2], scale=deviation) - math.log(0.1)
    cells[:, 2] = stats.norm.logpdf(x[:, 2], scale=deviation) - math.log(2)
    steps = np.maximum(x[:, 3] - 2, 1)
    cells[:, 3] = np.where(x[:, 3] <= 2, math.log(0.99 / 3), np.log(0.01 / (steps * (steps + 1))))
    cells[:, 4] = stats.bernoulli.logpmf(x[:, 4], 0.3)
    cells[:, 5] = stats.poisson.logpmf(x[:, 5], 2)
    return (cells * batch.observed.numpy()).sum(1)


def pool_by_hand(*ingredients, score=None, others=()):
    """The soft minimum of bounds, each less what it charges, about their medians."""
    score = score or PooledELBO()
    experts, missing = experts_of(4 + len(others)), ~batch_of(7, columns_of(6)).observed.numpy()
    cells, combination, medians = (part.double().numpy() for part in list(experts.buffers())[:3])
    share = missing[:, ::2].sum(1) / 3
    charges = missing @ cells.T + np.array([np.interp(share, KNOTS, [0, *of_expert]) for of_expert in combination]).T
    charges = np.stack([charges[:, :3].mean(1), *charges[:, 3:].T])
    bounds = np.stack([elbo_by_hand(*ingredients), alone_by_hand(), *others]) - charges
    middle = np.array([medians[:3].mean(), *medians[3:]])[:, None]
    weights = np.array([score.independence, score.kernels][: len(bounds) - 1])
    weights = np.array([1 - weights.sum(), *weights])[:, None]
    if score.sharpness == 0:
        return (weights * bounds).sum(0)
    mean = (weights * np.exp(-score.sharpness * (bounds - middle))).sum(0)
    return (weights * middle).sum() - np.log(mean) / score.sharpness


def kernels_of(vae, batch):
    """Kernels at rows, whose scores are their numbers."""
    kernels = fit_kernels(vae, batch)
    kernels.scores = torch.arange(len(batch)).double().expand(1 + vae.n_members, -1).contiguous()
    return kernels


def ratio_by_hand(*ingredients):
    """Of rows that all have a kernel, and no other has: each has the six others for neighbours."""
    vae, batch, score = vae_of(n_members=3), batch_of(7, columns_of(6)), LocalRatio()
    local = kernel_bound(vae, batch, kernels_of(vae, batch), marginal_terms(vae, batch)).numpy()
    around = (21 - np.arange(7)) / 6
    return pool_by_hand(*ingredients, score=score, others=[local]) - score.strength * around


COMPARED_IN_TEST_SURPRISE = {
    "debiased_elbo",
    "input_complexity",
    "likelihood_ratio",
    "likelihood_regret",
    "likelihood_path",
    "surprise",
}
BY_HAND = {
    "pooled_elbo": pool_by_hand,
    "local_ratio": ratio_by_hand,
    "elbo": elbo_by_hand,
    "elbo_per_cell": elbo_per_cell_by_hand,
    "importance_weighted": importance_by_hand,
    "reconstruction": lambda log_likelihood, *_: log_likelihood.sum((0, 1)) / 15,
    "kl": lambda _, kl, *__: -kl.sum(0) / 3,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_score_equals_the_arithmetic_written_out(name):
    found, *ingredients = reduced(SCORES[name]())
    np.testing.assert_allclose(found, BY_HAND[name](*ingredients), rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.9])
def test_independence_is_the_weight_of_the_independence_model(weight):
    vae, batch = vae_of(), batch_of(30, columns_of(6))
    noise = scoring_noise(2, 4, 3, seed=0)
    alone = marginal_terms(vae, batch).double().sum(1)
    pooled = score_rows(vae, batch, PooledELBO(independence=weight, sharpness=0), noise)
    members = score_rows(vae, batch, ELBO(), noise)
    torch.testing.assert_close(pooled, (1 - weight) * members + weight * alone, rtol=1e-12, atol=1e-12)
    assert weight > 0 or identical(pooled, members)


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.9])
def test_terms_of_cells_add_up_to_the_pooled_score(weight):
    vae, batch = vae_of(), batch_of(30, columns_of(6))
    fit_exemplars(vae, batch)
    noise = scoring_noise(2, 4, 3, seed=0)
    score = PooledELBO(independence=weight, sharpness=0)
    shares = score_shares(vae, batch, score, noise)
    pooled = score_rows(vae, batch, score, noise)
    torch.testing.assert_close(shares.cells.sum(1) - shares.of_row, pooled, rtol=1e-12, atol=1e-12)
    assert not shares.cells[~batch.observed].any()


@pytest.mark.parametrize("wrong", [-0.1, 1.0, 2.0, math.nan])
def test_impossible_weight_of_the_independence_model_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^independence is a number from 0 to below 1, not"):
        PooledELBO(independence=wrong)


def test_reconstruction_and_kl_make_the_elbo():
    vae, batch = vae_of(), batch_of(30, columns_of(6))
    fit_exemplars(vae, batch)
    noise = scoring_noise(2, 4, 3, seed=0)
    parts = [score_rows(vae, batch, score, noise) for score in (Reconstruction(), KL())]
    torch.testing.assert_close(sum(parts), score_rows(vae, batch, ELBO(), noise), rtol=1e-12, atol=1e-12)


def test_importance_weighted_bound_exceeds_the_elbo_and_rises_with_the_draws():
    vae, batch = vae_of(n_members=1, sizes=()), batch_of(200, columns_of(6))
    fit_exemplars(vae, batch_of(50, columns_of(6), seed=1))
    means = []
    for n_draws in (1, 4, 16, 64):
        noises = [scoring_noise(1, n_draws, 3, seed) for seed in range(8)]
        means.append(
            np.mean([float(score_rows(vae, batch, ImportanceWeighted(n_draws), noise).mean()) for noise in noises])
        )
    elbo = float(score_rows(vae, batch, ELBO(), scoring_noise(1, 256, 3, seed=0)).mean())
    assert means[1] > elbo + 0.1
    assert np.all(np.diff(means) > 0.05)


def test_importance_weighted_bound_is_exact_with_the_exact_posterior():
    # One latent and one column: x = 2 z + noise of deviation 0.5, so x ~ N(0, 4.25) and z | x is known.
    vae = vae_of(columns=[column(Gaussian(floor=0.0))], n_members=1, latent_dim=1, sizes=()).double()
    vae.encoder.head.weight.data = torch.tensor([[[2 / 4.25, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    vae.encoder.head.bias.data = torch.tensor([[[0.0, math.log(0.25 / 4.25)]]], dtype=torch.float64)
    vae.decoder.head.weight.data.fill_(2)
    vae.decoder.head.bias.data.zero_()
    vae.raw_noise.data.fill_(math.log(0.5) / 5)
    rows = torch.linspace(-6, 6, 9, dtype=torch.float64).unsqueeze(-1)
    batch = Batch(rows, torch.ones(9, 1, dtype=torch.bool))
    found = score_rows(vae, batch, ImportanceWeighted(1), torch.full((1, 1, 1, 1), 0.8, dtype=torch.float64))
    expected = stats.norm.logpdf(rows.flatten(), scale=math.sqrt(4.25))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_mean_of_the_members_bounds_is_below_the_bound_of_their_mixture():
    found, log_likelihood, _, log_prior, log_posterior = reduced(ImportanceWeighted())
    of_members = np.mean(log_likelihood + log_prior - log_posterior, axis=(0, 1))
    assert (found > of_members).all()


@pytest.mark.parametrize(
    ("n_members", "n_draws", "n_rows"),
    # 2 ** 22 numbers, divided by members, draws and at least 64 outputs.
    [(1, 1, 256), (8, 4, 256), (8, 64, 128), (8, 100, 64), (32, 64, 32), (64, 1024, 4)],
)
def test_chunks_are_a_power_of_two_that_keeps_memory_bounded(n_members, n_draws, n_rows):
    assert chunk_rows(vae_of(n_members=n_members, sizes=()), n_draws) == n_rows


def test_wide_tables_have_smaller_chunks():
    wide = vae_of(columns=[KINDS[0]] * 1000, n_members=8, sizes=())
    assert chunk_rows(wide, 8) == 64


@pytest.mark.parametrize(("n_rows", "n_chunks"), [(0, 1), (3, 1), (4, 1), (9, 3)])
def test_chunks_have_one_shape_and_hold_every_row_once(n_rows, n_chunks, monkeypatch):
    monkeypatch.setattr("vae_anomaly.fitting.chunks.MAX_CHUNK_ROWS", 4)
    columns = columns_of(6)
    batch = Batch(batch_of(n_rows, columns).values, torch.ones(n_rows, 6, dtype=torch.bool))
    seen = []

    def values_and_rows(vae, noise, part, other):
        seen.append(part)
        return part.values + other.values, part.observed.sum(1)

    values, n_observed = map_chunks(values_and_rows, vae_of(), scoring_noise(2, 4, 3, seed=0), batch, batch)
    assert len(seen) == n_chunks
    assert all(part.values.shape == part.observed.shape == (4, 6) for part in seen)
    # Where no cell is missing, chunks are filled up with copies of the last row.
    assert all(part.observed.all() for part in seen) == (n_rows > 0)
    assert torch.equal(torch.cat([part.values for part in seen])[:n_rows], batch.values)
    assert torch.equal(values, 2 * batch.values.double())
    assert n_observed.tolist() == [6.0] * n_rows


@pytest.mark.parametrize("name", [name for name, kind in SCORES.items() if issubclass(kind, MemberScore)])
def test_score_of_a_member_is_that_of_an_ensemble_of_one(name):
    score, vae, columns, noise = scored_model(name, n_members=3)
    batch = batch_of(20, columns)
    _, by_member = scores_and_comparisons(vae, batch, score, noise, by_member=True)
    for member in range(3):
        alone = copy.deepcopy(vae)
        alone.n_members = 1
        for parameter in alone.parameters():
            parameter.data = parameter.data[member : member + 1].clone()
        alone.prior = FittedStandardNormal(1, vae.latent_dim)
        if vae.experts is not None:
            own = torch.tensor([member, *range(3, len(vae.experts.medians))])
            statistics = [of_experts[own] for of_experts in list(vae.experts.buffers())[:3]]
            alone.experts = Experts(*statistics, vae.experts.counted)
        if vae.kernels is not None:
            alone.kernels.scores = vae.kernels.scores[[0, 1 + member]]
        expected = score_rows(alone, batch, score, noise[member : member + 1])
        torch.testing.assert_close(torch.from_numpy(by_member[:, member]), expected, rtol=1e-5, atol=1e-4)


@EVERY
def test_impossible_number_of_draws_is_refused(name):
    for wrong in (0, -1, math.nan):
        with pytest.raises(ValueError, match=r"^n_draws "):
            SCORES[name](n_draws=wrong)


@EVERY
def test_name_resolves_to_the_default_and_an_instance_to_itself(name):
    score = resolve_score(name)
    assert score == SCORES[name]()
    assert resolve_score(score) is score


@pytest.mark.parametrize("wrong", ["loss", 3, None, ELBO, ["elbo"]])
def test_unknown_score_is_refused_with_the_names_there_are(wrong):
    with pytest.raises(SpecificationError, match=r"elbo.*importance_weighted"):
        resolve_score(wrong)


def test_chunk_is_scored_in_a_bounded_number_of_operations(operations):
    columns = [KINDS[1]] * 6
    vae, batch = vae_of(n_members=4, sizes=(16, 16), columns=columns), batch_of(300, columns)
    fit_exemplars(vae, batch)
    vae.experts = experts_of(5)
    noise, score = scoring_noise(4, 1, vae.latent_dim, seed=1), SCORES["pooled_elbo"]()
    rows = Batch(batch.values[:64], torch.ones_like(batch.observed[:64]))
    # Weights are arranged and sizes of chunks tried out on the first call.
    score_rows(vae, rows, score, noise)
    with operations:
        score_rows(vae, rows, score, noise)
    products = operations.counts["aten.bmm.default"] + operations.counts["aten.baddbmm.default"]
    # Three layers and a way around them in each body, and one for the exemplars.
    assert products == 2 * 4 + 1
    assert operations.counts.total() <= 215
