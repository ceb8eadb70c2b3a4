"""Columns of dates and of booleans: read as numbers, given back as what they were."""

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.columns import Column, infer_columns
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError


def table_of(cells: pd.Series) -> Table:
    return Table(("c",), pd.DataFrame({"c": cells}))


def infer(cells: pd.Series, declared: str | None = None) -> Column:
    return infer_columns(table_of(cells), declared=None if declared is None else {"c": declared})[0]


def test_dates_decode_to_dates():
    dates = pd.Series(pd.to_datetime(["1970-01-11", "1970-01-21", "1970-01-16"]))
    column = infer(dates, "datetime+trend")
    assert column.decode(column.encode(table_of(dates), 0)).tolist() == dates.tolist()


def test_booleans_decode_to_booleans():
    flags = pd.Series([True, False, False] * 10)
    column = infer(flags)
    decoded = column.decode(column.encode(table_of(flags), 0))
    assert decoded.dtype == bool
    assert decoded.tolist() == flags.tolist()


def test_dates_may_come_as_iso_text_but_not_as_numbers():
    dates = pd.Series(pd.to_datetime(["1970-01-11", "1970-01-21", "1970-01-16"]))
    column = infer(dates, "datetime+trend")
    text = pd.Series(["1970-01-11", "1970-01-21T00:00:00", None], dtype=object)
    found = column.encode(table_of(text), 0)
    np.testing.assert_allclose(found[:2], column.encode(table_of(dates), 0)[:2])
    assert np.isnan(found[2])
    with pytest.raises(DataError, match="holds numbers, where dates are expected"):
        column.encode(table_of(pd.Series([10.0, 20.0])), 0)
    with pytest.raises(DataError, match=r"holds 'soon' \(index 1\); expected dates"):
        column.encode(table_of(pd.Series(["1970-01-11", "soon"], dtype=object)), 0)


def test_numbers_may_not_come_as_dates():
    column = infer(pd.Series(np.linspace(0, 1, 50)))
    with pytest.raises(DataError, match="holds dates; it held numbers"):
        column.encode(table_of(pd.Series(pd.to_datetime(["1970-01-11"]))), 0)
