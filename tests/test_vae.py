"""The module with weights: groups of columns, what the encoder sees, where the decoder starts."""

import copy
import math
import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import (
    Bernoulli,
    Binary,
    Categorical,
    Constant,
    ContinuousBernoulli,
    Gaussian,
    Poisson,
    StudentT,
)
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.column_groups import group_columns
from vae_anomaly.model.vae import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, NOISE_GAIN, VAE


def column(likelihood, frequencies=(), **known):
    levels = tuple(float(level) for level in range(len(frequencies)))
    return Column("c", "continuous", likelihood, "", levels=levels, frequencies=frequencies, **known)


GAUSSIAN = column(Gaussian(floor=0.1), location=3.0, scale=2.0)
FLAG = column(Bernoulli(), mean=0.3)
COUNT = column(Poisson(), mean=4.0)
TRIPLE = column(Categorical(), (0.5, 0.3, 0.2), unseen=0.01)
PAIR = column(Categorical(), (0.9, 0.1), unseen=0.02)
MIXED = (GAUSSIAN, GAUSSIAN, column(StudentT()), FLAG, COUNT, TRIPLE, TRIPLE, PAIR)


def vae_of(columns=MIXED, n_members=2, latent_dim=3, sizes=(8,), mask_input=True, seed=0, skip_connection=True):
    return VAE(
        columns,
        latent_dim=latent_dim,
        n_members=n_members,
        backbone=MLP(skip_connection=skip_connection),
        hidden_layer_sizes=sizes,
        activation="silu",
        mask_input=mask_input,
        generator=torch.Generator().manual_seed(seed),
    )


def batch_of(rows, observed=None):
    values = torch.tensor(rows)
    mask = torch.ones_like(values, dtype=torch.bool) if observed is None else torch.tensor(observed)
    return Batch(values, mask)


ROW = [0.5, -1.0, 2.0, 1.0, 3.0, 2.0, 0.0, 1.0]


def test_neighbouring_columns_of_one_likelihood_and_room_form_a_group():
    groups = group_columns(MIXED)
    assert [group.likelihood for group in groups] == [
        Gaussian(floor=0.1),
        StudentT(),
        Bernoulli(),
        Poisson(),
        Categorical(),
        Categorical(),
    ]
    assert [(group.columns.start, group.columns.stop) for group in groups] == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (5, 7),
        (7, 8),
    ]
    assert [group.parameters.stop for group in groups] == [2, 3, 4, 5, 13, 15]
    assert [group.noise.stop for group in groups] == [2, 3, 3, 3, 3, 3]
    assert [group.width for group in groups] == [0, 0, 0, 0, 4, 2]
    assert [group.n_columns for group in groups] == [2, 1, 1, 1, 2, 1]


def test_two_levels_take_one_output_and_one_feature():
    vae = vae_of((TRIPLE, column(Binary(), (0.9, 0.1), unseen=0.02)), sizes=())
    assert vae.n_parameters == 4 + 1
    # As many features and two mask bits.
    assert vae.encoder.head.weight.shape == (2, 5 + 2, 2 * 3)
    _, pair = vae.decode(torch.zeros(2, 1, 1, 3))
    torch.testing.assert_close(pair.probs[..., 1].flatten(), torch.full((2,), 0.999 * 0.1 + 0.0005))


def test_columns_that_were_constant_stand_last():
    with pytest.raises(ValueError, match="come after all others"):
        vae_of((GAUSSIAN, column(Constant(), (1.0,)), FLAG))


def test_shared_noise_is_one_number_for_the_whole_group():
    shared = column(Gaussian(noise="shared"))
    (group,) = group_columns((shared, shared, shared))
    assert (group.noise.start, group.noise.stop) == (0, 1)
    assert vae_of((shared, shared, shared), n_members=2).raw_noise.shape == (2, 1)


