"""Chunks: sizes by hand, rows in their order, and the same bits for a row whatever is beside it."""

import copy
import math
import pickle
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.columns import Column
from vae_anomaly.columns.batch import Batch
from vae_anomaly.fitting.chunks import SMALL_CHUNKS, _by_completeness, _same_bits, _sizes, chunk_rows, map_chunks
from vae_anomaly.fitting.predict import score_rows, scores_and_comparisons, scoring_noise
from vae_anomaly.likelihoods import (
    Categorical,
    Constant,
    Gaussian,
    RoundedStudentT,
    SpikedRoundedStudentT,
    StudentT,
)
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import elbo_terms
from vae_anomaly.model.experts import Experts
from vae_anomaly.model.priors import Mixture
from vae_anomaly.model.vae import VAE
from vae_anomaly.scores import ELBO, PooledELBO, Score


def column(likelihood, frequencies=(), **known):
    levels = () if known.get("spikes") else tuple(float(level) for level in range(len(frequencies)))
    return Column("c", "continuous", likelihood, "", frequencies=frequencies, levels=levels, **known)


COLUMNS = (
    column(Gaussian(), location=3.0, scale=2.0),
    column(StudentT(), location=1.5, scale=0.7, asinh_scale=2.0),
    # Narrow intervals, wide ones, and whole numbers from 0 on.
    column(RoundedStudentT(), location=40.0, scale=8.0, step=0.5),
    column(RoundedStudentT(), location=4.0, scale=2.0, step=4.0, unseen=0.01, low=0.0),
    column(RoundedStudentT(), location=2.0, scale=1.0, asinh_scale=3.0, step=1.0, unseen=0.01, low=0.0),
    column(SpikedRoundedStudentT(), (0.4, 0.6), spikes=(10.0,), location=20.0, scale=5.0, step=1.0),
    column(Categorical(), (0.5, 0.3, 0.2), unseen=0.01),
    column(Constant(), (1.0,), unseen=0.25),
)
N_VARYING = len(COLUMNS) - 1
# In units of the data: beyond every table, beside the grid, below the lowest value, on both sides of 0.
ODD = (1e30, -1e30, 2.5, -0.0, 0.0, -1.0, 1e6, 0.05, 1e-30, 123456.7)


def vae_of(columns=COLUMNS, n_members=2, sizes=(7,), seed=0):
    vae = VAE(
        columns,
        latent_dim=2,
        n_members=n_members,
        backbone=MLP(),
        hidden_layer_sizes=sizes,
        activation="silu",
        mask_input=True,
        generator=torch.Generator().manual_seed(seed),
    )
    return vae.requires_grad_(False).eval()


def rows_of(n_rows, seed=0, share_missing=0.1, share_odd=0.02, columns=COLUMNS):
    """Rows half of which are whole, in random order."""
    generator = torch.Generator().manual_seed(seed)
    cells = []
    for one in columns:
        if one.levels:
            cells.append(torch.randint(0, len(one.levels) + 2, (n_rows,), generator=generator).double())
            continue
        numbers = one.location + 2 * one.scale * torch.randn(n_rows, generator=generator, dtype=torch.float64)
        numbers = one.asinh_scale * numbers.sinh() if one.asinh_scale else numbers
        numbers = (numbers / one.step).round() * one.step if one.step else numbers
        odd = torch.rand(n_rows, generator=generator) < share_odd
        which = torch.randint(0, len(ODD), (n_rows,), generator=generator)
        numbers = torch.where(odd, torch.tensor(ODD, dtype=torch.float64)[which], numbers)
        # As far as the encoder lets cells be from the rest.
        cells.append(torch.from_numpy(one.model_units(numbers.numpy())).clamp(-1e6, 1e6))
    values = torch.stack(cells, 1).float()
    hidden = torch.rand(n_rows, len(columns), generator=generator) < share_missing
    observed = ~hidden | (torch.rand(n_rows, 1, generator=generator) < 0.5)
    return Batch(values.where(observed, 0.0), observed)


def fitted(vae, n_rows=200):
    """With a prior, and experts about which the bounds are pooled."""
    training = rows_of(n_rows, seed=5, share_odd=0.0)
    with torch.no_grad():
        posterior = vae.posterior(training)
    vae.prior = Mixture(n_components=8).fit(posterior, training.take(torch.arange(n_rows).expand(vae.n_members, -1)))
    n_experts, counted = vae.n_members + 1, torch.ones(vae.n_columns, dtype=torch.bool)
    vae.experts = Experts(
        torch.full((n_experts, vae.n_columns), 0.7),
        torch.full((n_experts, 7), -0.2),
        -9.0 - torch.arange(n_experts, dtype=torch.float64),
        counted,
    )
    return vae


