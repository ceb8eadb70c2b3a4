"""Medians and deviations of groups, and how far each is drawn to its parent's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.columns.shrinkage import (
    MAX_LEFT_OUT_ROWS,
    Estimates,
    Spread,
    Statistics,
    group_statistics,
    learned_spread,
    shrunk,
    variance_between,
    without_own_values,
)

NO_FLOOR = np.array([1e-9])


def of_one(count: float, median: float, deviation: float) -> Statistics:
    return Statistics(np.array([count]), np.array([median]), np.array([deviation]))


def parent(location: float, scale: float) -> Estimates:
    return Estimates(np.array([location]), np.array([scale]), np.array([scale]))


def test_statistics_are_those_worked_out_by_hand():
    found = group_statistics(np.array([9.0, 1.0, 2.0, 4.0, np.nan, 7.0]), np.array([0, 0, 0, 1, 1, -1]), 3)
    assert found.counts.tolist() == [3, 1, 0]
    assert found.medians[:2].tolist() == [2, 4]
    # Distances 7, 1, 0; the factor of three values is 1.495.
    assert found.deviations[0] == pytest.approx(1.4826 * 1.495)
    assert found.deviations[1] == 0
    assert np.isnan([found.medians[2], found.deviations[2]]).all()


def test_median_of_an_even_number_is_between_both():
    assert group_statistics(np.array([1.0, 2.0, 4.0, 9.0]), np.zeros(4, dtype=np.intp), 1).medians[0] == 3


def test_mean_distance_counts_where_most_values_are_equal():
    found = group_statistics(np.array([5.0, 5.0, 5.0, 9.0]), np.zeros(4, dtype=np.intp), 1)
    assert found.deviations[0] == pytest.approx(1.2533)


@pytest.mark.parametrize("n_rows", [5, 9, 40, 400])
def test_deviation_of_normal_values_is_their_standard_deviation(n_rows):
    rng = np.random.default_rng(0)
    n_groups = 200_000 // n_rows
    groups = np.repeat(np.arange(n_groups), n_rows)
    found = group_statistics(3 * rng.normal(size=len(groups)), groups, n_groups)
    assert found.deviations.mean() == pytest.approx(3, rel=0.02)


def test_variance_between_groups_of_equal_size_is_that_of_their_distances_less_their_noise():
    # All squares are within three deviations: 10 / 4 / .99499 - .5.
    found = variance_between(np.array([1.0, -1.0, 2.0, -2.0]), np.full(4, 0.5))
    assert found == pytest.approx(2.5 / 0.99499 - 0.5, abs=1e-6)


def test_distances_within_the_noise_have_no_variance():
    assert variance_between(np.array([0.1, -0.1]), np.ones(2)) == 0
    assert variance_between(np.zeros(0), np.zeros(0)) == 0


def test_one_group_far_away_does_not_set_the_variance():
    rng = np.random.default_rng(0)
    distances = 2 * rng.normal(size=500)
    usual = variance_between(distances, np.full(500, 0.01))
    assert usual == pytest.approx(4, rel=0.15)
    distances[0] = 1e6
    assert variance_between(distances, np.full(500, 0.01)) == pytest.approx(usual, rel=0.1)


def test_location_lies_between_the_parent_and_the_group_as_the_variances_say():
    # Sampling variance of the median: pi / 2 * 4 / 2 = pi; its weight is 1 / (1 + pi).
    spread = Spread(1.0, 0.0, 0.0)
    found = shrunk(of_one(2, 10.0, 2.0), parent(0.0, 2.0), spread, NO_FLOOR)
    assert found.locations[0] == pytest.approx(10 / (1 + math.pi))
    assert found.inner_scales[0] == pytest.approx(2)
    assert found.scales[0] == pytest.approx(math.sqrt(4 + math.pi / (1 + math.pi)))


def test_logarithm_of_the_scale_lies_between_what_is_usual_and_that_of_the_group():
    # Sampling variance 1.36 / 8 = .17; the weight is .17 / (.17 + .17).
    spread = Spread(0.0, math.log(0.5), 0.17)
    found = shrunk(of_one(8, 0.0, 2.0), parent(0.0, 2.0), spread, NO_FLOOR)
    assert math.log(found.inner_scales[0]) == pytest.approx((math.log(1.0) + math.log(2.0)) / 2)


def test_group_without_values_is_as_its_parent():
    found = shrunk(of_one(0, np.nan, np.nan), parent(3.0, 2.0), Spread(5.0, -1.0, 1.0), NO_FLOOR)
    assert (found.locations[0], found.scales[0], found.inner_scales[0]) == (3, 2, 2)


def test_large_group_keeps_within_a_standard_error_of_its_own_figures():
    found = shrunk(of_one(400, 50.0, 1.0), parent(0.0, 30.0), Spread(0.0, 0.0, 0.0), NO_FLOOR)
    scale = found.inner_scales[0]
    assert math.log(scale) == pytest.approx(math.sqrt(1.36 / 400))
    assert found.locations[0] == pytest.approx(50 - math.sqrt(math.pi / 2 * scale**2 / 400))


def test_two_equal_values_do_not_make_a_group_narrow():
    found = shrunk(of_one(2, 1.0, 0.0), parent(0.0, 1.0), Spread(1.0, 0.0, 0.25), NO_FLOOR)
    assert found.inner_scales[0] > 0.4


def test_scale_is_at_least_the_floor():
    found = shrunk(of_one(1000, 1.0, 0.0), parent(0.0, 1.0), Spread(1.0, 0.0, 9.0), np.array([0.3]))
    assert found.scales[0] >= 0.3


def test_spread_of_groups_is_found_again():
    rng = np.random.default_rng(1)
    n_groups, n_rows = 400, 50
    locations, scales = 2 * rng.normal(size=n_groups), np.exp(0.5 * rng.normal(size=n_groups) - 1)
    groups = np.repeat(np.arange(n_groups), n_rows)
    values = locations[groups] + scales[groups] * rng.normal(size=len(groups))
    found = group_statistics(values, groups, n_groups)
    floors = np.full(n_groups, 1e-9)
    ones = np.ones(n_groups)
    spread = learned_spread(found, Estimates(0 * ones, ones, ones), floors)
    assert spread.location_variance == pytest.approx(np.square(locations).mean(), rel=0.05)
    assert spread.log_scale_shift == pytest.approx(-1, abs=0.1)
    assert spread.log_scale_variance == pytest.approx(0.25, rel=0.2)


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.one_of(st.just(math.nan), st.integers(-5, 5))), min_size=1, max_size=25)
)
def test_leaving_a_row_out_is_computing_without_it(rows):
    groups = np.array([group for group, _ in rows], dtype=np.intp)
    values = np.array([value for _, value in rows], dtype=np.float64)
    found = without_own_values(group_statistics(values, groups, 3), values, groups)
    for row, (group, value) in enumerate(zip(groups, values, strict=True)):
        if group < 0:
            assert found.counts[row] == 0
            continue
        others = np.delete(values, row) if not np.isnan(value) else values
        of_others = np.delete(groups, row) if not np.isnan(value) else groups
        expected = group_statistics(others, of_others, 3)
        assert found.counts[row] == expected.counts[group]
        np.testing.assert_allclose(found.medians[row], expected.medians[group])
        np.testing.assert_allclose(found.deviations[row], expected.deviations[group])


def test_large_groups_stay_as_they_are():
    values = np.random.default_rng(0).normal(size=MAX_LEFT_OUT_ROWS + 1)
    groups = np.zeros(len(values), dtype=np.intp)
    whole = group_statistics(values, groups, 1)
    found = without_own_values(whole, values, groups)
    assert set(found.medians) == {whole.medians[0]}