def test_sizes_of_encoder_and_decoder_follow_from_the_columns():
    vae = vae_of(sizes=(9, 5))
    # 5 numbers, two triples with room for 4, a pair with room for 2, and 8 mask bits.
    assert vae.encoder.layers[0].weight.shape == (2, 5 + 2 * 4 + 2 + 8, 9)
    assert vae.encoder.head.weight.shape == (2, 5, 2 * 3)
    assert vae.decoder.layers[0].weight.shape == (2, 3, 5)
    assert vae.decoder.head.weight.shape == (2, 9, 15)
    assert (vae.n_columns, vae.n_parameters) == (8, 15)
    assert vae_of(mask_input=False).encoder.layers[0].weight.shape == (2, 15, 8)


def test_decoder_starts_at_the_marginals():
    vae = vae_of(sizes=())
    noisy, tailed, flag, count, triples, pair = vae.decode(torch.zeros(2, 1, 1, 3))
    torch.testing.assert_close(noisy.mean, torch.zeros(2, 1, 1, 2))
    torch.testing.assert_close(noisy.scale.flatten(), torch.full((4,), math.hypot(1, 0.1)))
    torch.testing.assert_close(tailed.scale.flatten(), torch.full((2,), math.hypot(1, 0.05)))
    torch.testing.assert_close(flag.mean.flatten(), torch.full((2,), 0.3))
    torch.testing.assert_close(count.mean.flatten(), torch.full((2,), 4.0))
    expected = 0.999 * torch.tensor([0.5, 0.3, 0.2, 0.0]) + 0.001 * torch.tensor([1.0, 1.0, 1.0, 0.0]) / 3
    torch.testing.assert_close(triples.probs, expected.expand(2, 1, 1, 2, 4))
    torch.testing.assert_close(pair.probs[..., 0].flatten(), torch.full((2,), 0.999 * 0.9 + 0.0005))


def test_decoder_with_hidden_layers_states_the_marginals_wherever_its_weights_are_0():
    vae, linear = vae_of(sizes=(8, 4)), vae_of(sizes=())
    vae.decoder.head.weight.data.zero_()
    vae.decoder.skip.weight.data.zero_()
    z = torch.randn(2, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    cells = torch.tensor(ROW)
    for part, expected, group in zip(vae.decode(z), linear.decode(0 * z), vae.groups, strict=True):
        torch.testing.assert_close(part.log_prob(cells[group.columns]), expected.log_prob(cells[group.columns]))


def test_each_column_has_its_own_floor_and_learned_noise():
    coarse = column(Gaussian(floor=0.0), resolution=6.0, scale=2.0)
    fine = column(Gaussian(floor=0.0), resolution=0.0)
    vae = vae_of((coarse, fine), n_members=1)
    vae.raw_noise.data = torch.tensor([[-20.0, math.log(0.25) / NOISE_GAIN]])
    (distribution,) = vae.decode(torch.zeros(1, 1, 1, 3))
    # Steps of 3 model units, uniformly rounded: 3 / sqrt(12).
    assert distribution.scale.flatten().tolist() == pytest.approx([3 / math.sqrt(12), 0.25])


def test_decoder_gives_every_draw_row_and_column_its_distribution():
    vae = vae_of()
    z = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    together = vae.decode(z)
    assert [tuple(part.batch_shape) for part in together] == [(2, 4, 5, group.n_columns) for group in vae.groups]
    alone = vae.decode(z[:, 2:3, 3:4])
    for part, single in zip(together, alone, strict=True):
        cells = torch.ones(part.batch_shape[-1])
        torch.testing.assert_close(part.log_prob(cells)[:, 2, 3], single.log_prob(cells)[:, 0, 0])


def test_batch_without_member_axis_is_shared_by_all_members():
    vae, batch = vae_of(), batch_of([ROW, ROW[::-1]])
    shared = vae.posterior(batch)
    own = vae.posterior(batch.take(torch.tensor([[0, 1], [0, 1]])))
    assert shared.mean.shape == (2, 2, 3)
    assert torch.equal(shared.mean, own.mean)
    assert not torch.allclose(shared.mean[0], shared.mean[1])


@pytest.mark.parametrize("mask_input", [False, True])
@pytest.mark.parametrize("index", range(8))
@given(value=st.floats(0, 1e6, width=32))
def test_value_under_the_mask_does_not_reach_the_posterior(mask_input, index, value):
    check_value_under_the_mask(vae_of(mask_input=mask_input), index, value)


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("value", [-1.0, -1e6, 0.5])
def test_not_even_a_value_outside_the_support_reaches_the_posterior_from_under_the_mask(index, value):
    check_value_under_the_mask(vae_of(), index, value)


def check_value_under_the_mask(vae, index, value):
    observed = [[other != index for other in range(8)]]
    row = list(ROW)
    row[index] = value
    expected = vae.posterior(batch_of([ROW], observed))
    found = vae.posterior(batch_of([row], observed))
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.log_variance, expected.log_variance)