@pytest.fixture(scope="module")
def vae():
    return fitted(vae_of())


NOISE = scoring_noise(2, 1, 2, seed=1)


@pytest.mark.parametrize(
    ("n_rows", "sizes"),
    [
        (0, [32]),
        (1, [32]),
        (32, [32]),
        (33, [64]),
        (64, [64]),
        (70, [64, 32]),
        (120, [64, 64]),
        (127, [64, 64]),
        (128, [256]),
        (300, [256, 64]),
        (511, [256, 256]),
        (512, [1024]),
        (1024, [1024]),
        (1025, [1024, 32]),
        (3000, [1024, 1024, 1024]),
    ],
)
def test_sizes_by_hand(n_rows, sizes):
    assert _sizes(n_rows, [32, 64, 256, 1024]) == sizes


@given(st.integers(0, 5000), st.sets(st.sampled_from([1, 4, 32, 64, 256, 1024]), min_size=1).map(sorted))
def test_chunks_hold_all_rows_and_few_empty_ones(n_rows, known):
    sizes = _sizes(n_rows, known)
    assert set(sizes) <= set(known)
    assert sum(sizes) >= n_rows
    # None is without rows, and none but the smallest is less than half full.
    assert sum(sizes[:-1]) < max(n_rows, 1)
    assert sizes[-1] == known[0] or 2 * (n_rows - sum(sizes[:-1])) >= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("size", SMALL_CHUNKS)
def test_no_size_leaves_numbers_for_the_other_instructions_at_the_end_of_a_tensor(size):
    assert size % 32 == 0


def test_scores_come_in_larger_chunks_than_other_results(vae):
    assert [chunk_rows(vae, 1, scored=scored) for scored in (False, True)] == [256, 1024]


def test_whole_rows_and_all_others_are_apart_and_go_back_to_their_places():
    observed = torch.tensor([[True, False], [True, True], [False, False], [True, True]])
    batch = Batch(torch.arange(8.0).reshape(4, 2), observed)
    other = Batch(-batch.values, observed)
    parts, order = _by_completeness(batch, (other,))
    assert [part[0].is_complete for part in parts] == [True, False]
    assert [part[0].values[:, 0].tolist() for part in parts] == [[2, 6], [0, 4]]
    assert all(torch.equal(own.values, -others.values) for own, others in parts)
    assert torch.equal(torch.cat([part[0].values for part in parts])[order], batch.values)


@pytest.mark.parametrize(("observed", "is_complete"), [(True, True), (False, False)])
@pytest.mark.parametrize("n_rows", [0, 3])
def test_rows_of_one_sort_stay_where_they_are(n_rows, observed, is_complete):
    batch = Batch(torch.zeros(n_rows, 2), torch.full((n_rows, 2), observed))
    ((part,),), order = _by_completeness(batch, ())
    assert order is None
    assert part.is_complete == (is_complete and n_rows > 0)
    assert torch.equal(part.observed, batch.observed)


def test_no_rows_have_no_scores(vae):
    empty = rows_of(4).take(slice(0, 0))
    assert score_rows(vae, empty, PooledELBO(), NOISE).shape == (0,)
    scores, compared = scores_and_comparisons(vae, empty, PooledELBO(), NOISE, by_member=True)
    assert scores.shape == (0,)
    assert compared.shape == (0, 2)


