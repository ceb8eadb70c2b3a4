"""Ordered levels: cuts, codes that cannot be, features and the median."""

import pytest
import torch
from scipy import stats

from vae_anomaly.columns import Column
from vae_anomaly.likelihoods import Ordinal
from vae_anomaly.likelihoods.noise import OUTERMOST


def test_cuts_are_where_the_frequencies_of_training_are_reached():
    column = Column("c", "ordinal", Ordinal(), "", levels=(1.0, 2.0, 3.0), frequencies=(0.2, 0.5, 0.3))
    cuts = Ordinal().constants([column.facts])["cuts"]
    expected = [-OUTERMOST, *stats.t.ppf([0.2, 0.7], 4), OUTERMOST, 2 * OUTERMOST]
    assert cuts.flatten().tolist() == pytest.approx(expected)


def test_ordered_levels_far_from_the_centre_are_less_probable(distribution_of):
    cuts = [-OUTERMOST, *stats.t.ppf([0.2, 0.4, 0.6, 0.8], 4).tolist(), OUTERMOST]
    distribution = distribution_of(Ordinal(), [cuts[1] - 0.5], -1.5, n_levels=5, unseen=0.01, cuts=cuts)
    probabilities = distribution.log_prob(torch.arange(5.0, dtype=torch.float64)[:, None]).flatten()
    assert (probabilities.diff() < 0).all()


def test_ordinal_codes_that_cannot_be_are_unseen_and_the_room_behind_the_levels_is_empty(distribution_of):
    known = {"n_levels": 2, "unseen": 0.2, "cuts": [-OUTERMOST, 0.0, OUTERMOST, 2 * OUTERMOST, 3 * OUTERMOST]}
    distribution = distribution_of(Ordinal(), [0.0], 0.0, **known)
    assert distribution.summary().flatten().tolist() == pytest.approx([0.5, 0.5, 0, 0])
    nats = distribution.log_prob(torch.tensor([[2.0], [3.0]], dtype=torch.float64)).flatten()
    assert nats.exp().tolist() == pytest.approx([0.2 / 2, 0.2 / 6])


def test_features_of_ordered_levels_rise_evenly_and_end_with_the_unseen(constants_of):
    features = Ordinal().features(torch.tensor([[0.0], [1.0], [2.0], [4.0], [99.0]]), 4, constants_of())
    assert features.flatten().tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 5 / 3, 2])


def test_point_of_an_ordinal_column_is_the_median_of_the_mixture(distribution_of):
    distribution = distribution_of(Ordinal(), [0.0], n_levels=3, cuts=[-OUTERMOST, -1.0, 1.0, OUTERMOST])
    assert distribution.point(torch.tensor([[0.4, 0.2, 0.4], [0.6, 0.4, 0.0], [0.1, 0.1, 0.8]])).tolist() == [1, 0, 2]
