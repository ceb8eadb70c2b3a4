"""What the other cells say about a cell: hand-computed mixtures, hidden cells without influence, tail probabilities."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly import VAEDetector
from vae_anomaly.columns.batch import Batch
from vae_anomaly.detectors import read_table
from vae_anomaly.explain.conditionals import conditionals, expected_cells, tail_probability
from vae_anomaly.likelihoods import StudentT
from vae_anomaly.model.elbo import elbo_terms

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def detector():
    common = rng.normal(size=(200, 1))
    X = np.hstack([common + 0.3 * rng.normal(size=(200, 3)), (common > 0) * 1.0])
    return VAEDetector(n_estimators=2, max_iter=60, early_stopping=False).fit(X)


@pytest.fixture(scope="module")
def rows(detector):
    X = rng.normal(size=(9, 4))
    X[:, 3] = X[:, 3] > 0
    X[2, 1] = np.nan
    return detector.encoder_.encode(read_table(detector, X, fitting=False))


EACH = [(0,), (1,), (2,), (3,)]


def changed(rows, cell, value=3.0):
    values = rows.values.clone()
    values[:, cell] = value
    return Batch(values.where(rows.observed, 0.0), rows.observed)


def test_log_likelihood_is_that_of_the_mixture_over_members_and_draws(detector, rows):
    found = conditionals(detector.vae_, rows, detector.noise_, EACH)
    vae, cell = detector.vae_, 0
    visible = rows.observed.clone()
    visible[:, cell] = False
    with torch.inference_mode():
        z = vae.posterior(rows, visible).draw(detector.noise_)
        group = vae.group_of(cell)
        components = vae.decode(z)[vae.groups.index(group)].log_prob(rows.values[:, group.columns])
    by_hand = components[..., cell - group.columns.start].double().exp().mean((0, 1)).log() + vae.log_jacobian[cell]
    torch.testing.assert_close(found.log_likelihood[:, cell], by_hand, atol=1e-5, rtol=1e-5, check_dtype=False)


@pytest.mark.parametrize("cell", range(4))
def test_cell_has_no_influence_on_what_is_expected_of_it(detector, rows, cell):
    before, after = (
        conditionals(detector.vae_, part, detector.noise_, EACH, ranges=0.9)
        for part in (rows, changed(rows, cell, 1.0))
    )
    for field in ("expected", "lower", "upper"):
        torch.testing.assert_close(
            getattr(before, field)[:, cell], getattr(after, field)[:, cell], atol=0, rtol=0, equal_nan=True
        )
    others = [other for other in range(3) if other != cell]
    assert not torch.equal(before.expected[:, others], after.expected[:, others])


def test_hidden_cell_has_no_influence_on_any_cell_but_itself(detector, rows):
    hidden = torch.zeros_like(rows.observed)
    hidden[:, 1] = True
    before, after = (
        conditionals(detector.vae_, part, detector.noise_, EACH, hidden=hidden) for part in (rows, changed(rows, 1))
    )
    others = [0, 2, 3]
    torch.testing.assert_close(before.log_likelihood[:, others], after.log_likelihood[:, others], atol=0, rtol=0)
    assert not torch.equal(before.log_likelihood[:, 1], after.log_likelihood[:, 1])


def test_given_nothing_every_row_expects_the_same(detector, rows):
    alone = conditionals(detector.vae_, rows, detector.noise_, [(0, 1, 2, 3)])
    assert (alone.expected == alone.expected[0]).all()


def test_missing_cell_has_no_term_and_no_position_but_an_expectation(detector, rows):
    found = conditionals(detector.vae_, rows, detector.noise_, EACH)
    assert found.log_likelihood[2, 1] == 0
    assert found.position[2, 1].isnan()
    assert found.expected[2, 1].isfinite()


def test_rows_do_not_depend_on_their_neighbours(detector, rows):
    whole = conditionals(detector.vae_, rows, detector.noise_, EACH, ranges=0.9)
    alone = conditionals(detector.vae_, rows.take(slice(4, 5)), detector.noise_, EACH, ranges=0.9)
    for field in ("log_likelihood", "position", "expected", "lower", "upper"):
        torch.testing.assert_close(getattr(whole, field)[4:5], getattr(alone, field), atol=0, rtol=0, equal_nan=True)


def test_position_of_an_ordered_cell_is_the_log_odds_of_its_rank(detector, rows):
    low, high = (conditionals(detector.vae_, changed(rows, 0, end), detector.noise_, EACH) for end in (-5.0, 5.0))
    assert (low.position[:, 0] < -2).all()
    assert (high.position[:, 0] > 2).all()


def test_plausible_range_holds_the_expected_cell_and_widens_with_its_probability(detector, rows):
    narrow, wide = (conditionals(detector.vae_, rows, detector.noise_, EACH, ranges=share) for share in (0.5, 0.95))
    numbers = slice(0, 3)
    assert (wide.lower[:, numbers] < narrow.lower[:, numbers]).all()
    assert (wide.upper[:, numbers] > narrow.upper[:, numbers]).all()
    assert (wide.lower[:, numbers] < wide.expected[:, numbers]).all()


def test_rows_without_any_observed_cell_get_the_model_s_mean(detector):
    nothing = Batch(torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool))
    expected = expected_cells(detector.vae_, nothing, detector.noise_, weighted=True)
    assert expected.isfinite().all()
    assert torch.equal(expected[0], expected[1])


def test_expected_cells_are_weighted_by_importance(detector, rows):
    vae, noise = detector.vae_, detector.noise_
    with torch.inference_mode():
        terms = elbo_terms(vae, rows, noise)
        log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(terms.z).sum(-1)
        weights = terms.log_likelihood.sum(-1) + log_prior - terms.posterior.log_prob(terms.z)
        weights = weights.double().flatten(0, 1).softmax(0)
        (group,) = (group for group in vae.groups if isinstance(group.likelihood, StudentT))
        means = vae.decode(terms.z)[vae.groups.index(group)].mean.flatten(0, 1).double()
    by_hand = (means * weights.unsqueeze(-1)).sum(0)
    found = expected_cells(vae, rows, noise, weighted=True)[:, group.columns]
    torch.testing.assert_close(found, by_hand, atol=1e-5, rtol=1e-5)
    equally = expected_cells(vae, rows, noise, weighted=False)[:, group.columns]
    torch.testing.assert_close(equally, means.mean(0), atol=1e-5, rtol=1e-5)


REFERENCE = torch.arange(-4.0, 5.0).unsqueeze(1)  # nine training cells, from -4 to 4


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0.0, 1.0), (-3.0, 2 * 3 / 10), (3.0, 2 * 3 / 10), (-4.0, 2 * 2 / 10), (-5.0, 2 * math.exp(-1) / 10), (-3.5, 0.4)],
)
def test_two_sided_tail_counts_training_cells_and_falls_on_exponentially(position, expected):
    found = tail_probability(torch.tensor([[position]], dtype=torch.float64), REFERENCE, [True])
    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize(("position", "expected"), [(4.0, 1.0), (-4.0, 0.2), (0.0, 0.6), (-6.0, math.exp(-2) / 10)])
def test_one_sided_tail_counts_training_cells_that_are_as_improbable(position, expected):
    found = tail_probability(torch.tensor([[position]], dtype=torch.float64), REFERENCE, [False])
    assert float(found) == pytest.approx(expected)


def test_missing_positions_have_no_tail_and_missing_references_do_not_count():
    reference = torch.tensor([[-1.0], [1.0], [math.nan]])
    found = tail_probability(torch.tensor([[math.nan], [-1.0]], dtype=torch.float64), reference, [True])
    assert found[0].isnan()
    assert float(found[1]) == 1.0


def test_without_training_cells_the_model_s_own_probabilities_count():
    position = torch.tensor([[math.log(0.1 / 0.9), math.log(0.1)]], dtype=torch.float64)
    found = tail_probability(position, torch.empty(0, 2), [True, False])
    assert found.flatten().tolist() == pytest.approx([0.2, 0.1])


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30), st.floats(-30, 30), st.floats(0, 10))
def test_tail_falls_with_the_distance_and_is_a_probability(training, position, further):
    reference = torch.tensor(sorted(training)).unsqueeze(1)
    cells = torch.tensor([[position], [position - further]], dtype=torch.float64)
    nearer, farther = tail_probability(cells, reference, [False]).flatten().tolist()
    assert 0 <= farther <= nearer <= 1