@pytest.mark.parametrize("score", [PooledELBO(), PooledELBO(sharpness=0.0), ELBO(2)], ids=repr)
def test_row_has_the_same_bits_alone_in_any_company_and_in_any_order(score, vae):
    batch, noise = rows_of(1300), scoring_noise(2, score.n_draws, 2, seed=1)
    scores = score_rows(vae, batch, score, noise)
    order = torch.randperm(1300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(score_rows(vae, batch.take(order), score, noise), scores[order])
    for n_rows in (1, 31, 33, 70, 200, 600):
        some = order[:n_rows]
        assert torch.equal(score_rows(vae, batch.take(some), score, noise), scores[some]), n_rows
    whole = batch.observed.all(1)
    for some in (whole.nonzero().squeeze(1), (~whole).nonzero().squeeze(1)):
        assert torch.equal(score_rows(vae, batch.take(some), score, noise), scores[some])


def test_comparisons_of_a_row_have_the_same_bits_alone(vae):
    batch = rows_of(700)
    together = scores_and_comparisons(vae, batch, PooledELBO(), NOISE, by_member=True)
    for row in range(0, 700, 100):
        alone = scores_and_comparisons(vae, batch.take(slice(row, row + 1)), PooledELBO(), NOISE, by_member=True)
        assert all((one == all_[row]).all() for one, all_ in zip(alone, together, strict=True))


def sizes_of(size, n_rows, known):
    return [size] * math.ceil(n_rows / size)


def test_every_size_gives_every_row_the_same_bits(vae, monkeypatch):
    # Not only those rows on which sizes are tried out: all of them, at every place of a chunk.
    batch = rows_of(1024, seed=3, share_odd=0.05)
    for part in (batch, replace(batch, observed=torch.ones_like(batch.observed))):
        scores = []
        for size in (*SMALL_CHUNKS, 1024):
            monkeypatch.setattr("vae_anomaly.fitting.chunks._sizes", partial(sizes_of, size))
            scores.append(score_rows(vae, part, PooledELBO(), NOISE))
        assert all(torch.equal(other, scores[0]) for other in scores[1:])


def of_its_own_size(score, vae, noise, part):
    return (part.values[:, 0] + len(part),)


def of_its_values(score, vae, noise, part):
    return (part.values[:, 0],)


def test_sizes_that_give_other_bits_are_not_taken(vae):
    differing, equal = partial(of_its_own_size, ELBO()), partial(of_its_values, ELBO())
    assert _same_bits(differing, vae, NOISE, 1024) == []
    assert _same_bits(equal, vae, NOISE, 1024) == list(SMALL_CHUNKS)
    assert _same_bits(equal, vae, NOISE, 64) == [32]
    assert _same_bits(equal, vae, NOISE, 4) == []


def test_sizes_are_tried_out_once_and_again_by_a_copy(vae):
    score_rows(vae, rows_of(3), PooledELBO(), NOISE)
    known = dict(vae.same_bits)
    assert known
    score_rows(vae, rows_of(3), PooledELBO(), NOISE)
    assert vae.same_bits == known
    for copied in (copy.deepcopy(vae), pickle.loads(pickle.dumps(vae))):
        assert copied.same_bits == {}
        assert torch.equal(
            score_rows(copied, rows_of(9), PooledELBO(), NOISE), score_rows(vae, rows_of(9), PooledELBO(), NOISE)
        )


@dataclass(frozen=True)
class Recorded(Score):
    """Holds what it is asked about."""

    n_draws: int = 1
    takes_steps = True

    def reduce(self, terms, vae, batch):
        SEEN.append(len(batch))
        return batch.values[:, 0].double()


SEEN: list[int] = []


def test_score_that_takes_steps_is_not_tried_out(vae):
    SEEN.clear()
    score_rows(vae, rows_of(3, share_missing=0.0), Recorded(), NOISE)
    assert SEEN == [256]


def test_score_that_cannot_be_hashed_has_large_chunks(vae):
    @dataclass(frozen=True)
    class Weighted(Score):
        n_draws: int
        weights: list[float]

        def reduce(self, terms, vae, batch):
            return self.weights[0] * terms.elbo.mean(0)

    noise, rows = scoring_noise(2, 1, 2, seed=0), rows_of(5)
    doubled = score_rows(vae, rows, Weighted(1, [2.0]), noise)
    torch.testing.assert_close(doubled, 2 * score_rows(vae, rows, ELBO(1), noise), rtol=1e-5, atol=1e-4)


def test_scores_in_chunks_are_those_of_all_rows_at_once(vae):
    batch = rows_of(300, share_odd=0.0)
    with torch.inference_mode():
        at_once = PooledELBO().reduce(elbo_terms(vae, batch, NOISE), vae, batch)
    torch.testing.assert_close(score_rows(vae, batch, PooledELBO(), NOISE), at_once, rtol=1e-5, atol=1e-4)
    assert math.isfinite(float(at_once.sum()))


def test_further_numbers_of_rows_stay_beside_them(vae):
    batch = rows_of(50)
    other = Batch(batch.values + 1, batch.observed)

    def difference(vae, noise, part, beside):
        return ((beside.values - part.values).sum(1),)

    (found,) = map_chunks(difference, vae, NOISE, batch, other)
    assert torch.equal(found, (other.values - batch.values).sum(1).double())
