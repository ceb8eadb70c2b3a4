"""Kernels at training rows: against a sum written out, as densities that add up to 1, and without the row itself."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from vae_anomaly.columns import Batch, Column
from vae_anomaly.likelihoods import Binary, Categorical, Constant, Gaussian, Ordinal, Poisson, Rounded, StudentT
from vae_anomaly.model.backbones import MLP
from vae_anomaly.model.elbo import marginal_terms
from vae_anomaly.model.kernel_bounds import (
    LEVEL_SMOOTHING,
    _central_range,
    fit_kernels,
    kernel_bound,
    kernel_terms,
    nearest_centres,
)
from vae_anomaly.model.kernels import Kernels
from vae_anomaly.model.vae import VAE


def column(likelihood, n_levels=0, **known):
    levels = tuple(float(level) for level in range(n_levels))
    frequencies = tuple(np.arange(1, n_levels + 1) / (n_levels * (n_levels + 1) / 2))
    return Column("c", "continuous", likelihood, "", levels=levels, frequencies=frequencies, unseen=0.01, **known)


NUMBER, HEAVY = column(Gaussian(), location=3.0, scale=0.1), column(StudentT(), scale=2.0, asinh_scale=1.5)
MIXED = (
    NUMBER,
    HEAVY,
    column(Rounded(StudentT()), scale=4.0, step=1.0),
    column(Ordinal(), 4),
    column(Categorical(), 3),
    column(Binary(), 2),
    column(Poisson(), mean=2.0),
    column(Constant(), 1),
)
CODES = {3: 4, 4: 5, 5: 2, 6: 4, 7: 2}


def vae_of(*columns):
    return VAE(
        columns,
        latent_dim=2,
        n_members=2,
        backbone=MLP(),
        hidden_layer_sizes=(5,),
        activation="tanh",
        mask_input=True,
        generator=torch.Generator().manual_seed(0),
    ).requires_grad_(False)


def numbers(n_rows, n_columns=1, seed=0):
    values = torch.randn(n_rows, n_columns, generator=torch.Generator().manual_seed(seed))
    return Batch(values, torch.ones_like(values, dtype=torch.bool))


def mixed(n_rows, seed=0, missing=0.2):
    """Rows of `MIXED`, some of whose cells are missing."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n_rows, len(MIXED), generator=generator)
    values[:, 2] = (4 * values[:, 2]).round() / 4
    for position, n_codes in CODES.items():
        values[:, position] = torch.randint(0, n_codes, (n_rows,), generator=generator).float()
    observed = torch.rand(values.shape, generator=generator) >= missing
    return Batch(values * observed, observed)


def kernels_at(centres, n_numbers=4, seed=0):
    """Kernels of all widths at rows of `MIXED`."""
    generator = torch.Generator().manual_seed(seed)
    is_number = torch.tensor([True, True, True, True, False, False, True, False])
    return Kernels(
        centres.values,
        centres.observed,
        0.5 + torch.rand(len(centres), generator=generator),
        torch.where(is_number, 0.2 + torch.rand(len(MIXED), generator=generator), 0.0),
        torch.full((len(MIXED),), 0.5),
        centres.fingerprints(),
    )


def bound_of(vae, batch, kernels):
    return kernel_bound(vae, batch, kernels, marginal_terms(vae, batch))


def unrecognised(kernels):
    """The same kernels, none of which is taken for the row itself."""
    return replaced(kernels, fingerprints=torch.zeros_like(kernels.fingerprints))


def replaced(kernels, **changes):
    parts = {name: part for name, part in kernels.named_buffers() if name != "scores"}
    return Kernels(**parts | changes)


def written_out(vae, batch, kernels):
    """log p of every row, one centre and one cell after the other."""
    alone = marginal_terms(vae, batch).double().numpy()
    slope, levels = vae.log_slope(batch.values).double().numpy(), vae.log_jacobian.double().numpy()
    x, centres = batch.values.double().numpy(), kernels.values.double().numpy()
    found = []
    for row in range(len(batch)):
        products, copies = [], []
        for number, centre in enumerate(centres):
            total = 0.0
            for position in batch.observed[row].nonzero().flatten().tolist():
                width = float(kernels.bandwidths[position])
                if not kernels.observed[number, position]:
                    total += alone[row, position]
                elif width > 0:
                    deviation = max(float(kernels.widths[number]) * width, float(kernels.min_deviations[position]))
                    total += stats.norm.logpdf(x[row, position], centre[position], deviation) + slope[row, position]
                else:
                    mass = LEVEL_SMOOTHING * math.exp(alone[row, position] - levels[position])
                    same = x[row, position] == centre[position]
                    total += math.log(mass + (1 - LEVEL_SMOOTHING) * same) + levels[position]
            products.append(total)
            same_mask = torch.equal(batch.observed[row], kernels.observed[number])
            known = bool(kernels.fingerprints[number])
            copies.append(known and same_mask and torch.equal(batch.values[row], kernels.values[number]))
        if any(copies):
            products.pop(copies.index(True))
        found.append(special.logsumexp(products) - math.log(len(centres)))
    return found


