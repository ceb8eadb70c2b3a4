"""From tables to batches and back: order, masks, round trips."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.columns import Column, TableEncoder, infer_columns
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError, DataWarning
from vae_anomaly.likelihoods import Bernoulli, Categorical, Gaussian, Poisson

NAN = float("nan")


def frame_table(**columns):
    return Table(tuple(columns), pd.DataFrame(columns))


def mixed_table():
    n = 60
    return frame_table(
        animal=["cat", "dog", "owl"] * 20,
        size=np.roll(np.linspace(10.0, 20.0, n), 30),
        legs=[2, 4] * 30,
        day=pd.date_range("2020-01-01", periods=n),
        id=[f"row {number}" for number in range(n)],
        weight=np.roll(np.linspace(-3.0, 3.0, n), 30) ** 3,
        tame=[True, False] * 30,
    )


def mixed_encoder():
    with pytest.warns(DataWarning, match="'id' is set aside"):
        return TableEncoder(infer_columns(mixed_table(), declared={"day": "datetime+trend"}))


def column(likelihood, n_levels=0, **known):
    levels = tuple(float(level) for level in range(n_levels))
    return Column("c", "continuous", likelihood, "", levels=levels, resolution=1.0, **known)


def test_columns_of_one_likelihood_and_room_stand_together():
    columns = (
        column(Categorical(), 3),
        column(Gaussian()),
        column(Categorical(), 2),
        column(None),
        column(Gaussian(floor=0.1)),
        column(Categorical(), 4),
        column(Gaussian()),
        column(Poisson()),
    )
    encoder = TableEncoder(columns)
    assert encoder.order == (0, 5, 1, 6, 2, 4, 7)
    assert encoder.modelled == tuple(columns[number] for number in encoder.order)


def test_column_set_aside_is_not_in_the_batch_and_decodes_to_missing():
    encoder = mixed_encoder()
    batch = encoder.encode(mixed_table())
    assert 4 not in encoder.order
    assert batch.n_columns == len(encoder.order) == 6
    assert np.isnan(encoder.decode(batch.values.double().numpy())[4]).all()


def test_decoding_restores_the_users_order_and_units():
    encoder, table = mixed_encoder(), mixed_table()
    decoded = encoder.decode(encoder.encode(table).values.double().numpy())
    assert len(decoded) == 7
    for number in (0, 2, 6):
        assert decoded[number].tolist() == list(table.cells.iloc[:, number])
    for number in (1, 5):
        np.testing.assert_allclose(decoded[number], table.numbers(number), atol=1e-4)
    days = decoded[3].astype("int64") / 86_400e6
    np.testing.assert_allclose(days, 18262 + np.arange(60), atol=1e-4)


def test_batch_has_float32_values_and_zeros_under_the_mask():
    table = frame_table(a=np.append(np.arange(60.0) % 29, NAN), b=["u", "v", "w"] * 20 + [None])
    batch = TableEncoder(infer_columns(table)).encode(table)
    assert batch.values.dtype == torch.float32
    assert batch.observed[:-1].all()
    assert not batch.observed[-1].any()
    assert batch.values[-1].tolist() == [0, 0]


def test_standardised_columns_have_mean_0_and_deviation_1():
    cells = np.random.default_rng(0).lognormal(8, 3, (500, 3))
    table = Table(("a", "b", "c"), cells)
    values = TableEncoder(infer_columns(table)).encode(table).values.double()
    torch.testing.assert_close(values.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-5)


def test_standardised_cell_by_hand():
    encoder = TableEncoder((column(Gaussian(), location=10.0, scale=4.0),))
    batch = encoder.encode(Table(("c",), np.array([[12.0], [NAN], [2.0]])))
    assert batch.values.flatten().tolist() == [0.5, 0, -2]
    assert batch.observed.flatten().tolist() == [True, False, True]
    assert encoder.decode(np.array([[0.5], [-2.0]]))[0].tolist() == [12, 2]


@given(st.data())
def test_matrix_and_frame_give_the_same_batch(data):
    columns = (
        column(Gaussian(), location=1.0, scale=0.5),
        column(Categorical(), 3),
        column(Gaussian(), location=-1e6, scale=1e-3),
        column(Bernoulli()),
    )
    numbers = st.floats(-1e12, 1e12) | st.just(NAN)
    levels = st.sampled_from([0.0, 1.0, 2.0, 0.25, 7.0, NAN])
    grey = st.floats(0, 1) | st.just(NAN)
    rows = data.draw(st.lists(st.tuples(numbers, levels, numbers, grey), min_size=1, max_size=6))
    cells, names = np.array(rows), ("a", "b", "c", "d")
    encoder = TableEncoder(columns)
    fast = encoder.encode(Table(names, cells))
    slow = encoder.encode(Table(names, pd.DataFrame(cells, columns=list(names))))
    assert torch.equal(fast.values, slow.values)
    assert torch.equal(fast.observed, slow.observed)
    assert torch.isfinite(fast.values).all()


NUMBERS = st.floats(-1e300, 1e300).filter(lambda number: number == 0 or abs(number) > 1e-300)


# Spaces around text, case, and what may be a number, a date or missing: tests/test_text_format.py.
WORDS = st.text(st.characters(categories=("Lo", "So")), max_size=2).map("w{}".format)


@given(st.lists(st.tuples(NUMBERS, WORDS, st.booleans()), min_size=2, max_size=19))
def test_tables_survive_encoding_and_decoding(rows):
    numbers, texts, flags = (list(cells) for cells in zip(*rows, strict=True))
    table = frame_table(text=pd.Series(texts, dtype=object), number=numbers, flag=flags)
    encoder = TableEncoder(infer_columns(table))
    text, number, flag = encoder.decode(encoder.encode(table).values.double().numpy())
    assert text.tolist() == texts
    assert flag.tolist() == flags
    largest = max(map(abs, numbers)) or 1.0
    np.testing.assert_allclose(number / largest, np.array(numbers) / largest, rtol=0, atol=1e-5)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_number_becomes_a_finite_float32(number):
    encoder = TableEncoder((column(Gaussian(), location=1e-3, scale=1e-5),))
    batch = encoder.encode(Table(("c",), np.array([[number]])))
    assert torch.isfinite(batch.values).all()
    assert batch.observed.all()


@pytest.mark.parametrize("number", [0, 1])
def test_infinity_is_refused_with_its_position_in_a_matrix_of_any_kinds(number):
    encoder = TableEncoder((column(Gaussian(), scale=2.0), column(Categorical(), 3)))
    cells = np.zeros((4, 2))
    cells[3, number] = -math.inf
    with pytest.raises(DataError, match=r"holds -inf \(index 3\)") as caught:
        encoder.encode(Table(("a", "b"), cells))
    assert (caught.value.column, caught.value.row) == (("a", "b")[number], 3)


def test_infinity_in_a_column_set_aside_is_of_no_concern():
    encoder = TableEncoder((column(Gaussian(), scale=2.0), column(None)))
    batch = encoder.encode(Table(("a", "b"), np.array([[4.0, math.inf]])))
    assert batch.values.tolist() == [[2.0]]


def test_row_is_encoded_the_same_alone_and_among_others():
    encoder, table = mixed_encoder(), mixed_table()
    whole = encoder.encode(table)
    for row in (0, 17, 59):
        alone = encoder.encode(table.take(slice(row, row + 1)))
        assert torch.equal(alone.values[0], whole.values[row])


def test_no_rows_give_an_empty_batch():
    batch = mixed_encoder().encode(mixed_table().take(slice(0, 0)))
    assert batch.values.shape == batch.observed.shape == (0, 6)


def test_column_with_parts_owns_several_indices_and_decodes_once():
    dates = pd.Series(pd.date_range("2020-01-01", periods=3000, freq="7h"))
    table = frame_table(x=np.roll(np.linspace(0, 1, 3000), 1500) ** 0.5, when=dates)
    encoder = TableEncoder(infer_columns(table, declared={"when": "datetime+trend"}, model_missing=True))
    assert sorted(encoder.order) == [0, 0, 1, 1, 1, 1, 1]
    kinds = [{encoder.modelled[number].kind for number in encoder.model_indices_of(position)} for position in (0, 1)]
    assert kinds == [{"continuous", "missing"}, {"datetime", "hour", "weekday", "day of month", "missing"}]
    assert [encoder.model_columns[index][0] for index in range(7)] == list(encoder.order)
    decoded = encoder.decode(encoder.encode(table).values.double().numpy())
    assert len(decoded) == 2
    assert np.abs(pd.Series(decoded[1]) - dates).max() < pd.Timedelta("10min")


def test_missing_date_is_missing_in_all_its_parts_but_the_one_that_says_so():
    dates = pd.Series(pd.date_range("2020-01-01", periods=3000, freq="7h")).where(np.arange(3000) % 10 > 0)
    table = frame_table(when=dates)
    encoder = TableEncoder(infer_columns(table, model_missing=True))
    batch = encoder.encode(table)
    for number, part in enumerate(encoder.modelled):
        if part.kind == "missing":
            assert batch.observed[:, number].all()
            assert batch.values[:, number].tolist() == dates.isna().tolist()
        else:
            assert batch.observed[:, number].tolist() == dates.notna().tolist()


def test_matrix_of_numbers_is_refused_where_dates_were_learned():
    table = frame_table(when=pd.date_range("2020-01-01", periods=80), x=np.roll(np.linspace(0, 1, 80), 40))
    encoder = TableEncoder(infer_columns(table))
    with pytest.raises(DataError, match="'when' holds numbers, where dates are expected"):
        encoder.encode(Table(("when", "x"), np.zeros((3, 2))))


def test_columns_on_an_asinh_scale_come_through_a_matrix_as_through_a_frame():
    cells = np.random.default_rng(0).lognormal(0, 3, (300, 2))
    matrix, frame = Table(("a", "b"), cells), Table(("a", "b"), pd.DataFrame(cells, columns=["a", "b"]))
    encoder = TableEncoder(infer_columns(matrix))
    assert all(column.asinh_scale for column in encoder.columns)
    assert torch.equal(encoder.encode(matrix).values, encoder.encode(frame).values)


def test_rows_that_nobody_tells_from_others_are_encoded_the_same_without_fingerprints():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    rows[3, 1] = np.nan
    table = Table(("a", "b", "c"), rows)
    encoder = TableEncoder(infer_columns(table))
    with_, without = encoder.encode(table), encoder.encode(table, fingerprints=False)
    assert torch.equal(with_.values, without.values)
    assert torch.equal(with_.observed, without.observed)
    assert without.known_fingerprints is None