@pytest.mark.parametrize("index", range(8))
def test_cell_hidden_from_the_encoder_is_like_a_missing_one(index):
    vae, visible = vae_of(), [[other != index for other in range(8)]]
    hidden = vae.posterior(batch_of([ROW]), torch.tensor(visible))
    missing = vae.posterior(batch_of([ROW], visible))
    assert torch.equal(hidden.mean, missing.mean)
    assert not torch.equal(hidden.mean, vae.posterior(batch_of([ROW])).mean)


def test_cell_that_is_missing_cannot_be_made_visible():
    vae, observed = vae_of(), [[index != 0 for index in range(8)]]
    everything = torch.ones(1, 8, dtype=torch.bool)
    missing = batch_of([ROW], observed)
    assert torch.equal(vae.posterior(missing, everything).mean, vae.posterior(missing).mean)


def test_mask_input_tells_a_missing_cell_from_an_average_one():
    # In model units the mean is 0, which is also what stands in a missing cell.
    average, missing = batch_of([[0.0, 0.0]]), batch_of([[0.0, 0.0]], [[False, True]])
    with_mask, without = (vae_of((GAUSSIAN, GAUSSIAN), mask_input=mask) for mask in (True, False))
    assert not torch.allclose(with_mask.posterior(average).mean, with_mask.posterior(missing).mean)
    assert torch.equal(without.posterior(average).mean, without.posterior(missing).mean)


def test_posterior_variance_stays_within_bounds_for_any_weights():
    vae = vae_of(sizes=())
    vae.encoder.head.weight.data *= 1e4
    log_variance = vae.posterior(batch_of([ROW, [-cell for cell in ROW[:3]] + ROW[3:]])).log_variance
    assert log_variance.min() >= MIN_LOG_VARIANCE
    assert log_variance.max() <= MAX_LOG_VARIANCE
    assert log_variance.min() < log_variance.max()


def test_extreme_cells_give_a_finite_posterior():
    posterior = vae_of().posterior(batch_of([[1e6, -1e6, 1e6, 1.0, 1e6, 1e6, 0.0, 1e6]]))
    assert torch.isfinite(posterior.mean).all()


def test_weights_repeat_with_the_generator_and_leave_global_state_alone():
    before = torch.get_rng_state()
    first, again, other = (vae_of(seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.layers.2.weight"], other["encoder.layers.2.weight"])


def test_every_weight_has_the_member_axis_in_front():
    vae = vae_of(n_members=5)
    assert all(weights.shape[0] == 5 for weights in vae.parameters())


def test_prior_before_fitting_is_the_standard_normal():
    z = torch.zeros(2, 1, 1, 3)
    log_density = vae_of().prior.log_prob(z, batch_of([ROW]))
    assert log_density.flatten().tolist() == pytest.approx([-1.5 * math.log(2 * math.pi)] * 2)


def test_grey_columns_start_flat():
    grey = column(ContinuousBernoulli(), mean=0.7)
    (distribution,) = vae_of((grey,), sizes=()).decode(torch.zeros(2, 1, 1, 3))
    torch.testing.assert_close(distribution.log_prob(torch.tensor([0.2])), torch.zeros(2, 1, 1, 1))


def fitted_vae(**options):
    return vae_of(**options).requires_grad_(False).eval()


def complete(batch):
    return replace(batch, is_complete=True)


def some_rows(n_rows=40):
    generator = torch.Generator().manual_seed(7)
    cells = torch.randn(n_rows, 8, generator=generator)
    cells[:, 3:] = torch.randint(0, 2, (n_rows, 5), generator=generator).float()
    return batch_of(cells.tolist())


@pytest.mark.parametrize("skip_connection", [False, True])
@pytest.mark.parametrize("sizes", [(), (8,), (17, 5)])
@pytest.mark.parametrize("mask_input", [False, True])
def test_rows_known_to_be_complete_have_the_posterior_of_all_others(sizes, mask_input, skip_connection):
    vae, batch = fitted_vae(sizes=sizes, mask_input=mask_input, skip_connection=skip_connection), some_rows()
    with torch.no_grad():
        found, expected = vae.posterior(complete(batch)), vae.posterior(batch)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.log_variance, expected.log_variance, rtol=1e-5, atol=1e-5)
    # And that of the layers one after the other, as in training.
    in_training = vae.train().posterior(complete(batch))
    torch.testing.assert_close(found.mean, in_training.mean, rtol=1e-5, atol=1e-5)


def test_constant_columns_have_no_part_in_what_is_known_to_be_complete():
    columns = (*MIXED, column(Constant(), (1.0,), unseen=0.25))
    vae, batch = fitted_vae(columns=columns), some_rows()
    batch = Batch(*(torch.cat([part, part[:, :1]], 1) for part in (batch.values, batch.observed)))
    with torch.no_grad():
        found, expected = vae.posterior(complete(batch)), vae.posterior(batch)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-5)


