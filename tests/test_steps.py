"""Mini-batches, weights in one tensor, steps that may be recorded, and each member's best weights."""

import dataclasses

import pytest
import torch
from torch import Tensor

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import StudentT
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.flat_weights import FlatWeights
from vae_anomaly.model.steps import FULL_VIEW_SHARE, MiniBatches, Stepper, TrainingConfig, by_autograd
from vae_anomaly.model.training import paused_training, train
from vae_anomaly.model.vae import VAE

PLAN = TrainingConfig(
    max_iter=100,
    batch_size=8,
    learning_rate_init=0.02,
    weight_decay=1e-4,
    kl_warmup=0.2,
    hidden_fraction=0.6,
    trim_fraction=0.0,
    max_grad_norm=1.0,
    early_stopping=False,
    n_iter_no_change=5,
    kl_weight=1.0,
)
N_ROWS, N_COLUMNS, N_MEMBERS = 40, 6, 3


def vae_of(activation: str = "silu") -> VAE:
    columns = [Column(f"x{index}", "continuous", StudentT(), "a test") for index in range(N_COLUMNS)]
    return VAE(
        columns,
        latent_dim=2,
        n_members=N_MEMBERS,
        backbone=MLP(),
        hidden_layer_sizes=(5, 4),
        activation=activation,
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    )


def data_of() -> Batch:
    values = torch.randn(N_ROWS, N_COLUMNS, generator=torch.Generator().manual_seed(1))
    observed = torch.rand(N_ROWS, N_COLUMNS, generator=torch.Generator().manual_seed(2)) < 0.9
    return Batch(values.where(observed, 0.0), observed)


def minibatches_of(vae: VAE, *, weights: Tensor | None = None, **changes: float) -> MiniBatches:
    subsamples = torch.stack([torch.arange(N_ROWS), torch.arange(N_ROWS).flip(0), torch.arange(N_ROWS)])
    plan = dataclasses.replace(PLAN, **changes)
    return MiniBatches(vae, data_of(), subsamples, weights, plan, torch.Generator().manual_seed(3))


