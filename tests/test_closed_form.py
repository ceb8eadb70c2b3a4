"""The training step with its gradient written down, beside automatic differentiation."""

import dataclasses

import pytest
import torch

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import (
    Bernoulli,
    Binary,
    Categorical,
    Constant,
    ContinuousBernoulli,
    Gaussian,
    InputOnly,
    Ordinal,
    OutputOnly,
    Poisson,
    Rounded,
    SpikedStudentT,
    StudentT,
    UnitGaussian,
)
from vae_anomaly.model.backbones import MLP, Convolutional
from vae_anomaly.model.closed_form import ClosedForm, has_closed_form
from vae_anomaly.model.flat_weights import FlatWeights
from vae_anomaly.model.matmul import LANES
from vae_anomaly.model.priors import Exemplar
from vae_anomaly.model.steps import MiniBatches, Stepper, TrainingConfig, by_autograd, in_closed_form
from vae_anomaly.model.vae import VAE

N_ROWS, BATCH_ROWS, N_MEMBERS, N_LATENTS = 40, 12, 3, 2
PLAN = TrainingConfig(
    max_iter=100,
    batch_size=BATCH_ROWS,
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
THREE = (0.5, 0.3, 0.2)


def column(likelihood, frequencies=(), **known):
    levels = tuple(float(level) for level in range(len(frequencies)))
    return Column("c", "continuous", likelihood, "", levels=levels, frequencies=frequencies, **known)


NUMBER, NORMAL = column(StudentT(), asinh_scale=0.5), column(Gaussian(floor=0.1), scale=2.0)
TABLES = {
    "student_t": [column(StudentT(), scale=3.0)] * 5,
    "other_df": [column(StudentT(df=2.5))] * 3,
    "gaussian": [NORMAL] * 4,
    "shared_noise": [column(Gaussian(noise="shared"))] * 3,
    "unit_gaussian": [column(UnitGaussian(), mean=1.0)] * 3,
    "two_stated": [NUMBER] * 2 + [NORMAL] * 3,
    "rounded": [column(Rounded(StudentT()), step=1.0, unseen=0.01)] * 3,
    "spiked": [column(SpikedStudentT(), (0.6, 0.4), spikes=(0.0,))] * 3,
    "levels": [column(Categorical(), THREE, unseen=0.01)] * 3,
    "flags": [column(Binary(), (0.7, 0.3), unseen=0.01)] * 3,
    "ordinal": [column(Ordinal(), THREE, unseen=0.01)] * 2,
    "shares": [column(ContinuousBernoulli(), mean=0.4)] * 2,
    "conditional": [column(InputOnly())] * 2 + [column(OutputOnly(Gaussian()))] * 2,
    "mixed": [NUMBER, NORMAL, column(Bernoulli(), mean=0.3), column(Poisson(), mean=2.0)]
    + [column(Categorical(), THREE, unseen=0.01)] * 2
    + [column(Constant(), (1.0,), unseen=0.01)],
    "constant": [column(Constant(), (1.0,), unseen=0.01)] * 2,
}


def vae_of(columns, backbone=MLP(), sizes=(7, 16), activation="silu", grid=None):  # noqa: B008
    vae = VAE(
        columns,
        latent_dim=N_LATENTS,
        n_members=N_MEMBERS,
        backbone=backbone,
        hidden_layer_sizes=sizes,
        activation=activation,
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
        grid=grid,
    )
    with torch.no_grad():
        vae.raw_noise.copy_(0.1 * torch.randn(vae.raw_noise.shape, generator=torch.Generator().manual_seed(1)))
    return vae


def data_of(columns, missing=0.2):
    rows = torch.rand(N_ROWS, len(columns), generator=torch.Generator().manual_seed(2))
    whole = [not column.likelihood.traits.standardize and column.likelihood != UnitGaussian() for column in columns]
    values = torch.where(torch.tensor(whole), (3 * rows).floor().clamp(max=1), 6 * rows - 3)
    observed = torch.rand(values.shape, generator=torch.Generator().manual_seed(3)) >= missing
    return Batch(values.where(observed, 0.0), observed)


def minibatch_of(vae, data, weights=None, **changes):
    subsamples = torch.arange(N_ROWS).expand(N_MEMBERS, -1)
    plan = dataclasses.replace(PLAN, **changes)
    given = data.leading(vae.n_varying or vae.n_columns)
    return MiniBatches(vae, given, subsamples, weights, plan, torch.Generator().manual_seed(4)).prepare(1).step(0)


def gradients_of(weights):
    parts = zip(weights.parameters, weights.begins, weights.begins[1:], strict=False)
    return [
        weights.gradient[:, begin:end].unflatten(1, (-1, weights.width(own)))[..., : own.shape[-1]].reshape(own.shape)
        for own, begin, end in parts
        if begin < end
    ]


def check_agreement(make, data, kl_weight=0.5, weights=None, lanes=LANES, **changes):
    """Both ways to the gradient of a model, with each parameter's within 1e-5 of its norm."""
    plan = dataclasses.replace(PLAN, **changes)
    vae, other = make(), make()
    minibatch = minibatch_of(vae, data, weights, **changes)
    flat, padded = FlatWeights(vae), FlatWeights(other, lanes)
    expected = by_autograd(vae, flat, minibatch, kl_weight, plan)
    assert has_closed_form(other)
    with torch.no_grad():
        closed = ClosedForm(other, padded, len(minibatch.rows))
        # The second time, what the first has left in its memory must not count.
        for _ in range(2):
            found = in_closed_form(closed, minibatch, kl_weight, plan)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
            for mine, reference in zip(gradients_of(padded), gradients_of(flat), strict=True):
                assert float((mine - reference).norm()) <= 1e-5 * float(reference.norm()) + 1e-9
    for own in (flat, padded):
        own.clip(1e-3)
    assert padded.gradient.norm(dim=1).tolist() == pytest.approx(flat.gradient.norm(dim=1).tolist(), rel=1e-5)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_gradient_is_that_of_autograd_for_every_likelihood(table, missing) -> None:
    columns = TABLES[table]
    check_agreement(lambda: vae_of(columns), data_of(columns, missing))


@pytest.mark.parametrize(
    "changes",
    [
        {"kl_weight": 0.0},
        {"kl_weight": 1.0, "hidden_fraction": 0.0},
        {"weights": torch.linspace(0.2, 1.8, N_ROWS)},
        {"trim_fraction": 0.3},
        {"trim_fraction": 0.3, "weights": torch.linspace(0.0, 2.0, N_ROWS)},
        {"lanes": 1},
    ],
)
@pytest.mark.parametrize("table", ["two_stated", "mixed"])
def test_gradient_is_that_of_autograd_however_rows_count(table, changes) -> None:
    columns = TABLES[table]
    check_agreement(lambda: vae_of(columns), data_of(columns), **changes)


@pytest.mark.parametrize("sizes", [(), (5,), (16, 3, 8)])
@pytest.mark.parametrize("skip_connection", [True, False])
def test_gradient_is_that_of_autograd_for_any_layers(sizes, skip_connection) -> None:
    columns = TABLES["two_stated"]
    check_agreement(lambda: vae_of(columns, MLP(skip_connection), sizes), data_of(columns))


def test_variances_at_their_limits_have_no_gradient() -> None:
    columns = TABLES["student_t"]

    def far_out():
        vae = vae_of(columns)
        with torch.no_grad():
            vae.encoder.offset[..., N_LATENTS:] = torch.tensor([-9.0, 9.0])
        return vae

    check_agreement(far_out, data_of(columns))


def test_steps_in_closed_form_go_where_those_by_autograd_go(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = TABLES["mixed"]
    data, found = data_of(columns), []
    for closed in (True, False):
        monkeypatch.setattr("vae_anomaly.model.steps.has_closed_form", lambda _, closed=closed: closed)
        vae = vae_of(columns)
        flat = FlatWeights(vae, LANES)
        stepper = Stepper(vae, flat, PLAN)
        for step in range(10):
            stepper.step(minibatch_of(vae, data), 0.02, step / 10)
        assert (stepper.closed is not None) == closed
        assert stepper.sums is not None
        found.append([stepper.sums, *(weights.detach().clone() for weights in vae.parameters())])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


def test_other_models_are_left_to_autograd() -> None:
    columns = TABLES["student_t"]
    assert has_closed_form(vae_of(columns))
    assert not has_closed_form(vae_of(columns, activation="tanh"))
    fitted = vae_of(columns)
    batch = data_of(columns)
    rows = Batch(batch.values.expand(N_MEMBERS, -1, -1), batch.observed.expand(N_MEMBERS, -1, -1))
    with torch.no_grad():
        fitted.prior = Exemplar().fit(fitted.posterior(rows), rows)
    assert not has_closed_form(fitted)
    assert has_closed_form(fitted.untrained_copy())
    pixels = [Column(f"{i}", "pixel", Gaussian(), "") for i in range(64)]
    assert not has_closed_form(vae_of(pixels, Convolutional(), (4, 8), grid=(8, 8)))
