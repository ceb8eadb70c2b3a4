"""Columns: what they are taken for and why, codes of seen and unseen values, and what training taught."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly.columns import Column, infer_columns, read_training_text
from vae_anomaly.data import TextRules
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError
from vae_anomaly.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Poisson,
    StudentT,
    UnitGaussian,
)

NAN = float("nan")


def table_of(cells):
    """One column: an array of numbers as a matrix, anything else as a DataFrame."""
    if isinstance(cells, np.ndarray) and cells.dtype == np.float64:
        return Table(("c",), cells[:, None])
    return Table(("c",), pd.DataFrame({"c": cells}))


def infer(cells, likelihood=None, weights=None):
    return infer_columns(table_of(cells), likelihood, weights)[0]


def texts(**counts):
    return pd.Series([level for level, count in counts.items() for _ in range(count)], dtype=object)


SPREAD = stats.norm.ppf((np.arange(50) + 0.5) / 50)


@pytest.mark.parametrize("likelihood", [Gaussian(), StudentT(), UnitGaussian(), Poisson()])
def test_asked_likelihood_is_taken_for_numbers_with_few_values(likelihood):
    assert infer(np.repeat([0.0, 1.0], 50), likelihood).likelihood == likelihood


def test_asked_likelihood_leaves_text_categorical():
    assert infer(texts(a=3, b=2, c=1), Gaussian()).likelihood == Categorical()


def test_asked_categorical_is_taken_for_many_values():
    column = infer(np.arange(30.0), Categorical(smoothing=0.01))
    assert (column.likelihood, len(column.levels)) == (Categorical(smoothing=0.01), 30)


def test_location_and_scale_are_mean_and_standard_deviation_of_observed_cells():
    column = infer(np.append(np.arange(11.0), [NAN, NAN]), StudentT())
    assert column.location == pytest.approx(5)
    assert column.scale == pytest.approx(math.sqrt(10))
    assert column.log_jacobian == pytest.approx(-0.5 * math.log(10))


def test_weights_move_location_and_scale():
    # Mean (3*0 + 1*4) / 4 = 1, variance (3*1 + 1*9) / 4 = 3; the missing cell's weight counts for nothing.
    column = infer(np.array([0.0, NAN, 4.0]), Gaussian(), np.array([3.0, 100.0, 1.0]))
    assert column.location == pytest.approx(1)
    assert column.scale == pytest.approx(math.sqrt(3))


def test_likelihoods_in_data_units_keep_the_mean_and_do_not_rescale():
    column = infer(np.array([1.0, 2.0, 6.0]), Poisson())
    assert (column.location, column.scale, column.mean) == (0, 1, pytest.approx(3))
    assert column.start == (pytest.approx(math.log(3)),)
    assert column.log_jacobian == 0


def test_noise_floor_joins_the_likelihood_and_the_rounding_of_the_column():
    # Uniform rounding to steps of 0.2 has standard deviation 0.2 / sqrt(12); in model units half of it.
    column = Column("c", "continuous", Gaussian(floor=0.03), "", scale=2.0, resolution=0.2)
    assert column.floor == pytest.approx(math.sqrt(0.03**2 + 0.1**2 / 12))


def test_resolution_is_the_smallest_step_between_values():
    assert infer(np.arange(40) * 0.25).resolution == pytest.approx(0.25)
    assert infer(np.repeat([1.0, 1.5, 9.0], 10)).resolution == pytest.approx(0.5)


@pytest.mark.parametrize(("n_levels", "width"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (64, 64)])
def test_room_for_levels_is_a_power_of_two(n_levels, width):
    levels = tuple(float(level) for level in range(n_levels))
    column = Column("c", "categorical", Categorical(), "", levels=levels, frequencies=(1 / n_levels,) * n_levels)
    assert column.width == width
    assert len(column.start) == width


def test_numbers_without_levels_need_no_room():
    assert infer(SPREAD).width == 0


def test_categories_start_at_their_smoothed_frequencies():
    column = infer(texts(b=1, a=4, c=0, d=2))
    assert column.levels == ("a", "d", "b")
    assert column.frequencies == (pytest.approx(5 / 10), pytest.approx(3 / 10), pytest.approx(2 / 10))
    assert np.exp(column.start) == pytest.approx([5 / 10, 3 / 10, 2 / 10, 0])
    assert column.unseen == pytest.approx(1 / 8)


def test_two_levels_start_at_the_log_odds_of_the_second():
    column = infer(texts(b=1, a=4))
    assert column.frequencies == (pytest.approx(5 / 7), pytest.approx(2 / 7))
    assert column.start == (pytest.approx(math.log(2 / 5)),)
    assert column.unseen == pytest.approx(1 / 6)


def test_unused_room_starts_at_probability_zero():
    assert infer(texts(a=2, b=2, c=2)).start[3:] == (-math.inf,)


def test_texts_are_coded_by_frequency_then_alphabet():
    column = infer(texts(rare=1, y=2, x=2, most=3))
    assert column.levels == ("most", "x", "y", "rare")
    assert column.encode(table_of(texts(most=1, rare=1, y=1)), 0).tolist() == [0, 3, 2]


def test_missing_text_stays_missing():
    column = infer(texts(a=3, b=2))
    codes = column.encode(table_of(pd.Series(["b", None, pd.NA, "a"], dtype=object)), 0)
    np.testing.assert_array_equal(codes, [1, NAN, NAN, 0])


def test_unseen_text_has_the_first_code_behind_the_levels():
    column = infer(texts(a=3, b=2))
    assert column.encode(table_of(texts(new=1, other=1, A=1)), 0).tolist() == [2, 2, 2]


@pytest.mark.parametrize(("n_levels", "n_pooled"), [(64, 0), (65, 2), (90, 27)])
def test_levels_beyond_64_are_pooled_rarest_first(n_levels, n_pooled):
    counts = {f"l{index:02}": 100 - index for index in range(n_levels)}
    column = infer(texts(**counts))
    assert len(column.levels) == min(n_levels, 64)
    assert column.rare == tuple(f"l{index:02}" for index in range(n_levels - n_pooled, n_levels))
    assert sum(column.frequencies) == pytest.approx(1)
    if n_pooled:
        assert column.levels[-1] == "(rare)"
        assert f"the {n_pooled} rarest pooled" in column.reason
        assert column.encode(table_of(texts(**dict.fromkeys(column.rare, 1))), 0).tolist() == [63] * n_pooled
        total = sum(counts.values())
        pooled = sum(counts[level] for level in column.rare)
        assert column.frequencies[-1] == pytest.approx((pooled + 1) / (total + 64))


def test_number_between_levels_is_unseen_at_its_distance_in_steps():
    column = infer(np.repeat([0.0, 1.0, 10.0], 10))
    cells = np.array([10.0, 0.5, 3.0, 6.0, 11.0, -2.0, 1000.0, NAN])
    codes = column.encode(table_of(cells), 0)
    # K - 1 = 2, plus the distance to the nearest level: 0.5 -> 1, 3 -> 2, 6 -> 4, 11 -> 1, -2 -> 2, 1000 -> 990
    np.testing.assert_array_equal(codes, [2, 3, 4, 6, 3, 4, 992, NAN])


def test_rounding_errors_do_not_make_a_level_unseen():
    column = infer(np.repeat([0.1, 0.2, 0.3], 10))
    assert column.encode(table_of(np.array([0.1 + 0.2, 1.0 - 0.9, 0.2 + 1e-12, 0.2 - 1e-12])), 0).tolist() == [
        2,
        0,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("constant", "same", "moved"),
    [
        # Whole numbers up to sums, others up to single precision, 0 exactly.
        (200.0, 200.0 + 1e-7, 200.0 + 1e-6),
        (-1e9, -1e9 + 1, -1e9 + 2),
        (0.1, float(np.float32(0.1)), 0.1 + 1e-7),
        (0.0, -0.0, 1e-300),
        (1e300, 1e300, -1e300),
    ],
)
def test_constant_holds_its_value_or_another(constant, same, moved):
    column = infer(np.full(30, constant))
    np.testing.assert_array_equal(column.encode(table_of(np.array([same, moved, NAN])), 0), [0, 1, NAN])


@given(
    st.sampled_from([(0.0,), (1e-10,), (-7.0,), (1.0, 2.0), (0.0, 1e-12, 5.0)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_finite_number_has_a_code(levels, number):
    column = infer(np.repeat(levels, 10))
    (code,) = column.encode(table_of(np.array([number])), 0)
    assert 0 <= code <= len(levels) - 1 + 1e6
    assert (code < len(levels)) or number not in levels


def test_cells_far_beyond_the_training_range_stay_finite():
    column = infer(SPREAD)
    np.testing.assert_array_equal(column.encode(table_of(np.array([1e300, -1e300])), 0), [1e6, -1e6])


@pytest.mark.parametrize("likelihood", [UnitGaussian(), Poisson()])
def test_cells_inside_the_training_range_are_not_cut_off(likelihood):
    # In data units a million is no extreme: incomes, bytes, populations.
    cells = np.array([2e6, 3e6, 5e6])
    np.testing.assert_allclose(infer(cells, likelihood).encode(table_of(cells), 0), cells)


@pytest.mark.parametrize(
    ("likelihood", "cell", "takes"),
    [
        (Poisson(), -1.0, "counts"),
        (Poisson(), 1.5, "counts"),
        (Bernoulli(), 1.1, r"numbers in \[0, 1\]"),
        (ContinuousBernoulli(), -0.1, r"numbers in \[0, 1\]"),
    ],
)
def test_cell_outside_the_support_is_refused_with_its_position(likelihood, cell, takes):
    column = infer(np.array([0.0, 1.0, 1.0]), likelihood)
    with pytest.raises(DataError, match=f"column 'c' holds {cell:g} .index 2.*{takes}") as caught:
        column.encode(table_of(np.array([1.0, NAN, cell])), 0)
    assert (caught.value.column, caught.value.row) == ("c", 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("training", [SPREAD, np.repeat([0.0, 1.0], 20)])
def test_text_where_numbers_were_learned_is_refused_with_its_position(training):
    with pytest.raises(DataError, match=r"column 'c' holds 'high' \(index 1\)") as caught:
        infer(training).encode(table_of(pd.Series([0.0, "high"], dtype=object)), 0)
    assert (caught.value.column, caught.value.row) == ("c", 1)


def test_numbers_where_text_was_learned_match_by_their_text():
    column = infer(pd.Series(["1", "1", "1", "2", "2"], dtype="category"))
    assert column.encode(table_of(np.array([2.0, 1.0, 3.0])), 0).tolist() == [1, 0, 2]


NUMBERS = st.one_of(
    st.just(0.0),
    st.floats(1e-300, 1e300),
    st.floats(-1e300, -1e-300),
    st.floats(-1e3, 1e3).filter(lambda number: abs(number) > 1e-9),
    st.integers(-5, 5).map(float),
)


@given(st.lists(NUMBERS | st.just(NAN), min_size=2, max_size=30).filter(lambda cells: not np.isnan(cells).all()))
def test_numbers_survive_encoding_and_decoding(cells):
    cells = np.array(cells)
    column = infer(cells)
    codes = column.encode(table_of(cells), 0)
    decoded = np.where(np.isnan(codes), NAN, column.decode(np.nan_to_num(codes)))
    largest = np.nanmax(np.abs(cells))
    np.testing.assert_allclose(decoded / (largest or 1), cells / (largest or 1), rtol=0, atol=1e-12)


@given(st.lists(NUMBERS, min_size=2, max_size=30))
def test_training_cells_are_within_root_n_standard_deviations(cells):
    column = infer(np.array(cells), Gaussian())
    assert np.isfinite([column.location, column.scale, column.floor, column.log_jacobian]).all()
    assert np.abs(column.encode(table_of(np.array(cells)), 0)).max() <= math.sqrt(len(cells)) + 1e-6


@given(st.lists(st.sampled_from([1.0, 2.0, 4.5, -1e300, 1e300, 1e-300]), min_size=10, max_size=20))
def test_levels_survive_encoding_and_decoding_exactly(cells):
    cells = np.repeat(cells, 10)
    column = infer(cells)
    assert column.kind in ("categorical", "binary", "constant")
    assert column.decode(column.encode(table_of(cells), 0)).tolist() == cells.tolist()


@given(st.lists(st.text(st.characters(categories=("Lo", "Ll", "So")), min_size=1, max_size=3), min_size=2, max_size=20))
def test_texts_survive_encoding_and_decoding_exactly(cells):
    # Spaces around them, case, and what may be a number, a date or missing: tests/test_text_format.py.
    cells = [f"w{cell}" for cell in cells]
    table = read_training_text(table_of(pd.Series(cells, dtype=object)), {}, TextRules(fold_case=False))
    (column,) = infer_columns(table)
    assert column.decode(column.encode(table_of(pd.Series(cells, dtype=object)), 0)).tolist() == cells


def test_unseen_codes_decode_to_a_level():
    column = infer(texts(a=3, b=2))
    assert column.decode(np.array([-1.0, 0.0, 1.0, 2.0, 99.0])).tolist() == ["a", "a", "b", "b", "b"]


def test_level_that_is_called_like_the_pool_keeps_its_own_code():
    counts = {"(rare)": 200} | {f"l{index:02}": 100 - index for index in range(70)}
    column = infer(texts(**counts))
    assert len(set(column.levels)) == len(column.levels)
    assert column.encode(table_of(texts(**{"(rare)": 1})), 0).tolist() == [0]


def test_columns_keep_the_users_order_and_names():
    cells = pd.DataFrame({"z": np.roll(SPREAD, 25), "a": ["u", "v"] * 25, "m": np.arange(50) % 2})
    columns = infer_columns(Table(("z", "a", "m"), cells))
    assert [(column.name, column.kind) for column in columns] == [
        ("z", "continuous"),
        ("a", "binary"),
        ("m", "binary"),
    ]