def test_pass_shows_every_row_of_a_member_once() -> None:
    batches = minibatches_of(vae_of())
    seen = torch.cat([next(batches.orders) for _ in range(N_ROWS // 8)], 1)
    for member in seen:
        assert member.sort().values.tolist() == list(range(N_ROWS))
    assert not torch.equal(seen[0], seen[2])


def test_prepared_steps_hold_the_rows_they_drew_with_their_weights() -> None:
    data, weights = data_of(), torch.arange(float(N_ROWS))
    batches = minibatches_of(vae_of(), weights=weights, hidden_fraction=0.0)
    prepared = batches.prepare(4)
    for index in range(4):
        minibatch = prepared.step(index)
        assert minibatch.importance is not None
        rows = minibatch.importance.long()
        assert torch.equal(minibatch.rows.values, data.values[rows])
        assert torch.equal(minibatch.rows.observed, data.observed[rows])
        assert torch.equal(minibatch.inputs, vae_of().inputs(minibatch.rows))


def test_cells_are_hidden_as_often_as_the_plan_says() -> None:
    batches = minibatches_of(vae_of(), hidden_fraction=0.6)
    visible = batches._visible((400, 3, 8, N_COLUMNS))
    hidden = (~visible).double().mean(-1)
    assert float(hidden.mean()) == pytest.approx((1 - FULL_VIEW_SHARE) * 0.3, abs=0.01)
    assert float((hidden == 0).double().mean()) > FULL_VIEW_SHARE
    columns = (~visible).double().mean((0, 1, 2))
    assert columns.tolist() == pytest.approx([(1 - FULL_VIEW_SHARE) * 0.3] * N_COLUMNS, abs=0.02)


def test_hidden_cells_reach_no_feature_and_no_mask() -> None:
    batches = minibatches_of(vae_of(), hidden_fraction=1.0)
    minibatch = batches.prepare(30)
    features, mask = minibatch.inputs.chunk(2, -1)
    assert (features[mask == 0] == 0).all()
    assert ((mask == 0) & minibatch.rows.observed).any()
    assert not ((mask == 1) & ~minibatch.rows.observed).any()


def test_parameters_are_views_of_the_flat_weights_until_they_are_released() -> None:
    vae = vae_of()
    before = {name: weights.detach().clone() for name, weights in vae.named_parameters()}
    flat = FlatWeights(vae)
    assert all(torch.equal(weights, before[name]) for name, weights in vae.named_parameters())
    with torch.no_grad():
        flat.flat += 1
    assert all(torch.equal(weights, before[name] + 1) for name, weights in vae.named_parameters())
    flat.release()
    with torch.no_grad():
        flat.flat += 1
    assert all(torch.equal(weights, before[name] + 1) for name, weights in vae.named_parameters())
    assert all(weights.is_contiguous() for weights in vae.parameters())


def test_gradient_is_that_of_autograd_with_each_member_clipped_by_itself() -> None:
    vae = vae_of()
    minibatch = minibatches_of(vae).prepare(1).step(0)
    flat = FlatWeights(vae)
    by_autograd(vae, flat, minibatch, 0.5, PLAN)
    whole = flat.gradient.clone()
    norms = whole.norm(dim=1)
    limit = float(norms.sort().values[1])
    flat.clip(limit)
    clipped = whole * (limit / norms).clamp(max=1).unsqueeze(1)
    torch.testing.assert_close(flat.flat.grad, clipped)
    assert flat.flat.grad is flat.gradient
    other = vae_of()
    terms = elbo_terms(other, minibatch.rows, minibatch.noise, minibatch.inputs)
    ((0.5 * terms.kl - terms.reconstruction).mean(1).sum() / N_COLUMNS).backward()
    expected = torch.cat([weights.grad.flatten(1) for weights in other.parameters() if weights.grad is not None], 1)
    torch.testing.assert_close(whole, expected)


@pytest.mark.parametrize("weights", [None, torch.linspace(0.5, 1.5, N_ROWS)])
def test_recorded_steps_change_the_weights_as_eager_ones_do(weights: Tensor | None) -> None:
    found = []
    n_recorded = []

    def record(work):
        n_recorded.append(1)
        return work

    for recorder in (None, record):
        vae = vae_of()
        flat = FlatWeights(vae)
        stepper = Stepper(vae, flat, PLAN, recorder)
        batches = iter(minibatches_of(vae, weights=weights))
        for index in range(10):
            stepper.step(next(batches), 0.02 / (index + 1), min(1.0, index / 5))
        assert stepper.sums is not None
        found.append((flat.flat.detach().clone(), stepper.sums.clone()))
    assert len(n_recorded) == 1
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_work_that_cannot_be_recorded_is_done_eagerly() -> None:
    attempts = []

    def refuse(work):
        attempts.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    found = []
    for recorder in (None, refuse):
        vae = vae_of()
        flat = FlatWeights(vae)
        stepper = Stepper(vae, flat, PLAN, recorder)
        batches = iter(minibatches_of(vae))
        for _ in range(8):
            stepper.step(next(batches), 0.01, 1.0)
        found.append(flat.flat.detach().clone())
    assert len(attempts) == 1
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("activation", "n_operations"), [("silu", 150), ("tanh", 210)])
def test_step_takes_a_bounded_number_of_operations(activation, n_operations, operations) -> None:
    vae = vae_of(activation)
    flat = FlatWeights(vae)
    stepper = Stepper(vae, flat, PLAN)
    batches = iter(minibatches_of(vae))
    stepper.step(next(batches), 0.01, 1.0)
    minibatch = next(batches)
    with operations:
        stepper.step(minibatch, 0.01, 1.0)
    counted = operations.counts
    n_products = sum(counted[name] for name in counted if "bmm" in name)
    # Two bodies of three layers with a way around them: 8 products forwards, 2 for each backwards, but that the inputs
    # of the encoder need no gradient.  In closed form the way around is a part of the last layer, but for the gradient
    # of the latents.
    assert n_products == (3 * 6 - 1 + 1 if activation == "silu" else 8 + 2 * 8 - 2)
    assert counted.total() <= n_operations


@pytest.mark.parametrize("n_steps", [4, 16])
def test_preparation_takes_few_operations_a_step(n_steps, operations) -> None:
    batches = minibatches_of(vae_of())
    next(batches.orders)
    with operations:
        batches.prepare(n_steps)
    # Three to slice the rows of a step, and what all steps share.
    assert operations.counts.total() <= 60 + 6 * n_steps


def test_members_keep_their_own_best_weights_and_stop_when_none_improves(monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = torch.tensor([[-3.0, -3, -3], [-2, -4, -4], [-4, -2, -4], [-4, -4, -4], [-4, -4, -4], [-1, -1, -1]])
    weights_at_check: list[Tensor] = []

    def scripted(vae: VAE, *_: object) -> Tensor:
        weights_at_check.append(torch.cat([weights.detach().flatten(1) for weights in vae.parameters()], 1))
        return held_out[len(weights_at_check) - 1]

    monkeypatch.setattr("vae_anomaly.model.training._held_out_elbo", scripted)
    vae, rows = vae_of(), data_of()
    every_row = torch.arange(N_ROWS).expand(N_MEMBERS, -1)
    config = dataclasses.replace(PLAN, max_iter=20, kl_warmup=0.0, early_stopping=True, n_iter_no_change=2)
    noise = torch.zeros(N_MEMBERS, 1, 1, 2)
    training = paused_training(vae, rows, every_row, None, rows, noise, config, torch.Generator().manual_seed(3))
    history = train([training], config.max_iter)
    assert history.stopped_early
    assert history.iteration == [1, 2, 3, 4, 5]
    kept = torch.cat([weights.flatten(1) for weights in vae.parameters()], 1)
    assert (weights_at_check[0] != weights_at_check[1]).any(1).all()
    for member, best in enumerate([1, 2, 0]):
        assert torch.equal(kept[member], weights_at_check[best][member])