def in_place(vae):
    for weights in vae.parameters():
        weights.add_(0.1)


def by_state(vae):
    vae.load_state_dict({name: part + 0.1 if "coder" in name else part for name, part in vae.state_dict().items()})


def assigned(vae):
    state = {name: part + 0.1 if "coder" in name else part.clone() for name, part in vae.state_dict().items()}
    vae.load_state_dict(state, assign=True)


def trained_in_views(vae):
    # As training does: all weights are views of one buffer, whose changes they do not count.
    vae.train()
    for weights in vae.parameters():
        flat = weights.data
        weights.data = flat.view(weights.shape)
        flat.add_(0.1)
    vae.eval()


def by_an_optimizer(vae):
    for weights in vae.requires_grad_(True).parameters():
        weights.grad = torch.full_like(weights, -0.1)
    torch.optim.SGD(vae.parameters(), lr=1.0).step()
    vae.requires_grad_(False)


@pytest.mark.parametrize("changed", [in_place, by_state, assigned, trained_in_views, by_an_optimizer])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("setting", [torch.no_grad, torch.inference_mode])
def test_changed_weights_are_arranged_again(changed, known, setting):
    vae, batch = fitted_vae(), some_rows()
    batch = complete(batch) if known else batch
    z = torch.ones(2, 1, 4, 3)
    with setting():
        before, decoded = vae.posterior(batch).mean.clone(), vae.decode(z)[0].log_prob(torch.zeros(2)).clone()
    changed(vae)
    with setting():
        found, found_decoded = vae.posterior(batch).mean, vae.decode(z)[0].log_prob(torch.zeros(2))
    fresh = vae_of(seed=1).requires_grad_(False).eval()
    fresh.load_state_dict(vae.state_dict())
    with setting():
        assert torch.equal(found, fresh.posterior(batch).mean)
        assert torch.equal(found_decoded, fresh.decode(z)[0].log_prob(torch.zeros(2)))
    assert not torch.allclose(found, before)
    assert not torch.allclose(found_decoded, decoded)


def test_copies_and_other_precisions_arrange_their_own_weights():
    vae, batch = fitted_vae(), complete(some_rows())
    with torch.no_grad():
        expected = vae.posterior(batch).mean.clone()
        for copied in (copy.deepcopy(vae), pickle.loads(pickle.dumps(vae))):
            in_place(vae)
            assert torch.equal(copied.posterior(batch).mean, expected)
            vae = copied
        double = copy.deepcopy(vae).double().posterior(replace(batch, values=batch.values.double())).mean
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), expected, rtol=1e-5, atol=1e-5)


def test_copy_that_is_trained_further_begins_with_nothing_arranged():
    vae, batch = fitted_vae(), complete(some_rows())
    with torch.no_grad():
        before = vae.posterior(batch).mean.clone()
    other = vae.untrained_copy()
    with torch.no_grad():
        in_place(other)
        assert not torch.allclose(other.eval().posterior(batch).mean, before)
        assert torch.equal(vae.posterior(batch).mean, before)
