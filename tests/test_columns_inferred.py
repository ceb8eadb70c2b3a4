"""What columns are taken for by their dtype and their values, and why: one case for each rule."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vae_anomaly.columns import Column, infer_columns
from vae_anomaly.data.table import Table
from vae_anomaly.errors import CellTypeError, DataError, DataWarning
from vae_anomaly.likelihoods import (
    Binary,
    BoundedStudentT,
    Categorical,
    Constant,
    Gaussian,
    Ordinal,
    RoundedStudentT,
    SpikedBoundedStudentT,
    SpikedRoundedStudentT,
    SpikedStudentT,
    StudentT,
)

NAN = float("nan")


def table_of(cells):
    """One column: an array of numbers as a matrix, anything else as a DataFrame."""
    if isinstance(cells, np.ndarray) and cells.dtype == np.float64:
        return Table(("c",), cells[:, None])
    return Table(("c",), pd.DataFrame({"c": cells}))


def infer(cells, likelihood=None):
    return infer_columns(table_of(cells), likelihood)[0]


def infer_quietly(cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        others = pd.DataFrame({"c": cells, "other": ["x", "y"] * (len(cells) // 2) + ["x"] * (len(cells) % 2)})
        return infer_columns(Table(("c", "other"), others))[0]


def texts(**counts):
    return pd.Series([level for level, count in counts.items() for _ in range(count)], dtype=object)


NORMAL = stats.norm.ppf((np.arange(300) + 0.5) / 300)
THIRD = np.arange(300) % 3 == 0
MAX = np.arange(300) % 10 > 0
SKEWED = np.exp(2 * NORMAL)
SHARES = stats.beta.ppf((np.arange(300) + 0.5) / 300, 3, 1)
SIZES = ["small", "large", "medium"] * 20
RULES = {
    "many numbers": (NORMAL, "continuous", StudentT(), "300 distinct values"),
    "steps": (np.round(NORMAL * 2) / 4 + 0.1, "continuous", RoundedStudentT(), "13 distinct values, in steps of 0.25"),
    "coarse whole numbers": (
        np.round(NORMAL * 10),
        "integer",
        RoundedStudentT(),
        "53 distinct whole numbers, in steps",
    ),
    "fine whole numbers": (np.round(NORMAL * 1e6), "integer", StudentT(), "300 distinct whole numbers"),
    "skewed numbers": (SKEWED, "positive", StudentT(), "300 distinct values from 0.00282175 on, skewed"),
    "mildly skewed numbers": (np.sqrt(SKEWED), "continuous", StudentT(), "300 distinct values"),
    "skewed numbers below 0": (SKEWED - 1, "continuous", StudentT(), "300 distinct values"),
    "skewed steps": (
        np.round(SKEWED * 20) / 20,
        "positive",
        RoundedStudentT(),
        "147 distinct values from 0 on, skewed",
    ),
    "small counts": (
        np.round(SKEWED * 3),
        "count",
        RoundedStudentT(),
        "68 distinct whole numbers from 0 on, skewed, in",
    ),
    "large counts": (np.round(SKEWED * 1e6), "count", StudentT(), "300 distinct whole numbers from 2822 on, skewed"),
    "shares": (
        np.minimum(1, SHARES * 1.02),
        "bounded",
        BoundedStudentT(),
        "between 0.0 and 1.0, with 6% at the top",
    ),
    "percentages": (
        np.minimum(100, SHARES * 103),
        "bounded",
        BoundedStudentT(),
        "between 0.0 and 100.0, with 8% at the top",
    ),
    "share that is full nine times in ten": (
        np.where(MAX, 1.0, np.abs(NORMAL) / 5),
        "bounded",
        SpikedBoundedStudentT(),
        "between 0.0 and 1.0, with 90% at the top, 90% of them 1",
    ),
    "number that repeats in a third of the rows": (
        np.where(THIRD, 0.0, NORMAL),
        "continuous",
        StudentT(),
        "201 distinct values",
    ),
    "number that repeats nine times in ten": (
        np.where(MAX, 0.0, NORMAL),
        "continuous",
        SpikedStudentT(),
        "31 distinct values, 90% of them 0",
    ),
    "whole number that repeats nine times in ten": (
        np.where(MAX, 40.0, np.round(NORMAL * 10 + 40)),
        "integer",
        SpikedRoundedStudentT(),
        "28 distinct whole numbers, in steps of 1, 90% of them 40",
    ),
    "ten values with ten rows each": (
        np.repeat(np.arange(10.0), 10),
        "categorical",
        Categorical(),
        "10 distinct values in 100 rows",
    ),
    "eleven values": (np.repeat(np.arange(11.0), 10), "integer", RoundedStudentT(), "11 distinct whole numbers"),
    "fewer than ten rows a value": (
        np.repeat(np.arange(10.0), 10)[1:],
        "integer",
        RoundedStudentT(),
        "10 distinct whole numbers, in steps of 1",
    ),
    "missing cells do not count as rows": (
        np.append(np.repeat([3.0, 4.0], 10)[1:], NAN),
        "integer",
        RoundedStudentT(),
        "2 distinct whole numbers",
    ),
    "two numbers": (np.repeat([3.5, 7.0], 10), "binary", Binary(), "2 distinct values in 20 rows"),
    "one number": (np.full(3, 7.5), "constant", Constant(), "the only value in 3 rows is 7.5"),
    "booleans": (pd.Series([True, False, True]), "boolean", Binary(), "its dtype is boolean"),
    "one boolean": (pd.Series([True, True]), "boolean", Constant(), "its dtype is boolean"),
    "dates": (
        pd.Series(pd.date_range("2020", periods=30)),
        "datetime",
        StudentT(),
        "dates with 30 distinct values, with the place in time; no other column is left",
    ),
    "two dates": (
        pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"] * 20)),
        "datetime",
        StudentT(),
        "dates with 2 distinct values",
    ),
    "dates of weeks": (
        pd.Series(pd.date_range("2020", periods=3000, freq="7h")),
        "datetime",
        None,
        "dates with 3000 distinct values: hour, weekday, day of month; the place in time does not count, ",
    ),
    "dates of years": (
        pd.Series(pd.date_range("2010", periods=3000, freq="D")),
        "datetime",
        None,
        "dates with 3000 distinct values: weekday, day of month, month; the place in time does not count, ",
    ),
    "text": (texts(a=3, b=2, c=1), "categorical", Categorical(), "text with 3 distinct values in 6 rows"),
    "two texts": (texts(a=3, b=2), "binary", Binary(), "text with 2 distinct values in 5 rows"),
    "one text": (texts(a=3), "constant", Constant(), "text with 1 distinct value in 3 rows"),
    "twenty texts in as many rows": (
        pd.Series([f"t{i}" for i in range(20)]),
        "categorical",
        Categorical(),
        "text with 20 distinct values in 20 rows",
    ),
    "half of the texts distinct": (
        pd.Series([f"t{i % 21}" for i in range(42)]),
        "categorical",
        Categorical(),
        "text with 21 distinct values in 42 rows",
    ),
    "categories": (pd.Series(SIZES, dtype="category"), "categorical", Categorical(), "text with 3 distinct values"),
    "categories that are numbers": (
        pd.Series([3, 7, 9] * 10, dtype="category"),
        "categorical",
        Categorical(),
        "text with 3 distinct values in 30 rows",
    ),
    "ordered categories": (
        pd.Series(pd.Categorical(SIZES, ["small", "medium", "large", "huge"], ordered=True)),
        "ordinal",
        Ordinal(),
        "its dtype is an ordered category with 4 levels",
    ),
    "too many ordered categories": (
        pd.Series(pd.Categorical(np.arange(80) % 70, ordered=True)),
        "categorical",
        Categorical(),
        "an ordered category with 70 levels, more than 64",
    ),
}
SET_ASIDE = {
    "empty": ([None] * 50, "it holds no value in any training row"),
    "identifier": ([f"id{i // 2}" for i in range(47)] + [None] * 3, "24 distinct texts in 47 rows look like identif"),
    "running number": (np.arange(7, 57), "it counts the rows; declare it integer to use it"),
}
DTYPES = {
    "string": (["a", "b", None] * 20, "string", "binary"),
    "str": (["a", "b", None] * 20, "str", "binary"),
    "string[pyarrow]": (["a", "b", None] * 20, "string[pyarrow]", "binary"),
    "category": (["a", "b", None] * 20, "category", "binary"),
    "Int64": ([1, 2, 30, None] * 20, "Int64", "categorical"),
    "uint8": ([1, 2, 30, 255] * 20, "uint8", "categorical"),
    "Float64": ([*NORMAL, None], "Float64", "continuous"),
    "float32": (NORMAL, "float32", "continuous"),
    "double[pyarrow]": ([*NORMAL, None], "double[pyarrow]", "continuous"),
    "int64[pyarrow]": ([1, 2, 30, None] * 20, "int64[pyarrow]", "categorical"),
    "boolean": ([True, False, None], "boolean", "boolean"),
    "bool[pyarrow]": ([True, False, None], "bool[pyarrow]", "boolean"),
    "object": ([True, False, None], "object", "boolean"),
    "timestamp[us][pyarrow]": (pd.date_range("2020", periods=30), "timestamp[us][pyarrow]", "datetime"),
    "datetime64[ns, UTC]": (pd.date_range("2020", periods=30, tz="UTC"), "datetime64[ns, UTC]", "datetime"),
    "datetime64[s]": (pd.date_range("2020", periods=30), "datetime64[s]", "datetime"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule_says_kind_likelihood_and_reason(rule):
    cells, kind, likelihood, reason = RULES[rule]
    column = infer(cells)
    assert (column.name, column.kind, column.likelihood) == ("c", kind, likelihood)
    assert column.reason.startswith(reason)
    assert "\n" not in column.reason


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_of_any_library_says_the_kind(dtype):
    cells, name, kind = DTYPES[dtype]
    series = pd.Series(cells, dtype=name)
    column = infer(series)
    assert column.kind == kind
    np.testing.assert_array_equal(np.isnan(column.encode(table_of(series), 0)), series.isna())


@pytest.mark.parametrize("rule", SET_ASIDE)
def test_column_set_aside_has_no_likelihood_and_is_announced(rule):
    cells, reason = SET_ASIDE[rule]
    table = Table(
        ("bad", "good"), pd.DataFrame({"bad": cells, "good": np.random.default_rng(0).permutation(NORMAL[::6])})
    )
    with pytest.warns(DataWarning, match="column 'bad' is set aside") as caught:
        bad, good = infer_columns(table)
    assert (bad.kind, bad.likelihood) == ("empty" if rule == "empty" else "identifier", None)
    assert bad.reason.startswith(reason)
    assert bad.reason in str(caught[0].message)
    assert len(caught) == 1
    assert good.kind == "continuous"


def test_nothing_left_to_model_is_an_error_that_says_why():
    with (
        pytest.warns(DataWarning, match="set aside"),
        pytest.raises(DataError, match=r"no column is left to model \('c': it holds no value"),
    ):
        infer(np.full(4, NAN))


def test_running_number_is_modelled_where_there_is_nothing_else():
    column = infer(np.arange(100.0))
    assert (column.kind, column.reason) == ("integer", "it counts the rows")


def test_asked_likelihood_is_for_numbers_and_not_for_dates_that_it_cannot_hold():
    dates = pd.Series(pd.date_range("2020", periods=30))
    assert infer(dates, Gaussian()).likelihood == Gaussian()
    assert infer(dates, LEVELS := Categorical()).likelihood == StudentT()
    assert infer(NORMAL[::10], LEVELS).kind == "categorical"


@pytest.mark.parametrize("kind", [SpikedStudentT, SpikedRoundedStudentT, SpikedBoundedStudentT])
def test_asked_spikes_are_those_that_stand_out_or_else_the_most_frequent_value(kind):
    assert infer(np.where(THIRD, 0.5, NORMAL), kind()).spikes == (0.5,)
    column = infer(np.array([1.0, 2.0, 2.5, 2.5, 7.0]), kind())
    assert column.spikes == (2.5,)
    # Three others and two of them, with one more of each.
    assert column.frequencies == (pytest.approx(4 / 7), pytest.approx(3 / 7))
    assert len(column.start) == kind().n_parameters(column.width)


def test_spikes_have_room_of_a_power_of_two_and_start_at_their_frequencies():
    cells = np.concatenate([NORMAL, np.repeat([-1.25, 0.0, 1.25], [150, 2400, 150])])
    column = infer(cells)
    assert column.spikes == (-1.25, 0.0, 1.25)
    assert column.width == 4
    shares = np.array([301, 151, 2401, 151]) / 3004
    assert np.exp(column.start[1:]) == pytest.approx([*shares, 0])
    assert column.location == pytest.approx(0, abs=1e-12)
    assert column.scale == pytest.approx(NORMAL.std())


def test_equal_dates_leave_other_dates_surprising():
    column = infer(pd.Series(pd.to_datetime(["2024-01-01"] * 30)))
    assert column.scale == 1
    assert column.decode(np.array([0.0])).tolist() == [pd.Timestamp("2024-01-01")]


def test_levels_of_ordered_categories_are_those_of_the_dtype_in_its_order():
    sizes = pd.Series(pd.Categorical([*SIZES, None], ["small", "medium", "large", "huge"], ordered=True))
    column = infer(sizes)
    assert column.levels == ("small", "medium", "large", "huge")
    assert column.frequencies == pytest.approx([21 / 64, 21 / 64, 21 / 64, 1 / 64])
    np.testing.assert_array_equal(column.encode(table_of(sizes), 0)[[0, 1, 2, -1]], [0, 2, 1, NAN])
    cuts = column.likelihood.constants([column.facts])["cuts"][0].numpy()
    assert stats.t.cdf(cuts[1:4], 4) == pytest.approx(np.array([21, 42, 63]) / 64)
    assert column.encode(table_of(pd.Series(["tiny"], dtype="category")), 0).tolist() == [4]


@pytest.mark.parametrize("cells", [["1", "2.5", None] * 10, [3, "n/a", 4.5] * 10])
def test_text_that_holds_numbers_is_read_as_numbers_without_a_word(cells):
    column = infer(pd.Series(cells, dtype=object))
    assert not column.textual
    assert "text that is read as numbers" in column.reason


def test_column_that_is_mostly_numbers_and_taken_as_text_is_announced():
    cells = [3, "much", 4.5] * 10
    message = r"column 'c' is mostly numbers and holds too much else \('3', 'much'\).*'categorical'"
    with pytest.warns(DataWarning, match=message) as caught:
        column = infer(pd.Series(cells, dtype=object))
    assert len(caught) == 1
    assert column.textual


@pytest.mark.parametrize("cells", [[b"a", b"b"], ["a", b"b"]])
def test_bytes_are_refused_with_the_way_to_decode_them(cells):
    with pytest.raises(CellTypeError, match=r"column 'c' holds bytes b'.' .index \d.*str.decode\('utf-8'\)") as caught:
        infer(pd.Series(cells, dtype=object))
    assert caught.value.row == cells.index(b"b") - cells.count(b"a")


def test_whole_numbers_beyond_the_precision_of_floats_keep_their_digits_as_levels():
    large = pd.Series([2**53 + 1, 2**53 + 2, 2**60 + 1] * 20)
    table = Table(("c", "t"), pd.DataFrame({"c": large, "t": ["u", "v", "w"] * 20}))
    column = infer_columns(table, declared={"c": "categorical"})[0]
    assert set(column.levels) == {str(2**53 + 1), str(2**53 + 2), str(2**60 + 1)}


def test_whole_numbers_beyond_the_precision_of_floats_are_exact_as_objects_too():
    keys = [None, *(10**30 + row for row in range(59))]
    table = Table(
        ("key", "code", "x"),
        pd.DataFrame(
            {
                "key": pd.Series(keys, dtype=object),
                "code": pd.Series([2**60 + row % 3 for row in range(60)], dtype=object),
                "x": np.sin(np.arange(60.0)),
            }
        ),
    )
    with pytest.warns(DataWarning, match="59 distinct whole numbers above"):
        key, code, _ = infer_columns(table)
    assert key.kind == "identifier"
    assert set(code.levels) == {str(2**60 + row) for row in range(3)}


@pytest.mark.parametrize(
    "dates",
    [
        pd.Series(np.array(["2020-01-01", "300000-01-01", "NaT"], dtype="datetime64[s]")),
        pd.Series([dt.date(2020, 1, 1), dt.date(9999, 12, 31), None], dtype=object),
        pd.Series([dt.datetime(2020, 1, 1), dt.datetime(1, 1, 1), None], dtype=object),  # noqa: DTZ001
    ],
)
def test_dates_out_of_the_range_of_nanoseconds_are_not_missing(dates):
    days = table_of(dates).days(0)
    known = [
        np.datetime64(date, "D").astype(int) for date in (dates.astype(object)[:2] if dates.dtype == object else [])
    ]
    np.testing.assert_array_equal(np.isnan(days), [False, False, True])
    assert days[0] == 18262
    assert days[1] == (known[1] if known else 108_853_222)
    column: Column = infer(pd.concat([dates] * 10))
    assert np.isfinite(column.encode(table_of(dates), 0)[:2]).all()


def test_date_beside_the_range_of_iso_text_is_refused_and_not_missing():
    column = infer(pd.Series(pd.date_range("2020", periods=30)))
    with pytest.raises(DataError, match=r"column 'c' holds '20000-01-01' \(index 1\)"):
        column.encode(table_of(pd.Series(["2020-01-01", "20000-01-01"], dtype=object)), 0)


def test_time_zones_are_distinguished():
    utc = pd.Series(pd.date_range("2020", periods=30, tz="UTC"))
    column = infer(utc)
    berlin = column.encode(table_of(utc.dt.tz_convert("Europe/Berlin")), 0)
    np.testing.assert_array_equal(berlin, column.encode(table_of(utc), 0))
    shifted = column.encode(table_of(utc.dt.tz_localize(None).dt.tz_localize("Etc/GMT-6")), 0)
    np.testing.assert_allclose((shifted - berlin) * column.scale, -0.25)
