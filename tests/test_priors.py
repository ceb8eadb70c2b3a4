"""Priors: closed forms against torch.distributions, leave-one-out by hand, and the width that it chooses."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from vae_anomaly.columns.batch import Batch
from vae_anomaly.errors import SpecificationError
from vae_anomaly.model.priors import (
    PRIORS,
    Exemplar,
    FittedExemplar,
    Mixture,
    Posterior,
    StandardNormal,
    resolve_prior,
)
from vae_anomaly.model.priors.exemplar import KERNEL_WIDTHS, LEAVE_ONE_OUT_ROWS
from vae_anomaly.model.priors.mixture import PRIOR_ROWS, FittedMixture

EVERY = pytest.mark.parametrize("name", PRIORS)


def rows_of(*values, n_members=1):
    """One row for each number, shared by or repeated for all members."""
    cells = torch.tensor(values, dtype=torch.float32).reshape(-1, 1)
    batch = Batch(cells, torch.ones_like(cells, dtype=torch.bool))
    return batch.take(torch.arange(len(values)).expand(n_members, -1))


def posterior_of(n_members, n_rows, latent_dim, seed=0, spread=1.5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_members, n_rows, latent_dim)
    mean = spread * torch.randn(shape, generator=generator, dtype=dtype)
    return Posterior(mean, torch.randn(shape, generator=generator, dtype=dtype) - 1)


def normals(posterior):
    return Independent(Normal(posterior.mean, torch.exp(0.5 * posterior.log_variance)), 1)


def exemplars(n_members=2, n_exemplars=5, latent_dim=3, seed=0):
    """A fitted mixture, its training rows 0, 1, 2, ... and the same mixture by torch."""
    own = posterior_of(n_members, n_exemplars, latent_dim, seed)
    prior = Exemplar(kernel_width=1.3).fit(own, rows_of(*range(n_exemplars), n_members=n_members))
    kernels = normals(Posterior(own.mean, own.log_variance + 2 * math.log(1.3)))
    weights = Categorical(logits=torch.zeros(n_members, n_exemplars))
    return prior, MixtureSameFamily(weights, kernels)


def test_draws_of_the_posterior_are_mean_plus_scaled_noise():
    posterior = Posterior(torch.tensor([[[1.0, -2.0]]]), torch.tensor([[[0.0, math.log(9)]]]))
    z = posterior.draw(torch.tensor([[[[0.5, 1.0]], [[-1.0, 0.0]]]]))
    assert z.shape == (1, 2, 1, 2)
    torch.testing.assert_close(z.squeeze(), torch.tensor([[1.5, 1.0], [0.0, -2.0]]))


def test_log_density_of_the_posterior_equals_torch():
    posterior = posterior_of(2, 4, 3)
    z = torch.randn(2, 6, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = normals(posterior).expand((6, 2, 4)).log_prob(z.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(posterior.log_prob(z), expected)


def test_kl_to_the_standard_normal_equals_torch():
    posterior = posterior_of(3, 7, 4)
    standard = Independent(Normal(torch.zeros(3, 7, 4), torch.ones(3, 7, 4)), 1)
    kl = StandardNormal().empty(3, 4, 0).kl(posterior, rows_of(*range(7)))
    torch.testing.assert_close(kl, kl_divergence(normals(posterior), standard))


def test_kl_by_hand():
    # Mean 2 and deviation 3 in one latent: (4 + 9 - 1 - log 9) / 2.
    posterior = Posterior(torch.tensor([[[2.0]]]), torch.tensor([[[math.log(9.0)]]]))
    kl = StandardNormal().empty(1, 1, 0).kl(posterior, rows_of(0))
    assert kl.item() == pytest.approx((12 - math.log(9)) / 2)


def test_log_density_of_the_standard_normal_by_hand():
    z = torch.tensor([[[[1.0, -2.0]]]])
    assert StandardNormal().empty(1, 2, 0).log_prob(z, rows_of(0)).item() == pytest.approx(-2.5 - math.log(2 * math.pi))


def test_log_density_of_the_mixture_equals_torch_for_new_rows():
    prior, mixture = exemplars()
    z = torch.randn(2, 6, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = mixture.expand((6, 4, 2)).log_prob(z.permute(1, 2, 0, 3)).permute(2, 0, 1)
    torch.testing.assert_close(prior.log_prob(z, rows_of(-1, -2, -3, -4)), expected)


def test_bound_is_at_least_the_kl_to_the_same_mixture():
    prior, mixture = exemplars()
    posterior = posterior_of(2, 4, 3, seed=5)
    q = normals(posterior)
    bound = prior.kl(posterior, rows_of(-1, -2, -3, -4))
    noise = torch.randn(20_000, 2, 4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = posterior.mean + noise * torch.exp(0.5 * posterior.log_variance)
    differences = q.log_prob(z) - mixture.expand((20_000, 4, 2)).log_prob(z.transpose(1, 2)).transpose(1, 2)
    margin = 5 * differences.std(0) / math.sqrt(20_000)
    assert (bound >= differences.mean(0) - margin).all()
    # No looser than the KL to the nearest exemplar alone, plus log M for its weight.
    of_each = kl_divergence(
        Independent(Normal(posterior.mean.unsqueeze(2), torch.exp(0.5 * posterior.log_variance).unsqueeze(2)), 1),
        Independent(Normal(prior.mean.unsqueeze(1), torch.exp(0.5 * prior.log_variance).unsqueeze(1)), 1),
    )
    assert (bound <= of_each.min(2).values + math.log(5) + 1e-9).all()


def test_bound_of_several_exemplars_written_out():
    prior = FittedExemplar(
        torch.tensor([[[0.0], [4.0]]]), torch.tensor([[[0.0], [math.log(4.0)]]]), torch.zeros(1, 2, dtype=torch.int64)
    )
    bound = prior.kl(Posterior(torch.tensor([[[1.0]]]), torch.tensor([[[0.0]]])), rows_of(9))
    # KL to N(0, 1) is 1/2; to N(4, 4) it is (log 4 + (1 + 9) / 4 - 1) / 2.
    first, second = 0.5, 0.5 * (math.log(4) + 2.5 - 1)
    assert bound.item() == pytest.approx(-math.log((math.exp(-first) + math.exp(-second)) / 2), abs=1e-6)


def test_bound_equals_the_kl_for_a_single_exemplar():
    prior, mixture = exemplars(n_exemplars=1)
    posterior = posterior_of(2, 4, 3, seed=5)
    kernel = mixture.component_distribution
    expected = kl_divergence(normals(posterior), kernel.expand((2, 4)))
    torch.testing.assert_close(prior.kl(posterior, rows_of(-1, -2, -3, -4)), expected)


def kernels_at(points, fingerprints, z):
    """log N(z; point, 1) of each point, and the prior that mixes them."""
    prior = FittedExemplar(
        torch.tensor(points).reshape(1, -1, 1), torch.zeros(1, len(points), 1), fingerprints.reshape(1, -1)
    )
    densities = [math.exp(-0.5 * (z - point) ** 2) / math.sqrt(2 * math.pi) for point in points]
    return prior, densities


@pytest.mark.parametrize("n_copies", [0, 1, 2, 3, 4])
def test_row_leaves_one_of_its_copies_out_of_the_mixture(n_copies):
    # A row with c copies among M = 4 exemplars counts each of them (c - 1) / c, and divides by M still.
    training = rows_of(*([7.0] * n_copies), *range(4 - n_copies))
    points = [1.0] * n_copies + [0.0, -0.5, 2.0, 3.0][: 4 - n_copies]
    prior, densities = kernels_at(points, training.fingerprints(), z=0.7)
    share = (n_copies - 1) / n_copies if n_copies else 0
    expected = math.log((share * sum(densities[:n_copies]) + sum(densities[n_copies:])) / 4)
    log_density = prior.log_prob(torch.full((1, 1, 1, 1), 0.7), rows_of(7.0))
    assert log_density.item() == pytest.approx(expected, abs=1e-6)


def test_bound_leaves_the_row_itself_out_as_well():
    prior, _ = kernels_at([0.0, 1.0, 5.0], rows_of(0.0, 1.0, 5.0).fingerprints(), z=0.0)
    own = Posterior(torch.tensor([[[1.0]]]), torch.zeros(1, 1, 1))
    of_copy, of_other = prior.kl(own, rows_of(1.0)).item(), prior.kl(own, rows_of(2.0)).item()
    assert of_copy == pytest.approx(-math.log((math.exp(-0.5) + math.exp(-8)) / 3), abs=1e-6)
    assert of_other == pytest.approx(-math.log((math.exp(-0.5) + 1 + math.exp(-8)) / 3), abs=1e-6)


def test_copies_are_sought_among_each_members_own_exemplars():
    fingerprints = rows_of(0.0, 1.0, 2.0).take(torch.tensor([0])).fingerprints()[0]
    prior = FittedExemplar(torch.zeros(2, 2, 1), torch.zeros(2, 2, 1), fingerprints[torch.tensor([[0, 1], [1, 2]])])
    own = Posterior(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
    assert prior.kl(own, rows_of(0.0)).flatten().tolist() == pytest.approx([math.log(2), 0], abs=1e-6)


def chosen_width(fitted, own):
    return torch.exp(0.5 * (fitted.log_variance - own.log_variance)).mean((1, 2))


def test_leave_one_out_chooses_wide_kernels_for_scattered_and_narrow_for_crowded_posteriors():
    grid = torch.arange(20.0).unsqueeze(-1)
    own = Posterior(torch.stack([10 * grid, 0.01 * grid]), torch.zeros(2, 20, 1))
    fitted = Exemplar().fit(own, rows_of(*range(20), n_members=2))
    assert chosen_width(fitted, own).tolist() == pytest.approx([4, 1])


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.5, 3.0])
def test_chosen_width_has_the_best_leave_one_out_bound(spread):
    own, training = posterior_of(1, 30, 2, spread=spread), rows_of(*range(30))
    bounds = {
        width: Exemplar(kernel_width=width).fit(own, training).kl(own, training).mean().item()
        for width in (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)
    }
    (width,) = chosen_width(Exemplar().fit(own, training), own).tolist()
    assert width == pytest.approx(min(bounds, key=bounds.get))
    assert min(bounds.values()) < max(bounds.values()) - 0.1, "every width would do"


@given(st.floats(0.1, 10))
def test_fixed_kernel_width_is_honoured(width):
    own = posterior_of(2, 4, 3)
    fitted = Exemplar(kernel_width=width).fit(own, rows_of(*range(4), n_members=2))
    torch.testing.assert_close(fitted.log_variance, own.log_variance + 2 * math.log(width))
    torch.testing.assert_close(fitted.mean, own.mean)


def test_no_more_exemplars_than_asked():
    own = posterior_of(2, 10, 3)
    fitted = Exemplar(max_exemplars=4).fit(own, rows_of(*range(10), n_members=2))
    assert fitted.mean.shape == fitted.log_variance.shape == (2, 4, 3)
    assert torch.equal(fitted.mean, own.mean[:, :4])
    assert fitted.fingerprints.tolist() == [rows_of(*range(10)).fingerprints()[0, :4].tolist()] * 2


def test_draws_have_the_moments_of_the_mixture():
    prior, mixture = exemplars()
    z = prior.draw(40_000, torch.Generator().manual_seed(0)).double()
    assert z.shape == (2, 40_000, 3)
    torch.testing.assert_close(z.mean(1), mixture.mean, rtol=0, atol=0.06)
    torch.testing.assert_close(z.var(1), mixture.variance, rtol=0.06, atol=0)


def test_draws_of_the_standard_normal_have_its_moments():
    z = StandardNormal().empty(2, 3, 0).draw(20_000, torch.Generator().manual_seed(0))
    assert z.shape == (2, 20_000, 3)
    torch.testing.assert_close(z.mean(1), torch.zeros(2, 3), rtol=0, atol=0.04)
    torch.testing.assert_close(z.var(1), torch.ones(2, 3), rtol=0.06, atol=0)
    assert not torch.equal(z[0], z[1])


def fitted_by_name(name, n_members=1, latent_dim=1):
    own = posterior_of(n_members, 6, latent_dim, seed=3, dtype=torch.float32)
    return PRIORS[name]().fit(own, rows_of(*range(6), n_members=n_members))


@EVERY
def test_density_of_the_prior_integrates_to_1(name):
    prior, more_anomalous = fitted_by_name(name), rows_of(-1)

    def density(z):
        return prior.log_prob(torch.full((1, 1, 1, 1), z), more_anomalous).exp().item()

    assert integrate.quad(density, -30, 30, limit=300, points=[-5, 0, 5])[0] == pytest.approx(1, abs=1e-4)


# KL(N(0.5, 1) || p) for p of one training row N(0, 1): the closed form (0.25) / 2 for all.
REFERENCE_KL = {"standard_normal": 0.125, "exemplar": 0.125, "mixture": 0.125}


@EVERY
def test_kl_equals_the_reference(name):
    training = Posterior(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    options = {"kernel_width": 1.0} if name == "exemplar" else {}
    prior = PRIORS[name](**options).fit(training, rows_of(0.0))
    row = Posterior(torch.full((1, 1, 1), 0.5), torch.zeros(1, 1, 1))
    assert prior.kl(row, rows_of(1.0)).item() == pytest.approx(REFERENCE_KL[name])


@EVERY
def test_empty_prior_is_filled_from_a_state(name):
    fitted = fitted_by_name(name, n_members=3, latent_dim=2)
    n_rows = getattr(fitted, "mean", torch.zeros(0, 0)).shape[1]
    copy = PRIORS[name]().empty(3, 2, n_rows)
    copy.load_state_dict(fitted.state_dict())
    posterior, rows = posterior_of(3, 4, 2, seed=9, dtype=torch.float32), rows_of(0, 1, -1, -2)
    assert torch.equal(copy.kl(posterior, rows), fitted.kl(posterior, rows))
    assert torch.equal(copy.draw(5, torch.Generator().manual_seed(0)), fitted.draw(5, torch.Generator().manual_seed(0)))


@EVERY
def test_fitted_prior_has_nothing_to_train(name):
    assert list(fitted_by_name(name).parameters()) == []


@EVERY
def test_draws_leave_global_state_alone(name):
    before = torch.get_rng_state()
    fitted_by_name(name).draw(10, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


@EVERY
def test_kl_of_a_row_does_not_depend_on_rows_beside_it(name):
    prior = fitted_by_name(name, n_members=2, latent_dim=3).double()
    posterior, rows = posterior_of(2, 5, 3, seed=4), rows_of(0, -1, 2, -3, -4)
    together = prior.kl(posterior, rows)
    alone = prior.kl(Posterior(posterior.mean[:, 2:3], posterior.log_variance[:, 2:3]), rows_of(2))
    torch.testing.assert_close(alone, together[:, 2:3])


@pytest.mark.parametrize("log_variance", [-4.0, -8.0, -11.0, -14.0])
def test_kl_to_narrow_kernels_keeps_its_digits_in_single_precision(log_variance):
    # The encoder may state deviations down to exp(-7).
    means = posterior_of(1, 100, 3, dtype=torch.float32).mean
    narrow = torch.full_like(means, log_variance)
    training, more_anomalous = rows_of(*range(100)), rows_of(*range(-100, 0))
    prior = FittedExemplar(means, narrow, training.fingerprints())
    precise = FittedExemplar(means.double(), narrow.double(), training.fingerprints())
    near = means + 0.5 * math.exp(log_variance / 2)
    kl = prior.kl(Posterior(near, narrow), more_anomalous).double()
    torch.testing.assert_close(
        kl, precise.kl(Posterior(near.double(), narrow.double()), more_anomalous), rtol=0, atol=0.05
    )


@pytest.mark.parametrize("options", [{"kernel_width": 0.0}, {"kernel_width": math.nan}, {"max_exemplars": 1}])
def test_impossible_parameters_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} "):
        Exemplar(**options)


@EVERY
def test_name_resolves_to_the_default_and_an_instance_to_itself(name):
    prior = resolve_prior(name)
    assert prior == PRIORS[name]()
    assert resolve_prior(prior) is prior


@pytest.mark.parametrize("wrong", ["normal", 3, None, Exemplar, ["exemplar"]])
def test_unknown_prior_is_refused_with_the_names_there_are(wrong):
    with pytest.raises(SpecificationError, match=r"exemplar.*standard_normal"):
        resolve_prior(wrong)


def test_width_is_chosen_on_the_first_rows_against_all_exemplars() -> None:
    generator = torch.Generator().manual_seed(0)
    n_rows = LEAVE_ONE_OUT_ROWS + 88
    mean = torch.randn(1, n_rows, 2, generator=generator)
    own = Posterior(mean, torch.full_like(mean, -3.0))
    training = Batch(mean, torch.ones_like(mean, dtype=torch.bool))
    first = slice(0, LEAVE_ONE_OUT_ROWS)
    scored = Posterior(mean[:, first], own.log_variance[:, first]), Batch(mean[:, first], training.observed[:, first])
    bounds = {
        width: Exemplar(width, max_exemplars=n_rows).fit(own, training).kl(*scored).mean().item()
        for width in KERNEL_WIDTHS
    }
    fitted = Exemplar(max_exemplars=n_rows).fit(own, training)
    assert fitted.n_components == n_rows
    chosen = math.exp(0.5 * (fitted.log_variance[0, 0, 0].item() + 3.0))
    assert chosen == pytest.approx(min(bounds, key=bounds.__getitem__), rel=1e-5)


def mixture_of(means, variances, weights):
    """One latent, one member."""
    shape = (1, -1, 1)
    return FittedMixture(
        torch.tensor(means).reshape(shape),
        torch.tensor(variances).log().reshape(shape),
        torch.tensor(weights).log().unsqueeze(0),
    )


def test_mixture_with_weights_equals_torch():
    prior = mixture_of([-1.0, 0.5, 4.0], [1.0, 0.25, 4.0], [0.2, 0.7, 0.1])
    expected = MixtureSameFamily(
        Categorical(torch.tensor([0.2, 0.7, 0.1])),
        Normal(torch.tensor([-1.0, 0.5, 4.0]), torch.tensor([1.0, 0.5, 2.0])),
    )
    z = torch.linspace(-5, 9, 50)
    found = prior.log_prob(z.reshape(1, 1, -1, 1), rows_of(*range(50)))
    torch.testing.assert_close(found.flatten(), expected.log_prob(z), rtol=1e-5, atol=1e-5)


def test_bound_of_a_mixture_with_weights_written_out():
    prior = mixture_of([0.0, 4.0], [1.0, 4.0], [0.9, 0.1])
    bound = prior.kl(Posterior(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)), rows_of(9))
    first, second = 0.5, 0.5 * (math.log(4) + 2.5 - 1)
    assert bound.item() == pytest.approx(-math.log(0.9 * math.exp(-first) + 0.1 * math.exp(-second)), abs=1e-6)


def test_step_of_expectation_maximisation_by_hand(monkeypatch):
    # Rows at 0, 4 and around them, of variance 1/4; the two components begin at the first two rows.
    monkeypatch.setattr("vae_anomaly.model.priors.mixture.ITERATIONS", 1)
    means, own = [0.0, 4.0, 1.0, 4.0, -1.0, 3.0, 0.0, 5.0], 0.25
    centre = sum(means) / 8
    between = sum((mean - centre) ** 2 for mean in means) / 8
    begun = own + between * 2**-2
    first, second = [], []
    for mean in means:
        logs = [-0.5 * ((mean - start) ** 2 + own) / begun for start in (0.0, 4.0)]
        total = sum(math.exp(log) for log in logs)
        first.append(math.exp(logs[0]) / total)
        second.append(math.exp(logs[1]) / total)
    posterior = Posterior(torch.tensor(means).reshape(1, -1, 1), torch.full((1, 8, 1), math.log(own)))
    fitted = Mixture(n_components=2).fit(posterior, rows_of(*range(8)))
    for component, shares in enumerate((first, second)):
        n_own = sum(shares)
        mean = sum(share * row for share, row in zip(shares, means, strict=True)) / n_own
        variance = own + sum(share * (row - mean) ** 2 for share, row in zip(shares, means, strict=True)) / n_own
        variance = (n_own * variance + PRIOR_ROWS * (own + between)) / (n_own + PRIOR_ROWS)
        assert fitted.mean[0, component, 0].item() == pytest.approx(mean, abs=1e-5)
        assert fitted.log_variance[0, component, 0].exp().item() == pytest.approx(variance, rel=1e-5)
        weight = (n_own + PRIOR_ROWS / 2) / (8 + PRIOR_ROWS)
        assert fitted.log_weight[0, component].exp().item() == pytest.approx(weight, rel=1e-5)


def test_single_component_has_the_moments_of_the_aggregated_posterior():
    own = posterior_of(2, 60, 3, dtype=torch.float32)
    fitted = Mixture(n_components=1).fit(own, rows_of(*range(60), n_members=2))
    torch.testing.assert_close(fitted.mean, own.mean.mean(1, keepdim=True), rtol=1e-5, atol=1e-5)
    variance = own.mean.var(1, correction=0, keepdim=True) + own.log_variance.exp().mean(1, keepdim=True)
    torch.testing.assert_close(fitted.log_variance.exp(), variance, rtol=1e-5, atol=1e-5)
    assert fitted.log_weight.abs().max() < 1e-6


@pytest.mark.parametrize("log_variance", [-14.0, -8.0, -6.0, 0.0, 4.0])
@pytest.mark.parametrize("spread", [0.0, 1e-4, 1.0, 1e3])
@pytest.mark.parametrize(("n_rows", "n_components", "n_expected"), [(1, 64, 1), (3, 2, 1), (5, 64, 1), (40, 64, 10)])
def test_few_equal_narrow_and_far_rows_have_a_mixture(n_rows, n_components, n_expected, spread, log_variance):
    mean = spread * torch.randn(2, n_rows, 3, generator=torch.Generator().manual_seed(0))
    # Half of the rows stand there twice.
    mean = mean[:, torch.arange(n_rows) // 2]
    own, training = Posterior(mean, torch.full_like(mean, log_variance)), rows_of(*range(n_rows), n_members=2)
    fitted = Mixture(n_components=n_components).fit(own, training)
    assert fitted.n_components == n_expected
    assert {tensor.dtype for tensor in fitted.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(fitted.log_weight.exp().sum(-1), torch.ones(2))
    kl = fitted.kl(own, training)
    assert torch.isfinite(kl).all()
    assert kl.min() > -1e-3
    assert torch.isfinite(fitted.log_prob(mean.unsqueeze(1), training)).all()


def test_bound_of_the_mixture_is_at_least_the_kl():
    training = posterior_of(2, 64, 3, seed=1)
    prior = Mixture(n_components=5).fit(training, rows_of(*range(64), n_members=2))
    posterior, n_draws = posterior_of(2, 4, 3, seed=5), 20_000
    noise = torch.randn(2, n_draws, 4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = posterior.draw(noise)
    differences = posterior.log_prob(z) - prior.log_prob(z, rows_of(*range(4)))
    margin = 5 * differences.std(1) / math.sqrt(n_draws)
    assert (prior.kl(posterior, rows_of(*range(4))) >= differences.mean(1) - margin).all()


def test_two_clusters_have_a_better_bound_with_two_components_than_with_one():
    generator = torch.Generator().manual_seed(3)

    def clusters(n_rows):
        side = torch.where(torch.rand(1, n_rows, 1, generator=generator) < 0.5, -3.0, 3.0)
        mean = side + 0.2 * torch.randn(1, n_rows, 2, generator=generator)
        return Posterior(mean, torch.full_like(mean, -3.0)), rows_of(*range(n_rows))

    training, held_out = clusters(400), clusters(400)
    one, two, many = (Mixture(n_components=n).fit(*training).kl(*held_out).mean().item() for n in (1, 2, 64))
    # Which cluster costs log 2, and that of all else is saved.
    assert two < one - 2
    assert many < one - 2


def test_training_row_is_not_its_own_component():
    # Exemplars leave copies of a row out; components stand for many rows, and do not know them.
    own, training = posterior_of(1, 40, 2, dtype=torch.float32), rows_of(*range(40))
    fitted = Mixture().fit(own, training)
    assert torch.equal(fitted.kl(own, training), fitted.kl(own, rows_of(*range(-40, 0))))


def test_draws_have_the_weights_and_moments_of_the_components():
    prior = mixture_of([-10.0, 10.0], [1.0, 4.0], [0.3, 0.7])
    z = prior.draw(40_000, torch.Generator().manual_seed(0)).flatten()
    low = z < 0
    assert low.double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert [z[low].mean().item(), z[~low].mean().item()] == pytest.approx([-10, 10], abs=0.05)
    assert [z[low].std().item(), z[~low].std().item()] == pytest.approx([1, 2], abs=0.05)


def test_no_more_rows_than_asked_are_read():
    own = posterior_of(1, 40, 2, dtype=torch.float32)
    first = Posterior(own.mean[:, :16], own.log_variance[:, :16])
    few, all_ = Mixture(max_rows=16).fit(own, rows_of(*range(40))), Mixture().fit(first, rows_of(*range(16)))
    assert torch.equal(few.mean, all_.mean)
    assert few.n_components == 4


@pytest.mark.parametrize("options", [{"n_components": 0}, {"n_components": math.nan}, {"max_rows": 1}])
def test_impossible_mixtures_are_refused_by_name(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} "):
        Mixture(**options)


def test_components_are_arranged_again_when_others_are_loaded():
    posterior, rows = Posterior(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)), rows_of(0.0)
    prior, other = mixture_of([0.0], [1.0], [1.0]), mixture_of([3.0], [2.0], [1.0])
    assert not torch.equal(prior.kl(posterior, rows), expected := other.kl(posterior, rows))
    prior.load_state_dict(other.state_dict())
    assert torch.equal(prior.kl(posterior, rows), expected)
    assert prior.double().kl(posterior, rows).item() == pytest.approx(expected.item(), abs=1e-6)
