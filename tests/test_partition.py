"""The part of every row in a fit: no row does two things for the same member."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.fitting.partition import (
    MAX_CALIBRATION_ROWS,
    Partition,
    SplitConfig,
    TrainingRows,
    calibration_kind,
    drawn_folds,
    partition,
    rows_set_aside,
)


def drawn(
    n_rows: int,
    kind: Any,
    *,
    n_members: int = 4,
    max_samples: int | float = 4096,
    max_share: float = 1.0,
    **parts: Any,
) -> Partition:
    split = SplitConfig(max_samples, 0.1, kind, max_share)
    folds = drawn_folds(n_rows, split, n_members, np.random.default_rng(1))
    rows = TrainingRows(n_rows, lambda _: pytest.fail("no row needs to be encoded"), folds=folds)
    options = {"stops": True, "compares": False} | parts
    return partition(rows, split, n_members, np.random.default_rng(0), **options)


@given(
    n_rows=st.integers(2, 400),
    kind=st.sampled_from(["split", "cross", "none"]),
    n_members=st.integers(1, 5),
    compares=st.booleans(),
)
def test_no_row_calibrates_and_influences_the_same_member(
    n_rows: int, kind: str, n_members: int, compares: bool
) -> None:
    parts = drawn(n_rows, kind, n_members=n_members, compares=compares)
    assert parts.members.shape[0] == n_members
    assert parts.members.shape[1] >= 1
    assert len(parts.folds) in ((0, 1) if kind == "split" else (0, n_members) if kind == "cross" else (0,))
    for number, fold in enumerate(parts.folds):
        trains = parts.members if kind == "split" else parts.members[number]
        assert not np.isin(fold, trains).any()
        assert not np.isin(fold, parts.held_out).any()
        if compares and len(parts.compared) < n_rows // 2:
            assert not np.isin(fold, parts.compared).any()
    every = np.concatenate([*parts.folds, np.empty(0, dtype=int)])
    assert len(np.unique(every)) == len(every)


def test_half_of_the_rows_of_a_small_table_calibrate_and_all_train() -> None:
    parts = drawn(60, "cross", stops=False)
    assert [len(fold) for fold in parts.folds] == [6] * 4
    assert set(parts.members.ravel().tolist()) == set(range(60))
    assert parts.members.shape == (4, 54)


@given(st.integers(2, 3000), st.sampled_from(["split", "cross"]), st.integers(2, 6))
def test_columns_are_learned_from_at_least_half_of_the_rows(n_rows: int, kind: Any, n_members: int) -> None:
    folds = drawn_folds(n_rows, SplitConfig(4096, 0.1, kind, 1.0), n_members, np.random.default_rng(0))
    assert np.count_nonzero(folds >= 0) <= n_rows / 2


@pytest.mark.parametrize(
    ("n_rows", "n_left_out", "n_own"),
    [
        # Of 90 rows that stop nothing an eighth; 50 of 450; a tenth of 900 and of 3,600; what is free, up to an eighth
        # of 5,488, and to the limit.
        (100, 11, 79),
        (500, 50, 400),
        (1000, 90, 810),
        (4000, 360, 3240),
        (6000, 686, 4096),
        (10_000, 1024, 4096),
    ],
)
def test_members_leave_out_more_where_it_costs_less(n_rows: int, n_left_out: int, n_own: int) -> None:
    parts = drawn(n_rows, "cross")
    assert [len(fold) for fold in parts.folds] == [n_left_out] * 4
    assert parts.members.shape == (4, n_own)


def test_members_see_as_much_as_without_a_calibration_where_rows_are_free() -> None:
    assert drawn(7000, "cross").members.shape == drawn(7000, "none").members.shape


@pytest.mark.parametrize(
    ("wanted", "n_rows", "n_members", "max_samples", "by_member", "kind"),
    [
        ("auto", 100, 4, 4096, True, "cross"),
        ("auto", 16_383, 4, 4096, True, "cross"),
        ("auto", 16_384, 4, 4096, True, "split"),
        ("auto", 100, 1, 4096, True, "split"),
        ("auto", 100, 4, 4096, False, "split"),
        ("auto", 100, 4, 0.25, True, "split"),
        ("auto", 100, 4, 0.3, True, "cross"),
        ("cross", 10**6, 4, 4096, True, "cross"),
        ("cross", 100, 1, 4096, True, "split"),
        ("split", 100, 4, 4096, True, "split"),
        (None, 100, 4, 4096, True, "none"),
    ],
)
def test_kind_of_calibration(
    wanted: str | None, n_rows: int, n_members: int, max_samples: int | float, by_member: bool, kind: str
) -> None:
    assert calibration_kind(wanted, n_rows, n_members, max_samples, by_member=by_member) == kind


def test_a_fifth_of_the_rows_is_set_aside_and_no_more_than_the_limit() -> None:
    rng = np.random.default_rng(0)
    assert [int(rows_set_aside(n, rng).sum()) for n in (17, 18, 100, 10**5)] == [0, 4, 20, MAX_CALIBRATION_ROWS]