def test_bound_is_the_sum_over_centres_written_out():
    vae, centres = vae_of(*MIXED), mixed(12)
    batch = mixed(15, seed=1).followed_by(centres.take(slice(0, 5)))
    kernels = kernels_at(centres)
    np.testing.assert_allclose(bound_of(vae, batch, kernels), written_out(vae, batch, kernels), rtol=1e-6, atol=1e-6)


def test_matches_of_levels_are_counted_alike_where_there_are_few_and_many(monkeypatch):
    vae, centres, batch = vae_of(*MIXED), mixed(12), mixed(15, seed=1)
    marginal = marginal_terms(vae, batch)
    few, many = kernels_at(centres), kernels_at(centres)
    assert len(few.arranged().few) == 3
    monkeypatch.setattr("vae_anomaly.model.kernels.MAX_SLOTS", 0)
    assert len(many.arranged().many) == 3
    for found in (kernel_bound, lambda *known: kernel_terms(*known)[0], lambda *known: kernel_terms(*known)[1]):
        torch.testing.assert_close(found(vae, batch, many, marginal), found(vae, batch, few, marginal))


def test_level_that_no_centre_has_matches_none():
    """Also one of a code that is no level of the column, below or far above."""
    vae, kernels = vae_of(*MIXED), kernels_at(mixed(12, missing=0.0))
    batch = mixed(3, seed=1, missing=0.0)
    batch.values[:, 4] = torch.tensor([5.0, 60.0, 1e30])
    np.testing.assert_allclose(bound_of(vae, batch, kernels), written_out(vae, batch, kernels), rtol=1e-6, atol=1e-6)


def test_bound_of_copies_leaves_one_of_them_out():
    vae, centres = vae_of(*MIXED), mixed(6, missing=0.0)
    centres = centres.followed_by(centres.take(torch.tensor([0, 0, 1])))
    kernels = replaced(kernels_at(centres), widths=torch.ones(9))
    batch = centres.take(slice(0, 4))
    np.testing.assert_allclose(bound_of(vae, batch, kernels), written_out(vae, batch, kernels), rtol=1e-6, atol=1e-6)
    one = replaced(kernels, **{name: part[[0, 3]] for name, part in per_centre(kernels)})
    other = replaced(kernels, **{name: part[3:4] for name, part in per_centre(kernels)})
    first = batch.take(slice(0, 1))
    torch.testing.assert_close(bound_of(vae, first, one), bound_of(vae, first, other) - math.log(2))


def per_centre(kernels):
    return [(name, part) for name, part in kernels.named_buffers() if len(part) == kernels.n_centres]


@given(seed=st.integers(0, 10**6), missing=st.sampled_from([0.0, 0.3]), n_copies=st.integers(0, 3))
def test_terms_of_cells_add_up_to_the_bound(seed, missing, n_copies):
    vae, centres = vae_of(*MIXED), mixed(7, seed, missing)
    centres = centres.followed_by(centres.take(torch.arange(n_copies) % 2))
    batch = mixed(5, seed + 1).followed_by(centres.take(slice(0, 3)))
    kernels = kernels_at(centres, seed=seed)
    cells, kl = kernel_terms(vae, batch, kernels, marginal_terms(vae, batch))
    torch.testing.assert_close(cells.sum(1) - kl, bound_of(vae, batch, kernels), rtol=1e-10, atol=1e-10)
    assert not cells[~batch.observed].any()


def test_nearest_centres_are_those_of_the_highest_product_of_equally_wide_kernels():
    vae, centres = vae_of(*MIXED), mixed(12)
    batch, kernels = mixed(10, seed=1).followed_by(centres.take(slice(0, 2))), kernels_at(centres)
    same = unrecognised(replaced(kernels, widths=torch.ones(12)))
    one_by_one = [replaced(same, **{name: part[[n]] for name, part in per_centre(same)}) for n in range(12)]
    products = np.stack([written_out(vae, batch, one) for one in one_by_one], 1)
    products[10, 0] = products[11, 1] = -np.inf
    expected = np.sort(np.argsort(-products, 1)[:, :3], 1)
    found = nearest_centres(vae, batch, kernels, 3).sort(1).values
    assert found.tolist() == expected.tolist()
    assert nearest_centres(vae, batch, kernels, 50).shape == (12, 11)


