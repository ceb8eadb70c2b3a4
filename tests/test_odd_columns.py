"""Columns of dtypes that are neither numbers, text, booleans nor dates."""

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vae_anomaly import CellTypeError, ColumnSetAsideWarning, DataError, VAEDetector, load, save
from vae_anomaly.detectors.odd_columns import read_odd_columns

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.ColumnSetAsideWarning")
N = 60
FAST = {"max_iter": 5, "n_estimators": 1}
SECONDS = np.random.default_rng(1).permutation(N) * 1.5


def frame_of(cells) -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(0).normal(size=N), "odd": cells})


UNUSABLE = {
    "bytes": ([b"a%d" % n for n in range(N)], "it holds bytes"),
    "complex dtype": (np.arange(N) * 1j, "it holds complex numbers"),
    "complex cells": (pd.Series([1.0] * (N - 1) + [2j], dtype=object), "it holds complex numbers"),
    "times": ([dt.time(n % 24) for n in range(N)], "it holds times of day"),
    "lists": ([[n] for n in range(N)], "it holds lists"),
    "dicts": ([{"a": n} for n in range(N)], "it holds dicts"),
    "one dict": ([1.0] * (N - 1) + [{"a": 1}], "it holds dicts"),
    "intervals": (pd.interval_range(0, N), "it holds intervals"),
    "objects": ([object()] * N, "it holds cells of type object"),
    "arrow lists": (pd.Series([[1]] * N, dtype=pd.ArrowDtype(pa.list_(pa.int64()))), "it holds lists"),
    "arrow bytes": (pd.Series([b"a"] * N, dtype=pd.ArrowDtype(pa.binary())), "it holds bytes"),
    "arrow times": (pd.Series([dt.time(3)] * N, dtype=pd.ArrowDtype(pa.time64("us"))), "it holds times of day"),
}


@pytest.mark.parametrize(("cells", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_column_that_cannot_be_used_does_not_stop_the_others(cells, reason):
    frame = frame_of(cells)
    with pytest.warns(ColumnSetAsideWarning) as caught:
        detector = VAEDetector(**FAST).fit(frame)
    assert [one.message.column for one in caught if isinstance(one.message, ColumnSetAsideWarning)] == ["odd"]
    column = detector.columns_[1]
    assert (column.kind, column.likelihood) == ("unusable", None)
    assert column.reason.startswith(reason)
    scores = detector.score_samples(frame)
    assert (detector.score_samples(frame[["x"]]) == scores).all()
    assert (VAEDetector(**FAST).fit(frame[["x"]]).score_samples(frame[["x"]]) == scores).all()


def test_reasons_say_what_to_do():
    frame = pd.DataFrame({"a": [b"x"], "b": [1j], "c": [dt.time(1)], "d": [[1]]}, index=["r"])
    remarks = read_odd_columns(frame, tuple(frame)).remarks
    assert "decode them, with frame['a'].str.decode('utf-8')" in remarks["a"]
    assert "give real and imaginary parts" in remarks["b"]
    assert "give hours as a number, or a date with the time" in remarks["c"]
    assert "give each of their entries a column of its own" in remarks["d"]


def test_nothing_but_unusable_columns_is_a_clear_error():
    frame = pd.DataFrame({"a": [[1]] * N, "b": [b"x"] * N})
    with pytest.raises(DataError, match=r"no column is left to model \('a': it holds lists; give"):
        VAEDetector(**FAST).fit(frame)


def test_a_column_of_the_model_must_be_usable_in_scoring():
    frame = frame_of(SECONDS)
    detector = VAEDetector(**FAST).fit(frame)
    with pytest.raises(CellTypeError, match="column 'odd' holds lists such as") as caught:
        detector.score_samples(frame.assign(odd=[[1]] * N))
    assert (caught.value.column, caught.value.row) == ("odd", 0)


@pytest.mark.parametrize(
    "durations",
    [
        pd.to_timedelta(SECONDS, unit="s"),
        pd.Series([dt.timedelta(seconds=each) for each in SECONDS], dtype=object),
        pd.Series(pd.to_timedelta(SECONDS, unit="s"), dtype=pd.ArrowDtype(pa.duration("ms"))),
    ],
    ids=["timedelta64", "objects", "arrow"],
)
def test_durations_are_numbers_of_seconds(durations):
    numbers = VAEDetector(**FAST).fit(frame_of(SECONDS))
    frame = frame_of(durations)
    detector = VAEDetector(**FAST).fit(frame)
    assert detector.columns_[1].reason.endswith("; durations, in seconds")
    assert (detector.score_samples(frame) == numbers.score_samples(frame_of(SECONDS))).all()
    frame.loc[3, "odd"] = None
    assert np.isfinite(detector.score_samples(frame)).all()


def test_durations_stay_durations_where_they_are_imputed():
    frame = frame_of(pd.to_timedelta(SECONDS, unit="s"))
    detector = VAEDetector(**FAST).fit(frame)
    frame.loc[3, "odd"] = pd.NaT
    filled = detector.impute(frame)
    assert filled["odd"].dtype == frame["odd"].dtype
    assert filled["odd"].notna().all()
    assert (filled["odd"].drop(index=3) == frame["odd"].drop(index=3)).all()


@pytest.mark.parametrize("dtype", [None, object])
def test_periods_are_dates(dtype):
    periods = pd.Series(pd.period_range("2020-01-01", periods=N, freq="h"), dtype=dtype)
    dates = frame_of(pd.Series(pd.date_range("2020-01-01", periods=N, freq="h")))
    frame = frame_of(periods)
    detector = VAEDetector(**FAST).fit(frame)
    assert detector.columns_[1].kind == "datetime"
    assert detector.columns_[1].reason.endswith("; periods, by their start")
    assert (detector.score_samples(frame) == VAEDetector(**FAST).fit(dates).score_samples(dates)).all()


def test_plain_columns_are_left_alone():
    frame = pd.DataFrame(
        {"a": [1, 2], "b": ["x", None], "c": [dt.date(2020, 1, 1)] * 2, "d": [True, None], "e": [1, "x"]}
    )
    read = read_odd_columns(frame, tuple(frame))
    assert read.frame is frame
    assert (read.remarks, read.unusable) == ({}, {})


def test_reasons_are_kept_in_the_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = VAEDetector(**FAST).fit(frame_of([[n] for n in range(N)]))
    save(detector, tmp_path / "m.vae")
    assert load(tmp_path / "m.vae").columns_ == detector.columns_
