"""Tables: what a column holds, its cells as numbers or text, and errors that name the position."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.data.table import Table
from vae_anomaly.errors import CellTypeError, DataError

NAN = float("nan")
DAYS = pd.to_datetime(["1970-01-02 00:00", None, "2020-01-01 12:00"])


def frame_table(cells, dtype=None):
    return Table(("c",), pd.DataFrame({"c": pd.Series(cells, dtype=dtype)}))


def objects(*cells):
    return frame_table(np.array([*cells, None], dtype=object)[:-1], dtype=object)


CONTENTS = {
    "float": (frame_table([1.5, NAN]), "number", [1.5, NAN]),
    "integer": (frame_table([1, 2]), "number", [1, 2]),
    "Int64": (frame_table([1, None], "Int64"), "number", [1, NAN]),
    "Float64": (frame_table([1.5, None], "Float64"), "number", [1.5, NAN]),
    "int64[pyarrow]": (frame_table([1, None], "int64[pyarrow]"), "number", [1, NAN]),
    "double[pyarrow]": (frame_table([0.5, None], "double[pyarrow]"), "number", [0.5, NAN]),
    "decimal[pyarrow]": (
        frame_table([Decimal("1.5"), None], pd.ArrowDtype(pa.decimal128(5, 2))),
        "number",
        [1.5, NAN],
    ),
    "float16": (frame_table([0.5, -2], "float16"), "number", [0.5, -2]),
    "uint8": (frame_table([255, 0], "uint8"), "number", [255, 0]),
    "sparse": (frame_table(pd.arrays.SparseArray([0.0, 2.0])), "number", [0, 2]),
    "integers in objects": (objects(3, None), "number", [3, NAN]),
    "numbers in objects": (objects(3, 2.5, None, pd.NA, NAN), "number", [3, 2.5, NAN, NAN, NAN]),
    "decimals in objects": (objects(Decimal("0.25"), None), "number", [0.25, NAN]),
    "integers beyond 64 bits": (objects(2**70, 1), "number", [2.0**70, 1]),
    "nothing": (objects(None, None), "number", [NAN, NAN]),
    "bool": (frame_table([True, False]), "boolean", [1, 0]),
    "boolean": (frame_table([True, None], "boolean"), "boolean", [1, NAN]),
    "bool[pyarrow]": (frame_table([False, None], "bool[pyarrow]"), "boolean", [0, NAN]),
    "booleans in objects": (objects(True, None, False), "boolean", [1, NAN, 0]),
    "datetime": (frame_table(DAYS), "datetime", [1, NAN, 18262.5]),
    "datetime in seconds": (frame_table(DAYS.astype("datetime64[s]")), "datetime", [1, NAN, 18262.5]),
    "datetime with zone": (frame_table(DAYS.tz_localize("Etc/GMT-6")), "datetime", [0.75, NAN, 18262.25]),
    "timestamp[pyarrow]": (frame_table(DAYS, "timestamp[us][pyarrow]"), "datetime", [1, NAN, 18262.5]),
    "date[pyarrow]": (
        frame_table([dt.date(1970, 1, 3), None], pd.ArrowDtype(pa.date32())),
        "datetime",
        [2, NAN],
    ),
    "dates in objects": (objects(dt.date(1970, 1, 3), None), "datetime", [2, NAN]),
}
TEXTS = {
    "str": (frame_table(["a", None], "str"), ["a", None]),
    "string": (frame_table(["a", None], "string"), ["a", None]),
    "string[pyarrow]": (frame_table(["a", None], "string[pyarrow]"), ["a", None]),
    "dictionary[pyarrow]": (
        frame_table(["a", None], pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
        ["a", None],
    ),
    "category": (frame_table(["a", None, "b"], "category"), ["a", None, "b"]),
    "objects": (objects("a", None, NAN, pd.NA, pd.NaT, ""), ["a", None, None, None, None, ""]),
    "text and numbers": (objects("a", 3, 2.0, 0.5), ["a", "3", "2", "0.5"]),
    "text and booleans": (objects("a", True), ["a", "True"]),
    "category of numbers": (frame_table([3, 7, 3], "category"), ["3", "7", "3"]),
    "category of text and numbers": (frame_table(np.array(["a", 3], dtype=object), "category"), ["a", "3"]),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_numbers_booleans_and_dates_are_recognised_and_read(kind):
    table, content, numbers = CONTENTS[kind]
    assert table.content(0) == content
    read = table.numbers(0)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, numbers)


@pytest.mark.parametrize("kind", TEXTS)
def test_text_is_recognised_and_read(kind):
    table, texts = TEXTS[kind]
    assert table.content(0) == "text"
    assert table.texts(0).tolist() == texts


def test_matrix_holds_numbers():
    table = Table(("a", "b"), np.array([[1.0, NAN], [2.0, 0.5]]))
    assert (table.n_rows, table.content(1)) == (2, "number")
    np.testing.assert_array_equal(table.numbers(1), [NAN, 0.5])


def test_matrix_is_read_as_text_where_text_was_learned():
    table = Table(("a",), np.array([[1.0], [NAN], [-0.5]]))
    assert table.texts(0).tolist() == ["1", None, "-0.5"]


def test_same_text_whether_whole_numbers_come_as_integers_or_floats():
    integers, floats = frame_table([1, 20, 3]), frame_table([1.0, 20.0, 3.0])
    assert integers.texts(0).tolist() == floats.texts(0).tolist() == ["1", "20", "3"]


@given(st.integers(-(2**53), 2**53))
def test_text_of_a_whole_number_is_the_number(number):
    assert Table(("a",), np.array([[float(number)]])).texts(0).tolist() == [str(number)]


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()))
def test_text_of_a_broken_number_reads_back_as_itself(number):
    (text,) = Table(("a",), np.array([[number]])).texts(0)
    assert float(text) == number


@pytest.mark.parametrize("cells", [np.arange(8.0).reshape(4, 2), None])
def test_rows_are_taken_by_position(cells):
    if cells is None:
        cells = pd.DataFrame({"a": [0.0, 2.0, 4.0, 6.0], "b": [1.0, 3.0, 5.0, 7.0]}, index=list("wxyz"))
    table = Table(("a", "b"), cells)
    assert table.take(np.array([3, 0])).numbers(0).tolist() == [6, 0]
    assert table.take(slice(1, 3)).numbers(1).tolist() == [3, 5]
    assert table.take(np.array([3, 0])).n_rows == 2


def test_columns_with_equal_labels_are_read_by_position():
    cells = pd.DataFrame([[1.0, "u"], [2.0, "v"]])
    cells.columns = ["same", "same"]
    table = Table(("a", "b"), cells)
    assert table.numbers(0).tolist() == [1, 2]
    assert table.texts(1).tolist() == ["u", "v"]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("frame", [False, True])
def test_infinity_is_refused_with_its_position(sign, frame):
    cells = np.array([[0.0, 1.0], [0.0, sign * np.inf], [0.0, 2.0]])
    table = Table(("a", "speed"), pd.DataFrame(cells) if frame else cells)
    with pytest.raises(DataError, match=r"column 'speed' holds -?inf .index 1.*NaN") as caught:
        table.numbers(1)
    assert (caught.value.column, caught.value.row) == ("speed", 1)
    assert table.numbers(0).tolist() == [0, 0, 0]


def test_text_in_a_numeric_column_is_refused_with_its_position():
    with pytest.raises(DataError, match=r"column 'c' holds 'n/a' \(index 2\).*numbers or NaN") as caught:
        objects("1.5", None, "n/a", "also not").numbers(0)
    assert (caught.value.column, caught.value.row) == ("c", 2)
    assert not isinstance(caught.value, TypeError)


def test_numbers_written_as_text_are_read():
    np.testing.assert_array_equal(objects("1.5", None, "-2e3").numbers(0), [1.5, NAN, -2000])


@pytest.mark.parametrize("cell", [{"a": 1}, [1, 2], (1,), b"bytes", 1 + 2j, dt.time(12)])
@pytest.mark.parametrize("read", [Table.texts, Table.numbers, Table.content])
def test_cell_of_an_impossible_type_is_refused_with_its_position(cell, read):
    with pytest.raises(CellTypeError) as caught:
        read(objects("a", None, cell), 0)
    assert (caught.value.column, caught.value.row) == ("c", 2)
    assert type(cell).__name__ in str(caught.value)


def test_long_cells_are_cut_in_messages():
    with pytest.raises(CellTypeError) as caught:
        objects(list(range(10_000))).texts(0)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("cell", [{"a": "line\nbreak"}, "line\nbreak", np.zeros((3, 3))])
def test_messages_are_one_line_whatever_the_cell_holds(cell):
    with pytest.raises(DataError) as caught:
        objects(cell, 1.0).numbers(0)
    assert "\n" not in str(caught.value)


def test_message_shows_a_long_text_cut():
    with pytest.raises(DataError) as caught:
        objects("x" * 10_000, 1.0).numbers(0)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("unit", ["s", "us"])
def test_dates_beyond_the_range_of_nanoseconds_are_read(unit):
    # 9999-12-31 is how many databases write "no end"; 2,932,896 days after 1970-01-01.
    dates = np.array(["1970-01-02", "9999-12-31"], dtype=f"datetime64[{unit}]")
    assert frame_table(dates).numbers(0).tolist() == [1, 2_932_896]


def test_far_date_objects_with_a_zone_are_read_in_utc():
    zone = dt.timezone(dt.timedelta(hours=2))
    far, near = dt.datetime(9999, 12, 31, 2, tzinfo=zone), dt.datetime(1970, 1, 2, 14, tzinfo=zone)
    assert objects(near, None, far).numbers(0)[[0, 2]].tolist() == [1.5, 2_932_896]


def test_year_9999_in_date_objects_is_read():
    table = objects(dt.date(1970, 1, 2), dt.date(9999, 12, 31))
    assert table.numbers(0).tolist() == [1, 2_932_896]


LEVELS = {
    "text": frame_table(["b", "a", None, "b", " a"]),
    "text as objects": objects("b", "a", None, "b", "a "),
    "numbers beside text": objects("b", 1, 1.0, True, None, 2.5),
    "levels": frame_table(pd.Categorical(["x", None, "y", "x"], categories=["y", "x", "z"])),
    "levels that are numbers": frame_table(pd.Categorical([3.0, 1.5, None, 3.0])),
    "floats": frame_table([1.0, NAN, -0.0, 2.5, 0.0]),
    "integers": frame_table([3, 1, 3]),
    "flags": frame_table([True, False, True]),
    "nullable": frame_table([3, None, 3], "Int64"),
    "matrix": Table(("c",), np.array([[1.0], [NAN], [2.5], [1.0]])),
    "nothing": frame_table([None, None], object),
}


@pytest.mark.parametrize("table", LEVELS.values(), ids=LEVELS.keys())
def test_distinct_levels_are_the_texts_cell_by_cell(table):
    texts, places = table.distinct_levels(0)
    assert np.append(texts, None)[places].tolist() == table.texts(0).tolist()
