"""What only says which row it is is set aside, with the reason; sorted measurements stay, with a word."""

import warnings

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.columns import infer_columns
from vae_anomaly.columns.growth import direction_of, names_a_key, why_codes, why_set_aside
from vae_anomaly.data.table import Table
from vae_anomaly.detectors import read_table
from vae_anomaly.detectors.vae_detector import VAEDetector
from vae_anomaly.errors import ColumnSetAsideWarning, SortedColumnWarning

N = 600
RNG = np.random.default_rng(0)
GAPS = np.cumsum(RNG.integers(1, 9, N)).astype(float)
SECONDS = 1.7e9 + np.cumsum(RNG.exponential(300, N)).round()


def swapped(numbers: np.ndarray) -> np.ndarray:
    """A few neighbours in ten out of order."""
    moved = numbers.copy()
    moved[[50, 51, 300, 303]] = moved[[51, 50, 303, 300]]
    return moved


def with_check_digit(number: int, weight: int) -> float:
    """A number with the last digit that makes it an article (3) or a card (2)."""
    for last in range(10):
        digits = [int(digit) for digit in f"{number}{last}"[::-1]]
        products = [digit * weight if place % 2 else digit for place, digit in enumerate(digits)]
        if sum(sum(map(int, str(each))) if weight == 2 else each for each in products) % 10 == 0:
            return float(f"{number}{last}")
    raise AssertionError


