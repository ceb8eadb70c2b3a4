"""A few cells out of all proportion do not change what a column is, nor the units in which it is modelled."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly import VAEDetector
from vae_anomaly.columns import Column, infer_columns
from vae_anomaly.columns.scales import gross_cells, window_of
from vae_anomaly.data.table import Table
from vae_anomaly.likelihoods import Gaussian

N = 1000
NORMAL = np.random.default_rng(0).permutation(stats.norm.ppf((np.arange(N) + 0.5) / N))
COLUMNS = {
    "far from 0": 50 + 5 * NORMAL,
    "around 0": 2 * NORMAL,
    "bounded": np.minimum(100, 100 / (1 + np.exp(-1.5 - 1.5 * NORMAL)) + 3),
    "whole": np.round(40 + 12 * NORMAL),
    "rounded": np.round(20 + 3 * NORMAL, 1),
    "skewed": np.exp(3 + 1.2 * NORMAL),
    "very skewed": np.exp(2.5 * NORMAL),
}
WITH_STEPS = ("whole", "rounded")
MAGNITUDES = st.floats(-3, 30).map(lambda exponent: 10.0**exponent)
GROSS = st.builds(lambda size, sign: size * sign, MAGNITUDES, st.sampled_from([-1.0, 1.0]))


def infer(cells: np.ndarray, likelihood: Gaussian | None = None) -> Column:
    return infer_columns(Table(("c",), cells[:, None]), likelihood, missing_values=False)[0]


@settings(max_examples=25, deadline=None)
@given(number=GROSS, n_cells=st.sampled_from([1, 2, 10]))
@pytest.mark.parametrize("name", COLUMNS)
def test_cells_of_any_size_leave_the_noise_floor_below_half_a_deviation(name, number, n_cells):
    clean, cells = infer(COLUMNS[name]), COLUMNS[name].copy()
    cells[-n_cells:] = number
    column = infer(cells)
    assert math.isfinite(column.location)
    assert 0 < column.scale < math.inf
    if bool(column.asinh_scale) == bool(clean.asinh_scale):
        usual = np.diff(column.model_units(np.quantile(COLUMNS[name], [0.16, 0.84]))) / 2
        before = np.diff(clean.model_units(np.quantile(COLUMNS[name], [0.16, 0.84]))) / 2
        assert column.floor < max(0.5 * usual, 8 * clean.floor * usual / before)


@pytest.mark.parametrize("number", [-1e30, -1e12, 1e6, 1e30])
@pytest.mark.parametrize("name", COLUMNS)
def test_kind_steps_and_bounds_are_those_without_gross_cells(name, number):
    clean, cells = infer(COLUMNS[name]), COLUMNS[name].copy()
    cells[-10:] = number * np.linspace(1, 2, 10)
    column = infer(cells)
    assert column.kind == clean.kind
    assert (column.low, column.high) == (clean.low, clean.high)
    assert (column.asinh_scale > 0) == (clean.asinh_scale > 0)
    assert column.step == pytest.approx(clean.step, rel=1e-3)
    assert column.resolution == pytest.approx(clean.resolution, rel=0.5, abs=1e-6)
    assert "10 more out of all proportion" in column.reason


def test_scale_is_at_most_twice_that_of_the_others():
    cells = np.append(NORMAL, [1e9, -1e20])
    column = infer(cells)
    assert column.location == pytest.approx(0, abs=1e-12)
    assert column.scale == pytest.approx(2 * NORMAL.std())
    # By hand: a fiftieth of 1,002 cells may be gross, and one at 40 adds 40 ** 2 / 1001 to the variance.
    near = infer(np.append(NORMAL, 40.0))
    assert near.scale == pytest.approx(math.sqrt(NORMAL.var() + 40**2 / 1001), rel=0.01)


def test_asked_likelihood_has_the_same_scale():
    assert infer(np.append(NORMAL, 1e9), Gaussian()).scale == pytest.approx(2 * NORMAL.std())


def test_window_by_hand():
    # Of 0 to 100 the inner nine tenths are 5 to 95: half of them is 45, and 45 + 20 times 45 from the median.
    numbers = np.arange(101.0)
    low, high = window_of(numbers)
    assert (low, high) == (50 - 21 * 45, 50 + 21 * 45)
    assert np.flatnonzero(gross_cells(np.append(numbers, [900.0, 1100.0, -1e30]))).tolist() == [102, 103]


@pytest.mark.parametrize(
    "tail",
    [
        stats.lognorm(2).ppf,
        stats.pareto(1.5).ppf,
        stats.cauchy.ppf,
        stats.t(2).ppf,
        stats.expon.ppf,
    ],
    ids=["lognormal", "pareto", "cauchy", "t", "exponential"],
)
def test_long_tails_that_go_on_are_hardly_gross(tail):
    assert gross_cells(tail((np.arange(10_000) + 0.5) / 10_000)).mean() <= 0.002


def test_part_of_the_rows_elsewhere_is_no_error():
    # Three in a hundred are a second state of a machine.
    cells = np.append(NORMAL, 1e6 + np.arange(31.0))
    assert not gross_cells(cells).any()


def test_values_beside_many_zeros_have_a_window_of_their_own():
    cells = np.concatenate([np.zeros(980), np.arange(1.0, 21.0) * 10])
    assert not gross_cells(cells).any()
    assert np.flatnonzero(gross_cells(np.append(cells, 1e9))).tolist() == [1000]


def test_few_cells_say_nothing_of_proportions():
    assert not gross_cells(np.array([1.0, 2.0, 3.0, 1e9])).any()


def test_two_gross_cells_are_the_most_anomalous_and_others_are_still_found():
    rng = np.random.default_rng(1)
    z = rng.normal(size=400)
    X = np.column_stack([20 + 3 * z + 0.3 * rng.normal(size=400), z + 0.1 * rng.normal(size=400)])
    X[:3, 0] += [-6.0, 6.0, 7.0]
    X[[200, 300], 0] = 1e30, -1e12
    detector = VAEDetector(n_estimators=1, max_iter=300, calibration=None).fit(X)
    ranked = np.argsort(-detector.anomaly_score(X))
    assert set(ranked[:2]) == {200, 300}
    assert set(ranked[2:22]) >= {0, 1, 2}
