"""Columns of dates and of booleans: read as numbers, given back as they were; the passing of time is no anomaly."""

import warnings

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector, load, save
from vae_anomaly.columns import Column, TableEncoder, infer_columns
from vae_anomaly.columns.dates import counted_levels, epoch_unit, part_codes
from vae_anomaly.data.table import Table
from vae_anomaly.errors import DataError, FitWarning


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


def hours(n: int, start: str = "2024-01-01", every: str = "h") -> pd.Series:
    return pd.Series(pd.date_range(start, periods=n, freq=every))


def days_of(dates: pd.Series) -> np.ndarray:
    return table_of(dates).days(0)


def test_parts_are_modelled_where_the_dates_cover_them_and_the_place_in_time_is_not():
    column = infer(hours(3000))
    assert column.likelihood is None
    assert column.is_used
    assert [part.kind for part in column.parts] == ["hour", "weekday"]
    assert "datetime+trend" in column.reason
    assert [part.kind for part in infer(hours(4000)).parts] == ["hour", "weekday", "day of month"]
    assert [part.kind for part in infer(hours(2000, every="D")).parts] == ["weekday", "day of month", "month"]


def test_dates_without_a_part_are_set_aside_with_the_remedy():
    table = Table(
        ("t", "x"), pd.DataFrame({"t": hours(50, every="min"), "x": np.random.default_rng(0).normal(size=50)})
    )
    with pytest.warns(UserWarning, match="'t' is set aside: dates with 50 .*declare it datetime.trend"):
        column = infer_columns(table)[0]
    assert not column.is_used


def test_one_gross_date_makes_no_months():
    dates = hours(3000)
    dates.iloc[[7, 8]] = pd.to_datetime(["1800-01-01", "2200-01-01"])
    assert [part.kind for part in infer(dates).parts] == ["hour", "weekday"]


def test_level_that_the_rows_would_have_shown_is_a_surprise_and_another_one_is_not_known():
    at_work = hours(3000)
    at_work = at_work[at_work.dt.hour.between(9, 16)]
    known = counted_levels(days_of(at_work), "hour")
    assert len(known) == 24
    assert (known["03h"], known["09h"]) == (0, 125)
    # Ten days in six months: those on which nothing happened are not known.
    rare = pd.Series(np.repeat(pd.date_range("2024-01-05", periods=10, freq="20D").to_numpy(), 40))
    seen = counted_levels(days_of(rare), "day of month")
    assert set(seen) == {str(day) for day in rare.dt.day.unique()}
    codes = part_codes(
        days_of(pd.Series(pd.to_datetime(["2024-01-05", "2024-01-07", None]))), "day of month", tuple(seen)
    )
    assert codes[0] == list(seen).index("5")
    assert np.isnan(codes[1:]).all()


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_numbers_declared_dates_count_since_1970_in_the_unit_of_their_size(unit, factor, dtype):
    dates = hours(4000)
    numbers = pd.Series((dates.to_numpy().astype("datetime64[s]").astype(np.int64) * factor).astype(dtype))
    assert epoch_unit(numbers.to_numpy().astype(float)) == unit
    column, expected = infer(numbers, "datetime"), infer(dates)
    assert column.date_unit == unit
    for part, other in zip(column.parts, expected.parts, strict=True):
        assert (part.kind, part.frequencies) == (other.kind, other.frequencies)
        np.testing.assert_array_equal(part.encode(table_of(numbers), 0), other.encode(table_of(dates), 0))
    trend = infer(numbers, "datetime+trend")
    decoded = trend.decode(trend.encode(table_of(numbers), 0))
    np.testing.assert_allclose(decoded, numbers.astype(float), rtol=1e-9)


@pytest.fixture(scope="module")
def hourly() -> pd.DataFrame:
    return pd.DataFrame({"time": hours(3000), "x": np.random.default_rng(0).normal(size=3000)})


def later(frame: pd.DataFrame, days: int, n: int = 400) -> pd.DataFrame:
    start = str(frame["time"].iloc[-1] + pd.Timedelta(days=days, hours=1))
    return pd.DataFrame({"time": hours(n, start), "x": np.random.default_rng(days).normal(size=n)})


@pytest.fixture(scope="module")
def fitted(hourly: pd.DataFrame) -> VAEDetector:
    with pytest.warns(FitWarning, match="plain Gaussian|collapse"):
        return VAEDetector(n_estimators=1, max_iter=150, contamination=0.05).fit(hourly)


@pytest.mark.parametrize("days", [1, 30, 90, 400])
def test_rows_of_the_same_process_are_flagged_no_more_often_later(fitted, hourly, days):
    rows = later(hourly, days)
    assert (fitted.predict(rows) == -1).mean() < 0.09
    reasons = [reason for of_row in fitted.explain(rows.iloc[:20]).reasons(2) for reason in of_row]
    assert {reason.part for reason in reasons if reason.column == "time"} <= {"hour", "weekday"}


def test_place_in_time_counts_where_it_is_asked_for(hourly):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        detector = VAEDetector(
            n_estimators=1, max_iter=150, contamination=0.05, columns={"time": "datetime+trend"}
        ).fit(hourly)
    assert (detector.predict(later(hourly, 400)) == -1).mean() > 0.95


def test_later_dates_are_no_drift(fitted, hourly):
    report = fitted.check_drift(later(hourly, 90, 1000))
    assert not report.moved


def test_dates_without_a_place_in_time_are_neither_drawn_nor_filled_nor_replaced(fitted, hourly, tmp_path):
    assert fitted.sample(3, random_state=0)["time"].isna().all()
    rows = hourly.iloc[:4].copy()
    rows.loc[1, "time"] = pd.NaT
    assert fitted.impute(rows)["time"].isna().tolist() == [False, True, False, False]
    assert fitted.reconstruct(rows)["time"].isna().all()
    pd.testing.assert_series_equal(fitted.repair(rows, 0.9)["time"], rows["time"])
    save(fitted, tmp_path / "m.vae")
    np.testing.assert_array_equal(load(tmp_path / "m.vae").score_samples(rows), fitted.score_samples(rows))


def test_parts_alone_are_columns_of_the_model(hourly):
    encoder = TableEncoder(infer_columns(Table(("time", "x"), hourly), model_missing=True))
    assert {encoder.modelled[index].kind for index in encoder.model_indices_of(0)} == {"hour", "weekday", "missing"}
    np.testing.assert_array_equal(encoder.by_column(np.ones((2, encoder.n_model_columns))), [[3, 2], [3, 2]])
