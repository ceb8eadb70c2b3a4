"""Batches: masks travel with values, padding is empty, fingerprints distinguish rows."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.columns.batch import Batch

GOLDEN = [1620382935040066990, -7540135564279130002]
CELLS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, -1e-30, 1e6, -1e6, 3.1415927])
ROWS = st.lists(st.tuples(CELLS, st.booleans()), min_size=3, max_size=3)


def batch_of(rows, dtype=torch.float32):
    values = torch.tensor([[value for value, _ in row] for row in rows], dtype=dtype)
    observed = torch.tensor([[seen for _, seen in row] for row in rows])
    return Batch(values, observed)


def random_batch(n_rows, n_columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand(n_rows, n_columns, generator=generator) < 0.8
    return Batch(torch.randn(n_rows, n_columns, generator=generator) * observed, observed)


@given(ROWS, ROWS)
def test_fingerprints_are_equal_exactly_when_values_and_masks_are(first, second):
    one, other = batch_of([first, second]).fingerprints()
    equal = all(
        seen == seen_too and (not seen or value == value_too)
        for (value, seen), (value_too, seen_too) in zip(first, second, strict=True)
    )
    assert (one == other) == equal


@given(ROWS, st.integers(0, 2))
def test_one_cell_more_or_less_changes_the_fingerprint(row, index):
    other = list(row)
    value, seen = row[index]
    other[index] = (value, not seen)
    one, changed = batch_of([row, other]).fingerprints()
    assert one != changed


@given(ROWS, CELLS)
def test_value_under_the_mask_has_no_influence_on_the_fingerprint(row, value):
    hidden = [(value, seen) if not seen else (own, seen) for own, seen in row]
    one, other = batch_of([row, hidden]).fingerprints()
    assert one == other


def test_missing_cell_differs_from_an_observed_zero():
    missing = Batch(torch.zeros(1, 2), torch.tensor([[True, False]]))
    zero = Batch(torch.zeros(1, 2), torch.tensor([[True, True]]))
    assert missing.fingerprints() != zero.fingerprints()


def test_negative_zero_is_zero():
    zeros = Batch(torch.tensor([[0.0], [-0.0]]), torch.ones(2, 1, dtype=torch.bool))
    one, other = zeros.fingerprints()
    assert one == other


def test_same_cells_in_another_order_of_columns_differ():
    batch = Batch(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.ones(2, 2, dtype=torch.bool))
    one, other = batch.fingerprints()
    assert one != other


def test_fingerprints_do_not_depend_on_the_precision_of_the_container():
    rows = [[(1.5, True), (-2.25, True), (0.0, False)]]
    assert torch.equal(batch_of(rows).fingerprints(), batch_of(rows, torch.float64).fingerprints())


def test_fingerprint_of_a_row_does_not_depend_on_the_other_rows():
    batch = random_batch(50, 7)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(batch.take(order).fingerprints(), batch.fingerprints()[order])


def test_fingerprints_have_the_member_axis_of_the_batch():
    batch = random_batch(10, 4)
    rows = torch.tensor([[0, 3, 3], [9, 1, 0]])
    assert torch.equal(batch.take(rows).fingerprints(), batch.fingerprints()[rows])


def test_ten_thousand_random_rows_have_as_many_fingerprints():
    values = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    fingerprints = Batch(values, torch.ones_like(values, dtype=torch.bool)).fingerprints()
    assert len(fingerprints.unique()) == 10_000


def test_rows_of_small_integers_never_share_a_fingerprint():
    # Codes and counts differ in few bits only, and a sum over columns must not cancel them.
    axis = torch.arange(16.0)
    values = torch.cartesian_prod(axis, axis, axis)
    fingerprints = Batch(values, torch.ones_like(values, dtype=torch.bool)).fingerprints()
    assert len(fingerprints.unique()) == 16**3


def test_fingerprints_are_those_in_files_that_were_already_written():
    batch = Batch(torch.tensor([[0.0, 1.5], [-2.0, 0.0]]), torch.tensor([[True, True], [True, False]]))
    assert batch.fingerprints().tolist() == GOLDEN


def test_padding_keeps_the_rows_and_adds_empty_ones():
    batch = random_batch(5, 3)
    padded = batch.padded(8)
    assert len(padded) == 8
    assert torch.equal(padded.values[:5], batch.values)
    assert torch.equal(padded.observed[:5], batch.observed)
    assert not padded.observed[5:].any()
    assert not padded.values[5:].any()
    assert padded.observed.dtype == torch.bool


def test_padding_keeps_the_member_axis():
    batch = random_batch(5, 3).take(torch.tensor([[0, 1], [2, 3], [4, 0]]))
    padded = batch.padded(4)
    assert padded.values.shape == padded.observed.shape == (3, 4, 3)
    assert torch.equal(padded.values[:, :2], batch.values)


@pytest.mark.parametrize("n_rows", [0, 4, 5])
def test_padding_never_drops_rows(n_rows):
    batch = random_batch(5, 3)
    assert torch.equal(batch.padded(n_rows).values, batch.values)


def test_rows_are_taken_with_their_masks():
    batch = random_batch(6, 3)
    taken = batch.take(torch.tensor([4, 0, 4]))
    assert torch.equal(taken.values, torch.stack([batch.values[4], batch.values[0], batch.values[4]]))
    assert torch.equal(taken.observed, torch.stack([batch.observed[4], batch.observed[0], batch.observed[4]]))


def test_index_with_a_member_axis_gives_each_member_its_rows():
    batch = random_batch(6, 3)
    taken = batch.take(torch.tensor([[0, 1], [5, 2]]))
    assert taken.values.shape == (2, 2, 3)
    assert len(taken) == 2
    assert taken.n_columns == 3
    assert torch.equal(taken.values[1], batch.values[[5, 2]])
    assert torch.equal(taken.observed[1], batch.observed[[5, 2]])


def test_values_and_mask_move_to_a_device_together():
    moved = random_batch(2, 2).to(torch.device("meta"))
    assert moved.values.device.type == moved.observed.device.type == "meta"


def complete_batch(n_rows=5, n_columns=3):
    values = torch.randn(n_rows, n_columns, generator=torch.Generator().manual_seed(0))
    return Batch(values, torch.ones_like(values, dtype=torch.bool), is_complete=True)


def test_complete_rows_are_padded_with_copies_of_the_last():
    batch = complete_batch()
    known = replace(batch, known_fingerprints=torch.arange(5))
    for padded in (batch.padded(8), known.padded(8)):
        assert padded.is_complete
        assert padded.observed.all()
        assert torch.equal(padded.values, batch.values[[0, 1, 2, 3, 4, 4, 4, 4]])
    assert known.padded(8).known_fingerprints.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def test_complete_rows_of_each_member_are_padded_with_copies_of_its_last():
    batch = complete_batch().take(torch.tensor([[0, 1], [2, 3], [4, 0]]))
    padded = batch.padded(4)
    assert padded.values.shape == padded.observed.shape == (3, 4, 3)
    assert torch.equal(padded.values, batch.values[:, [0, 1, 1, 1]])


def test_no_rows_are_padded_whether_known_to_be_complete_or_not():
    for batch in (complete_batch(), random_batch(5, 3)):
        none = batch.take(slice(0, 0))
        assert len(none.padded(4)) == 4
        assert none.padded(4).observed.all() == none.is_complete == batch.is_complete


def test_parts_and_joins_of_rows_know_whether_they_are_complete():
    whole, other = complete_batch(), random_batch(5, 3)
    of_members = whole.take(torch.tensor([[0, 1], [2, 3]]))
    parts = [whole.take(slice(1, 3)), whole.at(torch.tensor([0, 2])), whole.leading(2), of_members]
    parts += [of_members.of_members(torch.tensor([1])), whole.to(torch.device("cpu")), whole.followed_by(whole)]
    assert all(part.is_complete and part.observed.all() for part in parts)
    assert not whole.followed_by(other).is_complete
    assert not other.followed_by(whole).is_complete
    assert not other.take(slice(0, 2)).is_complete