SET_ASIDE = {
    "counter": (np.arange(7.0, 7 + N), "x", "it counts the rows; declare it integer"),
    "counter by fives": (np.arange(0.0, 5 * N, 5), "x", "it counts the rows;"),
    "counter of few rows": (np.arange(25.0), "x", "it counts the rows;"),
    "gaps": (GAPS, "x", "it grows with the rows; declare it "),
    "falling": (GAPS[::-1], "x", "it falls with the rows; declare it "),
    "few out of order": (swapped(GAPS), "x", "it grows with the rows"),
    "a few halves": (np.where(np.arange(N) % 100 == 7, GAPS + 0.5, GAPS), "x", "it grows.*declare it continuous"),
    "lines of invoices": (np.repeat(GAPS[::3], 3), "Invoice No", "it grows with the rows"),
    "seconds": (
        SECONDS,
        "x",
        r"it is a time since 1970 \(s\).*declare it datetime to use hours and weekdays, or integer",
    ),
    "milliseconds": (SECONDS * 1000 + 7, "x", r"it is a time since 1970 \(ms\)"),
    "seconds in any order": (RNG.permutation(SECONDS), "timestamp", r"it is a time since 1970 \(s\)"),
    "shuffled counter": (RNG.permutation(N) + 1.0, "x", "its 600 whole numbers never occur twice, though"),
    "keys in any order": (RNG.permutation(2 * N)[:N] + 0.0, "x", "its 600 whole numbers never occur twice"),
    "sparse keys by name": (RNG.choice(10**9, N, replace=False) + 0.0, "customerId", "its name is that of a key"),
}
SET_ASIDE["dates as numbers"] = (
    RNG.permutation(np.repeat([20240100.0 + day for day in range(1, 32)], 9)),
    "day",
    "its whole numbers are dates, written as 20240131 is; convert it with pandas.to_datetime",
)
SET_ASIDE["few tickets that fall"] = (
    9e4 - np.cumsum(RNG.integers(1, 20, 60)),
    "ticket",
    "it falls with the rows",
)
SET_ASIDE["times by a common name"] = (
    1.7e9 + RNG.permutation(N) * 977.0,
    "created_at",
    r"it is a time since 1970 \(s\)",
)
CODES = {
    "articles": ([with_check_digit(number, 3) for number in RNG.integers(4e11, 5e11, N)], "check digit of article"),
    "short articles": ([with_check_digit(number, 3) for number in RNG.integers(4e6, 5e6, N)], "check digit of article"),
    "articles that repeat": (RNG.choice([with_check_digit(k, 3) for k in RNG.integers(4e11, 5e11, 40)], N), "check"),
    "cards": ([with_check_digit(number, 2) for number in RNG.integers(4e14, 5e14, N)], "cards and devices"),
    "thirteen digits": (RNG.integers(4e12, 5e12, N), "all have 13 digits"),
}
NO_CODES = {
    "amounts in cents": RNG.lognormal(16, 1, N).round(),
    "populations": RNG.integers(10**7, 10**9, N) + 0.0,
    "large amounts": RNG.lognormal(28, 1, N).round(),
    "large round amounts": RNG.integers(10**8, 10**9, N) * 1000.0,
    "milliseconds": RNG.integers(int(1.6e12), int(1.7e12), N) + 0.0,
    "fractions": RNG.uniform(4e12, 5e12, N).round(2),
}
KEPT = {
    "numbers of the size of dates": (RNG.integers(20_000_000, 20_300_000, N) + 0.0, "amount", 0),
    "sorted prices": (np.sort((RNG.lognormal(3, 1, N) * 100).round()), "price", 1),
    "sorted measurement": (np.sort(RNG.normal(size=N)), "x", 1),
    "falling measurement": (-np.sort(RNG.normal(size=N)), "x", -1),
    "sorted whole normal numbers": (np.sort(RNG.normal(0, 1e5, N).round()), "x", 1),
    "sorted ages": (np.sort(RNG.integers(18, 90, N)) + 0.0, "age", 0),
    "salaries": (RNG.lognormal(10.5, 0.5, N).round(), "salary", 0),
    "keys that repeat": (RNG.integers(0, 200, N) + 0.0, "customer_id", 0),
    "sparse unique numbers": (RNG.choice(10**9, N, replace=False) + 0.0, "area", 0),
    "prices of the size of times": (RNG.uniform(1e9, 2e9, N), "price", 0),
    "two sorted files": (np.tile(np.sort(RNG.normal(size=N // 2)), 2), "x", 0),
    "few rows": (np.arange(19.0) ** 2, "x", 0),
}


@pytest.mark.parametrize("case", SET_ASIDE)
def test_what_grows_or_is_a_key_is_set_aside_with_the_reason(case):
    numbers, name, reason = SET_ASIDE[case]
    noise = np.random.default_rng(1).normal(size=len(numbers))
    frame = pd.DataFrame({name: numbers, "noise": noise})
    with pytest.warns(ColumnSetAsideWarning, match=reason):
        column = infer_columns(Table((name, "noise"), frame))[0]
    assert (column.kind, column.likelihood) == ("identifier", None)


@pytest.mark.parametrize("case", CODES)
def test_codes_of_things_are_no_numbers(case):
    numbers, reason = np.array(CODES[case][0], dtype=float), CODES[case][1]
    assert reason in why_codes(numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ColumnSetAsideWarning)
        column = infer_columns(Table(("x", "noise"), np.c_[numbers, RNG.normal(size=N)]))[0]
    assert column.kind == ("categorical" if "repeat" in case else "identifier")
    assert reason in column.reason
    if column.kind == "categorical":
        assert set(column.levels) == {f"{number:.0f}" for number in numbers}
    used = infer_columns(Table(("x",), numbers[:, None]), declared={"x": "integer"})[0]
    assert used.kind == "integer"


@pytest.mark.parametrize("case", NO_CODES)
def test_amounts_counts_and_times_are_no_codes(case):
    assert why_codes(NO_CODES[case]) is None


def test_known_check_digits():
    articles = [4006381333931.0, 96385074.0, 36000291452.0]
    cards = [4111111111111111.0, 490154203237518.0]
    for known, other in ((articles, "article"), (cards, "cards")):
        numbers = np.array(known)
        assert why_codes(np.r_[numbers, numbers]) is None  # Too few.
        weight = 3 if other == "article" else 2
        assert [with_check_digit(int(number) // 10, weight) for number in known] == known


@pytest.mark.parametrize("case", KEPT)
def test_measurements_stay_and_those_in_order_get_a_word(case):
    numbers, name, direction = KEPT[case]
    assert why_set_aside(name, numbers) is None
    assert direction_of(numbers) == direction
    frame = pd.DataFrame({name: numbers, "noise": np.random.default_rng(1).normal(size=len(numbers))})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        column = infer_columns(Table((name, "noise"), frame))[0]
    assert column.likelihood is not None
    assert [type(warning.message) for warning in caught] == [SortedColumnWarning] * bool(direction)
    for warning in caught:
        assert f"column {name!r} {'rises' if direction > 0 else 'falls'} from row to row" in str(warning.message)
        assert f"columns={{{name!r}: 'identifier'}}" in str(warning.message)


def test_declared_column_is_used_whatever_it_does():
    frame = pd.DataFrame({"x": GAPS, "noise": RNG.normal(size=N)})
    assert infer_columns(Table(("x", "noise"), frame), declared={"x": "integer"})[0].kind == "integer"


@pytest.mark.parametrize("name", ["id", "ID", "order_no", "customerKey", "row id", "uuid", "Invoice-Number", "ids"])
def test_names_of_keys(name):
    assert names_a_key(name)


@pytest.mark.parametrize("name", ["width", "no_of_rooms", "number of cells", "idea", "video", "keyboard", "x0", ""])
def test_names_of_measurements(name):
    assert not names_a_key(name)


def test_whole_numbers_above_two_to_the_53_stay_apart_beside_floats():
    ids = 2**60 + np.arange(100)
    frame = pd.DataFrame({"x": RNG.normal(size=100), "id": ids, "code": np.repeat(ids[:4], 25)})
    table = read_table(VAEDetector(), frame, fitting=True)
    with pytest.warns(ColumnSetAsideWarning, match="100 distinct whole numbers above 2\\*\\*53 look like identifiers"):
        _, key, code = infer_columns(table)
    assert key.likelihood is None
    assert set(code.levels) == {str(number) for number in ids[:4]}
    assert code.encode(table, 2).tolist() == np.repeat(np.arange(4.0), 25).tolist()


def test_whole_numbers_beyond_64_bits_stay_apart_in_objects_and_in_text():
    ids = [10**21 + 7 * number for number in range(100)]
    codes = [10**21 + 1 + number % 4 for number in range(100)]
    for written in (int, str):
        frame = pd.DataFrame(
            {
                "x": RNG.normal(size=100),
                "id": pd.Series(map(written, ids), dtype=object),
                "code": pd.Series([*map(written, codes[1:]), None], dtype=object),
            }
        )
        with pytest.warns(ColumnSetAsideWarning, match="'id'"):
            _, key, code = infer_columns(read_table(VAEDetector(), frame, fitting=True))
        assert key.likelihood is None
        assert set(code.levels) == {str(10**21 + 1 + number) for number in range(4)}


def test_last_column_is_used_even_if_it_grows():
    (column,) = infer_columns(Table(("x",), GAPS[:, None]))
    assert (column.kind, column.reason) == ("integer", "it counts the rows")
    (seconds,) = infer_columns(Table(("x",), SECONDS[:, None] + 0.25))
    assert seconds.kind == "continuous"
