"""Text of dates means the same at any time, in any time zone, in fit and in scoring."""

import datetime as dt
import time
import warnings

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.columns import TableEncoder, infer_columns
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError

N_ROWS = 80
DAYS = pd.date_range("2023-01-05", periods=N_ROWS, freq="3D")
ISO = [str(day.date()) for day in DAYS]
TREND = {"t": "datetime+trend"}
BY_THE_CLOCK = ["today", "now", "tomorrow", "yesterday", "2024", "Jan", "10:30", "3", "1 day ago"]


def table_of(cells):
    return Table(("t",), pd.DataFrame({"t": cells}))


def encoder_of(cells):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TableEncoder(infer_columns(table_of(cells), declared=TREND))


@pytest.fixture(scope="module", params=["text", "string dtype", "dates", "date objects"])
def encoder(request):
    return encoder_of(
        {
            "text": pd.Series(ISO, dtype=object),
            "string dtype": pd.Series(ISO, dtype="string"),
            "dates": pd.Series(DAYS),
            "date objects": pd.Series([day.date() for day in DAYS], dtype=object),
        }[request.param]
    )


@pytest.mark.parametrize("text", BY_THE_CLOCK)
def test_text_that_is_no_date_by_itself_is_refused_in_rows_to_score(encoder, text):
    with pytest.raises(DataError, match="expected dates"):
        encoder.encode(table_of(pd.Series([text], dtype=object)))


@pytest.mark.parametrize("text", BY_THE_CLOCK)
def test_column_of_such_text_is_refused_in_training(text):
    with pytest.raises(DataError, match="expected dates"):
        encoder_of(pd.Series([text] * (N_ROWS - 1) + ISO[:1], dtype=object))


@pytest.mark.parametrize("text", BY_THE_CLOCK)
def test_one_such_cell_among_dates_is_missing_in_training(text):
    cells = list(ISO)
    cells[3] = text
    encoder = encoder_of(pd.Series(cells, dtype=object))
    assert encoder.columns[0].location == pytest.approx(encoder_of(pd.Series([*ISO[:3], *ISO[4:]])).columns[0].location)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_time_zone_of_the_machine_changes_nothing(monkeypatch, zone):
    cells = [f"2024-01-{1 + row % 28:02d}T{row % 24:02d}:30:00" for row in range(N_ROWS)]
    aware = [dt.datetime(2024, 1, 1 + row % 28, tzinfo=dt.UTC if row % 2 else None) for row in range(N_ROWS)]

    columns = pd.Series(cells), pd.Series(aware, dtype=object), pd.Series([f"{cell}+05:00" for cell in cells])

    def encoded():
        return [encoder_of(column).encode(table_of(column)).values.numpy() for column in columns]

    here = encoded()
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        there = encoded()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(np.array_equal(one, other) for one, other in zip(here, there, strict=True))


@pytest.mark.parametrize("year", [1200, 1600, 12_000])
def test_years_beyond_nanoseconds_are_right_in_a_dtype_of_seconds(year):
    start = np.datetime64(f"{year:04d}-01-01", "s")
    cells = pd.Series(start + np.arange(N_ROWS).astype("timedelta64[D]"))
    encoder = encoder_of(cells)
    days = (start - np.datetime64("1970-01-01", "s")) / np.timedelta64(1, "D")
    assert encoder.columns[0].location == pytest.approx(days + (N_ROWS - 1) / 2)


def test_year_beyond_9999_in_text_is_refused():
    with pytest.raises(DataError, match="column 't' holds '12000-01-01'"):
        encoder_of(pd.Series([f"12{row:03d}-01-01" for row in range(N_ROWS)], dtype=object))


def test_years_before_1677_in_text_are_right():
    encoder = encoder_of(pd.Series([f"12{row:02d}-01-01" for row in range(N_ROWS)], dtype=object))
    first = float(encoder.encode(table_of(pd.Series(["1200-01-01"], dtype=object))).values[0, 0])
    column = encoder.columns[0]
    days = (np.datetime64("1200-01-01") - np.datetime64("1970-01-01")).astype(float)
    assert first * column.scale + column.location == pytest.approx(days, abs=0.1)