def test_row_without_cells_has_probability_1():
    vae, kernels = vae_of(*MIXED), kernels_at(mixed(10))
    empty = Batch(torch.zeros(2, 8), torch.zeros(2, 8, dtype=torch.bool))
    cells, kl = kernel_terms(vae, empty, kernels, marginal_terms(vae, empty))
    assert bound_of(vae, empty, kernels).abs().max() < 1e-12
    assert not cells.any()
    assert kl.abs().max() < 1e-12


@pytest.mark.parametrize("known", [NUMBER, HEAVY], ids=["normal", "on an asinh scale"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_density_of_one_column_integrates_to_1(known, missing):
    vae, rows = vae_of(known), numbers(200)
    rows = Batch(rows.values, torch.rand(200, 1, generator=torch.Generator().manual_seed(1)) >= missing)
    # In model units, so that the log-Jacobian is taken off again.
    grid = torch.linspace(-9, 9, 4001).unsqueeze(1)
    grid = Batch(grid, torch.ones_like(grid, dtype=torch.bool))
    density = (bound_of(vae, grid, fit_kernels(vae, rows)) - vae.log_slope(grid.values).sum(1)).exp()
    assert float(density.sum()) * 18 / 4000 == pytest.approx(1, abs=1e-4)


def test_density_of_two_columns_integrates_to_1():
    vae, rows = vae_of(NUMBER, NUMBER), numbers(100, 2)
    line = torch.linspace(-13, 13, 261)
    grid = torch.cartesian_prod(line, line)
    grid = Batch(grid, torch.ones_like(grid, dtype=torch.bool))
    density = (bound_of(vae, grid, fit_kernels(vae, rows)) - vae.log_slope(grid.values).sum(1)).exp()
    assert float(density.sum()) * 0.1**2 == pytest.approx(1, abs=1e-3)


def cells_of(*values):
    grid = torch.cartesian_prod(*values) if len(values) > 1 else values[0].unsqueeze(1)
    return Batch(grid.float(), torch.ones_like(grid, dtype=torch.bool))


@pytest.mark.parametrize(
    ("known", "every", "step", "lowest"),
    [
        (column(Rounded(StudentT()), scale=4.0, step=1.0), torch.arange(-60, 61) / 4, 1.0, 0.98),
        (column(Rounded(StudentT()), scale=4.0, step=0.5), torch.arange(-120, 121) / 8, 0.5, 0.98),
        (column(Poisson(), mean=2.0), torch.arange(0, 60), 1.0, 0.75),
        (column(Ordinal(), 6), torch.arange(0, 6), 1.0, 0.75),
        (column(Categorical(), 4), torch.arange(0, 4), 1.0, 0.98),
        (column(Binary(), 2), torch.arange(0, 2), 1.0, 0.98),
    ],
    ids=["whole numbers", "halves", "counts", "ordered levels", "texts", "two levels"],
)
@pytest.mark.parametrize("n_columns", [1, 2])
def test_probabilities_add_up_to_at_most_1(known, every, step, lowest, n_columns):
    """To a little less: what lies beyond the lowest and highest value, and levels that training did not see."""
    if n_columns == 2 and len(every) > 60:
        every = every[len(every) // 2 - 30 : len(every) // 2 + 30]
    central = every[every.abs() <= every[: 6 if every[0] >= 0 else None].abs().max() / 3 + 1]
    chosen = torch.randint(0, len(central), (150, n_columns), generator=torch.Generator().manual_seed(0))
    rows = Batch(central[chosen].float(), torch.ones(150, n_columns, dtype=torch.bool))
    vae = vae_of(*[known] * n_columns)
    total = float(bound_of(vae, cells_of(*[every] * n_columns), unrecognised(fit_kernels(vae, rows))).exp().sum())
    assert lowest**n_columns < total * step**n_columns < 1.015**n_columns


def test_bound_depends_on_the_row_alone():
    vae, centres = vae_of(*MIXED), mixed(50)
    kernels = fit_kernels(vae, centres)
    batch = mixed(60, seed=1).followed_by(centres.take(slice(0, 10))).padded(96)
    whole = bound_of(vae, batch, kernels)
    order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(bound_of(vae, batch.take(order), kernels), whole[order])
    assert torch.equal(bound_of(vae, batch.take(slice(32, 64)).padded(96), kernels)[:32], whole[32:64])
    cells, kl = kernel_terms(vae, batch, kernels, marginal_terms(vae, batch))
    moved = batch.take(order)
    cells_moved, kl_moved = kernel_terms(vae, moved, kernels, marginal_terms(vae, moved))
    assert torch.equal(cells_moved, cells[order])
    assert torch.equal(kl_moved, kl[order])


@pytest.mark.parametrize("n_rows", [5, 30, 100, 300])
def test_gross_cell_changes_no_width_by_much(n_rows):
    vae, rows = vae_of(NUMBER, NUMBER), numbers(n_rows, 2)
    gross = rows.values.clone()
    gross[n_rows // 2, 0] = 1e6
    before, after = (fit_kernels(vae, Batch(values, rows.observed)) for values in (rows.values, gross))
    assert (after.bandwidths < 2 * before.bandwidths).all()
    normal = numbers(50, 2, seed=1)
    assert (bound_of(vae, normal, after) - bound_of(vae, normal, before)).abs().median() < 1


def test_row_near_a_gross_centre_is_exact():
    vae, rows = vae_of(NUMBER, NUMBER), numbers(100, 2)
    rows.values[:2, 0] = 1e6
    kernels = fit_kernels(vae, rows)
    near = Batch(torch.tensor([[1e6, 0.3], [1e6 + 1, 0.3]]), torch.ones(2, 2, dtype=torch.bool))
    np.testing.assert_allclose(bound_of(vae, near, kernels), written_out(vae, near, kernels), rtol=1e-6, atol=1e-3)


def test_width_is_found_without_the_row_itself():
    """Kernels about as wide as those of the best density of new rows, not ever narrower ones."""
    vae, rows, new = vae_of(NUMBER), numbers(400), numbers(400, seed=1)
    kernels = fit_kernels(vae, rows)
    found = [float(bound_of(vae, new, kernels.scaled(factor)).mean()) for factor in (0.2, 1.0, 5.0)]
    assert found[1] > max(found[0], found[2])
    exact = stats.norm.logpdf(new.values.flatten()) + math.log(10)
    assert found[1] > exact.mean() - 0.1


def test_kernels_of_sparse_regions_are_wider():
    kernels = fit_kernels(vae_of(NUMBER), rows := numbers(400))
    far = rows.values.abs().flatten() > 2
    assert kernels.widths[far].median() > 1.5 * kernels.widths[~far].median()


def test_column_that_is_equal_but_for_gross_cells_and_a_constant_one_are_harmless():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(300, 3, generator=generator)
    values[:, 1], values[:, 2] = 2.0, 0.0
    values[7, 1] = 5.0
    vae = vae_of(NUMBER, NUMBER, column(Constant(), 1))
    rows = Batch(values, torch.ones_like(values, dtype=torch.bool))
    kernels = fit_kernels(vae, rows)
    assert kernels.bandwidths[1] > 0
    assert kernels.bandwidths[2] == 0
    other = torch.tensor([[0.1, 2.0, 0.0]]).repeat(4, 1)
    other[1, 1], other[2, 2], other[3, 0] = 5.0, 1.0, 9.0
    normal, gross, new, extreme = bound_of(vae, Batch(other, rows.observed[:4]), kernels).tolist()
    assert np.isfinite([normal, gross, new, extreme]).all()
    assert normal > max(gross, new, extreme) + 2


def test_column_without_any_cell_is_harmless():
    rows = numbers(50, 2)
    rows = Batch(rows.values * torch.tensor([1.0, 0.0]), rows.observed & torch.tensor([True, False]))
    vae = vae_of(NUMBER, NUMBER)
    new = numbers(5, 2, seed=1)
    found = bound_of(vae, new, kernels := fit_kernels(vae, rows))
    first = Batch(new.values, new.observed & torch.tensor([True, False]))
    alone = marginal_terms(vae, new)[:, 1].double()
    torch.testing.assert_close(found, bound_of(vae, first, kernels) + alone)


@pytest.mark.parametrize("n_rows", [2, 3, 4])
def test_fewest_centres_and_equal_ones_give_finite_bounds(n_rows):
    vae = vae_of(NUMBER, NUMBER)
    for rows in (numbers(n_rows, 2), Batch(torch.ones(n_rows, 2), torch.ones(n_rows, 2, dtype=torch.bool))):
        for batch in (rows, numbers(4, 2, seed=1)):
            assert bound_of(vae, batch, fit_kernels(vae, rows)).isfinite().all()


def test_more_rows_than_pixels_of_a_large_image_fit():
    """More than 2 ** 24 cells, where torch.quantile stops."""
    values = torch.zeros(2, 1).expand(2, (1 << 23) + 1)
    low, high = _central_range(values.clone())
    assert not low.any()
    assert not high.any()


def test_arranged_matrices_follow_the_kernels():
    vae, batch = vae_of(*MIXED), mixed(5, seed=1)
    kernels = kernels_at(mixed(10))
    first = bound_of(vae, batch, kernels)
    again = pickle.loads(pickle.dumps(kernels))
    assert torch.equal(bound_of(vae, batch, again), first)
    other = kernels_at(mixed(10, seed=3))
    kernels.load_state_dict(other.state_dict())
    assert torch.equal(bound_of(vae, batch, kernels), bound_of(vae, batch, other))
    assert torch.equal(kernels.to(torch.float64).arranged().coefficients, kernels.arranged().coefficients)
