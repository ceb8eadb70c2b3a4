"""Tables of the independence model: what they hold is what the distributions say, at the edges of the grid too."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.likelihoods import Binary, Categorical, Constant, Gaussian, RoundedStudentT, SpikedRoundedStudentT
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import marginal_terms
from vae_anomaly.model.independence import MAX_VALUES
from vae_anomaly.model.vae import VAE


def column(likelihood, frequencies=(), **known):
    levels = () if known.get("spikes") else tuple(float(level) for level in range(len(frequencies)))
    return Column("c", "continuous", likelihood, "", frequencies=frequencies, levels=levels, **known)


def vae_of(*columns):
    vae = VAE(
        columns,
        latent_dim=2,
        n_members=2,
        backbone=MLP(),
        hidden_layer_sizes=(5,),
        activation="silu",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    )
    return vae.requires_grad_(False).eval()


def batch_of(known, data):
    """Rows of one column, in units of the data."""
    cells = torch.from_numpy(known.model_units(np.asarray(data, dtype=np.float64))).float().unsqueeze(1)
    return Batch(cells, torch.ones_like(cells, dtype=torch.bool), is_complete=True)


def from_tables_and_directly(known, data):
    vae, batch = vae_of(known), batch_of(known, data)
    (part,) = vae.independence.parts
    return part, vae.independence.log_prob(batch), part.distribution.log_prob(batch.values)


STEPS = st.sampled_from([1.0, 0.1, 0.01, 0.25, 5.0, 1e-3, 1e6])
LOW = st.one_of(st.none(), st.integers(-60, 60))


@given(STEPS, st.floats(-300, 300), st.floats(-1.5, 1.8), LOW)
def test_tables_hold_what_the_normal_distribution_says(step, centre, log_spread, low):
    known = {"location": centre * step, "scale": step * 10**log_spread, "step": step, "unseen": 0.01}
    near = round(centre)
    numbers = np.unique(np.concatenate([np.arange(near - 60, near + 60), np.arange(near - 2000, near + 2000, 97)]))
    if low is not None:
        known["low"] = (near + low) * step
        numbers = np.append(numbers, [near + low - 1, near + low, near + low + 1])
    part, found, expected = from_tables_and_directly(column(RoundedStudentT(), **known), numbers * step)
    assert part.table is not None
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@given(STEPS, st.floats(-20, 20), st.floats(0.05, 1), st.floats(-0.5, 1.5), LOW)
def test_tables_on_an_asinh_scale_hold_what_the_normal_distribution_says(step, centre, scale, log_asinh_scale, low):
    asinh_scale = step * 10**log_asinh_scale
    known = {"location": math.asinh(centre * step / asinh_scale), "scale": scale, "asinh_scale": asinh_scale}
    known |= {"step": step, "unseen": 0.01}
    numbers = np.arange(-100, 100)
    if low is not None:
        known["low"] = low * step
    _, found, expected = from_tables_and_directly(column(RoundedStudentT(), **known), numbers * step)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@given(STEPS, st.floats(-300, 300), st.floats(0, 2), st.integers(-5, 5), LOW)
def test_tables_have_the_spikes_in_their_places(step, centre, log_spread, spike, low):
    near = round(centre)
    known = {"location": centre * step, "scale": step * 10**log_spread, "step": step, "unseen": 0.01}
    known |= {"spikes": ((near + spike) * step,)} | ({} if low is None else {"low": (near + low) * step})
    numbers = np.append(np.arange(near - 80, near + 80), near + (low or 0))
    _, found, expected = from_tables_and_directly(column(SpikedRoundedStudentT(), (0.4, 0.6), **known), numbers * step)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "known",
    [
        column(Categorical(), (0.5, 0.3, 0.2), unseen=0.01),
        column(Binary(), (0.9, 0.1), unseen=0.02),
        column(Constant(), (1.0,), unseen=0.25),
    ],
    ids=lambda known: type(known.likelihood).__name__,
)
def test_tables_hold_levels_and_those_that_were_never_seen(known):
    vae = vae_of(known)
    cells = torch.arange(40.0).unsqueeze(1)
    (part,) = vae.independence.parts
    found = vae.independence.log_prob(Batch(cells, torch.ones_like(cells, dtype=torch.bool), is_complete=True))
    assert torch.equal(found, part.distribution.log_prob(cells))


def test_numbers_of_no_step_and_of_too_many_steps_have_no_table():
    fine = column(RoundedStudentT(), location=0.0, scale=MAX_VALUES / 16, step=1.0)
    parts = [vae_of(known).independence.parts[0] for known in (column(Gaussian()), fine)]
    assert [part.table for part in parts] == [None, None]


@pytest.mark.parametrize("location", [0.0, 60.0, 100.0, 700.0])
def test_columns_beyond_single_precision_have_no_table(location):
    known = column(RoundedStudentT(), location=location, scale=2.0, asinh_scale=1.0, step=1.0)
    (part,) = vae_of(known).independence.parts
    assert part.table is None
    assert math.isfinite(float(part.distribution.log_prob(torch.zeros(1, 1))))


WHOLE = column(RoundedStudentT(), location=10.0, scale=4.0, step=1.0, unseen=0.01, low=0.0)
ODD = [2.5, 0.3, -0.5, 1e5, -1e5, 74.0, 75.0, -54.0, -55.0, 1e6]


@pytest.mark.parametrize("odd", ODD)
def test_cells_beside_the_grid_and_beyond_it_have_their_own_probability(odd):
    _, found, expected = from_tables_and_directly(WHOLE, [3.0, odd, 4.0])
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


def test_row_of_odd_cells_has_the_same_bits_alone():
    vae, batch = vae_of(WHOLE, WHOLE), batch_of(WHOLE, np.resize([*ODD, 3.0, 4.0], 400))
    values = torch.cat([batch.values, batch.values.roll(7, 0)], 1)
    both = Batch(values, torch.ones_like(values, dtype=torch.bool), is_complete=True)
    together = vae.independence.log_prob(both)
    for row in range(0, 400, 13):
        assert torch.equal(vae.independence.log_prob(both.take(slice(row, row + 1)).padded(32))[0], together[row])


def test_negative_zero_is_zero():
    _, found, _ = from_tables_and_directly(column(RoundedStudentT(), location=0.0, scale=2.0, step=1.0), [0.0, -0.0])
    assert found[0] == found[1]


def test_known_to_be_complete_changes_no_bit():
    vae, batch = vae_of(WHOLE, WHOLE), batch_of(WHOLE, [3.0, 2.5, 0.0, 1e5])
    values = batch.values.expand(-1, 2).contiguous()
    complete = Batch(values, torch.ones_like(values, dtype=torch.bool), is_complete=True)
    assert torch.equal(marginal_terms(vae, complete), marginal_terms(vae, Batch(values, complete.observed)))


def test_tables_are_made_again_for_other_numbers_and_copies():
    vae, other = (
        vae_of(WHOLE),
        vae_of(column(RoundedStudentT(), location=10.0, scale=4.0, step=1.0, unseen=0.2, low=0.0)),
    )
    batch = batch_of(WHOLE, [-1.0, 0.0, 5.0])
    first, expected = vae.independence.log_prob(batch), other.independence.log_prob(batch)
    assert not torch.equal(first, expected)
    for copied in (copy.deepcopy(vae), pickle.loads(pickle.dumps(vae))):
        assert torch.equal(copied.independence.log_prob(batch), first)
    vae.load_state_dict(other.state_dict())
    assert torch.equal(vae.independence.log_prob(batch), expected)
    assert vae.double().independence.log_prob(batch).dtype == torch.float64
